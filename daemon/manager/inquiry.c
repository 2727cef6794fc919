/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Looks at the CA without enrolling (idctl check). */
#include "manager/internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct Inquiry {
    Manager *manager;
    uint64_t identity; /* instance */
    Job *job;
    OperationDone done;
    void *userdata;
    Inquiry *next;
};

static void inquiry_end(Inquiry *inquiry, const Failure *failure, const char *text) {
    for (Inquiry **link = &inquiry->manager->inquiries; *link; link = &(*link)->next)
        if (*link == inquiry) {
            *link = inquiry->next;
            break;
        }
    inquiry->done(failure, bytes_view_string(text), inquiry->userdata);
    job_free(inquiry->job);
    free(inquiry);
}

void inquiries_abort(Manager *manager, const Failure *failure) {
    while (manager->inquiries)
        inquiry_end(manager->inquiries, failure, "");
}

static void on_inquiry_result(JobResult *result, void *userdata) {
    char text[JOB_URL_MAX + 512U];
    Failure success = FAILURE_INIT;

    snprintf(text, sizeof text, "server: %s\nsession: %s\nanswer: %zu bytes of CA certificates\n",
             result->server ? result->server : "?", result->tls ? result->tls : "?", result->cacerts.size);
    inquiry_end(userdata, &success, text);
}

static void on_inquiry_failed(const Failure *failure, bool permanent, uint32_t retry_after, void *userdata) {
    inquiry_end(userdata, failure, "");
}

static int on_turn(JobOrder *order, void *userdata, Failure *ret_failure) {
    Inquiry *inquiry = userdata;
    Identity *identity = identity_by_instance(inquiry->manager, inquiry->identity);

    if (!identity)
        return failure_set(ret_failure, -ENOENT, FAILURE_NO_SUCH_IDENTITY, "The identity is gone.");
    order->request.kind = JOB_KIND_PROBE;
    return identity_job_prepare(identity, order, ret_failure);
}

void identity_probe_server(Identity *identity, OperationDone done, void *userdata) {
    static const JobCallbacks callbacks = { .prepare = on_turn,
                                            .result = on_inquiry_result,
                                            .failed = on_inquiry_failed };
    Manager *manager = identity->manager;
    _cleanup_free_ Inquiry *inquiry = calloc(1, sizeof *inquiry);
    Failure failure = FAILURE_INIT;
    int r = inquiry ? 0 : failure_errno(&failure, -ENOMEM, "Probing the server");

    if (r >= 0 && identity_is_malformed(identity, &failure))
        r = -EBADMSG;
    if (r >= 0 && identity->config->protocol != PROTOCOL_EST)
        r = failure_set(&failure, -EINVAL, FAILURE_INVALID_ARGUMENT,
                        "%s has Protocol=manual: there is no server to ask.", identity->name);
    if (r >= 0) {
        *inquiry = (Inquiry) { .manager = manager, .identity = identity->instance, .done = done, .userdata = userdata };
        r = identity_job_start(identity, JOB_LINE_ENROLLER, &callbacks, inquiry, &inquiry->job, &failure);
    }
    if (r < 0)
        done(&failure, (BytesView) { NULL, 0 }, userdata);
    else {
        inquiry->next = manager->inquiries;
        manager->inquiries = TAKE_PTR(inquiry);
    }
}
