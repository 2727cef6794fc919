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

static void on_result(JobResult *result, void *userdata) {
    Rollover *rollover = userdata;
    _cleanup_certificates_ CertificateList answer = { 0 };
    Failure failure = FAILURE_INIT;

    int r = result->has_cacerts
                ? certificate_list_from_pkcs7(bytes_view(&result->cacerts), BUNDLE_MAX, &answer, &failure)
                : failure_set(&failure, -EPROTO, FAILURE_ENROLLMENT_FAILED, "Nothing came.");
    if (r >= 0)
        r = identity_follow_rollover(rollover->identity, &answer, bytes_view(&result->server_chain));
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

static int on_turn(JobOrder *order, void *userdata, Failure *ret_failure) {
    Rollover *rollover = userdata;

    order->request.kind = JOB_KIND_CACERTS;
    return identity_job_prepare(rollover->identity, order, ret_failure);
}

void rollover_due(Identity *identity) {
    static const JobCallbacks callbacks = { .prepare = on_turn, .result = on_result, .failed = on_failed };
    Failure failure = FAILURE_INIT;
    Rollover *rollover = calloc(1, sizeof *rollover);
    int r = rollover ? 0 : failure_errno(&failure, -ENOMEM, "Fetching /cacerts");

    identity->next_anchors = manager_now(identity->manager) + ROLLOVER_RETRY;
    if (r >= 0) {
        rollover->identity = identity;
        r = identity_job_start(identity, JOB_LINE_ENROLLER, &callbacks, rollover, &rollover->job, &failure);
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
