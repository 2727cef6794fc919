/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What statements come to: revoked for good, a hold and its end, what is stored and handed to programs, and answers
 * that are replayed. */
#include "revocation/judge.h"

#include "tests/unit/revocation/checked.h"

#include <sys/stat.h>
#include <time.h>

#define CHECK_CRL  "[Revocation]\nCheck=crl\n"
#define CHECK_OCSP "[Revocation]\nCheck=ocsp\n"

/* A check now, that brings this. */
static void check_crl(Machine *machine, Bytes crl) {
    unsigned before = fetches(machine);

    bring(machine, crl);
    revocation_check_soon(machine_identity(machine, "x"));
    machine_settle(machine);
    await_fetches(machine, before + 1);
}

static CertificateList parse(const char *pem) {
    CertificateList list = { 0 };
    Failure failure = FAILURE_INIT;

    assert_int_equal(certificate_list_from_pem(bytes_view_string(pem), 2, &list, &failure), 0);
    return list;
}

/* Takes the machine's CA out of the anchors. */
static void change_anchors(Identity *identity, const FakeCa *ca) {
    _cleanup_certificates_ CertificateList list = parse(ca->pem);
    Failure failure = FAILURE_INIT;

    assert_int_equal(identity_set_anchors(identity, &list, &failure), 0);
}

/* ---- who speaks for whom ---- */

static void test_issuer(void **state) {
    Machine *machine = *state;
    _cleanup_(fake_ca_free_p) FakeCa *intermediate = fake_ca_new("intermediate", machine->ca),
                                     *other = fake_ca_new("other", NULL);
    Identity *x = start_with_intermediate(machine, CHECK_CRL, intermediate, (FakeIssue) BY_CRL);
    _cleanup_certificates_ CertificateList root = parse(machine->ca->pem);

    assert_ptr_equal(judge_issuer_of(x, 0), identity_chain(x)->list[1]);
    assert_non_null(judge_issuer_of(x, 1));
    assert_true(certificate_equal(judge_issuer_of(x, 1), root.list[0]));
    change_anchors(x, other);
    assert_ptr_equal(judge_issuer_of(x, 0), identity_chain(x)->list[1]);
    assert_null(judge_issuer_of(x, 1));
    /* Nothing is asked about what nobody can vouch for, and the rest is. */
    bring(machine, CRL(.ca = intermediate, .made = -10, .next = 10000));
    await_fetches(machine, 1);
    machine_expect_log(machine, "could not be checked", 0);
    _cleanup_bytes_ Bytes der = CRL(.ca = machine->ca, .made = -10, .next = 10000);
    _cleanup_(crl_free_p) Crl *crl = NULL;
    Failure failure = FAILURE_INIT;
    assert_int_equal(crl_parse(bytes_view(&der), &crl, &failure), 0);
    assert_int_equal(judge_crl_fits(x, crl, 1, &failure), -EKEYREJECTED);
    expect_failure(&failure, FAILURE_CERTIFICATE_REJECTED,
                   "the issuer of CN=intermediate is no longer among the anchors.");
}

/* The anchors change while something is fetched. */
static void test_issuer_goes(void **state) {
    Machine *machine = *state;
    _cleanup_(fake_ca_free_p) FakeCa *other = fake_ca_new("other", NULL);
    Identity *x = start_certified(machine, "[Revocation]\nCheck=crl,ocsp\n", (FakeIssue) BY_BOTH);
    const Reply hold = { .kind = REPLY_HOLD };
    _cleanup_bytes_ Bytes crl = CRL(.ca = machine->ca, .listed = identity_leaf(x), .made = -10, .next = 10000);
    const Reply reply = { .fetched = bytes_view(&crl) };

    enroller_script_fetch(machine->enroller, &hold);
    await_fetches(machine, 1);
    change_anchors(x, other);
    enroller_reply(enroller_last(machine->enroller), &reply);
    machine_settle(machine);
    machine_expect_log(machine, "could not be checked by CRL: the issuer of CN=x is no longer among the anchors.", 1);
    machine_expect_log(machine, "could not be checked by OCSP: ", 1); /* cannot even be asked for */
    expect_state(x, STATE_READY, "");
}

/* One CRL of the root about the intermediate, one of the intermediate about the leaf. */
static void test_whole_chain(void **state) {
    Machine *machine = *state;
    _cleanup_(fake_ca_free_p) FakeCa *intermediate =
        fake_ca_new_with_urls("intermediate", machine->ca, "http://root.example/root.crl", NULL);
    Identity *x = start_with_intermediate(machine, CHECK_CRL, intermediate, (FakeIssue) BY_CRL);

    bring(machine, CRL(.ca = intermediate, .made = -10, .next = 10000));
    bring(machine, CRL(.ca = machine->ca, .made = -10, .next = 10000));
    await_fetches(machine, 2);
    assert_string_equal(enroller_job(machine->enroller, 0)->servers, CRL_URL);
    assert_string_equal(enroller_job(machine->enroller, 1)->servers, "http://root.example/root.crl");
    machine_expect_log(machine, "could not be checked", 0);
    expect_state(x, STATE_READY, "");
    /* Both are for programs. */
    _cleanup_free_ char *crls = strndup((const char *) machine_crls(x).data, machine_crls(x).size);
    const char *first = strstr(crls, "-----BEGIN X509 CRL-----");
    assert_non_null(first);
    assert_non_null(strstr(first + 1, "-----BEGIN X509 CRL-----"));
    bring(machine, CRL(.ca = intermediate, .made = 0, .next = 10000));
    bring(machine, CRL(.ca = machine->ca, .listed = identity_chain(x)->list[1], .made = 0, .next = 10000));
    revocation_check_soon(x);
    machine_settle(machine);
    await_fetches(machine, 4);
    expect_state(x, STATE_REVOKED, "The CA has revoked CN=intermediate (serial number ");
}

/* ---- a hold ---- */

static void test_hold(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, CHECK_CRL, (FakeIssue) BY_CRL);

    check_crl(machine, CRL(.ca = machine->ca, .listed = identity_leaf(x), .hold = true, .made = -100, .next = 10000));
    expect_state(x, STATE_REVOKED, "The CA has put the certificate on hold (certificateHold); it signs again when");
    assert_true(identity_revocation(x).hold);
    assert_false(identity_revocation(x).revoked);
    machine_expect_log(machine, "on hold at the CA", 1);
    /* It is asked on, and the same word changes nothing. */
    check_crl(machine, CRL(.ca = machine->ca, .listed = identity_leaf(x), .hold = true, .made = -50, .next = 10000));
    expect_state(x, STATE_REVOKED, "on hold");
    x = restart(machine, CHECK_CRL);
    bring_failure(machine, "get: 503");
    await_fetches(machine, 3);
    expect_state(x, STATE_REVOKED, "on hold");
    check_crl(machine, CRL(.ca = machine->ca, .made = -20, .next = 10000));
    expect_state(x, STATE_READY, "");
    assert_false(identity_revocation(x).hold);
    x = restart(machine, CHECK_CRL);
    expect_state(x, STATE_READY, "");
}

/* Not by what is as old as the hold itself, nor by what has run out and says nothing of who is not in it. */
static void test_hold_goes_on(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, CHECK_CRL, (FakeIssue) BY_CRL);

    check_crl(machine, CRL(.ca = machine->ca, .listed = identity_leaf(x), .hold = true, .made = -100, .next = 10000));
    int64_t at = identity_revocation(x).at;
    check_crl(machine, CRL(.ca = machine->ca, .made = (long) (at - time(NULL)), .next = 10000));
    assert_true(fetches(machine) == 2 && revocation_failures(x) == 0);
    expect_state(x, STATE_REVOKED, "on hold");
    check_crl(machine, CRL(.ca = machine->ca, .made = -30, .next = -20));
    assert_int_equal(revocation_failures(x), 0);
    expect_state(x, STATE_REVOKED, "on hold");
    check_crl(machine, CRL(.ca = machine->ca, .made = -10, .next = 10000));
    expect_state(x, STATE_READY, "");
}

/* From a hold to the end, and not back. */
static void test_hold_then_revoked(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, CHECK_CRL, (FakeIssue) BY_CRL);

    check_crl(machine, CRL(.ca = machine->ca, .listed = identity_leaf(x), .hold = true, .made = -100, .next = 10000));
    check_crl(machine, CRL(.ca = machine->ca, .listed = identity_leaf(x), .made = -50, .next = 10000));
    expect_state(x, STATE_REVOKED, "The CA has revoked CN=x");
    assert_true(identity_revocation(x).revoked);
    assert_false(identity_revocation(x).hold);
}

/* What says that the leaf is good does not outweigh one that says "hold", nor an intermediate that nobody answers for.
 */
static void test_hold_of_several(void **state) {
    Machine *machine = *state;
    _cleanup_(fake_ca_free_p) FakeCa *intermediate =
        fake_ca_new_with_urls("intermediate", machine->ca, NULL, "http://root.example/ocsp");
    Identity *x = start_with_intermediate(machine, "[Revocation]\nCheck=crl,ocsp\n", intermediate, (FakeIssue) BY_CRL);
    const Certificate *ca = identity_chain(x)->list[1];

    bring(machine, CRL(.ca = intermediate, .made = -100, .next = 10000));
    bring(machine, OCSP(.ca = machine->ca, .about = ca, .verdict = REVOCATION_HOLD, .made = -90, .next = 10000));
    await_fetches(machine, 2);
    expect_state(x, STATE_REVOKED, "on hold");
    assert_true(identity_revocation(x).hold);
    /* The leaf is good, and newer. */
    bring(machine, CRL(.ca = intermediate, .made = -80, .next = 10000));
    bring(machine, OCSP(.ca = machine->ca, .about = ca, .verdict = REVOCATION_HOLD, .made = -80, .next = 10000));
    revocation_check_soon(x);
    machine_settle(machine);
    await_fetches(machine, 4);
    expect_state(x, STATE_REVOKED, "on hold");
    /* Nobody answers for the other. */
    bring(machine, CRL(.ca = intermediate, .made = -70, .next = 10000));
    bring_failure(machine, "post: 503");
    revocation_check_soon(x);
    machine_settle(machine);
    await_fetches(machine, 6);
    expect_state(x, STATE_REVOKED, "on hold");
    /* The other is good, and nothing new is known of the leaf. */
    bring_failure(machine, "get: 503");
    bring(machine, OCSP(.ca = machine->ca, .about = ca, .made = -60, .next = 10000));
    revocation_check_soon(x);
    machine_settle(machine);
    await_fetches(machine, 8);
    expect_state(x, STATE_READY, ""); /* the CRL at hand is newer than the hold */
}

/* The newest word counts, in whatever order they come. */
static void test_hold_and_an_older_word(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, "[Revocation]\nCheck=crl,ocsp\n", (FakeIssue) BY_BOTH);

    bring(machine, CRL(.ca = machine->ca, .made = -200, .next = 10000));
    bring(machine,
          OCSP(.ca = machine->ca, .about = identity_leaf(x), .verdict = REVOCATION_HOLD, .made = -100, .next = 10000));
    await_fetches(machine, 2);
    expect_state(x, STATE_REVOKED, "on hold");
    bring_failure(machine, "get: 503");
    bring(machine, OCSP(.ca = machine->ca, .about = identity_leaf(x), .made = -50, .next = 10000));
    revocation_check_soon(x);
    machine_settle(machine);
    await_fetches(machine, 4);
    expect_state(x, STATE_READY, ""); /* though the CRL at hand is older than the hold */
}

/* Where two may speak for the leaf, one is enough. */
static void test_hold_and_no_answer(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, "[Revocation]\nCheck=crl,ocsp\n", (FakeIssue) BY_BOTH);

    bring(machine, CRL(.ca = machine->ca, .listed = identity_leaf(x), .hold = true, .made = -100, .next = 10000));
    bring_failure(machine, "post: 503");
    await_fetches(machine, 2);
    expect_state(x, STATE_REVOKED, "on hold");
    bring(machine, CRL(.ca = machine->ca, .made = -50, .next = 10000));
    bring_failure(machine, "post: 503");
    revocation_check_soon(x);
    machine_settle(machine);
    await_fetches(machine, 4);
    expect_state(x, STATE_READY, "");
}

/* ---- what is stored ---- */

/* Judged before anything is fetched: nobody wins a moment by restarting identityd without a network. */
static void test_stored_revokes(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, CHECK_CRL, (FakeIssue) BY_CRL);
    const IdentityRevocation none = { .revoked = false };

    check_crl(machine, CRL(.ca = machine->ca, .listed = identity_leaf(x), .made = -10, .next = 10000));
    identity_set_revocation(x, &none); /* as if it had not been saved */
    assert_int_equal(identity_save(x), 0);
    x = restart(machine, CHECK_CRL);
    machine_settle(machine);
    expect_state(x, STATE_REVOKED, "The CA has revoked CN=x");
    assert_int_equal(fetches(machine), 1);
}

/* What is asked for no more is neither kept nor handed out. */
static void test_forgotten(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, CHECK_CRL, (FakeIssue) BY_CRL);
    Failure failure = FAILURE_INIT;

    check_crl(machine, CRL(.ca = machine->ca, .made = -10, .next = 10000));
    _cleanup_bytes_ Bytes other = CRL(.ca = machine->ca, .made = -10, .next = 10000, .number = 5);
    assert_int_equal(store_crl_save(identity_store(x), "abc", bytes_view(&other), &failure), 0);
    check_crl(machine, CRL(.ca = machine->ca, .made = -5, .next = 10000));
    _cleanup_(strings_free_p) char **ids = NULL;
    assert_int_equal(store_crl_list(identity_store(x), &ids, &failure), 0);
    assert_non_null(ids[0]);
    assert_null(ids[1]);
    assert_string_not_equal(ids[0], "abc");
    machine_expect_log(machine, "warning: x: \n", 0); /* that it went is no news */
    assert_true(machine_crls(x).size > 0);
    /* No check any more: nobody keeps it up to date either. */
    machine_configure(machine, "x", "");
    identity_load(x);
    machine_settle(machine);
    assert_int_equal(machine_crls(x).size, 0);
    machine_configure(machine, "x", CHECK_CRL);
    identity_load(x);
    machine_settle(machine);
    assert_true(machine_crls(x).size > 0);
}

/* That of another CA is stored by nobody; should one be there, programs do not get it. */
static void test_of_another_ca(void **state) {
    Machine *machine = *state;
    _cleanup_(fake_ca_free_p) FakeCa *other = fake_ca_new("other", NULL);
    Identity *x = start_certified(machine, CHECK_CRL, (FakeIssue) BY_CRL);
    _cleanup_bytes_ Bytes crl = CRL(.ca = other, .listed = identity_leaf(x), .made = -10, .next = 10000);
    Failure failure = FAILURE_INIT;

    assert_int_equal(store_crl_save(identity_store(x), "abc", bytes_view(&crl), &failure), 0);
    bring_failure(machine, "get: 503");
    await_fetches(machine, 1);
    assert_int_equal(machine_crls(x).size, 0);
    expect_state(x, STATE_READY, "");
}

/* What does not fit in 16 MB is left out, and said; what fits beside it is there. */
static void test_too_much(void **state) {
    Machine *machine = *state;
    _cleanup_(fake_ca_free_p) FakeCa *intermediate =
        fake_ca_new_with_urls("intermediate", machine->ca, "http://root.example/root.crl", NULL);
    Identity *x = start_with_intermediate(machine, CHECK_CRL, intermediate, (FakeIssue) BY_CRL);

    bring(machine, CRL(.ca = intermediate, .made = -10, .next = 10000, .padding = 7U << 20));
    bring(machine, CRL(.ca = machine->ca, .made = -10, .next = 10000, .padding = 7U << 20));
    await_fetches(machine, 2);
    assert_true(machine_crls(x).size > 9U << 20 && machine_crls(x).size < 10U << 20);
    machine_expect_log(machine, "x: The CRLs are more than 16 MB: programs do not get one of 73", 1);
    assert_int_equal(revocation_failures(x), 0); /* it was judged all the same */
    expect_state(x, STATE_READY, "");
}

/* What a CA has signed is past: the time that is learned from it. */
static void test_time(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, CHECK_CRL, (FakeIssue) BY_CRL);
    int64_t now = identity_now(x);

    assert_true(identity_clock_floor(x) <= now - 55); /* the certificate's beginning */
    check_crl(machine, CRL(.ca = machine->ca, .made = -10, .next = 10000));
    assert_true(identity_clock_floor(x) >= now - 15 && identity_clock_floor(x) <= now + 5);
}

/* ---- OCSP ---- */

static void check_ocsp(Machine *machine, Bytes answer) {
    check_crl(machine, answer);
}

/* An answer that was replaced by a newer one is a replay, over a restart too. */
static void test_replay(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, CHECK_OCSP, (FakeIssue) BY_OCSP);

    check_ocsp(machine, OCSP(.ca = machine->ca, .about = identity_leaf(x), .made = -100, .next = 10000));
    int64_t seen = identity_clock_floor(x);
    check_ocsp(machine, OCSP(.ca = machine->ca, .about = identity_leaf(x), .made = -200, .next = 10000));
    machine_expect_log(machine, "could not be checked by OCSP: the OCSP answer is older than one that was seen: ", 1);
    for (unsigned i = 0; i < 2; i++) {
        x = restart(machine, CHECK_OCSP);
        bring(machine, OCSP(.ca = machine->ca, .about = identity_leaf(x), .made = -300, .next = 10000));
        await_fetches(machine, 3 + 2 * i);
        machine_expect_log(machine, "the OCSP answer is older than one that was seen: ", 2 + i);
        assert_int_equal(identity_staple(x).size, 0);
        /* The very same is none. */
        check_ocsp(machine,
                   OCSP(.ca = machine->ca, .about = identity_leaf(x), .made = (long) (seen - time(NULL)), .next = 999));
        machine_expect_log(machine, "the OCSP answer is older than one that was seen: ", 2 + i);
        machine_expect_log(machine, "How new the OCSP answers were is not known any more", 0);
        assert_true(identity_staple(x).size > 0);
    }
}

/* Of each certificate of the chain. */
static void test_replay_in_a_chain(void **state) {
    Machine *machine = *state;
    _cleanup_(fake_ca_free_p) FakeCa *intermediate =
        fake_ca_new_with_urls("intermediate", machine->ca, NULL, "http://root.example/ocsp");
    Identity *x = start_with_intermediate(machine, CHECK_OCSP, intermediate, (FakeIssue) BY_OCSP);
    const Certificate *ca = identity_chain(x)->list[1];

    bring(machine, OCSP(.ca = intermediate, .about = identity_leaf(x), .made = -100, .next = 10000));
    bring(machine, OCSP(.ca = machine->ca, .about = ca, .made = -50, .next = 10000));
    await_fetches(machine, 2);
    bring(machine, OCSP(.ca = intermediate, .about = identity_leaf(x), .made = -110, .next = 10000));
    bring(machine, OCSP(.ca = machine->ca, .about = ca, .made = -60, .next = 10000));
    revocation_check_soon(x);
    machine_settle(machine);
    await_fetches(machine, 4);
    machine_expect_log(machine, "Revocation of CN=x could not be checked by OCSP: the OCSP answer is older than", 1);
    machine_expect_log(machine, "Revocation of CN=intermediate could not be checked by OCSP: the OCSP answer is older",
                       1);
}

/* What is seen of one certificate says nothing of another, and goes with it. */
static void test_replay_of_others(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, CHECK_OCSP, (FakeIssue) BY_OCSP);
    StoredOcsp list[STORE_OCSP_MAX];
    size_t count = 0;
    Failure failure = FAILURE_INIT;

    check_ocsp(machine, OCSP(.ca = machine->ca, .about = identity_leaf(x), .made = -10, .next = 10000));
    for (unsigned i = 0; i < STORE_OCSP_MAX + 2; i++) {
        (void) machine_certify(machine, x, &(Certified) { .issue = BY_OCSP });
        bring(machine, OCSP(.ca = machine->ca, .about = identity_leaf(x), .made = -20, .next = 10000));
        await_fetches(machine, 2 + i);
        assert_true(identity_staple(x).size > 0);
    }
    machine_expect_log(machine, "older than one that was seen", 0);
    assert_int_equal(store_ocsp_load(identity_store(x), list, &count, &failure), 0);
    assert_int_equal(count, 1);
    /* It is of the last, which is held to it. */
    check_ocsp(machine, OCSP(.ca = machine->ca, .about = identity_leaf(x), .made = -30, .next = 10000));
    machine_expect_log(machine, "older than one that was seen", 1);
}

/* What was kept of it is damaged, or cannot be kept: said, and no reason to refuse an answer. */
static void test_seen_is_damaged(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, CHECK_OCSP, (FakeIssue) BY_OCSP);

    check_ocsp(machine, OCSP(.ca = machine->ca, .about = identity_leaf(x), .made = -10, .next = 10000));
    machine_stop(machine);
    machine_write(machine, "state/x/trust/ocsp", "nonsense");
    machine_forget_log(machine);
    x = start(machine, CHECK_OCSP);
    bring(machine, OCSP(.ca = machine->ca, .about = identity_leaf(x), .made = -20, .next = 10000));
    await_fetches(machine, 2);
    machine_expect_log(machine, "x: How new the OCSP answers were is not known any more; it is learned anew: ", 1);
    machine_expect_log(machine, "state/x/trust/ocsp", 1);
    assert_true(identity_staple(x).size > 0);
    assert_int_equal(revocation_failures(x), 0);
}

static void test_seen_cannot_be_kept(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, CHECK_OCSP, (FakeIssue) BY_OCSP);

    /* No file can take the place of a directory that is not empty. */
    machine_settle(machine);
    assert_int_equal(mkdir(machine_path(machine, "state/x/trust/ocsp"), 0700), 0);
    machine_write(machine, "state/x/trust/ocsp/stays", "in the way");
    check_ocsp(machine, OCSP(.ca = machine->ca, .about = identity_leaf(x), .verdict = REVOCATION_REVOKED, .made = -10,
                             .next = 10000));
    machine_expect_log(machine, "identityd: error: x: ", 1);
    expect_state(x, STATE_REVOKED, "The CA has revoked CN=x");
    assert_non_null(strstr(identity_error(x), "says its OCSP responder;"));
    assert_true(llabs(identity_revocation(x).at - (identity_now(x) - 10)) <= 30);
}

/* What could not be kept is known until the next start all the same, whatever is read anew meanwhile. */
static void test_seen_is_known(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, CHECK_OCSP, (FakeIssue) BY_OCSP);

    machine_settle(machine);
    assert_int_equal(mkdir(machine_path(machine, "state/x/trust/ocsp"), 0700), 0);
    machine_write(machine, "state/x/trust/ocsp/stays", "in the way");
    check_ocsp(machine, OCSP(.ca = machine->ca, .about = identity_leaf(x), .made = -10, .next = 10000));
    machine_configure(machine, "x", "[Revocation]\nCheck=crl,ocsp\n");
    identity_load(x);
    bring(machine, OCSP(.ca = machine->ca, .about = identity_leaf(x), .made = -20, .next = 10000));
    machine_settle(machine);
    machine_expect_log(machine, "could not be checked by OCSP: the OCSP answer is older than one that was seen: ", 1);
}

/* One who may not answer for this CA. */
static void test_foreign_responder(void **state) {
    Machine *machine = *state;
    _cleanup_(fake_ca_free_p) FakeCa *other = fake_ca_new("root", NULL); /* of the same name */
    Identity *x = start_certified(machine, CHECK_OCSP, (FakeIssue) BY_OCSP);

    check_ocsp(machine, OCSP(.ca = machine->ca, .signer = other, .about = identity_leaf(x),
                             .verdict = REVOCATION_REVOKED, .made = -10, .next = 10000));
    machine_expect_log(machine, "could not be checked by OCSP: the signature of the OCSP answer was not made by", 1);
    expect_state(x, STATE_READY, "");
    check_ocsp(machine, OCSP(.ca = machine->ca, .about = identity_leaf(x), .made = -2000, .next = 10000));
    assert_int_equal(revocation_failures(x), 1); /* what does not verify is no measure for what does */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, checked_setup, checked_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_issuer),
        TEST(test_issuer_goes),
        TEST(test_whole_chain),
        TEST(test_hold),
        TEST(test_hold_goes_on),
        TEST(test_hold_then_revoked),
        TEST(test_hold_of_several),
        TEST(test_hold_and_an_older_word),
        TEST(test_hold_and_no_answer),
        TEST(test_stored_revokes),
        TEST(test_forgotten),
        TEST(test_of_another_ca),
        TEST(test_too_much),
        TEST(test_time),
        TEST(test_replay),
        TEST(test_replay_in_a_chain),
        TEST(test_replay_of_others),
        TEST(test_seen_is_damaged),
        TEST(test_seen_cannot_be_kept),
        TEST(test_seen_is_known),
        TEST(test_foreign_responder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
