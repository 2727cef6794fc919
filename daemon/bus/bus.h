/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* identityd on the system bus: the objects of docs/design.md §8 over a Manager. */
#pragma once

#include "manager/manager.h"

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

typedef struct Bus Bus;

/* Connects to the system bus (DBUS_SYSTEM_BUS_ADDRESS is honoured) and publishes the objects; the name, by which people
 * find them, is for bus_request_name. `manager` outlives it and gets this object's callbacks. -errno, -EEXIST where
 * somebody has the name; the reason is logged. When the connection ends, that is logged, and the loop ends. */
int bus_new(sd_event *loop, Manager *manager, Bus **ret);
/* Asks for the name. Where somebody else has got it meanwhile, that is logged, and the loop ends. -errno. */
int bus_request_name(Bus *bus);
bool bus_has_name(const Bus *bus);
/* Sends what is queued, and leaves the bus. */
Bus *bus_free(Bus *bus);
DEFINE_CLEANUP(Bus, bus_free)
