/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Jobs of the signing thread that somebody waits for. A TPM that hangs in the middle of one blocks that thread, and no
 * TCTI knows a timeout; so whoever waits is answered here once the TPM counts as hung, and what the job comes to in the
 * end is dropped. */
#include "manager/internal.h"

static void unlink_job(TpmJob *job) {
    for (TpmJob **link = &job->manager->tpm_jobs; *link; link = &(*link)->next)
        if (*link == job) {
            *link = job->next;
            break;
        }
    if (!job->manager->tpm_jobs)
        (void) sd_event_source_set_enabled(job->manager->tpm_job_timer, SD_EVENT_OFF);
}

static void job_run(Tpm *tpm, void *data) {
    TpmJob *job = data;

    job->run(tpm, job);
}

static void job_done(void *data, bool cancelled) {
    TpmJob *job = data;
    Manager *manager = job->manager;

    unlink_job(job);
    if (cancelled)
        (void) failure_set(&job->failure, -ESHUTDOWN, FAILURE_NOT_READY, "identityd stops.");
    else if (!job->answered)
        tpm_note_job(manager, &job->failure);
    if (!job->answered)
        job->answer(job, &job->failure);
    job->free(job);
    if (!cancelled && manager->tpm_hang_said) {
        manager->tpm_hang_said = false;
        log_entry(LOG_NOTICE, MESSAGE_TPM_CHANGED, NULL, "The TPM answers again.");
        tpm_probe_start(manager);
        if (manager->callbacks.changed)
            manager->callbacks.changed(CHANGE_MANAGER_PROPERTIES, NULL, manager->callbacks.userdata);
    }
}

static void say_hang(Manager *manager) {
    if (manager->tpm_hang_said)
        return;
    manager->tpm_hang_said = true;
    log_entry(LOG_ERR, MESSAGE_TPM_CHANGED, NULL,
              "The TPM has not answered for half a minute; whoever needs it is refused until it does.");
    if (manager->callbacks.changed)
        manager->callbacks.changed(CHANGE_MANAGER_PROPERTIES, NULL, manager->callbacks.userdata);
}

/* Answers may begin and end other things; so the list is looked at from its head each time. */
static TpmJob *next_overdue(Manager *manager, uint64_t now) {
    for (TpmJob *job = manager->tpm_jobs; job; job = job->next)
        if (!job->answered && now - job->started > job->patience)
            return job;
    return NULL;
}

static int on_job_timer(sd_event_source *source, uint64_t usec, void *userdata) {
    Manager *manager = userdata;
    uint64_t now = boottime_usec();

    if (!manager->tpm_jobs)
        return 0;
    if (manager_tpm_is_hung(manager)) {
        Failure failure = FAILURE_INIT;
        TpmJob *job;
        say_hang(manager);
        (void) failure_set(&failure, -ENODEV, FAILURE_TPM_UNAVAILABLE, TPM_HUNG_TEXT);
        while ((job = next_overdue(manager, now))) {
            job->answered = true;
            manager->tpm_jobs_failed++;
            job->answer(job, &failure);
        }
    }
    int r = sd_event_source_set_time_relative(source, USEC_PER_SECOND);
    return r < 0 ? r : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int arm(Manager *manager) {
    int enabled = SD_EVENT_OFF;

    if (!manager->tpm_job_timer)
        return sd_event_add_time_relative(manager->loop, &manager->tpm_job_timer, CLOCK_BOOTTIME, TPM_HUNG_USEC,
                                          USEC_PER_SECOND, on_job_timer, manager);
    int r = sd_event_source_get_enabled(manager->tpm_job_timer, &enabled);
    if (r < 0 || enabled != SD_EVENT_OFF)
        return r < 0 ? r : 0;
    r = sd_event_source_set_time_relative(manager->tpm_job_timer, TPM_HUNG_USEC);
    return r < 0 ? r : sd_event_source_set_enabled(manager->tpm_job_timer, SD_EVENT_ONESHOT);
}

int tpm_job_start(TpmJob *job) {
    Manager *manager = job->manager;
    int r = arm(manager);

    if (r >= 0)
        r = signing_run(manager->signing, job_run, job_done, job);
    if (r < 0)
        return r;
    job->started = boottime_usec();
    job->next = manager->tpm_jobs;
    manager->tpm_jobs = job;
    return 0;
}
