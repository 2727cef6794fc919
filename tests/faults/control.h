/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The page of memory that tests/faults and what it preloads into identityd have in common: which allocation is to fail,
 * and which did. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define CONTROL_POINTS_MAX 131072U
#define CONTROL_VARIABLE   "FAULT_CONTROL" /* the path of the page */

/* Allocations and calls of the first thread, and of all others: each has an order of its own. */
typedef enum ThreadClass { THREAD_MAIN, THREAD_OTHER, _THREAD_CLASS_COUNT } ThreadClass;

typedef struct Control {
    atomic_bool has_begun;   /* the program is loaded, and what it does from now on counts */
    atomic_bool counts;      /* allocations are counted */
    atomic_bool records;     /* their stacks are noted: slow */
    atomic_bool is_thorough; /* each stack counts for itself, also where only what is within a library differs */
    atomic_uint count[_THREAD_CLASS_COUNT];
    unsigned fails_at[_THREAD_CLASS_COUNT]; /* counted from 1; 0: none */
    atomic_bool was_hit;
    char hit[1024]; /* who wanted the memory that was not there: functions, or modules and offsets, innermost first */
    uint64_t stacks[_THREAD_CLASS_COUNT]
                   [CONTROL_POINTS_MAX]; /* a number for each stack of callers; 0: it is not to fail */
    atomic_int listener;                 /* the descriptor in the child at which its calls are decided; -1: not yet */
    atomic_bool is_taken_over;           /* the parent has it */
} Control;
