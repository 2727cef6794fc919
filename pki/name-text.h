/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The texts in names, as RFC 4518 prepares them for comparison (RFC 5280 §7.1). Internal to pki/. */
#pragma once

#include "common/bytes.h"

#include <stdint.h>

/* One text, read character by character. It borrows its bytes. */
typedef struct NameText {
    BytesView rest;
    unsigned long tag; /* of the string type */
    bool folds_case;   /* letter case does not count */
    bool folds_spaces; /* nor do spaces at the ends, nor how many are in between */
    bool has_begun;
} NameText;

typedef enum NameTextClarity {
    NAME_TEXT_AMBIGUOUS, /* its bytes stand for different characters with different readers */
    NAME_TEXT_UNCLEAR,   /* tables of Unicode that are not here may make it the same as one with other characters */
    NAME_TEXT_CLEAR,     /* different characters, as name_text_next gives them, are a different text */
} NameTextClarity;

/* Begins to read a string in the type `tag`: UTF8String, PrintableString, TeletexString, BMPString, IA5String.
 * -EBADMSG: another type, or not well-formed. Of an unclear text no spaces are folded, since what follows them may
 * change them. */
int name_text_open(unsigned long tag, BytesView content, bool folds, NameText *ret, NameTextClarity *ret_clarity);
/* The next character: 1, or 0 at the end. */
int name_text_next(NameText *text, uint32_t *ret);
