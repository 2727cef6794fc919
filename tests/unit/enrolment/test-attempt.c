/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One attempt from its first step to its outcome: which key, what is left under pending/, and what the enroller may
 * bring. */
#include "tests/unit/enrolment/attempts.h"

#include "tests/unit/device/clock.h"

#include <sys/stat.h>

static const Duty *const table[] = { &loading_duty, NULL };
static const AttemptStart first = { .means = MEANS_ENROLMENT, .new_key = true };
static const AttemptStart renewal = { .means = MEANS_ITSELF, .present_names = true };

static Identity *start_with(void **state, const char *more) {
    return machine_start_alone(*state, more, table);
}

static Identity *start(void **state) {
    return start_with(state, "");
}

static Identity *start_ready(void **state) {
    Identity *identity = start(state);

    (void) machine_certify(*state, identity, &(Certified) { .ca = NULL });
    return identity;
}

static bool has_pending(const Machine *machine) {
    return access(machine_path(machine, "state/x/pending/key.pem"), F_OK) == 0;
}

static void script(const Machine *machine, const Reply *reply) {
    enroller_script(machine->enroller, reply);
}

/* ---- outcomes ---- */

static void test_first(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state);
    Tried tried = attempt_try(machine, identity, first);

    expect_done(&tried);
    assert_false(tried.was_resumed || tried.kept_key);
    assert_int_equal(identity_generation(identity), 1);
    assert_int_equal(identity_state(identity), STATE_READY);
    assert_false(has_pending(machine));
    const EnrollerJob *job = enroller_last(machine->enroller);
    assert_int_equal(job->kind, JOB_KIND_ENROLL);
    assert_false(job->has_client_chain || job->brings_request);
    assert_true(job->has_server_anchors);
}

static void test_later(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state);
    const Reply later = { .kind = REPLY_LATER, .seconds = 77 };
    Tried tried;

    script(machine, &later);
    tried = attempt_try(machine, identity, first);
    assert_int_equal(tried.end.result, ATTEMPT_PUT_OFF);
    assert_int_equal(tried.end.told, 77);
    assert_int_equal(identity_state(identity), STATE_EMPTY);
    assert_true(has_pending(machine));
    _cleanup_bytes_ Bytes request = BYTES_NULL;
    assert_int_equal(bytes_copy(bytes_view(&enroller_last(machine->enroller)->request), &request), 0);
    /* The next one goes on with the same bytes, also after a restart. */
    machine_stop(machine);
    identity = start(state);
    tried = attempt_try(machine, identity, first);
    expect_done(&tried);
    assert_true(tried.was_resumed);
    assert_true(enroller_last(machine->enroller)->brings_request);
    assert_true(bytes_view_equal(bytes_view(&enroller_last(machine->enroller)->request), bytes_view(&request)));
    assert_false(has_pending(machine));
}

static void test_failure(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state);
    const Reply soft = { .kind = REPLY_FAILURE, .text = "simpleenroll: 503", .seconds = 44 },
                hard = { .kind = REPLY_FAILURE, .text = "simpleenroll: 400", .permanent = true },
                refused = { .kind = REPLY_FAILURE, .text = "not the one", .rejected = true },
                gone = { .kind = REPLY_CLOSE };
    Tried tried;

    script(machine, &soft);
    tried = attempt_try(machine, identity, first);
    expect_tried(&tried, FAILURE_ENROLLMENT_FAILED, "simpleenroll: 503");
    assert_false(tried.end.permanent);
    assert_int_equal(tried.end.told, 44);
    assert_true(has_pending(machine)); /* its key will do for the next one */
    char *key = machine_read(machine, "state/x/pending/key.pem");
    script(machine, &gone);
    tried = attempt_try(machine, identity, first);
    expect_tried(&tried, FAILURE_ENROLLMENT_FAILED, "ended without a result");
    char *again = machine_read(machine, "state/x/pending/key.pem");
    assert_string_equal(key, again);
    free(key);
    free(again);
    script(machine, &hard);
    tried = attempt_try(machine, identity, first);
    expect_tried(&tried, FAILURE_ENROLLMENT_FAILED, "simpleenroll: 400");
    assert_true(tried.end.permanent);
    assert_false(has_pending(machine)); /* the CA will not answer that in another way */
    script(machine, &refused);
    tried = attempt_try(machine, identity, first);
    expect_tried(&tried, FAILURE_CERTIFICATE_REJECTED, "not the one");
    assert_false(has_pending(machine));
}

/* A certificate that was refused here: what it would have lived is wasted (law 4). */
static void test_wasted(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state);
    const Reply foreign = { .issue = { .dns = "not.asked.for", .starts = -10, .ends = 5000 } };
    Tried tried;

    script(machine, &foreign);
    tried = attempt_try(machine, identity, first);
    expect_tried(&tried, FAILURE_CERTIFICATE_REJECTED, "its subject alternative names are ");
    assert_true(tried.end.wasted_lifetime > 4990 && tried.end.wasted_lifetime <= 5000);
    assert_false(has_pending(machine));
    assert_int_equal(identity_generation(identity), 0);
}

static void test_early(void **state) {
    Machine *machine = *state;
    Identity *identity = start_ready(state);
    const Reply early = { .issue = { .starts = 1000, .ends = 9000 } };
    Tried tried;

    script(machine, &early);
    tried = attempt_try(machine, identity, renewal);
    assert_int_equal(tried.end.result, ATTEMPT_EARLY);
    assert_true(tried.end.begins > identity_now(identity) + 900);
    assert_int_equal(identity_generation(identity), 1);
    assert_true(access(machine_path(machine, "state/x/pending/issued.pem"), F_OK) == 0 || has_pending(machine));
    _cleanup_(stored_pending_clear) StoredPending pending = { .reenroll = false };
    assert_int_equal(store_pending_load(identity_store(identity), &pending, NULL), 0);
    assert_true(pending.issued.size > 0 && pending.reenroll);
}

static void test_nonsense_of_the_enroller(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state);
    const Reply replies[] = {
        { .issued = "" },
        { .raw_issued = bytes_view_string("nonsense") },
        { .raw_cacerts = bytes_view_string("nonsense") },
        { .kind = REPLY_LATER, .raw_cacerts = bytes_view_string("nonsense") },
    };
    static const char *const said[] = { "The enroller ended without a certificate.", "The CA's answer to the enrolment",
                                        "The CA's answer to /cacerts", "The CA's answer to /cacerts" };

    for (size_t i = 0; i < ARRAY_LENGTH(replies); i++) {
        script(machine, &replies[i]);
        Tried tried = attempt_try(machine, identity, first);
        assert_int_equal(tried.end.result, ATTEMPT_FAILED);
        assert_non_null(strstr(tried.end.failure.text, said[i]));
        assert_int_equal(identity_state(identity), STATE_EMPTY);
    }
}

/* A certificate for the present key which nobody asked for in this attempt: one of before, say, whose names are others.
 * It would fit the key, and there is no request to compare it with. */
static void test_issued_without_a_request(void **state) {
    Machine *machine = *state;
    Identity *identity = start_ready(state);
    _cleanup_certificates_ CertificateList other =
        machine_issue(machine, identity_key(identity), &(Certified) { .subject = "CN=another" });
    _cleanup_bytes_ Bytes pem = BYTES_NULL;

    assert_int_equal(certificate_list_to_pem(&other, &pem), 0);
    script(machine, &(Reply) { .issued = (const char *) pem.data });
    Tried tried = attempt_try(machine, identity, renewal);
    assert_true(tried.kept_key);
    expect_tried(&tried, FAILURE_ENROLLMENT_FAILED, "brought a certificate without having asked for a request");
    assert_int_equal(identity_generation(identity), 1);
    assert_int_equal(identity_state(identity), STATE_READY);
}

/* ---- keys ---- */

static void test_same_key(void **state) {
    Machine *machine = *state;
    Identity *identity = start_ready(state);
    _cleanup_bytes_ Bytes spki = BYTES_NULL;

    assert_int_equal(bytes_copy(tpm_key_spki(identity_key(identity)), &spki), 0);
    Tried tried = attempt_try(machine, identity, renewal);
    expect_done(&tried);
    assert_true(tried.kept_key);
    assert_int_equal(identity_generation(identity), 2);
    assert_true(bytes_view_equal(bytes_view(&spki), tpm_key_spki(identity_key(identity))));
    const EnrollerJob *job = enroller_last(machine->enroller);
    assert_int_equal(job->kind, JOB_KIND_REENROLL);
    assert_true(job->has_client_chain);
    AttemptStart rotating = renewal;
    rotating.new_key = true;
    tried = attempt_try(machine, identity, rotating);
    expect_done(&tried);
    assert_false(tried.kept_key);
    assert_false(bytes_view_equal(bytes_view(&spki), tpm_key_spki(identity_key(identity))));
}

/* Where the present key is none to keep, a new one is made whatever was asked for. */
static void test_key_that_cannot_be_kept(void **state) {
    Machine *machine = *state;
    Identity *identity = start_ready(state);
    const AttemptStart keep = { .means = MEANS_ENROLMENT, .present_names = true };
    const IdentityRevocation revoked = { true, false, 5 };
    Tried tried;

    machine_configure(machine, "x", "[Key]\nAlgorithm=ecdsa-p384\n");
    identity_load(identity);
    tried = attempt_try(machine, identity, keep);
    expect_done(&tried);
    assert_false(tried.kept_key);
    assert_int_equal(tpm_key_algorithm(identity_key(identity)), KEY_ECDSA_P384);
    identity_set_revocation(identity, &revoked);
    identity_evaluate(identity);
    tried = attempt_try(machine, identity, keep);
    expect_done(&tried);
    assert_false(tried.kept_key);
    assert_int_equal(identity_state(identity), STATE_READY);
}

static void test_no_tpm(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state);
    unsigned looked = machine->looked;

    assert_int_equal(swtpm_kill(machine->swtpm), 0);
    Tried tried = attempt_try(machine, identity, first);
    assert_int_equal(tried.end.failure.kind, FAILURE_TPM_UNAVAILABLE);
    assert_int_equal(enroller_count(machine->enroller), 0);
    machine_until(machine, machine->looked > looked); /* a reason to look at it */
}

/* ---- pending/ ---- */

static void leave_pending(Machine *machine, Identity *identity, const AttemptStart *how) {
    const Reply soft = { .kind = REPLY_LATER, .seconds = 1 };
    Tried tried;

    script(machine, &soft);
    tried = attempt_try(machine, identity, *how);
    assert_int_equal(tried.end.result, ATTEMPT_PUT_OFF);
}

static void expect_anew(Machine *machine, Identity *identity, const AttemptStart *how) {
    Tried tried = attempt_try(machine, identity, *how);

    expect_done(&tried);
    assert_false(tried.was_resumed);
    assert_false(enroller_last(machine->enroller)->brings_request);
}

static void test_pending_of_another_kind(void **state) {
    Machine *machine = *state;
    Identity *identity = start_ready(state);
    AttemptStart rotating = renewal;
    const AttemptStart fresh = { .means = MEANS_ENROLMENT, .new_key = true };

    /* With the present names, and without. */
    leave_pending(machine, identity, &renewal);
    machine_forget_log(machine);
    expect_anew(machine, identity, &fresh);
    machine_expect_log(machine, "Unfinished work (pending/) is dropped: it does not fit", 1);
    /* The key is as good, while the names may be others. */
    leave_pending(machine, identity, &fresh);
    machine_forget_log(machine);
    char *key = machine_read(machine, "state/x/pending/key.pem");
    expect_anew(machine, identity, &renewal);
    char *used = machine_read(machine, "state/x/current/key.pem");
    assert_string_equal(key, used);
    machine_expect_log(machine, "Unfinished work", 0);
    free(key);
    free(used);
    /* With the old key, where a new one is a must. */
    leave_pending(machine, identity, &renewal);
    rotating.new_key = true;
    expect_anew(machine, identity, &rotating);
    /* Another algorithm. */
    leave_pending(machine, identity, &rotating);
    machine_configure(machine, "x", "[Key]\nAlgorithm=ecdsa-p384\n");
    identity_load(identity);
    expect_anew(machine, identity, &rotating);
    /* Because it was said so. */
    leave_pending(machine, identity, &rotating);
    rotating.drop_pending = true;
    machine_forget_log(machine);
    expect_anew(machine, identity, &rotating);
    machine_expect_log(machine, "Unfinished work (pending/) is dropped", 0);
}

/* What goes on without asking for a new key may go on with one that was made: nothing is lost by that. */
static void test_pending_with_a_new_key(void **state) {
    Machine *machine = *state;
    Identity *identity = start_ready(state);
    AttemptStart rotating = renewal;

    rotating.new_key = true;
    leave_pending(machine, identity, &rotating);
    Tried tried = attempt_try(machine, identity, renewal);
    expect_done(&tried);
    assert_true(tried.was_resumed);
    assert_false(tried.kept_key);
}

static void test_pending_of_a_person(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state);
    _cleanup_(stored_pending_clear) StoredPending pending = { .manual = true };
    _cleanup_tpm_key_ TpmKey *key = machine_key(machine);
    Failure failure = FAILURE_INIT;

    assert_int_equal(tpm_key_to_pem(key, &pending.key_pem), 0);
    assert_int_equal(bytes_copy(tpm_key_parent_name(key), &pending.parent_name), 0);
    pending.request = machine_request(machine, key, "CN=x", NULL);
    assert_int_equal(store_pending_save(identity_store(identity), &pending, &failure), 0);
    expect_anew(machine, identity, &first);
}

static void test_pending_of_another_tpm(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state);

    leave_pending(machine, identity, &first);
    machine_stop(machine);
    assert_int_equal(swtpm_kill(machine->swtpm), 0);
    assert_int_equal(swtpm_replace(machine->swtpm), 0);
    assert_int_equal(swtpm_start(machine->swtpm), 0);
    identity = start(state);
    expect_anew(machine, identity, &first);
}

/* What is damaged is no reason to stop: it is put aside. */
static void test_pending_damaged(void **state) {
    static const char *const files[] = { "key.pem", "parent", "flags" };
    Machine *machine = *state;
    Identity *identity = start(state);

    for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
        char path[64];
        snprintf(path, sizeof path, "state/x/pending/%s", files[i]);
        leave_pending(machine, identity, &first);
        if (access(machine_path(machine, path), F_OK) < 0)
            fail_msg("there is no %s", path);
        machine_write(machine, path, "nonsense");
        machine_forget_log(machine);
        expect_anew(machine, identity, &first);
        machine_expect_log(machine, "Unfinished work (pending/) is dropped: ", 1);
    }
}

/* ---- in the middle ---- */

static void test_freed_while_it_runs(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state);
    const Reply hold = { .kind = REPLY_HOLD };
    Tried tried;

    tried_begin(identity, &first, &tried); /* while its key is made */
    assert_true(tried.has_begun);
    tried_clear(&tried);
    machine_settle(machine);
    assert_int_equal(enroller_count(machine->enroller), 0);
    script(machine, &hold);
    tried_begin(identity, &first, &tried); /* while the enroller has it */
    EnrollerJob *job = machine_await_job(machine, 1);
    tried_clear(&tried);
    machine_until(machine, !job->is_open);
    script(machine, &hold);
    tried_begin(identity, &first, &tried); /* while its request is made */
    job = machine_await_job(machine, 2);
    enroller_send(job, JOB_PACKET_CREATE_REQUEST, 0, (BytesView) { NULL, 0 });
    machine_until(machine, tried.attempt->task);
    tried_clear(&tried);
    machine_settle(machine);
    assert_int_equal(tried.calls, 0);
}

static void test_misconfigured_by_its_turn(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state);
    _cleanup_tried_ Tried tried;

    tried_begin(identity, &first, &tried);
    machine_configure(machine, "x", "[Weather]\n");
    identity_load(identity);
    machine_until(machine, tried.calls == 1);
    expect_tried(&tried, FAILURE_NOT_READY, "x is out of use");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_first),
        TEST(test_later),
        TEST(test_failure),
        TEST(test_wasted),
        TEST(test_early),
        TEST(test_nonsense_of_the_enroller),
        TEST(test_issued_without_a_request),
        TEST(test_same_key),
        TEST(test_key_that_cannot_be_kept),
        TEST(test_no_tpm),
        TEST(test_pending_of_another_kind),
        TEST(test_pending_with_a_new_key),
        TEST(test_pending_of_a_person),
        TEST(test_pending_of_another_tpm),
        TEST(test_pending_damaged),
        TEST(test_freed_while_it_runs),
        TEST(test_misconfigured_by_its_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
