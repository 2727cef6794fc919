#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Power cuts over the whole daemon: killed at each call that changes the disk while it enrols, is told to come back later, renews,
imports, retires or starts; afterwards the old generation or the new one is live and signs, work that was begun goes on with the same
request, nothing is left over on the disk or in the TPM, and the next operation works. The same for calls that fail for lack of space,
on a read-only file system or with an I/O error. Runs inside tests/sandbox.

A sample of the points is tried, the same in each run of the same code, as far as that does the same. CUTS=N in the environment begins
N points further on, CUTS=all tries every one. (What the store alone does is cut at every call in each run:
tests/unit/store/power-cut.py.)"""

import errno
import os
import shutil
import subprocess
import time
import unittest

import dbus

from cutting import Attached, Starting, alive, changes, entries
from lifecycle import SCHEME, Lifecycle, configuration
from sandboxed import CA, SANDBOX, control, idctl, pem_to_der, run, service, sign_request, wait_until

CUTS = os.environ.get("CUTS", "0")
ALL = CUTS == "all"
FURTHER = 0 if ALL else int(CUTS)
FIRST, STEP = 5, 13
ERRORS = ("ENOSPC", "EROFS", "EIO")
NAME = "cut"
STATE = f"{SANDBOX}/state/{NAME}"
MANUAL = f"Protocol=manual\nAnchors={CA}/root.pem"


def spread(items):
    """All items, each once, in steps; the first ones are the same however many come at the end, as of a timer one more time."""
    order = sorted(range(len(items)), key=lambda i: (i - FIRST) % STEP)
    return [items[(i + FURTHER) % len(items)] for i in order]


class Cuts(Lifecycle):
    def setUp(self):
        super().setUp()
        self.one = self.identity(NAME)
        self.addCleanup(self.forget, NAME)
        self.tried = 0

    def tearDown(self):
        """No object of ours stays in the TPM, whatever happened."""
        service("stop", "identityd")
        left = run("tpm2_getcap", "handles-transient").stdout + run("tpm2_getcap", "handles-loaded-session").stdout
        service("start", "identityd")
        self.reconnect()
        self.assertEqual(left.decode().strip(), "")

    # ---- one cut ----

    def sample(self, points, size):
        """Points until `size` of them were met: one at the end may come to nothing. All of them with CUTS=all."""
        self.assertGreater(len(points), 3)
        self.chosen, self.possible = 0, len(points)
        for point in points if ALL else spread(points)[:4 * size]:
            if not ALL and self.tried >= size:
                return
            self.chosen += 1
            yield point

    def points(self, operation, size=2):
        """Some of the calls by which an operation changes the disk; all of them with CUTS=all."""
        with Attached(NAME):
            operation()
        return self.sample(changes(), size)

    def cut(self, point, operation):
        """The power goes at the N-th CALL of the operation, and comes back. False: it did not come to that."""
        with Attached(NAME, f"{point[0]}:signal=KILL:when={point[1]}"):
            self.attempt(operation)
        return self.power_is_back()

    def attempt(self, operation):
        """What it fails with, if it does."""
        try:
            operation()
        except (AssertionError, dbus.DBusException, OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        return ""

    def power_is_back(self):
        died = not alive()
        if died:
            service("start", "identityd")
            self.reconnect()
            self.demo.wait("ready", 60)  # the TPM has been looked at
            self.tried += 1
        return died

    def report(self, what):
        """Most of the points must have been met, else the test tests nothing."""
        print(f"{what}: {self.possible} points, {self.chosen} chosen, {self.tried} tried (CUTS={CUTS})", flush=True)
        self.assertGreaterEqual(self.tried * 3, self.chosen * 2 if ALL else 3)

    def good(self, low, high, linked=True):
        """A generation from `low` to `high` is live, signs with its own key, and nothing is left of what was cut: beside it at most the
        three before it, whose files programs may have read just before."""
        self.one.wait("ready", 60)
        self.demo.wait("ready", 60)
        self.assertTrue(low <= self.one.generation() <= high, f"{self.one.generation()}, not {low} to {high}")
        with self.one.open("digest") as opened:
            self.verify(self.one.certificate(), SCHEME, b"alive", opened.sign_message(SCHEME, b"alive"))
        if linked:
            self.assertEqual(os.readlink(STATE + "/current"), f"generations/{self.one.generation()}")
        wait_until(lambda: entries(STATE + "/trash") == [], "an empty trash", 60)
        wait_until(self.has_no_other_generations, "the other generations to go", 60)
        wait_until(lambda: pem_to_der(self.published_chain())[:1] == [self.one.certificate()], "the published chain to be ours", 60)

    def has_no_other_generations(self):
        current, found = self.one.generation(), sorted(map(int, entries(STATE + "/generations")))
        return current in found and len(found) <= 4 and found[-1] == current

    def published_chain(self):
        try:
            with open(f"{SANDBOX}/run/{NAME}/chain.pem", encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    # ---- operations ----

    def until(self, condition, seconds=60):
        """Until something is so, or identityd is gone."""
        end = time.monotonic() + seconds
        while alive() and not condition() and time.monotonic() < end:
            time.sleep(0.05)

    def renew(self):
        self.one.settle()
        idctl("renew", "--rotate-key", NAME, check=False, timeout=60)
        with self.one.open("digest") as opened:  # so that the old generation goes
            opened.sign_digest(SCHEME, bytes(32))

    def enroll(self):
        self.configure(NAME, configuration())
        self.until(lambda: self.one.state_or_none() == "ready" or self.one.get("LastError") != "")

    def import_chain(self):
        """All of the manual way: a key, a request, a chain."""
        request = self.one.create_request()
        self.asked.append(request)
        self.one.install(pem_to_der(sign_request(request, "--chain")))

    # ---- cuts ----

    def test_enrol(self):
        for point in self.points(self.enroll):
            self.forget(NAME)
            with self.subTest(point):
                self.cut(point, self.enroll)
                self.good(1, 2)  # 2 where it went between the two renames of a commit: numbers are not used twice
        self.report("enrol")

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
        self.report("renew")

    def test_later(self):
        """The CA asks to come back (202): whenever the power goes, it never sees a second request for what it has taken."""
        def asked_to_wait():
            self.enroll()
        control("fault", "simpleenroll", "pending", "retry-after=1", "count=0")
        for point in self.points(asked_to_wait):
            self.forget(NAME)
            control("forget-pending")
            with self.subTest(point):
                self.cut(point, asked_to_wait)
                self.good(1, 2)
                self.assertIn("pending 0\n", control("status"), "the CA waits for a request that was given up")
        self.report("told to come back")

    def test_import(self):
        self.asked = []
        self.configure(NAME, configuration(enrollment=MANUAL))
        for point in self.points(self.import_chain):
            self.forget(NAME)
            self.configure(NAME, configuration(enrollment=MANUAL))
            with self.subTest(point):
                self.asked.clear()
                self.cut(point, self.import_chain)
                wait_until(lambda: self.one.state_or_none() in ("empty", "ready"), "one or the other", 60)
                if self.one.state() == "empty":
                    if self.asked:
                        self.assertEqual(self.one.create_request(), self.asked[0], "a request that was handed out is none to forget")
                    self.import_chain()
                self.good(1, 2)
        self.report("import")

    def test_retire(self):
        def retire():
            idctl("retire", "--yes", NAME, check=False, timeout=60)
        self.enroll()
        for point in self.points(retire):
            self.forget(NAME)
            self.enroll()
            self.one.wait("ready", 60)
            with self.subTest(point):
                self.cut(point, retire)
                # Retired for good, or not at all; never one that lives on without a key.
                wait_until(lambda: self.one.state_or_none() in ("ready", "retired"), "one or the other", 60)
                if self.one.state() == "ready":
                    self.good(1, 1)
                    retire()
                self.retired()
        self.report("retire")

    def retired(self):
        self.one.wait("retired", 60)
        for directory in ("generations", "pending", "trash"):
            wait_until(lambda: entries(f"{STATE}/{directory}") == [], "the key to be gone from " + directory, 60)  # pylint: disable=cell-var-from-loop
        wait_until(lambda: self.published(NAME) == [], "the published files to be gone", 60)

    def test_out_of_retired(self):
        """A new key that is committed counts, though the power went before the state file said so; what was retired stays without one."""
        def enroll():
            idctl("enroll", NAME, check=False, timeout=60)
        self.enroll()
        idctl("retire", "--yes", NAME)
        points = self.points(enroll)
        for point in points:
            with self.subTest(point):
                before = self.one.generation()
                idctl("retire", "--yes", NAME)
                self.cut(point, enroll)
                wait_until(lambda: self.one.state_or_none() in ("ready", "retired"), "one or the other", 60)
                if self.one.state() == "retired":
                    self.assertFalse(os.path.islink(STATE + "/current"))
                    enroll()
                self.good(before + 1, before + 2)
        self.report("out of retired")

    # ---- starts ----

    def edit_state(self, **fields):
        with open(STATE + "/state", encoding="utf-8") as file:
            lines = [line.rstrip("\n").partition("=") for line in file]
        with open(STATE + "/state", "w", encoding="utf-8") as file:
            file.write("".join(f"{key}={fields.get(key.replace('-', '_'), value)}\n" for key, _, value in lines))

    def start_points(self, prepare, done):
        """What a start does from a state directory that `prepare` leaves, cut at each call."""
        prepare()
        service("stop", "identityd")
        snapshot = SANDBOX + "/snapshot"
        shutil.rmtree(snapshot, ignore_errors=True)
        self.garbage()
        shutil.copytree(STATE, snapshot, symlinks=True)
        with Starting(NAME):
            self.reconnect()
            self.until(done)
        for point in self.sample(changes(), 1):
            service("stop", "identityd")
            shutil.rmtree(STATE)
            shutil.copytree(snapshot, STATE, symlinks=True)
            with self.subTest(point):
                with Starting(NAME, f"{point[0]}:signal=KILL:when={point[1]}"):
                    self.until(done)
                self.power_is_back()
                self.until(done)
                yield

    def garbage(self):
        """What cuts leave: rubbish under way, unfinished names, a generation without a chain; and no published files, as after a boot."""
        for directory in (".#pending", "trash/7.0", "generations/9"):
            os.makedirs(f"{STATE}/{directory}", 0o700)
            shutil.copy(STATE + "/state", f"{STATE}/{directory}/key.pem")
        shutil.copy(STATE + "/state", STATE + "/.#state")
        shutil.rmtree(f"{SANDBOX}/run/{NAME}", ignore_errors=True)

    def two_generations(self):
        self.forget(NAME)
        self.enroll()
        self.one.settle()
        opened = self.one.open("digest")  # holds the old one
        self.addCleanup(opened.close)
        idctl("renew", "--rotate-key", NAME)
        self.assertEqual(entries(STATE + "/generations"), ["1", "2"])

    def is_ready(self):
        return self.one.state_or_none() == "ready"

    def test_start(self):
        for _ in self.start_points(self.two_generations, self.is_ready):
            self.good(2, 2)
        self.report("start")

    def test_start_between_the_renames(self):
        """A commit whose link was not put in place, and whose state was not written."""
        def prepare():
            self.two_generations()
            service("stop", "identityd")
            os.unlink(STATE + "/current")
            os.symlink("generations/1", STATE + "/current")
            self.edit_state(of_generation="1")
        for _ in self.start_points(prepare, self.is_ready):
            self.good(2, 2)
        self.report("start after a commit that was cut")

    def test_start_with_pending_work(self):
        def prepare():
            self.forget(NAME)
            control("clear")
            control("forget-pending")
            control("fault", "simpleenroll", "pending", "retry-after=1", "count=0")
            self.enroll()
            self.assertTrue(os.path.exists(STATE + "/pending/request.der"))
        for _ in self.start_points(prepare, self.is_ready):
            self.good(1, 20)  # numbers that garbage has are not used
            self.assertIn("pending 0\n", control("status"))
            control("forget-pending")
        self.report("start with pending work")

    def test_start_of_a_retirement(self):
        """The mark was written, the key still there: a start ends what was begun."""
        def prepare():
            self.two_generations()
            service("stop", "identityd")
            self.edit_state(retired="yes")
        for _ in self.start_points(prepare, lambda: self.one.state_or_none() == "retired"):
            self.retired()
        self.report("start after a retirement that was cut")

    # ---- a disk that refuses ----

    def refusals(self, points, size):
        commits = [point for point in points if "!" in point]
        self.assertEqual(len(commits), 1, points)
        pairs = [(*point[:2], error) for point in points for error in ERRORS]
        chosen = pairs if ALL else spread(pairs)[:size] + [(*commits[0][:2], ERRORS[FURTHER % len(ERRORS)])]
        self.chosen, self.possible = len(chosen), len(pairs)
        return chosen

    def refuse(self, point, operation):
        """The N-th CALL fails; returns what identityd said."""
        begins, text = len(self.logged()), ""
        with Attached(NAME, f"{point[0]}:error={point[2]}:when={point[1]}"):
            text = self.attempt(operation)
        self.assertTrue(alive(), "it died")
        with open(SANDBOX + "/log/strace", encoding="utf-8", errors="replace") as file:
            self.tried += "(INJECTED)" in file.read()
        last = self.one.get("LastError") if self.one.state_or_none() else ""
        return text + last + self.logged()[begins:]

    def assert_said(self, point, said):
        self.assertIn(os.strerror(getattr(errno, point[2])), said)

    def all_points(self, operation):
        with Attached(NAME):
            operation()
        return changes()

    def test_renew_on_a_full_disk(self):
        """The daemon lives on and says so; the old generation or the new one is live."""
        self.enroll()
        for point in self.refusals(self.all_points(self.renew), 1):
            with self.subTest(point):
                before = self.one.generation()
                said = self.refuse(point, self.renew)
                # Committed is what stands under generations/; the link, where it could not be made, is made at the next chance.
                self.good(before, before + 1, linked=False)
                if self.one.generation() == before:
                    self.assert_said(point, said)
                before = self.one.generation()
                self.renew()
                self.good(before + 1, before + 2)
        self.report("renew on a disk that refuses")

    def test_enrol_on_a_full_disk(self):
        for point in self.refusals(self.all_points(self.enroll), 1):
            self.forget(NAME)
            with self.subTest(point):
                said = self.refuse(point, self.enroll)
                if self.one.state_or_none() != "ready":
                    self.assert_said(point, said)
                    self.manager("Reload")
                    idctl("enroll", NAME, timeout=60)
                self.good(1, 2, linked=False)
        self.report("enrol on a disk that refuses")

    def test_import_on_a_full_disk(self):
        self.asked = []
        self.configure(NAME, configuration(enrollment=MANUAL))
        for point in self.refusals(self.all_points(self.import_chain), 1):
            self.forget(NAME)
            self.configure(NAME, configuration(enrollment=MANUAL))
            with self.subTest(point):
                said = self.refuse(point, self.import_chain)
                if self.one.state() != "ready":
                    self.assert_said(point, said)
                    self.manager("Reload")
                    self.import_chain()
                self.good(1, 2, linked=False)
        self.report("import on a disk that refuses")

    # ---- at any time ----

    def test_killed_at_any_time(self):
        """Not only at calls: whenever, over several renewals."""
        self.enroll()
        for i in range(4):
            before = self.one.generation()
            self.one.settle()
            renewal = subprocess.Popen(["idctl", "renew", "--rotate-key", NAME], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep((FIRST + i * STEP + FURTHER) % 25 / 100)
            self.restart("kill")
            renewal.wait(60)
            self.one.wait("ready", 60)
            self.good(before, before + 2)


if __name__ == "__main__":
    unittest.main()
