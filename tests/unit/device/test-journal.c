/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the journal is sent where it is behind stderr: each field once, as it is written, and no more than there is room
 * for. The call that sends it is the fake here. */
#include "device/log.h"

#include "common/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <cmocka.h>

static char sent[32][4096];
static int count;

int sd_journal_sendv_with_location(const char *file, const char *line, const char *function, const struct iovec *iov,
                                   int n) {
    assert_true(n <= (int) ARRAY_LENGTH(sent));
    for (int i = 0; i < n; i++) {
        assert_true(iov[i].iov_len < sizeof sent[0]);
        memcpy(sent[i], iov[i].iov_base, iov[i].iov_len);
        sent[i][iov[i].iov_len] = '\0';
    }
    count = n;
    return 0;
}

static int setup(void **state) {
    struct stat status;
    char stream[64];

    count = -1;
    assert_int_equal(fstat(STDERR_FILENO, &status), 0);
    snprintf(stream, sizeof stream, "%lu:%lu", (unsigned long) status.st_dev, (unsigned long) status.st_ino);
    return setenv("JOURNAL_STREAM", stream, 1);
}

static void expect(const char *const *fields) {
    int i = 0;

    for (; fields[i]; i++)
        if (i >= count || strcmp(sent[i], fields[i]) != 0)
            fail_msg("field %d of %d is \"%s\", not \"%s\"", i, count, i < count ? sent[i] : "", fields[i]);
    assert_int_equal(count, i);
}

static void test_fields(void **state) {
    static const char *const bare[] = { "MESSAGE=text 7", "PRIORITY=3", NULL };
    static const char *const of_identity[] = { "MESSAGE=x: text", "PRIORITY=4", "IDENTITYD_IDENTITY=x", NULL };
    static const char *const with_id[] = { "MESSAGE=text", "PRIORITY=6", "MESSAGE_ID=" MESSAGE_CLOCK, NULL };
    static const char *const more[] = { "IDENTITYD_A=1", "IDENTITYD_B=2", NULL };
    static const char *const all[] = {
        "MESSAGE=x: text", "PRIORITY=5", "MESSAGE_ID=" MESSAGE_CLOCK, "IDENTITYD_IDENTITY=x", "IDENTITYD_A=1",
        "IDENTITYD_B=2",   NULL
    };

    log_entry(LOG_ERR, NULL, NULL, "text %d", 7);
    expect(bare);
    log_entry(LOG_WARNING, NULL, "x", "text");
    expect(of_identity);
    log_entry(LOG_INFO, MESSAGE_CLOCK, NULL, "text");
    expect(with_id);
    log_fields(LOG_NOTICE, MESSAGE_CLOCK, "x", more, "text");
    expect(all);
    count = -1;
    log_entry(LOG_DEBUG, MESSAGE_CLOCK, "x", "too quiet");
    assert_int_equal(count, -1);
}

static void test_bounds(void **state) {
    const char *fields[64];
    char text[8192];

    memset(text, 'a', sizeof text - 1U);
    text[sizeof text - 1U] = '\0';
    for (size_t i = 0; i < ARRAY_LENGTH(fields) - 1U; i++)
        fields[i] = "IDENTITYD_X=y";
    fields[ARRAY_LENGTH(fields) - 1U] = NULL;
    log_fields(LOG_INFO, MESSAGE_CLOCK, "x", fields, "%s", text);
    assert_int_equal(count, 16);
    assert_int_equal(strlen(sent[0]), strlen("MESSAGE=x: ") + 2047);
    assert_string_equal(sent[15], "IDENTITYD_X=y");
}

/* Each half of the name must be the socket's, or it is another one. */
static void test_another_stream(void **state) {
    const char *right = getenv("JOURNAL_STREAM");
    unsigned long device, inode;
    char stream[64];

    assert_int_equal(sscanf(right, "%lu:%lu", &device, &inode), 2);
    for (unsigned i = 0; i < 3; i++) {
        snprintf(stream, sizeof stream, i == 2 ? "%lu" : "%lu:%lu", device + (i == 0), inode + (i == 1));
        assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
        log_entry(LOG_ERR, NULL, NULL, "to stderr");
        assert_int_equal(count, -1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_fields, setup),
        cmocka_unit_test_setup(test_bounds, setup),
        cmocka_unit_test_setup(test_another_stream, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
