/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Walks every sequence of events, applies the rules in the way in which the daemon does, and checks the laws of
 * docs/design.md §10 after each step. Prints how many sequences it walked and how often each law was checked.
 *
 * Time passes with the events: what a CA does happens when the plan says that it is asked, the rest a seventh of a
 * lifetime later, or just before the CA would be asked. The ends of certificates in between are met at their second. */
#include "rules/plan.h"
#include "rules/standing.h"
#include "rules/successor.h"
#include "tests/unit/common/test.h"

#include <inttypes.h>
#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof(array[0]))
#define DAY          INT64_C(86400)
#define T            INT64_C(1700000000)
#define LENGTH_MAX   6
#define WEEK         604800

typedef enum Event {
    /* what the CA does when it is asked */
    ON_GOOD,
    ON_SAME_END,  /* it clamps to its own end */
    ON_BACKDATED, /* half of the lifetime is over */
    ON_NOT_BEGUN, /* begins in a tenth of a lifetime */
    ON_EARLIER_END,
    ON_REFUSED,
    ON_UNREACHABLE,
    ON_LATER_0, /* 202 with a Retry-After of 0 … */
    ON_LATER_10,
    ON_LATER_WEEK,
    ON_WASTED, /* a certificate without the usage for which the identity is lent */
    /* what happens in between */
    ON_REVOKED,
    ON_HOLD,       /* or its end */
    ON_CLOCK,      /* set beyond the end, or back */
    ON_RESTART,    /* after the device was off for a while */
    ON_CONFIGURED, /* the configuration was changed */
    ON_ASKED,      /* the admin asks, and the CA answers */
    EVENT_COUNT
} Event;

static const char *const event_names[EVENT_COUNT] = {
    "good",       "same-end", "backdated", "not-begun", "earlier-end", "refused", "unreachable", "later-0", "later-10",
    "later-week", "wasted",   "revoked",   "hold",      "clock",       "restart", "configured",  "asked",
};

typedef enum Law {
    LAW_1,
    LAW_2_BEFORE,
    LAW_2_AT,
    LAW_3,
    LAW_4,
    LAW_5,
    LAW_6,
    LAW_7,
    LAW_7_RESTART,
    LAW_8,
    OFTEN,
    STANDING,
    PROGRESS,
    LAW_COUNT
} Law;

static const char *const law_names[LAW_COUNT] = {
    "law 1: given up only for a better one",
    "law 2: an attempt before the end",
    "law 2: one at the end",
    "law 3: Retry-After is honoured",
    "law 4: a tenth after what was refused here",
    "law 5: successes a tenth apart",
    "law 6: reckoned from what was left",
    "law 7: a changed configuration forgets",
    "law 7: a restart does not",
    "law 8: the way back at the end",
    "nobody is asked more often than back-off allows",
    "the state is what the facts amount to",
    "a next step, in time",
};

/* A device and what the laws ask of it. Copied at each step, so that each sequence has its own. */
typedef struct World {
    int64_t now, real; /* by the clock in use, and by the CA's */
    int64_t awake;
    IdentityState state;
    bool has_generation, is_revoked, is_hold;
    int64_t not_before;
    ScheduleLife life;
    int64_t due; /* schedule_renewal of it */
    unsigned generation;
    PlanPending pending;
    SuccessorLife issued; /* of PENDING_ISSUED */
    int64_t issued_leaf_end;
    Attempts attempts;
    /* for the laws */
    int64_t told_until, waste_until, backoff_until; /* no attempt by itself before; INT64_MIN: none */
    int64_t success_at, success_tenth;
    bool success_stands; /* no clock was set, and nothing revoked, since the last success */
    bool asked_in_life;  /* since the renewal was due */
    bool undisturbed;    /* all of this life: no hold, no clock set, no time off */
} World;

typedef struct Scenario {
    const char *name;
    int64_t lifetime;
    int64_t issuer_end; /* from T, of the chain of what is issued before; 0: it ends with the leaf */
    int64_t left;       /* the walk begins with a certificate that has so much left, and six failures; 0: with none */
    bool rotates_key, by_others;
    unsigned length;
} Scenario;

static const Scenario *scenario;
static Event path[LENGTH_MAX];
static unsigned depth;
static uint64_t sequences, checks[LAW_COUNT];

static _Noreturn void broken(Law law, const World *world) {
    printf("%s is broken: %s;", law_names[law], scenario->name);
    for (unsigned i = 0; i < depth; i++)
        printf(" %s", event_names[path[i]]);
    printf("; %s, %" PRId64 " s after the beginning, the chain ends at %" PRId64 "\n",
           identity_state_to_string(world->state), world->now - T, world->life.chain_end - T);
    (void) fflush(stdout);
    fail();
    __builtin_unreachable();
}

static void check(Law law, bool holds, const World *world) {
    checks[law]++;
    if (!holds)
        broken(law, world);
}

/* ---- as the daemon puts the rules together ---- */

static const ScheduleSettings settings = { .renew_at_permille = 660, .jitter_permille = 100 };
#define SHARE (UINT64_C(3) << 62)

static bool works(const World *world) {
    return world->state == STATE_READY && world->life.chain_end >= world->now;
}

static Plan plan_of(const World *world) {
    const PlanFacts facts = {
        .now = world->now,
        .state = world->state,
        .is_possible = true,
        .hold = world->is_hold,
        .enrols_if_revoked = true,
        .rotates_key = scenario->rotates_key,
        .has_enrolment_means = true,
        .is_renewed_by_others = scenario->by_others,
        .pending = world->pending,
        .pending_same_key = !scenario->rotates_key && world->pending == PENDING_RENEWAL,
        .pending_begins = world->issued.not_before,
        .life = world->has_generation ? &world->life : NULL,
        .renewal = world->due,
        .awake = world->awake,
        .share = SHARE,
        .jitter_permille = settings.jitter_permille,
        .attempts = world->attempts,
    };
    Plan plan;

    plan_next(&facts, &plan);
    return plan;
}

static void evaluate(World *world) {
    const StandingFacts facts = { .is_revoked = world->is_revoked,
                                  .is_usable = true,
                                  .has_generation = world->has_generation,
                                  .is_expired = world->has_generation && world->life.leaf_end < world->now };

    for (IdentityEvent event; standing_event(world->state, &facts, &event);)
        world->state = identity_state_next(world->state, event);
    check(STANDING, world->state == standing_state(&facts), world);
}

static void install(World *world, const SuccessorLife *life, int64_t leaf_end) {
    /* law 1, without asking the rule: what works is kept until the new one does */
    bool begun = life->not_before <= world->now + (works(world) ? 0 : 300);
    check(LAW_1, begun && life->chain_end >= world->now + 10 && (life->usages & SUCCESSOR_CLIENT), world);
    world->generation++;
    world->has_generation = true;
    world->is_revoked = world->is_hold = false;
    world->not_before = life->not_before;
    world->life = schedule_life(life->not_before, leaf_end, life->chain_end, world->now);
    world->life.late = world->attempts.late;
    world->due = schedule_renewal(&world->life, &settings, SHARE);
    world->pending = PENDING_NOTHING;
    world->state = identity_state_next(world->state, EVENT_INSTALLED);
    world->asked_in_life = false;
    world->undisturbed = true;
    int64_t left = life->chain_end - world->now, after = world->due - world->now;
    if (life->not_before < world->now)
        check(LAW_6, after >= left / 10 && after <= left * 95 / 100, world);
    evaluate(world);
}

/* When the plan wants to act, seen from now. */
static int64_t when_of(const World *world, const Plan *plan) {
    return plan->from.kind == INSTANT_AT && plan->from.seconds > world->now ? plan->from.seconds : world->now;
}

/* ---- time ---- */

static void set_now(World *world, int64_t now) {
    world->real += now - world->now;
    world->now = now;
}

/* The second after the end of the chain: laws 2 and 8. */
static void meet_the_end(World *world) {
    Plan plan = plan_of(world);

    if (world->undisturbed)
        check(LAW_2_BEFORE, world->asked_in_life || world->pending == PENDING_ISSUED, world);
    if (plan.step == PLAN_INSTALL)
        return;
    check(LAW_2_AT, instant_is_due(plan.from, world->now), world);
    if (plan.step == PLAN_RESUME && world->pending == PENDING_ENROLMENT)
        return; /* it is authenticated so already */
    check(LAW_8, plan.step == PLAN_FALL_BACK && plan.means == MEANS_ENROLMENT, world);
}

/* To `until`, or to the instant of the next attempt if that is sooner (true). What ends or begins meanwhile does. */
static bool pass_time(World *world, int64_t until) {
    for (;;) {
        Plan plan = plan_of(world);
        int64_t when = when_of(world, &plan);
        bool acts = plan.step != PLAN_NOTHING && when <= until;
        int64_t to = acts ? when : until;
        int64_t ends[] = { world->life.chain_end + 1, world->life.leaf_end + 1 };
        bool met = false;
        for (size_t i = 0; i < COUNT(ends) && world->has_generation && !met; i++) {
            if (ends[i] <= world->now || ends[i] > to)
                continue;
            bool worked = works(world);
            set_now(world, ends[i]);
            evaluate(world);
            if (worked)
                meet_the_end(world);
            met = true;
        }
        if (met)
            continue;
        set_now(world, to);
        if (!acts)
            return false;
        if (plan.step != PLAN_INSTALL)
            return true;
        SuccessorLife issued = world->issued;
        install(world, &issued, world->issued_leaf_end);
    }
}

/* ---- what happens ---- */

static void note_failure(World *world, uint32_t told, bool is_put_off, int64_t wasted) {
    bool lives = works(world);
    int64_t now = world->now, left = world->life.chain_end - now;
    int64_t sixtieth = lives ? (world->life.chain_end - world->life.begin) / 60 : 30;
    int64_t first = sixtieth > 30 ? 30 : sixtieth;

    attempts_failed(&world->attempts, &(AttemptOutcome) { .now = now,
                                                          .life = lives ? &world->life : NULL,
                                                          .told = told,
                                                          .is_put_off = is_put_off,
                                                          .wasted_lifetime = wasted,
                                                          .random = UINT32_MAX / 2 });
    /* As far as law 2 allows. */
    int64_t most = lives ? (left > 30 ? left - left / 10 : left * 9 / 10) : 6 * DAY;
    world->told_until = told == 0 ? INT64_MIN : now + (told < most ? told : most);
    world->waste_until = wasted == 0 ? INT64_MIN : now + (wasted / 10 < most ? wasted / 10 : most);
    /* Half of the first window, doubled four times; but for who puts us off with a time of his own. */
    int64_t window = first << (world->attempts.failures < 5 ? world->attempts.failures - 1 : 4);
    int64_t least = told > 0 && is_put_off ? 1 : window / 2;
    world->backoff_until = now + (lives && least > left / 20 ? left / 20 : least);
}

static SuccessorLife candidate_of(const World *world, Event event, int64_t *ret_leaf_end) {
    SuccessorLife life = { world->real, world->real + scenario->lifetime, SUCCESSOR_CLIENT };
    int64_t left = world->has_generation ? world->life.chain_end - world->real : 0;

    if (event == ON_BACKDATED) {
        life.not_before -= scenario->lifetime / 2;
        life.chain_end -= scenario->lifetime / 2;
    }
    if (event == ON_NOT_BEGUN) {
        life.not_before += scenario->lifetime / 10;
        life.chain_end += scenario->lifetime / 10;
    }
    if (event == ON_SAME_END && left > 0)
        life.chain_end = world->life.chain_end;
    if (event == ON_EARLIER_END && left > 0)
        life.chain_end = world->real + left / 2;
    if (event == ON_WASTED)
        life.usages = SUCCESSOR_SERVER;
    *ret_leaf_end = life.chain_end;
    if (scenario->issuer_end > 0 && world->real < T + scenario->issuer_end && life.chain_end > T + scenario->issuer_end)
        life.chain_end = T + scenario->issuer_end;
    return life;
}

static void note_success(World *world, const SuccessorLife *life, bool was_asked) {
    int64_t gap = world->now - world->success_at;

    /* law 5, also its exception: what has ended, or is revoked, is not kept for a tenth of its life */
    if (!was_asked && world->success_stands) {
        bool ended = world->state != STATE_READY || world->life.chain_end < world->now;
        int64_t least = ended && world->success_tenth > 900 ? 900 : world->success_tenth;
        check(LAW_5, gap >= least, world);
    }
    attempts_succeeded(&world->attempts, world->now, world->has_generation ? world->due : 0);
    world->success_at = world->now;
    world->success_tenth = (life->chain_end - (life->not_before > world->now ? life->not_before : world->now)) / 10;
    world->success_stands = true;
    world->told_until = world->waste_until = world->backoff_until = INT64_MIN;
}

static void on_certificate(World *world, Event event) {
    int64_t leaf_end;
    SuccessorLife present = { world->not_before, world->life.chain_end, SUCCESSOR_CLIENT };
    const SuccessorFacts facts = { .now = world->now,
                                   .present = works(world) ? &present : NULL,
                                   .candidate = candidate_of(world, event, &leaf_end),
                                   .lent = SUCCESSOR_CLIENT };
    SuccessorVerdict verdict = successor_judge(&facts);
    /* Where nothing works, there is no usage to be lost: the verifier asks for what the configuration wants. */
    bool is_unfit = event == ON_WASTED && !facts.present;

    if (successor_is_refused(verdict) || is_unfit) {
        world->pending = PENDING_NOTHING;
        note_failure(world, 0, false, facts.candidate.chain_end - facts.candidate.not_before);
        return;
    }
    note_success(world, &facts.candidate, event == ON_ASKED);
    if (verdict != SUCCESSOR_WAITS) {
        install(world, &facts.candidate, leaf_end);
        return;
    }
    world->pending = PENDING_ISSUED;
    world->issued = facts.candidate;
    world->issued_leaf_end = leaf_end;
}

static void on_later(World *world, uint32_t told, const Plan *plan) {
    if (world->pending == PENDING_NOTHING || plan->drop_pending)
        world->pending = plan->means == MEANS_ITSELF ? PENDING_RENEWAL : PENDING_ENROLMENT;
    note_failure(world, told, true, 0);
}

/* Before the CA is asked: laws 3 and 4, and that the waits grow. */
static void check_not_asked_too_often(const World *world) {
    if (world->told_until != INT64_MIN)
        check(LAW_3, world->now >= world->told_until, world);
    if (world->waste_until != INT64_MIN)
        check(LAW_4, world->now >= world->waste_until, world);
    if (world->backoff_until != INT64_MIN)
        check(OFTEN, world->now >= world->backoff_until, world);
}

static void ask(World *world, Event event) {
    Plan plan = plan_of(world);

    check_not_asked_too_often(world);
    world->asked_in_life = true;
    if (plan.drop_pending)
        world->pending = PENDING_NOTHING;
    switch (event) {
    case ON_REFUSED:
        world->pending = PENDING_NOTHING;
        note_failure(world, 0, false, 0);
        break;
    case ON_UNREACHABLE:
        note_failure(world, 0, false, 0);
        break;
    case ON_LATER_0:
        on_later(world, 0, &plan);
        break;
    case ON_LATER_10:
        on_later(world, 10, &plan);
        break;
    case ON_LATER_WEEK:
        on_later(world, WEEK, &plan);
        break;
    default:
        on_certificate(world, event);
    }
}

/* What was promised, was by a clock that is gone. */
static void forget_promises(World *world) {
    world->told_until = world->waste_until = world->backoff_until = INT64_MIN;
    world->undisturbed = false;
}

static void set_clock(World *world) {
    world->now = world->now != world->real ? world->real : world->life.leaf_end + 3600;
    world->awake = world->now;
    world->success_stands = false;
    forget_promises(world);
    evaluate(world);
}

/* Off for a twentieth of a lifetime; what comes back is what the file `state` keeps. */
static void restart(World *world) {
    set_now(world, world->now + scenario->lifetime / 20);
    evaluate(world);
    Plan before = plan_of(world);
    Attempts was = world->attempts;

    world->attempts = (Attempts) { .failures = was.failures,
                                   .next = instant_from_seconds(instant_to_seconds(was.next, world->now)),
                                   .last_success = was.last_success,
                                   .late = was.late };
    world->awake = world->now;
    world->undisturbed = false;
    Plan after = plan_of(world);
    if (before.from.kind != INSTANT_NEVER)
        check(LAW_7_RESTART, when_of(world, &after) >= when_of(world, &before), world);
}

static void configure(World *world) {
    Instant renewal = instant_at(world->due);

    attempts_forget(&world->attempts);
    world->told_until = world->waste_until = world->backoff_until = INT64_MIN;
    Plan plan = plan_of(world);
    check(LAW_7, world->attempts.failures == 0, world);
    if (plan.step == PLAN_NOTHING || plan.step == PLAN_INSTALL || world->state == STATE_REVOKED)
        return;
    if (world->awake == 0 &&
        (world->state != STATE_READY || plan.step == PLAN_RESUME || instant_is_due(renewal, world->now)))
        check(
            LAW_7,
            when_of(world, &plan) <= world->now ||
                (world->success_at <= world->now && when_of(world, &plan) <= world->success_at + world->success_tenth),
            world);
}

static void happen(World *world, Event event) {
    switch (event) {
    case ON_REVOKED:
    case ON_HOLD:
        world->is_hold = event == ON_HOLD && !world->is_hold;
        world->is_revoked = event == ON_REVOKED || world->is_hold;
        world->undisturbed = false;
        evaluate(world);
        break;
    case ON_CLOCK:
        set_clock(world);
        break;
    case ON_RESTART:
        restart(world);
        break;
    case ON_CONFIGURED:
        configure(world);
        break;
    default:
        on_certificate(world, event);
    }
}

/* An identity that a CA serves always has a next step, and not at some time or other. */
static void check_progress(const World *world) {
    Plan plan = plan_of(world);
    int64_t latest = works(world) ? world->life.chain_end + 1 : world->now + ATTEMPTS_FUTURE_MAX;

    if (world->is_hold)
        return; /* ends by itself */
    check(PROGRESS, plan.step != PLAN_NOTHING && when_of(world, &plan) <= latest, world);
}

/* ---- the walk ---- */

/* Left out, because nothing happens or the same as by another event: a hold of what is not there or is revoked for
 * good, a second revocation, a CA that would not be asked; an end that is compared with none; a refusal where no
 * request can be lost by it; a 202 with 0 for what the CA has already taken; a change, a restart or a question twice in
 * a row. */
static bool is_news(const World *world, Event event, bool is_asked) {
    bool is_kept = world->pending == PENDING_ENROLMENT || world->pending == PENDING_RENEWAL;

    if (depth > 0 && event >= ON_RESTART && path[depth - 1] == event)
        return false;
    switch (event) {
    case ON_REVOKED:
    case ON_HOLD:
        return world->has_generation && (!world->is_revoked || world->is_hold);
    case ON_CLOCK:
        return world->has_generation;
    case ON_SAME_END:
    case ON_EARLIER_END:
        return is_asked && world->has_generation;
    case ON_REFUSED:
        return is_asked && is_kept;
    case ON_LATER_0:
        return is_asked && !is_kept;
    default:
        return event > ON_REVOKED || is_asked;
    }
}

static void walk(const World *before) {
    bool may_ask = plan_of(before).step != PLAN_NOTHING;

    for (Event event = 0; event < EVENT_COUNT; event++) {
        if (!is_news(before, event, may_ask))
            continue;
        World world = *before;
        path[depth++] = event;
        /* An installation may come first, and make the next attempt a far one. */
        int64_t until = event < ON_REVOKED ? INT64_MAX / 2 : world.now + scenario->lifetime / 7;
        bool is_asked = pass_time(&world, until);
        if (event >= ON_REVOKED)
            happen(&world, event);
        else if (is_asked)
            ask(&world, event);
        check_progress(&world);
        if (depth < scenario->length)
            walk(&world);
        else
            sequences++;
        depth--;
    }
}

static World beginning(void) {
    World world = { .now = T, .real = T, .state = STATE_EMPTY };
    int64_t leaf_end;

    world.told_until = world.waste_until = world.backoff_until = INT64_MIN;
    if (scenario->left == 0)
        return world;
    SuccessorLife life = candidate_of(&world, ON_GOOD, &leaf_end);
    install(&world, &life, leaf_end);
    set_now(&world, life.chain_end - scenario->left);
    world.attempts = (Attempts) { .failures = 6, .last_success = T };
    world.success_at = T;
    world.success_tenth = (life.chain_end - T) / 10;
    world.success_stands = true;
    return world;
}

static void all_sequences(void **state) {
    static const Scenario scenarios[] = {
        { "a minute of life", 60, 0, 0, true, false, 6 },
        { "a day of life", DAY, 0, 0, false, false, 6 },
        { "90 days of life", 90 * DAY, 0, 0, true, false, 6 },
        { "90 days below an intermediate that ends after 40", 90 * DAY, 40 * DAY, 0, false, false, 6 },
        /* Sequences from the first enrolment on seldom live to see an end: these begin shortly before one. */
        { "a minute of life, nine seconds of it left", 60, 0, 9, false, false, 5 },
        { "a day of life, ten minutes of it left", DAY, 0, 600, true, false, 5 },
        { "90 days of life, a quarter of an hour of it left", 90 * DAY, 0, 900, false, false, 5 },
        { "the same, renewed by others", 90 * DAY, 0, 900, true, true, 5 },
        { "an intermediate that has a quarter of an hour left", 90 * DAY, 40 * DAY, 900, true, false, 5 },
    };

    for (size_t i = 0; i < COUNT(scenarios); i++) {
        scenario = &scenarios[i];
        sequences = 0;
        World world = beginning();
        walk(&world);
        printf("%-50s %9" PRIu64 " sequences of %u events\n", scenario->name, sequences, scenario->length);
    }
    for (size_t i = 0; i < LAW_COUNT; i++) {
        printf("%-50s %9" PRIu64 " checks\n", law_names[i], checks[i]);
        assert_true(checks[i] > 1000);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(all_sequences) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
