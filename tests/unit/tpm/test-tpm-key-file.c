/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Key files: round trip, use by tpm2-openssl as they are, and everything that may not be in one. */
#include "support.h"

#include "tpm/internal.h"

#include <gnutls/x509.h>
#include <stdio.h>
#include <string.h>

static void write_file(const Swtpm *swtpm, const char *name, BytesView content) {
    char path[512];
    FILE *file;

    (void) snprintf(path, sizeof path, "%s/%s", swtpm_directory(swtpm), name);
    file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(content.data, 1, content.size, file), content.size);
    assert_int_equal(fclose(file), 0);
}

/* Signs with `openssl dgst` through the provider, verifies with plain openssl and the key's own public part. */
static void openssl_signs(Swtpm *swtpm, Tpm *tpm, const TpmKey *key, const char *hash) {
    _cleanup_bytes_ Bytes pem = BYTES_NULL;

    assert_int_equal(tpm_key_to_pem(key, &pem), 0);
    write_file(swtpm, "key.pem", bytes_view(&pem));
    write_file(swtpm, "spki.der", tpm_key_spki(key));
    write_file(swtpm, "message", bytes_view_string("to be signed"));
    tpm_key_unload(tpm, key);
    run_command(NULL, 0,
                "cd %s && TPM2OPENSSL_TCTI=%s TSS2_LOG=all+NONE openssl dgst -provider tpm2 -provider default "
                "-propquery '?provider=tpm2' -%s -sign key.pem -out signature message && "
                "openssl dgst -%s -verify spki.der -keyform DER -signature signature message",
                swtpm_directory(swtpm), swtpm_tcti(swtpm), hash, hash);
}

static void used_by_tpm2_openssl(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
    static const struct {
        KeyAlgorithm algorithm;
        const char *hash;
    } cases[] = {
        { KEY_ECDSA_P256, "sha256" },
        { KEY_ECDSA_P384, "sha384" },
        { KEY_RSA_2048, "sha256" },
        { KEY_RSA_3072, "sha512" },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        _cleanup_tpm_key_ TpmKey *key = create_key(tpm, cases[i].algorithm);
        openssl_signs(swtpm, tpm, key, cases[i].hash);
    }
}

typedef struct Parts {
    TPM2B_PUBLIC public;
    TPM2B_PRIVATE private;
} Parts;

static Parts parts_of(const TpmKey *key) {
    Parts parts;

    assert_int_equal(tpm_key_parts(key, &parts.public, &parts.private), 0);
    return parts;
}

/* A key of a TPM whose NV is full names the owner hierarchy: tpm2-openssl makes the same parent. */
static void transient_parent_used_by_tpm2_openssl(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
    _cleanup_tpm_key_ TpmKey *made = create_key(tpm, KEY_ECDSA_P256), *key = NULL;

    Parts parts = parts_of(made);
    assert_success(tpm_key_new(&parts.public, &parts.private, &made->parent_name, TPM2_RH_OWNER, &key, failure));
    openssl_signs(swtpm, tpm, key, "sha256");
}

static void round_trip(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);

    for (KeyAlgorithm algorithm = 0; algorithm < _KEY_ALGORITHM_COUNT; algorithm++) {
        _cleanup_tpm_key_ TpmKey *key = create_key(tpm, algorithm), *again = NULL, *copy = NULL;
        _cleanup_bytes_ Bytes pem = BYTES_NULL, pem_again = BYTES_NULL, spaced = BYTES_NULL;

        assert_int_equal(tpm_key_to_pem(key, &pem), 0);
        assert_success(tpm_key_from_pem(bytes_view(&pem), tpm_key_parent_name(key), &again, failure));
        assert_int_equal(tpm_key_to_pem(again, &pem_again), 0);
        assert_true(bytes_view_equal(bytes_view(&pem), bytes_view(&pem_again)));
        assert_true(bytes_view_equal(tpm_key_name(key), tpm_key_name(again)));
        assert_true(bytes_view_equal(tpm_key_spki(key), tpm_key_spki(again)));
        assert_true(bytes_view_equal(tpm_key_parent_name(key), tpm_key_parent_name(again)));
        assert_int_equal(again->parent_handle, 0x81000001U);
        copy = tpm_key_ref(again);
        again = tpm_key_free(again); /* one of two */
        sign_and_verify(tpm, copy,
                        algorithm == KEY_ECDSA_P256   ? "ecdsa_secp256r1_sha256"
                        : algorithm == KEY_ECDSA_P384 ? "ecdsa_secp384r1_sha384"
                                                      : "rsa_pkcs1_sha256");

        /* Space around is no part of the key. */
        assert_int_equal(bytes_copy(bytes_view_string("\r\n  "), &spaced), 0);
        assert_int_equal(bytes_append(&spaced, bytes_view(&pem)), 0);
        assert_int_equal(bytes_append(&spaced, bytes_view_string("\n\n")), 0);
        assert_success(tpm_key_from_pem(bytes_view(&spaced), tpm_key_parent_name(key), &again, failure));
    }
}

/* ---- hostile files ---- */

static Bytes to_pem(BytesView der) {
    gnutls_datum_t datum = { (uint8_t *) der.data, (unsigned int) der.size }, text = { NULL, 0 };
    Bytes pem = BYTES_NULL;

    assert_int_equal(gnutls_pem_base64_encode2("TSS2 PRIVATE KEY", &datum, &text), 0);
    assert_int_equal(bytes_copy((BytesView) { text.data, text.size }, &pem), 0);
    gnutls_free(text.data);
    return pem;
}

static Bytes to_der(const Bytes *pem) {
    gnutls_datum_t text = { pem->data, (unsigned int) pem->size }, datum = { NULL, 0 };
    Bytes der = BYTES_NULL;

    assert_int_equal(gnutls_pem_base64_decode2("TSS2 PRIVATE KEY", &text, &datum), 0);
    assert_int_equal(bytes_copy((BytesView) { datum.data, datum.size }, &der), 0);
    gnutls_free(datum.data);
    return der;
}

#define WANTED_ATTRIBUTES                                                                                              \
    (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |     \
     TPMA_OBJECT_NODA | TPMA_OBJECT_SIGN_ENCRYPT)

static void no_key_with_wrong_attributes(const TpmKey *key) {
    if (key)
        assert_int_equal(parts_of(key).public.publicArea.objectAttributes, WANTED_ATTRIBUTES);
}

/* Whatever still is a key after a change must not sign: the TPM binds public and private part to each other and to the
 * parent. */
static void must_not_sign(Tpm *tpm, const TpmKey *key, const TpmKey *original) {
    const SignatureScheme *scheme = scheme_by_name("ecdsa_secp256r1_sha256");
    uint8_t digest[32] = { 1 }, signature[SIGNATURE_MAX];
    size_t size;
    Failure failure = FAILURE_INIT;

    if (!key || bytes_view_equal(tpm_key_name(key), tpm_key_name(original)))
        return;
    assert_true(tpm_key_sign(tpm, key, scheme, (BytesView) { digest, sizeof digest }, signature, &size, &failure) < 0);
}

static void truncated_at_each_byte(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
    _cleanup_tpm_key_ TpmKey *key = create_key(tpm, KEY_ECDSA_P256);
    _cleanup_bytes_ Bytes pem = BYTES_NULL, der = BYTES_NULL;

    assert_int_equal(tpm_key_to_pem(key, &pem), 0);
    der = to_der(&pem);
    for (size_t i = 0; i + 1 < pem.size; i++) { /* without its last newline it is whole */
        _cleanup_tpm_key_ TpmKey *again = NULL;
        _cleanup_bytes_ Bytes part = BYTES_NULL;

        assert_int_equal(bytes_copy((BytesView) { pem.data, i }, &part), 0);
        assert_failure(tpm_key_from_pem(bytes_view(&part), tpm_key_parent_name(key), &again, failure),
                       FAILURE_INVALID_ARGUMENT, "key file: ");
    }
    for (size_t i = 0; i < der.size; i++) {
        _cleanup_tpm_key_ TpmKey *again = NULL;
        _cleanup_bytes_ Bytes part = to_pem((BytesView) { der.data, i });

        assert_failure(tpm_key_from_pem(bytes_view(&part), tpm_key_parent_name(key), &again, failure),
                       FAILURE_INVALID_ARGUMENT, "key file: ");
    }
}

static void each_byte_changed(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
    _cleanup_tpm_key_ TpmKey *key = create_key(tpm, KEY_ECDSA_P256);
    _cleanup_bytes_ Bytes pem = BYTES_NULL, der = BYTES_NULL;
    size_t accepted = 0;

    assert_int_equal(tpm_key_to_pem(key, &pem), 0);
    der = to_der(&pem);
    for (size_t i = 0; i < pem.size; i++)
        for (int bit = 0; bit < 8; bit++) {
            _cleanup_tpm_key_ TpmKey *again = NULL;
            Failure failure = FAILURE_INIT;

            pem.data[i] ^= (uint8_t) (1U << bit);
            (void) tpm_key_from_pem(bytes_view(&pem), tpm_key_parent_name(key), &again, &failure);
            no_key_with_wrong_attributes(again);
            pem.data[i] ^= (uint8_t) (1U << bit);
        }
    for (size_t i = 0; i < der.size; i++)
        for (int bit = 0; bit < 8; bit++) {
            _cleanup_tpm_key_ TpmKey *again = NULL;
            _cleanup_bytes_ Bytes changed = BYTES_NULL;
            Failure failure = FAILURE_INIT;

            der.data[i] ^= (uint8_t) (1U << bit);
            changed = to_pem(bytes_view(&der));
            if (tpm_key_from_pem(bytes_view(&changed), tpm_key_parent_name(key), &again, &failure) >= 0)
                accepted++;
            no_key_with_wrong_attributes(again);
            if (bit == 0)
                must_not_sign(tpm, again, key);
            der.data[i] ^= (uint8_t) (1U << bit);
        }
    assert_true(accepted > 0); /* the wrapped private part is the TPM's to judge */
    sign_and_verify(tpm, key, "ecdsa_secp256r1_sha256");
}

/* The private part changed, the public part not: the TPM refuses, and the text says whose fault it is. */
static void altered_private_part(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
    _cleanup_tpm_key_ TpmKey *key = create_key(tpm, KEY_ECDSA_P256), *changed = NULL;
    Parts parts = parts_of(key);
    const SignatureScheme *scheme = scheme_by_name("ecdsa_secp256r1_sha256");
    uint8_t digest[32] = { 1 }, signature[SIGNATURE_MAX];
    size_t size;

    parts.private.buffer[parts.private.size - 1] ^= 1U;
    assert_success(
        tpm_key_new(&parts.public, &parts.private, &key->parent_name, key->parent_handle, &changed, failure));
    assert_failure(tpm_key_sign(tpm, changed, scheme, (BytesView) { digest, sizeof digest }, signature, &size, failure),
                   FAILURE_INVALID_ARGUMENT, "key file was altered");
}

static void refused(const TpmKey *key, const char *what, void (*change)(TPM2B_PUBLIC *), const char *text) {
    _cleanup_tpm_key_ TpmKey *again = NULL;
    Parts parts = parts_of(key);

    change(&parts.public);
    print_message("%s\n", what);
    assert_failure(tpm_key_new(&parts.public, &parts.private, &key->parent_name, key->parent_handle, &again, failure),
                   FAILURE_INVALID_ARGUMENT, text);
}

#define CHANGE(name, statement)                                                                                        \
    static void name(TPM2B_PUBLIC *public) {                                                                           \
        TPMT_PUBLIC *area = &public->publicArea;                                                                       \
        statement;                                                                                                     \
    }

CHANGE(without_fixed_tpm, area->objectAttributes &= ~TPMA_OBJECT_FIXEDTPM)
CHANGE(without_fixed_parent, area->objectAttributes &= ~TPMA_OBJECT_FIXEDPARENT)
CHANGE(without_origin, area->objectAttributes &= ~TPMA_OBJECT_SENSITIVEDATAORIGIN)
CHANGE(without_no_da, area->objectAttributes &= ~TPMA_OBJECT_NODA)
CHANGE(without_sign, area->objectAttributes &= ~TPMA_OBJECT_SIGN_ENCRYPT)
CHANGE(without_user, area->objectAttributes &= ~TPMA_OBJECT_USERWITHAUTH)
CHANGE(with_decrypt, area->objectAttributes |= TPMA_OBJECT_DECRYPT)
CHANGE(with_restricted, area->objectAttributes |= TPMA_OBJECT_RESTRICTED)
CHANGE(with_clear, area->objectAttributes |= TPMA_OBJECT_STCLEAR)
CHANGE(with_policy, area->authPolicy.size = 32)
CHANGE(with_sha1_name, area->nameAlg = TPM2_ALG_SHA1)
CHANGE(with_other_curve, area->parameters.eccDetail.curveID = TPM2_ECC_NIST_P521)
CHANGE(with_scheme, area->parameters.eccDetail.scheme.scheme = TPM2_ALG_ECDAA)
CHANGE(with_symmetric, area->parameters.eccDetail.symmetric.algorithm = TPM2_ALG_AES)
CHANGE(as_keyed_hash, area->type = TPM2_ALG_KEYEDHASH)
CHANGE(without_x, area->unique.ecc.x.size = 0)
CHANGE(with_long_x, area->unique.ecc.x.size = 48)

static void attributes_are_refused(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
    _cleanup_tpm_key_ TpmKey *key = create_key(tpm, KEY_ECDSA_P256), *again = NULL;
    TPM2B_PRIVATE none = { .size = 0 };
    Parts parts = parts_of(key);

    refused(key, "fixedTPM", without_fixed_tpm, "fixedTPM");
    refused(key, "fixedParent", without_fixed_parent, "fixedParent");
    refused(key, "sensitiveDataOrigin", without_origin, "sensitiveDataOrigin");
    refused(key, "noDA", without_no_da, "noDA");
    refused(key, "sign", without_sign, "plain signing key");
    refused(key, "userWithAuth", without_user, "plain signing key");
    refused(key, "decrypt", with_decrypt, "plain signing key");
    refused(key, "restricted", with_restricted, "plain signing key");
    refused(key, "stClear", with_clear, "plain signing key");
    refused(key, "policy", with_policy, "policy");
    refused(key, "name algorithm", with_sha1_name, "SHA-256");
    refused(key, "curve", with_other_curve, "algorithm");
    refused(key, "scheme", with_scheme, "bound to one scheme");
    refused(key, "symmetric", with_symmetric, "algorithm");
    refused(key, "type", as_keyed_hash, "algorithm");
    refused(key, "no x", without_x, "no valid public key");
    refused(key, "long x", with_long_x, "no valid public key");
    assert_failure(tpm_key_new(&parts.public, &none, &key->parent_name, key->parent_handle, &again, failure),
                   FAILURE_INVALID_ARGUMENT, "private part is missing");
    assert_failure(tpm_key_new(&parts.public, &parts.private, &key->parent_name, 0x80000001U, &again, failure),
                   FAILURE_INVALID_ARGUMENT, "parent");
}

CHANGE(rsa_exponent, area->parameters.rsaDetail.exponent = 3)
CHANGE(rsa_size, area->parameters.rsaDetail.keyBits = 1024)
CHANGE(rsa_other_size, area->parameters.rsaDetail.keyBits = 3072)
CHANGE(rsa_short_modulus, area->unique.rsa.size = 255)
CHANGE(rsa_small_modulus, area->unique.rsa.buffer[0] = 0)

static void rsa_parameters_are_refused(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
    _cleanup_tpm_key_ TpmKey *key = create_key(tpm, KEY_RSA_2048);

    refused(key, "exponent", rsa_exponent, "algorithm");
    refused(key, "bits", rsa_size, "algorithm");
    refused(key, "other bits", rsa_other_size, "algorithm");
    refused(key, "short modulus", rsa_short_modulus, "algorithm");
    refused(key, "small modulus", rsa_small_modulus, "no valid public key");
}

static void refuse_pem(const char *pem, const TpmKey *key, const char *text) {
    _cleanup_tpm_key_ TpmKey *again = NULL;

    assert_failure(tpm_key_from_pem(bytes_view_string(pem), tpm_key_parent_name(key), &again, failure),
                   FAILURE_INVALID_ARGUMENT, text);
}

static void wrong_texts(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
    _cleanup_tpm_key_ TpmKey *key = create_key(tpm, KEY_ECDSA_P256), *again = NULL;
    _cleanup_bytes_ Bytes pem = BYTES_NULL, twice = BYTES_NULL, der = BYTES_NULL, longer = BYTES_NULL,
                          wrong = BYTES_NULL;
    static char big[TPM_KEY_PEM_MAX + 2];
    char openssl_key[4096];

    refuse_pem("", key, "empty");
    refuse_pem("hello", key, "does not begin");
    refuse_pem("-----BEGIN TSS2 PRIVATE KEY-----\n", key, "does not end");
    refuse_pem("-----BEGIN TSS2 PRIVATE KEY-----\n-----END TSS2 PRIVATE KEY-----\n", key, "key file: it is not");
    refuse_pem("-----BEGIN TSS2 PRIVATE KEY-----\n????\n-----END TSS2 PRIVATE KEY-----\n", key, "key file: it is not");
    refuse_pem("-----BEGIN TSS2 PRIVATE KEY-----\nMAA=\n-----END TSS2 PRIVATE KEY-----\n", key, "loadable");
    memset(big, '\n', sizeof big - 1);
    refuse_pem(big, key, "16 KiB");
    run_command(openssl_key, sizeof openssl_key, "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256");
    refuse_pem(openssl_key, key, "does not begin");

    assert_int_equal(tpm_key_to_pem(key, &pem), 0);
    assert_int_equal(bytes_copy(bytes_view(&pem), &twice), 0);
    assert_int_equal(bytes_append(&twice, bytes_view(&pem)), 0);
    refuse_pem((const char *) twice.data, key, "does not end");

    /* Bytes after the sequence, and inside it a field of other programs. */
    der = to_der(&pem);
    assert_int_equal(bytes_append(&der, (BytesView) { (const uint8_t *) "\0", 1 }), 0);
    longer = to_pem(bytes_view(&der));
    refuse_pem((const char *) longer.data, key, "trailing");

    assert_failure(tpm_key_from_pem(bytes_view(&pem), (BytesView) { NULL, 0 }, &again, failure),
                   FAILURE_INVALID_ARGUMENT, "Name");
    assert_int_equal(bytes_copy(tpm_key_parent_name(key), &wrong), 0);
    wrong.data[1] = 0x04; /* SHA-1 */
    assert_failure(tpm_key_from_pem(bytes_view(&pem), bytes_view(&wrong), &again, failure), FAILURE_INVALID_ARGUMENT,
                   "Name");
    wrong.size--;
    assert_failure(tpm_key_from_pem(bytes_view(&pem), bytes_view(&wrong), &again, failure), FAILURE_INVALID_ARGUMENT,
                   "Name");
}

/* Another parent recorded than the key really has: for this TPM it is another TPM's key. */
static void foreign_parent(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
    _cleanup_tpm_key_ TpmKey *key = create_key(tpm, KEY_ECDSA_P256), *again = NULL;
    _cleanup_bytes_ Bytes pem = BYTES_NULL, wrong = BYTES_NULL;
    const SignatureScheme *scheme = scheme_by_name("ecdsa_secp256r1_sha256");
    uint8_t digest[32] = { 1 }, signature[SIGNATURE_MAX];
    size_t size;

    assert_int_equal(tpm_key_to_pem(key, &pem), 0);
    assert_int_equal(bytes_copy(tpm_key_parent_name(key), &wrong), 0);
    wrong.data[20] ^= 1U;
    assert_success(tpm_key_from_pem(bytes_view(&pem), bytes_view(&wrong), &again, failure));
    assert_failure(tpm_key_sign(tpm, again, scheme, (BytesView) { digest, sizeof digest }, signature, &size, failure),
                   FAILURE_TPM_REPLACED, "another parent key");
}

/* Keys that tpm2-openssl makes for itself lack noDA. */
static void keys_of_tpm2_openssl(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
    _cleanup_tpm_key_ TpmKey *key = create_key(tpm, KEY_ECDSA_P256);
    char pem[8192];

    run_command(pem, sizeof pem,
                "TPM2OPENSSL_TCTI=%s TSS2_LOG=all+NONE openssl genpkey -provider tpm2 -provider default -propquery "
                "'?provider=tpm2' -algorithm EC -pkeyopt group:P-256 2>/dev/null",
                swtpm_tcti(swtpm));
    refuse_pem(pem, key, "noDA");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(used_by_tpm2_openssl, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(transient_parent_used_by_tpm2_openssl, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(round_trip, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(truncated_at_each_byte, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(each_byte_changed, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(altered_private_part, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(attributes_are_refused, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(rsa_parameters_are_refused, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(wrong_texts, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(foreign_parent, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(keys_of_tpm2_openssl, start_swtpm, stop_swtpm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
