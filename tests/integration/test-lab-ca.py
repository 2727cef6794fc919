#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The lab CA against curl and openssl: what it does right, and that each way to misbehave does what its name says."""

import base64
import os
import re
import time
import unittest

import lab
from lab import LabCa, field, openssl, run, serial


class Case(unittest.TestCase):
    OPTIONS = ("--users", "@users", "--lifetime", "3600")

    def setUp(self):
        self.ca = LabCa(*self.OPTIONS)
        self.addCleanup(self.ca.close)

    def fault(self, *words):
        self.ca.control("fault", *words)


class Enrolment(Case):
    def test_cacerts(self):
        answer = self.ca.get("cacerts")
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.headers["content-type"], "application/pkcs7-mime")
        subjects = sorted(field(pem, "-subject") for pem in answer.certificates())  # a SET OF has no order
        self.assertEqual([subject.rpartition("lab ")[2] for subject in subjects], ["intermediate 1", "root"])

    def test_enroll_and_labels(self):
        pem = self.ca.enroll("a", extra=["extendedKeyUsage=clientAuth,serverAuth"])
        good, text = self.ca.verify(pem, "-purpose", "sslclient", "-x509_strict")
        self.assertTrue(good, text)
        self.assertIn("CN=device", field(pem, "-subject", "-nameopt", "RFC2253"))
        self.assertIn("DNS:device.example", field(pem, "-ext", "subjectAltName"))
        self.assertIn("Digital Signature", field(pem, "-ext", "keyUsage"))
        self.assertIn("TLS Web Client", field(pem, "-ext", "extendedKeyUsage"))
        self.assertIn(self.ca.read("crl-url").strip(), field(pem, "-ext", "crlDistributionPoints"))
        self.ca.request("b")
        self.assertEqual(self.ca.post("line-1/simpleenroll", "b", "-u", "demo:secret").status, 200)
        self.assertIn("label=line-1", self.ca.log("simpleenroll")[-1])
        self.assertEqual(self.ca.post("line-1/x/simpleenroll", "b", "-u", "demo:secret").status, 404)
        self.assertEqual(self.ca.get("simpleenroll").status, 405)

    def test_who_may_enroll(self):
        self.ca.request("a")
        answer = self.ca.post("simpleenroll", "a")
        self.assertEqual(answer.status, 401)
        self.assertIn("Basic", answer.headers["www-authenticate"])
        self.assertEqual(self.ca.post("simpleenroll", "a", "-u", "demo:wrong").status, 401)
        self.assertEqual(self.ca.post("simpleenroll", "a", "-u", "nobody:secret").status, 401)
        self.assertEqual(self.ca.post("simplereenroll", "a", "-u", "demo:secret").status, 403)
        self.assertEqual(self.ca.post("simpleenroll", "a", "-u", "demo:secret").status, 200)

    def test_reenroll(self):
        first = self.ca.enroll("a")
        self.ca.request("same", key=self.ca.scratch("a.key"))
        same = self.ca.post("simplereenroll", "same", *self.ca.identity("a"))
        self.assertEqual(same.status, 200, same.body)
        self.assertNotEqual(serial(first), serial(same.certificates()[0]))
        self.ca.request("rekey")
        self.assertEqual(self.ca.post("simplereenroll", "rekey", *self.ca.identity("a")).status, 200)
        for name, changed in (("subject", {"subject": "/CN=other/O=Example"}), ("san", {"san": "DNS:other.example"}),
                              ("nosan", {"san": None})):
            self.ca.request(name, **changed)
            answer = self.ca.post("simplereenroll", name, *self.ca.identity("a"))
            self.assertEqual(answer.status, 403, name)
            self.assertIn(b"is not the certificate's", answer.body)

    def test_bad_requests(self):
        credentials = ("-u", "demo:secret")
        for name, body in (("text", b"%%%"), ("junk", base64.b64encode(b"no request")), ("empty", b"")):
            with open(self.ca.scratch(name + ".b64"), "wb") as file:
                file.write(body)
            self.assertEqual(self.ca.post("simpleenroll", name, *credentials).status, 400, name)
        body = bytearray(base64.b64decode(self.ca.request("broken")))
        body[-1] ^= 1  # the signature
        with open(self.ca.scratch("broken.b64"), "wb") as file:
            file.write(base64.b64encode(body))
        self.assertEqual(self.ca.post("simpleenroll", "broken", *credentials).status, 400)
        self.ca.request("weak", algorithm="1024")
        self.assertEqual(self.ca.post("simpleenroll", "weak", *credentials).status, 400)
        with open(self.ca.scratch("large.b64"), "wb") as file:
            file.write(b"A" * 100000)
        self.assertEqual(self.ca.post("simpleenroll", "large", *credentials).status, 413)
        self.ca.request("a")
        answer = self.ca.curl("--data-binary", "@" + self.ca.scratch("a.b64"), *credentials, self.ca.url + "/simpleenroll")
        self.assertEqual(answer.status, 415)

    def test_white_space_is_tolerated(self):
        body = self.ca.request("a")
        with open(self.ca.scratch("a.b64"), "wb") as file:
            file.write(b" \t" + body.replace(b"\n", b"\r\n \t"))
        self.assertEqual(self.ca.post("simpleenroll", "a", "-u", "demo:secret").status, 200)

    def test_expired_client_is_refused(self):
        self.ca.control("lifetime", "1")
        self.ca.enroll("a")
        time.sleep(2.1)
        self.ca.request("b", key=self.ca.scratch("a.key"))
        answer = self.ca.post("simplereenroll", "b", *self.ca.identity("a"))
        self.assertEqual(answer.status, 403)
        self.assertIn(b"expired", answer.body)

    def test_restart_keeps_everything(self):
        pem = self.ca.enroll("a")
        url, root = self.ca.url, self.ca.read("root.pem")
        self.ca.stop()
        self.assertFalse(os.path.exists(self.ca.path("ready")))
        self.ca.start()
        self.assertEqual((url, root), (self.ca.url, self.ca.read("root.pem")))
        self.assertTrue(self.ca.verify(pem)[0])
        self.assertIn(serial(pem), self.ca.read("index.txt"))


class Authentication(Case):
    def test_digest(self):
        for scheme, algorithm in (("digest", "sha-256"), ("digest-md5", "md5")):
            with self.subTest(scheme):
                ca = LabCa("--users", "@users", "--http-auth", scheme)
                self.addCleanup(ca.close)
                ca.request("a")
                challenge = ca.post("simpleenroll", "a").headers["www-authenticate"]
                self.assertIn("Digest", challenge)
                self.assertIn(f"algorithm={algorithm}", challenge.lower())
                self.assertEqual(ca.post("simpleenroll", "a", "--digest", "-u", "demo:secret").status, 200)
                self.assertEqual(ca.post("simpleenroll", "a", "--digest", "-u", "demo:wrong").status, 401)
                self.assertEqual(ca.post("simpleenroll", "a", "--basic", "-u", "demo:secret").status, 401)

    def test_certificate_of_another_ca(self):
        maker = self.ca.scratch("maker")
        run(lab.LAB_CA, "init", maker)
        ca = LabCa("--client-anchors", maker + "/root.pem")
        self.addCleanup(ca.close)
        ca.request("factory", subject="/serialNumber=4711", san=None)
        chain = run(lab.LAB_CA, "sign", maker, "--csr", ca.scratch("factory.der"), "--idevid", "--chain").stdout.decode()
        self.assertIn("Dec 31 23:59:59 9999", field(chain, "-enddate"))
        ca.save("factory", chain)
        ca.request("a")
        self.assertEqual(ca.post("simpleenroll", "a").status, 403)
        self.assertEqual(ca.post("simpleenroll", "a", *ca.identity("factory")).status, 200)
        self.ca.request("a")
        self.assertEqual(self.ca.post("simpleenroll", "a", *ca.identity("factory")).status, 403)

    def test_open(self):
        ca = LabCa("--open")
        self.addCleanup(ca.close)
        ca.request("a")
        self.assertEqual(ca.post("simpleenroll", "a").status, 200)

    def test_separate_server_root(self):
        ca = LabCa("--separate-server-root", "--algorithm", "rsa-2048")
        self.addCleanup(ca.close)
        self.assertEqual(ca.get("cacerts").status, 200)
        self.assertEqual(ca.curl(ca.url + "/cacerts", anchors=ca.path("root.pem")).status, 0)


class Csrattrs(Case):
    def test_variants(self):
        self.assertEqual(self.ca.get("csrattrs").status, 404)
        self.ca.control("csrattrs", "no-content")
        self.assertEqual(self.ca.get("csrattrs").status, 204)
        wanted = {"empty": "l=   0", "oids": "challengePassword", "proof": "challengePassword", "key-p384": "secp384r1", "key-rsa3072": ":0C00",
                  "usage": "Extended Key Usage", "foreign-name": "Subject Alternative Name", "unknown": "99999",
                  "template": "1.2.840.113549.1.9.16.2.61", "two-requests": "Extension Request"}
        for name, text in wanted.items():
            self.ca.control("csrattrs", name)
            answer = self.ca.get("csrattrs")
            self.assertEqual((answer.status, answer.headers["content-type"]), (200, "application/csrattrs"))
            parsed = openssl("asn1parse", "-inform", "DER", data=base64.b64decode(answer.body)).stdout.decode()
            self.assertIn(text, parsed, name)
        self.assertNotEqual(self.ca.control("csrattrs", "nonsense", check=False).returncode, 0)


class Revocation(Case):
    def crl(self, name="crl"):
        """Fetches the CRL, writes it as PEM, returns its text."""
        self.ca.curl("-o", self.ca.scratch("crl.der"), self.ca.read("crl-url").strip())
        with open(self.ca.scratch("crl.der"), "rb") as file:
            raw = file.read().partition(b"\r\n\r\n")[2]
        pem = openssl("crl", "-inform", "DER", data=raw).stdout
        with open(self.ca.scratch(name + ".pem"), "wb") as file:
            file.write(pem)
        return openssl("crl", "-noout", "-text", data=pem).stdout.decode()

    def number(self, text):
        return int(re.search(r"CRL Number:\s*\n\s*(\S+)", text)[1], 0)

    def test_revoke_by_serial(self):
        pem, other = self.ca.enroll("a"), self.ca.enroll("b", subject="/CN=other/O=Example")
        before = self.number(self.crl())
        check = ("-crl_check", "-CRLfile", self.ca.scratch("crl.pem"))
        self.assertTrue(self.ca.verify(pem, *check)[0])
        self.ca.control("revoke", serial(pem).lower(), "keyCompromise")
        self.assertGreater(self.number(self.crl()), before)
        good, text = self.ca.verify(pem, *check)
        self.assertFalse(good)
        self.assertIn("revoked", text)
        self.assertTrue(self.ca.verify(other, *check)[0])
        self.ca.request("again", key=self.ca.scratch("a.key"))
        answer = self.ca.post("simplereenroll", "again", *self.ca.identity("a"))
        self.assertEqual(answer.status, 403)
        self.assertIn(b"revoked", answer.body)

    def test_revoke_by_name_without_the_server(self):
        pem = self.ca.enroll("a")
        self.crl()
        run(lab.LAB_CA, "revoke", self.ca.directory, "name=device")
        self.crl()
        self.assertFalse(self.ca.verify(pem, "-crl_check", "-CRLfile", self.ca.scratch("crl.pem"))[0])
        self.assertNotEqual(run(lab.LAB_CA, "revoke", self.ca.directory, "name=dev", check=False).returncode, 0)
        self.assertNotEqual(run(lab.LAB_CA, "revoke", self.ca.directory, "name=device", check=False).returncode, 0)

    def test_hold_and_release(self):
        pem = self.ca.enroll("a")
        self.ca.control("revoke", serial(pem), "certificateHold")
        self.crl()
        check = ("-crl_check", "-CRLfile", self.ca.scratch("crl.pem"))
        self.assertFalse(self.ca.verify(pem, *check)[0])
        self.ca.control("release", serial(pem))
        self.crl()
        self.assertTrue(self.ca.verify(pem, *check)[0])
        self.assertNotEqual(self.ca.control("revoke", serial(pem), "weather", check=False).returncode, 0)

    def test_intermediate(self):
        intermediate = self.ca.read("intermediate.pem")
        self.ca.control("revoke", serial(intermediate))
        self.ca.curl("-o", self.ca.scratch("r"), self.ca.read("crl-url").strip().replace("intermediate-1", "root-1"))
        with open(self.ca.scratch("r"), "rb") as file:
            raw = file.read().partition(b"\r\n\r\n")[2]
        text = openssl("crl", "-inform", "DER", "-noout", "-text", data=raw).stdout.decode()
        self.assertIn(serial(intermediate), text)

    def test_faults(self):
        self.crl()
        number = self.number(self.crl())
        self.fault("crl", "old-number")
        self.assertEqual(self.number(self.crl()), 0)
        self.assertEqual(self.number(self.crl()), number)
        pem = self.ca.enroll("a")
        for fault, complaint in (("stale", "expired"), ("wrong-signer", "signature failure")):
            self.fault("crl", fault)
            self.crl()
            good, text = self.ca.verify(pem, "-crl_check", "-CRLfile", self.ca.scratch("crl.pem"))
            self.assertFalse(good)
            self.assertIn(complaint, text)
        self.fault("crl", "not-crl")
        with self.assertRaises(AssertionError):
            self.crl()
        self.ca.control("crl-file", self.ca.scratch("crl.der"))
        with open(self.ca.scratch("crl.der"), "wb") as file:
            file.write(b"of the test's own")
        self.assertIn(b"of the test's own", self.ca.curl(self.ca.read("crl-url").strip()).body)

    def test_ocsp_responder_on_the_index(self):
        pem, other = self.ca.enroll("a"), self.ca.enroll("b")
        self.ca.control("revoke", serial(pem))
        for certificate, verdict in ((pem, "revoked"), (other, "good")):
            self.ca.save("leaf", certificate)
            openssl("ocsp", "-issuer", self.ca.path("intermediate.pem"), "-cert", self.ca.scratch("leaf.pem"), "-reqout",
                    self.ca.scratch("req.der"), "-no_nonce")
            text = openssl("ocsp", "-index", self.ca.path("index.txt"), "-CA", self.ca.path("intermediate.pem"), "-rsigner",
                           self.ca.path("intermediate.pem"), "-rkey", self.ca.path("private/intermediate-1.key"), "-reqin",
                           self.ca.scratch("req.der"), "-text").stdout.decode()
            self.assertIn(f"Cert Status: {verdict}", text)


class Intermediate(Case):
    def test_another_end(self):
        """The same name and key; /cacerts has it, and what is issued verifies by it and by the old one."""
        old = self.ca.read("intermediate.pem")
        self.ca.control("intermediate-lifetime", "100000")
        new = self.ca.read("intermediate.pem")
        for what in ("-subject", "-pubkey", "-startdate", "-issuer"):
            self.assertEqual(field(old, what), field(new, what))
        for what in ("-enddate", "-serial"):
            self.assertNotEqual(field(old, what), field(new, what))
        self.assertIn(new, self.ca.get("cacerts").certificates())
        pem = self.ca.enroll("a")
        self.assertTrue(self.ca.verify(pem)[0])
        self.ca.stop()
        self.ca.start()
        self.assertEqual(self.ca.read("intermediate.pem"), new)
        self.assertNotEqual(self.ca.control("intermediate-lifetime", "0", check=False).returncode, 0)


class Rollover(Case):
    def test_whole(self):
        old = self.ca.enroll("a")
        old_root = self.ca.read("root.pem")
        with open(self.ca.path("old-root.pem"), "w", encoding="utf-8") as file:
            file.write(old_root)
        self.ca.control("rollover", "begin")
        certificates = self.ca.get("cacerts").certificates()
        self.assertEqual(len(certificates), 5)
        roots = [pem for pem in certificates if field(pem, "-subject").partition("=")[2] == field(pem, "-issuer").partition("=")[2]]
        self.assertEqual(len(roots), 4, "OldWithOld, OldWithNew, NewWithOld, NewWithNew are all self-issued")
        keys = {field(pem, "-pubkey") for pem in roots}
        self.assertEqual(len(keys), 2)
        self.assertNotEqual(self.ca.control("rollover", "begin", check=False).returncode, 0)
        self.ca.control("rollover", "switch")
        new = self.ca.enroll("b")
        anchors = (old_root, self.ca.read("new-root.pem"))
        with open(self.ca.path("all.pem"), "w", encoding="utf-8") as file:
            file.write("".join(pem for pem in self.ca.get("cacerts").certificates() if pem not in anchors))
        # Who knows the old root alone verifies old and new; so does who knows the new one alone.
        for root in ("old-root.pem", "new-root.pem"):
            for pem in (old, new):
                good, text = self.ca.verify(pem, root=root, intermediate="all.pem")
                self.assertTrue(good, (root, text))
        self.assertEqual(self.ca.get("cacerts").status, 200)
        self.ca.control("rollover", "finish")
        self.assertEqual(len(self.ca.get("cacerts").certificates()), 2)
        self.assertNotEqual(old_root, self.ca.read("root.pem"))
        self.assertTrue(self.ca.verify(new)[0])
        self.assertFalse(self.ca.verify(old)[0])
        self.ca.request("c", key=self.ca.scratch("b.key"))
        self.assertEqual(self.ca.post("simplereenroll", "c", *self.ca.identity("b")).status, 200)
        self.ca.stop()
        self.ca.start()
        self.assertTrue(self.ca.verify(new)[0])

    def test_restart_in_between(self):
        self.ca.control("rollover", "begin")
        before = self.ca.get("cacerts").certificates()
        self.ca.stop()
        self.ca.start()
        self.assertEqual(before, self.ca.get("cacerts").certificates())
        self.ca.control("rollover", "finish")


class Faults(Case):
    def setUp(self):
        super().setUp()
        self.first = self.ca.enroll("a")
        self.ca.request("b", key=self.ca.scratch("a.key"))

    def again(self, *words):
        return self.ca.post("simplereenroll", "b", *self.ca.identity("a"), *words)

    def test_counts_and_clearing(self):
        self.fault("cacerts", "status", "code=500", "count=2")
        self.assertEqual([self.ca.get("cacerts").status for _ in range(3)], [500, 500, 200])
        self.fault("cacerts", "status", "code=503", "count=0")
        self.assertEqual([self.ca.get("cacerts").status for _ in range(3)], [503] * 3)
        self.assertIn("fault cacerts status", self.ca.control("status").stdout.decode())
        self.ca.control("clear")
        self.assertEqual(self.ca.get("cacerts").status, 200)
        for words in (("weather", "slow"), ("cacerts", "weather"), ("cacerts", "wrong-key"), ("crl", "slow", "count=x"), ()):
            self.assertNotEqual(self.ca.control("fault", *words, check=False).returncode, 0, words)

    def test_statuses(self):
        for code in (401, 403, 404, 429, 500, 503):
            self.fault("simplereenroll", "status", f"code={code}", "retry-after=17", "text=Not today, thank you")
            answer = self.again()
            self.assertEqual((answer.status, answer.headers["retry-after"]), (code, "17"))
            self.assertIn(b"Not today, thank you", answer.body)
        self.assertEqual(self.again().status, 200)

    def test_pending(self):
        self.fault("simplereenroll", "pending", "retry-after=2")
        answer = self.again()
        self.assertEqual((answer.status, answer.headers["retry-after"]), (202, "2"))
        self.assertEqual(self.again().status, 202, "too early")
        time.sleep(2.1)
        self.assertEqual(self.again().status, 200)
        self.fault("simplereenroll", "pending", "retry-after=60", "form=date")
        self.assertRegex(self.again().headers["retry-after"], r"^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$")
        self.ca.control("forget-pending")
        self.fault("simplereenroll", "pending", "form=none")
        self.assertNotIn("retry-after", self.again().headers)

    def test_certificates(self):
        expected = {
            "wrong-name": lambda pem: field(pem, "-subject", "-nameopt", "RFC2253") == "subject=CN=somebody else,O=identityd lab",
            "wrong-san": lambda pem: "somebody-else" in field(pem, "-ext", "subjectAltName"),
            "wrong-key": lambda pem: field(pem, "-pubkey") != field(self.first, "-pubkey"),
            "wrong-usage": lambda pem: "Time Stamping" in field(pem, "-ext", "extendedKeyUsage"),
            "expired": lambda pem: "expired" in self.ca.verify(pem)[1],
            "not-yet-valid": lambda pem: "not yet valid" in self.ca.verify(pem)[1],
            "no-chain": lambda pem: "unable to get local issuer" in self.ca.verify(pem)[1],
            "ca-certificate": lambda pem: "CA:TRUE" in field(pem, "-ext", "basicConstraints"),
            "same-serial": lambda pem: serial(pem) == serial(self.first),
            "same-not-after": lambda pem: field(pem, "-enddate") == field(self.first, "-enddate"),
        }
        time.sleep(1.1)
        for fault, holds in expected.items():
            self.fault("simplereenroll", fault)
            answer = self.again()
            self.assertEqual(answer.status, 200, fault)
            self.assertTrue(holds(answer.certificates()[0]), fault)
            self.assertFalse(holds(self.again().certificates()[0]), fault + " must be gone")
        self.fault("simplereenroll", "with-chain")
        self.assertEqual(len(self.again().certificates()), 3)

    def test_bodies(self):
        self.fault("simplereenroll", "not-base64")
        with self.assertRaises(ValueError):
            self.again().certificates()
        self.fault("simplereenroll", "not-pkcs7")
        with self.assertRaises(AssertionError):
            self.again().certificates()
        self.fault("simplereenroll", "no-certificates")
        self.assertEqual(self.again().certificates(), [])
        self.fault("simplereenroll", "empty")
        self.assertEqual(self.again().body, b"")
        self.fault("simplereenroll", "content-type", "type=text/html")
        self.assertEqual(self.again().headers["content-type"], "text/html")
        self.fault("simplereenroll", "redirect", "code=301", "location=https://elsewhere.example/x")
        answer = self.again()
        self.assertEqual((answer.status, answer.headers["location"]), (301, "https://elsewhere.example/x"))
        self.fault("simplereenroll", "huge", "size=5000000")
        self.assertEqual(len(self.again().body), 5000000)
        self.fault("simplereenroll", "cut-off")
        self.assertIn(self.again().code, (18, 56), "curl: transfer closed")
        self.fault("simplereenroll", "slow", "seconds=2")
        begin = time.monotonic()
        self.assertEqual(self.again().status, 200)
        self.assertGreaterEqual(time.monotonic() - begin, 1.9)
        self.fault("cacerts", "drip", "seconds=60")
        self.assertEqual(self.ca.get("cacerts", "--max-time", "1").code, 28)

    def test_cacerts(self):
        root = field(self.ca.read("root.pem"), "-pubkey")
        self.fault("cacerts", "foreign-root")
        certificates = self.ca.get("cacerts").certificates()
        roots = [pem for pem in certificates if field(pem, "-subject") == field(self.ca.read("root.pem"), "-subject")]
        self.assertEqual((len(certificates), len(roots)), (4, 3))
        self.assertEqual(sorted(field(pem, "-pubkey") == root for pem in roots), [False, True, True])
        self.fault("cacerts", "no-intermediate")
        self.assertEqual(len(self.ca.get("cacerts").certificates()), 1)

    def test_connections(self):
        for fault, complaint in (("server-name", "no alternative certificate subject name"), ("server-expired", "has expired"),
                                 ("server-untrusted", "unable to get local issuer")):
            self.fault("connection", fault)
            answer = self.ca.get("cacerts")
            self.assertEqual((answer.status, answer.code), (0, 60), fault)
            self.assertIn(complaint, answer.error)
        self.fault("connection", "tls12")
        self.assertEqual(self.ca.get("cacerts", "--tlsv1.3").status, 0)
        self.fault("connection", "tls12")
        self.assertEqual(self.ca.get("cacerts").status, 200)


class Program(unittest.TestCase):
    def test_usage(self):
        for words in ((), ("serve",), ("serve", "x", "--weather"), ("serve", "x", "--lifetime", "0"), ("weather", "x"),
                      ("sign", "x"), ("revoke", "x"), ("serve", "x", "--http-auth", "digest")):
            self.assertEqual(run(lab.LAB_CA, *words, check=False).returncode, 2, words)
        self.assertIn(b"laboratories and tests only", run(lab.LAB_CA, "--help").stdout)

    def test_says_what_it_is_for(self):
        ca = LabCa()
        self.addCleanup(ca.close)
        self.assertIn("for laboratories and tests only", ca.complaints())


if __name__ == "__main__":
    unittest.main()
