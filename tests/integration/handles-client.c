/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Raw handles: opens some for one identity and purpose, signs through all of them from a thread each, verifies every
 * signature with the chain of the generation that it was asked for, and counts what fails.
 *
 *   handles-client [--handles N] [--count N] [--seconds S] [--pause MS] [--reopen] IDENTITY PURPOSE
 *
 * --reopen opens a closed handle again (identityd was restarted) instead of giving up. Prints each failure and at the
 * end "signatures N failures F generations G,G,…". Exit: 0 no failure, 1 some, 2 usage or a handle that does not open.
 */
#include "common/gnutls-scheme.h"
#include "identityd/identityd.h"

#include <errno.h>
#include <getopt.h>
#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HANDLES_MAX 256

typedef struct Options {
    const char *identity, *purpose;
    unsigned handles, count, seconds, pause;
    bool reopen;
} Options;

static Options options;
static atomic_uint signatures, failures;
static atomic_ullong generations_seen; /* bit per generation, up to 63 */
static struct timespec end_time;

static bool time_is_left(void) {
    struct timespec now;

    (void) clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec < end_time.tv_sec || (now.tv_sec == end_time.tv_sec && now.tv_nsec < end_time.tv_nsec);
}

static int verify(const identityd_snapshot *snapshot, uint16_t scheme, const gnutls_datum_t *content,
                  const gnutls_datum_t *signature) {
    size_t size;
    const char *chain = identityd_snapshot_chain(snapshot, &size);
    gnutls_datum_t pem = { (unsigned char *) (uintptr_t) chain, (unsigned) size };
    gnutls_x509_crt_t certificate = NULL;
    gnutls_pubkey_t pubkey = NULL;

    int r = gnutls_x509_crt_init(&certificate);
    if (r >= 0)
        r = gnutls_x509_crt_import(certificate, &pem, GNUTLS_X509_FMT_PEM);
    if (r >= 0)
        r = gnutls_pubkey_init(&pubkey);
    if (r >= 0)
        r = gnutls_pubkey_import_x509(pubkey, certificate, 0);
    if (r >= 0)
        r = gnutls_pubkey_verify_data2(pubkey, scheme_to_gnutls(scheme_by_id(scheme)), 0, content, signature);
    if (pubkey)
        gnutls_pubkey_deinit(pubkey);
    if (certificate)
        gnutls_x509_crt_deinit(certificate);
    return r;
}

/* What is signed for each purpose, and `content`, what the signature must then be of. */
static int sign(identityd_credential *credential, const identityd_snapshot *snapshot, unsigned number) {
    uint16_t scheme = identityd_snapshot_schemes(snapshot)[0];
    uint32_t generation = identityd_snapshot_generation(snapshot);
    unsigned char content[160], digest[64], buffer[IDENTITYD_SIGNATURE_MAX];
    gnutls_datum_t data = { content, 0 }, signature = { buffer, 0 };
    size_t size = sizeof(buffer);
    int r;

    if (scheme == 0)
        return -EAGAIN;
    if (strncmp(options.purpose, "tls-", 4) == 0) {
        memset(content, ' ', 64);
        (void) snprintf((char *) content + 64, 40, "TLS 1.3, %s CertificateVerify", options.purpose + 4);
        (void) gnutls_hash_fast(GNUTLS_DIG_SHA256, &number, sizeof(number), content + 98);
        data.size = 130;
        r = identityd_sign_transcript(credential, generation, scheme, content + 98, 32, buffer, &size);
    } else {
        data.size =
            (unsigned) snprintf((char *) content, sizeof(content), "message %u of process %d", number, (int) getpid());
        if (strcmp(options.purpose, "digest") == 0) {
            gnutls_digest_algorithm_t hash = gnutls_sign_get_hash_algorithm(scheme_to_gnutls(scheme_by_id(scheme)));
            (void) gnutls_hash_fast(hash, content, data.size, digest);
            r = identityd_sign_digest(credential, generation, scheme, digest, gnutls_hash_get_len(hash), buffer, &size);
        } else
            r = identityd_sign_message(credential, generation, scheme, content, data.size, buffer, &size);
    }
    if (r < 0)
        return r;
    signature.size = (unsigned) size;
    return verify(snapshot, scheme, &data, &signature) < 0 ? -EBADMSG : 0;
}

static int sign_once(identityd_credential *credential, unsigned number) {
    identityd_snapshot *snapshot = NULL;

    int r = identityd_credential_snapshot(credential, &snapshot);
    if ((r == -EPIPE || r == -EKEYREVOKED) && options.reopen && identityd_credential_reopen(credential) >= 0)
        r = identityd_credential_snapshot(credential, &snapshot);
    if (r < 0)
        return r;
    uint32_t generation = identityd_snapshot_generation(snapshot);
    atomic_fetch_or(&generations_seen, 1ULL << (generation < 64 ? generation : 63));
    r = sign(credential, snapshot, number);
    identityd_snapshot_free(snapshot);
    return r;
}

static void *run(void *userdata) {
    identityd_credential *credential = userdata;

    for (unsigned i = 0; i < options.count || time_is_left(); i++) {
        int r = sign_once(credential, i);
        atomic_fetch_add(&signatures, 1);
        if (r < 0) {
            atomic_fetch_add(&failures, 1);
            fprintf(stderr, "signature: %s: %s\n", strerror(-r),
                    r == -EBADMSG ? "it may not verify" : identityd_last_error());
            if (!options.reopen)
                break;
        }
        if (options.pause > 0)
            usleep(options.pause * 1000);
    }
    return NULL;
}

static int parse(int argc, char *argv[]) {
    static const struct option names[] = {
        { "handles", required_argument, NULL, 'n' }, { "count", required_argument, NULL, 'c' },
        { "seconds", required_argument, NULL, 's' }, { "pause", required_argument, NULL, 'w' },
        { "reopen", no_argument, NULL, 'r' },        { NULL, 0, NULL, 0 },
    };
    int c;

    options = (Options) { .handles = 1, .count = 10 };
    while ((c = getopt_long(argc, argv, "", names, NULL)) >= 0)
        switch (c) {
        case 'n':
            options.handles = (unsigned) atoi(optarg);
            break;
        case 'c':
            options.count = (unsigned) atoi(optarg);
            break;
        case 's':
            options.seconds = (unsigned) atoi(optarg);
            break;
        case 'w':
            options.pause = (unsigned) atoi(optarg);
            break;
        case 'r':
            options.reopen = true;
            break;
        default:
            return -1;
        }
    if (argc - optind != 2 || options.handles < 1 || options.handles > HANDLES_MAX)
        return -1;
    options.identity = argv[optind];
    options.purpose = argv[optind + 1];
    return 0;
}

int main(int argc, char *argv[]) {
    identityd_credential *credentials[HANDLES_MAX] = { NULL };
    pthread_t threads[HANDLES_MAX];
    unsigned opened = 0;

    if (parse(argc, argv) < 0) {
        fprintf(stderr,
                "handles-client [--handles N] [--count N] [--seconds S] [--pause MS] [--reopen] IDENTITY PURPOSE\n");
        return 2;
    }
    while (opened < options.handles &&
           identityd_credential_open(options.identity, options.purpose, &credentials[opened]) >= 0)
        opened++;
    if (opened < options.handles)
        fprintf(stderr, "handle %u: %s\n", opened + 1, identityd_last_error());
    else {
        (void) clock_gettime(CLOCK_MONOTONIC, &end_time);
        end_time.tv_sec += options.seconds;
        for (unsigned i = 0; i < opened; i++)
            if (pthread_create(&threads[i], NULL, run, credentials[i]) != 0)
                abort();
        for (unsigned i = 0; i < opened; i++)
            (void) pthread_join(threads[i], NULL);
        printf("signatures %u failures %u generations ", signatures, failures);
        const char *separator = "";
        for (unsigned g = 0; g < 64; g++)
            if (generations_seen >> g & 1) {
                printf("%s%u", separator, g);
                separator = ",";
            }
        printf("\n");
    }
    for (unsigned i = 0; i < opened; i++)
        identityd_credential_free(credentials[i]);
    return opened < options.handles ? 2 : failures ? 1 : 0;
}
