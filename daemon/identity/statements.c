/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A file and a byte string, and whether they are others than before. */
#include "identity/statements.h"

#include "device/device.h"
#include "identity/parts.h"

struct Statements {
    SharedFile *crls;
    Bytes staple;
    int64_t staple_end;
};

int statements_new(Identity *identity) {
    identity->statements = calloc(1, sizeof *identity->statements);
    return identity->statements ? 0 : -ENOMEM;
}

void statements_free(Identity *identity) {
    if (!identity->statements)
        return;
    shared_file_unref(identity->statements->crls);
    bytes_clear(&identity->statements->staple);
    free(identity->statements);
    identity->statements = NULL;
}

BytesView identity_crls(const Identity *identity) {
    return shared_file_view(identity->statements->crls);
}

int identity_crls_fd(const Identity *identity) {
    return shared_file_fd(identity->statements->crls);
}

BytesView identity_staple(const Identity *identity) {
    return bytes_view(&identity->statements->staple);
}

int64_t identity_staple_end(const Identity *identity) {
    return identity->statements->staple_end;
}

int identity_set_crls(Identity *identity, Bytes *crls) {
    Statements *statements = identity->statements;
    SharedFile *fresh = NULL;
    int r = 0;

    if (crls->size > 0)
        r = shared_file_get(device_shared_files(identity->context->device), "identityd-crls", bytes_view(crls), &fresh);
    bytes_clear(crls);
    if (r < 0)
        return r;
    if (fresh != statements->crls)
        identity_note(identity, CHANGED_STATEMENTS);
    shared_file_unref(statements->crls);
    statements->crls = fresh;
    return 0;
}

static void set_staple(Identity *identity, Bytes *fresh) {
    Bytes *present = &identity->statements->staple;

    if (!bytes_view_equal(bytes_view(present), bytes_view(fresh))) {
        const Bytes old = *present;
        *present = *fresh;
        *fresh = old;
        identity_note(identity, CHANGED_STATEMENTS);
    }
    bytes_clear(fresh);
}

int identity_set_staple(Identity *identity, BytesView staple, int64_t end) {
    Bytes copy = BYTES_NULL;
    int r = bytes_copy(staple, &copy);

    if (r < 0)
        return r;
    set_staple(identity, &copy);
    identity->statements->staple_end = end;
    return 0;
}

void identity_drop_staple(Identity *identity) {
    Bytes none = BYTES_NULL;

    set_staple(identity, &none);
}
