/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether the unit has what is configured, and what to write where it has not. */
#include "idctl/check-limits.h"

#include "config/budget.h"
#include "found.h"

#define MEBIBYTE (1024U * 1024U)

static const DaemonConfig defaults = { .handles = HANDLES_DEFAULT, .identities = IDENTITIES_DEFAULT };

static UnitLimits of_unit(void) {
    const Budget budget = budget_of(BUDGET_UNIT_HANDLES, BUDGET_UNIT_IDENTITIES);

    return (UnitLimits) { budget.descriptors, budget.memory, budget.tasks };
}

static void test_enough(void **state) {
    Findings findings = { 0 };
    UnitLimits limits = of_unit();

    check_limits(&defaults, &limits, &findings);
    expect_only(&findings, FINDING_OK,
                "1024 handles and 64 identities may need 4352 descriptors, 392 MiB and 8 tasks, which "
                "identityd.service has",
                NULL);
    limits = (UnitLimits) { UINT64_MAX, UINT64_MAX, UINT64_MAX };
    check_limits(&defaults, &limits, &findings);
    expect_only(&findings, FINDING_OK, "which identityd.service has", NULL);
}

static void test_too_little(void **state) {
    const DaemonConfig more = { .handles = 4000, .identities = 100 };
    Findings findings = { 0 };

    for (unsigned i = 0; i < 4; i++) {
        UnitLimits limits = { 16256, 614 * (uint64_t) MEBIBYTE, 8 };
        if (i == 0)
            limits.descriptors--;
        else if (i == 1)
            limits.memory -= MEBIBYTE;
        else if (i == 2)
            limits.tasks--;
        check_limits(&more, &limits, &findings);
        if (i == 3)
            expect_only(&findings, FINDING_OK, "which identityd.service has", NULL);
        else
            expect_only(&findings, FINDING_WARNING,
                        i == 0   ? "identityd.service has 16255 descriptors, 614 MiB and 8 tasks"
                        : i == 1 ? "identityd.service has 16256 descriptors, 613 MiB and 8 tasks"
                                 : "identityd.service has 16256 descriptors, 614 MiB and 7 tasks",
                        "[Service] LimitNOFILE=16256 MemoryMax=614M TasksMax=8, and restart it");
    }
}

static void test_not_known(void **state) {
    Findings findings = { 0 };

    check_limits(&defaults, NULL, &findings);
    expect_only(&findings, FINDING_SKIPPED, "what identityd.service has is not known without systemd", NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_enough),
        cmocka_unit_test(test_too_little),
        cmocka_unit_test(test_not_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
