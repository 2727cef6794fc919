#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""idctl on a bus with a peer that misbehaves where identityd would not (tests/fakes/identityd.py): exit statuses, output for
people and for machines, progress, and text that must not reach a terminal."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from private_bus import PrivateBus  # noqa: E402

SOURCE, IDCTL = sys.argv[1:3]


class Idctl(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.bus = PrivateBus()
        cls.enterClassContext(cls.bus)
        for name in ("root", "leaf"):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                            cls.path(name + ".key"), "-outform", "DER", "-out", cls.path(name + ".der"), "-subj", "/CN=" + name,
                            "-addext", "subjectAltName=DNS:" + name], check=True, capture_output=True)
            subprocess.run(["openssl", "x509", "-inform", "DER", "-in", cls.path(name + ".der"), "-out", cls.path(name + ".pem")],
                           check=True, capture_output=True)
        cls.start_fake()

    @classmethod
    def start_fake(cls):
        cls.bus.start(["/usr/bin/python3", os.path.join(SOURCE, "tests/fakes/identityd.py"), cls.path("leaf.der"),
                       cls.path("root.der")])
        cls.bus.wait_until(lambda: cls.bus.has_owner("org.identityd1"), "the peer on the bus")

    @classmethod
    def path(cls, name):
        return os.path.join(cls.bus.directory, name)

    def idctl(self, *arguments, status=0, text=None):
        result = subprocess.run([IDCTL, *arguments], env=self.bus.environment, input=text or "", capture_output=True, text=True,
                                check=False, timeout=60)
        self.assertEqual(result.returncode, status, result.stderr)
        return result

    def refused(self, status, pattern, *arguments, **more):
        result = self.idctl(*arguments, status=status, **more)
        self.assertRegex(result.stderr, pattern)
        self.assertEqual(result.stdout, "")

    def test_list(self):
        lines = self.idctl("list").stdout.splitlines()
        self.assertEqual(lines[0].split()[:2], ["NAME", "STATE"])
        self.assertEqual(self.idctl("list", "-q").stdout.split(), [line.split()[0] for line in lines[1:]])
        listed = {i["name"]: i for i in json.loads(self.idctl("list", "--json").stdout)}
        self.assertEqual(listed["evil"]["not_after"], "2096-10-02T07:06:40Z")
        self.assertIsNone(listed["empty"]["next_renewal"])

    def test_show(self):
        shown = json.loads(self.idctl("show", "evil", "--json").stdout)
        self.assertEqual((shown["state"], shown["generation"], len(shown["certificates"])), ("ready", 3, 1))
        self.assertEqual(self.idctl("show", "evil", "--chain").stdout, shown["certificates"][0])
        self.assertEqual(self.idctl("show", "evil", "--anchors").stdout, shown["anchors"][0])
        self.refused(1, "no certificate yet", "show", "empty", "--chain")
        self.refused(1, "did not tell the property KeyAlgorithm", "show", "broken")

    def test_show_crls_of_peers(self):
        good, late, never = json.loads(self.idctl("show", "evil", "--json").stdout)["peer_crls"]
        self.assertEqual(good, {"url": "http://crl.example/good.crl", "issuer": "CN=good", "this_update": "2023-11-14T22:13:20Z",
                                "next_update": "2096-10-02T07:06:40Z", "next_fetch": "2093-08-01T21:20:00Z", "error": None})
        self.assertEqual((late["error"], never["issuer"], never["next_update"], never["next_fetch"]), ("status 503", None, None, None))
        text = self.idctl("show", "evil").stdout
        for part in ("http://crl.example/good.crl", "of CN=good, until 2096", "of CN=late, until 2023", "status 503",
                     "none yet; it is fetched now", "no such ?[31mhost"):
            self.assertIn(part, text)
        self.assertNotIn("Peers' CRL", self.idctl("show", "ready").stdout)

    def test_control_characters_do_not_pass(self):
        text = self.idctl("show", "evil").stdout
        self.assertIn("bad?[31mthing? ü", text)
        self.assertNotRegex(text, "[\x00-\x09\x0b-\x1f\x7f]")

    def test_exit_statuses(self):
        self.refused(3, 'no identity "nope"', "show", "nope")
        self.refused(2, "cannot be the name", "show", "No Name")
        self.refused(2, "no verb", "frobnicate")
        self.refused(2, "IDENTITY", "show")
        self.refused(2, "only", "show", "a", "b")
        self.refused(2, "unrecognized option", "list", "--frob")
        self.refused(4, "only an administrator", "enroll", "denied")
        self.refused(4, "polkit says no[.] Run it as root", "reload")
        self.refused(1, "enrolment of evil: options \\[\\('new-key', True\\)\\]", "enroll", "--new-key", "evil")
        self.refused(1, "options \\[\\]", "enroll", "evil")
        self.refused(1, "\\('rotate-key', False\\)", "renew", "--keep-key", "evil")
        self.refused(1, "\\('rotate-key', True\\)", "renew", "--rotate-key", "evil")
        self.refused(2, "exclude", "renew", "--rotate-key", "--keep-key", "evil")

    def test_progress(self):
        result = self.idctl("enroll", "slow")
        self.assertEqual(result.stderr.splitlines(), ["slow: enrolling", "slow: idle"])
        self.assertIn("slow: ready, generation 1", result.stdout)
        result = self.idctl("enroll", "slow", "--quiet")
        self.assertEqual(result.stdout + result.stderr, "")
        self.assertEqual(json.loads(self.idctl("enroll", "slow", "--json").stdout)["state"], "ready")

    def test_pending(self):
        result = self.idctl("enroll", "pending")
        self.assertIn("pending: the CA has not decided yet", result.stdout)

    def test_request(self):
        self.assertEqual(self.idctl("request", "empty").stdout.splitlines()[1], "MAA=")
        self.idctl("request", "empty", "--new-key", "--der", "--out", self.path("request"))
        with open(self.path("request"), "rb") as file:
            self.assertEqual(file.read(), b"\x30\x01\x00")
        self.refused(1, "cannot write", "request", "empty", "--out", self.path("none/there"))

    def test_install_sends_der_leaf_first(self):
        sizes = [os.path.getsize(self.path(name + ".der")) for name in ("leaf", "root")]
        pem = "".join(subprocess.run(["openssl", "x509", "-inform", "DER", "-in", self.path(name + ".der")], check=True,
                                     capture_output=True, text=True).stdout for name in ("leaf", "root"))
        self.refused(1, "got %d %d" % tuple(sizes), "install", "evil", "-", text="remark\n" + pem)
        self.refused(1, "got %d" % sizes[0], "install", "evil", self.path("leaf.der"))
        self.refused(1, "holds no certificates", "install", "evil", "/etc/passwd")
        self.refused(1, "No such file", "install", "evil", self.path("nothing"))

    def test_retire_asks(self):
        self.refused(2, "say --yes", "retire", "empty")
        self.assertIn("ready", self.on_terminal("retire", "ready", answer="no\n", status=1, then_state=True))
        self.on_terminal("retire", "ready", answer="ready\n", status=0)
        self.assertEqual(json.loads(self.idctl("show", "ready", "--json").stdout)["state"], "retired")
        self.refused(4, "only an administrator", "retire", "denied", "--yes")

    def test_reset_clock(self):
        self.assertIn("the CRL of CN=root", self.idctl("show", "ready").stdout)
        self.assertIn("ready, generation 3", self.idctl("reset-clock", "ready").stdout)
        self.assertEqual(json.loads(self.idctl("show", "ready", "--json").stdout)["clock_source"], "the build of identityd")
        self.refused(4, "only an administrator", "reset-clock", "denied")
        self.refused(2, "reset-clock", "reset-clock")

    def on_terminal(self, *arguments, answer, status, then_state=False):
        ours, theirs = pty.openpty()
        with subprocess.Popen([IDCTL, *arguments], env=self.bus.environment, stdin=theirs, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as process:
            os.close(theirs)
            os.write(ours, answer.encode())
            output = process.communicate(timeout=30)
        os.close(ours)
        self.assertEqual(process.returncode, status, output[1])
        return json.loads(self.idctl("show", arguments[1], "--json").stdout)["state"] if then_state else output[0]

    def test_colours_only_on_a_terminal(self):
        def run(**environment):
            ours, theirs = pty.openpty()
            subprocess.run([IDCTL, "list"], env={**self.bus.environment, "TERM": "xterm", **environment}, stdout=theirs, check=True)
            os.close(theirs)
            text = os.read(ours, 65536)
            os.close(ours)
            return text
        self.assertIn(b"\x1b[", run(NO_COLOR=""))
        self.assertNotIn(b"\x1b[", run(NO_COLOR="1"))
        self.assertNotIn(b"\x1b[", run(NO_COLOR="", TERM="dumb"))
        self.assertNotIn("\x1b[", self.idctl("list").stdout)

    def test_monitor(self):
        with subprocess.Popen([IDCTL, "monitor", "--json", "pending"], env=self.bus.environment, stdout=subprocess.PIPE,
                              text=True) as monitor:
            first = json.loads(monitor.stdout.readline())
            self.assertEqual((first["identity"], first["event"]), ("pending", "is"))
            self.idctl("enroll", "pending")
            change = json.loads(monitor.stdout.readline())
            self.assertEqual(change["properties"], {"activity": "waiting", "next_attempt": "2099-12-03T16:53:20Z"})
            monitor.terminate()
        self.refused(3, "no identity", "monitor", "nope")

    def test_wait_has_it_activated(self):
        """Nobody has to start identityd first; and where it cannot be started, that is said at the end of the time."""
        with PrivateBus() as bus:
            def wait(*arguments):
                return subprocess.run([IDCTL, "wait", *arguments], env=bus.environment, capture_output=True, text=True, check=False,
                                      timeout=60)
            service = os.path.join(bus.services, "org.identityd1.service")
            with open(service, "w", encoding="ascii") as file:
                file.write("[D-BUS Service]\nName=org.identityd1\nExec=/bin/false\n")
            bus.reload()
            result = wait("--timeout", "1s", "ready")
            self.assertEqual(result.returncode, 1)
            self.assertIn("ready is not ready after 1s: identityd does not answer", result.stderr)
            pid = os.path.join(bus.directory, "pid")
            with open(service, "w", encoding="ascii") as file:
                file.write("[D-BUS Service]\nName=org.identityd1\nExec=/bin/sh -c 'echo $$ >%s; exec /usr/bin/python3 %s %s %s'\n" % (
                    pid, os.path.join(SOURCE, "tests/fakes/identityd.py"), self.path("leaf.der"), self.path("root.der")))
            bus.reload()
            result = wait("--timeout", "infinity", "ready", "evil")
            self.assertEqual((result.returncode, result.stdout), (0, ""), result.stderr)
            with open(pid, encoding="ascii") as file:
                os.kill(int(file.read()), signal.SIGTERM)

    def test_wait_goes_by_signals(self):
        with subprocess.Popen([IDCTL, "wait", "--timeout", "infinity", "slow"], env=self.bus.environment, stderr=subprocess.PIPE,
                              text=True) as waiting:
            self.assertEqual(waiting.stderr.readline(), "slow: it is empty\n")  # it has asked
            self.idctl("enroll", "slow", "-q")
            self.assertEqual(waiting.wait(30), 0)
        self.refused(1, "pending does not become ready by itself: it is empty", "wait", "--timeout", "infinity", "pending", "slow")

    def openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)

    def verify(self, *arguments, good):
        result = json.loads(self.idctl("verify", "--json", *arguments, status=0 if good else 1).stdout)
        self.assertEqual(result["verified"], good)
        return result

    def test_verify_signatures(self):
        message, forged, raw, cms = (self.path(n) for n in ("message", "forged", "message.sig", "message.p7s"))
        for path, text in ((message, "a message"), (forged, "another"), (self.path("empty"), "")):
            with open(path, "w", encoding="ascii") as file:
                file.write(text)
        self.openssl("dgst", "-sha256", "-sign", self.path("leaf.key"), "-out", raw, message)
        result = self.verify("evil", message, raw, good=True)
        self.assertEqual((result["kind"], result["scheme"]), ("raw", "ecdsa_secp256r1_sha256"))
        self.verify("evil", forged, raw, good=False)
        self.verify("evil", self.path("empty"), raw, good=False)
        self.verify("evil", message, raw, "--scheme=rsa_pkcs1_sha256", good=False)
        for form in ("DER", "PEM"):
            self.openssl("cms", "-sign", "-binary", "-in", message, "-signer", self.path("root.pem"), "-inkey",
                         self.path("root.key"), "-outform", form, "-out", cms)
            result = self.verify("evil", message, cms, good=True)
            self.assertEqual((result["kind"], [signer["subject"] for signer in result["signers"]]), ("cms", ["CN=root"]))
            self.verify("evil", message, cms, "--signer", "CN=root", good=True)
            self.verify("evil", message, cms, "--signer", "CN=leaf", good=False)
            self.verify("evil", forged, cms, good=False)
            self.verify("evil", self.path("empty"), cms, good=False)
            self.verify("evil", message, cms, "--anchors", self.path("leaf.pem"), good=False)
        self.openssl("cms", "-sign", "-binary", "-in", message, "-signer", self.path("leaf.pem"), "-inkey",
                     self.path("leaf.key"), "-outform", "DER", "-out", cms)
        self.verify("evil", message, cms, good=False)
        self.refused(1, "no certificate to verify", "verify", "empty", message, raw)
        self.refused(2, "--signer changes nothing for a raw signature", "verify", "evil", message, raw, "--signer", "CN=leaf")
        self.refused(2, "has to be named", "verify", message, raw, "--anchors", self.path("root.pem"))
        self.refused(1, "not a regular file", "verify", "evil", "/dev/null", raw)

    def test_verify_chains(self):
        self.verify("evil", "--chain", self.path("root.pem"), good=True)
        self.verify("evil", "--chain", self.path("leaf.pem"), good=False)
        self.verify("evil", "--chain", self.path("leaf.pem"), "--anchors", self.path("leaf.pem"), good=True)
        self.verify("evil", "--chain", self.path("root.pem"), "--name", "other.example", good=False)
        for arguments in ((), ("x",), ("x", "y", "--chain", "z"), ("--peer", "a:1", "--chain", "z"), ("--peer", "nowhere")):
            self.refused(2, "verify|HOST:PORT", "verify", "evil", *arguments)
        # A server that insists on a client certificate shows its own all the same.
        with subprocess.Popen(["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", self.path("root.pem"), "-key",
                               self.path("root.key"), "-Verify", "1", "-verify_return_error", "-rev"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
            endpoint = next(line for line in server.stdout if line.startswith("ACCEPT")).split()[1]
            self.assertIn("name", self.verify("evil", "--peer", endpoint, good=False)["reason"])
            # Without identity and identityd, and for one use or another.
            self.verify("--peer", endpoint, "--name", "root", "--anchors", self.path("root.pem"), good=True)
            self.assertEqual(self.verify("evil", "--peer", endpoint, "--name", "root", good=True)["kind"], "peer")
            self.verify("evil", "--peer", endpoint, "--name", "root", "--anchors", self.path("leaf.pem"), good=False)
            server.kill()

    CONFIG = ("[Identity]\nSubject=CN=%%d,O=Example\n[Enrollment]\nProtocol=est\nServer=https://ca.example/.well-known/est\n"
              "Anchors=%(anchors)s\n[Access]\ntls-client=user:root\n")

    def check(self, files, *arguments, status=0, **environment):
        directory = tempfile.mkdtemp(dir=self.bus.directory)
        os.mkdir(os.path.join(directory, "identities"))
        for name, text in files.items():
            with open(os.path.join(directory, "identities", name + ".conf"), "w", encoding="utf-8") as file:
                file.write(text % {"anchors": self.path("root.pem")})
        result = subprocess.run([IDCTL, "check", "--json", *arguments], capture_output=True, text=True, check=False, timeout=60,
                                env={**self.bus.environment, "CONFIGURATION_DIRECTORY": directory,
                                     "RUNTIME_DIRECTORY": directory + "/none", **environment})
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        return json.loads(result.stdout) if result.stdout else result.stderr

    def found(self, findings, verdict, pattern, identity=None):
        for finding in findings:
            if finding["verdict"] == verdict and finding["identity"] == identity and re.search(pattern, finding["text"]):
                return
        self.fail("no %s %r for %s in %s" % (verdict, pattern, identity, json.dumps(findings, indent=1)))

    def test_check_configuration(self):
        findings = self.check({"one": self.CONFIG}, "--config")
        self.assertNotIn("failed", [f["verdict"] for f in findings])
        findings = self.check({"one": self.CONFIG + "[Renewal]\nAt=120%%\n", "two": self.CONFIG}, "--config", status=1)
        self.found(findings, "failed", "one[.]conf:10: .*At=", "one")
        findings = self.check({"one": self.CONFIG + "[Frob]\n", "two": self.CONFIG}, "--config", "two")
        self.assertNotIn("one", [f["identity"] for f in findings])
        findings = self.check({"one": self.CONFIG.replace("%(anchors)s", "/nowhere.pem")}, "--config", status=1)
        self.found(findings, "failed", "Anchors=/nowhere.pem cannot be read", "one")
        findings = self.check({"one": self.CONFIG.replace("%(anchors)s", "/etc/passwd")}, "--config", status=1)
        self.found(findings, "failed", "holds no certificates", "one")
        # identityd reads PEM alone.
        findings = self.check({"one": self.CONFIG.replace("%(anchors)s", self.path("root.der"))}, "--config", status=1)
        self.found(findings, "failed", "holds no certificates", "one")
        linked = self.CONFIG.replace("[Access]", "Authenticate=identity:nobody\n[Access]")
        findings = self.check({"one": linked}, "--config", status=1)
        self.found(findings, "failed", "nobody", "one")
        self.assertIn("no identity", self.check({"one": self.CONFIG}, "--config", "three", status=3))
        self.assertIn("cannot be the name", self.check({}, "--config", "No Name", status=2))

    def test_check_subjects(self):
        """A CA that goes by the subject takes one for the other."""
        other = self.CONFIG.replace("O=Example", "O=Example,OU=2")
        findings = self.check({"one": self.CONFIG, "three": other, "two": self.CONFIG}, "--config")
        self.found(findings, "warning", 'Subject=CN=%d,O=Example is that of "one" too', "two")
        self.assertEqual([f["identity"] for f in findings if "Subject=" in f["text"]], ["two"])
        self.found(self.check({"one": self.CONFIG, "two": self.CONFIG}, "--config", "one"), "warning", 'of "one" too', "two")
        findings = self.check({"one": self.CONFIG, "two": self.CONFIG, "three": other}, "--config", "three")
        self.assertFalse([f for f in findings if "Subject=" in f["text"]])

    def test_check_access(self):
        """Whom [Access] admits exists, or that is said; about units only systemd knows, where it is."""
        manager = self.bus.start(["/usr/bin/python3", os.path.join(SOURCE, "tests/fakes/system-manager.py"), "is.service", "worker@.service"],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.assertEqual(manager.stdout.readline(), "ready\n")
        config = self.CONFIG + ("data=group:no-such-group unit:is.service unit:worker@1.service unit:worker@*.service unit:run-*.service "
                                "unit:not.service unit:not-*.service\ndigest=user:no-such-user unit:not.service user:4000000\n")
        config = config.replace("data=", "tls-server=")
        findings = [f for f in self.check({"one": config}, status=1) if f["check"] == "access"]
        for words in ("tls-server=: there is no group \"no-such-group\"", "tls-server=, digest=: there is no unit \"not.service\"",
                      "tls-server=: there is no unit \"not-[*].service\"", "digest=: there is no user \"no-such-user\""):
            self.found(findings, "warning", words, "one")
        self.assertEqual(len(findings), 4, findings)
        self.assertEqual(len([f for f in self.check({"one": config}, "--config") if f["check"] == "access"]), 2)
        manager.stdin.close()
        manager.wait(20)
        manager.stdout.close()
        findings = [f for f in self.check({"one": config}, status=1) if f["check"] == "access"]
        self.assertEqual(len(findings), 2, "without systemd nobody can say")

    def test_check_expires_in(self):
        for within, status in (("52w", None), ("10000w", "failed")):
            findings = self.check({"one": self.CONFIG}, "--expires-in", within, "evil", status=1)
            self.found(findings, status or "ok", "sooner than in 191 years" if status else "ends at 2096", "evil")
        self.assertIn("such as 14d", self.check({"one": self.CONFIG}, "--expires-in", "14", status=2))
        self.assertIn("exclude", self.check({"one": self.CONFIG}, "--expires-in", "14d", "--config", status=2))

    def test_check_without_daemon(self):
        findings = self.check({"one": self.CONFIG}, status=1, DBUS_SYSTEM_BUS_ADDRESS="unix:path=/none")
        self.found(findings, "failed", "bus cannot be reached")

    def test_check_with_daemon(self):
        findings = self.check({"one": self.CONFIG}, status=1)
        self.found(findings, "ok", "ready, Fake")
        self.found(findings, "failed", "does not have it", "one")
        self.found(findings, "warning", "no file configures it", "evil")
        self.found(findings, "failed", "do not belong together", "evil")
        self.found(findings, "warning", "^ready, idle: bad", "evil")
        self.found(findings, "ok", "ends at 2096", "evil")
        self.found(findings, "ok", "planned for 2093", "evil")
        self.found(findings, "warning", "empty", "empty")
        self.found(findings, "ok", "^CN=good, until 2096", "evil")
        self.found(findings, "warning", "CN=late from http://crl.example/late.crl has ended at 2023.*: status 503", "evil")
        self.found(findings, "warning", "there is none from http://crl.example/never.crl: no such", "evil")
        self.assertIn("no identity", self.check({"one": self.CONFIG}, "nope", status=3))

    def test_metrics_and_version(self):
        self.assertEqual(self.idctl("metrics").stdout, "# EOF\n")
        self.assertEqual(json.loads(self.idctl("version", "--json").stdout)["identityd"], "9")

    def test_the_daemon_dies(self):
        self.refused(1, "did not answer", "enroll", "gone")
        self.bus.wait_until(lambda: not self.bus.has_owner("org.identityd1"), "its end")
        self.refused(1, "identityd is not running", "list")
        self.start_fake()

    def test_no_bus(self):
        result = subprocess.run([IDCTL, "list"], env={**self.bus.environment, "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/none"},
                                capture_output=True, text=True, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("cannot reach the system bus", result.stderr)

    def test_full_disk(self):
        with open("/dev/full", "w", encoding="ascii") as full:
            result = subprocess.run([IDCTL, "list"], env=self.bus.environment, stdout=full, stderr=subprocess.PIPE, text=True,
                                    check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("cannot write to standard output", result.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
