/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Two limits share one number: a process may have LimitNOFILE= descriptors open, and all processes of its user may have
 * as many on their way in sockets. Beyond the second the kernel refuses each one, to whomever it goes. */
#include "config/budget.h"

#define KIBIBYTE UINT64_C(1024)
#define MEBIBYTE (1024U * KIBIBYTE)

/* Open whatever is configured: the bus, the TPM, loops, timers, directories and files being read; a process for each
 * connection of which something is kept and for each that systemd is asked about (bus/caller.h); jobs and their files.
 */
#define OPEN_ALWAYS      (64U + 256U + 128U + 32U)
#define OPEN_OF_IDENTITY 12U /* four memfds: its own, the signing thread's, and those that handles are shown first */
#define OPEN_OF_HANDLE   2U  /* the socket, and until its first packet the process that it was opened for */

/* Programs, libraries and heap; the largest message that a bus passes on, one at a time; calls that wait; a CRL that is
 * read, and four sets of CRLs as programs are given them. */
#define MEMORY_ALWAYS      ((32U + 128U + 8U + 96U) * MEBIBYTE)
#define MEMORY_OF_IDENTITY MEBIBYTE
#define MEMORY_OF_HANDLE   (64U * KIBIBYTE) /* what its holder has not read is in the kernel, and counts */

/* Main, the signing thread, the closer; what ExecReload= starts; and room for what a library starts. */
#define TASKS 8U

static uint64_t larger(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

Budget budget_of(uint32_t handles, uint32_t identities) {
    return (Budget) {
        .descriptors =
            larger(OPEN_ALWAYS + (uint64_t) identities * OPEN_OF_IDENTITY + (uint64_t) handles * OPEN_OF_HANDLE,
                   BUDGET_SENT_ELSEWHERE + (uint64_t) handles * BUDGET_HANDLE_SENT),
        .memory = MEMORY_ALWAYS + identities * MEMORY_OF_IDENTITY + handles * MEMORY_OF_HANDLE,
        .tasks = TASKS,
    };
}

uint32_t budget_handles(uint64_t descriptors, uint32_t identities) {
    uint64_t open = OPEN_ALWAYS + (uint64_t) identities * OPEN_OF_IDENTITY;

    if (descriptors < open || descriptors < BUDGET_SENT_ELSEWHERE)
        return 0;
    uint64_t by_open = (descriptors - open) / OPEN_OF_HANDLE,
             by_sent = (descriptors - BUDGET_SENT_ELSEWHERE) / BUDGET_HANDLE_SENT,
             handles = by_open < by_sent ? by_open : by_sent;
    return handles > UINT32_MAX ? UINT32_MAX : (uint32_t) handles;
}
