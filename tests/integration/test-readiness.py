#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""When identityd can be asked, and what it says of itself meanwhile: the bus name comes after the first look at the TPM, so that
whoever has identityd started by asking gets the true answer; STATUS= follows; and the end of the bus is the end of identityd.
Runs inside tests/sandbox."""

import contextlib
import os
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.environ["SOURCE"], "tests/lib"))
from notified import Notified  # pylint: disable=wrong-import-position

from sandboxed import NAME, SANDBOX, Case, read, run, service, wait_until  # pylint: disable=wrong-import-position


class Readiness(Case):
    def setUp(self):
        service("stop", "identityd")
        self.daemon = None
        self.addCleanup(self.as_before)

    def as_before(self):
        if self.daemon and self.daemon.process.poll() is None:
            self.daemon.stop()
        if run(SANDBOX + "/bin/service", "running", "swtpm", check=False).returncode != 0:
            service("start", "swtpm")
        service("start", "identityd")
        type(self).connect()
        self.demo.wait("ready")

    def start(self, wait=True):
        self.daemon = Notified(wait=wait)
        type(self).connect()

    def has_name(self):
        return self.bus.name_has_owner(NAME)

    def status(self):
        """The last one that was told by now."""
        with contextlib.suppress(TimeoutError):
            while True:
                self.daemon.message(0.05)
        return self.daemon.status

    def await_status(self, text):
        wait_until(lambda: self.status() == text, "the status " + text, 30)

    def test_first_call_gets_the_truth(self):
        """As soon as there is a name, what it answers is true."""
        for _ in range(3):
            self.start(wait=False)
            wait_until(self.has_name, "the name")
            self.assertEqual(self.demo.state(), "ready")
            self.demo.open("tls-client").close()
            self.daemon.stop()

    def test_no_name_while_the_tpm_is_looked_at(self):
        """A TPM that takes its time is waited for; afterwards all is as it is."""
        swtpm = [int(pid) for pid in run("pgrep", "-f", f"swtpm socket.*{SANDBOX}/").stdout.split()]
        self.assertTrue(swtpm)
        for pid in swtpm:
            self.addCleanup(os.kill, pid, signal.SIGCONT)
            os.kill(pid, signal.SIGSTOP)
        self.start(wait=False)
        time.sleep(1.5)
        self.assertIsNone(self.daemon.process.poll())
        self.assertFalse(self.has_name())
        for pid in swtpm:
            os.kill(pid, signal.SIGCONT)
        wait_until(self.has_name, "the name")
        self.assertEqual(self.demo.state(), "ready")

    def test_without_a_tpm(self):
        """That there is none is found soon, and is the truth."""
        service("stop", "swtpm")
        self.start()
        self.assertTrue(self.has_name())
        self.assertEqual(self.demo.state(), "unavailable")

    def test_status_follows(self):
        self.start()
        self.await_status("2 of 2 identities ready, TPM ready")
        service("stop", "swtpm")
        try:
            run("busctl", "--system", "call", NAME, "/org/identityd1", NAME + ".Manager", "Reload")  # has the TPM looked at
            self.await_status("0 of 2 identities ready, TPM unavailable")
        finally:
            service("start", "swtpm")
        self.await_status("2 of 2 identities ready, TPM ready")

    def test_another_one_runs(self):
        """The second ends before it has done anything."""
        self.start()
        said = len(read(SANDBOX + "/log/notified.log"))
        second = Notified(wait=False)
        self.assertNotEqual(second.process.wait(30), 0)
        second.stop()
        self.assertIn("another identityd runs", read(SANDBOX + "/log/notified.log")[said:])
        self.assertTrue(self.has_name())
        self.assertEqual(self.demo.state(), "ready")


if __name__ == "__main__":
    unittest.main()
