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
    bool is_sent;                           /* the request went out, or began to */
    unsigned requests;                      /* that it took so far: libcurl answers challenges by itself */
    bool offers_basic;                      /* by the last answer */
    uint8_t binding[JOB_TLS_EXPORTER_SIZE]; /* of the session that `body` was made for */
    size_t binding_size;
    Bytes body; /* of a request that is linked */
    size_t body_sent;
    int body_error; /* why it was not made, and what was said; 0: it was */
    Failure body_failure;
    bool is_asked_again;
    bool is_too_large;
    bool is_cancelled;
};

/* ---- a linked body (http-body.c) ---- */

/* Makes it for the session that was just opened, unless it is the one that it was made for. False: it could not be. */
bool http_body_prepare(HttpSession *session, gnutls_session_t tls);
/* libcurl's READFUNCTION and SEEKFUNCTION; userdata: the HttpSession. */
size_t http_body_read(char *buffer, size_t one, size_t size, void *userdata);
int http_body_seek(void *userdata, curl_off_t offset, int origin);

/* Fills in what may be done about a fault, whose failure is set. Returns `r`. */
int http_fault(EnrollFault *ret_fault, int r, bool try_next, bool is_permanent);

/* Why curl_easy_perform gave up: what http_exchange returns, and the fault. The exchange is still the session's. */
int http_fault_from_curl(const HttpSession *session, CURLcode code, EnrollFault *ret_fault);
