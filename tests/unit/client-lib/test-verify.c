/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Verification of peers with a handle's anchors and CRLs, by the function for programs and inside handshakes. */
#include "tls-pair.h"

#include <gnutls/x509.h>
#include <stdlib.h>

typedef struct Peer {
    gnutls_datum_t der[20];
    size_t count;
} Peer;

static Peer peer_from(const char *pem) {
    gnutls_datum_t in = { (unsigned char *) (uintptr_t) pem, (unsigned) strlen(pem) };
    gnutls_x509_crt_t *list = NULL;
    unsigned count = 0;
    Peer peer = { .count = 0 };

    assert_int_equal(gnutls_x509_crt_list_import2(&list, &count, &in, GNUTLS_X509_FMT_PEM, 0), 0);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(gnutls_x509_crt_export2(list[i], GNUTLS_X509_FMT_DER, &peer.der[peer.count++]), 0);
        gnutls_x509_crt_deinit(list[i]);
    }
    gnutls_free(list);
    return peer;
}

static void peer_clear(Peer *peer) {
    while (peer->count > 0)
        gnutls_free(peer->der[--peer->count].data);
}

static identityd_credential *credential;

static int setup_credential(void **state) {
    setup_tls(state);
    return identityd_credential_open("device", "tls-client", &credential);
}

static int teardown_credential(void **state) {
    credential = identityd_credential_free(credential);
    return teardown(state);
}

static int check(const char *pem, const char *host, const char *usage, unsigned flags) {
    identityd_datum chain[20];
    Peer peer = peer_from(pem);

    for (size_t i = 0; i < peer.count; i++)
        chain[i] = (identityd_datum) { peer.der[i].data, peer.der[i].size };
    int r = identityd_verify_peer(credential, chain, peer.count, host, usage, flags);
    peer_clear(&peer);
    return r;
}

static char *issue(const FakeRequest *request) {
    return fake_ca_issue(fixture.ca, fixture.key, request);
}

static void test_good(void **state) {
    char *pem = issue(&(FakeRequest) { .common_name = "x", .dns = "a.example", .server = true });

    assert_int_equal(check(pem, "a.example", "server", 0), 0);
    assert_int_equal(check(pem, NULL, "server", 0), 0);
    fake_identityd_close_handles(fixture.fake); /* the last anchors hold */
    assert_int_equal(check(pem, "a.example", "server", 0), 0);
    free(pem);
}

static void test_name_and_usage(void **state) {
    char *pem = issue(&(FakeRequest) { .common_name = "x", .dns = "a.example", .server = true });

    assert_int_equal(check(pem, "b.example", "server", 0), -EKEYREJECTED);
    assert_error_says("b.example");
    assert_int_equal(check(pem, "example", "server", 0), -EKEYREJECTED);
    assert_int_equal(check(pem, "a.example", "client", 0), -EKEYREJECTED);
    assert_int_equal(check(pem, "a.example", "both", 0), -EINVAL);
    assert_int_equal(check(pem, "a.example", NULL, 0), -EINVAL);
    assert_int_equal(check(pem, "", "server", 0), -EINVAL);
    assert_int_equal(check(pem, "a.example", "server", 0x100), -EINVAL);
    free(pem);
}

static void test_dates(void **state) {
    char *old = issue(&(FakeRequest) { .common_name = "x", .starts = -7000, .ends = -10 });
    char *young = issue(&(FakeRequest) { .common_name = "x", .starts = 1000, .ends = 2000 });

    assert_int_equal(check(old, NULL, "client", 0), -EKEYREJECTED);
    assert_error_says("expired");
    assert_int_equal(check(young, NULL, "client", 0), -EKEYREJECTED);
    assert_error_says("is not valid until");
    free(old);
    free(young);
}

static void test_stranger(void **state) {
    FakeCa *other = fake_ca_new("Fake Root", NULL); /* the same name, another key */
    char *pem = fake_ca_issue(other, fixture.key, &(FakeRequest) { .common_name = "x" });

    assert_int_equal(check(pem, NULL, "client", 0), -EKEYREJECTED);
    free(pem);
    fake_ca_free(other);
}

static void test_garbage(void **state) {
    static uint8_t bytes[70000] = { 0x30, 0x82 };
    identityd_datum chain[40];

    for (size_t i = 0; i < ARRAY_LENGTH(chain); i++)
        chain[i] = (identityd_datum) { bytes, 100 };
    assert_int_equal(identityd_verify_peer(credential, chain, 1, NULL, "client", 0), -EKEYREJECTED);
    assert_int_equal(identityd_verify_peer(credential, NULL, 0, NULL, "client", 0), -EKEYREJECTED);
    assert_int_equal(identityd_verify_peer(credential, NULL, 1, NULL, "client", 0), -EINVAL);
    assert_int_equal(identityd_verify_peer(credential, chain, 17, NULL, "client", 0), -EKEYREJECTED);
    assert_error_says("the peer sent 17 certificates, more than 16");
    chain[1].size = sizeof(bytes);
    assert_int_equal(identityd_verify_peer(credential, chain, 2, NULL, "client", 0), -EKEYREJECTED);
    assert_error_says("the peer's certificate 1 has 70000 bytes, more than 32768");
    chain[1].size = 32769;
    assert_int_equal(identityd_verify_peer(credential, chain, 2, NULL, "client", 0), -EKEYREJECTED);
    assert_error_says("the peer's certificate 1 has 32769 bytes, more than 32768");
    chain[1].size = 32768; /* which is then no certificate, as the first is none */
    assert_int_equal(identityd_verify_peer(credential, chain, 16, NULL, "client", 0), -EKEYREJECTED);
    assert_error_says("the peer's certificate does not parse");
}

static void test_intermediate(void **state) {
    FakeCa *middle = fake_ca_new("Fake Middle", fixture.ca);
    char *leaf = fake_ca_issue(middle, fixture.key, &(FakeRequest) { .common_name = "x" });
    char *chain = fake_concat(leaf, middle->pem), *with_root = fake_concat(chain, fixture.ca->pem);

    assert_int_equal(check(leaf, NULL, "client", 0), -EKEYREJECTED);
    assert_int_equal(check(chain, NULL, "client", 0), 0);
    assert_int_equal(check(with_root, NULL, "client", 0), 0);

    /* revoked by its own issuer; and the issuer by the root */
    unsigned revoked[] = { 2, 0 }, of_middle[] = { 1, 0 };
    char *crl = fake_ca_crl(middle, revoked, 3600), *crl_of_root = fake_ca_crl(fixture.ca, of_middle, 3600);
    set_device(1, crl, NULL);
    assert_int_equal(check(chain, NULL, "client", 0), -EKEYREVOKED);
    set_device(1, crl_of_root, NULL);
    assert_int_equal(check(chain, NULL, "client", 0), -EKEYREVOKED);
    free(crl);
    free(crl_of_root);
    free(leaf);
    free(chain);
    free(with_root);
    fake_ca_free(middle);
}

static void test_revoked(void **state) {
    unsigned serials[] = { 70, 71, 0 };
    char *bad = issue(&(FakeRequest) { .common_name = "bad", .serial = 71 });
    char *good = issue(&(FakeRequest) { .common_name = "good", .serial = 72 });
    char *crl = fake_ca_crl(fixture.ca, serials, 3600), *old_crl = fake_ca_crl(fixture.ca, serials, -60);

    assert_int_equal(check(bad, NULL, "client", 0), 0);
    set_device(1, crl, NULL);
    assert_int_equal(check(bad, NULL, "client", 0), -EKEYREVOKED);
    assert_error_says("CN=bad (serial 47) is revoked since");
    assert_int_equal(check(good, NULL, "client", 0), 0);
    set_device(1, old_crl, NULL); /* past nextUpdate what it lists still counts */
    assert_int_equal(check(bad, NULL, "client", 0), -EKEYREVOKED);
    assert_int_equal(check(good, NULL, "client", 0), 0);
    free(bad);
    free(good);
    free(crl);
    free(old_crl);
}

static void test_crl_demanded(void **state) {
    FakeCa *middle = fake_ca_new("Fake Middle", fixture.ca);
    char *leaf = fake_ca_issue(middle, fixture.key, &(FakeRequest) { .common_name = "x" });
    char *chain = fake_concat(leaf, middle->pem);
    char *root_crl = fake_ca_crl(fixture.ca, NULL, 3600), *middle_crl = fake_ca_crl(middle, NULL, 3600);
    char *old_crl = fake_ca_crl(middle, NULL, -60);
    char *both = fake_concat(root_crl, middle_crl), *one_old = fake_concat(root_crl, old_crl);

    assert_int_equal(check(chain, NULL, "client", IDENTITYD_VERIFY_CRL_HARD), -EKEYREJECTED);
    assert_error_says("no current CRL");
    set_device(1, middle_crl, NULL);
    assert_int_equal(check(chain, NULL, "client", IDENTITYD_VERIFY_CRL_HARD), -EKEYREJECTED);
    set_device(1, root_crl, NULL);
    assert_int_equal(check(chain, NULL, "client", IDENTITYD_VERIFY_CRL_HARD), -EKEYREJECTED);
    set_device(1, one_old, NULL);
    assert_int_equal(check(chain, NULL, "client", IDENTITYD_VERIFY_CRL_HARD), -EKEYREJECTED);
    set_device(1, both, NULL);
    assert_int_equal(check(chain, NULL, "client", IDENTITYD_VERIFY_CRL_HARD), 0);
    free(leaf);
    free(chain);
    free(root_crl);
    free(middle_crl);
    free(old_crl);
    free(both);
    free(one_old);
    fake_ca_free(middle);
}

static void test_no_or_bad_anchors(void **state) {
    char *pem = issue(&(FakeRequest) { .common_name = "x" });

    fake_identityd_set(
        fixture.fake,
        &(FakeIdentity) { .name = "device", .generation = 1, .key = fixture.key, .chain = fixture.chain });
    assert_int_equal(check(pem, NULL, "client", 0), -ENOENT);
    assert_error_says("no anchors");
    fake_identityd_set(
        fixture.fake,
        &(FakeIdentity) {
            .name = "device", .generation = 1, .key = fixture.key, .chain = fixture.chain, .anchors = "nothing" });
    assert_int_equal(check(pem, NULL, "client", 0), -EBADMSG);
    set_device(1, "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", NULL);
    assert_int_equal(check(pem, NULL, "client", 0), -EBADMSG); /* never: as if there were none */
    free(pem);
}

/* ---- inside the handshake ---- */

static void expect_handshake(Party *client, Party *server, const char *client_says, const char *server_says) {
    int r = connect_parties(client, server);

    if (!client_says && !server_says && r < 0)
        fail_msg("client %d (%s), server %d (%s)", client->result, client->error, server->result, server->error);
    if ((client_says || server_says) && r == 0)
        fail_msg("connected");
    if (client_says && !strstr(client->error, client_says))
        fail_msg("client: '%s' does not say '%s'", client->error, client_says);
    if (server_says && !strstr(server->error, server_says))
        fail_msg("server: '%s' does not say '%s'", server->error, server_says);
}

static void test_handshakes(void **state) {
    unsigned device[] = { 11, 0 }, service[] = { 21, 0 };
    char *crl_device = fake_ca_crl(fixture.ca, device, 3600), *crl_service = fake_ca_crl(fixture.ca, service, 3600);
    char *wrong_usage = issue(&(FakeRequest) { .common_name = "x", .dns = "service.example", .client = true });
    Party client, server;

    party_open(&client, "device", "tls-client");
    party_open(&server, "service", "tls-server");
    expect_handshake(&client, &server, NULL, NULL);
    client.host = "other.example";
    expect_handshake(&client, &server, "is not for the name other.example", NULL);
    client.host = NULL; /* any name */
    expect_handshake(&client, &server, NULL, NULL);
    client.host = "service.example";

    set_device(1, crl_service, NULL);
    expect_handshake(&client, &server, " is revoked since", NULL);
    set_device(1, NULL, NULL);
    expect_handshake(&client, &server, NULL, NULL);
    set_service(1, NULL, crl_device, NULL);
    expect_handshake(&client, &server, NULL, "CN=device (serial 0b) is revoked");
    set_service(1, wrong_usage, NULL, NULL);
    expect_handshake(&client, &server, "does not verify", NULL);
    set_service(1, NULL, NULL, NULL);

    client.flags = IDENTITYD_VERIFY_CRL_HARD;
    expect_handshake(&client, &server, "no current CRL", NULL);
    set_device(1, crl_device, NULL); /* covers the service, too */
    expect_handshake(&client, &server, NULL, NULL);
    party_clear(&client);
    party_clear(&server);
    free(crl_device);
    free(crl_service);
    free(wrong_usage);
}

static void test_uri_and_who_it_is(void **state) {
    char *pem = issue(&(FakeRequest) {
        .common_name = "x", .dns = "a.example", .uri = "spiffe://Fleet.example/Device/7", .client = true });
    Peer chain = peer_from(pem);
    const identityd_datum der = { chain.der[0].data, chain.der[0].size };
    identityd_peer *peer = NULL;

    assert_int_equal(check(pem, "spiffe://Fleet.example/Device/7", "client", 0), 0);
    assert_int_equal(check(pem, "SPIFFE://fleet.example/Device/7", "client", 0), 0);
    assert_int_equal(check(pem, "spiffe://fleet.example/device/7", "client", 0), -EKEYREJECTED);
    assert_error_says("is not for the URI spiffe://fleet.example/device/7: its subject alternative names are");
    assert_int_equal(check(pem, "urn:x", "client", 0), -EKEYREJECTED);
    assert_int_equal(check(pem, "2001:db8::1", "client", 0), -EKEYREJECTED);
    assert_error_says("is not for the name 2001:db8::1");

    assert_int_equal(identityd_peer_verify(credential, &der, 1, "b.example", "client", 0, &peer), -EKEYREJECTED);
    assert_null(peer);
    assert_int_equal(identityd_peer_verify(credential, &der, 1, "a.example", "client", 0, &peer), 0);
    assert_string_equal(identityd_peer_subject(peer), "CN=x");
    assert_int_equal(strlen(identityd_peer_sha256(peer)), 64);
    assert_string_equal(identityd_peer_names(peer)[0], "dns:a.example");
    assert_string_equal(identityd_peer_names(peer)[1], "uri:spiffe://Fleet.example/Device/7");
    assert_null(identityd_peer_names(peer)[2]);
    assert_null(identityd_peer_free(peer));
    assert_null(identityd_peer_free(NULL));
    peer_clear(&chain);
    free(pem);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_credential, teardown_credential)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_good),       TEST(test_name_and_usage),    TEST(test_dates),
        TEST(test_stranger),   TEST(test_garbage),           TEST(test_intermediate),
        TEST(test_revoked),    TEST(test_crl_demanded),      TEST(test_no_or_bad_anchors),
        TEST(test_handshakes), TEST(test_uri_and_who_it_is),
    };

    return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
