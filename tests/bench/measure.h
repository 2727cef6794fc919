/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the programs of tests/bench/programs share: a clock, samples as JSON on standard output, and the sandbox's CA.
 */
#pragma once

#include "common/macros.h"

#define MEASURE_SAMPLES_MAX 100000U

/* Microseconds. */
double measure_now(void);

/* One measured thing; 0 or negative. */
typedef int (*measure_step)(void *userdata);

/* Two steps that nobody counts, then `text` many measured ones, printed as a line with a JSON array of microseconds;
 * for
 * "-", as many as each line of the standard input says, until its end: so several programs can be measured by turns. 0,
 * -EINVAL (not a number from 1 to MEASURE_SAMPLES_MAX), -EIO, or as the step. */
int measure_run(const char *text, measure_step step, void *userdata);

/* Issues a certificate of the sandbox's CA (LAB_CA, SANDBOX_CA) for a PEM request; `*ret` is the name of a new file
 * with the chain, which the caller unlinks and frees. 0, -ENOMEM, -EIO. */
int measure_certify(const void *request, size_t size, char **ret);
