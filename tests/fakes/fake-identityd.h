/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Something that owns org.identityd1 on a private bus and hands out credential handles signed for by software keys: for
 * tests of what talks to identityd, with the faults that a real one must not have. Runs in a thread of the test. */
#pragma once

#include "common/failure.h"
#include "common/macros.h"

#include <gnutls/abstract.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct FakeIdentityd FakeIdentityd;

#define FAKE_DEVICE_ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* What goes wrong; of the OpenCredential call first, then of handles. */
typedef enum FakeFault {
    FAKE_FAULT_NONE,
    FAKE_FAULT_REPLY_WITHOUT_HANDLE, /* answers with a string */
    FAKE_FAULT_REPLY_PIPE,           /* answers with a pipe */
    FAKE_FAULT_REPLY_STREAM,         /* answers with a SOCK_STREAM socket */
    FAKE_FAULT_CLOSE_AT_OPEN,        /* the handle is closed at once */
    FAKE_FAULT_WRONG_IDENTITY,       /* State names another identity */
    FAKE_FAULT_WRONG_PURPOSE,
    FAKE_FAULT_CLOSE_AT_SIGN,       /* a request is read, then the handle closed */
    FAKE_FAULT_STATE_BEFORE_ANSWER, /* each answer is preceded by three States */
    FAKE_FAULT_BAD_SIGNATURE,       /* one bit is wrong */
} FakeFault;

/* Starts dbus-daemon in a directory of its own, sets DBUS_SYSTEM_BUS_ADDRESS for this process and owns the name. Aborts
 * on failure. */
FakeIdentityd *fake_identityd_new(void);
FakeIdentityd *fake_identityd_free(FakeIdentityd *fake);

const char *fake_identityd_directory(const FakeIdentityd *fake);

/* One identity; strings are copied, the key is not and must outlive the fake. Replaces the identity of that name,
 * pushes its State to its handles, and keeps earlier generations' keys. Any of the files may be NULL. */
typedef struct FakeIdentity {
    const char *name, *state; /* state NULL: "ready" */
    uint32_t generation;
    gnutls_privkey_t key;
    const char *chain, *anchors, *crls; /* PEM */
    FailureKind blocked;                /* not FAILURE_NONE: requests are refused so */
} FakeIdentity;
void fake_identityd_set(FakeIdentityd *fake, const FakeIdentity *identity);
void fake_identityd_forget_generation(FakeIdentityd *fake, const char *name, uint32_t generation);
void fake_identityd_remove(FakeIdentityd *fake, const char *name);

void fake_identityd_set_fault(FakeIdentityd *fake, FakeFault fault);

/* Answers OpenCredential with this D-Bus error from now on; NULL ends it. Strings are not copied. */
void fake_identityd_refuse(FakeIdentityd *fake, const char *error_name, const char *message);

/* Closes every handle, as a restart does. */
void fake_identityd_close_handles(FakeIdentityd *fake);

/* Gives the bus name up, and takes it back. */
void fake_identityd_leave_bus(FakeIdentityd *fake);
void fake_identityd_join_bus(FakeIdentityd *fake);

/* Counted since the start: OpenCredential calls, requests for a signature, signatures made. */
unsigned fake_identityd_opened(FakeIdentityd *fake);
unsigned fake_identityd_asked(FakeIdentityd *fake);
unsigned fake_identityd_signed(FakeIdentityd *fake);
unsigned fake_identityd_open_handles(FakeIdentityd *fake);

/* The other end of a handle without any bus: a new socket pair whose one end is served; the other is the caller's. */
int fake_identityd_handle(FakeIdentityd *fake, const char *identity, const char *purpose);

DEFINE_CLEANUP(FakeIdentityd, fake_identityd_free)
