/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the configuration says an identity is. */
#pragma once

#include "config/identity-config.h"
#include "identity/base.h"

/* NULL while the identity is misconfigured, and before it was first read. Borrowed, until the next reload. */
const IdentityConfig *identity_config(const Identity *identity);

/* Why it is out of use: file, line, reason and cure; NULL: it is not. */
const char *identity_fault(const Identity *identity);

/* Refuses (NOT_READY, with the fault) if it is misconfigured. */
bool identity_is_misconfigured(const Identity *identity, Failure *ret_failure);

/* A digest of what decides when and how the CA is asked: [Enrollment] and [Renewal]. "" without memory. */
#define SETTINGS_DIGEST_SIZE 65U
void identity_settings_digest(const Identity *identity, char ret[static SETTINGS_DIGEST_SIZE]);

/* ---- for this room ---- */

int definition_new(Identity *identity);
void definition_free(Identity *identity);

/* Reads the files anew, says what is wrong, and notes what is another than before. `is_certified`: names that a later
 * version has learned to refuse are warnings (config/identity-config.h). 0; -errno: it is misconfigured. */
int definition_load(Identity *identity, bool is_certified);
/* What is configured cannot be, as only others found out: an anchor file that is not there. Said in the log. */
void definition_refuse(Identity *identity, const char *why);
