/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is no longer needed goes from the disk: old generations, and the keys of a retired identity. Where a full or
 * read-only file system does not let it, it is tried again until it does: a key that was to be destroyed must not stay
 * until the next start. */
#include "manager/internal.h"

#include <inttypes.h>

#define TIDY_AGAIN_FIRST 5 /* seconds, doubled with each failure */
#define TIDY_AGAIN_MAX   3600
/* Older generations that are kept where the present one is never used: for whoever still does, and not without end. */
#define OLD_GENERATIONS_MAX 3U

/* DESIGN §6: an old generation goes once no handle holds it and the new one has been used. One that cannot be removed
 * stays listed. */
static int remove_unused(Identity *identity, Failure *ret_failure) {
    size_t left = 0, count = identity->unused_count;
    size_t removable = identity->generation_used || count < OLD_GENERATIONS_MAX ? count : count - OLD_GENERATIONS_MAX;
    int result = 0;

    for (size_t i = 0; i < count; i++) { /* the oldest first */
        uint32_t number = identity->unused[i];
        if (number == identity->generation)
            continue;
        if (i >= removable) {
            identity->unused[left++] = number;
            continue;
        }
        (void) signing_forget_generation(identity->manager->signing, identity->name, number);
        int r = store_remove(identity->store, number, ret_failure);
        if (r >= 0)
            log_entry(LOG_INFO, MESSAGE_GENERATION_GONE, identity->name,
                      "Generation %" PRIu32 " is used by nobody any more and was removed.", number);
        else {
            identity->unused[left++] = number;
            result = r;
        }
    }
    identity->unused_count = left;
    return result;
}

static bool retirement_is_unfinished(const Identity *identity) {
    return identity->stored.retired && store_current(identity->store) != 0;
}

static bool has_unused(const Identity *identity) {
    return identity->unused_count > (identity->generation_used ? 0 : OLD_GENERATIONS_MAX);
}

void identity_tidy(Identity *identity) {
    Failure failure = FAILURE_INIT;
    int r = 0;

    if (!identity->store)
        return;
    if (retirement_is_unfinished(identity))
        r = store_retire(identity->store, &failure);
    if (r >= 0 && has_unused(identity))
        r = remove_unused(identity, &failure);
    if (r >= 0 && !store_is_tidy(identity->store))
        r = store_tidy(identity->store, &failure);
    if (r >= 0) {
        identity->tidy_at = 0;
        identity->tidy_delay = 0;
        return;
    }
    if (identity->tidy_delay == 0)
        log_entry(LOG_WARNING, MESSAGE_STORAGE, identity->name,
                  "%s; what is to be removed is usable by nobody, and its removal is tried again.", failure.text);
    identity->tidy_delay = identity->tidy_delay == 0 ? TIDY_AGAIN_FIRST : identity->tidy_delay * 2;
    if (identity->tidy_delay > TIDY_AGAIN_MAX)
        identity->tidy_delay = TIDY_AGAIN_MAX;
    identity->tidy_at = manager_now(identity->manager) + identity->tidy_delay;
}

int64_t tidy_when(const Identity *identity) {
    if (!has_unused(identity) && !retirement_is_unfinished(identity) && store_is_tidy(identity->store))
        return 0;
    /* One that lies further away was planned while the clock was elsewhere. */
    bool is_planned = identity->tidy_at != 0 && identity->tidy_at <= manager_now(identity->manager) + TIDY_AGAIN_MAX;
    return is_planned ? identity->tidy_at : 1;
}

void identity_generation_unused(Identity *identity, uint32_t generation) {
    for (size_t i = 0; i < identity->unused_count; i++)
        if (identity->unused[i] == generation)
            return;
    uint32_t *list = reallocarray(identity->unused, identity->unused_count + 1U, sizeof *list);
    if (!list)
        return; /* it goes after the next start */
    identity->unused = list;
    list[identity->unused_count++] = generation;
    identity_tidy(identity);
}

void identity_generation_used(Identity *identity, uint32_t generation) {
    if (generation != identity->generation || identity->generation_used)
        return;
    identity->generation_used = true;
    identity_tidy(identity);
}

void identity_drop_old_generations(Identity *identity) {
    identity->generation_used = true;
    identity_note_old_generations(identity);
}

void identity_note_old_generations(Identity *identity) {
    _cleanup_free_ uint32_t *numbers = NULL;
    size_t count = 0;

    if (store_list(identity->store, &numbers, &count, NULL) < 0)
        return;
    for (size_t i = 0; i < count; i++)
        if (numbers[i] != identity->generation)
            identity_generation_unused(identity, numbers[i]);
}
