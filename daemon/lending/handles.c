/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Credential handles: who gets one, how many, and who loses it again. */
#include "lending/internal.h"

#include "common/names.h"
#include "device/device.h"
#include "device/log.h"
#include "signing/signing.h"

#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

struct HandleRecord {
    uint64_t id;
    char identity[IDENTITY_NAME_MAX + 1U];
    Purpose purpose;
    Caller caller; /* without its pidfd */
    char *rule;    /* that admitted it */
    bool excused;  /* its holder has closed it; the signing thread is to find that out */
    HandleRecord *next;
};

static HandleRecord *handle_record_free(HandleRecord *record) {
    if (!record)
        return NULL;
    caller_clear(&record->caller);
    free(record->rule);
    free(record);
    return NULL;
}
DEFINE_CLEANUP(HandleRecord, handle_record_free)

static QuotaClaim claim_of(const HandleRecord *record) {
    return (QuotaClaim) { .party = record->caller.party,
                          .unlimited = record->caller.uid == 0,
                          .rule = record->rule,
                          .identity = record->identity };
}

void handles_closed(Lending *lending, uint64_t id) {
    for (HandleRecord **link = &lending->handles; *link; link = &(*link)->next)
        if ((*link)->id == id) {
            HandleRecord *record = *link;
            const QuotaClaim claim = claim_of(record);
            *link = record->next;
            quota_give(lending->quota, &claim, record->excused);
            handle_record_free(record);
            return;
        }
}

void handles_forget(Lending *lending) {
    while (lending->handles) {
        HandleRecord *record = lending->handles;
        lending->handles = record->next;
        handle_record_free(record);
    }
}

/* ---- how many ---- */

/* To be told when the holder closes its end, by a set that holds no reference: our end goes to the signing thread,
 * which may be busy with the TPM for a while when somebody closes one handle and asks for the next. */
static int watch_end(const Lending *lending, int socket, uint64_t id) {
    struct epoll_event event = { .events = EPOLLONESHOT, .data = { .u64 = id } }; /* EPOLLHUP is always told */

    return epoll_ctl(lending->closed, EPOLL_CTL_ADD, socket, &event) < 0 ? -errno : 0;
}

static void excuse(Lending *lending, uint64_t id) {
    for (HandleRecord *record = lending->handles; record; record = record->next)
        if (record->id == id && !record->excused) {
            const QuotaClaim claim = claim_of(record);
            record->excused = quota_excuse(lending->quota, &claim);
            return;
        }
}

/* Whether there were any. */
static bool excuse_closed(Lending *lending) {
    struct epoll_event events[64];
    bool found = false;
    int n;

    while ((n = epoll_wait(lending->closed, events, ARRAY_LENGTH(events), 0)) > 0)
        for (int i = 0; i < n; i++) {
            excuse(lending, events[i].data.u64);
            found = true;
        }
    return found;
}

static int refuse_by_user(const Lending *lending, const Caller *caller, Failure *ret_failure) {
    if (caller->party == PARTY_UNKNOWN)
        return failure_set(ret_failure, -EDQUOT, FAILURE_LIMITS_EXCEEDED,
                           "Users whom the system does not know, uid %" PRIu32 " among them, hold %" PRIu32
                           " handles together, which is as many as one user may: close some, make the user known, or "
                           "raise HandlesPerUser= in identityd.conf.",
                           (uint32_t) caller->uid, lending->limits.per_user);
    return failure_set(ret_failure, -EDQUOT, FAILURE_LIMITS_EXCEEDED,
                       "uid %" PRIu32 " holds %" PRIu32
                       " handles already, with those that have ended and were not closed: close some, or raise "
                       "HandlesPerUser= in identityd.conf.",
                       (uint32_t) caller->party, lending->limits.per_user);
}

static int refuse(const Lending *lending, QuotaAnswer answer, const HandleRecord *record, Failure *ret_failure) {
    uint32_t wanted = device_config(lending->device)->handles;

    switch (answer) {
    case QUOTA_OF_USER:
        return refuse_by_user(lending, &record->caller, ret_failure);
    case QUOTA_OF_RULE:
        return failure_set(ret_failure, -EDQUOT, FAILURE_LIMITS_EXCEEDED,
                           "Those whom %s admits hold %" PRIu32
                           " handles already: close some, or raise HandlesPerRule= in identityd.conf.",
                           record->rule, lending->limits.per_rule);
    case QUOTA_KEPT:
        return failure_set(ret_failure, -EUSERS, FAILURE_LIMITS_EXCEEDED,
                           "What is left of the %" PRIu32 " handles is kept for other identities than %s, %" PRIu32
                           " of each: close some, or raise Handles= in identityd.conf.",
                           lending->limits.total, record->identity, lending->limits.reserve);
    default:
        return failure_set(ret_failure, -EUSERS, FAILURE_LIMITS_EXCEEDED,
                           "All %" PRIu32 " handles are in use: raise Handles= in identityd.conf%s.",
                           lending->limits.total,
                           lending->limits.total < wanted ? " and LimitNOFILE= of identityd.service" : "");
    }
}

static int take_quota(Lending *lending, const HandleRecord *record, Failure *ret_failure) {
    const QuotaClaim claim = claim_of(record);
    int r = quota_take(lending->quota, &claim);

    if (r > QUOTA_TAKEN && excuse_closed(lending))
        r = quota_take(lending->quota, &claim);
    if (r == QUOTA_TAKEN)
        return 0;
    if (r < 0)
        return failure_errno(ret_failure, r, "Opening a credential handle");
    r = refuse(lending, (QuotaAnswer) r, record, ret_failure);
    if (access_log_admits_limit(lending->log, record->caller.party))
        log_entry(LOG_NOTICE, MESSAGE_LIMIT, record->identity, "A handle for uid %" PRIu32 " is refused: %s",
                  (uint32_t) record->caller.uid, ret_failure->text);
    return r;
}

bool handles_admit_units(const Identity *identity, Purpose purpose) {
    const IdentityConfig *config = identity_config(identity);
    const AccessRules *rules = config ? &config->access[purpose] : NULL;

    for (size_t i = 0; rules && i < rules->count; i++)
        if (rules->rules[i].kind == ACCESS_RULE_UNIT)
            return true;
    return false;
}

static int handle_record_new(const Lending *lending, const HandleRequest *request, const AccessDecision *decision,
                             HandleRecord **ret) {
    _cleanup_(handle_record_free_p) HandleRecord *record = calloc(1, sizeof *record);

    if (!record)
        return -ENOMEM;
    record->caller = CALLER_INIT;
    record->id = device_next_id(lending->device);
    record->purpose = request->purpose;
    strcpy(record->identity, identity_name(request->identity));
    record->rule = strdup(decision->reason);
    if (!record->rule)
        return -ENOMEM;
    int r = caller_copy(request->caller, &record->caller);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(record);
    return 0;
}

static AccessQuestion question_of(const HandleRequest *request) {
    return (AccessQuestion) { request->identity, request->purpose, request->caller, true };
}

static int check_request(Lending *lending, const HandleRequest *request, AccessDecision *ret, Failure *ret_failure) {
    const AccessQuestion question = question_of(request);
    int r = decision_make(lending, &question, ret, ret_failure);

    if (r >= 0)
        r = identity_require_ready(request->identity, ret_failure);
    if (r < 0)
        return r;
    if (ret->by_unit && (request->caller->pid <= 0 || request->caller->pidfd < 0))
        return failure_set(ret_failure, -EACCES, FAILURE_ACCESS_DENIED,
                           "%s is lent to a unit, and which process asks could not be established.",
                           identity_name(request->identity));
    return 0;
}

/* The holder's end, or -errno; the quota has been taken, and is not given back here. */
static int open_pair(Lending *lending, const HandleRequest *request, const HandleRecord *record, bool by_unit) {
    _cleanup_close_ int holder = -1;
    int sockets[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets) < 0)
        return -errno;
    holder = sockets[1];
    int r = watch_end(lending, sockets[0], record->id);
    if (r < 0) {
        close_safe(sockets[0]);
        return r;
    }
    const SigningHandle handle = {
        .id = record->id,
        .identity = identity_name(request->identity),
        .purpose = request->purpose,
        .socket = sockets[0],
        .first_sender = by_unit ? request->caller->pid : 0,
        .first_sender_pidfd = by_unit ? TAKE_FD(request->caller->pidfd) : -1,
        .uid = request->caller->party,
    };
    r = signing_open_handle(device_signing(lending->device), &handle);
    return r < 0 ? r : TAKE_FD(holder);
}

int handles_open(Lending *lending, const HandleRequest *request, int *ret_fd, Failure *ret_failure) {
    _cleanup_(handle_record_free_p) HandleRecord *record = NULL;
    AccessDecision decision;

    int r = check_request(lending, request, &decision, ret_failure);
    if (r < 0)
        return r;
    r = handle_record_new(lending, request, &decision, &record);
    if (r < 0)
        return failure_errno(ret_failure, r, "Opening a credential handle");
    r = take_quota(lending, record, ret_failure);
    if (r < 0)
        return r;
    int fd = open_pair(lending, request, record, decision.by_unit);
    if (fd < 0) {
        const QuotaClaim claim = claim_of(record);
        quota_give(lending->quota, &claim, false);
        return failure_errno(ret_failure, fd, "Opening a credential handle");
    }
    const AccessQuestion question = question_of(request);
    decision_log(lending, &question, &decision);
    record->next = lending->handles;
    lending->handles = TAKE_PTR(record);
    *ret_fd = fd;
    return 0;
}

/* What could not be found out takes nothing away that was given when it could. */
static bool is_admitted(const Identity *identity, const HandleRecord *record) {
    const IdentityConfig *config = identity_config(identity);
    AccessDecision decision = { .admitted = false };

    if (config)
        access_decide(&config->access[record->purpose], record->purpose, &record->caller, true, &access_names_system,
                      &decision);
    return decision.admitted || decision.lookup_failed;
}

void handles_recheck(Lending *lending, const Identity *identity) {
    for (HandleRecord *record = lending->handles; record; record = record->next) {
        if (strcmp(record->identity, identity_name(identity)) != 0 || is_admitted(identity, record))
            continue;
        if (access_log_admits(lending->log, false, record->caller.party))
            log_entry(LOG_NOTICE, MESSAGE_ACCESS_DENIED, identity_name(identity),
                      "The handle of uid %" PRIu32 " for %s is closed: its configuration admits it no more.",
                      (uint32_t) record->caller.uid, purpose_to_string(record->purpose));
        (void) signing_close_handle(device_signing(lending->device), record->id);
    }
}
