/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Certificates that many have are there once, and go when the last of them has put them down. */
#include "pki/certificate-pool.h"

#include "common/macros.h"
#include "tests/unit/pki/fixture.h"

#include <string.h>

static unsigned taken_apart; /* certificates */

int __wrap_gnutls_x509_crt_import(gnutls_x509_crt_t crt, const gnutls_datum_t *data, gnutls_x509_crt_fmt_t format);
int __real_gnutls_x509_crt_import(gnutls_x509_crt_t crt, const gnutls_datum_t *data, gnutls_x509_crt_fmt_t format);

int __wrap_gnutls_x509_crt_import(gnutls_x509_crt_t crt, const gnutls_datum_t *data, gnutls_x509_crt_fmt_t format) {
    taken_apart++;
    return __real_gnutls_x509_crt_import(crt, data, format);
}

static CertificatePool *new_pool(void) {
    CertificatePool *pool = NULL;

    assert_int_equal(certificate_pool_new(&pool), 0);
    return pool;
}

static Certificate *from_pool(CertificatePool *pool, const Certificate *wanted) {
    Certificate *certificate = NULL;
    Failure failure = FAILURE_INIT;

    assert_ok(certificate_pool_from_der(pool, bytes_view(&wanted->der), &certificate, &failure), failure);
    assert_true(certificate_equal(certificate, wanted));
    return certificate;
}

static void test_once(void **state) {
    _cleanup_(certificate_pool_free_p) CertificatePool *pool = new_pool();
    _cleanup_entity_ Entity one = ENTITY(.subject = "CN=one", .ca = true),
                            two = ENTITY(.subject = "CN=two", .ca = true);
    _cleanup_certificate_ Certificate *first = from_pool(pool, one.certificate), *again = from_pool(pool, first),
                                      *other = from_pool(pool, two.certificate);

    assert_ptr_not_equal(first, one.certificate); /* that one came from elsewhere */
    assert_ptr_equal(again, first);
    assert_ptr_not_equal(other, first);
    assert_true(certificate_is_shared(first) && !certificate_is_shared(two.certificate));
}

/* What cannot be read is refused as ever, and not remembered. */
static void test_refused(void **state) {
    _cleanup_(certificate_pool_free_p) CertificatePool *pool = new_pool();
    Certificate *certificate = NULL;
    Failure failure = FAILURE_INIT;

    for (int i = 0; i < 2; i++) {
        assert_failure(certificate_pool_from_der(pool, bytes_view_string("0"), &certificate, &failure), EBADMSG,
                       failure, "not DER");
        assert_null(certificate);
    }
}

static void test_outlives_the_pool(void **state) {
    CertificatePool *pool = new_pool();
    _cleanup_entity_ Entity one = ENTITY(.subject = "CN=one", .ca = true);
    _cleanup_certificate_ Certificate *mine = from_pool(pool, one.certificate);

    assert_null(certificate_pool_free(pool));
    assert_false(certificate_is_shared(mine));
    assert_string_equal(mine->subject, "CN=one");
    assert_null(certificate_pool_free(NULL));
}

/* Renewals bring certificates that nobody has before and nobody has after: the pool must not keep them all. */
static void test_forgets(void **state) {
    _cleanup_(certificate_pool_free_p) CertificatePool *pool = new_pool();
    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=root", .ca = true);
    _cleanup_certificate_ Certificate *kept = from_pool(pool, root.certificate);
    Entity leaves[100];

    for (size_t i = 0; i < ARRAY_LENGTH(leaves); i++) {
        leaves[i] = ENTITY(.subject = "CN=leaf", .issuer = &root, .key = root.key);
        certificate_free(from_pool(pool, leaves[i].certificate));
        _cleanup_certificate_ Certificate *same = from_pool(pool, root.certificate);
        assert_ptr_equal(same, kept);
    }
    taken_apart = 0;
    for (size_t i = ARRAY_LENGTH(leaves); i-- > 0;) {
        certificate_free(from_pool(pool, leaves[i].certificate));
        entity_clear(&leaves[i]);
    }
    assert_in_range(taken_apart, ARRAY_LENGTH(leaves) - 16U, ARRAY_LENGTH(leaves) - 1U);
}

/* More than it had room for, all in use: each is found again. */
static void test_grows(void **state) {
    _cleanup_(certificate_pool_free_p) CertificatePool *pool = new_pool();
    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=root", .ca = true);
    Certificate *kept[70];

    for (size_t i = 0; i < 70; i++) {
        _cleanup_entity_ Entity leaf = ENTITY(.subject = "CN=leaf", .issuer = &root, .key = root.key);
        kept[i] = from_pool(pool, leaf.certificate);
    }
    taken_apart = 0;
    for (size_t i = 0; i < 70; i++) {
        _cleanup_certificate_ Certificate *again = from_pool(pool, kept[i]);
        assert_ptr_equal(again, kept[i]);
    }
    assert_int_equal(taken_apart, 0);
    for (size_t i = 0; i < 70; i++)
        certificate_free(kept[i]);
}

/* Lists that were read elsewhere, such as what a CA sent. */
static void test_share(void **state) {
    _cleanup_(certificate_pool_free_p) CertificatePool *pool = new_pool();
    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=root", .ca = true), leaf = ENTITY(.subject = "CN=leaf");
    _cleanup_certificates_ CertificateList both = LIST(leaf.certificate, root.certificate), again = { 0 };
    _cleanup_bytes_ Bytes pem = BYTES_NULL;
    Failure failure = FAILURE_INIT;

    assert_int_equal(certificate_list_to_pem(&both, &pem), 0);
    assert_ok(certificate_list_from_pem(bytes_view(&pem), 2, &again, &failure), failure);
    assert_ptr_not_equal(again.list[1], both.list[1]);
    certificate_pool_share(pool, &both);
    certificate_pool_share(pool, &again);
    assert_ptr_equal(again.list[0], both.list[0]);
    assert_ptr_equal(again.list[1], root.certificate);
}

static void test_pem(void **state) {
    _cleanup_(certificate_pool_free_p) CertificatePool *pool = new_pool();
    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=root", .ca = true), leaf = ENTITY(.subject = "CN=leaf");
    _cleanup_certificates_ CertificateList both = LIST(leaf.certificate, root.certificate), strict = { 0 },
                                           bundle = { 0 };
    _cleanup_bytes_ Bytes pem = BYTES_NULL;
    Failure failure = FAILURE_INIT;
    LeftOut left_out = { 0 };

    assert_int_equal(certificate_list_to_pem(&both, &pem), 0);
    assert_ok(certificate_list_from_pem_shared(pool, bytes_view(&pem), 2, &strict, &failure), failure);
    assert_int_equal(bytes_append(&pem, bytes_view_string("-----BEGIN CERTIFICATE-----\nMAA=\n"
                                                          "-----END CERTIFICATE-----\n")),
                     0);
    assert_ok(certificate_bundle_from_pem_shared(pool, bytes_view(&pem), &bundle, &left_out, &failure), failure);
    assert_int_equal(bundle.count, 2);
    assert_int_equal(left_out.count, 1);
    assert_ptr_equal(bundle.list[0], strict.list[0]);
    assert_ptr_equal(bundle.list[1], strict.list[1]);
    assert_failure(certificate_list_from_pem_shared(pool, bytes_view(&pem), 3, &strict, &failure), EBADMSG, failure,
                   "block 3");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_once),    cmocka_unit_test(test_refused), cmocka_unit_test(test_outlives_the_pool),
        cmocka_unit_test(test_forgets), cmocka_unit_test(test_grows),   cmocka_unit_test(test_share),
        cmocka_unit_test(test_pem),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
