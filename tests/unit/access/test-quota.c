/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The quota against plain counting. */
#include "access/access.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static QuotaClaim claim(uid_t uid, const char *rule, const char *identity) {
    return (QuotaClaim) { .party = uid, .unlimited = uid == 0, .rule = rule, .identity = identity };
}

static void expect(Quota *quota, uid_t uid, const char *rule, const char *identity, int expected) {
    const QuotaClaim wanted = claim(uid, rule, identity);
    int answer = quota_take(quota, &wanted);

    if (answer != expected)
        fail_msg("uid %u by %s of %s: %d instead of %d", uid, rule, identity, answer, expected);
}

static void give(Quota *quota, uid_t uid, const char *rule, const char *identity) {
    const QuotaClaim given = claim(uid, rule, identity);

    quota_give(quota, &given, false);
}

static void test_by_user(void **state) {
    const QuotaLimits limits = { .per_user = 2, .per_rule = 100, .total = 5 };
    _cleanup_quota_ Quota *quota = NULL;

    assert_int_equal(quota_new(&limits, &quota), 0);
    expect(quota, 1000, "user:a", "x", QUOTA_TAKEN);
    expect(quota, 1000, "group:a", "y", QUOTA_TAKEN); /* by whichever rule, of whichever identity */
    expect(quota, 1000, "user:a", "x", QUOTA_OF_USER);
    expect(quota, 1001, "user:b", "x", QUOTA_TAKEN);
    expect(quota, 0, "user:root", "x", QUOTA_TAKEN); /* root counts in the total alone */
    expect(quota, 0, "user:root", "x", QUOTA_TAKEN);
    expect(quota, 0, "user:root", "x", QUOTA_OF_ALL);
    expect(quota, 1002, "user:c", "x", QUOTA_OF_ALL);
    give(quota, 0, "user:root", "x");
    expect(quota, 1000, "user:a", "x", QUOTA_OF_USER);
    expect(quota, 1002, "user:c", "x", QUOTA_TAKEN);
    give(quota, 1000, "group:a", "y");
    expect(quota, 1000, "user:a", "x", QUOTA_TAKEN);
    assert_null(quota_free(NULL));
}

static void test_limits_change(void **state) {
    QuotaLimits limits = { .per_user = 2, .per_rule = 2, .total = 5 };
    _cleanup_quota_ Quota *quota = NULL;

    assert_int_equal(quota_new(&limits, &quota), 0);
    expect(quota, 1, "user:a", "x", QUOTA_TAKEN);
    expect(quota, 1, "user:a", "x", QUOTA_TAKEN);
    /* Lower limits take nothing away, higher ones count at once. */
    limits = (QuotaLimits) { .per_user = 1, .per_rule = 1, .total = 1 };
    quota_set_limits(quota, &limits);
    expect(quota, 1, "user:b", "x", QUOTA_OF_USER);
    expect(quota, 2, "user:a", "x", QUOTA_OF_RULE);
    expect(quota, 3, "user:c", "x", QUOTA_OF_ALL);
    limits = (QuotaLimits) { .per_user = 3, .per_rule = 3, .total = 100 };
    quota_set_limits(quota, &limits);
    expect(quota, 1, "user:a", "x", QUOTA_TAKEN);
    expect(quota, 1, "user:b", "x", QUOTA_OF_USER);
    limits = (QuotaLimits) { 0 };
    quota_set_limits(quota, &limits);
    expect(quota, 7, "user:d", "x", QUOTA_OF_USER);
    expect(quota, 0, "user:root", "x", QUOTA_OF_ALL);
}

/* Sixteen members of a group with 64 each would take everything; whoever is admitted by another rule has the rest. */
static void test_by_rule(void **state) {
    const QuotaLimits limits = { .per_user = 64, .per_rule = 256, .total = 1024 };
    _cleanup_quota_ Quota *quota = NULL;
    unsigned taken = 0;

    assert_int_equal(quota_new(&limits, &quota), 0);
    for (uid_t uid = 1000; uid < 1016; uid++)
        for (unsigned i = 0; i < 64; i++) {
            const QuotaClaim wanted = claim(uid, "group:staff", i % 2 ? "x" : "y");
            taken += quota_take(quota, &wanted) == QUOTA_TAKEN;
        }
    assert_int_equal(taken, 256);
    expect(quota, 2000, "group:staff", "z", QUOTA_OF_RULE);
    expect(quota, 2000, "user:other", "x", QUOTA_TAKEN);
    expect(quota, 1000, "user:other", "x", QUOTA_OF_USER);
    expect(quota, 0, "group:staff", "x", QUOTA_TAKEN);
}

/* However much is taken of others, a few are left of each identity. */
static void test_kept_for_identities(void **state) {
    const QuotaLimits limits = { .per_user = 1000, .per_rule = 1000, .total = 20, .reserve = 2, .identities = 4 };
    _cleanup_quota_ Quota *quota = NULL;

    assert_int_equal(quota_new(&limits, &quota), 0);
    for (unsigned i = 0; i < 14; i++)
        expect(quota, 1, "user:a", "one", QUOTA_TAKEN);
    expect(quota, 1, "user:a", "one", QUOTA_KEPT);
    expect(quota, 2, "user:b", "one", QUOTA_KEPT);
    expect(quota, 0, "user:root", "one", QUOTA_KEPT); /* root can have the limit raised */
    for (unsigned i = 0; i < 2; i++) {
        expect(quota, 1, "user:a", "two", QUOTA_TAKEN);
        expect(quota, 3, "user:c", "three", QUOTA_TAKEN);
    }
    expect(quota, 1, "user:a", "two", QUOTA_KEPT);
    expect(quota, 1, "user:a", "one", QUOTA_KEPT);
    give(quota, 1, "user:a", "one");
    expect(quota, 4, "user:d", "two", QUOTA_TAKEN);
    expect(quota, 5, "user:e", "four", QUOTA_TAKEN);
    expect(quota, 5, "user:e", "four", QUOTA_TAKEN);
    expect(quota, 5, "user:e", "four", QUOTA_OF_ALL);
    /* An identity beyond those that there may be (one that is being removed) has none of its own. */
    give(quota, 5, "user:e", "four");
    expect(quota, 6, "user:f", "five", QUOTA_KEPT);
    expect(quota, 5, "user:e", "four", QUOTA_TAKEN);
}

/* Closed by their holders and not yet by us: they are nobody's, but descriptors all the same. */
static void test_excused(void **state) {
    const QuotaLimits limits = { .per_user = 2, .per_rule = 3, .total = 6 };
    const QuotaClaim mine = claim(1, "user:a", "x");
    _cleanup_quota_ Quota *quota = NULL;

    assert_int_equal(quota_new(&limits, &quota), 0);
    for (unsigned round = 0; round < 2; round++) {
        expect(quota, 1, "user:a", "x", QUOTA_TAKEN);
        if (round == 0)
            expect(quota, 1, "user:a", "x", QUOTA_TAKEN);
        expect(quota, 1, "user:a", "x", QUOTA_OF_USER);
        assert_true(quota_excuse(quota, &mine));
    }
    expect(quota, 1, "user:a", "x", QUOTA_TAKEN);
    assert_false(quota_excuse(quota, &mine)); /* as many as he may have are on their way out */
    expect(quota, 1, "user:a", "x", QUOTA_OF_USER);
    expect(quota, 2, "user:b", "x", QUOTA_TAKEN);
    expect(quota, 2, "user:b", "x", QUOTA_TAKEN);
    expect(quota, 3, "user:c", "x", QUOTA_OF_ALL); /* 2 + 2 that are excused + 2 */
    quota_give(quota, &mine, true);
    expect(quota, 3, "user:c", "x", QUOTA_TAKEN);
    quota_give(quota, &mine, true);
    quota_give(quota, &mine, false);
    quota_give(quota, &mine, false);
    expect(quota, 1, "user:a", "x", QUOTA_TAKEN);
    expect(quota, 1, "user:a", "x", QUOTA_TAKEN);
    expect(quota, 1, "user:a", "x", QUOTA_OF_USER);
}

/* A refused take costs nothing: neither a place nor an account. */
static void test_random(void **state) {
    enum { USERS = 50, RULES = 9, IDENTITIES = 5, PER_USER = 7, PER_RULE = 25, TOTAL = 120 };
    static const char *const rules[RULES] = { "group:a", "group:b", "group:c", "group:d", "group:e",
                                              "unit:f",  "unit:g",  "unit:h",  "unit:i" };
    static const char *const identities[IDENTITIES] = { "v", "w", "x", "y", "z" };
    const QuotaLimits limits = { PER_USER, PER_RULE, TOTAL, 4, IDENTITIES };
    _cleanup_quota_ Quota *quota = NULL;
    uint32_t held[USERS] = { 0 }, by_rule[RULES] = { 0 }, of_identity[IDENTITIES] = { 0 }, total = 0,
             answers[5] = { 0 };
    uint64_t random = 88172645463325252ULL;

    assert_int_equal(quota_new(&limits, &quota), 0);
    for (unsigned i = 0; i < 100000; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        unsigned user = (random >> 8) % USERS, rule = user % RULES, identity = user % IDENTITIES;
        const QuotaClaim wanted = claim(user * 2654435761U % 4294967291U, rules[rule], identities[identity]);
        if ((random >> 40) % 100 < 60) {
            uint32_t kept = 0;
            for (unsigned other = 0; other < IDENTITIES; other++)
                kept += other != identity && of_identity[other] < 4 ? 4 - of_identity[other] : 0;
            QuotaAnswer expected = user > 0 && held[user] >= PER_USER      ? QUOTA_OF_USER
                                   : user > 0 && by_rule[rule] >= PER_RULE ? QUOTA_OF_RULE
                                   : total >= TOTAL                        ? QUOTA_OF_ALL
                                   : total + kept >= TOTAL                 ? QUOTA_KEPT
                                                                           : QUOTA_TAKEN;
            assert_int_equal(quota_take(quota, &wanted), expected);
            answers[expected]++;
            if (expected == QUOTA_TAKEN) {
                held[user]++;
                by_rule[rule]++;
                of_identity[identity]++;
                total++;
            }
        } else if (held[user] > 0) {
            quota_give(quota, &wanted, false);
            held[user]--;
            by_rule[rule]--;
            of_identity[identity]--;
            total--;
        }
    }
    assert_true(answers[QUOTA_OF_USER] > 1000 && answers[QUOTA_OF_RULE] > 100 && answers[QUOTA_OF_ALL] > 100);
    for (unsigned user = 0; user < USERS; user++)
        while (held[user]-- > 0)
            give(quota, user * 2654435761U % 4294967291U, rules[user % RULES], identities[user % IDENTITIES]);
    for (unsigned i = 0; i < TOTAL; i++)
        expect(quota, 10000 + i, rules[i % RULES], identities[i % IDENTITIES], QUOTA_TAKEN);
    expect(quota, 5000, "user:last", "v", QUOTA_OF_ALL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_user), cmocka_unit_test(test_limits_change),
        cmocka_unit_test(test_by_rule), cmocka_unit_test(test_kept_for_identities),
        cmocka_unit_test(test_excused), cmocka_unit_test(test_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
