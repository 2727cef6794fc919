/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The object that handles and signatures share, and the one place where access is decided. */
#include "lending/internal.h"

#include "device/device.h"
#include "device/log.h"
#include "lending/limits.h"

#include <inttypes.h>
#include <stdio.h>

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

static void log_decision(Lending *lending, const AccessQuestion *question, const AccessDecision *decision) {
    const Caller *caller = question->caller;
    Purpose purpose = question->purpose;
    char uid[64], pid[64], unit[320], purpose_field[64];

    if (!access_log_admits(lending->log, decision->admitted, caller->uid))
        return;
    snprintf(uid, sizeof uid, "IDENTITYD_CALLER_UID=%" PRIu32, (uint32_t) caller->uid);
    snprintf(pid, sizeof pid, "IDENTITYD_CALLER_PID=%" PRId32, (int32_t) caller->pid);
    snprintf(unit, sizeof unit, "IDENTITYD_CALLER_UNIT=%s", caller->unit ? caller->unit : "");
    snprintf(purpose_field, sizeof purpose_field, "IDENTITYD_PURPOSE=%s", purpose_to_string(purpose));
    const char *const fields[] = { uid, pid, unit, purpose_field, NULL };
    log_fields(
        decision->admitted ? LOG_INFO : LOG_NOTICE, decision->admitted ? MESSAGE_ACCESS_GRANTED : MESSAGE_ACCESS_DENIED,
        identity_name(question->identity), fields, "%s for %s to uid %" PRIu32 ", pid %" PRId32 "%s%s (%s).",
        decision->admitted ? "Granted" : "Denied", purpose_to_string(purpose), (uint32_t) caller->uid,
        (int32_t) caller->pid, caller->unit ? ", unit " : "", caller->unit ? caller->unit : "", decision->reason);
}

int lending_check_access(Lending *lending, const AccessQuestion *question, AccessDecision *ret, Failure *ret_failure) {
    const Identity *identity = question->identity;

    if (identity_is_misconfigured(identity, ret_failure))
        return -EBADMSG;
    access_decide(&identity_config(identity)->access[question->purpose], question->purpose, question->caller,
                  question->units, &access_names_system, ret);
    log_decision(lending, question, ret);
    if (ret->admitted)
        return 0;
    return failure_set(ret_failure, -EACCES, FAILURE_ACCESS_DENIED,
                       "%s is not lent to you for %s: %s. Add a rule to [Access] in identities/%s.conf.",
                       identity_name(identity), purpose_to_string(question->purpose), ret->reason,
                       identity_name(identity));
}
