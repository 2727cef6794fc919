/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A job at the enroller for an identity: which of the two sockets it goes to, and what every job says of the identity,
 * its servers and the time. */
#include "manager/internal.h"

#include <stdio.h>

int identity_job_start(Identity *identity, JobLine line, const JobCallbacks *callbacks, void *userdata, Job **ret,
                       Failure *ret_failure) {
    int r = job_start(&identity->manager->jobs, line, callbacks, userdata, ret);

    return r < 0 ? failure_errno(ret_failure, r, "Starting a job at the enroller") : 0;
}

int identity_job_prepare(Identity *identity, JobOrder *order, Failure *ret_failure) {
    Manager *manager = identity->manager;
    const IdentityConfig *config = identity->config;
    JobRequest *request = &order->request;
    bool fetches = request->kind == JOB_KIND_FETCH;

    /* What the job was begun for may be gone by its turn: a reload brought another configuration, or a faulty one. */
    if (identity_is_malformed(identity, ret_failure))
        return -EBADMSG;
    if (!fetches && config->protocol != PROTOCOL_EST)
        return failure_set(ret_failure, -EINVAL, FAILURE_INVALID_ARGUMENT,
                           "%s has Protocol=manual now: there is no server to ask.", identity->name);
    int r = identity_server_anchors(identity, &order->server_anchors, ret_failure);
    if (r < 0)
        return r;
    if (asprintf(&order->socket_path, "%s/%s", manager->runtime_directory,
                 fetches ? IDENTITYD_FETCH_SOCKET : IDENTITYD_ENROLLER_SOCKET) < 0) {
        order->socket_path = NULL; /* undefined by asprintf(3) */
        return failure_errno(ret_failure, -ENOMEM, "Finding the enroller");
    }
    request->identity = identity->name;
    if (!fetches)
        request->servers = (const char *const *) config->servers;
    request->server_anchors = bytes_view(&order->server_anchors);
    /* The provisional connection is for the first meeting with the CA alone. */
    request->fingerprint = !fetches && order->server_anchors.size == 0 && config->has_anchors_fingerprint
                               ? config->anchors_fingerprint
                               : NULL;
    request->proxy = config->proxy;
    request->time = (uint64_t) manager_now(manager);
    request->time_is_floor = manager->clock.below_floor;
    return 0;
}
