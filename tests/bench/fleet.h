/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The simulated fleet: fleet.c lives the devices' lives by the daemon's rules, fleet-world.c makes the world around
 * them, fleet-figures.c says what came of it. */
#pragma once

#include "rules/plan.h"
#include "rules/successor.h"

#define MINUTE      INT64_C(60)
#define HOUR        INT64_C(3600)
#define DAY         INT64_C(86400)
#define OUTAGES_MAX 256U
#define OFFS_MAX    8192U
#define YEARS_MAX   10
#define BEGINNING   INT64_C(1699999200) /* of simulated time: an hour begins */

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
    ScheduleSettings settings;
    Outage outages[OUTAGES_MAX];
    size_t outage_count;
    Load answered, refused;
} World;

/* How a device is used. */
typedef enum Kind {
    KIND_ALWAYS_ON, /* but for restarts of at most half an hour */
    KIND_NIGHTLY,   /* off for 8 to 14 hours a day, somewhere on earth */
    KIND_SAME_HOUR, /* off from the evening to 8:00 of one time zone, on within five minutes */
    KIND_SHELVED,   /* off for two months once */
    KIND_COUNT,
} Kind;

/* What a device's CA does. */
typedef enum Authority {
    AUTHORITY_PLAIN,
    AUTHORITY_CLAMPS,    /* never past its own end: one of SITES, each of which has a new issuer twenty days before */
    AUTHORITY_BACKDATES, /* a third of the time from notBefore to notAfter is over when the certificate comes */
    AUTHORITY_PUTS_OFF,  /* a 202 comes first */
} Authority;
#define SITES       12
#define SITE_LIFE   (360 * DAY)
#define SITE_BEFORE (20 * DAY)

/* Why a certificate expired. */
typedef enum Chance {
    CHANCE_NONE,         /* at no time long enough was the device on and the CA up */
    CHANCE_TOLD_TO_WAIT, /* there was such a time, but the CA's own Retry-After reached over it */
    CHANCE_MISSED,       /* there was, and the schedule owed an attempt in it: a fault */
    CHANCE_COUNT,
} Chance;

typedef struct Totals {
    uint64_t certificates, refused, put_off, power_cycles, too_close;
    uint64_t expired[KIND_COUNT + 1][CHANCE_COUNT]; /* the last: whose CA is an odd one */
} Totals;

typedef struct Device {
    uint64_t number, random, share;
    Interval offs[OFFS_MAX]; /* in order, not touching */
    size_t off_count, off;   /* the next */
    int64_t now, awake;
    ScheduleLife life;
    int64_t due; /* of the renewal, whatever happens meanwhile */
    Attempts attempts;
    bool has_expired, was_put_off;
    int64_t put_off_at; /* or when it was due */
} Device;

typedef struct Figures {
    double mean;                                               /* a minute, away from outages */
    double quiet_minute, quiet_hour, after_hour, after_minute; /* the fullest, in means */
    double chance_minute, chance_hour;                         /* what an even load would have by chance */
} Figures;

uint64_t next_random(uint64_t *random);

/* How long a device has at least from the last moment at which it may begin to renew: what "less than the window"
 * means. */
int64_t renewal_window(const World *world);

void make_outages(World *world);
/* The outage at an instant, or NULL. */
const Outage *outage_at(const World *world, int64_t when);

Kind kind_of(const Device *device);
Authority authority_of(const Device *device);
void make_offs(Device *device, const World *world);

/* A number from `low` to `high`. */
int64_t between(uint64_t *random, int64_t low, int64_t high);

/* What the device's CA makes at device->now. */
SuccessorLife issue(const Device *device, const World *world);

/* Why the device's certificate has expired. */
Chance judge_expiry(const Device *device, const World *world);

Figures figures_of(const World *world);
void print_world(const World *world, int64_t days);
void print_figures(const World *world, const Figures *figures);
void print_totals(const Totals *totals, double seconds);
/* Nothing was missed, and a fleet that is large enough kept the limits of docs/fleet.md. */
bool is_good(const Totals *totals, const Figures *figures);
/* 0, or a negative errno. */
int write_load(const World *world, const Figures *figures, const char *path);
