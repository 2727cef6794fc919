/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Linked into every unit test of a cross build, in cmocka's way (ld's --wrap). Leaves out the cases that LEFT_OUT lists
 * for this program (tests/cross-left-out: program, case, reason). Guarantees that what is listed exists: a line that
 * names no case fails, so that the list does not outlive what it is about. Without LEFT_OUT everything runs. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CASES_MAX 256U

int __real__cmocka_run_group_tests(const char *name, const struct CMUnitTest *cases, size_t count,
                                   CMFixtureFunction setup, CMFixtureFunction teardown);
int __wrap__cmocka_run_group_tests(const char *name, const struct CMUnitTest *cases, size_t count,
                                   CMFixtureFunction setup, CMFixtureFunction teardown);

/* Removes a case by its name; false if there is none. */
static bool leave_out(struct CMUnitTest *cases, size_t *count, const char *name) {
    for (size_t i = 0; i < *count; i++)
        if (strcmp(cases[i].name, name) == 0) {
            memmove(cases + i, cases + i + 1, (*count - i - 1) * sizeof(*cases));
            (*count)--;
            return true;
        }
    return false;
}

int __wrap__cmocka_run_group_tests(const char *name, const struct CMUnitTest *cases, size_t count,
                                   CMFixtureFunction setup, CMFixtureFunction teardown) {
    struct CMUnitTest kept[CASES_MAX];
    char line[512], program[64], left[64], ours[70];
    const char *path = getenv("LEFT_OUT");

    if (!path)
        return __real__cmocka_run_group_tests(name, cases, count, setup, teardown);
    FILE *list = fopen(path, "re");
    if (!list || count > CASES_MAX) {
        printf("leave-out: cannot read %s, or more than %u cases\n", path, CASES_MAX);
        return 1;
    }
    memcpy(kept, cases, count * sizeof(*cases));
    bool stale = false;
    while (fgets(line, sizeof(line), list)) {
        if (line[0] == '#' || sscanf(line, "%63s %63s", program, left) != 2)
            continue;
        (void) snprintf(ours, sizeof(ours), "test-%s", program);
        if (strcmp(ours, program_invocation_short_name) != 0)
            continue;
        if (!leave_out(kept, &count, left)) {
            printf("leave-out: %s names %s, which %s does not have\n", path, left, program);
            stale = true;
        }
    }
    (void) fclose(list);
    if (stale || count == 0)
        return 1;
    return __real__cmocka_run_group_tests(name, kept, count, setup, teardown);
}
