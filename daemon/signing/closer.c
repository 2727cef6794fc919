/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One detached thread, started when there is something to close and gone when there is nothing left. It shares with the
 * closer's owner what outlives either. */
#include "signing/closer.h"

#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

typedef struct Item Item;
struct Item {
    Item *next;
    int fd;
    CloserDone done;
    void *data;
};

struct Closer {
    pthread_mutex_t lock;
    Item *first, **end; /* waiting; the thread's current one stays first until it is closed */
    bool running, abandoned;
};

int closer_new(Closer **ret) {
    _cleanup_free_ Closer *closer = calloc(1, sizeof(*closer));

    if (!closer)
        return -ENOMEM;
    int r = -pthread_mutex_init(&closer->lock, NULL);
    if (r < 0)
        return r;
    closer->end = &closer->first;
    *ret = TAKE_PTR(closer);
    return 0;
}

static void destroy(Closer *closer) {
    pthread_mutex_destroy(&closer->lock);
    free(closer);
}

static void *close_all(void *userdata) {
    Closer *closer = userdata;

    pthread_mutex_lock(&closer->lock);
    for (Item *item; (item = closer->first);) {
        pthread_mutex_unlock(&closer->lock);
        (void) close(item->fd); /* this is what may wait */
        pthread_mutex_lock(&closer->lock);
        closer->first = item->next;
        if (!closer->first)
            closer->end = &closer->first;
        if (item->done) /* under the lock, so that closer_free says it or we do */
            item->done(item->data);
        free(item);
    }
    closer->running = false;
    bool abandoned = closer->abandoned;
    pthread_mutex_unlock(&closer->lock);
    if (abandoned)
        destroy(closer);
    return NULL;
}

static int start(Closer *closer) {
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    int r = pthread_attr_init(&attributes);

    if (r != 0)
        return -r;
    (void) pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&thread, &attributes, close_all, closer);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return -r;
}

void closer_close(Closer *closer, int fd, CloserDone done, void *data) {
    Item *item = malloc(sizeof(*item));

    if (item) {
        *item = (Item) { NULL, fd, done, data };
        pthread_mutex_lock(&closer->lock);
        if (!closer->running && start(closer) < 0) {
            free(TAKE_PTR(item));
        } else {
            closer->running = true;
            *closer->end = item;
            closer->end = &item->next;
        }
        pthread_mutex_unlock(&closer->lock);
    }
    if (!item) {
        (void) close(fd);
        if (done)
            done(data);
    }
}

Closer *closer_free(Closer *closer) {
    if (!closer)
        return NULL;
    pthread_mutex_lock(&closer->lock);
    for (Item *item = closer->first; item; item = item->next) {
        if (item->done)
            item->done(item->data);
        item->done = NULL;
    }
    bool running = closer->running;
    closer->abandoned = true;
    pthread_mutex_unlock(&closer->lock);
    if (!running)
        destroy(closer);
    return NULL;
}

/* After shutdown() nothing more can be queued. Packets without descriptors are thrown away. With SO_PASSCRED and room
 * for the credentials alone, descriptors show as MSG_CTRUNC without being installed, and an empty packet differs from
 * the end by having credentials. A look takes no last reference away, so it cannot wait. It has room for a byte, though
 * none is wanted: qemu-user answers a look without room by itself, always the same, and this would never end. */
static bool queue_is_harmless(int socket) {
    const int on = 1;

    if (shutdown(socket, SHUT_RDWR) < 0 || setsockopt(socket, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
        return false;
    for (;;) {
        union {
            struct cmsghdr align;
            char bytes[CMSG_SPACE(sizeof(struct ucred))];
        } control;
        char byte;
        struct iovec room = { &byte, 1 };
        struct msghdr message = {
            .msg_iov = &room, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)
        };
        ssize_t n = recvmsg(socket, &message, MSG_PEEK | MSG_DONTWAIT);
        if (n < 0 &&
            (errno == EINTR || errno == ECONNRESET)) /* a reset is told once, and is not the end of the queue */
            continue;
        if (n < 0 || message.msg_flags & MSG_CTRUNC)
            return false;
        if (message.msg_controllen == 0)
            return true;
        if (recv(socket, NULL, 0, MSG_DONTWAIT) < 0 && errno != EINTR)
            return false;
    }
}

bool closer_close_socket(Closer *closer, int socket, CloserDone done, void *data) {
    if (queue_is_harmless(socket)) {
        (void) close(socket);
        return true;
    }
    closer_close(closer, socket, done, data);
    return false;
}
