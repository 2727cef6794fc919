/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What polkit has said yes to and could not be done, because what was sent was too long to be kept until then: whoever
 * sends it once more within PERMIT_SECONDS is not asked about again. Pure: the time is given. Only who was permitted
 * has a place here, and no more than PERMITS_MAX of them; the oldest goes first. */
#pragma once

#include "common/names.h"

#include <stdbool.h>
#include <stdint.h>

#define PERMITS_MAX    16U
#define PERMIT_SECONDS 60U

typedef struct Permit {
    char bus_name[24];  /* unique names are never used again; longer ones are not given out by any bus */
    const char *action; /* borrowed: a literal */
    char identity[IDENTITY_NAME_MAX + 1U]; /* "": none */
    uint64_t until;                        /* µs; 0: a free place */
} Permit;

typedef struct Permits {
    Permit list[PERMITS_MAX];
} Permits;

typedef struct PermitOf {
    const char *bus_name, *action, *identity; /* identity: NULL for none */
} PermitOf;

/* `now`: µs of a clock that only goes on. A name that is too long gets none. */
void permits_note(Permits *permits, PermitOf of, uint64_t now);
/* Whether there is one; it is used up by that. */
bool permits_take(Permits *permits, PermitOf of, uint64_t now);
