/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parent key: what is accepted at 0x81000001, what has one of our own put beside it, and what happens without owner
 * authorization or without room in NV. */
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

/* ---- a parent of our own, beside a key that cannot be it ---- */

#define SECOND (PARENT + 1)

static const Place without_noda = { .type = TPM2_ALG_RSA, .attributes = PARENT_AS_MADE & ~TPMA_OBJECT_NODA };
static const Place with_password = { .type = TPM2_ALG_ECC, .attributes = PARENT_AS_MADE, .password = true };

static TpmInformation probe(Tpm *tpm) {
    TpmInformation information;

    assert_success(tpm_probe(tpm, NULL, &information, failure));
    assert_int_equal(information.state, TPM_STATE_READY);
    assert_null(strstr(information.parent_note, "evict"));
    return information;
}

/* Makes a key, which must be under the parent at `handle`, and signs with it. */
static void check_parent(Tpm *tpm, TPM2_HANDLE handle, BytesView wanted_name) {
    _cleanup_tpm_key_ TpmKey *key = create_key(tpm, KEY_ECDSA_P256);

    assert_int_equal(key->parent_handle, handle);
    if (wanted_name.size > 0)
        assert_true(bytes_view_equal(tpm_key_parent_name(key), wanted_name));
    sign(tpm, key);
}

static BytesView name_of(const TpmInformation *information) {
    return (BytesView) { information->parent_name, information->parent_name_size };
}

static Tpm *open_with_recorded(const char *tcti, const TpmInformation *information) {
    const TpmOptions options = { .tcti = tcti, .known_parent_name = name_of(information) };
    Tpm *tpm = NULL;

    assert_int_equal(tpm_new(&options, &tpm), 0);
    return tpm;
}

/* Whatever is wrong with it, it stays as it is, and ours is found again at the next start. */
static void beside_a_key_that_cannot_be_it(void **state) {
    Swtpm *swtpm = *state;
    const char *tcti = swtpm_tcti(swtpm);
    const TPMA_OBJECT plain = PARENT_AS_MADE & ~(TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT);
    const struct {
        Place place;
        const char *text;
    } cases[] = {
        { { TPM2_ALG_ECC, plain | TPMA_OBJECT_SIGN_ENCRYPT, false, false }, "it is a signing key" },
        { { TPM2_ALG_ECC, plain | TPMA_OBJECT_DECRYPT, false, false }, "it is not restricted" },
        { { TPM2_ALG_RSA, plain | TPMA_OBJECT_SIGN_ENCRYPT, false, false }, "it is a signing key" },
        { { TPM2_ALG_ECC, PARENT_AS_MADE & ~TPMA_OBJECT_NODA, false, false }, "dictionary-attack lockout" },
        { without_noda, "dictionary-attack lockout" },
        { { TPM2_ALG_ECC, PARENT_AS_MADE & ~TPMA_OBJECT_USERWITHAUTH, true, false }, "needs a policy" },
        { with_password, "needs an authorization value" },
        { { TPM2_ALG_RSA, PARENT_AS_MADE, false, true }, "needs an authorization value" },
        /* A primary key must be fixedParent (Part 3 §24.1), and only a primary with sensitiveDataOrigin is made
         * without data: those refusals are tested by the pure check of key files. */
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        assert_int_equal(place_key(tcti, &cases[i].place, PARENT), 0);
        _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
        TpmInformation first = probe(tpm);

        assert_non_null(strstr(first.parent_note, cases[i].text));
        assert_non_null(strstr(first.parent_note, "0x81000002"));
        assert_true(first.parent_is_persistent);
        check_parent(tpm, SECOND, name_of(&first));
        tpm = tpm_free(tpm);
        tpm = open_tpm(swtpm);
        check_parent(tpm, SECOND, name_of(&first));
        tpm = tpm_free(tpm);
        tpm = open_with_recorded(tcti, &first);
        check_parent(tpm, SECOND, name_of(&first));
        assert_int_equal(swtpm_reset(swtpm, true), 0);
        check_parent(tpm, SECOND, name_of(&first));
        assert_int_equal(raw_count_handles(tcti, PARENT), 2);
        assert_int_equal(raw_evict(tcti, PARENT), 0);

        /* The key is away: ours stays where it is, and there is nothing to say any more. */
        assert_int_equal(swtpm_reset(swtpm, true), 0);
        check_parent(tpm, SECOND, name_of(&first));
        assert_string_equal(probe(tpm).parent_note, "");
        assert_int_equal(raw_evict(tcti, SECOND), 0);
    }
}

/* What is recorded goes before what came to the first place later; where nothing is recorded that one is taken. */
static void the_recorded_one_is_preferred(void **state) {
    Swtpm *swtpm = *state;
    const char *tcti = swtpm_tcti(swtpm);
    const Place usable = { .type = TPM2_ALG_RSA, .attributes = PARENT_AS_MADE };
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm), *with = NULL, *without = open_tpm(swtpm);

    assert_int_equal(place_key(tcti, &without_noda, PARENT), 0);
    TpmInformation ours = probe(tpm);
    _cleanup_tpm_key_ TpmKey *key = create_key(tpm, KEY_ECDSA_P256);
    assert_int_equal(raw_evict(tcti, PARENT), 0);
    assert_int_equal(place_key(tcti, &usable, PARENT), 0);
    tpm = tpm_free(tpm);
    with = open_with_recorded(tcti, &ours);
    check_parent(with, SECOND, name_of(&ours));
    sign(with, key);
    with = tpm_free(with);
    check_parent(without, PARENT, (BytesView) { NULL, 0 });
    without = tpm_free(without);

    /* A Name that no key has (any more) is no reason to take none. */
    assert_int_equal(raw_evict(tcti, SECOND), 0);
    with = open_with_recorded(tcti, &ours);
    check_parent(with, PARENT, (BytesView) { NULL, 0 });
}

static void the_next_free_place(void **state) {
    Swtpm *swtpm = *state;
    const char *tcti = swtpm_tcti(swtpm);
    const Place usable = { .type = TPM2_ALG_RSA, .attributes = PARENT_AS_MADE };
    _cleanup_tpm_ Tpm *tpm = NULL;

    /* A storage key of others elsewhere is nothing that we were invited to. */
    assert_int_equal(place_key(tcti, &without_noda, PARENT), 0);
    assert_int_equal(place_key(tcti, &usable, SECOND), 0);
    assert_int_equal(place_key(tcti, &with_password, PARENT + 3), 0);
    tpm = open_tpm(swtpm);
    check_parent(tpm, PARENT + 2, (BytesView) { NULL, 0 });
    tpm = tpm_free(tpm);
    tpm = open_tpm(swtpm);
    check_parent(tpm, PARENT + 2, (BytesView) { NULL, 0 });
}

/* The owner's handles end there; the ones after it are the platform's. */
static void no_place_is_free(void **state) {
    Swtpm *swtpm = *state;
    const TpmOptions options = { .tcti = swtpm_tcti(swtpm), .parent_handle = 0x817fffffU };
    _cleanup_tpm_ Tpm *tpm = NULL;

    assert_int_equal(place_key(options.tcti, &without_noda, 0x817fffffU), 0);
    assert_int_equal(tpm_new(&options, &tpm), 0);
    TpmInformation information = probe(tpm);
    assert_false(information.parent_is_persistent);
    assert_non_null(strstr(information.parent_note, "made anew"));
    check_parent(tpm, TPM2_RH_OWNER, name_of(&information));
    assert_int_equal(raw_count_handles(options.tcti, 0x81000000U), 1);
}

/* Nothing can be made without it, and the advice is to give it. */
static void beside_a_key_without_owner_authorization(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm), *right = open_with_owner(swtpm_tcti(swtpm), "right");
    TpmInformation information;

    assert_int_equal(place_key(swtpm_tcti(swtpm), &with_password, PARENT), 0);
    set_hierarchy_authorization(swtpm_tcti(swtpm), ESYS_TR_RH_OWNER, "right");
    assert_failure(tpm_probe(tpm, NULL, &information, failure), FAILURE_TPM_UNAVAILABLE, "OwnerAuthCredential=");
    assert_failure(
        tpm_probe(tpm, NULL, &information, failure), FAILURE_TPM_UNAVAILABLE,
        "the key at 0x81000001 cannot be the parent of identity keys (its use needs an authorization value)");
    check_parent(right, SECOND, (BytesView) { NULL, 0 });
    check_parent(tpm, SECOND, (BytesView) { NULL, 0 });
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
        cmocka_unit_test_setup_teardown(beside_a_key_that_cannot_be_it, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(the_recorded_one_is_preferred, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(the_next_free_place, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(no_place_is_free, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(beside_a_key_without_owner_authorization, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(owner_authorization_unknown, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(nv_full, start_swtpm, stop_swtpm),
        cmocka_unit_test(options_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
