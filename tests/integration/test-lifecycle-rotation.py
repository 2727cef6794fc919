#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Keys rotate under running programs: mutual TLS by two programs on libidentityd's GnuTLS binding, and raw handles, never fail;
what nobody uses any more goes. Runs inside tests/sandbox."""

import os
import re
import subprocess
import tempfile
import time
import unittest

from sandboxed import SANDBOX, Case, idctl, wait_until

PROGRAMS = os.path.join(os.environ["BUILD"], "tests/integration")
HANDSHAKES = 400
ROTATIONS = 12


class Rotation(Case):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)

    def begin(self, *words):
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def finish(self, process, what, least):
        """Wants no failure among at least so many; returns (how many, the generations)."""
        out, error = process.communicate(timeout=60)
        done, failures, generations = re.search(r"(\d+) failures (\d+) generations ([\d,]+)", out).groups()
        print(f"{what}: {out.strip()}")
        self.assertEqual((process.returncode, failures), (0, "0"), error)
        self.assertGreaterEqual(int(done), least)
        return [int(g) for g in generations.split(",")]

    def kept(self):
        return sorted(int(n) for n in os.listdir(SANDBOX + "/state/demo/generations"))

    def test_handshakes_over_rotations(self):
        target = "unix:" + self.scratch.name + "/tls"
        before = self.demo.generation()
        server = self.begin(PROGRAMS + "/handshake-client", "--listen", "--count", str(HANDSHAKES), "--host", "localhost", "demo", target)
        wait_until(lambda: os.path.exists(target[5:]), "the server's socket")
        client = self.begin(PROGRAMS + "/handshake-client", "--count", str(HANDSHAKES), "--pause", "30", "--host", "localhost",
                            "demo", target)
        raw = self.begin(PROGRAMS + "/handles-client", "--handles", "4", "--pause", "20", "--seconds", "18", "--count", "100", "demo", "digest")
        serials = set()
        while client.poll() is None or len(serials) < ROTATIONS:
            self.demo.settle()
            idctl("renew", "--rotate-key", "demo")
            serials.add(bytes(self.demo.get("PublicKey")))
        rotations = self.demo.generation() - before
        self.assertEqual(len(serials), rotations, "each rotation makes another key")
        print(f"rotations: {rotations}")
        for process, what in ((client, "client"), (server, "server")):
            generations = self.finish(process, what, HANDSHAKES)
            self.assertGreaterEqual(len(generations), ROTATIONS // 2)
            self.assertEqual(generations, sorted(generations))
        self.finish(raw, "raw handles", 100)
        with self.demo.open("digest") as opened:
            opened.sign_digest("ecdsa_secp256r1_sha256", bytes(32))
        # What programs read in files has ten minutes to be used (tests/unit/lending); three are kept at most.
        current = self.demo.generation()
        wait_until(lambda: self.kept() == list(range(current - 3, current + 1)), "old generations to go")

    def test_a_held_generation_stays(self):
        """What began with the old key can end with it; when the handle moves on, the old one goes."""
        self.demo.settle()
        with self.demo.open("digest") as held:
            old = held.state["generation"]
            idctl("renew", "--rotate-key", "demo")
            held.sign_digest("ecdsa_secp256r1_sha256", bytes(32), generation=old)
            with self.demo.open("digest") as other:
                other.sign_digest("ecdsa_secp256r1_sha256", bytes(32))
            time.sleep(0.3)
            self.assertIn(old, self.kept())
            held.sign_digest("ecdsa_secp256r1_sha256", bytes(32), generation=old)
        for _ in range(4):
            self.demo.renew(rotate_key=True)
        wait_until(lambda: old not in self.kept(), "the old generation to go")
        self.assertEqual(os.listdir(SANDBOX + "/state/demo/trash") if os.path.exists(SANDBOX + "/state/demo/trash") else [], [])


if __name__ == "__main__":
    unittest.main()
