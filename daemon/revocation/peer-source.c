/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Verified before it is kept: by a CA that peers may have, and never an older one than is kept. A peers' CA is not one
 * of ours, so that nothing is learned of the time from what it signs (docs/design.md §10, clock). */
#include "revocation/peer-source.h"

#include "device/log.h"

#include <string.h>

#define RETRY_MIN 60   /* seconds */
#define RETRY_MAX 3600 /* a CRL that is missing is asked for at least every hour */

PeerSource *peer_source_new(Identity *identity, PeerCrls *crls, void (*changed)(Identity *identity), char **urls) {
    PeerSource *source = calloc(1, sizeof *source);

    if (source)
        *source = (PeerSource) { .identity = identity, .crls = crls, .changed = changed, .urls = urls };
    return source;
}

static void forget_kept(PeerSource *source) {
    for (size_t i = 0; i < source->kept_count; i++)
        peer_crl_unref(source->kept[i]);
    free(source->kept);
    source->kept = NULL;
    source->kept_count = 0;
}

PeerSource *peer_source_free(PeerSource *source) {
    if (!source)
        return NULL;
    peer_wait_free(source->wait);
    forget_kept(source);
    strings_free(source->urls);
    free(source->error);
    free(source);
    return NULL;
}

/* ---- what is kept ---- */

/* Takes the reference. */
static void add_kept(PeerSource *source, PeerCrl *crl) {
    for (size_t i = 0; i < source->kept_count; i++)
        if (source->kept[i] == crl) {
            peer_crl_unref(crl);
            return;
        }
    PeerCrl **grown = reallocarray(source->kept, source->kept_count + 1U, sizeof(PeerCrl *));
    if (!grown) { /* it is found again with the next one */
        peer_crl_unref(crl);
        return;
    }
    source->kept = grown;
    grown[source->kept_count++] = crl;
}

void peer_source_find_kept(PeerSource *source, const PeerCas *cas) {
    forget_kept(source);
    for (size_t i = 0; i < cas->count; i++) {
        PeerCrl *crl =
            peer_crls_find(source->crls, &(PeerCrlPlace) { source->identity, cas->list[i], source->urls[0] });
        if (crl)
            add_kept(source, crl);
    }
}

const PeerCrl *peer_source_newest(const PeerSource *source) {
    const PeerCrl *newest = NULL;

    for (size_t i = 0; i < source->kept_count; i++)
        if (peer_crl_counts(source->kept[i], source->identity) &&
            (!newest || newest->crl->this_update < source->kept[i]->crl->this_update))
            newest = source->kept[i];
    return newest;
}

/* ---- when ---- */

static int64_t interval_of(const PeerSource *source) {
    return (int64_t) identity_config(source->identity)->peers_interval;
}

static BackoffPolicy patience_of(const PeerSource *source) {
    int64_t interval = interval_of(source);

    return (BackoffPolicy) { interval < RETRY_MIN ? interval : RETRY_MIN, interval < RETRY_MAX ? interval : RETRY_MAX };
}

Instant peer_source_ask_when(const PeerSource *source) {
    int64_t now = identity_now(source->identity);

    if (source->wait)
        return instant_never();
    if (source->backoff.failures > 0) {
        const BackoffPolicy patience = patience_of(source);
        return backoff_when(&source->backoff, &patience, now);
    }
    /* One that lies further away than its interval was planned while the clock was elsewhere. */
    if (source->next.kind == INSTANT_NEVER ||
        instant_is_before(instant_at(now + interval_of(source) + RETRY_MIN), source->next))
        return instant_at_once();
    return source->next;
}

/* When to say that the newest has ended; never where that was said. */
static Instant tell_when(const PeerSource *source) {
    const PeerCrl *newest = peer_source_newest(source);

    if (!newest || newest->crl->next_update == 0 || newest->crl->next_update == source->told_ended)
        return instant_never();
    return instant_at(newest->crl->next_update + 1);
}

Instant peer_source_when(const PeerSource *source) {
    return instant_earlier(peer_source_ask_when(source), tell_when(source));
}

/* Before it ends, however long the interval is. */
static void plan(PeerSource *source, const Crl *crl) {
    int64_t now = identity_now(source->identity), next = now + interval_of(source),
            early = now + (crl->next_update - now) * 9 / 10;

    if (crl->next_update > now && early < next)
        next = early > now ? early : now + 1;
    source->next = instant_at(next);
}

void peer_source_ask_soon(PeerSource *source) {
    backoff_succeeded(&source->backoff);
    source->next = instant_never();
}

/* ---- what came ---- */

static void set_error(PeerSource *source, const char *text) {
    free(source->error);
    source->error = text ? strdup(text) : NULL;
}

static void failed(PeerSource *source, const Failure *failure) {
    const BackoffPolicy patience = patience_of(source);

    if (!source->error || strcmp(source->error, failure->text) != 0)
        log_entry(LOG_WARNING, MESSAGE_PEER_CRL, identity_name(source->identity),
                  "No new CRL of a peers' CA came from %s (it is tried again, and meanwhile %s): %s", source->urls[0],
                  peer_source_newest(source) ? "programs go on with the one that is kept"
                                             : "programs take its certificates unchecked, unless they demand a CRL",
                  failure->text);
    set_error(source, failure->text);
    source->failures++;
    backoff_failed(&source->backoff, &patience, identity_now(source->identity));
}

static void succeeded(PeerSource *source, const Crl *crl) {
    if (source->error)
        log_entry(LOG_INFO, NULL, identity_name(source->identity), "CRLs of a peers' CA come from %s again.",
                  source->urls[0]);
    set_error(source, NULL);
    backoff_succeeded(&source->backoff);
    plan(source, crl);
}

/* Who of the peers' CAs has signed it. */
static const Certificate *find_signer(const PeerSource *source, const PeerCas *cas, const Crl *crl,
                                      Failure *ret_failure) {
    int64_t now = identity_time_to_judge(source->identity, NULL, crl->this_update);

    (void) failure_set(ret_failure, -EKEYREJECTED, FAILURE_CERTIFICATE_REJECTED,
                       "the CRL is by none of the CAs that peers may have: if it should be, [Peers] Anchors= or "
                       "Intermediates= lack that CA");
    for (size_t i = 0; i < cas->count; i++)
        if (bytes_view_equal(bytes_view(&crl->issuer_form), bytes_view(&cas->list[i]->subject_form)) &&
            crl_check_signer(crl, cas->list[i], now, ret_failure) >= 0)
            return cas->list[i];
    return NULL;
}

static int take(PeerSource *source, const PeerFetched *fetched, Failure *ret_failure) {
    char when[CERTIFICATE_TIME_MAX];
    PeerCas cas = { NULL, 0 };
    PeerCrl *kept = NULL;
    int r = peer_cas_collect(source->identity, &cas);

    if (r < 0)
        return failure_errno(ret_failure, r, "Verifying a CRL");
    const Certificate *signer = find_signer(source, &cas, fetched->crl, ret_failure);
    r = -EKEYREJECTED;
    if (signer)
        r = peer_crls_keep(source->crls, &(PeerCrlPlace) { source->identity, signer, source->urls[0] }, fetched->crl,
                           fetched->digest, &kept, ret_failure);
    peer_cas_clear(&cas);
    if (r < 0)
        return r;
    add_kept(source, kept);
    if (fetched->crl->next_update > 0 && fetched->crl->next_update < identity_now(source->identity))
        return failure_set(ret_failure, -ESTALE, FAILURE_CERTIFICATE_REJECTED,
                           "the CA has issued none since that of before, which ended on %s",
                           certificate_time(fetched->crl->next_update, when));
    return 0;
}

static void on_fetched(const PeerFetched *fetched, void *userdata) {
    PeerSource *source = userdata;
    Failure failure = FAILURE_INIT;

    source->wait = NULL;
    if (take(source, fetched, &failure) < 0)
        failed(source, &failure);
    else
        succeeded(source, fetched->crl);
    source->changed(source->identity);
}

static void on_failed(const Failure *failure, void *userdata) {
    PeerSource *source = userdata;

    source->wait = NULL;
    failed(source, failure);
    source->changed(source->identity);
}

/* ---- what is due ---- */

static void tell_ended(PeerSource *source) {
    const PeerCrl *newest = peer_source_newest(source);
    char when[CERTIFICATE_TIME_MAX];

    source->told_ended = newest->crl->next_update;
    log_entry(LOG_WARNING, MESSAGE_PEER_CRL, identity_name(source->identity),
              "The CRL of %s from %s has ended on %s, and no newer one came: what it lists stays revoked, but of what "
              "the CA has revoked since programs do not know.",
              newest->issuer, source->urls[0], certificate_time(newest->crl->next_update, when));
    identity_note(source->identity, CHANGED_PROPERTIES);
}

void peer_source_begin(PeerSource *source, PeerDownloads *downloads) {
    static const PeerWaitCallbacks callbacks = { on_fetched, on_failed };
    int64_t now = identity_now(source->identity);
    Failure failure = FAILURE_INIT;

    if (instant_is_due(tell_when(source), now))
        tell_ended(source);
    if (!instant_is_due(peer_source_ask_when(source), now))
        return;
    int r = peer_wait_start(downloads, &(PeerWaitStart) { source->identity, source->urls, &callbacks, source },
                            &source->wait);
    if (r < 0) {
        (void) failure_errno(&failure, r, "Starting a fetch");
        failed(source, &failure);
    }
}
