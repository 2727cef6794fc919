/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who is behind a connection to the bus: asked for once, kept for the calls that follow. What an answer is for is not
 * known here. */
#pragma once

#include "access/access.h"
#include "common/failure.h"

#include <systemd/sd-bus.h>

#define CALLERS_MAX          256U /* connections of which something is kept, a descriptor each; … */
#define CALLERS_PER_USER_MAX 64U  /* … and of one user */
#define CALLER_WAITS_MAX     64U  /* that wait for an answer about one connection */
/* Connections about which systemd is asked at once, a descriptor each; and of one user. */
#define CALLER_UNITS_MAX          128U
#define CALLER_UNITS_PER_USER_MAX 16U

typedef struct Callers Callers;
typedef struct CallerLookup CallerLookup;

/* One who wants to know. `ret` has the answer when `found` is called with 0, with a pidfd where the unit is part of the
 * question; until then nobody who waits holds a descriptor. A negative errno: it cannot be known, and
 * caller_lookup_failure says why; -EDQUOT: systemd is being asked about too many already. */
typedef struct CallerWait CallerWait;
struct CallerWait {
    bool wants_unit; /* the caller's unit is part of the question */
    Caller *ret;
    void (*found)(int r, void *userdata);
    void *userdata;
    CallerLookup *lookup; /* from here on of caller.c, zero to begin with */
    CallerWait *next;
};

typedef enum CallerAnswer {
    CALLER_ASKED = 0, /* `found` is called in a later turn of the loop; until then `wait` stays where it is */
    CALLER_KNOWN = 1, /* `ret` has the answer, `found` is not called */
} CallerAnswer;

/* `connection` is borrowed and outlives it. 0 or -ENOMEM. */
int callers_new(sd_bus *connection, Callers **ret);
/* Nobody is called any more; who waits still may call caller_forget. */
Callers *callers_free(Callers *callers);
DEFINE_CLEANUP(Callers, callers_free)

/* What is known of the connection with this unique name, borrowed until the next call of anything here; NULL: nothing.
 */
const Caller *caller_known(Callers *callers, const char *sender);
/* A CallerAnswer for the connection with this unique name, or -EDQUOT: too many wait for that one; -errno of the bus,
 * -ENOMEM, -EMFILE. After an error `found` is not called. */
int caller_find(Callers *callers, const char *sender, CallerWait *wait);
/* The words for an error of `found` or caller_find. */
void caller_lookup_failure(int r, Failure *ret);
/* Waits no more; does nothing where nobody waits. */
void caller_forget(CallerWait *wait);
