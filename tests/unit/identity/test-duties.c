/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table that the timer and the identity walk, with duties made for it: their order, their parts, what is due, and
 * changes that lead to changes. */
#include "identity/duties.h"

#include "tests/unit/device/clock.h"
#include "tests/unit/device/machine.h"

typedef struct Part {
    unsigned begun, stopped, heard_count;
    unsigned heard[32];
    Instant due;
    unsigned next_change; /* noted when something is heard, once */
    bool is_restless;     /* notes a change whenever it hears of one */
} Part;

static char order[64]; /* a letter for each call of any duty */
static unsigned cleared;

static Part *part_of(const Identity *identity, char letter);

static void note_call(char letter) {
    size_t length = strlen(order);

    if (length + 1U < sizeof order)
        order[length] = letter;
}

static void clear(void *data) {
    const Part *part = data;

    assert_int_equal(part->stopped, 1); /* it was stopped before */
    cleared++;
}

static void hear(Identity *identity, char letter, unsigned changes) {
    Part *part = part_of(identity, letter);

    note_call(letter);
    part->heard[part->heard_count++ % ARRAY_LENGTH(part->heard)] = changes;
    if (part->next_change || part->is_restless)
        identity_note(identity, part->is_restless ? CHANGED_PROPERTIES : part->next_change);
    part->next_change = 0;
}

#define DUTY(letter)                                                                                                   \
    static Instant letter##_when(const Identity *identity) {                                                           \
        return part_of(identity, #letter[0])->due;                                                                     \
    }                                                                                                                  \
    static void letter##_begin(Identity *identity) {                                                                   \
        note_call(#letter[0]);                                                                                         \
        part_of(identity, #letter[0])->begun++;                                                                        \
        part_of(identity, #letter[0])->due = instant_never();                                                          \
    }                                                                                                                  \
    static void letter##_stop(Identity *identity, const Failure *why) {                                                \
        note_call(#letter[0]);                                                                                         \
        assert_int_equal(why->kind, FAILURE_NOT_READY);                                                                \
        part_of(identity, #letter[0])->stopped++;                                                                      \
    }                                                                                                                  \
    static void letter##_hear(Identity *identity, unsigned changes) {                                                  \
        hear(identity, #letter[0], changes);                                                                           \
    }                                                                                                                  \
    static const Duty letter##_duty = { #letter,        sizeof(Part),  clear,        letter##_when,                    \
                                        letter##_begin, letter##_stop, letter##_hear }

DUTY(a);
DUTY(b);
DUTY(c);
static const Duty bare_duty = { .name = "bare" }; /* every function may be missing */
static const Duty foreign_duty = { .name = "foreign", .part_size = 1 };

static const Duty *const table[] = { &bare_duty, &loading_duty, &a_duty, &b_duty, &c_duty, NULL };

static Part *part_of(const Identity *identity, char letter) {
    return identity_part(identity, letter == 'a' ? &a_duty : letter == 'b' ? &b_duty : &c_duty);
}

static Identity *start(void **state) {
    Machine *machine = *state;

    machine->by_hand = true;
    cleared = 0;
    machine_configure(machine, "x", "");
    machine_start_parts(machine, table);
    Identity *identity = machine_add(machine, "x");
    (void) identity_flush(identity);
    for (const char *letter = "abc"; *letter; letter++)
        *part_of(identity, *letter) = (Part) { .begun = 0 };
    memset(order, 0, sizeof order);
    return identity;
}

static void test_parts(void **state) {
    Machine *machine = *state;
    const Part zero = { .begun = 0 };

    machine->by_hand = true;
    machine_configure(machine, "x", "");
    machine_start_parts(machine, table);
    _cleanup_(identity_free_p) Identity *identity = NULL;
    assert_int_equal(identity_new(&machine->context, "x", &identity), 0);
    for (const char *letter = "abc"; *letter; letter++) {
        assert_non_null(part_of(identity, *letter));
        assert_memory_equal(part_of(identity, *letter), &zero, sizeof zero);
    }
    assert_ptr_not_equal(part_of(identity, 'a'), part_of(identity, 'b'));
    assert_null(identity_part(identity, &bare_duty));
    assert_null(identity_part(identity, &foreign_duty));
    cleared = 0;
    identity = identity_free(identity);
    assert_int_equal(cleared, 3);
    assert_string_equal(order, "abc"); /* each stopped once */
    memset(order, 0, sizeof order);
}

static void test_when(void **state) {
    Identity *identity = start(state);
    int64_t now = identity_now(identity);

    assert_int_equal(identity_when(identity).kind, INSTANT_NEVER);
    part_of(identity, 'b')->due = instant_at(now + 100);
    part_of(identity, 'c')->due = instant_at(now + 50);
    assert_int_equal(identity_when(identity).seconds, now + 50);
    part_of(identity, 'a')->due = instant_at_once();
    assert_int_equal(identity_when(identity).kind, INSTANT_AT_ONCE);
    assert_string_equal(order, ""); /* a question changes nothing */
}

static void test_run_due(void **state) {
    Identity *identity = start(state);
    int64_t now = identity_now(identity);

    part_of(identity, 'a')->due = instant_at(now + 100);
    part_of(identity, 'b')->due = instant_at_once();
    part_of(identity, 'c')->due = instant_at(now);
    identity_run_due(identity);
    assert_string_equal(order, "bc"); /* in the order of the table */
    identity_run_due(identity);
    assert_string_equal(order, "bc");
    clock_pass(100);
    identity_run_due(identity);
    assert_string_equal(order, "bca");
    assert_int_equal(part_of(identity, 'a')->begun, 1);
}

static void test_stop(void **state) {
    Identity *identity = start(state);
    Failure why = FAILURE_INIT;

    (void) failure_set(&why, 0, FAILURE_NOT_READY, "stop.");
    identity_stop(identity, &why);
    assert_string_equal(order, "abc");
    for (const char *letter = "abc"; *letter; letter++) /* clear() wants it so */
        part_of(identity, *letter)->stopped = 0;
}

static void test_flush(void **state) {
    Identity *identity = start(state);

    assert_int_equal(identity_flush(identity), 0);
    assert_string_equal(order, "");
    identity_note(identity, CHANGED_STATE);
    identity_note(identity, CHANGED_PROPERTIES);
    assert_string_equal(order, ""); /* never from inside the call */
    assert_int_equal(identity_flush(identity), CHANGED_STATE | CHANGED_PROPERTIES);
    assert_string_equal(order, "abc");
    assert_int_equal(part_of(identity, 'b')->heard[0], CHANGED_STATE | CHANGED_PROPERTIES);
    assert_int_equal(identity_flush(identity), 0);
}

/* What one duty does is heard by all, those before it in the table too, each change once. */
static void test_rounds(void **state) {
    Identity *identity = start(state);

    part_of(identity, 'c')->next_change = CHANGED_TPM;
    identity_note(identity, CHANGED_STATE);
    assert_int_equal(identity_flush(identity), CHANGED_STATE | CHANGED_TPM);
    assert_string_equal(order, "abcabc");
    for (const char *letter = "abc"; *letter; letter++) {
        assert_int_equal(part_of(identity, *letter)->heard_count, 2);
        assert_int_equal(part_of(identity, *letter)->heard[0], CHANGED_STATE);
        assert_int_equal(part_of(identity, *letter)->heard[1], CHANGED_TPM);
    }
}

/* Two that excite each other are a bug of ours: said, and the loop goes on. */
static void test_without_end(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state);

    part_of(identity, 'a')->is_restless = true;
    identity_note(identity, CHANGED_STATE);
    assert_int_equal(identity_flush(identity), CHANGED_STATE | CHANGED_PROPERTIES);
    machine_expect_log(machine, "Bug: its duties change it without end", 1);
    assert_true(part_of(identity, 'b')->heard_count <= 16);
    part_of(identity, 'a')->is_restless = false;
    assert_int_equal(identity_flush(identity), 0);
}

/* The domain of the anchors is entered before duties hear of them. */
static void test_domain_first(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state);
    _cleanup_certificates_ CertificateList anchors = { 0 };
    _cleanup_(fake_ca_free_p) FakeCa *other = fake_ca_new("other", NULL);
    char before[65];
    Failure failure = FAILURE_INIT;
    DomainView view;

    snprintf(before, sizeof before, "%s", identity_domain(identity));
    assert_int_equal(certificate_list_from_pem(bytes_view_string(other->pem), 1, &anchors, &failure), 0);
    assert_int_equal(identity_set_anchors(identity, &anchors, &failure), 0);
    assert_string_equal(identity_domain(identity), before);
    assert_int_equal(identity_flush(identity), CHANGED_ANCHORS);
    assert_string_not_equal(identity_domain(identity), before);
    assert_true(domain_view(device_domains(machine->device), identity_domain(identity), &view));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_parts), TEST(test_when),   TEST(test_run_due),     TEST(test_stop),
        TEST(test_flush), TEST(test_rounds), TEST(test_without_end), TEST(test_domain_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
