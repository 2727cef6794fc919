/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libsystemd, opened when the first identity is asked for: one table for all; and none where it or a function of it is
 * missing, which is said. */
#include "client-lib/bus-functions.h"
#include "common/macros.h"
#include "identityd/identityd.h"

#include <dlfcn.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const char *absent; /* a function that the library lacks; "" is the library */

void *__real_dlopen(const char *name, int flags);
void *__wrap_dlopen(const char *name, int flags);
void *__real_dlsym(void *library, const char *name);
void *__wrap_dlsym(void *library, const char *name);

void *__wrap_dlopen(const char *name, int flags) {
    return __real_dlopen(absent && !absent[0] ? "libsystemd-of-nobody.so.0" : name, flags);
}

void *__wrap_dlsym(void *library, const char *name) {
    return absent && strcmp(name, absent) == 0 ? NULL : __real_dlsym(library, name);
}

static void expect_refused(const char *reason) {
    const BusFunctions *functions = NULL;

    assert_int_equal(bus_functions(&functions), -EHOSTDOWN);
    assert_null(functions);
    if (!strstr(identityd_last_error(), "identityd cannot be asked: ") || !strstr(identityd_last_error(), reason))
        fail_msg("'%s' does not say '%s'", identityd_last_error(), reason);
}

static void test_absent(void **state) {
    static const char *const names[] = {
#define NAME(name) #name,
        BUS_FUNCTIONS(NAME)
#undef NAME
    };

    absent = "";
    expect_refused("libsystemd-of-nobody.so.0: ");
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        absent = names[i];
        expect_refused(names[i]);
    }
    absent = NULL;
}

/* After all that went wrong before. */
static void test_one_table(void **state) {
    const BusFunctions *functions = NULL, *again = NULL;

    assert_int_equal(bus_functions(&functions), 0);
    assert_non_null(functions);
    absent = ""; /* nothing is looked for again */
    assert_int_equal(bus_functions(&again), 0);
    assert_ptr_equal(again, functions);
    absent = NULL;
    void *library = dlopen("libsystemd.so.0", RTLD_NOW);
    assert_non_null(library);
#define SAME(name) assert_ptr_equal((void *) functions->name, dlsym(library, #name));
    BUS_FUNCTIONS(SAME)
#undef SAME
    (void) dlclose(library);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_absent),
        cmocka_unit_test(test_one_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
