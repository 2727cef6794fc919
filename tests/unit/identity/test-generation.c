/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The key and the chain that an identity signs with: in memory, from the disk, and what is damaged there. */
#include "identity/generation.h"

#include "tests/unit/device/certify.h"

#include <time.h>

static const Duty *const table[] = { &loading_duty, NULL };

static Identity *start(void **state) {
    return machine_start_alone(*state, "", table);
}

static Identity *restart(void **state) {
    machine_stop(*state);
    return start(state);
}

static void test_none(void **state) {
    Identity *identity = start(state);
    ScheduleLife life = { .begin = 9 };

    assert_int_equal(identity_generation(identity), 0);
    assert_null(identity_key(identity));
    assert_null(identity_leaf(identity));
    assert_int_equal(identity_chain(identity)->count, 0);
    assert_int_equal(identity_chain_end(identity), 0);
    assert_false(identity_generation_is_used(identity));
    assert_false(identity_life(identity, &life));
    assert_int_equal(life.begin, 9);
    assert_true(identity_share(identity) == UINT64_C(1) << 63);
    identity_note_used(identity, 5);
    assert_false(identity_generation_is_used(identity));
}

static void test_present(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state);
    int64_t now = identity_now(identity);
    ScheduleLife life;

    assert_int_equal(machine_certify(machine, identity, &(Certified) { .issue = { .starts = -100, .ends = 900 } }), 1);
    assert_int_equal(identity_generation(identity), 1);
    assert_non_null(identity_key(identity));
    assert_ptr_equal(identity_leaf(identity), identity_chain(identity)->list[0]);
    assert_true(bytes_view_equal(identity_leaf(identity)->spki, tpm_key_spki(identity_key(identity))));
    assert_true(identity_life(identity, &life));
    /* Law 6: what was left when it came, not what its notBefore says. */
    assert_true(life.begin >= now && life.begin <= now + 3);
    assert_int_equal(life.leaf_end, identity_leaf(identity)->not_after);
    assert_int_equal(life.chain_end, life.leaf_end);
    assert_int_equal(identity_chain_end(identity), life.leaf_end);
    _cleanup_bytes_ Bytes spki = BYTES_NULL;
    assert_int_equal(bytes_copy(tpm_key_spki(identity_key(identity)), &spki), 0);
    identity = restart(state);
    assert_int_equal(identity_generation(identity), 1);
    assert_true(bytes_view_equal(bytes_view(&spki), tpm_key_spki(identity_key(identity))));
    assert_int_equal(identity_state(identity), STATE_READY);
}

static void test_intermediate_ends_first(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state);
    _cleanup_(fake_ca_free_p) FakeCa *issuing = fake_ca_new_dated("issuing", machine->ca, -3600, 600);
    ScheduleLife life;

    (void) machine_certify(machine, identity, &(Certified) { .ca = issuing, .beside = issuing->pem });
    assert_int_equal(identity_chain(identity)->count, 2);
    assert_true(identity_life(identity, &life));
    assert_int_equal(life.chain_end, identity_chain(identity)->list[1]->not_after);
    assert_int_equal(identity_chain_end(identity), life.chain_end);
    assert_true(life.leaf_end > life.chain_end + 2000);
}

static void test_share(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state);
    uint64_t shares[3];

    for (unsigned i = 0; i < 2; i++) {
        (void) machine_certify(machine, identity, &(Certified) { .ca = NULL });
        shares[i] = identity_share(identity);
        assert_true(identity_share(identity) == shares[i]); /* the same on every call … */
        assert_true(shares[i] != UINT64_C(1) << 63);
    }
    assert_true(shares[0] != shares[1]); /* … another for another certificate … */
    identity = restart(state);
    assert_true(identity_share(identity) == shares[1]);
    machine_stop(machine); /* … and for another device with the same */
    assert_int_equal(swtpm_kill(machine->swtpm), 0);
    assert_int_equal(swtpm_replace(machine->swtpm), 0);
    assert_int_equal(swtpm_start(machine->swtpm), 0);
    identity = start(state);
    assert_true(identity_share(identity) != shares[1]);
}

static void test_used(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state);

    (void) machine_certify(machine, identity, &(Certified) { .ca = NULL });
    (void) machine_certify(machine, identity, &(Certified) { .ca = NULL });
    (void) identity_flush(identity);
    identity_note_used(identity, 1); /* an old one says nothing of the present one */
    assert_false(identity_generation_is_used(identity));
    assert_int_equal(identity_flush(identity), 0);
    identity_note_used(identity, 2);
    assert_true(identity_generation_is_used(identity));
    assert_int_equal(identity_flush(identity), CHANGED_USED);
    identity_note_used(identity, 2);
    assert_int_equal(identity_flush(identity), 0); /* for the first time */
    (void) machine_certify(machine, identity, &(Certified) { .ca = NULL });
    assert_false(identity_generation_is_used(identity));
}

/* ---- damage ---- */

static void damage(Machine *machine, const char *file, const char *content) {
    char path[128];

    snprintf(path, sizeof path, "state/x/generations/1/%s", file);
    machine_write(machine, path, "%s", content);
}

static void test_damaged(void **state) {
    static const struct {
        const char *file, *content, *said;
    } cases[] = {
        { "key.pem", "nonsense", "generations/1/key.pem" },
        { "chain.pem", "nonsense", "generations/1/chain.pem" },
        { "chain.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "generations/1/chain.pem" },
        { "parent", "zz\n", "generations/1" },
    };
    Machine *machine = *state;

    for (size_t n = 0; n < ARRAY_LENGTH(cases) * 2U; n++) {
        size_t i = n / 2U;
        char path[128], *before, *after;
        Identity *identity = start(state);
        if (identity_generation(identity) == 0)
            (void) machine_certify(machine, identity, &(Certified) { .ca = NULL });
        snprintf(path, sizeof path, "state/x/generations/1/%s", cases[i].file);
        before = machine_read(machine, path);
        machine_stop(machine);
        damage(machine, cases[i].file, cases[i].content);
        if (n % 2U == 1) /* one of before there were checksums is judged by what is in it */
            assert_int_equal(unlink(machine_path(machine, "state/x/generations/1/checksum")), 0);
        machine_forget_log(machine);
        identity = start(state);
        assert_int_equal(identity_generation(identity), 0);
        assert_null(identity_key(identity));
        Failure failure = FAILURE_INIT;
        assert_int_equal(generation_load(identity, &failure), -EBADMSG);
        expect_failure(&failure, FAILURE_STORAGE, cases[i].said);
        machine_expect_log(machine, ". What is there cannot be used; nothing was deleted.", 1);
        machine_expect_log(machine, cases[i].said, 1);
        assert_non_null(strstr(identity_error(identity), "`idctl enroll --new-key x`"));
        after = machine_read(machine, path);
        assert_string_equal(after, cases[i].content);
        machine_stop(machine);
        damage(machine, cases[i].file, before); /* a backup may be put back */
        identity = start(state);
        assert_int_equal(identity_state(identity), STATE_READY);
        machine_stop(machine);
        free(before);
        free(after);
    }
}

static void test_chain_of_another_key(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state);
    char *chain;

    (void) machine_certify(machine, identity, &(Certified) { .ca = NULL });
    (void) machine_certify(machine, identity, &(Certified) { .ca = NULL });
    machine_stop(machine);
    chain = machine_read(machine, "state/x/generations/1/chain.pem");
    machine_write(machine, "state/x/generations/2/chain.pem", "%s", chain);
    free(chain);
    identity = start(state);
    assert_int_equal(identity_generation(identity), 0);
    machine_expect_log(machine, "generations/2/chain.pem: is damaged: it is not what the checksum beside it says", 1);
    assert_int_equal(identity_state(identity), STATE_EMPTY);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_none), TEST(test_present), TEST(test_intermediate_ends_first), TEST(test_share),
        TEST(test_used), TEST(test_damaged), TEST(test_chain_of_another_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
