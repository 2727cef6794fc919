/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The chain is judged by pki, like every other in this project; the rest are the rules for HTTPS (RFC 9525, RFC 5280
 * §4.2.1.12). */
#include "enroller/tls-server.h"

#include "pki/chain.h"

#include <stdio.h>
#include <string.h>

static int server_certificates(gnutls_session_t session, Certificate **ret_leaf, CertificateList *ret_others,
                               Failure *ret_failure) {
    _cleanup_certificate_ Certificate *leaf = NULL;
    _cleanup_certificates_ CertificateList others = { 0 };
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
        if (i == 0)
            leaf = certificate;
        else {
            r = certificate_list_add(&others, certificate);
            if (r < 0)
                return failure_errno(ret_failure, r, "Keeping the server's certificates");
        }
    }
    *ret_leaf = TAKE_PTR(leaf);
    *ret_others = others;
    others = (CertificateList) { 0 };
    return 0;
}

/* With a clock that is behind, the real time is one at which the presented certificates have all begun, if there is
 * one. */
static int64_t earliest_common_time(const Certificate *leaf, const CertificateList *others, int64_t now) {
    int64_t time = leaf->not_before > now ? leaf->not_before : now;

    for (size_t i = 0; i < others->count; i++)
        if (others->list[i]->not_before > time)
            time = others->list[i]->not_before;
    return time;
}

static int server_chain(const Certificate *leaf, const CertificateList *others, const TlsServerPolicy *policy,
                        Failure *ret_failure) {
    static const char *const purposes[] = { GNUTLS_KP_TLS_WWW_SERVER, NULL };

    int r = chain_build_for(leaf, others, policy->anchors, policy->now, purposes, NULL, ret_failure);
    if (r < 0 && policy->now_is_floor) {
        int64_t later = earliest_common_time(leaf, others, policy->now);
        if (later > policy->now)
            r = chain_build_for(leaf, others, policy->anchors, later, purposes, NULL, ret_failure);
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
    _cleanup_certificate_ Certificate *leaf = NULL;
    _cleanup_certificates_ CertificateList others = { 0 };

    if (!policy->anchors)
        return 0;
    int r = server_certificates(session, &leaf, &others, ret_failure);
    if (r < 0)
        return r;
    r = server_chain(leaf, &others, policy, ret_failure);
    if (r < 0)
        return r;
    if (!gnutls_x509_crt_check_hostname(leaf->crt, policy->host))
        return failure_set(ret_failure, -EKEYREJECTED, FAILURE_CERTIFICATE_REJECTED,
                           "the server's certificate is for \"%s\" and does not name the host %s", leaf->subject,
                           policy->host);
    return 0;
}

int tls_server_chain(gnutls_session_t session, Bytes *ret_pem) {
    _cleanup_certificates_ CertificateList chain = { 0 }, others = { 0 };
    _cleanup_certificate_ Certificate *leaf = NULL;
    int r = server_certificates(session, &leaf, &others, NULL);

    if (r >= 0)
        r = certificate_list_add(&chain, TAKE_PTR(leaf));
    for (size_t i = 0; r >= 0 && i < others.count; i++)
        r = certificate_list_add_copy(&chain, others.list[i]);
    return r < 0 ? r : certificate_list_to_pem(&chain, ret_pem);
}

void tls_describe(gnutls_session_t session, char ret[static TLS_DESCRIPTION_MAX]) {
    const char *protocol = gnutls_protocol_get_name(gnutls_protocol_get_version(session));
    const char *group = gnutls_group_get_name(gnutls_group_get(session));
    const char *cipher = gnutls_cipher_get_name(gnutls_cipher_get(session));
    bool elliptic = group && strncmp(group, "FFDHE", 5) != 0;

    (void) snprintf(ret, TLS_DESCRIPTION_MAX, "%s %s%s %s", protocol ? protocol : "TLS", elliptic ? "ECDHE-" : "",
                    group ? group : "RSA", cipher ? cipher : "unknown");
}
