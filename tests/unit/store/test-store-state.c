/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The file `state` as other hands leave it: of before, damaged, of a later version. */
#include "store-fixture.h"

#include <fcntl.h>
#include <gnutls/crypto.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define LINES                                                                                                          \
    "format=1\nrevoked=no\nhold=no\nretired=no\nrevoked-at=0\nfailures=0\nnext-attempt=0\nlast-success=0\nclock-"      \
    "floor=0\n"                                                                                                        \
    "last-generation=0\nof-generation=0\nparent-name=\nlast-error=\n"

static void write_state_with_checksum(const StoreFixture *fixture, const char *lines) {
    uint8_t digest[32];
    char content[2048];

    assert_int_equal(gnutls_hash_fast(GNUTLS_DIG_SHA256, lines, strlen(lines), digest), 0);
    _cleanup_free_ char *hex = bytes_to_hex((BytesView) { digest, sizeof digest });
    assert_true(snprintf(content, sizeof content, "%schecksum=%s\n", lines, hex) < (int) sizeof content);
    write_raw(fixture, "demo/state", content);
}

/* Of a file of before there were checksums nothing is lost. */
static void test_state_of_before(void **state) {
    const StoreFixture *fixture = *state;
    Store *store = open_demo(fixture->fd);
    StoredState loaded = { 0 };

    write_raw(fixture, "demo/state", LINES "host-name=\n");
    assert_int_equal(store_state_load(store, &loaded, NULL), 0);
    assert_false(loaded.hold);
    stored_state_clear(&loaded);
    store_free(store);
}

/* Of a damaged one what can be read counts where it makes an identity less able, and nothing else does. */
static void test_malformed_state(void **state) {
    static const struct {
        const char *content;
        bool hold, revoked, retired;
    } cases[] = {
        { "", true, false, false },
        { LINES, false, false, false },
        { "format=1\nrevoked=maybe\nhold=no\nretired=no\n", true, false, false },
        { "format=1\nrevoked=yes\nhold=no\nretired=no\nfailures=-1\n", false, true, false },
        { "format=1\nrevoked=no\nhold=no\nretired=yes\n", false, false, true },
        { "format=1\nrevoked=no\nhold=no\nretired=nn\n", true, false, false },
        { "format=1\nrevoked=no\nrevoked=no\nhold=no\nretired=no\n", true, false, false },
        { "format=1\nrevoked=no\nhold=no\nretired=no\nclock-floor=99999999999\nnext-attempt=7\nlast-error=x\n", false,
          false, false },
        { "weather=good\n", true, false, false },
    };
    const StoreFixture *fixture = *state;
    Store *store = open_demo(fixture->fd);

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        StoredState loaded = { .failures = 9 };
        Failure failure = FAILURE_INIT;
        write_raw(fixture, "demo/state", cases[i].content);
        assert_int_equal(store_state_load(store, &loaded, &failure), STORE_SALVAGED);
        assert_int_equal(failure.kind, FAILURE_STORAGE);
        assert_non_null(strstr(failure.text, path_in(fixture, "demo/state")));
        assert_int_equal(loaded.hold, cases[i].hold);
        assert_int_equal(loaded.revoked, cases[i].revoked);
        assert_int_equal(loaded.retired, cases[i].retired);
        assert_int_equal(loaded.failures, 0);
        assert_int_equal(loaded.clock_floor, 0);
        assert_int_equal(loaded.next_attempt, 0);
        assert_int_equal(loaded.of_generation, UINT32_MAX);
        assert_string_equal(loaded.last_error, "");
        stored_state_clear(&loaded);
    }
    assert_int_equal(store_state_save(store, &(StoredState) { 0 }, NULL), 0);
    store_free(store);
}

/* Of a line that was cut off nobody knows what else it said; nor of one with a NUL in it. */
static void test_lines_that_may_have_said_more(void **state) {
#define BEGINS "format=1\nrevoked=no\nhold=no\nlast-generation=1\n"
    static const struct {
        const char *content;
        size_t size;
        bool hold;
        const char *host_name;
        uint32_t last_generation;
    } cases[] = {
#define CASE(text, ...) { (text), sizeof(text) - 1U, __VA_ARGS__ }
        CASE(BEGINS "retired=no\nhost-name=device\n", false, "device", 1),
        CASE(BEGINS "retired=no\0ne\nhost-name=device\n", true, "device", 1),
        CASE(BEGINS "retired=no\nhost-name=dev", false, "", 1),
        CASE(BEGINS "host-name=device\nretired=no", true, "device", 1),
        CASE("format=1\nrevoked=no\nhold=no\nretired=no\nhost-name=device\nlast-generation=1", false, "device", 0),
#undef CASE
#undef BEGINS
    };
    const StoreFixture *fixture = *state;
    Store *store = open_demo(fixture->fd);

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        StoredState loaded = { 0 };
        int fd = open(path_in(fixture, "demo/state"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_int_equal(write(fd, cases[i].content, cases[i].size), cases[i].size);
        close(fd);
        assert_int_equal(store_state_load(store, &loaded, NULL), STORE_SALVAGED);
        assert_int_equal(loaded.hold, cases[i].hold);
        assert_string_equal(loaded.host_name, cases[i].host_name);
        assert_int_equal(loaded.last_generation, cases[i].last_generation);
        stored_state_clear(&loaded);
    }
    store_free(store);
}

/* One bit anywhere in a good file: never less of a revocation than there was. */
static void test_flipped_bits(void **state) {
    const StoreFixture *fixture = *state;
    Store *store = open_demo(fixture->fd);
    const StoredState revoked = {
        .revoked = true, .last_generation = 3, .of_generation = 3, .clock_floor = 1700000000
    };
    _cleanup_bytes_ Bytes good = BYTES_NULL;

    assert_int_equal(store_state_save(store, &revoked, NULL), 0);
    assert_int_equal(bytes_read_file(path_in(fixture, "demo/state"), 10000, &good), 0);
    for (size_t bit = 0; bit < good.size * 8; bit++) {
        StoredState loaded = { 0 };
        good.data[bit / 8] ^= (uint8_t) (1U << bit % 8);
        int fd = open(path_in(fixture, "demo/state"), O_WRONLY | O_TRUNC | O_CLOEXEC);
        assert_int_equal(write(fd, good.data, good.size), good.size);
        close(fd);
        assert_int_equal(store_state_load(store, &loaded, NULL), STORE_SALVAGED);
        assert_true(loaded.revoked || loaded.hold);
        stored_state_clear(&loaded);
        good.data[bit / 8] ^= (uint8_t) (1U << bit % 8);
    }
    store_free(store);
}

/* A later version's is whole, and not for us to touch. */
static void test_newer_state(void **state) {
    const StoreFixture *fixture = *state;
    Store *store = open_demo(fixture->fd);
    Failure failure = FAILURE_INIT;
    StoredState loaded;
    uint32_t number;

    write_state_with_checksum(fixture, "format=3\nweather=good\n");
    assert_int_equal(store_state_load(store, &loaded, &failure), -EPROTO);
    assert_non_null(strstr(failure.text, "a newer identityd wrote this file"));
    assert_int_equal(store_state_save(store, &(StoredState) { 0 }, NULL), -EPROTO);
    save_pending(store, 'a', true);
    assert_int_equal(store_commit(store, content_of('c', 'a'), &number, NULL), -EPROTO);
    assert_int_equal(store_retire(store, NULL), -EPROTO);
    assert_int_equal(store_current(store), 0);
    store_free(store);
}

/* ---- each field ---- */

typedef enum Kind { KIND_BOOLEAN, KIND_U32, KIND_I64, KIND_HEX, KIND_TEXT, _KIND_COUNT } Kind;

static const struct {
    const char *key;
    Kind kind;
} state_fields[] = {
    { "revoked", KIND_BOOLEAN },   { "hold", KIND_BOOLEAN },    { "retired", KIND_BOOLEAN },
    { "revoked-at", KIND_I64 },    { "failures", KIND_U32 },    { "next-attempt", KIND_I64 },
    { "last-success", KIND_I64 },  { "clock-floor", KIND_I64 }, { "last-generation", KIND_U32 },
    { "of-generation", KIND_U32 }, { "parent-name", KIND_HEX }, { "last-error", KIND_TEXT },
    { "host-name", KIND_TEXT },    { "settings", KIND_TEXT },   { "failures-past-end", KIND_U32 },
    { "late", KIND_I64 },
};

#define HEX68 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0011" /* 34 bytes */

/* What a complaint expects, what is just good and what just is not. */
static const struct {
    const char *expectation, *good[6], *bad[12];
} kinds[_KIND_COUNT] = {
    [KIND_BOOLEAN] = { "must be yes or no", { "yes", "no" }, { "", "Yes", "1", "yes ", "true" } },
    [KIND_U32] = { "must be a number from 0 to 4294967295",
                   { "0", "1", "4294967295" },
                   { "", "-1", "-0", "00", "01", "4294967296", "18446744073709551617", "1 ", " 1", "+1", "0x1" } },
    [KIND_I64] = { "must be a number of 64 bits",
                   { "0", "-1", "9223372036854775807", "-9223372036854775808" },
                   { "", "-", "-0", "-01", "9223372036854775808", "-9223372036854775809", "--1", "1.5", "1e3",
                     "\t1" } },
    [KIND_HEX] = { "must be an even number of hexadecimal digits, not too many",
                   { "", "00", "aBfF", HEX68 HEX68 },
                   { "0", "0g", "000", HEX68 HEX68 "00", " 00", "0x00" } },
    [KIND_TEXT] = { "must be a line of text, not too long",
                    { "", " a = b", "\xc3\xbc" },
                    { "a\tb", "\x7f", "a\x01", "\r" } },
};

/* The file with one field's value replaced, or with the line taken out where `value` is NULL; the line's number. */
static unsigned write_field(const StoreFixture *fixture, size_t field, const char *value) {
    static const char *const otherwise[_KIND_COUNT] = { "no", "0", "0", "", "" };
    char lines[1600];
    size_t length = (size_t) snprintf(lines, sizeof lines, "format=2\n");

    for (size_t i = 0; i < ARRAY_LENGTH(state_fields); i++)
        if (i != field || value)
            length += (size_t) snprintf(lines + length, sizeof lines - length, "%s=%s\n", state_fields[i].key,
                                        i == field ? value : otherwise[state_fields[i].kind]);
    assert_true(length < sizeof lines);
    write_state_with_checksum(fixture, lines);
    return (unsigned) field + 2;
}

static void expect_field(Store *store, const char *value, const char *text) {
    StoredState loaded = { 0 };
    Failure failure = FAILURE_INIT;
    int r = store_state_load(store, &loaded, &failure);

    stored_state_clear(&loaded);
    if (r != (text ? STORE_SALVAGED : 0) || (text && !strstr(failure.text, text)))
        fail_msg("\"%s\": %d \"%s\" instead of \"%s\"", value, r, failure.text, text ? text : "");
}

/* A whole file, its checksum right, with one value that is just good or just not: said with line, key and what must be
 * there. */
static void test_each_field(void **state) {
    const StoreFixture *fixture = *state;
    Store *store = open_demo(fixture->fd);
    char text[256];

    for (size_t i = 0; i < ARRAY_LENGTH(state_fields); i++) {
        const Kind kind = state_fields[i].kind;
        for (size_t k = 0; k < ARRAY_LENGTH(kinds[kind].good) && kinds[kind].good[k]; k++) {
            (void) write_field(fixture, i, kinds[kind].good[k]);
            expect_field(store, kinds[kind].good[k], NULL);
        }
        for (size_t k = 0; k < ARRAY_LENGTH(kinds[kind].bad) && kinds[kind].bad[k]; k++) {
            unsigned line = write_field(fixture, i, kinds[kind].bad[k]);
            (void) snprintf(text, sizeof text, "demo/state:%u: %s: %s", line, state_fields[i].key,
                            kinds[kind].expectation);
            expect_field(store, kinds[kind].bad[k], text);
        }
        (void) write_field(fixture, i, NULL);
        (void) snprintf(text, sizeof text, ": %s= is missing", state_fields[i].key);
        expect_field(store, "", text);
    }
    store_free(store);
}

/* As long as the field that takes it, and one character longer. */
static void test_long_texts(void **state) {
    static const struct {
        const char *key;
        size_t maximum;
    } texts[] = { { "last-error", 511 }, { "host-name", 255 }, { "settings", 64 } };
    const StoreFixture *fixture = *state;
    Store *store = open_demo(fixture->fd);
    char value[600];

    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++)
        for (size_t k = 0; k < ARRAY_LENGTH(state_fields); k++)
            if (strcmp(state_fields[k].key, texts[i].key) == 0)
                for (size_t more = 0; more < 2; more++) {
                    memset(value, 'x', sizeof value);
                    value[texts[i].maximum + more] = '\0';
                    (void) write_field(fixture, k, value);
                    expect_field(store, texts[i].key, more ? "must be a line of text, not too long" : NULL);
                }
    store_free(store);
}

/* Lines that are none of ours, in a file whose checksum is right. */
static void test_strange_lines(void **state) {
    static const struct {
        const char *lines, *text;
    } cases[] = {
        { "format=2\nweather=good\n", "demo/state:2: line: unknown key" },
        { "format=2\nrevoked\n", "demo/state:2: line: must be KEY=VALUE" },
        { "format=2\n\n", "demo/state:2: line: must be KEY=VALUE" },
        { "format=2\nrevoked=no\nrevoked=no\n", "demo/state:3: revoked: stands there twice" },
        { "format=2\nrevoked=no", "does not end in a whole line" },
        { "format=two\n", "demo/state:1: format: must be a number" },
        { LINES "host-name=\nsettings=\nfailures-past-end=0\nlate=0\n", "format: is none of ours" },
        { "formal=9\n", "demo/state:1: line: unknown key" }, /* not of the future */
        { "Format=9\n", "demo/state:1: line: unknown key" },
    };
    const StoreFixture *fixture = *state;
    Store *store = open_demo(fixture->fd);

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        write_state_with_checksum(fixture, cases[i].lines);
        expect_field(store, cases[i].lines, cases[i].text);
    }
    store_free(store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_state_of_before, store_fixture_setup, store_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_malformed_state, store_fixture_setup, store_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_lines_that_may_have_said_more, store_fixture_setup,
                                        store_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_flipped_bits, store_fixture_setup, store_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_newer_state, store_fixture_setup, store_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_each_field, store_fixture_setup, store_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_long_texts, store_fixture_setup, store_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_strange_lines, store_fixture_setup, store_fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
