#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""EST as servers that others wrote speak it: what they leave out, add or do in their own way hinders no enrolment, and what
does is named. Runs inside tests/sandbox."""

import base64
import os
import select
import shutil
import socket
import subprocess
import tempfile
import threading
import unittest

from sandboxed import CA, EST, SANDBOX, Case, control, log, requests, run, wait_until

PASSWORD = "Authenticate=credential:enrollment-password\nUser=demo"
USUAL = f"Server={EST}\nAnchors={CA}/root.pem\nServerAnchors={CA}/server.pem\n{PASSWORD}"


def configuration(enrollment, more=""):
    return f"[Identity]\nSubject=CN=%d,O=test\n[Enrollment]\n{enrollment}\n[Access]\ndata-raw=user:{os.getuid()}\n{more}"


class Proxy:
    """Of HTTP: CONNECT and GET, for who shows the password. `seen` has the request lines that it served."""

    def __init__(self, user, password):
        self.wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self.seen = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.socket.close()

    def accept(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                byte = client.recv(1)
                if not byte:
                    return
                head += byte
            lines = head.decode().split("\r\n")
            if f"Proxy-Authorization: {self.wanted}" not in lines:
                client.sendall(b'HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm="proxy"\r\nContent-Length: 0\r\n'
                               b"Connection: close\r\n\r\n")
                return
            self.seen.append(lines[0])
            method, target, _ = lines[0].split()
            host, port = (target if method == "CONNECT" else target.split("/")[2]).rsplit(":", 1)
            with socket.create_connection((host, int(port))) as server:
                if method == "CONNECT":
                    client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                else:
                    path = target.split("/", 3)[3]
                    server.sendall(f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                self.carry(client, server)

    @staticmethod
    def carry(client, server):
        while True:
            for source in select.select([client, server], [], [])[0]:
                data = source.recv(65536)
                if not data:
                    return
                (server if source is client else client).sendall(data)


class Apache:
    """It asks for the client's certificate after the handshake, for the one path that wants it, as `SSLVerifyClient` in a
    <Location> has it do: TLS 1.3 asks by post-handshake authentication, TLS 1.2 by a renegotiation."""

    def __init__(self, protocol):
        self.directory = tempfile.mkdtemp(prefix="identityd-apache-")
        os.chmod(self.directory, 0o755)  # what serves is not root
        self.port = self.free_port()
        os.makedirs(self.directory + "/htdocs/.well-known/est")
        with open(self.directory + "/htdocs/.well-known/est/cacerts", "wb") as file:
            file.write(run("curl", "-sS", "--noproxy", "*", "--cacert", CA + "/server.pem", EST + "/cacerts").stdout)
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
            "/CN=apache", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "server.pem", cwd=self.directory)
        with open(self.directory + "/httpd.conf", "w", encoding="utf-8") as file:
            file.write(self.configuration(protocol))
        self.process = subprocess.Popen(["apache2", "-X", "-d", self.directory, "-f", "httpd.conf"])

    def wait(self):
        wait_until(self.answers, "apache2 to listen")

    @staticmethod
    def free_port():
        with socket.create_server(("127.0.0.1", 0)) as chosen:
            return chosen.getsockname()[1]

    def configuration(self, protocol):
        modules = "".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"
                          for name in ("mpm_event", "authz_core", "socache_shmcb", "ssl"))
        return (f"{modules}ServerName 127.0.0.1\nListen 127.0.0.1:{self.port}\nPidFile pid\nDefaultRuntimeDir .\nErrorLog error.log\n"
                f"DocumentRoot {self.directory}/htdocs\nUser nobody\nGroup nogroup\nMutex file:.\n"
                f"SSLEngine on\nSSLProtocol {protocol}\nSSLSessionCache none\nSSLCertificateFile server.pem\n"
                f"SSLCertificateKeyFile key.pem\nSSLCACertificateFile {CA}/root.pem\n"
                "<Location /.well-known/est/simpleenroll>\nSSLVerifyClient require\nSSLVerifyDepth 5\n</Location>\n")

    def answers(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def close(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.directory)


class Servers(Case):
    def setUp(self):
        control("clear")
        self.addCleanup(control, "clear")

    def made(self, name, text):
        """An identity that the test takes away again."""
        self.configure(name, text)
        self.addCleanup(self.forget, name)
        return self.identity(name)

    def forget(self, name):
        self.configure(name, None)
        shutil.rmtree(f"{SANDBOX}/state/{name}", ignore_errors=True)

    def test_probe_says_what_came(self):
        report = str(self.manager("ProbeServer", "demo"))
        self.assertRegex(report, r'answer: 2 CA certificates: "CN=.*", "CN=.*"\n')

    def test_attributes_that_cannot_be_read(self):
        control("fault", "csrattrs", "status", "code=405", "count=0")
        self.made("one", configuration(USUAL)).wait("ready")
        said = log("enroller").count("one: ")
        self.assertIn(f"one: {EST}/csrattrs cannot be read, so the CA is taken to want nothing in particular",
                      log("enroller"))
        self.assertEqual(said, 1)

    def test_proxy_with_password(self):
        """The job and the fetch of CRLs go through a proxy that wants a user and password."""
        proxy = Proxy("branch", "open: sesame")
        self.addCleanup(proxy.close)
        with open(SANDBOX + "/credentials/proxy-password", "w", encoding="utf-8") as file:
            file.write("open: sesame")
        way = f"{USUAL}\nProxy=http://127.0.0.1:{proxy.port}"
        one = self.made("one", configuration(f"{way}\nProxyUser=branch\nProxyCredential=proxy-password",
                                             "[Revocation]\nCheck=crl\nInterval=1s\n"))
        one.wait("ready")
        one.renew()
        wait_until(lambda: any(line.startswith("GET http://") for line in proxy.seen), "a CRL through the proxy")
        self.assertTrue(any(line.startswith("CONNECT ") for line in proxy.seen))
        two = self.made("two", configuration(way))
        wait_until(lambda: two.get("LastError") != "", "a refusal")
        self.assertIn("it wants ProxyUser= and ProxyCredential=", two.get("LastError"))
        three = self.made("three", configuration(f"{way}\nProxyUser=branch\nProxyCredential=nowhere"))
        wait_until(lambda: three.get("LastError") != "", "a complaint")
        self.assertIn("the systemd credential nowhere, which cannot be read", three.get("LastError"))
        self.assertNotIn("sesame", log("identityd") + log("enroller") + log("fetch"))

    def test_redirect(self):
        control("fault", "simpleenroll", "redirect", "code=307", "location=/.well-known/est/line-3/simpleenroll")
        self.made("one", configuration(USUAL)).wait("ready")
        self.assertIn("label=line-3", requests("simpleenroll")[-1])

    def refused_by_apache(self, name, protocol, more=""):
        """What comes of an enrolment that authenticates by certificate."""
        apache = Apache(protocol)
        self.addCleanup(apache.close)
        apache.wait()
        one = self.made(name, configuration(f"Server=https://127.0.0.1:{apache.port}/.well-known/est\nAnchors={CA}/root.pem\n"
                                            f"ServerAnchors={apache.directory}/server.pem\nAuthenticate=identity:demo\n{more}"))
        wait_until(lambda: one.get("LastError") != "", "a refusal")
        return str(one.get("LastError"))

    def test_certificate_asked_for_after_the_handshake(self):
        """libcurl offers no post-handshake authentication, and what Apache says to that helps nobody: we say what to change there.
        A renegotiation it goes along with: what comes then is that there is no EST behind this Apache."""
        self.assertRegex(self.refused_by_apache("one", "TLSv1.3"), "/simpleenroll: .* 403 came.*after the handshake.*let it ask within")
        self.assertRegex(self.refused_by_apache("two", "TLSv1.2", "AllowTLS12=yes"), "/simpleenroll: .* 404 came")

    def test_password_over_tls12(self):
        control("fault", "connection", "tls12", "count=0")
        warning = " was enrolled by password over TLS 1.2"
        self.made("one", configuration(USUAL)).wait("ready")
        self.assertIn("one" + warning, log("identityd"))
        self.made("two", configuration(USUAL + "\nAllowTLS12=yes")).wait("ready")
        self.made("three", configuration(USUAL, f"[Renewal]\n{PASSWORD}\n")).wait("ready")
        control("clear")
        self.made("four", configuration(USUAL)).wait("ready")
        self.assertEqual(log("identityd").count(warning), 1)


if __name__ == "__main__":
    unittest.main()
