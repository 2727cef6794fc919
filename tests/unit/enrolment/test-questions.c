/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an enroller may ask of an attempt, and the refusal of everything else, in words that reach the admin. */
#include "tests/unit/enrolment/attempts.h"
#include "tests/unit/rules/tls12-transcript.h"

#include "common/certificate-verify.h"
#include "common/tlv.h"
#include "pki/csr.h"

#include <gnutls/abstract.h>

static const Duty *const table[] = { &loading_duty, NULL };
static const AttemptStart first = { .means = MEANS_ENROLMENT, .new_key = true };
static const AttemptStart renewal = { .means = MEANS_ITSELF, .present_names = true };

typedef struct Fixture {
    Machine *machine;
    Identity *identity, *other;
    Tried tried;
    EnrollerJob *job;
} Fixture;

static int setup(void **state) {
    Fixture *f = calloc(1, sizeof *f);

    f->machine = machine_new();
    f->machine->by_hand = true;
    *state = f;
    return 0;
}

static int teardown(void **state) {
    Fixture *f = *state;
    Machine *machine = f->machine;

    tried_clear(&f->tried);
    free(f);
    return machine_free(machine);
}

/* x with a certificate, and y with one; the enroller holds a job of x. */
static void start(Fixture *f, const char *more, const AttemptStart *how) {
    const Reply hold = { .kind = REPLY_HOLD };

    machine_configure(f->machine, "x", more);
    machine_configure(f->machine, "y", "");
    machine_start_parts(f->machine, table);
    f->other = machine_add(f->machine, "y");
    (void) machine_certify(f->machine, f->other, &(Certified) { .ca = NULL });
    f->identity = machine_add(f->machine, "x");
    (void) machine_certify(f->machine, f->identity, &(Certified) { .ca = NULL });
    enroller_script(f->machine->enroller, &hold);
    tried_begin(f->identity, how, &f->tried);
    assert_true(f->tried.has_begun);
    f->job = machine_await_job(f->machine, 1);
}

static void ask(Fixture *f, uint8_t type, uint16_t scheme, BytesView body) {
    unsigned before = f->job->answers;

    enroller_send(f->job, type, scheme, body);
    machine_until(f->machine, f->job->answers > before);
}

static void expect_refused(const Fixture *f, FailureKind kind, const char *text) {
    assert_int_equal(f->job->status, kind);
    if (!strstr((char *) f->job->answer.data, text))
        fail_msg("no '%s' in: %s", text, (char *) f->job->answer.data);
}

/* What was refused to the enroller is what the admin reads, whatever it made of that. */
static void expect_own_words(Fixture *f, FailureKind kind, const char *text) {
    const Reply failure = { .kind = REPLY_FAILURE, .text = "something went wrong" };

    enroller_reply(f->job, &failure);
    machine_until(f->machine, f->tried.calls == 1);
    expect_tried(&f->tried, kind, text);
}

/* ---- requests ---- */

static void test_request(void **state) {
    Fixture *f = *state;
    _cleanup_bytes_ Bytes spki = BYTES_NULL, subject = BYTES_NULL, san = BYTES_NULL;
    _cleanup_(stored_pending_clear) StoredPending pending = { .manual = false };
    const Reply usual = { .kind = REPLY_USUAL };

    start(f, "", &renewal);
    ask(f, JOB_PACKET_CREATE_REQUEST, 0, (BytesView) { NULL, 0 });
    assert_int_equal(f->job->status, 0);
    assert_int_equal(csr_spki(bytes_view(&f->job->answer), &spki), 0);
    assert_true(bytes_view_equal(bytes_view(&spki), tpm_key_spki(f->tried.attempt->key)));
    assert_int_equal(csr_names(bytes_view(&f->job->answer), &subject, &san), 0);
    assert_true(bytes_view_equal(bytes_view(&subject), identity_leaf(f->identity)->subject_raw));
    /* It is kept before it is sent: one with an ECDSA signature cannot be made twice. */
    assert_int_equal(store_pending_load(identity_store(f->identity), &pending, NULL), 0);
    assert_true(bytes_view_equal(bytes_view(&pending.request), bytes_view(&f->job->answer)));
    enroller_reply(f->job, &usual);
    machine_until(f->machine, f->tried.calls == 1);
    expect_done(&f->tried);
}

static BytesView body_of(Bytes *body, int key_type, const char *eku) {
    if (key_type >= 0)
        assert_int_equal(tlv_append_u8(body, JOB_KEY_TYPE, (uint8_t) key_type), 0);
    if (eku)
        assert_int_equal(tlv_append_string(body, JOB_EXTENSION_EKU, eku), 0);
    return bytes_view(body);
}

static BytesView linked_body(Bytes *body, uint8_t first_byte) {
    uint8_t binding[JOB_TLS_EXPORTER_SIZE] = { first_byte };

    bytes_clear(body);
    assert_int_equal(tlv_append(body, JOB_BINDING, (BytesView) { binding, sizeof binding }), 0);
    return bytes_view(body);
}

static bool answer_has(const Fixture *f, const char *text) {
    return memmem(f->job->answer.data, f->job->answer.size, text, strlen(text)) != NULL;
}

/* It names the session, in base64; for another session it is made again, and the last one is what is kept. */
static void test_linked_request(void **state) {
    static const char first_binding[] = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
                      second_binding[] = "AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    Fixture *f = *state;
    _cleanup_bytes_ Bytes body = BYTES_NULL, spki = BYTES_NULL;
    _cleanup_(stored_pending_clear) StoredPending pending = { .manual = false };
    const Reply usual = { .kind = REPLY_USUAL };

    start(f, "", &first);
    ask(f, JOB_PACKET_CREATE_REQUEST, 0, linked_body(&body, 1));
    assert_int_equal(f->job->status, 0);
    assert_true(answer_has(f, first_binding));
    ask(f, JOB_PACKET_CREATE_REQUEST, 0, linked_body(&body, 2));
    assert_int_equal(f->job->status, 0);
    assert_true(answer_has(f, second_binding) && !answer_has(f, first_binding));
    assert_true(csr_has_challenge(bytes_view(&f->job->answer)));
    assert_int_equal(csr_spki(bytes_view(&f->job->answer), &spki), 0);
    assert_true(bytes_view_equal(bytes_view(&spki), tpm_key_spki(f->tried.attempt->key)));
    assert_int_equal(store_pending_load(identity_store(f->identity), &pending, NULL), 0);
    assert_true(bytes_view_equal(bytes_view(&pending.request), bytes_view(&f->job->answer)));
    enroller_reply(f->job, &usual);
    machine_until(f->machine, f->tried.calls == 1);
    expect_done(&f->tried);
}

/* One that is linked to nothing is not followed by one that is. */
static void test_linked_after_unlinked(void **state) {
    Fixture *f = *state;
    _cleanup_bytes_ Bytes body = BYTES_NULL;

    start(f, "", &first);
    ask(f, JOB_PACKET_CREATE_REQUEST, 0, (BytesView) { NULL, 0 });
    assert_false(csr_has_challenge(bytes_view(&f->job->answer)));
    ask(f, JOB_PACKET_CREATE_REQUEST, 0, linked_body(&body, 1));
    expect_refused(f, FAILURE_ENROLLMENT_FAILED, "asked for a request although it was given one");
}

static void test_another_key_type(void **state) {
    Fixture *f = *state;
    _cleanup_bytes_ Bytes body = BYTES_NULL;
    static const char text[] = "The CA asks for a key of the type rsa-2048 (/csrattrs) but x has one of the type "
                               "ecdsa-p256: set Algorithm=rsa-2048 in [Key].";

    start(f, "", &first);
    ask(f, JOB_PACKET_CREATE_REQUEST, 0, body_of(&body, KEY_RSA_2048, NULL));
    expect_refused(f, FAILURE_ENROLLMENT_FAILED, text);
    expect_own_words(f, FAILURE_ENROLLMENT_FAILED, text);
}

static void test_same_key_type_and_usages(void **state) {
    Fixture *f = *state;
    _cleanup_bytes_ Bytes body = BYTES_NULL;

    start(f, "", &first);
    ask(f, JOB_PACKET_CREATE_REQUEST, 0, body_of(&body, KEY_ECDSA_P256, EKU_SERVER_AUTH));
    assert_int_equal(f->job->status, 0);
}

static void test_another_usage(void **state) {
    Fixture *f = *state;
    _cleanup_bytes_ Bytes body = BYTES_NULL;

    start(f, "", &first);
    ask(f, JOB_PACKET_CREATE_REQUEST, 0, body_of(&body, -1, "1.3.6.1.5.5.7.3.3"));
    expect_refused(f, FAILURE_ENROLLMENT_FAILED,
                   "The CA asks for the extended key usage 1.3.6.1.5.5.7.3.3 (/csrattrs); only TLS client and server "
                   "authentication are given.");
    expect_own_words(f, FAILURE_ENROLLMENT_FAILED, "The CA asks for the extended key usage 1.3.6.1.5.5.7.3.3");
}

static void test_usage_beside_data(void **state) {
    Fixture *f = *state;
    _cleanup_bytes_ Bytes body = BYTES_NULL;

    start(f, "[Access]\ndata=user:root\n", &first);
    ask(f, JOB_PACKET_CREATE_REQUEST, 0, body_of(&body, -1, EKU_CLIENT_AUTH));
    expect_refused(f, FAILURE_ENROLLMENT_FAILED, "which x must not have since it grants data or data-raw.");
}

static void test_request_that_was_given(void **state) {
    Fixture *f = *state;
    const Reply later = { .kind = REPLY_LATER, .seconds = 1 }, hold = { .kind = REPLY_HOLD };

    start(f, "", &first);
    enroller_reply(f->job, &later);
    machine_until(f->machine, f->tried.calls == 1);
    enroller_script(f->machine->enroller, &hold);
    tried_begin(f->identity, &first, &f->tried);
    f->job = machine_await_job(f->machine, 2);
    assert_true(f->job->brings_request);
    ask(f, JOB_PACKET_CREATE_REQUEST, 0, (BytesView) { NULL, 0 });
    expect_refused(f, FAILURE_ENROLLMENT_FAILED, "The enroller asked for a request although it was given one.");
}

/* Names that cannot be on this device: file, line and why reach both. */
static void test_names_that_cannot_be(void **state) {
    Fixture *f = *state;
    const Reply hold = { .kind = REPLY_HOLD };

    machine_write(f->machine, "etc/identities/x.conf",
                  "[Identity]\nSubject=serialNumber=%%s\n[Enrollment]\nServer=https://a/\nAnchors=%s/etc/ca.pem\n",
                  f->machine->root);
    machine_start_parts(f->machine, table);
    f->identity = machine_add(f->machine, "x");
    enroller_script(f->machine->enroller, &hold);
    tried_begin(f->identity, &first, &f->tried);
    f->job = machine_await_job(f->machine, 1);
    ask(f, JOB_PACKET_CREATE_REQUEST, 0, (BytesView) { NULL, 0 });
    expect_refused(f, FAILURE_INVALID_ARGUMENT, "x.conf:2");
    expect_own_words(f, FAILURE_INVALID_ARGUMENT, "no systemd credential brings a hardware serial number");
}

/* ---- signatures ---- */

static const uint8_t hash[64] = { 1, 2, 3 };

static void assert_signed(const Fixture *f, const Identity *by, BytesView content) {
    gnutls_pubkey_t public = NULL;
    BytesView spki = identity_leaf(by)->spki;
    const gnutls_datum_t der = { (uint8_t *) (uintptr_t) spki.data, (unsigned) spki.size };
    const gnutls_datum_t data = { (uint8_t *) (uintptr_t) content.data, (unsigned) content.size };
    const gnutls_datum_t value = { f->job->answer.data, (unsigned) f->job->answer.size };

    assert_int_equal(f->job->status, 0);
    assert_int_equal(gnutls_pubkey_init(&public), 0);
    assert_int_equal(gnutls_pubkey_import(public, &der, GNUTLS_X509_FMT_DER), 0);
    assert_true(gnutls_pubkey_verify_data2(public, GNUTLS_SIGN_ECDSA_SHA256, 0, &data, &value) >= 0);
    gnutls_pubkey_deinit(public);
}

/* The client's side of the handshake, and nothing else, by the key of whoever authenticates. */
static void test_transcript(void **state) {
    Fixture *f = *state;
    uint8_t content[CERTIFICATE_VERIFY_MAX];

    start(f, "Authenticate=identity:y\n", &first);
    ask(f, JOB_PACKET_SIGN_TRANSCRIPT, 0x0403, (BytesView) { hash, 32 });
    int size = certificate_verify_build(TLS_SIDE_CLIENT, (BytesView) { hash, 32 }, content);
    assert_true(size > 0);
    assert_signed(f, f->other, (BytesView) { content, (size_t) size });
    assert_true(identity_generation_is_used(f->other));
    assert_false(identity_generation_is_used(f->identity));
    ask(f, JOB_PACKET_SIGN_TRANSCRIPT, 0x0403, (BytesView) { hash, 48 });
    assert_int_equal(f->job->status, 0);
}

static void test_no_transcript(void **state) {
    static const size_t sizes[] = { 0, 31, 33, 64 };
    Fixture *f = *state;

    start(f, "", &renewal);
    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
        ask(f, JOB_PACKET_SIGN_TRANSCRIPT, 0x0403, (BytesView) { hash, sizes[i] });
        expect_refused(f, FAILURE_INVALID_ARGUMENT,
                       "The enroller asked for a signature on what is no TLS 1.3 transcript hash.");
    }
    expect_own_words(f, FAILURE_ENROLLMENT_FAILED, "no TLS 1.3 transcript hash"); /* who waits asked for nothing odd */
}

static void test_no_key(void **state) {
    Fixture *f = *state;

    start(f, "", &first); /* which authenticates with nothing */
    ask(f, JOB_PACKET_SIGN_TRANSCRIPT, 0x0403, (BytesView) { hash, 32 });
    expect_refused(f, FAILURE_PURPOSE_VIOLATION,
                   "The enroller asked for a signature that its job has no key for (ecdsa_secp256r1_sha256).");
}

static void test_scheme_that_does_not_fit(void **state) {
    static const uint16_t schemes[] = { 0x0503, 0x0804, 0x0401 };
    Fixture *f = *state;

    start(f, "", &renewal);
    for (size_t i = 0; i < ARRAY_LENGTH(schemes); i++) {
        ask(f, JOB_PACKET_SIGN_TRANSCRIPT, schemes[i], (BytesView) { hash, 32 });
        expect_refused(f, FAILURE_PURPOSE_VIOLATION, "its job has no key for");
    }
}

/* With AllowTLS12= what a client of TLS 1.2 signs, with our own certificate in it, and no more. */
static void test_tls12(void **state) {
    Fixture *f = *state;
    uint8_t message[TLS12_TRANSCRIPT_MAX];

    start(f, "AllowTLS12=yes\n", &renewal);
    BytesView leaf = bytes_view(&identity_leaf(f->identity)->der);
    size_t size = tls12_transcript_with(leaf, message);
    ask(f, JOB_PACKET_SIGN_TLS12, 0x0403, (BytesView) { message, size });
    assert_signed(f, f->identity, (BytesView) { message, size });
    ask(f, JOB_PACKET_SIGN_TLS12, 0x0403, (BytesView) { hash, 32 });
    expect_refused(f, FAILURE_PURPOSE_VIOLATION,
                   "The enroller asked for a signature on what is no TLS 1.2 handshake with the CA: ");
    size = tls12_transcript_with((BytesView) { leaf.data, leaf.size - 1 }, message);
    ask(f, JOB_PACKET_SIGN_TLS12, 0x0403, (BytesView) { message, size });
    expect_refused(f, FAILURE_PURPOSE_VIOLATION, "its client shows another certificate than this identity's.");
}

static void test_tls12_not_allowed(void **state) {
    Fixture *f = *state;

    start(f, "", &renewal);
    enroller_send(f->job, JOB_PACKET_SIGN_TLS12, 0x0403, (BytesView) { hash, 32 });
    machine_until(f->machine, f->tried.calls == 1);
    expect_tried(&f->tried, FAILURE_ENROLLMENT_FAILED, "asked for something that its job does not allow");
}

/* ---- the one that authenticates is no longer ---- */

static void test_authenticator_retired(void **state) {
    Fixture *f = *state;
    Failure failure = FAILURE_INIT;

    start(f, "Authenticate=identity:y\n", &first);
    assert_int_equal(identity_retire(f->other, &failure), 0);
    ask(f, JOB_PACKET_SIGN_TRANSCRIPT, 0x0403, (BytesView) { hash, 32 });
    expect_refused(f, FAILURE_RETIRED, "y cannot sign: it was retired");
}

static void test_authenticator_revoked(void **state) {
    Fixture *f = *state;
    const IdentityRevocation revoked = { true, false, 1 };

    start(f, "Authenticate=identity:y\n", &first);
    ask(f, JOB_PACKET_SIGN_TRANSCRIPT, 0x0403, (BytesView) { hash, 32 });
    assert_int_equal(f->job->status, 0);
    identity_set_revocation(f->other, &revoked);
    identity_evaluate(f->other);
    ask(f, JOB_PACKET_SIGN_TRANSCRIPT, 0x0403, (BytesView) { hash, 32 });
    expect_refused(f, FAILURE_REVOKED, "y cannot sign: its certificate was revoked");
}

/* Removed, and another of that name added: not the same. */
static void test_authenticator_removed(void **state) {
    Fixture *f = *state;

    start(f, "Authenticate=identity:y\n", &first);
    identity_free(identity_set_remove(f->machine->set, 1));
    (void) machine_add(f->machine, "y");
    assert_int_equal(identity_state(machine_identity(f->machine, "y")), STATE_READY);
    ask(f, JOB_PACKET_SIGN_TRANSCRIPT, 0x0403, (BytesView) { hash, 32 });
    expect_refused(f, FAILURE_NO_SUCH_IDENTITY, "The identity that x authenticates with was removed.");
}

/* ---- two at once ---- */

static void test_while_it_is_answered(void **state) {
    Fixture *f = *state;

    start(f, "", &renewal);
    enroller_send(f->job, JOB_PACKET_SIGN_TRANSCRIPT, 0x0403, (BytesView) { hash, 32 });
    enroller_send(f->job, JOB_PACKET_SIGN_TRANSCRIPT, 0x0403, (BytesView) { hash, 32 });
    machine_until(f->machine, f->job->answers == 1);
    expect_refused(f, FAILURE_ENROLLMENT_FAILED, "The enroller asked for something while it was being answered.");
    machine_until(f->machine, f->job->answers == 2); /* and the first is answered all the same */
    assert_int_equal(f->job->status, 0);
}

static void test_tpm_gone(void **state) {
    Fixture *f = *state;

    start(f, "", &renewal);
    assert_int_equal(swtpm_kill(f->machine->swtpm), 0);
    ask(f, JOB_PACKET_SIGN_TRANSCRIPT, 0x0403, (BytesView) { hash, 32 });
    assert_int_equal(f->job->status, FAILURE_TPM_UNAVAILABLE);
    const Reply failure = { .kind = REPLY_FAILURE, .text = "something went wrong" };
    enroller_reply(f->job, &failure);
    machine_until(f->machine, f->tried.calls == 1);
    assert_int_equal(f->tried.end.failure.kind, FAILURE_TPM_UNAVAILABLE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_request),
        TEST(test_linked_request),
        TEST(test_linked_after_unlinked),
        TEST(test_another_key_type),
        TEST(test_same_key_type_and_usages),
        TEST(test_another_usage),
        TEST(test_usage_beside_data),
        TEST(test_request_that_was_given),
        TEST(test_names_that_cannot_be),
        TEST(test_transcript),
        TEST(test_no_transcript),
        TEST(test_no_key),
        TEST(test_scheme_that_does_not_fit),
        TEST(test_tls12),
        TEST(test_tls12_not_allowed),
        TEST(test_authenticator_retired),
        TEST(test_authenticator_revoked),
        TEST(test_authenticator_removed),
        TEST(test_while_it_is_answered),
        TEST(test_tpm_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
