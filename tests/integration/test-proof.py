#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where /csrattrs asks for challengePassword, the request names the TLS session that carries it (RFC 7030 section 3.5). The lab CA
refuses one that does not. Runs inside tests/sandbox."""

import base64
import unittest

from lifecycle import PASSWORD, USUAL, Lifecycle, configuration
from sandboxed import CA, EST, SANDBOX, control, read, requests, run, wait_until

ENROLL = f"{USUAL}\n{PASSWORD}"


class Proof(Lifecycle):
    def setUp(self):
        super().setUp()
        control("csrattrs", "proof")
        self.addCleanup(control, "csrattrs", "none")
        self.addCleanup(control, "clear")

    def posted(self, operation="simpleenroll"):
        """What became of the requests since the test began: the lab CA's words."""
        return [line.split()[3] for line in requests(operation)[self.before[operation]:]]

    def begin(self):
        self.before = {operation: len(requests(operation)) for operation in ("simpleenroll", "simplereenroll")}

    def test_enrol_and_renew(self):
        """TLS 1.3, hence tls-exporter. The lab CA closes after its 401, as libest does: the request is made anew for the next session."""
        self.begin()
        one = self.made("one", configuration())
        self.assertEqual(self.posted(), ["challenge", "issued"])
        for generation in range(2, 5):
            one.renew()
            wait_until(lambda: one.generation() == generation, "a renewal")  # pylint: disable=cell-var-from-loop
        self.assertEqual(self.posted("simplereenroll"), ["issued"] * 3)

    def test_tls12(self):
        """tls-unique."""
        control("fault", "connection", "tls12", "count=0")
        self.begin()
        one = self.made("one", configuration(enrollment=f"{ENROLL}\nAllowTLS12=yes"))
        one.renew()
        self.assertEqual((self.posted(), self.posted("simplereenroll")), (["challenge", "issued"], ["issued"]))

    def test_each_key(self):
        for algorithm in ("ecdsa-p384", "rsa-2048"):
            with self.subTest(algorithm):
                one = self.made("one", configuration(f"[Key]\nAlgorithm={algorithm}\n"))
                self.assertEqual(one.get("KeyAlgorithm"), algorithm)
                self.forget("one")

    def test_long_request(self):
        """More than what is announced at first: the body's length stands in a header before the body can be made."""
        names = " ".join(f"dns:name-{number:02}.{'x' * 60}.{'y' * 60}.example" for number in range(30))
        one = self.made("one", configuration(subject=f"CN=%d,O=test\nSubjectAltName={names}"))
        one.renew()

    def test_later(self):
        """The request of a 202 goes again byte for byte, and its session is gone: who checks that again refuses it. Then the same key
        is shown in a new request."""
        self.begin()
        control("fault", "simpleenroll", "pending", "retry-after=1000")
        one = self.made("one", configuration(), state=None)
        wait_until(lambda: "pending" in self.posted(), "a 202", 30)
        with open(f"{SANDBOX}/state/one/pending/request.der", "rb") as file:
            taken = file.read()
        text = self.refused("EnrollmentFailed", one.enroll)
        self.assertIn("made for another TLS session", text)
        self.assertIn("the next attempt makes a new one with the same key", text)
        one.enroll()
        one.wait("ready")
        self.assertEqual([word for word in self.posted() if word != "challenge"], ["pending", "refused:", "issued"])
        key = run("openssl", "req", "-inform", "DER", "-pubkey", "-noout", data=taken).stdout
        leaf = run("openssl", "x509", "-pubkey", "-noout", "-inform", "DER", data=bytes(one.get("Certificates")[0])).stdout
        self.assertEqual(key, leaf)

    def test_refused_without(self):
        """That the lab CA does refuse: what was made for no session, or for another."""
        self.begin()
        plain = run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "/dev/null",
                    "-subj", "/CN=x", "-outform", "DER").stdout
        self.post(plain)
        self.assertIn("the request has no challengePassword", requests("simpleenroll")[-1])
        control("fault", "simpleenroll", "pending", "retry-after=1000")
        self.made("one", configuration(), state=None)
        wait_until(lambda: "pending" in self.posted(), "a 202", 30)
        with open(f"{SANDBOX}/state/one/pending/request.der", "rb") as file:
            self.post(file.read())
        self.assertIn("the request was made for another TLS session", requests("simpleenroll")[-1])

    def post(self, der):
        run("curl", "-sS", "--noproxy", "*", "--cacert", CA + "/server.pem", "-u", "demo:" + read(SANDBOX + "/credentials/enrollment-password"),
            "-H", "Content-Type: application/pkcs10", "--data-binary", "@-", EST + "/simpleenroll", data=base64.b64encode(der))


if __name__ == "__main__":
    unittest.main()
