/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See proof.h. */
#include "proof.h"

#include <string.h>

#define OID_CHALLENGE_PASSWORD "1.2.840.113549.1.9.7"
#define CHALLENGE_MAX          256U

bool proof_is_given(gnutls_session_t session, gnutls_x509_crq_t request, const char **ret_reason) {
    bool is_tls13 = gnutls_protocol_get_version(session) == GNUTLS_TLS1_3;
    _cleanup_datum_ gnutls_datum_t binding = DATUM_NULL, wanted = DATUM_NULL;
    uint8_t given[CHALLENGE_MAX]; /* DER: GnuTLS's own text of it has '+' escaped */
    size_t size = sizeof(given);

    *ret_reason = "the request has no challengePassword";
    if (gnutls_x509_crq_get_attribute_by_oid(request, OID_CHALLENGE_PASSWORD, 0, given, &size) < 0 || size < 2)
        return false;
    *ret_reason = "the TLS session has no channel binding";
    if (gnutls_session_channel_binding(session, is_tls13 ? GNUTLS_CB_TLS_EXPORTER : GNUTLS_CB_TLS_UNIQUE, &binding) <
            0 ||
        gnutls_base64_encode2(&binding, &wanted) < 0)
        return false;
    *ret_reason = "the request was made for another TLS session";
    return given[1] == wanted.size && size == 2 + (size_t) wanted.size &&
           memcmp(given + 2, wanted.data, wanted.size) == 0;
}
