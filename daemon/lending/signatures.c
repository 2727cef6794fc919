/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One-shot signatures on the bus. */
#include "lending/internal.h"

#include "common/data-frame.h"
#include "signing/data.h"
#include "work/key-tasks.h"

#include <string.h>

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

/* What the word for a framing stands for. */
typedef struct Framing {
    const char *word;
    Purpose purpose;
    DataFraming wanted; /* of what is signed */
} Framing;

static const Framing framings[] = {
    { "cms", PURPOSE_DATA, DATA_FRAMING_CMS },
    { "cose", PURPOSE_DATA, DATA_FRAMING_COSE },
    { "identityd", PURPOSE_DATA, DATA_FRAMING_IDENTITYD },
    { "raw", PURPOSE_DATA_RAW, DATA_FRAMING_NONE },
};

static const Framing *find_framing(const char *word) {
    for (size_t i = 0; i < ARRAY_LENGTH(framings); i++)
        if (strcmp(framings[i].word, word) == 0)
            return &framings[i];
    return NULL;
}

/* What is signed of a message: the message, or one made of it in `frame`. */
static int frame_message(const SignatureRequest *request, const Framing *framing, Bytes *frame, BytesView *ret,
                         Failure *ret_failure) {
    const char *name = identity_name(request->identity), *reason = NULL;
    bool is_ours = framing->wanted == DATA_FRAMING_IDENTITYD;
    size_t limit = PACKET_PAYLOAD_MAX - (is_ours ? data_frame_overhead(name) : 0);

    if (request->message.size > limit)
        return failure_set(ret_failure, -EMSGSIZE, FAILURE_INVALID_ARGUMENT,
                           "A message to sign has at most %zu bytes, not %zu.", limit, request->message.size);
    if (is_ours && data_frame_build(name, request->message, frame) < 0)
        return failure_errno(ret_failure, -ENOMEM, "Signing");
    *ret = is_ours ? bytes_view(frame) : request->message;
    if (framing->wanted == DATA_FRAMING_NONE || data_recognize(name, *ret, &reason) == framing->wanted)
        return 0;
    return failure_set(ret_failure, -EPERM, FAILURE_PURPOSE_VIOLATION, "This is no message in the framing \"%s\": %s.",
                       framing->word, reason ? reason : "it is in another that `data` signs, which is to be named");
}

typedef struct Digest {
    const SignatureScheme *scheme;
    SignDigest value;
} Digest;

/* Whether what is asked for can be signed at all. */
static int check_message(const SignatureRequest *request, const Framing *framing, Digest *ret, Failure *ret_failure) {
    const Identity *identity = request->identity;
    _cleanup_bytes_ Bytes frame = BYTES_NULL;
    BytesView message;

    int r = frame_message(request, framing, &frame, &message, ret_failure);
    if (r < 0)
        return r;
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
    const SignQuestion question = { framing->purpose, identity_name(identity), scheme, HANDLE_SIGN_MESSAGE, message };
    ret->scheme = scheme;
    return purpose_check(&question, &ret->value, ret_failure);
}

static int begin(const SignatureRequest *request, const Digest *digest, OperationDone done, void *userdata) {
    Identity *identity = request->identity;
    Work *work = identity_context(identity)->work;
    Signatures *signatures = identity_part(identity, &signatures_duty);
    _cleanup_free_ Signature *signature = calloc(1, sizeof *signature);
    const SignOrder order = { .key = identity_key(identity),
                              .scheme = digest->scheme,
                              .digest = { digest->value.bytes, digest->value.size },
                              .payer = { SIGNING_FOR_USER, request->caller->party, identity_name(identity) } };

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

static int sign(Lending *lending, const SignatureRequest *request, OperationDone done, void *userdata,
                Failure *ret_failure) {
    const Framing *framing = find_framing(request->framing);
    AccessDecision decision;
    Digest digest;

    if (!framing)
        return failure_set(ret_failure, -EINVAL, FAILURE_INVALID_ARGUMENT,
                           "There is no framing of the name given; known: cms, cose, identityd, raw.");
    const AccessQuestion question = { request->identity, framing->purpose, request->caller, false };
    int r = decision_make(lending, &question, &decision, ret_failure);
    if (r >= 0)
        r = identity_require_ready(request->identity, ret_failure);
    if (r >= 0)
        r = check_message(request, framing, &digest, ret_failure);
    if (r < 0)
        return r;
    r = begin(request, &digest, done, userdata);
    if (r < 0)
        return failure_errno(ret_failure, r, "Signing");
    decision_log(lending, &question, &decision);
    return 0;
}

void signatures_sign(Lending *lending, const SignatureRequest *request, OperationDone done, void *userdata) {
    Failure failure = FAILURE_INIT;

    if (sign(lending, request, done, userdata, &failure) < 0)
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
