# SPDX-License-Identifier: LGPL-2.1-or-later
"""A credential handle, spoken packet by packet, as identityd-handle(7) describes it."""

import array
import os
import select
import socket
import struct

HEADER = struct.Struct("<BBHIIHH")  # version, type, status, serial, generation, scheme, reserved
PAYLOAD_MAX = 65536

GET_STATE, SIGN_TRANSCRIPT, SIGN_MESSAGE, SIGN_DIGEST = 0x01, 0x02, 0x03, 0x04
ANSWER, STATE = 0x80, 0x81

SCHEMES = {
    "rsa_pkcs1_sha256": 0x0401, "rsa_pkcs1_sha384": 0x0501, "rsa_pkcs1_sha512": 0x0601,
    "ecdsa_secp256r1_sha256": 0x0403, "ecdsa_secp384r1_sha384": 0x0503,
    "rsa_pss_rsae_sha256": 0x0804, "rsa_pss_rsae_sha384": 0x0805, "rsa_pss_rsae_sha512": 0x0806,
}

STATUS = {
    0: "ok", 1: "internal", 2: "access-denied", 3: "no-such-identity", 4: "not-ready", 5: "expired", 6: "revoked",
    7: "tpm-unavailable", 8: "tpm-replaced", 9: "invalid-argument", 10: "purpose-violation", 11: "busy", 12: "limits-exceeded",
    13: "enrollment-failed", 14: "certificate-rejected", 15: "retired", 16: "storage",
    17: "send-again", 18: "lookup-failed",
}

FILES = {1: "chain", 2: "anchors", 3: "crls", 4: "ocsp"}


class Closed(Exception):
    """identityd has closed the handle."""


class Refused(Exception):
    """A status other than 0: its name and its text."""

    def __init__(self, status, text):
        super().__init__(f"{STATUS.get(status, status)}: {text}")
        self.status = STATUS.get(status, str(status))
        self.text = text


class State(dict):
    """identity, purpose, state, schemes, not_after, oldest, generation; chain, anchors and so on as bytes."""

    def __init__(self, generation, payload, descriptors):
        super().__init__(generation=generation)
        kinds = b""
        while payload:
            tag, length = struct.unpack_from("<HI", payload)
            value, payload = payload[6:6 + length], payload[6 + length:]
            if len(value) != length:
                raise ValueError("a field of the state is cut short")
            if tag in (1, 2, 3):
                self[{1: "identity", 2: "purpose", 3: "state"}[tag]] = value.decode()
            elif tag == 4:
                self["schemes"] = [s for (s,) in struct.iter_unpack("<H", value)]
            elif tag == 5:
                (self["not_after"],) = struct.unpack("<Q", value)
            elif tag == 6:
                kinds = value
            elif tag == 7:
                (self["oldest"],) = struct.unpack("<I", value)
        if len(kinds) != len(descriptors):
            raise ValueError("there are not as many descriptors as kinds")
        for kind, descriptor in zip(kinds, descriptors):
            self[FILES.get(kind, kind)] = os.pread(descriptor, 16 << 20, 0)


class Handle:
    def __init__(self, descriptor, read_state=True):
        self.socket = socket.socket(fileno=descriptor)
        self.serial = 0
        self.states = []  # those that came unasked
        if read_state:
            _, _, _, self.state = self.receive()
            self.states.append(self.state)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, kind, payload=b"", generation=0, scheme=0, serial=None):
        self.serial += 1
        serial = self.serial if serial is None else serial
        try:
            self.socket.send(HEADER.pack(1, kind, 0, serial, generation, scheme, 0) + payload)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed from error
        return serial

    def receive(self, seconds=20):
        """(type, serial, status, payload), where the payload of a State is one."""
        if not select.select([self.socket], [], [], seconds)[0]:
            raise TimeoutError("identityd says nothing")
        size = socket.CMSG_SPACE(4 * array.array("i").itemsize)
        try:
            data, ancillary, flags, _ = self.socket.recvmsg(HEADER.size + PAYLOAD_MAX, size, socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError as error:
            raise Closed from error
        if not data:
            raise Closed
        descriptors = array.array("i")
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors.frombytes(content)
        try:
            if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC) or len(data) < HEADER.size:
                raise ValueError("a packet that is cut short")
            version, kind, status, serial, generation, _, reserved = HEADER.unpack_from(data)
            if version != 1 or reserved != 0:
                raise ValueError("a packet of another version")
            payload = data[HEADER.size:]
            if kind == STATE and status == 0:
                payload = State(generation, payload, descriptors)
            return kind, serial, status, payload
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def answer(self, serial):
        """The answer to `serial`; what comes unasked before it is kept."""
        while True:
            kind, got, status, payload = self.receive()
            if kind == STATE and got == 0:
                self.state = payload
                self.states.append(payload)
                continue
            if got != serial:
                raise ValueError(f"the answer to {got}, not to {serial}")
            if status:
                raise Refused(status, payload.decode(errors="replace"))
            return payload

    def get_state(self):
        return self.answer(self.send(GET_STATE))

    def _sign(self, kind, scheme, payload, generation):
        scheme = SCHEMES.get(scheme, scheme)
        return self.answer(self.send(kind, payload, self.state["generation"] if generation is None else generation, scheme))

    def sign_transcript(self, scheme, digest, generation=None):
        return self._sign(SIGN_TRANSCRIPT, scheme, digest, generation)

    def sign_message(self, scheme, message, generation=None):
        return self._sign(SIGN_MESSAGE, scheme, message, generation)

    def sign_digest(self, scheme, digest, generation=None):
        return self._sign(SIGN_DIGEST, scheme, digest, generation)

    def wait_closed(self, seconds=20):
        """Reads until identityd closes; returns the states that came before."""
        states = []
        try:
            while True:
                kind, _, _, payload = self.receive(seconds)
                if kind == STATE:
                    states.append(payload)
        except Closed:
            return states


def certificate_verify(side, digest):
    """RFC 8446 §4.4.3."""
    return b" " * 64 + f"TLS 1.3, {side} CertificateVerify".encode() + b"\0" + digest
