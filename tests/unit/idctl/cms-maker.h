/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CMS messages put together by hand, rightly and wrongly: what no program writes has to be refused all the same. */
#pragma once

#include "../pki/fixture.h"

typedef struct CmsSpec {
    const Entity *signer;
    const Entity *inside[4]; /* certificates; none: the signer alone */
    bool without_certificates;
    /* Signed attributes, a letter each: c content-type, C of another type, d message-digest, D a wrong one, e one with
     * two values, s one that is no OCTET STRING, t signing-time, u one that nobody knows, b one that is not DER. NULL:
     * none. */
    const char *attributes;
    bool by_key_identifier;
    bool sha1;             /* the digest */
    bool other_hash;       /* attributes hashed with SHA-384 beside a digest of SHA-256 */
    bool other_type;       /* eContentType is not data */
    const char *content;   /* that is signed */
    const char *contained; /* content inside the message */
    size_t signers;        /* so many times the same; 0: once */
} CmsSpec;

/* DER of the ContentInfo; the caller clears. */
Bytes make_cms(const CmsSpec *spec);
/* The attributes alone as they are signed, a SET; the caller clears. */
Bytes make_cms_attributes(const CmsSpec *spec);
