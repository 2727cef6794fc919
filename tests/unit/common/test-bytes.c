/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* common/bytes: every refusal, and the promise of a trailing NUL. */
#include "common/bytes.h"

#include "tests/unit/common/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define VIEW(literal) ((BytesView) { (const uint8_t *) (literal), sizeof(literal) - 1 })

static void copies_and_appends(void **state) {
    _cleanup_bytes_ Bytes bytes = BYTES_NULL, empty = BYTES_NULL;

    assert_int_equal(bytes_copy(VIEW("ab\0c"), &bytes), 0);
    assert_int_equal(bytes.size, 4);
    assert_int_equal(bytes.data[4], 0);
    assert_int_equal(bytes_append(&bytes, VIEW("de")), 0);
    assert_memory_equal(bytes.data, "ab\0cde", 7);
    assert_int_equal(bytes_append(&bytes, (BytesView) { NULL, 0 }), 0);
    assert_int_equal(bytes.size, 6);
    assert_int_equal(bytes_copy((BytesView) { NULL, 0 }, &empty), 0);
    assert_string_equal((char *) empty.data, "");
    bytes_clear(&empty);
    assert_null(empty.data);
    assert_int_equal(bytes_append(&empty, VIEW("x")), 0);
    assert_string_equal((char *) empty.data, "x");
}

static void impossible_sizes_change_nothing(void **state) {
    _cleanup_bytes_ Bytes bytes = BYTES_NULL;

    assert_int_equal(bytes_append(&bytes, VIEW("x")), 0);
    assert_int_equal(bytes_append(&bytes, (BytesView) { bytes.data, SIZE_MAX }), -ENOMEM);
    assert_int_equal(bytes_append(&bytes, (BytesView) { bytes.data, SIZE_MAX - 1 }), -ENOMEM);
    assert_string_equal((char *) bytes.data, "x");
    Bytes untouched = { (uint8_t *) 1, 2 };
    assert_int_equal(bytes_copy((BytesView) { bytes.data, SIZE_MAX }, &untouched), -ENOMEM);
    assert_ptr_equal(untouched.data, (uint8_t *) 1);
}

static void compares(void **state) {
    assert_true(bytes_view_equal(VIEW("a"), VIEW("a")));
    assert_false(bytes_view_equal(VIEW("a"), VIEW("b")));
    assert_false(bytes_view_equal(VIEW("a"), VIEW("ab")));
    assert_true(bytes_view_equal((BytesView) { NULL, 0 }, VIEW("")));
    assert_int_equal(bytes_view_string(NULL).size, 0);
    assert_int_equal(bytes_view_string("abc").size, 3);
}

static void hex_round_trip(void **state) {
    uint8_t all[256];
    for (unsigned i = 0; i < 256; i++)
        all[i] = (uint8_t) i;
    _cleanup_free_ char *hex = bytes_to_hex((BytesView) { all, 256 });
    _cleanup_bytes_ Bytes bytes = BYTES_NULL;
    assert_int_equal(strlen(hex), 512);
    assert_int_equal(bytes_from_hex(hex, &bytes), 0);
    assert_int_equal(bytes.size, 256);
    assert_memory_equal(bytes.data, all, 256);
    for (char *c = hex; *c; c++)
        *c = *c >= 'a' ? (char) (*c - 32) : *c;
    bytes_clear(&bytes);
    assert_int_equal(bytes_from_hex(hex, &bytes), 0);
    assert_memory_equal(bytes.data, all, 256);
}

static void hex_refuses(void **state) {
    static const char *const bad[] = { "0", "0g", "g0", " 0", "0 ", "00 ", "0x00", "00\n0", "-1", "0:" };
    Bytes bytes;

    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        assert_int_equal(bytes_from_hex(bad[i], &bytes), -EINVAL);
    assert_int_equal(bytes_from_hex(NULL, &bytes), -EINVAL);
    assert_int_equal(bytes_from_hex("", &bytes), 0);
    assert_int_equal(bytes.size, 0);
    bytes_clear(&bytes);
}

static int file_of(size_t size) {
    char path[] = "/tmp/identityd-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void) unlink(path);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(pwrite(fd, i % 3 ? "x" : "\0", 1, (off_t) i), 1);
    return fd;
}

static void reads_up_to_the_maximum(void **state) {
    static const size_t sizes[] = { 0, 1, 2, 4093, 4094, 4095, 4096, 4097, 8191, 8192, 9000 };

    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
        _cleanup_close_ int fd = file_of(sizes[i]);
        _cleanup_bytes_ Bytes bytes = BYTES_NULL;
        assert_int_equal(bytes_read_fd(fd, sizes[i], &bytes), 0);
        assert_int_equal(bytes.size, sizes[i]);
        assert_int_equal(bytes.data[bytes.size], 0);
        bytes_clear(&bytes);
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        assert_int_equal(bytes_read_fd(fd, SIZE_MAX, &bytes), 0);
        assert_int_equal(bytes.size, sizes[i]);
        if (sizes[i] == 0)
            continue;
        Bytes none;
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        assert_int_equal(bytes_read_fd(fd, sizes[i] - 1, &none), -EFBIG);
    }
}

static void refuses_what_is_no_file(void **state) {
    char directory[] = "/tmp/identityd-test-XXXXXX", fifo[64];
    Bytes bytes;

    assert_non_null(mkdtemp(directory));
    snprintf(fifo, sizeof(fifo), "%s/fifo", directory);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(bytes_read_file(fifo, 10, &bytes), -EBADFD); /* and does not wait for a writer */
    assert_int_equal(bytes_read_file(directory, 10, &bytes), -EBADFD);
    assert_int_equal(bytes_read_file("/dev/zero", 10, &bytes), -EBADFD);
    assert_int_equal(unlink(fifo), 0);
    assert_int_equal(bytes_read_file(fifo, 10, &bytes), -ENOENT);
    assert_int_equal(rmdir(directory), 0);
}

static void memfd_round_trip(void **state) {
    static const size_t sizes[] = { 0, 1, 5000 };
    uint8_t content[5000];

    memset(content, 7, sizeof(content));
    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
        _cleanup_close_ int fd = bytes_to_memfd("test", (BytesView) { content, sizes[i] });
        _cleanup_bytes_ Bytes bytes = BYTES_NULL;
        assert_true(fd >= 0);
        assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        assert_int_equal(pwrite(fd, "x", 1, 0), -1);
        assert_int_equal(ftruncate(fd, 1 + (off_t) sizes[i]), -1);
        assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
        (void) lseek(fd, 3, SEEK_SET); /* another receiver of the same description moved it */
        assert_int_equal(bytes_from_memfd(fd, sizes[i], &bytes), 0);
        assert_int_equal(bytes.size, sizes[i]);
        assert_memory_equal(bytes.data, content, sizes[i]);
        assert_int_equal(bytes.data[sizes[i]], 0);
        if (sizes[i] > 0) {
            Bytes none;
            assert_int_equal(bytes_from_memfd(fd, sizes[i] - 1, &none), -EFBIG);
        }
    }
}

static void memfd_must_be_sealed(void **state) {
    static const int incomplete[] = { 0, F_SEAL_WRITE, F_SEAL_WRITE | F_SEAL_GROW, F_SEAL_WRITE | F_SEAL_SHRINK,
                                      F_SEAL_GROW | F_SEAL_SHRINK };
    Bytes bytes;

    for (size_t i = 0; i < ARRAY_LENGTH(incomplete); i++) {
        _cleanup_close_ int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        assert_int_equal(fcntl(fd, F_ADD_SEALS, incomplete[i]), 0);
        assert_int_equal(bytes_from_memfd(fd, 100, &bytes), -EBADFD);
    }
    _cleanup_close_ int file = file_of(1);
    assert_int_equal(bytes_from_memfd(file, 100, &bytes), -EBADFD);
    assert_int_equal(bytes_from_memfd(-1, 100, &bytes), -EBADFD);
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(bytes_from_memfd(pipes[0], 100, &bytes), -EBADFD);
    close(pipes[0]);
    close(pipes[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_and_appends),
        cmocka_unit_test(impossible_sizes_change_nothing),
        cmocka_unit_test(compares),
        cmocka_unit_test(hex_round_trip),
        cmocka_unit_test(hex_refuses),
        cmocka_unit_test(reads_up_to_the_maximum),
        cmocka_unit_test(refuses_what_is_no_file),
        cmocka_unit_test(memfd_round_trip),
        cmocka_unit_test(memfd_must_be_sealed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
