# SPDX-License-Identifier: LGPL-2.1-or-later
"""An enroller of the test's own, at the socket of the real one: packet by packet, as common/job-protocol.h describes it, or as it
does not."""

import array
import fcntl
import os
import select
import socket
import struct
import subprocess
import tempfile
import threading

from sandboxed import SANDBOX, log, run, service, sign_request

HEADER = struct.Struct("<BBHIIHH")  # version, type, status, serial, generation, scheme, reserved
JOB, PROGRESS, CREATE_REQUEST, SIGN_TRANSCRIPT, SIGN_TLS12, RESULT, FAILURE, ANSWER = 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x80
TAGS = {
    1: "kind", 2: "identity", 3: "server", 4: "server-anchors", 5: "fingerprint", 6: "proxy", 7: "time", 8: "client-chain",
    9: "client-scheme", 10: "user", 11: "password", 12: "request", 13: "allow-tls12", 14: "ocsp-request", 15: "time-is-floor",
}
STEP, KEY_TYPE, EKU, BINDING = 32, 40, 41, 42
ISSUED, CACERTS, LATER, FETCHED, SERVER, TLS, CHAIN = 48, 49, 50, 51, 52, 53, 54
TEXT, RETRY, AFTER, REJECTED = 56, 57, 58, 59
SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK
SOCKET = SANDBOX + "/run/enroller.socket"
PROGRAM = os.path.join(os.environ["BUILD"], "daemon/enroller/identityd-enroller")


def tlv(tag, value):
    if isinstance(value, str):
        value = value.encode()
    return struct.pack("<HI", tag, len(value)) + value


def u8(number):
    return struct.pack("<B", number)


def u32(number):
    return struct.pack("<I", number)


def memfd(data=b"", seals=SEALS, size=None):
    """A descriptor as results carry them; of `size` bytes, whatever `data` has."""
    fd = os.memfd_create("test", os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    if size is not None:
        os.ftruncate(fd, size)
    if seals:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def pkcs7(pem):
    """Certificates, as simpleenroll and cacerts have them."""
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(pem)
        file.flush()
        return run("openssl", "crl2pkcs7", "-nocrl", "-certfile", file.name, "-outform", "DER").stdout


def issue(request, *options):
    """What the lab CA makes of a request."""
    return pkcs7(sign_request(request, "--chain", *options))


class Gone(Exception):
    """identityd has closed."""


class Connection:
    """One job."""

    def __init__(self, connection):
        self.socket, self.serial, self.job, self.fds = connection, 0, {}, []

    def send(self, kind, payload=b"", fds=(), scheme=0, version=1, reserved=0, serial=None):
        self.serial += 1
        self.raw(HEADER.pack(version, kind, 0, self.serial if serial is None else serial, 0, scheme, reserved) + payload, fds)

    def raw(self, data, fds=()):
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self.socket.sendmsg([data], ancillary)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Gone from error

    def receive(self, seconds=30):
        """(type, status, payload)"""
        if not select.select([self.socket], [], [], seconds)[0]:
            raise TimeoutError("identityd says nothing")
        try:
            data, ancillary, _, _ = self.socket.recvmsg(1 << 17, socket.CMSG_SPACE(64), socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError as error:
            raise Gone from error
        if not data:
            raise Gone
        for _, _, content in ancillary:
            fds = array.array("i")
            fds.frombytes(content[:len(content) - len(content) % fds.itemsize])
            self.fds += fds
        _, kind, status, _, _, _, _ = HEADER.unpack_from(data)
        return kind, status, data[HEADER.size:]

    def take_job(self):
        kind, _, payload = self.receive()
        if kind != JOB:
            raise ValueError(f"a packet of the type {kind}, no job")
        while payload:
            tag, length = struct.unpack_from("<HI", payload)
            self.job.setdefault(TAGS.get(tag, tag), []).append(payload[6:6 + length])
            payload = payload[6 + length:]

    def ask(self, kind, payload=b"", scheme=0):
        """(status, answer)"""
        self.send(kind, payload, scheme=scheme)
        answered, status, answer = self.receive()
        if answered != kind | ANSWER:
            raise ValueError(f"{answered:#x} answers {kind:#x}")
        return status, answer

    def request(self, payload=b""):
        status, answer = self.ask(CREATE_REQUEST, payload)
        if status:
            raise ValueError("no request: " + answer.decode(errors="replace"))
        return answer

    def result(self, issued=None, more=b"", fds=()):
        fds = [*([] if issued is None else [memfd(issued)]), *fds]
        self.send(RESULT, (b"" if issued is None else tlv(ISSUED, u8(0))) + more, fds)

    def failure(self, text="as the test wants it", retry=1, more=b""):
        self.send(FAILURE, tlv(TEXT, text) + tlv(RETRY, u8(retry)) + more)

    def closed(self, seconds=30):
        """Wants identityd to close, whatever comes before."""
        try:
            while True:
                self.receive(seconds)
        except Gone:
            pass

    def close(self):
        for fd in self.fds:
            os.close(fd)
        self.socket.close()


def honest(connection):
    """The real enroller."""
    subprocess.run([PROGRAM], stdin=connection, check=False, stderr=subprocess.DEVNULL)


class Enroller:
    """Stands in the place of the enroller; `behaviour` is called with each Connection, whose job it has; `honest` is the real one."""

    def __enter__(self):
        service("stop", "enroller")
        if os.path.exists(SOCKET):
            os.unlink(SOCKET)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(SOCKET)
        self.listener.listen(16)
        self.behaviour, self.errors, self.jobs, self.idle = honest, [], 0, threading.Condition()
        threading.Thread(target=self.listen, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        os.unlink(SOCKET)
        service("start", "enroller")

    def listen(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with self.idle:
                self.jobs += 1
            threading.Thread(target=self.serve, args=(connection, self.behaviour), daemon=True).start()

    def serve(self, connection, behaviour):
        if behaviour is honest:
            honest(connection)
            connection.close()
        else:
            one = Connection(connection)
            try:
                one.take_job()
                behaviour(one)
            except Gone:
                pass
            except Exception as error:  # pylint: disable=broad-except
                self.errors.append(error)
            one.close()
        with self.idle:
            self.jobs -= 1
            self.idle.notify_all()

    def settle(self):
        """Until all that was asked of us is answered."""
        with self.idle:
            if not self.idle.wait_for(lambda: self.jobs == 0, 60):
                raise AssertionError("a job does not end\n" + log("identityd")[-500:])
        if self.errors:
            raise self.errors.pop()
