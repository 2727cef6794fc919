/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Certificates made to order. What goes wrong here fails the test. */
#include "fixture.h"

#include "pki/asn1.h"

#include <fcntl.h>
#include <gnutls/x509-ext.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

gnutls_x509_privkey_t make_key(gnutls_pk_algorithm_t pk, unsigned bits) {
    gnutls_x509_privkey_t key;

    if (pk == 0)
        pk = GNUTLS_PK_ECDSA;
    if (bits == 0)
        bits = pk == GNUTLS_PK_ECDSA ? GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1) : 2048;
    assert_int_equal(gnutls_x509_privkey_init(&key), 0);
    assert_int_equal(gnutls_x509_privkey_generate(key, pk, bits, 0), 0);
    return key;
}

static void set_extensions(gnutls_x509_crt_t crt, const Spec *spec) {
    unsigned usage = spec->usage
                         ?: spec->ca ? GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN
                                     : GNUTLS_KEY_DIGITAL_SIGNATURE;

    if (!spec->no_basic_constraints)
        assert_int_equal(gnutls_x509_crt_set_basic_constraints(crt, spec->ca, spec->limited ? spec->path_length : -1),
                         0);
    if (!spec->no_key_usage)
        assert_int_equal(gnutls_x509_crt_set_key_usage(crt, usage), 0);
    if (spec->dns)
        assert_int_equal(gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, spec->dns, strlen(spec->dns), 0),
                         0);
    if (spec->uri)
        assert_int_equal(
            gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_URI, spec->uri, strlen(spec->uri), GNUTLS_FSAN_APPEND),
            0);
    if (spec->crl_url)
        assert_int_equal(
            gnutls_x509_crt_set_crl_dist_points2(crt, GNUTLS_SAN_URI, spec->crl_url, strlen(spec->crl_url), 0), 0);
    if (spec->ocsp_url) {
        gnutls_datum_t url = { (unsigned char *) spec->ocsp_url, (unsigned) strlen(spec->ocsp_url) };
        assert_int_equal(gnutls_x509_crt_set_authority_info_access(crt, GNUTLS_IA_OCSP_URI, &url), 0);
    }
    if (spec->eku)
        assert_int_equal(gnutls_x509_crt_set_key_purpose_oid(crt, spec->eku, 0), 0);
    if (spec->permitted_dns) {
        gnutls_x509_name_constraints_t constraints;
        gnutls_datum_t name = { (unsigned char *) spec->permitted_dns, (unsigned) strlen(spec->permitted_dns) };
        assert_int_equal(gnutls_x509_name_constraints_init(&constraints), 0);
        assert_int_equal(gnutls_x509_name_constraints_add_permitted(constraints, GNUTLS_SAN_DNSNAME, &name), 0);
        assert_int_equal(gnutls_x509_crt_set_name_constraints(crt, constraints, 1), 0);
        gnutls_x509_name_constraints_deinit(constraints);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(spec->extensions) && spec->extensions[i].oid; i++)
        assert_int_equal(gnutls_x509_crt_set_extension_by_oid(crt, spec->extensions[i].oid, spec->extensions[i].data,
                                                              spec->extensions[i].size, spec->extensions[i].critical),
                         0);
}

static void set_key_ids(gnutls_x509_crt_t crt, const Entity *issuer) {
    uint8_t id[20];
    size_t size = sizeof(id);

    assert_int_equal(gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA1, id, &size), 0);
    assert_int_equal(gnutls_x509_crt_set_subject_key_id(crt, id, size), 0);
    if (issuer) {
        size = sizeof(id);
        if (gnutls_x509_crt_get_subject_key_id(issuer->crt, id, &size, NULL) < 0)
            return;
    }
    assert_int_equal(gnutls_x509_crt_set_authority_key_id(crt, id, size), 0);
}

Entity make_entity(const Spec *spec) {
    static unsigned next_serial = 0x1000;
    Entity entity = { 0 };
    gnutls_x509_crt_t crt, issuer_crt = NULL;
    gnutls_x509_privkey_t issuer_key;
    unsigned serial = spec->serial ?: next_serial++;
    uint8_t serial_bytes[4] = { (uint8_t) (serial >> 24) & 0x7f, (uint8_t) (serial >> 16), (uint8_t) (serial >> 8),
                                (uint8_t) serial };
    _cleanup_datum_ gnutls_datum_t der = { 0 };
    Failure failure = FAILURE_INIT;

    if (spec->key) {
        assert_int_equal(gnutls_x509_privkey_init(&entity.key), 0);
        assert_int_equal(gnutls_x509_privkey_cpy(entity.key, spec->key), 0);
    } else {
        entity.key = make_key(spec->pk, spec->bits);
    }
    assert_int_equal(gnutls_x509_crt_init(&crt), 0);
    assert_int_equal(gnutls_x509_crt_set_version(crt, 3), 0);
    assert_int_equal(gnutls_x509_crt_set_serial(crt, serial_bytes, 4), 0);
    if (spec->subject)
        assert_int_equal(gnutls_x509_crt_set_dn(crt, spec->subject, NULL), 0);
    assert_int_equal(gnutls_x509_crt_set_key(crt, entity.key), 0);
    assert_int_equal(gnutls_x509_crt_set_activation_time(crt, (time_t) (spec->not_before ?: NOW - 100 * DAY)), 0);
    assert_int_equal(gnutls_x509_crt_set_expiration_time(crt, (time_t) (spec->not_after ?: NOW + 100 * DAY)), 0);
    set_extensions(crt, spec);
    if (!spec->no_key_ids)
        set_key_ids(crt, spec->issuer);
    issuer_crt = spec->issuer ? spec->issuer->crt : crt;
    issuer_key = spec->issuer ? spec->issuer->key : entity.key;
    int r = gnutls_x509_crt_sign2(crt, issuer_crt, issuer_key, spec->digest ?: GNUTLS_DIG_SHA256, 0);
    if (r < 0)
        fail_msg("signing: %s", gnutls_strerror(r));
    assert_int_equal(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_DER, &der), 0);
    gnutls_x509_crt_deinit(crt);
    assert_ok(certificate_from_der(view_from_datum(&der), &entity.certificate, &failure), failure);
    entity.crt = crt_of(entity.certificate);
    return entity;
}

gnutls_x509_crt_t crt_of(const Certificate *certificate) {
    gnutls_datum_t der = datum_from_view(bytes_view(&certificate->der));
    gnutls_x509_crt_t crt;

    assert_int_equal(gnutls_x509_crt_init(&crt), 0);
    assert_int_equal(gnutls_x509_crt_import(crt, &der, GNUTLS_X509_FMT_DER), 0);
    return crt;
}

void entity_clear(Entity *entity) {
    certificate_free(entity->certificate);
    if (entity->crt)
        gnutls_x509_crt_deinit(entity->crt);
    if (entity->key)
        gnutls_x509_privkey_deinit(entity->key);
    *entity = (Entity) { .key = NULL };
}

CertificateList make_list(size_t count, ...) {
    CertificateList list = { 0 };
    va_list arguments;

    va_start(arguments, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(certificate_list_add_ref(&list, va_arg(arguments, const Certificate *)), 0);
    va_end(arguments);
    return list;
}

char *run(int *ret_status, const char *format, ...) {
    char command[4096] = "( ";
    char *output = calloc(1, 65536);
    size_t size = 0, n;
    va_list arguments;
    FILE *pipe;
    int status;

    assert_non_null(output);
    va_start(arguments, format);
    status = vsnprintf(command + 2, sizeof(command) - 16, format, arguments);
    va_end(arguments);
    assert_true(status > 0 && (size_t) status < sizeof(command) - 16);
    strcat(command, " ) 2>&1");
    pipe = popen(command, "re");
    assert_non_null(pipe);
    while ((n = fread(output + size, 1, 65535 - size, pipe)) > 0)
        size += n;
    status = pclose(pipe);
    if (ret_status)
        *ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    else if (status != 0)
        fail_msg("%s: %s", command, output);
    return output;
}

char *make_directory(void) {
    char template[] = "/tmp/identityd-test-pki-XXXXXX";

    assert_non_null(mkdtemp(template));
    return strdup(template);
}

void remove_directory(char **path) {
    if (*path)
        free(run(NULL, "rm -rf '%s'", *path));
    free(*path);
}

void write_file(const char *directory, const char *name, BytesView data) {
    _cleanup_free_ char *path = NULL;
    FILE *file;

    assert_true(asprintf(&path, "%s/%s", directory, name) > 0);
    file = fopen(path, "we");
    assert_non_null(file);
    if (data.size > 0)
        assert_int_equal(fwrite(data.data, 1, data.size, file), data.size);
    assert_int_equal(fclose(file), 0);
}

void write_pem(const char *directory, const char *name, const CertificateList *list) {
    _cleanup_bytes_ Bytes pem = BYTES_NULL;

    assert_int_equal(certificate_list_to_pem(list, &pem), 0);
    write_file(directory, name, bytes_view(&pem));
}

void write_key(const char *directory, const char *name, gnutls_x509_privkey_t key) {
    _cleanup_datum_ gnutls_datum_t pem = { 0 };

    assert_int_equal(gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &pem), 0);
    write_file(directory, name, view_from_datum(&pem));
}

Bytes read_test_file(const char *directory, const char *name) {
    _cleanup_free_ char *path = NULL;
    Bytes data;

    assert_true(asprintf(&path, "%s/%s", directory, name) > 0);
    assert_int_equal(bytes_read_file(path, 64U << 20, &data), 0);
    return data;
}
