/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One step is one exchange. Every fault leaves here as one sentence: the URL (whose last part is the step), what was
 * expected, what came. The certificate is checked as far as this side can (it is ours: key, Subject, SAN, dates);
 * identityd checks everything again, with the anchors that only it has. */
#include "enroller/est.h"

#include "enroller/answer.h"
#include "enroller/csrattrs.h"
#include "enroller/http.h"
#include "enroller/note.h"
#include "pki/chain.h"
#include "pki/csr.h"

#include <stdio.h>
#include <string.h>

/* Base64 with line breaks is below 3/2 of what it encodes. */
#define BASE64_MAX(size) ((size) + (size) / 2U + 1024U)

/* Of a request that is linked to its TLS session: tried one after the other. Servers take bodies of a few KiB at least,
 * and most requests need less. */
static const size_t linked_sizes[] = { 4096U, BASE64_MAX(JOB_REQUEST_MAX) };

typedef struct Est {
    const EnrollJob *job;
    Channel *channel;
    ClientKey *client;
    Bytes request;             /* PKCS#10: asked for once, posted to each server that is tried */
    bool is_linked;            /* the CA wants proof of possession, so it is made for the TLS session that carries it */
    bool was_linked;           /* the request of the job was, to a session that is gone */
    CsrAttributes *attributes; /* NULL: the CA wants nothing in particular */
    bool is_refused;           /* the request is not as they want it */
    EnrollFault *fault;
} Est;

/* One server, while it is tried. */
typedef struct EstServer {
    Est *est;
    const char *url;
    CertificateList bootstrap; /* the anchor of a fingerprint */
    HttpSettings settings;
    HttpSession *http;
    EstAnswer answer;
} EstServer;

typedef struct EstStep {
    const char *name;
    const char *accept;
    size_t maximum; /* of the decoded answer */
    bool posts;
} EstStep;

static const EstStep step_cacerts = { "cacerts", "application/pkcs7-mime", JOB_CACERTS_MAX, false };
static const EstStep step_csrattrs = { "csrattrs", "application/csrattrs", CSRATTRS_MAX, false };
static const EstStep step_enroll = { "simpleenroll", "application/pkcs7-mime", JOB_ISSUED_MAX, true };
static const EstStep step_reenroll = { "simplereenroll", "application/pkcs7-mime", JOB_ISSUED_MAX, true };

void est_answer_clear(EstAnswer *answer) {
    bytes_clear(&answer->issued);
    bytes_clear(&answer->cacerts);
    bytes_clear(&answer->server_chain);
    free(answer->server);
    answer->server = NULL;
}

static void est_server_clear(EstServer *server) {
    http_session_free(server->http);
    certificate_list_clear(&server->bootstrap);
    est_answer_clear(&server->answer);
}

/* ---- faults ---- */

/* What the fault's text says already gets the URL before it. */
static int fault_at(EstServer *server, const EstStep *step, int r) {
    return failure_prefix(&server->est->fault->failure, r, "%s/%s", server->url, step->name);
}

/* A fault of the answer: no other server is tried, a later attempt may be. */
static int fault_answer(EstServer *server, const EstStep *step, int r) {
    server->est->fault->try_next = false;
    server->est->fault->is_permanent = false;
    server->est->fault->retry_after = 0;
    return fault_at(server, step, r);
}

static bool status_is_temporary(long status) {
    return status >= 500 || status == 408 || status == 421 || status == 425 || status == 429;
}

static const char *status_advice(const Est *est, const HttpResponse *response) {
    if (response->status >= 400 && response->status <= 403 && est->was_linked)
        return "; the request was linked to the TLS session in which the CA took it (202), and that is gone: the next "
               "attempt makes a new one with the same key";
    if (response->status == 401 && response->password_was_sent && est->is_linked)
        return "; the server does not accept this user and password, or not the proof of possession (RFC 7030 §3.5) "
               "that it "
               "wants in the request";
    if (response->status >= 400 && response->status <= 403 && est->is_linked)
        return response->is_tls13
                   ? "; the request was linked to its TLS 1.3 session by tls-exporter (RFC 9266), as the CA "
                     "wants proof of possession (RFC 7030 §3.5, which knows TLS 1.2 alone): if that is "
                     "what it refuses, switch it off there, or let it speak TLS 1.2 and set AllowTLS12=yes"
                   : "; the request was linked to its TLS session by tls-unique, as the CA wants proof of "
                     "possession (RFC 7030 §3.5)";
    /* TLS 1.3 lets a server ask later (RFC 8446 §4.6.2), which neither libcurl nor we offer. */
    if ((response->status == 401 || response->status == 403) && est->job->client_chain.count > 0 &&
        !response->certificate_was_asked)
        return "; the server did not ask for our certificate in the TLS handshake: where it asks after the handshake, "
               "for single paths, let it ask within";
    if (response->status == 401 && response->password_was_sent)
        return "; the server does not accept this user and password";
    if (response->status == 401 && est->job->user)
        return "; the password was not sent: the server asks for another way of authentication than Basic and Digest";
    if (response->status == 401 && est->job->kind == JOB_KIND_REENROLL)
        return "; the server wants a user and password for renewals, or another client certificate: [Renewal] "
               "Authenticate=credential:NAME renews by password";
    if (response->status == 401)
        return "; the server wants a user and password, or another client certificate";
    if (response->status == 403)
        return "; the server knows us and does not allow this";
    if (response->status == 404)
        return "; is the path in Server= right?";
    return "";
}

static int fault_status(EstServer *server, const HttpSession *http, const EstStep *step, const HttpResponse *response) {
    EnrollFault *fault = server->est->fault;
    char excerpt[ANSWER_EXCERPT_MAX];

    if (response->status >= 300 && response->status < 400)
        (void) http_redirect_failure(http, response, ": set Server= to where the CA answers", &fault->failure);
    else {
        answer_excerpt(bytes_view(&response->body), excerpt);
        (void) failure_set(&fault->failure, -EPROTO, FAILURE_ENROLLMENT_FAILED,
                           "expected status 200, but %ld came%s%s%s%s", response->status, excerpt[0] ? ": \"" : "",
                           excerpt, excerpt[0] ? "\"" : "", status_advice(server->est, response));
    }
    fault->try_next = false;
    fault->is_permanent = response->status >= 300 && response->status < 500 && !status_is_temporary(response->status);
    fault->retry_after = !fault->is_permanent && response->has_retry_after ? response->retry_after : 0;
    return fault_at(server, step, -EPROTO);
}

static int fault_memory(Est *est) {
    est->fault->try_next = est->fault->is_permanent = false;
    return failure_errno(&est->fault->failure, -ENOMEM, "Enrolling");
}

/* ---- the request ---- */

/* Asks identityd for it. */
static int est_ask_request(Est *est, BytesView binding, Failure *ret_failure) {
    const CsrAttributes *attributes = est->attributes;
    _cleanup_bytes_ Bytes der = BYTES_NULL;
    RequestWish wish = { .key_type = -1, .binding = binding };

    if (attributes) {
        wish.key_type = attributes->key_type;
        wish.eku = attributes->eku;
        wish.eku_count = attributes->eku_count;
    }
    channel_progress(est->channel, "request");
    int r = channel_create_request(est->channel, &wish, &der, ret_failure);
    if (r < 0)
        return failure_prefix(ret_failure, r, "The certificate request was not made");
    if (attributes) {
        r = csr_attributes_check_request(attributes, bytes_view(&der), ret_failure);
        est->is_refused = r < 0;
    }
    if (r < 0)
        return r;
    bytes_clear(&est->request);
    est->request = der;
    der = BYTES_NULL;
    return 0;
}

/* HttpLinkedBody.make */
static int est_make_body(BytesView binding, void *userdata, Bytes *ret_body, Failure *ret_failure) {
    Est *est = userdata;
    int r = est_ask_request(est, binding, ret_failure);

    if (r < 0)
        return r;
    r = answer_encode_base64(bytes_view(&est->request), ret_body);
    return r < 0 ? failure_errno(ret_failure, r, "Encoding the request") : 0;
}

/* ---- exchanges ---- */

static int est_exchange_linked(EstServer *server, HttpSession *http, HttpRequest *request, HttpResponse *ret) {
    Est *est = server->est;
    HttpLinkedBody linked = { .make = est_make_body, .userdata = est };
    int r = -EMSGSIZE;

    request->linked = &linked;
    for (size_t i = 0; r == -EMSGSIZE && i < ARRAY_LENGTH(linked_sizes); i++) {
        linked.size = linked_sizes[i];
        r = http_exchange(http, request, ret, est->fault);
    }
    if (r < 0 && est->is_refused)
        est->fault->is_permanent = true;
    return r;
}

static int est_exchange(EstServer *server, HttpSession *http, const EstStep *step, HttpResponse *ret) {
    _cleanup_bytes_ Bytes body = BYTES_NULL;
    char url[JOB_URL_MAX + 32U];
    HttpRequest request = { .url = url, .accept = step->accept, .maximum = BASE64_MAX(step->maximum) };
    int r;

    channel_progress(server->est->channel, step->name);
    (void) snprintf(url, sizeof url, "%s/%s", server->url, step->name);
    if (step->posts) {
        if (answer_encode_base64(bytes_view(&server->est->request), &body) < 0)
            return fault_memory(server->est);
        request.content_type = "application/pkcs10";
        request.is_base64 = true; /* RFC 8951 §3 ignores it, but servers of RFC 7030 decode only then */
        request.body = bytes_view(&body);
    }
    r = step->posts && server->est->is_linked ? est_exchange_linked(server, http, &request, ret)
                                              : http_exchange(http, &request, ret, server->est->fault);
    return r < 0 ? fault_at(server, step, r) : 0;
}

static int est_decode(EstServer *server, const EstStep *step, const HttpResponse *response, Bytes *ret) {
    Failure *failure = &server->est->fault->failure;
    _cleanup_bytes_ Bytes der = BYTES_NULL;
    char excerpt[ANSWER_EXCERPT_MAX];

    int r = answer_decode_base64(bytes_view(&response->body), &der);
    if (r == -ENOMEM)
        return fault_memory(server->est);
    if (r < 0) {
        answer_excerpt(bytes_view(&response->body), excerpt);
        (void) failure_set(failure, r, FAILURE_ENROLLMENT_FAILED,
                           "expected %s in base64, but what came is not base64 (%s, %zu bytes: \"%s\")", step->accept,
                           response->content_type[0] ? response->content_type : "no content type", response->body.size,
                           excerpt);
        return fault_answer(server, step, r);
    }
    if (der.size > step->maximum) {
        (void) failure_set(failure, -EFBIG, FAILURE_ENROLLMENT_FAILED, "expected at most %zu bytes, but %zu came",
                           step->maximum, der.size);
        return fault_answer(server, step, -EFBIG);
    }
    *ret = der;
    der = BYTES_NULL;
    return 0;
}

static int est_decode_certificates(EstServer *server, const EstStep *step, const HttpResponse *response, Bytes *ret,
                                   CertificateList *ret_list) {
    Failure *failure = &server->est->fault->failure;
    _cleanup_bytes_ Bytes der = BYTES_NULL;
    _cleanup_certificates_ CertificateList list = { 0 };
    LeftOut left_out; /* identityd reads it again, and tells */

    int r = est_decode(server, step, response, &der);
    if (r < 0)
        return r;
    r = certificate_bundle_from_pkcs7(bytes_view(&der), BUNDLE_MAX, &list, &left_out, failure);
    if (r < 0) {
        (void) failure_prefix(failure, r, "expected certificates as PKCS#7, but they cannot be read");
        return fault_answer(server, step, r);
    }
    *ret = der;
    der = BYTES_NULL;
    *ret_list = list;
    list = (CertificateList) { 0 };
    return 0;
}

static int est_get_cacerts(EstServer *server, HttpSession *http, Bytes *ret, CertificateList *ret_list) {
    _cleanup_http_response_ HttpResponse response = { 0 };

    int r = est_exchange(server, http, &step_cacerts, &response);
    if (r < 0)
        return r;
    if (response.status != 200)
        return fault_status(server, http, &step_cacerts, &response);
    server->answer.has_clock = response.has_clock; /* after a bootstrap the session that was verified is the last */
    server->answer.clock_ahead = response.clock_ahead;
    return est_decode_certificates(server, &step_cacerts, &response, ret, ret_list);
}

/* ---- sessions ---- */

static HttpSettings est_settings(const EstServer *server, const CertificateList *anchors) {
    const EnrollJob *job = server->est->job;
    bool trusted = anchors != NULL;

    return (HttpSettings) {
        .server = server->url,
        .anchors = anchors,
        .now = job->time,
        .now_is_floor = job->time_is_floor,
        .proxy = job->proxy,
        .proxy_user = job->proxy_user,
        .proxy_password = job->proxy_password,
        .user = trusted ? job->user : NULL,
        .password = trusted ? job->password : NULL,
        .client = trusted ? server->est->client : NULL,
        .allow_tls12 = job->allow_tls12,
        .channel = server->est->channel,
        .connect_milliseconds = EST_CONNECT_MILLISECONDS,
        .total_milliseconds = EST_TOTAL_MILLISECONDS,
    };
}

static int est_open(EstServer *server, const HttpSettings *settings, HttpSession **ret) {
    EnrollFault *fault = server->est->fault;

    fault->try_next = fault->is_permanent = false;
    return http_session_new(settings, ret, &fault->failure);
}

static int est_trust(const EnrollJob *job, const CertificateList *answer, Certificate **ret_anchor,
                     Failure *ret_failure) {
    int64_t time = job->time_is_floor ? certificate_list_begun(answer, job->time) : job->time;

    return trust_bootstrap(answer, job->fingerprint, time, ret_anchor, ret_failure);
}

/* RFC 7030 §4.1.1 with a fingerprint known out of band: one provisional session fetches /cacerts and nothing else. */
static int est_bootstrap(EstServer *server) {
    const EnrollJob *job = server->est->job;
    HttpSettings settings = est_settings(server, NULL);
    _cleanup_(http_session_free_p) HttpSession *http = NULL;
    _cleanup_certificates_ CertificateList answer = { 0 };
    _cleanup_bytes_ Bytes der = BYTES_NULL;
    Certificate *anchor = NULL;

    channel_progress(server->est->channel, "bootstrap");
    int r = est_open(server, &settings, &http);
    if (r >= 0)
        r = est_get_cacerts(server, http, &der, &answer);
    if (r < 0)
        return r;
    r = est_trust(job, &answer, &anchor, &server->est->fault->failure);
    if (r < 0) {
        (void) fault_answer(server, &step_cacerts, r);
        server->est->fault->try_next = true; /* not the CA that is meant: another server may be */
        return r;
    }
    r = certificate_list_add(&server->bootstrap, anchor);
    return r < 0 ? fault_memory(server->est) : 0;
}

static int est_connect(EstServer *server) {
    const EnrollJob *job = server->est->job;
    const CertificateList *anchors = &job->server_anchors;

    if (anchors->count == 0) {
        int r = est_bootstrap(server);
        if (r < 0)
            return r;
        anchors = &server->bootstrap;
    }
    server->settings = est_settings(server, anchors);
    return est_open(server, &server->settings, &server->http);
}

/* ---- /csrattrs ---- */

/* It is optional (RFC 7030 §4.5), and many servers refuse it in one way or another. What only a later attempt
 * can get is a fault all the same. */
static bool status_refuses_attributes(long status) {
    return status == 501 || (status >= 400 && !status_is_temporary(status));
}

static void note_no_attributes(const EstServer *server, const HttpResponse *response) {
    char excerpt[ANSWER_EXCERPT_MAX];

    answer_excerpt(bytes_view(&response->body), excerpt);
    note(
        server->est->job->identity,
        "%s/csrattrs cannot be read, so the CA is taken to want nothing in particular: status %ld, %s, %zu bytes%s%s%s",
        server->url, response->status, response->content_type[0] ? response->content_type : "no content type",
        response->body.size, excerpt[0] ? ": \"" : "", excerpt, excerpt[0] ? "\"" : "");
}

/* -EBADMSG: there are none in it. */
static int read_attributes(const HttpResponse *response, CsrAttributes **ret) {
    _cleanup_bytes_ Bytes der = BYTES_NULL;

    int r = answer_decode_base64_start(bytes_view(&response->body), &der);
    return r < 0 ? r : csr_attributes_parse(bytes_view(&der), ret, NULL);
}

/* `ret` NULL: the CA wants nothing in particular. */
static int est_get_csrattrs(EstServer *server, CsrAttributes **ret) {
    _cleanup_http_response_ HttpResponse response = { 0 };

    int r = est_exchange(server, server->http, &step_csrattrs, &response);
    if (r < 0)
        return r;
    *ret = NULL;
    if (response.status == 204 || response.status == 404 || (response.status == 200 && response.body.size == 0))
        return 0;
    if (response.status != 200 && !status_refuses_attributes(response.status))
        return fault_status(server, server->http, &step_csrattrs, &response);
    r = response.status == 200 ? read_attributes(&response, ret) : -EBADMSG;
    if (r == -ENOMEM)
        return fault_memory(server->est);
    if (r < 0)
        note_no_attributes(server, &response);
    return 0;
}

/* One that is linked to its TLS session is made when that is there. */
static int est_make_request(EstServer *server) {
    Est *est = server->est;

    if (est->request.size > 0 && !est->is_linked)
        return 0;
    est->attributes = csr_attributes_free(est->attributes);
    int r = est_get_csrattrs(server, &est->attributes);
    if (r < 0)
        return r;
    est->is_linked = est->is_linked || (est->attributes && est->attributes->wants_challenge_password);
    if (est->is_linked)
        return 0;
    est->fault->try_next = est->fault->is_permanent = false;
    r = est_ask_request(est, (BytesView) { NULL, 0 }, &est->fault->failure);
    if (r < 0 && est->is_refused) {
        (void) fault_answer(server, &step_csrattrs, r);
        est->fault->is_permanent = true;
    }
    return r;
}

/* ---- the certificate ---- */

static int est_check_issued(EstServer *server, const EstStep *step, const CertificateList *list) {
    const Est *est = server->est;
    Failure *failure = &est->fault->failure;
    _cleanup_bytes_ Bytes spki = BYTES_NULL;

    int r = csr_spki(bytes_view(&est->request), &spki);
    if (r < 0)
        return failure_set(failure, r, FAILURE_INTERNAL, "identityd's certificate request cannot be read");
    const Certificate *leaf = certificate_list_find_spki(list, bytes_view(&spki));
    if (!leaf) {
        (void) failure_set(
            failure, -EKEYREJECTED, FAILURE_CERTIFICATE_REJECTED,
            "expected a certificate for the public key of our request, but the one that came (\"%s\") has another key",
            list->list[0]->subject);
        est->fault->is_rejection = true;
        return fault_answer(server, step, -EKEYREJECTED);
    }
    /* whose names they are to be is not known here: identityd compares them */
    IssuedExpectation expectation = { .spki = bytes_view(&spki), .names_are_the_cas = true };
    r = issued_check(leaf, &expectation, failure);
    if (r >= 0 && leaf->not_after <= est->job->time)
        r = failure_set(
            failure, -EKEYREJECTED, FAILURE_CERTIFICATE_REJECTED,
            "the certificate that came (\"%s\") has expired already; compare the clocks of the CA and this device",
            leaf->subject);
    if (r < 0)
        est->fault->is_rejection = true;
    return r < 0 ? fault_answer(server, step, r) : 0;
}

static int est_post_request(EstServer *server) {
    const EstStep *step = server->est->job->kind == JOB_KIND_REENROLL ? &step_reenroll : &step_enroll;
    _cleanup_http_response_ HttpResponse response = { 0 };
    _cleanup_certificates_ CertificateList list = { 0 };

    int r = est_exchange(server, server->http, step, &response);
    if (r < 0)
        return r;
    if (response.status == 202) { /* RFC 7030 §4.2.3 */
        server->answer.is_later = true;
        server->answer.later = response.has_retry_after ? response.retry_after : EST_LATER_SECONDS;
        return 0;
    }
    if (response.status != 200)
        return fault_status(server, server->http, step, &response);
    r = est_decode_certificates(server, step, &response, &server->answer.issued, &list);
    return r < 0 ? r : est_check_issued(server, step, &list);
}

/* ---- the job ---- */

static int est_steps(EstServer *server) {
    uint8_t kind = server->est->job->kind;
    _cleanup_certificates_ CertificateList cacerts = { 0 };

    int r = est_connect(server);
    if (r >= 0)
        r = est_get_cacerts(server, server->http, &server->answer.cacerts, &cacerts);
    if (r < 0 || kind == JOB_KIND_PROBE)
        return r;
    if (bytes_copy(http_session_server_chain(server->http), &server->answer.server_chain) < 0)
        return fault_memory(server->est);
    if (kind == JOB_KIND_CACERTS)
        return 0;
    r = est_make_request(server);
    return r < 0 ? r : est_post_request(server);
}

static int est_try(Est *est, const char *url, EstAnswer *ret) {
    _cleanup_(est_server_clear) EstServer server = { .est = est, .url = url };

    int r = est_steps(&server);
    if (r < 0)
        return r;
    server.answer.server = strdup(url);
    if (!server.answer.server)
        return fault_memory(est);
    (void) snprintf(server.answer.tls, sizeof server.answer.tls, "%s", http_session_tls(server.http));
    *ret = server.answer;
    server.answer = (EstAnswer) { 0 };
    return 0;
}

static int est_prepare(Est *est) {
    int r = 0;

    if (est->job->request.size > 0)
        r = bytes_copy(bytes_view(&est->job->request), &est->request);
    est->was_linked = csr_has_challenge(bytes_view(&est->request));
    if (r < 0)
        return fault_memory(est);
    return est->job->client_chain.count > 0 ? client_key_new(est->job, est->channel, &est->client, &est->fault->failure)
                                            : 0;
}

static void est_clear(Est *est) {
    csr_attributes_free(est->attributes);
    client_key_free(est->client);
    bytes_clear(&est->request);
}

int est_run(const EnrollJob *job, Channel *channel, EstAnswer *ret, EnrollFault *ret_fault) {
    _cleanup_(est_clear) Est est = { .job = job, .channel = channel, .fault = ret_fault };
    Failure all = FAILURE_INIT;
    bool all_permanent = true;

    *ret_fault = ENROLL_FAULT_INIT;
    int r = est_prepare(&est);
    if (r < 0)
        return r;
    for (size_t i = 0; i < job->server_count; i++) {
        *ret_fault = ENROLL_FAULT_INIT;
        r = est_try(&est, job->servers[i], ret);
        if (r >= 0)
            return r;
        (void) fault_collect(&all, &ret_fault->failure, r);
        all_permanent = all_permanent && ret_fault->is_permanent;
        if (!ret_fault->try_next)
            break;
    }
    ret_fault->failure = all;
    ret_fault->is_permanent = all_permanent;
    return r;
}
