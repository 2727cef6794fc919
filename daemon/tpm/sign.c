/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Loading keys, and signing with them. */
#include "tpm/internal.h"

#include "common/gnutls-scheme.h"

#include <assert.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <string.h>

/* A TPM without a resource manager can be reset, started and given somebody else's key at our handle without an error
 * ever reaching us. That takes longer than this, so a signature that follows another command of ours at once needs
 * neither the guard's session nor a verification. */
#define UNWATCHED_US 1000U

/* ---- loading ---- */

/* Whether the TPM gave `object` the number of a key that we believe to be loaded: then that one is gone, by a reset
 * that we never heard of, and its old number would sign with the new key (docs/facts.md, "TPM"). */
static bool takes_the_place_of_another(Tpm *tpm, ESYS_TR object) {
    TPM2_HANDLE number = 0, other = 0;

    if (Esys_TR_GetTpmHandle(tpm->esys, object, &number) != TSS2_RC_SUCCESS)
        return true;
    for (size_t i = 0; i < TPM_LOADED_KEYS_MAX; i++)
        if (tpm->loaded[i].object != ESYS_TR_NONE &&
            (Esys_TR_GetTpmHandle(tpm->esys, tpm->loaded[i].object, &other) != TSS2_RC_SUCCESS || other == number))
            return true;
    return false;
}

typedef struct KeyParts {
    TPM2B_PUBLIC public;
    TPM2B_PRIVATE private;
} KeyParts;

static int load_under(Tpm *tpm, const TpmKey *key, const KeyParts *parts, ESYS_TR parent, ESYS_TR *ret,
                      Failure *ret_failure) {
    _cleanup_esys_ TPM2B_NAME *name = NULL;
    ESYS_TR object = ESYS_TR_NONE;
    TSS2_RC rc;

    rc = TPM_COMMAND_WITH_ROOM(tpm, Esys_Load(tpm->esys, parent, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                                              &parts->private, &parts->public, &object));
    /* Likewise the parent's context, where it has one. */
    if (tpm_error_is_integrity(rc) && !tpm_parent_is_persistent(&tpm->parent))
        tpm->stale = true;
    if (tpm_error_class(rc) == TPM_ERROR_REFUSED)
        return failure_prefix(ret_failure, tpm_command_fail(tpm, rc, "loading a key", ret_failure),
                              "the key file was altered or is not of this TPM");
    if (rc != TSS2_RC_SUCCESS)
        return tpm_command_fail(tpm, rc, "loading a key", ret_failure);
    rc = Esys_TR_GetName(tpm->esys, object, &name);
    if (rc != TSS2_RC_SUCCESS || !tpm_name_equal(name, &key->name)) {
        tpm_command_flush(tpm, &object);
        return failure_set(ret_failure, -EBADMSG, FAILURE_INTERNAL, "TPM: it loaded another key than it was given");
    }
    if (takes_the_place_of_another(tpm, object)) {
        tpm_command_flush(tpm, &object);
        tpm->stale = true;
        return failure_set(ret_failure, -ENODEV, FAILURE_TPM_UNAVAILABLE, "TPM: it was reset, or flushed by others");
    }
    *ret = object;
    return 0;
}

static int load(Tpm *tpm, const TpmKey *key, LoadedKey **ret, Failure *ret_failure) {
    _cleanup_pubkey_ gnutls_pubkey_t public_key = NULL;
    ESYS_TR parent = ESYS_TR_NONE, object = ESYS_TR_NONE;
    bool transient = false;
    KeyParts parts;
    int r;

    if (tpm_key_parts(key, &parts.public, &parts.private) < 0 ||
        tpm_public_import(&parts.public.publicArea, &public_key) < 0)
        return failure_set(ret_failure, -EINVAL, FAILURE_INTERNAL, "TPM: a key's public part cannot be used");
    while (tpm_loaded_count(tpm) >= tpm->loaded_keys_max && tpm_loaded_evict(tpm))
        ;
    r = tpm_parent_for(tpm, key, &parent, &transient, ret_failure);
    if (r < 0)
        return r;
    r = load_under(tpm, key, &parts, parent, &object, ret_failure);
    if (transient)
        tpm_command_flush(tpm, &parent);
    if (r < 0)
        return r;
    for (size_t i = 0; i < TPM_LOADED_KEYS_MAX; i++)
        if (tpm->loaded[i].object == ESYS_TR_NONE) {
            tpm->loaded[i] = (LoadedKey) {
                .object = object,
                .name = key->name,
                .public_key = TAKE_PTR(public_key),
            };
            *ret = &tpm->loaded[i];
            return 0;
        }
    tpm_command_flush(tpm, &object); /* never: loaded_keys_max is at most the table's length */
    return failure_set(ret_failure, -EBUSY, FAILURE_INTERNAL, "TPM: no place for a loaded key");
}

bool tpm_key_is_loaded(Tpm *tpm, const TpmKey *key) {
    return tpm_loaded_find(tpm, key) != NULL;
}

void tpm_key_unload(Tpm *tpm, const TpmKey *key) {
    LoadedKey *loaded = tpm->esys ? tpm_loaded_find(tpm, key) : NULL;

    if (loaded)
        tpm_loaded_unload(tpm, loaded);
}

/* ---- signatures ---- */

typedef struct Signature {
    const TpmKey *key;
    const SignatureScheme *scheme;
    BytesView digest;
    bool always_verified;
    bool verified; /* out: the public key accepts it */
    uint8_t bytes[SIGNATURE_MAX];
    size_t size;
} Signature;

static int scheme_to_tpm(const SignatureScheme *scheme, TPMT_SIG_SCHEME *ret) {
    TPMI_ALG_HASH hash;

    switch (scheme->hash) {
    case SCHEME_SHA256:
        hash = TPM2_ALG_SHA256;
        break;
    case SCHEME_SHA384:
        hash = TPM2_ALG_SHA384;
        break;
    case SCHEME_SHA512:
        hash = TPM2_ALG_SHA512;
        break;
    default:
        return -EINVAL;
    }
    ret->details.any.hashAlg = hash;
    switch (scheme->padding) {
    case SCHEME_ECDSA:
        ret->scheme = TPM2_ALG_ECDSA;
        return 0;
    case SCHEME_RSA_PKCS1:
        ret->scheme = TPM2_ALG_RSASSA;
        return 0;
    case SCHEME_RSA_PSS:
        ret->scheme = TPM2_ALG_RSAPSS;
        return 0;
    default:
        return -EINVAL;
    }
}

static gnutls_datum_t integer_datum(const TPM2B_ECC_PARAMETER *parameter) {
    gnutls_datum_t datum = { (uint8_t *) parameter->buffer, parameter->size };

    /* DER integers have no leading zeros; GnuTLS adds the one that the sign needs. */
    while (datum.size > 1 && datum.data[0] == 0) {
        datum.data++;
        datum.size--;
    }
    return datum;
}

static int encode(const TPMT_SIGNATURE *raw, Signature *signature) {
    gnutls_datum_t der = { NULL, 0 }, r, s;
    int result = -EBADMSG;

    if (signature->scheme->padding != SCHEME_ECDSA) {
        const TPM2B_PUBLIC_KEY_RSA *value = &raw->signature.rsassa.sig;
        /* RSASSA and RSAPSS share one layout (Part 2 §11.2.4). */
        if (value->size != signature->key->modulus_size || value->size > sizeof signature->bytes)
            return -EBADMSG;
        memcpy(signature->bytes, value->buffer, value->size);
        signature->size = value->size;
        return 0;
    }
    r = integer_datum(&raw->signature.ecdsa.signatureR);
    s = integer_datum(&raw->signature.ecdsa.signatureS);
    if (r.size == 0 || r.size > 48 || s.size == 0 || s.size > 48 || gnutls_encode_rs_value(&der, &r, &s) < 0)
        return -EBADMSG;
    if (der.size <= sizeof signature->bytes) {
        memcpy(signature->bytes, der.data, der.size);
        signature->size = der.size;
        result = 0;
    }
    gnutls_free(der.data);
    return result;
}

static bool verify(gnutls_pubkey_t key, const Signature *signature) {
    gnutls_datum_t digest = { (uint8_t *) signature->digest.data, (unsigned int) signature->digest.size };
    gnutls_datum_t value = { (uint8_t *) signature->bytes, (unsigned int) signature->size };

    return gnutls_pubkey_verify_hash2(key, scheme_to_gnutls(signature->scheme), 0, &digest, &value) >= 0;
}

/* The command itself; guarded where the guard is wanted and there is room for it, which `guarded` then says. */
static TSS2_RC send_sign(Tpm *tpm, const LoadedKey *loaded, const Signature *signature, const TPMT_SIG_SCHEME *scheme,
                         bool *guarded, TPMT_SIGNATURE *ret) {
    const TPMT_TK_HASHCHECK ticket = { .tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL };
    _cleanup_esys_ TPMT_SIGNATURE *raw = NULL;
    TPM2B_DIGEST digest = { .size = (uint16_t) signature->digest.size };
    TSS2_RC rc;

    memcpy(digest.buffer, signature->digest.data, signature->digest.size);
    if (*guarded) {
        const TpmGuardedSign wanted = { loaded->object, &loaded->name, &digest, scheme, &ticket };
        rc = tpm_guard_sign(tpm, &wanted, guarded, ret);
        if (*guarded)
            return rc;
    }
    rc = TPM_COMMAND(tpm, Esys_Sign(tpm->esys, loaded->object, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &digest,
                                    scheme, &ticket, &raw));
    if (rc == TSS2_RC_SUCCESS)
        *ret = *raw;
    return rc;
}

static int command_sign(Tpm *tpm, const LoadedKey *loaded, Signature *signature, bool *guarded, Failure *ret_failure) {
    TPMT_SIGNATURE raw;
    TPMT_SIG_SCHEME scheme;

    if (scheme_to_tpm(signature->scheme, &scheme) < 0)
        return failure_set(ret_failure, -EINVAL, FAILURE_INTERNAL, "TPM: unknown scheme");
    TSS2_RC rc = send_sign(tpm, loaded, signature, &scheme, guarded, &raw);
    if (rc != TSS2_RC_SUCCESS) {
        char what[64];
        /* TPM2_Sign itself never says so: a resource manager failed to load the context that it had saved. */
        if (tpm_error_is_integrity(rc))
            tpm->stale = true;
        (void) snprintf(what, sizeof what, "signing (%s)", signature->scheme->name);
        return tpm_command_fail(tpm, rc, what, ret_failure);
    }
    if (raw.sigAlg != scheme.scheme || encode(&raw, signature) < 0) {
        tpm->stale = true;
        return failure_set(ret_failure, -EBADMSG, FAILURE_TPM_UNAVAILABLE, "TPM: it answered with no valid signature");
    }
    return 0;
}

/* A key's first signature is verified, and RSA always, in a tenth of the time that signing takes. Later ones of ECDSA
 * have to be by the key that they are asked of, which the guard sees to, or, with a resource manager, a verification:
 * there the session would cost more. */
static int sign_step(Tpm *tpm, void *data, Failure *ret_failure) {
    Signature *signature = data;
    LoadedKey *loaded = tpm_loaded_find(tpm, signature->key);
    int r;

    if (!loaded) {
        r = load(tpm, signature->key, &loaded, ret_failure);
        if (r < 0)
            return r;
    }
    assert(loaded);
    loaded->used = ++tpm->use_count;
    bool unwatched = tpm_command_now() - tpm->last_answer > UNWATCHED_US;
    bool trusted = loaded->verified && signature->scheme->padding == SCHEME_ECDSA && !signature->always_verified;
    bool guarded = trusted && unwatched && !tpm->resource_manager;
    r = command_sign(tpm, loaded, signature, &guarded, ret_failure);
    if (r < 0)
        return r;
    if (trusted && (guarded || !unwatched))
        return 0;
    signature->verified = verify(loaded->public_key, signature);
    if (signature->verified)
        loaded->verified = true;
    if (signature->verified || signature->always_verified)
        return 0;
    tpm->stale = true;
    return failure_set(ret_failure, -EBADMSG, FAILURE_TPM_UNAVAILABLE,
                       "TPM: the signature it made with %s does not verify with the key; it was withheld",
                       signature->scheme->name);
}

/* A TPM that does PSS in another way is not broken, and must not be taken for it by each who asks for PSS. */
static int check_padding(Tpm *tpm, const TpmKey *key, const SignatureScheme *scheme, Failure *ret_failure) {
    bool usable = true;
    int r = scheme->padding == SCHEME_RSA_PSS ? tpm_key_pss_is_usable(tpm, key, &usable, ret_failure) : 0;

    if (r < 0 || usable)
        return r;
    return failure_set(ret_failure, -EINVAL, FAILURE_INVALID_ARGUMENT,
                       "this TPM makes PSS signatures with another salt length than %s has", scheme->name);
}

int tpm_key_sign(Tpm *tpm, const TpmKey *key, const SignatureScheme *scheme, BytesView digest,
                 uint8_t ret_signature[static SIGNATURE_MAX], size_t *ret_size, Failure *ret_failure) {
    Signature signature = { .key = key, .scheme = scheme, .digest = digest };
    int r;

    if (!scheme_fits(scheme, key->algorithm))
        return failure_set(ret_failure, -EINVAL, FAILURE_INVALID_ARGUMENT, "scheme %s does not fit a key of type %s",
                           scheme->name, key_algorithm_to_string(key->algorithm));
    if (digest.size != (size_t) scheme->hash)
        return failure_set(ret_failure, -EINVAL, FAILURE_INVALID_ARGUMENT,
                           "scheme %s signs a digest of %d bytes, not of %zu", scheme->name, (int) scheme->hash,
                           digest.size);
    r = check_padding(tpm, key, scheme, ret_failure);
    if (r >= 0)
        r = tpm_epoch_request(tpm, sign_step, &signature, ret_failure);
    if (r < 0)
        return r;
    memcpy(ret_signature, signature.bytes, signature.size);
    *ret_size = signature.size;
    return 0;
}

/* ---- PSS ---- */

int tpm_key_pss_is_usable(Tpm *tpm, const TpmKey *key, bool *ret, Failure *ret_failure) {
    static const uint8_t digest[32] = { 0x50, 0x53, 0x53 };
    Signature signature = {
        .key = key,
        .scheme = scheme_by_name("rsa_pss_rsae_sha256"),
        .digest = { digest, sizeof digest },
        .always_verified = true,
    };
    int r;

    if (scheme_fits(scheme_by_name("ecdsa_secp256r1_sha256"), key->algorithm) ||
        scheme_fits(scheme_by_name("ecdsa_secp384r1_sha384"), key->algorithm)) {
        *ret = true;
        return 0;
    }
    if (!tpm_name_equal(&tpm->pss_parent, &key->parent_name))
        memset(tpm->pss, 0, sizeof tpm->pss);
    if (tpm->pss[key->algorithm] == PSS_UNKNOWN) {
        r = tpm_epoch_request(tpm, sign_step, &signature, ret_failure);
        /* A TPM that does not know PSS at all says -EINVAL. */
        if (r < 0 && r != -EINVAL)
            return r;
        tpm->pss_parent = key->parent_name;
        tpm->pss[key->algorithm] = r >= 0 && signature.verified ? PSS_USABLE : PSS_UNUSABLE;
    }
    *ret = tpm->pss[key->algorithm] == PSS_USABLE;
    return 0;
}
