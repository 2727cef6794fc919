/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The object that handles and signatures share. */
#include "lending/internal.h"

#include "device/device.h"
#include "lending/limits.h"

int lending_new(Device *device, Lending **ret) {
    _cleanup_(lending_free_p) Lending *lending = calloc(1, sizeof *lending);
    const DaemonConfig *config = device_config(device);

    if (!lending)
        return -ENOMEM;
    lending->device = device;
    int r = quota_new(config->handles_per_user, config->handles, &lending->quota);
    if (r >= 0)
        r = access_log_new(device_loop(device), &lending->log);
    if (r < 0)
        return r;
    lending_apply_limits(lending);
    *ret = TAKE_PTR(lending);
    return 0;
}

Lending *lending_free(Lending *lending) {
    if (!lending)
        return NULL;
    handles_forget(lending);
    quota_free(lending->quota);
    access_log_free(lending->log);
    free(lending);
    return NULL;
}

void lending_apply_limits(Lending *lending) {
    lending->handles_max = limits_apply(device_config(lending->device), lending->quota);
}

AccessLog *lending_log(const Lending *lending) {
    return lending->log;
}
