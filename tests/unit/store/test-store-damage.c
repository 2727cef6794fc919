/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every file of the store, mutated at many places: what is loaded is what was saved, or the damage is said with the
 * file's name. Prints how many mutations there were. */
#include "store-fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define GENERATION_PATH "demo/generations/1/"
#define CONTENT_MAX     10000U

static Bytes read_raw(const StoreFixture *fixture, const char *path) {
    Bytes content = BYTES_NULL;

    if (bytes_read_file(path_in(fixture, path), CONTENT_MAX, &content) < 0)
        fail_msg("%s cannot be read", path);
    return content;
}

static void put_raw(const StoreFixture *fixture, const char *path, BytesView content) {
    FILE *file = fopen(path_in(fixture, path), "we");

    assert_non_null(file);
    assert_int_equal(fwrite(content.data, 1, content.size, file), content.size);
    assert_int_equal(fclose(file), 0);
}

/* Generation 1 of `demo`, and pending work. */
static void prepare(const StoreFixture *fixture) {
    Store *store = open_demo(fixture->fd);

    save_pending(store, 'a', true);
    assert_int_equal(commit(store, 'a'), 1);
    save_pending(store, 'b', true);
    (void) store_free(store);
}

/* ---- one mutation after another ---- */

/* The N-th mutation of a content: bits first, then lengths; false: there are no more. */
static bool mutate(const Bytes *content, size_t n, Bytes *ret) {
    static const size_t cuts[] = { 0, 1, 2, 3 }; /* quarters of the length that stay */
    size_t places = content->size > 400 ? 400 : content->size, bits = places * 2;
    Bytes copy = BYTES_NULL;

    assert_int_equal(bytes_copy(bytes_view(content), &copy), 0);
    if (n < bits)
        copy.data[n / 2 * content->size / places] ^= (uint8_t) (n % 2 ? 0x01 : 0x20);
    else if (n < bits + ARRAY_LENGTH(cuts))
        copy.size = content->size * cuts[n - bits] / 4;
    else if (n == bits + ARRAY_LENGTH(cuts))
        copy.size--;
    else if (n == bits + ARRAY_LENGTH(cuts) + 1)
        assert_int_equal(bytes_append(&copy, bytes_view_string("\n")), 0);
    else {
        bytes_clear(&copy);
        return false;
    }
    *ret = copy;
    return true;
}

/* Mutates the file in each way; `expect` judges what is loaded then. */
static size_t mutate_file(const StoreFixture *fixture, const char *path,
                          void (*expect)(const StoreFixture *fixture, const char *path)) {
    Bytes content = read_raw(fixture, path), mutated = BYTES_NULL;
    size_t n = 0;

    for (; mutate(&content, n, &mutated); n++) {
        put_raw(fixture, path, bytes_view(&mutated));
        bytes_clear(&mutated);
        expect(fixture, path);
    }
    put_raw(fixture, path, bytes_view(&content));
    bytes_clear(&content);
    printf("%s: %zu mutations\n", path, n);
    return n;
}

/* ---- a generation ---- */

static void expect_damaged_generation(const StoreFixture *fixture, const char *path) {
    Failure failure = FAILURE_INIT;
    StoredGeneration generation = { 0 };
    Store *store = open_demo(fixture->fd);

    assert_int_equal(store_load(store, 1, &generation, &failure), -EBADMSG);
    assert_int_equal(failure.kind, FAILURE_STORAGE);
    /* A checksum that is another names the file that it does not fit. */
    if (!strstr(failure.text, GENERATION_PATH) ||
        (!strstr(path, "checksum") && !strstr(failure.text, path) && !strstr(failure.text, "checksum")))
        fail_msg("%s: \"%s\" does not name it", path, failure.text);
    (void) store_free(store);
}

static void test_every_file_of_a_generation(void **state) {
    static const char *const files[] = { GENERATION_PATH "key.pem", GENERATION_PATH "chain.pem",
                                         GENERATION_PATH "parent", GENERATION_PATH "checksum" };
    const StoreFixture *fixture = *state;
    size_t count = 0;

    prepare(fixture);
    for (size_t i = 0; i < ARRAY_LENGTH(files); i++)
        count += mutate_file(fixture, files[i], expect_damaged_generation);
    printf("a generation: %zu mutations, all found\n", count);
    Store *store = open_demo(fixture->fd);
    expect_generation(store, 1, 'a', 'a'); /* each was put back */
    (void) store_free(store);
}

/* Each file of another generation in the place of this one's, alone. */
static void test_swapped_files(void **state) {
    static const char *const files[] = { "key.pem", "chain.pem", "checksum" };
    const StoreFixture *fixture = *state;
    char mine[64], others[64];

    prepare(fixture);
    Store *store = open_demo(fixture->fd);
    assert_int_equal(commit(store, 'b'), 2);
    (void) store_free(store);
    for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
        (void) snprintf(mine, sizeof mine, GENERATION_PATH "%s", files[i]);
        (void) snprintf(others, sizeof others, "demo/generations/2/%s", files[i]);
        Bytes before = read_raw(fixture, mine), other = read_raw(fixture, others);
        put_raw(fixture, mine, bytes_view(&other));
        expect_damaged_generation(fixture, mine);
        put_raw(fixture, mine, bytes_view(&before));
        bytes_clear(&before);
        bytes_clear(&other);
    }
}

/* One that was made before there were checksums is loaded as such, and sealed once it was found good. */
static void test_without_checksum(void **state) {
    const StoreFixture *fixture = *state;
    StoredGeneration generation = { 0 };
    Failure failure = FAILURE_INIT;

    prepare(fixture);
    Store *store = open_demo(fixture->fd);
    assert_int_equal(store_load(store, 1, &generation, NULL), 0);
    assert_true(generation.has_checksum);
    stored_generation_clear(&generation);
    Bytes before = read_raw(fixture, GENERATION_PATH "checksum");
    assert_int_equal(unlink(path_in(fixture, GENERATION_PATH "checksum")), 0);
    assert_int_equal(store_load(store, 1, &generation, NULL), 0);
    assert_false(generation.has_checksum);
    if (store_seal(store, &generation, &failure) < 0)
        fail_msg("%s", failure.text);
    stored_generation_clear(&generation);
    Bytes after = read_raw(fixture, GENERATION_PATH "checksum");
    assert_true(bytes_view_equal(bytes_view(&before), bytes_view(&after)));
    bytes_clear(&before);
    bytes_clear(&after);
    expect_generation(store, 1, 'a', 'a');
    (void) store_free(store);
}

/* ---- what is not a generation ---- */

/* pending/ is what was saved or damaged, and the generation beside it stays good; a new one takes its place. */
static void expect_pending(const StoreFixture *fixture, const char *path) {
    StoredPending pending = { 0 }, good = pending_of('b', true);
    Failure failure = FAILURE_INIT;
    Store *store = open_demo(fixture->fd);

    int r = store_pending_load(store, &pending, &failure);
    if (r >= 0) {
        if (!bytes_view_equal(bytes_view(&pending.key_pem), bytes_view(&good.key_pem)) ||
            !bytes_view_equal(bytes_view(&pending.request), bytes_view(&good.request)) ||
            !bytes_view_equal(bytes_view(&pending.parent_name), bytes_view(&good.parent_name)))
            fail_msg("%s: damaged, and loaded", path);
        stored_pending_clear(&pending);
    } else
        assert_int_equal(r, -EBADMSG);
    expect_generation(store, 1, 'a', 'a');
    (void) store_free(store);
}

static void test_every_file_of_pending(void **state) {
    static const char *const files[] = { "demo/pending/key.pem", "demo/pending/parent", "demo/pending/flags",
                                         "demo/pending/request.der", "demo/pending/checksum.pending" };
    const StoreFixture *fixture = *state;
    size_t count = 0;

    prepare(fixture);
    for (size_t i = 0; i < ARRAY_LENGTH(files); i++)
        count += mutate_file(fixture, files[i], expect_pending);
    printf("pending: %zu mutations, no bad one loaded\n", count);
}

/* Damaged work goes, whatever has become of it, and new work takes its place. */
static void test_pending_is_made_anew(void **state) {
    const StoreFixture *fixture = *state;

    prepare(fixture);
    assert_int_equal(unlink(path_in(fixture, "demo/pending/key.pem")), 0);
    Store *without = open_demo(fixture->fd); /* a request whose key is lost is good for nothing */
    assert_false(exists(fixture, "demo/pending"));
    save_pending(without, 'b', true);
    (void) store_free(without);
    for (unsigned i = 0; i < 3; i++) {
        Store *store = open_demo(fixture->fd);
        StoredPending pending = { 0 };
        if (i == 0)
            write_raw(fixture, "demo/pending/request.der", "x");
        else {
            assert_int_equal(store_pending_drop(store, NULL), 0);
            if (i == 1)
                write_raw(fixture, "demo/pending", "x");
            else
                assert_int_equal(symlink("generations/1", path_in(fixture, "demo/pending")), 0);
        }
        assert_int_equal(store_pending_load(store, &pending, NULL), -EBADMSG);
        assert_int_equal(store_pending_drop(store, NULL), 0);
        save_pending(store, 'c', true);
        assert_int_equal(store_pending_load(store, &pending, NULL), 0);
        stored_pending_clear(&pending);
        expect_generation(store, 1, 'a', 'a');
        (void) store_free(store);
    }
}

static void expect_anchors(const StoreFixture *fixture, const char *path) {
    Bytes pem = BYTES_NULL;
    Store *store = open_demo(fixture->fd);
    int r = store_anchors_load(store, &pem, NULL);

    /* Without a checksum it is for the caller to add what is configured. */
    assert_true(r == -EBADMSG || r == STORE_UNSEALED);
    bytes_clear(&pem);
    assert_int_equal(store_anchors_save(store, content_of('c', 'b'), NULL), 0);
    assert_int_equal(store_anchors_load(store, &pem, NULL), 0);
    assert_true(bytes_view_equal(bytes_view(&pem), content_of('c', 'b')));
    bytes_clear(&pem);
    (void) store_free(store);
}

static void expect_ocsp(const StoreFixture *fixture, const char *path) {
    StoredOcsp list[STORE_OCSP_MAX];
    size_t count = 0;
    Store *store = open_demo(fixture->fd);
    int r = store_ocsp_load(store, list, &count, NULL);

    if (r >= 0 && (count != 1 || list[0].this_update != 1700000000 || list[0].certificate[63] != 'a'))
        fail_msg("damaged, and loaded: %zu", count);
    (void) store_free(store);
}

static void expect_device(const StoreFixture *fixture, const char *path) {
    StoredDevice device = { 0 };

    assert_int_equal(store_device_load(fixture->fd, &device, NULL), -EBADMSG);
}

static void test_trust_and_device(void **state) {
    const StoreFixture *fixture = *state;
    StoredOcsp ocsp = { .this_update = 1700000000 };
    Store *store = open_demo(fixture->fd);

    memset(ocsp.certificate, 'a', sizeof ocsp.certificate - 1);
    assert_int_equal(store_anchors_save(store, content_of('c', 'a'), NULL), 0);
    assert_int_equal(store_ocsp_save(store, &ocsp, 1, NULL), 0);
    assert_int_equal(store_device_save(fixture->fd, bytes_view_string("parent"), bytes_view_string("key"), NULL), 0);
    (void) store_free(store);
    size_t count = mutate_file(fixture, "demo/trust/anchors.pem", expect_anchors) +
                   mutate_file(fixture, "demo/trust/ocsp", expect_ocsp) +
                   mutate_file(fixture, ".device", expect_device);
    printf("trust/ and .device: %zu mutations, no bad one loaded\n", count);
}

/* trust/ and trust/crls/ that are files hold nothing, and are made anew. */
static void test_trust_that_is_no_directory(void **state) {
    const StoreFixture *fixture = *state;
    Store *store = open_demo(fixture->fd);
    Bytes content = BYTES_NULL;

    write_raw(fixture, "demo/trust", "x");
    assert_int_equal(store_anchors_load(store, &content, NULL), -EBADMSG);
    assert_int_equal(store_anchors_save(store, content_of('c', 'a'), NULL), 0);
    write_raw(fixture, "demo/trust/crls", "x");
    assert_int_equal(store_crl_load(store, "aa", &content, NULL), -EBADMSG);
    assert_int_equal(store_crl_save(store, "aa", content_of('r', 'a'), NULL), 0);
    assert_int_equal(store_crl_load(store, "aa", &content, NULL), 0);
    bytes_clear(&content);
    (void) store_free(store);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, store_fixture_setup, store_fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_every_file_of_a_generation), TEST(test_swapped_files),        TEST(test_without_checksum),
        TEST(test_every_file_of_pending),      TEST(test_pending_is_made_anew), TEST(test_trust_and_device),
        TEST(test_trust_that_is_no_directory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
