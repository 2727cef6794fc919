/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What has verified before. A program that connects to the same peer again gets the same certificates again: the answer
 * depends on them, on what is trusted, and on the time, which matters only at certain moments (a certificate begins or
 * ends, a CRL becomes due). Until the next of these the same question, known by its SHA-256, has the same answer. Only
 * good answers are kept. A table belongs to one set of anchors and CRLs, and goes with it. */
#pragma once

#include <gnutls/gnutls.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define VERIFIED_SLOTS       32U
#define VERIFIED_SECONDS_MAX 3600 /* even where nothing would change for years */

#define VERIFIED_HASH_WORDS 8U

typedef struct VerifiedQuestion {
    uint32_t hash[VERIFIED_HASH_WORDS];
} VerifiedQuestion;

/* Without a lock, since a forked child could find it held: a slot that is being written, or was when the process was
 * forked, has an odd `turn` and is passed over. Of 32 bits, for not every machine has larger ones
 * without a lock inside. */
typedef struct VerifiedSlot {
    atomic_uint turn;
    _Atomic uint32_t hash[VERIFIED_HASH_WORDS];
    _Atomic uint32_t since[2], until[2]; /* lower and upper half */
} VerifiedSlot;

typedef struct VerifiedTable {
    VerifiedSlot slots[VERIFIED_SLOTS];
} VerifiedTable;

/* `parts` is all that the answer depends on beside the table's own anchors and CRLs; a part's length counts, too.
 * False: no hash could be made. */
bool verified_question(const gnutls_datum_t *parts, size_t count, VerifiedQuestion *ret);

bool verified_before(VerifiedTable *table, const VerifiedQuestion *question, time_t now);

/* The question was answered well at `now`, and will be until `until`. */
void verified_note(VerifiedTable *table, const VerifiedQuestion *question, time_t now, time_t until);
