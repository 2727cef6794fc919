/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See findings.h. */
#include "idctl/findings.h"

#include "idctl/output.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *word;
    Colour colour;
} verdicts[] = {
    [FINDING_OK] = { "ok", COLOUR_GOOD },
    [FINDING_WARNING] = { "warning", COLOUR_ATTENTION },
    [FINDING_FAILED] = { "failed", COLOUR_BAD },
    [FINDING_SKIPPED] = { "skipped", COLOUR_FAINT },
};

void findings_clear(Findings *findings) {
    for (size_t i = 0; i < findings->count; i++) {
        free(findings->list[i].identity);
        free(findings->list[i].text);
        free(findings->list[i].advice);
    }
    free(findings->list);
    *findings = (Findings) { 0 };
}

void findings_add(Findings *findings, FindingAbout about, FindingVerdict verdict, const char *advice,
                  const char *format, ...) {
    Finding finding = { .verdict = verdict, .check = about.check };
    Finding *list = reallocarray(findings->list, findings->count + 1, sizeof list[0]);
    va_list arguments;

    if (list)
        findings->list = list;
    va_start(arguments, format);
    int r = vasprintf(&finding.text, format, arguments);
    va_end(arguments);
    if (r >= 0 && about.identity)
        finding.identity = strdup(about.identity);
    if (r >= 0 && advice)
        finding.advice = strdup(advice);
    if (r < 0 || !list || (about.identity && !finding.identity) || (advice && !finding.advice)) {
        if (r >= 0)
            free(finding.text);
        free(finding.identity);
        free(finding.advice);
        findings->incomplete = true;
        return;
    }
    findings->list[findings->count++] = finding;
}

bool findings_have(const Findings *findings, const char *check, const char *identity, FindingVerdict verdict) {
    for (size_t i = 0; i < findings->count; i++) {
        const Finding *finding = &findings->list[i];
        bool same =
            finding->identity && identity ? strcmp(finding->identity, identity) == 0 : !finding->identity && !identity;
        if (same && finding->verdict == verdict && strcmp(finding->check, check) == 0)
            return true;
    }
    return false;
}

ExitCode findings_exit_code(const Findings *findings) {
    for (size_t i = 0; i < findings->count; i++)
        if (findings->list[i].verdict == FINDING_FAILED)
            return EXIT_FAILED;
    return findings->incomplete ? EXIT_FAILED : EXIT_OK;
}

void findings_print(const Findings *findings, bool quiet) {
    for (size_t i = 0; i < findings->count; i++) {
        const Finding *finding = &findings->list[i];
        _cleanup_free_ char *text = printable_copy(finding->text);
        bool good = finding->verdict == FINDING_OK || finding->verdict == FINDING_SKIPPED;
        if (quiet && good)
            continue;
        printf("%s%-8s%s %s%s%-13s %s\n", colour_of(stdout, verdicts[finding->verdict].colour),
               verdicts[finding->verdict].word, colour_of(stdout, COLOUR_NONE),
               finding->identity ? finding->identity : "", finding->identity ? ": " : "", finding->check,
               text ? text : "");
        if (finding->advice && finding->verdict != FINDING_OK)
            printf("         %s\n", finding->advice);
    }
}

json_t *findings_to_json(const Findings *findings) {
    json_t *array = json_array();

    for (size_t i = 0; array && i < findings->count; i++) {
        const Finding *finding = &findings->list[i];
        json_array_append_new(array, json_pack("{s:s, s:s?, s:s, s:o, s:s?}", "check", finding->check, "identity",
                                               finding->identity, "verdict", verdicts[finding->verdict].word, "text",
                                               text_to_json(finding->text), "advice",
                                               finding->verdict == FINDING_OK ? NULL : finding->advice));
    }
    return array;
}
