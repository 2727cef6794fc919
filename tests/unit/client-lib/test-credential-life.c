/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What happens to a credential while it is open: renewals, revocation, restarts of identityd, forks and threads. */
#include "fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

/* ---- changes ---- */

static unsigned calls;
static uint32_t last_generation;

static void count_calls(identityd_credential *credential, uint32_t generation, void *userdata) {
    identityd_snapshot *snapshot = NULL;

    assert_ptr_equal(userdata, &calls);
    calls++;
    last_generation = generation;
    if (generation > 0) { /* calling back is allowed */
        assert_int_equal(identityd_credential_snapshot(credential, &snapshot), 0);
        assert_int_equal(identityd_snapshot_generation(snapshot), generation);
        identityd_snapshot_free(snapshot);
    }
}

static void test_new_generation(void **state) {
    identityd_credential *credential = open_for("data-raw");
    identityd_snapshot *before = NULL, *after = NULL;
    uint8_t signature[IDENTITYD_SIGNATURE_MAX];
    size_t size;
    int fd = identityd_credential_fd(credential);

    calls = 0;
    identityd_credential_set_callback(credential, count_calls, &calls);
    assert_int_equal(identityd_credential_snapshot(credential, &before), 0);
    (void) identityd_credential_process(credential);
    assert_int_equal(identityd_credential_process(credential), 0);
    assert_false(is_readable(fd, 0));
    calls = 0;

    set_generation(2, "ready");
    assert_true(is_readable(fd, 5000));
    assert_int_equal(identityd_credential_process(credential), 1);
    assert_int_equal(calls, 1);
    assert_int_equal(last_generation, 2);
    assert_false(is_readable(fd, 0));
    assert_int_equal(identityd_credential_process(credential), 0);

    /* both sign: the old for what began with it */
    assert_int_equal(identityd_credential_snapshot(credential, &after), 0);
    assert_string_equal(identityd_snapshot_chain(before, NULL), fixture.chain);
    assert_string_equal(identityd_snapshot_chain(after, NULL), fixture.next_chain);
    assert_int_equal(identityd_sign_message(credential, 1, P256, "x", 1, signature, &size), 0);
    assert_true(verify(fixture.chain, "x", 1, signature, size) >= 0);
    assert_int_equal(identityd_sign_message(credential, 0, P256, "x", 1, signature, &size), 0);
    assert_true(verify(fixture.next_chain, "x", 1, signature, size) >= 0);

    fake_identityd_forget_generation(fixture.fake, "mqtt", 1);
    assert_int_equal(identityd_sign_message(credential, 1, P256, "x", 1, signature, &size), -ESTALE);
    identityd_snapshot_free(before);
    identityd_snapshot_free(after);
    identityd_credential_free(credential);
}

/* A change that a signature's wait took in is told all the same: by the callback, the descriptor and process(). */
static void test_change_between_request_and_answer(void **state) {
    identityd_credential *credential = open_for("data-raw");
    uint8_t signature[IDENTITYD_SIGNATURE_MAX];
    size_t size;
    int fd = identityd_credential_fd(credential);

    (void) identityd_credential_process(credential);
    (void) identityd_credential_process(credential);
    calls = 0;
    identityd_credential_set_callback(credential, count_calls, &calls);
    fake_identityd_set_fault(fixture.fake, FAKE_FAULT_STATE_BEFORE_ANSWER);
    for (unsigned i = 0; i < 50; i++) {
        assert_int_equal(identityd_sign_message(credential, 1, P256, "x", 1, signature, &size), 0);
        assert_true(verify(fixture.chain, "x", 1, signature, size) >= 0);
    }
    assert_true(calls >= 50);
    assert_true(is_readable(fd, 0));
    assert_int_equal(identityd_credential_process(credential), 1);
    assert_false(is_readable(fd, 0));
    identityd_credential_free(credential);
}

static void test_restart_and_reopen(void **state) {
    identityd_credential *credential = open_for("data-raw");
    identityd_snapshot *snapshot = NULL;
    uint8_t signature[IDENTITYD_SIGNATURE_MAX];
    size_t size;
    int fd = identityd_credential_fd(credential);

    calls = 0;
    identityd_credential_set_callback(credential, count_calls, &calls);
    fake_identityd_close_handles(fixture.fake);
    assert_true(is_readable(fd, 5000));
    assert_int_equal(identityd_credential_process(credential), -EPIPE);
    assert_int_equal(calls, 1);
    assert_int_equal(last_generation, 0);
    assert_false(is_readable(fd, 0)); /* said once: no busy loop */
    assert_int_equal(identityd_credential_process(credential), -EPIPE);
    assert_int_equal(identityd_sign_message(credential, 0, P256, "x", 1, signature, &size), -EPIPE);
    assert_error_says("closed the credential handle of mqtt");
    assert_int_equal(identityd_credential_snapshot(credential, &snapshot), -EPIPE);
    assert_null(snapshot);

    fake_identityd_leave_bus(fixture.fake);
    assert_int_equal(identityd_credential_reopen(credential), -EHOSTDOWN);
    fake_identityd_join_bus(fixture.fake);
    assert_int_equal(identityd_credential_reopen(credential), 0);
    assert_int_equal(calls, 2);
    assert_int_equal(last_generation, 1);
    assert_int_equal(identityd_credential_fd(credential), fd); /* the same number */
    assert_int_equal(identityd_credential_process(credential), 1);
    assert_int_equal(identityd_sign_message(credential, 0, P256, "x", 1, signature, &size), 0);
    set_generation(2, "ready");
    assert_true(is_readable(fd, 5000));
    identityd_credential_free(credential);
}

static void test_closed_while_signing(void **state) {
    identityd_credential *credential = open_for("data-raw");
    uint8_t signature[IDENTITYD_SIGNATURE_MAX];
    size_t size;

    fake_identityd_set_fault(fixture.fake, FAKE_FAULT_CLOSE_AT_SIGN);
    assert_int_equal(identityd_sign_message(credential, 1, P256, "x", 1, signature, &size), -EPIPE);
    fake_identityd_set_fault(fixture.fake, FAKE_FAULT_NONE);
    assert_int_equal(identityd_credential_reopen(credential), 0);
    assert_int_equal(identityd_sign_message(credential, 1, P256, "x", 1, signature, &size), 0);
    identityd_credential_free(credential);
}

/* The last State says why, also when it is found only together with the end of the connection. */
static void test_revoked(void **state) {
    identityd_credential *credential = open_for("data-raw"), *late = open_for("data-raw");
    uint8_t signature[IDENTITYD_SIGNATURE_MAX];
    size_t size;

    set_generation(1, "revoked");
    assert_int_equal(identityd_credential_process(credential), 1);
    fake_identityd_close_handles(fixture.fake);
    assert_int_equal(identityd_credential_process(credential), -EPIPE);
    assert_int_equal(identityd_sign_message(credential, 0, P256, "x", 1, signature, &size), -EKEYREVOKED);
    assert_int_equal(identityd_sign_message(late, 1, P256, "x", 1, signature, &size), -EKEYREVOKED);
    assert_error_says("revoked");
    identityd_credential_free(credential);
    identityd_credential_free(late);
}

/* ---- processes and threads ---- */

static int child_checks(identityd_credential *credential) {
    identityd_snapshot *snapshot = NULL;
    uint8_t signature[IDENTITYD_SIGNATURE_MAX];
    size_t size;

    if (identityd_sign_message(credential, 0, P256, "x", 1, signature, &size) != -ECHILD)
        return 1;
    if (!strstr(identityd_last_error(), "another process"))
        return 2;
    if (identityd_credential_process(credential) != -ECHILD ||
        identityd_credential_snapshot(credential, &snapshot) != -ECHILD)
        return 3;
    if (identityd_credential_reopen(credential) < 0)
        return 4;
    if (identityd_sign_message(credential, 0, P256, "x", 1, signature, &size) < 0)
        return 5;
    if (identityd_credential_process(credential) != 1 || identityd_credential_snapshot(credential, &snapshot) < 0)
        return 6;
    identityd_snapshot_free(snapshot);
    identityd_credential_free(credential);
    return 0;
}

static void test_fork(void **state) {
    identityd_credential *credential = open_for("data-raw");
    uint8_t signature[IDENTITYD_SIGNATURE_MAX];
    size_t size;
    int status, fd = identityd_credential_fd(credential);

    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(child_checks(credential));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    /* the parent's goes on, and so does its descriptor */
    assert_int_equal(identityd_sign_message(credential, 0, P256, "x", 1, signature, &size), 0);
    (void) identityd_credential_process(credential);
    set_generation(2, "ready");
    assert_true(is_readable(fd, 5000));
    assert_int_equal(identityd_credential_process(credential), 1);
    identityd_credential_free(credential);
}

#ifndef __SANITIZE_ADDRESS__
static atomic_bool stop_signing;

static void *sign_until_stopped(void *userdata) {
    uint8_t signature[IDENTITYD_SIGNATURE_MAX];
    size_t size;

    while (!stop_signing)
        if (identityd_sign_message(userdata, 1, P256, "x", 1, signature, &size) < 0)
            return (void *) 1;
    return NULL;
}

/* The locks are held by another thread at the time of most of these forks: the child must not wait for them. */
static void test_fork_while_locked(void **state) {
    identityd_credential *credential = open_for("data-raw");
    pthread_t thread;
    void *result;
    int status;

    stop_signing = false;
    assert_int_equal(pthread_create(&thread, NULL, sign_until_stopped, credential), 0);
    for (unsigned i = 0; i < 10; i++) {
        usleep(500 * i);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            alarm(20);
            _exit(child_checks(credential));
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
    stop_signing = true;
    pthread_join(thread, &result);
    assert_null(result);
    identityd_credential_free(credential);
}

#endif

static void *sign_many(void *userdata) {
    uint8_t signature[IDENTITYD_SIGNATURE_MAX];
    char message[64];
    size_t size;

    for (unsigned i = 0; i < 100; i++) {
        identityd_snapshot *snapshot = NULL;
        int length = snprintf(message, sizeof(message), "%p %u", (void *) &size, i);
        if (identityd_credential_snapshot(userdata, &snapshot) < 0)
            return (void *) 1;
        uint32_t generation = identityd_snapshot_generation(snapshot);
        int r = identityd_sign_message(userdata, generation, P256, message, (size_t) length, signature, &size);
        if (r < 0 || verify(identityd_snapshot_chain(snapshot, NULL), message, (size_t) length, signature, size) < 0)
            return (void *) 2;
        identityd_snapshot_free(snapshot);
        (void) identityd_credential_process(userdata);
    }
    return NULL;
}

static void test_threads_across_renewals(void **state) {
    identityd_credential *credential = open_for("data-raw");
    pthread_t threads[4];

    for (size_t i = 0; i < ARRAY_LENGTH(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, sign_many, credential), 0);
    for (unsigned i = 0; i < 20; i++) {
        set_generation(1 + i % 2, "ready");
        usleep(2000);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(threads); i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_null(result);
    }
    identityd_credential_free(credential);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_new_generation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_change_between_request_and_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restart_and_reopen, setup, teardown),
        cmocka_unit_test_setup_teardown(test_closed_while_signing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_revoked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fork, setup, teardown),
#ifndef __SANITIZE_ADDRESS__ /* whose allocator has locks that a fork leaves locked; fork-client.c is built without */
        cmocka_unit_test_setup_teardown(test_fork_while_locked, setup, teardown),
#endif
        cmocka_unit_test_setup_teardown(test_threads_across_renewals, setup, teardown),
    };

    return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
