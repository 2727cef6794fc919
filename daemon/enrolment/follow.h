/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an authenticated /cacerts answer makes of the anchors. Which certificate may become one is decided by pki alone
 * (trust_bootstrap, trust_rollover). */
#pragma once

#include "identity/base.h"
#include "pki/certificate.h"

/* In the course of an enrolment: the first anchor by its fingerprint, or a rollover of those that are there. Only the
 * former can fail: CERTIFICATE_REJECTED, STORAGE, INTERNAL. `server_chain`: PEM of the server that the answer came
 * from, as the enroller says; may be empty. */
int follow_cacerts(Identity *identity, const CertificateList *cacerts, BytesView server_chain, Failure *ret_failure);

/* A rollover. What is wrong is logged. 1: the anchors changed; 0: they did not; -errno. */
int follow_rollover(Identity *identity, const CertificateList *answer, BytesView server_chain);
