/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How attempts at the CA have gone, and when the next one may come (docs/design.md §10, laws 2 to 4 and 7). Pure. */
#pragma once

#include "rules/schedule.h"

/* Survives a restart (the file `state`). A zeroed one knows of nothing. */
typedef struct Attempts {
    uint32_t failures;          /* in a row; an answer that puts us off counts as one */
    uint32_t failures_past_end; /* those of them since the chain ended: of two ways out, they say whose turn it is */
    Instant next;               /* no attempt by itself before; never: nothing holds it up */
    int64_t last_success;       /* seconds; 0: none known */
    int64_t late;               /* seconds that it came after it was due: see ScheduleLife */
} Attempts;

/* How an attempt ended, but for success. */
typedef struct AttemptOutcome {
    int64_t now;
    const ScheduleLife *life; /* of the generation that is live; NULL: none */
    uint32_t told;            /* Retry-After in seconds, of a failure or of a 202; 0: none, or 0 */
    bool is_put_off;          /* 202: the CA has taken the request */
    int64_t wasted_lifetime;  /* of a certificate that the CA made and that was refused here; 0: none was (law 4) */
    uint32_t random;          /* 32 uniform bits */
} AttemptOutcome;

#define ATTEMPTS_QUICK      5    /* tries that follow each other soon, before they are spread over what is left */
#define ATTEMPTS_WAIT_MAX   3600 /* seconds between two attempts where no life is left to be shared */
#define ATTEMPTS_TOLD_MAX   (6 * 86400) /* seconds of a Retry-After that count there */
#define ATTEMPTS_WASTED_MAX (7 * 86400) /* seconds that law 4 holds us up for there */
#define ATTEMPTS_FUTURE_MAX (8 * 86400) /* without a life, nothing that attempts_failed says is further away */

/* Notes an attempt that brought no certificate. The next one:
 *  - at first after 30 s or so, doubled a few times, drawn evenly from the window (a 60th of the lifetime where that is
 *    less), then after 0.5 to 0.9 of what is left of the chain: a fleet that waited out an outage together does not
 * come back together;
 *  - not before the CA's Retry-After (and a bit, lest all it told so come at one second);
 *  - but always before the end of the chain, with a tenth of what is left in hand, and where next to nothing is left at
 * the end itself. */
void attempts_failed(Attempts *attempts, const AttemptOutcome *outcome);

/* `due`: when the certificate that is replaced was to be renewed (schedule_renewal); 0: there was none. */
void attempts_succeeded(Attempts *attempts, int64_t now, int64_t due);

/* Law 7: what is known of failures is forgotten; the last success is not. */
void attempts_forget(Attempts *attempts);

/* Whether `next` lies further away than it would ever be put: it was planned while the clock was elsewhere, and what
 * failed then says nothing of now. `life` as in AttemptOutcome. */
bool attempts_are_of_another_time(const Attempts *attempts, const ScheduleLife *life, int64_t now);

/* When the next attempt may come, `from` being when it is wanted. A `next` of another time does not count. */
Instant attempts_when(const Attempts *attempts, Instant from, const ScheduleLife *life, int64_t now);
