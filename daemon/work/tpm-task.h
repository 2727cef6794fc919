/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A task of the signing thread. A TPM that hangs in the middle of one blocks that thread, and no TCTI knows a timeout;
 * so whoever waits is answered once the TPM counts as hung, and what the task comes to in the end is dropped. */
#pragma once

#include "signing/signing.h"
#include "work/work.h"

#include <stdbool.h>

typedef struct TpmTask TpmTask;

/* What is made of a task has it as its first member (key-tasks.c). */
struct TpmTask {
    void (*run)(Tpm *tpm, TpmTask *task);                  /* on the signing thread: fills in `failure` and results */
    void (*answer)(TpmTask *task, const Failure *failure); /* on main: results only where it is of the kind NONE */
    void (*free)(TpmTask *task);                           /* on main, last */
    uint64_t patience;                                     /* µs, before a hung TPM ends the wait */
    SigningPayer payer;                                    /* whose time it takes; borrowed until it has begun */
    Failure failure;
    /* for tpm-task.c */
    TpmTasks *tasks;
    uint64_t started;
    bool is_answered;
    TpmTask *next;
};

int tpm_tasks_new(Device *device, TpmTasks **ret);
/* After device_stop, when none is left. */
TpmTasks *tpm_tasks_free(TpmTasks *tasks);
DEFINE_CLEANUP(TpmTasks, tpm_tasks_free)

/* Takes the task over, unless it fails (-ENOMEM, or -errno of the loop). `answer` is called in a later turn, at most
 * once; when identityd stops too, with a failure. */
int tpm_task_start(TpmTasks *tasks, TpmTask *task);

/* Nobody waits for it any more: `answer` is not called. NULL: nothing happens; returns NULL. */
TpmTask *tpm_task_forget(TpmTask *task);
