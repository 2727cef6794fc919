/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What libcurl's failures mean: the sentence, and whether another server or another time may do. */
#include "enroller/http-session.h"

#include <string.h>

int http_fault(EnrollFault *ret_fault, int r, bool try_next, bool is_permanent) {
    if (ret_fault) {
        ret_fault->try_next = try_next;
        ret_fault->is_permanent = is_permanent;
        ret_fault->retry_after = 0;
    }
    return r;
}

/* `error` is libcurl's text, which begins like a name of a function where GnuTLS failed. */
static int fault_tls(const HttpSession *session, EnrollFault *ret_fault) {
    const char *text = session->error[0] ? session->error : "no reason given";
    const char *detail = strstr(text, "failed: ");
    bool version = strstr(text, "version") != NULL;

    detail = detail ? detail + strlen("failed: ") : text;
    if (version && session->settings->client && !session->settings->allow_tls12) {
        (void) failure_set(
            &ret_fault->failure, -EPROTO, FAILURE_ENROLLMENT_FAILED,
            "expected TLS 1.3, which client authentication needs, but the server does not speak it (%s); update the "
            "server, or set AllowTLS12=yes",
            detail);
        return http_fault(ret_fault, -EPROTO, true, true);
    }
    (void) failure_set(&ret_fault->failure, -ECONNREFUSED, FAILURE_ENROLLMENT_FAILED, "the TLS handshake failed: %s",
                       detail);
    return http_fault(ret_fault, -ECONNREFUSED, true, false);
}

static int fault_timeout(const HttpSession *session, EnrollFault *ret_fault) {
    (void) failure_set(
        &ret_fault->failure, -ETIMEDOUT, FAILURE_ENROLLMENT_FAILED, "expected an answer in time, but %s (%s)",
        session->is_sent ? "the server did not complete one" : "no connection came about", session->error);
    return http_fault(ret_fault, -ETIMEDOUT, !session->is_sent, false);
}

static int fault_broken(const HttpSession *session, EnrollFault *ret_fault) {
    bool alert = strstr(session->error, "alert") != NULL && session->settings->client;
    bool late = strstr(session->error, "unexpected TLS packet") != NULL && session->settings->client;

    if (!session->is_sent && session->settings->proxy) {
        (void) failure_set(&ret_fault->failure, -ECONNREFUSED, FAILURE_ENROLLMENT_FAILED,
                           "the proxy %s did not connect us to the server (%s)%s", session->settings->proxy,
                           session->error,
                           !strstr(session->error, " 407") ? ""
                           : session->settings->proxy_user ? "; it does not accept ProxyUser= and ProxyCredential="
                                                           : "; it wants ProxyUser= and ProxyCredential=");
        return http_fault(ret_fault, -ECONNREFUSED, true, false);
    }
    (void) failure_set(&ret_fault->failure, -ECONNRESET, FAILURE_ENROLLMENT_FAILED,
                       "expected a complete answer, but the connection broke off%s (%s)",
                       alert  ? ": the server may not accept our certificate"
                       : late ? ": the server may ask for our certificate after the handshake; let it ask within"
                              : "",
                       session->error);
    return http_fault(ret_fault, -ECONNRESET, !session->is_sent || session->request->content_type == NULL, false);
}

static int fault_large(const HttpSession *session, EnrollFault *ret_fault) {
    bool headers = session->header_bytes > HTTP_HEADERS_MAX;

    (void) failure_set(&ret_fault->failure, -EFBIG, FAILURE_ENROLLMENT_FAILED,
                       "expected at most %zu bytes of %s, but more came",
                       headers ? (size_t) HTTP_HEADERS_MAX : session->request->maximum, headers ? "headers" : "body");
    return http_fault(ret_fault, -EFBIG, false, false);
}

/* libcurl says how long it tried, which is another number each time: one failure would be told as many. */
static const char *without_duration(const char *text, char buffer[static CURL_ERROR_SIZE]) {
    static const char after[] = " after ";
    const char *at = strstr(text, after);
    size_t digits = at ? strspn(at + strlen(after), "0123456789") : 0;
    const char *rest = digits > 0 ? at + strlen(after) + digits : NULL;

    if (!rest || strncmp(rest, " ms", 3) != 0)
        return text;
    (void) snprintf(buffer, CURL_ERROR_SIZE, "%.*s%s", (int) (at - text), text, rest + 3);
    return buffer;
}

static int fault_reach(const HttpSession *session, CURLcode code, EnrollFault *ret_fault) {
    char buffer[CURL_ERROR_SIZE];

    (void) failure_set(&ret_fault->failure, -ECONNREFUSED, FAILURE_ENROLLMENT_FAILED, "the server was not reached (%s)",
                       session->error[0] ? without_duration(session->error, buffer) : curl_easy_strerror(code));
    return http_fault(ret_fault, -ECONNREFUSED, true, false);
}

int http_fault_from_curl(const HttpSession *session, CURLcode code, EnrollFault *ret_fault) {
    const Failure *signing = session->settings->client ? client_key_failure(session->settings->client) : NULL;
    Failure *failure = &ret_fault->failure;

    if (session->is_cancelled) {
        (void) failure_set(failure, -ECANCELED, FAILURE_INTERNAL, "identityd closed the connection");
        return http_fault(ret_fault, -ECANCELED, false, false);
    }
    if (session->server_failure.kind != FAILURE_NONE) {
        *failure = session->server_failure;
        return http_fault(ret_fault, -EKEYREJECTED, true, false);
    }
    if (signing && signing->kind != FAILURE_NONE) {
        (void) failure_set(failure, -EACCES, signing->kind,
                           "the signature for client authentication could not be made: %s", signing->text);
        return http_fault(ret_fault, -EACCES, false, false);
    }
    if (session->body_error < 0) {
        *failure = session->body_failure;
        return http_fault(ret_fault, session->body_error, false, false);
    }
    if (session->is_asked_again) {
        (void) failure_set(failure, -EPROTO, FAILURE_ENROLLMENT_FAILED,
                           "expected an answer, but the server asks for user and password again and again (\"%s\")",
                           session->response->challenge);
        return http_fault(ret_fault, -EPROTO, false, false);
    }
    if (session->is_too_large)
        return fault_large(session, ret_fault);
    switch (code) {
    case CURLE_OUT_OF_MEMORY:
    case CURLE_WRITE_ERROR: /* the only other reason of ours */
        return http_fault(ret_fault, failure_errno(failure, -ENOMEM, "Talking to the server"), false, false);
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
        return fault_reach(session, code, ret_fault);
    case CURLE_OPERATION_TIMEDOUT:
        return fault_timeout(session, ret_fault);
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
        return fault_tls(session, ret_fault);
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
        return fault_broken(session, ret_fault);
    default:
        (void) failure_set(failure, -EPROTO, FAILURE_ENROLLMENT_FAILED, "expected an HTTP answer, but libcurl says: %s",
                           session->error[0] ? session->error : curl_easy_strerror(code));
        return http_fault(ret_fault, -EPROTO, !session->is_sent, false);
    }
}
