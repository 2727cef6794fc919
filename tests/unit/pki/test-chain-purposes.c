/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Extended key usages above a leaf: which chains are refused for what their peers verify them for; and that those
 * peers, OpenSSL and GnuTLS, refuse them too. */
#include "pki/chain.h"

#include "fixture.h"

#include <string.h>

#define CLIENT GNUTLS_KP_TLS_WWW_CLIENT
#define SERVER GNUTLS_KP_TLS_WWW_SERVER

#define OID_CLIENT "\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02"
#define OID_SERVER "\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01"
#define BOTH                                                                                                           \
    {                                                                                                                  \
        { "2.5.29.37", "\x30\x14" OID_CLIENT OID_SERVER, 22, false }                                                   \
    }

static bool openssl_agrees(const Entity *leaf, const CertificateList *between, const Entity *root,
                           const char *purpose) {
    _cleanup_directory_ char *directory = make_directory();
    _cleanup_certificates_ CertificateList leaves = LIST(leaf->certificate), roots = LIST(root->certificate);
    int status;

    write_pem(directory, "root.pem", &roots);
    write_pem(directory, "between.pem", between);
    write_pem(directory, "leaf.pem", &leaves);
    free(run(
        &status, "openssl verify -attime %lld -purpose %s -CAfile %s/root.pem -untrusted %s/between.pem %s/leaf.pem",
        (long long) NOW, strcmp(purpose, CLIENT) == 0 ? "sslclient" : "sslserver", directory, directory, directory));
    return status == 0;
}

static bool gnutls_agrees(const Entity *leaf, const CertificateList *between, const Entity *root, const char *purpose) {
    gnutls_x509_crt_t chain[CHAIN_MAX] = { leaf->crt };
    gnutls_typed_vdata_st data = { .type = GNUTLS_DT_KEY_PURPOSE_OID, .data = (unsigned char *) (uintptr_t) purpose };
    gnutls_x509_trust_list_t list;
    unsigned status = 0, count = 1;

    for (size_t i = 0; i < between->count; i++)
        chain[count++] = crt_of(between->list[i]);
    assert_int_equal(gnutls_x509_trust_list_init(&list, 0), 0);
    assert_int_equal(gnutls_x509_trust_list_add_cas(list, &root->crt, 1, 0), 1);
    assert_int_equal(gnutls_x509_trust_list_verify_crt2(list, chain, count, &data, 1, GNUTLS_VERIFY_DISABLE_TIME_CHECKS,
                                                        &status, NULL),
                     0);
    gnutls_x509_trust_list_deinit(list, 0);
    while (count > 1)
        gnutls_x509_crt_deinit(chain[--count]);
    return status == 0;
}

static void test_refused_by_peers_too(void **state) {
    const struct {
        Spec upper, lower;
        const char *purpose, *reason; /* NULL: good */
        enum { AGREE, REFUSE, DIFFER } peers;
    } cases[] = {
        { { 0 }, { 0 }, CLIENT, NULL, AGREE },
        { { 0 }, { .eku = CLIENT }, CLIENT, NULL, AGREE },
        { { 0 }, { .extensions = BOTH }, CLIENT, NULL, AGREE },
        { { 0 }, { .extensions = BOTH }, SERVER, NULL, AGREE },
        { { .eku = SERVER }, { .eku = SERVER }, SERVER, NULL, AGREE },
        { { 0 }, { .eku = SERVER }, CLIENT, "extended key usage of CN=Lower", REFUSE },
        { { 0 }, { .eku = CLIENT }, SERVER, "extended key usage of CN=Lower", REFUSE },
        { { 0 }, { .eku = GNUTLS_KP_TIME_STAMPING }, CLIENT, "extended key usage of CN=Lower", REFUSE },
        { { .eku = SERVER }, { 0 }, CLIENT, "extended key usage of CN=Upper", REFUSE },
        { { .eku = SERVER }, { .extensions = BOTH }, CLIENT, "extended key usage of CN=Upper", REFUSE },
        /* RFC 5280 allows it, and so do we; OpenSSL 3.0 and GnuTLS 3.7 do not, later ones may */
        { { 0 }, { .eku = GNUTLS_KP_ANY }, CLIENT, NULL, DIFFER },
        { { .eku = GNUTLS_KP_ANY }, { .eku = CLIENT }, CLIENT, NULL, DIFFER },
    };
    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=Root", .ca = true);
    _cleanup_certificates_ CertificateList anchors = LIST(root.certificate);

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        Spec upper_spec = cases[i].upper, lower_spec = cases[i].lower;
        const char *const purposes[] = { cases[i].purpose, NULL };
        _cleanup_certificates_ CertificateList chain = { 0 };
        Failure failure = FAILURE_INIT;

        upper_spec.ca = lower_spec.ca = true;
        upper_spec.subject = "CN=Upper";
        lower_spec.subject = "CN=Lower";
        upper_spec.issuer = &root;
        _cleanup_entity_ Entity upper = make_entity(&upper_spec);
        lower_spec.issuer = &upper;
        _cleanup_entity_ Entity lower = make_entity(&lower_spec),
                                leaf = ENTITY(.subject = "CN=leaf", .issuer = &lower, .extensions = BOTH);
        _cleanup_certificates_ CertificateList between = LIST(lower.certificate, upper.certificate);
        print_message("           case %zu\n", i);
        int r = chain_build_for(leaf.certificate, &between, &anchors, NOW, purposes, &chain, &failure);
        if (cases[i].reason) {
            assert_failure(r, EKEYREJECTED, failure, cases[i].reason);
            assert_int_equal(failure.kind, FAILURE_CERTIFICATE_REJECTED);
            assert_non_null(
                strstr(failure.text, strcmp(cases[i].purpose, CLIENT) == 0 ? "TLS clients" : "TLS servers"));
        } else {
            assert_ok(r, failure);
            assert_int_equal(chain.count, 3);
        }
        if (cases[i].peers != DIFFER) {
            assert_int_equal(openssl_agrees(&leaf, &between, &root, cases[i].purpose), cases[i].peers == AGREE);
            assert_int_equal(gnutls_agrees(&leaf, &between, &root, cases[i].purpose), cases[i].peers == AGREE);
        }
        /* who asks for no purpose is not bothered */
        assert_ok(chain_build(leaf.certificate, &between, &anchors, NOW, NULL, NULL, &failure), failure);
    }
}

/* Every purpose counts; the anchor and the leaf itself do not. */
static void test_what_is_looked_at(void **state) {
    const char *const both[] = { CLIENT, SERVER, NULL }, *const server[] = { SERVER, NULL }, *const none[] = { NULL };
    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=Root", .ca = true, .eku = CLIENT),
                            upper = ENTITY(.subject = "CN=Upper", .ca = true, .issuer = &root, .eku = CLIENT),
                            plain = ENTITY(.subject = "CN=Plain", .ca = true, .issuer = &root),
                            below_upper = ENTITY(.subject = "CN=leaf", .issuer = &upper, .extensions = BOTH),
                            below_root = ENTITY(.subject = "CN=leaf", .issuer = &root, .eku = CLIENT),
                            below_plain = ENTITY(.subject = "CN=leaf", .issuer = &plain, .eku = CLIENT);
    _cleanup_certificates_ CertificateList anchors = LIST(root.certificate), uppers = LIST(upper.certificate),
                                           candidates = LIST(upper.certificate, plain.certificate);
    Failure failure = FAILURE_INIT;

    assert_failure(chain_build_for(below_upper.certificate, &candidates, &anchors, NOW, both, NULL, &failure),
                   EKEYREJECTED, failure, "for TLS servers");
    assert_ok(chain_build_for(below_upper.certificate, &candidates, &anchors, NOW, none, NULL, &failure), failure);
    assert_ok(chain_build_for(below_root.certificate, &candidates, &anchors, NOW, server, NULL, &failure), failure);
    assert_ok(chain_build_for(below_plain.certificate, &candidates, &anchors, NOW, server, NULL, &failure), failure);
    assert_ok(chain_build_for(below_upper.certificate, &candidates, &uppers, NOW, server, NULL, &failure), failure);
}

/* One CA with two certificates: the path that will do is found, in whatever order. */
static void test_another_path(void **state) {
    const char *const server[] = { SERVER, NULL };
    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=Root", .ca = true),
                            bound = ENTITY(.subject = "CN=Upper", .ca = true, .issuer = &root, .eku = CLIENT),
                            free_one = ENTITY(.subject = "CN=Upper", .ca = true, .issuer = &root, .key = bound.key),
                            leaf = ENTITY(.subject = "CN=leaf", .issuer = &bound);
    _cleanup_certificates_ CertificateList anchors = LIST(root.certificate);

    for (int i = 0; i < 2; i++) {
        _cleanup_certificates_ CertificateList chain = { 0 },
                                               candidates = LIST(i ? bound.certificate : free_one.certificate,
                                                                 i ? free_one.certificate : bound.certificate);
        Failure failure = FAILURE_INIT;
        assert_ok(chain_build_for(leaf.certificate, &candidates, &anchors, NOW, server, &chain, &failure), failure);
        assert_true(certificate_equal(chain.list[1], free_one.certificate));
    }
}

static void test_of_the_certificate_itself(void **state) {
    const struct {
        Spec spec;
        bool allows_client, names_client, allows_server, names_server;
    } cases[] = {
        { { 0 }, true, false, true, false },
        { { .eku = CLIENT }, true, true, false, false },
        { { .extensions = BOTH }, true, true, true, true },
        { { .eku = GNUTLS_KP_ANY }, true, false, true, false },
        { { .eku = GNUTLS_KP_TIME_STAMPING }, false, false, false, false },
        /* an empty one allows nothing */
        { { .extensions = { { "2.5.29.37", "\x30\x00", 2, false } } }, false, false, false, false },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        Spec spec = cases[i].spec;
        spec.subject = "CN=leaf";
        _cleanup_entity_ Entity entity = make_entity(&spec);
        assert_int_equal(certificate_allows_purpose(entity.certificate, CLIENT), cases[i].allows_client);
        assert_int_equal(certificate_names_purpose(entity.certificate, CLIENT), cases[i].names_client);
        assert_int_equal(certificate_allows_purpose(entity.certificate, SERVER), cases[i].allows_server);
        assert_int_equal(certificate_names_purpose(entity.certificate, SERVER), cases[i].names_server);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_by_peers_too),
        cmocka_unit_test(test_what_is_looked_at),
        cmocka_unit_test(test_another_path),
        cmocka_unit_test(test_of_the_certificate_itself),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
