/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* identityd on the system bus: the objects of docs/design.md §8 over a Manager. */
#pragma once

#include "manager/manager.h"

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

typedef struct Bus Bus;

/* Connects to the system bus (DBUS_SYSTEM_BUS_ADDRESS is honoured), publishes the objects, asks for the name. `manager`
 * outlives it and gets this object's callbacks. -errno; the reason is logged. When the connection ends, the loop ends.
 */
int bus_new(sd_event *loop, Manager *manager, Bus **ret);
/* Sends what is queued, and leaves the bus. */
Bus *bus_free(Bus *bus);
DEFINE_CLEANUP(Bus, bus_free)
