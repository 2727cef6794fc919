/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The system calls of a child, decided by its parent: one of them fails, or is the instant at which the power goes. The
 * kernel asks (seccomp_unotify(2)), so that no call is missed, also not of the libraries. */
#pragma once

#include "control.h"

#include <sys/types.h>
#include <systemd/sd-event.h>

#define TRAP_POINTS_MAX 16384U

typedef struct TrapPoint {
    int call; /* __NR_… */
    bool changes_disk;
    char what[96]; /* its name, and the path or descriptor */
} TrapPoint;

typedef struct Trap {
    Control *control;
    sd_event_source *source;
    pid_t child;
    int pidfd, fd;
    bool counts, records, kills, was_hit;
    ThreadClass class; /* whose calls fails_at counts */
    unsigned fails_at; /* counted from 1; 0: none */
    unsigned variant;  /* which of the errors that such a call may have */
    unsigned count[_THREAD_CLASS_COUNT];
    TrapPoint points[_THREAD_CLASS_COUNT][TRAP_POINTS_MAX];
    int hit_errno;
    char hit[160];
} Trap;

/* In the child, before it becomes the program: asks the parent from here on. Does not return where it cannot. */
void trap_enter(Control *control);
/* In the parent: takes over what the child asks. Aborts where it cannot. */
void trap_attach(Trap *trap, sd_event *loop, Control *control, pid_t child);
void trap_detach(Trap *trap);
/* How many errors there are that such a call may have. */
unsigned trap_variants(int call);
