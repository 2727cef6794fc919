/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a fleet does to its CA: drives the daemon's own rules (plan, attempts, schedule, successor) for many simulated
 * devices over years, with CAs that are down at times, clamp, backdate and put off, and devices that are switched off
 * at times, many of them at the same hour. Prints the load at the CA, and fails if a device expired that could have
 * reached its CA in time, or a fleet that is large enough for it comes more packed than docs/fleet.md says. The world
 * is a function of the seed, so a run can be repeated. */
#include "tests/bench/fleet.h"

#include "config/identity-config.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void count(Load *load, int64_t when) {
    size_t minute = (size_t) ((when - BEGINNING) / MINUTE);

    if (minute < load->count)
        load->minutes[minute]++;
}

/* The certificate takes its place; false: the rules would not have it. */
static bool install(Device *device, const World *world) {
    bool is_first = device->life.chain_end == 0;
    SuccessorLife present = { device->life.begin, device->life.chain_end, SUCCESSOR_CLIENT };
    SuccessorFacts facts = { .now = device->now, .candidate = issue(device, world), .lent = SUCCESSOR_CLIENT };

    if (!is_first && device->life.chain_end >= device->now)
        facts.present = &present;
    if (successor_is_refused(successor_judge(&facts)))
        return false;
    attempts_succeeded(&device->attempts, device->now, is_first ? 0 : device->due);
    device->life =
        schedule_life(facts.candidate.not_before, facts.candidate.chain_end, facts.candidate.chain_end, device->now);
    device->life.late = device->attempts.late;
    device->share = next_random(&device->random);
    device->due = schedule_renewal(&device->life, &world->settings, device->share);
    device->put_off_at = device->due;
    device->has_expired = device->was_put_off = false;
    return true;
}

/* ---- a life ---- */

static Plan plan_of(const Device *device, const World *world) {
    PlanFacts facts = {
        .now = device->now,
        .state = device->life.leaf_end < device->now ? STATE_EXPIRED : STATE_READY,
        .is_possible = true,
        .has_enrolment_means = true,
        .pending = device->was_put_off ? PENDING_RENEWAL : PENDING_NOTHING,
        .life = &device->life,
        .renewal = device->due,
        .awake = device->awake,
        .share = device->share,
        .jitter_permille = world->settings.jitter_permille,
        .attempts = device->attempts,
    };
    Plan plan;

    plan_next(&facts, &plan);
    return plan;
}

/* Moves to the next attempt, through what is switched off meanwhile; false when the simulated time is over. */
static bool await_attempt(Device *device, const World *world) {
    for (;;) {
        int64_t when = instant_to_seconds(plan_of(device, world).from, device->now);
        when = when > device->now ? when : device->now;
        /* What is planned is planned anew when the certificate ends. */
        if (device->now <= device->life.chain_end && when > device->life.chain_end + 1)
            when = device->life.chain_end + 1;
        int64_t known = instant_to_seconds(device->attempts.next, 0);
        known = known > device->due ? known : device->due;
        while (device->off < device->off_count && device->offs[device->off].to <= (known < when ? known : when))
            device->awake = device->offs[device->off++].to;
        if (device->off < device->off_count && device->offs[device->off].from <= when) {
            device->now = device->awake = device->offs[device->off++].to;
            continue;
        }
        bool waits = device->now <= device->life.chain_end && when > device->life.chain_end;
        device->now = when;
        if (when >= world->end)
            return false;
        if (!waits || instant_is_due(plan_of(device, world).from, when))
            return true;
    }
}

static void fail(Device *device, uint32_t told, bool is_put_off) {
    bool lives = device->life.leaf_end >= device->now;

    attempts_failed(&device->attempts, &(AttemptOutcome) { .now = device->now,
                                                           .life = lives ? &device->life : NULL,
                                                           .told = told,
                                                           .is_put_off = is_put_off,
                                                           .random = (uint32_t) next_random(&device->random) });
}

static bool is_put_off(const Device *device) {
    return authority_of(device) == AUTHORITY_PUTS_OFF && !device->was_put_off;
}

static void attempt(Device *device, World *world, Totals *totals) {
    static const uint32_t told[8] = { 0, 0, 600, 600, 600, 86400, 86400, 604800 };
    const Outage *outage = outage_at(world, device->now);
    int64_t before = device->attempts.last_success, tenth = schedule_lifetime(&device->life) / 10;

    if (device->life.chain_end < device->now && !device->has_expired) {
        device->has_expired = true;
        size_t row = authority_of(device) == AUTHORITY_PLAIN ? kind_of(device) : KIND_COUNT;
        totals->expired[row][judge_expiry(device, world)]++;
    }
    count(outage ? &world->refused : &world->answered, device->now);
    if (outage) {
        totals->refused++;
        fail(device, outage->retry_after, false);
    } else if (is_put_off(device)) {
        totals->put_off++;
        device->was_put_off = true;
        device->put_off_at = device->now;
        fail(device, told[next_random(&device->random) % 8], true);
    } else if (install(device, world)) {
        totals->certificates++;
        totals->too_close += device->now - before < tenth;
    } else {
        fail(device, 0, false);
    }
}

static void live(Device *device, World *world, Totals *totals) {
    device->random = world->seed + device->number * 2 + 1;
    device->attempts = (Attempts) { 0 };
    device->life = (ScheduleLife) { 0 };
    make_offs(device, world);
    totals->power_cycles += device->off_count;
    device->now = device->awake = BEGINNING + between(&device->random, 0, world->deployed_within);
    if (!install(device, world))
        abort(); /* a site's issuer has twenty days left at least */
    while (await_attempt(device, world))
        attempt(device, world, totals);
}

/* ---- the command ---- */

static const char help[] =
    "fleet [OPTION…]\n\n"
    "  --devices N           1000000\n"
    "  --days N              730\n"
    "  --lifetime DAYS       of a certificate: 30\n"
    "  --at PERMILLE         At=, in thousandths of the lifetime: 660\n"
    "  --jitter PERMILLE     Jitter=: 100\n"
    "  --deployed-within MINUTES   time in which all devices get their first certificate: 28512 (19.8 days, as\n"
    "                        the time between two renewals)\n"
    "  --seed N              1\n"
    "  --load FILE           the load of each hour, for fleet-plot\n";

static int64_t number(const char *text, int64_t minimum, int64_t maximum) {
    char *end = NULL;

    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || n < minimum || n > maximum) {
        fprintf(stderr, "fleet: %s: must be a number from %" PRId64 " to %" PRId64 "\n", text, minimum, maximum);
        exit(2);
    }
    return n;
}

static int64_t parse_arguments(int argc, char **argv, World *world, const char **ret_load) {
    static const struct option options[] = {
        { "devices", required_argument, NULL, 'd' },  { "days", required_argument, NULL, 'y' },
        { "lifetime", required_argument, NULL, 'l' }, { "at", required_argument, NULL, 'a' },
        { "jitter", required_argument, NULL, 'j' },   { "deployed-within", required_argument, NULL, 'w' },
        { "seed", required_argument, NULL, 's' },     { "load", required_argument, NULL, 'o' },
        { "help", no_argument, NULL, 'h' },           { 0 }
    };
    int64_t days = 730;

    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) >= 0;)
        switch (c) {
        case 'd':
            world->devices = (uint64_t) number(optarg, 1, 100000000);
            break;
        case 'y':
            days = number(optarg, 1, YEARS_MAX * 365);
            break;
        case 'l':
            world->lifetime = number(optarg, 1, 3650) * DAY;
            break;
        case 'a':
            world->settings.renew_at_permille =
                (uint32_t) number(optarg, SCHEDULE_AT_PERMILLE_MIN, SCHEDULE_AT_PERMILLE_MAX);
            break;
        case 'j':
            world->settings.jitter_permille = (uint32_t) number(optarg, 0, JITTER_PERMILLE_MAX);
            break;
        case 'w':
            world->deployed_within = number(optarg, 0, YEARS_MAX * 365 * 1440) * MINUTE;
            break;
        case 's':
            world->seed = (uint64_t) number(optarg, 0, INT64_MAX);
            break;
        case 'o':
            *ret_load = optarg;
            break;
        case 'h':
            (void) fputs(help, stdout);
            exit(0);
        default:
            (void) fputs(help, stderr);
            exit(2);
        }
    return days;
}

int main(int argc, char **argv) {
    World world = { .devices = 1000000,
                    .seed = 1,
                    .lifetime = 30 * DAY,
                    .deployed_within = 28512 * MINUTE,
                    .settings = { .renew_at_permille = RENEW_AT_PERMILLE_DEFAULT,
                                  .jitter_permille = JITTER_PERMILLE_DEFAULT } };
    Totals totals = { 0 };
    const char *load = NULL;
    int64_t days = parse_arguments(argc, argv, &world, &load);
    clock_t start = clock();
    int r = 0;

    world.end = BEGINNING + days * DAY;
    world.answered.count = world.refused.count = (size_t) (days * 1440);
    world.answered.minutes = calloc(world.answered.count, sizeof(uint32_t));
    world.refused.minutes = calloc(world.refused.count, sizeof(uint32_t));
    Device *device = calloc(1, sizeof(*device));
    if (!world.answered.minutes || !world.refused.minutes || !device) {
        fprintf(stderr, "fleet: out of memory\n");
        return 1;
    }
    make_outages(&world);
    print_world(&world, days);
    for (device->number = 0; device->number < world.devices; device->number++)
        live(device, &world, &totals);

    Figures figures = figures_of(&world);
    print_figures(&world, &figures);
    print_totals(&totals, (double) (clock() - start) / CLOCKS_PER_SEC);
    if (load)
        r = write_load(&world, &figures, load);
    if (r < 0)
        fprintf(stderr, "fleet: %s cannot be written\n", load);
    free(world.answered.minutes);
    free(world.refused.minutes);
    free(device);
    return r == 0 && is_good(&totals, &figures) ? 0 : 1;
}
