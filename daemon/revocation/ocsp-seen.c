/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* thisUpdate of OCSP answers never goes back (docs/facts.md, "Revocation"), not over a restart either: an answer that
 * was replaced by a newer one is a replay, however valid it may still be. Kept for the certificates of the present
 * chain. */
#include "revocation/ocsp-seen.h"

#include "device/log.h"
#include "identity/identity.h"

#include <string.h>

static int certificate_id(const Certificate *certificate, char ret[static 65]) {
    uint8_t fingerprint[32];
    int r = certificate_fingerprint(certificate, fingerprint);

    if (r < 0)
        return r;
    _cleanup_free_ char *hex = bytes_to_hex((BytesView) { fingerprint, sizeof fingerprint });
    if (!hex)
        return -ENOMEM;
    memcpy(ret, hex, 65);
    return 0;
}

static StoredOcsp *find(OcspSeen *seen, const char *id) {
    for (size_t i = 0; i < seen->count; i++)
        if (strcmp(seen->list[i].certificate, id) == 0)
            return &seen->list[i];
    return NULL;
}

/* Takes out what is about certificates that are no longer in the chain. */
static void forget_others(const Identity *identity, OcspSeen *seen) {
    const CertificateList *chain = identity_chain(identity);
    OcspSeen kept = { .count = 0 };
    char id[65];

    for (size_t i = 0; i < chain->count && kept.count < STORE_OCSP_MAX; i++) {
        const StoredOcsp *one = certificate_id(chain->list[i], id) < 0 ? NULL : find(seen, id);
        if (one)
            kept.list[kept.count++] = *one;
    }
    *seen = kept;
}

void ocsp_seen_load(const Identity *identity, OcspSeen *ret) {
    Failure failure = FAILURE_INIT;

    if (ret->count > 0)
        return;
    if (store_ocsp_load(identity_store(identity), ret->list, &ret->count, &failure) < 0)
        log_entry(LOG_WARNING, MESSAGE_STORAGE, identity_name(identity),
                  "How new the OCSP answers were is not known any more; it is learned anew: %s", failure.text);
}

int ocsp_seen_take(const Identity *identity, OcspSeen *seen, const Certificate *certificate, int64_t this_update,
                   Failure *ret_failure) {
    char id[65], one[CERTIFICATE_TIME_MAX], other[CERTIFICATE_TIME_MAX];
    Failure failure = FAILURE_INIT;
    int r = certificate_id(certificate, id);

    if (r < 0)
        return failure_errno(ret_failure, r, "Keeping the time of an OCSP answer");
    StoredOcsp *known = find(seen, id);
    if (known && this_update < known->this_update)
        return failure_set(ret_failure, -ESTALE, FAILURE_CERTIFICATE_REJECTED,
                           "the OCSP answer is older than one that was seen: %s is before %s",
                           certificate_time(this_update, one), certificate_time(known->this_update, other));
    if (known && this_update == known->this_update)
        return 0;
    if (!known) {
        forget_others(identity, seen);
        if (seen->count == STORE_OCSP_MAX)
            return 0; /* longer than a chain may be: does not come to it */
        known = &seen->list[seen->count++];
        memcpy(known->certificate, id, sizeof id);
    }
    known->this_update = this_update;
    /* What it says counts though it cannot be kept: a full disk must not hide a revocation. */
    if (store_ocsp_save(identity_store(identity), seen->list, seen->count, &failure) < 0)
        log_entry(LOG_ERR, MESSAGE_STORAGE, identity_name(identity), "%s", failure.text);
    return 0;
}
