/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* OCSP answers: nothing but what the seeds say ("revoked") may come out of any change to them. */
#include "peers.h"

#include "pki/revocation.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static Certificate *leaf_cache, *root_cache;
    const Certificate *leaf = peer(SEEDS "/leaf.der", &leaf_cache), *root = peer(SEEDS "/root.der", &root_cache);
    RevocationVerdict verdict;
    Failure failure = FAILURE_INIT;

    if (ocsp_check((BytesView) { data, size }, leaf, root, leaf->not_before + 86400, &verdict, NULL, NULL, &failure) >=
        0)
        require(verdict == REVOCATION_REVOKED);
    else
        require(failure.kind == FAILURE_CERTIFICATE_REJECTED && failure.text[0]);
    return 0;
}
