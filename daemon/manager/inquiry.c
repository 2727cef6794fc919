/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Looks at the CA without enrolling (idctl check), and counters for monitoring (idctl metrics). */
#include "manager/internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct Inquiry {
    Manager *manager;
    Job *job;
    OperationDone done;
    void *userdata;
    Inquiry *next;
};

static void inquiry_end(Inquiry *inquiry, const Failure *failure, const char *text) {
    for (Inquiry **link = &inquiry->manager->inquiries; *link; link = &(*link)->next)
        if (*link == inquiry) {
            *link = inquiry->next;
            break;
        }
    inquiry->done(failure, bytes_view_string(text), inquiry->userdata);
    job_free(inquiry->job);
    free(inquiry);
}

void inquiries_abort(Manager *manager, const Failure *failure) {
    while (manager->inquiries)
        inquiry_end(manager->inquiries, failure, "");
}

static void on_inquiry_question(const JobQuestion *question, void *userdata) {
    Inquiry *inquiry = userdata;
    Failure failure = FAILURE_INIT;

    (void) failure_set(&failure, -EPROTO, FAILURE_PURPOSE_VIOLATION, "A probe has no key.");
    (void) job_answer(inquiry->job, question->type, question->serial, &failure, (BytesView) { NULL, 0 });
}

static void on_inquiry_result(JobResult *result, void *userdata) {
    char text[JOB_URL_MAX + 512U];
    Failure success = FAILURE_INIT;

    snprintf(text, sizeof text, "server: %s\nsession: %s\nanswer: %zu bytes of CA certificates\n",
             result->server ? result->server : "?", result->tls ? result->tls : "?", result->cacerts.size);
    inquiry_end(userdata, &success, text);
}

static void on_inquiry_failed(const Failure *failure, bool permanent, uint32_t retry_after, void *userdata) {
    inquiry_end(userdata, failure, "");
}

void identity_probe_server(Identity *identity, OperationDone done, void *userdata) {
    static const JobCallbacks callbacks = { NULL, on_inquiry_question, on_inquiry_result, on_inquiry_failed };
    Manager *manager = identity->manager;
    _cleanup_bytes_ Bytes server_anchors = BYTES_NULL;
    _cleanup_free_ char *path = NULL;
    _cleanup_free_ Inquiry *inquiry = calloc(1, sizeof *inquiry);
    Failure failure = FAILURE_INIT;
    int r = inquiry ? 0 : failure_errno(&failure, -ENOMEM, "Probing the server");

    if (r >= 0 && identity_is_malformed(identity, &failure))
        r = -EBADMSG;
    if (r >= 0 && identity->config->protocol != PROTOCOL_EST)
        r = failure_set(&failure, -EINVAL, FAILURE_INVALID_ARGUMENT,
                        "%s has Protocol=manual: there is no server to ask.", identity->name);
    if (r >= 0)
        r = identity_server_anchors(identity, &server_anchors, &failure);
    if (r >= 0 && asprintf(&path, "%s/%s", manager->runtime_directory, IDENTITYD_ENROLLER_SOCKET) < 0)
        r = failure_errno(&failure, -ENOMEM, "Probing the server");
    if (r >= 0) {
        const IdentityConfig *config = identity->config;
        JobRequest request = {
            .kind = JOB_KIND_PROBE,
            .identity = identity->name,
            .servers = (const char *const *) config->servers,
            .server_anchors = bytes_view(&server_anchors),
            .fingerprint =
                server_anchors.size == 0 && config->has_anchors_fingerprint ? config->anchors_fingerprint : NULL,
            .proxy = config->proxy,
            .time = (uint64_t) manager_now(manager),
            .time_is_floor = manager->clock.below_floor,
        };
        *inquiry = (Inquiry) { .manager = manager, .done = done, .userdata = userdata };
        r = job_start(&manager->jobs, path, &request, &callbacks, inquiry, &inquiry->job, &failure);
    }
    if (r < 0)
        done(&failure, (BytesView) { NULL, 0 }, userdata);
    else {
        inquiry->next = manager->inquiries;
        manager->inquiries = TAKE_PTR(inquiry);
    }
}

/* ---- metrics ---- */

static void put(FILE *f, const char *name, const char *type, const char *help) {
    fprintf(f, "# TYPE identityd_%s %s\n# HELP identityd_%s %s\n", name, type, name, help);
}

static void put_identities(const Manager *manager, FILE *f) {
    put(f, "certificate_not_after_seconds", "gauge", "End of the certificate's life, seconds since the epoch.");
    for (size_t i = 0; i < manager->identity_count; i++)
        if (identity_leaf(manager->identities[i]))
            fprintf(f, "identityd_certificate_not_after_seconds{identity=\"%s\"} %" PRId64 "\n",
                    manager->identities[i]->name, identity_leaf(manager->identities[i])->not_after);
    put(f, "identity_ready", "gauge", "1 where the identity signs, else 0.");
    for (size_t i = 0; i < manager->identity_count; i++)
        fprintf(f, "identityd_identity_ready{identity=\"%s\",state=\"%s\"} %d\n", manager->identities[i]->name,
                identity_state_to_string(manager->identities[i]->state),
                identity_state_signs(manager->identities[i]->state));
    put(f, "attempts", "counter", "Attempts to enrol or renew.");
    for (size_t i = 0; i < manager->identity_count; i++)
        fprintf(f, "identityd_attempts_total{identity=\"%s\"} %" PRIu64 "\n", manager->identities[i]->name,
                manager->identities[i]->attempts);
    put(f, "attempts_failed", "counter", "Attempts that failed.");
    for (size_t i = 0; i < manager->identity_count; i++)
        fprintf(f, "identityd_attempts_failed_total{identity=\"%s\"} %" PRIu64 "\n", manager->identities[i]->name,
                manager->identities[i]->attempts_failed);
}

static void put_signing(Manager *manager, FILE *f) {
    static const char *const bounds[] = { "0.001", "0.003", "0.01", "0.03", "0.1", "0.3", "1", "+Inf" };
    SigningCounters counters;
    uint64_t sum = 0;

    signing_counters(manager->signing, &counters);
    put(f, "signatures", "counter", "Signatures made on handles.");
    fprintf(f, "identityd_signatures_total %" PRIu64 "\n", counters.signatures);
    put(f, "requests_refused", "counter", "Requests on handles that were refused.");
    fprintf(f, "identityd_requests_refused_total %" PRIu64 "\n", counters.refused);
    put(f, "tpm_errors", "counter", "Signatures that failed in the TPM.");
    fprintf(f, "identityd_tpm_errors_total %" PRIu64 "\n", counters.tpm_errors);
    put(f, "handles_open", "gauge", "Credential handles that are open.");
    fprintf(f, "identityd_handles_open %" PRIu64 "\n", counters.handles_open);
    put(f, "revocation_checks_failed", "counter", "CRL and OCSP fetches that brought nothing usable.");
    fprintf(f, "identityd_revocation_checks_failed_total %" PRIu64 "\n", manager->checks_failed);
    put(f, "signature_seconds", "histogram", "Time from reading a request to its signature.");
    for (size_t i = 0; i < ARRAY_LENGTH(bounds); i++) {
        sum += counters.latency_bucket[i];
        fprintf(f, "identityd_signature_seconds_bucket{le=\"%s\"} %" PRIu64 "\n", bounds[i], sum);
    }
    fprintf(f, "identityd_signature_seconds_sum %.6f\nidentityd_signature_seconds_count %" PRIu64 "\n",
            (double) counters.latency_sum / 1e6, sum);
}

int manager_metrics(Manager *manager, char **ret) {
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);

    if (!f)
        return -ENOMEM;
    put(f, "tpm_ready", "gauge", "1 while the TPM can be used, else 0.");
    fprintf(f, "identityd_tpm_ready %d\n", strcmp(manager_tpm_state(manager), "ready") == 0);
    put_identities(manager, f);
    put_signing(manager, f);
    fputs("# EOF\n", f);
    if (fclose(f) != 0 || !text) {
        free(text);
        return -ENOMEM;
    }
    *ret = text;
    return 0;
}
