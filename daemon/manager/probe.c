/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Is the TPM there, and is it the same one? Asked at start, after trouble, and again with growing patience while it is
 * away; never while all is well. */
#include "manager/internal.h"

#include <string.h>

#define PROBE_AGAIN_FIRST (1U * USEC_PER_SECOND)
#define PROBE_AGAIN_MAX   (60U * USEC_PER_SECOND)

typedef struct ProbeJob {
    Manager *manager;
    char *salt;
    TpmInformation information;
    Failure failure;
} ProbeJob;

static ProbeJob *probe_job_free(ProbeJob *job) {
    if (!job)
        return NULL;
    free(job->salt);
    free(job);
    return NULL;
}
DEFINE_CLEANUP(ProbeJob, probe_job_free)

static void probe_run(Tpm *tpm, void *data) {
    ProbeJob *job = data;

    (void) tpm_probe(tpm, job->salt, &job->information, &job->failure);
}

static void take_information(Manager *manager, const ProbeJob *job) {
    bool first = !manager->tpm_known, was_ready = manager->tpm.state == TPM_STATE_READY,
         is_ready = job->information.state == TPM_STATE_READY;
    TpmInformation old = manager->tpm;

    manager->tpm = job->information;
    if (!is_ready) { /* what is known of the chip stays known while it is away */
        memcpy(manager->tpm.device_id, old.device_id, sizeof old.device_id);
        memcpy(manager->tpm.vendor, old.vendor, sizeof old.vendor);
        memcpy(manager->tpm.firmware, old.firmware, sizeof old.firmware);
    }
    manager->tpm_failure = job->failure;
    manager->tpm_known = true;
    if (first || was_ready != is_ready)
        log_entry(is_ready ? LOG_INFO : LOG_ERR, MESSAGE_TPM_CHANGED, NULL,
                  is_ready ? "The TPM is ready: %s, firmware %s.%s" : "The TPM cannot be used: %s%s%s",
                  is_ready ? manager->tpm.vendor : job->failure.text,
                  is_ready ? manager->tpm.firmware : " It is tried again until it can.", "");
    if (is_ready && manager->tpm.device_id[0] == '\0' && (first || !was_ready))
        log_entry(LOG_WARNING, MESSAGE_TPM_CHANGED, NULL, "There is no device ID: %s", manager->tpm.device_id_problem);
}

static void save_device(Manager *manager) {
    const TpmInformation *tpm = &manager->tpm;
    StoredDevice *stored = &manager->stored_device;
    BytesView parent_name = { tpm->parent_name, tpm->parent_name_size },
              endorsement = { tpm->endorsement, tpm->endorsement_size };
    Failure failure = FAILURE_INIT;

    if (tpm->state != TPM_STATE_READY || endorsement.size == 0 || parent_name.size == 0 ||
        (bytes_view_equal(parent_name, bytes_view(&stored->parent_name)) &&
         bytes_view_equal(endorsement, bytes_view(&stored->endorsement))))
        return;
    stored_device_clear(stored);
    int r = store_device_save(manager->state_fd, parent_name, endorsement, &failure);
    if (r < 0)
        log_entry(LOG_WARNING, MESSAGE_STORAGE, NULL, "The device ID is not kept for the next start: %s", failure.text);
    if (r >= 0 &&
        (bytes_copy(parent_name, &stored->parent_name) < 0 || bytes_copy(endorsement, &stored->endorsement) < 0))
        stored_device_clear(stored);
}

static void probe_done(void *data, bool cancelled) {
    _cleanup_(probe_job_free_p) ProbeJob *job = data;
    Manager *manager = job->manager;

    manager->probing = false;
    if (cancelled)
        return;
    take_information(manager, job);
    save_device(manager);
    if (!manager->clock_judged && manager->tpm.state == TPM_STATE_READY) {
        clock_plan_boot_renewal(manager);
        manager->clock_judged = true;
    }
    manager->settled = true;
    for (size_t i = 0; i < manager->identity_count; i++) {
        identity_schedule(manager->identities[i]);
        identity_evaluate(manager->identities[i]);
    }
    if (manager->callbacks.changed)
        manager->callbacks.changed(CHANGE_MANAGER_PROPERTIES, NULL, manager->callbacks.userdata);

    if (manager->tpm.state == TPM_STATE_READY)
        manager->probe_delay = 0;
    else {
        manager->probe_delay = manager->probe_delay == 0 ? PROBE_AGAIN_FIRST : manager->probe_delay * 2U;
        if (manager->probe_delay > PROBE_AGAIN_MAX)
            manager->probe_delay = PROBE_AGAIN_MAX;
        tpm_probe_schedule(manager, manager->probe_delay);
    }
    if (manager->probe_again) {
        manager->probe_again = false;
        tpm_probe_start(manager);
    }
}

void tpm_probe_start(Manager *manager) {
    if (manager->probing) {
        manager->probe_again = true;
        return;
    }
    ProbeJob *job = calloc(1, sizeof *job);
    if (job) {
        job->manager = manager;
        job->salt = manager->config->device_id_salt ? strdup(manager->config->device_id_salt) : NULL;
    }
    if (!job || (manager->config->device_id_salt && !job->salt) ||
        signing_run(manager->signing, probe_run, probe_done, job) < 0) {
        probe_job_free(job);
        tpm_probe_schedule(manager, PROBE_AGAIN_MAX);
        return;
    }
    manager->probing = true;
}

static bool is_of_tpm(const Failure *failure) {
    return failure->kind == FAILURE_TPM_UNAVAILABLE || failure->kind == FAILURE_TPM_REPLACED;
}

void tpm_note_job(Manager *manager, const Failure *failure) {
    if (is_of_tpm(failure))
        manager->tpm_jobs_failed++;
    (void) tpm_note_failure(manager, failure);
}

bool tpm_note_failure(Manager *manager, const Failure *failure) {
    uint64_t now = boottime_usec(), since = now - manager->last_tpm_failure;

    if (!is_of_tpm(failure))
        return false;
    if (manager->last_tpm_failure != 0 && since < PROBE_AGAIN_FIRST) {
        tpm_probe_schedule(manager, PROBE_AGAIN_FIRST - since);
        return false;
    }
    manager->last_tpm_failure = now;
    tpm_probe_start(manager);
    return true;
}

static int on_probe_timer(sd_event_source *source, uint64_t usec, void *userdata) {
    tpm_probe_start(userdata);
    return 0;
}

void tpm_probe_schedule(Manager *manager, uint64_t delay_usec) {
    int r;

    if (manager->probe_timer) {
        r = sd_event_source_set_time_relative(manager->probe_timer, delay_usec);
        if (r >= 0)
            r = sd_event_source_set_enabled(manager->probe_timer, SD_EVENT_ONESHOT);
    } else
        r = sd_event_add_time_relative(manager->loop, &manager->probe_timer, CLOCK_BOOTTIME, delay_usec, 0,
                                       on_probe_timer, manager);
    if (r < 0)
        log_entry(LOG_ERR, MESSAGE_TPM_CHANGED, NULL, "Cannot plan the next look at the TPM: %s.", strerror(-r));
}
