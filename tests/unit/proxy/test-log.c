/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lines of the log: for a terminal, for the journal, and without what a peer may have put there. */
#include "proxy/log.h"

#include "lab.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int begin(void **state) {
    unsetenv("JOURNAL_STREAM");
    proxy_log_set_quiet(false);
    lab_said_begin();
    return 0;
}

static int end(void **state) {
    lab_said_end();
    proxy_log_set_quiet(false);
    unsetenv("JOURNAL_STREAM");
    return 0;
}

static void assert_line(const char *expected) {
    char line[512];

    snprintf(line, sizeof line, "%s: %s\n", program_invocation_short_name, expected);
    assert_string_equal(lab_said(), line);
}

static void test_a_line(void **state) {
    proxy_log(PROXY_LOG_INFO, "%s #%d: open", "demo", 7);
    assert_line("demo #7: open");
}

static void test_control_characters(void **state) {
    proxy_log(PROXY_LOG_WARNING, "refused: %s", "CN=a\nidentityd-proxy: CN=b\033[2J");
    assert_line("refused: CN=a identityd-proxy: CN=b?[2J");
}

static void test_quiet(void **state) {
    proxy_log_set_quiet(true);
    proxy_log(PROXY_LOG_INFO, "open");
    assert_string_equal(lab_said(), "");
    proxy_log(PROXY_LOG_WARNING, "refused");
    assert_line("refused");
}

static void test_quiet_is_not_silent_about_errors(void **state) {
    proxy_log_set_quiet(true);
    proxy_log(PROXY_LOG_ERROR, "no memory");
    assert_line("no memory");
}

static void set_journal(ino_t distance) {
    struct stat status;
    char stream[64];

    assert_int_equal(fstat(STDERR_FILENO, &status), 0);
    snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t) status.st_dev, (uintmax_t) (status.st_ino + distance));
    assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
}

/* It knows the priority from the prefix, and the program by itself. */
static void test_the_journal(void **state) {
    set_journal(0);
    proxy_log(PROXY_LOG_ERROR, "a");
    proxy_log(PROXY_LOG_WARNING, "b");
    proxy_log(PROXY_LOG_INFO, "c");
    assert_string_equal(lab_said(), "<3>a\n<4>b\n<6>c\n");
}

/* The variable is inherited by whom the service starts with standard error elsewhere. */
static void test_another_stream_than_the_journal(void **state) {
    set_journal(1);
    proxy_log(PROXY_LOG_INFO, "a");
    assert_line("a");
}

static void test_a_variable_that_is_no_stream(void **state) {
    for (const char *const *text = (const char *const[]) { "", "1", ":", "x:y", NULL }; *text; text++) {
        assert_int_equal(setenv("JOURNAL_STREAM", *text, 1), 0);
        proxy_log(PROXY_LOG_INFO, "a");
    }
    assert_null(strchr(lab_said(), '<'));
}

static void say(LogLimit *limit, uint64_t now, const char *text) {
    const ProxySource source = proxy_source_of_uid(7);

    proxy_log_limited(limit, &source, now, PROXY_LOG_WARNING, "%s", text);
}

/* That lines are left out is said when it begins, and how many when it has ended. */
static void test_a_limit(void **state) {
    LogLimit limit = log_limit(8, 1);

    set_journal(0);
    for (unsigned i = 0; i < 5; i++)
        say(&limit, 1000, "a");
    say(&limit, 1000 + LOG_LIMIT_MICROS, "b");
    assert_string_equal(lab_said(),
                        "<4>a\n<4>a\n<4>2 lines about connections from uid 7 within a minute: more are left out "
                        "until that has passed (--log-limit)\n"
                        "<4>3 lines about connections were left out (--log-limit)\n<4>b\n");
}

static void test_a_limit_of_all(void **state) {
    LogLimit limit = log_limit(1, 1);

    set_journal(0);
    say(&limit, 1000, "a");
    say(&limit, 1000, "b");
    proxy_log_left_out(&limit); /* at the end */
    proxy_log_left_out(&limit);
    assert_string_equal(lab_said(),
                        "<4>a\n<4>1 lines about connections within a minute: more are left out until that has "
                        "passed (--log-limit)\n<4>1 lines about connections were left out (--log-limit)\n");
}

/* What is not written anyhow uses nothing up. */
static void test_quiet_beside_a_limit(void **state) {
    const ProxySource source = proxy_source_of_uid(7);
    LogLimit limit = log_limit(4, 1);

    set_journal(0);
    proxy_log_set_quiet(true);
    for (unsigned i = 0; i < 100; i++)
        proxy_log_limited(&limit, &source, 1000, PROXY_LOG_INFO, "open");
    say(&limit, 1000, "a");
    assert_non_null(strstr(lab_said(), "<4>a\n"));
    assert_int_equal(limit.left_out, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_line, begin, end),
        cmocka_unit_test_setup_teardown(test_control_characters, begin, end),
        cmocka_unit_test_setup_teardown(test_quiet, begin, end),
        cmocka_unit_test_setup_teardown(test_quiet_is_not_silent_about_errors, begin, end),
        cmocka_unit_test_setup_teardown(test_the_journal, begin, end),
        cmocka_unit_test_setup_teardown(test_another_stream_than_the_journal, begin, end),
        cmocka_unit_test_setup_teardown(test_a_variable_that_is_no_stream, begin, end),
        cmocka_unit_test_setup_teardown(test_a_limit, begin, end),
        cmocka_unit_test_setup_teardown(test_a_limit_of_all, begin, end),
        cmocka_unit_test_setup_teardown(test_quiet_beside_a_limit, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
