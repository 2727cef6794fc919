/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client-lib/bus-functions.h"

int bus_functions(const BusFunctions **ret) {
#define MEMBER(name) .name = name,
    static const BusFunctions functions = { BUS_FUNCTIONS(MEMBER) };
#undef MEMBER

    *ret = &functions;
    return 0;
}
