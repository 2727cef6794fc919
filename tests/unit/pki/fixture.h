/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Certificates, CRLs and keys made to order with GnuTLS, good ones and bad ones, at a time that stands still. */
#pragma once

#include "pki/certificate.h"

#include <gnutls/abstract.h>
#include <gnutls/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define NOW ((int64_t) 1750000000) /* 2025-06-15 */
#define DAY ((int64_t) 86400)

typedef struct Entity {
    Certificate *certificate;
    gnutls_x509_crt_t crt; /* the same, as GnuTLS has it */
    gnutls_x509_privkey_t key;
} Entity;

typedef struct Extension {
    const char *oid;
    const void *data;
    size_t size;
    bool critical;
} Extension;

typedef struct Spec {
    const char *subject;       /* RFC 4514 */
    const Entity *issuer;      /* NULL: self-signed */
    gnutls_x509_privkey_t key; /* NULL: a new P-256 key */
    gnutls_pk_algorithm_t pk;  /* of the new key; 0: ECDSA */
    unsigned bits;
    bool ca, no_key_usage, no_key_ids, no_basic_constraints;
    int path_length; /* with `limited` */
    bool limited;
    unsigned usage;                   /* 0: what fits */
    int64_t not_before, not_after;    /* 0: NOW ± 100 days */
    unsigned serial;                  /* 0: the next one */
    gnutls_digest_algorithm_t digest; /* 0: SHA-256 */
    const char *dns, *uri, *crl_url, *ocsp_url, *eku;
    const char *permitted_dns; /* name constraint */
    Extension extensions[4];
} Spec;

gnutls_x509_privkey_t make_key(gnutls_pk_algorithm_t pk, unsigned bits);
/* Owns a copy of the key. */
Entity make_entity(const Spec *spec);
void entity_clear(Entity *entity);
#define _cleanup_entity_ _cleanup_(entity_clear)
#define ENTITY(...)      make_entity(&(Spec) { __VA_ARGS__ })

/* What GnuTLS makes of a certificate; the caller frees. */
gnutls_x509_crt_t crt_of(const Certificate *certificate);

/* A list of them. */
CertificateList make_list(size_t count, ...); /* const Certificate * */
#define LIST(...) make_list(sizeof((const void *[]) { __VA_ARGS__ }) / sizeof(void *), __VA_ARGS__)

/* Runs a command line; its standard output and error, NUL-terminated, the caller frees; fails the test if it fails,
 * unless `ret_status` is given. */
char *run(int *ret_status, const char *format, ...) _printf_(2, 3);

/* A directory of the test's own, removed with all that is in it. */
char *make_directory(void);
void remove_directory(char **path);
#define _cleanup_directory_ _cleanup_(remove_directory)
void write_file(const char *directory, const char *name, BytesView data);
void write_pem(const char *directory, const char *name, const CertificateList *list);
void write_key(const char *directory, const char *name, gnutls_x509_privkey_t key);
Bytes read_test_file(const char *directory, const char *name);

#define assert_failure(r, errno_value, failure, needle)                                                                \
    do {                                                                                                               \
        assert_int_equal((r), -(errno_value));                                                                         \
        if (!strstr((failure).text, (needle)))                                                                         \
            fail_msg("expected '%s' in: %s", (needle), (failure).text);                                                \
    } while (0)
#define assert_ok(r, failure)                                                                                          \
    do {                                                                                                               \
        int _r = (r);                                                                                                  \
        if (_r < 0)                                                                                                    \
            fail_msg("%d: %s", _r, (failure).text);                                                                    \
    } while (0)
