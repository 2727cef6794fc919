/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Throw-away certificates with software keys for tests of what uses certificates. Everything asserts: a test cannot go
 * on without them. */
#pragma once

#include "common/macros.h"

#include <gnutls/abstract.h>
#include <gnutls/x509.h>
#include <stdbool.h>

typedef struct FakeCa {
    gnutls_x509_crt_t certificate;
    gnutls_privkey_t key;
    char *pem; /* of the certificate */
} FakeCa;

/* `issuer` NULL: a root. */
FakeCa *fake_ca_new(const char *common_name, const FakeCa *issuer);
/* The same, and its certificate says where one asks whether it is revoked; either may be NULL. */
FakeCa *fake_ca_new_with_urls(const char *common_name, const FakeCa *issuer, const char *crl, const char *ocsp);
/* The same with dates of the caller's, in seconds from now. */
FakeCa *fake_ca_new_dated(const char *common_name, const FakeCa *issuer, long starts, long ends);
/* The same with that extended key usage, an OID, and no other. */
FakeCa *fake_ca_new_for(const char *common_name, const FakeCa *issuer, const char *purpose);
FakeCa *fake_ca_free(FakeCa *ca);
DEFINE_CLEANUP(FakeCa, fake_ca_free)
/* The key and name of `ca` certified by `issuer`, as PEM: NewWithOld of a rollover where both have one name. Freed with
 * free(). */
char *fake_ca_cross(const FakeCa *ca, const FakeCa *issuer);

typedef enum FakeKeyType {
    FAKE_KEY_P256,
    FAKE_KEY_P384,
    FAKE_KEY_RSA,
} FakeKeyType;

gnutls_privkey_t fake_key_new(FakeKeyType type);
/* DER SubjectPublicKeyInfo; freed with gnutls_free(). */
gnutls_datum_t fake_key_spki(gnutls_privkey_t key);
/* PKCS#8 PEM; freed by the caller with free(). */
char *fake_key_pem(gnutls_privkey_t key);

typedef struct FakeRequest {
    const char *common_name;
    const char *dns;     /* SAN, or NULL */
    const char *uri;     /* SAN beside it, or NULL */
    bool server, client; /* extended key usage; neither: none */
    unsigned serial;
    long starts, ends; /* seconds from now; both 0: an hour ago and in an hour */
} FakeRequest;

/* One certificate as PEM; freed with free(). */
char *fake_ca_issue(const FakeCa *ca, gnutls_privkey_t key, const FakeRequest *request);

/* What a CA makes of a certification request. A zeroed one: what was asked for, from an hour ago until in an hour. */
typedef struct FakeIssue {
    long starts, ends;             /* seconds from now; both 0: an hour ago and in an hour */
    unsigned serial;               /* 0: one that none had before */
    const char *common_name;       /* a further CN in the subject */
    const char *dns;               /* instead of the SAN that was asked for */
    bool reversed_names;           /* the SAN in another order */
    bool other_key;                /* for a key that nobody asked about */
    bool no_usage, client, server; /* instead of the extended key usages that were asked for */
    const char *crl[2], *ocsp;     /* URLs at which to ask whether it is revoked; NULL: none */
} FakeIssue;
/* `request`: PKCS#10 DER. One certificate as PEM; freed with free(). */
char *fake_ca_certify(const FakeCa *ca, gnutls_datum_t request, const FakeIssue *issue);

/* PKCS#7, certs-only, of all certificates of a PEM text, as DER; freed with gnutls_free(). */
gnutls_datum_t fake_pkcs7(const char *pem);

/* A CRL with the given serial numbers, 0-terminated, as PEM; `ends` in seconds from now. Freed with free(). */
char *fake_ca_crl(const FakeCa *ca, const unsigned *serials, long ends);

char *fake_concat(const char *a, const char *b); /* freed with free() */

/* First certificate of a PEM text as DER; freed with gnutls_free(). */
gnutls_datum_t fake_pem_to_der(const char *pem);
