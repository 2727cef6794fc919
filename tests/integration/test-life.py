#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What identityd lives through: being killed, a TPM that is reset or gone, files that are damaged, configuration that is wrong.
Runs inside tests/sandbox."""

import json
import os
import shutil
import time
import unittest

import dbus

from handle import Closed, Refused
from sandboxed import CA, EST, SANDBOX, Case, control, idctl, log, read, requests, run, service, wait_until

SCHEME = "ecdsa_secp256r1_sha256"


class Life(Case):
    def restart(self, how="kill"):
        service(how, "identityd")
        service("start", "identityd")
        type(self).connect()

    def both_ready(self):
        self.demo.wait("ready")
        self.data.wait("ready")


class Restarts(Life):
    def test_killed_and_started(self):
        generation, serial = self.demo.generation(), self.demo.get("SerialNumber")
        asked = len(requests("simpleenroll")) + len(requests("simplereenroll"))
        for how in ("kill", "stop"):
            self.restart(how)
            self.both_ready()
            self.assertEqual((self.demo.generation(), self.demo.get("SerialNumber")), (generation, serial))
            self.data.sign(SCHEME, b"x")
        self.assertEqual(len(requests("simpleenroll")) + len(requests("simplereenroll")), asked, "without the CA")

    def test_no_objects_are_left_in_the_tpm(self):
        for _ in range(4):
            self.data.sign(SCHEME, b"x")
            with self.demo.open("digest") as opened:
                opened.sign_digest(SCHEME, bytes(32))
            service("kill", "identityd")
            service("start", "identityd")
            type(self).connect()
            self.both_ready()
        service("stop", "identityd")
        left = run("tpm2_getcap", "handles-transient").stdout.decode() + run("tpm2_getcap", "handles-loaded-session").stdout.decode()
        service("start", "identityd")
        type(self).connect()
        self.both_ready()
        self.assertEqual(left.strip(), "")


class Tpm(Life):
    def test_reset_under_the_daemon(self):
        """Each identity signs with its own key afterwards, never with another's (docs/facts.md, "TPM")."""
        with self.demo.open("digest") as opened:
            for _ in range(3):
                self.data.sign(SCHEME, b"before")
                opened.sign_digest(SCHEME, bytes(32))
                service("restart", "swtpm")
                wait_until(lambda: os.path.exists(SANDBOX + "/tpm.sock"), "swtpm")
                signature = self.retried(lambda: self.data.sign(SCHEME, b"after"))
                self.verify(self.data.certificate(), SCHEME, b"after", signature)
                run("tpm2_startup", "-c", check=False)
                signature = self.retried(lambda: opened.sign_message(SCHEME, b"after"))
                self.verify(self.demo.certificate(), SCHEME, b"after", signature)
        self.both_ready()

    def retried(self, function):
        end = time.monotonic() + 30
        while True:
            try:
                return function()
            except Exception as error:  # pylint: disable=broad-except
                if isinstance(error, AssertionError) or time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def test_gone_and_back(self):
        opened = self.demo.open("digest")
        self.addCleanup(opened.close)
        service("stop", "swtpm")
        try:
            with self.assertRaises((Refused, Closed)) as caught:
                opened.sign_digest(SCHEME, bytes(32))
            if isinstance(caught.exception, Refused):
                self.assertEqual(caught.exception.status, "tpm-unavailable")
            self.demo.wait("unavailable")
            self.assertEqual(self.manager_property("TpmState"), "unavailable")
            self.says_the_problem("tpm.sock")
            self.assertTrue(self.demo.get("ReadyByItself"), "it comes back by itself")
            self.refused("TpmUnavailable", self.data.sign, SCHEME, b"x")
        finally:
            service("start", "swtpm")
        self.both_ready()
        self.assertEqual((self.manager_property("TpmState"), self.manager_property("TpmProblem")), ("ready", ""))
        with self.demo.open("digest") as again:
            again.sign_digest(SCHEME, bytes(32))

    def says_the_problem(self, words):
        """Where an admin looks: not only in the log."""
        problem = str(self.manager_property("TpmProblem"))
        self.assertIn(words, problem)
        for verb in (("version",), ("show", "demo")):
            self.assertIn(problem, idctl(*verb).stdout.decode())
        self.assertIn(problem, idctl("list").stderr.decode())
        self.assertEqual(json.loads(idctl("version", "--json").stdout)["tpm_problem"], problem)

    def test_started_without_a_tpm(self):
        service("stop", "identityd")
        service("stop", "swtpm")
        try:
            service("start", "identityd")
            type(self).connect()
            self.demo.wait("unavailable")
            self.assertEqual([str(e[2]) for e in self.manager("ListIdentities")], ["unavailable", "unavailable"])
        finally:
            service("start", "swtpm")
        self.both_ready()
        self.data.sign(SCHEME, b"x")

    def test_another_tpm(self):
        """Replaced: nothing is deleted; the old TPM makes everything good again; Enroll with a new key leads out."""
        serial = self.demo.get("SerialNumber")
        service("stop", "identityd")
        service("stop", "swtpm")
        shutil.move(SANDBOX + "/tpm", SANDBOX + "/tpm.old")
        os.mkdir(SANDBOX + "/tpm")
        service("start", "swtpm")
        service("start", "identityd")
        type(self).connect()
        try:
            self.demo.wait("unavailable")
            wait_until(lambda: self.manager_property("TpmState") == "replaced", "TpmState replaced")
            self.says_the_problem("not the one that the key was made in")
            self.assertFalse(self.demo.get("ReadyByItself"))
            self.refused("TpmReplaced", self.data.sign, SCHEME, b"x")
            self.assertTrue(os.path.exists(SANDBOX + "/state/demo/current/key.pem"))
        finally:
            service("stop", "identityd")
            service("stop", "swtpm")
            shutil.rmtree(SANDBOX + "/tpm")
            shutil.move(SANDBOX + "/tpm.old", SANDBOX + "/tpm")
            service("start", "swtpm")
            service("start", "identityd")
            type(self).connect()
        self.both_ready()
        self.assertEqual(self.demo.get("SerialNumber"), serial)


class Damage(Life):
    """What is damaged on the disk is never used, and said with its name; what can be made anew is; the others go on."""

    def damaged(self, path, content):
        """Starts with a damaged file."""
        service("stop", "identityd")
        with open(os.path.join(SANDBOX, "state/demo", path), "wb") as file:
            file.write(content)
        said = len(log("identityd"))
        service("start", "identityd")
        type(self).connect()
        self.data.wait("ready")
        self.data.sign(SCHEME, b"x")
        wait_until(lambda: os.path.basename(path) in log("identityd")[said:], "the file's name in the log")

    def made_anew(self, path, content):
        """The generation that the file was of is not used again: another one takes its place."""
        generation, key = self.demo.generation(), bytes(self.demo.get("PublicKey"))
        self.damaged(path, content)
        self.demo.wait("ready")
        self.assertGreater(self.demo.generation(), generation)
        self.assertNotEqual(bytes(self.demo.get("PublicKey")), key)
        self.assertEqual(self.demo.get("LastError"), "")

    def test_key(self):
        for content in (b"", b"junk\n", b"-----BEGIN TSS2 PRIVATE KEY-----\nAAAA\n-----END TSS2 PRIVATE KEY-----\n", b"x" * 100000):
            with self.subTest(content[:20]):
                self.made_anew("current/key.pem", content)

    def test_chain(self):
        for content in (b"", b"junk\n", read(CA + "/root.pem").encode()):
            with self.subTest(content[:20]):
                self.made_anew("current/chain.pem", content)

    def test_state(self):
        """Of a state that nothing can be read of, a revocation may have stood in it."""
        for content in (b"weather=good\n", b"\0\0\0\0", b"failures=many\n"):
            with self.subTest(content[:20]):
                self.damaged("state", content)
                self.demo.wait("revoked")
                self.refused("Revoked", self.demo.open, "tls-client")
                self.demo.enroll(new_key=True)
                self.demo.wait("ready")


class Retirement(Life):
    def test_files_that_could_not_be_removed(self):
        """Retired is retired: whatever stayed on the disk, an attempt that failed and a start do not bring the key back."""
        path, state = f"{SANDBOX}/etc/identities/leaving.conf", SANDBOX + "/state/leaving"
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"[Identity]\nSubject=CN=leaving\n[Enrollment]\nServer={EST}\nAnchors={CA}/root.pem\nServerAnchors={CA}/server.pem\n"
                       f"Authenticate=credential:enrollment-password\nUser=demo\n[Access]\ndata-raw=user:{os.getuid()}\n")
        self.addCleanup(self.manager, "Reload")
        self.addCleanup(os.unlink, path)
        self.manager("Reload")
        one = self.identity("leaving")
        one.wait("ready")
        with open(state + "/trash", "w", encoding="utf-8"):
            pass
        with self.assertRaises(dbus.DBusException):
            one.call("Retire")
        self.assertEqual(one.state(), "retired")
        control("fault", "simpleenroll", "status", "code=503", "count=0")
        self.addCleanup(control, "clear")
        self.refused("EnrollmentFailed", one.enroll)
        self.restart()
        wait_until(lambda: one.state_or_none() in ("retired", "unavailable"), "leaving to be gone")
        self.refused("Retired", one.sign, SCHEME, b"x")
        if os.path.isfile(state + "/trash"):
            os.unlink(state + "/trash")
        self.restart()
        wait_until(lambda: one.state_or_none() == "retired", "leaving to be retired")
        wait_until(lambda: not os.path.isdir(state + "/generations"), "the key to be gone")

    def test_old_generations_are_few(self):
        """Whoever uses nothing but Sign on the bus uses a generation; where nobody uses one, old ones are few all the same, and
        some stay for programs that read their files (tests/unit/lending has the time)."""
        directory = SANDBOX + "/state/demo-data/generations"

        def kept():
            return sorted(int(number) for number in os.listdir(directory))
        for number in range(5):
            self.data.settle()
            self.data.enroll(**{"new-key": True})
            if number == 0:
                self.data.sign(SCHEME, b"x")
        current = self.data.generation()
        wait_until(lambda: kept() == list(range(current - 3, current + 1)), "the oldest generations to be gone")
        self.data.sign(SCHEME, b"x")
        self.assertEqual(kept(), list(range(current - 3, current + 1)))
        self.restart() # after which nobody can use an old one
        self.data.wait("ready")
        self.data.sign(SCHEME, b"x")
        wait_until(lambda: kept() == [current], "the old generations to be gone")


class Configuration(Life):
    def bad(self, text, *words, logged=None):
        """A bad file: the identity is out, with file and line; the others stay. `logged`: what the daemon's log names instead."""
        path, begins = SANDBOX + "/etc/identities/bad.conf", len(log("identityd"))
        self.configure("bad", text)
        self.addCleanup(lambda: os.path.exists(path) and self.configure("bad", None))
        said = idctl("check", "--config", check=False)
        self.assertEqual(said.returncode, 1)
        for word in (path, *words):
            self.assertIn(word, said.stdout.decode() + said.stderr.decode())
        for word in logged or (path, *words):
            wait_until(lambda: word in log("identityd")[begins:], f"{word!r} in the log")  # pylint: disable=cell-var-from-loop
        states = {str(e[0]): str(e[2]) for e in self.manager("ListIdentities")}
        self.assertEqual((states["demo"], states["demo-data"]), ("ready", "ready"))
        self.assertNotEqual(states.get("bad"), "ready")
        self.data.sign(SCHEME, b"x")
        self.configure("bad", None)

    def test_faults(self):
        good = f"[Identity]\nSubject=CN=%d\n[Enrollment]\nServer={EST}\nAnchors={CA}/root.pem\n"
        self.bad("[Identity]\nSubjekt=CN=x\n", "bad.conf:2", "Subjekt")
        self.bad(good + "[Weather]\n", "bad.conf:6", "Weather")
        self.bad(good + "[Key]\nAlgorithm=rsa-512\n", "bad.conf:7", "rsa-2048")
        self.bad(good + "[Renewal]\nAt=120%\n", "bad.conf:7", "At", "95%")
        self.bad(good + "[Access]\ndata-raw=user:root\ntls-client=user:root\n", "bad.conf", "data-raw")
        self.bad(good.replace("https:", "http:"), "bad.conf:4", "https")
        self.bad(good + "Authenticate=identity:nobody\n", "bad.conf", "nobody", logged=("bad: ", "identity:nobody"))

    def test_a_wrong_file_leaves_the_identity_that_it_breaks(self):
        """What was ready is out as long as its file is bad, and back when that is mended."""
        path = SANDBOX + "/etc/identities/demo.conf"
        good = read(path)
        serial = self.demo.get("SerialNumber")
        held = self.demo.open("digest")
        self.addCleanup(held.close)
        self.configure("demo", good + "[Weather]\n")
        try:
            self.assertIn(path + ":", self.demo.get("LastError"))
            with self.assertRaises(dbus.DBusException) as caught:
                self.demo.open("digest")
            self.assertIn("demo", str(caught.exception))
            held.wait_closed()
            self.data.sign(SCHEME, b"x")
        finally:
            self.configure("demo", good)
        self.demo.wait("ready")
        self.assertEqual(self.demo.get("SerialNumber"), serial)

    def test_names_that_are_refused_now(self):
        """A certificate has its own names: what a later version refuses in a file that was good takes nothing out of use."""
        path = SANDBOX + "/etc/identities/demo-data.conf"
        good = read(path)
        subject, generation = self.data.get("Subject"), self.data.generation()
        lines = [("Subject=CN=%d,O=" + "x" * 65 if line.startswith("Subject=") else line) for line in good.splitlines()]
        self.assertNotEqual(lines, good.splitlines())
        self.configure("demo-data", "\n".join(lines) + "\n")
        try:
            self.data.wait("ready")
            self.restart()
            self.both_ready()
            self.data.sign(SCHEME, b"x")
            self.assertIn("O would have 65 characters", log("identityd"))
            self.assertEqual(idctl("check", "--config", check=False).returncode, 1)
            self.data.settle()
            self.data.renew()
            wait_until(lambda: self.data.generation() > generation, "the renewal")
            self.assertEqual(self.data.get("Subject"), subject)
            self.assertIn("O would have 65 characters", self.refused("InvalidArgument", self.data.enroll, **{"new-key": True}))
            self.assertEqual(self.data.state(), "ready")
        finally:
            self.configure("demo-data", good)
        self.data.settle()
        self.data.enroll(**{"new-key": True})
        self.data.wait("ready")

    def test_directory_that_cannot_be_read(self):
        """A reload that cannot see all identities takes none away."""
        directory = f"{SANDBOX}/etc/identities"
        os.rename(directory, directory + ".away")
        os.symlink("identities", directory)
        try:
            said = idctl("reload", check=False)
            self.assertNotEqual(said.returncode, 0)
            self.assertIn(b"stays as it was", said.stderr)
            self.both_ready()
            self.assertTrue(os.path.exists(f"{SANDBOX}/run/demo/chain.pem"))
        finally:
            os.unlink(directory)
            os.rename(directory + ".away", directory)
        idctl("reload")
        self.both_ready()

    def test_drop_in(self):
        directory = SANDBOX + "/etc/identities/demo-data.conf.d"
        os.mkdir(directory)
        with open(directory + "/10-none.conf", "w", encoding="utf-8") as file:
            file.write("[Access]\ndata-raw=user:4242\n")
        self.manager("Reload")
        self.refused("AccessDenied", self.data.sign, SCHEME, b"x")
        shutil.rmtree(directory)
        self.manager("Reload")
        self.data.sign(SCHEME, b"x")


if __name__ == "__main__":
    unittest.main()
