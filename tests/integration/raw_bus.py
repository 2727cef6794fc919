# SPDX-License-Identifier: LGPL-2.1-or-later
"""A connection to the message bus, byte by byte: whatever a client library would not do, somebody may. It sends without waiting,
with header fields that nobody knows, without taking descriptors, and as any user that a process of root can be."""

import array
import os
import select
import socket
import struct

CALL, RETURN, ERROR, SIGNAL = 1, 2, 3, 4
NO_REPLY, INTERACTIVE = 1, 4
PATH, INTERFACE, MEMBER, ERROR_NAME, REPLY_SERIAL, DESTINATION, SENDER, SIGNATURE, UNIX_FDS = range(1, 10)
BUS = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
MANAGER = ("org.identityd1", "/org/identityd1", "org.identityd1.Manager")


def padded(data, to=8):
    return data + bytes(-len(data) % to)


def text(value):
    value = value.encode()
    return struct.pack("<I", len(value)) + value + b"\0"


def texts(*values):
    """A body of strings."""
    body = b""
    for value in values:
        body = padded(body, 4) + text(value)
    return body


def blobs(*values):
    """A body that is one aay."""
    body = b""
    for value in values:
        body = padded(body, 4) + struct.pack("<I", len(value)) + value
    return struct.pack("<I", len(body)) + body


def field(code, signature, value):
    """One entry of the header's array, which begins at a multiple of 8."""
    head = struct.pack("<BB", code, len(signature)) + signature.encode() + b"\0"
    return padded(head, 4) + value if signature in "sou" or signature[0] == "a" else head + value


def header(fields, kind, flags, serial, body):
    data = b""
    for entry in fields:
        data = padded(data) + entry
    return padded(struct.pack("<BBBBIII", ord("l"), kind, flags, 1, len(body), serial, len(data)) + data)


class RawBus:
    def __init__(self, uid=None, descriptors=False, address=None):
        address = address or os.environ["DBUS_SYSTEM_BUS_ADDRESS"]
        self.socket = socket.socket(socket.AF_UNIX)
        self.serial, self.buffer, self.descriptors = 0, b"", []
        before = os.geteuid()
        if uid is not None:  # for the moment at which the kernel notes who connects
            groups = os.getgroups()
            os.setgroups([])
            os.setresgid(-1, uid, -1)
            os.setresuid(-1, uid, -1)
        try:
            self.socket.connect(address.removeprefix("unix:path=").split(",")[0])
            self.hello(descriptors)
        finally:
            if uid is not None:
                os.setresuid(-1, before, -1)
                os.setresgid(-1, 0, -1)
                os.setgroups(groups)

    def hello(self, descriptors):
        self.socket.sendall(b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode() + b"\r\n")
        self.line(b"OK ")
        if descriptors:
            self.socket.sendall(b"NEGOTIATE_UNIX_FD\r\n")
            self.line(b"AGREE_UNIX_FD")
        self.socket.sendall(b"BEGIN\r\n")
        self.name = self.ask(BUS, "Hello")[2][4:-1].decode()

    def line(self, wanted):
        line = b""
        while not line.endswith(b"\r\n"):
            byte = self.socket.recv(1)
            if not byte:
                raise ConnectionError("the bus has ended the connection")
            line += byte
        if not line.startswith(wanted):
            raise ConnectionError(line)

    def message(self, where, member, signature="", body=b"", flags=0, more=()):
        """A method call, as bytes; its serial is self.serial."""
        destination, path, interface = where
        self.serial += 1
        fields = [field(PATH, "o", text(path)), field(INTERFACE, "s", text(interface)), field(MEMBER, "s", text(member)),
                  field(DESTINATION, "s", text(destination)), *more]
        if signature:
            fields.append(field(SIGNATURE, "g", struct.pack("<B", len(signature)) + signature.encode() + b"\0"))
        return header(fields, CALL, flags, self.serial, body) + body

    def send(self, *arguments, **options):
        """Sends a call and returns its serial."""
        self.socket.sendall(self.message(*arguments, **options))
        return self.serial

    def ask(self, *arguments, seconds=60, **options):
        """Sends a call and waits: (kind, error's name, body)."""
        return self.answer(self.send(*arguments, **options), seconds)

    def answer(self, serial, seconds=60):
        """The answer to that call; whatever else comes meanwhile is dropped."""
        while True:
            kind, replied, name, body = self.receive(seconds)
            if replied == serial:
                return kind, name, body

    def fill(self, size, seconds):
        while len(self.buffer) < size:
            if not select.select([self.socket], [], [], seconds)[0]:
                raise TimeoutError(f"nothing came within {seconds} s")
            data, ancillary, _, _ = self.socket.recvmsg(1 << 20, socket.CMSG_SPACE(16 * 4))
            if not data:
                raise ConnectionError("the bus has ended the connection")
            for _, _, content in ancillary:
                self.descriptors += array.array("i", content[:len(content) // 4 * 4])
            self.buffer += data

    def receive(self, seconds=60):
        """(kind, serial that it answers, error's name, body) of the next message."""
        self.fill(16, seconds)
        _, kind, _, _, length, _, fields = struct.unpack_from("<BBBBIII", self.buffer)
        begin = 16 + fields + -fields % 8
        self.fill(begin + length, seconds)
        head, body = self.buffer[16:16 + fields], self.buffer[begin:begin + length]
        self.buffer = self.buffer[begin + length:]
        found = dict(self.fields(head))
        return kind, found.get(REPLY_SERIAL), found.get(ERROR_NAME, ""), body

    @staticmethod
    def fields(data):
        at = 0
        while at < len(data):
            at += -at % 8
            code, length = data[at], data[at + 1]
            signature = data[at + 2:at + 2 + length].decode()
            at += 3 + length
            if signature == "g":
                yield code, data[at + 1:at + 1 + data[at]].decode()
                at += data[at] + 2
                continue
            at += -at % 4
            (number,) = struct.unpack_from("<I", data, at)
            at += 4
            if signature == "u":
                yield code, number
            else:
                yield code, data[at:at + number].decode()
                at += number + 1

    def close(self):
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.socket.close()
