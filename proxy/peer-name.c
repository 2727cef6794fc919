/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See peer-name.h. Lengths are compared too: a NUL inside a name must not end it early. */
#include "proxy/peer-name.h"

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

bool proxy_name_is_allowed(gnutls_x509_crt_t certificate, const ProxyName *allowed, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (allowed[i].kind == PROXY_NAME_CN ? has_common_name(certificate, &allowed[i])
                                             : has_alternative_name(certificate, &allowed[i]))
            return true;
    return count == 0;
}
