#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Renewals by themselves, with certificates that live seconds: when, what a failure leaves, what a restart remembers. Runs inside
tests/sandbox."""

import calendar
import datetime
import os
import shutil
import time
import unittest

from lifecycle import SCHEME, ShortLived, configuration
from sandboxed import CA, SANDBOX, control, field, idctl, pem_to_der, read, requests, service, verify_chain, wait_until


def renewing(more, **options):
    return configuration(f"[Renewal]\nJitter=0%\n{more}\n", **options)


class Times(ShortLived):
    def setUp(self):
        super().setUp()
        self.seen = len(requests("simplereenroll"))

    def renewed(self, identity, seconds):
        """Waits for the next generation; returns when it came."""
        before = identity.generation()
        wait_until(lambda: identity.generation() > before, "a renewal", seconds)
        self.assertEqual(identity.state(), "ready")
        return time.time()

    def test_by_fraction_and_before_expiry(self):
        control("lifetime", "12")
        fraction = self.made("fraction", renewing("At=50%"))
        before = self.made("before", renewing("At=-8s"))
        for identity, when in ((before, lambda begin, end: end - 8), (fraction, lambda begin, end: (begin + end) / 2)):
            begin, end = self.life(identity)
            planned = self.planned(identity.name) / 1e6
            self.assertLessEqual(abs(planned - when(begin, end)), 1, identity.name)
            self.assertGreaterEqual(self.renewed(identity, 60), planned - 0.1, identity.name)

    def ending(self, seconds):
        """The CA's intermediate ends then; returns when."""
        self.addCleanup(control, "intermediate-lifetime", str(10 * 365 * 86400))
        control("intermediate-lifetime", str(seconds))
        return self.end_of(pem_to_der(read(CA + "/intermediate.pem"))[0])

    def end_of(self, certificate):
        return calendar.timegm(time.strptime(field(certificate, "-enddate"), "notAfter=%b %d %H:%M:%S %Y GMT"))

    def test_intermediate_that_ends_first(self):
        """What counts is how long peers take the chain; what the certificate says of itself stays."""
        control("lifetime", "60")
        end = self.ending(30)
        one = self.made("one", renewing("At=25%"))
        control("intermediate-lifetime", str(10 * 365 * 86400))
        begin, own_end = self.life(one)
        self.assertEqual(own_end, begin + 60)
        self.assertEqual(self.end_of(one.get("Certificates")[1]), end)
        planned = self.planned("one") / 1e6
        self.assertLessEqual(abs(planned - (begin + (end - begin) / 4)), 1)
        self.assertEqual(int(one.get("NextRenewal")) / 1e6, planned)
        self.assertGreaterEqual(self.renewed(one, 60), planned - 0.1)
        begin, own_end = self.life(one)
        self.assertLessEqual(abs(self.planned("one") / 1e6 - (begin + (own_end - begin) / 4)), 1)
        self.assertNotIn("refuse the chain", self.logged())

    def test_intermediate_that_the_ca_clings_to(self):
        """A tenth of what the chain had left lies between two renewals; the end of the chain is said once."""
        control("lifetime", "60")
        end = self.ending(20)
        one = self.made("one", renewing("At=10%"))
        wait_until(lambda: "refuse the chain" in self.logged(), "the warning", 90)
        self.assertGreater(time.time(), end)
        self.assertEqual(one.state(), "ready")
        renewals = [line.split() for line in requests("simplereenroll")[self.seen:] if line.split()[2] == "200"]
        times = [datetime.datetime.fromisoformat(words[0].replace("Z", "+00:00")).timestamp() for words in renewals]
        done = [when for when in times if when <= end]
        for before, after in zip(done, done[1:]):
            self.assertGreaterEqual(after - before, (end - before) / 10 - 1)  # but for whole seconds
        # The CA takes our certificate no more, whose chain has ended: it is told who we are by the password.
        control("fault", "simplereenroll", "status", "code=403", "count=0")
        control("intermediate-lifetime", str(10 * 365 * 86400))
        generation = one.generation()
        wait_until(lambda: one.generation() > generation, "a chain that is valid", 90)
        self.assertEqual(self.logged().count("refuse the chain"), 1)
        self.assertNotIn("expired", "".join(line for line in self.logged().splitlines() if "one: ready" in line))
        self.assertIn("lab intermediate", self.logged().split("refuse the chain", maxsplit=1)[0].splitlines()[-1])
        self.assertEqual(verify_chain([bytes(c) for c in one.get("Certificates")]), "")

    def test_jitter_is_that_of_device_and_certificate(self):
        """The same point before and after a restart, and after the TPM was away at the start."""
        one = self.made("one", configuration("[Renewal]\nAt=50%\nJitter=30%\n"))
        at = self.planned("one")
        self.restart()
        one.wait("ready")
        self.assertEqual(self.planned("one"), at)
        self.restart(meanwhile=lambda: service("stop", "swtpm"))
        one.wait("unavailable")
        service("start", "swtpm")
        one.wait("ready")
        self.assertEqual(self.planned("one"), at)

    def planned(self, name):
        return next(int(e[5]) for e in self.manager("ListIdentities") if str(e[0]) == name)

    def test_failures_back_off_and_leave_the_old_one(self):
        control("lifetime", "30")
        one = self.made("one", renewing("At=10%"))
        generation, serial = one.generation(), one.get("SerialNumber")
        control("fault", "simplereenroll", "status", "code=500", "count=0")
        wait_until(lambda: self.failed() >= 3, "three failed attempts", 25)
        self.assertEqual((one.generation(), one.get("SerialNumber"), one.state(), one.get("Activity")), (generation, serial, "ready", "waiting"))
        with one.open("digest") as opened:
            opened.sign_digest(SCHEME, bytes(32))
        self.assertIn("500", one.get("LastError"))
        # Before the end; the restart is no reason for an attempt, and forgets nothing.
        ahead = int(one.get("NextAttempt")) / 1e6
        self.assertLessEqual(ahead, self.life(one)[1] + 1)
        tried, said = self.failed(), one.get("LastError")
        self.restart()
        one.wait("ready")
        if time.time() < ahead - 0.5:
            self.assertEqual(self.failed(), tried, "a restart hammers the CA")
            self.assertEqual(int(one.get("NextAttempt")) / 1e6, ahead)
            self.assertEqual(one.get("Activity"), "waiting")
        self.assertEqual(one.get("LastError"), said)
        control("clear")
        self.renewed(one, 15)
        self.assertEqual((one.get("LastError"), one.get("Activity")), ("", "idle"))

    def failed(self):
        return len([line for line in requests("simplereenroll")[self.seen:] if line.split()[2] in ("500", "503")])

    def test_files_that_cannot_be_published(self):
        """They are, as soon as that is possible, without anything else happening; so is their removal."""
        one = self.made("one", configuration())
        place = SANDBOX + "/run/one"
        for change, files in ((one.renew, ["anchors.pem", "chain.pem", "current.pem", "identity.pem", "key.pem"]), (lambda: idctl("retire", "--yes", "one"), [])):
            shutil.rmtree(place)
            with open(place, "w", encoding="utf-8"):
                pass  # a file where the directory should be
            change()
            wait_until(lambda: "the files stay as they were" in self.logged(), "the complaint", 60)
            os.unlink(place)
            if not files:
                os.mkdir(place)
            wait_until(lambda: self.published("one") == files and os.path.isdir(place) == bool(files), "the right files", 60)  # pylint: disable=cell-var-from-loop

    def test_retry_after(self):
        """Never sooner, also over a restart."""
        control("lifetime", "30")
        one = self.made("one", renewing("At=10%"))
        control("fault", "simplereenroll", "status", "code=503", "retry-after=5", "count=1")
        wait_until(lambda: self.failed() == 1 and one.get("Activity") == "waiting", "the refusal", 60)
        refused = int(one.get("NextAttempt")) / 1e6 - 5
        self.restart()
        at = self.renewed(one, 15)
        self.assertGreaterEqual(at - refused, 4.5)

    def test_later_with_the_same_request(self):
        """202 to a renewal: the very same bytes again after a restart, the old certificate meanwhile."""
        control("lifetime", "30")
        one = self.made("one", renewing("At=10%\nRotateKey=yes"))
        control("fault", "simplereenroll", "pending", "retry-after=3")
        wait_until(lambda: one.get("Activity") == "waiting", "waiting", 15)
        self.assertEqual((one.state(), one.generation()), ("ready", 1))
        self.assertIn("202", one.get("LastError"))
        self.restart()
        self.renewed(one, 12)
        # The CA knows a pending request by its bytes; one made anew would have been put off itself or answered at once.
        statuses = [line.split()[2] for line in requests("simplereenroll")[-2:]]
        self.assertEqual(statuses, ["202", "200"])
        self.assertEqual(one.get("LastError"), "")


if __name__ == "__main__":
    unittest.main()
