/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What waits for the TPM, and whose time it would take, as the signing thread has it. */
#pragma once

#include "tests/unit/device/machine.h"

typedef struct Waiting Waiting;

/* Holds the thread up, so that all that is asked for from now on waits. */
Waiting *waiting_begin(Machine *machine);

/* Lets it go on, and says what it found: " own" where jobs of our own wait, and " UID/IDENTITY=COUNT" for each user's
 * handles and jobs of an identity, where UID is "ourselves" and IDENTITY empty for keys that are made. The text is
 * static.
 */
const char *waiting_end(Machine *machine, Waiting *waiting);
