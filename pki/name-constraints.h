/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Name constraints (RFC 5280 §4.2.1.10). Internal to pki/. */
#pragma once

#include "pki/certificate.h"

/* Whether the names of `certificate` are within the constraints of `issuer`, which stands anywhere above it in a path.
 * Directory names, of the subject and among the alternative names, and URIs are compared here: the permitted ones must
 * match, the excluded ones must differ, and what is unclear (directory-name.h, or a URI without a DNS name for a host)
 * does neither. DNS names, mail and IP addresses among the alternative names are GnuTLS's part, and of a leaf
 * (`is_leaf`) the common name and mail in the subject. Where a name of another kind is constrained, it is refused, and
 * constraints of otherNames always are. `ret_reason` (static) on false. */
bool name_constraints_allow(const Certificate *issuer, const Certificate *certificate, bool is_leaf,
                            const char **ret_reason);

/* Whether some are about directory names or URIs. GnuTLS refuses whatever is below excluded directory names,
 * alternative names below permitted ones, and all URIs, so its verdict on name constraints counts for nothing there. */
bool name_constraints_are_ours(const Certificate *issuer);
