/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How many handles there may be. Up to four descriptors of ours are on their way to each, and the kernel lets a user
 * have only as many on their way, in all sockets together, as RLIMIT_NOFILE says; beyond that it refuses every one, to
 * whomever it goes: States, handles on the bus, jobs. So there are never more handles than that has room for, and
 * however few of them are read, each gets its State. What else is open is in the same budget (config/budget.h). */
#include "lending/limits.h"

#include "config/budget.h"
#include "device/log.h"
#include "signing/signing.h"

#include <inttypes.h>
#include <sys/resource.h>

_Static_assert(SIGNING_DESCRIPTORS_MAX == BUDGET_HANDLE_SENT, "what the signing thread sends is what is reckoned with");

/* A quarter of all handles is kept, in equal parts, for identities of which few are taken. */
#define KEPT_PART 4U

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

QuotaLimits limits_of(const DaemonConfig *config) {
    uint64_t wanted = budget_of(config->handles, config->identities).descriptors, allowed = descriptors_allowed(wanted);
    uint32_t fit = budget_handles(allowed, config->identities), handles = fit < config->handles ? fit : config->handles;

    if (handles < config->handles)
        log_entry(LOG_WARNING, MESSAGE_CONFIGURATION, NULL,
                  "Handles=%" PRIu32 " of identityd.conf is more than there is room for with %" PRIu64
                  " descriptors: %" PRIu32 " it is. Set LimitNOFILE=%" PRIu64 " or more in identityd.service.",
                  config->handles, allowed, handles, wanted);
    return (QuotaLimits) {
        .per_user = config->handles_per_user,
        .per_rule = config->handles_per_rule,
        .total = handles,
        .reserve = config->identities > 0 ? handles / KEPT_PART / config->identities : 0,
        .identities = config->identities,
    };
}
