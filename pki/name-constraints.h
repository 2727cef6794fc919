/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Name constraints (RFC 5280 §4.2.1.10). Internal to pki/. */
#pragma once

#include "pki/certificate.h"

typedef enum NamesVerdict { NAMES_ALLOWED, NAMES_OUTSIDE, NAMES_MALFORMED, NAMES_TOO_MANY } NamesVerdict;

/* Whether the names of `certificate` are within the constraints of `issuer`, which stands anywhere above it in a path.
 * Looked at: the subject, mail in it, and the alternative names; of a leaf (`is_leaf`) without those also a common name
 * that is a DNS name of several labels. The permitted ones must match, the excluded ones must differ, and what is
 * unclear (name-match.h, directory-name.h) does neither. Where a name of a kind that is not compared here (otherName …)
 * is constrained, it is refused. `left`: how many comparisons there may still be, each base that is read being one;
 * NAMES_TOO_MANY where they are used up. `ret_reason` (static) unless they are allowed. */
NamesVerdict name_constraints_judge(const Certificate *issuer, const Certificate *certificate, bool is_leaf,
                                    unsigned *left, const char **ret_reason);

/* Whether the extension of `certificate` can be read: a CA's own fault, whatever is below it. */
bool name_constraints_are_readable(const Certificate *certificate);
