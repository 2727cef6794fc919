/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The second role: fetches a CRL or asks an OCSP responder, without any credential. What comes is passed on as it came:
 * it is signed, and identityd verifies it. */
#pragma once

#include "enroller/channel.h"
#include "enroller/fault.h"

#define FETCH_CONNECT_MILLISECONDS 30000U
#define FETCH_TOTAL_MILLISECONDS   240000U /* a large CRL over a slow line */
#define FETCH_OCSP_MAX             65536U

/* The body from the first URL that gives one. 0; -errno and the fault, which names each URL. */
int fetch_run(const EnrollJob *job, Channel *channel, Bytes *ret, const char **ret_url, EnrollFault *ret_fault);
