/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys, signatures and requests that the signing thread makes for main. */
#include "work/key-tasks.h"

#include "tests/unit/device/waiting.h"

#include <gnutls/abstract.h>

static const Duty *const no_duties[] = { NULL };

typedef struct Result {
    unsigned calls;
    Failure failure;
    TpmKey *key;
    Bytes bytes;
} Result;

static void result_clear(Result *result) {
    result->key = tpm_key_free(result->key);
    bytes_clear(&result->bytes);
}
#define _cleanup_result_ _cleanup_(result_clear)

static void on_key(const Failure *failure, TpmKey *key, void *userdata) {
    Result *result = userdata;

    result->calls++;
    result->failure = *failure;
    result->key = key;
}

static void on_bytes(const Failure *failure, BytesView bytes, void *userdata) {
    Result *result = userdata;

    result->calls++;
    result->failure = *failure;
    if (bytes.size > 0)
        assert_int_equal(bytes_copy(bytes, &result->bytes), 0);
}

static TpmKey *make_key(Machine *machine, KeyAlgorithm algorithm) {
    Result result = { 0 };
    TpmTask *task = NULL;

    assert_int_equal(key_task_start(machine->work, algorithm, on_key, &result, &task), 0);
    assert_non_null(task);
    assert_int_equal(result.calls, 0);
    machine_until(machine, result.calls == 1);
    if (!result.key)
        fail_msg("%s", result.failure.text);
    assert_int_equal(result.failure.kind, FAILURE_NONE);
    return result.key;
}

static void test_keys(void **state) {
    Machine *machine = *state;

    machine_start_parts(machine, no_duties);
    for (KeyAlgorithm algorithm = 0; algorithm <= KEY_RSA_2048; algorithm++) {
        _cleanup_tpm_key_ TpmKey *key = make_key(machine, algorithm);
        assert_int_equal(tpm_key_algorithm(key), algorithm);
        assert_true(bytes_view_equal(tpm_key_parent_name(key), tpm_watch_parent_name(device_tpm(machine->device))));
    }
}

static void test_no_key(void **state) {
    Machine *machine = *state;
    _cleanup_result_ Result result = { 0 };
    TpmTask *task = NULL;

    machine_start_parts(machine, no_duties);
    assert_int_equal(swtpm_kill(machine->swtpm), 0);
    assert_int_equal(key_task_start(machine->work, KEY_ECDSA_P256, on_key, &result, &task), 0);
    machine_until(machine, result.calls == 1);
    assert_null(result.key);
    assert_int_equal(result.failure.kind, FAILURE_TPM_UNAVAILABLE);
    /* Another chip, which nobody has looked at: no key is made in it unseen. */
    assert_int_equal(swtpm_replace(machine->swtpm), 0);
    assert_int_equal(swtpm_start(machine->swtpm), 0);
    assert_int_equal(key_task_start(machine->work, KEY_ECDSA_P256, on_key, &result, &task), 0);
    machine_until(machine, result.calls == 2);
    assert_null(result.key);
    assert_int_equal(result.failure.kind, FAILURE_TPM_REPLACED);
}

/* A key that nobody waits for is freed (the sanitizer looks). */
static void test_forgotten(void **state) {
    Machine *machine = *state;
    _cleanup_result_ Result result = { 0 };
    TpmTask *task = NULL;

    machine_start_parts(machine, no_duties);
    assert_int_equal(key_task_start(machine->work, KEY_ECDSA_P256, on_key, &result, &task), 0);
    task = tpm_task_forget(task);
    machine_settle(machine);
    assert_int_equal(result.calls, 0);
}

/* ---- signatures ---- */

static void assert_verifies(const TpmKey *key, BytesView digest, BytesView signature) {
    gnutls_pubkey_t public = NULL;
    BytesView spki = tpm_key_spki(key);
    const gnutls_datum_t der = { (uint8_t *) (uintptr_t) spki.data, (unsigned) spki.size };
    const gnutls_datum_t hash = { (uint8_t *) (uintptr_t) digest.data, (unsigned) digest.size };
    const gnutls_datum_t value = { (uint8_t *) (uintptr_t) signature.data, (unsigned) signature.size };

    assert_int_equal(gnutls_pubkey_init(&public), 0);
    assert_int_equal(gnutls_pubkey_import(public, &der, GNUTLS_X509_FMT_DER), 0);
    assert_true(gnutls_pubkey_verify_hash2(public, GNUTLS_SIGN_ECDSA_SHA256, 0, &hash, &value) >= 0);
    gnutls_pubkey_deinit(public);
}

static void test_sign(void **state) {
    Machine *machine = *state;
    _cleanup_result_ Result result = { 0 };
    uint8_t digest[32] = { 1, 2, 3 };
    const uint8_t as_asked[32] = { 1, 2, 3 };
    TpmTask *task = NULL;

    machine_start_parts(machine, no_duties);
    TpmKey *key = make_key(machine, KEY_ECDSA_P256);
    _cleanup_tpm_key_ TpmKey *copy = tpm_key_ref(key);
    const SignOrder order = { key, scheme_by_id(0x0403), { digest, sizeof digest } };
    assert_int_equal(sign_task_start(machine->work, &order, on_bytes, &result, &task), 0);
    memset(digest, 9, sizeof digest); /* main may change its mind meanwhile */
    tpm_key_free(key);
    machine_until(machine, result.calls == 1);
    assert_int_equal(result.failure.kind, FAILURE_NONE);
    assert_verifies(copy, (BytesView) { as_asked, sizeof as_asked }, bytes_view(&result.bytes));
}

static void test_sign_refused(void **state) {
    Machine *machine = *state;
    _cleanup_result_ Result result = { 0 };
    const uint8_t digest[65] = { 0 };
    TpmTask *task = NULL;

    machine_start_parts(machine, no_duties);
    _cleanup_tpm_key_ TpmKey *key = make_key(machine, KEY_ECDSA_P256);
    const SignOrder too_long = { key, scheme_by_id(0x0403), { digest, sizeof digest } };
    assert_int_equal(sign_task_start(machine->work, &too_long, on_bytes, &result, &task), -EINVAL);
    assert_null(task);
    const SignOrder wrong[] = {
        { key, scheme_by_id(0x0403), { digest, 31 } },
        { key, scheme_by_id(0x0503), { digest, 48 } },
        { key, scheme_by_id(0x0804), { digest, 32 } },
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(wrong); i++) {
        assert_int_equal(sign_task_start(machine->work, &wrong[i], on_bytes, &result, &task), 0);
        machine_until(machine, result.calls == i + 1);
        assert_int_equal(result.failure.kind, FAILURE_INVALID_ARGUMENT);
        assert_int_equal(result.bytes.size, 0);
    }
}

/* ---- requests ---- */

static RequestNames names_of(const char *subject, const char *dns) {
    RequestNames names = { .subject = strdup(subject) };

    assert_non_null(names.subject);
    if (dns) {
        names.san_values[0] = strdup(dns);
        names.sans[0] = (CsrSan) { SAN_DNS, names.san_values[0] };
        names.san_count = 1;
    }
    return names;
}

static gnutls_x509_crq_t parse(const Result *result) {
    const gnutls_datum_t der = { result->bytes.data, (unsigned) result->bytes.size };
    gnutls_x509_crq_t request;

    assert_int_equal(gnutls_x509_crq_init(&request), 0);
    assert_int_equal(gnutls_x509_crq_import(request, &der, GNUTLS_X509_FMT_DER), 0);
    assert_int_equal(gnutls_x509_crq_verify(request, 0), 0);
    return request;
}

static void assert_request(const Result *result, const TpmKey *key, const char *subject, const char *dns) {
    _cleanup_bytes_ Bytes spki = BYTES_NULL;
    char text[256];
    size_t size = sizeof text;
    gnutls_x509_crq_t request = parse(result);

    assert_int_equal(csr_spki(bytes_view(&result->bytes), &spki), 0);
    assert_true(bytes_view_equal(bytes_view(&spki), tpm_key_spki(key)));
    assert_int_equal(gnutls_x509_crq_get_dn(request, text, &size), 0);
    assert_string_equal(text, subject);
    size = sizeof text;
    int r = gnutls_x509_crq_get_subject_alt_name(request, 0, text, &size, NULL, NULL);
    if (dns) {
        assert_int_equal(r, GNUTLS_SAN_DNSNAME);
        assert_int_equal(size, strlen(dns));
        assert_memory_equal(text, dns, size);
    } else
        assert_true(r < 0);
    gnutls_x509_crq_deinit(request);
}

static void test_request(void **state) {
    Machine *machine = *state;
    _cleanup_result_ Result result = { 0 };
    TpmTask *task = NULL;
    char eku[] = EKU_CLIENT_AUTH, oid[64];
    size_t size = sizeof oid;

    machine_start_parts(machine, no_duties);
    _cleanup_tpm_key_ TpmKey *key = make_key(machine, KEY_ECDSA_P256);
    RequestOrder order = { .key = key, .names = names_of("CN=x,O=test", "x.example"), .eku = { eku }, .eku_count = 1 };
    assert_int_equal(request_task_start(machine->work, &order, on_bytes, &result, &task), 0);
    assert_null(order.names.subject); /* taken over */
    assert_int_equal(order.names.san_count, 0);
    memset(eku, '9', 3); /* and the rest was copied */
    machine_until(machine, result.calls == 1);
    assert_int_equal(result.failure.kind, FAILURE_NONE);
    assert_request(&result, key, "O=test,CN=x", "x.example");
    gnutls_x509_crq_t request = parse(&result);
    assert_true(gnutls_x509_crq_get_key_purpose_oid(request, 0, oid, &size, NULL) >= 0);
    assert_string_equal(oid, EKU_CLIENT_AUTH);
    size = sizeof oid;
    assert_true(gnutls_x509_crq_get_key_purpose_oid(request, 1, oid, &size, NULL) < 0);
    gnutls_x509_crq_deinit(request);
}

/* Of a renewal: the names that the certificate has, whatever else is said. */
static void test_request_of_renewal(void **state) {
    Machine *machine = *state;
    _cleanup_result_ Result result = { 0 };
    _cleanup_certificates_ CertificateList list = { 0 };
    const FakeRequest old = { .common_name = "old", .dns = "old.example" };
    gnutls_privkey_t other = fake_key_new(FAKE_KEY_P256);
    _cleanup_free_ char *pem = fake_ca_issue(machine->ca, other, &old);
    TpmTask *task = NULL;
    Failure failure = FAILURE_INIT;

    gnutls_privkey_deinit(other);
    machine_start_parts(machine, no_duties);
    assert_int_equal(certificate_list_from_pem(bytes_view_string(pem), 1, &list, &failure), 0);
    _cleanup_tpm_key_ TpmKey *key = make_key(machine, KEY_ECDSA_P256);
    RequestOrder order = { .key = key, .renew = list.list[0] };
    assert_int_equal(request_task_start(machine->work, &order, on_bytes, &result, &task), 0);
    certificate_list_clear(&list);
    machine_until(machine, result.calls == 1);
    assert_request(&result, key, "CN=old", "old.example");
}

static void test_request_refused(void **state) {
    Machine *machine = *state;
    _cleanup_result_ Result result = { 0 };
    TpmTask *task = NULL;

    machine_start_parts(machine, no_duties);
    _cleanup_tpm_key_ TpmKey *key = make_key(machine, KEY_ECDSA_P256);
    RequestOrder order = { .key = key, .names = names_of("no name", NULL) };
    assert_int_equal(request_task_start(machine->work, &order, on_bytes, &result, &task), 0);
    machine_until(machine, result.calls == 1);
    assert_int_equal(result.failure.kind, FAILURE_INVALID_ARGUMENT);
    assert_int_equal(result.bytes.size, 0);
    /* What the TPM says counts more than what the library makes of it. */
    assert_int_equal(swtpm_kill(machine->swtpm), 0);
    order = (RequestOrder) { .key = key, .names = names_of("CN=x", NULL) };
    assert_int_equal(request_task_start(machine->work, &order, on_bytes, &result, &task), 0);
    machine_until(machine, result.calls == 2);
    assert_int_equal(result.failure.kind, FAILURE_TPM_UNAVAILABLE);
    assert_int_equal(result.bytes.size, 0);
}

/* A challenge is in the request as it was said, up to its bound; a longer one is refused before anything is begun. */
static void test_challenge(void **state) {
    Machine *machine = *state;
    _cleanup_result_ Result result = { 0 };
    char challenge[CSR_CHALLENGE_MAX + 2];
    TpmTask *task = NULL;

    machine_start_parts(machine, no_duties);
    _cleanup_tpm_key_ TpmKey *key = make_key(machine, KEY_ECDSA_P256);
    memset(challenge, 'c', sizeof challenge);
    challenge[CSR_CHALLENGE_MAX + 1] = '\0';
    RequestOrder order = { .key = key, .names = names_of("CN=x", NULL), .challenge = challenge };
    assert_int_equal(request_task_start(machine->work, &order, on_bytes, &result, &task), -E2BIG);
    assert_non_null(order.names.subject); /* stays the caller's */
    assert_null(task);
    challenge[CSR_CHALLENGE_MAX] = '\0';
    assert_int_equal(request_task_start(machine->work, &order, on_bytes, &result, &task), 0);
    machine_until(machine, result.calls == 1);
    assert_true(csr_has_challenge(bytes_view(&result.bytes)));
    assert_non_null(memmem(result.bytes.data, result.bytes.size, challenge, CSR_CHALLENGE_MAX));
    bytes_clear(&result.bytes);
    order = (RequestOrder) { .key = key, .names = names_of("CN=x", NULL) };
    assert_int_equal(request_task_start(machine->work, &order, on_bytes, &result, &task), 0);
    machine_until(machine, result.calls == 2);
    assert_false(csr_has_challenge(bytes_view(&result.bytes)));
}

static void test_names_are_cleared(void **state) {
    RequestNames names = names_of("CN=x", "x.example");

    request_names_clear(&names);
    assert_null(names.subject);
    assert_int_equal(names.san_count, 0);
    request_names_clear(&names);
}

/* Who is told that identityd stops may want more of the thread: it takes nothing, and what was handed to it stays with
 * whoever had it. */
typedef struct LastWish {
    Machine *machine;
    TpmKey *key;
    unsigned calls;
} LastWish;

static void on_stopped(const Failure *failure, TpmKey *key, void *userdata) {
    LastWish *wish = userdata;
    const uint8_t digest[32] = { 1 };
    const SignOrder sign = { wish->key, scheme_by_id(0x0403), { digest, sizeof digest } };
    RequestOrder request = { .key = wish->key, .names = names_of("CN=x", "x.example") };
    TpmTask *task = NULL;

    wish->calls++;
    tpm_key_free(key);
    assert_int_equal(key_task_start(wish->machine->work, KEY_ECDSA_P256, on_key, NULL, &task), -ESHUTDOWN);
    assert_int_equal(sign_task_start(wish->machine->work, &sign, on_bytes, NULL, &task), -ESHUTDOWN);
    assert_int_equal(request_task_start(wish->machine->work, &request, on_bytes, NULL, &task), -ESHUTDOWN);
    assert_null(task);
    assert_string_equal(request.names.subject, "CN=x");
    assert_string_equal(request.names.sans[0].value, "x.example");
    request_names_clear(&request.names);
}

static void test_nothing_is_begun_at_the_end(void **state) {
    Machine *machine = *state;
    TpmTask *task = NULL;

    machine_start_parts(machine, no_duties);
    _cleanup_tpm_key_ TpmKey *key = make_key(machine, KEY_ECDSA_P256);
    LastWish wish = { machine, key, 0 };
    assert_int_equal(key_task_start(machine->work, KEY_ECDSA_P256, on_stopped, &wish, &task), 0);
    device_stop(machine->device); /* delivers what the thread had still to say */
    assert_int_equal(wish.calls, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

/* ---- whose time they take ---- */

/* A key takes a share of its own; what others wait for goes first; and what is for a user is that user's. */
static void test_whose_time(void **state) {
    Machine *machine = *state;
    Result results[3] = { 0 };
    const uint8_t digest[32] = { 1 };
    TpmTask *tasks[3];

    machine_start_parts(machine, no_duties);
    _cleanup_tpm_key_ TpmKey *key = make_key(machine, KEY_ECDSA_P256);
    const SignOrder orders[] = {
        { .key = key, .scheme = scheme_by_id(0x0403), .digest = { digest, sizeof digest } },
        { .key = key,
          .scheme = scheme_by_id(0x0403),
          .digest = { digest, sizeof digest },
          .payer = { SIGNING_FOR_USER, 1000, "x" } },
    };
    Waiting *waiting = waiting_begin(machine);
    assert_string_equal(waiting_end(machine, waiting), "");
    waiting = waiting_begin(machine);
    assert_int_equal(key_task_start(machine->work, KEY_ECDSA_P256, on_key, &results[0], &tasks[0]), 0);
    assert_string_equal(waiting_end(machine, waiting), " ourselves/=1");
    machine_until(machine, results[0].calls == 1);
    for (unsigned i = 0; i < 2; i++) {
        waiting = waiting_begin(machine);
        assert_int_equal(sign_task_start(machine->work, &orders[i], on_bytes, &results[1 + i], &tasks[1 + i]), 0);
        const char *found = waiting_end(machine, waiting);
        assert_int_equal(strstr(found, " own") != NULL, i == 0);
        assert_int_equal(strstr(found, " 1000/x=1") != NULL, i == 1);
        machine_until(machine, results[1 + i].calls == 1);
        assert_int_equal(results[1 + i].failure.kind, FAILURE_NONE);
    }
    for (unsigned i = 0; i < ARRAY_LENGTH(results); i++)
        result_clear(&results[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_keys),
        TEST(test_no_key),
        TEST(test_forgotten),
        TEST(test_sign),
        TEST(test_sign_refused),
        TEST(test_request),
        TEST(test_request_of_renewal),
        TEST(test_request_refused),
        cmocka_unit_test_setup_teardown(test_challenge, machine_setup, machine_teardown),
        cmocka_unit_test(test_names_are_cleared),
        TEST(test_nothing_is_begun_at_the_end),
        TEST(test_whose_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
