# SPDX-License-Identifier: LGPL-2.1-or-later
"""What DER and RFC 5280 §4 do not let a certificate be. Readers that take it nevertheless read it in different ways."""

import der
import keys
from made import DAY, NOW, ca, extension, leaf

TIME, STRICT, FIELDS = "RFC 5280 §4.1.2.5", "X.690 §10.1", "RFC 5280 §4"
VERSION, SERIAL, ALGORITHM, ISSUER, VALIDITY, SUBJECT, KEY, EXTENSIONS = range(8)


def replaced(place, value):
    """For Certificate(tbs=): this field is another."""
    return lambda fields: [*fields[:place], value, *fields[place + 1:]]


def long_length(text):
    """The outer length in one byte more than it needs."""
    size = len(text) - 4
    return b"\x30\x83\x00" + size.to_bytes(2, "big") + text[4:]


def cases(add):
    root = ca("CN=root")

    def certificate(name, section, verdict="unreadable", **more):
        """The same as a leaf, and of an intermediate, which is passed over if nobody can read it."""
        add(f"leaf-{name}", verdict, section, [leaf(root, **more)], [root])
        issuer = ca("CN=int", root, **more)
        add(f"intermediate-{name}", "no-path" if verdict == "unreadable" else verdict, section, [leaf(issuer), issuer], [root])

    for name, when in {
        "february-30": der.tlv(der.UTC, b"250230000000Z"), "february-29-of-no-leap-year": der.tlv(der.UTC, b"250229000000Z"),
        "month-13": der.tlv(der.UTC, b"251301000000Z"), "day-0": der.tlv(der.UTC, b"250100000000Z"),
        "hour-24": der.tlv(der.UTC, b"250101240000Z"), "minute-60": der.tlv(der.UTC, b"250101006000Z"),
        "second-60": der.tlv(der.UTC, b"250101000060Z"), "without-seconds": der.tlv(der.UTC, b"2501010000Z"),
        "offset": der.tlv(der.UTC, b"250101000000+0100"), "no-zone": der.tlv(der.UTC, b"250101000000"),
        "fraction": der.tlv(der.GENERALIZED, b"20250101000000.5Z"), "generalized-offset": der.tlv(der.GENERALIZED, b"20250101000000+0100"),
        "generalized-two-digits": der.tlv(der.GENERALIZED, b"250101000000Z"), "utc-four-digits": der.tlv(der.UTC, b"20250101000000Z"),
        "sign": der.tlv(der.UTC, b"25+101000000Z"), "space": der.tlv(der.UTC, b"25 101000000Z"), "empty": der.tlv(der.UTC),
        "small-z": der.tlv(der.UTC, b"250101000000z"), "printable": der.tlv(der.PRINTABLE, b"250101000000Z"),
    }.items():
        certificate(f"time-{name}", TIME, begins=when)
    add("leaf-time-february-29", "good", TIME, [leaf(root, begins=der.tlv(der.UTC, b"240229000000Z"), ends=NOW + DAY)],
        [ca("CN=root", begins=der.at("2020-01-01 00:00:00"))])
    certificate("time-generalized-before-2050", "PKITS 4.2.3", "good", begins=der.generalized(NOW - DAY))

    certificate("serial-with-a-zero-before-it", "X.690 §8.3.2", serial=b"\x02\x02\x00\x05")
    certificate("serial-with-ones-before-it", "X.690 §8.3.2", serial=b"\x02\x02\xff\x85")
    certificate("serial-empty", "X.690 §8.3.1", serial=b"\x02\x00")
    certificate("serial-zero", "RFC 5280 §4.1.2.2", "malformed", serial=der.integer(0))
    certificate("serial-negative", "RFC 5280 §4.1.2.2", "malformed", serial=der.integer(-7))
    certificate("serial-of-20-bytes", "RFC 5280 §4.1.2.2", "good", serial=der.integer(2**159 - 1))
    certificate("serial-of-21-bytes", "RFC 5280 §4.1.2.2", "malformed", serial=der.integer(2**160))
    certificate("serial-is-no-integer", FIELDS, serial=der.octets(b"\x05"))
    certificate("length-in-too-many-bytes", STRICT, whole=long_length)
    certificate("indefinite-length", STRICT, whole=lambda text: b"\x30\x80" + text[4:] + b"\0\0")
    certificate("byte-after-the-end", STRICT, whole=lambda text: text + b"\0")
    certificate("byte-too-few", STRICT, whole=lambda text: text[:-1])
    certificate("version-4", "RFC 5280 §4.1.2.1", version=3)
    certificate("version-1-with-extensions", "RFC 5280 §4.1.2.1", version=0)
    certificate("version-2-with-extensions", "RFC 5280 §4.1.2.1", version=1)
    certificate("issuer-without-a-name", "RFC 5280 §4.1.2.4", "no-path", issuer_name=der.sequence())
    certificate("no-validity", FIELDS, tbs=replaced(VALIDITY, b""))
    certificate("one-time-only", FIELDS, tbs=replaced(VALIDITY, der.sequence(der.moment(NOW))))
    certificate("three-times", FIELDS, tbs=replaced(VALIDITY, der.sequence(der.moment(NOW - DAY), *[der.moment(NOW + DAY)] * 2)))
    certificate("no-subject", FIELDS, tbs=replaced(SUBJECT, b""))
    certificate("key-that-is-none", FIELDS, "weak", tbs=replaced(KEY, der.sequence()))
    certificate("no-extension-in-the-list", "RFC 5280 §4.1.2.9", tbs=replaced(EXTENSIONS, der.tlv(0xA3, der.sequence())))
    certificate("field-after-the-extensions", FIELDS, tbs=lambda fields: [*fields, der.tlv(0xA4, der.sequence())])
    certificate("extensions-twice", FIELDS, tbs=lambda fields: [*fields, fields[EXTENSIONS]])
    padded = b"\x06\x04\x55\x1d\x80\x1e"  # 2.5.29.30 in a byte more
    for name, bad in {
        "identifier-with-a-zero-before-it": padded, "identifier-cut-off": b"\x06\x03\x55\x1d\x9e", "identifier-empty": b"\x06\x00",
    }.items():
        certificate(f"extension-{name}", "X.690 §8.19.2",
                    tbs=lambda fields, bad=bad: [*fields[:-1], der.tlv(0xA3, der.sequence(der.sequence(bad, der.octets(b"\x05\x00"))))])

    for name, section, value in (
            ("critical-is-neither", "X.690 §11.1", der.sequence(der.oid("1.2.3"), b"\x01\x01\x01", der.octets(b"\x05\x00"))),
            ("critical-of-two-bytes", "X.690 §8.2.1", der.sequence(der.oid("1.2.3"), b"\x01\x02\xff\xff", der.octets(b"\x05\x00"))),
            ("without-a-value", "RFC 5280 §4.1", der.sequence(der.oid("1.2.3"))),
            ("value-in-pieces", "X.690 §10.2", der.sequence(der.oid("1.2.3"), der.tlv(0x24, der.octets(b"\x05\x00")))),
            ("with-more-behind-it", "RFC 5280 §4.1", der.sequence(der.oid("1.2.3"), der.octets(b"\x05\x00"), der.tlv(der.NULL)))):
        certificate(f"extension-{name}", section, tbs=lambda fields, value=value: [*fields[:-1], der.tlv(0xA3, der.sequence(value))])
    many = der.tlv(0xA3, der.sequence(*[extension(f"1.2.3.{i}", b"\x05\x00") for i in range(65)]))
    certificate("extensions-65", "certificate.h CERTIFICATE_EXTENSIONS_MAX", tbs=lambda fields: [*fields[:-1], many])

    # An extension twice, once with another value: each reader would act on another one.
    for kind, value in {"basic": der.sequence(der.boolean(True)), "usage": der.named_bits(5, 6), "names": der.sequence(der.dns("b.example")),
                        "eku": der.sequence(der.oid("1.3.6.1.5.5.7.3.1")), "constraints": der.sequence(der.tlv(0xA0, der.sequence(der.dns("a")))),
                        "1.2.3.4": b"\x05\x00"}.items():
        certificate(f"extension-twice-{kind}", "RFC 5280 §4.2", omit=("basic", "usage"), extensions=[(kind, False, value), (kind, False, value)])

    # Values of extensions that the verifier rests on.
    for name, section, kind, value in (
            ("basic-ca-is-neither", "X.690 §11.1", "basic", der.sequence(b"\x01\x01\x01")),
            ("basic-with-more", "RFC 5280 §4.2.1.9", "basic", der.sequence(der.boolean(True), der.integer(1), der.integer(1))),
            ("basic-trailing", STRICT, "basic", der.sequence() + b"\0"),
            ("basic-path-length-padded", "X.690 §8.3.2", "basic", der.sequence(der.boolean(True), b"\x02\x02\x00\x01")),
            ("basic-no-sequence", "RFC 5280 §4.2.1.9", "basic", der.boolean(True)),
            ("usage-no-bits", "RFC 5280 §4.2.1.3", "usage", der.octets(b"\x03")),
            ("usage-nine-unused-bits", "X.690 §8.6.2", "usage", b"\x03\x02\x09\x80"),
            ("usage-without-its-first-byte", "X.690 §8.6.2", "usage", b"\x03\x00"),
            ("usage-unused-bits-set", "X.690 §11.2.1", "usage", b"\x03\x02\x07\xff"),
            ("usage-in-pieces", "X.690 §10.2", "usage", b"\x23\x04\x03\x02\x07\x80"),
            ("ski-no-octets", "RFC 5280 §4.2.1.2", "ski", der.sequence()),
            ("aki-no-sequence", "RFC 5280 §4.2.1.1", "aki", der.octets(b"\x01" * 20)),
            ("aki-twice", "RFC 5280 §4.2.1.1", "aki", der.sequence(*[der.tlv(0x80, b"\x01" * 20)] * 2)),
            ("eku-no-sequence", "RFC 5280 §4.2.1.12", "eku", der.oid("1.3.6.1.5.5.7.3.1")),
            ("eku-length-padded", STRICT, "eku", b"\x30\x81\x0a" + der.oid("1.3.6.1.5.5.7.3.1")),
            ("names-no-sequence", "RFC 5280 §4.2.1.6", "names", der.dns("a.example")),
            ("names-cut-off", STRICT, "names", b"\x30\x04\x82\x09ab"),
            ("names-indefinite", STRICT, "names", b"\x30\x80\x82\x01a\0\0"),
            ("names-of-an-unknown-kind", "RFC 5280 §4.2.1.6", "names", der.sequence(der.tlv(0x89, b"x"))),
            ("names-universal", "RFC 5280 §4.2.1.6", "names", der.sequence(der.tlv(der.IA5, b"a.example"))),
            ("names-constructed-dns", "X.690 §8.14", "names", der.sequence(der.tlv(0xA2, der.tlv(der.IA5, b"a.example")))),
            ("points-length-padded", STRICT, "points", b"\x30\x81\x00"),
            ("policies-length-padded", STRICT, "policies", b"\x30\x81\x07" + der.sequence(der.oid("1.2.3.4"))),
            ("constraints-length-padded", STRICT, "constraints", b"\x30\x81\x07" + der.tlv(0xA0, der.sequence(der.dns("a")))),
            ("features-number-padded", "X.690 §8.3.2", "features", der.sequence(b"\x02\x02\x00\x05"))):
        certificate(f"value-{name}", section, omit=(kind,), extensions=[(kind, False, value)])
    certificate("aki-critical", "RFC 5280 §4.2.1.1", "malformed", omit=("aki",),
                extensions=[("aki", True, der.sequence(der.tlv(0x80, keys.identifier(root.key))))])
    certificate("value-of-an-unknown-one-is-not-read", "RFC 5280 §4.2", "good", extensions=[("1.2.3.4", False, b"\xff\xff\xff")])
    add("leaf-constraints", "malformed", "RFC 5280 §4.2.1.10", [leaf(root, permitted=[der.dns("a.example")])], [root])
    add("ca-without-a-name", "malformed", "RFC 5280 §4.1.2.6", [leaf(nameless := ca("", root)), nameless], [root])
    add("leaf-of-32-kib", "good", "certificate.h CERTIFICATE_MAX", [leaf(root, extensions=[("1.2.3.4", False, b"\0" * 32000)])], [root])
    add("leaf-of-more", "unreadable", "certificate.h CERTIFICATE_MAX", [leaf(root, extensions=[("1.2.3.4", False, b"\0" * 33000)])], [root])
    deep = b"\x05\x00"
    for _ in range(40):
        deep = der.sequence(deep)
    add("leaf-nested-forty-deep", "unreadable", "strict.c DEPTH_MAX",
        [leaf(root, der.sequence(der.tlv(der.SET, der.sequence(der.oid("1.2.3.4"), deep))), key="x")], [root])
