/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The chain is judged by pki, like every other in this project; the rest are the rules for HTTPS (RFC 9525, RFC 5280
 * §4.2.1.12). */
#include "enroller/tls-server.h"

#include "pki/chain.h"

#include <stdio.h>
#include <string.h>

/* What the peer presented, leaf first; not empty. */
static int server_certificates(gnutls_session_t session, CertificateList *ret, Failure *ret_failure) {
    _cleanup_certificates_ CertificateList list = { 0 };
    unsigned count = 0;

    const gnutls_datum_t *raw = gnutls_certificate_get_peers(session, &count);
    if (!raw || count == 0)
        return failure_set(ret_failure, -EKEYREJECTED, FAILURE_CERTIFICATE_REJECTED,
                           "the server presented no certificate");
    if (count > CHAIN_MAX)
        return failure_set(ret_failure, -EKEYREJECTED, FAILURE_CERTIFICATE_REJECTED,
                           "the server presented %u certificates; at most %u are accepted", count, CHAIN_MAX);
    for (unsigned i = 0; i < count; i++) {
        Certificate *certificate = NULL;

        int r = certificate_from_der((BytesView) { raw[i].data, raw[i].size }, &certificate, ret_failure);
        if (r < 0)
            return failure_prefix(ret_failure, r, "the server's certificate number %u", i + 1);
        r = certificate_list_add(&list, certificate);
        if (r < 0)
            return failure_errno(ret_failure, r, "Keeping the server's certificates");
    }
    *ret = list;
    list = (CertificateList) { 0 };
    return 0;
}

static int server_chain(const CertificateList *presented, const TlsServerPolicy *policy, Failure *ret_failure) {
    static const char *const purposes[] = { GNUTLS_KP_TLS_WWW_SERVER, NULL };
    const Certificate *leaf = presented->list[0];

    int r = chain_build_for(leaf, presented, policy->anchors, policy->now, purposes, NULL, ret_failure);
    if (r < 0 && policy->now_is_floor) {
        int64_t later = certificate_list_begun(presented, policy->now);
        if (later > policy->now)
            r = chain_build_for(leaf, presented, policy->anchors, later, purposes, NULL, ret_failure);
    }
    if (r < 0)
        return failure_prefix(ret_failure, -EKEYREJECTED, "the server's certificate does not verify");
    if (!certificate_allows_purpose(leaf, GNUTLS_KP_TLS_WWW_SERVER))
        return failure_set(ret_failure, -EKEYREJECTED, FAILURE_CERTIFICATE_REJECTED,
                           "the server's certificate \"%s\" is not for TLS servers (extended key usage)",
                           leaf->subject);
    return 0;
}

int tls_server_verify(gnutls_session_t session, const TlsServerPolicy *policy, Failure *ret_failure) {
    _cleanup_certificates_ CertificateList presented = { 0 };

    if (!policy->anchors)
        return 0;
    int r = server_certificates(session, &presented, ret_failure);
    if (r >= 0)
        r = server_chain(&presented, policy, ret_failure);
    if (r < 0)
        return r;
    if (!gnutls_x509_crt_check_hostname(presented.list[0]->crt, policy->host))
        return failure_set(ret_failure, -EKEYREJECTED, FAILURE_CERTIFICATE_REJECTED,
                           "the server's certificate is for \"%s\" and does not name the host %s",
                           presented.list[0]->subject, policy->host);
    return 0;
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
