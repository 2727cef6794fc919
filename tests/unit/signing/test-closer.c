/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* signing/closer: a descriptor whose close() waits holds up nobody, and a queue without descriptors needs no thread. */
#include "signing/closer.h"

#include "tests/unit/common/test.h"
#include "tests/unit/signing/linger.h"

#include <semaphore.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static void done(void *data) {
    sem_post(data);
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

static void pair(int fds[2]) {
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
}

static void closes_and_says_so(void **state) {
    Closer *closer = NULL;
    int fds[2];
    sem_t semaphore;

    sem_init(&semaphore, 0, 0);
    assert_int_equal(closer_new(&closer), 0);
    for (unsigned round = 0; round < 20; round++) { /* the thread comes and goes */
        pair(fds);
        closer_close(closer, fds[0], done, &semaphore);
        assert_int_equal(sem_wait(&semaphore), 0);
        assert_int_equal(send(fds[1], "x", 1, MSG_NOSIGNAL), -1);
        assert_int_equal(errno, EPIPE);
        close(fds[1]);
    }
    closer_free(closer);
}

static void harmless_queues_close_at_once(void **state) {
    Closer *closer = NULL;
    int fds[2];

    assert_int_equal(closer_new(&closer), 0);
    for (unsigned packets = 0; packets < 5; packets++)
        for (int peer_gone = 0; peer_gone < 2; peer_gone++) {
            pair(fds);
            for (unsigned i = 0; i < packets; i++)
                assert_int_equal(send(fds[1], "xyz", i == 1 ? 0 : 3, MSG_NOSIGNAL), i == 1 ? 0 : 3);
            (void) send(fds[0], "unread", 6, MSG_NOSIGNAL); /* makes the peer's close a reset */
            if (peer_gone)
                fds[1] = close_safe(fds[1]);
            assert_true(closer_close_socket(closer, fds[0], done, NULL));
            close_safe(fds[1]);
        }
    closer_free(closer);
}

static void a_lingering_descriptor_delays_nobody(void **state) {
    Closer *closer = NULL;
    int fds[2];
    sem_t semaphore;
    LingeringPeer peers[3];
    double begun = seconds();

    sem_init(&semaphore, 0, 0);
    assert_int_equal(closer_new(&closer), 0);
    for (unsigned before = 0; before < 3; before++) { /* alone, behind a packet, behind an empty packet */
        pair(fds);
        if (before > 0)
            assert_true(send(fds[1], "x", before == 1, MSG_NOSIGNAL) >= 0);
        peers[before] = linger_send(fds[1], 3600);
        assert_false(closer_close_socket(closer, fds[0], done, &semaphore));
        char byte;
        ssize_t n = recv(fds[1], &byte, 1, 0);
        assert_true(n == 0 || (n < 0 && errno == ECONNRESET)); /* the peer sees the end at once */
        close(fds[1]);
    }
    assert_true(seconds() - begun < 20);
    assert_int_equal(sem_trywait(&semaphore), -1); /* the first one still lingers, and the others behind it */
    for (unsigned i = 0; i < 3; i++)
        linger_peer_clear(&peers[i]); /* a reset ends it */
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(sem_wait(&semaphore), 0);
    closer_free(closer);
}

static void freeing_says_what_is_owed(void **state) {
    Closer *closer = NULL;
    int fds[2], value = 0;
    sem_t semaphore;
    LingeringPeer peers[2];
    double begun = seconds();

    sem_init(&semaphore, 0, 0);
    assert_int_equal(closer_new(&closer), 0);
    for (unsigned i = 0; i < 2; i++) {
        pair(fds);
        peers[i] = linger_send(fds[1], 3600);
        assert_false(closer_close_socket(closer, fds[0], done, &semaphore));
        close(fds[1]);
    }
    closer_free(closer);
    assert_int_equal(sem_getvalue(&semaphore, &value), 0);
    assert_int_equal(value, 2);
    assert_true(seconds() - begun < 20);
    for (unsigned i = 0; i < 2; i++)
        linger_peer_clear(&peers[i]);
    nanosleep(&(struct timespec) { 0, 200000000 }, NULL); /* for the leak checker: the thread ends by itself */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closes_and_says_so),
        cmocka_unit_test(harmless_queues_close_at_once),
        cmocka_unit_test(a_lingering_descriptor_delays_nobody),
        cmocka_unit_test(freeing_says_what_is_owed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
