/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of lending share. Nothing outside this room includes it. */
#pragma once

#include "lending/lending.h"

typedef struct HandleRecord HandleRecord;

struct Lending {
    Device *device;
    Quota *quota;
    QuotaLimits limits; /* as configured, or what fits */
    int closed;         /* an epoll that tells of handles whose holders have closed them; of handles.c */
    AccessLog *log;
    HandleRecord *handles; /* of handles.c */
};

/* decision.c: decides, and logs a refusal. `units`: whether unit: rules count. Refuses with ACCESS_DENIED, or NOT_READY
 * where it is misconfigured. */
typedef struct AccessQuestion {
    const Identity *identity;
    Purpose purpose;
    const Caller *caller;
    bool units;
} AccessQuestion;
int decision_make(Lending *lending, const AccessQuestion *question, AccessDecision *ret, Failure *ret_failure);
/* Logs and counts a decision: "Granted" is true only once the handle is open or the signature is under way. */
void decision_log(Lending *lending, const AccessQuestion *question, const AccessDecision *decision);

/* handles.c: forgets all records. */
void handles_forget(Lending *lending);
