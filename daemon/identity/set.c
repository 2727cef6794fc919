/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A sorted array. */
#include "identity/set.h"

#include "identity/identity.h"
#include "pki/certificate-pool.h"

#include <string.h>

struct IdentitySet {
    Identity **list;
    size_t count;
    CertificatePool *certificates;
};

int identity_set_new(IdentitySet **ret) {
    IdentitySet *set = calloc(1, sizeof *set);

    if (!set || certificate_pool_new(&set->certificates) < 0) {
        free(set);
        return -ENOMEM;
    }
    *ret = set;
    return 0;
}

CertificatePool *identity_set_certificates(const IdentitySet *set) {
    return set->certificates;
}

void identity_set_clear(IdentitySet *set) {
    while (set && set->count > 0)
        (void) identity_free(set->list[--set->count]);
}

IdentitySet *identity_set_free(IdentitySet *set) {
    if (!set)
        return NULL;
    identity_set_clear(set);
    free(set->list);
    certificate_pool_free(set->certificates);
    free(set);
    return NULL;
}

/* The index of the first whose name does not come before `name`. */
static size_t position_of(const IdentitySet *set, const char *name) {
    size_t low = 0, high = set->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(identity_name(set->list[middle]), name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int identity_set_add(IdentitySet *set, Identity *identity) {
    size_t position = position_of(set, identity_name(identity));
    Identity **list = reallocarray(set->list, set->count + 1U, sizeof(Identity *));

    if (!list)
        return -ENOMEM;
    set->list = list;
    memmove(&list[position + 1], &list[position], (set->count - position) * sizeof(Identity *));
    list[position] = identity;
    set->count++;
    return 0;
}

Identity *identity_set_remove(IdentitySet *set, size_t index) {
    Identity *identity = set->list[index];

    memmove(&set->list[index], &set->list[index + 1U], (set->count - index - 1U) * sizeof(Identity *));
    set->count--;
    return identity;
}

size_t identity_set_count(const IdentitySet *set) {
    return set->count;
}

Identity *identity_set_at(const IdentitySet *set, size_t index) {
    return set->list[index];
}

Identity *identity_set_find(const IdentitySet *set, const char *name, Failure *ret_failure) {
    size_t position = position_of(set, name);

    if (position < set->count && strcmp(identity_name(set->list[position]), name) == 0)
        return set->list[position];
    (void) failure_set(ret_failure, -ENOENT, FAILURE_NO_SUCH_IDENTITY,
                       "There is no identity %.64s; `idctl list` shows those that are configured.", name);
    return NULL;
}

Identity *identity_set_find_instance(const IdentitySet *set, uint64_t instance) {
    for (size_t i = 0; i < set->count; i++)
        if (identity_instance(set->list[i]) == instance)
            return set->list[i];
    return NULL;
}
