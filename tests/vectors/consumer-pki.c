/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The verifier as identityd and the enroller call it. */
#include "tests/vectors/consumer.h"

#include "pki/verify.h"

#include <gnutls/x509.h>
#include <stdio.h>

static int read_certificates(const Question *question, CertificateList *ret, Failure *ret_failure) {
    for (size_t i = 0; i < question->certificate_count; i++) {
        Certificate *certificate;
        int r = certificate_from_der(bytes_view(&question->certificates[i]), &certificate, ret_failure);
        if (r < 0 && i == 0)
            return r;
        if (r >= 0 && certificate_list_add(ret, certificate) < 0)
            return -ENOMEM;
    }
    return 0;
}

static void consume(const Question *question, bool *ret_verified, char ret_reason[static 1024]) {
    _cleanup_certificates_ CertificateList certificates = { 0 }, anchors = { 0 };
    _cleanup_(crl_set_clear) CrlSet crls = { 0 };
    const char *purposes[] = { question->usage && question->usage[0] == 's' ? GNUTLS_KP_TLS_WWW_SERVER
                                                                            : GNUTLS_KP_TLS_WWW_CLIENT,
                               NULL };
    Failure failure = FAILURE_INIT;
    LeftOut left_out = { 0 };
    Verdict verdict;

    int r = read_certificates(question, &certificates, &failure);
    if (r >= 0)
        r = certificate_bundle_from_pem(bytes_view(&question->anchors_pem), &anchors, &left_out, &failure);
    if (r >= 0)
        r = crl_set_from_pem(bytes_view(&question->crls_pem), &crls, &left_out, &failure);
    if (r < 0) {
        (void) snprintf(ret_reason, 1024, "%s", failure.text);
        return;
    }
    const CrlList list = { crls.list, crls.count };
    const VerifyRequest request = {
        .leaf = certificates.list[0],
        .candidates = &certificates,
        .anchors = &anchors,
        .now = question->now,
        .purposes = question->usage ? purposes : NULL,
        .leaf_purposes = true,
        .host = question->host,
        .uri = question->uri,
        .crls = &list,
        .staple = bytes_view(&question->staple),
        .flags = (question->require_crl ? VERIFY_CRL_REQUIRED : 0U) | (question->must_staple ? VERIFY_STAPLE : 0U),
        .depth_limit = (unsigned) (question->depth + 1),
    };
    *ret_verified = verify(&request, NULL, NULL, &verdict) == 0;
    if (!*ret_verified)
        (void) snprintf(ret_reason, 1024, "%s [%s, %s]", verdict.failure.text, verdict_kind_name(verdict.kind),
                        verdict.rule);
}

int main(void) {
    return consumer_main(consume);
}
