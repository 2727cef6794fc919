# SPDX-License-Identifier: LGPL-2.1-or-later
"""Keys that everybody can compute, of every strength, and signatures with them, the same in each run. They protect nothing:
an ECDSA nonce that is always the same gives the key away, and is fast."""

import functools
import hashlib

import der

# prime, order, generator; the other coefficient is prime - 3.
CURVES = {
    "P-224": ("1.3.132.0.33", 28, 2**224 - 2**96 + 1,
              0xFFFFFFFFFFFFFFFFFFFFFFFFFFFF16A2E0B8F03E13DD29455C5C2A3D,
              (0xB70E0CBD6BB4BF7F321390B94A03C1D356C21122343280D6115C1D21,
               0xBD376388B5F723FB4C22DFE6CD4375A05A07476444D5819985007E34)),
    "P-256": ("1.2.840.10045.3.1.7", 32, 2**256 - 2**224 + 2**192 + 2**96 - 1,
              0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
              (0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
               0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5)),
    "P-384": ("1.3.132.0.34", 48, 2**384 - 2**128 - 2**96 + 2**32 - 1,
              0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
              (0xAA87CA22BE8B05378EB1C71EF320AD746E1D3B628BA79B9859F741E082542A385502F25DBF55296C3A545E3872760AB7,
               0x3617DE4A96262C6F5D9E98BF9292DC29F8F41DBD289A147CE9DA3113B5F0B8C00A60B1CE1D7E819D7A431D7C90EA0E5F)),
}

# What a signature algorithm is called in a certificate, its hash, and the DigestInfo's OID where it is RSA's.
ALGORITHMS = {
    "ecdsa-sha256": ("1.2.840.10045.4.3.2", "sha256", None),
    "ecdsa-sha384": ("1.2.840.10045.4.3.3", "sha384", None),
    "ecdsa-sha1": ("1.2.840.10045.4.1", "sha1", None),
    "rsa-sha256": ("1.2.840.113549.1.1.11", "sha256", "2.16.840.1.101.3.4.2.1"),
    "rsa-sha1": ("1.2.840.113549.1.1.5", "sha1", "1.3.14.3.2.26"),
    "rsa-md5": ("1.2.840.113549.1.1.4", "md5", "1.2.840.113549.2.5"),
}


def algorithm(name):
    dotted, _, digest_oid = ALGORITHMS[name]
    return der.sequence(der.oid(dotted), der.tlv(der.NULL)) if digest_oid else der.sequence(der.oid(dotted))


def add(one, other, prime):
    """Of two points; None is the one at infinity."""
    if one is None or other is None:
        return one or other
    (x1, y1), (x2, y2) = one, other
    if x1 == x2 and (y1 + y2) % prime == 0:
        return None
    slope = (3 * x1 * x1 - 3) * pow(2 * y1, -1, prime) if one == other else (y2 - y1) * pow(x2 - x1, -1, prime)
    x3 = (slope * slope - x1 - x2) % prime
    return x3, (slope * (x1 - x3) - y1) % prime


def multiply(point, number, prime):
    result = None
    while number:
        if number & 1:
            result = add(result, point, prime)
        point = add(point, point, prime)
        number >>= 1
    return result


@functools.lru_cache(None)
def nonce(curve):
    """One for all, and what a signature needs of it."""
    _, _, prime, order, generator = CURVES[curve]
    number = int.from_bytes(hashlib.sha512(b"nonce").digest(), "big") % order
    return pow(number, -1, order), multiply(generator, number, prime)[0] % order


class EcKey:
    def __init__(self, label, curve="P-256"):
        self.curve = curve
        dotted, size, prime, self.order, generator = CURVES[curve]
        self.secret = int.from_bytes(hashlib.sha512(label.encode()).digest(), "big") % self.order
        x, y = multiply(generator, self.secret, prime)
        self.bits = b"\x04" + x.to_bytes(size, "big") + y.to_bytes(size, "big")
        self.spki = der.sequence(der.sequence(der.oid("1.2.840.10045.2.1"), der.oid(dotted)), der.bits(self.bits))
        self.default = "ecdsa-sha256"

    def sign(self, data, name):
        digest = hashlib.new(ALGORITHMS[name][1], data).digest()[:self.order.bit_length() // 8]
        inverse, r = nonce(self.curve)
        return der.sequence(der.integer(r), der.integer(inverse * (int.from_bytes(digest, "big") + r * self.secret) % self.order))


def prime_of(label, size, more):
    """A number made of a label, and how far behind it the next prime is."""
    return (int.from_bytes(hashlib.shake_256(label.encode()).digest(size // 8), "big") | 3 << (size - 2) | 1) + more


class RsaKey:
    def __init__(self, p, q, exponent):
        self.modulus, phi = p * q, (p - 1) * (q - 1)
        self.secret = pow(exponent, -1, phi)
        self.bits = der.sequence(der.integer(self.modulus), der.integer(exponent))
        self.spki = der.sequence(der.sequence(der.oid("1.2.840.113549.1.1.1"), der.tlv(der.NULL)), der.bits(self.bits))
        self.default = "rsa-sha256"

    def sign(self, data, name):
        _, hash_name, digest_oid = ALGORITHMS[name]
        info = der.sequence(der.sequence(der.oid(digest_oid), der.tlv(der.NULL)), der.octets(hashlib.new(hash_name, data).digest()))
        size = (self.modulus.bit_length() + 7) // 8
        padded = b"\x00\x01" + b"\xff" * (size - len(info) - 3) + b"\x00" + info
        return pow(int.from_bytes(padded, "big"), self.secret, self.modulus).to_bytes(size, "big")


@functools.lru_cache(None)
def rsa(size=2048, exponent=65537):
    if size == 2048:
        return RsaKey(prime_of("p", 1024, 816), prime_of("q", 1024, 114), exponent)
    return RsaKey(prime_of("r", 512, 158), prime_of("s", 512, 1110), exponent)


@functools.lru_cache(None)
def ec(label, curve="P-256"):
    return EcKey(label, curve)


def identifier(key):
    """RFC 5280 §4.2.1.2 (1)."""
    return hashlib.sha1(key.bits).digest()
