/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state that all that is known amounts to, what is said when it changes, and the refusal of each. */
#include "identity/standing.h"

#include "tests/unit/device/certify.h"
#include "tests/unit/device/clock.h"

static const Duty *const table[] = { &loading_duty, &standing_duty, NULL };

static Identity *start(void **state) {
    Identity *identity = machine_start_alone(*state, "", table);

    (void) identity_flush(identity);
    return identity;
}

static Identity *start_ready(void **state) {
    Identity *identity = start(state);

    (void) machine_certify(*state, identity, &(Certified) { .ca = NULL });
    (void) identity_flush(identity);
    return identity;
}

static void expect_refusal(const Identity *identity, FailureKind kind, const char *text) {
    Failure failure = FAILURE_INIT;

    assert_true(identity_require_ready(identity, &failure) < 0);
    expect_failure(&failure, kind, text);
}

static void look(Machine *machine) {
    unsigned before = machine->looked;

    device_look_at_tpm(machine->device);
    machine_until(machine, machine->looked > before);
}

static void test_empty_and_ready(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state);
    Failure failure = FAILURE_INIT;

    assert_int_equal(identity_state(identity), STATE_EMPTY);
    expect_refusal(identity, FAILURE_NOT_READY,
                   "x cannot sign: it has no certificate yet; see `idctl show` for what its enrolment waits for.");
    assert_int_equal(identity_when(identity).kind, INSTANT_NEVER);
    (void) machine_certify(machine, identity, &(Certified) { .ca = NULL });
    assert_int_equal(identity_state(identity), STATE_READY);
    assert_int_equal(identity_require_ready(identity, &failure), 0);
    machine_expect_log(machine, "x: empty → ready (installed)", 1);
    assert_true(identity_flush(identity) & CHANGED_STATE);
    identity_evaluate(identity); /* looks again, and nothing is another */
    assert_int_equal(identity_flush(identity), 0);
    machine_expect_log(machine, "→ ready", 1);
}

static void test_before_it_was_loaded(void **state) {
    Machine *machine = *state;
    _cleanup_(identity_free_p) Identity *identity = NULL;

    machine_start_parts(machine, table);
    assert_int_equal(identity_new(&machine->context, "x", &identity), 0);
    assert_int_equal(identity_state(identity), STATE_UNAVAILABLE);
    assert_int_equal(identity_activity(identity), ACTIVITY_IDLE);
    assert_false(identity_is_replaced(identity));
    expect_refusal(identity, FAILURE_NOT_READY, "x is out of use");
}

static void test_misconfigured(void **state) {
    Machine *machine = *state;
    Identity *identity = start_ready(state);

    machine_configure(machine, "x", "[Weather]\n");
    identity_load(identity);
    assert_int_equal(identity_state(identity), STATE_MISCONFIGURED);
    expect_refusal(identity, FAILURE_NOT_READY, "x is out of use: ");
    machine_configure(machine, "x", "");
    identity_load(identity);
    assert_int_equal(identity_state(identity), STATE_READY);
    machine_expect_log(machine, "x: ready → misconfigured (misconfigured): ", 1);
    machine_expect_log(machine, "misconfigured → unavailable (configured)", 1);
    machine_expect_log(machine, "x: unavailable → ready", 1);
}

/* ---- the clock ---- */

static void test_expired(void **state) {
    Machine *machine = *state;
    Identity *identity = start_ready(state);

    assert_int_equal(identity_when(identity).seconds, identity_leaf(identity)->not_after + 1);
    clock_set(3590);
    identity_run_due(identity);
    assert_int_equal(identity_state(identity), STATE_READY);
    clock_set(15);
    assert_int_equal(identity_state(identity), STATE_READY); /* nobody has looked */
    identity_run_due(identity);
    assert_int_equal(identity_state(identity), STATE_EXPIRED);
    unsigned changes = identity_flush(identity);
    assert_true((changes & CHANGED_STATE) && (changes & CHANGED_EXPIRED));
    machine_expect_log(machine, "warning: x: ready → expired (expired)", 1);
    expect_refusal(identity, FAILURE_EXPIRED,
                   "x cannot sign: its certificate has expired and was not renewed; see `idctl show` for why.");
    assert_int_equal(identity_when(identity).kind, INSTANT_NEVER);
    /* The clock turns out to have been wrong: it comes back by itself. */
    clock_set(-1000);
    assert_int_equal(identity_when(identity).kind, INSTANT_AT_ONCE);
    identity_run_due(identity);
    assert_int_equal(identity_state(identity), STATE_READY);
    changes = identity_flush(identity);
    assert_true((changes & CHANGED_STATE) && (changes & CHANGED_UNEXPIRED));
    assert_false(changes & CHANGED_EXPIRED);
}

/* It is stored nowhere. */
static void test_expired_at_start(void **state) {
    Machine *machine = *state;
    Identity *identity = start_ready(state);

    machine_stop(machine);
    clock_pass(3605);
    identity = start(state);
    assert_int_equal(identity_state(identity), STATE_EXPIRED);
    machine_stop(machine);
    clock_pass(-3605);
    (void) unlink(machine_path(machine, "runtime/.clock")); /* the boot in which it counted */
    identity = start(state);
    assert_int_equal(identity_state(identity), STATE_READY);
}

static void test_chain_end(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state);
    _cleanup_(fake_ca_free_p) FakeCa *issuing = fake_ca_new_dated("issuing", machine->ca, -3600, 600);
    Failure failure = FAILURE_INIT;

    (void) machine_certify(machine, identity, &(Certified) { .ca = issuing, .beside = issuing->pem });
    (void) identity_flush(identity);
    assert_int_equal(identity_when(identity).seconds, identity_chain_end(identity) + 1);
    clock_pass(605);
    identity_run_due(identity);
    assert_int_equal(identity_state(identity), STATE_READY); /* the state is the leaf's */
    assert_int_equal(identity_require_ready(identity, &failure), 0);
    assert_int_equal(identity_flush(identity), CHANGED_CHAIN_ENDED);
    machine_expect_log(machine, "The CA certificate CN=issuing", 1);
    machine_expect_log(machine, "Renewals are tried until the CA issues under one that is valid.", 1);
    identity_evaluate(identity); /* once */
    assert_int_equal(identity_flush(identity), 0);
    machine_expect_log(machine, "The CA certificate CN=issuing", 1);
    assert_int_equal(identity_when(identity).seconds, identity_leaf(identity)->not_after + 1);
    /* After a start it is told again, but nothing has just happened. */
    machine_stop(machine);
    machine_start_parts(machine, table);
    identity = machine_add(machine, "x");
    assert_false(identity_flush(identity) & CHANGED_CHAIN_ENDED);
    machine_expect_log(machine, "The CA certificate CN=issuing", 2);
    assert_int_equal(identity_state(identity), STATE_READY);
    /* Of the next generation it is told anew. */
    _cleanup_(fake_ca_free_p) FakeCa *second = fake_ca_new_dated("second", machine->ca, -3600, 600);
    (void) machine_certify(machine, identity, &(Certified) { .ca = second, .beside = second->pem });
    clock_pass(605);
    identity_evaluate(identity);
    machine_expect_log(machine, "The CA certificate CN=second", 1);
}

static void test_chain_end_of_manual(void **state) {
    Machine *machine = *state;
    _cleanup_(fake_ca_free_p) FakeCa *issuing = fake_ca_new_dated("issuing", machine->ca, -3600, 600);

    machine->by_hand = true;
    machine_configure_manual(machine, "x", "");
    machine_start_parts(machine, table);
    Identity *identity = machine_add(machine, "x");
    (void) machine_certify(machine, identity, &(Certified) { .ca = issuing, .beside = issuing->pem });
    clock_pass(605);
    identity_evaluate(identity);
    machine_expect_log(machine, "bring the chain in with `idctl install`", 1);
}

/* ---- the CA's word ---- */

static void test_revoked(void **state) {
    Machine *machine = *state;
    Identity *identity = start_ready(state);
    IdentityRevocation revocation = { true, false, 5 };

    identity_set_revocation(identity, &revocation);
    assert_int_equal(identity_state(identity), STATE_READY); /* until somebody looks */
    identity_evaluate(identity);
    assert_int_equal(identity_state(identity), STATE_REVOKED);
    machine_expect_log(machine, "warning: x: ready → revoked (revoked)", 1);
    expect_refusal(identity, FAILURE_REVOKED,
                   "x cannot sign: its certificate was revoked by the CA; `idctl enroll --new-key` makes a new one.");
    /* It outranks an end and a TPM that is away. */
    assert_int_equal(swtpm_kill(machine->swtpm), 0);
    clock_pass(3605);
    look(machine);
    assert_int_equal(identity_state(identity), STATE_REVOKED);
    assert_int_equal(swtpm_start(machine->swtpm), 0);
    look(machine);
    assert_int_equal(identity_state(identity), STATE_REVOKED);
}

static void test_hold(void **state) {
    Machine *machine = *state;
    Identity *identity = start_ready(state);
    IdentityRevocation revocation = { false, true, 5 };

    identity_set_revocation(identity, &revocation);
    identity_evaluate(identity);
    assert_int_equal(identity_state(identity), STATE_REVOKED);
    machine_expect_log(machine, "ready → revoked (revoked): on hold at the CA", 1);
    expect_refusal(identity, FAILURE_REVOKED,
                   "x cannot sign: the CA has put its certificate on hold; it signs again when the hold is lifted.");
    revocation.hold = false;
    identity_set_revocation(identity, &revocation);
    identity_evaluate(identity);
    assert_int_equal(identity_state(identity), STATE_READY);
    machine_expect_log(machine, "revoked → ready (hold-ended)", 1);
}

static void test_retired(void **state) {
    Machine *machine = *state;
    Identity *identity = start_ready(state);
    const IdentityRevocation revoked = { true, false, 5 };
    Failure failure = FAILURE_INIT;

    assert_int_equal(identity_retire(identity, &failure), 0);
    assert_int_equal(identity_state(identity), STATE_RETIRED);
    expect_refusal(identity, FAILURE_RETIRED,
                   "x cannot sign: it was retired and its key destroyed; `idctl enroll` makes a new one.");
    identity_set_revocation(identity, &revoked); /* what arrives late changes nothing */
    assert_int_equal(swtpm_kill(machine->swtpm), 0);
    look(machine);
    assert_int_equal(identity_state(identity), STATE_RETIRED);
}

/* ---- the TPM and the disk ---- */

static void test_tpm_away(void **state) {
    Machine *machine = *state;
    Identity *identity = start_ready(state);

    assert_int_equal(swtpm_kill(machine->swtpm), 0);
    look(machine);
    assert_int_equal(identity_state(identity), STATE_UNAVAILABLE);
    expect_refusal(identity, FAILURE_TPM_UNAVAILABLE, "x cannot sign: the TPM cannot be used; see `idctl show`.");
    machine_expect_log(machine, "x: ready → unavailable (tpm-lost): ", 1);
    assert_int_equal(swtpm_start(machine->swtpm), 0);
    look(machine);
    assert_int_equal(identity_state(identity), STATE_READY);
}

static void replace_tpm(Machine *machine) {
    assert_int_equal(swtpm_kill(machine->swtpm), 0);
    assert_int_equal(swtpm_replace(machine->swtpm), 0);
    assert_int_equal(swtpm_start(machine->swtpm), 0);
    look(machine);
}

static void test_replaced(void **state) {
    Machine *machine = *state;
    Identity *identity = start_ready(state);

    replace_tpm(machine);
    machine_until(machine, identity_is_replaced(identity));
    assert_int_equal(identity_state(identity), STATE_UNAVAILABLE);
    expect_refusal(identity, FAILURE_TPM_REPLACED,
                   "x cannot sign: its key was made in another TPM than this one; `idctl enroll` makes a new one.");
    assert_non_null(strstr(identity_error(identity), "this TPM is not the one that the key was made in"));
    assert_int_equal(identity_generation(identity), 1); /* nothing is deleted */
    /* What was tried since is another matter and stays; that the TPM goes, too, ends only what was said of it. */
    identity_set_error(identity, "an attempt failed.");
    identity_evaluate(identity);
    assert_string_equal(identity_error(identity), "an attempt failed.");
    assert_int_equal(swtpm_kill(machine->swtpm), 0);
    look(machine);
    assert_false(identity_is_replaced(identity));
    assert_string_equal(identity_error(identity), "");
    expect_refusal(identity, FAILURE_TPM_UNAVAILABLE, "the TPM cannot be used");
    /* A new key leads out. */
    assert_int_equal(swtpm_start(machine->swtpm), 0);
    look(machine);
    assert_true(identity_is_replaced(identity));
    (void) machine_certify(machine, identity, &(Certified) { .ca = NULL });
    assert_int_equal(identity_state(identity), STATE_READY);
    assert_false(identity_is_replaced(identity));
    assert_string_equal(identity_error(identity), "");
}

static void test_hung(void **state) {
    Machine *machine = *state;
    Identity *identity = start_ready(state);

    assert_int_equal(swtpm_suspend(machine->swtpm), 0);
    device_look_at_tpm(machine->device);
    machine_until(machine, signing_busy_since(device_signing(machine->device)) != 0);
    clock_pass(TPM_HUNG_SECONDS + 2);
    assert_int_equal(identity_state(identity), STATE_READY);
    expect_refusal(identity, FAILURE_TPM_UNAVAILABLE, "x cannot sign: " TPM_HUNG_TEXT);
}

static void test_storage_fault(void **state) {
    Machine *machine = *state;
    Identity *identity = start_ready(state);

    standing_set_storage_fault(identity, "the disk cannot be read.");
    identity_evaluate(identity);
    assert_int_equal(identity_state(identity), STATE_UNAVAILABLE);
    machine_expect_log(machine, "(tpm-lost): the disk cannot be read.", 1);
    expect_refusal(identity, FAILURE_TPM_UNAVAILABLE,
                   "x cannot sign: its files cannot be read just now, which is tried again; see `idctl show`.");
    standing_set_storage_fault(identity, NULL);
    identity_evaluate(identity);
    assert_int_equal(identity_state(identity), STATE_READY);
}

static void test_activity(void **state) {
    Identity *identity = start(state);

    identity_set_activity(identity, ACTIVITY_WAITING);
    assert_int_equal(identity_activity(identity), ACTIVITY_WAITING);
    assert_int_equal(identity_flush(identity), CHANGED_PROPERTIES);
    identity_set_activity(identity, ACTIVITY_WAITING);
    assert_int_equal(identity_flush(identity), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_empty_and_ready),
        TEST(test_before_it_was_loaded),
        TEST(test_misconfigured),
        TEST(test_expired),
        TEST(test_expired_at_start),
        TEST(test_chain_end),
        TEST(test_chain_end_of_manual),
        TEST(test_revoked),
        TEST(test_hold),
        TEST(test_retired),
        TEST(test_tpm_away),
        TEST(test_replaced),
        TEST(test_hung),
        TEST(test_storage_fault),
        TEST(test_activity),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
