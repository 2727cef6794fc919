/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which clients `identityd-proxy --server` lets in, beyond that their chain verifies. */
#pragma once

#include "proxy/settings.h"

#include <gnutls/x509.h>

#define PROXY_NAME_TEXT 264U /* room for the text of any, with the NUL */

/* The first of the names that the certificate carries: a common name or a URI byte for byte, a DNS name without regard
 * to case; no wildcards on either side. NULL: none of them. */
const ProxyName *proxy_name_find(gnutls_x509_crt_t certificate, const ProxyName *names, size_t count);

/* By which name a program may know who connects: "CN:…", "DNS:…" or "URI:…". Of `found`, or of the first DNS name or
 * URI for NULL. "": there is none that has a text of its own, or it is too long. */
void proxy_name_text(gnutls_x509_crt_t certificate, const ProxyName *found, char ret[static PROXY_NAME_TEXT]);

/* The common name, likewise. */
void proxy_name_common(gnutls_x509_crt_t certificate, char ret[static PROXY_NAME_TEXT]);
