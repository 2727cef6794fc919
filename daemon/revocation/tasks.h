/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a check asks: the CRLs and OCSP responders that the chain and the configuration name. For this room. */
#pragma once

#include "identity/identity.h"
#include "revocation/crl-id.h"

#define TASKS_MAX 16U

typedef struct CheckTask {
    size_t position;      /* in the chain */
    bool ocsp, any;       /* any: of a configured URL, about whichever certificate */
    char **urls;          /* NULL-terminated, tried in turn */
    char id[CRL_ID_SIZE]; /* of the CRL in the store */
} CheckTask;

typedef struct CheckTasks {
    CheckTask list[TASKS_MAX];
    size_t count;
    bool is_cut; /* there were more */
} CheckTasks;

/* 0, -ENOMEM, -EIO. What is more than can be asked is left out, and said. */
int tasks_collect(const Identity *identity, CheckTasks *ret);
void tasks_clear(CheckTasks *tasks);

/* Removes the CRLs from the store that are no longer asked for: of an issuer or an address that the present chain does
 * not name. They would be kept, and judged by, for ever. */
void tasks_forget_others(const Identity *identity, const CheckTasks *tasks);
