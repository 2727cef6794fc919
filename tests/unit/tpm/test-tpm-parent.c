/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parent key: what is accepted at 0x81000001, what is refused, and what happens without owner authorization or
 * without room in NV. */
#include "support.h"
#include "tpm/internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define PARENT  0x81000001U
#define FILLING 0x81000100U
#define PARENT_AS_MADE                                                                                                 \
    (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |     \
     TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT)

typedef struct Place {
    TPMI_ALG_PUBLIC type;
    TPMA_OBJECT attributes;
    bool policy;   /* usable by policy alone */
    bool password; /* with an authorization value */
} Place;

/* Makes a primary key and puts it at `handle`. */
static TSS2_RC place_key(const char *tcti, const Place *place, TPM2_HANDLE handle) {
    ESYS_CONTEXT *esys = raw_open(tcti);
    const TPM2B_DATA outside = { .size = 0 };
    const TPML_PCR_SELECTION pcrs = { .count = 0 };
    TPM2B_SENSITIVE_CREATE sensitive = { .size = 0 };
    TPM2B_PUBLIC template = { .publicArea = { .type = place->type, .nameAlg = TPM2_ALG_SHA256 } };
    TPMT_SYM_DEF_OBJECT symmetric = { .algorithm = TPM2_ALG_NULL };
    ESYS_TR object = ESYS_TR_NONE, persistent = ESYS_TR_NONE;
    TSS2_RC rc;

    template.publicArea.objectAttributes = place->attributes;
    if (place->password) {
        sensitive.sensitive.userAuth.size = 4;
        memcpy(sensitive.sensitive.userAuth.buffer, "word", 4);
    }
    if ((place->attributes & TPMA_OBJECT_RESTRICTED) && (place->attributes & TPMA_OBJECT_DECRYPT))
        symmetric = (TPMT_SYM_DEF_OBJECT) { .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB };
    if (place->type == TPM2_ALG_RSA) {
        template.publicArea.parameters.rsaDetail.symmetric = symmetric;
        template.publicArea.parameters.rsaDetail.scheme.scheme = TPM2_ALG_NULL;
        template.publicArea.parameters.rsaDetail.keyBits = 2048;
    } else {
        template.publicArea.parameters.eccDetail.symmetric = symmetric;
        template.publicArea.parameters.eccDetail.scheme.scheme = TPM2_ALG_NULL;
        template.publicArea.parameters.eccDetail.curveID = TPM2_ECC_NIST_P256;
        template.publicArea.parameters.eccDetail.kdf.scheme = TPM2_ALG_NULL;
    }
    rc = Esys_CreatePrimary(esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, &template,
                            &outside, &pcrs, &object, NULL, NULL, NULL, NULL);
    assert_int_equal(rc, TSS2_RC_SUCCESS);
    rc = Esys_EvictControl(esys, ESYS_TR_RH_OWNER, object, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, handle,
                           &persistent);
    (void) Esys_FlushContext(esys, object);
    raw_close(esys);
    return rc;
}

static void set_hierarchy_authorization(const char *tcti, ESYS_TR hierarchy, const char *value) {
    ESYS_CONTEXT *esys = raw_open(tcti);
    TPM2B_AUTH authorization = { .size = (uint16_t) strlen(value) };

    memcpy(authorization.buffer, value, strlen(value));
    assert_int_equal(
        Esys_HierarchyChangeAuth(esys, hierarchy, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &authorization),
        TSS2_RC_SUCCESS);
    raw_close(esys);
}

static Tpm *open_with_owner(const char *tcti, const char *owner) {
    _cleanup_secret_ Secret *secret = NULL;
    TpmOptions options = { .tcti = tcti };
    Tpm *tpm = NULL;

    assert_int_equal(secret_new(bytes_view_string(owner), &secret), 0);
    options.owner_authorization = secret;
    assert_int_equal(tpm_new(&options, &tpm), 0);
    return tpm;
}

static void made_and_found_again(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *first = open_tpm(swtpm), *second = open_tpm(swtpm);
    _cleanup_tpm_key_ TpmKey *key = create_key(first, KEY_ECDSA_P256), *other = NULL;

    assert_int_equal(key->parent_handle, PARENT);
    first = tpm_free(first);
    other = create_key(second, KEY_ECDSA_P256);
    assert_true(bytes_view_equal(tpm_key_parent_name(key), tpm_key_parent_name(other)));
    sign(second, key);
}

static void rsa_storage_root_key(void **state) {
    Swtpm *swtpm = *state;
    const Place place = { .type = TPM2_ALG_RSA, .attributes = PARENT_AS_MADE };
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
    _cleanup_tpm_key_ TpmKey *key = NULL;

    assert_int_equal(place_key(swtpm_tcti(swtpm), &place, PARENT), 0);
    key = create_key(tpm, KEY_ECDSA_P256);
    sign(tpm, key);
}

static void another_handle(void **state) {
    Swtpm *swtpm = *state;
    TpmOptions options = { .tcti = swtpm_tcti(swtpm), .parent_handle = 0x81000005U };
    const Place wrong = { .type = TPM2_ALG_ECC,
                          .attributes = (PARENT_AS_MADE & ~(TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT)) |
                                        TPMA_OBJECT_SIGN_ENCRYPT };
    _cleanup_tpm_ Tpm *tpm = NULL;
    _cleanup_tpm_key_ TpmKey *key = NULL;

    assert_int_equal(place_key(swtpm_tcti(swtpm), &wrong, PARENT), 0);
    assert_int_equal(tpm_new(&options, &tpm), 0);
    key = create_key(tpm, KEY_ECDSA_P256);
    assert_int_equal(key->parent_handle, 0x81000005U);
    sign(tpm, key);
}

static void wrong_attributes_are_refused(void **state) {
    Swtpm *swtpm = *state;
    const TPMA_OBJECT plain = PARENT_AS_MADE & ~(TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT);
    const struct {
        Place place;
        const char *text;
    } cases[] = {
        { { TPM2_ALG_ECC, plain | TPMA_OBJECT_SIGN_ENCRYPT, false, false }, "it is a signing key" },
        { { TPM2_ALG_ECC, plain | TPMA_OBJECT_DECRYPT, false, false }, "it is not restricted" },
        { { TPM2_ALG_RSA, plain | TPMA_OBJECT_SIGN_ENCRYPT, false, false }, "it is a signing key" },
        { { TPM2_ALG_ECC, PARENT_AS_MADE & ~TPMA_OBJECT_NODA, false, false }, "dictionary-attack lockout" },
        { { TPM2_ALG_ECC, PARENT_AS_MADE & ~TPMA_OBJECT_USERWITHAUTH, true, false }, "needs a policy" },
        /* A primary key must be fixedParent (Part 3 §24.1), and only a primary with sensitiveDataOrigin is made
         * without data: those refusals are tested by the pure check of key files. */
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
        _cleanup_tpm_key_ TpmKey *key = NULL;
        TpmInformation information;

        assert_int_equal(place_key(swtpm_tcti(swtpm), &cases[i].place, PARENT), 0);
        assert_failure(tpm_key_create_under(tpm, KEY_ECDSA_P256, ANY_PARENT, &key, failure), FAILURE_TPM_UNAVAILABLE,
                       cases[i].text);
        assert_failure(tpm_probe(tpm, NULL, &information, failure), FAILURE_TPM_UNAVAILABLE, "0x81000001");
        assert_int_equal(information.state, TPM_STATE_UNAVAILABLE);
        assert_failure(tpm_probe(tpm, NULL, &information, failure), FAILURE_TPM_UNAVAILABLE, "tpm2_evictcontrol");
        assert_int_equal(raw_evict(swtpm_tcti(swtpm), PARENT), 0);
        assert_success(tpm_probe(tpm, NULL, &information, failure)); /* mended without a restart */
        assert_int_equal(information.state, TPM_STATE_READY);
        assert_int_equal(raw_evict(swtpm_tcti(swtpm), PARENT), 0);
    }
}

static void parent_with_a_password(void **state) {
    Swtpm *swtpm = *state;
    const Place place = { .type = TPM2_ALG_ECC, .attributes = PARENT_AS_MADE, .password = true };
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
    _cleanup_tpm_key_ TpmKey *key = NULL;

    assert_int_equal(place_key(swtpm_tcti(swtpm), &place, PARENT), 0);
    assert_failure(tpm_key_create_under(tpm, KEY_ECDSA_P256, ANY_PARENT, &key, failure), FAILURE_TPM_UNAVAILABLE,
                   "authorization");
}

static void owner_authorization_unknown(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm), *wrong = open_with_owner(swtpm_tcti(swtpm), "wrong"),
                      *right = open_with_owner(swtpm_tcti(swtpm), "right");
    _cleanup_tpm_key_ TpmKey *key = NULL, *more = NULL;
    TpmInformation information;

    set_hierarchy_authorization(swtpm_tcti(swtpm), ESYS_TR_RH_OWNER, "right");
    assert_failure(tpm_probe(tpm, NULL, &information, failure), FAILURE_TPM_UNAVAILABLE, "OwnerAuthCredential=");
    assert_failure(tpm_key_create_under(tpm, KEY_ECDSA_P256, ANY_PARENT, &key, failure), FAILURE_TPM_UNAVAILABLE,
                   "0x81000001");
    assert_failure(tpm_key_create_under(wrong, KEY_ECDSA_P256, ANY_PARENT, &key, failure), FAILURE_TPM_UNAVAILABLE,
                   "0x9a2");

    key = create_key(right, KEY_ECDSA_P256);
    assert_int_equal(key->parent_handle, PARENT);
    sign(right, key);

    /* Now that it is there, nobody needs the authorization any more. */
    sign(tpm, key);
    more = create_key(wrong, KEY_ECDSA_P256);
    sign(wrong, more);
}

static void fill_nv(const char *tcti) {
    ESYS_CONTEXT *esys = raw_open(tcti);
    TPM2B_AUTH none = { .size = 0 };
    uint16_t size = 2048;

    for (TPM2_HANDLE index = 0x01000000U; size >= 16;) {
        TPM2B_NV_PUBLIC public = {
            .nvPublic = { .nvIndex = index,
                          .nameAlg = TPM2_ALG_SHA256,
                          .attributes = TPMA_NV_OWNERWRITE | TPMA_NV_OWNERREAD | TPMA_NV_AUTHREAD | TPMA_NV_NO_DA,
                          .dataSize = size },
        };
        ESYS_TR object = ESYS_TR_NONE;
        TSS2_RC rc = Esys_NV_DefineSpace(esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &none,
                                         &public, &object);
        if (rc == TSS2_RC_SUCCESS)
            index++;
        else {
            assert_int_equal(rc, TPM2_RC_NV_SPACE);
            size /= 2;
        }
    }
    raw_close(esys);

    /* NV keeps places for some persistent objects that indices cannot take. */
    for (TPM2_HANDLE handle = FILLING;; handle++) {
        const Place place = { .type = TPM2_ALG_ECC, .attributes = PARENT_AS_MADE };
        TSS2_RC rc = place_key(tcti, &place, handle);
        if (rc == TPM2_RC_NV_SPACE)
            break;
        assert_int_equal(rc, TSS2_RC_SUCCESS);
    }
}

static void nv_full(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
    _cleanup_tpm_key_ TpmKey *key = NULL, *other = NULL;
    const Place place = { .type = TPM2_ALG_RSA, .attributes = PARENT_AS_MADE };
    TpmInformation information;

    fill_nv(swtpm_tcti(swtpm));
    assert_success(tpm_probe(tpm, NULL, &information, failure));
    assert_int_equal(information.state, TPM_STATE_READY);
    assert_false(information.parent_is_persistent);
    key = create_key(tpm, KEY_ECDSA_P256);
    other = create_key(tpm, KEY_ECDSA_P256);
    assert_int_equal(key->parent_handle, TPM2_RH_OWNER);
    for (int i = 0; i < 5; i++) {
        sign(tpm, key);
        sign(tpm, other);
        assert_true(raw_count_handles(swtpm_tcti(swtpm), 0x80000000U) <= 3);
    }
    assert_int_equal(swtpm_kill(swtpm), 0);
    assert_int_equal(swtpm_start(swtpm), 0);
    sign(tpm, key);
    tpm = tpm_free(tpm);
    assert_int_equal(raw_count_handles(swtpm_tcti(swtpm), 0x80000000U), 0);

    /* Later there is room, and somebody puts another storage key where ours would be: the old keys go on. */
    assert_int_equal(raw_evict(swtpm_tcti(swtpm), FILLING), 0);
    assert_int_equal(raw_evict(swtpm_tcti(swtpm), FILLING + 1), 0);
    assert_int_equal(place_key(swtpm_tcti(swtpm), &place, PARENT), 0);
    tpm = open_tpm(swtpm);
    sign(tpm, key);
    sign(tpm, other);
    assert_int_equal(raw_count_handles(swtpm_tcti(swtpm), 0x80000000U), 2);

    /* With our own kind of parent persisted at last, too: it has the Name of the transient one. */
    assert_int_equal(raw_evict(swtpm_tcti(swtpm), PARENT), 0);
    assert_int_equal(swtpm_reset(swtpm, true), 0);
    sign(tpm, key);
    assert_success(tpm_probe(tpm, NULL, &information, failure));
    assert_true(information.parent_is_persistent);
    assert_memory_equal(information.parent_name, tpm_key_parent_name(key).data, information.parent_name_size);
}

static void options_are_bounded(void **state) {
    _cleanup_secret_ Secret *secret = NULL;
    char tcti[1200];
    const uint8_t value[65] = { 0 };
    TpmOptions options = { .tcti = tcti };
    Tpm *tpm = NULL;

    memset(tcti, 'x', sizeof tcti);
    tcti[sizeof tcti - 1] = '\0';
    assert_int_equal(tpm_new(&options, &tpm), -E2BIG);
    assert_int_equal(secret_new((BytesView) { value, sizeof value }, &secret), 0);
    options = (TpmOptions) { .owner_authorization = secret };
    assert_int_equal(tpm_new(&options, &tpm), -E2BIG);
    options = (TpmOptions) { .endorsement_authorization = secret };
    assert_int_equal(tpm_new(&options, &tpm), -E2BIG);
    assert_null(tpm);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(made_and_found_again, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(rsa_storage_root_key, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(another_handle, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(wrong_attributes_are_refused, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(parent_with_a_password, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(owner_authorization_unknown, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(nv_full, start_swtpm, stop_swtpm),
        cmocka_unit_test(options_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
