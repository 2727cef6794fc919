/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Anchors that come and go: only what the old key signed makes a new one, only a root becomes one. */
#include "pki/chain.h"

#include "fixture.h"

#include <string.h>

static bool has(const CertificateList *list, const Entity *entity) {
    return certificate_list_contains(list, entity->certificate);
}

typedef struct Rollover {
    CertificateList anchors;
    bool changed;
} Rollover;

static Rollover roll_at(const CertificateList *present, const CertificateList *answer, const Entity *authenticated_by,
                        const CertificateList *own_chain, int64_t now) {
    Rollover result = { 0 };
    Failure failure = FAILURE_INIT;

    assert_ok(trust_rollover(present, answer, authenticated_by ? authenticated_by->certificate : NULL, own_chain, now,
                             &result.anchors, &result.changed, &failure),
              failure);
    return result;
}

static Rollover roll(const CertificateList *present, const CertificateList *answer, const Entity *authenticated_by,
                     const CertificateList *own_chain) {
    return roll_at(present, answer, authenticated_by, own_chain, NOW);
}

static void rollover_clear(Rollover *rollover) {
    certificate_list_clear(&rollover->anchors);
}
#define _cleanup_rollover_ _cleanup_(rollover_clear)
#define _cleanup_list_     _cleanup_certificates_ CertificateList

#define ROOTS                                                                                                          \
    _cleanup_entity_ Entity old = ENTITY(.subject = "CN=Root", .ca = true),                                            \
                            new = ENTITY(.subject = "CN=Root", .ca = true),                                            \
                            new_with_old = ENTITY(.subject = "CN=Root", .ca = true, .key = new.key, .issuer = &old),   \
                            old_with_new = ENTITY(.subject = "CN=Root", .ca = true, .key = old.key, .issuer = &new);   \
    _cleanup_list_ present = LIST(old.certificate)

static void test_new_root(void **state) {
    ROOTS;
    _cleanup_list_ answer = LIST(new.certificate, old_with_new.certificate, new_with_old.certificate, old.certificate);
    _cleanup_rollover_ Rollover result = roll(&present, &answer, &old, NULL);

    assert_true(result.changed);
    assert_int_equal(result.anchors.count, 2);
    assert_true(has(&result.anchors, &old) && has(&result.anchors, &new));

    /* once more changes nothing */
    _cleanup_rollover_ Rollover again = roll(&result.anchors, &answer, &old, NULL);
    assert_false(again.changed);
    assert_int_equal(again.anchors.count, 2);
}

/* Anybody can make the new root and OldWithNew. */
static void test_attacker(void **state) {
    ROOTS;
    _cleanup_list_ answer = LIST(new.certificate, old_with_new.certificate, old.certificate);
    _cleanup_rollover_ Rollover result = roll(&present, &answer, &old, NULL);

    assert_false(result.changed);
    assert_int_equal(result.anchors.count, 1);
    assert_true(has(&result.anchors, &old));
}

/* Each with what is missing or too much in NewWithOld, or in the new root. */
static void test_refused(void **state) {
    const Extension unknown = { "1.2.3.4", "\x05\x00", 2, true };
    ROOTS;
    _cleanup_entity_ Entity
        other_name = ENTITY(.subject = "CN=New", .ca = true),
        other_name_with_old = ENTITY(.subject = "CN=New", .ca = true, .key = other_name.key, .issuer = &old),
        limited =
            ENTITY(.subject = "CN=Root", .ca = true, .key = new.key, .issuer = &old, .limited = true, .path_length = 3),
        no_ca = ENTITY(.subject = "CN=Root", .key = new.key, .issuer = &old, .usage = GNUTLS_KEY_KEY_CERT_SIGN),
        no_usage =
            ENTITY(.subject = "CN=Root", .ca = true, .usage = GNUTLS_KEY_CRL_SIGN, .key = new.key, .issuer = &old),
        stranger = ENTITY(.subject = "CN=Root", .ca = true),
        by_stranger = ENTITY(.subject = "CN=Root", .ca = true, .key = new.key, .issuer = &stranger),
        expired = ENTITY(.subject = "CN=Root", .ca = true, .key = new.key, .issuer = &old, .not_after = NOW - 1),
        narrow = ENTITY(.subject = "CN=Root", .ca = true, .key = new.key, .issuer = &old, .permitted_dns = "example"),
        critical = ENTITY(.subject = "CN=Root", .ca = true, .key = new.key, .issuer = &old, .extensions = { unknown }),
        other_key = ENTITY(.subject = "CN=Root", .ca = true, .issuer = &old);
    const Entity *const bad[] = { &limited, &no_ca, &no_usage, &by_stranger, &expired, &narrow, &critical, &other_key };

    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        _cleanup_list_ answer = LIST(bad[i]->certificate, new.certificate, stranger.certificate, old.certificate);
        _cleanup_rollover_ Rollover result = roll(&present, &answer, &old, NULL);
        if (result.changed || result.anchors.count != 1)
            fail_msg("case %zu", i);
    }
    {
        _cleanup_list_ answer = LIST(other_name_with_old.certificate, other_name.certificate);
        _cleanup_rollover_ Rollover result = roll(&present, &answer, &old, NULL);
        assert_false(result.changed);
    }
    /* the evidence is right, the root is not */
    _cleanup_entity_ Entity future = ENTITY(.subject = "CN=Root", .ca = true, .key = new.key, .not_before = NOW + 1),
                            past = ENTITY(.subject = "CN=Root", .ca = true, .key = new.key, .not_after = NOW - 1),
                            leaf = ENTITY(.subject = "CN=Root", .key = new.key),
                            strange =
                                ENTITY(.subject = "CN=Root", .ca = true, .key = new.key, .extensions = { unknown });
    const Entity *const bad_roots[] = { &future, &past, &leaf, &strange };
    for (size_t i = 0; i < ARRAY_LENGTH(bad_roots); i++) {
        _cleanup_list_ answer = LIST(new_with_old.certificate, bad_roots[i]->certificate);
        _cleanup_rollover_ Rollover result = roll(&present, &answer, &old, NULL);
        if (result.changed)
            fail_msg("root %zu", i);
    }
    /* name constraints: only a root that has the very same */
    _cleanup_entity_ Entity same = ENTITY(.subject = "CN=Root", .ca = true, .key = new.key, .permitted_dns = "example"),
                            wider = ENTITY(.subject = "CN=Root", .ca = true, .key = new.key, .permitted_dns = "com");
    _cleanup_list_ constrained = LIST(narrow.certificate, same.certificate, wider.certificate);
    _cleanup_rollover_ Rollover bound = roll(&present, &constrained, &old, NULL);
    assert_int_equal(bound.anchors.count, 2);
    assert_true(has(&bound.anchors, &same));
    /* and one day the future one is there */
    _cleanup_list_ answer = LIST(new_with_old.certificate, future.certificate);
    _cleanup_rollover_ Rollover later = roll_at(&present, &answer, &old, NULL, NOW + 1);
    assert_true(later.changed && has(&later.anchors, &future));
}

/* No intermediate becomes an anchor, and none that is one names roots. */
static void test_intermediates(void **state) {
    ROOTS;
    _cleanup_entity_ Entity upper = ENTITY(.subject = "CN=Upper", .ca = true, .issuer = &old),
                            fresh = ENTITY(.subject = "CN=Upper", .ca = true),
                            fresh_by_upper =
                                ENTITY(.subject = "CN=Upper", .ca = true, .key = fresh.key, .issuer = &upper);
    {
        _cleanup_list_ answer = LIST(upper.certificate, new_with_old.certificate, old.certificate);
        _cleanup_rollover_ Rollover result = roll(&present, &answer, &old, NULL);
        assert_false(result.changed);
        assert_int_equal(result.anchors.count, 1);
    }
    {
        _cleanup_list_ intermediate = LIST(upper.certificate),
                       answer = LIST(fresh.certificate, fresh_by_upper.certificate);
        _cleanup_rollover_ Rollover result = roll(&intermediate, &answer, &upper, NULL);
        assert_false(result.changed);
    }
}

/* The same key in a new certificate: the old one vouches for it by its signature. */
static void test_reissued_root(void **state) {
    ROOTS;
    _cleanup_entity_ Entity again =
        ENTITY(.subject = "CN=Root", .ca = true, .key = old.key, .not_after = NOW + 900 * DAY);
    _cleanup_list_ answer = LIST(again.certificate);
    _cleanup_rollover_ Rollover result = roll(&present, &answer, &old, NULL);

    assert_true(result.changed);
    assert_int_equal(result.anchors.count, 2); /* the one that authenticated the answer does not leave by it */
}

/* A device that slept through two rollovers. */
static void test_two_steps(void **state) {
    ROOTS;
    _cleanup_entity_ Entity newer = ENTITY(.subject = "CN=Root", .ca = true),
                            newer_with_new = ENTITY(.subject = "CN=Root", .ca = true, .key = newer.key, .issuer = &new);
    _cleanup_list_ answer =
        LIST(newer.certificate, newer_with_new.certificate, new.certificate, new_with_old.certificate);
    _cleanup_rollover_ Rollover result = roll(&present, &answer, NULL, NULL);

    assert_int_equal(result.anchors.count, 3);
    assert_true(has(&result.anchors, &newer));
}

static void test_leaving(void **state) {
    ROOTS;
    _cleanup_entity_ Entity below_old = ENTITY(.subject = "CN=leaf", .issuer = &old),
                            below_new = ENTITY(.subject = "CN=leaf", .issuer = &new);
    _cleanup_list_ both = LIST(old.certificate, new.certificate), only_new = LIST(new.certificate),
                   neither = LIST(new_with_old.certificate), chain_old = LIST(below_old.certificate),
                   chain_new = LIST(below_new.certificate);
    {
        _cleanup_rollover_ Rollover result = roll(&both, &only_new, &new, &chain_new);
        assert_true(result.changed);
        assert_int_equal(result.anchors.count, 1);
        assert_true(has(&result.anchors, &new));
    }
    { /* nobody needs it yet */
        _cleanup_rollover_ Rollover result = roll(&both, &only_new, &new, NULL);
        assert_true(result.changed && result.anchors.count == 1);
    }
    { /* our own chain needs it */
        _cleanup_rollover_ Rollover result = roll(&both, &only_new, &new, &chain_old);
        assert_false(result.changed);
        assert_int_equal(result.anchors.count, 2);
    }
    { /* authenticated by the one that is omitted */
        _cleanup_rollover_ Rollover result = roll(&both, &only_new, &old, &chain_new);
        assert_false(result.changed);
        assert_int_equal(result.anchors.count, 2);
    }
    { /* authenticated by an anchor of another set, or by what it brings itself */
        _cleanup_entity_ Entity web = ENTITY(.subject = "CN=Web", .ca = true);
        _cleanup_rollover_ Rollover none = roll(&both, &only_new, NULL, &chain_new),
                                    other = roll(&both, &only_new, &web, &chain_new);
        assert_false(none.changed || other.changed);
        _cleanup_list_ bringing = LIST(web.certificate);
        _cleanup_rollover_ Rollover itself = roll(&both, &bringing, &web, &chain_new);
        assert_false(itself.changed);
    }
    { /* an answer that omits all */
        _cleanup_rollover_ Rollover result = roll(&both, &neither, &new, &chain_new);
        assert_int_equal(result.anchors.count, 2);
    }
}

/* ---- bootstrap ---- */

static void refuse_bootstrap(const CertificateList *answer, const Entity *root, const char *reason) {
    uint8_t fingerprint[32];
    Certificate *anchor = NULL;
    Failure failure = FAILURE_INIT;

    assert_int_equal(certificate_fingerprint(root->certificate, fingerprint), 0);
    assert_failure(trust_bootstrap(answer, fingerprint, NOW, &anchor, &failure), EKEYREJECTED, failure, reason);
    assert_int_equal(failure.kind, FAILURE_CERTIFICATE_REJECTED);
    assert_null(anchor);
}

static void accept_bootstrap(const CertificateList *answer, const Entity *root) {
    _cleanup_certificate_ Certificate *anchor = NULL;
    uint8_t fingerprint[32];
    Failure failure = FAILURE_INIT;

    assert_int_equal(certificate_fingerprint(root->certificate, fingerprint), 0);
    assert_ok(trust_bootstrap(answer, fingerprint, NOW, &anchor, &failure), failure);
    assert_true(certificate_equal(anchor, root->certificate));
}

static void test_bootstrap(void **state) {
    ROOTS;
    _cleanup_entity_ Entity upper = ENTITY(.subject = "CN=Upper", .ca = true, .issuer = &new),
                            lower = ENTITY(.subject = "CN=Lower", .ca = true, .issuer = &upper),
                            stranger = ENTITY(.subject = "CN=Stranger", .ca = true),
                            former = ENTITY(.subject = "CN=Upper", .ca = true, .issuer = &new, .not_after = NOW - 1),
                            expired = ENTITY(.subject = "CN=E", .ca = true, .not_after = NOW - 1),
                            leaf = ENTITY(.subject = "CN=leaf");
    _cleanup_list_ plain = LIST(lower.certificate, new.certificate, upper.certificate),
                   rolling = LIST(new_with_old.certificate, old.certificate, new.certificate, old_with_new.certificate,
                                  upper.certificate),
                   with_stranger = LIST(new.certificate, upper.certificate, stranger.certificate),
                   with_former = LIST(former.certificate, new.certificate, upper.certificate),
                   gap = LIST(new.certificate, lower.certificate), is_expired = LIST(expired.certificate),
                   is_leaf = LIST(leaf.certificate), unrelated = LIST(new.certificate, old.certificate), none = { 0 };

    accept_bootstrap(&plain, &new);
    accept_bootstrap(&rolling, &new);
    accept_bootstrap(&rolling, &old);
    refuse_bootstrap(&plain, &stranger, "none of the CA's 3 certificates has the fingerprint sha256:");
    refuse_bootstrap(&none, &new, "none of the CA's 0");
    /* what does not chain to it is left out, and trusted for nothing */
    accept_bootstrap(&with_stranger, &new);
    accept_bootstrap(&gap, &new);
    accept_bootstrap(&unrelated, &new);
    accept_bootstrap(&with_former, &new);
    refuse_bootstrap(&plain, &upper, "it is not self-signed");
    refuse_bootstrap(&rolling, &new_with_old, "it is not self-signed");
    refuse_bootstrap(&is_expired, &expired, "it has expired");
    refuse_bootstrap(&is_leaf, &leaf, "it is not a CA");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_root),      cmocka_unit_test(test_attacker),      cmocka_unit_test(test_refused),
        cmocka_unit_test(test_intermediates), cmocka_unit_test(test_reissued_root), cmocka_unit_test(test_two_steps),
        cmocka_unit_test(test_leaving),       cmocka_unit_test(test_bootstrap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
