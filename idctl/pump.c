/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A poll loop over standard input and a session: see pump.h. Memory is two buffers of one TLS record; who sends faster
 * than it is read waits. */
#include "idctl/pump.h"

#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define PUMP_BUFFER 16384U

struct Pump {
    gnutls_session_t session;
    int fd, error;
    size_t received; /* bytes in `in`, not yet written to standard output */
    size_t pending;  /* bytes in `out`, not yet sent */
    bool input_ended, close_sent;
    char in[PUMP_BUFFER], out[PUMP_BUFFER];
};

int pump_new(gnutls_session_t session, int fd, Pump **ret) {
    Pump *pump = calloc(1, sizeof *pump);
    int flags = fcntl(fd, F_GETFL);

    if (!pump)
        return -ENOMEM;
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        free(pump);
        return -errno;
    }
    pump->session = session;
    pump->fd = fd;
    *ret = pump;
    return 0;
}

Pump *pump_free(Pump *pump) {
    free(pump);
    return NULL;
}

int pump_error(const Pump *pump) {
    return pump->error;
}

static bool must_wait(ssize_t r) {
    return r == GNUTLS_E_AGAIN || r == GNUTLS_E_INTERRUPTED;
}

static PumpEnd ended_by(Pump *pump, ssize_t r) {
    pump->error = (int) r;
    return r == GNUTLS_E_FATAL_ALERT_RECEIVED ? PUMP_REFUSED : PUMP_BROKEN;
}

/* Into an empty `in`. Warnings of the peer and a request for another handshake are passed over. */
static PumpEnd receive(Pump *pump) {
    ssize_t n = gnutls_record_recv(pump->session, pump->in, sizeof pump->in);

    if (n == 0)
        return PUMP_CLOSED;
    if (n > 0)
        pump->received = (size_t) n;
    else if (!must_wait(n) && gnutls_error_is_fatal((int) n))
        return ended_by(pump, n);
    return PUMP_OPEN;
}

static int64_t milliseconds_now(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

PumpEnd pump_wait(Pump *pump, int milliseconds) {
    int64_t end = milliseconds_now() + milliseconds;

    for (;;) {
        PumpEnd result = receive(pump);
        if (result != PUMP_OPEN || pump->received > 0 ||
            (gnutls_session_get_flags(pump->session) & GNUTLS_SFLAGS_SESSION_TICKET))
            return result;
        int64_t left = end - milliseconds_now();
        struct pollfd wait = { .fd = pump->fd, .events = POLLIN };
        if (left <= 0 || poll(&wait, 1, (int) left) == 0)
            return PUMP_OPEN;
    }
}

static PumpEnd local_failure(Pump *pump) {
    pump->error = -errno;
    return PUMP_LOCAL;
}

static PumpEnd write_received(Pump *pump) {
    size_t done = 0;

    while (done < pump->received) {
        ssize_t n = write(STDOUT_FILENO, pump->in + done, pump->received - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return local_failure(pump);
        done += (size_t) n;
    }
    pump->received = 0;
    return PUMP_OPEN;
}

static PumpEnd read_input(Pump *pump) {
    ssize_t n = read(STDIN_FILENO, pump->out, sizeof pump->out);

    if (n < 0 && errno != EINTR && errno != EAGAIN)
        return local_failure(pump);
    if (n == 0)
        pump->input_ended = true;
    else if (n > 0)
        pump->pending = (size_t) n;
    return PUMP_OPEN;
}

/* GnuTLS wants the same call again after E_AGAIN: the buffer does not move meanwhile. */
static PumpEnd send_pending(Pump *pump) {
    if (pump->pending > 0) {
        ssize_t n = gnutls_record_send(pump->session, pump->out, pump->pending);
        if (n >= 0) {
            for (size_t i = (size_t) n; i < pump->pending; i++)
                pump->out[i - (size_t) n] = pump->out[i];
            pump->pending -= (size_t) n;
        } else if (!must_wait(n))
            return ended_by(pump, n);
    } else if (pump->input_ended && !pump->close_sent) {
        int r = gnutls_bye(pump->session, GNUTLS_SHUT_WR);
        if (r == 0)
            pump->close_sent = true;
        else if (!must_wait(r))
            return ended_by(pump, r);
    }
    return PUMP_OPEN;
}

static PumpEnd turn(Pump *pump) {
    struct pollfd wait[2] = {
        { .fd = pump->fd, .events = POLLIN },
        { .fd = pump->input_ended || pump->pending > 0 ? -1 : STDIN_FILENO, .events = POLLIN },
    };
    bool to_send = pump->pending > 0 || (pump->input_ended && !pump->close_sent);
    PumpEnd result = PUMP_OPEN;

    if (to_send)
        wait[0].events |= POLLOUT;
    /* What GnuTLS has decrypted already does not show on the socket. */
    bool buffered = gnutls_record_check_pending(pump->session) > 0;
    if (poll(wait, 2, buffered ? 0 : -1) < 0)
        return errno == EINTR ? PUMP_OPEN : local_failure(pump);
    if (wait[1].revents)
        result = read_input(pump);
    if (result == PUMP_OPEN && (wait[0].revents & POLLOUT))
        result = send_pending(pump);
    if (result == PUMP_OPEN && (buffered || (wait[0].revents & ~POLLOUT)))
        result = receive(pump);
    return result;
}

PumpEnd pump_run(Pump *pump) {
    PumpEnd result = PUMP_OPEN;

    while (result == PUMP_OPEN) {
        result = write_received(pump);
        if (result == PUMP_OPEN)
            result = turn(pump);
    }
    if (result == PUMP_CLOSED && !pump->close_sent)
        (void) gnutls_bye(pump->session, GNUTLS_SHUT_WR);
    return result;
}
