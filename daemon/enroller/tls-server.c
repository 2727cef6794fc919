/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The server is judged by pki, like every other peer in this project. */
#include "enroller/tls-server.h"

#include "pki/verify.h"

#include <stdio.h>
#include <string.h>

/* What the peer presented, leaf first; not empty. */
static int server_certificates(gnutls_session_t session, CertificateList *ret, Failure *ret_failure) {
    unsigned count = 0;

    const gnutls_datum_t *raw = gnutls_certificate_get_peers(session, &count);
    if (!raw || count == 0)
        return failure_set(ret_failure, -EKEYREJECTED, FAILURE_CERTIFICATE_REJECTED,
                           "the server presented no certificate");
    if (count > CHAIN_MAX)
        return failure_set(ret_failure, -EKEYREJECTED, FAILURE_CERTIFICATE_REJECTED,
                           "the server presented %u certificates; at most %u are accepted", count, CHAIN_MAX);
    int r = certificate_list_from_peer(raw, count, ret, ret_failure);
    return r < 0 ? failure_prefix(ret_failure, r, "the server's certificate") : 0;
}

static int server_chain(const CertificateList *presented, const TlsServerPolicy *policy, Failure *ret_failure) {
    static const char *const purposes[] = { GNUTLS_KP_TLS_WWW_SERVER, NULL };
    VerifyRequest request = {
        .leaf = presented->list[0],
        .candidates = presented,
        .anchors = policy->anchors,
        .now = policy->now,
        .purposes = purposes,
        .leaf_purposes = true,
        .host = policy->host,
    };
    Verdict verdict;

    int r = verify(&request, NULL, NULL, &verdict);
    if (r < 0 && policy->now_is_floor) {
        request.now = certificate_list_begun(presented, policy->now);
        if (request.now > policy->now)
            r = verify(&request, NULL, NULL, &verdict);
    }
    if (r >= 0)
        return 0;
    if (ret_failure)
        *ret_failure = verdict.failure;
    return failure_prefix(ret_failure, -EKEYREJECTED, "the server's certificate does not verify");
}

int tls_server_verify(gnutls_session_t session, const TlsServerPolicy *policy, Failure *ret_failure) {
    _cleanup_certificates_ CertificateList presented = { 0 };

    if (!policy->anchors)
        return 0;
    int r = server_certificates(session, &presented, ret_failure);
    return r < 0 ? r : server_chain(&presented, policy, ret_failure);
}

int tls_server_chain(gnutls_session_t session, Bytes *ret_pem) {
    _cleanup_certificates_ CertificateList presented = { 0 };
    int r = server_certificates(session, &presented, NULL);

    return r < 0 ? r : certificate_list_to_pem(&presented, ret_pem);
}

void tls_describe(gnutls_session_t session, char ret[static TLS_DESCRIPTION_MAX]) {
    const char *protocol = gnutls_protocol_get_name(gnutls_protocol_get_version(session));
    const char *group = gnutls_group_get_name(gnutls_group_get(session));
    const char *cipher = gnutls_cipher_get_name(gnutls_cipher_get(session));
    bool elliptic = group && strncmp(group, "FFDHE", 5) != 0;

    (void) snprintf(ret, TLS_DESCRIPTION_MAX, "%s %s%s %s", protocol ? protocol : "TLS", elliptic ? "ECDHE-" : "",
                    group ? group : "RSA", cipher ? cipher : "unknown");
}
