/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A whole device in one process: directories of its own, a real swtpm, a loop, a CA and a scripted enroller
 * (enroller.h). A test makes of it either a Manager with all that belongs to it, or the parts alone, with identities
 * and duties of its own choosing. What is logged is kept, for the test to look at. */
#pragma once

#include "device/device.h"
#include "fakes/fake-pki.h"
#include "fakes/swtpm.h"
#include "identity/identity.h"
#include "manager/manager.h"
#include "revocation/peer-pool.h"
#include "tests/unit/common/test.h"
#include "tests/unit/device/enroller.h"
#include "work/work.h"

#include <stdio.h>
#include <string.h>

typedef struct Machine {
    char root[64]; /* state/, runtime/, etc/ and credentials/ are below it */
    Swtpm *swtpm;
    sd_event *loop;
    FakeCa *ca; /* etc/ca.pem */
    Enroller *enroller;
    Manager *manager; /* of machine_start */
    Device *device;
    Work *work; /* this and what follows: of machine_start_parts */
    IdentitySet *set;
    PeerPool *peer_pool;
    IdentityContext context;
    bool by_hand;                                      /* nobody flushes identities or begins what is due */
    unsigned looked, tpm_changed;                      /* calls of DeviceCallbacks */
    unsigned changed[CHANGE_IDENTITY_PROPERTIES + 1U]; /* calls of ManagerCallbacks, by kind */
    struct {
        char *text;
        size_t size, forgotten;
        FILE *stream, *before;
    } log;
} Machine;

/* cmocka's setup and teardown; *state is the Machine. Nothing runs yet; identityd.conf names the swtpm. */
int machine_setup(void **state);
int machine_teardown(void **state);
/* The same, for fixtures that have more than a Machine. machine_free: what the teardown is to return. */
Machine *machine_new(void);
int machine_free(Machine *machine);

/* ---- files ---- */

/* Writes ROOT/PATH; the directories above it are there. */
void machine_write(const Machine *machine, const char *path, const char *format, ...) _printf_(3, 4);
/* Reads it; NULL: it is not there. The caller frees. */
char *machine_read(const Machine *machine, const char *path);
/* ROOT/PATH, in one of four buffers used in turn. */
const char *machine_path(const Machine *machine, const char *path);
/* identities/NAME.conf: CN=NAME, an EST server, Anchors= the CA; then `more`, which begins in [Enrollment] and may go
 * on with other sections. */
void machine_configure(const Machine *machine, const char *name, const char *more);
/* The same with AnchorsFingerprint= of `ca` alone. */
void machine_configure_fingerprint(const Machine *machine, const char *name, const FakeCa *ca, const char *more);
/* The same for Protocol=manual. */
void machine_configure_manual(const Machine *machine, const char *name, const char *more);

/* ---- life ---- */

void machine_start(Machine *machine);
/* `duties`: NULL-terminated. Identities are then made with machine_add. */
void machine_start_parts(Machine *machine, const Duty *const *duties);
Identity *machine_add(Machine *machine, const char *name);
/* Both, by hand and for identity x alone, configured so (machine_configure). */
Identity *machine_start_alone(Machine *machine, const char *more, const Duty *const *duties);
/* Either; what is on the disk stays. */
void machine_stop(Machine *machine);
/* The identity of that name, which must be there. */
Identity *machine_identity(const Machine *machine, const char *name);
/* The CRLs that programs are given with it; good until the next call. */
BytesView machine_crls(const Identity *identity);

/* ---- turns of the loop ---- */

/* One turn; fails the test where something else than a callback went wrong. */
void machine_turn(Machine *machine);
/* Turns until `condition` holds; fails the test after ten seconds. */
#define machine_until(machine, condition)                                                                              \
    do {                                                                                                               \
        double _end = machine_seconds() + 10;                                                                          \
        while (!(condition)) {                                                                                         \
            machine_turn(machine);                                                                                     \
            if (machine_seconds() > _end)                                                                              \
                machine_fail((machine), #condition, __FILE__, __LINE__);                                               \
        }                                                                                                              \
    } while (0)
double machine_seconds(void);
void machine_fail(Machine *machine, const char *what, const char *file, int line);
/* Until what was begun is through, as far as eight tasks of the signing thread in a row suffice for it: for what must
 * not happen. */
void machine_settle(Machine *machine);
/* Lets time pass (clock.h), and settles. */
void machine_pass(Machine *machine, int64_t seconds);
/* Until the enroller has got so many jobs since the start, and knows what the last one is: that one. */
EnrollerJob *machine_await_job(Machine *machine, unsigned count);
/* Until identity NAME has that state. */
void machine_await_state(Machine *machine, const char *name, IdentityState state);

/* ---- the log ---- */

/* All that was logged since the start, or since it was forgotten. Borrowed, until the next turn. */
const char *machine_log(Machine *machine);
/* How often that text is in it. */
unsigned machine_logged(Machine *machine, const char *text);
void machine_forget_log(Machine *machine);
/* Fails the test unless it was logged exactly so often. */
#define machine_expect_log(machine, part, times)                                                                       \
    do {                                                                                                               \
        unsigned _times = machine_logged((machine), (part));                                                           \
        if (_times != (times))                                                                                         \
            fail_msg("%u times, not %u, in the log: %s\n%s", _times, (unsigned) (times), (part),                       \
                     machine_log(machine));                                                                            \
    } while (0)

/* ---- who waits for an operation ---- */

typedef struct Answer {
    unsigned calls;
    Failure failure;
    char result[4096]; /* and a NUL */
    size_t size;
} Answer;
/* OperationDone; `userdata` is an Answer. */
void answer_done(const Failure *failure, BytesView result, void *userdata);

/* Fails the test unless `failure` is of that kind and its text has `text`. */
#define expect_failure(failure, of_kind, part)                                                                         \
    do {                                                                                                               \
        const Failure *_failure = (failure);                                                                           \
        if (_failure->kind != (of_kind) || !strstr(_failure->text, (part)))                                            \
            fail_msg("'%s' (kind %d) instead of '%s' (kind %d)", _failure->text, (int) _failure->kind, (part),         \
                     (int) (of_kind));                                                                                 \
    } while (0)
