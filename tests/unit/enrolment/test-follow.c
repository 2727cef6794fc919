/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an answer of /cacerts makes of the anchors: the first by its fingerprint, new ones, and when an old one leaves.
 */
#include "enrolment/follow.h"

#include "tests/unit/device/certify.h"
#include "tests/unit/device/clock.h"

static const Duty *const table[] = { &loading_duty, NULL };

typedef struct Fixture {
    Machine *machine;
    FakeCa *next; /* the CA that follows the machine's */
    char *cross;  /* NewWithOld */
    Identity *identity;
    Failure failure;
} Fixture;

static int setup(void **state) {
    Fixture *f = calloc(1, sizeof *f);

    f->machine = machine_new();
    f->machine->by_hand = true;
    f->next = fake_ca_new("root", NULL);
    f->cross = fake_ca_cross(f->next, f->machine->ca);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    Fixture *f = *state;
    Machine *machine = f->machine;

    fake_ca_free(f->next);
    free(f->cross);
    free(f);
    return machine_free(machine);
}

static void start(Fixture *f, const char *more) {
    f->identity = machine_start_alone(f->machine, more, table);
}

static void start_with_fingerprint(Fixture *f, const FakeCa *ca) {
    machine_configure_fingerprint(f->machine, "x", ca, "");
    machine_start_parts(f->machine, table);
    f->identity = machine_add(f->machine, "x");
}

static CertificateList parse(const char *pem) {
    CertificateList list = { 0 };
    Failure failure = FAILURE_INIT;

    if (certificate_list_from_pem(bytes_view_string(pem), 16, &list, &failure) < 0)
        fail_msg("%s", failure.text);
    return list;
}

static bool trusts(const Fixture *f, const FakeCa *ca) {
    _cleanup_certificates_ CertificateList list = parse(ca->pem);

    return certificate_list_contains(identity_anchors(f->identity), list.list[0]);
}

/* An answer of up to three certificates, and the chain of the server that it came from. */
static int roll(Fixture *f, const char *a, const char *b, const char *c, const char *server) {
    _cleanup_free_ char *two = fake_concat(a, b), *three = fake_concat(two, c);
    _cleanup_certificates_ CertificateList answer = parse(three);

    return follow_rollover(f->identity, &answer, bytes_view_string(server));
}

/* A server's certificate of that CA. */
static char *server_of(const FakeCa *ca) {
    const FakeRequest request = { .common_name = "ca.example", .dns = "ca.example", .server = true };
    gnutls_privkey_t key = fake_key_new(FAKE_KEY_P256);
    char *pem = fake_ca_issue(ca, key, &request);

    gnutls_privkey_deinit(key);
    return pem;
}

/* ---- the first ---- */

static int bootstrap(Fixture *f, const char *pem) {
    _cleanup_certificates_ CertificateList answer = parse(pem);

    f->failure = FAILURE_INIT;
    return follow_cacerts(f->identity, &answer, (BytesView) { NULL, 0 }, &f->failure);
}

static void test_first(void **state) {
    Fixture *f = *state;
    _cleanup_(fake_ca_free_p) FakeCa *issuing = fake_ca_new("issuing", f->machine->ca);
    _cleanup_free_ char *both = fake_concat(issuing->pem, f->machine->ca->pem);

    start_with_fingerprint(f, f->machine->ca);
    assert_int_equal(bootstrap(f, both), 0);
    assert_int_equal(identity_anchors(f->identity)->count, 1); /* the one, and nothing that came beside it */
    assert_true(trusts(f, f->machine->ca));
    machine_stop(f->machine);
    start_with_fingerprint(f, f->machine->ca);
    assert_true(trusts(f, f->machine->ca)); /* it is kept */
}

static void test_first_is_another(void **state) {
    Fixture *f = *state;

    start_with_fingerprint(f, f->next);
    assert_true(bootstrap(f, f->machine->ca->pem) < 0);
    assert_int_equal(f->failure.kind, FAILURE_CERTIFICATE_REJECTED);
    assert_int_equal(identity_anchors(f->identity)->count, 0);
}

/* With a clock that is behind, "not yet valid" proves nothing. */
static void test_first_with_a_clock_behind(void **state) {
    Fixture *f = *state;

    start_with_fingerprint(f, f->machine->ca);
    clock_set(-20 * 365 * 86400);
    domains_judge(device_domains(f->machine->device));
    assert_int_equal(bootstrap(f, f->machine->ca->pem), 0);
    assert_true(trusts(f, f->machine->ca));
}

static void test_first_cannot_be_stored(void **state) {
    Fixture *f = *state;

    start_with_fingerprint(f, f->machine->ca);
    machine_write(f->machine, "state/x/trust", "in the way");
    (void) rmdir(machine_path(f->machine, "state/x/trash"));
    machine_write(f->machine, "state/x/trash", "in the way too, or it would be set aside");
    assert_true(bootstrap(f, f->machine->ca->pem) < 0);
    assert_int_equal(f->failure.kind, FAILURE_STORAGE);
    assert_int_equal(identity_anchors(f->identity)->count, 0);
}

/* Once there is an anchor, the fingerprint opens nothing any more. */
static void test_not_the_first(void **state) {
    Fixture *f = *state;

    start_with_fingerprint(f, f->machine->ca);
    assert_int_equal(bootstrap(f, f->machine->ca->pem), 0);
    assert_int_equal(bootstrap(f, f->next->pem), 0); /* does not hinder a renewal */
    assert_int_equal(identity_anchors(f->identity)->count, 1);
    assert_true(trusts(f, f->machine->ca));
}

/* ---- new ones ---- */

static void test_nothing_new(void **state) {
    Fixture *f = *state;

    start(f, "");
    (void) identity_flush(f->identity);
    assert_int_equal(roll(f, f->machine->ca->pem, "", "", ""), 0);
    assert_int_equal(identity_flush(f->identity), 0);
    machine_expect_log(f->machine, "anchors changed", 0);
}

/* An enrolment's answer is followed as well, also by an identity that has one anchor. */
static void test_new_with_an_enrolment(void **state) {
    Fixture *f = *state;
    _cleanup_free_ char *two = fake_concat(f->machine->ca->pem, f->next->pem), *three = fake_concat(two, f->cross);

    start(f, "");
    assert_int_equal(identity_anchors(f->identity)->count, 1);
    assert_int_equal(bootstrap(f, three), 0);
    assert_true(trusts(f, f->next));
}

static void test_new(void **state) {
    Fixture *f = *state;

    start(f, "");
    (void) identity_flush(f->identity);
    assert_int_equal(roll(f, f->machine->ca->pem, f->next->pem, f->cross, ""), 1);
    assert_int_equal(identity_anchors(f->identity)->count, 2);
    assert_true(trusts(f, f->next));
    assert_int_equal(identity_flush(f->identity), CHANGED_ANCHORS);
    machine_expect_log(f->machine, "The CA's anchors changed by rollover: 1 before, 2 now.", 1);
    machine_stop(f->machine);
    start(f, "");
    assert_true(trusts(f, f->next));
    assert_true(trusts(f, f->machine->ca));
}

/* Nobody becomes an anchor by being sent: the old key must have signed it. */
static void test_unvouched(void **state) {
    Fixture *f = *state;
    _cleanup_(fake_ca_free_p) FakeCa *liar = fake_ca_new("root", NULL);
    _cleanup_free_ char *by_liar = fake_ca_cross(f->next, liar), *server = server_of(f->next);

    start(f, "");
    assert_int_equal(roll(f, f->machine->ca->pem, f->next->pem, "", server), 0);
    assert_int_equal(roll(f, f->machine->ca->pem, f->next->pem, by_liar, server), 0);
    assert_int_equal(roll(f, f->next->pem, by_liar, "", server), 0);
    assert_int_equal(identity_anchors(f->identity)->count, 1);
    assert_true(trusts(f, f->machine->ca));
}

static void test_not_stored(void **state) {
    Fixture *f = *state;

    start(f, "");
    assert_int_equal(unlink(machine_path(f->machine, "state/x/trust/anchors.pem")), 0);
    assert_int_equal(rmdir(machine_path(f->machine, "state/x/trust")), 0);
    machine_write(f->machine, "state/x/trust", "in the way");
    (void) rmdir(machine_path(f->machine, "state/x/trash"));
    machine_write(f->machine, "state/x/trash", "in the way too, or it would be set aside");
    assert_true(roll(f, f->machine->ca->pem, f->next->pem, f->cross, "") < 0);
    machine_expect_log(f->machine, "The CA's new anchors could not be stored: ", 1);
    assert_int_equal(identity_anchors(f->identity)->count, 1);
}

/* ---- old ones ---- */

/* Both are trusted, and our own certificate is of the new one. */
static void start_in_between(Fixture *f, const char *more) {
    start(f, more);
    assert_int_equal(roll(f, f->machine->ca->pem, f->next->pem, f->cross, ""), 1);
    (void) machine_certify(f->machine, f->identity, &(Certified) { .ca = f->next });
    (void) identity_flush(f->identity);
}

static void test_old_leaves(void **state) {
    Fixture *f = *state;
    _cleanup_free_ char *server = server_of(f->next);

    start_in_between(f, "");
    assert_int_equal(roll(f, f->next->pem, "", "", server), 1);
    assert_int_equal(identity_anchors(f->identity)->count, 1);
    assert_true(trusts(f, f->next));
    machine_expect_log(f->machine, "The CA's anchors changed by rollover: 2 before, 1 now.", 1);
}

/* While the answer has it, while it is what authenticates the server, or while nobody knows what does. */
static void test_old_stays(void **state) {
    Fixture *f = *state;
    _cleanup_free_ char *server = server_of(f->next), *old_server = server_of(f->machine->ca);

    start_in_between(f, "");
    assert_int_equal(roll(f, f->next->pem, f->machine->ca->pem, "", server), 0);
    assert_int_equal(roll(f, f->next->pem, "", "", old_server), 0);
    assert_int_equal(roll(f, f->next->pem, "", "", ""), 0);
    machine_expect_log(f->machine, "cannot be read, so no anchor leaves", 0);
    assert_int_equal(roll(f, f->next->pem, "", "", "nonsense"), 0);
    machine_expect_log(f->machine, "The chain of the CA's server cannot be read, so no anchor leaves: ", 1);
    assert_int_equal(identity_anchors(f->identity)->count, 2);
}

/* While our own chain needs it. */
static void test_old_is_needed(void **state) {
    Fixture *f = *state;
    _cleanup_free_ char *server = server_of(f->next);

    start_in_between(f, "");
    (void) machine_certify(f->machine, f->identity, &(Certified) { .ca = NULL });
    assert_int_equal(roll(f, f->next->pem, "", "", server), 0);
    assert_int_equal(identity_anchors(f->identity)->count, 2);
}

/* Without a certificate of ours nothing is known of what we need. */
static void test_without_a_certificate(void **state) {
    Fixture *f = *state;
    _cleanup_free_ char *server = server_of(f->next);

    start(f, "");
    assert_int_equal(roll(f, f->machine->ca->pem, f->next->pem, f->cross, ""), 1);
    assert_int_equal(roll(f, f->next->pem, "", "", server), 0);
    assert_int_equal(identity_anchors(f->identity)->count, 2);
}

/* Where the server has anchors of its own, it never speaks for ours. */
static void test_server_anchors(void **state) {
    Fixture *f = *state;
    _cleanup_free_ char *server = server_of(f->next);
    char more[128];

    snprintf(more, sizeof more, "ServerAnchors=%s\n", machine_path(f->machine, "etc/ca.pem"));
    start_in_between(f, more);
    assert_int_equal(roll(f, f->next->pem, "", "", server), 0);
    assert_int_equal(identity_anchors(f->identity)->count, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_first),
        TEST(test_first_is_another),
        TEST(test_first_with_a_clock_behind),
        TEST(test_first_cannot_be_stored),
        TEST(test_not_the_first),
        TEST(test_nothing_new),
        TEST(test_new),
        TEST(test_new_with_an_enrolment),
        TEST(test_unvouched),
        TEST(test_not_stored),
        TEST(test_old_leaves),
        TEST(test_old_stays),
        TEST(test_old_is_needed),
        TEST(test_without_a_certificate),
        TEST(test_server_anchors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
