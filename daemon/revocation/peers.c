/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which sources an identity has, and when its programs get something else. */
#include "revocation/peers.h"

#include "device/device.h"
#include "device/log.h"
#include "revocation/peer-handout.h"

#include <string.h>

#define RETRY_MIN 60 /* seconds */

typedef struct Peers {
    PeerSource *list[PEER_SOURCES_MAX];
    size_t count;
    bool is_collected; /* what it wants is known, if anything */
    uint64_t failures; /* of sources that are gone */
    Instant hand_out;  /* what is kept is to be handed out again, since it could not be */
} Peers;

struct PeerPool {
    Device *device;
    PeerCrls *crls;
    PeerDownloads *downloads;
};

static Peers *part_of(const Identity *identity) {
    return identity_part(identity, &peers_duty);
}

static PeerPool *pool_of(const Identity *identity) {
    return identity_context(identity)->peer_pool;
}

/* ---- the pool ---- */

int peer_pool_new(Device *device, PeerPool **ret) {
    _cleanup_(peer_pool_free_p) PeerPool *pool = calloc(1, sizeof *pool);

    if (!pool)
        return -ENOMEM;
    pool->device = device;
    int r = peer_crls_new(device_directories(device)->state_fd, &pool->crls);
    if (r >= 0)
        r = peer_downloads_new(device_loop(device), &pool->downloads);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(pool);
    return 0;
}

PeerPool *peer_pool_free(PeerPool *pool) {
    if (!pool)
        return NULL;
    peer_downloads_free(pool->downloads);
    peer_crls_free(pool->crls);
    free(pool);
    return NULL;
}

/* While one identity is out of use, or has not been asked yet, nobody knows what it will want. */
static bool all_are_known(const Identity *identity) {
    const IdentitySet *set = identity_context(identity)->set;

    for (size_t i = 0; i < identity_set_count(set); i++) {
        const Identity *one = identity_set_at(set, i);
        if (!part_of(one)->is_collected || !identity_config(one) || !identity_store(one) ||
            identity_state(one) == STATE_MISCONFIGURED)
            return false;
    }
    return true;
}

/* ---- whose ---- */

static bool is_configured(const Identity *identity) {
    const IdentityConfig *config = identity_config(identity);

    return config && config->peers_check_crl && identity_generation(identity) > 0;
}

/* Nobody who uses it can have a peer any more. */
static bool is_in_use(const Identity *identity) {
    IdentityState state = identity_state(identity);

    return is_configured(identity) && state != STATE_RETIRED && state != STATE_MISCONFIGURED &&
           (state != STATE_REVOKED || identity_revocation(identity).hold);
}

/* ---- what programs get ---- */

static void hand_out(Identity *identity) {
    Peers *peers = part_of(identity);

    peers->hand_out = instant_never();
    if (peer_handout(identity, peers->list, is_configured(identity) ? peers->count : 0) < 0)
        peers->hand_out = instant_at(identity_now(identity) + RETRY_MIN);
}

static void on_changed(Identity *identity) {
    hand_out(identity);
    identity_note(identity, CHANGED_PROPERTIES);
}

/* ---- which there are ---- */

static bool urls_are_equal(char *const *a, char *const *b) {
    for (; *a && *b && strcmp(*a, *b) == 0; a++, b++)
        ;
    return !*a && !*b;
}

/* What one of before has in mind is worth more than a new one. */
static PeerSource *take_known(Peers *peers, char *const *urls) {
    for (size_t i = 0; i < peers->count; i++)
        if (peers->list[i] && urls_are_equal(peers->list[i]->urls, urls))
            return TAKE_PTR(peers->list[i]);
    return NULL;
}

static void forget_sources(Peers *peers) {
    for (size_t i = 0; i < peers->count; i++) {
        if (peers->list[i])
            peers->failures += peers->list[i]->failures;
        peers->list[i] = peer_source_free(peers->list[i]);
    }
    peers->count = 0;
}

/* Takes the URLs. */
static void set_sources(Identity *identity, PeerUrls *urls) {
    Peers *peers = part_of(identity), before = *peers;

    peers->count = 0;
    for (size_t i = 0; i < urls->count; i++) {
        PeerSource *source = take_known(&before, urls->list[i]);
        if (!source) {
            source = peer_source_new(identity, pool_of(identity)->crls, on_changed, urls->list[i]);
            if (source)
                urls->list[i] = NULL;
        }
        if (source)
            peers->list[peers->count++] = source;
    }
    forget_sources(&before);
    peers->failures = before.failures;
}

static void collect(Identity *identity) {
    PeerUrls urls = { .count = 0 };
    PeerCas cas = { NULL, 0 };
    int r = 0;

    if (is_configured(identity))
        r = peer_cas_collect(identity, &cas);
    if (r >= 0 && is_configured(identity))
        r = peer_urls_collect(identity, &cas, &urls);
    if (r >= 0) {
        part_of(identity)->is_collected = true;
        set_sources(identity, &urls);
        for (size_t i = 0; i < part_of(identity)->count; i++)
            peer_source_find_kept(part_of(identity)->list[i], &cas);
        if (urls.is_cut)
            log_entry(LOG_WARNING, MESSAGE_PEER_CRL, identity_name(identity),
                      "More than %u CRLs of peers' CAs are to be fetched; the others are left out.", PEER_SOURCES_MAX);
    } else
        log_entry(LOG_WARNING, MESSAGE_PEER_CRL, identity_name(identity),
                  "CRLs of peers' CAs: what is to be fetched could not be found out: %s. It stays as it was.",
                  strerror(-r));
    peer_cas_clear(&cas);
    peer_urls_clear(&urls);
}

/* ---- the duty ---- */

static Instant peers_when(const Identity *identity) {
    const Peers *peers = part_of(identity);
    Instant when = peers->hand_out;

    if (!is_in_use(identity))
        return instant_never();
    for (size_t i = 0; i < peers->count; i++)
        when = instant_earlier(when, peer_source_when(peers->list[i]));
    return when;
}

static void peers_begin(Identity *identity) {
    Peers *peers = part_of(identity);

    if (instant_is_due(peers->hand_out, identity_now(identity)))
        hand_out(identity);
    for (size_t i = 0; i < peers->count; i++)
        peer_source_begin(peers->list[i], pool_of(identity)->downloads);
}

/* Whoever has mended something wants to see it tried. */
static void forget_errors(const Peers *peers) {
    for (size_t i = 0; i < peers->count; i++)
        if (peers->list[i]->backoff.failures > 0)
            peer_source_ask_soon(peers->list[i]);
}

static void peers_hear(Identity *identity, unsigned changes) {
    Peers *peers = part_of(identity);

    if (!identity_config(identity)) /* out of use for a fault: all stays until that is mended */
        return;
    if (changes & (CHANGED_CONFIGURATION | CHANGED_CHECKS | CHANGED_ANCHORS | CHANGED_GENERATION)) {
        collect(identity);
        if (changes & CHANGED_CONFIGURATION)
            forget_errors(peers);
        hand_out(identity);
        if (all_are_known(identity))
            peer_crls_tidy(pool_of(identity)->crls);
    } else if (changes & CHANGED_STATEMENTS) /* our own may leave more room, or less */
        hand_out(identity);
}

static void peers_stop(Identity *identity, const Failure *why) {
    Peers *peers = part_of(identity);

    for (size_t i = 0; i < peers->count; i++)
        peers->list[i]->wait = peer_wait_free(peers->list[i]->wait);
}

static void peers_clear(void *part) {
    forget_sources(part);
}

const Duty peers_duty = {
    .name = "peers",
    .part_size = sizeof(Peers),
    .clear = peers_clear,
    .when = peers_when,
    .begin = peers_begin,
    .stop = peers_stop,
    .hear = peers_hear,
};

/* ---- what is shown ---- */

size_t peers_count(const Identity *identity) {
    const Peers *peers = part_of(identity);

    return peers ? peers->count : 0;
}

static const char *error_of(const PeerSource *source) {
    if (source->is_left_out)
        return "it is too big to be handed out beside the others: programs do not get it";
    return source->error ? source->error : "";
}

void peers_view(const Identity *identity, size_t index, PeerCrlView *ret) {
    const PeerSource *source = part_of(identity)->list[index];
    const PeerCrl *newest = peer_source_newest(source);

    *ret = (PeerCrlView) {
        .url = source->urls[0],
        .issuer = newest ? newest->issuer : "",
        .this_update = newest ? newest->crl->this_update : 0,
        .next_update = newest ? newest->crl->next_update : 0,
        .next_fetch = source->wait ? 0 : instant_to_seconds(peer_source_ask_when(source), identity_now(identity)),
        .error = error_of(source),
    };
}

uint64_t peers_failures(const Identity *identity) {
    const Peers *peers = part_of(identity);
    uint64_t failures = peers ? peers->failures : 0;

    for (size_t i = 0; peers && i < peers->count; i++)
        failures += peers->list[i]->failures;
    return failures;
}
