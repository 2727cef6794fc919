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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_state_of_before, store_fixture_setup, store_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_malformed_state, store_fixture_setup, store_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_flipped_bits, store_fixture_setup, store_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_newer_state, store_fixture_setup, store_fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
