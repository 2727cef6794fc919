/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How often and how patiently a command is sent again, by the class of its answer, and what one that failed leaves
 * noted. The test sleeps in place of the C library: nothing waits. */
#include "tpm/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static uint64_t slept_us, last_us;
static unsigned sleeps;

int nanosleep(const struct timespec *wanted, struct timespec *left) {
    last_us = (uint64_t) wanted->tv_sec * 1000000U + (uint64_t) wanted->tv_nsec / 1000U;
    assert_true(wanted->tv_nsec >= 0 && wanted->tv_nsec < 1000000000L);
    assert_int_equal(wanted->tv_nsec % 1000, 0);
    slept_us += last_us;
    sleeps++;
    return 0;
}

static int reset(void **state) {
    slept_us = last_us = 0;
    sleeps = 0;
    return 0;
}

/* Answers that stay as they are, until nothing is sent again. */
static void send(Tpm *tpm, TSS2_RC rc) {
    unsigned int tries = 0;

    while (tpm_command_again(tpm, &tries, rc))
        assert_int_equal(last_us, UINT64_C(1000) << (sleeps - 1));
    assert_int_equal(tries, sleeps);
}

static void test_busy(void **state) {
    static const TSS2_RC answers[] = { TPM2_RC_RETRY,    TPM2_RC_YIELDED, TPM2_RC_TESTING,
                                       TPM2_RC_CANCELED, TPM2_RC_NV_RATE, TPM2_RC_NV_UNAVAILABLE };

    for (size_t i = 0; i < ARRAY_LENGTH(answers); i++) {
        Tpm tpm = { 0 };
        reset(NULL);
        send(&tpm, answers[i]);
        assert_int_equal(sleeps, 12);
        assert_int_equal(slept_us, 4095000); /* 1 + 2 + 4 + … + 2048 ms: some seconds for a slow self-test */
        assert_int_equal(tpm.last_answer, 0);
        assert_false(tpm.lost);
    }
}

static void test_memory(void **state) {
    static const TSS2_RC answers[] = { TPM2_RC_OBJECT_MEMORY,   TPM2_RC_OBJECT_HANDLES, TPM2_RC_SESSION_MEMORY,
                                       TPM2_RC_SESSION_HANDLES, TPM2_RC_MEMORY,         TPM2_RC_CONTEXT_GAP };

    for (size_t i = 0; i < ARRAY_LENGTH(answers); i++) {
        Tpm tpm = { 0 };
        reset(NULL);
        send(&tpm, answers[i]);
        assert_int_equal(sleeps, 6);
        assert_int_equal(slept_us, 63000);
    }
}

/* What another try does not mend is not tried again; a transport that failed is used for nothing more. */
static void test_not_again(void **state) {
    static const struct {
        TSS2_RC rc;
        bool is_lost;
    } answers[] = {
        { TPM2_RC_INITIALIZE, false },    { TPM2_RC_REFERENCE_H0, false }, { TPM2_RC_HANDLE, false },
        { TPM2_RC_LOCKOUT, false },       { TPM2_RC_NV_SPACE, false },     { TPM2_RC_BAD_AUTH, false },
        { TPM2_RC_FAILURE, false },       { TPM2_RC_COMMAND_CODE, false }, { TSS2_TCTI_RC_IO_ERROR, true },
        { TSS2_ESYS_RC_BAD_VALUE, true },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(answers); i++) {
        Tpm tpm = { 0 };
        send(&tpm, answers[i].rc);
        assert_int_equal(sleeps, 0);
        assert_int_equal(tpm.lost, answers[i].is_lost);
        assert_int_equal(tpm.last_answer, 0);
    }
}

static uint64_t monotonic_us(void) {
    struct timespec now;

    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    return (uint64_t) now.tv_sec * 1000000U + (uint64_t) now.tv_nsec / 1000U;
}

/* An answer is noted with its time, in the microseconds of CLOCK_MONOTONIC. */
static void test_answered(void **state) {
    Tpm tpm = { 0 };
    uint64_t before = monotonic_us();

    send(&tpm, TSS2_RC_SUCCESS);
    assert_int_equal(sleeps, 0);
    assert_in_range(tpm.last_answer, before, monotonic_us());
    before = monotonic_us();
    uint64_t now = tpm_command_now();
    assert_in_range(now, before, monotonic_us());
}

/* What must follow: everything is dropped, the TPM counts as locked or as gone, or nothing. */
static void test_failed(void **state) {
    static const struct {
        TSS2_RC rc;
        bool stale;
        TpmState state;
        int error;
    } cases[] = {
        { TPM2_RC_INITIALIZE, true, TPM_STATE_UNAVAILABLE, -ENXIO },
        { TPM2_RC_HANDLE, true, TPM_STATE_UNAVAILABLE, -ENXIO },
        { TSS2_TCTI_RC_IO_ERROR, true, TPM_STATE_UNAVAILABLE, -ENXIO },
        { TPM2_RC_LOCKOUT, false, TPM_STATE_LOCKOUT, -EACCES },
        { TPM2_RC_FAILURE, false, TPM_STATE_UNAVAILABLE, -EIO },
        { TPM2_RC_HIERARCHY, false, TPM_STATE_UNAVAILABLE, -EIO },
        { TPM2_RC_RETRY, false, TPM_STATE_READY, -EBUSY },
        { TPM2_RC_OBJECT_MEMORY, false, TPM_STATE_READY, -EBUSY },
        { TPM2_RC_BAD_AUTH, false, TPM_STATE_READY, -EACCES },
        { TPM2_RC_NV_SPACE, false, TPM_STATE_READY, -ENOSPC },
        { TPM2_RC_INTEGRITY, false, TPM_STATE_READY, -EINVAL },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        Tpm tpm = { .state = TPM_STATE_READY };
        Failure failure = FAILURE_INIT;
        char code[16];
        assert_int_equal(tpm_command_fail(&tpm, cases[i].rc, "trying", &failure), cases[i].error);
        assert_int_equal(tpm.stale, cases[i].stale);
        assert_int_equal(tpm.state, cases[i].state);
        (void) snprintf(code, sizeof code, "(0x%x)", cases[i].rc);
        assert_non_null(strstr(failure.text, "trying"));
        assert_non_null(strstr(failure.text, code));
    }
}

/* Where there is nothing nothing is sent: this Tpm is not even open. */
static void test_flush_of_nothing(void **state) {
    Tpm tpm = { 0 };
    ESYS_TR object = ESYS_TR_NONE;

    tpm_command_flush(&tpm, &object);
    assert_int_equal(object, ESYS_TR_NONE);
    assert_int_equal(tpm.last_answer, 0);
    assert_false(tpm.lost);
    object = ESYS_TR_RH_OWNER; /* what the transport has lost is forgotten all the same */
    tpm.lost = true;
    tpm_command_flush(&tpm, &object);
    assert_int_equal(object, ESYS_TR_NONE);
}

#define TEST(name) cmocka_unit_test_setup(name, reset)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_busy),     TEST(test_memory), TEST(test_not_again),
        TEST(test_answered), TEST(test_failed), TEST(test_flush_of_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
