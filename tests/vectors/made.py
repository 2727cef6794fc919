# SPDX-License-Identifier: LGPL-2.1-or-later
"""Certificates, CRLs and OCSP responses made to order, each the same in every run. What is not said is as a CA of our days has
it: P-256, SHA-256, key identifiers, key usage, a hundred days to both sides of NOW."""

import hashlib

import der
import keys

NOW = 1750000000  # 2025-06-15 15:06:40
DAY = 86400

SIGN_CERTIFICATES, SIGN_CRLS, SIGN = 5, 6, 0  # bits of KeyUsage
SERVER, CLIENT, OCSP, ANY_USAGE = "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.9", "2.5.29.37.0"
ANY_POLICY = "2.5.29.32.0"
OIDS = {"ski": "2.5.29.14", "usage": "2.5.29.15", "names": "2.5.29.17", "basic": "2.5.29.19", "number": "2.5.29.20",
        "reason": "2.5.29.21", "delta": "2.5.29.27", "crl-point": "2.5.29.28", "issuer": "2.5.29.29", "constraints": "2.5.29.30",
        "points": "2.5.29.31", "policies": "2.5.29.32", "mappings": "2.5.29.33", "aki": "2.5.29.35", "policy-constraints": "2.5.29.36",
        "eku": "2.5.29.37", "inhibit-any": "2.5.29.54", "features": "1.3.6.1.5.5.7.1.24"}


def extension(kind, value, critical=False):
    return der.sequence(der.oid(OIDS.get(kind, kind)), der.boolean(True) if critical else b"", der.octets(value))


def subtrees(bases):
    """GeneralSubtree each; a base with a limit is given as a whole, as bytes in a list."""
    return b"".join(base[0] if isinstance(base, list) else der.sequence(base) for base in bases)


def constraints(permitted=(), excluded=()):
    return der.sequence(der.tlv(0xA0, subtrees(permitted)) if permitted else b"",
                        der.tlv(0xA1, subtrees(excluded)) if excluded else b"")


def skip(tag, number):
    return b"" if number is None else der.integer(number, tag)


def policies(*oids):
    return der.sequence(*[der.sequence(der.oid(oid)) for oid in oids])


def mappings(*pairs):
    return der.sequence(*[der.sequence(der.oid(one), der.oid(other)) for one, other in pairs])


def point(*names, reasons=(), issuer=None, relative=None):
    """A DistributionPoint."""
    place = der.tlv(0xA1, relative) if relative else der.tlv(0xA0, *names)
    return der.sequence(der.tlv(0xA0, place) if names or relative else b"", der.named_bits(*reasons, tag=0x81) if reasons else b"",
                        der.tlv(0xA2, issuer) if issuer else b"")


class Certificate:
    """What is asked for of an issuer or a request: der, name, key, serial. Without `issuer` it is self-signed.

    extensions: (kind, critical, value) beyond those that other arguments make; `omit` leaves kinds out. `tbs` and `whole` change
    the list of fields of TBSCertificate, and the DER that came out."""

    def __init__(self, subject, issuer=None, *, key=None, ca=False, path_length=None, usage=None, eku=None, names=(), permitted=(),
                 excluded=(), policy=(), mapping=(), require=None, inhibit_mapping=None, inhibit_any=None, points=(),
                 staple=False, extensions=(), omit=(), critical_names=False, begins=NOW - 100 * DAY, ends=NOW + 100 * DAY, tag=der.UTF8,
                 algorithm=None, inner_algorithm=None, issuer_name=None, aki=None, version=2, serial=None, tbs=None, whole=None,
                 signed_by=None):
        self.key = keys.ec(key or (subject if isinstance(subject, str) else subject.hex())) if not key or isinstance(key, str) else key
        self.name, self.ca = der.name(subject, tag), ca
        signer = signed_by or (issuer.key if issuer else self.key)
        self.issuer_name = issuer_name or (issuer.name if issuer else self.name)
        bits = usage if usage is not None else [SIGN_CERTIFICATES, SIGN_CRLS] if ca else [SIGN]
        listed = [
            ("basic", True, der.sequence(der.boolean(True) if ca else b"", b"" if path_length is None else der.integer(path_length))),
            ("usage", True, der.named_bits(*bits)),
            ("ski", False, der.octets(keys.identifier(self.key))),
            ("aki", False, der.sequence(der.tlv(0x80, aki or keys.identifier(signer)))),
        ]
        if eku is not None:
            listed += [("eku", False, der.sequence(*[der.oid(oid) for oid in eku]))]
        if names:
            listed += [("names", critical_names or not subject, der.sequence(*names))]
        if permitted or excluded:
            listed += [("constraints", True, constraints(permitted, excluded))]
        if policy:
            listed += [("policies", False, policies(*policy))]
        if mapping:
            listed += [("mappings", True, mappings(*mapping))]
        if require is not None or inhibit_mapping is not None:
            listed += [("policy-constraints", True, der.sequence(skip(0x80, require), skip(0x81, inhibit_mapping)))]
        if inhibit_any is not None:
            listed += [("inhibit-any", True, der.integer(inhibit_any))]
        if points:
            listed += [("points", False, der.sequence(*points))]
        if staple:
            listed += [("features", False, der.sequence(der.integer(5)))]
        listed = [one for one in listed if one[0] not in omit] + list(extensions)
        encoded = [extension(kind, value, critical) for kind, critical, value in listed]
        name = algorithm or signer.default
        fields = [der.tlv(0xA0, der.integer(version)) if version else b"", None, keys.algorithm(inner_algorithm or name),
                  self.issuer_name, der.sequence(der.moment(begins), der.moment(ends)), self.name, self.key.spki,
                  der.tlv(0xA3, der.sequence(*encoded)) if encoded else b""]
        seed = hashlib.sha256(b"".join(field or b"" for field in fields)).digest()[:8]
        self.serial = serial if serial is not None else der.integer(int.from_bytes(seed, "big") >> 1 | 1)
        fields[1] = self.serial
        body = der.sequence(*(tbs(fields) if tbs else fields))
        self.der = der.sequence(body, keys.algorithm(name), der.bits(signer.sign(body, name)))
        if whole:
            self.der = whole(self.der)


def ca(subject, issuer=None, **more):
    return Certificate(subject, issuer, ca=True, **more)


def leaf(issuer, subject="CN=leaf", **more):
    return Certificate(subject, issuer, **more)


# ---- revocation ----

def entry(certificate, when=NOW - 5 * DAY, reason=None, issuer=None, extensions=()):
    """Of a CRL. `certificate` may be the INTEGER of a serial number."""
    serial = certificate.serial if isinstance(certificate, Certificate) else certificate
    listed = [extension("reason", der.tlv(der.ENUMERATED, bytes([reason])))] if reason is not None else []
    listed += [extension("issuer", der.sequence(issuer), critical=True)] if issuer else []
    listed += extensions
    return der.sequence(serial, der.moment(when), der.sequence(*listed) if listed else b"")


def crl_point(*names, users=False, cas=False, reasons=(), indirect=False, attributes=False, relative=None):
    """The issuing distribution point."""
    place = der.tlv(0xA1, relative) if relative else der.tlv(0xA0, *names)
    return der.sequence(der.tlv(0xA0, place) if names or relative else b"", b"\x81\x01\xff" if users else b"",
                        b"\x82\x01\xff" if cas else b"", der.named_bits(*reasons, tag=0x83) if reasons else b"",
                        b"\x84\x01\xff" if indirect else b"", b"\x85\x01\xff" if attributes else b"")


def crl(issuer, *entries, number=7, base=None, this=NOW - DAY, after=NOW + DAY, place=None, key=None, name=None, algorithm=None,
        extensions=(), critical_number=False, aki=None, whole=None):
    """DER. `base` makes it a delta."""
    signer = key or issuer.key
    kind = algorithm or signer.default
    listed = [extension("aki", der.sequence(der.tlv(0x80, aki or keys.identifier(signer))))]
    listed += [extension("number", der.integer(number), critical_number)] if number is not None else []
    listed += [extension("delta", der.integer(base), True)] if base is not None else []
    listed += [extension("crl-point", place, True)] if place else []
    listed += extensions
    body = der.sequence(der.integer(1), keys.algorithm(kind), name or issuer.name, der.moment(this),
                        der.moment(after) if after is not None else b"", der.sequence(*entries) if entries else b"",
                        der.tlv(0xA0, der.sequence(*listed)))
    result = der.sequence(body, keys.algorithm(kind), der.bits(signer.sign(body, kind)))
    return whole(result) if whole else result


def ocsp(certificate, issuer, status="good", *, signer=None, this=NOW - DAY, after=NOW + DAY, with_signer=True, algorithm=None,
         about=None, reason=None, by_name=True):
    """An OCSPResponse about a certificate. `signer`: a Certificate, which comes with it unless it is the issuer."""
    signer = signer or issuer
    kind = algorithm or signer.key.default
    hashed = about or issuer
    identity = der.sequence(der.sequence(der.oid("1.3.14.3.2.26"), der.tlv(der.NULL)), der.octets(hashlib.sha1(hashed.name).digest()),
                            der.octets(keys.identifier(hashed.key)), certificate.serial)
    revoked = der.tlv(0xA1, der.generalized(NOW - 5 * DAY),
                      b"" if reason is None else der.tlv(0xA0, der.tlv(der.ENUMERATED, bytes([reason]))))
    state = {"good": b"\x80\x00", "revoked": revoked, "unknown": b"\x82\x00"}[status]
    single = der.sequence(identity, state, der.generalized(this), der.tlv(0xA0, der.generalized(after)) if after is not None else b"")
    responder = der.tlv(0xA1, signer.name) if by_name else der.tlv(0xA2, der.octets(keys.identifier(signer.key)))
    data = der.sequence(responder, der.generalized(this), der.sequence(single))
    sent = der.tlv(0xA0, der.sequence(signer.der)) if signer is not issuer and with_signer else b""
    basic = der.sequence(data, keys.algorithm(kind), der.bits(signer.key.sign(data, kind)), sent)
    return der.sequence(der.tlv(der.ENUMERATED, b"\x00"),
                        der.tlv(0xA0, der.sequence(der.oid("1.3.6.1.5.5.7.48.1.1"), der.octets(basic))))
