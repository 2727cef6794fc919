/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A key that is an identity: its public half, and the credentials through which identityd signs. The credential is
 * chosen by what is to be signed: a CertificateVerify content of a side goes through that side's purpose, what
 * `data` signs through that, all else through `data-raw`; `digest` stands in for each. Thread-safe; a forked child
 * opens credentials of its own.
 *
 * The half is of the generation that the key file names, or else of the current one. But programs read a certificate
 * and a key one after the other, and a renewal may come in between: so the first comparison of a key with a certificate
 * decides which of the identity's generations it is, as long as that one signs. From then on, and from the first
 * signature on, it stays what it is. */
#include "openssl/cryptography.h"

#include "client-lib/snapshot.h"
#include "common/bytes.h"
#include "common/certificate-verify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const purpose_names[_USE_COUNT] = { "tls-client", "tls-server", "data", "data-raw", "digest" };

typedef struct Half {
    uint32_t generation;
    PublicKey public;
} Half;

struct IdentityKey {
    atomic_uint references;
    ProviderContext *context;
    Half own;
    Half *_Atomic other; /* what a certificate made of it; NULL: it is its own. Set once */
    atomic_bool is_settled, is_refused_digests;
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
    key->own.public.rsa = rsa;
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
    free(key->other);
    free(key->name);
    free(key);
}

static const Half *half_of(const IdentityKey *key) {
    const Half *other = key->other;

    return other ? other : &key->own;
}

const PublicKey *identity_key_public(const IdentityKey *key) {
    return &half_of(key)->public;
}

PublicKey *identity_key_public_for_import(IdentityKey *key) {
    return &key->own.public;
}

bool identity_key_is_private(const IdentityKey *key) {
    return key->name != NULL;
}

const char *identity_key_chain(const IdentityKey *key) {
    return key->snapshot ? identityd_snapshot_chain(key->snapshot, NULL) : "";
}

/* ---- the public half ---- */

bool public_key_equal(const PublicKey *a, const PublicKey *b) {
    return a->rsa == b->rsa && a->point_size == b->point_size && a->modulus_size == b->modulus_size &&
           a->exponent_size == b->exponent_size && memcmp(a->point, b->point, a->point_size) == 0 &&
           memcmp(a->modulus, b->modulus, a->modulus_size) == 0 &&
           memcmp(a->exponent, b->exponent, a->exponent_size) == 0;
}

static bool read_current(ProviderContext *context, const identityd_snapshot *snapshot, Half *ret) {
    ret->generation = identityd_snapshot_generation(snapshot);
    return crypto_read_public(context, identityd_snapshot_chain(snapshot, NULL), &ret->public);
}

/* 0; -ESTALE: it does not sign (any more); -EBADMSG: it cannot be read. */
static int read_generation(ProviderContext *context, const identityd_snapshot *snapshot, uint32_t generation,
                           Half *ret) {
    BytesView rest = { NULL, 0 };
    EarlierGeneration earlier;

    if (generation == 0 || generation == identityd_snapshot_generation(snapshot))
        return read_current(context, snapshot, ret) ? 0 : -EBADMSG;
    while (snapshot_next_earlier(snapshot, &rest, &earlier))
        if (earlier.number == generation) {
            ret->generation = generation;
            return crypto_read_spki(context, earlier.spki.data, earlier.spki.size, &ret->public) ? 0 : -EBADMSG;
        }
    return -ESTALE;
}

/* Which generation has that key, if it signs. */
static bool find_public(ProviderContext *context, const identityd_snapshot *snapshot, const PublicKey *wanted,
                        Half *ret) {
    BytesView rest = { NULL, 0 };
    EarlierGeneration earlier;

    if (read_current(context, snapshot, ret) && public_key_equal(&ret->public, wanted))
        return true;
    while (snapshot_next_earlier(snapshot, &rest, &earlier)) {
        ret->generation = earlier.number;
        if (crypto_read_spki(context, earlier.spki.data, earlier.spki.size, &ret->public) &&
            public_key_equal(&ret->public, wanted))
            return true;
    }
    return false;
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

static int open_half(IdentityKey *key, uint32_t generation) {
    identityd_credential *credential = NULL;
    int r = -EACCES;

    for (size_t use = 0; use < _USE_COUNT && r == -EACCES; use++)
        r = get_credential(key, use, &credential);
    if (r >= 0)
        r = identityd_credential_snapshot(credential, &key->snapshot);
    return r < 0 ? r : read_generation(key->context, key->snapshot, generation, &key->own);
}

IdentityKey *identity_key_open(ProviderContext *context, const char *name, uint32_t generation) {
    IdentityKey *key = identity_key_new(context, false);

    if (!key || !(key->name = strdup(name))) {
        provider_error(context, REASON_MEMORY, "identityd:%s", name);
        identity_key_unref(key);
        return NULL;
    }
    int r = open_half(key, generation);
    if (r >= 0)
        return key;
    if (r == -ESTALE)
        provider_error(context, REASON_IDENTITY,
                       "identityd:%s: the key file is of generation %u, which does not sign any more; the current one "
                       "is %u. Read chain.pem and key.pem of /run/identityd/%s again; a copy is made of current.pem "
                       "there",
                       name, generation, identityd_snapshot_generation(key->snapshot), name);
    else
        provider_error(context, REASON_IDENTITY, "identityd:%s: %s%s", name,
                       r == -EACCES ? "it is lent to this process for no purpose; the last that was tried: " : "",
                       key->snapshot ? "its certificate could not be read" : identityd_last_error());
    identity_key_unref(key);
    return NULL;
}

IdentityKey *identity_key_dup(IdentityKey *key) {
    if (key->name)
        return identity_key_ref(key); /* nothing of it changes but which generation it is, which is the same for both */
    IdentityKey *copy = identity_key_new(key->context, key->own.public.rsa);
    if (copy)
        copy->own = key->own;
    return copy;
}

bool identity_key_is_valid(const IdentityKey *key) {
    return crypto_public_is_valid(key->context, identity_key_public(key));
}

/* ---- which generation ---- */

void identity_key_settle(IdentityKey *key) {
    key->is_settled = true;
}

/* Asked of identityd anew: a certificate that was published later than the key was loaded is that of a generation which
 * the snapshot does not know. */
static bool find_newer(const IdentityKey *key, const PublicKey *wanted, Half *ret) {
    identityd_credential *credential = NULL;
    identityd_snapshot *snapshot = NULL;
    size_t use = 0;

    while (use < _USE_COUNT && !key->credentials[use])
        use++;
    bool found = use < _USE_COUNT && identityd_credential_open(key->name, purpose_names[use], &credential) >= 0 &&
                 identityd_credential_snapshot(credential, &snapshot) >= 0 &&
                 find_public(key->context, snapshot, wanted, ret);
    identityd_snapshot_free(snapshot);
    identityd_credential_free(credential);
    return found;
}

bool identity_key_become(IdentityKey *key, const PublicKey *wanted) {
    const PublicKey *own = &key->own.public;
    bool is_settled = false;

    /* OpenSSL has noted kind and size when the key was loaded. */
    if (!key->name || key->is_settled || wanted->rsa != own->rsa || wanted->bits != own->bits)
        return false;
    Half *found = calloc(1, sizeof *found);
    if (found && (find_public(key->context, key->snapshot, wanted, found) || find_newer(key, wanted, found)) &&
        atomic_compare_exchange_strong(&key->is_settled, &is_settled, true)) {
        key->other = found;
        return true;
    }
    free(found);
    return false;
}

/* ---- signing ---- */

/* Refused once, it stays so for this key: TLS asks with every handshake. */
bool identity_key_signs_digests(IdentityKey *key) {
    identityd_credential *unused;

    if (!key->name)
        return true; /* a public key signs nothing, and says so when it is to */
    if (key->is_refused_digests)
        return false;
    int r = get_credential(key, USE_DIGEST, &unused);
    if (r == -EACCES)
        key->is_refused_digests = true;
    return r >= 0;
}

typedef struct Wanted {
    uint16_t scheme;
    bool is_digest;
    const void *data;
    size_t size;
} Wanted;

static int sign_with(uint32_t generation, identityd_credential *credential, const Wanted *wanted, void *signature,
                     size_t *signature_size) {
    return (wanted->is_digest ? identityd_sign_digest : identityd_sign_message)(
        credential, generation, wanted->scheme, wanted->data, wanted->size, signature, signature_size);
}

/* Programs keep keys for long: where their generation is gone, the current one will do if its key is the same. */
static int sign_once(const IdentityKey *key, identityd_credential *credential, const Wanted *wanted, void *signature,
                     size_t *signature_size) {
    const Half *half = half_of(key);
    identityd_snapshot *newer;
    Half current;

    int r = sign_with(half->generation, credential, wanted, signature, signature_size);
    if (r != -ESTALE || identityd_credential_snapshot(credential, &newer) < 0)
        return r;
    bool is_same = read_current(key->context, newer, &current) && current.generation != half->generation &&
                   public_key_equal(&current.public, &half->public);
    identityd_snapshot_free(newer);
    return is_same ? sign_with(current.generation, credential, wanted, signature, signature_size) : r;
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

/* Which purposes are asked in turn, until one is granted and signs. */
static size_t list_uses(const Wanted *wanted, IdentityPurpose ret[static _USE_COUNT]) {
    BytesView message = { wanted->data, wanted->size };
    size_t count = 0;

    if (wanted->is_digest)
        ;
    else if (certificate_verify_matches(TLS_SIDE_CLIENT, message))
        ret[count++] = USE_TLS_CLIENT;
    else if (certificate_verify_matches(TLS_SIDE_SERVER, message))
        ret[count++] = USE_TLS_SERVER;
    else if (message.size > 0 && message.data[0] == 1) { /* a ClientHello: TLS 1.2, with TLS12=yes */
        ret[count++] = USE_TLS_CLIENT;
        ret[count++] = USE_DATA_RAW;
    } else {
        if (message.size > 0 && memchr("\x31\x84\x7e", message.data[0], 3)) /* the framings of `data` */
            ret[count++] = USE_DATA;
        ret[count++] = USE_DATA_RAW;
    }
    ret[count++] = USE_DIGEST;
    return count;
}

int identity_key_sign(IdentityKey *key, uint16_t scheme, bool is_digest, const void *data, size_t size, void *signature,
                      size_t *signature_size) {
    const Wanted wanted = { scheme, is_digest, data, size };
    IdentityPurpose uses[_USE_COUNT];
    size_t count = list_uses(&wanted, uses), telling = 0;
    int r = -EACCES;

    if (!key->name) {
        provider_error(key->context, REASON_UNSUPPORTED, "a public key does not sign");
        return 0;
    }
    identity_key_settle(key);
    for (size_t i = 0; i < count && (r == -EACCES || r == -EPERM); i++) {
        int tried = sign_as(key, uses[i], &wanted, signature, signature_size);
        if (tried == -EACCES && i > 0) /* an earlier refusal says more */
            continue;
        telling = i;
        r = tried;
    }
    if (r == -EACCES || r == -EPERM)
        r = sign_as(key, uses[telling], &wanted, signature, signature_size); /* for its words */
    if (r == -ESTALE)
        provider_error(key->context, REASON_SIGN,
                       "identityd:%s: generation %u, which this key was loaded with, does not sign any more: load key "
                       "and certificate again, together",
                       key->name, half_of(key)->generation);
    else if (r < 0)
        provider_error(key->context, REASON_SIGN, "identityd:%s: %s%s", key->name, identityd_last_error(),
                       r == -EACCES && (uses[telling] == USE_DATA || uses[telling] == USE_DATA_RAW)
                           ? " (what is to be signed is no TLS handshake of a client)"
                           : "");
    return r >= 0;
}
