/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A certificate that issues others, with its key, on disk as authorities/NAME.pem and private/NAME.key. */
#pragma once

#include "util.h"

#define AUTHORITY_NAME_MAX 32U

typedef enum CaAlgorithm { CA_ECDSA_P256, CA_ECDSA_P384, CA_RSA_2048, CA_RSA_3072 } CaAlgorithm;

/* "ecdsa-p256" …; -EINVAL for another word. */
int ca_algorithm_from_string(const char *name, CaAlgorithm *ret);

int key_generate(CaAlgorithm algorithm, gnutls_x509_privkey_t *ret);

typedef struct Authority {
    char name[AUTHORITY_NAME_MAX]; /* "root-1", "intermediate-1", "web" */
    gnutls_x509_crt_t certificate;
    gnutls_x509_privkey_t key;
} Authority;

typedef struct AuthorityTemplate {
    const char *name;
    const char *subject; /* RFC 4514 */
    CaAlgorithm algorithm;
    int path_length;         /* -1: no limit */
    const char *crl_url;     /* where the issuer's CRL is; NULL: nowhere */
    const Authority *issuer; /* NULL: self-signed */
} AuthorityTemplate;

/* Makes key and certificate and, with a directory, stores both. Lives twenty years, an intermediate ten. */
int authority_create(const char *directory, const AuthorityTemplate *template, Authority **ret);

/* Reads what authority_create stored. -ENOENT: there is none of this name. */
int authority_load(const char *directory, const char *name, Authority **ret);

/* Another certificate in place of the authority's own: the same but for its serial number and its end, in `lifetime`
 * seconds. */
int authority_renew(const char *directory, Authority *authority, const Authority *issuer, int64_t lifetime);

/* A certificate for `subject`'s name and key, issued by `issuer`: OldWithNew and NewWithOld of RFC 4210 §4.4. */
int authority_cross_certify(const Authority *subject, const Authority *issuer, gnutls_x509_crt_t *ret);

Authority *authority_free(Authority *authority);
DEFINE_CLEANUP(Authority, authority_free)
#define _cleanup_authority_ _cleanup_(authority_free_p)

/* The parts that all certificates here have: version, a random serial number of 16 bytes, dates, subject and authority
 * key identifiers. `issuer` NULL: of the certificate itself. */
int certificate_fill(gnutls_x509_crt_t certificate, const Authority *issuer, time_t not_before, time_t not_after);

/* Signs with the hash that goes with the issuer's key. */
int certificate_sign(gnutls_x509_crt_t certificate, const Authority *issuer);

/* Writes the certificates as one PEM file. */
int certificates_write(const char *directory, const char *name, const gnutls_x509_crt_t *list, size_t count);

/* The same into a file that is opened as it is, /dev/stdout for one. */
int certificates_print(const char *path, const gnutls_x509_crt_t *list, size_t count);
