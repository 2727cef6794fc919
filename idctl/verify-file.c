/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signatures of files, raw and CMS: see verification.h. */
#include "idctl/certificates.h"
#include "idctl/file.h"
#include "idctl/output.h"
#include "idctl/signature.h"
#include "idctl/trust.h"
#include "idctl/verification.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define SIGNATURE_FILE_MAX CERTIFICATES_FILE_MAX
#define CONTENT_FILE_MAX   ((uint64_t) UINT32_MAX) /* GnuTLS counts a datum with 32 bits */

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
    _cleanup_certificate_ Certificate *own = NULL;
    const IdentityProperties *properties = &verification->properties;
    const char *wanted = command_value(verification->command, "scheme");
    const SignatureScheme *schemes[SCHEMES_PER_KEY_MAX];

    verification->kind = "raw";
    if (properties->certificates.count == 0 ||
        certificate_from_der(bytes_view(&properties->certificates.list[0]), &own, NULL) < 0) {
        complain("%s has no certificate to verify a raw signature with.", properties->name);
        return EXIT_FAILED;
    }
    size_t count = signature_schemes(own, schemes);
    for (size_t i = 0; i < count; i++)
        if ((!wanted || strcmp(wanted, schemes[i]->name) == 0) &&
            signature_check(own, schemes[i], content, signature) == 0) {
            verification->scheme = schemes[i]->name;
            verification->signers = calloc(2, sizeof *verification->signers);
            if (verification->signers)
                verification->signers[0] = strdup(own->subject);
            verification_say(verification, true, "the signature is good (%s)", schemes[i]->name);
            return EXIT_OK;
        }
    verification_say(verification, false,
                     "it is no signature of this file by the present certificate of %s (generation %u)%s%s",
                     properties->name, properties->generation, wanted ? " with " : "", wanted ? wanted : "");
    return EXIT_OK;
}

static ExitCode verify_cms(Verification *verification, BytesView content, BytesView signature) {
    verification->kind = "cms";
    ExitCode code = verification_load(verification);
    if (code != EXIT_OK)
        return code;
    int r =
        trust_verify_cms(&verification->request, signature, content, &verification->verdict, &verification->signers);
    if (r < 0)
        verification_say(verification, false, "it is no CMS signature that can be read: %s", strerror(-r));
    else
        verification_say(verification, verification->verdict.kind == VERDICT_GOOD, "%s",
                         verification->verdict.failure.text);
    return EXIT_OK;
}

ExitCode verification_of_file(Verification *verification) {
    char *const *arguments = verification->command->arguments + (verification->identity ? 1 : 0);
    _cleanup_bytes_ Bytes signature = BYTES_NULL;
    _cleanup_(mapping_clear) Mapping content = { 0 };

    ExitCode code = file_read(arguments[1], SIGNATURE_FILE_MAX, &signature);
    if (code == EXIT_OK)
        code = map_file(arguments[0], &content);
    if (code != EXIT_OK)
        return code;
    BytesView view = { content.data, content.size };
    /* A raw ECDSA signature is a SEQUENCE too, but never a ContentInfo; so the one that parses is meant. */
    if (trust_is_cms(bytes_view(&signature)))
        return verify_cms(verification, view, bytes_view(&signature));
    if (!verification->identity) {
        complain("%s is no CMS signature; a raw one is verified with the certificate of an IDENTITY, which has to be "
                 "named.",
                 arguments[1]);
        return EXIT_USAGE;
    }
    return verify_raw(verification, view, bytes_view(&signature));
}
