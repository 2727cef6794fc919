/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Distinguished names as a configuration has them: RFC 4514, read strictly. */
#pragma once

#include "common/bytes.h"
#include "common/failure.h"

#define DISTINGUISHED_NAME_MAX 1024U /* bytes of the text */

/* The DER Name that an RFC 4514 text stands for; an empty one for an empty text. One value in each part; `#` and the
 * DER of one string, or an escape for every byte, are understood. White space around ',' and '=' does not count. Values
 * are UTF-8 without control characters, and as long as RFC 5280 appendix A.1 allows.
 *
 * -EINVAL, INVALID_ARGUMENT: what is wrong with it and where, without the whole text; -ENOMEM with kind INTERNAL. */
int distinguished_name_encode(const char *text, Bytes *ret_der, Failure *ret_failure);
