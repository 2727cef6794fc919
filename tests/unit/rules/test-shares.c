/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Turns of the TPM: who is next in each case by hand, and walks of many thousand turns with random costs, comings and
 * goings, after each of which the promises of shares.h are checked. */
#include "rules/shares.h"

#include "tests/unit/common/test.h"

#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof(array[0]))

static const SharesPreference none = { .is_cheap = NULL };

/* One turn for whoever is next, which must be `wanted`. */
static void expect_turn(Shares *shares, Share *wanted, uint64_t cost) {
    Share *next = shares_next(shares, &none);

    assert_ptr_equal(next, wanted);
    shares_charge(shares, next, cost);
}

/* ---- by hand ---- */

static void nobody(void **state) {
    Shares shares = { 0 };
    Share user, leaf;

    assert_null(shares_next(&shares, &none));
    share_begin(&user, &shares.root);
    share_begin(&leaf, &user);
    assert_null(shares_next(&shares, &none));
    share_rest(&leaf); /* nothing happens */
    share_wait(&leaf);
    assert_ptr_equal(shares_next(&shares, &none), &leaf);
    share_wait(&leaf); /* it does already */
    assert_true(user.waits && leaf.waits);
    assert_ptr_equal(shares.root.first, &user);
    assert_ptr_equal(shares.root.last, &user);
    share_rest(&leaf);
    assert_null(shares_next(&shares, &none));
    assert_false(user.waits || leaf.waits);
}

/* Turns are by time: whoever needs three times as long gets a third of the turns. */
static void by_time(void **state) {
    Shares shares = { 0 };
    Share dear, modest;
    unsigned turns[2] = { 0 };

    share_begin(&dear, &shares.root);
    share_begin(&modest, &shares.root);
    share_wait(&dear);
    share_wait(&modest);
    for (unsigned i = 0; i < 4000; i++) {
        Share *next = shares_next(&shares, &none);
        turns[next == &modest]++;
        shares_charge(&shares, next, next == &dear ? 3000 : 1000);
    }
    assert_int_equal(turns[0], 1000);
    assert_int_equal(turns[1], 3000);
}

/* 64 handles of one user are one user, on one identity or on many. */
static void by_user_first(void **state) {
    for (unsigned identities = 1; identities <= 64; identities *= 8) {
        Shares shares = { 0 };
        Share attacker, lanes[64], handles[64], victim, lane, handle;
        unsigned of_victim = 0, of_handle[64] = { 0 };

        share_begin(&attacker, &shares.root);
        share_begin(&victim, &shares.root);
        share_begin(&lane, &victim);
        share_begin(&handle, &lane);
        for (unsigned i = 0; i < identities; i++)
            share_begin(&lanes[i], &attacker);
        for (unsigned i = 0; i < 64; i++) {
            share_begin(&handles[i], &lanes[i % identities]);
            share_wait(&handles[i]);
        }
        share_wait(&handle);
        for (unsigned i = 0; i < 6400; i++) {
            Share *next = shares_next(&shares, &none);
            if (next == &handle)
                of_victim++;
            else
                of_handle[next - handles]++;
            shares_charge(&shares, next, 100);
        }
        assert_int_equal(of_victim, 3200);
        for (unsigned i = 0; i < 64; i++)
            assert_int_equal(of_handle[i], 50);
    }
}

/* By identity next: a user's one handle on one identity has as much as its many on another. */
static void then_by_identity(void **state) {
    Shares shares = { 0 };
    Share user, many, one, handles[9], single;
    unsigned of_single = 0;

    share_begin(&user, &shares.root);
    share_begin(&many, &user);
    share_begin(&one, &user);
    share_begin(&single, &one);
    for (unsigned i = 0; i < COUNT(handles); i++) {
        share_begin(&handles[i], &many);
        share_wait(&handles[i]);
    }
    share_wait(&single);
    for (unsigned i = 0; i < 1000; i++) {
        Share *next = shares_next(&shares, &none);
        of_single += next == &single;
        shares_charge(&shares, next, 7);
    }
    assert_int_equal(of_single, 500);
}

/* Who has had nothing for long has no credit from that, and who is new does not wait for a round of the others. */
static void no_credit_and_no_round_to_wait(void **state) {
    Shares shares = { 0 };
    Share others[20], idle, fresh;
    unsigned of_idle = 0;

    share_begin(&idle, &shares.root);
    for (unsigned i = 0; i < COUNT(others); i++) {
        share_begin(&others[i], &shares.root);
        share_wait(&others[i]);
    }
    for (unsigned i = 0; i < 20000; i++)
        shares_charge(&shares, shares_next(&shares, &none), 100 + i % 7);
    assert_int_equal(idle.served, 0);
    share_wait(&idle);
    share_begin(&fresh, &shares.root);
    share_wait(&fresh);
    for (unsigned i = 0; i < 2; i++) { /* both are among the first three */
        Share *next = shares_next(&shares, &none);
        if (next != &idle && next != &fresh) {
            shares_charge(&shares, next, 100);
            next = shares_next(&shares, &none);
        }
        assert_true(next == &idle || next == &fresh);
        shares_charge(&shares, next, 100);
    }
    for (unsigned i = 0; i < 2200; i++) {
        Share *next = shares_next(&shares, &none);
        of_idle += next == &idle;
        shares_charge(&shares, next, 100);
    }
    assert_in_range(of_idle, 98, 102); /* a 22nd */
}

/* A debt outlives a pause: who has had something dear, and asks again after the others have been served, still owes. */
static void a_debt_outlives_a_pause(void **state) {
    Shares shares = { 0 };
    Share dear, other;

    share_begin(&dear, &shares.root);
    share_begin(&other, &shares.root);
    share_wait(&dear);
    expect_turn(&shares, &dear, 1000);
    share_rest(&dear);
    assert_false(share_is_settled(&dear));
    share_wait(&other);
    expect_turn(&shares, &other, 300);
    share_wait(&dear);
    assert_int_equal(dear.served, 1000);
    for (unsigned i = 0; i < 3; i++)
        expect_turn(&shares, &other, 300);
    assert_false(share_is_settled(&dear));
    expect_turn(&shares, &dear, 1000);
    share_rest(&dear);
    assert_false(share_is_settled(&dear));
    for (unsigned i = 0; i < 3; i++)
        expect_turn(&shares, &other, 300);
    assert_true(other.served > dear.served);
    assert_false(share_is_settled(&dear)); /* not before a choice was made beyond it */
    (void) shares_next(&shares, &none);
    assert_true(share_is_settled(&dear));
}

static void what_costs_nothing_costs_something(void **state) {
    Shares shares = { 0 };
    Share free_of_charge, other;

    share_begin(&free_of_charge, &shares.root);
    share_begin(&other, &shares.root);
    share_wait(&free_of_charge);
    share_wait(&other);
    expect_turn(&shares, &free_of_charge, 0);
    expect_turn(&shares, &other, 0);
    expect_turn(&shares, &free_of_charge, 0);
    assert_int_equal(free_of_charge.served, 2);
}

/* It is charged also when it rests by then, with all above it. */
static void charged_while_it_rests(void **state) {
    Shares shares = { 0 };
    Share user, leaf, sibling;

    share_begin(&user, &shares.root);
    share_begin(&leaf, &user);
    share_begin(&sibling, &user);
    share_wait(&leaf);
    share_wait(&sibling);
    share_rest(&leaf);
    assert_true(user.waits);
    shares_charge(&shares, &leaf, 50);
    assert_int_equal(leaf.served, 50);
    assert_int_equal(user.served, 50);
    assert_ptr_equal(shares_next(&shares, &none), &sibling);
}

static void own_jobs_go_first_up_to_half(void **state) {
    Shares shares = { 0 };
    Share user;
    uint64_t own = 0, others = 0;

    assert_true(shares_own_goes(&shares));
    shares_charge_own(&shares, 1000000); /* nobody else wanted it */
    share_begin(&user, &shares.root);
    share_wait(&user);
    assert_true(shares_own_goes(&shares));
    shares_charge_own(&shares, 500);
    assert_false(shares_own_goes(&shares));
    expect_turn(&shares, &user, 499);
    assert_false(shares_own_goes(&shares));
    expect_turn(&shares, &user, 10); /* no credit from what is too much */
    assert_true(shares_own_goes(&shares));
    for (unsigned i = 0; i < 10000; i++) {
        uint64_t cost = 1 + i * 7919 % 1000;
        if (shares_own_goes(&shares)) {
            shares_charge_own(&shares, cost);
            own += cost;
        } else {
            shares_charge(&shares, shares_next(&shares, &none), cost);
            others += cost;
        }
        assert_true(own <= others + 1000);
    }
    shares_charge_own(&shares, 0);
    assert_false(shares_own_goes(&shares)); /* that cost something too */
    share_rest(&user);
    assert_true(shares_own_goes(&shares));
}

/* What took very much longer than usual counts for eight times that; a TPM that has become slower is not unusual for
 * long, and neither is one that has become faster. */
static void costs_are_usual_ones(void **state) {
    uint64_t usual = 0;

    assert_int_equal(share_cost(&usual, 300), 300);
    assert_int_equal(usual, 300);
    assert_int_equal(share_cost(&usual, 2400), 2400); /* a key was loaded */
    assert_int_equal(usual, 562);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(share_cost(&usual, 300), 300);
    assert_in_range(usual, 300, 307);
    uint64_t before = usual;
    assert_int_equal(share_cost(&usual, 1000000), 8 * before);
    assert_int_equal(usual, before + 7 * before / 8);
    for (unsigned i = 0; i < 100; i++)
        (void) share_cost(&usual, 1000000);
    assert_int_equal(share_cost(&usual, 1000000), 1000000);
    assert_in_range(usual, 999000, 1000000);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(share_cost(&usual, 1), 1);
    assert_in_range(usual, 1, 8);
    usual = 0;
    assert_int_equal(share_cost(&usual, 0), 0); /* which is charged as 1 */
    assert_int_equal(share_cost(&usual, UINT64_MAX), UINT64_MAX);
    assert_int_equal(share_cost(&usual, UINT64_MAX), UINT64_MAX);
}

/* For how long the one that was chosen would go on being next. */
static void leads(void **state) {
    Shares shares = { 0 };
    Share users[2], leaves[3];

    for (unsigned i = 0; i < 2; i++)
        share_begin(&users[i], &shares.root);
    for (unsigned i = 0; i < 3; i++)
        share_begin(&leaves[i], &users[i / 2]);
    share_wait(&leaves[0]);
    assert_ptr_equal(shares_next(&shares, &none), &leaves[0]);
    assert_int_equal(shares_lead(&shares, &leaves[0]), 0); /* nobody else is there */
    share_wait(&leaves[2]);
    assert_int_equal(shares_lead(&shares, &leaves[0]), 0); /* nothing between them */
    expect_turn(&shares, &leaves[0], 800);
    expect_turn(&shares, &leaves[2], 300);
    assert_ptr_equal(shares_next(&shares, &none), &leaves[2]);
    assert_int_equal(shares_lead(&shares, &leaves[2]), 500);
    assert_int_equal(shares_lead(&shares, &leaves[0]), 0); /* it is not next */
    expect_turn(&shares, &leaves[2], 1000);
    share_wait(&leaves[1]);
    Share *next = shares_next(&shares, &none);
    assert_true(next == &leaves[0] || next == &leaves[1]);
    assert_int_equal(shares_lead(&shares, next), 0); /* its user has another one to serve */
}

static bool is_the_one(const Share *share, void *userdata) {
    return share == userdata;
}

/* What is cheaper goes first within the slack, and not beyond it; nobody's level is lifted by that. */
static void cheap_ones_first(void **state) {
    Shares shares = { 0 };
    Share loaded, others[2];
    const SharesPreference preference = { is_the_one, &loaded, 1000 };
    unsigned in_a_row = 0;

    share_begin(&loaded, &shares.root);
    for (unsigned i = 0; i < 2; i++) {
        share_begin(&others[i], &shares.root);
        share_wait(&others[i]);
    }
    share_wait(&loaded);
    while (shares_next(&shares, &preference) == &loaded) {
        shares_charge(&shares, &loaded, 100);
        in_a_row++;
    }
    assert_int_equal(in_a_row, 11); /* up to the slack, and one more */
    assert_int_equal(shares.root.level, 0);
    for (unsigned i = 0; i < 2; i++)
        shares_charge(&shares, &others[i], 100);
    assert_ptr_equal(shares_next(&shares, &preference), &loaded); /* within it again */
    shares_charge(&shares, &loaded, 100);
    for (unsigned i = 0; i < 11; i++)
        for (unsigned k = 0; k < 2; k++)
            expect_turn(&shares, &others[k], 100);
    assert_ptr_equal(shares_next(&shares, &none), &loaded); /* in the end it had no more than they */
}

/* ---- walks ---- */

#define USERS      5U
#define IDENTITIES 3U
#define HANDLES    4U
#define LEAVES     (USERS * IDENTITIES * HANDLES)
#define COST_MAX   5000U

typedef struct World {
    Shares shares;
    Share users[USERS], identities[USERS][IDENTITIES], leaves[LEAVES];
    uint64_t had[USERS]; /* time */
    uint64_t others;     /* time that others than user 1 have had since its last turn */
} World;

static uint32_t random_state;

static uint32_t draw(uint32_t below) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state % below;
}

static World *world_new(uint32_t seed) {
    World *world = calloc(1, sizeof *world);

    assert_non_null(world);
    random_state = seed;
    for (unsigned u = 0; u < USERS; u++) {
        share_begin(&world->users[u], &world->shares.root);
        for (unsigned i = 0; i < IDENTITIES; i++) {
            share_begin(&world->identities[u][i], &world->users[u]);
            for (unsigned h = 0; h < HANDLES; h++)
                share_begin(&world->leaves[(u * IDENTITIES + i) * HANDLES + h], &world->identities[u][i]);
        }
    }
    return world;
}

static unsigned user_of(unsigned leaf) {
    return leaf / (IDENTITIES * HANDLES);
}

/* The list below a share: sorted, whole in both directions, of those that wait and no others. */
static void check_list(const Share *parent, const Share *children, size_t count) {
    const Share *previous = NULL;
    size_t linked = 0, waiting = 0;

    for (const Share *share = parent->first; share; previous = share, share = share->next, linked++) {
        assert_true(share->waits);
        assert_ptr_equal(share->previous, previous);
        assert_true(!previous || previous->served <= share->served);
        assert_true(share->served >= parent->level);
    }
    assert_ptr_equal(parent->last, previous);
    for (size_t i = 0; i < count; i++)
        waiting += children[i].waits;
    assert_int_equal(linked, waiting);
}

static void check_world(const World *world) {
    check_list(&world->shares.root, world->users, USERS);
    for (unsigned u = 0; u < USERS; u++) {
        assert_int_equal(world->users[u].waits, world->users[u].first != NULL);
        check_list(&world->users[u], world->identities[u], IDENTITIES);
        for (unsigned i = 0; i < IDENTITIES; i++)
            check_list(&world->identities[u][i], &world->leaves[(u * IDENTITIES + i) * HANDLES], HANDLES);
    }
}

/* One turn, at a cost that nobody knew before. */
static void turn(World *world, const SharesPreference *preference) {
    Share *next = shares_next(&world->shares, preference);
    if (!next)
        return;
    size_t leaf = (size_t) (next - world->leaves);
    uint64_t cost = draw(10) == 0 ? COST_MAX : 1 + draw(user_of((unsigned) leaf) == 0 ? COST_MAX : 100);

    assert_true(leaf < LEAVES);
    shares_charge(&world->shares, next, cost);
    world->had[user_of((unsigned) leaf)] += cost;
    world->others = user_of((unsigned) leaf) == 1 ? 0 : world->others + cost;
    if (draw(3) == 0)
        share_rest(next);
}

/* Comings and goings of all but user 1 and 2, whose first handles always wait: whatever the others do, the two have had
 * the same time but for one turn's, and no other has had more since it came. */
static void walk(uint32_t seed, const SharesPreference *preference, uint64_t slack) {
    World *world = world_new(seed);
    const unsigned first = IDENTITIES * HANDLES, second = 2 * IDENTITIES * HANDLES;

    for (unsigned step = 0; step < 20000; step++) {
        unsigned leaf = draw(LEAVES);
        if (draw(4) > 0)
            share_wait(&world->leaves[leaf]);
        else
            share_rest(&world->leaves[leaf]);
        share_wait(&world->leaves[first]);
        share_wait(&world->leaves[second]);
        turn(world, preference);
        share_wait(&world->leaves[first]);
        share_wait(&world->leaves[second]);
        check_world(world);
        for (unsigned u = 0; u < USERS; u++)
            assert_true(world->had[u] <= world->had[1] + COST_MAX + slack);
        assert_true(world->had[1] <= world->had[2] + COST_MAX + slack);
        assert_true(world->others <= (USERS - 1) * (2 * COST_MAX + slack)); /* and nobody is left out */
    }
    assert_true(world->had[1] > 20000); /* something did happen */
    free(world);
}

static void walks_are_fair(void **state) {
    for (uint32_t seed = 1; seed <= 8; seed++)
        walk(seed, &none, 0);
}

static bool by_chance(const Share *share, void *userdata) {
    return draw(2) == 0;
}

static void walks_are_fair_within_the_slack(void **state) {
    const SharesPreference preference = { by_chance, NULL, 20000 };

    for (uint32_t seed = 1; seed <= 8; seed++)
        walk(seed, &preference, preference.slack);
}

/* Whoever comes and goes as it likes gets nothing that who stays does not get: to rest after each turn and to come back
 * at once, or only when all others have had theirs, wins no time. */
static void pauses_win_nothing(void **state) {
    for (unsigned pause = 0; pause < 40; pause++) {
        Shares shares = { 0 };
        Share stays[3], sly;
        uint64_t of_sly = 0, of_first = 0;

        share_begin(&sly, &shares.root);
        for (unsigned i = 0; i < 3; i++) {
            share_begin(&stays[i], &shares.root);
            share_wait(&stays[i]);
        }
        for (unsigned i = 0, away = 0; i < 20000; i++, away++) {
            if (away >= pause)
                share_wait(&sly);
            Share *next = shares_next(&shares, &none);
            uint64_t cost = next == &sly ? 900 : 100;
            shares_charge(&shares, next, cost);
            of_sly += next == &sly ? cost : 0;
            of_first += next == &stays[0] ? cost : 0;
            if (next == &sly) {
                share_rest(&sly);
                away = 0;
            }
            assert_true(of_sly <= of_first + 1000);
        }
    }
}

/* Thousands wait: as many steps as levels, where turns cost the same. */
static void many(void **state) {
    enum { HOW_MANY = 4096 };
    static Share leaves[HOW_MANY];
    Shares shares = { 0 };
    Share user;

    share_begin(&user, &shares.root);
    for (unsigned i = 0; i < HOW_MANY; i++) {
        share_begin(&leaves[i], &user);
        share_wait(&leaves[i]);
    }
    for (unsigned round = 0; round < 20; round++)
        for (unsigned i = 0; i < HOW_MANY; i++)
            expect_turn(&shares, &leaves[i], 300);
    for (unsigned i = 0; i < HOW_MANY; i++)
        share_rest(&leaves[i]);
    assert_null(shares_next(&shares, &none));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody),
        cmocka_unit_test(by_time),
        cmocka_unit_test(by_user_first),
        cmocka_unit_test(then_by_identity),
        cmocka_unit_test(no_credit_and_no_round_to_wait),
        cmocka_unit_test(a_debt_outlives_a_pause),
        cmocka_unit_test(what_costs_nothing_costs_something),
        cmocka_unit_test(charged_while_it_rests),
        cmocka_unit_test(own_jobs_go_first_up_to_half),
        cmocka_unit_test(costs_are_usual_ones),
        cmocka_unit_test(leads),
        cmocka_unit_test(cheap_ones_first),
        cmocka_unit_test(walks_are_fair),
        cmocka_unit_test(walks_are_fair_within_the_slack),
        cmocka_unit_test(pauses_win_nothing),
        cmocka_unit_test(many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
