/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See time-text.h. Strict, since a time that was misread would judge by another one without a word. */
#include "idctl/time-text.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#define SECONDS_MAX INT64_C(253402300799) /* 9999-12-31T23:59:59Z, the last second that a certificate can name */

/* Takes exactly `digits` digits off the text. */
static bool take_number(const char **text, size_t digits, int *ret) {
    int number = 0;

    for (size_t i = 0; i < digits; i++) {
        if (!isdigit((unsigned char) (*text)[i]))
            return false;
        number = number * 10 + ((*text)[i] - '0');
    }
    *text += digits;
    *ret = number;
    return true;
}

static bool take(const char **text, char character) {
    if (**text != character)
        return false;
    ++*text;
    return true;
}

static bool take_date(const char **text, struct tm *ret) {
    int year, month;

    if (!take_number(text, 4, &year) || !take(text, '-') || !take_number(text, 2, &month) || !take(text, '-') ||
        !take_number(text, 2, &ret->tm_mday))
        return false;
    ret->tm_year = year - 1900;
    ret->tm_mon = month - 1;
    return true;
}

static bool take_clock(const char **text, struct tm *ret) {
    if (!take_number(text, 2, &ret->tm_hour) || !take(text, ':') || !take_number(text, 2, &ret->tm_min) ||
        !take(text, ':') || !take_number(text, 2, &ret->tm_sec))
        return false;
    if (!take(text, '.'))
        return true;
    size_t digits = strspn(*text, "0123456789");
    *text += digits;
    return digits > 0;
}

/* "Z", " UTC", "+01:00": seconds east of UTC. */
static bool take_zone(const char **text, int64_t *ret) {
    int hours, minutes;

    if (take(text, 'Z') || take(text, 'z')) {
        *ret = 0;
        return true;
    }
    if (strcmp(*text, " UTC") == 0) {
        *text += 4;
        *ret = 0;
        return true;
    }
    char sign = **text;
    if ((sign != '+' && sign != '-') || !take(text, sign) || !take_number(text, 2, &hours) || !take(text, ':') ||
        !take_number(text, 2, &minutes) || hours > 23 || minutes > 59)
        return false;
    *ret = (sign == '-' ? -1 : 1) * (hours * INT64_C(3600) + minutes * INT64_C(60));
    return true;
}

static int since_epoch(const char *digits, int64_t *ret) {
    size_t length = strspn(digits, "0123456789");
    int64_t seconds = 0;

    if (length == 0 || length > 12 || digits[length])
        return -EINVAL;
    for (size_t i = 0; i < length; i++)
        seconds = seconds * 10 + (digits[i] - '0');
    if (seconds > SECONDS_MAX)
        return -EINVAL;
    *ret = seconds;
    return 0;
}

int time_from_text(const char *text, int64_t *ret) {
    struct tm parts = { 0 };
    int64_t offset = 0;

    if (text[0] == '@')
        return since_epoch(text + 1, ret);
    if (!take_date(&text, &parts))
        return -EINVAL;
    if (*text && ((!take(&text, 'T') && !take(&text, 't') && !take(&text, ' ')) || !take_clock(&text, &parts) ||
                  !take_zone(&text, &offset)))
        return -EINVAL;
    if (*text)
        return -EINVAL;
    const struct tm wanted = parts;
    int64_t seconds = (int64_t) timegm(&parts);
    /* timegm() makes the 1st of March of the 30th of February. */
    if (parts.tm_mon != wanted.tm_mon || parts.tm_hour != wanted.tm_hour || parts.tm_min != wanted.tm_min ||
        parts.tm_sec != wanted.tm_sec)
        return -EINVAL;
    seconds -= offset;
    if (seconds < 0 || seconds > SECONDS_MAX)
        return -EINVAL;
    *ret = seconds;
    return 0;
}
