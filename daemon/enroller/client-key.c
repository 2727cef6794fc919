/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GnuTLS gives the signing callback a bare digest. The transcript kept beside the session says whether it is the digest
 * of this very handshake; only then its transcript hash goes to identityd, or of TLS 1.2, if the job allows that, the
 * messages themselves, which identityd reads before it signs. */
#include "enroller/client-key.h"

#include "common/gnutls-scheme.h"
#include "common/job-protocol.h"
#include "common/transcript.h"

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/urls.h>
#include <gnutls/x509.h>
#include <string.h>

#define CLIENT_SESSIONS_MAX 16U /* connections of one job; each costs a signature, of which there are fewer */

/* One loaded key: lives as long as the credentials of its connection. */
typedef struct SessionKey {
    ClientKey *key;
    gnutls_session_t session;
    Transcript *transcript;
} SessionKey;

struct ClientKey {
    const EnrollJob *job;
    Channel *channel;
    gnutls_pk_algorithm_t algorithm;
    SessionKey sessions[CLIENT_SESSIONS_MAX];
    size_t session_count;
    Failure failure;
};

/* The one place that the callbacks can find their key in (see the header). */
static struct {
    ClientKey *key;
    ClientKeySession session;
    void *userdata;
    bool registered;
} active;

void client_key_activate(ClientKey *key, ClientKeySession session, void *userdata) {
    active.key = key;
    active.session = session;
    active.userdata = userdata;
}

const Failure *client_key_failure(const ClientKey *key) {
    return &key->failure;
}

void client_key_forget_failure(ClientKey *key) {
    key->failure = FAILURE_INIT;
}

/* ---- schemes ---- */

static bool key_has_scheme(const SignatureScheme *scheme, const void *userdata) {
    const ClientKey *key = userdata;

    for (size_t i = 0; i < key->job->scheme_count; i++)
        if (key->job->schemes[i] == scheme->id)
            return true;
    return false;
}

/* ---- signing ---- */

static int sign_transcript(SessionKey *session, const SignatureScheme *scheme, BytesView digest, Bytes *ret) {
    ClientKey *key = session->key;
    uint8_t transcript[48];
    size_t size;

    int r = transcript_hash_for(session->transcript, TLS_SIDE_CLIENT, scheme_hash_to_gnutls(scheme->hash), digest,
                                transcript, &size);
    if (r < 0)
        return r;
    return channel_sign(key->channel, JOB_PACKET_SIGN_TRANSCRIPT, scheme->id, (BytesView) { transcript, size }, ret,
                        &key->failure);
}

/* TLS 1.2: the messages themselves, which identityd reads before it signs. */
static int sign_messages(SessionKey *session, const SignatureScheme *scheme, BytesView digest, Bytes *ret) {
    ClientKey *key = session->key;
    BytesView messages;

    int r = transcript_messages_for(session->transcript, scheme_hash_to_gnutls(scheme->hash), digest, &messages);
    if (r == -EMSGSIZE)
        return failure_set(
            &key->failure, r, FAILURE_ENROLLMENT_FAILED,
            "the TLS 1.2 handshake has more than %u bytes, which identityd does not sign (the server names "
            "too many CAs): have it speak TLS 1.3",
            TRANSCRIPT_MESSAGES_MAX);
    return r < 0 ? r : channel_sign(key->channel, JOB_PACKET_SIGN_TLS12, scheme->id, messages, ret, &key->failure);
}

static bool session_is_old_tls(const SessionKey *session) {
    gnutls_protocol_t version = gnutls_protocol_get_version(session->session);

    return version == GNUTLS_TLS1_2;
}

/* SHA-256 with a P-384 key, which TLS 1.2 lets servers ask for, and GnuTLS then picks. */
static bool is_tls12_pair(const SessionKey *session, const SignatureScheme *scheme) {
    return scheme->id == 0x0403 && session->key->algorithm == GNUTLS_PK_ECDSA &&
           session->key->job->client_chain.list[0]->key_bits == 384 && session_is_old_tls(session);
}

static bool session_has_scheme(const SignatureScheme *scheme, const void *userdata) {
    const SessionKey *session = userdata;

    return key_has_scheme(scheme, session->key) || is_tls12_pair(session, scheme);
}

static int key_sign_hash(gnutls_privkey_t privkey, gnutls_sign_algorithm_t algorithm, void *userdata, unsigned flags,
                         const gnutls_datum_t *hash, gnutls_datum_t *ret_signature) {
    SessionKey *session = userdata;
    _cleanup_bytes_ Bytes signature = BYTES_NULL;
    uint8_t plain[64];
    BytesView digest;

    const SignatureScheme *scheme = scheme_from_gnutls_hash(algorithm, hash, plain, &digest);
    if (!scheme || !session_has_scheme(scheme, session))
        return GNUTLS_E_UNSUPPORTED_SIGNATURE_ALGORITHM;

    int r = sign_transcript(session, scheme, digest, &signature);
    if (r == -ENOMSG && session->key->job->allow_tls12 && session_is_old_tls(session))
        r = sign_messages(session, scheme, digest, &signature);
    if (r < 0) /* -ENOMSG without more is the trial signature that GnuTLS makes when it loads a key: it does without */
        return GNUTLS_E_PK_SIGN_FAILED;

    ret_signature->data = gnutls_malloc(signature.size);
    if (!ret_signature->data)
        return GNUTLS_E_MEMORY_ERROR;
    memcpy(ret_signature->data, signature.data, signature.size);
    ret_signature->size = (unsigned) signature.size;
    return 0;
}

static int key_info(gnutls_privkey_t privkey, unsigned flags, void *userdata) {
    SessionKey *session = userdata;
    const ClientKey *key = session->key;
    const Certificate *leaf = key->job->client_chain.list[0];

    return key_information_answer(&(KeyInformation) { key->algorithm, leaf->key_bits, session_has_scheme, session },
                                  flags);
}

/* ---- the URL ---- */

static int url_import_key(gnutls_privkey_t privkey, const char *url, unsigned flags) {
    ClientKey *key = active.key;

    gnutls_session_t session = key ? active.session(active.userdata) : NULL;
    if (!session || key->session_count >= CLIENT_SESSIONS_MAX)
        return GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE;
    SessionKey *entry = &key->sessions[key->session_count];
    *entry = (SessionKey) { .key = key, .session = session };
    if (transcript_attach(session, NULL, &entry->transcript) < 0)
        return GNUTLS_E_MEMORY_ERROR;
    key->session_count++;
    return gnutls_privkey_import_ext4(privkey, entry, NULL, key_sign_hash, NULL, NULL, key_info, 0);
}

static int url_import_certificate(gnutls_x509_crt_t crt, const char *url, unsigned flags) {
    if (!active.key)
        return GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE;
    BytesView der = bytes_view(&active.key->job->client_chain.list[0]->der);
    return gnutls_x509_crt_import(crt, &(gnutls_datum_t) { (uint8_t *) der.data, (unsigned) der.size },
                                  GNUTLS_X509_FMT_DER);
}

static int url_get_issuer(const char *url, gnutls_x509_crt_t crt, gnutls_datum_t *ret_der, unsigned flags) {
    const CertificateList *chain = active.key ? &active.key->job->client_chain : NULL;

    for (size_t i = 1; chain && i < chain->count; i++) {
        gnutls_datum_t below = { chain->list[i - 1]->der.data, (unsigned) chain->list[i - 1]->der.size };
        if (!gnutls_x509_crt_equals2(crt, &below))
            continue;
        const Bytes *der = &chain->list[i]->der;
        ret_der->data = gnutls_malloc(der->size);
        if (!ret_der->data)
            return GNUTLS_E_MEMORY_ERROR;
        memcpy(ret_der->data, der->data, der->size);
        ret_der->size = (unsigned) der->size;
        return 0;
    }
    return GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE;
}

static const gnutls_custom_url_st client_key_url = {
    .name = CLIENT_KEY_URL,
    .name_size = sizeof CLIENT_KEY_URL - 1U,
    .import_key = url_import_key,
    .import_crt = url_import_certificate,
    .get_issuer = url_get_issuer,
};

/* ---- the object ---- */

int client_key_new(const EnrollJob *job, Channel *channel, ClientKey **ret, Failure *ret_failure) {
    if (!active.registered) {
        int r = gnutls_register_custom_url(&client_key_url);
        if (r < 0)
            return failure_set(ret_failure, -EIO, FAILURE_INTERNAL, "GnuTLS does not take the client key: %s.",
                               gnutls_strerror(r));
        active.registered = true;
    }
    ClientKey *key = calloc(1, sizeof *key);
    if (!key)
        return failure_errno(ret_failure, -ENOMEM, "Preparing client authentication");
    key->job = job;
    key->channel = channel;
    key->algorithm = job->client_chain.list[0]->key_algorithm;
    *ret = key;
    return 0;
}

ClientKey *client_key_free(ClientKey *key) {
    if (!key)
        return NULL;
    if (active.key == key)
        client_key_activate(NULL, NULL, NULL);
    for (size_t i = 0; i < key->session_count; i++)
        transcript_free(key->sessions[i].transcript);
    free(key);
    return NULL;
}
