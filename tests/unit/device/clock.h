/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The clocks of the process in the test's hand: every clock_gettime and time in it, those of libraries too, are
 * answered here, with what the test has added. An hour of back-off then takes a turn of the loop. Timers of sd-event
 * follow, since it asks what time it is at each turn. What the kernel itself times (poll, timerfd) knows nothing of it.
 */
#pragma once

#include <stdint.h>

/* Time passes, on all clocks. */
void clock_pass(int64_t seconds);
/* Somebody sets the system clock, by so much; negative: back. */
void clock_set(int64_t seconds);
/* The kernel tells whoever waits for that (TFD_TIMER_CANCEL_ON_SET). */
void clock_tell(void);
/* Takes that back, where it was not heard yet: an alarm without a cause. */
void clock_untell(void);
/* As it was at the start of the process. */
void clock_restore(void);
