/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of faults, and the queues of those that are switched on. */
#include "faults.h"

#include <stdio.h>
#include <string.h>

static const char *const operations[_OPERATION_COUNT] = {
    [OPERATION_CONNECTION] = "connection",
    [OPERATION_CACERTS] = "cacerts",
    [OPERATION_CSRATTRS] = "csrattrs",
    [OPERATION_SIMPLEENROLL] = "simpleenroll",
    [OPERATION_SIMPLEREENROLL] = "simplereenroll",
    [OPERATION_CRL] = "crl",
};

#define ON(operation) (1U << (operation))
#define ON_CONNECTION ON(OPERATION_CONNECTION)
#define ON_CRL        ON(OPERATION_CRL)
#define ON_CACERTS    ON(OPERATION_CACERTS)
#define ON_ENROLL     (ON(OPERATION_SIMPLEENROLL) | ON(OPERATION_SIMPLEREENROLL))
#define ON_PKCS7      (ON_CACERTS | ON_ENROLL)
#define ON_EST        (ON_PKCS7 | ON(OPERATION_CSRATTRS))
#define ON_HTTP       (ON_EST | ON_CRL)

static const struct {
    const char *name;
    unsigned where;
} kinds[_FAULT_COUNT] = {
    [FAULT_NONE] = { "none", 0 },
    [FAULT_SLOW] = { "slow", ON_HTTP },
    [FAULT_DRIP] = { "drip", ON_HTTP },
    [FAULT_CUT_OFF] = { "cut-off", ON_HTTP },
    [FAULT_STATUS] = { "status", ON_HTTP },
    [FAULT_REDIRECT] = { "redirect", ON_HTTP },
    [FAULT_HUGE] = { "huge", ON_HTTP },
    [FAULT_CONTENT_TYPE] = { "content-type", ON_HTTP },
    [FAULT_NOT_BASE64] = { "not-base64", ON_EST },
    [FAULT_EMPTY] = { "empty", ON_HTTP },
    [FAULT_BLANK] = { "blank", ON_EST },
    [FAULT_TRAILING] = { "trailing", ON_EST },
    [FAULT_NOT_PKCS7] = { "not-pkcs7", ON_PKCS7 },
    [FAULT_NO_CERTIFICATES] = { "no-certificates", ON_PKCS7 },
    [FAULT_JUNK_BESIDE] = { "junk-beside", ON_PKCS7 },
    [FAULT_PENDING] = { "pending", ON_ENROLL },
    [FAULT_WANTS_ENCODING] = { "wants-encoding", ON_ENROLL },
    [FAULT_WRONG_KEY] = { "wrong-key", ON_ENROLL },
    [FAULT_WRONG_NAME] = { "wrong-name", ON_ENROLL },
    [FAULT_WRONG_SAN] = { "wrong-san", ON_ENROLL },
    [FAULT_RETAG] = { "retag", ON_ENROLL },
    [FAULT_LOWER_CASE] = { "lower-case", ON_ENROLL },
    [FAULT_SAN_FROM_CN] = { "san-from-cn", ON_ENROLL },
    [FAULT_OWN_ORG] = { "own-org", ON_ENROLL },
    [FAULT_WRONG_USAGE] = { "wrong-usage", ON_ENROLL },
    [FAULT_EXPIRED] = { "expired", ON_ENROLL },
    [FAULT_NOT_YET_VALID] = { "not-yet-valid", ON_ENROLL },
    [FAULT_NO_CHAIN] = { "no-chain", ON_ENROLL },
    [FAULT_CA_CERTIFICATE] = { "ca-certificate", ON_ENROLL },
    [FAULT_SAME_SERIAL] = { "same-serial", ON_ENROLL },
    [FAULT_SAME_NOT_AFTER] = { "same-not-after", ON_ENROLL },
    [FAULT_WITH_CHAIN] = { "with-chain", ON_ENROLL },
    [FAULT_FOREIGN_ROOT] = { "foreign-root", ON_CACERTS },
    [FAULT_NO_INTERMEDIATE] = { "no-intermediate", ON_CACERTS },
    [FAULT_NEW_ALONE] = { "new-alone", ON_CACERTS },
    [FAULT_NOT_CRL] = { "not-crl", ON_CRL },
    [FAULT_STALE] = { "stale", ON_CRL },
    [FAULT_WRONG_SIGNER] = { "wrong-signer", ON_CRL },
    [FAULT_OLD_NUMBER] = { "old-number", ON_CRL },
    [FAULT_TLS12] = { "tls12", ON_CONNECTION },
    [FAULT_SERVER_NAME] = { "server-name", ON_CONNECTION },
    [FAULT_SERVER_EXPIRED] = { "server-expired", ON_CONNECTION },
    [FAULT_SERVER_UNTRUSTED] = { "server-untrusted", ON_CONNECTION },
};

const char *operation_to_string(Operation operation) {
    return operations[operation];
}

const char *fault_to_string(FaultKind kind) {
    return kinds[kind].name;
}

static unsigned operations_from_string(const char *name) {
    if (strcmp(name, "any") == 0)
        return ON_HTTP;
    for (unsigned i = 0; i < _OPERATION_COUNT; i++)
        if (strcmp(operations[i], name) == 0)
            return ON(i);
    return 0;
}

static FaultKind kind_from_string(const char *name) {
    for (unsigned i = 1; i < _FAULT_COUNT; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return (FaultKind) i;
    return FAULT_NONE;
}

static int parse_text(const char *value, Fault *fault) {
    return (size_t) snprintf(fault->text, sizeof(fault->text), "%s", value) >= sizeof(fault->text) ? -E2BIG : 0;
}

/* One KEY=VALUE. */
static int parse_setting(const char *word, Fault *fault) {
    const char *value = strchr(word, '=');
    size_t length;
    int64_t number;

    if (!value)
        return -EINVAL;
    length = (size_t) (value++ - word);
#define IS(key) (length == strlen(key) && strncmp(word, (key), length) == 0)
    if (IS("text") || IS("location") || IS("type"))
        return parse_text(value, fault);
    if (IS("form")) {
        fault->as_date = strcmp(value, "date") == 0;
        fault->as_text = strcmp(value, "text") == 0;
        if (strcmp(value, "none") == 0)
            fault->retry_after = -1;
        else if (!fault->as_date && !fault->as_text && strcmp(value, "seconds") != 0)
            return -EINVAL;
        return 0;
    }
    if (parse_number(value, 0, INT64_C(1) << 40, &number) < 0)
        return -EINVAL;
    if (IS("count") && number <= 1000000)
        fault->remaining = (unsigned) number;
    else if (IS("code") && number >= 100 && number <= 599)
        fault->code = (unsigned) number;
    else if (IS("seconds"))
        fault->seconds = number;
    else if (IS("retry-after"))
        fault->retry_after = number;
    else if (IS("size"))
        fault->size = number;
    else
        return -EINVAL;
#undef IS
    return 0;
}

int faults_add(Faults *faults, char *const *words, size_t count, const char **ret_reason) {
    Fault fault = { .remaining = 1, .seconds = 30, .retry_after = -1, .size = INT64_C(64) << 20 };
    unsigned where;

    if (count < 2) {
        *ret_reason = "wanted: fault OPERATION KIND [KEY=VALUE…]";
        return -EINVAL;
    }
    where = operations_from_string(words[0]);
    if (where == 0) {
        *ret_reason = "no such operation; there are: connection cacerts csrattrs simpleenroll simplereenroll crl any";
        return -EINVAL;
    }
    fault.kind = kind_from_string(words[1]);
    fault.code = fault.kind == FAULT_REDIRECT ? 302 : 503;
    if (fault.kind == FAULT_PENDING)
        fault.retry_after = 5;
    if ((kinds[fault.kind].where & where) == 0 ||
        (strcmp(words[0], "any") != 0 && (kinds[fault.kind].where & where) != where)) {
        *ret_reason = fault.kind == FAULT_NONE ? "no such fault; see lab-ca --help" : "that fault makes no sense there";
        return -EINVAL;
    }
    for (size_t i = 2; i < count; i++)
        if (parse_setting(words[i], &fault) < 0) {
            *ret_reason = "settings are count= code= seconds= retry-after= form=seconds|date|none size= text= "
                          "location= type=";
            return -EINVAL;
        }
    for (unsigned i = 0; i < _OPERATION_COUNT; i++) {
        if ((where & kinds[fault.kind].where & ON(i)) == 0)
            continue;
        if (faults->count[i] >= FAULT_QUEUE_MAX) {
            *ret_reason = "too many faults are queued";
            return -EINVAL;
        }
        faults->queue[i][faults->count[i]++] = fault;
    }
    return 0;
}

int faults_clear(Faults *faults, const char *name) {
    unsigned where = name ? operations_from_string(name) : ~0U;

    if (where == 0)
        return -EINVAL;
    for (unsigned i = 0; i < _OPERATION_COUNT; i++)
        if (where & ON(i))
            faults->count[i] = 0;
    return 0;
}

Fault faults_take(Faults *faults, Operation operation) {
    Fault *queue = faults->queue[operation], fault;

    if (faults->count[operation] == 0)
        return (Fault) { .kind = FAULT_NONE };
    fault = queue[0];
    if (queue[0].remaining > 0 && --queue[0].remaining == 0) {
        faults->count[operation]--;
        memmove(queue, queue + 1, faults->count[operation] * sizeof(Fault));
    }
    return fault;
}

void faults_print_help(void) {
    (void) puts("Faults (lab-ca control DIR fault OPERATION KIND [KEY=VALUE…]) and the operations they apply to:");
    for (unsigned i = 1; i < _FAULT_COUNT; i++) {
        (void) printf("  %-18s", kinds[i].name);
        for (unsigned j = 0; j < _OPERATION_COUNT; j++)
            if (kinds[i].where & ON(j))
                (void) printf(" %s", operations[j]);
        (void) putchar('\n');
    }
}
