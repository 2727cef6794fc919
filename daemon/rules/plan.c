/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The plan: one function a state, each reading like the sentence that it stands for. */
#include "rules/plan.h"

#include "rules/seconds.h"
#include "rules/successor.h"

/* Seconds between two enrolments by AfterRevocation=enroll, if a tenth of the lifetime is not less: where a CA goes on
 * issuing what it has revoked already (its intermediate, say), nobody is asked without end. */
#define AFTER_REVOCATION_GAP 900

bool plan_chain_has_ended(const PlanFacts *facts) {
    return facts->life && facts->life->chain_end < facts->now;
}

/* A success that lies in the future was noted while the clock was elsewhere. */
static bool knows_last_success(const PlanFacts *facts) {
    return facts->attempts.last_success > 0 && facts->attempts.last_success <= facts->now;
}

Instant plan_renewal(const PlanFacts *facts) {
    if (!facts->life)
        return instant_never();
    int64_t renewal = facts->renewal;
    if (knows_last_success(facts))
        renewal =
            seconds_most(renewal, schedule_earliest(facts->life, facts->attempts.last_success, facts->chain_end_delay));
    return instant_at(renewal);
}

static void plan_first(Plan *plan) {
    plan->step = PLAN_ENROL;
    plan->means = MEANS_ENROLMENT;
    plan->new_key = true;
    plan->from = instant_at_once();
    plan->why = "it has no certificate";
}

/* Past the end there are two ways out, and either may be the one that the CA takes: they alternate, and the one of law
 * 8 comes first, however many attempts have failed before the end. */
static bool is_turn_of_enrolment_means(const PlanFacts *facts) {
    return facts->has_enrolment_means && facts->attempts.failures_past_end % 2 == 0;
}

/* Law 8. A CA refuses a client certificate that has ended, so it does not authenticate any more. */
static void plan_expired(const PlanFacts *facts, Plan *plan) {
    plan->step = PLAN_FALL_BACK;
    plan->means = MEANS_ENROLMENT;
    if (facts->is_renewed_by_others && !is_turn_of_enrolment_means(facts))
        plan->means = MEANS_RENEWAL;
    plan->present_names = true;
    plan->new_key = true;
    plan->from = instant_at_once();
    plan->why = "its certificate has expired";
}

static void plan_revoked(const PlanFacts *facts, Plan *plan) {
    if (!facts->enrols_if_revoked || facts->hold)
        return;
    plan_first(plan);
    plan->why = "its certificate was revoked, and AfterRevocation=enroll";
    if (!facts->life || !knows_last_success(facts))
        return;
    int64_t tenth = schedule_lifetime(facts->life) / 10;
    plan->from = instant_at(seconds_add(facts->attempts.last_success, seconds_least(tenth, AFTER_REVOCATION_GAP)));
}

/* Where an intermediate has ended, the CA may refuse the certificate just as other peers do. */
static void plan_ready(const PlanFacts *facts, Plan *plan) {
    plan->step = PLAN_RENEW;
    plan->means = facts->is_renewed_by_others ? MEANS_RENEWAL : MEANS_ITSELF;
    plan->present_names = true;
    plan->new_key = facts->rotates_key;
    plan->from = facts->boot_renewal ? instant_at_once() : plan_renewal(facts);
    plan->why = facts->boot_renewal ? "the clock started behind what is certainly past" : "it is time";
    if (!plan_chain_has_ended(facts))
        return;
    plan->why = "its chain has ended";
    /* The key is the same in both ways, so that attempts that alternate do not make one each. */
    if (is_turn_of_enrolment_means(facts)) {
        plan->step = PLAN_FALL_BACK;
        plan->means = MEANS_ENROLMENT;
    }
}

/* Only a new key leads out of `revoked` and `retired`. */
static bool pending_key_serves(const PlanFacts *facts) {
    return !facts->pending_same_key || (facts->state != STATE_REVOKED && facts->state != STATE_RETIRED);
}

/* A request that the CA has taken is asked for again in every state: somebody may have begun it to lead out of
 * `revoked` or `retired`. A renewal is authenticated with the certificate that it renews, so it needs that; and past
 * the end of the chain the CA may refuse it for ever, so law 8 comes first. */
static bool resumes(const PlanFacts *facts) {
    if (facts->pending == PENDING_ENROLMENT)
        return pending_key_serves(facts);
    return facts->pending == PENDING_RENEWAL && facts->state == STATE_READY &&
           !(plan_chain_has_ended(facts) && facts->has_enrolment_means);
}

/* A certificate that came too early is worth its wait only while the present one works, or for a week: else the clock
 * was elsewhere when it was kept. */
static bool installs(const PlanFacts *facts, const ScheduleLife *live) {
    int64_t latest = seconds_add(facts->now, SUCCESSOR_WAIT_MAX);

    if (live && live->chain_end >= facts->now)
        latest = live->chain_end;
    return facts->pending == PENDING_ISSUED && pending_key_serves(facts) && facts->pending_begins <= latest;
}

/* A renewal by others goes to /simpleenroll, so it is kept as an enrolment: while the chain works it was theirs. */
static void plan_resume(const PlanFacts *facts, Plan *plan) {
    bool works = facts->state == STATE_READY && !plan_chain_has_ended(facts);
    bool by_others = facts->is_renewed_by_others && (works || !is_turn_of_enrolment_means(facts));

    plan->step = PLAN_RESUME;
    plan->means = by_others ? MEANS_RENEWAL : MEANS_ENROLMENT;
    if (facts->pending == PENDING_RENEWAL)
        plan->means = MEANS_ITSELF;
    plan->present_names = facts->pending == PENDING_RENEWAL || by_others;
    plan->new_key = !facts->pending_same_key;
    plan->from = instant_at_once();
    plan->why = "the CA has taken its request";
}

void plan_next(const PlanFacts *facts, Plan *ret) {
    Plan plan = { .step = PLAN_NOTHING, .from = instant_never(), .why = "nothing is to be done" };
    const ScheduleLife *live = facts->state == STATE_READY ? facts->life : NULL;

    if (!facts->is_possible || facts->state == STATE_UNAVAILABLE || facts->state == STATE_MISCONFIGURED) {
        *ret = plan;
        return;
    }
    if (installs(facts, live)) {
        plan.step = PLAN_INSTALL;
        plan.new_key = !facts->pending_same_key;
        plan.from = instant_at(facts->pending_begins);
        plan.why = "the certificate that came begins";
        *ret = plan;
        return;
    }
    if (resumes(facts))
        plan_resume(facts, &plan);
    else if (facts->state == STATE_EMPTY)
        plan_first(&plan);
    else if (facts->state == STATE_EXPIRED)
        plan_expired(facts, &plan);
    else if (facts->state == STATE_REVOKED)
        plan_revoked(facts, &plan);
    else if (facts->state == STATE_READY && facts->life)
        plan_ready(facts, &plan);
    plan.drop_pending = facts->pending != PENDING_NOTHING && plan.step != PLAN_NOTHING && plan.step != PLAN_RESUME;
    plan.from = attempts_when(&facts->attempts, plan.from, live, facts->now);
    if (live && plan.from.kind == INSTANT_AT)
        plan.from.seconds = schedule_awake(live, plan.from.seconds, facts->awake, facts->jitter_permille, facts->share);
    *ret = plan;
}

bool plan_gets_ready(const PlanFacts *facts, bool is_replaced) {
    Plan plan;

    switch (facts->state) {
    case STATE_READY:
        return true;
    case STATE_MISCONFIGURED:
        return false;
    case STATE_UNAVAILABLE:
        return !is_replaced;
    default:
        break;
    }
    if (facts->state == STATE_REVOKED && facts->hold)
        return true;
    plan_next(facts, &plan);
    return plan.step != PLAN_NOTHING;
}
