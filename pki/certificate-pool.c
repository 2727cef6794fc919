/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An array sorted by the SHA-256 of the DER. The pool's own reference keeps a certificate from going while its last
 * user puts it down; what nobody else has goes when the array would grow, so that finding those costs nothing that
 * adding them did not. */
#include "pki/certificate-pool.h"

#include <gnutls/crypto.h>
#include <string.h>

#define COUNT_MIN 16U /* below this nothing is given up */

typedef struct Pooled {
    uint8_t digest[32];
    Certificate *certificate;
} Pooled;

struct CertificatePool {
    Pooled *entries;
    size_t count, capacity;
};

int certificate_pool_new(CertificatePool **ret) {
    *ret = calloc(1, sizeof **ret);
    return *ret ? 0 : -ENOMEM;
}

CertificatePool *certificate_pool_free(CertificatePool *pool) {
    if (!pool)
        return NULL;
    for (size_t i = 0; i < pool->count; i++)
        certificate_free(pool->entries[i].certificate);
    free(pool->entries);
    free(pool);
    return NULL;
}

/* The index of the first whose digest does not come before this one. */
static size_t position_of(const CertificatePool *pool, const uint8_t digest[static 32]) {
    size_t low = 0, high = pool->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(pool->entries[middle].digest, digest, 32) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static Certificate *find(const CertificatePool *pool, const uint8_t digest[static 32]) {
    size_t position = position_of(pool, digest);

    return position < pool->count && memcmp(pool->entries[position].digest, digest, 32) == 0
               ? pool->entries[position].certificate
               : NULL;
}

static void give_up_unused(CertificatePool *pool) {
    size_t kept = 0;

    for (size_t i = 0; i < pool->count; i++)
        if (certificate_is_shared(pool->entries[i].certificate))
            pool->entries[kept++] = pool->entries[i];
        else
            certificate_free(pool->entries[i].certificate);
    pool->count = kept;
}

/* Room for one more. The array doubles only where more than half of it is in use; else what is not has made room. */
static int make_room(CertificatePool *pool) {
    if (pool->count < pool->capacity)
        return 0;
    give_up_unused(pool);
    if (pool->capacity > 0 && pool->count <= pool->capacity / 2)
        return 0;
    size_t capacity = pool->capacity > 0 ? 2 * pool->capacity : COUNT_MIN;
    Pooled *entries = reallocarray(pool->entries, capacity, sizeof *entries);
    if (!entries)
        return -ENOMEM;
    pool->entries = entries;
    pool->capacity = capacity;
    return 0;
}

static void remember(CertificatePool *pool, const uint8_t digest[static 32], const Certificate *certificate) {
    if (make_room(pool) < 0)
        return;
    size_t position = position_of(pool, digest);
    Pooled *entry = &pool->entries[position];
    memmove(entry + 1, entry, (pool->count - position) * sizeof *entry);
    memcpy(entry->digest, digest, 32);
    entry->certificate = certificate_ref(certificate);
    pool->count++;
}

int certificate_pool_from_der(CertificatePool *pool, BytesView der, Certificate **ret, Failure *ret_failure) {
    uint8_t digest[32];

    if (gnutls_hash_fast(GNUTLS_DIG_SHA256, der.data, der.size, digest) < 0)
        return certificate_from_der(der, ret, ret_failure);
    Certificate *known = find(pool, digest);
    if (known) {
        *ret = certificate_ref(known);
        return 0;
    }
    int r = certificate_from_der(der, ret, ret_failure);
    if (r >= 0)
        remember(pool, digest, *ret);
    return r;
}

void certificate_pool_share(CertificatePool *pool, CertificateList *list) {
    for (size_t i = 0; i < list->count; i++) {
        uint8_t digest[32];
        if (certificate_fingerprint(list->list[i], digest) < 0)
            continue;
        Certificate *known = find(pool, digest);
        if (!known) {
            remember(pool, digest, list->list[i]);
            continue;
        }
        certificate_ref(known);
        certificate_free(list->list[i]);
        list->list[i] = known;
    }
}
