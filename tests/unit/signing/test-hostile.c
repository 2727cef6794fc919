/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Holders that misbehave harm only themselves: each misdeed on a handle of its own, beside a bystander that must go on
 * signing, and with nothing left behind in the daemon. */
#include "tests/unit/signing/linger.h"
#include "tests/unit/signing/support.h"

#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static Answer answer;
static int bystander = -1;
static unsigned fds_before;

static int start(void **state) {
    int r = bench_start(state);
    bystander = bench_open(*state, PURPOSE_DATA_RAW);
    Bench *bench = *state;
    holder_sign_message(bystander, bench->keys[0], 1, "all is well"); /* the TPM is open from here on */
    fds_before = count_fds();
    return r;
}

static int stop(void **state) {
    bystander = close_safe(bystander);
    return bench_stop(state);
}

/* After each test: the bystander signs at once, every other handle is gone, and no descriptor stayed behind. */
static int nobody_was_harmed(void **state) {
    Bench *bench = *state;
    SigningCounters counters;
    double begun = seconds();

    for (unsigned i = 0; i < 5; i++)
        holder_sign_message(bystander, bench->keys[0], 1, "all is well");
    assert_true(seconds() - begun < 10);
    do {
        bench_idle(bench, 5);
        signing_counters(bench->signing, &counters);
    } while ((counters.handles_open != 1 || bench->closed != bench->next_id - 2 || count_fds() != fds_before) &&
             seconds() - begun < 20);
    assert_int_equal(counters.handles_open, 1);
    assert_int_equal(bench->closed, bench->next_id - 2);
    assert_int_equal(count_fds(), fds_before);
    return 0;
}

static const uint8_t get_state[16] = { 1, HANDLE_GET_STATE, 0, 0, 1 };

static void odd_sizes(void **state) {
    static uint8_t big[16 + 65536 + 100] = { 1, HANDLE_SIGN_MESSAGE, 0, 0, 1 };
    static const size_t sizes[] = { 0,  1,  2,  3,  4,  5,  6,          7,          8,          9,
                                    10, 11, 12, 13, 14, 15, 16 + 65537, 16 + 65538, sizeof(big) };

    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
        _cleanup_close_ int fd = bench_open(*state, PURPOSE_DIGEST);
        holder_raw(fd, big, sizes[i], 0);
        holder_expect_closed(fd);
    }
    _cleanup_close_ int fd = bench_open(*state, PURPOSE_DIGEST); /* the largest that is allowed */
    big[12] = 3;
    big[13] = 4;
    holder_raw(fd, big, 16 + 65536, 0);
    assert_true(holder_receive_answer(fd, &answer));
    assert_int_equal(answer.status, 0);
}

/* Every single bit of every header field flipped, and each type: closed or answered just as the page says. */
static void every_bit_of_a_request(void **state) {
    const uint8_t valid[] = { 1, HANDLE_SIGN_MESSAGE, 0, 0, 1, 2, 3, 4, 1, 0, 0, 0, 3, 4, 0, 0, 'h', 'i' };
    Bench *bench = *state;

    for (unsigned bit = 0; bit < sizeof(valid) * 8; bit++) {
        uint8_t mutated[sizeof(valid)];
        memcpy(mutated, valid, sizeof(valid));
        mutated[bit / 8] ^= (uint8_t) (1U << bit % 8);
        _cleanup_close_ int fd = bench_open(bench, PURPOSE_DATA_RAW);
        holder_raw(fd, mutated, sizeof(mutated), 0);
        unsigned byte = bit / 8;
        bool type_is_known = mutated[1] == HANDLE_SIGN_MESSAGE || mutated[1] == HANDLE_SIGN_TRANSCRIPT;
        if (byte == 0 || byte == 2 || byte == 3 || byte >= 14 ? byte < 16 : byte == 1 && !type_is_known) {
            holder_expect_closed(fd); /* version, type (GetState with a payload too), status, reserved */
            continue;
        }
        assert_true(holder_receive_answer(fd, &answer));
        assert_int_equal(answer.type, mutated[1] | HANDLE_ANSWER);
        assert_memory_equal(&answer.serial, mutated + 4, 4);
        if (byte == 1)
            assert_int_equal(answer.status, FAILURE_PURPOSE_VIOLATION);
        else if (byte >= 8 && byte < 12)
            assert_int_equal(answer.status, mutated[8] == 0 ? 0 : FAILURE_NOT_READY);
        else if (byte == 12 || byte == 13)
            assert_int_equal(answer.status, FAILURE_INVALID_ARGUMENT);
        else {
            assert_int_equal(answer.status, 0); /* serial or message: as good as any other */
            assert_true(verifies(bench->keys[0], 0x0403, (BytesView) { mutated + 16, 2 },
                                 (BytesView) { answer.payload, answer.size }));
        }
    }
}

static void every_type(void **state) {
    for (unsigned type = 0; type < 256; type++) {
        uint8_t packet[16] = { 1, (uint8_t) type, 0, 0, 1 };
        _cleanup_close_ int fd = bench_open(*state, PURPOSE_DATA_RAW);
        holder_raw(fd, packet, sizeof(packet), 0);
        if (type >= HANDLE_GET_STATE && type <= HANDLE_SIGN_DIGEST) {
            assert_true(holder_receive_answer(fd, &answer));
            assert_int_equal(answer.type, type == HANDLE_GET_STATE ? HANDLE_STATE : type | HANDLE_ANSWER);
            answer_clear(&answer);
        } else
            holder_expect_closed(fd);
    }
}

/* GetState takes no argument, and a question without a serial has no answer. */
static void fields_that_must_be_zero(void **state) {
    static const uint8_t packets[][17] = {
        { 1, 1, 0, 0, 0 },                            /* serial 0 */
        { 1, 1, 1, 0, 1 },                            /* status */
        { 1, 1, 0, 0, 1, 0, 0, 0, 1 },                /* generation */
        { 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 3, 4 }, /* scheme */
        { 1, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 4 }, /* SignMessage with serial 0 */
    };

    for (size_t i = 0; i < ARRAY_LENGTH(packets); i++) {
        _cleanup_close_ int fd = bench_open(*state, PURPOSE_DATA_RAW);
        holder_raw(fd, packets[i], 16, 0);
        holder_expect_closed(fd);
    }
    _cleanup_close_ int fd = bench_open(*state, PURPOSE_DATA_RAW);
    holder_raw(fd, "\1\1\0\0\1\0\0\0\0\0\0\0\0\0\0\0x", 17, 0); /* a payload */
    holder_expect_closed(fd);
}

static void random_packets(void **state) {
    uint8_t packet[300];

    srandom(42);
    for (unsigned round = 0; round < 400; round++) {
        _cleanup_close_ int fd = bench_open(*state, (Purpose) (round % 4));
        for (unsigned i = 0; i < 8; i++) {
            size_t size = (size_t) random() % sizeof(packet);
            for (size_t k = 0; k < size; k++)
                packet[k] = (uint8_t) random();
            if (random() % 4 && size > 16) { /* most of them past the header's checks */
                memcpy(packet, get_state, 4);
                packet[1] = (uint8_t) (random() % 5);
                packet[14] = packet[15] = 0;
                if (random() % 2)
                    memcpy(packet + 8, "\1\0\0\0\3\4", 6);
            }
            holder_raw(fd, packet, size, 0);
        }
    }
}

static void descriptors(void **state) {
    for (unsigned count = 1; count <= 253; count += count < 6 ? 1 : 82) {
        _cleanup_close_ int fd = bench_open(*state, PURPOSE_DATA_RAW);
        holder_raw(fd, get_state, 16, count);
        holder_expect_closed(fd);
        _cleanup_close_ int queued =
            bench_open(*state, PURPOSE_DATA_RAW); /* behind others, of which the first closes the handle */
        holder_raw(queued, "x", 1, 0);
        for (unsigned i = 0; i < 20; i++)
            holder_raw(queued, get_state, 16, count);
        holder_expect_closed(queued);
    }
}

static void descriptors_that_linger(void **state) {
    Bench *bench = *state;
    LingeringPeer peers[3];
    unsigned closed = bench->closed;
    double begun = seconds();

    for (unsigned i = 0; i < 3; i++) {
        _cleanup_close_ int fd = bench_open(bench, PURPOSE_DATA_RAW);
        /* Its answer waits for us to read the first State, and what follows waits behind it. */
        holder_raw(fd, get_state, 16, 0);
        peers[i] = linger_send(fd, 3600);
        bench_idle(bench, 20);
        if (i == 1) { /* the holder hangs up */
            fd = close_safe(fd);
            continue;
        }
        /* 0: we read, so that the descriptor's turn comes */
        if (i == 2) /* main closes */
            assert_int_equal(signing_close_handle(bench->signing, bench->next_id - 1), 0);
        holder_expect_closed(fd);
        for (unsigned k = 0; k < 5; k++)
            holder_sign_message(bystander, bench->keys[0], 1, "not delayed");
    }
    assert_true(seconds() - begun < 20);
    bench_idle(bench, 50);
    assert_true(bench->closed < closed + 3); /* the quota of who does this stays taken until it is over */
    for (unsigned i = 0; i < 3; i++)
        linger_peer_clear(&peers[i]);
    bench_wait(bench, &bench->closed, closed + 3);
}

/* Asks for States and signatures until the socket is full and reads nothing: at most one State, with its descriptors,
 * is on its way, however often it asks and however often the identity changes. */
static void never_reads(void **state) {
    Bench *bench = *state;
    _cleanup_close_ int lazy = bench_open(bench, PURPOSE_DATA_RAW);
    unsigned asked = 0;
    int one = 0, queued = 0;

    struct pollfd first = { lazy, POLLIN, 0 };
    assert_int_equal(poll(&first, 1, 10000), 1);
    assert_int_equal(ioctl(lazy, FIONREAD, &one), 0);
    assert_true(one > 16);
    for (struct pollfd wait = { lazy, POLLOUT, 0 }; poll(&wait, 1, 200) == 1; asked++)
        assert_int_equal(send(lazy, get_state, 16, MSG_NOSIGNAL), 16);
    for (uint32_t i = 0; i < 300; i++) {
        SigningIdentity identity = bench_identity(bench, 1);
        identity.not_after = i;
        assert_int_equal(signing_set_identity(bench->signing, &identity), 0);
    }
    for (unsigned i = 0; i < 5; i++)
        holder_sign_message(bystander, bench->keys[0], 1, "not delayed");
    assert_int_equal(ioctl(lazy, FIONREAD, &queued), 0);
    assert_int_equal(queued, one);
    /* An honest reader gets what it asked for after all: one answer each. */
    for (unsigned answered = 0; answered < asked;) {
        assert_true(holder_receive(lazy, &answer));
        answered += answer.serial != 0;
        answer_clear(&answer);
    }
    SigningIdentity identity = bench_identity(bench, 1);
    assert_int_equal(signing_set_identity(bench->signing, &identity), 0);
}

/* The end of a handle does not take back what its holder has not read, with descriptors of ours in it: the handle
 * counts until that is gone, and whoever has handles closed on him without reading gets no more of them for it. */
static void ends_unread(void **state) {
    Bench *bench = *state;
    SigningCounters counters;
    struct pollfd readable = { .events = POLLIN };
    unsigned closed = bench->closed;
    int fds[3];

    for (unsigned i = 0; i < ARRAY_LENGTH(fds); i++) {
        readable.fd = fds[i] = bench_open(bench, PURPOSE_DATA_RAW);
        assert_int_equal(poll(&readable, 1, 10000), 1); /* its State */
    }
    holder_raw(fds[0], "x", 1, 0); /* what is not as agreed, behind a State that is not read */
    holder_raw(fds[1], get_state, 16, 0);
    assert_int_equal(signing_close_identity(bench->signing, "demo"), 0);
    bench_settle(bench);
    do {
        bench_idle(bench, 5);
        signing_counters(bench->signing, &counters);
    } while (counters.handles_open > 0);
    bench_wait(bench, &bench->closed, closed + 1); /* the bystander's, which was read to its end */
    bench_idle(bench, 50);
    assert_int_equal(bench->closed, closed + 1);
    assert_int_equal(send(fds[1], get_state, 16, MSG_NOSIGNAL), -1); /* but it has ended */
    assert_int_equal(errno, EPIPE);
    assert_true(holder_receive(fds[0], &answer));
    assert_int_equal(answer.fd_count, 2);
    answer_clear(&answer);
    bench_wait(bench, &bench->closed, closed + 2);
    holder_expect_closed(fds[0]);
    close(fds[1]);
    bench_wait(bench, &bench->closed, closed + 3);
    holder_expect_closed(fds[2]);
    bench_wait(bench, &bench->closed, closed + 4);
    close(fds[0]);
    close(fds[2]);
    close(bystander);
    bystander = bench_open(bench, PURPOSE_DATA_RAW);
}

static void never_reads_signatures(void **state) {
    Bench *bench = *state;
    _cleanup_close_ int lazy = bench_open(bench, PURPOSE_DATA_RAW);
    const uint8_t request[] = { 1, HANDLE_SIGN_MESSAGE, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 3, 4, 0, 0, 'h', 'i' };
    SigningCounters before, after;
    unsigned sent = 0, answers = 0;

    assert_true(holder_receive(lazy, &answer));
    answer_clear(&answer);
    for (unsigned i = 0; i < 5; i++)
        holder_sign_message(bystander, bench->keys[0], 1, "x");
    signing_counters(bench->signing, &before);
    for (struct pollfd wait = { lazy, POLLOUT, 0 }; poll(&wait, 1, 200) == 1; sent++)
        assert_int_equal(send(lazy, request, sizeof(request), MSG_NOSIGNAL), sizeof(request));
    signing_counters(bench->signing, &after);
    assert_in_range(after.signatures - before.signatures, 4,
                    60);                /* what its socket holds, and then the TPM is left alone */
    for (; answers < sent; answers++) { /* reading again is all it takes */
        assert_true(holder_receive(lazy, &answer));
        assert_int_equal(answer.status, 0);
    }
}

/* Floods of the largest messages from three sides: between a request of the bystander and its answer lies one turn of
 * each at most, and one that had begun. A busy machine may stop us between counting and asking, so not every round
 * counts. */
static void floods(void **state) {
    Bench *bench = *state;
    static uint8_t big[16 + 65536] = { 1, HANDLE_SIGN_MESSAGE, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 3, 4 };
    enum { FLOODERS = 3, ROUNDS = 40 };
    int flooders[FLOODERS];
    unsigned fair = 0;

    memset(big + 16, 'x', 65536);
    for (unsigned i = 0; i < FLOODERS; i++)
        flooders[i] = bench_open(bench, PURPOSE_DATA_RAW);
    for (unsigned round = 0; round < ROUNDS; round++) {
        SigningCounters before, after;
        for (unsigned i = 0; i < FLOODERS; i++) {
            while (send(flooders[i], big, sizeof(big), MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
                ;
            while (recv(flooders[i], answer.payload, sizeof(answer.payload), MSG_DONTWAIT) > 0)
                ;
        }
        signing_counters(bench->signing, &before);
        holder_sign_message(bystander, bench->keys[0], 1, "my turn");
        signing_counters(bench->signing, &after);
        fair += after.signatures - before.signatures <= 1 + FLOODERS + 1;
    }
    assert_true(fair >= ROUNDS / 4);
    for (unsigned i = 0; i < FLOODERS; i++)
        close(flooders[i]);
}

static void comes_and_goes(void **state) {
    for (unsigned i = 0; i < 300; i++) {
        int fd = bench_open(*state, PURPOSE_DATA_RAW);
        if (i % 3 > 0)
            holder_raw(fd, get_state, 16, 0);
        if (i % 3 > 1)
            holder_raw(fd, "\1\3\0\0\1\0\0\0\0\0\0\0\3\4\0\0hello", 21, 0);
        close(fd);
    }
}

#define HARMLESS(test) cmocka_unit_test_teardown(test, nobody_was_harmed)

int main(void) {
    const struct CMUnitTest tests[] = {
        HARMLESS(odd_sizes),
        HARMLESS(every_bit_of_a_request),
        HARMLESS(every_type),
        HARMLESS(fields_that_must_be_zero),
        HARMLESS(random_packets),
        HARMLESS(descriptors),
        HARMLESS(descriptors_that_linger),
        HARMLESS(never_reads),
        HARMLESS(ends_unread),
        HARMLESS(never_reads_signatures),
        HARMLESS(floods),
        HARMLESS(comes_and_goes),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
