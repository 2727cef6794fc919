/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The running lab CA: what its HTTP threads, its control socket and main share. `lock` guards everything below it. */
#pragma once

#include "ca.h"
#include "crl.h"
#include "csrattrs.h"
#include "faults.h"

#include <microhttpd.h>
#include <pthread.h>

#define SERVER_USERS_MAX   256U
#define SERVER_PENDING_MAX 256U
#define SERVER_REALM       "identityd lab"

typedef enum HttpAuthentication {
    HTTP_AUTH_NONE,
    HTTP_AUTH_BASIC,
    HTTP_AUTH_DIGEST,
    HTTP_AUTH_DIGEST_MD5,
    HTTP_AUTH_SILENT,  /* Basic, which the 401 does not say */
    HTTP_AUTH_UNKNOWN, /* Basic, beside a Digest of an algorithm that nobody knows */
    HTTP_AUTH_FOREIGN, /* a scheme that nobody knows */
    HTTP_AUTH_STALE,   /* Digest that admits nobody: each nonce is stale at once */
} HttpAuthentication;

typedef struct ServerOptions {
    const char *directory;
    const char *address, *host; /* IPv4 to listen on; the name in URLs and in the server's certificate */
    CaOptions ca;
    uint16_t est_port, crl_port;    /* 0: what it had before, else the kernel chooses */
    int64_t lifetime, crl_lifetime; /* seconds */
    HttpAuthentication authentication;
    const char *users;          /* file of user:password lines, or NULL */
    const char *client_anchors; /* PEM of other CAs whose certificates may enrol, or NULL */
    const char *csrattrs;       /* a variant's name */
    bool open;                  /* enrols whoever asks */
} ServerOptions;

/* A request that was answered with 202: the digest of its DER, and from when on it gets its certificate. */
typedef struct Pending {
    uint8_t digest[32];
    time_t ready;
} Pending;

typedef struct User {
    char *name, *password;
} User;

/* The HTTPS server's certificates: the right one, and one for each fault of the connection. */
typedef struct ServerCredentials ServerCredentials;

typedef struct Server {
    char *directory;
    int log; /* append-only */
    HttpAuthentication authentication;
    bool open;
    User users[SERVER_USERS_MAX];
    size_t user_count;
    gnutls_x509_crt_t *client_anchors;
    unsigned client_anchor_count;
    struct MHD_Daemon *est, *crl;
    uint16_t est_port, crl_port;
    char *host;
    uint8_t random[32]; /* for Digest's nonces */

    pthread_mutex_t lock;
    pthread_cond_t stopped; /* wakes whoever is slow on purpose */
    bool stopping;
    Ca *ca;
    CrlCache crls;
    char *crl_file; /* served instead of every CRL, or NULL */
    Csrattrs csrattrs;
    Faults faults;
    Pending pending[SERVER_PENDING_MAX];
    size_t pending_count;
    int64_t lifetime;
    ServerCredentials *credentials;
    uint64_t requests[_OPERATION_COUNT];
} Server;

/* Listens and serves; on return everything in the directory is written but `ready`. 0 or a negative errno. */
int server_start(const ServerOptions *options, Server **ret);

/* Stops the threads; frees. */
Server *server_stop(Server *server);

/* One line in DIR/log: time, operation, HTTP status (0: none), result, further words. Thread-safe. */
void server_log(Server *server, Operation operation, unsigned status, const char *format, ...) _printf_(4, 5);

/* Waits, or until the server stops. */
void server_sleep(Server *server, int64_t seconds);

/* Takes the fault for a request of this operation, and counts the request. */
Fault server_take_fault(Server *server, Operation operation);

/* Serves the control socket until "stop", SIGTERM or SIGINT. `signals` is a signalfd. */
int control_serve(Server *server, int signals);

/* Sends one command to the control socket of DIR and prints the answer. Returns an exit status. */
int control_send(const char *directory, char *const *words, size_t count);
