/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Connections of credential handles. Each turn that one is given (queue.c) serves one of its packets. A request is read
 * only when the kernel has room for its answer, so no answer is ever kept here; a State, which carries descriptors, is
 * sent only when the holder has read everything before it, so at most four descriptors are on their way to it. What a
 * holder does not read or sends too much of waits in its own socket. What is not as identityd-handle(7) has it closes
 * the handle. A handle that was closed stays with us until its holder has read what was sent or has closed its end:
 * till then descriptors of ours are on their way to it. */
#include "signing/signing-internal.h"

#include "common/tlv.h"
#include "rules/tls12.h"

#include <linux/sockios.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* The kernel doubles it. Some ten answers; what a holder leaves unread beyond that keeps its requests waiting. */
#define SEND_BUFFER 16384

/* The kernel counts a packet with its bookkeeping, more than 500 bytes; while it gives one back the count passes
 * through 1. */
#define QUEUE_EMPTY 256

int handle_new(Signing *signing, const SigningHandle *description, Handle **ret) {
    _cleanup_close_ int socket = description->socket, pidfd = description->first_sender_pidfd;
    const int on = 1, size = SEND_BUFFER;
    _cleanup_(handle_free_p) Handle *handle = calloc(1, sizeof(*handle));

    if (!handle)
        return -ENOMEM;
    handle->signing = signing;
    handle->id = description->id;
    handle->purpose = description->purpose;
    handle->first_sender = description->first_sender;
    handle->socket = TAKE_FD(socket);
    handle->first_sender_pidfd = description->first_sender > 0 ? TAKE_FD(pidfd) : -1;
    handle->identity_name = strdup(description->identity);
    const SigningPayer payer = { SIGNING_FOR_USER, description->uid, description->identity };
    if (!handle->identity_name || place_new(&payer, &handle->place) < 0)
        return -ENOMEM;
    if (setsockopt(handle->socket, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
        setsockopt(handle->socket, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) < 0)
        return -errno;
    socklen_t length = sizeof(handle->send_buffer);
    if (getsockopt(handle->socket, SOL_SOCKET, SO_SNDBUF, &handle->send_buffer, &length) < 0)
        return -errno;
    *ret = TAKE_PTR(handle);
    return 0;
}

Handle *handle_free(Handle *handle) {
    if (!handle)
        return NULL;
    sd_event_source_disable_unref(handle->source);
    close_safe(handle->socket);
    close_safe(handle->first_sender_pidfd);
    place_clear(&handle->place);
    free(handle->identity_name);
    free(handle);
    return NULL;
}

/* On main. */
static void say_closed(void *data) {
    _cleanup_(handle_free_p) Handle *handle = data;
    const SigningCallbacks *callbacks = &handle->signing->callbacks;

    if (handle->error < 0 && callbacks->handle_failed)
        callbacks->handle_failed(handle->identity_name, handle->error, callbacks->userdata);
    if (callbacks->handle_closed)
        callbacks->handle_closed(handle->id, callbacks->userdata);
}

/* On whichever thread closed the socket. Until then the handle counts against its owner's quota. */
static void socket_closed(void *data) {
    Handle *handle = data;

    mailbox_post_mail(handle->signing->to_main, &handle->mail, say_closed, handle);
}

static void close_socket(Handle *handle) {
    handle->source = sd_event_source_disable_unref(handle->source);
    if (closer_close_socket(handle->signing->closer, TAKE_FD(handle->socket), socket_closed, handle))
        socket_closed(handle);
}

void handle_end_lingering(Handle *handle) {
    if (handle->previous)
        handle->previous->next = handle->next;
    else
        handle->signing->lingering = handle->next;
    if (handle->next)
        handle->next->previous = handle->previous;
    close_socket(handle);
}

static int unread_by_holder(Handle *handle, int *ret) {
    return ioctl(handle->socket, SIOCOUTQ, ret) < 0 ? -errno : 0;
}

static int on_lingering(sd_event_source *source, int fd, uint32_t events, void *userdata) {
    Handle *handle = userdata;
    int unread;

    if (unread_by_holder(handle, &unread) < 0 || unread < QUEUE_EMPTY)
        handle_end_lingering(handle);
    return 0;
}

/* The kernel lets one user have as many descriptors on their way, in all sockets, as RLIMIT_NOFILE says, and refuses
 * whatever is sent beyond that, to whomever. What lies unread behind a closed socket counts like any other: were its
 * place free again, somebody who reads nothing could have handle after handle closed, and in the end nobody would get
 * a State. The end is seen at once all the same. */
static bool lingers(Handle *handle) {
    Signing *signing = handle->signing;
    int unread;

    if (atomic_load(&signing->stopping) || shutdown(handle->socket, SHUT_RDWR) < 0 ||
        unread_by_holder(handle, &unread) < 0 || unread < QUEUE_EMPTY ||
        sd_event_add_io(signing->loop, &handle->source, handle->socket, EPOLLOUT | EPOLLET, on_lingering, handle) < 0)
        return false;
    handle->previous = NULL;
    handle->next = signing->lingering;
    if (handle->next)
        handle->next->previous = handle;
    signing->lingering = handle;
    return true;
}

void handle_close(Handle *handle) {
    Signing *signing = handle->signing;
    ServedIdentity *identity = handle->identity;

    handle->source = sd_event_source_disable_unref(handle->source);
    if (identity) {
        if (handle->previous)
            handle->previous->next = handle->next;
        else
            identity->handles = handle->next;
        if (handle->next)
            handle->next->previous = handle->previous;
        handle->identity = NULL;
        client_rest(&handle->client);
        queue_leave(TAKE_PTR(handle->client.lane), signing);
        atomic_fetch_sub(&signing->handles_open, 1);
        served_review(signing, identity);
    }
    if (!lingers(handle))
        close_socket(handle);
}

/* A holder that is gone, or does not keep to the protocol, is nobody's failure but its own. */
static void close_failed(Handle *handle, int r) {
    if (r != -EPIPE && r != -ECONNRESET && r != -EPROTO)
        handle->error = r;
    handle_close(handle);
}

/* Reading waits for packets, flushing for the holder to read: writable is what the socket nearly always is, and what
 * counts is each packet that the holder takes. Both are told once (edge-triggered), also where it is so already: who
 * has something to be read is known to the queue until there is nothing left, and would else be told of before each
 * turn, all of them. */
static int set_flushing(Handle *handle, bool flushing) {
    if (handle->flushing == flushing)
        return 0;
    int r = sd_event_source_set_io_events(handle->source, (flushing ? EPOLLOUT : EPOLLIN) | EPOLLET);
    if (r < 0)
        return r;
    handle->flushing = flushing;
    if (flushing)
        client_rest(&handle->client);
    return 0;
}

int handle_show(Handle *handle, const ServedIdentity *identity) {
    const ServedView view = { handle->purpose, atomic_load(&handle->signing->pss_unusable) };
    ServedState state;

    int r = served_state(identity, &view, &state);
    if (r < 0)
        return r;
    if (handle->first_sender != 0)
        r = tlv_append(&state.body, HANDLE_STATE_UNPROVED, (BytesView) { NULL, 0 });
    const PacketHeader header = { .type = HANDLE_STATE,
                                  .serial = handle->state_serial,
                                  .generation = identity->generation };
    if (r >= 0)
        r = packet_send(handle->socket, &header, bytes_view(&state.body), state.fds, state.fd_count);
    bytes_clear(&state.body);
    if (r < 0)
        return r;
    handle->state_pending = false;
    handle->state_serial = 0;
    handle->pss_shown = view.pss_unusable;
    generation_hold_shown(&handle->hold, identity->generation);
    return 0;
}

/* 1: sent; 0: the holder has yet to read; else the handle is to be closed. */
static int send_state(Handle *handle) {
    int unread, r = unread_by_holder(handle, &unread);

    if (r >= 0 && unread >= QUEUE_EMPTY)
        return 0;
    if (r >= 0)
        r = handle_show(handle, handle->identity);
    return r < 0 ? r : 1;
}

/* Why a handle is closed, to its holder: a State that it was not told yet. Without files where it has yet to read, for
 * no more descriptors may be on their way; who has no room even for that finds the end alone. */
static void send_last_state(Handle *handle) {
    ServedIdentity without_files = *handle->identity;

    if (!handle->state_pending || send_state(handle) != 0)
        return;
    memset(without_files.files, -1, sizeof without_files.files);
    (void) handle_show(handle, &without_files);
}

static void push_state(Handle *handle) {
    handle->state_pending = true;
    /* Sent in a turn of its own: the edge comes at once if there is room. */
    int r = set_flushing(handle, true);
    if (r < 0)
        close_failed(handle, r);
}

void handle_push_all(ServedIdentity *identity) {
    for (Handle *handle = identity->handles, *next; handle; handle = next) {
        next = handle->next; /* a handle that cannot be told is closed */
        push_state(handle);
    }
}

void handle_close_all(ServedIdentity *identity) {
    while (identity->handles) {
        send_last_state(identity->handles);
        handle_close(identity->handles);
    }
}

static int answer(Handle *handle, const PacketHeader *request, uint32_t generation, BytesView signature) {
    const PacketHeader header = { .type = request->type | HANDLE_ANSWER,
                                  .serial = request->serial,
                                  .generation = generation,
                                  .scheme = request->scheme };

    return packet_send(handle->socket, &header, signature, NULL, 0);
}

static int refuse(Handle *handle, const PacketHeader *request, const Failure *failure) {
    FailureKind kind = failure->kind == FAILURE_NONE ? FAILURE_INTERNAL : failure->kind;
    const PacketHeader header = { .type = request->type | HANDLE_ANSWER,
                                  .status = (uint16_t) kind,
                                  .serial = request->serial,
                                  .generation = request->generation,
                                  .scheme = request->scheme };

    return packet_send(handle->socket, &header, bytes_view_string(failure->text), NULL, 0);
}

/* Which generation is meant. */
static int find_generation(const ServedIdentity *identity, const PacketHeader *request, const SignatureScheme *scheme,
                           ServedGeneration **ret, Failure *ret_failure) {
    if (identity->blocked != FAILURE_NONE)
        return failure_set(ret_failure, -EAGAIN, identity->blocked, "%s", identity->blocked_reason);
    if (!scheme)
        return failure_set(ret_failure, -EINVAL, FAILURE_INVALID_ARGUMENT,
                           "identity %s: unknown signature scheme 0x%04x", identity->name, request->scheme);
    ServedGeneration *generation = served_generation(identity, request->generation);
    if (!generation && identity->generation == 0)
        return failure_set(ret_failure, -EAGAIN, FAILURE_NOT_READY, "identity %s has no certificate yet",
                           identity->name);
    if (!generation)
        return failure_set(
            ret_failure, -EAGAIN, FAILURE_NOT_READY,
            "identity %s: generation %u does not sign, the current one is %u: use the chain of a new State",
            identity->name, request->generation, identity->generation);
    *ret = generation;
    return 0;
}

/* What the key signs with where that scheme is asked for. */
static int find_scheme(const ServedIdentity *identity, const ServedGeneration *generation, const SignQuestion *question,
                       const SignatureScheme **ret, Failure *ret_failure) {
    KeyAlgorithm algorithm = tpm_key_algorithm(generation->key);
    const SignatureScheme *scheme = question->scheme;

    if (purpose_asks_tls12(question))
        scheme = tls12_key_scheme(scheme, algorithm);
    else if (!scheme_fits(scheme, algorithm))
        scheme = NULL;
    if (!scheme)
        return failure_set(ret_failure, -EINVAL, FAILURE_INVALID_ARGUMENT,
                           "identity %s: its key, %s, does not sign with %s", identity->name,
                           key_algorithm_to_string(algorithm), question->scheme->name);
    *ret = scheme;
    return 0;
}

/* The one way to the TPM: parse, look up, check, sign. 0: `ret_size` bytes of signature. */
static int sign(Handle *handle, const Packet *packet, uint8_t ret_signature[static SIGNATURE_MAX], size_t *ret_size,
                ServedGeneration **ret_generation, Failure *ret_failure) {
    Signing *signing = handle->signing;
    const ServedIdentity *identity = handle->identity;
    const SignatureScheme *scheme = scheme_by_id(packet->header.scheme);
    ServedGeneration *generation = NULL;
    SignDigest digest;

    int r = find_generation(identity, &packet->header, scheme, &generation, ret_failure);
    if (r < 0)
        return r;
    const SignQuestion question = {
        .purpose = handle->purpose,
        .identity = identity->name,
        .scheme = scheme,
        .type = packet->header.type,
        .payload = packet->payload,
        .tls12 = identity->tls12,
        .certificate = bytes_view(&generation->certificate),
    };
    r = find_scheme(identity, generation, &question, &scheme, ret_failure);
    if (r < 0)
        return r;
    r = purpose_check(&question, &digest, ret_failure);
    if (r >= 0) {
        digest.size = tls12_fit_digest(scheme, digest.bytes, digest.size);
        bool was_loaded = tpm_key_is_loaded(signing->tpm, generation->key);
        uint64_t begun = thread_busy_begin(signing);
        r = tpm_key_sign(signing->tpm, generation->key, scheme, (BytesView) { digest.bytes, digest.size },
                         ret_signature, ret_size, ret_failure);
        uint64_t took = thread_busy_end(signing) - begun;
        thread_count_latency(signing, took);
        if (r >= 0 && !was_loaded)
            (void) share_cost(&signing->usual_load, took);
    }
    if (r < 0)
        return failure_prefix(ret_failure, r, "identity %s", identity->name);
    handle->client.usual = &generation->usual;
    *ret_generation = generation;
    return 0;
}

static int serve_signature(Handle *handle, const Packet *packet) {
    Signing *signing = handle->signing;
    ServedGeneration *generation = NULL;
    uint8_t signature[SIGNATURE_MAX];
    size_t size;
    Failure failure;

    failure.kind = FAILURE_NONE; /* not FAILURE_INIT: no need to clear the whole text for every signature */
    failure.text[0] = '\0';
    int r = sign(handle, packet, signature, &size, &generation, &failure);
    if (r < 0) {
        bool tpm = failure_is_of_tpm(&failure);
        bool blocked = handle->identity->blocked != FAILURE_NONE;
        atomic_fetch_add_explicit(tpm && !blocked ? &signing->tpm_errors : &signing->refused, 1, memory_order_relaxed);
        if (tpm && !blocked)
            thread_tell_trouble(signing, &failure);
        return refuse(handle, &packet->header, &failure);
    }
    r = answer(handle, &packet->header, generation->number, (BytesView) { signature, size });
    /* The holder is on its way already; what follows is our own bookkeeping. */
    atomic_fetch_add_explicit(&signing->signatures, 1, memory_order_relaxed);
    served_say_used(signing, handle->identity, generation);
    if (generation_hold_used(&handle->hold, generation->number, thread_now()))
        served_review(signing, handle->identity);
    return r;
}

/* The holder of a handle that was opened by a unit rule proves to be the process that was admitted: the kernel vouches
 * for the pid at the time of sending, and the pidfd that this pid has not been given to another process since. */
static bool sender_is_right(Handle *handle, const Packet *packet) {
    struct pollfd process = { .fd = handle->first_sender_pidfd, .events = POLLIN };

    if (handle->first_sender == 0)
        return true;
    if (packet->sender_pid != handle->first_sender || poll(&process, 1, 0) != 0)
        return false;
    handle->first_sender = 0;
    handle->first_sender_pidfd = close_safe(handle->first_sender_pidfd);
    return true;
}

/* -EPROTO: not as identityd-handle(7) has it. */
static int serve(Handle *handle, const Packet *packet) {
    const PacketHeader *header = &packet->header;

    if (header->status != 0 || header->serial == 0 || !sender_is_right(handle, packet))
        return -EPROTO;
    switch (header->type) {
    case HANDLE_GET_STATE:
        if (header->generation != 0 || header->scheme != 0 || packet->payload.size > 0)
            return -EPROTO;
        handle->state_pending = true;
        handle->state_serial = header->serial;
        return send_state(handle);
    case HANDLE_SIGN_TRANSCRIPT:
    case HANDLE_SIGN_MESSAGE:
    case HANDLE_SIGN_DIGEST:
        return serve_signature(handle, packet);
    default:
        return -EPROTO;
    }
}

/* Nothing is read while much is unread: just what EPOLLOUT waits for. */
static int has_room(Handle *handle) {
    int unread, r = unread_by_holder(handle, &unread);

    return r < 0 ? r : unread <= handle->send_buffer / 4;
}

/* Sends what is unsent, if that can be now, and goes back to reading then. */
static int flush(Handle *handle) {
    int r = handle->state_pending ? send_state(handle) : has_room(handle);

    return r < 0 ? r : set_flushing(handle, r == 0);
}

static int receive(Handle *handle, Packet *ret) {
    Signing *signing = handle->signing;
    int r = packet_receive(handle->socket, &signing->buffer, false, ret);

    if (r == PACKET_NONE && client_await(&handle->client, signing, handle->socket))
        r = packet_receive(handle->socket, &signing->buffer, false, ret);
    return r;
}

/* Its turn: one packet. */
static int turn(Client *client) {
    Handle *handle = (Handle *) client;
    _cleanup_packet_ Packet packet = PACKET_INIT;

    int r = has_room(handle);
    if (r <= 0)
        return r < 0 ? r : set_flushing(handle, true);
    r = receive(handle, &packet);
    if (r == PACKET_CLOSED)
        return -EPIPE;
    if (r != PACKET_RECEIVED)
        return r;
    r = serve(handle, &packet);
    if (r >= 0)
        r = set_flushing(handle, handle->state_pending);
    return r < 0 ? r : !handle->flushing;
}

static void end_turn(Client *client, int result) {
    if (result < 0)
        close_failed((Handle *) client, result);
}

static int on_socket(sd_event_source *source, int fd, uint32_t events, void *userdata) {
    Handle *handle = userdata;

    /* EPOLLHUP: nobody is left to take an answer, so what it still asked for is not worth the TPM's time. */
    int r = events & (EPOLLHUP | EPOLLERR) ? -EPIPE : handle->flushing ? flush(handle) : 0;
    if (r < 0)
        close_failed(handle, r);
    else if (events & EPOLLIN && !handle->flushing)
        client_wait(&handle->client, handle->signing);
    return 0;
}

void handle_open(Handle *handle) {
    Signing *signing = handle->signing;
    ServedIdentity *identity = served_find(&signing->served, handle->identity_name);

    if (!identity || atomic_load(&signing->stopping)) {
        handle_close(handle);
        return;
    }
    int r = sd_event_add_io(signing->loop, &handle->source, handle->socket, EPOLLIN | EPOLLET, on_socket, handle);
    if (r < 0) {
        close_failed(handle, r);
        return;
    }
    handle->identity = identity;
    handle->next = identity->handles;
    if (handle->next)
        handle->next->previous = handle;
    identity->handles = handle;
    handle->client.lane = queue_enter(signing, &handle->place);
    handle->client.serve = turn;
    handle->client.served = end_turn;
    share_begin(&handle->client.share, &handle->client.lane->share);
    atomic_fetch_add(&signing->handles_open, 1);
    /* The first State is out: main sent it when it opened the handle, of just this identity, since what it said of it
     * before has been heard here, and nothing that it said later. But we may have learned something. */
    if (served_pss_matters(identity, handle->pss_shown ^ atomic_load(&signing->pss_unusable)))
        push_state(handle);
}
