/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* When the chain is checked, and what a check leaves behind. */
#include "revocation/revocation.h"

#include "device/log.h"
#include "revocation/check.h"

#include <string.h>

#define RETRY_MIN 60 /* seconds */

typedef struct Revocation {
    Check *check;         /* under way */
    Instant next;         /* never: not checked yet */
    int64_t crl_until;    /* as revocation_crl_until says … */
    int64_t warned_until; /* … and of the one that was warned of */
    bool is_judged;       /* the stored CRLs, by this Check=, chain and anchors: a reload need not do it again */
    OcspSeen seen;
    uint64_t failures;
} Revocation;

static Revocation *part_of(const Identity *identity) {
    return identity_part(identity, &revocation_duty);
}

static bool is_configured(const Identity *identity) {
    const IdentityConfig *config = identity_config(identity);

    return config && identity_store(identity) && (config->check_crl || config->check_ocsp);
}

uint64_t revocation_failures(const Identity *identity) {
    return part_of(identity)->failures;
}

int64_t revocation_crl_until(const Identity *identity) {
    return is_configured(identity) ? part_of(identity)->crl_until : 0;
}

void revocation_check_soon(Identity *identity) {
    part_of(identity)->next = instant_never();
}

/* ---- the next one ---- */

static int64_t interval_of(const Identity *identity) {
    return (int64_t) identity_config(identity)->revocation_interval;
}

static bool crl_is_stale(const Identity *identity) {
    int64_t until = part_of(identity)->crl_until;

    return until > 0 && until < identity_now(identity);
}

/* After a check, when a newer one would have come. */
static void warn_of_stale_crl(Identity *identity, size_t about) {
    Revocation *revocation = part_of(identity);
    const CertificateList *chain = identity_chain(identity);
    char when[CERTIFICATE_TIME_MAX];

    if (!crl_is_stale(identity) || revocation->warned_until == revocation->crl_until || about >= chain->count)
        return;
    revocation->warned_until = revocation->crl_until;
    log_entry(
        LOG_WARNING, MESSAGE_CHECK_FAILED, identity_name(identity),
        "The CRL for %s should have been replaced by %s (its nextUpdate), and no newer one is to be had. It counts "
        "on, but what was revoked since is not known, and programs' peers may refuse it: see whether the CA still "
        "publishes its CRL.",
        chain->list[about]->subject, certificate_time(revocation->crl_until, when));
}

/* A tenth of the interval. */
static int64_t retry_after(int64_t interval) {
    return interval / 10 > RETRY_MIN ? interval / 10 : RETRY_MIN;
}

/* One fetch that fails is no reason to let what another brought run out. */
static void plan(Identity *identity, const CheckEnd *end) {
    int64_t now = identity_now(identity), interval = interval_of(identity), wait = interval,
            lasts = end->renew_by - now;

    if (lasts > 0 && lasts * 9 / 10 < wait)
        wait = lasts * 9 / 10;
    if ((end->failed > 0 || crl_is_stale(identity)) && wait > retry_after(interval))
        wait = retry_after(interval);
    part_of(identity)->next = instant_at(now + (wait > 0 ? wait : 1));
}

static void judge_by_stored(Identity *identity, Findings *findings) {
    Revocation *revocation = part_of(identity);

    revocation->is_judged = judge_stored(identity, findings);
    revocation->crl_until = findings->crl_until;
}

static void on_ended(Check *check, const CheckEnd *how, void *userdata) {
    Identity *identity = userdata;
    Revocation *revocation = part_of(identity);
    CheckEnd end = *how;

    revocation->check = NULL;
    revocation->failures += end.failed;
    if (!end.is_outdated && is_configured(identity)) {
        tasks_forget_others(identity, check_tasks(check));
        judge_by_stored(identity, &end.findings);
        plan(identity, &end);
        warn_of_stale_crl(identity, end.findings.crl_about);
        identity_evaluate(identity);
    } else
        revocation->next = instant_never();
    check_free(check);
}

static void begin_check(Identity *identity) {
    Revocation *revocation = part_of(identity);
    const CheckStart start = { &revocation->seen, on_ended, identity };
    int r = check_begin(identity, &start, &revocation->check);

    if (r >= 0)
        return;
    revocation->next = instant_at(identity_now(identity) + RETRY_MIN);
    log_entry(LOG_WARNING, MESSAGE_CHECK_FAILED, identity_name(identity), "Revocation could not be checked: %s.",
              strerror(-r));
}

/* An OCSP answer for stapling that nothing newer has replaced in time: peers would refuse it, so it goes. */
static Instant staple_when(const Identity *identity) {
    return identity_staple(identity).size > 0 ? instant_at(identity_staple_end(identity) + 1) : instant_never();
}

static Instant check_when(const Identity *identity) {
    const Revocation *revocation = part_of(identity);
    IdentityState state = identity_state(identity);

    if (!is_configured(identity) || identity_chain(identity)->count == 0 || revocation->check)
        return instant_never();
    if (state != STATE_READY && !(state == STATE_REVOKED && identity_revocation(identity).hold))
        return instant_never();
    /* A check that lies further away than its interval was planned while the clock was elsewhere. */
    int64_t latest = identity_now(identity) + interval_of(identity) + RETRY_MIN;
    if (revocation->next.kind == INSTANT_NEVER || instant_is_before(instant_at(latest), revocation->next))
        return instant_at_once();
    return revocation->next;
}

static Instant revocation_when(const Identity *identity) {
    return instant_earlier(check_when(identity), staple_when(identity));
}

static void revocation_begin(Identity *identity) {
    int64_t now = identity_now(identity);

    if (instant_is_due(staple_when(identity), now))
        identity_drop_staple(identity);
    if (instant_is_due(check_when(identity), now))
        begin_check(identity);
}

/* ---- what happens meanwhile ---- */

static void forget_statements(Identity *identity) {
    Bytes none = BYTES_NULL;

    part_of(identity)->crl_until = 0;
    (void) identity_set_crls(identity, &none);
    identity_drop_staple(identity);
}

/* By what is stored, before anything is fetched. */
static void judge_again(Identity *identity) {
    Revocation *revocation = part_of(identity);
    Findings findings = { 0 };

    if (!is_configured(identity)) { /* not any more, perhaps: then nobody keeps it up to date either */
        forget_statements(identity);
        return;
    }
    if (revocation->is_judged) /* each check does it anew */
        return;
    ocsp_seen_load(identity, &revocation->seen);
    judge_by_stored(identity, &findings);
    identity_evaluate(identity);
}

static void revocation_hear(Identity *identity, unsigned changes) {
    Revocation *revocation = part_of(identity);

    if (changes & (CHANGED_CHECKS | CHANGED_ANCHORS | CHANGED_GENERATION))
        revocation->is_judged = false;
    if (changes & CHANGED_CHECKS) { /* who has changed what is asked wants to see it asked, and nothing else */
        revocation->check = check_free(revocation->check);
        revocation->next = instant_never();
    }
    if (changes & CHANGED_GENERATION) {
        revocation->next = instant_never();
        identity_drop_staple(identity);
    }
    if (changes & (CHANGED_CONFIGURATION | CHANGED_CHECKS | CHANGED_ANCHORS | CHANGED_GENERATION))
        judge_again(identity);
}

static void revocation_stop(Identity *identity, const Failure *why) {
    Revocation *revocation = part_of(identity);

    revocation->check = check_free(revocation->check);
}

static void revocation_clear(void *part) {
    Revocation *revocation = part;

    revocation->check = check_free(revocation->check);
}

const Duty revocation_duty = {
    .name = "revocation",
    .part_size = sizeof(Revocation),
    .clear = revocation_clear,
    .when = revocation_when,
    .begin = revocation_begin,
    .stop = revocation_stop,
    .hear = revocation_hear,
};
