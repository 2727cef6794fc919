/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whose turn of the TPM it is: users, what they use, and the source of the loop that gives one turn after another as
 * rules/shares says, and charges the time that each took. It is below letters and connections in the loop's order, so
 * that each choice is among all who want a turn by then. Nothing is kept for a request: what waits is a handle, with
 * the request in its socket, or a job, which main made; and for each user and identity that has one of them a lane. */
#include "signing/signing-internal.h"

#include <poll.h>
#include <string.h>
#include <time.h>

/* Users who have left and owe time still: else whoever comes back with a new handle for each signature would owe
 * nothing, ever. Of more than so many the oldest are forgotten. */
#define REMEMBERED_MAX 64U

/* Where more keys are in use than the TPM has room for, requests of a loaded one go before others for so many times
 * what a load takes: as long as they come, no more than a fifth of the time is lost to loads, and nobody waits longer
 * than that for another key. */
#define BATCH 4U

/* A moment for who is behind: this part of what it is behind by, within these bounds (µs). Less would be over before it
 * had begun. */
#define AWAIT_PART  8U
#define AWAIT_LEAST 20U
#define AWAIT_MOST  20000U

/* ---- places ---- */

int place_new(const SigningPayer *payer, Place *ret) {
    bool is_user = payer->who == SIGNING_FOR_USER;
    const char *identity = is_user ? payer->identity : "";
    size_t size = strlen(identity) + 1;
    _cleanup_free_ User *user = calloc(1, sizeof *user);
    _cleanup_free_ Lane *lane = calloc(1, sizeof *lane + size);

    if (!user || !lane)
        return -ENOMEM;
    user->uid = is_user ? (int64_t) payer->uid : OURSELVES;
    memcpy(lane->identity, identity, size);
    *ret = (Place) { TAKE_PTR(user), TAKE_PTR(lane) };
    return 0;
}

void place_clear(Place *place) {
    free(TAKE_PTR(place->user));
    free(TAKE_PTR(place->lane));
}

/* ---- users ---- */

/* Who has left and owes nothing, and of the others who have left those that came first, beyond the bound. */
static void forget_users(Signing *signing) {
    unsigned remembered = 0;

    for (User **place = &signing->users; *place;) {
        User *user = *place;
        if (!user->lanes && (remembered == REMEMBERED_MAX || share_is_settled(&user->share))) {
            *place = user->next;
            free(user);
            continue;
        }
        remembered += user->lanes ? 0 : 1;
        place = &user->next;
    }
}

static User *find_user(const Signing *signing, int64_t uid) {
    User *user = signing->users;

    while (user && user->uid != uid)
        user = user->next;
    return user;
}

static Lane *find_lane(const User *user, const char *identity) {
    Lane *lane = user->lanes;

    while (lane && strcmp(lane->identity, identity) != 0)
        lane = lane->next;
    return lane;
}

Lane *queue_enter(Signing *signing, Place *place) {
    User *user = find_user(signing, place->user->uid);

    if (!user) {
        user = TAKE_PTR(place->user);
        share_begin(&user->share, &signing->shares.root);
        user->next = signing->users;
        signing->users = user;
    }
    Lane *lane = find_lane(user, place->lane->identity);
    if (!lane) {
        lane = TAKE_PTR(place->lane);
        share_begin(&lane->share, &user->share);
        lane->user = user;
        lane->next = user->lanes;
        user->lanes = lane;
    }
    lane->clients++;
    place_clear(place);
    forget_users(signing);
    return lane;
}

void queue_leave(Lane *lane, Signing *signing) {
    if (--lane->clients > 0)
        return;
    Lane **place = &lane->user->lanes;
    while (*place != lane)
        place = &(*place)->next;
    *place = lane->next;
    free(lane);
    forget_users(signing);
}

/* ---- turns ---- */

/* Whether the key that it most likely signs with is loaded. */
static bool lane_is_cheap(const Lane *lane, const Signing *signing) {
    const ServedIdentity *identity = served_find(&signing->served, lane->identity);
    const ServedGeneration *current = identity ? served_generation(identity, 0) : NULL;

    return current && tpm_key_is_loaded(signing->tpm, current->key);
}

static bool is_cheap(const Share *share, void *userdata) {
    const Signing *signing = userdata;

    if (share->parent != &signing->shares.root) /* a lane, or below one, where all are alike */
        return share->parent->parent == &signing->shares.root && lane_is_cheap((const Lane *) share, signing);
    for (const Share *lane = share->first; lane; lane = lane->next)
        if (lane_is_cheap((const Lane *) lane, signing))
            return true;
    return false;
}

static Client *next_client(Signing *signing) {
    const SharesPreference preference = { is_cheap, signing, BATCH * signing->usual_load };

    if (signing->own_jobs.first && shares_own_goes(&signing->shares))
        return &signing->own_jobs.client;
    return (Client *) shares_next(&signing->shares, &preference);
}

static int on_turn(sd_event_source *source, void *userdata) {
    Signing *signing = userdata;
    Client *client = next_client(signing);

    if (!client)
        return sd_event_source_set_enabled(source, SD_EVENT_OFF);
    uint64_t begun = thread_now();
    client->usual = NULL;
    int r = client->serve(client);
    uint64_t took = thread_now() - begun;
    if (client->lane) {
        shares_charge(&signing->shares, &client->share, client->usual ? share_cost(client->usual, took) : took);
        if (r <= 0)
            share_rest(&client->share);
    } else
        shares_charge_own(&signing->shares, took);
    client->served(client, r);
    return 0;
}

void client_wait(Client *client, Signing *signing) {
    if (client->lane)
        share_wait(&client->share);
    /* Of a source without a descriptor this is a mark in our own memory, and cannot fail. */
    (void) sd_event_source_set_enabled(signing->turn, SD_EVENT_ON);
}

void client_rest(Client *client) {
    share_rest(&client->share);
}

bool client_await(const Client *client, Signing *signing, int socket) {
    uint64_t us = shares_lead(&signing->shares, &client->share) / AWAIT_PART;
    struct pollfd wait = { .fd = socket, .events = POLLIN };

    if (us < AWAIT_LEAST)
        return false;
    if (us > AWAIT_MOST)
        us = AWAIT_MOST;
    const struct timespec time = { .tv_nsec = (long) us * 1000L };
    return ppoll(&wait, 1, &time, NULL) > 0;
}

int queue_begin(Signing *signing) {
    int r = sd_event_add_defer(signing->loop, &signing->turn, on_turn, signing);

    if (r >= 0)
        r = sd_event_source_set_priority(signing->turn, SD_EVENT_PRIORITY_NORMAL + 1);
    if (r >= 0)
        r = sd_event_source_set_enabled(signing->turn, SD_EVENT_OFF);
    return r < 0 ? r : 0;
}

void queue_end(Signing *signing) {
    signing->turn = sd_event_source_disable_unref(signing->turn);
    while (signing->users) {
        User *user = signing->users;
        signing->users = user->next;
        free(user);
    }
}
