/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One-shot signatures: a message in, a signature out; each refusal; and what becomes of those that wait. */
#include "common/data-frame.h"
#include "common/scheme.h"
#include "tests/unit/device/waiting.h"
#include "tests/unit/lending/lent.h"

#include <gnutls/abstract.h>

#define ACCESS  "[Access]\ndata=user:1000\n"
#define MESSAGE "the valve is open"
#define LONGEST (PACKET_PAYLOAD_MAX - 84U) /* beside the frame for "x" */

/* Asks for uid's signature over `message` in a framing; it is answered in a later turn. */
static void ask_framed(Machine *machine, uid_t uid, const char *framing, const char *scheme, BytesView message,
                       Answer *answer) {
    Caller caller = caller_of(uid);
    const SignatureRequest request = { x_of(machine), &caller, framing, scheme, message };

    *answer = (Answer) { .calls = 0 };
    signatures_sign(manager_lending(machine->manager), &request, answer_done, answer);
    assert_int_equal(answer->calls, 0);
}

static void ask_for(Machine *machine, uid_t uid, const char *scheme, BytesView message, Answer *answer) {
    ask_framed(machine, uid, "identityd", scheme, message, answer);
}

static void ask(Machine *machine, const char *message, Answer *answer) {
    ask_for(machine, 1000, "ecdsa_secp256r1_sha256", bytes_view_string(message), answer);
}

static void await(Machine *machine, const Answer *answer) {
    machine_until(machine, answer->calls > 0);
    machine_settle(machine);
    assert_int_equal(answer->calls, 1);
}

static bool verifies_raw(const Identity *identity, BytesView message, const Answer *answer) {
    BytesView spki = tpm_key_spki(identity_key(identity));
    const gnutls_datum_t der = { (uint8_t *) (uintptr_t) spki.data, (unsigned) spki.size },
                         data = { (uint8_t *) (uintptr_t) message.data, (unsigned) message.size },
                         signature = { (uint8_t *) (uintptr_t) answer->result, (unsigned) answer->size };
    gnutls_pubkey_t key = NULL;

    assert_int_equal(gnutls_pubkey_init(&key), 0);
    assert_int_equal(gnutls_pubkey_import(key, &der, GNUTLS_X509_FMT_DER), 0);
    int r = gnutls_pubkey_verify_data2(key, GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, 0, &data, &signature);
    gnutls_pubkey_deinit(key);
    return r >= 0;
}

/* Over the message in identityd's own frame. */
static bool verifies(const Identity *identity, const char *message, const Answer *answer) {
    _cleanup_bytes_ Bytes framed = BYTES_NULL;

    assert_int_equal(data_frame_build("x", bytes_view_string(message), &framed), 0);
    return verifies_raw(identity, bytes_view(&framed), answer);
}

static void expect_signed(Machine *machine, const char *message, const Answer *answer) {
    await(machine, answer);
    if (answer->failure.kind != FAILURE_NONE)
        fail_msg("%s", answer->failure.text);
    assert_true(verifies(x_of(machine), message, answer));
}

static void expect_refused(Machine *machine, const Answer *answer, FailureKind kind, const char *text) {
    await(machine, answer);
    expect_failure(&answer->failure, kind, text);
    assert_int_equal(answer->size, 0);
}

static void test_signed(void **state) {
    Machine *machine = *state;
    Answer answer;

    start_ready(machine, ACCESS);
    assert_false(identity_generation_is_used(x_of(machine)));
    ask(machine, MESSAGE, &answer);
    expect_signed(machine, MESSAGE, &answer);
    assert_false(verifies(x_of(machine), "the valve is shut", &answer));
    machine_expect_log(machine, "x: Granted for data to uid 1000, pid 0 (user:1000).", 1);
    assert_true(identity_generation_is_used(x_of(machine)));
}

/* Each gets his own, in whatever order they end. */
static void test_several(void **state) {
    static const char *const messages[] = { "one", "two", "three", "four" };
    Machine *machine = *state;
    Answer answers[4];

    start_ready(machine, ACCESS);
    for (size_t i = 0; i < ARRAY_LENGTH(messages); i++)
        ask(machine, messages[i], &answers[i]);
    for (size_t i = 0; i < ARRAY_LENGTH(messages); i++)
        expect_signed(machine, messages[i], &answers[i]);
}

static void test_request_refused(void **state) {
    static uint8_t long_message[PACKET_PAYLOAD_MAX + 1] = { 'a' };
    Machine *machine = *state;
    Answer answer;

    start_ready(machine, ACCESS);
    ask_for(machine, 1001, "ecdsa_secp256r1_sha256", bytes_view_string(MESSAGE), &answer);
    expect_refused(machine, &answer, FAILURE_ACCESS_DENIED, "x is not lent to you for data: ");
    ask_for(machine, 1000, "ecdsa_secp256r1_sha1", bytes_view_string(MESSAGE), &answer);
    expect_refused(machine, &answer, FAILURE_INVALID_ARGUMENT,
                   "There is no signature scheme of the name given; known are the IANA TLS SignatureScheme names");
    ask_for(machine, 1000, "rsa_pss_rsae_sha256", bytes_view_string(MESSAGE), &answer);
    expect_refused(machine, &answer, FAILURE_INVALID_ARGUMENT,
                   "x has a key of the type ecdsa-p256, which cannot sign with rsa_pss_rsae_sha256.");
    ask_for(machine, 1000, "ecdsa_secp256r1_sha256", (BytesView) { long_message, LONGEST + 1 }, &answer);
    expect_refused(machine, &answer, FAILURE_INVALID_ARGUMENT, "A message to sign has at most 65452 bytes, not 65453.");
    assert_false(identity_generation_is_used(x_of(machine)));
    /* The longest that may be. */
    ask_for(machine, 1000, "ecdsa_secp256r1_sha256", (BytesView) { long_message, LONGEST }, &answer);
    await(machine, &answer);
    assert_int_equal(answer.failure.kind, FAILURE_NONE);
}

/* Each framing under its right, and none in another's name. */
static void test_framings(void **state) {
    static const uint8_t cose[] = "\x84\x6aSignature1\x40\x40\x45hello", sequence[] = { 0x30, 0x03, 0x02, 0x01, 0x05 };
    static const BytesView structure = { cose, sizeof(cose) - 1 };
    static uint8_t long_message[PACKET_PAYLOAD_MAX + 1] = { 'a' };
    static const char scheme[] = "ecdsa_secp256r1_sha256";
    Machine *machine = *state;
    Answer answer;

    start_ready(machine, "[Access]\ndata=user:1000\ndata-raw=user:1001\n");
    ask_framed(machine, 1000, "cose", scheme, structure, &answer);
    await(machine, &answer);
    assert_true(verifies_raw(x_of(machine), structure, &answer));
    ask_framed(machine, 1000, "cms", scheme, structure, &answer);
    expect_refused(
        machine, &answer, FAILURE_PURPOSE_VIOLATION,
        "This is no message in the framing \"cms\": it is in another that `data` signs, which is to be named.");
    ask_framed(machine, 1000, "cose", scheme, bytes_view_string(MESSAGE), &answer);
    expect_refused(machine, &answer, FAILURE_PURPOSE_VIOLATION,
                   "This is no message in the framing \"cose\": it is in none of the framings");
    ask_framed(machine, 1000, "xml", scheme, structure, &answer);
    expect_refused(machine, &answer, FAILURE_INVALID_ARGUMENT,
                   "There is no framing of the name given; known: cms, cose, identityd, raw.");
    /* raw messages are another right's */
    ask_framed(machine, 1000, "raw", scheme, bytes_view_string(MESSAGE), &answer);
    expect_refused(machine, &answer, FAILURE_ACCESS_DENIED, "x is not lent to you for data-raw: ");
    ask_framed(machine, 1001, "cose", scheme, structure, &answer);
    expect_refused(machine, &answer, FAILURE_ACCESS_DENIED, "x is not lent to you for data: ");
    ask_framed(machine, 1001, "raw", scheme, bytes_view_string(MESSAGE), &answer);
    await(machine, &answer);
    assert_true(verifies_raw(x_of(machine), bytes_view_string(MESSAGE), &answer));
    machine_expect_log(machine, "x: Granted for data-raw to uid 1001, pid 0 (user:1001).", 1);
    ask_framed(machine, 1001, "raw", scheme, (BytesView) { sequence, sizeof sequence }, &answer);
    expect_refused(machine, &answer, FAILURE_PURPOSE_VIOLATION, "");
    ask_framed(machine, 1001, "raw", scheme, (BytesView) { long_message, sizeof long_message }, &answer);
    expect_refused(machine, &answer, FAILURE_INVALID_ARGUMENT, "A message to sign has at most 65536 bytes, not 65537.");
    ask_framed(machine, 1001, "raw", scheme, (BytesView) { long_message, PACKET_PAYLOAD_MAX }, &answer);
    await(machine, &answer);
    assert_int_equal(answer.failure.kind, FAILURE_NONE);
}

/* There is no proof of the process here, so a unit's rule opens nothing. */
static void test_unit_refused(void **state) {
    Machine *machine = *state;
    Caller caller = caller_of(1005);
    Answer answer = { .calls = 0 };

    start_ready(machine, "[Access]\ndata=unit:a.service\n");
    caller.unit = (char *) (uintptr_t) "a.service";
    caller.unit_is_known = true;
    const SignatureRequest request = { x_of(machine), &caller, "identityd", "ecdsa_secp256r1_sha256",
                                       bytes_view_string(MESSAGE) };
    signatures_sign(manager_lending(machine->manager), &request, answer_done, &answer);
    expect_refused(machine, &answer, FAILURE_ACCESS_DENIED, "x is not lent to you for data: ");
}

/* The rights of the other purposes are none for this. */
static void test_other_purposes(void **state) {
    Machine *machine = *state;
    Answer answer;

    start_ready(machine, "[Access]\ntls-client=user:1000\ntls-server=user:1000\n");
    ask(machine, MESSAGE, &answer);
    expect_refused(machine, &answer, FAILURE_ACCESS_DENIED, "x is not lent to you for data: ");
}

static void test_not_ready(void **state) {
    Machine *machine = *state;
    Answer answer;

    start_ready(machine, ACCESS);
    revoke_x(machine);
    ask(machine, MESSAGE, &answer);
    expect_refused(machine, &answer, FAILURE_REVOKED, "its certificate was revoked by the CA");
    reload_with(machine, ACCESS "[Weather]\n");
    ask(machine, MESSAGE, &answer);
    expect_refused(machine, &answer, FAILURE_NOT_READY, "identities/x.conf");
}

/* Whoever waits is told why nothing comes. */
static void test_meanwhile(void **state) {
    Machine *machine = *state;
    Answer answers[3];
    Failure failure = FAILURE_INIT;

    start_ready(machine, ACCESS);
    for (size_t i = 0; i < ARRAY_LENGTH(answers); i++)
        ask(machine, MESSAGE, &answers[i]);
    reload_with(machine, ACCESS "[Weather]\n");
    for (size_t i = 0; i < ARRAY_LENGTH(answers); i++)
        expect_refused(machine, &answers[i], FAILURE_NOT_READY, "x is out of use: ");
    reload_with(machine, ACCESS);
    machine_settle(machine);
    ask(machine, MESSAGE, &answers[0]);
    assert_int_equal(unlink(machine_path(machine, "etc/identities/x.conf")), 0);
    assert_int_equal(manager_reload(machine->manager, &failure), 0);
    await(machine, &answers[0]);
    expect_failure(&answers[0].failure, FAILURE_NOT_READY, "x is no longer configured, or identityd stops.");
}

static void test_at_the_end(void **state) {
    Machine *machine = *state;
    Answer answer;

    start_ready(machine, ACCESS);
    ask(machine, MESSAGE, &answer);
    machine_stop(machine);
    assert_int_equal(answer.calls, 1);
    expect_failure(&answer.failure, FAILURE_NOT_READY, "x is no longer configured, or identityd stops.");
}

static void test_tpm_fails(void **state) {
    Machine *machine = *state;
    Answer answer;

    start_ready(machine, ACCESS);
    assert_int_equal(swtpm_kill(machine->swtpm), 0);
    ask(machine, MESSAGE, &answer);
    expect_refused(machine, &answer, FAILURE_TPM_UNAVAILABLE, "");
    assert_false(identity_generation_is_used(x_of(machine)));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

/* Whose time of the TPM it takes: of who asks. */
static void test_whose_time(void **state) {
    Machine *machine = *state;
    Answer answers[3];

    start_ready(machine, "[Access]\ndata=user:1000 user:1001\n");
    Waiting *waiting = waiting_begin(machine);
    for (unsigned i = 0; i < 3; i++)
        ask_for(machine, 1000 + i / 2, "ecdsa_secp256r1_sha256", bytes_view_string(MESSAGE), &answers[i]);
    const char *found = waiting_end(machine, waiting);
    assert_non_null(strstr(found, " 1000/x=2"));
    assert_non_null(strstr(found, " 1001/x=1"));
    assert_null(strstr(found, " own"));
    for (unsigned i = 0; i < 3; i++)
        expect_signed(machine, MESSAGE, &answers[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_signed),       TEST(test_several),        TEST(test_request_refused), TEST(test_framings),
        TEST(test_unit_refused), TEST(test_other_purposes), TEST(test_not_ready),       TEST(test_meanwhile),
        TEST(test_at_the_end),   TEST(test_tpm_fails),      TEST(test_whose_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
