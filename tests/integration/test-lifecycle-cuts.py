#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Power cuts over the whole daemon: killed at each call that changes the disk (by strace's fault injection) while it enrols, renews,
retires or starts; afterwards the old generation or the new one is live and signs, and the next operation works. Runs inside
tests/sandbox.

A sample of the points is tried, another one each time; CUTS=all in the environment tries every one."""

import collections
import errno
import os
import random
import subprocess
import time
import unittest

from lifecycle import SCHEME, Lifecycle, configuration
from sandboxed import SANDBOX, idctl, run, service, wait_until

CALLS = "fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,mkdirat,symlinkat,linkat,ftruncate"
SAMPLE = 3
NAME = "cut"


class Cuts(Lifecycle):
    def setUp(self):
        super().setUp()
        self.one = self.identity(NAME)
        self.addCleanup(self.forget, NAME)
        self.tried = 0

    # ---- one cut ----

    def attach(self, *inject):
        """strace on the daemon; returns it and its output file."""
        pid = run(os.path.join(SANDBOX, "bin/service"), "running", "identityd").stdout.decode().strip()
        path = f"{SANDBOX}/log/strace"
        if os.path.exists(path):
            os.unlink(path)
        strace = subprocess.Popen(["strace", "-f", "-qq", "-o", path, "-e", "trace=" + CALLS, *inject, "-p", pid],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.addCleanup(strace.stderr.close)
        end = time.monotonic() + 10
        while "TracerPid:\t0\n" in self.status(pid):
            if strace.poll() is not None or time.monotonic() > end:
                self.skipTest("strace may not attach here: " + strace.stderr.read().decode())
            time.sleep(0.01)
        return strace, path

    def status(self, pid):
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            return file.read()

    def points(self, operation):
        """How often an operation makes each call."""
        strace, path = self.attach()
        operation()
        time.sleep(0.3)
        strace.terminate()
        strace.wait(10)
        with open(path, encoding="utf-8") as file:
            calls = collections.Counter(line.split(None, 1)[1].split("(")[0] for line in file if "(" in line)
        points = [(call, n) for call, count in sorted(calls.items()) if call in CALLS.split(",") for n in range(1, count + 1)]
        self.assertGreater(len(points), 3, calls)
        return points if os.environ.get("CUTS") == "all" else random.sample(points, min(SAMPLE, len(points)))

    def cut(self, point, operation, what="signal=KILL"):
        """The power goes at the N-th CALL of the operation, and comes back. False: it did not come to that."""
        call, n = point
        strace, _ = self.attach("-e", f"inject={call}:{what}:when={n}")
        try:
            operation()
        except Exception:  # pylint: disable=broad-except
            pass
        time.sleep(0.2)
        died = run(os.path.join(SANDBOX, "bin/service"), "running", "identityd", check=False).returncode != 0
        strace.terminate()
        strace.wait(10)
        if died:
            service("start", "identityd")
            self.reconnect()
            self.tried += 1
        return died

    def good(self, low, high, linked=True):
        """A generation from `low` to `high` is live, signs with its own key, and nothing is left of what was cut."""
        self.one.wait("ready")
        self.demo.wait("ready")
        self.assertTrue(low <= self.one.generation() <= high, f"{self.one.generation()}, not {low} to {high}")
        with self.one.open("digest") as opened:
            self.verify(self.one.certificate(), SCHEME, b"alive", opened.sign_message(SCHEME, b"alive"))
        if linked:
            self.assertEqual(os.readlink(f"{SANDBOX}/state/{NAME}/current"), f"generations/{self.one.generation()}")
        trash = f"{SANDBOX}/state/{NAME}/trash"
        wait_until(lambda: not os.path.isdir(trash) or os.listdir(trash) == [], "an empty trash")

    # ---- operations ----

    def renew(self):
        self.one.settle()
        idctl("renew", "--rotate-key", NAME, check=False, timeout=20)

    def enroll(self):
        self.configure(NAME, configuration())
        end = time.monotonic() + 10
        while self.one.state_or_none() != "ready" and time.monotonic() < end:
            if run(os.path.join(SANDBOX, "bin/service"), "running", "identityd", check=False).returncode != 0:
                return
            time.sleep(0.05)

    def test_enrol(self):
        for point in self.points(self.enroll):
            self.forget(NAME)
            with self.subTest(point):
                self.cut(point, self.enroll)
                self.good(1, 2)  # 2 where it went between the two renames of a commit: numbers are not used twice
        print(f"enrol: {self.tried} cuts")

    def test_renew(self):
        self.enroll()
        points = self.points(self.renew)
        self.good(2, 2)
        for point in points:
            with self.subTest(point):
                before, key = self.one.generation(), bytes(self.one.get("PublicKey"))
                self.cut(point, self.renew)
                self.good(before, before + 2)
                if self.one.generation() == before:
                    self.assertEqual(bytes(self.one.get("PublicKey")), key)
                now = self.one.generation()
                self.renew()  # finishes or drops what was left
                self.good(now + 1, now + 2)
        print(f"renew: {self.tried} cuts")

    def test_retire(self):
        def retire():
            idctl("retire", "--yes", NAME, check=False, timeout=20)
        self.enroll()
        for point in self.points(retire):
            self.forget(NAME)
            self.enroll()
            self.one.wait("ready")
            with self.subTest(point):
                self.cut(point, retire)
                # Retired for good, or not at all; never one that lives on without a key.
                wait_until(lambda: self.one.state_or_none() in ("ready", "retired"), "one or the other")
                if self.one.state() == "ready":
                    self.good(1, 1)
                    retire()
                self.assertEqual(self.one.state(), "retired")
                generations = f"{SANDBOX}/state/{NAME}/generations"
                wait_until(lambda: not os.path.isdir(generations) or os.listdir(generations) == [], "the key to be gone")  # pylint: disable=cell-var-from-loop
        print(f"retire: {self.tried} cuts")

    def test_out_of_retired(self):
        """A new key that is committed counts, though the power went before the state file said so; what was retired stays without one."""
        def enroll():
            idctl("enroll", NAME, check=False, timeout=20)
        self.enroll()
        idctl("retire", "--yes", NAME)
        points = self.points(enroll)
        for point in points:
            with self.subTest(point):
                before = self.one.generation()
                idctl("retire", "--yes", NAME)
                self.cut(point, enroll)
                wait_until(lambda: self.one.state_or_none() in ("ready", "retired"), "one or the other")
                if self.one.state() == "retired":
                    self.assertFalse(os.path.islink(f"{SANDBOX}/state/{NAME}/current"))
                    enroll()
                self.good(before + 1, before + 2)
        print(f"out of retired: {self.tried} cuts")

    def test_full_and_read_only_disk(self):
        """Each call that fails instead: the daemon lives on, says so, and the old generation or the new one is live."""
        self.enroll()
        points = self.points(self.renew)
        for point in points if os.environ.get("CUTS") == "all" else points[:1]:
            for error in ("ENOSPC", "EROFS"):
                with self.subTest(point + (error,)):
                    before, begins = self.one.generation(), len(self.logged())
                    self.assertFalse(self.cut(point, self.renew, "error=" + error), "it died")
                    # Committed is what stands under generations/; the link, where it could not be made, is made at the next chance.
                    self.good(before, before + 1, linked=False)
                    if self.one.generation() == before:
                        said = self.one.get("LastError") + self.logged()[begins:]
                        self.assertIn(os.strerror(getattr(errno, error)), said)
                    before = self.one.generation()
                    self.renew()
                    self.good(before + 1, before + 2)

    def test_killed_at_any_time(self):
        """Not only at calls: whenever, over several renewals; and no object of ours stays in the TPM."""
        self.enroll()
        for i in range(4):
            before = self.one.generation()
            self.one.settle()
            renewal = subprocess.Popen(["idctl", "renew", "--rotate-key", NAME], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(random.uniform(0, 0.25) if i else 0.1)
            self.restart("kill")
            renewal.wait(20)
            self.one.wait("ready")
            self.good(before, before + 2)
        service("stop", "identityd")
        left = run("tpm2_getcap", "handles-transient").stdout.decode() + run("tpm2_getcap", "handles-loaded-session").stdout.decode()
        service("start", "identityd")
        self.reconnect()
        self.assertEqual(left.strip(), "")


if __name__ == "__main__":
    unittest.main()
