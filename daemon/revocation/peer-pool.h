/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What identities share of the CRLs of peers' CAs: those that are kept, and those that are on their way. */
#pragma once

#include "common/macros.h"

typedef struct Device Device;
typedef struct PeerPool PeerPool;

/* 0, -ENOMEM. `device` outlives it. */
int peer_pool_new(Device *device, PeerPool **ret);
/* After the identities. Takes NULL, returns NULL. */
PeerPool *peer_pool_free(PeerPool *pool);
DEFINE_CLEANUP(PeerPool, peer_pool_free)
