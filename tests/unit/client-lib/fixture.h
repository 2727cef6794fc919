/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of libidentityd begin with: a fake identityd with one identity, "mqtt", in generation 1, with the key
 * and chain of a second generation at hand. For cmocka's setup and teardown. */
#pragma once

#include "fakes/fake-identityd.h"
#include "fakes/fake-pki.h"
#include "identityd/identityd.h"

#include <stdbool.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define P256 0x0403

typedef struct Fixture {
    FakeIdentityd *fake; /* of each test */
    FakeCa *ca;          /* of all */
    gnutls_privkey_t key, next_key, rsa_key;
    char *chain, *next_chain, *rsa_chain, *crl;
} Fixture;

extern Fixture fixture;

int setup_all(void **state);
int teardown_all(void **state);
int setup(void **state);
int teardown(void **state);

/* Makes generation 1 or 2 the current one; handles are told. */
void set_generation(uint32_t generation, const char *state);

identityd_credential *open_for(const char *purpose);
void assert_error_says(const char *part);

/* Whether `signature` (ECDSA with SHA-256 or PKCS#1 with SHA-256, by the key) verifies with the first certificate. */
int verify(const char *chain, const void *message, size_t size, const void *signature, size_t signature_size);

bool is_readable(int fd, int milliseconds);

/* What becomes of the handles of a program that closes all its descriptors and opens others: each credential handle of
 * this process is closed, and its number given to one end of a pair of sockets. For a forked child, since the fake's
 * ends would be taken away as well. How many there were; the other ends go to `ret_ends`. */
#define HANDLES_TAKEN_MAX 64
int take_handles_away(int ret_ends[static HANDLES_TAKEN_MAX]);

/* Whether nobody wrote to what took the place of the handles, or closed it. */
bool were_left_alone(const int *ends, int count);

/* Forks; fails unless the child returns 0 within 60 s. */
void expect_child(int (*run)(void *userdata), void *userdata);
