/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is in the answers of an EST server, as bytes and header values: base64, Retry-After, and what of an error's
 * body may be shown to a person. Pure: nothing here does I/O, and a time enters as a parameter. */
#pragma once

#include "common/bytes.h"

#include <stdbool.h>
#include <stdint.h>

#define RETRY_AFTER_MAX      (30U * 24U * 3600U) /* seconds: what asks for more is cut to this */
#define RETRY_AFTER_TEXT_MAX 128U

/* Decodes base64 as RFC 8951 §3 asks: CR, LF, space and tab count for nothing, whatever else is not base64 is
 * refused. 0; -EBADMSG: not base64, or nothing but white space; -ENOMEM. */
int answer_decode_base64(BytesView text, Bytes *ret);

/* As answer_decode_base64, but of the start of `text` alone: whatever stands behind the base64 (a NUL, a page) is left
 * out. 0; -EBADMSG: it does not begin with base64; -ENOMEM. */
int answer_decode_base64_start(BytesView text, Bytes *ret);

/* The encoding for a request's body: lines of 64 characters (RFC 8951 leaves line breaks open; servers of old want
 * them). 0, -ENOMEM. */
int answer_encode_base64(BytesView data, Bytes *ret);

/* Retry-After (RFC 9110 §10.2.3): seconds, or an HTTP date in any of its three forms, which is counted from `now`, the
 * server's own Date where it sent one. 0 and seconds from now, 0 for a date in the past; -EBADMSG. */
int answer_parse_retry_after(const char *value, int64_t now, uint32_t *ret);

/* An HTTP date as seconds since the epoch. 0, -EBADMSG. */
int answer_parse_date(const char *value, int64_t *ret);

/* The start of a body for a message: at most ANSWER_EXCERPT_MAX bytes, control characters and what is not UTF-8
 * replaced by '?', white space joined, "" when nothing is left. */
#define ANSWER_EXCERPT_MAX 160U
void answer_excerpt(BytesView body, char ret[static ANSWER_EXCERPT_MAX]);
