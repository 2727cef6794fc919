/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A resource manager (tpm2-abrmd) between us and the TPM: what others have loaded stays theirs, and its restart is
 * survived like a reset. */
#include "support.h"

#include "fakes/test-bus.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <tss2/tss2_tctildr.h>

#define MANAGER "tabrmd:bus_type=session"

typedef struct Setting {
    Swtpm *swtpm;
    pid_t manager;
} Setting;

static void pause_ms(long ms) {
    const struct timespec wait = { .tv_nsec = ms * 1000000L };
    (void) nanosleep(&wait, NULL);
}

static int start_manager(Setting *setting) {
    char tcti[300];
    pid_t parent = getpid();

    (void) snprintf(tcti, sizeof tcti, "--tcti=%s", swtpm_tcti(setting->swtpm));
    setting->manager = fork();
    if (setting->manager == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(EXIT_FAILURE);
        (void) dup2(null, STDOUT_FILENO);
        (void) dup2(null, STDERR_FILENO);
        (void) execlp("tpm2-abrmd", "tpm2-abrmd", "--session", "--allow-root", tcti, (char *) NULL);
        (void) execl("/usr/sbin/tpm2-abrmd", "tpm2-abrmd", "--session", "--allow-root", tcti, (char *) NULL);
        _exit(127);
    }
    for (int i = 0; i < 500; i++) {
        TSS2_TCTI_CONTEXT *context = NULL;

        if (Tss2_TctiLdr_Initialize(MANAGER, &context) == TSS2_RC_SUCCESS) {
            Tss2_TctiLdr_Finalize(&context);
            return 0;
        }
        free(context); /* as daemon/tpm/tpm.c has it */
        if (waitpid(setting->manager, NULL, WNOHANG) == setting->manager) {
            setting->manager = 0;
            return -1;
        }
        pause_ms(20);
    }
    return -1;
}

static void stop_manager(Setting *setting) {
    if (setting->manager <= 0)
        return;
    (void) kill(setting->manager, SIGKILL);
    (void) waitpid(setting->manager, NULL, 0);
    setting->manager = 0;
}

/* One bus for all: GDBus keeps its connection to the session's bus for the life of the process. */
static int start_bus(void **state) {
    TestBus *bus = test_bus_new();

    *state = bus;
    return setenv("DBUS_SESSION_BUS_ADDRESS", test_bus_address(bus), 1);
}

static int stop_bus(void **state) {
    test_bus_free(*state);
    return 0;
}

static int start(void **state) {
    Setting *setting = calloc(1, sizeof *setting);

    if (!setting || swtpm_new(&setting->swtpm) < 0)
        return -1;
    *state = setting;
    return start_manager(setting);
}

static int stop(void **state) {
    Setting *setting = *state;

    stop_manager(setting);
    swtpm_free(setting->swtpm);
    free(setting);
    return 0;
}

static TSS2_RC hash_something(ESYS_CONTEXT *esys, ESYS_TR sequence) {
    const TPM2B_MAX_BUFFER data = { .size = 1 };
    return Esys_SequenceUpdate(esys, sequence, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &data);
}

/* Another program has an object and a session in the TPM: we come, work, go and come again, and it goes on. */
static void others_keep_theirs(void **state) {
    ESYS_CONTEXT *esys = raw_open(MANAGER);
    const TPM2B_AUTH none = { .size = 0 };
    const TPMT_SYM_DEF symmetric = { .algorithm = TPM2_ALG_NULL };
    const TPM2B_NONCE *no_nonce = NULL;
    ESYS_TR sequence = ESYS_TR_NONE, session = ESYS_TR_NONE;

    assert_int_equal(
        Esys_HashSequenceStart(esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &none, TPM2_ALG_SHA256, &sequence), 0);
    assert_int_equal(Esys_StartAuthSession(esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                           no_nonce, TPM2_SE_POLICY, &symmetric, TPM2_ALG_SHA256, &session),
                     0);
    for (int i = 0; i < 2; i++) {
        _cleanup_tpm_ Tpm *tpm = open_tcti(MANAGER);
        _cleanup_tpm_key_ TpmKey *a = NULL, *b = NULL, *c = NULL;
        TpmInformation information;

        assert_success(tpm_probe(tpm, NULL, &information, failure));
        assert_true(information.resource_manager);
        assert_true(information.parent_is_persistent);
        assert_int_equal(strlen(information.device_id), 64);
        a = create_key(tpm, KEY_ECDSA_P256);
        b = create_key(tpm, KEY_ECDSA_P256);
        c = create_key(tpm, KEY_ECDSA_P256);
        for (int k = 0; k < 3; k++) {
            sign(tpm, a);
            sign(tpm, b);
            sign(tpm, c);
            assert_int_equal(hash_something(esys, sequence), 0);
            assert_int_equal(Esys_PolicyRestart(esys, session, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE), 0);
        }
    }
    assert_int_equal(Esys_FlushContext(esys, session), 0);
    assert_int_equal(Esys_FlushContext(esys, sequence), 0);
    raw_close(esys);
}

static void manager_restarted(void **state) {
    Setting *setting = *state;
    _cleanup_tpm_ Tpm *tpm = open_tcti(MANAGER);
    _cleanup_tpm_key_ TpmKey *key = create_key(tpm, KEY_ECDSA_P256);
    const SignatureScheme *scheme = scheme_by_name("ecdsa_secp256r1_sha256");
    uint8_t digest[32] = { 1 }, signature[SIGNATURE_MAX];
    size_t size;

    sign(tpm, key);
    stop_manager(setting);
    assert_failure(tpm_key_sign(tpm, key, scheme, (BytesView) { digest, sizeof digest }, signature, &size, failure),
                   FAILURE_TPM_UNAVAILABLE, "TPM: ");
    assert_int_equal(start_manager(setting), 0);
    sign(tpm, key);
}

/* The TPM is reset below the manager, which goes on: its saved contexts are worth nothing then. */
static void reset_below_the_manager(void **state) {
    Setting *setting = *state;
    _cleanup_tpm_ Tpm *tpm = open_tcti(MANAGER);
    _cleanup_tpm_key_ TpmKey *a = create_key(tpm, KEY_ECDSA_P256), *b = create_key(tpm, KEY_ECDSA_P256);

    sign(tpm, a);
    sign(tpm, b);
    assert_int_equal(swtpm_reset(setting->swtpm, true), 0);
    sign(tpm, b);
    sign(tpm, a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(others_keep_theirs, start, stop),
        cmocka_unit_test_setup_teardown(manager_restarted, start, stop),
        cmocka_unit_test_setup_teardown(reset_below_the_manager, start, stop),
    };
    return cmocka_run_group_tests(tests, start_bus, stop_bus);
}
