/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The CRLs of peers' CAs that are kept: for each certificate of a CA and each URL the newest CRL that this CA has
 * signed and that came from there. So what is kept depends on no identity, and is there once for all that trust the CA:
 * on the disk, verified before it gets there, and in memory as what a newer one is compared with. For this room. */
#pragma once

#include "identity/identity.h"
#include "pki/revocation.h"
#include "revocation/crl-id.h"

typedef struct PeerCrls PeerCrls;

typedef struct PeerCrl {
    Crl *crl;           /* without its bytes; NULL: what was kept is damaged, and the next one is welcome */
    uint8_t digest[32]; /* SHA-256 of its DER, of … */
    size_t size;        /* … so many bytes */
    char *issuer;
    uint8_t ca[32]; /* SHA-256 of the certificate of the CA */
    Bytes unsaved;  /* the DER that the disk did not take */
    /* for peer-crls.c */
    PeerCrls *owner;
    char id[CRL_ID_SIZE];
    unsigned references;
    struct PeerCrl *next;
} PeerCrl;

/* `state_fd` is borrowed. -ENOMEM. */
int peer_crls_new(int state_fd, PeerCrls **ret);
/* After the last reference. */
PeerCrls *peer_crls_free(PeerCrls *crls);

/* What is kept of a CA and a URL, verified by that CA where it was read from the disk just now, at the time of
 * `identity`; what is damaged there is said. The caller owns a reference; NULL: nothing is. */
typedef struct PeerCrlPlace {
    const Identity *identity;
    const Certificate *ca;
    const char *url;
} PeerCrlPlace;
PeerCrl *peer_crls_find(PeerCrls *crls, const PeerCrlPlace *place);

/* Keeps `fresh`, which that CA has signed and whose bytes have that SHA-256, unless it is older than what is kept:
 * -ESTALE with the reason, and -ENOMEM, -EIO. A disk that does not take it is said, and hides no revocation. The caller
 * owns the reference in `ret`. */
int peer_crls_keep(PeerCrls *crls, const PeerCrlPlace *place, const Crl *fresh, const uint8_t digest[static 32],
                   PeerCrl **ret, Failure *ret_failure);

/* Whether it counts by the time of `identity`: it is there, and not from the future. */
bool peer_crl_counts(const PeerCrl *crl, const Identity *identity);

/* Its bytes again, the very same. Else it is not kept any more (crl NULL), with the reason. */
int peer_crl_load(PeerCrl *crl, Bytes *ret_der, Failure *ret_failure);

PeerCrl *peer_crl_ref(PeerCrl *crl);
PeerCrl *peer_crl_unref(PeerCrl *crl); /* takes NULL, returns NULL */

/* Forgets what nobody has a reference to, on the disk too. */
void peer_crls_tidy(PeerCrls *crls);
