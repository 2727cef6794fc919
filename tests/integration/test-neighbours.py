#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hostile neighbours on the bus: what users without any right can make identityd keep, and what is left of it for the others.
Runs inside tests/sandbox --polkit, as root, with either bus; what depends on which one it is looks at what the bus lets through."""

import os
import pwd
import struct
import unittest

from raw_bus import ERROR, RETURN, RawBus, blobs, field, texts
from sandboxed import ERROR as NAMES, SANDBOX, Case, log, read, service, wait_until

NOBODY, ANOTHER = (pwd.getpwnam(name).pw_uid for name in ("nobody", "daemon"))
MANAGER = ("org.identityd1", "/org/identityd1", "org.identityd1.Manager")
DEMO = ("org.identityd1", "/org/identityd1/identity/demo", "org.identityd1.Identity")
SUBORDINATE = 1 << 30  # whom neither the system nor /etc/subuid knows
MEBIBYTE = 1 << 20
OBJECTS = ("org.identityd1", "/org/identityd1", "org.freedesktop.DBus.ObjectManager")
CALLS_AT_ONCE = 60     # below what a bus lets a connection wait for
CALLS_MAX = 64         # waiting at once, of one user (daemon/bus/internal.h)
UNKNOWN_FIELD = 77


def daemon():
    return int(read(f"{SANDBOX}/pids/identityd").split()[0])


def memory():
    """What identityd has in RAM of its own, in bytes. Without sanitizers' reserves this is what an attack costs."""
    for line in read(f"/proc/{daemon()}/smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no Pss")


def descriptors():
    return len(os.listdir(f"/proc/{daemon()}/fd"))


def asked():
    path = SANDBOX + "/polkit/asked"
    return len(read(path).splitlines()) if os.path.exists(path) else 0


def polkit(mood):
    with open(SANDBOX + "/polkit/answers~", "w", encoding="utf-8") as file:
        file.write(f"* {mood}\n")
    os.rename(SANDBOX + "/polkit/answers~", SANDBOX + "/polkit/answers")


@unittest.skipUnless(os.getuid() == 0, "only root can be another user")
class Neighbours(Case):
    def setUp(self):
        polkit("silence")
        self.addCleanup(self.release)
        self.buses = []
        self.demo.open("digest").close()  # from now on one descriptor is kept for this process

    def release(self):
        """Whatever waits is refused, for polkit is gone."""
        for bus in self.buses:
            bus.close()
        service("restart", "polkit")
        wait_until(lambda: self.bus.name_has_owner("org.freedesktop.PolicyKit1"), "polkit")

    def raw(self, uid=None, **options):
        self.buses.append(RawBus(uid, **options))
        return self.buses[-1]

    def still_serves(self):
        with self.demo.open("digest") as opened:
            opened.get_state()

    def expect_error(self, answer, name):
        kind, error, body = answer
        self.assertEqual((kind, error), (ERROR, name), body)
        return body[4:-1].decode()


class Keeps(Neighbours):
    """Memory and descriptors, before anybody is known to be permitted."""

    def waiting_calls(self, body, count, more=()):
        """So many InstallCertificate calls with that body, one after the other: their answers, None where polkit is asked, and
        what all of them cost."""
        self.raw(NOBODY).ask(MANAGER, "ListIdentities")
        before, open_before, bus, answers = memory(), descriptors(), self.raw(NOBODY), []
        bus.ask(MANAGER, "ListIdentities")
        for _ in range(count):
            call = bus.send(DEMO, "InstallCertificate", "aay", body, more=more)
            end, answer, serial = bus.send(MANAGER, "GetIdentity", "s", texts("demo")), None, None
            while serial != end:
                kind, serial, name, text = bus.receive()
                if serial == call:
                    answer = (kind, name, text)
            answers.append(answer)
        self.still_serves()
        return answers, memory() - before, descriptors() - open_before

    def test_bodies(self):
        """Longer than a chain may be: refused before anybody is asked, and nothing of it stays."""
        answers, grown, opened = self.waiting_calls(blobs(*[bytes(MEBIBYTE)] * 4), 8)
        print(f"8 bodies of 4 MiB: {grown >> 10} KiB, {opened} descriptors")
        for answer in answers:
            self.expect_error(answer, NAMES + "InvalidArgument")
        self.assertLess(grown, 16 * MEBIBYTE)

    def test_bodies_that_could_be(self):
        """As long as a chain may be, and nobody of these may install any."""
        answers, grown, opened = self.waiting_calls(blobs(*[bytes(32 * 1024)] * 10), CALLS_MAX)
        print(f"{CALLS_MAX} bodies of 320 KiB: {grown >> 10} KiB, {opened} descriptors")
        self.assertEqual(answers, [None] * CALLS_MAX)
        self.assertLess(grown, 16 * MEBIBYTE)
        self.assertLessEqual(opened, 2)  # one is kept for each process, and who connects is this one

    def test_headers(self):
        """A field of the header that nobody knows: dbus-daemon takes it out, dbus-broker passes it on."""
        more = [field(UNKNOWN_FIELD, "ay", struct.pack("<I", 3 * MEBIBYTE) + bytes(3 * MEBIBYTE))]
        answers, grown, opened = self.waiting_calls(blobs(b"x"), 16, more)
        print(f"16 headers of 3 MiB: {grown >> 10} KiB, {opened} descriptors")
        self.assertEqual(answers, [None] * 16)
        self.assertLess(grown, 24 * MEBIBYTE)

    def test_one_user_with_many_numbers(self):
        """dbus-broker lets in users whom nobody knows, of whom one user can be 65536: they are counted as one."""
        try:
            self.raw(SUBORDINATE)
        except ConnectionError:
            self.skipTest("this bus lets in nobody whom the system does not know")
        questions, before = asked(), descriptors()
        refused = waiting = 0
        for i in range(100):
            bus = self.raw(SUBORDINATE + i)
            for _ in range(4):
                bus.send(DEMO, "Retire")
            end = bus.send(MANAGER, "ListIdentities")
            while True:
                kind, serial, name, text = bus.receive()
                if serial == end:
                    break
                if serial:
                    self.expect_error((kind, name, text), NAMES + "LimitsExceeded")
                    refused += 1
        wait_until(lambda: asked() - questions >= CALLS_MAX, "polkit's questions")
        self.still_serves()
        waiting, opened = asked() - questions, descriptors() - before
        print(f"100 unknown users with 4 calls each: {waiting} wait, {opened} descriptors")
        self.assertEqual((waiting, refused), (CALLS_MAX, 400 - CALLS_MAX))
        self.assertLessEqual(opened, CALLS_MAX)  # what is kept of connections, of one user, a descriptor each
        another = self.raw(ANOTHER)
        another.send(DEMO, "Retire")
        wait_until(lambda: asked() - questions > CALLS_MAX, "another's question")


class Turns(Neighbours):
    def flood(self, wanted):
        """Calls that are dear, of one user on many connections, all before any answer is read, until so many were refused. Beside
        them another user and root are answered each time."""
        other, served, refused = self.raw(ANOTHER), 0, 0
        floods = [self.raw(NOBODY) for _ in range(8)]
        for bus in floods:
            bus.ask(MANAGER, "ListIdentities")  # from now on it is known who that is
        for _ in range(200):
            if refused >= wanted:
                break
            for bus in floods:
                for _ in range(CALLS_AT_ONCE):
                    bus.send(OBJECTS, "GetManagedObjects")
            kind, name, body = other.ask(MANAGER, "ListIdentities")
            self.assertEqual((kind, name), (RETURN, ""), body)
            self.still_serves()
            for bus in floods:
                left = CALLS_AT_ONCE
                while left:
                    kind, serial, name, body = bus.receive()
                    left -= bool(serial)
                    if name:
                        self.assertIn("share", self.expect_error((kind, name, body), NAMES + "LimitsExceeded"))
                        refused += 1
                    elif serial:
                        served += 1
        print(f"of a flood {served} calls were served before {refused} were refused")
        self.assertGreaterEqual(refused, wanted)
        return refused

    def test_flood(self):
        """Whoever calls without end is refused in the end; others never are. It is told, and not for each call."""
        begins = len(log("identityd"))
        refused = self.flood(100)
        lines = log("identityd")[begins:].count(f"Calls of uid {NOBODY} take more than their share of time")
        self.assertGreater(lines, 0)
        self.assertLess(lines, refused)


if __name__ == "__main__":
    unittest.main(verbosity=2)
