/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* common/packet over real socket pairs: the header byte by byte, sizes, versions, reserved bits, descriptors,
 * credentials, and that no descriptor ever stays behind. */
#include "common/packet.h"

#include "tests/unit/common/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

static PacketBuffer buffer;

typedef struct Pair {
    int ours, theirs;
} Pair;

static Pair pair_new(void) {
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    return (Pair) { fds[0], fds[1] };
}

static void pair_clear(Pair *pair) {
    pair->ours = close_safe(pair->ours);
    pair->theirs = close_safe(pair->theirs);
}
#define _cleanup_pair_ _cleanup_(pair_clear)

static unsigned count_fds(void) {
    DIR *directory = opendir("/proc/self/fd");
    unsigned count = 0;
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static void raw_send(int socket, const void *data, size_t size, unsigned fd_count) {
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(int) * 64)];
    } control = { 0 };
    struct iovec part = { (void *) (uintptr_t) data, size };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

    if (fd_count > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        *c = (struct cmsghdr) { .cmsg_len = CMSG_LEN(sizeof(int) * fd_count),
                                .cmsg_level = SOL_SOCKET,
                                .cmsg_type = SCM_RIGHTS };
        for (unsigned i = 0; i < fd_count; i++)
            memcpy(CMSG_DATA(c) + i * sizeof(int), &(int) { STDERR_FILENO }, sizeof(int));
    }
    assert_int_equal(sendmsg(socket, &message, MSG_NOSIGNAL), size);
}

static const uint8_t valid[] = { 1, 2, 3, 0, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 0, 0, 'h', 'i' };

static void header_is_as_written(void **state) {
    _cleanup_pair_ Pair pair = pair_new();
    uint8_t raw[64];
    PacketHeader header = { .type = 2, .status = 3, .serial = 0x07060504, .generation = 0x0b0a0908, .scheme = 0x0d0c };

    assert_int_equal(packet_send(pair.theirs, &header, bytes_view_string("hi"), NULL, 0), 0);
    assert_int_equal(recv(pair.ours, raw, sizeof(raw), 0), sizeof(valid));
    assert_memory_equal(raw, valid, sizeof(valid));

    Packet packet = PACKET_INIT;
    raw_send(pair.theirs, valid, sizeof(valid), 0);
    assert_int_equal(packet_receive(pair.ours, &buffer, false, &packet), PACKET_RECEIVED);
    assert_int_equal(packet.header.version, 1);
    assert_int_equal(packet.header.type, 2);
    assert_int_equal(packet.header.status, 3);
    assert_int_equal(packet.header.serial, 0x07060504);
    assert_int_equal(packet.header.generation, 0x0b0a0908);
    assert_int_equal(packet.header.scheme, 0x0d0c);
    assert_int_equal(packet.payload.size, 2);
    assert_memory_equal(packet.payload.data, "hi", 2);
    assert_int_equal(packet.sender_pid, 0);
    assert_int_equal(packet.sender_uid, (uid_t) -1);
    assert_int_equal(packet_receive(pair.ours, &buffer, false, &packet), PACKET_NONE);
    assert_int_equal(packet_receive(pair.ours, &buffer, true, &packet), PACKET_NONE);
    pair.theirs = close_safe(pair.theirs);
    assert_int_equal(packet_receive(pair.ours, &buffer, false, &packet), PACKET_CLOSED);
    assert_int_equal(packet_receive(pair.ours, &buffer, true, &packet), PACKET_CLOSED);
    assert_int_equal(packet_send(pair.ours, &header, bytes_view_string("hi"), NULL, 0), -EPIPE);
}

static void sizes(void **state) {
    static uint8_t big[PACKET_HEADER_SIZE + PACKET_PAYLOAD_MAX + 2] = { 1, 2 };
    static const size_t bad[] = { 1, 2, 15, PACKET_HEADER_SIZE + PACKET_PAYLOAD_MAX + 1,
                                  PACKET_HEADER_SIZE + PACKET_PAYLOAD_MAX + 2 };
    _cleanup_pair_ Pair pair = pair_new();
    Packet packet = PACKET_INIT;

    for (int fds_allowed = 0; fds_allowed < 2; fds_allowed++) {
        for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
            raw_send(pair.theirs, big, bad[i], 0);
            assert_int_equal(packet_receive(pair.ours, &buffer, fds_allowed, &packet), -EPROTO);
        }
        raw_send(pair.theirs, big, PACKET_HEADER_SIZE + PACKET_PAYLOAD_MAX, 0);
        assert_int_equal(packet_receive(pair.ours, &buffer, fds_allowed, &packet), PACKET_RECEIVED);
        assert_int_equal(packet.payload.size, PACKET_PAYLOAD_MAX);
        raw_send(pair.theirs, big, PACKET_HEADER_SIZE, 0);
        assert_int_equal(packet_receive(pair.ours, &buffer, fds_allowed, &packet), PACKET_RECEIVED);
        assert_int_equal(packet.payload.size, 0);
        raw_send(pair.theirs, big, 0, 0); /* looks like the end, and is treated as it */
        assert_int_equal(packet_receive(pair.ours, &buffer, fds_allowed, &packet), PACKET_CLOSED);
    }
    PacketHeader header = { .type = 1 };
    assert_int_equal(packet_send(pair.ours, &header, (BytesView) { big, PACKET_PAYLOAD_MAX + 1 }, NULL, 0), -EMSGSIZE);
    int fds[5] = { 0 };
    assert_int_equal(packet_send(pair.ours, &header, (BytesView) { big, 0 }, fds, 5), -EMSGSIZE);
}

/* Each single bit of a valid header flipped: a wrong version or a reserved bit is refused, all else arrives as sent. */
static void every_bit(void **state) {
    _cleanup_pair_ Pair pair = pair_new();

    for (unsigned bit = 0; bit < PACKET_HEADER_SIZE * 8; bit++) {
        uint8_t bytes[sizeof(valid)];
        memcpy(bytes, valid, sizeof(bytes));
        bytes[bit / 8] ^= (uint8_t) (1U << bit % 8);
        raw_send(pair.theirs, bytes, sizeof(bytes), 0);
        Packet packet = PACKET_INIT;
        int r = packet_receive(pair.ours, &buffer, false, &packet);
        bool refused = bit < 8 || bit >= 14 * 8;
        assert_int_equal(r, refused ? -EPROTO : PACKET_RECEIVED);
        if (refused)
            continue;
        uint8_t again[64];
        assert_int_equal(packet_send(pair.ours, &packet.header, packet.payload, NULL, 0), 0);
        assert_int_equal(recv(pair.theirs, again, sizeof(again), 0), sizeof(bytes));
        assert_memory_equal(again, bytes, sizeof(bytes));
    }
}

static void descriptors_where_allowed(void **state) {
    unsigned before = count_fds();
    {
        _cleanup_pair_ Pair pair = pair_new();
        PacketHeader header = { .type = 1 };
        int lent[PACKET_FDS_MAX] = { 0, 1, 2, pair.ours };
        for (size_t count = 0; count <= PACKET_FDS_MAX; count++) {
            _cleanup_packet_ Packet packet = PACKET_INIT;
            assert_int_equal(packet_send(pair.theirs, &header, bytes_view_string("x"), lent, count), 0);
            assert_int_equal(packet_receive(pair.ours, &buffer, true, &packet), PACKET_RECEIVED);
            assert_int_equal(packet.fd_count, count);
            for (size_t i = 0; i < PACKET_FDS_MAX; i++)
                if (i < count)
                    assert_true(fcntl(packet.fds[i], F_GETFD) & FD_CLOEXEC);
                else
                    assert_int_equal(packet.fds[i], -1);
            packet_clear(&packet);
            assert_int_equal(packet.fd_count, 0);
        }
        for (unsigned count = PACKET_FDS_MAX + 1; count < 64; count++) {
            Packet packet = PACKET_INIT;
            raw_send(pair.theirs, valid, sizeof(valid), count);
            assert_int_equal(packet_receive(pair.ours, &buffer, true, &packet), -EPROTO);
            assert_int_equal(packet.fd_count, 0);
        }
        raw_send(pair.theirs, valid, 3, 2); /* bad for another reason: closed as well */
        Packet packet = PACKET_INIT;
        assert_int_equal(packet_receive(pair.ours, &buffer, true, &packet), -EPROTO);
        raw_send(pair.theirs, valid, 0, 1);
        assert_int_equal(packet_receive(pair.ours, &buffer, true, &packet), -EPROTO);
    }
    assert_int_equal(count_fds(), before);
}

static void descriptors_where_not(void **state) {
    unsigned before = count_fds();

    for (int passcred = 0; passcred < 2; passcred++)
        for (unsigned count = 1; count < 64; count += count < 6 ? 1 : 19) {
            _cleanup_pair_ Pair pair = pair_new();
            Packet packet = PACKET_INIT;
            assert_int_equal(setsockopt(pair.ours, SOL_SOCKET, SO_PASSCRED, &passcred, sizeof(passcred)), 0);
            raw_send(pair.theirs, valid, sizeof(valid), count);
            assert_int_equal(packet_receive(pair.ours, &buffer, false, &packet), -EPROTO);
            assert_int_equal(count_fds(), before + 2);
            /* not consumed: whoever closes the socket gets rid of them */
            assert_int_equal(packet_receive(pair.ours, &buffer, false, &packet), -EPROTO);
        }
    assert_int_equal(count_fds(), before);
}

static unsigned disposed;

static void dispose(int fd, void *userdata) {
    assert_ptr_equal(userdata, &disposed);
    disposed++;
    close(fd);
}

/* Sends `memfds` memfds and then `others` descriptors of something else. */
static void send_mixture(int socket, uint8_t type, unsigned memfds, unsigned others) {
    int fds[PACKET_FDS_MAX];
    PacketHeader header = { .type = type };

    for (unsigned i = 0; i < memfds + others; i++)
        fds[i] = i < memfds ? bytes_to_memfd("test", bytes_view_string("content")) : dup(STDERR_FILENO);
    assert_int_equal(packet_send(socket, &header, bytes_view_string("x"), fds, memfds + others), 0);
    for (unsigned i = 0; i < memfds + others; i++)
        close(fds[i]);
}

static void memfds_alone(void **state) {
    const PacketMemfds expected = { 2, dispose, &disposed };
    unsigned before = count_fds();

    for (int passcred = 0; passcred < 2; passcred++)
        for (unsigned count = 0; count <= PACKET_FDS_MAX; count++)
            for (unsigned others = 0; others <= count; others++)
                for (uint8_t type = 1; type <= 2; type++) {
                    _cleanup_pair_ Pair pair = pair_new();
                    Packet packet = PACKET_INIT;
                    bool refused = others > 0 || (type == 1 && count > 0);
                    assert_int_equal(setsockopt(pair.ours, SOL_SOCKET, SO_PASSCRED, &passcred, sizeof(passcred)), 0);
                    assert_int_equal(packet_receive_memfds(pair.ours, &buffer, &expected, &packet), PACKET_NONE);
                    send_mixture(pair.theirs, type, count - others, others);
                    disposed = 0;
                    for (unsigned again = 0; again < (refused ? 2 : 1); again++) { /* it is not consumed */
                        int r = packet_receive_memfds(pair.ours, &buffer, &expected, &packet);
                        assert_int_equal(r, refused ? -EPROTO : PACKET_RECEIVED);
                    }
                    assert_int_equal(disposed, type == 2 ? 2 * others : 0);
                    assert_int_equal(packet.fd_count, refused ? 0 : count);
                    assert_int_equal(count_fds(), before + 2 + packet.fd_count);
                    if (!refused)
                        assert_int_equal(packet.header.type, type);
                    packet_clear(&packet);
                }
    assert_int_equal(count_fds(), before);
}

static void more_than_a_packet_may_carry(void **state) {
    const PacketMemfds expected = { valid[1], dispose, &disposed };
    unsigned before = count_fds();

    for (int passcred = 0; passcred < 2; passcred++)
        for (unsigned count = PACKET_FDS_MAX + 1; count < 64; count += 11) {
            _cleanup_pair_ Pair pair = pair_new();
            Packet packet = PACKET_INIT;
            assert_int_equal(setsockopt(pair.ours, SOL_SOCKET, SO_PASSCRED, &passcred, sizeof(passcred)), 0);
            raw_send(pair.theirs, valid, sizeof(valid), count);
            disposed = 0;
            assert_int_equal(packet_receive_memfds(pair.ours, &buffer, &expected, &packet), -EPROTO);
            assert_int_equal(disposed, PACKET_FDS_MAX); /* what fitted; nothing else was installed */
            assert_int_equal(count_fds(), before + 2);
        }
    assert_int_equal(count_fds(), before);
}

static void credentials(void **state) {
    _cleanup_pair_ Pair pair = pair_new();

    assert_int_equal(setsockopt(pair.ours, SOL_SOCKET, SO_PASSCRED, &(int) { 1 }, sizeof(int)), 0);
    for (int fds_allowed = 0; fds_allowed < 2; fds_allowed++) {
        _cleanup_packet_ Packet packet = PACKET_INIT;
        raw_send(pair.theirs, valid, sizeof(valid), fds_allowed ? 4 : 0);
        assert_int_equal(packet_receive(pair.ours, &buffer, fds_allowed, &packet), PACKET_RECEIVED);
        assert_int_equal(packet.sender_pid, getpid());
        assert_int_equal(packet.sender_uid, getuid());
        assert_int_equal(packet.fd_count, fds_allowed ? 4 : 0);
    }
}

static void a_full_socket_takes_nothing(void **state) {
    static uint8_t big[PACKET_PAYLOAD_MAX];
    _cleanup_pair_ Pair pair = pair_new();
    PacketHeader header = { .type = 1 };
    unsigned sent = 0, received = 0;
    int r;

    while ((r = packet_send(pair.theirs, &header, (BytesView) { big, sizeof(big) }, NULL, 0)) == 0)
        assert_true(sent++ < 1000);
    assert_int_equal(r, -EAGAIN);
    Packet packet = PACKET_INIT;
    while (packet_receive(pair.ours, &buffer, false, &packet) == PACKET_RECEIVED)
        received++;
    assert_int_equal(received, sent);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_is_as_written),
        cmocka_unit_test(sizes),
        cmocka_unit_test(every_bit),
        cmocka_unit_test(descriptors_where_allowed),
        cmocka_unit_test(descriptors_where_not),
        cmocka_unit_test(memfds_alone),
        cmocka_unit_test(more_than_a_packet_may_carry),
        cmocka_unit_test(credentials),
        cmocka_unit_test(a_full_socket_takes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
