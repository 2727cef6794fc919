/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an admin asks for beside what comes by itself. */
#pragma once

#include "identity/base.h"
#include "work/operation.h"

/* A first enrolment, or the way out of `revoked`, `retired` and a replaced TPM, which takes a new key always. Answers
 * "done" or "pending". */
void asked_enroll(Identity *identity, bool new_key, OperationDone done, void *userdata);

/* A renewal now. `rotate_key`: 1 yes, 0 no, -1 as configured. */
void asked_renew(Identity *identity, int rotate_key, OperationDone done, void *userdata);

/* Destroys the key. */
void asked_retire(Identity *identity, OperationDone done, void *userdata);
