/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* TLS of the EST server: which certificate it shows on a connection, and who the client is. */
#pragma once

#include "server.h"

/* Makes the certificate and its faulty relatives from the CA as it is now. Whatever it made before stays valid for
 * connections that use it. Under the server's lock. */
int credentials_renew(Server *server);
ServerCredentials *credentials_free(ServerCredentials *credentials);

/* PEM of the right certificate and its key, which libmicrohttpd wants at start. Borrowed. */
const char *credentials_certificate_pem(const ServerCredentials *credentials);
const char *credentials_key_pem(const ServerCredentials *credentials);

/* Prepares a new session before its handshake: asks for a client certificate, applies a fault of the connection. */
void tls_prepare(Server *server, gnutls_session_t session);

/* The client's certificate, if it showed one. 1 and the certificate, which the caller frees; 0 without one; -EACCES
 * with a reason (static) if it does not verify, has expired, is no client's or is revoked. */
int tls_client(Server *server, gnutls_session_t session, gnutls_x509_crt_t *ret, const char **ret_reason);
