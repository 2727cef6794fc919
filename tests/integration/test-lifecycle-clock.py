#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The clock (docs/design.md §10): behind what is certainly past, and spoofed ahead and back. What is "certainly past" is kept for
each trust domain in the file `.clock` of the runtime directory, so that writing that moves the system clock, relatively. Runs
inside tests/sandbox."""

import os
import time
import unittest

from lifecycle import SCHEME, Lifecycle, checking, configuration, revoke
from sandboxed import CA, SANDBOX, control, idctl, read, requests, run, service, wait_until

YEAR = 365 * 86400
CLOCK, MARK = SANDBOX + "/run/.clock", SANDBOX + "/run/.clock-was-behind"


class Clock(Lifecycle):
    def setUp(self):
        super().setUp()
        self.addCleanup(self.again)

    def again(self):
        """A boot with a clock that is right."""
        self.boot(None)
        self.demo.wait("ready")

    def boot(self, ahead):
        """Starts as after a reboot, with a floor that is so many seconds ahead of the system clock."""
        if os.path.exists(CLOCK):
            self.known = self.domains()

        def files():
            for path in (CLOCK, MARK):
                if os.path.exists(path):
                    os.unlink(path)
            if ahead is not None:
                self.floor(ahead)
        self.restart("stop", files)

    def domains(self):
        """The trust domains that identityd has written down."""
        with open(CLOCK, encoding="utf-8") as file:
            return [line.split()[0] for line in file]

    def floor(self, ahead):
        with open(CLOCK, "w", encoding="utf-8") as file:
            for domain in self.known:
                file.write(f"{domain} {int(time.time()) + ahead} {int(time.clock_gettime(time.CLOCK_BOOTTIME) * 1e6)} a test\n")

    def test_behind_renews_once_a_boot(self):
        """Nothing expires and nothing is deleted; one renewal and one check are tried, not one a start."""
        one = self.made("one", checking(access="digest").replace("Interval=1s", "Interval=6h"))
        wait_until(lambda: requests("crl"), "the first check")
        time.sleep(1.1)
        self.boot(600)
        wait_until(lambda: one.state_or_none() == "ready" and one.generation() == 2, "the renewal of this boot", 15)
        self.assertIn("clock is behind", self.logged())
        with one.open("digest") as opened:
            opened.sign_digest(SCHEME, bytes(32))
        self.restart()
        one.wait("ready")
        time.sleep(1.5)
        self.assertEqual(one.generation(), 2, "once")

    def test_behind_and_revoked(self):
        """A CRL that is newer than the time that a device with a wrong clock knows is still what the CA says, and teaches the time."""
        one = self.made("one", checking())
        wait_until(lambda: requests("crl"), "the first check")
        with open(CA + "/index.txt", encoding="ascii") as file:
            self.assertIn(str(one.get("SerialNumber")).upper(), file.read())
        self.boot(600)
        one.wait("ready")
        wait_until(lambda: one.generation() == 2, "the renewal of this boot")
        # The list of before, until the one that is ahead takes its place.
        before = SANDBOX + "/before-the-clock.crl"
        with open(before, "wb") as file:
            file.write(run("curl", "-sS", "--noproxy", "*", read(CA + "/crl-url").strip()).stdout)
        control("crl-file", before)
        self.addCleanup(control, "crl-file", "none")
        revoke(one)
        control("crl-file", self.crl_of(3 * 3600))
        one.wait("revoked", 90)
        wait_until(lambda: max(int(line.split()[1]) for line in read(CLOCK).splitlines()) > time.time() + 2 * 3600, "the time to be learned")

    def behind(self, name):
        lines = idctl("metrics").stdout.decode().splitlines()
        return [line.rpartition(" ")[2] for line in lines if line.startswith(f'identityd_clock_behind{{identity="{name}"}}')]

    def test_reset(self):
        """A floor that was wrong ends by an admin's word, for all in the trust domain, and does not come back."""
        one, two = self.made("one", configuration()), self.made("two", configuration())
        self.boot(3 * YEAR)
        for identity, name in ((one, "one"), (two, "two")):
            identity.wait("expired")
            self.assertGreater(int(identity.get("ClockFloor")) / 1e6, time.time() + 3 * YEAR - 100)
            self.assertEqual(identity.get("ClockSource"), "a test")
            self.assertEqual(self.behind(name), ["1"])
        idctl("reset-clock", "one")
        for identity, name in ((one, "one"), (two, "two")):
            self.assertEqual(identity.state(), "ready", "when it is answered")
            self.assertLess(int(identity.get("ClockFloor")) / 1e6, time.time() + 1)
            self.assertNotEqual(identity.get("ClockSource"), "a test")
            self.assertEqual(self.behind(name), ["0"])
        self.assertIn("What was learned of the time is forgotten", self.logged())
        self.restart()
        one.wait("ready")
        self.assertLess(int(one.get("ClockFloor")) / 1e6, time.time() + 1)

    def crl_of(self, ahead):
        """The CA's CRL, made so many seconds from now."""
        def at(seconds):
            return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + seconds))
        config, crl = SANDBOX + "/crl-of-the-clock.conf", SANDBOX + "/crl-of-the-clock"
        with open(config, "w", encoding="ascii") as file:
            file.write(f"[ca]\ndefault_ca=d\n[d]\ndatabase={CA}/index.txt\ncrlnumber={CA}/crlnumber\ndefault_md=sha256\nunique_subject=no\n"
                       "crl_extensions=e\n[e]\nauthorityKeyIdentifier=keyid:always\n")
        run("openssl", "ca", "-gencrl", "-config", config, "-cert", CA + "/intermediate.pem", "-keyfile",
            CA + "/private/intermediate-1.key", "-crl_lastupdate", at(ahead), "-crl_nextupdate", at(ahead + 86400), "-out", crl + ".pem")
        run("openssl", "crl", "-in", crl + ".pem", "-outform", "DER", "-out", crl + ".der")
        return crl + ".der"

    def test_behind_and_no_network_at_first(self):
        """The renewal of the boot waits for the CA, as any other does."""
        one = self.made("one", configuration())
        time.sleep(1.1)
        service("stop", "enroller")
        try:
            self.boot(600)
            one.wait("ready")
            wait_until(lambda: one.get("Activity") == "waiting", "a failed attempt")
        finally:
            service("start", "enroller")
        wait_until(lambda: one.generation() == 2, "the renewal of this boot", 90)

    def test_not_yet_valid_is_no_reason(self):
        """With a clock behind, a certificate whose notBefore is ahead still counts."""
        one = self.made("one", configuration())
        self.boot(300)
        one.wait("ready")
        with one.open("digest") as opened:
            opened.sign_digest(SCHEME, bytes(32))

    def test_spoofed_ahead_and_back(self):
        """Years ahead everything is expired; back again, all is as it was."""
        one = self.made("one", checking(access="digest"))
        generation, serial, planned = one.generation(), one.get("SerialNumber"), self.planned("one")
        kept = sorted(os.listdir(f"{SANDBOX}/state/one/generations"))
        self.boot(3 * YEAR)
        one.wait("expired")
        self.refused("Expired", one.open, "digest")
        wait_until(lambda: one.get("LastError") != "", "an attempt to enrol")
        self.assertEqual(sorted(os.listdir(f"{SANDBOX}/state/one/generations")), kept)
        self.boot(None)
        one.wait("ready")
        self.assertEqual((one.generation(), one.get("SerialNumber"), self.planned("one")), (generation, serial, planned))
        self.assertEqual((one.get("Activity"), one.get("LastError"), int(one.get("NextAttempt"))), ("idle", "", 0))
        with one.open("digest") as opened:
            opened.sign_digest(SCHEME, bytes(32))
        # And what happens next happens as if nothing had been: a revocation is found at the next check, a renewal works.
        one.renew()
        control("revoke", str(one.get("SerialNumber")).upper())
        one.wait("revoked", 15)

    def planned(self, name):
        return next(int(e[5]) for e in self.manager("ListIdentities") if str(e[0]) == name)

    def test_step_over_the_renewal_window(self):
        """A step forward to where the renewal is due renews at once, as after a long sleep."""
        one = self.made("one", configuration("[Renewal]\nAt=50%\nJitter=0%\n"))
        time.sleep(1.1)
        self.boot(2400)
        wait_until(lambda: one.state_or_none() == "ready" and one.generation() >= 2, "a renewal", 15)

    def test_a_floor_that_is_nonsense(self):
        """A broken file is no clock."""
        def nonsense(text):
            def write():
                with open(CLOCK, "w", encoding="utf-8") as file:
                    file.write(text)
            return write
        for text in ("", "x y\n", "99999999999999999 0\n", "-5 7\n", "no-domain 1 2 x\n", f"{self.domains()[0]} {int(time.time()) + 3 * YEAR} 18446744073709551615 x\n"):
            with self.subTest(text):
                self.restart("stop", nonsense(text))
                self.demo.wait("ready")


if __name__ == "__main__":
    unittest.main()
