/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A request out, a chain in: by hand, with all the checks of the other way. */
#include "enrolment/manual.h"

#include "pki/csr.h"
#include "tests/unit/device/clock.h"
#include "tests/unit/device/machine.h"

static Identity *x_of(const Machine *machine) {
    return machine_identity(machine, "x");
}

static void start(Machine *machine) {
    machine_configure_manual(machine, "x", "");
    machine_start(machine);
    machine_settle(machine);
}

/* The request: PKCS#10 DER in `answer`. */
static Answer request(Machine *machine, bool new_key) {
    Answer answer = { .calls = 0 };

    manual_create_request(x_of(machine), new_key, answer_done, &answer);
    assert_int_equal(answer.calls, 0); /* not from inside the call */
    machine_until(machine, answer.calls == 1);
    return answer;
}

static Answer good_request(Machine *machine, bool new_key) {
    Answer answer = request(machine, new_key);

    if (answer.failure.kind != FAILURE_NONE)
        fail_msg("%s", answer.failure.text);
    assert_true(answer.size > 0);
    return answer;
}

static void expect_request_refused(Machine *machine, FailureKind kind, const char *text) {
    Answer answer = request(machine, false);

    expect_failure(&answer.failure, kind, text);
    assert_int_equal(answer.size, 0);
}

/* What the CA makes of it: DER, the caller frees with gnutls_free(). */
static gnutls_datum_t certify(const FakeCa *ca, const Answer *answer, const FakeIssue *issue) {
    const gnutls_datum_t der = { (unsigned char *) (uintptr_t) answer->result, (unsigned) answer->size };
    char *pem = fake_ca_certify(ca, der, issue);
    gnutls_datum_t certificate = fake_pem_to_der(pem);

    free(pem);
    return certificate;
}

static Answer install(Machine *machine, const gnutls_datum_t *certificates, size_t count) {
    Answer answer = { .calls = 0 };
    BytesView chain[16];

    for (size_t i = 0; i < count; i++)
        chain[i] = (BytesView) { certificates[i].data, certificates[i].size };
    manual_install(x_of(machine), chain, count, answer_done, &answer);
    assert_int_equal(answer.calls, 0);
    machine_until(machine, answer.calls == 1);
    return answer;
}

static void install_good(Machine *machine, const Answer *answer, const FakeIssue *issue) {
    gnutls_datum_t leaf = certify(machine->ca, answer, issue);
    Answer done = install(machine, &leaf, 1);

    gnutls_free(leaf.data);
    if (done.failure.kind != FAILURE_NONE)
        fail_msg("%s", done.failure.text);
}

static void expect_refused(Machine *machine, const Answer *answer, const FakeIssue *issue, const char *text) {
    gnutls_datum_t leaf = certify(machine->ca, answer, issue);
    Answer done = install(machine, &leaf, 1);

    gnutls_free(leaf.data);
    expect_failure(&done.failure, FAILURE_CERTIFICATE_REJECTED, text);
    machine_expect_log(machine, "A chain was not installed: ", 1);
    machine_forget_log(machine);
}

static const FakeIssue as_asked = { .no_usage = false };

/* ---- requests ---- */

static void test_request_and_install(void **state) {
    Machine *machine = *state;
    _cleanup_bytes_ Bytes spki = BYTES_NULL;

    start(machine);
    assert_int_equal(identity_state(x_of(machine)), STATE_EMPTY);
    Answer answer = good_request(machine, false);
    assert_int_equal(identity_activity(x_of(machine)), ACTIVITY_IDLE);
    assert_int_equal(csr_spki((BytesView) { (uint8_t *) answer.result, answer.size }, &spki), 0);
    install_good(machine, &answer, &as_asked);
    assert_int_equal(identity_state(x_of(machine)), STATE_READY);
    assert_int_equal(identity_generation(x_of(machine)), 1);
    assert_true(bytes_view_equal(bytes_view(&spki), tpm_key_spki(identity_key(x_of(machine)))));
    machine_settle(machine);
    assert_int_equal(enroller_count(machine->enroller), 0); /* nothing by itself */
}

/* The same bytes again, over a restart too, until a new key is asked for. */
static void test_same_request_again(void **state) {
    Machine *machine = *state;

    start(machine);
    Answer first = good_request(machine, false);
    for (unsigned i = 0; i < 2; i++) {
        Answer again = good_request(machine, false);
        assert_int_equal(again.size, first.size);
        assert_memory_equal(again.result, first.result, first.size);
        machine_stop(machine);
        machine_start(machine);
        machine_settle(machine);
    }
    Answer other = good_request(machine, true);
    assert_true(other.size != first.size || memcmp(other.result, first.result, first.size) != 0);
    expect_refused(machine, &first, &as_asked, "is for the key that was asked for");
    install_good(machine, &other, &as_asked);
}

static void test_renewal_by_hand(void **state) {
    Machine *machine = *state;
    _cleanup_bytes_ Bytes spki = BYTES_NULL;

    machine_configure_manual(machine, "x", "[Renewal]\nRotateKey=no\n");
    machine_start(machine);
    machine_settle(machine);
    Answer answer = good_request(machine, false);
    install_good(machine, &answer, &as_asked);
    assert_int_equal(bytes_copy(tpm_key_spki(identity_key(x_of(machine))), &spki), 0);
    answer = good_request(machine, false); /* with the same key … */
    install_good(machine, &answer, &(FakeIssue) { .starts = -10, .ends = 9000 });
    assert_int_equal(identity_generation(x_of(machine)), 2);
    assert_true(bytes_view_equal(bytes_view(&spki), tpm_key_spki(identity_key(x_of(machine)))));
    answer = good_request(machine, true); /* … and with a new one */
    install_good(machine, &answer, &as_asked);
    assert_false(bytes_view_equal(bytes_view(&spki), tpm_key_spki(identity_key(x_of(machine)))));
}

static void test_busy(void **state) {
    Machine *machine = *state;
    Answer first = { .calls = 0 }, second = { .calls = 0 }, chain = { .calls = 0 };
    const BytesView nothing = { NULL, 0 };

    start(machine);
    manual_create_request(x_of(machine), false, answer_done, &first);
    assert_int_equal(identity_activity(x_of(machine)), ACTIVITY_ENROLLING);
    manual_create_request(x_of(machine), false, answer_done, &second);
    manual_install(x_of(machine), &nothing, 1, answer_done, &chain);
    machine_until(machine, first.calls == 1 && second.calls == 1 && chain.calls == 1);
    assert_int_equal(first.failure.kind, FAILURE_NONE);
    expect_failure(&second.failure, FAILURE_BUSY, "A request for x is being made just now; ask again.");
    expect_failure(&chain.failure, FAILURE_BUSY, "A request for x is being made just now; ask again.");
}

static void test_stopped_in_the_middle(void **state) {
    Machine *machine = *state;
    Answer answer = { .calls = 0 }, again;

    start(machine);
    manual_create_request(x_of(machine), false, answer_done, &answer);
    machine_configure_manual(machine, "x", "[Weather]\n");
    identity_load(x_of(machine));
    machine_settle(machine);
    assert_int_equal(answer.calls, 1);
    expect_failure(&answer.failure, FAILURE_NOT_READY, "x is out of use");
    machine_configure_manual(machine, "x", "");
    identity_load(x_of(machine));
    again = good_request(machine, false); /* and the way is free */
    install_good(machine, &again, &as_asked);
}

static void test_request_refused(void **state) {
    Machine *machine = *state;

    machine_configure(machine, "x", "");
    const Reply failure = { .kind = REPLY_FAILURE, .seconds = 5000 };
    enroller_script(machine->enroller, &failure);
    machine_start(machine);
    machine_settle(machine);
    expect_request_refused(machine, FAILURE_INVALID_ARGUMENT,
                           "x enrols by itself (Protocol=est); set Protocol=manual to do it by hand.");
    machine_configure_manual(machine, "x", "[Weather]\n");
    identity_load(x_of(machine));
    expect_request_refused(machine, FAILURE_NOT_READY, "x is out of use");
    machine_stop(machine);
    machine_configure_manual(machine, "x", "");
    assert_int_equal(swtpm_kill(machine->swtpm), 0);
    machine_start(machine);
    expect_request_refused(machine, FAILURE_TPM_UNAVAILABLE, "No request for x without its TPM: ");
}

static void test_no_store(void **state) {
    Machine *machine = *state;

    machine_write(machine, "state/x", "in the way");
    start(machine);
    expect_request_refused(machine, FAILURE_STORAGE, "No request for x: ");
}

static void test_names_that_cannot_be(void **state) {
    Machine *machine = *state;

    machine_write(machine, "etc/identities/x.conf",
                  "[Identity]\nSubject=serialNumber=%%s\n[Enrollment]\nProtocol=manual\nAnchors=%s/etc/ca.pem\n",
                  machine->root);
    machine_start(machine);
    machine_settle(machine);
    expect_request_refused(machine, FAILURE_INVALID_ARGUMENT, "x.conf:2");
    machine_expect_log(machine, "A request was not made: ", 1);
    assert_int_equal(identity_activity(x_of(machine)), ACTIVITY_IDLE);
    expect_request_refused(machine, FAILURE_INVALID_ARGUMENT, "x.conf:2"); /* not busy */
}

/* What is damaged is for a person to look at: what was signed elsewhere may be for it. */
static void test_damaged(void **state) {
    static const struct {
        const char *name, *text;
    } files[] = {
        { "key.pem", "nonsense" },
        { "key.pem", "-----BEGIN TSS2 PRIVATE KEY-----\nAAAA\n-----END TSS2 PRIVATE KEY-----\n" },
        { "flags", "nonsense" },
    };
    Machine *machine = *state;

    start(machine);
    for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
        char path[64];
        (void) good_request(machine, true);
        snprintf(path, sizeof path, "state/x/pending/%s", files[i].name);
        machine_write(machine, path, "%s", files[i].text);
        Answer answer = request(machine, false);
        assert_int_not_equal(answer.failure.kind, FAILURE_NONE);
        assert_non_null(strstr(answer.failure.text, "idctl request --new-key"));
        char *kept = machine_read(machine, path);
        assert_string_equal(kept, files[i].text);
        free(kept);
    }
    (void) good_request(machine, true);
}

/* Of another TPM: that key is lost, and a new one is made. */
static void test_pending_of_another_tpm(void **state) {
    Machine *machine = *state;

    start(machine);
    Answer first = good_request(machine, false);
    machine_stop(machine);
    assert_int_equal(swtpm_kill(machine->swtpm), 0);
    assert_int_equal(swtpm_replace(machine->swtpm), 0);
    assert_int_equal(swtpm_start(machine->swtpm), 0);
    start(machine);
    Answer second = good_request(machine, false);
    assert_true(second.size != first.size || memcmp(second.result, first.result, first.size) != 0);
    install_good(machine, &second, &as_asked);
}

/* ---- chains ---- */

static void test_chain_of_several(void **state) {
    Machine *machine = *state;
    _cleanup_(fake_ca_free_p) FakeCa *issuing = fake_ca_new("issuing", machine->ca);

    start(machine);
    Answer answer = good_request(machine, false);
    gnutls_datum_t chain[2] = { certify(issuing, &answer, &as_asked), fake_pem_to_der(issuing->pem) };
    Answer done = install(machine, chain, 2);
    assert_int_equal(done.failure.kind, FAILURE_NONE);
    assert_int_equal(identity_chain(x_of(machine))->count, 2);
    gnutls_free(chain[0].data);
    gnutls_free(chain[1].data);
}

static void test_chain_refused(void **state) {
    Machine *machine = *state;
    gnutls_datum_t many[12], nonsense = { (unsigned char *) (uintptr_t) "nonsense", 8 };

    start(machine);
    Answer answer = good_request(machine, false), done;
    for (size_t i = 0; i < ARRAY_LENGTH(many); i++)
        many[i] = nonsense;
    done = install(machine, many, 0);
    expect_failure(&done.failure, FAILURE_INVALID_ARGUMENT, "A chain has 1 to 10 certificates, leaf first; 0 came.");
    done = install(machine, many, 11);
    expect_failure(&done.failure, FAILURE_INVALID_ARGUMENT, "11 came.");
    many[0] = certify(machine->ca, &answer, &as_asked);
    done = install(machine, many, 2);
    expect_failure(&done.failure, FAILURE_CERTIFICATE_REJECTED, "Certificate 2 of the chain: ");
    gnutls_free(many[0].data);
    machine_forget_log(machine);
    expect_refused(machine, &answer, &(FakeIssue) { .other_key = true }, "is for the key that was asked for");
    expect_refused(machine, &answer, &(FakeIssue) { .dns = "not.asked.for" }, "its subject alternative names are ");
    expect_refused(machine, &answer, &(FakeIssue) { .starts = -100, .ends = 5 }, "less than 10 seconds are left");
    assert_int_equal(identity_state(x_of(machine)), STATE_EMPTY);
    install_good(machine, &answer, &as_asked); /* the request is there still */
}

static void test_chain_that_begins_later(void **state) {
    Machine *machine = *state;

    start(machine);
    Answer answer = good_request(machine, false);
    install_good(machine, &answer, &as_asked);
    answer = good_request(machine, false);
    expect_refused(machine, &answer, &(FakeIssue) { .starts = 1000, .ends = 9000 },
                   "and the present one works: install it then.");
    assert_int_equal(identity_generation(x_of(machine)), 1);
}

/* Without a request: the present key, certified anew; and nothing else. */
static void test_chain_without_a_request(void **state) {
    Machine *machine = *state;

    start(machine);
    Answer answer = good_request(machine, false);
    install_good(machine, &answer, &as_asked);
    install_good(machine, &answer, &(FakeIssue) { .starts = -10, .ends = 9000 });
    assert_int_equal(identity_generation(x_of(machine)), 2);
    Answer other = good_request(machine, true);
    install_good(machine, &other, &as_asked);
    expect_refused(machine, &answer, &as_asked,
                   "No request is pending for x, and the certificate is not for its present key: begin with "
                   "`idctl request`.");
    assert_int_equal(identity_generation(x_of(machine)), 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_request_and_install),
        TEST(test_same_request_again),
        TEST(test_renewal_by_hand),
        TEST(test_busy),
        TEST(test_stopped_in_the_middle),
        TEST(test_request_refused),
        TEST(test_no_store),
        TEST(test_names_that_cannot_be),
        TEST(test_damaged),
        TEST(test_pending_of_another_tpm),
        TEST(test_chain_of_several),
        TEST(test_chain_refused),
        TEST(test_chain_that_begins_later),
        TEST(test_chain_without_a_request),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
