/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A filter that asks about the calls of one table, and the table of what each may fail with. */
#undef NDEBUG
#include "trap.h"

#include "common/macros.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define ERRORS_MAX 3U

typedef struct TrappedCall {
    int number;
    const char *name;
    bool changes_disk;
    char shape; /* of its arguments: 'p' a path first, 'a' a directory and a path, 'f' a descriptor, ' ' nothing of
                   interest */
    int errors[ERRORS_MAX];
} TrappedCall;

#define CALL(name) __NR_##name, #name

/* What is plausible: of a disk that is full, broken or read-only, of a table of descriptors that is full, of a kernel
 * without memory, of a peer that is gone. */
static const TrappedCall calls[] = {
    { CALL(openat), true, 'a', { EMFILE, EIO, ENOSPC } },
    { CALL(read), false, 'f', { EIO, ENOMEM } },
    { CALL(pread64), false, 'f', { EIO } },
    { CALL(write), true, 'f', { ENOSPC, EIO } },
    { CALL(pwrite64), true, 'f', { ENOSPC } },
    { CALL(writev), true, 'f', { EIO } },
    { CALL(fsync), true, 'f', { EIO, ENOSPC } },
    { CALL(fdatasync), true, 'f', { EIO } },
    { CALL(renameat), true, 'a', { EIO, EROFS } },
    { CALL(renameat2), true, 'a', { EIO, ENOSPC } },
    { CALL(unlinkat), true, 'a', { EIO, EROFS } },
    { CALL(mkdirat), true, 'a', { ENOSPC, EROFS } },
    { CALL(symlinkat), true, ' ', { ENOSPC } },
    { CALL(linkat), true, 'a', { ENOSPC } },
    { CALL(fchmod), true, 'f', { EROFS } },
    { CALL(ftruncate), true, 'f', { ENOSPC } },
    { CALL(newfstatat), false, 'a', { EIO } },
    { CALL(statx), false, 'a', { EIO } },
    { CALL(getdents64), false, 'f', { EIO } },
    { CALL(readlinkat), false, 'a', { EIO } },
    { CALL(lseek), false, 'f', { EIO } },
    { CALL(fcntl), false, 'f', { EMFILE } },
    { CALL(memfd_create), false, ' ', { EMFILE, ENOMEM } },
    { CALL(socket), false, ' ', { EMFILE, ENOBUFS } },
    { CALL(socketpair), false, ' ', { EMFILE } },
    { CALL(connect), false, 'f', { ECONNREFUSED, EAGAIN } },
    { CALL(sendmsg), false, 'f', { ENOBUFS, EPIPE } },
    { CALL(sendto), false, 'f', { ENOBUFS, EPIPE } },
    { CALL(recvmsg), false, 'f', { ENOMEM, ECONNRESET } },
    { CALL(recvfrom), false, 'f', { ENOMEM, ECONNRESET } },
    { CALL(getsockopt), false, 'f', { ENOBUFS } },
    { CALL(setsockopt), false, 'f', { ENOBUFS } },
    { CALL(epoll_create1), false, ' ', { EMFILE } },
    { CALL(epoll_ctl), false, 'f', { ENOSPC, ENOMEM } },
    { CALL(epoll_wait), false, 'f', { EINTR } },
    { CALL(epoll_pwait2), false, 'f', { EINTR } },
    { CALL(timerfd_create), false, ' ', { EMFILE } },
    { CALL(timerfd_settime), false, 'f', { ECANCELED } },
    { CALL(eventfd2), false, ' ', { EMFILE } },
    { CALL(signalfd4), false, ' ', { EMFILE } },
    { CALL(pidfd_open), false, ' ', { EMFILE } },
    { CALL(poll), false, ' ', { EINTR, ENOMEM } },
    { CALL(ppoll), false, ' ', { EINTR, ENOMEM } },
    { CALL(clone3), false, ' ', { EAGAIN } },
    { CALL(getrandom), false, ' ', { EINTR } },
};

static const TrappedCall *call_of(int number) {
    for (size_t i = 0; i < ARRAY_LENGTH(calls); i++)
        if (calls[i].number == number)
            return &calls[i];
    return NULL;
}

unsigned trap_variants(int call) {
    const TrappedCall *known = call_of(call);
    unsigned count = 0;

    while (known && count < ERRORS_MAX && known->errors[count] != 0)
        count++;
    return count;
}

/* ---- in the child ---- */

void trap_enter(Control *control) {
    struct sock_filter filter[2 * ARRAY_LENGTH(calls) + 2];
    unsigned short length = 0;

    filter[length++] = (struct sock_filter) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < ARRAY_LENGTH(calls); i++) {
        filter[length++] = (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t) calls[i].number, 0, 1);
        filter[length++] = (struct sock_filter) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
    }
    filter[length++] = (struct sock_filter) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    const struct sock_fprog program = { length, filter };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        _exit(126);
    int fd = (int) syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
    if (fd < 0)
        _exit(126);
    control->listener = fd;
    while (!control->is_taken_over) /* no call may be made before that */
        ;
}

/* ---- in the parent ---- */

/* What the call is about, for a person. */
static void describe(const Trap *trap, const struct seccomp_notif *asked, const TrappedCall *call, char *ret,
                     size_t size) {
    const __u64 *arguments = asked->data.args;
    char path[64] = "", link[64];

    if (call->shape == 'a') {
        const struct iovec here = { path, sizeof path - 1U };
        const struct iovec there = { (void *) (uintptr_t) arguments[1], sizeof path - 1U };
        if (process_vm_readv(trap->child, &here, 1, &there, 1, 0) < 0)
            path[0] = '\0';
    } else if (call->shape == 'f') {
        (void) snprintf(link, sizeof link, "/proc/%d/fd/%d", (int) trap->child, (int) arguments[0]);
        ssize_t length = readlink(link, path, sizeof path - 1U);
        path[length > 0 ? length : 0] = '\0';
    }
    (void) snprintf(ret, size, "%s %s", call->name, path);
}

/* The log goes to standard error, and whether it could be written is nobody's business. A counter or a timer of the
 * kernel has no way to fail. */
static bool is_beyond_failing(const char *what, const struct seccomp_notif *asked) {
    if ((asked->data.nr == __NR_write || asked->data.nr == __NR_writev) && asked->data.args[0] == 2)
        return true;
    return (asked->data.nr == __NR_write || asked->data.nr == __NR_read) && strstr(what, " anon_inode:");
}

/* 0: it may be made; else its errno. */
static int decide(Trap *trap, const struct seccomp_notif *asked) {
    const TrappedCall *call = call_of(asked->data.nr);
    const ThreadClass class = (pid_t) asked->pid == trap->child ? THREAD_MAIN : THREAD_OTHER;

    if (!call || !trap->counts || !trap->control->has_begun)
        return 0;
    char what[sizeof trap->points[0][0].what];
    describe(trap, asked, call, what, sizeof what);
    if (is_beyond_failing(what, asked))
        return 0;
    unsigned turn = ++trap->count[class];
    if (trap->records && turn <= TRAP_POINTS_MAX) {
        TrapPoint *point = &trap->points[class][turn - 1U];
        *point = (TrapPoint) { call->number, call->changes_disk, "" };
        memcpy(point->what, what, sizeof what);
    }
    if (trap->was_hit || class != trap->class || turn != trap->fails_at)
        return 0;
    trap->was_hit = true;
    const int error = call->errors[trap->variant % trap_variants(call->number)];
    trap->hit_errno = error;
    (void) snprintf(trap->hit, sizeof trap->hit, "%s: %s", what,
                    trap->kills ? "the power goes" : strerrorname_np(error));
    if (trap->kills)
        (void) kill(trap->child, SIGKILL);
    return error;
}

static int on_asked(sd_event_source *source, int fd, uint32_t events, void *userdata) {
    Trap *trap = userdata;
    struct seccomp_notif asked = { 0 };

    if (!(events & EPOLLIN)) { /* the child is gone */
        (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
        return 0;
    }
    if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &asked) < 0) {
        assert(errno == ENOENT || errno == EINTR);
        return 0;
    }
    const int error = decide(trap, &asked);
    struct seccomp_notif_resp answer = {
        .id = asked.id,
        .error = -error,
        .flags = error ? 0 : SECCOMP_USER_NOTIF_FLAG_CONTINUE,
    };
    assert(ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &answer) == 0 || errno == ENOENT);
    return 0;
}

void trap_attach(Trap *trap, sd_event *loop, Control *control, pid_t child) {
    while (control->listener < 0)
        assert(waitpid(child, NULL, WNOHANG) == 0);
    trap->control = control;
    trap->child = child;
    trap->pidfd = (int) syscall(SYS_pidfd_open, child, 0);
    assert(trap->pidfd >= 0);
    trap->fd = (int) syscall(SYS_pidfd_getfd, trap->pidfd, (int) control->listener, 0);
    assert(trap->fd >= 0);
    assert(sd_event_add_io(loop, &trap->source, trap->fd, EPOLLIN, on_asked, trap) >= 0);
    assert(sd_event_source_set_priority(trap->source, SD_EVENT_PRIORITY_IMPORTANT) >= 0);
    control->is_taken_over = true;
}

void trap_detach(Trap *trap) {
    trap->source = sd_event_source_disable_unref(trap->source);
    if (trap->child > 0) {
        (void) close(trap->fd);
        (void) close(trap->pidfd);
    }
    trap->child = 0;
}
