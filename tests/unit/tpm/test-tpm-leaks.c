/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a daemon that runs for years must not gather: memory with each key that is created, descriptors with each loss
 * of the TPM. */
#include "support.h"

#include <dirent.h>
#include <malloc.h>
#include <pthread.h>
#include <time.h>

#define REPETITIONS 200U
/* glibc counts what it keeps for each size as in use, and gathers that slowly; what was lost with each key was 1200. */
#define KEPT_MAX (REPETITIONS * 200U)

/* There where a sanitizer's allocator is. */
extern size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t allocated_bytes(void) {
    return __sanitizer_get_current_allocated_bytes ? __sanitizer_get_current_allocated_bytes() : mallinfo2().uordblks;
}

static size_t open_descriptors(void) {
    DIR *directory = opendir("/proc/self/fd");
    size_t count = 0;

    assert_non_null(directory);
    while (readdir(directory))
        count++;
    (void) closedir(directory);
    return count;
}

static void create_and_forget(Tpm *tpm, unsigned int times) {
    for (unsigned int i = 0; i < times; i++) {
        _cleanup_tpm_key_ TpmKey *key = create_key(tpm, KEY_ECDSA_P256);

        if (i % 50 == 0)
            sign(tpm, key);
    }
}

static void creating_keys_keeps_nothing(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);

    create_and_forget(tpm, 2 * REPETITIONS);
    size_t before = allocated_bytes();
    assert_true(before > 0);
    create_and_forget(tpm, REPETITIONS);
    assert_in_range(allocated_bytes(), 0, before + KEPT_MAX);
}

static void try_to_probe(Tpm *tpm, bool succeeds) {
    TpmInformation information;
    Failure failure = FAILURE_INIT;

    assert_int_equal(tpm_probe(tpm, NULL, &information, &failure) >= 0, succeeds);
}

static void try_to_sign(Tpm *tpm, const TpmKey *key) {
    const SignatureScheme *scheme = scheme_by_name("ecdsa_secp256r1_sha256");
    uint8_t digest[32] = { 1 }, signature[SIGNATURE_MAX];
    size_t size = 0;
    Failure failure = FAILURE_INIT;

    assert_true(tpm_key_sign(tpm, key, scheme, (BytesView) { digest, sizeof digest }, signature, &size, &failure) < 0);
}

static void sleep_us(long us) {
    const struct timespec wait = { .tv_nsec = us * 1000 };

    (void) nanosleep(&wait, NULL);
}

/* Lost while a key is loaded and the guard's session is open, still lost when it is opened again, and back. */
static void lose(Swtpm *swtpm, Tpm *tpm, const TpmKey *key, unsigned int times) {
    for (unsigned int i = 0; i < times; i++) {
        for (int k = 0; k < 3; k++) {
            sign(tpm, key);
            sleep_us(1500); /* the guard is for what comes after a pause */
        }
        assert_int_equal(swtpm_kill(swtpm), 0);
        if (i % 2)
            try_to_sign(tpm, key);
        else
            try_to_probe(tpm, false);
        try_to_probe(tpm, false);
        assert_int_equal(swtpm_start(swtpm), 0);
    }
}

static void losing_the_tpm_keeps_no_descriptor(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
    _cleanup_tpm_key_ TpmKey *key = create_key(tpm, KEY_ECDSA_P256);

    lose(swtpm, tpm, key, 2);
    size_t descriptors = open_descriptors(), bytes = allocated_bytes();
    lose(swtpm, tpm, key, REPETITIONS);
    assert_int_equal(open_descriptors(), descriptors);
    assert_in_range(allocated_bytes(), 0, bytes + KEPT_MAX);
}

static void *kill_soon(void *data) {
    sleep_us(3000);
    (void) swtpm_kill(data);
    return NULL;
}

/* Lost between a command and its answer. */
static void losing_an_answer_keeps_no_descriptor(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
    size_t before = 0;

    for (unsigned int i = 0; i < 2 + REPETITIONS; i++) {
        pthread_t thread;

        if (i == 2)
            before = open_descriptors();
        try_to_probe(tpm, true);
        assert_int_equal(swtpm_suspend(swtpm), 0);
        assert_int_equal(pthread_create(&thread, NULL, kill_soon, swtpm), 0);
        try_to_probe(tpm, false);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(swtpm_start(swtpm), 0);
    }
    assert_int_equal(open_descriptors(), before);
}

static void resets_keep_nothing(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
    size_t before = 0, bytes = 0;

    for (unsigned int i = 0; i < 10 + REPETITIONS; i++) {
        if (i == 10) {
            before = open_descriptors();
            bytes = allocated_bytes();
        }
        assert_int_equal(swtpm_reset(swtpm, i % 2 != 0), 0);
        try_to_probe(tpm, true);
    }
    assert_int_equal(open_descriptors(), before);
    assert_in_range(allocated_bytes(), 0, bytes + KEPT_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(creating_keys_keeps_nothing, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(losing_the_tpm_keeps_no_descriptor, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(losing_an_answer_keeps_no_descriptor, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(resets_keep_nothing, start_swtpm, stop_swtpm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
