/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The gate before a certificate is used: what is let through, and the refusal of everything else, after which all is as
 * before. */
#include "enrolment/commit.h"

#include "enrolment/pending.h"
#include "tests/unit/device/certify.h"
#include "tests/unit/device/clock.h"

#include <sys/stat.h>

static const Duty *const table[] = { &loading_duty, NULL };

typedef struct Fixture {
    Machine *machine;
    Identity *identity;
    StoredPending pending; /* of `key`, in the store as well */
    TpmKey *key;
    int64_t begins;
    Failure failure;
} Fixture;

static int setup(void **state) {
    Fixture *f = calloc(1, sizeof *f);

    f->machine = machine_new();
    f->machine->by_hand = true;
    *state = f;
    return 0;
}

static void forget_pending(Fixture *f) {
    stored_pending_clear(&f->pending);
    f->key = tpm_key_free(f->key);
}

static int teardown(void **state) {
    Fixture *f = *state;
    Machine *machine = f->machine;

    forget_pending(f);
    free(f);
    return machine_free(machine);
}

static void load(Fixture *f, const char *more) {
    machine_configure(f->machine, "x", more);
    machine_start_parts(f->machine, table);
    f->identity = machine_add(f->machine, "x");
}

static void start(Fixture *f) {
    load(f, "");
}

static void save_pending(Fixture *f) {
    assert_int_equal(store_pending_save(identity_store(f->identity), &f->pending, &f->failure), 0);
}

/* A new key is pending. */
static void begin(Fixture *f) {
    forget_pending(f);
    f->key = machine_key(f->machine);
    assert_int_equal(pending_from_key(f->key, &f->pending), 0);
    save_pending(f);
}

static int commit_list(Fixture *f, const CertificateList *issued, const CertificateList *helpers, bool is_renewal) {
    const CommitInput input = { issued, helpers, &f->pending, is_renewal };

    f->failure = FAILURE_INIT;
    f->begins = 0;
    return commit(f->identity, &input, &f->begins, &f->failure);
}

/* A certificate for the pending key, issued so. */
static int try_commit(Fixture *f, const Certified *how) {
    _cleanup_certificates_ CertificateList issued = machine_issue(f->machine, f->key, how);

    return commit_list(f, &issued, NULL, false);
}

static int try_renewal(Fixture *f, const Certified *how) {
    _cleanup_certificates_ CertificateList issued = machine_issue(f->machine, f->key, how);

    return commit_list(f, &issued, NULL, true);
}

/* It was refused so, and generation `number` is as before. */
static void expect_refused(Fixture *f, int r, uint32_t number, FailureKind kind, const char *text) {
    assert_true(r < 0);
    expect_failure(&f->failure, kind, text);
    if (kind == FAILURE_CERTIFICATE_REJECTED && !strstr(text, "The "))
        expect_failure(&f->failure, kind, "The certificate for x was refused: ");
    assert_int_equal(identity_generation(f->identity), number);
    assert_int_equal(store_current(identity_store(f->identity)), number);
}

static void expect_good(const Fixture *f, int r, uint32_t number) {
    if (r < 0)
        fail_msg("%s", f->failure.text);
    assert_int_equal(r, 0);
    assert_int_equal(identity_generation(f->identity), number);
    assert_int_equal(store_current(identity_store(f->identity)), number);
    assert_int_equal(identity_state(f->identity), STATE_READY);
}

/* ---- let through ---- */

static void test_first(void **state) {
    Fixture *f = *state;

    start(f);
    begin(f);
    expect_good(f, try_commit(f, &(Certified) { .ca = NULL }), 1);
    machine_expect_log(f->machine, "x: Generation 1: CN=x, serial number ", 1);
    assert_int_equal(access(machine_path(f->machine, "state/x/pending"), F_OK), -1);
}

/* In whatever order they came, with what is in none of the paths left out. */
static void test_order_and_helpers(void **state) {
    Fixture *f = *state;
    _cleanup_(fake_ca_free_p) FakeCa *issuing = fake_ca_new("issuing", f->machine->ca), *other = fake_ca_new("o", NULL);
    _cleanup_free_ char *beside = fake_concat(other->pem, issuing->pem);
    CertificateList helpers = { 0 };

    start(f);
    begin(f);
    _cleanup_certificates_ CertificateList issued =
        machine_issue(f->machine, f->key, &(Certified) { .ca = issuing, .beside = beside });
    Certificate *leaf = issued.list[0];
    issued.list[0] = issued.list[2]; /* the issuer, a stranger, the leaf */
    issued.list[2] = leaf;
    expect_good(f, commit_list(f, &issued, NULL, false), 1);
    assert_int_equal(identity_chain(f->identity)->count, 2);
    /* The issuer may come with /cacerts alone. */
    begin(f);
    _cleanup_certificates_ CertificateList alone =
        machine_issue(f->machine, f->key, &(Certified) { .ca = issuing, .issue = { .starts = -10, .ends = 4000 } });
    assert_true(commit_list(f, &alone, NULL, false) < 0);
    assert_int_equal(certificate_list_from_pem(bytes_view_string(beside), 4, &helpers, &f->failure), 0);
    expect_good(f, commit_list(f, &alone, &helpers, false), 2);
    assert_int_equal(identity_chain(f->identity)->count, 2);
    certificate_list_clear(&helpers);
}

/* Law 1: an equal or an earlier end is no reason to refuse, and the latter is said. */
static void test_earlier_end(void **state) {
    Fixture *f = *state;

    start(f);
    begin(f);
    expect_good(f, try_commit(f, &(Certified) { .issue = { .starts = -10, .ends = 5000 } }), 1);
    begin(f);
    expect_good(f, try_renewal(f, &(Certified) { .issue = { .starts = -10, .ends = 5000 } }), 2);
    machine_expect_log(f->machine, "before the one that it replaces", 0);
    begin(f);
    expect_good(f, try_renewal(f, &(Certified) { .issue = { .starts = -10, .ends = 600 } }), 3);
    machine_expect_log(f->machine, "before the one that it replaces", 1);
    machine_expect_log(f->machine, "the CA seems to have shortened its lifetimes", 1);
}

static void test_early(void **state) {
    Fixture *f = *state;

    start(f);
    begin(f);
    expect_good(f, try_commit(f, &(Certified) { .ca = NULL }), 1);
    begin(f);
    _cleanup_certificates_ CertificateList issued =
        machine_issue(f->machine, f->key, &(Certified) { .issue = { .starts = 600, .ends = 9000 } });
    assert_int_equal(commit_list(f, &issued, NULL, false), COMMIT_EARLY);
    assert_int_equal(f->begins, issued.list[0]->not_before);
    assert_int_equal(identity_generation(f->identity), 1); /* nothing was done */
    assert_int_equal(access(machine_path(f->machine, "state/x/pending/key.pem"), F_OK), 0);
    clock_pass(601);
    expect_good(f, commit_list(f, &issued, NULL, false), 2);
}

/* Where none works, a little ahead is taken at once, some days are waited for, and more is refused. */
static void test_early_without_another(void **state) {
    Fixture *f = *state;

    start(f);
    begin(f);
    assert_int_equal(try_commit(f, &(Certified) { .issue = { .starts = 4000, .ends = 900000 } }), COMMIT_EARLY);
    expect_refused(f, try_commit(f, &(Certified) { .issue = { .starts = 8 * 86400, .ends = 80 * 86400 } }), 0,
                   FAILURE_CERTIFICATE_REJECTED, "");
    expect_good(f, try_commit(f, &(Certified) { .issue = { .starts = 200, .ends = 9000 } }), 1);
}

static void test_clock_is_behind(void **state) {
    Fixture *f = *state;

    start(f);
    begin(f);
    _cleanup_certificates_ CertificateList issued = machine_issue(f->machine, f->key, &(Certified) { .ca = NULL });
    clock_set(-20 * 365 * 86400);
    domains_judge(device_domains(f->machine->device));
    expect_good(f, commit_list(f, &issued, NULL, false), 1);
}

/* ---- refused ---- */

static void test_foreign_key(void **state) {
    Fixture *f = *state;

    start(f);
    begin(f);
    expect_refused(f, try_commit(f, &(Certified) { .issue = { .other_key = true } }), 0, FAILURE_CERTIFICATE_REJECTED,
                   "none of the 1 certificates that came is for the key that was asked for");
}

static void test_no_anchors(void **state) {
    Fixture *f = *state;

    machine_configure_fingerprint(f->machine, "x", f->machine->ca, "");
    machine_start_parts(f->machine, table);
    f->identity = machine_add(f->machine, "x");
    begin(f);
    expect_refused(f, try_commit(f, &(Certified) { .ca = NULL }), 0, FAILURE_CERTIFICATE_REJECTED,
                   "there are no anchors to verify a chain with: set Anchors= or AnchorsFingerprint= in [Enrollment]");
}

static void test_foreign_ca(void **state) {
    Fixture *f = *state;
    _cleanup_(fake_ca_free_p) FakeCa *other = fake_ca_new("other", NULL);

    start(f);
    begin(f);
    expect_refused(f, try_commit(f, &(Certified) { .ca = other, .beside = other->pem }), 0,
                   FAILURE_CERTIFICATE_REJECTED, "");
}

static void test_other_names(void **state) {
    Fixture *f = *state;

    start(f);
    begin(f);
    f->pending.request = machine_request(f->machine, f->key, "CN=x", "x.example");
    save_pending(f);
    expect_refused(f, try_commit(f, &(Certified) { .subject = "CN=y", .dns = "x.example" }), 0,
                   FAILURE_CERTIFICATE_REJECTED, "its subject is \"CN=y\", but the request has \"CN=x\"");
    expect_refused(f, try_commit(f, &(Certified) { .dns = "y.example" }), 0, FAILURE_CERTIFICATE_REJECTED,
                   "its subject alternative names are ");
    expect_good(f, try_commit(f, &(Certified) { .dns = "x.example" }), 1);
    /* A renewal has the names of what it renews, byte for byte. */
    begin(f);
    expect_refused(f, try_renewal(f, &(Certified) { .subject = "CN=y", .dns = "x.example" }), 1,
                   FAILURE_CERTIFICATE_REJECTED, "its subject is ");
    expect_refused(f, try_renewal(f, &(Certified) { .ca = NULL }), 1, FAILURE_CERTIFICATE_REJECTED,
                   "its subject alternative names are ");
    expect_good(f, try_renewal(f, &(Certified) { .dns = "x.example" }), 2);
}

static void test_same_certificate(void **state) {
    Fixture *f = *state;

    start(f);
    begin(f);
    _cleanup_certificates_ CertificateList issued = machine_issue(f->machine, f->key, &(Certified) { .ca = NULL });
    expect_good(f, commit_list(f, &issued, NULL, false), 1);
    save_pending(f);
    expect_refused(f, commit_list(f, &issued, NULL, false), 1, FAILURE_CERTIFICATE_REJECTED,
                   "is the very certificate that is to be renewed");
    assert_true(commit_list(f, &issued, NULL, true) < 0);
}

static void test_too_short(void **state) {
    Fixture *f = *state;

    start(f);
    begin(f);
    expect_refused(f, try_commit(f, &(Certified) { .issue = { .starts = -100, .ends = 5 } }), 0,
                   FAILURE_CERTIFICATE_REJECTED, "less than 10 seconds are left, too little to renew it in");
    expect_good(f, try_commit(f, &(Certified) { .issue = { .starts = -100, .ends = 20 } }), 1);
    begin(f);
    expect_refused(f, try_commit(f, &(Certified) { .issue = { .starts = -100, .ends = -50 } }), 1,
                   FAILURE_CERTIFICATE_REJECTED, "");
}

static void test_begins_too_late(void **state) {
    Fixture *f = *state;

    start(f);
    begin(f);
    expect_good(f, try_commit(f, &(Certified) { .ca = NULL }), 1); /* for an hour */
    begin(f);
    expect_refused(f, try_commit(f, &(Certified) { .issue = { .starts = 4000, .ends = 9000 } }), 1,
                   FAILURE_CERTIFICATE_REJECTED, "too late to wait for; are the clocks of the CA and of this device");
}

/* ---- usages ---- */

static void test_usage_lacking(void **state) {
    Fixture *f = *state;

    load(f, "[Access]\ntls-client=user:root\ntls-server=user:root\n");
    begin(f);
    expect_good(f, try_commit(f, &(Certified) { .issue = { .client = true, .server = true } }), 1);
    begin(f);
    expect_refused(f, try_commit(f, &(Certified) { .issue = { .client = true } }), 1, FAILURE_CERTIFICATE_REJECTED,
                   "is not for TLS servers (extended key usage), for which x is lent and the present certificate is");
    expect_refused(f, try_commit(f, &(Certified) { .issue = { .server = true } }), 1, FAILURE_CERTIFICATE_REJECTED,
                   "is not for TLS clients (extended key usage)");
    expect_good(f, try_commit(f, &(Certified) { .issue = { .no_usage = true } }), 2); /* which forbids none */
}

/* What the present one has not, either, is no reason: taken, and said. */
static void test_usage_that_was_never_there(void **state) {
    Fixture *f = *state;

    load(f, "[Access]\ntls-client=user:root\n");
    begin(f);
    expect_good(f, try_commit(f, &(Certified) { .issue = { .server = true } }), 1);
    machine_expect_log(f->machine, "The new certificate is taken, since the present one is no better", 1);
    begin(f);
    expect_good(f, try_commit(f, &(Certified) { .issue = { .server = true } }), 2);
    begin(f);
    expect_good(f, try_commit(f, &(Certified) { .issue = { .client = true } }), 3);
    machine_expect_log(f->machine, "The new certificate is taken, since", 2);
}

/* An identity that is not lent for it may lose it; and one that is for `data-raw` alone asks for none. */
static void test_usage_that_nobody_needs(void **state) {
    Fixture *f = *state;

    load(f, "[Access]\ntls-client=user:root\n");
    begin(f);
    expect_good(f, try_commit(f, &(Certified) { .issue = { .client = true, .server = true } }), 1);
    begin(f);
    expect_good(f, try_commit(f, &(Certified) { .issue = { .client = true } }), 2);
    machine_configure(f->machine, "x", "[Access]\ndata-raw=user:root\n");
    identity_load(f->identity);
    begin(f);
    expect_good(f, try_commit(f, &(Certified) { .issue = { .server = true } }), 3);
}

/* The usages of the whole chain count: for what the identity is lent, and where it is lent for nothing for what the CA
 * wrote into the certificate itself. */
static void test_usage_of_the_issuer(void **state) {
    Fixture *f = *state;
    _cleanup_(fake_ca_free_p) FakeCa *servers = fake_ca_new_for("servers", f->machine->ca, GNUTLS_KP_TLS_WWW_SERVER);
    const Certified client = { .ca = servers, .issue = { .client = true }, .beside = servers->pem },
                    server = { .ca = servers, .issue = { .server = true }, .beside = servers->pem },
                    both = { .ca = servers, .issue = { .client = true, .server = true }, .beside = servers->pem };

    start(f);
    begin(f);
    expect_refused(f, try_commit(f, &client), 0, FAILURE_CERTIFICATE_REJECTED, "servers");
    expect_refused(f, try_commit(f, &both), 0, FAILURE_CERTIFICATE_REJECTED, "servers");
    expect_good(f, try_commit(f, &server), 1);
    machine_configure(f->machine, "x", "[Access]\ntls-client=user:root\n");
    identity_load(f->identity);
    begin(f); /* the present one is none for clients either: taken, and said */
    expect_good(f, try_commit(f, &both), 2);
    machine_expect_log(f->machine, "The new certificate is taken, since the present one is no better", 1);
}

/* ---- keys ---- */

static void test_revoked_key(void **state) {
    static const IdentityRevocation revocations[] = { { true, false, 5 }, { false, true, 5 } };
    Fixture *f = *state;

    start(f);
    for (uint32_t i = 0; i < ARRAY_LENGTH(revocations); i++) {
        begin(f);
        expect_good(f, try_commit(f, &(Certified) { .ca = NULL }), i + 1);
        save_pending(f); /* the same key again */
        identity_set_revocation(f->identity, &revocations[i]);
        identity_evaluate(f->identity);
        int r = try_commit(f, &(Certified) { .ca = NULL });
        expect_refused(f, r, i + 1, FAILURE_CERTIFICATE_REJECTED,
                       "The certificate is for the key of x that was revoked: a new key is needed");
        assert_int_equal(identity_state(f->identity), STATE_REVOKED);
    }
    begin(f);
    expect_good(f, try_commit(f, &(Certified) { .ca = NULL }), 3); /* a new key leads out */
}

static void test_another_tpm(void **state) {
    Fixture *f = *state;

    start(f);
    begin(f);
    _cleanup_certificates_ CertificateList issued = machine_issue(f->machine, f->key, &(Certified) { .ca = NULL });
    unsigned looked = f->machine->looked;
    assert_int_equal(swtpm_kill(f->machine->swtpm), 0);
    assert_int_equal(swtpm_replace(f->machine->swtpm), 0);
    assert_int_equal(swtpm_start(f->machine->swtpm), 0);
    device_look_at_tpm(f->machine->device);
    machine_until(f->machine, f->machine->looked > looked && tpm_watch_is_ready(device_tpm(f->machine->device)));
    expect_refused(f, commit_list(f, &issued, NULL, false), 0, FAILURE_CERTIFICATE_REJECTED,
                   "The key of this certificate for x was made in another TPM than this one: begin again");
}

/* ---- the disk ---- */

static void test_nothing_is_pending(void **state) {
    Fixture *f = *state;

    start(f);
    begin(f);
    assert_int_equal(store_pending_drop(identity_store(f->identity), &f->failure), 0);
    expect_refused(f, try_commit(f, &(Certified) { .ca = NULL }), 0, FAILURE_STORAGE, "");
}

static void test_damaged_key(void **state) {
    Fixture *f = *state;

    start(f);
    begin(f);
    _cleanup_certificates_ CertificateList issued = machine_issue(f->machine, f->key, &(Certified) { .ca = NULL });
    bytes_clear(&f->pending.key_pem);
    assert_int_equal(bytes_copy(bytes_view_string("nonsense"), &f->pending.key_pem), 0);
    assert_true(commit_list(f, &issued, NULL, false) < 0);
    assert_int_equal(identity_generation(f->identity), 0);
}

/* ---- what is kept until it begins ---- */

static void test_kept(void **state) {
    Fixture *f = *state;
    _cleanup_(stored_pending_clear) StoredPending kept = { .manual = false };
    CertificateList helpers = { 0 }, all = { 0 };

    start(f);
    begin(f);
    _cleanup_certificates_ CertificateList issued = machine_issue(f->machine, f->key, &(Certified) { .ca = NULL });
    assert_int_equal(certificate_list_from_pem(bytes_view_string(f->machine->ca->pem), 1, &helpers, &f->failure), 0);
    for (unsigned i = 0; i < 2; i++) { /* what was kept before is replaced */
        assert_int_equal(pending_keep_issued(f->identity, &f->pending, &issued, &helpers, &f->failure), 0);
        assert_int_equal(store_pending_load(identity_store(f->identity), &kept, &f->failure), 0);
        assert_int_equal(certificate_list_from_pem(bytes_view(&kept.issued), 9, &all, &f->failure), 0);
        assert_int_equal(all.count, 2);
        assert_true(certificate_equal(all.list[0], issued.list[0]));
        certificate_list_clear(&all);
        stored_pending_clear(&kept);
    }
    assert_int_equal(pending_keep_issued(f->identity, &f->pending, &issued, NULL, &f->failure), 0);
    certificate_list_clear(&helpers);
    assert_int_equal(store_pending_drop(identity_store(f->identity), &f->failure), 0);
    machine_write(f->machine, "state/x/pending", "in the way");
    assert_true(pending_keep_issued(f->identity, &f->pending, &issued, NULL, &f->failure) < 0);
    assert_int_equal(f->failure.kind, FAILURE_STORAGE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_first),
        TEST(test_order_and_helpers),
        TEST(test_earlier_end),
        TEST(test_early),
        TEST(test_early_without_another),
        TEST(test_clock_is_behind),
        TEST(test_foreign_key),
        TEST(test_no_anchors),
        TEST(test_foreign_ca),
        TEST(test_other_names),
        TEST(test_same_certificate),
        TEST(test_too_short),
        TEST(test_begins_too_late),
        TEST(test_usage_lacking),
        TEST(test_usage_that_was_never_there),
        TEST(test_usage_that_nobody_needs),
        TEST(test_usage_of_the_issuer),
        TEST(test_revoked_key),
        TEST(test_another_tpm),
        TEST(test_nothing_is_pending),
        TEST(test_damaged_key),
        TEST(test_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
