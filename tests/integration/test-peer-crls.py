#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Peers whose certificates are from another CA than ours: its CRLs are fetched and kept, and programs refuse who is listed.
Runs inside tests/sandbox."""

import contextlib
import json
import os
import socket
import ssl
import threading
import unittest

from handle import Closed
from lab import LabCa
from lifecycle import Lifecycle, configuration
from sandboxed import SANDBOX, idctl, run, wait_until

KEPT = SANDBOX + "/state/.peer-crls"


class Partner(LabCa):
    """The other CA, and a TLS server with a certificate of it."""

    def __init__(self):
        super().__init__()
        with open(self.path("crl-url"), encoding="utf-8") as file:
            self.crl = file.read().strip()
        chain = self.certify("server")
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(chain, self.scratch("server.key"))
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"localhost:{self.socket.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def certify(self, name):
        """Signs a new certificate by hand; the path of its chain."""
        self.request(name, subject="/CN=localhost", san="DNS:localhost")
        run(os.environ["LAB_CA"], "sign", self.directory, "--csr", self.scratch(name + ".der"), "--chain", "--out",
            self.scratch(name + ".chain"))
        return self.scratch(name + ".chain")

    def serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:  # closed
                return
            connection.settimeout(30)
            with contextlib.suppress(OSError), self.context.wrap_socket(connection, server_side=True) as tls:
                tls.recv(1)

    def serial(self):
        text = run("openssl", "x509", "-noout", "-serial", "-in", self.scratch("server.chain")).stdout.decode()
        return text.strip().partition("=")[2]

    def fetch(self):
        return run("curl", "-sS", "--noproxy", "*", self.crl).stdout

    def close(self):
        self.socket.close()
        super().close()


class Peers(Lifecycle):
    def setUp(self):
        super().setUp()
        self.partner = Partner()
        self.addCleanup(self.partner.close)

    def text(self, more="", urls=None, interval="1s"):
        lines = (f"[Peers]\nCheck=crl\nAnchors={self.partner.path('root.pem')}\nIntermediates={self.partner.path('intermediate.pem')}\n"
                 f"Interval={interval}\nCRL={urls or self.partner.crl}\n{more}")
        return configuration(lines, access="tls-client digest")

    def sources(self, identity):
        """{URL: (issuer, thisUpdate, nextUpdate, next fetch, error)}"""
        return {str(url): tuple(rest) for url, *rest in identity.get("PeerCRLs")}

    def kept(self, identity):
        """Waits until a CRL is there from each place, and none on its way."""
        def is_there():
            sources = self.sources(identity).values()
            return sources and all(issuer and fetch > 0 for issuer, _, _, fetch, _ in sources)
        wait_until(is_there, "the CRLs", 60)

    def accepts(self, identity):
        report = json.loads(idctl("connect", "--check", "--json", identity.name, self.partner.endpoint, check=False).stdout)
        return report["peer"]["chain_verdict"]["good"], json.dumps(report)

    def test_revoked_peer_is_refused(self):
        """By a program with libidentityd, once the next CRL is there; our own certificate is none of that CA's business."""
        one = self.made("one", self.text())
        self.kept(one)
        self.assertEqual({source[0] for source in self.sources(one).values()},
                         {run("openssl", "x509", "-noout", "-subject", "-nameopt", "RFC2253", "-in", self.partner.path(name))
                          .stdout.decode().strip().partition("=")[2] for name in ("root.pem", "intermediate.pem")})
        good, report = self.accepts(one)
        self.assertTrue(good, report)
        floor = one.get("ClockSource")
        self.partner.control("revoke", self.partner.serial(), "keyCompromise")
        wait_until(lambda: not self.accepts(one)[0], "the refusal", 60)
        self.assertIn("revoked", self.accepts(one)[1])
        self.assertEqual((one.state(), one.get("LastError"), one.get("ClockSource")), ("ready", "", floor))
        # Nor does a restart bring the peer back, while the CA is away.
        self.partner.stop()
        self.restart()
        one.wait("ready")
        self.assertFalse(self.accepts(one)[0])
        self.partner.start()

    def test_three_refreshes(self):
        """A handle that is open hears of each."""
        one = self.made("one", self.text())
        self.kept(one)
        with one.open("digest") as opened:
            for _ in range(3):
                before = opened.get_state()["crls"]
                self.partner.control("crl-renew")
                wait_until(lambda: opened.get_state()["crls"] != before, "other CRLs", 60)  # pylint: disable=cell-var-from-loop
        self.assertEqual(len([name for name in os.listdir(KEPT) if name[0] != "."]), 2)

    def test_bad_url_beside_good(self):
        bad = "http://127.0.0.1:1/none.crl"
        html = self.partner.crl.rpartition("/")[0] + "/nothing-there"
        one = self.made("one", self.text(urls=f"{bad} {html} {self.partner.crl}"))
        wait_until(lambda: self.sources(one).get(self.partner.crl, ("",))[0] and all(self.sources(one)[url][4] for url in (bad, html)),
                   "a CRL and two errors", 60)
        self.assertIn("127.0.0.1", self.sources(one)[bad][4])
        self.assertEqual(self.sources(one)[self.partner.crl][4], "")
        begins = self.sources(one)[self.partner.crl][1]
        self.assertIn("404", idctl("show", "one").stdout.decode())
        warned = [f["text"] for f in json.loads(idctl("check", "--json", "one", check=False).stdout)
                  if f["check"] == "CRL of peers" and f["verdict"] == "warning"]
        self.assertEqual(len(warned), 2, warned)
        self.assertIn('identityd_peer_crls_missing{identity="one"} 2\n', idctl("metrics").stdout.decode())
        self.partner.control("crl-renew")  # the good one goes on
        wait_until(lambda: self.sources(one)[self.partner.crl][1] > begins, "a newer CRL", 60)

    def test_older_is_refused(self):
        """Over a restart, too: whoever can replay one brings nobody back."""
        one = self.made("one", self.text())
        self.kept(one)
        older = self.partner.fetch()
        path = self.partner.scratch("older.crl")
        with open(path, "wb") as file:
            file.write(older)
        begins = self.sources(one)[self.partner.crl][1]
        wait_until(lambda: (self.partner.control("crl-renew"), self.sources(one)[self.partner.crl][1] > begins)[1], "a newer CRL", 60)
        begins = self.sources(one)[self.partner.crl][1]
        self.partner.control("crl-file", path)

        def refused():
            return "older than the one at hand" in self.sources(one).get(self.partner.crl, [""] * 5)[4]
        wait_until(refused, "the refusal", 60)
        self.restart()
        one.wait("ready")
        wait_until(refused, "the refusal after a restart", 60)
        self.assertEqual(self.sources(one)[self.partner.crl][1], begins)
        self.partner.control("crl-file", "none")
        self.partner.control("crl-renew")
        wait_until(lambda: self.sources(one)[self.partner.crl][1] > begins, "a newer CRL", 60)

    def test_shared(self):
        """One download, one file and one memfd, however many identities and handles."""
        names = ["one", "two", "three"]
        identities = [self.made(name, self.text(interval="1h")) for name in names]
        for identity in identities:
            self.kept(identity)
        self.assertEqual(len([name for name in os.listdir(KEPT) if name[0] != "."]), 2)
        with contextlib.ExitStack() as stack:
            states = [stack.enter_context(identity.open("digest")).state for identity in identities for _ in range(2)]
            self.assertEqual(len({state["crls"] for state in states}), 1)
        asked = len(self.partner.log("crl"))
        self.manager("Reload")  # which asks again only where something failed
        self.restart()  # and asks for all at once
        for identity in identities:
            identity.wait("ready")
        wait_until(lambda: len(self.partner.log("crl")) >= asked + 2, "the downloads", 60)
        for identity in identities:
            self.kept(identity)
        self.assertEqual(len(self.partner.log("crl")), asked + 2)

    def test_not_asked_for_any_more(self):
        """Without Check= nobody keeps them up to date, so that programs get none."""
        one = self.made("one", self.text())
        self.kept(one)
        with one.open("digest") as opened:
            self.assertIn(b"X509 CRL", opened.state["crls"])
            self.configure("one", self.text().replace("Check=crl", "Check=none"))
            wait_until(lambda: "crls" not in opened.get_state(), "no CRLs")
        self.assertEqual(self.sources(one), {})
        self.assertEqual([name for name in os.listdir(KEPT) if name[0] != "."], [])
        good, report = self.accepts(one)
        self.assertTrue(good, report)

    def test_handles_end_as_ever(self):
        one = self.made("one", self.text())
        self.kept(one)
        with one.open("digest") as opened:
            idctl("retire", "--yes", "one")
            with self.assertRaises(Closed):
                while True:
                    opened.get_state()


if __name__ == "__main__":
    unittest.main()
