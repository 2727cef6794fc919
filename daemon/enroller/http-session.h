/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What http.c and http-fault.c know of a session, and nobody else. */
#pragma once

#include "enroller/answer.h"
#include "enroller/http.h"

#include <curl/curl.h>

struct HttpSession {
    const HttpSettings *settings;
    CURL *easy;
    char *host;
    TlsServerPolicy policy;
    char tls[TLS_DESCRIPTION_MAX];
    Bytes server_chain;
    char error[CURL_ERROR_SIZE];
    bool basic_alone;       /* this server takes nothing else */
    Failure server_failure; /* why the server does not verify */

    /* the exchange that is under way */
    const HttpRequest *request;
    char *url; /* it is redirected to; NULL: the request's */
    HttpResponse *response;
    size_t header_bytes;
    char retry_after[RETRY_AFTER_TEXT_MAX];
    int64_t date;
    bool is_sent;      /* the request went out, or began to */
    unsigned requests; /* that it took so far: libcurl answers challenges by itself */
    bool offers_basic; /* by the last answer */
    bool is_asked_again;
    bool is_too_large;
    bool is_cancelled;
};

/* Fills in what may be done about a fault, whose failure is set. Returns `r`. */
int http_fault(EnrollFault *ret_fault, int r, bool try_next, bool is_permanent);

/* Why curl_easy_perform gave up: what http_exchange returns, and the fault. The exchange is still the session's. */
int http_fault_from_curl(const HttpSession *session, CURLcode code, EnrollFault *ret_fault);
