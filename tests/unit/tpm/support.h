/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of this room share: a Tpm on a swtpm, keys, and raw looks into the TPM past our own code. */
#pragma once

#include "fakes/swtpm.h"
#include "tpm/tpm.h"

#include <gnutls/abstract.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <tss2/tss2_esys.h>
#include <cmocka.h>

/* Fails the test with the text of a failure. */
#define assert_success(call)                                                                                           \
    do {                                                                                                               \
        Failure _failure = FAILURE_INIT;                                                                               \
        Failure *failure = &_failure;                                                                                  \
        int _result = (call);                                                                                          \
        if (_result < 0)                                                                                               \
            fail_msg("%s: %d: %s", #call, _result, failure->text);                                                     \
    } while (0)

/* Fails unless the call fails with this kind and a text that holds `part`. */
#define assert_failure(call, wanted_kind, part)                                                                        \
    do {                                                                                                               \
        Failure _failure = FAILURE_INIT;                                                                               \
        Failure *failure = &_failure;                                                                                  \
        int _result = (call);                                                                                          \
        if (_result >= 0 || failure->kind != (wanted_kind) || !strstr(failure->text, (part)))                          \
            fail_msg("%s: %d, kind %d: %s", #call, _result, (int) failure->kind, failure->text);                       \
    } while (0)

#define ANY_PARENT ((BytesView) { NULL, 0 })

#define TRANSIENT 0x80000000U /* where the numbers of loaded objects begin, … */
#define SESSIONS  0x02000000U /* … and of sessions */

/* A setup and teardown of cmocka: the state is a Swtpm. */
int start_swtpm(void **state);
int stop_swtpm(void **state);

Tpm *open_tpm(const Swtpm *swtpm);
Tpm *open_tcti(const char *tcti);
TpmKey *create_key(Tpm *tpm, KeyAlgorithm algorithm);

/* Signs the digest of "message" with every scheme of `name` and verifies it with the key's public key. */
void sign_and_verify(Tpm *tpm, const TpmKey *key, const char *scheme_name);
/* The same for a P-256 key. */
void sign(Tpm *tpm, const TpmKey *key);
bool signature_verifies(const TpmKey *key, const SignatureScheme *scheme, BytesView message, BytesView signature);

/* A raw ESYS context on the same TPM, past our own code. Closed with raw_close. */
ESYS_CONTEXT *raw_open(const char *tcti);
void raw_close(ESYS_CONTEXT *esys);
size_t raw_count_handles(const char *tcti, uint32_t first); /* TRANSIENT, SESSIONS */
TSS2_RC raw_evict(const char *tcti, TPM2_HANDLE handle);    /* removes a persistent object */

/* A signing key of somebody else's, a transient primary as another program would load it; it stays when its context is
 * closed. `unique` tells one from another. */
ESYS_TR foreign_key(ESYS_CONTEXT *esys, TPMA_OBJECT more, const char *unique);

/* Runs a shell command; fails the test with its output unless it ends with 0. Output is returned when wanted. */
void run_command(char *ret_output, size_t size, const char *format, ...) _printf_(3, 4);
