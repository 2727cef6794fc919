/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The present generation in memory. */
#include "identity/generation.h"

#include "common/text.h"
#include "device/device.h"
#include "device/log.h"
#include "identity/anchors.h"
#include "identity/parts.h"
#include "identity/record.h"
#include "pki/certificate-pool.h"

#include <gnutls/crypto.h>
#include <inttypes.h>
#include <string.h>

struct Generation {
    uint32_t number;
    TpmKey *key;
    CertificateList chain;
    bool is_used;
};

int generation_new(Identity *identity) {
    identity->generation = calloc(1, sizeof *identity->generation);
    return identity->generation ? 0 : -ENOMEM;
}

void generation_drop(Identity *identity) {
    Generation *generation = identity->generation;

    generation->number = 0;
    generation->is_used = false;
    generation->key = tpm_key_free(generation->key);
    certificate_list_clear(&generation->chain);
}

void generation_free(Identity *identity) {
    if (!identity->generation)
        return;
    generation_drop(identity);
    free(identity->generation);
    identity->generation = NULL;
}

uint32_t identity_generation(const Identity *identity) {
    return identity->generation->number;
}

const TpmKey *identity_key(const Identity *identity) {
    return identity->generation->key;
}

const CertificateList *identity_chain(const Identity *identity) {
    return &identity->generation->chain;
}

const Certificate *identity_leaf(const Identity *identity) {
    const CertificateList *chain = &identity->generation->chain;

    return chain->count > 0 ? chain->list[0] : NULL;
}

bool identity_generation_is_used(const Identity *identity) {
    return identity->generation->is_used;
}

void identity_note_used(Identity *identity, uint32_t generation) {
    if (generation != identity->generation->number || identity->generation->is_used)
        return;
    identity->generation->is_used = true;
    identity_note(identity, CHANGED_USED);
}

int64_t identity_chain_end(const Identity *identity) {
    const Certificate *first = chain_first_to_end(&identity->generation->chain);

    return first ? first->not_after : 0;
}

bool identity_life(const Identity *identity, ScheduleLife *ret) {
    const Certificate *leaf = identity_leaf(identity);

    if (!leaf)
        return false;
    *ret = schedule_life(leaf->not_before, leaf->not_after, identity_chain_end(identity),
                         identity_attempts(identity)->last_success);
    ret->late = identity_attempts(identity)->late;
    return true;
}

static bool hash_share(BytesView device, BytesView fingerprint, uint8_t ret[static 32]) {
    static const char label[] = "identityd renewal";
    const uint8_t sizes[2] = { (uint8_t) device.size, (uint8_t) fingerprint.size };
    gnutls_hash_hd_t hash;

    if (gnutls_hash_init(&hash, GNUTLS_DIG_SHA256) < 0)
        return false;
    bool good = gnutls_hash(hash, label, sizeof label) >= 0 && gnutls_hash(hash, sizes, sizeof sizes) >= 0 &&
                (device.size == 0 || gnutls_hash(hash, device.data, device.size) >= 0) &&
                gnutls_hash(hash, fingerprint.data, fingerprint.size) >= 0;
    gnutls_hash_deinit(hash, ret);
    return good;
}

uint64_t identity_share(const Identity *identity) {
    const Certificate *leaf = identity_leaf(identity);
    const char *device = tpm_watch_information(device_tpm(identity->context->device))->device_id;
    uint8_t fingerprint[32], digest[32];
    uint64_t share = 0;

    if (!leaf || certificate_fingerprint(leaf, fingerprint) < 0 ||
        !hash_share(bytes_view_string(device), (BytesView) { fingerprint, sizeof fingerprint }, digest))
        return UINT64_C(1) << 63;
    for (size_t i = 0; i < sizeof share; i++)
        share = share << 8 | digest[i];
    return share;
}

void generation_set(Identity *identity, uint32_t number, TpmKey *key, CertificateList *chain) {
    Generation *generation = identity->generation;

    generation_drop(identity);
    certificate_pool_share(identity->context->certificates, chain);
    *generation = (Generation) { number, key, *chain, false };
    *chain = (CertificateList) { 0 };
}

/* Whatever a room below calls what it found: here it is damage on the disk. */
static int damaged(const Identity *identity, int r, const char *file, Failure *ret_failure) {
    uint32_t number = store_current(identity_store(identity));

    if (r == -ENOMEM)
        return r;
    (void) failure_prefix(ret_failure, r, "%s/generations/%" PRIu32 "/%s", identity->name, number, file);
    if (ret_failure)
        ret_failure->kind = FAILURE_STORAGE;
    return -EBADMSG;
}

/* A path to the anchors that was valid at some time of the chain's life: whether it has ended is the schedule's matter.
 * An anchor may be younger than the leaf, or end before it, so both ends of that life are tried. */
static int find_path(const Identity *identity, const CertificateList *chain, CertificateList *ret_path,
                     Failure *ret_failure) {
    int64_t begin = certificate_list_begun(chain, chain->list[0]->not_before),
            end = chain_first_to_end(chain)->not_after;
    int r = chain_build(chain->list[0], chain, identity_anchors(identity), end, ret_path, NULL, ret_failure);
    if (r == -EKEYREJECTED)
        r = chain_build(chain->list[0], chain, identity_anchors(identity), begin, ret_path, NULL, NULL);
    return r;
}

static void tell_no_path(const Identity *identity, uint32_t number, const Failure *why) {
    log_entry(LOG_WARNING, MESSAGE_ANCHORS_CHANGED, identity->name,
              "The chain of generation %" PRIu32
              " does not end in the anchors that count now: %s%s It stays in use; peers "
              "with these anchors refuse it. `idctl renew %s` gets another one.",
              number, why->text, text_full_stop(why->text), identity->name);
}

/* With a checksum it is what was verified when it was committed, whatever has become of the anchors since. Without one
 * (it was made by an identityd that wrote none) the signatures alone say that it is whole. */
static int judge(const Identity *identity, const StoredGeneration *stored, CertificateList *chain,
                 Failure *ret_failure) {
    _cleanup_certificates_ CertificateList path = { 0 };
    Failure failure = FAILURE_INIT;
    int r = find_path(identity, chain, &path, &failure);

    if (r < 0 && r != -EKEYREJECTED) {
        if (ret_failure)
            *ret_failure = failure;
        return r;
    }
    if (r < 0 && !stored->has_checksum) {
        if (ret_failure)
            *ret_failure = failure;
        return damaged(identity, r, "chain.pem", ret_failure);
    }
    if (r < 0)
        tell_no_path(identity, stored->number, &failure);
    if (r < 0 || stored->has_checksum)
        return 0;
    certificate_list_clear(chain);
    *chain = path;
    path = (CertificateList) { 0 };
    /* A disk that takes no checksum now is asked again at the next start. */
    (void) store_seal(identity_store(identity), stored, NULL);
    return 0;
}

void generation_compare_anchors(const Identity *identity) {
    const Generation *generation = identity->generation;
    Failure failure = FAILURE_INIT;

    if (generation->chain.count > 0 && find_path(identity, &generation->chain, NULL, &failure) == -EKEYREJECTED)
        tell_no_path(identity, generation->number, &failure);
}

int generation_load(Identity *identity, Failure *ret_failure) {
    _cleanup_(stored_generation_clear) StoredGeneration stored = { 0 };
    _cleanup_certificates_ CertificateList chain = { 0 };
    _cleanup_tpm_key_ TpmKey *key = NULL;
    uint32_t number = store_current(identity_store(identity));

    generation_drop(identity);
    if (number == 0)
        return 0;
    int r = store_load(identity_store(identity), number, &stored, ret_failure);
    if (r < 0)
        return r;
    r = tpm_key_from_pem(bytes_view(&stored.key_pem), bytes_view(&stored.parent_name), &key, ret_failure);
    if (r < 0)
        return damaged(identity, r, "key.pem", ret_failure);
    r = certificate_list_from_pem_shared(identity->context->certificates, bytes_view(&stored.chain_pem), CHAIN_MAX,
                                         &chain, ret_failure);
    if (r < 0)
        return damaged(identity, r, "chain.pem", ret_failure);
    if (!bytes_view_equal(chain.list[0]->spki, tpm_key_spki(key)))
        return failure_set(ret_failure, -EBADMSG, FAILURE_STORAGE,
                           "%s/generations/%" PRIu32
                           ": the first certificate of chain.pem is not for the key in key.pem",
                           identity->name, number);
    r = judge(identity, &stored, &chain, ret_failure);
    if (r < 0)
        return r;
    generation_set(identity, number, TAKE_PTR(key), &chain);
    return 0;
}
