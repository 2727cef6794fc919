/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One X.509 certificate: parsed once, bounded, with the fields that others ask for; and lists of them. It never
 * changes, so whoever wants one of his own takes a reference, in any thread. GnuTLS's object is not kept: it takes ten
 * times the memory of the certificate. Files: certificate.c, certificate-urls.c, certificate-list.c (lists and PEM),
 * pkcs7.c. */
#pragma once

#include "common/bytes.h"
#include "common/failure.h"

#include <gnutls/abstract.h>
#include <gnutls/x509.h>
#include <stdatomic.h>
#include <time.h>

#define CERTIFICATE_MAX            (32U * 1024U) /* DER bytes of one certificate */
#define CERTIFICATE_EXTENSIONS_MAX 64U
#define CERTIFICATE_URLS_MAX       8U    /* of a kind in one certificate; what comes after is left out */
#define CERTIFICATE_URL_LENGTH_MAX 1024U /* bytes; longer ones are left out */
#define CHAIN_MAX                  10U   /* certificates of one chain */
#define BUNDLE_MAX                 512U  /* certificates of a set of anchors or of /cacerts */
#define BUNDLE_BYTES_MAX           (2U * 1024U * 1024U)

/* Views are into the certificate's DER. */
typedef struct CertificateExtension {
    BytesView oid; /* content of the OBJECT IDENTIFIER */
    BytesView value;
    bool critical;
} CertificateExtension;

typedef struct Certificate {
    atomic_uint references;
    Bytes der;
    BytesView spki;        /* DER SubjectPublicKeyInfo, as it stands in the certificate: into `der` */
    BytesView subject_raw; /* DER Name, into `der` */
    BytesView issuer_raw;
    Bytes subject_form; /* the same bytes for names that are the same by RFC 5280 §7.1: name_form */
    Bytes issuer_form;
    char *subject; /* RFC 4514; "" for an empty Name, "#" and the DER in hex for one that has no such form */
    char *issuer;
    char *serial;       /* lower-case hex without leading zero bytes */
    int64_t not_before; /* seconds since the epoch; 99991231235959Z is 253402300799 */
    int64_t not_after;
    bool self_issued;                    /* subject and issuer are the same name, non-empty */
    unsigned version;                    /* 1 to 3 */
    gnutls_sign_algorithm_t algorithm;   /* of its signature; GNUTLS_SIGN_UNKNOWN */
    gnutls_pk_algorithm_t key_algorithm; /* of its key; GNUTLS_PK_UNKNOWN */
    unsigned key_bits;
    size_t exponent_size; /* bytes of an RSA key's public exponent with its sign; 0: another key, or unreadable */
    BytesView signed_part, signature, serial_bytes; /* into `der`; the serial as the INTEGER has it */
    CertificateExtension *extensions;
    size_t extension_count;
    /* ---- of extensions ---- */
    bool has_basic_constraints;
    bool is_ca;      /* basicConstraints say so */
    int path_length; /* -1: no limit */
    bool has_key_usage;
    unsigned key_usage;                                 /* GNUTLS_KEY_…; every bit where there is no such extension */
    BytesView key_identifier, authority_key_identifier; /* empty: none */
} Certificate;

/* -EBADMSG with kind CERTIFICATE_REJECTED and why (not strict DER, trailing bytes, no expiry, too large, an extension
 * twice, one that verification rests on and that cannot be read). */
int certificate_from_der(BytesView der, Certificate **ret, Failure *ret_failure);
/* Gives a reference back; takes NULL, returns NULL. */
Certificate *certificate_free(Certificate *certificate);
DEFINE_CLEANUP(Certificate, certificate_free)
#define _cleanup_certificate_ _cleanup_(certificate_free_p)
/* One more reference; whether there is more than one. */
Certificate *certificate_ref(const Certificate *certificate);
bool certificate_is_shared(const Certificate *certificate);

bool certificate_equal(const Certificate *a, const Certificate *b);
/* Whether `issuer` may have issued it, by the name and, where both have one, the key identifier. That says nothing of
 * the signature. */
bool certificate_names_issuer(const Certificate *certificate, const Certificate *issuer);
/* Signed by its own key. */
bool certificate_is_self_signed(const Certificate *certificate);
/* SHA-256 of the DER. */
int certificate_fingerprint(const Certificate *certificate, uint8_t ret[static 32]);
/* Its public key; the caller frees. -EBADMSG: of a kind that GnuTLS does not know; -ENOMEM. */
int certificate_pubkey(const Certificate *certificate, gnutls_pubkey_t *ret);
/* An extension by dotted OID, borrowed; NULL: it has none. */
const CertificateExtension *certificate_extension(const Certificate *certificate, const char *oid);
/* Whether the certificate's own extended key usage allows what an OID names, by that or by anyExtendedKeyUsage, or
 * because there is no such extension (an empty one allows nothing); whether it names it. */
bool certificate_allows_purpose(const Certificate *certificate, const char *oid);
bool certificate_names_purpose(const Certificate *certificate, const char *oid);
/* http and https URLs of CRL distribution points and of AIA OCSP: NULL-terminated, owned; other schemes are left out,
 * and so is what is too long or has white space or control characters. */
int certificate_crl_urls(const Certificate *certificate, char ***ret);
int certificate_ocsp_urls(const Certificate *certificate, char ***ret);
/* Frees such an array. Takes NULL, returns NULL. */
char **certificate_urls_free(char **urls);

/* For sentences: `CN=device (serial 0a1b)`, at most CERTIFICATE_DESCRIPTION_MAX bytes with the NUL. Returns
 * `buffer`. */
#define CERTIFICATE_DESCRIPTION_MAX 256U
const char *certificate_describe(const Certificate *certificate, char buffer[static CERTIFICATE_DESCRIPTION_MAX]);
/* For sentences: `2025-01-31 12:00:00 UTC`. Returns `buffer`. */
#define CERTIFICATE_TIME_MAX 40U
const char *certificate_time(int64_t when, char buffer[static CERTIFICATE_TIME_MAX]);

/* A list of certificates; owns them. */
typedef struct CertificateList {
    Certificate **list;
    size_t count;
} CertificateList;

int certificate_list_add(CertificateList *list, Certificate *certificate); /* takes it, also on failure */
int certificate_list_add_ref(CertificateList *list, const Certificate *certificate);
bool certificate_list_contains(const CertificateList *list, const Certificate *certificate);
/* `time`, or the latest NotBefore of the list where that is later. With a clock that is behind, the real time is not
 * before it: the certificates have begun, or nobody would show them. Whether they had all begun before one of them
 * ended is for the verification to find out. */
int64_t certificate_list_begun(const CertificateList *list, int64_t time);
void certificate_list_clear(CertificateList *list);
/* What a peer shows, DER and the leaf first. The leaf must be readable; what else cannot be read is left out, since
 * none of it is trusted for being there. -EBADMSG with what is wrong with the leaf; -ENOMEM. `ret` is overwritten. */
int certificate_list_from_peer(const gnutls_datum_t *der, size_t count, CertificateList *ret, Failure *ret_failure);
#define _cleanup_certificates_ _cleanup_(certificate_list_clear)

/* PEM: every block must be a CERTIFICATE, text between blocks is skipped; at least one, at most `maximum`, at most
 * BUNDLE_BYTES_MAX. A fault names the block's number and line. -EBADMSG, CERTIFICATE_REJECTED. `ret` is overwritten. */
int certificate_list_from_pem(BytesView pem, size_t maximum, CertificateList *ret, Failure *ret_failure);
int certificate_list_to_pem(const CertificateList *list, Bytes *ret);

/* What was left out of a bundle, since it cannot be read. */
typedef struct LeftOut {
    size_t count;
    Failure first; /* why the first of them was */
} LeftOut;

void left_out_add(LeftOut *left_out, const Failure *why);

/* The same for bundles that others keep, as Anchors= names them: what is no certificate that can be read is left out
 * and told of, since it makes the others no worse. Nothing left is an error. */
int certificate_bundle_from_pem(BytesView pem, CertificateList *ret, LeftOut *ret_left_out, Failure *ret_failure);
/* PKCS#7 SignedData, certs-only: no content, no signers (RFC 7030 §4.1.3, §4.2.3); DER, or BER as far as GnuTLS reads
 * it; at least one certificate, at most `maximum`, at most BUNDLE_BYTES_MAX; CRLs in it are passed over, and left out
 * is as above. -EBADMSG, CERTIFICATE_REJECTED. `ret` is overwritten. */
int certificate_bundle_from_pkcs7(BytesView der, size_t maximum, CertificateList *ret, LeftOut *ret_left_out,
                                  Failure *ret_failure);
