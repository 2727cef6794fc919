/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The transcript of a GnuTLS session, kept through the handshake hook, so that a key which signs only handshakes can be
 * used from GnuTLS, which gives its callbacks a bare digest: of TLS 1.3 as a hash, of TLS 1.2 the messages.
 * docs/facts.md, "GnuTLS": incoming messages at PRE, outgoing at POST; HelloRetryRequest (1025) is written as type 2
 * and the first ClientHello replaced by message_hash; types 4, 24 and 254 are left out. */
#pragma once

#include "common/bytes.h"
#include "common/certificate-verify.h"

#include <gnutls/gnutls.h>

typedef struct Transcript Transcript;

/* Begins to keep the transcript of `session`, which must not have begun its handshake. Takes the session's
 * handshake hook; whoever wants the hook as well passes `next`, called with the same arguments (may be NULL).
 * The object belongs to the caller, who frees it after the session or calls transcript_detach before.
 * 0, -ENOMEM, -EALREADY if the session already has a transcript of ours. */
int transcript_attach(gnutls_session_t session, gnutls_handshake_hook_func next, Transcript **ret);

/* The transcript of a session, if transcript_attach was called on it, else NULL. Thread-safe. */
Transcript *transcript_of_session(gnutls_session_t session);

/* The transcript hash up to now, with the cipher suite's hash. `digest` is the digest that GnuTLS wants
 * signed with a scheme's hash `digest_algorithm`: the CertificateVerify content for `side` over the
 * transcript hash must have just that digest; what does not match (TLS 1.2, a session that is not this one,
 * the test signature at load) gives -ENOMSG and nothing is signed.
 * 0 and 32 or 48 bytes in `ret_hash`. */
int transcript_hash_for(Transcript *transcript, TlsSide side, gnutls_digest_algorithm_t digest_algorithm,
                        BytesView digest, uint8_t ret_hash[static 48], size_t *ret_size);

/* The handshake messages so far, as a client of TLS 1.2 signs them: their digest must be `digest`, which GnuTLS wants
 * signed. 0 and a view that the transcript owns, until its next message; -ENOMSG where the digest is another's or the
 * session speaks another version, -EMSGSIZE where they are more than TRANSCRIPT_MESSAGES_MAX. */
#define TRANSCRIPT_MESSAGES_MAX 65536U
int transcript_messages_for(const Transcript *transcript, gnutls_digest_algorithm_t digest_algorithm, BytesView digest,
                            BytesView *ret);

/* Which side the session is, which GnuTLS does not tell but the first ClientHello does. 0; -ENOMSG before it. */
int transcript_side(const Transcript *transcript, TlsSide *ret);

void transcript_detach(Transcript *transcript);
Transcript *transcript_free(Transcript *transcript);
DEFINE_CLEANUP(Transcript, transcript_free)
