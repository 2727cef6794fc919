/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A connection that passes no descriptors, since sd-bus could not find out what its socket is: identityd does not go on
 * without its handles. The call is that of this file, which comes before libc's. */
#include "fixture.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool is_refused; /* whether a socket is one that listens */

__attribute__((visibility("default"))) int getsockopt(int fd, int level, int name, void *ret, socklen_t *size) {
    if (!is_refused || level != SOL_SOCKET || name != SO_ACCEPTCONN)
        return (int) syscall(SYS_getsockopt, fd, level, name, ret, size);
    errno = ENOBUFS;
    return -1;
}

static void test_none_without_descriptors(void **state) {
    World *world = *state;
    Bus *bus = NULL;

    assert_int_equal(swtpm_new(&world->swtpm), 0);
    world_start_manager(world);
    is_refused = true;
    int r = bus_new(world->loop, world->manager, &bus);
    is_refused = false;
    assert_int_equal(r, -EOPNOTSUPP);
    assert_null(bus);
    assert_int_equal(bus_new(world->loop, world->manager, &world->bus), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_none_without_descriptors, world_setup, world_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
