/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The store when all goes well, what it cleans up, and what it refuses. Power cuts are in test-power-cut.c. */
#include "store-fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void test_open(void **state) {
    const StoreFixture *fixture = *state;
    Store *store = NULL;
    Failure failure = FAILURE_INIT;
    struct stat status;

    assert_int_equal(store_open(fixture->fd, "demo", false, &store, &failure), -ENOENT);
    assert_int_equal(failure.kind, FAILURE_STORAGE);
    assert_non_null(strstr(failure.text, path_in(fixture, "demo")));
    assert_false(exists(fixture, "demo"));
    assert_int_equal(store_open(fixture->fd, "demo", true, &store, &failure), 0);
    assert_int_equal(store_current(store), 0);
    assert_int_equal(lstat(path_in(fixture, "demo"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    (void) store_free(store);

    assert_int_equal(rmdir(path_in(fixture, "demo")), 0);
    write_raw(fixture, "demo", "x");
    assert_int_equal(store_open(fixture->fd, "demo", true, &store, &failure), -ENOTDIR);
    assert_int_equal(unlink(path_in(fixture, "demo")), 0);
    assert_int_equal(symlink("/tmp", path_in(fixture, "demo")), 0);
    assert_true(store_open(fixture->fd, "demo", true, &store, &failure) < 0); /* never through a link */
}

static void expect_numbers(Store *store, const uint32_t *expected, size_t count) {
    _cleanup_free_ uint32_t *numbers = NULL;
    size_t found = 0;

    assert_int_equal(store_list(store, &numbers, &found, NULL), 0);
    assert_int_equal(found, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(numbers[i], expected[i]);
}

static void test_generations(void **state) {
    const StoreFixture *fixture = *state;
    Store *store = open_demo(fixture->fd);
    Failure failure = FAILURE_INIT;
    uint32_t number = 99;
    struct stat status;

    expect_numbers(store, NULL, 0);
    assert_int_equal(store_commit(store, content_of('c', 'a'), &number, &failure), -ENOENT); /* nothing pending */
    assert_int_equal(number, 99);
    save_pending(store, 'a', true);
    assert_int_equal(commit(store, 'a'), 1);
    assert_int_equal(store_current(store), 1);
    expect_generation(store, 1, 'a', 'a');
    assert_false(exists(fixture, "demo/pending"));
    assert_false(exists(fixture, "demo/generations/1/request.der"));
    assert_int_equal(lstat(path_in(fixture, "demo/generations/1/key.pem"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    save_pending(store, 'b', false);
    expect_generation(store, 1, 'a', 'a');
    assert_int_equal(commit(store, 'c'), 2);
    expect_generation(store, 2, 'b', 'c');
    expect_generation(store, 1, 'a', 'a');
    expect_numbers(store, (const uint32_t[]) { 1, 2 }, 2);
    (void) store_free(store);

    store = open_demo(fixture->fd);
    assert_int_equal(store_current(store), 2);
    assert_int_equal(store_remove(store, 2, &failure), -EBUSY);
    assert_int_equal(store_remove(store, 1, &failure), 0);
    assert_int_equal(store_remove(store, 1, &failure), 0); /* again: nothing to do */
    expect_numbers(store, (const uint32_t[]) { 2 }, 1);
    assert_int_equal(store_load(store, 1, &(StoredGeneration) { 0 }, &failure), -ENOENT);
    assert_non_null(strstr(failure.text, "demo/generations/1 cannot be opened"));
    expect_generation(store, 2, 'b', 'c');
    (void) store_free(store);
}

static void test_numbers_are_never_used_twice(void **state) {
    const StoreFixture *fixture = *state;
    Store *store = open_demo(fixture->fd);

    for (char tag = 'a'; tag < 'd'; tag++) {
        save_pending(store, tag, true);
        assert_int_equal(commit(store, tag), (uint32_t) (tag - 'a') + 1);
    }
    save_pending(store, 'x', false);
    assert_int_equal(store_retire(store, NULL), 0);
    assert_int_equal(store_current(store), 0);
    expect_numbers(store, NULL, 0);
    assert_false(exists(fixture, "demo/pending") || exists(fixture, "demo/current") ||
                 exists(fixture, "demo/generations"));
    assert_int_equal(store_retire(store, NULL), 0);
    (void) store_free(store);
    store = open_demo(fixture->fd);
    assert_int_equal(store_current(store), 0);
    /* Not even when a state from before is saved again. */
    assert_int_equal(store_state_save(store, &(StoredState) { .last_generation = 1 }, NULL), 0);
    save_pending(store, 'e', true);
    assert_int_equal(commit(store, 'e'), 4);
    (void) store_free(store);

    /* What is in the place of the next number is left alone. */
    store = open_demo(fixture->fd);
    assert_int_equal(mkdir(path_in(fixture, "demo/generations/7"), 0700), 0);
    save_pending(store, 'f', true);
    assert_int_equal(commit(store, 'f'), 8);
    (void) store_free(store);
}

static void expect_pending(Store *store, char tag, bool with_request) {
    StoredPending pending = { 0 }, expected = pending_of(tag, with_request);
    Failure failure = FAILURE_INIT;

    if (store_pending_load(store, &pending, &failure) < 0)
        fail_msg("%s", failure.text);
    assert_true(bytes_view_equal(bytes_view(&pending.key_pem), bytes_view(&expected.key_pem)));
    assert_true(bytes_view_equal(bytes_view(&pending.parent_name), bytes_view(&expected.parent_name)));
    assert_true(bytes_view_equal(bytes_view(&pending.request), bytes_view(&expected.request)));
    assert_true(pending.reenroll == expected.reenroll && pending.same_key == expected.same_key &&
                pending.manual == expected.manual);
    stored_pending_clear(&pending);
}

static void test_pending(void **state) {
    const StoreFixture *fixture = *state;
    Store *store = open_demo(fixture->fd);
    StoredPending none = { 0 };

    assert_int_equal(store_pending_load(store, &none, NULL), -ENOENT);
    save_pending(store, 'a', false);
    expect_pending(store, 'a', false);
    save_pending(store, 'a', true); /* the request comes later */
    expect_pending(store, 'a', true);
    save_pending(store, 'a', true);
    expect_pending(store, 'a', true);
    (void) store_free(store);
    store = open_demo(fixture->fd); /* survives a restart */
    expect_pending(store, 'a', true);
    save_pending(store, 'b', false); /* another key: nothing of the old remains */
    expect_pending(store, 'b', false);
    save_pending(store, 'c', true);
    expect_pending(store, 'c', true);
    save_pending(store, 'c', false); /* the request is taken back */
    expect_pending(store, 'c', false);
    assert_int_equal(store_pending_drop(store, NULL), 0);
    assert_int_equal(store_pending_drop(store, NULL), 0);
    assert_int_equal(store_pending_load(store, &none, NULL), -ENOENT);
    (void) store_free(store);
}

static void test_sizes(void **state) {
    const StoreFixture *fixture = *state;
    Store *store = open_demo(fixture->fd);
    static uint8_t big[STORE_CHAIN_MAX + 1];
    uint32_t number;

    for (unsigned i = 0; i < 5; i++) {
        StoredPending pending = pending_of('a', true);
        Failure failure = FAILURE_INIT;
        Bytes *bytes[] = { &pending.key_pem, &pending.parent_name, &pending.key_pem, &pending.parent_name,
                           &pending.request };
        size_t sizes[] = { 0, 0, STORE_KEY_MAX + 1, 69, STORE_REQUEST_MAX + 1 };
        *bytes[i] = (Bytes) { big, sizes[i] };
        assert_int_equal(store_pending_save(store, &pending, &failure), -EMSGSIZE);
        assert_int_equal(failure.kind, FAILURE_STORAGE);
        assert_false(exists(fixture, "demo/pending"));
    }
    save_pending(store, 'a', true);
    memset(big, 'x', sizeof(big));
    assert_int_equal(store_commit(store, (BytesView) { big, sizeof(big) }, &number, NULL), -EMSGSIZE);
    assert_int_equal(store_commit(store, (BytesView) { big, 0 }, &number, NULL), -EMSGSIZE);
    assert_int_equal(store_commit(store, (BytesView) { big, STORE_CHAIN_MAX }, &number, NULL), 0);
    (void) store_free(store);
}

static void test_trust(void **state) {
    const StoreFixture *fixture = *state;
    Store *store = open_demo(fixture->fd);
    Bytes content = BYTES_NULL;
    char **ids = NULL;
    static const char *const bad[] = {
        "", "..", "a/b", "ABC", "g", "00000000000000000000000000000000000000000000000000000000000000000"
    };

    assert_int_equal(store_anchors_load(store, &content, NULL), -ENOENT);
    assert_int_equal(store_crl_load(store, "ab", &content, NULL), -ENOENT);
    assert_int_equal(store_crl_list(store, &ids, NULL), 0);
    assert_null(ids[0]);
    free(ids);
    assert_false(exists(fixture, "demo/trust")); /* looking makes nothing */
    for (char tag = 'a'; tag < 'd'; tag++) {
        assert_int_equal(store_anchors_save(store, content_of('c', tag), NULL), 0);
        assert_int_equal(store_anchors_load(store, &content, NULL), 0);
        assert_true(bytes_view_equal(bytes_view(&content), content_of('c', tag)));
        bytes_clear(&content);
    }
    assert_int_equal(store_crl_save(store, "ff00", content_of('r', 'x'), NULL), 0);
    assert_int_equal(store_crl_save(store, "0a", content_of('r', 'y'), NULL), 0);
    assert_int_equal(store_crl_save(store, "ff00", content_of('r', 'z'), NULL), 0);
    write_raw(fixture, "demo/trust/crls/README", "x");
    assert_int_equal(store_crl_list(store, &ids, NULL), 0);
    assert_string_equal(ids[0], "0a");
    assert_string_equal(ids[1], "ff00");
    assert_null(ids[2]);
    free(ids[0]);
    free(ids[1]);
    free(ids);
    assert_int_equal(store_crl_load(store, "ff00", &content, NULL), 0);
    assert_true(bytes_view_equal(bytes_view(&content), content_of('r', 'z')));
    bytes_clear(&content);
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        assert_int_equal(store_crl_save(store, bad[i], content_of('r', 'x'), NULL), -EINVAL);
        assert_int_equal(store_crl_load(store, bad[i], &content, NULL), -EINVAL);
    }
    assert_int_equal(store_anchors_save(store, (BytesView) { NULL, 0 }, NULL), -EMSGSIZE);
    assert_int_equal(store_crl_save(store, "aa", (BytesView) { NULL, 0 }, NULL), -EMSGSIZE);
    /* Retirement leaves trust and state. */
    assert_int_equal(store_retire(store, NULL), 0);
    assert_true(exists(fixture, "demo/trust/anchors.pem"));
    (void) store_free(store);
}

/* They belong to no identity. */
static void test_peer_crls(void **state) {
    const StoreFixture *fixture = *state;
    Bytes content = BYTES_NULL;
    char **ids = NULL;

    assert_int_equal(store_peer_crl_load(fixture->fd, "ab", &content, NULL), -ENOENT);
    assert_int_equal(store_peer_crl_remove(fixture->fd, "ab", NULL), 0);
    assert_int_equal(store_peer_crl_list(fixture->fd, &ids, NULL), 0);
    assert_null(ids[0]);
    free(ids);
    assert_false(exists(fixture, ".peer-crls")); /* looking makes nothing */
    assert_int_equal(store_peer_crl_save(fixture->fd, "ff00", content_of('r', 'x'), NULL), 0);
    assert_int_equal(store_peer_crl_save(fixture->fd, "ff00", content_of('r', 'y'), NULL), 0);
    assert_int_equal(store_peer_crl_save(fixture->fd, "0a", content_of('r', 'z'), NULL), 0);
    assert_int_equal(store_peer_crl_save(fixture->fd, "../x", content_of('r', 'z'), NULL), -EINVAL);
    assert_int_equal(store_peer_crl_load(fixture->fd, "ff00", &content, NULL), 0);
    assert_true(bytes_view_equal(bytes_view(&content), content_of('r', 'y')));
    bytes_clear(&content);
    assert_int_equal(store_peer_crl_remove(fixture->fd, "ff00", NULL), 0);
    assert_int_equal(store_peer_crl_load(fixture->fd, "ff00", &content, NULL), -ENOENT);
    assert_int_equal(store_peer_crl_list(fixture->fd, &ids, NULL), 0);
    assert_string_equal(ids[0], "0a");
    assert_null(ids[1]);
    free(ids[0]);
    free(ids);
    assert_int_equal(store_names(fixture->fd, &ids, NULL), 0); /* and are none */
    assert_null(ids[0]);
    free(ids);
}

#define DIGEST "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void test_ocsp(void **state) {
    static const char *const bad[] = { "x",
                                       "\n",
                                       DIGEST "=5",
                                       DIGEST "=\n",
                                       DIGEST "=\n5\n",
                                       DIGEST "=5 \n",
                                       "0" DIGEST "=5\n",
                                       "00=5\n",
                                       DIGEST "=5\n" DIGEST "\n" };
    const StoreFixture *fixture = *state;
    Store *store = open_demo(fixture->fd);
    StoredOcsp list[STORE_OCSP_MAX] = { 0 }, read[STORE_OCSP_MAX];
    size_t count = 7;

    assert_int_equal(store_ocsp_load(store, read, &count, NULL), 0);
    assert_int_equal(count, 0);
    for (size_t i = 0; i < STORE_OCSP_MAX; i++) {
        memcpy(list[i].certificate, DIGEST, sizeof DIGEST);
        list[i].certificate[0] = "0123456789abcdef"[i];
        list[i].this_update = (int64_t) i * 1000000000;
    }
    for (size_t n = 1; n <= STORE_OCSP_MAX; n++) {
        assert_int_equal(store_ocsp_save(store, list, n, NULL), 0);
        assert_int_equal(store_ocsp_load(store, read, &count, NULL), 0);
        assert_int_equal(count, n);
        for (size_t i = 0; i < n; i++) {
            assert_string_equal(read[i].certificate, list[i].certificate);
            assert_int_equal(read[i].this_update, list[i].this_update);
        }
    }
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        Failure failure = FAILURE_INIT;
        write_raw(fixture, "demo/trust/ocsp", bad[i]);
        assert_int_equal(store_ocsp_load(store, read, &count, &failure), -EBADMSG);
        assert_non_null(strstr(failure.text, "trust/ocsp:"));
        assert_int_equal(count, STORE_OCSP_MAX);
    }
    (void) store_free(store);
}

static void test_state(void **state) {
    const StoreFixture *fixture = *state;
    Store *store = open_demo(fixture->fd);
    uint8_t name[] = { 0x00, 0x0b, 0xff };
    StoredState stored = { .revoked = true,
                           .retired = true,
                           .revoked_at = -5,
                           .failures = UINT32_MAX,
                           .next_attempt = INT64_MAX,
                           .last_success = INT64_MIN,
                           .clock_floor = 1700000000,
                           .last_generation = 7,
                           .parent_name = { name, sizeof(name) },
                           .last_error = "a = b # c\nnext\tline é",
                           .host_name = "host" };
    StoredState loaded = { .failures = 9 };

    assert_int_equal(store_state_load(store, &loaded, NULL), 0); /* none: zero */
    assert_int_equal(loaded.failures, 0);
    assert_int_equal(store_state_save(store, &stored, NULL), 0);
    assert_int_equal(store_state_load(store, &loaded, NULL), 0);
    assert_true(loaded.revoked && loaded.retired && !loaded.hold);
    assert_int_equal(loaded.revoked_at, -5);
    assert_true(loaded.failures == UINT32_MAX && loaded.next_attempt == INT64_MAX && loaded.last_success == INT64_MIN);
    assert_int_equal(loaded.clock_floor, 1700000000);
    assert_int_equal(loaded.last_generation, 7);
    assert_true(bytes_view_equal(bytes_view(&loaded.parent_name), (BytesView) { name, sizeof(name) }));
    assert_string_equal(loaded.last_error, "a = b # c next line é");
    assert_string_equal(loaded.host_name, "host");
    stored_state_clear(&loaded);

    /* Texts that fill their fields. */
    memset(stored.last_error, 'e', sizeof(stored.last_error) - 1);
    memset(stored.host_name, 'h', sizeof(stored.host_name) - 1);
    stored.parent_name = BYTES_NULL;
    assert_int_equal(store_state_save(store, &stored, NULL), 0);
    assert_int_equal(store_state_load(store, &loaded, NULL), 0);
    assert_int_equal(strlen(loaded.last_error), 511);
    assert_int_equal(strlen(loaded.host_name), 255);
    stored_state_clear(&loaded);
    (void) store_free(store);
}

/* A malformed state is refused with its line, and nothing writes over it. */

/* Each file of a generation and of pending work, spoiled: a complaint with its path, and the file is as it was. */
static void test_malformed_files(void **state) {
    static const struct {
        const char *path, *content, *text;
        bool pending;
    } cases[] = {
        { "demo/generations/1/key.pem", "", "key.pem: is empty", false },
        { "demo/generations/1/chain.pem", "", "chain.pem: is empty", false },
        { "demo/generations/1/parent", "", "parent: is empty", false },
        { "demo/generations/1/parent", "xyz\n", "parent:1: must be one line of hexadecimal digits", false },
        { "demo/generations/1/parent", "000b", "parent:1: must be one line of hexadecimal digits", false },
        { "demo/generations/1/parent", "000b\n00\n", "parent:1: must be one line of hexadecimal digits", false },
        { "demo/generations/1/key.pem", NULL, "key.pem: is missing", false },
        { "demo/generations/1/chain.pem", NULL, "chain.pem: is missing", false },
        { "demo/generations/1/parent", NULL, "parent: is missing", false },
        { "demo/pending/key.pem", "", "pending/key.pem: is empty", true },
        { "demo/pending/parent", NULL, "pending/parent: is missing", true },
        { "demo/pending/request.der", "", "pending/request.der: is empty", true },
        { "demo/pending/flags", NULL, "pending/flags: is missing", true },
        { "demo/pending/flags", "reenroll=yes\nsame-key=no\n", "pending/flags:2: manual= is missing", true },
        { "demo/pending/flags", "reenroll=1\n", "pending/flags:1: reenroll: must be yes or no", true },
    };
    const StoreFixture *fixture = *state;

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        Failure failure = FAILURE_INIT;
        StoredPending pending = { 0 }, other = pending_of('z', true);
        Store *store = open_demo(fixture->fd);
        save_pending(store, 'a', true);
        assert_int_equal(commit(store, 'a'), 1);
        save_pending(store, 'b', true);
        assert_int_equal(unlink(path_in(fixture, cases[i].path)), 0);
        if (cases[i].content)
            write_raw(fixture, cases[i].path, cases[i].content);
        (void) store_free(store);

        store = open_demo(fixture->fd); /* opening is no place to lose it either */
        assert_int_equal(store_current(store), 1);
        if (cases[i].pending) {
            assert_int_equal(store_pending_load(store, &pending, &failure), -EBADMSG);
            assert_int_equal(store_pending_save(store, &other, NULL), -EBADMSG);
            expect_generation(store, 1, 'a', 'a');
        } else {
            assert_int_equal(store_load(store, 1, &(StoredGeneration) { 0 }, &failure), -EBADMSG);
            expect_pending(store, 'b', true);
        }
        if (!strstr(failure.text, cases[i].text))
            fail_msg("\"%s\" is not in \"%s\"", cases[i].text, failure.text);
        if (cases[i].content) {
            Bytes after = BYTES_NULL;
            assert_int_equal(bytes_read_file(path_in(fixture, cases[i].path), 10000, &after), 0);
            assert_string_equal((const char *) after.data, cases[i].content);
            bytes_clear(&after);
        }
        (void) store_free(store);
        remove_below(fixture->root);
    }
}

/* Also when it is opened once more: the link was made anew. */
static void expect_current(const StoreFixture *fixture, Store *store, uint32_t number) {
    Failure failure = FAILURE_INIT;

    assert_int_equal(store_current(store), number);
    (void) store_free(store);
    assert_int_equal(store_open(fixture->fd, "demo", true, &store, &failure), 0);
    assert_int_equal(store_current(store), number);
    expect_generation(store, number, 'a', 'a');
    (void) store_free(store);
}

static void test_malformed_current(void **state) {
    static const char *const targets[] = {
        "generations/2",  "generations/01",          "generations/0", "generations/../1", "/etc",
        "generations/1/", "generations/99999999999", "generations/x", "generations/",     "generations"
    };
    const StoreFixture *fixture = *state;
    Store *store = open_demo(fixture->fd);

    save_pending(store, 'a', true);
    assert_int_equal(commit(store, 'a'), 1);
    (void) store_free(store);
    for (size_t i = 0; i < ARRAY_LENGTH(targets); i++) {
        Failure failure = FAILURE_INIT;
        assert_int_equal(unlink(path_in(fixture, "demo/current")), 0);
        assert_int_equal(symlink(targets[i], path_in(fixture, "demo/current")), 0);
        if (store_open(fixture->fd, "demo", true, &store, &failure) != STORE_SALVAGED)
            fail_msg("\"%s\" was not noticed", targets[i]);
        assert_non_null(strstr(failure.text, path_in(fixture, "demo/current")));
        expect_current(fixture, store, 1);
    }
    assert_int_equal(unlink(path_in(fixture, "demo/current")), 0);
    write_raw(fixture, "demo/current", "generations/1");
    assert_int_equal(store_open(fixture->fd, "demo", true, &store, NULL), STORE_SALVAGED);
    expect_current(fixture, store, 1);
    /* The state knows of a newer one: the one that is there does not come back. */
    store = open_demo(fixture->fd);
    assert_int_equal(store_state_save(store, &(StoredState) { .of_generation = 2 }, NULL), 0);
    (void) store_free(store);
    assert_int_equal(unlink(path_in(fixture, "demo/current")), 0);
    assert_int_equal(symlink("generations/2", path_in(fixture, "demo/current")), 0);
    assert_int_equal(store_open(fixture->fd, "demo", true, &store, NULL), STORE_SALVAGED);
    assert_int_equal(store_current(store), 0);
    (void) store_free(store);
    /* Files that are no files. */
    assert_int_equal(unlink(path_in(fixture, "demo/current")), 0);
    assert_int_equal(symlink("generations/1", path_in(fixture, "demo/current")), 0);
    store = open_demo(fixture->fd);
    assert_int_equal(unlink(path_in(fixture, "demo/generations/1/chain.pem")), 0);
    assert_int_equal(symlink("/etc/hostname", path_in(fixture, "demo/generations/1/chain.pem")), 0);
    assert_int_equal(store_load(store, 1, &(StoredGeneration) { 0 }, NULL), -EBADMSG);
    assert_int_equal(unlink(path_in(fixture, "demo/generations/1/chain.pem")), 0);
    assert_int_equal(mkfifo(path_in(fixture, "demo/generations/1/chain.pem"), 0600), 0);
    assert_int_equal(store_load(store, 1, &(StoredGeneration) { 0 }, NULL), -EBADMSG);
    assert_int_equal(truncate(path_in(fixture, "demo/generations/1/key.pem"), STORE_KEY_MAX + 1), 0);
    assert_int_equal(store_load(store, 1, &(StoredGeneration) { 0 }, NULL), -EBADMSG);
    (void) store_free(store);
}

/* What a cut leaves is gone after opening; what is whole stays. */
static void test_sweep(void **state) {
    static const char *const directories[] = { "demo/.#pending", "demo/trash", "demo/trash/9.0", "demo/generations/9" };
    static const char *const garbage[] = { "demo/.#state",
                                           "demo/.#current",
                                           "demo/.#pending/key.pem",
                                           "demo/trash/9.0/key.pem",
                                           "demo/generations/9/key.pem",
                                           "demo/generations/.#2",
                                           "demo/generations/1/.#chain.pem",
                                           "demo/pending/.#request.der",
                                           "demo/trust/.#anchors.pem",
                                           "demo/trust/crls/.#aa.crl" };
    const StoreFixture *fixture = *state;
    Store *store = open_demo(fixture->fd);

    save_pending(store, 'a', true);
    assert_int_equal(commit(store, 'a'), 1);
    save_pending(store, 'b', true);
    assert_int_equal(store_crl_save(store, "aa", content_of('r', 'c'), NULL), 0);
    assert_int_equal(store_anchors_save(store, content_of('c', 'c'), NULL), 0);
    (void) store_free(store);
    for (size_t i = 0; i < ARRAY_LENGTH(directories); i++)
        if (!exists(fixture, directories[i]))
            assert_int_equal(mkdir(path_in(fixture, directories[i]), 0700), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(garbage); i++)
        write_raw(fixture, garbage[i], "garbage");
    store = open_demo(fixture->fd);
    for (size_t i = 0; i < ARRAY_LENGTH(garbage); i++)
        if (exists(fixture, garbage[i]))
            fail_msg("%s is still there", garbage[i]);
    assert_false(exists(fixture, "demo/generations/9") || exists(fixture, "demo/.#pending"));
    assert_int_equal(store_current(store), 1);
    expect_generation(store, 1, 'a', 'a');
    expect_pending(store, 'b', true);
    assert_true(exists(fixture, "demo/trust/anchors.pem") && exists(fixture, "demo/trust/crls/aa.crl"));
    (void) store_free(store);
}

static void test_device(void **state) {
    const StoreFixture *fixture = *state;
    static const char *const malformed[] = {
        "format=1\nparent-name=00\n",
        "format=2\nparent-name=00\nendorsement=11\n",
        "format=1\nparent-name=\nendorsement=11\n",
        "format=1\nparent-name=00\nendorsement=\n",
        "format=1\nparent-name=00\nendorsement=1\n",
        "format=1\nparent-name=00\nendorsement=11",
        "format=1\nparent-name=00\nendorsement=11\nmore=1\n",
    };
    BytesView name = { (const uint8_t *) "\0\v\1\2", 4 }, endorsement = bytes_view_string("public key");
    StoredDevice device = { 0 };
    Failure failure = FAILURE_INIT;

    assert_int_equal(store_device_load(fixture->fd, &device, &failure), 0); /* nothing is known */
    assert_int_equal(device.parent_name.size + device.endorsement.size, 0);
    for (unsigned i = 0; i < 2; i++) { /* replaces what was there */
        assert_int_equal(store_device_save(fixture->fd, i == 0 ? endorsement : name, endorsement, &failure), 0);
        stored_device_clear(&device);
        assert_int_equal(store_device_load(fixture->fd, &device, &failure), 0);
    }
    assert_true(bytes_view_equal(bytes_view(&device.parent_name), name));
    assert_true(bytes_view_equal(bytes_view(&device.endorsement), endorsement));
    stored_device_clear(&device);
    for (size_t i = 0; i < ARRAY_LENGTH(malformed); i++) {
        write_raw(fixture, ".device", malformed[i]);
        assert_int_equal(store_device_load(fixture->fd, &device, &failure), -EBADMSG);
        assert_non_null(strstr(failure.text, path_in(fixture, ".device")));
        assert_null(device.parent_name.data);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, store_fixture_setup, store_fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_open),
        TEST(test_generations),
        TEST(test_numbers_are_never_used_twice),
        TEST(test_pending),
        TEST(test_sizes),
        TEST(test_trust),
        TEST(test_peer_crls),
        TEST(test_ocsp),
        TEST(test_state),
        TEST(test_malformed_files),
        TEST(test_malformed_current),
        TEST(test_sweep),
        TEST(test_device),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
