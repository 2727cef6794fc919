/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an identity is to those who do not look into it: a name, what it was given, and the changes that are still to be
 * told of. Its parts are in the files that own them (definition, record, generation, anchors, standing), the duties' in
 * theirs. */
#pragma once

#include "common/bytes.h"
#include "common/failure.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct CertificatePool CertificatePool;
typedef struct Device Device;
typedef struct Duty Duty;
typedef struct Identity Identity;
typedef struct IdentitySet IdentitySet;
typedef struct PeerPool PeerPool;
typedef struct Work Work;

/* What all identities are given; outlives them. */
typedef struct IdentityContext {
    Device *device;
    Work *work;
    IdentitySet *set;
    const Duty *const *duties;     /* NULL-terminated; see duties.h */
    PeerPool *peer_pool;           /* of the duty that keeps CRLs of peers' CAs */
    CertificatePool *certificates; /* the set's */
} IdentityContext;

const char *identity_name(const Identity *identity);
const IdentityContext *identity_context(const Identity *identity);
/* Never given twice, while a name may be. */
uint64_t identity_instance(const Identity *identity);

/* What has changed, as bits. */
typedef enum IdentityChange {
    CHANGED_CONFIGURATION = 1 << 0, /* it was read anew, whether or not anything in it is another */
    CHANGED_CHECKS = 1 << 1,        /* with another Check= or CRL= */
    CHANGED_REQUEST = 1 << 2,       /* what a certificate is made from is another */
    CHANGED_SCHEDULE = 1 << 3,      /* [Enrollment] or [Renewal] is another */
    CHANGED_STATE = 1 << 4,
    CHANGED_GENERATION = 1 << 5,
    CHANGED_WAY_OUT = 1 << 6, /* with CHANGED_GENERATION: out of `revoked`; what came before signs no more */
    CHANGED_ANCHORS = 1 << 7,
    CHANGED_STATEMENTS = 1 << 8,   /* CRLs or the OCSP answer for stapling */
    CHANGED_PROPERTIES = 1 << 9,   /* what is shown of it, and nothing else */
    CHANGED_TPM = 1 << 10,         /* the TPM was looked at */
    CHANGED_CHAIN_ENDED = 1 << 11, /* peers refuse the chain from now on */
    CHANGED_UNEXPIRED = 1 << 12,   /* with CHANGED_STATE: the clock was wrong, and nothing has expired */
    CHANGED_EXPIRED = 1 << 13,     /* with CHANGED_STATE: it was ready a moment ago */
    CHANGED_USED = 1 << 14,        /* the present generation has signed for the first time */
} IdentityChange;

/* Notes changes; the duties and the bus hear of them at the end of this turn of the loop, never from inside this call.
 */
void identity_note(Identity *identity, unsigned changes);

/* Whether another try at reading a file may do better, without anybody mending it. */
bool error_may_pass(int r);
