#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""identityd-proxy beside those who mean it ill: processes of its own user, clients that say nothing, users and addresses that
want everything for themselves. Runs inside tests/sandbox."""

import os
import pwd
import select
import socket
import subprocess
import sys
import time
import unittest

from proxied import PATIENCE, Keys, ProxyCase, client_context, echo, receive_exactly, server_context, talk
from sandboxed import read, run, wait_until


def other_user():
    """How to start a process that has no privileges: as somebody else where we are root."""
    if os.getuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


class Memory(ProxyCase):
    """What a process of the same user reads of it: nothing."""

    def start(self):
        """One without privileges, that waits for an identityd which is not there."""
        log = open(f"{self.directory}/unprivileged.log", "wb")
        self.addCleanup(log.close)
        process = subprocess.Popen(["identityd-proxy", "--listen", "127.0.0.1:0", "--loopback", "--connect", "localhost:1", "demo"],
                                   env=dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS="unix:path=/nonexistent", ASAN_OPTIONS=""),
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log, **other_user())
        self.addCleanup(lambda: (process.kill(), process.wait()))
        wait_until(lambda: "new connections wait" in read(log.name) or process.poll() is not None, "it to wait", PATIENCE)
        self.assertIsNone(process.poll(), read(log.name))
        return process

    def test_nothing_is_read_by_the_same_user(self):
        process = self.start()
        tries = "; ".join(("import sys, ctypes",
                           "c = ctypes.CDLL(None, use_errno=True)",
                           "print([name for name in ('mem', 'environ', 'maps', 'fd/0') if opens(name)] +"
                           " (['ptrace'] if c.ptrace(0x4206, int(sys.argv[1]), 0, 0) == 0 else []))"))
        script = ("def opens(name):\n    import sys\n    try:\n        return open(f'/proc/{sys.argv[1]}/{name}', 'rb') is not None\n"
                  "    except OSError:\n        return False\n" + tries)
        said = run(sys.executable, "-c", script, str(process.pid), **other_user()).stdout.decode().strip()
        self.assertEqual(said, "[]")
        # The same attempts succeed with a process that does not mind, so that they can fail.
        willing = subprocess.Popen(["sleep", "60"], **other_user())
        self.addCleanup(lambda: (willing.kill(), willing.wait()))
        said = run(sys.executable, "-c", script, str(willing.pid), **other_user()).stdout.decode().strip()
        self.assertIn("environ", said)

    def test_no_core(self):
        process = self.start()
        self.assertRegex(read(f"/proc/{process.pid}/limits"), r"Max core file size +0 +0 ")


class ServerCase(ProxyCase):
    """A proxy with --server in front of a local program that sends everything back."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.keys = Keys(cls.directory, "client", names="DNS:client.example", usage="clientAuth")

    def start(self, *words):
        target = self.path("program")
        self.listener(echo, path=target)
        proxy = self.proxy("--server", "--listen", "127.0.0.1:0", "--connect", target, *words, "demo")
        return ("127.0.0.1", proxy.port()), proxy

    def raw(self, address, source="127.0.0.1"):
        """A connection that says nothing by itself."""
        connection = socket.create_connection(address, PATIENCE, (source, 0))
        self.addCleanup(connection.close)
        return connection

    def is_served(self, address, source="127.0.0.1"):
        with client_context(self.keys).wrap_socket(self.raw(address, source)) as tls:
            tls.sendall(b"hello")
            return receive_exactly(tls, 5) == b"hello"


class Slots(ServerCase):
    """Handshakes of those who say nothing."""

    def flood(self, address, sources, number=300):
        """So many connections, which stay; how many the proxy has closed by now."""
        silent = [self.raw(address, sources[i % len(sources)]) for i in range(number)]
        return silent

    def closed(self, silent):
        ready, _, _ = select.select(silent, [], [], 0)
        return len(ready)

    def test_silent_connections_of_many_addresses(self):
        address, proxy = self.start("--peer-timeout", "600", "--handshake-timeout", "600")
        silent = self.flood(address, [f"127.0.1.{i}" for i in range(1, 101)])
        started = time.monotonic()
        self.assertTrue(self.is_served(address))
        print(f"served in {time.monotonic() - started:.2f} s beside {len(silent)} silent connections of 100 addresses")
        self.assertLess(self.closed(silent), 300)
        self.assertGreaterEqual(self.closed(silent), 300 - 256)
        self.assertIn("it made room for another handshake (--max-handshakes)", proxy.log())

    def test_silent_connections_of_the_same_address(self):
        """Behind one address there may be many, and only some of them mean it ill."""
        address, proxy = self.start("--peer-timeout", "600", "--handshake-timeout", "600", "--max-handshakes-per-source", "16")
        silent = self.flood(address, ["127.0.0.1"])
        wait_until(lambda: self.closed(silent) == 300 - 16, "all but its share to be closed", PATIENCE)
        started = time.monotonic()
        self.assertTrue(self.is_served(address))
        print(f"served in {time.monotonic() - started:.2f} s beside {len(silent)} silent connections of its own address")
        self.assertTrue(self.is_served(address, "127.0.0.9"))
        self.assertNotIn("cannot accept", proxy.log())

    def test_silent_connections_keep_no_place(self):
        """Handshakes are counted for themselves."""
        address, _ = self.start("--max-connections", "1", "--max-per-source", "1", "--peer-timeout", "600", "--handshake-timeout", "600")
        silent = [self.raw(address) for _ in range(20)]
        self.assertTrue(self.is_served(address))
        self.assertEqual(self.closed(silent), 0)

    def test_bytes_give_no_more_time(self):
        """A ClientHello whose bytes come one at a time."""
        address, proxy = self.start("--peer-timeout", "1")
        slow = self.raw(address)
        hello = bytes([22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]) + bytes(500)
        with self.assertRaises((BrokenPipeError, ConnectionResetError)):
            for byte in hello * 100:
                slow.sendall(bytes([byte]))
                time.sleep(0.02)
        proxy.await_log("the client kept its handshake waiting for 1 s in all (--peer-timeout)")

    def test_the_log_has_a_limit(self):
        address, proxy = self.start("--log-limit", "40")
        for _ in range(200):
            self.raw(address).close()
        others = [f"127.0.0.{i}" for i in range(11, 17)]
        for source in others: # are still heard of, but for one that by chance shares the counter
            self.assertTrue(self.is_served(address, source))
        wait_until(lambda: any(f"open from {source}:" in proxy.log() for source in others), "a line about another", PATIENCE)
        self.assertEqual(proxy.end(), 0)
        self.assertLess(proxy.log().count("refused 127.0.0.1:"), 11)
        self.assertIn("10 lines about connections from 127.0.0.1 within a minute", proxy.log())
        self.assertRegex(proxy.log(), r"[0-9]+ lines about connections were left out")


class Places(ServerCase):
    """Connections that stand."""

    def test_one_source_does_not_take_all(self):
        address, proxy = self.start("--max-connections", "4")
        first = [client_context(self.keys).wrap_socket(self.raw(address)) for _ in range(2)]
        for tls in first:
            self.addCleanup(tls.close)
            tls.sendall(b"x")
            receive_exactly(tls, 1)
        with self.assertRaises((OSError, EOFError)), client_context(self.keys).wrap_socket(self.raw(address)) as third:
            third.sendall(b"x")
            receive_exactly(third, 1)
        proxy.await_log("whom it is from has 2 connections, the limit (--max-per-source)")
        self.assertTrue(self.is_served(address, "127.0.0.2"))
        for tls in first:
            tls.sendall(b"y")
            self.assertEqual(receive_exactly(tls, 1), b"y")

    def test_local_users_have_shares(self):
        """A socket that two users may connect to, of whom one takes what it can."""
        if os.getuid() != 0:
            self.skipTest("only root can be two users")
        keys = Keys(self.directory, "peer")
        context = server_context(keys)
        peer = self.listener(echo, lambda connection: context.wrap_socket(connection, server_side=True))
        path = self.path()
        proxy = self.proxy("--listen", path, "--mode", "0666", "--connect", f"localhost:{peer.port}", "--max-connections", "4", "demo")
        script = ("import socket, sys, time\nheld = []\nfor _ in range(10):\n    s = socket.socket(socket.AF_UNIX)\n    s.connect(sys.argv[1])\n"
                  "    held.append(s)\nprint('held', flush=True)\ntime.sleep(600)\n")
        greedy = subprocess.Popen([sys.executable, "-c", script, path], stdout=subprocess.PIPE, **other_user())
        self.addCleanup(lambda: (greedy.kill(), greedy.communicate()))
        self.assertEqual(greedy.stdout.readline(), b"held\n")
        proxy.await_log("whom it is from has 2 connections, the limit (--max-per-source)", 8)
        self.assertEqual(talk(path), b"hello")


if __name__ == "__main__":
    unittest.main()
