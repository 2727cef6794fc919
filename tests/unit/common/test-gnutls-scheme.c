/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Schemes in GnuTLS's numbers, and the answers of a key that is elsewhere. */
#include "common/gnutls-scheme.h"

#include "common/macros.h"
#include "tests/unit/common/test.h"

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <string.h>

static const struct {
    gnutls_sign_algorithm_t algorithm;
    uint16_t id;
    bool is_first; /* of those for one scheme */
} known[] = {
    { GNUTLS_SIGN_ECDSA_SHA256, 0x0403, true },        { GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, 0x0403, false },
    { GNUTLS_SIGN_ECDSA_SHA384, 0x0503, true },        { GNUTLS_SIGN_ECDSA_SECP384R1_SHA384, 0x0503, false },
    { GNUTLS_SIGN_RSA_PSS_RSAE_SHA256, 0x0804, true }, { GNUTLS_SIGN_RSA_PSS_SHA256, 0x0804, false },
    { GNUTLS_SIGN_RSA_PSS_RSAE_SHA384, 0x0805, true }, { GNUTLS_SIGN_RSA_PSS_SHA384, 0x0805, false },
    { GNUTLS_SIGN_RSA_PSS_RSAE_SHA512, 0x0806, true }, { GNUTLS_SIGN_RSA_PSS_SHA512, 0x0806, false },
    { GNUTLS_SIGN_RSA_SHA256, 0x0401, true },          { GNUTLS_SIGN_RSA_SHA384, 0x0501, true },
    { GNUTLS_SIGN_RSA_SHA512, 0x0601, true },
};

static void numbers(void **state) {
    unsigned found = 0;

    for (int algorithm = 0; algorithm < 256; algorithm++)
        found += scheme_from_gnutls((gnutls_sign_algorithm_t) algorithm) != NULL;
    assert_int_equal(found, ARRAY_LENGTH(known));
    for (size_t i = 0; i < ARRAY_LENGTH(known); i++) {
        const SignatureScheme *scheme = scheme_from_gnutls(known[i].algorithm);
        assert_int_equal(scheme->id, known[i].id);
        assert_int_equal(scheme_to_gnutls(scheme) == known[i].algorithm, known[i].is_first);
        assert_int_equal(scheme_hash_to_gnutls(scheme->hash), gnutls_sign_get_hash_algorithm(known[i].algorithm));
        assert_int_equal(gnutls_hash_get_len(scheme_hash_to_gnutls(scheme->hash)), scheme->hash);
    }
    assert_int_equal(scheme_to_gnutls(&(SignatureScheme) { .id = 0x0201 }), GNUTLS_SIGN_UNKNOWN);
}

static void digests_as_they_come(void **state) {
    uint8_t bytes[65] = { 1 }, plain[64];

    for (size_t i = 0; i < ARRAY_LENGTH(known); i++)
        for (unsigned size = 0; size <= sizeof bytes; size++) {
            BytesView digest = { NULL, 0 };
            gnutls_datum_t hash = { bytes, size };
            const SignatureScheme *scheme = scheme_from_gnutls_hash(known[i].algorithm, &hash, plain, &digest);
            assert_int_equal(scheme != NULL, size == (unsigned) scheme_by_id(known[i].id)->hash);
            assert_ptr_equal(digest.data, scheme ? bytes : NULL);
            assert_int_equal(digest.size, scheme ? size : 0);
        }
    gnutls_datum_t hash = { bytes, 20 };
    BytesView none = { NULL, 0 };
    assert_null(scheme_from_gnutls_hash(GNUTLS_SIGN_RSA_SHA1, &hash, plain, &none));
    assert_null(none.data);
}

/* PKCS #1 brings a DigestInfo (RFC 8017 §9.2) under the number for raw RSA. */
static void digest_infos(void **state) {
    static const struct {
        gnutls_digest_algorithm_t hash;
        unsigned size;
        uint16_t id; /* 0: nothing that is signed */
    } cases[] = {
        { GNUTLS_DIG_SHA256, 32, 0x0401 }, { GNUTLS_DIG_SHA384, 48, 0x0501 }, { GNUTLS_DIG_SHA512, 64, 0x0601 },
        { GNUTLS_DIG_SHA1, 20, 0 },        { GNUTLS_DIG_SHA224, 28, 0 },
    };
    uint8_t bytes[64], plain[64];

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        BytesView digest = { NULL, 0 };
        gnutls_datum_t info, in = { bytes, cases[i].size };
        memset(bytes, (int) (i + 1), sizeof bytes);
        assert_int_equal(gnutls_encode_ber_digest_info(cases[i].hash, &in, &info), 0);
        const SignatureScheme *scheme = scheme_from_gnutls_hash(GNUTLS_SIGN_RSA_RAW, &info, plain, &digest);
        assert_ptr_equal(scheme, cases[i].id ? scheme_by_id(cases[i].id) : NULL);
        assert_int_equal(digest.size, scheme ? cases[i].size : 0);
        if (scheme)
            assert_memory_equal(digest.data, bytes, cases[i].size);
        digest = (BytesView) { NULL, 0 };
        info.size--;
        assert_null(scheme_from_gnutls_hash(GNUTLS_SIGN_RSA_RAW, &info, plain, &digest));
        assert_null(digest.data);
        gnutls_free(info.data);
    }
    BytesView digest = { NULL, 0 };
    gnutls_datum_t bare = { bytes, 32 };
    assert_null(scheme_from_gnutls_hash(GNUTLS_SIGN_RSA_RAW, &bare, plain, &digest)); /* no DigestInfo at all */
    assert_null(digest.data);
}

static bool has_one(const SignatureScheme *scheme, const void *userdata) {
    return scheme->id == *(const uint16_t *) userdata;
}

static void answers(void **state) {
    const uint16_t only = 0x0805;
    const KeyInformation information = { GNUTLS_PK_RSA, 3072, has_one, &only };

    assert_int_equal(key_information_answer(&information, GNUTLS_PRIVKEY_INFO_PK_ALGO), GNUTLS_PK_RSA);
    assert_int_equal(key_information_answer(&information, GNUTLS_PRIVKEY_INFO_PK_ALGO_BITS), 3072);
    for (int algorithm = 1; algorithm < 256; algorithm++) {
        unsigned flags = GNUTLS_SIGN_ALGO_TO_FLAGS((unsigned) algorithm) | GNUTLS_PRIVKEY_INFO_HAVE_SIGN_ALGO;
        assert_int_equal(key_information_answer(&information, flags),
                         algorithm == GNUTLS_SIGN_RSA_PSS_RSAE_SHA384 || algorithm == GNUTLS_SIGN_RSA_PSS_SHA384);
    }
    assert_int_equal(key_information_answer(&information, 0), -1);
    assert_int_equal(key_information_answer(&information, 1U << 10), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),
        cmocka_unit_test(digests_as_they_come),
        cmocka_unit_test(digest_infos),
        cmocka_unit_test(answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
