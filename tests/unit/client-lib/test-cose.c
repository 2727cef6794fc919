/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What libidentityd makes for the purpose `data`: COSE_Sign1 byte by byte, identityd's own frame, and each refusal.
 * Other people's library reads the former in tests/integration. */
#include "client-lib/credential.h"
#include "common/data-frame.h"
#include "fixture.h"

#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <stdlib.h>

#define RS256 0x0401
#define PS256 0x0804

static int verifies(const char *chain, gnutls_sign_algorithm_t algorithm, BytesView message, BytesView signature) {
    gnutls_datum_t pem = { (uint8_t *) (uintptr_t) chain, (unsigned) strlen(chain) };
    gnutls_datum_t data = { (uint8_t *) (uintptr_t) message.data, (unsigned) message.size };
    gnutls_datum_t value = { (uint8_t *) (uintptr_t) signature.data, (unsigned) signature.size };
    gnutls_x509_crt_t certificate;
    gnutls_pubkey_t key;

    assert_int_equal(gnutls_x509_crt_init(&certificate), 0);
    assert_int_equal(gnutls_x509_crt_import(certificate, &pem, GNUTLS_X509_FMT_PEM), 0);
    assert_int_equal(gnutls_pubkey_init(&key), 0);
    assert_int_equal(gnutls_pubkey_import_x509(key, certificate, 0), 0);
    int r = gnutls_pubkey_verify_data2(key, algorithm, 0, &data, &value);
    gnutls_pubkey_deinit(key);
    gnutls_x509_crt_deinit(certificate);
    return r >= 0;
}

/* Takes what must come next. */
static void expect(BytesView *rest, const void *bytes, size_t size) {
    assert_true(rest->size >= size);
    assert_memory_equal(rest->data, bytes, size);
    rest->data += size;
    rest->size -= size;
}

/* The certificates of a chain as x5chain has them. */
static void expect_chain(BytesView *rest, const char *chain) {
    gnutls_datum_t pem = { (uint8_t *) (uintptr_t) chain, (unsigned) strlen(chain) }, der;
    gnutls_x509_crt_t *list;
    unsigned count;

    assert_int_equal(gnutls_x509_crt_list_import2(&list, &count, &pem, GNUTLS_X509_FMT_PEM, 0), 0);
    if (count > 1)
        expect(rest, &(uint8_t) { (uint8_t) (0x80 | count) }, 1);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(gnutls_x509_crt_export2(list[i], GNUTLS_X509_FMT_DER, &der), 0);
        assert_true(der.size > 255 && der.size < 65536);
        expect(rest, (uint8_t[]) { 0x59, (uint8_t) (der.size >> 8), (uint8_t) der.size }, 3);
        expect(rest, der.data, der.size);
        gnutls_free(der.data);
        gnutls_x509_crt_deinit(list[i]);
    }
    gnutls_free(list);
}

typedef struct Algorithm {
    const char *identity;
    uint16_t scheme;
    gnutls_sign_algorithm_t sign;
    size_t half; /* 0: RSA */
    uint8_t protected[8];
    size_t protected_size;
} Algorithm;

/* Signs, takes the message apart, and verifies the structure that RFC 9052 §4.4 has. */
static void check(const Algorithm *algorithm, const uint8_t *payload, size_t size, unsigned flags) {
    identityd_credential *credential = NULL;
    identityd_snapshot *snapshot = NULL;
    uint8_t structure[512], head[3] = { (uint8_t) (0x40 | size) };
    size_t head_size = size < 24 ? 1 : 2;
    gnutls_datum_t r, s, der = { NULL, 0 };
    void *message = NULL;
    size_t message_size = 0;

    if (size >= 24) {
        head[0] = 0x58;
        head[1] = (uint8_t) size;
    }
    assert_int_equal(identityd_credential_open(algorithm->identity, "data", &credential), 0);
    assert_int_equal(identityd_credential_snapshot(credential, &snapshot), 0);
    assert_int_equal(
        identityd_sign_cose(credential, snapshot, algorithm->scheme, flags, payload, size, &message, &message_size), 0);
    BytesView rest = { message, message_size };
    expect(&rest, "\xd2\x84", 2);
    expect(&rest, algorithm->protected, algorithm->protected_size);
    expect(&rest, "\xa1\x18\x21", 3);
    expect_chain(&rest, identityd_snapshot_chain(snapshot, NULL));
    if (flags & IDENTITYD_COSE_DETACHED)
        expect(&rest, "\xf6", 1);
    else {
        expect(&rest, head, head_size);
        expect(&rest, payload, size);
    }
    memcpy(structure, "\x84\x6aSignature1", 12);
    size_t at = 12;
    memcpy(structure + at, algorithm->protected, algorithm->protected_size);
    at += algorithm->protected_size;
    structure[at++] = 0x40;
    memcpy(structure + at, head, head_size);
    memcpy(structure + at + head_size, payload, size);
    at += head_size + size;
    BytesView signature = { rest.data + 3, rest.size - 3 };
    if (algorithm->half > 0) {
        expect(&rest, (uint8_t[]) { 0x58, (uint8_t) (2 * algorithm->half) }, 2);
        assert_int_equal(rest.size, 2 * algorithm->half);
        r = (gnutls_datum_t) { (uint8_t *) (uintptr_t) rest.data, (unsigned) algorithm->half };
        s = (gnutls_datum_t) { r.data + algorithm->half, (unsigned) algorithm->half };
        assert_int_equal(gnutls_encode_rs_value(&der, &r, &s), 0);
        signature = (BytesView) { der.data, der.size };
    } else
        assert_int_equal(rest.data[0], 0x59);
    assert_true(
        verifies(identityd_snapshot_chain(snapshot, NULL), algorithm->sign, (BytesView) { structure, at }, signature));
    gnutls_free(der.data);
    free(message);
    identityd_snapshot_free(snapshot);
    identityd_credential_free(credential);
}

static void add_rsa(void) {
    fake_identityd_set(fixture.fake, &(FakeIdentity) { .name = "rsa",
                                                       .generation = 1,
                                                       .key = fixture.rsa_key,
                                                       .chain = fixture.rsa_chain,
                                                       .anchors = fixture.ca->pem });
}

static void test_cose(void **state) {
    static const Algorithm algorithms[] = {
        { "mqtt", P256, GNUTLS_SIGN_ECDSA_SHA256, 32, { 0x43, 0xa1, 0x01, 0x26 }, 4 },
        { "rsa", RS256, GNUTLS_SIGN_RSA_SHA256, 0, { 0x45, 0xa1, 0x01, 0x39, 0x01, 0x00 }, 6 },
        { "rsa", PS256, GNUTLS_SIGN_RSA_PSS_RSAE_SHA256, 0, { 0x44, 0xa1, 0x01, 0x38, 0x24 }, 5 },
    };
    uint8_t payload[255];

    add_rsa();
    memset(payload, 'p', sizeof(payload));
    for (size_t i = 0; i < sizeof(algorithms) / sizeof(*algorithms); i++)
        for (size_t size = 0; size <= sizeof(payload); size += size < 22 || size == 23 ? 1 : 77)
            check(&algorithms[i], payload, size, size % 2 ? IDENTITYD_COSE_DETACHED : 0);
    /* r or s with zeroes in front: in 150 signatures one, most times */
    for (unsigned i = 0; i < 150; i++)
        check(&algorithms[0], payload, 3, IDENTITYD_COSE_DETACHED);
}

static void test_cose_refused(void **state) {
    identityd_credential *credential = open_for("data"), *other = open_for("tls-client");
    identityd_snapshot *snapshot;
    char *payload = calloc(1, IDENTITYD_COSE_PAYLOAD_MAX + 1);
    void *message = payload;
    size_t size = 77;

    assert_int_equal(identityd_credential_snapshot(credential, &snapshot), 0);
    assert_int_equal(identityd_sign_cose(NULL, snapshot, P256, 0, "x", 1, &message, &size), -EINVAL);
    assert_int_equal(identityd_sign_cose(credential, NULL, P256, 0, "x", 1, &message, &size), -EINVAL);
    assert_int_equal(identityd_sign_cose(credential, snapshot, P256, 0, NULL, 1, &message, &size), -EINVAL);
    assert_int_equal(identityd_sign_cose(credential, snapshot, P256, 0, "x", 1, NULL, &size), -EINVAL);
    assert_int_equal(identityd_sign_cose(credential, snapshot, P256, 0, "x", 1, &message, NULL), -EINVAL);
    assert_int_equal(identityd_sign_cose(credential, snapshot, P256, 2, "x", 1, &message, &size), -EINVAL);
    assert_error_says("unknown flags 0x2");
    assert_int_equal(identityd_sign_cose(credential, snapshot, 0x1234, 0, "x", 1, &message, &size), -EINVAL);
    assert_error_says("0x1234");
    assert_int_equal(
        identityd_sign_cose(credential, snapshot, P256, 0, payload, IDENTITYD_COSE_PAYLOAD_MAX + 1, &message, &size),
        -EMSGSIZE);
    assert_error_says("the limit is 65500");
    assert_int_equal(identityd_sign_cose(other, snapshot, P256, 0, "x", 1, &message, &size), -EPERM);
    assert_ptr_equal(message, payload);
    assert_int_equal(size, 77);
    assert_int_equal(
        identityd_sign_cose(credential, snapshot, P256, 0, payload, IDENTITYD_COSE_PAYLOAD_MAX, &message, &size), 0);
    free(message);
    free(payload);
    identityd_snapshot_free(snapshot);
    identityd_credential_free(credential);
    identityd_credential_free(other);
}

static void test_frame(void **state) {
    identityd_credential *credential = open_for("data");
    _cleanup_bytes_ Bytes framed = BYTES_NULL;
    uint8_t signature[IDENTITYD_SIGNATURE_MAX];
    size_t size = 77, longest = IDENTITYD_MESSAGE_MAX - data_frame_overhead("mqtt");
    char *message = calloc(1, IDENTITYD_MESSAGE_MAX + 1);

    assert_int_equal(longest, 65453 - strlen("mqtt"));
    assert_int_equal(identityd_sign_data(NULL, 0, P256, "x", 1, signature, &size), -EINVAL);
    assert_int_equal(identityd_sign_data(credential, 0, P256, NULL, 1, signature, &size), -EINVAL);
    assert_int_equal(identityd_sign_data(credential, 0, 0x1234, "x", 1, signature, &size), -EINVAL);
    assert_int_equal(identityd_sign_data(credential, 0, P256, message, longest + 1, signature, &size), -EMSGSIZE);
    assert_int_equal(identityd_sign_data(credential, 0, P256, message, IDENTITYD_MESSAGE_MAX + 1, signature, &size),
                     -EMSGSIZE);
    assert_int_equal(size, 77);
    assert_int_equal(identityd_sign_data(credential, 0, P256, message, longest, signature, &size), 0);
    assert_int_equal(identityd_sign_data(credential, 0, P256, "hello", 5, signature, &size), 0);
    assert_int_equal(data_frame_build("mqtt", bytes_view_string("hello"), &framed), 0);
    assert_true(
        verifies(fixture.chain, GNUTLS_SIGN_ECDSA_SHA256, bytes_view(&framed), (BytesView) { signature, size }));
    assert_false(
        verifies(fixture.chain, GNUTLS_SIGN_ECDSA_SHA256, bytes_view_string("hello"), (BytesView) { signature, size }));
    /* a bare message is none for this purpose */
    assert_int_equal(identityd_sign_message(credential, 0, P256, "hello", 5, signature, &size), -EPERM);
    free(message);
    identityd_credential_free(credential);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = { TEST(test_cose), TEST(test_cose_refused), TEST(test_frame) };

    return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
