/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What GnuTLS wants signed, as a request to identityd. GnuTLS shows its callbacks nothing but a digest: for a
 * tls-client or tls-server credential the session's own transcript must have that digest, and the transcript hash is
 * what is sent. */
#include "client-lib/gnutls-key.h"

#include "client-lib/credential.h"
#include "client-lib/entry.h"
#include "client-lib/error.h"
#include "common/gnutls-scheme.h"
#include "common/handle-protocol.h"
#include "common/transcript.h"

#include <gnutls/crypto.h>
#include <string.h>

typedef struct KeyContext {
    GnutlsKey key; /* `snapshot` is a reference of its own */
    const SnapshotKey *public;
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
    case -EHOSTDOWN:
    case -EPIPE:
        return GNUTLS_E_TPM_SESSION_ERROR;
    case -ENODEV:
        return GNUTLS_E_TPM_ERROR;
    default:
        return GNUTLS_E_PK_SIGN_FAILED;
    }
}

/* The request for a tls-client or tls-server credential: its session's transcript hash into `hash`. */
static int transcript_request(const KeyContext *context, BytesView digest, SignRequest *request,
                              uint8_t hash[static 48]) {
    TlsSide side = context->key.snapshot->purpose == PURPOSE_TLS_SERVER ? TLS_SIDE_SERVER : TLS_SIDE_CLIENT;
    Transcript *transcript = context->key.session ? transcript_of_session(context->key.session) : NULL;
    size_t size = 0;

    int r = -ENOMSG;
    if (transcript && context->key.snapshot->tls12 &&
        gnutls_protocol_get_version(context->key.session) == GNUTLS_TLS1_2) {
        request->type = HANDLE_SIGN_MESSAGE;
        r = transcript_messages_for(transcript, scheme_hash_to_gnutls(scheme_by_id(request->scheme)->hash), digest,
                                    &request->payload);
        return r == -EMSGSIZE ? client_error(r,
                                             "the TLS 1.2 handshake has more than %u bytes (the server names too many "
                                             "CAs), which identityd does not sign: have it speak TLS 1.3",
                                             TRANSCRIPT_MESSAGES_MAX)
               : r < 0        ? client_errno(r, "reading the TLS transcript")
                              : 0;
    }
    if (transcript)
        r = transcript_hash_for(transcript, side, scheme_hash_to_gnutls(scheme_by_id(request->scheme)->hash), digest,
                                hash, &size);
    if (r == -ENOMSG)
        return client_error(-EPERM,
                            "a %s credential signs TLS 1.3 handshakes of its side in sessions begun with "
                            "identityd_gnutls_session_begin(), and nothing else: this is none",
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
    PRESERVE_ERRNO;
    KeyContext *context = userdata;
    uint8_t plain[64], transcript[48], signature[IDENTITYD_SIGNATURE_MAX];
    SignRequest request = { .type = HANDLE_SIGN_DIGEST, .generation = context->key.snapshot->generation };
    size_t size = 0;

    const SignatureScheme *scheme = scheme_from_gnutls_hash(algorithm, hash, plain, &request.payload);
    if (!scheme)
        return gnutls_error_of(client_error(-EINVAL, "GnuTLS wants a signature %s that identityd does not make",
                                            gnutls_sign_get_name(algorithm) ?: "(unknown)"));
    request.scheme = scheme->id;
    int r = context->key.snapshot->purpose == PURPOSE_DIGEST
                ? 0
                : transcript_request(context, request.payload, &request, transcript);
    if (r < 0)
        return gnutls_error_of(r);
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

/* In TLS 1.2 a P-384 key signs with SHA-256, too, where a server asks for that alone (identityd-handle(7)). */
static bool has_scheme(const SignatureScheme *scheme, const void *userdata) {
    const KeyContext *context = userdata;
    const identityd_snapshot *snapshot = context->key.snapshot;

    if (snapshot_has_scheme(snapshot, scheme->id))
        return true;
    return scheme->id == 0x0403 && snapshot->tls12 && snapshot_has_scheme(snapshot, 0x0503) && context->key.session &&
           gnutls_protocol_get_version(context->key.session) == GNUTLS_TLS1_2;
}

static int key_info(gnutls_privkey_t key, unsigned flags, void *userdata) {
    PRESERVE_ERRNO;
    const KeyContext *context = userdata;
    const KeyInformation information = { context->public->algorithm, context->public->bits, has_scheme, context };

    return key_information_answer(&information, flags);
}

static void context_free(KeyContext *context) {
    if (context->key.owns_credential)
        identityd_credential_free(context->key.credential);
    identityd_snapshot_free(context->key.snapshot);
    free(context);
}

static void key_deinit(gnutls_privkey_t key, void *userdata) {
    PRESERVE_ERRNO;

    context_free(userdata);
}

static bool same_public_key(const KeyContext *context, identityd_snapshot *snapshot) {
    const gnutls_datum_t *ours = &context->public->spki;
    const SnapshotKey *theirs;

    return snapshot_key(snapshot, &theirs) >= 0 && ours->size == theirs->spki.size &&
           memcmp(ours->data, theirs->spki.data, ours->size) == 0;
}

int gnutls_key_import(gnutls_privkey_t key, const GnutlsKey *from) {
    KeyContext *context = calloc(1, sizeof(*context));

    if (!context) {
        (void) client_errno(-ENOMEM, "importing a key");
        return GNUTLS_E_MEMORY_ERROR;
    }
    int r = snapshot_key(from->snapshot, &context->public);
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
