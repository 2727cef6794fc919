/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One of each: the lines in which work waits. */
#include "work/work.h"

#include "work/tpm-task.h"

struct Work {
    Device *device;
    JobLoop jobs;
    Operations *operations;
    TpmTasks *tpm_tasks;
};

int work_new(Device *device, Work **ret) {
    _cleanup_(work_free_p) Work *work = calloc(1, sizeof *work);

    if (!work)
        return -ENOMEM;
    work->device = device;
    work->jobs.loop = device_loop(device);
    int r = closer_new(&work->jobs.closer);
    if (r >= 0)
        r = operations_new(device_loop(device), &work->operations);
    if (r >= 0)
        r = tpm_tasks_new(device, &work->tpm_tasks);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(work);
    return 0;
}

void work_stop(Work *work) {
    job_loop_clear(&work->jobs);
}

Work *work_free(Work *work) {
    if (!work)
        return NULL;
    work_stop(work);
    work->jobs.closer = closer_free(work->jobs.closer);
    work->tpm_tasks = tpm_tasks_free(work->tpm_tasks);
    work->operations = operations_free(work->operations);
    free(work);
    return NULL;
}

Device *work_device(const Work *work) {
    return work->device;
}

JobLoop *work_jobs(Work *work) {
    return &work->jobs;
}

Operations *work_operations(Work *work) {
    return work->operations;
}

TpmTasks *work_tpm_tasks(Work *work) {
    return work->tpm_tasks;
}
