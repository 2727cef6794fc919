/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Mutual TLS with an identity of this device: mutual-tls IDENTITY HOST PORT. Says hello once a second, each time on a
 * new connection, and goes on over renewals, which it never notices. cc mutual-tls.c $(pkg-config --cflags --libs
 * libidentityd-gnutls) -o mutual-tls */
#include <gnutls/socket.h>
#include <identityd/identityd-gnutls.h>
#include <netdb.h>
#include <stdio.h>
#include <unistd.h>

static int dial(const char *host, const char *port) {
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *addresses = NULL;
    int fd = -1;

    if (getaddrinfo(host, port, &hints, &addresses) != 0)
        return -1;
    for (struct addrinfo *a = addresses; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) < 0) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(addresses);
    return fd;
}

static int say_hello(identityd_gnutls_credentials *credentials, const char *host, int fd) {
    gnutls_session_t session;
    int r = -1;

    if (gnutls_init(&session, GNUTLS_CLIENT) < 0)
        return -1;
    gnutls_transport_set_int(session, fd);
    if (identityd_gnutls_session_begin(credentials, session, host, 0) == 0) { /* certificate, key, verification */
        do
            r = gnutls_handshake(session);
        while (r < 0 && !gnutls_error_is_fatal(r));
        if (r == 0)
            r = gnutls_record_send(session, "hello\n", 6) == 6 && gnutls_bye(session, GNUTLS_SHUT_WR) == 0 ? 0 : -1;
    }
    gnutls_deinit(session);
    return r;
}

int main(int argc, char *argv[]) {
    identityd_credential *credential = NULL;
    identityd_gnutls_credentials *credentials = NULL;

    if (argc != 4 || identityd_credential_open(argv[1], "tls-client", &credential) < 0 ||
        identityd_gnutls_credentials_new(credential, 0, &credentials) < 0) {
        fprintf(stderr, "mutual-tls: %s\n", argc == 4 ? identityd_last_error() : "IDENTITY HOST PORT");
        return 1;
    }
    for (;; sleep(1)) {
        int fd = dial(argv[2], argv[3]);
        if (fd < 0)
            perror("mutual-tls: no connection");
        else if (say_hello(credentials, argv[2], fd) < 0)
            fprintf(stderr, "mutual-tls: no session: %s\n", identityd_last_error());
        if (fd >= 0)
            close(fd);
    }
}
