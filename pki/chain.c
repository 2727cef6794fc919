/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is asked about chains of our own: the one verifier (verify.h) without a peer's name and without CRLs, which are
 * revocation's. */
#include "pki/chain.h"

#include "pki/verify.h"

static int build(const VerifyRequest *request, CertificateList *ret_chain, const Certificate **ret_anchor,
                 Failure *ret_failure) {
    Verdict verdict;
    int r = verify(request, ret_chain, ret_anchor, &verdict);

    if (r < 0 && ret_failure)
        *ret_failure = verdict.failure;
    return r;
}

int chain_build(const Certificate *leaf, const CertificateList *candidates, const CertificateList *anchors, int64_t now,
                CertificateList *ret_chain, const Certificate **ret_anchor, Failure *ret_failure) {
    const VerifyRequest request = { .leaf = leaf, .candidates = candidates, .anchors = anchors, .now = now };

    return build(&request, ret_chain, ret_anchor, ret_failure);
}

int chain_build_for(const Certificate *leaf, const CertificateList *candidates, const CertificateList *anchors,
                    int64_t now, const char *const *purposes, CertificateList *ret_chain, Failure *ret_failure) {
    const VerifyRequest request = {
        .leaf = leaf,
        .candidates = candidates,
        .anchors = anchors,
        .now = now,
        .purposes = purposes,
    };

    return build(&request, ret_chain, NULL, ret_failure);
}

const Certificate *chain_first_to_end(const CertificateList *chain) {
    const Certificate *first = NULL;

    for (size_t i = 0; i < chain->count; i++)
        if (!first || chain->list[i]->not_after < first->not_after)
            first = chain->list[i];
    return first;
}

const Certificate *certificate_list_find_spki(const CertificateList *list, BytesView spki) {
    for (size_t i = 0; i < list->count; i++)
        if (bytes_view_equal(list->list[i]->spki, spki))
            return list->list[i];
    return NULL;
}
