/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Is the server that a TLS session reached the one that the job means? libcurl's own check goes by the system clock,
 * which a device without a battery cannot trust, so it is switched off and this one stands in its place. */
#pragma once

#include "pki/certificate.h"

#include <gnutls/gnutls.h>
#include <stdbool.h>

typedef struct TlsServerPolicy {
    const CertificateList *anchors; /* NULL: provisional (RFC 7030 §4.1.1); nothing that needs trust may follow */
    const char *host;               /* that the certificate must name */
    int64_t now;                    /* seconds since the epoch */
    bool now_is_floor;              /* it is later in truth: "not yet valid" is forgiven, "expired" is not */
} TlsServerPolicy;

/* Verifies the certificates that the peer of `session` presented: chain to an anchor, dates, host name, usable for TLS
 * servers. -EKEYREJECTED, kind CERTIFICATE_REJECTED, and what is wrong with which certificate. */
int tls_server_verify(gnutls_session_t session, const TlsServerPolicy *policy, Failure *ret_failure);

/* The certificates that the peer presented, leaf first, as PEM. -EKEYREJECTED without any, -ENOMEM. */
int tls_server_chain(gnutls_session_t session, Bytes *ret_pem);

/* E.g. "TLS1.3 ECDHE-SECP256R1 AES-256-GCM". */
#define TLS_DESCRIPTION_MAX 128U
void tls_describe(gnutls_session_t session, char ret[static TLS_DESCRIPTION_MAX]);
