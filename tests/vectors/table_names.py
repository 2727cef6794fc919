# SPDX-License-Identifier: LGPL-2.1-or-later
"""Name constraints (RFC 5280 §4.2.1.10), and the name or URI that a peer was asked for (RFC 9525)."""

import der
from der import directory, dns, ip, mail, network, other_name, registered, uri
from made import DAY, NOW, ca, leaf

CONSTRAINTS, HOST, URI = "RFC 5280 §4.2.1.10", "RFC 9525 §6.3", "RFC 9525 §6.5"
OTHER = other_name("1.3.6.1.4.1.32473.5", der.tlv(der.UTF8, b"x"))


def constrained(add):
    """name: (verdict, permitted, excluded, subject, names)."""
    root = ca("CN=root")
    for name, (verdict, permitted, excluded, subject, names) in {
        # DNS
        "dns-inside": ("good", [dns("example.com")], [], "CN=x", [dns("a.example.com")]),
        "dns-itself": ("good", [dns("example.com")], [], "CN=x", [dns("example.com")]),
        "dns-two-below": ("good", [dns("example.com")], [], "CN=x", [dns("a.b.example.com")]),
        "dns-letter-case": ("good", [dns("Example.COM")], [], "CN=x", [dns("a.eXAMPLE.com")]),
        "dns-end-of-the-text-only": ("constraint", [dns("example.com")], [], "CN=x", [dns("badexample.com")]),
        "dns-above": ("constraint", [dns("a.example.com")], [], "CN=x", [dns("example.com")]),
        "dns-outside": ("constraint", [dns("example.com")], [], "CN=x", [dns("example.org")]),
        "dns-one-of-two-outside": ("constraint", [dns("example.com")], [], "CN=x", [dns("a.example.com"), dns("a.example.org")]),
        "dns-second-base": ("good", [dns("example.com"), dns("example.org")], [], "CN=x", [dns("a.example.org")]),
        "dns-excluded": ("constraint", [], [dns("example.com")], "CN=x", [dns("a.example.com")]),
        "dns-excluded-itself": ("constraint", [], [dns("example.com")], "CN=x", [dns("example.com")]),
        "dns-excluded-letter-case": ("constraint", [], [dns("example.com")], "CN=x", [dns("a.EXAMPLE.com")]),
        "dns-not-excluded": ("good", [], [dns("example.com")], "CN=x", [dns("a.example.org")]),
        "dns-not-excluded-end-of-the-text": ("good", [], [dns("example.com")], "CN=x", [dns("badexample.com")]),
        "dns-permitted-and-excluded": ("constraint", [dns("example.com")], [dns("b.example.com")], "CN=x", [dns("a.b.example.com")]),
        "dns-permitted-beside-the-excluded": ("good", [dns("example.com")], [dns("b.example.com")], "CN=x", [dns("a.example.com")]),
        "dns-empty-base-permits-all": ("good", [dns("")], [], "CN=x", [dns("a.example.com")]),
        "dns-empty-base-excludes-all": ("constraint", [], [dns("")], "CN=x", [dns("a.example.com")]),
        "dns-no-such-name": ("good", [dns("example.com")], [], "CN=some person", [uri("https://b.example/")]),
        "dns-trailing-dot": ("constraint", [dns("example.com")], [], "CN=x", [dns("a.example.com.")]),
        "dns-not-text": ("constraint", [], [dns("example.com")], "CN=x", [dns(b"a.example.com\0.org")]),
        "dns-wildcard-inside": ("good", [dns("example.com")], [], "CN=x", [dns("*.example.com")]),
        "dns-wildcard-that-may-be-inside": ("constraint", [dns("a.example.com")], [], "CN=x", [dns("*.example.com")]),
        "dns-wildcard-reaches-the-excluded": ("constraint", [], [dns("secret.example.com")], "CN=x", [dns("*.example.com")]),
        "dns-wildcard-below-the-excluded": ("constraint", [], [dns("example.com")], "CN=x", [dns("*.a.example.com")]),
        "dns-wildcard-beside-the-excluded": ("good", [], [dns("a.secret.example.com")], "CN=x", [dns("*.example.com")]),
        "dns-wildcard-elsewhere": ("good", [], [dns("secret.example.org")], "CN=x", [dns("*.example.com")]),
        "dns-underscore": ("good", [dns("example.com")], [], "CN=x", [dns("_a.example.com")]),
        # a common name
        "cn-that-is-a-dns-name-outside": ("constraint", [dns("example.com")], [], "CN=a.example.org", []),
        "cn-that-is-a-dns-name-inside": ("good", [dns("example.com")], [], "CN=a.example.com", []),
        "cn-that-is-a-dns-name-excluded": ("constraint", [], [dns("example.org")], "CN=a.example.org", []),
        "cn-that-is-none": ("good", [dns("example.com")], [], "CN=Device 7 (spare)", []),
        "cn-without-a-dot": ("good", [dns("example.com")], [], "CN=device", []),
        "cn-beside-a-san": ("good", [dns("example.com")], [], "CN=a.example.org", [dns("a.example.com")]),
        "cn-second-of-two": ("constraint", [dns("example.com")], [], "CN=a.example.com,CN=a.example.org", []),
        "cn-wildcard": ("constraint", [], [dns("secret.example.com")], "CN=*.example.com", []),
        # IP
        "ip4-inside": ("good", [network("10.0.0.0/8")], [], "CN=x", [ip("10.1.2.3")]),
        "ip4-outside": ("constraint", [network("10.0.0.0/8")], [], "CN=x", [ip("11.0.0.0")]),
        "ip4-odd-prefix-inside": ("good", [network("10.0.0.128/25")], [], "CN=x", [ip("10.0.0.128")]),
        "ip4-odd-prefix-outside": ("constraint", [network("10.0.0.128/25")], [], "CN=x", [ip("10.0.0.127")]),
        "ip4-one-address": ("good", [network("10.0.0.1/32")], [], "CN=x", [ip("10.0.0.1")]),
        "ip4-all": ("good", [network("0.0.0.0/0")], [], "CN=x", [ip("192.0.2.1")]),
        "ip4-excluded": ("constraint", [], [network("10.0.0.0/8")], "CN=x", [ip("10.1.2.3")]),
        "ip4-all-excluded": ("constraint", [], [network("0.0.0.0/0")], "CN=x", [ip("10.1.2.3")]),
        "ip4-all-excluded-ip6": ("good", [], [network("0.0.0.0/0")], "CN=x", [ip("2001:db8::1")]),
        "ip6-inside": ("good", [network("2001:db8::/32")], [], "CN=x", [ip("2001:db8::1")]),
        "ip6-outside": ("constraint", [network("2001:db8::/32")], [], "CN=x", [ip("2001:db9::1")]),
        "ip6-where-ip4-is-permitted": ("constraint", [network("10.0.0.0/8")], [], "CN=x", [ip("2001:db8::1")]),
        "ip6-excluded": ("constraint", [], [network("2001:db8::/32")], "CN=x", [ip("2001:db8::1")]),
        "ip-host-bits-in-the-base": ("good", [der.tlv(0x87, bytes([10, 1, 2, 3, 255, 0, 0, 0]))], [], "CN=x", [ip("10.9.9.9")]),
        "ip-of-five-bytes": ("constraint", [], [network("10.0.0.0/8")], "CN=x", [ip(b"\x0b\0\0\0\0")]),
        "ip-nothing-about-dns": ("good", [network("10.0.0.0/8")], [], "CN=x", [dns("a.example.org")]),
        # mail
        "mail-box": ("good", [mail("a@example.com")], [], "CN=x", [mail("a@EXAMPLE.com")]),
        "mail-other-box": ("constraint", [mail("a@example.com")], [], "CN=x", [mail("b@example.com")]),
        "mail-box-letter-case": ("constraint", [mail("a@example.com")], [], "CN=x", [mail("A@example.com")]),
        "mail-host": ("good", [mail("example.com")], [], "CN=x", [mail("a@example.com")]),
        "mail-host-below": ("constraint", [mail("example.com")], [], "CN=x", [mail("a@b.example.com")]),
        "mail-domain": ("good", [mail(".example.com")], [], "CN=x", [mail("a@b.example.com")]),
        "mail-domain-itself": ("constraint", [mail(".example.com")], [], "CN=x", [mail("a@example.com")]),
        "mail-excluded": ("constraint", [], [mail("example.com")], "CN=x", [mail("a@example.com")]),
        "mail-not-excluded": ("good", [], [mail("example.com")], "CN=x", [mail("a@example.org")]),
        "mail-without-a-host": ("constraint", [], [mail("example.com")], "CN=x", [mail("a")]),
        "mail-quoted": ("constraint", [], [mail("b@example.com")], "CN=x", [mail('"b"@example.com')]),
        "mail-in-the-subject": ("constraint", [mail("example.com")], [], "CN=x,MAIL=a@example.org", []),
        "mail-in-the-subject-inside": ("good", [mail("example.com")], [], "CN=x,MAIL=a@example.com", []),
        "mail-in-the-subject-beside-a-san": ("constraint", [mail("example.com")], [], "CN=x,MAIL=a@example.org", [mail("a@example.com")]),
        # URI
        "uri-host": ("good", [uri("host.example.com")], [], "CN=x", [uri("https://host.example.com/a")]),
        "uri-host-below": ("constraint", [uri("example.com")], [], "CN=x", [uri("https://host.example.com/a")]),
        "uri-domain": ("good", [uri(".example.com")], [], "CN=x", [uri("https://host.example.com:8443/a")]),
        "uri-domain-itself": ("constraint", [uri(".example.com")], [], "CN=x", [uri("https://example.com/")]),
        "uri-user-before-the-host": ("constraint", [uri("example.com")], [], "CN=x", [uri("https://example.com@evil.example/")]),
        "uri-excluded": ("constraint", [], [uri("example.com")], "CN=x", [uri("https://example.com/")]),
        "uri-excluded-letter-case": ("constraint", [], [uri("example.com")], "CN=x", [uri("HTTPS://EXAMPLE.com/")]),
        "uri-excluded-trailing-dot": ("constraint", [], [uri("example.com")], "CN=x", [uri("https://example.com./")]),
        "uri-excluded-percent": ("constraint", [], [uri("example.com")], "CN=x", [uri("https://ex%61mple.com/")]),
        "uri-not-excluded": ("good", [], [uri("example.com")], "CN=x", [uri("https://example.org/")]),
        "uri-without-a-host": ("constraint", [], [uri("example.com")], "CN=x", [uri("urn:uuid:f81d4fae")]),
        "uri-with-an-address": ("constraint", [uri("example.com")], [], "CN=x", [uri("https://192.0.2.1/")]),
        "uri-empty-base-excludes-all": ("constraint", [], [uri("")], "CN=x", [uri("https://example.com/")]),
        "uri-spiffe": ("good", [uri("trust.example")], [], "CN=x", [uri("spiffe://trust.example/device")]),
        # directory names
        "directory-inside": ("good", [directory("O=Example")], [], "O=Example,CN=x", []),
        "directory-itself": ("good", [directory("O=Example,CN=x")], [], "O=Example,CN=x", []),
        "directory-outside": ("constraint", [directory("O=Example")], [], "O=Elsewhere,CN=x", []),
        "directory-above": ("constraint", [directory("O=Example,OU=Line")], [], "O=Example,CN=x", []),
        "directory-excluded": ("constraint", [], [directory("O=Example,OU=Line")], "O=Example,OU=Line,CN=x", []),
        "directory-excluded-letter-case": ("constraint", [], [directory("O=Example,OU=Line")], "O=EXAMPLE,OU=line,CN=x", []),
        "directory-excluded-other-type": ("constraint", [], [directory("O=Example", der.PRINTABLE)], "O=Example,CN=x", []),
        "directory-not-excluded": ("good", [], [directory("O=Example,OU=Line")], "O=Example,OU=Other,CN=x", []),
        "directory-empty-base-permits-all": ("good", [directory("")], [], "O=Example,CN=x", []),
        "directory-empty-base-excludes-all": ("constraint", [], [directory("")], "O=Example,CN=x", []),
        "directory-empty-subject": ("good", [directory("O=Example")], [], "", [dns("a.example")]),
        "directory-among-the-names": ("constraint", [directory("O=Example")], [], "O=Example,CN=x", [directory("O=Elsewhere")]),
        # kinds that cannot be compared
        "other-name-constrained": ("constraint", [OTHER], [], "CN=x", [OTHER]),
        "other-name-excluded": ("constraint", [], [OTHER], "CN=x", [other_name("1.2.3", der.tlv(der.UTF8, b"y"))]),
        "other-name-and-none-there": ("good", [], [OTHER], "CN=x", [dns("a.example")]),
        "registered-id-constrained": ("constraint", [], [registered("1.2.3")], "CN=x", [registered("1.2.4")]),
    }.items():
        one = ca("CN=int", root, permitted=permitted, excluded=excluded)
        add(f"constraint-{name}", verdict, CONSTRAINTS, [leaf(one, subject, key="leaf", names=names), one], [root])


def malformed_constraints(add):
    root = ca("CN=root")
    for name, value in {
        "empty": der.sequence(),
        "empty-list": der.sequence(b"\xa0\x00"),
        "minimum-one": der.sequence(der.tlv(0xA0, der.sequence(dns("example.com"), b"\x80\x01\x01"))),
        "maximum": der.sequence(der.tlv(0xA0, der.sequence(dns("example.com"), b"\x81\x01\x05"))),
        "lists-in-the-wrong-order": der.sequence(der.tlv(0xA1, der.sequence(dns("a.example"))), der.tlv(0xA0, der.sequence(dns("example")))),
        "list-twice": der.sequence(der.tlv(0xA0, der.sequence(dns("a.example"))), der.tlv(0xA0, der.sequence(dns("b.example")))),
        "third-list": der.sequence(der.tlv(0xA2, der.sequence(dns("a.example")))),
        "dns-with-a-dot-before-it": der.sequence(der.tlv(0xA0, der.sequence(dns(".example.com")))),
        "dns-that-is-none": der.sequence(der.tlv(0xA1, der.sequence(dns("https://example.com")))),
        "dns-wildcard": der.sequence(der.tlv(0xA1, der.sequence(dns("*.example.com")))),
        "ip-of-four-bytes": der.sequence(der.tlv(0xA0, der.sequence(ip("10.0.0.1")))),
        "ip-mask-with-a-hole": der.sequence(der.tlv(0xA0, der.sequence(ip(bytes([10, 0, 0, 0, 255, 0, 255, 0]))))),
        "subtree-without-a-base": der.sequence(der.tlv(0xA0, der.sequence())),
        "base-of-an-unknown-kind": der.sequence(der.tlv(0xA0, der.sequence(der.tlv(0x89, b"x")))),
        "base-that-is-no-general-name": der.sequence(der.tlv(0xA0, der.sequence(der.tlv(der.UTF8, b"x")))),
    }.items():
        one = ca("CN=int", root, extensions=[("constraints", True, value)])
        add(f"malformed-constraints-{name}", "malformed", CONSTRAINTS, [leaf(one), one], [root])
    anchor = ca("CN=r", extensions=[("constraints", True, der.sequence())])
    add("malformed-constraints-of-the-anchor", "malformed", CONSTRAINTS, [leaf(anchor)], [anchor])
    for name, value in {"no-sequence": der.octets(b"x"), "trailing-bytes": der.sequence(der.tlv(0xA0, der.sequence(dns("a.example")))) + b"\0"}.items():
        one = ca("CN=int", root, extensions=[("constraints", True, value)])
        add(f"malformed-constraints-{name}", "no-path", CONSTRAINTS, [leaf(one), one], [root])


def levels(add):
    """Several certificates that constrain, or are constrained."""
    root = ca("CN=root")

    def chain(name, verdict, top, *more, names=(), subject="CN=leaf", anchor=root, self_issued=()):
        """Constraints (permitted, excluded) of each issuer from the top."""
        issuers = [anchor]
        for i, (permitted, excluded) in enumerate((top, *more)):
            above = issuers[-1]
            issuers.append(ca(above.name if i in self_issued else f"CN=int {i}", above, key=f"int {i}", permitted=permitted, excluded=excluded))
        add(f"levels-{name}", verdict, CONSTRAINTS, [leaf(issuers[-1], subject, key="leaf", names=names), *issuers[:0:-1]], [anchor])

    com, below, org = [dns("example.com")], [dns("a.example.com")], [dns("example.org")]
    chain("both-inside", "good", (com, []), (below, []), names=[dns("x.a.example.com")])
    chain("only-the-upper", "constraint", (com, []), (below, []), names=[dns("x.example.com")])
    chain("lower-does-not-widen", "constraint", (below, []), (com, []), names=[dns("x.example.com")])
    chain("lower-elsewhere-leaves-nothing", "constraint", (com, []), (org, []), names=[dns("x.example.com")])
    chain("excluded-above", "constraint", ([], com), ([], []), ([], []), names=[dns("x.example.com")])
    chain("other-kinds-at-each-level", "good", (com, []), ([network("10.0.0.0/8")], []), names=[dns("x.example.com"), ip("10.0.0.1")])
    chain("of-the-anchor", "constraint", ([], []), names=[dns("x.example.org")], anchor=ca("CN=r", permitted=com))
    chain("of-the-anchor-inside", "good", ([], []), names=[dns("x.example.com")], anchor=ca("CN=r", permitted=com))
    top = ca("CN=int", root, permitted=[directory("O=Example")])
    outside, inside = ca("O=Elsewhere,CN=sub", top), ca("O=Example,CN=sub", top)
    add("levels-intermediate-outside", "constraint", CONSTRAINTS, [leaf(outside, "O=Example,CN=x"), outside, top], [root])
    add("levels-intermediate-inside", "good", CONSTRAINTS, [leaf(inside, "O=Example,CN=x"), inside, top], [root])
    named = ca("O=Example,CN=sub", ca("CN=dns int", root, permitted=com), names=[dns("a.example.org")])
    add("levels-intermediate-with-a-name-outside", "constraint", CONSTRAINTS,
        [leaf(named), named, ca("CN=dns int", root, permitted=com)], [root])
    self_issued = ca(top.name, top, key="self")
    add("levels-self-issued-intermediate-is-not-looked-at", "good", "RFC 5280 §6.1.3 (b)",
        [leaf(self_issued, "O=Example,CN=x"), self_issued, top], [root])
    add("levels-self-issued-leaf-is", "constraint", "RFC 5280 §6.1.3 (b)", [leaf(top, top.name, key="x"), top], [root])
    alternative = ca("CN=int", ca("CN=other root"), key="CN=int")
    add("levels-another-path-without-them", "good", "RFC 4158 §2.4", [leaf(top, "O=Elsewhere,CN=x"), top, alternative],
        [root, ca("CN=other root")])


def hosts(add):
    root = ca("CN=root")
    for name, (verdict, presented, host) in {
        "itself": ("good", [dns("a.example.com")], "a.example.com"),
        "letter-case": ("good", [dns("A.Example.com")], "a.eXAMPLE.com"),
        "another": ("name", [dns("b.example.com")], "a.example.com"),
        "second-of-two": ("good", [dns("b.example.com"), dns("a.example.com")], "a.example.com"),
        "dot-at-the-end-asked": ("good", [dns("a.example.com")], "a.example.com."),
        "dot-at-the-end-presented": ("name", [dns("a.example.com.")], "a.example.com"),
        "two-dots-at-the-end": ("name", [dns("a.example.com")], "a.example.com.."),
        "underscore": ("good", [dns("my_host.example.com")], "my_host.example.com"),
        "no-dot": ("good", [dns("localhost")], "localhost"),
        "empty": ("name", [dns("a.example.com")], ""),
        "wildcard": ("good", [dns("*.example.com")], "a.example.com"),
        "wildcard-letter-case": ("good", [dns("*.EXAMPLE.com")], "a.example.com"),
        "wildcard-two-labels": ("name", [dns("*.example.com")], "a.b.example.com"),
        "wildcard-no-label": ("name", [dns("*.example.com")], "example.com"),
        "wildcard-empty-label": ("name", [dns("*.example.com")], ".example.com"),
        "wildcard-top": ("name", [dns("*.com")], "example.com"),
        "wildcard-alone": ("name", [dns("*")], "localhost"),
        "wildcard-part-of-a-label": ("name", [dns("a*.example.com")], "ab.example.com"),
        "wildcard-end-of-a-label": ("name", [dns("*a.example.com")], "ba.example.com"),
        "wildcard-second-label": ("name", [dns("a.*.example.com")], "a.b.example.com"),
        "wildcard-twice": ("name", [dns("*.*.example.com")], "a.b.example.com"),
        "wildcard-asked": ("name", [dns("*.example.com")], "*.example.com"),
        "wildcard-and-underscore": ("good", [dns("*.example.com")], "my_host.example.com"),
        "nul-within": ("name", [dns(b"a.example.com\0.evil.example")], "a.example.com"),
        "end-of-the-text-only": ("name", [dns("example.com")], "badexample.com"),
        "address": ("good", [ip("192.0.2.1")], "192.0.2.1"),
        "address-as-dns": ("name", [dns("192.0.2.1")], "192.0.2.1"),
        "address-another": ("name", [ip("192.0.2.2")], "192.0.2.1"),
        "address-with-zeros": ("name", [ip("192.0.2.1")], "192.0.02.1"),
        "address-short": ("name", [ip("192.0.0.1")], "192.1"),
        "address-in-hex": ("name", [ip("192.0.2.1")], "0xc0000201"),
        "address-6": ("good", [ip("2001:db8::1")], "2001:0db8:0:0::1"),
        "address-6-letter-case": ("good", [ip("2001:db8::a")], "2001:DB8::A"),
        "address-6-in-brackets": ("name", [ip("2001:db8::1")], "[2001:db8::1]"),
        "address-4-in-6": ("name", [ip("192.0.2.1")], "::ffff:192.0.2.1"),
        "address-wildcard": ("name", [dns("*.0.2.1")], "192.0.2.1"),
        "in-a-uri": ("name", [uri("https://a.example.com/")], "a.example.com"),
        "in-a-mail-address": ("name", [mail("x@a.example.com")], "a.example.com"),
        "constructed": ("unreadable", [der.tlv(0xA2, der.tlv(der.IA5, b"a.example.com"))], "a.example.com"),
        "a-label": ("good", [dns("xn--bcher-kva.example")], "xn--bcher-kva.example"),
    }.items():
        add(f"host-{name}", verdict, HOST, [leaf(root, names=presented)], [root], host=host)
    add("host-in-the-common-name-only", "name", "RFC 9525 §6.3", [leaf(root, "CN=a.example.com")], [root], host="a.example.com")
    add("host-of-another-time", "time", "RFC 5280 §6.1.3 (a) (2)", [leaf(root, names=[dns("a.example")], ends=NOW - DAY)], [root],
        host="a.example")
    add("no-subject-and-names-not-critical", "malformed", "RFC 5280 §4.2.1.6",
        [leaf(root, "", extensions=[("names", False, der.sequence(dns("a.example")))])], [root])
    for name, (verdict, presented, wanted) in {
        "itself": ("good", "spiffe://trust.example/device/7", "spiffe://trust.example/device/7"),
        "scheme-letter-case": ("good", "SPIFFE://trust.example/device", "spiffe://trust.example/device"),
        "host-letter-case": ("good", "spiffe://Trust.Example/device", "spiffe://trust.example/device"),
        "path-letter-case": ("name", "spiffe://trust.example/Device", "spiffe://trust.example/device"),
        "path-longer": ("name", "spiffe://trust.example/device/7", "spiffe://trust.example/device"),
        "path-shorter": ("name", "spiffe://trust.example/device", "spiffe://trust.example/device/7"),
        "other-scheme": ("name", "https://trust.example/device", "spiffe://trust.example/device"),
        "port": ("name", "https://trust.example:443/", "https://trust.example/"),
        "user": ("name", "https://a@trust.example/", "https://A@trust.example/"),
        "urn": ("good", "urn:dev:mac:0024beffff804ff1", "URN:dev:mac:0024beffff804ff1"),
        "urn-letter-case": ("name", "urn:dev:mac:0024BEFFFF804FF1", "urn:dev:mac:0024beffff804ff1"),
        "no-scheme": ("name", "trust.example/device", "trust.example/device"),
    }.items():
        add(f"uri-{name}", verdict, URI, [leaf(root, names=[uri(presented)])], [root], uri=wanted)
    add("uri-as-dns", "name", URI, [leaf(root, names=[dns("trust.example")])], [root], uri="https://trust.example/")


def cases(add):
    for group in (constrained, malformed_constraints, levels, hosts):
        group(add)
