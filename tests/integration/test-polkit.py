#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may administer: an unprivileged user does what polkit says yes to, and nothing else, whatever else polkit answers, or if it
never does; root and identityd's own user ask nobody. Runs inside tests/sandbox --polkit --clocks, as root."""

import contextlib
import hashlib
import json
import os
import pwd
import shutil
import signal
import time
import unittest

import dbus
import dbus.bus
import dbus.lowlevel

from lifecycle import configuration
from sandboxed import CA, ERROR, NAME, SANDBOX, Case, log, pem_to_der, read, requests, service, sign_request, time_passes, wait_until

NOBODY, ANOTHER = (pwd.getpwnam(name).pw_uid for name in ("nobody", "daemon"))  # the bus lets in nobody whom it cannot look up
DENIED = ERROR + "AccessDenied"
ANSWERS, ASKED = SANDBOX + "/polkit/answers", SANDBOX + "/polkit/asked"
SCRIPT = SANDBOX + "/services/identityd"
PASSWORD_TIME = 5 * 60  # somebody may be typing one
MANAGER = "/org/identityd1"
ONE, HAND = (f"{MANAGER}/identity/{name}" for name in ("one", "hand"))
MANUAL = configuration(enrollment=f"Protocol=manual\nAnchors={CA}/root.pem")

# method: action, object, interface, signature, arguments, what polkit is told beside the action
GUARDED = {
    "Reload": ("reload", MANAGER, "Manager", "", [], {}),
    "ProbeServer": ("probe", MANAGER, "Manager", "s", ["one"], {"identity": "one"}),
    "Renew": ("renew", ONE, "Identity", "a{sv}", [{}], {"identity": "one"}),
    "Enroll": ("enroll", ONE, "Identity", "a{sv}", [{}], {"identity": "one"}),
    "CreateRequest": ("request", HAND, "Identity", "a{sv}", [{}], {"identity": "hand"}),
    "InstallCertificate": ("install", HAND, "Identity", "aay", [[b"no certificate"]], {"identity": "hand"}),
    "ResetClock": ("reset-clock", HAND, "Identity", "", [], {"identity": "hand"}),
    "Retire": ("retire", HAND, "Identity", "", [], {"identity": "hand"}),
}
REFUSALS = ["no", "challenge", "nonsense", *(f"error {name} The test wants it so." for name in (
    "org.freedesktop.PolicyKit1.Error.Failed", "org.freedesktop.PolicyKit1.Error.Cancelled",
    "org.freedesktop.PolicyKit1.Error.NotAuthorized", "org.freedesktop.PolicyKit1.Error.NotSupported",
    "org.freedesktop.DBus.Error.AccessDenied", "org.freedesktop.DBus.Error.NoReply", "org.freedesktop.DBus.Error.Timeout",
    "org.freedesktop.DBus.Error.LimitsExceeded", "org.freedesktop.DBus.Error.UnknownMethod",
    "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"))]


class Caller:
    """A process of another user with a connection of its own."""

    def __init__(self, uid=NOBODY):
        reader, self.writer = os.pipe()
        self.reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            for fd in map(int, os.listdir("/proc/self/fd")):  # of others like this one, who end with theirs
                if fd > 2 and fd not in (reader, writer):
                    with contextlib.suppress(OSError):
                        os.close(fd)
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            self.serve(reader, writer)
        os.close(reader)
        os.close(writer)
        self.lines = os.fdopen(self.reader, encoding="utf-8")
        self.name = json.loads(self.lines.readline())

    @staticmethod
    def serve(reader, writer):
        try:
            bus = dbus.bus.BusConnection(os.environ["DBUS_SYSTEM_BUS_ADDRESS"])
            os.write(writer, (json.dumps(bus.get_unique_name()) + "\n").encode())
            with os.fdopen(reader, encoding="utf-8") as lines:
                for line in lines:
                    path, interface, method, signature, arguments, interactive = json.loads(line)
                    message = dbus.lowlevel.MethodCallMessage(NAME, path, f"{NAME}.{interface}", method)
                    message.set_allow_interactive_authorization(interactive)
                    if signature == "aay":
                        arguments = [[dbus.ByteArray(bytes.fromhex(one)) for one in arguments[0]]]
                    if signature:
                        message.append(*arguments, signature=signature)
                    try:
                        values = bus.send_message_with_reply_and_block(message, 60).get_args_list(byte_arrays=True)
                        answer = ["", (bytes(values[0]).hex() if isinstance(values[0], dbus.ByteArray) else str(values[0])) if values else ""]
                    except dbus.DBusException as error:
                        answer = [error.get_dbus_name(), error.get_dbus_message()]
                    os.write(writer, (json.dumps(answer) + "\n").encode())
        finally:
            os._exit(0)

    def send(self, method, arguments=None, interactive=False):
        _, path, interface, signature, usual, _ = GUARDED[method]
        arguments = usual if arguments is None else arguments
        if signature == "aay":
            arguments = [[bytes(one).hex() for one in arguments[0]]]
        os.write(self.writer, (json.dumps([path, interface, method, signature, arguments, interactive]) + "\n").encode())

    def get(self):
        """The error's name, '' for none, and its text or the answer."""
        return tuple(json.loads(self.lines.readline()))

    def call(self, method, arguments=None, interactive=False):
        self.send(method, arguments, interactive)
        return self.get()

    def end(self):
        os.close(self.writer)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.lines.close()


def answers(*lines):
    with open(ANSWERS + "~", "w", encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in lines))
    os.rename(ANSWERS + "~", ANSWERS)


def asked():
    return [json.loads(line) for line in read(ASKED).splitlines()] if os.path.exists(ASKED) else []


def files():
    """All that is on the disk of the identities."""
    found = {}
    for directory, _, names in os.walk(SANDBOX + "/state"):
        for name in names:
            path = os.path.join(directory, name)
            with open(path, "rb") as file:
                found[path] = hashlib.sha256(file.read()).hexdigest()
    return found


@unittest.skipUnless(os.getuid() == 0, "only root can be another user")
class Polkit(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        answers()
        cls().configure("one", configuration())
        cls().configure("hand", MANUAL)
        cls.one, cls.hand = cls.identity("one"), cls.identity("hand")
        cls.one.wait("ready")
        cls.hand.wait("empty")
        cls.caller = Caller()

    @classmethod
    def tearDownClass(cls):
        cls.caller.end()

    def setUp(self):
        answers()
        self.seen = len(asked())

    def asked(self):
        """What polkit was asked since the last time."""
        questions = asked()[self.seen:]
        self.seen += len(questions)
        return questions

    def world(self):
        return (files(), self.one.generation(), self.one.state(), self.hand.state(), len(requests("cacerts")),
                log("identityd").count("The configuration was read again"))

    def was_asked(self, method, caller, flags=0):
        action, _, _, _, _, details = GUARDED[method]
        self.assertEqual(self.asked(), [{"action": f"org.identityd1.{action}", "kind": "system-bus-name", "subject": {"name": caller.name},
                                         "details": details, "flags": flags, "cancellation": ""}])

    def is_refused(self, method, answer):
        """Wants AccessDenied, with the action in its text; returns that."""
        self.assertEqual(answer[0], DENIED, f"{method}: {answer}")
        self.assertIn("org.identityd1." + GUARDED[method][0], answer[1])
        return answer[1]


class Answers(Polkit):
    def test_only_yes_is_consent(self):
        for mood in REFUSALS:
            answers("* " + mood)
            before = self.world()
            for method in GUARDED:
                with self.subTest(mood, method=method):
                    text = self.is_refused(method, self.caller.call(method))
                    self.was_asked(method, self.caller)
                    self.assertIn("/etc/polkit-1/rules.d", text)
                    if mood == "challenge":
                        self.assertIn("polkit agent", text)
            self.assertEqual(self.world(), before)
        self.assertIn(f"Denied org.identityd1.retire to uid {NOBODY}", log("identityd"))

    def test_yes_to_another_action(self):
        for method, (action, *_) in GUARDED.items():
            with self.subTest(method):
                answers("* yes", f"org.identityd1.{action} no")
                self.is_refused(method, self.caller.call(method))

    def allowed(self, method, arguments=None):
        """Polkit admits nothing but this."""
        answers("* no", f"org.identityd1.{GUARDED[method][0]} yes")
        error, result = self.caller.call(method, arguments)
        self.assertEqual(error, "", result)
        self.was_asked(method, self.caller)
        return result

    def test_yes(self):
        """What polkit admits is done."""
        with open(SANDBOX + "/etc/identities/more.conf", "w", encoding="utf-8") as file:
            file.write(MANUAL)
        self.allowed("Reload")
        self.identity("more").wait("empty")
        self.configure("more", None)
        self.assertIn("TLS", self.allowed("ProbeServer"))
        for method in ("Renew", "Enroll"):
            self.one.settle()
            before = self.one.generation()
            self.allowed(method)
            self.assertEqual(self.one.generation(), before + 1, method)
        request = bytes.fromhex(self.allowed("CreateRequest"))
        self.allowed("InstallCertificate", [pem_to_der(sign_request(request, "--chain"))])
        self.assertEqual(self.hand.state(), "ready")
        self.allowed("Retire")
        self.assertEqual(self.hand.state(), "retired")
        self.configure("hand", None)
        shutil.rmtree(SANDBOX + "/state/hand")
        self.configure("hand", MANUAL)

    def test_whether_somebody_may_be_asked(self):
        """Who does not want to be asked for a password is not."""
        for method in GUARDED:
            for interactive in (False, True):
                self.is_refused(method, self.caller.call(method, interactive=interactive))
                self.was_asked(method, self.caller, int(interactive))

    def test_what_is_wrong_anyway(self):
        """Nobody is asked for a password for what cannot be."""
        answers("* yes")
        for method in ("Enroll", "Renew", "CreateRequest"):
            self.assertEqual(self.caller.call(method, [{"weather": True}])[0], ERROR + "InvalidArgument")
        self.assertEqual(self.caller.call("ProbeServer", ["nobody"])[0], ERROR + "NoSuchIdentity")
        self.assertEqual(self.asked(), [])

    def test_words_of_polkit(self):
        """They reach people, and neither their terminal nor the log as something else."""
        begins = len(log("identityd"))
        answers("* error org.freedesktop.PolicyKit1.Error.Failed no\\x1b[31m way\\nidentityd: one: ready \\u2192 revoked")
        text = self.is_refused("Retire", self.caller.call("Retire"))
        self.assertIn("no", text)
        said = log("identityd")[begins:]
        for where in (text, said):
            self.assertNotIn("\x1b", where)
        self.assertNotIn("\n", text)
        self.assertNotIn("\nidentityd: one: ready", said)

    def test_an_identity_that_goes_meanwhile(self):
        answers("* wait")
        self.configure("going", MANUAL)
        self.caller.send("ProbeServer", ["going"])
        wait_until(self.asked, "the question")
        self.configure("going", None)
        answers("* yes")
        self.assertEqual(self.caller.get()[0], ERROR + "NoSuchIdentity")


class Silence(Polkit):
    def test_never_an_answer(self):
        """Nobody else waits; and after the time that a password may take the answer is no."""
        self.addCleanup(time_passes, 0)
        answers("* silence")
        before, callers = self.world(), {method: Caller() for method in GUARDED}
        for method, caller in callers.items():
            self.addCleanup(caller.end)
            caller.send(method)
        seen, end = [], time.monotonic() + 30
        while len(seen) < len(callers) and time.monotonic() < end:
            seen += self.asked()
            time.sleep(0.02)
        self.assertEqual(sorted(question["action"] for question in seen), sorted(f"org.identityd1.{action}" for action, *_ in GUARDED.values()))
        began = time.monotonic()
        self.manager("Reload")
        self.data.sign("ecdsa_secp256r1_sha256", b"meanwhile")
        self.assertLess(time.monotonic() - began, 10)
        time_passes(PASSWORD_TIME + 1)
        self.manager("ListIdentities")
        began = time.monotonic()
        for method, caller in callers.items():
            self.is_refused(method, caller.get())
        self.assertLess(time.monotonic() - began, 10)
        after = self.world()
        self.assertEqual(after[:-1], before[:-1])
        self.assertEqual(after[-1], before[-1] + 1, "ours alone")

    def test_it_dies_while_it_thinks(self):
        for method in GUARDED:
            with self.subTest(method):
                answers("* silence")
                self.caller.send(method)
                wait_until(self.asked, "the question")
                service("kill", "polkit")
                self.is_refused(method, self.caller.get())
                self.start()

    def test_it_is_not_there(self):
        """Then root and a group administer, and others are told so."""
        answers("* yes")
        service("stop", "polkit")
        wait_until(lambda: not self.bus.name_has_owner("org.freedesktop.PolicyKit1"), "polkit to be gone")
        try:
            before = self.world()
            for method in GUARDED:
                text = self.is_refused(method, self.caller.call(method))
                self.assertIn("root", text)
                self.assertIn("identityd-admin", text)
                self.assertIn("add you to that group", text)
                self.assertNotIn("rules.d", text)
            self.assertEqual(self.world(), before)
        finally:
            self.start()
        self.assertEqual(self.caller.call("ProbeServer")[0], "")

    def start(self):
        service("start", "polkit")
        wait_until(lambda: self.bus.name_has_owner("org.freedesktop.PolicyKit1"), "polkit")


class NotAsked(Polkit):
    def run_all(self, call):
        """Each method, with its effect, for somebody whom nobody need ask."""
        self.one.settle()
        generation = self.one.generation()
        for method in ("Reload", "ProbeServer", "Renew", "Enroll"):
            self.assertEqual(call(method)[0], "", method)
        self.assertEqual(self.one.generation(), generation + 2)
        error, request = call("CreateRequest")
        self.assertEqual(error, "", request)
        self.assertEqual(call("InstallCertificate", [pem_to_der(sign_request(bytes.fromhex(request), "--chain"))])[0], "")
        self.assertEqual(call("Retire")[0], "")
        self.assertEqual(self.hand.state(), "retired")
        self.assertEqual(self.asked(), [])
        self.configure("hand", None)
        shutil.rmtree(SANDBOX + "/state/hand")
        self.configure("hand", MANUAL)

    def test_root(self):
        answers("* no")
        root = Caller(0)
        self.addCleanup(root.end)
        self.run_all(root.call)

    def test_own_user(self):
        """As it is installed: identityd is not root. Its own user and root ask nobody, another one does."""
        service("stop", "identityd")
        script = read(SCRIPT)
        self.addCleanup(self.as_root, script)
        # The sources, and what is built of them, may be where another user does not get.
        program = SANDBOX + "/identityd"
        shutil.copy(os.environ["BUILD"] + "/daemon/identityd", program)
        words = f"setpriv --reuid={ANOTHER} --regid={ANOTHER} --clear-groups {program}"
        self.assertIn("/daemon/identityd", script)
        with open(SCRIPT, "w", encoding="utf-8") as file:
            file.write(script.replace(os.environ["BUILD"] + "/daemon/identityd", words))
        self.give_to(ANOTHER)
        service("start", "identityd")
        type(self).connect()
        self.demo.wait("ready")
        answers("* no")
        own, root = Caller(ANOTHER), Caller(0)
        self.addCleanup(own.end)
        self.addCleanup(root.end)
        self.run_all(own.call)
        self.run_all(root.call)
        self.is_refused("Retire", self.caller.call("Retire"))
        self.was_asked("Retire", self.caller)

    def as_root(self, script):
        service("stop", "identityd")
        with open(SCRIPT, "w", encoding="utf-8") as file:
            file.write(script)
        self.give_to(0)
        service("start", "identityd")
        type(self).connect()
        self.demo.wait("ready")

    def give_to(self, uid):
        for top in ("state", "run", "credentials", "log"):
            for directory, directories, names in os.walk(f"{SANDBOX}/{top}"):
                for name in (".", *directories, *names):
                    os.lchown(os.path.join(directory, name), uid, uid)
        for name in ("tpm.sock", "tpm.sock.ctrl"):
            os.chown(f"{SANDBOX}/{name}", uid, uid)


if __name__ == "__main__":
    unittest.main()
