/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What identityd may need of descriptors, memory and threads, from how many handles and identities there may be: the
 * one place that says so. LimitNOFILE=, MemoryMax= and TasksMax= of identityd.service are what comes of
 * BUDGET_UNIT_HANDLES and BUDGET_UNIT_IDENTITIES; `idctl check` compares what is configured with what the unit has.
 * Pure. */
#pragma once

#include <stdint.h>

#define BUDGET_UNIT_HANDLES    1984U
#define BUDGET_UNIT_IDENTITIES 64U

/* On their way to the holder of a handle at any time: its files, or itself. */
#define BUDGET_HANDLE_SENT 4U
/* On their way elsewhere: jobs of both lines, handles on the bus. */
#define BUDGET_SENT_ELSEWHERE 256U

typedef struct Budget {
    uint64_t descriptors; /* LimitNOFILE= */
    uint64_t memory;      /* MemoryMax=, bytes */
    uint32_t tasks;       /* TasksMax= */
} Budget;

Budget budget_of(uint32_t handles, uint32_t identities);
/* The most handles for which so many descriptors are enough; 0: not even for none. */
uint32_t budget_handles(uint64_t descriptors, uint32_t identities);
