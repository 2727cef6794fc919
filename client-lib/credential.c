/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* identityd_credential: one handle, its locks, and what becomes of it in a forked child.
 *
 * Two locks. `io` is held by whoever speaks on the socket, up to the length of a signature; `state` only for a moment,
 * around what others may ask meanwhile. Both live in a page that the kernel empties in a forked child
 * (MADV_WIPEONFORK): there they are unlocked, whoever held them at the time of the fork, and `owner` no longer names
 * the process, even if the child should one day get its parent's number. */
#include "client-lib/credential.h"

#include "client-lib/connection.h"
#include "client-lib/entry.h"
#include "client-lib/error.h"
#include "client-lib/open.h"
#include "common/handle-protocol.h"
#include "common/scheme.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/types.h>

#define SIGN_SECONDS 60U

typedef struct Shared {
    pthread_mutex_t io, state, beside; /* all zeroes is an unlocked mutex in glibc */
    _Atomic pid_t owner;               /* process that may use the connection */
} Shared;

struct identityd_credential {
    Shared *shared;
    bool shared_is_wiped; /* the kernel knows MADV_WIPEONFORK */

    Connection connection; /* under io, as is `expected` */
    bool expected;         /* identity and purpose are known: a State must name the same */

    char identity[IDENTITY_NAME_MAX + 1]; /* as `expected` */
    Purpose purpose;

    identityd_snapshot *snapshot; /* under state, as is what follows */
    bool closed, changed;         /* changed: since the last process() */
    bool unannounced;             /* the callback is to be called */
    identityd_changed_callback callback;
    void *userdata;
    int epoll_fd, event_fd, watched_fd; /* -1 until identityd_credential_fd() */
    uint64_t revive_after, revive_wait; /* CLOCK_MONOTONIC, µs: when credential_use() may open again; its next wait */
};

/* ---- locks and processes ---- */

static bool is_own_process(const identityd_credential *credential) {
    return credential->shared->owner == getpid();
}

static int check_process(const identityd_credential *credential) {
    if (is_own_process(credential))
        return 0;
    return client_error(-ECHILD,
                        "the credential of %s was opened by another process, which forked this one: open it again",
                        credential->identity);
}

static void lock_state(identityd_credential *credential) {
    pthread_mutex_lock(&credential->shared->state);
}

static void unlock_state(identityd_credential *credential) {
    pthread_mutex_unlock(&credential->shared->state);
}

static void wake(identityd_credential *credential) {
    if (credential->event_fd >= 0)
        (void) eventfd_write(credential->event_fd, 1);
}

/* Under `state`. */
static void note_change(identityd_credential *credential) {
    credential->changed = true;
    credential->unannounced = true;
    wake(credential);
}

/* Under `state`. */
static void unwatch(identityd_credential *credential) {
    if (credential->watched_fd >= 0)
        (void) epoll_ctl(credential->epoll_fd, EPOLL_CTL_DEL, credential->watched_fd, NULL);
    credential->watched_fd = -1;
}

/* Leaves `io` and tells the program, with no lock held, so that it may call whatever it likes. */
static void leave(identityd_credential *credential) {
    identityd_changed_callback callback = NULL;
    void *userdata = NULL;
    uint32_t generation = 0;

    lock_state(credential);
    if (credential->connection.line.dead && !credential->closed) {
        credential->closed = true;
        unwatch(credential); /* before it is closed: a forked child may have the socket open still */
        connection_hang_up(&credential->connection.line);
        note_change(credential);
    }
    if (credential->unannounced) {
        credential->unannounced = false;
        callback = credential->callback;
        userdata = credential->userdata;
        generation = credential->closed ? 0 : credential->snapshot->generation;
    }
    unlock_state(credential);
    pthread_mutex_unlock(&credential->shared->io);
    if (callback)
        callback(credential, generation, userdata);
}

/* ---- states ---- */

/* A State must go on speaking of what was opened. */
static int check_expected(identityd_credential *credential, const identityd_snapshot *snapshot) {
    if (!credential->expected) {
        (void) snprintf(credential->identity, sizeof(credential->identity), "%s", snapshot->identity);
        credential->purpose = snapshot->purpose;
        credential->expected = true;
        return 0;
    }
    if (strcmp(credential->identity, snapshot->identity) != 0 || credential->purpose != snapshot->purpose)
        return client_error(-EBADMSG, "identityd sent a State of %s for %s on a credential of %s for %s",
                            snapshot->identity, purpose_to_string(snapshot->purpose), credential->identity,
                            purpose_to_string(credential->purpose));
    return 0;
}

static int on_state(identityd_snapshot *snapshot, void *userdata) {
    identityd_credential *credential = userdata;
    int r = check_expected(credential, snapshot);

    if (r < 0) {
        identityd_snapshot_free(snapshot);
        return r;
    }
    lock_state(credential);
    identityd_snapshot *old = credential->snapshot;
    credential->snapshot = snapshot;
    if (old) /* the first one is no change */
        note_change(credential);
    unlock_state(credential);
    identityd_snapshot_free(old);
    return 0;
}

static identityd_snapshot *last_snapshot(identityd_credential *credential) {
    lock_state(credential);
    identityd_snapshot *snapshot = snapshot_ref(credential->snapshot);
    unlock_state(credential);
    return snapshot;
}

/* Why nothing can be signed on a closed credential. */
static int closed_error(identityd_credential *credential) {
    _cleanup_snapshot_ identityd_snapshot *last = last_snapshot(credential);

    if (strcmp(last->state, "revoked") == 0)
        return client_error(-EKEYREVOKED,
                            "%s is revoked: its certificate was revoked by the CA, or put on hold; identityd closed "
                            "its credential handles",
                            credential->identity);
    if (strcmp(last->state, "retired") == 0)
        return client_error(-ENOKEY, "%s is retired: its key was destroyed", credential->identity);
    return client_error(-EPIPE,
                        "identityd closed the credential handle of %s: it was revoked or retired, identityd was "
                        "restarted, or its configuration no longer admits this process; or this program closed its "
                        "descriptor",
                        credential->identity);
}

/* ---- opening and closing ---- */

static identityd_credential *credential_release(identityd_credential *credential) {
    connection_hang_up(&credential->connection.line);
    close_safe(credential->epoll_fd);
    close_safe(credential->event_fd);
    identityd_snapshot_free(credential->snapshot);
    if (credential->shared)
        (void) munmap(credential->shared, sizeof(Shared));
    free(credential);
    return NULL;
}
DEFINE_CLEANUP(identityd_credential, credential_release)

static identityd_credential *credential_new(void) {
    identityd_credential *credential = calloc(1, sizeof(*credential));

    if (!credential)
        return NULL;
    credential->connection = (Connection) { .line = { .fd = -1 }, .on_state = on_state, .userdata = credential };
    credential->epoll_fd = credential->event_fd = credential->watched_fd = -1;
    Shared *shared = mmap(NULL, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return credential_release(credential);
    credential->shared = shared;
    credential->shared_is_wiped = madvise(shared, sizeof(Shared), MADV_WIPEONFORK) == 0;
    pthread_mutex_init(&shared->io, NULL);
    pthread_mutex_init(&shared->state, NULL);
    pthread_mutex_init(&shared->beside, NULL);
    shared->owner = getpid();
    return credential;
}

static uint64_t seconds_from_now(unsigned seconds) {
    return connection_now() + seconds * UINT64_C(1000000);
}

int credential_open_until(const char *identity, const char *purpose, uint64_t deadline, identityd_credential **ret) {
    _cleanup_(credential_release_p) identityd_credential *credential = NULL;

    if (!identity_name_is_valid(identity))
        return client_error(-EINVAL, "'%s' cannot be the name of an identity", identity ? identity : "(null)");
    Purpose wanted = purpose ? purpose_from_string(purpose) : _PURPOSE_INVALID;
    if (wanted < 0 || !ret)
        return client_error(-EINVAL, "'%s' is no purpose: tls-client, tls-server, data, data-raw or digest",
                            purpose ? purpose : "(null)");
    credential = credential_new();
    if (!credential)
        return client_errno(-ENOMEM, "opening a credential");
    (void) snprintf(credential->identity, sizeof(credential->identity), "%s", identity);
    credential->purpose = wanted;
    credential->expected = true;

    int fd = open_credential(identity, purpose, deadline);
    if (fd < 0)
        return fd;
    int r = connection_begin(&credential->connection, fd, deadline);
    if (r < 0)
        return client_error_prefix(r, "opening a credential of %s for %s", identity, purpose);
    *ret = TAKE_PTR(credential);
    return 0;
}

_public_ int identityd_credential_open(const char *identity, const char *purpose, identityd_credential **ret) {
    PRESERVE_ERRNO;

    return credential_open_until(identity, purpose, seconds_from_now(OPEN_SECONDS), ret);
}

_public_ int identityd_credential_from_fd(int fd, identityd_credential **ret) {
    PRESERVE_ERRNO;
    _cleanup_(credential_release_p) identityd_credential *credential = NULL;
    _cleanup_close_ int taken = fd;

    if (fd < 0 || !ret)
        return client_error(-EINVAL, "descriptor %d is no credential handle", fd);
    credential = credential_new();
    if (!credential)
        return client_errno(-ENOMEM, "taking over a credential handle");
    int r = connection_adopt(&credential->connection, TAKE_FD(taken), seconds_from_now(OPEN_SECONDS));
    if (r < 0)
        return client_error_prefix(r, "taking over a credential handle");
    if (credential->snapshot->is_unproved)
        return client_error(
            -EPERM,
            "taking over a credential handle of %s: it was opened by a unit: rule, and the process that "
            "opened it has not spoken on it. Whoever speaks first vouches for it, and that is that "
            "process: it is to send GetState before it passes the handle on",
            credential->identity);
    *ret = TAKE_PTR(credential);
    return 0;
}

_public_ identityd_credential *identityd_credential_free(identityd_credential *credential) {
    PRESERVE_ERRNO;

    return credential ? credential_release(credential) : NULL;
}

/* ---- watching ---- */

/* Under `state`: the socket into the set that the program polls. */
static int watch(identityd_credential *credential, int fd) {
    struct epoll_event event = { .events = EPOLLIN };

    if (credential->epoll_fd < 0 || fd < 0)
        return 0;
    if (epoll_ctl(credential->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        return client_errno(-errno, "watching the credential handle");
    credential->watched_fd = fd;
    return 0;
}

/* Under `state`: makes the set, or, in a forked child that inherited its parent's, another under the same number. */
static int make_watch(identityd_credential *credential) {
    struct epoll_event event = { .events = EPOLLIN };
    _cleanup_close_ int set = epoll_create1(EPOLL_CLOEXEC), news = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (set < 0 || news < 0 || epoll_ctl(set, EPOLL_CTL_ADD, news, &event) < 0)
        return client_errno(-errno, "making a descriptor to poll");
    if (credential->epoll_fd >= 0) {
        if (dup3(set, credential->epoll_fd, O_CLOEXEC) < 0)
            return client_errno(-errno, "making a descriptor to poll");
    } else
        credential->epoll_fd = TAKE_FD(set);
    close_safe(credential->event_fd);
    credential->event_fd = TAKE_FD(news);
    credential->watched_fd = -1;
    return 0;
}

_public_ int identityd_credential_fd(identityd_credential *credential) {
    PRESERVE_ERRNO;
    int r = check_process(credential);

    if (r < 0)
        return r;
    pthread_mutex_lock(&credential->shared->io);
    lock_state(credential);
    if (credential->epoll_fd < 0) {
        r = make_watch(credential);
        if (r >= 0)
            r = watch(credential, credential->connection.line.fd);
        if (r >= 0 && credential->changed)
            wake(credential);
    }
    if (r >= 0)
        r = credential->epoll_fd;
    unlock_state(credential);
    leave(credential);
    return r;
}

_public_ void identityd_credential_set_callback(identityd_credential *credential, identityd_changed_callback callback,
                                                void *userdata) {
    PRESERVE_ERRNO;

    lock_state(credential);
    credential->callback = callback;
    credential->userdata = userdata;
    unlock_state(credential);
}

/* Takes what has come, unless another thread speaks on the socket: that one takes it then. */
static void take_news(identityd_credential *credential) {
    if (pthread_mutex_trylock(&credential->shared->io) != 0)
        return;
    (void) connection_process(&credential->connection);
    leave(credential);
}

identityd_snapshot *credential_latest(identityd_credential *credential) {
    if (is_own_process(credential))
        take_news(credential);
    return last_snapshot(credential);
}

_public_ int identityd_credential_process(identityd_credential *credential) {
    PRESERVE_ERRNO;
    eventfd_t unused;
    int r = check_process(credential);

    if (r < 0)
        return r;
    take_news(credential);
    lock_state(credential);
    bool changed = credential->changed, is_closed = credential->closed;
    credential->changed = false;
    if (credential->event_fd >= 0)
        (void) eventfd_read(credential->event_fd, &unused);
    unlock_state(credential);
    if (is_closed) {
        (void) closed_error(credential);
        return -EPIPE;
    }
    return changed;
}

_public_ int identityd_credential_snapshot(identityd_credential *credential, identityd_snapshot **ret) {
    PRESERVE_ERRNO;
    int r = check_process(credential);

    if (r < 0)
        return r;
    take_news(credential);
    lock_state(credential);
    bool is_closed = credential->closed;
    unlock_state(credential);
    if (is_closed)
        return closed_error(credential);
    *ret = last_snapshot(credential);
    return 0;
}

/* ---- opening again ---- */

/* Under `io`: exchanges the connection. The new one is complete before the old one goes. */
static int exchange(identityd_credential *credential, int fd, uint64_t deadline) {
    bool in_child = !is_own_process(credential);
    ConnectionLine old = credential->connection.line;

    int r = connection_begin(&credential->connection, fd, deadline);
    if (r < 0)
        return r;
    lock_state(credential);
    if (in_child && credential->epoll_fd >= 0)
        r = make_watch(credential);
    else
        unwatch(credential);
    if (r >= 0)
        r = watch(credential, credential->connection.line.fd);
    credential->closed = false;
    note_change(credential);
    unlock_state(credential);
    connection_hang_up(&old);
    credential->shared->owner = getpid();
    return r;
}

static int reopen(identityd_credential *credential, uint64_t deadline) {
    if (!credential->shared_is_wiped && !is_own_process(credential))
        return client_error(-ECHILD, "this kernel does not let a forked child use the credential of %s: open another",
                            credential->identity);
    int fd = open_credential(credential->identity, purpose_to_string(credential->purpose), deadline);
    if (fd < 0)
        return fd;
    pthread_mutex_lock(&credential->shared->io);
    int r = exchange(credential, fd, deadline);
    leave(credential);
    return r < 0 ? client_error_prefix(r, "opening the credential of %s again", credential->identity) : 0;
}

_public_ int identityd_credential_reopen(identityd_credential *credential) {
    PRESERVE_ERRNO;

    return reopen(credential, seconds_from_now(OPEN_SECONDS));
}

/* ---- opening again by itself ---- */

/* Whether it is time to try; the next time is later. */
static bool may_revive(identityd_credential *credential) {
    uint64_t now = connection_now();
    bool may = true;

    if (!is_own_process(credential))
        return true;
    lock_state(credential);
    if (!credential->closed || now < credential->revive_after)
        may = false;
    else {
        uint64_t wait = credential->revive_wait ? credential->revive_wait : REVIVE_SECONDS_MIN * UINT64_C(1000000);
        credential->revive_after = now + wait;
        credential->revive_wait =
            2 * wait > REVIVE_SECONDS_MAX * UINT64_C(1000000) ? REVIVE_SECONDS_MAX * UINT64_C(1000000) : 2 * wait;
    }
    unlock_state(credential);
    return may;
}

/* After `r`, the error that a closed or inherited credential gave: 0 if it is open again, else why not. */
static int revive(identityd_credential *credential, int r, uint64_t deadline) {
    if (!may_revive(credential))
        return r;
    r = reopen(credential, deadline);
    if (r < 0)
        return r;
    lock_state(credential);
    credential->revive_wait = 0;
    unlock_state(credential);
    return 0;
}

static bool may_mend(int r) {
    return r == -EPIPE || r == -ECHILD || r == -EKEYREVOKED || r == -ENOKEY || r == -EBADMSG;
}

int credential_use_until(identityd_credential *credential, uint64_t deadline, identityd_snapshot **ret) {
    int r = identityd_credential_snapshot(credential, ret);

    if (!may_mend(r))
        return r;
    r = revive(credential, r, deadline);
    return r < 0 ? r : identityd_credential_snapshot(credential, ret);
}

int credential_use(identityd_credential *credential, identityd_snapshot **ret) {
    return credential_use_until(credential, seconds_from_now(OPEN_SECONDS), ret);
}

void credential_lock(identityd_credential *credential) {
    pthread_mutex_lock(&credential->shared->beside);
}

void credential_unlock(identityd_credential *credential) {
    pthread_mutex_unlock(&credential->shared->beside);
}

/* ---- signing ---- */

/* The errors that concern a generation are told apart here: the status for both is "not ready". */
static int explain(identityd_credential *credential, const SignRequest *request, int r) {
    if (r == -EPIPE)
        return closed_error(credential);
    if (r == -EAGAIN && request->generation != 0) {
        _cleanup_snapshot_ identityd_snapshot *last = last_snapshot(credential);
        if (request->generation != last->generation)
            r = -ESTALE;
    }
    return client_error_prefix(r, "signing with %s for %s", credential->identity,
                               purpose_to_string(credential->purpose));
}

static int sign_locked(identityd_credential *credential, const SignRequest *request, ConnectionAnswer *answer) {
    uint32_t generation = request->generation;

    if (!connection_is_alive(&credential->connection))
        return client_error(-EPIPE, "closed");
    if (generation == 0) {
        (void) connection_process(&credential->connection);
        _cleanup_snapshot_ identityd_snapshot *last = last_snapshot(credential);
        generation = last->generation;
        if (generation == 0)
            return client_error(-EAGAIN, "there is no certificate yet: the identity is %s", last->state);
    }
    return connection_ask(&credential->connection,
                          &(ConnectionRequest) { .type = request->type,
                                                 .generation = generation,
                                                 .scheme = request->scheme,
                                                 .payload = request->payload,
                                                 .deadline = seconds_from_now(SIGN_SECONDS) },
                          answer);
}

int credential_sign_once(identityd_credential *credential, const SignRequest *request, void *signature,
                         size_t *signature_size) {
    uint8_t buffer[SIGNATURE_MAX];
    ConnectionAnswer answer = { .data = buffer };

    if (!signature || !signature_size || (!request->payload.data && request->payload.size > 0))
        return client_error(-EINVAL, "signing: an argument is NULL");
    int r = check_process(credential);
    if (r < 0)
        return r;
    pthread_mutex_lock(&credential->shared->io);
    r = sign_locked(credential, request, &answer);
    leave(credential);
    if (r < 0)
        return explain(credential, request, r);
    memcpy(signature, buffer, answer.size);
    *signature_size = answer.size;
    return 0;
}

int credential_sign(identityd_credential *credential, const SignRequest *request, void *signature, size_t *ret_size) {
    int r = credential_sign_once(credential, request, signature, ret_size);

    if (!may_mend(r))
        return r;
    r = revive(credential, r, seconds_from_now(OPEN_SECONDS));
    return r < 0 ? r : credential_sign_once(credential, request, signature, ret_size);
}
