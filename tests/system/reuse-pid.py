#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A process connects to the bus, forks and ends; a process of an admitted unit gets its id; then the child asks over the inherited
connection. The bus, systemd and a pidfd all name the admitted unit: it is the first packet on the handle, whose sender the
kernel names, that gives the child away.

reuse-pid.py IDENTITY UNIT   as root, in a machine; 0: the handle was refused or closed, 1: it works"""

import ctypes
import os
import signal
import socket
import struct
import sys

import dbus

SYS_CLONE3 = 435
GET_STATE, SIGN_TRANSCRIPT = 1, 2
HEADER = struct.Struct("<BBHIIHH")  # identityd-handle(7)


def spawn_as(pid, unit):
    """A process with this id, in that unit's control group."""
    wanted = (ctypes.c_int * 1)(pid)
    # flags pidfd child_tid parent_tid exit_signal stack stack_size tls set_tid set_tid_size cgroup
    arguments = (ctypes.c_uint64 * 11)(0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, ctypes.addressof(wanted), 1, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    reader, writer = os.pipe()
    child = libc.syscall(SYS_CLONE3, ctypes.byref(arguments), ctypes.sizeof(arguments))
    if child < 0:
        raise OSError(ctypes.get_errno(), "clone3 with set_tid")
    if child == 0:
        with open(f"/sys/fs/cgroup/system.slice/{unit}/cgroup.procs", "w", encoding="ascii") as file:
            file.write("0")
        os.write(writer, b"+")
        signal.pause()
        os._exit(0)
    assert child == pid and os.read(reader, 1) == b"+"
    return child


def ask(bus, identity):
    """What the child of the one that connected gets: a sentence, and whether it may sign."""
    manager = bus.get_object("org.identityd1", "/org/identityd1", introspect=False)
    try:
        fd = manager.OpenCredential(identity, "tls-client", {}, dbus_interface="org.identityd1.Manager", signature="ssa{sv}")
    except dbus.DBusException as error:
        return f"no handle: {error}", False
    handle = socket.socket(fileno=fd.take())
    handle.settimeout(30)
    try:
        handle.send(HEADER.pack(1, SIGN_TRANSCRIPT, 0, 1, 1, 0x0403, 0) + bytes(32))
        while True:
            data = handle.recv(65552)
            if not data:
                return "the handle was closed at the first packet", False
            version, kind, status, serial, *_ = HEADER.unpack_from(data)
            if kind == SIGN_TRANSCRIPT | 0x80 and serial == 1:
                return f"the handle answered with status {status}", True
    except (ConnectionResetError, BrokenPipeError):
        return "the handle was reset at the first packet", False


def main():
    identity, unit = sys.argv[1:]
    go_reader, go_writer = os.pipe()
    result_reader, result_writer = os.pipe()
    first = os.fork()
    if first == 0:
        os.setgid(2001)
        os.setuid(2001)
        bus = dbus.bus.BusConnection(dbus.bus.BusConnection.TYPE_SYSTEM)
        if os.fork() == 0:
            os.read(go_reader, 1)
            sentence, works = ask(bus, identity)
            os.write(result_writer, f"{int(works)}{sentence}".encode())
        os._exit(0)
    os.waitpid(first, 0)
    victim = spawn_as(first, unit)
    os.write(go_writer, b"+")
    result = os.read(result_reader, 4096).decode()
    os.kill(victim, signal.SIGKILL)
    os.waitpid(victim, 0)
    print(result[1:])
    return int(result[0])


sys.exit(main())
