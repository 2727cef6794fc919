/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside tests/sandbox, as root: what one user's handle gets of the TPM while another user does what it can to have
 * more of it; for tests/bench/neighbours. Each user is a process with a uid of its own. A handle is spoken to in bare
 * packets: a thousand of them in one process then cost less than the TPM does.
 *
 * bench-neighbours attacks SECONDS UID UID     the table of attacks
 * bench-neighbours fair SECONDS UID…           64 handles in 16 processes, and the sum beside bare ESYS */
#include "bench/measure.h"
#include "bench/raw-tpm.h"
#include "common/handle-protocol.h"
#include "common/packet.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <time.h>

#define SCHEME        "ecdsa_secp256r1_sha256"
#define SCHEME_NUMBER 0x0403U
#define RSA_NUMBER    0x0401U
#define HANDLES_MAX   1024U
#define PROCESSES     16U
#define PER_PROCESS   4U
#define SHARE_LEAST   0.9
#define SPREAD_MOST   0.1
#define SUM_LEAST     0.95

typedef enum Kind { BY_HANDLES, BY_SIGN, BY_RENEWALS } Kind;

/* What a process does until it is killed. */
typedef struct Part {
    const char *name; /* for the table */
    Kind kind;
    const char *identity;
    uint16_t scheme;
    unsigned count;  /* of handles, or of calls that wait at a time */
    bool goes_first; /* on the processor, under chrt -r: what is measured is who has the TPM */
} Part;

typedef struct Worker {
    pid_t pid;
    atomic_ulong *counts; /* signatures of each handle; shared with the process */
    unsigned handles;
} Worker;

static int fault(const char *what, int r) {
    fprintf(stderr, "neighbours: %s: %s\n", what, strerror(-r));
    return r;
}

/* ---- a process with handles ---- */

static int ask(int fd, const Part *part) {
    const PacketHeader header = { .type = HANDLE_SIGN_MESSAGE, .serial = 1, .scheme = part->scheme };

    return packet_send(fd, &header, bytes_view_string("bench"), NULL, 0);
}

/* A State begins it and needs no answer; each signature is followed by the next question. */
static int on_packet(int fd, const Part *part, atomic_ulong *count) {
    static uint8_t packet[PACKET_HEADER_SIZE + PACKET_PAYLOAD_MAX];
    ssize_t size = recv(fd, packet, sizeof packet, 0);

    if (size < (ssize_t) PACKET_HEADER_SIZE)
        return size < 0 ? -errno : -EPIPE;
    if (packet[1] == HANDLE_STATE)
        return 0;
    if (packet[2] || packet[3])
        return -EACCES;
    atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
    return ask(fd, part);
}

static int open_handle(sd_bus *bus, const Part *part, int *ret) {
    sd_bus_message *reply = NULL;
    sd_bus_error error = SD_BUS_ERROR_NULL;
    int fd, r = sd_bus_call_method(bus, "org.identityd1", "/org/identityd1", "org.identityd1.Manager", "OpenCredential",
                                   &error, &reply, "ssa{sv}", part->identity, "data-raw", 0);
    if (r < 0)
        fprintf(stderr, "neighbours: %s\n", error.message ? error.message : part->identity);
    if (r >= 0)
        r = sd_bus_message_read(reply, "h", &fd);
    if (r >= 0) {
        *ret = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        r = *ret < 0 ? -errno : 0;
    }
    sd_bus_message_unref(reply);
    sd_bus_error_free(&error);
    return r;
}

static int work_by_handles(sd_bus *bus, const Part *part, atomic_ulong *counts, int ready, int go) {
    struct epoll_event events[64];
    int fds[HANDLES_MAX], epoll = epoll_create1(EPOLL_CLOEXEC), r = epoll < 0 ? -errno : 0;

    for (unsigned i = 0; i < part->count && r >= 0; i++) {
        struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };
        r = open_handle(bus, part, &fds[i]);
        if (r >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event) < 0)
            r = -errno;
    }
    if (r < 0 || write(ready, "r", 1) != 1 || read(go, &(char) { 0 }, 1) < 0)
        return r < 0 ? r : -errno;
    for (unsigned i = 0; i < part->count && r >= 0; i++)
        r = ask(fds[i], part);
    while (r >= 0) {
        int count = epoll_wait(epoll, events, ARRAY_LENGTH(events), -1);
        for (int i = 0; i < count && r >= 0; i++)
            r = on_packet(fds[events[i].data.u32], part, &counts[events[i].data.u32]);
    }
    return r;
}

/* ---- a process with calls on the bus ---- */

typedef struct Caller {
    const Part *part;
    atomic_ulong *count;
    char *path;
} Caller;

static int call(sd_bus *bus, Caller *caller);

/* Refused for asking too much, it asks again: it is an attacker. */
static int on_reply(sd_bus_message *message, void *userdata, sd_bus_error *error) {
    Caller *caller = userdata;

    if (!sd_bus_message_is_method_error(message, NULL))
        atomic_fetch_add_explicit(caller->count, 1, memory_order_relaxed);
    return call(sd_bus_message_get_bus(message), caller);
}

static int call(sd_bus *bus, Caller *caller) {
    sd_bus_message *message = NULL;
    bool signs = caller->part->kind == BY_SIGN;
    int r = sd_bus_message_new_method_call(bus, &message, "org.identityd1", caller->path, "org.identityd1.Identity",
                                           signs ? "Sign" : "Renew");

    if (r >= 0 && signs)
        r = sd_bus_message_append(message, "ss", "raw", SCHEME);
    if (r >= 0)
        r = signs ? sd_bus_message_append_array(message, 'y', "bench", 5)
                  : sd_bus_message_append(message, "a{sv}", 1, "rotate-key", "b", 1);
    if (r >= 0)
        r = sd_bus_call_async(bus, NULL, message, on_reply, caller, UINT64_C(300000000));
    sd_bus_message_unref(message);
    return r;
}

static int work_by_calls(sd_bus *bus, const Part *part, atomic_ulong *counts, int ready, int go) {
    Caller caller = { part, counts, NULL };
    int r = sd_bus_path_encode("/org/identityd1/identity", part->identity, &caller.path);

    if (r < 0 || write(ready, "r", 1) != 1 || read(go, &(char) { 0 }, 1) < 0)
        return r < 0 ? r : -errno;
    for (unsigned i = 0; i < part->count && r >= 0; i++)
        r = call(bus, &caller);
    while (r >= 0) {
        r = sd_bus_process(bus, NULL);
        if (r == 0)
            r = sd_bus_wait(bus, UINT64_MAX);
    }
    free(caller.path);
    return r;
}

/* ---- processes ---- */

/* As the script does for the TPM. */
static int put_first(void) {
    struct sched_param parameters;

    if (sched_getscheduler(0) != SCHED_RR)
        return 0;
    if (sched_getparam(0, &parameters) < 0)
        return -errno;
    parameters.sched_priority++;
    return sched_setscheduler(0, SCHED_RR, &parameters) < 0 ? -errno : 0;
}

static int work(const Part *part, uid_t uid, atomic_ulong *counts, int ready, int go) {
    sd_bus *bus = NULL;
    int r = part->goes_first ? put_first() : 0;

    if (r < 0)
        return r;
    /* Only root may have things renewed. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || (part->kind != BY_RENEWALS && setresuid(uid, uid, uid) < 0) ||
        prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) /* which setresuid() took back */
        return -errno;
    r = sd_bus_open_system(&bus);
    if (r >= 0)
        r = part->kind == BY_HANDLES ? work_by_handles(bus, part, counts, ready, go)
                                     : work_by_calls(bus, part, counts, ready, go);
    sd_bus_unref(bus);
    return r;
}

/* Starts it, and returns when it has begun. */
static int worker_start(const Part *part, uid_t uid, Worker *ret) {
    int ready[2], go[2];
    size_t size = HANDLES_MAX * sizeof(atomic_ulong);
    atomic_ulong *counts = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (counts == MAP_FAILED || pipe2(ready, O_CLOEXEC) < 0 || pipe2(go, O_CLOEXEC) < 0)
        return -errno;
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0) {
        (void) close(ready[0]);
        (void) close(go[1]);
        (void) fault(part->name, work(part, uid, counts, ready[1], go[0]));
        _exit(EXIT_FAILURE);
    }
    (void) close(ready[1]);
    (void) close(go[0]);
    int r = read(ready[0], &(char) { 0 }, 1) == 1 ? 0 : -EIO;
    (void) close(ready[0]);
    (void) close(go[1]);
    *ret = (Worker) { pid, counts, part->kind == BY_HANDLES ? part->count : 1 };
    return r;
}

static void worker_end(Worker *worker) {
    (void) kill(worker->pid, SIGKILL);
    (void) waitpid(worker->pid, NULL, 0);
    (void) munmap(worker->counts, HANDLES_MAX * sizeof(atomic_ulong));
    worker->pid = 0;
}

static unsigned long worker_count(const Worker *worker) {
    unsigned long sum = 0;

    for (unsigned i = 0; i < worker->handles; i++)
        sum += atomic_load_explicit(&worker->counts[i], memory_order_relaxed);
    return sum;
}

static void wait_for(double seconds) {
    const struct timespec time = { (time_t) seconds, (long) ((seconds - (double) (time_t) seconds) * 1e9) };

    (void) nanosleep(&time, NULL);
}

/* ---- attacks ---- */

typedef struct Rates {
    double victim, attacker; /* signatures a second */
} Rates;

static Rates measure(const Worker *victim, const Worker *attacker, double seconds) {
    wait_for(seconds / 10); /* until it has got going */
    unsigned long v = worker_count(victim), a = attacker ? worker_count(attacker) : 0;
    double began = measure_now();
    wait_for(seconds);
    double took = (measure_now() - began) / 1e6;
    return (Rates) { (double) (worker_count(victim) - v) / took,
                     attacker ? (double) (worker_count(attacker) - a) / took : 0 };
}

/* The rates of both while the attacker is at it. */
static int measure_attack(const Worker *victim, const Part *part, uid_t uid, double seconds, Rates *ret) {
    Worker attacker = { 0 };
    int r = worker_start(part, uid, &attacker);

    if (r >= 0)
        *ret = measure(victim, &attacker, seconds);
    if (r >= 0 && waitpid(attacker.pid, NULL, WNOHANG) != 0)
        r = -ECHILD; /* it has failed, and said so */
    if (attacker.pid > 0)
        worker_end(&attacker);
    return r;
}

static int run_attacks(double seconds, const uid_t *uids) {
    static const Part victims = { "victim", BY_HANDLES, "near", SCHEME_NUMBER, 1, true };
    static const Part parts[] = {
        { "64 handles, same identity", BY_HANDLES, "near", SCHEME_NUMBER, 64, false },
        { "256 handles, same identity", BY_HANDLES, "near", SCHEME_NUMBER, 256, false },
        { "1024 handles, same identity", BY_HANDLES, "near", SCHEME_NUMBER, 1024, false },
        { "64 handles, another", BY_HANDLES, "far", SCHEME_NUMBER, 64, false },
        { "256 handles, another", BY_HANDLES, "far", SCHEME_NUMBER, 256, false },
        { "1024 handles, another", BY_HANDLES, "far", SCHEME_NUMBER, 1024, false },
        { "64 handles, RSA", BY_HANDLES, "dear", RSA_NUMBER, 64, false },
        { "64 calls of Sign, same identity", BY_SIGN, "near", 0, 64, false },
        { "256 calls of Sign, another", BY_SIGN, "far", 0, 256, false },
        { "1024 calls of Sign, another", BY_SIGN, "far", 0, 1024, false },
        { "renewals with new keys", BY_RENEWALS, "renewed", 0, 1, false },
    };
    Worker victim;
    bool all = true;

    int r = worker_start(&victims, uids[0], &victim);
    if (r < 0)
        return fault("starting the victim", r);
    printf("%-34s %9s %9s %9s %9s\n", "", "victim's signatures/s", "", "attacker", "victim's");
    printf("%-34s %9s %9s %9s %9s\n", "attack", "alone", "attacked", "", "share");
    for (size_t i = 0; i < ARRAY_LENGTH(parts) && r >= 0; i++) {
        Rates alone = measure(&victim, NULL, seconds), attacked;
        r = measure_attack(&victim, &parts[i], uids[1], seconds, &attacked);
        if (r < 0)
            break;
        /* Where a signature is the same for both, half of what there was in the same seconds; else half of what the
         * victim has alone. */
        bool same = parts[i].kind != BY_RENEWALS && parts[i].scheme != RSA_NUMBER;
        double share = attacked.victim / ((same ? attacked.victim + attacked.attacker : alone.victim) / 2);
        printf("%-34s %9.0f %9.0f %9.0f %8.2f%s\n", parts[i].name, alone.victim, attacked.victim, attacked.attacker,
               share, share < SHARE_LEAST ? " !" : "");
        (void) fflush(stdout);
        all = all && share >= SHARE_LEAST;
    }
    worker_end(&victim);
    return r < 0 ? fault("measuring", r) : all ? 0 : 3;
}

/* ---- equals ---- */

/* Signatures a second of bare ESYS. */
static int measure_raw(RawTpm *raw, double seconds, double *ret) {
    double began = measure_now();
    unsigned count = 0;

    for (; measure_now() - began < seconds * 1e6; count++)
        if (raw_tpm_sign(raw, raw->key) < 0)
            return -EIO;
    *ret = count / (measure_now() - began) * 1e6;
    return 0;
}

static void tell_spread(const Worker workers[static PROCESSES], double took, double raw, int *ret) {
    unsigned long sum = 0, least = (unsigned long) -1, most = 0;

    for (unsigned i = 0; i < PROCESSES; i++)
        for (unsigned k = 0; k < PER_PROCESS; k++) {
            unsigned long count = atomic_load(&workers[i].counts[k]);
            sum += count;
            least = count < least ? count : least;
            most = count > most ? count : most;
        }
    double fair = (double) sum / (PROCESSES * PER_PROCESS), low = (double) least / fair, high = (double) most / fair,
           of_raw = (double) sum / took / raw;
    printf("%u handles in %u processes: %.0f signatures/s, %.2f of bare ESYS (%.0f); each has %.3f to %.3f of the fair "
           "share\n",
           PROCESSES * PER_PROCESS, PROCESSES, (double) sum / took, of_raw, raw, low, high);
    *ret = low >= 1 - SPREAD_MOST && high <= 1 + SPREAD_MOST && of_raw >= SUM_LEAST ? 0 : 3;
}

static int run_equals(double seconds, const uid_t *uids) {
    static const Part part = { "equals", BY_HANDLES, "near", SCHEME_NUMBER, PER_PROCESS, false };
    _cleanup_(raw_tpm_free_p) RawTpm *raw = NULL;
    Worker workers[PROCESSES] = { 0 };
    double before = 0, after = 0;
    int result = 0, r = raw_tpm_open(getenv("TPM2TOOLS_TCTI"), &raw);

    if (r >= 0)
        r = measure_raw(raw, seconds / 4, &before);
    for (unsigned i = 0; i < PROCESSES && r >= 0; i++)
        r = worker_start(&part, uids[i], &workers[i]);
    double began = measure_now();
    for (unsigned i = 0; i < PROCESSES && r >= 0; i++)
        for (unsigned k = 0; k < PER_PROCESS; k++)
            atomic_store(&workers[i].counts[k], 0); /* those that were started first have signed already */
    if (r >= 0)
        wait_for(seconds);
    double took = (measure_now() - began) / 1e6;
    for (unsigned i = 0; i < PROCESSES; i++)
        if (workers[i].pid > 0) /* their counts stay until the end */
            (void) kill(workers[i].pid, SIGSTOP);
    for (unsigned i = 0; i < PROCESSES; i++)
        if (workers[i].pid > 0) {
            (void) kill(workers[i].pid, SIGKILL);
            (void) waitpid(workers[i].pid, NULL, 0);
        }
    if (r >= 0)
        r = measure_raw(raw, seconds / 4, &after);
    if (r < 0)
        return fault("measuring", r);
    tell_spread(workers, took, (before + after) / 2, &result);
    return result;
}

int main(int argc, char **argv) {
    bool fair = argc > 1 && strcmp(argv[1], "fair") == 0;
    uid_t uids[PROCESSES] = { 0 };

    if (argc != (fair ? 3 + (int) PROCESSES : 5)) {
        fputs("neighbours: usage: bench-neighbours attacks SECONDS UID UID | fair SECONDS UID…\n", stderr);
        return 2;
    }
    for (int i = 3; i < argc; i++)
        uids[i - 3] = (uid_t) strtoul(argv[i], NULL, 10);
    double seconds = strtod(argv[2], NULL);
    int r = fair ? run_equals(seconds, uids) : run_attacks(seconds, uids);
    return r < 0 ? EXIT_FAILURE : r;
}
