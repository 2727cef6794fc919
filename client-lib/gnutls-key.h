/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A gnutls_privkey_t whose signatures identityd makes. */
#pragma once

#include "client-lib/snapshot-parse.h"
#include "identityd/identityd.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>

typedef struct GnutlsKey {
    identityd_credential *credential;
    bool owns_credential;         /* freed with the key; the key is then used wherever the program likes */
    identityd_snapshot *snapshot; /* borrowed: whose generation signs */
    gnutls_session_t session;     /* whose transcript is signed, or NULL: needs the purpose `digest` */
} GnutlsKey;

/* Fills in `key`, which was initialized. 0, or a GnuTLS error with this thread's text; the credential is taken only on
 * success. */
int gnutls_key_import(gnutls_privkey_t key, const GnutlsKey *from);

/* The GnuTLS error that says nearest what `r`, a negative errno of this library, does. */
int gnutls_error_of(int r);
