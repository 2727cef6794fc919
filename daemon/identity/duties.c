/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Walks the table. */
#include "identity/duties.h"

#include "device/log.h"
#include "identity/parts.h"
#include "identity/time.h"

#include <assert.h>

#define ROUNDS_MAX 16U /* of duties that hear of each other's doings: more is a bug of ours */

int duties_new(Identity *identity) {
    const Duty *const *table = identity->context->duties;

    for (size_t i = 0; table[i]; i++) {
        assert(i < IDENTITY_DUTIES_MAX);
        if (table[i]->part_size == 0)
            continue;
        identity->duties[i] = calloc(1, table[i]->part_size);
        if (!identity->duties[i])
            return -ENOMEM;
    }
    return 0;
}

void duties_free(Identity *identity) {
    const Duty *const *table = identity->context->duties;

    for (size_t i = 0; table[i]; i++) {
        if (identity->duties[i] && table[i]->clear)
            table[i]->clear(identity->duties[i]);
        free(identity->duties[i]);
        identity->duties[i] = NULL;
    }
}

void *identity_part(const Identity *identity, const Duty *duty) {
    const Duty *const *table = identity->context->duties;

    for (size_t i = 0; table[i]; i++)
        if (table[i] == duty)
            return identity->duties[i];
    return NULL;
}

Instant identity_when(const Identity *identity) {
    const Duty *const *table = identity->context->duties;
    Instant when = instant_never();

    for (size_t i = 0; table[i]; i++)
        if (table[i]->when)
            when = instant_earlier(when, table[i]->when(identity));
    return when;
}

void identity_run_due(Identity *identity) {
    const Duty *const *table = identity->context->duties;

    for (size_t i = 0; table[i]; i++)
        if (table[i]->when && instant_is_due(table[i]->when(identity), identity_now(identity)))
            table[i]->begin(identity);
}

void identity_stop(Identity *identity, const Failure *why) {
    const Duty *const *table = identity->context->duties;

    for (size_t i = 0; table[i]; i++) {
        /* One that was not made for want of memory has nothing under way. */
        bool is_made = table[i]->part_size == 0 || identity->duties[i];
        if (table[i]->stop && is_made)
            table[i]->stop(identity, why);
    }
}

unsigned identity_flush(Identity *identity) {
    const Duty *const *table = identity->context->duties;
    unsigned all = 0;

    for (unsigned round = 0; identity->changes != 0; round++) {
        unsigned changes = identity->changes;
        if (round == ROUNDS_MAX) {
            log_entry(LOG_ERR, NULL, identity->name, "Bug: its duties change it without end (%#x).", changes);
            identity->changes = 0;
            break;
        }
        identity->changes = 0;
        all |= changes;
        if (changes & (CHANGED_ANCHORS | CHANGED_GENERATION))
            time_join_domain(identity);
        for (size_t i = 0; table[i]; i++)
            if (table[i]->hear)
                table[i]->hear(identity, changes);
    }
    return all;
}
