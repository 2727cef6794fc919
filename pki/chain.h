/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Chains: built from a leaf, candidates in any order and anchors; verified at a given time, with reasons that a
 * person understands (RFC 5280 §6). Bounded in length and in work. */
#pragma once

#include "common/failure.h"
#include "pki/certificate.h"

#include <gnutls/abstract.h>

/* Builds leaf, issuers…, without the anchor, and verifies it to one of `anchors` at `now` (seconds). Only certificates
 * in `anchors` are trusted; candidates that are not needed are left out. Of several paths a valid one wins, else the
 * reason of the best is told: which certificate (subject, serial), what is wrong (expired at…, not yet valid until…,
 * signature, not a CA, path length, no issuer found among…, weak algorithm). `ret_anchor` (may be NULL): which anchor,
 * borrowed from `anchors`. -EKEYREJECTED with kind CERTIFICATE_REJECTED. */
int chain_build(const Certificate *leaf, const CertificateList *candidates, const CertificateList *anchors, int64_t now,
                CertificateList *ret_chain, const Certificate **ret_anchor, Failure *ret_failure);
/* The same for what peers verify for each of `purposes` (OIDs of extended key usages, NULL-terminated): an intermediate
 * that has an extended key usage must allow them, by name or by anyExtendedKeyUsage. The leaf's own is not looked at,
 * see certificate_allows_purpose. */
int chain_build_for(const Certificate *leaf, const CertificateList *candidates, const CertificateList *anchors,
                    int64_t now, const char *const *purposes, CertificateList *ret_chain, Failure *ret_failure);

/* The certificate whose NotAfter comes first, and with it the chain's end for whoever verifies it: an issuer may end
 * before what it issued. Of several that end together the one nearest to the leaf. NULL for an empty chain. */
const Certificate *chain_first_to_end(const CertificateList *chain);

/* What an issued certificate must be beside verifiable. */
typedef struct IssuedExpectation {
    BytesView spki; /* the pending key's */
    /* renewal: Subject and SAN are its own; or NULL */
    const Certificate *previous;
    BytesView request;      /* the PKCS#10 DER that was sent: Subject and SAN must be its own; empty: not checked */
    bool names_are_the_cas; /* Names=ca: neither is compared */
} IssuedExpectation;

/* Subjects are compared by RFC 5280 §7.1, subject alternative names as sets (general-names.h). One sentence for what
 * does not match, with both names. -EKEYREJECTED, CERTIFICATE_REJECTED. Also refused: a CA certificate as a leaf,
 * a keyUsage without digitalSignature, a lifetime under 10 s or with NotAfter before NotBefore. */
int issued_check(const Certificate *leaf, const IssuedExpectation *expectation, Failure *ret_failure);

/* The leaf among certificates as they came: the one whose public key is `spki`; NULL if none. */
const Certificate *certificate_list_find_spki(const CertificateList *list, BytesView spki);

/* ---- root rollover (docs/facts.md, "EST"), in trust.c ---- */

/* The anchors after an authenticated /cacerts answer: `present` plus every self-signed CA in `answer` that a NewWithOld
 * by a self-signed present anchor vouches for, minus present ones that the answer omits, where a present one that the
 * answer has authenticated it (`authenticated_by`, may be NULL: nothing leaves) and `own_chain` (may be NULL or empty)
 * verifies without them. `ret_changed`: whether the result differs from `present`. Fails only for want of memory. */
int trust_rollover(const CertificateList *present, const CertificateList *answer, const Certificate *authenticated_by,
                   const CertificateList *own_chain, int64_t now, CertificateList *ret_anchors, bool *ret_changed,
                   Failure *ret_failure);

/* The one anchor of a fingerprint bootstrap: the self-signed certificate in `answer` whose SHA-256 is `fingerprint`.
 * What else is in the answer is trusted for nothing, so it may be what it likes: former CAs, other roots. `ret_anchor`
 * is owned by the caller. -EKEYREJECTED. */
int trust_bootstrap(const CertificateList *answer, const uint8_t fingerprint[static 32], int64_t now,
                    Certificate **ret_anchor, Failure *ret_failure);

/* A gnutls_privkey_t whose signatures are made by `sign`: manager's join of tpm and pki, the enroller's of its job. In
 * external-key.c. `scheme_id` is an IANA SignatureScheme that fits the key, `digest` has its length; the result is
 * encoded as X.509 has it, at most SIGNATURE_MAX bytes (room for that is given). The key borrows `userdata`. Only keys
 * of KeyAlgorithm: -ENOTSUP else, -EBADMSG for what is no SubjectPublicKeyInfo. What GnuTLS asks for beyond those
 * schemes it does not get, and `sign` is not called for it; what `sign` fails with, it keeps itself. */
typedef int (*ExternalSign)(uint16_t scheme_id, BytesView digest, uint8_t *ret_signature, size_t *ret_size,
                            void *userdata);
int external_key_new(BytesView spki, ExternalSign sign, void *userdata, gnutls_privkey_t *ret);
