# SPDX-License-Identifier: LGPL-2.1-or-later
"""For the tests of identityd-proxy, inside tests/sandbox: a running proxy, and peers on OpenSSL with software keys."""

import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time

from lifecycle import Lifecycle
from sandboxed import CA, LAB_CA, SANDBOX, read, run, wait_until

ROOT = CA + "/root.pem"
PATIENCE = 60  # seconds for what has no limit of its own


class Keys:
    """A software key with its chain."""

    def __init__(self, directory, name, subject=None, names="DNS:localhost,IP:127.0.0.1", usage="serverAuth", signed=True):
        self.key, self.chain = (os.path.join(directory, f"{name}.{kind}") for kind in ("key", "pem"))
        request = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.key,
                   "-subj", subject or f"/CN={name}", "-addext", f"subjectAltName={names}", "-addext", f"extendedKeyUsage={usage}"]
        if signed:
            run(*request, "-new", "-out", self.chain + ".csr")
            run(LAB_CA, "sign", CA, "--csr", self.chain + ".csr", "--chain", "--lifetime", "3600", "--out", self.chain)
        else:
            run(*request, "-x509", "-out", self.chain)


def server_context(keys, trust=(ROOT,)):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(keys.chain, keys.key)
    for path in trust:
        context.load_verify_locations(path)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(keys=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(ROOT)
    context.check_hostname = False # the sandbox's identity is named after the device
    if keys:
        context.load_cert_chain(keys.chain, keys.key)
    return context


class Listener:
    """Accepts at `address`, each connection in a thread of its own: `serve(connection)` after `wrap(connection)`."""

    def __init__(self, serve, wrap=lambda connection: connection, path=None):
        self.serve, self.wrap, self.errors, self.accepted = serve, wrap, [], []
        if path:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.bind(path)
        else:
            self.socket = socket.socket()
            self.socket.bind(("127.0.0.1", 0))
            self.port = self.socket.getsockname()[1]
        self.socket.listen(256)
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            connection.settimeout(PATIENCE)
            self.accepted.append(connection)
            threading.Thread(target=self.one, args=(connection,), daemon=True).start()

    def one(self, connection):
        try:
            with self.wrap(connection) as wrapped:
                self.serve(wrapped)
                if isinstance(wrapped, ssl.SSLSocket):
                    wrapped.unwrap()  # close() alone says no end
        except OSError as error:
            self.errors.append(error)

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def echo(connection):
    while data := connection.recv(65536):
        connection.sendall(data)


def receive_all(connection):
    data = bytearray()
    while piece := connection.recv(65536):
        data += piece
    return bytes(data)


def receive_exactly(connection, size):
    data = bytearray()
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise EOFError(f"{len(data)} bytes of {size}")
        data += piece
    return bytes(data)


class HalfClosing:
    """TLS by OpenSSL over `connection` that can end its own direction and go on reading, which ssl.SSLSocket cannot."""

    def __init__(self, context, connection, server_side):
        self.connection = connection
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=server_side)
        self.until_done(self.tls.do_handshake)

    def flush(self):
        if data := self.outgoing.read():
            self.connection.sendall(data)

    def until_done(self, function, *arguments):
        while True:
            try:
                result = function(*arguments)
                self.flush()
                return result
            except ssl.SSLWantReadError:
                self.flush()
                if data := self.connection.recv(65536):
                    self.incoming.write(data)
                else:
                    self.incoming.write_eof()

    def read(self):
        """All up to the peer's close_notify."""
        data = bytearray()
        while True:
            try:
                piece = self.until_done(self.tls.read, 65536)
            except ssl.SSLZeroReturnError:
                return bytes(data)
            if not piece:
                return bytes(data)
            data += piece

    def write(self, data):
        while data:
            data = data[self.until_done(self.tls.write, data):]

    def end(self):
        """Sends close_notify, and waits for nothing."""
        try:
            self.tls.unwrap()
        except (ssl.SSLWantReadError, ssl.SSLError):
            pass
        self.flush()


class Proxy:
    """identityd-proxy as systemd would start it, until stop()."""

    count = 0

    def __init__(self, *words, wait=True, prefix=(), program="identityd-proxy", verb=()):
        Proxy.count += 1
        self.log_path = f"{SANDBOX}/log/proxy-{os.getpid()}-{Proxy.count}.log"
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = f"{SANDBOX}/notify.{os.getpid()}.{Proxy.count}"
        self.notify.bind(path)
        self.notify.settimeout(PATIENCE)
        self.said = []
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen([*prefix, program, *verb, *words], env=dict(os.environ, NOTIFY_SOCKET=path),
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if wait:
            self.await_notice("READY=1")

    def await_notice(self, line):
        """A message to systemd; the process may say it, or end."""
        end = time.monotonic() + PATIENCE
        self.notify.settimeout(0.2)
        while not any(line in said for said in self.said):
            try:
                self.said.append(self.notify.recv(4096).decode())
            except TimeoutError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise AssertionError(f"no {line}: {self.said}, status {self.process.poll()}\n{self.log()}") from None

    def log(self):
        return read(self.log_path)

    def problems(self):
        """Its log without what is in order."""
        return "\n".join(line for line in self.log().splitlines() if ": open from" not in line and "both sides are done" not in line)

    def await_log(self, text, count=1):
        try:
            wait_until(lambda: self.log().count(text) >= count, f"{count} × '{text}'", PATIENCE)
        except AssertionError as error:
            raise AssertionError(f"{error}\nThe proxy said:\n{self.log()}") from None

    def port(self):
        """Of a listener at port 0."""
        for line in self.log().splitlines():
            if " at 127.0.0.1:" in line:
                return int(line.split(" at 127.0.0.1:")[1].split(",")[0])
        raise AssertionError("it listens at no port:\n" + self.log())

    def end(self, number=signal.SIGTERM):
        """Its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(PATIENCE)
        self.notify.close()
        return status


def connect(address):
    connection = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
    connection.settimeout(PATIENCE)
    try:
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection


def both_ways(connection, data):
    """Sends while it receives; what came back, with both directions ended by us and then by the peer."""
    sender = threading.Thread(target=lambda: (connection.sendall(data), connection.shutdown(socket.SHUT_WR)))
    sender.start()
    received = receive_all(connection)
    sender.join()
    return received


def talk(address, data=b"hello"):
    with connect(address) as connection:
        return both_ways(connection, data)


def is_dropped(address):
    """A connection is taken, and closed again."""
    try:
        with connect(address) as connection:
            return connection.recv(1) == b""
    except ConnectionResetError:
        return True


class ProxyCase(Lifecycle):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.directory = tempfile.mkdtemp(prefix="p.", dir=SANDBOX)
        os.chmod(cls.directory, 0o755)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.directory)

    def path(self, name="socket"):
        path = f"{self.directory}/{name}"
        self.addCleanup(lambda: os.path.lexists(path) and os.unlink(path))
        return path

    def listener(self, *arguments, **more):
        listener = Listener(*arguments, **more)
        self.addCleanup(listener.close)
        return listener

    def proxy(self, *words, **more):
        proxy = Proxy(*words, **more)
        self.addCleanup(proxy.end, signal.SIGKILL)
        return proxy

    def refuse(self, text, *words, status=2, **more):
        """The command line is refused at once."""
        proxy = self.proxy(*words, wait=False, **more)
        self.assertEqual(proxy.process.wait(PATIENCE), status, proxy.log())
        self.assertIn(text, proxy.log())
