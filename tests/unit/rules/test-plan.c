/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What comes next, over every state, pending work, number of failures, end of the chain and clock: the laws as
 * predicates over all of them, and a table of the typical ones. */
#include "rules/plan.h"

#include "rules/successor.h"
#include "tests/unit/common/test.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array[0]))
#define DAY          INT64_C(86400)
#define T            INT64_C(1700000000)

/* A certificate of 90 days came at T; `end` of its chain, and `now`, are seconds from there. */
static ScheduleLife life_until(int64_t end) {
    return (ScheduleLife) { .begin = T, .leaf_end = T + 90 * DAY, .chain_end = T + end };
}

static PlanFacts facts_of(IdentityState state, const ScheduleLife *life, int64_t now) {
    return (PlanFacts) { .now = T + now,
                         .state = state,
                         .is_possible = true,
                         .has_enrolment_means = true,
                         .rotates_key = true,
                         .life = life,
                         .renewal = T + 60 * DAY,
                         .attempts = { .last_success = T } };
}

static Plan plan_of(const PlanFacts *facts) {
    Plan plan;

    memset(&plan, 0xff, sizeof(plan));
    plan_next(facts, &plan);
    assert_non_null(plan.why);
    return plan;
}

/* ---- the typical rows ---- */

typedef struct Row {
    const char *what;
    IdentityState state;
    int64_t end, now; /* from T */
    PlanPending pending;
    uint32_t failures, past_end;
    int64_t next; /* from T; 0: none */
    bool by_others, no_means;
    PlanStep step;
    PlanMeans means;
    bool present_names, new_key, drops;
    int64_t from; /* from T; AT_ONCE, NEVER */
} Row;

#define AT_ONCE INT64_MAX
#define NEVER   INT64_MIN
#define E       MEANS_ENROLMENT
#define R       MEANS_RENEWAL
#define I       MEANS_ITSELF

static const ScheduleLife *life_of_row(const Row *row, ScheduleLife *life) {
    *life = life_until(row->end);
    return row->state == STATE_EMPTY ? NULL : life;
}

static void expect_row(const Row *row) {
    ScheduleLife life;
    PlanFacts facts = facts_of(row->state, life_of_row(row, &life), row->now);

    facts.pending = row->pending;
    facts.pending_begins = T + 62 * DAY;
    facts.attempts.failures = row->failures;
    facts.attempts.failures_past_end = row->past_end;
    facts.attempts.next = row->next != 0 ? instant_at(T + row->next) : instant_never();
    facts.is_renewed_by_others = row->by_others;
    facts.has_enrolment_means = !row->no_means;
    Plan plan = plan_of(&facts);
    int64_t from = plan.from.kind == INSTANT_AT_ONCE ? AT_ONCE
                   : plan.from.kind == INSTANT_NEVER ? NEVER
                                                     : plan.from.seconds - T;
    if (plan.step != row->step || plan.means != row->means || plan.present_names != row->present_names ||
        plan.new_key != row->new_key || plan.drop_pending != row->drops || from != row->from)
        fail_msg("%s: step %d means %d names %d key %d drop %d from %lld (%s)", row->what, plan.step, plan.means,
                 plan.present_names, plan.new_key, plan.drop_pending, (long long) from, plan.why);
}

static void typical_rows(void **state) {
    /* clang-format off */
    static const Row rows[] = {
        /* what                                  state          end      now          pending            failures, past, next        step             means names  key    drop   from */
        { "the first time",                      STATE_EMPTY,   0,       0,           PENDING_NOTHING,   0, 0, 0,        0, 0, PLAN_ENROL,     E, false, true,  false, AT_ONCE },
        { "the first time, after a failure",     STATE_EMPTY,   0,       0,           PENDING_NOTHING,   1, 1, 30,       0, 0, PLAN_ENROL,     E, false, true,  false, 30 },
        { "the first time, taken by the CA",     STATE_EMPTY,   0,       0,           PENDING_ENROLMENT, 1, 1, 600,      0, 0, PLAN_RESUME,    E, false, true,  false, 600 },
        { "a renewal of what is gone",           STATE_EMPTY,   0,       0,           PENDING_RENEWAL,   0, 0, 0,        0, 0, PLAN_ENROL,     E, false, true,  true,  AT_ONCE },
        { "in the middle of life",               STATE_READY,   90*DAY,  DAY,         PENDING_NOTHING,   0, 0, 0,        0, 0, PLAN_RENEW,     I, true,  true,  false, 60*DAY },
        { "the same by others",                  STATE_READY,   90*DAY,  DAY,         PENDING_NOTHING,   0, 0, 0,        1, 0, PLAN_RENEW,     R, true,  true,  false, 60*DAY },
        { "a renewal failed",                    STATE_READY,   90*DAY,  61*DAY,      PENDING_NOTHING,   6, 0, 75*DAY,   0, 0, PLAN_RENEW,     I, true,  true,  false, 75*DAY },
        { "a renewal taken by the CA",           STATE_READY,   90*DAY,  61*DAY,      PENDING_RENEWAL,   1, 0, 62*DAY,   0, 0, PLAN_RESUME,    I, true,  true,  false, 62*DAY },
        { "taken, by others",                    STATE_READY,   90*DAY,  61*DAY,      PENDING_ENROLMENT, 1, 0, 62*DAY,   1, 0, PLAN_RESUME,    R, true,  true,  false, 62*DAY },
        { "an enrolment that somebody began",    STATE_READY,   90*DAY,  61*DAY,      PENDING_ENROLMENT, 1, 0, 62*DAY,   0, 0, PLAN_RESUME,    E, false, true,  false, 62*DAY },
        { "one that has not begun",              STATE_READY,   90*DAY,  61*DAY,      PENDING_ISSUED,    0, 0, 0,        0, 0, PLAN_INSTALL,   E, false, true,  false, 62*DAY },
        { "an intermediate has ended",           STATE_READY,   61*DAY,  61*DAY + 1,  PENDING_NOTHING,   0, 0, 0,        0, 0, PLAN_FALL_BACK, E, true,  true,  false, 60*DAY },
        { "the same, seven failures before",     STATE_READY,   61*DAY,  61*DAY + 1,  PENDING_NOTHING,   7, 0, 61*DAY+1, 0, 0, PLAN_FALL_BACK, E, true,  true,  false, 61*DAY + 1 },
        { "… and one behind",                    STATE_READY,   61*DAY,  61*DAY + 9,  PENDING_NOTHING,   8, 1, 61*DAY+9, 0, 0, PLAN_RENEW,     I, true,  true,  false, 61*DAY + 9 },
        { "… without means to fall back to",     STATE_READY,   61*DAY,  61*DAY + 1,  PENDING_NOTHING,   7, 0, 61*DAY+1, 0, 1, PLAN_RENEW,     I, true,  true,  false, 61*DAY + 1 },
        { "… a renewal taken by the CA",         STATE_READY,   61*DAY,  61*DAY + 1,  PENDING_RENEWAL,   7, 0, 61*DAY+1, 0, 0, PLAN_FALL_BACK, E, true,  true,  true,  61*DAY + 1 },
        { "… the same without means",            STATE_READY,   61*DAY,  61*DAY + 1,  PENDING_RENEWAL,   7, 0, 61*DAY+1, 0, 1, PLAN_RESUME,    I, true,  true,  false, 61*DAY + 1 },
        { "expired",                             STATE_EXPIRED, 90*DAY,  90*DAY + 1,  PENDING_NOTHING,   9, 0, 90*DAY+1, 0, 0, PLAN_FALL_BACK, E, true,  true,  false, 90*DAY + 1 },
        { "expired, no failure known",           STATE_EXPIRED, 90*DAY,  95*DAY,      PENDING_NOTHING,   0, 0, 0,        0, 0, PLAN_FALL_BACK, E, true,  true,  false, AT_ONCE },
        { "expired, renewed by others",          STATE_EXPIRED, 90*DAY,  90*DAY + 1,  PENDING_NOTHING,   9, 0, 90*DAY+1, 1, 0, PLAN_FALL_BACK, E, true,  true,  false, 90*DAY + 1 },
        { "… the second time",                   STATE_EXPIRED, 90*DAY,  90*DAY + 9,  PENDING_NOTHING,  10, 1, 90*DAY+9, 1, 0, PLAN_FALL_BACK, R, true,  true,  false, 90*DAY + 9 },
        { "… and without any other means",       STATE_EXPIRED, 90*DAY,  90*DAY + 9,  PENDING_NOTHING,  10, 0, 90*DAY+9, 1, 1, PLAN_FALL_BACK, R, true,  true,  false, 90*DAY + 9 },
        { "expired with a renewal taken",        STATE_EXPIRED, 90*DAY,  95*DAY,      PENDING_RENEWAL,   1, 0, 96*DAY,   0, 0, PLAN_FALL_BACK, E, true,  true,  true,  96*DAY },
        { "expired with an enrolment taken",     STATE_EXPIRED, 90*DAY,  95*DAY,      PENDING_ENROLMENT, 1, 0, 96*DAY,   0, 0, PLAN_RESUME,    E, false, true,  false, 96*DAY },
        { "… taken, renewed by others",          STATE_EXPIRED, 90*DAY,  95*DAY,      PENDING_ENROLMENT, 1, 1, 96*DAY,   1, 0, PLAN_RESUME,    R, true,  true,  false, 96*DAY },
        { "revoked",                             STATE_REVOKED, 90*DAY,  5*DAY,       PENDING_NOTHING,   0, 0, 0,        0, 0, PLAN_NOTHING,   E, false, false, false, NEVER },
        { "revoked, and begun by somebody",      STATE_REVOKED, 90*DAY,  5*DAY,       PENDING_ENROLMENT, 1, 0, 6*DAY,    0, 0, PLAN_RESUME,    E, false, true,  false, 6*DAY },
        { "retired",                             STATE_RETIRED, 90*DAY,  5*DAY,       PENDING_NOTHING,   0, 0, 0,        0, 0, PLAN_NOTHING,   E, false, false, false, NEVER },
        { "retired, and begun by somebody",      STATE_RETIRED, 90*DAY,  5*DAY,       PENDING_ENROLMENT, 0, 0, 0,        0, 0, PLAN_RESUME,    E, false, true,  false, AT_ONCE },
        { "no TPM",                              STATE_UNAVAILABLE,  90*DAY, 95*DAY,  PENDING_ENROLMENT, 0, 0, 0,        0, 0, PLAN_NOTHING,   E, false, false, false, NEVER },
        { "a faulty configuration",              STATE_MISCONFIGURED, 90*DAY, 95*DAY, PENDING_ISSUED,    0, 0, 0,        0, 0, PLAN_NOTHING,   E, false, false, false, NEVER },
    };
    /* clang-format on */

    for (size_t i = 0; i < COUNT(rows); i++)
        expect_row(&rows[i]);
}

/* What the log says of an attempt that begins. */
static void the_reason_is_told(void **state) {
    static const struct {
        IdentityState state;
        int64_t end;
        PlanPending pending;
        bool boot_renewal;
        const char *why;
    } rows[] = {
        { STATE_EMPTY, 0, PENDING_NOTHING, false, "it has no certificate" },
        { STATE_EMPTY, 0, PENDING_ENROLMENT, false, "the CA has taken its request" },
        { STATE_READY, 90 * DAY, PENDING_NOTHING, false, "it is time" },
        { STATE_READY, 90 * DAY, PENDING_NOTHING, true, "the clock started behind what is certainly past" },
        { STATE_READY, 90 * DAY, PENDING_ISSUED, false, "the certificate that came begins" },
        { STATE_READY, 60 * DAY, PENDING_NOTHING, false, "its chain has ended" },
        { STATE_EXPIRED, 60 * DAY, PENDING_NOTHING, false, "its certificate has expired" },
        { STATE_REVOKED, 90 * DAY, PENDING_NOTHING, false, "its certificate was revoked, and AfterRevocation=enroll" },
        { STATE_RETIRED, 90 * DAY, PENDING_NOTHING, false, "nothing is to be done" },
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        ScheduleLife life = life_until(rows[i].end);
        PlanFacts facts = facts_of(rows[i].state, rows[i].end > 0 ? &life : NULL, 61 * DAY);
        facts.pending = rows[i].pending;
        facts.pending_begins = T + 62 * DAY;
        facts.boot_renewal = rows[i].boot_renewal;
        facts.enrols_if_revoked = true;
        assert_string_equal(plan_of(&facts).why, rows[i].why);
    }
}

static void after_a_revocation(void **state) {
    ScheduleLife life = life_until(90 * DAY), brief = life_until(600);
    PlanFacts facts = facts_of(STATE_REVOKED, &life, 100);

    facts.enrols_if_revoked = true;
    Plan plan = plan_of(&facts);
    assert_int_equal(plan.step, PLAN_ENROL);
    assert_true(plan.new_key && !plan.present_names);
    assert_int_equal(plan.from.seconds, T + 900); /* not at once for who is revoked as soon as issued */
    facts.life = &brief;
    assert_int_equal(plan_of(&facts).from.seconds, T + 60);
    facts.attempts.last_success = 0;
    assert_int_equal(plan_of(&facts).from.kind, INSTANT_AT_ONCE);
    facts.attempts.last_success = T + DAY; /* noted while the clock was elsewhere */
    assert_int_equal(plan_of(&facts).from.kind, INSTANT_AT_ONCE);
    facts.hold = true; /* ends by itself */
    assert_int_equal(plan_of(&facts).step, PLAN_NOTHING);
}

static void the_renewal_of_a_boot(void **state) {
    ScheduleLife life = life_until(90 * DAY);
    PlanFacts facts = facts_of(STATE_READY, &life, 100);

    facts.boot_renewal = true;
    assert_int_equal(plan_of(&facts).from.kind, INSTANT_AT_ONCE);
    facts.attempts.next = instant_at(T + 130); /* it failed: no back-off is jumped over */
    assert_int_equal(plan_of(&facts).from.seconds, T + 130);
}

static void the_instant_of_renewal(void **state) {
    ScheduleLife life = life_until(90 * DAY);
    PlanFacts facts = facts_of(STATE_READY, &life, 100);

    assert_int_equal(plan_renewal(&facts).seconds, T + 60 * DAY);
    facts.renewal = T + DAY; /* law 5 */
    assert_int_equal(plan_renewal(&facts).seconds, T + 9 * DAY);
    facts.attempts.last_success = T + DAY; /* ahead of the clock */
    assert_int_equal(plan_renewal(&facts).seconds, T + DAY);
    facts.attempts.last_success = 0;
    assert_int_equal(plan_renewal(&facts).seconds, T + DAY);
    facts.life = NULL;
    assert_int_equal(plan_renewal(&facts).kind, INSTANT_NEVER);
    assert_false(plan_chain_has_ended(&facts));
    facts.life = &life;
    facts.now = life.chain_end;
    assert_false(plan_chain_has_ended(&facts));
    facts.now++;
    assert_true(plan_chain_has_ended(&facts));
}

/* Switched on after the renewal went by: not at once, unless somebody waits for it. */
static void who_was_off_spreads(void **state) {
    ScheduleLife life = life_until(90 * DAY);
    PlanFacts facts = facts_of(STATE_READY, &life, 60 * DAY + 40000);

    facts.awake = facts.now - 10;
    facts.jitter_permille = 100;
    facts.share = UINT64_C(1) << 63;
    int64_t window = (life.chain_end - facts.awake) / 10;
    assert_in_range(plan_of(&facts).from.seconds - facts.awake, window / 2 - 1, window / 2 + 1);
    facts.attempts.next = instant_at(facts.now + 5 * DAY); /* planned for later: as planned */
    assert_int_equal(plan_of(&facts).from.seconds, facts.now + 5 * DAY);
    facts.attempts.next = instant_at(facts.awake - 80); /* went by itself meanwhile: spreads by what was missed */
    assert_int_equal(plan_of(&facts).from.seconds, facts.awake + 320);
    facts.attempts.next = instant_never();
    facts.boot_renewal = true;
    assert_int_equal(plan_of(&facts).from.kind, INSTANT_AT_ONCE);
    facts.boot_renewal = false;
    facts.state = STATE_EXPIRED;
    assert_int_equal(plan_of(&facts).from.kind, INSTANT_AT_ONCE);
}

/* Who waits for it to become ready waits for nothing that needs an admin. */
static void who_gets_ready(void **state) {
    static const struct {
        IdentityState state;
        bool possible, replaced, hold, enrols, taken; /* taken: the CA has its request, with a new key */
        bool gets_ready;
    } cases[] = {
        { STATE_READY, false, false, false, false, false, true },
        { STATE_EMPTY, true, false, false, false, false, true },
        { STATE_EMPTY, false, false, false, false, false, false }, /* Protocol=manual */
        { STATE_EXPIRED, true, false, false, false, false, true },
        { STATE_EXPIRED, false, false, false, false, false, false },
        { STATE_REVOKED, true, false, false, false, false, false },
        { STATE_REVOKED, true, false, false, true, false, true },
        { STATE_REVOKED, true, false, true, false, false, true },
        { STATE_REVOKED, true, false, false, false, true, true },
        { STATE_RETIRED, true, false, false, true, false, false },
        { STATE_RETIRED, true, false, false, false, true, true },
        { STATE_UNAVAILABLE, true, false, false, false, false, true },
        { STATE_UNAVAILABLE, false, false, false, false, false, true },
        { STATE_UNAVAILABLE, true, true, false, false, false, false },
        { STATE_MISCONFIGURED, true, false, false, false, true, false },
    };
    ScheduleLife life = life_until(90 * DAY);

    for (size_t i = 0; i < COUNT(cases); i++) {
        PlanFacts facts = facts_of(cases[i].state, cases[i].state == STATE_EMPTY ? NULL : &life, 100);
        facts.is_possible = cases[i].possible;
        facts.hold = cases[i].hold;
        facts.enrols_if_revoked = cases[i].enrols;
        facts.pending = cases[i].taken ? PENDING_ENROLMENT : PENDING_NOTHING;
        if (plan_gets_ready(&facts, cases[i].replaced) != cases[i].gets_ready)
            fail_msg("case %zu", i);
    }
}

/* ---- every combination ---- */

static const int64_t ends[] = { 90 * DAY, 60 * DAY + 5, 60 * DAY, 60 * DAY - 1, 30 * DAY }; /* from T */
static const int64_t nows[] = { -400 * DAY, -1, 60 * DAY, 61 * DAY };
static const int64_t nexts[] = { 0, 60 * DAY + 3, 62 * DAY, 700 * DAY };

static PlanFacts facts_by(uint64_t *n, ScheduleLife *life) {
    uint64_t rest = *n;
    PlanFacts facts = facts_of((IdentityState) (rest % _STATE_COUNT), life, 0);
    rest /= _STATE_COUNT;
    facts.pending = (PlanPending) (rest % 4);
    rest /= 4;
    facts.attempts.failures = (uint32_t) (rest % 9);
    rest /= 9;
    *life = life_until(ends[rest % COUNT(ends)]);
    rest /= COUNT(ends);
    facts.now = T + nows[rest % COUNT(nows)];
    rest /= COUNT(nows);
    int64_t next = nexts[rest % COUNT(nexts)];
    rest /= COUNT(nexts);
    facts.attempts.next = next == 0 ? instant_never() : instant_at(T + next);
    facts.attempts.failures_past_end = facts.attempts.failures > 0 && rest % 2 ? facts.attempts.failures % 3 : 0;
    rest /= 2;
    facts.life = facts.state == STATE_EMPTY || facts.state == STATE_RETIRED ? NULL : life;
    facts.pending_begins = T + (rest % 2 ? 60 * DAY + 4 : 800 * DAY);
    rest /= 2;
    facts.has_enrolment_means = rest & 1;
    facts.is_renewed_by_others = rest & 2;
    facts.rotates_key = rest & 4;
    facts.pending_same_key = rest & 8;
    facts.enrols_if_revoked = rest & 16;
    facts.hold = rest & 32;
    facts.boot_renewal = rest & 64;
    rest /= 128;
    *n = rest;
    return facts;
}

static bool has_ended(const PlanFacts *facts) {
    return facts->life && facts->life->chain_end < facts->now;
}

/* What leads out by itself. */
static void expect_no_deadlock(const PlanFacts *facts, const Plan *plan) {
    bool may = facts->is_possible && facts->state != STATE_UNAVAILABLE && facts->state != STATE_MISCONFIGURED;
    bool must = may && (facts->state == STATE_EMPTY || facts->state == STATE_EXPIRED || facts->state == STATE_READY ||
                        (facts->state == STATE_REVOKED && facts->enrols_if_revoked && !facts->hold));

    assert_int_equal(plan->step == PLAN_NOTHING, plan->from.kind == INSTANT_NEVER);
    if (must)
        assert_int_not_equal(plan->step, PLAN_NOTHING);
    if (!may)
        assert_int_equal(plan->step, PLAN_NOTHING);
    if (plan->step == PLAN_INSTALL) /* worth its wait */
        assert_true(plan->from.seconds <= facts->now + SUCCESSOR_WAIT_MAX ||
                    (facts->state == STATE_READY && plan->from.seconds <= facts->life->chain_end));
}

/* Law 2: never later than just behind the end, nor than a week or so where nothing works; law 5 moves nothing beyond
 * it. Without a failure law 8 is due at once. */
static void expect_in_time(const PlanFacts *facts, const Plan *plan) {
    if (plan->from.kind != INSTANT_AT || plan->step == PLAN_INSTALL)
        return;
    bool lives = facts->state == STATE_READY && !has_ended(facts);
    int64_t latest = lives ? facts->life->chain_end + 1 : facts->now + ATTEMPTS_FUTURE_MAX;
    if (facts->renewal <= latest)
        assert_true(plan->from.seconds <= latest);
    if (facts->attempts.next.kind == INSTANT_NEVER && has_ended(facts) && facts->state != STATE_REVOKED &&
        facts->renewal <= facts->now)
        assert_true(plan->from.seconds <= facts->now);
    /* Laws 3 and 4 are in `next`: nobody comes sooner, where it can be believed. */
    if (facts->attempts.next.kind == INSTANT_AT && facts->attempts.next.seconds <= latest)
        assert_true(plan->from.seconds >= facts->attempts.next.seconds);
}

static void expect_means(const PlanFacts *facts, const Plan *plan) {
    bool past_end = facts->state == STATE_EXPIRED || (facts->state == STATE_READY && has_ended(facts));
    bool odd = facts->attempts.failures_past_end % 2;

    /* An ended certificate authenticates nothing, a revoked one neither. */
    if (plan->step != PLAN_NOTHING && plan->step != PLAN_INSTALL && facts->state != STATE_READY)
        assert_int_not_equal(plan->means, MEANS_ITSELF);
    if (plan->means == MEANS_RENEWAL)
        assert_true(facts->is_renewed_by_others);
    /* Law 8: the first attempt past the end, whatever was before it. */
    if (past_end && facts->has_enrolment_means && !odd && plan->step != PLAN_INSTALL &&
        facts->pending != PENDING_ENROLMENT && facts->is_possible) {
        assert_int_equal(plan->step, PLAN_FALL_BACK);
        assert_int_equal(plan->means, MEANS_ENROLMENT);
    }
    if (plan->step == PLAN_FALL_BACK)
        assert_true(past_end);
    if (plan->step == PLAN_RENEW) {
        assert_int_equal(facts->state, STATE_READY);
        assert_true(plan->present_names);
        assert_int_equal(plan->means, facts->is_renewed_by_others ? MEANS_RENEWAL : MEANS_ITSELF);
        assert_int_equal(plan->new_key, facts->rotates_key);
    }
    if (plan->step == PLAN_ENROL)
        assert_true(plan->new_key && !plan->present_names && plan->means == MEANS_ENROLMENT);
}

static void expect_pending(const PlanFacts *facts, const Plan *plan) {
    if (plan->step == PLAN_RESUME)
        assert_true(facts->pending == PENDING_ENROLMENT || facts->pending == PENDING_RENEWAL);
    if (plan->step == PLAN_INSTALL)
        assert_true(facts->pending == PENDING_ISSUED && plan->from.seconds == facts->pending_begins);
    if (plan->step == PLAN_RESUME || plan->step == PLAN_INSTALL) {
        assert_int_equal(plan->new_key, !facts->pending_same_key);
        /* Only a new key leads out of these. */
        assert_true(plan->new_key || (facts->state != STATE_REVOKED && facts->state != STATE_RETIRED));
    }
    assert_int_equal(plan->drop_pending, facts->pending != PENDING_NOTHING && plan->step != PLAN_NOTHING &&
                                             plan->step != PLAN_RESUME && plan->step != PLAN_INSTALL);
    /* Nothing that a CA has taken is thrown away while it can still be brought to an end. */
    if (plan->drop_pending && facts->pending == PENDING_ENROLMENT)
        assert_true(facts->pending_same_key);
    if (plan->drop_pending && facts->pending == PENDING_RENEWAL)
        assert_true(facts->state != STATE_READY || has_ended(facts));
}

static void every_combination(void **state) {
    uint64_t count = 0, steps[PLAN_INSTALL + 1] = { 0 };

    for (uint64_t i = 0;; i++) {
        uint64_t rest = i;
        ScheduleLife life;
        PlanFacts facts = facts_by(&rest, &life);
        if (rest > 0)
            break;
        if (facts.life)
            facts.renewal = facts.life->begin + (facts.life->chain_end - facts.life->begin) * 2 / 3;
        Plan plan = plan_of(&facts);
        expect_no_deadlock(&facts, &plan);
        expect_in_time(&facts, &plan);
        expect_means(&facts, &plan);
        expect_pending(&facts, &plan);
        steps[plan.step]++;
        count++;
        facts.is_possible = false; /* not EST, no TPM, or an attempt is under way */
        assert_int_equal(plan_of(&facts).step, PLAN_NOTHING);
    }
    assert_int_equal(count, 7 * 4 * 9 * 5 * 4 * 4 * 2 * 2 * 128);
    for (size_t i = 0; i < COUNT(steps); i++)
        assert_true(steps[i] > 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(typical_rows),           cmocka_unit_test(the_reason_is_told),
        cmocka_unit_test(after_a_revocation),     cmocka_unit_test(the_renewal_of_a_boot),
        cmocka_unit_test(the_instant_of_renewal), cmocka_unit_test(who_was_off_spreads),
        cmocka_unit_test(every_combination),      cmocka_unit_test(who_gets_ready),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
