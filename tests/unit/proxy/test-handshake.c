/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One handshake of a proxy, with handles that are signed for by a software key, against peers of GnuTLS: whom each role
 * lets in, whom it refuses and with which words, and what is the identity's fault. */
#include "proxy/handshake.h"

#include "lab.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

typedef struct Fixture {
    ProxySettings settings;
    identityd_credential *credential;
    identityd_gnutls_credentials *credentials;
    int wire[2];
    Handshake handshake;
    gnutls_session_t peer;
    int peer_code;
} Fixture;

/* As a server, or as a client of server.example, to a peer with these credentials. */
static Fixture *begin(bool server, gnutls_certificate_credentials_t peer) {
    Fixture *fixture = calloc(1, sizeof *fixture);

    assert_non_null(fixture);
    fixture->settings = (ProxySettings) { .server = server, .name = server ? NULL : "server.example" };
    if (identityd_credential_open("demo", server ? "tls-server" : "tls-client", &fixture->credential) < 0)
        fail_msg("%s", identityd_last_error());
    assert_int_equal(identityd_gnutls_credentials_new(fixture->credential, 0, &fixture->credentials), 0);
    lab_pair(fixture->wire);
    fixture->handshake =
        (Handshake) { .settings = &fixture->settings, .credentials = fixture->credentials, .fd = fixture->wire[0] };
    fixture->peer = lab_session(!server, fixture->wire[1], peer);
    fixture->peer_code = GNUTLS_E_AGAIN;
    return fixture;
}

static void end(Fixture *fixture) {
    handshake_clear(&fixture->handshake);
    assert_null(fixture->handshake.session);
    handshake_clear(&fixture->handshake); /* nothing more */
    gnutls_deinit(fixture->peer);
    identityd_gnutls_credentials_free(fixture->credentials);
    identityd_credential_free(fixture->credential);
    close_safe(fixture->wire[0]);
    close_safe(fixture->wire[1]);
    free(fixture);
}

/* Both sides in turns until ours has a result, and the peer has had what came of it. */
static HandshakeResult handshake(Fixture *fixture) {
    for (unsigned i = 0; i < 100 && fixture->handshake.result == HANDSHAKE_WAIT; i++) {
        handshake_step(&fixture->handshake);
        if (fixture->peer_code == GNUTLS_E_AGAIN)
            fixture->peer_code = lab_handshake_step(fixture->peer);
    }
    if (fixture->peer_code == GNUTLS_E_AGAIN)
        fixture->peer_code = lab_handshake_step(fixture->peer);
    return fixture->handshake.result;
}

static void assert_failure(Fixture *fixture, const char *part, bool identity_failed) {
    const Handshake *ours = &fixture->handshake;

    assert_int_equal(handshake(fixture), HANDSHAKE_FAILED);
    if (!strstr(ours->failure, part))
        fail_msg("expected \"%s\" in \"%s\"", part, ours->failure);
    assert_int_equal(ours->identity_failed, identity_failed);
    assert_true(ours->failure[strlen(ours->failure) - 1] != '.'); /* the log's line goes on, or ends, by itself */
    end(fixture);
}

/* The alert that a peer got, in the handshake or, after its end in TLS 1.3, with the first bytes. */
static int alert_of(Fixture *fixture) {
    char byte;

    if (fixture->peer_code == 0)
        fixture->peer_code = (int) gnutls_record_recv(fixture->peer, &byte, 1);
    return fixture->peer_code == GNUTLS_E_FATAL_ALERT_RECEIVED ? (int) gnutls_alert_get(fixture->peer) : -1;
}

/* ---- as a client ---- */

static void test_client(void **state) {
    Fixture *fixture = begin(false, lab.server);

    assert_int_equal(handshake(fixture), HANDSHAKE_DONE);
    assert_int_equal(fixture->peer_code, 0);
    assert_string_equal(fixture->handshake.peer, "CN=server");
    assert_int_equal(gnutls_protocol_get_version(fixture->handshake.session), GNUTLS_TLS1_3);
    unsigned count = 0;
    assert_non_null(gnutls_certificate_get_peers(fixture->peer, &count)); /* ours was asked for, and sent */
    assert_int_equal(count, 1);
    end(fixture);
}

/* The host, as in SNI. */
static void test_client_sends_the_name(void **state) {
    Fixture *fixture = begin(false, lab.server);
    char name[64];
    size_t size = sizeof name;
    unsigned type;

    assert_int_equal(handshake(fixture), HANDSHAKE_DONE);
    assert_int_equal(gnutls_server_name_get(fixture->peer, name, &size, &type, 0), 0);
    assert_string_equal(name, "server.example");
    end(fixture);
}

static void test_client_refuses_another_name(void **state) {
    Fixture *fixture = begin(false, lab.server);

    fixture->settings.name = "other.example";
    assert_failure(fixture, "is not for the name other.example", false);
}

static void test_client_refuses_a_stranger(void **state) {
    assert_failure(begin(false, lab.stranger), "does not verify", false);
}

/* A certificate for clients makes no server. */
static void test_client_refuses_another_purpose(void **state) {
    Fixture *fixture = begin(false, lab.client);

    fixture->settings.name = "client.example";
    assert_failure(fixture, "does not verify", false);
}

static void test_client_requires_a_crl(void **state) {
    Fixture *fixture = begin(false, lab.server);

    fixture->settings.require_crl = true;
    assert_failure(fixture, "no current CRL covers", false);
}

static void test_client_tells_why(void **state) {
    Fixture *fixture = begin(false, lab.stranger);

    assert_int_equal(handshake(fixture), HANDSHAKE_FAILED);
    assert_true(alert_of(fixture) >= 0);
    end(fixture);
}

/* ---- as a server ---- */

static void test_server(void **state) {
    Fixture *fixture = begin(true, lab.client);

    assert_int_equal(handshake(fixture), HANDSHAKE_DONE);
    assert_int_equal(fixture->peer_code, 0);
    assert_string_equal(fixture->handshake.peer, "CN=client");
    end(fixture);
}

static void test_server_wants_a_certificate(void **state) {
    assert_failure(begin(true, lab.nobody), "the peer shows no certificate", false);
}

static void test_server_refuses_a_stranger(void **state) {
    assert_failure(begin(true, lab.stranger), "does not verify", false);
}

static void test_server_refuses_another_purpose(void **state) {
    assert_failure(begin(true, lab.server), "does not verify", false);
}

static void test_server_requires_a_crl(void **state) {
    Fixture *fixture = begin(true, lab.client);

    fixture->settings.require_crl = true;
    assert_failure(fixture, "no current CRL covers", false);
}

static void test_server_lets_in_by_name(void **state) {
    static const ProxyName names[] = { { PROXY_NAME_CN, "somebody" }, { PROXY_NAME_DNS, "client.example" } };
    Fixture *fixture = begin(true, lab.client);

    memcpy(fixture->settings.allowed, names, sizeof names);
    fixture->settings.allowed_count = ARRAY_LENGTH(names);
    assert_int_equal(handshake(fixture), HANDSHAKE_DONE);
    assert_string_equal(fixture->handshake.peer_name, "DNS:client.example"); /* the one that counted */
    end(fixture);
}

static void test_server_refuses_other_names(void **state) {
    Fixture *fixture = begin(true, lab.client);

    fixture->settings.allowed[0] = (ProxyName) { PROXY_NAME_DNS, "other.example" };
    fixture->settings.allowed_count = 1;
    assert_int_equal(handshake(fixture), HANDSHAKE_FAILED);
    assert_string_equal(fixture->handshake.failure, "the client CN=client carries none of the names that are let in");
    assert_false(fixture->handshake.identity_failed);
    assert_int_equal(alert_of(fixture), GNUTLS_A_ACCESS_DENIED);
    end(fixture);
}

/* In TLS 1.3 a client refuses before it is done, which a server learns. */
static void test_a_client_that_refuses_us(void **state) {
    gnutls_certificate_credentials_t distrustful;
    assert_true(gnutls_certificate_allocate_credentials(&distrustful) >= 0);
    Fixture *fixture = begin(true, distrustful);

    assert_failure(fixture, "the peer refused: ", false);
    gnutls_certificate_free_credentials(distrustful);
}

/* ---- server names and protocols ---- */

/* In place of the name that the certificate must carry. */
static void test_client_sends_another_server_name(void **state) {
    Fixture *fixture = begin(false, lab.server);
    char name[64];
    size_t size = sizeof name;
    unsigned type;

    fixture->settings.sni[0] = "front.example";
    fixture->settings.sni_count = 1;
    assert_int_equal(handshake(fixture), HANDSHAKE_DONE);
    assert_int_equal(gnutls_server_name_get(fixture->peer, name, &size, &type, 0), 0);
    assert_string_equal(name, "front.example");
    assert_int_equal(gnutls_server_name_get(fixture->peer, name, &size, &type, 1),
                     GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE);
    end(fixture);
}

static void test_server_names(void **state) {
    static const struct {
        const char *asked, *failure; /* NULL: it is let in */
    } cases[] = {
        { "b.example", NULL },
        { "B.Example", NULL },
        { "c.example", "the client asks for the server name c.example, which is none of the server names (--sni)" },
        { "b.exampl", "which is none of the server names (--sni)" },
        { NULL, "the client asks for no server name, which is none of the server names (--sni)" },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        Fixture *fixture = begin(true, lab.client);
        fixture->settings.sni[0] = "a.example";
        fixture->settings.sni[1] = "b.example";
        fixture->settings.sni_count = 2;
        if (cases[i].asked)
            assert_int_equal(
                gnutls_server_name_set(fixture->peer, GNUTLS_NAME_DNS, cases[i].asked, strlen(cases[i].asked)), 0);
        if (!cases[i].failure) {
            assert_int_equal(handshake(fixture), HANDSHAKE_DONE);
            assert_string_equal(fixture->handshake.server_name, cases[i].asked);
            end(fixture);
            continue;
        }
        unsigned asked = fake_identityd_asked(lab.fake);
        assert_int_equal(handshake(fixture), HANDSHAKE_FAILED);
        assert_int_equal(alert_of(fixture), GNUTLS_A_UNRECOGNIZED_NAME);
        assert_int_equal(fake_identityd_asked(lab.fake), asked); /* the TPM has no work with it */
        fixture->handshake.result = HANDSHAKE_FAILED;
        assert_failure(fixture, cases[i].failure, false);
    }
}

/* What no list asks for is known all the same, for the program. */
static void test_any_server_name(void **state) {
    Fixture *fixture = begin(true, lab.client);

    assert_int_equal(gnutls_server_name_set(fixture->peer, GNUTLS_NAME_DNS, "c.example", 9), 0);
    assert_int_equal(handshake(fixture), HANDSHAKE_DONE);
    assert_string_equal(fixture->handshake.server_name, "c.example");
    assert_string_equal(fixture->handshake.common_name, "client");
    assert_string_equal(fixture->handshake.peer_name, "DNS:client.example");
    assert_true(strncmp(handshake_cipher(&fixture->handshake), "TLS_", 4) == 0);
    end(fixture);
}

static void offer(Fixture *fixture, const char *first, const char *second) {
    const gnutls_datum_t protocols[] = { { (unsigned char *) (uintptr_t) first, (unsigned) strlen(first) },
                                         { (unsigned char *) (uintptr_t) second, (unsigned) strlen(second) } };

    assert_int_equal(gnutls_alpn_set_protocols(fixture->peer, protocols, 2, 0), 0);
}

static void want_protocols(Fixture *fixture, const char *first, const char *second) {
    fixture->settings.alpn[0] = first;
    fixture->settings.alpn[1] = second;
    fixture->settings.alpn_count = 2;
}

/* The server's preference counts. */
static void test_protocols(void **state) {
    for (unsigned server = 0; server < 2; server++) {
        Fixture *fixture = begin(server, server ? lab.client : lab.server);
        want_protocols(fixture, "mqtt", "h2");
        offer(fixture, "h2", "mqtt");
        assert_int_equal(handshake(fixture), HANDSHAKE_DONE);
        if (server)
            assert_string_equal(fixture->handshake.protocol, "mqtt");
        else
            assert_true(fixture->handshake.protocol[0] != '\0');
        end(fixture);
    }
}

/* As many as there may be, as long as they may be: GnuTLS takes them. */
static void test_the_most_protocols(void **state) {
    static char names[PROXY_ALPN_MAX][PROXY_ALPN_BYTES + 1];
    Fixture *fixture = begin(true, lab.client);

    for (size_t i = 0; i < PROXY_ALPN_MAX; i++) {
        memset(names[i], 'a' + (int) i, PROXY_ALPN_BYTES);
        fixture->settings.alpn[i] = names[i];
    }
    fixture->settings.alpn_count = PROXY_ALPN_MAX;
    offer(fixture, names[PROXY_ALPN_MAX - 1], "other");
    assert_int_equal(handshake(fixture), HANDSHAKE_DONE);
    assert_string_equal(fixture->handshake.protocol, names[PROXY_ALPN_MAX - 1]);
    end(fixture);
}

static void test_server_has_none_of_the_protocols(void **state) {
    Fixture *fixture = begin(true, lab.client);

    want_protocols(fixture, "mqtt", "h2");
    offer(fixture, "http/1.1", "ftp");
    assert_int_equal(handshake(fixture), HANDSHAKE_FAILED);
    assert_int_equal(alert_of(fixture), GNUTLS_A_NO_APPLICATION_PROTOCOL);
    assert_failure(fixture, "the client offers none of the protocols (--alpn)", false);
}

/* RFC 7301 leaves a client free to say nothing of it. */
static void test_a_client_without_protocols(void **state) {
    Fixture *fixture = begin(true, lab.client);

    want_protocols(fixture, "mqtt", "h2");
    assert_int_equal(handshake(fixture), HANDSHAKE_DONE);
    assert_string_equal(fixture->handshake.protocol, "");
    end(fixture);
}

/* A server that speaks none of them, or has never heard of it, speaks something else. */
static void test_a_server_without_protocols(void **state) {
    Fixture *fixture = begin(false, lab.server);

    want_protocols(fixture, "mqtt", "h2");
    assert_int_equal(handshake(fixture), HANDSHAKE_FAILED);
    assert_int_equal(alert_of(fixture), GNUTLS_A_NO_APPLICATION_PROTOCOL);
    assert_failure(fixture, "the server chooses none of the protocols (--alpn)", false);
}

/* ---- peers that speak something else, or nothing ---- */

static void test_silence(void **state) {
    Fixture *fixture = begin(true, lab.client);

    for (unsigned i = 0; i < 3; i++) {
        handshake_step(&fixture->handshake);
        assert_int_equal(fixture->handshake.result, HANDSHAKE_WAIT);
    }
    end(fixture);
}

static void test_a_peer_that_hangs_up(void **state) {
    Fixture *fixture = begin(true, lab.client);

    fixture->wire[1] = close_safe(fixture->wire[1]);
    handshake_step(&fixture->handshake);
    assert_int_equal(fixture->handshake.result, HANDSHAKE_FAILED);
    assert_false(fixture->handshake.identity_failed);
    end(fixture);
}

/* Wherever in its first record, and before or after what came was looked at: the proxy watches for edges, so no further
 * event comes. */
static void test_a_peer_that_hangs_up_in_a_record(void **state) {
    static const uint8_t record[] = { 0x16, 3, 1, 0, 0xf3, 1, 0, 0, 0xef, 3, 3, 0, 0, 0, 0, 0 };

    for (size_t size = 1; size <= sizeof record; size++)
        for (unsigned looks = 0; looks < 2; looks++) {
            Fixture *fixture = begin(true, lab.client);
            assert_int_equal(send(fixture->wire[1], record, size, 0), size);
            if (looks > 0)
                handshake_step(&fixture->handshake);
            assert_int_equal(fixture->handshake.result, HANDSHAKE_WAIT);
            assert_int_equal(shutdown(fixture->wire[1], SHUT_WR), 0);
            handshake_step(&fixture->handshake);
            assert_int_equal(fixture->handshake.result, HANDSHAKE_FAILED);
            assert_true(fixture->handshake.failure[0] != '\0');
            end(fixture);
        }
}

/* A ClientHello that does not end, a byte a record. */
static void send_pieces(Fixture *fixture, size_t count) {
    static const uint8_t begins[] = { 1, 0, 0x3f, 0xff, 3, 3 };
    uint8_t records[2048][6];

    assert_true(count <= ARRAY_LENGTH(records));
    for (size_t i = 0; i < count; i++) {
        const uint8_t record[] = { 0x16, 3, 1, 0, 1, i < sizeof begins ? begins[i] : 0 };
        memcpy(records[i], record, sizeof record);
    }
    assert_int_equal(send(fixture->wire[1], records, count * 6U, 0), count * 6U);
}

/* All that has come is read, in however many records: no further event tells of it. */
static void test_a_message_in_many_records(void **state) {
    Fixture *fixture = begin(true, lab.client);
    char byte;

    send_pieces(fixture, 1000);
    handshake_step(&fixture->handshake);
    assert_int_equal(fixture->handshake.result, HANDSHAKE_WAIT);
    assert_int_equal(recv(fixture->wire[0], &byte, 1, MSG_PEEK | MSG_DONTWAIT), -1);
    end(fixture);
}

/* … but nobody keeps a worker with it. */
static void test_a_message_in_too_many_records(void **state) {
    Fixture *fixture = begin(true, lab.client);

    send_pieces(fixture, 2048);
    handshake_step(&fixture->handshake);
    assert_int_equal(fixture->handshake.result, HANDSHAKE_FAILED);
    assert_non_null(strstr(fixture->handshake.failure, "too many pieces"));
    assert_false(fixture->handshake.identity_failed);
    end(fixture);
}

static void test_no_tls(void **state) {
    static const char text[] = "GET / HTTP/1.0\r\nHost: client.example\r\n\r\n";
    Fixture *fixture = begin(true, lab.client);

    assert_int_equal(send(fixture->wire[1], text, sizeof text - 1, 0), sizeof text - 1);
    for (unsigned i = 0; i < 10 && fixture->handshake.result == HANDSHAKE_WAIT; i++)
        handshake_step(&fixture->handshake);
    assert_int_equal(fixture->handshake.result, HANDSHAKE_FAILED);
    assert_true(fixture->handshake.failure[0] != '\0');
    end(fixture);
}

static void test_an_older_protocol(void **state) {
    Fixture *fixture = begin(true, lab.client);

    assert_true(gnutls_priority_set_direct(fixture->peer, "NORMAL:-VERS-ALL:+VERS-TLS1.2", NULL) >= 0);
    assert_int_equal(handshake(fixture), HANDSHAKE_FAILED);
    assert_true(alert_of(fixture) >= 0);
    end(fixture);
}

/* ---- the identity's fault: a client may begin again ---- */

static void test_identityd_goes_in_the_midst(void **state) {
    for (unsigned server = 0; server < 2; server++) {
        fake_identityd_set_fault(lab.fake, FAKE_FAULT_NONE);
        Fixture *fixture = begin(server, server ? lab.client : lab.server);
        fake_identityd_set_fault(lab.fake, FAKE_FAULT_CLOSE_AT_SIGN);
        assert_failure(fixture, "demo", true);
    }
    fake_identityd_set_fault(lab.fake, FAKE_FAULT_NONE);
}

static void test_identityd_does_not_sign(void **state) {
    for (unsigned server = 0; server < 2; server++) {
        lab_set_identity(1, "ready");
        Fixture *fixture = begin(server, server ? lab.client : lab.server);
        lab_block_identity(FAILURE_TPM_UNAVAILABLE);
        assert_failure(fixture, "the fake blocks this identity", true);
    }
    lab_set_identity(1, "ready");
}

/* A handle that identityd has closed is opened again, where that is allowed. */
static void test_a_handle_that_is_closed(void **state) {
    Fixture *fixture = begin(false, lab.server);

    fake_identityd_close_handles(lab.fake);
    (void) identityd_credential_process(fixture->credential);
    assert_int_equal(handshake(fixture), HANDSHAKE_DONE);
    end(fixture);
    fixture = begin(false, lab.server);
    fake_identityd_refuse(lab.fake, "org.identityd1.Error.AccessDenied", "not any more.");
    fake_identityd_close_handles(lab.fake);
    (void) identityd_credential_process(fixture->credential);
    assert_failure(fixture, "not any more", true);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, lab_setup_identity, lab_teardown_identity)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_client),
        TEST(test_client_sends_the_name),
        TEST(test_client_refuses_another_name),
        TEST(test_client_refuses_a_stranger),
        TEST(test_client_refuses_another_purpose),
        TEST(test_client_requires_a_crl),
        TEST(test_client_tells_why),
        TEST(test_server),
        TEST(test_server_wants_a_certificate),
        TEST(test_server_refuses_a_stranger),
        TEST(test_server_refuses_another_purpose),
        TEST(test_server_requires_a_crl),
        TEST(test_server_lets_in_by_name),
        TEST(test_server_refuses_other_names),
        TEST(test_a_client_that_refuses_us),
        TEST(test_client_sends_another_server_name),
        TEST(test_server_names),
        TEST(test_any_server_name),
        TEST(test_protocols),
        TEST(test_the_most_protocols),
        TEST(test_server_has_none_of_the_protocols),
        TEST(test_a_client_without_protocols),
        TEST(test_a_server_without_protocols),
        TEST(test_silence),
        TEST(test_a_peer_that_hangs_up),
        TEST(test_a_peer_that_hangs_up_in_a_record),
        TEST(test_a_message_in_many_records),
        TEST(test_a_message_in_too_many_records),
        TEST(test_no_tls),
        TEST(test_an_older_protocol),
        TEST(test_identityd_goes_in_the_midst),
        TEST(test_identityd_does_not_sign),
        TEST(test_a_handle_that_is_closed),
    };

    return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
