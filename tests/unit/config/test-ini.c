/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The reader: what it takes, and that each thing it refuses is refused at the right line. */
#include "config/ini.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define VIEW(literal) ((BytesView) { (const uint8_t *) (literal), sizeof(literal) - 1 })

static const char *value_of(const IniFile *file, const char *section, const char *key) {
    for (size_t i = 0; i < file->count; i++)
        if (file->entries[i].key && strcmp(file->entries[i].section, section) == 0 &&
            strcmp(file->entries[i].key, key) == 0)
            return file->entries[i].value;
    return NULL;
}

static void test_good(void **state) {
    _cleanup_problems_ Problems problems = { 0 };
    _cleanup_ini_file_ IniFile *file = NULL;

    assert_int_equal(ini_parse("f",
                               VIEW("# comment\n"
                                    "\n"
                                    " \t# indented comment\n"
                                    "[Identity] # behind a header\n"
                                    "Subject=CN=%d,O=a=b # comment\n"
                                    "  Key-2 =\tv#w  \n"
                                    "Empty=\n"
                                    "Commented= # nothing\n"
                                    "Text=caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\n"
                                    "[Other]\n"
                                    "Empty=x"),
                               &problems, &file),
                     0);
    assert_int_equal(problems.count, 0);
    assert_string_equal(value_of(file, "Identity", "Subject"), "CN=%d,O=a=b");
    assert_string_equal(value_of(file, "Identity", "Key-2"), "v#w");
    assert_string_equal(value_of(file, "Identity", "Empty"), "");
    assert_string_equal(value_of(file, "Identity", "Commented"), "");
    assert_string_equal(value_of(file, "Identity", "Text"), "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
    assert_string_equal(value_of(file, "Other", "Empty"), "x");
    assert_int_equal(file->count, 8);
    assert_null(file->entries[0].key);
    assert_int_equal(file->entries[0].line, 4);
    assert_int_equal(file->entries[7].line, 11);
}

static void test_empty(void **state) {
    _cleanup_problems_ Problems problems = { 0 };
    _cleanup_ini_file_ IniFile *file = NULL;

    assert_int_equal(ini_parse("f", VIEW(""), &problems, &file), 0);
    assert_int_equal(file->count + problems.count, 0);
}

/* Each case has its fault at line 3; the good line after it must be there all the same. */
static void test_refused(void **state) {
    static const struct {
        BytesView line;
        const char *text;
    } cases[] = {
        { VIEW("no equals sign"), "neither [SECTION] nor KEY=VALUE" },
        { VIEW("; not a comment here"), "neither [SECTION] nor KEY=VALUE" },
        { VIEW("=value"), "a key must be" },
        { VIEW("a b=c"), "a key must be" },
        { VIEW("k\xc3\xa9y=c"), "a key must be" },
        { VIEW("First=again"), "[A] First=: already set at line 2" },
        { VIEW("[A]"), "[A]: the section is already at line 1" },
        { VIEW("[A"), "a section header must be" },
        { VIEW("["), "a section header must be" },
        { VIEW("[]"), "a section's name must be" },
        { VIEW("[B] x"), "a section header must be" },
        { VIEW("[B C]"), "a section's name must be" },
        { VIEW("K=a\0b"), "NUL byte" },
        { VIEW("# comment \0 too"), "NUL byte" },
        { VIEW("K=a\r"), "carriage return" },
        { VIEW("K=\x1b[1m"), "control character" },
        { VIEW("K=\x7f"), "control character" },
        { VIEW("K=\xff"), "UTF-8" },
        { VIEW("K=\xc0\x80"), "UTF-8" },
        { VIEW("K=\xed\xa0\x80"), "UTF-8" },
        { VIEW("K=\xe2\x82"), "UTF-8" },
        { VIEW("K=\xf4\x90\x80\x80"), "UTF-8" },
        { VIEW("K=continued \\"), "lines cannot be continued" },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        _cleanup_problems_ Problems problems = { 0 };
        _cleanup_ini_file_ IniFile *file = NULL;
        _cleanup_bytes_ Bytes text = BYTES_NULL;
        assert_int_equal(bytes_append(&text, VIEW("[A]\nFirst=1\n")), 0);
        assert_int_equal(bytes_append(&text, cases[i].line), 0);
        assert_int_equal(bytes_append(&text, VIEW("\n[Last]\nGood=1\n")), 0);
        assert_int_equal(ini_parse("some/file", bytes_view(&text), &problems, &file), 0);
        if (problems.count != 1)
            fail_msg("case %zu: %zu problems", i, problems.count);
        assert_int_equal(problems.list[0].line, 3);
        assert_string_equal(problems.list[0].file, "some/file");
        assert_false(problems.list[0].warning);
        if (!strstr(problems.list[0].text, cases[i].text))
            fail_msg("case %zu: %s", i, problems.list[0].text);
        assert_string_equal(value_of(file, "Last", "Good"), "1");
        assert_string_equal(value_of(file, "A", "First"), "1");
    }
}

static void test_key_outside(void **state) {
    _cleanup_problems_ Problems problems = { 0 };
    _cleanup_ini_file_ IniFile *file = NULL;

    assert_int_equal(ini_parse("f", VIEW("Key=1\n[A]\n"), &problems, &file), 0);
    assert_int_equal(problems.count, 1);
    assert_string_equal(problems.list[0].text, "Key=: a key must stand below a [SECTION]");
    assert_int_equal(problems.list[0].line, 1);
}

/* The keys of a refused section are not taken for those of the one before. */
static void test_keys_of_faulty_section(void **state) {
    _cleanup_problems_ Problems problems = { 0 };
    _cleanup_ini_file_ IniFile *file = NULL;

    assert_int_equal(ini_parse("f", VIEW("[A]\nK=1\n[B C]\nK=2\nL=3\n"), &problems, &file), 0);
    assert_int_equal(problems.count, 1);
    assert_int_equal(file->count, 2);
    assert_null(value_of(file, "A", "L"));
}

static void parse_repeated(const char *head, const char *part, size_t count, const char *expected, unsigned line) {
    _cleanup_problems_ Problems problems = { 0 };
    _cleanup_ini_file_ IniFile *file = NULL;
    _cleanup_bytes_ Bytes text = BYTES_NULL;

    assert_int_equal(bytes_append(&text, bytes_view_string(head)), 0);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(bytes_append(&text, bytes_view_string(part)), 0);
    assert_int_equal(ini_parse("f", bytes_view(&text), &problems, &file), 0);
    if (!expected) {
        assert_int_equal(problems.count, 0);
        return;
    }
    assert_int_equal(problems.count, 1);
    assert_non_null(strstr(problems.list[0].text, expected));
    assert_int_equal(problems.list[0].line, line);
}

static void test_bounds(void **state) {
    parse_repeated("[A]\nK=", "a", INI_LINE_MAX - 2, NULL, 0);
    parse_repeated("[A]\nK=", "a", INI_LINE_MAX - 1, "longer than 8192", 2);
    parse_repeated("", "\n", INI_LINES_MAX, NULL, 0);
    parse_repeated("", "\n", INI_LINES_MAX + 1, "more than 4096 lines", INI_LINES_MAX + 1);
    parse_repeated("", "# 345678901234567890123456789012345678901234567890123456789012\n", INI_FILE_MAX / 63 - 1, NULL,
                   0);
    parse_repeated("", "# 345678901234567890123456789012345678901234567890123456789012\n", INI_FILE_MAX / 63 + 1,
                   "larger than 131072 bytes", 0);
    parse_repeated("[A]\n", "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk=1", 1, NULL, 0);
    parse_repeated("[A]\n", "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk=1", 1, "a key must be",
                   2);
}

static void test_problems_are_bounded(void **state) {
    _cleanup_problems_ Problems problems = { 0 }, more = { 0 };

    for (unsigned i = 1; i <= PROBLEMS_MAX; i++)
        assert_int_equal(problems_add(&problems, true, "f", i, "w"), 0);
    assert_false(problems_have_errors(&problems));
    assert_int_equal(problems_add(&problems, true, "f", 0, "one warning too many"), 0);
    assert_int_equal(problems.count, PROBLEMS_MAX);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(problems_add(&problems, false, "f", i, "an error is not lost"), 0);
    assert_int_equal(problems.count, PROBLEMS_MAX + 1);
    assert_true(problems_have_errors(&problems));

    assert_int_equal(problems_add(&more, false, "a", 0, "with\ncontrol\x1b"), 0);
    _cleanup_free_ char *text = problem_to_string(&more.list[0]);
    assert_string_equal(text, "a: with?control?");
    _cleanup_problems_ Problems all = { 0 };
    assert_int_equal(problems_move(&all, &more), 0);
    assert_int_equal(more.count, 0);
    assert_true(problems_have_errors(&all));
}

static void expect_unreadable(const char *path, int r, const char *text) {
    _cleanup_problems_ Problems problems = { 0 };
    IniFile *file = NULL;

    assert_int_equal(ini_read(path, &problems, &file), r);
    assert_null(file);
    assert_int_equal(problems.count, 1);
    assert_string_equal(problems.list[0].file, path);
    assert_false(problems.list[0].warning);
    assert_non_null(strstr(problems.list[0].text, text));
}

static void test_unreadable(void **state) {
    char directory[] = "/tmp/identityd-test-ini-XXXXXX", path[128];

    assert_non_null(mkdtemp(directory));
    (void) snprintf(path, sizeof(path), "%s/x.conf", directory);
    expect_unreadable(path, -ENOENT, "cannot be read: No such file");
    expect_unreadable(directory, -EBADFD, "not a regular file");
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, INI_FILE_MAX + 1), 0);
    (void) close(fd);
    expect_unreadable(path, -EFBIG, "larger than");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_unreadable(path, -EBADFD, "not a regular file");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(directory), 0);
}

/* Whatever bytes come, the reader ends, and what it takes is clean. AddressSanitizer watches. */
static void test_random_bytes(void **state) {
    static const char alphabet[] = "[]=#\n\n\n \tAb\\\0\r\xc3\xa9;";
    uint64_t random = 88172645463325252ULL;

    for (unsigned round = 0; round < 20000; round++) {
        uint8_t text[96];
        for (size_t i = 0; i < sizeof(text); i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            text[i] = (uint8_t) alphabet[(random >> 20) % (sizeof(alphabet) - 1)];
        }
        _cleanup_problems_ Problems problems = { 0 };
        _cleanup_ini_file_ IniFile *file = NULL;
        assert_int_equal(ini_parse("f", (BytesView) { text, sizeof(text) }, &problems, &file), 0);
        for (size_t i = 0; i < file->count; i++) {
            const char *value = file->entries[i].value;
            assert_true(file->entries[i].section[0] != '\0');
            if (value)
                assert_true(strpbrk(value, "\n\r") == NULL && value[0] != ' ' && value[0] != '#');
        }
    }
}

/* RFC 3629 §3 by another way than the reader's: the code point that the bits make, and whether it may be written so. */
static bool is_utf8(const uint8_t *p, size_t size) {
    static const struct {
        uint8_t mask, head;
        uint32_t least;
    } forms[] = { { 0x80, 0x00, 0x00 }, { 0xe0, 0xc0, 0x80 }, { 0xf0, 0xe0, 0x800 }, { 0xf8, 0xf0, 0x10000 } };

    while (size > 0) {
        size_t n = 0;
        while (n < ARRAY_LENGTH(forms) && (p[0] & forms[n].mask) != forms[n].head)
            n++;
        if (n == ARRAY_LENGTH(forms) || n >= size)
            return false;
        uint32_t point = p[0] & (uint8_t) ~forms[n].mask;
        for (size_t i = 1; i <= n; i++) {
            if ((p[i] & 0xc0) != 0x80)
                return false;
            point = point << 6 | (p[i] & 0x3f);
        }
        if (point < forms[n].least || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
            return false;
        p += n + 1;
        size -= n + 1;
    }
    return true;
}

/* Each pair of bytes, alone and with one and two more behind it, which are at the edges of what may follow. */
static void test_utf8(void **state) {
    static const uint8_t more[][2] = { { 0x80, 0x80 }, { 0xbf, 0xbf }, { 0x7e, 0x80 }, { 0x80, 0xc2 }, { 0xc0, 0x80 } };

    for (unsigned pair = 0x2121; pair < 0x10000; pair++)
        for (size_t i = 0; i < ARRAY_LENGTH(more) && pair >> 8 >= 0x7e; i++)
            for (size_t length = 2; length <= 4; length++) {
                const uint8_t value[] = { (uint8_t) (pair >> 8), (uint8_t) pair, more[i][0], more[i][1] };
                uint8_t text[] = "[A]\nK=xxxx";
                _cleanup_problems_ Problems problems = { 0 };
                _cleanup_ini_file_ IniFile *file = NULL;
                if ((i > 0 && length == 2) || value[0] == 0x7f || value[1] < 0x21 || value[1] == 0x7f ||
                    value[1] == '\\')
                    continue; /* what is no text for another reason, or was there */
                memcpy(text + 6, value, length);
                assert_int_equal(ini_parse("f", (BytesView) { text, 6 + length }, &problems, &file), 0);
                if (is_utf8(value, length) != (problems.count == 0))
                    fail_msg("%02x %02x %02x %02x, %zu of them: %s", value[0], value[1], value[2], value[3], length,
                             problems.count > 0 ? problems.list[0].text : "taken");
                if (problems.count == 0)
                    assert_memory_equal(value_of(file, "A", "K"), value, length);
            }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_key_outside),
        cmocka_unit_test(test_keys_of_faulty_section),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_problems_are_bounded),
        cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_random_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
