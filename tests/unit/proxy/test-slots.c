/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who gets in while others are in their handshakes, and who makes room. */
#include "proxy/slots.h"

#include "common/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static const SlotRule rule = { .start = 10, .rate = 30, .full = 20, .per_source = 8 };

static Slot slots[SLOTS_MAX];
static size_t count;

static int clear(void **state) {
    count = 0;
    return 0;
}

static void add(uid_t uid, unsigned number, bool yields) {
    for (unsigned i = 0; i < number; i++)
        slots[count++] = (Slot) { proxy_source_of_uid(uid), yields };
}

static SlotVerdict decide(uid_t uid, uint32_t chance, size_t *ret_which) {
    const ProxySource source = proxy_source_of_uid(uid);

    return slots_decide(&rule, slots, count, &source, chance, ret_which);
}

/* How many of a hundred newcomers of somebody new cost another its slot. */
static unsigned share(void) {
    unsigned others = 0;
    size_t which;

    for (uint32_t chance = 0; chance < 100; chance++) {
        SlotVerdict verdict = decide(999, chance, &which);
        assert_true(verdict == SLOT_FREE || verdict == SLOT_OF_ANOTHER);
        others += verdict == SLOT_OF_ANOTHER;
    }
    return others;
}

static void test_early_drop(void **state) {
    static const unsigned expected[] = {
        [0] = 0, [9] = 0, [10] = 30, [11] = 37, [15] = 65, [19] = 93, [20] = 100, [21] = 100
    };

    for (unsigned i = 0; i < ARRAY_LENGTH(expected); i++) {
        if (expected[i] == 0 && i != 0 && i != 9)
            continue;
        count = 0;
        for (unsigned j = 0; j < i; j++)
            add(j, 1, true);
        assert_int_equal(share(), expected[i]);
    }
}

/* The one that has most makes room, whoever comes, and each of its slots may be the one. */
static void test_the_greediest_makes_room(void **state) {
    bool seen[32] = { false };

    add(1, 6, true);
    add(2, 7, true);
    add(3, 5, true);
    add(4, 2, true);
    for (uint32_t chance = 0; chance < 7 * 100; chance += 100) {
        size_t which = 99;
        assert_int_equal(decide(5, chance, &which), SLOT_OF_ANOTHER);
        assert_true(which >= 6 && which < 13);
        seen[which] = true;
    }
    for (size_t i = 6; i < 13; i++)
        assert_true(seen[i]);
    size_t first = 99, last = 98; /* whether one makes room, and which, are two draws of one number */
    assert_int_equal(decide(5, 100, &first), SLOT_OF_ANOTHER);
    assert_int_equal(decide(5, 199, &last), SLOT_OF_ANOTHER);
    assert_int_equal(first, last);
}

/* Where several have most, all of them are meant. */
static void test_several_have_most(void **state) {
    bool seen[32] = { false };

    for (unsigned i = 0; i < 20; i++)
        add(i, 1, true);
    for (uint32_t chance = 0; chance < 20 * 100; chance += 100) {
        size_t which = 99;
        assert_int_equal(decide(777, chance, &which), SLOT_OF_ANOTHER);
        seen[which] = true;
    }
    for (size_t i = 0; i < 20; i++)
        assert_true(seen[i]);
}

/* Who is being worked for is not disturbed, however many they are. */
static void test_only_those_that_wait_make_room(void **state) {
    size_t which = 99;

    add(1, 7, false);
    add(2, 6, false);
    add(3, 6, false);
    add(4, 1, true);
    for (uint32_t chance = 0; chance < 500; chance += 50) {
        assert_int_equal(decide(5, chance, &which), SLOT_OF_ANOTHER);
        assert_int_equal(which, 19);
    }
    slots[3].yields = true; /* one of those with most */
    assert_int_equal(decide(5, 12345, &which), SLOT_OF_ANOTHER);
    assert_int_equal(which, 3);
}

static void test_nobody_yields(void **state) {
    size_t which = 99;

    add(1, 7, false);
    add(2, 7, false);
    assert_int_equal(decide(3, 0, &which), SLOT_FREE); /* there is room yet */
    add(3, 6, false);
    assert_int_equal(decide(4, 99, &which), SLOT_FULL);
    assert_int_equal(which, 99);
}

static void test_share_of_a_source(void **state) {
    bool seen[32] = { false };
    size_t which = 99;

    add(2, 1, true);
    add(1, 7, true);
    assert_int_equal(decide(1, 0, &which), SLOT_FREE);
    add(1, 1, true);
    add(3, 1, true);
    for (uint32_t chance = 0; chance < 8; chance++) {
        assert_int_equal(decide(1, chance, &which), SLOT_OF_ANOTHER);
        seen[which] = true;
    }
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(seen[i], i >= 1 && i < 9); /* its own, each of them */
    assert_int_equal(decide(2, 99, &which), SLOT_FREE);
}

static void test_share_that_does_not_yield(void **state) {
    size_t which = 99;

    add(1, 8, false);
    add(2, 1, true);
    assert_int_equal(decide(1, 0, &which), SLOT_SOURCE_FULL);
    assert_int_equal(which, 99);
    slots[5].yields = true;
    assert_int_equal(decide(1, 77, &which), SLOT_OF_ANOTHER);
    assert_int_equal(which, 5);
}

static void test_nobody_is_there(void **state) {
    size_t which;

    assert_int_equal(decide(1, 0, &which), SLOT_FREE);
}

/* Of all that fit. */
static void test_very_many(void **state) {
    const SlotRule wide = { .start = 1, .rate = 100, .full = SLOTS_MAX, .per_source = SLOTS_MAX };
    const ProxySource source = proxy_source_of_uid(5000);
    size_t which = 0;

    for (unsigned i = 0; i < SLOTS_MAX - 3; i++)
        add(i % 100, 1, true);
    add(3000, 3, true);
    assert_int_equal(slots_decide(&wide, slots, count, &source, UINT32_MAX, &which), SLOT_OF_ANOTHER);
    assert_true(which < SLOTS_MAX);
}

#define TEST(name) cmocka_unit_test_setup(name, clear)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_early_drop),
        TEST(test_the_greediest_makes_room),
        TEST(test_several_have_most),
        TEST(test_only_those_that_wait_make_room),
        TEST(test_nobody_yields),
        TEST(test_share_of_a_source),
        TEST(test_share_that_does_not_yield),
        TEST(test_nobody_is_there),
        TEST(test_very_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
