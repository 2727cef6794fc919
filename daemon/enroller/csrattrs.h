/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the CA wants in a request: the answer to /csrattrs (RFC 7030 §4.5, RFC 8951 §3.5, RFC 9908). Where a template is
 * there, only the template counts (RFC 9908 §3.4); what is unknown is ignored, as the RFCs demand; what asks for
 * another Subject or SAN than the identity's is found by comparing with the request, since those are never the CA's to
 * choose. */
#pragma once

#include "common/bytes.h"
#include "common/failure.h"
#include "common/scheme.h"

#include <stdbool.h>

#define CSRATTRS_MAX       16384U /* bytes of DER */
#define CSRATTRS_ITEMS_MAX 128U   /* of each list in it; the rest is ignored */
#define CSRATTRS_OID_MAX   128U   /* characters */
#define CSRATTRS_EKU_MAX   16U

typedef struct NameDemand {
    char oid[CSRATTRS_OID_MAX];
    Bytes value; /* DER of the value; empty: any value will do */
} NameDemand;

typedef struct CsrAttributes {
    int key_type;                /* KeyAlgorithm, or -1: nothing asked for, or nothing that we know */
    char *eku[CSRATTRS_EKU_MAX]; /* OIDs */
    size_t eku_count;
    NameDemand *subject; /* what the Subject must hold */
    size_t subject_count;
    bool wants_alternative_names;
    bool wants_challenge_password; /* proof of possession, tied to the TLS session (RFC 7030 §3.5) */
    Bytes alternative_names;       /* DER GeneralNames that the SAN must hold; empty names in it: of that kind, any */
} CsrAttributes;

/* Reads the first whole SEQUENCE; what stands behind it is ignored. 0; -EBADMSG, kind ENROLLMENT_FAILED: not a
 * CsrAttrs; -ENOMEM. An empty sequence asks for nothing. */
int csr_attributes_parse(BytesView der, CsrAttributes **ret, Failure *ret_failure);
CsrAttributes *csr_attributes_free(CsrAttributes *attributes);
DEFINE_CLEANUP(CsrAttributes, csr_attributes_free)

/* Whether `request` (PKCS#10 DER) has the Subject and SAN that are asked for. -EKEYREJECTED, kind ENROLLMENT_FAILED:
 * which is missing; -EBADMSG: no PKCS#10. */
int csr_attributes_check_request(const CsrAttributes *attributes, BytesView request, Failure *ret_failure);
