/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* TLS client authentication with a key that is in identityd's TPM: certificate and key reach libcurl as a GnuTLS URL,
 * and each signature is a question to identityd, which builds the CertificateVerify content itself (SignTranscript). */
#pragma once

#include "enroller/channel.h"

#include <gnutls/gnutls.h>

/* What libcurl is given as CURLOPT_SSLCERT and CURLOPT_SSLKEY. */
#define CLIENT_KEY_URL "identityd-job:"

typedef struct ClientKey ClientKey;

/* The key of `job`, whose client chain and schemes it uses; job and channel must outlive it. -ENOMEM, or -EIO when
 * GnuTLS refuses the URL. */
int client_key_new(const EnrollJob *job, Channel *channel, ClientKey **ret, Failure *ret_failure);
ClientKey *client_key_free(ClientKey *key); /* after every session that used it */
DEFINE_CLEANUP(ClientKey, client_key_free)

/* GnuTLS calls a URL's functions without any pointer of ours, so the key in use stands in one place of this process:
 * `key` serves the URL until the next call (NULL: nobody does). `session` is asked for the TLS session that loads the
 * key, which has begun no handshake yet, and prepares it; NULL there refuses the key. */
typedef gnutls_session_t (*ClientKeySession)(void *userdata);
void client_key_activate(ClientKey *key, ClientKeySession session, void *userdata);

/* Why the last handshake's signature failed; kind NONE: it did not. */
const Failure *client_key_failure(const ClientKey *key);
void client_key_forget_failure(ClientKey *key);
