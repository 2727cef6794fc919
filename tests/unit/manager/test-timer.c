/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The timer over all identities: what is due first is begun first, and no sooner; what changed is told before it is
 * computed; and a clock that was set has every date looked at again. */
#include "manager/timer.h"

#include "tests/unit/device/clock.h"
#include "tests/unit/device/machine.h"

/* ---- a duty that is due when the test says ---- */

typedef struct Part {
    Instant when;
    unsigned begun;
} Part;

static char order[64]; /* a letter for whatever was called */

static void note(const char *letter) {
    assert_true(strlen(order) + strlen(letter) < sizeof order);
    strcat(order, letter);
}

static Part *part_of(const Identity *identity);

static Instant duty_when(const Identity *identity) {
    return part_of(identity)->when;
}

static void duty_begin(Identity *identity) {
    part_of(identity)->begun++;
    part_of(identity)->when = instant_never();
    note(identity_name(identity));
}

static const Duty duty = { .name = "test", .part_size = sizeof(Part), .when = duty_when, .begin = duty_begin };
static const Duty *const table[] = { &loading_duty, &duty, NULL };

static Part *part_of(const Identity *identity) {
    return identity_part(identity, &duty);
}

/* ---- fixture ---- */

typedef struct Fixture {
    Machine *machine;
    Timer *timer;
    Identity *x, *y;
    unsigned flushed, set;
    bool wants_x; /* at the next flush: x is due at once */
} Fixture;

static void on_flush(void *userdata) {
    Fixture *f = userdata;

    f->flushed++;
    if (f->wants_x)
        part_of(f->x)->when = instant_at_once();
    f->wants_x = false;
}

static void on_clock_set(void *userdata) {
    Fixture *f = userdata;

    f->set++;
    note("c");
}

static int setup(void **state) {
    Fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    f->machine = machine_new();
    f->machine->by_hand = true;
    machine_configure(f->machine, "x", "");
    machine_configure(f->machine, "y", "");
    machine_start_parts(f->machine, table);
    f->x = machine_add(f->machine, "x");
    f->y = machine_add(f->machine, "y");
    const TimerOptions options = { f->machine->loop, f->machine->set, on_clock_set, on_flush, f };
    assert_int_equal(timer_new(&options, &f->timer), 0);
    order[0] = '\0';
    *state = f;
    return 0;
}

static int teardown(void **state) {
    Fixture *f = *state;
    Machine *machine = f->machine;

    timer_free(f->timer);
    free(f);
    return machine_free(machine);
}

static void due_in(Identity *identity, int64_t seconds) {
    part_of(identity)->when = instant_at(identity_now(identity) + seconds);
}

/* A turn in which something happens, so that the timer is computed; and what follows by itself. */
static void turn(Fixture *f) {
    machine_settle(f->machine);
}

static void pass(Fixture *f, int64_t seconds) {
    machine_pass(f->machine, seconds);
}

/* ---- tests ---- */

static void test_never(void **state) {
    Fixture *f = *state;

    turn(f);
    pass(f, 10000000);
    assert_string_equal(order, "");
    assert_true(f->flushed > 0);
}

static void test_earliest(void **state) {
    Fixture *f = *state;

    due_in(f->x, 1000);
    due_in(f->y, 500);
    turn(f);
    pass(f, 490);
    assert_string_equal(order, "");
    pass(f, 11);
    assert_string_equal(order, "y");
    pass(f, 480);
    assert_string_equal(order, "y");
    pass(f, 20);
    assert_string_equal(order, "yx");
    pass(f, 100000);
    assert_string_equal(order, "yx");
}

static void test_at_once(void **state) {
    Fixture *f = *state;

    part_of(f->x)->when = instant_at_once();
    turn(f);
    assert_string_equal(order, "x");
    due_in(f->y, -5); /* what is past */
    turn(f);
    assert_string_equal(order, "xy");
    part_of(f->x)->when = instant_at(0); /* long past */
    turn(f);
    assert_string_equal(order, "xyx");
    part_of(f->x)->when = instant_at(-100000);
    turn(f);
    assert_string_equal(order, "xyxx");
}

/* All that are due at one instant begin in one turn. */
static void test_together(void **state) {
    Fixture *f = *state;

    due_in(f->x, 100);
    due_in(f->y, 100);
    turn(f);
    pass(f, 102);
    assert_string_equal(order, "xy");
}

/* It goes by what is so after each turn, not by what was. */
static void test_changed(void **state) {
    Fixture *f = *state;

    due_in(f->x, 1000);
    turn(f);
    due_in(f->x, 2000); /* later */
    turn(f);
    pass(f, 1500);
    assert_string_equal(order, "");
    due_in(f->x, 100); /* sooner */
    turn(f);
    pass(f, 101);
    assert_string_equal(order, "x");
    due_in(f->x, 100);
    turn(f);
    part_of(f->x)->when = instant_never();
    turn(f);
    pass(f, 10000);
    assert_string_equal(order, "x");
    due_in(f->x, 5);
    turn(f);
    pass(f, 6);
    assert_string_equal(order, "xx");
}

/* What is told at the end of a turn counts for the timer of that turn. */
static void test_flush_first(void **state) {
    Fixture *f = *state;

    turn(f);
    f->wants_x = true;
    turn(f);
    assert_string_equal(order, "x");
}

/* With nothing due the loop sleeps: it turns no more than there is something to do. */
static void test_no_idle_turns(void **state) {
    Fixture *f = *state;

    due_in(f->x, 1000);
    turn(f);
    unsigned before = f->flushed;
    while (sd_event_run(f->machine->loop, 20000) > 0) {
    }
    assert_true(f->flushed <= before + 1);
}

static void test_clock_set(void **state) {
    Fixture *f = *state;

    due_in(f->x, 1000);
    turn(f);
    clock_set(2000);
    clock_tell();
    turn(f);
    assert_int_equal(f->set, 1);
    assert_string_equal(order, "cx"); /* the clock is judged before dates are looked at */
    machine_expect_log(f->machine, "The system clock was set; every date is looked at again.", 1);
    turn(f);
    assert_int_equal(f->set, 1);
    /* Set back, nothing is due; and it is waited for anew. */
    due_in(f->x, 1000);
    clock_set(-5000);
    clock_tell();
    turn(f);
    assert_string_equal(order, "cxc");
    pass(f, 1000 + 5000 + 1);
    assert_string_equal(order, "cxcx");
}

/* An alarm without a cause is none. */
static void test_clock_not_set(void **state) {
    Fixture *f = *state;

    turn(f);
    clock_tell();
    assert_true(sd_event_prepare(f->machine->loop) >= 0);
    assert_true(sd_event_wait(f->machine->loop, 0) > 0);
    clock_untell();
    assert_true(sd_event_dispatch(f->machine->loop) > 0);
    assert_int_equal(f->set, 0);
    machine_expect_log(f->machine, "The system clock was set", 0);
}

static void test_freed(void **state) {
    Fixture *f = *state;

    due_in(f->x, 10);
    turn(f);
    f->timer = timer_free(f->timer);
    assert_null(f->timer);
    assert_null(timer_free(NULL));
    pass(f, 20);
    assert_string_equal(order, "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_never),         TEST(test_earliest),    TEST(test_at_once),       TEST(test_together),
        TEST(test_changed),       TEST(test_flush_first), TEST(test_no_idle_turns), TEST(test_clock_set),
        TEST(test_clock_not_set), TEST(test_freed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
