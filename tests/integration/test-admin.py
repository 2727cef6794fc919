#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What an admin and his scripts go by: `idctl wait` through every way in which an identity gets ready, or does not, and over
restarts of identityd; what `idctl reload` says of what changed; what is left of identities, and how it goes. Runs inside
tests/sandbox."""

import json
import os
import pty
import shutil
import subprocess
import tempfile
import unittest

from lifecycle import PASSWORD, Lifecycle, checking, configuration, revoke
from sandboxed import CA, SANDBOX, control, idctl, run, service, wait_until

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
        self.assertRegex(self.gives_up("one", "demo"),
                         r"^idctl: one is not ready after \d+s: it is empty, .*\"idctl show one\" says more\.\n$")
        self.assertRegex(self.gives_up("--state", "revoked", "demo"), r"demo is not revoked after \d+s: it is ready\.")

    @staticmethod
    def gives_up(*arguments):
        """After a second; where the machine is so busy that identityd has not answered by then, after more."""
        for seconds in (1, 10, 60):
            text = fails(1, "wait", "-q", "--timeout", f"{seconds}s", *arguments)
            if "does not answer" not in text:
                break
        return text

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


class Reload(Lifecycle):
    def write(self, name, text):
        path = f"{SANDBOX}/etc/identities/{name}.conf"
        if text is None:
            os.unlink(path)
            return
        self.addCleanup(self.forget, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def reload(self, status, *patterns):
        """Wants these lines, and no others."""
        done = idctl("reload", check=False)
        lines = done.stdout.decode().splitlines()
        self.assertEqual((done.returncode, len(lines), done.stderr), (status, len(patterns), b""), lines)
        for line, pattern in zip(lines, patterns):
            self.assertRegex(line, pattern)

    def test_what_falls_out_and_comes_back(self):
        self.reload(0)
        self.write("one", MANUAL)
        self.write("two", MANUAL + "[Frob]\n")
        self.reload(1, "^one: new, empty$", r"^two: out of use, misconfigured: .*two\.conf:\d+: .*Frob")
        self.reload(0)
        self.write("one", MANUAL + "[Renewal]\nAt=120%\n")
        self.write("two", MANUAL)
        self.reload(1, r"^one: out of use, misconfigured: .*one\.conf:\d+: .*At=", "^two: back, empty$")
        self.write("one", None)
        self.reload(1, '^one: gone, .*"idctl forget one"')
        self.reload(0)
        self.write("two", MANUAL.replace("O=test", "O=other"))
        self.reload(0)


class Check(Lifecycle):
    def check(self, *arguments, status, etc=f"{SANDBOX}/etc", credentials=f"{SANDBOX}/credentials"):
        environment = {**os.environ, "CONFIGURATION_DIRECTORY": etc, "RUNTIME_DIRECTORY": f"{SANDBOX}/run",
                       "CREDENTIALS_DIRECTORY": credentials}
        done = subprocess.run(["idctl", "check", "--json", *arguments], capture_output=True, text=True, check=False, timeout=90,
                              env=environment)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return json.loads(done.stdout)

    @staticmethod
    def about(findings, check, identity=None):
        return [(f["verdict"], f["text"]) for f in findings if (f["check"], f["identity"]) == (check, identity)]

    def only_failure(self, findings, words):
        """One cause, one finding, and it says what to do."""
        failed = [f for f in findings if f["verdict"] == "failed"]
        self.assertEqual(len(failed), 1, failed)
        self.assertIn(words, failed[0]["text"])
        self.assertTrue(failed[0]["advice"] or failed[0]["check"] == "configuration")  # whose text has it

    def test_lines(self):
        """What the CA answered: a finding for each line, whose words are not glued together."""
        lines = self.about(self.check("demo", status=0), "CA", "demo")
        self.assertEqual([text.partition(": ")[0] for _, text in lines], ["server", "session", "answer"])
        self.assertEqual(self.about(self.check("demo", status=0), "clock", "demo")[0][0], "ok")
        self.assertRegex(lines[2][1], "^answer: 2 CA certificates: ")

    def test_credentials(self):
        self.made("one", configuration(), "ready")
        self.assertEqual(self.about(self.check("one", status=0), "credential", "one"), [])
        with tempfile.TemporaryDirectory() as empty:
            self.only_failure(self.check("one", status=1, credentials=empty),
                              "[Enrollment] Authenticate=credential:enrollment-password: identityd has no such credential")

    def test_chain(self):
        """The file was replaced by another CA's, and nobody looked at what is in use."""
        with tempfile.TemporaryDirectory() as etc:
            shutil.copytree(f"{SANDBOX}/etc", etc, dirs_exist_ok=True)
            with open(f"{etc}/identities/demo.conf", encoding="utf-8") as file:
                text = file.read()
            self.assertIn(f"Anchors={CA}/root.pem", text)
            run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", etc + "/key",
                "-out", etc + "/other.pem", "-subj", "/CN=other", "-days", "365")
            with open(f"{etc}/identities/demo.conf", "w", encoding="utf-8") as file:
                file.write(text.replace(f"Anchors={CA}/root.pem", f"Anchors={etc}/other.pem", 1))
            self.assertEqual(self.about(self.check("demo", status=0), "chain", "demo"), [])
            (verdict, said), = self.about(self.check("demo", status=0, etc=etc), "chain", "demo")
            self.assertEqual(verdict, "warning")
            self.assertIn("does not end in what is in [Enrollment] Anchors=", said)

    def test_expires_in(self):
        self.check("--expires-in", "5min", "demo", status=0)
        self.only_failure(self.check("--expires-in", "2h", "demo", status=1), "sooner than in 2 hours")

    def test_faulty_file(self):
        self.made("faulty", MANUAL + "[Frob]\n", "misconfigured")
        findings = self.check("faulty", status=1)
        self.only_failure(findings, "faulty.conf:")
        self.assertEqual(self.about(findings, "state", "faulty")[0][0], "skipped")
        with open(f"{SANDBOX}/etc/identities/faulty.conf", "w", encoding="utf-8") as file:
            file.write(MANUAL)
        self.only_failure(self.check("faulty", status=1), "misconfigured, idle: ")
        idctl("reload")
        self.check("faulty", status=0)

    def test_no_ca(self):
        """The CA does not answer: told once, though enrolment failed of it too, and once for two that have the same."""
        text = configuration(enrollment=f"Server=https://127.0.0.1:1/est\nAnchors={CA}/root.pem\n{PASSWORD}")
        names = ("one", "two")
        for name in names:
            one = self.made(name, text, state=None)
            wait_until(lambda: one.get("LastError") != "", "a failure")  # pylint: disable=cell-var-from-loop
        findings = self.check(status=1)
        self.only_failure(findings, "127.0.0.1:1")
        self.assertEqual([self.about(findings, "CA", name)[0][0] for name in names], ["failed", "skipped"])
        for name in names:
            self.assertEqual(self.about(findings, "state", name), [("warning", "empty, waiting")])

    def test_no_tpm(self):
        service("stop", "swtpm")
        try:
            wait_until(lambda: subprocess.run(["idctl", "sign", "demo-data", "/dev/null", "--out", "/dev/null"], check=False,
                                              capture_output=True).returncode and self.demo.state() == "unavailable", "trouble")
            findings = self.check(status=1)
            self.only_failure(findings, "unavailable: ")
            self.assertIn(str(self.manager_property("TpmProblem")), self.about(findings, "TPM")[0][1])
            self.assertEqual({self.about(findings, "state", name)[0][0] for name in ("demo", "demo-data")}, {"skipped"})
        finally:
            service("start", "swtpm")
        self.demo.wait("ready", 60)
        self.data.wait("ready", 60)


class Forget(Lifecycle):
    def listed(self, *options):
        return {entry["name"]: entry["state"] for entry in json.loads(idctl("list", "--json", *options).stdout)}

    def test_what_is_left(self):
        """Keys outlive their configuration until somebody says that they are not to."""
        self.made("one", MANUAL, "empty").create_request()
        self.assertIn("is configured", fails(1, "forget", "--yes", "one"))
        self.configure("one", None)
        self.assertNotIn("one", self.listed())
        self.assertEqual(self.listed("--all")["one"], "forgotten")
        self.assertIn("one", idctl("list", "--all", "--quiet").stdout.decode().split())
        self.assertNotIn("one", idctl("list", "--quiet").stdout.decode().split())
        self.assertIn("say --yes", fails(2, "forget", "one"))
        self.assertTrue(os.path.exists(SANDBOX + "/state/one"))
        idctl("forget", "--yes", "one")
        self.assertFalse(os.path.exists(SANDBOX + "/state/one"))
        self.assertNotIn("one", self.listed("--all"))
        fails(3, "forget", "--yes", "one")
        fails(1, "forget", "--yes", "No Name")

    def test_by_name_on_a_terminal(self):
        self.made("one", MANUAL, "empty").create_request()
        self.configure("one", None)
        for answer, status in (("on", 1), ("one", 0)):
            ours, theirs = pty.openpty()
            with subprocess.Popen(["idctl", "forget", "one"], stdin=theirs, stderr=subprocess.PIPE) as process:
                os.close(theirs)
                os.write(ours, answer.encode() + b"\n")
                said = process.communicate(timeout=60)[1].decode()
            os.close(ours)
            self.assertEqual(process.returncode, status, said)
            self.assertIn("Type its name", said)
            self.assertEqual(os.path.exists(SANDBOX + "/state/one"), status == 1)


if __name__ == "__main__":
    unittest.main()
