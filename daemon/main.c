/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* identityd(8): arguments, signals, the watchdog, the loop. */
#include "bus/bus.h"
#include "device/log.h"
#include "manager/manager.h"

#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#define MMAP_FROM 32768U /* bytes: what is larger goes back to the kernel when it is freed */
#define HEAP_STEP 8192U

#define TPM_PATIENCE_SECONDS 20U
#define STOP_PATIENCE_MS     5000U /* that a TPM command may go on for after the order to stop */

typedef struct Main {
    sd_event *loop;
    Manager *manager;
    Bus *bus;
    sd_event_source *watchdog, *turn, *patience;
    uint64_t watchdog_usec;
    bool name_is_requested, is_ready;
    char status[128];
} Main;

static void usage(FILE *f) {
    fputs("identityd [--debug] [--version] [--help]\n\n"
          "Gives this device its identities: keys in the TPM, certificates from the operator's CA.\n"
          "Started by systemd as identityd.service; see identityd(8).\n\n"
          "  --debug    log more\n"
          "  --version  print the version\n"
          "  --help     print this\n",
          f);
}

/* -1: go on; else the exit status. */
static int parse_arguments(int argc, char **argv) {
    static const struct option options[] = {
        { "debug", no_argument, NULL, 'd' },
        { "version", no_argument, NULL, 'V' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };

    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (c == 'd')
            log_set_level(LOG_DEBUG);
        else if (c == 'V')
            return puts("identityd " IDENTITYD_VERSION), EXIT_SUCCESS;
        else if (c == 'h')
            return usage(stdout), EXIT_SUCCESS;
        else
            return usage(stderr), 2;
    }
    if (optind < argc) {
        fprintf(stderr, "identityd: unknown argument: %s\n", argv[optind]);
        return usage(stderr), 2;
    }
    return -1;
}

static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
    Main *program = userdata;
    Failure failure = FAILURE_INIT;

    if (program->is_ready)
        (void) sd_notify(0, "RELOADING=1");
    if (manager_reload(program->manager, &failure) < 0)
        log_entry(LOG_ERR, MESSAGE_CONFIGURATION, NULL, "%s", failure.text);
    if (program->is_ready)
        (void) sd_notify(0, "READY=1");
    return 0;
}

static int on_watchdog(sd_event_source *source, uint64_t usec, void *userdata) {
    Main *program = userdata;

    if (manager_is_alive(program->manager))
        (void) sd_notify(0, "WATCHDOG=1");
    else
        log_entry(LOG_WARNING, NULL, NULL, "The signing thread shows no life; the watchdog is not fed.");
    int r = sd_event_source_set_time_relative(source, program->watchdog_usec / 2U);
    return r < 0 ? r : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* What `systemctl status` shows: told when it is another. */
static void say_status(Main *program) {
    const IdentitySet *set = manager_identities(program->manager);
    char status[sizeof program->status];
    size_t ready = 0;

    for (size_t i = 0; i < identity_set_count(set); i++)
        ready += identity_state(identity_set_at(set, i)) == STATE_READY;
    (void) snprintf(status, sizeof status, "%zu of %zu identities ready, TPM %s", ready, identity_set_count(set),
                    manager_tpm_state(program->manager));
    if (strcmp(status, program->status) == 0)
        return;
    memcpy(program->status, status, sizeof status);
    (void) sd_notifyf(0, "STATUS=%s", status);
}

static void request_name(Main *program) {
    program->patience = sd_event_source_disable_unref(program->patience);
    program->name_is_requested = true;
    int r = bus_request_name(program->bus);
    if (r < 0)
        (void) sd_event_exit(program->loop, r);
}

/* The name, and then READY=1, once the TPM has been looked at, whatever came of it: who activates us by asking for
 * something, and what is started after us, finds the identities as they are … */
static int on_turn(sd_event_source *source, void *userdata) {
    Main *program = userdata;

    if (!program->name_is_requested && manager_is_settled(program->manager))
        request_name(program);
    say_status(program);
    if (!program->is_ready && bus_has_name(program->bus)) {
        program->is_ready = true;
        (void) sd_notify(0, "READY=1");
    }
    return 0;
}

/* … but a TPM that does not answer keeps nobody waiting: the bus gives up on a name after 25 seconds. */
static int on_patience(sd_event_source *source, uint64_t usec, void *userdata) {
    log_entry(LOG_WARNING, MESSAGE_TPM_CHANGED, NULL,
              "The TPM has not answered for %u s; identityd goes on without it.", TPM_PATIENCE_SECONDS);
    request_name(userdata);
    return 0;
}

static int add_sources(Main *program, sd_event *loop) {
    int r = sd_event_add_signal(loop, NULL, SIGTERM, NULL, NULL);

    if (r >= 0)
        r = sd_event_add_signal(loop, NULL, SIGINT, NULL, NULL);
    if (r >= 0)
        r = sd_event_add_signal(loop, NULL, SIGHUP, on_hangup, program);
    if (r >= 0)
        r = sd_event_add_post(loop, &program->turn, on_turn, program);
    if (r >= 0)
        r = sd_event_add_time_relative(loop, &program->patience, CLOCK_MONOTONIC, TPM_PATIENCE_SECONDS * 1000000ULL, 0,
                                       on_patience, program);
    if (r >= 0 && sd_watchdog_enabled(0, &program->watchdog_usec) > 0) {
        (void) manager_is_alive(program->manager);
        r = sd_event_add_time_relative(loop, &program->watchdog, CLOCK_MONOTONIC, program->watchdog_usec / 2U, 0,
                                       on_watchdog, program);
    }
    return r;
}

/* What is on the disk is whole at any instant, so that nothing is lost by not waiting for a TPM that does not answer.
 */
static void leave_hung_tpm(const Manager *manager, int r) {
    const struct timespec pause = { .tv_nsec = 10 * 1000000L };

    for (unsigned waited = 0; manager_waits_for_tpm(manager); waited += 10U) {
        if (waited >= STOP_PATIENCE_MS) {
            log_entry(LOG_WARNING, MESSAGE_TPM_CHANGED, NULL, "The TPM does not answer; identityd ends without it.");
            _exit(r == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
        }
        (void) nanosleep(&pause, NULL);
    }
}

/* A service that mostly sleeps: no heap for each of two threads that hardly ever allocate at once, and no reserves. */
static void keep_memory_small(void) {
    (void) mallopt(M_ARENA_MAX, 1);
    (void) mallopt(M_MMAP_THRESHOLD, MMAP_FROM);
    (void) mallopt(M_TRIM_THRESHOLD, HEAP_STEP);
    (void) mallopt(M_TOP_PAD, HEAP_STEP);
}

static int run(void) {
    _cleanup_(sd_event_unrefp) sd_event *loop = NULL;
    _cleanup_(manager_free_p) Manager *manager = NULL;
    _cleanup_(bus_free_p) Bus *bus = NULL;
    Main program = { 0 };

    int r = sd_event_new(&loop);
    if (r >= 0)
        r = manager_new(loop, &manager);
    if (r >= 0)
        r = bus_new(loop, manager, &bus);
    program.loop = loop;
    program.manager = manager;
    program.bus = bus;
    if (r >= 0)
        r = add_sources(&program, loop);
    if (r >= 0)
        r = sd_event_loop(loop);
    (void) sd_notify(0, "STOPPING=1");
    sd_event_source_disable_unref(program.watchdog);
    sd_event_source_disable_unref(program.turn);
    sd_event_source_disable_unref(program.patience);
    if (r < 0)
        log_entry(LOG_ERR, NULL, NULL, "identityd ends: %s.", strerror(-r));
    if (manager) {
        bus = bus_free(bus);
        leave_hung_tpm(manager, r);
    }
    return r;
}

int main(int argc, char **argv) {
    const struct rlimit no_core = { 0, 0 };
    sigset_t signals;
    int status = parse_arguments(argc, argv);

    if (status >= 0)
        return status;
    keep_memory_small();
    (void) setenv("TSS2_LOG", "all+none",
                  0); /* its complaints come back as response codes, which are told in our words */
    umask(0077);      /* what is published for all says so itself */
    (void) setrlimit(RLIMIT_CORE, &no_core); /* memory holds passwords of enrolments */
    (void) signal(SIGPIPE, SIG_IGN);
    (void) sigemptyset(&signals);
    (void) sigaddset(&signals, SIGTERM);
    (void) sigaddset(&signals, SIGINT);
    (void) sigaddset(&signals, SIGHUP);
    (void) sigprocmask(SIG_BLOCK, &signals, NULL);
    return run() == 0 ? EXIT_SUCCESS : EXIT_FAILURE; /* above 0: the bus is gone */
}
