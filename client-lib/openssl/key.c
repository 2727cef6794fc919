/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A key that is an identity: its public half as it was when the key was loaded, and the credentials through which
 * identityd signs. The credential is chosen by what is to be signed: a CertificateVerify content of a side goes through
 * that side's purpose, all else through `data` or `digest`. Thread-safe; a forked child opens credentials of its own.
 */
#include "openssl/provider.h"

#include "common/bytes.h"
#include "common/certificate-verify.h"

#include <errno.h>
#include <gnutls/abstract.h>
#include <gnutls/x509.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const char *const purpose_names[_USE_COUNT] = { "tls-client", "tls-server", "data", "digest" };

struct IdentityKey {
    atomic_uint references;
    const ProviderContext *context;
    PublicKey public;
    char *name; /* NULL: an imported public key */
    identityd_snapshot *snapshot;
    /* Set once. No lock guards them: one that another thread holds stays locked in a forked child. */
    identityd_credential *_Atomic credentials[_USE_COUNT];
};

IdentityKey *identity_key_new(const ProviderContext *context, bool rsa) {
    IdentityKey *key = calloc(1, sizeof *key);

    if (!key)
        return NULL;
    atomic_init(&key->references, 1);
    key->context = context;
    key->public.rsa = rsa;
    return key;
}

IdentityKey *identity_key_ref(IdentityKey *key) {
    atomic_fetch_add(&key->references, 1);
    return key;
}

void identity_key_unref(IdentityKey *key) {
    if (!key || atomic_fetch_sub(&key->references, 1) != 1)
        return;
    for (size_t i = 0; i < _USE_COUNT; i++)
        identityd_credential_free(key->credentials[i]);
    identityd_snapshot_free(key->snapshot);
    free(key->name);
    free(key);
}

const PublicKey *identity_key_public(const IdentityKey *key) {
    return &key->public;
}

PublicKey *identity_key_public_for_import(IdentityKey *key) {
    return &key->public;
}

bool identity_key_is_private(const IdentityKey *key) {
    return key->name != NULL;
}

const ProviderContext *identity_key_context(const IdentityKey *key) {
    return key->context;
}

const char *identity_key_chain(const IdentityKey *key) {
    return key->snapshot ? identityd_snapshot_chain(key->snapshot, NULL) : "";
}

const char *identity_key_name(const IdentityKey *key) {
    return key->name;
}

/* ---- the public half ---- */

/* Copies a number without leading zeros. */
static bool copy_number(const gnutls_datum_t *number, uint8_t *to, size_t room, size_t *ret_size) {
    const unsigned char *data = number->data;
    size_t size = number->size;

    while (size > 1 && *data == 0) {
        data++;
        size--;
    }
    if (size > room)
        return false;
    memcpy(to, data, size);
    *ret_size = size;
    return true;
}

static bool copy_coordinate(const gnutls_datum_t *number, uint8_t *to, size_t length) {
    uint8_t trimmed[PUBLIC_MAX];
    size_t size;

    if (!copy_number(number, trimmed, sizeof trimmed, &size) || size > length)
        return false;
    memset(to, 0, length - size);
    memcpy(to + length - size, trimmed, size);
    return true;
}

static bool read_ec(gnutls_pubkey_t pubkey, PublicKey *public) {
    gnutls_datum_t x = { NULL, 0 }, y = { NULL, 0 };
    gnutls_ecc_curve_t curve;

    if (gnutls_pubkey_export_ecc_raw2(pubkey, &curve, &x, &y, 0) < 0)
        return false;
    size_t length = curve == GNUTLS_ECC_CURVE_SECP256R1 ? 32 : curve == GNUTLS_ECC_CURVE_SECP384R1 ? 48 : 0;
    public->rsa = false;
    public->group = length == 32 ? "P-256" : "P-384";
    public->bits = (unsigned)length * 8U;
    public->point[0] = 4; /* SEC 1: uncompressed */
    public->point_size = 1 + 2 * length;
    bool good = length > 0 && copy_coordinate(&x, public->point + 1, length) &&
                copy_coordinate(&y, public->point + 1 + length, length);
    gnutls_free(x.data);
    gnutls_free(y.data);
    return good;
}

static bool read_rsa(gnutls_pubkey_t pubkey, PublicKey *public) {
    gnutls_datum_t m = { NULL, 0 }, e = { NULL, 0 };

    if (gnutls_pubkey_export_rsa_raw2(pubkey, &m, &e, 0) < 0)
        return false;
    public->rsa = true;
    bool good = copy_number(&m, public->modulus, sizeof public->modulus, &public->modulus_size) &&
                copy_number(&e, public->exponent, sizeof public->exponent, &public->exponent_size);
    public->bits = (unsigned)public->modulus_size * 8U;
    gnutls_free(m.data);
    gnutls_free(e.data);
    return good;
}

static bool read_public(const identityd_snapshot *snapshot, PublicKey *ret) {
    size_t size;
    const char *chain = identityd_snapshot_chain(snapshot, &size);
    gnutls_datum_t pem = { (unsigned char *)chain, (unsigned)size };
    gnutls_x509_crt_t leaf = NULL;
    gnutls_pubkey_t pubkey = NULL;
    bool good = false;

    if (gnutls_x509_crt_init(&leaf) >= 0 && gnutls_x509_crt_import(leaf, &pem, GNUTLS_X509_FMT_PEM) >= 0 &&
        gnutls_pubkey_init(&pubkey) >= 0 && gnutls_pubkey_import_x509(pubkey, leaf, 0) >= 0) {
        int algorithm = gnutls_pubkey_get_pk_algorithm(pubkey, NULL);
        good = algorithm == GNUTLS_PK_ECDSA ? read_ec(pubkey, ret)
                                            : algorithm == GNUTLS_PK_RSA && read_rsa(pubkey, ret);
    }
    if (pubkey)
        gnutls_pubkey_deinit(pubkey);
    if (leaf)
        gnutls_x509_crt_deinit(leaf);
    return good;
}

/* The credential for a use, opened when it is first wanted. */
static int get_credential(IdentityKey *key, IdentityPurpose use, identityd_credential **ret) {
    identityd_credential *credential = key->credentials[use], *none = NULL;

    if (!credential) {
        int r = identityd_credential_open(key->name, purpose_names[use], &credential);
        if (r < 0)
            return r;
        if (!atomic_compare_exchange_strong(&key->credentials[use], &none,
                                            credential)) { /* another thread was faster */
            identityd_credential_free(credential);
            credential = none;
        }
    }
    *ret = credential;
    return 0;
}

IdentityKey *identity_key_open(const ProviderContext *context, const char *name) {
    IdentityKey *key = identity_key_new(context, false);
    identityd_credential *credential = NULL;
    int r = -EACCES;

    if (!key || !(key->name = strdup(name))) {
        provider_error(context, REASON_MEMORY, "identityd:%s", name);
        identity_key_unref(key);
        return NULL;
    }
    for (size_t use = 0; use < _USE_COUNT && r == -EACCES; use++)
        r = get_credential(key, use, &credential);
    if (r >= 0)
        r = identityd_credential_snapshot(credential, &key->snapshot);
    if (r >= 0 && read_public(key->snapshot, &key->public))
        return key;
    provider_error(context, REASON_IDENTITY, "identityd:%s: %s%s", name,
                   r == -EACCES ? "it is lent to this process for no purpose; the last that was tried: " : "",
                   r < 0 ? identityd_last_error() : "its certificate could not be read");
    identity_key_unref(key);
    return NULL;
}

/* ---- signing ---- */

typedef struct Wanted {
    uint16_t scheme;
    bool is_digest;
    const void *data;
    size_t size;
} Wanted;

static int sign_with(const identityd_snapshot *snapshot, identityd_credential *credential, const Wanted *wanted,
                     void *signature, size_t *signature_size) {
    return (wanted->is_digest ? identityd_sign_digest : identityd_sign_message)(
        credential, identityd_snapshot_generation(snapshot), wanted->scheme, wanted->data, wanted->size, signature,
        signature_size);
}

static bool has_key(const identityd_snapshot *snapshot, const PublicKey *wanted) {
    PublicKey public = { 0 };

    return read_public(snapshot, &public) && public.rsa == wanted->rsa && public.point_size == wanted->point_size &&
           public.modulus_size == wanted->modulus_size && public.exponent_size == wanted->exponent_size &&
           memcmp(public.point, wanted->point, public.point_size) == 0 &&
           memcmp(public.modulus, wanted->modulus, public.modulus_size) == 0 &&
           memcmp(public.exponent, wanted->exponent, public.exponent_size) == 0;
}

/* Programs keep keys for long: where their generation is gone, the current one will do if its key is the same. */
static int sign_once(const IdentityKey *key, identityd_credential *credential, const Wanted *wanted, void *signature,
                     size_t *signature_size) {
    identityd_snapshot *newer;

    int r = sign_with(key->snapshot, credential, wanted, signature, signature_size);
    if (r != -ESTALE || identityd_credential_snapshot(credential, &newer) < 0)
        return r;
    if (identityd_snapshot_generation(newer) != identityd_snapshot_generation(key->snapshot) &&
        has_key(newer, &key->public))
        r = sign_with(newer, credential, wanted, signature, signature_size);
    identityd_snapshot_free(newer);
    return r;
}

static int sign_as(IdentityKey *key, IdentityPurpose use, const Wanted *wanted, void *signature,
                   size_t *signature_size) {
    identityd_credential *credential;
    int r = get_credential(key, use, &credential);

    if (r < 0)
        return r;
    r = sign_once(key, credential, wanted, signature, signature_size);
    if (r == -ECHILD || r == -EPIPE) { /* forked, or identityd was restarted: once anew */
        r = identityd_credential_reopen(credential);
        if (r >= 0)
            r = sign_once(key, credential, wanted, signature, signature_size);
    }
    return r;
}

int identity_key_sign(IdentityKey *key, uint16_t scheme, bool is_digest, const void *data, size_t size, void *signature,
                      size_t *signature_size) {
    const Wanted wanted = { scheme, is_digest, data, size };
    BytesView message = { data, size };
    IdentityPurpose first = is_digest                                              ? USE_DIGEST
                            : certificate_verify_matches(TLS_SIDE_CLIENT, message) ? USE_TLS_CLIENT
                            : certificate_verify_matches(TLS_SIDE_SERVER, message) ? USE_TLS_SERVER
                                                                                   : USE_DATA;

    if (!key->name) {
        provider_error(key->context, REASON_UNSUPPORTED, "a public key does not sign");
        return 0;
    }
    int r = sign_as(key, first, &wanted, signature, signature_size);
    if ((r == -EACCES || r == -EPERM) && first != USE_DIGEST) {
        int digest = sign_as(key, USE_DIGEST, &wanted, signature, signature_size);
        if (digest == -EACCES) /* the first refusal says more */
            r = sign_as(key, first, &wanted, signature, signature_size);
        else
            r = digest;
    }
    if (r < 0)
        provider_error(key->context, REASON_SIGN, "identityd:%s: %s%s", key->name, identityd_last_error(),
                       r == -EACCES && first == USE_DATA
                           ? " (what is to be signed is no TLS 1.3 handshake; TLS 1.2 needs the purpose digest)"
                           : "");
    return r >= 0;
}
