/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys as data, and their creation. A TpmKey exists only with the attributes that every key of ours must have, wherever
 * it came from, so no other file needs to ask. */
#include "tpm/internal.h"

#include <stdio.h>
#include <string.h>
#include <tss2/tss2_mu.h>

#define KEY_ATTRIBUTES                                                                                                 \
    (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |     \
     TPMA_OBJECT_NODA | TPMA_OBJECT_SIGN_ENCRYPT)

typedef struct AlgorithmParameters {
    TPMI_ALG_PUBLIC type;
    TPMI_ECC_CURVE curve;
    uint16_t bits;
} AlgorithmParameters;

static const AlgorithmParameters algorithms[_KEY_ALGORITHM_COUNT] = {
    [KEY_ECDSA_P256] = { TPM2_ALG_ECC, TPM2_ECC_NIST_P256, 256 },
    [KEY_ECDSA_P384] = { TPM2_ALG_ECC, TPM2_ECC_NIST_P384, 384 },
    [KEY_RSA_2048] = { TPM2_ALG_RSA, 0, 2048 },
    [KEY_RSA_3072] = { TPM2_ALG_RSA, 0, 3072 },
};

static void fill_template(KeyAlgorithm algorithm, TPM2B_PUBLIC *ret) {
    const AlgorithmParameters *parameters = &algorithms[algorithm];
    TPMT_PUBLIC *area = &ret->publicArea;

    memset(ret, 0, sizeof *ret);
    area->type = parameters->type;
    area->nameAlg = TPM2_ALG_SHA256;
    area->objectAttributes = KEY_ATTRIBUTES;
    if (parameters->type == TPM2_ALG_ECC) {
        area->parameters.eccDetail.symmetric.algorithm = TPM2_ALG_NULL;
        area->parameters.eccDetail.scheme.scheme = TPM2_ALG_NULL; /* chosen with each signature */
        area->parameters.eccDetail.curveID = parameters->curve;
        area->parameters.eccDetail.kdf.scheme = TPM2_ALG_NULL;
    } else {
        area->parameters.rsaDetail.symmetric.algorithm = TPM2_ALG_NULL;
        area->parameters.rsaDetail.scheme.scheme = TPM2_ALG_NULL;
        area->parameters.rsaDetail.keyBits = parameters->bits;
    }
}

/* ---- data ---- */

static bool has_parameters(const TPMT_PUBLIC *area, const AlgorithmParameters *wanted) {
    if (area->type != wanted->type)
        return false;
    if (area->type == TPM2_ALG_ECC)
        return area->parameters.eccDetail.curveID == wanted->curve &&
               area->parameters.eccDetail.symmetric.algorithm == TPM2_ALG_NULL &&
               area->parameters.eccDetail.scheme.scheme == TPM2_ALG_NULL &&
               area->parameters.eccDetail.kdf.scheme == TPM2_ALG_NULL;
    return area->parameters.rsaDetail.keyBits == wanted->bits &&
           area->parameters.rsaDetail.symmetric.algorithm == TPM2_ALG_NULL &&
           area->parameters.rsaDetail.scheme.scheme == TPM2_ALG_NULL && area->parameters.rsaDetail.exponent == 0 &&
           area->unique.rsa.size == wanted->bits / 8U;
}

static int refuse(Failure *ret_failure, const char *reason) {
    return failure_set(ret_failure, -EINVAL, FAILURE_INVALID_ARGUMENT, "TPM key: %s", reason);
}

static int check_public(const TPM2B_PUBLIC *public, KeyAlgorithm *ret, Failure *ret_failure) {
    const TPMT_PUBLIC *area = &public->publicArea;
    KeyAlgorithm algorithm = _KEY_ALGORITHM_INVALID;
    TPMA_OBJECT missing = KEY_ATTRIBUTES & ~area->objectAttributes, excess = area->objectAttributes & ~KEY_ATTRIBUTES;

    for (int i = 0; i < _KEY_ALGORITHM_COUNT; i++)
        if (has_parameters(area, &algorithms[i]))
            algorithm = i;
    if (algorithm == _KEY_ALGORITHM_INVALID)
        return refuse(ret_failure, "the algorithm is none of ecdsa-p256, ecdsa-p384, rsa-2048, rsa-3072, "
                                   "or the key is bound to one scheme");
    if (area->nameAlg != TPM2_ALG_SHA256)
        return refuse(ret_failure, "its name algorithm is not SHA-256");
    if (area->authPolicy.size != 0)
        return refuse(ret_failure, "it has a policy");
    if (missing & (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN))
        return refuse(ret_failure, "it was not created inside a TPM for that TPM alone (fixedTPM, fixedParent, "
                                   "sensitiveDataOrigin)");
    if (missing & TPMA_OBJECT_NODA)
        return refuse(ret_failure, "it is subject to dictionary-attack lockout (no noDA)");
    if (missing != 0 || excess != 0)
        return refuse(ret_failure,
                      "it is not a plain signing key (userWithAuth and sign, not decrypt, not restricted)");
    *ret = algorithm;
    return 0;
}

static int keep_parts(TpmKey *key, const TPM2B_PUBLIC *public, const TPM2B_PRIVATE *private) {
    uint8_t buffer[sizeof(TPM2B_PUBLIC) + sizeof(TPM2B_PRIVATE)];
    size_t size = 0;

    if (Tss2_MU_TPM2B_PUBLIC_Marshal(public, buffer, sizeof buffer, &size) != TSS2_RC_SUCCESS)
        return -EINVAL;
    int r = bytes_copy((BytesView) { buffer, size }, &key->public);
    if (r < 0)
        return r;
    size = 0;
    if (Tss2_MU_TPM2B_PRIVATE_Marshal(private, buffer, sizeof buffer, &size) != TSS2_RC_SUCCESS)
        return -EINVAL;
    return bytes_copy((BytesView) { buffer, size }, &key->private);
}

int tpm_key_parts(const TpmKey *key, TPM2B_PUBLIC *ret_public, TPM2B_PRIVATE *ret_private) {
    size_t offset = 0;

    *ret_public = (TPM2B_PUBLIC) { .size = 0 }; /* tss2-mu takes another size for one that is wanted */
    *ret_private = (TPM2B_PRIVATE) { .size = 0 };
    if (Tss2_MU_TPM2B_PUBLIC_Unmarshal(key->public.data, key->public.size, &offset, ret_public) != TSS2_RC_SUCCESS)
        return -EINVAL;
    offset = 0;
    if (Tss2_MU_TPM2B_PRIVATE_Unmarshal(key->private.data, key->private.size, &offset, ret_private) != TSS2_RC_SUCCESS)
        return -EINVAL;
    return 0;
}

int tpm_key_new(const TPM2B_PUBLIC *public, const TPM2B_PRIVATE *private, const TPM2B_NAME *parent_name,
                uint32_t parent_handle, TpmKey **ret, Failure *ret_failure) {
    _cleanup_tpm_key_ TpmKey *key = calloc(1, sizeof *key);
    int r;

    if (!key)
        return failure_errno(ret_failure, -ENOMEM, "TPM key");
    atomic_init(&key->references, 1);
    r = check_public(public, &key->algorithm, ret_failure);
    if (r < 0)
        return r;
    if (private->size == 0)
        return refuse(ret_failure, "its private part is missing");
    if (parent_handle != TPM2_RH_OWNER && parent_handle >> TPM2_HR_SHIFT != TPM2_HT_PERSISTENT)
        return refuse(ret_failure, "its parent is neither a persistent key nor the owner hierarchy");
    key->parent_name = *parent_name;
    key->parent_handle = parent_handle;
    key->modulus_size = public->publicArea.type == TPM2_ALG_RSA ? public->publicArea.unique.rsa.size : 0;
    r = keep_parts(key, public, private);
    if (r >= 0)
        r = tpm_name_of(public, &key->name);
    if (r >= 0)
        r = tpm_public_spki(&public->publicArea, &key->spki);
    if (r == -ENOMEM)
        return failure_errno(ret_failure, r, "TPM key");
    if (r < 0)
        return refuse(ret_failure, "its public part is no valid public key");
    *ret = TAKE_PTR(key);
    return 0;
}

TpmKey *tpm_key_free(TpmKey *key) {
    if (!key || atomic_fetch_sub_explicit(&key->references, 1, memory_order_acq_rel) > 1)
        return NULL;
    bytes_clear(&key->public);
    bytes_clear(&key->private);
    bytes_clear(&key->spki);
    free(key);
    return NULL;
}

TpmKey *tpm_key_ref(const TpmKey *key) {
    TpmKey *mine = (TpmKey *) key; /* nothing in it changes but the count */

    (void) atomic_fetch_add_explicit(&mine->references, 1, memory_order_relaxed);
    return mine;
}

KeyAlgorithm tpm_key_algorithm(const TpmKey *key) {
    return key->algorithm;
}

BytesView tpm_key_spki(const TpmKey *key) {
    return bytes_view(&key->spki);
}

BytesView tpm_key_name(const TpmKey *key) {
    return (BytesView) { key->name.name, key->name.size };
}

BytesView tpm_key_parent_name(const TpmKey *key) {
    return (BytesView) { key->parent_name.name, key->parent_name.size };
}

/* ---- creation ---- */

typedef struct Creation {
    KeyAlgorithm algorithm;
    const TPM2B_NAME *wanted_parent; /* empty: any */
    TpmKey *key;
} Creation;

/* The answer's HMAC was right, so it is the parent's TPM that speaks; that it made what was asked for is checked too.
 */
static int take_created(Tpm *tpm, const Creation *creation, const TPM2B_PUBLIC *public, const TPM2B_PRIVATE *private,
                        TpmKey **ret, Failure *ret_failure) {
    _cleanup_tpm_key_ TpmKey *key = NULL;
    int r;

    r = tpm_key_new(public, private, &tpm->parent.name, tpm->parent.handle, &key, ret_failure);
    if (r < 0)
        return failure_prefix(ret_failure, r, "the TPM created something else than it was asked for");
    if (key->algorithm != creation->algorithm)
        return failure_set(ret_failure, -EBADMSG, FAILURE_TPM_UNAVAILABLE,
                           "TPM: it created a key of another algorithm than it was asked for");
    *ret = TAKE_PTR(key);
    return 0;
}

static int create_step(Tpm *tpm, void *data, Failure *ret_failure) {
    Creation *creation = data;
    const TPM2B_SENSITIVE_CREATE sensitive = { .size = 0 };
    const TPM2B_DATA outside = { .size = 0 };
    const TPML_PCR_SELECTION pcrs = { .count = 0 };
    _cleanup_esys_ TPM2B_PUBLIC *public = NULL;
    _cleanup_esys_ TPM2B_PRIVATE *private = NULL;
    TPM2B_PUBLIC template;
    ESYS_TR session = ESYS_TR_NONE;
    TSS2_RC rc;
    int r;

    r = tpm_parent_check(tpm, ret_failure);
    if (r < 0)
        return r;
    if (creation->wanted_parent->size > 0 && !tpm_name_equal(creation->wanted_parent, &tpm->parent.name))
        return failure_set(ret_failure, -ESTALE, FAILURE_TPM_REPLACED,
                           "TPM: its parent key is not the one that was recorded: it was cleared or is another TPM");
    r = tpm_session_open(tpm, tpm->parent.object, &session, ret_failure);
    if (r < 0)
        return r;
    fill_template(creation->algorithm, &template);
    rc = TPM_COMMAND_WITH_ROOM(tpm, Esys_Create(tpm->esys, tpm->parent.object, session, ESYS_TR_NONE, ESYS_TR_NONE,
                                                &sensitive, &template, &outside, &pcrs, &private, &public, NULL, NULL,
                                                NULL));
    if (rc != TSS2_RC_SUCCESS) {
        char what[64];
        /* A command that failed leaves its session; one that stands on nothing any more is gone with the epoch. */
        tpm_command_flush(tpm, &session);
        (void) snprintf(what, sizeof what, "creating a key (%s)", key_algorithm_to_string(creation->algorithm));
        return tpm_command_fail(tpm, rc, what, ret_failure);
    }
    /* The TPM ended the session with the command; what ESYS has of it would stay until the epoch ends. */
    (void) Esys_TR_Close(tpm->esys, &session);
    return take_created(tpm, creation, public, private, &creation->key, ret_failure);
}

int tpm_key_create_under(Tpm *tpm, KeyAlgorithm algorithm, BytesView parent_name, TpmKey **ret, Failure *ret_failure) {
    TPM2B_NAME wanted = { .size = 0 };
    Creation creation = { .algorithm = algorithm, .wanted_parent = &wanted };
    int r;

    if (algorithm < 0 || algorithm >= _KEY_ALGORITHM_COUNT)
        return refuse(ret_failure, "unknown algorithm");
    if (parent_name.size > 0 && tpm_name_from_bytes(parent_name, &wanted) < 0)
        return refuse(ret_failure, "the recorded parent is not a TPM Name");
    r = tpm_epoch_request(tpm, create_step, &creation, ret_failure);
    if (r < 0)
        return r;
    *ret = creation.key;
    return 0;
}
