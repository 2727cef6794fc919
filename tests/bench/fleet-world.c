/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The world of the simulated fleet: when its CA is down, when devices are off, what is issued, and whether a
 * certificate that expired could have been renewed in time. */
#include "tests/bench/fleet.h"

uint64_t next_random(uint64_t *state) {
    /* splitmix64: good from any seed. */
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

int64_t between(uint64_t *random, int64_t low, int64_t high) {
    return low + (int64_t) (next_random(random) % (uint64_t) (high - low + 1));
}

int64_t renewal_window(const World *world) {
    uint32_t latest = world->settings.renew_at_permille + world->settings.jitter_permille;

    latest = latest < SCHEDULE_AT_PERMILLE_MAX ? latest : SCHEDULE_AT_PERMILLE_MAX;
    return world->lifetime - world->lifetime * latest / 1000;
}

/* ---- the CA ---- */

/* About one a month, from minutes to just below the window (seven days of 7.2), short ones more often. The longest
 * comes once. */
void make_outages(World *world) {
    uint64_t random = world->seed ^ 0xca;
    int64_t longest = renewal_window(world) * 972 / 1000, at = BEGINNING + 20 * DAY;
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

const Outage *outage_at(const World *world, int64_t when) {
    for (size_t i = 0; i < world->outage_count; i++)
        if (when >= world->outages[i].when.from && when < world->outages[i].when.to)
            return &world->outages[i];
    return NULL;
}

/* ---- devices ---- */

static void add_off(Device *device, int64_t from, int64_t length) {
    if (device->off_count > 0 && from <= device->offs[device->off_count - 1].to)
        from = device->offs[device->off_count - 1].to + MINUTE;
    if (device->off_count < OFFS_MAX)
        device->offs[device->off_count++] = (Interval) { from, from + length };
}

/* Of a hundred devices ten are switched off every night, four of them in one office; one lies on a shelf for two
 * months, and the others are always on, but for restarts. */
Kind kind_of(const Device *device) {
    uint64_t number = device->number % 100;

    if (number < 6)
        return KIND_NIGHTLY;
    if (number < 10)
        return KIND_SAME_HOUR;
    return number == 10 ? KIND_SHELVED : KIND_ALWAYS_ON;
}

/* Seven in ten have a plain CA, whatever their kind; the others share the oddities. */
Authority authority_of(const Device *device) {
    uint64_t number = device->number / 100 % 10;

    if (number == 0)
        return AUTHORITY_CLAMPS;
    if (number == 1)
        return AUTHORITY_BACKDATES;
    return number == 2 ? AUTHORITY_PUTS_OFF : AUTHORITY_PLAIN;
}

static void make_nights(Device *device, const World *world) {
    int64_t night = between(&device->random, 0, DAY - 1);

    for (int64_t at = BEGINNING; at < world->end; at += DAY)
        if (kind_of(device) == KIND_NIGHTLY) {
            add_off(device, at + night + between(&device->random, 0, HOUR),
                    between(&device->random, 8 * HOUR, 14 * HOUR));
        } else {
            int64_t from = at + 18 * HOUR + between(&device->random, 0, 4 * HOUR);
            add_off(device, from, at + 32 * HOUR + between(&device->random, 0, 5 * MINUTE) - from);
        }
}

void make_offs(Device *device, const World *world) {
    int64_t at = BEGINNING, shelf = between(&device->random, 0, world->end - BEGINNING);
    bool shelved = kind_of(device) != KIND_SHELVED;

    device->off_count = device->off = 0;
    if (kind_of(device) == KIND_NIGHTLY || kind_of(device) == KIND_SAME_HOUR) {
        make_nights(device, world);
        return;
    }
    for (at += between(&device->random, 0, 30 * DAY); at < world->end; at += between(&device->random, DAY, 60 * DAY)) {
        if (!shelved && at > BEGINNING + shelf) {
            add_off(device, at, 60 * DAY);
            shelved = true;
        }
        add_off(device, at, between(&device->random, MINUTE, 30 * MINUTE));
    }
}

/* ---- what a CA issues ---- */

static uint64_t site_of(const Device *device) {
    return device->number / 1000 % SITES;
}

/* The end of the issuer that a site uses at an instant. */
static int64_t site_end(uint64_t site, int64_t when) {
    int64_t end = BEGINNING + (int64_t) (site + 1) * (SITE_LIFE / SITES);

    while (end - SITE_BEFORE <= when)
        end += SITE_LIFE;
    return end;
}

SuccessorLife issue(const Device *device, const World *world) {
    SuccessorLife life = { .not_before = device->now,
                           .chain_end = device->now + world->lifetime,
                           .usages = SUCCESSOR_CLIENT };

    if (authority_of(device) == AUTHORITY_CLAMPS) {
        int64_t end = site_end(site_of(device), device->now);
        life.chain_end = life.chain_end < end ? life.chain_end : end;
    }
    if (authority_of(device) == AUTHORITY_BACKDATES)
        life.not_before -= world->lifetime / 2;
    return life;
}

/* ---- a certificate's end ---- */

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

static const Interval *off_at(const Device *device, int64_t when) {
    for (size_t i = 0; i < device->off_count && device->offs[i].from <= when; i++)
        if (when < device->offs[i].to)
            return &device->offs[i];
    return NULL;
}

/* Where a stretch with the device on and the CA up that begins at `start` ends. */
static int64_t stretch_end(const Device *device, const World *world, int64_t start) {
    int64_t stop = device->life.chain_end;

    for (size_t i = 0; i < device->off_count; i++)
        if (device->offs[i].from >= start && device->offs[i].from < stop)
            stop = device->offs[i].from;
    for (size_t i = 0; i < world->outage_count; i++)
        if (world->outages[i].when.from >= start && world->outages[i].when.from < stop)
            stop = world->outages[i].when.from;
    return stop;
}

/* Looks, between the renewal's time (or the last answer of the CA) and the end, for a stretch with the device on and
 * the CA up that is longer than nine tenths of what was left when it began: however the attempts before went, the
 * schedule owes one in it. */
Chance judge_expiry(const Device *device, const World *world) {
    Chance chance = CHANCE_NONE;

    for (int64_t start = device->put_off_at; start < device->life.chain_end;) {
        const Outage *outage = outage_at(world, start);
        const Interval *off = off_at(device, start);
        if (outage || off) {
            start = outage ? outage->when.to : off->to;
            continue;
        }
        int64_t most = (device->life.chain_end - start) / 10 * 9 + 10, stop = stretch_end(device, world, start);
        if (stop - start > most + told_to_wait(device, world, start))
            return CHANCE_MISSED;
        if (stop - start > most)
            chance = CHANCE_TOLD_TO_WAIT;
        start = stop;
    }
    return chance;
}
