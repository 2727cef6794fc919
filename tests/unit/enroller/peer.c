/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One connection at a time; dies with the test. */
#include "peer.h"

#include "support.h"

#include <arpa/inet.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

typedef struct Connection {
    int fd;
    gnutls_session_t tls; /* NULL: plain */
} Connection;

static ssize_t connection_read(const Connection *connection, void *data, size_t size) {
    return connection->tls ? gnutls_record_recv(connection->tls, data, size) : recv(connection->fd, data, size, 0);
}

/* All of it; false where the other side is gone. */
static bool connection_write(const Connection *connection, const char *data, size_t size) {
    for (size_t at = 0; at < size;) {
        ssize_t n = connection->tls ? gnutls_record_send(connection->tls, data + at, size - at)
                                    : send(connection->fd, data + at, size - at, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        at += (size_t) n;
    }
    return true;
}

static void make_certificate(gnutls_certificate_credentials_t credentials, Bytes *ret_pem) {
    const uint8_t loopback[4] = { 127, 0, 0, 1 };
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t crt;
    gnutls_datum_t pem = { NULL, 0 };

    assert_int_equal(gnutls_x509_privkey_init(&key), 0);
    assert_int_equal(
        gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0), 0);
    assert_int_equal(gnutls_x509_crt_init(&crt), 0);
    assert_int_equal(gnutls_x509_crt_set_version(crt, 3), 0);
    assert_int_equal(gnutls_x509_crt_set_dn(crt, "CN=peer", NULL), 0);
    assert_int_equal(gnutls_x509_crt_set_serial(crt, "\x11", 1), 0);
    assert_int_equal(gnutls_x509_crt_set_activation_time(crt, time(NULL) - 60), 0);
    assert_int_equal(gnutls_x509_crt_set_expiration_time(crt, time(NULL) + 3600), 0);
    assert_int_equal(gnutls_x509_crt_set_ca_status(crt, 1), 0);
    assert_int_equal(gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_DIGITAL_SIGNATURE | GNUTLS_KEY_KEY_CERT_SIGN), 0);
    assert_int_equal(
        gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, loopback, sizeof loopback, GNUTLS_FSAN_SET), 0);
    assert_int_equal(gnutls_x509_crt_set_key(crt, key), 0);
    assert_int_equal(gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0), 0);
    assert_int_equal(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem), 0);
    assert_int_equal(bytes_copy((BytesView) { pem.data, pem.size }, ret_pem), 0);
    assert_int_equal(gnutls_certificate_set_x509_key(credentials, &crt, 1, key), 0);
    gnutls_free(pem.data);
    gnutls_x509_crt_deinit(crt);
    gnutls_x509_privkey_deinit(key);
}

/* ---- behaviours, in the child ---- */

static void report_what_comes(const Connection *connection, int report, bool until_blank_line) {
    char data[8192];
    ssize_t n;

    while ((n = connection_read(connection, data, sizeof data)) > 0) {
        (void) !write(report, data, (size_t) n);
        if (until_blank_line && memmem(data, (size_t) n, "\r\n\r\n", 4))
            return;
    }
}

static void carry(int a, int b) {
    struct pollfd fds[2] = { { .fd = a, .events = POLLIN }, { .fd = b, .events = POLLIN } };
    char data[8192];

    while (poll(fds, 2, 60000) > 0)
        for (unsigned i = 0; i < 2; i++)
            if (fds[i].revents) {
                ssize_t n = recv(fds[i].fd, data, sizeof data, 0);
                if (n <= 0 || send(fds[1 - i].fd, data, (size_t) n, MSG_NOSIGNAL) != n)
                    return;
            }
}

static void be_proxy(const Connection *connection, const char *authorization, int report) {
    static const char refused[] = "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=\"proxy\"\r\n"
                                  "Connection: close\r\nContent-Length: 0\r\n\r\n";
    char request[4096] = "";
    unsigned port;

    ssize_t n = recv(connection->fd, request, sizeof request - 1, 0);
    if (n <= 0)
        return;
    (void) !write(report, request, (size_t) n);
    if (authorization && !strstr(request, authorization)) {
        (void) connection_write(connection, refused, sizeof refused - 1);
        return;
    }
    if (sscanf(request, "CONNECT 127.0.0.1:%u ", &port) != 1)
        return;
    _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t) port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    if (connect(fd, (struct sockaddr *) &address, sizeof address) < 0)
        return;
    static const char done[] = "HTTP/1.1 200 Connected\r\nRetry-After: 12\r\n\r\n";
    (void) connection_write(connection, done, sizeof done - 1);
    carry(connection->fd, fd);
}

static void behave(const Connection *connection, const PeerOptions *options, int report) {
    switch (options->behaviour) {
    case PEER_ANSWERS:
        report_what_comes(connection, report, true);
        (void) connection_write(connection, options->answer, strlen(options->answer));
        break;
    case PEER_CLOSES:
        break;
    case PEER_REFUSES_CLIENT:
        (void) gnutls_alert_send(connection->tls, GNUTLS_AL_FATAL, GNUTLS_A_BAD_CERTIFICATE);
        break;
    case PEER_FLOODS:
        report_what_comes(connection, report, true);
        while (connection_write(connection, options->answer, strlen(options->answer)))
            ;
        break;
    case PEER_SILENT:
        report_what_comes(connection, report, false);
        break;
    case PEER_PROXY:
        be_proxy(connection, options->proxy_authorization, report);
        break;
    }
}

static void serve_one(int fd, const PeerOptions *options, gnutls_certificate_credentials_t credentials, int report) {
    Connection connection = { .fd = fd };
    int r;

    if (options->tls) {
        assert_int_equal(gnutls_init(&connection.tls, GNUTLS_SERVER), 0);
        (void) gnutls_set_default_priority(connection.tls);
        (void) gnutls_credentials_set(connection.tls, GNUTLS_CRD_CERTIFICATE, credentials);
        if (options->request_certificate)
            gnutls_certificate_server_set_request(connection.tls, GNUTLS_CERT_REQUEST);
        gnutls_transport_set_int(connection.tls, fd);
        do
            r = gnutls_handshake(connection.tls);
        while (r < 0 && !gnutls_error_is_fatal(r));
        if (r < 0) {
            gnutls_deinit(connection.tls);
            return;
        }
    }
    behave(&connection, options, report);
    if (connection.tls) {
        if (options->behaviour == PEER_ANSWERS)
            (void) gnutls_bye(connection.tls, GNUTLS_SHUT_WR);
        gnutls_deinit(connection.tls);
    }
}

/* ---- the parent's side ---- */

void peer_start(Peer *peer, const PeerOptions *options) {
    gnutls_certificate_credentials_t credentials;
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    int report[2];

    *peer = (Peer) { .certificate = BYTES_NULL };
    assert_int_equal(gnutls_certificate_allocate_credentials(&credentials), 0);
    make_certificate(credentials, &peer->certificate);
    assert_int_equal(pipe(report), 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *) &address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *) &address, &size), 0);
    assert_int_equal(listen(fd, 8), 0);
    peer->port = ntohs(address.sin_port);
    peer->pid = fork();
    assert_true(peer->pid >= 0);
    if (peer->pid == 0) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void) signal(SIGPIPE, SIG_IGN);
        for (;;) {
            int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
            if (client < 0)
                _exit(1);
            serve_one(client, options, credentials, report[1]);
            close_safe(client);
        }
    }
    close_safe(fd);
    close_safe(report[1]);
    peer->report = report[0];
    gnutls_certificate_free_credentials(credentials);
}

Bytes peer_stop(Peer *peer) {
    Bytes report = BYTES_NULL;

    (void) usleep(50000); /* what is on its way may arrive */
    (void) kill(peer->pid, SIGKILL);
    (void) waitpid(peer->pid, NULL, 0);
    assert_int_equal(bytes_read_fd(peer->report, 1U << 20, &report), 0);
    close_safe(peer->report);
    bytes_clear(&peer->certificate);
    return report;
}
