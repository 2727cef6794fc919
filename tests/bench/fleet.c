/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a fleet does to its CA: drives the daemon's own schedule (rules/schedule.c) for many simulated devices over
 * years, with a CA that is down at times and devices that are switched off at times. Prints the load at the CA per
 * minute, and fails if a device expired that is always on, or that could have reached its CA in time. The world is a
 * function of the seed, so a run can be repeated. */
#include "rules/schedule.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MINUTE      INT64_C(60)
#define HOUR        INT64_C(3600)
#define DAY         INT64_C(86400)
#define OUTAGES_MAX 256U
#define OFFS_MAX    8192U
#define YEARS_MAX   10
#define BEGINNING   INT64_C(1700000000) /* of simulated time; any */

typedef struct Interval {
    int64_t from, to; /* [from, to) */
} Interval;

typedef struct Outage {
    Interval when;
    uint32_t retry_after; /* what the CA's load balancer says meanwhile; 0: nothing answers */
} Outage;

typedef struct Load {
    uint32_t *minutes; /* requests that came in, by minute */
    size_t count;
} Load;

typedef struct World {
    uint64_t devices, seed;
    int64_t end, lifetime, deployed_within;
    IdentityConfig config;
    Outage outages[OUTAGES_MAX];
    size_t outage_count;
    Load answered, refused;
} World;

/* How a device is used. */
typedef enum Kind {
    KIND_ALWAYS_ON, /* but for restarts of at most half an hour */
    KIND_NIGHTLY,   /* off for 8 to 14 hours a day */
    KIND_SHELVED,   /* off for two months once */
    KIND_COUNT,
} Kind;

/* Why a certificate expired. */
typedef enum Chance {
    CHANCE_NONE,         /* at no time long enough was the device on and the CA up */
    CHANCE_TOLD_TO_WAIT, /* there was such a time, but the CA's own Retry-After reached over it */
    CHANCE_MISSED,       /* there was, and the schedule owed an attempt in it: a fault */
    CHANCE_COUNT,
} Chance;

typedef struct Totals {
    uint64_t certificates, refused, power_cycles;
    uint64_t expired[KIND_COUNT][CHANCE_COUNT];
} Totals;

typedef struct Device {
    uint64_t number, random;
    Interval offs[OFFS_MAX]; /* in order, not touching */
    size_t off_count;
    int64_t not_before, not_after, due;
    uint64_t certificate; /* counts them */
    bool expired;
} Device;

static uint64_t next_random(uint64_t *state) {
    /* splitmix64: good from any seed. */
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* `low` to `high`. */
static int64_t between(uint64_t *random, int64_t low, int64_t high) {
    return low + (int64_t) (next_random(random) % (uint64_t) (high - low + 1));
}

/* How long a device has at least from the last moment at which it may begin to renew: what "less than the window"
 * means. */
static int64_t renewal_window(const World *world) {
    uint32_t latest = world->config.renew_at_permille + world->config.jitter_permille;

    latest = latest < RENEW_AT_PERMILLE_MAX ? latest : RENEW_AT_PERMILLE_MAX;
    return world->lifetime - world->lifetime * latest / 1000;
}

/* ---- the CA ---- */

/* About one a month, from minutes to just below the window, short ones more often. The longest that is allowed comes
 * once. */
static void make_outages(World *world) {
    uint64_t random = world->seed ^ 0xca;
    int64_t longest = renewal_window(world) * 99 / 100, at = BEGINNING + 20 * DAY;
    bool longest_came = false;

    while (world->outage_count < OUTAGES_MAX) {
        int64_t length = longest;
        for (int64_t halvings = between(&random, 0, 9); halvings > 0 && length > 10 * MINUTE; halvings--)
            length /= 2;
        if (!longest_came && at > BEGINNING + (world->end - BEGINNING) / 2) {
            length = longest;
            longest_came = true;
        }
        /* Two outages with little time between would be one that is longer than the window. */
        at += world->lifetime + between(&random, 0, 10 * DAY);
        if (at + length >= world->end)
            return;
        bool answers = world->outage_count % 2 == 1;
        world->outages[world->outage_count++] = (Outage) { { at, at + length }, answers ? (uint32_t) HOUR : 0 };
        at += length;
    }
}

/* The outage at an instant, or NULL. */
static const Outage *outage_at(const World *world, int64_t when) {
    for (size_t i = 0; i < world->outage_count; i++)
        if (when >= world->outages[i].when.from && when < world->outages[i].when.to)
            return &world->outages[i];
    return NULL;
}

static void count(Load *load, int64_t when) {
    size_t minute = (size_t) ((when - BEGINNING) / MINUTE);

    if (minute < load->count)
        load->minutes[minute]++;
}

/* ---- devices ---- */

static void add_off(Device *device, int64_t from, int64_t length) {
    if (device->off_count > 0 && from <= device->offs[device->off_count - 1].to)
        from = device->offs[device->off_count - 1].to + MINUTE;
    if (device->off_count < OFFS_MAX)
        device->offs[device->off_count++] = (Interval) { from, from + length };
}

/* Of a hundred devices ten are switched off every night, one lies on a shelf for two months, and the others are always
 * on, but for restarts. */
static Kind kind_of(const Device *device) {
    uint64_t number = device->number % 100;

    return number < 10 ? KIND_NIGHTLY : number == 10 ? KIND_SHELVED : KIND_ALWAYS_ON;
}

static void make_offs(Device *device, const World *world) {
    int64_t at = BEGINNING, night = between(&device->random, 0, DAY - 1),
            shelf = between(&device->random, 0, world->end - BEGINNING);

    device->off_count = 0;
    if (kind_of(device) == KIND_NIGHTLY) {
        for (at += night; at < world->end; at += DAY)
            add_off(device, at + between(&device->random, 0, HOUR), between(&device->random, 8 * HOUR, 14 * HOUR));
        return;
    }
    bool shelved = kind_of(device) != KIND_SHELVED;
    for (at += between(&device->random, 0, 30 * DAY); at < world->end; at += between(&device->random, DAY, 60 * DAY)) {
        if (!shelved && at > BEGINNING + shelf) {
            add_off(device, at, 60 * DAY);
            shelved = true;
        }
        add_off(device, at, between(&device->random, MINUTE, 30 * MINUTE));
    }
}

/* The same instant, or the next at which the device is on. `at` is where the search begins, and only grows. */
static int64_t on_at(const Device *device, int64_t when, size_t *at) {
    while (*at < device->off_count && device->offs[*at].to <= when)
        (*at)++;
    if (*at < device->off_count && device->offs[*at].from <= when)
        return device->offs[*at].to;
    return when;
}

static void issue(Device *device, const World *world, int64_t when) {
    uint8_t seed[8], fingerprint[32] = { 0 };
    ScheduleCertificate certificate = { when, when + world->lifetime, { fingerprint, sizeof(fingerprint) } };

    device->certificate++;
    memcpy(seed, &device->number, sizeof(seed));
    memcpy(fingerprint, &device->number, sizeof(device->number));
    memcpy(fingerprint + 8, &device->certificate, sizeof(device->certificate));
    device->not_before = certificate.not_before;
    device->not_after = certificate.not_after;
    device->expired = false;
    /* As the manager does: not before a tenth of the life after the last success. */
    int64_t earliest = schedule_earliest(when, device->not_before, device->not_after);
    device->due = schedule_renewal(&certificate, &world->config, (BytesView) { seed, sizeof(seed) });
    if (device->due < earliest)
        device->due = earliest;
}

/* What an outage that ended in the window before `start` may still make a device wait: its Retry-After and the spread.
 */
static int64_t told_to_wait(const Device *device, const World *world, int64_t start) {
    int64_t told = 0;

    for (size_t i = 0; i < world->outage_count; i++) {
        const Outage *outage = &world->outages[i];
        if (outage->when.to <= start && outage->when.to > device->due && outage->retry_after > told)
            told = outage->retry_after;
    }
    return told + told / 10;
}

/* Where a stretch with the device on and the CA up that begins at `start` ends. `at` is the device's next time off. */
static int64_t stretch_end(const Device *device, const World *world, int64_t start, size_t at) {
    int64_t stop = at < device->off_count ? device->offs[at].from : device->not_after;

    for (size_t i = 0; i < world->outage_count; i++)
        if (world->outages[i].when.from >= start && world->outages[i].when.from < stop)
            stop = world->outages[i].when.from;
    return stop < device->not_after ? stop : device->not_after;
}

/* Looks, between the renewal's time and the expiry, for a stretch with the device on and the CA up that is longer than
 * a tenth of what was left when it began: if every attempt before met a CA that was down, the schedule owes one in it.
 */
static Chance judge_expiry(const Device *device, const World *world) {
    Chance chance = CHANCE_NONE;
    size_t at = 0;

    for (int64_t start = device->due; start < device->not_after;) {
        int64_t on = on_at(device, start, &at), tenth = (device->not_after - start) / 10 + 1;
        const Outage *outage = outage_at(world, on);
        if (outage || on != start) {
            start = outage ? outage->when.to : on;
            continue;
        }
        int64_t stop = stretch_end(device, world, start, at);
        if (stop - start > tenth + told_to_wait(device, world, start))
            return CHANCE_MISSED;
        if (stop - start > tenth)
            chance = CHANCE_TOLD_TO_WAIT;
        start = stop;
    }
    return chance;
}

static void note_expiry(Device *device, const World *world, Totals *totals) {
    device->expired = true;
    totals->expired[kind_of(device)][judge_expiry(device, world)]++;
}

/* One renewal with all its attempts; false when the simulated time is over. */
static bool renew(Device *device, World *world, size_t *off, Totals *totals) {
    int64_t when = device->due;

    for (unsigned failures = 0;;) {
        when = on_at(device, when, off);
        if (when >= device->not_after && !device->expired)
            note_expiry(device, world, totals);
        if (when >= world->end)
            return false;
        const Outage *outage = outage_at(world, when);
        count(outage ? &world->refused : &world->answered, when);
        if (!outage)
            break;
        totals->refused++;
        when = schedule_retry(when, ++failures, device->not_before, device->not_after, outage->retry_after,
                              (uint32_t) next_random(&device->random));
    }
    totals->certificates++;
    issue(device, world, when);
    return true;
}

static void live(Device *device, World *world, Totals *totals) {
    size_t off = 0;

    device->random = world->seed + device->number * 2 + 1;
    device->certificate = 0;
    make_offs(device, world);
    totals->power_cycles += device->off_count;
    issue(device, world, BEGINNING + between(&device->random, 0, world->deployed_within));
    while (renew(device, world, &off, totals))
        ;
}

/* ---- figures ---- */

/* Minutes that are counted: not while the fleet is first renewed, when `deployed_within` still shows; and, for `quiet`,
 * not from the beginning of an outage to half a lifetime after it. */
static bool is_counted(const World *world, size_t minute, bool quiet) {
    int64_t when = BEGINNING + (int64_t) minute * MINUTE;

    if (when < BEGINNING + world->deployed_within + world->lifetime)
        return false;
    for (size_t i = 0; quiet && i < world->outage_count; i++)
        if (when >= world->outages[i].when.from && when < world->outages[i].when.to + world->lifetime / 2)
            return false;
    return true;
}

static void print_load(const World *world, const char *name, const Load *load, bool quiet) {
    uint64_t sum = 0, counted = 0;
    uint32_t peak = 0;

    for (size_t minute = 0; minute < load->count; minute++) {
        if (!is_counted(world, minute, quiet))
            continue;
        counted++;
        sum += load->minutes[minute];
        peak = load->minutes[minute] > peak ? load->minutes[minute] : peak;
    }
    if (counted == 0 || sum == 0) {
        printf("%-44s nothing\n", name);
        return;
    }
    double mean = (double) sum / (double) counted;
    printf("%-44s mean %.1f  peak %" PRIu32 "  peak/mean %.2f\n", name, mean, peak, peak / mean);
}

static void print_outages(const World *world) {
    uint32_t worst = 0;
    size_t which = 0;

    for (size_t i = 0; i < world->outage_count; i++)
        for (int64_t when = world->outages[i].when.to; when < world->outages[i].when.to + DAY; when += MINUTE) {
            size_t minute = (size_t) ((when - BEGINNING) / MINUTE);
            if (minute < world->answered.count && world->answered.minutes[minute] > worst) {
                worst = world->answered.minutes[minute];
                which = i;
            }
        }
    if (world->outage_count > 0)
        printf("%-44s %" PRIu32 " (that outage lasted %.1f hours)\n", "worst minute of the day after an outage", worst,
               (double) (world->outages[which].when.to - world->outages[which].when.from) / (double) HOUR);
}

static void print_world(const World *world, int64_t days) {
    int64_t longest = 0;

    for (size_t i = 0; i < world->outage_count; i++) {
        int64_t length = world->outages[i].when.to - world->outages[i].when.from;
        longest = length > longest ? length : longest;
    }
    printf("%" PRIu64 " devices over %" PRId64
           " days, certificates of %.1f days, At=%.1f%% Jitter=%.1f%%, deployed within %.1f "
           "days\n",
           world->devices, days, (double) world->lifetime / (double) DAY, world->config.renew_at_permille / 10.0,
           world->config.jitter_permille / 10.0, (double) world->deployed_within / (double) DAY);
    printf("the CA is down %zu times, at most for %.2f days; the window is %.2f days\n", world->outage_count,
           (double) longest / (double) DAY, (double) renewal_window(world) / (double) DAY);
}

static void print_totals(const Totals *totals, double seconds) {
    static const char *const kinds[KIND_COUNT] = { "always on (89 %)", "off at night (10 %)",
                                                   "off for two months (1 %)" };

    printf("renewals %" PRIu64 ", attempts that met a CA that was down %" PRIu64 ", power cycles %" PRIu64 "\n",
           totals->certificates, totals->refused, totals->power_cycles);
    printf("\n%-28s %16s %16s %16s\n", "expired", "unreachable", "told to wait", "MISSED");
    for (size_t kind = 0; kind < KIND_COUNT; kind++)
        printf("%-28s %16" PRIu64 " %16" PRIu64 " %16" PRIu64 "\n", kinds[kind], totals->expired[kind][CHANCE_NONE],
               totals->expired[kind][CHANCE_TOLD_TO_WAIT], totals->expired[kind][CHANCE_MISSED]);
    printf("unreachable: never on with the CA up for long enough; told to wait: the CA's Retry-After was longer than "
           "what was "
           "left\n");
    printf("simulated in %.1f s\n", seconds);
}

/* Every outage is shorter than the window, so what is always on must not expire at all, for whatever reason. */
static bool is_good(const Totals *totals) {
    uint64_t bad = 0;

    for (size_t chance = 0; chance < CHANCE_COUNT; chance++)
        bad += totals->expired[KIND_ALWAYS_ON][chance];
    for (size_t kind = 0; kind < KIND_COUNT; kind++)
        bad += totals->expired[kind][CHANCE_MISSED];
    return bad == 0;
}

/* ---- the command ---- */

static const char help[] =
    "fleet [OPTION…]\n\n"
    "  --devices N           1000000\n"
    "  --days N              730\n"
    "  --lifetime DAYS       of a certificate: 30\n"
    "  --at PERMILLE         At=, in thousandths of the lifetime: 660\n"
    "  --jitter PERMILLE     Jitter=: 100\n"
    "  --deployed-within MINUTES   time in which all devices get their first certificate: 43200 (30 days)\n"
    "  --seed N              1\n";

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

static int64_t parse_arguments(int argc, char **argv, World *world) {
    static const struct option options[] = { { "devices", required_argument, NULL, 'd' },
                                             { "days", required_argument, NULL, 'y' },
                                             { "lifetime", required_argument, NULL, 'l' },
                                             { "at", required_argument, NULL, 'a' },
                                             { "jitter", required_argument, NULL, 'j' },
                                             { "deployed-within", required_argument, NULL, 'w' },
                                             { "seed", required_argument, NULL, 's' },
                                             { "help", no_argument, NULL, 'h' },
                                             { 0 } };
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
            world->config.renew_at_permille = (uint32_t) number(optarg, RENEW_AT_PERMILLE_MIN, RENEW_AT_PERMILLE_MAX);
            break;
        case 'j':
            world->config.jitter_permille = (uint32_t) number(optarg, 0, JITTER_PERMILLE_MAX);
            break;
        case 'w':
            world->deployed_within = number(optarg, 0, YEARS_MAX * 365 * 1440) * MINUTE;
            break;
        case 's':
            world->seed = (uint64_t) number(optarg, 0, INT64_MAX);
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
                    .deployed_within = 30 * DAY,
                    .config = { .renew_at_permille = RENEW_AT_PERMILLE_DEFAULT,
                                .jitter_permille = JITTER_PERMILLE_DEFAULT } };
    Totals totals = { 0 };
    int64_t days = parse_arguments(argc, argv, &world);
    clock_t start = clock();

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

    print_load(&world, "requests a minute, away from outages", &world.answered, true);
    print_load(&world, "requests a minute, all", &world.answered, false);
    print_outages(&world);
    print_totals(&totals, (double) (clock() - start) / CLOCKS_PER_SEC);
    free(world.answered.minutes);
    free(world.refused.minutes);
    free(device);
    return is_good(&totals) ? 0 : 1;
}
