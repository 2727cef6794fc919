/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CRLs and OCSP answers as a CA signs them, with each of their fields in the test's hand. Times are in seconds from now
 * by the test's clock. */
#pragma once

#include "common/bytes.h"
#include "fakes/fake-pki.h"
#include "pki/revocation.h"

typedef struct CrlSpec {
    const FakeCa *ca;
    const Certificate *listed; /* NULL: nobody */
    bool hold;                 /* as the reason why it is listed */
    long revoked;              /* when it was */
    long made, next;           /* thisUpdate and nextUpdate */
    bool is_endless;           /* no nextUpdate */
    uint8_t number;
    size_t padding; /* bytes of an entry about nobody */
} CrlSpec;
/* DER; the caller clears. */
Bytes make_crl(const CrlSpec *spec);
#define CRL(...) make_crl(&(CrlSpec) { __VA_ARGS__ })

typedef struct OcspSpec {
    const FakeCa *ca;     /* who issued `about`, and signs */
    const FakeCa *signer; /* who signs instead */
    const Certificate *about;
    RevocationVerdict verdict;
    long made, next;
    bool is_endless;
} OcspSpec;
Bytes make_ocsp(const OcspSpec *spec);
#define OCSP(...) make_ocsp(&(OcspSpec) { __VA_ARGS__ })
