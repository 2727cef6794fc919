/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Findings against what a test expects of them. */
#pragma once

#include "idctl/findings.h"
#include "tests/unit/common/test.h"

#include <stdlib.h>
#include <string.h>

/* The one of this check; there must be exactly one. */
static inline const Finding *found(const Findings *findings, const char *check) {
    const Finding *one = NULL;

    for (size_t i = 0; i < findings->count; i++)
        if (strcmp(findings->list[i].check, check) == 0) {
            if (one)
                fail_msg("%s twice: %s; %s", check, one->text, findings->list[i].text);
            one = &findings->list[i];
        }
    if (!one)
        fail_msg("nothing about %s", check);
    return one;
}

/* The only finding, which is then forgotten: with this verdict, this text in it, and in its advice (NULL: none). */
static inline void expect_only(Findings *findings, FindingVerdict verdict, const char *text, const char *advice) {
    assert_int_equal(findings->count, 1);
    const Finding *one = &findings->list[0];
    if (one->verdict != verdict || !strstr(one->text, text))
        fail_msg("verdict %d: \"%s\" instead of %d: \"%s\"", (int) one->verdict, one->text, (int) verdict, text);
    if (advice ? !one->advice || !strstr(one->advice, advice) : one->advice != NULL)
        fail_msg("%s: advice \"%s\" instead of \"%s\"", one->text, one->advice ? one->advice : "none",
                 advice ? advice : "none");
    findings_clear(findings);
}

static inline void expect_nothing(const Findings *findings) {
    if (findings->count > 0)
        fail_msg("there is: %s", findings->list[0].text);
}
