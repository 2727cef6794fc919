/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tries from inside a service's confinement what it must not be able to do. It is mounted in place of the service's
 * program in a copy of its unit, so that unit and AppArmor profile are the service's. One line for each attempt:
 * "refused WHAT" or "PERMITTED WHAT"; status 1 if anything was permitted, or if what the service needs was refused.
 *
 * `probe neighbour PID` tries from inside a service what it must not be able to do to another process of its template:
 * read it, signal it, set its limits. It then asks the kernel to kill that process by a descriptor's owner, which is
 * refused without a word: whoever calls looks whether the other one lives. In
 * an enroller's place it first does what that does.
 *
 * Outside of a service: `probe freeze TID` stops one thread of a process and holds it; `probe search PID FILE` looks
 * for the file's content in a process's memory, and fails where it is not. */
#include "enroller/alone.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef struct Attempt {
    const char *what;
    int (*run)(const char *argument); /* below 0: refused */
    const char *argument;
} Attempt;

static int open_for(const char *path, int flags) {
    int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK, 0600);

    if (fd >= 0)
        (void) close(fd);
    return fd;
}

static int can_read(const char *path) {
    return open_for(path, O_RDONLY);
}

static int can_write(const char *path) {
    return open_for(path, O_WRONLY);
}

static int can_create(const char *path) {
    int r = open_for(path, O_WRONLY | O_CREAT);

    if (r >= 0)
        (void) unlink(path);
    return r;
}

static int can_connect(const char *path) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void) snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int r = fd < 0 ? -1 : connect(fd, (struct sockaddr *) &address, sizeof address);
    (void) close(fd);
    return r;
}

static int socket_of(int family, int type) {
    int fd = socket(family, type | SOCK_CLOEXEC, 0);

    if (fd >= 0)
        (void) close(fd);
    return fd;
}

static int internet(const char *unused) {
    return socket_of(AF_INET, SOCK_STREAM);
}

static int internet6(const char *unused) {
    return socket_of(AF_INET6, SOCK_DGRAM);
}

static int netlink(const char *unused) {
    return socket_of(AF_NETLINK, SOCK_RAW);
}

static int raw_packets(const char *unused) {
    return socket_of(AF_PACKET, SOCK_RAW);
}

static int vsock(const char *unused) {
    return socket_of(AF_VSOCK, SOCK_STREAM);
}

static int new_user_namespace(const char *unused) {
    return unshare(CLONE_NEWUSER);
}

static int new_mount_namespace(const char *unused) {
    return unshare(CLONE_NEWNS);
}

static int mount_something(const char *unused) {
    return mount("none", "/tmp", "tmpfs", 0, NULL);
}

static int writable_code(const char *unused) {
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1
                                                                                                                  : 0;
}

static int other_personality(const char *unused) {
    return personality(PER_LINUX32);
}

static int set_clock(const char *unused) {
    struct timespec now;

    (void) clock_gettime(CLOCK_REALTIME, &now);
    return clock_settime(CLOCK_REALTIME, &now);
}

static int set_host_name(const char *unused) {
    return sethostname("probe", 5);
}

static int read_kernel_log(const char *unused) {
    return (int) syscall(SYS_syslog, 3, NULL, 0);
}

static int load_module(const char *unused) {
    return (int) syscall(SYS_init_module, "", 0, "");
}

static int use_keyring(const char *unused) {
    return (int) syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, -5, 0);
}

static int run_bpf(const char *unused) {
    return (int) syscall(SYS_bpf, 0, NULL, 0);
}

static int count_events(const char *unused) {
    return (int) syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0UL);
}

static int handle_faults(const char *unused) {
    return (int) syscall(SYS_userfaultfd, 0);
}

static int be_in_real_time(const char *unused) {
    struct sched_param parameters = { .sched_priority = 1 };

    return sched_setscheduler(0, SCHED_FIFO, &parameters);
}

static int trace_another(const char *unused) {
    return (int) ptrace(PTRACE_SEIZE, getppid(), NULL, NULL);
}

static int read_memory_of_another(const char *unused) {
    char byte;
    struct iovec iov = { &byte, 1 };

    return (int) syscall(SYS_process_vm_readv, getppid(), &iov, 1, &iov, 1, 0);
}

static int become_root(const char *unused) {
    return setuid(0);
}

static int leave_groups(const char *unused) {
    return setgroups(0, NULL);
}

static int set_id_file(const char *unused) {
    int fd = open("/tmp/probe", O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
    int r = fd < 0 ? -1 : fchmod(fd, 04700);

    (void) close(fd);
    return r;
}

static int execute(const char *path) {
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        (void) execl(path, path, "-c", "true", (char *) NULL);
        _exit(126);
    }
    return pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) == 126 ? -1 : 0;
}

static int set_limit(const char *unused) {
    return (int) syscall(SYS_setrlimit, 4 /* RLIMIT_CORE */, NULL);
}

static const Attempt both[] = {
    { "a socket of raw packets", raw_packets, NULL },
    { "a vsock socket", vsock, NULL },
    { "a user namespace", new_user_namespace, NULL },
    { "a mount namespace", new_mount_namespace, NULL },
    { "a mount", mount_something, NULL },
    { "memory that is writable and executable", writable_code, NULL },
    { "another personality", other_personality, NULL },
    { "setting the clock", set_clock, NULL },
    { "setting the host name", set_host_name, NULL },
    { "the kernel's log", read_kernel_log, NULL },
    { "loading a module", load_module, NULL },
    { "the keyring", use_keyring, NULL },
    { "bpf", run_bpf, NULL },
    { "perf", count_events, NULL },
    { "userfaultfd", handle_faults, NULL },
    { "real-time scheduling", be_in_real_time, NULL },
    { "tracing another process", trace_another, NULL },
    { "another process's memory", read_memory_of_another, NULL },
    { "becoming root", become_root, NULL },
    { "changing groups", leave_groups, NULL },
    { "a set-user-id file", set_id_file, NULL },
    { "setrlimit", set_limit, NULL },
    { "a shell", execute, "/bin/sh" },
    { "writing to /etc", can_create, "/etc/probe" },
    { "writing to /usr", can_create, "/usr/probe" },
    { "writing to /run", can_create, "/run/probe" },
    { "writing to /etc/identityd", can_create, "/etc/identityd/probe" },
    { "reading /etc/shadow", can_read, "/etc/shadow" },
    { "reading /root", can_read, "/root/.profile" },
    { "/proc/1", can_read, "/proc/1/status" },
    { "/proc/kallsyms", can_read, "/proc/kallsyms" },
    { "writing to /proc/sys", can_write, "/proc/sys/kernel/core_pattern" },
    { "the TPM without its resource manager", can_write, "/dev/tpm0" },
    { "the disk", can_read, "/dev/vda" },
    { "the console", can_write, "/dev/ttyS0" },
    { "/dev/kmsg", can_read, "/dev/kmsg" },
    { "/dev/mem", can_read, "/dev/mem" },
    { "the real-time clock", can_write, "/dev/rtc0" },
    { "another service's state", can_read, "/var/lib/lab-ca/root.pem" },
    { "another service's credentials", can_read, "/run/credentials/lab-ca.service/secret" },
    { "systemd's own socket", can_connect, "/run/systemd/private" },
    { NULL },
};

static const Attempt daemon_only[] = {
    { "an IPv4 socket", internet, NULL },
    { "an IPv6 socket", internet6, NULL },
    { "a netlink socket", netlink, NULL },
    { NULL },
};

static const Attempt enroller_only[] = {
    { "the TPM", can_write, "/dev/tpmrm0" },
    { "identityd's state", can_read, "/var/lib/identityd" },
    { "identityd's sockets", can_read, "/run/identityd" },
    { "identityd's configuration", can_read, "/etc/identityd" },
    { "identityd's credentials", can_read, "/run/credentials/identityd.service" },
    { "the bus", can_connect, "/run/dbus/system_bus_socket" },
    { NULL },
};

/* What a service lives on: a probe that is refused everything proves nothing. */
static const Attempt daemon_needs[] = {
    { "the TPM", can_write, "/dev/tpmrm0" },
    { "its state", can_create, "/var/lib/identityd/probe" },
    { "its runtime directory", can_create, "/run/identityd/probe" },
    { "its configuration", can_read, "/etc/identityd" },
    { "the bus", can_connect, "/run/dbus/system_bus_socket" },
    { NULL },
};

static const Attempt enroller_needs[] = {
    { "an IPv4 socket", internet, NULL },
    { "an IPv6 socket", internet6, NULL },
    { NULL },
};

static int try(const Attempt *attempts, int permitted_is_right) {
    int wrong = 0;

    for (const Attempt *attempt = attempts; attempt->what; attempt++) {
        int permitted = attempt->run(attempt->argument) >= 0;
        (void) printf("%s %s\n",
                      permitted            ? permitted_is_right ? "permitted" : "PERMITTED"
                      : permitted_is_right ? "REFUSED"
                                           : "refused",
                      attempt->what);
        wrong |= permitted != permitted_is_right;
    }
    return wrong;
}

/* ---- a neighbour ---- */

static pid_t neighbour;

static int can_open_of_neighbour(const char *name) {
    char path[64];

    (void) snprintf(path, sizeof path, "/proc/%d/%s", neighbour, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char byte;
    int r = fd < 0 ? -1 : strcmp(name, "fd") == 0 || strcmp(name, "task") == 0 ? 0 : (int) read(fd, &byte, 1);
    (void) close(fd);
    return r;
}

static int trace_neighbour(const char *unused) {
    int r = (int) ptrace(PTRACE_SEIZE, neighbour, NULL, NULL);

    if (r >= 0)
        (void) ptrace(PTRACE_DETACH, neighbour, NULL, NULL);
    return r;
}

static int read_memory_of_neighbour(const char *unused) {
    char byte;
    struct iovec here = { &byte, 1 }, there = { (void *) 0x400000, 1 };

    /* EFAULT: it may, only not there. */
    return syscall(SYS_process_vm_readv, neighbour, &here, 1, &there, 1, 0) < 0 && errno != EFAULT ? -1 : 0;
}

static int take_descriptor_of_neighbour(const char *unused) {
    int fd = (int) syscall(SYS_pidfd_open, neighbour, 0);

    return fd < 0 ? -1 : (int) syscall(SYS_pidfd_getfd, fd, 0, 0);
}

static int signal_neighbour_by_pidfd(const char *unused) {
    int fd = (int) syscall(SYS_pidfd_open, neighbour, 0);

    return fd < 0 ? -1 : (int) syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0);
}

static int signal_neighbour(const char *unused) {
    return kill(neighbour, 0);
}

static int signal_thread_of_neighbour(const char *unused) {
    return (int) syscall(SYS_tgkill, neighbour, neighbour, 0);
}

static int signal_any_thread(const char *unused) {
    return (int) syscall(SYS_tkill, neighbour, 0);
}

static int queue_for_neighbour(const char *unused) {
    siginfo_t info = { .si_signo = SIGCONT, .si_code = SI_QUEUE };

    return (int) syscall(SYS_rt_sigqueueinfo, neighbour, SIGCONT, &info);
}

static int limit_neighbour(const char *unused) {
    return (int) syscall(SYS_prlimit64, neighbour, 0 /* RLIMIT_CPU */, NULL, &(unsigned long long[2]) { 0, 0 });
}

static int move_neighbour(const char *unused) {
    unsigned long mask = 1;

    return (int) syscall(SYS_sched_setaffinity, neighbour, sizeof mask, &mask);
}

static const Attempt to_neighbour[] = {
    { "its memory by /proc", can_open_of_neighbour, "mem" },
    { "its environment", can_open_of_neighbour, "environ" },
    { "its descriptors", can_open_of_neighbour, "fd" },
    { "its mappings", can_open_of_neighbour, "maps" },
    { "its current call", can_open_of_neighbour, "syscall" },
    { "tracing it", trace_neighbour, NULL },
    { "process_vm_readv", read_memory_of_neighbour, NULL },
    { "pidfd_getfd", take_descriptor_of_neighbour, NULL },
    { "pidfd_send_signal", signal_neighbour_by_pidfd, NULL },
    { "kill", signal_neighbour, NULL },
    { "tgkill", signal_thread_of_neighbour, NULL },
    { "tkill", signal_any_thread, NULL },
    { "rt_sigqueueinfo", queue_for_neighbour, NULL },
    { "prlimit64", limit_neighbour, NULL },
    { "sched_setaffinity", move_neighbour, NULL },
    { NULL },
};

/* Something arrives at a descriptor whose owner is the neighbour, and whose signal is SIGKILL. */
static void kill_neighbour_by_descriptor(void) {
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return;
    (void) fcntl(pair[0], F_SETSIG, SIGKILL);
    (void) fcntl(pair[0], F_SETOWN, neighbour);
    (void) fcntl(pair[0], F_SETFL, O_ASYNC);
    if (write(pair[1], "x", 1) < 0)
        perror("write");
    (void) close(pair[0]);
    (void) close(pair[1]);
}

static int be_a_neighbour(const char *name, const char *pid) {
    neighbour = (pid_t) atoi(pid);
    if (strstr(name, "enroller") && (prctl(PR_SET_DUMPABLE, 0) < 0 || alone_enforce() < 0)) {
        perror("neighbour");
        return 2;
    }
    int wrong = try(to_neighbour, 0);
    kill_neighbour_by_descriptor();
    return wrong;
}

static int freeze(pid_t thread) {
    if (ptrace(PTRACE_SEIZE, thread, NULL, NULL) < 0 || ptrace(PTRACE_INTERRUPT, thread, NULL, NULL) < 0 ||
        waitpid(thread, NULL, __WALL) < 0) {
        perror("freeze");
        return 1;
    }
    (void) puts("frozen");
    (void) fflush(stdout);
    (void) waitpid(thread, NULL, __WALL); /* until it is killed */
    return 0;
}

/* In one mapping, in pieces that overlap. */
static int mapping_contains(int memory, unsigned long from, unsigned long to, const char *what, size_t size) {
    static char buffer[1 << 20];

    while (from < to) {
        size_t wanted = to - from < sizeof buffer ? to - from : sizeof buffer;
        ssize_t n = pread(memory, buffer, wanted, (off_t) from);
        if (n < (ssize_t) size)
            return 0;
        if (memmem(buffer, (size_t) n, what, size))
            return 1;
        from += (unsigned long) n - size + 1U;
    }
    return 0;
}

static int search(const char *pid, const char *path) {
    char name[64], line[512], what[256];
    unsigned long from, to, searched = 0;
    char readable;
    int found = 0;
    FILE *file = fopen(path, "re");
    size_t size = file ? fread(what, 1, sizeof what, file) : 0;

    if (file)
        (void) fclose(file);
    (void) snprintf(name, sizeof name, "/proc/%s/maps", pid);
    FILE *maps = fopen(name, "re");
    (void) snprintf(name, sizeof name, "/proc/%s/mem", pid);
    int memory = open(name, O_RDONLY | O_CLOEXEC);
    if (size == 0 || !maps || memory < 0) {
        perror("search");
        return 2;
    }
    while (fgets(line, sizeof line, maps))
        if (sscanf(line, "%lx-%lx %c", &from, &to, &readable) == 3 && readable == 'r' && !strstr(line, "[v")) {
            searched += to - from;
            found |= mapping_contains(memory, from, to, what, size);
        }
    (void) printf("%s in %lu bytes\n", found ? "found" : "not found", searched);
    (void) fclose(maps);
    (void) close(memory);
    return found ? 0 : searched > 0 ? 1 : 2;
}

int main(int argc, char **argv) {
    int is_enroller = strstr(argv[0], "enroller") != NULL;

    if (argc == 3 && strcmp(argv[1], "freeze") == 0)
        return freeze((pid_t) atoi(argv[2]));
    if (argc == 3 && strcmp(argv[1], "neighbour") == 0)
        return be_a_neighbour(argv[0], argv[2]);
    if (argc == 4 && strcmp(argv[1], "search") == 0)
        return search(argv[2], argv[3]);
    return try(both, 0) | try(is_enroller ? enroller_only : daemon_only, 0) |
           try(is_enroller ? enroller_needs : daemon_needs, 1);
}
