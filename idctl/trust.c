/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GnuTLS's trust lists: see trust.h. */
#include "idctl/trust.h"

#include <gnutls/pkcs7.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct Trust {
    gnutls_x509_trust_list_t list;
};

void verdict_clear(Verdict *verdict) {
    free(verdict->reason);
    *verdict = (Verdict) { 0 };
}

void verdict_set(Verdict *verdict, bool good, const char *format, ...) {
    va_list arguments;
    char *reason = NULL;

    va_start(arguments, format);
    if (vasprintf(&reason, format, arguments) < 0)
        reason = NULL;
    va_end(arguments);
    free(verdict->reason);
    *verdict = (Verdict) { good && reason, reason };
}

Trust *trust_free(Trust *trust) {
    if (trust && trust->list)
        gnutls_x509_trust_list_deinit(trust->list, 1);
    free(trust);
    return NULL;
}

int trust_new(const Certificates *anchors, Trust **ret) {
    _cleanup_trust_ Trust *trust = calloc(1, sizeof *trust);

    if (anchors->count == 0)
        return -EINVAL;
    if (!trust || gnutls_x509_trust_list_init(&trust->list, 0) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < anchors->count; i++) {
        _cleanup_bytes_ Bytes der = BYTES_NULL;
        if (certificate_to_der(anchors->list[i], &der) < 0)
            return -ENOMEM;
        /* add_trust_mem parses a copy, so that list and caller free each their own. */
        gnutls_datum_t datum = { der.data, (unsigned) der.size };
        if (gnutls_x509_trust_list_add_trust_mem(trust->list, &datum, NULL, GNUTLS_X509_FMT_DER, 0, 0) < 0)
            return -ENOMEM;
    }
    *ret = TAKE_PTR(trust);
    return 0;
}

int trust_add_crls(Trust *trust, BytesView pem) {
    gnutls_datum_t datum = { (unsigned char *) pem.data, (unsigned) pem.size };
    gnutls_x509_crl_t *list;
    unsigned count;

    if (pem.size == 0)
        return 0;
    int r = gnutls_x509_crl_list_import2(&list, &count, &datum, GNUTLS_X509_FMT_PEM, 0);
    if (r < 0)
        return r == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : -EBADMSG;
    /* The trust list takes those that it accepts, and with VERIFY_CRL frees the others. */
    r = gnutls_x509_trust_list_add_crls(trust->list, list, count, GNUTLS_TL_VERIFY_CRL, 0);
    gnutls_free(list);
    return r < 0 ? -ENOMEM : 0;
}

/* GnuTLS's words for a status, without the space at their end. */
static void verdict_from_status(Verdict *verdict, unsigned status) {
    gnutls_datum_t text;

    if (gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0) < 0) {
        verdict_set(verdict, false, "not trusted (status 0x%x)", status);
        return;
    }
    size_t length = strlen((const char *) text.data);
    while (length > 0 && text.data[length - 1] == ' ')
        text.data[--length] = '\0';
    verdict_set(verdict, status == 0, "%s", (const char *) text.data);
    gnutls_free(text.data);
}

void trust_verify(const Trust *trust, const Certificates *chain, const char *name, const char *usage, Verdict *ret) {
    gnutls_typed_vdata_st data[2];
    unsigned count = 0, status = 0;

    if (chain->count == 0) {
        verdict_set(ret, false, "there is no certificate");
        return;
    }
    if (usage)
        data[count++] = (gnutls_typed_vdata_st) { .type = GNUTLS_DT_KEY_PURPOSE_OID, .data = (unsigned char *) usage };
    if (name)
        data[count++] = (gnutls_typed_vdata_st) { .type = GNUTLS_DT_DNS_HOSTNAME, .data = (unsigned char *) name };
    int r = gnutls_x509_trust_list_verify_crt2(trust->list, chain->list, (unsigned) chain->count, data, count, 0, &status,
                                               NULL);
    if (r < 0)
        verdict_set(ret, false, "%s", gnutls_strerror(r));
    else
        verdict_from_status(ret, status);
}

static void pkcs7_deinit(gnutls_pkcs7_t *pkcs7) {
    if (*pkcs7)
        gnutls_pkcs7_deinit(*pkcs7);
}

static int pkcs7_import(BytesView cms, gnutls_pkcs7_t *ret) {
    _cleanup_(pkcs7_deinit) gnutls_pkcs7_t pkcs7 = NULL;
    gnutls_datum_t datum = { (unsigned char *) cms.data, (unsigned) cms.size }, decoded = { 0 };
    int r;

    if (cms.size == 0 || cms.size > CERTIFICATES_FILE_MAX)
        return -EBADMSG;
    if (gnutls_pkcs7_init(&pkcs7) < 0)
        return -ENOMEM;
    if (cms.data[0] == 0x30)
        r = gnutls_pkcs7_import(pkcs7, &datum, GNUTLS_X509_FMT_DER);
    else {
        /* "PKCS7" is what GnuTLS looks for; OpenSSL's cms writes "CMS". */
        r = gnutls_pkcs7_import(pkcs7, &datum, GNUTLS_X509_FMT_PEM);
        if (r < 0 && (r = gnutls_pem_base64_decode2("CMS", &datum, &decoded)) >= 0)
            r = gnutls_pkcs7_import(pkcs7, &decoded, GNUTLS_X509_FMT_DER);
        gnutls_free(decoded.data);
    }
    if (r < 0)
        return r == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : -EBADMSG;
    *ret = TAKE_PTR(pkcs7);
    return 0;
}

bool trust_is_cms(BytesView data) {
    _cleanup_(pkcs7_deinit) gnutls_pkcs7_t pkcs7 = NULL;

    return pkcs7_import(data, &pkcs7) == 0;
}

/* The subject of the certificate inside that made signature 0. */
static char *signer_subject(gnutls_pkcs7_t pkcs7) {
    gnutls_pkcs7_signature_info_st info;
    char *subject = NULL;

    if (gnutls_pkcs7_get_signature_info(pkcs7, 0, &info) < 0)
        return NULL;
    int count = gnutls_pkcs7_get_crt_count(pkcs7);
    for (int i = 0; i < count && !subject; i++) {
        _cleanup_certificates_ Certificates one = { 0 };
        gnutls_datum_t der;
        unsigned char serial[64];
        size_t size = sizeof serial;
        if (gnutls_pkcs7_get_crt_raw2(pkcs7, (unsigned) i, &der) < 0)
            continue;
        if (certificates_from_views(&der, 1, &one) == 0 && gnutls_x509_crt_get_serial(one.list[0], serial, &size) >= 0 &&
            size == info.signer_serial.size && memcmp(serial, info.signer_serial.data, size) == 0)
            subject = certificate_subject(one.list[0]);
        gnutls_free(der.data);
    }
    gnutls_pkcs7_signature_info_deinit(&info);
    return subject;
}

/* GnuTLS takes the hash of every RSA-PSS in CMS for SHA-256. */
static bool is_pss(gnutls_pkcs7_t pkcs7) {
    gnutls_pkcs7_signature_info_st info;

    if (gnutls_pkcs7_get_signature_info(pkcs7, 0, &info) < 0)
        return false;
    bool pss = info.algo == GNUTLS_SIGN_RSA_PSS_SHA256;
    gnutls_pkcs7_signature_info_deinit(&info);
    return pss;
}

int trust_verify_cms(const Trust *trust, BytesView cms, BytesView content, Verdict *ret, char **ret_signer) {
    _cleanup_(pkcs7_deinit) gnutls_pkcs7_t pkcs7 = NULL;
    gnutls_datum_t data = { (unsigned char *) content.data, (unsigned) content.size };

    if (content.size > UINT32_MAX)
        return -EFBIG;
    int r = pkcs7_import(cms, &pkcs7);
    if (r < 0)
        return r;
    int count = gnutls_pkcs7_get_signature_count(pkcs7);
    if (count <= 0)
        return -EBADMSG;
    /* Several signers: all of them, since a reader would take the file for signed by each. */
    for (int i = 0; i < count; i++) {
        r = gnutls_pkcs7_verify(pkcs7, trust->list, NULL, 0, (unsigned) i, &data, 0);
        if (r < 0)
            break;
    }
    if (r == GNUTLS_E_PK_SIG_VERIFY_FAILED && is_pss(pkcs7))
        verdict_set(ret, false, "the signature is not one of this file, or it is RSA-PSS with another hash than SHA-256, which "
                                "cannot be verified here: see \"openssl cms -verify\"");
    else if (r == GNUTLS_E_PK_SIG_VERIFY_FAILED)
        verdict_set(ret, false, "the signature is not one of this file");
    else if (r < 0)
        verdict_set(ret, false, "the signer's chain does not verify, or the signature is not one of this file: %s",
                    gnutls_strerror(r));
    else
        verdict_set(ret, true, "the signature is good, and its signer's chain ends in an anchor");
    if (ret_signer)
        *ret_signer = signer_subject(pkcs7);
    return 0;
}
