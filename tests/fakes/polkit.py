#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Answers CheckAuthorization on the bus in polkit's place, in the directory DIRECTORY: `polkit.py DIRECTORY`.

The file `answers` says how, and is read at each question: a line is an action, or * for all of them, and one of
    yes, no, challenge
    wait                answers as soon as the file says something else
    silence             never answers
    error NAME [TEXT]   an error of the bus
    nonsense            an answer of another shape
The last line that fits counts; without one it is no. Each question is one line of JSON in the file `asked`: action, kind and subject
(its details), details, flags (1: somebody may be asked for a password)."""

import json
import os
import sys

import dbus
import dbus.lowlevel
import dbus.mainloop.glib
import dbus.service
from gi.repository import GLib

INTERFACE = "org.freedesktop.PolicyKit1.Authority"


def plain(value):
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    return int(value) if isinstance(value, int) else str(value)


class Authority(dbus.service.Object):
    def __init__(self, bus, directory):
        super().__init__(bus, "/org/freedesktop/PolicyKit1/Authority")
        self.directory = directory

    def answer_for(self, action):
        words = ["no"]
        path = os.path.join(self.directory, "answers")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                for line in file:
                    pattern, *rest = line.rstrip("\n").split(" ")
                    if pattern in (action, "*") and rest:
                        words = rest
        return words

    @dbus.service.method(INTERFACE, "(sa{sv})sa{ss}us", "(bba{ss})", async_callbacks=("good", "bad"), message_keyword="message",
                         connection_keyword="connection")
    def CheckAuthorization(self, subject, action, details, flags, cancellation, good, bad, message, connection):
        kind, of = subject
        with open(os.path.join(self.directory, "asked"), "a", encoding="utf-8") as file:
            file.write(json.dumps({"action": str(action), "kind": str(kind), "subject": plain(of), "details": plain(details),
                                   "flags": int(flags), "cancellation": str(cancellation)}) + "\n")
        if not self.answer(action, good, bad, message, connection):
            GLib.timeout_add(20, lambda: not self.answer(action, good, bad, message, connection))

    def answer(self, action, good, bad, message, connection):
        """False: not yet."""
        word, *rest = self.answer_for(str(action))
        if word == "wait":
            return False
        if word == "silence":
            return True
        if word == "error":
            bad(dbus.DBusException(bytes(" ".join(rest[1:]) or "as the test wants it", "ascii").decode("unicode_escape"), name=rest[0]))
        elif word == "nonsense":
            reply = dbus.lowlevel.MethodReturnMessage(message)
            reply.append("yes", True, signature="sb")
            connection.send_message(reply)
        else:
            good((word == "yes", word == "challenge", dbus.Dictionary({}, signature="ss")))
        return True


def main():
    dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
    bus = dbus.SystemBus()
    authority = Authority(bus, sys.argv[1])
    name = dbus.service.BusName("org.freedesktop.PolicyKit1", bus)
    GLib.MainLoop().run()
    del authority, name


if __name__ == "__main__":
    main()
