/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the enroller may ask of an attempt: one certificate request within what is configured, and signatures of the
 * client's side of TLS by the credential that it authenticates with. Everything else is refused, in words that reach
 * the admin. */
#include "manager/enrolment.h"

#include "common/certificate-verify.h"

#include <string.h>

Enrolment *enrolment_by_token(const EnrolmentToken *token) {
    Identity *identity = identity_by_instance(token->manager, token->identity);

    return identity && identity->enrolment && identity->enrolment->id == token->enrolment ? identity->enrolment : NULL;
}

EnrolmentToken *enrolment_token(Enrolment *enrolment, const JobQuestion *question) {
    EnrolmentToken *token = malloc(sizeof *token);

    if (token)
        *token = (EnrolmentToken) { enrolment->identity->manager, enrolment->identity->instance, enrolment->id,
                                    question ? question->type : 0, question ? question->serial : 0 };
    return token;
}

static void enrolment_answer(Enrolment *enrolment, const EnrolmentToken *token, const Failure *failure,
                             BytesView body) {
    int r = job_answer(enrolment->job, token->type, token->serial, failure, body);

    if (r < 0)
        enrolment_fail_errno(enrolment, r, "Answering the enroller");
    else if (failure->kind != FAILURE_NONE)
        enrolment->own_failure = *failure; /* ours is the better text than what the enroller makes of it */
}

static void on_request_made(const Failure *failure, BytesView der, void *userdata) {
    _cleanup_free_ EnrolmentToken *token = userdata;
    Enrolment *enrolment = enrolment_by_token(token);
    Failure refusal = *failure;

    if (!enrolment)
        return;
    if (refusal.kind == FAILURE_NONE) {
        int r = bytes_copy(der, &enrolment->pending.request);
        if (r < 0)
            (void) failure_errno(&refusal, r, "Keeping the request");
        else
            (void) store_pending_save(enrolment->identity->store, &enrolment->pending, &refusal);
    }
    enrolment_answer(enrolment, token, &refusal, der);
}

static int question_check_request(const Enrolment *enrolment, const JobQuestion *question, Failure *ret_failure) {
    const IdentityConfig *config = enrolment->identity->config;

    if (enrolment->pending.request.size > 0)
        return failure_set(ret_failure, -EPROTO, FAILURE_ENROLLMENT_FAILED,
                           "The enroller asked for a request although it was given one.");
    if (question->key_type >= 0 && (KeyAlgorithm) question->key_type != tpm_key_algorithm(enrolment->key))
        return failure_set(ret_failure, -EINVAL, FAILURE_ENROLLMENT_FAILED,
                           "The CA asks for a key of the type %s (/csrattrs) but %s has one of the type %s: set "
                           "Algorithm=%s in [Key].",
                           key_algorithm_to_string((KeyAlgorithm) question->key_type), enrolment->identity->name,
                           key_algorithm_to_string(tpm_key_algorithm(enrolment->key)),
                           key_algorithm_to_string((KeyAlgorithm) question->key_type));
    for (size_t i = 0; i < question->eku_count; i++) {
        bool client = strcmp(question->eku[i], EKU_CLIENT_AUTH) == 0,
             server = strcmp(question->eku[i], EKU_SERVER_AUTH) == 0;
        if ((client || server) && config->access[PURPOSE_DATA].count > 0)
            return failure_set(
                ret_failure, -EPERM, FAILURE_ENROLLMENT_FAILED,
                "The CA asks for a TLS extended key usage (/csrattrs), which %s must not have since it grants `data`.",
                enrolment->identity->name);
        if (!client && !server)
            return failure_set(ret_failure, -EPERM, FAILURE_ENROLLMENT_FAILED,
                               "The CA asks for the extended key usage %s (/csrattrs); only TLS client and server "
                               "authentication are given.",
                               question->eku[i]);
    }
    return 0;
}

static int question_request(Enrolment *enrolment, const JobQuestion *question, Failure *ret_failure) {
    int r = question_check_request(enrolment, question, ret_failure);

    if (r < 0)
        return r;
    _cleanup_free_ EnrolmentToken *token = enrolment_token(enrolment, question);
    if (!token)
        return failure_errno(ret_failure, -ENOMEM, "Making a request");
    RequestInput input = {
        .key = enrolment->key, .renew = enrolment->copy_names, .eku = question->eku, .eku_count = question->eku_count
    };
    r = request_start(enrolment->identity, &input, on_request_made, token, ret_failure);
    if (r >= 0)
        (void) TAKE_PTR(token);
    return r;
}

static void on_signed(const Failure *failure, BytesView signature, void *userdata) {
    _cleanup_free_ EnrolmentToken *token = userdata;
    Enrolment *enrolment = enrolment_by_token(token);

    if (!enrolment)
        return;
    if (failure->kind == FAILURE_NONE && enrolment->authenticator) {
        Identity *authenticator = identity_by_instance(token->manager, enrolment->authenticator);
        if (authenticator)
            identity_generation_used(authenticator, enrolment->authenticator_generation);
    }
    enrolment_answer(enrolment, token, failure, signature);
}

static int question_sign(Enrolment *enrolment, const JobQuestion *question, Failure *ret_failure) {
    uint8_t content[CERTIFICATE_VERIFY_MAX], digest[64];
    const SignatureScheme *scheme = question->scheme;
    int size;

    if (!enrolment->authenticator_key || !scheme_fits(scheme, tpm_key_algorithm(enrolment->authenticator_key)))
        return failure_set(ret_failure, -EINVAL, FAILURE_PURPOSE_VIOLATION,
                           "The enroller asked for a signature that its job has no key for (%s).", scheme->name);
    if (question->type == JOB_PACKET_SIGN_DIGEST) {
        size = (int) question->hash.size;
        if (question->hash.size != (size_t) scheme->hash)
            return failure_set(ret_failure, -EINVAL, FAILURE_INVALID_ARGUMENT, "A digest for %s has %d bytes, not %zu.",
                               scheme->name, (int) scheme->hash, question->hash.size);
        memcpy(digest, question->hash.data, question->hash.size);
    } else {
        size = scheme->tls ? certificate_verify_build(TLS_SIDE_CLIENT, question->hash, content) : -EINVAL;
        if (size >= 0)
            size = scheme_digest(scheme, content, (size_t) size, digest);
        if (size < 0)
            return failure_set(ret_failure, size, FAILURE_INVALID_ARGUMENT,
                               "The enroller asked for a signature on what is no TLS 1.3 transcript hash.");
    }
    Identity *authenticator = identity_by_instance(enrolment->identity->manager, enrolment->authenticator);
    if (!authenticator || identity_require_ready(authenticator, ret_failure) < 0)
        return authenticator
                   ? -EPERM
                   : failure_set(ret_failure, -ENOENT, FAILURE_NO_SUCH_IDENTITY,
                                 "The identity that %s authenticates with was removed.", enrolment->identity->name);
    _cleanup_free_ EnrolmentToken *token = enrolment_token(enrolment, question);
    int r = !token ? -ENOMEM
                   : sign_start(enrolment->identity->manager, enrolment->authenticator_key, scheme,
                                (BytesView) { digest, (size_t) size }, on_signed, token);
    if (r < 0)
        return failure_errno(ret_failure, r, "Signing for the enroller");
    (void) TAKE_PTR(token);
    return 0;
}

void enrolment_question(const JobQuestion *question, void *userdata) {
    Enrolment *enrolment = userdata;
    Failure failure = FAILURE_INIT;
    int r = question->type == JOB_PACKET_CREATE_REQUEST ? question_request(enrolment, question, &failure)
                                                        : question_sign(enrolment, question, &failure);

    if (r < 0) {
        EnrolmentToken token = { .type = question->type, .serial = question->serial };
        enrolment_answer(enrolment, &token, &failure, (BytesView) { NULL, 0 });
    }
}
