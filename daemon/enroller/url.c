/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Uses libcurl's own URL parser, so that what is checked here is what is visited. */
#include "enroller/url.h"

#include <curl/curl.h>
#include <string.h>
#include <strings.h>

typedef struct UrlPart {
    char *text;
} UrlPart;

static void url_part_clear(UrlPart *part) {
    curl_free(part->text);
}

static void url_handle_p(CURLU **handle) {
    curl_url_cleanup(*handle);
}

static bool url_has(CURLU *handle, CURLUPart part) {
    _cleanup_(url_part_clear) UrlPart value = { NULL };

    return curl_url_get(handle, part, &value.text, 0) == CURLUE_OK && value.text;
}

static const char *url_accepted(UrlRules rules) {
    switch (rules) {
    case URL_HTTPS_BASE:
        return "https://HOST[:PORT]/PATH without user, query or fragment";
    case URL_HTTP_OR_HTTPS:
        return "http:// or https://HOST[:PORT]/PATH";
    case URL_PROXY:
        return "http://HOST:PORT";
    }
    return "";
}

static bool url_scheme_fits(const char *scheme, UrlRules rules) {
    bool http = strcmp(scheme, "http") == 0, https = strcmp(scheme, "https") == 0;

    switch (rules) {
    case URL_HTTPS_BASE:
        return https;
    case URL_PROXY:
        return http;
    case URL_HTTP_OR_HTTPS:
        return http || https;
    }
    return false;
}

static bool url_parts_fit(CURLU *handle, UrlRules rules) {
    _cleanup_(url_part_clear) UrlPart scheme = { NULL }, path = { NULL };

    if (curl_url_get(handle, CURLUPART_SCHEME, &scheme.text, 0) != CURLUE_OK || !url_scheme_fits(scheme.text, rules) ||
        !url_has(handle, CURLUPART_HOST) || url_has(handle, CURLUPART_USER) || url_has(handle, CURLUPART_PASSWORD) ||
        url_has(handle, CURLUPART_OPTIONS) || url_has(handle, CURLUPART_FRAGMENT))
        return false;
    if ((rules == URL_HTTPS_BASE || rules == URL_PROXY) && url_has(handle, CURLUPART_QUERY))
        return false;
    if (rules == URL_PROXY)
        return url_has(handle, CURLUPART_PORT) && curl_url_get(handle, CURLUPART_PATH, &path.text, 0) == CURLUE_OK &&
               strcmp(path.text, "/") == 0;
    return true;
}

int url_check(const char *url, UrlRules rules, Failure *ret_failure) {
    _cleanup_(url_handle_p) CURLU *handle = curl_url();
    bool plain = !strstr(url, ":///"); /* libcurl would take the path for the host */

    if (!handle)
        return failure_errno(ret_failure, -ENOMEM, "Reading a URL");
    for (const char *p = url; *p; p++)
        plain = plain && *p > ' ' && *p < 0x7f;
    if (!plain || curl_url_set(handle, CURLUPART_URL, url, 0) != CURLUE_OK || !url_parts_fit(handle, rules))
        return failure_set(ret_failure, -EBADMSG, FAILURE_INVALID_ARGUMENT,
                           "The URL \"%.200s\" cannot be used: %s is accepted.", url, url_accepted(rules));
    return 0;
}

char *url_host(const char *url) {
    _cleanup_(url_handle_p) CURLU *handle = curl_url();
    _cleanup_(url_part_clear) UrlPart host = { NULL };

    if (!handle || curl_url_set(handle, CURLUPART_URL, url, 0) != CURLUE_OK ||
        curl_url_get(handle, CURLUPART_HOST, &host.text, 0) != CURLUE_OK)
        return NULL;
    size_t length = strlen(host.text);
    if (length > 2 && host.text[0] == '[')
        return strndup(host.text + 1, length - 2);
    if (length > 1 && host.text[length - 1] == '.')
        length--;
    return strndup(host.text, length);
}

static bool url_part_is_same(CURLU *a, CURLU *b, CURLUPart part) {
    _cleanup_(url_part_clear) UrlPart first = { NULL }, second = { NULL };

    return curl_url_get(a, part, &first.text, CURLU_DEFAULT_PORT) == CURLUE_OK &&
           curl_url_get(b, part, &second.text, CURLU_DEFAULT_PORT) == CURLUE_OK &&
           strcasecmp(first.text, second.text) == 0;
}

int url_follow(const char *base, const char *location, char **ret, bool *ret_is_same_origin) {
    _cleanup_(url_handle_p) CURLU *from = curl_url(), *to = curl_url();
    _cleanup_(url_part_clear) UrlPart text = { NULL };

    if (!from || !to)
        return -ENOMEM;
    if (curl_url_set(from, CURLUPART_URL, base, 0) != CURLUE_OK ||
        curl_url_set(to, CURLUPART_URL, base, 0) != CURLUE_OK ||
        curl_url_set(to, CURLUPART_URL, location, 0) != CURLUE_OK ||
        curl_url_set(to, CURLUPART_FRAGMENT, NULL, 0) != CURLUE_OK ||
        curl_url_get(to, CURLUPART_URL, &text.text, 0) != CURLUE_OK)
        return -EBADMSG;
    char *url = strdup(text.text);
    if (!url)
        return -ENOMEM;
    *ret = url;
    *ret_is_same_origin = url_part_is_same(from, to, CURLUPART_SCHEME) && url_part_is_same(from, to, CURLUPART_HOST) &&
                          url_part_is_same(from, to, CURLUPART_PORT) && !url_has(to, CURLUPART_USER) &&
                          !url_has(to, CURLUPART_PASSWORD);
    return 0;
}
