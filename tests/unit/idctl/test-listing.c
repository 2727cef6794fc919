/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a reload made of identities: each pair of states, and lists that differ at any place. */
#include "idctl/listing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static void test_fates(void **state) {
    static const struct {
        const char *before, *after;
        ReloadFate fate;
    } cases[] = {
        { NULL, NULL, RELOAD_UNCHANGED },
        { NULL, "empty", RELOAD_NEW },
        { NULL, "ready", RELOAD_NEW }, /* its keys were kept */
        { NULL, "misconfigured", RELOAD_FELL_OUT },
        { "ready", NULL, RELOAD_GONE },
        { "misconfigured", NULL, RELOAD_GONE },
        { "ready", "misconfigured", RELOAD_FELL_OUT },
        { "empty", "misconfigured", RELOAD_FELL_OUT },
        { "misconfigured", "misconfigured", RELOAD_UNCHANGED },
        { "misconfigured", "ready", RELOAD_BACK },
        { "misconfigured", "empty", RELOAD_BACK },
        { "ready", "ready", RELOAD_UNCHANGED },
        { "empty", "ready", RELOAD_UNCHANGED }, /* not by the reload */
        { "ready", "unavailable", RELOAD_UNCHANGED },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        assert_int_equal(reload_fate(cases[i].before, cases[i].after), cases[i].fate);
}

static void note(const char *name, const char *state, ReloadFate fate, void *userdata) {
    char *text = userdata;
    size_t length = strlen(text);

    (void) snprintf(text + length, 256 - length, "%s=%d,%s ", name, (int) fate, state ? state : "-");
}

static void expect(Listed *before, size_t before_count, Listed *after, size_t after_count, const char *expected) {
    const Listing old = { before, before_count }, new = { after, after_count };
    char text[256] = "";

    reload_compare(&old, &new, note, text);
    assert_string_equal(text, expected);
}

#define R(name)                                                                                                        \
    { (char *) (name), (char *) "ready" }
#define M(name)                                                                                                        \
    { (char *) (name), (char *) "misconfigured" }

static void test_lists(void **state) {
    Listed abc[] = { R("a"), R("b"), R("c") }, none[1], b[] = { M("b") }, abd[] = { R("a"), M("b"), R("d") };

    expect(none, 0, none, 0, "");
    expect(abc, 3, abc, 3, "");
    expect(none, 0, abc, 3, "a=4,ready b=4,ready c=4,ready ");
    expect(abc, 3, none, 0, "a=2,- b=2,- c=2,- ");
    expect(abc, 3, b, 1, "a=2,- b=1,misconfigured c=2,- ");
    expect(b, 1, abc, 3, "a=4,ready b=3,ready c=4,ready ");
    expect(abc, 3, abd, 3, "b=1,misconfigured c=2,- d=4,ready ");
    expect(b, 1, b, 1, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fates),
        cmocka_unit_test(test_lists),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
