/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the thread counts, and what it says to main: each trouble once while main has not heard of the last, with its
 * own text, and which generations are used or not. The two sides are one thread here. */
#include "signing/signing-internal.h"

#include "tests/unit/common/test.h"

#include <stdio.h>
#include <string.h>

typedef struct Fixture {
    Signing signing;
    sd_event *loop;
    unsigned troubles, used, unused;
    char trouble[64], identity[64];
    uint32_t generation;
} Fixture;

static void on_trouble(const Failure *failure, void *userdata) {
    Fixture *f = userdata;

    f->troubles++;
    (void) snprintf(f->trouble, sizeof f->trouble, "%.60s", failure->text);
}

static void note(Fixture *f, const char *identity, uint32_t generation, unsigned *count) {
    (*count)++;
    (void) snprintf(f->identity, sizeof f->identity, "%.60s", identity);
    f->generation = generation;
}

static void on_used(const char *identity, uint32_t generation, void *userdata) {
    note(userdata, identity, generation, &((Fixture *) userdata)->used);
}

static void on_unused(const char *identity, uint32_t generation, void *userdata) {
    note(userdata, identity, generation, &((Fixture *) userdata)->unused);
}

static int setup(void **state) {
    Fixture *f = calloc(1, sizeof *f);

    f->signing.callbacks = (SigningCallbacks) {
        .generation_used = on_used, .generation_unused = on_unused, .tpm_trouble = on_trouble, .userdata = f
    };
    assert_int_equal(sd_event_new(&f->loop), 0);
    assert_int_equal(mailbox_new(f->loop, SD_EVENT_PRIORITY_NORMAL, &f->signing.to_main), 0);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    Fixture *f = *state;

    mailbox_free(f->signing.to_main);
    sd_event_unref(f->loop);
    free(f);
    return 0;
}

static void run(Fixture *f) {
    while (sd_event_run(f->loop, 0) > 0)
        ;
}

static void tell_trouble(Fixture *f, const char *text) {
    Failure failure = FAILURE_INIT;

    (void) failure_set(&failure, -EIO, FAILURE_TPM_UNAVAILABLE, "%s", text);
    thread_tell_trouble(&f->signing, &failure);
}

/* However many signatures fail in the meantime: main hears of one, and of the next after that. */
static void test_troubles(void **state) {
    Fixture *f = *state;

    tell_trouble(f, "first");
    tell_trouble(f, "second");
    tell_trouble(f, "third");
    run(f);
    assert_int_equal(f->troubles, 1);
    assert_string_equal(f->trouble, "first");
    tell_trouble(f, "fourth");
    run(f);
    assert_int_equal(f->troubles, 2);
    assert_string_equal(f->trouble, "fourth");
    f->signing.callbacks.tpm_trouble = NULL; /* nobody wants to hear */
    tell_trouble(f, "fifth");
    run(f);
    assert_int_equal(f->troubles, 2);
}

static void test_generations(void **state) {
    Fixture *f = *state;

    assert_int_equal(thread_tell_generation(&f->signing, "x", 7, true), 0);
    assert_int_equal(f->used, 0); /* in a turn of main's */
    run(f);
    assert_int_equal(f->used, 1);
    assert_int_equal(f->unused, 0);
    assert_string_equal(f->identity, "x");
    assert_int_equal(f->generation, 7);
    assert_int_equal(thread_tell_generation(&f->signing, "yy", 6, false), 0);
    run(f);
    assert_int_equal(f->used, 1);
    assert_int_equal(f->unused, 1);
    assert_string_equal(f->identity, "yy");
    assert_int_equal(f->generation, 6);
    f->signing.callbacks.generation_used = f->signing.callbacks.generation_unused = NULL;
    assert_int_equal(thread_tell_generation(&f->signing, "x", 8, true), 0);
    assert_int_equal(thread_tell_generation(&f->signing, "x", 8, false), 0);
    run(f);
    assert_int_equal(f->used + f->unused, 2);
}

/* ≤ 1, 3, 10, 30, 100, 300, 1000 ms, more: as signing.h says, to the microsecond. */
static void test_latencies(void **state) {
    static const uint64_t bounds[] = { 1000, 3000, 10000, 30000, 100000, 300000, 1000000 };
    Fixture *f = *state;
    SigningCounters counters;
    uint64_t sum = 0;

    for (size_t i = 0; i < ARRAY_LENGTH(bounds); i++)
        for (uint64_t us = bounds[i]; us <= bounds[i] + 1; us++) {
            thread_count_latency(&f->signing, us);
            sum += us;
        }
    thread_count_latency(&f->signing, 0);
    signing_counters(&f->signing, &counters);
    for (size_t i = 0; i < ARRAY_LENGTH(counters.latency_bucket); i++)
        assert_int_equal(counters.latency_bucket[i], i == 7 ? 1 : 2); /* its own bound, and what is beyond the last */
    assert_int_equal(counters.latency_sum, sum);
}

static void test_busy(void **state) {
    Fixture *f = *state;

    assert_int_equal(signing_busy_since(&f->signing), 0);
    assert_false(signing_is_busy_longer(&f->signing, 0));
    uint64_t begun = thread_busy_begin(&f->signing);
    assert_int_equal(signing_busy_since(&f->signing), begun);
    assert_false(signing_is_busy_longer(&f->signing, UINT64_C(3600000000)));
    while (thread_now() <= begun)
        ;
    assert_true(signing_is_busy_longer(&f->signing, 0));
    assert_true(thread_busy_end(&f->signing) >= begun);
    assert_int_equal(signing_busy_since(&f->signing), 0);
    assert_false(signing_is_busy_longer(&f->signing, 0));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_troubles),
        TEST(test_generations),
        TEST(test_latencies),
        TEST(test_busy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
