/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idctl verify: a signature of a file, or a peer's chain, with the anchors of an identity. Needs no right to sign. */
#include "config/values.h"
#include "idctl/file.h"
#include "idctl/identity.h"
#include "idctl/output.h"
#include "idctl/peer.h"
#include "idctl/signature.h"
#include "idctl/trust.h"
#include "idctl/verbs.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define SIGNATURE_FILE_MAX CERTIFICATES_FILE_MAX
#define CONTENT_FILE_MAX   ((uint64_t) UINT32_MAX) /* GnuTLS counts a datum with 32 bits */
#define USAGE_SERVER       "1.3.6.1.5.5.7.3.1"

typedef struct Verification {
    IdentityProperties properties;
    Trust *trust;
    Verdict verdict;
    const char *kind;   /* "raw", "cms", "chain" or "peer" */
    char **signers;     /* subjects of those whose signature is good; or NULL */
    const char *scheme; /* of a raw signature */
    Certificates chain; /* of a peer or a file */
} Verification;

static void verification_clear(Verification *verification) {
    identity_properties_clear(&verification->properties);
    trust_free(verification->trust);
    verdict_clear(&verification->verdict);
    strings_free(verification->signers);
    certificates_clear(&verification->chain);
}

/* The identity's anchors, or those of --anchors. */
static ExitCode load_trust(const Command *command, Verification *verification) {
    _cleanup_certificates_ Certificates anchors = { 0 };
    const IdentityProperties *properties = &verification->properties;
    const char *path = command_value(command, "anchors");
    int r = 0;

    if (path) {
        ExitCode code = certificates_read(path, &anchors);
        if (code != EXIT_OK)
            return code;
    } else
        r = certificates_from_der(properties->anchors.list, properties->anchors.count, &anchors);
    if (r == 0 && anchors.count == 0) {
        complain(
            "%s has no anchors to verify with. Set [Peers] Anchors= or [Enrollment] Anchors= in its configuration, or "
            "name a file with --anchors.",
            properties->name);
        return EXIT_FAILED;
    }
    if (r == 0)
        r = trust_new(&anchors, &verification->trust);
    if (r < 0)
        complain("cannot use the anchors: %s.", strerror(-r));
    return r < 0 ? EXIT_FAILED : EXIT_OK;
}

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
static ExitCode verify_raw(Verification *verification, const char *wanted, BytesView content, BytesView signature) {
    _cleanup_certificates_ Certificates own = { 0 };
    const IdentityProperties *properties = &verification->properties;
    const SignatureScheme *schemes[SCHEMES_PER_KEY_MAX];

    verification->kind = "raw";
    if (properties->certificates.count == 0 ||
        certificates_from_der(properties->certificates.list, properties->certificates.count, &own) < 0) {
        complain("%s has no certificate to verify a raw signature with.", properties->name);
        return EXIT_FAILED;
    }
    size_t count = signature_schemes(own.list[0], schemes);
    for (size_t i = 0; i < count; i++)
        if ((!wanted || strcmp(wanted, schemes[i]->name) == 0) &&
            signature_verify(own.list[0], schemes[i], content, signature) == 0) {
            verification->scheme = schemes[i]->name;
            verification->signers = calloc(2, sizeof *verification->signers);
            if (verification->signers)
                verification->signers[0] = strdup(properties->subject);
            verdict_set(&verification->verdict, true, "the signature is good (%s)", schemes[i]->name);
            return EXIT_OK;
        }
    verdict_set(&verification->verdict, false,
                "it is no signature of this file by the present certificate of %s (generation %u)%s%s",
                properties->name, properties->generation, wanted ? " with " : "", wanted ? wanted : "");
    return EXIT_OK;
}

static ExitCode verify_file(const Command *command, Verification *verification) {
    _cleanup_bytes_ Bytes signature = BYTES_NULL;
    _cleanup_(mapping_clear) Mapping content = { 0 };

    ExitCode code = file_read(command->arguments[2], SIGNATURE_FILE_MAX, &signature);
    if (code == EXIT_OK)
        code = map_file(command->arguments[1], &content);
    if (code != EXIT_OK)
        return code;
    BytesView view = { content.data, content.size };
    /* A raw ECDSA signature is a SEQUENCE too, but never a ContentInfo; so the one that parses is meant. */
    if (trust_is_cms(bytes_view(&signature))) {
        code = load_trust(command, verification);
        if (code != EXIT_OK)
            return code;
        verification->kind = "cms";
        int r = trust_verify_cms(verification->trust, bytes_view(&signature), view, &verification->verdict,
                                 &verification->signers);
        if (r < 0)
            verdict_set(&verification->verdict, false, "it is no CMS signature");
        return EXIT_OK;
    }
    return verify_raw(verification, command_value(command, "scheme"), view, bytes_view(&signature));
}

static ExitCode verify_chain(const Command *command, Verification *verification) {
    const char *peer = command_value(command, "peer"), *name = command_value(command, "name");
    _cleanup_endpoint_ Endpoint endpoint = { 0 };

    verification->kind = peer ? "peer" : "chain";
    ExitCode code = load_trust(command, verification);
    if (code != EXIT_OK)
        return code;
    if (peer) {
        code = endpoint_parse(peer, &endpoint);
        if (code == EXIT_OK && !name)
            name = endpoint.host;
        if (code == EXIT_OK)
            code = peer_fetch_chain(&endpoint, name, &verification->chain);
    } else {
        code = certificates_read(command_value(command, "chain"), &verification->chain);
        if (code == EXIT_OK)
            certificates_leaf_first(&verification->chain);
    }
    if (code == EXIT_OK)
        trust_verify(verification->trust, &verification->chain, name, peer ? USAGE_SERVER : NULL,
                     &verification->verdict);
    return code;
}

static json_t *signers_to_json(char *const *signers) {
    json_t *array = json_array();

    for (; signers && *signers; signers++)
        (void) json_array_append_new(array, text_to_json(*signers));
    return array;
}

static ExitCode report(const Command *command, const Verification *verification) {
    const Verdict *verdict = &verification->verdict;
    ExitCode code = verdict->good ? EXIT_OK : EXIT_FAILED;

    if (command_has(command, "json")) {
        json_t *object =
            json_pack("{s:b, s:s, s:s?, s:o, s:s?, s:o}", "verified", verdict->good, "kind", verification->kind,
                      "reason", verdict->reason, "signers", signers_to_json(verification->signers), "scheme",
                      verification->scheme, "chain", certificates_to_json(&verification->chain));
        return json_print(object, false) < 0 ? EXIT_FAILED : code;
    }
    if (command_has(command, "quiet"))
        return code;
    if (verification->chain.count > 0)
        certificates_print(&verification->chain, stdout, "");
    _cleanup_free_ char *reason = printable_copy(verdict->reason ? verdict->reason : "out of memory");
    for (char **signer = verification->signers; signer && *signer; signer++) {
        _cleanup_free_ char *text = printable_copy(*signer);
        printf("signer: %s\n", text ? text : "");
    }
    printf("%s%s%s: %s\n", colour_of(stdout, verdict->good ? COLOUR_GOOD : COLOUR_BAD),
           verdict->good ? "verified" : "NOT verified", colour_of(stdout, COLOUR_NONE), reason ? reason : "");
    return code;
}

static ExitCode verify_run(const Command *command) {
    _cleanup_(verification_clear) Verification verification = { 0 };
    _cleanup_bus_ Bus bus = { 0 };
    bool peer = command_has(command, "peer"), chain = command_has(command, "chain");

    if (peer + chain + (command->count == 3) != 1 || command->count == 2) {
        complain("verify takes IDENTITY and one of: FILE SIGNATURE, --peer, --chain. Try \"idctl verify --help\".");
        return EXIT_USAGE;
    }
    ExitCode code = bus_open(command, false, &bus);
    if (code == EXIT_OK)
        code = identity_properties_get(&bus, command->arguments[0], &verification.properties, NULL);
    if (code == EXIT_OK)
        code = command->count == 3 ? verify_file(command, &verification) : verify_chain(command, &verification);
    return code == EXIT_OK ? report(command, &verification) : code;
}

static const Option verify_options[] = {
    { "peer", 0, "HOST:PORT", "Verify the chain that this TLS server shows" },
    { "chain", 0, "FILE", "Verify the chain in this file" },
    { "name", 0, "NAME", "Name that the leaf must carry; default with --peer: HOST" },
    { "anchors", 0, "FILE", "Verify with these anchors instead of the identity's" },
    { "scheme", 0, "NAME", "Take a raw signature only with this scheme" },
    { "json", 'j', NULL, "An object instead of text" },
    { NULL },
};

const Verb verb_verify = {
    .name = "verify",
    .synopsis = "IDENTITY [FILE SIGNATURE]",
    .summary = "Verify a signature, or with --peer or --chain a chain",
    .options = verify_options,
    .minimum = 1,
    .maximum = 3,
    .run = verify_run,
};
