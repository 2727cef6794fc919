#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Revocation by OCSP: `openssl ocsp` answers from the lab CA's own records. Runs inside tests/sandbox."""

import http.server
import os
import subprocess
import threading
import time
import unittest

from lifecycle import Lifecycle, checking, revoke
from sandboxed import CA, SANDBOX, control, run, service, wait_until


SERVER = os.path.join(os.environ["BUILD"], "tests/integration/handshake-client")


class Responder(http.server.BaseHTTPRequestHandler):
    """Each answer is made by openssl anew, since its own server reads the records only once."""

    signer = "intermediate"  # None: there is no answer
    answers = {}  # the last one to each request
    replay = {}  # what is answered instead of the truth
    clock = []  # the responder's

    def do_POST(self):
        request = self.rfile.read(int(self.headers["Content-Length"]))
        if Responder.signer is None:
            self.send_error(503)
            return
        self.reply(Responder.replay.get(request) or self.make(request))

    def make(self, request):
        path = f"{SANDBOX}/ocsp.{threading.get_ident()}"
        with open(path, "wb") as file:
            file.write(request)
        run(*Responder.clock, "openssl", "ocsp", "-index", CA + "/index.txt", "-rsigner", f"{CA}/{self.signer}.pem", "-rkey", f"{CA}/private/{self.signer}-1.key",
            "-CA", CA + "/intermediate.pem", "-nmin", "1" if Responder.clock else "30", "-reqin", path, "-respout", path + ".answer")
        with open(path + ".answer", "rb") as file:
            Responder.answers[request] = file.read()
        return Responder.answers[request]

    def reply(self, answer):
        self.send_response(200)
        self.send_header("Content-Type", "application/ocsp-response")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


class Ocsp(Lifecycle):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with open(CA + "/index.txt.attr", "w", encoding="utf-8") as file:
            file.write("unique_subject = no\n")  # as it is there: renewals
        cls.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Responder)
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()
        script = SANDBOX + "/services/lab-ca"
        with open(script, encoding="utf-8") as file:
            text = file.read()
        service("stop", "lab-ca")
        with open(script, "w", encoding="utf-8") as file:
            file.write(text.rstrip("\n") + f" --ocsp-url http://127.0.0.1:{cls.server.server_port}/\n")
        service("start", "lab-ca")
        wait_until(lambda: os.path.exists(CA + "/ready"), "the lab CA")

    @classmethod
    def tearDownClass(cls):
        cls.server.shutdown()
        cls.server.server_close()

    def setUp(self):
        super().setUp()
        self.signed_by("intermediate")
        self.addCleanup(self.signed_by, "intermediate")
        Responder.replay, Responder.clock = {}, []

    def signed_by(self, signer):
        Responder.signer = signer

    def warned(self):
        return "could not be checked by OCSP" in self.logged()

    def test_revoked(self):
        one = self.made("one", checking("ocsp"))
        self.stays(one, "ready", 1.5)
        self.assertFalse(self.warned())
        revoke(one)
        one.wait("revoked", 60)
        self.assertIn("OCSP", one.get("LastError"))

    def test_stapling(self):
        """The answer is in the State of a handle, and a server on libidentityd's GnuTLS binding staples it."""
        one = self.made("one", checking("ocsp", access="tls-server"))
        with one.open("tls-server") as opened:
            wait_until(lambda: opened.get_state() is not None and "ocsp" in opened.state, "an OCSP answer on the handle", 60)
        path = SANDBOX + "/stapling"
        server = subprocess.Popen([SERVER, "--listen", "--count", "1000", "one", "unix:" + path], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        wait_until(lambda: os.path.exists(path), "the server's socket", 60)
        text = run("openssl", "s_client", "-unix", path, "-status", "-CAfile", CA + "/root.pem", check=False, data=b"").stdout.decode()
        self.assertIn("OCSP Response Status: successful", text)
        self.assertIn("Cert Status: good", text)
        self.assertIn(str(one.get("SerialNumber")).upper().lstrip("0"), text)

    def test_a_staple_ends(self):
        """Where no newer answer comes in time the old one is no longer given to anybody: peers would refuse it."""
        Responder.clock = ["faketime", "-f", "-40s"]
        one = self.made("one", checking("ocsp", access="tls-server"))
        with one.open("tls-server") as opened:
            wait_until(lambda: opened.get_state() is not None and "ocsp" in opened.state, "an OCSP answer on the handle", 60)
            self.signed_by(None)
            wait_until(lambda: opened.get_state() is not None and "ocsp" not in opened.state, "it to be gone", 60)
        self.assertEqual(one.state(), "ready")
        self.assertEqual(one.get("LastError"), "")

    def test_hold(self):
        """What OCSP says to be on hold is not released by a CRL that is older or is about the intermediate."""
        one = self.made("one", checking("crl,ocsp"))
        wait_until(lambda: len(os.listdir(SANDBOX + "/state/one/trust/crls")) > 1 if os.path.isdir(SANDBOX + "/state/one/trust/crls") else False, "CRLs")
        time.sleep(1.1)
        control("fault", "crl", "status", "code=500", "count=0")
        revoke(one, "certificateHold")
        one.wait("revoked", 60)
        self.assertIn("hold", one.get("LastError"))
        self.signed_by(None)
        wait_until(self.warned, "a warning", 60)
        self.stays(one, "revoked", 2.5)
        control("release", str(one.get("SerialNumber")).upper())
        self.signed_by("intermediate")
        one.wait("ready", 60)
        self.assertEqual(one.get("LastError"), "")

    def test_older_answer(self):
        """One that was replaced by a newer one counts no more, also after a restart, though it is valid still."""
        one = self.made("one", checking("ocsp"))
        revoke(one, "certificateHold")
        one.wait("revoked", 60)
        held = dict(Responder.answers)
        control("release", str(one.get("SerialNumber")).upper())
        one.wait("ready", 60)
        Responder.replay = held
        older = "older than one that was seen"
        wait_until(lambda: older in self.logged(), "the refusal", 60)
        self.assertEqual(one.state(), "ready")
        self.restart()
        begins = len(self.logged())
        wait_until(lambda: older in self.logged()[begins:], "the refusal after a restart", 60)
        self.assertEqual(one.state(), "ready")

    def test_responder_gone(self):
        one = self.made("one", checking("ocsp"))
        self.signed_by(None)
        wait_until(self.warned, "a warning", 60)
        self.stays(one, "ready", 1)

    def test_foreign_responder(self):
        """An answer that another key signed says nothing."""
        one = self.made("one", checking("ocsp"))
        self.signed_by("root")
        revoke(one)
        wait_until(self.warned, "a warning", 60)
        self.stays(one, "ready", 1.5)
        self.signed_by("intermediate")
        one.wait("revoked", 60)


if __name__ == "__main__":
    unittest.main()
