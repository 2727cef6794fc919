/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See waiting.h. A first job holds the thread up, and a second one, behind it and before all that follows, looks. */
#include "tests/unit/device/waiting.h"

#include "signing/signing-internal.h"

#include <inttypes.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>

struct Waiting {
    Signing *signing;
    sem_t held, let_go;
    bool is_over;
    char text[1024];
};

static void run_hold(Tpm *tpm, void *data) {
    Waiting *waiting = data;

    sem_post(&waiting->held);
    while (sem_wait(&waiting->let_go) < 0)
        ;
}

static void end_hold(void *data, bool cancelled) {
}

static void append(Waiting *waiting, const char *text) {
    assert_true(strlen(waiting->text) + strlen(text) < sizeof waiting->text);
    strcat(waiting->text, text);
}

static void run_look(Tpm *tpm, void *data) {
    Waiting *waiting = data;
    const Signing *signing = waiting->signing;
    char user_text[32], text[128];

    if (signing->own_jobs.first)
        append(waiting, " own");
    for (const User *user = signing->users; user; user = user->next)
        for (const Lane *lane = user->lanes; lane; lane = lane->next) {
            (void) snprintf(user_text, sizeof user_text, "%" PRId64, user->uid);
            (void) snprintf(text, sizeof text, " %s/%.64s=%u", user->uid == OURSELVES ? "ourselves" : user_text,
                            lane->identity, lane->clients);
            append(waiting, text);
        }
}

static void end_look(void *data, bool cancelled) {
    ((Waiting *) data)->is_over = true;
}

Waiting *waiting_begin(Machine *machine) {
    Waiting *waiting = calloc(1, sizeof *waiting);

    assert_non_null(waiting);
    waiting->signing = device_signing(machine->device);
    sem_init(&waiting->held, 0, 0);
    sem_init(&waiting->let_go, 0, 0);
    assert_int_equal(signing_run(waiting->signing, run_hold, end_hold, waiting), 0);
    while (sem_wait(&waiting->held) < 0)
        ;
    assert_int_equal(signing_run(waiting->signing, run_look, end_look, waiting), 0);
    return waiting;
}

const char *waiting_end(Machine *machine, Waiting *waiting) {
    static char text[sizeof waiting->text];

    sem_post(&waiting->let_go);
    machine_until(machine, waiting->is_over);
    memcpy(text, waiting->text, sizeof text);
    sem_destroy(&waiting->held);
    sem_destroy(&waiting->let_go);
    free(waiting);
    return text;
}
