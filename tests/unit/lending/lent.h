/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A whole device whose identities are lent: callers as the bus would vouch for them, and the holder's side of a handle,
 * read on the test's loop. */
#pragma once

#include "lending/lending.h"
#include "tests/unit/device/clock.h"
#include "tests/unit/device/machine.h"

Identity *x_of(const Machine *machine);
/* Configures x (machine_configure), and starts, until x is ready and nothing runs. */
void start_ready(Machine *machine, const char *more);
/* identityd.conf with that below its [TPM] section. */
void configure_daemon(const Machine *machine, const char *more);
/* Configures x anew, and reloads. */
void reload_with(Machine *machine, const char *more);
/* The CA says that the present certificate is revoked. */
void revoke_x(Machine *machine);
/* A renewal now, until it is through. */
void renew_x(Machine *machine);
/* Retires x, and is answered `kind`. */
void retire_x(Machine *machine, FailureKind kind);

/* A caller of that user, in no group and no unit, of no known process. */
Caller caller_of(uid_t uid);

/* A handle of x for that user, who must be admitted; the holder's end. */
int lend(Machine *machine, Purpose purpose, uid_t uid);
/* Fails the test unless it is refused so. */
void lend_in_vain(Machine *machine, Purpose purpose, uid_t uid, FailureKind kind, const char *text);

/* What came on a handle. */
typedef struct Seen {
    uint8_t type;
    uint16_t status; /* a FailureKind */
    uint32_t generation;
    char state[32], purpose[32], text[512]; /* text: of a refusal */
    uint64_t not_after;                     /* µs since the epoch */
    size_t size;                            /* of the payload */
    char *files[5];                         /* by HANDLE_FILE_…, NUL-terminated; NULL: it did not come */
} Seen;
void seen_clear(Seen *seen);
#define _cleanup_seen_ _cleanup_(seen_clear)
/* Waits for the next packet. False: the handle is closed. What was in `ret` is cleared. */
bool holder_next(Machine *machine, int fd, Seen *ret);
/* The last State before the handle is closed; fails the test where it is not. */
void holder_expect_end(Machine *machine, int fd, const char *state);
/* Fails the test unless the handle is closed without another word. */
void holder_expect_closed(Machine *machine, int fd);
/* Asks for a signature over a transcript with the present generation, or with another, and waits for the answer. */
void holder_sign(Machine *machine, int fd, Seen *ret);
void holder_sign_with(Machine *machine, int fd, uint32_t generation, Seen *ret);
