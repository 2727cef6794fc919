/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See listing.h. */
#include "idctl/listing.h"

#include "common/names.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

void listing_clear(Listing *listing) {
    for (size_t i = 0; i < listing->count; i++) {
        free(listing->list[i].name);
        free(listing->list[i].state);
    }
    free(listing->list);
    *listing = (Listing) { 0 };
}

static int add(Listing *listing, const char *name, const char *state) {
    Listed *list = reallocarray(listing->list, listing->count + 1, sizeof list[0]);

    if (!list)
        return -ENOMEM;
    listing->list = list;
    list[listing->count] = (Listed) { strdup(name), strdup(state) };
    const Listed *added = &list[listing->count++];
    return added->name && added->state ? 0 : -ENOMEM;
}

int listing_get(sd_bus *bus, Listing *ret, sd_bus_error *ret_error) {
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    _cleanup_listing_ Listing listing = { 0 };
    const char *name, *path, *state, *activity;
    uint64_t not_after, next_renewal;

    int r = sd_bus_call_method(bus, IDENTITYD_BUS_NAME, IDENTITYD_MANAGER_PATH, IDENTITYD_MANAGER_INTERFACE,
                               "ListIdentities", ret_error, &reply, NULL);
    if (r < 0 || (r = sd_bus_message_enter_container(reply, 'a', "(sosstt)")) < 0)
        return r;
    while ((r = sd_bus_message_read(reply, "(sosstt)", &name, &path, &state, &activity, &not_after, &next_renewal)) > 0)
        if ((r = add(&listing, name, state)) < 0)
            return r;
    if (r < 0)
        return r;
    *ret = listing;
    listing = (Listing) { 0 };
    return 0;
}

ReloadFate reload_fate(const char *before, const char *after) {
    bool was_faulty = before && strcmp(before, "misconfigured") == 0;

    if (!after)
        return before ? RELOAD_GONE : RELOAD_UNCHANGED;
    if (strcmp(after, "misconfigured") == 0)
        return was_faulty ? RELOAD_UNCHANGED : RELOAD_FELL_OUT;
    if (was_faulty)
        return RELOAD_BACK;
    return before ? RELOAD_UNCHANGED : RELOAD_NEW;
}

void reload_compare(const Listing *before, const Listing *after, ReloadTell tell, void *userdata) {
    size_t b = 0, a = 0;

    while (b < before->count || a < after->count) {
        const char *old = b < before->count ? before->list[b].name : NULL;
        const char *new = a < after->count ? after->list[a].name : NULL;
        int order = !old ? 1 : !new ? -1 : strcmp(old, new);
        const char *name = order <= 0 ? old : new;
        const char *state_before = order <= 0 ? before->list[b++].state : NULL;
        const char *state_after = order >= 0 ? after->list[a++].state : NULL;
        ReloadFate fate = reload_fate(state_before, state_after);
        if (fate != RELOAD_UNCHANGED)
            tell(name, state_after, fate, userdata);
    }
}
