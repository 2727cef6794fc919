/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who waits for something is answered once, in his order, and never from inside a call of his own. */
#include "work/operation.h"

#include "tests/unit/common/test.h"

#include <string.h>

#define CALLS_MAX 32U

typedef struct Fixture {
    sd_event *loop;
    Operations *operations;
    char order[CALLS_MAX + 1U]; /* a letter for each answer */
    Failure failure;            /* of the last one */
    char result[32];
    unsigned again; /* how many more are begun and finished by an answer */
} Fixture;

typedef struct Waiter {
    Fixture *fixture;
    char letter;
} Waiter;

static int setup(void **state) {
    Fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    assert_int_equal(sd_event_new(&f->loop), 0);
    assert_int_equal(operations_new(f->loop, &f->operations), 0);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    Fixture *f = *state;

    operations_free(f->operations);
    sd_event_unref(f->loop);
    free(f);
    return 0;
}

static void on_done(const Failure *failure, BytesView result, void *userdata) {
    const Waiter *waiter = userdata;
    Fixture *f = waiter->fixture;
    size_t count = strlen(f->order);

    assert_true(count < CALLS_MAX);
    f->order[count] = waiter->letter;
    f->failure = *failure;
    assert_true(result.size < sizeof f->result);
    if (result.size > 0)
        memcpy(f->result, result.data, result.size);
    f->result[result.size] = '\0';
}

static void on_done_again(const Failure *failure, BytesView result, void *userdata) {
    const Waiter *waiter = userdata;

    on_done(failure, result, userdata);
    if (waiter->fixture->again-- > 0)
        operation_answer(waiter->fixture->operations, on_done_again, userdata, failure);
}

static Operation *make(Fixture *f, Waiter *waiter) {
    Operation *operation = NULL;

    assert_int_equal(operation_new(f->operations, on_done, waiter, &operation), 0);
    return operation;
}

/* One turn; false: there was nothing to do. */
static bool turn(Fixture *f) {
    int r = sd_event_run(f->loop, 0);

    assert_true(r >= 0);
    return r > 0;
}

static void test_later_turn(void **state) {
    Fixture *f = *state;
    Waiter a = { f, 'a' };
    Operation *operation = make(f, &a);

    assert_false(turn(f)); /* it has only begun */
    operation_finish(operation, NULL, bytes_view_string("done"));
    assert_string_equal(f->order, "");
    assert_true(turn(f));
    assert_string_equal(f->order, "a");
    assert_string_equal(f->result, "done");
    assert_int_equal(f->failure.kind, FAILURE_NONE);
    assert_false(turn(f)); /* once */
    assert_string_equal(f->order, "a");
}

static void test_order(void **state) {
    Fixture *f = *state;
    Waiter waiters[] = { { f, 'a' }, { f, 'b' }, { f, 'c' }, { f, 'd' } };
    Operation *operations[ARRAY_LENGTH(waiters)];

    for (size_t i = 0; i < ARRAY_LENGTH(waiters); i++)
        operations[i] = make(f, &waiters[i]);
    /* That of finishing, not of beginning. */
    operation_finish(operations[2], NULL, bytes_view_string("3"));
    operation_finish(operations[0], NULL, bytes_view_string("1"));
    while (turn(f))
        ;
    assert_string_equal(f->order, "ca");
    operation_finish(operations[3], NULL, bytes_view_string("4"));
    operation_finish(operations[1], NULL, bytes_view_string("2"));
    while (turn(f))
        ;
    assert_string_equal(f->order, "cadb");
    assert_string_equal(f->result, "2");
}

static void test_failure(void **state) {
    Fixture *f = *state;
    Waiter a = { f, 'a' };
    Failure failure = FAILURE_INIT;

    (void) failure_set(&failure, -EIO, FAILURE_STORAGE, "the disk");
    operation_finish(make(f, &a), &failure, (BytesView) { NULL, 0 });
    (void) failure_set(&failure, -EIO, FAILURE_INTERNAL, "another"); /* a copy was taken */
    while (turn(f))
        ;
    assert_int_equal(f->failure.kind, FAILURE_STORAGE);
    assert_string_equal(f->failure.text, "the disk");
    assert_string_equal(f->result, "");
}

/* What comes as a result may be gone by the turn in which it is told. */
static void test_result_is_copied(void **state) {
    Fixture *f = *state;
    Waiter a = { f, 'a' };
    char text[] = "short-lived";

    operation_finish(make(f, &a), NULL, bytes_view_string(text));
    memset(text, 'x', sizeof text - 1U);
    while (turn(f))
        ;
    assert_string_equal(f->result, "short-lived");
}

static void test_several_wait_for_the_same(void **state) {
    Fixture *f = *state;
    Waiter waiters[] = { { f, 'a' }, { f, 'b' }, { f, 'c' } };
    Operation *list = NULL;

    for (size_t i = 0; i < ARRAY_LENGTH(waiters); i++)
        operation_join(&list, make(f, &waiters[i]));
    operation_finish(list, NULL, bytes_view_string("all"));
    while (turn(f))
        ;
    assert_string_equal(f->order, "cba"); /* the last to come is the first of the list */
    assert_string_equal(f->result, "all");
}

static void test_nobody(void **state) {
    Fixture *f = *state;
    Operation *operation = NULL;
    Failure failure = FAILURE_INIT;

    operation_finish(NULL, NULL, (BytesView) { NULL, 0 });
    assert_false(turn(f));
    assert_int_equal(operation_new(f->operations, NULL, NULL, &operation), 0);
    operation_finish(operation, NULL, bytes_view_string("to nobody"));
    operation_answer(f->operations, NULL, NULL, &failure);
    while (turn(f))
        ;
    assert_string_equal(f->order, "");
}

static void test_answer_at_once(void **state) {
    Fixture *f = *state;
    Waiter a = { f, 'a' };
    Failure failure = FAILURE_INIT;

    operation_answer(f->operations, on_done, &a, &failure);
    assert_string_equal(f->order, ""); /* not from inside the call */
    (void) turn(f);
    assert_int_equal(f->failure.kind, FAILURE_NONE);
    (void) failure_set(&failure, -EBUSY, FAILURE_BUSY, "busy");
    operation_answer(f->operations, on_done, &a, &failure);
    (void) turn(f);
    assert_int_equal(f->failure.kind, FAILURE_BUSY);
    assert_string_equal(f->order, "aa");
}

/* An answer that begins the next one: that is answered in another turn, and the loop serves others in between. */
static void test_answers_that_ask_again(void **state) {
    Fixture *f = *state;
    Waiter a = { f, 'a' };
    Failure failure = FAILURE_INIT;

    f->again = 3;
    operation_answer(f->operations, on_done_again, &a, &failure);
    for (unsigned i = 1; i <= 4; i++) {
        assert_true(turn(f));
        assert_int_equal(strlen(f->order), i);
    }
    assert_false(turn(f));
}

static int count_turn(sd_event_source *source, void *userdata) {
    Fixture *f = userdata;

    strcat(f->order, "|");
    return 0;
}

/* Whoever gets an answer finds what the same turn changed as told. */
static void test_after_what_the_turn_changed(void **state) {
    Fixture *f = *state;
    Waiter a = { f, 'a' };
    sd_event_source *other = NULL;
    Failure failure = FAILURE_INIT;

    operation_answer(f->operations, on_done, &a, &failure);
    assert_int_equal(sd_event_add_defer(f->loop, &other, count_turn, f), 0);
    while (turn(f))
        ;
    assert_string_equal(f->order, "|a");
    sd_event_source_disable_unref(other);
}

/* At the end whoever is in the line is answered, too. */
static void test_at_the_end(void **state) {
    Fixture *f = *state;
    Waiter waiters[] = { { f, 'a' }, { f, 'b' } };
    Failure failure = FAILURE_INIT;

    for (size_t i = 0; i < ARRAY_LENGTH(waiters); i++)
        operation_answer(f->operations, on_done, &waiters[i], &failure);
    f->again = 2;
    operation_answer(f->operations, on_done_again, &waiters[1], &failure);
    f->operations = operations_free(f->operations);
    assert_string_equal(f->order, "abbbb");
    assert_null(operations_free(NULL));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_later_turn),
        TEST(test_order),
        TEST(test_failure),
        TEST(test_result_is_copied),
        TEST(test_several_wait_for_the_same),
        TEST(test_nobody),
        TEST(test_answer_at_once),
        TEST(test_answers_that_ask_again),
        TEST(test_after_what_the_turn_changed),
        TEST(test_at_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
