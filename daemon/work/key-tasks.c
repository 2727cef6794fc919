/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys, signatures and requests as tasks. */
#include "work/key-tasks.h"

#include "pki/chain.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* A chip may search for the primes of an RSA key for minutes; all else is done in a moment. */
#define KEY_PATIENCE (300ULL * 1000000ULL)

/* ---- keys ---- */

typedef struct KeyTask {
    TpmTask task;
    KeyAlgorithm algorithm;
    uint8_t parent_name[sizeof((TpmInformation *) NULL)->parent_name];
    size_t parent_name_size;
    TpmKey *key;
    KeyDone done;
    void *userdata;
} KeyTask;

static void key_task_run(Tpm *tpm, TpmTask *base) {
    KeyTask *task = (KeyTask *) base;

    (void) tpm_key_create_under(tpm, task->algorithm, (BytesView) { task->parent_name, task->parent_name_size },
                                &task->key, &base->failure);
}

static void key_task_answer(TpmTask *base, const Failure *failure) {
    KeyTask *task = (KeyTask *) base;

    task->done(failure, failure->kind == FAILURE_NONE ? TAKE_PTR(task->key) : NULL, task->userdata);
}

static void key_task_free(TpmTask *base) {
    KeyTask *task = (KeyTask *) base;

    tpm_key_free(task->key);
    free(task);
}

int key_task_start(Work *work, KeyAlgorithm algorithm, KeyDone done, void *userdata, TpmTask **ret_task) {
    BytesView parent = tpm_watch_parent_name(device_tpm(work_device(work)));
    KeyTask *task = malloc(sizeof *task);

    if (!task)
        return -ENOMEM;
    *task = (KeyTask) { .task = { .run = key_task_run,
                                  .answer = key_task_answer,
                                  .free = key_task_free,
                                  .patience = KEY_PATIENCE,
                                  .payer = { .who = SIGNING_OWN_SLOW } },
                        .algorithm = algorithm,
                        .done = done,
                        .userdata = userdata };
    /* The parent that this daemon has looked at: an identity whose key has another one is `replaced` and gets its new
     * key here only when somebody asks for it. */
    memcpy(task->parent_name, parent.data, parent.size);
    task->parent_name_size = parent.size;
    int r = tpm_task_start(work_tpm_tasks(work), &task->task);
    if (r < 0)
        key_task_free(&task->task);
    else
        *ret_task = &task->task;
    return r;
}

/* ---- signatures ---- */

typedef struct SignTask {
    TpmTask task;
    TpmKey *key;
    const SignatureScheme *scheme;
    uint8_t digest[64];
    size_t digest_size;
    uint8_t signature[SIGNATURE_MAX];
    size_t signature_size;
    BytesDone done;
    void *userdata;
} SignTask;

static void sign_task_run(Tpm *tpm, TpmTask *base) {
    SignTask *task = (SignTask *) base;

    (void) tpm_key_sign(tpm, task->key, task->scheme, (BytesView) { task->digest, task->digest_size }, task->signature,
                        &task->signature_size, &base->failure);
}

static void sign_task_answer(TpmTask *base, const Failure *failure) {
    SignTask *task = (SignTask *) base;
    bool good = failure->kind == FAILURE_NONE;

    task->done(failure, good ? (BytesView) { task->signature, task->signature_size } : (BytesView) { NULL, 0 },
               task->userdata);
}

static void sign_task_free(TpmTask *base) {
    SignTask *task = (SignTask *) base;

    tpm_key_free(task->key);
    free(task);
}

int sign_task_start(Work *work, const SignOrder *order, BytesDone done, void *userdata, TpmTask **ret_task) {
    if (order->digest.size > sizeof((SignTask *) NULL)->digest)
        return -EINVAL;
    SignTask *task = malloc(sizeof *task);
    if (!task)
        return -ENOMEM;
    *task = (SignTask) {
        .task = { .run = sign_task_run, .answer = sign_task_answer, .free = sign_task_free, .payer = order->payer },
        .scheme = order->scheme,
        .digest_size = order->digest.size,
        .done = done,
        .userdata = userdata
    };
    memcpy(task->digest, order->digest.data, order->digest.size);
    task->key = tpm_key_ref(order->key);
    int r = tpm_task_start(work_tpm_tasks(work), &task->task);
    if (r < 0)
        sign_task_free(&task->task);
    else
        *ret_task = &task->task;
    return r;
}

/* ---- certification requests ---- */

void request_names_clear(RequestNames *names) {
    for (size_t i = 0; i < names->san_count; i++)
        free(names->san_values[i]);
    free(names->subject);
    *names = (RequestNames) { .subject = NULL };
}

typedef struct RequestTask {
    TpmTask task;
    TpmKey *key;
    Certificate *renew;
    RequestNames names;
    char *eku[CSR_EKU_MAX];
    size_t eku_count;
    char challenge[CSR_CHALLENGE_MAX + 1]; /* "": none */
    Bytes der;
    Failure sign_failure;
    Tpm *tpm; /* during run only */
    BytesDone done;
    void *userdata;
} RequestTask;

static void request_task_free(TpmTask *base) {
    RequestTask *task = (RequestTask *) base;

    tpm_key_free(task->key);
    certificate_free(task->renew);
    request_names_clear(&task->names);
    for (size_t i = 0; i < task->eku_count; i++)
        free(task->eku[i]);
    bytes_clear(&task->der);
    free(task);
}

static void request_task_drop(RequestTask **task) {
    if (*task)
        request_task_free(&(*task)->task);
}

static int request_task_sign(uint16_t scheme_id, BytesView digest, uint8_t *ret_signature, size_t *ret_size,
                             void *userdata) {
    RequestTask *task = userdata;
    const SignatureScheme *scheme = scheme_by_id(scheme_id);

    assert(scheme); /* pki asks by the table of schemes alone */
    return tpm_key_sign(task->tpm, task->key, scheme, digest, ret_signature, ret_size, &task->sign_failure);
}

static void privkey_deinit_p(gnutls_privkey_t *key) {
    if (*key)
        gnutls_privkey_deinit(*key);
}

static void request_task_run(Tpm *tpm, TpmTask *base) {
    RequestTask *task = (RequestTask *) base;
    _cleanup_(privkey_deinit_p) gnutls_privkey_t key = NULL;
    CsrTemplate template = {
        .subject = task->names.subject,
        .renew = task->renew,
        .sans = task->names.sans,
        .san_count = task->names.san_count,
        .eku = (const char *const *) task->eku,
        .eku_count = task->eku_count,
        .challenge = task->challenge[0] ? task->challenge : NULL,
    };

    task->tpm = tpm;
    int r = external_key_new(tpm_key_spki(task->key), request_task_sign, task, &key);
    if (r < 0)
        (void) failure_errno(&base->failure, r, "Preparing the key for a certification request");
    else
        r = csr_create(&template, key, tpm_key_spki(task->key), &task->der, &base->failure);
    if (r < 0 && task->sign_failure.kind != FAILURE_NONE)
        base->failure = task->sign_failure;
    task->tpm = NULL;
}

static void request_task_answer(TpmTask *base, const Failure *failure) {
    RequestTask *task = (RequestTask *) base;

    task->done(failure, failure->kind == FAILURE_NONE ? bytes_view(&task->der) : (BytesView) { NULL, 0 },
               task->userdata);
}

static int request_task_fill(RequestTask *task, const RequestOrder *order) {
    int r = 0;

    task->key = tpm_key_ref(order->key);
    if (order->challenge &&
        (size_t) snprintf(task->challenge, sizeof task->challenge, "%s", order->challenge) >= sizeof task->challenge)
        r = -E2BIG;
    if (r >= 0 && order->renew)
        task->renew = certificate_ref(order->renew);
    for (size_t i = 0; r >= 0 && i < order->eku_count; i++) {
        task->eku[i] = strdup(order->eku[i]);
        r = task->eku[i] ? 0 : -ENOMEM;
        task->eku_count = i + 1;
    }
    return r;
}

int request_task_start(Work *work, RequestOrder *order, BytesDone done, void *userdata, TpmTask **ret_task) {
    _cleanup_(request_task_drop) RequestTask *task = calloc(1, sizeof *task);

    if (!task)
        return -ENOMEM;
    task->task = (TpmTask) { .run = request_task_run, .answer = request_task_answer, .free = request_task_free };
    task->done = done;
    task->userdata = userdata;
    int r = request_task_fill(task, order);
    if (r < 0)
        return r;
    task->names = order->names; /* before the signing thread may look */
    r = tpm_task_start(work_tpm_tasks(work), &task->task);
    if (r < 0) {
        task->names = (RequestNames) { .subject = NULL }; /* they stay the caller's */
        return r;
    }
    order->names = (RequestNames) { .subject = NULL };
    *ret_task = &TAKE_PTR(task)->task;
    return 0;
}
