#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""libidentityd and the PKCS#11 module with the real identityd, keys in the TPM: loops of handshakes and signatures across
renewals with new keys, a restart, a revocation. Runs inside tests/sandbox."""

import contextlib
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

import ended
from lifecycle import checking, revoke
from sandboxed import CA, Case, idctl, run, service, sign_request, wait_until

BUILD = os.environ["BUILD"]
SOURCE = os.environ["SOURCE"]
HANDSHAKES = os.path.join(BUILD, "tests/integration/handshake-client")
HANDLES = os.path.join(BUILD, "tests/integration/handles-client")
EXAMPLE = os.path.join(SOURCE, "client-lib/examples/handle.py")
MUTUAL_TLS = os.path.join(BUILD, "tests/integration/mutual-tls")
MODULE = os.environ.get("PKCS11_MODULE", "")


class Client(Case):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="idc.")
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def start(self, *words):
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

        def end():
            process.kill()
            process.communicate()

        self.addCleanup(end)
        return process

    @staticmethod
    def renew(*identities):
        time.sleep(1.1)  # a certificate that ends no later is no renewal
        for identity in identities:
            idctl("renew", identity, "--rotate-key")

    def finish(self, process, status=0):
        out, err = process.communicate(timeout=120)
        self.assertEqual(process.returncode, status, out + err)
        return out, err

    def counts(self, text, what):
        done, failures, generations = re.search(what + r" (\d+) failures (\d+) generations ([\d,]*)", text).groups()
        return int(done), int(failures), generations.split(",")


class Ends(Client):
    """The same test as with the fake: see ended.py."""

    def ends(self, state, end):
        name = "ends-" + state
        self.configure(name, checking(access="data-raw"))
        self.addCleanup(self.configure, name, None)
        identity = self.identity(name)
        identity.wait("ready")
        ended.check(self, [], name, lambda _: end(identity), state)
        self.assertEqual(identity.state(), state)

    def test_revoked(self):
        self.ends("revoked", revoke)

    def test_retired(self):
        self.ends("retired", lambda identity: idctl("retire", "--yes", "ends-retired"))


class Handles(Client):
    def test_all_purposes_across_renewals(self):
        processes = [self.start(HANDLES, "--handles", "2", "--seconds", "7", "--pause", "5", identity, purpose)
                     for identity, purpose in (("demo", "tls-client"), ("demo", "tls-server"), ("demo", "digest"),
                                               ("demo-data", "data-raw"))]
        for _ in range(3):
            self.renew("demo", "demo-data")
        for process in processes:
            out, _ = self.finish(process)
            done, failures, generations = self.counts(out, "signatures")
            self.assertGreater(done, 20)
            self.assertEqual(failures, 0)
            self.assertGreaterEqual(len(generations), 2)

    def test_restart(self):
        process = self.start(HANDLES, "--seconds", "6", "--pause", "20", "--reopen", "demo", "digest")
        time.sleep(1)
        service("restart", "identityd")
        type(self).connect()
        self.demo.wait("ready")
        self.data.wait("ready")
        out, err = process.communicate(timeout=60)
        done, failures, _ = self.counts(out, "signatures")
        self.assertGreater(done, failures + 50, out + err)

    def test_refusals(self):
        for arguments, text in ((("demo", "data-raw"), "demo"), (("demo-data", "tls-client"), "demo-data"), (("nobody", "data-raw"), "nobody")):
            process = self.start(HANDLES, *arguments)
            _, err = self.finish(process, 2)
            self.assertIn(text, err)

    def test_python_example(self):
        chain = os.path.join(self.directory, "chain")
        signature = run("/usr/bin/python3", EXAMPLE, "demo-data", "--chain", chain, data=b"message").stdout
        with open(os.path.join(self.directory, "signature"), "wb") as file:
            file.write(signature)
        public = run("openssl", "x509", "-in", chain, "-noout", "-pubkey").stdout
        with open(os.path.join(self.directory, "public"), "wb") as file:
            file.write(public)
        run("openssl", "dgst", "-sha256", "-verify", self.directory + "/public", "-signature", self.directory + "/signature",
            data=b"message")


class Handshakes(Client):
    def test_across_renewals(self):
        """Both ends with the device's keys, while they are renewed."""
        address = "unix:" + os.path.join(self.directory, "tls")
        count = "250"
        server = self.start(HANDSHAKES, "--listen", "--count", count, "demo", address)
        while not os.path.exists(address[5:]):
            self.assertIsNone(server.poll(), "the server ended")
            time.sleep(0.02)
        client = self.start(HANDSHAKES, "--count", count, "--pause", "20", "demo", address)
        for _ in range(3):
            self.renew("demo")
        for process in (client, server):
            out, err = self.finish(process)
            done, failures, generations = self.counts(out, "handshakes")
            self.assertEqual((done, failures), (250, 0), err)
            self.assertGreaterEqual(len(generations), 3)


class Greeted:
    """A TLS server of the lab CA that demands a certificate and keeps who said hello last."""

    def __init__(self, directory):
        key, request, self.chain = (os.path.join(directory, name) for name in ("key", "request", "chain"))
        run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-outform", "DER", "-out", request)
        with open(request, "rb") as der, open(self.chain, "w", encoding="ascii") as file:
            file.write(sign_request(der.read(), "--chain"))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.chain, key)
        self.context.load_verify_locations(CA + "/root.pem")
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.greeter = None
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError: # closed
                return
            connection.settimeout(30)
            with contextlib.suppress(OSError), self.context.wrap_socket(connection, server_side=True) as tls:
                if tls.recv(6) == b"hello\n":
                    self.greeter = tls.getpeercert(True)


class CExample(Client):
    def test_across_renewals_and_a_restart(self):
        server = Greeted(self.directory)
        self.addCleanup(server.socket.close)
        example = self.start(MUTUAL_TLS, "demo", "localhost", str(server.port))
        for what in (lambda: None, lambda: self.renew("demo"), lambda: self.renew("demo"), self.restart):
            what()
            server.greeter = None
            wait_until(lambda: server.greeter == self.demo.certificate(), "a hello with the certificate of today", 60)
            self.assertIsNone(example.poll())

    def restart(self):
        service("restart", "identityd")
        type(self).connect()
        self.demo.wait("ready")

    def test_refusals(self):
        for words, text in ((("nobody", "localhost", "1"), "nobody"), (("demo-data", "localhost", "1"), "demo-data"), ((), "IDENTITY HOST PORT")):
            self.assertIn(text, self.finish(self.start(MUTUAL_TLS, *words), 1)[1])


@unittest.skipUnless(MODULE and shutil.which("p11tool"), "no PKCS#11 module, or no p11tool")
class Pkcs11(Client):
    def test_signs_across_renewals(self):
        """Only what is granted for digest is on the token."""
        for _ in range(2):
            listed = run("p11tool", "--provider", MODULE, "--list-all", "pkcs11:token=identityd").stdout.decode()
            self.assertIn("object=demo;", listed)
            self.assertNotIn("object=demo-data;", listed)
            tested = run("p11tool", "--provider", MODULE, "--test-sign", "pkcs11:token=identityd;object=demo;type=private")
            self.assertIn("Verifying against public key in the token... ok", tested.stdout.decode() + tested.stderr.decode())
            self.renew("demo")

    @unittest.skipUnless(shutil.which("pkcs11-tool"), "no pkcs11-tool")
    def test_pkcs11_tool(self):
        tested = run("pkcs11-tool", "--module", MODULE, "--test")
        self.assertIn("No errors", tested.stdout.decode() + tested.stderr.decode())


if __name__ == "__main__":
    unittest.main()
