/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signatures of files, raw and CMS: see verification.h. */
#include "idctl/file.h"
#include "idctl/output.h"
#include "idctl/signature.h"
#include "idctl/verification.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define CONTENT_FILE_MAX ((uint64_t) UINT32_MAX) /* GnuTLS counts a datum with 32 bits */

typedef struct Mapping {
    void *data;
    size_t size;
} Mapping;

static void mapping_clear(Mapping *mapping) {
    if (mapping->size > 0)
        (void) munmap(mapping->data, mapping->size);
}

static ExitCode map_file(const char *path, Mapping *ret) {
    _cleanup_close_ int fd = -1;
    struct stat status;

    ExitCode code = file_open(path, &fd);
    if (code != EXIT_OK)
        return code;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        complain("%s is not a regular file, which a signature's content has to be.", path);
        return EXIT_FAILED;
    }
    if ((uint64_t) status.st_size > CONTENT_FILE_MAX) {
        complain("%s is larger than 4 GiB.", path);
        return EXIT_FAILED;
    }
    if (status.st_size == 0) {
        *ret = (Mapping) { (void *) "", 0 };
        return EXIT_OK;
    }
    void *data = mmap(NULL, (size_t) status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) {
        complain("cannot read %s: %s.", path, strerror(errno));
        return EXIT_FAILED;
    }
    *ret = (Mapping) { data, (size_t) status.st_size };
    return EXIT_OK;
}

/* With the present certificate of the identity itself; the chain of that is identityd's to check. */
static ExitCode verify_raw(Verification *verification, BytesView content, BytesView signature) {
    static const char *const of_chains[] = { "anchors", "crls",      "require-crl", "usage",
                                             "at",      "max-depth", "signer",      NULL };
    const IdentityProperties *properties = &verification->properties;
    const char *wanted = command_value(verification->command, "scheme");
    const SignatureScheme *schemes[SCHEMES_PER_KEY_MAX];

    verification->kind = "raw";
    ExitCode code = verification_refuse_options(
        verification, of_chains, "a raw signature, which the present certificate of the identity has to have made");
    if (code != EXIT_OK)
        return code;
    if (properties->certificates.count == 0 ||
        certificate_from_der(bytes_view(&properties->certificates.list[0]), &verification->own, NULL) < 0) {
        complain("%s has no certificate to verify a raw signature with.", properties->name);
        return EXIT_FAILED;
    }
    size_t count = signature_schemes(verification->own, schemes);
    for (size_t i = 0; i < count; i++)
        if ((!wanted || strcmp(wanted, schemes[i]->name) == 0) &&
            signature_check(verification->own, schemes[i], content, signature) == 0) {
            verification->scheme = schemes[i]->name;
            verification_say(verification, true, "the signature is good (%s)", schemes[i]->name);
            return EXIT_OK;
        }
    verification->own = certificate_free(verification->own);
    verification_say(verification, false,
                     "it is no signature of this file by the present certificate of %s (generation %u)%s%s",
                     properties->name, properties->generation, wanted ? " with " : "", wanted ? wanted : "");
    return EXIT_OK;
}

static void say_cms(Verification *verification) {
    const SignedDataVerdict *result = &verification->signed_verdict;
    const char *looked_at = command_has(verification->command, "crls") ? "" : "; revocation was not looked at (--crls)";
    char whose[CERTIFICATE_DESCRIPTION_MAX];

    if (verification->verdict.kind != VERDICT_GOOD) {
        verification_say(verification, false, "%s", verification->verdict.failure.text);
        return;
    }
    certificate_describe(result->signers[0].anchor, whose);
    if (result->count == 1)
        verification_say(verification, true, "the signature is good, and its signer's chain ends in the anchor %s%s",
                         whose, looked_at);
    else
        verification_say(verification, true, "all %zu signatures are good, and their signers' chains end in anchors%s",
                         result->count, looked_at);
}

static ExitCode verify_cms(Verification *verification, BytesView content, BytesView signature) {
    static const char *const of_raw[] = { "scheme", NULL };
    Failure failure = FAILURE_INIT;

    verification->kind = "cms";
    ExitCode code =
        verification_refuse_options(verification, of_raw, "a CMS signature, which names its algorithm itself");
    if (code == EXIT_OK)
        code = verification_load(verification);
    if (code != EXIT_OK)
        return code;
    if (signed_data_parse(signature, &verification->signed_data, &failure) < 0) {
        verification->verdict = (Verdict) { .kind = VERDICT_MALFORMED, .rule = "RFC 5652 §5.1" };
        verification_say(verification, false, "it is no CMS signature that can be read: %s", failure.text);
        return EXIT_OK;
    }
    const SignedDataRequest request = {
        .content = content,
        .chain = verification->request,
        .signer_name = bytes_view(&verification->signer_name),
        .signer_sha256 = verification->has_signer_sha256 ? verification->signer_sha256 : NULL,
    };
    (void) signed_data_verify(verification->signed_data, &request, &verification->signed_verdict);
    verification->verdict = verification->signed_verdict.verdict;
    say_cms(verification);
    return EXIT_OK;
}

ExitCode verification_of_file(Verification *verification) {
    static const char *const of_leaves[] = { "name", "uri", NULL };
    char *const *arguments = verification->command->arguments + (verification->identity ? 1 : 0);
    _cleanup_bytes_ Bytes signature = BYTES_NULL;
    _cleanup_(mapping_clear) Mapping content = { 0 };

    ExitCode code = verification_refuse_options(verification, of_leaves,
                                                "a signature of a file; --signer says who has to have made it");
    if (code == EXIT_OK)
        code = file_read(arguments[1], SIGNED_DATA_MAX, &signature);
    if (code == EXIT_OK)
        code = map_file(arguments[0], &content);
    if (code != EXIT_OK)
        return code;
    BytesView view = { content.data, content.size };
    /* A raw ECDSA signature is a SEQUENCE too, but never a ContentInfo. */
    if (signed_data_is(bytes_view(&signature)))
        return verify_cms(verification, view, bytes_view(&signature));
    if (!verification->identity) {
        complain("%s is no CMS signature; a raw one is verified with the certificate of an IDENTITY, which has to be "
                 "named.",
                 arguments[1]);
        return EXIT_USAGE;
    }
    return verify_raw(verification, view, bytes_view(&signature));
}
