/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* URLs by character and form (RFC 3986), since the daemon links no HTTP library. Narrower than the RFC on purpose: what
 * two parsers could read differently is refused. */
#include "config/values.h"

#include <stdio.h>
#include <string.h>

#define ALPHANUMERIC     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
#define PATH_CHARACTERS  ALPHANUMERIC "-._~!$&'()*+,;=:@/" /* pchar without pct-encoded, and '/' */
#define QUERY_CHARACTERS PATH_CHARACTERS "?"
#define EST_PATH         "/.well-known/est" /* RFC 7030 §3.2.2 */

/* Length of the host at the start of `text`, 0 if there is none. */
static size_t host_length(const char *text) {
    char address[64];

    if (text[0] == '[') {
        size_t length = strcspn(text, "]");
        if (text[length] != ']' || length > sizeof(address) || length < 2)
            return 0;
        memcpy(address, text + 1, length - 1);
        address[length - 1] = '\0';
        return strchr(address, ':') && value_is_ip_address(address) ? length + 1 : 0;
    }
    size_t length = strcspn(text, ":/?#");
    if (value_is_dns_name(text, length))
        return length;
    if (length == 0 || length >= sizeof(address))
        return 0;
    memcpy(address, text, length);
    address[length] = '\0';
    return value_is_ip_address(address) ? length : 0;
}

/* ":PORT" at the start of `text`: its length; 0 if there is none, -EINVAL if it is not good. */
static int port_length(const char *text) {
    uint32_t port = 0;

    if (text[0] != ':')
        return 0;
    size_t digits = strspn(text + 1, "0123456789");
    if (digits == 0 || digits > 5 || text[1] == '0')
        return -EINVAL;
    for (size_t i = 1; i <= digits; i++)
        port = port * 10 + (uint32_t) (text[i] - '0');
    return port <= 65535 ? (int) digits + 1 : -EINVAL;
}

static int digit_value(char c) {
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

static bool characters_are_good(const char *text, size_t length, const char *allowed) {
    static const char hex[] = "0123456789abcdefABCDEF";

    for (size_t i = 0; i < length; i++) {
        if (text[i] == '%') {
            if (length - i < 3 || !strchr(hex, text[i + 1]) || !strchr(hex, text[i + 2]))
                return false;
            /* Encoded controls, '.', '/' and '\\' have no good use, and many bad ones. */
            int value = digit_value(text[i + 1]) * 16 + digit_value(text[i + 2]);
            if (value < 0x20 || value == 0x7f || value == '.' || value == '/' || value == '\\')
                return false;
            i += 2;
        } else if (!strchr(allowed, text[i])) {
            return false;
        }
    }
    return true;
}

/* Whether no segment of a path is empty, "." or "..", the last one apart, which may be empty. */
static bool segments_are_good(const char *path, size_t length) {
    for (size_t i = 0; i < length;) {
        size_t start = ++i; /* behind the slash */
        while (i < length && path[i] != '/')
            i++;
        size_t size = i - start;
        if (size == 0 && i < length)
            return false;
        if ((size == 1 && path[start] == '.') || (size == 2 && path[start] == '.' && path[start + 1] == '.'))
            return false;
    }
    return true;
}

static size_t scheme_length(const char *text, UrlShape shape) {
    if (shape != URL_PROXY && strncmp(text, "https://", 8) == 0)
        return 8;
    if (shape != URL_SERVER && strncmp(text, "http://", 7) == 0)
        return 7;
    return 0;
}

int value_url(const char *text, UrlShape shape, char **ret) {
    size_t length = strlen(text), at = scheme_length(text, shape);

    if (at == 0 || length > VALUE_URL_MAX)
        return -EINVAL;
    size_t host = host_length(text + at);
    if (host == 0)
        return -EINVAL;
    at += host;
    int port = port_length(text + at);
    if (port < 0 || (port == 0 && shape == URL_PROXY))
        return -EINVAL;
    at += (size_t) port;

    size_t path = strcspn(text + at, "?"), query = length - at - path;
    if ((path > 0 && text[at] != '/') || !segments_are_good(text + at, path) ||
        !characters_are_good(text + at, path, PATH_CHARACTERS))
        return -EINVAL;
    if (query > 0 && (shape != URL_FETCH || !characters_are_good(text + at + path + 1, query - 1, QUERY_CHARACTERS)))
        return -EINVAL;
    if (shape == URL_FETCH && path == 0)
        return -EINVAL;
    if (shape == URL_PROXY && path > 1)
        return -EINVAL;

    /* Server and proxy: nothing, or one slash, is the same; the slash at the end goes. */
    size_t keep = length;
    if (shape != URL_FETCH && path > 0 && text[at + path - 1] == '/')
        keep--;
    bool bare = shape == URL_SERVER && path <= 1;
    char *url = NULL;
    if (asprintf(&url, "%.*s%s", (int) keep, text, bare ? EST_PATH : "") < 0)
        return -ENOMEM;
    *ret = url;
    return 0;
}
