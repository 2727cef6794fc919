/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One X.509 certificate: parsed once, bounded, with the fields that others ask for. */
#pragma once

#include "common/bytes.h"
#include "common/failure.h"

#include <gnutls/x509.h>
#include <time.h>

#define CERTIFICATE_MAX (32U * 1024U) /* DER bytes of one certificate */
#define CHAIN_MAX       10U           /* certificates of one chain */
#define BUNDLE_MAX      512U          /* certificates of a set of anchors or of /cacerts */
#define BUNDLE_BYTES_MAX (2U * 1024U * 1024U)

typedef struct Certificate {
    gnutls_x509_crt_t crt;
    Bytes der;
    Bytes spki;          /* DER SubjectPublicKeyInfo */
    Bytes subject_raw;   /* DER Name */
    Bytes issuer_raw;
    char *subject;       /* RFC 4514 */
    char *issuer;
    char *serial;        /* lower-case hex */
    int64_t not_before;  /* seconds since the epoch */
    int64_t not_after;
    bool is_ca;
    bool self_issued;    /* subject equals issuer, byte for byte, non-empty */
} Certificate;

/* -EBADMSG with kind CERTIFICATE_REJECTED and why (not DER, trailing bytes, no expiry, too large). */
int certificate_from_der(BytesView der, Certificate **ret, Failure *ret_failure);
Certificate *certificate_free(Certificate *certificate);
DEFINE_CLEANUP(Certificate, certificate_free)
#define _cleanup_certificate_ _cleanup_(certificate_free_p)
int certificate_copy(const Certificate *certificate, Certificate **ret);

bool certificate_equal(const Certificate *a, const Certificate *b);
/* Signed by its own key. */
bool certificate_is_self_signed(const Certificate *certificate);
/* SHA-256 of the DER. */
int certificate_fingerprint(const Certificate *certificate, uint8_t ret[static 32]);
/* The value of an extension by OID, or an empty view (ret_critical false). `ret` is owned by the caller. 0, -ENOENT. */
int certificate_extension(const Certificate *certificate, const char *oid, Bytes *ret, bool *ret_critical);
/* http and https URLs of CRL distribution points and of AIA OCSP: NULL-terminated, owned; other schemes are left out. */
int certificate_crl_urls(const Certificate *certificate, char ***ret);
int certificate_ocsp_urls(const Certificate *certificate, char ***ret);

/* A list of certificates; owns them. */
typedef struct CertificateList {
    Certificate **list;
    size_t count;
} CertificateList;

int certificate_list_add(CertificateList *list, Certificate *certificate); /* takes it, also on failure */
int certificate_list_add_copy(CertificateList *list, const Certificate *certificate);
bool certificate_list_contains(const CertificateList *list, const Certificate *certificate);
void certificate_list_clear(CertificateList *list);
#define _cleanup_certificates_ _cleanup_(certificate_list_clear)

/* PEM: every block must be a CERTIFICATE, text between blocks is skipped; at least one, at most `maximum`. A fault names the
 * block's number and line. */
int certificate_list_from_pem(BytesView pem, size_t maximum, CertificateList *ret, Failure *ret_failure);
int certificate_list_to_pem(const CertificateList *list, Bytes *ret);
/* DER PKCS#7 SignedData, certs-only: no content, no signers (RFC 7030 §4.1.3, §4.2.3); BER is accepted as far as GnuTLS
 * does. In pkcs7.c. */
int certificate_list_from_pkcs7(BytesView der, size_t maximum, CertificateList *ret, Failure *ret_failure);
