/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The three sets of anchors: as configured, as kept, what of both counts after a change, and which trust domain that
 * makes. */
#include "identity/anchors.h"

#include "tests/unit/device/clock.h"
#include "tests/unit/device/machine.h"

#include <sys/stat.h>

#define KEPT "state/x/trust/anchors.pem"

static const Duty *const table[] = { &loading_duty, NULL };

typedef struct Fixture {
    Machine *machine;
    FakeCa *others[3];
} Fixture;

static int setup(void **state) {
    Fixture *f = calloc(1, sizeof *f);

    f->machine = machine_new();
    f->machine->by_hand = true;
    for (unsigned i = 0; i < ARRAY_LENGTH(f->others); i++) {
        char name[16];
        snprintf(name, sizeof name, "other %u", i);
        f->others[i] = fake_ca_new(name, NULL);
    }
    *state = f;
    return 0;
}

static int teardown(void **state) {
    Fixture *f = *state;
    Machine *machine = f->machine;

    for (unsigned i = 0; i < ARRAY_LENGTH(f->others); i++)
        fake_ca_free(f->others[i]);
    free(f);
    return machine_free(machine);
}

static Identity *start(Fixture *f) {
    machine_stop(f->machine);
    machine_start_parts(f->machine, table);
    Identity *identity = machine_add(f->machine, "x");
    return identity;
}

static Identity *start_with(Fixture *f, const char *more) {
    machine_configure(f->machine, "x", more);
    return start(f);
}

/* What etc/ca.pem has: the CA itself (if `own`) and others. */
static void set_file(Fixture *f, bool own, unsigned others) {
    char *text = fake_concat(own ? f->machine->ca->pem : "", "");

    for (unsigned i = 0; i < others; i++) {
        char *longer = fake_concat(text, f->others[i]->pem);
        free(text);
        text = longer;
    }
    machine_write(f->machine, "etc/ca.pem", "%s", text);
    free(text);
}

static CertificateList list_of(const FakeCa *ca) {
    CertificateList list = { 0 };
    Failure failure = FAILURE_INIT;

    assert_int_equal(certificate_list_from_pem(bytes_view_string(ca->pem), 1, &list, &failure), 0);
    return list;
}

static bool has(const CertificateList *anchors, const FakeCa *ca) {
    _cleanup_certificates_ CertificateList list = list_of(ca);

    return certificate_list_contains(anchors, list.list[0]);
}

/* Learned by rollover, beside those that are there. */
static void learn(Identity *identity, const FakeCa *ca) {
    CertificateList anchors = { 0 }, one = list_of(ca);
    Failure failure = FAILURE_INIT;

    for (size_t i = 0; i < identity_anchors(identity)->count; i++)
        assert_int_equal(certificate_list_add_ref(&anchors, identity_anchors(identity)->list[i]), 0);
    assert_int_equal(certificate_list_add(&anchors, one.list[0]), 0);
    free(one.list);
    assert_int_equal(identity_set_anchors(identity, &anchors, &failure), 0);
    assert_int_equal(anchors.count, 0); /* emptied */
}

static ino_t inode(const Fixture *f) {
    struct stat status = { .st_ino = 0 };

    (void) stat(machine_path(f->machine, KEPT), &status);
    return status.st_ino;
}

static void test_configured(void **state) {
    Fixture *f = *state;
    Identity *identity = start_with(f, "");

    assert_int_equal(identity_anchors(identity)->count, 1);
    assert_true(has(identity_anchors(identity), f->machine->ca));
    assert_ptr_equal(identity_peer_anchors(identity), identity_anchors(identity));
    assert_true(identity_flush(identity) & CHANGED_ANCHORS);
    _cleanup_free_ char *kept = machine_read(f->machine, KEPT);
    assert_non_null(kept);
    assert_int_equal(strncmp(kept, "configured-sha256: ", 19), 0);
    assert_non_null(strstr(kept, f->machine->ca->pem));
    /* Nothing is another: nothing is written, told or said. */
    ino_t before = inode(f);
    identity_load(identity);
    assert_int_equal(inode(f), before);
    assert_false(identity_flush(identity) & CHANGED_ANCHORS);
    identity = start(f);
    assert_int_equal(inode(f), before);
    machine_expect_log(f->machine, "The configured anchors changed", 0);
}

static void test_cannot_be(void **state) {
    Fixture *f = *state;
    Identity *identity = start_with(f, "");

    machine_write(f->machine, "etc/ca.pem", "no certificate");
    identity_load(identity);
    assert_int_equal(identity_state(identity), STATE_MISCONFIGURED);
    assert_non_null(strstr(identity_fault(identity), "Anchors of x: "));
    assert_non_null(strstr(identity_fault(identity), "etc/ca.pem"));
    assert_int_equal(unlink(machine_path(f->machine, "etc/ca.pem")), 0);
    identity_load(identity);
    assert_int_equal(identity_state(identity), STATE_MISCONFIGURED);
    assert_non_null(strstr(identity_fault(identity), "cannot read"));
    set_file(f, true, 0);
    identity_load(identity);
    assert_int_equal(identity_state(identity), STATE_EMPTY);
    assert_true(has(identity_anchors(identity), f->machine->ca));
}

static void test_peers_and_servers(void **state) {
    Fixture *f = *state;
    char more[512];
    Bytes pem = BYTES_NULL;
    Failure failure = FAILURE_INIT;

    machine_write(f->machine, "etc/peers.pem", "%s%s", f->others[0]->pem, f->others[1]->pem);
    machine_write(f->machine, "etc/server.pem", "%s", f->others[2]->pem);
    snprintf(more, sizeof more, "ServerAnchors=%s\n[Peers]\nAnchors=%s\n", machine_path(f->machine, "etc/server.pem"),
             machine_path(f->machine, "etc/peers.pem"));
    Identity *identity = start_with(f, more);
    assert_int_equal(identity_anchors(identity)->count, 1);
    assert_int_equal(identity_peer_anchors(identity)->count, 2);
    assert_true(has(identity_peer_anchors(identity), f->others[0]));
    assert_int_equal(identity_server_anchors(identity, &pem, &failure), 0);
    assert_string_equal((char *) pem.data, f->others[2]->pem);
    bytes_clear(&pem);
    machine_configure(f->machine, "x", ""); /* the first is the default of the others */
    identity_load(identity);
    assert_ptr_equal(identity_peer_anchors(identity), identity_anchors(identity));
    assert_int_equal(identity_server_anchors(identity, &pem, &failure), 0);
    assert_string_equal((char *) pem.data, f->machine->ca->pem);
    bytes_clear(&pem);
    machine_configure(f->machine, "x", more);
    identity_load(identity);
    assert_int_equal(unlink(machine_path(f->machine, "etc/server.pem")), 0);
    assert_true(identity_server_anchors(identity, &pem, &failure) < 0); /* read when it is needed */
    expect_failure(&failure, FAILURE_INVALID_ARGUMENT, "etc/server.pem");
    assert_int_equal(pem.size, 0);
    assert_int_equal(unlink(machine_path(f->machine, "etc/peers.pem")), 0);
    identity_load(identity);
    assert_int_equal(identity_state(identity), STATE_MISCONFIGURED);
    assert_non_null(strstr(identity_fault(identity), "etc/peers.pem"));
}

/* ---- what was learned beside what is configured ---- */

static void test_learned_stays(void **state) {
    Fixture *f = *state;
    Identity *identity = start_with(f, "");

    (void) identity_flush(identity);
    learn(identity, f->others[0]);
    assert_int_equal(identity_anchors(identity)->count, 2);
    assert_int_equal(identity_flush(identity), CHANGED_ANCHORS);
    identity = start(f);
    assert_int_equal(identity_anchors(identity)->count, 2);
    assert_true(has(identity_anchors(identity), f->others[0]));
    machine_expect_log(f->machine, "The configured anchors changed", 0);
}

static void test_added(void **state) {
    Fixture *f = *state;
    Identity *identity = start_with(f, "");

    learn(identity, f->others[2]);
    set_file(f, true, 1);
    identity_load(identity);
    assert_int_equal(identity_anchors(identity)->count, 3); /* who adds one says nothing against the others */
    assert_true(has(identity_anchors(identity), f->others[0]));
    assert_true(has(identity_anchors(identity), f->others[2]));
    machine_expect_log(f->machine, "The configured anchors changed: 2 anchors before, 3 now.", 1);
    identity = start(f);
    assert_int_equal(identity_anchors(identity)->count, 3);
    machine_expect_log(f->machine, "The configured anchors changed", 1);
}

static void test_taken_out(void **state) {
    Fixture *f = *state;

    set_file(f, true, 2);
    Identity *identity = start_with(f, "");
    learn(identity, f->others[2]);
    assert_int_equal(identity_anchors(identity)->count, 4);
    set_file(f, true, 1); /* who takes one out trusts nothing that it may have vouched for */
    identity_load(identity);
    assert_int_equal(identity_anchors(identity)->count, 2);
    assert_false(has(identity_anchors(identity), f->others[1]));
    assert_false(has(identity_anchors(identity), f->others[2]));
    identity = start(f);
    assert_int_equal(identity_anchors(identity)->count, 2);
}

/* A rollover dropped an anchor that is configured still: it does not come back with each start. */
static void test_dropped_by_rollover(void **state) {
    Fixture *f = *state;

    set_file(f, true, 1);
    Identity *identity = start_with(f, "");
    CertificateList one = list_of(f->others[0]);
    Failure failure = FAILURE_INIT;
    assert_int_equal(identity_set_anchors(identity, &one, &failure), 0);
    identity = start(f);
    assert_int_equal(identity_anchors(identity)->count, 1);
    assert_true(has(identity_anchors(identity), f->others[0]));
}

/* The file changes, and before a reload a rollover comes: the change is noticed by the reload all the same. */
static void test_changed_before_a_rollover(void **state) {
    Fixture *f = *state;

    set_file(f, true, 1);
    Identity *identity = start_with(f, "");
    set_file(f, true, 0);
    learn(identity, f->others[2]);
    identity_load(identity);
    assert_int_equal(identity_anchors(identity)->count, 1);
    assert_false(has(identity_anchors(identity), f->others[2]));
}

static void test_same_again(void **state) {
    Fixture *f = *state;
    Identity *identity = start_with(f, "");
    CertificateList same = list_of(f->machine->ca);
    Failure failure = FAILURE_INIT;

    (void) identity_flush(identity);
    assert_int_equal(identity_set_anchors(identity, &same, &failure), 0);
    assert_int_equal(identity_flush(identity), 0);
}

static void test_not_stored(void **state) {
    Fixture *f = *state;
    Identity *identity = start_with(f, "");
    CertificateList other = list_of(f->others[0]);
    Failure failure = FAILURE_INIT;

    (void) identity_flush(identity);
    assert_int_equal(unlink(machine_path(f->machine, KEPT)), 0);
    assert_int_equal(mkdir(machine_path(f->machine, KEPT), 0700), 0);
    assert_int_equal(mkdir(machine_path(f->machine, KEPT "/full"), 0700), 0);
    assert_true(identity_set_anchors(identity, &other, &failure) < 0);
    assert_int_equal(failure.kind, FAILURE_STORAGE);
    assert_int_equal(other.count, 0);
    assert_true(has(identity_anchors(identity), f->machine->ca)); /* as it was */
    assert_int_equal(identity_flush(identity), 0);
}

/* ---- the disk ---- */

static void test_damaged(void **state) {
    static const char *const contents[] = { "nonsense", "configured-sha256: \n", "-----BEGIN CERTIFICATE-----\n" };
    Fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LENGTH(contents); i++) {
        Identity *identity = start_with(f, "");
        machine_stop(f->machine);
        machine_write(f->machine, KEPT, "%s", contents[i]);
        machine_forget_log(f->machine);
        identity = start(f);
        machine_expect_log(f->machine, "trust/anchors.pem is damaged and counts for nothing", 1);
        assert_int_equal(identity_state(identity), STATE_EMPTY);
        assert_int_equal(identity_anchors(identity)->count, 1);
        assert_true(has(identity_anchors(identity), f->machine->ca));
        identity = start(f); /* it was written anew */
        machine_expect_log(f->machine, "trust/anchors.pem is damaged", 1);
    }
}

/* ---- a fingerprint ---- */

static void test_fingerprint(void **state) {
    Fixture *f = *state;
    Bytes pem = BYTES_NULL;
    Failure failure = FAILURE_INIT;

    machine_configure_fingerprint(f->machine, "x", f->machine->ca, "");
    Identity *identity = start(f);
    assert_int_equal(identity_state(identity), STATE_EMPTY);
    assert_int_equal(identity_anchors(identity)->count, 0);
    assert_int_equal(identity_server_anchors(identity, &pem, &failure), 0);
    assert_int_equal(pem.size, 0);
    assert_int_equal(access(machine_path(f->machine, KEPT), F_OK), -1);

    CertificateList first = list_of(f->machine->ca);
    assert_int_equal(identity_set_anchors(identity, &first, &failure), 0);
    identity = start(f);
    assert_int_equal(identity_anchors(identity)->count, 1);
    /* Another fingerprint: what the first brought counts no more. */
    machine_configure_fingerprint(f->machine, "x", f->others[0], "");
    identity_load(identity);
    assert_int_equal(identity_anchors(identity)->count, 0);
    assert_int_equal(access(machine_path(f->machine, KEPT), F_OK), -1);
    identity = start(f);
    assert_int_equal(identity_anchors(identity)->count, 0);
    /* Nor when the first fingerprint comes back: its root is fetched again. */
    machine_configure_fingerprint(f->machine, "x", f->machine->ca, "");
    identity_load(identity);
    assert_int_equal(identity_anchors(identity)->count, 0);
}

/* The same where the change is found at a start. */
static void test_fingerprint_changed_meanwhile(void **state) {
    Fixture *f = *state;
    Failure failure = FAILURE_INIT;

    machine_configure_fingerprint(f->machine, "x", f->machine->ca, "");
    Identity *identity = start(f);
    CertificateList first = list_of(f->machine->ca);
    assert_int_equal(identity_set_anchors(identity, &first, &failure), 0);
    machine_configure_fingerprint(f->machine, "x", f->others[0], "");
    identity = start(f);
    assert_int_equal(identity_anchors(identity)->count, 0);
    assert_int_equal(access(machine_path(f->machine, KEPT), F_OK), -1);
    machine_expect_log(f->machine, "The configured anchors changed: 1 anchors before, 0 now.", 1);
}

static void test_fingerprint_damaged(void **state) {
    Fixture *f = *state;

    machine_configure_fingerprint(f->machine, "x", f->machine->ca, "");
    Identity *identity = start(f);
    CertificateList first = list_of(f->machine->ca);
    Failure failure = FAILURE_INIT;
    assert_int_equal(identity_set_anchors(identity, &first, &failure), 0);
    machine_stop(f->machine);
    machine_write(f->machine, KEPT, "nonsense");
    identity = start(f);
    assert_int_equal(identity_anchors(identity)->count, 0); /* fetched anew */
    assert_int_equal(identity_state(identity), STATE_EMPTY);
}

/* ---- trust domains ---- */

static void domain_of(Fixture *f, const char *name, const char *anchors, char ret[static 65]) {
    char path[64];

    machine_write(f->machine, "etc/domain.pem", "%s", anchors);
    snprintf(path, sizeof path, "etc/identities/%s.conf", name);
    machine_write(f->machine, path, "[Identity]\nSubject=CN=x\n[Enrollment]\nServer=https://ca.example/\nAnchors=%s\n",
                  machine_path(f->machine, "etc/domain.pem"));
    Identity *identity = machine_add(f->machine, name);
    assert_int_equal(anchors_domain(identity, ret), 0);
    assert_string_equal(identity_domain(identity), ret);
}

static void test_domains(void **state) {
    Fixture *f = *state;
    char a[65], b[65], c[65], d[65], e[65], g[65];
    _cleanup_free_ char *two = fake_concat(f->others[0]->pem, f->others[1]->pem),
                        *reversed = fake_concat(f->others[1]->pem, f->others[0]->pem);

    machine_start_parts(f->machine, table);
    domain_of(f, "a", f->others[0]->pem, a);
    domain_of(f, "b", f->others[0]->pem, b);
    domain_of(f, "c", two, c);
    domain_of(f, "d", reversed, d);
    assert_string_equal(a, b); /* identities with the same anchors */
    assert_string_equal(c, d); /* in any order */
    assert_string_not_equal(a, c);
    /* Those that know none are alone. */
    machine_configure_fingerprint(f->machine, "e", f->machine->ca, "");
    machine_configure_fingerprint(f->machine, "g", f->machine->ca, "");
    assert_int_equal(anchors_domain(machine_add(f->machine, "e"), e), 0);
    assert_int_equal(anchors_domain(machine_add(f->machine, "g"), g), 0);
    assert_string_not_equal(e, g);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_configured),
        TEST(test_cannot_be),
        TEST(test_peers_and_servers),
        TEST(test_learned_stays),
        TEST(test_added),
        TEST(test_taken_out),
        TEST(test_dropped_by_rollover),
        TEST(test_changed_before_a_rollover),
        TEST(test_same_again),
        TEST(test_not_stored),
        TEST(test_damaged),
        TEST(test_fingerprint),
        TEST(test_fingerprint_changed_meanwhile),
        TEST(test_fingerprint_damaged),
        TEST(test_domains),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
