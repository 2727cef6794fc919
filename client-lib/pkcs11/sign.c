/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signing. An operation leaves its session while identityd is asked, without any lock: other sessions go on, and a
 * session that is closed meanwhile takes nothing away from under it. */
#include "client-lib/credential.h"
#include "client-lib/pkcs11/functions.h"
#include "client-lib/pkcs11/module.h"
#include "common/gnutls-scheme.h"
#include "common/handle-protocol.h"

#include <gnutls/crypto.h>
#include <string.h>

#define RAW_MAX 256U /* bytes of a digest or DigestInfo that a caller may bring */

struct SignOperation {
    View *view;
    const MechanismInfo *mechanism;
    unsigned hash;            /* SchemeHash, 0 while a DigestInfo or the digest's length is to tell */
    gnutls_hash_hd_t running; /* mechanisms that hash */
    uint8_t raw[RAW_MAX];     /* others: what came so far */
    size_t raw_size;
    OperationForm form;
    uint8_t signature[IDENTITYD_SIGNATURE_MAX];
    size_t signature_size;
};

SignOperation *sign_operation_free(SignOperation *operation) {
    if (!operation)
        return NULL;
    if (operation->running)
        gnutls_hash_deinit(operation->running, NULL);
    view_unref(operation->view);
    free(operation);
    return NULL;
}
DEFINE_CLEANUP(SignOperation, sign_operation_free)

/* ---- beginning ---- */

static const struct {
    CK_MECHANISM_TYPE hash;
    CK_ULONG mgf;
    unsigned size;
} pss_hashes[] = {
    { CKM_SHA256, CKG_MGF1_SHA256, SCHEME_SHA256 },
    { CKM_SHA384, CKG_MGF1_SHA384, SCHEME_SHA384 },
    { CKM_SHA512, CKG_MGF1_SHA512, SCHEME_SHA512 },
};

/* PSS as TLS has it: one hash for everything, a salt of its length. 0 for what is not. */
static unsigned pss_hash(const CK_MECHANISM *mechanism) {
    const CK_RSA_PKCS_PSS_PARAMS *parameters = mechanism->pParameter;

    if (!parameters || mechanism->ulParameterLen != sizeof(*parameters))
        return 0;
    for (size_t i = 0; i < ARRAY_LENGTH(pss_hashes); i++)
        if (parameters->hashAlg == pss_hashes[i].hash && parameters->mgf == pss_hashes[i].mgf &&
            parameters->sLen == pss_hashes[i].size)
            return pss_hashes[i].size;
    return 0;
}

static CK_RV check_parameter(const CK_MECHANISM *mechanism, const MechanismInfo *info, unsigned *ret_hash) {
    if (info->padding == SCHEME_RSA_PSS) {
        unsigned hash = pss_hash(mechanism);
        if (hash == 0 || (info->hash != 0 && info->hash != hash))
            return CKR_MECHANISM_PARAM_INVALID;
        *ret_hash = hash;
        return CKR_OK;
    }
    if (mechanism->ulParameterLen != 0)
        return CKR_MECHANISM_PARAM_INVALID;
    *ret_hash = info->hash;
    return CKR_OK;
}

/* The scheme of the key for this padding and hash that identityd offers, or NULL. An ECDSA key has one, for a hash as
 * long as its curve; other hashes are brought to that length. */
static const SignatureScheme *scheme_for(const View *view, uint8_t padding, unsigned hash) {
    for (const uint16_t *id = view->snapshot->schemes; *id; id++) {
        const SignatureScheme *scheme = scheme_by_id(*id);
        if (scheme && scheme->padding == (SchemePadding) padding &&
            (hash == 0 || padding == SCHEME_ECDSA || (unsigned) scheme->hash == hash))
            return scheme;
    }
    return NULL;
}

static CK_RV check_key(const View *view, size_t index, const MechanismInfo *info, unsigned hash) {
    if (view->objects[index].class != CKO_PRIVATE_KEY)
        return CKR_KEY_TYPE_INCONSISTENT;
    if (view->key_type != info->key_type)
        return CKR_KEY_TYPE_INCONSISTENT;
    return scheme_for(view, info->padding, hash) ? CKR_OK : CKR_KEY_SIZE_RANGE;
}

static CK_RV operation_new(View *view, const MechanismInfo *info, unsigned hash, SignOperation **ret) {
    _cleanup_(sign_operation_free_p) SignOperation *operation = calloc(1, sizeof(*operation));

    if (!operation)
        return CKR_HOST_MEMORY;
    if (info->hash != 0 && gnutls_hash_init(&operation->running, scheme_hash_to_gnutls((SchemeHash) info->hash)) < 0)
        return CKR_HOST_MEMORY;
    operation->view = view_ref(view);
    operation->mechanism = info;
    operation->hash = hash;
    *ret = TAKE_PTR(operation);
    return CKR_OK;
}

static CK_RV begin(Module *module, Session *session, const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key) {
    _cleanup_(view_unref_p) View *view = NULL;
    unsigned hash = 0;
    size_t index = 0;

    if (!mechanism) { /* 3.0: ends the operation; in 2.40 an error that leaves nothing active */
        session->signing = sign_operation_free(session->signing);
        return CKR_ARGUMENTS_BAD;
    }
    if (session->signing)
        return CKR_OPERATION_ACTIVE;
    const MechanismInfo *info = mechanism_find_signing(mechanism->mechanism);
    if (!info)
        return CKR_MECHANISM_INVALID;
    CK_RV rv = check_parameter(mechanism, info, &hash);
    if (rv != CKR_OK)
        return rv;
    view = token_find(&module->token, key, &index);
    if (!view)
        return CKR_KEY_HANDLE_INVALID;
    rv = check_key(view, index, info, hash);
    return rv == CKR_OK ? operation_new(view, info, hash, &session->signing) : rv;
}

CK_RV c_sign_init(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key) {
    Module *module;
    Session *session;

    CK_RV rv = module_enter(handle, &module, &session);
    if (rv != CKR_OK)
        return rv;
    rv = begin(module, session, mechanism, key);
    module_unlock(module);
    return rv;
}

/* ---- going on ---- */

static CK_RV take_part(SignOperation *operation, const unsigned char *part, CK_ULONG size) {
    if (!part && size > 0)
        return CKR_ARGUMENTS_BAD;
    if (operation->running)
        return size == 0 || gnutls_hash(operation->running, part, size) >= 0 ? CKR_OK : CKR_FUNCTION_FAILED;
    if (size > RAW_MAX - operation->raw_size)
        return CKR_DATA_LEN_RANGE;
    if (size > 0)
        memcpy(operation->raw + operation->raw_size, part, size);
    operation->raw_size += size;
    return CKR_OK;
}

/* FIPS 186-4 §6.4: of a hash that is longer than the curve's order ECDSA takes the leftmost bits; a shorter one is a
 * smaller number. The TPM sees a digest of its own length that stands for the same number. */
static void fit_to_curve(uint8_t digest[static 64], size_t size, size_t wanted) {
    if (size < wanted) {
        memmove(digest + (wanted - size), digest, size);
        memset(digest, 0, wanted - size);
    }
}

/* The digest that the caller brought or of what he brought; its length, or 0. */
static size_t take_digest(SignOperation *operation, uint8_t digest[static 64]) {
    unsigned size = 64;

    if (operation->running) {
        gnutls_hash_output(operation->running, digest);
        return operation->mechanism->hash;
    }
    if (operation->mechanism->padding == SCHEME_RSA_PKCS1) {
        gnutls_datum_t info = { operation->raw, (unsigned) operation->raw_size };
        gnutls_digest_algorithm_t algorithm;
        if (gnutls_decode_ber_digest_info(&info, &algorithm, digest, &size) < 0 || size < SCHEME_SHA256 ||
            algorithm != scheme_hash_to_gnutls((SchemeHash) size))
            return 0;
        return operation->hash = size;
    }
    if (operation->raw_size > 64)
        return 0;
    memcpy(digest, operation->raw, operation->raw_size);
    return operation->raw_size;
}

static CK_RV finish_digest(SignOperation *operation, uint8_t digest[static 64], const SignatureScheme **ret) {
    SchemePadding padding = (SchemePadding) operation->mechanism->padding;
    size_t size = take_digest(operation, digest);
    const SignatureScheme *scheme = scheme_for(operation->view, operation->mechanism->padding, operation->hash);

    if (!scheme)
        return CKR_KEY_SIZE_RANGE;
    if (padding == SCHEME_RSA_PKCS1 && size == 0)
        return CKR_DATA_INVALID;
    if (padding == SCHEME_ECDSA) {
        if (size < SCHEME_SHA256)
            return CKR_DATA_LEN_RANGE;
        fit_to_curve(digest, size, (size_t) scheme->hash);
    } else if (size != (size_t) scheme->hash)
        return CKR_DATA_LEN_RANGE;
    *ret = scheme;
    return CKR_OK;
}

/* A program keeps key handles for long: where their generation is gone, the current one will do if its key is the same.
 */
static int follow(SignOperation *operation, SignRequest *request) {
    _cleanup_snapshot_ identityd_snapshot *newer = NULL;
    _cleanup_(view_unref_p) View *view = NULL;
    Entry *entry = operation->view->entry;

    int r = credential_use(entry->credential, &newer);
    if (r < 0)
        return r;
    if (newer->generation == request->generation || view_new(entry, newer, 0, &view) < 0 ||
        !bytes_view_equal(bytes_view(&view->public_key), bytes_view(&operation->view->public_key)))
        return -ESTALE;
    request->generation = newer->generation;
    return credential_sign(entry->credential, request, operation->signature, &operation->signature_size);
}

/* PKCS#11 wants r and s side by side, each as wide as the curve; TLS and identityd a DER SEQUENCE. */
static CK_RV unwrap_ecdsa(SignOperation *operation) {
    size_t width = (operation->view->bits + 7) / 8;
    gnutls_datum_t der = { operation->signature, (unsigned) operation->signature_size }, r, s;
    uint8_t both[2 * 66] = { 0 };

    if (gnutls_decode_rs_value(&der, &r, &s) < 0)
        return CKR_DEVICE_ERROR;
    const gnutls_datum_t *parts[] = { &r, &s };
    bool fits = width <= 66;
    for (size_t i = 0; i < 2 && fits; i++) {
        size_t zeroes = 0; /* a leading zero that keeps the INTEGER positive */
        while (zeroes < parts[i]->size && parts[i]->data[zeroes] == 0)
            zeroes++;
        size_t size = parts[i]->size - zeroes;
        fits = size <= width;
        if (fits)
            memcpy(both + (i + 1) * width - size, parts[i]->data + zeroes, size);
    }
    gnutls_free(r.data);
    gnutls_free(s.data);
    if (!fits)
        return CKR_DEVICE_ERROR;
    memcpy(operation->signature, both, 2 * width);
    operation->signature_size = 2 * width;
    return CKR_OK;
}

static CK_RV make_signature(SignOperation *operation) {
    const SignatureScheme *scheme = NULL;
    uint8_t digest[64];

    CK_RV rv = finish_digest(operation, digest, &scheme);
    if (rv != CKR_OK)
        return rv;
    SignRequest request = {
        .type = HANDLE_SIGN_DIGEST,
        .generation = operation->view->snapshot->generation,
        .scheme = scheme->id,
        .payload = { digest, (size_t) scheme->hash },
    };
    int r =
        credential_sign(operation->view->entry->credential, &request, operation->signature, &operation->signature_size);
    if (r == -ESTALE)
        r = follow(operation, &request);
    if (r < 0)
        return rv_of(r);
    return scheme->padding == SCHEME_ECDSA ? unwrap_ecdsa(operation) : CKR_OK;
}

static CK_ULONG signature_length(const View *view) {
    CK_ULONG width = (view->bits + 7) / 8;

    return view->key_type == CKK_EC ? 2 * width : width;
}

/* Gives the operation back to its session, if that is still there and began no other. */
static void put_back(Module *module, CK_SESSION_HANDLE handle, SignOperation *operation) {
    module_lock(module);
    Session *session = module_session(module, handle);
    if (session && !session->signing)
        session->signing = TAKE_PTR(operation);
    module_unlock(module);
    sign_operation_free(operation);
}

/* The convention for outputs: without a buffer the length is told, with one that is too small, too, and the operation
 * goes on; everything else ends it. */
static CK_RV deliver(SignOperation *operation, unsigned char *signature, CK_ULONG *size, bool *ret_goes_on) {
    CK_ULONG length = signature_length(operation->view);

    *ret_goes_on = false;
    if (!size)
        return CKR_ARGUMENTS_BAD;
    if (!signature || *size < length) {
        *size = length;
        *ret_goes_on = true;
        return signature ? CKR_BUFFER_TOO_SMALL : CKR_OK;
    }
    CK_RV rv = make_signature(operation);
    if (rv != CKR_OK)
        return rv;
    if (operation->signature_size > *size)
        return CKR_DEVICE_ERROR;
    memcpy(signature, operation->signature, operation->signature_size);
    *size = operation->signature_size;
    return CKR_OK;
}

/* Takes the operation out of its session. */
static CK_RV take_operation(CK_SESSION_HANDLE handle, OperationForm form, Module **ret, SignOperation **ret_operation) {
    Session *session;
    CK_RV rv = module_enter(handle, ret, &session);

    if (rv != CKR_OK)
        return rv;
    SignOperation *operation = TAKE_PTR(session->signing);
    module_unlock(*ret);
    if (!operation)
        return CKR_OPERATION_NOT_INITIALIZED;
    if (!operation_keeps_form(&operation->form, form)) {
        sign_operation_free(operation);
        return CKR_OPERATION_ACTIVE;
    }
    *ret_operation = operation;
    return CKR_OK;
}

CK_RV c_sign(CK_SESSION_HANDLE handle, unsigned char *data, CK_ULONG size, unsigned char *signature,
             CK_ULONG *signature_size) {
    _cleanup_(sign_operation_free_p) SignOperation *operation = NULL;
    Module *module;
    bool goes_on;

    CK_RV rv = take_operation(handle, FORM_WHOLE, &module, &operation);
    if (rv != CKR_OK)
        return rv;
    /* the data comes again with the call that has room for the signature: only then is it taken */
    if (signature && signature_size && *signature_size >= signature_length(operation->view)) {
        rv = take_part(operation, data, size);
        if (rv != CKR_OK)
            return rv;
    }
    rv = deliver(operation, signature, signature_size, &goes_on);
    if (goes_on)
        put_back(module, handle, TAKE_PTR(operation));
    return rv;
}

CK_RV c_sign_update(CK_SESSION_HANDLE handle, unsigned char *part, CK_ULONG size) {
    _cleanup_(sign_operation_free_p) SignOperation *operation = NULL;
    Module *module;

    CK_RV rv = take_operation(handle, FORM_PARTS, &module, &operation);
    if (rv != CKR_OK)
        return rv;
    rv = take_part(operation, part, size);
    if (rv == CKR_OK)
        put_back(module, handle, TAKE_PTR(operation));
    return rv;
}

CK_RV c_sign_final(CK_SESSION_HANDLE handle, unsigned char *signature, CK_ULONG *signature_size) {
    _cleanup_(sign_operation_free_p) SignOperation *operation = NULL;
    Module *module;
    bool goes_on;

    CK_RV rv = take_operation(handle, FORM_PARTS, &module, &operation);
    if (rv != CKR_OK)
        return rv;
    rv = deliver(operation, signature, signature_size, &goes_on);
    if (goes_on)
        put_back(module, handle, TAKE_PTR(operation));
    return rv;
}
