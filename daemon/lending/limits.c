/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How many handles there may be. Up to four descriptors of ours are on their way to each, and the kernel lets a user
 * have only as many on their way, in all sockets together, as RLIMIT_NOFILE says; beyond that it refuses every one, to
 * whomever it goes: States, handles on the bus, jobs. So there are never more handles than that has room for, and
 * however few of them are read, each gets its State. */
#include "lending/limits.h"

#include "device/log.h"
#include "signing/signing.h"

#include <inttypes.h>
#include <sys/resource.h>

/* What else may be on its way: jobs (JOB_PLACES of two lines, four each), and handles on the bus. It also leaves more
 * than half of the limit for what is merely open, of which a handle has two at most. */
#define DESCRIPTORS_ELSEWHERE 256U

/* RLIMIT_NOFILE, raised as far as may be up to `wanted`. */
static uint64_t descriptors_allowed(uint64_t wanted) {
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 0;
    if (limit.rlim_cur < wanted && limit.rlim_cur < limit.rlim_max) {
        struct rlimit raised = { limit.rlim_max < wanted ? limit.rlim_max : wanted, limit.rlim_max };
        if (setrlimit(RLIMIT_NOFILE, &raised) >= 0)
            limit = raised;
    }
    return limit.rlim_cur;
}

uint32_t limits_apply(const DaemonConfig *config, Quota *quota) {
    uint64_t wanted = (uint64_t) config->handles * SIGNING_DESCRIPTORS_MAX + DESCRIPTORS_ELSEWHERE,
             allowed = descriptors_allowed(wanted),
             fit = allowed > DESCRIPTORS_ELSEWHERE ? (allowed - DESCRIPTORS_ELSEWHERE) / SIGNING_DESCRIPTORS_MAX : 0;
    uint32_t handles = fit < config->handles ? (uint32_t) fit : config->handles;

    quota_set_limits(quota, config->handles_per_user, handles);
    if (handles < config->handles)
        log_entry(LOG_WARNING, MESSAGE_CONFIGURATION, NULL,
                  "Handles=%" PRIu32 " of identityd.conf is more than there is room for with %" PRIu64
                  " descriptors: %" PRIu32 " it is. Set LimitNOFILE=%" PRIu64 " or more in identityd.service.",
                  config->handles, allowed, handles, wanted);
    return handles;
}
