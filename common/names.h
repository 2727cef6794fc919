/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names that daemon, clients and policy files must agree on. */
#pragma once

#define IDENTITYD_BUS_NAME           "org.identityd1"
#define IDENTITYD_MANAGER_PATH       "/org/identityd1"
#define IDENTITYD_IDENTITY_PREFIX    "/org/identityd1/identity"
#define IDENTITYD_MANAGER_INTERFACE  "org.identityd1.Manager"
#define IDENTITYD_IDENTITY_INTERFACE "org.identityd1.Identity"
#define IDENTITYD_ERROR_PREFIX       "org.identityd1.Error."

#define IDENTITYD_CONFIGURATION_DIRECTORY "/etc/identityd"
#define IDENTITYD_STATE_DIRECTORY         "/var/lib/identityd"
#define IDENTITYD_RUNTIME_DIRECTORY       "/run/identityd"
#define IDENTITYD_VENDOR_DIRECTORY        "/usr/lib/identityd"
#define IDENTITYD_ENROLLER_SOCKET         "enroller.socket" /* below the runtime directory */
#define IDENTITYD_FETCH_SOCKET            "fetch.socket"

/* An identity's name: [a-z0-9][a-z0-9._-]{0,63} */
#define IDENTITY_NAME_MAX 64U

#include <stdbool.h>

/* Whether `name` may name an identity. NULL is not a name. */
bool identity_name_is_valid(const char *name);
