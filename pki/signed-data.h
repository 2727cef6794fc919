/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CMS SignedData (RFC 5652) about a content that lies elsewhere, as `idctl sign --cms` and others write it: read, and
 * judged by the one verifier. Pure: bytes and a time in, a verdict out. Files: signed-data.c reads, signer.c judges. */
#pragma once

#include "pki/verify.h"

#define SIGNED_DATA_MAX         BUNDLE_BYTES_MAX
#define SIGNED_DATA_SIGNERS_MAX 16U

/* One signature. Views are into the message. */
typedef struct SignerInfo {
    BytesView issuer, serial; /* of its signer's certificate, as a Certificate has them raw; or empty, and */
    BytesView key_identifier; /* its subject key identifier */
    BytesView digest_algorithm, signature_algorithm; /* AlgorithmIdentifier */
    BytesView attributes;                            /* content of signedAttrs; NULL: there are none */
    BytesView signature;
} SignerInfo;

typedef struct SignedData {
    Bytes der;
    BytesView content_type;       /* OID */
    BytesView content;            /* inside the message; NULL: it is detached, as it should be */
    Bytes pieces;                 /* that content, where it came in several */
    CertificateList certificates; /* inside, in any order; nothing vouches for them */
    SignerInfo signers[SIGNED_DATA_SIGNERS_MAX];
    size_t signer_count;
} SignedData;

/* Whether this is a ContentInfo with SignedData by its first bytes, in DER, BER or PEM: nothing else is looked at. */
bool signed_data_is(BytesView data);
/* Reads one that has a signer: DER, or BER with indefinite lengths, or PEM of either ("CMS" or "PKCS7"). Certificates
 * that cannot be read are left out, CRLs passed over. -EBADMSG with the reason, -ENOMEM. */
int signed_data_parse(BytesView data, SignedData **ret, Failure *ret_failure);
SignedData *signed_data_free(SignedData *signed_data);
DEFINE_CLEANUP(SignedData, signed_data_free)
#define _cleanup_signed_data_ _cleanup_(signed_data_free_p)

typedef struct SignedDataRequest {
    BytesView content;
    VerifyRequest chain;          /* for each signer's; leaf and candidates come from the message */
    BytesView signer_name;        /* DER Name that one of the signers must have; empty: any */
    const uint8_t *signer_sha256; /* of the certificate of one of the signers, 32 bytes; NULL: any */
} SignedDataRequest;

/* What is known of one signer. */
typedef struct SignerVerdict {
    const Certificate *certificate; /* that made the signature; borrowed from the SignedData */
    CertificateList chain;          /* that was found, without the anchor */
    const Certificate *anchor;      /* borrowed */
    int64_t claimed_time;           /* when it says that it signed; nobody vouches for that; 0: it does not say */
} SignerVerdict;

typedef struct SignedDataVerdict {
    Verdict verdict; /* at_fault is borrowed from message or anchors */
    SignerVerdict signers[SIGNED_DATA_SIGNERS_MAX];
    size_t count; /* whose signature was looked at and is by a certificate inside; the last may be the one refused */
} SignedDataVerdict;

/* Each signature must be of this content by a certificate inside, with algorithms that are strong enough; its signed
 * attributes must be as RFC 5652 §5.3 and §11 demand; the certificate must be good by `chain`, and where it has a
 * keyUsage that must allow digitalSignature or nonRepudiation. The signing time of the message counts for nothing.
 * 0; -EKEYREVOKED, -EKEYREJECTED as verify() has them. `ret` is filled in always; the caller clears it. */
int signed_data_verify(const SignedData *signed_data, const SignedDataRequest *request, SignedDataVerdict *ret);
void signed_data_verdict_clear(SignedDataVerdict *verdict);
