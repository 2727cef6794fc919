/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire.h"

#include "common/handle-protocol.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

Raw raw;

Wire wire_new(void) {
    int fds[2], size = 1 << 20;

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
    return (Wire) { fds[0], fds[1] };
}

void put(Raw *packet, const void *data, size_t size) {
    memcpy(packet->bytes + packet->size, data, size);
    packet->size += size;
}

void put_number(Raw *packet, uint64_t value, size_t size) {
    for (size_t i = 0; i < size; i++)
        packet->bytes[packet->size++] = (uint8_t) (value >> 8 * i);
}

void header(Raw *packet, uint8_t type, uint16_t status, uint32_t serial, uint32_t generation) {
    put_number(packet, 1, 1);
    put_number(packet, type, 1);
    put_number(packet, status, 2);
    put_number(packet, serial, 4);
    put_number(packet, generation, 4);
    put_number(packet, 0, 4);
}

void field(Raw *packet, uint16_t tag, const void *value, size_t size) {
    put_number(packet, tag, 2);
    put_number(packet, size, 4);
    put(packet, value, size);
}

void state_fields(Raw *packet) {
    field(packet, HANDLE_STATE_IDENTITY, "mqtt", 4);
    field(packet, HANDLE_STATE_PURPOSE, "data-raw", 8);
    field(packet, HANDLE_STATE_STATE, "ready", 5);
}

void good_state(Raw *packet, uint32_t serial) {
    packet->size = 0;
    header(packet, HANDLE_STATE, 0, serial, 1);
    state_fields(packet);
}

void send_with(int socket, const Raw *packet, const int *fds, size_t count) {
    struct iovec part = { (void *) (uintptr_t) packet->bytes, packet->size };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * 16)];
    } control = { .bytes = { 0 } };

    if (count > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * count);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * count);
    }
    assert_int_equal(sendmsg(socket, &message, 0), packet->size);
}

void send_raw(int socket, const Raw *packet) {
    send_with(socket, packet, NULL, 0);
}

int memfd_with(const char *text, unsigned seals) {
    int fd = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

unsigned count_descriptors(void) {
    DIR *directory = opendir("/proc/self/fd");
    unsigned count = 0;

    assert_non_null(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

identityd_credential *open_wire(Wire *ret) {
    identityd_credential *credential = NULL;

    *ret = wire_new();
    good_state(&raw, 1);
    send_raw(ret->theirs, &raw);
    assert_int_equal(identityd_credential_from_fd(ret->ours, &credential), 0);
    return credential;
}

/* The library's next question has serial 2. */
int sign_now(identityd_credential *credential) {
    uint8_t signature[IDENTITYD_SIGNATURE_MAX];
    size_t size = 0;

    int r = identityd_sign_message(credential, 1, 0x0403, "x", 1, signature, &size);
    if (r >= 0)
        assert_true(size > 0 && size <= sizeof(signature));
    return r;
}

void answer(uint8_t type, uint16_t status, uint32_t serial, size_t size) {
    static const uint8_t bytes[65536];

    raw.size = 0;
    header(&raw, type, status, serial, 1);
    put(&raw, bytes, size);
}
