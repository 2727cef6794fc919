#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What an admin and his scripts go by: `idctl wait` through every way in which an identity gets ready, or does not, and over
restarts of identityd. Runs inside tests/sandbox."""

import os
import subprocess
import unittest

from lifecycle import Lifecycle, checking, configuration, revoke
from sandboxed import CA, SANDBOX, control, idctl, service, wait_until

MANUAL = configuration(enrollment=f"Protocol=manual\nAnchors={CA}/root.pem")
ENDLESS = ("--timeout", "infinity")


class Waiting:
    """idctl wait in the background, and what it says on standard error."""

    def __init__(self, case, *arguments):
        self.path = f"{SANDBOX}/log/wait.{os.urandom(4).hex()}"
        with open(self.path, "wb") as file:
            self.process = subprocess.Popen(["idctl", "wait", *arguments], stdout=file, stderr=file)
        case.addCleanup(self.process.wait)
        case.addCleanup(self.process.kill)

    def said(self):
        with open(self.path, encoding="utf-8") as file:
            return file.read()

    def until(self, words):
        wait_until(lambda: words in self.said(), f"'{words}' in '{self.said()}'")

    def end(self):
        """Its exit status, which comes by itself."""
        return self.process.wait(60)


def fails(status, *arguments):
    result = subprocess.run(["idctl", *arguments], capture_output=True, text=True, check=False, timeout=90)
    assert result.returncode == status, f"{arguments}: {result.returncode}, not {status}: {result.stdout}{result.stderr}"
    return result.stderr


class Wait(Lifecycle):
    def put_off(self, name):
        """An identity whose CA decides later, and asks to be asked every second."""
        control("fault", "simpleenroll", "pending", "retry-after=1", "count=0")
        self.made(name, configuration(), state=None)

    def test_ready_already(self):
        self.assertEqual(idctl("wait", "demo", "demo-data", "demo").stderr, b"")
        self.assertEqual(idctl("wait", "--state", "ready", "demo").stdout, b"")

    def test_enrolment(self):
        """The CA decides later: the wait says what it waits for, and ends with the certificate."""
        self.put_off("one")
        waiting = Waiting(self, *ENDLESS, "one", "demo")
        waiting.until("one: it is empty, waiting; next attempt at ")
        control("clear")
        self.assertEqual(waiting.end(), 0, waiting.said())
        self.assertEqual(self.identity("one").state(), "ready")

    def test_times_out(self):
        self.put_off("one")
        self.assertRegex(fails(1, "wait", "-q", "--timeout", "1s", "one", "demo"),
                         r"^idctl: one is not ready after 1s: it is empty, .*\"idctl show one\" says more\.\n$")
        self.assertIn("demo is not revoked after 1s: it is ready.",
                      fails(1, "wait", "-q", "--timeout", "1s", "--state", "revoked", "demo"))

    def test_in_vain(self):
        """What nobody but somebody brings about is not waited for, however long there would be time."""
        self.made("hand", MANUAL, "empty")
        self.assertIn("hand does not become ready by itself: it is empty. Nobody enrols it (Protocol=manual)",
                      fails(1, "wait", *ENDLESS, "demo", "hand"))
        self.made("faulty", MANUAL + "[Frob]\n", "misconfigured")
        text = fails(1, "wait", *ENDLESS, "faulty", "hand")
        self.assertRegex(text, r"faulty does not become ready by itself: it is misconfigured; last error: .*faulty.conf:\d+")
        self.assertIn("hand does not", text)
        one = self.made("one", checking())
        revoke(one)
        idctl("wait", "--state=revoked", "one")
        self.assertIn("AfterRevocation=enroll is not set", fails(1, "wait", *ENDLESS, "one"))
        idctl("retire", "--yes", "one")
        self.assertIn('"idctl enroll" makes a new key', fails(1, "wait", *ENDLESS, "one"))

    def test_a_reload_mends_it(self):
        """While one that waits is there, a reload takes away the hope of another, or what it waits for."""
        self.put_off("one")
        waiting = Waiting(self, *ENDLESS, "one")
        waiting.until("one: it is empty")
        self.configure("one", MANUAL)
        self.assertEqual(waiting.end(), 1, waiting.said())
        self.assertIn("Protocol=manual", waiting.said())

    def test_not_there(self):
        self.assertIn('there is no identity "nobody"', fails(3, "wait", *ENDLESS, "demo", "nobody"))
        self.put_off("one")
        waiting = Waiting(self, *ENDLESS, "one")
        waiting.until("one: it is empty")
        self.configure("one", None)
        self.assertEqual(waiting.end(), 3, waiting.said())
        self.assertIn("the configuration of one went", waiting.said())

    def test_restart(self):
        """Whoever waits for an identity waits on, over the end and the start of identityd."""
        self.put_off("one")
        waiting = Waiting(self, *ENDLESS, "one", "demo")
        waiting.until("one: it is empty")
        for how in ("kill", "stop"):
            before = waiting.said().count("identityd is not running; waiting for it")
            service(how, "identityd")
            wait_until(lambda count=before: waiting.said().count("identityd is not running; waiting for it") > count, "a remark")
            service("start", "identityd")
            self.reconnect()
        control("clear")
        self.assertEqual(waiting.end(), 0, waiting.said())

    def test_started_later(self):
        """Begun before identityd."""
        service("stop", "identityd")
        self.assertIn("demo is not ready after 1s: identityd does not answer.", fails(1, "wait", "--timeout", "1s", "demo"))
        waiting = Waiting(self, *ENDLESS, "demo", "demo-data")
        service("start", "identityd")
        self.reconnect()
        self.assertEqual(waiting.end(), 0, waiting.said())


if __name__ == "__main__":
    unittest.main()
