/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client-lib/verified.h"

#include "common/macros.h"

#include <gnutls/crypto.h>
#include <string.h>

bool verified_question(const gnutls_datum_t *parts, size_t count, VerifiedQuestion *ret) {
    gnutls_hash_hd_t hash;
    uint8_t digest[32];
    int code = gnutls_hash_init(&hash, GNUTLS_DIG_SHA256);

    if (code < 0)
        return false;
    for (size_t i = 0; i < count && code >= 0; i++) {
        code = gnutls_hash(hash, &parts[i].size, sizeof(parts[i].size));
        if (code >= 0)
            code = gnutls_hash(hash, parts[i].data, parts[i].size);
    }
    gnutls_hash_deinit(hash, digest);
    memcpy(ret->hash, digest, sizeof(ret->hash));
    return code >= 0;
}

static VerifiedSlot *slot_of(VerifiedTable *table, const VerifiedQuestion *question) {
    return &table->slots[question->hash[0] % VERIFIED_SLOTS];
}

static void store_time(_Atomic uint32_t halves[static 2], time_t time) {
    uint64_t value = (uint64_t) (int64_t) time;

    atomic_store(&halves[0], (uint32_t) value);
    atomic_store(&halves[1], (uint32_t) (value >> 32));
}

static int64_t load_time(_Atomic uint32_t halves[static 2]) {
    return (int64_t) ((uint64_t) atomic_load(&halves[1]) << 32 | atomic_load(&halves[0]));
}

bool verified_before(VerifiedTable *table, const VerifiedQuestion *question, time_t now) {
    VerifiedSlot *slot = slot_of(table, question);
    unsigned turn = atomic_load(&slot->turn);
    bool same = turn % 2 == 0;

    for (size_t i = 0; i < ARRAY_LENGTH(question->hash); i++)
        same = same && atomic_load(&slot->hash[i]) == question->hash[i];
    same = same && load_time(slot->since) <= now && now < load_time(slot->until);
    return same && atomic_load(&slot->turn) == turn; /* nobody wrote meanwhile */
}

void verified_note(VerifiedTable *table, const VerifiedQuestion *question, time_t now, time_t until) {
    VerifiedSlot *slot = slot_of(table, question);
    unsigned turn = atomic_load(&slot->turn);

    if (turn % 2 != 0 || !atomic_compare_exchange_strong(&slot->turn, &turn, turn + 1))
        return;
    for (size_t i = 0; i < ARRAY_LENGTH(question->hash); i++)
        atomic_store(&slot->hash[i], question->hash[i]);
    store_time(slot->since, now);
    store_time(slot->until, until - now > VERIFIED_SECONDS_MAX ? now + VERIFIED_SECONDS_MAX : until);
    atomic_store(&slot->turn, turn + 2);
}
