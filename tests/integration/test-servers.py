#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""EST as servers that others wrote speak it: what they leave out, add or do in their own way hinders no enrolment, and what
does is named. Runs inside tests/sandbox."""

import base64
import os
import select
import shutil
import socket
import threading
import unittest

from sandboxed import CA, EST, SANDBOX, Case, control, log, requests, wait_until

PASSWORD = "Authenticate=credential:enrollment-password\nUser=demo"
USUAL = f"Server={EST}\nAnchors={CA}/root.pem\nServerAnchors={CA}/server.pem\n{PASSWORD}"


def configuration(enrollment, more=""):
    return f"[Identity]\nSubject=CN=%d,O=test\n[Enrollment]\n{enrollment}\n[Access]\ndata=user:{os.getuid()}\n{more}"


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
