/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The reader of TLS 1.2 transcripts: honest ones, also of OpenSSL; each refusal; every cut, every length that is one
 * off, every message that is missing, doubled or in another place; and what looks like a transcript and is meant for
 * somebody else. */
#include "rules/tls12.h"
#include "signing/signing.h"

#include "tests/unit/common/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEAF "the certificate of this identity"

static const uint8_t types[9] = { 1, 2, 11, 22, 12, 13, 14, 11, 16 };

#define RANDOM "0123456789abcdef0123456789abcdef"
#define HELLO                                                                                                          \
    "\x03\x03" RANDOM "\x04"                                                                                           \
    "sess"                                                                                                             \
    "\x00\x04\xc0\x2b\x00\xff"                                                                                         \
    "\x01\x00"
#define CHOICE                                                                                                         \
    "\x03\x03" RANDOM "\x04"                                                                                           \
    "sess"                                                                                                             \
    "\xc0\x2b"                                                                                                         \
    "\x00"
#define SERVER                                                                                                         \
    "\x00\x00\x0f\x00\x00\x06"                                                                                         \
    "server"                                                                                                           \
    "\x00\x00\x03"                                                                                                     \
    "one"
#define STATUS                                                                                                         \
    "\x01\x00\x00\x03"                                                                                                 \
    "sta"
#define EXCHANGE                                                                                                       \
    "\x03\x00\x17\x03"                                                                                                 \
    "key"                                                                                                              \
    "\x04\x03\x00\x03"                                                                                                 \
    "sig"
#define REQUEST                                                                                                        \
    "\x01\x40\x00\x06\x08\x04\x04\x03\x05\x03\x00\x0b\x00\x03"                                                         \
    "one"                                                                                                              \
    "\x00\x04"                                                                                                         \
    "four"
#define CLIENT                                                                                                         \
    "\x00\x00\x28\x00\x00\x20" LEAF "\x00\x00\x02"                                                                     \
    "up"
#define PUBLIC                                                                                                         \
    "\x03"                                                                                                             \
    "pub"
#define PART(text)                                                                                                     \
    { text, sizeof(text) - 1 }

typedef struct Part {
    const char *body;
    size_t size;
} Part;

static const Part honest[9] = {
    PART(HELLO),   PART(CHOICE), PART(SERVER), PART(STATUS), PART(EXCHANGE),
    PART(REQUEST), { "", 0 },    PART(CLIENT), PART(PUBLIC),
};

static size_t put(uint8_t *at, uint8_t type, const Part *part) {
    at[0] = type;
    at[1] = (uint8_t) (part->size >> 16);
    at[2] = (uint8_t) (part->size >> 8);
    at[3] = (uint8_t) part->size;
    memcpy(at + 4, part->body, part->size);
    return 4 + part->size;
}

static size_t make(const Part parts[static 9], uint8_t *ret) {
    size_t size = 0;

    for (size_t i = 0; i < 9; i++)
        if (parts[i].body)
            size += put(ret + size, types[i], &parts[i]);
    return size;
}

static const char *ask_scheme(const uint8_t *message, size_t size, uint16_t scheme) {
    /* An exact copy, so that ASan sees a read beyond it. */
    if (size > 1U << 20) /* what assert_true does not tell a compiler */
        abort();
    _cleanup_free_ uint8_t *exact = malloc(size ?: 1);

    if (size > 0)
        memcpy(exact, message, size);
    return tls12_refusal((BytesView) { exact, size }, bytes_view_string(LEAF), scheme);
}

static const char *ask(const uint8_t *message, size_t size) {
    return ask_scheme(message, size, 0x0403);
}

/* With one part exchanged. */
static const char *ask_with(size_t place, const char *body, size_t size) {
    static uint8_t message[70000];
    Part parts[9];

    memcpy(parts, honest, sizeof(parts));
    parts[place] = (Part) { body, size };
    return ask(message, make(parts, message));
}
#define WITH(place, text) ask_with(place, text, sizeof(text) - 1)

static void expect(const char *reason, const char *words) {
    if (!reason || !strstr(reason, words))
        fail_msg("\"%s\" instead of \"%s\"", reason ?: "signed", words);
}

static void honest_ones(void **state) {
    uint8_t message[2048];
    size_t size = make(honest, message);
    Part parts[9];

    assert_null(ask(message, size));
    assert_null(ask_scheme(message, size, 0x0503));
    assert_null(ask_scheme(message, size, 0x0804));
    expect(ask_scheme(message, size, 0x0401), "does not ask for signatures of this scheme");
    memcpy(parts, honest, sizeof(parts));
    parts[3].body = parts[4].body = NULL; /* without what is optional: an RSA key exchange */
    assert_null(ask(message, make(parts, message)));
    assert_null(WITH(0, HELLO "\x00\x00"));
    assert_null(WITH(0, HELLO "\x00\x0d\xff\x01\x00\x01\x00\x00\x17\x00\x00\x00\x0b\x00\x00"));
    assert_null(WITH(1, CHOICE "\x00\x05\xff\x01\x00\x01\x00"));
    assert_null(WITH(5, "\x01\x40\x00\x02\x04\x03\x00\x00")); /* any CA */
    assert_null(WITH(7, "\x00\x00\x23\x00\x00\x20" LEAF));
}

static void every_cut(void **state) {
    uint8_t message[2048];
    size_t size = make(honest, message);

    if (size == 0 || size > sizeof(message) / 2)
        abort();
    for (size_t cut = 0; cut < size; cut++)
        expect(ask(message, cut), "");
    for (unsigned value = 0; value < 256; value++) {
        message[size] = (uint8_t) value;
        expect(ask(message, size + 1), "goes on behind its ClientKeyExchange");
    }
    memcpy(message + size, message, size);
    expect(ask(message, 2 * size), "goes on behind");
}

static void every_order(void **state) {
    uint8_t message[4096];
    Part parts[9];

    for (size_t left = 0; left < 9; left++) {
        memcpy(parts, honest, sizeof(parts));
        parts[left].body = NULL;
        const char *reason = ask(message, make(parts, message));
        assert_int_equal(reason == NULL, left == 3 || left == 4);
    }
    for (size_t twice = 0; twice < 9; twice++) {
        size_t size = 0;
        for (size_t i = 0; i < 9; i++)
            for (unsigned n = 0; n < (i == twice ? 2U : 1U); n++)
                size += put(message + size, types[i], &honest[i]);
        expect(ask(message, size), "");
    }
    for (size_t a = 0; a < 9; a++)
        for (size_t b = a + 1; b < 9; b++) {
            size_t size = 0;
            for (size_t i = 0; i < 9; i++) {
                size_t place = i == a ? b : i == b ? a : i;
                size += put(message + size, types[place], &honest[place]);
            }
            expect(ask(message, size), "");
        }
    for (unsigned type = 0; type < 256; type++) /* another message in each place, and before it */
        for (size_t place = 0; place < 9; place++) {
            size_t size = 0;
            for (size_t i = 0; i < 9; i++)
                size += put(message + size, i == place ? (uint8_t) type : types[i], &honest[i]);
            assert_int_equal(ask(message, size) == NULL, type == types[place]);
        }
}

/* Wherever a length stands, by one more and one less: in the message alone, and with the messages' own adapted. */
static void every_length(void **state) {
    static const struct {
        size_t part, at;
    } lengths[] = {
        { 0, 34 }, { 0, 40 }, { 0, 45 }, { 1, 34 }, { 2, 2 },  { 2, 5 }, { 2, 14 }, { 3, 3 },
        { 5, 0 },  { 5, 3 },  { 5, 11 }, { 5, 13 }, { 5, 18 }, { 7, 2 }, { 7, 5 },  { 7, 40 },
    };
    uint8_t message[2048], body[256];
    Part parts[9];

    for (size_t i = 0; i < ARRAY_LENGTH(lengths); i++)
        for (int off = -1; off <= 1; off += 2) {
            memcpy(parts, honest, sizeof(parts));
            memcpy(body, honest[lengths[i].part].body, honest[lengths[i].part].size);
            body[lengths[i].at] = (uint8_t) (body[lengths[i].at] + off);
            parts[lengths[i].part].body = (char *) body;
            if (!ask(message, make(parts, message)))
                fail_msg("length %zu off by %d", i, off);
        }
    size_t size = make(honest, message), at = 0;
    for (size_t i = 0; i < 9; at += 4 + honest[i++].size)
        for (size_t octet = 1; octet < 4; octet++)
            for (int off = -1; off <= 1; off += 2) {
                message[at + octet] = (uint8_t) (message[at + octet] + off);
                expect(ask(message, size), "");
                message[at + octet] = (uint8_t) (message[at + octet] - off);
            }
    assert_null(ask(message, size));
}

static void hellos(void **state) {
    for (unsigned version = 0; version < 65536; version += version == 0x302 || version == 0x303 ? 1 : 257) {
        char hello[sizeof(HELLO)], choice[sizeof(CHOICE)];
        memcpy(hello, HELLO, sizeof(hello));
        memcpy(choice, CHOICE, sizeof(choice));
        hello[0] = choice[0] = (char) (version >> 8);
        hello[1] = choice[1] = (char) version;
        if (version == 0x303)
            continue;
        expect(ask_with(0, hello, sizeof(hello) - 1), "ClientHello is not one of TLS 1.2");
        expect(ask_with(1, choice, sizeof(choice) - 1), "ServerHello is not one of TLS 1.2");
    }
    expect(WITH(0, "\x03\x03" RANDOM "\x21" RANDOM "x"
                   "\x00\x02\xc0\x2b\x01\x00"),
           "ClientHello is malformed");
    expect(WITH(0, "\x03\x03" RANDOM "\x00\x00\x00\x01\x00"), "ClientHello is malformed");
    expect(WITH(0, "\x03\x03" RANDOM "\x00\x00\x03\xc0\x2b\x00\x01\x00"), "ClientHello is malformed");
    expect(WITH(0, "\x03\x03" RANDOM "\x00\x00\x02\xc0\x2b\x00"), "ClientHello is malformed");
    expect(WITH(0, HELLO "\x00"), "ClientHello is malformed");
    expect(WITH(0, HELLO "\x00\x08\x00\x17\x00\x00\x00\x17\x00\x00"), "ClientHello is malformed"); /* twice */
    expect(WITH(0, HELLO "\x00\x03\x00\x17\x00"), "ClientHello is malformed");
    expect(WITH(0, HELLO "\x00\x05\x00\x17\x00\x01x"), "ClientHello is malformed");
    expect(WITH(0, HELLO "\x00\x04\x00\x17\x00\x00"
                         "x"),
           "ClientHello is malformed");
    expect(WITH(1, "\x03\x03" RANDOM "\x00\xc0\x2b\x01"), "ServerHello is malformed");      /* compresses */
    expect(WITH(1, CHOICE "\x00\x06\x00\x2b\x00\x02\x03\x04"), "ServerHello is malformed"); /* TLS 1.3 */
    expect(WITH(1, CHOICE "\x00\x06\x00\x2b\x00\x02\x03\x03"), "ServerHello is malformed");
    expect(WITH(1, CHOICE "\x00"), "ServerHello is malformed");
}

static const char *ask_hellos(const char *client, size_t client_size, const char *server, size_t server_size) {
    uint8_t message[2048];
    Part parts[9];

    memcpy(parts, honest, sizeof(parts));
    parts[0] = (Part) { client, client_size };
    parts[1] = (Part) { server, server_size };
    return ask(message, make(parts, message));
}
#define HELLOS(client, server) ask_hellos(client, sizeof(client) - 1, server, sizeof(server) - 1)

static void downgrades(void **state) {
#define SENTINEL(last)                                                                                                 \
    "\x03\x03"                                                                                                         \
    "0123456789abcdef01234567"                                                                                         \
    "DOWNGRD" last "\x00\xc0\x2b\x00"
#define OFFERS HELLO "\x00\x09\x00\x2b\x00\x05\x04\x03\x04\x03\x03"
    expect(HELLOS(OFFERS, SENTINEL("\x01")), "kept it from TLS 1.3");
    expect(HELLOS(OFFERS, SENTINEL("\x00")), "kept it from TLS 1.3");
    assert_null(HELLOS(OFFERS, SENTINEL("\x02")));
    assert_null(HELLOS(OFFERS, CHOICE));
    assert_null(HELLOS(HELLO, SENTINEL("\x01"))); /* who offers no TLS 1.3 was kept from nothing */
    assert_null(HELLOS(HELLO "\x00\x07\x00\x2b\x00\x03\x02\x03\x03", SENTINEL("\x01")));
    expect(HELLOS(HELLO "\x00\x09\x00\x2b\x00\x05\x04\x7a\x7a\x03\x04", SENTINEL("\x01")), "kept it from TLS 1.3");
}

static void renegotiations(void **state) {
#define AGAIN                                                                                                          \
    "\xff\x01\x00\x0d\x0c"                                                                                             \
    "verify  data"
#define BOTH                                                                                                           \
    "\xff\x01\x00\x19\x18"                                                                                             \
    "verify  data"                                                                                                     \
    "verify  data"
#define MASTER "\x00\x17\x00\x00"
    expect(HELLOS(HELLO "\x00\x11" AGAIN, CHOICE), "renegotiates without");
    expect(HELLOS(HELLO "\x00\x15" AGAIN MASTER, CHOICE "\x00\x1d" BOTH), "renegotiates without");
    expect(HELLOS(HELLO "\x00\x11" AGAIN, CHOICE "\x00\x21" BOTH MASTER), "renegotiates without");
    expect(HELLOS(HELLO, CHOICE "\x00\x1d" BOTH), "renegotiates without");
    assert_null(HELLOS(HELLO "\x00\x15" AGAIN MASTER, CHOICE "\x00\x21" BOTH MASTER));
    expect(HELLOS(HELLO "\x00\x04\xff\x01\x00\x00", CHOICE), "ClientHello is malformed");
    expect(HELLOS(HELLO "\x00\x06\xff\x01\x00\x02\x00x", CHOICE), "ClientHello is malformed");
}

static void certificates(void **state) {
    expect(WITH(7, "\x00\x00\x00"), "client shows no certificate");
    expect(WITH(7, "\x00\x00\x03\x00\x00\x00"), "client shows no certificate");
    expect(WITH(7, "\x00\x00\x23\x00\x00\x20"
                   "The certificate of this identity"),
           "another certificate");
    expect(WITH(7, "\x00\x00\x22\x00\x00\x1f"
                   "the certificate of this identit"),
           "another certificate");
    expect(WITH(7, "\x00\x00\x24\x00\x00\x21" LEAF "x"), "another certificate");
    expect(WITH(7, "\x00\x00\x28\x00\x00\x02"
                   "up"
                   "\x00\x00\x20" LEAF),
           "another certificate");                                                                  /* not the first */
    expect(WITH(7, "\x00\x00\x26\x00\x00\x20" LEAF "\x00\x00\x00"), "client shows no certificate"); /* an empty one */
    expect(WITH(2, "\x00\x00\x00"), "server shows no certificate");
    expect(WITH(3, "\x02\x00\x00\x03"
                   "sta"),
           "CertificateStatus");
    expect(WITH(3, "\x01\x00\x00\x00"), "CertificateStatus");
    expect(WITH(3, STATUS "x"), "CertificateStatus");
    expect(WITH(4, ""), "key exchange in it is empty");
    expect(WITH(8, ""), "key exchange in it is empty");
    expect(WITH(6, "x"), "ServerHelloDone");
    expect(WITH(5, "\x00\x00\x02\x04\x03\x00\x00"), "CertificateRequest");
    expect(WITH(5, "\x01\x40\x00\x00\x00\x00"), "CertificateRequest");
    expect(WITH(5, "\x01\x40\x00\x03\x04\x03\x04\x00\x00"), "CertificateRequest");
    expect(WITH(5, "\x01\x40\x00\x02\x04\x03\x00\x02\x00\x00"), "CertificateRequest"); /* an empty name */
    expect(WITH(5, "\x01\x40\x00\x02\x04\x03"), "CertificateRequest");                 /* as in TLS 1.1 and before */
    expect(WITH(5, "\x01\x40\x00\x02\x02\x03\x00\x00"), "does not ask");
    /* without a certificate of the identity's own nothing matches */
    uint8_t message[2048];
    assert_non_null(tls12_refusal((BytesView) { message, make(honest, message) }, (BytesView) { NULL, 0 }, 0x0403));
}

/* The client's random number is IKE's header: bytes 17 and 18, a message ID of zeroes (RFC 7296 §3.1). */
static void confusions(void **state) {
    char hello[sizeof(HELLO)];
    static uint8_t message[65536];
    static char suites[8192];
    size_t size = 0;

    memcpy(hello, HELLO, sizeof(hello));
    hello[13] = 0x21; /* four bytes further on in the message */
    hello[14] = 34;
    memset(hello + 16, 0, 4);
    expect(ask_with(0, hello, sizeof(hello) - 1), "IKE_SA_INIT");
    hello[16] = 1;
    assert_null(ask_with(0, hello, sizeof(hello) - 1));
    /* DHE: behind 64 bytes p, g and the public value, with ends that the messages hide in them */
    memcpy(suites, "\x03\x03" RANDOM "\x00", 35);
    size = 35;
    suites[size++] = 0x04; /* cipher suites: 1024 bytes, of which the first 23 end the 64 */
    suites[size++] = 0x00;
    memset(suites + size, 'c', 1024);
    size_t p = size + 23; /* where 4 + p is 64 */
    assert_int_equal(4 + p, 64);
    size += 1024;
    memcpy(suites + size, "\x01\x00", 2);
    size += 2;
    Part parts[9];
    memcpy(parts, honest, sizeof(parts));
    parts[0] = (Part) { suites, size };
    assert_null(ask(message, make(parts, message)));
    size_t whole = make(parts, message);
    /* p to the end but for two empty vectors: the ClientKeyExchange ends with four zeroes */
    parts[8] = (Part) { "\x07"
                        "pub"
                        "\0\0\0\0",
                        8 };
    whole = make(parts, message);
    suites[p] = (char) ((whole - 64 - 2 - 4) >> 8);
    suites[p + 1] = (char) (whole - 64 - 2 - 4);
    expect(ask(message, make(parts, message)), "key exchange of a TLS 1.2 server");
}

static void schemes(void **state) {
    static const uint16_t ids[] = { 0x0403, 0x0503, 0x0401, 0x0501, 0x0601, 0x0804, 0x0805, 0x0806 };

    for (size_t i = 0; i < ARRAY_LENGTH(ids); i++)
        for (int algorithm = 0; algorithm < _KEY_ALGORITHM_COUNT; algorithm++) {
            const SignatureScheme *scheme = scheme_by_id(ids[i]);
            bool pair = ids[i] == 0x0403 && algorithm == KEY_ECDSA_P384;
            const SignatureScheme *expected = scheme_fits(scheme, (KeyAlgorithm) algorithm) ? scheme
                                              : pair                                        ? scheme_by_id(0x0503)
                                                                                            : NULL;
            assert_ptr_equal(tls12_key_scheme(scheme, (KeyAlgorithm) algorithm), expected);
        }
}

/* The gate: only with TLS12=yes, for clients, by SignMessage; and then with schemes that TLS 1.3 does not have. */
static void gate(void **state) {
    uint8_t message[2048], expected[64];
    size_t size = make(honest, message);
    SignDigest digest;

    for (int purpose = 0; purpose < _PURPOSE_COUNT; purpose++)
        for (unsigned tls12 = 0; tls12 < 2; tls12++)
            for (uint8_t type = HANDLE_SIGN_TRANSCRIPT; type <= HANDLE_SIGN_DIGEST; type++) {
                const SignQuestion question = { (Purpose) purpose, "demo", scheme_by_id(0x0403),   type,
                                                { message, size }, tls12,  bytes_view_string(LEAF) };
                bool asks = tls12 && purpose == PURPOSE_TLS_CLIENT && type == HANDLE_SIGN_MESSAGE;
                bool anything = purpose == PURPOSE_DIGEST && type == HANDLE_SIGN_MESSAGE;
                assert_int_equal(purpose_asks_tls12(&question), asks);
                assert_int_equal(purpose_check(&question, &digest, NULL) == 0, asks || anything);
            }
    SignQuestion question = { PURPOSE_TLS_CLIENT, "demo", scheme_by_id(0x0403),   HANDLE_SIGN_MESSAGE,
                              { message, size },  true,   bytes_view_string(LEAF) };
    Failure failure = FAILURE_INIT;
    assert_int_equal(scheme_digest(question.scheme, message, size, expected), 32);
    assert_int_equal(purpose_check(&question, &digest, &failure), 0);
    assert_int_equal(digest.size, 32);
    assert_memory_equal(digest.bytes, expected, 32);
    question.scheme = scheme_by_id(0x0401);
    assert_int_equal(purpose_check(&question, &digest, &failure), -EPERM);
    assert_int_equal(failure.kind, FAILURE_PURPOSE_VIOLATION);
    assert_non_null(strstr(failure.text, "does not ask for signatures of this scheme"));
    /* what TLS 1.3 signs goes its usual way */
    question.payload = bytes_view_string("hello");
    question.scheme = scheme_by_id(0x0403);
    assert_false(purpose_asks_tls12(&question));
    assert_int_equal(purpose_check(&question, &digest, &failure), -EPERM);
    question.payload = (BytesView) { NULL, 0 };
    assert_false(purpose_asks_tls12(&question));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(honest_ones),    cmocka_unit_test(every_cut),    cmocka_unit_test(every_order),
        cmocka_unit_test(every_length),   cmocka_unit_test(hellos),       cmocka_unit_test(downgrades),
        cmocka_unit_test(renegotiations), cmocka_unit_test(certificates), cmocka_unit_test(confusions),
        cmocka_unit_test(schemes),        cmocka_unit_test(gate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
