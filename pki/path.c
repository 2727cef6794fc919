/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* RFC 5280 §6.1 for a path that has been built, from the anchor to the leaf, with the reason for a person. The anchor
 * is held to what it says of itself, as TLS libraries hold it: its end, its path length, its name constraints. */
#include "pki/path.h"

#include "pki/asn1.h"
#include "pki/extensions.h"
#include "pki/general-names.h"
#include "pki/name-constraints.h"
#include "pki/name-match.h"
#include "pki/policy.h"
#include "pki/signature.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FAULT(kind, certificate, rule, ...) verdict_set(ret, kind, certificate, rule, __VA_ARGS__)

bool verdict_set(Verdict *verdict, VerdictKind kind, const Certificate *at_fault, const char *rule, const char *format,
                 ...) {
    char text[FAILURE_TEXT_MAX];
    va_list arguments;

    va_start(arguments, format);
    (void) vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    *verdict = (Verdict) { .kind = kind, .at_fault = at_fault, .rule = rule };
    (void) failure_set(&verdict->failure, -EKEYREJECTED, FAILURE_CERTIFICATE_REJECTED, "%s", text);
    return false;
}

static const char *purpose_name(const char *oid) {
    return strcmp(oid, GNUTLS_KP_TLS_WWW_SERVER) == 0   ? "TLS servers"
           : strcmp(oid, GNUTLS_KP_TLS_WWW_CLIENT) == 0 ? "TLS clients"
                                                        : oid;
}

/* ---- each certificate ---- */

static bool certificate_is_allowed(const Certificate *certificate, bool is_anchor, Verdict *ret) {
    char who[CERTIFICATE_DESCRIPTION_MAX], oid[64];
    const char *reason;

    certificate_describe(certificate, who);
    if (!key_is_acceptable(certificate, &reason))
        return FAULT(VERDICT_WEAK, certificate, "RFC 9325 §4.5", "%s is refused: %s", who, reason);
    if (certificate_unknown_critical(certificate, oid, sizeof(oid)))
        return FAULT(VERDICT_MALFORMED, certificate, "RFC 5280 §6.1.4 (o)",
                     "%s has the critical extension %s, which identityd does not understand", who, oid);
    if (!certificate_keeps_profile(certificate, is_anchor, &reason))
        return FAULT(VERDICT_MALFORMED, certificate, "RFC 5280 §4", "%s is malformed: %s", who, reason);
    return true;
}

/* RFC 5280 §6.1.4 (k) to (n) for the certificate at `i`, which issued the one before it. */
static bool issuer_is_allowed(const Path *path, size_t i, Verdict *ret) {
    char who[CERTIFICATE_DESCRIPTION_MAX];
    const Certificate *issuer = path->list[i];
    int between = 0;

    certificate_describe(issuer, who);
    if (!issuer->is_ca)
        return FAULT(VERDICT_NOT_CA, issuer, "RFC 5280 §6.1.4 (k)", "%s is not a CA certificate but signed another",
                     who);
    if (!(issuer->key_usage & GNUTLS_KEY_KEY_CERT_SIGN))
        return FAULT(VERDICT_NOT_CA, issuer, "RFC 5280 §6.1.4 (n)",
                     "the key usage of %s does not allow it to sign certificates", who);
    if (path->list[i - 1]->authority_key_identifier.size > 0 && issuer->key_identifier.size == 0)
        return FAULT(VERDICT_MALFORMED, issuer, "RFC 5280 §4.2.1.2",
                     "%s has no subject key identifier, but a certificate that it issued names one", who);
    for (size_t k = 1; k < i; k++)
        between += !path->list[k]->self_issued;
    if (issuer->path_length >= 0 && between > issuer->path_length)
        return FAULT(VERDICT_NOT_CA, issuer, "RFC 5280 §6.1.4 (l)",
                     "%s allows %d CA certificates below it (path length), but here are %d", who, issuer->path_length,
                     between);
    return true;
}

static bool time_is_right(const Certificate *certificate, int64_t now, Verdict *ret) {
    static const char rule[] = "RFC 5280 §6.1.3 (a) (2)";
    char who[CERTIFICATE_DESCRIPTION_MAX], when[CERTIFICATE_TIME_MAX], used[CERTIFICATE_TIME_MAX];

    if (now >= certificate->not_before && now <= certificate->not_after)
        return true;
    certificate_describe(certificate, who);
    certificate_time(now, used);
    if (now < certificate->not_before)
        return FAULT(VERDICT_TIME, certificate, rule, "%s is not valid until %s; the time used is %s", who,
                     certificate_time(certificate->not_before, when), used);
    return FAULT(VERDICT_TIME, certificate, rule, "%s expired at %s; the time used is %s", who,
                 certificate_time(certificate->not_after, when), used);
}

/* RFC 5280 §6.1.3 (b) and (c); a self-issued CA is not a name of its own. */
static bool names_are_allowed(const Path *path, size_t i, Work *work, Verdict *ret) {
    char who[CERTIFICATE_DESCRIPTION_MAX], whose[CERTIFICATE_DESCRIPTION_MAX];
    const Certificate *issuer = path->list[i];
    const char *reason = "";

    for (size_t k = 0; k < i; k++) {
        const Certificate *certificate = path->list[k];
        if (k > 0 && certificate->self_issued)
            continue;
        NamesVerdict names = name_constraints_judge(issuer, certificate, k == 0, &work->comparisons, &reason);
        if (names != NAMES_ALLOWED)
            return FAULT(names == NAMES_TOO_MANY ? VERDICT_WORK : VERDICT_CONSTRAINT,
                         names == NAMES_OUTSIDE ? certificate : issuer, "RFC 5280 §6.1.3 (b), (c)",
                         "the name constraints of %s do not allow %s: %s", certificate_describe(issuer, whose),
                         certificate_describe(certificate, who), reason);
    }
    return true;
}

/* RFC 5280 §4.2.1.12 has an extended key usage bound its own certificate only, but who verifies for a purpose wants it
 * of every certificate on the way: OpenSSL always does in TLS, GnuTLS where the program names the purpose. Neither is
 * alike with the anchor (OpenSSL looks at it, GnuTLS does not), so it is left alone. */
static bool purposes_are_allowed(const VerifyRequest *request, const Path *path, size_t i, Verdict *ret) {
    char who[CERTIFICATE_DESCRIPTION_MAX], whose[CERTIFICATE_DESCRIPTION_MAX];

    for (const char *const *purpose = request->purposes; purpose && *purpose && i + 1 < path->count; purpose++)
        if (!certificate_allows_purpose(path->list[i], *purpose))
            return FAULT(VERDICT_CONSTRAINT, path->list[i], "RFC 5280 §4.2.1.12",
                         "the extended key usage of %s does not allow it to issue for %s, which %s is to be used for: "
                         "its peers would refuse it",
                         certificate_describe(path->list[i], whose), purpose_name(*purpose),
                         certificate_describe(path->list[0], who));
    return true;
}

/* RFC 7633 §4.2.2: what a CA lists, each certificate that it issues must list, too. */
static bool tls_features_are_passed_on(const Path *path, size_t i, Verdict *ret) {
    const Certificate *issuer = path->list[i], *certificate = path->list[i - 1];
    const CertificateExtension *extension = certificate_extension(issuer, GNUTLS_X509EXT_OID_TLSFEATURES);
    char who[CERTIFICATE_DESCRIPTION_MAX], whose[CERTIFICATE_DESCRIPTION_MAX];
    BytesView rest;
    DerItem item;

    if (!extension || der_open_sequence(extension->value, &rest) < 0)
        return true;
    while (der_next(&rest, &item) > 0)
        if (!certificate_has_tls_feature(certificate, item.content))
            return FAULT(VERDICT_CONSTRAINT, certificate, "RFC 7633 §4.2.2",
                         "%s lists a TLS feature (as must-staple is one) that all below it must list, and %s does not",
                         certificate_describe(issuer, whose), certificate_describe(certificate, who));
    return true;
}

static bool policies_are_allowed(const Path *path, Verdict *ret) {
    static const char *const texts[] = {
        [POLICY_MISSING] =
            "a certificate of the chain demands an explicit certificate policy, and with %s there is none "
            "that all of the chain is under",
        [POLICY_MALFORMED] = "the certificate policies of %s cannot be read",
        [POLICY_TOO_MANY] = "with %s there are too many certificate policies to look at",
    };
    char who[CERTIFICATE_DESCRIPTION_MAX], text[FAILURE_TEXT_MAX];
    size_t at = 0;
    PolicyVerdict verdict = policy_judge(path->list, path->count - 1, &at);

    if (verdict == POLICY_GOOD)
        return true;
    const char *split = strstr(texts[verdict], "%s");
    (void) snprintf(text, sizeof text, "%.*s%s%s", (int) (split - texts[verdict]), texts[verdict],
                    certificate_describe(path->list[at], who), split + 2);
    return FAULT(verdict == POLICY_TOO_MANY ? VERDICT_WORK : VERDICT_CONSTRAINT, path->list[at], "RFC 5280 §6.1.5 (g)",
                 "%s", text);
}

static bool depth_is_allowed(const VerifyRequest *request, const Path *path, Verdict *ret) {
    unsigned depth = 0;

    for (size_t i = 1; i + 1 < path->count; i++)
        depth += !path->list[i]->self_issued;
    return request->depth_limit == 0 || depth < request->depth_limit ||
           FAULT(VERDICT_CONSTRAINT, path->list[0], "RFC 5280 §4.2.1.9",
                 "there are %u CA certificates between it and the anchor, and %u are allowed", depth,
                 request->depth_limit - 1);
}

bool path_is_valid(const VerifyRequest *request, const Path *path, Work *work, Verdict *ret) {
    if (!depth_is_allowed(request, path, ret))
        return false;
    for (size_t i = 0; i < path->count; i++)
        if ((i > 0 && !issuer_is_allowed(path, i, ret)) ||
            !certificate_is_allowed(path->list[i], i + 1 == path->count, ret))
            return false;
    for (size_t i = 1; i < path->count; i++)
        if (!names_are_allowed(path, i, work, ret) || !purposes_are_allowed(request, path, i, ret) ||
            !tls_features_are_passed_on(path, i, ret))
            return false;
    if (!policies_are_allowed(path, ret))
        return false;
    for (size_t i = 0; i < path->count; i++)
        if (!time_is_right(path->list[i], request->now, ret))
            return false;
    return true;
}

/* ---- the leaf ---- */

/* An IP address in text: 4 or 16 bytes. */
static size_t read_address(const char *text, uint8_t ret[static 16]) {
    return inet_pton(AF_INET, text, ret) == 1 ? 4 : inet_pton(AF_INET6, text, ret) == 1 ? 16 : 0;
}

typedef bool (*NameIs)(BytesView presented, BytesView wanted);

static bool has_alternative_name(const Certificate *leaf, unsigned kind, BytesView wanted, NameIs is) {
    const CertificateExtension *san = certificate_extension(leaf, GNUTLS_X509EXT_OID_SAN);
    BytesView rest;
    DerItem name;

    if (!san || der_open_sequence(san->value, &rest) < 0)
        return false;
    while (der_next(&rest, &name) > 0)
        if (name.tag == kind && name.class == ASN1_CLASS_CONTEXT_SPECIFIC && is(name.content, wanted))
            return true;
    return false;
}

/* RFC 9525 §6.3: by subject alternative names alone, never by the common name. */
static bool leaf_is_host(const Certificate *leaf, const char *host) {
    uint8_t address[16];
    size_t size = read_address(host, address);
    BytesView name = bytes_view_string(host);

    if (size > 0)
        return has_alternative_name(leaf, NAME_IP, (BytesView) { address, size }, bytes_view_equal);
    if (name.size > 1 && name.data[name.size - 1] == '.')
        name.size--; /* the root's dot is no part of the name */
    return name_is_dns(name, false) && has_alternative_name(leaf, NAME_DNS, name, dns_name_is_host);
}

static const char *names_of(const Certificate *leaf, char buffer[static GENERAL_NAMES_TEXT_MAX]) {
    const CertificateExtension *san = certificate_extension(leaf, GNUTLS_X509EXT_OID_SAN);

    return general_names_text(san ? san->value : (BytesView) { 0 }, buffer);
}

bool path_leaf_fits(const VerifyRequest *request, const Certificate *leaf, Verdict *ret) {
    char who[CERTIFICATE_DESCRIPTION_MAX], names[GENERAL_NAMES_TEXT_MAX];

    certificate_describe(leaf, who);
    for (const char *const *purpose = request->purposes; purpose && *purpose && request->leaf_purposes; purpose++)
        if (!certificate_allows_purpose(leaf, *purpose))
            return FAULT(VERDICT_USAGE, leaf, "RFC 5280 §4.2.1.12", "the extended key usage of %s is not for %s", who,
                         purpose_name(*purpose));
    if (request->host && !leaf_is_host(leaf, request->host))
        return FAULT(VERDICT_NAME, leaf, "RFC 9525 §6",
                     "%s is not for the name %.253s: its subject alternative names are %s", who, request->host,
                     names_of(leaf, names));
    if (request->uri && !has_alternative_name(leaf, NAME_URI, bytes_view_string(request->uri), uri_is_same))
        return FAULT(VERDICT_NAME, leaf, "RFC 9525 §6",
                     "%s is not for the URI %.253s: its subject alternative names are %s", who, request->uri,
                     names_of(leaf, names));
    return true;
}
