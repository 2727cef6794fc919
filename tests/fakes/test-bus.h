/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A private dbus-daemon for one test. */
#pragma once

#include "common/macros.h"

typedef struct TestBus TestBus;

/* Makes a directory, starts dbus-daemon in it and waits until it listens. Aborts on failure. The daemon dies with the
 * thread that started it. */
TestBus *test_bus_new(void);
TestBus *test_bus_free(TestBus *bus);
const char *test_bus_address(const TestBus *bus);
const char *test_bus_directory(const TestBus *bus);
