/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Mutual TLS handshakes in a loop with one credential of identityd, through libidentityd's GnuTLS binding, counting
 * what fails: for tests that renew, restart and revoke meanwhile.
 *
 *   handshake-client [OPTION…] IDENTITY unix:PATH|HOST:PORT
 *     --purpose P      tls-client (default), tls-server with --listen, digest
 *     --listen         waits for connections instead, and echoes what it reads (HOST:0: prints "port N")
 *     --count N        handshakes (10); --seconds S: or as long as S seconds, whichever is more
 *     --pause MS       between them (0)
 *     --host NAME      that the peer must have; default: HOST
 *     --send TEXT      sent after the handshake ("ping\n"); something must come back
 *     --tls12          allows TLS 1.2 only
 *
 * Prints each failure, and at the end "handshakes N failures F generations G,G,…". Exit: 0 no failure, 1 some, 2 usage
 * or no credential. */
#include "identityd/identityd-gnutls.h"

#include <errno.h>
#include <getopt.h>
#include <gnutls/gnutls.h>
#include <netdb.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 20000

typedef struct Options {
    const char *identity, *target, *purpose, *host, *send;
    bool listen, tls12;
    unsigned count, seconds, pause;
} Options;

typedef struct Counters {
    unsigned done, failed;
    char generations[512]; /* each once, in the order in which they came */
    uint32_t last_generation;
} Counters;

static double now(void) {
    struct timespec time;

    (void) clock_gettime(CLOCK_MONOTONIC, &time);
    return (double) time.tv_sec + (double) time.tv_nsec / 1e9;
}

/* ---- sockets ---- */

static int socket_for(const Options *options, struct sockaddr_storage *address, socklen_t *size) {
    if (strncmp(options->target, "unix:", 5) == 0) {
        struct sockaddr_un *local = (struct sockaddr_un *) address;
        local->sun_family = AF_UNIX;
        if (snprintf(local->sun_path, sizeof(local->sun_path), "%s", options->target + 5) >=
            (int) sizeof(local->sun_path))
            return -1;
        *size = sizeof(*local);
        return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    }
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
    char host[256];
    const char *colon = strrchr(options->target, ':');

    if (!colon || (size_t) (colon - options->target) >= sizeof(host))
        return -1;
    (void) snprintf(host, sizeof(host), "%.*s", (int) (colon - options->target), options->target);
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
        return -1;
    memcpy(address, found->ai_addr, found->ai_addrlen);
    *size = found->ai_addrlen;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    freeaddrinfo(found);
    return fd;
}

static int open_listener(const Options *options) {
    struct sockaddr_storage address = { 0 };
    socklen_t size;
    int fd = socket_for(options, &address, &size), one = 1;
    char port[16];

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
        bind(fd, (struct sockaddr *) &address, size) < 0 || listen(fd, 64) < 0)
        return -1;
    size = sizeof(address);
    if (address.ss_family != AF_UNIX && getsockname(fd, (struct sockaddr *) &address, &size) == 0 &&
        getnameinfo((struct sockaddr *) &address, size, NULL, 0, port, sizeof(port), NI_NUMERICSERV) == 0)
        printf("port %s\n", port);
    fflush(stdout);
    return fd;
}

static int next_connection(const Options *options, int listener) {
    struct sockaddr_storage address = { 0 };
    socklen_t size;

    if (listener >= 0)
        return accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    int fd = socket_for(options, &address, &size);
    if (fd >= 0 && connect(fd, (struct sockaddr *) &address, size) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* ---- one session ---- */

static const char *reason(int r) {
    const char *own = identityd_last_error();

    return r == GNUTLS_E_PREMATURE_TERMINATION || r == GNUTLS_E_FATAL_ALERT_RECEIVED || !own[0] ? gnutls_strerror(r)
                                                                                                : own;
}

/* A TLS 1.3 client learns only with the first answer that the server did not like its certificate. */
static int exchange(gnutls_session_t session, const Options *options) {
    char buffer[4096];
    ssize_t n;

    if (!options->listen) {
        n = gnutls_record_send(session, options->send, strlen(options->send));
        if (n < 0)
            return (int) n;
    }
    do
        n = gnutls_record_recv(session, buffer, sizeof(buffer));
    while (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED);
    if (n <= 0)
        return n < 0 ? (int) n : GNUTLS_E_PREMATURE_TERMINATION;
    if (options->listen)
        n = gnutls_record_send(session, buffer, (size_t) n);
    return n < 0 ? (int) n : 0;
}

static int run_session(gnutls_session_t session, const Options *options) {
    int r;

    gnutls_handshake_set_timeout(session, PATIENCE_MS);
    gnutls_record_set_timeout(session, PATIENCE_MS);
    do
        r = gnutls_handshake(session);
    while (r < 0 && !gnutls_error_is_fatal(r));
    if (r == 0)
        r = exchange(session, options);
    if (r == 0)
        (void) gnutls_bye(session, GNUTLS_SHUT_WR);
    else
        (void) gnutls_alert_send_appropriate(session, r);
    return r;
}

static bool handshake(identityd_gnutls_credentials *credentials, const Options *options, int fd) {
    gnutls_session_t session;
    bool good = false;

    if (gnutls_init(&session, (options->listen ? GNUTLS_SERVER : GNUTLS_CLIENT) | GNUTLS_NO_SIGNAL) < 0)
        return false;
    gnutls_transport_set_int(session, fd);
    if (identityd_gnutls_session_begin(credentials, session, options->host, 0) < 0)
        fprintf(stderr, "session: %s\n", identityd_last_error());
    else {
        if (options->listen)
            gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
        if (options->tls12)
            (void) gnutls_priority_set_direct(session, "NORMAL:-VERS-ALL:+VERS-TLS1.2", NULL);
        else if (strcmp(options->purpose, "digest") == 0)
            (void) gnutls_set_default_priority(session);
        int r = run_session(session, options);
        good = r == 0;
        if (!good)
            fprintf(stderr, "handshake: %s\n", reason(r));
    }
    identityd_gnutls_session_end(session);
    gnutls_deinit(session);
    return good;
}

/* ---- the loop ---- */

static void count_generation(identityd_credential *credential, Counters *counters) {
    identityd_snapshot *snapshot = NULL;

    if (identityd_credential_snapshot(credential, &snapshot) < 0)
        return;
    uint32_t generation = identityd_snapshot_generation(snapshot);
    size_t used = strlen(counters->generations);
    if (generation != counters->last_generation && used + 12 < sizeof(counters->generations))
        (void) snprintf(counters->generations + used, sizeof(counters->generations) - used, "%s%u", used ? "," : "",
                        generation);
    counters->last_generation = generation;
    identityd_snapshot_free(snapshot);
}

static int loop(identityd_credential *credential, identityd_gnutls_credentials *credentials, const Options *options) {
    Counters counters = { .done = 0 };
    double end = now() + options->seconds;
    int listener = -1;

    if (options->listen && (listener = open_listener(options)) < 0) {
        fprintf(stderr, "cannot listen on %s: %s\n", options->target, strerror(errno));
        return 2;
    }
    while (counters.done < options->count || now() < end) {
        int fd = next_connection(options, listener);
        if (fd < 0)
            fprintf(stderr, "connect: %s\n", strerror(errno));
        bool good = fd >= 0 && handshake(credentials, options, fd);
        if (fd >= 0)
            close(fd);
        counters.done++;
        counters.failed += !good;
        count_generation(credential, &counters);
        if (options->pause > 0)
            usleep(options->pause * 1000);
    }
    printf("handshakes %u failures %u generations %s\n", counters.done, counters.failed, counters.generations);
    return counters.failed ? 1 : 0;
}

static int parse(int argc, char *argv[], Options *ret) {
    static const struct option names[] = {
        { "purpose", required_argument, NULL, 'p' },
        { "listen", no_argument, NULL, 'l' },
        { "count", required_argument, NULL, 'c' },
        { "seconds", required_argument, NULL, 's' },
        { "pause", required_argument, NULL, 'w' },
        { "host", required_argument, NULL, 'h' },
        { "send", required_argument, NULL, 'x' },
        { "tls12", no_argument, NULL, '2' },
        { NULL, 0, NULL, 0 },
    };
    int c;

    *ret = (Options) { .count = 10, .send = "ping\n" };
    while ((c = getopt_long(argc, argv, "", names, NULL)) >= 0)
        switch (c) {
        case 'p':
            ret->purpose = optarg;
            break;
        case 'l':
            ret->listen = true;
            break;
        case 'c':
            ret->count = (unsigned) atoi(optarg);
            break;
        case 's':
            ret->seconds = (unsigned) atoi(optarg);
            break;
        case 'w':
            ret->pause = (unsigned) atoi(optarg);
            break;
        case 'h':
            ret->host = optarg;
            break;
        case 'x':
            ret->send = optarg;
            break;
        case '2':
            ret->tls12 = true;
            break;
        default:
            return -1;
        }
    if (argc - optind != 2)
        return -1;
    ret->identity = argv[optind];
    ret->target = argv[optind + 1];
    if (!ret->purpose)
        ret->purpose = ret->listen ? "tls-server" : "tls-client";
    return 0;
}

int main(int argc, char *argv[]) {
    identityd_gnutls_credentials *credentials = NULL;
    identityd_credential *credential = NULL;
    Options options;
    int status = 2;

    if (parse(argc, argv, &options) < 0) {
        fprintf(stderr,
                "handshake-client [--purpose P] [--listen] [--count N] [--seconds S] [--pause MS] [--host NAME] "
                "[--send TEXT] [--tls12] IDENTITY unix:PATH|HOST:PORT\n");
        return 2;
    }
    (void) signal(SIGPIPE, SIG_IGN);
    if (identityd_credential_open(options.identity, options.purpose, &credential) < 0 ||
        identityd_gnutls_credentials_new(credential, 0, &credentials) < 0)
        fprintf(stderr, "%s\n", identityd_last_error());
    else
        status = loop(credential, credentials, &options);
    identityd_gnutls_credentials_free(credentials);
    identityd_credential_free(credential);
    return status;
}
