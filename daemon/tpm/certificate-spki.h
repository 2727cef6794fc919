/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The SubjectPublicKeyInfo of an EK certificate exactly as its maker wrote it: GnuTLS would encode it anew, and some
 * EK certificates name RSA keys by id-RSAES-OAEP, whose hash would then be another. */
#pragma once

#include "common/bytes.h"

/* `content`: one DER certificate, perhaps followed by padding. -EINVAL: it does not begin with a certificate;
 * -ENOMEM. */
int certificate_spki(BytesView content, Bytes *ret);
