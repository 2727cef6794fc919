/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Throw-away certificates. */
#include "fakes/fake-pki.h"

#undef NDEBUG
#include <assert.h>
#include <gnutls/crypto.h>
#include <gnutls/pkcs7.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void check(int code, const char *what) {
    if (code < 0) {
        fprintf(stderr, "fake-pki: %s: %s\n", what, gnutls_strerror(code));
        abort();
    }
}

static char *take_datum(gnutls_datum_t datum) {
    char *text = strndup((const char *) datum.data, datum.size);

    assert(text);
    gnutls_free(datum.data);
    return text;
}

gnutls_privkey_t fake_key_new(FakeKeyType type) {
    gnutls_privkey_t key;

    check(gnutls_privkey_init(&key), "key");
    switch (type) {
    case FAKE_KEY_P256:
        check(gnutls_privkey_generate(key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
              "key");
        break;
    case FAKE_KEY_P384:
        check(gnutls_privkey_generate(key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP384R1), 0),
              "key");
        break;
    case FAKE_KEY_RSA:
        check(gnutls_privkey_generate(key, GNUTLS_PK_RSA, 2048, 0), "key");
        break;
    }
    return key;
}

char *fake_key_pem(gnutls_privkey_t key) {
    gnutls_x509_privkey_t exported;
    gnutls_datum_t pem;

    check(gnutls_privkey_export_x509(key, &exported), "export");
    check(gnutls_x509_privkey_export2_pkcs8(exported, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN, &pem), "export");
    gnutls_x509_privkey_deinit(exported);
    return take_datum(pem);
}

gnutls_datum_t fake_key_spki(gnutls_privkey_t key) {
    gnutls_datum_t spki = { NULL, 0 };
    gnutls_pubkey_t pubkey;

    check(gnutls_pubkey_init(&pubkey), "public key");
    check(gnutls_pubkey_import_privkey(pubkey, key, 0, 0), "public key");
    check(gnutls_pubkey_export2(pubkey, GNUTLS_X509_FMT_DER, &spki), "export");
    gnutls_pubkey_deinit(pubkey);
    return spki;
}

static void set_key(gnutls_x509_crt_t certificate, gnutls_privkey_t key) {
    gnutls_pubkey_t pubkey;

    check(gnutls_pubkey_init(&pubkey), "public key");
    check(gnutls_pubkey_import_privkey(pubkey, key, 0, 0), "public key");
    check(gnutls_x509_crt_set_pubkey(certificate, pubkey), "public key");
    gnutls_pubkey_deinit(pubkey);
}

static void set_name(gnutls_x509_crt_t certificate, const char *common_name, unsigned serial) {
    const unsigned char bytes[4] = { (unsigned char) (serial >> 24 & 0x7f), (unsigned char) (serial >> 16),
                                     (unsigned char) (serial >> 8), (unsigned char) serial };

    check(gnutls_x509_crt_set_version(certificate, 3), "version");
    check(gnutls_x509_crt_set_serial(certificate, bytes, sizeof(bytes)), "serial");
    check(gnutls_x509_crt_set_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0, common_name,
                                        (unsigned) strlen(common_name)),
          "name");
}

static char *export_certificate(gnutls_x509_crt_t certificate) {
    gnutls_datum_t pem;

    check(gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_PEM, &pem), "export");
    return take_datum(pem);
}

/* A CA certificate, dated; to be signed. */
static gnutls_x509_crt_t ca_certificate(const char *common_name, gnutls_privkey_t key, long starts, long ends) {
    gnutls_x509_crt_t certificate;
    unsigned char id[20];
    size_t id_size = sizeof(id);
    time_t now = time(NULL);

    check(gnutls_x509_crt_init(&certificate), "certificate");
    set_name(certificate, common_name, 1);
    set_key(certificate, key);
    check(gnutls_x509_crt_set_activation_time(certificate, now + starts), "dates");
    check(gnutls_x509_crt_set_expiration_time(certificate, now + ends), "dates");
    check(gnutls_x509_crt_set_basic_constraints(certificate, 1, -1), "constraints");
    check(gnutls_x509_crt_set_key_usage(certificate, GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN), "usage");
    check(gnutls_x509_crt_get_key_id(certificate, 0, id, &id_size), "key id");
    check(gnutls_x509_crt_set_subject_key_id(certificate, id, id_size), "key id");
    return certificate;
}

/* Where one asks whether it is revoked; either may be NULL. */
static void set_urls(gnutls_x509_crt_t certificate, const char *crl, const char *ocsp) {
    if (crl)
        check(gnutls_x509_crt_set_crl_dist_points(certificate, GNUTLS_SAN_URI, crl, 0), "distribution point");
    if (ocsp) {
        gnutls_datum_t url = { (unsigned char *) (uintptr_t) ocsp, (unsigned) strlen(ocsp) };
        check(gnutls_x509_crt_set_authority_info_access(certificate, GNUTLS_IA_OCSP_URI, &url), "responder");
    }
}

static FakeCa *sign_ca(FakeCa *ca, const FakeCa *issuer) {
    check(gnutls_x509_crt_privkey_sign(ca->certificate, issuer ? issuer->certificate : ca->certificate,
                                       issuer ? issuer->key : ca->key, GNUTLS_DIG_SHA256, 0),
          "sign");
    ca->pem = export_certificate(ca->certificate);
    return ca;
}

static FakeCa *unsigned_ca(const char *common_name, long starts, long ends) {
    FakeCa *ca = calloc(1, sizeof(*ca));

    assert(ca);
    ca->key = fake_key_new(FAKE_KEY_P256);
    ca->certificate = ca_certificate(common_name, ca->key, starts, ends);
    return ca;
}

FakeCa *fake_ca_new_dated(const char *common_name, const FakeCa *issuer, long starts, long ends) {
    return sign_ca(unsigned_ca(common_name, starts, ends), issuer);
}

FakeCa *fake_ca_new_with_urls(const char *common_name, const FakeCa *issuer, const char *crl, const char *ocsp) {
    FakeCa *ca = unsigned_ca(common_name, -7200, 86400);

    set_urls(ca->certificate, crl, ocsp);
    return sign_ca(ca, issuer);
}

FakeCa *fake_ca_new_for(const char *common_name, const FakeCa *issuer, const char *purpose) {
    FakeCa *ca = unsigned_ca(common_name, -7200, 86400);

    check(gnutls_x509_crt_set_key_purpose_oid(ca->certificate, purpose, 0), "purpose");
    return sign_ca(ca, issuer);
}

FakeCa *fake_ca_new(const char *common_name, const FakeCa *issuer) {
    return fake_ca_new_dated(common_name, issuer, -7200, 86400);
}

char *fake_ca_cross(const FakeCa *ca, const FakeCa *issuer) {
    char name[128];
    size_t size = sizeof(name);

    check(gnutls_x509_crt_get_dn_by_oid(ca->certificate, GNUTLS_OID_X520_COMMON_NAME, 0, 0, name, &size), "name");
    gnutls_x509_crt_t certificate = ca_certificate(name, ca->key, -7200, 86400);
    check(gnutls_x509_crt_set_serial(certificate, "\x03", 1), "serial");
    check(gnutls_x509_crt_privkey_sign(certificate, issuer->certificate, issuer->key, GNUTLS_DIG_SHA256, 0), "sign");
    char *pem = export_certificate(certificate);
    gnutls_x509_crt_deinit(certificate);
    return pem;
}

FakeCa *fake_ca_free(FakeCa *ca) {
    if (ca) {
        gnutls_x509_crt_deinit(ca->certificate);
        gnutls_privkey_deinit(ca->key);
        free(ca->pem);
        free(ca);
    }
    return NULL;
}

char *fake_ca_issue(const FakeCa *ca, gnutls_privkey_t key, const FakeRequest *request) {
    bool dated = request->starts != 0 || request->ends != 0;
    gnutls_x509_crt_t certificate;
    time_t now = time(NULL);

    check(gnutls_x509_crt_init(&certificate), "certificate");
    set_name(certificate, request->common_name, request->serial ? request->serial : 2);
    set_key(certificate, key);
    check(gnutls_x509_crt_set_activation_time(certificate, now + (dated ? request->starts : -3600)), "dates");
    check(gnutls_x509_crt_set_expiration_time(certificate, now + (dated ? request->ends : 3600)), "dates");
    check(gnutls_x509_crt_set_basic_constraints(certificate, 0, -1), "constraints");
    check(gnutls_x509_crt_set_key_usage(certificate, GNUTLS_KEY_DIGITAL_SIGNATURE), "usage");
    if (request->dns)
        check(gnutls_x509_crt_set_subject_alt_name(certificate, GNUTLS_SAN_DNSNAME, request->dns,
                                                   (unsigned) strlen(request->dns), GNUTLS_FSAN_APPEND),
              "SAN");
    if (request->uri)
        check(gnutls_x509_crt_set_subject_alt_name(certificate, GNUTLS_SAN_URI, request->uri,
                                                   (unsigned) strlen(request->uri), GNUTLS_FSAN_APPEND),
              "SAN");
    if (request->server)
        check(gnutls_x509_crt_set_key_purpose_oid(certificate, GNUTLS_KP_TLS_WWW_SERVER, 0), "purpose");
    if (request->client)
        check(gnutls_x509_crt_set_key_purpose_oid(certificate, GNUTLS_KP_TLS_WWW_CLIENT, 0), "purpose");
    check(gnutls_x509_crt_privkey_sign(certificate, ca->certificate, ca->key, GNUTLS_DIG_SHA256, 0), "sign");
    char *pem = export_certificate(certificate);
    gnutls_x509_crt_deinit(certificate);
    return pem;
}

/* ---- what was asked for ---- */

static void set_names(gnutls_x509_crt_t certificate, gnutls_x509_crq_t request, const FakeIssue *issue) {
    if (issue->dns)
        check(gnutls_x509_crt_set_subject_alt_name(certificate, GNUTLS_SAN_DNSNAME, issue->dns,
                                                   (unsigned) strlen(issue->dns), GNUTLS_FSAN_APPEND),
              "SAN");
    else if (!issue->reversed_names) /* there may be none */
        (void) gnutls_x509_crt_set_crq_extension_by_oid(certificate, request, GNUTLS_X509EXT_OID_SAN, 0);
    for (unsigned left = issue->reversed_names ? 8 : 0; left > 0; left--) {
        unsigned char name[256];
        size_t size = sizeof(name);
        unsigned type;
        int r = gnutls_x509_crq_get_subject_alt_name(request, left - 1, name, &size, &type, NULL);
        if (r >= 0)
            check(gnutls_x509_crt_set_subject_alt_name(certificate, type, name, (unsigned) size, GNUTLS_FSAN_APPEND),
                  "SAN");
    }
}

static void set_usages(gnutls_x509_crt_t certificate, gnutls_x509_crq_t request, const FakeIssue *issue) {
    check(gnutls_x509_crt_set_basic_constraints(certificate, 0, -1), "constraints");
    check(gnutls_x509_crt_set_key_usage(certificate, GNUTLS_KEY_DIGITAL_SIGNATURE), "usage");
    if (issue->server)
        check(gnutls_x509_crt_set_key_purpose_oid(certificate, GNUTLS_KP_TLS_WWW_SERVER, 0), "purpose");
    if (issue->client)
        check(gnutls_x509_crt_set_key_purpose_oid(certificate, GNUTLS_KP_TLS_WWW_CLIENT, 0), "purpose");
    if (!issue->server && !issue->client && !issue->no_usage) /* there may be none */
        (void) gnutls_x509_crt_set_crq_extension_by_oid(certificate, request, GNUTLS_X509EXT_OID_EXTENDED_KEY_USAGE, 0);
}

char *fake_ca_certify(const FakeCa *ca, gnutls_datum_t der, const FakeIssue *issue) {
    static unsigned last_serial = 100;
    gnutls_x509_crq_t request;
    gnutls_x509_crt_t certificate;
    bool dated = issue->starts != 0 || issue->ends != 0;
    time_t now = time(NULL);

    check(gnutls_x509_crq_init(&request), "request");
    check(gnutls_x509_crq_import(request, &der, GNUTLS_X509_FMT_DER), "request");
    check(gnutls_x509_crt_init(&certificate), "certificate");
    check(gnutls_x509_crt_set_crq(certificate, request), "request");
    if (issue->common_name) /* beside what is in it: another subject in any case */
        check(gnutls_x509_crt_set_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0, issue->common_name,
                                            (unsigned) strlen(issue->common_name)),
              "name");
    unsigned serial = issue->serial ? issue->serial : ++last_serial;
    const unsigned char bytes[2] = { (unsigned char) (serial >> 8 & 0x7f), (unsigned char) serial };
    check(gnutls_x509_crt_set_version(certificate, 3), "version");
    check(gnutls_x509_crt_set_serial(certificate, bytes, sizeof(bytes)), "serial");
    if (issue->other_key) {
        gnutls_privkey_t key = fake_key_new(FAKE_KEY_P256);
        set_key(certificate, key);
        gnutls_privkey_deinit(key);
    }
    check(gnutls_x509_crt_set_activation_time(certificate, now + (dated ? issue->starts : -3600)), "dates");
    check(gnutls_x509_crt_set_expiration_time(certificate, now + (dated ? issue->ends : 3600)), "dates");
    set_names(certificate, request, issue);
    set_usages(certificate, request, issue);
    for (size_t i = 0; i < ARRAY_LENGTH(issue->crl); i++)
        set_urls(certificate, issue->crl[i], i == 0 ? issue->ocsp : NULL);
    check(gnutls_x509_crt_privkey_sign(certificate, ca->certificate, ca->key, GNUTLS_DIG_SHA256, 0), "sign");
    char *pem = export_certificate(certificate);
    gnutls_x509_crt_deinit(certificate);
    gnutls_x509_crq_deinit(request);
    return pem;
}

gnutls_datum_t fake_pkcs7(const char *pem) {
    gnutls_datum_t text = { (unsigned char *) (uintptr_t) pem, (unsigned) strlen(pem) }, der;
    gnutls_x509_crt_t *list;
    gnutls_pkcs7_t pkcs7;
    unsigned count;

    check(gnutls_x509_crt_list_import2(&list, &count, &text, GNUTLS_X509_FMT_PEM, 0), "PEM");
    check(gnutls_pkcs7_init(&pkcs7), "PKCS#7");
    for (unsigned i = 0; i < count; i++) {
        check(gnutls_pkcs7_set_crt(pkcs7, list[i]), "PKCS#7");
        gnutls_x509_crt_deinit(list[i]);
    }
    gnutls_free(list);
    check(gnutls_pkcs7_export2(pkcs7, GNUTLS_X509_FMT_DER, &der), "PKCS#7");
    gnutls_pkcs7_deinit(pkcs7);
    return der;
}

char *fake_ca_crl(const FakeCa *ca, const unsigned *serials, long ends) {
    time_t now = time(NULL);
    gnutls_x509_crl_t crl;
    gnutls_datum_t pem;

    check(gnutls_x509_crl_init(&crl), "CRL");
    check(gnutls_x509_crl_set_version(crl, 2), "CRL");
    check(gnutls_x509_crl_set_this_update(crl, now - 7000), "CRL");
    check(gnutls_x509_crl_set_next_update(crl, now + ends), "CRL");
    check(gnutls_x509_crl_set_number(crl, "\x01", 1), "CRL");
    for (; serials && *serials; serials++) {
        const unsigned char bytes[4] = { (unsigned char) (*serials >> 24 & 0x7f), (unsigned char) (*serials >> 16),
                                         (unsigned char) (*serials >> 8), (unsigned char) *serials };
        check(gnutls_x509_crl_set_crt_serial(crl, bytes, sizeof(bytes), now - 7000), "CRL");
    }
    check(gnutls_x509_crl_privkey_sign(crl, ca->certificate, ca->key, GNUTLS_DIG_SHA256, 0), "CRL");
    check(gnutls_x509_crl_export2(crl, GNUTLS_X509_FMT_PEM, &pem), "CRL");
    gnutls_x509_crl_deinit(crl);
    return take_datum(pem);
}

char *fake_concat(const char *a, const char *b) {
    char *both = NULL;

    if (asprintf(&both, "%s%s", a, b) < 0)
        abort();
    return both;
}

gnutls_datum_t fake_pem_to_der(const char *pem) {
    gnutls_datum_t in = { (unsigned char *) (uintptr_t) pem, (unsigned) strlen(pem) }, der;

    check(gnutls_pem_base64_decode2("CERTIFICATE", &in, &der), "PEM");
    return der;
}
