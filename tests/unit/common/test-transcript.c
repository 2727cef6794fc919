/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The transcript against GnuTLS itself: two sessions over a socket pair, each side signing only through
 * transcript_hash_for. A wrong hash cannot pass, since the other side verifies the signature that is made from
 * it, with its own transcript. */
#include "common/transcript.h"

#include <fcntl.h>
#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

typedef struct Side {
    TlsSide side;
    gnutls_session_t session;
    gnutls_certificate_credentials_t credentials;
    gnutls_privkey_t software; /* the real key */
    gnutls_pcert_st certificate;
    Transcript *transcript;
    int socket;
    unsigned signatures; /* made from a transcript */
    unsigned refusals;   /* -ENOMSG */
    unsigned messages;   /* signatures made from the messages of TLS 1.2 */
    int without;         /* why there were none */
    size_t hash_size;    /* of the last one */
    bool corrupt;        /* offer a digest that is not the session's */
    bool other_side;     /* ask for the other side's content */
    bool plain_allowed;  /* TLS 1.2: sign the digest after the refusal */
} Side;

typedef struct Setup {
    const char *client_priority, *server_priority;
    bool rsa, tickets, post_handshake, corrupt, other_side, plain_allowed;
} Setup;

static int sign_hash(gnutls_privkey_t key, gnutls_sign_algorithm_t algorithm, void *userdata, unsigned flags,
                     const gnutls_datum_t *hash, gnutls_datum_t *signature) {
    Side *side = userdata;
    gnutls_digest_algorithm_t digest = gnutls_sign_get_hash_algorithm(algorithm);
    uint8_t transcript_hash[48], altered[64], content[CERTIFICATE_VERIFY_MAX];
    BytesView view = { hash->data, hash->size };
    TlsSide wanted = side->side;
    size_t size = 0;

    if (side->corrupt) {
        memcpy(altered, hash->data, hash->size);
        altered[hash->size - 1] ^= 1;
        view.data = altered;
    }
    if (side->other_side)
        wanted = wanted == TLS_SIDE_CLIENT ? TLS_SIDE_SERVER : TLS_SIDE_CLIENT;

    int r = side->transcript ? transcript_hash_for(side->transcript, wanted, digest, view, transcript_hash, &size)
                             : -ENOMSG;
    if (r < 0) {
        assert_int_equal(r, -ENOMSG);
        side->refusals++;
        if (!side->plain_allowed)
            return GNUTLS_E_PK_SIGN_FAILED;
        BytesView messages;
        side->without = transcript_messages_for(side->transcript, digest, view, &messages);
        if (side->without == 0) {
            side->messages++;
            gnutls_datum_t all = { (uint8_t *) (uintptr_t) messages.data, (unsigned) messages.size };
            return gnutls_privkey_sign_data2(side->software, algorithm, 0, &all, signature);
        }
        return gnutls_privkey_sign_hash2(side->software, algorithm, 0, hash, signature);
    }

    side->signatures++;
    side->hash_size = size;
    BytesView none;
    assert_int_equal(transcript_messages_for(side->transcript, digest, view, &none), -ENOMSG); /* of TLS 1.3 */
    int length = certificate_verify_build(side->side, (BytesView) { transcript_hash, size }, content);
    assert_true(length > 0);
    gnutls_datum_t data = { content, (unsigned) length };
    return gnutls_privkey_sign_data2(side->software, algorithm, 0, &data, signature);
}

static int key_info(gnutls_privkey_t key, unsigned flags, void *userdata) {
    Side *side = userdata;
    bool rsa = gnutls_privkey_get_pk_algorithm(side->software, NULL) == GNUTLS_PK_RSA;

    if (flags & GNUTLS_PRIVKEY_INFO_PK_ALGO)
        return rsa ? GNUTLS_PK_RSA : GNUTLS_PK_ECDSA;
    if (flags & GNUTLS_PRIVKEY_INFO_PK_ALGO_BITS)
        return rsa ? 2048 : 256;
    if (flags & GNUTLS_PRIVKEY_INFO_HAVE_SIGN_ALGO) {
        gnutls_sign_algorithm_t sign = GNUTLS_FLAGS_TO_SIGN_ALGO(flags);
        if (rsa)
            return sign == GNUTLS_SIGN_RSA_PSS_RSAE_SHA256 || sign == GNUTLS_SIGN_RSA_PSS_RSAE_SHA384 ||
                   sign == GNUTLS_SIGN_RSA_PSS_RSAE_SHA512;
        return sign == GNUTLS_SIGN_ECDSA_SHA256 || sign == GNUTLS_SIGN_ECDSA_SECP256R1_SHA256;
    }
    return -1;
}

static int retrieve(gnutls_session_t session, const struct gnutls_cert_retr_st *info, gnutls_pcert_st **certificates,
                    unsigned *count, gnutls_ocsp_data_st **ocsp, unsigned *ocsp_count, gnutls_privkey_t *key,
                    unsigned *flags) {
    Side *side = gnutls_session_get_ptr(session);

    assert_int_equal(gnutls_privkey_init(key), 0);
    assert_int_equal(gnutls_privkey_import_ext4(*key, side, NULL, sign_hash, NULL, NULL, key_info, 0), 0);
    *certificates = gnutls_malloc(sizeof(gnutls_pcert_st));
    assert_non_null(*certificates);
    gnutls_datum_t der = side->certificate.cert;
    assert_int_equal(gnutls_pcert_import_x509_raw(*certificates, &der, GNUTLS_X509_FMT_DER, 0), 0);
    *count = 1;
    *ocsp_count = 0;
    *flags = GNUTLS_CERT_RETR_DEINIT_ALL;
    return 0;
}

static int accept_any(gnutls_session_t session) {
    return 0;
}

static void make_certificate(Side *side, bool rsa) {
    gnutls_x509_crt_t crt;
    gnutls_datum_t der;
    time_t now = time(NULL);

    assert_int_equal(gnutls_privkey_init(&side->software), 0);
    assert_int_equal(gnutls_privkey_generate(side->software, rsa ? GNUTLS_PK_RSA : GNUTLS_PK_ECDSA,
                                             rsa ? 2048 : GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
                     0);
    gnutls_pubkey_t pubkey;
    assert_int_equal(gnutls_pubkey_init(&pubkey), 0);
    assert_int_equal(gnutls_pubkey_import_privkey(pubkey, side->software, 0, 0), 0);
    assert_int_equal(gnutls_x509_crt_init(&crt), 0);
    assert_int_equal(gnutls_x509_crt_set_pubkey(crt, pubkey), 0);
    assert_int_equal(gnutls_x509_crt_set_version(crt, 3), 0);
    assert_int_equal(gnutls_x509_crt_set_serial(crt, "\x05", 1), 0);
    assert_int_equal(gnutls_x509_crt_set_dn(crt, "CN=transcript", NULL), 0);
    assert_int_equal(gnutls_x509_crt_set_activation_time(crt, now - 60), 0);
    assert_int_equal(gnutls_x509_crt_set_expiration_time(crt, now + 3600), 0);
    assert_int_equal(gnutls_x509_crt_privkey_sign(crt, crt, side->software, GNUTLS_DIG_SHA256, 0), 0);
    assert_int_equal(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_DER, &der), 0);
    assert_int_equal(gnutls_pcert_import_x509_raw(&side->certificate, &der, GNUTLS_X509_FMT_DER, 0), 0);
    gnutls_free(der.data);
    gnutls_x509_crt_deinit(crt);
    gnutls_pubkey_deinit(pubkey);
}

static void side_begin(Side *side, const Setup *setup, int socket, const gnutls_datum_t *ticket_key,
                       const gnutls_datum_t *resume) {
    bool server = side->side == TLS_SIDE_SERVER;
    unsigned flags = (server ? GNUTLS_SERVER : GNUTLS_CLIENT) | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL;

    if (setup->post_handshake)
        flags |= GNUTLS_POST_HANDSHAKE_AUTH;
    if (!setup->tickets)
        flags |= GNUTLS_NO_TICKETS;
    side->socket = socket;
    side->corrupt = !server && setup->corrupt;
    side->other_side = !server && setup->other_side;
    side->plain_allowed = setup->plain_allowed;
    side->signatures = side->refusals = side->messages = 0;
    assert_int_equal(gnutls_init(&side->session, flags), 0);
    assert_int_equal(
        gnutls_priority_set_direct(side->session, server ? setup->server_priority : setup->client_priority, NULL), 0);
    if (!side->credentials) {
        assert_int_equal(gnutls_certificate_allocate_credentials(&side->credentials), 0);
        gnutls_certificate_set_retrieve_function3(side->credentials, retrieve);
        gnutls_certificate_set_verify_function(side->credentials, accept_any);
    }
    assert_int_equal(gnutls_credentials_set(side->session, GNUTLS_CRD_CERTIFICATE, side->credentials), 0);
    gnutls_session_set_ptr(side->session, side);
    gnutls_transport_set_int(side->session, socket);
    if (server && !setup->post_handshake)
        gnutls_certificate_server_set_request(side->session, GNUTLS_CERT_REQUIRE);
    if (server && ticket_key)
        assert_int_equal(gnutls_session_ticket_enable_server(side->session, ticket_key), 0);
    if (!server && resume)
        assert_int_equal(gnutls_session_set_data(side->session, resume->data, resume->size), 0);
    assert_int_equal(transcript_attach(side->session, NULL, &side->transcript), 0);
    assert_ptr_equal(transcript_of_session(side->session), side->transcript);
}

static void side_end(Side *side) {
    if (side->session)
        gnutls_deinit(side->session);
    side->session = NULL;
    side->transcript = transcript_free(side->transcript);
    close(side->socket);
}

static void side_clear(Side *side) {
    gnutls_certificate_free_credentials(side->credentials);
    gnutls_privkey_deinit(side->software);
    gnutls_pcert_deinit(&side->certificate);
}

/* 0 when both sides finished, else the first error. */
static int handshake_both(Side *client, Side *server) {
    int c = GNUTLS_E_AGAIN, s = GNUTLS_E_AGAIN;

    for (unsigned turn = 0; turn < 200 && (c != 0 || s != 0); turn++) {
        if (c != 0)
            c = gnutls_handshake(client->session);
        if (s != 0)
            s = gnutls_handshake(server->session);
        if (c < 0 && gnutls_error_is_fatal(c))
            return c;
        if (s < 0 && gnutls_error_is_fatal(s))
            return s;
    }
    return c ? c : s;
}

static void sockets(int ret[static 2]) {
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret), 0);
}

static void sides_new(Side *client, Side *server, const Setup *setup) {
    *client = (Side) { .side = TLS_SIDE_CLIENT };
    *server = (Side) { .side = TLS_SIDE_SERVER };
    make_certificate(client, setup->rsa);
    make_certificate(server, setup->rsa);
}

/* New sides, ready to shake hands; and their end. */
static void both_begin(Side *client, Side *server, const Setup *setup) {
    int fds[2];

    sides_new(client, server, setup);
    sockets(fds);
    side_begin(client, setup, fds[0], NULL, NULL);
    side_begin(server, setup, fds[1], NULL, NULL);
}

static void both_end(Side *client, Side *server) {
    side_end(client);
    side_end(server);
    side_clear(client);
    side_clear(server);
}

/* One handshake of new sides; returns its result and leaves the counters in the sides. */
static int run_once(Side *client, Side *server, const Setup *setup) {
    both_begin(client, server, setup);
    TlsSide side;
    assert_int_equal(transcript_side(client->transcript, &side), -ENOMSG);
    int r = handshake_both(client, server);
    assert_int_equal(transcript_side(client->transcript, &side), 0);
    assert_int_equal(side, TLS_SIDE_CLIENT);
    assert_int_equal(transcript_side(server->transcript, &side), 0);
    assert_int_equal(side, TLS_SIDE_SERVER);
    both_end(client, server);
    return r;
}

#define SUITE_256 "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM"
#define SUITE_384 "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-256-GCM"
/* The client's first key share is one that the server does not take. */
#define RETRY_CLIENT ":-GROUP-ALL:+GROUP-SECP256R1:+GROUP-SECP384R1"
#define RETRY_SERVER ":-GROUP-ALL:+GROUP-SECP384R1"

static void check_both(const Setup *setup, size_t hash_size) {
    Side client, server;

    assert_int_equal(run_once(&client, &server, setup), 0);
    assert_int_equal(client.signatures, 1);
    assert_int_equal(server.signatures, 1);
    assert_int_equal(client.refusals + server.refusals, 0);
    assert_int_equal(client.hash_size, hash_size);
    assert_int_equal(server.hash_size, hash_size);
}

static void test_sha256(void **state) {
    check_both(&(Setup) { SUITE_256, SUITE_256 }, 32);
}

static void test_sha384(void **state) {
    check_both(&(Setup) { SUITE_384, SUITE_384 }, 48);
}

/* With a digest for the signature that is another than the transcript's. */
static void test_rsa_pss(void **state) {
    static const char *const priorities[] = {
        SUITE_384 ":-SIGN-ALL:+SIGN-RSA-SHA256:+SIGN-RSA-PSS-RSAE-SHA256",
        SUITE_384 ":-SIGN-ALL:+SIGN-RSA-SHA256:+SIGN-RSA-PSS-RSAE-SHA384",
        SUITE_384 ":-SIGN-ALL:+SIGN-RSA-SHA256:+SIGN-RSA-PSS-RSAE-SHA512",
    };

    for (size_t i = 0; i < ARRAY_LENGTH(priorities); i++)
        check_both(&(Setup) { priorities[i], priorities[i], .rsa = true }, 48);
}

static void test_retry_sha256(void **state) {
    check_both(&(Setup) { SUITE_256 RETRY_CLIENT, SUITE_256 RETRY_SERVER }, 32);
}

static void test_retry_sha384(void **state) {
    check_both(&(Setup) { SUITE_384 RETRY_CLIENT, SUITE_384 RETRY_SERVER }, 48);
}

static unsigned retries_seen;

static int count_retries(gnutls_session_t session, unsigned type, unsigned when, unsigned incoming,
                         const gnutls_datum_t *message) {
    if (type == GNUTLS_HANDSHAKE_HELLO_RETRY_REQUEST && when == GNUTLS_HOOK_PRE)
        retries_seen++;
    return 0;
}

/* The retry tests do force a retry, and the hook that was asked for as the next one is called. */
static void test_retry_is_forced_and_next_hook_called(void **state) {
    const Setup setup = { SUITE_256 RETRY_CLIENT, SUITE_256 RETRY_SERVER };
    Side client, server;

    both_begin(&client, &server, &setup);
    transcript_detach(client.transcript);
    client.transcript = transcript_free(client.transcript);
    assert_null(transcript_of_session(client.session));
    assert_int_equal(transcript_attach(client.session, count_retries, &client.transcript), 0);
    retries_seen = 0;
    assert_int_equal(handshake_both(&client, &server), 0);
    assert_int_equal(retries_seen, 1);
    assert_int_equal(client.signatures, 1);
    both_end(&client, &server);
}

/* As libcurl does, after it has loaded the key: the transcript has its hook back before the first message. */
static void test_hook_taken_by_another(void **state) {
    const Setup setup = { SUITE_256 RETRY_CLIENT, SUITE_256 RETRY_SERVER };
    Side client, server;

    both_begin(&client, &server, &setup);
    gnutls_handshake_set_hook_function(client.session, GNUTLS_HANDSHAKE_ANY, GNUTLS_HOOK_POST, count_retries);
    assert_int_equal(handshake_both(&client, &server), 0);
    assert_int_equal(client.signatures, 1);
    both_end(&client, &server);
}

static void test_second_attach_refused(void **state) {
    const Setup setup = { SUITE_256, SUITE_256 };
    Side client = { .side = TLS_SIDE_CLIENT };
    Transcript *second = NULL;
    int fds[2];

    sockets(fds);
    make_certificate(&client, false);
    side_begin(&client, &setup, fds[0], NULL, NULL);
    assert_int_equal(transcript_attach(client.session, NULL, &second), -EALREADY);
    assert_null(second);
    side_end(&client);
    side_clear(&client);
    close(fds[1]);
}

/* Session tickets: a full handshake, then one resumed from it, in which nothing is signed. */
static void test_tickets_and_resumption(void **state) {
    const Setup setup = { SUITE_384, SUITE_384, .tickets = true };
    Side client, server;
    gnutls_datum_t key, data = { NULL, 0 };
    char buffer[16];
    int fds[2];

    sides_new(&client, &server, &setup);
    assert_int_equal(gnutls_session_ticket_key_generate(&key), 0);

    sockets(fds);
    side_begin(&client, &setup, fds[0], NULL, NULL);
    side_begin(&server, &setup, fds[1], &key, NULL);
    assert_int_equal(handshake_both(&client, &server), 0);
    assert_int_equal(client.signatures, 1);
    assert_int_equal(server.signatures, 1);
    assert_true(gnutls_record_send(server.session, "hi", 2) == 2);
    for (int i = 0; i < 5 && gnutls_record_recv(client.session, buffer, sizeof(buffer)) < 0; i++)
        ;
    assert_int_equal(gnutls_session_get_data2(client.session, &data), 0);
    side_end(&client);
    side_end(&server);

    sockets(fds);
    side_begin(&client, &setup, fds[0], NULL, &data);
    side_begin(&server, &setup, fds[1], &key, NULL);
    assert_int_equal(handshake_both(&client, &server), 0);
    assert_true(gnutls_session_is_resumed(client.session));
    assert_int_equal(client.signatures + server.signatures, 0);
    side_end(&client);
    side_end(&server);

    gnutls_free(data.data);
    gnutls_free(key.data);
    side_clear(&client);
    side_clear(&server);
}

static void reauthenticate(Side *client, Side *server) {
    char buffer[16];
    int r = gnutls_reauth(server->session, 0);

    for (unsigned turn = 0; turn < 50 && r == GNUTLS_E_AGAIN; turn++) {
        ssize_t n = gnutls_record_recv(client->session, buffer, sizeof(buffer));
        if (n == GNUTLS_E_REAUTH_REQUEST) {
            int c;
            do
                c = gnutls_reauth(client->session, 0);
            while (c == GNUTLS_E_AGAIN || c == GNUTLS_E_INTERRUPTED);
            assert_int_equal(c, 0);
        } else
            assert_int_equal(n, GNUTLS_E_AGAIN);
        r = gnutls_reauth(server->session, 0);
    }
    assert_int_equal(r, 0);
}

/* Post-handshake authentication, twice: each begins from the main handshake. */
static void test_post_handshake(void **state) {
    const Setup setup = { SUITE_256, SUITE_256, .post_handshake = true, .tickets = true };
    Side client, server;

    both_begin(&client, &server, &setup);
    assert_int_equal(handshake_both(&client, &server), 0);
    assert_int_equal(client.signatures, 0);
    gnutls_certificate_server_set_request(server.session, GNUTLS_CERT_REQUIRE);
    reauthenticate(&client, &server);
    assert_int_equal(client.signatures, 1);
    reauthenticate(&client, &server);
    assert_int_equal(client.signatures, 2);
    both_end(&client, &server);
}

#define TLS12 "NORMAL:-VERS-ALL:+VERS-TLS1.2:-SIGN-ALL:+SIGN-ECDSA-SHA256"

static void test_tls12_refused(void **state) {
    Side client, server;

    assert_int_equal(run_once(&client, &server, &(Setup) { TLS12, TLS12, .plain_allowed = true }), 0);
    assert_int_equal(client.signatures + server.signatures, 0);
    assert_int_equal(client.refusals, 1);
    assert_int_equal(server.refusals, 1);
}

/* A client of TLS 1.2 signs the messages, which its server verifies; the digest that a server signs is of others. */
static void test_tls12_messages(void **state) {
    Side client, server;

    assert_int_equal(run_once(&client, &server, &(Setup) { TLS12, TLS12, .plain_allowed = true }), 0);
    assert_int_equal(client.messages, 1);
    assert_int_equal(server.messages, 0);
    assert_int_equal(server.without, -ENOMSG);
    assert_true(run_once(&client, &server, &(Setup) { TLS12, TLS12, .plain_allowed = true, .corrupt = true }) == 0);
    assert_int_equal(client.messages, 0);
    assert_int_equal(client.without, -ENOMSG);
}

/* Another handshake on the same connection begins anew. */
static void test_tls12_again(void **state) {
    Side client, server;

    both_begin(&client, &server, &(Setup) { TLS12, TLS12, .plain_allowed = true });
    assert_int_equal(handshake_both(&client, &server), 0);
    assert_int_equal(client.messages, 1);
    assert_int_equal(gnutls_rehandshake(server.session), 0);
    char byte;
    assert_int_equal(gnutls_record_recv(client.session, &byte, 1), GNUTLS_E_REHANDSHAKE);
    assert_int_equal(handshake_both(&client, &server), 0);
    assert_int_equal(client.messages, 2);
    both_end(&client, &server);
}

/* A server that names CAs without end. */
static void test_tls12_too_long(void **state) {
    gnutls_x509_crt_t authorities[64];
    char name[1500] = "CN=0";
    Side client, server;

    for (unsigned i = 1; i < 20; i++)
        (void) snprintf(name + strlen(name), sizeof(name) - strlen(name), ",OU=%064u", i);
    both_begin(&client, &server, &(Setup) { TLS12, TLS12, .plain_allowed = true });
    for (unsigned i = 0; i < 45; i++) {
        name[3] = (char) ('0' + i);
        if (name[3] == ';' || name[3] == '<' || name[3] == '=' || name[3] == '>' || name[3] == '\\')
            name[3] = (char) ('a' + i);
        assert_int_equal(gnutls_x509_crt_init(&authorities[i]), 0);
        assert_int_equal(gnutls_x509_crt_set_version(authorities[i], 3), 0);
        assert_int_equal(gnutls_x509_crt_set_serial(authorities[i], "\x05", 1), 0);
        assert_int_equal(gnutls_x509_crt_set_dn(authorities[i], name, NULL), 0);
        gnutls_pubkey_t pubkey;
        assert_int_equal(gnutls_pubkey_init(&pubkey), 0);
        assert_int_equal(gnutls_pubkey_import_privkey(pubkey, server.software, 0, 0), 0);
        assert_int_equal(gnutls_x509_crt_set_pubkey(authorities[i], pubkey), 0);
        gnutls_pubkey_deinit(pubkey);
        assert_int_equal(gnutls_x509_crt_set_activation_time(authorities[i], time(NULL) - 60), 0);
        assert_int_equal(gnutls_x509_crt_set_expiration_time(authorities[i], time(NULL) + 3600), 0);
        assert_int_equal(
            gnutls_x509_crt_privkey_sign(authorities[i], authorities[i], server.software, GNUTLS_DIG_SHA256, 0), 0);
    }
    assert_int_equal(gnutls_certificate_set_x509_trust(server.credentials, authorities, 45), 45);
    assert_int_equal(handshake_both(&client, &server), 0);
    assert_int_equal(client.messages, 0);
    assert_int_equal(client.without, -EMSGSIZE);
    both_end(&client, &server);
    for (unsigned i = 0; i < 45; i++)
        gnutls_x509_crt_deinit(authorities[i]);
}

static void test_wrong_digest_refused(void **state) {
    Side client, server;

    assert_true(run_once(&client, &server, &(Setup) { SUITE_256, SUITE_256, .corrupt = true }) < 0);
    assert_int_equal(client.signatures, 0);
    assert_int_equal(client.refusals, 1);
}

static void test_other_side_refused(void **state) {
    Side client, server;

    assert_true(run_once(&client, &server, &(Setup) { SUITE_256, SUITE_256, .other_side = true }) < 0);
    assert_int_equal(client.signatures, 0);
    assert_int_equal(client.refusals, 1);
}

/* Before the handshake, with a length that is no digest, and after the session is gone. */
static void test_out_of_order_refused(void **state) {
    static const uint8_t digest[65];
    uint8_t hash[48];
    size_t size = 7;
    gnutls_session_t session;
    Transcript *transcript = NULL;

    assert_int_equal(gnutls_init(&session, GNUTLS_CLIENT), 0);
    assert_int_equal(transcript_attach(session, NULL, &transcript), 0);
    for (size_t length = 0; length <= sizeof(digest); length++)
        assert_int_equal(transcript_hash_for(transcript, TLS_SIDE_CLIENT, GNUTLS_DIG_SHA256,
                                             (BytesView) { digest, length }, hash, &size),
                         -ENOMSG);
    gnutls_deinit(session);
    assert_int_equal(
        transcript_hash_for(transcript, TLS_SIDE_CLIENT, GNUTLS_DIG_SHA256, (BytesView) { digest, 32 }, hash, &size),
        -ENOMSG);
    assert_int_equal(size, 7);
    BytesView messages = { digest, 9 };
    assert_int_equal(transcript_messages_for(transcript, GNUTLS_DIG_SHA256, (BytesView) { digest, 32 }, &messages),
                     -ENOMSG);
    assert_int_equal(messages.size, 9);
    transcript_detach(transcript); /* harmless */
    transcript_free(transcript);
    assert_null(transcript_free(NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_sha384),
        cmocka_unit_test(test_rsa_pss),
        cmocka_unit_test(test_retry_sha256),
        cmocka_unit_test(test_retry_sha384),
        cmocka_unit_test(test_retry_is_forced_and_next_hook_called),
        cmocka_unit_test(test_hook_taken_by_another),
        cmocka_unit_test(test_second_attach_refused),
        cmocka_unit_test(test_tickets_and_resumption),
        cmocka_unit_test(test_post_handshake),
        cmocka_unit_test(test_tls12_refused),
        cmocka_unit_test(test_tls12_messages),
        cmocka_unit_test(test_tls12_again),
        cmocka_unit_test(test_tls12_too_long),
        cmocka_unit_test(test_wrong_digest_refused),
        cmocka_unit_test(test_other_side_refused),
        cmocka_unit_test(test_out_of_order_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
