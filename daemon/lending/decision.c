/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one place where access is decided, and where that is logged. A refusal by [Access] is logged here; what it admits
 * may still be refused for another reason, so whoever asks logs that when nothing can refuse it any more. */
#include "lending/internal.h"

#include "device/log.h"

#include <inttypes.h>
#include <stdio.h>

void decision_log(Lending *lending, const AccessQuestion *question, const AccessDecision *decision) {
    const Caller *caller = question->caller;
    Purpose purpose = question->purpose;
    char uid[64], pid[64], unit[320], purpose_field[64];

    if (!access_log_admits(lending->log, decision->admitted, caller->party))
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

/* Not to know is not to refuse: nobody looks for the fault in [Access] then. */
static int refuse_unknown(Lending *lending, const AccessQuestion *question, const AccessDecision *decision,
                          Failure *ret_failure) {
    const char *name = identity_name(question->identity);

    if (access_log_admits_limit(lending->log, question->caller->party))
        log_entry(LOG_WARNING, MESSAGE_ACCESS_UNKNOWN, name,
                  "Whether %s may be lent to uid %" PRIu32 " is not known: %s.", purpose_to_string(question->purpose),
                  (uint32_t) question->caller->uid, decision->reason);
    return failure_set(ret_failure, -EIO, FAILURE_LOOKUP_FAILED,
                       "Whether %s may be lent to you for %s could not be found out: %s. Ask again; if it stays so, "
                       "that service is to be mended, not [Access].",
                       name, purpose_to_string(question->purpose), decision->reason);
}

int decision_make(Lending *lending, const AccessQuestion *question, AccessDecision *ret, Failure *ret_failure) {
    const Identity *identity = question->identity;

    if (identity_is_misconfigured(identity, ret_failure))
        return -EBADMSG;
    access_decide(&identity_config(identity)->access[question->purpose], question->purpose, question->caller,
                  question->units, &access_names_system, ret);
    if (ret->admitted)
        return 0;
    if (ret->lookup_failed)
        return refuse_unknown(lending, question, ret, ret_failure);
    decision_log(lending, question, ret);
    return failure_set(ret_failure, -EACCES, FAILURE_ACCESS_DENIED,
                       "%s is not lent to you for %s: %s. Add a rule to [Access] in identities/%s.conf.",
                       identity_name(identity), purpose_to_string(question->purpose), ret->reason,
                       identity_name(identity));
}
