/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What identityd does while something fails: each phase is one thing that somebody wants of it. */
#pragma once

#include "trial.h"

typedef struct Said {
    char text[512]; /* what whoever wanted it was told */
    bool is_wrong;  /* it was an answer, and text says what is wrong with it */
} Said;

typedef struct Phase {
    const char *name;
    bool starts; /* with the process; prepare leaves none running */
    /* Brings about what the phase begins with; nothing fails meanwhile. False: it does not come to that. */
    bool (*prepare)(Trial *trial);
    /* True: done, and what came of it is right. */
    bool (*run)(Trial *trial, Said *said);
} Phase;

extern const Phase phases[];
extern const size_t phases_count;

/* identityd answers, whatever x is; it is started where it does not run. */
bool phase_is_up(Trial *trial);
/* x is ready, its handle signs with its key, and its store is whole with nothing left over. */
bool phase_all_is_well(Trial *trial, Said *said);
