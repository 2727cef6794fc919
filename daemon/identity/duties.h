/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Duties: what is done for an identity by itself. Each is a row of functions, and all are in one table that the timer
 * and the identity walk; they do not know each other, and hear of what one of them did as changes. */
#pragma once

#include "common/instant.h"
#include "identity/base.h"

struct Duty {
    const char *name;
    /* Its own part of an identity, zeroed bytes of this size; 0: it needs none. */
    size_t part_size;
    /* Frees what is in the part, when the identity goes; after `stop`. May be NULL. */
    void (*clear)(void *part);
    /* When it is due; a question, which changes nothing. May be NULL: never. */
    Instant (*when)(const Identity *identity);
    /* It is due. */
    void (*begin)(Identity *identity);
    /* Ends what is under way; those who wait are told why. May be NULL. */
    void (*stop)(Identity *identity, const Failure *why);
    /* The changes (identity/base.h) of this turn of the loop. May be NULL. */
    void (*hear)(Identity *identity, unsigned changes);
};

/* The part of a duty; never NULL for one that is in the table and has a size. */
void *identity_part(const Identity *identity, const Duty *duty);

/* The earliest instant at which any of them is due. */
Instant identity_when(const Identity *identity);
/* Begins what is due. */
void identity_run_due(Identity *identity);
void identity_stop(Identity *identity, const Failure *why);

/* Tells the duties of the changes, until none makes further ones; returns all that there were. */
unsigned identity_flush(Identity *identity);

/* ---- for this room ---- */

int duties_new(Identity *identity);
void duties_free(Identity *identity);
