/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The objects of the PKCS#11 token, attribute by attribute, and every function that the token does not have. What the
 * attributes should be is taken from the certificate by GnuTLS. */
#include "pkcs11-fixture.h"

#include <gnutls/crypto.h>
#include <stdlib.h>
#include <time.h>

typedef struct Value {
    unsigned char bytes[2048];
    CK_ULONG size;
} Value;

static Value get(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type) {
    Value value = { .size = 0 };
    CK_ATTRIBUTE attribute = { type, value.bytes, sizeof(value.bytes) };

    CK_RV rv = module->C_GetAttributeValue(session, object, &attribute, 1);
    if (rv != CKR_OK)
        fail_msg("attribute 0x%lx: 0x%lx", type, rv);
    value.size = attribute.ulValueLen;
    return value;
}

static void expect_number(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
                          CK_ULONG expected) {
    Value value = get(session, object, type);
    CK_ULONG number;

    assert_int_equal(value.size, sizeof(number));
    memcpy(&number, value.bytes, sizeof(number));
    assert_int_equal(number, expected);
}

static void expect_bytes(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
                         gnutls_datum_t expected) {
    Value value = get(session, object, type);

    assert_int_equal(value.size, expected.size);
    assert_memory_equal(value.bytes, expected.data, expected.size);
}

static void expect_text(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
                        const char *expected) {
    expect_bytes(session, object, type,
                 (gnutls_datum_t) { (unsigned char *) (uintptr_t) expected, (unsigned) strlen(expected) });
}

typedef struct Flag {
    CK_ATTRIBUTE_TYPE type;
    CK_BBOOL value;
} Flag;

static void expect_flags(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, const Flag *flags, size_t count) {
    for (size_t i = 0; i < count; i++) {
        Value value = get(session, object, flags[i].type);
        assert_int_equal(value.size, sizeof(CK_BBOOL));
        if (value.bytes[0] != flags[i].value)
            fail_msg("attribute 0x%lx is %d", flags[i].type, value.bytes[0]);
    }
}

static gnutls_x509_crt_t read_certificate(const char *pem) {
    gnutls_datum_t text = { (unsigned char *) (uintptr_t) pem, (unsigned) strlen(pem) };
    gnutls_x509_crt_t certificate;

    assert_int_equal(gnutls_x509_crt_init(&certificate), 0);
    assert_int_equal(gnutls_x509_crt_import(certificate, &text, GNUTLS_X509_FMT_PEM), 0);
    return certificate;
}

static const Flag common_flags[] = {
    { CKA_TOKEN, CK_TRUE },     { CKA_PRIVATE, CK_FALSE },     { CKA_MODIFIABLE, CK_FALSE },
    { CKA_COPYABLE, CK_FALSE }, { CKA_DESTROYABLE, CK_FALSE },
};
#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* ---- keys ---- */

static void test_private_key(void **state) {
    static const Flag flags[] = {
        { CKA_SENSITIVE, CK_TRUE },
        { CKA_ALWAYS_SENSITIVE, CK_TRUE },
        { CKA_EXTRACTABLE, CK_FALSE },
        { CKA_SIGN, CK_TRUE },
        { CKA_NEVER_EXTRACTABLE, CK_TRUE },
        { CKA_SIGN_RECOVER, CK_FALSE },
        { CKA_DECRYPT, CK_FALSE },
        { CKA_UNWRAP, CK_FALSE },
        { CKA_DERIVE, CK_FALSE },
        { CKA_LOCAL, CK_TRUE },
        { CKA_ALWAYS_AUTHENTICATE, CK_FALSE },
        { CKA_WRAP_WITH_TRUSTED, CK_FALSE },
    };
    static const char *const names[] = { "mqtt", "rsa" };
    CK_SESSION_HANDLE session = open_session();

    for (size_t i = 0; i < 2; i++) {
        CK_OBJECT_HANDLE key = find_object(session, CKO_PRIVATE_KEY, names[i]);
        assert_true(key != 0);
        expect_flags(session, key, common_flags, COUNT(common_flags));
        expect_flags(session, key, flags, COUNT(flags));
        expect_number(session, key, CKA_CLASS, CKO_PRIVATE_KEY);
        expect_number(session, key, CKA_KEY_TYPE, i == 0 ? CKK_EC : CKK_RSA);
        expect_number(session, key, CKA_KEY_GEN_MECHANISM, i == 0 ? CKM_EC_KEY_PAIR_GEN : CKM_RSA_PKCS_KEY_PAIR_GEN);
        expect_text(session, key, CKA_LABEL, names[i]);
        expect_text(session, key, CKA_ID, names[i]);
        expect_text(session, key, CKA_START_DATE, "");
        expect_text(session, key, CKA_END_DATE, "");
    }
}

/* CKA_ALLOWED_MECHANISMS says what C_SignInit takes: each one, and none beside them. */
static bool is_hash(CK_MECHANISM_TYPE type) {
    CK_MECHANISM_INFO info;

    assert_int_equal(module->C_GetMechanismInfo(1, type, &info), CKR_OK);
    return info.flags == CKF_DIGEST;
}

static void test_allowed_mechanisms(void **state) {
    static const char *const names[] = { "mqtt", "rsa" };
    CK_SESSION_HANDLE session = open_session();
    CK_MECHANISM_TYPE all[32], allowed[32];
    CK_ULONG count = COUNT(all);

    assert_int_equal(module->C_GetMechanismList(1, all, &count), CKR_OK);
    for (size_t i = 0; i < 2; i++) {
        CK_OBJECT_HANDLE key = find_object(session, CKO_PRIVATE_KEY, names[i]);
        Value value = get(session, key, CKA_ALLOWED_MECHANISMS);
        assert_true(value.size > 0 && value.size % sizeof(*allowed) == 0 && value.size < count * sizeof(*allowed));
        memcpy(allowed, value.bytes, value.size);
        for (CK_ULONG j = 0; j < count; j++) {
            bool is_allowed = false;
            for (size_t k = 0; k < value.size / sizeof(*allowed); k++)
                is_allowed = is_allowed || allowed[k] == all[j];
            bool is_pss =
                all[j] == CKM_RSA_PKCS_PSS || (all[j] >= CKM_SHA256_RSA_PKCS_PSS && all[j] <= CKM_SHA512_RSA_PKCS_PSS);
            if (is_pss) {
                assert_int_equal(is_allowed, i == 1);
                continue; /* takes parameters */
            }
            CK_SESSION_HANDLE other = open_session();
            CK_MECHANISM mechanism = { all[j], NULL, 0 };
            assert_int_equal(module->C_SignInit(other, &mechanism, key), is_allowed        ? CKR_OK
                                                                         : is_hash(all[j]) ? CKR_MECHANISM_INVALID
                                                                                           : CKR_KEY_TYPE_INCONSISTENT);
            assert_int_equal(module->C_CloseSession(other), CKR_OK);
        }
    }
}

static void test_public_keys(void **state) {
    static const Flag flags[] = {
        { CKA_VERIFY, CK_TRUE }, { CKA_VERIFY_RECOVER, CK_FALSE }, { CKA_ENCRYPT, CK_FALSE },
        { CKA_WRAP, CK_FALSE },  { CKA_TRUSTED, CK_FALSE },        { CKA_LOCAL, CK_TRUE },
    };
    CK_SESSION_HANDLE session = open_session();
    const struct { const char *name, *chain; } table[] = { { "mqtt", fixture.chain }, { "rsa", fixture.rsa_chain } };

    for (size_t i = 0; i < 2; i++) {
        CK_OBJECT_HANDLE key = find_object(session, CKO_PUBLIC_KEY, table[i].name);
        gnutls_x509_crt_t certificate = read_certificate(table[i].chain);
        gnutls_datum_t spki, subject, first, second;
        gnutls_pubkey_t pubkey;
        assert_int_equal(gnutls_pubkey_init(&pubkey), 0);
        assert_int_equal(gnutls_pubkey_import_x509(pubkey, certificate, 0), 0);
        assert_int_equal(gnutls_pubkey_export2(pubkey, GNUTLS_X509_FMT_DER, &spki), 0);
        assert_int_equal(gnutls_x509_crt_get_raw_dn(certificate, &subject), 0);
        expect_flags(session, key, common_flags, COUNT(common_flags));
        expect_flags(session, key, flags, COUNT(flags));
        expect_bytes(session, key, CKA_PUBLIC_KEY_INFO, spki);
        expect_bytes(session, key, CKA_SUBJECT, subject);
        if (i == 0) {
            assert_int_equal(gnutls_pubkey_export_ecc_x962(pubkey, &first, &second), 0);
            expect_bytes(session, key, CKA_EC_PARAMS, first);
            expect_bytes(session, key, CKA_EC_POINT, second);
        } else {
            assert_int_equal(gnutls_pubkey_export_rsa_raw2(pubkey, &first, &second, GNUTLS_EXPORT_FLAG_NO_LZ), 0);
            expect_bytes(session, key, CKA_MODULUS, first);
            expect_bytes(session, key, CKA_PUBLIC_EXPONENT, second);
            expect_number(session, key, CKA_MODULUS_BITS, 2048);
            assert_int_equal(first.size, 256); /* no zero before it */
        }
        gnutls_free(first.data);
        gnutls_free(second.data);
        gnutls_free(spki.data);
        gnutls_free(subject.data);
        gnutls_pubkey_deinit(pubkey);
        gnutls_x509_crt_deinit(certificate);
    }
}

/* ---- certificates ---- */

static void expect_date(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, time_t expected) {
    struct tm parts;
    char text[16];

    assert_non_null(gmtime_r(&expected, &parts));
    assert_int_equal(strftime(text, sizeof(text), "%Y%m%d", &parts), 8);
    expect_text(session, object, type, text);
}

static void expect_certificate(CK_SESSION_HANDLE session, const char *label, const char *pem, bool is_issuer) {
    CK_OBJECT_HANDLE object = find_object(session, CKO_CERTIFICATE, label);
    gnutls_x509_crt_t certificate = read_certificate(pem);
    gnutls_datum_t der = fake_pem_to_der(pem), name;
    unsigned char serial[66] = { 0x02 }, digest[20];
    size_t size = 64;

    assert_true(object != 0);
    expect_flags(session, object, common_flags, COUNT(common_flags));
    expect_flags(session, object, &(Flag) { CKA_TRUSTED, is_issuer }, 1);
    expect_text(session, object, CKA_ID, label);
    expect_number(session, object, CKA_CERTIFICATE_TYPE, CKC_X_509);
    expect_number(session, object, CKA_CERTIFICATE_CATEGORY, is_issuer ? 2 : 1);
    expect_bytes(session, object, CKA_VALUE, der);
    assert_int_equal(gnutls_hash_fast(GNUTLS_DIG_SHA1, der.data, der.size, digest), 0);
    expect_bytes(session, object, CKA_CHECK_VALUE, (gnutls_datum_t) { digest, 3 });
    assert_int_equal(gnutls_x509_crt_get_raw_dn(certificate, &name), 0);
    expect_bytes(session, object, CKA_SUBJECT, name);
    gnutls_free(name.data);
    assert_int_equal(gnutls_x509_crt_get_raw_issuer_dn(certificate, &name), 0);
    expect_bytes(session, object, CKA_ISSUER, name);
    gnutls_free(name.data);
    assert_int_equal(gnutls_x509_crt_get_serial(certificate, serial + 2, &size), 0);
    serial[1] = (unsigned char) size;
    expect_bytes(session, object, CKA_SERIAL_NUMBER, (gnutls_datum_t) { serial, (unsigned) size + 2 });
    expect_date(session, object, CKA_START_DATE, gnutls_x509_crt_get_activation_time(certificate));
    expect_date(session, object, CKA_END_DATE, gnutls_x509_crt_get_expiration_time(certificate));
    gnutls_free(der.data);
    gnutls_x509_crt_deinit(certificate);
}

static void test_certificates(void **state) {
    FakeCa *intermediate = fake_ca_new("Fake Intermediate", fixture.ca);
    char *leaf = fake_ca_issue(intermediate, fixture.key, &(FakeRequest) { .common_name = "deep", .client = true });
    char *two = fake_concat(leaf, intermediate->pem), *three = fake_concat(two, fixture.ca->pem);

    fake_identityd_set(fixture.fake,
                       &(FakeIdentity) { .name = "deep", .generation = 1, .key = fixture.key, .chain = three });
    assert_int_equal(module->C_Finalize(NULL), CKR_OK); /* looks anew at once */
    assert_int_equal(module->C_Initialize(NULL), CKR_OK);
    CK_SESSION_HANDLE session = open_session();
    expect_certificate(session, "deep", leaf, false);
    expect_certificate(session, "deep/1", intermediate->pem, true);
    expect_certificate(session, "deep/2", fixture.ca->pem, true);
    assert_int_equal(find_object(session, CKO_CERTIFICATE, "deep/3"), 0);
    assert_int_equal(find_object(session, CKO_CERTIFICATE, "deep/0"), 0);
    expect_certificate(session, "rsa", fixture.rsa_chain, false);
    free(leaf);
    free(two);
    free(three);
    fake_ca_free(intermediate);
}

/* What does not parse has no objects, and takes nobody else's. */
static void test_bad_certificates(void **state) {
    static const char *const chains[] = {
        "no PEM",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    };

    for (size_t i = 0; i < COUNT(chains); i++) {
        fake_identityd_set(fixture.fake,
                           &(FakeIdentity) { .name = "bad", .generation = 1, .key = fixture.key, .chain = chains[i] });
        assert_int_equal(module->C_Finalize(NULL), CKR_OK);
        assert_int_equal(module->C_Initialize(NULL), CKR_OK);
        CK_SESSION_HANDLE session = open_session();
        assert_int_equal(find_object(session, CKO_PRIVATE_KEY, "bad"), 0);
        assert_int_equal(find_object(session, CKO_PUBLIC_KEY, "bad"), 0);
        assert_int_equal(find_object(session, CKO_CERTIFICATE, "bad"), 0);
        assert_int_not_equal(find_object(session, CKO_PRIVATE_KEY, "mqtt"), 0);
    }
}

/* An attribute is asked for as its size first: no byte is written then, nor where there is no room. */
static void test_sizes(void **state) {
    CK_SESSION_HANDLE session = open_session();
    CK_OBJECT_HANDLE key = find_object(session, CKO_PUBLIC_KEY, "mqtt");
    Value whole = get(session, key, CKA_EC_POINT);
    unsigned char room[80];

    for (CK_ULONG size = 0; size <= whole.size + 1; size++) {
        CK_ATTRIBUTE attribute = { CKA_EC_POINT, room, size };
        memset(room, 0xaa, sizeof(room));
        CK_RV rv = module->C_GetAttributeValue(session, key, &attribute, 1);
        assert_int_equal(rv, size < whole.size ? CKR_BUFFER_TOO_SMALL : CKR_OK);
        assert_int_equal(attribute.ulValueLen, size < whole.size ? CK_UNAVAILABLE_INFORMATION : whole.size);
        for (size_t i = size < whole.size ? 0 : whole.size; i < sizeof(room); i++)
            assert_int_equal(room[i], 0xaa);
    }
}

/* ---- what the token does not have ---- */

static void expect_refusals(CK_SESSION_HANDLE session, CK_RV unsupported, CK_RV parallel, CK_RV protected) {
    CK_MECHANISM mechanism = { CKM_SHA256, NULL, 0 };
    CK_OBJECT_HANDLE object = 0, other = 0;
    unsigned char out[8] = { 0 };
    CK_ULONG size = sizeof(out);

    assert_int_equal(module->C_InitPIN(session, out, 4), unsupported);
    assert_int_equal(module->C_SetPIN(session, out, 4, out, 4), unsupported);
    assert_int_equal(module->C_GetOperationState(session, out, &size), unsupported);
    assert_int_equal(module->C_SetOperationState(session, out, 4, 0, 0), unsupported);
    assert_int_equal(module->C_EncryptInit(session, &mechanism, 1), unsupported);
    assert_int_equal(module->C_Encrypt(session, out, 4, out, &size), unsupported);
    assert_int_equal(module->C_EncryptUpdate(session, out, 4, out, &size), unsupported);
    assert_int_equal(module->C_EncryptFinal(session, out, &size), unsupported);
    assert_int_equal(module->C_DecryptInit(session, &mechanism, 1), unsupported);
    assert_int_equal(module->C_Decrypt(session, out, 4, out, &size), unsupported);
    assert_int_equal(module->C_DecryptUpdate(session, out, 4, out, &size), unsupported);
    assert_int_equal(module->C_DecryptFinal(session, out, &size), unsupported);
    assert_int_equal(module->C_DigestKey(session, 1), unsupported);
    assert_int_equal(module->C_SignRecoverInit(session, &mechanism, 1), unsupported);
    assert_int_equal(module->C_SignRecover(session, out, 4, out, &size), unsupported);
    assert_int_equal(module->C_VerifyInit(session, &mechanism, 1), unsupported);
    assert_int_equal(module->C_Verify(session, out, 4, out, 4), unsupported);
    assert_int_equal(module->C_VerifyUpdate(session, out, 4), unsupported);
    assert_int_equal(module->C_VerifyFinal(session, out, 4), unsupported);
    assert_int_equal(module->C_VerifyRecoverInit(session, &mechanism, 1), unsupported);
    assert_int_equal(module->C_VerifyRecover(session, out, 4, out, &size), unsupported);
    assert_int_equal(module->C_DigestEncryptUpdate(session, out, 4, out, &size), unsupported);
    assert_int_equal(module->C_DecryptDigestUpdate(session, out, 4, out, &size), unsupported);
    assert_int_equal(module->C_SignEncryptUpdate(session, out, 4, out, &size), unsupported);
    assert_int_equal(module->C_DecryptVerifyUpdate(session, out, 4, out, &size), unsupported);
    assert_int_equal(module->C_GenerateKey(session, &mechanism, NULL, 0, &object), unsupported);
    assert_int_equal(module->C_GenerateKeyPair(session, &mechanism, NULL, 0, NULL, 0, &object, &other), unsupported);
    assert_int_equal(module->C_WrapKey(session, &mechanism, 1, 1, out, &size), unsupported);
    assert_int_equal(module->C_UnwrapKey(session, &mechanism, 1, out, 4, NULL, 0, &object), unsupported);
    assert_int_equal(module->C_DeriveKey(session, &mechanism, 1, NULL, 0, &object), unsupported);
    assert_int_equal(module->C_GetFunctionStatus(session), parallel);
    assert_int_equal(module->C_CancelFunction(session), parallel);
    assert_int_equal(module->C_InitToken(1, out, 4, out), protected);
    assert_int_equal(module->C_CreateObject(session, NULL, 0, &object), protected);
    assert_int_equal(module->C_CopyObject(session, 1, NULL, 0, &object), protected);
    assert_int_equal(module->C_DestroyObject(session, 1), protected);
    assert_int_equal(module->C_SetAttributeValue(session, 1, NULL, 0), protected);
    assert_true(object == 0 && other == 0 && size == sizeof(out));
    for (size_t i = 0; i < sizeof(out); i++)
        assert_int_equal(out[i], 0); /* nothing was written */
}

static void test_what_it_does_not_have(void **state) {
    expect_refusals(open_session(), CKR_FUNCTION_NOT_SUPPORTED, CKR_FUNCTION_NOT_PARALLEL, CKR_TOKEN_WRITE_PROTECTED);
    assert_int_equal(module->C_Finalize(NULL), CKR_OK);
    expect_refusals(1, CKR_CRYPTOKI_NOT_INITIALIZED, CKR_CRYPTOKI_NOT_INITIALIZED, CKR_CRYPTOKI_NOT_INITIALIZED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_initialized, teardown_initialized)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_private_key),           TEST(test_allowed_mechanisms), TEST(test_public_keys),
        TEST(test_certificates),          TEST(test_bad_certificates),   TEST(test_sizes),
        TEST(test_what_it_does_not_have),
    };

    return cmocka_run_group_tests(tests, setup_module, teardown_all);
}
