/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the units are given, and that the two ways to reckon are one. */
#include "config/budget.h"

#include "config/daemon-config.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MEBIBYTE (1024U * 1024U)

static void expect(uint32_t handles, uint32_t identities, uint64_t descriptors, uint64_t mebibytes) {
    Budget budget = budget_of(handles, identities);

    assert_int_equal(budget.descriptors, descriptors);
    assert_int_equal(budget.memory, mebibytes * MEBIBYTE);
    assert_int_equal(budget.tasks, 8);
}

static void test_figures(void **state) {
    expect(BUDGET_UNIT_HANDLES, BUDGET_UNIT_IDENTITIES, 8192, 452);
    expect(HANDLES_DEFAULT, IDENTITIES_DEFAULT, 4352, 392);
    expect(16, 1, 524, 266);         /* few handles: what is open decides … */
    expect(1008, 1000, 14496, 1327); /* … and with many identities, too */
    expect(65536, 64, 262400, 4424); /* many handles: what is on its way */
    assert_int_equal(budget_of(UINT32_MAX, UINT32_MAX).descriptors, 480 + 14 * (uint64_t) UINT32_MAX);
}

/* The defaults fit into the unit as it is. */
static void test_defaults_fit(void **state) {
    assert_true(budget_handles(budget_of(BUDGET_UNIT_HANDLES, BUDGET_UNIT_IDENTITIES).descriptors,
                               IDENTITIES_DEFAULT) >= HANDLES_DEFAULT);
    assert_int_equal(BUDGET_UNIT_IDENTITIES, IDENTITIES_DEFAULT);
}

/* As many as fit do, and one more does not. */
static void test_inverse(void **state) {
    for (uint32_t identities = 0; identities <= 1024; identities += 128)
        for (uint64_t descriptors = 0; descriptors < 20000; descriptors += 7) {
            uint32_t handles = budget_handles(descriptors, identities);
            if (handles > 0)
                assert_true(budget_of(handles, identities).descriptors <= descriptors);
            assert_true(budget_of(handles + 1U, identities).descriptors > descriptors);
        }
    assert_int_equal(budget_handles(UINT64_MAX, 0), UINT32_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_figures),
        cmocka_unit_test(test_defaults_fit),
        cmocka_unit_test(test_inverse),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
