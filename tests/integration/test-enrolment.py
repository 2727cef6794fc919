#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Enrolment and renewal against a CA that misbehaves: each fault gives a sentence that says which step and what came, and
what was there goes on working. Runs inside tests/sandbox."""

import contextlib
import hashlib
import os
import shutil
import time
import unittest

from sandboxed import CA, EST, SANDBOX, Case, control, log, pem_to_der, read, requests, run, service, verify_chain, wait_until

SCHEME = "ecdsa_secp256r1_sha256"


def configuration(enrollment, subject="CN=%d,O=test", more=""):
    return f"[Identity]\nSubject={subject}\n[Enrollment]\n{enrollment}\n[Access]\ndata-raw=user:{os.getuid()}\n{more}"


PASSWORD = "Authenticate=credential:enrollment-password\nUser=demo"
USUAL = f"Server={EST}\nAnchors={CA}/root.pem\nServerAnchors={CA}/server.pem"


class Enrolment(Case):
    def setUp(self):
        control("clear")
        control("forget-pending")

    def made(self, name, text):
        """An identity that the test takes away again."""
        self.configure(name, text)
        self.addCleanup(self.forget, name)
        return self.identity(name)

    def forget(self, name):
        if os.path.exists(f"{SANDBOX}/etc/identities/{name}.conf"):
            self.configure(name, None)
        shutil.rmtree(f"{SANDBOX}/state/{name}", ignore_errors=True)


class RenewalFaults(Enrolment):
    """A renewal that fails leaves the old generation live."""

    def attempt(self, error, *fault):
        """Renews into a fault; returns what was said."""
        generation = self.data.generation()
        self.data.settle()
        control("fault", *fault)
        try:
            text = self.refused(error, self.data.renew)
        finally:
            control("clear")
        self.assertEqual((self.data.generation(), self.data.state()), (generation, "ready"))
        self.data.sign(SCHEME, b"still there")
        self.assertIn("demo-data", text)
        self.assertNotEqual(self.data.get("LastError"), "")
        return text

    def test_same_end(self):
        """A CA that clamps to an end of its own issues what ends when the present certificate does: a success."""
        generation = self.data.generation()
        control("fault", "simplereenroll", "same-not-after")
        self.data.renew()
        self.assertEqual(self.data.generation(), generation + 1)

    def test_wrong_certificates(self):
        for fault, words in {
            "wrong-key": "key", "wrong-name": "somebody else", "expired": "expired", "not-yet-valid": "too late to wait for",
            "no-chain": "issue", "same-serial": "key", "wrong-san": "alternative name",
            "ca-certificate": "CA",
        }.items():
            with self.subTest(fault):
                text = self.attempt("CertificateRejected", "simplereenroll", fault)
                self.assertIn(words.lower(), text.lower())
        self.data.renew()

    def test_wrong_answers(self):
        for fault, words in {
            ("not-base64",): "base64", ("not-pkcs7",): "PKCS", ("no-certificates",): "certificate", ("empty",): "0 bytes",
            ("cut-off",): "", ("huge", "size=5000000"): "",
            ("redirect", "location=https://elsewhere.example/"): "redirect",
        }.items():
            with self.subTest(fault[0]):
                text = self.attempt_any("simplereenroll", *fault)
                self.assertIn(words.lower(), text.lower())
        self.data.renew()

    def attempt_any(self, *fault):
        """As attempt, where both EnrollmentFailed and CertificateRejected are right."""
        generation = self.data.generation()
        self.data.settle()
        control("fault", *fault)
        with self.assertRaises(Exception) as caught:
            self.data.renew()
        control("clear")
        self.assertIn(caught.exception.get_dbus_name().rpartition(".")[2], ("EnrollmentFailed", "CertificateRejected"))
        self.assertEqual((self.data.generation(), self.data.state()), (generation, "ready"))
        return caught.exception.get_dbus_message()

    def test_statuses(self):
        for code in (400, 401, 403, 404, 429, 500, 503):
            with self.subTest(code):
                text = self.attempt("EnrollmentFailed", "simplereenroll", "status", f"code={code}",
                                    "text=The operator says no\x1b[31m today")
                self.assertIn(str(code), text)
                self.assertIn("The operator says no", text)
                self.assertNotIn("\x1b", text)
                self.assertIn("simplereenroll", text)

    def test_retry_after_is_honoured(self):
        self.attempt("EnrollmentFailed", "simplereenroll", "status", "code=503", "retry-after=600")
        self.assertGreaterEqual(int(self.data.get("NextAttempt")) / 1e6, time.time() + 500)
        self.assertEqual(self.data.get("Activity"), "waiting")
        self.data.renew()
        self.assertEqual((self.data.get("Activity"), self.data.get("LastError")), ("idle", ""))

    def test_retry_after_of_any_shape(self):
        """What a server says, and whatever it is: the next attempt lies ahead, and a tenth of the life left before the end. What
        cannot be read, or is past, is no advice: the next attempt comes by itself, when the renewal is due at the latest."""
        soon, last = "as without it", "as late as can be"
        shapes = {"-5": soon, "soon": soon, "1.5": soon, "0": soon, "Mon, 20 Jul 2020 12:00:00 GMT": soon,
                  "Mon, 99 Jul 2099 12:00:30 GMT": soon, "99999999999999999999999": last, "Fri, 20 Jul 2199 12:00:00 GMT": last}
        for kind in ("status code=503", "pending"):
            for text, wanted in shapes.items():
                with self.subTest(kind=kind, text=text):
                    self.data.settle()
                    control("fault", "simplereenroll", *kind.split(), "form=text", "text=" + text)
                    begun = time.time()
                    with contextlib.suppress(Exception):  # a 202 is none
                        self.data.renew()
                    control("clear")
                    self.assertEqual(self.data.get("Activity"), "waiting")
                    ahead = int(self.data.get("NextAttempt")) / 1e6 - begun
                    left = int(self.data.get("NotAfter")) / 1e6 - begun
                    self.assertGreater(ahead, 0)
                    self.assertLessEqual(ahead, left * 0.9 + 2)
                    if wanted == last:
                        self.assertGreater(ahead, left * 0.9 - 5)
                    else:
                        self.assertLess(ahead, left * 0.9 - 5)  # by itself: half to nine tenths of what is left
                    self.data.renew()
                    control("forget-pending")

    def test_server_that_is_not_the_one(self):
        for fault, words in {"server-name": "name", "server-expired": "expired", "server-untrusted": ""}.items():
            with self.subTest(fault):
                text = self.attempt("EnrollmentFailed", "connection", fault, "count=0")
                self.assertIn(words, text)
        self.attempt("EnrollmentFailed", "connection", "tls12", "count=0")

    def test_cacerts(self):
        for fault in ("not-base64", "not-pkcs7", "no-certificates", "no-intermediate", "cut-off"):
            with self.subTest(fault):
                control("fault", "cacerts", fault)
                with self.assertRaises(Exception) as caught:
                    self.data.renew()
                self.assertIn("demo-data", str(caught.exception))
        self.data.renew()

    def test_foreign_root_is_not_believed(self):
        control("fault", "cacerts", "foreign-root")
        anchors = [bytes(a) for a in self.data.get("Anchors")]
        self.data.renew()
        self.assertEqual([bytes(a) for a in self.data.get("Anchors")], anchors)

    def test_chain_in_the_answer_is_tolerated(self):
        control("fault", "simplereenroll", "with-chain")
        self.data.renew()
        self.assertEqual(verify_chain(self.data.get("Certificates")), "")

    def test_server_gone(self):
        service("stop", "lab-ca")
        try:
            text = self.refused("EnrollmentFailed", self.data.renew)
            self.assertEqual(self.data.state(), "ready")
            self.assertIn("127.0.0.1", text)
        finally:
            service("start", "lab-ca")
            wait_until(lambda: os.path.exists(CA + "/ready"), "the lab CA")
        self.data.renew()

    def test_enroller_gone(self):
        service("stop", "enroller")
        try:
            self.refused("EnrollmentFailed", self.data.renew)
            self.assertEqual(self.data.state(), "ready")
        finally:
            service("start", "enroller")
        self.data.renew()


class Pending(Enrolment):
    def test_later_by_seconds_and_by_date(self):
        for form in ("seconds", "date"):
            with self.subTest(form):
                control("fault", "simpleenroll", "pending", "retry-after=3", "form=" + form)
                later = self.made("later", configuration(f"{USUAL}\n{PASSWORD}"))
                wait_until(lambda: later.get("Activity") == "waiting", "waiting")
                self.assertEqual(later.state(), "empty")
                later.wait("ready")
                posted = [line for line in requests("simpleenroll") if "pending" in line]
                self.assertIn("pending", posted[-1])
                self.assertIn(" 200 issued", requests("simpleenroll")[-1], "the same request got its certificate")
                self.forget("later")

    def test_survives_a_restart(self):
        control("fault", "simpleenroll", "pending", "retry-after=4")
        later = self.made("later", configuration(f"{USUAL}\n{PASSWORD}"))
        wait_until(lambda: later.get("Activity") == "waiting", "waiting")
        service("kill", "identityd")
        service("start", "identityd")
        type(self).connect()
        later = self.identity("later")
        later.wait("ready")
        # The CA knows the request by its bytes: one that was made anew would not have waited at all.
        lines = [line for line in requests("simpleenroll") if "challenge" not in line]
        self.assertEqual([line.split()[2] for line in lines[-2:]], ["202", "200"])

    def taken_and_asked_again(self, one):
        """Enroll is answered with 202, and identityd comes back by itself, over a restart too."""
        control("fault", "simpleenroll", "pending", "count=0", "retry-after=5")
        key = bytes(one.get("PublicKey"))
        one.enroll(**{"new-key": True})
        self.assertEqual(one.get("Activity"), "waiting")
        self.assertGreater(int(one.get("NextAttempt")), 0)
        service("kill", "identityd")
        service("start", "identityd")
        type(self).connect()
        self.demo.wait("ready")
        control("clear")
        control("forget-pending")
        wait_until(lambda: one.state_or_none() == "ready" and bytes(one.get("PublicKey")) not in (b"", key),
                   "the new key's certificate", 60)
        self.assertEqual(one.get("LastError"), "")

    def test_asked_for_where_nothing_comes_by_itself(self):
        """A 202 to an Enroll of a ready identity, and to those that lead out of retired and revoked."""
        one = self.made("one", configuration(f"{USUAL}\n{PASSWORD}", more="[Revocation]\nCheck=crl\nInterval=1s\n"))
        one.wait("ready")
        self.taken_and_asked_again(one)
        one.call("Retire")
        self.assertEqual(one.state(), "retired")
        self.taken_and_asked_again(one)
        control("revoke", str(one.get("SerialNumber")).upper())
        one.wait("revoked")
        self.taken_and_asked_again(one)

    def test_given_up_when_something_else_is_wanted(self):
        """A request for a name that is no longer configured is not asked for again."""
        control("fault", "simpleenroll", "pending", "count=0", "retry-after=1")
        one = self.made("one", configuration(f"{USUAL}\n{PASSWORD}", subject="CN=old"))
        wait_until(lambda: one.get("Activity") == "waiting", "the 202")
        self.configure("one", configuration(f"{USUAL}\n{PASSWORD}", subject="CN=new"))
        control("clear")
        control("forget-pending")
        one.wait("ready", 60)
        self.assertEqual(one.get("Subject"), "CN=new")

    def test_failure_that_nothing_follows(self):
        """Out of retired nothing comes by itself, and that is what is said."""
        one = self.made("one", configuration(f"{USUAL}\n{PASSWORD}"))
        one.wait("ready")
        one.call("Retire")
        control("fault", "simpleenroll", "status", "code=503", "count=0")
        self.refused("EnrollmentFailed", one.enroll)
        self.assertEqual((one.get("Activity"), int(one.get("NextAttempt"))), ("idle", 0))
        self.assertIn("none by itself", log("identityd"))

    def test_without_retry_after(self):
        control("fault", "simpleenroll", "pending", "form=none")
        later = self.made("later", configuration(f"{USUAL}\n{PASSWORD}"))
        wait_until(lambda: later.get("LastError") != "" or later.get("Activity") == "waiting", "an answer to 202")
        self.assertEqual(later.state(), "empty")


class Ways(Enrolment):
    def test_wrong_password(self):
        control("clear")
        path = SANDBOX + "/credentials/wrong-password"
        with open(path, "w", encoding="utf-8") as file:
            file.write("wrong")
        one = self.made("one", configuration(f"{USUAL}\nAuthenticate=credential:wrong-password\nUser=demo"))
        wait_until(lambda: one.get("LastError") != "", "a refusal")
        self.assertIn("401", one.get("LastError"))
        self.assertNotIn("wrong\n", log("identityd"))

    def test_missing_password(self):
        one = self.made("one", configuration(f"{USUAL}\nAuthenticate=credential:nowhere\nUser=demo"))
        wait_until(lambda: one.get("LastError") != "", "a complaint")
        self.assertIn("nowhere", one.get("LastError"))

    def test_identity_authenticates_another(self):
        one = self.made("one", configuration(f"{USUAL}\nAuthenticate=identity:demo"))
        one.wait("ready")
        serial = self.demo.get("SerialNumber").upper()
        self.assertIn(f"client=cert:{serial}", requests("simpleenroll")[-1])
        one.renew()

    def test_anchors_that_are_taken_out(self):
        """A root that is added counts beside the old one; one that is taken out of the file is trusted no more."""
        path, other = SANDBOX + "/anchors-of-the-test.pem", SANDBOX + "/other-root.pem"
        shutil.copy(CA + "/root.pem", path)
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=another",
            "-keyout", SANDBOX + "/other-root.key", "-out", other)
        text = configuration(f"Server={EST}\nAnchors={path}\nServerAnchors={CA}/server.pem\n{PASSWORD}")
        one = self.made("one", text)
        one.wait("ready")
        root, another = pem_to_der(read(CA + "/root.pem")), pem_to_der(read(other))
        with open(path, "a", encoding="ascii") as file:
            file.write(read(other))
        self.configure("one", text)
        self.assertEqual([bytes(anchor) for anchor in one.get("Anchors")], root + another)
        shutil.copy(other, path)
        self.configure("one", text)
        self.assertEqual([bytes(anchor) for anchor in one.get("Anchors")], another)
        self.refused("CertificateRejected", one.enroll, **{"new-key": True})
        service("restart", "identityd")
        type(self).connect()
        one.wait("ready")
        self.assertEqual([bytes(anchor) for anchor in one.get("Anchors")], another)

    def test_fingerprint_that_changes(self):
        root = pem_to_der(read(CA + "/root.pem"))[0]
        text = f"Server={EST}\nAnchorsFingerprint=sha256:{{}}\n{PASSWORD}"
        right, wrong = hashlib.sha256(root).hexdigest(), hashlib.sha256(b"another root").hexdigest()
        one = self.made("one", configuration(text.format(right)))
        one.wait("ready")
        self.configure("one", configuration(text.format(wrong)))
        self.assertEqual(list(one.get("Anchors")), [])
        self.configure("one", configuration(text.format(right)))
        one.enroll(**{"new-key": True})
        self.assertEqual([bytes(anchor) for anchor in one.get("Anchors")], [root])
        service("restart", "identityd")
        type(self).connect()
        one.wait("ready")
        self.assertEqual([bytes(anchor) for anchor in one.get("Anchors")], [root])

    def test_fingerprint_bootstrap(self):
        root = pem_to_der(read(CA + "/root.pem"))[0]
        right = hashlib.sha256(root).hexdigest()
        one = self.made("one", configuration(f"Server={EST}\nAnchorsFingerprint=sha256:{right}\n{PASSWORD}"))
        one.wait("ready")
        self.assertEqual([bytes(a) for a in one.get("Anchors")], [root])
        wrong = hashlib.sha256(b"another root").hexdigest()
        seen = len(requests("simpleenroll"))
        two = self.made("two", configuration(f"Server={EST}\nAnchorsFingerprint=sha256:{wrong}\n{PASSWORD}"))
        wait_until(lambda: two.get("LastError") != "", "a refusal")
        self.assertEqual(two.state(), "empty")
        self.assertEqual(len(requests("simpleenroll")), seen, "nothing is sent to a server that is not known")

    def test_fingerprint_beside_others(self):
        """Another root stands in the answer too: it is left out, and trusted for nothing."""
        root = pem_to_der(read(CA + "/root.pem"))[0]
        control("fault", "cacerts", "foreign-root", "count=0")
        text = f"Server={EST}\nAnchorsFingerprint=sha256:{hashlib.sha256(root).hexdigest()}\n{PASSWORD}"
        one = self.made("one", configuration(text))
        one.wait("ready")
        self.assertEqual([bytes(anchor) for anchor in one.get("Anchors")], [root])

    def test_unreadable_certificates_beside_others(self):
        """In /cacerts, in the answer to the request, and in the file of Anchors=: left out, and said."""
        anchors = SANDBOX + "/mixed.pem"
        junk = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
        with open(anchors, "w", encoding="utf-8") as file:
            file.write(junk + read(CA + "/root.pem"))
        before = len(log("identityd"))
        for operation in ("cacerts", "simpleenroll", "simplereenroll"):
            control("fault", operation, "junk-beside", "count=0")
        one = self.made("one", configuration(f"Server={EST}\nAnchors={anchors}\nServerAnchors={CA}/server.pem\n{PASSWORD}"))
        one.wait("ready")
        one.renew()
        self.assertEqual(verify_chain(one.get("Certificates")), "")
        self.assertEqual([bytes(anchor) for anchor in one.get("Anchors")], pem_to_der(read(CA + "/root.pem")))
        said = log("identityd")[before:]
        for where in (anchors, "the CA's answer to /cacerts", "the CA's answer to the enrolment"):
            self.assertIn(f"1 of what is in {where} cannot be read and is left out", said)
        with open(anchors, "w", encoding="utf-8") as file:
            file.write(junk)
        self.configure("one", configuration(f"Server={EST}\nAnchors={anchors}\n{PASSWORD}"))
        self.assertEqual(one.state(), "misconfigured")
        self.assertIn("none of the 1 can be read", one.get("LastError"))

    def test_anchors_of_peers(self):
        """[Peers] Anchors= is what programs verify with, on every way that they get them, and ours is not."""
        anchor = SANDBOX + "/peers.pem"
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=the peers' CA",
            "-keyout", SANDBOX + "/peers.key", "-out", anchor)
        one = self.made("peers", configuration(f"{USUAL}\n{PASSWORD}", more=f"[Peers]\nAnchors={anchor}\n"))
        one.wait("ready")
        expected = pem_to_der(read(anchor))
        self.assertEqual([bytes(anchor) for anchor in one.get("Anchors")], expected)
        self.assertEqual(pem_to_der(read(f"{SANDBOX}/run/peers/anchors.pem")), expected)
        self.assertEqual(verify_chain(one.get("Certificates")), "")

    def test_secrets_of_the_tpm_are_not_sent(self):
        """What identityd.conf calls an authorization of the TPM is no password for a CA, whatever an identity says."""
        path = f"{SANDBOX}/etc/identityd.conf.d"
        os.makedirs(path, exist_ok=True)
        with open(path + "/secret.conf", "w", encoding="ascii") as file:
            file.write("[TPM]\nEndorsementAuthCredential=enrollment-password\n")
        self.addCleanup(self.manager, "Reload")
        self.addCleanup(os.unlink, path + "/secret.conf")
        asked = len(requests("simpleenroll"))
        one = self.made("leaks", configuration(f"{USUAL}\n{PASSWORD}"))
        wait_until(lambda: "is not sent to a CA" in one.get("LastError"), "the refusal")
        self.assertEqual(len(requests("simpleenroll")), asked)

    def test_several_servers(self):
        one = self.made("one", configuration(
            f"Server=https://127.0.0.1:1/.well-known/est {EST}/second\nAnchors={CA}/root.pem\nServerAnchors={CA}/server.pem\n{PASSWORD}"))
        one.wait("ready")
        self.assertIn("label=second", requests("simpleenroll")[-1])

    def test_csrattrs(self):
        tls = f"[Identity]\nSubject=CN=%d,O=test\n[Enrollment]\n{USUAL}\n{PASSWORD}\n[Access]\ntls-client=user:{os.getuid()}\n"
        for variant in ("none", "no-content", "empty", "unknown", "key-p256", "usage"):
            with self.subTest(variant):
                control("csrattrs", variant)
                one = self.made("one", tls)
                one.wait("ready")
                self.assertEqual(one.get("KeyAlgorithm"), "ecdsa-p256")
                self.forget("one")
        for variant, text in (("foreign-name", tls), ("usage", configuration(f"{USUAL}\n{PASSWORD}"))):
            with self.subTest("refused: " + variant):
                control("csrattrs", variant)
                one = self.made("one", text)
                wait_until(lambda: one.get("LastError") != "", "a refusal")  # pylint: disable=cell-var-from-loop
                self.assertEqual(one.state(), "empty")
                self.assertIn("csrattrs", one.get("LastError"))
                self.forget("one")
        control("csrattrs", "none")

    def test_tls12_only_where_it_is_allowed(self):
        """With a certificate TLS 1.2 needs AllowTLS12=; a password needs nothing."""
        control("fault", "connection", "tls12", "count=0")
        one = self.made("one", configuration(f"{USUAL}\nAuthenticate=identity:demo"))
        wait_until(lambda: one.get("LastError") != "", "a refusal")
        self.assertIn("AllowTLS12", one.get("LastError"))
        self.forget("one")
        two = self.made("two", configuration(f"{USUAL}\nAuthenticate=identity:demo\nAllowTLS12=yes"))
        two.wait("ready")
        two.renew()
        self.assertIn("client=cert:", requests("simplereenroll")[-1])

    def test_intermediate_is_not_needed_at_hand(self):
        one = self.made("one", configuration(f"{USUAL}\n{PASSWORD}"))
        one.wait("ready")
        self.assertEqual(len(one.get("Certificates")), 2)


def at_the_enroller():
    """Connections that enrollers have accepted and not closed yet."""
    return sum(line.endswith(f" {SANDBOX}/run/enroller.socket") and line.split()[5] == "03" for line in read("/proc/net/unix").splitlines())


class ManyAtOnce(Enrolment):
    def test_they_take_turns(self):
        """More identities are due than there are places at the enroller: none fails for that."""
        names, begins, most = [f"many-{i}" for i in range(16)], len(log("identityd")), 0
        control("fault", "simpleenroll", "slow", "seconds=1", "count=16")
        for name in names:
            with open(f"{SANDBOX}/etc/identities/{name}.conf", "w", encoding="utf-8") as file:
                file.write(configuration(f"{USUAL}\n{PASSWORD}"))
            self.addCleanup(self.forget, name)
        self.manager("Reload")
        end = time.monotonic() + 120
        while any(self.identity(name).state() != "ready" for name in names):
            most = max(most, at_the_enroller())
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)
        # Four at work, and those that have answered and are on their way out.
        self.assertGreater(most, 1)
        self.assertLessEqual(most, 8)
        self.assertNotIn("failed", log("identityd")[begins:])


if __name__ == "__main__":
    unittest.main()
