#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where two things meet: a handle and the end of its certificate, an enrolment and what happens to its identity, or to the one that it
authenticates with, in the middle of it. An enroller of the test's own holds the enrolment at the point. Runs inside
tests/sandbox --clocks."""

import os
import threading
import time
import unittest

import dbus
import dbus.bus

import enroller
from enroller import SIGN_TRANSCRIPT, Enroller, issue
from handle import SCHEMES, Refused
from lifecycle import SCHEME, USUAL, Lifecycle, checking, configuration, revoke
from sandboxed import ERROR, NAME, SANDBOX, control, field, read, requests, run, service, time_passes, wait_until

P256 = SCHEMES[SCHEME]
KEEP_KEY = "[Renewal]\nRotateKey=no\n"


class Call(threading.Thread):
    """One call on a connection of its own, whose answer is looked at later."""

    def __init__(self, identity, method, **options):
        super().__init__(daemon=True)
        self.path, self.method, self.answer = identity.path(), method, None
        self.options = dbus.Dictionary({k.replace("_", "-"): dbus.Boolean(v) for k, v in options.items()}, signature="sv")
        self.start()

    def run(self):
        bus = dbus.bus.BusConnection(os.environ["DBUS_SYSTEM_BUS_ADDRESS"])
        try:
            bus.call_blocking(NAME, self.path, NAME + ".Identity", self.method, "a{sv}", (self.options,), timeout=60)
            self.answer = ("done", "")
        except dbus.DBusException as error:
            self.answer = (error.get_dbus_name().removeprefix(ERROR), error.get_dbus_message())
        bus.close()

    def get(self, seconds=30):
        """("done", "") or the error and its text."""
        self.join(seconds)
        if self.answer is None:
            raise AssertionError(f"{self.method}: no answer within {seconds} s")
        return self.answer


class Held:
    """A behaviour of the enroller: does what it does up to a point, and goes on when it is let."""

    def __init__(self, before=lambda connection: connection.request(), after=lambda connection, request: connection.result(issue(request))):
        self.before, self.after, self.reached, self.released = before, after, threading.Event(), threading.Event()
        self.job, self.request, self.was_closed = None, None, False

    def __call__(self, connection):
        self.job = connection.job
        self.request = self.before(connection)
        self.reached.set()
        self.released.wait(60)
        try:
            self.after(connection, self.request)
            connection.closed(20)
        except enroller.Gone:
            self.was_closed = True

    def wait(self):
        if not self.reached.wait(30):
            raise AssertionError("no job came to that point")


class Seams(Lifecycle):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.enroller = Enroller()
        cls.enroller.__enter__()
        cls.addClassCleanup(cls.enroller.__exit__)

    def setUp(self):
        super().setUp()
        self.enroller.behaviour = enroller.honest

    def hold(self, *arguments, **options):
        """Holds the next jobs until the end of the test at most."""
        self.enroller.behaviour = held = Held(*arguments, **options)
        self.addCleanup(self.let, held)
        return held

    def let(self, held):
        held.released.set()
        self.enroller.behaviour = enroller.honest

    def go_on(self, held):
        """Lets it go on, and waits until it has ended."""
        self.let(held)
        self.enroller.settle()

    def signs(self, identity):
        with identity.open("digest") as opened:
            self.verify(identity.certificate(), SCHEME, b"x", opened.sign_message(SCHEME, b"x"))


class Retirement(Seams):
    def stays_retired(self, one, restarts=True):
        """Without a key, and over a restart too."""
        for after_restart in (False, True)[:1 + restarts]:
            if after_restart:
                self.restart("stop")
                self.demo.wait("ready")
            one.wait("retired")
            self.stays(one, "retired", 0.6)
            self.assertEqual((one.generation(), one.get("Activity"), bytes(one.get("PublicKey"))), (0, "idle", b""))
            self.assertEqual(self.published(one.name), [])
            for directory in ("generations", "pending"):
                path = f"{SANDBOX}/state/{one.name}/{directory}"
                wait_until(lambda: not os.path.isdir(path) or not os.listdir(path), f"{directory} to be empty")  # pylint: disable=cell-var-from-loop
            self.refused("Retired", one.open, "digest")

    def test_while_the_enroller_works(self):
        """What it brings afterwards leads nowhere."""
        for name, text, method, options in (("enrolling", configuration(), "Enroll", {"new_key": True}),
                                            ("renewing", configuration(KEEP_KEY), "Renew", {}),
                                            ("rotating", configuration(), "Renew", {"rotate_key": True})):
            with self.subTest(name):
                one = self.made(name, text)
                held = self.hold()
                call = Call(one, method, **options)
                held.wait()
                one.call("Retire")
                error, said = call.get()
                self.assertNotEqual(error, "done")
                self.assertIn("retired", said)
                self.go_on(held)
                self.stays_retired(one, restarts=name == "rotating")
                one.enroll()
                self.signs(one)

    def test_while_it_comes_by_itself(self):
        """Nobody has asked for it: the first one of an identity."""
        held = self.hold()
        one = self.made("one", configuration(), state=None)
        held.wait()
        one.call("Retire")
        self.go_on(held)
        self.stays_retired(one)

    def test_while_the_ca_takes_its_time(self):
        control("fault", "simpleenroll", "slow", "seconds=2")
        one = self.made("one", configuration(), state=None)
        wait_until(lambda: one.get("Activity") == "enrolling", "the enrolment")
        time.sleep(0.5)
        one.call("Retire")
        time.sleep(2)
        self.enroller.settle()
        self.stays_retired(one, restarts=False)

    def test_while_the_key_is_made(self):
        """Retired in the moment in which it was asked for."""
        one = self.made("one", configuration())
        for _ in range(3):
            call = Call(one, "Enroll", new_key=True)
            wait_until(lambda: one.get("Activity") != "idle" or call.answer, "the attempt")  # pylint: disable=cell-var-from-loop
            one.call("Retire")
            call.get()
            self.enroller.settle()
            self.stays_retired(one, restarts=False)
            one.enroll()

    def test_told_to_come_back(self):
        """The request that the CA has taken is not asked for again."""
        one = self.made("one", configuration())
        control("fault", "simpleenroll", "pending", "retry-after=1")
        one.enroll(new_key=True)
        self.assertEqual(one.get("Activity"), "waiting")
        asked = len(requests("simpleenroll"))
        one.call("Retire")
        self.stays_retired(one)
        self.assertEqual(len(requests("simpleenroll")), asked)


class Authenticator(Seams):
    """An identity that authenticates the enrolment of another."""

    def setUp(self):
        super().setUp()
        self.factory = self.made("factory", checking(access="tls-client"))
        self.owner = self.made("owner", configuration(enrollment=f"{USUAL}\nAuthenticate=identity:factory"))

    def asked(self):
        return len(requests("simpleenroll")) + len(requests("simplereenroll"))

    def test_revoked_before(self):
        """The revoked key signs no handshake, and nothing is sent; a new one does."""
        revoke(self.factory)
        self.factory.wait("revoked", 30)
        asked, jobs = self.asked(), []
        self.enroller.behaviour = lambda connection: jobs.append(connection.job)
        error, text = Call(self.owner, "Enroll", new_key=True).get()
        self.assertEqual(jobs, [], "the enroller is not begun with")
        self.enroller.behaviour = enroller.honest
        self.assertNotEqual(error, "done")
        self.assertIn("factory", text)
        self.assertIn("revoked", text)
        self.assertEqual((self.asked(), self.owner.state(), self.owner.generation()), (asked, "ready", 1))
        self.factory.enroll(new_key=True)
        self.owner.enroll(new_key=True)
        self.assertEqual(self.owner.generation(), 2)
        self.signs(self.owner)

    def meanwhile(self, happens, *words):
        """The authenticator signs for an attempt; then that happens, and it does not any more."""
        answers = []

        def first(connection):
            answers.append(connection.ask(SIGN_TRANSCRIPT, bytes(32), P256))
            return connection.request()

        def second(connection, _):
            answers.append(connection.ask(SIGN_TRANSCRIPT, bytes(48), P256))
            connection.failure("its own words")
        held = self.hold(first, second)
        call = Call(self.owner, "Enroll", new_key=True)
        held.wait()
        happens()
        self.go_on(held)
        error, text = call.get()
        self.assertNotEqual(error, "done")
        for word in words:
            self.assertIn(word, text)
        self.assertEqual(answers[0][0], 0, answers)
        self.assertTrue(len(answers) == 1 or answers[1][0] != 0, "it signed")
        self.assertEqual((self.owner.state(), self.owner.generation()), ("ready", 1))
        self.signs(self.owner)

    def test_revoked_meanwhile(self):
        def happens():
            revoke(self.factory)
            self.factory.wait("revoked", 30)
        self.meanwhile(happens, "revoked")

    def test_retired_meanwhile(self):
        self.meanwhile(lambda: self.factory.call("Retire"), "factory")

    def test_removed_meanwhile(self):
        self.meanwhile(lambda: self.configure("factory", None), "removed")

    def test_renewed_meanwhile(self):
        """A handshake that was begun with the old certificate ends with its key."""
        signatures = []

        def first(connection):
            return connection.job["client-chain"] and connection.request()

        def second(connection, request):
            signatures.append(connection.ask(SIGN_TRANSCRIPT, bytes(32), P256))
            connection.result(issue(request))
        certificate = self.factory.certificate()
        held = self.hold(first, second)
        call = Call(self.owner, "Enroll", new_key=True)
        held.wait()
        self.enroller.behaviour = enroller.honest
        self.factory.renew(rotate_key=True)
        self.go_on(held)
        self.assertEqual(call.get()[0], "done")
        self.assertEqual(signatures[0][0], 0)
        self.verify(certificate, SCHEME, b" " * 64 + b"TLS 1.3, client CertificateVerify\0" + bytes(32), signatures[0][1])


class Revocation(Seams):
    def revoked_while(self, text, method, **options):
        """Revoked while something is under way; the call, the enrolment that was held, and the identity."""
        one = self.made("one", text)
        held = self.hold()
        call = Call(one, method, **options)
        held.wait()
        revoke(one)
        one.wait("revoked", 30)
        return one, held, call

    def test_renewal(self):
        """By the old key or by a new one, it was asked for as who is revoked by now."""
        for rotate in (False, True):
            with self.subTest(rotate_key=rotate):
                one, held, call = self.revoked_while(checking(), "Renew", rotate_key=rotate)
                error, said = call.get()
                self.assertEqual(error, "Revoked")
                self.assertIn("revoked", said)
                self.go_on(held)
                self.stays(one, "revoked", 1.2)
                self.assertEqual((one.generation(), one.get("Activity")), (1, "idle"))
                self.refused("Revoked", one.open, "digest")
                self.restart("stop")
                one.wait("revoked")
                one.enroll()
                self.signs(one)
                self.forget("one")

    def test_enrolment_with_the_old_key(self):
        one, held, call = self.revoked_while(checking(more=KEEP_KEY), "Enroll")
        self.assertEqual(call.get()[0], "Revoked")
        self.go_on(held)
        self.stays(one, "revoked", 1.2)
        self.assertEqual(one.generation(), 1)

    def test_enrolment_with_a_new_key(self):
        """That is what leads out."""
        one, held, call = self.revoked_while(checking(), "Enroll", new_key=True)
        self.go_on(held)
        self.assertEqual(call.get()[0], "done")
        self.assertEqual((one.state(), one.generation()), ("ready", 2))
        self.signs(one)
        self.stays(one, "ready", 1.2)


class Reload(Seams):
    def reloaded_while(self, change):
        """The call, and what was held, over a reload."""
        one = self.made("one", configuration(subject="CN=before"))
        held = self.hold()
        call = Call(one, "Enroll", new_key=True)
        held.wait()
        change()
        return one, held, call

    def test_nothing_has_changed(self):
        """An attempt that is under way goes on."""
        one, held, call = self.reloaded_while(lambda: self.configure("one", configuration(subject="CN=before") + "# the same\n"))
        self.assertEqual(one.get("Activity"), "renewing")
        self.go_on(held)
        self.assertEqual(call.get(), ("done", ""))
        self.assertEqual((one.state(), one.generation()), ("ready", 2))
        self.signs(one)

    def test_another_subject(self):
        """Whatever becomes of the attempt, who asked is answered, and the next one has the new name."""
        one, held, call = self.reloaded_while(lambda: self.configure("one", configuration(subject="CN=after")))
        self.go_on(held)
        call.get()
        self.assertEqual(one.state(), "ready")
        self.signs(one)
        one.enroll(new_key=True)
        self.assertEqual((one.get("Subject"), field(one.certificate(), "-subject")), ("CN=after", "subject=CN = after"))

    def test_a_file_that_is_wrong(self):
        """Out of use, and what comes meanwhile does not bring it back."""
        one, held, call = self.reloaded_while(lambda: self.configure("one", configuration() + "[Weather]\n"))
        self.assertNotEqual(call.get()[0], "done")
        self.go_on(held)
        self.stays(one, "misconfigured", 0.5)
        self.assertEqual(os.listdir(SANDBOX + "/state/one/generations"), ["1"])
        self.configure("one", configuration(subject="CN=before"))
        one.wait("ready")
        self.signs(one)

    def test_removed(self):
        _, held, call = self.reloaded_while(lambda: self.configure("one", None))
        self.assertNotEqual(call.get()[0], "done")
        self.go_on(held)
        self.assertEqual(os.listdir(SANDBOX + "/state/one/generations"), ["1"])
        self.configure("one", configuration(subject="CN=before"))
        one = self.identity("one")
        one.wait("ready")
        self.signs(one)


class Together(Seams):
    def setUp(self):
        super().setUp()
        self.one = self.made("one", configuration(KEEP_KEY))
        self.one.settle()

    def beside(self, method, **options):
        """Something that is held under way."""
        held = self.hold()
        call = Call(self.one, method, **options)
        held.wait()
        return held, call

    def test_the_same_twice(self):
        """Both are answered by one attempt."""
        for method, options in (("Renew", {}), ("Enroll", {"new_key": True})):
            with self.subTest(method):
                self.one.settle()
                generation = self.one.generation()
                held, first = self.beside(method, **options)
                self.enroller.behaviour = lambda connection: self.fail("a second job")
                second = Call(self.one, method, **options)
                time.sleep(0.3)
                self.assertIsNone(second.answer)
                held.released.set()
                self.assertEqual((first.get(), second.get()), (("done", ""), ("done", "")))
                self.assertEqual(self.one.generation(), generation + 1)
                self.let(held)

    def test_two_renewals_in_the_same_instant(self):
        asked = len(requests("simplereenroll"))
        calls = [Call(self.one, "Renew") for _ in range(2)]
        answers = [call.get() for call in calls]
        attempts = len([line for line in requests("simplereenroll")[asked:] if line.split()[2] == "200"])
        self.assertIn(("done", ""), answers)
        self.assertEqual(self.one.generation(), 1 + attempts)
        self.signs(self.one)

    def test_something_else_is_busy(self):
        """And what runs is not disturbed."""
        for running, others in ((("Enroll", {"new_key": True}), (("Renew", {}), ("Renew", {"rotate_key": True}))),
                                (("Renew", {}), (("Enroll", {}), ("Enroll", {"new_key": True}), ("Renew", {"rotate_key": True})))):
            self.one.settle()
            generation = self.one.generation()
            held, call = self.beside(running[0], **running[1])
            for method, options in others:
                with self.subTest(running, beside=method, options=options):
                    error, text = Call(self.one, method, **options).get()
                    self.assertEqual(error, "Busy")
                    self.assertIn("one", text)
            self.go_on(held)
            self.assertEqual(call.get(), ("done", ""))
            self.assertEqual(self.one.generation(), generation + 1)
            self.signs(self.one)


class Restart(Seams):
    def spki(self, request):
        return run("openssl", "req", "-inform", "DER", "-noout", "-pubkey", data=request).stdout

    def cut(self, before, how):
        """The daemon ends at that point of the first enrolment, and the next attempt is one that asks again; both jobs."""
        held = self.hold(before, lambda connection, _: None)
        one = self.made("one", configuration(), state=None)
        held.wait()
        key = read(SANDBOX + "/state/one/pending/key.pem")
        service(how, "identityd")
        self.go_on(held)
        again = self.hold(lambda connection: connection.job.get("request", [None])[0] or connection.request())
        service("start", "identityd")
        self.reconnect()
        again.wait()
        self.assertEqual(read(SANDBOX + "/state/one/pending/key.pem"), key, "a key that was made is the one that is used")
        self.go_on(again)
        one = self.identity("one")
        one.wait("ready")
        self.signs(one)
        self.assertEqual(self.spki(again.request), field(one.certificate(), "-pubkey").encode() + b"\n")
        wait_until(lambda: not os.path.exists(SANDBOX + "/state/one/pending/key.pem"), "pending to be empty")
        self.forget("one")
        return held, again

    def test_before_the_request(self):
        for how in ("kill", "stop"):
            with self.subTest(how):
                held, again = self.cut(lambda connection: None, how)
                self.assertNotIn("request", held.job)
                self.assertNotIn("request", again.job)

    def test_after_the_request(self):
        """The same one is shown to the CA again: it may have taken it."""
        for how in ("kill", "stop"):
            with self.subTest(how):
                held, again = self.cut(lambda connection: connection.request(), how)
                self.assertEqual(again.job["request"], [held.request])


class Zz(Seams):
    """The last, since the clock is elsewhere afterwards."""

    def passes(self, seconds):
        """In a moment in which nothing is under way: a TPM command would have taken all that time."""
        wait_until(lambda: all(str(entry[3]) in ("idle", "waiting") for entry in self.manager("ListIdentities")), "rest")
        time_passes(seconds)
        self.manager("ListIdentities")

    def test_handles_of_what_expires(self):
        """At its end a certificate signs nothing more, on whatever was opened before; the handle lives, and says so."""
        late = "[Renewal]\nAt=95%\nJitter=0%\n"
        one = self.made("one", configuration(late, access="digest tls-client tls-server"))
        two = self.made("two", configuration(late, access="data-raw"))
        handles = [(identity, purpose, identity.open(purpose)) for identity, purpose in
                   ((one, "digest"), (one, "tls-client"), (one, "tls-server"), (two, "data-raw"))]
        for _, _, opened in handles:
            self.addCleanup(opened.close)
        end = max(int(identity.get("NotAfter")) for identity in (one, two)) / 1e6
        self.passes(end - time.time() - 250)
        for identity, purpose, opened in handles:
            self.asks(opened, purpose, 0)
            self.assertEqual(identity.state(), "ready")
        for operation in ("simpleenroll", "simplereenroll"):
            control("fault", operation, "status", "code=503", "count=0")
        self.passes(end - time.time() + 2)
        for identity, purpose, opened in handles:
            with self.subTest(purpose):
                identity.wait("expired")
                self.tells(opened, "expired")
                for generation in (0, 1):
                    with self.assertRaises(Refused) as caught:
                        self.asks(opened, purpose, generation)
                    self.assertEqual(caught.exception.status, "expired", caught.exception.text)
                    self.assertIn(identity.name, caught.exception.text)
                self.refused("Expired", identity.open, purpose)
        self.refused("Expired", two.sign, SCHEME, b"x")
        # What comes of a new enrolment signs on the same handle.
        control("clear")
        control("lifetime", str(2 * 86400))
        self.addCleanup(control, "lifetime", "3600")
        for identity in (one, two):
            wait_until(lambda: self.enrolled(identity), "the enrolment")  # pylint: disable=cell-var-from-loop
        for _, purpose, opened in handles:
            self.tells(opened, "ready")
            self.asks(opened, purpose, 0)

    def tells(self, opened, state):
        wait_until(lambda: opened.get_state()["state"] == state, f"a handle to say {state}")

    def enrolled(self, identity):
        return identity.state() == "ready" or Call(identity, "Enroll", new_key=True).get()[0] == "done"

    def asks(self, opened, purpose, generation):
        if purpose == "digest":
            opened.sign_digest(SCHEME, bytes(32), generation)
        elif purpose == "data-raw":
            opened.sign_message(SCHEME, b"data-raw", generation)
        else:
            opened.sign_transcript(SCHEME, bytes(32), generation)


if __name__ == "__main__":
    unittest.main()
