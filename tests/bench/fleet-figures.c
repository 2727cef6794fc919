/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What came of the simulated fleet: the load at the CA, held against chance and against what is wanted. */
#include "tests/bench/fleet.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* What a fleet may do to its CA, in means of a minute or an hour away from outages (docs/fleet.md). */
#define QUIET_MINUTE_MOST 2.0
#define QUIET_HOUR_MOST   1.15
#define AFTER_HOUR_MOST   4.0
#define AFTER_MINUTE_MOST 8.0
#define MEAN_LEAST        30.0 /* requests a minute; with fewer, chance alone gives more than that */

/* ---- figures ---- */

/* Away from outages: not while the fleet is first renewed, when `deployed_within` still shows, and not from the
 * beginning of an outage to half a lifetime after it. */
static bool is_quiet(const World *world, int64_t when) {
    if (when < BEGINNING + world->deployed_within + world->lifetime)
        return false;
    for (size_t i = 0; i < world->outage_count; i++)
        if (when + HOUR > world->outages[i].when.from && when < world->outages[i].when.to + world->lifetime / 2)
            return false;
    return true;
}

static uint32_t minute_at(const World *world, int64_t when) {
    size_t minute = (size_t) ((when - BEGINNING) / MINUTE);

    return minute < world->answered.count ? world->answered.minutes[minute] : 0;
}

static uint32_t hour_at(const World *world, int64_t when) {
    uint32_t sum = 0;

    for (int64_t at = when; at < when + HOUR; at += MINUTE)
        sum += minute_at(world, at);
    return sum;
}

static uint32_t fullest_minute(const World *world, int64_t from, int64_t to) {
    uint32_t most = 0;

    for (int64_t at = from; at < to; at += MINUTE)
        most = minute_at(world, at) > most ? minute_at(world, at) : most;
    return most;
}

/* The most of `count` Poisson numbers: the least that is passed less than once. */
static double chance_most(double mean, double count) {
    double expected = count; /* of them, that are at least k */
    unsigned k = 0;

    for (; expected >= 1 && k < 10000000; k++)
        expected -= count * exp(k * log(mean) - mean - lgamma(k + 1.0));
    return k > 0 ? k - 1 : 0;
}

Figures figures_of(const World *world) {
    Figures figures = { 0 };
    uint64_t sum = 0, hours = 0;
    uint32_t minute = 0, hour = 0;

    for (int64_t at = BEGINNING; at < world->end; at += HOUR) {
        if (!is_quiet(world, at))
            continue;
        uint32_t most = fullest_minute(world, at, at + HOUR), all = hour_at(world, at);
        minute = most > minute ? most : minute;
        hour = all > hour ? all : hour;
        sum += all;
        hours++;
    }
    if (hours == 0 || sum == 0)
        return figures;
    double mean = (double) sum / (double) hours / 60;
    figures.mean = mean;
    figures.quiet_minute = minute / mean;
    figures.quiet_hour = hour / mean / 60;
    figures.chance_minute = chance_most(mean, (double) hours * 60) / mean;
    figures.chance_hour = chance_most(mean * 60, (double) hours) / mean / 60;
    for (size_t i = 0; i < world->outage_count; i++) {
        int64_t to = (world->outages[i].when.to + MINUTE - 1) / MINUTE * MINUTE;
        double first = hour_at(world, to) / mean / 60,
               most = fullest_minute(world, to, to + world->lifetime / 2) / mean;
        figures.after_hour = fmax(figures.after_hour, first);
        figures.after_minute = fmax(figures.after_minute, most);
    }
    return figures;
}

static void print_outages(const World *world, const Figures *figures) {
    printf("\n%-28s %16s %16s %16s\n", "outages", "Retry-After", "first hour", "fullest minute");
    for (size_t i = 0; i < world->outage_count; i++) {
        const Outage *outage = &world->outages[i];
        int64_t to = (outage->when.to + MINUTE - 1) / MINUTE * MINUTE;
        if (outage->when.to - outage->when.from >= DAY)
            printf("day %4.0f, %6.2f days %25" PRIu32 " %16.2f %16.2f\n",
                   (double) (outage->when.from - BEGINNING) / (double) DAY,
                   (double) (outage->when.to - outage->when.from) / (double) DAY, outage->retry_after,
                   hour_at(world, to) / figures->mean / 60,
                   fullest_minute(world, to, to + world->lifetime / 2) / figures->mean);
    }
}

void print_figures(const World *world, const Figures *figures) {
    printf("requests a minute, away from outages: mean %.1f\n", figures->mean);
    printf("%-44s %8s %8s %14s\n", "in means", "seen", "wanted", "chance alone");
    printf("%-44s %8.2f %8.2f %14.2f\n", "fullest minute away from outages", figures->quiet_minute, QUIET_MINUTE_MOST,
           figures->chance_minute);
    printf("%-44s %8.2f %8.2f %14.2f\n", "fullest hour away from outages", figures->quiet_hour, QUIET_HOUR_MOST,
           figures->chance_hour);
    printf("%-44s %8.2f %8.2f\n", "first hour after an outage", figures->after_hour, AFTER_HOUR_MOST);
    printf("%-44s %8.2f %8.2f\n", "fullest minute after an outage", figures->after_minute, AFTER_MINUTE_MOST);
    print_outages(world, figures);
}

void print_world(const World *world, int64_t days) {
    int64_t longest = 0;

    for (size_t i = 0; i < world->outage_count; i++) {
        int64_t length = world->outages[i].when.to - world->outages[i].when.from;
        longest = length > longest ? length : longest;
    }
    printf("%" PRIu64 " devices over %" PRId64
           " days, certificates of %.1f days, At=%.1f%% Jitter=%.1f%%, deployed within %.1f "
           "days\n",
           world->devices, days, (double) world->lifetime / (double) DAY, world->settings.renew_at_permille / 10.0,
           world->settings.jitter_permille / 10.0, (double) world->deployed_within / (double) DAY);
    printf("the CA is down %zu times, at most for %.2f days; the window is %.2f days\n", world->outage_count,
           (double) longest / (double) DAY, (double) renewal_window(world) / (double) DAY);
}

void print_totals(const Totals *totals, double seconds) {
    static const char *const kinds[KIND_COUNT + 1] = { "always on (89 %)", "off at night (6 %)", "on at one hour (4 %)",
                                                       "off for two months (1 %)", "any, below an odd CA" };

    printf("\nrenewals %" PRIu64 ", put off %" PRIu64 ", attempts that met a CA that was down %" PRIu64
           ", power cycles %" PRIu64 "\n",
           totals->certificates, totals->put_off, totals->refused, totals->power_cycles);
    printf("successes closer than a tenth of the lifetime: %" PRIu64 "\n", totals->too_close);
    printf("\n%-28s %16s %16s %16s\n", "expired", "unreachable", "told to wait", "MISSED");
    for (size_t kind = 0; kind <= KIND_COUNT; kind++)
        printf("%-28s %16" PRIu64 " %16" PRIu64 " %16" PRIu64 "\n", kinds[kind], totals->expired[kind][CHANCE_NONE],
               totals->expired[kind][CHANCE_TOLD_TO_WAIT], totals->expired[kind][CHANCE_MISSED]);
    printf("unreachable: never on with the CA up for long enough; told to wait: the CA's Retry-After was longer than "
           "what was left\n");
    printf("simulated in %.1f s\n", seconds);
}

/* Every outage is shorter than the window, so what is always on must not expire at all, for whatever reason. */
bool is_good(const Totals *totals, const Figures *figures) {
    uint64_t bad = totals->too_close;

    for (size_t chance = 0; chance < CHANCE_COUNT; chance++)
        bad += totals->expired[KIND_ALWAYS_ON][chance];
    for (size_t kind = 0; kind <= KIND_COUNT; kind++)
        bad += totals->expired[kind][CHANCE_MISSED];
    if (figures->mean < MEAN_LEAST)
        return bad == 0;
    return bad == 0 && figures->quiet_minute <= QUIET_MINUTE_MOST && figures->quiet_hour <= QUIET_HOUR_MOST &&
           figures->after_hour <= AFTER_HOUR_MOST && figures->after_minute <= AFTER_MINUTE_MOST;
}

/* A line for each hour: its number, the fullest minute and the mean minute, in quiet means; what tests/bench/fleet-plot
 * draws. */
int write_load(const World *world, const Figures *figures, const char *path) {
    FILE *file = fopen(path, "we");

    if (!file)
        return -errno;
    for (int64_t at = BEGINNING; at < world->end; at += HOUR)
        fprintf(file, "%" PRId64 " %.3f %.3f %d\n", (at - BEGINNING) / HOUR,
                fullest_minute(world, at, at + HOUR) / figures->mean, hour_at(world, at) / figures->mean / 60,
                outage_at(world, at) ? 1 : 0);
    return fclose(file) == 0 ? 0 : -errno;
}
