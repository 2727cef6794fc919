/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A process that touches nobody of its user: by no call does a signal or a limit reach another, and what it does to
 * itself goes on. Each attempt is seen to work without the filter, so that it is the filter that refuses. */
#include "enroller/alone.h"

#include "common/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/sockios.h>

/* As those calls are in the kernel: below 0 with errno where they are refused. Signal 0 asks only for permission. */
typedef long (*Attempt)(pid_t pid);

static long by_kill(pid_t pid) {
    return kill(pid, 0);
}

static long by_tgkill(pid_t pid) {
    return syscall(SYS_tgkill, pid, pid, 0);
}

static long by_tkill(pid_t pid) {
    return syscall(SYS_tkill, pid, 0);
}

/* -1 is "sent by sigqueue()", which others may send. */
static long by_queue(pid_t pid) {
    siginfo_t info = { .si_signo = SIGCONT, .si_code = SI_QUEUE };

    return syscall(SYS_rt_sigqueueinfo, pid, SIGCONT, &info);
}

static long by_thread_queue(pid_t pid) {
    siginfo_t info = { .si_signo = SIGCONT, .si_code = SI_QUEUE };

    return syscall(SYS_rt_tgsigqueueinfo, pid, pid, SIGCONT, &info);
}

static long by_pidfd(pid_t pid) {
    long fd = syscall(SYS_pidfd_open, pid, 0);
    long r = fd < 0 ? -1 : syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0);
    int error = errno;

    if (fd >= 0)
        close((int) fd);
    errno = error;
    return r;
}

static long by_limit(pid_t pid) {
    struct rlimit limit;

    return prlimit(pid, RLIMIT_CPU, NULL, &limit);
}

static long by_affinity(pid_t pid) {
    unsigned long long mask[16];

    if (syscall(SYS_sched_getaffinity, 0, sizeof mask, mask) < 0)
        return -1;
    return syscall(SYS_sched_setaffinity, pid, sizeof mask, mask);
}

static long by_scheduler(pid_t pid) {
    return syscall(SYS_sched_setscheduler, pid, 0 /* as usual */, &(int) { 0 });
}

static long by_parameters(pid_t pid) {
    return syscall(SYS_sched_setparam, pid, &(int) { 0 });
}

static long by_attributes(pid_t pid) {
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } attributes = { .size = 48 };

    return syscall(SYS_sched_setattr, pid, &attributes, 0);
}

static long by_priority(pid_t pid) {
    return setpriority(PRIO_PROCESS, (id_t) pid, getpriority(PRIO_PROCESS, 0));
}

static long by_io_priority(pid_t pid) {
    return syscall(SYS_ioprio_set, 1 /* of a process */, pid, 0);
}

static long by_owner(pid_t pid) {
    return fcntl(STDIN_FILENO, F_SETOWN, pid);
}

static long by_extended_owner(pid_t pid) {
    struct f_owner_ex owner = { F_OWNER_PID, pid };

    return fcntl(STDIN_FILENO, F_SETOWN_EX, &owner);
}

static long by_ioctl(pid_t pid) {
    return ioctl(STDIN_FILENO, FIOSETOWN, &pid);
}

static long by_group_ioctl(pid_t pid) {
    return ioctl(STDIN_FILENO, SIOCSPGRP, &pid);
}

/* A signal to itself is what abort() is made of; but for those that name a thread of anybody, or a descriptor's. */
static const struct {
    const char *name;
    Attempt run;
    bool may_be_itself;
} attempts[] = {
    { "kill", by_kill, true },
    { "tgkill", by_tgkill, true },
    { "tkill", by_tkill, false },
    { "rt_sigqueueinfo", by_queue, true },
    { "rt_tgsigqueueinfo", by_thread_queue, true },
    { "pidfd_send_signal", by_pidfd, false },
    { "prlimit64", by_limit, false },
    { "sched_setaffinity", by_affinity, false },
    { "sched_setscheduler", by_scheduler, false },
    { "sched_setparam", by_parameters, false },
    { "sched_setattr", by_attributes, false },
    { "setpriority", by_priority, false },
    { "ioprio_set", by_io_priority, false },
    { "F_SETOWN", by_owner, false },
    { "F_SETOWN_EX", by_extended_owner, false },
    { "FIOSETOWN", by_ioctl, false },
    { "SIOCSPGRP", by_group_ioctl, false },
};

/* In a child whose standard input is a socket; its status. */
static int in_child(int (*run)(pid_t other)) {
    pid_t other = getpid();
    int pair[2], status;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (dup2(pair[0], STDIN_FILENO) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
            _exit(100);
        _exit(run(other));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    close(pair[0]);
    close(pair[1]);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static int without(pid_t other) {
    for (int i = 0; i < (int) ARRAY_LENGTH(attempts); i++)
        if (attempts[i].run(other) < 0)
            return 1 + i;
    return 0;
}

static int with(pid_t other) {
    if (alone_enforce() < 0)
        return 101;
    for (int i = 0; i < (int) ARRAY_LENGTH(attempts); i++)
        if (attempts[i].run(other) >= 0 || errno != EPERM)
            return 1 + i;
    return 0;
}

static int to_itself(pid_t other) {
    if (alone_enforce() < 0)
        return 101;
    for (int i = 0; i < (int) ARRAY_LENGTH(attempts); i++)
        if (attempts[i].may_be_itself && attempts[i].run(getpid()) < 0)
            return 1 + i;
    return 0;
}

static void assert_none(int status) {
    if (status > 0 && status <= (int) ARRAY_LENGTH(attempts))
        fail_msg("%s was not as it should be", attempts[status - 1].name);
    assert_int_equal(status, 0);
}

static void test_others(void **state) {
    assert_none(in_child(without));
    assert_none(in_child(with));
}

static void test_itself(void **state) {
    assert_none(in_child(to_itself));
}

/* What a job needs of the calls that are looked at. */
static int daily_work(pid_t other) {
    struct rlimit limit;
    int waiting = 0;

    if (alone_enforce() < 0)
        return 101;
    if (fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK) < 0 || fcntl(STDIN_FILENO, F_SETFD, FD_CLOEXEC) < 0)
        return 1;
    if (ioctl(STDIN_FILENO, FIONREAD, &waiting) < 0)
        return 2;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || setrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 3;
    return raise(0) == 0 && pthread_kill(pthread_self(), 0) == 0 ? 0 : 4;
}

static void test_daily_work(void **state) {
    assert_int_equal(in_child(daily_work), 0);
}

static int give_up(pid_t other) {
    struct sigaction usual = { .sa_handler = SIG_DFL };
    const struct rlimit no_core = { 0, 0 };

    (void) setrlimit(RLIMIT_CORE, &no_core);
    if (alone_enforce() < 0 || sigaction(SIGABRT, &usual, NULL) < 0)
        return 101;
    abort();
}

/* abort() still ends by its own signal, which an administrator reads in the journal. */
static void test_abort(void **state) {
    assert_int_equal(in_child(give_up), 1000 + SIGABRT);
}

/* A thread that is there before, and a child. */
static void *thread(void *data) {
    return (void *) (intptr_t) (kill(*(pid_t *) data, 0) < 0 && errno == EPERM ? 0 : 1);
}

static int others_of_ours(pid_t other) {
    pthread_t id;
    void *result;
    int status;

    if (alone_enforce() < 0 || pthread_create(&id, NULL, thread, &other) != 0 || pthread_join(id, &result) != 0)
        return 101;
    if (result)
        return 1;
    pid_t child = fork();
    if (child == 0)
        _exit(kill(other, 0) < 0 && errno == EPERM ? 0 : 1);
    return waitpid(child, &status, 0) == child && status == 0 ? 0 : 2;
}

static void test_threads_and_children(void **state) {
    assert_int_equal(in_child(others_of_ours), 0);
}

/* Whoever could still win privileges must not choose a filter for them. */
static void test_privileges_that_could_be_won(void **state) {
    int status;

    pid_t child = fork();
    if (child == 0) {
        if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0)
            _exit(101);
        _exit(-alone_enforce());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WEXITSTATUS(status), EACCES);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_itself),
        cmocka_unit_test(test_daily_work),
        cmocka_unit_test(test_abort),
        cmocka_unit_test(test_threads_and_children),
        cmocka_unit_test(test_privileges_that_could_be_won),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
