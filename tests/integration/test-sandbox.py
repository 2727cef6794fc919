#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tests/sandbox itself: what it returns, that several run at a time, that nothing is left, and that it notices what goes wrong."""

import glob
import os
import subprocess
import tempfile
import unittest

SANDBOX = os.path.join(os.environ["SOURCE"], "tests/sandbox")


def processes_of(directory):
    """Processes that have the directory in their command line."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                line = file.read()
        except OSError:
            continue
        if directory.encode() in line:
            found.append(line.replace(b"\0", b" ").decode(errors="replace"))
    return found


class Sandbox(unittest.TestCase):
    def setUp(self):
        self.base = tempfile.TemporaryDirectory(prefix="t.")
        self.addCleanup(self.base.cleanup)
        self.environment = dict(os.environ, TMPDIR=self.base.name)

    def run_sandbox(self, *words):
        return subprocess.run([SANDBOX, *words], env=self.environment, capture_output=True, text=True, check=False, timeout=120)

    def nothing_is_left(self):
        self.assertEqual(os.listdir(self.base.name), [])
        self.assertEqual(processes_of(self.base.name), [])

    def test_status_and_clean_up(self):
        for status in (0, 7):
            result = self.run_sandbox("--", "sh", "-c", f"idctl list > /dev/null && exit {status}")
            self.assertEqual(result.returncode, status, result.stderr)
            self.nothing_is_left()

    def test_several_at_a_time(self):
        words = [SANDBOX, "--", "sh", "-c", "idctl sign --out - demo-data $SANDBOX_CA/root.pem | wc -c"]
        running = [subprocess.Popen(words, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
        for process in running:
            out, err = process.communicate(timeout=120)
            self.assertEqual(process.returncode, 0, err)
            self.assertGreater(int(out), 60)
        self.nothing_is_left()

    def test_terminated(self):
        process = subprocess.Popen([SANDBOX, "--", "sh", "-c", "echo there; exec sleep 1000"], env=self.environment,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True)
        self.assertEqual(process.stdout.readline(), "there\n")
        os.killpg(process.pid, 15)
        self.assertNotEqual(process.wait(60), 0)
        process.stdout.close()
        self.nothing_is_left()

    def test_a_service_that_ends_by_itself_is_a_failure(self):
        result = self.run_sandbox("--", "sh", "-c", "kill -9 $(service running identityd); sleep 1")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("identityd has ended by itself", result.stderr)
        self.nothing_is_left()

    def test_identities_that_do_not_become_ready(self):
        result = self.run_sandbox("--algorithm", "rot13", "--patience", "3", "--", "true")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("identity demo: not within 3 s", result.stderr)
        self.assertIn("rot13", result.stderr, "the log is shown")
        self.nothing_is_left()

    def test_sanitizers_are_heard(self):
        result = self.run_sandbox("--no-wait", "--", "sh", "-c", "echo 'x.c:1:2: runtime error: y' >> $SANDBOX/log/enroller.log")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("a sanitizer complained", result.stderr)

    def test_usage(self):
        for words in (("--weather",), ("--lifetime",)):
            self.assertEqual(self.run_sandbox(*words).returncode, 2)
        self.assertIn("--lifetime SECONDS", self.run_sandbox("--help").stdout)


if __name__ == "__main__":
    unittest.main()
