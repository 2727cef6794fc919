/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Chains that verified before: known again only for the same question, and no longer than the answer holds. Whether an
 * answer was remembered shows when what it was made from is changed behind the library's back. */
#include "client-lib/verify.h"
#include "fakes/fake-pki.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define SERIAL 77U

/* The clock of the library and of GnuTLS. */
static _Atomic time_t clock_now;

time_t time(time_t *ret) {
    struct timespec now;
    time_t value = clock_now;

    if (value == 0) {
        (void) clock_gettime(CLOCK_REALTIME, &now);
        value = now.tv_sec;
    }
    if (ret)
        *ret = value;
    return value;
}

typedef struct World {
    FakeCa *ca;
    gnutls_privkey_t key;
    gnutls_datum_t leaf;
    char *revoking;              /* a CRL with SERIAL */
    identityd_snapshot snapshot; /* on no heap: parsed things are freed by hand */
    time_t start;
} World;

static World world;

static Bytes copy_text(const char *text) {
    Bytes bytes = BYTES_NULL;

    assert_true(bytes_copy(bytes_view_string(text), &bytes) >= 0);
    return bytes;
}

static void renew_snapshot(const char *crls) {
    if (world.snapshot.clear_trust)
        world.snapshot.clear_trust(&world.snapshot);
    bytes_clear(&world.snapshot.anchors);
    bytes_clear(&world.snapshot.crls);
    world.snapshot = (identityd_snapshot) { .references = 1, .identity = (char *) (uintptr_t) "x" };
    world.snapshot.anchors = copy_text(world.ca->pem);
    if (crls)
        world.snapshot.crls = copy_text(crls);
}

static void issue(const FakeRequest *request) {
    char *pem = fake_ca_issue(world.ca, world.key, request);

    gnutls_free(world.leaf.data);
    world.leaf = fake_pem_to_der(pem);
    free(pem);
}

static int setup(void **state) {
    clock_now = 0;
    world = (World) { .ca = fake_ca_new("Fake Root", NULL), .key = fake_key_new(FAKE_KEY_P256), .start = time(NULL) };
    world.revoking = fake_ca_crl(world.ca, (unsigned[]) { SERIAL, 0 }, 90000);
    issue(&(FakeRequest) { .common_name = "x", .dns = "a.example", .server = true, .serial = SERIAL });
    renew_snapshot(NULL);
    gnutls_global_set_time_function(time);
    clock_now = world.start;
    return 0;
}

static int teardown(void **state) {
    if (world.snapshot.clear_trust)
        world.snapshot.clear_trust(&world.snapshot);
    bytes_clear(&world.snapshot.anchors);
    bytes_clear(&world.snapshot.crls);
    gnutls_free(world.leaf.data);
    gnutls_privkey_deinit(world.key);
    fake_ca_free(world.ca);
    free(world.revoking);
    clock_now = 0;
    return 0;
}

static int verify(const char *host, unsigned flags) {
    return verify_chain(&world.snapshot, &world.leaf, 1,
                        &(VerifyWanted) { .host = host, .is_server = true, .flags = flags });
}

/* From now on only what is remembered verifies. */
static void revoke_secretly(void) {
    const SnapshotTrust *trust = NULL;
    Failure failure = FAILURE_INIT;
    LeftOut left_out = { 0 };
    CrlSet crls = { 0 };

    assert_int_equal(snapshot_trust(&world.snapshot, &trust), 0);
    assert_int_equal(crl_set_from_pem(bytes_view_string(world.revoking), &crls, &left_out, &failure), 0);
    assert_int_equal(crls.count, 1);
    crl_set_clear((CrlSet *) (uintptr_t) &trust->crls);
    *(CrlSet *) (uintptr_t) &trust->crls = crls;
}

static void test_remembered(void **state) {
    assert_int_equal(verify("a.example", 0), 0);
    revoke_secretly();
    assert_int_equal(verify("a.example", 0), 0);
    assert_int_equal(verify("a.example", 0), 0);
}

static void test_only_the_same_question(void **state) {
    assert_int_equal(verify("a.example", 0), 0);
    revoke_secretly();
    assert_int_equal(verify(NULL, 0), -EKEYREVOKED);
    assert_int_equal(verify("b.example", 0), -EKEYREVOKED);
    assert_int_equal(verify("a.example", IDENTITYD_VERIFY_CRL_HARD), -EKEYREVOKED);
    assert_int_equal(verify_chain(&world.snapshot, &world.leaf, 1, &(VerifyWanted) { .host = "a.example" }),
                     -EKEYREVOKED);
    gnutls_datum_t twice[] = { world.leaf, world.leaf };
    assert_int_equal(
        verify_chain(&world.snapshot, twice, 2, &(VerifyWanted) { .host = "a.example", .is_server = true }),
        -EKEYREVOKED);
    world.leaf.data[world.leaf.size - 1] ^= 1;
    assert_true(verify("a.example", 0) < 0);
    world.leaf.data[world.leaf.size - 1] ^= 1;
    assert_int_equal(verify("a.example", 0), 0); /* still */
}

static void test_stapled_response_is_looked_at_each_time(void **state) {
    const gnutls_datum_t staple = { (unsigned char *) (uintptr_t) "nonsense", 8 };
    const VerifyWanted wanted = { .host = "a.example", .is_server = true, .ocsp = &staple };

    assert_int_equal(verify("a.example", 0), 0);
    assert_int_equal(verify_chain(&world.snapshot, &world.leaf, 1, &wanted), 0);
    revoke_secretly();
    assert_int_equal(verify_chain(&world.snapshot, &world.leaf, 1, &wanted), -EKEYREVOKED);
}

static void test_refusals_are_not_remembered(void **state) {
    issue(&(FakeRequest) { .common_name = "x", .dns = "a.example", .starts = 5, .ends = 100 });
    assert_int_equal(verify("a.example", 0), -EKEYREJECTED);
    clock_now = world.start + 6;
    assert_int_equal(verify("a.example", 0), 0);
}

static void test_until_the_certificate_ends(void **state) {
    issue(&(FakeRequest) { .common_name = "x", .dns = "a.example", .starts = -10, .ends = 100 });
    assert_int_equal(verify("a.example", 0), 0);
    clock_now = world.start + 99;
    assert_int_equal(verify("a.example", 0), 0);
    clock_now = world.start + 102; /* it was issued a moment after `start` */
    assert_int_equal(verify("a.example", 0), -EKEYREJECTED);
}

static void test_until_the_anchor_ends(void **state) {
    issue(&(FakeRequest) { .common_name = "x", .dns = "a.example", .starts = -10, .ends = 200000 });
    clock_now = world.start + 86300; /* the root ends after a day */
    assert_int_equal(verify("a.example", 0), 0);
    clock_now = world.start + 86402;
    assert_int_equal(verify("a.example", 0), -EKEYREJECTED);
}

static void test_last_second_of_an_anchor(void **state) {
    time_t end = gnutls_x509_crt_get_expiration_time(world.ca->certificate);

    issue(&(FakeRequest) { .common_name = "x", .dns = "a.example", .starts = -10, .ends = 200000 });
    clock_now = end;
    assert_int_equal(verify("a.example", 0), 0);
    clock_now = end + 1;
    assert_int_equal(verify("a.example", 0), -EKEYREJECTED);
}

static void test_until_a_crl_is_due(void **state) {
    char *crl = fake_ca_crl(world.ca, NULL, 300);

    renew_snapshot(crl);
    assert_int_equal(verify("a.example", IDENTITYD_VERIFY_CRL_HARD), 0);
    clock_now = world.start + 299;
    assert_int_equal(verify("a.example", IDENTITYD_VERIFY_CRL_HARD), 0);
    clock_now = world.start + 302;
    assert_int_equal(verify("a.example", IDENTITYD_VERIFY_CRL_HARD), -EKEYREJECTED);
    free(crl);
}

static void test_an_hour_at_most(void **state) {
    issue(&(FakeRequest) { .common_name = "x", .dns = "a.example", .starts = -10, .ends = 80000, .serial = SERIAL });
    assert_int_equal(verify("a.example", 0), 0);
    revoke_secretly();
    clock_now = world.start + VERIFIED_SECONDS_MAX - 1;
    assert_int_equal(verify("a.example", 0), 0);
    clock_now = world.start + VERIFIED_SECONDS_MAX;
    assert_int_equal(verify("a.example", 0), -EKEYREVOKED);
}

static void test_clock_set_back(void **state) {
    assert_int_equal(verify("a.example", 0), 0);
    revoke_secretly();
    clock_now = world.start - 1;
    assert_int_equal(verify("a.example", 0), -EKEYREVOKED);
}

static void test_other_anchors_and_crls(void **state) {
    assert_int_equal(verify("a.example", 0), 0);
    renew_snapshot(world.revoking);
    assert_int_equal(verify("a.example", 0), -EKEYREVOKED);
}

/* ---- the table ---- */

static VerifiedQuestion question_of(const char *a, const char *b) {
    const gnutls_datum_t parts[] = { { (unsigned char *) (uintptr_t) a, (unsigned) strlen(a) },
                                     { (unsigned char *) (uintptr_t) b, (unsigned) strlen(b) } };
    VerifiedQuestion question;

    assert_true(verified_question(parts, 2, &question));
    return question;
}

static void test_where_parts_end_counts(void **state) {
    VerifiedQuestion one = question_of("ab", "c"), other = question_of("a", "bc"), same = question_of("ab", "c");

    assert_memory_not_equal(&one, &other, sizeof(one));
    assert_memory_equal(&one, &same, sizeof(one));
}

static void test_places(void **state) {
    static VerifiedTable table;
    VerifiedQuestion first = { { 5, 1, 1, 1 } }, second = { { 5 + VERIFIED_SLOTS, 1, 1, 1 } },
                     third = { { 6, 1, 1, 1 } };

    verified_note(&table, &first, 100, 200);
    verified_note(&table, &third, 100, 200);
    assert_true(verified_before(&table, &first, 100));
    assert_false(verified_before(&table, &first, 200));
    assert_false(verified_before(&table, &first, 99));
    assert_false(verified_before(&table, &second, 100));
    verified_note(&table, &second, 100, 200); /* takes the place */
    assert_true(verified_before(&table, &second, 150));
    assert_false(verified_before(&table, &first, 150));
    assert_true(verified_before(&table, &third, 150));
}

/* As a fork in the middle of a write would leave it. */
/* Times are kept in halves of 32 bits, which must not be taken for one another's. */
static void test_times_of_any_size(void **state) {
    static const int64_t times[] = { INT64_C(-8589934592), -5, 0, 5, INT64_C(1) << 31, INT64_C(1) << 32,
                                     INT64_C(5) << 32 };
    VerifiedTable *table = calloc(1, sizeof(*table));
    const VerifiedQuestion question = { .hash = { 7 } };

    for (size_t i = 0; i < ARRAY_LENGTH(times); i++) {
        const time_t now = (time_t) times[i];
        verified_note(table, &question, now, now + 100);
        assert_false(verified_before(table, &question, now - 1));
        assert_true(verified_before(table, &question, now));
        assert_true(verified_before(table, &question, now + 99));
        assert_false(verified_before(table, &question, now + 100));
        for (size_t j = 0; j < ARRAY_LENGTH(times); j++)
            if (times[j] < times[i] || times[j] >= times[i] + 100)
                assert_false(verified_before(table, &question, (time_t) times[j]));
    }
    free(table);
}

static void test_unfinished_place(void **state) {
    static VerifiedTable table;
    VerifiedQuestion question = { { 5, 1, 1, 1 } };

    verified_note(&table, &question, 100, 200);
    table.slots[5].turn++;
    assert_false(verified_before(&table, &question, 150));
    verified_note(&table, &question, 100, 200);
    assert_false(verified_before(&table, &question, 150));
}

/* ---- threads ---- */

#define THREADS 4
#define TIMES   2000

static VerifiedTable shared;

/* Questions whose halves belong together, all for one slot: an answer for halves of two must never be found. */
static void *note_and_ask(void *data) {
    uint32_t salt = (uint32_t) (uintptr_t) data + 1;

    for (unsigned i = 1; i <= TIMES; i++) {
        VerifiedQuestion mine = { { VERIFIED_SLOTS * salt, salt, salt, salt } };
        VerifiedQuestion mixed = { { VERIFIED_SLOTS * salt, salt, salt % THREADS + 1, salt } };
        verified_note(&shared, &mine, 100, 200);
        (void) verified_before(&shared, &mine, 150);
        if (verified_before(&shared, &mixed, 150))
            return data;
    }
    return NULL;
}

static void test_threads(void **state) {
    pthread_t threads[THREADS];

    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, note_and_ask, (void *) i), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        void *found = NULL;
        assert_int_equal(pthread_join(threads[i], &found), 0);
        assert_null(found);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_remembered),
        TEST(test_only_the_same_question),
        TEST(test_stapled_response_is_looked_at_each_time),
        TEST(test_refusals_are_not_remembered),
        TEST(test_until_the_certificate_ends),
        TEST(test_until_the_anchor_ends),
        TEST(test_last_second_of_an_anchor),
        TEST(test_until_a_crl_is_due),
        TEST(test_an_hour_at_most),
        TEST(test_clock_set_back),
        TEST(test_other_anchors_and_crls),
        cmocka_unit_test(test_where_parts_end_counts),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_times_of_any_size),
        cmocka_unit_test(test_unfinished_place),
        cmocka_unit_test(test_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
