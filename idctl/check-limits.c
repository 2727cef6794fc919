/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See check-limits.h. */
#include "idctl/check-limits.h"

#include "config/budget.h"

#include <inttypes.h>
#include <stdio.h>

#define SYSTEMD_NAME      "org.freedesktop.systemd1"
#define SYSTEMD_PATH      "/org/freedesktop/systemd1"
#define SYSTEMD_INTERFACE "org.freedesktop.systemd1.Manager"
#define MEBIBYTE          (1024U * 1024U)

static int get_limit(sd_bus *bus, const char *path, const char *property, uint64_t *ret) {
    return sd_bus_get_property_trivial(bus, SYSTEMD_NAME, path, "org.freedesktop.systemd1.Service", property, NULL, 't',
                                       ret);
}

int unit_limits_of_identityd(sd_bus *bus, UnitLimits *ret) {
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    UnitLimits limits;
    const char *path;

    int r = sd_bus_call_method(bus, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_INTERFACE, "LoadUnit", NULL, &reply, "s",
                               "identityd.service");
    if (r >= 0)
        r = sd_bus_message_read(reply, "o", &path);
    if (r >= 0)
        r = get_limit(bus, path, "LimitNOFILE", &limits.descriptors);
    if (r >= 0)
        r = get_limit(bus, path, "MemoryMax", &limits.memory);
    if (r >= 0)
        r = get_limit(bus, path, "TasksMax", &limits.tasks);
    if (r < 0)
        return r;
    *ret = limits;
    return 0;
}

void check_limits(const DaemonConfig *config, const UnitLimits *has, Findings *findings) {
    const FindingAbout about = { "limits", NULL };
    const Budget needs = budget_of(config->handles, config->identities);
    uint64_t mebibytes = (needs.memory + MEBIBYTE - 1U) / MEBIBYTE;
    char advice[256];

    if (!has)
        findings_add(findings, about, FINDING_SKIPPED, NULL,
                     "%" PRIu32 " handles and %" PRIu32 " identities may need %" PRIu64 " descriptors, %" PRIu64
                     " MiB and %" PRIu32 " tasks; what identityd.service has is not known without systemd",
                     config->handles, config->identities, needs.descriptors, mebibytes, needs.tasks);
    else if (has->descriptors >= needs.descriptors && has->memory >= needs.memory && has->tasks >= needs.tasks)
        findings_add(findings, about, FINDING_OK, NULL,
                     "%" PRIu32 " handles and %" PRIu32 " identities may need %" PRIu64 " descriptors, %" PRIu64
                     " MiB and %" PRIu32 " tasks, which identityd.service has",
                     config->handles, config->identities, needs.descriptors, mebibytes, needs.tasks);
    else {
        (void) snprintf(advice, sizeof advice,
                        "\"systemctl edit identityd.service\": [Service] LimitNOFILE=%" PRIu64 " MemoryMax=%" PRIu64
                        "M TasksMax=%" PRIu32 ", and restart it; or lower Handles= or Identities= in identityd.conf.",
                        needs.descriptors, mebibytes, needs.tasks);
        findings_add(findings, about, FINDING_WARNING, advice,
                     "%" PRIu32 " handles and %" PRIu32 " identities may need %" PRIu64 " descriptors, %" PRIu64
                     " MiB and %" PRIu32 " tasks; identityd.service has %" PRIu64 " descriptors, %" PRIu64
                     " MiB and %" PRIu64 " tasks",
                     config->handles, config->identities, needs.descriptors, mebibytes, needs.tasks, has->descriptors,
                     has->memory / MEBIBYTE, has->tasks);
    }
}
