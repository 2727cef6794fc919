/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PKCS#10 certification requests (RFC 2986). Names and SANs of a renewal are copied byte for byte. Files: csr.c,
 * csr-names.c. */
#pragma once

#include "common/alternative-name.h"
#include "common/bytes.h"
#include "common/failure.h"
#include "pki/certificate.h"

#include <gnutls/abstract.h>

typedef struct CsrSan {
    SanKind kind;
    const char *value; /* expanded; for hardware modules "OID/SERIAL" (RFC 4108 hardwareModuleName, 802.1AR §8) */
} CsrSan;

#define CSR_SANS_MAX 32U
#define CSR_EKU_MAX  16U
#define CSR_MAX      (16U * 1024U) /* DER bytes of a request */

#define CSR_CHALLENGE_MAX 64U

typedef struct CsrTemplate {
    const char *subject;      /* as common/distinguished-name.h reads it, expanded; "" if there is a SAN. Or … */
    const Certificate *renew; /* … Subject and SAN are copied byte for byte from here */
    const CsrSan *sans;
    size_t san_count;
    bool key_encipherment;  /* RSA server keys of old; else digitalSignature alone */
    const char *const *eku; /* OIDs; NULL or empty: no extension */
    size_t eku_count;
    /* challengePassword (RFC 2985 §5.4.1) in the letters of a PrintableString, at most CSR_CHALLENGE_MAX; NULL: none */
    const char *challenge;
} CsrTemplate;

/* Makes the request and signs it with `key` (an external key whose callbacks may reach a TPM), of which `spki` is the
 * public half. The signature is verified before it is returned. kinds: INVALID_ARGUMENT (a subject or SAN that cannot
 * be encoded: which and why), INTERNAL, or what the key's callback failed with, which it keeps itself. */
int csr_create(const CsrTemplate *template, gnutls_privkey_t key, BytesView spki, Bytes *ret_der, Failure *ret_failure);

/* The SubjectPublicKeyInfo of a request, as it stands in it. -EBADMSG for what is not one whole request in DER. */
int csr_spki(BytesView der, Bytes *ret_spki);
/* The DER Name of its subject, and the value of its subjectAltName extension request (empty if it has none).
 * -EBADMSG. */
int csr_names(BytesView der, Bytes *ret_subject, Bytes *ret_san);

/* Whether it has a challengePassword. False also for what is no request. */
bool csr_has_challenge(BytesView der);
/* Whether a request has the very Subject and SAN that `template` would give it: 1 or 0. -EBADMSG: no request; as
 * csr_create: the template's names cannot be encoded. */
int csr_has_names(BytesView der, const CsrTemplate *template, Failure *ret_failure);

#define EKU_CLIENT_AUTH "1.3.6.1.5.5.7.3.2"
#define EKU_SERVER_AUTH "1.3.6.1.5.5.7.3.1"
