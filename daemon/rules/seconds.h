/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sums of seconds. Certificates come from outside and clocks lie, so every sum saturates. Not for other rooms. */
#pragma once

#include <stdint.h>

static inline int64_t seconds_add(int64_t a, int64_t b) {
    int64_t sum;

    if (__builtin_add_overflow(a, b, &sum))
        return b < 0 ? INT64_MIN : INT64_MAX;
    return sum;
}

static inline int64_t seconds_subtract(int64_t a, int64_t b) {
    int64_t difference;

    if (__builtin_sub_overflow(a, b, &difference))
        return b < 0 ? INT64_MAX : INT64_MIN;
    return difference;
}

static inline int64_t seconds_clamp(int64_t value, int64_t low, int64_t high) {
    if (value < low)
        return low;
    return value > high ? high : value;
}

static inline int64_t seconds_least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static inline int64_t seconds_most(int64_t a, int64_t b) {
    return a > b ? a : b;
}
