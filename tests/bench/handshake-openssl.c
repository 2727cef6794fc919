/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Mutual TLS 1.3 handshakes of OpenSSL with itself over memory, in one thread; the server's key is in software.
 *
 * handshake-openssl COUNT software | KEYFILE CHAINFILE | KEYFILE - PROPERTIES: the client's key, through whatever
 * providers OPENSSL_CONF brings. Without CHAINFILE the sandbox's CA certifies it. PROPERTIES, a property query, hold
 * for the client alone. Both sides verify. */
#include "bench/measure.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS_MAX 16U

typedef struct Bench {
    SSL_CTX *server, *client;
} Bench;

/* Certified by the sandbox's CA, as a chain in a new file. */
static int certify(EVP_PKEY *key, const char *properties, char **ret) {
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    X509_REQ *request = X509_REQ_new();
    STACK_OF(X509_EXTENSION) *extensions = sk_X509_EXTENSION_new_null();
    X509_EXTENSION *name = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:localhost");
    BIO *pem = BIO_new(BIO_s_mem());
    char *data;
    int r = -EIO;

    if (digest && request && extensions && name && pem && sk_X509_EXTENSION_push(extensions, name) > 0 &&
        X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request), "CN", MBSTRING_UTF8,
                                   (const unsigned char *) "bench", -1, -1, 0) == 1 &&
        X509_REQ_set_pubkey(request, key) == 1 && X509_REQ_add_extensions(request, extensions) == 1 &&
        EVP_DigestSignInit_ex(digest, NULL, "SHA256", NULL, properties, key, NULL) == 1 &&
        X509_REQ_sign_ctx(request, digest) > 0 && PEM_write_bio_X509_REQ(pem, request) == 1) {
        long size = BIO_get_mem_data(pem, &data);
        r = size > 0 ? measure_certify(data, (size_t) size, ret) : -EIO;
    }
    EVP_MD_CTX_free(digest);
    BIO_free(pem);
    X509_EXTENSION_free(name);
    sk_X509_EXTENSION_free(extensions);
    X509_REQ_free(request);
    return r;
}

static int use_key(SSL_CTX *context, const char *file, const char *chain, const char *properties) {
    char *certified = NULL;
    EVP_PKEY *key = NULL;
    int r = -EIO;

    if (strcmp(file, "software") == 0)
        key = EVP_EC_gen("P-256");
    else if (SSL_CTX_use_PrivateKey_file(context, file, SSL_FILETYPE_PEM) == 1 &&
             (key = SSL_CTX_get0_privatekey(context)))
        (void) EVP_PKEY_up_ref(key);
    if (key && !chain && certify(key, properties, &certified) >= 0)
        chain = certified;
    /* The certificate first: a key that is already there would be compared with it, and thrown away. */
    if (key && chain && SSL_CTX_use_certificate_chain_file(context, chain) == 1 &&
        SSL_CTX_use_PrivateKey(context, key) == 1)
        r = 0;
    if (certified)
        (void) unlink(certified);
    free(certified);
    EVP_PKEY_free(key);
    return r;
}

static SSL_CTX *context_new(const SSL_METHOD *method, const char *file, const char *chain, const char *properties) {
    SSL_CTX *context = SSL_CTX_new_ex(NULL, properties, method);
    char root[4096];

    (void) snprintf(root, sizeof root, "%s/root.pem", getenv("SANDBOX_CA") ?: ".");
    if (context && SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1 &&
        SSL_CTX_load_verify_locations(context, root, NULL) == 1 && use_key(context, file, chain, properties) >= 0) {
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        (void) SSL_CTX_set_num_tickets(context, 0);
        (void) SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
        return context;
    }
    SSL_CTX_free(context);
    return NULL;
}

/* Both ends by turns, until both are done. */
static int shake_hands(SSL *client, SSL *server) {
    for (unsigned i = 0; i < ROUNDS_MAX; i++) {
        int c = SSL_do_handshake(client), s = SSL_do_handshake(server);
        if (c == 1 && s == 1)
            return 0;
        if ((c != 1 && SSL_get_error(client, c) != SSL_ERROR_WANT_READ) ||
            (s != 1 && SSL_get_error(server, s) != SSL_ERROR_WANT_READ))
            break;
    }
    return -EIO;
}

static int handshake(void *userdata) {
    const Bench *bench = userdata;
    SSL *client = SSL_new(bench->client), *server = SSL_new(bench->server);
    BIO *ours = NULL, *theirs = NULL;
    int r = -ENOMEM;

    if (client && server && BIO_new_bio_pair(&ours, 65536, &theirs, 65536) == 1) {
        SSL_set_bio(client, ours, ours);
        SSL_set_bio(server, theirs, theirs);
        SSL_set_connect_state(client);
        SSL_set_accept_state(server);
        r = SSL_set1_host(client, "localhost") == 1 ? shake_hands(client, server) : -EIO;
    }
    if (r < 0)
        ERR_print_errors_fp(stderr);
    SSL_free(client);
    SSL_free(server);
    return r;
}

int main(int argc, char *argv[]) {
    Bench bench = { 0 };
    int r = -EIO;

    if (argc < 3 || argc > 5) {
        fputs("handshake-openssl COUNT software | KEYFILE CHAINFILE | KEYFILE - PROPERTIES\n", stderr);
        return 2;
    }
    bench.server = context_new(TLS_server_method(), "software", NULL, NULL);
    bench.client = context_new(TLS_client_method(), argv[2], argc == 4 ? argv[3] : NULL, argc == 5 ? argv[4] : NULL);
    if (bench.server && bench.client)
        r = measure_run(argv[1], handshake, &bench);
    else
        ERR_print_errors_fp(stderr);
    SSL_CTX_free(bench.client);
    SSL_CTX_free(bench.server);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
