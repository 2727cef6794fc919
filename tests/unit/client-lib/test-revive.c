/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A credential that opens itself again: at once, and then less and less often, by a clock that the test puts forward.
 */
#include "fixture.h"

#include "client-lib/credential.h"
#include "common/handle-protocol.h"
#include "common/macros.h"

#include <errno.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static _Atomic long ahead_ms;

/* The clock of the library, which stands but for what it is put forward by. */
int clock_gettime(clockid_t clock, struct timespec *ret) {
    static struct timespec start;

    if (clock != CLOCK_MONOTONIC)
        return (int) syscall(SYS_clock_gettime, clock, ret);
    if (start.tv_sec == 0)
        (void) syscall(SYS_clock_gettime, clock, &start);
    *ret = (struct timespec) { start.tv_sec + ahead_ms / 1000, ahead_ms % 1000 * 1000000 };
    return 0;
}

/* Uses the credential; how often identityd was asked for another. */
static unsigned attempts(identityd_credential *credential, int expected) {
    unsigned before = fake_identityd_opened(fixture.fake);
    identityd_snapshot *snapshot = NULL;

    assert_int_equal(credential_use(credential, &snapshot), expected);
    assert_int_equal(snapshot != NULL, expected == 0);
    identityd_snapshot_free(snapshot);
    return fake_identityd_opened(fixture.fake) - before;
}

static void close_and_refuse(identityd_credential *credential) {
    fake_identityd_refuse(fixture.fake, "org.identityd1.Error.Busy", "busy");
    fake_identityd_close_handles(fixture.fake);
    while (identityd_credential_process(credential) >= 0)
        ;
}

static void test_less_and_less_often(void **state) {
    static const unsigned waits[] = { 1, 2, 4, 8, 16, REVIVE_SECONDS_MAX, REVIVE_SECONDS_MAX, REVIVE_SECONDS_MAX };
    identityd_credential *credential = open_for("data-raw");

    assert_int_equal(attempts(credential, 0), 0);
    close_and_refuse(credential);
    assert_int_equal(attempts(credential, -EBUSY), 1); /* at once */
    for (size_t i = 0; i < ARRAY_LENGTH(waits); i++) {
        assert_int_equal(attempts(credential, -EPIPE), 0);
        ahead_ms += waits[i] * 1000L - 1;
        assert_int_equal(attempts(credential, -EPIPE), 0);
        ahead_ms += 1;
        assert_int_equal(attempts(credential, -EBUSY), 1);
    }
    fake_identityd_refuse(fixture.fake, NULL, NULL);
    assert_int_equal(attempts(credential, -EPIPE), 0);
    ahead_ms += REVIVE_SECONDS_MAX * 1000L;
    assert_int_equal(attempts(credential, 0), 1);
    assert_int_equal(attempts(credential, 0), 0);

    /* Once it was open again, it begins anew. */
    close_and_refuse(credential);
    ahead_ms += REVIVE_SECONDS_MAX * 1000L;
    assert_int_equal(attempts(credential, -EBUSY), 1);
    ahead_ms += REVIVE_SECONDS_MIN * 1000L - 1;
    assert_int_equal(attempts(credential, -EPIPE), 0);
    ahead_ms += 1;
    assert_int_equal(attempts(credential, -EBUSY), 1);
    identityd_credential_free(credential);
}

/* What opening it again cannot mend is not tried. */
static void test_what_cannot_be_mended(void **state) {
    identityd_credential *credential = open_for("data-raw");
    uint8_t signature[IDENTITYD_SIGNATURE_MAX];
    size_t size;
    const SignRequest request = { HANDLE_SIGN_MESSAGE, 1, P256, { (const uint8_t *) "x", 1 } };
    unsigned before = fake_identityd_opened(fixture.fake);

    fake_identityd_set(
        fixture.fake,
        &(FakeIdentity) {
            .name = "mqtt", .generation = 1, .key = fixture.key, .chain = fixture.chain, .blocked = FAILURE_BUSY });
    assert_int_equal(credential_sign(credential, &request, signature, &size), -EBUSY);
    assert_int_equal(fake_identityd_opened(fixture.fake), before);
    set_generation(1, "ready");
    assert_int_equal(credential_sign(credential, &request, signature, &size), 0);
    fake_identityd_close_handles(fixture.fake);
    assert_int_equal(credential_sign(credential, &request, signature, &size), 0);
    assert_int_equal(fake_identityd_opened(fixture.fake), before + 1);
    identityd_credential_free(credential);
}

/* Whatever it was closed for, it may be another one by now. */
static void test_what_may_be_mended(void **state) {
    static const struct {
        const char *word;
        int r;
    } ends[] = { { "revoked", -EKEYREVOKED }, { "retired", -ENOKEY }, { "ready", -EPIPE } };

    for (size_t i = 0; i < ARRAY_LENGTH(ends); i++) {
        identityd_credential *credential = open_for("data-raw");
        identityd_snapshot *snapshot = NULL;
        set_generation(1, ends[i].word);
        fake_identityd_close_handles(fixture.fake);
        while (identityd_credential_process(credential) >= 0)
            ;
        assert_int_equal(identityd_credential_snapshot(credential, &snapshot), ends[i].r);
        set_generation(1, "ready");
        assert_int_equal(attempts(credential, 0), 1);
        identityd_credential_free(credential);
    }
}

/* A State of somebody else ends the connection, and another is asked for, once. */
static void test_after_a_violation(void **state) {
    identityd_credential *credential = open_for("data-raw");
    uint8_t signature[IDENTITYD_SIGNATURE_MAX];
    size_t size;
    const SignRequest request = { HANDLE_SIGN_MESSAGE, 1, P256, { (const uint8_t *) "x", 1 } };

    fake_identityd_set_fault(fixture.fake, FAKE_FAULT_WRONG_IDENTITY);
    set_generation(1, "ready");
    unsigned before = fake_identityd_opened(fixture.fake);
    assert_int_equal(credential_sign(credential, &request, signature, &size), -EBADMSG);
    assert_int_equal(fake_identityd_opened(fixture.fake), before + 1);
    identityd_credential_free(credential);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_less_and_less_often, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_mended, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_may_be_mended, setup, teardown),
        cmocka_unit_test_setup_teardown(test_after_a_violation, setup, teardown),
    };

    return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
