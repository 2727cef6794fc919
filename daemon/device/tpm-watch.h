/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Is the TPM there, and is it the same one? Looked at when identityd starts, after trouble, and again with growing
 * patience while it is away; never while all is well. */
#pragma once

#include "common/failure.h"
#include "common/macros.h"
#include "store/store.h"
#include "tpm/tpm.h"

#include <stdbool.h>
#include <systemd/sd-event.h>

typedef struct Signing Signing;
typedef struct TpmWatch TpmWatch;

typedef struct TpmWatchOptions {
    sd_event *loop;                  /* borrowed */
    Signing *signing;                /* borrowed */
    int state_fd;                    /* borrowed: where what is known of the TPM is kept (`.device`) */
    StoredDevice stored;             /* what is kept there; taken over */
    void (*looked)(void *userdata);  /* after each look, in a turn of the loop of its own */
    void (*changed)(void *userdata); /* a hang began or ended */
    void *userdata;
} TpmWatchOptions;

int tpm_watch_new(TpmWatchOptions *options, TpmWatch **ret);
TpmWatch *tpm_watch_free(TpmWatch *watch);
DEFINE_CLEANUP(TpmWatch, tpm_watch_free)

/* Looks now; where a look is under way already, once more after it. `salt`: DeviceIdSalt=, may be NULL. */
void tpm_watch_look(TpmWatch *watch, const char *salt);

/* Where what failed on the signing thread is the TPM's fault: it is looked at, once a second at most. A failure within
 * that second is no less a reason, since the look may have come before what caused it: the next look follows at the
 * second's end. True: at once. */
bool tpm_watch_note(TpmWatch *watch, const Failure *failure);
/* The same at the end of a task of the signing thread, which counts for the metrics. */
void tpm_watch_note_task(TpmWatch *watch, const Failure *failure);
uint64_t tpm_watch_tasks_failed(const TpmWatch *watch);

/* Whether it was ever looked at, whatever came of that. */
bool tpm_watch_has_looked(const TpmWatch *watch);
/* As last seen. While the TPM is away what is known of the chip stays known. */
const TpmInformation *tpm_watch_information(const TpmWatch *watch);
/* Why it cannot be used, while it cannot. */
const char *tpm_watch_problem(const TpmWatch *watch);
bool tpm_watch_is_ready(const TpmWatch *watch);
BytesView tpm_watch_parent_name(const TpmWatch *watch);

/* The signing thread has been inside one TPM command for longer than any TPM takes. */
#define TPM_HUNG_SECONDS 30U
#define TPM_HUNG_TEXT    "the TPM has not answered for half a minute."
bool tpm_watch_is_hung(const TpmWatch *watch);
/* Says that it hangs, once; `tpm_watch_answers` that it does no more. */
void tpm_watch_say_hung(TpmWatch *watch);
void tpm_watch_answers(TpmWatch *watch);

/* Refuses (TPM_UNAVAILABLE) while the TPM cannot be used; `what` cannot be done without it: "x cannot be enrolled". */
int tpm_watch_require(const TpmWatch *watch, const char *what, Failure *ret_failure);
