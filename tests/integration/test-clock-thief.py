#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A CA whose clock is ten years ahead beside others that are right (docs/design.md §10, "Clock"): what it signs moves nobody's time,
neither with certificates nor with CRLs, not at once and not after a restart. Runs inside tests/sandbox."""

import os
import struct
import subprocess
import time
import unittest

from lifecycle import PASSWORD, SCHEME, Lifecycle, checking
from sandboxed import CA, EST, LAB_CA, SANDBOX, idctl, read, run, wait_until

WITHIN_TOLERANCE = 290  # of CLOCK_SKEW, 300 s
TEN_YEARS = 10 * 365 * 86400
RENEWAL = "[Renewal]\n" + PASSWORD + "\n"  # by the certificate, it would be the CA that finds it expired


class Authority:
    """A CA of its own, whose clocks can be moved; it serves until the test ends."""

    def __init__(self, case, name):
        self.directory, self.clock = f"{SANDBOX}/ca-{name}", f"{SANDBOX}/clock-of-{name}"
        self.move(0)
        environment = {**os.environ, "LD_PRELOAD": os.environ["BUILD"] + "/tests/fakes/time-passes.so", "TIME_PASSES": self.clock,
                       "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}
        output = case.enterContext(open(f"{SANDBOX}/log/ca-{name}.log", "wb"))
        server = subprocess.Popen([LAB_CA, "serve", self.directory, "--lifetime", "3600", "--users", SANDBOX + "/ca-users"],
                                  env=environment, stdout=output, stderr=output)
        case.addCleanup(server.wait, 60)
        case.addCleanup(server.terminate)
        wait_until(lambda: os.path.exists(self.directory + "/ready"), f"the CA {name}")

    def move(self, ahead):
        """All of its clocks go ahead by that much; so do the CRLs that it makes from then on."""
        with open(self.clock, "r+b" if os.path.exists(self.clock) else "wb") as file:
            file.write(struct.pack("=q", ahead))
        if os.path.exists(self.directory + "/ready"):
            run(LAB_CA, "control", self.directory, "crl-renew")

    def served(self, operation):
        return sum(line.split()[1] == operation and " 200 " in line for line in read(self.directory + "/log").splitlines())

    def identity(self, case, name):
        text = checking(more=RENEWAL).replace(CA, self.directory).replace(EST, read(self.directory + "/est-url").strip())
        return case.made(name, text, state=None)


class Thief(Lifecycle):
    def setUp(self):
        super().setUp()
        self.thief_ca, self.other_ca = Authority(self, "thief"), Authority(self, "bystander")
        self.bystander = self.other_ca.identity(self, "bystander")
        self.bystander.wait("ready")

    def all_is_as_it_was(self):
        """Demo and the bystander sign, and know no other time than the system's."""
        for identity in (self.demo, self.bystander):
            identity.wait("ready")
            self.assertLess(int(identity.get("ClockFloor")) / 1e6, time.time() + 2)
            with identity.open("digest") as opened:
                self.verify(identity.certificate(), SCHEME, b"now", opened.sign_message(SCHEME, b"now"))

    def test_bystanders_keep_their_time(self):
        self.thief_ca.move(WITHIN_TOLERANCE)
        thief = self.thief_ca.identity(self, "thief")
        thief.wait("ready")
        self.assertGreater(int(thief.get("NotBefore")) / 1e6, time.time() + WITHIN_TOLERANCE - 120, "its clock is ahead")
        self.all_is_as_it_was()
        self.thief_ca.move(TEN_YEARS)
        lists, issued = self.thief_ca.served("crl"), self.thief_ca.served("simpleenroll")
        idctl("renew", "thief", check=False)  # that such a certificate is refused is tested elsewhere
        wait_until(lambda: self.thief_ca.served("simpleenroll") > issued, "a certificate of the future")
        wait_until(lambda: self.thief_ca.served("crl") > lists + 1, "CRLs of the future")
        self.stays(self.bystander, "ready", 1)
        self.all_is_as_it_was()
        self.assertLess(int(thief.get("ClockFloor")) / 1e6, time.time() + 2, "nothing beyond the time in use is learned")
        for how in ("kill", "stop"):
            self.restart(how)
            self.all_is_as_it_was()
            lists = self.thief_ca.served("crl")
            wait_until(lambda known=lists: self.thief_ca.served("crl") > known, "a CRL of the future after a start")
            self.all_is_as_it_was()


if __name__ == "__main__":
    unittest.main()
