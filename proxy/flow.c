/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See flow.h. */
#include "proxy/flow.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

int flow_begin(Flow *flow, gnutls_session_t session, int plain, size_t capacity) {
    Flow begun = { .session = session,
                   .plain = plain,
                   .capacity = capacity,
                   .plain_readable = true,
                   .plain_writable = true,
                   .tls_readable = true,
                   .tls_writable = true };

    begun.up.data = malloc(capacity);
    begun.down.data = malloc(capacity);
    if (!begun.up.data || !begun.down.data) {
        flow_clear(&begun);
        return -ENOMEM;
    }
    *flow = begun;
    return 0;
}

int flow_set_prefix(Flow *flow, const void *data, size_t size) {
    if (size > flow->capacity) {
        char *larger = realloc(flow->down.data, size);
        if (!larger)
            return -ENOMEM;
        flow->down.data = larger;
    }
    memcpy(flow->down.data, data, size);
    flow->down.begin = 0;
    flow->down.end = flow->prefix = size;
    return 0;
}

void flow_clear(Flow *flow) {
    free(flow->up.data);
    free(flow->down.data);
    *flow = (Flow) { .plain = -1 };
}

void flow_plain_event(Flow *flow, uint32_t events) {
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        flow->plain_readable = true;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        flow->plain_writable = true;
    if (events & EPOLLHUP)
        flow->plain_gone = true;
}

/* A record may have to be written before more can be read, and the other way round. */
void flow_tls_event(Flow *flow) {
    flow->tls_readable = flow->tls_writable = true;
}

bool flow_is_ending(const Flow *flow) {
    return flow->plain_ended || flow->tls_ended || flow->up_error < 0;
}

bool flow_is_lingering(const Flow *flow) {
    return flow->plain_gone && flow->tls_closed;
}

static bool is_empty(const FlowBuffer *buffer) {
    return buffer->begin == buffer->end;
}

static bool must_wait(ssize_t r) {
    return r == GNUTLS_E_AGAIN || r == GNUTLS_E_INTERRUPTED;
}

/* A program that closes with something unread resets the connection, and means no more by it. */
static bool is_gone(int error) {
    return error == EPIPE || error == ECONNRESET;
}

/* ---- one step of each kind; FLOW_MORE: something was done ---- */

static FlowResult local_fault(int *ret_error) {
    *ret_error = -errno;
    return FLOW_LOCAL;
}

static FlowResult read_plain(Flow *flow, int *ret_error) {
    ssize_t n = recv(flow->plain, flow->up.data, flow->capacity, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        flow->plain_readable = errno == EINTR;
        return FLOW_WAIT;
    }
    if (n < 0 && !is_gone(errno))
        return local_fault(ret_error);
    flow->plain_ended = n <= 0;
    flow->up.begin = 0;
    flow->up.end = n > 0 ? (size_t) n : 0;
    return FLOW_MORE;
}

/* The peer may have closed after it sent what is still to be read: that goes on. */
static FlowResult peer_takes_no_more(Flow *flow, ssize_t error) {
    flow->up_error = (int) error;
    flow->tls_closed = true;
    return FLOW_MORE;
}

/* After E_AGAIN GnuTLS wants the same call again: the buffer stays as it is meanwhile. */
static FlowResult write_tls(Flow *flow) {
    ssize_t n = gnutls_record_send(flow->session, flow->up.data + flow->up.begin, flow->up.end - flow->up.begin);

    if (must_wait(n)) {
        flow->tls_writable = n == GNUTLS_E_INTERRUPTED;
        return FLOW_WAIT;
    }
    if (n < 0)
        return peer_takes_no_more(flow, n);
    flow->up.begin += (size_t) n;
    flow->sent += (uint64_t) n;
    return FLOW_MORE;
}

static FlowResult close_tls(Flow *flow) {
    int r = gnutls_bye(flow->session, GNUTLS_SHUT_WR);

    if (must_wait(r)) {
        flow->tls_writable = r == GNUTLS_E_INTERRUPTED;
        return FLOW_WAIT;
    }
    if (r < 0)
        return peer_takes_no_more(flow, r);
    flow->tls_closed = true;
    return FLOW_MORE;
}

/* GnuTLS says E_AGAIN also after it took a message of its own, such as a session ticket: only the socket knows whether
 * more has come, and it would not say so a second time. */
static bool has_more(const Flow *flow) {
    char unused;

    return gnutls_record_get_direction(flow->session) == 0 &&
           recv(gnutls_transport_get_int(flow->session), &unused, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

/* Warnings of the peer and requests that TLS 1.3 does not know are passed over. */
static FlowResult read_tls(Flow *flow, int *ret_error) {
    ssize_t n = gnutls_record_recv(flow->session, flow->down.data, flow->capacity);

    if (must_wait(n)) {
        flow->tls_readable = n == GNUTLS_E_INTERRUPTED || has_more(flow);
        return flow->tls_readable ? FLOW_MORE : FLOW_WAIT;
    }
    if (n < 0 && gnutls_error_is_fatal((int) n)) {
        *ret_error = (int) n;
        return n == GNUTLS_E_PREMATURE_TERMINATION  ? FLOW_TRUNCATED
               : n == GNUTLS_E_FATAL_ALERT_RECEIVED ? FLOW_REFUSED
                                                    : FLOW_BROKEN;
    }
    flow->tls_ended = n == 0;
    flow->down.begin = 0;
    flow->down.end = n > 0 ? (size_t) n : 0;
    return FLOW_MORE;
}

static FlowResult write_plain(Flow *flow, int *ret_error) {
    ssize_t n = send(flow->plain, flow->down.data + flow->down.begin, flow->down.end - flow->down.begin, MSG_NOSIGNAL);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        flow->plain_writable = errno == EINTR;
        return FLOW_WAIT;
    }
    if (n < 0 && !is_gone(errno))
        return local_fault(ret_error);
    flow->plain_gone = flow->plain_gone || n < 0;
    if (n < 0)
        return FLOW_MORE;
    size_t of_prefix = (size_t) n < flow->prefix ? (size_t) n : flow->prefix;
    flow->prefix -= of_prefix;
    flow->down.begin += (size_t) n;
    flow->received += (size_t) n - of_prefix;
    return FLOW_MORE;
}

static FlowResult close_plain(Flow *flow) {
    (void) shutdown(flow->plain, SHUT_WR);
    flow->plain_closed = true;
    return FLOW_MORE;
}

/* ---- turns ---- */

static FlowResult step_up(Flow *flow, int *ret_error) {
    FlowResult result = FLOW_WAIT;

    if (flow->tls_closed)
        return FLOW_WAIT;
    if (is_empty(&flow->up) && flow->plain_readable && !flow->plain_ended)
        result = read_plain(flow, ret_error);
    if (result > FLOW_MORE || !flow->tls_writable)
        return result;
    if (!is_empty(&flow->up))
        return write_tls(flow);
    return flow->plain_ended ? close_tls(flow) : result;
}

static FlowResult step_down(Flow *flow, int *ret_error) {
    FlowResult result = FLOW_WAIT;

    if (is_empty(&flow->down) && flow->tls_readable && !flow->tls_ended)
        result = read_tls(flow, ret_error);
    if (flow->plain_gone)
        flow->down.begin = flow->down.end;
    if (result > FLOW_MORE || !flow->plain_writable)
        return result;
    if (!is_empty(&flow->down))
        return write_plain(flow, ret_error);
    return flow->tls_ended && !flow->plain_closed ? close_plain(flow) : result;
}

static FlowResult ended(const Flow *flow, int *ret_error) {
    if (flow->up_error < 0 && !is_empty(&flow->up)) {
        *ret_error = flow->up_error;
        return FLOW_BROKEN;
    }
    return FLOW_DONE;
}

FlowResult flow_turn(Flow *flow, int *ret_error) {
    for (unsigned i = 0; i < FLOW_STEPS; i++) {
        FlowResult up = step_up(flow, ret_error), down = up > FLOW_MORE ? up : step_down(flow, ret_error);
        if (down > FLOW_MORE)
            return down;
        if (flow->tls_closed && flow->plain_closed)
            return ended(flow, ret_error);
        if (up == FLOW_WAIT && down == FLOW_WAIT)
            return FLOW_WAIT;
    }
    return FLOW_MORE;
}
