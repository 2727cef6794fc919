/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lab-ca: a certificate authority with an EST server for laboratories and tests. Its keys lie unprotected on disk and
 * it misbehaves when told to: never use it for anything else. */
#include "index.h"
#include "issue.h"
#include "server.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>

#define LIFETIME_DEFAULT     (90 * 24 * 60 * 60)
#define CRL_LIFETIME_DEFAULT (24 * 60 * 60)

static void print_help(void) {
    (void) puts(
        "lab-ca: a CA with an EST server, for laboratories and tests only\n"
        "\n"
        "lab-ca serve DIR [OPTION…]         serves until SIGTERM; makes the CA where there is none\n"
        "  --lifetime SECONDS               of what it issues (90 days)\n"
        "  --algorithm NAME                 of new CA keys: ecdsa-p256, ecdsa-p384, rsa-2048, rsa-3072\n"
        "  --users FILE                     user:password lines, for HTTP authentication\n"
        "  --http-auth SCHEME               basic, digest (SHA-256) or digest-md5; basic where there are users.\n"
        "                                   Odd ones: silent (Basic that nobody announces), unknown (beside a Digest\n"
        "                                   of an unknown algorithm), foreign (an unknown scheme alone), stale "
        "(Digest\n"
        "                                   whose nonces never last)\n"
        "  --client-anchors FILE            other CAs whose certificates may enrol\n"
        "  --open                           enrols whoever asks\n"
        "  --csrattrs VARIANT               what /csrattrs answers (none)\n"
        "  --separate-server-root           the HTTPS server's certificate comes from a root of its own\n"
        "  --ocsp-url URL                   in what it issues\n"
        "  --crl-lifetime SECONDS           (one day)\n"
        "  --address IPV4 --est-port N --crl-port N --host NAME   where it listens (127.0.0.1, the kernel's choice)\n"
        "lab-ca init DIR [--algorithm NAME]  makes the CA and serves nothing\n"
        "lab-ca sign DIR --csr FILE [--out FILE] [--chain] [--lifetime SECONDS | --idevid]\n"
        "                                   signs a PKCS#10 by hand; --idevid: without expiry\n"
        "lab-ca revoke DIR SERIAL|name=COMMON-NAME [REASON]\n"
        "lab-ca control DIR COMMAND…        tells the one that serves DIR: fault, clear, revoke, release,\n"
        "                                   rollover begin|switch|finish, csrattrs, lifetime,\n"
        "                                   intermediate-lifetime, crl-lifetime, crl-renew, crl-file, forget-pending, "
        "status, stop\n"
        "\n"
        "DIR then holds root.pem intermediate.pem server.pem (anchors of the HTTPS server) est-url crl-url index.txt\n"
        "log (time, operation, status, result), ready while it serves, private/ and issued/.\n");
    faults_print_help();
    (void) putchar('\n');
    csrattrs_print_help();
}

static int usage(const char *what) {
    complain("%s; see lab-ca --help", what);
    return 2;
}

static int parse_authentication(const char *name, HttpAuthentication *ret) {
    static const char *const names[] = { "none",   "basic",   "digest",  "digest-md5",
                                         "silent", "unknown", "foreign", "stale" };

    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        if (strcmp(names[i], name) == 0) {
            *ret = (HttpAuthentication) i;
            return 0;
        }
    return -EINVAL;
}

static int parse_port(const char *text, uint16_t *ret) {
    int64_t port;

    if (parse_number(text, 1, UINT16_MAX, &port) < 0)
        return -EINVAL;
    *ret = (uint16_t) port;
    return 0;
}

static int parse_serve_option(int option, ServerOptions *options) {
    switch (option) {
    case 'l':
        return parse_number(optarg, 1, INT32_MAX, &options->lifetime);
    case 'a':
        return ca_algorithm_from_string(optarg, &options->ca.algorithm);
    case 'u':
        options->users = optarg;
        if (options->authentication == HTTP_AUTH_NONE)
            options->authentication = HTTP_AUTH_BASIC;
        return 0;
    case 'h':
        return parse_authentication(optarg, &options->authentication);
    case 'c':
        options->client_anchors = optarg;
        return 0;
    case 'o':
        options->open = true;
        return 0;
    case 's':
        options->csrattrs = optarg;
        return 0;
    case 'r':
        options->ca.separate_server_root = true;
        return 0;
    case 'O':
        options->ca.ocsp_url = optarg;
        return 0;
    case 'L':
        return parse_number(optarg, 1, INT32_MAX, &options->crl_lifetime);
    case 'A':
        options->address = optarg;
        return 0;
    case 'H':
        options->host = optarg;
        return 0;
    case 'p':
        return parse_port(optarg, &options->est_port);
    case 'P':
        return parse_port(optarg, &options->crl_port);
    default:
        return -EINVAL;
    }
}

static const struct option serve_options[] = {
    { "lifetime", required_argument, NULL, 'l' },
    { "algorithm", required_argument, NULL, 'a' },
    { "users", required_argument, NULL, 'u' },
    { "http-auth", required_argument, NULL, 'h' },
    { "client-anchors", required_argument, NULL, 'c' },
    { "open", no_argument, NULL, 'o' },
    { "csrattrs", required_argument, NULL, 's' },
    { "separate-server-root", no_argument, NULL, 'r' },
    { "ocsp-url", required_argument, NULL, 'O' },
    { "crl-lifetime", required_argument, NULL, 'L' },
    { "address", required_argument, NULL, 'A' },
    { "host", required_argument, NULL, 'H' },
    { "est-port", required_argument, NULL, 'p' },
    { "crl-port", required_argument, NULL, 'P' },
    { 0 },
};

/* Blocks the signals that end the server, before any thread exists. */
static int catch_signals(void) {
    sigset_t set;

    (void) signal(SIGPIPE, SIG_IGN);
    (void) sigemptyset(&set);
    (void) sigaddset(&set, SIGTERM);
    (void) sigaddset(&set, SIGINT);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
        return -EINVAL;
    return signalfd(-1, &set, SFD_CLOEXEC);
}

static int run_serve(const char *directory, int argc, char **argv) {
    ServerOptions options = {
        .directory = directory,
        .address = "127.0.0.1",
        .lifetime = LIFETIME_DEFAULT,
        .crl_lifetime = CRL_LIFETIME_DEFAULT,
        .csrattrs = "none",
        .ca.algorithm = CA_ECDSA_P256,
    };
    _cleanup_free_ char *ready = path_join(directory, "ready");
    _cleanup_close_ int signals = -1;
    Server *server = NULL;
    int option, r;

    while ((option = getopt_long(argc, argv, "", serve_options, NULL)) != -1)
        if (parse_serve_option(option, &options) < 0)
            return usage("a bad option of serve");
    if (optind != argc || !ready)
        return usage("serve takes one directory");
    if (!options.host)
        options.host = options.address;
    if (options.authentication != HTTP_AUTH_NONE && !options.users)
        return usage("--http-auth wants --users");
    (void) unlink(ready);
    signals = catch_signals();
    if (signals < 0)
        return 1;
    r = server_start(&options, &server);
    if (r < 0)
        return 1;
    (void) fprintf(stderr,
                   "lab-ca: for laboratories and tests only: the keys in %s lie open, and it lies on request.\n"
                   "lab-ca: EST on https://%s:%u/.well-known/est\n",
                   directory, options.host, server->est_port);
    r = control_serve(server, signals);
    (void) unlink(ready);
    (void) server_stop(server);
    return r < 0 ? 1 : 0;
}

static int run_init(const char *directory, int argc, char **argv) {
    CaOptions options = { .algorithm = CA_ECDSA_P256 };
    _cleanup_ca_ Ca *ca = NULL;

    if (argc == 3 && strcmp(argv[1], "--algorithm") == 0) {
        if (ca_algorithm_from_string(argv[2], &options.algorithm) < 0)
            return usage("no such algorithm");
    } else if (argc != 1)
        return usage("init takes a directory and --algorithm");
    return ca_open(directory, &options, &ca) < 0 ? 1 : 0;
}

typedef struct SignOptions {
    const char *csr, *out;
    int64_t lifetime;
    bool chain;
} SignOptions;

static int parse_sign(int argc, char **argv, SignOptions *ret) {
    static const struct option known[] = {
        { "csr", required_argument, NULL, 'c' },      { "out", required_argument, NULL, 'o' },
        { "lifetime", required_argument, NULL, 'l' }, { "idevid", no_argument, NULL, 'i' },
        { "chain", no_argument, NULL, 'C' },          { 0 },
    };
    int option;

    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (option == 'c')
            ret->csr = optarg;
        else if (option == 'o')
            ret->out = optarg;
        else if (option == 'i')
            ret->lifetime = 0;
        else if (option == 'C')
            ret->chain = true;
        else if (option != 'l' || parse_number(optarg, 1, INT32_MAX, &ret->lifetime) < 0)
            return -EINVAL;
    }
    return optind == argc && ret->csr ? 0 : -EINVAL;
}

static int run_sign(const char *directory, int argc, char **argv) {
    _cleanup_datum_ gnutls_datum_t data = DATUM_NULL;
    _cleanup_crq_ gnutls_x509_crq_t request = NULL;
    _cleanup_crt_ gnutls_x509_crt_t certificate = NULL;
    _cleanup_ca_ Ca *ca = NULL;
    const CaOptions ca_options = { .algorithm = CA_ECDSA_P256 };
    SignOptions options = { .lifetime = LIFETIME_DEFAULT, .out = "/dev/stdout" };
    const char *reason = "out of memory";
    gnutls_x509_crt_t list[2];
    IssueOrder order;
    bool pem;

    if (parse_sign(argc, argv, &options) < 0)
        return usage("sign wants --csr FILE");
    if (file_read(".", options.csr, &data) < 0) {
        complain("cannot read %s", options.csr);
        return 1;
    }
    pem = memmem(data.data, data.size, "-----BEGIN", 10) != NULL;
    if (request_import(&data, pem ? GNUTLS_X509_FMT_PEM : GNUTLS_X509_FMT_DER, &request, &reason) < 0) {
        complain("%s: %s", options.csr, reason);
        return 1;
    }
    order = (IssueOrder) { .request = request, .lifetime = options.lifetime };
    if (ca_open(directory, &ca_options, &ca) < 0 || issue_certificate(ca, &order, &certificate) < 0)
        return 1;
    list[0] = certificate;
    list[1] = ca_issuer(ca)->certificate;
    return certificates_print(options.out, list, options.chain ? 2 : 1) < 0 ? 1 : 0;
}

static int run_revoke(const char *directory, int argc, char **argv) {
    bool by_name = argc > 1 && strncmp(argv[1], "name=", 5) == 0;
    int r;

    if (argc < 2 || argc > 3)
        return usage("revoke takes a directory, a serial number or name=…, and a reason");
    r = index_revoke(directory, by_name ? NULL : argv[1], by_name ? argv[1] + 5 : NULL, argc > 2 ? argv[2] : "");
    if (r < 0) {
        complain("cannot revoke %s: %s", argv[1], r == -ENOENT ? "nothing that is valid matches" : strerror(-r));
        return 1;
    }
    (void) printf("%d revoked\n", r);
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 3) {
        if (argc == 2 && strcmp(argv[1], "--help") == 0) {
            print_help();
            return 0;
        }
        return usage("wanted: a command and a directory");
    }
    if (strcmp(argv[1], "serve") == 0)
        return run_serve(argv[2], argc - 2, argv + 2);
    if (strcmp(argv[1], "init") == 0)
        return run_init(argv[2], argc - 2, argv + 2);
    if (strcmp(argv[1], "sign") == 0)
        return run_sign(argv[2], argc - 2, argv + 2);
    if (strcmp(argv[1], "revoke") == 0)
        return run_revoke(argv[2], argc - 2, argv + 2);
    if (strcmp(argv[1], "control") == 0)
        return control_send(argv[2], argv + 3, (size_t) argc - 3);
    return usage("no such command");
}
