/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the parts hang. For this room alone; each part is a closed box but for the file of its name. */
#pragma once

#include "identity/base.h"

#define IDENTITY_DUTIES_MAX 12U
#define DOMAIN_NAME_SIZE    65U

typedef struct Anchors Anchors;
typedef struct Definition Definition;
typedef struct Generation Generation;
typedef struct Record Record;
typedef struct Standing Standing;
typedef struct Statements Statements;

struct Identity {
    const IdentityContext *context;
    char *name;
    uint64_t instance;
    unsigned changes;
    char domain[DOMAIN_NAME_SIZE]; /* the trust domain whose time it goes by; of time.c */
    Definition *definition;
    Record *record;
    Generation *generation;
    Anchors *anchors;
    Standing *standing;
    Statements *statements;
    void *duties[IDENTITY_DUTIES_MAX]; /* in the order of the table */
};
