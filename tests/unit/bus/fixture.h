/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* identityd on a bus of its own, in one process: a real dbus-daemon, a real Manager with a real swtpm in scratch
 * directories, the real bus objects, and clients on the same loop. Polkit is the test's, and says what it is told. */
#pragma once

#include "bus/internal.h"
#include "fakes/fake-pki.h"
#include "fakes/swtpm.h"
#include "fakes/test-bus.h"
#include "tests/unit/common/test.h"

typedef enum PolkitMood {
    POLKIT_ABSENT,
    POLKIT_NO,
    POLKIT_YES,
    POLKIT_CHALLENGE,
    POLKIT_ERROR,
    POLKIT_NONSENSE,
    POLKIT_SILENT,
} PolkitMood;

typedef struct World {
    char root[64]; /* state/, runtime/, etc/ are below it */
    TestBus *daemon;
    sd_event *loop;
    Swtpm *swtpm;
    FakeCa *ca;
    Manager *manager;
    Bus *bus;
    sd_bus *client;
    struct {
        sd_bus *bus;
        PolkitMood mood;
        unsigned asked;
        char action[64], subject[64], identity[80];
        uint32_t flags;
    } polkit; /* of the last question */
} World;

/* cmocka's: the bus alone, with a client; … */
int world_setup(void **state);
/* … and with identityd, which has its name. The identities are `hand` (Protocol=manual, [Access] data-raw= for our
 * user) and `other` (the same, without [Access]); both are empty. */
int world_setup_whole(void **state);
int world_teardown(void **state);

/* The parts of world_setup_whole. */
void world_start_manager(World *world);
void world_stop(World *world);

/* A connection that is not attached to anybody but the loop. */
sd_bus *world_connect(World *world);
/* The same as another user; NULL: only root can. */
sd_bus *world_connect_as(World *world, uid_t uid);
void world_polkit(World *world, PolkitMood mood);

/* Turns of the loop until `condition` holds; ten seconds at most. */
#define world_until(world, condition)                                                                                  \
    do {                                                                                                               \
        uint64_t _end = world_now() + 10000000U;                                                                       \
        while (!(condition)) {                                                                                         \
            world_turn(world);                                                                                         \
            if (world_now() > _end)                                                                                    \
                fail_msg("waited in vain for %s", #condition);                                                         \
        }                                                                                                              \
    } while (0)
void world_turn(World *world);
uint64_t world_now(void);
/* For what must not happen: all that is ready by now, and some more. */
void world_settle(World *world);

/* ---- calls ---- */

typedef struct Reply {
    bool done;
    sd_bus_message *message; /* NULL: an error */
    char error[128], text[1024];
} Reply;
void reply_clear(Reply *reply);
#define _cleanup_reply_ _cleanup_(reply_clear)

/* Sends without waiting; `reply` is filled in later. Takes the message. */
void world_send(sd_bus_message *m, Reply *reply);
/* A call to `path` (NULL: /org/identityd1, and the Manager's interface); the caller appends and sends it. */
sd_bus_message *world_message(sd_bus *client, const char *path, const char *member);
/* A whole one; waits. */
void world_call(World *world, const char *path, const char *member, Reply *ret, const char *types, ...);
void world_finish(World *world, Reply *reply);

#define assert_refused(reply, name)                                                                                    \
    do {                                                                                                               \
        if (strcmp((reply)->error, IDENTITYD_ERROR_PREFIX name) != 0)                                                  \
            fail_msg("'%s' (%s) instead of " name, (reply)->error, (reply)->text);                                     \
    } while (0)
#define assert_answered(reply)                                                                                         \
    do {                                                                                                               \
        if (!(reply)->message)                                                                                         \
            fail_msg("%s: %s", (reply)->error, (reply)->text);                                                         \
    } while (0)

#define HAND  IDENTITYD_IDENTITY_PREFIX "/hand"
#define OTHER IDENTITYD_IDENTITY_PREFIX "/other"

/* A certificate for the request, DER; gnutls_free()s to the caller. */
gnutls_datum_t world_certify(const World *world, const void *request, size_t size);
/* `hand` is ready. */
void world_make_ready(World *world);
/* A property that is a string; in a buffer that lasts until the next. */
const char *world_text(World *world, const char *path, const char *name);
