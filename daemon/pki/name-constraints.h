/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Name constraints (RFC 5280 §4.2.1.10) beyond those that GnuTLS looks at. Internal to pki/. */
#pragma once

#include "pki/certificate.h"

/* Whether the names of `certificate` are within the constraints of `issuer`, which stands anywhere above it in a path:
 * directory names are compared; where a name of a kind is constrained that neither we nor GnuTLS compare, it is
 * refused, and constraints of otherNames always are. DNS names, mail and IP addresses are GnuTLS's part. `ret_reason`
 * (static) on false. */
bool name_constraints_allow(const Certificate *issuer, const Certificate *certificate, const char **ret_reason);
