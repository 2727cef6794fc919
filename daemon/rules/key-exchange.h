/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What peers sign whose input begins with bytes of their own choice: IKEv2 (RFC 7296 §2.15) and the servers of TLS 1.2
 * (RFC 5246 §7.4.3). Whatever else a message is, it could be meant for one of these as well; so every purpose that
 * signs more than TLS 1.3 asks here. */
#pragma once

#include "common/bytes.h"

/* Why `message` is refused: a clause about "it", static; NULL if no such peer signs it. */
const char *key_exchange_refusal(BytesView message);
