/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An identity's life: made, read from configuration and disk, given a new generation, retired, freed. Its parts are
 * asked through their own headers. */
#pragma once

#include "identity/anchors.h"
#include "identity/base.h"
#include "identity/definition.h"
#include "identity/duties.h"
#include "identity/generation.h"
#include "identity/record.h"
#include "identity/set.h"
#include "identity/standing.h"
#include "identity/statements.h"
#include "identity/time.h"

/* `name` is checked by the caller (common/names.h). */
int identity_new(const IdentityContext *context, const char *name, Identity **ret);
/* Those who wait are told that it is gone. Takes NULL, returns NULL. */
Identity *identity_free(Identity *identity);
DEFINE_CLEANUP(Identity, identity_free)

/* Reads configuration and, once, the store; what is running on an old configuration goes on. A disk that cannot be read
 * just now makes it `unavailable`, and is tried again by `loading_duty`. */
void identity_load(Identity *identity);
extern const Duty loading_duty;

/* After a commit: makes generation `number` with this chain current in memory and everywhere. 0, or -errno where the
 * state could not be written, which is logged. */
int identity_adopt(Identity *identity, uint32_t number, TpmKey *key /* taken */, CertificateList *chain /* taken */);

/* Destroys the key. On failure nothing has changed; with 0 and a failure of kind STORAGE it is retired, but not
 * everything could be deleted yet. */
int identity_retire(Identity *identity, Failure *ret_failure);
