/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /cacerts on an interval of its own, so that a device whose certificate lives long still hears of a new root in time.
 * What may become an anchor is decided by pki's rule alone (trust_rollover). */
#include "manager/internal.h"

#include <string.h>

#define ROLLOVER_RETRY 3600 /* seconds after a fetch that failed, or the interval if that is shorter */

struct Rollover {
    Identity *identity;
    Job *job;
};

static Rollover *rollover_free(Rollover *rollover) {
    if (!rollover)
        return NULL;
    job_free(rollover->job);
    free(rollover);
    return NULL;
}

Rollover *rollover_abort(Rollover *rollover) {
    return rollover_free(rollover);
}

static void rollover_end(Rollover *rollover, bool failed) {
    Identity *identity = rollover->identity;
    int64_t interval = (int64_t) identity->config->anchors_interval;

    identity->next_anchors =
        manager_now(identity->manager) + (failed && interval > ROLLOVER_RETRY ? ROLLOVER_RETRY : interval);
    identity->rollover = rollover_free(rollover);
}

static void on_question(const JobQuestion *question, void *userdata) {
    Rollover *rollover = userdata;
    Failure failure = FAILURE_INIT;

    (void) failure_set(&failure, -EPROTO, FAILURE_PURPOSE_VIOLATION, "A fetch of /cacerts has no key.");
    (void) job_answer(rollover->job, question->type, question->serial, &failure, (BytesView) { NULL, 0 });
}

static void on_result(JobResult *result, void *userdata) {
    Rollover *rollover = userdata;
    _cleanup_certificates_ CertificateList answer = { 0 };
    Failure failure = FAILURE_INIT;

    int r = result->has_cacerts
                ? certificate_list_from_pkcs7(bytes_view(&result->cacerts), BUNDLE_MAX, &answer, &failure)
                : failure_set(&failure, -EPROTO, FAILURE_ENROLLMENT_FAILED, "Nothing came.");
    if (r >= 0)
        r = identity_follow_rollover(rollover->identity, &answer);
    else
        log_entry(LOG_WARNING, MESSAGE_ANCHORS_CHANGED, rollover->identity->name,
                  "The CA's certificates could not be read: %s", failure.text);
    rollover_end(rollover, r < 0);
}

static void on_failed(const Failure *failure, bool permanent, uint32_t retry_after, void *userdata) {
    Rollover *rollover = userdata;

    log_entry(LOG_WARNING, MESSAGE_ANCHORS_CHANGED, rollover->identity->name,
              "The CA's certificates could not be fetched: %s", failure->text);
    rollover_end(rollover, true);
}

void rollover_due(Identity *identity) {
    static const JobCallbacks callbacks = { NULL, on_question, on_result, on_failed };
    Manager *manager = identity->manager;
    const IdentityConfig *config = identity->config;
    _cleanup_bytes_ Bytes server_anchors = BYTES_NULL;
    _cleanup_free_ char *path = NULL;
    Failure failure = FAILURE_INIT;
    Rollover *rollover = calloc(1, sizeof *rollover);

    identity->next_anchors = manager_now(manager) + ROLLOVER_RETRY;
    int r = rollover ? identity_server_anchors(identity, &server_anchors, &failure)
                     : failure_errno(&failure, -ENOMEM, "Fetching /cacerts");
    if (r >= 0 && asprintf(&path, "%s/%s", manager->runtime_directory, IDENTITYD_ENROLLER_SOCKET) < 0)
        r = failure_errno(&failure, -ENOMEM, "Fetching /cacerts");
    if (r >= 0) {
        JobRequest request = {
            .kind = JOB_KIND_CACERTS,
            .identity = identity->name,
            .servers = (const char *const *) config->servers,
            .server_anchors = bytes_view(&server_anchors),
            .proxy = config->proxy,
            .time = (uint64_t) manager_now(manager),
            .time_is_floor = manager->clock.below_floor,
        };
        rollover->identity = identity;
        r = job_start(&manager->jobs, path, &request, &callbacks, rollover, &rollover->job, &failure);
    }
    if (r < 0) {
        log_entry(LOG_WARNING, MESSAGE_ANCHORS_CHANGED, identity->name, "%s", failure.text);
        rollover_free(rollover);
    } else
        identity->rollover = rollover;
}

int64_t rollover_when(Identity *identity) {
    const IdentityConfig *config = identity->config;

    if (!config || identity->malformed || config->protocol != PROTOCOL_EST || config->anchors_interval == 0 ||
        identity->rollover || identity->enrolment || identity->anchors.count == 0 || identity->state != STATE_READY)
        return 0;
    /* Every enrolment brings /cacerts too; so the first one is due an interval after the last of those. */
    int64_t now = manager_now(identity->manager), interval = (int64_t) config->anchors_interval;
    if (identity->next_anchors == 0 || identity->next_anchors > now + interval + ROLLOVER_RETRY)
        identity->next_anchors = now + interval;
    return identity->next_anchors;
}
