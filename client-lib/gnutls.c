/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GnuTLS credentials that follow an identity: chain and key are handed out for each handshake, and the peer is verified
 * inside it. What belongs to one session hangs in a slot of that session, so that GnuTLS frees it with the session and
 * no table of sessions is needed. */
#include "client-lib/credential.h"
#include "client-lib/entry.h"
#include "client-lib/error.h"
#include "client-lib/gnutls-key.h"
#include "client-lib/verify.h"
#include "common/session-slot.h"
#include "common/transcript.h"
#include "identityd/identityd-gnutls.h"

#include <arpa/inet.h>
#include <gnutls/ocsp.h>
#include <string.h>

#define HOST_MAX 255U
#define FLAGS_ALL                                                                                                      \
    (IDENTITYD_VERIFY_CRL_HARD | IDENTITYD_GNUTLS_TICKETS | IDENTITYD_GNUTLS_KEEP_PRIORITY | IDENTITYD_GNUTLS_RESUME)

struct identityd_gnutls_credentials {
    identityd_credential *credential; /* borrowed */
    gnutls_certificate_credentials_t certificate;
    unsigned flags;
    gnutls_datum_t ticket_key;      /* under credential_lock() */
    identityd_snapshot *ticket_for; /* the snapshot that was current when it was made */
};

typedef struct Session {
    identityd_gnutls_credentials *credentials;
    Transcript *transcript;
    char *host; /* NULL: any name */
    unsigned flags;
} Session;

/* ---- the session's slot ---- */

static void session_release(gnutls_ext_priv_data_t data) {
    Session *session = data;

    if (!session)
        return;
    transcript_free(session->transcript);
    free(session->host);
    free(session);
}

static Session *session_of(gnutls_session_t session) {
    return session_slot_get(session, SLOT_CLIENT);
}

static int session_reserve(gnutls_session_t session) {
    int code = session_slot_reserve(session, SLOT_CLIENT, session_release, NULL);

    if (code < 0)
        return client_error(-ENOMEM, "preparing the TLS session: %s", gnutls_strerror(code));
    if (session_of(session))
        return client_error(-EALREADY, "identityd_gnutls_session_begin() was called on this session before");
    return 0;
}

/* ---- for each handshake: chain and key ---- */

/* Of the leaf (`key` is its) GnuTLS needs the public key and its usage, which the snapshot has read once: parsing the
 * certificate again for each handshake would cost more than all else here. Of those above it the bytes alone. */
static int make_certificate(const SnapshotKey *key, const gnutls_datum_t *der, gnutls_pcert_st *ret) {
    gnutls_pcert_st certificate = { .type = GNUTLS_CRT_X509 };
    int code = 0;

    if (key) {
        code = gnutls_pubkey_init(&certificate.pubkey);
        if (code >= 0)
            code = gnutls_pubkey_import(certificate.pubkey, &key->spki, GNUTLS_X509_FMT_DER);
        if (code >= 0)
            code = gnutls_pubkey_set_key_usage(certificate.pubkey, key->usage);
    }
    certificate.cert.data = code >= 0 ? gnutls_malloc(der->size) : NULL;
    if (!certificate.cert.data) {
        if (certificate.pubkey)
            gnutls_pubkey_deinit(certificate.pubkey);
        return code < 0 ? code : GNUTLS_E_MEMORY_ERROR;
    }
    memcpy(certificate.cert.data, der->data, der->size);
    certificate.cert.size = der->size;
    *ret = certificate;
    return 0;
}

static int make_certificates(const SnapshotKey *key, const SnapshotChain *chain, gnutls_pcert_st **ret) {
    gnutls_pcert_st *certificates = gnutls_calloc(chain->count, sizeof(*certificates));

    if (!certificates)
        return GNUTLS_E_MEMORY_ERROR;
    for (unsigned i = 0; i < chain->count; i++) {
        int code = make_certificate(i == 0 ? key : NULL, &chain->der[i], &certificates[i]);
        if (code < 0) {
            while (i-- > 0)
                gnutls_pcert_deinit(&certificates[i]);
            gnutls_free(certificates);
            return code;
        }
    }
    *ret = certificates;
    return 0;
}

/* Our own OCSP response for stapling, if there is one; GnuTLS frees it. Without it the handshake goes on. */
static void make_staple(const identityd_snapshot *snapshot, gnutls_ocsp_data_st **ret, unsigned *ret_count) {
    if (snapshot->ocsp.size == 0)
        return;
    gnutls_ocsp_data_st *staple = gnutls_calloc(1, sizeof(*staple));
    unsigned char *data = gnutls_malloc(snapshot->ocsp.size);
    if (!staple || !data) {
        gnutls_free(staple);
        gnutls_free(data);
        return;
    }
    memcpy(data, snapshot->ocsp.data, snapshot->ocsp.size);
    staple->response = (gnutls_datum_t) { data, (unsigned) snapshot->ocsp.size };
    *ret = staple;
    *ret_count = 1;
}

/* A handle of one side in a session of the other, or TLS 1.2 with a purpose that knows only TLS 1.3, would be refused
 * by identityd anyway; here the reason can be told. */
static int check_fits(gnutls_session_t tls, const Session *session, const identityd_snapshot *snapshot) {
    gnutls_protocol_t version = gnutls_protocol_get_version(tls);
    Purpose purpose = snapshot->purpose;
    TlsSide side = TLS_SIDE_CLIENT;

    if (purpose == PURPOSE_DIGEST)
        return 0;
    if (version != GNUTLS_TLS1_3 && !(version == GNUTLS_TLS1_2 && snapshot->tls12))
        return client_error(
            -EPERM,
            "the peer speaks %s: a %s credential signs TLS 1.3 only, so the peer has to speak that; a client "
            "may sign TLS 1.2 where [Access] has TLS12=yes",
            gnutls_protocol_get_name(version), purpose_to_string(purpose));
    if (transcript_side(session->transcript, &side) < 0 ||
        purpose != (side == TLS_SIDE_SERVER ? PURPOSE_TLS_SERVER : PURPOSE_TLS_CLIENT))
        return client_error(-EPERM, "a %s credential cannot authenticate this side of a TLS session",
                            purpose_to_string(purpose));
    return 0;
}

static int retrieve(gnutls_session_t tls, const struct gnutls_cert_retr_st *info, gnutls_pcert_st **ret_certificates,
                    unsigned *ret_count, gnutls_ocsp_data_st **ret_ocsp, unsigned *ret_ocsp_count,
                    gnutls_privkey_t *ret_key, unsigned *ret_flags) {
    PRESERVE_ERRNO;
    _cleanup_snapshot_ identityd_snapshot *snapshot = NULL;
    const Session *session = session_of(tls);
    const SnapshotChain *chain;
    const SnapshotKey *public;
    gnutls_pcert_st *certificates;
    gnutls_privkey_t key;

    if (!session)
        return gnutls_error_of(
            client_error(-EINVAL, "identityd_gnutls_session_begin() was not called on this session"));
    int r = credential_use(session->credentials->credential, &snapshot);
    if (r >= 0)
        r = check_fits(tls, session, snapshot);
    if (r >= 0)
        r = snapshot_chain_der(snapshot, &chain);
    if (r >= 0)
        r = snapshot_key(snapshot, &public);
    if (r < 0)
        return gnutls_error_of(r);
    int code = gnutls_privkey_init(&key);
    if (code < 0)
        return code;
    code = gnutls_key_import(
        key, &(GnutlsKey) { .credential = session->credentials->credential, .snapshot = snapshot, .session = tls });
    if (code >= 0)
        code = make_certificates(public, chain, &certificates);
    if (code < 0) {
        gnutls_privkey_deinit(key);
        return code;
    }
    *ret_certificates = certificates;
    *ret_count = chain->count;
    *ret_key = key;
    *ret_ocsp_count = 0;
    make_staple(snapshot, ret_ocsp, ret_ocsp_count);
    *ret_flags = GNUTLS_CERT_RETR_DEINIT_ALL;
    return 0;
}

/* ---- for each handshake: the peer ---- */

static int verify_peer_of(gnutls_session_t tls, const Session *session, const char *host) {
    _cleanup_snapshot_ identityd_snapshot *snapshot = NULL;
    bool is_resumed = gnutls_session_is_resumed(tls) != 0;
    TlsSide side = TLS_SIDE_CLIENT;
    gnutls_datum_t staple = { NULL, 0 };
    unsigned count = 0;

    if (transcript_side(session->transcript, &side) < 0)
        return client_error(-EINVAL, "the TLS session has no ClientHello");
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(tls, &count);
    if (!chain && side == TLS_SIDE_SERVER)
        return 0; /* not demanded, else GnuTLS would have ended the handshake itself */
    if (!is_resumed && gnutls_certificate_type_get2(tls, GNUTLS_CTYPE_PEERS) != GNUTLS_CRT_X509)
        return client_error(-EKEYREJECTED, "the peer's certificate is no X.509 certificate");
    snapshot = credential_latest(session->credentials->credential);
    const VerifyWanted wanted = {
        .host = host,
        .is_server = side == TLS_SIDE_CLIENT,
        .in_handshake = !is_resumed, /* else the first session had the staple */
        .flags = session->flags,
        .ocsp = gnutls_ocsp_status_request_get2(tls, 0, &staple) >= 0 ? &staple : NULL,
    };
    return verify_chain(snapshot, chain, count, &wanted);
}

static const Session *begun(gnutls_session_t tls) {
    const Session *session = tls ? session_of(tls) : NULL;

    if (!session)
        (void) client_error(-EINVAL, "identityd_gnutls_session_begin() was not called on this session");
    return session;
}

/* Inside the handshake. */
static int verify_peer(gnutls_session_t tls) {
    PRESERVE_ERRNO;
    const Session *session = begun(tls);
    int r = session ? verify_peer_of(tls, session, session->host) : -EINVAL;

    return r < 0 ? gnutls_error_of(r) : 0;
}

/* In a session that is resumed GnuTLS asks nobody: its peer is the one of the first, whose certificate may have ended
 * since then, or been revoked, or been let in by other flags or for another name. So a server asks before it takes the
 * client's last word. A client can not: whose session it is GnuTLS tells only after the handshake. */
static int verify_resumed(gnutls_session_t tls, unsigned type, unsigned when, unsigned incoming,
                          const gnutls_datum_t *message) {
    const Session *session = session_of(tls);
    TlsSide side = TLS_SIDE_CLIENT;

    (void) message;
    if (type != GNUTLS_HANDSHAKE_FINISHED || when != GNUTLS_HOOK_PRE || !incoming || !session ||
        !gnutls_session_is_resumed(tls))
        return 0;
    if (transcript_side(session->transcript, &side) >= 0 && side == TLS_SIDE_SERVER)
        return verify_peer(tls);
    if (session->flags & IDENTITYD_GNUTLS_RESUME)
        return 0;
    return gnutls_error_of(client_error(-EKEYREJECTED,
                                        "the TLS session is resumed, and who its server was is not verified in the "
                                        "handshake: see IDENTITYD_GNUTLS_RESUME"));
}

_public_ int identityd_gnutls_verify_peer(gnutls_session_t tls, const char *host) {
    PRESERVE_ERRNO;
    const Session *session = begun(tls);

    if (!session)
        return -EINVAL;
    if (host && !host[0])
        return client_error(-EINVAL, "verifying a peer: an empty name");
    return verify_peer_of(tls, session, host);
}

_public_ int identityd_gnutls_peer(gnutls_session_t tls, identityd_peer **ret) {
    PRESERVE_ERRNO;
    unsigned count = 0;

    if (!begun(tls) || !ret)
        return -EINVAL;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(tls, &count);
    if (!chain || count == 0)
        return client_error(-ENODATA, "the peer showed no certificate");
    return peer_new(&chain[0], ret);
}

/* ---- credentials ---- */

_public_ int identityd_gnutls_credentials_new(identityd_credential *credential, unsigned flags,
                                              identityd_gnutls_credentials **ret) {
    PRESERVE_ERRNO;

    if (!credential || !ret || flags & ~FLAGS_ALL)
        return client_error(-EINVAL, "GnuTLS credentials: an argument is NULL, or unknown flags 0x%x", flags);
    identityd_gnutls_credentials *credentials = calloc(1, sizeof(*credentials));
    if (!credentials || gnutls_certificate_allocate_credentials(&credentials->certificate) < 0) {
        free(credentials);
        return client_errno(-ENOMEM, "making GnuTLS credentials");
    }
    credentials->credential = credential;
    credentials->flags = flags;
    gnutls_certificate_set_retrieve_function3(credentials->certificate, retrieve);
    gnutls_certificate_set_verify_function(credentials->certificate, verify_peer);
    *ret = credentials;
    return 0;
}

static void erase_ticket_key(identityd_gnutls_credentials *credentials) {
    if (credentials->ticket_key.data) {
        gnutls_memset(credentials->ticket_key.data, 0, credentials->ticket_key.size);
        gnutls_free(credentials->ticket_key.data);
    }
    credentials->ticket_key = (gnutls_datum_t) { NULL, 0 };
}

_public_ identityd_gnutls_credentials *identityd_gnutls_credentials_free(identityd_gnutls_credentials *credentials) {
    PRESERVE_ERRNO;

    if (!credentials)
        return NULL;
    gnutls_certificate_free_credentials(credentials->certificate);
    erase_ticket_key(credentials);
    identityd_snapshot_free(credentials->ticket_for);
    free(credentials);
    return NULL;
}

_public_ gnutls_certificate_credentials_t identityd_gnutls_credentials_get(identityd_gnutls_credentials *credentials) {
    PRESERVE_ERRNO;

    return credentials->certificate;
}

/* ---- sessions ---- */

/* Anything that bears on whom a resumed session would let in: a resumption verifies nobody again. */
static bool tickets_are_stale(const identityd_gnutls_credentials *credentials, const identityd_snapshot *snapshot) {
    const identityd_snapshot *made_for = credentials->ticket_for;

    return !made_for || made_for->generation != snapshot->generation || strcmp(made_for->state, snapshot->state) != 0 ||
           !bytes_view_equal(bytes_view(&made_for->anchors), bytes_view(&snapshot->anchors)) ||
           !bytes_view_equal(bytes_view(&made_for->crls), bytes_view(&snapshot->crls));
}

/* Session tickets under a key that is thrown away with every change of the State: after a revocation no ticket from
 * before resumes anything. */
static int enable_tickets(identityd_gnutls_credentials *credentials, gnutls_session_t tls,
                          identityd_snapshot *snapshot) {
    int code = 0;

    credential_lock(credentials->credential);
    if (tickets_are_stale(credentials, snapshot)) {
        erase_ticket_key(credentials);
        identityd_snapshot_free(credentials->ticket_for);
        credentials->ticket_for = NULL;
        code = gnutls_session_ticket_key_generate(&credentials->ticket_key);
        if (code >= 0)
            credentials->ticket_for = snapshot_ref(snapshot);
    }
    if (code >= 0)
        code = gnutls_session_ticket_enable_server(tls, &credentials->ticket_key);
    credential_unlock(credentials->credential);
    return code < 0 ? client_error(-EIO, "enabling session tickets: %s", gnutls_strerror(code)) : 0;
}

static bool is_address(const char *host) {
    uint8_t address[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

static int set_parameters(gnutls_session_t tls, const Session *session, const identityd_snapshot *snapshot) {
    const char *versions = snapshot->tls12 ? "-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2" : "-VERS-ALL:+VERS-TLS1.3";
    Purpose purpose = snapshot->purpose;
    int code = gnutls_credentials_set(tls, GNUTLS_CRD_CERTIFICATE, session->credentials->certificate);

    if (code >= 0 && purpose != PURPOSE_DIGEST && !(session->flags & IDENTITYD_GNUTLS_KEEP_PRIORITY))
        code = gnutls_set_default_priority_append(tls, versions, NULL, 0);
    if (code >= 0 && session->host && purpose != PURPOSE_TLS_SERVER && !is_address(session->host) &&
        !verify_name_is_uri(session->host))
        code = gnutls_server_name_set(tls, GNUTLS_NAME_DNS, session->host, strlen(session->host));
    if (code == GNUTLS_E_INVALID_REQUEST && purpose == PURPOSE_DIGEST)
        code = 0; /* a server's session: there is nobody to send a name to */
    return code < 0 ? client_error(-EINVAL, "preparing the TLS session: %s", gnutls_strerror(code)) : 0;
}

static int fill_session(Session *session, gnutls_session_t tls, identityd_snapshot *snapshot) {
    int r = transcript_attach(tls, verify_resumed, &session->transcript);

    if (r < 0)
        return client_errno(r, "keeping the TLS transcript");
    r = set_parameters(tls, session, snapshot);
    if (r >= 0 && session->flags & IDENTITYD_GNUTLS_TICKETS && snapshot->purpose != PURPOSE_TLS_CLIENT)
        r = enable_tickets(session->credentials, tls, snapshot);
    return r;
}

_public_ int identityd_gnutls_session_begin(identityd_gnutls_credentials *credentials, gnutls_session_t tls,
                                            const char *host, unsigned flags) {
    PRESERVE_ERRNO;
    _cleanup_snapshot_ identityd_snapshot *snapshot = NULL;

    if (!credentials || !tls || flags & ~FLAGS_ALL || (host && (!host[0] || strlen(host) > HOST_MAX)))
        return client_error(-EINVAL,
                            "beginning a TLS session: a NULL argument, an impossible host name, or unknown flags");
    int r = credential_use(credentials->credential, &snapshot);
    if (r >= 0)
        r = session_reserve(tls);
    if (r < 0)
        return r;
    Session *session = calloc(1, sizeof(*session));
    if (session && host)
        session->host = strdup(host);
    if (!session || (host && !session->host)) {
        free(session);
        return client_errno(-ENOMEM, "beginning a TLS session");
    }
    session->credentials = credentials;
    session->flags = flags | credentials->flags;
    r = fill_session(session, tls, snapshot);
    if (r < 0) {
        session_release(session);
        return r;
    }
    session_slot_set(tls, SLOT_CLIENT, session);
    return 0;
}

_public_ void identityd_gnutls_session_end(gnutls_session_t tls) {
    PRESERVE_ERRNO;

    if (session_of(tls))
        session_slot_set(tls, SLOT_CLIENT, NULL); /* GnuTLS releases the old one */
}
