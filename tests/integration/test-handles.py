#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Credential handles over the wire: every purpose with what it signs and refuses, renewals, and holders who misbehave. Runs
inside tests/sandbox."""

import array
import hashlib
import os
import socket
import subprocess
import time
import unittest

import handle
from handle import Closed, Refused, certificate_verify
from sandboxed import CA, EST, SANDBOX, Case, run, service, wait_until

SCHEME = "ecdsa_secp256r1_sha256"
DIGEST = hashlib.sha256(b"transcript").digest()
MESSAGES = {
    "the client's handshake": certificate_verify("client", DIGEST),
    "the server's handshake": certificate_verify("server", DIGEST),
    "a message": b"a message",
}


def status_of_daemon(key):
    pid = run(os.path.join(SANDBOX, "bin/service"), "running", "identityd").stdout.decode().strip()
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key + ":"))


def descriptors_of_daemon():
    pid = run(os.path.join(SANDBOX, "bin/service"), "running", "identityd").stdout.decode().strip()
    return len(os.listdir(f"/proc/{pid}/fd"))


class Purposes(Case):
    def handle(self, purpose):
        opened = (self.data if purpose == "data-raw" else self.demo).open(purpose)
        self.addCleanup(opened.close)
        return opened

    def test_state(self):
        for purpose in ("tls-client", "tls-server", "digest", "data-raw"):
            state = self.handle(purpose).state
            identity = self.data if purpose == "data-raw" else self.demo
            self.assertEqual((state["identity"], state["purpose"], state["state"]), (identity.name, purpose, "ready"))
            self.assertEqual(state["generation"], identity.generation())
            self.assertEqual(state["not_after"], identity.get("NotAfter"))
            self.assertIn(handle.SCHEMES[SCHEME], state["schemes"])
            self.assertEqual(state["chain"].count(b"BEGIN CERTIFICATE"), 2)
            self.assertEqual(state["anchors"].count(b"BEGIN CERTIFICATE"), 1)

    def signed(self, purpose, message):
        """Signs a whole message; openssl must agree. False: refused as a violation of the purpose."""
        opened = self.handle(purpose)
        try:
            signature = opened.sign_message(SCHEME, message)
        except Refused as refused:
            self.assertEqual(refused.status, "purpose-violation", refused)
            return False
        self.verify((self.data if purpose == "data-raw" else self.demo).certificate(), SCHEME, message, signature)
        return True

    def test_messages(self):
        expected = {
            "tls-client": ["the client's handshake"],
            "tls-server": ["the server's handshake"],
            "data-raw": ["a message"],
            "digest": list(MESSAGES),
        }
        for purpose, allowed in expected.items():
            for name, message in MESSAGES.items():
                with self.subTest(purpose=purpose, message=name):
                    self.assertEqual(self.signed(purpose, message), name in allowed)

    def test_transcripts(self):
        for purpose, side in (("tls-client", "client"), ("tls-server", "server")):
            signature = self.handle(purpose).sign_transcript(SCHEME, DIGEST)
            self.verify(self.demo.certificate(), SCHEME, certificate_verify(side, DIGEST), signature)
        for purpose in ("data-raw", "digest"):
            with self.assertRaises(Refused) as caught:
                self.handle(purpose).sign_transcript(SCHEME, DIGEST)
            self.assertIn(caught.exception.status, ("purpose-violation", "invalid-argument"), purpose)

    def test_digests(self):
        signature = self.handle("digest").sign_digest(SCHEME, hashlib.sha256(b"anything").digest())
        self.verify(self.demo.certificate(), SCHEME, b"anything", signature)
        for purpose in ("tls-client", "tls-server", "data-raw"):
            with self.assertRaises(Refused) as caught:
                self.handle(purpose).sign_digest(SCHEME, DIGEST)
            self.assertEqual(caught.exception.status, "purpose-violation", purpose)

    def test_arguments(self):
        cases = {
            "a digest that is too short": ("digest", "sign_digest", SCHEME, DIGEST[:31]),
            "a digest that is too long": ("digest", "sign_digest", SCHEME, DIGEST + b"x"),
            "an empty digest": ("digest", "sign_digest", SCHEME, b""),
            "a scheme of another key": ("digest", "sign_digest", "rsa_pkcs1_sha256", DIGEST),
            "a scheme that nobody knows": ("digest", "sign_digest", 0xFFFF, DIGEST),
            "no scheme": ("digest", "sign_digest", 0, DIGEST),
            "a transcript of 31 bytes": ("tls-client", "sign_transcript", SCHEME, DIGEST[:31]),
            "a transcript of 64 bytes": ("tls-client", "sign_transcript", SCHEME, bytes(64)),
        }
        for name, (purpose, method, scheme, payload) in cases.items():
            with self.subTest(name):
                opened = self.handle(purpose)
                with self.assertRaises(Refused) as caught:
                    getattr(opened, method)(scheme, payload)
                self.assertEqual(caught.exception.status, "invalid-argument")
                self.assertIn(self.demo.name, caught.exception.text)
                opened.get_state()  # the handle lives on

    def test_generations(self):
        opened = self.handle("digest")
        opened.sign_digest(SCHEME, DIGEST, 0)  # whichever is current
        for generation in (opened.state["generation"] + 1, 0xFFFFFFFF):
            with self.assertRaises(Refused) as caught:
                opened.sign_digest(SCHEME, DIGEST, generation)
            self.assertIn(caught.exception.status, ("not-ready", "invalid-argument"))

    def test_who_may_open(self):
        self.refused("AccessDenied", self.demo.open, "data-raw")
        self.refused("AccessDenied", self.data.open, "tls-client")
        self.refused("AccessDenied", self.data.open, "digest")
        self.refused("InvalidArgument", self.demo.open, "weather")

    def test_other_user(self):
        if os.getuid() != 0:
            self.skipTest("only root can be another user")
        for purpose in ("tls-client", "digest"):
            result = run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "busctl", "--system", "call",
                         "org.identityd1", self.demo.path(), "org.identityd1.Identity", "OpenCredential", "sa{sv}", purpose, "0",
                         check=False)
            self.assertNotEqual(result.returncode, 0)
            self.assertIn("demo", result.stderr.decode())
        for method, arguments in (("Renew", ["a{sv}", "0"]), ("Enroll", ["a{sv}", "0"]), ("Retire", [])):
            generation = self.demo.generation()
            result = run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "busctl", "--system", "call",
                         "org.identityd1", self.demo.path(), "org.identityd1.Identity", method, *arguments, check=False)
            self.assertNotEqual(result.returncode, 0, method)
            self.assertIn("not permitted", result.stderr.decode())
            self.assertEqual(self.demo.generation(), generation)


class Renewals(Case):
    def test_state_is_pushed_and_the_old_generation_signs_on(self):
        opened = self.demo.open("digest")
        self.addCleanup(opened.close)
        old, certificate = opened.state["generation"], self.demo.certificate()
        self.demo.renew(rotate_key=True)
        kind, serial, _, pushed = opened.receive()
        while pushed["generation"] == old:
            kind, serial, _, pushed = opened.receive()
        self.assertEqual((kind, serial), (handle.STATE, 0))
        self.assertEqual(pushed["generation"], self.demo.generation())
        self.assertLessEqual(pushed["oldest"], old)
        message = b"begun before the renewal"
        digest = hashlib.sha256(message).digest()
        self.verify(certificate, SCHEME, message, opened.sign_digest(SCHEME, digest, old))
        self.verify(self.demo.certificate(), SCHEME, message, opened.sign_digest(SCHEME, digest, pushed["generation"]))

    def test_retire_closes(self):
        self.configure("short", f"""
[Identity]
Subject=CN=%d,OU=short
[Enrollment]
Server={EST}
Anchors={CA}/root.pem
ServerAnchors={CA}/server.pem
Authenticate=credential:enrollment-password
User=demo
[Access]
data-raw=user:{os.getuid()}
""")
        short = self.identity("short")
        short.wait("ready")
        opened = short.open("data-raw")
        self.addCleanup(opened.close)
        opened.sign_message(SCHEME, b"x")
        short.call("Retire")
        opened.wait_closed()
        self.assertEqual(short.state(), "retired")
        self.refused("Retired", short.open, "data-raw")
        short.enroll(new_key=True)
        short.wait("ready")
        with short.open("data-raw") as again:
            again.sign_message(SCHEME, b"x")
        held = short.open("data-raw")
        self.addCleanup(held.close)
        self.configure("short", None)
        held.wait_closed()
        self.refused("NoSuchIdentity", self.manager, "GetIdentity", "short")


class Hostile(Case):
    """What a holder may try: the handle closes or answers, and identityd neither grows nor stops serving others."""

    def raw(self):
        opened = self.demo.open("digest")
        self.addCleanup(opened.close)
        return opened

    def still_serves(self):
        with self.demo.open("digest") as good:
            good.sign_digest(SCHEME, DIGEST)

    def test_malformed_packets_close(self):
        header = handle.HEADER
        packets = {
            "an empty packet's neighbour, 1 byte": b"\x01",
            "15 bytes": bytes(15),
            "version 0": header.pack(0, 1, 0, 1, 0, 0, 0),
            "version 2": header.pack(2, 1, 0, 1, 0, 0, 0),
            "reserved bits": header.pack(1, 1, 0, 1, 0, 0, 1),
            "an unknown type": header.pack(1, 0x70, 0, 1, 0, 0, 0),
            "an answer": header.pack(1, 0x81, 0, 1, 0, 0, 0),
            "65537 bytes of payload": header.pack(1, 3, 0, 1, 1, 0x403, 0) + bytes(65537),
        }
        for name, packet in packets.items():
            with self.subTest(name):
                opened = self.raw()
                opened.socket.send(packet)
                opened.wait_closed()
        self.still_serves()

    def test_descriptors_close(self):
        self.still_serves()  # from now on one is kept for this connection's process
        before = descriptors_of_daemon()
        for count in (1, 4, 200):
            opened = self.raw()
            with open(os.devnull, encoding="utf-8") as null:
                content = array.array("i", [null.fileno()] * count)
                opened.socket.sendmsg([handle.HEADER.pack(1, 1, 0, 1, 0, 0, 0)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, content)])
            opened.wait_closed()
            opened.close()
        wait_until(lambda: descriptors_of_daemon() <= before, "descriptors to be closed")
        self.still_serves()

    def test_flood_without_reading(self):
        """Asks without end and never reads: the socket fills up, memory does not."""
        self.still_serves()
        before = status_of_daemon("VmRSS")
        opened = [self.raw() for _ in range(20)]
        for one in opened:
            one.socket.setblocking(False)
        end = time.monotonic() + 3
        sent = 0
        while time.monotonic() < end:
            blocked = 0
            for one in opened:
                try:
                    one.send(handle.GET_STATE)
                    sent += 1
                except BlockingIOError:
                    blocked += 1
                except Closed:
                    blocked += 1
            if blocked == len(opened):
                time.sleep(0.05)
        self.assertGreater(sent, 100)
        self.still_serves()
        grown = status_of_daemon("VmRSS") - before
        self.assertLess(grown, 20 * 1024, f"{grown} kB for {sent} packets")

    def test_flood_of_signatures_is_fair(self):
        flooders = [self.raw() for _ in range(8)]
        for one in flooders:
            one.socket.setblocking(False)
            try:
                for _ in range(1000):
                    one.send(handle.SIGN_DIGEST, DIGEST, one.state["generation"], handle.SCHEMES[SCHEME])
            except (BlockingIOError, Closed):
                pass
        with self.demo.open("digest") as good:
            begin = time.monotonic()
            for _ in range(5):
                good.sign_digest(SCHEME, DIGEST)
            self.assertLess(time.monotonic() - begin, 5)

    def test_open_and_close_leaves_nothing(self):
        self.still_serves()
        before = descriptors_of_daemon()
        for _ in range(60):
            with self.demo.open("digest"):
                pass
        wait_until(lambda: descriptors_of_daemon() <= before, "descriptors to be closed")

    def test_shut_down_one_direction(self):
        opened = self.raw()
        opened.socket.shutdown(socket.SHUT_RD)
        try:
            for _ in range(100):
                opened.send(handle.GET_STATE)
        except Closed:
            pass
        other = self.raw()
        other.socket.shutdown(socket.SHUT_WR)
        other.wait_closed()
        self.still_serves()

    def test_handle_goes_to_another_process(self):
        opened = self.raw()
        os.set_inheritable(opened.socket.fileno(), True)
        script = ("import sys; sys.path.insert(0, sys.argv[1]); from handle import Handle; h = Handle(int(sys.argv[2]), False); "
                  "h.state = {'generation': int(sys.argv[3])}; print(len(h.sign_digest(0x403, bytes(32))))")
        result = subprocess.run(["/usr/bin/python3", "-c", script, os.path.dirname(os.path.abspath(__file__)),
                                 str(opened.socket.fileno()), str(opened.state["generation"])], capture_output=True, check=False,
                                pass_fds=[opened.socket.fileno()])
        self.assertEqual(result.returncode, 0, result.stderr.decode())

    def test_mutations(self):
        """Every byte of a good packet changed: an answer or a closed handle, never silence and never a signature of something
        else."""
        message = b"a message to be signed"
        good = handle.HEADER.pack(1, handle.SIGN_MESSAGE, 0, 7, self.demo.generation(), 0x403, 0) + message
        opened = self.raw()
        for position in range(handle.HEADER.size):
            for change in (0x01, 0x80, 0xFF):
                packet = bytearray(good)
                packet[position] ^= change
                try:
                    opened.socket.send(bytes(packet))
                    opened.receive(5)
                except (Closed, BrokenPipeError, ConnectionResetError):
                    opened.close()
                    opened = self.raw()
        self.still_serves()


class Limits(Case):
    def test_handles_per_user(self):
        """Root is not limited; anybody else is, and closing gives the place back."""
        opened = []
        self.addCleanup(lambda: [one.close() for one in opened])
        if os.getuid() == 0:
            for _ in range(80):
                opened.append(self.demo.open("digest"))
            return
        text = ""
        for _ in range(80):
            try:
                opened.append(self.demo.open("digest"))
            except Exception as error:  # pylint: disable=broad-except
                text = str(error)
                break
        self.assertIn("LimitsExceeded", text)
        self.assertEqual(len(opened), 64)
        opened.pop().close()
        wait_until(self.can_open, "the place of a closed handle")

    def can_open(self):
        try:
            self.demo.open("digest").close()
            return True
        except Exception:  # pylint: disable=broad-except
            return False

    def test_killed_daemon_closes_handles(self):
        opened = self.demo.open("digest")
        self.addCleanup(opened.close)
        service("kill", "identityd")
        opened.wait_closed()
        service("start", "identityd")
        type(self).connect()
        self.demo.wait("ready")
        self.data.wait("ready")
        with self.demo.open("digest") as again:
            again.sign_digest(SCHEME, DIGEST)


if __name__ == "__main__":
    unittest.main()
