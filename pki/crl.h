/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The insides of CRLs. Internal to pki/. */
#pragma once

#include "pki/asn1.h"
#include "pki/revocation.h"

#define CRL_REASON_HOLD   6 /* CRLReason, RFC 5280 §5.3.1 */
#define CRL_REASON_REMOVE 8 /* removeFromCRL, in deltas */

typedef struct CrlEntry {
    BytesView serial; /* content of the INTEGER */
    BytesView issuer; /* GeneralNames of certificateIssuer; empty: none, so that of the entry before counts */
    DerItem date;     /* Time */
    int reason;       /* 0: none given */
} CrlEntry;

/* Takes the next entry off `entries`: 1, 0 at the end, -EBADMSG, -EKEYREJECTED with a reason (static). */
int crl_next_entry(const Crl *crl, BytesView *entries, CrlEntry *ret, const char **ret_reason);

/* ReasonFlags, content of the BIT STRING, as CRL_REASONS_ALL has them. */
unsigned crl_reasons(BytesView bits);

/* The reasons for which the CRL speaks for the certificate (RFC 5280 §6.3.3 (b) and (d)), by issuer, distribution
 * points and kind of certificate; 0: it is not about it, with `ret_reason` (static). Signatures and times are not
 * looked at. */
unsigned crl_scope(const Crl *crl, const Certificate *certificate, const char **ret_reason);

/* The entry about the certificate: 1, 0 if there is none. `ret_when`: 0 where it cannot be read. */
int crl_find(const Crl *crl, const Certificate *certificate, int *ret_reason, int64_t *ret_when);

/* Whether crl_is_signed_by is known to say so, and so costs nothing. */
bool crl_signer_is_known(const Crl *crl, const Certificate *issuer);
/* Whether the key of `issuer` made the signature. What was found good once is remembered, for one key. Thread-safe. */
bool crl_is_signed_by(const Crl *crl, const Certificate *issuer);

/* Whether `delta` tells changes since `base` (RFC 5280 §5.2.4). */
bool crl_is_delta_of(const Crl *delta, const Crl *base);
