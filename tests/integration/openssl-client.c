/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a program does with OpenSSL and a key that may be an identity; built like the provider, so that the sanitizers
 * watch both. OPENSSL_CONF says which providers there are.
 *
 *   openssl-client load KEY          by PEM_read_bio_PrivateKey, and by OSSL_STORE; prints type, bits and what the
 * store has openssl-client held KEY          loads, then signs once for each line of its input; prints "signed" or the
 * error queue; at a line "close" its credential handles are closed first and their numbers given to others, and it
 * prints, too, whether those were left alone openssl-client threads KEY N C   C signatures in each of N threads with
 * one EVP_PKEY, verified openssl-client fork KEY          signs in the parent, in children while threads of the parent
 * sign, and in the parent again openssl-client handshakes C CLIENT-KEY CLIENT-CHAIN SERVER-KEY SERVER-CHAIN ROOT     C
 * TLS 1.3 handshakes in memory
 *
 * KEY is a file or a URI. Exit: 0 good, 1 not (the error queue is printed), 2 usage. */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/ssl.h>
#include <openssl/store.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS_MAX 32
#define CHILDREN    4U

static int complain(const char *what) {
    printf("%s:\n", what);
    ERR_print_errors_fp(stdout);
    (void) fflush(stdout);
    return 1;
}

static bool is_uri(const char *key) {
    return strncmp(key, "identityd:", strlen("identityd:")) == 0;
}

/* All that a store has; the first key is returned. */
static EVP_PKEY *load_from_store(const char *uri, bool say) {
    OSSL_STORE_CTX *store = OSSL_STORE_open(uri, NULL, NULL, NULL, NULL);
    EVP_PKEY *key = NULL;

    while (store && !OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);
        if (!info)
            break;
        if (say)
            printf("store %s\n", OSSL_STORE_INFO_type_string(OSSL_STORE_INFO_get_type(info)));
        if (!key && OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY)
            key = OSSL_STORE_INFO_get1_PKEY(info);
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    return key;
}

static EVP_PKEY *load_key(const char *name) {
    if (is_uri(name))
        return load_from_store(name, false);
    BIO *file = BIO_new_file(name, "r");
    EVP_PKEY *key = file ? PEM_read_bio_PrivateKey(file, NULL, NULL, NULL) : NULL;
    BIO_free(file);
    return key;
}

/* ---- signing ---- */

/* The content of a client's CertificateVerify: what the purpose tls-client signs. */
static size_t make_content(uint8_t content[static 130], unsigned number) {
    static const char context[] = "TLS 1.3, client CertificateVerify";

    memset(content, 0x20, 64);
    memcpy(content + 64, context, sizeof context);
    memset(content + 98, 0, 32);
    memcpy(content + 98, &number, sizeof number);
    return 130;
}

/* Streams the content in two parts, signs, verifies. */
static bool sign(EVP_PKEY *key, unsigned number) {
    uint8_t content[130], signature[512];
    size_t size = make_content(content, number), signature_size = sizeof signature;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pkey_context;
    const char *digest = EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_bits(key) == 384 ? "SHA384" : "SHA256";

    bool good =
        context && EVP_DigestSignInit_ex(context, &pkey_context, digest, NULL, NULL, key, NULL) > 0 &&
        (!EVP_PKEY_is_a(key, "RSA") || (EVP_PKEY_CTX_set_rsa_padding(pkey_context, RSA_PKCS1_PSS_PADDING) > 0 &&
                                        EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey_context, RSA_PSS_SALTLEN_DIGEST) > 0)) &&
        EVP_DigestSignUpdate(context, content, 60) > 0 && EVP_DigestSignUpdate(context, content + 60, size - 60) > 0 &&
        EVP_DigestSignFinal(context, signature, &signature_size) > 0;
    EVP_MD_CTX_free(context);
    context = EVP_MD_CTX_new();
    good = good && context && EVP_DigestVerifyInit_ex(context, &pkey_context, digest, NULL, NULL, key, NULL) > 0 &&
           (!EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_CTX_set_rsa_padding(pkey_context, RSA_PKCS1_PSS_PADDING) > 0) &&
           EVP_DigestVerify(context, signature, signature_size, content, size) > 0;
    content[129] ^= 1;
    if (good && EVP_DigestVerifyInit_ex(context, NULL, digest, NULL, NULL, key, NULL) > 0 &&
        EVP_DigestVerify(context, signature, signature_size, content, size) > 0) {
        printf("a wrong message verifies\n");
        good = false;
    }
    EVP_MD_CTX_free(context);
    return good;
}

static int load(char **arguments) {
    EVP_PKEY *key = load_key(arguments[0]);

    if (!key)
        return complain("load");
    printf("%s %d %s\n", EVP_PKEY_get0_type_name(key), EVP_PKEY_get_bits(key),
           OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(key)));
    EVP_PKEY_free(key);
    EVP_PKEY_free(load_from_store(arguments[0], true));
    return 0;
}

#define LONG_MESSAGE 70000U /* more than a handle takes: its hash is what is signed */

/* 0: what must not be possible was not. */
static int begun(char **arguments) {
    static const uint8_t message[LONG_MESSAGE];
    uint8_t signature[512];
    size_t first = sizeof signature, second = sizeof signature;
    EVP_PKEY *key = load_key(arguments[0]);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pkey_context = NULL;

    if (!key || !context || EVP_DigestSignInit_ex(context, &pkey_context, "SHA256", NULL, NULL, key, NULL) <= 0 ||
        EVP_DigestSignUpdate(context, message, sizeof message) <= 0)
        return complain("begun");
    if (EVP_PKEY_CTX_set_signature_md(pkey_context, EVP_sha512()) > 0)
        return complain("the hash was changed");
    EVP_MD_CTX_set_flags(context, EVP_MD_CTX_FLAG_FINALISE);
    if (EVP_DigestSignFinal(context, signature, &first) <= 0)
        return complain("it does not sign");
    if (EVP_DigestSignFinal(context, signature, &second) > 0)
        return complain("it signed twice");
    EVP_MD_CTX_free(context);
    context = EVP_MD_CTX_new();
    bool good = EVP_DigestVerifyInit_ex(context, NULL, "SHA256", NULL, NULL, key, NULL) > 0 &&
                EVP_DigestVerify(context, signature, first, message, sizeof message) > 0;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    return good ? 0 : complain("it does not verify");
}

#define ENDS_MAX 16

/* As a program does that closes all descriptors and opens others: how many handles there were. */
static int take_handles_away(int ends[static ENDS_MAX]) {
    int count = 0;

    for (int fd = 3; fd < 256 && count < ENDS_MAX; fd++) {
        int type = 0, pair[2];
        socklen_t size = sizeof type;
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_SEQPACKET)
            continue;
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 || dup2(pair[0], fd) < 0)
            return -1;
        (void) close(pair[0]);
        ends[count++] = pair[1];
    }
    return count;
}

/* Nobody wrote to them, or closed them. */
static bool were_left_alone(const int *ends, int count) {
    for (int i = 0; i < count; i++) {
        struct pollfd item = { .fd = ends[i], .events = POLLIN };
        if (poll(&item, 1, 0) != 0)
            return false;
    }
    return count > 0;
}

static int held(char **arguments) {
    EVP_PKEY *key = load_key(arguments[0]);
    int ends[ENDS_MAX];
    char line[16];

    if (!key)
        return complain("load");
    printf("loaded\n");
    (void) fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        int count = strcmp(line, "close\n") == 0 ? take_handles_away(ends) : 0;
        if (sign(key, 1))
            printf("signed\n");
        else
            complain("refused");
        if (count != 0)
            printf("%s\n", were_left_alone(ends, count) ? "left alone" : "disturbed");
        ERR_clear_error();
        printf(".\n");
        (void) fflush(stdout);
    }
    EVP_PKEY_free(key);
    return 0;
}

/* ---- threads and processes ---- */

typedef struct Work {
    EVP_PKEY *key;
    unsigned count;
    atomic_uint failed;
} Work;

static void *work(void *data) {
    Work *work = data;

    for (unsigned i = 0; i < work->count; i++)
        if (!sign(work->key, i)) {
            atomic_fetch_add(&work->failed, 1);
            complain("sign");
        }
    return NULL;
}

static unsigned start(Work *common, pthread_t threads[static THREADS_MAX], unsigned wanted) {
    unsigned started = 0;

    while (started < wanted && started < THREADS_MAX && pthread_create(&threads[started], NULL, work, common) == 0)
        started++;
    return started;
}

static void join(pthread_t threads[static THREADS_MAX], unsigned started) {
    for (unsigned i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
}

static int in_threads(char **arguments) {
    Work common = { .key = load_key(arguments[0]), .count = (unsigned) atoi(arguments[2]) };
    pthread_t threads[THREADS_MAX];

    if (!common.key)
        return complain("load");
    unsigned started = start(&common, threads, (unsigned) atoi(arguments[1]));
    join(threads, started);
    printf("threads %u failed %u\n", started, common.failed);
    EVP_PKEY_free(common.key);
    return common.failed > 0;
}

static bool sign_in_child(EVP_PKEY *key, unsigned depth) {
    int status;

    (void) fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        (void) alarm(20);
        bool good = sign(key, 1) && sign(key, 2) && (depth == 0 || sign_in_child(key, depth - 1));
        if (!good)
            complain("child");
        EVP_PKEY_free(key);
        (void) fflush(stdout);
        _exit(good ? 0 : 1);
    }
    return child > 0 && waitpid(child, &status, 0) > 0 && status == 0;
}

/* Without threads beside: OpenSSL's own locks do not survive a fork in the midst of their use. */
static int in_children(char **arguments) {
    EVP_PKEY *key = load_key(arguments[0]);
    unsigned failed = 0;

    if (!key || !sign_in_child(key, 0) || !sign(key, 0))
        return complain("the parent before");
    for (unsigned i = 0; i < CHILDREN; i++)
        failed += !sign_in_child(key, 1);
    if (!sign(key, 1))
        return complain("the parent after");
    printf("children %u failed %u\n", CHILDREN, failed);
    EVP_PKEY_free(key);
    return failed > 0;
}

/* ---- handshakes ---- */

static SSL_CTX *make_side(const SSL_METHOD *method, const char *key, const char *chain, const char *root) {
    SSL_CTX *context = SSL_CTX_new(method);

    if (context && SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) > 0 &&
        SSL_CTX_use_certificate_chain_file(context, chain) > 0 &&
        SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) > 0 && SSL_CTX_check_private_key(context) > 0 &&
        SSL_CTX_load_verify_file(context, root) > 0) {
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        return context;
    }
    SSL_CTX_free(context);
    return NULL;
}

static bool wants_more(SSL *ssl, int r) {
    return r <= 0 && SSL_get_error(ssl, r) == SSL_ERROR_WANT_READ;
}

static bool handshake(SSL_CTX *client_context, SSL_CTX *server_context) {
    SSL *client = SSL_new(client_context), *server = SSL_new(server_context);
    BIO *one = NULL, *other = NULL;
    int c = 0, s = 0;

    if (client && server && BIO_new_bio_pair(&one, 0, &other, 0) > 0) {
        SSL_set_bio(client, one, one);
        SSL_set_bio(server, other, other);
        SSL_set_connect_state(client);
        SSL_set_accept_state(server);
        for (unsigned turn = 0; turn < 20 && (c <= 0 || s <= 0); turn++) {
            if (c <= 0 && (c = SSL_do_handshake(client)) <= 0 && !wants_more(client, c))
                break;
            if (s <= 0 && (s = SSL_do_handshake(server)) <= 0 && !wants_more(server, s))
                break;
        }
    }
    bool good = c > 0 && s > 0 && SSL_get_verify_result(client) == X509_V_OK &&
                SSL_get_verify_result(server) == X509_V_OK && SSL_get0_peer_certificate(server);
    SSL_free(client);
    SSL_free(server);
    return good;
}

static int handshakes(char **arguments) {
    SSL_CTX *client = make_side(TLS_client_method(), arguments[1], arguments[2], arguments[5]);
    SSL_CTX *server = client ? make_side(TLS_server_method(), arguments[3], arguments[4], arguments[5]) : NULL;
    int r = server ? 0 : complain(client ? "server" : "client");

    for (int i = 0; r == 0 && i < atoi(arguments[0]); i++)
        if (!handshake(client, server))
            r = complain("handshake");
    SSL_CTX_free(client);
    SSL_CTX_free(server);
    return r;
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        int arguments;
        int (*run)(char **arguments);
    } verbs[] = { { "load", 1, load },          { "begun", 1, begun },      { "held", 1, held },
                  { "threads", 3, in_threads }, { "fork", 1, in_children }, { "handshakes", 6, handshakes } };

    for (size_t i = 0; argc > 1 && i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(argv[1], verbs[i].name) == 0 && argc == verbs[i].arguments + 2)
            return verbs[i].run(argv + 2);
    (void) fprintf(stderr, "usage: see the source\n");
    return 2;
}
