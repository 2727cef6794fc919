/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Closes descriptors that may take their time. Whoever sends us a descriptor chooses what stands behind it: a TCP
 * socket with SO_LINGER makes the close() of the last reference wait for hours, and so does closing the unread end of a
 * socket in whose queue such a descriptor lies (seen). No loop of ours may wait for that: a thread of its own does, one
 * at a time, so that those who send such things wait for each other and for nobody else. */
#pragma once

#include "common/macros.h"

#include <stdbool.h>

typedef struct Closer Closer;
typedef void (*CloserDone)(void *data); /* on the closer's thread, or inside closer_free */

int closer_new(Closer **ret); /* 0 or -ENOMEM. No thread before it is needed */

/* Takes `fd`; `done` (may be NULL) follows when it is closed. Out of memory or threads, it is closed here and now. */
void closer_close(Closer *closer, int fd, CloserDone done, void *data);

/* Calls every `done` that is still owed and returns at once; what is being closed then goes on by itself. */
Closer *closer_free(Closer *closer);
DEFINE_CLEANUP(Closer, closer_free)

/* Closes a SOCK_SEQPACKET socket of ours: here if nothing dangerous lies in its queue, else through `closer`. The peer
 * sees the end at once in either case. True: closed, `done` is not called; false: `done` follows. */
bool closer_close_socket(Closer *closer, int socket, CloserDone done, void *data);
