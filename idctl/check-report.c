/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See check-report.h. */
#include "idctl/check-report.h"

#include "idctl/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CLOCK_LABEL "clock: "

static void check_difference(const char *identity, const char *value, Findings *findings) {
    const FindingAbout about = { "clock", identity };
    char duration[32], *end = NULL;

    errno = 0;
    long long ahead = strtoll(value, &end, 10);
    if (errno != 0 || end == value || *end)
        findings_add(findings, about, FINDING_WARNING, "identityd is of another version than idctl.",
                     "the CA's time cannot be read: %s", value);
    else if (ahead > CLOCK_DIFFERENCE_MAX || ahead < -CLOCK_DIFFERENCE_MAX)
        findings_add(
            findings, about, FINDING_WARNING,
            "One of the two is wrong. If it is this one: set it, or run a time service; certificates begin and "
            "end by it.",
            "%s %s the CA's clock",
            duration_to_text((ahead < 0 ? -(unsigned long long) ahead : (unsigned long long) ahead) * 1000000U,
                             duration),
            ahead < 0 ? "behind" : "ahead of");
    else
        findings_add(findings, about, FINDING_OK, NULL, "as the CA's, to %lld s", ahead < 0 ? -ahead : ahead);
}

void check_report(const char *identity, const char *report, Findings *findings) {
    _cleanup_free_ char *text = strdup(report);
    char *position = NULL;

    if (!text) {
        findings->incomplete = true;
        return;
    }
    for (const char *line = strtok_r(text, "\n", &position); line; line = strtok_r(NULL, "\n", &position))
        if (strncmp(line, CLOCK_LABEL, strlen(CLOCK_LABEL)) == 0)
            check_difference(identity, line + strlen(CLOCK_LABEL), findings);
        else
            findings_add(findings, (FindingAbout) { "CA", identity }, FINDING_OK, NULL, "%s", line);
}
