/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A job at the enroller for an identity: which of the two sockets it goes to, and what every job says of the identity,
 * its servers and the time. */
#pragma once

#include "identity/base.h"
#include "work/job.h"

/* job_start for an identity. 0, or -errno with kind INTERNAL. */
typedef struct IdentityJob {
    JobLine line;
    const JobCallbacks *callbacks;
    void *userdata;
} IdentityJob;
int identity_job_start(Identity *identity, const IdentityJob *start, Job **ret, Failure *ret_failure);

/* For JobCallbacks.prepare, which has filled in what is its job's own: kind, authentication, requests, and of a fetch
 * the URLs (`servers`). The rest is filled in here. -EBADMSG, NOT_READY: out of use meanwhile; -EINVAL,
 * INVALID_ARGUMENT: without a server meanwhile; else as identity_server_anchors. */
int identity_job_prepare(const Identity *identity, JobOrder *order, Failure *ret_failure);
