/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a CRL is called where it is kept. For this room. */
#pragma once

#include "common/bytes.h"

#define CRL_ID_SIZE 65U /* with the NUL */

/* SHA-256, in lower-case hex, of whose it is and where it comes from. -ENOMEM, -EIO. */
int crl_id(BytesView whose, const char *url, char ret[static CRL_ID_SIZE]);
