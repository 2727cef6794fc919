/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Options, anchors, CRLs and chains: see verification.h. */
#include "idctl/verification.h"

#include "common/distinguished-name.h"
#include "common/oid.h"
#include "config/values.h"
#include "idctl/certificates.h"
#include "idctl/file.h"
#include "idctl/output.h"
#include "idctl/peer.h"
#include "idctl/time-text.h"

#include <stdarg.h>
#include <string.h>

#define CRLS_FILE_MAX (64U * 1024U * 1024U)
#define DEPTH_MAX     999U /* more than the verifier follows */

void verification_clear(Verification *verification) {
    identity_properties_clear(&verification->properties);
    certificate_list_clear(&verification->anchors);
    crl_set_clear(&verification->crl_set);
    certificate_list_clear(&verification->given);
    certificate_list_clear(&verification->chain);
    bytes_clear(&verification->signer_name);
    signed_data_verdict_clear(&verification->signed_verdict);
    signed_data_free(verification->signed_data);
    certificate_free(verification->own);
}

void verification_say(Verification *verification, bool good, const char *format, ...) {
    va_list arguments;

    verification->good = good;
    va_start(arguments, format);
    (void) vsnprintf(verification->reason.text, sizeof verification->reason.text, format, arguments);
    va_end(arguments);
}

/* ---- options ---- */

static ExitCode read_usage(Verification *verification) {
    const char *usage = command_value(verification->command, "usage");

    if (!usage)
        usage = command_has(verification->command, "peer") ? "server" : "any";
    if (strcmp(usage, "any") == 0)
        return EXIT_OK;
    if (strcmp(usage, "server") == 0)
        usage = GNUTLS_KP_TLS_WWW_SERVER;
    else if (strcmp(usage, "client") == 0)
        usage = GNUTLS_KP_TLS_WWW_CLIENT;
    else if (!oid_is_valid(usage, strlen(usage))) {
        complain("--usage is server, client, any, or the OID of an extended key usage such as 1.3.6.1.5.5.7.3.3 for "
                 "code signing, not \"%s\".",
                 usage);
        return EXIT_USAGE;
    }
    verification->purposes[0] = usage;
    return EXIT_OK;
}

static ExitCode read_depth(Verification *verification) {
    const char *depth = command_value(verification->command, "max-depth");
    uint32_t number;

    if (!depth)
        return EXIT_OK;
    if (value_unsigned(depth, DEPTH_MAX, &number) < 0) {
        complain("--max-depth is a number of CA certificates from 0 to %u, not \"%s\".", DEPTH_MAX, depth);
        return EXIT_USAGE;
    }
    verification->request.depth_limit = number + 1;
    return EXIT_OK;
}

/* The SHA-256 of a certificate, with "sha256:" before it or without; or a name as RFC 4514 writes it. */
static ExitCode read_signer(Verification *verification) {
    const char *signer = command_value(verification->command, "signer");
    char text[128];
    Failure failure = FAILURE_INIT;

    if (!signer)
        return EXIT_OK;
    (void) snprintf(text, sizeof text, "%s%s", strncmp(signer, "sha256:", 7) == 0 ? "" : "sha256:", signer);
    if (value_fingerprint(text, verification->signer_sha256) == 0) {
        verification->has_signer_sha256 = true;
        return EXIT_OK;
    }
    if (!strchr(signer, '=')) {
        complain("--signer is a subject as RFC 4514 writes it (\"CN=release,O=Example\"), or the SHA-256 of a "
                 "certificate in 64 hexadecimal digits, not \"%s\".",
                 signer);
        return EXIT_USAGE;
    }
    if (distinguished_name_encode(signer, &verification->signer_name, &failure) < 0) {
        complain("--signer cannot be read: %s.", failure.text);
        return EXIT_USAGE;
    }
    return EXIT_OK;
}

ExitCode verification_refuse_options(const Verification *verification, const char *const *names, const char *what) {
    for (; *names; names++)
        if (command_has(verification->command, *names)) {
            complain("--%s changes nothing for %s: leave it out.", *names, what);
            return EXIT_USAGE;
        }
    return EXIT_OK;
}

ExitCode verification_read_options(Verification *verification) {
    const Command *command = verification->command;
    VerifyRequest *request = &verification->request;
    const char *at = command_value(command, "at");

    *request = (VerifyRequest) {
        .now = (int64_t) (time_now() / 1000000U),
        .leaf_purposes = true,
        .host = command_value(command, "name"),
        .uri = command_value(command, "uri"),
        .flags = command_has(command, "require-crl") ? VERIFY_CRL_REQUIRED : 0,
    };
    if (request->host && request->uri) {
        complain("--name and --uri exclude each other: a certificate is asked for one name.");
        return EXIT_USAGE;
    }
    if (at && time_from_text(at, &request->now) < 0) {
        complain(
            "--at is a time such as 2026-03-01T12:00:00Z, 2026-03-01 or @1772366400 (seconds since the epoch), not "
            "\"%s\".",
            at);
        return EXIT_USAGE;
    }
    ExitCode code = read_usage(verification);
    if (code == EXIT_OK)
        code = read_depth(verification);
    if (code == EXIT_OK)
        code = read_signer(verification);
    request->purposes = verification->purposes[0] ? verification->purposes : NULL;
    return code;
}

/* ---- anchors and CRLs ---- */

static ExitCode load_anchors(Verification *verification) {
    const char *path = command_value(verification->command, "anchors");
    const IdentityProperties *properties = &verification->properties;

    if (path)
        return certificates_read(path, &verification->anchors);
    if (properties->anchors.count == 0) {
        complain(
            "%s has no anchors to verify with. Set [Peers] Anchors= or [Enrollment] Anchors= in its configuration, or "
            "name a file with --anchors.",
            properties->name);
        return EXIT_FAILED;
    }
    int r = certificates_from_der(properties->anchors.list, properties->anchors.count, &verification->anchors);
    if (r < 0)
        complain("identityd sent anchors of %s that cannot be read: %s.", properties->name, strerror(-r));
    return r < 0 ? EXIT_FAILED : EXIT_OK;
}

/* One in DER, or any number in PEM. */
static int parse_crls(BytesView data, CrlSet *ret, LeftOut *ret_left_out, Failure *ret_failure) {
    Crl *crl;

    if (data.size == 0 || data.data[0] != 0x30)
        return crl_set_from_pem(data, ret, ret_left_out, ret_failure);
    int r = crl_parse_any(data, &crl, ret_failure);
    if (r < 0)
        return r;
    Crl **list = malloc(sizeof *list);
    if (!list) {
        crl_free(crl);
        return -ENOMEM;
    }
    list[0] = crl;
    *ret = (CrlSet) { list, 1 };
    return 0;
}

static ExitCode load_crls(Verification *verification) {
    const char *path = command_value(verification->command, "crls");
    _cleanup_bytes_ Bytes data = BYTES_NULL;
    Failure failure = FAILURE_INIT;
    LeftOut left_out = { 0 };

    if (!path)
        return EXIT_OK;
    ExitCode code = file_read(path, CRLS_FILE_MAX, &data);
    if (code != EXIT_OK)
        return code;
    int r = parse_crls(bytes_view(&data), &verification->crl_set, &left_out, &failure);
    /* None at all is no set of CRLs that revokes nothing, but the wrong file. */
    if (r < 0 || verification->crl_set.count == 0) {
        const char *why = failure.text[0]      ? failure.text
                          : r < 0              ? strerror(-r)
                          : left_out.count > 0 ? left_out.first.text
                                               : "there is none in it";
        complain("%s holds no CRLs that can be read: %s. Expected is PEM (\"-----BEGIN X509 CRL-----\"), or one CRL in "
                 "DER.",
                 path, why);
        return EXIT_FAILED;
    }
    if (left_out.count > 0)
        complain("%s: left out is what cannot be read, %zu in number; the first: %s.", path, left_out.count,
                 left_out.first.text);
    verification->crls = (CrlList) { verification->crl_set.list, verification->crl_set.count };
    verification->request.crls = &verification->crls;
    return EXIT_OK;
}

ExitCode verification_load(Verification *verification) {
    ExitCode code = load_anchors(verification);

    if (code == EXIT_OK)
        code = load_crls(verification);
    verification->request.anchors = &verification->anchors;
    return code;
}

/* ---- chains ---- */

static void judge(Verification *verification, const VerifyRequest *request) {
    const char *looked_at = command_has(verification->command, "crls") ? "" : "; revocation was not looked at (--crls)";
    char whose[CERTIFICATE_DESCRIPTION_MAX];

    int r = verify(request, &verification->chain, &verification->anchor, &verification->verdict);
    if (r < 0)
        verification_say(verification, false, "%s", verification->verdict.failure.text);
    else
        verification_say(verification, true, "the chain ends in the anchor %s%s",
                         certificate_describe(verification->anchor, whose), looked_at);
}

ExitCode verification_of_chain(Verification *verification) {
    static const char *const of_files[] = { "signer", "scheme", NULL };
    const char *peer = command_value(verification->command, "peer");
    VerifyRequest request;
    _cleanup_endpoint_ Endpoint endpoint = { 0 };

    verification->kind = peer ? "peer" : "chain";
    ExitCode code = verification_refuse_options(verification, of_files, "a chain, which signs no file");
    if (code == EXIT_OK && peer)
        code = endpoint_parse(peer, &endpoint);
    if (code == EXIT_OK)
        code = verification_load(verification);
    if (code != EXIT_OK)
        return code;
    request = verification->request;
    if (peer && !request.host && !request.uri)
        request.host = endpoint.host;
    if (peer)
        code = peer_fetch_chain(&endpoint, request.host ? request.host : endpoint.host, &verification->given);
    else
        code = certificates_read_chain(command_value(verification->command, "chain"), &verification->given);
    if (code != EXIT_OK)
        return code;
    request.leaf = verification->given.list[0];
    request.candidates = &verification->given;
    judge(verification, &request);
    return EXIT_OK;
}
