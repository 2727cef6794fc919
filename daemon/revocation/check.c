/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fetches what is to be asked, and hands it to the judge. */
#include "revocation/check.h"

#include "device/log.h"
#include "identity/identity-job.h"
#include "work/work.h"

struct Check {
    Identity *identity;
    CheckStart start;
    uint32_t generation;
    CheckTasks tasks;
    size_t next;
    Job *job;
    sd_event_source *turn; /* begins the next task */
    CheckEnd end;
};

Check *check_free(Check *check) {
    if (!check)
        return NULL;
    sd_event_source_disable_unref(check->turn);
    job_free(check->job);
    tasks_clear(&check->tasks);
    free(check);
    return NULL;
}

const CheckTasks *check_tasks(const Check *check) {
    return &check->tasks;
}

static void warn(Check *check, const CheckTask *task, const char *text) {
    check->end.failed++;
    check->end.findings.is_unanswered |= task->ocsp && task->position > 0;
    log_entry(LOG_WARNING, MESSAGE_CHECK_FAILED, identity_name(check->identity),
              "Revocation of %s could not be checked by %s: %s",
              identity_chain(check->identity)->list[task->position]->subject, task->ocsp ? "OCSP" : "CRL", text);
}

static void note_next_update(Check *check, int64_t next_update) {
    if (next_update > 0 && (check->end.renew_by == 0 || next_update < check->end.renew_by))
        check->end.renew_by = next_update;
}

/* ---- what came ---- */

/* That of a configured URL may be about any certificate of the chain. */
static int fits(const Identity *identity, const Crl *crl, const CheckTask *task, Failure *ret_failure) {
    int r = judge_crl_fits(identity, crl, task->position, ret_failure);

    for (size_t i = 0; r < 0 && task->any && i < identity_chain(identity)->count; i++)
        if (judge_crl_fits(identity, crl, i, NULL) >= 0)
            return 0;
    return r;
}

/* 1: it is the one that is stored; 0: it may replace that; -ESTALE: it is older. A stored one whose signature is wrong
 * (damaged, or of before the anchors changed) is no measure for what comes. */
static int compare_with_stored(const Identity *identity, const CheckTask *task, const Crl *fresh,
                               Failure *ret_failure) {
    _cleanup_(crl_free_p) Crl *old = NULL;
    _cleanup_bytes_ Bytes der = BYTES_NULL;

    if (store_crl_load(identity_store(identity), task->id, &der, NULL) < 0 ||
        crl_parse(bytes_view(&der), &old, NULL) < 0 || fits(identity, old, task, NULL) < 0)
        return 0;
    if (bytes_view_equal(bytes_view(&old->der), bytes_view(&fresh->der)))
        return 1;
    return crl_supersedes(fresh, old, ret_failure);
}

static int take_crl(Check *check, const CheckTask *task, BytesView data, Failure *ret_failure) {
    Identity *identity = check->identity;
    _cleanup_(crl_free_p) Crl *fresh = NULL;

    int r = crl_parse(data, &fresh, ret_failure);
    if (r >= 0)
        r = fits(identity, fresh, task, ret_failure);
    if (r >= 0)
        r = compare_with_stored(identity, task, fresh, ret_failure);
    if (r < 0)
        return r;
    /* It counts though it cannot be kept: a full disk must not hide a revocation. */
    (void) judge_by_crl(identity, fresh, &check->end.findings);
    if (r == 0)
        r = store_crl_save(identity_store(identity), task->id, bytes_view(&fresh->der), ret_failure);
    if (r >= 0)
        note_next_update(check, fresh->next_update);
    return r < 0 ? r : 0;
}

static int take_ocsp(Check *check, const CheckTask *task, BytesView data, Failure *ret_failure) {
    const OcspAnswer answer = { data, task->position, check->start.seen };
    OcspOutcome outcome;
    int r = judge_by_ocsp(check->identity, &answer, &check->end.findings, &outcome, ret_failure);

    if (r < 0)
        return r;
    note_next_update(check, outcome.next_update);
    if (outcome.verdict != REVOCATION_GOOD || task->position != 0)
        return 0;
    r = identity_set_staple(check->identity, data,
                            outcome.next_update > 0 ? outcome.next_update : outcome.this_update + OCSP_AGE_MAX);
    return r < 0 ? failure_errno(ret_failure, r, "keeping the answer") : 0;
}

/* ---- one task after another ---- */

/* Positions in the chain are those of the generation that the check was begun for. */
static bool is_outdated(Check *check) {
    check->end.is_outdated = check->generation != identity_generation(check->identity);
    return check->end.is_outdated;
}

static void task_done(Check *check) {
    check->job = job_free(check->job);
    check->next++;
    (void) sd_event_source_set_enabled(check->turn, SD_EVENT_ONESHOT);
}

static void on_fetched(JobResult *result, void *userdata) {
    Check *check = userdata;
    const CheckTask *task = &check->tasks.list[check->next];
    BytesView fetched = bytes_view(&result->fetched);
    Failure failure = FAILURE_INIT;
    int r = 0;

    if (!is_outdated(check)) {
        if (!result->has_fetched)
            r = failure_set(&failure, -EPROTO, FAILURE_ENROLLMENT_FAILED, "nothing came.");
        else
            r = task->ocsp ? take_ocsp(check, task, fetched, &failure) : take_crl(check, task, fetched, &failure);
        if (r < 0)
            warn(check, task, failure.text);
        /* At once: whoever can make the next fetch hang must not win time for the key. */
        identity_evaluate(check->identity);
    }
    task_done(check);
}

static void on_fetch_failed(const Failure *failure, bool permanent, uint32_t retry_after, void *userdata) {
    Check *check = userdata;

    if (!is_outdated(check))
        warn(check, &check->tasks.list[check->next], failure->text);
    task_done(check);
}

/* The job's turn may come when the chain is another already; on_fetch_failed finds that too. */
static int on_job_turn(JobOrder *order, void *userdata, Failure *ret_failure) {
    Check *check = userdata;
    const CheckTask *task = &check->tasks.list[check->next];
    const Identity *identity = check->identity;

    if (is_outdated(check))
        return failure_set(ret_failure, -ESTALE, FAILURE_NOT_READY, "the certificate is another meanwhile.");
    if (task->ocsp) {
        const Certificate *issuer = judge_issuer_of(identity, task->position);
        int r = issuer ? ocsp_request(identity_chain(identity)->list[task->position], issuer, &order->ocsp_request)
                       : -ENOENT;
        if (r < 0)
            return failure_errno(ret_failure, r, "Preparing a fetch");
    }
    order->request.kind = JOB_KIND_FETCH;
    order->request.servers = (const char *const *) task->urls;
    order->request.ocsp_request = bytes_view(&order->ocsp_request);
    return identity_job_prepare(identity, order, ret_failure);
}

static int start_task(Check *check, Failure *ret_failure) {
    static const JobCallbacks callbacks = { .prepare = on_job_turn, .result = on_fetched, .failed = on_fetch_failed };
    const IdentityJob start = { JOB_LINE_FETCH, &callbacks, check };

    return identity_job_start(check->identity, &start, &check->job, ret_failure);
}

static int on_turn(sd_event_source *source, void *userdata) {
    Check *check = userdata;

    while (!is_outdated(check) && check->next < check->tasks.count) {
        Failure failure = FAILURE_INIT;
        if (start_task(check, &failure) >= 0)
            return 0;
        warn(check, &check->tasks.list[check->next], failure.text);
        check->next++;
    }
    check->start.ended(check, &check->end, check->start.userdata);
    return 0;
}

int check_begin(Identity *identity, const CheckStart *start, Check **ret) {
    _cleanup_(check_free_p) Check *check = calloc(1, sizeof *check);
    sd_event *loop = device_loop(identity_context(identity)->device);

    if (!check)
        return -ENOMEM;
    check->identity = identity;
    check->start = *start;
    check->generation = identity_generation(identity);
    int r = tasks_collect(identity, &check->tasks);
    if (r >= 0)
        r = sd_event_add_defer(loop, &check->turn, on_turn, check); /* once */
    if (r < 0)
        return r;
    *ret = TAKE_PTR(check);
    return 0;
}
