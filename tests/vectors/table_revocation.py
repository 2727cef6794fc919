# SPDX-License-Identifier: LGPL-2.1-or-later
"""CRLs (RFC 5280 §5, §6.3) and stapled OCSP responses (RFC 6960, RFC 7633)."""

import der
import keys
from made import (DAY, NOW, OCSP, SERVER, SIGN, SIGN_CERTIFICATES, SIGN_CRLS, ca, crl, crl_point, entry, extension, leaf, ocsp, point)

LISTED, COVERED, SCOPE, DELTA, STAPLE = ("RFC 5280 §6.1.3 (a) (3)", "RFC 5280 §6.3.3", "RFC 5280 §6.3.3 (b)", "RFC 5280 §5.2.4",
                                         "RFC 6960 §4.2.2.2")
HOLD, REMOVE = 6, 8


def lists(add):
    root = ca("CN=root")
    one = ca("CN=int", root)
    end, sibling = leaf(one), leaf(one, "CN=sibling")
    above = crl(root)

    def both(name, section, crls, required, optional=None, chain=(end, one)):
        """Where each certificate must be covered, and where not. `above` covers the intermediate."""
        add(name, required, section, chain, [root], crls=crls, require_crl=True)
        if optional:
            add(f"{name}-optional", optional, section, chain, [root], crls=crls)

    both("covered", COVERED, [above, crl(one)], "good", "good")
    both("no-crl", COVERED, [], "uncovered", "good")
    both("leaf-not-covered", COVERED, [above], "uncovered", "good")
    both("intermediate-not-covered", COVERED, [crl(one)], "uncovered", "good")
    both("listed", LISTED, [above, crl(one, entry(end))], "revoked", "revoked")
    both("intermediate-listed", LISTED, [crl(root, entry(one)), crl(one)], "revoked", "revoked")
    both("sibling-listed", LISTED, [above, crl(one, entry(sibling))], "good", "good")
    both("listed-last-of-many", LISTED, [above, crl(one, *[entry(der.integer(i + 1)) for i in range(200)], entry(end))], "revoked")
    both("listed-in-the-future", LISTED, [above, crl(one, entry(end, when=NOW + DAY))], "revoked")
    both("serial-within-another", LISTED, [above, crl(one, entry(der.tlv(2, end.serial[2:], b"\1")))], "good")
    both("serial-within-an-extension", LISTED,
         [above, crl(one, entry(sibling, extensions=[extension("1.2.3.4", end.serial)]))], "good")
    for reason in (0, 1, 3, 5, 9, 10):
        both(f"listed-reason-{reason}", LISTED, [above, crl(one, entry(end, reason=reason))], "revoked")
    both("held", "RFC 5280 §5.3.1", [above, crl(one, entry(end, reason=HOLD))], "revoked", "revoked")
    both("removed-in-a-complete-list", "RFC 5280 §6.3.3 (m)", [above, crl(one, entry(end, reason=REMOVE))], "good")
    both("listed-with-an-invalidity-date", LISTED,
         [above, crl(one, entry(end, extensions=[extension("2.5.29.24", der.generalized(NOW - 9 * DAY))]))], "revoked")
    both("entry-with-an-unknown-critical-extension", "RFC 5280 §5.3",
         [above, crl(one, entry(end, extensions=[extension("1.2.3.4", b"\x05\x00", True)]))], "uncovered")
    both("entry-serial-padded", "X.690 §8.3.2", [above, crl(one, entry(der.tlv(2, b"\0" + end.serial[2:])))], "uncovered")
    both("entry-serial-length-padded", "X.690 §10.1", [above, crl(one, entry(b"\x02\x81" + end.serial[1:]))], "uncovered")

    # dates
    both("from-the-future", COVERED, [above, crl(one, this=NOW + DAY, after=NOW + 2 * DAY)], "uncovered", "good")
    both("from-the-future-a-little", "revocation.h REVOCATION_SKEW", [above, crl(one, this=NOW + 300, after=NOW + DAY)], "good")
    both("from-the-future-a-second-more", "revocation.h REVOCATION_SKEW", [above, crl(one, this=NOW + 301, after=NOW + DAY)], "uncovered")
    both("last-second", COVERED, [above, crl(one, after=NOW)], "good")
    both("a-second-too-old", COVERED, [above, crl(one, after=NOW - 1)], "uncovered", "good")
    both("too-old-and-listed", LISTED, [above, crl(one, entry(end), this=NOW - 9 * DAY, after=NOW - DAY)], "revoked", "revoked")
    both("no-next-update", "RFC 5280 §5.1.2.5", [above, crl(one, after=None)], "uncovered", "good")
    both("no-next-update-and-listed", LISTED, [above, crl(one, entry(end), after=None)], "revoked")
    both("date-that-does-not-exist", "RFC 5280 §5.1.2.4", [above, crl(one, this=der.tlv(der.UTC, b"250230000000Z"))], "uncovered")
    both("number-none", "RFC 5280 §5.2.3", [above, crl(one, number=None)], "uncovered", "good")
    both("number-none-and-listed", LISTED, [above, crl(one, entry(end), number=None)], "revoked")
    both("number-critical", "RFC 5280 §5.2.3", [above, crl(one, critical_number=True)], "uncovered")
    both("number-of-20-bytes", "RFC 5280 §5.2.3", [above, crl(one, number=2**159 - 1)], "good")
    both("number-of-more", "RFC 5280 §5.2.3", [above, crl(one, number=2**168)], "uncovered")

    # who signed it
    other = ca("CN=other root")
    twin = ca("CN=int", root, key="twin")
    both("another-issuers", SCOPE, [above, crl(other, entry(end))], "uncovered", "good")
    both("spoiled-signature", "RFC 5280 §6.3.3 (g)", [above, crl(one, entry(end), whole=lambda t: t[:-1] + bytes([t[-1] ^ 1]))],
         "uncovered", "good")
    both("right-name-another-key", "RFC 5280 §6.3.3 (g)", [above, crl(one, entry(end), key=keys.ec("thief"))], "uncovered", "good")
    both("right-name-a-key-of-the-same-anchor", "RFC 5280 §6.3.3 (f)", [above, crl(one, entry(end), key=twin.key)], "revoked",
         chain=(end, one, twin))
    both("right-name-a-key-of-another-anchor", "RFC 5280 §6.3.3 (f)", [above, crl(one, entry(end), key=keys.ec("twin"))], "uncovered",
         chain=(end, one, ca("CN=int", other, key="twin")))
    for algorithm in ("rsa-sha1", "rsa-md5"):
        weak = ca("CN=int", root, key=keys.rsa())
        both(f"signed-with-{algorithm}", "RFC 9325 §4.5", [above, crl(weak, entry(leaf(weak)), algorithm=algorithm)], "uncovered", "good",
             chain=(leaf(weak), weak))
    quiet = ca("CN=int", root, usage=[SIGN_CERTIFICATES])
    both("issuer-must-not-sign-crls", "RFC 5280 §6.3.3 (f)", [above, crl(quiet, entry(leaf(quiet)))], "uncovered", "good",
         chain=(leaf(quiet), quiet))
    signer = ca("CN=int", root, key="crl signer", usage=[SIGN_CRLS])
    both("signed-by-a-key-for-crls", "RFC 5280 §6.3.3 (f)", [above, crl(quiet, entry(leaf(quiet)), key=signer.key)], "revoked",
         chain=(leaf(quiet), quiet, signer))
    both("signed-by-a-key-for-crls-clear", "RFC 5280 §6.3.3 (f)", [above, crl(quiet, key=signer.key)], "good",
         chain=(leaf(quiet), quiet, signer))
    both("signed-by-a-key-for-crls-that-is-revoked", "RFC 5280 §6.3.3 (f)", [crl(root, entry(signer)), crl(quiet, key=signer.key)],
         "uncovered", chain=(leaf(quiet), quiet, signer))
    expired = ca("CN=int", root, key="crl signer", usage=[SIGN_CRLS], ends=NOW - DAY)
    both("signed-by-a-key-for-crls-that-expired", "RFC 5280 §6.3.3 (f)", [above, crl(quiet, key=signer.key)], "uncovered",
         chain=(leaf(quiet), quiet, expired))
    both("issuer-name-spelled-another-way", "RFC 5280 §7.1", [above, crl(one, entry(end), name=der.name("CN=INT", der.PRINTABLE))], "revoked")
    both("unknown-critical-extension", "RFC 5280 §5.2", [above, crl(one, extensions=[extension("1.2.3.4", b"\x05\x00", True)])], "uncovered")
    both("unknown-extension", "RFC 5280 §5.2", [above, crl(one, extensions=[extension("1.2.3.4", b"\x05\x00")])], "good")
    both("one-bad-and-one-good-list", COVERED, [above, crl(one, this=NOW + DAY), crl(one)], "good")
    both("one-old-list-and-one-new", LISTED, [above, crl(one, after=NOW - 1), crl(one, number=8)], "good")
    both("revoked-in-the-older-of-two", LISTED, [above, crl(one, entry(end), number=6), crl(one, number=7)], "revoked")


def scopes(add):
    root = ca("CN=root")
    one = ca("CN=int", root)
    here, there = der.uri("http://crl.example/1"), der.uri("http://crl.example/2")
    reasons_a, reasons_b = (1, 2, 3), (4, 5, 6, 7, 8)

    def both(name, verdict, end, *lists_, section=SCOPE, above=(), chain=None):
        add(f"scope-{name}", verdict, section, chain or [end, one], [root],
            crls=[crl(root), *above, *[crl(*more[0], place=more[1], **(more[2] if len(more) > 2 else {})) for more in lists_]],
            require_crl=True)

    plain, pointed = leaf(one), leaf(one, points=[point(here)])
    both("users", "good", plain, ([one], crl_point(users=True)))
    both("users-listed", "revoked", plain, ([one, entry(plain)], crl_point(users=True)))
    both("cas", "uncovered", plain, ([one], crl_point(cas=True)))
    both("cas-listed", "uncovered", plain, ([one, entry(plain)], crl_point(cas=True)))
    both("attributes", "uncovered", plain, ([one], crl_point(attributes=True)))
    below = ca("CN=sub", one)
    for kind, verdict in (("cas", "good"), ("users", "uncovered")):
        add(f"scope-ca-by-{kind}", verdict, SCOPE, [below, one], [root],
            crls=[crl(root), crl(one, place=crl_point(cas=kind == "cas", users=kind == "users"))], require_crl=True)
    both("point", "good", pointed, ([one], crl_point(here)))
    both("point-listed", "revoked", pointed, ([one, entry(pointed)], crl_point(here)))
    both("another-point", "uncovered", pointed, ([one], crl_point(there)))
    both("another-point-listed", "uncovered", pointed, ([one, entry(pointed)], crl_point(there)))
    both("point-and-the-certificate-has-none", "uncovered", plain, ([one], crl_point(here)))
    both("no-point-in-the-list", "good", pointed, ([one], None))
    both("one-of-two-points", "good", leaf(one, points=[point(there), point(here)]), ([one], crl_point(here)))
    both("one-of-two-names", "good", leaf(one, points=[point(there, here)]), ([one], crl_point(here)))
    both("point-by-directory-name", "good", leaf(one, points=[point(der.directory("O=X,CN=crl"))]),
         ([one], crl_point(der.directory("O=x,CN=CRL", der.PRINTABLE))))
    rdn = der.attribute("OU", "part 1")
    both("point-relative", "good", leaf(one, points=[point(relative=rdn)]), ([one], crl_point(relative=rdn)))
    both("point-relative-to-a-whole-one", "good", leaf(one, points=[point(der.directory("CN=int,OU=part 1"))]), ([one], crl_point(relative=rdn)))
    both("point-relative-another", "uncovered", leaf(one, points=[point(relative=der.attribute("OU", "part 2"))]), ([one], crl_point(relative=rdn)))
    # reasons
    both("some-reasons", "uncovered", plain, ([one], crl_point(reasons=reasons_a)))
    both("some-reasons-listed", "revoked", plain, ([one, entry(plain, reason=1)], crl_point(reasons=reasons_a)))
    both("all-reasons-in-two", "good", plain, ([one], crl_point(reasons=reasons_a)), ([one], crl_point(reasons=reasons_b)))
    both("all-reasons-in-two-listed-in-the-second", "revoked", plain, ([one], crl_point(reasons=reasons_a)),
         ([one, entry(plain)], crl_point(reasons=reasons_b)))
    split = leaf(one, points=[point(here, reasons=reasons_a), point(there, reasons=reasons_b)])
    both("reasons-of-points", "good", split, ([one], crl_point(here, reasons=reasons_a)), ([one], crl_point(there, reasons=reasons_b)))
    both("reasons-of-points-one-missing", "uncovered", split, ([one], crl_point(here, reasons=reasons_a)))
    # indirect
    signer = ca("CN=crl issuer", root, usage=[SIGN_CRLS, SIGN_CERTIFICATES])
    named = leaf(one, points=[point(here, issuer=der.directory("CN=crl issuer"))])
    mine, other = der.directory("CN=int"), der.directory("CN=elsewhere")
    chain = [named, one, signer]
    both("indirect", "good", named, ([signer], crl_point(here, indirect=True)), chain=chain)
    both("indirect-listed", "revoked", named, ([signer, entry(named, issuer=mine)], crl_point(here, indirect=True)), chain=chain)
    both("indirect-listed-of-another", "good", named, ([signer, entry(named, issuer=other)], crl_point(here, indirect=True)), chain=chain)
    both("indirect-listed-of-the-list's-issuer", "good", named, ([signer, entry(named)], crl_point(here, indirect=True)), chain=chain)
    both("indirect-issuer-goes-on", "revoked", named,
         ([signer, entry(der.integer(5), issuer=mine), entry(named)], crl_point(here, indirect=True)), chain=chain)
    both("indirect-issuer-changes", "good", named,
         ([signer, entry(der.integer(5), issuer=mine), entry(der.integer(6), issuer=other), entry(named)], crl_point(here, indirect=True)),
         chain=chain)
    both("indirect-not-said-so", "uncovered", named, ([signer], crl_point(here)), chain=chain)
    both("indirect-not-named", "uncovered", plain, ([signer], crl_point(here, indirect=True)), chain=[plain, one, signer])
    both("indirect-by-the-issuer-itself", "revoked", plain, ([one, entry(plain)], crl_point(indirect=True)))
    both("entry-of-another-issuer-in-a-direct-list", "uncovered", plain, ([one, entry(plain, issuer=other)], None))


def deltas(add):
    root = ca("CN=root")
    one = ca("CN=int", root)
    end = leaf(one)

    def both(name, verdict, *lists_):
        add(f"delta-{name}", verdict, DELTA, [end, one], [root], crls=[crl(root), *lists_], require_crl=True)

    base = crl(one, number=7)
    both("nothing-new", "good", base, crl(one, number=8, base=7))
    both("listed", "revoked", base, crl(one, entry(end), number=8, base=7))
    both("held", "revoked", base, crl(one, entry(end, reason=HOLD), number=8, base=7))
    held = crl(one, entry(end, reason=HOLD), number=7)
    both("hold-ended", "good", held, crl(one, entry(end, reason=REMOVE), number=8, base=7))
    both("hold-goes-on", "revoked", held, crl(one, number=8, base=7))
    both("hold-becomes-for-good", "revoked", held, crl(one, entry(end, reason=1), number=8, base=7))
    both("alone", "uncovered", crl(one, number=8, base=7))
    both("alone-and-listed", "uncovered", crl(one, entry(end), number=8, base=7))
    both("of-a-later-base", "good", base, crl(one, entry(end), number=9, base=8))
    both("of-an-earlier-base", "revoked", base, crl(one, entry(end), number=8, base=3))
    both("older-than-the-base", "good", base, crl(one, entry(end), number=6, base=3))
    both("too-old", "good", base, crl(one, entry(end), number=8, base=7, after=NOW - 1))
    both("from-the-future", "good", base, crl(one, entry(end), number=8, base=7, this=NOW + DAY, after=NOW + 2 * DAY))
    both("spoiled-signature", "good", base, crl(one, entry(end), number=8, base=7, whole=lambda t: t[:-1] + bytes([t[-1] ^ 1])))
    both("another-scope", "good", base, crl(one, entry(end), number=8, base=7, place=crl_point(users=True)))
    both("the-latest-of-two", "good", held, crl(one, number=8, base=7, this=NOW - 7200),
         crl(one, entry(end, reason=REMOVE), number=9, base=7, this=NOW - 3600))
    both("the-latest-of-two-other-order", "good", held, crl(one, entry(end, reason=REMOVE), number=9, base=7, this=NOW - 3600),
         crl(one, number=8, base=7, this=NOW - 7200))
    both("base-without-a-number", "uncovered", crl(one, number=None), crl(one, number=8, base=7))


def staples(add):
    root = ca("CN=root")
    one = ca("CN=int", root)
    end, must, sibling = leaf(one), leaf(one, "CN=must", staple=True), leaf(one, "CN=sibling")

    def staple(name, response, plain, demanded, section=STAPLE, chain=None):
        """For a certificate that demands none, and for one that does."""
        more = {"must_staple": True, "usage": "server"}
        add(f"staple-{name}", plain, section, chain[0] if chain else [end, one], [root], staple=response(end) if response else None, **more)
        add(f"staple-{name}-demanded", demanded, "RFC 7633 §4.2.3", chain[1] if chain else [must, one], [root],
            staple=response(must) if response else None, **more)

    staple("none", None, "good", "uncovered")
    staple("good", lambda about: ocsp(about, one), "good", "good")
    staple("good-by-key", lambda about: ocsp(about, one, by_name=False), "good", "good")
    staple("revoked", lambda about: ocsp(about, one, "revoked"), "revoked", "revoked")
    staple("held", lambda about: ocsp(about, one, "revoked", reason=HOLD), "revoked", "revoked")
    staple("unknown", lambda about: ocsp(about, one, "unknown"), "good", "uncovered")
    staple("about-another", lambda about: ocsp(sibling, one), "good", "uncovered")
    staple("revoked-about-another", lambda about: ocsp(sibling, one, "revoked"), "good", "uncovered")
    staple("about-the-same-number-of-another-issuer", lambda about: ocsp(about, one, "revoked", about=root), "good", "uncovered")
    staple("too-old", lambda about: ocsp(about, one, this=NOW - 3 * DAY, after=NOW - 1), "good", "uncovered")
    staple("last-second", lambda about: ocsp(about, one, after=NOW), "good", "good")
    staple("from-the-future", lambda about: ocsp(about, one, this=NOW + 301, after=NOW + DAY), "good", "uncovered")
    staple("without-an-end", lambda about: ocsp(about, one, this=NOW - 3600, after=None), "good", "good")
    staple("without-an-end-too-old", lambda about: ocsp(about, one, this=NOW - DAY - 1, after=None), "good", "uncovered")
    staple("garbage", lambda about: b"\x30\x03\x0a\x01\x00", "good", "uncovered")
    other = ca("CN=other root")
    staple("by-another-ca", lambda about: ocsp(about, one, signer=other), "good", "uncovered")
    staple("by-the-ca-above", lambda about: ocsp(about, one, signer=root), "good", "uncovered")
    staple("by-the-leaf-itself", lambda about: ocsp(about, one, "good", signer=about), "good", "uncovered")
    for name, verdict, responder in (
            ("delegated", "good", leaf(one, "CN=ocsp", eku=[OCSP])),
            ("delegated-without-eku", "uncovered", leaf(one, "CN=ocsp")),
            ("delegated-other-eku", "uncovered", leaf(one, "CN=ocsp", eku=[SERVER])),
            ("delegated-any-eku", "uncovered", leaf(one, "CN=ocsp", eku=["2.5.29.37.0"])),
            ("delegated-expired", "uncovered", leaf(one, "CN=ocsp", eku=[OCSP], ends=NOW - 1)),
            ("delegated-by-the-ca-above", "uncovered", leaf(root, "CN=ocsp", eku=[OCSP])),
            ("delegated-by-another-ca", "uncovered", leaf(other, "CN=ocsp", eku=[OCSP])),
            ("delegated-weak", "uncovered", leaf(one, "CN=ocsp", eku=[OCSP], key=keys.rsa(1024))),
            ("delegated-signs-crls-only", "uncovered", leaf(one, "CN=ocsp", eku=[OCSP], usage=[SIGN_CRLS]))):
        staple(name, lambda about, responder=responder: ocsp(about, one, signer=responder), "good", verdict)
    responder = leaf(one, "CN=ocsp", eku=[OCSP])
    staple("delegated-revoked", lambda about: ocsp(about, one, "revoked", signer=responder), "revoked", "revoked")
    staple("delegated-that-does-not-come", lambda about: ocsp(about, one, signer=responder, with_signer=False), "good", "uncovered")
    weak = ca("CN=int", root, key=keys.rsa())
    plain, demanding = leaf(weak), leaf(weak, "CN=must", staple=True)
    staple("signed-with-sha1", lambda about: ocsp(about, weak, "revoked", algorithm="rsa-sha1"), "good", "uncovered",
           chain=([plain, weak], [demanding, weak]))
    add("staple-demanded-and-not-asked-about", "good", "RFC 7633 §4.2.3", [must, one], [root])
    for name, verdict, above, below in (
            ("passed-on", "good", True, True), ("not-passed-on", "constraint", True, False), ("added-below", "good", False, True)):
        issuer = ca("CN=int", root, staple=above)
        add(f"staple-demand-of-the-ca-{name}", verdict, "RFC 7633 §4.2.2", [leaf(issuer, staple=below), issuer], [root])
    top = ca("CN=demanding root", staple=True)
    middle, gap = ca("CN=int", top, staple=True), ca("CN=int", top, key="gap")
    add("staple-demand-of-the-anchor-passed-on", "good", "RFC 7633 §4.2.2", [leaf(middle, staple=True), middle], [top])
    add("staple-demand-of-the-anchor-left-out-between", "constraint", "RFC 7633 §4.2.2", [leaf(gap, staple=True), gap], [top])
    more = ca("CN=int", root, extensions=[("features", False, der.sequence(der.integer(5), der.integer(17)))])
    add("staple-demand-one-of-two-features", "constraint", "RFC 7633 §4.2.2", [leaf(more, staple=True), more], [root])
    add("staple-good-and-listed", "revoked", LISTED, [must, one], [root], staple=ocsp(must, one), must_staple=True, crls=[crl(one, entry(must))])
    add("staple-revoked-and-not-listed", "revoked", STAPLE, [end, one], [root], staple=ocsp(end, one, "revoked"), crls=[crl(one)])


def cases(add):
    for group in (lists, scopes, deltas, staples):
        group(add)
