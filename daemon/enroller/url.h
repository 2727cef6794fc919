/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which URLs this program visits. Checked before the first one is: what libcurl would take and we have no use for
 * (other protocols, credentials in the URL, fragments) is refused with the reason. */
#pragma once

#include "common/failure.h"

#include <stdbool.h>

typedef enum UrlRules {
    URL_HTTPS_BASE,    /* https, path allowed, no query: an EST base */
    URL_HTTP_OR_HTTPS, /* either, query allowed */
    URL_PROXY,         /* http://HOST:PORT */
} UrlRules;

/* 0, or -EBADMSG with kind INVALID_ARGUMENT: which URL, and what would be accepted; -ENOMEM. */
int url_check(const char *url, UrlRules rules, Failure *ret_failure);

/* Where a Location that came from `base` leads (RFC 3986 §5), and whether that is the same origin: scheme, host and
 * port (RFC 6454 §4), and no user in it. 0; -EBADMSG: it leads nowhere; -ENOMEM. */
int url_follow(const char *base, const char *location, char **ret, bool *ret_is_same_origin);

/* The host alone, without the brackets of an IPv6 address or a trailing dot: what a certificate must name. Owned by the
 * caller; NULL when out of memory or `url` is none. */
char *url_host(const char *url);
