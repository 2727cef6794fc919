/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The extensions of a certificate as it is parsed. Internal to pki/. */
#pragma once

#include "pki/certificate.h"

/* Those that GnuTLS has no name for; its inhibitAnyPolicy is another number. */
#define OID_POLICY_MAPPINGS    "2.5.29.33"
#define OID_POLICY_CONSTRAINTS "2.5.29.36"
#define OID_INHIBIT_ANY        "2.5.29.54"

/* Takes the next Extension off the content of an Extensions, of a certificate or a CRL's entry: 1, 0 at the end,
 * -EBADMSG. `ret` borrows. */
int extension_next(BytesView *extensions, CertificateExtension *ret);

/* Fills in what a Certificate has of its extensions. `extensions`: the content of the SEQUENCE OF Extension, within its
 * DER; may be empty. -ENOMEM, or -EBADMSG with the reason. */
int extensions_read(Certificate *certificate, BytesView extensions, Failure *ret_failure);

/* The OID of a critical extension that nothing here understands, or false. */
bool certificate_unknown_critical(const Certificate *certificate, char *ret_oid, size_t size);

/* Whether the certificate lists a TLS feature (RFC 7633): the content of an INTEGER. */
bool certificate_has_tls_feature(const Certificate *certificate, BytesView number);

/* Whether it is what RFC 5280 §4 demands of a certificate, as far as verifiers differ where it is not; `ret_reason`
 * (static) on false. Anchors are taken for what they are but in a few things. */
bool certificate_keeps_profile(const Certificate *certificate, bool is_anchor, const char **ret_reason);
