/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A program that loads a certificate and its key from two files, as most do, and finds out whether they belong
 * together: by what OpenSSL says, and by a signature with the key that the certificate verifies.
 *
 *   pair-client loop CHAIN KEY          again and again, in either order, until its input ends; prints "N loads M
 * failures", and each failure with the error queue before that
 *   pair-client between FIRST SECOND    loads FIRST, prints "first", waits for a line, loads SECOND; prints "pair" or
 * the error queue
 *
 * Which of two files is the key is told by its name. OPENSSL_CONF says which providers there are. */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool is_key(const char *path) {
    const char *name = strrchr(path, '/');

    return strcmp(name ? name + 1 : path, "chain.pem") != 0;
}

static bool load(SSL_CTX *context, const char *path) {
    return (is_key(path) ? SSL_CTX_use_PrivateKey_file(context, path, SSL_FILETYPE_PEM)
                         : SSL_CTX_use_certificate_chain_file(context, path)) > 0;
}

/* A client's CertificateVerify content, which the purpose tls-client signs. */
static bool sign_and_verify(const SSL_CTX *context) {
    static const char name[] = "TLS 1.3, client CertificateVerify";
    unsigned char content[130] = { 0 }, signature[512];
    size_t size = sizeof signature;
    EVP_MD_CTX *signing = EVP_MD_CTX_new(), *verifying = EVP_MD_CTX_new();

    memset(content, 0x20, 64);
    memcpy(content + 64, name, sizeof name);
    bool good = signing && verifying &&
                EVP_DigestSignInit(signing, NULL, EVP_sha256(), NULL, SSL_CTX_get0_privatekey(context)) > 0 &&
                EVP_DigestSign(signing, signature, &size, content, sizeof content) > 0 &&
                EVP_DigestVerifyInit(verifying, NULL, EVP_sha256(), NULL,
                                     X509_get0_pubkey(SSL_CTX_get0_certificate(context))) > 0 &&
                EVP_DigestVerify(verifying, signature, size, content, sizeof content) > 0;
    EVP_MD_CTX_free(signing);
    EVP_MD_CTX_free(verifying);
    return good;
}

/* OpenSSL drops a key silently when a certificate comes that it does not belong to: it is there at the end. */
static bool is_pair(const SSL_CTX *context) {
    return SSL_CTX_check_private_key(context) > 0 && sign_and_verify(context);
}

static bool input_ended(void) {
    struct pollfd item = { .fd = STDIN_FILENO, .events = POLLIN };

    return poll(&item, 1, 0) != 0;
}

static int loop(const char *chain, const char *key) {
    unsigned loads = 0, failures = 0;

    for (; !input_ended(); loads++) {
        SSL_CTX *context = SSL_CTX_new(TLS_method());
        const char *first = loads % 2 ? key : chain, *second = loads % 2 ? chain : key;
        if (!context || !load(context, first) || !load(context, second) || !is_pair(context)) {
            failures++;
            printf("%s first:\n", first);
            ERR_print_errors_fp(stdout);
        }
        SSL_CTX_free(context);
    }
    printf("%u loads %u failures\n", loads, failures);
    return failures > 0;
}

static int between(const char *first, const char *second) {
    SSL_CTX *context = SSL_CTX_new(TLS_method());
    char line[8];

    bool good = context && load(context, first);
    printf("first\n");
    (void) fflush(stdout);
    good = fgets(line, sizeof line, stdin) && good && load(context, second) && is_pair(context);
    SSL_CTX_free(context);
    if (good)
        printf("pair\n");
    else
        ERR_print_errors_fp(stdout);
    return !good;
}

int main(int argc, char **argv) {
    if (argc == 4 && strcmp(argv[1], "loop") == 0)
        return loop(argv[2], argv[3]);
    if (argc == 4 && strcmp(argv[1], "between") == 0)
        return between(argv[2], argv[3]);
    (void) fprintf(stderr, "usage: see the source\n");
    return 2;
}
