/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The object that handles and signatures share. */
#include "lending/internal.h"

#include "device/device.h"
#include "lending/limits.h"

#include <sys/epoll.h>

int lending_new(Device *device, Lending **ret) {
    _cleanup_(lending_free_p) Lending *lending = calloc(1, sizeof *lending);

    if (!lending)
        return -ENOMEM;
    lending->device = device;
    lending->closed = -1;
    lending->limits = limits_of(device_config(device));
    int r = quota_new(&lending->limits, &lending->quota);
    if (r >= 0)
        r = access_log_new(device_loop(device), &lending->log);
    if (r < 0)
        return r;
    lending->closed = epoll_create1(EPOLL_CLOEXEC);
    if (lending->closed < 0)
        return -errno;
    *ret = TAKE_PTR(lending);
    return 0;
}

Lending *lending_free(Lending *lending) {
    if (!lending)
        return NULL;
    handles_forget(lending);
    quota_free(lending->quota);
    access_log_free(lending->log);
    close_safe(lending->closed);
    free(lending);
    return NULL;
}

void lending_apply_limits(Lending *lending) {
    lending->limits = limits_of(device_config(lending->device));
    quota_set_limits(lending->quota, &lending->limits);
}

AccessLog *lending_log(const Lending *lending) {
    return lending->log;
}
