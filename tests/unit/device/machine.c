/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Puts the device together as main and manager do. */
#include "tests/unit/device/machine.h"

#include "tests/unit/device/clock.h"

#include <ftw.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

/* ---- files ---- */

const char *machine_path(const Machine *machine, const char *path) {
    static char buffers[4][512];
    static unsigned turn;
    char *buffer = buffers[turn++ % 4];

    (void) snprintf(buffer, sizeof buffers[0], "%s/%s", machine->root, path);
    return buffer;
}

void machine_write(const Machine *machine, const char *path, const char *format, ...) {
    FILE *file = fopen(machine_path(machine, path), "we");
    va_list arguments;

    if (!file)
        fail_msg("cannot write %s: %s", path, strerror(errno));
    va_start(arguments, format);
    assert_true(vfprintf(file, format, arguments) >= 0);
    va_end(arguments);
    assert_int_equal(fclose(file), 0);
}

char *machine_read(const Machine *machine, const char *path) {
    Bytes bytes = BYTES_NULL;

    return bytes_read_file(machine_path(machine, path), 1U << 24, &bytes) < 0 ? NULL : (char *) bytes.data;
}

void machine_configure(const Machine *machine, const char *name, const char *more) {
    char path[160];

    (void) snprintf(path, sizeof path, "etc/identities/%s.conf", name);
    machine_write(machine, path,
                  "[Identity]\nSubject=CN=%s\n[Enrollment]\nServer=https://ca.example/.well-known/est\n"
                  "Anchors=%s/etc/ca.pem\n%s",
                  name, machine->root, more);
}

void machine_configure_fingerprint(const Machine *machine, const char *name, const FakeCa *ca, const char *more) {
    char path[160], hex[65];
    uint8_t fingerprint[32];
    size_t size = sizeof fingerprint;

    assert_true(gnutls_x509_crt_get_fingerprint(ca->certificate, GNUTLS_DIG_SHA256, fingerprint, &size) >= 0);
    for (size_t i = 0; i < size; i++)
        (void) snprintf(hex + 2 * i, 3, "%02x", fingerprint[i]);
    (void) snprintf(path, sizeof path, "etc/identities/%s.conf", name);
    machine_write(machine, path,
                  "[Identity]\nSubject=CN=%s\n[Enrollment]\nServer=https://ca.example/.well-known/est\n"
                  "AnchorsFingerprint=sha256:%s\n%s",
                  name, hex, more);
}

void machine_configure_manual(const Machine *machine, const char *name, const char *more) {
    char path[160];

    (void) snprintf(path, sizeof path, "etc/identities/%s.conf", name);
    machine_write(machine, path, "[Identity]\nSubject=CN=%s\n[Enrollment]\nProtocol=manual\nAnchors=%s/etc/ca.pem\n%s",
                  name, machine->root, more);
}

/* ---- setup ---- */

static void make_directories(Machine *machine) {
    static const char *const names[] = { "state", "runtime", "etc", "etc/identities", "credentials" };
    static const char *const variables[][2] = {
        { "STATE_DIRECTORY", "state" },
        { "RUNTIME_DIRECTORY", "runtime" },
        { "CONFIGURATION_DIRECTORY", "etc" },
        { "CREDENTIALS_DIRECTORY", "credentials" },
    };

    strcpy(machine->root, "/tmp/identityd-machine-XXXXXX");
    assert_non_null(mkdtemp(machine->root));
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        assert_int_equal(mkdir(machine_path(machine, names[i]), 0700), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(variables); i++)
        assert_int_equal(setenv(variables[i][0], machine_path(machine, variables[i][1]), 1), 0);
}

static const Machine *logging; /* for on_abort alone */

/* Why a test of ours is aborted is in the log, too. */
static void on_abort(int signal) {
    if (logging)
        (void) !write(STDERR_FILENO, logging->log.text, logging->log.size);
}

/* Only what the process itself prints: a sanitizer's report goes to the descriptor. */
static void begin_log(Machine *machine) {
    machine->log.stream = open_memstream(&machine->log.text, &machine->log.size);
    assert_non_null(machine->log.stream);
    machine->log.before = stderr;
    stderr = machine->log.stream;
    logging = machine;
    (void) signal(SIGABRT, on_abort);
}

static void end_log(Machine *machine) {
    logging = NULL;
    stderr = machine->log.before;
    (void) fclose(machine->log.stream);
    (void) fputs(machine->log.text, stderr);
    free(machine->log.text);
}

Machine *machine_new(void) {
    Machine *machine = calloc(1, sizeof *machine);

    assert_non_null(machine);
    clock_restore();
    /* libtss2 goes on writing to the stderr that it found first, which is gone with that test's machine. */
    assert_int_equal(setenv("TSS2_LOG", "all+NONE", 1), 0);
    make_directories(machine);
    assert_int_equal(swtpm_new(&machine->swtpm), 0);
    assert_int_equal(sd_event_new(&machine->loop), 0);
    machine->ca = fake_ca_new("root", NULL);
    machine->enroller = enroller_new(machine->loop, machine_path(machine, "runtime"), machine->ca);
    machine_write(machine, "etc/ca.pem", "%s", machine->ca->pem);
    machine_write(machine, "etc/identityd.conf", "[TPM]\nTCTI=%s\n", swtpm_tcti(machine->swtpm));
    begin_log(machine);
    return machine;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *ftw) {
    return remove(path);
}

int machine_free(Machine *machine) {
    (void) swtpm_resume(machine->swtpm);
    machine_stop(machine);
    end_log(machine);
    enroller_free(machine->enroller);
    fake_ca_free(machine->ca);
    sd_event_unref(machine->loop);
    swtpm_free(machine->swtpm);
    int r = nftw(machine->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(machine);
    return r;
}

int machine_setup(void **state) {
    *state = machine_new();
    return 0;
}

int machine_teardown(void **state) {
    return machine_free(*state);
}

/* ---- life ---- */

static void on_changed(ManagerChange change, Identity *identity, void *userdata) {
    Machine *machine = userdata;

    machine->changed[change]++;
}

void machine_start(Machine *machine) {
    const ManagerCallbacks callbacks = { on_changed, machine };

    assert_int_equal(manager_new(machine->loop, &machine->manager), 0);
    manager_set_callbacks(machine->manager, &callbacks);
    machine->device = manager_device(machine->manager);
    machine_until(machine, manager_is_settled(machine->manager));
}

static void on_looked(void *userdata) {
    Machine *machine = userdata;

    machine->looked++;
    for (size_t i = 0; i < identity_set_count(machine->set); i++) {
        identity_note(identity_set_at(machine->set, i), CHANGED_TPM);
        identity_evaluate(identity_set_at(machine->set, i));
    }
}

static void on_tpm_changed(void *userdata) {
    Machine *machine = userdata;

    machine->tpm_changed++;
}

static void on_handle_closed(uint64_t id, void *userdata) {
}

static void on_generation_used(const char *name, uint32_t generation, void *userdata) {
    Machine *machine = userdata;
    Identity *identity = identity_set_find(machine->set, name, NULL);

    if (identity)
        identity_note_used(identity, generation);
}

static void on_generation_unused(const char *name, uint32_t generation, void *userdata) {
}

void machine_start_parts(Machine *machine, const Duty *const *duties) {
    const DeviceCallbacks callbacks = {
        on_looked, on_tpm_changed, on_handle_closed, on_generation_used, on_generation_unused, machine,
    };

    assert_int_equal(identity_set_new(&machine->set), 0);
    assert_int_equal(device_new(machine->loop, &callbacks, &machine->device), 0);
    assert_int_equal(work_new(machine->device, &machine->work), 0);
    assert_int_equal(peer_pool_new(machine->device, &machine->peer_pool), 0);
    machine->context = (IdentityContext) {
        .device = machine->device,
        .work = machine->work,
        .set = machine->set,
        .duties = duties,
        .peer_pool = machine->peer_pool,
        .certificates = identity_set_certificates(machine->set),
    };
    machine->looked = 0;
    device_look_at_tpm(machine->device);
    machine_until(machine, machine->looked > 0);
}

Identity *machine_add(Machine *machine, const char *name) {
    Identity *identity = NULL;

    assert_int_equal(identity_new(&machine->context, name, &identity), 0);
    assert_int_equal(identity_set_add(machine->set, identity), 0);
    identity_load(identity);
    return identity;
}

Identity *machine_start_alone(Machine *machine, const char *more, const Duty *const *duties) {
    machine->by_hand = true;
    machine_configure(machine, "x", more);
    machine_start_parts(machine, duties);
    return machine_add(machine, "x");
}

void machine_stop(Machine *machine) {
    machine->manager = manager_free(machine->manager);
    identity_set_clear(machine->set);
    machine->peer_pool = peer_pool_free(machine->peer_pool);
    if (machine->work) {
        device_stop(machine->device);
        machine->work = work_free(machine->work);
        device_free(machine->device);
    }
    machine->device = NULL;
    machine->set = identity_set_free(machine->set);
}

Identity *machine_identity(const Machine *machine, const char *name) {
    const IdentitySet *set = machine->manager ? manager_identities(machine->manager) : machine->set;
    Identity *identity = identity_set_find(set, name, NULL);

    if (!identity)
        fail_msg("there is no identity %s", name);
    return identity;
}

BytesView machine_crls(const Identity *identity) {
    static Bytes content;
    int fd = identity_crls_fd(identity);

    bytes_clear(&content);
    if (fd >= 0)
        assert_int_equal(bytes_from_memfd(fd, 1U << 26, &content), 0);
    return bytes_view(&content);
}

/* ---- turns ---- */

static void do_duties(Machine *machine) {
    for (size_t i = 0; machine->set && !machine->by_hand && i < identity_set_count(machine->set); i++) {
        Identity *identity = identity_set_at(machine->set, i);
        (void) identity_flush(identity);
        identity_run_due(identity);
        (void) identity_flush(identity);
    }
}

void machine_turn(Machine *machine) {
    assert_true(sd_event_run(machine->loop, 10000) >= 0);
    do_duties(machine);
    if (enroller_fault(machine->enroller))
        fail_msg("%s", enroller_fault(machine->enroller));
}

double machine_seconds(void) {
    struct timespec now;

    (void) syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now); /* whatever the test makes of clocks */
    return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

void machine_fail(Machine *machine, const char *what, const char *file, int line) {
    print_error("waited in vain for: %s\n%s", what, machine_log(machine));
    _fail(file, line);
}

static void nothing(Tpm *tpm, void *data) {
}

static void note(void *data, bool cancelled) {
    *(bool *) data = true;
}

void machine_settle(Machine *machine) {
    for (unsigned i = 0; i < 8; i++) {
        bool passed = false;
        assert_int_equal(signing_run(device_signing(machine->device), nothing, note, &passed), 0);
        machine_until(machine, passed);
        while (sd_event_run(machine->loop, 0) > 0)
            do_duties(machine);
    }
}

void machine_pass(Machine *machine, int64_t seconds) {
    clock_pass(seconds);
    machine_settle(machine);
}

EnrollerJob *machine_await_job(Machine *machine, unsigned count) {
    machine_until(machine, enroller_count(machine->enroller) == count && enroller_last(machine->enroller)->kind != 0);
    return enroller_last(machine->enroller);
}

void machine_await_state(Machine *machine, const char *name, IdentityState state) {
    machine_until(machine, identity_state(machine_identity(machine, name)) == state);
}

/* ---- the log ---- */

const char *machine_log(Machine *machine) {
    (void) fflush(machine->log.stream);
    return machine->log.text + machine->log.forgotten;
}

unsigned machine_logged(Machine *machine, const char *text) {
    unsigned count = 0;

    for (const char *at = machine_log(machine); (at = strstr(at, text)); at += strlen(text))
        count++;
    return count;
}

void machine_forget_log(Machine *machine) {
    (void) fflush(machine->log.stream);
    machine->log.forgotten = machine->log.size;
}

/* ---- answers ---- */

void answer_done(const Failure *failure, BytesView result, void *userdata) {
    Answer *answer = userdata;

    answer->calls++;
    answer->failure = *failure;
    answer->size = result.size < sizeof answer->result ? result.size : sizeof answer->result - 1U;
    if (answer->size > 0)
        memcpy(answer->result, result.data, answer->size);
    answer->result[answer->size] = '\0';
}
