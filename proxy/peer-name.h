/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which clients `identityd-proxy --server` lets in, beyond that their chain verifies. */
#pragma once

#include "proxy/settings.h"

#include <gnutls/x509.h>

/* Whether the certificate carries one of the names: a common name or a URI byte for byte, a DNS name without regard to
 * case; no wildcards on either side. An empty list admits all. */
bool proxy_name_is_allowed(gnutls_x509_crt_t certificate, const ProxyName *allowed, size_t count);
