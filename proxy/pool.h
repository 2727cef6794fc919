/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All connections of a proxy. Those in their handshake have slots (slots.h), those that are open have places, so that
 * neither keeps the other from beginning; and of both one source has its share, so that nobody takes all. */
#pragma once

#include "proxy/connection.h"

/* In the loop, when one has ended, is freed or has taken a place: accepting may go on, or has to stop. */
typedef void (*PoolChanged)(void *userdata);

typedef struct Pool Pool;

/* `settings` and `event` are borrowed. -ENOMEM or -errno. */
int pool_new(const ProxySettings *settings, sd_event *event, PoolChanged changed, void *userdata, Pool **ret);
/* After pool_abandon_all(). */
Pool *pool_free(Pool *pool);

/* Where gate and workers are put before the first connection; the rest is the pool's. */
ConnectionContext *pool_context(Pool *pool);

/* The file descriptors that as many connections take as there may be. */
unsigned pool_descriptors(const ProxySettings *settings);

/* Takes `accepted`, also on failure: it begins, perhaps in place of another, or is refused, which is logged. -ENOMEM or
 * -errno. */
int pool_add(Pool *pool, int accepted);

/* Whether there is a place; else whatever comes waits better in the kernel's queue. */
bool pool_has_place(const Pool *pool);
unsigned pool_count_open(const Pool *pool); /* those that have not ended */

void pool_gate_changed(Pool *pool);
void pool_end_all(Pool *pool, const char *why);
/* When no worker runs any more. */
void pool_abandon_all(Pool *pool);
/* A line that connections cause and that is about none of them, within the limit of the log. */
void pool_log(Pool *pool, ProxyLogLevel level, const char *format, ...) _printf_(3, 4);
