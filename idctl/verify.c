/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idctl verify: a signature of a file, or a chain, with the anchors of an identity or of a file; then neither identity
 * nor identityd is needed. Needs no right to sign. */
#include "idctl/certificates.h"
#include "idctl/output.h"
#include "idctl/verbs.h"
#include "idctl/verification.h"

#include <stdio.h>

static json_t *certificate_or_null(const Certificate *certificate) {
    return certificate ? certificate_to_json(certificate) : json_null();
}

static json_t *signer_to_json(const SignerVerdict *signer) {
    json_t *object = certificate_to_json(signer->certificate);
    uint64_t claimed = signer->claimed_time > 0 ? (uint64_t) signer->claimed_time * 1000000U : 0;

    if (object && (json_object_set_new(object, "chain", certificates_to_json(&signer->chain)) < 0 ||
                   json_object_set_new(object, "anchor", certificate_or_null(signer->anchor)) < 0 ||
                   json_object_set_new(object, "claimed_time", time_to_json(claimed)) < 0)) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static json_t *signers_to_json(const Verification *verification) {
    const SignedDataVerdict *verdict = &verification->signed_verdict;
    json_t *array = json_array();

    if (verification->own)
        (void) json_array_append_new(array, certificate_to_json(verification->own));
    for (size_t i = 0; i < verdict->count; i++)
        (void) json_array_append_new(array, signer_to_json(&verdict->signers[i]));
    return array;
}

/* What was found; where nothing was, what was shown. */
static const CertificateList *chain_of(const Verification *verification) {
    return verification->chain.count > 0 ? &verification->chain : &verification->given;
}

static json_t *verification_to_json(const Verification *verification) {
    const Verdict *verdict = &verification->verdict;
    bool judged = verdict->rule != NULL;

    return json_pack("{s:b, s:s, s:o, s:s?, s:s?, s:o, s:o, s:o, s:o, s:s?}", "verified", verification->good, "kind",
                     verification->kind, "reason", text_to_json(verification->reason.text), "verdict",
                     judged ? verdict_kind_name(verdict->kind) : NULL, "rule",
                     judged && verdict->rule[0] ? verdict->rule : NULL, "at_fault",
                     certificate_or_null(verdict->at_fault), "chain", certificates_to_json(chain_of(verification)),
                     "anchor", certificate_or_null(verification->anchor), "signers", signers_to_json(verification),
                     "scheme", verification->scheme);
}

static void print_certificate(const char *label, const Certificate *certificate) {
    _cleanup_free_ char *subject = NULL, *sha256 = NULL;

    if (!certificate)
        return;
    subject = printable_copy(certificate->subject);
    sha256 = certificate_sha256(certificate);
    printf("%s: %s\n   serial %s, SHA-256 %s\n", label, subject ? subject : "", certificate->serial,
           sha256 ? sha256 : "");
}

static void print_signer(const SignerVerdict *signer) {
    char when[CERTIFICATE_TIME_MAX];

    print_certificate("signer", signer->certificate);
    if (signer->claimed_time > 0)
        printf("   says that it signed at %s, for which nobody vouches\n",
               certificate_time(signer->claimed_time, when));
    certificates_print(&signer->chain, stdout, "   ");
    print_certificate("anchor", signer->anchor);
}

static void print_verification(const Verification *verification) {
    bool good = verification->good;
    const char *rule = verification->verdict.rule;

    certificates_print(chain_of(verification), stdout, "");
    print_certificate("anchor", verification->anchor);
    print_certificate("signer", verification->own);
    for (size_t i = 0; i < verification->signed_verdict.count; i++)
        print_signer(&verification->signed_verdict.signers[i]);
    print_certificate("at fault", verification->verdict.at_fault);
    _cleanup_free_ char *reason = printable_copy(verification->reason.text);
    printf("%s%s%s: %s\n", colour_of(stdout, good ? COLOUR_GOOD : COLOUR_BAD), good ? "verified" : "NOT verified",
           colour_of(stdout, COLOUR_NONE), reason ? reason : "out of memory");
    if (rule && rule[0])
        printf("rule: %s\n", rule);
}

static ExitCode report(const Verification *verification) {
    const Command *command = verification->command;
    ExitCode code = verification->good ? EXIT_OK : EXIT_FAILED;

    if (command_has(command, "json"))
        return json_print(verification_to_json(verification), false) < 0 ? EXIT_FAILED : code;
    if (command_has(command, "quiet"))
        return code;
    print_verification(verification);
    if (!verification->good && verification->verdict.kind == VERDICT_TIME && !command_has(command, "at"))
        complain("with --at TIME it is judged by another time, such as that of the signature if you know it.");
    return code;
}

static ExitCode ask_identity(Verification *verification) {
    _cleanup_bus_ Bus bus = { 0 };

    if (!verification->identity)
        return EXIT_OK;
    ExitCode code = bus_open(verification->command, false, &bus);
    if (code == EXIT_OK)
        code = identity_properties_get(&bus, verification->identity, &verification->properties, NULL);
    return code;
}

/* IDENTITY is the first argument; it may be missing where --anchors says what to trust. */
static ExitCode sort_arguments(Verification *verification, bool *ret_is_file) {
    const Command *command = verification->command;
    bool peer = command_has(command, "peer"), chain = command_has(command, "chain"), is_file = !peer && !chain;
    size_t wanted = is_file ? 2 : 0;

    if ((peer && chain) || (command->count != wanted && command->count != wanted + 1)) {
        complain(
            "verify takes one of: FILE SIGNATURE, --peer, --chain; and before that IDENTITY, or --anchors, or both. "
            "Try \"idctl verify --help\".");
        return EXIT_USAGE;
    }
    verification->identity = command->count > wanted ? command->arguments[0] : NULL;
    if (!verification->identity && !command_has(command, "anchors")) {
        complain("verify has nothing to trust: name an IDENTITY, whose anchors then count, or a file of them with "
                 "--anchors. Try \"idctl verify --help\".");
        return EXIT_USAGE;
    }
    *ret_is_file = is_file;
    return EXIT_OK;
}

static ExitCode verify_run(const Command *command) {
    _cleanup_verification_ Verification verification = { .command = command };
    bool is_file;

    ExitCode code = sort_arguments(&verification, &is_file);
    if (code == EXIT_OK)
        code = verification_read_options(&verification);
    if (code == EXIT_OK)
        code = ask_identity(&verification);
    if (code == EXIT_OK)
        code = is_file ? verification_of_file(&verification) : verification_of_chain(&verification);
    return code == EXIT_OK ? report(&verification) : code;
}

static const Option verify_options[] = {
    { "peer", 0, "HOST:PORT", "Verify the chain that this TLS server shows" },
    { "chain", 0, "FILE", "Verify the chain in this file" },
    { "anchors", 0, "FILE", "Trust these anchors instead of the identity's" },
    { "crls", 0, "FILE", "Heed these CRLs" },
    { "require-crl", 0, NULL, "A current CRL must speak for each certificate but the anchor" },
    { "usage", 0, "USAGE",
      "What the leaf must be for: server, client, any or an OID; default: any, with --peer server" },
    { "name", 0, "NAME", "DNS name or address that the leaf must carry; default with --peer: HOST" },
    { "uri", 0, "URI", "URI that the leaf must carry" },
    { "at", 0, "TIME", "Judge by this time instead of now" },
    { "max-depth", 0, "N", "At most so many CA certificates between leaf and anchor" },
    { "signer", 0, "WHO", "Subject or SHA-256 of the certificate that must have signed the file" },
    { "scheme", 0, "NAME", "Take a raw signature only with this scheme" },
    { "json", 'j', NULL, "An object instead of text" },
    { NULL },
};

const Verb verb_verify = {
    .name = "verify",
    .synopsis = "[IDENTITY] [FILE SIGNATURE]",
    .summary = "Verify a signature, or with --peer or --chain a chain",
    .options = verify_options,
    .minimum = 0,
    .maximum = 3,
    .run = verify_run,
};
