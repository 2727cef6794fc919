/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idctl sign: a detached signature of a file with a `data-raw` handle, raw or as CMS. What was signed is verified with
 * the certificate before it is written, so that no bad signature gets out. */
#include "common/scheme.h"
#include "idctl/certificates.h"
#include "idctl/cms.h"
#include "idctl/credential.h"
#include "idctl/file.h"
#include "idctl/output.h"
#include "idctl/signature.h"
#include "idctl/verbs.h"

#include <stdio.h>
#include <string.h>

typedef struct Signer {
    identityd_credential *credential;
    identityd_snapshot *snapshot;
    CertificateList chain;
    const SignatureScheme *scheme;
} Signer;

static void signer_clear(Signer *signer) {
    snapshot_free_p(&signer->snapshot);
    credential_free_p(&signer->credential);
    certificate_list_clear(&signer->chain);
}

/* The scheme that was asked for if the key can do it, else the best of the key's. */
static ExitCode choose_scheme(Signer *signer, const char *name, bool cms) {
    const uint16_t *schemes = identityd_snapshot_schemes(signer->snapshot);
    char list[256] = "";

    for (; *schemes; schemes++) {
        const SignatureScheme *scheme = scheme_by_id(*schemes);
        if (scheme && cms && !cms_scheme_is_usable(scheme))
            continue;
        if (scheme && (!name || strcmp(scheme->name, name) == 0)) {
            signer->scheme = scheme;
            return EXIT_OK;
        }
        if (scheme)
            snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", list[0] ? ", " : "", scheme->name);
    }
    if (!name || list[0] == '\0') {
        complain("the key of %s has no signature scheme that idctl knows.",
                 identityd_snapshot_identity(signer->snapshot));
        return EXIT_FAILED;
    }
    complain("the key of %s does not sign with \"%s\"%s, but with: %s.", identityd_snapshot_identity(signer->snapshot),
             name, cms ? " in CMS" : "", list);
    return EXIT_USAGE;
}

static ExitCode signer_open(const char *identity, const char *scheme, bool cms, Signer *ret) {
    _cleanup_(signer_clear) Signer signer = { 0 };
    Failure failure = FAILURE_INIT;
    size_t size;

    ExitCode code = credential_open(identity, "data-raw", &signer.credential, &signer.snapshot);
    if (code != EXIT_OK)
        return code;
    const char *pem = identityd_snapshot_chain(signer.snapshot, &size);
    int r = certificate_list_from_pem((BytesView) { (const uint8_t *) pem, size }, CHAIN_MAX, &signer.chain, &failure);
    if (r < 0) {
        complain("the chain of %s cannot be read: %s.", identity, failure.text);
        return EXIT_FAILED;
    }
    code = choose_scheme(&signer, scheme, cms);
    if (code != EXIT_OK)
        return code;
    *ret = signer;
    signer = (Signer) { 0 };
    return EXIT_OK;
}

static ExitCode sign_message(const Signer *signer, BytesView message, Bytes *ret) {
    uint8_t signature[IDENTITYD_SIGNATURE_MAX];
    size_t size = sizeof signature;

    int r = identityd_sign_message(signer->credential, identityd_snapshot_generation(signer->snapshot),
                                   signer->scheme->id, message.data, message.size, signature, &size);
    if (r < 0)
        return credential_complain(r, "sign");
    r = signature_check(signer->chain.list[0], signer->scheme, message, (BytesView) { signature, size });
    if (r < 0) {
        complain("identityd's signature does not verify with its certificate: nothing is written. This is a fault of "
                 "identityd or of the TPM; \"idctl check\" may tell more.");
        return EXIT_FAILED;
    }
    return bytes_copy((BytesView) { signature, size }, ret) < 0 ? EXIT_FAILED : EXIT_OK;
}

static ExitCode sign_raw(const Signer *signer, int fd, const char *path, Bytes *ret) {
    _cleanup_bytes_ Bytes message = BYTES_NULL;

    int r = bytes_read_fd(fd, IDENTITYD_MESSAGE_MAX, &message);
    if (r == -EFBIG) {
        complain(
            "%s is larger than %u bytes, the most that can be signed whole: use --cms, which takes files of any size.",
            path, IDENTITYD_MESSAGE_MAX);
        return EXIT_FAILED;
    }
    if (r < 0) {
        complain("cannot read %s: %s.", path, strerror(-r));
        return EXIT_FAILED;
    }
    return sign_message(signer, bytes_view(&message), ret);
}

static ExitCode sign_cms(const Signer *signer, int fd, const char *path, Bytes *ret) {
    _cleanup_bytes_ Bytes attributes = BYTES_NULL, signature = BYTES_NULL;
    uint8_t digest[64];

    int r = signature_digest_fd(fd, signer->scheme, digest);
    if (r < 0) {
        complain("cannot read %s: %s.", path, strerror(-r));
        return EXIT_FAILED;
    }
    r = cms_signed_attributes((BytesView) { digest, (size_t) r }, (int64_t) (time_now() / 1000000U), &attributes);
    if (r < 0) {
        complain("cannot encode the signed attributes: %s.", strerror(-r));
        return EXIT_FAILED;
    }
    ExitCode code = sign_message(signer, bytes_view(&attributes), &signature);
    if (code != EXIT_OK)
        return code;
    r = cms_signed_data(
        &(CmsSignature) { signer->scheme, &signer->chain, bytes_view(&attributes), bytes_view(&signature) }, ret);
    if (r < 0)
        complain("cannot encode the signature: %s.", strerror(-r));
    return r < 0 ? EXIT_FAILED : EXIT_OK;
}

/* Beside the file, unless it came from standard input. */
static char *default_output(const char *path, bool cms) {
    char *output = NULL;

    if (strcmp(path, "-") == 0)
        return strdup("-");
    return asprintf(&output, "%s.%s", path, cms ? "p7s" : "sig") < 0 ? NULL : output;
}

static ExitCode sign_run(const Command *command) {
    _cleanup_(signer_clear) Signer signer = { 0 };
    _cleanup_bytes_ Bytes result = BYTES_NULL, pem = BYTES_NULL;
    _cleanup_close_ int fd = -1;
    const char *identity = command->arguments[0], *path = command->arguments[1], *out = command_value(command, "out");
    bool cms = command_has(command, "cms");
    _cleanup_free_ char *output = out ? strdup(out) : default_output(path, cms);

    if (cms && command_has(command, "raw")) {
        complain("--raw and --cms exclude each other.");
        return EXIT_USAGE;
    }
    if (command_has(command, "pem") && !cms) {
        complain("--pem goes with --cms: a raw signature has no PEM form.");
        return EXIT_USAGE;
    }
    if (!output)
        return EXIT_FAILED;
    ExitCode code = file_open(path, &fd);
    if (code == EXIT_OK)
        code = signer_open(identity, command_value(command, "scheme"), cms, &signer);
    if (code == EXIT_OK)
        code = cms ? sign_cms(&signer, fd, path, &result) : sign_raw(&signer, fd, path, &result);
    if (code == EXIT_OK && command_has(command, "pem") && pem_encode("CMS", bytes_view(&result), &pem) < 0)
        code = EXIT_FAILED;
    if (code == EXIT_OK)
        code = file_write(output, bytes_view(pem.size > 0 ? &pem : &result), pem.size == 0);
    if (code == EXIT_OK && strcmp(output, "-") != 0 && !command_has(command, "quiet"))
        fprintf(stderr, "%s: %s signature of %s by %s, generation %u\n", output, cms ? "CMS" : signer.scheme->name,
                path, identity, identityd_snapshot_generation(signer.snapshot));
    return code;
}

static const Option sign_options[] = {
    { "raw", 0, NULL, "The bare signature, as TLS and X.509 encode it (default); FILE up to 64 KiB" },
    { "cms", 0, NULL, "A detached CMS signature with the chain in it; FILE of any size" },
    { "pem", 0, NULL, "With --cms: PEM instead of DER" },
    { "scheme", 0, "NAME", "Signature scheme by its IANA TLS name; default: the key's best" },
    { "out", 'o', "FILE", "Where to; default: beside FILE, with .sig or .p7s" },
    { NULL },
};

const Verb verb_sign = {
    .name = "sign",
    .synopsis = "IDENTITY FILE",
    .summary = "Make a detached signature of a file",
    .options = sign_options,
    .minimum = 2,
    .maximum = 2,
    .run = sign_run,
};
