/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A whole device with one identity, x, whose enrolment runs by itself. */
#pragma once

#include "tests/unit/device/clock.h"
#include "tests/unit/device/machine.h"

Identity *x_of(const Machine *machine);
/* Configures x (machine_configure), and starts. */
void start(Machine *machine, const char *more);
/* The same, until x is ready and nothing runs. */
void start_ready(Machine *machine, const char *more);
/* The same with a certificate that ends in so many seconds. */
void start_with_life(Machine *machine, const char *more, long ends);
/* Passes the time until the next attempt, and a bit. */
void pass_to_next(Machine *machine);
