/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names that a certificate can carry: subject, alternative names, and the user of an HTTP authentication. Judged before
 * a key is made, so that a slip of the pen is found by `idctl check` and not by the CA. */
#include "config/identity-rules.h"

#include "common/distinguished-name.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define HEX_32       "0123456789abcdef0123456789abcdef"
#define TEMPLATE_MAX 1024U

static const Specifiers samples = {
    .device_id = HEX_32 HEX_32,
    .host_name = "host",
    .machine_id = HEX_32,
    .serial = "S0",
};

static int fault(char **ret_fault, const char *format, ...) _printf_(2, 3);
static int fault(char **ret_fault, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    int r = vasprintf(ret_fault, format, arguments);
    va_end(arguments);
    if (r < 0) {
        *ret_fault = NULL; /* undefined by vasprintf(3) */
        return -ENOMEM;
    }
    return 0;
}

/* The template with samples: 0 with either `ret` or `ret_fault` set. */
static int expand_sample(const char *template, SpecifierPlace place, char **ret, char **ret_fault) {
    if (strlen(template) > TEMPLATE_MAX)
        return fault(ret_fault, "longer than %u bytes", TEMPLATE_MAX);
    int r = specifiers_expand(template, &samples, place, ret, ret_fault);
    return r == -ENOMEM ? r : 0;
}

int subject_fault(const char *subject, char **ret_fault) {
    _cleanup_free_ char *sample = NULL;
    _cleanup_bytes_ Bytes der = BYTES_NULL;
    Failure failure = FAILURE_INIT;

    int r = expand_sample(subject, PLACE_SUBJECT, &sample, ret_fault);
    if (r < 0 || *ret_fault)
        return r;
    r = distinguished_name_encode(sample, &der, &failure);
    if (r != -EINVAL)
        return r;
    bool long_value = specifiers_uses(subject, 'd') || specifiers_uses(subject, 'm');
    return fault(ret_fault, "must be a distinguished name of RFC 4514, such as CN=%%d,O=Example: %s%s", failure.text,
                 long_value ? " (%d alone has 64, %m 32)" : "");
}

int user_fault(const char *user, char **ret_fault) {
    _cleanup_free_ char *sample = NULL;

    int r = expand_sample(user, PLACE_USER, &sample, ret_fault);
    if (r < 0 || *ret_fault)
        return r;
    /* RFC 7617 §2: the user ends at the first colon. */
    if (strchr(user, ':') || strlen(sample) > CONFIG_USER_MAX)
        return fault(ret_fault, "must be a user of at most %u bytes without ':'", CONFIG_USER_MAX);
    return 0;
}

/* ---- SubjectAltName= ---- */

static int san_value_fault(SanKind kind, const char *value, char **ret_fault) {
    _cleanup_free_ char *sample = NULL;

    int r = expand_sample(value, specifier_place_of_san(kind), &sample, ret_fault);
    if (r < 0 || *ret_fault)
        return r;
    const char *problem = san_fault(kind, sample);
    bool device_id = kind == SAN_DNS && specifiers_uses(value, 'd');
    return problem ? fault(ret_fault, "%s%s", problem, device_id ? " (%d alone has 64)" : "") : 0;
}

int san_parse(const char *word, SanTemplate *ret, char **ret_fault) {
    static const struct {
        const char *prefix;
        SanKind kind;
    } kinds[] = {
        { "dns:", SAN_DNS },
        { "ip:", SAN_IP },
        { "uri:", SAN_URI },
        { "hardware-module:", SAN_HARDWARE_MODULE },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
        size_t length = strlen(kinds[i].prefix);
        if (strncmp(word, kinds[i].prefix, length) != 0)
            continue;
        int r = san_value_fault(kinds[i].kind, word + length, ret_fault);
        if (r < 0 || *ret_fault)
            return r;
        char *value = strdup(word + length);
        if (!value)
            return -ENOMEM;
        *ret = (SanTemplate) { kinds[i].kind, value };
        return 0;
    }
    return fault(ret_fault, "must be dns:NAME, ip:ADDRESS, uri:URI or hardware-module:OID/SERIAL");
}
