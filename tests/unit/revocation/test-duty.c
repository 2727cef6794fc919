/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The revocation duty: when a chain is checked, what comes of a check, and what happens meanwhile. */
#include "tests/unit/revocation/checked.h"

#include <dlfcn.h>
#include <gnutls/crypto.h>

#define HOUR 3600

/* ---- a library that fails, as it does for want of memory ---- */

static bool hashes_fail;
static const void *fails_on;

_public_ int gnutls_hash_fast(gnutls_digest_algorithm_t algorithm, const void *data, size_t size, void *digest) {
    static int (*real)(gnutls_digest_algorithm_t algorithm, const void *data, size_t size, void *digest);

    if (hashes_fail || (fails_on && data == fails_on))
        return GNUTLS_E_MEMORY_ERROR;
    if (!real)
        *(void **) &real = dlsym(RTLD_NEXT, "gnutls_hash_fast");
    return real(algorithm, data, size, digest);
}

/* ---- when ---- */

static Bytes usual_crl(const Machine *machine) {
    return CRL(.ca = machine->ca, .made = -10, .next = 7 * 86400, .number = 1);
}

static void test_not_configured(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, "", (FakeIssue) BY_BOTH);

    machine_settle(machine);
    assert_int_equal(revocation_duty.when(x).kind, INSTANT_NEVER);
    machine_pass(machine, 7 * HOUR);
    assert_int_equal(fetches(machine), 0);
}

static void test_nothing_to_ask(void **state) {
    Machine *machine = *state;
    Identity *x =
        start_certified(machine, "[Revocation]\nCheck=crl,ocsp\n", (FakeIssue) { .starts = -60, .ends = LONG });

    machine_settle(machine);
    assert_int_equal(fetches(machine), 0);
    assert_true(next_in(x) > 6 * HOUR - 60 && next_in(x) <= 6 * HOUR);
    expect_state(x, STATE_READY, "");
}

/* At once, and then at each interval. */
static void test_interval(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, "[Revocation]\nCheck=crl\n", (FakeIssue) BY_CRL);

    for (unsigned i = 0; i < 4; i++)
        bring(machine, usual_crl(machine));
    await_fetches(machine, 1);
    const EnrollerJob *job = enroller_last(machine->enroller);
    assert_true(job->is_fetch);
    assert_int_equal(job->kind, JOB_KIND_FETCH);
    assert_string_equal(job->servers, CRL_URL);
    assert_false(job->has_client_chain);
    assert_true(next_in(x) > 6 * HOUR - 60 && next_in(x) <= 6 * HOUR);
    machine_pass(machine, 6 * HOUR - 60);
    assert_int_equal(fetches(machine), 1);
    machine_pass(machine, 60);
    await_fetches(machine, 2);
    machine_expect_log(machine, "could not be checked", 0);
    assert_int_equal(revocation_failures(x), 0);
    /* Not sooner over a reload; at once after a restart. */
    identity_load(x);
    machine_settle(machine);
    assert_int_equal(fetches(machine), 2);
    (void) restart(machine, "[Revocation]\nCheck=crl\n");
    await_fetches(machine, 3);
}

/* Before what came runs out. */
static void test_next_update(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, "[Revocation]\nCheck=crl\n", (FakeIssue) BY_CRL);

    bring(machine, CRL(.ca = machine->ca, .made = -10, .next = 1000));
    await_fetches(machine, 1);
    assert_true(next_in(x) > 800 && next_in(x) <= 900);
    /* Also a little after the interval. */
    bring(machine, CRL(.ca = machine->ca, .made = -5, .next = 901 + 23000));
    machine_pass(machine, 901);
    await_fetches(machine, 2);
    assert_true(next_in(x) <= 20700 && next_in(x) > 20600);
    /* One that lives on brings nothing forward. */
    bring(machine, CRL(.ca = machine->ca, .made = 0, .next = 30 * 86400));
    machine_pass(machine, 20701);
    await_fetches(machine, 3);
    assert_true(next_in(x) > 6 * HOUR - 60 && next_in(x) <= 6 * HOUR);
    /* One that has run out already is asked after as after a failure. */
    bring(machine, CRL(.ca = machine->ca, .made = 0, .next = -5));
    machine_pass(machine, 6 * HOUR);
    await_fetches(machine, 4);
    assert_true(next_in(x) > 6 * HOUR / 10 - 60 && next_in(x) <= 6 * HOUR / 10);
}

/* The earliest of several. */
static void test_earliest_next_update(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, "[Revocation]\nCheck=crl,ocsp\n", (FakeIssue) BY_BOTH);

    bring(machine, CRL(.ca = machine->ca, .made = -10, .next = 1000));
    bring(machine, OCSP(.ca = machine->ca, .about = identity_leaf(x), .made = -10, .next = 5000));
    await_fetches(machine, 2);
    assert_true(next_in(x) > 800 && next_in(x) <= 900);
    bring(machine, CRL(.ca = machine->ca, .made = 0, .next = 901 + 5000, .number = 2));
    bring(machine, OCSP(.ca = machine->ca, .about = identity_leaf(x), .made = 0, .next = 901 + 2000));
    machine_pass(machine, 901);
    await_fetches(machine, 4);
    assert_true(next_in(x) > 1700 && next_in(x) <= 1800);
}

/* A tenth of the interval after a failure, and no sooner than a minute. */
static void test_retry(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, "[Revocation]\nCheck=crl\n", (FakeIssue) BY_CRL);

    bring_failure(machine, "get: 503");
    await_fetches(machine, 1);
    machine_expect_log(machine, "x: Revocation of CN=x could not be checked by CRL: get: 503", 1);
    assert_int_equal(revocation_failures(x), 1);
    assert_true(next_in(x) > 36 * 60 - 30 && next_in(x) <= 36 * 60);
    expect_state(x, STATE_READY, ""); /* a warning, never a revocation */
    bring(machine, usual_crl(machine));
    machine_pass(machine, 36 * 60);
    await_fetches(machine, 2);
    assert_true(next_in(x) > 6 * HOUR - 60);
    assert_int_equal(revocation_failures(x), 1);
    machine_configure(machine, "x", "[Revocation]\nCheck=crl\nInterval=300s\n");
    identity_load(x);
    bring_failure(machine, "get: 503");
    int64_t before = identity_now(x);
    machine_settle(machine); /* the interval is another: what was planned lies too far away */
    await_fetches(machine, 3);
    assert_true(revocation_duty.when(x).seconds >= before + 60 && next_in(x) <= 60);
    machine_configure(machine, "x", "[Revocation]\nCheck=crl\nInterval=20s\n");
    identity_load(x);
    bring_failure(machine, "get: 503");
    machine_pass(machine, 61);
    await_fetches(machine, 4);
    assert_true(next_in(x) > 10 && next_in(x) <= 20); /* never later than without a failure */
    assert_int_equal(revocation_failures(x), 3);
}

/* One that fails is no reason to let another run out. */
static void test_retry_before_next_update(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, "[Revocation]\nCheck=crl,ocsp\n", (FakeIssue) BY_BOTH);

    bring(machine, CRL(.ca = machine->ca, .made = -10, .next = 600));
    bring_failure(machine, "get: 503");
    await_fetches(machine, 2);
    assert_true(next_in(x) > 480 && next_in(x) <= 540);
}

/* However short the life of what comes, the loop is not kept busy. */
static void test_not_at_once(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, "[Revocation]\nCheck=crl\n", (FakeIssue) BY_CRL);

    bring(machine, CRL(.ca = machine->ca, .made = 0, .next = 1));
    await_fetches(machine, 1);
    assert_true(next_in(x) > 0);
}

/* What cannot even be begun is said, and tried again after a minute. */
static void test_cannot_be_begun(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, "[Revocation]\nCheck=crl\n", (FakeIssue) BY_CRL);

    hashes_fail = true;
    int64_t before = identity_now(x);
    (void) identity_flush(x);
    identity_run_due(x);
    hashes_fail = false;
    machine_expect_log(machine, "x: Revocation could not be checked: Input/output error.", 1);
    assert_true(revocation_duty.when(x).seconds >= before + 60 && next_in(x) <= 60);
    machine_settle(machine);
    assert_int_equal(fetches(machine), 0);
    bring(machine, usual_crl(machine));
    machine_pass(machine, 61);
    await_fetches(machine, 1);
    assert_true(machine_crls(x).size > 0);
}

/* An answer of which nobody could say later how new it was counts for nothing. */
static void test_cannot_be_noted(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, "[Revocation]\nCheck=ocsp\n", (FakeIssue) BY_OCSP);

    bring(machine, OCSP(.ca = machine->ca, .about = identity_leaf(x), .made = -10, .next = 10000));
    fails_on = identity_leaf(x)->der.data;
    await_fetches(machine, 1);
    fails_on = NULL;
    machine_expect_log(machine, "could not be checked by OCSP: Keeping the time of an OCSP answer", 1);
    assert_int_equal(identity_staple(x).size, 0);
}

static void test_soon(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, "[Revocation]\nCheck=crl\n", (FakeIssue) BY_CRL);

    bring(machine, usual_crl(machine));
    await_fetches(machine, 1);
    bring(machine, usual_crl(machine));
    revocation_check_soon(x);
    machine_settle(machine);
    await_fetches(machine, 2);
}

/* What was planned while the clock was elsewhere is no plan. */
static void test_of_another_time(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, "[Revocation]\nCheck=ocsp\n", (FakeIssue) BY_OCSP);

    bring_failure(machine, "get: 503");
    await_fetches(machine, 1);
    clock_set(10 * 86400);
    bring_failure(machine, "get: 503");
    machine_settle(machine);
    await_fetches(machine, 2);
    assert_true(next_in(x) <= 36 * 60);
    clock_set(-10 * 86400);
    machine_settle(machine);
    await_fetches(machine, 3);
    assert_true(next_in(x) <= 6 * HOUR);
}

/* Who can do nothing with the answer does not ask: expired, revoked for good, retired, without a certificate. */
static void test_states(void **state) {
    Machine *machine = *state;
    Identity *x = start(machine, "[Revocation]\nCheck=crl\n");
    Failure failure = FAILURE_INIT;

    machine_pass(machine, 7 * HOUR);
    assert_int_equal(fetches(machine), 0);
    (void) machine_certify(machine, x, &(Certified) { .issue = { .starts = -60, .ends = 10000, .crl = { CRL_URL } } });
    bring(machine, usual_crl(machine));
    await_fetches(machine, 1);
    machine_pass(machine, 10001);
    expect_state(x, STATE_EXPIRED, "");
    machine_pass(machine, 7 * HOUR);
    assert_int_equal(fetches(machine), 1);
    assert_int_equal(revocation_duty.when(x).kind, INSTANT_NEVER);
    (void) machine_certify(machine, x, &(Certified) { .issue = BY_CRL });
    bring(machine, CRL(.ca = machine->ca, .listed = identity_leaf(x), .made = 0, .next = 1000, .number = 2));
    await_fetches(machine, 2);
    expect_state(x, STATE_REVOKED, "The CA has revoked CN=x");
    machine_pass(machine, 7 * HOUR);
    assert_int_equal(fetches(machine), 2);
    assert_int_equal(identity_retire(x, &failure), 0);
    machine_pass(machine, 7 * HOUR);
    assert_int_equal(fetches(machine), 2);
}

/* ---- what comes of it ---- */

static void test_revoked(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, "[Revocation]\nCheck=crl\n", (FakeIssue) BY_CRL);

    int64_t now = identity_now(x);
    bring(machine, CRL(.ca = machine->ca, .listed = identity_leaf(x), .revoked = -500, .made = -10, .next = 10000));
    await_fetches(machine, 1);
    expect_state(x, STATE_REVOKED, "says its CRL; `idctl enroll --new-key x` makes a new identity if the CA permits.");
    assert_true(identity_revocation(x).revoked);
    assert_true(llabs(identity_revocation(x).at - (now - 500)) <= 30);
    machine_expect_log(machine, "x: ready → revoked (revoked)", 1);
    /* Nothing takes it back: not a restart, and no later word. */
    x = restart(machine, "[Revocation]\nCheck=crl\n");
    machine_settle(machine);
    expect_state(x, STATE_REVOKED, "The CA has revoked CN=x");
    assert_int_equal(fetches(machine), 1);
}

/* Whoever can make the next fetch hang must not win time for the key. */
static void test_revoked_at_once(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, "[Revocation]\nCheck=crl,ocsp\n", (FakeIssue) BY_BOTH);
    const Reply hold = { .kind = REPLY_HOLD };

    bring(machine, CRL(.ca = machine->ca, .listed = identity_leaf(x), .revoked = -500, .made = -10, .next = 10000));
    enroller_script_fetch(machine->enroller, &hold);
    await_fetches(machine, 2);
    assert_true(enroller_last(machine->enroller)->is_open);
    expect_state(x, STATE_REVOKED, "The CA has revoked CN=x");
    /* Who says so second changes nothing of what the first has said. */
    const IdentityRevocation first = identity_revocation(x);
    _cleanup_bytes_ Bytes second =
        OCSP(.ca = machine->ca, .about = identity_leaf(x), .verdict = REVOCATION_REVOKED, .made = -10, .next = 1000);
    const Reply reply = { .fetched = bytes_view(&second) };
    enroller_reply(enroller_last(machine->enroller), &reply);
    machine_settle(machine);
    expect_state(x, STATE_REVOKED, "says its CRL;");
    assert_int_equal(identity_revocation(x).at, first.at);
}

/* A disk that is full hides no revocation. */
static void test_cannot_be_kept(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, "[Revocation]\nCheck=crl\n", (FakeIssue) BY_CRL);

    machine_write(machine, "state/x/trust/crls", "in the way");
    machine_write(machine, "state/x/trash", "in the way too, or it would be set aside");
    bring(machine, CRL(.ca = machine->ca, .listed = identity_leaf(x), .made = -10, .next = 10000));
    await_fetches(machine, 1);
    expect_state(x, STATE_REVOKED, "The CA has revoked CN=x");
    machine_expect_log(machine, "Revocation of CN=x could not be checked by CRL: ", 1);
    assert_int_equal(revocation_failures(x), 1);
}

static void test_older(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, "[Revocation]\nCheck=crl\n", (FakeIssue) BY_CRL);
    Bytes first = CRL(.ca = machine->ca, .made = -10, .next = 10000, .number = 7), again = BYTES_NULL;

    assert_int_equal(bytes_copy(bytes_view(&first), &again), 0);
    bring(machine, first);
    await_fetches(machine, 1);
    /* One that is older says nothing, and is not kept. */
    bring(machine, CRL(.ca = machine->ca, .listed = identity_leaf(x), .made = -1000, .next = 10000, .number = 6));
    revocation_check_soon(x);
    machine_settle(machine);
    await_fetches(machine, 2);
    machine_expect_log(machine, "could not be checked by CRL: the CRL is older than the one at hand: ", 1);
    expect_state(x, STATE_READY, "");
    /* The very same is no failure. */
    bring(machine, again);
    revocation_check_soon(x);
    machine_settle(machine);
    await_fetches(machine, 3);
    assert_int_equal(revocation_failures(x), 1);
    /* Nor is a newer one. */
    bring(machine, CRL(.ca = machine->ca, .listed = identity_leaf(x), .made = -5, .next = 10000, .number = 8));
    revocation_check_soon(x);
    machine_settle(machine);
    await_fetches(machine, 4);
    expect_state(x, STATE_REVOKED, "The CA has revoked CN=x");
    assert_int_equal(revocation_failures(x), 1);
}

/* What is stored and is damaged is no measure for what comes. */
static void test_stored_is_damaged(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, "[Revocation]\nCheck=crl\n", (FakeIssue) BY_CRL);
    _cleanup_(strings_free_p) char **ids = NULL;
    Failure failure = FAILURE_INIT;
    char path[160];

    bring(machine, usual_crl(machine));
    await_fetches(machine, 1);
    assert_int_equal(store_crl_list(identity_store(x), &ids, &failure), 0);
    assert_non_null(ids[0]);
    assert_null(ids[1]);
    snprintf(path, sizeof path, "state/x/trust/crls/%s.crl", ids[0]);
    machine_write(machine, path, "nonsense");
    bring_failure(machine, "get: 503");
    x = restart(machine, "[Revocation]\nCheck=crl\n");
    await_fetches(machine, 2);
    machine_expect_log(machine, "x: A stored CRL is left out: ", 2); /* at the start, and after the check */
    assert_int_equal(machine_crls(x).size, 0);
    bring(machine, CRL(.ca = machine->ca, .made = -1000, .next = 10000));
    revocation_check_soon(x);
    machine_settle(machine);
    await_fetches(machine, 3);
    assert_true(machine_crls(x).size > 0);
    machine_expect_log(machine, "x: A stored CRL is left out: ", 2);
}

static void test_nonsense(void **state) {
    Machine *machine = *state;
    _cleanup_(fake_ca_free_p) FakeCa *other = fake_ca_new("other", NULL);
    Identity *x = start_certified(machine, "[Revocation]\nCheck=crl,ocsp\n", (FakeIssue) BY_BOTH);
    Bytes nonsense = BYTES_NULL, copy = BYTES_NULL;

    assert_int_equal(bytes_copy(bytes_view_string("nonsense"), &nonsense), 0);
    assert_int_equal(bytes_copy(bytes_view_string("nonsense"), &copy), 0);
    bring(machine, nonsense);
    bring(machine, copy);
    await_fetches(machine, 2);
    machine_expect_log(machine, "could not be checked by CRL: what should be a CRL is neither DER nor PEM", 1);
    machine_expect_log(machine, "could not be checked by OCSP: ", 1);
    /* Another CA says much about a certificate that is not its own. */
    bring(machine, CRL(.ca = other, .listed = identity_leaf(x), .made = -10, .next = 10000));
    bring(machine, OCSP(.ca = other, .about = identity_leaf(x), .verdict = REVOCATION_REVOKED, .made = -10, .next = 9));
    revocation_check_soon(x);
    machine_settle(machine);
    await_fetches(machine, 4);
    machine_expect_log(machine, "could not be checked by CRL: the CRL is not about ", 1);
    machine_expect_log(machine, "could not be checked by OCSP: ", 2);
    /* And nothing at all. */
    bring(machine, BYTES_NULL);
    bring(machine, BYTES_NULL);
    revocation_check_soon(x);
    machine_settle(machine);
    await_fetches(machine, 6);
    machine_expect_log(machine, "could not be checked by CRL: ", 3);
    expect_state(x, STATE_READY, "");
    assert_int_equal(machine_crls(x).size, 0);
    assert_int_equal(identity_staple(x).size, 0);
    assert_int_equal(revocation_failures(x), 6);
}

/* ---- the answer for stapling ---- */

static void test_staple(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, "[Revocation]\nCheck=ocsp\n", (FakeIssue) BY_OCSP);
    Bytes answer = OCSP(.ca = machine->ca, .about = identity_leaf(x), .made = -10, .next = 1000);
    int64_t begun = identity_now(x);

    bring(machine, answer);
    await_fetches(machine, 1);
    assert_true(bytes_view_equal(identity_staple(x), bytes_view(&answer)));
    assert_true(next_in(x) > 800 && next_in(x) <= 900);
    /* A failure takes nothing away before it is time; then peers would refuse it. */
    bring_failure(machine, "get: 503");
    bring_failure(machine, "get: 503");
    machine_pass(machine, 901);
    await_fetches(machine, 2);
    assert_true(identity_staple(x).size > 0);
    assert_true(next_in(x) <= 100); /* and not with the next check alone */
    machine_pass(machine, begun + 985 - identity_now(x));
    assert_true(identity_staple(x).size > 0);
    machine_pass(machine, begun + 1010 - identity_now(x));
    assert_int_equal(identity_staple(x).size, 0);
    assert_int_equal(fetches(machine), 2);
    expect_state(x, STATE_READY, "");
}

/* It is there as soon as it came, and stays while the rest of the chain is asked about. */
static void test_staple_at_once(void **state) {
    Machine *machine = *state;
    _cleanup_(fake_ca_free_p) FakeCa *intermediate =
        fake_ca_new_with_urls("intermediate", machine->ca, NULL, "http://root.example/ocsp");
    Identity *x = start_with_intermediate(machine, "[Revocation]\nCheck=ocsp\n", intermediate, (FakeIssue) BY_OCSP);
    const Reply hold = { .kind = REPLY_HOLD }, failure = { .kind = REPLY_FAILURE };

    bring(machine, OCSP(.ca = intermediate, .about = identity_leaf(x), .next = 1000));
    enroller_script_fetch(machine->enroller, &hold);
    await_fetches(machine, 2);
    assert_true(identity_staple(x).size > 0);
    assert_true(llabs(identity_staple_end(x) - identity_now(x) - 1000) < 60);
    enroller_reply(enroller_last(machine->enroller), &failure);
    machine_settle(machine);
    assert_true(identity_staple(x).size > 0);
}

/* Without nextUpdate it counts for a day. */
static void test_endless_staple(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, "[Revocation]\nCheck=ocsp\nInterval=52w\n", (FakeIssue) BY_OCSP);

    bring(machine, OCSP(.ca = machine->ca, .about = identity_leaf(x), .made = -100, .is_endless = true));
    await_fetches(machine, 1);
    assert_true(identity_staple(x).size > 0);
    assert_true(next_in(x) > 86400 - 130 && next_in(x) <= 86400 - 99);
    machine_pass(machine, 86400 - 90);
    assert_int_equal(identity_staple(x).size, 0);
    assert_int_equal(fetches(machine), 1);
}

/* Only what says "good" about the leaf is handed to peers. */
static void test_no_staple(void **state) {
    Machine *machine = *state;
    _cleanup_(fake_ca_free_p) FakeCa *intermediate =
        fake_ca_new_with_urls("intermediate", machine->ca, NULL, "http://root.example/ocsp");
    Identity *x = start_with_intermediate(machine, "[Revocation]\nCheck=ocsp\n", intermediate, (FakeIssue) BY_OCSP);
    const CertificateList *chain = identity_chain(x);

    bring(machine, OCSP(.ca = intermediate, .about = identity_leaf(x), .verdict = REVOCATION_UNKNOWN, .next = 1000));
    bring(machine, OCSP(.ca = machine->ca, .about = chain->list[1], .next = 1000));
    await_fetches(machine, 2);
    assert_string_equal(enroller_last(machine->enroller)->servers, "http://root.example/ocsp");
    assert_int_equal(revocation_failures(x), 0);
    assert_int_equal(identity_staple(x).size, 0);
    expect_state(x, STATE_READY, "");
    /* The intermediate's end is the chain's. */
    bring(machine, OCSP(.ca = intermediate, .about = identity_leaf(x), .made = 1, .next = 1000));
    bring(machine,
          OCSP(.ca = machine->ca, .about = chain->list[1], .verdict = REVOCATION_REVOKED, .made = 1, .next = 1000));
    revocation_check_soon(x);
    machine_settle(machine);
    await_fetches(machine, 4);
    expect_state(x, STATE_REVOKED, "The CA has revoked CN=intermediate");
    assert_non_null(strstr(identity_error(x), "says its OCSP responder"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, checked_setup, checked_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_not_configured),
        TEST(test_nothing_to_ask),
        TEST(test_interval),
        TEST(test_next_update),
        TEST(test_earliest_next_update),
        TEST(test_retry),
        TEST(test_retry_before_next_update),
        TEST(test_not_at_once),
        TEST(test_cannot_be_begun),
        TEST(test_cannot_be_noted),
        TEST(test_soon),
        TEST(test_of_another_time),
        TEST(test_states),
        TEST(test_revoked),
        TEST(test_revoked_at_once),
        TEST(test_cannot_be_kept),
        TEST(test_older),
        TEST(test_stored_is_damaged),
        TEST(test_nonsense),
        TEST(test_staple),
        TEST(test_staple_at_once),
        TEST(test_endless_staple),
        TEST(test_no_staple),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
