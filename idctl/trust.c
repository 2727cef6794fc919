/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GnuTLS reads the message and checks its signatures: see trust.h. */
#include "idctl/trust.h"

#include "config/values.h"
#include "idctl/certificates.h"

#include <gnutls/pkcs7.h>
#include <string.h>

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

static int certificates_inside(gnutls_pkcs7_t pkcs7, CertificateList *ret) {
    int count = gnutls_pkcs7_get_crt_count(pkcs7);

    if (count > (int) BUNDLE_MAX)
        return -E2BIG;
    for (int i = 0; i < count; i++) {
        gnutls_datum_t der;
        Certificate *certificate;
        if (gnutls_pkcs7_get_crt_raw2(pkcs7, (unsigned) i, &der) < 0)
            return -EBADMSG;
        int r = certificate_from_der((BytesView) { der.data, der.size }, &certificate, NULL);
        gnutls_free(der.data);
        if (r >= 0)
            r = certificate_list_add(ret, certificate);
        if (r < 0 && r != -EBADMSG)
            return r;
    }
    return count < 0 ? -EBADMSG : 0;
}

/* Whether the signature names this certificate, by issuer and serial number or by its key identifier (RFC 5652 §5.3).
 */
static bool is_named(const gnutls_pkcs7_signature_info_st *info, const Certificate *certificate) {
    BytesView issuer = { info->issuer_dn.data, info->issuer_dn.size },
              serial = { info->signer_serial.data, info->signer_serial.size },
              key = { info->issuer_keyid.data, info->issuer_keyid.size };

    if (issuer.size == 0)
        return key.size > 0 && bytes_view_equal(key, certificate->key_identifier);
    return bytes_view_equal(serial, certificate->serial_bytes) &&
           bytes_view_equal(issuer, bytes_view(&certificate->issuer_raw));
}

typedef struct SignedFile {
    gnutls_pkcs7_t pkcs7;
    gnutls_datum_t content;
    CertificateList certificates; /* all that are inside, in any order */
} SignedFile;

static void signed_file_clear(SignedFile *file) {
    pkcs7_deinit(&file->pkcs7);
    certificate_list_clear(&file->certificates);
}

static void refuse(Verdict *verdict, const char *text) {
    *verdict = (Verdict) { .kind = VERDICT_NO_PATH, .rule = "RFC 5652 §5.6" };
    (void) failure_set(&verdict->failure, -EKEYREJECTED, FAILURE_CERTIFICATE_REJECTED, "%s", text);
}

/* One signature: the certificate that it names must have made it, and must itself end in an anchor. Whoever signs puts
 * the certificates in, so there may be several of the same issuer and number, and not all need be the CA's.
 * `ret_signer` is the subject of the one for which both is true. */
static int verify_signature(const VerifyRequest *how, const SignedFile *file, unsigned number, Verdict *ret,
                            char **ret_signer) {
    gnutls_pkcs7_signature_info_st info;
    VerifyRequest request = *how;
    bool found = false, good = false;

    if (gnutls_pkcs7_get_signature_info(file->pkcs7, number, &info) < 0)
        return -EBADMSG;
    request.candidates = &file->certificates;
    refuse(ret, "its signer's certificate is not in it");
    for (size_t i = 0; i < file->certificates.count && !good; i++) {
        request.leaf = file->certificates.list[i];
        if (!is_named(&info, request.leaf))
            continue;
        if (gnutls_pkcs7_verify_direct(file->pkcs7, request.leaf->crt, number, &file->content, 0) < 0) {
            /* GnuTLS takes the hash of every RSA-PSS in CMS for SHA-256. */
            if (!found)
                refuse(ret, info.algo == GNUTLS_SIGN_RSA_PSS_SHA256
                                ? "the signature is not one of this file, or it is RSA-PSS with another hash than "
                                  "SHA-256, which cannot be verified here: see \"openssl cms -verify\""
                                : "the signature is not one of this file");
            continue;
        }
        found = true;
        good = verify(&request, NULL, NULL, ret) >= 0;
        ret->at_fault = NULL; /* it goes with the message */
        if (good)
            *ret_signer = strdup(request.leaf->subject);
    }
    gnutls_pkcs7_signature_info_deinit(&info);
    return good && !*ret_signer ? -ENOMEM : 0;
}

int trust_verify_cms(const VerifyRequest *how, BytesView cms, BytesView content, Verdict *ret, char ***ret_signers) {
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
        r = verify_signature(how, &file, (unsigned) i, ret, &signers[i]);
        if (r < 0)
            return r;
        if (ret->kind != VERDICT_GOOD)
            return 0;
    }
    (void) failure_set(&ret->failure, -EKEYREJECTED, FAILURE_NONE, "%s",
                       count == 1 ? "the signature is good, and its signer's chain ends in an anchor"
                                  : "all signatures are good, and their signers' chains end in anchors");
    *ret_signers = TAKE_PTR(signers);
    return 0;
}
