/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Detached CMS signatures (RFC 5652) by a key that signs whole messages and no digests: what is signed are the signed
 * attributes, small whatever the file's size. GnuTLS's own gnutls_pkcs7_sign would ask the key for a digest's
 * signature, which a `data` handle does not give. */
#pragma once

#include "common/bytes.h"
#include "common/scheme.h"
#include "pki/certificate.h"

/* DER of the SignedAttributes as it is signed (a SET): contentType data, messageDigest, signingTime (seconds since the
 * epoch). `digest` is that of the content, with the scheme's hash. 0, -ENOMEM, -ERANGE for a time that cannot be
 * written. */
int cms_signed_attributes(BytesView digest, int64_t signing_time, Bytes *ret);

/* Whether a scheme can be used in CMS: all but RSA-PSS with SHA-384 and SHA-512. `idctl verify` knows them, but
 * GnuTLS's own verification (3.7.9) takes them for SHA-256, so that programs which use it would call a good signature
 * bad. */
bool cms_scheme_is_usable(const SignatureScheme *scheme);

typedef struct CmsSignature {
    const SignatureScheme *scheme;
    const CertificateList *chain; /* leaf first; all of it goes in */
    BytesView signed_attributes;  /* from cms_signed_attributes() */
    BytesView signature;          /* over them */
} CmsSignature;

/* DER of the ContentInfo. 0, -ENOMEM; -EINVAL for a scheme that is not usable. */
int cms_signed_data(const CmsSignature *signature, Bytes *ret);
