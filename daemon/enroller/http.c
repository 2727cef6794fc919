/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libcurl verifies servers by the system clock only, so its own verification is off and ours stands at two gates:
 *  - inside the handshake where a client key is used, so that a wrong server sees neither our certificate nor a
 * signature (the session is reached when GnuTLS loads the key's URL);
 *  - at libcurl's prerequest callback, which runs after the handshake and before the first byte of HTTP, for every
 * request. libcurl keeps copies of user and password in memory of its own until the session is freed; main has freed
 * memory overwritten. */
#include "enroller/http.h"

#include "common/session-slot.h"
#include "enroller/http-session.h"
#include "enroller/url.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

typedef struct HeaderList {
    struct curl_slist *list;
} HeaderList;

static void header_list_clear(HeaderList *headers) {
    curl_slist_free_all(headers->list);
}

void http_response_clear(HttpResponse *response) {
    bytes_clear(&response->body);
}

const char *http_session_tls(const HttpSession *session) {
    return session->tls;
}

BytesView http_session_server_chain(const HttpSession *session) {
    return bytes_view(&session->server_chain);
}

/* ---- verification ---- */

static gnutls_session_t http_tls_session(HttpSession *session) {
    struct curl_tlssessioninfo *information = NULL;

    if (curl_easy_getinfo(session->easy, CURLINFO_TLS_SSL_PTR, &information) != CURLE_OK || !information ||
        information->backend != CURLSSLBACKEND_GNUTLS)
        return NULL;
    return information->internals;
}

/* The gate inside the handshake. */
static int on_verify(gnutls_session_t tls) {
    HttpSession *session = session_slot_get(tls, SLOT_HTTP);

    return !session || tls_server_verify(tls, &session->policy, &session->server_failure) < 0
               ? GNUTLS_E_CERTIFICATE_ERROR
               : 0;
}

/* GnuTLS loads the client key: before ClientHello. */
static gnutls_session_t on_client_key(void *userdata) {
    HttpSession *session = userdata;

    gnutls_session_t tls = http_tls_session(session);
    if (!tls)
        return NULL;
    if (session_slot_reserve(tls, SLOT_HTTP, NULL, NULL) < 0)
        return NULL;
    session_slot_set(tls, SLOT_HTTP, session); /* libcurl has the session's own pointer, since its version 8 */
    gnutls_session_set_verify_function(tls, on_verify);
    return tls;
}

/* The gate before HTTP. */
static int on_prerequest(void *userdata, char *remote_address, char *local_address, int remote_port, int local_port) {
    HttpSession *session = userdata;

    session->tls[0] = '\0';
    bytes_clear(&session->server_chain);
    session->is_asked_again = ++session->requests > HTTP_REQUESTS_MAX;
    if (session->is_asked_again)
        return CURL_PREREQFUNC_ABORT;
    if (session->settings->allow_http && strncasecmp(session->request->url, "http:", 5) == 0) {
        session->is_sent = true;
        return CURL_PREREQFUNC_OK;
    }
    gnutls_session_t tls = http_tls_session(session);
    if (!tls) {
        (void) failure_set(&session->server_failure, -EKEYREJECTED, FAILURE_INTERNAL,
                           "the TLS session cannot be verified: libcurl was not built with GnuTLS");
        return CURL_PREREQFUNC_ABORT;
    }
    if (tls_server_verify(tls, &session->policy, &session->server_failure) < 0)
        return CURL_PREREQFUNC_ABORT;
    tls_describe(tls, session->tls);
    session->response->certificate_was_asked = gnutls_certificate_client_get_request_status(tls) != 0;
    session->response->is_tls13 = gnutls_protocol_get_version(tls) == GNUTLS_TLS1_3;
    if (session->settings->anchors && tls_server_chain(tls, &session->server_chain) < 0)
        return CURL_PREREQFUNC_ABORT; /* out of memory: it verified just now */
    if (session->request->linked && !http_body_prepare(session, tls))
        return CURL_PREREQFUNC_ABORT;
    session->is_sent = true;
    return CURL_PREREQFUNC_OK;
}

/* ---- what comes in ---- */

static size_t on_body(char *data, size_t one, size_t size, void *userdata) {
    HttpSession *session = userdata;

    if (size > session->request->maximum || session->response->body.size > session->request->maximum - size) {
        session->is_too_large = true;
        return 0;
    }
    if (bytes_append(&session->response->body, (BytesView) { (const uint8_t *) data, size }) < 0)
        return 0;
    return size;
}

/* The value of header `name` in `line`, if it is that header's, without white space around it; cut to `size`. */
static bool header_value(BytesView line, const char *name, char *ret, size_t size) {
    size_t length = strlen(name);

    if (line.size <= length || line.data[length] != ':' || strncasecmp((const char *) line.data, name, length) != 0)
        return false;
    BytesView value = { line.data + length + 1, line.size - length - 1 };
    while (value.size > 0 && strchr(" \t", value.data[0]))
        value = (BytesView) { value.data + 1, value.size - 1 };
    size_t out = 0;
    for (size_t i = 0; i < value.size && out + 1 < size && value.data[i] != '\r' && value.data[i] != '\n'; i++)
        ret[out++] = value.data[i] >= 0x20 && value.data[i] < 0x7f ? (char) value.data[i] : '?';
    while (out > 0 && ret[out - 1] == ' ')
        out--;
    ret[out] = '\0';
    return true;
}

/* A status line begins an answer; libcurl gives us those it deals with itself (401 before authentication) as well. */
static void response_restart(HttpSession *session) {
    bytes_clear(&session->response->body);
    session->response->content_type[0] = '\0';
    session->response->location[0] = '\0';
    session->response->challenge[0] = '\0';
    session->offers_basic = false;
    session->retry_after[0] = '\0';
    session->date = session->settings->now;
    session->response->has_clock = false;
}

static void on_date(HttpSession *session, const char *date) {
    int64_t when;

    if (answer_parse_date(date, &when) < 0)
        return;
    session->date = when;
    session->response->has_clock = true;
    session->response->clock_ahead = (int64_t) time(NULL) - when;
}

/* Whether `scheme` is among the challenges of a WWW-Authenticate (RFC 9110 §11.6.1), which stand between commas. */
static bool challenge_has(const char *value, const char *scheme) {
    size_t length = strlen(scheme);
    bool quoted = false, begins = true;

    for (const char *p = value; *p; p++) {
        if (*p == '"')
            quoted = !quoted;
        else if (quoted && *p == '\\' && p[1])
            p++;
        else if (!quoted && begins && strncasecmp(p, scheme, length) == 0 && strchr(" ,", p[length]))
            return true;
        begins = !quoted && (*p == ',' || (begins && *p == ' '));
    }
    return false;
}

static void on_challenge(HttpSession *session, BytesView line) {
    char value[2048];

    if (!header_value(line, "WWW-Authenticate", value, sizeof value))
        return;
    session->offers_basic = session->offers_basic || challenge_has(value, "Basic");
    (void) snprintf(session->response->challenge, sizeof session->response->challenge, "%.*s",
                    (int) sizeof session->response->challenge - 1, value);
}

static size_t on_header(char *data, size_t one, size_t size, void *userdata) {
    HttpSession *session = userdata;
    HttpResponse *response = session->response;
    BytesView line = { (const uint8_t *) data, size };
    char date[RETRY_AFTER_TEXT_MAX];

    session->header_bytes += size;
    if (session->header_bytes > HTTP_HEADERS_MAX) {
        session->is_too_large = true;
        return 0;
    }
    if (size > 5 && memcmp(data, "HTTP/", 5) == 0)
        response_restart(session);
    else if (header_value(line, "Date", date, sizeof date))
        on_date(session, date);
    else if (!header_value(line, "Retry-After", session->retry_after, sizeof session->retry_after) &&
             !header_value(line, "Content-Type", response->content_type, sizeof response->content_type))
        (void) header_value(line, "Location", response->location, sizeof response->location);
    on_challenge(session, line);
    return size;
}

static int on_progress(void *userdata, curl_off_t download_total, curl_off_t download_now, curl_off_t upload_total,
                       curl_off_t upload_now) {
    HttpSession *session = userdata;

    session->is_cancelled = session->settings->channel && channel_is_closed(session->settings->channel);
    /* Of a challenge that libcurl answers by itself the body never comes to on_body. */
    if (download_now > (curl_off_t) session->request->maximum)
        session->is_too_large = true;
    return session->is_cancelled || session->is_too_large;
}

/* Whether the password went out is what libcurl decides, and tells nobody else. */
static int on_debug(CURL *easy, curl_infotype type, char *data, size_t size, void *userdata) {
    static const char header[] = "\r\nAuthorization:";
    HttpSession *session = userdata;

    if (type == CURLINFO_HEADER_OUT && session->response && memmem(data, size, header, sizeof header - 1))
        session->response->password_was_sent = true;
    return 0;
}

/* ---- the session ---- */

#define SET(option, value)                                                                                             \
    do {                                                                                                               \
        if (curl_easy_setopt(easy, (option), (value)) != CURLE_OK)                                                     \
            return -EIO;                                                                                               \
    } while (0)

static int setup_protocol(CURL *easy, const HttpSettings *settings) {
    SET(CURLOPT_PROTOCOLS_STR, settings->allow_http ? "http,https" : "https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_HTTP_CONTENT_DECODING, 0L);
    SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    SET(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
    SET(CURLOPT_USERAGENT, "identityd/" IDENTITYD_VERSION);
    SET(CURLOPT_PROXY, settings->proxy ? settings->proxy : "");
    SET(CURLOPT_NOPROXY, "");
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(CURLOPT_MAXCONNECTS, 2L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long) settings->connect_milliseconds);
    return 0;
}

static int setup_tls(CURL *easy, const HttpSettings *settings) {
    bool new_tls_only = settings->client && !settings->allow_tls12;

    SET(CURLOPT_SSL_VERIFYPEER, 0L); /* the two gates above do it */
    SET(CURLOPT_SSL_VERIFYHOST, 0L);
    SET(CURLOPT_CAINFO, NULL); /* Debian's default would be read for every connection */
    SET(CURLOPT_CAPATH, NULL);
    SET(CURLOPT_SSL_SESSIONID_CACHE, 0L); /* a resumed session shows no certificate */
    SET(CURLOPT_SSLVERSION, (long) (new_tls_only ? CURL_SSLVERSION_TLSv1_3 : CURL_SSLVERSION_TLSv1_2));
    if (settings->client) {
        SET(CURLOPT_SSLCERT, CLIENT_KEY_URL);
        SET(CURLOPT_SSLKEY, CLIENT_KEY_URL);
    }
    return 0;
}

/* libcurl keeps a copy. */
static int setup_secret(CURL *easy, CURLoption option, const Secret *secret) {
    char text[SECRET_MAX + 1];
    BytesView view = secret_view(secret);

    if (view.size >= sizeof text)
        return -E2BIG;
    memcpy(text, view.data, view.size);
    text[view.size] = '\0';
    CURLcode code = curl_easy_setopt(easy, option, text);
    explicit_bzero(text, sizeof text);
    return code != CURLE_OK ? -ENOMEM : 0;
}

static int setup_user(CURL *easy, const HttpSettings *settings) {
    if (!settings->user)
        return 0;
    int r = setup_secret(easy, CURLOPT_PASSWORD, settings->password);
    if (r < 0)
        return r;
    SET(CURLOPT_USERNAME, settings->user);
    SET(CURLOPT_UNRESTRICTED_AUTH, 0L);
    return 0;
}

static int setup_proxy_user(CURL *easy, const HttpSettings *settings) {
    if (!settings->proxy_user)
        return 0;
    int r = setup_secret(easy, CURLOPT_PROXYPASSWORD, settings->proxy_password);
    if (r < 0)
        return r;
    SET(CURLOPT_PROXYUSERNAME, settings->proxy_user);
    SET(CURLOPT_PROXYAUTH, (long) (CURLAUTH_BASIC | CURLAUTH_DIGEST));
    return 0;
}

static int setup_callbacks(CURL *easy, HttpSession *session) {
    SET(CURLOPT_PREREQFUNCTION, on_prerequest);
    SET(CURLOPT_PREREQDATA, session);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, session);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, session);
    SET(CURLOPT_XFERINFOFUNCTION, on_progress);
    SET(CURLOPT_XFERINFODATA, session);
    SET(CURLOPT_NOPROGRESS, 0L);
    SET(CURLOPT_READFUNCTION, http_body_read);
    SET(CURLOPT_READDATA, session);
    SET(CURLOPT_SEEKFUNCTION, http_body_seek);
    SET(CURLOPT_SEEKDATA, session);
    SET(CURLOPT_DEBUGFUNCTION, on_debug);
    SET(CURLOPT_DEBUGDATA, session);
    SET(CURLOPT_VERBOSE, 1L); /* calls on_debug */
    SET(CURLOPT_ERRORBUFFER, session->error);
    return 0;
}

int http_session_new(const HttpSettings *settings, HttpSession **ret, Failure *ret_failure) {
    _cleanup_(http_session_free_p) HttpSession *session = calloc(1, sizeof *session);

    if (!session)
        return failure_errno(ret_failure, -ENOMEM, "Preparing an HTTP session");
    session->settings = settings;
    session->easy = curl_easy_init();
    session->host = url_host(settings->server);
    if (!session->easy || !session->host)
        return failure_errno(ret_failure, -ENOMEM, "Preparing an HTTP session");
    session->policy = (TlsServerPolicy) { .anchors = settings->anchors,
                                          .host = session->host,
                                          .now = settings->now,
                                          .now_is_floor = settings->now_is_floor };
    int r = setup_protocol(session->easy, settings);
    if (r >= 0)
        r = setup_tls(session->easy, settings);
    if (r >= 0)
        r = setup_user(session->easy, settings);
    if (r >= 0)
        r = setup_proxy_user(session->easy, settings);
    if (r >= 0)
        r = setup_callbacks(session->easy, session);
    if (r < 0)
        return failure_errno(ret_failure, r, "Preparing an HTTP session (libcurl refused an option)");
    *ret = TAKE_PTR(session);
    return 0;
}

HttpSession *http_session_free(HttpSession *session) {
    if (!session)
        return NULL;
    curl_easy_cleanup(session->easy);
    free(session->host);
    bytes_clear(&session->server_chain);
    bytes_clear(&session->body);
    free(session->url);
    free(session);
    return NULL;
}

/* ---- the exchange ---- */

static int header_add(HeaderList *headers, const char *name, const char *value) {
    char line[256];

    if (value)
        (void) snprintf(line, sizeof line, "%s: %s", name, value);
    struct curl_slist *longer = curl_slist_append(headers->list, value ? line : name);
    if (!longer)
        return -ENOMEM;
    headers->list = longer;
    return 0;
}

static int exchange_setup(HttpSession *session, const HttpRequest *request, HeaderList *headers) {
    CURL *easy = session->easy;
    unsigned total = session->settings->total_milliseconds;
    unsigned left = session->settings->channel ? channel_milliseconds_left(session->settings->channel) : total;
    int r = 0;

    if (request->accept)
        r = header_add(headers, "Accept", request->accept);
    if (r >= 0 && request->content_type)
        r = header_add(headers, "Content-Type", request->content_type);
    if (r >= 0 && request->is_base64)
        r = header_add(headers, "Content-Transfer-Encoding", "base64");
    if (r >= 0)
        r = header_add(headers, "Expect:", NULL); /* no round trip before the body */
    if (r < 0)
        return r;
    SET(CURLOPT_URL, session->url ? session->url : request->url);
    SET(CURLOPT_HTTPAUTH, (long) (session->basic_alone ? CURLAUTH_BASIC : CURLAUTH_BASIC | CURLAUTH_DIGEST));
    SET(CURLOPT_HTTPHEADER, headers->list);
    SET(CURLOPT_TIMEOUT_MS, (long) (left < total ? left : total) + 1L); /* 0 would mean none */
    if (request->content_type) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDS, request->linked ? NULL : request->body.data); /* NULL: http_body_read */
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) (request->linked ? request->linked->size : request->body.size));
    } else
        SET(CURLOPT_HTTPGET, 1L);
    return 0;
}

static void exchange_begin(HttpSession *session, const HttpRequest *request, HttpResponse *response) {
    session->request = request;
    session->response = response;
    session->header_bytes = 0;
    session->requests = 0;
    session->is_sent = session->is_asked_again = session->is_too_large = session->is_cancelled = false;
    session->server_failure = session->body_failure = FAILURE_INIT;
    session->body_error = 0;
    session->error[0] = '\0';
    response_restart(session);
    if (session->settings->client)
        client_key_forget_failure(session->settings->client);
}

static int exchange_once(HttpSession *session, const HttpRequest *request, HttpResponse *ret, EnrollFault *ret_fault) {
    _cleanup_http_response_ HttpResponse response = { 0 };
    _cleanup_(header_list_clear) HeaderList headers = { NULL };

    exchange_begin(session, request, &response);
    int r = exchange_setup(session, request, &headers);
    if (r < 0)
        r = http_fault(ret_fault, failure_errno(&ret_fault->failure, r, "Preparing an HTTP request"), false, false);
    else {
        client_key_activate(session->settings->client, on_client_key, session);
        CURLcode code = curl_easy_perform(session->easy);
        client_key_activate(NULL, NULL, NULL);
        if (code != CURLE_OK)
            r = http_fault_from_curl(session, code, ret_fault);
    }
    (void) curl_easy_setopt(session->easy, CURLOPT_HTTPHEADER, NULL);
    session->response = NULL;
    session->request = NULL;
    if (r < 0)
        return r;
    (void) curl_easy_getinfo(session->easy, CURLINFO_RESPONSE_CODE, &response.status);
    response.has_retry_after = session->retry_after[0] && answer_parse_retry_after(session->retry_after, session->date,
                                                                                   &response.retry_after) >= 0;
    *ret = response;
    response = (HttpResponse) { 0 };
    return 0;
}

/* A 401 that libcurl had no answer to, while Basic would be one: nothing is announced (against RFC 9110 §15.5.2, yet
 * servers do), or Basic stands beside a Digest that libcurl does not know. */
static bool wants_basic(const HttpSession *session, const HttpResponse *response) {
    return response->status == 401 && session->settings->user && !response->password_was_sent &&
           !session->basic_alone && (!response->challenge[0] || session->offers_basic);
}

static int exchange_authenticated(HttpSession *session, const HttpRequest *request, HttpResponse *ret,
                                  EnrollFault *ret_fault) {
    int r = exchange_once(session, request, ret, ret_fault);

    if (r < 0 || !wants_basic(session, ret))
        return r;
    session->basic_alone = true;
    http_response_clear(ret);
    return exchange_once(session, request, ret, ret_fault);
}

/* 303 leads to something else that is to be got (RFC 9110 §15.4.4): no place for a request of ours. */
static bool is_redirect(const HttpRequest *request, const HttpResponse *response) {
    long status = response->status;

    return response->location[0] && (status == 301 || status == 302 || status == 307 || status == 308 ||
                                     (status == 303 && !request->content_type));
}

/* Whether the exchange goes on at session->url. Otherwise the response says where it was sent. */
static bool follow(HttpSession *session, const HttpRequest *request, HttpResponse *response) {
    _cleanup_free_ char *url = NULL;
    bool is_same_origin = false;

    if (!is_redirect(request, response) ||
        url_follow(session->url ? session->url : request->url, response->location, &url, &is_same_origin) < 0)
        return false;
    if (strlen(response->location) + 1 == sizeof response->location || strlen(url) >= sizeof response->location)
        return false; /* cut */
    strcpy(response->location, url);
    if (!is_same_origin)
        return false;
    free(session->url);
    session->url = TAKE_PTR(url);
    return true;
}

int http_redirect_failure(const HttpSession *session, const HttpResponse *response, const char *advice,
                          Failure *ret_failure) {
    const char *to = response->location[0] ? response->location : "nowhere";
    const char *from = NULL;

    (void) curl_easy_getinfo(session->easy, CURLINFO_EFFECTIVE_URL, &from);
    return failure_set(
        ret_failure, -EPROTO, FAILURE_ENROLLMENT_FAILED,
        "expected status 200, but the server redirects (%ld) from %.250s to %.250s; a redirect is followed "
        "%u times and within the same scheme, host and port alone%s",
        response->status, from ? from : "?", to, HTTP_REDIRECTS_MAX, advice);
}

int http_exchange(HttpSession *session, const HttpRequest *request, HttpResponse *ret, EnrollFault *ret_fault) {
    _cleanup_http_response_ HttpResponse response = { 0 };

    session->url = NULL;
    int r = exchange_authenticated(session, request, &response, ret_fault);
    for (unsigned i = 0; r >= 0 && follow(session, request, &response) && i < HTTP_REDIRECTS_MAX; i++) {
        http_response_clear(&response);
        r = exchange_authenticated(session, request, &response, ret_fault);
    }
    free(session->url);
    session->url = NULL;
    if (r < 0)
        return r;
    *ret = response;
    response = (HttpResponse) { 0 };
    return 0;
}
