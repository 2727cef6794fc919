/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who is in the queue, without a thread: one user by its number, one lane by user and identity; what is remembered of
 * those who have left, and how much; turns that are given and charged; and the moment for who is behind. */
#include "signing/signing-internal.h"

#include "tests/unit/common/test.h"

#include <string.h>
#include <sys/socket.h>

/* A client that notes its turns. */
typedef struct Asker {
    Client client;
    unsigned turns, ends;
    int result, last;
    uint64_t lasts; /* µs that its turn takes, at least */
    uint64_t usual; /* 0: that is what it counts for */
} Asker;

static int setup(void **state) {
    Signing *signing = calloc(1, sizeof *signing);

    assert_non_null(signing);
    assert_int_equal(sd_event_new(&signing->loop), 0);
    assert_int_equal(queue_begin(signing), 0);
    *state = signing;
    return 0;
}

static int teardown(void **state) {
    Signing *signing = *state;

    queue_end(signing);
    sd_event_unref(signing->loop);
    free(signing);
    return 0;
}

static Lane *enter(Signing *signing, uid_t uid, const char *identity) {
    const SigningPayer payer = { SIGNING_FOR_USER, uid, identity };
    Place place;

    assert_int_equal(place_new(&payer, &place), 0);
    Lane *lane = queue_enter(signing, &place);
    assert_null(place.user);
    assert_null(place.lane);
    return lane;
}

static unsigned count_users(const Signing *signing) {
    unsigned count = 0;

    for (const User *user = signing->users; user; user = user->next)
        count++;
    return count;
}

static int serve(Client *client) {
    Asker *asker = (Asker *) client;

    asker->turns++;
    if (asker->usual > 0)
        client->usual = &asker->usual;
    for (uint64_t begun = thread_now(); thread_now() < begun + asker->lasts;)
        ;
    return asker->result;
}

static void served(Client *client, int result) {
    Asker *asker = (Asker *) client;

    asker->ends++;
    asker->last = result;
}

static void begin(Asker *asker, Lane *lane, int result) {
    *asker = (Asker) { .client = { .lane = lane, .serve = serve, .served = served }, .result = result };
    share_begin(&asker->client.share, &lane->share);
}

static void run_turns(Signing *signing, unsigned count) {
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(sd_event_run(signing->loop, 0), 1);
}

static void users_and_lanes(void **state) {
    Signing *signing = *state;
    Lane *lane = enter(signing, 7, "x");

    assert_ptr_equal(enter(signing, 7, "x"), lane);
    assert_int_equal(lane->clients, 2);
    Lane *other = enter(signing, 7, "y"), *stranger = enter(signing, 8, "x");
    assert_ptr_not_equal(other, lane);
    assert_ptr_equal(other->user, lane->user);
    assert_ptr_not_equal(stranger->user, lane->user);
    assert_int_equal(count_users(signing), 2);
    queue_leave(lane, signing);
    assert_ptr_equal(enter(signing, 7, "x"), lane); /* one was left in it */
    queue_leave(lane, signing);
    queue_leave(lane, signing);
    assert_int_equal(count_users(signing), 2);
    assert_ptr_equal(stranger->user->lanes, stranger);
    queue_leave(other, signing);
    assert_int_equal(count_users(signing), 1); /* who owes nothing is forgotten */
    queue_leave(stranger, signing);
    assert_int_equal(count_users(signing), 0);
}

/* Ourselves are no uid's: not root's, and not that of who has none. */
static void ourselves(void **state) {
    Signing *signing = *state;
    Place place;

    assert_int_equal(place_new(&(SigningPayer) { .who = SIGNING_OWN_SLOW }, &place), 0);
    Lane *own = queue_enter(signing, &place), *root = enter(signing, 0, ""), *none = enter(signing, (uid_t) -1, "");
    assert_ptr_not_equal(own->user, root->user);
    assert_ptr_not_equal(own->user, none->user);
    queue_leave(own, signing);
    queue_leave(root, signing);
    queue_leave(none, signing);
}

/* A place that is not taken is given back. */
static void places(void **state) {
    Place place = { NULL, NULL };

    place_clear(&place);
    assert_int_equal(place_new(&(SigningPayer) { SIGNING_FOR_USER, 1, "x" }, &place), 0);
    assert_string_equal(place.lane->identity, "x");
    place_clear(&place);
    assert_null(place.user);
    assert_null(place.lane);
}

/* Who has left comes back to what it owes; of very many not all are remembered. */
static void debts_are_remembered(void **state) {
    enum { USERS = 300 };
    Signing *signing = *state;

    for (uid_t uid = 1; uid <= USERS; uid++) {
        Lane *lane = enter(signing, uid, "x");
        shares_charge(&signing->shares, &lane->share, 1000);
        queue_leave(lane, signing);
        Lane *again = enter(signing, uid, "x");
        assert_int_equal(again->user->share.served, 1000);
        queue_leave(again, signing);
        assert_true(count_users(signing) <= 64);
    }
    assert_int_equal(count_users(signing), 64);
    Lane *first = enter(signing, 1, "x"), *last = enter(signing, USERS, "x");
    assert_int_equal(first->user->share.served, 0);
    assert_int_equal(last->user->share.served, 1000);
    assert_int_equal(count_users(signing), 65); /* whoever is there is not forgotten */
    signing->shares.root.level = 1000;          /* as if the others had had as much since */
    queue_leave(first, signing);
    assert_int_equal(count_users(signing), 1);
    queue_leave(last, signing);
    assert_int_equal(count_users(signing), 0);
}

static void turns_are_given_and_charged(void **state) {
    Signing *signing = *state;
    Asker busy, once, ended;
    Lane *lanes[] = { enter(signing, 1, "x"), enter(signing, 2, "x"), enter(signing, 3, "x") };

    begin(&busy, lanes[0], 1);
    begin(&once, lanes[1], 0);
    begin(&ended, lanes[2], -EPROTO);
    busy.lasts = 2000;
    assert_int_equal(sd_event_run(signing->loop, 0), 0); /* nobody waits: the loop sleeps */
    client_wait(&busy.client, signing);
    client_wait(&once.client, signing);
    client_wait(&ended.client, signing);
    run_turns(signing, 3);
    assert_int_equal(busy.turns, 1);
    assert_true(lanes[0]->user->share.served >= 2000);
    assert_true(busy.client.share.waits);
    assert_int_equal(once.turns, 1);
    assert_true(once.client.share.served > 0);
    assert_false(once.client.share.waits);
    assert_int_equal(ended.ends, 1);
    assert_int_equal(ended.last, -EPROTO);
    assert_false(ended.client.share.waits);
    busy.result = 0;
    run_turns(signing, 2); /* and one that finds nobody */
    assert_int_equal(busy.turns, 2);
    assert_int_equal(sd_event_run(signing->loop, 0), 0);
    client_wait(&once.client, signing);
    client_rest(&once.client);
    run_turns(signing, 1);
    assert_int_equal(once.turns, 1);
    for (unsigned i = 0; i < 3; i++)
        queue_leave(lanes[i], signing);
}

/* A turn in which the machine was at something else does not count for all of that, where it is known what it should
 * have taken. */
static void unusual_turns(void **state) {
    Signing *signing = *state;
    Asker asker;
    Lane *lane = enter(signing, 1, "x");

    begin(&asker, lane, 0);
    asker.lasts = 5000;
    asker.usual = 100;
    client_wait(&asker.client, signing);
    run_turns(signing, 1);
    assert_int_equal(lane->user->share.served, 800);
    assert_int_equal(asker.usual, 187);
    asker.usual = 0; /* the next is of another kind */
    client_wait(&asker.client, signing);
    run_turns(signing, 1);
    assert_true(lane->user->share.served >= 5800);
    queue_leave(lane, signing);
}

/* Only who is behind gets a moment, and only if it alone is what its user waits with. */
static void a_moment_for_who_is_behind(void **state) {
    Signing *signing = *state;
    Asker behind, ahead;
    Lane *lanes[] = { enter(signing, 1, "x"), enter(signing, 2, "x") };
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(send(fds[1], "x", 1, 0), 1);
    begin(&behind, lanes[0], 1);
    begin(&ahead, lanes[1], 1);
    client_wait(&behind.client, signing);
    assert_false(client_await(&behind.client, signing, fds[0])); /* nobody else is there */
    client_wait(&ahead.client, signing);
    assert_false(client_await(&behind.client, signing, fds[0])); /* it is not behind */
    shares_charge(&signing->shares, &ahead.client.share, 159);
    assert_false(client_await(&behind.client, signing, fds[0])); /* not worth a moment */
    shares_charge(&signing->shares, &ahead.client.share, 1);
    assert_true(client_await(&behind.client, signing, fds[0]));
    assert_false(client_await(&ahead.client, signing, fds[0]));
    shares_charge(&signing->shares, &ahead.client.share,
                  UINT64_C(100000000000)); /* a day: it is not an eighth of that */
    assert_int_equal(recv(fds[0], &(char) { 0 }, 1, 0), 1);
    assert_false(client_await(&behind.client, signing, fds[0]));
    close(fds[1]);
    assert_true(client_await(&behind.client, signing, fds[0])); /* an end is something, too */
    close(fds[0]);
    client_rest(&behind.client);
    client_rest(&ahead.client);
    queue_leave(lanes[0], signing);
    queue_leave(lanes[1], signing);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(users_and_lanes),
        TEST(ourselves),
        TEST(places),
        TEST(debts_are_remembered),
        TEST(turns_are_given_and_charged),
        TEST(unusual_turns),
        TEST(a_moment_for_who_is_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
