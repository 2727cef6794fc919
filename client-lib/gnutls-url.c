/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The URL identityd:NAME[?purpose=PURPOSE] for programs that take a GnuTLS URL where they take a file. Each key has a
 * credential of its own, since nobody says when the program is done with it but by freeing the key. */
#include "client-lib/credential.h"
#include "client-lib/entry.h"
#include "client-lib/error.h"
#include "client-lib/gnutls-key.h"
#include "identityd/identityd-gnutls.h"

#include <gnutls/urls.h>
#include <stdio.h>
#include <string.h>

#define URL_SCHEME "identityd:"

typedef struct UrlParts {
    char identity[IDENTITY_NAME_MAX + 1];
    char purpose[16];
} UrlParts;

static int parse_url(const char *url, UrlParts *ret) {
    static const char option[] = "purpose=";
    const char *name = url + strlen(URL_SCHEME);
    const char *query = strchrnul(name, '?');
    const char *purpose = "digest";

    if (strncmp(url, URL_SCHEME, strlen(URL_SCHEME)) != 0 || (size_t) (query - name) > IDENTITY_NAME_MAX)
        return client_error(-EINVAL, "'%.100s' is no URL identityd:NAME", url);
    if (*query) {
        if (strncmp(query + 1, option, strlen(option)) != 0)
            return client_error(-EINVAL, "'%.100s': only ?purpose= may follow the name", url);
        purpose = query + 1 + strlen(option);
    }
    (void) snprintf(ret->identity, sizeof(ret->identity), "%.*s", (int) (query - name), name);
    if (!identity_name_is_valid(ret->identity) || purpose_from_string(purpose) < 0)
        return client_error(-EINVAL, "'%.100s': not a name of an identity, or no purpose", url);
    (void) snprintf(ret->purpose, sizeof(ret->purpose), "%s", purpose);
    return 0;
}

static int open_url(const char *url, identityd_credential **ret, identityd_snapshot **ret_snapshot) {
    _cleanup_(identityd_credential_free_p) identityd_credential *credential = NULL;
    UrlParts parts;

    int r = parse_url(url, &parts);
    if (r >= 0)
        r = identityd_credential_open(parts.identity, parts.purpose, &credential);
    if (r >= 0)
        r = identityd_credential_snapshot(credential, ret_snapshot);
    if (r < 0)
        return gnutls_error_of(r);
    *ret = TAKE_PTR(credential);
    return 0;
}

static int url_import_key(gnutls_privkey_t key, const char *url, unsigned flags) {
    PRESERVE_ERRNO;
    _cleanup_(identityd_credential_free_p) identityd_credential *credential = NULL;
    _cleanup_snapshot_ identityd_snapshot *snapshot = NULL;

    int code = open_url(url, &credential, &snapshot);
    if (code < 0)
        return code;
    code = gnutls_key_import(key,
                             &(GnutlsKey) { .credential = credential, .owns_credential = true, .snapshot = snapshot });
    if (code >= 0)
        (void) TAKE_PTR(credential);
    return code;
}

static int url_chain(const char *url, identityd_snapshot **ret, const SnapshotChain **ret_chain) {
    _cleanup_(identityd_credential_free_p) identityd_credential *credential = NULL;
    _cleanup_snapshot_ identityd_snapshot *snapshot = NULL;

    int code = open_url(url, &credential, &snapshot);
    if (code < 0)
        return code;
    int r = snapshot_chain_der(snapshot, ret_chain);
    if (r < 0)
        return gnutls_error_of(r);
    *ret = TAKE_PTR(snapshot);
    return 0;
}

static int url_import_certificate(gnutls_x509_crt_t certificate, const char *url, unsigned flags) {
    PRESERVE_ERRNO;
    _cleanup_snapshot_ identityd_snapshot *snapshot = NULL;
    const SnapshotChain *chain;

    int code = url_chain(url, &snapshot, &chain);
    return code < 0 ? code : gnutls_x509_crt_import(certificate, &chain->der[0], GNUTLS_X509_FMT_DER);
}

static int url_import_pubkey(gnutls_pubkey_t pubkey, const char *url, unsigned flags) {
    PRESERVE_ERRNO;

    gnutls_x509_crt_t certificate;

    int code = gnutls_x509_crt_init(&certificate);
    if (code < 0)
        return code;
    code = url_import_certificate(certificate, url, 0);
    if (code >= 0)
        code = gnutls_pubkey_import_x509(pubkey, certificate, 0);
    gnutls_x509_crt_deinit(certificate);
    return code;
}

/* Whether the certificate `der` has issued `certificate`. */
static bool is_issuer(const gnutls_datum_t *der, gnutls_x509_crt_t certificate) {
    gnutls_x509_crt_t candidate;

    if (gnutls_x509_crt_init(&candidate) < 0)
        return false;
    bool issued = gnutls_x509_crt_import(candidate, der, GNUTLS_X509_FMT_DER) >= 0 &&
                  gnutls_x509_crt_check_issuer(certificate, candidate) == 1 &&
                  !gnutls_x509_crt_equals(certificate, candidate);
    gnutls_x509_crt_deinit(candidate);
    return issued;
}

static int url_get_issuer(const char *url, gnutls_x509_crt_t certificate, gnutls_datum_t *ret, unsigned flags) {
    PRESERVE_ERRNO;
    _cleanup_snapshot_ identityd_snapshot *snapshot = NULL;
    const SnapshotChain *chain;

    int code = url_chain(url, &snapshot, &chain);
    if (code < 0)
        return code;
    for (unsigned i = 1; i < chain->count; i++) {
        if (!is_issuer(&chain->der[i], certificate))
            continue;
        unsigned char *data = gnutls_malloc(chain->der[i].size);
        if (!data)
            return GNUTLS_E_MEMORY_ERROR;
        memcpy(data, chain->der[i].data, chain->der[i].size);
        *ret = (gnutls_datum_t) { data, chain->der[i].size };
        return 0;
    }
    return GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE;
}

_public_ int identityd_gnutls_register_url(void) {
    PRESERVE_ERRNO;
    static const gnutls_custom_url_st functions = {
        .name = URL_SCHEME,
        .name_size = sizeof(URL_SCHEME) - 1,
        .import_key = url_import_key,
        .import_crt = url_import_certificate,
        .import_pubkey = url_import_pubkey,
        .get_issuer = url_get_issuer,
    };
    int code = gnutls_register_custom_url(&functions);

    if (code == GNUTLS_E_INVALID_REQUEST)
        return 0; /* registered before */
    return code < 0 ? client_error(-ENOSPC, "registering the URL " URL_SCHEME ": %s", gnutls_strerror(code)) : 0;
}
