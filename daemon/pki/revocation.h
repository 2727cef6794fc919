/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CRLs and OCSP answers, verified as FACTS demands. Pure: bytes, certificates and a time in, verdicts out. */
#pragma once

#include "pki/certificate.h"

#define CRL_MAX  (8U * 1024U * 1024U)
#define OCSP_MAX (64U * 1024U)

typedef enum RevocationVerdict {
    REVOCATION_GOOD,     /* a current statement covers the certificate and does not list it */
    REVOCATION_REVOKED,
    REVOCATION_HOLD,     /* certificateHold: blocks, ends when a newer statement omits it */
    REVOCATION_UNKNOWN,  /* nothing current covers it: not a revocation */
} RevocationVerdict;

const char *revocation_verdict_to_string(RevocationVerdict verdict);

typedef struct Crl {
    gnutls_x509_crl_t crl;
    Bytes der;
    Bytes issuer_raw;
    int64_t this_update, next_update; /* next_update 0: none given */
    Bytes number;                     /* CRL number, big-endian without leading zeros; empty: none */
} Crl;

/* Parses DER or one PEM block. Refuses (-EBADMSG, CERTIFICATE_REJECTED, reason) delta CRLs, indirect ones, attribute-only
 * ones, unknown critical extensions. */
int crl_parse(BytesView data, Crl **ret, Failure *ret_failure);
Crl *crl_free(Crl *crl);
DEFINE_CLEANUP(Crl, crl_free)

/* Whether `crl` speaks for `certificate` with `issuer`'s key: same issuer name, signature by the issuer's key alone, keyUsage
 * cRLSign, issuingDistributionPoint absent or naming a distribution point of the certificate (and the right user/CA half),
 * thisUpdate not in the future. -EKEYREJECTED with the reason. */
int crl_check(const Crl *crl, const Certificate *certificate, const Certificate *issuer, int64_t now, Failure *ret_failure);

/* Whether `fresh` may replace `old` (may be NULL): CRL number and thisUpdate never go back. -ESTALE. */
int crl_supersedes(const Crl *fresh, const Crl *old, Failure *ret_failure);

/* The verdict of a checked CRL. Past nextUpdate entries still count, absence is UNKNOWN. `ret_when` (may be NULL): revocation time. */
RevocationVerdict crl_verdict(const Crl *crl, const Certificate *certificate, int64_t now, int64_t *ret_when);

/* OCSP: request for one certificate (SHA-1 CertID, no nonce), DER. */
int ocsp_request(const Certificate *certificate, const Certificate *issuer, Bytes *ret_der);
/* Verdict of a DER OCSPResponse. The signer must be the certificate's issuer, or a responder that this issuer itself
 * certified with id-kp-OCSPSigning; both return code and flags are looked at; thisUpdate and nextUpdate bound it.
 * -EKEYREJECTED or -EBADMSG with the reason: the answer counts for nothing. */
int ocsp_check(BytesView response, const Certificate *certificate, const Certificate *issuer, int64_t now, RevocationVerdict *ret,
               int64_t *ret_this_update, int64_t *ret_next_update, Failure *ret_failure);
