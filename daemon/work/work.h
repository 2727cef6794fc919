/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Everything that takes time, for main, which never waits: tasks of the signing thread (tpm-task.h, key-tasks.h), jobs
 * at the enroller (job.h), and operations that somebody waits for (operation.h). */
#pragma once

#include "device/device.h"
#include "work/job.h"
#include "work/operation.h"

typedef struct Work Work;

int work_new(Device *device, Work **ret);

/* Answers those who still wait; there may be no more jobs. Before device_stop; tasks that run end with that. */
void work_stop(Work *work);
Work *work_free(Work *work);
DEFINE_CLEANUP(Work, work_free)

Device *work_device(const Work *work);
JobLoop *work_jobs(Work *work);
Operations *work_operations(Work *work);

/* What tpm-task.c keeps of its own. */
typedef struct TpmTasks TpmTasks;
TpmTasks *work_tpm_tasks(Work *work);
