/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* When to renew, and when to try again: pure functions of a certificate, a configuration, the device and what happened.
 * Times are seconds since the epoch, of the clock of DESIGN §10, which comes in as a parameter. */
#pragma once

#include "common/bytes.h"
#include "config/identity-config.h"

/* The clock (DESIGN §10). */
int64_t clock_used(int64_t realtime, int64_t floor, int64_t since_boot);

typedef struct ScheduleCertificate {
    int64_t not_before, not_after;
    BytesView fingerprint; /* 32 bytes: with device_seed decides the jitter */
} ScheduleCertificate;

/* The instant of renewal: At= of the lifetime (or before its end), moved by up to ± Jitter= of the lifetime by a hash
 * of device and certificate, so that the same device always picks the same point and a fleet spreads evenly; never
 * before a tenth of the lifetime has passed, never later than 95 % of it. */
int64_t schedule_renewal(const ScheduleCertificate *certificate, const IdentityConfig *config, BytesView device_seed);

#define SCHEDULE_RETRY_MAX       86400       /* seconds between two attempts of which the first failed */
#define SCHEDULE_RETRY_AFTER_MAX (6 * 86400) /* seconds of a Retry-After that count */
#define SCHEDULE_GAP_MAX         (7 * 86400) /* nothing that schedule_retry says is further away */

/* The instant of the next attempt after `failures` (≥ 1) failed ones: full jitter (`random`, 32 uniform bits) over an
 * exponential window from 30 s (shorter for short certificates: at most a 60th of the lifetime, at least 1 s), at most
 * a tenth of the remaining life (`not_after` − now; past expiry or without a certificate: an hour) and at most
 * SCHEDULE_RETRY_MAX; but never sooner than `retry_after` seconds, of which SCHEDULE_RETRY_AFTER_MAX count, and then
 * spread over up to a tenth of it more. */
int64_t schedule_retry(int64_t now, unsigned failures, int64_t not_before, int64_t not_after, uint32_t retry_after,
                       uint32_t random);

/* The earliest instant for another success after one at `last`: a tenth of the lifetime later. */
int64_t schedule_earliest(int64_t last_success, int64_t not_before, int64_t not_after);

/* The same for a renewal, where `chain_end` is when the certificate's chain ends, itself or an intermediate of it. That
 * an intermediate ends soon makes renewals due ever earlier, but not what they bring any better: a tenth of the
 * certificate's own lifetime counts here too. Only a chain that has ended is not kept for so long, since peers refuse
 * it, and what replaces it is valid or else no success: then SCHEDULE_CHAIN_END_GAP counts, where that is less. One
 * intermediate ends for a whole fleet at the same second: hence `delay`, of schedule_chain_end_delay. */
int64_t schedule_earliest_renewal(int64_t last_success, int64_t not_before, int64_t not_after, int64_t chain_end,
                                  int64_t delay);

/* How many seconds after the end of its chain this device renews: 0 to SCHEDULE_CHAIN_END_GAP - 1, by the same hash as
 * the instant of renewal. */
#define SCHEDULE_CHAIN_END_GAP 900 /* seconds */
int64_t schedule_chain_end_delay(const ScheduleCertificate *certificate, BytesView device_seed);
