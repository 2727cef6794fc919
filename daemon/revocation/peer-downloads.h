/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CRLs of peers' CAs on their way. Whoever wants the same from the same place on the same way (proxy, and what an HTTPS
 * server is verified with) while it is fetched gets what comes: a hundred identities cost one download. Few run at a
 * time, so that peers' servers that do not answer never take the last place from the checks of our own chains. For this
 * room. */
#pragma once

#include "identity/identity.h"
#include "pki/revocation.h"

#include <systemd/sd-event.h>

#define PEER_DOWNLOADS_MAX 2U /* at a time; below JOB_PLACES */

typedef struct PeerDownloads PeerDownloads;
typedef struct PeerWait PeerWait;

/* What came, lent to each who waits for it, one after another. */
typedef struct PeerFetched {
    const Crl *crl;     /* of any kind; who has signed it is found out once (crl_is_signed_by) */
    uint8_t digest[32]; /* SHA-256 of its DER */
} PeerFetched;

/* One of the two, once, in a later turn; the wait is gone then. */
typedef struct PeerWaitCallbacks {
    void (*fetched)(const PeerFetched *fetched, void *userdata);
    void (*failed)(const Failure *failure, void *userdata);
} PeerWaitCallbacks;

int peer_downloads_new(sd_event *loop, PeerDownloads **ret);
/* When nobody waits any more. */
PeerDownloads *peer_downloads_free(PeerDownloads *downloads);

/* `urls` (NULL-terminated, borrowed as long as it is waited) say the same and are tried in turn. -ENOMEM, -EIO. */
typedef struct PeerWaitStart {
    Identity *identity;
    char *const *urls;
    const PeerWaitCallbacks *callbacks;
    void *userdata;
} PeerWaitStart;
int peer_wait_start(PeerDownloads *downloads, const PeerWaitStart *start, PeerWait **ret);
/* Waits no longer; the others do. Takes NULL, returns NULL. */
PeerWait *peer_wait_free(PeerWait *wait);
