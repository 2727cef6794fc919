/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `idctl verify` was asked and what came of it: with what to verify, and the verdict of the one verifier. */
#pragma once

#include "idctl/identity.h"
#include "pki/signed-data.h"

typedef struct Verification {
    const Command *command;
    const char *identity;          /* NULL: without one, and without identityd */
    IdentityProperties properties; /* of the identity */
    /* ---- with what ---- */
    CertificateList anchors;
    CrlSet crl_set;
    CrlList crls;
    const char *purposes[2]; /* of --usage, NULL-terminated */
    VerifyRequest request;   /* all but the leaf and the candidates */
    Bytes signer_name;       /* of --signer, a DER Name; or empty, and */
    bool has_signer_sha256;  /* that of the certificate */
    uint8_t signer_sha256[32];
    /* ---- what came of it ---- */
    const char *kind; /* "raw", "cms", "chain" or "peer" */
    bool good;
    Failure reason;               /* its text */
    Verdict verdict;              /* of the verifier; without a rule where it was not asked */
    CertificateList given, chain; /* what a file or a peer showed, leaf first; what was found in it */
    const Certificate *anchor;    /* that the chain ends in; borrowed from the anchors */
    SignedData *signed_data;      /* of CMS, and what is said of its signers */
    SignedDataVerdict signed_verdict;
    Certificate *own;   /* of the identity, where a raw signature is by it; or NULL */
    const char *scheme; /* of that signature */
} Verification;

void verification_clear(Verification *verification);
#define _cleanup_verification_ _cleanup_(verification_clear)

/* Reads the options that say how to verify; complains. */
ExitCode verification_read_options(Verification *verification);

/* The anchors of --anchors or of the identity, and the CRLs of --crls; complains. */
ExitCode verification_load(Verification *verification);

/* Refuses options that would change nothing for what is verified: EXIT_USAGE with a complaint. `names` ends with NULL.
 */
ExitCode verification_refuse_options(const Verification *verification, const char *const *names, const char *what);

/* Says what came of it, without the verifier. */
void verification_say(Verification *verification, bool good, const char *format, ...) _printf_(3, 4);

/* verify --chain and --peer: judges what the file or the server shows. Complains about what is in the way. */
ExitCode verification_of_chain(Verification *verification);

/* verify FILE SIGNATURE: judges a raw signature by the identity's certificate, or a CMS one. The same. */
ExitCode verification_of_file(Verification *verification);
