/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is held back is said by itself when its window is over, though nobody asks for anything any more; and at the
 * end. */
#include "lending/access-log.h"

#include "access/access.h"
#include "device/domains.h"
#include "tests/unit/device/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

typedef struct Fixture {
    sd_event *loop;
    AccessLog *access;
    int stderr_kept;
    FILE *log;
} Fixture;

static int set_up(void **state) {
    Fixture *fixture = calloc(1, sizeof *fixture);

    assert_non_null(fixture);
    clock_restore();
    assert_int_equal(sd_event_new(&fixture->loop), 0);
    assert_int_equal(access_log_new(fixture->loop, &fixture->access), 0);
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
    fixture->access = access_log_free(fixture->access);
    sd_event_unref(fixture->loop);
    fclose(fixture->log);
    free(fixture);
    return 0;
}

static bool log_has(Fixture *fixture, const char *needle) {
    static char text[1 << 16];
    ssize_t n = pread(fileno(fixture->log), text, sizeof text - 1, 0);

    assert_true(n >= 0);
    text[n] = '\0';
    return strstr(text, needle);
}

/* Decisions about one user until one is held back; how many were written. */
static unsigned fill(Fixture *fixture, bool granted, uid_t uid) {
    unsigned written = 0;

    while (access_log_admits(fixture->access, granted, uid))
        written++;
    return written;
}

static void test_held_back(void **state) {
    Fixture *fixture = *state;

    unsigned written = fill(fixture, false, 1000);
    assert_true(written >= LINE_LIMIT_BURST);
    assert_int_equal(access_log_counters(fixture->access).refused, written + 1);
    /* Another user, and another kind, have lines of their own. */
    assert_true(access_log_admits(fixture->access, false, 1001));
    assert_true(access_log_admits(fixture->access, true, 1000));
    assert_int_equal(access_log_counters(fixture->access).granted, 1);
}

static void test_by_timer(void **state) {
    Fixture *fixture = *state;

    (void) fill(fixture, false, 1000);
    while (sd_event_run(fixture->loop, 0) > 0) {
    }
    assert_false(log_has(fixture, "more refusals"));
    clock_pass(LINE_LIMIT_WINDOW / 1000000U + 2);
    assert_true(sd_event_run(fixture->loop, 0) > 0);
    assert_true(log_has(fixture, "1 more refusals for uid 1000 in the last 3"));
    assert_true(access_log_admits(fixture->access, false, 1000));
    /* And the next window. */
    (void) fill(fixture, true, 1000);
    clock_pass(LINE_LIMIT_WINDOW / 1000000U + 2);
    assert_true(sd_event_run(fixture->loop, 0) > 0);
    assert_true(log_has(fixture, "1 more permissions for uid 1000 in the last "));
}

/* Too many users for the table are told of together. */
static void test_others(void **state) {
    Fixture *fixture = *state;

    for (uid_t uid = 1000; uid <= 1000 + LINE_LIMIT_WINDOWS; uid++)
        (void) fill(fixture, false, uid);
    fixture->access = access_log_free(fixture->access);
    assert_true(log_has(fixture, " more refusals for further users in the last "));
}

static void test_at_the_end(void **state) {
    Fixture *fixture = *state;

    (void) fill(fixture, false, 1000);
    fixture->access = access_log_free(fixture->access);
    assert_true(log_has(fixture, "1 more refusals for uid 1000 in the last "));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_held_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_by_timer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_at_the_end, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
