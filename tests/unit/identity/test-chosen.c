/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The order in which configured identities are served: a certificate counts more than being served now, and that more
 * than the name. */
#include "identity/chosen.h"

#include "tests/unit/device/machine.h"

#include <errno.h>
#include <sys/stat.h>

static const Duty *const table[] = { &loading_duty, NULL };

/* m and n are served; those of them and of the others whose name is given have a generation. */
static Machine *start(void **state, const char *const *certified) {
    Machine *machine = *state;

    machine_start_parts(machine, table);
    for (const char *const *name = (const char *const[]) { "m", "n", NULL }; *name; name++) {
        machine_configure(machine, *name, "");
        (void) machine_add(machine, *name);
    }
    for (; *certified; certified++)
        for (const char *const *below = (const char *const[]) { "", "/generations", "/generations/1", NULL }; *below;
             below++) {
            char path[64];
            snprintf(path, sizeof path, "state/%s%s", *certified, *below);
            assert_true(mkdir(machine_path(machine, path), 0700) == 0 || errno == EEXIST);
        }
    return machine;
}

static void expect_order(const Machine *machine, const char *names, const char *wanted) {
    char copy[64], got[64] = "", *list[16], *save = NULL;
    size_t count = 0, length = 0;

    snprintf(copy, sizeof copy, "%s", names);
    for (char *name = strtok_r(copy, " ", &save); name; name = strtok_r(NULL, " ", &save))
        list[count++] = name;
    list[count] = NULL;
    assert_int_equal(chosen_sort(machine->device, machine->set, list), 0);
    for (size_t i = 0; i < count; i++)
        length += (size_t) snprintf(got + length, sizeof got - length, "%s%s", i > 0 ? " " : "", list[i]);
    assert_string_equal(got, wanted);
    assert_null(list[count]);
}

static void test_by_rank(void **state) {
    static const char *const certified[] = { "n", "y", NULL };
    Machine *machine = start(state, certified);

    expect_order(machine, "a m n y", "n y m a");
    expect_order(machine, "y n m a", "n y m a"); /* whatever the order was */
    expect_order(machine, "a y", "y a");
    expect_order(machine, "a m", "m a");
    expect_order(machine, "m y", "y m"); /* the certificate counts more */
    expect_order(machine, "n y", "n y");
}

static void test_by_name(void **state) {
    static const char *const certified[] = { "m", "n", "x", "y", NULL };
    Machine *machine = start(state, certified);

    expect_order(machine, "c b a", "a b c");
    expect_order(machine, "b y c n a x m", "m n x y a b c");
}

static void test_few(void **state) {
    static const char *const certified[] = { NULL };
    Machine *machine = start(state, certified);

    expect_order(machine, "", "");
    expect_order(machine, "a", "a");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

int main(void) {
    const struct CMUnitTest tests[] = { TEST(test_by_rank), TEST(test_by_name), TEST(test_few) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
