/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* common/secret: sizes, credentials as systemd lays them out, and that neither a child nor a core dump has it. */
#include "common/secret.h"

#include "tests/unit/common/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void sizes(void **state) {
    uint8_t bytes[SECRET_MAX + 1];
    _cleanup_secret_ Secret *secret = NULL;
    Secret *none = NULL;

    memset(bytes, 5, sizeof(bytes));
    assert_int_equal(secret_new((BytesView) { bytes, SECRET_MAX }, &secret), 0);
    assert_int_equal(secret_view(secret).size, SECRET_MAX);
    assert_memory_equal(secret_view(secret).data, bytes, SECRET_MAX);
    assert_int_equal(secret_new((BytesView) { bytes, SECRET_MAX + 1 }, &none), -E2BIG);
    assert_null(none);
    assert_int_equal(secret_new((BytesView) { NULL, 0 }, &none), 0);
    assert_int_equal(secret_view(none).size, 0);
    assert_null(secret_free(none));
    assert_null(secret_free(NULL));
    assert_int_equal(secret_view(NULL).size, 0);
}

static void a_child_sees_nothing(void **state) {
    _cleanup_secret_ Secret *secret = NULL;
    int status;

    assert_int_equal(secret_new(bytes_view_string("swordfish"), &secret), 0);
    pid_t child = fork();
    if (child == 0)
        _exit(secret_view(secret).size == 0 ? 0 : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(secret_view(secret).size, 9);
}

/* The kernel's flags of the mapping that an address is in (proc(5), VmFlags). */
static void flags_of(const void *address, char ret[static 256]) {
    FILE *file = fopen("/proc/self/smaps", "re");
    unsigned long first, end;
    bool within = false;
    char line[512];

    assert_non_null(file);
    ret[0] = '\0';
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "%lx-%lx ", &first, &end) == 2)
            within = (uintptr_t) address >= first && (uintptr_t) address < end;
        else if (within && strncmp(line, "VmFlags:", 8) == 0)
            (void) snprintf(ret, 256, "%.255s", line + 8);
    }
    (void) fclose(file);
}

static void its_pages_stay_here(void **state) {
    _cleanup_secret_ Secret *secret = NULL;
    char flags[256];

    assert_int_equal(secret_new(bytes_view_string("swordfish"), &secret), 0);
    flags_of(secret_view(secret).data, flags);
    assert_non_null(strstr(flags, " dd ")); /* not in a core dump */
    assert_non_null(strstr(flags, " wf ")); /* not in a child */
#ifndef __SANITIZE_ADDRESS__                /* which leaves mlock() out */
    assert_non_null(strstr(flags, " lo ")); /* not in the swap: two pages are within what anybody may lock */
#endif
    const void *data = secret_view(secret).data;
    secret = secret_free(secret);
    flags_of(data, flags);
    assert_string_equal(flags, ""); /* and then nowhere */
}

static void put(int directory, const char *name, size_t size, const char *tail) {
    _cleanup_close_ int fd = openat(directory, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(write(fd, "s", 1), 1);
    assert_int_equal(write(fd, tail, strlen(tail)), strlen(tail));
}

static void credentials(void **state) {
    static const struct {
        size_t size;
        const char *tail;
        int result;
        size_t length;
    } cases[] = {
        { 0, "", 0, 0 },
        { 0, "\n", 0, 0 },
        { 3, "", 0, 3 },
        { 3, "\n", 0, 3 },
        { 3, "\n\n", 0, 4 }, /* one newline, not all */
        { SECRET_MAX, "", 0, SECRET_MAX },
        { SECRET_MAX, "\n", 0, SECRET_MAX },
        { SECRET_MAX, "\n\n", -E2BIG, 0 },
        { SECRET_MAX, "s", -E2BIG, 0 },
        { SECRET_MAX, "s\n", -E2BIG, 0 },
        { SECRET_MAX, "\ns", -E2BIG, 0 },
        { SECRET_MAX, "\n\ns", -E2BIG, 0 },
        { SECRET_MAX - 1, "\n\n", 0, SECRET_MAX },
        { SECRET_MAX - 1, "\n\n\n", -E2BIG, 0 },
        { SECRET_MAX * 2, "", -E2BIG, 0 },
    };
    char path[] = "/tmp/identityd-test-XXXXXX", long_name[300];

    assert_non_null(mkdtemp(path));
    _cleanup_close_ int directory = open(path, O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", path, 1), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        Secret *secret = NULL;
        put(directory, "pin", cases[i].size, cases[i].tail);
        assert_int_equal(secret_from_credential("pin", &secret), cases[i].result);
        assert_int_equal(secret_view(secret).size, cases[i].length);
        secret_free(secret);
    }
    Secret *none = NULL;
    assert_int_equal(secret_from_credential("absent", &none), -ENOENT);
    assert_int_equal(secret_from_credential("../pin", &none), -EINVAL);
    assert_int_equal(secret_from_credential("/etc/passwd", &none), -EINVAL);
    assert_int_equal(secret_from_credential("..", &none), -EINVAL);
    assert_int_equal(secret_from_credential(".", &none), -EINVAL);
    assert_int_equal(secret_from_credential("", &none), -EINVAL);
    memset(long_name, 'a', sizeof(long_name));
    long_name[256] = '\0';
    assert_int_equal(secret_from_credential(long_name, &none), -EINVAL);
    long_name[255] = '\0';
    assert_int_equal(secret_from_credential(long_name, &none), -ENOENT);
    assert_int_equal(mkdirat(directory, "folder", 0700), 0);
    assert_int_equal(secret_from_credential("folder", &none), -EBADFD);
    assert_int_equal(unlinkat(directory, "folder", AT_REMOVEDIR), 0);
    _cleanup_free_ char *file = NULL;
    assert_true(asprintf(&file, "%s/pin", path) > 0);
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", file, 1), 0);
    assert_int_equal(secret_from_credential("pin", &none), -ENOTDIR);
    assert_int_equal(chdir(path), 0);
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", ".", 1), 0); /* which would be another one for another program */
    assert_int_equal(secret_from_credential("pin", &none), -ENXIO);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", path, 1), 0);
    assert_int_equal(unlinkat(directory, "pin", 0), 0);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(secret_from_credential("pin", &none), -ENXIO);
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
    assert_int_equal(secret_from_credential("pin", &none), -ENXIO);
    assert_null(none);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),
        cmocka_unit_test(a_child_sees_nothing),
        cmocka_unit_test(its_pages_stay_here),
        cmocka_unit_test(credentials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
