/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One-shot signatures on the bus. */
#include "lending/internal.h"

#include "work/key-tasks.h"

typedef struct Signature Signature;
struct Signature {
    Identity *identity;
    uint32_t generation;
    TpmTask *task;
    Operation *operation;
    Signature *next;
};

/* The duty's part: those that are being made. */
typedef struct Signatures {
    Signature *first;
} Signatures;

static void signature_end(Signature *signature, const Failure *failure, BytesView bytes) {
    Signatures *signatures = identity_part(signature->identity, &signatures_duty);

    for (Signature **link = &signatures->first; *link; link = &(*link)->next)
        if (*link == signature) {
            *link = signature->next;
            break;
        }
    operation_finish(signature->operation, failure, bytes);
    tpm_task_forget(signature->task);
    free(signature);
}

static void on_signed(const Failure *failure, BytesView bytes, void *userdata) {
    Signature *signature = userdata;

    signature->task = NULL;
    if (failure->kind == FAILURE_NONE)
        identity_note_used(signature->identity, signature->generation);
    signature_end(signature, failure, bytes);
}

typedef struct Digest {
    const SignatureScheme *scheme;
    uint8_t bytes[64];
    size_t size;
} Digest;

/* Whether what is asked for can be signed at all. */
static int check_message(const SignatureRequest *request, Digest *ret, Failure *ret_failure) {
    const Identity *identity = request->identity;

    if (request->message.size > PACKET_PAYLOAD_MAX)
        return failure_set(ret_failure, -EMSGSIZE, FAILURE_INVALID_ARGUMENT,
                           "A message to sign has at most %u bytes, not %zu.", PACKET_PAYLOAD_MAX,
                           request->message.size);
    const SignatureScheme *scheme = scheme_by_name(request->scheme);
    if (!scheme)
        return failure_set(
            ret_failure, -EINVAL, FAILURE_INVALID_ARGUMENT,
            "There is no signature scheme of the name given; known are the IANA TLS SignatureScheme names, e.g. "
            "ecdsa_secp256r1_sha256.");
    if (!scheme_fits(scheme, tpm_key_algorithm(identity_key(identity))))
        return failure_set(ret_failure, -EINVAL, FAILURE_INVALID_ARGUMENT,
                           "%s has a key of the type %s, which cannot sign with %s.", identity_name(identity),
                           key_algorithm_to_string(tpm_key_algorithm(identity_key(identity))), scheme->name);
    ret->scheme = scheme;
    return purpose_check(PURPOSE_DATA_RAW, HANDLE_SIGN_MESSAGE, scheme, request->message, ret->bytes, &ret->size,
                         ret_failure);
}

static int begin(const SignatureRequest *request, const Digest *digest, OperationDone done, void *userdata) {
    Identity *identity = request->identity;
    Work *work = identity_context(identity)->work;
    Signatures *signatures = identity_part(identity, &signatures_duty);
    _cleanup_free_ Signature *signature = calloc(1, sizeof *signature);
    const SignOrder order = { .key = identity_key(identity),
                              .scheme = digest->scheme,
                              .digest = { digest->bytes, digest->size },
                              .payer = { SIGNING_FOR_USER, request->caller->uid, identity_name(identity) } };

    if (!signature)
        return -ENOMEM;
    *signature = (Signature) { .identity = identity, .generation = identity_generation(identity) };
    int r = sign_task_start(work, &order, on_signed, signature, &signature->task);
    if (r < 0)
        return r;
    r = operation_new(work_operations(work), done, userdata, &signature->operation);
    if (r < 0) {
        tpm_task_forget(signature->task);
        return r;
    }
    signature->next = signatures->first;
    signatures->first = TAKE_PTR(signature);
    return 0;
}

void signatures_sign(Lending *lending, const SignatureRequest *request, OperationDone done, void *userdata) {
    const AccessQuestion question = { request->identity, PURPOSE_DATA_RAW, request->caller, false };
    Failure failure = FAILURE_INIT;
    AccessDecision decision;
    Digest digest;
    int r = decision_make(lending, &question, &decision, &failure);

    if (r >= 0)
        r = identity_require_ready(request->identity, &failure);
    if (r >= 0)
        r = check_message(request, &digest, &failure);
    if (r >= 0) {
        r = begin(request, &digest, done, userdata);
        if (r < 0)
            (void) failure_errno(&failure, r, "Signing");
        else
            decision_log(lending, &question, &decision);
    }
    if (r < 0)
        operation_answer(work_operations(identity_context(request->identity)->work), done, userdata, &failure);
}

static void signatures_stop(Identity *identity, const Failure *why) {
    Signatures *signatures = identity_part(identity, &signatures_duty);

    while (signatures->first)
        signature_end(signatures->first, why, (BytesView) { NULL, 0 });
}

const Duty signatures_duty = {
    .name = "signatures",
    .part_size = sizeof(Signatures),
    .stop = signatures_stop,
};
