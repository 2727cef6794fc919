/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Threads for what must not hold up an event loop: a job runs in one of them and is given back to the loop. */
#pragma once

#include "common/macros.h"

#include <stdbool.h>
#include <systemd/sd-event.h>

typedef struct Workers Workers;
typedef struct Job Job;

/* Part of a larger object of the submitter's. */
struct Job {
    void (*run)(Job *job);  /* in a worker; what it touches is its own meanwhile */
    void (*done)(Job *job); /* in the loop, afterwards; may submit the job again, and may free it */
    Job *next;
};

#define WORKERS_MAX 8U

/* `count` threads, in which all signals are blocked. -ENOMEM, -EAGAIN or -errno. */
int workers_new(sd_event *event, unsigned count, Workers **ret);

/* First come, first served. From the loop's thread. */
void workers_submit(Workers *workers, Job *job);

/* Ends the threads; jobs that have not begun are dropped. False: a thread is still in its job after `seconds`. Then
 * neither the workers nor that job's objects may be freed, and the process ends by _exit(2). */
bool workers_stop(Workers *workers, unsigned seconds);

/* After workers_stop() was true. */
Workers *workers_free(Workers *workers);
DEFINE_CLEANUP(Workers, workers_free)
