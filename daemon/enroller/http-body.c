/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A body with the proof of possession of RFC 7030 §3.5 in it: what is signed names the TLS session, so that it can be
 * made only when that is there, while its length has been announced to libcurl before. White space at the end of base64
 * is allowed (RFC 8951 §3.1) and fills it up. */
#include "enroller/http-session.h"

#include <string.h>

/* tls-unique is of TLS 1.2 alone (RFC 7030 §3.5); what TLS 1.3 has for it is tls-exporter (RFC 9266). */
static int read_binding(gnutls_session_t tls, Bytes *ret) {
    bool is_tls13 = gnutls_protocol_get_version(tls) == GNUTLS_TLS1_3;
    gnutls_datum_t binding = { NULL, 0 };
    int r = gnutls_session_channel_binding(tls, is_tls13 ? GNUTLS_CB_TLS_EXPORTER : GNUTLS_CB_TLS_UNIQUE, &binding);

    if (r < 0)
        return r == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : -EOPNOTSUPP;
    r = bytes_copy((BytesView) { binding.data, binding.size }, ret);
    gnutls_free(binding.data);
    return r;
}

static int fill_up(HttpSession *session, size_t size) {
    size_t missing = size - session->body.size;
    _cleanup_bytes_ Bytes breaks = { malloc(missing + 1U), missing };

    if (!breaks.data)
        return -ENOMEM;
    memset(breaks.data, '\n', missing);
    return bytes_append(&session->body, bytes_view(&breaks));
}

static int make(HttpSession *session, BytesView binding) {
    const HttpLinkedBody *linked = session->request->linked;

    bytes_clear(&session->body);
    session->binding_size = 0;
    int r = linked->make(binding, linked->userdata, &session->body, &session->body_failure);
    if (r < 0)
        return r;
    if (session->body.size > linked->size)
        return failure_set(&session->body_failure, -EMSGSIZE, FAILURE_INTERNAL,
                           "the request has %zu bytes in base64, and %zu were announced", session->body.size,
                           linked->size);
    r = fill_up(session, linked->size);
    if (r < 0)
        return failure_errno(&session->body_failure, r, "Making a request");
    memcpy(session->binding, binding.data, binding.size);
    session->binding_size = binding.size;
    return 0;
}

bool http_body_prepare(HttpSession *session, gnutls_session_t tls) {
    _cleanup_bytes_ Bytes binding = BYTES_NULL;
    BytesView made_for = { session->binding, session->binding_size };
    int r = read_binding(tls, &binding);

    session->body_sent = 0;
    if (r >= 0 && binding.size != JOB_TLS_UNIQUE_SIZE && binding.size != JOB_TLS_EXPORTER_SIZE)
        r = -EOPNOTSUPP;
    if (r < 0)
        r = failure_set(
            &session->body_failure, r, FAILURE_ENROLLMENT_FAILED,
            "the CA wants proof of possession (RFC 7030 §3.5), and this TLS session has no channel binding to "
            "link a request to: %s",
            strerror(-r));
    else if (session->body.size != session->request->linked->size || !bytes_view_equal(made_for, bytes_view(&binding)))
        r = make(session, bytes_view(&binding));
    session->body_error = r < 0 ? r : 0;
    return r >= 0;
}

size_t http_body_read(char *buffer, size_t one, size_t size, void *userdata) {
    HttpSession *session = userdata;
    size_t left = session->body.size - session->body_sent, room = one * size;
    size_t count = left < room ? left : room;

    memcpy(buffer, session->body.data + session->body_sent, count);
    session->body_sent += count;
    return count;
}

int http_body_seek(void *userdata, curl_off_t offset, int origin) {
    HttpSession *session = userdata;

    if (origin != SEEK_SET || offset < 0 || (uint64_t) offset > session->body.size)
        return CURL_SEEKFUNC_FAIL;
    session->body_sent = (size_t) offset;
    return CURL_SEEKFUNC_OK;
}
