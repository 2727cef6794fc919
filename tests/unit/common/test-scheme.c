/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* common/scheme against the IANA registry's numbers and known digests; common/certificate-verify against RFC 8446. */
#include "common/bytes.h"
#include "common/certificate-verify.h"
#include "common/scheme.h"

#include "tests/unit/common/test.h"

#include <string.h>

static void table(void **state) {
    static const struct {
        uint16_t id;
        const char *name;
        bool tls;
        const char *fits; /* one letter per algorithm: p P r R */
    } iana[] = {
        { 0x0401, "rsa_pkcs1_sha256", false, "rR" },   { 0x0403, "ecdsa_secp256r1_sha256", true, "p" },
        { 0x0501, "rsa_pkcs1_sha384", false, "rR" },   { 0x0503, "ecdsa_secp384r1_sha384", true, "P" },
        { 0x0601, "rsa_pkcs1_sha512", false, "rR" },   { 0x0804, "rsa_pss_rsae_sha256", true, "rR" },
        { 0x0805, "rsa_pss_rsae_sha384", true, "rR" }, { 0x0806, "rsa_pss_rsae_sha512", true, "rR" },
    };
    unsigned known = 0;

    for (uint32_t id = 0; id <= UINT16_MAX; id++)
        known += scheme_by_id((uint16_t) id) != NULL;
    assert_int_equal(known, ARRAY_LENGTH(iana));
    for (size_t i = 0; i < ARRAY_LENGTH(iana); i++) {
        const SignatureScheme *scheme = scheme_by_id(iana[i].id);
        assert_string_equal(scheme->name, iana[i].name);
        assert_ptr_equal(scheme_by_name(iana[i].name), scheme);
        assert_int_equal(scheme->tls, iana[i].tls);
        for (int algorithm = 0; algorithm < _KEY_ALGORITHM_COUNT; algorithm++)
            assert_int_equal(scheme_fits(scheme, (KeyAlgorithm) algorithm),
                             strchr(iana[i].fits, "pPrR"[algorithm]) != NULL);
        assert_false(scheme_fits(scheme, _KEY_ALGORITHM_INVALID));
    }
    assert_null(scheme_by_name(NULL));
    assert_null(scheme_by_name("rsa_pkcs1_sha1"));
}

static void lists(void **state) {
    const SignatureScheme *list[SCHEMES_PER_KEY_MAX];

    assert_int_equal(scheme_list(KEY_ECDSA_P256, list), 1);
    assert_int_equal(list[0]->id, 0x0403);
    assert_int_equal(scheme_list(KEY_ECDSA_P384, list), 1);
    assert_int_equal(list[0]->id, 0x0503);
    assert_int_equal(scheme_list(KEY_RSA_3072, list), 6);
    static const uint16_t best_first[] = { 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601 };
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(list[i]->id, best_first[i]);
    assert_int_equal(scheme_list(_KEY_ALGORITHM_INVALID, list), 0);
}

static void algorithms(void **state) {
    static const char *const names[] = { "ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072" };

    for (int i = 0; i < _KEY_ALGORITHM_COUNT; i++) {
        assert_string_equal(key_algorithm_to_string((KeyAlgorithm) i), names[i]);
        assert_int_equal(key_algorithm_from_string(names[i]), i);
    }
    assert_null(key_algorithm_to_string(_KEY_ALGORITHM_INVALID));
    assert_null(key_algorithm_to_string(_KEY_ALGORITHM_COUNT));
    assert_int_equal(key_algorithm_from_string("ecdsa-p521"), _KEY_ALGORITHM_INVALID);
    assert_int_equal(key_algorithm_from_string(NULL), _KEY_ALGORITHM_INVALID);
}

static void digests(void **state) {
    /* FIPS 180-4 examples, "abc"; and SHA-256 of nothing */
    static const struct {
        uint16_t id;
        const char *message, *hex;
    } known[] = {
        { 0x0403, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
        { 0x0403, "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { 0x0805, "abc",
          "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7" },
        { 0x0601, "abc",
          "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd"
          "454d4423643ce80e2a9ac94fa54ca49f" },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(known); i++) {
        uint8_t digest[64];
        const SignatureScheme *scheme = scheme_by_id(known[i].id);
        int size = scheme_digest(scheme, known[i].message, strlen(known[i].message), digest);
        assert_int_equal(size, scheme->hash);
        _cleanup_free_ char *hex = bytes_to_hex((BytesView) { digest, (size_t) size });
        assert_string_equal(hex, known[i].hex);
    }
    uint8_t digest[64];
    assert_int_equal(scheme_digest(scheme_by_id(0x0403), NULL, 0, digest), 32);
}

static void certificate_verify(void **state) {
    uint8_t hash[49], content[CERTIFICATE_VERIFY_MAX + 1];

    memset(hash, 0x01, sizeof(hash));
    for (unsigned side = 0; side < 2; side++) {
        TlsSide own = side ? TLS_SIDE_SERVER : TLS_SIDE_CLIENT, other = side ? TLS_SIDE_CLIENT : TLS_SIDE_SERVER;
        for (size_t size = 0; size <= sizeof(hash); size++) {
            int length = certificate_verify_build(own, (BytesView) { hash, size }, content);
            assert_int_equal(length, size == 32 || size == 48 ? (int) (98 + size) : -EINVAL);
            if (length < 0)
                continue;
            /* RFC 8446 §4.4.3, spelled out */
            for (unsigned i = 0; i < 64; i++)
                assert_int_equal(content[i], 0x20);
            assert_memory_equal(content + 64,
                                side ? "TLS 1.3, server CertificateVerify" : "TLS 1.3, client CertificateVerify", 34);
            assert_memory_equal(content + 98, hash, size);
            BytesView view = { content, (size_t) length };
            assert_true(certificate_verify_matches(own, view));
            assert_false(certificate_verify_matches(other, view));
            for (size_t cut = 0; cut < view.size; cut++)
                assert_false(certificate_verify_matches(own, (BytesView) { content, cut }) && cut != 130);
            assert_false(certificate_verify_matches(own, (BytesView) { content, view.size + 1 }));
            for (size_t bit = 0; bit < 98 * 8; bit++) { /* any single bit before the hash */
                content[bit / 8] ^= (uint8_t) (1 << bit % 8);
                assert_false(certificate_verify_matches(own, view));
                content[bit / 8] ^= (uint8_t) (1 << bit % 8);
            }
        }
    }
    assert_false(certificate_verify_matches(TLS_SIDE_CLIENT, (BytesView) { NULL, 0 }));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test(lists),
        cmocka_unit_test(algorithms),
        cmocka_unit_test(digests),
        cmocka_unit_test(certificate_verify),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
