/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside tests/sandbox: signatures through identityd's handles beside raw ones on the same TPM, in turns; prints JSON
 * for tests/bench/device. */
#include "bench/raw-tpm.h"

#include <identityd/identityd.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#define IDENTITY  "demo-data"
#define SCHEME    0x0403
#define HANDLES   8U
#define ROUNDS    10U
#define PER_ROUND 100U
#define SAMPLES   (ROUNDS * PER_ROUND)

static double now(void) {
    struct timespec t;

    (void) clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec * 1e6 + (double) t.tv_nsec / 1e3;
}

static int sign(identityd_credential *credential) {
    uint8_t signature[IDENTITYD_SIGNATURE_MAX];
    size_t size = sizeof signature;

    return identityd_sign_message(credential, 0, SCHEME, "bench", 5, signature, &size);
}

static int compare(const void *a, const void *b) {
    double x = *(const double *) a, y = *(const double *) b;

    return x < y ? -1 : x > y;
}

static double median(double *values, size_t count) {
    qsort(values, count, sizeof *values, compare);
    return values[count / 2U];
}

static void *sign_many(void *data) {
    for (unsigned i = 0; i < PER_ROUND; i++)
        if (sign(data) < 0)
            return (void *) identityd_last_error();
    return NULL;
}

/* Signatures a second of all handles together. */
static double in_flight(identityd_credential *credentials[static HANDLES]) {
    pthread_t threads[HANDLES];
    double began = now();

    for (unsigned i = 0; i < HANDLES; i++)
        if (pthread_create(&threads[i], NULL, sign_many, credentials[i]) != 0)
            abort();
    for (unsigned i = 0; i < HANDLES; i++) {
        void *error;
        if (pthread_join(threads[i], &error) != 0 || error)
            return 0;
    }
    return HANDLES * PER_ROUND / ((now() - began) / 1e6);
}

int main(void) {
    static double raw_times[SAMPLES], handle_times[SAMPLES], raw_rates[ROUNDS], rates[ROUNDS];
    _cleanup_(raw_tpm_free_p) RawTpm *raw = NULL;
    identityd_credential *credentials[HANDLES] = { NULL };

    if (raw_tpm_open(getenv("TPM2TOOLS_TCTI"), &raw) < 0) {
        fputs("the TPM of the sandbox cannot be opened (TPM2TOOLS_TCTI)\n", stderr);
        return EXIT_FAILURE;
    }
    for (unsigned i = 0; i < HANDLES; i++)
        if (identityd_credential_open(IDENTITY, "data", &credentials[i]) < 0 || sign(credentials[i]) < 0) {
            fprintf(stderr, "%s\n", identityd_last_error());
            return EXIT_FAILURE;
        }
    for (unsigned round = 0, n = 0; round < ROUNDS; round++) {
        double began = now();
        for (unsigned i = 0; i < PER_ROUND; i++) {
            double before = now();
            if (raw_tpm_sign(raw, raw->key) < 0)
                return EXIT_FAILURE;
            raw_times[n + i] = now() - before;
        }
        raw_rates[round] = PER_ROUND / ((now() - began) / 1e6);
        if (sign(credentials[0]) < 0)
            return EXIT_FAILURE;
        for (unsigned i = 0; i < PER_ROUND; i++, n++) {
            double before = now();
            if (sign(credentials[0]) < 0)
                return EXIT_FAILURE;
            handle_times[n] = now() - before;
        }
        rates[round] = in_flight(credentials);
    }
    for (unsigned i = 0; i < HANDLES; i++)
        identityd_credential_free(credentials[i]);
    json_t *result = json_pack("{s:f, s:f, s:f, s:f}", "raw-us", median(raw_times, SAMPLES), "handle-us",
                               median(handle_times, SAMPLES), "raw-rate", median(raw_rates, ROUNDS), "handles-rate",
                               median(rates, ROUNDS));
    int r = result ? json_dumpf(result, stdout, 0) : -1;
    json_decref(result);
    putchar('\n');
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
