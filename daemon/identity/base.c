/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bottom of the room: what every other file of it may call. */
#include "identity/base.h"

#include "identity/parts.h"

#include <errno.h>

const char *identity_name(const Identity *identity) {
    return identity->name;
}

const IdentityContext *identity_context(const Identity *identity) {
    return identity->context;
}

uint64_t identity_instance(const Identity *identity) {
    return identity->instance;
}

void identity_note(Identity *identity, unsigned changes) {
    identity->changes |= changes;
}

bool error_may_pass(int r) {
    return r == -EIO || r == -EMFILE || r == -ENFILE || r == -ENOMEM || r == -ESTALE || r == -EINTR;
}
