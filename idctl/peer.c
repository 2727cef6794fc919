/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See peer.h. */
#include "idctl/peer.h"

#include "idctl/output.h"

#include <arpa/inet.h>
#include <string.h>

static void credentials_free(gnutls_certificate_credentials_t *credentials) {
    if (*credentials)
        gnutls_certificate_free_credentials(*credentials);
}

bool peer_name_is_dns(const char *name) {
    unsigned char address[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, name, address) != 1 && inet_pton(AF_INET6, name, address) != 1;
}

int peer_certificates(gnutls_session_t session, CertificateList *ret, Failure *ret_failure) {
    unsigned count = 0;
    const gnutls_datum_t *list = gnutls_certificate_get_peers(session, &count);

    if (!list || count == 0)
        return failure_set(ret_failure, -EBADMSG, FAILURE_CERTIFICATE_REJECTED, "it shows no certificate");
    int r = certificate_list_from_peer(list, count, ret, ret_failure);
    return r == -EBADMSG ? failure_prefix(ret_failure, r, "its certificate cannot be read") : r;
}

typedef struct KeptChain {
    CertificateList chain;
    Failure failure;
} KeptChain;

/* Keeps the chain while the handshake still runs: what comes after may fail for want of a client certificate. */
static int keep_chain(gnutls_session_t session) {
    KeptChain *kept = gnutls_session_get_ptr(session);

    certificate_list_clear(&kept->chain);
    return peer_certificates(session, &kept->chain, &kept->failure) < 0 ? GNUTLS_E_CERTIFICATE_ERROR : 0;
}

ExitCode peer_fetch_chain(const Endpoint *endpoint, const char *name, CertificateList *ret) {
    _cleanup_(credentials_free) gnutls_certificate_credentials_t credentials = NULL;
    KeptChain kept = { 0 };
    _cleanup_close_ int fd = -1;
    _cleanup_session_ gnutls_session_t session = NULL;
    int r;

    ExitCode code = endpoint_connect(endpoint, &fd);
    if (code != EXIT_OK)
        return code;
    if (gnutls_certificate_allocate_credentials(&credentials) < 0 ||
        gnutls_init(&session, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL) < 0 || gnutls_set_default_priority(session) < 0 ||
        gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials) < 0 ||
        (peer_name_is_dns(name) && gnutls_server_name_set(session, GNUTLS_NAME_DNS, name, strlen(name)) < 0)) {
        complain("cannot set up a TLS session.");
        return EXIT_FAILED;
    }
    gnutls_session_set_ptr(session, &kept);
    gnutls_session_set_verify_function(session, keep_chain);
    gnutls_transport_set_int(session, fd);
    gnutls_handshake_set_timeout(session, NETWORK_HANDSHAKE_SECONDS * 1000U);
    do
        r = gnutls_handshake(session);
    while (r < 0 && !gnutls_error_is_fatal(r));
    if (r >= 0)
        (void) gnutls_bye(session, GNUTLS_SHUT_WR);
    if (kept.chain.count == 0) {
        const char *why = kept.failure.text[0] ? kept.failure.text : r < 0 ? gnutls_strerror(r) : "it uses none";
        complain("%s port %s showed no certificate that can be verified: %s.", endpoint->host, endpoint->port, why);
        return EXIT_FAILED;
    }
    *ret = kept.chain; /* nothing was kept where the function ends earlier */
    return EXIT_OK;
}
