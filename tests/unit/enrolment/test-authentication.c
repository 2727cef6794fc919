/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an attempt shows the CA: nothing, its own certificate, another identity's, a password, or both; and what is said
 * where that is not to be had. */
#include "tests/unit/enrolment/attempts.h"

#include "tests/unit/device/clock.h"

static const Duty *const table[] = { &loading_duty, NULL };
static const AttemptStart first = { .means = MEANS_ENROLMENT, .new_key = true };
static const AttemptStart renewal = { .means = MEANS_ITSELF, .present_names = true };
static const AttemptStart by_others = { .means = MEANS_RENEWAL, .present_names = true };

/* Two identities: x, configured so, and y, which has a certificate. */
static Identity *start(void **state, const char *more) {
    Machine *machine = *state;

    machine->by_hand = true;
    machine_configure(machine, "x", more);
    machine_configure(machine, "y", "");
    machine_start_parts(machine, table);
    (void) machine_certify(machine, machine_add(machine, "y"), &(Certified) { .ca = NULL });
    return machine_add(machine, "x");
}

static const EnrollerJob *last(const Machine *machine) {
    return enroller_last(machine->enroller);
}

static void expect_chain_of(const EnrollerJob *job, const Identity *identity) {
    _cleanup_bytes_ Bytes pem = BYTES_NULL;

    assert_true(job->has_client_chain);
    assert_int_equal(certificate_list_to_pem(identity_chain(identity), &pem), 0);
    assert_true(bytes_view_equal(bytes_view(&job->client_chain), bytes_view(&pem)));
}

static void test_nothing(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state, "");
    Tried tried = attempt_try(machine, identity, first);

    expect_done(&tried);
    assert_false(last(machine)->has_client_chain);
    assert_string_equal(last(machine)->user, "");
    assert_string_equal(last(machine)->password, "");
    assert_int_equal(last(machine)->kind, JOB_KIND_ENROLL);
}

static void test_itself(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state, "");
    Tried tried;

    (void) machine_certify(machine, identity, &(Certified) { .ca = NULL });
    const Reply asks = { .signatures = 1 };
    enroller_script(machine->enroller, &asks);
    _cleanup_bytes_ Bytes before = BYTES_NULL;
    assert_int_equal(certificate_list_to_pem(identity_chain(identity), &before), 0);
    tried = attempt_try(machine, identity, renewal);
    expect_done(&tried);
    assert_int_equal(last(machine)->kind, JOB_KIND_REENROLL);
    assert_true(bytes_view_equal(bytes_view(&last(machine)->client_chain), bytes_view(&before)));
    assert_int_equal(last(machine)->answers, 2); /* a signature, and the request */
}

static void test_identity(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state, "Authenticate=identity:y\n");
    const Reply asks = { .signatures = 1 };

    enroller_script(machine->enroller, &asks);
    Tried tried = attempt_try(machine, identity, first);
    expect_done(&tried);
    assert_int_equal(last(machine)->kind, JOB_KIND_ENROLL); /* /simplereenroll takes nothing but its own */
    expect_chain_of(last(machine), machine_identity(machine, "y"));
    assert_string_equal(last(machine)->user, "");
    assert_true(identity_generation_is_used(machine_identity(machine, "y"))); /* it has signed */
}

static void test_credential(void **state) {
    Machine *machine = *state;

    machine_write(machine, "credentials/c", "hush\n");
    Identity *identity = start(state, "Authenticate=credential:c\nUser=me\n");
    Tried tried = attempt_try(machine, identity, first);
    expect_done(&tried);
    assert_false(last(machine)->has_client_chain);
    assert_string_equal(last(machine)->user, "me");
    assert_string_equal(last(machine)->password, "hush");
    machine_expect_log(machine, "hush", 0);
}

static void test_both(void **state) {
    Machine *machine = *state;

    machine_write(machine, "credentials/c", "hush");
    Identity *identity = start(state, "Authenticate=identity:y credential:c\n");
    Tried tried = attempt_try(machine, identity, first);
    expect_done(&tried);
    expect_chain_of(last(machine), machine_identity(machine, "y"));
    assert_string_equal(last(machine)->user, tpm_watch_information(device_tpm(machine->device))->device_id);
    assert_string_equal(last(machine)->password, "hush");
}

/* [Renewal] Authenticate= is for renewals, [Enrollment] Authenticate= for the rest, and never the one for the other. */
static void test_renewed_by_others(void **state) {
    Machine *machine = *state;

    machine_write(machine, "credentials/first", "one");
    machine_write(machine, "credentials/renew", "two");
    Identity *identity =
        start(state, "Authenticate=credential:first\nUser=e\n[Renewal]\nAuthenticate=credential:renew\nUser=r\n");
    Tried tried = attempt_try(machine, identity, first);
    expect_done(&tried);
    assert_string_equal(last(machine)->password, "one");
    assert_string_equal(last(machine)->user, "e");
    tried = attempt_try(machine, identity, by_others);
    expect_done(&tried);
    assert_string_equal(last(machine)->password, "two");
    assert_string_equal(last(machine)->user, "r");
    assert_false(last(machine)->has_client_chain);
    assert_int_equal(last(machine)->kind, JOB_KIND_ENROLL);
    /* By itself, with a password beside it. */
    machine_configure(machine, "x", "[Renewal]\nAuthenticate=identity:x credential:renew\nUser=r\n");
    identity_load(identity);
    tried = attempt_try(machine, identity, renewal);
    expect_done(&tried);
    assert_string_equal(last(machine)->password, "two");
    assert_true(last(machine)->has_client_chain);
    assert_int_equal(last(machine)->kind, JOB_KIND_REENROLL);
}

/* ---- what is not to be had ---- */

static void test_no_such_identity(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state, "Authenticate=identity:z\n");
    Tried tried = attempt_try(machine, identity, first);

    assert_false(tried.has_begun);
    expect_tried(&tried, FAILURE_NO_SUCH_IDENTITY, "x: Authenticate=identity:z: There is no identity z");
}

static void test_not_ready(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state, "Authenticate=identity:y\n");
    Failure failure = FAILURE_INIT;
    Tried tried;

    assert_int_equal(identity_retire(machine_identity(machine, "y"), &failure), 0);
    tried = attempt_try(machine, identity, first);
    assert_false(tried.has_begun);
    expect_tried(&tried, FAILURE_RETIRED, "x authenticates with y: y cannot sign: it was retired");
    assert_true(tried.end.waits_for_authenticator); /* its becoming ready ends the wait */
    assert_int_equal(enroller_count(machine->enroller), 0);
}

static void test_itself_not_ready(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state, "");

    (void) machine_certify(machine, identity, &(Certified) { .ca = NULL });
    clock_set(4000);
    identity_evaluate(identity);
    Tried tried = attempt_try(machine, identity, renewal);
    assert_false(tried.has_begun);
    expect_tried(&tried, FAILURE_EXPIRED, "x authenticates with x: x cannot sign: its certificate has expired");
    assert_false(tried.end.waits_for_authenticator); /* nobody waits for himself */
}

static void test_nothing_is_left(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state, "");

    (void) machine_certify(machine, identity, &(Certified) { .ca = NULL });
    clock_set(4000);
    identity_evaluate(identity);
    assert_int_equal(identity_state(identity), STATE_EXPIRED);
    AttemptStart fall_back = first;
    fall_back.present_names = true;
    Tried tried = attempt_try(machine, identity, fall_back);
    assert_false(tried.has_begun);
    expect_tried(&tried, FAILURE_ENROLLMENT_FAILED,
                 "The certificate of x has expired and nothing else may authenticate its enrolment: set "
                 "Authenticate= in [Enrollment]");
}

static void test_no_credential(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state, "Authenticate=credential:c\nUser=me\n");
    Tried tried = attempt_try(machine, identity, first);

    assert_false(tried.has_begun); /* before a key is made */
    expect_tried(&tried, FAILURE_ENROLLMENT_FAILED,
                 "x authenticates with the systemd credential c, which cannot be read (No such file or directory): "
                 "add LoadCredential=c:… to identityd.service.");
    assert_false(access(machine_path(machine, "state/x/pending/key.pem"), F_OK) == 0);
}

/* It is read anew for its job: what was changed meanwhile counts, and what is gone by then is told. */
static void test_credential_is_read_anew(void **state) {
    Machine *machine = *state;
    Tried tried;

    machine_write(machine, "credentials/c", "old");
    Identity *identity = start(state, "Authenticate=credential:c\nUser=me\n");
    tried_begin(identity, &first, &tried);
    machine_write(machine, "credentials/c", "new");
    machine_until(machine, tried.calls == 1);
    assert_string_equal(last(machine)->password, "new");
    tried_begin(identity, &first, &tried);
    assert_int_equal(unlink(machine_path(machine, "credentials/c")), 0);
    machine_until(machine, tried.calls == 1);
    expect_tried(&tried, FAILURE_ENROLLMENT_FAILED, "the systemd credential c, which cannot be read");
}

/* What opens the TPM is not sent to a CA. */
static void test_credential_of_the_tpm(void **state) {
    Machine *machine = *state;

    machine_write(machine, "credentials/owner", "\n");
    machine_write(machine, "credentials/serial", "S1");
    machine_write(machine, "etc/identityd.conf", "[TPM]\nTCTI=%s\nOwnerAuthCredential=owner\n",
                  swtpm_tcti(machine->swtpm));
    Identity *identity = start(state, "Authenticate=credential:owner\n");
    Tried tried = attempt_try(machine, identity, first);
    assert_false(tried.has_begun);
    expect_tried(&tried, FAILURE_ENROLLMENT_FAILED,
                 "The credential owner is an authorization of the TPM and is not sent to a CA: use another.");
}

static void test_user_that_cannot_be(void **state) {
    Machine *machine = *state;

    machine_write(machine, "credentials/c", "hush");
    Identity *identity = start(state, "Authenticate=credential:c\nUser=%s\n");
    Tried tried = attempt_try(machine, identity, first);
    assert_false(tried.has_begun);
    expect_tried(&tried, FAILURE_INVALID_ARGUMENT, "[Enrollment] User=%s: no systemd credential brings");
}

/* ---- the one that authenticates, meanwhile ---- */

/* Its key is a copy: a renewal of it in the meantime does not pull it away. */
static void test_authenticator_is_renewed(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state, "Authenticate=identity:y\n");
    const Reply hold = { .kind = REPLY_HOLD }, asks = { .signatures = 1 };
    Tried tried;

    enroller_script(machine->enroller, &hold);
    tried_begin(identity, &first, &tried);
    EnrollerJob *job = machine_await_job(machine, 1);
    (void) machine_certify(machine, machine_identity(machine, "y"), &(Certified) { .ca = NULL });
    enroller_reply(job, &asks);
    machine_until(machine, tried.calls == 1);
    expect_done(&tried);
    assert_false(identity_generation_is_used(machine_identity(machine, "y"))); /* it was the old one that signed */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_nothing),
        TEST(test_itself),
        TEST(test_identity),
        TEST(test_credential),
        TEST(test_both),
        TEST(test_renewed_by_others),
        TEST(test_no_such_identity),
        TEST(test_not_ready),
        TEST(test_itself_not_ready),
        TEST(test_nothing_is_left),
        TEST(test_no_credential),
        TEST(test_credential_is_read_anew),
        TEST(test_credential_of_the_tpm),
        TEST(test_user_that_cannot_be),
        TEST(test_authenticator_is_renewed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
