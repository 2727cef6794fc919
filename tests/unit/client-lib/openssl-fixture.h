/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The OpenSSL provider, loaded as a program loads it into a library context of its own, beside the fixture's fake
 * identityd. The global context has OpenSSL's own provider alone: what it says of a signature does not come from ours.
 */
#pragma once

#include "fixture.h"
#include "openssl-library.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

extern OSSL_LIB_CTX *with_identities;

/* Loads the provider, once; frees what setup_provider made. */
int setup_provider(void **state);
int teardown_provider(void **state);
/* The fake with "mqtt" (P-256), "p384" and "rsa". */
int setup_identities(void **state);

/* The key of identityd:NAME; NULL: the error queue says why. */
EVP_PKEY *load_identity(const char *name);
EVP_PKEY *must_load(const char *name);

/* The certificate of an identity as OpenSSL's own provider reads it. */
X509 *certificate_of(const char *name);

/* Whether an entry of the error queue has `part` in its text; the queue is empty afterwards. */
void assert_queue_says(const char *part);
void assert_queue_is_silent_about(const char *part);
