/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A device whose identities have peers of another CA, and that CA's CRLs made to order. */
#pragma once

#include "revocation/peers.h"
#include "tests/unit/device/certify.h"
#include "tests/unit/device/clock.h"

typedef struct Scene {
    Machine *machine;
    FakeCa *peers, *intermediate /* of peers */, *stranger;
    Bytes made[32]; /* CRLs, for as long as the enroller may want them */
    size_t made_count;
} Scene;

int scene_setup(void **state);
int scene_teardown(void **state);

/* What a CRL is. */
typedef struct CrlIs {
    const FakeCa *ca;    /* NULL: the peers' root */
    long begins, ends;   /* thisUpdate and nextUpdate, seconds from now; `ends` 0: in a day */
    unsigned number;     /* 0: 1 */
    unsigned serial;     /* of a certificate that is revoked; 0: none is */
    unsigned more_lines; /* entries of 39 bytes beside that */
    bool is_delta;       /* of CRL number 1 */
} CrlIs;
/* DER, the scene's. */
BytesView crl_of(Scene *scene, CrlIs is);

#define A_CRL "http://peers.example/a.crl"
#define B_CRL "http://peers.example/b.crl"
/* [Peers] with the peers' root, Check=crl and `more`. */
void configure_peers(Scene *scene, const char *name, const char *more);
/* Starts with identity x, configured so, with a certificate and `answer` to the first fetch, and waits until it is
 * through. */
Identity *start_with(Scene *scene, const char *more, BytesView answer);
Identity *start_again(Scene *scene);

/* The next fetches bring that. */
void next_brings(Scene *scene, BytesView crl);
void next_fails(Scene *scene, const char *text);
unsigned fetches(const Scene *scene);
/* Whether programs get a CRL with these bytes. */
bool gets(const Identity *identity, BytesView crl);
PeerCrlView view_of(const Identity *identity, const char *url);
