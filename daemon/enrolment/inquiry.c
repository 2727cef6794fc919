/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One job at the enroller, and what it says. */
#include "enrolment/inquiry.h"

#include "common/text.h"
#include "enrolment/duties.h"
#include "identity/identity-job.h"
#include "identity/identity.h"
#include "pki/certificate.h"
#include "work/work.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct Inquiry Inquiry;
struct Inquiry {
    Identity *identity;
    Job *job;
    Operation *operation;
    Inquiry *next;
};

/* The duty's part: those that are under way. */
typedef struct Inquiries {
    Inquiry *first;
} Inquiries;

static Inquiry *inquiry_free(Inquiry *inquiry) {
    if (!inquiry)
        return NULL;
    job_free(inquiry->job);
    free(inquiry);
    return NULL;
}
DEFINE_CLEANUP(Inquiry, inquiry_free)

static void inquiry_end(Inquiry *inquiry, const Failure *failure, const char *text) {
    Inquiries *inquiries = identity_part(inquiry->identity, &inquiry_duty);

    for (Inquiry **link = &inquiries->first; *link; link = &(*link)->next)
        if (*link == inquiry) {
            *link = inquiry->next;
            break;
        }
    operation_finish(inquiry->operation, failure, bytes_view_string(text));
    inquiry_free(inquiry);
}

#define ANSWER_MAX 512U

/* What /cacerts brought: how many certificates, and whose. */
static void describe_answer(const JobResult *result, char ret[static ANSWER_MAX]) {
    _cleanup_certificates_ CertificateList list = { 0 };
    LeftOut left_out = { 0 };
    Failure failure = FAILURE_INIT;

    int r = certificate_bundle_from_pkcs7(bytes_view(&result->cacerts), BUNDLE_MAX, &list, &left_out, &failure);
    if (r < 0) {
        (void) snprintf(ret, ANSWER_MAX, "CA certificates that cannot be read: %.400s", failure.text);
        return;
    }
    int length = snprintf(ret, ANSWER_MAX, "%zu CA certificate%s", list.count, list.count == 1 ? "" : "s");
    for (size_t i = 0; i < list.count && length < (int) ANSWER_MAX; i++)
        length += snprintf(ret + length, ANSWER_MAX - (size_t) length, "%s \"%s\"", i == 0 ? ":" : ",",
                           list.list[i]->subject);
    text_sanitize(ret, strlen(ret), length >= (int) ANSWER_MAX);
}

static void on_result(JobResult *result, void *userdata) {
    char text[JOB_URL_MAX + ANSWER_MAX + 512U], answer[ANSWER_MAX], clock[64] = "";

    describe_answer(result, answer);
    if (result->has_clock)
        (void) snprintf(clock, sizeof clock, "clock: %" PRId64 "\n", result->clock_ahead);
    (void) snprintf(text, sizeof text, "server: %s\nsession: %s\nanswer: %s\n%s", result->server ? result->server : "?",
                    result->tls ? result->tls : "?", answer, clock);
    inquiry_end(userdata, NULL, text);
}

static void on_failed(const Failure *failure, bool permanent, uint32_t retry_after, void *userdata) {
    inquiry_end(userdata, failure, "");
}

static int on_turn(JobOrder *order, void *userdata, Failure *ret_failure) {
    const Inquiry *inquiry = userdata;

    order->request.kind = JOB_KIND_PROBE;
    return identity_job_prepare(inquiry->identity, order, ret_failure);
}

static int begin(Identity *identity, OperationDone done, void *userdata, Failure *ret_failure) {
    static const JobCallbacks callbacks = { .prepare = on_turn, .result = on_result, .failed = on_failed };
    Inquiries *inquiries = identity_part(identity, &inquiry_duty);
    _cleanup_(inquiry_free_p) Inquiry *inquiry = NULL;

    if (identity_is_misconfigured(identity, ret_failure))
        return -EBADMSG;
    if (identity_config(identity)->protocol != PROTOCOL_EST)
        return failure_set(ret_failure, -EINVAL, FAILURE_INVALID_ARGUMENT,
                           "%s has Protocol=manual: there is no server to ask.", identity_name(identity));
    inquiry = calloc(1, sizeof *inquiry);
    if (!inquiry)
        return failure_errno(ret_failure, -ENOMEM, "Probing the server");
    inquiry->identity = identity;
    const IdentityJob start = { JOB_LINE_ENROLLER, &callbacks, inquiry };
    int r = identity_job_start(identity, &start, &inquiry->job, ret_failure);
    if (r >= 0) {
        r = operation_new(work_operations(identity_context(identity)->work), done, userdata, &inquiry->operation);
        if (r < 0)
            (void) failure_errno(ret_failure, r, "Probing the server");
    }
    if (r < 0)
        return r;
    inquiry->next = inquiries->first;
    inquiries->first = TAKE_PTR(inquiry);
    return 0;
}

void inquiry_start(Identity *identity, OperationDone done, void *userdata) {
    Failure failure = FAILURE_INIT;

    if (begin(identity, done, userdata, &failure) < 0)
        operation_answer(work_operations(identity_context(identity)->work), done, userdata, &failure);
}

static void inquiry_stop(Identity *identity, const Failure *why) {
    Inquiries *inquiries = identity_part(identity, &inquiry_duty);

    while (inquiries->first)
        inquiry_end(inquiries->first, why, "");
}

const Duty inquiry_duty = {
    .name = "inquiry",
    .part_size = sizeof(Inquiries),
    .stop = inquiry_stop,
};
