/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GnuTLS's trust lists: see trust.h. */
#include "idctl/trust.h"

#include "config/values.h"

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
    int r = gnutls_x509_trust_list_verify_crt2(trust->list, chain->list, (unsigned) chain->count, data, count, 0,
                                               &status, NULL);
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

/* ---- signers ---- */

static int certificates_inside(gnutls_pkcs7_t pkcs7, Certificates *ret) {
    int count = gnutls_pkcs7_get_crt_count(pkcs7), r = 0;
    gnutls_datum_t *list =
        count > 0 && (unsigned) count <= CERTIFICATES_MAX ? calloc((size_t) count, sizeof *list) : NULL;

    if (count <= 0)
        return count < 0 ? -EBADMSG : 0;
    if (!list)
        return (unsigned) count > CERTIFICATES_MAX ? -E2BIG : -ENOMEM;
    for (int i = 0; i < count && r == 0; i++)
        r = gnutls_pkcs7_get_crt_raw2(pkcs7, (unsigned) i, &list[i]) < 0 ? -EBADMSG : 0;
    if (r == 0)
        r = certificates_from_views(list, (size_t) count, ret);
    for (int i = 0; i < count; i++)
        gnutls_free(list[i].data);
    free(list);
    return r;
}

/* Whether the signature names this certificate, by issuer and serial number or by its key identifier (RFC 5652 §5.3).
 */
static bool is_named(const gnutls_pkcs7_signature_info_st *info, gnutls_x509_crt_t certificate) {
    unsigned char id[256];
    size_t size = sizeof id;
    gnutls_datum_t issuer;

    if (info->issuer_dn.size == 0)
        return gnutls_x509_crt_get_subject_key_id(certificate, id, &size, NULL) >= 0 &&
               size == info->issuer_keyid.size && memcmp(id, info->issuer_keyid.data, size) == 0;
    if (gnutls_x509_crt_get_serial(certificate, id, &size) < 0 || size != info->signer_serial.size ||
        memcmp(id, info->signer_serial.data, size) != 0 || gnutls_x509_crt_get_raw_issuer_dn(certificate, &issuer) < 0)
        return false;
    bool same = issuer.size == info->issuer_dn.size && memcmp(issuer.data, info->issuer_dn.data, issuer.size) == 0;
    gnutls_free(issuer.data);
    return same;
}

/* The chain that begins with one of the certificates. `list` has room for all. */
static Certificates begin_with(const Certificates *all, size_t first, gnutls_x509_crt_t *list) {
    Certificates chain = { list, 0 };

    list[chain.count++] = all->list[first];
    for (size_t i = 0; i < all->count; i++)
        if (i != first)
            list[chain.count++] = all->list[i];
    return chain;
}

typedef struct SignedFile {
    gnutls_pkcs7_t pkcs7;
    gnutls_datum_t content;
    Certificates certificates; /* all that are inside, in any order */
} SignedFile;

static void signed_file_clear(SignedFile *file) {
    pkcs7_deinit(&file->pkcs7);
    certificates_clear(&file->certificates);
}

/* One signature: the certificate that it names must have made it, and must itself end in an anchor. Whoever signs puts
 * the certificates in, so there may be several of the same issuer and number, and not all need be the CA's.
 * `ret_signer` is the subject of the one for which both is true. */
static int verify_signature(const Trust *trust, const SignedFile *file, unsigned number, Verdict *ret,
                            char **ret_signer) {
    gnutls_pkcs7_signature_info_st info;
    gnutls_x509_crt_t *list = calloc(file->certificates.count + 1, sizeof(gnutls_x509_crt_t));
    bool found = false;

    if (!list || gnutls_pkcs7_get_signature_info(file->pkcs7, number, &info) < 0) {
        int r = list ? -EBADMSG : -ENOMEM;
        free(list);
        return r;
    }
    verdict_set(ret, false, "its signer's certificate is not in it");
    for (size_t i = 0; i < file->certificates.count && !ret->good; i++) {
        if (!is_named(&info, file->certificates.list[i]))
            continue;
        if (gnutls_pkcs7_verify_direct(file->pkcs7, file->certificates.list[i], number, &file->content, 0) < 0) {
            /* GnuTLS takes the hash of every RSA-PSS in CMS for SHA-256. */
            if (!found)
                verdict_set(
                    ret, false,
                    info.algo == GNUTLS_SIGN_RSA_PSS_SHA256
                        ? "the signature is not one of this file, or it is RSA-PSS with another hash than SHA-256, "
                          "which cannot be verified here: see \"openssl cms -verify\""
                        : "the signature is not one of this file");
            continue;
        }
        found = true;
        Certificates chain = begin_with(&file->certificates, i, list);
        trust_verify(trust, &chain, NULL, NULL, ret);
        if (ret->good)
            *ret_signer = certificate_subject(file->certificates.list[i]);
    }
    gnutls_pkcs7_signature_info_deinit(&info);
    free(list);
    return ret->good && !*ret_signer ? -ENOMEM : 0;
}

int trust_verify_cms(const Trust *trust, BytesView cms, BytesView content, Verdict *ret, char ***ret_signers) {
    _cleanup_(signed_file_clear)
        SignedFile file = { .content = { (unsigned char *) content.data, (unsigned) content.size } };
    _cleanup_strings_ char **signers = NULL;

    if (content.size > UINT32_MAX)
        return -EFBIG;
    int r = pkcs7_import(cms, &file.pkcs7);
    if (r == 0)
        r = certificates_inside(file.pkcs7, &file.certificates);
    if (r < 0)
        return r;
    int count = gnutls_pkcs7_get_signature_count(file.pkcs7);
    if (count <= 0)
        return -EBADMSG;
    signers = calloc((size_t) count + 1, sizeof *signers);
    if (!signers)
        return -ENOMEM;
    /* Several signers: all of them, since a reader would take the file for signed by each. */
    for (int i = 0; i < count; i++) {
        r = verify_signature(trust, &file, (unsigned) i, ret, &signers[i]);
        if (r < 0)
            return r;
        if (!ret->good)
            return 0;
    }
    verdict_set(ret, true,
                count == 1 ? "the signature is good, and its signer's chain ends in an anchor"
                           : "all signatures are good, and their signers' chains end in anchors");
    *ret_signers = TAKE_PTR(signers);
    return 0;
}
