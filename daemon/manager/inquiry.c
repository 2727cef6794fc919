/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Looks at the CA without enrolling (idctl check). */
#include "manager/internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct Inquiry {
    Manager *manager;
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

void identity_probe_server(Identity *identity, OperationDone done, void *userdata) {
    static const JobCallbacks callbacks = { .result = on_inquiry_result, .failed = on_inquiry_failed };
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
        JobRequest request = { .kind = JOB_KIND_PROBE };
        *inquiry = (Inquiry) { .manager = manager, .done = done, .userdata = userdata };
        r = identity_job_start(identity, &request, &callbacks, inquiry, &inquiry->job, &failure);
    }
    if (r < 0)
        done(&failure, (BytesView) { NULL, 0 }, userdata);
    else {
        inquiry->next = manager->inquiries;
        manager->inquiries = TAKE_PTR(inquiry);
    }
}
