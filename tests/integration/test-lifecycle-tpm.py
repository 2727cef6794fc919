#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A TPM that is busy, locked, hung or cleared, between identityd and a swtpm (tests/fakes/tcti-fault.c). Runs inside
tests/sandbox."""

import os
import signal
import subprocess
import unittest

from lifecycle import SCHEME, Lifecycle
from sandboxed import SANDBOX, idctl, read, run, service, wait_until

CONTROL = SANDBOX + "/tpm-faults"
MODULE = os.path.join(os.environ["BUILD"], "tests/fakes/libtss2-tcti-fault.so")


class Tpm(Lifecycle):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not os.path.isdir(SANDBOX + "/lib"):
            os.mkdir(SANDBOX + "/lib")
            os.symlink(MODULE, SANDBOX + "/lib/libtss2-tcti-fault.so.0")
            cls.edit("/etc/identityd.conf", "TCTI=", f"TCTI=fault:{CONTROL},")
            cls.edit("/services/identityd", "STATE_DIRECTORY=", f"LD_LIBRARY_PATH={SANDBOX}/lib STATE_DIRECTORY=")
            service("restart", "identityd")
            cls.connect()
            wait_until(lambda: cls.demo.state_or_none() == "ready", "demo")

    @classmethod
    def edit(cls, name, old, new):
        text = read(SANDBOX + name).replace(old, new, 1)
        with open(SANDBOX + name, "w", encoding="utf-8") as file:
            file.write(text)

    def setUp(self):
        super().setUp()
        self.demo.wait("ready")
        self.data.wait("ready")
        self.addCleanup(self.faults)

    def faults(self, *lines):
        with open(CONTROL + "~", "w", encoding="utf-8") as file:
            file.write("".join(line + "\n" for line in lines))
        os.rename(CONTROL + "~", CONTROL)

    def signs(self):
        signature = self.data.sign(SCHEME, b"a message")
        self.verify(self.data.certificate(), SCHEME, b"a message", signature)

    def signs_again(self, seconds=15):
        wait_until(lambda: self.manager_property("TpmState") == "ready", "the TPM to be ready", seconds)
        self.data.wait("ready", seconds)
        self.demo.wait("ready", seconds)
        self.signs()

    def test_busy(self):
        """TPM_RC_RETRY, YIELDED and TESTING mean: once more."""
        for code in ("0x922", "0x908", "0x90a"):
            with self.subTest(code):
                self.faults(f"Sign rc {code} 2")
                self.signs()
                self.assertEqual(self.data.state(), "ready")

    def test_lost_and_broken_answers(self):
        """Whatever comes back instead of a signature, none that is wrong is passed on, and the next one is right."""
        for fault in ("Sign garbage 0 1", "Sign truncate 12 1", "Sign flip -3 1", "Sign tcti 0xa000a 1", "Sign lost 0x101 1"):
            with self.subTest(fault):
                self.faults(fault)
                try:
                    self.signs()
                except AssertionError:
                    raise
                except Exception as error:  # pylint: disable=broad-except
                    self.assertIn("org.identityd1.Error", error.get_dbus_name())
                self.faults()
                self.signs_again()

    def test_lockout(self):
        """0x921: unavailable and said so; ready by itself when it ends."""
        self.faults("Sign rc 0x921", "Load rc 0x921", "Create rc 0x921", "ReadPublic pass")
        with self.assertRaises(Exception) as caught:
            self.data.sign(SCHEME, b"x")
        self.assertIn("lockout", str(caught.exception).lower())
        self.faults()
        self.signs_again()

    def test_hang(self):
        """A TPM that answers nothing: the daemon does, also to who waited already, and all is well when it wakes."""
        pid = int(run(os.path.join(SANDBOX, "bin/service"), "running", "swtpm").stdout)
        os.kill(pid, signal.SIGSTOP)
        try:
            # All that is answered from here on is answered without the TPM.
            caught = [subprocess.Popen(["busctl", "--system", "--timeout=300", "call", "org.identityd1", self.data.path(),
                                        "org.identityd1.Identity", "Sign", "ssay", "raw", SCHEME, "1", "65"], stderr=subprocess.PIPE)
                      for _ in range(2)]  # the one in the TPM, and one behind it
            for process in caught:
                self.addCleanup(process.stderr.close)
                self.addCleanup(process.wait)
                self.addCleanup(process.kill)
            idctl("list", timeout=60)
            self.demo.get("Certificates")
            wait_until(lambda: self.manager_property("TpmState") == "unavailable", "the TPM to be said to hang", 120)
            self.assertIn("not answered for half a minute", self.manager_property("TpmProblem"))
            self.refused("TpmUnavailable", self.data.sign, SCHEME, b"x")
            self.refused("TpmUnavailable", self.demo.open, "digest")
            self.refused("TpmUnavailable", self.demo.enroll)
            for process in caught:
                said = process.communicate(timeout=120)[1].decode()
                self.assertNotEqual(process.returncode, 0)
                self.assertIn("has not answered", said)
            self.assertIn("whoever needs it is refused", self.logged())
        finally:
            os.kill(pid, signal.SIGCONT)
        self.signs_again(60)
        self.assertIn("The TPM answers again", self.logged())

    def test_start_of_a_new_key_fails(self):
        """A renewal with another key into a TPM that cannot make one leaves the present one."""
        generation = self.data.generation()
        self.data.settle()
        self.faults("Create rc 0x902")
        said = idctl("renew", "--rotate-key", "demo-data", check=False)
        self.assertNotEqual(said.returncode, 0)
        self.faults()
        self.signs_again()
        self.assertEqual(self.data.generation(), generation)
        idctl("renew", "--rotate-key", "demo-data")
        self.signs()


class Zz(Tpm):
    """The last, for its TPM is another one afterwards."""

    test_busy = test_lost_and_broken_answers = test_lockout = test_hang = test_start_of_a_new_key_fails = None

    def test_cleared(self):
        """TPM2_Clear takes the storage key and with it ours: replaced, nothing deleted, a new key leads out."""
        key = bytes(self.data.get("PublicKey"))
        # Right after another trouble, for which the TPM was looked at a moment ago: that look must not stand for this one.
        self.faults("Create rc 0x902")
        self.assertNotEqual(idctl("renew", "--rotate-key", "demo-data", check=False).returncode, 0)
        self.faults()
        run("tpm2_clear", "-c", "p")
        with self.assertRaises(Exception):
            self.data.sign(SCHEME, b"x")
        for identity in (self.demo, self.data):
            identity.wait("unavailable", 20)
            wait_until(lambda i=identity: "not the one" in i.get("LastError"), "the reason")
            self.assertTrue(os.path.exists(f"{SANDBOX}/state/{identity.name}/current/key.pem"))
        self.refused("TpmReplaced", self.data.sign, SCHEME, b"x")
        self.assertEqual(self.manager_property("TpmState"), "replaced")
        self.restart()
        self.data.wait("unavailable")
        for identity in (self.demo, self.data):
            idctl("enroll", "--new-key", identity.name)
            identity.wait("ready")
        self.assertNotEqual(bytes(self.data.get("PublicKey")), key)
        self.signs_again()


if __name__ == "__main__":
    unittest.main()
