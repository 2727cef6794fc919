#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tries to break the daemon from the bus, the configuration and the disk: arguments, races of operations with each other, with
reload and with the end of the daemon. Runs inside tests/sandbox, whose sanitizers have the last word."""

import os
import re
import shutil
import signal
import threading
import time
import unittest

import dbus
import dbus.bus

from sandboxed import CA, ERROR, EST, NAME, SANDBOX, Case, log, read, service, wait_until

SCHEME = "ecdsa_secp256r1_sha256"
MANUAL = f"[Identity]\nSubject=CN=hostile\n[Enrollment]\nProtocol=manual\nAnchors={CA}/root.pem\n"
DEMO = read(SANDBOX + "/etc/identities/demo.conf")


def pid_of(name):
    return int(read(f"{SANDBOX}/pids/{name}").split()[0])


class Caller(threading.Thread):
    """One call on a connection of its own, whose answer, or the name of its error, is looked at later."""

    def __init__(self, path, interface, method, *arguments, signature=None):
        super().__init__(daemon=True)
        self.words, self.answer = (path, interface, method, arguments, signature), None
        self.start()

    def run(self):
        path, interface, method, arguments, signature = self.words
        bus = dbus.bus.BusConnection(os.environ["DBUS_SYSTEM_BUS_ADDRESS"])
        try:
            bus.call_blocking(NAME, path, NAME + interface, method, signature or "", arguments, timeout=25)
            self.answer = "done"
        except dbus.DBusException as error:
            self.answer = error.get_dbus_name().removeprefix(ERROR)
        bus.close()

    def get(self):
        self.join(25)
        return self.answer


class Hostile(Case):
    def setUp(self):
        self.pid = pid_of("identityd")

    def tearDown(self):
        self.assertEqual(pid_of("identityd"), self.pid, "the daemon is the same process as before")
        os.kill(self.pid, 0)
        self.manager("ListIdentities")

    def renewed_pid(self):
        service("start", "identityd")
        type(self).connect()
        self.demo.wait("ready")
        self.pid = pid_of("identityd")

    def call(self, identity, method, *arguments, signature="a{sv}"):
        arguments = arguments or ([dbus.Dictionary({}, signature="sv")] if signature else [])
        return Caller(f"/org/identityd1/identity/{identity}", ".Identity", method, *arguments, signature=signature)


class Flood(Hostile):
    def test_refusals_do_not_flood_the_log(self):
        """Whoever asks again and again for what he is refused has a few lines, and one that counts the others."""
        asked, begins = 300, len(log("identityd"))
        for _ in range(asked):
            self.refused("AccessDenied", self.demo.sign, SCHEME, b"x")
        lines = log("identityd")[begins:].count("demo: Denied for data-raw to uid")
        self.assertGreater(lines, 0)
        self.demo.open("digest").close()
        self.assertIn("demo: Granted for digest", log("identityd")[begins:], "what is granted is not held back with it")
        service("stop", "identityd")
        text = log("identityd")[begins:]
        summaries = re.findall(rf"^identityd: (\d+) more refusals for uid {os.getuid()} in the last (\d+) s\.$", text, re.M)
        # On a slow machine there may be more than one window, which is half a minute.
        windows = len(summaries)
        self.assertGreater(windows, 0, text[-2000:])
        self.assertLessEqual(text.count("demo: Denied for data-raw to uid"), 32 * (windows + 1))
        self.assertEqual(text.count("demo: Denied for data-raw to uid") + sum(int(count) for count, _ in summaries), asked)
        self.renewed_pid()


class Granted(Hostile):
    def test_only_what_is_given(self):
        """Whom [Access] admits, and who is refused for another reason, was granted nothing."""
        self.configure("later", f"[Identity]\nSubject=CN=later\n[Enrollment]\nProtocol=manual\nAnchors={CA}/root.pem\n"
                                f"[Access]\ndata-raw=user:{os.getuid()}\n")
        later, begins = self.identity("later"), len(log("identityd"))
        later.wait("empty")
        self.refused("NotReady", later.sign, SCHEME, b"x")
        self.refused("NotReady", later.open, "data-raw")
        self.refused("InvalidArgument", self.data.sign, "rot13", b"x")
        self.assertNotIn("Granted", log("identityd")[begins:])
        self.data.sign(SCHEME, b"x")
        self.data.open("data-raw").close()
        self.assertEqual(log("identityd")[begins:].count("demo-data: Granted for data-raw to uid"), 2)


class Arguments(Hostile):
    def test_names_do_not_reach_the_log(self):
        """Nobody writes lines of their own into the log by asking for an identity that is not there."""
        evil = "x\nidentityd: demo: ready → revoked\x1b[31m"
        begins = len(log("identityd"))
        self.refused("NoSuchIdentity", self.manager, "ProbeServer", evil)
        self.refused("NoSuchIdentity", self.manager, "GetIdentity", evil)
        self.refused("NoSuchIdentity", self.manager, "OpenCredential", evil, "digest", {}, signature="ssa{sv}")
        self.assertNotIn("revoked", log("identityd")[begins:])

    def test_texts_that_are_cut(self):
        """Where a name is cut within a character, the answer is still a message that the bus takes."""
        for n in range(4):
            name = "a" * n + "é€" * 80
            self.refused("NoSuchIdentity", self.manager, "GetIdentity", name)
            options = dbus.Dictionary({name: True}, signature="sv")
            self.refused("InvalidArgument", self.demo.call, "Enroll", options, signature="a{sv}")
            self.refused("InvalidArgument", self.demo.call, "OpenCredential", name, {}, signature="sa{sv}")

    def test_options(self):
        for options in ({"new-key": dbus.String("yes")}, {"new-key": dbus.UInt32(1)}, {"rotate-key": True},
                        {"new-key": dbus.Array([], signature="b")}):
            self.refused("InvalidArgument", self.demo.call, "Enroll", dbus.Dictionary(options, signature="sv"), signature="a{sv}")
        self.refused("InvalidArgument", self.demo.call, "Sign", "raw", SCHEME, dbus.ByteArray(bytes(1 << 20)), signature="ssay")

    def test_chains(self):
        self.configure("hostile", MANUAL)
        self.addCleanup(self.configure, "hostile", None)
        hostile = self.identity("hostile")
        self.refused("InvalidArgument", hostile.install, [])
        for count in (10, 11, 12, 500):
            with self.assertRaises(dbus.DBusException):
                hostile.install([b"x"] * count)
        for der in (b"", b"\x30", b"\x30\x84\xff\xff\xff\xff", bytes(100000)):
            with self.assertRaises(dbus.DBusException):
                hostile.install([der])
        self.refused("CertificateRejected", hostile.install, [self.demo.certificate()])
        self.assertEqual(hostile.state(), "empty")


class Files(Hostile):
    def test_configuration_that_is_no_text(self):
        """A Latin-1 file: the complaint goes over the bus all the same."""
        path = SANDBOX + "/etc/identities/demo.conf"
        with open(path, "wb") as file:
            file.write(DEMO.encode() + b"[Key]\nAlgorithm\xe4=\xff\xfe\n")
        self.manager("Reload")
        self.assertEqual(self.demo.state(), "misconfigured")
        self.assertIn("demo.conf", self.demo.get("LastError"))
        self.configure("demo", DEMO)
        self.demo.wait("ready")
        self.assertEqual(self.demo.get("LastError"), "", "mended: nothing is wrong any more")

    def test_anchors_gone_and_then_the_state_too(self):
        """Out of use while its anchors cannot be read; what is on the disk then, and not what was in memory, is what it is."""
        self.configure("hostile", DEMO.replace("root.pem", "for-hostile.pem"))
        self.addCleanup(self.configure, "hostile", None)
        hostile = self.identity("hostile")
        self.assertEqual(hostile.state(), "misconfigured")
        shutil.copy(CA + "/root.pem", CA + "/for-hostile.pem")
        self.manager("Reload")
        hostile.wait("ready")
        os.rename(CA + "/for-hostile.pem", CA + "/away.pem")
        control = self.call("hostile", "Enroll")
        self.manager("Reload")
        self.assertIsNotNone(control.get(), "who waits is answered")
        self.assertEqual((hostile.state(), hostile.get("Activity")), ("misconfigured", "idle"))
        self.refused("NotReady", hostile.open, "tls-client")
        shutil.rmtree(SANDBOX + "/state/hostile")
        os.rename(CA + "/away.pem", CA + "/for-hostile.pem")
        self.manager("Reload")
        hostile.wait("ready")
        self.assertEqual(hostile.generation(), 1)

    def test_unfinished_work_that_cannot_be_read(self):
        """A person may have carried the request away, so it is kept for him; what identityd does by itself begins anew."""
        manual = DEMO.replace("Protocol=est", "Protocol=manual")
        self.configure("hostile", manual)
        self.addCleanup(self.configure, "hostile", None)
        hostile = self.identity("hostile")
        hostile.create_request()
        key = SANDBOX + "/state/hostile/pending/key.pem"
        with open(key, "w", encoding="utf-8") as file:
            file.write("rubbish\n")
        with self.assertRaises(dbus.DBusException) as caught:
            hostile.create_request()
        self.assertIn("pending", caught.exception.get_dbus_message())
        self.assertEqual(read(key), "rubbish\n", "nothing is overwritten")
        self.assertEqual(hostile.get("Activity"), "idle")
        self.configure("hostile", DEMO)
        hostile.wait("ready")

    def refused_any(self, function):
        with self.assertRaises(dbus.DBusException):
            function()


class Races(Hostile):
    def tearDown(self):
        if os.path.exists(SANDBOX + "/etc/identities/hostile.conf"):
            self.configure("hostile", None)
        super().tearDown()
        shutil.rmtree(SANDBOX + "/state/hostile", ignore_errors=True)

    def test_removed_and_added_while_it_enrols(self):
        for pause in (0, 0.01, 0.03, 0.08):
            self.configure("hostile", DEMO)
            calls = [self.call("hostile", m) for m in ("Enroll", "Enroll", "Renew")]
            time.sleep(pause)
            self.configure("hostile", None)
            self.configure("hostile", DEMO)
            self.assertNotIn(None, [c.get() for c in calls])
            self.configure("hostile", None)
        self.configure("hostile", DEMO)
        self.identity("hostile").wait("ready")

    def test_everything_at_once(self):
        self.configure("hostile", DEMO)
        hostile = self.identity("hostile")
        hostile.wait("ready")
        for _ in range(2):
            calls = [self.call("hostile", m) for m in ("Enroll", "Renew", "CreateRequest", "Enroll")]
            calls.append(self.call("hostile", "Retire", signature=""))
            calls += [self.call("hostile", m) for m in ("Enroll", "Renew")]
            calls.append(Caller("/org/identityd1", ".Manager", "Reload"))
            calls.append(Caller("/org/identityd1", ".Manager", "ProbeServer", "hostile", signature="s"))
            self.assertNotIn(None, [c.get() for c in calls])
            wait_until(lambda: hostile.get("Activity") in ("idle", "waiting"), "the end of it")
        hostile.enroll(new_key=True)
        hostile.wait("ready")

    def test_retired_while_a_request_is_made(self):
        """Who asked for a request whose key is gone is told so; the request that was answered is the one that counts."""
        self.configure("hostile", MANUAL)
        hostile = self.identity("hostile")
        for _ in range(3):
            first = self.call("hostile", "CreateRequest")
            time.sleep(0.005)
            hostile.call("Retire", signature="")
            self.assertIn(first.get(), ("done", "NotReady", "Retired", "Busy"))
            self.assertEqual(hostile.get("Activity"), "idle")
        self.assertEqual(hostile.create_request(), hostile.create_request())

    def test_stopped_while_all_is_under_way(self):
        """SIGTERM at any instant: it ends in order, everybody who waits is answered, and nothing leaks (LeakSanitizer)."""
        self.configure("hostile", MANUAL)
        for pause in (0, 0.02, 0.1):
            calls = [self.call("demo", m) for m in ("Enroll", "Renew")]
            calls += [self.call("hostile", "CreateRequest"), self.call("demo_2ddata", "Sign", "raw", SCHEME, dbus.ByteArray(b"x"), signature="ssay")]
            calls.append(Caller("/org/identityd1", ".Manager", "ProbeServer", "demo", signature="s"))
            time.sleep(pause)
            service("stop", "identityd")
            answers = [c.get() for c in calls]
            self.assertNotIn(None, answers)
            self.renewed_pid()
        wait_until(lambda: self.demo.get("Activity") in ("idle", "waiting"), "the end of it")

    def test_stopped_while_the_tpm_hangs(self):
        os.kill(pid_of("swtpm"), signal.SIGSTOP)
        try:
            asked = self.call("demo_2ddata", "Sign", "raw", SCHEME, dbus.ByteArray(b"x"), signature="ssay")
            time.sleep(0.5)
            began = time.monotonic()
            service("stop", "identityd")
            self.assertLess(time.monotonic() - began, 60, "it does not wait for the TPM")
            self.assertEqual(asked.get(), "NotReady")
        finally:
            os.kill(pid_of("swtpm"), signal.SIGCONT)
        self.renewed_pid()


if __name__ == "__main__":
    unittest.main(verbosity=2)
