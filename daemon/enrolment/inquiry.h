/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Looks at the CA without enrolling (idctl check). */
#pragma once

#include "identity/base.h"
#include "work/operation.h"

/* What an enrolment would meet: answers lines of text. */
void inquiry_start(Identity *identity, OperationDone done, void *userdata);
