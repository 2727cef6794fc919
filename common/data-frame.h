/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* identityd's own framing of messages that the purpose `data` signs: 64 bytes 0x7e, "identityd data v1", 0x00, the
 * identity's name, 0x00, and the message (identityd-handle(7)). No protocol signs what begins so, and who verifies
 * knows whom the message is from. */
#pragma once

#include "common/bytes.h"

#define DATA_FRAME_TILDES 64U
#define DATA_FRAME_TITLE  "identityd data v1"

/* What the frame adds to a message for that identity. */
size_t data_frame_overhead(const char *identity);
/* The framed message. -ENOMEM. */
int data_frame_build(const char *identity, BytesView message, Bytes *ret);
/* Whether `framed` is a message, possibly an empty one, in the frame of that identity. */
bool data_frame_matches(const char *identity, BytesView framed);
