/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A key that is an identity: its public half as it was when the key was loaded, and the credentials through which
 * identityd signs. The credential is chosen by what is to be signed: a CertificateVerify content of a side goes through
 * that side's purpose, all else through `data` or `digest`. Thread-safe; a forked child opens credentials of its own.
 */
#include "openssl/cryptography.h"

#include "common/bytes.h"
#include "common/certificate-verify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const purpose_names[_USE_COUNT] = { "tls-client", "tls-server", "data", "digest" };

struct IdentityKey {
    atomic_uint references;
    ProviderContext *context;
    PublicKey public;
    char *name; /* NULL: an imported public key */
    identityd_snapshot *snapshot;
    /* Set once. No lock guards them: one that another thread holds stays locked in a forked child. */
    identityd_credential *_Atomic credentials[_USE_COUNT];
};

IdentityKey *identity_key_new(ProviderContext *context, bool rsa) {
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

const char *identity_key_chain(const IdentityKey *key) {
    return key->snapshot ? identityd_snapshot_chain(key->snapshot, NULL) : "";
}

/* ---- the public half ---- */

static bool read_public(ProviderContext *context, const identityd_snapshot *snapshot, PublicKey *ret) {
    return crypto_read_public(context, identityd_snapshot_chain(snapshot, NULL), ret);
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

IdentityKey *identity_key_open(ProviderContext *context, const char *name) {
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
    if (r >= 0 && read_public(context, key->snapshot, &key->public))
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

static bool has_key(ProviderContext *context, const identityd_snapshot *snapshot, const PublicKey *wanted) {
    PublicKey public = { 0 };

    return read_public(context, snapshot, &public) && public.rsa == wanted->rsa &&
           public.point_size == wanted->point_size && public.modulus_size == wanted->modulus_size &&
           public.exponent_size == wanted->exponent_size &&
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
        has_key(key->context, newer, &key->public))
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
