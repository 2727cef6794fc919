/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of this room share: a call in progress, from its message to its answer. */
#pragma once

#include "bus/arguments.h"
#include "bus/authorize.h"
#include "bus/bus.h"
#include "bus/caller.h"
#include "bus/gate.h"
#include "bus/permits.h"
#include "common/names.h"
#include "manager/view.h"

/* What is shown of one identity. sd-bus looks the object up once for each question and signal (identity_find), then
 * asks for one property after the other: the view is made for the first of them, and serves all. */
typedef struct Shown {
    Bus *bus;
    const Identity *identity; /* NULL: none was looked up yet */
    bool is_viewed;           /* `view` is of this look-up */
    IdentityView view;
} Shown;

struct Bus {
    sd_bus *bus;
    sd_event *loop;
    Manager *manager;
    bool has_name;
    sd_event_source *leave;
    sd_event_source *flush; /* coalesces PropertiesChanged: one signal per object and turn of the loop */
    bool manager_changed;
    char **changed; /* names of identities, owned */
    size_t changed_count;
    Shown shown;
    struct Call *calls; /* not answered yet */
    Callers *callers;
    Gate *gate;
    size_t held; /* calls at the gate */
    Permits permits;
};

typedef struct Call Call;
/* Continues a call once its caller is known and, where an action was named, authorized. Must end in call_reply_… sooner
 * or later. */
typedef void (*CallHandler)(Call *call);

struct Call {
    Bus *bus;
    sd_bus_message *message; /* an envelope: what an answer takes, and nothing of what was sent */
    const char *action;      /* polkit action; NULL: whoever is known */
    Purpose unit_purpose;    /* look the caller's unit up if rules for this purpose name units; _PURPOSE_INVALID: no */
    char *identity;          /* name, or NULL */
    CallHandler handler;
    Arguments arguments;
    Caller caller;
    CallerWait wait;             /* while it is found out who calls */
    Authorization authorization; /* while it is found out whether they may */
    size_t dropped;              /* bytes of arguments that were not kept: it has to be sent again */
    bool handed_over;            /* to its handler, which ends it */
    Call *next;
};

/* ---- call.c ---- */
/* Open at once, of one user: each may wait for polkit, and the bus bounds how many answers we may wait for. In all
 * there are CALLS_MAX; once half of them are taken, nobody gets more than CALLS_PER_USER_FEW. Administrators (access.h)
 * are not counted. */
#define CALLS_MAX          512U
#define CALLS_PER_USER_MAX 64U
#define CALLS_PER_USER_FEW 8U
/* What is kept of the arguments of somebody who is not known to be permitted yet. */
#define CALL_KEPT_MAX 4096U

typedef struct CallStart {
    const char *action;
    Purpose unit_purpose;
    const char *identity;
    CallHandler handler;
    Arguments arguments; /* bounded; they point into the message, of which no more is kept than CALL_KEPT_MAX says */
} CallStart;

/* Finds out who calls, then whether they may, then calls the handler. Returns what a vtable handler returns: 1, or
 * -errno with `error` set. */
int call_begin(Bus *bus, sd_bus_message *message, const CallStart *start, sd_bus_error *error);
/* The identity that the call is about; NULL after answering with NoSuchIdentity. */
Identity *call_identity(Call *call);
void call_reply_failure(Call *call, const Failure *failure);
/* Sends `reply` (taken), if `r`, what came of making it, is no negative errno; else, and where it cannot be sent, the
 * caller is told that there is no answer, and the log is. Ends the call. */
void call_reply(Call *call, int r, sd_bus_message *reply);
/* The same with an empty answer. */
void call_reply_done(Call *call);
Call *call_free(Call *call);
/* Before the bus is left: nobody waits in vain. */
void calls_abandon(Bus *bus);
DEFINE_CLEANUP(Call, call_free)

/* ---- objects ---- */
extern const sd_bus_vtable manager_vtable[];
extern const sd_bus_vtable identity_vtable[];
/* The object for methods and properties is a Shown. */
int identity_find(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret_found,
                  sd_bus_error *error);
int identity_enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes, sd_bus_error *error);
/* Begins OpenCredential for either interface; the message is positioned at the purpose. */
int open_credential_begin(Bus *bus, sd_bus_message *message, const char *identity, sd_bus_error *error);

/* Failure to D-Bus error; returns negative. */
int bus_error_from_failure(sd_bus_error *error, const Failure *failure);

/* ---- identity-properties.c ---- */
/* A look-up of that identity begins: what was viewed before is forgotten. */
void shown_begin(Shown *shown, const Identity *identity);
void shown_clear(Shown *shown);
/* For all properties of org.identityd1.Identity; `userdata` is a Shown. */
int identity_property(sd_bus *connection, const char *path, const char *interface, const char *name,
                      sd_bus_message *reply, void *userdata, sd_bus_error *error);
