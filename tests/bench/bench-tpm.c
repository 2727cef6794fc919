/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The TPM room against bare ESYS on the same swtpm: what our rules cost on top of TPM2_Sign. */
#include "bench.h"

#include <gnutls/abstract.h>
#include <string.h>
#include <time.h>

static int raw_sign_once(Bench *bench) {
    return raw_tpm_sign(bench->raw, bench->raw->key);
}

static int raw_load_sign_flush_once(Bench *bench) {
    ESYS_TR key = ESYS_TR_NONE;
    int r = raw_tpm_load(bench->raw, &key);

    if (r >= 0) {
        r = raw_tpm_sign(bench->raw, key);
        (void) Esys_FlushContext(bench->raw->esys, key);
    }
    return r;
}

/* ---- ours ---- */

static int sign_with(Bench *bench, const TpmKey *key) {
    const uint8_t digest[32] = { 0 };
    uint8_t signature[SIGNATURE_MAX];
    size_t size;
    Failure failure;

    return tpm_key_sign(bench->tpm, key, scheme_by_name("ecdsa_secp256r1_sha256"),
                        (BytesView) { digest, sizeof digest }, signature, &size, &failure);
}

static int tpm_sign_once(Bench *bench) {
    return sign_with(bench, bench->key);
}

static int tpm_sign_first(Bench *bench, size_t times, int (*once)(Bench *), Samples *samples) {
    int r = sign_with(bench, bench->key); /* loaded, verified, and not after a pause */

    return r < 0 ? r : bench_time(bench, times, once, samples);
}

static int new_load_once(Bench *bench) {
    int r = sign_with(bench, bench->other_key);

    tpm_key_unload(bench->tpm, bench->other_key);
    return r;
}

static int create_once(Bench *bench) {
    _cleanup_tpm_key_ TpmKey *key = NULL;
    Failure failure;

    return tpm_key_create_under(bench->tpm, KEY_ECDSA_P256, (BytesView) { NULL, 0 }, &key, &failure);
}

/* ---- the measurements ---- */

static int measure_raw_sign_(Bench *bench, size_t times, Samples *samples) {
    return bench_time(bench, times, raw_sign_once, samples);
}

static int measure_raw_load_flush_(Bench *bench, size_t times, Samples *samples) {
    return bench_time(bench, times, raw_load_sign_flush_once, samples);
}

static int measure_tpm_sign_(Bench *bench, size_t times, Samples *samples) {
    return tpm_sign_first(bench, times, tpm_sign_once, samples);
}

static int measure_tpm_sign_after_pause_(Bench *bench, size_t times, Samples *samples) {
    const struct timespec pause = { .tv_nsec = 2000000L };

    for (size_t i = 0; i < times; i++) {
        int r;
        (void) nanosleep(&pause, NULL);
        r = bench_time(bench, 1, tpm_sign_once, samples);
        if (r < 0)
            return r;
    }
    return 0;
}

static int measure_tpm_new_load_(Bench *bench, size_t times, Samples *samples) {
    int r;

    /* Room beside the raw key, as an unloaded key needs it: else somebody else's memory is measured. */
    tpm_key_unload(bench->tpm, bench->key);
    r = bench_time(bench, times, new_load_once, samples);
    return r;
}

static int measure_tpm_create_(Bench *bench, size_t times, Samples *samples) {
    tpm_key_unload(bench->tpm, bench->key);
    return bench_time(bench, times, create_once, samples);
}

static int measure_verify_(Bench *bench, size_t times, Samples *samples) {
    BytesView spki = tpm_key_spki(bench->key);
    gnutls_datum_t der = { (uint8_t *) spki.data, (unsigned int) spki.size };
    uint8_t digest[32] = { 0 }, signature[SIGNATURE_MAX];
    gnutls_datum_t hash = { digest, sizeof digest }, value = { signature, 0 };
    gnutls_pubkey_t key = NULL;
    Failure failure;
    size_t size;
    int r = tpm_key_sign(bench->tpm, bench->key, scheme_by_name("ecdsa_secp256r1_sha256"),
                         (BytesView) { digest, sizeof digest }, signature, &size, &failure);

    if (r < 0)
        return r;
    value.size = (unsigned int) size;
    if (gnutls_pubkey_init(&key) < 0)
        return -ENOMEM;
    r = gnutls_pubkey_import(key, &der, GNUTLS_X509_FMT_DER) < 0 ? -EIO : 0;
    for (size_t i = 0; i < times && r >= 0; i++) {
        double before = bench_now();
        if (gnutls_pubkey_verify_hash2(key, GNUTLS_SIGN_ECDSA_SHA256, 0, &hash, &value) < 0)
            r = -EIO;
        else
            r = samples_add(samples, bench_now() - before);
    }
    gnutls_pubkey_deinit(key);
    return r;
}

const Measurement measure_raw_sign = { "raw-sign", "us", "Esys_Sign, P-256, password session, key loaded", 1,
                                       measure_raw_sign_ };
const Measurement measure_raw_load_flush = { "raw-load-flush", "us", "Esys_Load, Esys_Sign, Esys_FlushContext", 2,
                                             measure_raw_load_flush_ };
const Measurement measure_tpm_sign = { "tpm-sign", "us", "tpm_key_sign, key loaded, one after another", 1,
                                       measure_tpm_sign_ };
const Measurement measure_tpm_sign_after_pause = { "tpm-sign-after-pause", "us",
                                                   "tpm_key_sign after 2 ms of nothing: verified too", 4,
                                                   measure_tpm_sign_after_pause_ };
const Measurement measure_tpm_new_load = { "tpm-new-load", "us", "tpm_key_sign with a key to load, then unloaded", 2,
                                           measure_tpm_new_load_ };
const Measurement measure_tpm_create = { "tpm-create", "us", "tpm_key_create_under in a salted session", 10,
                                         measure_tpm_create_ };
const Measurement measure_verify = { "verify", "us", "verification of a P-256 signature by GnuTLS", 1,
                                     measure_verify_ };

/* ---- the bench ---- */

void bench_close(Bench *bench) {
    if (!bench)
        return;
    raw_tpm_free(bench->raw);
    tpm_key_free(bench->key);
    tpm_key_free(bench->other_key);
    tpm_free(bench->tpm);
    swtpm_free(bench->swtpm);
    free(bench);
}

int bench_open(Bench **ret) {
    Bench *bench = calloc(1, sizeof *bench);
    TpmOptions options = { 0 };
    Failure failure;
    int r;

    if (!bench)
        return -ENOMEM;
    r = swtpm_new(&bench->swtpm);
    if (r >= 0) {
        options.tcti = swtpm_tcti(bench->swtpm);
        r = tpm_new(&options, &bench->tpm);
    }
    if (r >= 0)
        r = tpm_key_create_under(bench->tpm, KEY_ECDSA_P256, (BytesView) { NULL, 0 }, &bench->key, &failure);
    if (r >= 0)
        r = tpm_key_create_under(bench->tpm, KEY_ECDSA_P256, (BytesView) { NULL, 0 }, &bench->other_key, &failure);
    if (r >= 0)
        r = raw_tpm_open(swtpm_tcti(bench->swtpm), &bench->raw);
    if (r < 0) {
        bench_close(bench);
        return r;
    }
    *ret = bench;
    return 0;
}
