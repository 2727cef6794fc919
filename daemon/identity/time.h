/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What time it is for an identity: that of its trust domain (docs/design.md §10, clock). */
#pragma once

#include "identity/base.h"
#include "pki/certificate.h"

/* Seconds, and µs, since the epoch: the time in use. */
int64_t identity_now(const Identity *identity);
uint64_t identity_now_usec(const Identity *identity);
/* The system clock was behind the domain's floor when that was last judged. */
bool identity_clock_is_behind(const Identity *identity);

/* The time to verify a certificate with (NULL: none in particular). */
int64_t identity_time_to_verify(const Identity *identity, const Certificate *leaf);
/* The time to judge a statement by that was made at `made`, about `certificate`. */
int64_t identity_time_to_judge(const Identity *identity, const Certificate *certificate, int64_t made);

/* Takes note of an instant that an authority of the domain has signed. `source`: "the CRL of …". */
void identity_learn_time(Identity *identity, int64_t instant, const char *source);

/* The id of the domain. */
const char *identity_domain(const Identity *identity);

/* Forgets what was learned of the time for this identity and its domain. */
int identity_reset_clock(Identity *identity);

/* ---- for this room ---- */

/* Enters the domain that the anchors make, with what is known of the time from the disk: at load, and when the anchors
 * are others. Without memory the old domain's time goes on. */
void time_join_domain(Identity *identity);
