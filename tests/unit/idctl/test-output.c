/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Times as idctl shows and reads them, exit statuses and complaints by error, and text from elsewhere that must not act
 * on a terminal. */
#include "idctl/bus.h"
#include "idctl/findings.h"
#include "idctl/output.h"
#include "idctl/time-text.h"

#include "said.h"

#include <stdlib.h>

static void test_texts(void **state) {
    static const struct {
        uint64_t seconds;
        const char *text;
    } durations[] = { { 0, "0 seconds" },      { 1, "1 second" },   { 119, "119 seconds" },  { 120, "2 minutes" },
                      { 7199, "119 minutes" }, { 7200, "2 hours" }, { 2 * 86400, "2 days" }, { 63115200, "2 years" } };
    char duration[32];

    for (size_t i = 0; i < ARRAY_LENGTH(durations); i++)
        assert_string_equal(duration_to_text(durations[i].seconds * 1000000U, duration), durations[i].text);
    _cleanup_free_ char *never = time_to_text(0, 5), *far = time_to_text(UINT64_MAX, 1);
    assert_string_equal(never, "-");
    assert_non_null(far);
    _cleanup_json_ json_t *none = time_to_json(0), *some = time_to_json(UINT64_C(1700000000000000));
    assert_true(json_is_null(none));
    assert_string_equal(json_string_value(some), "2023-11-14T22:13:20Z");
}

static void test_times_read(void **state) {
    static const struct {
        const char *text;
        int64_t seconds;
    } good[] = {
        { "@0", 0 },
        { "@1772366400", 1772366400 },
        { "@253402300799", 253402300799 },
        { "2026-03-01T12:00:00Z", 1772366400 },
        { "2026-03-01t12:00:00z", 1772366400 },
        { "2026-03-01 12:00:00 UTC", 1772366400 },
        { "2026-03-01T12:00:00.999Z", 1772366400 },
        { "2026-03-01T13:30:00+01:30", 1772366400 },
        { "2026-03-01T07:00:00-05:00", 1772366400 },
        { "2026-03-01", 1772323200 },
        { "2024-02-29", 1709164800 },
        { "9999-12-31T23:59:59Z", 253402300799 },
    };
    static const char *const bad[] = {
        "",
        "@",
        "@-1",
        "@1x",
        "@253402300800",
        "now",
        "2026-03-01T12:00:00",
        "2026-03-01T12:00Z",
        "2026-3-1",
        "2025-02-29",
        "2026-13-01",
        "2026-00-10",
        "2026-03-00",
        "2026-03-01T24:00:00Z",
        "2026-03-01T12:60:00Z",
        "2026-03-01T12:00:60Z",
        "2026-03-01T12:00:00.Z",
        "2026-03-01T12:00:00+1:00",
        "2026-03-01T12:00:00+24:00",
        "2026-03-01T12:00:00Z ",
        "1969-12-31T23:59:59Z",
        "9999-12-31T23:59:59-01:00",
        "2026-03-01 12:00:00 CET",
    };
    int64_t seconds;

    for (size_t i = 0; i < ARRAY_LENGTH(good); i++) {
        if (time_from_text(good[i].text, &seconds) < 0)
            fail_msg("%s is refused", good[i].text);
        assert_int_equal(seconds, good[i].seconds);
    }
    seconds = 7;
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        if (time_from_text(bad[i], &seconds) != -EINVAL || seconds != 7)
            fail_msg("\"%s\" is taken for %lld", bad[i], (long long) seconds);
}

static void test_exit_codes(void **state) {
    assert_int_equal(bus_error_exit_code("org.identityd1.Error.AccessDenied"), EXIT_DENIED);
    assert_int_equal(bus_error_exit_code("org.freedesktop.DBus.Error.AccessDenied"), EXIT_DENIED);
    assert_int_equal(bus_error_exit_code("org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"), EXIT_DENIED);
    assert_int_equal(bus_error_exit_code("org.identityd1.Error.NoSuchIdentity"), EXIT_NOT_FOUND);
    assert_int_equal(bus_error_exit_code("org.identityd1.Error.Revoked"), EXIT_FAILED);
    assert_int_equal(bus_error_exit_code("com.example.Whatever"), EXIT_FAILED);
}

/* One line each: what was wanted, why not, and what can be done about it. */
static void test_complaints(void **state) {
    static const struct {
        const char *name, *message;
        ExitCode code;
        const char *words[3];
    } cases[] = {
        { "org.identityd1.Error.AccessDenied",
          "x is not lent to you.",
          EXIT_DENIED,
          { "cannot do it: x is not lent to you.\n" } },
        { "org.freedesktop.DBus.Error.AccessDenied",
          "no",
          EXIT_DENIED,
          { "the bus or polkit refuses it: no.", "as root" } },
        { "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
          "no.",
          EXIT_DENIED,
          { "cannot do it: no. Run it as root", "on a terminal" } },
        { "org.freedesktop.DBus.Error.ServiceUnknown",
          "name",
          EXIT_FAILED,
          { "identityd is not running", "systemctl start identityd.service", "journalctl" } },
        { "org.freedesktop.DBus.Error.NameHasNoOwner", "name", EXIT_FAILED, { "identityd is not running" } },
        { "org.freedesktop.DBus.Error.NoReply", "gone", EXIT_FAILED, { "did not answer: gone.", "journalctl" } },
        { "org.freedesktop.DBus.Error.Timeout", "late.", EXIT_FAILED, { "did not answer: late.", "journalctl" } },
        { "org.identityd1.Error.NoSuchIdentity",
          "There is none.",
          EXIT_NOT_FOUND,
          { "cannot do it: There is none.\n" } },
        { "org.freedesktop.DBus.Error.UnknownObject", "what", EXIT_NOT_FOUND, { "cannot do it: what.\n" } },
        { "org.identityd1.Error.EnrollmentFailed", "a\x1b[31mb\nc", EXIT_FAILED, { "cannot do it: a?[31mb", "c.\n" } },
        { "com.example.Whatever", "", EXIT_FAILED, { "cannot do it: com.example.Whatever.\n" } },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        const sd_bus_error error = { cases[i].name, cases[i].message };
        Said said;
        said_begin(stderr, &said);
        ExitCode code = bus_complain(&error, -EIO, "do it");
        const char *text = said_end(&said);
        assert_int_equal(code, cases[i].code);
        for (size_t k = 0; k < ARRAY_LENGTH(cases[i].words) && cases[i].words[k]; k++)
            if (!strstr(text, cases[i].words[k]))
                fail_msg("no '%s' in: %s", cases[i].words[k], text);
        assert_ptr_equal(strchr(text, '\n') + 1, text + strlen(text)); /* one line */
        assert_null(strchr(text, '\x1b'));
    }
}

static void test_errors_without_name(void **state) {
    Said said;

    said_begin(stderr, &said);
    assert_int_equal(bus_complain(NULL, -EACCES, "do it"), EXIT_DENIED);
    assert_int_equal(bus_complain(NULL, -ENOMEM, "do it"), EXIT_FAILED);
    assert_int_equal(bus_complain(&(sd_bus_error) { NULL, NULL }, -EPERM, "do it"), EXIT_DENIED);
    const char *text = said_end(&said);
    assert_non_null(strstr(text, "cannot do it: Permission denied.\n"));
    assert_non_null(strstr(text, "cannot do it: Cannot allocate memory.\n"));
    assert_non_null(strstr(text, "cannot do it: Operation not permitted.\n"));
}

static void test_states_have_colours(void **state) {
    assert_int_equal(colour_of_state("ready"), COLOUR_GOOD);
    assert_int_equal(colour_of_state("empty"), COLOUR_ATTENTION);
    assert_int_equal(colour_of_state("retired"), COLOUR_FAINT);
    assert_int_equal(colour_of_state("revoked"), COLOUR_BAD);
    assert_int_equal(colour_of_state("misconfigured"), COLOUR_BAD);
    assert_int_equal(colour_of_state("of a later version"), COLOUR_BAD);
    assert_null(colour_name(COLOUR_NONE));
    assert_string_equal(colour_name(COLOUR_BAD), "red");
}

static void test_fields(void **state) {
    Said said;

    said_begin(stdout, &said);
    print_field("Name", "a\x1b]0;evil\x07", COLOUR_NONE);
    print_field("Empty", NULL, COLOUR_STRONG); /* no colours: it is no terminal */
    const char *text = said_end(&said);
    assert_string_equal(text, "          Name  a?]0;evil?\n         Empty  \n");
}

static void test_json(void **state) {
    static const struct {
        bool compact;
        const char *text;
    } cases[] = { { true, "{\"a\":1}\n" }, { false, "{\n  \"a\": 1\n}\n" } };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        Said said;
        said_begin(stdout, &said);
        int r = json_print(json_pack("{s:i}", "a", 1), cases[i].compact);
        assert_string_equal(said_end(&said), cases[i].text);
        assert_int_equal(r, 0);
    }
    assert_int_equal(json_print(NULL, true), -ENOMEM);
    _cleanup_json_ json_t *harmless = text_to_json("a\x1b"
                                                   "b");
    assert_string_equal(json_string_value(harmless), "a?b");
}

static void test_tables(void **state) {
    static const char *const columns[] = { "NAME", "STATE", NULL };
    static const char *const cells[][2] = { { "a", "ready" }, { "longer", NULL } };
    _cleanup_table_ struct libscols_table *table = NULL;
    Said said;

    said_begin(stdout, &said);
    table = table_new(columns);
    for (size_t i = 0; table && i < ARRAY_LENGTH(cells); i++)
        (void) table_add(table, cells[i], NULL, 2);
    int r = table ? scols_print_table(table) : -1;
    const char *text = said_end(&said);
    assert_int_equal(r, 0);
    assert_non_null(strstr(text, "NAME   STATE\n"));
    assert_non_null(strstr(text, "a      ready\n"));
    assert_non_null(strstr(text, "longer"));
}

/* For people: what is in order is left out where only results are wanted, and an advice stands below what it is for. */
static void test_findings(void **state) {
    _cleanup_findings_ Findings findings = { 0 };
    Said said;

    findings_add(&findings, (FindingAbout) { "clock", NULL }, FINDING_OK, "unused advice", "right");
    findings_add(&findings, (FindingAbout) { "state", "x" }, FINDING_WARNING, "Do this.", "odd\x1b[1m");
    findings_add(&findings, (FindingAbout) { "CA", "x" }, FINDING_SKIPPED, "Do that.", "not tried");
    findings_add(&findings, (FindingAbout) { "key", "x" }, FINDING_FAILED, NULL, "gone");
    said_begin(stdout, &said);
    findings_print(&findings, false);
    const char *text = said_end(&said);
    assert_string_equal(text, "ok       clock         right\n"
                              "warning  x: state         odd?[1m\n         Do this.\n"
                              "skipped  x: CA            not tried\n         Do that.\n"
                              "failed   x: key           gone\n");
    said_begin(stdout, &said);
    findings_print(&findings, true);
    text = said_end(&said);
    assert_string_equal(text, "warning  x: state         odd?[1m\n         Do this.\nfailed   x: key           gone\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_times_read),
        cmocka_unit_test(test_exit_codes),
        cmocka_unit_test(test_complaints),
        cmocka_unit_test(test_errors_without_name),
        cmocka_unit_test(test_states_have_colours),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_findings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
