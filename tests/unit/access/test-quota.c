/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The quota against plain counting. */
#include "access/access.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_limits(void **state) {
    _cleanup_quota_ Quota *quota = NULL;

    assert_int_equal(quota_new(2, 5, &quota), 0);
    assert_int_equal(quota_take(quota, 1000), 0);
    assert_int_equal(quota_take(quota, 1000), 0);
    assert_int_equal(quota_take(quota, 1000), -EDQUOT);
    assert_int_equal(quota_take(quota, 1001), 0);
    /* root counts in the total alone */
    assert_int_equal(quota_take(quota, 0), 0);
    assert_int_equal(quota_take(quota, 0), 0);
    assert_int_equal(quota_take(quota, 0), -EUSERS);
    assert_int_equal(quota_take(quota, 1002), -EUSERS);
    quota_give(quota, 0);
    assert_int_equal(quota_take(quota, 1000), -EDQUOT);
    assert_int_equal(quota_take(quota, 1002), 0);
    quota_give(quota, 1000);
    assert_int_equal(quota_take(quota, 1000), 0);

    /* Lower limits take nothing away, higher ones count at once. */
    quota_set_limits(quota, 1, 1);
    assert_int_equal(quota_take(quota, 1001), -EDQUOT);
    assert_int_equal(quota_take(quota, 1003), -EUSERS);
    quota_set_limits(quota, 3, 100);
    assert_int_equal(quota_take(quota, 1000), 0);
    assert_int_equal(quota_take(quota, 1000), -EDQUOT);
    quota_set_limits(quota, 0, 0);
    assert_int_equal(quota_take(quota, 7), -EDQUOT);
    assert_int_equal(quota_take(quota, 0), -EUSERS);
    assert_null(quota_free(NULL));
}

/* A refused take costs nothing: neither a place nor an account. */
static void test_random(void **state) {
    enum { USERS = 50, PER_USER = 7, TOTAL = 120 };
    _cleanup_quota_ Quota *quota = NULL;
    uint32_t held[USERS] = { 0 }, total = 0, refused = 0;
    uint64_t random = 88172645463325252ULL;

    assert_int_equal(quota_new(PER_USER, TOTAL, &quota), 0);
    for (unsigned i = 0; i < 200000; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        unsigned user = (random >> 8) % USERS;
        uid_t uid = user * 2654435761U % 4294967291U; /* 0 is among them, the others are spread */
        if ((random >> 40) % 100 < 60) {
            int expected = uid != 0 && held[user] >= PER_USER ? -EDQUOT : total >= TOTAL ? -EUSERS : 0;
            assert_int_equal(quota_take(quota, uid), expected);
            if (expected == 0) {
                held[user]++;
                total++;
            } else {
                refused++;
            }
        } else if (held[user] > 0) {
            quota_give(quota, uid);
            held[user]--;
            total--;
        }
    }
    assert_true(refused > 1000);
    for (unsigned user = 0; user < USERS; user++)
        while (held[user]-- > 0)
            quota_give(quota, user * 2654435761U % 4294967291U);
    for (unsigned i = 0; i < TOTAL; i++)
        assert_int_equal(quota_take(quota, i), 0);
    assert_int_equal(quota_take(quota, 5000), -EUSERS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
