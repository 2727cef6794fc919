/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Is our own chain still good? CRLs and OCSP answers are fetched one after another by the enroller's second role,
 * verified here again, and judged. What cannot be fetched or does not verify is a warning and never a revocation. */
#include "manager/internal.h"

#include "common/handle-protocol.h"

#include <gnutls/crypto.h>
#include <string.h>

#define CHECK_TASKS_MAX 16U
#define CHECK_RETRY_MIN 60 /* seconds */
#define CHECK_AT_ONCE   1
#define CRL_ID_SIZE     65U

typedef struct CheckTask {
    size_t position; /* in the chain */
    bool ocsp, any;  /* any: of a configured URL, about whichever certificate */
    char **urls;     /* NULL-terminated, tried in turn */
    char id[CRL_ID_SIZE];
} CheckTask;

/* What all statements together say of a hold. One ends only by a statement about the leaf that is newer than the one
 * that began it (FACTS), while nothing else says that it lasts: not by an older CRL, and not by what says that the
 * intermediate is good. */
typedef struct Findings {
    bool held;         /* something says that a certificate of the chain is on hold */
    bool unanswered;   /* an issuer's certificate was asked about and nobody answered */
    int64_t leaf_good; /* thisUpdate of the newest statement that the leaf is good; 0: none */
} Findings;

struct RevocationCheck {
    Identity *identity;
    uint32_t generation;
    CheckTask tasks[CHECK_TASKS_MAX];
    size_t count, next;
    Job *job;
    bool failed, is_cut;
    Findings findings;
    int64_t renew_by; /* earliest nextUpdate of what came, 0: none */
};

static RevocationCheck *check_free(RevocationCheck *check) {
    if (!check)
        return NULL;
    for (size_t i = 0; i < check->count; i++)
        strings_free(check->tasks[i].urls);
    job_free(check->job);
    free(check);
    return NULL;
}

RevocationCheck *revocation_abort(RevocationCheck *check) {
    return check_free(check);
}

static bool is_configured(const Identity *identity) {
    return identity->config && (identity->config->check_crl || identity->config->check_ocsp);
}

/* The issuer of a certificate of the chain: the next one, or the anchor whose name and key fit. */
static const Certificate *issuer_of(const Identity *identity, size_t position) {
    const Certificate *certificate = identity->chain.list[position];

    if (position + 1U < identity->chain.count)
        return identity->chain.list[position + 1U];
    for (size_t i = 0; i < identity->anchors.count; i++) {
        const Certificate *anchor = identity->anchors.list[i];
        if (bytes_view_equal(bytes_view(&anchor->subject_raw), bytes_view(&certificate->issuer_raw)) &&
            gnutls_x509_crt_check_issuer(certificate->crt, anchor->crt))
            return anchor;
    }
    return NULL;
}

/* The time to judge a signed statement by that was made at `made`. With a clock that is behind it is later than that:
 * or no device that never learns the time would ever hear of its revocation. */
static int64_t statement_time(const Identity *identity, const Certificate *certificate, int64_t made) {
    int64_t now = manager_verification_time(identity->manager, certificate);

    return identity->manager->clock.below_floor && made > now ? made : now;
}

/* What was signed is past. A CA whose clock is ahead is not followed there, unless ours is known to be behind. */
static void learn_from(const Identity *identity, int64_t made) {
    int64_t now = manager_now(identity->manager);

    clock_learn(identity->manager, identity->manager->clock.below_floor || made < now ? made : now);
}

/* ---- judging ---- */

/* A statement: of the kind `verdict`, made at `made`; `when` the certificate was revoked. */
typedef struct Statement {
    const Certificate *certificate;
    RevocationVerdict verdict;
    int64_t made, when;
    const char *by;
} Statement;

static void judge(Identity *identity, const Statement *statement, Findings *findings) {
    StoredState *stored = &identity->stored;

    if (statement->verdict == REVOCATION_GOOD && statement->certificate == identity_leaf(identity) &&
        statement->made > findings->leaf_good)
        findings->leaf_good = statement->made;
    findings->held |= statement->verdict == REVOCATION_HOLD;
    if (statement->verdict == REVOCATION_REVOKED && !stored->revoked) {
        stored->revoked = true;
        stored->hold = false;
        stored->revoked_at = statement->when;
        stored->failures = 0;
        stored->next_attempt = 0;
        char text[400];
        snprintf(text, sizeof text,
                 "The CA has revoked %s (serial number %s), says its %s; `idctl enroll --new-key %s` makes a new "
                 "identity if the CA permits.",
                 statement->certificate->subject, statement->certificate->serial, statement->by, identity->name);
        identity_set_error(identity, text);
        (void) identity_save_state(identity);
    } else if (statement->verdict == REVOCATION_HOLD && !stored->hold && !stored->revoked) {
        stored->hold = true;
        stored->revoked_at = statement->made;
        identity_set_error(
            identity,
            "The CA has put the certificate on hold (certificateHold); it signs again when the hold is lifted.");
        (void) identity_save_state(identity);
    }
}

static void lift_hold(Identity *identity, const Findings *findings) {
    if (!identity->stored.hold || findings->held || findings->unanswered ||
        findings->leaf_good <= identity->stored.revoked_at)
        return;
    identity->stored.hold = false;
    identity->stored.revoked_at = 0;
    identity_set_error(identity, NULL);
    (void) identity_save_state(identity);
}

static void judge_by_crl(Identity *identity, const Crl *crl, Findings *findings, bool *used) {
    int64_t now = manager_now(identity->manager), when = 0;

    for (size_t i = 0; i < identity->chain.count; i++) {
        const Certificate *certificate = identity->chain.list[i], *issuer = issuer_of(identity, i);
        if (!issuer ||
            crl_check(crl, certificate, issuer, statement_time(identity, certificate, crl->this_update), NULL) < 0)
            continue;
        *used = true;
        RevocationVerdict verdict = crl_verdict(crl, certificate, now, &when);
        judge(identity, &(Statement) { certificate, verdict, crl->this_update, when, "CRL" }, findings);
    }
}

static int append_pem(Bytes *pem, const Crl *crl) {
    gnutls_datum_t der = { crl->der.data, (unsigned) crl->der.size }, out = { NULL, 0 };

    if (gnutls_pem_base64_encode2("X509 CRL", &der, &out) < 0)
        return -ENOMEM;
    int r = pem->size + out.size > HANDLE_CRLS_MAX ? -E2BIG : bytes_append(pem, (BytesView) { out.data, out.size });
    gnutls_free(out.data);
    return r;
}

/* All stored CRLs against the present chain; those that speak for it are what programs get for their peers. */
static void judge_stored(Identity *identity, Findings *findings) {
    _cleanup_(strings_free_p) char **ids = NULL;
    _cleanup_bytes_ Bytes pem = BYTES_NULL;
    Failure failure = FAILURE_INIT;

    int r;

    if (identity->chain.count == 0 || store_crl_list(identity->store, &ids, &failure) < 0)
        return;
    for (char **id = ids; id && *id; id++) {
        _cleanup_bytes_ Bytes der = BYTES_NULL;
        _cleanup_(crl_free_p) Crl *crl = NULL;
        bool used = false;
        if (store_crl_load(identity->store, *id, &der, &failure) < 0 ||
            crl_parse(bytes_view(&der), &crl, &failure) < 0) {
            log_entry(LOG_WARNING, MESSAGE_STORAGE, identity->name, "A stored CRL is left out: %s", failure.text);
            continue;
        }
        judge_by_crl(identity, crl, findings, &used);
        if (!used)
            continue;
        learn_from(identity, crl->this_update);
        r = append_pem(&pem, crl);
        if (r == -E2BIG)
            log_entry(LOG_WARNING, MESSAGE_CHECK_FAILED, identity->name,
                      "The CRLs are more than %u MB: programs do not get that of %s for their peers.",
                      HANDLE_CRLS_MAX >> 20, (*id));
        else if (r < 0)
            return;
    }
    identity->crls_judged = true;
    lift_hold(identity, findings);
    if (!bytes_view_equal(bytes_view(&pem), bytes_view(&identity->crls_pem))) {
        bytes_clear(&identity->crls_pem);
        identity->crls_pem = pem;
        pem = BYTES_NULL;
        identity_publish(identity);
    }
}

void revocation_load(Identity *identity) {
    Findings findings = { 0 };

    if (!identity->store)
        return;
    if (!is_configured(identity)) { /* not any more, perhaps: then nobody keeps it up to date either */
        bytes_clear(&identity->crls_pem);
        bytes_clear(&identity->ocsp);
        return;
    }
    if (identity->crls_judged) /* each check does it anew */
        return;
    ocsp_seen_load(identity);
    judge_stored(identity, &findings);
}

/* ---- fetching ---- */

static void check_next(RevocationCheck *check);

static void check_warn(RevocationCheck *check, const CheckTask *task, const char *text) {
    check->failed = true;
    check->findings.unanswered |= task->ocsp && task->position > 0;
    check->identity->manager->checks_failed++;
    log_entry(LOG_WARNING, MESSAGE_CHECK_FAILED, check->identity->name,
              "Revocation of %s could not be checked by %s: %s", check->identity->chain.list[task->position]->subject,
              task->ocsp ? "OCSP" : "CRL", text);
}

/* The anchors may change (rollover, reload) while something is fetched. */
static int no_issuer(const Certificate *certificate, Failure *ret_failure) {
    return failure_set(ret_failure, -EKEYREJECTED, FAILURE_CERTIFICATE_REJECTED,
                       "the issuer of %s is no longer among the anchors.", certificate->subject);
}

static int check_crl_for(const Identity *identity, const Crl *crl, size_t position, Failure *ret_failure) {
    const Certificate *certificate = identity->chain.list[position], *issuer = issuer_of(identity, position);

    if (!issuer)
        return no_issuer(certificate, ret_failure);
    return crl_check(crl, certificate, issuer, statement_time(identity, certificate, crl->this_update), ret_failure);
}

/* That of a configured URL may be about any certificate of the chain. */
static int check_crl(const Identity *identity, const Crl *crl, const CheckTask *task, Failure *ret_failure) {
    int r = check_crl_for(identity, crl, task->position, ret_failure);

    for (size_t i = 0; r < 0 && task->any && i < identity->chain.count; i++)
        if (check_crl_for(identity, crl, i, NULL) >= 0)
            return 0;
    return r;
}

static int take_crl(RevocationCheck *check, const CheckTask *task, BytesView data, Failure *ret_failure) {
    Identity *identity = check->identity;
    _cleanup_(crl_free_p) Crl *fresh = NULL, *old = NULL;
    _cleanup_bytes_ Bytes old_der = BYTES_NULL;

    int r = crl_parse(data, &fresh, ret_failure);
    if (r >= 0)
        r = check_crl(identity, fresh, task, ret_failure);
    if (r < 0)
        return r;
    if (store_crl_load(identity->store, task->id, &old_der, NULL) >= 0 &&
        crl_parse(bytes_view(&old_der), &old, NULL) >= 0) {
        if (bytes_view_equal(bytes_view(&old->der), bytes_view(&fresh->der)))
            r = 1;
        else
            r = crl_supersedes(fresh, old, ret_failure);
    }
    if (r >= 0) { /* it counts though it cannot be kept: a full disk must not hide a revocation */
        bool used = false;
        judge_by_crl(identity, fresh, &check->findings, &used);
    }
    if (r == 0)
        r = store_crl_save(identity->store, task->id, bytes_view(&fresh->der), ret_failure);
    if (r >= 0 && fresh->next_update > 0 && (check->renew_by == 0 || fresh->next_update < check->renew_by))
        check->renew_by = fresh->next_update;
    return r < 0 ? r : 0;
}

static int take_ocsp(RevocationCheck *check, const CheckTask *task, BytesView data, Failure *ret_failure) {
    Identity *identity = check->identity;
    const Certificate *certificate = identity->chain.list[task->position],
                      *issuer = issuer_of(identity, task->position);
    RevocationVerdict verdict;
    int64_t this_update = 0, next_update = 0;

    if (!issuer)
        return no_issuer(certificate, ret_failure);
    int r = ocsp_made(data, certificate, issuer, &this_update, ret_failure);
    if (r >= 0)
        r = ocsp_check(data, certificate, issuer, statement_time(identity, certificate, this_update), &verdict,
                       &this_update, &next_update, ret_failure);
    if (r >= 0)
        r = ocsp_seen_take(identity, certificate, this_update, ret_failure);
    if (r < 0)
        return r;
    learn_from(identity, this_update);
    if (next_update > 0 && (check->renew_by == 0 || next_update < check->renew_by))
        check->renew_by = next_update;
    judge(identity, &(Statement) { certificate, verdict, this_update, this_update, "OCSP responder" },
          &check->findings);
    if (verdict == REVOCATION_GOOD && task->position == 0) {
        bytes_clear(&identity->ocsp);
        r = bytes_copy(data, &identity->ocsp);
        identity->ocsp_until = next_update > 0 ? next_update : this_update + OCSP_AGE_MAX;
        identity_publish(identity);
    }
    return r;
}

int64_t staple_when(const Identity *identity) {
    return identity->ocsp.size > 0 ? identity->ocsp_until + 1 : 0;
}

void staple_expired(Identity *identity) {
    bytes_clear(&identity->ocsp);
    identity_publish(identity);
}

/* A renewal in between: what was asked is about a chain that is no more, and so are the positions in it. Ends the
 * check. */
static bool check_is_outdated(RevocationCheck *check) {
    Identity *identity = check->identity;

    if (check->generation == identity->generation)
        return false;
    identity->next_check = 0;
    identity->check = check_free(check);
    return true;
}

static void check_task_done(RevocationCheck *check) {
    check->job = job_free(check->job);
    check->next++;
    check_next(check);
}

static void on_fetched(JobResult *result, void *userdata) {
    RevocationCheck *check = userdata;
    Identity *identity = check->identity;
    const CheckTask *task = &check->tasks[check->next];
    Failure failure = FAILURE_INIT;
    int r;

    if (check_is_outdated(check))
        return;
    if (!result->has_fetched)
        r = failure_set(&failure, -EPROTO, FAILURE_ENROLLMENT_FAILED, "nothing came.");
    else if (task->ocsp)
        r = take_ocsp(check, task, bytes_view(&result->fetched), &failure);
    else
        r = take_crl(check, task, bytes_view(&result->fetched), &failure);
    if (r < 0)
        check_warn(check, task, failure.text);
    /* At once: whoever can make the next fetch hang must not win time for the key. */
    else if (identity->stored.revoked || identity->stored.hold)
        identity_evaluate(identity);
    check_task_done(check);
}

static void on_fetch_failed(const Failure *failure, bool permanent, uint32_t retry_after, void *userdata) {
    RevocationCheck *check = userdata;

    if (check_is_outdated(check))
        return;
    check_warn(check, &check->tasks[check->next], failure->text);
    check_task_done(check);
}

/* The job's turn may come when the chain is another already; on_fetch_failed finds that too. */
static int on_turn(JobOrder *order, void *userdata, Failure *ret_failure) {
    const RevocationCheck *check = userdata;
    const CheckTask *task = &check->tasks[check->next];
    Identity *identity = check->identity;

    if (check->generation != identity->generation)
        return failure_set(ret_failure, -ESTALE, FAILURE_NOT_READY, "the certificate is another meanwhile.");
    if (task->ocsp) {
        const Certificate *certificate = identity->chain.list[task->position],
                          *issuer = issuer_of(identity, task->position);
        if (!issuer)
            return no_issuer(certificate, ret_failure);
        int r = ocsp_request(certificate, issuer, &order->ocsp_request);
        if (r < 0)
            return failure_errno(ret_failure, r, "Preparing a fetch");
    }
    order->request.kind = JOB_KIND_FETCH;
    order->request.servers = (const char *const *) task->urls;
    order->request.ocsp_request = bytes_view(&order->ocsp_request);
    return identity_job_prepare(identity, order, ret_failure);
}

static int check_start_task(RevocationCheck *check, Failure *ret_failure) {
    static const JobCallbacks callbacks = { .prepare = on_turn, .result = on_fetched, .failed = on_fetch_failed };

    return identity_job_start(check->identity, JOB_LINE_FETCH, &callbacks, check, &check->job, ret_failure);
}

/* CRLs that are no longer asked for: of an issuer or an address that the present chain does not name. They would be
 * kept, and judged by, for ever. */
static void forget_other_crls(const RevocationCheck *check) {
    _cleanup_(strings_free_p) char **ids = NULL;
    Failure failure = FAILURE_INIT;

    if (check->is_cut || store_crl_list(check->identity->store, &ids, &failure) < 0)
        return;
    for (char **id = ids; id && *id; id++) {
        bool is_asked_for = false;
        for (size_t i = 0; i < check->count; i++)
            is_asked_for |= !check->tasks[i].ocsp && strcmp(check->tasks[i].id, *id) == 0;
        if (!is_asked_for && store_crl_remove(check->identity->store, *id, &failure) < 0)
            log_entry(LOG_WARNING, MESSAGE_STORAGE, check->identity->name, "%s", failure.text);
    }
}

static void check_end(RevocationCheck *check) {
    Identity *identity = check->identity;
    int64_t now = manager_now(identity->manager), interval = (int64_t) identity->config->revocation_interval,
            next = now + interval;

    if (check->renew_by > now && now + (check->renew_by - now) * 9 / 10 < next)
        next = now + (check->renew_by - now) * 9 / 10;
    if (check->failed && interval > CHECK_RETRY_MIN)
        next = now + (interval / 10 > CHECK_RETRY_MIN ? interval / 10 : CHECK_RETRY_MIN);
    if (next <= now)
        next = now + 1;
    identity->next_check = next;
    forget_other_crls(check);
    Findings findings = check->findings;
    identity->check = check_free(check);
    judge_stored(identity, &findings);
    identity_evaluate(identity);
}

static void check_next(RevocationCheck *check) {
    if (check_is_outdated(check))
        return;
    while (check->next < check->count) {
        Failure failure = FAILURE_INIT;
        if (check_start_task(check, &failure) >= 0)
            return;
        check_warn(check, &check->tasks[check->next], failure.text);
        check->next++;
    }
    check_end(check);
}

/* ---- what to ask ---- */

static int crl_id(const Certificate *certificate, const char *url, char ret[static CRL_ID_SIZE]) {
    _cleanup_bytes_ Bytes both = BYTES_NULL;
    uint8_t digest[32];

    int r = bytes_append(&both, bytes_view(&certificate->issuer_raw));
    if (r >= 0)
        r = bytes_append(&both, bytes_view_string(url));
    if (r < 0)
        return r;
    if (gnutls_hash_fast(GNUTLS_DIG_SHA256, both.data, both.size, digest) < 0)
        return -EIO;
    _cleanup_free_ char *hex = bytes_to_hex((BytesView) { digest, sizeof digest });
    if (!hex)
        return -ENOMEM;
    strcpy(ret, hex);
    return 0;
}

/* What is more than can be asked is left out, and said. */
static bool has_room(RevocationCheck *check) {
    if (check->count < CHECK_TASKS_MAX)
        return true;
    if (!check->is_cut)
        log_entry(LOG_WARNING, MESSAGE_CHECK_FAILED, check->identity->name,
                  "More than %u CRLs and OCSP answers are to be fetched; the others are left out.", CHECK_TASKS_MAX);
    check->is_cut = true;
    return false;
}

static int add_crl(RevocationCheck *check, size_t position, bool any, char **urls /* taken */) {
    if (!has_room(check)) {
        strings_free(urls);
        return 0;
    }
    CheckTask *task = &check->tasks[check->count++];
    *task = (CheckTask) { .position = position, .any = any, .urls = urls };
    return crl_id(check->identity->chain.list[position], urls[0], task->id);
}

/* CRL= of the configuration, unless it is what the leaf names itself. */
static int add_configured_crl(RevocationCheck *check, const char *url) {
    for (size_t i = 0; i < check->count; i++)
        if (!check->tasks[i].ocsp && strcmp(check->tasks[i].urls[0], url) == 0)
            return 0;
    char **urls = calloc(2, sizeof *urls);
    if (urls)
        urls[0] = strdup(url);
    if (!urls || !urls[0]) {
        free(urls);
        return -ENOMEM;
    }
    return add_crl(check, 0, true, urls);
}

static int add_tasks(RevocationCheck *check, size_t position) {
    const Identity *identity = check->identity;
    const Certificate *certificate = identity->chain.list[position];
    _cleanup_(strings_free_p) char **urls = NULL;
    int r = 0;

    if (!issuer_of(identity, position))
        return 0;
    if (identity->config->check_crl) {
        r = certificate_crl_urls(certificate, &urls);
        if (r >= 0 && urls && urls[0])
            r = add_crl(check, position, false, TAKE_PTR(urls));
        for (char **url = identity->config->crl_urls; r >= 0 && position == 0 && url && *url; url++)
            r = add_configured_crl(check, *url);
    }
    if (r >= 0 && identity->config->check_ocsp) {
        char **responders = NULL;
        r = certificate_ocsp_urls(certificate, &responders);
        if (r >= 0 && responders && responders[0] && has_room(check))
            check->tasks[check->count++] = (CheckTask) { .position = position, .ocsp = true, .urls = responders };
        else
            strings_free(responders);
    }
    return r;
}

void revocation_due(Identity *identity) {
    RevocationCheck *check = calloc(1, sizeof *check);
    int r = check ? 0 : -ENOMEM;

    identity->next_check = manager_now(identity->manager) + CHECK_RETRY_MIN;
    if (check) {
        check->identity = identity;
        check->generation = identity->generation;
    }
    for (size_t i = 0; r >= 0 && i < identity->chain.count; i++)
        r = add_tasks(check, i);
    if (r < 0) {
        log_entry(LOG_WARNING, MESSAGE_CHECK_FAILED, identity->name, "Revocation could not be checked: %s.",
                  strerror(-r));
        check_free(check);
        return;
    }
    identity->check = check;
    check_next(check);
}

int64_t revocation_when(Identity *identity) {
    if (!is_configured(identity) || !identity->store || identity->chain.count == 0 || identity->check ||
        identity->malformed)
        return 0;
    if (identity->state != STATE_READY && !(identity->state == STATE_REVOKED && identity->stored.hold))
        return 0;
    /* A check that lies further away than its interval was planned while the clock was elsewhere. */
    if (identity->next_check == 0 || identity->next_check > manager_now(identity->manager) +
                                                                (int64_t) identity->config->revocation_interval +
                                                                CHECK_RETRY_MIN)
        return CHECK_AT_ONCE;
    return identity->next_check;
}
