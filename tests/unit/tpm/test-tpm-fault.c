/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A TPM, or something in front of it, that misbehaves: busy, locked out, forgetful, lying, silent. */
#include "support.h"

#include "tpm/internal.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

typedef struct Bench {
    Swtpm *swtpm;
    char tcti[512], control[256];
    Tpm *tpm;
    TpmKey *key;
} Bench;

static void bench_sign(const Bench *bench) {
    sign_and_verify(bench->tpm, bench->key, "ecdsa_secp256r1_sha256");
}

static int try_to_sign(const Bench *bench, Failure *failure) {
    const SignatureScheme *scheme = scheme_by_name("ecdsa_secp256r1_sha256");
    uint8_t digest[32] = { 1 }, signature[SIGNATURE_MAX];
    size_t size = 0;
    int r =
        tpm_key_sign(bench->tpm, bench->key, scheme, (BytesView) { digest, sizeof digest }, signature, &size, failure);

    if (r < 0)
        assert_int_equal(size, 0);
    return r;
}

/* Tells the fake TCTI what to do from now on. */
static void inject(const Bench *bench, const char *lines) {
    char path[300];
    FILE *file;

    (void) snprintf(path, sizeof path, "%s.new", bench->control);
    file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(lines, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(path, bench->control), 0);
}

static size_t count_lines(const Bench *bench, const char *suffix, const char *line) {
    char path[300], text[256];
    size_t count = 0;
    FILE *file;

    (void) snprintf(path, sizeof path, "%s.%s", bench->control, suffix);
    file = fopen(path, "re");
    if (!file)
        return 0;
    while (fgets(text, sizeof text, file)) {
        text[strcspn(text, "\n")] = '\0';
        if (!line || strcmp(text, line) == 0)
            count++;
    }
    (void) fclose(file);
    return count;
}

static void trace(const Bench *bench) {
    char path[300];
    FILE *file;

    (void) snprintf(path, sizeof path, "%s.trace", bench->control);
    file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
}

static int start(void **state) {
    Bench *bench = calloc(1, sizeof *bench);

    if (!bench || swtpm_new(&bench->swtpm) < 0)
        return -1;
    (void) snprintf(bench->control, sizeof bench->control, "%s/faults", swtpm_directory(bench->swtpm));
    (void) snprintf(bench->tcti, sizeof bench->tcti, "%s:%s,%s", TCTI_FAULT_PATH, bench->control,
                    swtpm_tcti(bench->swtpm));
    bench->tpm = open_tcti(bench->tcti);
    bench->key = create_key(bench->tpm, KEY_ECDSA_P256);
    bench_sign(bench);
    *state = bench;
    return 0;
}

static int stop(void **state) {
    Bench *bench = *state;

    tpm_key_free(bench->key);
    tpm_free(bench->tpm);
    swtpm_free(bench->swtpm);
    free(bench);
    return 0;
}

/* ESYS itself sends a postponed command again up to five times at once; ten times is more than that. */
static void busy_for_a_while(void **state) {
    Bench *bench = *state;
    static const char *const lines[] = {
        "Sign rc 0x922 10\n", /* RETRY */
        "Sign rc 0x90a 10\n", /* TESTING */
        "Sign rc 0x908 10\n", /* YIELDED */
        "Sign rc 0x923 3\n",  /* NV_UNAVAILABLE */
        "Sign rc 0xb0922 10\n",
    };
    uint64_t epoch;
    TpmInformation information;

    assert_success(tpm_probe(bench->tpm, NULL, &information, failure));
    epoch = information.epoch;
    for (size_t i = 0; i < ARRAY_LENGTH(lines); i++) {
        inject(bench, lines[i]);
        bench_sign(bench);
    }
    inject(bench, "* rc 0x922 7\n");
    tpm_key_unload(bench->tpm, bench->key);
    bench_sign(bench);
    inject(bench, "");
    assert_success(tpm_probe(bench->tpm, NULL, &information, failure));
    assert_int_equal(information.epoch, epoch); /* nothing was dropped for it */
}

static void busy_without_end(void **state) {
    Bench *bench = *state;
    uint64_t before = tpm_command_now(), took;

    inject(bench, "Sign rc 0x922\n");
    assert_failure(try_to_sign(bench, failure), FAILURE_TPM_UNAVAILABLE, "0x922");
    took = tpm_command_now() - before;
    assert_in_range(took, 1000000, 10000000);
    inject(bench, "");
    bench_sign(bench);
}

static void locked_out(void **state) {
    Bench *bench = *state;
    TpmInformation information;

    inject(bench, "Sign rc 0x921\n");
    assert_failure(try_to_sign(bench, failure), FAILURE_TPM_UNAVAILABLE, "dictionary-attack lockout");
    inject(bench, "* rc 0x921\n");
    assert_failure(tpm_probe(bench->tpm, NULL, &information, failure), FAILURE_TPM_UNAVAILABLE,
                   "tpm2_dictionarylockout");
    assert_int_equal(information.state, TPM_STATE_LOCKOUT);
    assert_failure(tpm_probe(bench->tpm, NULL, &information, failure), FAILURE_TPM_UNAVAILABLE, "lockout");
    assert_int_equal(information.state, TPM_STATE_LOCKOUT);
    inject(bench, "");
    assert_success(tpm_probe(bench->tpm, NULL, &information, failure));
    assert_int_equal(information.state, TPM_STATE_READY);
    bench_sign(bench);
}

/* The TPM itself says that it is in lockout, after a command of ours met it: the state stays until that ends. */
static void lockout_lasts_as_the_tpm_says(void **state) {
    Bench *bench = *state;
    TpmInformation information;

    run_command(NULL, 0,
                "export TPM2TOOLS_TCTI=%s; cd %s && tpm2_dictionarylockout -Q -s -n 1 -t 1000 -l 1000 && "
                "tpm2_createprimary -Q -C o -c primary -p right -a "
                "'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|decrypt' && "
                "! tpm2_create -Q -C primary -P wrong -u pub -r priv 2>/dev/null && tpm2_flushcontext -t",
                swtpm_tcti(bench->swtpm), swtpm_directory(bench->swtpm));
    bench_sign(bench); /* noDA */
    inject(bench, "Sign rc 0x921 1\n");
    assert_failure(try_to_sign(bench, failure), FAILURE_TPM_UNAVAILABLE, "lockout");
    assert_failure(tpm_probe(bench->tpm, NULL, &information, failure), FAILURE_TPM_UNAVAILABLE, "lockout");
    assert_int_equal(information.state, TPM_STATE_LOCKOUT);
    run_command(NULL, 0, "tpm2_dictionarylockout -Q -c -T %s", swtpm_tcti(bench->swtpm));
    assert_success(tpm_probe(bench->tpm, NULL, &information, failure));
    assert_int_equal(information.state, TPM_STATE_READY);
}

/* One answer of each of these, and the request is served all the same: everything dropped, done once more. */
static void stale_once(void **state) {
    Bench *bench = *state;
    static const char *const lines[] = {
        "Sign rc 0x910 1\n",     /* REFERENCE_H0 */
        "Sign rc 0x18b 1\n",     /* HANDLE */
        "Sign rc 0xb0910 1\n",   /* from a resource manager */
        "Sign rc 0x100 1\n",     /* INITIALIZE */
        "Sign rc 0x184 1\n",     /* VALUE, handle 1: a resource manager over a TPM that was reset */
        "Sign rc 0x1df 1\n",     /* INTEGRITY, likewise */
        "Sign tcti 0xa000a 1\n", /* IO_ERROR */
        "Sign tcti 0xa0005 1\n", /* TRY_AGAIN is not for blocking calls: BAD_CONTEXT */
        "Sign garbage 0 1\n",    "Sign truncate 5 1\n", "Sign truncate 30 1\n",
        "Sign lost 0x910 1\n",   "* tcti 0xa000a 1\n",
    };
    const struct timespec pause = { .tv_nsec = 3000000L }; /* so that signatures are guarded */
    uint64_t epoch = 0;
    TpmInformation information;

    for (size_t i = 0; i < ARRAY_LENGTH(lines); i++) {
        print_message("%s", lines[i]);
        inject(bench, lines[i]);
        (void) nanosleep(&pause, NULL);
        bench_sign(bench);
        inject(bench, "");
        assert_success(tpm_probe(bench->tpm, NULL, &information, failure));
        assert_true(information.epoch > epoch);
        epoch = information.epoch;
    }
    inject(bench, "Load rc 0x18b 1\n");
    tpm_key_unload(bench->tpm, bench->key);
    bench_sign(bench);
}

static void stale_for_ever(void **state) {
    Bench *bench = *state;
    static const char *const lines[] = { "Sign rc 0x910\n", "Sign tcti 0xa000a\n", "* garbage\n",     "* truncate 9\n",
                                         "* rc 0x100\n",    "* rc 0x101\n",        "* tcti 0xa000a\n" };

    for (size_t i = 0; i < ARRAY_LENGTH(lines); i++) {
        print_message("%s", lines[i]);
        inject(bench, lines[i]);
        for (int k = 0; k < 3; k++)
            assert_failure(try_to_sign(bench, failure), FAILURE_TPM_UNAVAILABLE, "TPM: ");
        inject(bench, "");
        bench_sign(bench);
    }
    assert_true(raw_count_handles(swtpm_tcti(bench->swtpm), 0x80000000U) <= 2);
}

/* Something between us and the TPM changes the answer to Create: no key comes of it, whichever byte it was. The HMAC
 * covers all parameters; sizes and header break the parsing. */
static void lies_about_a_new_key(void **state) {
    Bench *bench = *state;

    for (int at = 0; at < 700; at += 7) {
        _cleanup_tpm_key_ TpmKey *key = NULL;
        Failure failure = FAILURE_INIT;
        char line[64];
        int r;

        (void) snprintf(line, sizeof line, "Create flip %d\n", at);
        inject(bench, line);
        r = tpm_key_create_under(bench->tpm, KEY_ECDSA_P256, ANY_PARENT, &key, &failure);
        if (r >= 0)
            /* beyond the answer's end nothing was changed: then it is a true key */
            sign_and_verify(bench->tpm, key, "ecdsa_secp256r1_sha256");
        else
            assert_null(key);
        if (at < 300)
            assert_true(r < 0);
    }
    inject(bench, "");
    assert_int_equal(raw_count_handles(swtpm_tcti(bench->swtpm), 0x02000000U), 0);
    bench_sign(bench);
}

/* … or about the parent: a changed public part has another Name than the one ESYS was told, or than the key's. */
static void lies_about_the_parent(void **state) {
    Bench *bench = *state;

    for (int at = 0; at < 180; at += 3) {
        _cleanup_tpm_ Tpm *tpm = open_tcti(bench->tcti);
        Failure failure = FAILURE_INIT;
        _cleanup_tpm_key_ TpmKey *key = NULL;
        char line[64];
        int r;

        (void) snprintf(line, sizeof line, "ReadPublic flip %d\n", at);
        inject(bench, line);
        r = tpm_key_create_under(tpm, KEY_ECDSA_P256, tpm_key_parent_name(bench->key), &key, &failure);
        inject(bench, "");
        if (r >= 0) { /* the qualified Name at the end is not used */
            assert_true(bytes_view_equal(tpm_key_parent_name(key), tpm_key_parent_name(bench->key)));
            sign_and_verify(tpm, key, "ecdsa_secp256r1_sha256");
        }
        if (at < 140)
            assert_true(r < 0);
    }
}

/* A wrong signature does not leave: every byte of the answer, right after loading. */
static void lies_about_a_signature(void **state) {
    Bench *bench = *state;
    const SignatureScheme *scheme = scheme_by_name("ecdsa_secp256r1_sha256");
    static const char message[] = "message";
    uint8_t digest[64], signature[SIGNATURE_MAX];
    size_t size, refused = 0;

    assert_int_equal(scheme_digest(scheme, message, sizeof message, digest), 32);
    for (int at = 0; at < 96; at++) {
        Failure failure = FAILURE_INIT;
        char line[64];

        (void) snprintf(line, sizeof line, "Sign flip %d\n", at);
        inject(bench, line);
        tpm_key_unload(bench->tpm, bench->key);
        if (tpm_key_sign(bench->tpm, bench->key, scheme, (BytesView) { digest, 32 }, signature, &size, &failure) < 0) {
            refused++;
            continue;
        }
        assert_true(signature_verifies(bench->key, scheme, (BytesView) { (const uint8_t *) message, sizeof message },
                                       (BytesView) { signature, size }));
    }
    assert_true(refused > 70);
    inject(bench, "");
    bench_sign(bench);
}

/* The same for a key that is loaded and verified long since, after a pause. */
static void lies_after_a_pause(void **state) {
    Bench *bench = *state;
    const struct timespec pause = { .tv_nsec = 5000000L };

    bench_sign(bench);
    bench_sign(bench);
    inject(bench, "Sign flip 40\n");
    (void) nanosleep(&pause, NULL);
    assert_failure(try_to_sign(bench, failure), FAILURE_TPM_UNAVAILABLE, "withheld");
}

/* The TPM has done what it says it failed at: the session's nonces differ from then on, which nobody notices. */
static void answer_lost_in_a_session(void **state) {
    Bench *bench = *state;
    const struct timespec pause = { .tv_nsec = 3000000L };

    for (int i = 0; i < 3; i++) {
        bench_sign(bench);
        (void) nanosleep(&pause, NULL);
        bench_sign(bench);
        inject(bench, "Sign lost 0x101 1\n");
        (void) nanosleep(&pause, NULL);
        assert_failure(try_to_sign(bench, failure), FAILURE_TPM_UNAVAILABLE, "0x101");
        inject(bench, "");
        (void) nanosleep(&pause, NULL);
        Failure failure = FAILURE_INIT;
        assert_true(try_to_sign(bench, &failure) >= 0); /* the second try, of whose first one nothing is left */
        assert_int_equal(failure.kind, FAILURE_NONE);
        assert_string_equal(failure.text, "");
    }
}

static void rsa_is_always_verified(void **state) {
    Bench *bench = *state;
    _cleanup_tpm_key_ TpmKey *key = create_key(bench->tpm, KEY_RSA_2048);
    const SignatureScheme *scheme = scheme_by_name("rsa_pkcs1_sha256");
    uint8_t digest[32] = { 1 }, signature[SIGNATURE_MAX];
    size_t size;

    inject(bench, "Sign pass 0 3\nSign flip 100\n");
    for (int i = 0; i < 3; i++)
        assert_success(tpm_key_sign(bench->tpm, key, scheme, (BytesView) { digest, 32 }, signature, &size, failure));
    assert_failure(tpm_key_sign(bench->tpm, key, scheme, (BytesView) { digest, 32 }, signature, &size, failure),
                   FAILURE_TPM_UNAVAILABLE, "withheld");
}

static void pss_that_tls_cannot_use(void **state) {
    Bench *bench = *state;
    _cleanup_tpm_key_ TpmKey *key = create_key(bench->tpm, KEY_RSA_2048);
    bool usable = true;

    inject(bench, "Sign flip 100 1\n"); /* stands for a salt of another length: does not verify */
    assert_success(tpm_key_pss_is_usable(bench->tpm, key, &usable, failure));
    assert_false(usable);
    inject(bench, "");
    usable = true;
    assert_success(tpm_key_pss_is_usable(bench->tpm, key, &usable, failure));
    assert_false(usable); /* asked once */
    assert_success(tpm_key_pss_is_usable(bench->tpm, bench->key, &usable, failure));
    assert_true(usable);
}

static void pss_unknown_to_the_tpm(void **state) {
    Bench *bench = *state;
    _cleanup_tpm_key_ TpmKey *key = create_key(bench->tpm, KEY_RSA_2048);
    bool usable = true;

    inject(bench, "Sign rc 0x2d2 1\n"); /* TPM_RC_SCHEME, parameter 2 */
    assert_success(tpm_key_pss_is_usable(bench->tpm, key, &usable, failure));
    assert_false(usable);
}

static void pss_probe_that_could_not_run(void **state) {
    Bench *bench = *state;
    _cleanup_tpm_key_ TpmKey *key = create_key(bench->tpm, KEY_RSA_2048);
    bool usable = false;

    inject(bench, "* tcti 0xa000a\n");
    assert_failure(tpm_key_pss_is_usable(bench->tpm, key, &usable, failure), FAILURE_TPM_UNAVAILABLE, "TPM: ");
    inject(bench, "");
    assert_success(tpm_key_pss_is_usable(bench->tpm, key, &usable, failure));
    sign_and_verify(bench->tpm, key, usable ? "rsa_pss_rsae_sha256" : "rsa_pkcs1_sha256");
}

static void no_memory_once(void **state) {
    Bench *bench = *state;
    _cleanup_tpm_key_ TpmKey *other = create_key(bench->tpm, KEY_ECDSA_P256);

    inject(bench, "Load rc 0x902 1\n");
    sign_and_verify(bench->tpm, other, "ecdsa_secp256r1_sha256");
    inject(bench, "StartAuthSession rc 0x903 2\n");
    other = tpm_key_free(other);
    other = create_key(bench->tpm, KEY_ECDSA_P256);
    bench_sign(bench);
}

static void failed_create_leaves_no_session(void **state) {
    Bench *bench = *state;
    static const char *const lines[] = { "Create rc 0x2c4\n", "Create rc 0x921\n", "Create lost 0x910\n",
                                         "Create tcti 0xa000a\n", "Create garbage\n" };

    for (size_t i = 0; i < ARRAY_LENGTH(lines); i++)
        for (int k = 0; k < 5; k++) {
            TpmKey *key = NULL;
            Failure failure = FAILURE_INIT;

            inject(bench, lines[i]);
            assert_true(tpm_key_create_under(bench->tpm, KEY_ECDSA_P256, ANY_PARENT, &key, &failure) < 0);
            assert_null(key);
        }
    inject(bench, "");
    bench_sign(bench);
    assert_int_equal(raw_count_handles(swtpm_tcti(bench->swtpm), 0x02000000U), 0);
}

static void algorithm_unknown_to_the_tpm(void **state) {
    Bench *bench = *state;
    TpmKey *key = NULL;

    inject(bench, "Create rc 0x2c4\n"); /* TPM_RC_VALUE */
    assert_failure(tpm_key_create_under(bench->tpm, KEY_RSA_3072, ANY_PARENT, &key, failure), FAILURE_INVALID_ARGUMENT,
                   "rsa-3072");
}

static void wrong_arguments(void **state) {
    Bench *bench = *state;
    uint8_t digest[64] = { 1 }, signature[SIGNATURE_MAX];
    size_t size = 0;
    TpmKey *key = NULL;

    trace(bench);
    assert_failure(tpm_key_sign(bench->tpm, bench->key, scheme_by_name("ecdsa_secp384r1_sha384"),
                                (BytesView) { digest, 48 }, signature, &size, failure),
                   FAILURE_INVALID_ARGUMENT, "does not fit");
    assert_failure(tpm_key_sign(bench->tpm, bench->key, scheme_by_name("rsa_pkcs1_sha256"), (BytesView) { digest, 32 },
                                signature, &size, failure),
                   FAILURE_INVALID_ARGUMENT, "does not fit");
    for (size_t length = 0; length <= 64; length++)
        if (length != 32)
            assert_failure(tpm_key_sign(bench->tpm, bench->key, scheme_by_name("ecdsa_secp256r1_sha256"),
                                        (BytesView) { digest, length }, signature, &size, failure),
                           FAILURE_INVALID_ARGUMENT, "digest of 32 bytes");
    assert_failure(tpm_key_create_under(bench->tpm, _KEY_ALGORITHM_COUNT, ANY_PARENT, &key, failure),
                   FAILURE_INVALID_ARGUMENT, "algorithm");
    assert_failure(tpm_key_create_under(bench->tpm, KEY_ECDSA_P256, bytes_view_string("name"), &key, failure),
                   FAILURE_INVALID_ARGUMENT, "Name");
    assert_int_equal(count_lines(bench, "trace", NULL), 0); /* the TPM was not asked */
}

/* What each request costs in commands; real chips take milliseconds for each. */
static void commands_are_few(void **state) {
    Bench *bench = *state;
    const struct timespec pause = { .tv_nsec = 3000000L };
    TpmInformation information;

    /* The guard's session is begun once, at the first signature after a pause. */
    bench_sign(bench);
    (void) nanosleep(&pause, NULL);
    bench_sign(bench);
    assert_success(tpm_probe(bench->tpm, NULL, &information, failure));
    trace(bench);
    for (int i = 0; i < 10; i++)
        bench_sign(bench);
    assert_int_equal(count_lines(bench, "trace", "Sign"), 10);
    assert_int_equal(count_lines(bench, "trace", NULL), 10);
    assert_success(tpm_probe(bench->tpm, NULL, &information, failure));
    assert_int_equal(count_lines(bench, "trace", NULL), 11);
    tpm_key_unload(bench->tpm, bench->key);
    bench_sign(bench);
    assert_int_equal(count_lines(bench, "trace", NULL), 14); /* FlushContext, Load, Sign */
    bench->tpm = tpm_free(bench->tpm);
    assert_int_equal(count_lines(bench, "trace", NULL), 16); /* the key and the session */
    /* What was just opened is not checked once more, and what is not there not given back. */
    bench->tpm = open_tcti(bench->tcti);
    trace(bench);
    assert_success(tpm_probe(bench->tpm, NULL, &information, failure));
    assert_int_equal(count_lines(bench, "trace", NULL), 11); /* capabilities 4, whose TPM 2, parent 3, device ID 2 */
    bench->tpm = tpm_free(bench->tpm);
    assert_int_equal(count_lines(bench, "trace", NULL), 11);
}

/* Two places: the key that was used longer ago goes, so the other one needs no loading. */
static void least_recently_used_goes(void **state) {
    Bench *bench = *state;
    _cleanup_tpm_key_ TpmKey *b = create_key(bench->tpm, KEY_ECDSA_P256), *c = create_key(bench->tpm, KEY_ECDSA_P256);

    sign_and_verify(bench->tpm, b, "ecdsa_secp256r1_sha256");
    bench_sign(bench);
    sign_and_verify(bench->tpm, b, "ecdsa_secp256r1_sha256");
    bench_sign(bench);
    sign_and_verify(bench->tpm, c, "ecdsa_secp256r1_sha256"); /* b goes */
    trace(bench);
    bench_sign(bench);
    sign_and_verify(bench->tpm, c, "ecdsa_secp256r1_sha256");
    assert_int_equal(count_lines(bench, "trace", "Load"), 0);
    sign_and_verify(bench->tpm, b, "ecdsa_secp256r1_sha256");
    assert_int_equal(count_lines(bench, "trace", "Load"), 1);
}

/* What may be otherwise the next time is asked again, and what was said of it is past; an authorization is not guessed
 * at again. */
static void device_id_later(void **state) {
    Bench *bench = *state;
    TpmInformation information;

    inject(bench, "CreatePrimary rc 0x101 1\nCreatePrimary rc 0x9a2 1\n");
    assert_success(tpm_probe(bench->tpm, NULL, &information, failure));
    assert_int_equal(information.state, TPM_STATE_READY); /* keys work without */
    assert_string_equal(information.device_id, "");
    assert_non_null(strstr(information.device_id_problem, "no device ID: "));
    trace(bench);
    for (unsigned i = 0; i < 2; i++) {
        assert_success(tpm_probe(bench->tpm, NULL, &information, failure));
        assert_int_equal(information.state, TPM_STATE_READY);
        assert_string_equal(information.device_id, "");
        assert_non_null(strstr(information.device_id_problem, "no device ID: "));
        assert_int_equal(count_lines(bench, "trace", "CreatePrimary"), 1);
    }
    bench->tpm = tpm_free(bench->tpm);
    bench->tpm = open_tcti(bench->tcti);
    inject(bench, "CreatePrimary rc 0x101 1\n");
    assert_success(tpm_probe(bench->tpm, NULL, &information, failure));
    assert_string_equal(information.device_id, "");
    assert_success(tpm_probe(bench->tpm, NULL, &information, failure));
    assert_int_equal(strlen(information.device_id), 64);
    assert_string_equal(information.device_id_problem, "");
    assert_success(tpm_probe(bench->tpm, NULL, &information, failure)); /* known, it is not asked for again */
    assert_int_equal(count_lines(bench, "trace", "CreatePrimary"), 3);
}

static void *sign_in_thread(void *data) {
    Failure failure = FAILURE_INIT;

    return try_to_sign(data, &failure) >= 0 ? data : NULL;
}

static void silent(void **state) {
    Bench *bench = *state;
    const struct timespec wait = { .tv_nsec = 100000000L };
    pthread_t thread;
    void *result = NULL;

    inject(bench, "Sign hang\n");
    assert_int_equal(pthread_create(&thread, NULL, sign_in_thread, bench), 0);
    (void) nanosleep(&wait, NULL);
    assert_int_not_equal(pthread_tryjoin_np(thread, &result), 0);
    inject(bench, "");
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_non_null(result);
    inject(bench, "Sign delay 50 1\n");
    bench_sign(bench);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(busy_for_a_while, start, stop),
        cmocka_unit_test_setup_teardown(busy_without_end, start, stop),
        cmocka_unit_test_setup_teardown(locked_out, start, stop),
        cmocka_unit_test_setup_teardown(lockout_lasts_as_the_tpm_says, start, stop),
        cmocka_unit_test_setup_teardown(stale_once, start, stop),
        cmocka_unit_test_setup_teardown(stale_for_ever, start, stop),
        cmocka_unit_test_setup_teardown(lies_about_a_new_key, start, stop),
        cmocka_unit_test_setup_teardown(lies_about_the_parent, start, stop),
        cmocka_unit_test_setup_teardown(lies_about_a_signature, start, stop),
        cmocka_unit_test_setup_teardown(lies_after_a_pause, start, stop),
        cmocka_unit_test_setup_teardown(answer_lost_in_a_session, start, stop),
        cmocka_unit_test_setup_teardown(rsa_is_always_verified, start, stop),
        cmocka_unit_test_setup_teardown(pss_that_tls_cannot_use, start, stop),
        cmocka_unit_test_setup_teardown(pss_unknown_to_the_tpm, start, stop),
        cmocka_unit_test_setup_teardown(pss_probe_that_could_not_run, start, stop),
        cmocka_unit_test_setup_teardown(no_memory_once, start, stop),
        cmocka_unit_test_setup_teardown(failed_create_leaves_no_session, start, stop),
        cmocka_unit_test_setup_teardown(algorithm_unknown_to_the_tpm, start, stop),
        cmocka_unit_test_setup_teardown(wrong_arguments, start, stop),
        cmocka_unit_test_setup_teardown(commands_are_few, start, stop),
        cmocka_unit_test_setup_teardown(least_recently_used_goes, start, stop),
        cmocka_unit_test_setup_teardown(device_id_later, start, stop),
        cmocka_unit_test_setup_teardown(silent, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
