/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The variants of a /csrattrs answer (RFC 7030 §4.5, RFC 8951, RFC 9908) that a client may meet. */
#pragma once

#include "util.h"

/* What a variant answers. `der` is owned; with status 204 or 404 it is empty. */
typedef struct Csrattrs {
    unsigned status;
    gnutls_datum_t der;
    bool wants_proof; /* and requests without a proof of possession are refused */
} Csrattrs;

/* Builds the variant NAME, or reads DER from a file for "file:PATH". -EINVAL: there is no such variant. */
int csrattrs_make(const char *name, Csrattrs *ret);

static inline void csrattrs_clear(Csrattrs *csrattrs) {
    datum_clear(&csrattrs->der);
}
#define _cleanup_csrattrs_ _cleanup_(csrattrs_clear)

void csrattrs_print_help(void);
