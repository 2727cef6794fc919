#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Past expiry: enrolled again by the fallback, or visibly stuck without one. Runs inside tests/sandbox."""

import time
import unittest

import dbus

from lifecycle import PASSWORD, USUAL, ShortLived, configuration
from sandboxed import CA, control, field, pem_to_der, sign_request, wait_until


class Expiry(ShortLived):
    def test_fallback_enrols_again(self):
        """Expired while the daemon was down: the password enrols again, by another key, the name unchanged."""
        control("lifetime", "11")
        one = self.made("one", configuration())
        subject, key = field(one.certificate(), "-subject"), bytes(one.get("PublicKey"))
        end = self.life(one)[1]
        self.restart(meanwhile=lambda: time.sleep(max(0, end + 1.2 - time.time())))
        control("lifetime", "3600")
        wait_until(lambda: one.state_or_none() == "ready" and one.generation() == 2, "a new enrolment", 15)
        self.assertNotEqual(bytes(one.get("PublicKey")), key)
        self.assertEqual(field(one.certificate(), "-subject"), subject)
        self.assertIn("expired", self.logged())

    def test_asked_for_after_expiry(self):
        """What an admin asks for then is a fresh enrolment, with the names that are configured by now."""
        control("lifetime", "11")
        one = self.made("one", configuration("[Renewal]\nAt=95%\nJitter=0%\n", subject="CN=before"))
        for operation in ("simplereenroll", "simpleenroll"):
            control("fault", operation, "status", "code=503", "count=0")
        one.wait("expired", 20)
        self.configure("one", configuration(subject="CN=corrected"))
        control("clear")
        control("lifetime", "3600")

        def asked():
            try:
                one.enroll(**{"new-key": True})
            except dbus.DBusException as error:  # the fallback's own attempt is under way
                self.assertIn("Busy", error.get_dbus_name())
                return False
            return True
        wait_until(asked, "the enrolment that was asked for")
        self.assertEqual((one.state(), one.get("Subject")), ("ready", "CN=corrected"))

    def test_stuck_without_a_fallback(self):
        """Visibly, with what to do; nothing is deleted, and it is tried on slowly."""
        # Made by hand, as in a factory; then nothing may authenticate an enrolment.
        two = self.made("two", configuration(enrollment=f"Protocol=manual\nAnchors={CA}/root.pem"), state=None)
        wait_until(lambda: two.state_or_none() == "empty", "two")
        two.install(pem_to_der(sign_request(two.create_request(), "--chain", "--lifetime", "11")))
        two.wait("ready")
        self.configure("two", configuration("[Renewal]\nAt=95%\nJitter=0%\n", enrollment=USUAL))
        control("fault", "simplereenroll", "status", "code=403", "count=0")
        two.wait("expired", 15)
        wait_until(lambda: "Authenticate=" in two.get("LastError"), "the reason", 20)
        self.assertIn("expired", two.get("LastError"))
        self.assertEqual(two.get("Activity"), "waiting")
        self.assertGreater(int(two.get("NextAttempt")) / 1e6, time.time())
        self.refused("Expired", two.open, "digest")
        self.refused("EnrollmentFailed", two.renew)
        self.assertEqual(two.generation(), 1)
        # The remedy works.
        control("clear")
        self.configure("two", configuration(enrollment=f"{USUAL}\n{PASSWORD}"))
        two.enroll()
        two.wait("ready")


if __name__ == "__main__":
    unittest.main()
