/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One check of a chain: its tasks one after another. For this room. */
#pragma once

#include "revocation/judge.h"
#include "revocation/tasks.h"
#include "work/job.h"

typedef struct Check Check;

typedef struct CheckEnd {
    bool is_outdated; /* a renewal came in between: what was asked is about a chain that is no more */
    unsigned failed;  /* tasks that brought nothing usable */
    int64_t renew_by; /* earliest nextUpdate of what came, 0: none */
    Findings findings;
} CheckEnd;

typedef struct CheckStart {
    OcspSeen *seen;                                                   /* outlives the check */
    void (*ended)(Check *check, const CheckEnd *end, void *userdata); /* once, in a later turn; the callee frees */
    void *userdata;
} CheckStart;

/* 0, or -errno: nothing has begun. With nothing to ask it ends at once, in a later turn. */
int check_begin(Identity *identity, const CheckStart *start, Check **ret);
Check *check_free(Check *check);
DEFINE_CLEANUP(Check, check_free)
const CheckTasks *check_tasks(const Check *check);
