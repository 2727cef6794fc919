/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which identities identityd has, and in which states; and what a reload made of them. */
#pragma once

#include "common/macros.h"

#include <stddef.h>
#include <systemd/sd-bus.h>

typedef struct Listed {
    char *name, *state; /* owned */
} Listed;

/* Sorted by name, as identityd tells them. */
typedef struct Listing {
    Listed *list; /* owned */
    size_t count;
} Listing;

void listing_clear(Listing *listing);
#define _cleanup_listing_ _cleanup_(listing_clear)

/* 0, or -errno of the bus with `ret_error` (may be NULL), or -ENOMEM. */
int listing_get(sd_bus *bus, Listing *ret, sd_bus_error *ret_error);

typedef enum ReloadFate {
    RELOAD_UNCHANGED,
    RELOAD_FELL_OUT, /* its configuration has a fault since */
    RELOAD_GONE,     /* it has no configuration any more */
    RELOAD_BACK,     /* the fault is mended */
    RELOAD_NEW,      /* it was not there before */
} ReloadFate;

/* What became of one, by its states before and after; NULL: it is not there. */
ReloadFate reload_fate(const char *before, const char *after);

/* Tells `tell` of each whose fate is not RELOAD_UNCHANGED, sorted by name, each once. */
typedef void (*ReloadTell)(const char *name, const char *state, ReloadFate fate, void *userdata);
void reload_compare(const Listing *before, const Listing *after, ReloadTell tell, void *userdata);
