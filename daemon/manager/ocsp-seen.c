/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* thisUpdate of OCSP answers never goes back (FACTS), not over a restart either: an answer that was replaced by a newer
 * one is a replay, however valid it may still be. Kept for the certificates of the present chain. */
#include "manager/internal.h"

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

static StoredOcsp *find(Identity *identity, const char *id) {
    for (size_t i = 0; i < identity->ocsp_seen_count; i++)
        if (strcmp(identity->ocsp_seen[i].certificate, id) == 0)
            return &identity->ocsp_seen[i];
    return NULL;
}

/* Takes out what is about certificates that are no longer in the chain. */
static void forget_others(Identity *identity) {
    StoredOcsp kept[STORE_OCSP_MAX];
    size_t count = 0;
    char id[65];

    for (size_t i = 0; i < identity->chain.count && count < STORE_OCSP_MAX; i++) {
        const StoredOcsp *seen = certificate_id(identity->chain.list[i], id) < 0 ? NULL : find(identity, id);
        if (seen)
            kept[count++] = *seen;
    }
    memcpy(identity->ocsp_seen, kept, count * sizeof *kept);
    identity->ocsp_seen_count = count;
}

void ocsp_seen_load(Identity *identity) {
    Failure failure = FAILURE_INIT;

    identity->ocsp_seen_count = 0;
    if (store_ocsp_load(identity->store, identity->ocsp_seen, &identity->ocsp_seen_count, &failure) < 0)
        log_entry(LOG_WARNING, MESSAGE_STORAGE, identity->name,
                  "How new the OCSP answers were is not known any more; it is learned anew: %s", failure.text);
}

int ocsp_seen_take(Identity *identity, const Certificate *certificate, int64_t this_update, Failure *ret_failure) {
    char id[65], one[CERTIFICATE_TIME_MAX], other[CERTIFICATE_TIME_MAX];
    Failure failure = FAILURE_INIT;
    int r = certificate_id(certificate, id);

    if (r < 0)
        return failure_errno(ret_failure, r, "Keeping the time of an OCSP answer");
    StoredOcsp *seen = find(identity, id);
    if (seen && this_update < seen->this_update)
        return failure_set(ret_failure, -ESTALE, FAILURE_CERTIFICATE_REJECTED,
                           "the OCSP answer is older than one that was seen: %s is before %s",
                           certificate_time(this_update, one), certificate_time(seen->this_update, other));
    if (seen && this_update == seen->this_update)
        return 0;
    if (!seen) {
        forget_others(identity);
        if (identity->ocsp_seen_count == STORE_OCSP_MAX)
            return 0; /* longer than a chain may be: does not come to it */
        seen = &identity->ocsp_seen[identity->ocsp_seen_count++];
        memcpy(seen->certificate, id, sizeof id);
    }
    seen->this_update = this_update;
    /* What it says counts though it cannot be kept: a full disk must not hide a revocation. */
    if (store_ocsp_save(identity->store, identity->ocsp_seen, identity->ocsp_seen_count, &failure) < 0)
        log_entry(LOG_ERR, MESSAGE_STORAGE, identity->name, "%s", failure.text);
    return 0;
}
