/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One check: what it asks, in which order, and what becomes of it when the identity is another meanwhile. */
#include "revocation/check.h"

#include "tests/unit/revocation/checked.h"

static const Reply hold = { .kind = REPLY_HOLD };

/* The servers of each fetch since the start, with a semicolon after each. */
static const char *asked(const Machine *machine) {
    static char text[4096];

    text[0] = '\0';
    for (unsigned i = 0; i < enroller_count(machine->enroller); i++) {
        const EnrollerJob *job = enroller_job(machine->enroller, i);
        if (job->is_fetch)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s;", job->servers);
    }
    return text;
}

/* ---- tasks ---- */

/* Several addresses of one certificate are tried in turn by one job. */
static void test_several_addresses(void **state) {
    Machine *machine = *state;
    Identity *x =
        start_certified(machine, "[Revocation]\nCheck=crl\n",
                        (FakeIssue) { .starts = -60, .ends = LONG, .crl = { "http://down.example/a.crl", CRL_URL } });

    bring(machine, CRL(.ca = machine->ca, .made = -10, .next = 10000));
    await_fetches(machine, 1);
    assert_string_equal(asked(machine), "http://down.example/a.crl " CRL_URL ";");
    assert_int_equal(revocation_failures(x), 0);
    assert_true(machine_crls(x).size > 0);
}

static void test_kinds(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, "[Revocation]\nCheck=ocsp\n", (FakeIssue) BY_BOTH);

    await_fetches(machine, 1);
    assert_string_equal(asked(machine), OCSP_URL ";");
    _cleanup_bytes_ Bytes request = BYTES_NULL;
    assert_int_equal(ocsp_request(identity_leaf(x), identity_anchors(x)->list[0], &request), 0);
    assert_true(bytes_view_equal(bytes_view(&enroller_last(machine->enroller)->ocsp_request), bytes_view(&request)));
    /* Another way is gone at once. */
    machine_configure(machine, "x", "[Revocation]\nCheck=crl\n");
    identity_load(x);
    machine_settle(machine);
    await_fetches(machine, 2);
    assert_string_equal(asked(machine), OCSP_URL ";" CRL_URL ";");
    assert_int_equal(enroller_last(machine->enroller)->ocsp_request.size, 0);
    /* Also while the one before is still waited for. */
    enroller_script_fetch(machine->enroller, &hold);
    revocation_check_soon(x);
    machine_settle(machine);
    await_fetches(machine, 3);
    machine_configure(machine, "x", "[Revocation]\nCheck=ocsp\n");
    identity_load(x);
    machine_settle(machine);
    await_fetches(machine, 4);
    assert_false(enroller_job(machine->enroller, 2)->is_open);
    assert_string_equal(asked(machine), OCSP_URL ";" CRL_URL ";" CRL_URL ";" OCSP_URL ";");
}

/* CRL= comes with the leaf's own, but not twice. */
static void test_configured(void **state) {
    Machine *machine = *state;
    _cleanup_(fake_ca_free_p) FakeCa *intermediate =
        fake_ca_new_with_urls("intermediate", machine->ca, "http://root.example/root.crl", NULL);
    Identity *x = start_with_intermediate(machine,
                                          "[Revocation]\nCheck=crl\nCRL=" CRL_URL " http://other.example/1.crl "
                                          "http://other.example/2.crl\n",
                                          intermediate, (FakeIssue) BY_CRL);

    bring(machine, CRL(.ca = intermediate, .made = -10, .next = 10000));
    /* One of them is about the intermediate, the other about nobody in the chain. */
    bring(machine, CRL(.ca = machine->ca, .made = -10, .next = 10000));
    _cleanup_(fake_ca_free_p) FakeCa *other = fake_ca_new("other", NULL);
    bring(machine, CRL(.ca = other, .made = -10, .next = 10000));
    bring(machine, CRL(.ca = machine->ca, .made = -10, .next = 10000));
    await_fetches(machine, 4);
    assert_string_equal(asked(machine), CRL_URL ";http://other.example/1.crl;http://other.example/2.crl;"
                                                "http://root.example/root.crl;");
    assert_int_equal(revocation_failures(x), 1);
    machine_expect_log(machine, "Revocation of CN=x could not be checked by CRL: the CRL is not about CN=x", 1);
    /* What is configured revokes as well. */
    bring(machine, CRL(.ca = intermediate, .made = 0, .next = 10000));
    bring(machine, CRL(.ca = machine->ca, .listed = identity_chain(x)->list[1], .made = 0, .next = 10000));
    revocation_check_soon(x);
    machine_settle(machine);
    expect_state(x, STATE_REVOKED, "The CA has revoked CN=intermediate");
}

/* What is named by the certificate is about that certificate alone. */
static void test_named(void **state) {
    Machine *machine = *state;
    _cleanup_(fake_ca_free_p) FakeCa *intermediate = fake_ca_new("intermediate", machine->ca);
    Identity *x = start_with_intermediate(machine, "[Revocation]\nCheck=crl\n", intermediate, (FakeIssue) BY_CRL);

    bring(machine, CRL(.ca = machine->ca, .listed = identity_chain(x)->list[1], .made = -10, .next = 10000));
    await_fetches(machine, 1);
    machine_expect_log(machine, "could not be checked by CRL: the CRL is not about CN=x", 1);
    expect_state(x, STATE_READY, "");
}

/* Only a configured one: the leaf names none. */
static void test_configured_alone(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, "[Revocation]\nCheck=crl\nCRL=" CRL_URL "\n",
                                  (FakeIssue) { .starts = -60, .ends = LONG });

    bring(machine, CRL(.ca = machine->ca, .listed = identity_leaf(x), .made = -10, .next = 10000));
    await_fetches(machine, 1);
    expect_state(x, STATE_REVOKED, "The CA has revoked CN=x");
}

/* A chain that names more than may be asked: those that come first are, and nothing that is stored is thrown away. */
static void test_too_many(void **state) {
    Machine *machine = *state;
    FakeCa *ca[6] = { fake_ca_new_with_urls("ca0", machine->ca, "http://0.example/crl", "http://0.example/ocsp") };
    _cleanup_free_ char *beside = strdup(ca[0]->pem);
    CheckTasks tasks;

    for (unsigned i = 1; i < ARRAY_LENGTH(ca); i++) {
        char name[8], crl[32], ocsp[32];
        snprintf(name, sizeof name, "ca%u", i);
        snprintf(crl, sizeof crl, "http://%u.example/crl", i);
        snprintf(ocsp, sizeof ocsp, "http://%u.example/ocsp", i);
        ca[i] = fake_ca_new_with_urls(name, ca[i - 1], crl, ocsp);
        char *more = fake_concat(ca[i]->pem, beside);
        free(beside);
        beside = more;
    }
    Identity *x = start(machine, "[Revocation]\nCheck=crl,ocsp\nCRL=http://c.example/1 http://c.example/2 "
                                 "http://c.example/3\n");
    (void) machine_certify(machine, x, &(Certified) { .ca = ca[5], .issue = BY_BOTH, .beside = beside });
    assert_int_equal(identity_chain(x)->count, 7);
    assert_int_equal(tasks_collect(x, &tasks), 0); /* 7 of each, and 3 */
    assert_int_equal(tasks.count, TASKS_MAX);
    assert_true(tasks.is_cut);
    machine_expect_log(machine, "x: More than 16 CRLs and OCSP answers are to be fetched; the others are left out.", 1);
    assert_string_equal(tasks.list[0].urls[0], CRL_URL);
    assert_string_equal(tasks.list[1].urls[0], "http://c.example/1");
    assert_true(tasks.list[4].ocsp);
    assert_string_equal(tasks.list[5].urls[0], "http://5.example/crl");
    assert_int_equal(tasks.list[5].position, 1);
    assert_string_equal(tasks.list[15].urls[0], "http://0.example/crl");
    _cleanup_bytes_ Bytes crl = CRL(.ca = machine->ca, .made = -10, .next = 10000);
    Failure failure = FAILURE_INIT;
    assert_int_equal(store_crl_save(identity_store(x), "abc", bytes_view(&crl), &failure), 0);
    tasks_forget_others(x, &tasks);
    _cleanup_bytes_ Bytes stored = BYTES_NULL;
    assert_int_equal(store_crl_load(identity_store(x), "abc", &stored, &failure), 0);
    tasks.is_cut = false;
    tasks_forget_others(x, &tasks);
    assert_int_equal(store_crl_load(identity_store(x), "abc", &stored, &failure), -ENOENT);
    tasks_clear(&tasks);
    assert_int_equal(tasks.count, 0);
    for (unsigned i = 0; i < ARRAY_LENGTH(ca); i++)
        fake_ca_free(ca[i]);
}

/* The CRL of an issuer at an address: another of either is another CRL. */
static void test_ids(void **state) {
    Machine *machine = *state;
    _cleanup_(fake_ca_free_p) FakeCa *intermediate = fake_ca_new_with_urls("intermediate", machine->ca, CRL_URL, NULL);
    Identity *x = start_with_intermediate(machine, "[Revocation]\nCheck=crl\nCRL=http://c.example/1\n", intermediate,
                                          (FakeIssue) BY_CRL);
    CheckTasks tasks;

    assert_int_equal(tasks_collect(x, &tasks), 0);
    assert_int_equal(tasks.count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(strlen(tasks.list[i].id), 64);
    assert_string_not_equal(tasks.list[0].id, tasks.list[1].id);
    assert_string_not_equal(tasks.list[0].id, tasks.list[2].id);
    assert_string_not_equal(tasks.list[1].id, tasks.list[2].id);
    tasks_clear(&tasks);
}

/* Who has mended an address wants to see it asked. */
static void test_another_address(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, "[Revocation]\nCheck=crl\nCRL=http://c.example/wrong\n",
                                  (FakeIssue) { .starts = -60, .ends = LONG });

    bring_failure(machine, "get: 404");
    await_fetches(machine, 1);
    machine_configure(machine, "x", "[Revocation]\nCheck=crl\nCRL=http://c.example/right\n");
    identity_load(x);
    bring(machine, CRL(.ca = machine->ca, .made = -10, .next = 10000));
    machine_settle(machine);
    await_fetches(machine, 2);
    assert_string_equal(asked(machine), "http://c.example/wrong;http://c.example/right;");
    assert_true(machine_crls(x).size > 0);
    identity_load(x); /* and nothing in it is another */
    machine_settle(machine);
    await_fetches(machine, 2);
}

/* ---- one after another ---- */

/* One that fails keeps nothing from those after it. */
static void test_each(void **state) {
    Machine *machine = *state;
    Identity *x =
        start_certified(machine, "[Revocation]\nCheck=crl,ocsp\nCRL=http://c.example/1\n", (FakeIssue) BY_BOTH);

    enroller_script_fetch(machine->enroller, &hold);
    bring_failure(machine, "get: 404");
    bring(machine, OCSP(.ca = machine->ca, .about = identity_leaf(x), .made = -10, .next = 10000));
    await_fetches(machine, 1);
    machine_pass(machine, 5);
    assert_int_equal(fetches(machine), 1); /* the next waits for it */
    enroller_close(enroller_last(machine->enroller));
    await_fetches(machine, 3);
    assert_string_equal(asked(machine), CRL_URL ";http://c.example/1;" OCSP_URL ";");
    machine_expect_log(machine, "could not be checked by CRL: ", 2);
    machine_expect_log(machine, "could not be checked by CRL: get: 404", 1);
    assert_int_equal(revocation_failures(x), 2);
    assert_true(identity_staple(x).size > 0);
}

/* ---- meanwhile ---- */

/* A renewal comes in between: what was asked is about a chain that is no more, and the new one is asked about at once.
 */
static void test_renewed(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, "[Revocation]\nCheck=crl,ocsp\n", (FakeIssue) BY_BOTH);

    enroller_script_fetch(machine->enroller, &hold);
    await_fetches(machine, 1);
    _cleanup_bytes_ Bytes crl = CRL(.ca = machine->ca, .listed = identity_leaf(x), .made = -10, .next = 10000);
    const Reply reply = { .fetched = bytes_view(&crl) };
    (void) machine_certify(machine, x, &(Certified) { .issue = BY_BOTH });
    (void) identity_flush(x);
    enroller_reply(enroller_last(machine->enroller), &reply);
    bring(machine, CRL(.ca = machine->ca, .made = -5, .next = 10000));
    bring(machine, OCSP(.ca = machine->ca, .about = identity_leaf(x), .made = -10, .next = 10000));
    await_fetches(machine, 3);
    assert_string_equal(asked(machine), CRL_URL ";" CRL_URL ";" OCSP_URL ";");
    expect_state(x, STATE_READY, "");
    machine_expect_log(machine, "could not be checked", 0);
    assert_true(identity_staple(x).size > 0);
    /* An answer about the one before is none for the next. */
    (void) machine_certify(machine, x, &(Certified) { .issue = BY_BOTH });
    bring_failure(machine, "get: 503");
    bring_failure(machine, "get: 503");
    await_fetches(machine, 5);
    assert_int_equal(identity_staple(x).size, 0);
}

/* The same where it fails, which says nothing of the new chain either. */
static void test_renewed_and_failed(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, "[Revocation]\nCheck=crl\n", (FakeIssue) BY_CRL);

    enroller_script_fetch(machine->enroller, &hold);
    await_fetches(machine, 1);
    (void) machine_certify(machine, x, &(Certified) { .issue = BY_CRL });
    enroller_close(enroller_last(machine->enroller));
    bring(machine, CRL(.ca = machine->ca, .made = -5, .next = 10000));
    await_fetches(machine, 2);
    machine_expect_log(machine, "could not be checked", 0);
    assert_int_equal(revocation_failures(x), 0);
    expect_state(x, STATE_READY, "");
}

/* Out of use: nobody asks any more, and what is asked is given up. */
static void test_out_of_use(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, "[Revocation]\nCheck=crl,ocsp\n", (FakeIssue) BY_BOTH);

    enroller_script_fetch(machine->enroller, &hold);
    await_fetches(machine, 1);
    machine_configure(machine, "x", "[Revocation]\nCheck=crl,ocsp\n[Weather]\n");
    identity_load(x);
    machine_settle(machine);
    assert_false(enroller_last(machine->enroller)->is_open);
    machine_pass(machine, 7 * 3600);
    assert_int_equal(fetches(machine), 1);
    machine_configure(machine, "x", "[Revocation]\nCheck=crl,ocsp\n");
    identity_load(x);
    bring(machine, CRL(.ca = machine->ca, .made = -10, .next = 10000));
    machine_settle(machine);
    await_fetches(machine, 3);
}

/* Check= goes while something is asked: nobody waits for the answer. */
static void test_not_configured_any_more(void **state) {
    Machine *machine = *state;
    Identity *x = start_certified(machine, "[Revocation]\nCheck=ocsp\n", (FakeIssue) BY_OCSP);

    enroller_script_fetch(machine->enroller, &hold);
    await_fetches(machine, 1);
    machine_configure(machine, "x", "");
    identity_load(x);
    machine_settle(machine);
    assert_false(enroller_last(machine->enroller)->is_open);
    assert_int_equal(identity_staple(x).size, 0);
    machine_pass(machine, 7 * 3600);
    assert_int_equal(fetches(machine), 1);
    /* Nor is it kept when the check goes later. */
    machine_configure(machine, "x", "[Revocation]\nCheck=ocsp\n");
    identity_load(x);
    bring(machine, OCSP(.ca = machine->ca, .about = identity_leaf(x), .made = 0, .next = 10000));
    machine_settle(machine);
    await_fetches(machine, 2);
    assert_true(identity_staple(x).size > 0);
    machine_configure(machine, "x", "");
    identity_load(x);
    machine_settle(machine);
    assert_int_equal(identity_staple(x).size, 0);
}

/* A check under way at the end leaves nothing behind (the sanitizers look). */
static void test_at_the_end(void **state) {
    Machine *machine = *state;

    (void) start_certified(machine, "[Revocation]\nCheck=crl,ocsp\n", (FakeIssue) BY_BOTH);
    enroller_script_fetch(machine->enroller, &hold);
    await_fetches(machine, 1);
    machine_stop(machine);
    assert_null(check_free(NULL));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, checked_setup, checked_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_several_addresses),
        TEST(test_kinds),
        TEST(test_configured),
        TEST(test_named),
        TEST(test_configured_alone),
        TEST(test_too_many),
        TEST(test_ids),
        TEST(test_another_address),
        TEST(test_each),
        TEST(test_renewed),
        TEST(test_renewed_and_failed),
        TEST(test_out_of_use),
        TEST(test_not_configured_any_more),
        TEST(test_at_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
