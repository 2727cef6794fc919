/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What joins tpm and pki: keys, requests and signatures made on the signing thread, between those for handles. Each job
 * owns copies of all that it needs, so that main may change its mind meanwhile. */
#include "manager/internal.h"

#include <string.h>

/* A chip may search for the primes of an RSA key for minutes; all else is done in a moment. */
#define KEY_PATIENCE (300U * USEC_PER_SECOND)

/* ---- keys ---- */

typedef struct KeyJob {
    TpmJob job;
    KeyAlgorithm algorithm;
    uint8_t parent_name[sizeof((TpmInformation *) NULL)->parent_name];
    size_t parent_name_size;
    TpmKey *key;
    KeyDone done;
    void *userdata;
} KeyJob;

static void key_job_run(Tpm *tpm, TpmJob *base) {
    KeyJob *job = (KeyJob *) base;

    (void) tpm_key_create_under(tpm, job->algorithm, (BytesView) { job->parent_name, job->parent_name_size }, &job->key,
                                &base->failure);
}

static void key_job_answer(TpmJob *base, const Failure *failure) {
    KeyJob *job = (KeyJob *) base;

    job->done(failure, failure->kind == FAILURE_NONE ? TAKE_PTR(job->key) : NULL, job->userdata);
}

static void key_job_free(TpmJob *base) {
    KeyJob *job = (KeyJob *) base;

    tpm_key_free(job->key);
    free(job);
}

int key_create_start(Manager *manager, KeyAlgorithm algorithm, KeyDone done, void *userdata) {
    KeyJob *job = malloc(sizeof *job);

    if (!job)
        return -ENOMEM;
    *job = (KeyJob) { .job = { .manager = manager,
                               .run = key_job_run,
                               .answer = key_job_answer,
                               .free = key_job_free,
                               .patience = KEY_PATIENCE },
                      .algorithm = algorithm,
                      .done = done,
                      .userdata = userdata };
    /* The parent that this daemon has looked at: an identity whose key has another one is `replaced` and gets its new
     * key here only when somebody asks for it. */
    memcpy(job->parent_name, manager->tpm.parent_name, manager->tpm.parent_name_size);
    job->parent_name_size = manager->tpm.parent_name_size;
    int r = tpm_job_start(&job->job);
    if (r < 0)
        key_job_free(&job->job);
    return r;
}

/* ---- signatures ---- */

typedef struct SignJob {
    TpmJob job;
    TpmKey *key;
    const SignatureScheme *scheme;
    uint8_t digest[64];
    size_t digest_size;
    uint8_t signature[SIGNATURE_MAX];
    size_t signature_size;
    SignDone done;
    void *userdata;
} SignJob;

static void sign_job_run(Tpm *tpm, TpmJob *base) {
    SignJob *job = (SignJob *) base;

    (void) tpm_key_sign(tpm, job->key, job->scheme, (BytesView) { job->digest, job->digest_size }, job->signature,
                        &job->signature_size, &base->failure);
}

static void sign_job_answer(TpmJob *base, const Failure *failure) {
    SignJob *job = (SignJob *) base;
    bool good = failure->kind == FAILURE_NONE;

    job->done(failure, good ? (BytesView) { job->signature, job->signature_size } : (BytesView) { NULL, 0 },
              job->userdata);
}

static void sign_job_free(TpmJob *base) {
    SignJob *job = (SignJob *) base;

    tpm_key_free(job->key);
    free(job);
}

int sign_start(Manager *manager, const TpmKey *key, const SignatureScheme *scheme, BytesView digest, SignDone done,
               void *userdata) {
    if (digest.size > sizeof((SignJob *) NULL)->digest)
        return -EINVAL;
    SignJob *job = malloc(sizeof *job);
    if (!job)
        return -ENOMEM;
    *job = (SignJob) {
        .job = { .manager = manager, .run = sign_job_run, .answer = sign_job_answer, .free = sign_job_free },
        .scheme = scheme,
        .digest_size = digest.size,
        .done = done,
        .userdata = userdata
    };
    memcpy(job->digest, digest.data, digest.size);
    int r = tpm_key_copy(key, &job->key);
    if (r >= 0)
        r = tpm_job_start(&job->job);
    if (r < 0)
        sign_job_free(&job->job);
    return r;
}

/* ---- certification requests ---- */

typedef struct RequestJob {
    TpmJob job;
    TpmKey *key;
    Certificate *renew;
    RequestNames names;
    char *eku[CSR_EKU_MAX];
    size_t eku_count;
    Bytes der;
    Failure sign_failure;
    Tpm *tpm; /* during run only */
    RequestDone done;
    void *userdata;
} RequestJob;

static void request_job_free(TpmJob *base) {
    RequestJob *job = (RequestJob *) base;

    tpm_key_free(job->key);
    certificate_free(job->renew);
    request_names_clear(&job->names);
    for (size_t i = 0; i < job->eku_count; i++)
        free(job->eku[i]);
    bytes_clear(&job->der);
    free(job);
}

static void request_job_drop(RequestJob **job) {
    if (*job)
        request_job_free(&(*job)->job);
}

static int request_job_sign(uint16_t scheme_id, BytesView digest, uint8_t *ret_signature, size_t *ret_size,
                            void *userdata) {
    RequestJob *job = userdata;
    const SignatureScheme *scheme = scheme_by_id(scheme_id);

    if (!scheme)
        return -EINVAL;
    return tpm_key_sign(job->tpm, job->key, scheme, digest, ret_signature, ret_size, &job->sign_failure);
}

static void privkey_deinit_p(gnutls_privkey_t *key) {
    if (*key)
        gnutls_privkey_deinit(*key);
}

static void request_job_run(Tpm *tpm, TpmJob *base) {
    RequestJob *job = (RequestJob *) base;
    _cleanup_(privkey_deinit_p) gnutls_privkey_t key = NULL;
    CsrTemplate template = {
        .subject = job->names.subject,
        .renew = job->renew,
        .sans = job->names.sans,
        .san_count = job->names.san_count,
        .eku = (const char *const *) job->eku,
        .eku_count = job->eku_count,
    };

    job->tpm = tpm;
    int r = external_key_new(tpm_key_spki(job->key), request_job_sign, job, &key);
    if (r < 0)
        (void) failure_errno(&base->failure, r, "Preparing the key for a certification request");
    else
        r = csr_create(&template, key, tpm_key_spki(job->key), &job->der, &base->failure);
    if (r < 0 && job->sign_failure.kind != FAILURE_NONE)
        base->failure = job->sign_failure;
    job->tpm = NULL;
}

static void request_job_answer(TpmJob *base, const Failure *failure) {
    RequestJob *job = (RequestJob *) base;

    job->done(failure, failure->kind == FAILURE_NONE ? bytes_view(&job->der) : (BytesView) { NULL, 0 }, job->userdata);
}

static int request_add_eku(RequestJob *job, const char *oid) {
    for (size_t i = 0; i < job->eku_count; i++)
        if (strcmp(job->eku[i], oid) == 0)
            return 0;
    if (job->eku_count == CSR_EKU_MAX)
        return -E2BIG;
    job->eku[job->eku_count] = strdup(oid);
    return job->eku[job->eku_count] ? (job->eku_count++, 0) : -ENOMEM;
}

/* DESIGN §8: an identity that grants `data` asks for no TLS usage; the others authenticate as clients, if only to
 * renew. */
static int request_usages(Identity *identity, const RequestInput *input, RequestJob *job) {
    const AccessRules *access = identity->config->access;
    int r = 0;

    if (access[PURPOSE_DATA].count > 0)
        return 0;
    r = request_add_eku(job, EKU_CLIENT_AUTH);
    if (r >= 0 && access[PURPOSE_TLS_SERVER].count > 0)
        r = request_add_eku(job, EKU_SERVER_AUTH);
    for (size_t i = 0; r >= 0 && i < input->eku_count; i++)
        r = request_add_eku(job, input->eku[i]);
    return r;
}

int request_start(Identity *identity, const RequestInput *input, RequestDone done, void *userdata,
                  Failure *ret_failure) {
    _cleanup_(request_job_drop) RequestJob *job = calloc(1, sizeof *job);
    int r;

    if (!job)
        return failure_errno(ret_failure, -ENOMEM, "Making a certification request");
    job->job = (TpmJob) {
        .manager = identity->manager, .run = request_job_run, .answer = request_job_answer, .free = request_job_free
    };
    job->done = done;
    job->userdata = userdata;
    r = tpm_key_copy(input->key, &job->key);
    if (r >= 0)
        r = request_usages(identity, input, job);
    if (r >= 0 && input->renew && identity_leaf(identity))
        r = certificate_copy(identity_leaf(identity), &job->renew);
    if (r < 0)
        return failure_errno(ret_failure, r, "Making a certification request");
    if (!job->renew) {
        r = request_names(identity, &job->names, ret_failure);
        if (r < 0)
            return r;
    }
    r = tpm_job_start(&job->job);
    if (r < 0)
        return failure_errno(ret_failure, r, "Making a certification request");
    (void) TAKE_PTR(job);
    return 0;
}
