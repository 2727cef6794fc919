/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A peer on the handle that does not keep to the protocol. The packets are made here byte by byte, since what is tested
 * must not check itself; they wait in the socket before the library asks, which is early enough for any answer. */
#include "client-lib/connection.h"
#include "common/handle-protocol.h"
#include "identityd/identityd.h"
#include "wire.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* ---- the first State ---- */

/* Sends `raw` as the answer to the first question and expects `r`. */
static void expect_open(const Raw *packet, const int *fds, size_t count, int expected) {
    unsigned before = count_descriptors();
    identityd_credential *credential = NULL;
    Wire wire = wire_new();

    send_with(wire.theirs, packet, fds, count);
    int r = identityd_credential_from_fd(wire.ours, &credential);
    if (r != expected)
        fail_msg("%d instead of %d: %s", r, expected, identityd_last_error());
    if (expected < 0)
        assert_null(credential);
    identityd_credential_free(credential);
    close(wire.theirs);
    assert_int_equal(count_descriptors(), before);
}

static void test_good(void **state) {
    good_state(&raw, 1);
    expect_open(&raw, NULL, 0, 0);
    field(&raw, 4711, "later version", 13); /* unknown tags are skipped */
    expect_open(&raw, NULL, 0, 0);
}

static void test_each_byte_missing(void **state) {
    good_state(&raw, 1);
    size_t whole = raw.size;
    for (size_t size = 1; size < whole; size++) {
        raw.size = size;
        expect_open(&raw, NULL, 0, -EBADMSG);
    }
}

/* No single wrong bit gets anything past the checks but what the bit itself says. */
static void test_each_bit_wrong(void **state) {
    good_state(&raw, 1);
    size_t header_bits = 16 * 8;
    for (size_t bit = 0; bit < raw.size * 8; bit++) {
        if (bit >= 32 && bit < 112)
            continue; /* serial, generation and scheme: any value is one */
        identityd_credential *credential = NULL;
        Wire wire = wire_new();
        raw.bytes[bit / 8] ^= (uint8_t) (1 << bit % 8);
        send_raw(wire.theirs, &raw);
        close(wire.theirs);
        int r = identityd_credential_from_fd(wire.ours, &credential);
        raw.bytes[bit / 8] ^= (uint8_t) (1 << bit % 8);
        /* a bit of the status makes it an error with a text; a zero serial a State that nobody asked for, then the end
         */
        if (bit < header_bits)
            assert_true(r < 0);
        identityd_credential_free(credential);
    }
}

/* Whoever had the handle before may have asked any number of questions. */
static void test_any_serial(void **state) {
    static const uint32_t serials[] = { 0, 2, 0x01000000, UINT32_MAX };

    for (size_t i = 0; i < ARRAY_LENGTH(serials); i++) {
        good_state(&raw, serials[i]);
        expect_open(&raw, NULL, 0, 0);
    }
}

static void test_wrong_type(void **state) {
    for (unsigned type = 0; type < 256; type++) {
        if (type == HANDLE_STATE || (type >= 0x82 && type <= 0x84)) /* signatures are left aside: test_unproved */
            continue;
        raw.size = 0;
        header(&raw, (uint8_t) type, 0, 1, 1);
        state_fields(&raw);
        expect_open(&raw, NULL, 0, -EBADMSG);
    }
}

static void test_error_instead(void **state) {
    raw.size = 0;
    header(&raw, HANDLE_STATE, 2, 1, 0);
    put(&raw, "no\033[31m\n\xff entry", 15);
    expect_open(&raw, NULL, 0, -EACCES);
    assert_non_null(strstr(identityd_last_error(), "no"));
    for (const char *c = identityd_last_error(); *c; c++)
        assert_true((unsigned char) *c >= ' ');
}

static void test_huge_packet(void **state) {
    raw.size = 0;
    header(&raw, HANDLE_STATE, 0, 1, 1);
    state_fields(&raw);
    while (raw.size < 16 + 65536 + 1)
        put(&raw, "", 1);
    expect_open(&raw, NULL, 0, -EBADMSG);
}

static void test_bad_fields(void **state) {
    static char long_name[70];
    const struct {
        uint16_t tag;
        const void *value;
        size_t size;
    } table[] = {
        { HANDLE_STATE_IDENTITY, "mqtt", 4 },     { HANDLE_STATE_PURPOSE, "data-raw", 8 }, /* twice */
        { HANDLE_STATE_STATE, "ready", 5 },       { HANDLE_STATE_SCHEMES, "\3", 1 },
        { HANDLE_STATE_NOT_AFTER, "1234567", 7 }, { HANDLE_STATE_NOT_AFTER, "123456789", 9 },
        { HANDLE_STATE_OLDEST, "123", 3 },        { HANDLE_STATE_FILES, "\1", 1 },
    };
    const struct {
        uint16_t tag;
        const void *value;
        size_t size;
    } replaced[] = {
        { HANDLE_STATE_IDENTITY, "", 0 },      { HANDLE_STATE_IDENTITY, "../etc", 6 },
        { HANDLE_STATE_IDENTITY, "a\0b", 3 },  { HANDLE_STATE_IDENTITY, long_name, 65 },
        { HANDLE_STATE_PURPOSE, "all", 3 },    { HANDLE_STATE_PURPOSE, "", 0 },
        { HANDLE_STATE_STATE, long_name, 33 }, { HANDLE_STATE_STATE, "", 0 },
    };

    memset(long_name, 'a', sizeof(long_name));
    for (size_t i = 0; i < ARRAY_LENGTH(table); i++) {
        good_state(&raw, 1);
        field(&raw, table[i].tag, table[i].value, table[i].size);
        expect_open(&raw, NULL, 0, -EBADMSG);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(replaced); i++) {
        raw.size = 0;
        header(&raw, HANDLE_STATE, 0, 1, 1);
        if (replaced[i].tag != HANDLE_STATE_IDENTITY)
            field(&raw, HANDLE_STATE_IDENTITY, "mqtt", 4);
        if (replaced[i].tag != HANDLE_STATE_PURPOSE)
            field(&raw, HANDLE_STATE_PURPOSE, "data-raw", 8);
        if (replaced[i].tag != HANDLE_STATE_STATE)
            field(&raw, HANDLE_STATE_STATE, "ready", 5);
        expect_open(&raw, NULL, 0, -EBADMSG); /* missing */
        field(&raw, replaced[i].tag, replaced[i].value, replaced[i].size);
        expect_open(&raw, NULL, 0, -EBADMSG);
    }
}

/* ---- files ---- */

static void expect_files(const char *kinds, const int *fds, size_t count, int expected) {
    good_state(&raw, 1);
    field(&raw, HANDLE_STATE_FILES, kinds, strlen(kinds));
    expect_open(&raw, fds, count, expected);
}

static void test_files(void **state) {
    int good = memfd_with("text", SEALED), also = memfd_with("text", SEALED), pipes[2];
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), zero = open("/dev/zero", O_RDWR | O_CLOEXEC);

    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    expect_files("\1", &good, 1, 0);
    expect_files("\1\2", (int[]) { good, also }, 2, 0);
    expect_files("\xee\1", (int[]) { pipes[0], also }, 2, 0); /* kinds of a later version are not looked at */
    expect_files("\1\1", (int[]) { good, also }, 2, -EBADMSG);
    expect_files("", &good, 1, -EBADMSG);
    expect_files("\1\2", &good, 1, -EBADMSG);
    expect_files("\1", &pipes[0], 1, -EBADMSG);
    expect_files("\1", &null, 1, -EBADMSG);
    expect_files("\1", &zero, 1, -EBADMSG);
    expect_files("\1\2\3\4\5", (int[]) { good, good, good, good, good }, 5, -EBADMSG); /* more than four */
    close(good);
    close(also);
    close(null);
    close(zero);
    close(pipes[0]);
    close(pipes[1]);
}

static void test_seals(void **state) {
    static const unsigned seals[] = { 0, F_SEAL_WRITE, F_SEAL_SHRINK | F_SEAL_GROW, F_SEAL_WRITE | F_SEAL_GROW,
                                      F_SEAL_WRITE | F_SEAL_SHRINK };
    for (size_t i = 0; i < ARRAY_LENGTH(seals); i++) {
        int fd = memfd_with("text", seals[i]);
        expect_files("\1", &fd, 1, -EBADMSG);
        close(fd);
    }
}

static void test_nul_in_pem(void **state) {
    int fd = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    assert_int_equal(write(fd, "a\0b", 3), 3);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, SEALED), 0);
    expect_files("\1", &fd, 1, -EBADMSG);
    expect_files("\4", &fd, 1, 0); /* OCSP is DER */
    close(fd);
}

static void test_large_files(void **state) {
    static const struct {
        const char *kind;
        off_t maximum;
    } table[] = {
        { "\1", HANDLE_FILE_MAX }, { "\2", HANDLE_FILE_MAX }, { "\3", HANDLE_CRLS_MAX }, { "\4", HANDLE_FILE_MAX }
    };

    for (size_t i = 0; i < ARRAY_LENGTH(table); i++) {
        int fd = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        assert_int_equal(ftruncate(fd, table[i].maximum + 1), 0);
        assert_int_equal(fcntl(fd, F_ADD_SEALS, SEALED), 0);
        expect_files(table[i].kind, &fd, 1, -EBADMSG);
        close(fd);
        fd = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        assert_int_equal(ftruncate(fd, (off_t) 1 << 40), 0); /* sparse */
        assert_int_equal(fcntl(fd, F_ADD_SEALS, SEALED), 0);
        expect_files(table[i].kind, &fd, 1, -EBADMSG);
        close(fd);
    }
}

/* ---- answers ---- */

static void expect_answer(const int *fds, size_t count, int expected) {
    Wire wire;
    Raw answer = raw;
    identityd_credential *credential = open_wire(&wire);

    send_with(wire.theirs, &answer, fds, count);
    int r = sign_now(credential);
    if (r != expected)
        fail_msg("%d instead of %d: %s", r, expected, identityd_last_error());
    if (expected == -EBADMSG) { /* over: nothing later is believed */
        assert_int_equal(sign_now(credential), -EPIPE);
        assert_int_equal(identityd_credential_process(credential), -EPIPE);
    }
    identityd_credential_free(credential);
    close(wire.theirs);
}

static void test_answers(void **state) {
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    answer(0x83, 0, 2, 70);
    expect_answer(NULL, 0, 0);
    answer(0x83, 0, 2, 384);
    expect_answer(NULL, 0, 0);
    answer(0x83, 0, 2, 0);
    expect_answer(NULL, 0, -EBADMSG);
    answer(0x83, 0, 2, 385);
    expect_answer(NULL, 0, -EBADMSG);
    answer(0x83, 0, 2, 65536);
    expect_answer(NULL, 0, -EBADMSG);
    answer(0x84, 0, 2, 70); /* an answer to SignDigest */
    expect_answer(NULL, 0, -EBADMSG);
    answer(0x03, 0, 2, 70);
    expect_answer(NULL, 0, -EBADMSG);
    answer(0x81, 0, 2, 70); /* a State under our serial */
    expect_answer(NULL, 0, -EBADMSG);
    answer(0x83, 0, 3, 70);
    expect_answer(NULL, 0, -EBADMSG);
    answer(0x83, 0, 1, 70); /* of a question that was answered */
    expect_answer(NULL, 0, -EBADMSG);
    answer(0x83, 0, 0, 70);
    expect_answer(NULL, 0, -EBADMSG);
    answer(0x83, 0, 2, 70);
    expect_answer(&fd, 1, -EBADMSG);
    answer(0x83, 5, 2, 0);
    expect_answer(NULL, 0, -EKEYEXPIRED);
    answer(0x83, 0xffff, 2, 65536);
    expect_answer(NULL, 0, -EIO);
    answer(0x83, 5, 2, 4);
    expect_answer(&fd, 1, -EBADMSG);
    raw.bytes[0] = 2; /* version */
    expect_answer(NULL, 0, -EBADMSG);
    close(fd);
}

static void test_states_between(void **state) {
    Wire wire;
    identityd_credential *credential = open_wire(&wire);

    for (unsigned i = 0; i < 20; i++) {
        good_state(&raw, 0);
        send_raw(wire.theirs, &raw);
    }
    answer(0x83, 0, 2, 70);
    send_raw(wire.theirs, &raw);
    assert_int_equal(sign_now(credential), 0);
    assert_int_equal(identityd_credential_process(credential), 1);
    /* a State that is malformed ends it */
    good_state(&raw, 0);
    raw.size--;
    send_raw(wire.theirs, &raw);
    assert_int_equal(identityd_credential_process(credential), -EPIPE);
    identityd_credential_free(credential);
    close(wire.theirs);
}

static void test_unasked_garbage(void **state) {
    for (unsigned type = 0; type < 256; type++) {
        Wire wire;
        identityd_credential *credential = open_wire(&wire);
        raw.size = 0;
        header(&raw, (uint8_t) type, 0, type % 2 ? 0 : 9, 1);
        send_raw(wire.theirs, &raw);
        assert_int_equal(identityd_credential_process(credential), -EPIPE);
        identityd_credential_free(credential);
        close(wire.theirs);
    }
}

static void test_another_identity_later(void **state) {
    Wire wire;
    identityd_credential *credential = open_wire(&wire);

    raw.size = 0;
    header(&raw, HANDLE_STATE, 0, 0, 1);
    field(&raw, HANDLE_STATE_IDENTITY, "evil", 4);
    field(&raw, HANDLE_STATE_PURPOSE, "data-raw", 8);
    field(&raw, HANDLE_STATE_STATE, "ready", 5);
    send_raw(wire.theirs, &raw);
    assert_int_equal(identityd_credential_process(credential), -EPIPE);
    identityd_credential_free(credential);
    close(wire.theirs);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_each_byte_missing),
        cmocka_unit_test(test_each_bit_wrong),
        cmocka_unit_test(test_any_serial),
        cmocka_unit_test(test_wrong_type),
        cmocka_unit_test(test_error_instead),
        cmocka_unit_test(test_huge_packet),
        cmocka_unit_test(test_bad_fields),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_seals),
        cmocka_unit_test(test_nul_in_pem),
        cmocka_unit_test(test_large_files),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_states_between),
        cmocka_unit_test(test_unasked_garbage),
        cmocka_unit_test(test_another_identity_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
