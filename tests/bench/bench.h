/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a measurement is: add one by defining it in a file beside this, declaring it here, and naming it in bench.c's
 * table (and, where it has a limit, in the table of ratios). */
#pragma once

#include "bench/raw-tpm.h"
#include "fakes/swtpm.h"
#include "tpm/tpm.h"

typedef struct Samples {
    double *values;
    size_t count;
} Samples;

/* What measurements share. Everything is made by bench_open, in this order: opening a Tpm flushes what others left. */
typedef struct Bench {
    Swtpm *swtpm;
    Tpm *tpm;
    TpmKey *key, *other_key; /* ECDSA P-256 */
    RawTpm *raw;             /* on the same TPM */
} Bench;

typedef struct Measurement {
    const char *name, *unit, *description;
    size_t cost; /* 0 or 1, or by how much fewer samples are enough */
    /* Adds `times` samples. Called once in each round. 0 or -errno. */
    int (*measure)(Bench *bench, size_t times, Samples *samples);
} Measurement;

int bench_open(Bench **ret);
void bench_close(Bench *bench);

double bench_now(void); /* µs */
int samples_add(Samples *samples, double value);
/* Times `once` so often; a negative value ends it. */
int bench_time(Bench *bench, size_t times, int (*once)(Bench *bench), Samples *samples);

/* bench-tpm.c */
extern const Measurement measure_raw_sign, measure_raw_load_flush, measure_tpm_sign, measure_tpm_sign_after_pause,
    measure_tpm_new_load, measure_tpm_create, measure_verify;
