/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Expansion of % specifiers. A value can never become syntax of the name that it is put into. */
#include "config/specifiers.h"

#include <string.h>

typedef struct Output {
    char text[SPECIFIERS_EXPANDED_MAX + 1];
    size_t length;
} Output;

static int put(Output *output, char c) {
    if (output->length >= SPECIFIERS_EXPANDED_MAX)
        return -E2BIG;
    output->text[output->length++] = c;
    return 0;
}

/* RFC 4514 §2.4: escapes what has a meaning in a distinguished name. */
static int put_value(Output *output, const char *value, bool escape_dn) {
    size_t length = strlen(value);

    for (size_t i = 0; i < length; i++) {
        bool edge_space = value[i] == ' ' && (i == 0 || i == length - 1);
        bool first_hash = value[i] == '#' && i == 0;
        if (escape_dn && (strchr("\"+,;<>\\=", value[i]) || edge_space || first_hash)) {
            int r = put(output, '\\');
            if (r < 0)
                return r;
        }
        int r = put(output, value[i]);
        if (r < 0)
            return r;
    }
    return 0;
}

/* The value of a specifier, or NULL with the reason. */
static const char *look_up(char specifier, const Specifiers *specifiers, const char **ret_problem) {
    const char *value = NULL, *problem = NULL;

    switch (specifier) {
    case '%':
        value = "%";
        break;
    case 'd':
        value = specifiers->device_id;
        problem = specifiers->device_id_problem ?: "%d: the device ID is not known";
        break;
    case 'H':
        value = specifiers->host_name;
        problem = "%H: the machine has no static host name";
        break;
    case 'm':
        value = specifiers->machine_id;
        problem = "%m: the machine has no machine ID";
        break;
    case 's':
        value = specifiers->serial;
        problem = specifiers->serial_problem ?: "%s: the hardware's serial number is not known";
        break;
    default:
        problem = "unknown % specifier: %d, %H, %m, %s and %% are known";
    }
    if (value && value[0] == '\0')
        value = NULL;
    if (!value)
        *ret_problem = problem;
    return value;
}

int specifiers_expand(const char *template, const Specifiers *specifiers, bool escape_dn, char **ret,
                      const char **ret_problem) {
    Output output = { .length = 0 };
    int r = 0;

    for (const char *p = template; *p && r == 0; p++) {
        if (*p != '%') {
            r = put(&output, *p);
            continue;
        }
        const char *value = look_up(*++p, specifiers, ret_problem);
        if (!value)
            return -EINVAL;
        r = put_value(&output, value, escape_dn && *p != '%');
    }
    if (r < 0) {
        *ret_problem = "longer than 1024 bytes when expanded";
        return r;
    }
    output.text[output.length] = '\0';
    char *expanded = strdup(output.text);
    if (!expanded)
        return -ENOMEM;
    *ret = expanded;
    return 0;
}

bool specifiers_uses(const char *template, char specifier) {
    for (const char *p = template; (p = strchr(p, '%')) && p[1]; p += 2)
        if (p[1] == specifier)
            return true;
    return false;
}
