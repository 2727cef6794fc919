/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See support.h. */
#include "support.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <tss2/tss2_tctildr.h>

int start_swtpm(void **state) {
    Swtpm *swtpm = NULL;

    if (swtpm_new(&swtpm) < 0)
        return -1;
    *state = swtpm;
    return 0;
}

int stop_swtpm(void **state) {
    swtpm_free(*state);
    return 0;
}

Tpm *open_tcti(const char *tcti) {
    Tpm *tpm = NULL;
    TpmOptions options = { .tcti = tcti };

    assert_int_equal(tpm_new(&options, &tpm), 0);
    return tpm;
}

Tpm *open_tpm(const Swtpm *swtpm) {
    return open_tcti(swtpm_tcti(swtpm));
}

TpmKey *create_key(Tpm *tpm, KeyAlgorithm algorithm) {
    TpmKey *key = NULL;

    assert_success(tpm_key_create_under(tpm, algorithm, ANY_PARENT, &key, failure));
    assert_int_equal(tpm_key_algorithm(key), algorithm);
    return key;
}

bool signature_verifies(const TpmKey *key, const SignatureScheme *scheme, BytesView message, BytesView signature) {
    gnutls_pubkey_t public = NULL;
    BytesView spki = tpm_key_spki(key);
    gnutls_datum_t der = { (uint8_t *) spki.data, (unsigned int) spki.size };
    gnutls_datum_t data = { (uint8_t *) message.data, (unsigned int) message.size };
    gnutls_datum_t value = { (uint8_t *) signature.data, (unsigned int) signature.size };
    gnutls_sign_algorithm_t algorithm;
    int r;

    switch (scheme->id) {
    case 0x0403:
        algorithm = GNUTLS_SIGN_ECDSA_SECP256R1_SHA256;
        break;
    case 0x0503:
        algorithm = GNUTLS_SIGN_ECDSA_SECP384R1_SHA384;
        break;
    case 0x0401:
        algorithm = GNUTLS_SIGN_RSA_SHA256;
        break;
    case 0x0501:
        algorithm = GNUTLS_SIGN_RSA_SHA384;
        break;
    case 0x0601:
        algorithm = GNUTLS_SIGN_RSA_SHA512;
        break;
    default:
        algorithm = GNUTLS_SIGN_RSA_PSS_RSAE_SHA256;
    }
    assert_int_equal(gnutls_pubkey_init(&public), 0);
    assert_int_equal(gnutls_pubkey_import(public, &der, GNUTLS_X509_FMT_DER), 0);
    r = gnutls_pubkey_verify_data2(public, algorithm, 0, &data, &value);
    gnutls_pubkey_deinit(public);
    return r >= 0;
}

void sign_and_verify(Tpm *tpm, const TpmKey *key, const char *scheme_name) {
    static const char message[] = "message";
    const SignatureScheme *scheme = scheme_by_name(scheme_name);
    uint8_t digest[64], signature[SIGNATURE_MAX];
    size_t size = 0;
    int length;

    assert_non_null(scheme);
    length = scheme_digest(scheme, message, sizeof message, digest);
    assert_true(length > 0);
    assert_success(tpm_key_sign(tpm, key, scheme, (BytesView) { digest, (size_t) length }, signature, &size, failure));
    assert_true(signature_verifies(key, scheme, (BytesView) { (const uint8_t *) message, sizeof message },
                                   (BytesView) { signature, size }));
}

void sign(Tpm *tpm, const TpmKey *key) {
    sign_and_verify(tpm, key, "ecdsa_secp256r1_sha256");
}

ESYS_CONTEXT *raw_open(const char *tcti) {
    TSS2_TCTI_CONTEXT *context = NULL;
    ESYS_CONTEXT *esys = NULL;

    assert_int_equal(Tss2_TctiLdr_Initialize(tcti, &context), TSS2_RC_SUCCESS);
    assert_int_equal(Esys_Initialize(&esys, context, NULL), TSS2_RC_SUCCESS);
    return esys;
}

void raw_close(ESYS_CONTEXT *esys) {
    TSS2_TCTI_CONTEXT *context = NULL;

    assert_int_equal(Esys_GetTcti(esys, &context), TSS2_RC_SUCCESS);
    Esys_Finalize(&esys);
    Tss2_TctiLdr_Finalize(&context);
}

size_t raw_count_handles(const char *tcti, uint32_t first) {
    ESYS_CONTEXT *esys = raw_open(tcti);
    TPMS_CAPABILITY_DATA *data = NULL;
    size_t count;

    assert_int_equal(
        Esys_GetCapability(esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES, first, 64, NULL, &data),
        TSS2_RC_SUCCESS);
    count = data->data.handles.count;
    Esys_Free(data);
    raw_close(esys);
    return count;
}

TSS2_RC raw_evict(const char *tcti, TPM2_HANDLE handle) {
    ESYS_CONTEXT *esys = raw_open(tcti);
    ESYS_TR object = ESYS_TR_NONE, none = ESYS_TR_NONE;
    TSS2_RC rc;

    rc = Esys_TR_FromTPMPublic(esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &object);
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_EvictControl(esys, ESYS_TR_RH_OWNER, object, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, handle,
                               &none);
    raw_close(esys);
    return rc;
}

ESYS_TR foreign_key(ESYS_CONTEXT *esys, TPMA_OBJECT more, const char *unique) {
    const TPM2B_SENSITIVE_CREATE sensitive = { .size = 0 };
    const TPM2B_DATA outside = { .size = 0 };
    const TPML_PCR_SELECTION pcrs = { .count = 0 };
    TPM2B_PUBLIC template = {
        .publicArea = {
            .type = TPM2_ALG_ECC,
            .nameAlg = TPM2_ALG_SHA256,
            .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |
                                TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_SIGN_ENCRYPT | more,
            .parameters.eccDetail = {
                .symmetric.algorithm = TPM2_ALG_NULL,
                .scheme.scheme = TPM2_ALG_NULL,
                .curveID = TPM2_ECC_NIST_P256,
                .kdf.scheme = TPM2_ALG_NULL,
            },
        },
    };
    ESYS_TR object = ESYS_TR_NONE;

    template.publicArea.unique.ecc.x.size = (uint16_t) strlen(unique);
    memcpy(template.publicArea.unique.ecc.x.buffer, unique, strlen(unique));
    assert_int_equal(Esys_CreatePrimary(esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                                        &sensitive, &template, &outside, &pcrs, &object, NULL, NULL, NULL, NULL),
                     TSS2_RC_SUCCESS);
    return object;
}

void run_command(char *ret_output, size_t size, const char *format, ...) {
    char output[8192] = "";
    _cleanup_free_ char *command = NULL, *whole = NULL;
    va_list arguments;
    FILE *pipe;
    size_t length;
    int status;

    va_start(arguments, format);
    assert_true(vasprintf(&command, format, arguments) >= 0);
    va_end(arguments);
    assert_true(asprintf(&whole, "{ %s\n} 2>&1", command) >= 0);
    pipe = popen(whole, "re");
    assert_non_null(pipe);
    length = fread(output, 1, sizeof output - 1, pipe);
    output[length] = '\0';
    status = pclose(pipe);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("status %d: %s\n%s", status, command, output);
    if (ret_output)
        (void) snprintf(ret_output, size, "%s", output);
}
