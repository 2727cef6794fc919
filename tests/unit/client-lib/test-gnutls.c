/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The GnuTLS binding: mutual TLS between two handles of a fake identityd, across renewals, restarts, forks and
 * revocation, and the URL. */
#include "tls-pair.h"

#include <gnutls/abstract.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void open_both(Party *client, Party *server) {
    party_open(client, "device", "tls-client");
    party_open(server, "service", "tls-server");
}

static void clear_both(Party *client, Party *server) {
    party_clear(client);
    party_clear(server);
}

static void assert_connects(Party *client, Party *server) {
    if (connect_parties(client, server) < 0)
        fail_msg("client %d (%s), server %d (%s)", client->result, client->error, server->result, server->error);
}

static void assert_fails(Party *client, Party *server, const char *client_says, const char *server_says) {
    assert_int_equal(connect_parties(client, server), -1);
    if (client_says && !strstr(client->error, client_says))
        fail_msg("client: '%s' does not say '%s'", client->error, client_says);
    if (server_says && !strstr(server->error, server_says))
        fail_msg("server: '%s' does not say '%s'", server->error, server_says);
}

static void test_mutual(void **state) {
    Party client, server;

    open_both(&client, &server);
    assert_connects(&client, &server);
    /* one signature a side, none wasted */
    assert_int_equal(fake_identityd_asked(fixture.fake), 2);
    client.priority = server.priority = "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM";
    assert_connects(&client, &server);
    /* with a HelloRetryRequest */
    client.priority = "NORMAL:-VERS-ALL:+VERS-TLS1.3:-GROUP-ALL:+GROUP-SECP256R1:+GROUP-SECP384R1";
    server.priority = "NORMAL:-VERS-ALL:+VERS-TLS1.3:-GROUP-ALL:+GROUP-SECP384R1";
    assert_connects(&client, &server);
    clear_both(&client, &server);
}

static void test_algorithms(void **state) {
    static const FakeKeyType types[] = { FAKE_KEY_P384, FAKE_KEY_RSA };

    for (size_t i = 0; i < ARRAY_LENGTH(types); i++) {
        gnutls_privkey_t key = fake_key_new(types[i]);
        char *chain = fake_ca_issue(fixture.ca, key, &(FakeRequest) { .common_name = "device", .client = true });
        Party client, server;
        fake_identityd_set(
            fixture.fake,
            &(FakeIdentity) {
                .name = "device", .generation = 3, .key = key, .chain = chain, .anchors = fixture.ca->pem });
        open_both(&client, &server);
        assert_connects(&client, &server);
        clear_both(&client, &server);
        fake_identityd_remove(fixture.fake, "device");
        free(chain);
        gnutls_privkey_deinit(key);
    }
}

static void test_across_renewals(void **state) {
    Party client, server;

    open_both(&client, &server);
    for (uint32_t i = 0; i < 30; i++) {
        set_device(1 + i % 2, NULL, NULL);
        if (i % 3 == 0)
            set_service(1 + i / 3 % 2, NULL, NULL, NULL);
        assert_connects(&client, &server);
    }
    assert_int_equal(fake_identityd_opened(fixture.fake), 2);
    clear_both(&client, &server);
}

typedef struct Renewer {
    atomic_bool stop;
} Renewer;

static void *renew(void *userdata) {
    Renewer *renewer = userdata;

    for (uint32_t i = 0; !renewer->stop; i++) {
        set_device(1 + i % 2, NULL, NULL);
        set_service(2 - i % 2, NULL, NULL, NULL);
        usleep(300);
    }
    return NULL;
}

/* Renewals at any point of a handshake, also between its certificate and its signature. */
static void test_renewals_at_any_time(void **state) {
    Renewer renewer = { .stop = false };
    Party client, server;
    pthread_t thread;

    open_both(&client, &server);
    assert_int_equal(pthread_create(&thread, NULL, renew, &renewer), 0);
    for (unsigned i = 0; i < 60; i++)
        assert_connects(&client, &server);
    renewer.stop = true;
    pthread_join(thread, NULL);
    clear_both(&client, &server);
}

static void test_restart(void **state) {
    Party client, server;

    open_both(&client, &server);
    assert_connects(&client, &server);
    fake_identityd_close_handles(fixture.fake);
    assert_connects(&client, &server); /* opened again by itself */
    assert_int_equal(fake_identityd_opened(fixture.fake), 4);

    /* while it is away: refused, with few attempts; and back */
    fake_identityd_refuse(fixture.fake, "org.identityd1.Error.Busy", "Away.");
    fake_identityd_close_handles(fixture.fake);
    for (unsigned i = 0; i < 50; i++)
        assert_fails(&client, &server, "", "");
    assert_true(fake_identityd_opened(fixture.fake) <= 6);
    fake_identityd_refuse(fixture.fake, NULL, NULL);
    for (unsigned i = 0; i < 60 && connect_parties(&client, &server) < 0; i++)
        usleep(100000);
    assert_connects(&client, &server);
    clear_both(&client, &server);
}

/* identityd goes away between the certificate and the signature. */
static void test_closed_at_signature(void **state) {
    Party client, server;

    open_both(&client, &server);
    fake_identityd_set_fault(fixture.fake, FAKE_FAULT_CLOSE_AT_SIGN);
    assert_fails(&client, &server, NULL, "closed the credential handle");
    fake_identityd_set_fault(fixture.fake, FAKE_FAULT_NONE);
    usleep(1200000);
    assert_connects(&client, &server);
    clear_both(&client, &server);
}

static void test_fork(void **state) {
    Party client, server;
    int status;

    open_both(&client, &server);
    assert_connects(&client, &server);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(connect_parties(&client, &server) < 0 ? 1 : 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_connects(&client, &server);
    clear_both(&client, &server);
}

static void test_wrong_side(void **state) {
    Party client, server;

    party_open(&client, "device", "tls-client");
    party_open(&server, "service", "tls-client");
    assert_fails(&client, &server, NULL, "tls-client credential cannot authenticate this side");
    clear_both(&client, &server);
    party_open(&client, "device", "tls-server");
    party_open(&server, "service", "tls-server");
    assert_fails(&client, &server, "tls-server credential cannot authenticate this side", NULL);
    clear_both(&client, &server);
    assert_int_equal(fake_identityd_signed(fixture.fake), 1); /* the second server's own */
}

static void test_data_purpose(void **state) {
    Party client, server;

    open_both(&client, &server);
    party_clear(&client);
    party_open(&client, "device", "data-raw");
    assert_fails(&client, &server, "data-raw credential cannot authenticate", NULL);
    clear_both(&client, &server);
}

static void test_tls12(void **state) {
    static const char tls12[] = "NORMAL:-VERS-ALL:+VERS-TLS1.2";
    Party client, server;

    open_both(&client, &server);
    client.priority = server.priority = tls12;
    assert_fails(&client, &server, NULL, "TLS1.2");
    clear_both(&client, &server);

    party_open(&client, "device", "digest");
    party_open(&server, "service", "digest");
    client.priority = server.priority = tls12;
    assert_connects(&client, &server);
    client.priority = server.priority = "NORMAL";
    assert_connects(&client, &server);
    clear_both(&client, &server);
}

static void test_tls13_only_by_default(void **state) {
    Party client, server;

    open_both(&client, &server);
    client.flags = IDENTITYD_GNUTLS_KEEP_PRIORITY;
    client.priority = "NORMAL:-VERS-ALL:+VERS-TLS1.2";
    assert_int_equal(connect_parties(&client, &server), -1);
    assert_true(server.result < 0);
    assert_int_equal(fake_identityd_asked(fixture.fake), 0);
    clear_both(&client, &server);
}

static void test_tickets(void **state) {
    unsigned none[] = { 99, 0 };
    char *crl = fake_ca_crl(fixture.ca, none, 3600);
    Party client, server;

    open_both(&client, &server);
    client.flags = IDENTITYD_GNUTLS_RESUME;
    for (unsigned i = 0; i < 2; i++) { /* nobody gave tickets */
        assert_connects(&client, &server);
        assert_false(client.resumed);
    }
    server.flags = IDENTITYD_GNUTLS_TICKETS;
    client.flags |= IDENTITYD_GNUTLS_TICKETS; /* which is for servers, and nothing to a client */
    assert_connects(&client, &server);
    assert_false(client.resumed);
    assert_connects(&client, &server);
    assert_true(client.resumed);

    set_service(1, NULL, crl, NULL); /* a CRL came: the old tickets are void */
    assert_connects(&client, &server);
    assert_false(client.resumed);
    assert_connects(&client, &server);
    assert_true(client.resumed);
    set_service(1, NULL, crl, "revoked");
    assert_connects(&client, &server); /* the fake signs on */
    assert_false(client.resumed);
    clear_both(&client, &server);
    free(crl);
}

/* A resumption asks nobody in GnuTLS. A server asks all again before it takes the client's Finished. */
static void test_resumed_clients_are_verified(void **state) {
    unsigned bad[] = { 11, 0 };
    Party client, server;

    open_both(&client, &server);
    client.flags = IDENTITYD_GNUTLS_RESUME;
    server.flags = IDENTITYD_GNUTLS_TICKETS;
    assert_connects(&client, &server);
    assert_connects(&client, &server);
    assert_true(client.resumed);
    server.flags |= IDENTITYD_VERIFY_CRL_HARD; /* stronger flags than those by which the client came in */
    assert_int_equal(connect_parties(&client, &server), -1);
    assert_non_null(strstr(server.error, "no current CRL covers"));
    server.flags = IDENTITYD_GNUTLS_TICKETS;
    assert_connects(&client, &server);
    assert_true(client.resumed);
    server.host = "somebody.else"; /* … or another name */
    assert_int_equal(connect_parties(&client, &server), -1);
    assert_non_null(strstr(server.error, "is not for the name somebody.else"));
    server.host = NULL;

    char *crl = fake_ca_crl(fixture.ca, bad, 3600);
    set_service(1, NULL, crl, NULL);
    free(crl);
    assert_int_equal(connect_parties(&client, &server), -1);
    clear_both(&client, &server);
}

/* Whose session a client resumes it learns after the handshake only, and must say that it asks then. */
static void test_resumed_servers(void **state) {
    Party client, server;

    open_both(&client, &server);
    server.flags = IDENTITYD_GNUTLS_TICKETS;
    assert_connects(&client, &server);
    assert_int_equal(connect_parties(&client, &server), -1);
    assert_non_null(strstr(client.error, "IDENTITYD_GNUTLS_RESUME"));
    client.flags = IDENTITYD_GNUTLS_RESUME;
    client.asks_again = "service.example";
    assert_connects(&client, &server);
    assert_true(client.resumed);
    assert_int_equal(client.again, 0);
    assert_string_equal(client.peer, "dns:service.example");
    client.asks_again = "other.example";
    assert_connects(&client, &server);
    assert_true(client.resumed);
    assert_int_equal(client.again, -EKEYREJECTED);
    clear_both(&client, &server);
}

static void test_begin_and_end(void **state) {
    gnutls_session_t session;
    Party client;

    party_open(&client, "device", "tls-client");
    assert_int_equal(gnutls_init(&session, GNUTLS_CLIENT), 0);
    assert_int_equal(identityd_gnutls_session_begin(NULL, session, NULL, 0), -EINVAL);
    assert_int_equal(identityd_gnutls_session_begin(client.credentials, NULL, NULL, 0), -EINVAL);
    assert_int_equal(identityd_gnutls_session_begin(client.credentials, session, "", 0), -EINVAL);
    assert_int_equal(identityd_gnutls_session_begin(client.credentials, session, NULL, 0x80000000), -EINVAL);
    assert_int_equal(identityd_gnutls_session_begin(client.credentials, session, "a.example", 0), 0);
    assert_int_equal(identityd_gnutls_session_begin(client.credentials, session, "a.example", 0), -EALREADY);
    identityd_gnutls_session_end(session);
    identityd_gnutls_session_end(session);
    assert_int_equal(identityd_gnutls_session_begin(client.credentials, session, "192.0.2.1", 0), 0);
    gnutls_deinit(session); /* without the end: nothing leaks */
    assert_int_equal(identityd_gnutls_credentials_new(NULL, 0, &client.credentials), -EINVAL);
    assert_int_equal(identityd_gnutls_credentials_new(client.credential, 0x4000, &client.credentials), -EINVAL);
    assert_null(identityd_gnutls_credentials_free(NULL));
    party_clear(&client);
}

/* ---- the URL ---- */

static int load_url(const char *url, gnutls_certificate_credentials_t *ret) {
    assert_int_equal(identityd_gnutls_register_url(), 0);
    assert_int_equal(identityd_gnutls_register_url(), 0);
    assert_int_equal(gnutls_certificate_allocate_credentials(ret), 0);
    return gnutls_certificate_set_x509_key_file(*ret, url, url, GNUTLS_X509_FMT_PEM);
}

/* A server of ours, and a client that is any GnuTLS program. */
static int connect_url(gnutls_certificate_credentials_t credentials, Party *server, const char *priority) {
    gnutls_session_t session;
    int fds[2], c = GNUTLS_E_AGAIN, s = GNUTLS_E_AGAIN;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(gnutls_init(&session, GNUTLS_CLIENT | GNUTLS_NONBLOCK), 0);
    assert_int_equal(gnutls_init(&server->session, GNUTLS_SERVER | GNUTLS_NONBLOCK), 0);
    assert_int_equal(identityd_gnutls_session_begin(server->credentials, server->session, NULL, 0), 0);
    gnutls_certificate_server_set_request(server->session, GNUTLS_CERT_REQUIRE);
    assert_int_equal(gnutls_priority_set_direct(session, priority, NULL), 0);
    assert_int_equal(gnutls_priority_set_direct(server->session, priority, NULL), 0);
    assert_int_equal(gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials), 0);
    gnutls_transport_set_int(session, fds[0]);
    gnutls_transport_set_int(server->session, fds[1]);
    for (unsigned i = 0; i < 100 && (c != 0 || s != 0); i++) {
        if (c != 0)
            c = gnutls_handshake(session);
        if (s != 0)
            s = gnutls_handshake(server->session);
        if ((c < 0 && gnutls_error_is_fatal(c)) || (s < 0 && gnutls_error_is_fatal(s)))
            break;
    }
    gnutls_deinit(session);
    gnutls_deinit(server->session);
    server->session = NULL;
    close(fds[0]);
    close(fds[1]);
    return c ? c : s;
}

static void test_url(void **state) {
    gnutls_certificate_credentials_t credentials;
    Party server;

    assert_int_equal(load_url("identityd:device", &credentials), 0);
    party_open(&server, "service", "digest");
    assert_int_equal(connect_url(credentials, &server, "NORMAL"), 0);
    assert_int_equal(connect_url(credentials, &server, "NORMAL:-VERS-ALL:+VERS-TLS1.2"), 0);

    /* an old generation that is gone does not matter while the key is the same */
    fake_identityd_forget_generation(fixture.fake, "device", 1);
    assert_int_not_equal(connect_url(credentials, &server, "NORMAL"), 0);
    fake_identityd_set(fixture.fake, &(FakeIdentity) { .name = "device",
                                                       .generation = 3,
                                                       .key = fixture.key,
                                                       .chain = fixture.chain,
                                                       .anchors = fixture.ca->pem });
    assert_int_equal(connect_url(credentials, &server, "NORMAL"), 0);
    set_device(2, NULL, NULL);
    fake_identityd_forget_generation(fixture.fake, "device", 3);
    assert_int_not_equal(connect_url(credentials, &server, "NORMAL"), 0);
    assert_error_says("new key");
    party_clear(&server);
    gnutls_certificate_free_credentials(credentials);
}

static void test_url_rsa_pkcs1(void **state) {
    gnutls_certificate_credentials_t credentials;
    Party server;

    fake_identityd_set(fixture.fake, &(FakeIdentity) { .name = "rsa",
                                                       .generation = 1,
                                                       .key = fixture.rsa_key,
                                                       .chain = fixture.rsa_chain,
                                                       .anchors = fixture.ca->pem });
    assert_int_equal(load_url("identityd:rsa?purpose=digest", &credentials), 0);
    party_open(&server, "service", "digest");
    assert_int_equal(connect_url(credentials, &server,
                                 "NORMAL:-VERS-ALL:+VERS-TLS1.2:-SIGN-ALL:+SIGN-RSA-SHA256"
                                 ":+SIGN-ECDSA-SHA256"),
                     0);
    party_clear(&server);
    gnutls_certificate_free_credentials(credentials);
}

static void test_url_chain(void **state) {
    FakeCa *intermediate = fake_ca_new("Fake Intermediate", fixture.ca);
    char *leaf = fake_ca_issue(intermediate, fixture.key, &(FakeRequest) { .common_name = "deep", .client = true });
    char *chain = fake_concat(leaf, intermediate->pem);
    gnutls_certificate_credentials_t credentials;
    gnutls_x509_crt_t *list = NULL;
    unsigned count = 0;

    fake_identityd_set(fixture.fake,
                       &(FakeIdentity) { .name = "deep", .generation = 1, .key = fixture.key, .chain = chain });
    assert_int_equal(load_url("identityd:deep", &credentials), 0);
    assert_int_equal(gnutls_certificate_get_x509_crt(credentials, 0, &list, &count), 0);
    assert_int_equal(count, 2); /* the issuer came along */
    for (unsigned i = 0; i < count; i++)
        gnutls_x509_crt_deinit(list[i]);
    gnutls_free(list);
    gnutls_certificate_free_credentials(credentials);
    free(leaf);
    free(chain);
    fake_ca_free(intermediate);
}

static void test_url_pubkey(void **state) {
    gnutls_pubkey_t pubkey;

    assert_int_equal(identityd_gnutls_register_url(), 0);
    assert_int_equal(gnutls_pubkey_init(&pubkey), 0);
    assert_int_equal(gnutls_pubkey_import_url(pubkey, "identityd:device", 0), 0);
    assert_int_equal(gnutls_pubkey_get_pk_algorithm(pubkey, NULL), GNUTLS_PK_ECDSA);
    gnutls_pubkey_deinit(pubkey);
}

static void test_bad_urls(void **state) {
    static const struct {
        const char *url, *says;
    } table[] = {
        { "identityd:", "'identityd:': not a name of an identity, or no purpose" },
        { "identityd:nobody", "nobody" },
        { "identityd:Device", "Device" },
        { "identityd:Device/", "'identityd:Device/': not a name of an identity, or no purpose" },
        { "identityd:../x", "'identityd:../x': not a name of an identity, or no purpose" },
        { "identityd:device?", "'identityd:device?': only ?purpose= may follow the name" },
        { "identityd:device?pin=1", "only ?purpose= may follow the name" },
        { "identityd:device?purpose=", "not a name of an identity, or no purpose" },
        { "identityd:device?purpose=all", "not a name of an identity, or no purpose" },
        { "identityd:device?purpose=digest&x", "not a name of an identity, or no purpose" },
        { "identityd:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
          "is no URL identityd:NAME" },
    };

    assert_int_equal(identityd_gnutls_register_url(), 0);
    assert_int_equal(identityd_gnutls_register_url(), 0); /* as two libraries of one program may */
    for (size_t i = 0; i < ARRAY_LENGTH(table); i++) {
        gnutls_privkey_t key;
        gnutls_x509_crt_t certificate;
        assert_int_equal(gnutls_privkey_init(&key), 0);
        assert_int_equal(gnutls_x509_crt_init(&certificate), 0);
        assert_true(gnutls_privkey_import_url(key, table[i].url, 0) < 0);
        assert_error_says(table[i].says);
        assert_true(gnutls_x509_crt_import_url(certificate, table[i].url, 0) < 0);
        assert_error_says(table[i].says);
        gnutls_privkey_deinit(key);
        gnutls_x509_crt_deinit(certificate);
    }
}

static void test_url_of_tls_purpose_signs_nothing_else(void **state) {
    gnutls_datum_t data = { (unsigned char *) "x", 1 }, signature = { NULL, 0 };
    gnutls_privkey_t key;

    assert_int_equal(identityd_gnutls_register_url(), 0);
    assert_int_equal(gnutls_privkey_init(&key), 0);
    assert_int_equal(gnutls_privkey_import_url(key, "identityd:device?purpose=tls-client", 0), 0);
    assert_int_equal(gnutls_privkey_sign_data2(key, GNUTLS_SIGN_ECDSA_SHA256, 0, &data, &signature),
                     GNUTLS_E_INSUFFICIENT_CREDENTIALS);
    assert_error_says("and nothing else: this is none");
    assert_int_equal(fake_identityd_asked(fixture.fake), 0);
    gnutls_privkey_deinit(key);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_tls, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_mutual),
        TEST(test_algorithms),
        TEST(test_across_renewals),
        TEST(test_renewals_at_any_time),
        TEST(test_restart),
        TEST(test_closed_at_signature),
        TEST(test_fork),
        TEST(test_wrong_side),
        TEST(test_data_purpose),
        TEST(test_tls12),
        TEST(test_tls13_only_by_default),
        TEST(test_tickets),
        TEST(test_resumed_clients_are_verified),
        TEST(test_resumed_servers),
        TEST(test_begin_and_end),
        TEST(test_url),
        TEST(test_url_rsa_pkcs1),
        TEST(test_url_chain),
        TEST(test_url_pubkey),
        TEST(test_bad_urls),
        TEST(test_url_of_tls_purpose_signs_nothing_else),
    };

    return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
