/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Verification against a set of anchors, with the reason in words. */
#pragma once

#include "idctl/certificates.h"

typedef struct Verdict {
    bool good;
    char *reason; /* owned; one line */
} Verdict;

void verdict_clear(Verdict *verdict);
#define _cleanup_verdict_ _cleanup_(verdict_clear)

/* Sets the reason from a format; without memory the reason is missing and the verdict bad. */
void verdict_set(Verdict *verdict, bool good, const char *format, ...) _printf_(3, 4);

typedef struct Trust Trust;

/* Anchors are copied. -ENOMEM; -EINVAL without any. */
int trust_new(const Certificates *anchors, Trust **ret);
Trust *trust_free(Trust *trust);
DEFINE_CLEANUP(Trust, trust_free)
#define _cleanup_trust_ _cleanup_(trust_free_p)

/* Whether a chain, leaf first, ends in an anchor now, for this use (extended key usage OID, NULL: any), and its leaf
 * carries `name` (NULL: not asked). */
void trust_verify(const Trust *trust, const Certificates *chain, const char *name, const char *usage, Verdict *ret);

/* Whether this is CMS or PKCS#7, PEM or DER. */
bool trust_is_cms(BytesView data);

/* A detached CMS signature of `content`, whose signers' chains, all of them, end in anchors now. With a good verdict
 * `ret_signers` has their subjects (NULL-terminated, the caller's), each of the certificate that made the signature and
 * was verified. -EBADMSG: `cms` is no CMS SignedData (PEM or DER); -E2BIG; -ENOMEM; else 0 and the verdict. */
int trust_verify_cms(const Trust *trust, BytesView cms, BytesView content, Verdict *ret, char ***ret_signers);
