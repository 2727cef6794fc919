/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Throw-away certificates. */
#include "fakes/fake-pki.h"

#undef NDEBUG
#include <assert.h>
#include <gnutls/crypto.h>
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

FakeCa *fake_ca_new(const char *common_name, const FakeCa *issuer) {
    FakeCa *ca = calloc(1, sizeof(*ca));
    unsigned char id[20];
    size_t id_size = sizeof(id);
    time_t now = time(NULL);

    assert(ca);
    ca->key = fake_key_new(FAKE_KEY_P256);
    check(gnutls_x509_crt_init(&ca->certificate), "certificate");
    set_name(ca->certificate, common_name, 1);
    set_key(ca->certificate, ca->key);
    check(gnutls_x509_crt_set_activation_time(ca->certificate, now - 7200), "dates");
    check(gnutls_x509_crt_set_expiration_time(ca->certificate, now + 86400), "dates");
    check(gnutls_x509_crt_set_basic_constraints(ca->certificate, 1, -1), "constraints");
    check(gnutls_x509_crt_set_key_usage(ca->certificate, GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN), "usage");
    check(gnutls_x509_crt_get_key_id(ca->certificate, 0, id, &id_size), "key id");
    check(gnutls_x509_crt_set_subject_key_id(ca->certificate, id, id_size), "key id");
    check(gnutls_x509_crt_privkey_sign(ca->certificate, issuer ? issuer->certificate : ca->certificate,
                                       issuer ? issuer->key : ca->key, GNUTLS_DIG_SHA256, 0),
          "sign");
    ca->pem = export_certificate(ca->certificate);
    return ca;
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
    if (request->server)
        check(gnutls_x509_crt_set_key_purpose_oid(certificate, GNUTLS_KP_TLS_WWW_SERVER, 0), "purpose");
    if (request->client)
        check(gnutls_x509_crt_set_key_purpose_oid(certificate, GNUTLS_KP_TLS_WWW_CLIENT, 0), "purpose");
    check(gnutls_x509_crt_privkey_sign(certificate, ca->certificate, ca->key, GNUTLS_DIG_SHA256, 0), "sign");
    char *pem = export_certificate(certificate);
    gnutls_x509_crt_deinit(certificate);
    return pem;
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
