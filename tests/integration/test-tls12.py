#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""TLS12=yes: a `tls-client` handle, and nothing more, against servers that speak TLS 1.2 alone, over three renewals. Runs inside
tests/sandbox. The servers are openssl s_server, gnutls-serv and mosquitto; the clients openssl s_client, curl, Python's ssl and
mosquitto_pub with the provider, idctl and the proxy with libidentityd-gnutls."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import unittest

from openssl_provider import ProviderCase, chain, key
from sandboxed import CA, SANDBOX, read, run, sign_request, wait_until

ROOT = CA + "/root.pem"
PYTHON = """
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2])
context.load_cert_chain(sys.argv[3], sys.argv[4])
with socket.create_connection(("localhost", int(sys.argv[1])), 10) as raw:
    with context.wrap_socket(raw, server_hostname="localhost") as tls:
        tls.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
        assert tls.version() == "TLSv1.2" and tls.recv(100)
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def is_listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Tls12(ProviderCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.directory = tempfile.mkdtemp(prefix="tls12.", dir=SANDBOX)
        cls.certificate, cls.private = cls.directory + "/server.crt", cls.directory + "/server.key"
        run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "extendedKeyUsage=serverAuth", "-keyout", cls.private,
            "-outform", "DER", "-out", cls.directory + "/csr")
        with open(cls.directory + "/csr", "rb") as file:
            certificate = sign_request(file.read(), "--chain", "--lifetime", "3600")
        with open(cls.certificate, "w", encoding="utf-8") as file:
            file.write(certificate)
        cls.environment = {**os.environ, "OPENSSL_CONF": cls.plain_configuration, "HOME": cls.directory}
        cls.old = cls.add("old", tls_client=True)
        cls.configure(cls, "old", read(f"{SANDBOX}/etc/identities/old.conf") + "TLS12=yes\n")
        cls.old.wait("ready", 60)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.directory)

    def start(self, *words, port=None):
        output = open(f"{self.directory}/{os.path.basename(words[0])}.log", "wb")
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=output, stderr=output)
        output.close()

        def end():
            process.kill()
            process.wait()
            process.stdin.close()
        self.addCleanup(end)
        port = port or int(words[-1])
        wait_until(lambda: is_listening(port), words[0])
        return port

    def s_server(self, *more):
        return self.start("openssl", "s_server", "-tls1_2", "-www", "-cert", self.certificate, "-cert_chain", self.certificate, "-key",
                          self.private, "-CAfile", ROOT, "-Verify", "3", "-verify_return_error", *more, "-accept", str(free_port()))

    def gnutls_serv(self):
        return self.start("gnutls-serv", "--http", "--x509certfile", self.certificate, "--x509keyfile", self.private, "--x509cafile", ROOT,
                          "--require-client-cert", "--verify-client-cert", "--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.2", "--port",
                          str(free_port()))

    def mosquitto(self):
        port = free_port()
        with open(self.directory + "/mosquitto.conf", "w", encoding="utf-8") as file:
            file.write(f"listener {port} 127.0.0.1\ncafile {ROOT}\ncertfile {self.certificate}\nkeyfile {self.private}\n"
                       "require_certificate true\ntls_version tlsv1.2\nuse_identity_as_username true\n"
                       f"user {pwd.getpwuid(os.getuid()).pw_name}\n")
        return self.start(shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin"), "-c", self.directory + "/mosquitto.conf",
                          port=port)

    def run_client(self, *words, check=True, **more):
        return run("timeout", "-k", "2", "30", *words, check=check, env=self.environment, cwd=self.directory, **more)

    def clients(self, port, name="old"):
        """Each loads the files anew, as after a renewal."""
        said = self.run_client("openssl", "s_client", "-connect", f"localhost:{port}", "-CAfile", ROOT, "-verify_return_error", "-cert",
                               chain(name), "-cert_chain", chain(name), "-key", key(name), data=b"GET / HTTP/1.0\r\n\r\n").stdout
        self.assertIn(b"TLSv1.2", said)
        self.run_client("curl", "-sSf", "-o", "/dev/null", "--cacert", ROOT, "--cert", chain(name), "--key", key(name),
                        f"https://localhost:{port}/")
        self.run_client("/usr/bin/python3", "-c", PYTHON, str(port), ROOT, chain(name), key(name))
        self.run_client("idctl", "connect", "--check", name, f"localhost:{port}")

    def test_over_three_renewals(self):
        servers = [self.s_server()]
        if shutil.which("gnutls-serv"):
            servers.append(self.gnutls_serv())
        broker = self.mosquitto() if shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin") else None
        for generation in range(4):
            with self.subTest(renewals=generation):
                for port in servers:
                    self.clients(port)
                if broker:
                    self.run_client("mosquitto_pub", "-h", "localhost", "-p", str(broker), "--cafile", ROOT, "--cert", chain("old"), "--key",
                                    key("old"), "-t", "t", "-m", "m", "-q", "1")
            before = self.old.get("Generation")
            self.old.renew()
            self.assertEqual(self.old.get("Generation"), before + 1)

    def test_without_the_switch(self):
        port = self.s_server()
        self.add_ready("new", tls_client=True)
        refused = self.run_client("curl", "-sS", "--cacert", ROOT, "--cert", chain("new"), "--key", key("new"), f"https://localhost:{port}/",
                                  check=False)
        self.assertNotEqual(refused.returncode, 0)
        refused = self.run_client("idctl", "connect", "--check", "new", f"localhost:{port}", check=False)
        self.assertNotEqual(refused.returncode, 0)
        # It is there from the reload on, without a restart of anything.
        self.configure("new", read(f"{SANDBOX}/etc/identities/new.conf") + "TLS12=yes\n")
        self.clients(port, "new")
        self.configure("new", read(f"{SANDBOX}/etc/identities/new.conf").replace("TLS12=yes\n", ""))
        refused = self.run_client("idctl", "connect", "--check", "new", f"localhost:{port}", check=False)
        self.assertNotEqual(refused.returncode, 0)

    def test_tls_13_goes_on(self):
        port = self.start("openssl", "s_server", "-tls1_3", "-www", "-cert", self.certificate, "-cert_chain", self.certificate, "-key",
                          self.private, "-CAfile", ROOT, "-Verify", "3", "-verify_return_error", "-accept", str(free_port()))
        self.run_client("curl", "-sSf", "-o", "/dev/null", "--cacert", ROOT, "--cert", chain("old"), "--key", key("old"),
                        f"https://localhost:{port}/")
        self.run_client("idctl", "connect", "--check", "old", f"localhost:{port}")

    def test_rsa(self):
        """PKCS#1, which TLS 1.3 does not have, where a server asks for nothing else."""
        self.add("old-rsa", "rsa-2048", tls_client=True)
        self.configure("old-rsa", read(f"{SANDBOX}/etc/identities/old-rsa.conf") + "TLS12=yes\n")
        self.identity("old-rsa").wait("ready", 60)
        for algorithms in ("RSA+SHA256", "RSA-PSS+SHA256"):
            with self.subTest(algorithms):
                self.clients(self.s_server("-client_sigalgs", algorithms), "old-rsa")

    def test_p384(self):
        """Where a server asks for SHA-256 alone, which TLS 1.2 allows with any curve and GnuTLS then picks; and where for SHA-384."""
        self.add("old-p384", "ecdsa-p384", tls_client=True)
        self.configure("old-p384", read(f"{SANDBOX}/etc/identities/old-p384.conf") + "TLS12=yes\n")
        self.identity("old-p384").wait("ready", 60)
        for algorithms in ("ECDSA+SHA256", "ECDSA+SHA384"):
            with self.subTest(algorithms):
                port = self.s_server("-client_sigalgs", algorithms)
                self.run_client("idctl", "connect", "--check", "old-p384", f"localhost:{port}")

    @unittest.skipUnless(shutil.which("identityd-proxy"), "there is no identityd-proxy in this build")
    def test_proxy(self):
        port, path = self.s_server(), self.directory + "/proxy"
        process = subprocess.Popen(["identityd-proxy", "--listen", path, "--connect", f"localhost:{port}", "old"])
        self.addCleanup(process.wait, 20)
        self.addCleanup(process.terminate)
        wait_until(lambda: os.path.exists(path), "the proxy's socket")
        for generation in range(2):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(30)
                connection.connect(path)
                connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                self.assertTrue(connection.recv(100).startswith(b"HTTP/1.0 200"))
            if generation == 0:
                self.old.renew()

    def test_nothing_else_is_signed(self):
        """What only begins like a handshake."""
        message = self.directory + "/message"
        with open(message, "wb") as file:
            file.write(b"\x01\x00\x00\x05hello")
        self.assertNotEqual(self.run_client("openssl", "dgst", "-sha256", "-sign", key("old"), message, check=False).returncode, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
