/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CRLs: nothing but the seeds themselves may pass the check, whatever is parsed. */
#include "peers.h"

#include "pki/revocation.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static Certificate *leaf_cache, *root_cache;
    const Certificate *leaf = peer(SEEDS "/leaf.der", &leaf_cache), *root = peer(SEEDS "/root.der", &root_cache);
    _cleanup_(crl_free_p) Crl *crl = NULL;
    Failure failure = FAILURE_INIT;
    int64_t when;

    if (crl_parse((BytesView) { data, size }, &crl, &failure) < 0) {
        require(failure.kind == FAILURE_CERTIFICATE_REJECTED && failure.text[0]);
        return 0;
    }
    if (crl_check(crl, leaf, root, crl->this_update, &failure) >= 0)
        require(crl_verdict(crl, leaf, crl->this_update, &when) == REVOCATION_REVOKED);
    (void) crl_verdict(crl, leaf, crl->next_update, &when);
    require(crl_supersedes(crl, crl, &failure) == 0);
    return 0;
}
