/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Chains: what is built from which heap of certificates, and why what is not, is not. */
#include "pki/chain.h"

#include "fixture.h"

#include <stdio.h>
#include <string.h>

#define ANCHORS(...)     _cleanup_certificates_ CertificateList anchors = LIST(__VA_ARGS__)
#define CANDIDATES(...)  _cleanup_certificates_ CertificateList candidates = LIST(__VA_ARGS__)
#define BUILD(leaf, now) chain_build((leaf).certificate, &candidates, &anchors, now, &chain, &anchor, &failure)
#define RESULTS                                                                                                        \
    _cleanup_certificates_ CertificateList chain = { 0 };                                                              \
    _unused_ const Certificate *anchor = NULL;                                                                         \
    Failure failure = FAILURE_INIT

/* The result is the same whatever order the issuers come in, without the anchor and without what is not needed; openssl
 * agrees. */
static void test_any_order(void **state) {
    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=Root", .ca = true),
                            upper = ENTITY(.subject = "CN=Upper", .ca = true, .issuer = &root),
                            lower = ENTITY(.subject = "CN=Lower", .ca = true, .issuer = &upper),
                            other = ENTITY(.subject = "CN=Other", .ca = true, .issuer = &root),
                            leaf = ENTITY(.subject = "CN=leaf,O=x", .issuer = &lower, .dns = "leaf.example");
    const Certificate *heap[] = { root.certificate, upper.certificate, lower.certificate, other.certificate,
                                  leaf.certificate };
    ANCHORS(other.certificate, root.certificate);

    for (unsigned shift = 0; shift < 5; shift++) {
        RESULTS;
        CANDIDATES(heap[shift], heap[(shift + 3) % 5], heap[(shift + 1) % 5], heap[(shift + 4) % 5],
                   heap[(shift + 2) % 5]);

        assert_ok(BUILD(leaf, NOW), failure);
        assert_int_equal(chain.count, 3);
        assert_true(certificate_equal(chain.list[0], leaf.certificate));
        assert_true(certificate_equal(chain.list[1], lower.certificate));
        assert_true(certificate_equal(chain.list[2], upper.certificate));
        assert_ptr_equal(anchor, anchors.list[1]);

        _cleanup_directory_ char *directory = make_directory();
        _cleanup_certificates_ CertificateList only_leaf = LIST(leaf.certificate);
        write_pem(directory, "anchors.pem", &anchors);
        write_pem(directory, "chain.pem", &chain);
        write_pem(directory, "leaf.pem", &only_leaf);
        free(run(NULL,
                 "openssl verify -x509_strict -attime %lld -CAfile %s/anchors.pem -untrusted %s/chain.pem %s/leaf.pem",
                 (long long) NOW, directory, directory, directory));
    }
}

static void test_directly_under_anchor(void **state) {
    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=Root", .ca = true),
                            leaf = ENTITY(.subject = "CN=leaf", .issuer = &root);
    ANCHORS(root.certificate);
    RESULTS;

    failure = (Failure) { FAILURE_BUSY, "of something before" };
    assert_ok(chain_build(leaf.certificate, NULL, &anchors, NOW, &chain, NULL, &failure), failure);
    assert_string_equal(failure.text, "of something before"); /* what is good says nothing */
    certificate_list_clear(&chain);
    assert_int_equal(chain_build(leaf.certificate, NULL, &anchors, NOW, &chain, NULL, NULL), 0);
    assert_int_equal(chain.count, 1);
}

/* Nothing is trusted but what is an anchor: not a self-signed certificate that comes along, not the leaf itself. */
static void test_no_issuer(void **state) {
    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=Root", .ca = true),
                            upper = ENTITY(.subject = "CN=Upper", .ca = true, .issuer = &root),
                            leaf = ENTITY(.subject = "CN=leaf", .issuer = &upper),
                            stranger = ENTITY(.subject = "CN=Stranger", .ca = true);
    ANCHORS(stranger.certificate);

    {
        RESULTS;
        CANDIDATES(root.certificate, upper.certificate);
        assert_failure(BUILD(leaf, NOW), EKEYREJECTED, failure, "no issuer was found for CN=Root");
        assert_int_equal(failure.kind, FAILURE_CERTIFICATE_REJECTED);
        assert_null(chain.list);
    }
    {
        RESULTS;
        CANDIDATES(root.certificate);
        assert_failure(BUILD(leaf, NOW), EKEYREJECTED, failure, "CN=Upper, is neither an anchor nor among");
    }
    {
        RESULTS;
        CertificateList candidates = { 0 }, none = { 0 };
        assert_failure(chain_build(leaf.certificate, &candidates, &none, NOW, &chain, &anchor, &failure), EKEYREJECTED,
                       failure, "no issuer");
        /* the same, when the leaf itself and a self-signed leaf are among the anchors */
        _cleanup_entity_ Entity self = ENTITY(.subject = "CN=self");
        _cleanup_certificates_ CertificateList leaves = LIST(leaf.certificate, self.certificate);
        assert_failure(chain_build(leaf.certificate, NULL, &leaves, NOW, &chain, &anchor, &failure), EKEYREJECTED,
                       failure, "no issuer");
        assert_failure(chain_build(self.certificate, NULL, &leaves, NOW, &chain, &anchor, &failure), EKEYREJECTED,
                       failure, "CN=self");
    }
}

static void test_anchor_that_is_an_intermediate(void **state) {
    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=Root", .ca = true),
                            upper = ENTITY(.subject = "CN=Upper", .ca = true, .issuer = &root),
                            sibling = ENTITY(.subject = "CN=Sibling", .ca = true, .issuer = &root),
                            leaf = ENTITY(.subject = "CN=leaf", .issuer = &upper),
                            cousin = ENTITY(.subject = "CN=cousin", .issuer = &sibling);
    ANCHORS(upper.certificate);
    CANDIDATES(root.certificate, upper.certificate, sibling.certificate);

    {
        RESULTS;
        assert_ok(BUILD(leaf, NOW), failure);
        assert_int_equal(chain.count, 1);
        assert_ptr_equal(anchor, anchors.list[0]);
    }
    {
        RESULTS;
        assert_failure(BUILD(cousin, NOW), EKEYREJECTED, failure, "no issuer");
    }
}

static void test_times(void **state) {
    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=Root", .ca = true, .not_after = NOW + 50 * DAY),
                            upper = ENTITY(.subject = "CN=Upper", .ca = true, .issuer = &root,
                                           .not_before = NOW - 10 * DAY, .not_after = NOW + 40 * DAY),
                            leaf = ENTITY(.subject = "CN=leaf", .issuer = &upper, .not_before = NOW - 5 * DAY,
                                          .not_after = NOW + 5 * DAY),
                            late = ENTITY(.subject = "CN=late", .issuer = &root, .not_after = NOW + 90 * DAY);
    ANCHORS(root.certificate);
    CANDIDATES(upper.certificate);
    RESULTS;

    assert_failure(BUILD(leaf, NOW + 6 * DAY), EKEYREJECTED, failure, "CN=leaf");
    assert_non_null(strstr(failure.text, "expired at 2025-06-20"));
    assert_failure(BUILD(leaf, NOW - 6 * DAY), EKEYREJECTED, failure, "is not valid until 2025-06-10");
    assert_failure(BUILD(leaf, NOW - 20 * DAY), EKEYREJECTED, failure, "CN=leaf");
    assert_failure(BUILD(late, NOW + 60 * DAY), EKEYREJECTED, failure, "CN=Root");
    assert_ok(BUILD(leaf, leaf.certificate->not_before), failure);
    certificate_list_clear(&chain);
    assert_ok(BUILD(leaf, leaf.certificate->not_after), failure);
    certificate_list_clear(&chain);
    assert_failure(BUILD(leaf, leaf.certificate->not_after + 1), EKEYREJECTED, failure, "expired");
}

/* An expired cross-certificate and a valid one: the valid path wins, in whatever order. */
static void test_valid_path_wins(void **state) {
    _cleanup_entity_ Entity old_root = ENTITY(.subject = "CN=Old", .ca = true),
                            new_root = ENTITY(.subject = "CN=New", .ca = true),
                            upper = ENTITY(.subject = "CN=Upper", .ca = true, .issuer = &new_root),
                            expired = ENTITY(.subject = "CN=Upper", .ca = true, .issuer = &old_root, .key = upper.key,
                                             .not_after = NOW - DAY),
                            leaf = ENTITY(.subject = "CN=leaf", .issuer = &upper);
    ANCHORS(old_root.certificate, new_root.certificate);

    for (int i = 0; i < 2; i++) {
        RESULTS;
        CANDIDATES(i ? expired.certificate : upper.certificate, i ? upper.certificate : expired.certificate);
        assert_ok(BUILD(leaf, NOW), failure);
        assert_int_equal(chain.count, 2);
        assert_true(certificate_equal(chain.list[1], upper.certificate));
        assert_string_equal(anchor->subject, "CN=New");
    }
    RESULTS;
    CANDIDATES(expired.certificate);
    assert_failure(BUILD(leaf, NOW), EKEYREJECTED, failure, "CN=Upper");
    assert_non_null(strstr(failure.text, "expired"));
}

/* Two CAs that certified each other, and many issuers of one name. */
static void test_loops_and_crowds(void **state) {
    _cleanup_entity_ Entity a = ENTITY(.subject = "CN=A", .ca = true), b = ENTITY(.subject = "CN=B", .ca = true),
                            a_by_b = ENTITY(.subject = "CN=A", .ca = true, .issuer = &b, .key = a.key),
                            b_by_a = ENTITY(.subject = "CN=B", .ca = true, .issuer = &a, .key = b.key),
                            root = ENTITY(.subject = "CN=Root", .ca = true),
                            a_by_root = ENTITY(.subject = "CN=A", .ca = true, .issuer = &root, .key = a.key),
                            leaf = ENTITY(.subject = "CN=leaf", .issuer = &b);
    ANCHORS(root.certificate);

    {
        RESULTS;
        CANDIDATES(a_by_b.certificate, b_by_a.certificate, a.certificate, b.certificate);
        assert_failure(BUILD(leaf, NOW), EKEYREJECTED, failure, "no issuer");
    }
    {
        RESULTS;
        CANDIDATES(a_by_b.certificate, b_by_a.certificate, a.certificate, b.certificate, a_by_root.certificate);
        assert_ok(BUILD(leaf, NOW), failure);
        assert_int_equal(chain.count, 3);
        assert_true(certificate_equal(chain.list[2], a_by_root.certificate));
    }
    {
        RESULTS;
        CertificateList candidates = { 0 };
        for (int i = 0; i < 60; i++) { /* every one signs every other: paths without end */
            _cleanup_entity_ Entity one = ENTITY(.subject = "CN=B", .ca = true, .issuer = &b, .no_key_ids = true);
            assert_int_equal(certificate_list_add_ref(&candidates, one.certificate), 0);
            _cleanup_entity_ Entity two =
                ENTITY(.subject = "CN=B", .ca = true, .issuer = &one, .no_key_ids = true, .key = b.key);
            assert_int_equal(certificate_list_add_ref(&candidates, two.certificate), 0);
        }
        _cleanup_entity_ Entity lost = ENTITY(.subject = "CN=lost", .issuer = &b, .no_key_ids = true);
        assert_failure(BUILD(lost, NOW), EKEYREJECTED, failure, "too many ways");
        certificate_list_clear(&candidates);
    }
}

static void test_too_long(void **state) {
    Entity ca[CHAIN_MAX + 1];
    CertificateList candidates = { 0 };

    ca[0] = ENTITY(.subject = "CN=Root", .ca = true);
    for (unsigned i = 1; i <= CHAIN_MAX; i++) {
        char name[32];
        (void) snprintf(name, sizeof(name), "CN=CA %u", i);
        ca[i] = ENTITY(.subject = name, .ca = true, .issuer = &ca[i - 1]);
        assert_int_equal(certificate_list_add_ref(&candidates, ca[i].certificate), 0);
    }
    ANCHORS(ca[0].certificate);
    RESULTS;
    _cleanup_entity_ Entity leaf = ENTITY(.subject = "CN=leaf", .issuer = &ca[CHAIN_MAX - 1]),
                            far = ENTITY(.subject = "CN=far", .issuer = &ca[CHAIN_MAX]);
    assert_ok(BUILD(leaf, NOW), failure);
    assert_int_equal(chain.count, CHAIN_MAX);
    certificate_list_clear(&chain);
    assert_failure(BUILD(far, NOW), EKEYREJECTED, failure, "no anchor was reached within 10 certificates");
    for (unsigned i = 0; i <= CHAIN_MAX; i++)
        entity_clear(&ca[i]);
    certificate_list_clear(&candidates);
}

static void test_issuers_that_may_not(void **state) {
    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=Root", .ca = true),
                            fake = ENTITY(.subject = "CN=Root", .ca = true),
                            no_ca = ENTITY(.subject = "CN=NoCA", .issuer = &root, .usage = GNUTLS_KEY_KEY_CERT_SIGN),
                            no_bc = ENTITY(.subject = "CN=NoBC", .issuer = &root, .no_basic_constraints = true,
                                           .usage = GNUTLS_KEY_KEY_CERT_SIGN),
                            no_usage = ENTITY(.subject = "CN=NoUsage", .ca = true, .issuer = &root,
                                              .usage = GNUTLS_KEY_CRL_SIGN);
    const struct {
        const Entity *issuer;
        const char *reason;
    } cases[] = { { &no_ca, "is not a CA certificate" },
                  { &no_bc, "is not a CA certificate" },
                  { &no_usage, "does not allow it to sign certificates" } };
    ANCHORS(root.certificate);

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        _cleanup_entity_ Entity leaf = ENTITY(.subject = "CN=leaf", .issuer = cases[i].issuer);
        CANDIDATES(cases[i].issuer->certificate);
        RESULTS;
        assert_failure(BUILD(leaf, NOW), EKEYREJECTED, failure, cases[i].reason);
        assert_non_null(strstr(failure.text, cases[i].issuer->certificate->subject));
    }
    /* an anchor must be able to be one, too */
    _cleanup_entity_ Entity leaf = ENTITY(.subject = "CN=leaf", .issuer = &no_ca);
    _cleanup_certificates_ CertificateList bad_anchors = LIST(no_ca.certificate);
    RESULTS;
    assert_failure(chain_build(leaf.certificate, NULL, &bad_anchors, NOW, &chain, NULL, &failure), EKEYREJECTED,
                   failure, "is not a CA");

    /* right name, other key; with and without key identifiers */
    _cleanup_entity_ Entity forged = ENTITY(.subject = "CN=leaf", .issuer = &fake),
                            plain = ENTITY(.subject = "CN=leaf", .issuer = &fake, .no_key_ids = true);
    assert_failure(chain_build(forged.certificate, NULL, &anchors, NOW, &chain, NULL, &failure), EKEYREJECTED, failure,
                   "names another key of its issuer");
    assert_failure(chain_build(plain.certificate, NULL, &anchors, NOW, &chain, NULL, &failure), EKEYREJECTED, failure,
                   "was not made by the key of CN=Root");
}

static void test_path_length(void **state) {
    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=Root", .ca = true, .limited = true, .path_length = 1),
                            one = ENTITY(.subject = "CN=One", .ca = true, .issuer = &root),
                            zero = ENTITY(.subject = "CN=Zero", .ca = true, .issuer = &root, .limited = true),
                            two = ENTITY(.subject = "CN=Two", .ca = true, .issuer = &one),
                            below = ENTITY(.subject = "CN=Below", .ca = true, .issuer = &zero),
                            good = ENTITY(.subject = "CN=good", .issuer = &zero),
                            deep = ENTITY(.subject = "CN=deep", .issuer = &two),
                            bad = ENTITY(.subject = "CN=bad", .issuer = &below);
    ANCHORS(root.certificate);
    CANDIDATES(one.certificate, zero.certificate, two.certificate, below.certificate);
    RESULTS;

    assert_ok(BUILD(good, NOW), failure);
    certificate_list_clear(&chain);
    assert_failure(BUILD(bad, NOW), EKEYREJECTED, failure, "CN=Zero");
    assert_non_null(strstr(failure.text, "path length"));
    assert_failure(BUILD(deep, NOW), EKEYREJECTED, failure, "CN=Root");
    assert_non_null(strstr(failure.text, "path length"));
}

static void test_name_constraints(void **state) {
    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=Root", .ca = true),
                            upper = ENTITY(.subject = "CN=Upper", .ca = true, .issuer = &root,
                                           .permitted_dns = "example.com"),
                            lower = ENTITY(.subject = "CN=Lower", .ca = true, .issuer = &upper),
                            good = ENTITY(.subject = "CN=good", .issuer = &lower, .dns = "a.example.com"),
                            bad = ENTITY(.subject = "CN=bad", .issuer = &lower, .dns = "a.example.org");
    ANCHORS(root.certificate);
    CANDIDATES(lower.certificate, upper.certificate);
    RESULTS;

    assert_ok(BUILD(good, NOW), failure);
    certificate_list_clear(&chain);
    assert_failure(BUILD(bad, NOW), EKEYREJECTED, failure, "name constraints");
}

/* Those that GnuTLS passes over. Base directory name O=Example; permitted otherName; permitted URI; a maximum. */
static void test_more_name_constraints(void **state) {
#define O_EXAMPLE                                                                                                      \
    "\x30\x12\x31\x10\x30\x0e\x06\x03\x55\x04\x0a\x13\x07"                                                             \
    "Example"
#define NC(tag, base, size)                                                                                            \
    {                                                                                                                  \
        "2.5.29.30",                                                                                                   \
            "\x30"                                                                                                     \
            "\x1a" tag "\x18\x30\x16" base,                                                                            \
            size, true                                                                                                 \
    }
    const Extension permitted = NC("\xa0", "\xa4\x14" O_EXAMPLE, 28), excluded = NC("\xa1", "\xa4\x14" O_EXAMPLE, 28),
                    uri = { "2.5.29.30",
                            "\x30\x09\xa0\x07\x30\x05\x86\x03"
                            "a.b",
                            11, true },
                    other = { "2.5.29.30", "\x30\x0e\xa0\x0c\x30\x0a\xa0\x08\x06\x02\x2a\x03\xa0\x02\x05\x00", 16,
                              true },
                    maximum = { "2.5.29.30",
                                "\x30\x0c\xa0\x0a\x30\x08\x82\x03"
                                "a.b"
                                "\x81\x01\x05",
                                14, true },
                    /* SAN otherName { 1.2.3, NULL } */
        nameless = { "2.5.29.17",
                     "\x30\x0b\x82\x09"
                     "a.example",
                     13, true },
                    directory = { "2.5.29.17", "\x30\x16\xa4\x14" O_EXAMPLE, 24, false },
                    other_name = { "2.5.29.17", "\x30\x0a\xa0\x08\x06\x02\x2a\x03\xa0\x02\x05\x00", 12, false };
    _cleanup_entity_ Entity
        root = ENTITY(.subject = "CN=Root", .ca = true),
        inside = ENTITY(.subject = "CN=Permitted,O=Example", .ca = true, .issuer = &root, .extensions = { permitted }),
        outside = ENTITY(.subject = "CN=Excluded", .ca = true, .issuer = &root, .extensions = { excluded }),
        by_uri = ENTITY(.subject = "CN=Uri", .ca = true, .issuer = &root, .extensions = { uri }),
        by_other = ENTITY(.subject = "CN=Other", .ca = true, .issuer = &root, .extensions = { other }),
        strange = ENTITY(.subject = "CN=Strange", .ca = true, .issuer = &root, .extensions = { maximum }),
        stray = ENTITY(.subject = "CN=Stray", .ca = true, .issuer = &inside);
    const struct {
        const Entity *issuer;
        Spec spec;
        const char *reason; /* NULL: good */
    } cases[] = {
        { &inside, { .subject = "CN=leaf,O=Example" }, NULL },
        { &inside, { .extensions = { nameless } }, NULL },
        { &inside, { .dns = "nameless.example" }, "its subject alternative names are not critical" },
        { &inside, { .subject = "CN=leaf,O=Other" }, "its subject is outside" },
        { &inside, { .subject = "CN=leaf" }, "its subject is outside" },
        { &inside, { .subject = "O=Example,CN=leaf" }, "its subject is outside" },
        { &stray, { .subject = "CN=leaf,O=Example" }, "CN=Stray" },
        { &outside, { .subject = "CN=leaf,O=Example" }, "its subject is outside" },
        { &by_uri, { .subject = "CN=leaf", .dns = "a.example" }, NULL },
        { &by_uri, { .subject = "CN=leaf", .uri = "urn:x" }, "a URI among its subject alternative names" },
        { &by_uri, { .subject = "CN=leaf", .uri = "x://a.b/" }, NULL },
        { &by_other, { .subject = "CN=leaf", .uri = "urn:x" }, NULL },
        { &by_other, { .subject = "CN=leaf", .extensions = { other_name } }, "identityd cannot compare" },
        { &inside, { .subject = "CN=leaf,O=Example", .extensions = { other_name } }, NULL },
        { &inside, { .subject = "CN=leaf,O=Example", .extensions = { directory } }, NULL },
        { &strange, { .subject = "CN=leaf" }, "name constraints cannot be read" },
    };
    ANCHORS(root.certificate);
    CANDIDATES(inside.certificate, outside.certificate, by_uri.certificate, by_other.certificate, strange.certificate,
               stray.certificate);

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        Spec spec = cases[i].spec;
        RESULTS;
        spec.issuer = cases[i].issuer;
        _cleanup_entity_ Entity leaf = make_entity(&spec);
        if (cases[i].reason)
            assert_failure(BUILD(leaf, NOW), EKEYREJECTED, failure, cases[i].reason);
        else
            assert_ok(BUILD(leaf, NOW), failure);
    }
}

/* During a rollover our chain reaches the old root through NewWithOld, also where nobody writes key identifiers. */
static void test_through_new_with_old(void **state) {
    for (int i = 0; i < 2; i++) {
        _cleanup_entity_ Entity old = ENTITY(.subject = "CN=Root", .ca = true, .no_key_ids = i),
                                new = ENTITY(.subject = "CN=Root", .ca = true, .no_key_ids = i),
                                new_with_old = ENTITY(.subject = "CN=Root", .ca = true, .key = new.key, .issuer = &old,
                                                      .no_key_ids = i),
                                leaf = ENTITY(.subject = "CN=leaf", .issuer = &new, .no_key_ids = i);
        ANCHORS(old.certificate);
        CANDIDATES(new.certificate, new_with_old.certificate);
        RESULTS;
        assert_ok(BUILD(leaf, NOW), failure);
        assert_int_equal(chain.count, 2);
        assert_true(certificate_equal(chain.list[1], new_with_old.certificate));
    }
}

static void test_critical_extensions(void **state) {
    const Extension unknown = { "1.2.3.4.5", "\x05\x00", 2, true }, harmless = { "1.2.3.4.5", "\x05\x00", 2, false },
                    /* policyConstraints { requireExplicitPolicy 0 } */
        policy = { "2.5.29.36", "\x30\x03\x80\x01\x00", 5, true };
    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=Root", .ca = true),
                            strange_root = ENTITY(.subject = "CN=Strange", .ca = true, .extensions = { unknown }),
                            upper =
                                ENTITY(.subject = "CN=Upper", .ca = true, .issuer = &root, .extensions = { unknown }),
                            demanding = ENTITY(.subject = "CN=Demanding", .ca = true, .issuer = &root,
                                               .extensions = { policy }),
                            leaf = ENTITY(.subject = "CN=leaf", .issuer = &root, .extensions = { unknown }),
                            fine = ENTITY(.subject = "CN=leaf", .issuer = &root, .extensions = { harmless }),
                            below = ENTITY(.subject = "CN=leaf", .issuer = &upper),
                            below_demanding = ENTITY(.subject = "CN=leaf", .issuer = &demanding),
                            below_strange = ENTITY(.subject = "CN=leaf", .issuer = &strange_root);
    ANCHORS(root.certificate, strange_root.certificate);
    CANDIDATES(upper.certificate, demanding.certificate);
    RESULTS;

    assert_ok(BUILD(fine, NOW), failure);
    certificate_list_clear(&chain);
    assert_failure(BUILD(leaf, NOW), EKEYREJECTED, failure, "critical extension 1.2.3.4.5");
    assert_failure(BUILD(below, NOW), EKEYREJECTED, failure, "CN=Upper");
    assert_failure(BUILD(below_demanding, NOW), EKEYREJECTED, failure, "demands an explicit certificate policy");
    assert_failure(BUILD(below_strange, NOW), EKEYREJECTED, failure, "CN=Strange");
}

static void test_weak_algorithms(void **state) {
    _cleanup_entity_ Entity
        root = ENTITY(.subject = "CN=Root", .ca = true, .pk = GNUTLS_PK_RSA),
        sha1_root = ENTITY(.subject = "CN=Sha1Root", .ca = true, .pk = GNUTLS_PK_RSA, .digest = GNUTLS_DIG_SHA1),
        small = ENTITY(.subject = "CN=Small", .ca = true, .pk = GNUTLS_PK_RSA, .bits = 1024, .issuer = &root),
        sha1 = ENTITY(.subject = "CN=leaf", .issuer = &root, .digest = GNUTLS_DIG_SHA1),
        md5 = ENTITY(.subject = "CN=leaf", .issuer = &root, .digest = GNUTLS_DIG_MD5),
        weak_upper = ENTITY(.subject = "CN=Upper", .ca = true, .issuer = &root, .digest = GNUTLS_DIG_SHA1),
        below_weak = ENTITY(.subject = "CN=leaf", .issuer = &weak_upper),
        below_small = ENTITY(.subject = "CN=leaf", .issuer = &small),
        small_leaf = ENTITY(.subject = "CN=leaf", .pk = GNUTLS_PK_RSA, .bits = 1024, .issuer = &root),
        below_sha1_root = ENTITY(.subject = "CN=leaf", .issuer = &sha1_root);
    ANCHORS(root.certificate, sha1_root.certificate);
    CANDIDATES(small.certificate, weak_upper.certificate);
    RESULTS;

    assert_failure(BUILD(sha1, NOW), EKEYREJECTED, failure, "RSA-SHA1");
    assert_failure(BUILD(md5, NOW), EKEYREJECTED, failure, "RSA-MD5");
    assert_failure(BUILD(below_weak, NOW), EKEYREJECTED, failure, "CN=Upper");
    assert_failure(BUILD(below_small, NOW), EKEYREJECTED, failure, "CN=Small");
    assert_non_null(strstr(failure.text, "fewer than 2048 bits"));
    assert_failure(BUILD(small_leaf, NOW), EKEYREJECTED, failure, "CN=leaf");
    assert_non_null(strstr(failure.text, "fewer than 2048 bits"));
    /* how an anchor signed itself does not matter */
    assert_ok(BUILD(below_sha1_root, NOW), failure);
    assert_true(certificate_is_self_signed(sha1_root.certificate));
}

static void test_first_to_end(void **state) {
    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=Root", .ca = true, .not_after = NOW + DAY),
                            upper =
                                ENTITY(.subject = "CN=Upper", .ca = true, .issuer = &root, .not_after = NOW + 30 * DAY),
                            lower = ENTITY(.subject = "CN=Lower", .ca = true, .issuer = &upper,
                                           .not_after = NOW + 20 * DAY),
                            longer = ENTITY(.subject = "CN=longer", .issuer = &lower, .not_after = NOW + 40 * DAY),
                            equal = ENTITY(.subject = "CN=equal", .issuer = &lower, .not_after = NOW + 20 * DAY),
                            shorter = ENTITY(.subject = "CN=shorter", .issuer = &lower, .not_after = NOW + 10 * DAY);
    const struct {
        const Entity *leaf;
        size_t first;
    } cases[] = { { &longer, 1 }, { &equal, 0 }, { &shorter, 0 } };
    const CertificateList none = { 0 };

    assert_null(chain_first_to_end(&none));
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        _cleanup_certificates_ CertificateList chain =
            LIST(cases[i].leaf->certificate, lower.certificate, upper.certificate);
        assert_ptr_equal(chain_first_to_end(&chain), chain.list[cases[i].first]);
    }
    _cleanup_certificates_ CertificateList turned = LIST(longer.certificate, upper.certificate, lower.certificate);
    assert_ptr_equal(chain_first_to_end(&turned), turned.list[2]);
}

static void test_find_spki(void **state) {
    _cleanup_entity_ Entity a = ENTITY(.subject = "CN=a"), b = ENTITY(.subject = "CN=b"), c = ENTITY(.subject = "CN=c");
    _cleanup_certificates_ CertificateList list = LIST(a.certificate, b.certificate);

    assert_ptr_equal(certificate_list_find_spki(&list, b.certificate->spki), list.list[1]);
    assert_null(certificate_list_find_spki(&list, c.certificate->spki));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_order),
        cmocka_unit_test(test_directly_under_anchor),
        cmocka_unit_test(test_no_issuer),
        cmocka_unit_test(test_anchor_that_is_an_intermediate),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_valid_path_wins),
        cmocka_unit_test(test_loops_and_crowds),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_issuers_that_may_not),
        cmocka_unit_test(test_path_length),
        cmocka_unit_test(test_name_constraints),
        cmocka_unit_test(test_more_name_constraints),
        cmocka_unit_test(test_through_new_with_old),
        cmocka_unit_test(test_critical_extensions),
        cmocka_unit_test(test_weak_algorithms),
        cmocka_unit_test(test_first_to_end),
        cmocka_unit_test(test_find_spki),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
