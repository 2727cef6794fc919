#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who calls, where unit: rules decide: the system manager is asked once for each connection, however many calls come on it and
whenever; what is known ends with the process; and whoever opens many connections gets no more than his share of memory. A
program of ours answers in systemd's place. Runs inside tests/sandbox."""

import os
import subprocess
import unittest

import dbus
import dbus.bus
import dbus.lowlevel

from handle import Handle
from sandboxed import ERROR, NAME, SANDBOX, Case, idctl, log, read, wait_until

FAKE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fakes/system-manager.py")
CALLS_MAX = 64    # waiting at once, of one user (daemon/bus/internal.h)
KNOWN_MAX = 64    # connections of one user of which something is kept


class Systemd:
    def __init__(self):
        self.process = subprocess.Popen(["/usr/bin/python3", FAKE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def say(self, line):
        """The number of questions so far."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def end(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


def connect():
    return dbus.bus.BusConnection(os.environ["DBUS_SYSTEM_BUS_ADDRESS"])


def open_credential(bus, identity="units"):
    """A handle, whose first packet comes from this process; or the name of the error."""
    try:
        descriptor = bus.call_blocking(NAME, "/org/identityd1", NAME + ".Manager", "OpenCredential", "ssa{sv}",
                                       (identity, "tls-client", dbus.Dictionary({}, signature="sv")), timeout=60)
    except dbus.DBusException as error:
        return error.get_dbus_name().removeprefix(ERROR)
    return Handle(descriptor.take())


def send_open(bus):
    message = dbus.lowlevel.MethodCallMessage(NAME, "/org/identityd1", NAME + ".Manager", "OpenCredential")
    message.append("units", "tls-client", dbus.Dictionary({}, signature="sv"), signature="ssa{sv}")
    bus.send_message(message)


def decisions():
    """How many calls were granted so far."""
    return next(float(line.split()[1]) for line in idctl("metrics").stdout.decode().splitlines()
                if line.startswith("identityd_access_granted_total "))


def descriptors():
    return len(os.listdir(f"/proc/{read(SANDBOX + '/pids/identityd').split()[0]}/fd"))


class Callers(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.systemd = Systemd()
        text = read(SANDBOX + "/etc/identities/demo.conf")
        text = text[:text.index("[Access]")] + "[Access]\ntls-client=unit:app.service\n"
        cls().configure("units", text.replace("OU=demo", "OU=units"))
        cls.identity("units").wait("ready", 60)

    @classmethod
    def tearDownClass(cls):
        cls.systemd.end()

    def asked(self, mood, function):
        """How often systemd was asked during that, which answers so."""
        before = self.systemd.say(mood)
        self.result = function()
        return self.systemd.say("none") - before

    def assert_works(self, handle):
        self.assertIsInstance(handle, Handle)
        handle.get_state()
        handle.close()

    def test_once_for_a_connection(self):
        bus = connect()

        def many():
            for _ in range(20):
                self.assert_works(open_credential(bus))

        self.assertEqual(self.asked("unit app.service", many), 1)
        # What systemd would say now does not matter to a connection that is known …
        self.assertEqual(self.asked("unit other.service", many), 0)
        # … and does to a new one.
        self.assertEqual(self.asked("unit other.service", lambda: open_credential(connect())), 1)
        self.assertEqual(self.result, "AccessDenied")
        bus.close()

    def test_a_refusal_is_known_as_well(self):
        for mood in ("unit other.service", "none"):
            bus = connect()
            self.assertEqual(self.asked(mood, lambda: [open_credential(bus) for _ in range(5)]), 1, mood)
            self.assertEqual(self.result, ["AccessDenied"] * 5)
            bus.close()

    def test_no_answer_is_no_knowledge(self):
        bus = connect()
        self.assertEqual(self.asked("fail", lambda: [open_credential(bus) for _ in range(2)]), 2)
        self.assertEqual(self.result, ["LookupFailed"] * 2)
        self.assertEqual(self.asked("unit app.service", lambda: open_credential(bus)), 1)
        self.assert_works(self.result)
        bus.close()

    def test_only_where_it_matters(self):
        bus = connect()
        self.assertEqual(self.asked("unit app.service", lambda: open_credential(bus, "demo")), 0)
        self.assert_works(self.result)
        self.assertEqual(self.asked("unit app.service", lambda: open_credential(bus)), 1)
        self.assert_works(self.result)
        bus.close()

    def test_calls_that_wait_for_one_answer(self):
        bus, another = connect(), connect()
        before = self.systemd.say("wait")
        for _ in range(20):
            send_open(bus)
        self.assert_works(open_credential(another, "demo"))  # nobody else waits; and the 20 have arrived
        seen = decisions()
        self.systemd.say("unit app.service")
        wait_until(lambda: decisions() == seen + 20, "the calls to be granted", 60)
        self.assert_works(open_credential(bus))
        self.assertEqual(self.systemd.say("none") - before, 1)
        bus.close()
        another.close()

    def test_too_many_that_wait(self):
        bus, seen = connect(), decisions()
        self.systemd.say("wait")
        for _ in range(CALLS_MAX):
            send_open(bus)
        self.assertEqual(open_credential(bus), "LimitsExceeded")
        self.systemd.say("unit app.service")
        wait_until(lambda: decisions() == seen + CALLS_MAX, "the calls to be granted", 60)
        self.assert_works(open_credential(bus))
        bus.close()

    def test_ends_with_the_process(self):
        """A connection outlives the process that it was made by: its heir is in no unit, whatever is known of the dead."""
        self.systemd.say("unit app.service")
        go_reader, go_writer = os.pipe()
        reader, writer = os.pipe()
        first = os.fork()
        if first == 0:
            bus = connect()
            opened = open_credential(bus)
            os.write(writer, f"{opened if isinstance(opened, str) else 'works'}\n".encode())
            if os.fork() == 0:
                os.read(go_reader, 1)  # until the first one is gone
                answer = open_credential(bus)
                os.write(writer, f"{answer if isinstance(answer, str) else 'works'}\n".encode())
            os._exit(0)
        os.close(writer)
        os.waitpid(first, 0)
        os.write(go_writer, b"+")
        with os.fdopen(reader, encoding="ascii") as file:
            self.assertEqual(file.read().split(), ["works", "AccessDenied"])
        os.close(go_reader)
        os.close(go_writer)

    def test_many_connections(self):
        """What is kept of connections is bounded, and those that are pushed out are asked about again."""
        first = connect()
        self.systemd.say("unit app.service")
        self.assert_works(open_credential(first))
        before, buses = descriptors(), []
        for _ in range(KNOWN_MAX + 30):
            buses.append(connect())
            self.assert_works(open_credential(buses[-1]))
        wait_until(lambda: descriptors() <= before + KNOWN_MAX, "handles to be closed", 60)
        self.assertEqual(self.asked("unit app.service", lambda: open_credential(buses[-1])), 0)
        self.assert_works(self.result)
        self.assertEqual(self.asked("unit app.service", lambda: open_credential(first)), 1)
        self.assert_works(self.result)
        for bus in buses:
            bus.close()
        first.close()


if __name__ == "__main__":
    unittest.main()
