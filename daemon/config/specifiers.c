/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Expansion of % specifiers. Host names and what a manufacturer wrote into the firmware can be anything: a value never
 * becomes syntax of what it is put into, and where that cannot be, it is refused. */
#include "config/specifiers.h"

#include "common/text.h"

#include <stdio.h>
#include <string.h>

#define DIGITS     "0123456789"
#define LETTERS    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define HEX_DIGITS DIGITS "abcdefABCDEF"

/* Which part of the template the next character is in. */
typedef enum Part {
    PART_TYPE,        /* of a subject: an attribute, up to '='; … */
    PART_VALUE_BEGIN, /* … white space behind it … */
    PART_VALUE,       /* … its value … */
    PART_DER,         /* … or that in hexadecimal digits */
    PART_SCHEME,      /* of a URI */
    PART_COLON,
    PART_SLASH,
    PART_AUTHORITY,
    PART_OID, /* of a hardware module */
    PART_REST,
} Part;

typedef struct Expansion {
    SpecifierPlace place;
    Part part;
    unsigned
        escape; /* of a subject: 1 behind a backslash, 2 behind a digit behind it; of a URI: digits that a '%' wants */
    char text[SPECIFIERS_EXPANDED_MAX + 1];
    size_t length;
} Expansion;

SpecifierPlace specifier_place_of_san(SanKind kind) {
    static const SpecifierPlace places[] = {
        [SAN_DNS] = PLACE_DNS,
        [SAN_IP] = PLACE_IP,
        [SAN_URI] = PLACE_URI,
        [SAN_HARDWARE_MODULE] = PLACE_HARDWARE_MODULE,
    };

    return places[kind];
}

/* ---- the template ---- */

static Part first_part(SpecifierPlace place) {
    return place == PLACE_SUBJECT           ? PART_TYPE
           : place == PLACE_URI             ? PART_SCHEME
           : place == PLACE_HARDWARE_MODULE ? PART_OID
                                            : PART_REST;
}

static void step_subject(Expansion *expansion, char c) {
    if (expansion->escape > 0) {
        expansion->escape = expansion->escape == 1 && strchr(HEX_DIGITS, c) ? 2 : 0;
        return;
    }
    switch (expansion->part) {
    case PART_TYPE:
        if (c == '=')
            expansion->part = PART_VALUE_BEGIN;
        return;
    case PART_VALUE_BEGIN:
        if (c == ' ')
            return;
        expansion->part = c == '#' ? PART_DER : PART_VALUE;
        break;
    default:
        break;
    }
    if (c == ',')
        expansion->part = PART_TYPE;
    else if (c == '\\')
        expansion->escape = 1;
}

static void step_uri(Expansion *expansion, char c) {
    if (expansion->escape > 0)
        expansion->escape--;
    else if (c == '%')
        expansion->escape = 2;
    switch (expansion->part) {
    case PART_SCHEME:
        if (c == ':')
            expansion->part = PART_COLON;
        break;
    case PART_COLON:
        expansion->part = c == '/' ? PART_SLASH : PART_REST;
        break;
    case PART_SLASH:
        expansion->part = c == '/' ? PART_AUTHORITY : PART_REST;
        break;
    case PART_AUTHORITY:
        if (strchr("/?#", c))
            expansion->part = PART_REST;
        break;
    default:
        break;
    }
}

/* A character of the template itself. */
static void step(Expansion *expansion, char c) {
    if (expansion->place == PLACE_SUBJECT)
        step_subject(expansion, c);
    else if (expansion->place == PLACE_URI)
        step_uri(expansion, c);
    else if (expansion->place == PLACE_HARDWARE_MODULE && c == '/')
        expansion->part = PART_REST;
}

static void step_value(Expansion *expansion) {
    if (expansion->part == PART_VALUE_BEGIN)
        expansion->part = PART_VALUE;
    else if (expansion->part == PART_COLON || expansion->part == PART_SLASH)
        expansion->part = PART_REST;
}

/* Why no specifier may stand where the template is; or NULL. */
static const char *position_fault(const Expansion *expansion) {
    if (expansion->escape > 0)
        return "must not stand within an escape";
    switch (expansion->part) {
    case PART_TYPE:
        return "may stand only in a value, behind an attribute and '='";
    case PART_DER:
        return "must not stand in a value that begins with '#'";
    case PART_SCHEME:
        return "must not stand in the scheme of a URI";
    case PART_OID:
        return "must not stand in an object identifier";
    default:
        return expansion->place == PLACE_IP ? "must not stand in an address" : NULL;
    }
}

/* ---- values ---- */

static int put(Expansion *expansion, char c) {
    if (expansion->length >= SPECIFIERS_EXPANDED_MAX)
        return -E2BIG;
    expansion->text[expansion->length++] = c;
    return 0;
}

static int put_text(Expansion *expansion, const char *text) {
    int r = 0;

    while (r == 0 && *text)
        r = put(expansion, *text++);
    return r;
}

/* RFC 4514 §2.4: escapes what has a meaning in a distinguished name. */
static int put_escaped(Expansion *expansion, const char *value) {
    size_t length = strlen(value);
    int r = 0;

    for (size_t i = 0; r == 0 && i < length; i++) {
        bool edge_space = value[i] == ' ' && (i == 0 || i == length - 1);
        bool first_hash = value[i] == '#' && i == 0;
        if (strchr("\"+,;<>\\=", value[i]) || edge_space || first_hash)
            r = put(expansion, '\\');
        if (r == 0)
            r = put(expansion, value[i]);
    }
    return r;
}

/* RFC 3986 §2.3: all but the unreserved characters. */
static int put_percent_encoded(Expansion *expansion, const char *value) {
    int r = 0;

    for (; r == 0 && *value; value++) {
        char encoded[4] = { *value };
        if (!strchr(LETTERS DIGITS "-._~", *value))
            (void) snprintf(encoded, sizeof(encoded), "%%%02X", (unsigned char) *value);
        r = put_text(expansion, encoded);
    }
    return r;
}

/* A serial number brings no further label: with it a name would be somebody else's. Of a host name dots are a part. */
static const char *value_fault(const Expansion *expansion, char specifier, const char *value) {
    bool is_name = expansion->place == PLACE_DNS || expansion->part == PART_AUTHORITY;
    const char *allowed = specifier == 'H' ? LETTERS DIGITS "-_." : LETTERS DIGITS "-_";

    if (!text_is_clean(value, strlen(value)))
        return "has a control character, or is no UTF-8";
    if (is_name && value[strspn(value, allowed)])
        return specifier == 'H' ? "cannot stand in a DNS name: letters, digits, '-', '_' and '.' can"
                                : "cannot stand in a label of a DNS name: letters, digits, '-' and '_' can";
    if (expansion->place == PLACE_USER && strchr(value, ':'))
        return "has a ':', where a user of HTTP ends";
    return NULL;
}

/* The value of a specifier, or NULL with the reason. */
static const char *look_up(char specifier, const Specifiers *specifiers, const char **ret_problem) {
    const char *value = NULL, *problem = NULL;

    switch (specifier) {
    case 'd':
        value = specifiers->device_id;
        problem = specifiers->device_id_problem ?: "%d: the device ID is not known";
        break;
    case 'H':
        value = specifiers->host_name;
        problem = specifiers->host_name_problem ?: "%H: the machine has no static host name";
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

static int expand_one(Expansion *expansion, char specifier, const Specifiers *specifiers, char **ret_problem) {
    const char *problem = NULL, *value = look_up(specifier, specifiers, &problem);
    char *text = NULL;
    int r;

    if (!value)
        return (text = strdup(problem)) ? (*ret_problem = text, -EINVAL) : -ENOMEM;
    if ((problem = position_fault(expansion)))
        r = asprintf(&text, "%%%c %s", specifier, problem);
    else if ((problem = value_fault(expansion, specifier, value)))
        r = asprintf(&text, "%%%c is \"%.100s\" on this device and %s", specifier, value, problem);
    else {
        r = expansion->place == PLACE_SUBJECT                                    ? put_escaped(expansion, value)
            : expansion->place == PLACE_URI && expansion->part != PART_AUTHORITY ? put_percent_encoded(expansion, value)
                                                                                 : put_text(expansion, value);
        step_value(expansion);
        return r;
    }
    if (r < 0)
        return -ENOMEM;
    *ret_problem = text;
    return -EINVAL;
}

int specifiers_expand(const char *template, const Specifiers *specifiers, SpecifierPlace place, char **ret,
                      char **ret_problem) {
    Expansion expansion = { .place = place, .part = first_part(place), .length = 0 };
    int r = 0;

    for (const char *p = template; r == 0 && *p; p++) {
        if (*p == '%' && *++p != '%') {
            r = expand_one(&expansion, *p, specifiers, ret_problem);
            continue;
        }
        r = put(&expansion, *p);
        step(&expansion, *p);
    }
    if (r == -E2BIG) {
        char *problem = strdup("longer than 1024 bytes when expanded");
        if (!problem)
            return -ENOMEM;
        *ret_problem = problem;
    }
    if (r < 0)
        return r;
    expansion.text[expansion.length] = '\0';
    char *expanded = strdup(expansion.text);
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
