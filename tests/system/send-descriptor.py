#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sends identityd a message with a descriptor, whose closing may wait for whoever stands behind it; prints the error's name."""

import sys

import dbus

try:
    with open("/dev/null", "rb") as file:
        dbus.SystemBus().call_blocking("org.identityd1", "/org/identityd1", "org.identityd1.Manager", "ListIdentities", "h",
                                       (dbus.types.UnixFd(file),))
except dbus.DBusException as error:
    sys.exit(f"{error.get_dbus_name()}: {error.get_dbus_message()}")
