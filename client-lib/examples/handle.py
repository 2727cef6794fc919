#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A credential handle from Python, with nothing but D-Bus and a socket: handle.py IDENTITY < MESSAGE > SIGNATURE

OpenCredential gives a SOCK_SEQPACKET socket; what is said on it is in identityd-handle(7). This signs standard input (at
most 64 KiB) under the purpose `data-raw`, writes the signature to standard output, and the certificates to the file that
--chain names. `openssl dgst -sha256 -verify` accepts the signature of an ecdsa-p256 or RSA identity."""

import argparse
import os
import socket
import struct
import sys

import dbus

HEADER = struct.Struct("<BBHIIHH")  # version, type, status, serial, generation, scheme, reserved
GET_STATE, SIGN_MESSAGE, ANSWER, STATE = 0x01, 0x03, 0x80, 0x81
TAG_STATE, TAG_SCHEMES, TAG_FILES = 3, 4, 6
FILE_CHAIN = 1
RSA_PKCS1_SHA256 = 0x0401


class Handle:
    def __init__(self, identity, purpose):
        manager = dbus.Interface(dbus.SystemBus().get_object("org.identityd1", "/org/identityd1"), "org.identityd1.Manager")
        options = dbus.Dictionary(signature="sv")
        descriptor = manager.OpenCredential(identity, purpose, options).take()
        self.socket = socket.socket(fileno=descriptor)
        self.socket.setblocking(True)
        self.serial = self.generation = 0
        self.ask(GET_STATE)  # also the first packet, by which identityd knows who holds the handle

    def take_state(self, generation, payload, descriptors):
        """Every State is whole: what came before is replaced."""
        self.generation, self.fields, self.chain = generation, {}, b""
        while payload:
            tag, length = struct.unpack_from("<HI", payload)
            self.fields[tag], payload = payload[6:6 + length], payload[6 + length:]
        for kind, descriptor in zip(self.fields.get(TAG_FILES, b""), descriptors):
            if kind == FILE_CHAIN:
                self.chain = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        scheme_bytes = self.fields.get(TAG_SCHEMES, b"")
        self.schemes = struct.unpack("<%dH" % (len(scheme_bytes) // 2), scheme_bytes)

    def ask(self, kind, scheme=0, payload=b""):
        self.serial += 1
        self.socket.sendall(HEADER.pack(1, kind, 0, self.serial, self.generation, scheme, 0) + payload)
        while True:
            packet, descriptors, _, _ = socket.recv_fds(self.socket, 16 + 65536, 4)
            if not packet:
                raise SystemExit("identityd closed the handle")
            _, answer, status, serial, generation, _, _ = HEADER.unpack_from(packet)
            body = packet[HEADER.size:]
            if answer == STATE and status == 0:  # the answer to GetState, or a change that nobody asked for
                self.take_state(generation, body, descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            if serial == self.serial and answer == kind | ANSWER:
                if status:
                    raise SystemExit(body.decode("utf-8", "replace"))
                return body

    def sign(self, message):
        scheme = RSA_PKCS1_SHA256 if RSA_PKCS1_SHA256 in self.schemes else self.schemes[0]  # what `openssl dgst` expects
        return self.ask(SIGN_MESSAGE, scheme, message)


def main():
    parser = argparse.ArgumentParser(description="Signs standard input with an identity of this device.")
    parser.add_argument("identity")
    parser.add_argument("--purpose", default="data-raw")
    parser.add_argument("--chain", help="file for the certificates")
    arguments = parser.parse_args()
    handle = Handle(arguments.identity, arguments.purpose)
    if not handle.schemes:
        raise SystemExit("%s cannot sign: it is %s" % (arguments.identity, handle.fields[TAG_STATE].decode()))
    if arguments.chain:
        with open(arguments.chain, "wb") as file:
            file.write(handle.chain)
    sys.stdout.buffer.write(handle.sign(sys.stdin.buffer.read(65536)))


if __name__ == "__main__":
    main()
