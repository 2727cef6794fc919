/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CRLs and OCSP answers, verified as docs/facts.md, "Revocation" demands. Pure: bytes, certificates and a time in,
 * verdicts out. Files: crl.c, ocsp.c. */
#pragma once

#include "pki/certificate.h"

#include <stdatomic.h>

#define CRL_MAX  (8U * 1024U * 1024U)
#define OCSP_MAX (64U * 1024U)
/* How far ahead of ours a CA's clock may be, seconds. */
#define REVOCATION_SKEW 300
/* How long an OCSP answer without nextUpdate counts, seconds. */
#define OCSP_AGE_MAX (24 * 60 * 60)

typedef enum RevocationVerdict {
    REVOCATION_GOOD, /* a current statement covers the certificate and does not list it */
    REVOCATION_REVOKED,
    REVOCATION_HOLD,    /* certificateHold: blocks, ends when a newer statement omits it */
    REVOCATION_UNKNOWN, /* nothing current covers it: not a revocation */
} RevocationVerdict;

/* The entries are not made into objects (GnuTLS takes 190 MB for 8): they are walked through where they stand. */
typedef struct Crl {
    Bytes der;
    Bytes issuer_raw, issuer_form;    /* as a Certificate's */
    int64_t this_update, next_update; /* next_update 0: none given */
    Bytes number;                     /* CRL number, big-endian without leading zeros; empty: none */
    Bytes base_number;                /* of a delta CRL; empty: it is none */
    size_t entry_count;
    /* for crl.c */
    BytesView signed_part, entries; /* within `der` */
    Bytes signature;
    int algorithm;            /* gnutls_sign_algorithm_t */
    Bytes distribution_point; /* value of issuingDistributionPoint; empty: none */
    bool is_numbered;         /* as RFC 5280 §5.2.3 has it; a list of version 1 need not be */
    bool only_users, only_cas, only_attributes, is_indirect;
    unsigned reasons; /* that it is about: CRL_REASONS_ALL, or some of them */
    /* The key that a signature was found good for, so that it is looked at once: see crl_is_signed_by. */
    atomic_int known_signer_state;
    uint8_t known_signer[32];
} Crl;

/* Bits of ReasonFlags that a certificate can be revoked for (RFC 5280 §4.2.1.13). */
#define CRL_REASONS_ALL 0x1feU

/* Parses DER or one PEM block, at most CRL_MAX bytes. Refuses (-EBADMSG, CERTIFICATE_REJECTED, reason) delta CRLs,
 * indirect ones, attribute-only ones, those for some reasons only, unknown critical extensions of the list or of an
 * entry. */
int crl_parse(BytesView data, Crl **ret, Failure *ret_failure);
/* The same, but takes deltas, indirect ones and those for some reasons as well: verify.h knows what to make of them. */
int crl_parse_any(BytesView data, Crl **ret, Failure *ret_failure);
/* Several, owned. */
typedef struct CrlSet {
    Crl **list;
    size_t count;
} CrlSet;

/* Of any kind, one PEM block after another, at most CRL_SET_MAX; text between blocks is skipped. What cannot be read is
 * left out and told of. Empty text is an empty set. `ret` is overwritten. -ENOMEM, -E2BIG. */
#define CRL_SET_MAX 1024U
int crl_set_from_pem(BytesView pem, CrlSet *ret, LeftOut *ret_left_out, Failure *ret_failure);
void crl_set_clear(CrlSet *set);

Crl *crl_free(Crl *crl);
DEFINE_CLEANUP(Crl, crl_free)

/* Whether `crl` speaks for `certificate` with `issuer`'s key: same issuer name, signature by the issuer's key alone and
 * with no weak algorithm, keyUsage cRLSign, issuingDistributionPoint absent or naming a distribution point of the
 * certificate (and the right user/CA half), thisUpdate not in the future (beyond REVOCATION_SKEW). -EKEYREJECTED with
 * the reason. */
int crl_check(const Crl *crl, const Certificate *certificate, const Certificate *issuer, int64_t now,
              Failure *ret_failure);

/* The same without a certificate: whether `issuer` has made it, and before now. Whom it speaks for is for whoever has a
 * certificate to find out. */
int crl_check_signer(const Crl *crl, const Certificate *issuer, int64_t now, Failure *ret_failure);

/* Whether `fresh` may replace `old` (may be NULL): thisUpdate never goes back, nor does the CRL number within one scope
 * (issuingDistributionPoint); the issuer is the same. -ESTALE with the reason. */
int crl_supersedes(const Crl *fresh, const Crl *old, Failure *ret_failure);

/* The verdict of a checked CRL. Past nextUpdate (and without any) entries still count, absence is UNKNOWN. `ret_when`
 * (may be NULL): revocation time, 0 unless it is listed. */
RevocationVerdict crl_verdict(const Crl *crl, const Certificate *certificate, int64_t now, int64_t *ret_when);

/* OCSP: request for one certificate (SHA-1 CertID, no nonce), DER. -EIO, -ENOMEM. */
int ocsp_request(const Certificate *certificate, const Certificate *issuer, Bytes *ret_der);
/* When an answer says that it was made (thisUpdate; -1: not readable): not verified, so only to choose the time to
 * verify it at. -EKEYREJECTED or -EBADMSG as below. */
int ocsp_made(BytesView response, const Certificate *certificate, const Certificate *issuer, int64_t *ret_this_update,
              Failure *ret_failure);
/* Verdict of a DER OCSPResponse. It must be about this certificate of this issuer, by name and key. The signer must be
 * the certificate's issuer, or a responder that this issuer's key itself certified with id-kp-OCSPSigning and that is
 * valid now; thisUpdate and nextUpdate bound it (OCSP_AGE_MAX without nextUpdate, whose result is then 0). The results
 * may be NULL, but the verdict. -EKEYREJECTED or -EBADMSG with the reason: the answer counts for nothing. */
int ocsp_check(BytesView response, const Certificate *certificate, const Certificate *issuer, int64_t now,
               RevocationVerdict *ret, int64_t *ret_this_update, int64_t *ret_next_update, Failure *ret_failure);
