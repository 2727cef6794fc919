/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The CA's HTTPS server is judged by what it showed in a real handshake: dates, with a clock that is right and with one
 * that is behind, usages on the whole way to the anchor, the host's name. */
#include "enroller/tls-server.h"

#include "tests/unit/pki/fixture.h"

#include <string.h>
#include <sys/socket.h>

#define HOST "ca.example"

typedef struct Server {
    const Entity *leaf;
    const Entity *issuers[3]; /* in the order of the handshake; NULL-terminated */
} Server;

static gnutls_session_t session_new(unsigned flags, gnutls_certificate_credentials_t credentials, int fd) {
    gnutls_session_t session;

    assert_int_equal(gnutls_init(&session, flags | GNUTLS_NONBLOCK), 0);
    assert_int_equal(gnutls_set_default_priority(session), 0);
    assert_int_equal(gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials), 0);
    gnutls_transport_set_int(session, fd);
    return session;
}

static void handshake(gnutls_session_t client, gnutls_session_t server) {
    int here, there;

    do {
        here = gnutls_handshake(client);
        there = gnutls_handshake(server);
        assert_true(here == 0 || !gnutls_error_is_fatal(here));
        assert_true(there == 0 || !gnutls_error_is_fatal(there));
    } while (here != 0 || there != 0);
}

/* What tls_server_verify says in a client that has just spoken to the server. */
static int judge(const Server *server, const TlsServerPolicy *policy, Failure *ret_failure) {
    gnutls_certificate_credentials_t ours, theirs;
    gnutls_x509_crt_t chain[4] = { server->leaf->crt };
    unsigned count = 1;
    int fds[2];

    while (server->issuers[count - 1]) {
        chain[count] = server->issuers[count - 1]->crt;
        count++;
    }
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(gnutls_certificate_allocate_credentials(&ours), 0);
    assert_int_equal(gnutls_certificate_allocate_credentials(&theirs), 0);
    assert_int_equal(gnutls_certificate_set_x509_key(theirs, chain, (int) count, server->leaf->key), 0);
    gnutls_session_t client_session = session_new(GNUTLS_CLIENT, ours, fds[0]),
                     server_session = session_new(GNUTLS_SERVER, theirs, fds[1]);
    handshake(client_session, server_session);
    *ret_failure = FAILURE_INIT;
    int r = tls_server_verify(client_session, policy, ret_failure);
    gnutls_deinit(client_session);
    gnutls_deinit(server_session);
    gnutls_certificate_free_credentials(ours);
    gnutls_certificate_free_credentials(theirs);
    close_safe(fds[0]);
    close_safe(fds[1]);
    return r;
}

static void test_usages(void **state) {
    const struct {
        const char *issuer, *leaf, *reason; /* NULL: good */
    } cases[] = {
        { NULL, NULL, NULL },
        { NULL, GNUTLS_KP_TLS_WWW_SERVER, NULL },
        { GNUTLS_KP_TLS_WWW_SERVER, GNUTLS_KP_TLS_WWW_SERVER, NULL },
        { GNUTLS_KP_ANY, GNUTLS_KP_TLS_WWW_SERVER, NULL },
        { NULL, GNUTLS_KP_TLS_WWW_CLIENT, "is not for TLS servers" },
        { GNUTLS_KP_TLS_WWW_CLIENT, GNUTLS_KP_TLS_WWW_SERVER, "usage of CN=Upper" },
        { GNUTLS_KP_TLS_WWW_CLIENT, NULL, "usage of CN=Upper" },
    };
    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=Root", .ca = true);
    _cleanup_certificates_ CertificateList anchors = LIST(root.certificate);

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        _cleanup_entity_ Entity upper =
                                    ENTITY(.subject = "CN=Upper", .ca = true, .issuer = &root, .eku = cases[i].issuer),
                                leaf =
                                    ENTITY(.subject = "CN=server", .issuer = &upper, .dns = HOST, .eku = cases[i].leaf);
        Failure failure;
        int r = judge(&(Server) { &leaf, { &upper } }, &(TlsServerPolicy) { &anchors, HOST, NOW, false }, &failure);
        if (cases[i].reason)
            assert_failure(r, EKEYREJECTED, failure, cases[i].reason);
        else
            assert_ok(r, failure);
    }
}

static void test_name(void **state) {
    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=Root", .ca = true),
                            leaf = ENTITY(.subject = "CN=server", .issuer = &root, .dns = HOST);
    _cleanup_certificates_ CertificateList anchors = LIST(root.certificate);
    const Server server = { &leaf, { NULL } };
    Failure failure;

    assert_ok(judge(&server, &(TlsServerPolicy) { &anchors, HOST, NOW, false }, &failure), failure);
    assert_failure(judge(&server, &(TlsServerPolicy) { &anchors, "other.example", NOW, false }, &failure), EKEYREJECTED,
                   failure, "is not for the name other.example");
    assert_ok(judge(&server, &(TlsServerPolicy) { NULL, "other.example", NOW, false }, &failure), failure);
}

/* A clock that is behind forgives "not yet valid" up to the latest beginning of what was shown, and never an end. */
static void test_clock_that_is_behind(void **state) {
    _cleanup_entity_ Entity
        root = ENTITY(.subject = "CN=Root", .ca = true),
        upper = ENTITY(.subject = "CN=Upper", .ca = true, .issuer = &root, .not_before = NOW + 20 * DAY),
        leaf = ENTITY(.subject = "CN=server", .issuer = &upper, .dns = HOST, .not_before = NOW + 10 * DAY),
        ended = ENTITY(.subject = "CN=server", .issuer = &upper, .dns = HOST, .not_after = NOW + 15 * DAY);
    _cleanup_certificates_ CertificateList anchors = LIST(root.certificate);
    Failure failure;

    assert_ok(judge(&(Server) { &leaf, { &upper } }, &(TlsServerPolicy) { &anchors, HOST, NOW, true }, &failure),
              failure);
    assert_failure(judge(&(Server) { &leaf, { &upper } }, &(TlsServerPolicy) { &anchors, HOST, NOW, false }, &failure),
                   EKEYREJECTED, failure, "is not valid until");
    assert_failure(judge(&(Server) { &ended, { &upper } }, &(TlsServerPolicy) { &anchors, HOST, NOW, true }, &failure),
                   EKEYREJECTED, failure, "expired at");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usages),
        cmocka_unit_test(test_name),
        cmocka_unit_test(test_clock_that_is_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
