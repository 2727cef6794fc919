/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/session-slot.h"

#include <stddef.h>

int session_slot_reserve(gnutls_session_t session, SessionSlot slot, gnutls_ext_deinit_data_func release,
                         gnutls_ext_send_func send) {
    unsigned flags = GNUTLS_EXT_FLAG_TLS | GNUTLS_EXT_FLAG_DTLS | (send ? GNUTLS_EXT_FLAG_CLIENT_HELLO : 0);
    int code = gnutls_session_ext_register(session, "identityd slot", (int) slot, GNUTLS_EXT_NONE, NULL, send, release,
                                           NULL, NULL, flags);

    return code == GNUTLS_E_ALREADY_REGISTERED ? 0 : code;
}

void session_slot_set(gnutls_session_t session, SessionSlot slot, void *data) {
    gnutls_ext_set_data(session, slot, data);
}

void *session_slot_get(gnutls_session_t session, SessionSlot slot) {
    gnutls_ext_priv_data_t data = NULL;

    return gnutls_ext_get_data(session, slot, &data) < 0 ? NULL : data;
}
