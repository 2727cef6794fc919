/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* BER with indefinite lengths (X.690 §8.1.3.6), which some write around signatures. Internal to pki/. */
#pragma once

#include "common/bytes.h"

/* The same value with definite lengths; all else stays byte for byte. `ret` is owned by the caller. -EBADMSG: not one
 * whole value, nested too deep, or with too many elements; -ENOMEM. */
int ber_make_definite(BytesView ber, Bytes *ret);
