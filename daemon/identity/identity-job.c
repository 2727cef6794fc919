/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What all jobs of an identity have in common. */
#include "identity/identity-job.h"

#include "common/names.h"
#include "device/device.h"
#include "identity/anchors.h"
#include "identity/definition.h"
#include "identity/parts.h"
#include "identity/time.h"
#include "work/work.h"

#include <stdio.h>
#include <string.h>

int identity_job_start(Identity *identity, const IdentityJob *start, Job **ret, Failure *ret_failure) {
    int r = job_start(work_jobs(identity->context->work), start->line, start->callbacks, start->userdata, ret);

    return r < 0 ? failure_errno(ret_failure, r, "Starting a job at the enroller") : 0;
}

/* Read anew for each job, as every credential. */
static int prepare_proxy(const Identity *identity, JobOrder *order, Failure *ret_failure) {
    const IdentityConfig *config = identity_config(identity);
    const char *credential = config->proxy_credential;

    order->request.proxy = config->proxy;
    if (!credential)
        return 0;
    if (daemon_config_credential_is_secret(device_config(identity->context->device), credential))
        return failure_set(ret_failure, -EPERM, FAILURE_ENROLLMENT_FAILED,
                           "The credential %s is an authorization of the TPM and is not sent to a proxy: use another.",
                           credential);
    int r = secret_from_credential(credential, &order->proxy_password);
    if (r < 0)
        return failure_set(
            ret_failure, r, FAILURE_ENROLLMENT_FAILED,
            "%s reaches its CA through a proxy with the systemd credential %s, which cannot be read (%s): "
            "add LoadCredential=%s:… to identityd.service.",
            identity->name, credential, strerror(-r), credential);
    order->request.proxy_user = config->proxy_user;
    order->request.proxy_password = order->proxy_password;
    return 0;
}

int identity_job_prepare(const Identity *identity, JobOrder *order, Failure *ret_failure) {
    const IdentityConfig *config = identity_config(identity);
    const char *directory = device_directories(identity->context->device)->runtime_path;
    JobRequest *request = &order->request;
    bool fetches = request->kind == JOB_KIND_FETCH;

    /* What the job was begun for may be gone by its turn: a reload brought another configuration, or a faulty one. */
    if (identity_is_misconfigured(identity, ret_failure))
        return -EBADMSG;
    if (!fetches && config->protocol != PROTOCOL_EST)
        return failure_set(ret_failure, -EINVAL, FAILURE_INVALID_ARGUMENT,
                           "%s has Protocol=manual now: there is no server to ask.", identity->name);
    int r = identity_server_anchors(identity, &order->server_anchors, ret_failure);
    if (r >= 0)
        r = prepare_proxy(identity, order, ret_failure);
    if (r < 0)
        return r;
    if (asprintf(&order->socket_path, "%s/%s", directory,
                 fetches ? IDENTITYD_FETCH_SOCKET : IDENTITYD_ENROLLER_SOCKET) < 0) {
        order->socket_path = NULL; /* undefined by asprintf(3) */
        return failure_errno(ret_failure, -ENOMEM, "Finding the enroller");
    }
    request->identity = identity->name;
    if (!fetches)
        request->servers = (const char *const *) config->servers;
    request->server_anchors = bytes_view(&order->server_anchors);
    /* The provisional connection is for the first meeting with the CA alone. */
    if (!fetches && order->server_anchors.size == 0 && config->has_anchors_fingerprint)
        request->fingerprint = config->anchors_fingerprint;
    request->time = (uint64_t) identity_now(identity);
    request->time_is_floor = identity_clock_is_behind(identity);
    return 0;
}
