/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Figures for monitoring (idctl metrics), as OpenMetrics text that is Prometheus' older text format as well, which is
 * what node_exporter's textfile collector reads: of the types only those that both have, numbers as both write them.
 * Label values are identities' names and our own words; neither needs an escape. */
#include "enrolment/enrolment.h"
#include "identity/identity.h"
#include "manager/manager.h"
#include "revocation/peers.h"
#include "revocation/revocation.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void put(FILE *f, const char *name, const char *type, const char *help) {
    fprintf(f, "# TYPE identityd_%s %s\n# HELP identityd_%s %s\n", name, type, name, help);
}

/* One figure of each identity; those that have none (0) are left out. */
static void put_times(const IdentitySet *set, FILE *f, const char *name, const char *help,
                      int64_t (*time_of)(const Identity *identity)) {
    put(f, name, "gauge", help);
    for (size_t i = 0; i < identity_set_count(set); i++) {
        int64_t time = time_of(identity_set_at(set, i));
        if (time > 0)
            fprintf(f, "identityd_%s{identity=\"%s\"} %" PRId64 "\n", name, identity_name(identity_set_at(set, i)),
                    time);
    }
}

static int64_t not_before(const Identity *identity) {
    return identity_leaf(identity) ? identity_leaf(identity)->not_before : 0;
}

static int64_t not_after(const Identity *identity) {
    return identity_leaf(identity) ? identity_leaf(identity)->not_after : 0;
}

static int64_t next_renewal(const Identity *identity) {
    return instant_to_seconds(enrolment_renewal_when(identity), identity_now(identity));
}

static int64_t next_attempt(const Identity *identity) {
    if (identity_activity(identity) != ACTIVITY_WAITING)
        return 0;
    return instant_to_seconds(enrolment_when(identity), identity_now(identity));
}

static bool clock_of(const Identity *identity, DomainView *ret) {
    return domain_view(device_domains(identity_context(identity)->device), identity_domain(identity), ret);
}

static int64_t clock_floor(const Identity *identity) {
    DomainView domain;

    return clock_of(identity, &domain) ? domain.floor : 0;
}

/* Where no floor is known, the clock is not behind one. */
static void put_behind(const IdentitySet *set, FILE *f) {
    put(f, "clock_behind", "gauge", "1 where the system clock was behind the floor when that was last judged, else 0.");
    for (size_t i = 0; i < identity_set_count(set); i++) {
        DomainView domain = { .is_behind = false };
        (void) clock_of(identity_set_at(set, i), &domain);
        fprintf(f, "identityd_clock_behind{identity=\"%s\"} %d\n", identity_name(identity_set_at(set, i)),
                domain.is_behind);
    }
}

static void put_states(const IdentitySet *set, FILE *f) {
    put(f, "identity_ready", "gauge", "1 where the identity signs, else 0.");
    for (size_t i = 0; i < identity_set_count(set); i++)
        fprintf(f, "identityd_identity_ready{identity=\"%s\"} %d\n", identity_name(identity_set_at(set, i)),
                identity_state_signs(identity_state(identity_set_at(set, i))));
    put(f, "identity_state", "gauge", "1 for the state that the identity is in, 0 for the others.");
    for (size_t i = 0; i < identity_set_count(set); i++)
        for (IdentityState state = 0; state < _STATE_COUNT; state++)
            fprintf(f, "identityd_identity_state{identity=\"%s\",state=\"%s\"} %d\n",
                    identity_name(identity_set_at(set, i)), identity_state_to_string(state),
                    identity_state(identity_set_at(set, i)) == state);
    put(f, "identity_generation", "gauge", "Number of the present generation, 0 without one.");
    for (size_t i = 0; i < identity_set_count(set); i++)
        fprintf(f, "identityd_identity_generation{identity=\"%s\"} %" PRIu32 "\n",
                identity_name(identity_set_at(set, i)), identity_generation(identity_set_at(set, i)));
}

static void put_attempts(const IdentitySet *set, FILE *f) {
    uint64_t failures = 0;

    put(f, "attempts", "counter", "Attempts to enrol or renew, since identityd started.");
    for (size_t i = 0; i < identity_set_count(set); i++)
        fprintf(f, "identityd_attempts_total{identity=\"%s\"} %" PRIu64 "\n", identity_name(identity_set_at(set, i)),
                enrolment_counters(identity_set_at(set, i)).attempts);
    put(f, "attempts_failed", "counter", "Attempts to enrol or renew that failed.");
    for (size_t i = 0; i < identity_set_count(set); i++)
        fprintf(f, "identityd_attempts_failed_total{identity=\"%s\"} %" PRIu64 "\n",
                identity_name(identity_set_at(set, i)), enrolment_counters(identity_set_at(set, i)).failed);
    put(f, "revocation_checks_failed", "counter", "CRL and OCSP fetches that brought nothing usable.");
    for (size_t i = 0; i < identity_set_count(set); i++)
        failures += revocation_failures(identity_set_at(set, i));
    fprintf(f, "identityd_revocation_checks_failed_total %" PRIu64 "\n", failures);
}

/* Sources without a CRL that is current. */
static size_t missing_peer_crls(const Identity *identity) {
    size_t missing = 0;

    for (size_t i = 0; i < peers_count(identity); i++) {
        PeerCrlView peer;
        peers_view(identity, i, &peer);
        missing += !peer.issuer[0] || (peer.next_update > 0 && peer.next_update < identity_now(identity));
    }
    return missing;
}

/* Of those that are kept, the first that ends. */
static int64_t peer_crls_until(const Identity *identity) {
    int64_t until = 0;

    for (size_t i = 0; i < peers_count(identity); i++) {
        PeerCrlView peer;
        peers_view(identity, i, &peer);
        if (peer.next_update > 0 && (until == 0 || peer.next_update < until))
            until = peer.next_update;
    }
    return until;
}

static void put_peer_crls(const IdentitySet *set, FILE *f) {
    put(f, "peer_crls_missing", "gauge", "Places of CRLs of peers' CAs of which no current CRL is at hand.");
    for (size_t i = 0; i < identity_set_count(set); i++)
        if (peers_count(identity_set_at(set, i)) > 0)
            fprintf(f, "identityd_peer_crls_missing{identity=\"%s\"} %zu\n", identity_name(identity_set_at(set, i)),
                    missing_peer_crls(identity_set_at(set, i)));
    put_times(set, f, "peer_crl_next_update_seconds",
              "When the first of the CRLs of peers' CAs ends, seconds since the epoch.", peer_crls_until);
    put(f, "peer_crl_fetches_failed", "counter", "Fetches of CRLs of peers' CAs that brought nothing usable.");
    for (size_t i = 0; i < identity_set_count(set); i++)
        fprintf(f, "identityd_peer_crl_fetches_failed_total{identity=\"%s\"} %" PRIu64 "\n",
                identity_name(identity_set_at(set, i)), peers_failures(identity_set_at(set, i)));
}

static void put_access(const Manager *manager, FILE *f) {
    AccessCounters counters = access_log_counters(lending_log(manager_lending(manager)));

    put(f, "access_granted", "counter", "Handles and signatures on the bus that [Access] admitted.");
    fprintf(f, "identityd_access_granted_total %" PRIu64 "\n", counters.granted);
    put(f, "access_refused", "counter", "Calls that [Access] or polkit refused, and handles that were taken back.");
    fprintf(f, "identityd_access_refused_total %" PRIu64 "\n", counters.refused);
    put(f, "access_limited", "counter", "Calls and handles that were refused since a limit was reached.");
    fprintf(f, "identityd_access_limited_total %" PRIu64 "\n", counters.limited);
}

static void put_signing(const Manager *manager, FILE *f) {
    static const char *const bounds[] = { "0.001", "0.003", "0.01", "0.03", "0.1", "0.3", "1.0", "+Inf" };
    SigningCounters counters;
    uint64_t sum = 0;

    signing_counters(device_signing(manager_device(manager)), &counters);
    static_assert(ARRAY_LENGTH(bounds) == ARRAY_LENGTH(counters.latency_bucket), "a bound for each bucket");
    put(f, "signatures", "counter", "Signatures made on handles.");
    fprintf(f, "identityd_signatures_total %" PRIu64 "\n", counters.signatures);
    put(f, "requests_refused", "counter", "Requests on handles that were refused.");
    fprintf(f, "identityd_requests_refused_total %" PRIu64 "\n", counters.refused);
    put(f, "tpm_errors", "counter", "Signatures, keys and certificate requests that failed in the TPM.");
    fprintf(f, "identityd_tpm_errors_total %" PRIu64 "\n",
            counters.tpm_errors + tpm_watch_tasks_failed(device_tpm(manager_device(manager))));
    put(f, "handles_open", "gauge", "Credential handles that are open.");
    fprintf(f, "identityd_handles_open %" PRIu64 "\n", counters.handles_open);
    put(f, "signature_seconds", "histogram", "Time that the TPM takes for a signature on a handle.");
    for (size_t i = 0; i < ARRAY_LENGTH(bounds); i++) {
        sum += counters.latency_bucket[i];
        fprintf(f, "identityd_signature_seconds_bucket{le=\"%s\"} %" PRIu64 "\n", bounds[i], sum);
    }
    fprintf(f, "identityd_signature_seconds_sum %.6f\nidentityd_signature_seconds_count %" PRIu64 "\n",
            (double) counters.latency_sum / 1e6, sum);
}

int manager_metrics(const Manager *manager, char **ret) {
    const IdentitySet *set = manager_identities(manager);
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);

    if (!f)
        return -ENOMEM;
    put(f, "tpm_ready", "gauge", "1 while the TPM can be used, else 0.");
    fprintf(f, "identityd_tpm_ready %d\n", strcmp(manager_tpm_state(manager), "ready") == 0);
    put_times(set, f, "certificate_not_before_seconds", "Begin of the certificate's life, seconds since the epoch.",
              not_before);
    put_times(set, f, "certificate_not_after_seconds", "End of the certificate's life, seconds since the epoch.",
              not_after);
    put_times(set, f, "renewal_due_seconds", "When the certificate is to be renewed, seconds since the epoch.",
              next_renewal);
    put_times(set, f, "next_attempt_seconds",
              "When the next attempt follows one that failed or was put off, seconds since the epoch.", next_attempt);
    put_times(set, f, "clock_floor_seconds",
              "What is certainly past, as those whom the identity trusts have signed it, seconds since the epoch.",
              clock_floor);
    put_times(set, f, "crl_next_update_seconds",
              "When the CA is to have replaced the CRL that the chain is judged by, seconds since the epoch.",
              revocation_crl_until);
    put_behind(set, f);
    put_states(set, f);
    put_attempts(set, f);
    put_peer_crls(set, f);
    put_access(manager, f);
    put_signing(manager, f);
    fputs("# EOF\n", f);
    if (fclose(f) != 0 || !text) {
        free(text);
        return -ENOMEM;
    }
    *ret = text;
    return 0;
}
