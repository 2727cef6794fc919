/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who may administer: root and identityd's own user always; else polkit decides; on a system without polkit, the group
 * identityd-admin. What for is not known here. */
#pragma once

#include "access/access.h"

#include <systemd/sd-bus.h>

/* One question: who, what, about which identity (NULL: none). All is borrowed until the answer. `why` is for people. */
typedef struct Authorization {
    sd_bus *connection;
    const Caller *caller;
    const char *action, *identity;
    bool interactive; /* somebody may be asked for a password */
    void (*decided)(bool admitted, const char *why, void *userdata);
    void *userdata;
    sd_bus_slot *slot;   /* of authorize.c, NULL to begin with */
    bool without_polkit; /* of authorize.c: there is none to ask, so no rule for it would help */
} Authorization;

typedef enum AuthorizationAnswer {
    AUTHORIZATION_ASKED, /* polkit: `decided` is called in a later turn of the loop */
    AUTHORIZATION_ADMITTED,
    AUTHORIZATION_DENIED,
} AuthorizationAnswer;

/* What is known at once has its reason in `ret_why`, and `decided` is not called. */
AuthorizationAnswer authorize(Authorization *authorization, const char **ret_why);
/* Waits for no answer any more; does nothing where none is awaited. */
void authorization_forget(Authorization *authorization);
