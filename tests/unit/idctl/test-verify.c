/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idctl verify with chains, without identity and daemon: each option changes the verdict, and what is said is what the
 * verifier said. */
#include "verify-lab.h"

#include "common/macros.h"

#include <stdio.h>
#include <string.h>

#define AT    " --at @1750000000"
#define CHAIN "--chain chain.pem --anchors root.pem" AT
#define LAST  "2025-09-23T15:06:40Z" /* a hundred days after NOW: their last second */

typedef struct Lab {
    Entity root, intermediate, leaf, revoked, client, stranger, constrained, outside;
} Lab;

static void test_verdicts(void **state) {
    static const Line lines[] = {
        { CHAIN, 0, "verified: the chain ends in the anchor CN=root", NULL },
        { CHAIN, 0, "revocation was not looked at", NULL },
        { CHAIN, 0, "1  CN=intermediate", NULL },
        { CHAIN " -q", 0, NULL, NULL },
        { "--chain chain.pem --anchors stranger.pem" AT, 1, "NOT verified: no issuer was found for CN=intermediate",
          NULL },
        { "--chain leaf.pem --anchors root.pem" AT, 1, "no issuer was found for CN=leaf", NULL },
        /* The leaf is found in any order. */
        { "--chain reversed.pem --anchors root.pem" AT, 0, "0  CN=leaf", NULL },
        /* Times. */
        { "--chain chain.pem --anchors root.pem --at " LAST, 0, "verified", NULL },
        { "--chain chain.pem --anchors root.pem --at 2025-09-24", 1, "expired at 2025-09-23", NULL },
        { "--chain chain.pem --anchors root.pem --at 2025-09-24", 1, "rule: RFC 5280 §6.1.3 (a) (2)", NULL },
        { "--chain chain.pem --anchors root.pem --at 2025-09-24", 1, "at fault: CN=leaf", NULL },
        { "--chain chain.pem --anchors root.pem", 1, "expired", NULL },
        /* Names. */
        { CHAIN " --name host.example", 0, "verified", NULL },
        { CHAIN " --name other.example", 1, "is not for the name other.example", NULL },
        { CHAIN " --uri urn:test:leaf", 0, "verified", NULL },
        { CHAIN " --uri urn:test:other", 1, "is not for the URI urn:test:other", NULL },
        { "--chain outside.pem --anchors root.pem" AT, 1, "name", NULL },
        /* Usages. */
        { CHAIN " --usage server", 0, "verified", NULL },
        { CHAIN " --usage any", 0, "verified", NULL },
        { "--chain client.pem --anchors root.pem" AT, 0, "verified", NULL },
        { "--chain client.pem --anchors root.pem --usage client" AT, 0, "verified", NULL },
        { "--chain client.pem --anchors root.pem --usage server" AT, 1, "is not for TLS servers", NULL },
        { "--chain client.pem --anchors root.pem --usage 1.3.6.1.5.5.7.3.3" AT, 1, "is not for 1.3.6.1.5.5.7.3.3",
          NULL },
        /* Revocation. */
        { "--chain revoked.pem --anchors root.pem" AT, 0, "verified", NULL },
        { "--chain revoked.pem --anchors root.pem --crls crl.pem" AT, 1, "revoked", NULL },
        { CHAIN " --crls crl.pem", 0, "verified: the chain ends in the anchor CN=root (serial", NULL },
        { CHAIN " --crls crl.pem --require-crl", 1, "CRL", NULL },
        { CHAIN " --crls crls.pem --require-crl", 0, "verified", NULL },
        { CHAIN " --require-crl", 1, "CRL", NULL },
        /* Depth: one CA certificate stands between. */
        { CHAIN " --max-depth 1", 0, "verified", NULL },
        { CHAIN " --max-depth 0", 1, "NOT verified", NULL },
    };

    lab_check(lines, ARRAY_LENGTH(lines));
    assert_string_equal(lab_verify(CHAIN " -q")->out, "");
    assert_null(strstr(lab_verify(CHAIN " --crls crl.pem")->out, "not looked at"));
}

static void test_usage(void **state) {
    static const Line lines[] = {
        { "--chain chain.pem", 2, NULL, "nothing to trust" },
        { "", 2, NULL, "verify takes one of" },
        { "--anchors root.pem", 2, NULL, "verify takes one of" },
        { "x y --chain chain.pem --anchors root.pem", 2, NULL, "verify takes one of" },
        { CHAIN " --peer host.example:443", 2, NULL, "verify takes one of" },
        { "--peer nowhere --anchors root.pem", 2, NULL, "HOST:PORT" },
        { "--chain chain.pem --anchors root.pem --at yesterday", 2, NULL, "--at is a time such as" },
        { CHAIN " --usage servers", 2, NULL, "--usage is server, client, any" },
        { CHAIN " --usage 1.3..6", 2, NULL, "--usage is server, client, any" },
        { CHAIN " --max-depth -1", 2, NULL, "--max-depth is a number" },
        { CHAIN " --max-depth 1000", 2, NULL,
          "--max-depth is a number of CA certificates from 0 to 999, not \"1000\"." },
        { CHAIN " --max-depth 999 --usage 1.3..6", 2, NULL, "--usage is server, client, any" },
        { CHAIN " --name host.example --uri urn:test:leaf", 2, NULL, "exclude each other" },
    };

    lab_check(lines, ARRAY_LENGTH(lines));
}

static void test_files(void **state) {
    static const Line lines[] = {
        { "--chain nowhere.pem --anchors root.pem", 1, NULL, "cannot open nowhere.pem: No such file" },
        { "--chain chain.pem --anchors nowhere.pem", 1, NULL, "cannot open nowhere.pem: No such file" },
        { CHAIN " --crls nowhere.pem", 1, NULL, "cannot open nowhere.pem: No such file" },
        { "--chain empty --anchors root.pem", 1, NULL, "empty holds no certificates that can be read" },
        { "--chain chain.pem --anchors empty", 1, NULL, "empty holds no certificates that can be read" },
        { CHAIN " --crls der", 1, NULL, "der holds no CRLs that can be read" },
        { CHAIN " --crls empty", 1, NULL, "empty holds no CRLs that can be read: there is none in it" },
        { CHAIN " --crls root.pem", 1, NULL, "root.pem holds no CRLs that can be read" },
        { CHAIN " --crls bad-crl", 1, NULL, "bad-crl holds no CRLs that can be read" },
        { "--chain revoked.pem --anchors root.pem --crls crl.der" AT, 1, "revoked", NULL },
        /* What cannot be read is left out and told of; not where it may be the leaf. */
        { "--chain left-out.pem --anchors root.pem" AT, 0, "verified", "left out is what cannot be read, 1 in number" },
        { "--chain bad-leaf.pem --anchors root.pem" AT, 1, NULL, "may be the very certificate" },
        { "--chain chain.pem --anchors left-out-root.pem" AT, 0, "verified", "left-out-root.pem: left out" },
        { CHAIN " --crls left-out-crl.pem", 0, "verified", "left-out-crl.pem: left out" },
        { "--chain revoked.pem --anchors root.pem --crls left-out-crl.pem" AT, 1, "revoked", NULL },
    };
    static const char bad[] = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
                      bad_crl[] = "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n";

    write_file(".", "bad", bytes_view_string(bad));
    write_file(".", "bad-crl", bytes_view_string(bad_crl));
    write_file(".", "empty", (BytesView) { 0 });
    write_file(".", "der", (BytesView) { (const uint8_t *) "0\0", 2 });
    free(run(NULL, "cat chain.pem bad >left-out.pem; cat bad intermediate.pem >bad-leaf.pem; "
                   "openssl crl -in crl.pem -outform DER -out crl.der; cat bad root.pem >left-out-root.pem; cat "
                   "bad-crl crl.pem >left-out-crl.pem"));
    lab_check(lines, ARRAY_LENGTH(lines));
}

static const char *text_at(json_t *object, const char *one, const char *other) {
    json_t *value = json_object_get(object, one);
    const char *text = json_string_value(other ? json_object_get(value, other) : value);

    if (!text)
        fail_msg("there is no %s %s", one, other ? other : "");
    return text;
}

static void test_json(void **state) {
    const Lab *lab = *state;
    json_t *object = lab_object(CHAIN);

    assert_string_equal(text_at(object, "kind", NULL), "chain");
    assert_string_equal(text_at(object, "verdict", NULL), "good");
    assert_true(json_is_null(json_object_get(object, "at_fault")));
    assert_true(json_is_null(json_object_get(object, "rule")));
    assert_int_equal(json_array_size(json_object_get(object, "chain")), 2);
    assert_string_equal(text_at(object, "anchor", "subject"), "CN=root");
    assert_int_equal(strlen(text_at(object, "anchor", "sha256")), 64);
    json_decref(object);
    object = lab_object("--chain revoked.pem --anchors root.pem --crls crl.pem" AT);
    assert_string_equal(text_at(object, "verdict", NULL), "revoked");
    assert_string_equal(text_at(object, "rule", NULL), "RFC 5280 §6.1.3 (a) (3)");
    assert_string_equal(text_at(object, "at_fault", "subject"), "CN=revoked");
    assert_string_equal(text_at(object, "at_fault", "serial_number"), lab->revoked.certificate->serial);
    assert_true(json_is_null(json_object_get(object, "anchor")));
    json_decref(object);
}

static int setup(void **state) {
    Lab *lab = calloc(1, sizeof *lab);

    assert_non_null(lab);
    lab_enter();
    lab->root = ENTITY(.subject = "CN=root", .ca = true);
    lab->stranger = ENTITY(.subject = "CN=stranger", .ca = true);
    lab->intermediate = ENTITY(.subject = "CN=intermediate", .issuer = &lab->root, .ca = true);
    lab->constrained =
        ENTITY(.subject = "CN=constrained", .issuer = &lab->root, .ca = true, .permitted_dns = "inside.example");
    lab->leaf =
        ENTITY(.subject = "CN=leaf", .issuer = &lab->intermediate, .dns = "host.example", .uri = "urn:test:leaf");
    lab->revoked = ENTITY(.subject = "CN=revoked", .issuer = &lab->root);
    lab->client = ENTITY(.subject = "CN=client", .issuer = &lab->root, .eku = GNUTLS_KP_TLS_WWW_CLIENT);
    lab->outside = ENTITY(.subject = "CN=outside", .issuer = &lab->constrained, .dns = "host.example");
    LAB_WRITE("root.pem", &lab->root);
    LAB_WRITE("stranger.pem", &lab->stranger);
    LAB_WRITE("intermediate.pem", &lab->intermediate);
    LAB_WRITE("leaf.pem", &lab->leaf);
    LAB_WRITE("chain.pem", &lab->leaf, &lab->intermediate);
    LAB_WRITE("reversed.pem", &lab->intermediate, &lab->leaf);
    LAB_WRITE("revoked.pem", &lab->revoked);
    LAB_WRITE("client.pem", &lab->client);
    LAB_WRITE("outside.pem", &lab->outside, &lab->constrained);
    lab_write_crl("crl.pem", &lab->root, &lab->revoked);
    lab_write_crl("crl2.pem", &lab->intermediate, NULL);
    free(run(NULL, "cat crl.pem crl2.pem >crls.pem"));
    *state = lab;
    return 0;
}

static int teardown(void **state) {
    Lab *lab = *state;
    Entity *all[] = { &lab->root,   &lab->intermediate, &lab->leaf,        &lab->revoked,
                      &lab->client, &lab->stranger,     &lab->constrained, &lab->outside };

    for (size_t i = 0; i < ARRAY_LENGTH(all); i++)
        entity_clear(all[i]);
    free(lab);
    lab_leave();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_usage),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_json),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
