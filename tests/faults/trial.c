/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Processes, directories and the bus of the trial. */
#undef NDEBUG
#include "trial.h"

#include "common/job-protocol.h"
#include "common/names.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CALL_SECONDS  60
#define LOST_SECONDS  10 /* after the fault: it may be the answer that was lost */
#define STOP_SECONDS  20
#define JOBS_AT_MOST  60U /* before the enroller's list is begun anew */
#define SANITIZER_END "98"

static const char configuration[] =
    "[Identity]\nSubject=CN=x\n[Enrollment]\nServer=https://ca.example/.well-known/est\n"
    "Anchors=%s/etc/ca.pem\n[Access]\ndigest=user:%u\ndata-raw=user:%u\n";

const char *trial_path(const Trial *trial, const char *path) {
    static char buffers[4][512];
    static unsigned turn;
    char *buffer = buffers[turn++ % 4];

    (void) snprintf(buffer, sizeof buffers[0], "%s/%s", trial->root, path);
    return buffer;
}

char *trial_log(const Trial *trial) {
    Bytes bytes = BYTES_NULL;

    assert(bytes_read_file(trial_path(trial, "log"), 1U << 28, &bytes) >= 0);
    return (char *) bytes.data;
}

size_t trial_log_size(const Trial *trial) {
    struct stat status;

    return stat(trial_path(trial, "log"), &status) < 0 ? 0 : (size_t) status.st_size;
}

/* ---- making ---- */

static void write_file(const Trial *trial, const char *path, const char *text) {
    FILE *file = fopen(trial_path(trial, path), "we");

    assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void make_files(const Trial *trial) {
    static const char *const names[] = { "state", "runtime", "etc", "etc/identities", "credentials" };
    char text[1024];

    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        assert(mkdir(trial_path(trial, names[i]), 0700) == 0);
    write_file(trial, "log", "");
    write_file(trial, "etc/ca.pem", trial->ca->pem);
    (void) snprintf(text, sizeof text, "[TPM]\nTCTI=%s\n", swtpm_tcti(trial->swtpm));
    write_file(trial, "etc/identityd.conf", text);
    (void) snprintf(text, sizeof text, configuration, trial->root, (unsigned) getuid(), (unsigned) getuid());
    write_file(trial, "etc/identities/x.conf", text);
}

static Control *make_control(const Trial *trial) {
    int fd = open(trial_path(trial, "control"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    assert(fd >= 0 && ftruncate(fd, sizeof(Control)) == 0);
    void *page = mmap(NULL, sizeof(Control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert(page != MAP_FAILED);
    close_safe(fd);
    return page;
}

static int on_signal(sd_bus_message *m, void *userdata, sd_bus_error *error) {
    Trial *trial = userdata;

    trial->changes++;
    return 0;
}

static void connect_bus(Trial *trial) {
    static const char *const rules[] = { "type='signal',path_namespace='" IDENTITYD_MANAGER_PATH "'",
                                         "type='signal',member='NameOwnerChanged',arg0='" IDENTITYD_BUS_NAME "'" };

    assert(sd_bus_new(&trial->bus) >= 0);
    assert(sd_bus_set_address(trial->bus, test_bus_address(trial->bus_daemon)) >= 0);
    assert(sd_bus_set_bus_client(trial->bus, true) >= 0 && sd_bus_negotiate_fds(trial->bus, true) >= 0);
    assert(sd_bus_start(trial->bus) >= 0);
    for (size_t i = 0; i < ARRAY_LENGTH(rules); i++)
        assert(sd_bus_add_match(trial->bus, NULL, rules[i], on_signal, trial) >= 0);
    assert(sd_bus_attach_event(trial->bus, trial->loop, 0) >= 0);
}

Trial *trial_new(const char *program, const char *preload) {
    Trial *trial = calloc(1, sizeof *trial);

    assert(trial);
    trial->program = program;
    trial->preload = preload;
    trial->pidfd = -1;
    strcpy(trial->root, "/tmp/identityd-faults-XXXXXX");
    assert(mkdtemp(trial->root));
    assert(swtpm_new(&trial->swtpm) == 0 && sd_event_new(&trial->loop) == 0);
    trial->ca = fake_ca_new("root", NULL);
    trial->bus_daemon = test_bus_new();
    make_files(trial);
    trial->control = make_control(trial);
    trial->trap = calloc(1, sizeof *trial->trap);
    assert(trial->trap);
    trial->enroller = enroller_new(trial->loop, trial_path(trial, "runtime"), trial->ca);
    connect_bus(trial);
    return trial;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *ftw) {
    return remove(path);
}

Trial *trial_free(Trial *trial) {
    trial_kill(trial);
    sd_bus_flush_close_unref(trial->bus);
    enroller_free(trial->enroller);
    (void) munmap(trial->control, sizeof *trial->control);
    free(trial->trap);
    bytes_clear(&trial->key);
    fake_ca_free(trial->ca);
    test_bus_free(trial->bus_daemon);
    swtpm_free(trial->swtpm);
    sd_event_unref(trial->loop);
    (void) nftw(trial->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(trial);
    return NULL;
}

void trial_forget(Trial *trial) {
    (void) nftw(trial_path(trial, "state"), remove_one, 16, FTW_DEPTH | FTW_PHYS);
    (void) nftw(trial_path(trial, "runtime/x"), remove_one, 16, FTW_DEPTH | FTW_PHYS);
    assert(mkdir(trial_path(trial, "state"), 0700) == 0);
}

/* ---- the process ---- */

static void set_environment(const Trial *trial) {
    char text[600];
    const char *const variables[][2] = {
        { "STATE_DIRECTORY", trial_path(trial, "state") },
        { "RUNTIME_DIRECTORY", trial_path(trial, "runtime") },
        { "CONFIGURATION_DIRECTORY", trial_path(trial, "etc") },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(variables); i++)
        (void) setenv(variables[i][0], variables[i][1], 1);
    (void) setenv("CREDENTIALS_DIRECTORY", trial_path(trial, "credentials"), 1);
    (void) setenv("DBUS_SYSTEM_BUS_ADDRESS", test_bus_address(trial->bus_daemon), 1);
    (void) setenv(CONTROL_VARIABLE, trial_path(trial, "control"), 1);
    (void) setenv("LD_PRELOAD", trial->preload, 1);
    /* The sanitizers' runtime comes behind what is preloaded, and minds. Memory that is not there is the test's
     * subject. */
    (void) snprintf(text, sizeof text, "verify_asan_link_order=0:allocator_may_return_null=1:exitcode=%s",
                    SANITIZER_END);
    (void) setenv("ASAN_OPTIONS", text, 1);
    (void) setenv("LSAN_OPTIONS", "print_suppressions=0:suppressions=" LEAKS_PATH, 1);
    (void) setenv("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1:exitcode=" SANITIZER_END, 1);
    (void) unsetenv("NOTIFY_SOCKET");
    (void) unsetenv("WATCHDOG_USEC");
}

static void become(const Trial *trial, bool traps) {
    int log = open(trial_path(trial, "log"), O_WRONLY | O_APPEND | O_CLOEXEC);

    if (log < 0 || dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0)
        _exit(126);
    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void) personality(ADDR_NO_RANDOMIZE); /* a stack of callers is the same number in each run */
    set_environment(trial);
    if (traps)
        trap_enter(trial->control);
    (void) execl(trial->program, trial->program, (char *) NULL);
    _exit(127);
}

static int on_end(sd_event_source *source, int fd, uint32_t events, void *userdata) {
    return sd_event_source_set_enabled(source, SD_EVENT_OFF);
}

void trial_start(Trial *trial) {
    assert(trial->pid == 0);
    if (enroller_count(trial->enroller) > JOBS_AT_MOST) {
        enroller_free(trial->enroller);
        trial->enroller = enroller_new(trial->loop, trial_path(trial, "runtime"), trial->ca);
    }
    trial->control->has_begun = false;
    trial->control->listener = -1;
    trial->control->is_taken_over = false;
    trial->pid = fork();
    assert(trial->pid >= 0);
    if (trial->pid == 0)
        become(trial, trial->traps);
    trial->pidfd = (int) syscall(SYS_pidfd_open, trial->pid, 0);
    assert(trial->pidfd >= 0);
    assert(sd_event_add_io(trial->loop, &trial->end, trial->pidfd, EPOLLIN, on_end, trial) >= 0);
    if (trial->traps)
        trap_attach(trial->trap, trial->loop, trial->control, trial->pid);
}

static void note_end(Trial *trial) {
    trap_detach(trial->trap);
    trial->end = sd_event_source_disable_unref(trial->end);
    trial->pidfd = close_safe(trial->pidfd);
    trial->pid = 0;
}

bool trial_runs(Trial *trial) {
    if (trial->pid == 0)
        return false;
    if (waitpid(trial->pid, &trial->status, WNOHANG) == 0)
        return true;
    note_end(trial);
    return false;
}

bool trial_stop(Trial *trial) {
    if (!trial_runs(trial))
        return false;
    (void) kill(trial->pid, SIGTERM);
    (void) trial_until(trial, false, STOP_SECONDS);
    if (trial_runs(trial)) {
        trial_kill(trial);
        return false;
    }
    return trial->status == 0;
}

void trial_kill(Trial *trial) {
    if (trial->pid == 0)
        return;
    (void) kill(trial->pid, SIGKILL);
    (void) waitpid(trial->pid, &trial->status, 0);
    note_end(trial);
}

unsigned trial_descriptors(const Trial *trial, char *ret, size_t size) {
    char path[64], link[64];
    unsigned count = 0;
    size_t used = 0;

    for (int fd = 0; fd < 1024; fd++) {
        (void) snprintf(path, sizeof path, "/proc/%d/fd/%d", (int) trial->pid, fd);
        const ssize_t length = readlink(path, link, sizeof link - 1U);
        if (length < 0)
            continue;
        link[length] = '\0';
        count++;
        if (used < size)
            used += (size_t) snprintf(ret + used, size - used, "%s ", link);
    }
    return count;
}

/* ---- turns ---- */

double trial_seconds(void) {
    struct timespec now;

    (void) clock_gettime(CLOCK_MONOTONIC, &now);
    return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

double trial_deadline(const Trial *trial, double end, double patience) {
    const double sooner = trial_seconds() + patience;

    return (trial->control->was_hit || trial->trap->was_hit) && sooner < end ? sooner : end;
}

void trial_turn(Trial *trial) {
    assert(sd_event_run(trial->loop, 50000) >= 0);
}

/* ---- calls ---- */

void answer_clear(Answer *answer) {
    answer->message = sd_bus_message_unref(answer->message);
    answer->done = false;
    answer->text[0] = '\0';
}

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
    Answer *answer = userdata;
    const sd_bus_error *error = sd_bus_message_get_error(m);

    answer->done = true;
    if (!error)
        answer->message = sd_bus_message_ref(m);
    else if (!sd_bus_error_has_name(error, SD_BUS_ERROR_NO_REPLY) &&
             !sd_bus_error_has_name(error, "org.freedesktop.DBus.Error.Timeout"))
        (void) snprintf(answer->text, sizeof answer->text, "%s: %s", error->name, error->message ? error->message : "");
    return 1;
}

static bool wait_for_answer(Trial *trial, sd_bus_message *m, Answer *ret) {
    sd_bus_slot *slot = NULL;

    answer_clear(ret);
    assert(sd_bus_call_async(trial->bus, &slot, m, on_answer, ret, 60000000U) >= 0);
    for (double end = trial_seconds() + CALL_SECONDS; !ret->done && trial_runs(trial) && trial_seconds() < end;) {
        trial_turn(trial);
        end = trial_deadline(trial, end, LOST_SECONDS);
    }
    sd_bus_slot_unref(slot);
    return ret->message != NULL;
}

bool trial_call(Trial *trial, const char *path, const char *member, Answer *ret, const char *types, ...) {
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
    va_list arguments;

    assert(sd_bus_message_new_method_call(trial->bus, &m, IDENTITYD_BUS_NAME, path ? path : IDENTITYD_MANAGER_PATH,
                                          path ? IDENTITYD_IDENTITY_INTERFACE : IDENTITYD_MANAGER_INTERFACE,
                                          member) >= 0);
    assert(sd_bus_message_set_auto_start(m, false) >= 0);
    va_start(arguments, types);
    assert(sd_bus_message_appendv(m, types, arguments) >= 0);
    va_end(arguments);
    return wait_for_answer(trial, m, ret);
}

bool trial_get(Trial *trial, const char *name, Answer *ret) {
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

    assert(sd_bus_message_new_method_call(trial->bus, &m, IDENTITYD_BUS_NAME, X_PATH, "org.freedesktop.DBus.Properties",
                                          "Get") >= 0);
    assert(sd_bus_message_set_auto_start(m, false) >= 0);
    assert(sd_bus_message_append(m, "ss", IDENTITYD_IDENTITY_INTERFACE, name) >= 0);
    return wait_for_answer(trial, m, ret);
}

bool trial_is_ready(Trial *trial) {
    _cleanup_answer_ Answer answer = { .done = false };
    const char *state = "";

    return trial_get(trial, "State", &answer) && sd_bus_message_read(answer.message, "v", "s", &state) >= 0 &&
           strcmp(state, "ready") == 0;
}

uint32_t trial_generation(Trial *trial) {
    _cleanup_answer_ Answer answer = { .done = false };
    uint32_t generation = 0;

    if (trial_get(trial, "Generation", &answer))
        (void) sd_bus_message_read(answer.message, "v", "u", &generation);
    return generation;
}
