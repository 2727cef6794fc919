/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See store-fixture.h. */
#include "store-fixture.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define CONTENT_SIZE 3000U

const char *path_in(const StoreFixture *fixture, const char *path) {
    static char buffers[4][512];
    static unsigned turn;
    char *buffer = buffers[turn++ % 4];

    (void) snprintf(buffer, sizeof(buffers[0]), "%s/%s", fixture->root, path);
    return buffer;
}

bool exists(const StoreFixture *fixture, const char *path) {
    struct stat status;

    return lstat(path_in(fixture, path), &status) == 0;
}

void write_raw(const StoreFixture *fixture, const char *path, const char *content) {
    FILE *file = fopen(path_in(fixture, path), "we");

    assert_non_null(file);
    assert_true(fputs(content, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

int store_fixture_setup(void **state) {
    StoreFixture *fixture = calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    (void) snprintf(fixture->root, sizeof(fixture->root), "/tmp/identityd-test-store-XXXXXX");
    assert_non_null(mkdtemp(fixture->root));
    fixture->fd = open(fixture->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fixture->fd >= 0);
    *state = fixture;
    return 0;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *ftw) {
    return ftw->level == 0 ? 0 : remove(path);
}

void remove_below(const char *path) {
    assert_int_equal(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

int store_fixture_teardown(void **state) {
    StoreFixture *fixture = *state;

    remove_below(fixture->root);
    assert_int_equal(rmdir(fixture->root), 0);
    (void) close(fixture->fd);
    free(fixture);
    return 0;
}

BytesView content_of(char kind, char tag) {
    static uint8_t contents[3]['z' - 'a' + 1][CONTENT_SIZE];
    uint8_t *content = contents[kind == 'k' ? 0 : kind == 'c' ? 1 : 2][tag - 'a'];

    for (size_t i = 0; i < CONTENT_SIZE; i++)
        content[i] = (uint8_t) (i % 3 == 0 ? kind : i % 3 == 1 ? tag : '\n');
    return (BytesView) { content, CONTENT_SIZE };
}

/* As bytes that nobody frees. */
static Bytes borrowed(BytesView view) {
    return (Bytes) { (uint8_t *) view.data, view.size };
}

StoredPending pending_of(char tag, bool with_request) {
    return (StoredPending) {
        .key_pem = borrowed(content_of('k', tag)),
        .parent_name = { content_of('k', tag).size > 34 ? (uint8_t *) content_of('k', tag).data : NULL, 34 },
        .request = with_request ? borrowed(content_of('r', tag)) : BYTES_NULL,
        .reenroll = tag % 2 == 0,
        .same_key = tag % 3 == 0,
        .manual = tag % 5 == 0,
    };
}

Store *open_demo(int state_fd) {
    Store *store = NULL;
    Failure failure = FAILURE_INIT;

    if (store_open(state_fd, "demo", true, &store, &failure) < 0)
        fail_msg("store_open: %s", failure.text);
    return store;
}

void save_pending(Store *store, char tag, bool with_request) {
    Failure failure = FAILURE_INIT;
    StoredPending pending = pending_of(tag, with_request);

    if (store_pending_save(store, &pending, &failure) < 0)
        fail_msg("store_pending_save: %s", failure.text);
}

uint32_t commit(Store *store, char tag) {
    Failure failure = FAILURE_INIT;
    uint32_t number = 0;

    if (store_commit(store, content_of('c', tag), &number, &failure) < 0)
        fail_msg("store_commit: %s", failure.text);
    return number;
}

void expect_generation(Store *store, uint32_t number, char key, char chain) {
    StoredGeneration generation = { 0 };
    Failure failure = FAILURE_INIT;

    if (store_load(store, number, &generation, &failure) < 0)
        fail_msg("store_load: %s", failure.text);
    assert_int_equal(generation.number, number);
    assert_true(bytes_view_equal(bytes_view(&generation.key_pem), content_of('k', key)));
    assert_true(bytes_view_equal(bytes_view(&generation.chain_pem), content_of('c', chain)));
    assert_true(bytes_view_equal(bytes_view(&generation.parent_name), (BytesView) { content_of('k', key).data, 34 }));
    stored_generation_clear(&generation);
}
