/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Issuing keys and certificates: made, stored, loaded, cross-certified. */
#include "authority.h"

#include <gnutls/crypto.h>
#include <stdio.h>
#include <string.h>

#define DAY ((time_t) 24 * 60 * 60)

static const struct {
    const char *name;
    gnutls_pk_algorithm_t pk;
    unsigned bits;
} algorithms[] = {
    [CA_ECDSA_P256] = { "ecdsa-p256", GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1) },
    [CA_ECDSA_P384] = { "ecdsa-p384", GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP384R1) },
    [CA_RSA_2048] = { "rsa-2048", GNUTLS_PK_RSA, 2048 },
    [CA_RSA_3072] = { "rsa-3072", GNUTLS_PK_RSA, 3072 },
};

int ca_algorithm_from_string(const char *name, CaAlgorithm *ret) {
    for (size_t i = 0; i < ARRAY_LENGTH(algorithms); i++)
        if (strcmp(algorithms[i].name, name) == 0) {
            *ret = (CaAlgorithm) i;
            return 0;
        }
    return -EINVAL;
}

int key_generate(CaAlgorithm algorithm, gnutls_x509_privkey_t *ret) {
    _cleanup_key_ gnutls_x509_privkey_t key = NULL;
    int r;

    r = gnutls_x509_privkey_init(&key);
    if (r >= 0)
        r = gnutls_x509_privkey_generate(key, algorithms[algorithm].pk, algorithms[algorithm].bits, 0);
    if (r < 0)
        return gnutls_complain(r, "cannot generate a key");
    *ret = TAKE_PTR(key);
    return 0;
}

static int set_authority_key_id(gnutls_x509_crt_t certificate, const Authority *issuer) {
    uint8_t id[64];
    size_t size = sizeof(id);
    int r;

    r = gnutls_x509_crt_get_subject_key_id(issuer ? issuer->certificate : certificate, id, &size, NULL);
    return r < 0 ? r : gnutls_x509_crt_set_authority_key_id(certificate, id, size);
}

int certificate_fill(gnutls_x509_crt_t certificate, const Authority *issuer, time_t not_before, time_t not_after) {
    uint8_t serial[16], id[64];
    size_t size = sizeof(id);
    int r;

    r = gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof(serial));
    if (r < 0)
        return gnutls_complain(r, "cannot get random bytes");
    serial[0] = (uint8_t) ((serial[0] & 0x7f) | 0x40); /* positive, and never shorter than 16 bytes */
    r = gnutls_x509_crt_set_version(certificate, 3);
    if (r >= 0)
        r = gnutls_x509_crt_set_serial(certificate, serial, sizeof(serial));
    if (r >= 0)
        r = gnutls_x509_crt_set_activation_time(certificate, not_before);
    if (r >= 0)
        r = gnutls_x509_crt_set_expiration_time(certificate, not_after);
    if (r >= 0)
        r = gnutls_x509_crt_get_key_id(certificate, GNUTLS_KEYID_USE_SHA1, id, &size);
    if (r >= 0)
        r = gnutls_x509_crt_set_subject_key_id(certificate, id, size);
    if (r >= 0)
        r = set_authority_key_id(certificate, issuer);
    return r < 0 ? gnutls_complain(r, "cannot fill in a certificate") : 0;
}

/* GnuTLS compares the names of what was imported, not of what was made: a trust list overlooks the latter. */
static int reimport(gnutls_x509_crt_t *certificate) {
    _cleanup_datum_ gnutls_datum_t der = DATUM_NULL;
    _cleanup_crt_ gnutls_x509_crt_t again = NULL;
    int r;

    r = gnutls_x509_crt_export2(*certificate, GNUTLS_X509_FMT_DER, &der);
    if (r >= 0)
        r = gnutls_x509_crt_init(&again);
    if (r >= 0)
        r = gnutls_x509_crt_import(again, &der, GNUTLS_X509_FMT_DER);
    if (r < 0)
        return gnutls_complain(r, "cannot read a certificate just made");
    crt_clear(certificate);
    *certificate = TAKE_PTR(again);
    return 0;
}

int certificate_sign(gnutls_x509_crt_t certificate, const Authority *issuer) {
    unsigned bits = 0;
    int pk, r;

    pk = gnutls_x509_privkey_get_pk_algorithm2(issuer->key, &bits);
    r = gnutls_x509_crt_sign2(certificate, issuer->certificate, issuer->key,
                              pk == GNUTLS_PK_ECDSA && bits > 256 ? GNUTLS_DIG_SHA384 : GNUTLS_DIG_SHA256, 0);
    return r < 0 ? gnutls_complain(r, "cannot sign a certificate") : 0;
}

static int certificates_encode(const gnutls_x509_crt_t *list, size_t count, char **ret, size_t *ret_size) {
    _cleanup_free_ char *text = NULL;
    size_t used = 0;

    for (size_t i = 0; i < count; i++) {
        _cleanup_datum_ gnutls_datum_t pem = DATUM_NULL;
        char *grown;
        int r;

        r = gnutls_x509_crt_export2(list[i], GNUTLS_X509_FMT_PEM, &pem);
        if (r < 0)
            return gnutls_complain(r, "cannot encode a certificate");
        grown = realloc(text, used + pem.size);
        if (!grown)
            return -ENOMEM;
        text = grown;
        memcpy(text + used, pem.data, pem.size);
        used += pem.size;
    }
    *ret = TAKE_PTR(text);
    *ret_size = used;
    return 0;
}

int certificates_write(const char *directory, const char *name, const gnutls_x509_crt_t *list, size_t count) {
    _cleanup_free_ char *text = NULL;
    size_t size = 0;
    int r;

    r = certificates_encode(list, count, &text, &size);
    return r < 0 ? r : file_write(directory, name, text, size, 0644);
}

int certificates_print(const char *path, const gnutls_x509_crt_t *list, size_t count) {
    _cleanup_free_ char *text = NULL;
    size_t size, written;
    FILE *file;
    int r;

    r = certificates_encode(list, count, &text, &size);
    if (r < 0)
        return r;
    file = fopen(path, "we");
    if (!file) {
        complain("cannot write %s: %m", path);
        return -errno;
    }
    written = fwrite(text, 1, size, file);
    return fclose(file) == 0 && written == size ? 0 : -EIO;
}

/* What makes a certificate an authority's. */
static int fill_authority(gnutls_x509_crt_t certificate, const Authority *issuer, int path_length) {
    time_t now = time(NULL);
    int r;

    r = certificate_fill(certificate, issuer, now - DAY, now + (issuer ? 3650 : 7300) * DAY);
    if (r < 0)
        return r;
    r = gnutls_x509_crt_set_basic_constraints(certificate, 1, path_length);
    if (r >= 0)
        r = gnutls_x509_crt_set_key_usage(certificate, GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN);
    return r < 0 ? gnutls_complain(r, "cannot fill in a CA certificate") : 0;
}

static int authority_store(const char *directory, const Authority *authority) {
    _cleanup_datum_ gnutls_datum_t pem = DATUM_NULL;
    char name[AUTHORITY_NAME_MAX + 32];
    int r;

    r = gnutls_x509_privkey_export2_pkcs8(authority->key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN, &pem);
    if (r < 0)
        return gnutls_complain(r, "cannot encode a key");
    (void) snprintf(name, sizeof(name), "private/%s.key", authority->name);
    r = file_write(directory, name, pem.data, pem.size, 0600);
    if (r < 0)
        return r;
    (void) snprintf(name, sizeof(name), "authorities/%s.pem", authority->name);
    return certificates_write(directory, name, &authority->certificate, 1);
}

int authority_create(const char *directory, const AuthorityTemplate *template, Authority **ret) {
    _cleanup_authority_ Authority *authority = calloc(1, sizeof(Authority));
    const char *where = NULL;
    int r;

    if (!authority)
        return -ENOMEM;
    (void) snprintf(authority->name, sizeof(authority->name), "%s", template->name);
    r = key_generate(template->algorithm, &authority->key);
    if (r < 0)
        return r;
    r = gnutls_x509_crt_init(&authority->certificate);
    if (r >= 0)
        r = gnutls_x509_crt_set_dn(authority->certificate, template->subject, &where);
    if (r >= 0)
        r = gnutls_x509_crt_set_key(authority->certificate, authority->key);
    if (r >= 0 && template->crl_url)
        r = gnutls_x509_crt_set_crl_dist_points2(authority->certificate, GNUTLS_SAN_URI, template->crl_url,
                                                 (unsigned) strlen(template->crl_url), 0);
    if (r < 0)
        return gnutls_complain(r, "cannot make a CA certificate");
    r = fill_authority(authority->certificate, template->issuer, template->path_length);
    if (r == 0)
        r = certificate_sign(authority->certificate, template->issuer ? template->issuer : authority);
    if (r == 0)
        r = reimport(&authority->certificate);
    if (r == 0 && directory)
        r = authority_store(directory, authority);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(authority);
    return 0;
}

int authority_load(const char *directory, const char *name, Authority **ret) {
    _cleanup_datum_ gnutls_datum_t certificate = DATUM_NULL, key = DATUM_NULL;
    _cleanup_authority_ Authority *authority = calloc(1, sizeof(Authority));
    char file[AUTHORITY_NAME_MAX + 32];
    int r;

    if (!authority)
        return -ENOMEM;
    (void) snprintf(authority->name, sizeof(authority->name), "%s", name);
    (void) snprintf(file, sizeof(file), "authorities/%s.pem", name);
    r = file_read(directory, file, &certificate);
    if (r < 0)
        return r;
    (void) snprintf(file, sizeof(file), "private/%s.key", name);
    r = file_read(directory, file, &key);
    if (r < 0) {
        complain("%s/%s: %s", directory, file, strerror(-r));
        return r == -ENOENT ? -EBADMSG : r;
    }
    r = gnutls_x509_crt_init(&authority->certificate);
    if (r >= 0)
        r = gnutls_x509_crt_import(authority->certificate, &certificate, GNUTLS_X509_FMT_PEM);
    if (r >= 0)
        r = gnutls_x509_privkey_init(&authority->key);
    if (r >= 0)
        r = gnutls_x509_privkey_import(authority->key, &key, GNUTLS_X509_FMT_PEM);
    if (r < 0)
        return gnutls_complain(r, file);
    *ret = TAKE_PTR(authority);
    return 0;
}

int authority_renew(const char *directory, Authority *authority, const Authority *issuer, int64_t lifetime) {
    _cleanup_datum_ gnutls_datum_t der = DATUM_NULL;
    _cleanup_crt_ gnutls_x509_crt_t certificate = NULL, old = NULL;
    uint8_t serial[16];
    int r;

    r = gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof(serial));
    if (r >= 0)
        r = gnutls_x509_crt_export2(authority->certificate, GNUTLS_X509_FMT_DER, &der);
    if (r >= 0)
        r = gnutls_x509_crt_init(&certificate);
    if (r >= 0)
        r = gnutls_x509_crt_import(certificate, &der, GNUTLS_X509_FMT_DER);
    serial[0] = (uint8_t) ((serial[0] & 0x7f) | 0x40);
    if (r >= 0)
        r = gnutls_x509_crt_set_serial(certificate, serial, sizeof(serial));
    if (r >= 0)
        r = gnutls_x509_crt_set_expiration_time(certificate, time(NULL) + (time_t) lifetime);
    if (r < 0)
        return gnutls_complain(r, "cannot make a CA certificate");
    r = certificate_sign(certificate, issuer);
    if (r == 0)
        r = reimport(&certificate);
    if (r < 0)
        return r;
    old = authority->certificate;
    authority->certificate = TAKE_PTR(certificate);
    return authority_store(directory, authority);
}

int authority_cross_certify(const Authority *subject, const Authority *issuer, gnutls_x509_crt_t *ret) {
    _cleanup_crt_ gnutls_x509_crt_t certificate = NULL;
    _cleanup_datum_ gnutls_datum_t name = DATUM_NULL;
    int r;

    r = gnutls_x509_crt_init(&certificate);
    if (r >= 0)
        r = gnutls_x509_crt_get_dn3(subject->certificate, &name, 0);
    if (r >= 0)
        r = gnutls_x509_crt_set_dn(certificate, (const char *) name.data, NULL);
    if (r >= 0)
        r = gnutls_x509_crt_set_key(certificate, subject->key);
    if (r < 0)
        return gnutls_complain(r, "cannot make a cross certificate");
    r = fill_authority(certificate, issuer, -1);
    if (r == 0)
        r = certificate_sign(certificate, issuer);
    if (r == 0)
        r = reimport(&certificate);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(certificate);
    return 0;
}

Authority *authority_free(Authority *authority) {
    if (!authority)
        return NULL;
    crt_clear(&authority->certificate);
    key_clear(&authority->key);
    free(authority);
    return NULL;
}
