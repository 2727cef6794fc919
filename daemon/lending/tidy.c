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

/* Older generations that are kept where the present one is never used: for whoever still does, and not without end. */
#define OLD_MAX 3U

static const BackoffPolicy patience = { 5, 3600 };

typedef struct Tidy {
    uint32_t *unused; /* earlier generations that no handle holds, the oldest first */
    size_t count;
    bool all_may_go; /* out of `revoked`: whether or not the new generation was used */
    Backoff backoff;
} Tidy;

static Tidy *part_of(const Identity *identity) {
    return identity_part(identity, &tidy_duty);
}

static bool may_all_go(const Identity *identity) {
    return identity_generation_is_used(identity) || part_of(identity)->all_may_go;
}

static bool retirement_is_unfinished(const Identity *identity) {
    return identity_is_retired(identity) && store_current(identity_store(identity)) != 0;
}

static bool has_unused(const Identity *identity) {
    return part_of(identity)->count > (may_all_go(identity) ? 0 : OLD_MAX);
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

/* docs/design.md §6: an old generation goes once no handle holds it and the new one has been used. */
static int remove_unused(Identity *identity, Failure *ret_failure) {
    Tidy *tidy = part_of(identity);
    size_t left = 0, count = tidy->count, removable = may_all_go(identity) || count < OLD_MAX ? count : count - OLD_MAX;
    int result = 0;

    for (size_t i = 0; i < count; i++) {
        uint32_t number = tidy->unused[i];
        int r = 0;
        if (number == identity_generation(identity))
            continue;
        if (i < removable)
            r = remove_one(identity, number, ret_failure);
        if (r < 0)
            result = r;
        if (i >= removable || r < 0)
            tidy->unused[left++] = number;
    }
    tidy->count = left;
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
    if (r >= 0 && has_unused(identity))
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

    if (!store || (!has_unused(identity) && !retirement_is_unfinished(identity) && store_is_tidy(store)))
        return instant_never();
    return backoff_when(&part_of(identity)->backoff, &patience, identity_now(identity));
}

void tidy_note_unused(Identity *identity, uint32_t generation) {
    Tidy *tidy = part_of(identity);

    for (size_t i = 0; i < tidy->count; i++)
        if (tidy->unused[i] == generation)
            return;
    uint32_t *list = reallocarray(tidy->unused, tidy->count + 1U, sizeof *list);
    if (!list)
        return; /* it goes after the next start */
    tidy->unused = list;
    list[tidy->count++] = generation;
}

static void note_all_others(Identity *identity) {
    _cleanup_free_ uint32_t *numbers = NULL;
    size_t count = 0;

    if (store_list(identity_store(identity), &numbers, &count, NULL) < 0)
        return;
    for (size_t i = 0; i < count; i++)
        if (numbers[i] != identity_generation(identity))
            tidy_note_unused(identity, numbers[i]);
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
