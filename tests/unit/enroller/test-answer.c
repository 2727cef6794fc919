/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* base64, Retry-After and excerpts: exhaustive where that is cheap. */
#include "enroller/answer.h"
#include "support.h"

#include <string.h>

static int decode(const char *text, Bytes *ret) {
    return answer_decode_base64(bytes_view_string(text), ret);
}

static void test_base64(void **state) {
    static const char *const same[] = { "AAECAwQFBgc=", "AAEC\nAwQF\nBgc=\n", "AAEC\r\nAwQF\r\nBgc=\r\n",
                                        " A A\tECAw QFBgc = ", "\n\nAAECAwQFBg\nc\n=" };
    static const char *const refused[] = { "",
                                           " \r\n\t",
                                           "AAE",
                                           "A===",
                                           "AA=A",
                                           "=AAA",
                                           "AAAA=AAA",
                                           "AA-_",
                                           "AAAA!",
                                           "AAAA\vAAAA",
                                           "-----BEGIN PKCS7-----\nAAAA\n",
                                           "AAAA\xc3\xa4" };

    for (size_t i = 0; i < ARRAY_LENGTH(same); i++) {
        _cleanup_bytes_ Bytes bytes = BYTES_NULL;

        assert_int_equal(decode(same[i], &bytes), 0);
        assert_true(bytes_view_equal(bytes_view(&bytes), (BytesView) { (const uint8_t *) "\0\1\2\3\4\5\6\7", 8 }));
    }
    for (size_t i = 0; i < ARRAY_LENGTH(refused); i++) {
        Bytes bytes = BYTES_NULL;

        if (decode(refused[i], &bytes) != -EBADMSG)
            fail_msg("\"%s\" was taken", refused[i]);
    }
    /* a NUL within is not base64 */
    Bytes bytes = BYTES_NULL;
    assert_int_equal(answer_decode_base64((BytesView) { (const uint8_t *) "AAA\0", 4 }, &bytes), -EBADMSG);
}

/* What stands behind the base64 is left out, wherever it begins. */
static void test_base64_start(void **state) {
    static const BytesView cases[] = {
        { (const uint8_t *) "AAECAwQFBgc=", 12 },
        { (const uint8_t *) "AAECAwQFBgc=\0", 13 },
        { (const uint8_t *) "AAEC\r\nAwQF\nBgc=\n\0\0", 18 },
        { (const uint8_t *) "AAECAwQFBgc=<html>", 18 },
        { (const uint8_t *) "AAECAwQFBgc=AAAA", 16 },
    };
    static const char *const refused[] = { "", "\r\n", "<html>", "AAA", "=AAA", "AA=A" };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        _cleanup_bytes_ Bytes bytes = BYTES_NULL;

        assert_int_equal(answer_decode_base64_start(cases[i], &bytes), 0);
        assert_true(bytes_view_equal(bytes_view(&bytes), (BytesView) { (const uint8_t *) "\0\1\2\3\4\5\6\7", 8 }));
    }
    for (size_t i = 0; i < ARRAY_LENGTH(refused); i++) {
        Bytes bytes = BYTES_NULL;

        if (answer_decode_base64_start(bytes_view_string(refused[i]), &bytes) != -EBADMSG)
            fail_msg("\"%s\" was taken", refused[i]);
    }
}

static void test_base64_round_trip(void **state) {
    uint8_t data[300];

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t) (i * 7);
    for (size_t size = 1; size <= sizeof data; size++) {
        _cleanup_bytes_ Bytes text = BYTES_NULL, back = BYTES_NULL;

        assert_int_equal(answer_encode_base64((BytesView) { data, size }, &text), 0);
        for (const char *line = (const char *) text.data; *line; line += strcspn(line, "\n") + 1)
            assert_true(strcspn(line, "\n") <= 64);
        assert_int_equal(answer_decode_base64(bytes_view(&text), &back), 0);
        assert_true(bytes_view_equal(bytes_view(&back), (BytesView) { data, size }));
    }
}

/* Every byte value, alone among good ones: taken if and only if it belongs to base64 or is white space. */
static void test_base64_alphabet(void **state) {
    for (unsigned c = 0; c < 256; c++) {
        uint8_t text[8] = { 'A', 'A', 'A', (uint8_t) c, 'A', 'A', 'A', 'A' };
        Bytes bytes = BYTES_NULL;
        bool letter =
            (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';

        int r = answer_decode_base64((BytesView) { text, sizeof text }, &bytes);
        assert_int_equal(r, letter ? 0 : -EBADMSG); /* white space leaves seven letters */
        bytes_clear(&bytes);
    }
}

#define NOW 1784548800 /* Mon, 20 Jul 2026 12:00:00 GMT */

static void check_retry(const char *value, int wanted, uint32_t seconds) {
    uint32_t found = 4242;

    int r = answer_parse_retry_after(value, NOW, &found);
    if (r != wanted || found != (wanted < 0 ? 4242 : seconds))
        fail_msg("\"%s\": %d, %u", value, r, found);
}

static void test_retry_after(void **state) {
    check_retry("0", 0, 0);
    check_retry("1", 0, 1);
    check_retry("007", 0, 7);
    check_retry("86400", 0, 86400);
    check_retry("2592000", 0, RETRY_AFTER_MAX);
    check_retry("2592001", 0, RETRY_AFTER_MAX);
    check_retry("99999999999999999999999999999999999999", 0, RETRY_AFTER_MAX);
    check_retry("Mon, 20 Jul 2026 12:00:30 GMT", 0, 30);
    check_retry("Monday, 20-Jul-26 12:01:00 GMT", 0, 60);
    check_retry("Mon Jul 20 13:00:00 2026", 0, 3600);
    check_retry("Mon, 20 Jul 2026 12:00:00 GMT", 0, 0);
    check_retry("Mon, 20 Jul 2020 12:00:00 GMT", 0, 0);
    check_retry("Sat, 20 Jul 2030 12:00:00 GMT", 0, RETRY_AFTER_MAX);
    check_retry("", -EBADMSG, 0);
    check_retry("-1", -EBADMSG, 0);
    check_retry("1.5", -EBADMSG, 0);
    check_retry("soon", -EBADMSG, 0);
    check_retry("12 34", -EBADMSG, 0);
    check_retry("0x10", -EBADMSG, 0);
    check_retry("Mon, 99 Jul 2026 12:00:30 GMT", -EBADMSG, 0);

    char longest[400];
    memset(longest, ' ', sizeof longest);
    memcpy(longest, "Mon, 20 Jul 2026 12:00:30 GMT", 29);
    longest[399] = '\0';
    check_retry(longest, -EBADMSG, 0);
}

static void check_excerpt(const char *body, const char *wanted) {
    char text[ANSWER_EXCERPT_MAX];

    memset(text, 'x', sizeof text);
    answer_excerpt(bytes_view_string(body), text);
    assert_string_equal(text, wanted);
}

static void test_excerpt(void **state) {
    check_excerpt("", "");
    check_excerpt(" \n\t ", "");
    check_excerpt("  plain \r\n\t text \n", "plain text");
    check_excerpt("a\x1b[31mred\x07", "a?[31mred?");
    check_excerpt("gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f");
    check_excerpt("\xc2\x9b\x37m", "??7m"); /* CSI in one character */
    check_excerpt("a\u202eb", "a???b");     /* what turns the direction of writing */
    check_excerpt("\xff\xfe", "??");
    check_excerpt("\xc0\xaf", "??");           /* overlong */
    check_excerpt("\xed\xa0\x80", "???");      /* surrogate */
    check_excerpt("\xf4\x90\x80\x80", "????"); /* beyond Unicode */
    check_excerpt("\xe2\x82", "??");           /* cut short */
    check_excerpt("\x7f", "?");
}

static void test_excerpt_length(void **state) {
    uint8_t body[1000];
    char text[ANSWER_EXCERPT_MAX];

    memset(body, 'a', sizeof body);
    answer_excerpt((BytesView) { body, sizeof body }, text);
    assert_int_equal(strlen(text), ANSWER_EXCERPT_MAX - 1);
    memset(body, ' ', sizeof body);
    body[999] = 'z';
    answer_excerpt((BytesView) { body, sizeof body }, text);
    assert_string_equal(text, "z");
    for (size_t i = 0; i + 1 < sizeof body; i += 2)
        memcpy(body + i, "\xc3\xa4", 2);
    answer_excerpt((BytesView) { body, sizeof body }, text);
    assert_int_equal(strlen(text) % 2, 0); /* cut at a character */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_base64_start),
        cmocka_unit_test(test_base64_round_trip),
        cmocka_unit_test(test_base64_alphabet),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_excerpt),
        cmocka_unit_test(test_excerpt_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
