/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What joins tpm and pki: keys, requests and signatures made on the signing thread, between those for handles. Each job
 * owns copies of all that it needs, so that main may change its mind meanwhile. */
#include "manager/internal.h"

#include <string.h>

/* ---- keys ---- */

typedef struct KeyJob {
    Manager *manager;
    KeyAlgorithm algorithm;
    uint8_t parent_name[sizeof((TpmInformation *) NULL)->parent_name];
    size_t parent_name_size;
    TpmKey *key;
    Failure failure;
    KeyDone done;
    void *userdata;
} KeyJob;

static void key_job_run(Tpm *tpm, void *data) {
    KeyJob *job = data;

    (void) tpm_key_create_under(tpm, job->algorithm, (BytesView) { job->parent_name, job->parent_name_size }, &job->key,
                                &job->failure);
}

static void key_job_done(void *data, bool cancelled) {
    KeyJob *job = data;

    if (cancelled)
        (void) failure_set(&job->failure, -ESHUTDOWN, FAILURE_NOT_READY, "identityd stops.");
    else
        tpm_note_job(job->manager, &job->failure);
    job->done(&job->failure, job->key, job->userdata);
    free(job);
}

int key_create_start(Manager *manager, KeyAlgorithm algorithm, KeyDone done, void *userdata) {
    KeyJob *job = malloc(sizeof *job);

    if (!job)
        return -ENOMEM;
    *job = (KeyJob) { .manager = manager, .algorithm = algorithm, .done = done, .userdata = userdata };
    /* The parent that this daemon has looked at: an identity whose key has another one is `replaced` and gets its new
     * key here only when somebody asks for it. */
    memcpy(job->parent_name, manager->tpm.parent_name, manager->tpm.parent_name_size);
    job->parent_name_size = manager->tpm.parent_name_size;
    int r = signing_run(manager->signing, key_job_run, key_job_done, job);
    if (r < 0)
        free(job);
    return r;
}

/* ---- signatures ---- */

typedef struct SignJob {
    Manager *manager;
    TpmKey *key;
    const SignatureScheme *scheme;
    uint8_t digest[64];
    size_t digest_size;
    uint8_t signature[SIGNATURE_MAX];
    size_t signature_size;
    Failure failure;
    SignDone done;
    void *userdata;
} SignJob;

static SignJob *sign_job_free(SignJob *job) {
    if (!job)
        return NULL;
    tpm_key_free(job->key);
    free(job);
    return NULL;
}
DEFINE_CLEANUP(SignJob, sign_job_free)

static void sign_job_run(Tpm *tpm, void *data) {
    SignJob *job = data;

    (void) tpm_key_sign(tpm, job->key, job->scheme, (BytesView) { job->digest, job->digest_size }, job->signature,
                        &job->signature_size, &job->failure);
}

static void sign_job_done(void *data, bool cancelled) {
    _cleanup_(sign_job_free_p) SignJob *job = data;

    if (cancelled)
        (void) failure_set(&job->failure, -ESHUTDOWN, FAILURE_NOT_READY, "identityd stops.");
    else
        tpm_note_job(job->manager, &job->failure);
    job->done(&job->failure, (BytesView) { job->signature, job->signature_size }, job->userdata);
}

int sign_start(Manager *manager, const TpmKey *key, const SignatureScheme *scheme, BytesView digest, SignDone done,
               void *userdata) {
    _cleanup_(sign_job_free_p) SignJob *job = calloc(1, sizeof *job);

    if (!job)
        return -ENOMEM;
    if (digest.size > sizeof job->digest)
        return -EINVAL;
    int r = tpm_key_copy(key, &job->key);
    if (r < 0)
        return r;
    job->manager = manager;
    job->scheme = scheme;
    memcpy(job->digest, digest.data, digest.size);
    job->digest_size = digest.size;
    job->done = done;
    job->userdata = userdata;
    r = signing_run(manager->signing, sign_job_run, sign_job_done, job);
    if (r >= 0)
        (void) TAKE_PTR(job);
    return r;
}

/* ---- certification requests ---- */

typedef struct RequestJob {
    Manager *manager;
    TpmKey *key;
    char *subject;
    Certificate *renew;
    CsrSan sans[CSR_SANS_MAX];
    char *san_values[CSR_SANS_MAX];
    size_t san_count;
    char *eku[CSR_EKU_MAX];
    size_t eku_count;
    Bytes der;
    Failure failure, sign_failure;
    Tpm *tpm; /* during run only */
    RequestDone done;
    void *userdata;
} RequestJob;

static RequestJob *request_job_free(RequestJob *job) {
    if (!job)
        return NULL;
    tpm_key_free(job->key);
    certificate_free(job->renew);
    for (size_t i = 0; i < job->san_count; i++)
        free(job->san_values[i]);
    for (size_t i = 0; i < job->eku_count; i++)
        free(job->eku[i]);
    bytes_clear(&job->der);
    free(job->subject);
    free(job);
    return NULL;
}
DEFINE_CLEANUP(RequestJob, request_job_free)

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

static void request_job_run(Tpm *tpm, void *data) {
    RequestJob *job = data;
    _cleanup_(privkey_deinit_p) gnutls_privkey_t key = NULL;
    CsrTemplate template = {
        .subject = job->subject,
        .renew = job->renew,
        .sans = job->sans,
        .san_count = job->san_count,
        .eku = (const char *const *) job->eku,
        .eku_count = job->eku_count,
    };

    job->tpm = tpm;
    int r = external_key_new(tpm_key_spki(job->key), request_job_sign, job, &key);
    if (r < 0)
        (void) failure_errno(&job->failure, r, "Preparing the key for a certification request");
    else
        r = csr_create(&template, key, tpm_key_spki(job->key), &job->der, &job->failure);
    if (r < 0 && job->sign_failure.kind != FAILURE_NONE)
        job->failure = job->sign_failure;
    job->tpm = NULL;
}

static void request_job_done(void *data, bool cancelled) {
    _cleanup_(request_job_free_p) RequestJob *job = data;

    if (cancelled)
        (void) failure_set(&job->failure, -ESHUTDOWN, FAILURE_NOT_READY, "identityd stops.");
    else
        tpm_note_job(job->manager, &job->failure);
    job->done(&job->failure, bytes_view(&job->der), job->userdata);
}

int identity_specifiers(Identity *identity, Specifiers *ret) {
    Manager *manager = identity->manager;

    *ret = (Specifiers) {
        .device_id = manager->tpm.device_id[0] ? manager->tpm.device_id : NULL,
        .device_id_problem =
            manager->tpm.device_id_problem[0] ? manager->tpm.device_id_problem : "the TPM has not been read yet",
        .host_name = manager_host_name(identity),
        .machine_id = manager_machine_id(manager),
        .serial = manager->serial && secret_view(manager->serial).size > 0
                      ? (const char *) secret_view(manager->serial).data
                      : NULL,
        .serial_problem = "no systemd credential brings a hardware serial number (SerialCredential= in identityd.conf)",
    };
    return 0;
}

static int request_expand(Identity *identity, RequestJob *job, Failure *ret_failure) {
    static const CsrSanKind kinds[] = {
        [SAN_DNS] = CSR_SAN_DNS,
        [SAN_IP] = CSR_SAN_IP,
        [SAN_URI] = CSR_SAN_URI,
        [SAN_HARDWARE_MODULE] = CSR_SAN_HARDWARE_MODULE,
    };
    const IdentityConfig *config = identity->config;
    const char *problem = NULL;
    Specifiers specifiers;

    int r = identity_specifiers(identity, &specifiers);
    if (r >= 0)
        r = specifiers_expand(config->subject ? config->subject : "", &specifiers, true, &job->subject, &problem);
    if (r < 0)
        return failure_set(ret_failure, r, FAILURE_INVALID_ARGUMENT, "%s: [Identity] Subject=%s: %s.", identity->name,
                           config->subject, problem ? problem : strerror(-r));
    if (config->san_count > CSR_SANS_MAX)
        return failure_set(ret_failure, -E2BIG, FAILURE_INVALID_ARGUMENT,
                           "%s: [Identity] SubjectAltName= has more than %u names.", identity->name, CSR_SANS_MAX);
    for (size_t i = 0; i < config->san_count; i++) {
        r = specifiers_expand(config->sans[i].value, &specifiers, false, &job->san_values[i], &problem);
        if (r < 0)
            return failure_set(ret_failure, r, FAILURE_INVALID_ARGUMENT, "%s: [Identity] SubjectAltName=…%s: %s.",
                               identity->name, config->sans[i].value, problem ? problem : strerror(-r));
        job->sans[i] = (CsrSan) { kinds[config->sans[i].kind], job->san_values[i] };
        job->san_count++;
    }
    return 0;
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
    _cleanup_(request_job_free_p) RequestJob *job = calloc(1, sizeof *job);
    int r;

    if (!job)
        return failure_errno(ret_failure, -ENOMEM, "Making a certification request");
    job->manager = identity->manager;
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
        r = request_expand(identity, job, ret_failure);
        if (r < 0)
            return r;
    }
    r = signing_run(identity->manager->signing, request_job_run, request_job_done, job);
    if (r < 0)
        return failure_errno(ret_failure, r, "Making a certification request");
    (void) TAKE_PTR(job);
    return 0;
}
