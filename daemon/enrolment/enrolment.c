/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Collects the facts, asks the rules, begins what they say, and notes how it ended. */
#include "enrolment/enrolment.h"

#include "device/log.h"
#include "enrolment/commit.h"
#include "enrolment/request-names.h"

#include <gnutls/crypto.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#define USEC_PER_SECOND 1000000ULL
#define AWAKE_STEP      60 /* seconds by which the clock is set before it counts */

typedef struct Enrolment {
    Attempt *attempt;      /* what runs */
    Operation *operations; /* who waits for it */
    PlanPending pending;   /* what is under pending/ beside the key of an attempt */
    int64_t pending_begins;
    bool pending_same_key;
    int64_t due;   /* when what the attempt replaces was to be renewed; 0: there is nothing */
    int64_t awake; /* since then nothing has kept us from coming in time; 0: not known */
    int64_t awake_boottime;
    bool waits_for_authenticator;
    bool boot_renewal;
    EnrolmentCounters counters;
} Enrolment;

static Enrolment *part_of(const Identity *identity) {
    return identity_part(identity, &enrolment_duty);
}

/* ---- facts ---- */

static bool is_possible(const Identity *identity) {
    const IdentityConfig *config = identity_config(identity);

    return config && identity_store(identity) && config->protocol == PROTOCOL_EST && !part_of(identity)->attempt &&
           tpm_watch_is_ready(device_tpm(identity_context(identity)->device));
}

/* The times are of the present generation, and `life` is where they are read from. */
static void collect(const Identity *identity, ScheduleLife *life, PlanFacts *ret) {
    const IdentityConfig *config = identity_config(identity);
    const Enrolment *enrolment = part_of(identity);

    *ret = (PlanFacts) {
        .now = identity_now(identity),
        .state = identity_state(identity),
        .is_possible = is_possible(identity),
        .hold = identity_revocation(identity).hold,
        .boot_renewal = enrolment->boot_renewal,
        .pending = enrolment->pending,
        .pending_begins = enrolment->pending_begins,
        .pending_same_key = enrolment->pending_same_key,
        .awake = enrolment->awake,
        .attempts = *identity_attempts(identity),
    };
    if (!config)
        return;
    ret->enrols_if_revoked = config->after_revocation == AFTER_REVOCATION_ENROLL;
    ret->rotates_key = config->rotate_key;
    ret->has_enrolment_means = authenticate_is_set(&config->authenticate);
    ret->is_renewed_by_others = identity_config_is_renewed_by_others(config);
    if (!identity_life(identity, life))
        return;
    const ScheduleSettings settings = { config->renew_at_permille, config->renew_before, config->jitter_permille };
    uint64_t share = identity_share(identity);
    ret->life = life;
    ret->share = share;
    ret->jitter_permille = config->jitter_permille;
    ret->renewal = schedule_renewal(life, &settings, share);
    ret->chain_end_delay = schedule_chain_end_delay(share);
}

void enrolment_plan(const Identity *identity, Plan *ret) {
    ScheduleLife life;
    PlanFacts facts;

    collect(identity, &life, &facts);
    plan_next(&facts, ret);
}

Instant enrolment_when(const Identity *identity) {
    Plan plan;

    enrolment_plan(identity, &plan);
    return plan.from;
}

Instant enrolment_renewal_when(const Identity *identity) {
    const IdentityConfig *config = identity_config(identity);
    ScheduleLife life;
    PlanFacts facts;

    if (!config || config->protocol != PROTOCOL_EST || identity_state(identity) != STATE_READY)
        return instant_never();
    collect(identity, &life, &facts);
    return plan_renewal(&facts);
}

bool enrolment_gets_ready(const Identity *identity) {
    const IdentityConfig *config = identity_config(identity);
    ScheduleLife life;
    PlanFacts facts;

    if (part_of(identity)->attempt)
        return true;
    collect(identity, &life, &facts);
    facts.is_possible = config && config->protocol == PROTOCOL_EST;
    return plan_gets_ready(&facts, identity_is_replaced(identity));
}

EnrolmentCounters enrolment_counters(const Identity *identity) {
    return part_of(identity)->counters;
}

const Attempt *enrolment_attempt(const Identity *identity) {
    return part_of(identity)->attempt;
}

/* What is being done while no attempt runs: it waits for the next one after a failure, a 202 (also of before the start)
 * or a certificate that begins later, if one comes by itself; else it is idle. */
static void settle_activity(Identity *identity) {
    const Enrolment *enrolment = part_of(identity);
    const IdentityConfig *config = identity_config(identity);
    bool holds_up = enrolment->pending != PENDING_NOTHING || identity_attempts(identity)->next.kind == INSTANT_AT;

    if (enrolment->attempt || !config || config->protocol != PROTOCOL_EST) {
        if (!enrolment->attempt && identity_activity(identity) == ACTIVITY_WAITING)
            identity_set_activity(identity, ACTIVITY_IDLE);
        return;
    }
    identity_set_activity(identity, holds_up && enrolment_when(identity).kind != INSTANT_NEVER ? ACTIVITY_WAITING
                                                                                               : ACTIVITY_IDLE);
}

/* ---- the end of an attempt ---- */

static uint32_t random_bits(void) {
    uint32_t value = 0;

    (void) gnutls_rnd(GNUTLS_RND_NONCE, &value, sizeof value);
    return value;
}

static void note_outcome(Identity *identity, const AttemptEnd *end) {
    Attempts attempts = *identity_attempts(identity);
    ScheduleLife life;
    const AttemptOutcome outcome = {
        .now = identity_now(identity),
        .life = identity_life(identity, &life) ? &life : NULL,
        .told = end->told,
        .is_put_off = end->result == ATTEMPT_PUT_OFF,
        .wasted_lifetime = end->wasted_lifetime,
        .random = random_bits(),
    };

    attempts_failed(&attempts, &outcome);
    identity_set_attempts(identity, &attempts);
}

/* "in 30 s", or that nothing comes by itself. */
static void describe_next(const Identity *identity, char *ret, size_t size) {
    Instant when = enrolment_when(identity);
    int64_t now = identity_now(identity);

    if (when.kind == INSTANT_NEVER)
        (void) snprintf(ret, size, "none by itself");
    else
        (void) snprintf(ret, size, "in %" PRId64 " s", instant_is_due(when, now) ? 0 : when.seconds - now);
}

static void tell_failure(Identity *identity, const AttemptEnd *end, bool was_renewal) {
    char when[64];

    describe_next(identity, when, sizeof when);
    log_entry(LOG_WARNING, MESSAGE_ATTEMPT_FAILED, identity_name(identity),
              "%s attempt %" PRIu32 " failed (%s live; the next attempt is %s): %s",
              was_renewal ? "Renewal" : "Enrolment", identity_attempts(identity)->failures,
              identity_state(identity) == STATE_READY ? "the present certificate stays" : "nothing is", when,
              end->failure.text);
}

static void note_put_off(Identity *identity, const Attempt *attempt) {
    Enrolment *enrolment = part_of(identity);
    char text[160], when[64];

    enrolment->pending = attempt_is_reenrolment(attempt) ? PENDING_RENEWAL : PENDING_ENROLMENT;
    enrolment->pending_same_key = attempt_keeps_key(attempt);
    describe_next(identity, when, sizeof when);
    (void) snprintf(text, sizeof text, "The CA has taken the request (HTTP 202); it is asked for again %s.", when);
    identity_set_error(identity, text);
    log_entry(LOG_INFO, MESSAGE_PENDING, identity_name(identity), "%s", text);
}

static void note_early(Identity *identity, const Attempt *attempt, int64_t begins) {
    Enrolment *enrolment = part_of(identity);
    char text[256], when[CERTIFICATE_TIME_MAX];

    enrolment->pending = PENDING_ISSUED;
    enrolment->pending_begins = begins;
    if (attempt)
        enrolment->pending_same_key = attempt_keeps_key(attempt);
    (void) snprintf(text, sizeof text, "A certificate came that begins at %s; it takes effect then.",
                    certificate_time(begins, when));
    identity_set_error(identity, text);
    log_entry(LOG_NOTICE, MESSAGE_PENDING, identity_name(identity), "%s", text);
}

static void note_failed(Identity *identity, const Attempt *attempt, const AttemptEnd *end) {
    Enrolment *enrolment = part_of(identity);

    enrolment->counters.failed++;
    enrolment->waits_for_authenticator = end->waits_for_authenticator;
    if (end->permanent)
        enrolment->boot_renewal = false; /* the CA has answered */
    else if (attempt && attempt_is_resumed(attempt) && end->failure.kind != FAILURE_CERTIFICATE_REJECTED)
        enrolment->pending = attempt_is_reenrolment(attempt) ? PENDING_RENEWAL : PENDING_ENROLMENT;
    note_outcome(identity, end);
    identity_set_error(identity, end->failure.text);
}

/* How late it came says how the next one is reckoned (rules/schedule). */
static void note_done(Identity *identity) {
    Enrolment *enrolment = part_of(identity);
    Attempts attempts = *identity_attempts(identity);

    enrolment->boot_renewal = false;
    attempts_succeeded(&attempts, attempts.last_success, enrolment->due);
    identity_set_attempts(identity, &attempts);
}

/* `attempt` NULL: it did not even begin. */
static void finish(Identity *identity, Attempt *attempt, bool was_renewal, const AttemptEnd *end) {
    Enrolment *enrolment = part_of(identity);
    Operation *operations = TAKE_PTR(enrolment->operations);

    enrolment->attempt = NULL;
    if (end->result == ATTEMPT_FAILED)
        note_failed(identity, attempt, end);
    else if (end->result == ATTEMPT_PUT_OFF) {
        note_outcome(identity, end);
        note_put_off(identity, attempt);
    } else if (end->result == ATTEMPT_EARLY)
        note_early(identity, attempt, end->begins);
    else
        note_done(identity);
    attempt_free(attempt);
    (void) identity_save(identity);
    settle_activity(identity);
    identity_note(identity, CHANGED_PROPERTIES);
    if (end->result == ATTEMPT_FAILED)
        tell_failure(identity, end, was_renewal);
    operation_finish(operations, end->result == ATTEMPT_FAILED ? &end->failure : NULL,
                     bytes_view_string(end->result == ATTEMPT_DONE ? "done" : "pending"));
    (void) malloc_trim(0); /* chains were parsed: much more than what stays, and the next time is months away */
}

static void on_ended(Attempt *attempt, const AttemptEnd *end, void *userdata) {
    finish(userdata, attempt, attempt_start(attempt)->means == MEANS_ITSELF, end);
}

/* ---- beginning ---- */

void enrolment_begin(Identity *identity, const Plan *how, Operation *operation) {
    Enrolment *enrolment = part_of(identity);
    const AttemptStart start = { how->means, how->present_names, how->new_key, how->drop_pending, on_ended, identity };
    bool is_renewing = identity_generation(identity) > 0 && identity_state(identity) == STATE_READY;
    char digest[SETTINGS_DIGEST_SIZE];
    AttemptEnd end;

    if (operation)
        operation_join(&enrolment->operations, operation);
    enrolment->pending = PENDING_NOTHING;
    enrolment->counters.attempts++;
    enrolment->due = instant_to_seconds(enrolment_renewal_when(identity), 0);
    identity_settings_digest(identity, digest);
    identity_set_settings(identity, digest);
    identity_set_activity(identity, is_renewing ? ACTIVITY_RENEWING : ACTIVITY_ENROLLING);
    if (attempt_begin(identity, &start, &enrolment->attempt, &end) < 0)
        finish(identity, NULL, how->means == MEANS_ITSELF, &end);
}

void enrolment_join(Identity *identity, Operation *operation) {
    operation_join(&part_of(identity)->operations, operation);
}

/* The certificate that was kept since it came before its beginning. */
static void install_pending(Identity *identity) {
    _cleanup_(stored_pending_clear) StoredPending pending = { 0 };
    _cleanup_certificates_ CertificateList issued = { 0 };
    AttemptEnd end = { .result = ATTEMPT_DONE };
    int64_t begins = 0;

    part_of(identity)->pending = PENDING_NOTHING;
    int r = store_pending_load(identity_store(identity), &pending, &end.failure);
    if (r >= 0)
        r = certificate_list_from_pem(bytes_view(&pending.issued), CHAIN_MAX + BUNDLE_MAX, &issued, &end.failure);
    const CommitInput input = { .issued = &issued, .pending = &pending, .is_renewal = pending.reenroll };
    if (r >= 0)
        r = commit(identity, &input, &begins, &end.failure);
    if (r == COMMIT_EARLY) { /* the clock went back */
        end.result = ATTEMPT_EARLY;
        end.begins = begins;
    } else if (r < 0) {
        (void) store_pending_drop(identity_store(identity), NULL);
        end.result = ATTEMPT_FAILED;
    }
    finish(identity, NULL, true, &end);
}

static void enrolment_due(Identity *identity) {
    Plan plan;

    enrolment_plan(identity, &plan);
    if (plan.step == PLAN_NOTHING)
        return;
    log_entry(LOG_DEBUG, NULL, identity_name(identity), "It begins by itself: %s.", plan.why);
    if (plan.step == PLAN_INSTALL)
        install_pending(identity);
    else
        enrolment_begin(identity, &plan, NULL);
}

/* ---- what happens meanwhile ---- */

static void drop_pending(Identity *identity) {
    Enrolment *enrolment = part_of(identity);

    (void) store_pending_drop(identity_store(identity), NULL);
    enrolment->pending = PENDING_NOTHING;
}

static void enrolment_stop(Identity *identity, const Failure *why) {
    Enrolment *enrolment = part_of(identity);

    enrolment->attempt = attempt_free(enrolment->attempt);
    operation_finish(TAKE_PTR(enrolment->operations), why, (BytesView) { NULL, 0 });
    if (why->kind == FAILURE_RETIRED)
        enrolment->pending = PENDING_NOTHING; /* its files go with the key */
}

bool enrolment_give_way(Identity *identity) {
    const Enrolment *enrolment = part_of(identity);
    Failure why = FAILURE_INIT;

    if (enrolment->operations)
        return false;
    (void) failure_set(&why, -ECANCELED, FAILURE_BUSY, "%s was asked for something else.", identity_name(identity));
    enrolment_stop(identity, &why);
    return true;
}

/* A renewal that is under way must not lead out of `revoked`: it may keep the key. */
static void leave_renewal(Identity *identity) {
    Enrolment *enrolment = part_of(identity);
    const Attempt *attempt = enrolment->attempt;
    Failure why = FAILURE_INIT;

    if (attempt && (attempt_start(attempt)->present_names || attempt_keeps_key(attempt))) {
        (void) failure_set(&why, -ECANCELED, FAILURE_REVOKED, "%s was revoked by the CA while it was renewed.",
                           identity_name(identity));
        enrolment_stop(identity, &why);
        drop_pending(identity);
    }
    if (enrolment->pending == PENDING_RENEWAL || enrolment->pending == PENDING_ISSUED)
        drop_pending(identity);
    identity_forget_attempts(identity);
}

/* The clock was wrong, and nothing has expired: ends what was begun for that, and forgets how it went. */
static void leave_expiry(Identity *identity) {
    Enrolment *enrolment = part_of(identity);
    Failure why = FAILURE_INIT;

    if (enrolment->attempt && (attempt_start(enrolment->attempt)->means == MEANS_ITSELF || enrolment->operations))
        return; /* somebody asked for it */
    (void) failure_set(&why, -ECANCELED, FAILURE_NOT_READY, "%s has not expired after all.", identity_name(identity));
    enrolment_stop(identity, &why);
    identity_forget_attempts(identity);
    identity_set_error(identity, NULL);
    (void) identity_save(identity);
}

/* Law 7. What is kept of attempts under other settings says nothing of the next one. */
static void compare_settings(Identity *identity) {
    char digest[SETTINGS_DIGEST_SIZE];

    if (!identity_config(identity) || !identity_store(identity))
        return;
    identity_settings_digest(identity, digest);
    if (digest[0] == '\0' || strcmp(identity_settings(identity), digest) == 0)
        return;
    if (identity_settings(identity)[0] != '\0' && identity_attempts(identity)->failures > 0) {
        log_entry(LOG_INFO, MESSAGE_CONFIGURATION, identity_name(identity),
                  "[Enrollment] or [Renewal] was changed: earlier failures count no more.");
        identity_forget_attempts(identity);
        identity_set_error(identity, NULL);
    }
    identity_set_settings(identity, digest);
    (void) identity_save(identity);
}

/* What was to be certified is no longer what is wanted; a renewal copies the names that it has. */
static void give_up_request(Identity *identity) {
    Enrolment *enrolment = part_of(identity);

    if (enrolment->attempt || enrolment->pending != PENDING_ENROLMENT)
        return;
    log_entry(LOG_NOTICE, MESSAGE_CONFIGURATION, identity_name(identity),
              "The request that the CA has taken is given up: the configuration asks for something else now.");
    drop_pending(identity);
    identity_forget_attempts(identity);
}

/* The configuration may have been changed while identityd did not run. What names it gives is known once the TPM, and
 * so the device ID, is. */
static void compare_names(Identity *identity) {
    const Enrolment *enrolment = part_of(identity);
    _cleanup_(stored_pending_clear) StoredPending pending = { 0 };

    if (enrolment->attempt || enrolment->pending != PENDING_ENROLMENT || !identity_config(identity) ||
        !tpm_watch_is_ready(device_tpm(identity_context(identity)->device)))
        return;
    if (store_pending_load(identity_store(identity), &pending, NULL) >= 0 && !pending.present_names &&
        request_has_configured_names(identity, bytes_view(&pending.request), NULL) == 0)
        give_up_request(identity);
}

/* After a start: what the CA has taken is asked for again, and a certificate that came early still waits. */
static void look_at_pending(Identity *identity) {
    Enrolment *enrolment = part_of(identity);
    _cleanup_(stored_pending_clear) StoredPending pending = { 0 };
    _cleanup_certificates_ CertificateList issued = { 0 };

    if (enrolment->attempt || enrolment->pending != PENDING_NOTHING ||
        store_pending_load(identity_store(identity), &pending, NULL) < 0 || pending.manual || pending.request.size == 0)
        return;
    if (certificate_list_from_pem(bytes_view(&pending.issued), CHAIN_MAX + BUNDLE_MAX, &issued, NULL) >= 0) {
        enrolment->pending = PENDING_ISSUED;
        enrolment->pending_begins = issued.list[0]->not_before;
    } else if (identity_attempts(identity)->next.kind == INSTANT_AT)
        enrolment->pending = pending.reenroll ? PENDING_RENEWAL : PENDING_ENROLMENT;
    enrolment->pending_same_key = pending.same_key;
}

/* What is planned further away than it would ever be was planned while the clock was elsewhere, and so was what failed.
 */
static void forget_another_time(Identity *identity) {
    ScheduleLife life;
    bool has_life = identity_life(identity, &life);

    if (part_of(identity)->attempt ||
        !attempts_are_of_another_time(identity_attempts(identity), has_life ? &life : NULL, identity_now(identity)))
        return;
    identity_forget_attempts(identity);
    identity_set_error(identity, NULL);
    (void) identity_save(identity);
}

static void hear_configuration(Identity *identity, unsigned changes) {
    if (!identity_config(identity))
        return;
    if (changes & CHANGED_REQUEST)
        give_up_request(identity);
    compare_settings(identity);
}

static void enrolment_hear(Identity *identity, unsigned changes) {
    IdentityState state = identity_state(identity);

    if (part_of(identity)->awake == 0)
        enrolment_note_awake(identity);
    if (changes & CHANGED_CONFIGURATION)
        hear_configuration(identity, changes);
    if ((changes & CHANGED_GENERATION) && identity_store(identity))
        look_at_pending(identity);
    if (changes & (CHANGED_GENERATION | CHANGED_TPM))
        compare_names(identity);
    if ((changes & CHANGED_STATE) && state == STATE_REVOKED)
        leave_renewal(identity);
    if (changes & CHANGED_UNEXPIRED)
        leave_expiry(identity);
    /* Law 8: the attempt at the end does not wait for what was planned before it. */
    else if (changes & (CHANGED_EXPIRED | CHANGED_CHAIN_ENDED))
        identity_forget_attempts(identity);
    if ((changes & CHANGED_STATE) && identity_store(identity))
        forget_another_time(identity);
    settle_activity(identity);
}

void enrolment_authenticator_ready(Identity *identity, const char *name) {
    const IdentityConfig *config = identity_config(identity);
    Enrolment *enrolment = part_of(identity);

    if (!config || !enrolment->waits_for_authenticator)
        return;
    const char *first = config->authenticate.identity, *renewal = config->renewal_authenticate.identity;
    if ((first && strcmp(first, name) == 0) || (renewal && strcmp(renewal, name) == 0)) {
        enrolment->waits_for_authenticator = false;
        Attempts attempts = *identity_attempts(identity);
        attempts.next = instant_never();
        identity_set_attempts(identity, &attempts);
    }
}

/* A clock that is stepped a little has kept nobody from coming in time. Were that an awakening, then one that is put
 * right each minute would put off for ever what was late already. */
void enrolment_note_awake(Identity *identity) {
    Enrolment *enrolment = part_of(identity);
    int64_t now = identity_now(identity), boottime = (int64_t) (boottime_usec() / USEC_PER_SECOND);
    int64_t step = (now - enrolment->awake) - (boottime - enrolment->awake_boottime);

    if (enrolment->awake != 0 && step < AWAKE_STEP && step > -AWAKE_STEP)
        return;
    enrolment->awake = now;
    enrolment->awake_boottime = boottime;
}

void enrolment_plan_boot_renewal(Identity *identity) {
    part_of(identity)->boot_renewal = identity_generation(identity) > 0;
}

static void enrolment_clear(void *part) {
    Enrolment *enrolment = part;

    attempt_free(enrolment->attempt);
}

const Duty enrolment_duty = {
    .name = "enrolment",
    .part_size = sizeof(Enrolment),
    .clear = enrolment_clear,
    .when = enrolment_when,
    .begin = enrolment_due,
    .stop = enrolment_stop,
    .hear = enrolment_hear,
};
