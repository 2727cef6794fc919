/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* HTTP exchanges with one server, by libcurl and GnuTLS. Guarantees:
 *  - no byte of HTTP, hence no credential, goes to a server that the TLS policy does not accept, and no client
 * certificate is shown to it either;
 *  - a redirect is followed to the same scheme, host and port alone, HTTP_REDIRECTS_MAX times, with the same body;
 *  - no cookie is kept, no proxy used but the given one, whatever the environment says;
 *  - a body that is linked to the TLS session is made for the very session that carries it;
 *  - size, time and number of header bytes are bounded;
 *  - HTTP authentication only towards a verified server, never in a provisional session: Digest or Basic as it asks,
 *    and Basic unasked where a 401 names no way at all. */
#pragma once

#include "common/bytes.h"
#include "common/job-protocol.h"
#include "common/secret.h"
#include "enroller/client-key.h"
#include "enroller/fault.h"
#include "enroller/tls-server.h"

#define HTTP_HEADERS_MAX   65536U /* bytes of all headers of one exchange */
#define HTTP_REDIRECTS_MAX 3U
#define HTTP_REQUESTS_MAX  5U /* to be answered: a challenge, a stale nonce, a connection that was kept too long */

typedef struct HttpSettings {
    const char *server;             /* URL that names the server of this session */
    bool allow_http;                /* the server's URL may be http: nothing is verified then */
    const CertificateList *anchors; /* NULL: provisional, see TlsServerPolicy; no client key and no user then */
    int64_t now;
    bool now_is_floor;
    const char *proxy;      /* NULL: none */
    const char *proxy_user; /* NULL: it asks nobody */
    const Secret *proxy_password;
    const char *user; /* NULL: no HTTP authentication */
    const Secret *password;
    ClientKey *client;             /* NULL: no TLS client authentication */
    bool allow_tls12;              /* with a client key: TLS 1.3 alone, unless this is set. Without: 1.2 and later */
    Channel *channel;              /* its deadline bounds every exchange, its end stops it; may be NULL */
    unsigned connect_milliseconds; /* name, TCP, proxy and TLS */
    unsigned total_milliseconds;   /* one whole exchange */
} HttpSettings;

/* A body that can be made only when the TLS session that is to carry it is there. */
typedef struct HttpLinkedBody {
    /* `binding`: JOB_BINDING of that session. Called again where another session has to carry it. */
    int (*make)(BytesView binding, void *userdata, Bytes *ret_body, Failure *ret_failure);
    void *userdata;
    size_t size; /* that is announced before it is made: what it falls short of that is filled up with line breaks */
} HttpLinkedBody;

typedef struct HttpRequest {
    const char *url;
    const char *accept;       /* media type, or NULL */
    const char *content_type; /* NULL: GET; else POST of `body` */
    bool is_base64;           /* the body, and a header says so */
    BytesView body;
    const HttpLinkedBody *linked; /* instead of `body`; NULL: none */
    size_t maximum;               /* bytes of the answer's body */
} HttpRequest;

typedef struct HttpResponse {
    long status;
    Bytes body;
    char content_type[96];      /* as sent, cut and cleaned; "" if none */
    char location[JOB_URL_MAX]; /* of a redirect that is not followed: where it leads, or as sent if nowhere */
    char challenge[96];         /* the last WWW-Authenticate, likewise */
    bool password_was_sent;     /* in this exchange */
    bool certificate_was_asked; /* in the handshake, by the server */
    bool is_tls13;
    bool has_retry_after;
    uint32_t retry_after; /* seconds from now */
    bool has_clock;
    int64_t clock_ahead; /* seconds by which our system's clock was ahead of the server's Date when that came */
} HttpResponse;

typedef struct HttpSession HttpSession;

/* Settings are lent until the session is freed. -ENOMEM, -EIO. */
int http_session_new(const HttpSettings *settings, HttpSession **ret, Failure *ret_failure);
HttpSession *http_session_free(HttpSession *session);
DEFINE_CLEANUP(HttpSession, http_session_free)

/* One exchange; `ret` is whatever the server answered, of any status. The fault's text says what was tried and what
 * came, without naming the URL. -EKEYREJECTED: the server does not verify; -EACCES: identityd refused a signature;
 * -ECANCELED: identityd is gone; -EFBIG: larger than `maximum`; -ETIMEDOUT; -ECONNREFUSED: not reached; -ECONNRESET:
 * broken off; -EPROTO: not HTTP, or challenges without end; -EMSGSIZE: a linked body is larger than was announced; what
 * its `make` returned; -ENOMEM. */
int http_exchange(HttpSession *session, const HttpRequest *request, HttpResponse *ret, EnrollFault *ret_fault);
/* Of a response that redirects: from where to where, and `advice`. */
int http_redirect_failure(const HttpSession *session, const HttpResponse *response, const char *advice,
                          Failure *ret_failure);
void http_response_clear(HttpResponse *response);
#define _cleanup_http_response_ _cleanup_(http_response_clear)

/* The TLS session of the last exchange (tls_describe), "" without one. */
const char *http_session_tls(const HttpSession *session);
/* The certificates, PEM, leaf first, with which the server of the last exchange was verified; empty in a provisional
 * session and over http. Borrowed until the next exchange. */
BytesView http_session_server_chain(const HttpSession *session);
