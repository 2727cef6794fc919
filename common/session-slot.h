/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A place for a pointer of ours in a GnuTLS session: a TLS extension with a number from the private range (RFC 8446
 * §11) that is never sent and never parsed. The session's own pointer (gnutls_session_set_ptr()) is the program's. */
#pragma once

#include <gnutls/gnutls.h>

typedef enum SessionSlot {
    SLOT_TRANSCRIPT = 65437,
    SLOT_CLIENT = 65438, /* libidentityd-gnutls */
    SLOT_HTTP = 65439,   /* the enroller */
} SessionSlot;

/* `release` (NULL: nothing) is called with what is there when the session is freed or it is replaced; `send` (NULL:
 * nothing) when a ClientHello is about to be written, and returns 0. 0, also if it was reserved before; or GnuTLS's
 * error. */
int session_slot_reserve(gnutls_session_t session, SessionSlot slot, gnutls_ext_deinit_data_func release,
                         gnutls_ext_send_func send);

void session_slot_set(gnutls_session_t session, SessionSlot slot, void *data);
/* NULL: nothing was set. */
void *session_slot_get(gnutls_session_t session, SessionSlot slot);
