/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The time that each trust domain goes by (docs/design.md §10, clock). A trust domain is the identities with the same
 * anchors: what its authorities have signed moves its floor, and nobody else's. The rules are rules/clock; here is the
 * system clock, what was learned, and the file that keeps it for the rest of this boot. */
#pragma once

#include "common/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DOMAIN_ID_SIZE     65U /* SHA-256 in hex, with the NUL */
#define DOMAIN_SOURCE_SIZE 96U

typedef struct Domains Domains;

/* What one domain goes by, for people. */
typedef struct DomainView {
    const char *id;
    int64_t floor;      /* by now, seconds since the epoch */
    const char *source; /* what the floor was learned from */
    bool is_behind;     /* the system clock was behind it when that was last judged */
} DomainView;

/* `runtime_fd` is borrowed; the file `.clock` in it lives exactly as long as a boot, so that neither a restart of the
 * daemon nor a renewal in the middle of a boot adds the uptime twice. 0 or -ENOMEM. */
int domains_new(int runtime_fd, Domains **ret);
Domains *domains_free(Domains *domains);
DEFINE_CLEANUP(Domains, domains_free)

/* Makes a domain known, with an instant that is certainly past for it (0: none), and judges the clock by it. 0 or
 * -ENOMEM. */
int domain_join(Domains *domains, const char *id, int64_t floor, const char *source);

/* Judges anew, for all of them, whether the system clock is behind: at the start, and when it was set. */
void domains_judge(Domains *domains);
/* Whether it is for any. */
bool domains_any_is_behind(const Domains *domains);

/* The time in use, seconds and µs since the epoch. An unknown domain goes by the build time alone. */
int64_t domain_now(const Domains *domains, const char *id);
uint64_t domain_now_usec(const Domains *domains, const char *id);
bool domain_is_behind(const Domains *domains, const char *id);

/* Takes note of an instant that an authority of the domain has signed; what of it counts is for rules/clock to say.
 * `source` is for people. */
void domain_learn(Domains *domains, const char *id, int64_t instant, const char *source);

/* Forgets what was learned: the build time counts, and the clock is judged by that. */
void domain_reset(Domains *domains, const char *id);

/* The domain, as people are shown it; false: it is not known. */
bool domain_view(const Domains *domains, const char *id, DomainView *ret);

/* µs of CLOCK_BOOTTIME. */
uint64_t boottime_usec(void);
/* Seconds since the epoch, by the system clock alone. */
int64_t realtime_seconds(void);
