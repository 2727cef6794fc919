/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How an exchange with a server went wrong: the sentence for a person, and what may be done about it. */
#pragma once

#include "common/failure.h"

#include <stdbool.h>

typedef struct EnrollFault {
    Failure failure;
    bool try_next;        /* this server was not reached, or is not the right one: another may do */
    bool is_permanent;    /* somebody must change something; trying again changes nothing */
    bool is_rejection;    /* it is the certificate that came which was refused */
    uint32_t retry_after; /* seconds, where the server asked for them; 0: it did not */
} EnrollFault;

#define ENROLL_FAULT_INIT ((EnrollFault) { .failure = FAILURE_INIT })

/* Adds what `last` says to `all`, which has the kind of the last and its text whole; what was there before is cut where
 * there is no room. Returns `r`. */
int fault_collect(Failure *all, const Failure *last, int r);
