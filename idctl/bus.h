/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* identityd over the system bus (DBUS_SYSTEM_BUS_ADDRESS is honoured): one connection, calls whose failures are told to
 * the person and become exit statuses, and long calls that show how they get on. */
#pragma once

#include "command/command.h"
#include "common/bytes.h"
#include "idctl/agent.h"

#include <systemd/sd-bus.h>

/* Enroll and its like may wait for a CA, its retries and a slow TPM that makes an RSA key. */
#define BUS_LONG_CALL_SECONDS 1800U

typedef struct Bus {
    sd_bus *bus;
    Agent agent;
    bool quiet;
} Bus;

/* Connects; `privileged`: for methods that polkit guards, with an agent that can ask for a password. EXIT_OK, or the
 * complaint was made. */
ExitCode bus_open(const Command *command, bool privileged, Bus *ret);
void bus_close(Bus *bus);
#define _cleanup_bus_ _cleanup_(bus_close)

/* The exit status that a D-Bus error name stands for. */
ExitCode bus_error_exit_code(const char *error_name);

/* Complains about a failed call, "cannot WHAT: why and what to do", and gives the exit status. `error` may be unset:
 * `r` (negative errno) is used then. */
ExitCode bus_complain(const sd_bus_error *error, int r, const char *what);

/* The object of an identity. A name that cannot be one is EXIT_USAGE, an unknown one EXIT_NOT_FOUND. The caller frees.
 */
ExitCode bus_identity_path(Bus *bus, const char *identity, char **ret);

/* A method call message on an object of identityd; complains on failure. */
ExitCode bus_new_call(Bus *bus, const char *path, const char *interface, const char *member, sd_bus_message **ret);

/* Calls and waits, for up to BUS_LONG_CALL_SECONDS, showing the activity of the identity at the call's path on standard
 * error meanwhile, unless quiet. `ret_reply` may be NULL. `what` completes "cannot …". */
ExitCode bus_call_long(Bus *bus, sd_bus_message *call, const char *identity, const char *what,
                       sd_bus_message **ret_reply);

/* A method of the Manager without arguments, in silence. With an interactive bus somebody may be typing a password: the
 * limit is as long as above. `ret_reply` may be NULL. */
ExitCode bus_call_manager(Bus *bus, const char *member, const char *what, sd_bus_message **ret_reply);

/* One string property of the Manager; the caller frees. */
ExitCode bus_manager_property(Bus *bus, const char *property, char **ret);

/* Appends {"name": true/false} or an empty dictionary as a{sv}. 0 or -errno. */
int bus_append_option(sd_bus_message *message, const char *name, bool present, bool value);
