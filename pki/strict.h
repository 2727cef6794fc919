/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Internal to pki/. */
#pragma once

#include "common/bytes.h"

/* Whether `der` is one value in DER as far as that can be told without its type: lengths and tags in the shortest form,
 * integers without needless bytes, BOOLEANs of 00 or FF, times that exist and are written as RFC 5280 §4.1.2.5 has
 * them. `ret_reason` (static) on false. Values within OCTET STRINGs are the caller's. */
bool der_is_strict(BytesView der, const char **ret_reason);
