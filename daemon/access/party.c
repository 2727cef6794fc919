/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* With whom a user is counted. Limits by user are of use only where nobody can be many users. */
#include "access/access.h"

#include "common/bytes.h"

#include <string.h>

#define SUBORDINATES_MAX (1024U * 1024U) /* bytes of the file: some 30,000 lines */

typedef struct Range {
    const char *owner; /* a name, or a number */
    uint64_t first, count;
} Range;

/* All digits, and in range. */
static bool read_number(const char *text, uint64_t *ret) {
    size_t length = strlen(text);

    if (length == 0 || length > 10 || strspn(text, "0123456789") != length)
        return false;
    *ret = strtoull(text, NULL, 10);
    return *ret <= UINT32_MAX;
}

/* OWNER:FIRST:COUNT, subuid(5). What is not such a line says nothing. */
static bool parse_line(char *line, Range *ret) {
    char *first = strchr(line, ':'), *count = first ? strchr(first + 1, ':') : NULL;

    if (!count || line[0] == '#' || first == line)
        return false;
    *first++ = *count++ = '\0';
    ret->owner = line;
    return read_number(first, &ret->first) && read_number(count, &ret->count);
}

static uid_t owner_of(const Range *range, const AccessNames *names) {
    uint64_t number;
    uid_t uid = PARTY_UNKNOWN;

    if (read_number(range->owner, &number))
        return (uid_t) number;
    return names->user(range->owner, &uid) == 0 ? uid : PARTY_UNKNOWN;
}

static uid_t subordinate_of(uid_t uid, const char *path, const AccessNames *names) {
    _cleanup_bytes_ Bytes text = BYTES_NULL;
    char *save = NULL;

    if (bytes_read_file(path, SUBORDINATES_MAX, &text) < 0)
        return PARTY_UNKNOWN;
    for (char *line = strtok_r((char *) text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        Range range;
        if (parse_line(line, &range) && uid >= range.first && uid - range.first < range.count)
            return owner_of(&range, names);
    }
    return PARTY_UNKNOWN;
}

uid_t party_of(uid_t uid, const char *subordinates, const AccessNames *names) {
    if (uid == PARTY_UNKNOWN || names->stands_for_many(false, uid))
        return PARTY_UNKNOWN;
    return uid == 0 || names->knows(uid) > 0 ? uid : subordinate_of(uid, subordinates, names);
}
