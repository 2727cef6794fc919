/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names that a certificate can carry: subject, alternative names, and the user of an HTTP authentication. Judged before
 * a key is made, so that a slip of the pen is found by `idctl check` and not by the CA. */
#include "config/identity-rules.h"

#include <gnutls/x509.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define HEX_32          "0123456789abcdef0123456789abcdef"
#define TEMPLATE_MAX    1024U
#define COMMON_NAME_MAX 64U /* ub-common-name, RFC 5280 appendix A.1 */
#define USER_MAX        255U

static const Specifiers samples = {
    .device_id = HEX_32 HEX_32,
    .host_name = "host",
    .machine_id = HEX_32,
    .serial = "0",
};

static int fault(char **ret_fault, const char *format, ...) _printf_(2, 3);
static int fault(char **ret_fault, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    int r = vasprintf(ret_fault, format, arguments);
    va_end(arguments);
    if (r < 0) {
        *ret_fault = NULL; /* undefined by vasprintf(3) */
        return -ENOMEM;
    }
    return 0;
}

/* The template with samples: 0 with either `ret` or `ret_fault` set. */
static int expand_sample(const char *template, bool escape_dn, char **ret, char **ret_fault) {
    const char *problem = NULL;

    if (strlen(template) > TEMPLATE_MAX)
        return fault(ret_fault, "longer than %u bytes", TEMPLATE_MAX);
    int r = specifiers_expand(template, &samples, escape_dn, ret, &problem);
    if (r == -ENOMEM)
        return r;
    return r < 0 ? fault(ret_fault, "%s", problem) : 0;
}

int subject_fault(const char *subject, char **ret_fault) {
    _cleanup_free_ char *sample = NULL;
    gnutls_x509_crq_t request;
    const char *where = NULL;
    char common_name[SPECIFIERS_EXPANDED_MAX + 1];
    size_t size = sizeof(common_name);

    int r = expand_sample(subject, true, &sample, ret_fault);
    if (r < 0 || *ret_fault)
        return r;
    if (gnutls_x509_crq_init(&request) < 0)
        return -ENOMEM;
    int code = gnutls_x509_crq_set_dn(request, sample, &where);
    if (code < 0)
        r = fault(ret_fault, "must be a distinguished name of RFC 4514, such as CN=%%d,O=Example%s%s%s",
                  where && where[0] ? "; it went wrong at \"" : "", where && where[0] ? where : "",
                  where && where[0] ? "\"" : "");
    else if (gnutls_x509_crq_get_dn_by_oid(request, GNUTLS_OID_X520_COMMON_NAME, 0, 0, common_name, &size) >= 0 &&
             size > COMMON_NAME_MAX)
        r = fault(ret_fault, "the common name would have %zu bytes; a certificate allows %u (%%d alone has 64, %%m 32)",
                  size, COMMON_NAME_MAX);
    gnutls_x509_crq_deinit(request);
    return r;
}

int user_fault(const char *user, char **ret_fault) {
    _cleanup_free_ char *sample = NULL;

    int r = expand_sample(user, false, &sample, ret_fault);
    if (r < 0 || *ret_fault)
        return r;
    /* RFC 7617 §2: the user ends at the first colon. */
    if (strchr(user, ':') || strlen(sample) > USER_MAX)
        return fault(ret_fault, "must be a user of at most %u bytes without ':'", USER_MAX);
    return 0;
}

/* ---- SubjectAltName= ---- */

static int dns_fault(const char *value, char **ret_fault) {
    _cleanup_free_ char *sample = NULL;

    int r = expand_sample(value, false, &sample, ret_fault);
    if (r < 0 || *ret_fault || value_is_dns_name(sample, strlen(sample)))
        return r;
    if (specifiers_uses(value, 'd'))
        return fault(ret_fault, "must be a DNS name with labels of at most 63 characters, but %%d alone has 64");
    return fault(ret_fault, "must be a DNS name: letters, digits, '-' and '.', labels of at most 63, no wildcard");
}

static int ip_fault(const char *value, char **ret_fault) {
    return value_is_ip_address(value) ? 0 : fault(ret_fault, "must be an IPv4 or IPv6 address in numbers");
}

/* RFC 3986 §3.1: a scheme, a colon, something; in the characters of a URI. */
static int uri_fault(const char *value, char **ret_fault) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char scheme_characters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-";
    static const char uri_characters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                         "-._~:/?#[]@!$&'()*+,;=%";
    _cleanup_free_ char *sample = NULL;

    int r = expand_sample(value, false, &sample, ret_fault);
    if (r < 0 || *ret_fault)
        return r;
    size_t scheme = strspn(value, scheme_characters);
    if (scheme == 0 || !strchr(letters, value[0]) || value[scheme] != ':' || value[scheme + 1] == '\0' ||
        strspn(sample, uri_characters) != strlen(sample))
        return fault(ret_fault, "must be a URI: a scheme, ':' and more, in the characters of RFC 3986");
    return 0;
}

/* A dotted object identifier: two arcs at least, the first 0 to 2, no zeros in front, 32 bits each. */
static bool is_oid(const char *text, size_t length) {
    size_t arcs = 0;

    for (size_t i = 0; i <= length; i++) {
        size_t digits = strspn(text + i, "0123456789");
        if (digits == 0 || digits > 9 || (digits > 1 && text[i] == '0'))
            return false;
        if (arcs == 0 && (digits != 1 || text[i] > '2'))
            return false;
        if (arcs == 1 && text[0] < '2' && (digits > 2 || strtoul(text + i, NULL, 10) > 39))
            return false;
        arcs++;
        i += digits;
        if (i < length && text[i] != '.')
            return false;
    }
    return arcs >= 2;
}

static int hardware_module_fault(const char *value, char **ret_fault) {
    _cleanup_free_ char *sample = NULL;
    size_t oid = strcspn(value, "/");

    if (value[oid] != '/' || value[oid + 1] == '\0' || !is_oid(value, oid))
        return fault(ret_fault, "must be OID/SERIAL, such as hardware-module:1.3.6.1.4.1.99999.1/%%s (RFC 4108)");
    return expand_sample(value + oid + 1, false, &sample, ret_fault);
}

int san_parse(const char *word, SanTemplate *ret, char **ret_fault) {
    static const struct {
        const char *prefix;
        SanKind kind;
        int (*fault)(const char *value, char **ret_fault);
    } kinds[] = {
        { "dns:", SAN_DNS, dns_fault },
        { "ip:", SAN_IP, ip_fault },
        { "uri:", SAN_URI, uri_fault },
        { "hardware-module:", SAN_HARDWARE_MODULE, hardware_module_fault },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
        size_t length = strlen(kinds[i].prefix);
        if (strncmp(word, kinds[i].prefix, length) != 0)
            continue;
        int r = kinds[i].fault(word + length, ret_fault);
        if (r < 0 || *ret_fault)
            return r;
        char *value = strdup(word + length);
        if (!value)
            return -ENOMEM;
        *ret = (SanTemplate) { kinds[i].kind, value };
        return 0;
    }
    return fault(ret_fault, "must be dns:NAME, ip:ADDRESS, uri:URI or hardware-module:OID/SERIAL");
}
