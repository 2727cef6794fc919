/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The identities by their names. The manager decides who is in it; identities find each other through it (one may
 * authenticate another's enrolment). */
#pragma once

#include "identity/base.h"

int identity_set_new(IdentitySet **ret);

/* The certificates that identities share, their CAs' above all; for their context. */
CertificatePool *identity_set_certificates(const IdentitySet *set);

/* Frees the identities in it, which may find each other until then. */
void identity_set_clear(IdentitySet *set);
/* As does this. */
IdentitySet *identity_set_free(IdentitySet *set);
DEFINE_CLEANUP(IdentitySet, identity_set_free)

/* Takes the identity on success. -ENOMEM. */
int identity_set_add(IdentitySet *set, Identity *identity);
/* Takes it out and gives it back. */
Identity *identity_set_remove(IdentitySet *set, size_t index);

size_t identity_set_count(const IdentitySet *set);
/* Sorted by name. */
Identity *identity_set_at(const IdentitySet *set, size_t index);
/* NULL: there is none, and `ret_failure` (may be NULL) says so. */
Identity *identity_set_find(const IdentitySet *set, const char *name, Failure *ret_failure);
/* The same identity as before, not one that has its name meanwhile; NULL: it is gone. */
Identity *identity_set_find_instance(const IdentitySet *set, uint64_t instance);
