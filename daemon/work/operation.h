/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What somebody waits for. Each is answered exactly once, in a later turn of the loop than the one in which it was
 * begun or finished: nobody is called back from inside his own call. */
#pragma once

#include "common/bytes.h"
#include "common/failure.h"

#include <systemd/sd-event.h>

typedef struct Operation Operation;
typedef struct Operations Operations;

/* `failure` of the kind NONE: success. Both are borrowed. */
typedef void (*OperationDone)(const Failure *failure, BytesView result, void *userdata);

/* The line of those that are finished and not answered yet. */
int operations_new(sd_event *loop, Operations **ret);
/* Answers what is in the line first. */
Operations *operations_free(Operations *operations);
DEFINE_CLEANUP(Operations, operations_free)

/* -ENOMEM: `done` will not be called. `done` may be NULL: nobody waits. */
int operation_new(Operations *operations, OperationDone done, void *userdata, Operation **ret);

/* Takes the operation (NULL: nothing happens) and what follows it in its list. `failure` NULL: success. Without memory
 * for the result it fails with that. */
void operation_finish(Operation *operation, const Failure *failure, BytesView result);

/* Several may wait for the same: puts `operation` before `list`. */
void operation_join(Operation **list, Operation *operation);

/* For what is done or refused at once: begins and finishes. `failure` of the kind NONE: success. Without memory nobody
 * is answered, and the caller's peer times out. */
void operation_answer(Operations *operations, OperationDone done, void *userdata, const Failure *failure);
