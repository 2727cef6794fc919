/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys that are elsewhere: which scheme and digest reach the callback, in requests and in real TLS handshakes. */
#include "pki/chain.h"

#include "pki/asn1.h"
#include "pki/csr.h"

#include "common/scheme.h"

#include "fixture.h"

#include <fcntl.h>
#include <gnutls/crypto.h>
#include <string.h>
#include <sys/socket.h>

typedef struct Elsewhere {
    gnutls_privkey_t real;
    uint16_t last_scheme;
    unsigned calls;
    int fail;
    bool overlong;
} Elsewhere;

/* Stands for the TPM: signs the digest with a software key. */
static int sign_elsewhere(uint16_t scheme_id, BytesView digest, uint8_t *ret_signature, size_t *ret_size,
                          void *userdata) {
    Elsewhere *elsewhere = userdata;
    const SignatureScheme *scheme = scheme_by_id(scheme_id);
    gnutls_datum_t hash = { (unsigned char *) digest.data, (unsigned) digest.size };
    _cleanup_datum_ gnutls_datum_t signature = { 0 };
    gnutls_sign_algorithm_t algorithm = scheme_id == 0x0403   ? GNUTLS_SIGN_ECDSA_SHA256
                                        : scheme_id == 0x0503 ? GNUTLS_SIGN_ECDSA_SHA384
                                        : scheme_id == 0x0401 ? GNUTLS_SIGN_RSA_SHA256
                                        : scheme_id == 0x0501 ? GNUTLS_SIGN_RSA_SHA384
                                        : scheme_id == 0x0601 ? GNUTLS_SIGN_RSA_SHA512
                                        : scheme_id == 0x0804 ? GNUTLS_SIGN_RSA_PSS_RSAE_SHA256
                                        : scheme_id == 0x0805 ? GNUTLS_SIGN_RSA_PSS_RSAE_SHA384
                                                              : GNUTLS_SIGN_RSA_PSS_RSAE_SHA512;

    elsewhere->calls++;
    elsewhere->last_scheme = scheme_id;
    assert_non_null(scheme);
    assert_int_equal(digest.size, scheme->hash);
    if (elsewhere->fail)
        return elsewhere->fail;
    if (elsewhere->overlong) {
        *ret_size = SIGNATURE_MAX + 1;
        return 0;
    }
    assert_int_equal(gnutls_privkey_sign_hash2(elsewhere->real, algorithm, 0, &hash, &signature), 0);
    assert_true(signature.size <= SIGNATURE_MAX);
    memcpy(ret_signature, signature.data, signature.size);
    *ret_size = signature.size;
    return 0;
}

typedef struct Joined {
    Entity root, entity;
    Elsewhere elsewhere;
    gnutls_privkey_t key; /* the external one */
} Joined;

static Joined *joined_new(gnutls_pk_algorithm_t pk, unsigned bits) {
    Joined *joined = calloc(1, sizeof(*joined));

    assert_non_null(joined);
    joined->root = ENTITY(.subject = "CN=Root", .ca = true);
    joined->entity = ENTITY(.subject = "CN=device", .issuer = &joined->root, .pk = pk, .bits = bits, .dns = "device");
    assert_int_equal(gnutls_privkey_init(&joined->elsewhere.real), 0);
    assert_int_equal(gnutls_privkey_import_x509(joined->elsewhere.real, joined->entity.key, 0), 0);
    assert_int_equal(
        external_key_new(joined->entity.certificate->spki, sign_elsewhere, &joined->elsewhere, &joined->key), 0);
    return joined;
}

static void joined_free(Joined **joined) {
    gnutls_privkey_deinit((*joined)->key);
    gnutls_privkey_deinit((*joined)->elsewhere.real);
    entity_clear(&(*joined)->entity);
    entity_clear(&(*joined)->root);
    free(*joined);
}
#define _cleanup_joined_ _cleanup_(joined_free)

#define P256 GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1)
#define P384 GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP384R1)
#define P521 GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP521R1)

static void test_signs(void **state) {
    static const struct {
        gnutls_pk_algorithm_t pk;
        unsigned bits;
        gnutls_sign_algorithm_t algorithm;
        uint16_t scheme; /* 0: refused */
    } cases[] = {
        { GNUTLS_PK_ECDSA, P256, GNUTLS_SIGN_ECDSA_SHA256, 0x0403 },
        { GNUTLS_PK_ECDSA, P256, GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, 0x0403 },
        { GNUTLS_PK_ECDSA, P256, GNUTLS_SIGN_ECDSA_SHA384, 0 },
        { GNUTLS_PK_ECDSA, P256, GNUTLS_SIGN_ECDSA_SHA1, 0 },
        { GNUTLS_PK_ECDSA, P384, GNUTLS_SIGN_ECDSA_SHA384, 0x0503 },
        { GNUTLS_PK_ECDSA, P384, GNUTLS_SIGN_ECDSA_SHA256, 0 },
        { GNUTLS_PK_RSA, 2048, GNUTLS_SIGN_RSA_SHA256, 0x0401 },
        { GNUTLS_PK_RSA, 2048, GNUTLS_SIGN_RSA_SHA384, 0x0501 },
        { GNUTLS_PK_RSA, 3072, GNUTLS_SIGN_RSA_SHA512, 0x0601 },
        { GNUTLS_PK_RSA, 2048, GNUTLS_SIGN_RSA_SHA1, 0 },
        { GNUTLS_PK_RSA, 2048, GNUTLS_SIGN_RSA_PSS_SHA256, 0x0804 },
        { GNUTLS_PK_RSA, 2048, GNUTLS_SIGN_RSA_PSS_RSAE_SHA384, 0x0805 },
        { GNUTLS_PK_RSA, 2048, GNUTLS_SIGN_RSA_PSS_RSAE_SHA512, 0x0806 },
    };
    const gnutls_datum_t data = { (unsigned char *) "message", 7 };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        _cleanup_joined_ Joined *joined = joined_new(cases[i].pk, cases[i].bits);
        _cleanup_datum_ gnutls_datum_t signature = { 0 };
        gnutls_pubkey_t public_key;
        int r = gnutls_privkey_sign_data2(joined->key, cases[i].algorithm, 0, &data, &signature);

        if (cases[i].scheme == 0) {
            assert_true(r < 0);
            assert_int_equal(joined->elsewhere.calls, 0);
            continue;
        }
        assert_int_equal(r, 0);
        assert_int_equal(joined->elsewhere.last_scheme, cases[i].scheme);
        assert_int_equal(gnutls_pubkey_init(&public_key), 0);
        assert_int_equal(gnutls_pubkey_import_x509(public_key, joined->entity.crt, 0), 0);
        assert_true(gnutls_pubkey_verify_data2(public_key, cases[i].algorithm, 0, &data, &signature) >= 0);
        gnutls_pubkey_deinit(public_key);
    }
}

static void test_failing_callback(void **state) {
    _cleanup_joined_ Joined *joined = joined_new(GNUTLS_PK_ECDSA, P256);
    BytesView spki = joined->entity.certificate->spki;
    gnutls_datum_t digest = { (unsigned char *) "12345678901234567890123456789012345678901234567890", 20 },
                   signature = { 0 };
    CsrTemplate template = { .subject = "CN=x" };
    Bytes der = BYTES_NULL;
    Failure failure = FAILURE_INIT;

    /* a digest of another length than the scheme's */
    assert_true(gnutls_privkey_sign_hash2(joined->key, GNUTLS_SIGN_ECDSA_SHA256, 0, &digest, &signature) < 0);
    digest.size = 48;
    assert_true(gnutls_privkey_sign_hash2(joined->key, GNUTLS_SIGN_ECDSA_SHA256, 0, &digest, &signature) < 0);
    assert_int_equal(joined->elsewhere.calls, 0);
    joined->elsewhere.fail = -EIO;
    assert_failure(csr_create(&template, joined->key, spki, &der, &failure), EIO, failure, "did not sign");
    joined->elsewhere.fail = 0;
    joined->elsewhere.overlong = true;
    assert_failure(csr_create(&template, joined->key, spki, &der, &failure), EIO, failure, "did not sign");
    joined->elsewhere.overlong = false;
    assert_ok(csr_create(&template, joined->key, spki, &der, &failure), failure);
    bytes_clear(&der);
}

static void test_refused_keys(void **state) {
    _cleanup_entity_ Entity p521 = ENTITY(.subject = "CN=x", .pk = GNUTLS_PK_ECDSA, .bits = P521),
                            small = ENTITY(.subject = "CN=x", .pk = GNUTLS_PK_RSA, .bits = 1024),
                            edwards = ENTITY(.subject = "CN=x", .pk = GNUTLS_PK_EDDSA_ED25519,
                                             .bits = GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_ED25519),
                                             .digest = GNUTLS_DIG_SHA512);
    gnutls_privkey_t key;

    assert_int_equal(external_key_new(p521.certificate->spki, sign_elsewhere, NULL, &key), -ENOTSUP);
    assert_int_equal(external_key_new(small.certificate->spki, sign_elsewhere, NULL, &key), -ENOTSUP);
    assert_int_equal(external_key_new(edwards.certificate->spki, sign_elsewhere, NULL, &key), -ENOTSUP);
    assert_int_equal(external_key_new(bytes_view_string("x"), sign_elsewhere, NULL, &key), -EBADMSG);
}

/* ---- TLS ---- */

static void set_transport(gnutls_session_t session, int fd) {
    gnutls_transport_set_int(session, fd);
    gnutls_handshake_set_timeout(session, GNUTLS_INDEFINITE_TIMEOUT);
}

static gnutls_certificate_credentials_t credentials_for(Joined *joined) {
    gnutls_certificate_credentials_t credentials;
    gnutls_pcert_st pcert;
    gnutls_privkey_t key;

    joined->elsewhere.calls = 0;
    assert_int_equal(gnutls_certificate_allocate_credentials(&credentials), 0);
    assert_int_equal(gnutls_pcert_import_x509(&pcert, joined->entity.crt, 0), 0);
    assert_int_equal(external_key_new(joined->entity.certificate->spki, sign_elsewhere, &joined->elsewhere, &key), 0);
    gnutls_certificate_set_flags(credentials, GNUTLS_CERTIFICATE_SKIP_KEY_CERT_MATCH);
    assert_true(gnutls_certificate_set_key(credentials, NULL, 0, &pcert, 1, key) >= 0);
    assert_int_equal(joined->elsewhere.calls, 0);
    return credentials;
}

static void handshake(Joined *joined, const char *priority, uint16_t expected) {
    gnutls_certificate_credentials_t credentials = credentials_for(joined);
    gnutls_session_t client, server;
    int fds[2], client_r = GNUTLS_E_AGAIN, server_r = GNUTLS_E_AGAIN;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(gnutls_init(&client, GNUTLS_CLIENT | GNUTLS_NONBLOCK), 0);
    assert_int_equal(gnutls_init(&server, GNUTLS_SERVER | GNUTLS_NONBLOCK), 0);
    assert_int_equal(gnutls_priority_set_direct(client, priority, NULL), 0);
    assert_int_equal(gnutls_priority_set_direct(server, priority, NULL), 0);
    assert_int_equal(gnutls_credentials_set(client, GNUTLS_CRD_CERTIFICATE, credentials), 0);
    assert_int_equal(gnutls_credentials_set(server, GNUTLS_CRD_CERTIFICATE, credentials), 0);
    gnutls_certificate_server_set_request(server, GNUTLS_CERT_REQUIRE);
    set_transport(client, fds[0]);
    set_transport(server, fds[1]);
    for (int i = 0; i < 50 && (client_r || server_r); i++) {
        if (client_r)
            client_r = gnutls_handshake(client);
        if (server_r)
            server_r = gnutls_handshake(server);
        assert_false(client_r < 0 && gnutls_error_is_fatal(client_r));
        assert_false(server_r < 0 && gnutls_error_is_fatal(server_r));
    }
    assert_int_equal(client_r, 0);
    assert_int_equal(server_r, 0);
    assert_int_equal(joined->elsewhere.calls, 2);
    assert_int_equal(joined->elsewhere.last_scheme, expected);
    gnutls_deinit(client);
    gnutls_deinit(server);
    gnutls_certificate_free_credentials(credentials);
    close(fds[0]);
    close(fds[1]);
}

static void test_handshakes(void **state) {
    _cleanup_joined_ Joined *p256 = joined_new(GNUTLS_PK_ECDSA, P256), *p384 = joined_new(GNUTLS_PK_ECDSA, P384),
                            *rsa = joined_new(GNUTLS_PK_RSA, 2048);

    handshake(p256, "NORMAL:-VERS-ALL:+VERS-TLS1.3", 0x0403);
    handshake(p256, "NORMAL:-VERS-ALL:+VERS-TLS1.2", 0x0403);
    handshake(p384, "NORMAL:-VERS-ALL:+VERS-TLS1.3", 0x0503);
    handshake(rsa, "NORMAL:-VERS-ALL:+VERS-TLS1.3", 0x0804);
    handshake(rsa, "NORMAL:-VERS-ALL:+VERS-TLS1.3:-SIGN-ALL:+SIGN-RSA-PSS-RSAE-SHA512:+SIGN-ECDSA-SHA256", 0x0806);
    handshake(rsa, "NORMAL:-VERS-ALL:+VERS-TLS1.2:-SIGN-ALL:+SIGN-RSA-SHA256:+SIGN-ECDSA-SHA256", 0x0401);
    handshake(rsa, "NORMAL:-VERS-ALL:+VERS-TLS1.2:-SIGN-ALL:+SIGN-RSA-SHA512:+SIGN-ECDSA-SHA256", 0x0601);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signs),
        cmocka_unit_test(test_failing_callback),
        cmocka_unit_test(test_refused_keys),
        cmocka_unit_test(test_handshakes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
