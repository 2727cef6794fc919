/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The order of the configured identities. */
#include "identity/chosen.h"

#include "device/device.h"
#include "store/store.h"

#include <stdlib.h>
#include <string.h>

typedef struct Candidate {
    char *name;
    unsigned rank;
} Candidate;

static unsigned rank_of(const Device *device, const IdentitySet *set, const char *name) {
    bool is_certified = store_has_generations(device_directories(device)->state_fd, name);
    bool is_served = identity_set_find(set, name, NULL) != NULL;

    return (is_certified ? 0U : 2U) + (is_served ? 0U : 1U);
}

static int compare(const void *a, const void *b) {
    const Candidate *first = a, *second = b;

    if (first->rank != second->rank)
        return first->rank < second->rank ? -1 : 1;
    return strcmp(first->name, second->name);
}

int chosen_sort(const Device *device, const IdentitySet *set, char **names) {
    size_t count = 0;

    while (names[count])
        count++;
    _cleanup_free_ Candidate *candidates = calloc(count + 1, sizeof *candidates);
    if (!candidates)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        candidates[i] = (Candidate) { names[i], rank_of(device, set, names[i]) };
    qsort(candidates, count, sizeof *candidates, compare);
    for (size_t i = 0; i < count; i++)
        names[i] = candidates[i].name;
    return 0;
}
