/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text to typed values: strict, bounded, and without opinion on what a key wants. All return 0, or -EINVAL for what is
 * not exactly such a value, or -ENOMEM. */
#pragma once

#include "common/bytes.h"

#include <stdbool.h>
#include <stdint.h>

/* yes, no, true, false, on, off, 1, 0. */
int value_boolean(const char *text, bool *ret);
/* Decimal, or hexadecimal after 0x; no sign, no leading zero, no more than `maximum`. */
int value_unsigned(const char *text, uint32_t maximum, uint32_t *ret);
/* A whole number and one of s, min, h, d, w: seconds. At most ten thousand weeks. */
int value_duration(const char *text, uint64_t *ret_seconds);
/* "66%" or "12.5%": thousandths, at most 1000. */
int value_percent(const char *text, uint32_t *ret_permille);
/* An absolute path without "." and ".." components, empty components, or a slash at the end. */
bool value_is_path(const char *text);
/* The name of a systemd credential: 1 to 255 printable ASCII characters without '/', ':' and white space; not "." or
 * "..". */
bool value_is_credential_name(const char *text);
/* "sha256:" and 64 hexadecimal digits, which may be separated by ':' in pairs. */
int value_fingerprint(const char *text, uint8_t ret[static 32]);

/* A DNS name of letters, digits and hyphens: labels of at most 63, at most 253 in all; no dot at the end, no wildcard.
 * A name whose last label is a number is none (it would be read as an address). */
bool value_is_dns_name(const char *text, size_t length);
/* An IPv4 or IPv6 address in numbers, without zone. */
bool value_is_ip_address(const char *text);

#define VALUE_URL_MAX 2000U /* bytes; an operation's path is still put behind it */

typedef enum UrlShape {
    URL_SERVER, /* https://HOST[:PORT][/PATH]; no query; a slash at the end is dropped; without PATH, /.well-known/est
                 */
    URL_FETCH,  /* http or https://HOST[:PORT]/PATH[?QUERY] */
    URL_PROXY,  /* http://HOST:PORT */
} UrlShape;

/* A URL of a shape, checked by character and form: no user, no fragment, percent signs only before two digits, no "."
 * and ".." segments, host a DNS name, IPv4 or [IPv6] address, port 1 to 65535. `ret`, owned by the caller, is what to
 * use. */
int value_url(const char *text, UrlShape shape, char **ret);

/* Splits at white space into a NULL-terminated list, freed with strings_free; -E2BIG above `maximum` words. */
int value_words(const char *text, size_t maximum, char ***ret);

/* Frees a NULL-terminated list and its strings; takes NULL; returns NULL. */
char **strings_free(char **strings);
size_t strings_count(char *const *strings);
bool strings_contain(char *const *strings, const char *string);
DEFINE_CLEANUP(char *, strings_free)
#define _cleanup_strings_ _cleanup_(strings_free_p)
