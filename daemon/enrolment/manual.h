/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Protocol=manual: a request out, a chain in. For factory lines, air gaps and the IDevIDs that authenticate everything
 * else. */
#pragma once

#include "identity/base.h"
#include "pki/certificate.h"
#include "work/operation.h"

#define MANUAL_CHAIN_MAX       CHAIN_MAX
#define MANUAL_CERTIFICATE_MAX CERTIFICATE_MAX /* bytes of one */

/* Answers with the PKCS#10 DER of the pending request again until `new_key` asks for another. */
void manual_create_request(Identity *identity, bool new_key, OperationDone done, void *userdata);

/* The chain, leaf first, DER; checked like any other. */
void manual_install(Identity *identity, const BytesView *chain, size_t count, OperationDone done, void *userdata);
