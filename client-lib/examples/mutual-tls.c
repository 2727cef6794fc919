/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Mutual TLS with an identity of this device: mutual-tls IDENTITY HOST PORT. Says hello once a second, each time on a
 * new connection, and goes on over renewals, which it never notices. cc mutual-tls.c $(pkg-config --cflags --libs
 * libidentityd-gnutls) -o mutual-tls */
#include <gnutls/socket.h>
#include <identityd/identityd-gnutls.h>
#include <netdb.h>
#include <stdio.h>
#include <unistd.h>

static int say_hello(identityd_gnutls_credentials *credentials, const char *host, const char *port) {
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *address = NULL;
    gnutls_session_t session;
    int fd = -1, r = -1;

    if (getaddrinfo(host, port, &hints, &address) == 0)
        fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, address->ai_addr, address->ai_addrlen) == 0 &&
        gnutls_init(&session, GNUTLS_CLIENT) == 0) {
        gnutls_transport_set_int(session, fd);
        if (identityd_gnutls_session_begin(credentials, session, host, 0) == 0) { /* certificate, key, verification */
            do
                r = gnutls_handshake(session);
            while (r < 0 && !gnutls_error_is_fatal(r));
            if (r == 0)
                r = gnutls_record_send(session, "hello\n", 6) == 6 && gnutls_bye(session, GNUTLS_SHUT_WR) == 0 ? 0 : -1;
        }
        gnutls_deinit(session);
    }
    if (fd >= 0)
        close(fd);
    if (address)
        freeaddrinfo(address);
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
    for (;; sleep(1))
        if (say_hello(credentials, argv[2], argv[3]) < 0)
            fprintf(stderr, "mutual-tls: no connection: %s\n", identityd_last_error());
}
