/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `idctl check` finds: each with a verdict, and an advice where something can be done. */
#pragma once

#include "command/command.h"

#include <jansson.h>
#include <stdbool.h>

typedef enum FindingVerdict { FINDING_OK, FINDING_WARNING, FINDING_FAILED, FINDING_SKIPPED } FindingVerdict;

typedef struct Finding {
    FindingVerdict verdict;
    const char *check; /* what was looked at; static */
    char *identity;    /* owned; NULL: it concerns the device */
    char *text;        /* owned */
    char *advice;      /* owned; NULL: none is needed */
} Finding;

typedef struct Findings {
    Finding *list; /* owned */
    size_t count;
    bool incomplete; /* memory ran out */
} Findings;

void findings_clear(Findings *findings);
#define _cleanup_findings_ _cleanup_(findings_clear)

/* Where a finding belongs; the same for several. */
typedef struct FindingAbout {
    const char *check;    /* static */
    const char *identity; /* copied; may be NULL */
} FindingAbout;

/* `advice` is copied. Without memory the findings are incomplete. */
void findings_add(Findings *findings, FindingAbout about, FindingVerdict verdict, const char *advice,
                  const char *format, ...) _printf_(5, 6);

/* Whether there is such a one about this identity (NULL: the device). */
bool findings_have(const Findings *findings, const char *check, const char *identity, FindingVerdict verdict);

/* EXIT_FAILED if any failed (or is missing for want of memory). */
ExitCode findings_exit_code(const Findings *findings);

/* Text on standard output; `quiet`: only what is not in order. */
void findings_print(const Findings *findings, bool quiet);
json_t *findings_to_json(const Findings *findings);
