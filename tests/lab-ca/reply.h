/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An HTTP answer on its way out: what is right, bent by the fault that is switched on. */
#pragma once

#include "server.h"

#define REPLY_TYPE_PKCS7    "application/pkcs7-mime"
#define REPLY_TYPE_ISSUED   "application/pkcs7-mime; smime-type=certs-only"
#define REPLY_TYPE_CSRATTRS "application/csrattrs"
#define REPLY_TYPE_CRL      "application/pkix-crl"
#define REPLY_TYPE_TEXT     "text/plain"

typedef struct Reply {
    unsigned status;
    const char *type;
    gnutls_datum_t body; /* owned */
    int64_t retry_after; /* seconds, -1: no header */
    bool retry_after_as_date;
    const char *location; /* or NULL */
} Reply;

#define REPLY_INIT ((Reply) { .status = 200, .retry_after = -1 })

static inline void reply_clear(Reply *reply) {
    datum_clear(&reply->body);
}
#define _cleanup_reply_ _cleanup_(reply_clear)

/* A status with a line of text as its body; replaces what is there. */
int reply_text(Reply *reply, unsigned status, const char *format, ...) _printf_(3, 4);

/* Base64 in lines of 64 characters, as EST wants it. */
int reply_base64(Reply *reply, const char *type, const gnutls_datum_t *der);

/* Whether a fault decides the answer alone, so that the operation is not carried out; then the reply is filled in. */
bool reply_from_fault(Server *server, const Fault *fault, Reply *reply);

/* Sends it, with the faults of transport: slow, drip, cut-off, huge, content-type, not-base64, empty. */
enum MHD_Result reply_send(Server *server, struct MHD_Connection *connection, const Fault *fault, Reply *reply);
