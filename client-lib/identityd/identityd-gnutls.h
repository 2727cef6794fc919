/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libidentityd-gnutls: TLS with this device's identities by GnuTLS, and what else has to read certificates. See
 * identityd-gnutls(3) and identityd_verify_peer(3). */
#ifndef IDENTITYD_GNUTLS_H
#define IDENTITYD_GNUTLS_H

#include <gnutls/gnutls.h>
#include <identityd/identityd.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Credentials for sessions that authenticate with `credential` and verify peers with its anchors and CRLs. They follow
 * renewals by themselves: each handshake uses the generation that is current when it begins. When identityd was
 * restarted or this process was forked, they open `credential` again, at most once a second and less often while that
 * fails. Sessions share them, also between threads. Free with identityd_gnutls_credentials_free() after the last
 * session; keeps its own reference to nothing: `credential` must outlive it. */
typedef struct identityd_gnutls_credentials identityd_gnutls_credentials;

/* Flags, beside IDENTITYD_VERIFY_…; those given for the credentials hold for each session. */
#define IDENTITYD_GNUTLS_TICKETS                                                                                       \
    0x100u /* server: send session tickets. Their key is thrown away with every change of the identity's               \
            * generation, state, anchors or CRLs; and who comes back by one is verified again, with this session's     \
            * flags */
#define IDENTITYD_GNUTLS_KEEP_PRIORITY                                                                                 \
    0x200u /* the program has set the session's priorities itself; they must allow TLS 1.3 */
#define IDENTITYD_GNUTLS_RESUME                                                                                        \
    0x400u /* client: the session may be one that the program resumes (gnutls_session_set_data()). GnuTLS does not     \
            * tell in the handshake whose it is, so that the program itself calls identityd_gnutls_verify_peer() after \
            * a handshake that resumed (gnutls_session_is_resumed()), before it sends anything. Without the flag such  \
            * a handshake fails */

/* 0, -EINVAL, -ENOMEM. */
int identityd_gnutls_credentials_new(identityd_credential *credential, unsigned flags,
                                     identityd_gnutls_credentials **ret);
identityd_gnutls_credentials *identityd_gnutls_credentials_free(identityd_gnutls_credentials *credentials);
/* The object to use with gnutls_credentials_set(); borrowed. */
gnutls_certificate_credentials_t identityd_gnutls_credentials_get(identityd_gnutls_credentials *credentials);

/* Once per session, before the handshake and before session tickets are set: sets the credentials, keeps the transcript
 * so that a tls-client or tls-server handle suffices, restricts the session to TLS 1.3 (GnuTLS's default priorities
 * otherwise) unless the purpose is `digest`, and, with `host`, sends SNI. The peer is verified inside the handshake
 * (anchors, CRLs, name, key usage); flags: IDENTITYD_VERIFY_…. A server asks for a client certificate with
 * gnutls_certificate_server_set_request() itself. Without `host` a peer of any name that verifies is accepted: a client
 * gives one. The session's handshake hook is taken. Where the handshake fails for a reason of ours, GnuTLS's code is a
 * general one and identityd_last_error() of the thread says why. identityd_gnutls_session_end() releases what this
 * keeps before gnutls_deinit() does. 0; -EALREADY: called twice; or as identityd_credential_open(). */
int identityd_gnutls_session_begin(identityd_gnutls_credentials *credentials, gnutls_session_t session,
                                   const char *host, unsigned flags);
void identityd_gnutls_session_end(gnutls_session_t session);

/* What the handshake of a begun session does by itself, for a program that sets a verify function of its own
 * (gnutls_session_set_verify_function()) and calls this in it: verifies the peer's chain, usage and stapled OCSP
 * response with the session's flags. `host` as in identityd_gnutls_session_begin(), which it stands for here; NULL: any
 * name. 0; -EKEYREJECTED, -EKEYREVOKED, -ENOENT, -EBADMSG as identityd_verify_peer(); -EINVAL: the session was not
 * begun. */
int identityd_gnutls_verify_peer(gnutls_session_t session, const char *host);

/* Who the peer of a session is, after the handshake of a begun session (which verified it). Free with
 * identityd_peer_free(). 0; -ENODATA: it showed no certificate, as a client may where none is demanded; -EINVAL,
 * -ENOMEM. */
typedef struct identityd_peer identityd_peer;
int identityd_gnutls_peer(gnutls_session_t session, identityd_peer **ret);
/* Subject in RFC 4514 form, "" for an empty one; SHA-256 of the certificate, lower-case hex; subject alternative names
 * as dns:NAME, uri:URI, ip:ADDRESS and mail:ADDRESS, NULL-terminated, in the certificate's order. Borrowed, valid as
 * long as the peer. */
const char *identityd_peer_subject(const identityd_peer *peer);
const char *identityd_peer_sha256(const identityd_peer *peer);
const char *const *identityd_peer_names(const identityd_peer *peer);
identityd_peer *identityd_peer_free(identityd_peer *peer);

/* Registers the URL identityd:NAME with GnuTLS in this process: any program that takes a URL where it takes certificate
 * and key files can then use it. identityd:NAME?purpose=tls-client selects a purpose; default digest for keys. For
 * programs that are not modified for transcripts. Call once before threads start. */
int identityd_gnutls_register_url(void);

/* Verifies a peer's chain (DER certificates, leaf first) against the handle's anchors and CRLs, at the current time.
 * `host`: DNS name, IP address or URI that the leaf must carry among its subject alternative names (RFC 9525; what has
 * a colon and is no IPv6 address is a URI), or NULL. `usage`: "server" or "client" extended key usage. `flags`:
 * IDENTITYD_VERIFY_… 0; -EKEYREJECTED with the reason in identityd_last_error(); -EKEYREVOKED. */
#define IDENTITYD_VERIFY_CRL_HARD 1u /* a certificate that no current CRL covers is refused; default: accepted */
typedef struct identityd_datum {
    const void *data;
    size_t size;
} identityd_datum;
int identityd_verify_peer(identityd_credential *credential, const identityd_datum *chain, size_t count,
                          const char *host, const char *usage, unsigned flags);
/* The same, and who it is. */
int identityd_peer_verify(identityd_credential *credential, const identityd_datum *chain, size_t count,
                          const char *host, const char *usage, unsigned flags, identityd_peer **ret);

#ifdef __cplusplus
}
#endif
#endif
