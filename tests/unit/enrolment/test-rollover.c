/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /cacerts on an interval of its own: when it is fetched, when again, and when not at all. */
#include "enrolment/duties.h"

#include "tests/unit/device/certify.h"
#include "tests/unit/enrolment/scenes.h"

/* So that no renewal comes in between. */
#define LIFE 86400

typedef struct Fixture {
    Machine *machine;
    FakeCa *next;
    char *cross, *answer; /* of /cacerts, with a new root in it */
} Fixture;

static int setup(void **state) {
    Fixture *f = calloc(1, sizeof *f);

    f->machine = machine_new();
    f->next = fake_ca_new("root", NULL);
    f->cross = fake_ca_cross(f->next, f->machine->ca);
    _cleanup_free_ char *two = fake_concat(f->machine->ca->pem, f->next->pem);
    f->answer = fake_concat(two, f->cross);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    Fixture *f = *state;
    Machine *machine = f->machine;

    int r = machine_free(machine);
    fake_ca_free(f->next);
    free(f->cross);
    free(f->answer);
    free(f);
    return r;
}

static unsigned fetches(const Fixture *f) {
    return enroller_count_of(f->machine->enroller, "x", JOB_KIND_CACERTS);
}

static void test_interval(void **state) {
    Fixture *f = *state;
    const Reply answer = { .cacerts = f->answer };

    start_with_life(f->machine, "[Renewal]\nAnchorsInterval=2h\n", LIFE);
    machine_pass(f->machine, 7190);
    assert_int_equal(fetches(f), 0); /* the enrolment brought it */
    enroller_script(f->machine->enroller, &answer);
    machine_pass(f->machine, 11);
    machine_until(f->machine, fetches(f) == 1);
    machine_until(f->machine, identity_anchors(x_of(f->machine))->count == 2);
    const EnrollerJob *job = enroller_last(f->machine->enroller);
    assert_false(job->has_client_chain || job->brings_request);
    assert_true(job->has_server_anchors);
    machine_expect_log(f->machine, "The CA's anchors changed by rollover: 1 before, 2 now.", 1);
    machine_pass(f->machine, 7190);
    assert_int_equal(fetches(f), 1);
    machine_pass(f->machine, 12);
    machine_until(f->machine, fetches(f) == 2);
    assert_int_equal(identity_activity(x_of(f->machine)), ACTIVITY_IDLE);
    assert_string_equal(identity_error(x_of(f->machine)), "");
}

static void test_default_and_never(void **state) {
    Fixture *f = *state;

    start_with_life(f->machine, "", LIFE);
    Instant when = rollover_duty.when(x_of(f->machine));
    assert_int_equal(when.kind, INSTANT_AT);
    assert_true(when.seconds > identity_now(x_of(f->machine)) + 86390 &&
                when.seconds <= identity_now(x_of(f->machine)) + 86400);
    machine_configure_manual(f->machine, "x", ""); /* no server to ask */
    identity_load(x_of(f->machine));
    machine_settle(f->machine);
    assert_int_equal(rollover_duty.when(x_of(f->machine)).kind, INSTANT_NEVER);
    machine_configure_fingerprint(f->machine, "y", f->machine->ca, ""); /* no anchor to start from */
    Failure failure = FAILURE_INIT;
    const Reply hold = { .kind = REPLY_HOLD };
    enroller_script(f->machine->enroller, &hold);
    assert_int_equal(manager_reload(f->machine->manager, &failure), 0);
    assert_int_equal(rollover_duty.when(machine_identity(f->machine, "y")).kind, INSTANT_NEVER);
}

/* Failures are said, touch nothing, and are tried again in an hour, or the interval if that is shorter. */
static void test_failure(void **state) {
    static const struct {
        const char *interval, *said;
        Reply reply;
    } cases[] = {
        { "[Renewal]\nAnchorsInterval=5h\n",
          "The CA's certificates could not be fetched: cacerts: 500",
          { .kind = REPLY_FAILURE, .text = "cacerts: 500" } },
        { "[Renewal]\nAnchorsInterval=5h\n",
          "The CA's certificates could not be fetched: The enroller ended without",
          { .kind = REPLY_CLOSE } },
        { "[Renewal]\nAnchorsInterval=5h\n",
          "The CA's certificates could not be read: nothing came.",
          { .cacerts = "" } },
        { "[Renewal]\nAnchorsInterval=5h\n",
          "The CA's certificates could not be read: ",
          { .raw_cacerts = { (const uint8_t *) "nonsense", 8 } } },
    };
    Fixture *f = *state;

    start_with_life(f->machine, cases[0].interval, LIFE);
    machine_pass(f->machine, 5 * 3600 - 10);
    for (unsigned i = 0; i < ARRAY_LENGTH(cases); i++) {
        machine_forget_log(f->machine);
        enroller_script(f->machine->enroller, &cases[i].reply);
        machine_pass(f->machine, 12);
        machine_until(f->machine, machine_logged(f->machine, cases[i].said) == 1);
        assert_int_equal(fetches(f), i + 1);
        assert_int_equal(identity_anchors(x_of(f->machine))->count, 1);
        assert_int_equal(identity_state(x_of(f->machine)), STATE_READY);
        assert_string_equal(identity_error(x_of(f->machine)), "");
        machine_pass(f->machine, 3590);
        assert_int_equal(fetches(f), i + 1);
    }
    machine_pass(f->machine, 12);
    machine_until(f->machine, fetches(f) == ARRAY_LENGTH(cases) + 1U);
}

/* An answer that could not be taken over is a failure too. */
static void test_not_stored(void **state) {
    Fixture *f = *state;
    const Reply answer = { .cacerts = f->answer };

    start_with_life(f->machine, "[Renewal]\nAnchorsInterval=5h\n", LIFE);
    assert_int_equal(unlink(machine_path(f->machine, "state/x/trust/anchors.pem")), 0);
    (void) rmdir(machine_path(f->machine, "state/x/trust/crls"));
    assert_int_equal(rmdir(machine_path(f->machine, "state/x/trust")), 0);
    machine_write(f->machine, "state/x/trust", "in the way");
    (void) rmdir(machine_path(f->machine, "state/x/trash"));
    machine_write(f->machine, "state/x/trash", "in the way too, or it would be set aside");
    enroller_script(f->machine->enroller, &answer);
    machine_pass(f->machine, 5 * 3600 + 2);
    machine_until(f->machine, machine_logged(f->machine, "The CA's new anchors could not be stored") == 1);
    machine_settle(f->machine);
    assert_true(rollover_duty.when(x_of(f->machine)).seconds <= identity_now(x_of(f->machine)) + 3600);
}

/* Every enrolment brings /cacerts, too. */
static void test_after_a_renewal(void **state) {
    Fixture *f = *state;

    start_with_life(f->machine, "[Renewal]\nAnchorsInterval=2h\n", LIFE);
    machine_pass(f->machine, 5000);
    (void) machine_certify(f->machine, x_of(f->machine),
                           &(Certified) { .issue = { .starts = -60, .ends = LIFE - 10000 } });
    machine_settle(f->machine);
    machine_pass(f->machine, 5000);
    assert_int_equal(fetches(f), 0);
    machine_pass(f->machine, 2210);
    machine_until(f->machine, fetches(f) == 1);
}

/* Only while it is ready, and has an anchor to start from. */
static void test_not_ready(void **state) {
    Fixture *f = *state;
    const IdentityRevocation revoked = { true, false, 5 };

    start_with_life(f->machine, "[Renewal]\nAnchorsInterval=2h\n", LIFE);
    identity_set_revocation(x_of(f->machine), &revoked);
    identity_evaluate(x_of(f->machine));
    machine_pass(f->machine, 8000);
    assert_int_equal(fetches(f), 0);
}

/* Who trusts another root now is not left without one until the next renewal. */
static void test_other_fingerprint(void **state) {
    Fixture *f = *state;
    const Reply first = { .issue = { .starts = -60, .ends = LIFE } },
                failure = { .kind = REPLY_FAILURE, .text = "cacerts: 500" }, wrong = { .cacerts = f->machine->ca->pem },
                right = { .cacerts = f->next->pem };

    machine_configure_fingerprint(f->machine, "x", f->machine->ca, "");
    enroller_script(f->machine->enroller, &first);
    machine_start(f->machine);
    machine_await_state(f->machine, "x", STATE_READY);
    machine_settle(f->machine);
    machine_configure_fingerprint(f->machine, "x", f->next, "");
    enroller_script(f->machine->enroller, &failure);
    identity_load(x_of(f->machine));
    machine_settle(f->machine);
    machine_until(f->machine, fetches(f) == 1);
    machine_settle(f->machine);
    machine_expect_log(f->machine, "The CA's certificates could not be fetched: cacerts: 500", 1);
    enroller_script(f->machine->enroller, &wrong);
    machine_pass(f->machine, 3602);
    machine_until(f->machine, fetches(f) == 2);
    machine_settle(f->machine);
    machine_expect_log(f->machine, "The CA's certificates were not taken over: ", 1);
    assert_int_equal(identity_anchors(x_of(f->machine))->count, 0);
    enroller_script(f->machine->enroller, &right);
    machine_pass(f->machine, 3602);
    machine_until(f->machine, identity_anchors(x_of(f->machine))->count == 1);
    assert_true(enroller_last(f->machine->enroller)->has_fingerprint);
    _cleanup_free_ char *kept = machine_read(f->machine, "state/x/trust/anchors.pem");
    assert_non_null(strstr(kept, f->next->pem));
    machine_settle(f->machine);
    assert_int_equal(fetches(f), 3);
}

/* Planned while the clock was elsewhere: not for ever. */
static void test_clock_was_elsewhere(void **state) {
    Fixture *f = *state;

    clock_set(50000);
    start_with_life(f->machine, "[Renewal]\nAnchorsInterval=2h\n", LIFE);
    machine_settle(f->machine);
    clock_set(-50000);
    domain_reset(device_domains(f->machine->device), identity_domain(x_of(f->machine)));
    assert_int_equal(rollover_duty.when(x_of(f->machine)).kind, INSTANT_AT_ONCE);
}

static void test_stopped(void **state) {
    Fixture *f = *state;
    const Reply hold = { .kind = REPLY_HOLD };

    start_with_life(f->machine, "[Renewal]\nAnchorsInterval=2h\n", LIFE);
    enroller_script(f->machine->enroller, &hold);
    machine_pass(f->machine, 7202);
    machine_until(f->machine, fetches(f) == 1);
    assert_int_equal(rollover_duty.when(x_of(f->machine)).kind, INSTANT_NEVER); /* one at a time */
    machine_configure(f->machine, "x", "[Weather]\n");
    identity_load(x_of(f->machine));
    machine_settle(f->machine);
    assert_false(enroller_last(f->machine->enroller)->is_open);
    machine_configure(f->machine, "x", "[Renewal]\nAnchorsInterval=2h\n");
    identity_load(x_of(f->machine));
    machine_settle(f->machine);
    machine_pass(f->machine, 7202);
    machine_until(f->machine, fetches(f) == 2); /* and the way is free */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_interval),          TEST(test_default_and_never),   TEST(test_failure),
        TEST(test_not_stored),        TEST(test_after_a_renewal),     TEST(test_not_ready),
        TEST(test_other_fingerprint), TEST(test_clock_was_elsewhere), TEST(test_stopped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
