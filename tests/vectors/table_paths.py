# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which path is taken, and what RFC 5280 §6.1 asks of each certificate of it apart from names and policies."""

import der
import keys
from made import ANY_USAGE, CLIENT, DAY, NOW, OCSP, SERVER, SIGN, SIGN_CERTIFICATES, SIGN_CRLS, ca, leaf

BUILD, SIGNATURE, ISSUER, VALIDITY = ("RFC 4158 §2.4", "RFC 5280 §6.1.3 (a) (1)", "RFC 5280 §6.1.3 (a) (4)", "RFC 5280 §6.1.3 (a) (2)")
BASIC, LENGTH, USAGE, EKU, STRENGTH = ("RFC 5280 §6.1.4 (k)", "RFC 5280 §6.1.4 (m)", "RFC 5280 §6.1.4 (n)", "RFC 5280 §4.2.1.12",
                                       "RFC 9325 §4.5")
NO_IDS = ("ski", "aki")


def building(add):
    root, other = ca("CN=root"), ca("CN=other root")
    one = ca("CN=int", root)
    end = leaf(one)
    add("plain", "good", BUILD, [end, one], [root])
    add("without-the-intermediate", "no-path", ISSUER, [end], [root])
    add("another-root", "no-path", ISSUER, [end, one], [other])
    add("two-anchors", "good", BUILD, [end, one], [other, root])
    add("directly-below-the-anchor", "good", BUILD, [leaf(root)], [root])
    add("anchor-is-an-intermediate", "good", "RFC 5280 §6.1.1 (d)", [end], [one])
    add("anchor-is-an-intermediate-and-the-root-comes-too", "good", "RFC 5280 §6.1.1 (d)", [end, one, root], [one])
    add("root-among-the-candidates-is-trusted-for-nothing", "no-path", "RFC 5280 §6.1", [end, one, root], [other])
    add("root-among-the-candidates-as-well", "good", BUILD, [end, one, root], [root])
    add("candidates-in-the-wrong-order", "good", BUILD, [leaf(two := ca("CN=int2", one)), root, one, two], [root])
    add("candidates-twice", "good", BUILD, [end, one, one, end, one], [root])
    add("anchors-twice", "good", BUILD, [end, one], [root, root])
    add("unrelated-certificates-first", "good", BUILD, [end, other, leaf(other), ca("CN=x", other), one], [root])
    add("garbage-among-the-candidates", "good", BUILD, [end, b"\x30\x03\x02\x01\x01", one], [root])
    add("leaf-is-the-anchor", "good", BUILD, [root], [root])
    add("self-signed-leaf", "no-path", BUILD, [leaf(None, "CN=own")], [root])
    add("leaf-trusted-and-no-ca", "not-a-ca", BASIC, [own := leaf(None, "CN=own"), own], [own])
    add("leaf-that-is-a-ca", "good", "RFC 5280 §4.2.1.9", [one], [root])

    expired = ca("CN=int", other, begins=NOW - 50 * DAY, ends=NOW - DAY)
    cross = ca("CN=int", other)
    add("expired-cross-certificate-first", "good", BUILD, [end, expired, one], [root, other])
    add("expired-cross-certificate-last", "good", BUILD, [end, one, expired], [root, other])
    add("only-the-expired-one", "time", VALIDITY, [end, expired], [root, other])
    add("cross-certificate-to-an-unknown-root-first", "good", BUILD, [end, cross, one], [root])
    add("both-ways-are-good", "good", BUILD, [end, cross, one], [root, other])
    add("dead-end-two-levels-up", "good", BUILD, [leaf(low := ca("CN=low", cross)), low, cross, one], [root])
    renewed = ca("CN=int", root, ends=NOW + 300 * DAY)
    add("expired-one-of-the-same-issuer-first", "good", BUILD,
        [end, ca("CN=int", root, ends=NOW - DAY), renewed], [root])
    add("not-yet-valid-one-first", "good", BUILD, [end, ca("CN=int", root, begins=NOW + DAY), one], [root])
    for kind, spoiled in {"without-ca": ca("CN=int", root, omit=("basic",)), "without-usage": ca("CN=int", root, usage=[SIGN]),
                          "constrained": ca("CN=int", root, permitted=[der.directory("O=elsewhere")]),
                          "weak": ca("CN=int", root, key=keys.ec("CN=int"), algorithm="ecdsa-sha1"),
                          "critical": ca("CN=int", root, extensions=[("1.2.3.4", True, b"\x05\x00")])}.items():
        add(f"bad-one-first-{kind}", "good", BUILD, [end, spoiled, one], [root])

    twin = ca("CN=int", root, key="twin")
    add("two-issuers-of-one-subject", "good", BUILD, [end, twin, one], [root])
    add("two-issuers-of-one-subject-other-order", "good", BUILD, [end, one, twin], [root])
    add("the-wrong-one-of-two", "no-path", SIGNATURE, [end, twin], [root])
    bare_one, bare_twin = ca("CN=int", root, omit=NO_IDS), ca("CN=int", root, key="twin", omit=NO_IDS)
    bare = leaf(bare_one, omit=NO_IDS)
    add("no-key-identifiers", "good", BUILD, [bare, bare_one], [ca("CN=root", omit=NO_IDS)])
    add("no-key-identifiers-two-issuers", "good", BUILD, [bare, bare_twin, bare_one], [root])
    add("no-key-identifiers-the-wrong-one", "no-path", SIGNATURE, [bare, bare_twin], [root])
    add("key-identifier-of-another-key", "no-path", "RFC 5280 §4.2.1.1", [leaf(one, aki=b"\x01" * 20), one], [root])
    add("same-key-other-name", "no-path", ISSUER, [end, ca("CN=elsewhere", root, key="CN=int")], [root])
    add("right-name-and-key-other-issuer-spelled", "good", BUILD, [end, ca("CN=int", root, key="CN=int", serial=der.integer(99))], [root])
    add("spoiled-signature", "no-path", SIGNATURE, [leaf(one, whole=lambda text: text[:-1] + bytes([text[-1] ^ 1])), one], [root])
    add("signed-by-somebody-else", "no-path", SIGNATURE, [leaf(one, signed_by=keys.ec("thief"), omit=("aki",)), one], [root])
    add("signed-by-itself-under-a-name-of-ours", "no-path", SIGNATURE,
        [leaf(one, signed_by=keys.ec("CN=leaf"), omit=("aki",)), one], [root])


def rollover(add):
    old, new = ca("CN=root", key="old"), ca("CN=root", key="new")
    new_with_old, old_with_new = ca("CN=root", old, key="new"), ca("CN=root", new, key="old")
    below_old, below_new = ca("CN=int", old), ca("CN=int", new)
    section = "RFC 4210 §4.4"
    add("new-with-old", "good", section, [leaf(below_new), below_new, new_with_old], [old])
    add("old-with-new", "good", section, [leaf(below_old), below_old, old_with_new], [new])
    add("both-links-old-anchor", "good", section, [leaf(below_new), below_new, old_with_new, new_with_old], [old])
    add("both-links-new-anchor", "good", section, [leaf(below_old), below_old, new_with_old, old_with_new], [new])
    add("loop-without-an-anchor", "no-path", BUILD, [leaf(below_new), below_new, old_with_new, new_with_old], [ca("CN=x")])
    add("new-without-the-link", "no-path", ISSUER, [leaf(below_new), below_new], [old])
    add("new-with-old-expired", "time", VALIDITY, [leaf(below_new), below_new, ca("CN=root", old, key="new", ends=NOW - DAY)], [old])
    a, b = ca("CN=a", key="a"), ca("CN=b", key="b")
    a_by_b, b_by_a = ca("CN=a", b, key="a"), ca("CN=b", a, key="b")
    add("two-that-certify-each-other", "no-path", BUILD, [leaf(a_by_b), a_by_b, b_by_a], [ca("CN=x")])
    add("two-that-certify-each-other-with-a-way-out", "good", BUILD,
        [leaf(a_by_b), a_by_b, b_by_a, ca("CN=b", ca("CN=x"), key="b")], [ca("CN=x")])
    chain = [ca("CN=top")]
    for i in range(10):
        chain.append(ca(f"CN=level {i}", chain[-1]))
    add("nine-intermediates", "good", BUILD, [leaf(chain[9]), *chain[1:10]], [chain[0]])
    add("ten-intermediates", "work", "chain.h CHAIN_MAX", [leaf(chain[10]), *chain[1:]], [chain[0]])
    add("depth-allowed", "good", "RFC 5280 §4.2.1.9", [leaf(chain[2]), *chain[1:3]], [chain[0]], depth=2)
    add("depth-not-allowed", "constraint", "RFC 5280 §4.2.1.9", [leaf(chain[3]), *chain[1:4]], [chain[0]], depth=2)
    add("depth-self-issued-is-not-counted", "good", "RFC 5280 §4.2.1.9", [leaf(below_new), below_new, new_with_old], [old], depth=1)


def spellings(add):
    """RFC 5280 §7.1: the issuer's name in the certificate below is written another way."""
    def issued(subject, issuer_name, verdict, name, tag=der.UTF8):
        root = ca(subject, key="spelled", tag=tag)
        add(f"spelling-{name}", verdict, "RFC 5280 §7.1", [leaf(root, issuer_name=issuer_name)], [root])

    issued("O=Example,CN=CA", der.name("O=Example,CN=CA", der.PRINTABLE), "good", "printable-for-utf8")
    issued("O=Example,CN=CA", der.name("O=EXAMPLE,CN=ca"), "good", "letter-case")
    issued("O=Example,CN=CA", der.name("O=  Example ,CN=CA"), "good", "spaces-at-the-ends")
    issued("O=Example Works,CN=CA", der.name("O=Example   Works,CN=CA"), "good", "spaces-within")
    issued("O=ExampleWorks,CN=CA", der.name("O=Example Works,CN=CA"), "no-path", "a-space-or-none")
    issued("O=Example,CN=CA", der.name("O=Example,CN=CA", der.BMP), "good", "bmp-for-utf8")
    issued("O=Ökonom,CN=CA", der.name("O=öKONOM,CN=CA"), "good", "letter-case-beyond-ascii")
    issued("O=Example,CN=CA", der.name("CN=CA,O=Example"), "no-path", "other-order")
    issued("O=Example+OU=Line,CN=CA", der.sequence(der.tlv(der.SET, der.attribute("O", "Example"), der.attribute("OU", "Line")),
                                                   der.tlv(der.SET, der.attribute("CN", "CA"))), "good", "one-rdn-of-two")
    issued("O=Example+OU=Line,CN=CA", der.name("O=Example,OU=Line,CN=CA"), "no-path", "two-rdns-for-one")
    issued("O=Example,CN=CA", der.name("O=Example"), "no-path", "shorter")
    issued("O=Example,CN=CA", der.name("O=Example,CN=CA,OU=x"), "no-path", "longer")
    issued("O=Example,CN=CA", der.name("OU=Example,CN=CA"), "no-path", "other-type")
    issued("DC=example,CN=CA", der.name("DC=EXAMPLE,CN=CA"), "good", "domain-component-letter-case")
    issued("MAIL=Ca@example,CN=CA", der.name("MAIL=ca@EXAMPLE,CN=CA"), "good", "mail-letter-case")
    issued("O=Straße,CN=CA", der.name("O=STRASSE,CN=CA"), "no-path", "sharp-s-is-unclear")


def times(add):
    root = ca("CN=root", begins=NOW - 100, ends=NOW + 100)
    one = ca("CN=int", root, begins=NOW - 90, ends=NOW + 90)
    end = leaf(one, begins=NOW - 80, ends=NOW + 80)
    for name, now, verdict in (("first-second", NOW - 80, "good"), ("a-second-before", NOW - 81, "time"), ("last-second", NOW + 80, "good"),
                               ("a-second-after", NOW + 81, "time")):
        add(f"time-leaf-{name}", verdict, VALIDITY, [end, one], [root], now=now)
    end = leaf(one, begins=NOW - 500, ends=NOW + 500)
    for name, now, verdict in (("first-second", NOW - 90, "good"), ("a-second-before", NOW - 91, "time"), ("last-second", NOW + 90, "good"),
                               ("a-second-after", NOW + 91, "time")):
        add(f"time-intermediate-{name}", verdict, VALIDITY, [end, one], [root], now=now)
    one = ca("CN=int", root, begins=NOW - 500, ends=NOW + 500)
    for name, now, verdict in (("first-second", NOW - 100, "good"), ("a-second-before", NOW - 101, "time"),
                               ("last-second", NOW + 100, "good"), ("a-second-after", NOW + 101, "time")):
        add(f"time-anchor-{name}", verdict, VALIDITY, [end, one], [root], now=now)
    root = ca("CN=root", begins=der.at("1990-01-01 00:00:00"), ends=der.generalized(der.at("2999-01-01 00:00:00")))
    forever = leaf(root, ends=der.tlv(der.GENERALIZED, b"99991231235959Z"))
    add("time-without-an-end", "good", "RFC 5280 §4.1.2.5", [forever], [root])
    add("time-beyond-2050", "good", "RFC 5280 §4.1.2.5", [forever], [root], now=der.at("2060-01-01 00:00:00"))
    century = leaf(root, begins=der.tlv(der.UTC, b"500101000000Z"), ends=der.tlv(der.UTC, b"491231235959Z"))
    add("time-1950-to-2049", "good", "RFC 5280 §4.1.2.5.1", [century], [root])
    add("time-1950-to-2049-after", "time", "RFC 5280 §4.1.2.5.1", [century], [root], now=der.at("2050-01-01 00:00:00"))
    add("time-ends-before-it-begins", "time", VALIDITY, [leaf(root, begins=NOW + 1, ends=NOW - 1)], [root])


def basic(add):
    root = ca("CN=root")
    no_ca = leaf(root, "CN=int", usage=[SIGN, SIGN_CERTIFICATES])
    add("issuer-is-no-ca", "not-a-ca", BASIC, [leaf(no_ca), no_ca], [root])
    none = ca("CN=int", root, omit=("basic",))
    add("issuer-without-basic-constraints", "not-a-ca", BASIC, [leaf(none), none], [root])
    version1 = ca("CN=int", root, version=0, omit=("basic", "usage", "ski", "aki"))
    add("issuer-of-version-1", "not-a-ca", BASIC, [leaf(version1), version1], [root])
    old = ca("CN=old root", version=0, omit=("basic", "usage", "ski", "aki"))
    add("anchor-of-version-1", "not-a-ca", BASIC, [leaf(old), leaf(old)], [old])
    unsigned = ca("CN=int", root, usage=[SIGN])
    add("issuer-must-not-sign-certificates", "not-a-ca", USAGE, [leaf(unsigned), unsigned], [root])
    crls = ca("CN=int", root, usage=[SIGN_CRLS])
    add("issuer-signs-crls-only", "not-a-ca", USAGE, [leaf(crls), crls], [root])
    anchor = ca("CN=r", usage=[SIGN_CRLS])
    add("anchor-must-not-sign-certificates", "not-a-ca", USAGE, [leaf(anchor)], [anchor])
    free = ca("CN=int", root, omit=("usage",))
    add("issuer-without-key-usage", "good", USAGE, [leaf(free), free], [root])
    add("leaf-signs-certificates-and-is-no-ca", "malformed", "RFC 5280 §4.2.1.9", [leaf(root, usage=[SIGN_CERTIFICATES])], [root])
    add("leaf-without-key-usage", "good", "RFC 5280 §4.2.1.3", [leaf(root, omit=("usage",))], [root])

    def lengths(name, verdict, *limits, root_limit=None, self_issued=()):
        """Intermediates from the top, each with a limit or None."""
        chain = [ca("CN=top", path_length=root_limit)]
        for i, limit in enumerate(limits):
            above = chain[-1]
            chain.append(ca(above.name if i in self_issued else f"CN=int {i}", above, key=f"int {i}", path_length=limit))
        add(f"path-length-{name}", verdict, LENGTH, [leaf(chain[-1]), *chain[:0:-1]], [chain[0]])

    lengths("zero-and-a-leaf", "good", 0)
    lengths("zero-and-a-ca", "not-a-ca", 0, None)
    lengths("one-and-one", "good", 1, None)
    lengths("one-and-two", "not-a-ca", 1, None, None)
    lengths("grows-below", "not-a-ca", 0, 5)
    lengths("shrinks-below", "good", 2, 1, 0)
    lengths("of-the-anchor", "not-a-ca", None, root_limit=0)
    lengths("of-the-anchor-zero-and-a-leaf", "good", root_limit=0)
    lengths("self-issued-is-not-counted", "good", 0, None, self_issued=(1,))
    lengths("two-self-issued-are-not-counted", "good", 0, None, None, self_issued=(1, 2))
    lengths("self-issued-and-another", "not-a-ca", 0, None, None, self_issued=(1,))
    lengths("self-issued-has-its-own", "not-a-ca", 1, 0, None, self_issued=(1,))
    lengths("self-issued-below-the-anchor", "good", None, None, root_limit=1, self_issued=(0,))
    limited = ca("CN=int", root, path_length=0)
    add("path-length-leaf-is-a-ca", "good", LENGTH, [ca("CN=leaf", limited), limited], [root])
    add("path-length-leaf-is-self-issued", "good", LENGTH, [leaf(limited, limited.name, key="x"), limited], [root])
    big = ca("CN=int", root, path_length=1 << 70)
    add("path-length-larger-than-a-word", "good", LENGTH, [leaf(below := ca("CN=below", big)), below, big], [root])
    negative = ca("CN=int", root, path_length=-1)
    add("path-length-negative", "no-path", "RFC 5280 §4.2.1.9", [leaf(negative), negative], [root])


def usages(add):
    root = ca("CN=root")

    def chain(name, verdict, wanted, end, *above, root_eku=None, **more):
        anchor = ca("CN=top", eku=root_eku)
        issuers = [anchor]
        for i, eku in enumerate(above):
            issuers.append(ca(f"CN=int {i}", issuers[-1], eku=eku))
        add(f"usage-{name}", verdict, EKU, [leaf(issuers[-1], eku=end, **more), *issuers[:0:-1]], [anchor],
            **({"usage": wanted} if wanted else {}))

    chain("server", "good", "server", [SERVER], None)
    chain("client", "good", "client", [CLIENT], None)
    chain("both", "good", "client", [SERVER, CLIENT], None)
    chain("none-is-all", "good", "server", None, None)
    chain("any", "good", "server", [ANY_USAGE], None)
    chain("wrong", "usage", "server", [CLIENT], None)
    chain("empty", "usage", "server", [], None)
    chain("ocsp", "usage", "client", [OCSP], None)
    chain("nobody-asks", "good", None, [OCSP], [CLIENT])
    chain("intermediate-right", "good", "server", [SERVER], [SERVER])
    chain("intermediate-any", "good", "server", [SERVER], [ANY_USAGE])
    chain("intermediate-wrong", "constraint", "server", [SERVER], [CLIENT])
    chain("intermediate-empty", "constraint", "server", [SERVER], [])
    chain("intermediate-wrong-leaf-none", "constraint", "server", None, [CLIENT])
    chain("upper-intermediate-wrong", "constraint", "server", [SERVER], [CLIENT], [SERVER])
    chain("lower-intermediate-wider", "good", "server", [SERVER], [SERVER], [SERVER, CLIENT])
    chain("anchor-is-left-alone", "good", "server", [SERVER], None, root_eku=[CLIENT])
    chain("key-usage-signs", "good", "server", [SERVER], None, usage=[SIGN])
    chain("key-usage-enciphers", "good", "server", [SERVER], None, usage=[2])
    # What the leaf's key may do is looked at by who uses it: a TLS library before it believes a signature. No part of §6.1.
    chain("key-usage-signs-crls-only", "good", "server", [SERVER], None, usage=[SIGN_CRLS])
    add("unknown-critical-extension-leaf", "malformed", "RFC 5280 §6.1.5 (f)",
        [leaf(root, extensions=[("1.2.3.4", True, b"\x05\x00")])], [root])
    one = ca("CN=int", root, extensions=[("1.2.3.4", True, b"\x05\x00")])
    add("unknown-critical-extension-intermediate", "malformed", "RFC 5280 §6.1.4 (o)", [leaf(one), one], [root])
    anchor = ca("CN=r", extensions=[("1.2.3.4", True, b"\x05\x00")])
    add("unknown-critical-extension-anchor", "malformed", "RFC 5280 §6.1.4 (o)", [leaf(anchor)], [anchor])
    add("unknown-extension", "good", "RFC 5280 §4.2", [leaf(root, extensions=[("1.2.3.4", False, b"\x05\x00")])], [root])


def strength(add):
    good, weak, small_exponent = keys.rsa(), keys.rsa(1024), keys.rsa(2048, 3)
    long_exponent = keys.rsa(2048, (1 << 80) + 13)
    root = ca("CN=root")

    def chain(name, verdict, *, anchor_key=None, key=None, end_key=None, algorithm=None, end_algorithm=None):
        anchor = ca("CN=r", key=anchor_key)
        one = ca("CN=int", anchor, key=key, algorithm=algorithm)
        add(f"strength-{name}", verdict, STRENGTH, [leaf(one, key=end_key, algorithm=end_algorithm), one], [anchor])

    chain("rsa-2048", "good", anchor_key=good, key=good, end_key=good)
    chain("rsa-2048-exponent-3", "good", end_key=small_exponent)
    chain("rsa-1024-leaf", "weak", end_key=weak)
    chain("rsa-1024-intermediate", "weak", key=weak)
    chain("rsa-1024-anchor", "weak", anchor_key=weak)
    chain("rsa-exponent-of-81-bits", "weak", end_key=long_exponent)
    chain("rsa-exponent-of-81-bits-issuer", "weak", key=long_exponent)
    chain("p384", "good", anchor_key=keys.ec("r", "P-384"), key=keys.ec("i", "P-384"), algorithm="ecdsa-sha384")
    chain("p224-leaf", "weak", end_key=keys.ec("l", "P-224"))
    chain("p224-intermediate", "weak", key=keys.ec("i", "P-224"))
    chain("p224-anchor", "weak", anchor_key=keys.ec("r", "P-224"))
    chain("sha1-leaf", "weak", end_algorithm="ecdsa-sha1")
    chain("sha1-intermediate", "weak", algorithm="ecdsa-sha1")
    chain("rsa-sha1-leaf", "weak", key=good, end_algorithm="rsa-sha1")
    chain("rsa-md5-leaf", "weak", key=good, end_algorithm="rsa-md5")
    chain("rsa-md5-intermediate", "weak", anchor_key=good, algorithm="rsa-md5")
    anchor = ca("CN=r", key=good, algorithm="rsa-sha1")
    add("strength-anchor-signed-with-sha1", "good", STRENGTH, [leaf(anchor)], [anchor])
    add("strength-two-algorithms", "unreadable", "RFC 5280 §4.1.1.2", [leaf(root, inner_algorithm="ecdsa-sha384")], [root])


def cases(add):
    for group in (building, rollover, spellings, times, basic, usages, strength):
        group(add)
