/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Renewal and retry times. Certificates come from outside and clocks lie, so every sum saturates. */
#include "rules/schedule.h"

#include <gnutls/crypto.h>
#include <string.h>

#define RETRY_WINDOW      30   /* seconds: the first window */
#define RETRY_LIFETIME    60   /* … but at most this part of the lifetime */
#define RETRY_REMAINING   10   /* windows end at this part of the remaining life */
#define RETRY_OTHERWISE   3600 /* … or, without any, at this many seconds */
#define EARLIEST_LIFETIME 10   /* two successes are this part of the lifetime apart */

static int64_t add(int64_t a, int64_t b) {
    int64_t sum;

    if (__builtin_add_overflow(a, b, &sum))
        return b < 0 ? INT64_MIN : INT64_MAX;
    return sum;
}

static int64_t subtract(int64_t a, int64_t b) {
    int64_t difference;

    if (__builtin_sub_overflow(a, b, &difference))
        return b < 0 ? INT64_MAX : INT64_MIN;
    return difference;
}

static int64_t clamp(int64_t value, int64_t low, int64_t high) {
    return value < low ? low : value > high ? high : value;
}

/* `value` ≥ 0. */
static int64_t permille_of(int64_t value, uint32_t permille) {
    return (int64_t) ((__int128) value * permille / 1000);
}

int64_t clock_used(int64_t realtime, int64_t floor, int64_t since_boot) {
    int64_t least = add(floor, since_boot > 0 ? since_boot : 0);

    return realtime > least ? realtime : least;
}

/* A fraction of 2^64 that belongs to this device and this certificate alone. */
static uint64_t fraction(BytesView device_seed, BytesView fingerprint) {
    static const char label[] = "identityd renewal";
    gnutls_hash_hd_t hash;
    uint8_t digest[32], sizes[2] = { (uint8_t) device_seed.size, (uint8_t) fingerprint.size };
    uint64_t value = UINT64_C(1) << 63; /* without a hash, in the middle */

    if (gnutls_hash_init(&hash, GNUTLS_DIG_SHA256) < 0)
        return value;
    bool good = gnutls_hash(hash, label, sizeof(label)) >= 0 && gnutls_hash(hash, sizes, sizeof(sizes)) >= 0 &&
                (device_seed.size == 0 || gnutls_hash(hash, device_seed.data, device_seed.size) >= 0) &&
                (fingerprint.size == 0 || gnutls_hash(hash, fingerprint.data, fingerprint.size) >= 0);
    gnutls_hash_deinit(hash, digest);
    if (good) {
        value = 0;
        for (size_t i = 0; i < 8; i++)
            value = value << 8 | digest[i];
    }
    return value;
}

int64_t schedule_renewal(const ScheduleCertificate *certificate, const IdentityConfig *config, BytesView device_seed) {
    int64_t lifetime = subtract(certificate->not_after, certificate->not_before);

    if (lifetime <= 0)
        return certificate->not_after;
    int64_t low = permille_of(lifetime, RENEW_AT_PERMILLE_MIN), high = permille_of(lifetime, RENEW_AT_PERMILLE_MAX);
    int64_t at =
        config->renew_at_permille > 0
            ? permille_of(lifetime, config->renew_at_permille)
            : subtract(lifetime, config->renew_before > INT64_MAX ? INT64_MAX : (int64_t) config->renew_before);
    int64_t jitter = permille_of(lifetime, config->jitter_permille < 1000 ? config->jitter_permille : 1000);

    /* The window is cut to the bounds before a point is chosen in it, never the point: else many would meet at a bound.
     */
    at = clamp(at, low, high);
    int64_t from = clamp(subtract(at, jitter), low, high), to = clamp(add(at, jitter), low, high);
    uint64_t offset = (uint64_t) (((unsigned __int128) fraction(device_seed, certificate->fingerprint) *
                                   ((uint64_t) (to - from) + 1)) >>
                                  64);
    return add(certificate->not_before, from + (int64_t) offset);
}

/* Seconds of the window after `failures` failed attempts, before the bound by remaining life. */
static int64_t exponential_window(unsigned failures, int64_t lifetime) {
    int64_t window = RETRY_WINDOW;

    if (lifetime > 0)
        window = clamp(lifetime / RETRY_LIFETIME, 1, RETRY_WINDOW);
    for (unsigned i = 1; i < failures && window < INT64_MAX / 2; i++)
        window *= 2;
    return window;
}

/* 1 to `window`, evenly. */
static int64_t full_jitter(int64_t window, uint32_t random) {
    return 1 + (int64_t) (((__int128) window * random) >> 32);
}

int64_t schedule_retry(int64_t now, unsigned failures, int64_t not_before, int64_t not_after, uint32_t retry_after,
                       uint32_t random) {
    int64_t lifetime = subtract(not_after, not_before), remaining = subtract(not_after, now);
    int64_t most =
        lifetime > 0 && remaining > 0 ? clamp(remaining / RETRY_REMAINING, 1, SCHEDULE_RETRY_MAX) : RETRY_OTHERWISE;
    int64_t window = clamp(exponential_window(failures, lifetime), 1, most);
    int64_t delay = full_jitter(window, random);

    /* A CA that tells everybody the same time shall not be met by everybody at that second. */
    int64_t told = clamp(retry_after, 0, SCHEDULE_RETRY_AFTER_MAX);
    if (told >= delay) {
        int64_t spread = clamp(told / 10, 0, window);
        delay = told + (spread > 0 ? full_jitter(spread, random) : 0);
    }
    return add(now, delay);
}

int64_t schedule_earliest(int64_t last_success, int64_t not_before, int64_t not_after) {
    int64_t lifetime = subtract(not_after, not_before);

    return lifetime > 0 ? add(last_success, lifetime / EARLIEST_LIFETIME) : last_success;
}

int64_t schedule_chain_end_delay(const ScheduleCertificate *certificate, BytesView device_seed) {
    return (int64_t) (((unsigned __int128) fraction(device_seed, certificate->fingerprint) * SCHEDULE_CHAIN_END_GAP) >>
                      64);
}

int64_t schedule_earliest_renewal(int64_t last_success, int64_t not_before, int64_t not_after, int64_t chain_end,
                                  int64_t delay) {
    int64_t earliest = schedule_earliest(last_success, not_before, not_after), ended = add(add(chain_end, 1), delay);
    int64_t soon = add(last_success, SCHEDULE_CHAIN_END_GAP);

    if (chain_end >= not_after)
        return earliest;
    if (ended < soon)
        ended = soon;
    return ended < earliest ? ended : earliest;
}
