/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between the store's bytes and what they mean. */
#include "enrolment/pending.h"

int pending_from_key(const TpmKey *key, StoredPending *pending) {
    int r = tpm_key_to_pem(key, &pending->key_pem);

    return r < 0 ? r : bytes_copy(tpm_key_parent_name(key), &pending->parent_name);
}

int pending_keep_issued(Identity *identity, StoredPending *pending, const CertificateList *issued,
                        const CertificateList *helpers, Failure *ret_failure) {
    _cleanup_bytes_ Bytes more = BYTES_NULL;

    bytes_clear(&pending->issued);
    int r = certificate_list_to_pem(issued, &pending->issued);
    if (r >= 0 && helpers && helpers->count > 0)
        r = certificate_list_to_pem(helpers, &more);
    if (r >= 0)
        r = bytes_append(&pending->issued, bytes_view(&more));
    if (r < 0)
        return failure_errno(ret_failure, r, "Keeping a certificate until it begins");
    return store_pending_save(identity_store(identity), pending, ret_failure);
}
