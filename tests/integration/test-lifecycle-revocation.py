#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the CA takes back stops signing, and nothing else does. Runs inside tests/sandbox."""

import os
import re
import shutil
import socket
import subprocess
import time
import unittest

from handle import Closed, Refused
from lifecycle import SCHEME, Lifecycle, checking, configuration, revoke
from sandboxed import CA, SANDBOX, control, idctl, requests, run, wait_until


class Crl(Lifecycle):
    def serve_crl(self):
        """A CRL by `openssl ca`, since GnuTLS, and with it the lab CA, writes no reasons into one."""
        config, crl = SANDBOX + "/openssl-ca.conf", f"{SANDBOX}/served.crl"
        with open(config, "w", encoding="utf-8") as file:
            file.write(f"[ca]\ndefault_ca=d\n[d]\ndatabase={CA}/index.txt\ncrlnumber={CA}/crlnumber\ndefault_md=sha256\nunique_subject=no\n"
                       "crl_extensions=e\n[e]\nauthorityKeyIdentifier=keyid:always\n")
        pem = run("openssl", "ca", "-gencrl", "-config", config, "-cert", CA + "/intermediate.pem", "-keyfile",
                  CA + "/private/intermediate-1.key", "-crlhours", "24").stdout
        run("openssl", "crl", "-outform", "DER", "-out", crl, data=pem)
        control("crl-file", crl)
        self.addCleanup(control, "crl-file", "none")

    def put_on_hold(self, identity):
        # The lab CA's own CRLs carry no reasons: none of them may be seen between the revocation and ours.
        before = SANDBOX + "/before.crl"
        with open(before, "wb") as file:
            file.write(run("curl", "-sS", "--noproxy", "*", self.crl_url()).stdout)
        control("crl-file", before)
        revoke(identity, "certificateHold")
        self.serve_crl()

    def test_hold_blocks_and_lifts(self):
        """A hold is no reason for a new key; it lasts over a restart and against an older CRL, and ends by a newer one."""
        one = self.made("one", checking(more="AfterRevocation=enroll\n"))
        serial = str(one.get("SerialNumber")).upper()
        asked = len(requests("simpleenroll"))
        opened = one.open("digest")
        self.addCleanup(opened.close)
        older = run("curl", "-sS", "--noproxy", "*", self.crl_url()).stdout
        time.sleep(1.1)
        self.put_on_hold(one)
        one.wait("revoked", 60)
        opened.wait_closed(3)
        self.assertIn("hold", one.get("LastError"))
        self.restart()
        one.wait("revoked")
        with open(SANDBOX + "/older.crl", "wb") as file:
            file.write(older)
        control("crl-file", SANDBOX + "/older.crl")
        wait_until(lambda: "could not be checked by CRL" in self.logged(), "a warning", 60)
        self.stays(one, "revoked", 1.2)
        self.assertEqual(len(requests("simpleenroll")), asked)
        control("release", serial)
        self.serve_crl()
        one.wait("ready", 60)
        self.assertEqual((one.get("LastError"), str(one.get("SerialNumber")).upper()), ("", serial))
        with one.open("digest") as again:
            again.sign_digest(SCHEME, bytes(32))

    def crl_url(self):
        with open(CA + "/crl-url", encoding="utf-8") as file:
            return file.read().strip()

    def test_own_certificate_revoked(self):
        """At the next check: no signature, handles closed, files gone, a signal; over a restart; only a new key leads out."""
        one = self.made("one", checking())
        self.assertIn("chain.pem", self.published("one"))
        seen = self.watch()
        key, asked = bytes(one.get("PublicKey")), len(requests("simpleenroll"))
        with one.open("digest") as opened:
            opened.sign_digest(SCHEME, bytes(32))
            revoke(one, "keyCompromise")
            one.wait("revoked", 60)
            opened.wait_closed(3)
        self.assertEqual(self.published("one"), [])
        self.assertIn("revoked", one.get("LastError"))
        wait_until(lambda: "revoked" in seen(), "the signal")
        self.refused("Revoked", one.open, "digest")
        self.refused("Revoked", one.renew)
        self.restart()
        self.demo.wait("ready")
        one.wait("revoked")
        generation = one.generation()
        self.stays(one, "revoked", 2)  # AfterRevocation=wait
        self.assertEqual(self.published("one"), [])
        self.assertEqual(len(requests("simpleenroll")), asked)
        one.enroll()
        one.wait("ready")
        self.assertNotEqual(bytes(one.get("PublicKey")), key, "only a new key leads out")
        self.assertEqual(one.get("LastError"), "")
        self.assertIn("chain.pem", self.published("one"))
        with one.open("digest") as opened:
            with self.assertRaises(Refused, msg="the revoked key signs again"):
                opened.sign_digest(SCHEME, bytes(32), generation)
            opened.sign_digest(SCHEME, bytes(32))
        wait_until(lambda: not os.path.exists(f"{SANDBOX}/state/one/generations/{generation}"), "the revoked key to be gone")
        self.stays(one, "ready", 2)

    def test_a_hanging_fetch_wins_no_time(self):
        """What a verified CRL says counts before the next one is fetched."""
        hanging = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(hanging.close)
        one = self.made("one", checking(more=f"CRL=http://127.0.0.1:{hanging.getsockname()[1]}/x.crl\n"))
        revoke(one)
        # The check that is under way hangs, for minutes; the next begins with a start.
        self.restart()
        one.wait("revoked", 60)
        self.refused("Revoked", one.open, "digest")

    def test_crl_that_the_ca_replaces_no_more(self):
        """Past its nextUpdate it counts on; that is said once, shown by the metrics, and again when the next one is past its own."""
        control("crl-lifetime", "3")
        self.addCleanup(control, "crl-lifetime", "86400")
        self.addCleanup(control, "crl-file", "none")
        one = self.made("one", checking())
        warning = "one: The CRL for "
        wait_until(lambda: self.next_update("one"), "a CRL")
        self.freeze_crl()
        until = self.next_update("one")
        wait_until(lambda: self.logged().count(warning) == 1, "the warning", 60)
        self.assertIn("should have been replaced by", self.logged())
        self.assertGreater(time.time(), until)
        served = len(requests("crl"))
        wait_until(lambda: len(requests("crl")) > served + 1, "another check", 60)
        self.assertEqual((one.state(), self.logged().count(warning)), ("ready", 1))
        control("crl-file", "none")
        control("crl-renew")
        wait_until(lambda: self.next_update("one") > until, "a newer CRL", 60)
        self.freeze_crl()
        wait_until(lambda: self.logged().count(warning) == 2, "another warning", 60)
        revoke(one)
        control("crl-file", "none")
        control("crl-renew")
        one.wait("revoked", 60)

    def freeze_crl(self):
        with open(SANDBOX + "/frozen.crl", "wb") as file:
            file.write(run("curl", "-sS", "--noproxy", "*", self.crl_url()).stdout)
        control("crl-file", SANDBOX + "/frozen.crl")

    def next_update(self, name):
        """As the metrics have it; 0: there is none."""
        found = re.search(rf'^identityd_crl_next_update_seconds{{identity="{name}"}} ([0-9]+)$', idctl("metrics").stdout.decode(), re.M)
        return int(found[1]) if found else 0

    def test_crl_that_the_chain_names_no_more(self):
        """A list that nobody asks for any more is not kept."""
        one = self.made("one", checking())
        crls = f"{SANDBOX}/state/one/trust/crls"
        wait_until(lambda: os.path.isdir(crls) and os.listdir(crls), "a CRL")
        stray = f"{crls}/{'0' * 64}.crl"
        shutil.copy(os.path.join(crls, os.listdir(crls)[0]), stray)
        wait_until(lambda: not os.path.exists(stray), "the stray CRL to be gone")
        self.assertTrue(os.listdir(crls))

    def test_new_key_by_the_admin(self):
        one = self.made("one", checking())
        key = bytes(one.get("PublicKey"))
        revoke(one)
        one.wait("revoked", 60)
        idctl("enroll", "--new-key", "one")
        one.wait("ready")
        self.assertNotEqual(bytes(one.get("PublicKey")), key)

    def test_enroll_by_itself(self):
        control("lifetime", "60")  # two of them are not closer than a tenth of that
        self.addCleanup(control, "lifetime", "3600")
        one = self.made("one", checking(more="AfterRevocation=enroll\n"))
        key = bytes(one.get("PublicKey"))
        revoke(one)
        wait_until(lambda: one.generation() == 2 and one.state() == "ready", "a new generation", 60)
        self.assertNotEqual(bytes(one.get("PublicKey")), key)
        self.assertIn("ready → revoked", self.logged())

    def test_enroll_by_itself_says_when(self):
        """Two enrolments are as far apart as a tenth of the life, here six minutes; without the setting there is none."""
        for more, comes in (("AfterRevocation=enroll\n", True), ("", False)):
            one = self.made("one", checking(more=more))
            self.assertEqual((int(one.get("NextAttempt")), bool(one.get("ReadyByItself"))), (0, True))
            begin, end = (int(one.get(name)) / 1e6 for name in ("NotBefore", "NotAfter"))
            revoke(one)
            one.wait("revoked", 60)
            self.assertEqual(bool(one.get("ReadyByItself")), comes)
            when = int(one.get("NextAttempt")) / 1e6
            self.assertEqual("Next attempt" in idctl("show", "one").stdout.decode(), comes)
            if comes:
                self.assertGreater(when, begin + (end - begin) / 10 - 1)
                self.assertLess(when, time.time() + (end - begin) / 10 + 1)
            else:
                self.assertEqual(when, 0)
            self.forget("one")

    def test_a_renewal_under_way_does_not_lead_out(self):
        """The renewal keeps the key: were it committed after the revocation, the revoked key would sign again."""
        one = self.made("one", checking())
        one.settle()
        control("fault", "simplereenroll", "slow", "seconds=6")
        renewal = subprocess.Popen(["idctl", "renew", "one"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(renewal.stderr.close)
        wait_until(lambda: one.get("Activity") == "renewing", "the renewal")
        revoke(one)
        one.wait("revoked", 60)
        self.assertIn("revoked", renewal.communicate(timeout=20)[1])
        self.assertNotEqual(renewal.returncode, 0)
        self.stays(one, "revoked", 1.5)
        self.assertEqual(one.get("Activity"), "idle")

    def test_hold_becomes_a_revocation(self):
        one = self.made("one", checking())
        self.put_on_hold(one)
        one.wait("revoked", 60)
        control("release", str(one.get("SerialNumber")).upper())
        revoke(one, "superseded")
        self.serve_crl()
        wait_until(lambda: "hold" not in one.get("LastError"), "the revocation", 60)
        self.stays(one, "revoked", 1.5)

    def test_a_crl_that_cannot_be_stored_counts(self):
        """A disk that is full hides no revocation."""
        one = self.made("one", checking())
        crls = SANDBOX + "/state/one/trust/crls"
        wait_until(lambda: os.path.isdir(crls) and os.listdir(crls), "CRLs", 60)
        shutil.rmtree(crls)
        with open(crls, "w", encoding="utf-8"):
            pass  # no directory: nothing can be written into it
        revoke(one)
        one.wait("revoked", 60)

    def test_what_a_reload_judges_again(self):
        """The stored CRL is read again where it may mean something else: with another Check=, or among other anchors."""
        anchors = SANDBOX + "/anchors-of-one.pem"
        shutil.copy(CA + "/root.pem", anchors)

        def text(check):
            return checking(check).replace("Interval=1s", "Interval=1h").replace(f"Anchors={CA}/root.pem", f"Anchors={anchors}")
        one = self.made("one", text("crl"))
        place = f"{SANDBOX}/state/one/trust/crls"

        def stored():
            return [f"{place}/{name}" for name in os.listdir(place) if not name.startswith(".")] if os.path.isdir(place) else []
        def spoil():
            wait_until(lambda: len(stored()) == 2 and all(os.path.getsize(name) > 10 for name in stored()),
                       "the CRLs of both issuers on the disk", 60)
            one.get("State")  # answered after the turn of the loop in which the check ended
            with open(stored()[0], "wb") as file:
                file.write(b"no CRL")
        spoil()

        def read_again():
            return self.logged().count("A stored CRL is left out")
        self.assertEqual(read_again(), 0)
        self.manager("Reload")
        self.assertEqual(read_again(), 0)
        self.configure("one", text("crl,ocsp"))
        self.assertEqual(read_again(), 1)
        spoil()  # another Check= has them fetched again at once
        self.configure("one", text("crl,ocsp") + "# the same\n")
        self.assertEqual(read_again(), 1)
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", os.devnull, "-subj",
            "/CN=another", "-days", "2", "-out", anchors + ".another")
        with open(anchors + ".another", encoding="utf-8") as another, open(anchors, "a", encoding="utf-8") as file:
            file.write(another.read())
        self.manager("Reload")
        self.assertGreaterEqual(read_again(), 2)  # more than once where a fetch ends in this very moment
        self.assertEqual(one.state(), "ready")

    def test_before_the_next_update(self):
        """However long the interval, a CRL is fetched anew before the one at hand has ended."""
        control("crl-lifetime", "20")
        control("crl-renew")
        self.addCleanup(control, "crl-renew")
        self.addCleanup(control, "crl-lifetime", "86400")
        self.made("one", checking().replace("Interval=1s", "Interval=1d"))
        crls = SANDBOX + "/state/one/trust/crls"

        def times():
            return {name: os.stat(f"{crls}/{name}").st_mtime_ns for name in os.listdir(crls) if name[0] != "."} if os.path.isdir(crls) else {}
        wait_until(lambda: len(times()) == 2, "the CRLs", 60)
        first = times()
        control("crl-renew")
        wait_until(lambda: all(times()[name] > first[name] for name in first), "newer ones", 60)

    def fetched(self, name):
        """Waits until identityd has a CRL of each issuer that the CA made after this call: only against one at hand is another
        one a step back."""
        crls, begins = f"{SANDBOX}/state/{name}/trust/crls", time.time_ns()
        control("crl-renew")

        def stored():
            names = [n for n in os.listdir(crls) if n.endswith(".crl") and n[0] != "."] if os.path.isdir(crls) else []
            return [n for n in names if os.stat(f"{crls}/{n}").st_mtime_ns > begins]
        wait_until(lambda: len(stored()) == 2, "the CRLs of both issuers", 60)

    def test_no_answer_is_a_warning(self):
        one = self.made("one", checking())
        for fault in (("status", "code=500"), ("not-crl",), ("wrong-signer",), ("stale",), ("empty",), ("cut-off",)):
            with self.subTest(fault[0]):
                self.fetched("one")
                begins = len(self.logged())
                control("fault", "crl", *fault, "count=0")
                try:
                    wait_until(lambda: "could not be checked by CRL" in self.logged()[begins:], "a warning", 60)  # pylint: disable=cell-var-from-loop
                finally:  # the next one begins without it
                    control("clear")
                self.assertEqual(one.state(), "ready")
        revoke(one)
        one.wait("revoked", 60)

    def test_configured_crl(self):
        """A CRL= of the configuration beside the distribution point."""
        one = self.made("one", configuration(f"[Revocation]\nCheck=crl\nInterval=1s\nCRL={self.crl_url()}?again\n"))
        revoke(one)
        one.wait("revoked", 60)


class Zz(Lifecycle):
    """The last, since nothing comes after it."""

    def test_intermediate_revoked(self):
        """It counts for everything below it, and a CA that goes on issuing under it is not asked without end."""
        wait = self.made("wait", checking())
        again = self.made("again", checking(more="AfterRevocation=enroll\n"))
        subject = re.search(r"CN ?= ?([^,\n]+)", str(wait.get("Issuer")))[1]
        with again.open("digest") as opened:
            control("revoke", "name=" + subject, "CACompromise")
            wait.wait("revoked", 60)
            with self.assertRaises(Closed):
                for _ in range(100):
                    opened.sign_digest(SCHEME, bytes(32))
                    time.sleep(0.05)
        asked = len(requests("simpleenroll"))
        time.sleep(4)
        self.assertLess(len(requests("simpleenroll")) - asked, 3)
        self.assertEqual((wait.state(), again.state()), ("revoked", "revoked"))


if __name__ == "__main__":
    unittest.main()
