/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libidentityd against a bus with something that owns identityd's name: opening and signing, and each way in which the
 * service can be absent or refuse. Through the shared library's public functions. */
#include "fixture.h"

#include "common/certificate-verify.h"
#include "common/names.h"

#include <dirent.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned count_descriptors(void) {
    DIR *directory = opendir("/proc/self/fd");
    unsigned count = 0;

    assert_non_null(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

/* ---- opening ---- */

static void test_open_and_snapshot(void **state) {
    identityd_credential *credential = open_for("data-raw");
    identityd_snapshot *snapshot = NULL;
    size_t size = 0;

    assert_int_equal(identityd_credential_snapshot(credential, &snapshot), 0);
    assert_string_equal(identityd_snapshot_identity(snapshot), "mqtt");
    assert_string_equal(identityd_snapshot_purpose(snapshot), "data-raw");
    assert_string_equal(identityd_snapshot_state(snapshot), "ready");
    assert_int_equal(identityd_snapshot_generation(snapshot), 1);
    assert_true(identityd_snapshot_not_after(snapshot) == UINT64_C(4000000000000000));
    assert_string_equal(identityd_snapshot_chain(snapshot, &size), fixture.chain);
    assert_int_equal(size, strlen(fixture.chain));
    assert_string_equal(identityd_snapshot_anchors(snapshot, NULL), fixture.ca->pem);
    assert_string_equal(identityd_snapshot_crls(snapshot, NULL), fixture.crl);
    assert_null(identityd_snapshot_ocsp(snapshot, &size));
    assert_int_equal(identityd_snapshot_schemes(snapshot)[0], P256);
    assert_int_equal(identityd_snapshot_schemes(snapshot)[1], 0);
    identityd_credential_free(credential);
    /* outlives the credential */
    assert_string_equal(identityd_snapshot_identity(snapshot), "mqtt");
    assert_null(identityd_snapshot_free(snapshot));
    assert_null(identityd_snapshot_free(NULL));
    assert_null(identityd_credential_free(NULL));
}

static void test_open_arguments(void **state) {
    identityd_credential *credential = NULL;

    assert_int_equal(identityd_credential_open(NULL, "data-raw", &credential), -EINVAL);
    assert_int_equal(identityd_credential_open("", "data-raw", &credential), -EINVAL);
    assert_int_equal(identityd_credential_open("../mqtt", "data-raw", &credential), -EINVAL);
    assert_error_says("../mqtt");
    assert_int_equal(identityd_credential_open("mqtt", NULL, &credential), -EINVAL);
    assert_int_equal(identityd_credential_open("mqtt", "everything", &credential), -EINVAL);
    assert_error_says("everything");
    assert_int_equal(identityd_credential_open("mqtt", "data-raw", NULL), -EINVAL);
    assert_null(credential);
    assert_int_equal(fake_identityd_opened(fixture.fake), 0);
}

static void test_unknown_identity(void **state) {
    identityd_credential *credential = NULL;

    assert_int_equal(identityd_credential_open("nobody", "data-raw", &credential), -ENOENT);
    assert_error_says("There is no identity 'nobody'");
    assert_null(credential);
}

static void test_refusals_of_the_service(void **state) {
    static const struct {
        const char *name;
        int r;
    } table[] = {
        { IDENTITYD_ERROR_PREFIX "AccessDenied", -EACCES },
        { IDENTITYD_ERROR_PREFIX "NoSuchIdentity", -ENOENT },
        { IDENTITYD_ERROR_PREFIX "NotReady", -EAGAIN },
        { IDENTITYD_ERROR_PREFIX "Expired", -EKEYEXPIRED },
        { IDENTITYD_ERROR_PREFIX "Revoked", -EKEYREVOKED },
        { IDENTITYD_ERROR_PREFIX "Retired", -ENOKEY },
        { IDENTITYD_ERROR_PREFIX "TpmUnavailable", -ENODEV },
        { IDENTITYD_ERROR_PREFIX "TpmReplaced", -ENODEV },
        { IDENTITYD_ERROR_PREFIX "InvalidArgument", -EINVAL },
        { IDENTITYD_ERROR_PREFIX "PurposeViolation", -EPERM },
        { IDENTITYD_ERROR_PREFIX "Busy", -EBUSY },
        { IDENTITYD_ERROR_PREFIX "LimitsExceeded", -EDQUOT },
        { IDENTITYD_ERROR_PREFIX "SomethingNew", -EIO },
        { "org.freedesktop.DBus.Error.AccessDenied", -EACCES },
        { "org.freedesktop.DBus.Error.Failed", -EIO },
        { "org.freedesktop.DBus.Error.UnknownMethod", -EHOSTDOWN },
        { "com.example.Strange", -EIO },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(table); i++) {
        identityd_credential *credential = NULL;
        fake_identityd_refuse(fixture.fake, table[i].name, "Because the test\nsays so.");
        assert_int_equal(identityd_credential_open("mqtt", "data-raw", &credential), table[i].r);
        assert_error_says("says so.");
        assert_null(strchr(identityd_last_error(), '\n'));
        assert_null(credential);
    }
}

static void test_service_absent(void **state) {
    identityd_credential *credential = NULL;

    fake_identityd_leave_bus(fixture.fake);
    assert_int_equal(identityd_credential_open("mqtt", "data-raw", &credential), -EHOSTDOWN);
    assert_error_says("not running");
    fake_identityd_join_bus(fixture.fake);
    identityd_credential_free(open_for("data-raw"));
}

static void test_bus_absent(void **state) {
    identityd_credential *credential = NULL;
    char *address = strdup(getenv("DBUS_SYSTEM_BUS_ADDRESS"));

    setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus", 1);
    assert_int_equal(identityd_credential_open("mqtt", "data-raw", &credential), -EHOSTDOWN);
    assert_error_says("system bus");
    setenv("DBUS_SYSTEM_BUS_ADDRESS", address, 1);
    free(address);
}

static void test_bad_replies(void **state) {
    static const struct {
        FakeFault fault;
        int r;
    } table[] = {
        { FAKE_FAULT_REPLY_WITHOUT_HANDLE, -EBADMSG }, { FAKE_FAULT_REPLY_PIPE, -EBADMSG },
        { FAKE_FAULT_REPLY_STREAM, -EBADMSG },         { FAKE_FAULT_CLOSE_AT_OPEN, -EPIPE },
        { FAKE_FAULT_WRONG_IDENTITY, -EBADMSG },       { FAKE_FAULT_WRONG_PURPOSE, -EBADMSG },
    };
    unsigned before = count_descriptors();

    for (size_t i = 0; i < ARRAY_LENGTH(table); i++) {
        identityd_credential *credential = NULL;
        fake_identityd_set_fault(fixture.fake, table[i].fault);
        int r = identityd_credential_open("mqtt", "data-raw", &credential);
        if (r != table[i].r)
            fail_msg("fault %d: %d instead of %d: %s", (int) table[i].fault, r, table[i].r, identityd_last_error());
        assert_true(identityd_last_error()[0] != '\0');
        assert_null(credential);
    }
    fake_identityd_set_fault(fixture.fake, FAKE_FAULT_NONE);
    fake_identityd_close_handles(fixture.fake);
    assert_int_equal(count_descriptors(), before);
}

static void test_no_descriptor_leaks(void **state) {
    unsigned before = count_descriptors();

    for (unsigned i = 0; i < 20; i++) {
        identityd_credential *credential = open_for("data-raw");
        assert_true(identityd_credential_fd(credential) >= 0);
        set_generation(1 + i % 2, "ready");
        (void) identityd_credential_process(credential);
        assert_int_equal(identityd_credential_reopen(credential), 0);
        identityd_credential_free(credential);
    }
    fake_identityd_close_handles(fixture.fake); /* the fake lives in this process, too */
    assert_int_equal(count_descriptors(), before);
}

static int count_after_exec(void) {
    char text[16] = "";
    FILE *pipe = popen("ls /proc/self/fd | wc -l", "re");

    assert_non_null(pipe);
    assert_non_null(fgets(text, sizeof(text), pipe));
    assert_int_equal(pclose(pipe), 0);
    return atoi(text);
}

static void test_descriptors_are_closed_on_exec(void **state) {
    int before = count_after_exec();
    identityd_credential *credential = open_for("data-raw");

    assert_true(identityd_credential_fd(credential) >= 0);
    assert_int_equal(count_after_exec(), before);
    identityd_credential_free(credential);
}

static void test_from_fd(void **state) {
    identityd_credential *credential = NULL;
    uint8_t signature[IDENTITYD_SIGNATURE_MAX];
    size_t size = 0;
    int pipes[2];

    assert_int_equal(identityd_credential_from_fd(fake_identityd_handle(fixture.fake, "mqtt", "data-raw"), &credential),
                     0);
    assert_int_equal(identityd_sign_message(credential, 0, P256, "hello", 5, signature, &size), 0);
    assert_true(verify(fixture.chain, "hello", 5, signature, size) >= 0);
    /* what it was opened with is known from its State */
    assert_int_equal(identityd_credential_reopen(credential), 0);
    assert_int_equal(identityd_sign_message(credential, 0, P256, "hello", 5, signature, &size), 0);
    identityd_credential_free(credential);

    credential = NULL;
    assert_int_equal(identityd_credential_from_fd(-1, &credential), -EINVAL);
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(identityd_credential_from_fd(pipes[0], &credential), -ENOTSOCK);
    assert_int_equal(fcntl(pipes[0], F_GETFD), -1); /* taken also on failure */
    close(pipes[1]);
    assert_null(credential);
}

/* ---- signing ---- */

static void test_sign_each_way(void **state) {
    static const char message[] = "a message";
    identityd_credential *credential = open_for("digest");
    uint8_t signature[IDENTITYD_SIGNATURE_MAX], digest[32], content[CERTIFICATE_VERIFY_MAX];
    size_t size = 0;

    assert_int_equal(identityd_sign_message(credential, 0, P256, message, sizeof(message), signature, &size), 0);
    assert_true(verify(fixture.chain, message, sizeof(message), signature, size) >= 0);
    assert_true(verify(fixture.chain, message, sizeof(message) - 1, signature, size) < 0);

    assert_int_equal(gnutls_hash_fast(GNUTLS_DIG_SHA256, message, sizeof(message), digest), 0);
    assert_int_equal(identityd_sign_digest(credential, 1, P256, digest, 32, signature, &size), 0);
    assert_true(verify(fixture.chain, message, sizeof(message), signature, size) >= 0);

    assert_int_equal(identityd_sign_transcript(credential, 1, P256, digest, 32, signature, &size), 0);
    int length = certificate_verify_build(TLS_SIDE_CLIENT, (BytesView) { digest, 32 }, content);
    assert_true(verify(fixture.chain, content, (size_t) length, signature, size) >= 0);

    identityd_credential_free(credential);
}

static void test_sign_limits(void **state) {
    identityd_credential *credential = open_for("data-raw");
    uint8_t signature[IDENTITYD_SIGNATURE_MAX];
    char *message = calloc(1, IDENTITYD_MESSAGE_MAX + 1);
    size_t size = 77;

    message[0] = 'x';
    assert_int_equal(identityd_sign_message(credential, 0, P256, message, IDENTITYD_MESSAGE_MAX + 1, signature, &size),
                     -EMSGSIZE);
    assert_int_equal(identityd_sign_message(credential, 0, 0x1234, message, 4, signature, &size), -EINVAL);
    assert_error_says("0x1234");
    assert_int_equal(identityd_sign_message(credential, 0, P256, NULL, 4, signature, &size), -EINVAL);
    assert_int_equal(identityd_sign_message(credential, 0, P256, message, 4, NULL, &size), -EINVAL);
    for (size_t n = 0; n < 66; n++) {
        if (n != 32)
            assert_int_equal(identityd_sign_digest(credential, 0, P256, message, n, signature, &size), -EINVAL);
        if (n != 32 && n != 48)
            assert_int_equal(identityd_sign_transcript(credential, 0, P256, message, n, signature, &size), -EINVAL);
    }
    assert_int_equal(fake_identityd_asked(fixture.fake), 0);
    assert_int_equal(size, 77);
    assert_int_equal(identityd_sign_message(credential, 0, P256, message, IDENTITYD_MESSAGE_MAX, signature, &size), 0);
    assert_true(verify(fixture.chain, message, IDENTITYD_MESSAGE_MAX, signature, size) >= 0);
    assert_int_equal(identityd_sign_message(credential, 0, P256, NULL, 0, signature, &size), 0);
    free(message);
    identityd_credential_free(credential);
}

static void test_purpose_violation(void **state) {
    identityd_credential *credential = open_for("tls-client");
    uint8_t signature[IDENTITYD_SIGNATURE_MAX];
    size_t size = 77;

    assert_int_equal(identityd_sign_message(credential, 0, P256, "hello", 5, signature, &size), -EPERM);
    assert_error_says("signing with mqtt for tls-client: the fake refuses to sign this");
    assert_int_equal(identityd_sign_digest(credential, 0, P256, signature, 32, signature, &size), -EPERM);
    assert_int_equal(size, 77);
    identityd_credential_free(credential);
}

static void test_status_becomes_errno(void **state) {
    static const struct {
        FailureKind kind;
        int r;
    } table[] = {
        { FAILURE_INTERNAL, -EIO },        { FAILURE_ACCESS_DENIED, -EACCES }, { FAILURE_NOT_READY, -EAGAIN },
        { FAILURE_EXPIRED, -EKEYEXPIRED }, { FAILURE_REVOKED, -EKEYREVOKED },  { FAILURE_TPM_UNAVAILABLE, -ENODEV },
        { FAILURE_TPM_REPLACED, -ENODEV }, { FAILURE_RETIRED, -ENOKEY },       { FAILURE_BUSY, -EBUSY },
        { FAILURE_STORAGE, -EIO },         { (FailureKind) 999, -EIO },
    };
    identityd_credential *credential = open_for("data-raw");
    uint8_t signature[IDENTITYD_SIGNATURE_MAX];
    size_t size;

    for (size_t i = 0; i < ARRAY_LENGTH(table); i++) {
        fake_identityd_set(fixture.fake, &(FakeIdentity) { .name = "mqtt",
                                                           .generation = 1,
                                                           .key = fixture.key,
                                                           .chain = fixture.chain,
                                                           .blocked = table[i].kind });
        assert_int_equal(identityd_sign_message(credential, 0, P256, "x", 1, signature, &size), table[i].r);
        assert_error_says("the fake blocks this identity");
    }
    identityd_credential_free(credential);
}

static void test_no_certificate_yet(void **state) {
    identityd_credential *credential = NULL;
    uint8_t signature[IDENTITYD_SIGNATURE_MAX];
    size_t size;

    fake_identityd_set(fixture.fake, &(FakeIdentity) { .name = "young", .state = "empty" });
    assert_int_equal(identityd_credential_open("young", "data-raw", &credential), 0);
    assert_int_equal(identityd_sign_message(credential, 0, P256, "x", 1, signature, &size), -EAGAIN);
    assert_error_says("empty");
    identityd_credential_free(credential);
}

static void test_rsa(void **state) {
    identityd_credential *credential = NULL;
    uint8_t signature[IDENTITYD_SIGNATURE_MAX];
    size_t size;

    fake_identityd_set(
        fixture.fake,
        &(FakeIdentity) { .name = "rsa", .generation = 1, .key = fixture.rsa_key, .chain = fixture.rsa_chain });
    assert_int_equal(identityd_credential_open("rsa", "data-raw", &credential), 0);
    assert_int_equal(identityd_sign_message(credential, 0, 0x0401, "x", 1, signature, &size), 0);
    assert_int_equal(size, 256);
    assert_true(verify(fixture.rsa_chain, "x", 1, signature, size) >= 0);
    identityd_credential_free(credential);
}

static void *fail_to_open(void *userdata) {
    identityd_credential *credential = NULL;

    return identityd_credential_open("elsewhere", "data-raw", &credential) == -ENOENT &&
                   strstr(identityd_last_error(), "elsewhere")
               ? NULL
               : (void *) 1;
}

static void test_last_error_is_per_thread(void **state) {
    identityd_credential *credential = NULL;
    pthread_t thread;
    void *result;

    assert_int_equal(identityd_credential_open("here", "data-raw", &credential), -ENOENT);
    assert_int_equal(pthread_create(&thread, NULL, fail_to_open, NULL), 0);
    pthread_join(thread, &result);
    assert_null(result);
    assert_error_says("'here'");
}

static void test_scheme_names(void **state) {
    assert_string_equal(identityd_scheme_name(P256), "ecdsa_secp256r1_sha256");
    assert_int_equal(identityd_scheme_number("rsa_pss_rsae_sha384"), 0x0805);
    assert_null(identityd_scheme_name(0));
    assert_int_equal(identityd_scheme_number("md5"), 0);
    assert_int_equal(identityd_scheme_number(NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_open_and_snapshot, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open_arguments, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_identity, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals_of_the_service, setup, teardown),
        cmocka_unit_test_setup_teardown(test_service_absent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bus_absent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_replies, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_descriptor_leaks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_descriptors_are_closed_on_exec, setup, teardown),
        cmocka_unit_test_setup_teardown(test_from_fd, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sign_each_way, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sign_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_purpose_violation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_status_becomes_errno, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_certificate_yet, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rsa, setup, teardown),
        cmocka_unit_test_setup_teardown(test_last_error_is_per_thread, setup, teardown),
        cmocka_unit_test_setup_teardown(test_scheme_names, setup, teardown),
    };

    return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
