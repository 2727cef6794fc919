/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Prints what identityd.service must have, as config/budget.h reckons it. */
#include "config/budget.h"

#include <inttypes.h>
#include <stdio.h>

int main(void) {
    const Budget budget = budget_of(BUDGET_UNIT_HANDLES, BUDGET_UNIT_IDENTITIES);

    printf("LimitNOFILE=%" PRIu64 "\nMemoryMax=%" PRIu64 "M\nTasksMax=%" PRIu32 "\n", budget.descriptors,
           budget.memory / (1024U * 1024U), budget.tasks);
    return 0;
}
