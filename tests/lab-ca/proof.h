/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Proof of possession as RFC 7030 §3.5 has it: the request names the TLS session that carries it. */
#pragma once

#include "util.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdbool.h>

/* Whether the request's challengePassword is the channel binding of this session in base64: tls-unique, with TLS 1.3
 * tls-exporter (RFC 9266). `ret_reason`: why not. */
bool proof_is_given(gnutls_session_t session, gnutls_x509_crq_t request, const char **ret_reason);
