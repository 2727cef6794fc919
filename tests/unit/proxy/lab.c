/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See lab.h. */
#include "lab.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

Lab lab;

static gnutls_certificate_credentials_t trusting(const FakeCa *ca) {
    gnutls_certificate_credentials_t credentials;
    const gnutls_datum_t root = { (unsigned char *) ca->pem, (unsigned) strlen(ca->pem) };

    assert_true(gnutls_certificate_allocate_credentials(&credentials) >= 0);
    assert_int_equal(gnutls_certificate_set_x509_trust_mem(credentials, &root, GNUTLS_X509_FMT_PEM), 1);
    return credentials;
}

static gnutls_certificate_credentials_t issued(const FakeCa *ca, const FakeRequest *request) {
    gnutls_certificate_credentials_t credentials = trusting(lab.ca);
    char *chain = fake_ca_issue(ca, lab.key, request), *key = fake_key_pem(lab.key);
    const gnutls_datum_t chain_datum = { (unsigned char *) chain, (unsigned) strlen(chain) },
                         key_datum = { (unsigned char *) key, (unsigned) strlen(key) };

    assert_true(gnutls_certificate_set_x509_key_mem(credentials, &chain_datum, &key_datum, GNUTLS_X509_FMT_PEM) >= 0);
    free(chain);
    free(key);
    return credentials;
}

int lab_setup(void **state) {
    lab.ca = fake_ca_new("root", NULL);
    lab.strangers = fake_ca_new("strangers", NULL);
    lab.key = fake_key_new(FAKE_KEY_P256);
    lab.server = issued(
        lab.ca, &(FakeRequest) { .common_name = "server", .dns = "server.example", .server = true, .serial = 21 });
    lab.client = issued(
        lab.ca, &(FakeRequest) { .common_name = "client", .dns = "client.example", .client = true, .serial = 22 });
    lab.stranger =
        issued(lab.strangers,
               &(FakeRequest) {
                   .common_name = "stranger", .dns = "server.example", .server = true, .client = true, .serial = 23 });
    lab.nobody = trusting(lab.ca);
    assert_true(gnutls_session_ticket_key_generate(&lab.ticket_key) >= 0);
    return 0;
}

int lab_teardown(void **state) {
    gnutls_certificate_free_credentials(lab.server);
    gnutls_certificate_free_credentials(lab.client);
    gnutls_certificate_free_credentials(lab.stranger);
    gnutls_certificate_free_credentials(lab.nobody);
    gnutls_free(lab.ticket_key.data);
    gnutls_privkey_deinit(lab.key);
    fake_ca_free(lab.strangers);
    fake_ca_free(lab.ca);
    return 0;
}

static void set_identity(uint32_t generation, const char *state, FailureKind blocked) {
    char *chain = fake_ca_issue(
        lab.ca, lab.key,
        &(FakeRequest) {
            .common_name = "demo", .dns = "demo.example", .server = true, .client = true, .serial = 7 + generation });

    fake_identityd_set(lab.fake, &(FakeIdentity) { .name = "demo",
                                                   .state = state,
                                                   .generation = generation,
                                                   .key = lab.key,
                                                   .chain = chain,
                                                   .anchors = lab.ca->pem,
                                                   .blocked = blocked });
    free(chain);
}

void lab_set_identity(uint32_t generation, const char *state) {
    set_identity(generation, state, FAILURE_NONE);
}

void lab_block_identity(FailureKind kind) {
    set_identity(1, "ready", kind);
}

int lab_setup_identity(void **state) {
    lab.fake = fake_identityd_new();
    lab_set_identity(1, "ready");
    return 0;
}

int lab_teardown_identity(void **state) {
    lab.fake = fake_identityd_free(lab.fake);
    return 0;
}

void lab_pair(int ret[static 2]) {
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret), 0);
}

gnutls_session_t lab_session(bool server, int fd, gnutls_certificate_credentials_t credentials) {
    gnutls_session_t session;

    assert_true(gnutls_init(&session, (server ? GNUTLS_SERVER : GNUTLS_CLIENT) | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) >=
                0);
    assert_true(gnutls_priority_set_direct(session, "NORMAL:-VERS-ALL:+VERS-TLS1.3", NULL) >= 0);
    assert_true(gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials) >= 0);
    if (server) {
        gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
        assert_true(gnutls_session_ticket_enable_server(session, &lab.ticket_key) >= 0);
    }
    gnutls_session_set_verify_cert(session, NULL, 0);
    gnutls_transport_set_int(session, fd);
    return session;
}

int lab_handshake_step(gnutls_session_t session) {
    int code;

    do
        code = gnutls_handshake(session);
    while (code == GNUTLS_E_INTERRUPTED || (code < 0 && code != GNUTLS_E_AGAIN && !gnutls_error_is_fatal(code)));
    if (code < 0 && code != GNUTLS_E_AGAIN)
        (void) gnutls_alert_send_appropriate(session, code);
    return code;
}

/* ---- what was said ---- */

static int said_fd = -1, said_before = -1;

void lab_said_begin(void) {
    said_fd = open("/tmp", O_TMPFILE | O_RDWR | O_APPEND | O_CLOEXEC, 0600);
    said_before = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    assert_true(said_fd >= 0 && said_before >= 0);
    assert_true(dup2(said_fd, STDERR_FILENO) >= 0);
}

const char *lab_said(void) {
    static char text[65536];

    fflush(stderr);
    ssize_t size = pread(said_fd, text, sizeof text - 1, 0);
    assert_true(size >= 0);
    text[size] = '\0';
    return text;
}

void lab_said_end(void) {
    assert_true(dup2(said_before, STDERR_FILENO) >= 0);
    said_before = close_safe(said_before);
    said_fd = close_safe(said_fd);
}

void lab_assert_said(const char *part) {
    if (!strstr(lab_said(), part))
        fail_msg("expected \"%s\" in:\n%s", part, lab_said());
}

/* ---- loops ---- */

static uint64_t now(void) {
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t) time.tv_sec * 1000 + (uint64_t) time.tv_nsec / 1000000;
}

void lab_loop_until(sd_event *event, bool (*holds)(void *userdata), void *userdata) {
    uint64_t end = now() + LAB_PATIENCE_SECONDS * 1000;

    while (!holds(userdata)) {
        if (now() > end)
            fail_msg("waited in vain; it said:\n%s", said_fd >= 0 ? lab_said() : "");
        assert_true(sd_event_run(event, 20000) >= 0);
    }
}

void lab_loop_for(sd_event *event, unsigned milliseconds) {
    for (uint64_t end = now() + milliseconds; now() < end;)
        assert_true(sd_event_run(event, 20000) >= 0);
}
