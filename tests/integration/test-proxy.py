#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""identityd-proxy, both ways, against peers on OpenSSL with software keys: bytes and their ends, limits, renewal under load,
revocation, a restart of identityd. Runs inside tests/sandbox."""

import concurrent.futures
import contextlib
import hashlib
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import unittest

from lifecycle import checking, revoke
from proxied import (PATIENCE, ROOT, HalfClosing, Keys, ProxyCase, both_ways, client_context, connect, echo, is_dropped, receive_all,
                     receive_exactly, server_context, talk)
from sandboxed import SANDBOX, control, run, service, wait_until

MEGABYTES = os.urandom(6 << 20)


class Client(ProxyCase):
    """A local socket whose other end is a TLS server."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.keys = Keys(cls.directory, "peer")

    def tls(self, serve, context=None):
        """A TLS server that wants certificates; the last one that it saw is `seen`."""
        context = context or server_context(self.keys)

        def wrap(connection):
            wrapped = context.wrap_socket(connection, server_side=True, suppress_ragged_eofs=False)
            listener.seen.append(wrapped.getpeercert(True))
            return wrapped

        listener = self.listener(serve, wrap)
        listener.seen = []
        return listener

    def start(self, listener, *words, identity="demo", **more):
        path = self.path()
        return path, self.proxy("--listen", path, "--connect", f"localhost:{listener.port}", *words, identity, **more)

    def test_bytes(self):
        listener = self.tls(echo)
        path, proxy = self.start(listener)
        self.assertEqual(talk(path, b""), b"")
        self.assertEqual(hashlib.sha256(talk(path, MEGABYTES)).digest(), hashlib.sha256(MEGABYTES).digest())
        self.assertEqual(listener.seen[-1], self.demo.certificate())
        proxy.await_log("both sides are done", 2)
        self.assertIn(f"{len(MEGABYTES)} bytes to the peer and {len(MEGABYTES)} from it", proxy.log())
        self.assertIn(f"open from uid {os.getuid()} (process {os.getpid()}) to localhost, server CN=peer, generation", proxy.log())

    def test_as_a_verb_of_idctl(self):
        """It becomes the program: the same process, with the same options."""
        path, proxy = self.start(self.tls(echo), program=os.environ["BUILD"] + "/tests/integration/idctl", verb=("proxy",))
        self.assertEqual(talk(path), b"hello")
        self.assertEqual(os.path.basename(os.readlink(f"/proc/{proxy.process.pid}/exe")), "identityd-proxy")
        self.refuse("identityd-proxy: --connect is missing", "demo", program=os.environ["BUILD"] + "/tests/integration/idctl",
                    verb=("proxy",))

    def test_many_at_once(self):
        listener = self.tls(echo)
        path, _ = self.start(listener)
        pieces = [os.urandom(20000) for _ in range(40)]
        with concurrent.futures.ThreadPoolExecutor(len(pieces)) as pool:
            self.assertEqual(list(pool.map(lambda piece: talk(path, piece), pieces)), pieces)
        self.assertEqual(len(listener.seen), len(pieces))

    def test_openssl_s_server(self):
        process = subprocess.Popen(["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", self.keys.chain, "-cert_chain",
                                    self.keys.chain, "-key", self.keys.key, "-rev", "-tls1_3", "-Verify", "2",
                                    "-verify_return_error", "-CAfile", ROOT], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(lambda: (process.kill(), process.communicate()))
        at = next(line.split()[1] for line in process.stdout if line.startswith("ACCEPT"))
        path = self.path()
        self.proxy("--listen", path, "--connect", at, "demo")
        with connect(path) as connection:
            connection.sendall(b"hello\n")
            self.assertEqual(receive_exactly(connection, 6), b"olleh\n")

    def test_ends_of_either_side(self):
        """Who ends first still gets all, and the other side learns of it at once."""
        def peer_ends_first(connection):
            tls = HalfClosing(server_context(self.keys), connection, True)
            tls.write(MEGABYTES)
            tls.end()
            got.append(tls.read())

        def program_ends_first(connection):
            tls = HalfClosing(server_context(self.keys), connection, True)
            got.append(tls.read())
            tls.write(MEGABYTES)
            tls.end()

        for serve in (peer_ends_first, program_ends_first):
            with self.subTest(serve.__name__):
                got = []
                listener = self.listener(serve)
                path, proxy = self.start(listener)
                with connect(path) as connection:
                    if serve is program_ends_first:
                        connection.sendall(b"question")
                        connection.shutdown(socket.SHUT_WR)
                    self.assertEqual(receive_all(connection), MEGABYTES)
                    if serve is peer_ends_first:
                        connection.sendall(b"question")
                        connection.shutdown(socket.SHUT_WR)
                        wait_until(lambda: got, "the peer to have all", PATIENCE)
                proxy.await_log("both sides are done")
                self.assertEqual(got, [b"question"])
                self.assertEqual(proxy.end(), 0)

    def test_a_program_that_closes_with_something_unread(self):
        """What it wrote before arrives, all of it."""
        got = []

        def serve(connection):
            connection.sendall(b"x" * 100000)
            got.append(receive_all(connection))

        path, proxy = self.start(self.tls(serve))
        with connect(path) as connection:
            receive_exactly(connection, 1)
            connection.sendall(MEGABYTES[:1 << 20])
        wait_until(lambda: got, "the peer to have all", PATIENCE)
        self.assertEqual(got[0], MEGABYTES[:1 << 20])
        proxy.await_log("both sides are done")

    def test_a_peer_that_ends_without_saying_so(self):
        listener = self.listener(lambda connection: HalfClosing(server_context(self.keys), connection, True).write(b"part"))
        path, proxy = self.start(listener)
        with connect(path) as connection:
            self.assertEqual(receive_all(connection), b"part")
        proxy.await_log("the peer ended without saying so, something may be missing")

    def test_a_reader_that_does_not_read(self):
        """It makes its peer wait, and nobody else; the proxy holds no more than its buffers."""
        sent = []

        def flood(connection):
            if connection.recv(1) != b"f":
                return echo(connection)
            while True:
                sent.append(connection.send(MEGABYTES[:65536]))

        path, proxy = self.start(self.tls(flood))
        with connect(path) as slow:
            slow.sendall(b"f")
            before = 0
            while sum(sent) == 0 or sum(sent) != before: # until it is stuck
                before = sum(sent)
                self.assertEqual(talk(path, b"xhello"), b"hello")
                time.sleep(0.2)
            self.assertLess(sum(sent), 32 << 20)
            taken = receive_exactly(slow, 4 << 20)
            self.assertEqual(taken, MEGABYTES[:65536] * 64)
        proxy.await_log("#1: closed")

    @contextlib.contextmanager
    def under_load(self, path, proxy):
        """Programs that connect all the time, and one whose connection stays; all of them succeed."""
        stop, done = threading.Event(), []

        def loop():
            while not stop.is_set():
                try:
                    self.assertEqual(talk(path, b"data"), b"data")
                except (AssertionError, OSError) as error:
                    raise AssertionError(f"a connection failed: {error}\n{proxy.problems()}") from None
                done.append(1)

        with connect(path) as old, concurrent.futures.ThreadPoolExecutor(4) as pool:
            old.sendall(b"1")
            receive_exactly(old, 1)
            loops = [pool.submit(loop) for _ in range(4)]
            try:
                yield
                wait_until(lambda: len(done) > 8 or any(each.done() for each in loops), "some connections", PATIENCE)
            finally:
                stop.set()
            for each in loops:
                each.result(PATIENCE)
            old.sendall(b"2")
            self.assertEqual(receive_exactly(old, 1), b"2")

    def test_renewal_under_load(self):
        listener = self.tls(echo)
        path, proxy = self.start(listener)
        with self.under_load(path, proxy):
            for _ in range(2):
                self.demo.renew(rotate_key=True)
                wait_until(lambda: self.demo.certificate() in listener.seen, "the new certificate to be used", PATIENCE)
        self.assertEqual(listener.errors, [])
        self.assertGreaterEqual(len(set(listener.seen)), 3)

    def test_restart_of_identityd(self):
        """What is open goes on, what comes meanwhile waits, and a handshake that was under way begins again."""
        path, proxy = self.start(self.tls(echo), "--handshake-timeout", str(PATIENCE))
        with self.under_load(path, proxy):
            for verb in ("stop", "kill"):
                service(verb, "identityd")
                proxy.await_log("new connections wait", 1 if verb == "stop" else 2)
                with connect(path) as waiting:
                    waiting.sendall(b"3")
                    service("start", "identityd")
                    self.assertEqual(receive_exactly(waiting, 1), b"3")
        self.reconnect()
        self.demo.wait("ready", PATIENCE)
        self.assertNotIn("refused", proxy.log())

    def test_a_tpm_that_hangs(self):
        """New connections are refused in time, open ones go on, and the proxy still ends."""
        path, proxy = self.start(self.tls(echo), "--handshake-timeout", "1")
        swtpm = int(run(f"{SANDBOX}/bin/service", "running", "swtpm").stdout)
        with connect(path) as old:
            old.sendall(b"1")
            receive_exactly(old, 1)
            os.kill(swtpm, signal.SIGSTOP)
            try:
                self.assertTrue(is_dropped(path))
                old.sendall(b"2")
                self.assertEqual(receive_exactly(old, 1), b"2")
                proxy.process.terminate()
                old.close()
                self.assertEqual(proxy.process.wait(PATIENCE), 0)
            finally:
                os.kill(swtpm, signal.SIGCONT)
        self.assertIn("waited 1 s, at last for a signature or a turn", proxy.log())
        self.demo.wait("ready", PATIENCE)

    def test_access_withdrawn(self):
        self.made("lent", checking(access="tls-client"))
        path, proxy = self.start(self.tls(echo), identity="lent")
        with connect(path) as old:
            old.sendall(b"1")
            receive_exactly(old, 1)
            self.configure("lent", checking(access="tls-server"))
            self.assertEqual(receive_all(old), b"")
        proxy.await_log("connections are closed, new ones refused")
        self.assertRegex(proxy.log(), "#1: closed after .* lent")
        self.assertTrue(is_dropped(path))

    def test_revocation(self):
        """All ends at once, new ones are refused, and a new enrolment is enough."""
        identity = self.made("revoked", checking(access="tls-client"))
        path, proxy = self.start(self.tls(echo), identity="revoked")
        with connect(path) as old:
            old.sendall(b"1")
            receive_exactly(old, 1)
            revoke(identity)
            self.assertEqual(receive_all(old), b"")
        proxy.await_log("connections are closed, new ones refused")
        self.assertRegex(proxy.log(), "#1: closed after .* its certificate was revoked by the CA")
        self.assertEqual(identity.state(), "revoked")
        self.assertTrue(is_dropped(path))
        proxy.await_log(": refused uid")
        identity.enroll()
        proxy.await_log("revoked: ready, generation", 2)
        self.assertEqual(talk(path), b"hello")

    def test_before_enrolment(self):
        """A proxy may start first."""
        control("fault", "simpleenroll", "status", "code=503", "retry-after=3600")
        self.addCleanup(control, "clear")
        identity = self.made("early", checking(access="tls-client"), state="empty")
        path, proxy = self.start(self.tls(echo), identity="early")
        proxy.await_log("new connections are refused")
        self.assertTrue(is_dropped(path))
        control("clear")
        identity.enroll()
        proxy.await_log("early: ready")
        self.assertEqual(talk(path), b"hello")

    def test_servers_that_are_refused(self):
        stranger = Keys(self.directory, "stranger", signed=False)
        client = Keys(self.directory, "a-client", usage="clientAuth")
        for keys, words, reason in ((stranger, (), "does not verify"), (client, (), "does not verify"),
                                    (self.keys, ("--name", "other.example"), "is not for the name other.example"),
                                    (self.keys, ("--require-crl",), "no current CRL covers")):
            with self.subTest(reason):
                path, proxy = self.start(self.tls(echo, server_context(keys)), *words)
                self.assertTrue(is_dropped(path))
                proxy.await_log(reason)
                self.assertEqual(proxy.end(), 0)

    def test_a_server_that_refuses_us(self):
        """In TLS 1.3 that comes after our handshake."""
        stranger = Keys(self.directory, "root-of-others", signed=False)
        path, proxy = self.start(self.tls(echo, server_context(self.keys, trust=(stranger.chain,))))
        self.assertTrue(is_dropped(path))
        proxy.await_log("the peer refused: CA is unknown")

    def test_servers_that_cannot_be_reached(self):
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            for host, port, reason in (("127.0.0.1", closed.getsockname()[1], "cannot be reached: Connection refused"),
                                       ("nowhere.invalid", 1, "cannot resolve nowhere.invalid")):
                path = self.path()
                proxy = self.proxy("--listen", path, "--connect", f"{host}:{port}", "demo")
                self.assertTrue(is_dropped(path))
                proxy.await_log(reason)
                self.assertEqual(proxy.end(), 0)

    def test_timeouts(self):
        silent = self.listener(lambda connection: connection.recv(1) and threading.Event().wait())
        path, proxy = self.start(silent, "--handshake-timeout", "1")
        self.assertTrue(is_dropped(path))
        proxy.await_log("waited 1 s, at last for the peer's handshake")
        self.assertEqual(proxy.end(), 0)
        quiet = self.tls(lambda connection: (receive_all(connection), threading.Event().wait()))
        path, proxy = self.start(quiet, "--idle-timeout", "1")
        self.assertTrue(is_dropped(path))
        proxy.await_log("idle for 1 s")
        self.assertEqual(proxy.end(), 0)
        path, proxy = self.start(quiet, "--half-closed-timeout", "1")
        self.assertEqual(talk(path, b""), b"")
        proxy.await_log("one side was done, the other silent for 1 s")

    def test_silent_peers_hold_up_nobody(self):
        """More of them than there are workers."""
        turns = iter(range(1000))
        context = server_context(self.keys)
        listener = self.listener(echo, lambda connection: context.wrap_socket(connection, server_side=True)
                                 if next(turns) >= 12 else connection.recv(70000) and threading.Event().wait())
        path, _ = self.start(listener)
        held = [connect(path) for _ in range(12)]
        wait_until(lambda: len(listener.accepted) == 12, "all to be held", PATIENCE)
        self.assertEqual(talk(path), b"hello")
        for connection in held:
            connection.close()

    def test_the_limit_of_connections(self):
        path, proxy = self.start(self.tls(echo), "--max-connections", "2", "--max-per-source", "2")
        first, second = connect(path), connect(path)
        for connection in (first, second):
            connection.sendall(b"x")
            receive_exactly(connection, 1)
        proxy.await_log("2 connections, the limit (--max-connections)")
        with connect(path) as third:
            third.sendall(b"y")
            third.settimeout(0.3)
            self.assertRaises(TimeoutError, third.recv, 1)
            third.settimeout(PATIENCE)
            first.close()
            self.assertEqual(receive_exactly(third, 1), b"y")
        second.close()

    def test_stopping(self):
        """Open connections have time to finish, and no more than the limit."""
        path, proxy = self.start(self.tls(echo))
        with connect(path) as connection:
            connection.sendall(b"x")
            receive_exactly(connection, 1)
            proxy.process.terminate()
            proxy.await_notice("STOPPING=1")
            self.assertFalse(os.path.exists(path))
            self.assertEqual(both_ways(connection, MEGABYTES), MEGABYTES)
        self.assertEqual(proxy.process.wait(PATIENCE), 0)
        path, proxy = self.start(self.tls(echo), "--drain-timeout", "1")
        with connect(path) as connection:
            connection.sendall(b"x")
            receive_exactly(connection, 1)
            proxy.process.terminate()
            self.assertEqual(receive_all(connection), b"")
        self.assertEqual(proxy.process.wait(PATIENCE), 0)
        self.assertIn("the proxy stops", proxy.log())


class Sockets(ProxyCase):
    """Where it listens."""

    def words(self, listen, *more):
        return ("--listen", listen, "--connect", "localhost:1", *more, "demo")

    def test_mode(self):
        path = self.path()
        for words, mode in (((), 0o600), (("--mode", "0666"), 0o666)):
            proxy = self.proxy(*self.words(path, *words))
            self.assertEqual(stat.S_IMODE(os.lstat(path).st_mode), mode)
            if os.getuid() == 0:
                nobody = pwd.getpwnam("nobody")
                result = run(sys.executable, "-c", "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])", path,
                             check=False, user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[])
                self.assertEqual(result.returncode == 0, mode == 0o666, result.stderr.decode())
            self.assertEqual(proxy.end(), 0)
            self.assertFalse(os.path.exists(path))

    def test_paths_in_use(self):
        path = self.path()
        first = self.proxy(*self.words(path))
        self.refuse("another process listens there", *self.words(path), status=1)
        self.assertTrue(os.path.exists(path))
        first.end(signal.SIGKILL)
        self.assertTrue(os.path.exists(path))
        self.assertEqual(self.proxy(*self.words(path)).end(), 0) # in place of what was left behind
        with open(path, "w", encoding="utf-8") as file:
            file.write("mine")
        self.refuse("there is a file that is no socket", *self.words(path), status=1)
        self.refuse("taking its lock", *self.words(self.directory + "/missing/socket"), status=1)

    def test_a_socket_that_another_put_there_stays(self):
        path = self.path()
        proxy = self.proxy(*self.words(path))
        os.unlink(path)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(path)
            self.assertEqual(proxy.end(), 0)
            self.assertTrue(os.path.exists(path))

    def test_ports(self):
        self.refuse("every local user reaches a port", *self.words("127.0.0.1:0"))
        self.refuse("only a socket's path", *self.words("0.0.0.0:0", "--loopback"))
        self.refuse("only a socket's path", *self.words("[::]:0", "--loopback"))
        proxy = self.proxy(*self.words("127.0.0.1:0", "--loopback"))
        connect(("127.0.0.1", proxy.port())).close()
        proxy.await_log(": refused 127.0.0.1:")

    def test_identities_that_cannot_be_used(self):
        self.refuse("cannot open nobody for tls-client", "--listen", self.path(), "--connect", "localhost:1", "nobody", status=3)
        self.refuse("cannot open demo-data for tls-client", "--listen", self.path(), "--connect", "localhost:1", "demo-data", status=4)

    def test_activation(self):
        keys = Keys(self.directory, "activated")
        context = server_context(keys)
        peer = self.listener(echo, lambda connection: context.wrap_socket(connection, server_side=True))
        activate = lambda *words: ("systemd-socket-activate", *(w for n in os.environ for w in ("-E", n)), "-E", "NOTIFY_SOCKET", *words)
        path = self.path()
        proxy = self.proxy("--connect", f"localhost:{peer.port}", "demo", wait=False, prefix=activate("-l", path),
                           program=shutil.which("identityd-proxy"))
        proxy.await_log("Listening on")
        self.assertEqual(talk(path), b"hello")
        self.assertEqual(talk(path, MEGABYTES), MEGABYTES)
        self.assertEqual(proxy.end(), 0)
        self.assertTrue(os.path.exists(path)) # it is systemd's
        os.unlink(path)
        for listen, words, reason in ((path, ("--listen", path), "leave one of them out"),
                                      ("@abstract-" + os.path.basename(SANDBOX), (), "an abstract socket has no access mode")):
            proxy = self.proxy("--connect", "localhost:1", *words, "demo", wait=False, prefix=activate("-l", listen),
                               program=shutil.which("identityd-proxy"))
            proxy.await_log("Listening on")
            connect("\0" + listen[1:] if listen.startswith("@") else listen).close()
            self.assertEqual(proxy.process.wait(PATIENCE), 2)
            self.assertIn(reason, proxy.log())


class Server(ProxyCase):
    """TLS at a port, passed on to a local program."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.keys = Keys(cls.directory, "client", names="DNS:client.example,URI:urn:example:client", usage="clientAuth")

    def start(self, serve, *words, **more):
        """The program at a path, and the proxy in front of it; its address."""
        target = self.path("program")
        listener = self.listener(serve, path=target)
        proxy = self.proxy("--server", "--listen", "127.0.0.1:0", "--connect", target, *words, "demo", **more)
        return ("127.0.0.1", proxy.port()), proxy, listener

    def tls(self, address, keys=None):
        connection = client_context(keys or self.keys).wrap_socket(connect(address))
        self.addCleanup(connection.close)
        return connection

    def denied(self, address, keys=None):
        """The handshake fails, or nothing comes after it."""
        try:
            with client_context(keys).wrap_socket(connect(address)) as connection:
                return connection.recv(1) == b""
        except OSError:
            return True

    def test_bytes(self):
        address, proxy, _ = self.start(lambda connection: connection.sendall(receive_all(connection)))
        tls = HalfClosing(client_context(self.keys), connect(address), False)
        self.assertEqual(tls.tls.getpeercert(True), self.demo.certificate())
        tls.write(MEGABYTES)
        tls.end()
        self.assertEqual(tls.read(), MEGABYTES)
        proxy.await_log("both sides are done")
        self.assertIn("client CN=client, generation", proxy.log())

    def test_programs(self):
        def answer(connection):
            while not connection.recv(65536).endswith(b"\r\n\r\n"):
                pass
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nyes")

        (host, port), _, _ = self.start(answer)
        fetched = run("curl", "-sSk", "--noproxy", "*", "--cert", self.keys.chain, "--key", self.keys.key, f"https://{host}:{port}/")
        self.assertEqual(fetched.stdout, b"yes")
        said = run("openssl", "s_client", "-connect", f"{host}:{port}", "-CAfile", ROOT, "-verify_return_error", "-cert", self.keys.chain,
                   "-cert_chain", self.keys.chain, "-key", self.keys.key, "-quiet", data=b"GET / HTTP/1.0\r\n\r\n", timeout=PATIENCE)
        self.assertIn(b"yes", said.stdout)

    def test_clients_that_are_refused(self):
        address, proxy, listener = self.start(echo)
        stranger = Keys(self.directory, "stranger", usage="clientAuth", signed=False)
        server = Keys(self.directory, "a-server")
        for keys, reason in ((None, "the peer shows no certificate"), (stranger, "does not verify"), (server, "does not verify")):
            with self.subTest(reason):
                self.assertTrue(self.denied(address, keys))
                proxy.await_log(reason)
        with connect(address) as connection: # no TLS at all
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        proxy.await_log("refused 127.0.0.1:", 4)
        self.assertEqual(listener.accepted, [])

    def test_names(self):
        other = Keys(self.directory, "other", names="DNS:other.example", usage="clientAuth")
        for words in (("--allow-cn", "client"), ("--allow-dns", "Client.Example"), ("--allow-uri", "urn:example:client"),
                      ("--allow-cn", "someone", "--allow-uri", "urn:example:client")):
            with self.subTest(words):
                address, proxy, _ = self.start(echo, *words)
                with self.tls(address) as connection:
                    connection.sendall(b"x")
                    self.assertEqual(connection.recv(1), b"x")
                self.assertTrue(self.denied(address, other))
                proxy.await_log("carries none of the names that are let in")
                self.assertEqual(proxy.end(), 0)
                os.unlink(f"{self.directory}/program")

    def test_renewal_and_restart(self):
        address, _, _ = self.start(echo)
        old = self.tls(address)
        before = old.getpeercert(True)
        self.demo.renew(rotate_key=True)
        self.assertNotEqual(self.demo.certificate(), before)
        self.assertEqual(self.tls(address).getpeercert(True), self.demo.certificate())
        service("restart", "identityd")
        self.reconnect()
        self.demo.wait("ready", PATIENCE)
        self.assertEqual(self.tls(address).getpeercert(True), self.demo.certificate())
        old.sendall(b"x")
        self.assertEqual(old.recv(1), b"x")

    def test_silent_clients_hold_up_nobody(self):
        address, proxy, _ = self.start(echo, "--handshake-timeout", "2")
        silent = [connect(address) for _ in range(20)]
        with self.tls(address) as connection:
            connection.sendall(b"x")
            self.assertEqual(connection.recv(1), b"x")
        for connection in silent:
            self.assertEqual(receive_all(connection), b"")
            connection.close()
        proxy.await_log("waited 2 s, at last for the peer's handshake", 20)

    def test_a_program_that_is_not_there(self):
        proxy = self.proxy("--server", "--listen", "127.0.0.1:0", "--connect", self.path("nothing"), "demo")
        self.assertTrue(self.denied(("127.0.0.1", proxy.port()), self.keys))
        proxy.await_log("the local program cannot be reached: No such file or directory")

    def test_a_program_with_a_full_queue(self):
        """It is tried again until it has room."""
        target = self.path("program")
        with socket.socket(socket.AF_UNIX) as program:
            program.bind(target)
            program.listen(0)
            for _ in range(4):
                with socket.socket(socket.AF_UNIX) as filling: # stays in the queue when it is closed
                    filling.setblocking(False)
                    filling.connect_ex(target)
            proxy = self.proxy("--server", "--listen", "127.0.0.1:0", "--connect", target, "demo")
            connection = self.tls(("127.0.0.1", proxy.port()))
            connection.sendall(b"x")
            time.sleep(0.2) # so that it is refused a few times, most likely
            program.settimeout(PATIENCE)
            received = b""
            while received != b"x":
                with program.accept()[0] as accepted:
                    accepted.settimeout(PATIENCE)
                    received = accepted.recv(1)

    def test_loopback(self):
        listener = self.listener(echo)
        words = ("--server", "--listen", "127.0.0.1:0", "--connect", f"127.0.0.1:{listener.port}")
        self.refuse("every local user reaches a port", *words, "demo")
        self.refuse("only a socket's path", "--server", "--listen", "127.0.0.1:0", "--loopback", "--connect", "192.0.2.1:80", "demo")
        proxy = self.proxy(*words, "--loopback", "demo")
        with self.tls(("127.0.0.1", proxy.port())) as connection:
            connection.sendall(b"x")
            self.assertEqual(connection.recv(1), b"x")


if __name__ == "__main__":
    unittest.main()
