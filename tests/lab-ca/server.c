/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Brings the lab CA's servers up and down, and keeps its log. */
#include "server.h"

#include "authenticate.h"
#include "est.h"
#include "tls.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define CONNECTIONS_MAX    256U
#define CONNECTION_SECONDS 60U
#define LOG_LINE_MAX       2048U

void server_log(Server *server, Operation operation, unsigned status, const char *format, ...) {
    char line[LOG_LINE_MAX], stamp[32];
    struct timespec now;
    va_list arguments;
    size_t used;
    struct tm tm;
    int n;

    (void) clock_gettime(CLOCK_REALTIME, &now);
    (void) gmtime_r(&now.tv_sec, &tm);
    (void) strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
    n = snprintf(line, sizeof(line), "%s.%03ldZ %s %u ", stamp, now.tv_nsec / 1000000, operation_to_string(operation),
                 status);
    used = (size_t) n;
    va_start(arguments, format);
    n = vsnprintf(line + used, sizeof(line) - used - 1, format, arguments);
    va_end(arguments);
    used = n < 0 ? used : used + (size_t) n;
    if (used > sizeof(line) - 2)
        used = sizeof(line) - 2;
    line[used++] = '\n';
    if (write(server->log, line, used) < 0)
        complain("cannot write the log: %m");
}

void server_sleep(Server *server, int64_t seconds) {
    struct timespec until;

    (void) clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += seconds;
    (void) pthread_mutex_lock(&server->lock);
    while (!server->stopping && pthread_cond_timedwait(&server->stopped, &server->lock, &until) == 0)
        ;
    (void) pthread_mutex_unlock(&server->lock);
}

Fault server_take_fault(Server *server, Operation operation) {
    Fault fault;

    (void) pthread_mutex_lock(&server->lock);
    server->requests[operation]++;
    fault = faults_take(&server->faults, operation);
    (void) pthread_mutex_unlock(&server->lock);
    return fault;
}

/* A listening socket; `port` 0 lets the kernel choose, and `ret_port` says what it chose. */
static int listen_on(const char *address, uint16_t port, uint16_t *ret_port) {
    struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons(port) };
    socklen_t length = sizeof(name);
    _cleanup_close_ int fd = -1;
    const int on = 1;

    if (inet_pton(AF_INET, address, &name.sin_addr) != 1) {
        complain("%s is not an IPv4 address", address);
        return -EINVAL;
    }
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
        return -errno;
    if (bind(fd, (struct sockaddr *) &name, sizeof(name)) < 0 || listen(fd, SOMAXCONN) < 0 ||
        getsockname(fd, (struct sockaddr *) &name, &length) < 0)
        return -errno;
    *ret_port = ntohs(name.sin_port);
    return TAKE_FD(fd);
}

/* The port that was asked for; else the one this directory had before; else any. */
static int listen_again(const ServerOptions *options, uint16_t wanted, const char *file, uint16_t *ret_port) {
    _cleanup_free_ char *before = file_read_line(options->directory, file);
    char text[16];
    int64_t port = wanted;
    int fd;

    if (port == 0 && before && parse_number(before, 1, UINT16_MAX, &port) < 0)
        port = 0;
    fd = listen_on(options->address, (uint16_t) port, ret_port);
    if (fd == -EADDRINUSE && wanted == 0)
        fd = listen_on(options->address, 0, ret_port);
    if (fd < 0) {
        complain("cannot listen on %s port %u: %s", options->address, (unsigned) port, strerror(-fd));
        return fd;
    }
    (void) snprintf(text, sizeof(text), "%u\n", *ret_port);
    (void) file_write_text(options->directory, file, text);
    return fd;
}

static void connection_event(void *data, struct MHD_Connection *connection, void **context,
                             enum MHD_ConnectionNotificationCode code) {
    const union MHD_ConnectionInfo *info;

    if (code != MHD_CONNECTION_NOTIFY_STARTED)
        return;
    info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    if (info && info->tls_session)
        tls_prepare(data, info->tls_session);
}

static void daemon_log(void *data, const char *format, va_list arguments) _printf_(2, 0);
static void daemon_log(void *data, const char *format, va_list arguments) {
    (void) data;
    (void) format;
    (void) arguments; /* clients that go away are no news: faults make them do so */
}

static int start_crl(Server *server, int fd) {
    server->crl = MHD_start_daemon(MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_ERROR_LOG,
                                   0, NULL, NULL, crl_handle, server, MHD_OPTION_LISTEN_SOCKET, fd,
                                   MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
                                   CONNECTION_SECONDS, MHD_OPTION_EXTERNAL_LOGGER, daemon_log, NULL, MHD_OPTION_END);
    if (!server->crl) {
        complain("libmicrohttpd does not start");
        return -EIO;
    }
    return 0;
}

static int start_est(Server *server, int fd) {
    server->est = MHD_start_daemon(
        MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_ERROR_LOG | MHD_USE_TLS, 0, NULL,
        NULL, est_handle, server, MHD_OPTION_EXTERNAL_LOGGER, daemon_log, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_HTTPS_MEM_CERT, credentials_certificate_pem(server->credentials), MHD_OPTION_HTTPS_MEM_KEY,
        credentials_key_pem(server->credentials), MHD_OPTION_NOTIFY_CONNECTION, connection_event, server,
        MHD_OPTION_NOTIFY_COMPLETED, est_completed, server, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, CONNECTION_SECONDS, MHD_OPTION_DIGEST_AUTH_RANDOM, sizeof(server->random),
        server->random, MHD_OPTION_NONCE_NC_SIZE, 300U, MHD_OPTION_END);
    if (!server->est) {
        complain("libmicrohttpd does not start with TLS");
        return -EIO;
    }
    return 0;
}

static int load_client_anchors(Server *server, const char *path) {
    _cleanup_datum_ gnutls_datum_t pem = DATUM_NULL;
    int r;

    r = file_read(".", path, &pem);
    if (r < 0) {
        complain("cannot read %s: %s", path, strerror(-r));
        return r;
    }
    r = gnutls_x509_crt_list_import2(&server->client_anchors, &server->client_anchor_count, &pem, GNUTLS_X509_FMT_PEM,
                                     0);
    return r < 0 ? gnutls_complain(r, path) : 0;
}

/* What other programs look for in the directory. */
static int write_addresses(const Server *server) {
    char text[512];
    int r;

    (void) snprintf(text, sizeof(text), "https://%s:%u/.well-known/est\n", server->host, server->est_port);
    r = file_write_text(server->directory, "est-url", text);
    if (r < 0)
        return r;
    (void) snprintf(text, sizeof(text), "http://%s:%u/crl/%s.crl\n", server->host, server->crl_port,
                    ca_issuer(server->ca)->name);
    return file_write_text(server->directory, "crl-url", text);
}

static int open_log(Server *server) {
    _cleanup_free_ char *path = path_join(server->directory, "log");

    if (!path)
        return -ENOMEM;
    server->log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    return server->log < 0 ? -errno : 0;
}

static int init_lock(Server *server) {
    pthread_condattr_t attributes;

    if (pthread_mutex_init(&server->lock, NULL) != 0 || pthread_condattr_init(&attributes) != 0)
        return -ENOMEM;
    (void) pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (pthread_cond_init(&server->stopped, &attributes) != 0)
        return -ENOMEM;
    (void) pthread_condattr_destroy(&attributes);
    return 0;
}

/* All that needs no listening socket. */
static int prepare(Server *server, const ServerOptions *options) {
    int r;

    server->lifetime = options->lifetime;
    server->crls.lifetime = options->crl_lifetime;
    server->authentication = options->authentication;
    server->open = options->open;
    server->directory = strdup(options->directory);
    server->host = strdup(options->host);
    if (!server->directory || !server->host)
        return -ENOMEM;
    if (mkdir(options->directory, 0755) < 0 && errno != EEXIST) {
        complain("cannot make the directory %s: %m", options->directory);
        return -errno;
    }
    r = open_log(server);
    if (r == 0 && options->users)
        r = users_load(server, options->users);
    if (r == 0 && options->client_anchors)
        r = load_client_anchors(server, options->client_anchors);
    if (r == 0 && gnutls_rnd(GNUTLS_RND_NONCE, server->random, sizeof(server->random)) < 0)
        r = -EIO;
    if (r == 0) {
        r = csrattrs_make(options->csrattrs, &server->csrattrs);
        if (r < 0)
            complain("no such csrattrs variant: %s", options->csrattrs);
    }
    return r;
}

static int start_listening(Server *server, const ServerOptions *options) {
    _cleanup_close_ int est_fd = -1, crl_fd = -1;
    CaOptions ca_options = options->ca;
    _cleanup_free_ char *crl_base = NULL;
    int r;

    est_fd = listen_again(options, options->est_port, "est-port", &server->est_port);
    if (est_fd < 0)
        return est_fd;
    crl_fd = listen_again(options, options->crl_port, "crl-port", &server->crl_port);
    if (crl_fd < 0)
        return crl_fd;
    if (asprintf(&crl_base, "http://%s:%u/crl", server->host, server->crl_port) < 0)
        return -ENOMEM;
    ca_options.crl_base = crl_base;
    r = ca_open(server->directory, &ca_options, &server->ca);
    if (r == 0)
        r = credentials_renew(server);
    if (r == 0)
        r = start_crl(server, crl_fd);
    if (r == 0) {
        (void) TAKE_FD(crl_fd);
        r = start_est(server, est_fd);
    }
    if (r == 0) {
        (void) TAKE_FD(est_fd);
        r = write_addresses(server);
    }
    return r;
}

int server_start(const ServerOptions *options, Server **ret) {
    Server *server = calloc(1, sizeof(Server));
    int r;

    if (!server)
        return -ENOMEM;
    server->log = -1;
    r = init_lock(server);
    if (r < 0) {
        free(server);
        return r;
    }
    r = prepare(server, options);
    if (r == 0)
        r = start_listening(server, options);
    if (r < 0) {
        (void) server_stop(server);
        return r;
    }
    *ret = server;
    return 0;
}

Server *server_stop(Server *server) {
    if (!server)
        return NULL;
    (void) pthread_mutex_lock(&server->lock);
    server->stopping = true;
    (void) pthread_cond_broadcast(&server->stopped);
    (void) pthread_mutex_unlock(&server->lock);
    if (server->est)
        MHD_stop_daemon(server->est);
    if (server->crl)
        MHD_stop_daemon(server->crl);
    (void) credentials_free(server->credentials);
    (void) ca_free(server->ca);
    crl_cache_drop(&server->crls);
    csrattrs_clear(&server->csrattrs);
    users_clear(server);
    for (unsigned i = 0; i < server->client_anchor_count; i++)
        gnutls_x509_crt_deinit(server->client_anchors[i]);
    gnutls_free(server->client_anchors);
    (void) close_safe(server->log);
    free(server->crl_file);
    free(server->directory);
    free(server->host);
    (void) pthread_cond_destroy(&server->stopped);
    (void) pthread_mutex_destroy(&server->lock);
    free(server);
    return NULL;
}
