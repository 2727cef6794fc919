/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A state directory of the test's own, and contents that are told apart. */
#pragma once

#include "store/store.h"

#include <stdbool.h>

typedef struct StoreFixture {
    char root[64];
    int fd; /* of root */
} StoreFixture;

/* cmocka's setup and teardown; *state is the fixture. */
int store_fixture_setup(void **state);
int store_fixture_teardown(void **state);
/* Removes everything below a directory, but not the directory. */
void remove_below(const char *path);

/* Opens the identity "demo", or fails the test with what the failure says. */
Store *open_demo(int state_fd);
/* Pending work with a key that is told by `tag`. */
void save_pending(Store *store, char tag, bool with_request);
/* store_commit with a chain that is told by `tag`. */
uint32_t commit(Store *store, char tag);
/* Generation `number` must have key, parent and chain of these tags. */
void expect_generation(Store *store, uint32_t number, char key, char chain);

/* A pending generation for `tag`; points into static memory, not to be cleared. */
StoredPending pending_of(char tag, bool with_request);
/* 3000 bytes that begin with KIND-TAG. Static memory, one for each kind ('k', 'c', 'r') and tag ('a' to 'z'). */
BytesView content_of(char kind, char tag);

/* ROOT/PATH of a fixture, in one of four buffers used in turn. */
const char *path_in(const StoreFixture *fixture, const char *path);
bool exists(const StoreFixture *fixture, const char *path);
void write_raw(const StoreFixture *fixture, const char *path, const char *content);
