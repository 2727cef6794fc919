/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* There are no more handles than what is on its way to them has room for. */
#include "lending/limits.h"

#include "signing/signing.h"
#include "work/job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>

/* The handles of one limit, and RLIMIT_NOFILE afterwards. */
static void expect(uint64_t soft, uint64_t hard, uint32_t wanted, uint32_t handles, uint64_t soft_after) {
    DaemonConfig config = { .handles_per_user = 7, .handles_per_rule = 8, .handles = wanted, .identities = 16 };
    struct rlimit limit = { soft, hard };

    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    const QuotaLimits limits = limits_of(&config);
    assert_int_equal(limits.total, handles);
    assert_int_equal(limits.per_user, 7);
    assert_int_equal(limits.per_rule, 8);
    assert_int_equal(limits.identities, 16);
    assert_int_equal(limits.reserve, handles / 64);
    /* What they have on their way, and jobs of both lines, each to its last descriptor. */
    if (handles > 0)
        assert_true(handles * SIGNING_DESCRIPTORS_MAX + 2 * JOB_PLACES * PACKET_FDS_MAX <= soft_after);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(limit.rlim_cur, soft_after);
}

static void test_handles_fit(void **state) {
    struct rlimit before;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    if (before.rlim_max < 8192)
        skip();
    expect(8192, 8192, HANDLES_DEFAULT, HANDLES_DEFAULT, 8192); /* as in the unit */
    expect(1024, 8192, HANDLES_DEFAULT, HANDLES_DEFAULT, 4352); /* as much as it takes, and no more */
    expect(8192, 8192, HANDLES_MAX, 1984, 8192);
    expect(300, 2000, 400, 400, 1856);
    expect(700, 2000, 50, 50, 772); /* for few, what is open anyway decides */
    expect(300, 2000, 1000, 436, 2000);
    expect(200, 200, 10, 0, 200);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_handles_fit) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
