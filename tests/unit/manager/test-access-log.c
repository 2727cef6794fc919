/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is held back is said by itself when its window is over, though nobody asks for anything any more; and at the
 * end. */
#include "manager/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

typedef struct Fixture {
    Manager manager;
    int stderr_kept;
    FILE *log;
} Fixture;

static int set_up(void **state) {
    Fixture *fixture = calloc(1, sizeof *fixture);

    assert_non_null(fixture);
    assert_int_equal(sd_event_new(&fixture->manager.loop), 0);
    assert_int_equal(line_limit_new(&fixture->manager.access_lines), 0);
    fixture->log = tmpfile();
    assert_non_null(fixture->log);
    assert_int_equal(setvbuf(fixture->log, NULL, _IONBF, 0), 0);
    fflush(stderr);
    fixture->stderr_kept = dup(STDERR_FILENO);
    assert_true(fixture->stderr_kept >= 0);
    assert_int_equal(dup2(fileno(fixture->log), STDERR_FILENO), STDERR_FILENO);
    assert_int_equal(unsetenv("JOURNAL_STREAM"), 0);
    *state = fixture;
    return 0;
}

static int tear_down(void **state) {
    Fixture *fixture = *state;

    fflush(stderr);
    (void) dup2(fixture->stderr_kept, STDERR_FILENO);
    close_safe(fixture->stderr_kept);
    access_log_end(&fixture->manager);
    sd_event_unref(fixture->manager.loop);
    fclose(fixture->log);
    free(fixture);
    return 0;
}

static bool log_has(Fixture *fixture, const char *needle) {
    char text[4096];
    ssize_t n = pread(fileno(fixture->log), text, sizeof text - 1, 0);

    assert_true(n >= 0);
    text[n] = '\0';
    return strstr(text, needle);
}

/* A window that began `ago` µs before now is full. */
static void fill_window(Fixture *fixture, uid_t uid, uint64_t ago) {
    uint64_t begun = boottime_usec() - ago;

    for (unsigned i = 0; i < LINE_LIMIT_BURST; i++)
        assert_true(line_limit_admits(fixture->manager.access_lines, LINE_REFUSED, uid, begun));
}

static void test_by_timer(void **state) {
    Fixture *fixture = *state;

    uid_t uid = 1000;
    char expected[64];

    do /* until one is held back: a machine that stood still for a second has begun a new window */
        fill_window(fixture, ++uid, LINE_LIMIT_WINDOW - USEC_PER_SECOND);
    while (manager_writes_access(&fixture->manager, false, uid));
    assert_int_equal(fixture->manager.access_refused, uid - 1000);
    snprintf(expected, sizeof expected, "1 more refusals for uid %u in the last 3", (unsigned) uid);
    while (!log_has(fixture, expected))
        assert_true(sd_event_run(fixture->manager.loop, 60 * USEC_PER_SECOND) > 0);
    assert_true(manager_writes_access(&fixture->manager, false, uid));
}

static void test_at_the_end(void **state) {
    Fixture *fixture = *state;

    fill_window(fixture, 1000, 0);
    assert_false(manager_writes_access(&fixture->manager, false, 1000));
    assert_true(manager_writes_access(&fixture->manager, true, 1000));
    assert_int_equal(fixture->manager.access_granted, 1);
    access_log_end(&fixture->manager);
    assert_true(log_has(fixture, "1 more refusals for uid 1000 in the last "));
    access_log_end(&fixture->manager);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_by_timer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_at_the_end, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
