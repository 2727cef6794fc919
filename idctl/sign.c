/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idctl sign: a detached signature of a file with a `data` handle, as CMS, as COSE, or bare over identityd's own frame;
 * with a `data-raw` handle bare over the file itself. What was signed is verified with the certificate before it is
 * written, so that no bad signature gets out. */
#include "common/data-frame.h"
#include "common/scheme.h"
#include "idctl/certificates.h"
#include "idctl/cms.h"
#include "idctl/credential.h"
#include "idctl/file.h"
#include "idctl/output.h"
#include "idctl/signature.h"
#include "idctl/verbs.h"

#include <gnutls/crypto.h>
#include <stdio.h>
#include <string.h>

typedef enum Form {
    FORM_CMS,
    FORM_COSE,
    FORM_FRAMED,
    FORM_RAW,
    _FORM_COUNT,
} Form;

static const struct {
    const char *option, *what, *purpose, *extension;
} forms[_FORM_COUNT] = {
    [FORM_CMS] = { "cms", "CMS", "data", "p7s" },
    [FORM_COSE] = { "cose", "COSE", "data", "cose" },
    [FORM_FRAMED] = { "framed", NULL, "data", "sig" },
    [FORM_RAW] = { "raw", NULL, "data-raw", "sig" },
};

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

static ExitCode signer_open(const char *identity, const char *scheme, Form form, Signer *ret) {
    _cleanup_(signer_clear) Signer signer = { 0 };
    Failure failure = FAILURE_INIT;
    size_t size;

    ExitCode code = credential_open(identity, forms[form].purpose, &signer.credential, &signer.snapshot);
    if (code != EXIT_OK)
        return code;
    const char *pem = identityd_snapshot_chain(signer.snapshot, &size);
    int r = certificate_list_from_pem((BytesView) { (const uint8_t *) pem, size }, CHAIN_MAX, &signer.chain, &failure);
    if (r < 0) {
        complain("the chain of %s cannot be read: %s.", identity, failure.text);
        return EXIT_FAILED;
    }
    code = choose_scheme(&signer, scheme, form == FORM_CMS);
    if (code != EXIT_OK)
        return code;
    *ret = signer;
    signer = (Signer) { 0 };
    return EXIT_OK;
}

static ExitCode complain_of_signature(void) {
    complain("identityd's signature does not verify with its certificate: nothing is written. This is a fault of "
             "identityd or of the TPM; \"idctl check\" may tell more.");
    return EXIT_FAILED;
}

static ExitCode sign_message(const Signer *signer, BytesView message, Bytes *ret) {
    uint8_t signature[IDENTITYD_SIGNATURE_MAX];
    size_t size = sizeof signature;

    int r = identityd_sign_message(signer->credential, identityd_snapshot_generation(signer->snapshot),
                                   signer->scheme->id, message.data, message.size, signature, &size);
    if (r < 0)
        return credential_complain(r, "sign");
    r = signature_check(signer->chain.list[0], signer->scheme, message, (BytesView) { signature, size });
    if (r < 0)
        return complain_of_signature();
    return bytes_copy((BytesView) { signature, size }, ret) < 0 ? EXIT_FAILED : EXIT_OK;
}

/* A file that is signed whole. */
static ExitCode read_message(int fd, const char *path, size_t limit, Bytes *ret) {
    int r = bytes_read_fd(fd, limit, ret);

    if (r >= 0)
        return EXIT_OK;
    if (r == -EFBIG)
        complain("%s is larger than %zu bytes, the most that can be signed whole: use --cms, which takes files of any "
                 "size.",
                 path, limit);
    else
        complain("cannot read %s: %s.", path, strerror(-r));
    return EXIT_FAILED;
}

static ExitCode sign_raw(const Signer *signer, int fd, const char *path, Bytes *ret) {
    _cleanup_bytes_ Bytes message = BYTES_NULL;
    ExitCode code = read_message(fd, path, IDENTITYD_MESSAGE_MAX, &message);

    return code == EXIT_OK ? sign_message(signer, bytes_view(&message), ret) : code;
}

static ExitCode sign_framed(const Signer *signer, int fd, const char *path, Bytes *ret) {
    _cleanup_bytes_ Bytes message = BYTES_NULL, framed = BYTES_NULL;
    const char *identity = identityd_snapshot_identity(signer->snapshot);

    ExitCode code = read_message(fd, path, IDENTITYD_MESSAGE_MAX - data_frame_overhead(identity), &message);
    if (code != EXIT_OK)
        return code;
    if (data_frame_build(identity, bytes_view(&message), &framed) < 0)
        return EXIT_FAILED;
    return sign_message(signer, bytes_view(&framed), ret);
}

/* The Sig_structure (RFC 9052 §4.4) of a message that libidentityd made: tag, array, protected header in one byte of
 * length. */
static int cose_structure(BytesView signed_message, BytesView payload, Bytes *ret) {
    static const uint8_t front[] = { 0x84, 0x6a, 'S', 'i', 'g', 'n', 'a', 't', 'u', 'r', 'e', '1' };
    const uint8_t *protected = signed_message.data + 2;
    uint8_t head[] = { 0x40, 0x59, (uint8_t) (payload.size >> 8), (uint8_t) payload.size };
    BytesView length = { head + 1, 3 };

    if (payload.size < 24) {
        head[1] = (uint8_t) (0x40 | payload.size);
        length.size = 1;
    } else if (payload.size < 256) {
        head[1] = 0x58;
        head[2] = (uint8_t) payload.size;
        length.size = 2;
    }
    int r = bytes_append(ret, (BytesView) { front, sizeof front });
    if (r >= 0)
        r = bytes_append(ret, (BytesView) { protected, 1U + (protected[0] & 0x1fU) });
    if (r >= 0)
        r = bytes_append(ret, (BytesView) { head, 1 }); /* no external_aad */
    if (r >= 0)
        r = bytes_append(ret, length);
    return r < 0 ? r : bytes_append(ret, payload);
}

/* The signature stands at the end: r and s side by side, or an RSA one. */
static bool cose_verifies(const Signer *signer, BytesView signed_message, BytesView payload) {
    _cleanup_bytes_ Bytes structure = BYTES_NULL;
    const Certificate *leaf = signer->chain.list[0];
    size_t half = (size_t) signer->scheme->hash;

    if (cose_structure(signed_message, payload, &structure) < 0)
        return false;
    if (signer->scheme->padding != SCHEME_ECDSA) {
        size_t size = leaf->key_bits / 8U;
        BytesView signature = { signed_message.data + signed_message.size - size, size };
        return signature_check(leaf, signer->scheme, bytes_view(&structure), signature) >= 0;
    }
    const gnutls_datum_t r = { (uint8_t *) (uintptr_t) signed_message.data + signed_message.size - 2 * half,
                               (unsigned) half },
                         s = { r.data + half, (unsigned) half };
    gnutls_datum_t der;
    if (gnutls_encode_rs_value(&der, &r, &s) < 0)
        return false;
    bool verifies =
        signature_check(leaf, signer->scheme, bytes_view(&structure), (BytesView) { der.data, der.size }) >= 0;
    gnutls_free(der.data);
    return verifies;
}

static ExitCode sign_cose(const Signer *signer, int fd, const char *path, Bytes *ret) {
    _cleanup_bytes_ Bytes message = BYTES_NULL;
    _cleanup_free_ void *signed_message = NULL;
    size_t size;

    ExitCode code = read_message(fd, path, IDENTITYD_COSE_PAYLOAD_MAX, &message);
    if (code != EXIT_OK)
        return code;
    int r = identityd_sign_cose(signer->credential, signer->snapshot, signer->scheme->id, IDENTITYD_COSE_DETACHED,
                                message.data, message.size, &signed_message, &size);
    if (r < 0)
        return credential_complain(r, "sign");
    if (!cose_verifies(signer, (BytesView) { signed_message, size }, bytes_view(&message)))
        return complain_of_signature();
    return bytes_copy((BytesView) { signed_message, size }, ret) < 0 ? EXIT_FAILED : EXIT_OK;
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

static ExitCode sign_as(const Signer *signer, Form form, int fd, const char *path, Bytes *ret) {
    switch (form) {
    case FORM_COSE:
        return sign_cose(signer, fd, path, ret);
    case FORM_FRAMED:
        return sign_framed(signer, fd, path, ret);
    case FORM_RAW:
        return sign_raw(signer, fd, path, ret);
    default:
        return sign_cms(signer, fd, path, ret);
    }
}

/* Beside the file, unless it came from standard input. */
static char *default_output(const char *path, Form form) {
    char *output = NULL;

    if (strcmp(path, "-") == 0)
        return strdup("-");
    return asprintf(&output, "%s.%s", path, forms[form].extension) < 0 ? NULL : output;
}

static ExitCode choose_form(const Command *command, Form *ret) {
    Form form = FORM_CMS;
    unsigned count = 0;

    for (int i = 0; i < _FORM_COUNT; i++)
        if (command_has(command, forms[i].option)) {
            form = (Form) i;
            count++;
        }
    if (count > 1) {
        complain("--cms, --cose, --framed and --raw exclude each other.");
        return EXIT_USAGE;
    }
    if (command_has(command, "pem") && form != FORM_CMS) {
        complain("--pem goes with --cms: other signatures have no PEM form.");
        return EXIT_USAGE;
    }
    *ret = form;
    return EXIT_OK;
}

static ExitCode sign_run(const Command *command) {
    _cleanup_(signer_clear) Signer signer = { 0 };
    _cleanup_bytes_ Bytes result = BYTES_NULL, pem = BYTES_NULL;
    _cleanup_close_ int fd = -1;
    _cleanup_free_ char *output = NULL;
    const char *identity = command->arguments[0], *path = command->arguments[1], *out = command_value(command, "out");
    Form form = FORM_CMS;

    ExitCode code = choose_form(command, &form);
    if (code != EXIT_OK)
        return code;
    output = out ? strdup(out) : default_output(path, form);
    if (!output)
        return EXIT_FAILED;
    code = file_open(path, &fd);
    if (code == EXIT_OK)
        code = signer_open(identity, command_value(command, "scheme"), form, &signer);
    if (code == EXIT_OK)
        code = sign_as(&signer, form, fd, path, &result);
    if (code == EXIT_OK && command_has(command, "pem") && pem_encode("CMS", bytes_view(&result), &pem) < 0)
        code = EXIT_FAILED;
    if (code == EXIT_OK)
        code = file_write(output, bytes_view(pem.size > 0 ? &pem : &result), pem.size == 0);
    if (code == EXIT_OK && strcmp(output, "-") != 0 && !command_has(command, "quiet"))
        fprintf(stderr, "%s: %s signature of %s by %s, generation %u\n", output,
                forms[form].what ? forms[form].what : signer.scheme->name, path, identity,
                identityd_snapshot_generation(signer.snapshot));
    return code;
}

static const Option sign_options[] = {
    { "cms", 0, NULL, "A detached CMS signature with the chain in it (default); FILE of any size" },
    { "cose", 0, NULL, "A detached COSE_Sign1 with the chain in it; FILE up to 64 KiB" },
    { "framed", 0, NULL, "The bare signature of FILE in identityd's own frame; FILE up to 64 KiB" },
    { "raw", 0, NULL, "The bare signature of FILE itself, which needs the purpose data-raw; FILE up to 64 KiB" },
    { "pem", 0, NULL, "With --cms: PEM instead of DER" },
    { "scheme", 0, "NAME", "Signature scheme by its IANA TLS name; default: the key's best" },
    { "out", 'o', "FILE", "Where to; default: beside FILE, with .p7s, .cose or .sig" },
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
