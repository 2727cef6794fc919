/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a TLS server shows of itself, fetched from servers in a thread: whatever it wants of its clients, and what is
 * said where there is nothing to fetch. And how a handshake is told. */
#include "idctl/connect-report.h"
#include "idctl/peer.h"

#include "common/macros.h"
#include "lab.h"
#include "said.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <jansson.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

typedef struct Lab {
    LabCertificate root, ca, leaf;
    gnutls_certificate_credentials_t credentials;
} Lab;

typedef enum Manner { SERVES, WANTS_CERTIFICATE, HANGS_UP } Manner;

typedef struct Server {
    const Lab *lab;
    Manner manner;
    int fd;
    Endpoint endpoint;
    pthread_t thread;
    char name[64]; /* that it was asked for (SNI) */
} Server;

static void serve_session(Server *server, int fd) {
    _cleanup_session_ gnutls_session_t session = NULL;
    size_t size = sizeof server->name;
    char byte;
    unsigned type;
    int r = gnutls_init(&session, GNUTLS_SERVER | GNUTLS_NO_SIGNAL);

    if (r < 0 || gnutls_set_default_priority(session) < 0 ||
        gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, server->lab->credentials) < 0)
        return;
    if (server->manner == WANTS_CERTIFICATE)
        gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
    gnutls_transport_set_int(session, fd);
    do
        r = gnutls_handshake(session);
    while (r < 0 && !gnutls_error_is_fatal(r));
    (void) gnutls_server_name_get(session, server->name, &size, &type, 0);
    if (r < 0)
        (void) gnutls_alert_send_appropriate(session, r);
    else
        (void) gnutls_record_recv(session, &byte, 1); /* until the client has finished */
}

static void *serve(void *userdata) {
    Server *server = userdata;
    int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0)
        return NULL;
    if (server->manner != HANGS_UP)
        serve_session(server, fd);
    close(fd);
    return NULL;
}

/* A socket on a port of the kernel's choice; `listens`: false for a port where nobody is. */
static int port_new(bool listens, Endpoint *ret) {
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *) &address, &length), 0);
    if (listens)
        assert_int_equal(listen(fd, 1), 0);
    ret->host = strdup("127.0.0.1");
    assert_true(asprintf(&ret->port, "%u", ntohs(address.sin_port)) > 0);
    return fd;
}

/* One connection. What the server was asked for is in `server` afterwards. */
static ExitCode fetch(const Lab *lab, Manner manner, const char *name, Server *server, CertificateList *ret,
                      Said *said) {
    *server = (Server) { .lab = lab, .manner = manner };
    server->fd = port_new(true, &server->endpoint);
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
    said_begin(stderr, said);
    ExitCode code = peer_fetch_chain(&server->endpoint, name, ret);
    (void) said_end(said);
    assert_int_equal(pthread_join(server->thread, NULL), 0);
    close(server->fd);
    endpoint_clear(&server->endpoint);
    return code;
}

static void test_chain(void **state) {
    static const struct {
        Manner manner;
        const char *name, *asked_for;
    } cases[] = {
        { SERVES, "host.example", "host.example" },
        { WANTS_CERTIFICATE, "host.example", "host.example" }, /* it shows its own before it misses ours */
        { SERVES, "127.0.0.1", "" },                           /* an address is no name for SNI */
        { SERVES, "::1", "" },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        _cleanup_certificates_ CertificateList chain = { 0 };
        Server server;
        Said said;
        ExitCode code = fetch(*state, cases[i].manner, cases[i].name, &server, &chain, &said);
        assert_string_equal(said.text, "");
        assert_int_equal(code, EXIT_OK);
        assert_int_equal(chain.count, 2);
        assert_string_equal(chain.list[0]->subject, "CN=server");
        assert_string_equal(chain.list[1]->subject, "CN=the lab");
        assert_string_equal(server.name, cases[i].asked_for);
    }
}

static void test_no_tls(void **state) {
    CertificateList chain = { 0 };
    Server server;
    Said said;

    assert_int_equal(fetch(*state, HANGS_UP, "host.example", &server, &chain, &said), EXIT_FAILED);
    assert_non_null(strstr(said.text, ": 127.0.0.1 port "));
    assert_non_null(strstr(said.text, " showed no certificate that can be verified: "));
    assert_int_equal(chain.count, 0);
}

static void test_no_connection(void **state) {
    Endpoint nobody, unknown = { (char *) "127.0.0.1", (char *) "no such port" };
    int held = port_new(false, &nobody), fd = -1;
    Said said;

    said_begin(stderr, &said);
    ExitCode refused = endpoint_connect(&nobody, &fd), unresolved = endpoint_connect(&unknown, &fd);
    const char *text = said_end(&said);
    assert_int_equal(refused, EXIT_FAILED);
    assert_int_equal(unresolved, EXIT_FAILED);
    assert_int_equal(fd, -1);
    assert_non_null(strstr(text, ": cannot connect to 127.0.0.1 port "));
    assert_non_null(strstr(text, ": Connection refused.\n"));
    assert_non_null(strstr(text, ": cannot resolve 127.0.0.1 port no such port: "));
    close(held);
    endpoint_clear(&nobody);
}

static void test_connected(void **state) {
    Endpoint endpoint;
    int held = port_new(true, &endpoint), fd = -1;

    assert_int_equal(endpoint_connect(&endpoint, &fd), EXIT_OK);
    assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
    close(held);
    endpoint_clear(&endpoint);
}

static void test_names(void **state) {
    static const char *const names[] = { "host.example", "localhost", "1.2.3", "1.2.3.4.example" };
    static const char *const addresses[] = { "1.2.3.4", "::", "2001:db8::1", "::ffff:1.2.3.4" };

    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        assert_true(peer_name_is_dns(names[i]));
    for (size_t i = 0; i < ARRAY_LENGTH(addresses); i++)
        assert_false(peer_name_is_dns(addresses[i]));
}

/* ---- the report ---- */

static void test_alerts(void **state) {
    assert_non_null(strstr(connect_alert_text(GNUTLS_A_UNKNOWN_CA), "unknown_ca"));
    assert_non_null(strstr(connect_alert_text(GNUTLS_A_CERTIFICATE_REQUIRED), "wants a client certificate"));
    assert_non_null(strstr(connect_alert_text(GNUTLS_A_UNRECOGNIZED_NAME), "--name"));
    assert_string_equal(connect_alert_text(GNUTLS_A_RECORD_OVERFLOW), gnutls_alert_get_name(GNUTLS_A_RECORD_OVERFLOW));
    assert_string_equal(connect_alert_text((gnutls_alert_description_t) 254), "an alert without a known name");
}

static void test_report(void **state) {
    ConnectReport report = { .identity = "x", .state = "ready", .generation = 4, .not_after = 4102444800000000 };
    Said said;

    connect_verdict_set(&report.chain, true, "ends in an anchor");
    connect_verdict_set(&report.name, false, "not the name %s", "a\x1b[2J\xff");
    said_begin(stdout, &said);
    connect_report_print(&report, stdout);
    const char *text = said_end(&said);
    assert_non_null(strstr(text, "own        x, generation 4, ready, valid until 2100-01-01 00:00:00 UTC (in "));
    assert_non_null(strstr(text, "chain      good: ends in an anchor\nname       BAD: not the name a?[2J?\n"));
    assert_null(strstr(text, "handshake")); /* it did not come to that */
    assert_null(strstr(text, "peer\n"));
    assert_null(strstr(text, "note"));
    connect_verdict_set(&report.handshake, true, "(TLS1.3)");
    for (unsigned asked = 0; asked < 2; asked++) {
        report.asked_for_certificate = asked;
        said_begin(stdout, &said);
        connect_report_print(&report, stdout);
        text = said_end(&said);
        assert_int_equal(strstr(text, "did not ask for our certificate") != NULL, !asked);
    }
    connect_report_refused(&report, GNUTLS_A_UNKNOWN_CA);
    said_begin(stdout, &said);
    connect_report_print(&report, stdout);
    text = said_end(&said);
    assert_non_null(strstr(text, "handshake  BAD: the peer refused: unknown_ca"));
    connect_report_clear(&report);
}

/* A name on the command line need not be UTF-8, and what it leads to is told all the same. */
static void test_report_json(void **state) {
    ConnectReport report = { .identity = "x", .state = "ready", .generation = 4, .asked_for_certificate = true };
    Said said;

    connect_verdict_set(&report.name, false, "not the name %s", "\xff");
    connect_report_refused(&report, GNUTLS_A_CERTIFICATE_REQUIRED);
    said_begin(stdout, &said);
    ExitCode code = connect_report_json(&report);
    const char *text = said_end(&said);
    assert_int_equal(code, EXIT_OK);
    json_t *object = json_loads(text, 0, NULL);
    assert_non_null(object);
    const json_t *own = json_object_get(object, "own"), *peer = json_object_get(object, "peer");
    assert_string_equal(json_string_value(json_object_get(own, "identity")), "x");
    assert_int_equal(json_integer_value(json_object_get(own, "generation")), 4);
    assert_true(json_is_null(json_object_get(own, "not_after")));
    assert_true(json_is_true(json_object_get(peer, "asked_for_certificate")));
    assert_true(json_is_null(json_object_get(peer, "chain_verdict"))); /* it did not come to that */
    const json_t *name = json_object_get(peer, "name_verdict");
    assert_true(json_is_false(json_object_get(name, "good")));
    assert_string_equal(json_string_value(json_object_get(name, "reason")), "not the name ?");
    assert_string_equal(json_string_value(json_object_get(object, "alert")), "GNUTLS_A_CERTIFICATE_REQUIRED");
    assert_true(json_is_null(json_object_get(object, "session")));
    json_decref(object);
    connect_report_clear(&report);
}

/* GnuTLS puts in order only what was read. */
static gnutls_x509_crt_t reread(const LabCertificate *made) {
    _cleanup_certificate_ Certificate *certificate = lab_certificate_read(made);
    gnutls_datum_t der = { certificate->der.data, (unsigned) certificate->der.size };
    gnutls_x509_crt_t crt;

    assert_true(gnutls_x509_crt_init(&crt) >= 0 && gnutls_x509_crt_import(crt, &der, GNUTLS_X509_FMT_DER) >= 0);
    return crt;
}

static int setup(void **state) {
    Lab *lab = calloc(1, sizeof *lab);
    const unsigned bits = GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1);

    assert_non_null(lab);
    assert_int_equal(setenv("TZ", "UTC", 1) | setenv("NO_COLOR", "1", 1), 0);
    lab_certificate_new("the root", true, GNUTLS_PK_ECDSA, bits, 30, NULL, &lab->root);
    lab_certificate_new("the lab", true, GNUTLS_PK_ECDSA, bits, 20, &lab->root, &lab->ca);
    lab_certificate_new("server", false, GNUTLS_PK_ECDSA, bits, 10, &lab->ca, &lab->leaf);
    gnutls_x509_crt_t chain[] = { reread(&lab->leaf), reread(&lab->ca) };
    assert_true(gnutls_certificate_allocate_credentials(&lab->credentials) >= 0);
    assert_true(gnutls_certificate_set_x509_key(lab->credentials, chain, 2, lab->leaf.key) >= 0);
    gnutls_x509_crt_deinit(chain[0]);
    gnutls_x509_crt_deinit(chain[1]);
    *state = lab;
    return 0;
}

static int teardown(void **state) {
    Lab *lab = *state;

    gnutls_certificate_free_credentials(lab->credentials);
    lab_certificate_clear(&lab->leaf);
    lab_certificate_clear(&lab->ca);
    lab_certificate_clear(&lab->root);
    free(lab);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain),     cmocka_unit_test(test_no_tls),      cmocka_unit_test(test_no_connection),
        cmocka_unit_test(test_connected), cmocka_unit_test(test_names),       cmocka_unit_test(test_alerts),
        cmocka_unit_test(test_report),    cmocka_unit_test(test_report_json),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
