/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every byte that a refusal of raw messages compares, with every value: where the message is not refused, who verifies
 * does not take it for what it would be either. Who verifies is OpenSSL's and GnuTLS's server and their readers of
 * PKCS#10; where none is at hand, the rule stands there that makes a peer drop it. */
#include "fakes/fake-pki.h"
#include "signing/raw.h"

#include "tests/unit/common/test.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <string.h>

static bool refused(const uint8_t *message, size_t size) {
    /* An exact copy, so that ASan sees a read beyond it. */
    _cleanup_free_ uint8_t *exact = malloc(size ?: 1);

    if (size > 0)
        memcpy(exact, message, size);
    return raw_refusal((BytesView) { exact, size }) != NULL;
}

/* ---- servers ---- */

static FakeCa *ca;
static SSL_CTX *openssl;
static gnutls_certificate_credentials_t credentials;

static int start(void **state) {
    ca = fake_ca_new("Server", NULL);
    gnutls_privkey_t server = fake_key_new(FAKE_KEY_RSA);
    const FakeRequest request = { .common_name = "server", .server = true, .serial = 7 };
    _cleanup_free_ char *key_pem = fake_key_pem(server), *certificate_pem = fake_ca_issue(ca, server, &request);
    BIO *key_bio = BIO_new_mem_buf(key_pem, -1), *certificate_bio = BIO_new_mem_buf(certificate_pem, -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(key_bio, NULL, NULL, NULL);
    X509 *certificate = PEM_read_bio_X509(certificate_bio, NULL, NULL, NULL);

    openssl = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_security_level(openssl, 0);
    assert_int_equal(SSL_CTX_use_certificate(openssl, certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(openssl, key), 1);
    X509_free(certificate);
    EVP_PKEY_free(key);
    BIO_free(key_bio);
    BIO_free(certificate_bio);
    const gnutls_datum_t certificate_datum = { (uint8_t *) certificate_pem, (unsigned) strlen(certificate_pem) };
    const gnutls_datum_t key_datum = { (uint8_t *) key_pem, (unsigned) strlen(key_pem) };
    assert_int_equal(gnutls_certificate_allocate_credentials(&credentials), 0);
    assert_int_equal(
        gnutls_certificate_set_x509_key_mem(credentials, &certificate_datum, &key_datum, GNUTLS_X509_FMT_PEM), 0);
    gnutls_privkey_deinit(server);
    return 0;
}

static int stop(void **state) {
    SSL_CTX_free(openssl);
    gnutls_certificate_free_credentials(credentials);
    fake_ca_free(ca);
    return 0;
}

/* A record of handshake messages of which the first is a ServerHello. */
static bool is_server_hello(const uint8_t *answer, size_t size) {
    return size > 5 && answer[0] == 22 && answer[5] == 2;
}

static bool openssl_takes(const uint8_t *flight, size_t size) {
    SSL *ssl = SSL_new(openssl);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    char *answer;

    assert_int_equal(BIO_write(in, flight, (int) size), (int) size);
    SSL_set_bio(ssl, in, out);
    assert_true(SSL_accept(ssl) <= 0);
    long length = BIO_get_mem_data(out, &answer);
    bool taken = is_server_hello((uint8_t *) answer, (size_t) length);
    SSL_free(ssl);
    return taken;
}

typedef struct Pipe {
    const uint8_t *in;
    size_t left;
    uint8_t out[16384];
    size_t size;
} Pipe;

static ssize_t pull(gnutls_transport_ptr_t data, void *buffer, size_t size) {
    Pipe *pipe = data;
    size_t taken = size < pipe->left ? size : pipe->left;

    if (taken == 0) {
        errno = EAGAIN;
        return -1;
    }
    memcpy(buffer, pipe->in, taken);
    pipe->in += taken;
    pipe->left -= taken;
    return (ssize_t) taken;
}

static ssize_t push(gnutls_transport_ptr_t data, const void *buffer, size_t size) {
    Pipe *pipe = data;

    assert_true(size <= sizeof(pipe->out) - pipe->size);
    memcpy(pipe->out + pipe->size, buffer, size);
    pipe->size += size;
    return (ssize_t) size;
}

static bool gnutls_takes(const uint8_t *flight, size_t size) {
    Pipe pipe = { .in = flight, .left = size };
    gnutls_session_t session;

    assert_int_equal(gnutls_init(&session, GNUTLS_SERVER | GNUTLS_NONBLOCK), 0);
    assert_int_equal(gnutls_priority_set_direct(session, "NORMAL:%COMPAT", NULL), 0);
    assert_int_equal(gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials), 0);
    gnutls_transport_set_ptr(session, &pipe);
    gnutls_transport_set_pull_function(session, pull);
    gnutls_transport_set_push_function(session, push);
    int code;
    do
        code = gnutls_handshake(session);
    while (code == GNUTLS_E_WARNING_ALERT_RECEIVED || code == GNUTLS_E_INTERRUPTED);
    gnutls_deinit(session);
    return is_server_hello(pipe.out, pipe.size);
}

/* ---- what begins a TLS 1.2 transcript ---- */

/* msg_type, version 3.3, one cipher suite and the signal that renegotiation is secure, a challenge of 32 bytes. */
static const uint8_t v2_hello[] = { 1, 3, 3, 0, 6, 0, 0, 0, 32, 0, 0, 0x2f, 0, 0, 0xff };

static void ssl2_hellos(void **state) {
    uint8_t record[2 + sizeof(v2_hello) + 32] = { 0x80, sizeof(record) - 2 };
    unsigned taken = 0;

    memset(record + 2 + sizeof(v2_hello), 'c', 32);
    for (size_t at = 0; at < 3; at++)
        for (unsigned value = 0; value < 256; value++) {
            memcpy(record + 2, v2_hello, sizeof(v2_hello));
            record[2 + at] = (uint8_t) value;
            bool understood = openssl_takes(record, sizeof(record)) || gnutls_takes(record, sizeof(record));
            taken += understood;
            if (understood && !refused(record + 2, sizeof(record) - 2))
                fail_msg("byte %zu is %u: a server takes it", at, value);
        }
    assert_true(taken > 3); /* the minor versions that nobody has defined as well */
}

/* version 3.3, a random, no session, one cipher suite and that signal, no compression, no extensions */
static const uint8_t hello_front[] = { 1, 0, 0, 45, 3, 3 };
static const uint8_t hello_end[] = { 0, 0, 4, 0, 0x2f, 0, 0xff, 1, 0 };

static void handshakes(void **state) {
    uint8_t record[5 + 49] = { 22, 3, 1, 0, 49 }, *hello = record + 5;
    unsigned taken = 0;

    for (size_t at = 0; at < 4; at++)
        for (unsigned value = 0; value < 256; value++) {
            memset(hello, 'r', 49);
            memcpy(hello, hello_front, sizeof(hello_front));
            memcpy(hello + 38, hello_end, sizeof(hello_end));
            hello[3] = 43;
            record[4] = 47;
            hello[at] = (uint8_t) value;
            bool understood = openssl_takes(record, 5 + 47) || gnutls_takes(record, 5 + 47);
            taken += understood;
            if (understood && !refused(hello, 47))
                fail_msg("byte %zu is %u: a server takes it", at, value);
        }
    assert_true(taken >= 4);
}

/* ---- what certificates and requests for them are signed as ---- */

/* The CertificationRequestInfo of an honest request. */
static size_t make_request(uint8_t *ret, size_t room) {
    gnutls_x509_crq_t request;
    gnutls_x509_privkey_t key = NULL;
    uint8_t der[1024];
    size_t size = sizeof(der);

    assert_int_equal(gnutls_x509_crq_init(&request), 0);
    assert_int_equal(gnutls_privkey_export_x509(ca->key, &key), 0);
    assert_int_equal(gnutls_x509_crq_set_version(request, 1), 0);
    assert_int_equal(gnutls_x509_crq_set_dn(request, "CN=a name that makes the request longer than 127 bytes", NULL),
                     0);
    assert_int_equal(gnutls_x509_crq_set_key(request, key), 0);
    assert_int_equal(gnutls_x509_crq_sign2(request, key, GNUTLS_DIG_SHA256, 0), 0);
    assert_int_equal(gnutls_x509_crq_export(request, GNUTLS_X509_FMT_DER, der, &size), 0);
    gnutls_x509_crq_deinit(request);
    gnutls_x509_privkey_deinit(key);
    size_t outer = der[1] == 0x82 ? 4 : der[1] == 0x81 ? 3 : 2;
    assert_int_equal(der[outer + 1], 0x81);
    size_t whole = 3U + der[outer + 2];
    assert_true(whole <= room);
    memcpy(ret, der + outer, whole);
    return whole;
}

static bool openssl_reads(const uint8_t *message, size_t size) {
    const uint8_t *at = message;
    X509_REQ_INFO *info = d2i_X509_REQ_INFO(NULL, &at, (long) size);
    bool whole = info && at == message + size;

    X509_REQ_INFO_free(info);
    return whole;
}

/* As part of a whole request, behind it an algorithm and a signature. */
static bool gnutls_reads(const uint8_t *message, size_t size) {
    static const uint8_t rest[] = { 0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02,
                                    0x03, 0x09, 0x00, 0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x01 };
    uint8_t der[2048] = { 0x30, 0x82, (uint8_t) ((size + sizeof(rest)) >> 8), (uint8_t) (size + sizeof(rest)) };
    gnutls_datum_t datum = { der, (unsigned) (4 + size + sizeof(rest)) };
    gnutls_x509_crq_t request;

    memcpy(der + 4, message, size);
    memcpy(der + 4 + size, rest, sizeof(rest));
    assert_int_equal(gnutls_x509_crq_init(&request), 0);
    bool read = gnutls_x509_crq_import(request, &datum, GNUTLS_X509_FMT_DER) == 0;
    gnutls_x509_crq_deinit(request);
    return read;
}

static unsigned check_request(const uint8_t *message, size_t size, const char *what, unsigned value) {
    bool read = openssl_reads(message, size) || gnutls_reads(message, size);

    if (read && !refused(message, size))
        fail_msg("%s %u: somebody reads a request", what, value);
    return read;
}

static void sequences(void **state) {
    uint8_t honest[1024], changed[1100];
    size_t size = make_request(honest, sizeof(honest));
    unsigned taken = 0;

    for (size_t at = 0; at < 3; at++)
        for (unsigned value = 0; value < 256; value++) {
            memcpy(changed, honest, size);
            changed[at] = (uint8_t) value;
            taken += check_request(changed, size, "a byte is", value);
        }
    assert_int_equal(taken, 3);
    /* the identifier for high tag numbers: each first octet behind it, and zeroes before the number */
    for (unsigned value = 0; value < 256; value++)
        for (unsigned zeroes = 0; zeroes < 4; zeroes++) {
            changed[0] = 0x3f;
            memset(changed + 1, 0x80, zeroes);
            changed[1 + zeroes] = (uint8_t) value;
            memcpy(changed + 2 + zeroes, honest + 1, size - 1);
            taken += check_request(changed, size + 1 + zeroes, "a long tag is", value);
        }
    assert_true(taken > 3);
    taken = 0;
    /* every number of octets that a length may have */
    for (unsigned octets = 1; octets < 127; octets++) {
        changed[0] = 0x30;
        changed[1] = (uint8_t) (0x80 | octets);
        memset(changed + 2, 0, octets);
        changed[1 + octets] = (uint8_t) (size - 3);
        memcpy(changed + 2 + octets, honest + 3, size - 3);
        taken += check_request(changed, size - 1 + octets, "octets of the length:", octets);
    }
    assert_true(taken > 1);
    changed[1] = 0x80;
    memcpy(changed + 2, honest + 3, size - 3);
    memset(changed + size - 1, 0, 2);
    assert_int_equal(check_request(changed, size + 1, "indefinite", 0), 1);
}

/* ---- where a rule stands for the one who verifies ---- */

/* `is_taken` tells by RFC or TCG what a verifier does with the value. */
static void run_through(const uint8_t *message, size_t size, size_t at, bool (*is_taken)(uint8_t value)) {
    uint8_t changed[256];

    for (unsigned value = 0; value < 256; value++) {
        memcpy(changed, message, size);
        changed[at] = (uint8_t) value;
        if (refused(changed, size) != is_taken((uint8_t) value))
            fail_msg("byte %zu is %u", at, value);
    }
}

static bool any(uint8_t value) {
    return true;
}

static bool zero(uint8_t value) {
    return value == 0;
}

/* RFC 7296 §2.5: the minor version is ignored; another major version is not IKEv2. */
static bool ike_version(uint8_t value) {
    return value >> 4 == 2;
}

/* RFC 7296 §2.15: both sign their IKE_SA_INIT message, which §3.1 numbers 34. */
static bool ike_exchange(uint8_t value) {
    return value == 34;
}

static void ike_headers(void **state) {
    /* SPIs, next payload SA, version 2.0, IKE_SA_INIT, flags, message ID 0, length 28 + 40 */
    uint8_t message[200] = "IIIIIIII\0\0\0\0\0\0\0\0\x21\x20\x22\x08\0\0\0\0\0\0\0\x44";

    memset(message + 28, 'x', sizeof(message) - 28);
    for (size_t at = 0; at < 28; at++)
        run_through(message, sizeof(message), at,
                    at == 17   ? ike_version
                    : at == 18 ? ike_exchange
                    /* RFC 7296 §2.2: it is 0 in this exchange, and any other is dropped. */
                    : at >= 20 && at < 24 ? zero
                                          /* §3.1: of the flags a verifier ignores the reserved ones; the length is
                                           * compared by some and read over by others. */
                                          : any);
}

/* RFC 8422 §5.4, RFC 4492 §5.4: explicit_prime, explicit_char2, named_curve. */
static bool curve_type(uint8_t value) {
    return value == 3;
}

static void key_exchanges(void **state) {
    uint8_t message[64 + 4 + 65] = { 0 };

    memset(message, 'r', sizeof(message));
    memcpy(message + 64, "\x03\x00\x17\x41\x04", 5);
    run_through(message, sizeof(message), 64, curve_type);
    for (size_t at = 65; at < sizeof(message); at++)
        if (at != 67) /* the point's length: another one is another message */
            run_through(message, sizeof(message), at, any);
    for (size_t at = 0; at < 64; at++)
        run_through(message, sizeof(message), at, any);
    /* OpenSSL takes the parameters of SRP as they come, also an empty salt; what is empty elsewhere nobody needs. */
    memcpy(message + 64, "\x00\x01\x07\x00\x01\x02\x00\x00\x01\x09", 10);
    assert_true(refused(message, 74));
    memcpy(message + 64, "\x00\x00\x00\x00\x00\x00", 6);
    assert_true(refused(message, 70));
    memcpy(message + 64, "\x03\x00\x17\x00", 4);
    assert_true(refused(message, 68));
}

static uint8_t magic[4] = { 0xff, 0x54, 0x43, 0x47 };
static size_t magic_at;

/* TCG "TPM 2.0 Library", Part 2, §10.12.8: the magic of what a TPM attests is TPM_GENERATED_VALUE. */
static bool is_magic(uint8_t value) {
    return value == magic[magic_at];
}

static void attestations(void **state) {
    uint8_t message[160];

    memset(message, 'x', sizeof(message));
    memcpy(message, magic, sizeof(magic));
    for (magic_at = 0; magic_at < 4; magic_at++)
        run_through(message, sizeof(message), magic_at, is_magic);
    for (size_t at = 4; at < sizeof(message); at++)
        run_through(message, sizeof(message), at, any);
    assert_true(refused(magic, 4));
    assert_false(refused(magic, 3));
}

/* RFC 8446 §4.4.3: the verifier writes the 64 spaces itself, so another value verifies nowhere. */
static bool space(uint8_t value) {
    return value == 0x20;
}

static void spaces(void **state) {
    uint8_t message[100];

    memset(message, 0x20, sizeof(message));
    for (size_t at = 0; at < 64; at++)
        run_through(message, sizeof(message), at, space);
    for (size_t at = 64; at < sizeof(message); at++)
        run_through(message, sizeof(message), at, any);
}

/* The magic of SSHSIG (OpenSSH, PROTOCOL.sshsig §2) is compared as it stands. */
static size_t ssh_at;
static bool is_sshsig(uint8_t value) {
    return value == (uint8_t) "SSHSIG"[ssh_at];
}

static void ssh(void **state) {
    uint8_t message[100];

    memset(message, 'x', sizeof(message));
    memcpy(message, "SSHSIG", 6);
    for (ssh_at = 0; ssh_at < 6; ssh_at++)
        run_through(message, sizeof(message), ssh_at, is_sshsig);
    assert_true(refused(message, 6));
    assert_false(refused(message, 5));
    /* RFC 4252 §7: the session's hash as a string, then what is asked for. RFC 4253 §8, RFC 5656 §4: the hash itself,
     * by the server. A certificate begins with the name of its format as a string (OpenSSH, PROTOCOL.certkeys). */
    memset(message, 'x', sizeof(message));
    static const size_t hashes[] = { 20, 32, 48, 64 };
    for (size_t size = 0; size <= sizeof(message); size++) {
        bool is_hash = false;
        for (size_t i = 0; i < ARRAY_LENGTH(hashes); i++)
            is_hash = is_hash || size == hashes[i];
        assert_int_equal(refused(message, size), is_hash);
    }
    for (size_t length = 0; length <= 96; length++) {
        memcpy(message, (uint8_t[]) { 0, 0, 0, (uint8_t) length }, 4);
        assert_true(refused(message, sizeof(message)));
        assert_true(refused(message, 4 + length));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ssl2_hellos), cmocka_unit_test(handshakes),    cmocka_unit_test(sequences),
        cmocka_unit_test(ike_headers), cmocka_unit_test(key_exchanges), cmocka_unit_test(attestations),
        cmocka_unit_test(spaces),      cmocka_unit_test(ssh),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
