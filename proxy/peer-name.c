/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See peer-name.h. Lengths are compared too: a NUL inside a name must not end it early. */
#include "proxy/peer-name.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define NAMES_MAX 256U /* of a certificate */

static bool is_name(const ProxyName *wanted, const char *data, size_t size) {
    if (size != strlen(wanted->name))
        return false;
    return wanted->kind == PROXY_NAME_DNS ? strncasecmp(wanted->name, data, size) == 0
                                          : memcmp(wanted->name, data, size) == 0;
}

static bool has_common_name(gnutls_x509_crt_t certificate, const ProxyName *wanted) {
    char name[256];
    size_t size = sizeof name;

    for (unsigned i = 0; i < NAMES_MAX; i++, size = sizeof name) {
        int r = gnutls_x509_crt_get_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, i, 0, name, &size);
        if (r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
            return false;
        if (r >= 0 && is_name(wanted, name, size))
            return true;
    }
    return false;
}

static bool has_alternative_name(gnutls_x509_crt_t certificate, const ProxyName *wanted) {
    const unsigned type = wanted->kind == PROXY_NAME_DNS ? GNUTLS_SAN_DNSNAME : GNUTLS_SAN_URI;
    char name[1024];
    size_t size = sizeof name;

    for (unsigned i = 0; i < NAMES_MAX; i++, size = sizeof name) {
        unsigned found = 0;
        int r = gnutls_x509_crt_get_subject_alt_name2(certificate, i, name, &size, &found, NULL);
        if (r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
            return false;
        if (r >= 0 && found == type && is_name(wanted, name, size))
            return true;
    }
    return false;
}

const ProxyName *proxy_name_find(gnutls_x509_crt_t certificate, const ProxyName *names, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (names[i].kind == PROXY_NAME_CN ? has_common_name(certificate, &names[i])
                                           : has_alternative_name(certificate, &names[i]))
            return &names[i];
    return NULL;
}

static bool is_text(const char *data, size_t size) {
    if (size == 0)
        return false;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char) data[i] < ' ' || data[i] == 127)
            return false;
    return true;
}

static void write_text(const char *kind, const char *data, size_t size, char ret[static PROXY_NAME_TEXT]) {
    if (is_text(data, size) && strlen(kind) + size < PROXY_NAME_TEXT)
        snprintf(ret, PROXY_NAME_TEXT, "%s%.*s", kind, (int) size, data);
}

static void write_first_alternative(gnutls_x509_crt_t certificate, char ret[static PROXY_NAME_TEXT]) {
    char name[PROXY_NAME_TEXT];
    size_t size = sizeof name;

    for (unsigned i = 0; i < NAMES_MAX && ret[0] == '\0'; i++, size = sizeof name) {
        unsigned type = 0;
        int r = gnutls_x509_crt_get_subject_alt_name2(certificate, i, name, &size, &type, NULL);
        if (r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
            return;
        if (r >= 0 && (type == GNUTLS_SAN_DNSNAME || type == GNUTLS_SAN_URI))
            write_text(type == GNUTLS_SAN_URI ? "URI:" : "DNS:", name, size, ret);
    }
}

void proxy_name_text(gnutls_x509_crt_t certificate, const ProxyName *found, char ret[static PROXY_NAME_TEXT]) {
    static const char *const kinds[] = {
        [PROXY_NAME_CN] = "CN:", [PROXY_NAME_DNS] = "DNS:", [PROXY_NAME_URI] = "URI:"
    };

    ret[0] = '\0';
    if (found)
        write_text(kinds[found->kind], found->name, strlen(found->name), ret);
    else
        write_first_alternative(certificate, ret);
}

void proxy_name_common(gnutls_x509_crt_t certificate, char ret[static PROXY_NAME_TEXT]) {
    char name[PROXY_NAME_TEXT];
    size_t size = sizeof name;

    ret[0] = '\0';
    if (gnutls_x509_crt_get_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0, 0, name, &size) >= 0)
        write_text("", name, size, ret);
}
