# SPDX-License-Identifier: LGPL-2.1-or-later
"""DER, put together by hand, so that what is wrong can be written as well as what is right."""

import calendar
import ipaddress
import time

BOOLEAN, INTEGER, BITS, OCTETS, NULL, OID, ENUMERATED, UTF8, SEQUENCE, SET = 1, 2, 3, 4, 5, 6, 10, 12, 0x30, 0x31
PRINTABLE, TELETEX, IA5, UTC, GENERALIZED, BMP = 0x13, 0x14, 0x16, 0x17, 0x18, 0x1E

ATTRIBUTES = {"CN": "2.5.4.3", "C": "2.5.4.6", "O": "2.5.4.10", "OU": "2.5.4.11", "DC": "0.9.2342.19200300.100.1.25",
              "MAIL": "1.2.840.113549.1.9.1"}


def length(size):
    if size < 0x80:
        return bytes([size])
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(digits)]) + digits


def tlv(tag, *parts):
    content = b"".join(parts)
    return bytes([tag]) + length(len(content)) + content


def sequence(*parts):
    return tlv(SEQUENCE, *parts)


def integer(value, tag=INTEGER):
    return tlv(tag, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def boolean(value):
    return tlv(BOOLEAN, b"\xff" if value else b"\x00")


def octets(content):
    return tlv(OCTETS, content)


def bits(content, unused=0):
    return tlv(BITS, bytes([unused]), content)


def named_bits(*numbers, tag=BITS):
    """A BIT STRING of which these bits are set, without zeros behind the last of them."""
    if not numbers:
        return tlv(tag, b"\x00")
    value = bytearray(max(numbers) // 8 + 1)
    for number in numbers:
        value[number // 8] |= 0x80 >> number % 8
    return tlv(tag, bytes([7 - max(numbers) % 8]), bytes(value))


def oid(dotted):
    first, second, *rest = [int(arc) for arc in dotted.split(".")]
    content = b""
    for arc in [40 * first + second, *rest]:
        digits = [arc & 0x7F]
        while arc := arc >> 7:
            digits.insert(0, arc & 0x7F | 0x80)
        content += bytes(digits)
    return tlv(OID, content)


def moment(when):
    """A Time as RFC 5280 §4.1.2.5 wants it; bytes are taken as they are."""
    if isinstance(when, bytes):
        return when
    parts = time.gmtime(when)
    if parts.tm_year < 2050:
        return tlv(UTC, time.strftime("%y%m%d%H%M%SZ", parts).encode())
    return generalized(when)


def generalized(when):
    return tlv(GENERALIZED, time.strftime("%Y%m%d%H%M%SZ", time.gmtime(when)).encode())


def at(text):
    return calendar.timegm(time.strptime(text, "%Y-%m-%d %H:%M:%S"))


# ---- names ----

def attribute(kind, text, tag=UTF8):
    value = text if isinstance(text, bytes) else text.encode("utf-16-be" if tag == BMP else "latin-1" if tag == TELETEX else "utf-8")
    return sequence(oid(ATTRIBUTES[kind]), tlv(tag, value))


def name(text, tag=UTF8):
    """CN=a,O=b, the most general first; "" is empty; several attributes of one RDN are joined by "+"; bytes stay."""
    if isinstance(text, bytes):
        return text
    rdns = []
    for rdn in text.split(",") if text else []:
        attributes = [attribute(*part.split("=", 1), tag=IA5 if part.split("=")[0] in ("DC", "MAIL") else tag)
                      for part in rdn.split("+")]
        rdns.append(tlv(SET, *sorted(attributes)))
    return sequence(*rdns)


def mail(text):
    return tlv(0x81, text.encode())


def dns(text):
    return tlv(0x82, text if isinstance(text, bytes) else text.encode())


def directory(text, tag=UTF8):
    return tlv(0xA4, name(text, tag))


def uri(text):
    return tlv(0x86, text.encode())


def ip(text):
    return tlv(0x87, text if isinstance(text, bytes) else ipaddress.ip_address(text).packed)


def network(text):
    """As a base of name constraints."""
    parsed = ipaddress.ip_network(text)
    return tlv(0x87, parsed.network_address.packed, parsed.netmask.packed)


def other_name(dotted, value):
    return tlv(0xA0, oid(dotted), tlv(0xA0, value))


def registered(dotted):
    return tlv(0x88, oid(dotted)[2:])
