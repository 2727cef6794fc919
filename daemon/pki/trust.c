/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which certificates of a /cacerts answer become anchors (FACTS). Here: the bootstrap by a fingerprint that was learned
 * out of band, where that one certificate alone becomes an anchor. */
#include "pki/chain.h"

#include <string.h>

static const Certificate *find_fingerprint(const CertificateList *list, const uint8_t fingerprint[static 32]) {
    for (size_t i = 0; i < list->count; i++) {
        uint8_t found[32];

        if (certificate_fingerprint(list->list[i], found) >= 0 && memcmp(found, fingerprint, sizeof found) == 0)
            return list->list[i];
    }
    return NULL;
}

int trust_bootstrap(const CertificateList *answer, const uint8_t fingerprint[static 32], int64_t now,
                    Certificate **ret_anchor, Failure *ret_failure) {
    _cleanup_certificates_ CertificateList anchors = { 0 };

    const Certificate *anchor = find_fingerprint(answer, fingerprint);
    if (!anchor)
        return failure_set(ret_failure, -EKEYREJECTED, FAILURE_CERTIFICATE_REJECTED,
                           "none of the %zu certificates has the fingerprint that AnchorsFingerprint= names",
                           answer->count);
    if (!certificate_is_self_signed(anchor) || !anchor->is_ca)
        return failure_set(
            ret_failure, -EKEYREJECTED, FAILURE_CERTIFICATE_REJECTED,
            "the certificate \"%s\" has the fingerprint that AnchorsFingerprint= names, but is no self-signed CA",
            anchor->subject);
    int r = certificate_list_add_copy(&anchors, anchor);
    if (r < 0)
        return failure_errno(ret_failure, r, "Keeping an anchor");
    for (size_t i = 0; i < answer->count; i++) {
        _cleanup_certificates_ CertificateList chain = { 0 };

        if (certificate_equal(answer->list[i], anchor))
            continue;
        r = chain_build(answer->list[i], answer, &anchors, now, &chain, NULL, ret_failure);
        if (r < 0)
            return failure_prefix(ret_failure, r,
                                  "a certificate does not chain to the one that AnchorsFingerprint= names");
    }
    *ret_anchor = TAKE_PTR(anchors.list[0]);
    anchors.count = 0;
    return 0;
}
