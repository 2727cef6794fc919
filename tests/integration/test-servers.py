#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""EST as servers that others wrote speak it: what they leave out, add or do in their own way hinders no enrolment, and what
does is named. Runs inside tests/sandbox."""

import os
import shutil
import unittest

from sandboxed import CA, EST, SANDBOX, Case, control, log, requests

PASSWORD = "Authenticate=credential:enrollment-password\nUser=demo"
USUAL = f"Server={EST}\nAnchors={CA}/root.pem\nServerAnchors={CA}/server.pem\n{PASSWORD}"


def configuration(enrollment, more=""):
    return f"[Identity]\nSubject=CN=%d,O=test\n[Enrollment]\n{enrollment}\n[Access]\ndata=user:{os.getuid()}\n{more}"


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
