/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the names and the keys of one identity's configuration must be like, beyond their syntax. */
#pragma once

#include "config/identity-config.h"
#include "config/settings.h"

/* Each gives in `ret_fault` one sentence on what is wrong, owned by the caller, or leaves it NULL. 0 or -ENOMEM.
 * Templates are tried with sample values of the longest form that their specifiers can take. */
int subject_fault(const char *subject, char **ret_fault);
int user_fault(const char *user, char **ret_fault);
/* One word of SubjectAltName=; `ret` only without a fault. */
int san_parse(const char *word, SanTemplate *ret, char **ret_fault);

/* The rules between keys; complaints at the line of the key that is at fault. 0 or -ENOMEM. */
int identity_rules_check(const IdentityConfig *config, const Settings *settings);
