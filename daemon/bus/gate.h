/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What every method call passes before anything looks at it: here it is known who calls, and whether it is their turn.
 * The bus says who is behind a connection only when it is asked, and until it has answered a call waits here, as a copy
 * of nothing but what the method can take. */
#pragma once

#include "bus/arguments.h"
#include "bus/caller.h"
#include "lending/access-log.h"

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

/* Calls of senders who are not known yet: in all, of one, and of one while half of all places are taken. The bus
 * answers within a turn or two of the loop. */
#define GATE_HELD_MAX       512U
#define GATE_HELD_BYTES_MAX (1024U * 1024U) /* bodies, of all together */
#define GATE_OF_SENDER_MAX  CALLER_WAITS_MAX
#define GATE_OF_SENDER_FEW  4U
/* Of one call, but where its method takes more. */
#define GATE_BODY_MAX 4096U

typedef struct Gate Gate;

/* All are borrowed and outlive it. 0 or -errno. */
typedef struct GateContext {
    sd_bus *connection;
    sd_event *loop;
    Callers *callers;
    AccessLog *log;
    size_t *held; /* kept up to date: how many calls are held */
} GateContext;
int gate_new(const GateContext *context, Gate **ret);
/* Whatever waits is forgotten without an answer: before, gate_abandon. */
Gate *gate_free(Gate *gate);
DEFINE_CLEANUP(Gate, gate_free)

/* Answers all who wait with `error`. */
void gate_abandon(Gate *gate, const sd_bus_error *error);
