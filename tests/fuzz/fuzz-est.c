/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The enroller's conversation with a CA that answers anything: status, type and body of each exchange are the input's,
 * at the place of libcurl, and identityd's refusals likewise. Before a server was verified nothing but /cacerts is
 * asked of it, and nobody's name or password; after a bootstrap the anchor is the certificate that the fingerprint
 * names and no other; and a job that fails says why. */
#include "scratch.h"

#include "enroller/answer.h"
#include "enroller/csrattrs.h"
#include "enroller/est.h"
#include "enroller/http.h"

struct HttpSession {
    bool is_provisional;
};

static BytesView rest;
static EnrollJob *job;
static Bytes bag, attributes, request;
static uint8_t wanted_anchor[32]; /* SHA-256 */

/* ---- the server ---- */

int __wrap_http_session_new(const HttpSettings *settings, HttpSession **ret, Failure *ret_failure);
HttpSession *__wrap_http_session_free(HttpSession *session);
int __wrap_http_exchange(HttpSession *session, const HttpRequest *request, HttpResponse *ret, EnrollFault *ret_fault);
int __wrap_http_redirect_failure(const HttpSession *session, const HttpResponse *response, const char *advice,
                                 Failure *ret_failure);
const char *__wrap_http_session_tls(const HttpSession *session);
BytesView __wrap_http_session_server_chain(const HttpSession *session);

int __wrap_http_session_new(const HttpSettings *settings, HttpSession **ret, Failure *ret_failure) {
    uint8_t fingerprint[32];

    require(settings->anchors || (!settings->user && !settings->password && !settings->client && job->has_fingerprint));
    for (size_t i = 0; settings->anchors && job->has_fingerprint && i < settings->anchors->count; i++)
        require(certificate_fingerprint(settings->anchors->list[i], fingerprint) == 0 &&
                memcmp(fingerprint, wanted_anchor, sizeof fingerprint) == 0);
    require(!settings->anchors || settings->anchors->count > 0);
    if (choose(&rest) == 0xff)
        return failure_set(ret_failure, -EIO, FAILURE_ENROLLMENT_FAILED, "no session");
    *ret = calloc(1, sizeof **ret);
    require(*ret);
    (*ret)->is_provisional = !settings->anchors;
    return 0;
}

HttpSession *__wrap_http_session_free(HttpSession *session) {
    free(session);
    return NULL;
}

static void choose_body(uint8_t how, Bytes *ret) {
    _cleanup_bytes_ Bytes raw = BYTES_NULL;
    const Bytes *chosen = how & 1 ? &bag : how & 2 ? &attributes : &raw;

    require(bytes_copy(choose_sized(&rest), &raw) == 0);
    if (how & 4)
        require(bytes_copy(bytes_view(chosen), ret) == 0);
    else if (chosen->size > 0)
        require(answer_encode_base64(bytes_view(chosen), ret) == 0);
}

static void choose_type(uint8_t how, const HttpRequest *asked, HttpResponse *ret) {
    static const char *const types[] = { "application/pkcs7-mime; smime-type=certs-only", "application/csrattrs",
                                         "text/html", "application/pkcs7-mime", "" };

    if (how & 0x80)
        (void) snprintf(ret->content_type, sizeof ret->content_type, "%s", types[how % ARRAY_LENGTH(types)]);
    else
        (void) snprintf(ret->content_type, sizeof ret->content_type, "%s", asked->accept ?: "");
}

static int fail(uint8_t how, EnrollFault *ret_fault) {
    static const int errors[] = { -EKEYREJECTED, -EACCES,       -ECANCELED,  -EFBIG,
                                  -ETIMEDOUT,    -ECONNREFUSED, -ECONNRESET, -EPROTO };

    ret_fault->try_next = how & 0x40;
    return failure_set(&ret_fault->failure, errors[how % ARRAY_LENGTH(errors)], FAILURE_ENROLLMENT_FAILED, "it failed");
}

int __wrap_http_exchange(HttpSession *session, const HttpRequest *asked, HttpResponse *ret, EnrollFault *ret_fault) {
    static const long statuses[] = { 200, 202, 204, 301, 400, 401, 403, 404, 429, 500, 503 };
    uint8_t first = choose(&rest), how = choose(&rest);
    _cleanup_bytes_ Bytes body = BYTES_NULL;

    require(!session->is_provisional || (strstr(asked->url, "/cacerts") && !asked->content_type && !asked->linked));
    *ret = (HttpResponse) { .status = first < 0x80 ? 200 : statuses[first % ARRAY_LENGTH(statuses)] };
    if (first >= 0xf0)
        return fail(how, ret_fault);
    if (asked->linked) {
        uint8_t binding[JOB_TLS_EXPORTER_SIZE] = { how };
        int r = asked->linked->make((BytesView) { binding, how & 8 ? JOB_TLS_UNIQUE_SIZE : sizeof binding },
                                    asked->linked->userdata, &body, &ret_fault->failure);
        if (r < 0)
            return r;
        require(body.size <= asked->linked->size);
    }
    choose_type(choose(&rest), asked, ret);
    choose_body(how, &ret->body);
    if (ret->body.size > asked->maximum) {
        http_response_clear(ret);
        return fail(3, ret_fault);
    }
    ret->has_retry_after = how & 0x20;
    ret->retry_after = how & 0x20 ? choose(&rest) : 0;
    ret->password_was_sent = how & 0x10;
    if (how & 0x40)
        (void) snprintf(ret->location, sizeof ret->location, "https://other.example/");
    return 0;
}

int __wrap_http_redirect_failure(const HttpSession *session, const HttpResponse *response, const char *advice,
                                 Failure *ret_failure) {
    return failure_set(ret_failure, -EPROTO, FAILURE_ENROLLMENT_FAILED, "redirected to %s%s", response->location,
                       advice);
}

const char *__wrap_http_session_tls(const HttpSession *session) {
    return "TLS1.3";
}

BytesView __wrap_http_session_server_chain(const HttpSession *session) {
    return session->is_provisional ? (BytesView) { NULL, 0 } : bytes_view_string("chain");
}

/* ---- identityd ---- */

int __wrap_channel_create_request(Channel *channel, const RequestWish *wish, Bytes *ret_der, Failure *ret_failure);
void __wrap_channel_progress(Channel *channel, const char *step);

int __wrap_channel_create_request(Channel *channel, const RequestWish *wish, Bytes *ret_der, Failure *ret_failure) {
    require(wish->eku_count <= CSRATTRS_EKU_MAX && wish->key_type < (int) _KEY_ALGORITHM_COUNT);
    if (choose(&rest) >= 0xf0)
        return failure_set(ret_failure, -EACCES, FAILURE_ENROLLMENT_FAILED, "identityd refuses");
    return bytes_copy(bytes_view(&request), ret_der);
}

void __wrap_channel_progress(Channel *channel, const char *step) {
    require(step[0]);
}

/* ---- jobs ---- */

static void begin(void) {
    _cleanup_certificate_ Certificate *root = NULL;
    _cleanup_bytes_ Bytes der = BYTES_NULL;

    require(bytes_read_file(SEEDS "/bundle.p7", 1U << 16, &bag) == 0);
    require(bytes_read_file(SEEDS "/listed.csrattrs", 1U << 16, &attributes) == 0);
    require(bytes_read_file(SEEDS "/rich.csr", 1U << 16, &request) == 0);
    require(bytes_read_file(SEEDS "/root.der", 1U << 16, &der) == 0);
    require(certificate_from_der(bytes_view(&der), &root, NULL) == 0 &&
            certificate_fingerprint(root, wanted_anchor) == 0);
}

/* Of a kind and with a way to verify the server that the input chooses. */
static EnrollJob *make_job(uint8_t how) {
    static const uint8_t kinds[] = { JOB_KIND_ENROLL, JOB_KIND_REENROLL, JOB_KIND_CACERTS, JOB_KIND_PROBE };
    EnrollJob *made = calloc(1, sizeof *made);
    Failure failure = FAILURE_INIT;
    LeftOut left_out = { 0 };

    require(made);
    made->kind = kinds[how & 3];
    for (made->server_count = 0; made->server_count < 2; made->server_count++)
        require(made->servers[made->server_count] = strdup("https://ca.example/.well-known/est"));
    require(made->identity = strdup("x"));
    made->time = 1800000000;
    made->allow_tls12 = true;
    if (how & 4) {
        made->has_fingerprint = true;
        memcpy(made->fingerprint, wanted_anchor, sizeof wanted_anchor);
    } else
        require(certificate_bundle_from_pkcs7(bytes_view(&bag), 8, &made->server_anchors, &left_out, &failure) == 0);
    if (how & 8)
        require((made->user = strdup("user")) && secret_new(bytes_view_string("password"), &made->password) == 0);
    if (how & 16)
        require(bytes_copy(bytes_view(&request), &made->request) == 0);
    made->time_is_floor = how & 32;
    return made;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _cleanup_est_answer_ EstAnswer answer = { .is_later = false };
    EnrollFault fault = ENROLL_FAULT_INIT;

    if (!bag.data)
        begin();
    rest = (BytesView) { data, size };
    job = make_job(choose(&rest));
    int r = est_run(job, NULL, &answer, &fault);
    if (r < 0)
        require(fault.failure.kind != FAILURE_NONE && fault.failure.text[0] && !answer.server);
    else
        require(answer.server && (!answer.is_later || answer.issued.size == 0));
    job = enroll_job_free(job);
    return 0;
}
