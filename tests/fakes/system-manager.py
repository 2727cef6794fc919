#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Answers GetUnitByPID on the bus in systemd's place, and counts how often it is asked. A line on the standard input says what to
answer from now on: "unit NAME", "none" (no unit), "fail" (any other error), "wait" (not before the next line); each is
acknowledged by a line with the number of questions so far. Ends with its standard input. Its arguments are the units that there
are, for who asks by name (LoadUnit) or pattern."""

import fnmatch
import sys

import dbus
import dbus.mainloop.glib
import dbus.service
from gi.repository import GLib


class Error(dbus.DBusException):
    def __init__(self, name):
        super().__init__("as the test wants it")
        self._dbus_error_name = name


class Unit(dbus.service.Object):
    def __init__(self, bus, path, name):
        super().__init__(bus, path)
        # An instance has the file of its template.
        self.state = "loaded" if {name, name.partition("@")[0] + "@." + name.rpartition(".")[2]} & set(sys.argv[1:]) else "not-found"

    @dbus.service.method("org.freedesktop.DBus.Properties", in_signature="ss", out_signature="v")
    def Get(self, interface, name):
        return {"LoadState": self.state}[name]


class Manager(dbus.service.Object):
    def __init__(self, bus):
        super().__init__(bus, "/org/freedesktop/systemd1")
        self.bus, self.units = bus, {}
        self.asked, self.mood, self.waiting = 0, "none", []

    @dbus.service.method("org.freedesktop.systemd1.Manager", "u", "o", async_callbacks=("good", "bad"))
    def GetUnitByPID(self, pid, good, bad):
        self.asked += 1
        self.answer(good, bad)

    @dbus.service.method("org.freedesktop.systemd1.Manager", "s", "o")
    def LoadUnit(self, name):
        path = "/org/freedesktop/systemd1/unit/u%d" % len(self.units)
        self.units[path] = Unit(self.bus, path, str(name))
        return path

    @dbus.service.method("org.freedesktop.systemd1.Manager", "asas", "a(ss)")
    def ListUnitFilesByPatterns(self, _, patterns):
        return [("/x/" + unit, "static") for unit in sys.argv[1:] if any(fnmatch.fnmatch(unit, str(p)) for p in patterns)]

    @dbus.service.method("org.freedesktop.systemd1.Manager", "asas", "a(ssssssouso)")
    def ListUnitsByPatterns(self, _, patterns):
        return [("run-7.service", "", "loaded", "active", "running", "", "/a", 0, "", "/")
                for p in patterns if fnmatch.fnmatch("run-7.service", str(p))]

    def answer(self, good, bad):
        word, _, unit = self.mood.partition(" ")
        if word == "wait":
            self.waiting.append((good, bad))
        elif word == "unit":
            good("/org/freedesktop/systemd1/unit/" + "".join(c if c.isalnum() else f"_{ord(c):02x}" for c in unit))
        else:
            bad(Error("org.freedesktop.systemd1.NoUnitForPID" if word == "none" else "org.freedesktop.DBus.Error.Failed"))

    def on_line(self, *_):
        line = sys.stdin.readline()
        if not line:
            loop.quit()
            return False
        self.mood = line.strip()
        waiting, self.waiting = self.waiting, []
        for good, bad in waiting:
            self.answer(good, bad)
        print(self.asked, flush=True)
        return True


dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
connection = dbus.SystemBus()
name = dbus.service.BusName("org.freedesktop.systemd1", connection)
manager = Manager(connection)
loop = GLib.MainLoop()
GLib.io_add_watch(sys.stdin.fileno(), GLib.PRIORITY_DEFAULT, GLib.IO_IN | GLib.IO_HUP, manager.on_line)
print("ready", flush=True)
loop.run()
