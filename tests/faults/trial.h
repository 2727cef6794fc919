/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A device whose identityd is a process of its own, and may be failed from outside: a real swtpm, a real message bus, a
 * CA and an enroller in the process of the test (fakes/fake-pki.h, tests/unit/device/enroller.h). Its one identity is
 * x. */
#pragma once

#include "control.h"
#include "trap.h"

#include "common/packet.h"
#include "fakes/fake-pki.h"
#include "fakes/swtpm.h"
#include "fakes/test-bus.h"
#include "tests/unit/device/enroller.h"

#include <systemd/sd-bus.h>

#define X_PATH "/org/identityd1/identity/x"

typedef struct Trial {
    const char *program, *preload; /* identityd, and what comes before it */
    char root[64];                 /* state/, runtime/, etc/, log */
    Swtpm *swtpm;
    TestBus *bus_daemon;
    sd_event *loop;
    FakeCa *ca;
    Enroller *enroller;
    sd_bus *bus;
    Control *control;
    Trap *trap;
    bool traps; /* what is started next is asked for its calls, too */
    pid_t pid;  /* 0: none runs */
    int pidfd;
    sd_event_source *end;
    int status;       /* of the last that ran, as of waitpid(2) */
    unsigned changes; /* signals from identityd */
    Bytes key;        /* what x's signatures are verified with */
    PacketBuffer buffer;
} Trial;

/* Aborts on failure, as all of this file where the test itself is at fault. */
Trial *trial_new(const char *program, const char *preload);
Trial *trial_free(Trial *trial);

/* ROOT/PATH, in one of four buffers used in turn. */
const char *trial_path(const Trial *trial, const char *path);
/* What identityd has printed so far; freed by the caller. */
char *trial_log(const Trial *trial);
size_t trial_log_size(const Trial *trial);

/* ---- the process ---- */

void trial_start(Trial *trial);
/* Ends it in order; false: it does not end, or not with status 0. */
bool trial_stop(Trial *trial);
void trial_kill(Trial *trial);
/* Whether it still runs; status is set where it does not. */
bool trial_runs(Trial *trial);
/* How many it has open; what they are, if `ret` is not NULL. */
unsigned trial_descriptors(const Trial *trial, char *ret, size_t size);
/* Its state directory is as before the first start. */
void trial_forget(Trial *trial);

/* ---- turns of the loop ---- */

double trial_seconds(void);
void trial_turn(Trial *trial);
/* When to give up, in trial_seconds: `end`, but once something has failed, so many seconds from now, if that is sooner.
 */
double trial_deadline(const Trial *trial, double end, double patience);
/* Turns until `condition` holds, identityd is gone, or so many seconds have passed; what `condition` is then. */
#define trial_until(trial, condition, seconds)                                                                         \
    ({                                                                                                                 \
        double _end = trial_seconds() + (seconds);                                                                     \
        while (!(condition) && trial_runs(trial) && trial_seconds() < _end)                                            \
            trial_turn(trial);                                                                                         \
        (condition);                                                                                                   \
    })

/* ---- calls ---- */

typedef struct Answer {
    bool done;
    sd_bus_message *message; /* NULL: an error, or nothing has come */
    char text[512];          /* of the error */
} Answer;
void answer_clear(Answer *answer);
#define _cleanup_answer_ _cleanup_(answer_clear)
/* A call to X_PATH, or with path NULL to the Manager; true: answered without an error. Waits for a few seconds. */
bool trial_call(Trial *trial, const char *path, const char *member, Answer *ret, const char *types, ...);
/* A property of x. */
bool trial_get(Trial *trial, const char *name, Answer *ret);
bool trial_is_ready(Trial *trial);
uint32_t trial_generation(Trial *trial);
