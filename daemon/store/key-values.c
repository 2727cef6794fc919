/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Strict both ways: what this writes it reads, and nothing else. A file that was cut short lacks a key or its last
 * newline. */
#include "store/key-values.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool parse_boolean(const char *text, bool *ret) {
    *ret = strcmp(text, "yes") == 0;
    return *ret || strcmp(text, "no") == 0;
}

/* Decimal without sign but '-', zeros in front or white space. */
static bool parse_integer(const char *text, int64_t minimum, int64_t maximum, int64_t *ret) {
    const char *digits = text + (text[0] == '-');
    size_t length = strspn(digits, "0123456789");

    if (length == 0 || digits[length] != '\0' || (digits[0] == '0' && (length > 1 || digits != text)))
        return false;
    errno = 0;
    long long n = strtoll(text, NULL, 10);
    if (errno != 0 || n < minimum || n > maximum)
        return false;
    *ret = n;
    return true;
}

static bool parse_text(const char *text, char *ret, size_t size) {
    size_t length = strlen(text);

    if (length >= size)
        return false;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char) text[i] < 0x20 || text[i] == 0x7f)
            return false;
    memcpy(ret, text, length + 1);
    return true;
}

/* 0, -EINVAL, -ENOMEM. */
static int parse_value(const KeyValue *entry, const char *text) {
    int64_t n = 0;
    bool good = false;

    switch (entry->type) {
    case VALUE_BOOLEAN:
        good = parse_boolean(text, entry->field);
        break;
    case VALUE_U32:
        good = parse_integer(text, 0, UINT32_MAX, &n);
        if (good)
            *(uint32_t *) entry->field = (uint32_t) n;
        break;
    case VALUE_I64:
        good = parse_integer(text, INT64_MIN, INT64_MAX, entry->field);
        break;
    case VALUE_TEXT:
        good = parse_text(text, entry->field, entry->size);
        break;
    case VALUE_HEX: {
        Bytes *bytes = entry->field;
        bytes_clear(bytes);
        int r = strlen(text) <= 2 * entry->size ? bytes_from_hex(text, bytes) : -EINVAL;
        if (r == -ENOMEM)
            return r;
        good = r == 0;
        break;
    }
    }
    return good ? 0 : -EINVAL;
}

static const char *expectation(KeyValueType type) {
    switch (type) {
    case VALUE_BOOLEAN:
        return "must be yes or no";
    case VALUE_U32:
        return "must be a number from 0 to 4294967295";
    case VALUE_I64:
        return "must be a number of 64 bits";
    case VALUE_HEX:
        return "must be an even number of hexadecimal digits, not too many";
    default:
        return "must be a line of text, not too long";
    }
}

static const KeyValue *find(const KeyValue *list, size_t count, const char *key) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].key, key) == 0)
            return &list[i];
    return NULL;
}

/* One line, a string of its own. */
static int read_line(const KeyValue *list, size_t count, char *line, bool *seen, const char **ret_fault,
                     const char **ret_key) {
    char *equals = strchr(line, '=');

    *ret_fault = NULL;
    *ret_key = "line";
    if (!equals) {
        *ret_fault = "must be KEY=VALUE";
        return 0;
    }
    *equals = '\0';
    const KeyValue *entry = find(list, count, line);
    if (!entry) {
        *ret_fault = "unknown key";
        return 0;
    }
    *ret_key = entry->key;
    if (seen[entry - list]) {
        *ret_fault = "stands there twice";
        return 0;
    }
    seen[entry - list] = true;
    int r = parse_value(entry, equals + 1);
    if (r == -EINVAL)
        *ret_fault = expectation(entry->type);
    return r == -ENOMEM ? r : 0;
}

int key_values_read(Place place, const char *name, BytesView content, const KeyValue *list, size_t count,
                    Failure *ret_failure) {
    _cleanup_bytes_ Bytes copy = BYTES_NULL;
    bool seen[KEY_VALUES_MAX] = { false };
    unsigned line = 0;
    char text[160];

    assert(count <= KEY_VALUES_MAX);
    if (content.size == 0 || content.data[content.size - 1] != '\n')
        return place_malformed(place, name, 0, "does not end in a whole line: it was cut short", ret_failure);
    if (memchr(content.data, 0, content.size))
        return place_malformed(place, name, 0, "contains a NUL byte", ret_failure);
    if (bytes_copy(content, &copy) < 0)
        return failure_errno(ret_failure, -ENOMEM, name);
    for (char *at = (char *) copy.data, *end = at + copy.size; at < end;) {
        char *newline = memchr(at, '\n', (size_t) (end - at));
        const char *fault = NULL, *key = NULL;
        *newline = '\0';
        line++;
        if (read_line(list, count, at, seen, &fault, &key) < 0)
            return failure_errno(ret_failure, -ENOMEM, name);
        if (fault) {
            (void) snprintf(text, sizeof(text), "%s: %s", key, fault);
            return place_malformed(place, name, line, text, ret_failure);
        }
        at = newline + 1;
    }
    for (size_t i = 0; i < count; i++)
        if (!seen[i]) {
            (void) snprintf(text, sizeof(text), "%s= is missing", list[i].key);
            return place_malformed(place, name, line, text, ret_failure);
        }
    return 0;
}

/* -ENOMEM, else nothing that matters: a line that cannot be read says nothing. */
static int salvage_line(char *line, const KeyValue *list, size_t count, unsigned *times) {
    char *equals = strchr(line, '=');

    if (!equals)
        return 0;
    *equals = '\0';
    const KeyValue *entry = find(list, count, line);
    if (!entry)
        return 0;
    int r = parse_value(entry, equals + 1);
    /* Twice is as bad as never. */
    times[entry - list] += r == 0 ? 1 : 2;
    return r == -ENOMEM ? r : 0;
}

int key_values_salvage(BytesView content, const KeyValue *list, size_t count, bool *ret_read) {
    _cleanup_bytes_ Bytes copy = BYTES_NULL;
    unsigned times[KEY_VALUES_MAX] = { 0 };
    int r = bytes_copy(content, &copy);

    assert(count <= KEY_VALUES_MAX);
    if (r < 0)
        return r;
    for (char *at = (char *) copy.data, *end = at + copy.size; r >= 0 && at < end;) {
        char *newline = memchr(at, '\n', (size_t) (end - at)), *next = newline ? newline + 1 : end;
        /* Where the file was cut off, or a NUL stands, a line may have said more. */
        if (newline && !memchr(at, 0, (size_t) (newline - at))) {
            *newline = '\0';
            r = salvage_line(at, list, count, times);
        }
        at = next;
    }
    for (size_t i = 0; i < count; i++)
        ret_read[i] = times[i] == 1;
    return r;
}

static void write_text(FILE *stream, const char *text, size_t size) {
    for (size_t i = 0; i < size - 1 && text[i]; i++)
        (void) putc((unsigned char) text[i] < 0x20 || text[i] == 0x7f ? ' ' : text[i], stream);
}

static int write_value(FILE *stream, const KeyValue *entry) {
    switch (entry->type) {
    case VALUE_BOOLEAN:
        (void) fputs(*(const bool *) entry->field ? "yes" : "no", stream);
        break;
    case VALUE_U32:
        (void) fprintf(stream, "%" PRIu32, *(const uint32_t *) entry->field);
        break;
    case VALUE_I64:
        (void) fprintf(stream, "%" PRId64, *(const int64_t *) entry->field);
        break;
    case VALUE_TEXT:
        write_text(stream, entry->field, entry->size);
        break;
    case VALUE_HEX: {
        _cleanup_free_ char *hex = bytes_to_hex(bytes_view(entry->field));
        if (!hex)
            return -ENOMEM;
        (void) fputs(hex, stream);
        break;
    }
    }
    return 0;
}

int key_values_write(const KeyValue *list, size_t count, Bytes *ret) {
    _cleanup_free_ char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    int r = 0;

    if (!stream)
        return -ENOMEM;
    for (size_t i = 0; i < count && r == 0; i++) {
        (void) fprintf(stream, "%s=", list[i].key);
        r = write_value(stream, &list[i]);
        (void) putc('\n', stream);
    }
    bool failed = ferror(stream);
    if (fclose(stream) != 0 || failed || r < 0)
        return -ENOMEM;
    *ret = (Bytes) { (uint8_t *) TAKE_PTR(text), size };
    return 0;
}
