/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One timer for the next thing due, over all identities. It runs on CLOCK_BOOTTIME, so that suspend counts, and is
 * computed anew after every turn of the loop in which anything happened, and when the system clock is set
 * (TFD_TIMER_CANCEL_ON_SET). */
#pragma once

#include "common/macros.h"
#include "identity/set.h"

#include <systemd/sd-event.h>

typedef struct Timer Timer;

typedef struct TimerOptions {
    sd_event *loop;                    /* borrowed */
    const IdentitySet *set;            /* borrowed */
    void (*clock_set)(void *userdata); /* before every date is looked at again */
    /* At the end of a turn, before the timer is computed: what changed is told. */
    void (*flush)(void *userdata);
    void *userdata;
} TimerOptions;

int timer_new(const TimerOptions *options, Timer **ret);
Timer *timer_free(Timer *timer);
DEFINE_CLEANUP(Timer, timer_free)
