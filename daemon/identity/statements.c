/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Two byte strings, and whether they are others than before. */
#include "identity/statements.h"

#include "identity/parts.h"

struct Statements {
    Bytes crls, staple;
    int64_t staple_end;
};

int statements_new(Identity *identity) {
    identity->statements = calloc(1, sizeof *identity->statements);
    return identity->statements ? 0 : -ENOMEM;
}

void statements_free(Identity *identity) {
    if (!identity->statements)
        return;
    bytes_clear(&identity->statements->crls);
    bytes_clear(&identity->statements->staple);
    free(identity->statements);
    identity->statements = NULL;
}

BytesView identity_crls(const Identity *identity) {
    return bytes_view(&identity->statements->crls);
}

BytesView identity_staple(const Identity *identity) {
    return bytes_view(&identity->statements->staple);
}

int64_t identity_staple_end(const Identity *identity) {
    return identity->statements->staple_end;
}

static void set(Identity *identity, Bytes *present, Bytes *fresh) {
    if (!bytes_view_equal(bytes_view(present), bytes_view(fresh))) {
        const Bytes old = *present;
        *present = *fresh;
        *fresh = old;
        identity_note(identity, CHANGED_STATEMENTS);
    }
    bytes_clear(fresh);
}

void identity_set_crls(Identity *identity, Bytes *crls) {
    set(identity, &identity->statements->crls, crls);
}

int identity_set_staple(Identity *identity, BytesView staple, int64_t end) {
    Bytes copy = BYTES_NULL;
    int r = bytes_copy(staple, &copy);

    if (r < 0)
        return r;
    set(identity, &identity->statements->staple, &copy);
    identity->statements->staple_end = end;
    return 0;
}

void identity_drop_staple(Identity *identity) {
    Bytes none = BYTES_NULL;

    set(identity, &identity->statements->staple, &none);
}
