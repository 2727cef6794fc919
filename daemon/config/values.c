/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Strict readers of single values. URLs have a file of their own. */
#include "config/values.h"

#include "common/alternative-name.h"

#include <string.h>

#define DIGITS "0123456789"

int value_boolean(const char *text, bool *ret) {
    static const char *const yes[] = { "yes", "true", "on", "1" }, *const no[] = { "no", "false", "off", "0" };

    for (size_t i = 0; i < ARRAY_LENGTH(yes); i++) {
        if (strcmp(text, yes[i]) == 0) {
            *ret = true;
            return 0;
        }
        if (strcmp(text, no[i]) == 0) {
            *ret = false;
            return 0;
        }
    }
    return -EINVAL;
}

/* All of `text`, `length` characters of it, as a number in `base`. */
static int number(const char *text, size_t length, unsigned base, uint64_t maximum, uint64_t *ret) {
    uint64_t n = 0;

    if (length == 0)
        return -EINVAL;
    for (size_t i = 0; i < length; i++) {
        const char *digits = "0123456789abcdef",
                   c = text[i] >= 'A' && text[i] <= 'F' ? (char) (text[i] | 0x20) : text[i];
        const char *found = c ? strchr(digits, c) : NULL;
        if (!found || (unsigned) (found - digits) >= base)
            return -EINVAL;
        if (__builtin_mul_overflow(n, (uint64_t) base, &n) ||
            __builtin_add_overflow(n, (uint64_t) (found - digits), &n) || n > maximum)
            return -EINVAL;
    }
    *ret = n;
    return 0;
}

/* Decimal, without zeros in front. */
static int decimal(const char *text, size_t length, uint64_t maximum, uint64_t *ret) {
    if (length > 1 && text[0] == '0')
        return -EINVAL;
    return number(text, length, 10, maximum, ret);
}

int value_unsigned(const char *text, uint32_t maximum, uint32_t *ret) {
    uint64_t n;
    int r;

    if (strncmp(text, "0x", 2) == 0)
        r = number(text + 2, strlen(text + 2), 16, maximum, &n);
    else
        r = decimal(text, strlen(text), maximum, &n);
    if (r < 0)
        return r;
    *ret = (uint32_t) n;
    return 0;
}

int value_duration(const char *text, uint64_t *ret_seconds) {
    static const struct {
        const char *name;
        uint64_t seconds;
    } units[] = { { "s", 1 }, { "min", 60 }, { "h", 3600 }, { "d", 86400 }, { "w", 7 * 86400 } };
    size_t length = strspn(text, DIGITS);
    uint64_t n;

    for (size_t i = 0; i < ARRAY_LENGTH(units); i++) {
        if (strcmp(text + length, units[i].name) != 0)
            continue;
        int r = decimal(text, length, 10000 * units[4].seconds / units[i].seconds, &n);
        if (r < 0)
            return r;
        *ret_seconds = n * units[i].seconds;
        return 0;
    }
    return -EINVAL;
}

int value_percent(const char *text, uint32_t *ret_permille) {
    size_t whole = strspn(text, DIGITS);
    const char *rest = text + whole;
    uint64_t n, tenths = 0;

    int r = decimal(text, whole, 100, &n);
    if (r < 0)
        return r;
    if (rest[0] == '.') {
        r = number(rest + 1, strspn(rest + 1, DIGITS), 10, 9, &tenths);
        if (r < 0 || strspn(rest + 1, DIGITS) != 1)
            return -EINVAL;
        rest += 2;
    }
    if (strcmp(rest, "%") != 0 || n * 10 + tenths > 1000)
        return -EINVAL;
    *ret_permille = (uint32_t) (n * 10 + tenths);
    return 0;
}

bool value_is_path(const char *text) {
    if (text[0] != '/' || strlen(text) >= 4096)
        return false;
    for (const char *p = text; *p;) {
        p++; /* the slash */
        size_t length = strcspn(p, "/");
        if (length == 0 || length > 255 || (length == 1 && p[0] == '.') || (length == 2 && p[0] == '.' && p[1] == '.'))
            return false;
        p += length;
    }
    return true;
}

bool value_is_credential_name(const char *text) {
    size_t length = strlen(text);

    if (length == 0 || length > 255 || strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
        return false;
    for (size_t i = 0; i < length; i++)
        if (text[i] <= ' ' || text[i] > '~' || text[i] == '/' || text[i] == ':')
            return false;
    return true;
}

int value_fingerprint(const char *text, uint8_t ret[static 32]) {
    char hex[65];
    size_t n = 0;

    if (strncmp(text, "sha256:", 7) != 0)
        return -EINVAL;
    text += 7;
    bool colons = strlen(text) > 2 && text[2] == ':';
    for (const char *p = text; *p; p++) {
        if (colons && (p - text) % 3 == 2) {
            if (*p != ':')
                return -EINVAL;
            continue;
        }
        if (n == 64)
            return -EINVAL;
        hex[n++] = *p;
    }
    hex[n] = '\0';
    if (n != 64 || (colons && strlen(text) != 64 + 31))
        return -EINVAL;
    _cleanup_bytes_ Bytes bytes = BYTES_NULL;
    int r = bytes_from_hex(hex, &bytes);
    if (r < 0)
        return r;
    memcpy(ret, bytes.data, 32);
    return 0;
}

bool value_is_dns_name(const char *text, size_t length) {
    return dns_name_is_valid(text, length, false);
}

bool value_is_ip_address(const char *text) {
    return !san_fault(SAN_IP, text);
}

int value_words(const char *text, size_t maximum, char ***ret) {
    static const char blank[] = " \t";
    _cleanup_strings_ char **words = calloc(1, sizeof(*words));
    size_t count = 0;

    if (!words)
        return -ENOMEM;
    for (text += strspn(text, blank); *text; text += strspn(text, blank)) {
        size_t length = strcspn(text, blank);
        if (count == maximum)
            return -E2BIG;
        char **grown = reallocarray(words, count + 2, sizeof(*words));
        if (!grown)
            return -ENOMEM;
        words = grown;
        words[count] = strndup(text, length);
        if (!words[count])
            return -ENOMEM;
        words[++count] = NULL;
        text += length;
    }
    *ret = TAKE_PTR(words);
    return 0;
}

char **strings_free(char **strings) {
    for (char **s = strings; s && *s; s++)
        free(*s);
    free(strings);
    return NULL;
}

bool strings_contain(char *const *strings, const char *string) {
    for (; strings && *strings; strings++)
        if (strcmp(*strings, string) == 0)
            return true;
    return false;
}

size_t strings_count(char *const *strings) {
    size_t count = 0;

    while (strings && strings[count])
        count++;
    return count;
}
