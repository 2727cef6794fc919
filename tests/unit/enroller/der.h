/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* DER for tests, put together by hand: /csrattrs as servers write it, rightly and wrongly. Leaks nothing: all lies in
 * one arena that der_reset() frees. */
#pragma once

#include "common/bytes.h"

/* TAG LENGTH and the parts one after another; the list ends with DER_END. */
#define DER_END ((BytesView) { NULL, SIZE_MAX })
BytesView der_of(uint8_t tag, ...);
BytesView made_oid(const char *dotted);
BytesView der_integer(unsigned value); /* below 2^24 */
BytesView der_text(uint8_t tag, const char *text);
BytesView der_bytes(uint8_t tag, BytesView content);
void der_reset(void);

#define DER_SEQUENCE(...) der_of(0x30, __VA_ARGS__, DER_END)
#define DER_SET(...)      der_of(0x31, __VA_ARGS__, DER_END)
#define DER_EMPTY(tag)    der_of((tag), DER_END)
