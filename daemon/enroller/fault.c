/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The faults of several servers in one text. */
#include "enroller/fault.h"

#include <stdio.h>
#include <string.h>

int fault_collect(Failure *all, const Failure *last, int r) {
    static const char gap[] = "; ", cut[] = "…; ";
    char before[FAILURE_TEXT_MAX];
    size_t length = strlen(all->text), room = FAILURE_TEXT_MAX - 1U - strlen(last->text);

    if (all->kind == FAILURE_NONE) {
        *all = *last;
        return r;
    }
    if (room < sizeof cut)
        return failure_set(all, r, last->kind, "%s", last->text);
    bool fits = length + sizeof gap - 1U <= room;
    if (!fits)
        length = room - (sizeof cut - 1U);
    while (!fits && length > 0 && (all->text[length] & 0xc0) == 0x80) /* not within a UTF-8 character */
        length--;
    (void) snprintf(before, sizeof before, "%.*s", (int) length, all->text);
    return failure_set(all, r, last->kind, "%s%s%s", before, fits ? gap : cut, last->text);
}
