/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All URLs say the same (RFC 5280 §4.2.1.13), so any fault moves on to the next. */
#include "enroller/fetch.h"

#include "enroller/answer.h"
#include "enroller/http.h"

#include <strings.h>

static int fetch_status(const HttpSession *http, const HttpResponse *response, EnrollFault *fault) {
    char excerpt[ANSWER_EXCERPT_MAX];

    fault->is_permanent = false;
    fault->retry_after = response->has_retry_after ? response->retry_after : 0;
    if (response->status >= 300 && response->status < 400)
        return http_redirect_failure(http, response, "", &fault->failure);
    answer_excerpt(bytes_view(&response->body), excerpt);
    return failure_set(&fault->failure, -EPROTO, FAILURE_ENROLLMENT_FAILED, "expected status 200, but %ld came%s%s%s",
                       response->status, excerpt[0] ? ": \"" : "", excerpt, excerpt[0] ? "\"" : "");
}

static int fetch_one(const EnrollJob *job, Channel *channel, const char *url, Bytes *ret, EnrollFault *fault) {
    bool asks = job->ocsp_request.size > 0;
    HttpSettings settings = {
        .server = url,
        .allow_http = true,
        .anchors = &job->server_anchors,
        .now = job->time,
        .now_is_floor = job->time_is_floor,
        .proxy = job->proxy,
        .proxy_user = job->proxy_user,
        .proxy_password = job->proxy_password,
        .channel = channel,
        .connect_milliseconds = FETCH_CONNECT_MILLISECONDS,
        .total_milliseconds = FETCH_TOTAL_MILLISECONDS,
    };
    HttpRequest request = {
        .url = url,
        .accept = asks ? "application/ocsp-response" : NULL,
        .content_type = asks ? "application/ocsp-request" : NULL,
        .body = bytes_view(&job->ocsp_request),
        .maximum = asks ? FETCH_OCSP_MAX : JOB_FETCH_MAX,
    };
    _cleanup_(http_session_free_p) HttpSession *http = NULL;
    _cleanup_http_response_ HttpResponse response = { 0 };

    channel_progress(channel, asks ? "ocsp" : "crl");
    if (strncasecmp(url, "https:", 6) == 0 && job->server_anchors.count == 0)
        return failure_set(&fault->failure, -EKEYREJECTED, FAILURE_ENROLLMENT_FAILED,
                           "%s: https needs anchors to verify the server with, and there are none", url);
    int r = http_session_new(&settings, &http, &fault->failure);
    if (r >= 0)
        r = http_exchange(http, &request, &response, fault);
    if (r >= 0 && response.status != 200)
        r = fetch_status(http, &response, fault);
    else if (r >= 0 && response.body.size == 0)
        r = failure_set(&fault->failure, -EPROTO, FAILURE_ENROLLMENT_FAILED,
                        "expected a file, but the answer is empty");
    if (r < 0)
        return failure_prefix(&fault->failure, r, "%s", url);
    *ret = response.body;
    response.body = BYTES_NULL;
    return 0;
}

int fetch_run(const EnrollJob *job, Channel *channel, Bytes *ret, const char **ret_url, EnrollFault *ret_fault) {
    Failure all = FAILURE_INIT;
    int r = -EINVAL;

    for (size_t i = 0; i < job->server_count; i++) {
        *ret_fault = ENROLL_FAULT_INIT;
        r = fetch_one(job, channel, job->servers[i], ret, ret_fault);
        if (r >= 0) {
            *ret_url = job->servers[i];
            return 0;
        }
        (void) fault_collect(&all, &ret_fault->failure, r);
        if (r == -ECANCELED)
            break;
    }
    ret_fault->failure = all;
    ret_fault->is_permanent = false;
    return r;
}
