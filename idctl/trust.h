/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signatures of files in CMS. */
#pragma once

#include "pki/verify.h"

/* Whether this is CMS or PKCS#7, PEM or DER. */
bool trust_is_cms(BytesView data);

/* A detached CMS signature of `content`, whose signers' chains, all of them, are good by `how`, which lacks leaf and
 * candidates. With a good verdict `ret_signers` has their subjects (NULL-terminated, the caller's), each of the
 * certificate that made the signature and was verified. -EBADMSG: `cms` is no CMS SignedData (PEM or DER); -E2BIG;
 * -ENOMEM; else 0 and the verdict, with a text in any case. */
int trust_verify_cms(const VerifyRequest *how, BytesView cms, BytesView content, Verdict *ret, char ***ret_signers);
