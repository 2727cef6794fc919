/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus/permits.h"

#include <string.h>

static bool is_of(const Permit *permit, PermitOf of) {
    return permit->until > 0 && strcmp(permit->bus_name, of.bus_name) == 0 && strcmp(permit->action, of.action) == 0 &&
           strcmp(permit->identity, of.identity ? of.identity : "") == 0;
}

void permits_note(Permits *permits, PermitOf of, uint64_t now) {
    Permit *place = &permits->list[0];

    if (strlen(of.bus_name) >= sizeof place->bus_name)
        return;
    for (size_t i = 0; i < PERMITS_MAX; i++) {
        if (is_of(&permits->list[i], of)) {
            place = &permits->list[i];
            break;
        }
        if (permits->list[i].until < place->until)
            place = &permits->list[i];
    }
    *place = (Permit) { .action = of.action, .until = now + PERMIT_SECONDS * 1000000ULL };
    strcpy(place->bus_name, of.bus_name);
    strcpy(place->identity, of.identity ? of.identity : "");
}

bool permits_take(Permits *permits, PermitOf of, uint64_t now) {
    for (size_t i = 0; i < PERMITS_MAX; i++)
        if (is_of(&permits->list[i], of)) {
            bool in_time = now < permits->list[i].until;
            permits->list[i].until = 0;
            return in_time;
        }
    return false;
}
