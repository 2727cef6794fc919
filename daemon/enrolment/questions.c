/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the enroller may ask of an attempt: one certificate request within what is configured, and signatures of the
 * client's side of TLS by the credential that it authenticates with. Everything else is refused, in words that reach
 * the admin. */
#include "common/certificate-verify.h"
#include "enrolment/attempt.h"
#include "enrolment/request-names.h"
#include "pki/chain.h"
#include "rules/tls12.h"

#include <string.h>

static void answer(Attempt *attempt, const Failure *failure, BytesView body) {
    job_answer(attempt->job, attempt->question_type, attempt->question_serial, failure, body);
    if (failure->kind == FAILURE_NONE)
        return;
    attempt->own_failure = *failure; /* ours is the better text than what the enroller makes of it */
    /* A signature that it should not have asked for is no mistake of whose call this was. */
    if (attempt->question_type == JOB_PACKET_CREATE_REQUEST)
        return;
    if (failure->kind == FAILURE_INVALID_ARGUMENT || failure->kind == FAILURE_PURPOSE_VIOLATION)
        attempt->own_failure.kind = FAILURE_ENROLLMENT_FAILED;
}

/* ---- requests ---- */

static void on_request_made(const Failure *failure, BytesView der, void *userdata) {
    Attempt *attempt = userdata;
    Failure refusal = *failure;

    attempt->task = NULL;
    if (refusal.kind == FAILURE_NONE) {
        bytes_clear(&attempt->pending.request);
        int r = bytes_copy(der, &attempt->pending.request);
        if (r < 0)
            (void) failure_errno(&refusal, r, "Keeping the request");
        else
            (void) store_pending_save(identity_store(attempt->identity), &attempt->pending, &refusal);
    }
    answer(attempt, &refusal, der);
}

static int check_usage(const Attempt *attempt, const char *eku, Failure *ret_failure) {
    bool is_tls = strcmp(eku, EKU_CLIENT_AUTH) == 0 || strcmp(eku, EKU_SERVER_AUTH) == 0;

    if (!is_tls)
        return failure_set(ret_failure, -EPERM, FAILURE_ENROLLMENT_FAILED,
                           "The CA asks for the extended key usage %s (/csrattrs); only TLS client and server "
                           "authentication are given.",
                           eku);
    if (identity_config_signs_data(identity_config(attempt->identity)))
        return failure_set(ret_failure, -EPERM, FAILURE_ENROLLMENT_FAILED,
                           "The CA asks for a TLS extended key usage (/csrattrs), which %s must not have since it "
                           "grants data or data-raw.",
                           identity_name(attempt->identity));
    return 0;
}

static int check_request(const Attempt *attempt, const JobQuestion *question, Failure *ret_failure) {
    KeyAlgorithm algorithm = tpm_key_algorithm(attempt->key), asked = (KeyAlgorithm) question->key_type;
    int r = 0;

    if (attempt->pending.request.size > 0 && !(attempt->is_linked && question->binding.size > 0))
        return failure_set(ret_failure, -EPROTO, FAILURE_ENROLLMENT_FAILED,
                           "The enroller asked for a request although it was given one.");
    if (question->key_type >= 0 && asked != algorithm)
        return failure_set(ret_failure, -EINVAL, FAILURE_ENROLLMENT_FAILED,
                           "The CA asks for a key of the type %s (/csrattrs) but %s has one of the type %s: set "
                           "Algorithm=%s in [Key].",
                           key_algorithm_to_string(asked), identity_name(attempt->identity),
                           key_algorithm_to_string(algorithm), key_algorithm_to_string(asked));
    for (size_t i = 0; r >= 0 && i < question->eku_count; i++)
        r = check_usage(attempt, question->eku[i], ret_failure);
    return r;
}

static int make_request(Attempt *attempt, const JobQuestion *question, Failure *ret_failure) {
    const RequestInput input = { .key = attempt->key,
                                 .present_names = attempt->start.present_names,
                                 .eku = question->eku,
                                 .eku_count = question->eku_count,
                                 .binding = question->binding };
    int r = check_request(attempt, question, ret_failure);

    attempt->is_linked = question->binding.size > 0;
    return r < 0 ? r : request_start(attempt->identity, &input, on_request_made, attempt, &attempt->task, ret_failure);
}

/* ---- signatures ---- */

static Identity *authenticator_of(const Attempt *attempt) {
    return identity_set_find_instance(identity_context(attempt->identity)->set, attempt->authenticator);
}

static void on_signed(const Failure *failure, BytesView signature, void *userdata) {
    Attempt *attempt = userdata;
    Identity *authenticator = authenticator_of(attempt);

    attempt->task = NULL;
    if (failure->kind == FAILURE_NONE && authenticator)
        identity_note_used(authenticator, attempt->authenticator_generation);
    answer(attempt, failure, signature);
}

/* Only what is a transcript with the very certificate in it that this attempt authenticates with. */
static int make_tls12_digest(const Attempt *attempt, const JobQuestion *question, uint8_t ret_digest[static 64],
                             Failure *ret_failure) {
    _cleanup_certificates_ CertificateList chain = { 0 };
    const SignatureScheme *scheme = question->scheme;

    int r = certificate_list_from_pem(bytes_view(&attempt->authenticator_chain), CHAIN_MAX, &chain, ret_failure);
    if (r < 0)
        return r;
    const char *reason = tls12_refusal(question->payload, bytes_view(&chain.list[0]->der), scheme->id);
    if (reason)
        return failure_set(ret_failure, -EPERM, FAILURE_PURPOSE_VIOLATION,
                           "The enroller asked for a signature on what is no TLS 1.2 handshake with the CA: %s.",
                           reason);
    int size = scheme_digest(scheme, question->payload.data, question->payload.size, ret_digest);
    return size >= 0 ? size
                     : failure_set(ret_failure, size, FAILURE_INTERNAL, "GnuTLS does not hash for %s.", scheme->name);
}

/* The size of what is to be signed, or -errno. */
static int make_digest(const Attempt *attempt, const JobQuestion *question, uint8_t ret_digest[static 64],
                       Failure *ret_failure) {
    const SignatureScheme *scheme = question->scheme;
    uint8_t content[CERTIFICATE_VERIFY_MAX];

    if (question->type == JOB_PACKET_SIGN_TLS12)
        return make_tls12_digest(attempt, question, ret_digest, ret_failure);
    int size = scheme->tls ? certificate_verify_build(TLS_SIDE_CLIENT, question->payload, content) : -EINVAL;
    if (size >= 0)
        size = scheme_digest(scheme, content, (size_t) size, ret_digest);
    if (size < 0)
        return failure_set(ret_failure, size, FAILURE_INVALID_ARGUMENT,
                           "The enroller asked for a signature on what is no TLS 1.3 transcript hash.");
    return size;
}

/* The one that authenticates may have been revoked, retired or removed since the attempt began: its key signs no more.
 */
static int check_authenticator(const Attempt *attempt, Failure *ret_failure) {
    const Identity *authenticator = authenticator_of(attempt);

    if (!authenticator)
        return failure_set(ret_failure, -ENOENT, FAILURE_NO_SUCH_IDENTITY,
                           "The identity that %s authenticates with was removed.", identity_name(attempt->identity));
    return identity_require_ready(authenticator, ret_failure) < 0 ? -EPERM : 0;
}

static int make_signature(Attempt *attempt, const JobQuestion *question, Failure *ret_failure) {
    const SignatureScheme *scheme = NULL;
    uint8_t digest[64];

    if (attempt->authenticator_key) {
        KeyAlgorithm algorithm = tpm_key_algorithm(attempt->authenticator_key);
        scheme = question->type == JOB_PACKET_SIGN_TLS12    ? tls12_key_scheme(question->scheme, algorithm)
                 : scheme_fits(question->scheme, algorithm) ? question->scheme
                                                            : NULL;
    }
    if (!scheme)
        return failure_set(ret_failure, -EINVAL, FAILURE_PURPOSE_VIOLATION,
                           "The enroller asked for a signature that its job has no key for (%s).",
                           question->scheme->name);
    int size = make_digest(attempt, question, digest, ret_failure);
    if (size < 0)
        return size;
    int r = check_authenticator(attempt, ret_failure);
    if (r < 0)
        return r;
    const SignOrder order = { .key = attempt->authenticator_key,
                              .scheme = scheme,
                              .digest = { digest, tls12_fit_digest(scheme, digest, (size_t) size) } };
    r = sign_task_start(identity_context(attempt->identity)->work, &order, on_signed, attempt, &attempt->task);
    return r < 0 ? failure_errno(ret_failure, r, "Signing for the enroller") : 0;
}

void attempt_question(const JobQuestion *question, void *userdata) {
    Attempt *attempt = userdata;
    Failure failure = FAILURE_INIT;
    int r;

    if (attempt->task) { /* which the enroller does not do; it would not tell the answers apart */
        (void) failure_set(&failure, -EPROTO, FAILURE_ENROLLMENT_FAILED,
                           "The enroller asked for something while it was being answered.");
        job_answer(attempt->job, question->type, question->serial, &failure, (BytesView) { NULL, 0 });
        return;
    }
    attempt->question_type = question->type;
    attempt->question_serial = question->serial;
    r = question->type == JOB_PACKET_CREATE_REQUEST ? make_request(attempt, question, &failure)
                                                    : make_signature(attempt, question, &failure);
    if (r < 0)
        answer(attempt, &failure, (BytesView) { NULL, 0 });
}
