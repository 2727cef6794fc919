/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is no longer needed goes from the disk: old generations, and the keys of a retired identity. Where a full or
 * read-only file system does not let it, it is tried again until it does: a key that was to be destroyed must not stay
 * until the next start. */
#include "device/device.h"
#include "device/log.h"
#include "lending/lending.h"
#include "rules/backoff.h"
#include "signing/signing.h"

#include <inttypes.h>
#include <string.h>

/* Older generations that are kept though nobody holds them, and not without end: for who still uses one where the
 * present one is never used, and for programs that have read a pair of published files just before it was replaced, or
 * keep what they read. */
#define OLD_MAX 3U
/* Seconds that these have for taking the next pair, after which the older generation goes if the present one is used.
 */
#define PAIR_SECONDS (10 * 60)

static const BackoffPolicy patience = { 5, 3600 };

typedef struct Unused {
    uint32_t number;
    Instant goes; /* if the present one is used */
} Unused;

typedef struct Tidy {
    Unused *unused; /* earlier generations that no handle holds, the oldest first, in whatever order that was said */
    size_t count;
    bool all_may_go; /* out of `revoked`: whether or not the new generation was used */
    Backoff backoff;
} Tidy;

static Tidy *part_of(const Identity *identity) {
    return identity_part(identity, &tidy_duty);
}

static bool retirement_is_unfinished(const Identity *identity) {
    return identity_is_retired(identity) && store_current(identity_store(identity)) != 0;
}

/* When the one in that place is to go. */
static Instant unused_goes(const Identity *identity, size_t place) {
    const Tidy *tidy = part_of(identity);

    if (tidy->all_may_go || place + OLD_MAX < tidy->count)
        return instant_at_once();
    return identity_generation_is_used(identity) ? tidy->unused[place].goes : instant_never();
}

static Instant first_unused_goes(const Identity *identity) {
    Instant first = instant_never();

    for (size_t i = 0; i < part_of(identity)->count; i++)
        first = instant_earlier(first, unused_goes(identity, i));
    return first;
}

/* 0, or -errno: it stays listed. */
static int remove_one(Identity *identity, uint32_t number, Failure *ret_failure) {
    const char *name = identity_name(identity);

    (void) signing_forget_generation(device_signing(identity_context(identity)->device), name, number);
    int r = store_remove(identity_store(identity), number, ret_failure);
    if (r >= 0)
        log_entry(LOG_INFO, MESSAGE_GENERATION_GONE, name,
                  "Generation %" PRIu32 " is used by nobody any more and was removed.", number);
    return r;
}

/* docs/design.md §6: an old generation goes once no handle holds it and the new one has been used, and programs had
 * time to take the new one's files. */
static int remove_unused(Identity *identity, Failure *ret_failure) {
    Tidy *tidy = part_of(identity);
    int64_t now = identity_now(identity);
    size_t kept = 0, count = tidy->count;
    int result = 0;

    for (size_t i = 0; i < count; i++) {
        const Unused unused = tidy->unused[i];
        if (unused.number == identity_generation(identity))
            continue;
        bool goes = instant_is_due(unused_goes(identity, i), now);
        int r = goes ? remove_one(identity, unused.number, ret_failure) : 0;
        if (r < 0)
            result = r;
        if (!goes || r < 0)
            tidy->unused[kept++] = unused;
    }
    tidy->count = kept;
    return result;
}

static void tidy_begin(Identity *identity) {
    Tidy *tidy = part_of(identity);
    Failure failure = FAILURE_INIT;
    int r = 0;

    if (!identity_store(identity))
        return;
    if (retirement_is_unfinished(identity))
        r = store_retire(identity_store(identity), &failure);
    if (r >= 0 && instant_is_due(first_unused_goes(identity), identity_now(identity)))
        r = remove_unused(identity, &failure);
    if (r >= 0 && !store_is_tidy(identity_store(identity)))
        r = store_tidy(identity_store(identity), &failure);
    if (r >= 0) {
        backoff_succeeded(&tidy->backoff);
        return;
    }
    if (tidy->backoff.failures == 0)
        log_entry(LOG_WARNING, MESSAGE_STORAGE, identity_name(identity),
                  "%s; what is to be removed is usable by nobody, and its removal is tried again.", failure.text);
    backoff_failed(&tidy->backoff, &patience, identity_now(identity));
}

static Instant tidy_when(const Identity *identity) {
    Store *store = identity_store(identity);

    if (!store)
        return instant_never();
    Instant when =
        retirement_is_unfinished(identity) || !store_is_tidy(store) ? instant_at_once() : first_unused_goes(identity);
    return instant_later(when, backoff_when(&part_of(identity)->backoff, &patience, identity_now(identity)));
}

static void note_unused(Identity *identity, uint32_t generation, Instant goes) {
    Tidy *tidy = part_of(identity);

    for (size_t i = 0; i < tidy->count; i++)
        if (tidy->unused[i].number == generation)
            return;
    Unused *list = reallocarray(tidy->unused, tidy->count + 1U, sizeof *list);
    if (!list)
        return; /* it goes after the next start */
    size_t place = tidy->count++;
    for (; place > 0 && list[place - 1].number > generation; place--)
        list[place] = list[place - 1];
    list[place] = (Unused) { generation, goes };
    tidy->unused = list;
}

void tidy_note_unused(Identity *identity, uint32_t generation) {
    note_unused(identity, generation, instant_at(identity_now(identity) + PAIR_SECONDS));
}

void tidy_note_used(Identity *identity, uint32_t generation) {
    Tidy *tidy = part_of(identity);
    size_t kept = 0;

    for (size_t i = 0; i < tidy->count; i++)
        if (tidy->unused[i].number != generation)
            tidy->unused[kept++] = tidy->unused[i];
    tidy->count = kept;
}

static void note_all_others(Identity *identity) {
    _cleanup_free_ uint32_t *numbers = NULL;
    size_t count = 0;

    if (store_list(identity_store(identity), &numbers, &count, NULL) < 0)
        return;
    for (size_t i = 0; i < count; i++)
        if (numbers[i] != identity_generation(identity))
            note_unused(identity, numbers[i], instant_at_once());
}

static void tidy_hear(Identity *identity, unsigned changes) {
    Tidy *tidy = part_of(identity);

    if (!(changes & CHANGED_GENERATION) || !identity_store(identity))
        return;
    tidy->all_may_go = changes & CHANGED_WAY_OUT;
    /* After a start, when nobody holds anything, and after a way out; else the signing thread says what nobody holds.
     */
    if (tidy->all_may_go || (changes & CHANGED_CONFIGURATION))
        note_all_others(identity);
}

static void tidy_clear(void *part) {
    Tidy *tidy = part;

    free(tidy->unused);
}

const Duty tidy_duty = {
    .name = "tidy",
    .part_size = sizeof(Tidy),
    .clear = tidy_clear,
    .when = tidy_when,
    .begin = tidy_begin,
    .hear = tidy_hear,
};
