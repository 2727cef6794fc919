/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The list of tasks that run or wait, and the timer that looks whether the TPM hangs. */
#include "work/tpm-task.h"

#define USEC_PER_SECOND 1000000ULL

struct TpmTasks {
    Device *device;
    TpmTask *first;
    sd_event_source *timer;
};

static void unlink_task(TpmTask *task) {
    TpmTasks *tasks = task->tasks;

    for (TpmTask **link = &tasks->first; *link; link = &(*link)->next)
        if (*link == task) {
            *link = task->next;
            break;
        }
    if (!tasks->first)
        (void) sd_event_source_set_enabled(tasks->timer, SD_EVENT_OFF);
}

static void task_run(Tpm *tpm, void *data) {
    TpmTask *task = data;

    task->run(tpm, task);
}

static void task_done(void *data, bool cancelled) {
    TpmTask *task = data;
    TpmWatch *tpm = device_tpm(task->tasks->device);

    unlink_task(task);
    if (cancelled)
        (void) failure_set(&task->failure, -ESHUTDOWN, FAILURE_NOT_READY, "identityd stops.");
    else if (!task->is_answered)
        tpm_watch_note_task(tpm, &task->failure);
    if (!task->is_answered)
        task->answer(task, &task->failure);
    task->free(task);
    if (!cancelled)
        tpm_watch_answers(tpm);
}

/* Answers may begin and end other things; so the list is looked at from its head each time. */
static TpmTask *next_overdue(const TpmTasks *tasks, uint64_t now) {
    for (TpmTask *task = tasks->first; task; task = task->next)
        if (!task->is_answered && now > task->started + task->patience)
            return task;
    return NULL;
}

static void answer_overdue(TpmTasks *tasks) {
    TpmWatch *tpm = device_tpm(tasks->device);
    Failure failure = FAILURE_INIT;
    uint64_t now = boottime_usec();
    TpmTask *task;

    tpm_watch_say_hung(tpm);
    (void) failure_set(&failure, -ENODEV, FAILURE_TPM_UNAVAILABLE, TPM_HUNG_TEXT);
    while ((task = next_overdue(tasks, now))) {
        task->is_answered = true;
        tpm_watch_note_task(tpm, &failure);
        task->answer(task, &failure);
    }
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
    TpmTasks *tasks = userdata;

    if (!tasks->first)
        return 0;
    if (tpm_watch_is_hung(device_tpm(tasks->device)))
        answer_overdue(tasks);
    int r = sd_event_source_set_time_relative(source, USEC_PER_SECOND);
    return r < 0 ? r : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int arm(TpmTasks *tasks) {
    int enabled = SD_EVENT_OFF;
    int r = sd_event_source_get_enabled(tasks->timer, &enabled);

    if (r < 0 || enabled != SD_EVENT_OFF)
        return r < 0 ? r : 0;
    r = sd_event_source_set_time_relative(tasks->timer, TPM_HUNG_SECONDS * USEC_PER_SECOND);
    return r < 0 ? r : sd_event_source_set_enabled(tasks->timer, SD_EVENT_ONESHOT);
}

int tpm_tasks_new(Device *device, TpmTasks **ret) {
    TpmTasks *tasks = calloc(1, sizeof *tasks);

    if (!tasks)
        return -ENOMEM;
    tasks->device = device;
    int r = sd_event_add_time_relative(device_loop(device), &tasks->timer, CLOCK_BOOTTIME,
                                       TPM_HUNG_SECONDS * USEC_PER_SECOND, USEC_PER_SECOND, on_timer, tasks);
    if (r >= 0)
        r = sd_event_source_set_enabled(tasks->timer, SD_EVENT_OFF);
    if (r < 0) {
        (void) tpm_tasks_free(tasks);
        return r;
    }
    *ret = tasks;
    return 0;
}

TpmTasks *tpm_tasks_free(TpmTasks *tasks) {
    if (!tasks)
        return NULL;
    sd_event_source_disable_unref(tasks->timer);
    free(tasks);
    return NULL;
}

int tpm_task_start(TpmTasks *tasks, TpmTask *task) {
    int r = arm(tasks);

    task->tasks = tasks;
    if (r >= 0)
        r = signing_run_for(device_signing(tasks->device), &task->payer, task_run, task_done, task);
    if (r < 0)
        return r;
    task->started = boottime_usec();
    task->next = tasks->first;
    tasks->first = task;
    return 0;
}

TpmTask *tpm_task_forget(TpmTask *task) {
    if (task)
        task->is_answered = true;
    return NULL;
}
