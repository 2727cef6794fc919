/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What time it is for an identity, and what its authorities say of revocation that programs are given. */
#include "identity/time.h"

#include "device/build-time.h"
#include "tests/unit/device/certify.h"
#include "tests/unit/device/clock.h"

static const Duty *const table[] = { &loading_duty, NULL };

static Identity *start(void **state) {
    Identity *identity = machine_start_alone(*state, "", table);

    (void) identity_flush(identity);
    return identity;
}

static Identity *restart(void **state) {
    machine_stop(*state);
    return start(state);
}

static void assert_about(int64_t value, int64_t wanted) {
    assert_true(value >= wanted && value <= wanted + 2);
}

static void test_now(void **state) {
    Identity *identity = start(state);

    assert_about(identity_now(identity), realtime_seconds());
    assert_about((int64_t) (identity_now_usec(identity) / 1000000U), realtime_seconds());
    assert_false(identity_clock_is_behind(identity));
    assert_about(identity_time_to_verify(identity, NULL), realtime_seconds());
}

/* What was learned is kept beside the identity, for a boot in which the clock begins in 1970. */
static void test_learned_over_a_boot(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state);
    int64_t now = realtime_seconds();

    clock_pass(10000); /* so that it is later than the build */
    identity_learn_time(identity, now + 5000, "the beginning of a CRL");
    assert_int_equal(identity_clock_floor(identity), now + 5000);
    identity_learn_time(identity, now + 4000, "an older one");
    assert_int_equal(identity_clock_floor(identity), now + 5000);
    assert_int_equal(identity_save(identity), 0);
    machine_stop(machine);
    (void) unlink(machine_path(machine, "runtime/.clock"));
    clock_set(-realtime_seconds());
    identity = restart(state);
    assert_about(identity_now(identity), now + 5000);
    assert_true(identity_clock_is_behind(identity));
    DomainView view;
    assert_true(domain_view(device_domains(machine->device), identity_domain(identity), &view));
    assert_string_equal(view.source, "what x has seen signed");
}

/* Beyond the time in use nothing is learned, in no place. */
static void test_a_lie(void **state) {
    Identity *identity = start(state);
    int64_t now = realtime_seconds();

    identity_learn_time(identity, now + 100000, "a liar");
    assert_about(identity_now(identity), now);
    assert_true(identity_clock_floor(identity) <= now + 2);
}

static void test_verify_and_judge(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state);
    _cleanup_tpm_key_ TpmKey *key = machine_key(machine);
    _cleanup_certificates_ CertificateList
        soon = machine_issue(machine, key, &(Certified) { .issue = { .starts = 200, .ends = 9000 } }),
        late = machine_issue(machine, key, &(Certified) { .issue = { .starts = 900, .ends = 9000 } });
    int64_t now = realtime_seconds();

    /* A little ahead is tolerated, more is not; and a clock that is behind proves nothing. */
    assert_int_equal(identity_time_to_verify(identity, soon.list[0]), soon.list[0]->not_before);
    assert_about(identity_time_to_verify(identity, late.list[0]), now);
    assert_about(identity_time_to_judge(identity, NULL, now + 900), now);
    clock_set(-20 * 365 * 86400);
    domains_judge(device_domains(machine->device));
    assert_true(identity_clock_is_behind(identity));
    assert_int_equal(identity_time_to_verify(identity, late.list[0]), late.list[0]->not_before);
    assert_int_equal(identity_time_to_judge(identity, NULL, now + 900), now + 900);
    assert_int_equal(identity_clock_floor(identity), 0); /* that tolerance is never learned from */
}

static void test_reset(void **state) {
    Identity *identity = start(state);
    int64_t now = realtime_seconds();

    clock_pass(10000);
    identity_learn_time(identity, now + 9000, "a CRL");
    (void) identity_flush(identity);
    clock_set(-9500);
    assert_true(identity_now(identity) >= now + 9000);
    assert_int_equal(identity_reset_clock(identity), 0);
    assert_true(identity_now(identity) <= now + 510);
    assert_int_equal(identity_clock_floor(identity), 0);
    assert_int_equal(identity_flush(identity), CHANGED_PROPERTIES);
    identity = restart(state);
    assert_int_equal(identity_clock_floor(identity), 0);
}

/* A floor that a damaged file brought expires nothing: the chain's end bounds it. */
static void test_floor_is_bounded(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state);

    (void) machine_certify(machine, identity, &(Certified) { .issue = { .starts = -3600, .ends = 7200 } });
    identity_set_clock_floor(identity, realtime_seconds() + 50 * 365 * 86400);
    assert_int_equal(identity_save(identity), 0);
    machine_stop(machine);
    (void) unlink(machine_path(machine, "runtime/.clock"));
    identity = start(state);
    assert_true(identity_now(identity) <= identity_leaf(identity)->not_after + 2);
    assert_int_equal(identity_state(identity), STATE_READY);
}

/* One authority's word moves the identities that trust it, and no other. */
static void test_domains(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state);
    _cleanup_(fake_ca_free_p) FakeCa *other = fake_ca_new("other", NULL);
    int64_t now = realtime_seconds();

    machine_configure(machine, "y", "");
    machine_write(machine, "etc/other.pem", "%s", other->pem);
    machine_write(machine, "etc/identities/z.conf",
                  "[Identity]\nSubject=CN=z\n[Enrollment]\nServer=https://ca.example/\nAnchors=%s/etc/other.pem\n",
                  machine->root);
    Identity *same = machine_add(machine, "y"), *another = machine_add(machine, "z");
    assert_string_equal(identity_domain(identity), identity_domain(same));
    assert_string_not_equal(identity_domain(identity), identity_domain(another));
    clock_pass(10000);
    identity_learn_time(identity, now + 9000, "a CRL");
    clock_set(-9500);
    assert_true(identity_now(identity) >= now + 9000);
    assert_true(identity_now(same) >= now + 9000);
    assert_true(identity_now(another) <= now + 510 || identity_now(another) <= IDENTITYD_BUILD_TIME + 10010);
    assert_true(identity_now(another) < now + 9000 || IDENTITYD_BUILD_TIME + 10000 > now + 9000);
}

/* ---- statements ---- */

/* However many identities have them, they are there once. */
static void test_statements_are_shared(void **state) {
    Machine *machine = *state;
    Identity *one = start(state), *other = (machine_configure(machine, "other", ""), machine_add(machine, "other"));
    Bytes crls = BYTES_NULL;

    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(bytes_copy(bytes_view_string("crl"), &crls), 0);
        assert_int_equal(identity_set_crls(i == 0 ? one : other, &crls), 0);
    }
    assert_true(identity_crls_fd(one) >= 0);
    assert_int_equal(identity_crls_fd(one), identity_crls_fd(other));
    assert_int_equal(identity_set_crls(one, &crls), 0); /* none any more */
    assert_int_equal(identity_crls_fd(one), -1);
    assert_true(bytes_view_equal(machine_crls(other), bytes_view_string("crl")));
}

static void test_statements(void **state) {
    Identity *identity = start(state);
    Bytes crls = BYTES_NULL;

    assert_int_equal(machine_crls(identity).size, 0);
    assert_int_equal(identity_staple(identity).size, 0);
    assert_int_equal(bytes_copy(bytes_view_string("crl"), &crls), 0);
    assert_int_equal(identity_set_crls(identity, &crls), 0);
    assert_null(crls.data);
    assert_int_equal(identity_flush(identity), CHANGED_STATEMENTS);
    assert_true(bytes_view_equal(machine_crls(identity), bytes_view_string("crl")));
    assert_int_equal(bytes_copy(bytes_view_string("crl"), &crls), 0);
    assert_int_equal(identity_set_crls(identity, &crls), 0); /* the same again is no change, and taken all the same */
    assert_null(crls.data);
    assert_int_equal(identity_flush(identity), 0);
    assert_int_equal(identity_set_crls(identity, &crls), 0);
    assert_int_equal(identity_flush(identity), CHANGED_STATEMENTS);
    assert_int_equal(machine_crls(identity).size, 0);

    assert_int_equal(identity_set_staple(identity, bytes_view_string("answer"), 5), 0);
    assert_int_equal(identity_flush(identity), CHANGED_STATEMENTS);
    assert_true(bytes_view_equal(identity_staple(identity), bytes_view_string("answer")));
    assert_int_equal(identity_staple_end(identity), 5);
    assert_int_equal(identity_set_staple(identity, bytes_view_string("answer"), 5), 0);
    assert_int_equal(identity_flush(identity), 0);
    identity_drop_staple(identity);
    assert_int_equal(identity_flush(identity), CHANGED_STATEMENTS);
    assert_int_equal(identity_staple(identity).size, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_now),
        TEST(test_learned_over_a_boot),
        TEST(test_a_lie),
        TEST(test_verify_and_judge),
        TEST(test_reset),
        TEST(test_floor_is_bounded),
        TEST(test_domains),
        TEST(test_statements),
        TEST(test_statements_are_shared),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
