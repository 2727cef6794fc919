#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A second implementation of the holder's side of a credential handle, written from identityd-handle(7) and nothing else.

usage: handle-client.py [--fd NUMBER] IDENTITY PURPOSE [IDENTITY PURPOSE]…

For each pair: opens a handle over the bus (or takes the descriptor NUMBER), reads the State, signs whatever the purpose allows with every
scheme that the State offers, has each signature verified by openssl, asks for what must be refused, and at last for what must
close the handle. Ends with 0 if everything was as the page says, else with a sentence and 1."""

import array
import fcntl
import hashlib
import os
import socket
import struct
import subprocess
import sys
import tempfile

HEADER = struct.Struct("<BBHIIHH")  # version, type, status, serial, generation, scheme, reserved
GET_STATE, SIGN_TRANSCRIPT, SIGN_MESSAGE, SIGN_DIGEST, STATE = 1, 2, 3, 4, 0x81
NOT_READY, INVALID_ARGUMENT, PURPOSE_VIOLATION = 4, 9, 10
CHAIN, ANCHORS = 1, 2
SCHEMES = {  # number: name, hash, padding, allowed for tls-*
    0x0403: ("ecdsa_secp256r1_sha256", "sha256", None, True),
    0x0503: ("ecdsa_secp384r1_sha384", "sha384", None, True),
    0x0804: ("rsa_pss_rsae_sha256", "sha256", "pss", True),
    0x0805: ("rsa_pss_rsae_sha384", "sha384", "pss", True),
    0x0806: ("rsa_pss_rsae_sha512", "sha512", "pss", True),
    0x0401: ("rsa_pkcs1_sha256", "sha256", "pkcs1", False),
    0x0501: ("rsa_pkcs1_sha384", "sha384", "pkcs1", False),
    0x0601: ("rsa_pkcs1_sha512", "sha512", "pkcs1", False),
}


class Wrong(Exception):
    """Something was not as identityd-handle(7) says."""


def check(condition, text):
    if not condition:
        raise Wrong(text)


class State:
    def __init__(self, generation, payload, descriptors):
        self.generation = generation
        fields = {}
        while payload:
            tag, length = struct.unpack_from("<HI", payload)
            check(len(payload) >= 6 + length, "a field of a State is cut short")
            check(tag not in fields, f"tag {tag} comes twice")
            fields[tag] = payload[6:6 + length]
            payload = payload[6 + length:]
        check(set(range(1, 8)) <= set(fields), f"a State without all its tags: {sorted(fields)}")
        self.identity, self.purpose, self.state = (fields[tag].decode() for tag in (1, 2, 3))
        self.schemes = [number for (number,) in struct.iter_unpack("<H", fields[4])]
        (self.not_after,) = struct.unpack("<Q", fields[5])
        (self.oldest,) = struct.unpack("<I", fields[7])
        check(len(fields[6]) == len(descriptors), "the list of files is not as long as that of descriptors")
        self.files = {kind: read_sealed(fd) for kind, fd in zip(fields[6], descriptors)}
        for fd in descriptors:
            os.close(fd)


def read_sealed(fd):
    seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    wanted = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK
    check(seals & wanted == wanted, "a file is not sealed")
    return os.pread(fd, os.fstat(fd).st_size, 0)


class Handle:
    def __init__(self, fd):
        self.socket = socket.socket(fileno=fd)
        check(self.socket.family == socket.AF_UNIX, "a handle is an AF_UNIX socket")
        check(self.socket.type & 0xf == socket.SOCK_SEQPACKET, "a handle is a SOCK_SEQPACKET socket")
        self.socket.settimeout(30)
        self.serial = 0
        self.unasked = 0

    def receive(self):
        """One packet as (type, status, serial, generation, scheme, payload, descriptors); None at the end."""
        try:
            data, ancillary, flags, _ = self.socket.recvmsg(65552, socket.CMSG_SPACE(4 * 4), socket.MSG_CMSG_CLOEXEC)
        except (ConnectionResetError, BrokenPipeError):
            return None
        if not data:
            return None
        check(not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC), "a packet is larger than the page says")
        descriptors = array.array("i")
        for level, kind, content in ancillary:
            check((level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS), "control data of another kind")
            descriptors.frombytes(content)
        version, kind, status, serial, generation, scheme, reserved = HEADER.unpack_from(data)
        check(version == 1 and reserved == 0, "version or reserved bytes")
        return kind, status, serial, generation, scheme, data[HEADER.size:], list(descriptors)

    def send(self, kind, generation=0, scheme=0, payload=b""):
        self.serial += 1
        self.socket.send(HEADER.pack(1, kind, 0, self.serial, generation, scheme, 0) + payload)

    def answer(self, kind):
        """The answer to the last question; States that come between are read and dropped."""
        while True:
            packet = self.receive()
            check(packet, "the handle was closed")
            if packet[0] == STATE and packet[2] == 0:
                self.unasked += 1
                State(packet[3], packet[5], packet[6])
                continue
            check(packet[0] == kind | 0x80, f"type {packet[0]:#x} answers {kind:#x}")
            check(packet[2] == self.serial, "an answer with another serial")
            return packet

    def state(self):
        self.send(GET_STATE)
        _, status, _, generation, scheme, payload, descriptors = self.answer(GET_STATE)
        check(status == 0 and scheme == 0, "a State's header")
        return State(generation, payload, descriptors)

    def sign(self, kind, generation, scheme, payload):
        """(generation, signature)"""
        self.send(kind, generation, scheme, payload)
        _, status, _, signed, answered, result, descriptors = self.answer(kind)
        check(status == 0, f"refused with status {status}: {result!r}")
        check(answered == scheme and not descriptors, "the header of a signature")
        return signed, result

    def refused(self, wanted, kind, generation, scheme, payload):
        self.send(kind, generation, scheme, payload)
        _, status, _, named, answered, text, descriptors = self.answer(kind)
        check(status == wanted, f"status {status} instead of {wanted}: {text!r}")
        check((named, answered, descriptors) == (generation, scheme, []), "the header of a refusal")
        check(0 < len(text.decode()) and len(text) <= 767 and b"\0" not in text, "the text of a refusal")

    def must_close(self, *parts, ancillary=()):
        self.socket.sendmsg(parts, ancillary)
        while packet := self.receive():
            for fd in packet[6]:
                os.close(fd)


def open_over_bus(identity, purpose):
    import dbus
    manager = dbus.Interface(dbus.SystemBus().get_object("org.identityd1", "/org/identityd1"), "org.identityd1.Manager")
    return manager.OpenCredential(identity, purpose, dbus.Dictionary({}, signature="sv")).take()


def verify(directory, scheme, message, signature):
    _, digest, padding, _ = SCHEMES[scheme]
    for name, content in (("message", message), ("signature", signature)):
        with open(os.path.join(directory, name), "wb") as file:
            file.write(content)
    command = ["openssl", "dgst", "-" + digest, "-verify", "public.pem", "-signature", "signature"]
    if padding:
        command += ["-sigopt", "rsa_padding_mode:" + padding]
    if padding == "pss":
        command += ["-sigopt", "rsa_pss_saltlen:digest"]
    done = subprocess.run(command + ["message"], cwd=directory, capture_output=True, text=True)
    check(done.returncode == 0, f"openssl does not accept a signature with {SCHEMES[scheme][0]}: {done.stdout}{done.stderr}")


def content(side, transcript_hash):
    return b" " * 64 + b"TLS 1.3, " + side.encode() + b" CertificateVerify\0" + transcript_hash


def try_tls(handle, state, scheme, directory):
    side, other = ("client", "server") if state.purpose == "tls-client" else ("server", "client")
    for size in (32, 48):
        hashed = os.urandom(size)
        message = content(side, hashed)
        check(len(message) == 98 + size, "the length of the content")
        for kind, payload in ((SIGN_TRANSCRIPT, hashed), (SIGN_MESSAGE, message)):
            generation, signature = handle.sign(kind, state.generation, scheme, payload)
            check(generation == state.generation, "another generation signed")
            verify(directory, scheme, message, signature)
        handle.refused(PURPOSE_VIOLATION, SIGN_MESSAGE, state.generation, scheme, content(other, hashed))
        handle.refused(PURPOSE_VIOLATION, SIGN_MESSAGE, state.generation, scheme, message + b"x")
    handle.refused(INVALID_ARGUMENT, SIGN_TRANSCRIPT, state.generation, scheme, bytes(33))
    handle.refused(PURPOSE_VIOLATION, SIGN_MESSAGE, state.generation, scheme, b"hello")
    handle.refused(PURPOSE_VIOLATION, SIGN_DIGEST, state.generation, scheme, bytes(32))


def attributes(digest):
    """The signed attributes of a CMS signature over plain content, as they are signed."""
    oid = bytes.fromhex("06092a864886f70d0109")
    content_type = b"\x30\x18" + oid + b"\x03\x31\x0b" + bytes.fromhex("06092a864886f70d010701")
    value = bytes([4, len(digest)]) + digest
    value = oid + b"\x04\x31" + bytes([len(value)]) + value
    body = content_type + bytes([0x30, len(value)]) + value
    return bytes([0x31, len(body)]) + body


def structure(payload):
    """A Sig_structure of COSE_Sign1 with ES256 in its protected header."""
    head = bytes([0x40 + len(payload)]) if len(payload) < 24 else b"\x59" + len(payload).to_bytes(2, "big")
    return b"\x84\x6aSignature1\x43\xa1\x01\x26\x40" + head + payload


def frame(identity, message):
    return b"\x7e" * 64 + b"identityd data v1\0" + identity.encode() + b"\0" + message


def try_framed(handle, state, scheme, directory):
    rest = 65536 - len(frame(state.identity, b""))
    for message in (attributes(os.urandom(32)), attributes(os.urandom(48)), attributes(os.urandom(64)), structure(b""),
                    structure(b"hello"), structure(os.urandom(65000)), frame(state.identity, b""),
                    frame(state.identity, b"hello"), frame(state.identity, os.urandom(rest))):
        _, signature = handle.sign(SIGN_MESSAGE, state.generation, scheme, message)
        verify(directory, scheme, message, signature)
    refused = [
        b"", b"hello", b"{}", content("client", bytes(32)), b"\x01\x00\x00\x05hello", b"\x30\x03\x02\x01\x00",
        attributes(bytes(20)), attributes(bytes(32)) + b"x", attributes(bytes(32))[:-1], structure(b"hello") + b"x",
        structure(b"hello")[:-1], frame(state.identity + "x", b"hello"), frame(state.identity[:-1], b"hello"),
        frame(state.identity, b"hello")[1:],
    ]
    for message in refused:
        handle.refused(PURPOSE_VIOLATION, SIGN_MESSAGE, state.generation, scheme, message)
    handle.refused(PURPOSE_VIOLATION, SIGN_TRANSCRIPT, state.generation, scheme, bytes(32))
    handle.refused(PURPOSE_VIOLATION, SIGN_DIGEST, state.generation, scheme, bytes(32))


def try_raw(handle, state, scheme, directory):
    for message in (b"hello", b"{}", b"", b"identityd test: " + os.urandom(65536 - 16)):
        _, signature = handle.sign(SIGN_MESSAGE, state.generation, scheme, message)
        verify(directory, scheme, message, signature)
    refused = [
        b" " * 64, content("client", bytes(32)), content("server", bytes(48)),
        b"\x01\x00\x00\x05hello", b"\x01\x00\x00\x05\0\0\0\0\0\0\0\x05hello",
        bytes(64) + b"x", b"r" * 64 + b"\x03\x00\x17\x41\x04" + b"p" * 64,
        b"\x30\x03\x02\x01\x00", b"\x30\x81\x80" + bytes(128), b"\x30\x82\x01\x00" + bytes(256),
        b"\xff\x54\x43\x47\x80\x18", b"I" * 16 + b"\x21\x2f\x22\x08" + bytes(4) + b"llll", b"SSHSIG", b"h" * 32,
        b"\0\0\0\x04hash\x32",
    ]
    for message in refused:
        handle.refused(PURPOSE_VIOLATION, SIGN_MESSAGE, state.generation, scheme, message)
    handle.refused(PURPOSE_VIOLATION, SIGN_TRANSCRIPT, state.generation, scheme, bytes(32))
    handle.refused(PURPOSE_VIOLATION, SIGN_DIGEST, state.generation, scheme, bytes(32))


def try_digest(handle, state, scheme, directory):
    for message in (b"hello", b" " * 64, content("server", bytes(32)), b"\x30\x03\x02\x01\x00"):
        _, signature = handle.sign(SIGN_MESSAGE, state.generation, scheme, message)
        verify(directory, scheme, message, signature)
        digest = hashlib.new(SCHEMES[scheme][1], message).digest()
        _, signature = handle.sign(SIGN_DIGEST, state.generation, scheme, digest)
        verify(directory, scheme, message, signature)
        handle.refused(INVALID_ARGUMENT, SIGN_DIGEST, state.generation, scheme, digest[:-1])
        handle.refused(INVALID_ARGUMENT, SIGN_DIGEST, state.generation, scheme, digest + b"x")
    handle.refused(INVALID_ARGUMENT, SIGN_TRANSCRIPT, state.generation, scheme, bytes(32))


def try_everything(handle, state):
    purposes = {"tls-client": try_tls, "tls-server": try_tls, "data": try_framed,
                "data-raw": try_raw, "digest": try_digest}
    with tempfile.TemporaryDirectory() as directory:
        with open(os.path.join(directory, "chain.pem"), "wb") as file:
            file.write(state.files[CHAIN])
        key = subprocess.run(["openssl", "x509", "-in", "chain.pem", "-noout", "-pubkey"], cwd=directory, check=True,
                             capture_output=True).stdout
        with open(os.path.join(directory, "public.pem"), "wb") as file:
            file.write(key)
        for scheme in state.schemes:
            check(scheme in SCHEMES, f"a scheme that the page does not have: {scheme:#06x}")
            check(SCHEMES[scheme][3] or not state.purpose.startswith("tls"), "a scheme that tls-* does not sign with")
            purposes[state.purpose](handle, state, scheme, directory)
        other = next(number for number in SCHEMES if number not in state.schemes and not number & 0x0800 and number != 0x0401)
        payload = content("client" if state.purpose == "tls-client" else "server", bytes(32))
        if state.purpose.startswith("tls") or state.purpose == "digest":
            handle.refused(INVALID_ARGUMENT, SIGN_MESSAGE, state.generation, other, payload)
        handle.refused(INVALID_ARGUMENT, SIGN_MESSAGE, state.generation, 0, payload)
        handle.refused(NOT_READY, SIGN_MESSAGE, state.generation + 1, state.schemes[0], payload)
        if not state.purpose.startswith("data"):
            generation, signature = handle.sign(SIGN_MESSAGE, 0, state.schemes[0], payload)
            check(generation == state.generation, "0 is not the current generation")
            verify(directory, state.schemes[0], payload, signature)


def speak(handle, identity, purpose):
    state = handle.state()
    check(handle.unasked == 1, "there was no unasked State at opening")
    check((state.identity, state.purpose) == (identity, purpose), "another identity or purpose")
    check(state.state == "ready" and state.generation > 0, f"the identity is {state.state}")
    check(0 < state.oldest <= state.generation, "the oldest generation")
    check(state.schemes and CHAIN in state.files and ANCHORS in state.files, "a State without schemes, chain or anchors")
    try_everything(handle, state)
    # one descriptor closes the handle, in whatever it comes
    handle.must_close(HEADER.pack(1, GET_STATE, 0, 1, 0, 0, 0),
                      ancillary=[(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [2]))])
    return f"generation {state.generation}, {', '.join(SCHEMES[scheme][0] for scheme in state.schemes)}: as written"


def main(arguments):
    fd = None
    if arguments[:1] == ["--fd"]:
        fd, arguments = int(arguments[1]), arguments[2:]
    if not arguments or len(arguments) % 2 or (fd is not None and len(arguments) > 2):
        print(__doc__, file=sys.stderr)
        return 2
    for identity, purpose in zip(arguments[::2], arguments[1::2]):
        try:
            handle = Handle(fd if fd is not None else open_over_bus(identity, purpose))
            print(f"{identity} {purpose}: {speak(handle, identity, purpose)}")
        except Wrong as wrong:
            print(f"handle-client: {identity} {purpose}: {wrong}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
