/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is good and what is not looks different on a terminal, and has no colour elsewhere. */
#include "idctl/connect-report.h"
#include "tests/unit/common/test.h"

#include <fcntl.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GREEN "\x1b[32m"
#define RED   "\x1b[1;31m"

/* What is shown on a terminal, or in a pipe. */
static void show(const ConnectReport *report, bool on_terminal, char ret[static 4096]) {
    int ends[2];
    size_t used = 0;

    if (on_terminal)
        assert_int_equal(openpty(&ends[0], &ends[1], NULL, NULL, NULL), 0);
    else
        assert_int_equal(pipe(ends), 0);
    FILE *stream = fdopen(ends[1], "w");
    assert_non_null(stream);
    connect_report_print(report, stream);
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    for (ssize_t n; used < 4095 && (n = read(ends[0], ret + used, 4095 - used)) > 0;)
        used += (size_t) n;
    ret[used] = '\0';
    fclose(stream);
    close(ends[0]);
}

static void expect(const char *text, const char *part, bool is_there) {
    if ((strstr(text, part) != NULL) != is_there)
        fail_msg("'%s' is %s in:\n%s", part, is_there ? "not" : "", text);
}

static void test_verdicts(void **state) {
    char text[4096];

    (void) unsetenv("NO_COLOR");
    assert_int_equal(setenv("TERM", "xterm", 1), 0);
    for (int good = 0; good < 2; good++) {
        ConnectReport report = { .identity = "x", .state = "ready", .generation = 3, .asked_for_certificate = true };
        connect_verdict_set(&report.chain, good, "a reason");
        show(&report, true, text);
        expect(text, good ? GREEN "good" : RED "BAD", true);
        expect(text, good ? RED : GREEN, false);
        expect(text, ": a reason", true);
        expect(text, "name ", false); /* it did not come to that */
        show(&report, false, text);
        expect(text, good ? "good: a reason" : "BAD: a reason", true);
        expect(text, "\x1b", false);
        connect_report_clear(&report);
    }
}

static void test_note(void **state) {
    char text[4096];

    for (int good = 0; good < 2; good++)
        for (int asked = 0; asked < 2; asked++) {
            ConnectReport report = {
                .identity = "x", .state = "ready", .generation = 3, .asked_for_certificate = asked
            };
            connect_verdict_set(&report.handshake, good, "done");
            show(&report, false, text);
            expect(text, "own        x, generation 3, ready, valid until ", true);
            expect(text, "the peer did not ask for our certificate", good && !asked);
            expect(text, "peer\n", false);
            connect_report_clear(&report);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_note),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
