/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The URLs that a certificate names: where its CRLs are, and who answers for it by OCSP. A stranger wrote them, so what
 * is odd is left out. */
#include "pki/certificate.h"

#include "pki/asn1.h"
#include "pki/extensions.h"

#include <gnutls/x509-ext.h>
#include <string.h>
#include <strings.h>

char **certificate_urls_free(char **urls) {
    if (urls)
        for (char **url = urls; *url; url++)
            free(*url);
    free(urls);
    return NULL;
}

static bool url_is_usable(const gnutls_datum_t *url) {
    const char *text = (const char *) url->data;

    if (!text || url->size > CERTIFICATE_URL_LENGTH_MAX)
        return false;
    if (!(url->size > 7 && strncasecmp(text, "http://", 7) == 0) &&
        !(url->size > 8 && strncasecmp(text, "https://", 8) == 0))
        return false;
    for (unsigned i = 0; i < url->size; i++)
        if (url->data[i] <= 0x20 || url->data[i] >= 0x7f)
            return false;
    return true;
}

/* Adds a copy of a usable URL that is not there yet; `urls` has room for CERTIFICATE_URLS_MAX and a NULL. */
static int add_url(char **urls, const gnutls_datum_t *url) {
    size_t count = 0;

    if (!url_is_usable(url))
        return 0;
    for (; urls[count]; count++)
        if (strlen(urls[count]) == url->size && memcmp(urls[count], url->data, url->size) == 0)
            return 0;
    if (count >= CERTIFICATE_URLS_MAX)
        return 0;
    urls[count] = strndup((const char *) url->data, url->size);
    return urls[count] ? 0 : -ENOMEM;
}

typedef int (*AddNames)(gnutls_datum_t *extension, char **urls);

/* The usable URLs that an extension names; none where there is no such extension or it cannot be read. */
static int read_urls(const Certificate *certificate, const char *oid, AddNames add, char ***ret) {
    const CertificateExtension *extension = certificate_extension(certificate, oid);
    char **urls = calloc(CERTIFICATE_URLS_MAX + 1, sizeof(*urls));

    if (!urls)
        return -ENOMEM;
    if (extension) {
        gnutls_datum_t value = datum_from_view(extension->value);
        int r = add(&value, urls);
        if (r < 0) {
            certificate_urls_free(urls);
            return r;
        }
    }
    *ret = urls;
    return 0;
}

static void points_p(gnutls_x509_crl_dist_points_t *points) {
    if (*points)
        gnutls_x509_crl_dist_points_deinit(*points);
}

static int add_points(gnutls_datum_t *extension, char **urls) {
    _cleanup_(points_p) gnutls_x509_crl_dist_points_t points = NULL;

    if (gnutls_x509_crl_dist_points_init(&points) < 0)
        return -ENOMEM;
    if (gnutls_x509_ext_import_crl_dist_points(extension, points, 0) < 0)
        return 0;
    for (unsigned i = 0; i < CERTIFICATE_EXTENSIONS_MAX; i++) {
        gnutls_datum_t name; /* borrowed */
        unsigned type, reasons;
        if (gnutls_x509_crl_dist_points_get(points, i, &type, &name, &reasons) < 0)
            break;
        if (type == GNUTLS_SAN_URI && add_url(urls, &name) < 0)
            return -ENOMEM;
    }
    return 0;
}

int certificate_crl_urls(const Certificate *certificate, char ***ret) {
    return read_urls(certificate, GNUTLS_X509EXT_OID_CRL_DIST_POINTS, add_points, ret);
}

static void aia_p(gnutls_x509_aia_t *aia) {
    if (*aia)
        gnutls_x509_aia_deinit(*aia);
}

static int add_responders(gnutls_datum_t *extension, char **urls) {
    _cleanup_(aia_p) gnutls_x509_aia_t aia = NULL;

    if (gnutls_x509_aia_init(&aia) < 0)
        return -ENOMEM;
    if (gnutls_x509_ext_import_aia(extension, aia, 0) < 0)
        return 0;
    for (unsigned i = 0; i < CERTIFICATE_EXTENSIONS_MAX; i++) {
        gnutls_datum_t method, name; /* borrowed; the method has a NUL that counts */
        unsigned type;
        if (gnutls_x509_aia_get(aia, i, &method, &type, &name) < 0)
            break;
        if (type == GNUTLS_SAN_URI && method.size >= strlen(GNUTLS_OID_AD_OCSP) &&
            strncmp((const char *) method.data, GNUTLS_OID_AD_OCSP, method.size) == 0 && add_url(urls, &name) < 0)
            return -ENOMEM;
    }
    return 0;
}

int certificate_ocsp_urls(const Certificate *certificate, char ***ret) {
    return read_urls(certificate, GNUTLS_X509EXT_OID_AUTHORITY_INFO_ACCESS, add_responders, ret);
}
