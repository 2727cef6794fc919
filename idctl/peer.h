/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a TLS server shows of itself, fetched without credentials of one's own. */
#pragma once

#include "idctl/network.h"
#include "pki/certificate.h"

#include <gnutls/gnutls.h>

/* The chain that a server presents to `name` (SNI). A server that wants a client certificate shows its own all the
 * same. Nothing is verified here. Complains. */
ExitCode peer_fetch_chain(const Endpoint *endpoint, const char *name, CertificateList *ret);

/* The peer's certificates of a session, leaf first; issuers that cannot be read are left out. -EBADMSG with the reason:
 * it showed none, or its own cannot be read; -ENOMEM. */
int peer_certificates(gnutls_session_t session, CertificateList *ret, Failure *ret_failure);

/* Whether a name may be sent as SNI: an address may not (RFC 6066 §3). */
bool peer_name_is_dns(const char *name);

static inline void session_deinit_p(gnutls_session_t *session) {
    if (*session)
        gnutls_deinit(*session);
}
#define _cleanup_session_ _cleanup_(session_deinit_p)
