/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /cacerts on an interval of its own, so that a device whose certificate lives long still hears of a new root in time;
 * and at once where AnchorsFingerprint= was changed and there is no anchor any more. */
#include "enrolment/duties.h"

#include "device/log.h"
#include "enrolment/follow.h"
#include "identity/identity-job.h"
#include "identity/identity.h"

#define RETRY 3600 /* seconds after a fetch that failed, or the interval if that is shorter */

typedef struct Rollover {
    Job *job;     /* while it is fetched */
    Instant next; /* never: not planned yet */
} Rollover;

static void rollover_clear(void *part) {
    Rollover *rollover = part;

    rollover->job = job_free(rollover->job);
}

static void rollover_stop(Identity *identity, const Failure *why) {
    rollover_clear(identity_part(identity, &rollover_duty));
}

static void plan(Identity *identity, bool failed) {
    Rollover *rollover = identity_part(identity, &rollover_duty);
    int64_t interval = (int64_t) identity_config(identity)->anchors_interval;

    rollover->next = instant_at(identity_now(identity) + (failed && interval > RETRY ? RETRY : interval));
}

static bool lacks_anchors(const Identity *identity) {
    return identity_anchors(identity)->count == 0;
}

/* Logs. Without an anchor the fingerprint says which it is. */
static int take_over(Identity *identity, const CertificateList *answer, BytesView server_chain) {
    Failure failure = FAILURE_INIT;

    if (!lacks_anchors(identity))
        return follow_rollover(identity, answer, server_chain);
    int r = follow_cacerts(identity, answer, server_chain, &failure);
    if (r < 0)
        log_entry(LOG_WARNING, MESSAGE_ANCHORS_CHANGED, identity_name(identity),
                  "The CA's certificates were not taken over: %s", failure.text);
    else
        log_entry(LOG_NOTICE, MESSAGE_ANCHORS_CHANGED, identity_name(identity),
                  "The anchor that AnchorsFingerprint= names was fetched.");
    return r;
}

static void on_result(JobResult *result, void *userdata) {
    Identity *identity = userdata;
    _cleanup_certificates_ CertificateList answer = { 0 };
    Failure failure = FAILURE_INIT;
    LeftOut left_out = { 0 };

    int r = result->has_cacerts
                ? certificate_bundle_from_pkcs7(bytes_view(&result->cacerts), BUNDLE_MAX, &answer, &left_out, &failure)
                : failure_set(&failure, -EPROTO, FAILURE_ENROLLMENT_FAILED, "nothing came.");
    if (r >= 0)
        r = take_over(identity, &answer, bytes_view(&result->server_chain));
    else
        log_entry(LOG_WARNING, MESSAGE_ANCHORS_CHANGED, identity_name(identity),
                  "The CA's certificates could not be read: %s", failure.text);
    identity_tell_left_out(identity, "the CA's answer to /cacerts", &left_out);
    rollover_clear(identity_part(identity, &rollover_duty));
    plan(identity, r < 0);
}

static void on_failed(const Failure *failure, bool permanent, uint32_t retry_after, void *userdata) {
    Identity *identity = userdata;

    log_entry(LOG_WARNING, MESSAGE_ANCHORS_CHANGED, identity_name(identity),
              "The CA's certificates could not be fetched: %s", failure->text);
    rollover_clear(identity_part(identity, &rollover_duty));
    if (identity_config(identity))
        plan(identity, true);
}

static int on_turn(JobOrder *order, void *userdata, Failure *ret_failure) {
    order->request.kind = JOB_KIND_CACERTS;
    return identity_job_prepare(userdata, order, ret_failure);
}

static void rollover_begin(Identity *identity) {
    static const JobCallbacks callbacks = { .prepare = on_turn, .result = on_result, .failed = on_failed };
    const IdentityJob start = { JOB_LINE_ENROLLER, &callbacks, identity };
    Rollover *rollover = identity_part(identity, &rollover_duty);
    Failure failure = FAILURE_INIT;

    if (identity_job_start(identity, &start, &rollover->job, &failure) >= 0)
        return;
    log_entry(LOG_WARNING, MESSAGE_ANCHORS_CHANGED, identity_name(identity), "%s", failure.text);
    plan(identity, true);
}

static Instant rollover_when(const Identity *identity) {
    const Rollover *rollover = identity_part(identity, &rollover_duty);
    const IdentityConfig *config = identity_config(identity);

    if (!config || config->protocol != PROTOCOL_EST || rollover->job ||
        (lacks_anchors(identity) && !config->has_anchors_fingerprint) || identity_state(identity) != STATE_READY)
        return instant_never();
    /* One that lies further away than the interval was planned while the clock was elsewhere. */
    int64_t latest = identity_now(identity) + (int64_t) config->anchors_interval + RETRY;
    return instant_is_before(instant_at(latest), rollover->next) ? instant_at_once() : rollover->next;
}

/* Every enrolment brings /cacerts too; so the next one is due an interval after the last of those. */
static void rollover_hear(Identity *identity, unsigned changes) {
    Rollover *rollover = identity_part(identity, &rollover_duty);

    if (!(changes & (CHANGED_GENERATION | CHANGED_CONFIGURATION)) || !identity_config(identity))
        return;
    if (lacks_anchors(identity))
        rollover->next = instant_at_once();
    else
        plan(identity, false);
}

const Duty rollover_duty = {
    .name = "rollover",
    .part_size = sizeof(Rollover),
    .clear = rollover_clear,
    .when = rollover_when,
    .begin = rollover_begin,
    .stop = rollover_stop,
    .hear = rollover_hear,
};
