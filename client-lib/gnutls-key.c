/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What GnuTLS wants signed, as a request to identityd. GnuTLS shows its callbacks nothing but a digest: for a
 * tls-client or tls-server credential the session's own transcript must have that digest, and the transcript hash is
 * what is sent. */
#include "client-lib/gnutls-key.h"

#include "client-lib/credential.h"
#include "client-lib/error.h"
#include "common/handle-protocol.h"
#include "common/scheme.h"
#include "common/transcript.h"

#include <gnutls/crypto.h>
#include <string.h>

typedef struct KeyContext {
    GnutlsKey key; /* `snapshot` is a reference of its own, and its public key was read */
} KeyContext;

int gnutls_error_of(int r) {
    switch (r) {
    case -ENOMEM:
        return GNUTLS_E_MEMORY_ERROR;
    case -EACCES:
    case -EPERM:
    case -EKEYREVOKED:
    case -EKEYEXPIRED:
    case -ENOKEY:
        return GNUTLS_E_INSUFFICIENT_CREDENTIALS;
    case -ENOENT:
    case -EAGAIN:
    case -ESTALE:
        return GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE;
    case -ETIMEDOUT:
        return GNUTLS_E_TIMEDOUT;
    case -EINVAL:
        return GNUTLS_E_INVALID_REQUEST;
    case -EKEYREJECTED:
        return GNUTLS_E_CERTIFICATE_ERROR;
    default:
        return GNUTLS_E_PK_SIGN_FAILED;
    }
}

static const struct {
    gnutls_sign_algorithm_t algorithm;
    uint16_t scheme;
} algorithms[] = {
    { GNUTLS_SIGN_ECDSA_SHA256, 0x0403 },        { GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, 0x0403 },
    { GNUTLS_SIGN_ECDSA_SHA384, 0x0503 },        { GNUTLS_SIGN_ECDSA_SECP384R1_SHA384, 0x0503 },
    { GNUTLS_SIGN_RSA_PSS_RSAE_SHA256, 0x0804 }, { GNUTLS_SIGN_RSA_PSS_SHA256, 0x0804 },
    { GNUTLS_SIGN_RSA_PSS_RSAE_SHA384, 0x0805 }, { GNUTLS_SIGN_RSA_PSS_SHA384, 0x0805 },
    { GNUTLS_SIGN_RSA_PSS_RSAE_SHA512, 0x0806 }, { GNUTLS_SIGN_RSA_PSS_SHA512, 0x0806 },
    { GNUTLS_SIGN_RSA_SHA256, 0x0401 },          { GNUTLS_SIGN_RSA_SHA384, 0x0501 },
    { GNUTLS_SIGN_RSA_SHA512, 0x0601 },
};

static uint16_t scheme_of(gnutls_sign_algorithm_t algorithm) {
    for (size_t i = 0; i < ARRAY_LENGTH(algorithms); i++)
        if (algorithms[i].algorithm == algorithm)
            return algorithms[i].scheme;
    return 0;
}

static uint16_t pkcs1_scheme_of(gnutls_digest_algorithm_t hash) {
    return hash == GNUTLS_DIG_SHA256   ? 0x0401
           : hash == GNUTLS_DIG_SHA384 ? 0x0501
           : hash == GNUTLS_DIG_SHA512 ? 0x0601
                                       : 0;
}

/* For PKCS#1 GnuTLS brings a ready DigestInfo (FACTS): identityd wants the digest alone and makes its own. */
static int unwrap_digest(gnutls_sign_algorithm_t algorithm, const gnutls_datum_t *hash, uint16_t *ret_scheme,
                         uint8_t ret_digest[static 64], size_t *ret_size) {
    if (algorithm == GNUTLS_SIGN_RSA_RAW) {
        gnutls_digest_algorithm_t digest_algorithm;
        unsigned size = 64;
        int code = gnutls_decode_ber_digest_info(hash, &digest_algorithm, ret_digest, &size);
        *ret_scheme = code < 0 ? 0 : pkcs1_scheme_of(digest_algorithm);
        *ret_size = size;
    } else {
        *ret_scheme = scheme_of(algorithm);
        if (hash->size > 64)
            *ret_scheme = 0;
        else
            memcpy(ret_digest, hash->data, hash->size);
        *ret_size = hash->size;
    }
    const SignatureScheme *scheme = scheme_by_id(*ret_scheme);
    if (!scheme || *ret_size != (size_t) scheme->hash)
        return client_error(-EINVAL, "GnuTLS wants a signature %s that identityd does not make",
                            gnutls_sign_get_name(algorithm) ? gnutls_sign_get_name(algorithm) : "(unknown)");
    return 0;
}

static gnutls_digest_algorithm_t hash_of(const SignatureScheme *scheme) {
    return scheme->hash == SCHEME_SHA256   ? GNUTLS_DIG_SHA256
           : scheme->hash == SCHEME_SHA384 ? GNUTLS_DIG_SHA384
                                           : GNUTLS_DIG_SHA512;
}

/* The request for a tls-client or tls-server credential: its session's transcript hash into `hash`. */
static int transcript_request(const KeyContext *context, BytesView digest, SignRequest *request,
                              uint8_t hash[static 48]) {
    TlsSide side = context->key.snapshot->purpose == PURPOSE_TLS_SERVER ? TLS_SIDE_SERVER : TLS_SIDE_CLIENT;
    Transcript *transcript = context->key.session ? transcript_of_session(context->key.session) : NULL;
    size_t size = 0;

    int r = -ENOMSG;
    if (transcript)
        r = transcript_hash_for(transcript, side, hash_of(scheme_by_id(request->scheme)), digest, hash, &size);
    if (r == -ENOMSG)
        return client_error(-EPERM,
                            "a %s credential signs TLS 1.3 handshakes of its side in sessions begun with "
                            "identityd_gnutls_session_begin(), and nothing else: this needs the purpose digest",
                            purpose_to_string(context->key.snapshot->purpose));
    if (r < 0)
        return client_errno(r, "reading the TLS transcript");
    request->type = HANDLE_SIGN_TRANSCRIPT;
    request->payload = (BytesView) { hash, size };
    return 0;
}

static bool same_public_key(const KeyContext *context, identityd_snapshot *snapshot);

/* A key that a program loaded and keeps: where its generation is gone, the current one will do if the key is the same.
 */
static int sign_or_follow(KeyContext *context, SignRequest *request, uint8_t *signature, size_t *size) {
    _cleanup_snapshot_ identityd_snapshot *newer = NULL;

    int r = credential_sign(context->key.credential, request, signature, size);
    if (r != -ESTALE || credential_use(context->key.credential, &newer) < 0)
        return r;
    if (newer->generation == request->generation || !same_public_key(context, newer))
        return client_error(-ESTALE,
                            "%s has a new key since this program loaded the old one: load key and certificate again",
                            newer->identity);
    request->generation = newer->generation;
    return credential_sign(context->key.credential, request, signature, size);
}

static int sign_hash(gnutls_privkey_t key, gnutls_sign_algorithm_t algorithm, void *userdata, unsigned flags,
                     const gnutls_datum_t *hash, gnutls_datum_t *ret) {
    KeyContext *context = userdata;
    uint8_t digest[64], transcript[48], signature[IDENTITYD_SIGNATURE_MAX];
    SignRequest request = { .type = HANDLE_SIGN_DIGEST, .generation = context->key.snapshot->generation };
    size_t size = 0;

    int r = unwrap_digest(algorithm, hash, &request.scheme, digest, &size);
    if (r < 0)
        return gnutls_error_of(r);
    request.payload = (BytesView) { digest, size };
    if (context->key.snapshot->purpose != PURPOSE_DIGEST) {
        r = transcript_request(context, (BytesView) { digest, size }, &request, transcript);
        if (r < 0)
            return gnutls_error_of(r);
    }
    r = sign_or_follow(context, &request, signature, &size);
    if (r < 0)
        return gnutls_error_of(r);
    ret->data = gnutls_malloc(size);
    if (!ret->data)
        return GNUTLS_E_MEMORY_ERROR;
    memcpy(ret->data, signature, size);
    ret->size = (unsigned) size;
    return 0;
}

static int key_info(gnutls_privkey_t key, unsigned flags, void *userdata) {
    const KeyContext *context = userdata;

    if (flags & GNUTLS_PRIVKEY_INFO_PK_ALGO)
        return (int) context->key.snapshot->algorithm;
    if (flags & GNUTLS_PRIVKEY_INFO_PK_ALGO_BITS)
        return (int) context->key.snapshot->bits;
    if (flags & GNUTLS_PRIVKEY_INFO_HAVE_SIGN_ALGO) {
        uint16_t scheme = scheme_of(GNUTLS_FLAGS_TO_SIGN_ALGO(flags));
        return scheme != 0 && snapshot_has_scheme(context->key.snapshot, scheme);
    }
    return -1;
}

static void context_free(KeyContext *context) {
    if (context->key.owns_credential)
        identityd_credential_free(context->key.credential);
    identityd_snapshot_free(context->key.snapshot);
    free(context);
}

static void key_deinit(gnutls_privkey_t key, void *userdata) {
    context_free(userdata);
}

static bool same_public_key(const KeyContext *context, identityd_snapshot *snapshot) {
    const gnutls_datum_t *ours = &context->key.snapshot->public_key, *theirs = &snapshot->public_key;

    return snapshot_read_public_key(snapshot) >= 0 && ours->size == theirs->size &&
           memcmp(ours->data, theirs->data, ours->size) == 0;
}

int gnutls_key_import(gnutls_privkey_t key, const GnutlsKey *from) {
    KeyContext *context = calloc(1, sizeof(*context));

    if (!context) {
        (void) client_errno(-ENOMEM, "importing a key");
        return GNUTLS_E_MEMORY_ERROR;
    }
    int r = snapshot_read_public_key(from->snapshot);
    int code = r < 0 ? gnutls_error_of(r) : 0;
    if (code >= 0) {
        context->key = *from;
        context->key.snapshot = snapshot_ref(from->snapshot);
        code = gnutls_privkey_import_ext4(key, context, NULL, sign_hash, NULL, key_deinit, key_info, 0);
    }
    if (code < 0) {
        context->key.owns_credential = false;
        context_free(context);
    }
    return code;
}
