/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* common/failure: the text is one line of valid UTF-8 whatever goes in; names and numbers are fixed. */
#include "common/failure.h"

#include "common/text.h"
#include "tests/unit/common/test.h"

#include <string.h>

static void sets_and_prefixes(void **state) {
    Failure failure = FAILURE_INIT;

    assert_int_equal(failure_set(&failure, -EPERM, FAILURE_ACCESS_DENIED, "no %s for %d", "entry", 7), -EPERM);
    assert_int_equal(failure.kind, FAILURE_ACCESS_DENIED);
    assert_string_equal(failure.text, "no entry for 7");
    assert_int_equal(failure_prefix(&failure, -EIO, "identity %s", "mqtt"), -EIO);
    assert_string_equal(failure.text, "identity mqtt: no entry for 7");
    assert_int_equal(failure.kind, FAILURE_ACCESS_DENIED);
    assert_int_equal(failure_set(&failure, -1, FAILURE_BUSY, "again: %s", failure.text), -1);
    assert_string_equal(failure.text, "again: identity mqtt: no entry for 7");
    assert_int_equal(failure_errno(&failure, -ENOMEM, "reading"), -ENOMEM);
    assert_string_equal(failure.text, "reading: Cannot allocate memory");
    assert_int_equal(failure.kind, FAILURE_INTERNAL);
    assert_int_equal(failure_errno(&failure, -99999, "x"), -99999);
    /* A limit is told as that, with what to do about it. */
    assert_int_equal(failure_errno(&failure, -EMFILE, "opening"), -EMFILE);
    assert_int_equal(failure.kind, FAILURE_LIMITS_EXCEEDED);
    assert_non_null(strstr(failure.text, "opening: all "));
    assert_non_null(strstr(failure.text, "LimitNOFILE="));
    assert_int_equal(failure_errno(&failure, -ENFILE, "opening"), -ENFILE);
    assert_int_equal(failure.kind, FAILURE_LIMITS_EXCEEDED);
    assert_non_null(strstr(failure.text, "file-max"));
    assert_int_equal(failure_set(NULL, -1, FAILURE_BUSY, "x"), -1);
    assert_int_equal(failure_prefix(NULL, -2, "x"), -2);
}

static void sanitizes(void **state) {
    static const struct {
        const char *in, *out;
    } cases[] = {
        { "a\nb\tc\rd", "a b c d" },
        { "\x1b[31mred", "?[31mred" },
        { "\x7f", "?" },
        { "\xc2\x85next", "??next" },   /* C1: NEL */
        { "\xc2\xa0ok", "\xc2\xa0ok" }, /* no-break space is none */
        { "Zürich €", "Zürich €" },
        { "\xf0\x9f\x94\x91", "\xf0\x9f\x94\x91" },
        { "\xff\xfe", "??" },
        { "\xc0\x80", "??" }, /* overlong */
        { "\xe0\x80\x80", "???" },
        { "\xed\xa0\x80", "???" },      /* a surrogate */
        { "\xf4\x90\x80\x80", "????" }, /* above U+10FFFF */
        { "a\xe2\x82", "a??" },         /* cut short by the peer */
        { "\xe2\x82z", "??z" },
        { "a\u061c\u200e\u200fb", "a????????b" }, /* what turns the direction of writing (UAX #9) */
        { "\u202a\u202b\u202c\u202d\u202e", "???????????????" },
        { "\u2066\u2067\u2068\u2069", "????????????" },
        { "a\u2028\u2029b", "a??????b" }, /* lines and paragraphs */
        /* The first and the last character of each row of table 3-7, and those beside them. */
        { "\xc2\xa0\xdf\xbf", "\xc2\xa0\xdf\xbf" },
        { "\xe0\xa0\x80\xe0\xbf\xbf", "\xe0\xa0\x80\xe0\xbf\xbf" },
        { "\xe1\x80\x80\xec\xbf\xbf", "\xe1\x80\x80\xec\xbf\xbf" },
        { "\xed\x80\x80\xed\x9f\xbf", "\xed\x80\x80\xed\x9f\xbf" },
        { "\xee\x80\x80\xef\xbf\xbf", "\xee\x80\x80\xef\xbf\xbf" },
        { "\xf0\x90\x80\x80\xf0\xbf\xbf\xbf", "\xf0\x90\x80\x80\xf0\xbf\xbf\xbf" },
        { "\xf1\x80\x80\x80\xf3\xbf\xbf\xbf", "\xf1\x80\x80\x80\xf3\xbf\xbf\xbf" },
        { "\xf4\x80\x80\x80\xf4\x8f\xbf\xbf", "\xf4\x80\x80\x80\xf4\x8f\xbf\xbf" },
        { "\xc1\xbf", "??" },
        { "\xe0\x9f\xbf", "???" },
        { "\xf0\x8f\xbf\xbf", "????" },
        { "\xf5\x80\x80\x80", "????" },
        { "\xc3\x7f", "??" },
        { "\xc3\xc0", "??" },
        { "\xe1\x80\xc0", "???" },
        { "\xe1\x7f\x80", "???" },
        { "\x1f\x20\x7e", "? ~" },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        Failure failure = FAILURE_INIT;
        failure_set(&failure, -1, FAILURE_INTERNAL, "%s", cases[i].in);
        assert_string_equal(failure.text, cases[i].out);
        assert_int_equal(text_is_clean(cases[i].in, strlen(cases[i].in)), strcmp(cases[i].in, cases[i].out) == 0);
    }
}

static void cuts_at_a_character(void **state) {
    for (unsigned before = 0; before < 6; before++) {
        char text[2000] = "";
        Failure failure = FAILURE_INIT;
        memset(text, 'a', before);
        for (size_t at = before; at + 3 < sizeof(text); at += 3)
            memcpy(text + at, "€", 4);
        failure_set(&failure, -1, FAILURE_INTERNAL, "%s", text);
        size_t length = strlen(failure.text);
        assert_true(length < FAILURE_TEXT_MAX && length > FAILURE_TEXT_MAX - 5);
        assert_int_equal((length - before) % 3, 0);
        assert_null(strchr(failure.text, '?'));
        failure_prefix(&failure, -1, "%s", "prefix");
        assert_memory_equal(failure.text, "prefix: ", 8);
        assert_null(strchr(failure.text, '?'));
        failure_prefix(&failure, -1, "%s", text); /* nothing is left of what was there */
        assert_null(strstr(failure.text, "prefix"));
    }
}

static void numbers_are_a_protocol(void **state) {
    assert_int_equal(FAILURE_INTERNAL, 1);
    assert_int_equal(FAILURE_NOT_READY, 4);
    assert_int_equal(FAILURE_INVALID_ARGUMENT, 9);
    assert_int_equal(FAILURE_PURPOSE_VIOLATION, 10);
    assert_int_equal(FAILURE_STORAGE, 16);
    assert_int_equal(FAILURE_SEND_AGAIN, 17);
    assert_int_equal(FAILURE_LOOKUP_FAILED, 18);
    assert_int_equal(_FAILURE_KIND_COUNT, 19);
}

static void names_both_ways(void **state) {
    for (int kind = FAILURE_NONE; kind < _FAILURE_KIND_COUNT; kind++) {
        const char *name = failure_dbus_name((FailureKind) kind);
        assert_non_null(name);
        FailureKind back = failure_from_dbus_name(name);
        assert_string_equal(failure_dbus_name(back), name);
        if (kind != FAILURE_NONE)
            assert_int_equal(back, kind);
    }
    assert_int_equal(failure_from_dbus_name("org.identityd1.Error.NotReady"), FAILURE_NOT_READY);
    assert_int_equal(failure_from_dbus_name("org.identityd1.Error.Retired"), FAILURE_RETIRED);
    assert_int_equal(failure_from_dbus_name("org.example.Other"), FAILURE_INTERNAL);
    assert_int_equal(failure_from_dbus_name(NULL), FAILURE_INTERNAL);
    assert_string_equal(failure_dbus_name((FailureKind) 99), "org.freedesktop.DBus.Error.Failed");
}

static void has_a_full_stop(void **state) {
    assert_string_equal(text_full_stop("It cannot be read"), ".");
    assert_string_equal(text_full_stop("It cannot be read."), "");
    assert_string_equal(text_full_stop("."), "");
    assert_string_equal(text_full_stop(""), ".");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_and_prefixes),   cmocka_unit_test(sanitizes),
        cmocka_unit_test(cuts_at_a_character), cmocka_unit_test(numbers_are_a_protocol),
        cmocka_unit_test(names_both_ways),     cmocka_unit_test(has_a_full_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
