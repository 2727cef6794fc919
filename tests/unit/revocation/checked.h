/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A device with one identity, x, whose chain is checked, and with what is fetched in the test's hand. No enrolment
 * runs.
 */
#pragma once

#include "revocation/revocation.h"
#include "tests/unit/device/certify.h"
#include "tests/unit/device/clock.h"
#include "tests/unit/revocation/statements.h"

#define CRL_URL  "http://ca.example/a.crl"
#define OCSP_URL "http://ca.example/ocsp"
#define LONG     (90L * 86400) /* a life during which nothing ends */
#define BY_CRL                                                                                                         \
    {                                                                                                                  \
        .starts = -60, .ends = LONG, .crl = { CRL_URL }                                                                \
    }
#define BY_OCSP                                                                                                        \
    { .starts = -60, .ends = LONG, .ocsp = OCSP_URL }
#define BY_BOTH                                                                                                        \
    { .starts = -60, .ends = LONG, .crl = { CRL_URL }, .ocsp = OCSP_URL }

int checked_setup(void **state);
int checked_teardown(void **state);

/* Configures x and starts; it has no certificate yet, or what is on the disk. */
Identity *start(Machine *machine, const char *more);
/* The same with a certificate, that is checked in the next turn of the loop. */
Identity *start_certified(Machine *machine, const char *more, FakeIssue issue);
/* The same with a chain of two. */
Identity *start_with_intermediate(Machine *machine, const char *more, const FakeCa *intermediate, FakeIssue issue);
/* Ends, and starts again. */
Identity *restart(Machine *machine, const char *more);

/* What the next fetch brings; the bytes are taken. */
void bring(Machine *machine, Bytes statement);
void bring_failure(Machine *machine, const char *text);
/* How many fetches there were. */
unsigned fetches(const Machine *machine);
/* Until so many fetches have been answered, and no more. */
void await_fetches(Machine *machine, unsigned count);

/* Seconds from now until the next check. */
int64_t next_in(const Identity *identity);

/* Fails the test unless x says so. */
void expect_state(const Identity *identity, IdentityState state, const char *error);
