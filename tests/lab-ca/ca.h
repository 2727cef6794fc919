/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The CA as a whole: its roots and intermediates, what it publishes, and the change of its root. One object is used
 * under the caller's lock. */
#pragma once

#include "authority.h"

#define CA_ROOTS_MAX   8U /* after so many rollovers it wants a new directory */
#define CA_CACERTS_MAX 8U
#define CA_CACERTS_NEW 4U /* in a rollover, where the new root and its intermediate begin in ca_cacerts */

/* The way to a new root. The old one is an anchor up to `switched`; `finished` is `stable` with the new one. */
typedef enum CaPhase {
    CA_STABLE,
    CA_BEGUN,    /* /cacerts shows the new root with both cross certificates; certificates come from the old one */
    CA_SWITCHED, /* certificates come from an intermediate of the new root */
} CaPhase;

typedef struct CaOptions {
    CaAlgorithm algorithm;     /* for new authorities */
    bool separate_server_root; /* the HTTPS server's certificate comes from a root of its own */
    const char *crl_base;      /* http://HOST:PORT/crl; NULL: what DIR/crl-base says, if there is one */
    const char *ocsp_url;      /* or NULL */
} CaOptions;

typedef struct Ca {
    char *directory, *crl_base, *ocsp_url;
    CaAlgorithm algorithm;
    CaPhase phase;
    size_t current; /* index of the root that is the anchor now; in a rollover the next one is the new */
    Authority *roots[CA_ROOTS_MAX], *intermediates[CA_ROOTS_MAX];
    size_t count;                                 /* of both */
    gnutls_x509_crt_t old_with_new, new_with_old; /* in a rollover */
    Authority *web;                               /* NULL: the HTTPS server's certificate comes from the root */
} Ca;

/* Opens the CA in a directory; makes it where there is none. Writes root.pem, intermediate.pem and server.pem. */
int ca_open(const char *directory, const CaOptions *options, Ca **ret);
Ca *ca_free(Ca *ca);
DEFINE_CLEANUP(Ca, ca_free)
#define _cleanup_ca_ _cleanup_(ca_free_p)

/* Borrowed: what issues now, what the HTTPS server's certificate comes from, an authority by name or NULL. */
const Authority *ca_issuer(const Ca *ca);
const Authority *ca_server_issuer(const Ca *ca);
const Authority *ca_find(const Ca *ca, const char *name);

/* What /cacerts answers: borrowed certificates; returns how many. */
size_t ca_cacerts(const Ca *ca, gnutls_x509_crt_t ret[static CA_CACERTS_MAX]);

/* Where the CRL of an authority is. NULL without a CRL server or memory; the caller frees. */
char *ca_crl_url(const Ca *ca, const char *authority);

/* The next step to a new root. -EINVAL out of order. */
int ca_rollover_begin(Ca *ca);
int ca_rollover_switch(Ca *ca);
int ca_rollover_finish(Ca *ca);
/* The intermediate that issues now gets another certificate, by the same key, which ends in `lifetime` seconds. */
int ca_renew_intermediate(Ca *ca, int64_t lifetime);
const char *ca_phase_to_string(CaPhase phase);
