/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See wait-rules.h. */
#include "idctl/wait-rules.h"

#include "config/values.h"
#include "idctl/output.h"

#include <string.h>

#define USEC_PER_SECOND 1000000U

/* Every state, and the way out where identityd knows none by itself. */
static const struct {
    const char *state, *advice;
} states[] = {
    { "ready", "Nothing is to be done." },
    { "empty", "Nobody enrols it (Protocol=manual): \"idctl request\" and \"idctl install\" give it a certificate." },
    { "expired",
      "Nobody renews it (Protocol=manual): \"idctl request\" and \"idctl install\" give it another certificate." },
    { "revoked",
      "Its CA revoked it, and AfterRevocation=enroll is not set: if that is settled, \"idctl enroll --new-key\" makes "
      "a new key." },
    { "unavailable", "This is not the TPM that made its key: \"idctl enroll --new-key\" makes a new one in this." },
    { "retired", "An administrator retired it: \"idctl enroll\" makes a new key." },
    { "misconfigured", "Mend its file, which \"idctl check\" looks through, and have it read by \"idctl reload\"." },
};

bool wait_state_is_known(const char *state) {
    for (size_t i = 0; i < ARRAY_LENGTH(states); i++)
        if (strcmp(states[i].state, state) == 0)
            return true;
    return false;
}

int wait_timeout_parse(const char *text, uint64_t *ret) {
    uint64_t seconds;

    if (strcmp(text, "infinity") == 0) {
        *ret = WAIT_FOR_EVER;
        return 0;
    }
    if (value_duration(text, &seconds) < 0 || seconds == 0)
        return -EINVAL;
    *ret = seconds * USEC_PER_SECOND;
    return 0;
}

WaitVerdict wait_judge(const char *wanted, const WaitFacts *facts) {
    if (strcmp(facts->state, wanted) == 0)
        return WAIT_REACHED;
    return strcmp(wanted, "ready") == 0 && !facts->ready_by_itself ? WAIT_IN_VAIN : WAIT_GOES_ON;
}

char *wait_describe(const WaitFacts *facts, uint64_t now) {
    bool idle = strcmp(facts->activity, "idle") == 0;
    _cleanup_free_ char *next = facts->next_attempt > 0 ? time_to_text(facts->next_attempt, now) : strdup("");
    char *text = NULL;

    if (!next || asprintf(&text, "it is %s%s%s%s%s%s%s", facts->state, idle ? "" : ", ", idle ? "" : facts->activity,
                          next[0] ? "; next attempt at " : "", next, facts->last_error[0] ? "; last error: " : "",
                          facts->last_error) < 0)
        return NULL;
    size_t length = strlen(text);
    if (text[length - 1] == '.')
        text[length - 1] = '\0';
    return text;
}

const char *wait_advice(const WaitFacts *facts) {
    for (size_t i = 0; i < ARRAY_LENGTH(states); i++)
        if (strcmp(states[i].state, facts->state) == 0)
            return states[i].advice;
    return "\"idctl show\" says more.";
}
