/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See listener.h. Two processes that start at the same path at once must not take each other's socket for one left
 * behind: a lock is held from the look at the old socket until the new one listens, so that the second finds it
 * answering. The lock is on a file of its own beside the socket, which nobody else can open: who may read a directory
 * could hold a lock on that, and keep the proxy from starting. */
#include "proxy/listener.h"

#include "command/complain.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#define LOCK_STEP_MILLIS 50

static ExitCode failed(const ProxyAddress *address, const char *what, int error) {
    char text[PROXY_ADDRESS_TEXT];

    proxy_address_text(address, text);
    complain("cannot listen at %s: %s%s%s.", text, what, error ? ": " : "", error ? strerror(error) : "");
    return EXIT_FAILED;
}

/* ---- a socket at a path ---- */

typedef struct Lock {
    char *path; /* owned */
    int fd;
} Lock;

/* Whoever holds the lock removes its file: who waited for that file meanwhile holds one that counts for nothing. */
static bool is_at_path(const Lock *lock) {
    struct stat there, held;

    return lstat(lock->path, &there) == 0 && fstat(lock->fd, &held) == 0 && there.st_dev == held.st_dev &&
           there.st_ino == held.st_ino;
}

static int lock_within(int fd, unsigned *waited) {
    for (; flock(fd, LOCK_EX | LOCK_NB) < 0; *waited += LOCK_STEP_MILLIS) {
        if (errno != EWOULDBLOCK)
            return -errno;
        if (*waited >= PROXY_LOCK_MILLIS)
            return -ETIMEDOUT;
        (void) poll(NULL, 0, LOCK_STEP_MILLIS);
    }
    return 0;
}

/* -EPERM: the file is somebody else's, or others may open it and hold the lock. */
static int open_lock(Lock *lock) {
    struct stat status;

    lock->fd = open(lock->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    if (lock->fd < 0 || fstat(lock->fd, &status) < 0)
        return -errno;
    return S_ISREG(status.st_mode) && status.st_uid == geteuid() && (status.st_mode & 077) == 0 ? 0 : -EPERM;
}

static int lock_path(Lock *lock) {
    for (unsigned waited = 0;;) {
        int r = open_lock(lock);
        if (r == 0)
            r = lock_within(lock->fd, &waited);
        if (r < 0 || is_at_path(lock)) {
            if (r < 0)
                lock->fd = close_safe(lock->fd);
            return r;
        }
        lock->fd = close_safe(lock->fd);
    }
}

static void unlock(Lock *lock) {
    if (lock->fd >= 0)
        (void) unlink(lock->path);
    close_safe(lock->fd);
    free(lock->path);
}

/* Whether somebody listens: a full queue counts. */
static bool answers(const ProxyAddress *address) {
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    return fd < 0 || connect(fd, &address->any, address->size) == 0 || errno != ECONNREFUSED;
}

static ExitCode clear_path(const ProxyAddress *address) {
    struct stat status;

    if (lstat(address->path.sun_path, &status) < 0)
        return errno == ENOENT ? EXIT_OK : failed(address, "looking for an older socket", errno);
    if (!S_ISSOCK(status.st_mode))
        return failed(address, "there is a file that is no socket: remove it, or use another path", 0);
    if (answers(address))
        return failed(address, "another process listens there", 0);
    if (unlink(address->path.sun_path) < 0 && errno != ENOENT)
        return failed(address, "removing the socket that was left behind", errno);
    return EXIT_OK;
}

/* The file has its mode from its first moment: the kernel makes it as the umask says. */
static int bind_with_mode(int fd, const ProxyAddress *address, mode_t mode) {
    mode_t before = umask(0777 & ~mode);
    int r = bind(fd, &address->any, address->size) < 0 ? -errno : 0;

    (void) umask(before);
    return r;
}

static ExitCode bind_path(const ProxySettings *settings, ProxyListener *listener) {
    const ProxyAddress *address = &settings->listen;
    struct stat status;

    ExitCode code = clear_path(address);
    if (code != EXIT_OK)
        return code;
    int r = bind_with_mode(listener->fd, address, settings->mode);
    if (r < 0)
        return failed(address, "making the socket", -r);
    if (lstat(address->path.sun_path, &status) < 0)
        return failed(address, "looking at the new socket", errno);
    listener->owns_path = true;
    listener->device = status.st_dev;
    listener->inode = status.st_ino;
    if (listen(listener->fd, PROXY_BACKLOG) < 0)
        return failed(address, "listening", errno);
    return EXIT_OK;
}

static ExitCode open_path(const ProxySettings *settings, ProxyListener *listener) {
    const ProxyAddress *address = &settings->listen;
    _cleanup_(unlock) Lock lock = { .fd = -1 };

    if (asprintf(&lock.path, "%s" PROXY_LOCK_SUFFIX, address->path.sun_path) < 0) {
        lock.path = NULL;
        return failed(address, "no memory", 0);
    }
    int r = lock_path(&lock);
    if (r == -EPERM || r == -ELOOP)
        return failed(address, "its lock (the path with " PROXY_LOCK_SUFFIX ") is no file of ours alone: remove it", 0);
    if (r < 0)
        return failed(address, "taking its lock (the path with " PROXY_LOCK_SUFFIX ")", -r);
    return bind_path(settings, listener);
}

static ExitCode open_port(ProxyListener *listener) {
    int yes = 1;

    if (setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) < 0 ||
        bind(listener->fd, &listener->address.any, listener->address.size) < 0 ||
        listen(listener->fd, PROXY_BACKLOG) < 0)
        return failed(&listener->address, "making the socket", errno);
    return EXIT_OK;
}

static void read_address(ProxyListener *listener) {
    ProxyAddress address = { .size = sizeof address.storage };

    if (getsockname(listener->fd, &address.any, &address.size) == 0)
        listener->address = address;
}

static ExitCode open_one(const ProxySettings *settings, ProxyListener *listener) {
    listener->address = settings->listen;
    listener->fd = socket(settings->listen.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener->fd < 0)
        return failed(&settings->listen, "making a socket", errno);
    ExitCode code = proxy_address_is_path(&settings->listen) ? open_path(settings, listener) : open_port(listener);
    if (code == EXIT_OK)
        read_address(listener); /* port 0 is some other by now */
    return code;
}

/* ---- sockets that were passed ---- */

static bool is_abstract(const ProxyAddress *address) {
    return address->size <= offsetof(struct sockaddr_un, sun_path) || address->path.sun_path[0] == '\0';
}

static const char *why_not(const ProxySettings *settings, const ProxyListener *listener) {
    const ProxyAddress *address = &listener->address;

    if (sd_is_socket(listener->fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0)
        return "it is no listening stream socket (ListenStream=, Accept=no)";
    if (settings->server)
        return address->any.sa_family == AF_INET || address->any.sa_family == AF_INET6
                   ? NULL
                   : "with --server TLS is accepted at a port";
    if (proxy_address_is_path(address))
        return is_abstract(address) ? "an abstract socket has no access mode" : NULL;
    if (!proxy_address_is_loopback(address))
        return "without TLS only a socket's path or, with --loopback, a port of 127.0.0.1 or [::1] is allowed";
    return settings->loopback ? NULL : "every local user reaches a port: use a socket's path, or say --loopback";
}

static ExitCode take_passed(const ProxySettings *settings, int fd, ProxyListener *listener) {
    char text[PROXY_ADDRESS_TEXT];
    int flags = fcntl(fd, F_GETFL);

    listener->fd = fd;
    listener->address.any.sa_family = AF_UNSPEC;
    read_address(listener);
    const char *reason = why_not(settings, listener);
    if (!reason && (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0))
        reason = strerror(errno);
    if (!reason)
        return EXIT_OK;
    proxy_address_text(&listener->address, text);
    complain("cannot accept at the socket that was passed (%s): %s.", text, reason);
    return EXIT_USAGE;
}

static ExitCode take_all_passed(const ProxySettings *settings, ProxyListeners *listeners) {
    int n = sd_listen_fds(1);

    if (n < 0) {
        complain("cannot take the sockets that were passed: %s.", strerror(-n));
        return EXIT_FAILED;
    }
    if (settings->listens && n > 0) {
        complain("sockets were passed (by a .socket unit?), and --listen names another: leave one of them out.");
        return EXIT_USAGE;
    }
    if (!settings->listens && n == 0) {
        complain("--listen is missing, and no socket was passed (by a .socket unit).");
        return EXIT_USAGE;
    }
    if (n > (int) PROXY_LISTENERS_MAX) {
        complain("%d sockets were passed: at most %u are taken.", n, PROXY_LISTENERS_MAX);
        return EXIT_USAGE;
    }
    for (int i = 0; i < n; i++) {
        ExitCode code = take_passed(settings, SD_LISTEN_FDS_START + i, &listeners->list[listeners->count++]);
        if (code != EXIT_OK)
            return code;
    }
    return EXIT_OK;
}

ExitCode proxy_listeners_open(const ProxySettings *settings, ProxyListeners *ret) {
    _cleanup_proxy_listeners_ ProxyListeners listeners = { .count = 0 };

    ExitCode code = take_all_passed(settings, &listeners);
    if (code == EXIT_OK && settings->listens)
        code = open_one(settings, &listeners.list[listeners.count++]);
    if (code != EXIT_OK)
        return code;
    *ret = listeners;
    listeners.count = 0;
    return EXIT_OK;
}

void proxy_listeners_close(ProxyListeners *listeners) {
    for (size_t i = 0; i < listeners->count; i++) {
        ProxyListener *listener = &listeners->list[i];
        struct stat status;
        if (listener->owns_path && lstat(listener->address.path.sun_path, &status) == 0 &&
            status.st_dev == listener->device && status.st_ino == listener->inode)
            (void) unlink(listener->address.path.sun_path);
        listener->fd = close_safe(listener->fd);
    }
    listeners->count = 0;
}
