/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The figures for monitoring, as text, and what is shown of one identity: each of them where it is and where it is not.
 */
#include "manager/manager.h"

#include "common/handle-protocol.h"
#include "common/packet.h"
#include "device/build-time.h"
#include "enrolment/enrolment.h"
#include "manager/view.h"
#include "tests/unit/device/clock.h"
#include "tests/unit/device/machine.h"

#include <inttypes.h>

static Identity *x_of(const Machine *machine) {
    return machine_identity(machine, "x");
}

static void start(Machine *machine, const char *more) {
    machine_configure(machine, "x", more);
    machine_start(machine);
    machine_settle(machine);
}

static char *metrics(const Machine *machine) {
    char *text = NULL;

    assert_int_equal(manager_metrics(machine->manager, &text), 0);
    return text;
}

/* The value of a figure: what follows "identityd_NAME ". Fails the test unless it is there once. NULL: it is not. */
static const char *find(const char *text, const char *name) {
    static char value[64];
    char line[160];

    (void) snprintf(line, sizeof line, "\nidentityd_%s ", name);
    const char *at = strstr(text, line);
    if (!at)
        return NULL;
    at += strlen(line);
    assert_null(strstr(at, line));
    size_t length = strcspn(at, "\n");
    assert_true(length > 0 && length < sizeof value);
    memcpy(value, at, length);
    value[length] = '\0';
    return value;
}

static void expect(const Machine *machine, const char *name, const char *wanted) {
    _cleanup_free_ char *text = metrics(machine);
    const char *value = find(text, name);

    if (!value)
        fail_msg("there is no %s in\n%s", name, text);
    if (strcmp(value, wanted) != 0)
        fail_msg("%s is %s, not %s", name, value, wanted);
}

static void expect_number(const Machine *machine, const char *name, int64_t wanted) {
    char text[32];

    (void) snprintf(text, sizeof text, "%" PRId64, wanted);
    expect(machine, name, text);
}

static void expect_none(const Machine *machine, const char *name) {
    _cleanup_free_ char *text = metrics(machine);

    if (find(text, name))
        fail_msg("%s is %s", name, find(text, name));
}

/* ---- the text ---- */

/* Every figure is announced once, before its values, and each line is one or the other: what OpenMetrics and
 * Prometheus' older format both read. */
static void test_form(void **state) {
    Machine *machine = *state;

    machine_configure(machine, "y", "");
    start(machine, "");
    machine_await_state(machine, "x", STATE_READY);
    machine_await_state(machine, "y", STATE_READY);
    _cleanup_free_ char *text = metrics(machine), *rest = strdup(text);
    char *save = NULL, name[80] = "", type[16] = "", announced[4096] = " ";
    bool ended = false;

    assert_true(strlen(text) > 7 && strcmp(text + strlen(text) - 7, "\n# EOF\n") == 0);
    for (char *line = strtok_r(rest, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        assert_false(ended);
        char wanted[128], said[80];
        int n = 0;
        if (strcmp(line, "# EOF") == 0) {
            ended = true;
        } else if (sscanf(line, "# TYPE identityd_%79s %15s%n", name, type, &n) == 2 && line[n] == '\0') {
            assert_true(strcmp(type, "gauge") == 0 || strcmp(type, "counter") == 0 || strcmp(type, "histogram") == 0);
            (void) snprintf(wanted, sizeof wanted, " %s ", name);
            assert_null(strstr(announced, wanted));
            strcat(announced, wanted);
        } else if (sscanf(line, "# HELP identityd_%79s %n", said, &n) == 1) {
            assert_string_equal(said, name);
            assert_true(strlen(line + n) > 10 && line[strlen(line) - 1] == '.');
        } else {
            (void) snprintf(wanted, sizeof wanted, "identityd_%s%s", name,
                            strcmp(type, "counter") == 0 ? "_total" : "");
            assert_memory_equal(line, wanted, strlen(wanted));
            const char *after = line + strlen(wanted);
            assert_true(*after == ' ' || *after == '{' || strcmp(type, "histogram") == 0);
        }
    }
    assert_true(ended);
}

static void test_without_identities(void **state) {
    Machine *machine = *state;

    machine_start(machine);
    expect(machine, "tpm_ready", "1");
    expect(machine, "handles_open", "0");
    expect(machine, "revocation_checks_failed_total", "0");
    _cleanup_free_ char *text = metrics(machine);
    assert_null(strstr(text, "{identity="));
    assert_non_null(strstr(text, "# TYPE identityd_identity_ready gauge\n"));
}

/* ---- identities ---- */

static void test_empty(void **state) {
    Machine *machine = *state;
    const Reply hold = { .kind = REPLY_HOLD };

    enroller_script(machine->enroller, &hold);
    start(machine, "");
    (void) machine_await_job(machine, 1);
    expect(machine, "identity_ready{identity=\"x\"}", "0");
    expect(machine, "identity_state{identity=\"x\",state=\"empty\"}", "1");
    expect(machine, "identity_state{identity=\"x\",state=\"ready\"}", "0");
    expect(machine, "identity_generation{identity=\"x\"}", "0");
    expect(machine, "attempts_total{identity=\"x\"}", "1");
    expect(machine, "attempts_failed_total{identity=\"x\"}", "0");
    expect_none(machine, "certificate_not_before_seconds{identity=\"x\"}");
    expect_none(machine, "certificate_not_after_seconds{identity=\"x\"}");
    expect_none(machine, "renewal_due_seconds{identity=\"x\"}");
    expect_none(machine, "next_attempt_seconds{identity=\"x\"}"); /* it runs */
}

static void test_ready(void **state) {
    Machine *machine = *state;

    start(machine, "");
    machine_await_state(machine, "x", STATE_READY);
    machine_settle(machine);
    const Certificate *leaf = identity_leaf(x_of(machine));
    expect(machine, "identity_ready{identity=\"x\"}", "1");
    for (IdentityState one = 0; one < _STATE_COUNT; one++) {
        char name[80];
        (void) snprintf(name, sizeof name, "identity_state{identity=\"x\",state=\"%s\"}",
                        identity_state_to_string(one));
        expect(machine, name, one == STATE_READY ? "1" : "0");
    }
    expect(machine, "identity_generation{identity=\"x\"}", "1");
    expect_number(machine, "certificate_not_before_seconds{identity=\"x\"}", leaf->not_before);
    expect_number(machine, "certificate_not_after_seconds{identity=\"x\"}", leaf->not_after);
    expect_number(machine, "renewal_due_seconds{identity=\"x\"}", enrolment_renewal_when(x_of(machine)).seconds);
    expect_none(machine, "next_attempt_seconds{identity=\"x\"}"); /* nothing has failed */
    expect(machine, "clock_behind{identity=\"x\"}", "0");
    _cleanup_free_ char *text = metrics(machine);
    int64_t floor = atoll(find(text, "clock_floor_seconds{identity=\"x\"}"));
    assert_true(floor >= leaf->not_before && floor >= IDENTITYD_BUILD_TIME && floor <= identity_now(x_of(machine)));
}

static void test_waiting(void **state) {
    Machine *machine = *state;
    const Reply failure = { .kind = REPLY_FAILURE, .text = "simpleenroll: 503" };

    enroller_script(machine->enroller, &failure);
    enroller_script(machine->enroller, &failure);
    start(machine, "");
    machine_until(machine, enrolment_counters(x_of(machine)).failed == 1);
    machine_settle(machine);
    expect(machine, "attempts_total{identity=\"x\"}", "1");
    expect(machine, "attempts_failed_total{identity=\"x\"}", "1");
    expect_number(machine, "next_attempt_seconds{identity=\"x\"}", enrolment_when(x_of(machine)).seconds);
    machine_pass(machine, 31);
    machine_until(machine, enrolment_counters(x_of(machine)).failed == 2);
    expect(machine, "attempts_total{identity=\"x\"}", "2");
    expect(machine, "attempts_failed_total{identity=\"x\"}", "2");
}

/* A clock in 1970. */
static void test_behind(void **state) {
    Machine *machine = *state;

    clock_set(-(realtime_seconds() - 1000));
    start(machine, "");
    expect(machine, "clock_behind{identity=\"x\"}", "1");
}

static void test_revocation_checks(void **state) {
    Machine *machine = *state;
    const Reply issued = { .issue = { .crl = { "http://ca.example/a.crl" } } }, failure = { .kind = REPLY_FAILURE };

    for (unsigned i = 0; i < 2; i++) {
        enroller_script(machine->enroller, &issued);
        enroller_script_fetch(machine->enroller, &failure);
    }
    machine_configure(machine, "y", "[Revocation]\nCheck=crl\n");
    start(machine, "[Revocation]\nCheck=crl\n");
    machine_await_state(machine, "x", STATE_READY);
    machine_await_state(machine, "y", STATE_READY);
    machine_until(machine, machine_logged(machine, "could not be checked by CRL") == 2);
    expect(machine, "revocation_checks_failed_total", "2"); /* of both */
}

/* ---- access and signatures ---- */

static int open_handle(Machine *machine, uid_t uid) {
    Caller caller = CALLER_INIT;
    const HandleRequest request = { x_of(machine), PURPOSE_TLS_CLIENT, &caller };
    Failure failure = FAILURE_INIT;
    int fd = -1;

    caller.uid = caller.party = uid;
    (void) handles_open(manager_lending(machine->manager), &request, &fd, &failure);
    return fd;
}

static void sign(Machine *machine, int fd, uint16_t scheme) {
    static const uint8_t hash[32] = { 1 };
    static PacketBuffer buffer;
    const PacketHeader header = { .type = HANDLE_SIGN_TRANSCRIPT, .serial = 1, .generation = 1, .scheme = scheme };
    bool answered = false;

    assert_int_equal(packet_send(fd, &header, (BytesView) { hash, sizeof hash }, NULL, 0), 0);
    while (!answered) {
        _cleanup_packet_ Packet packet = PACKET_INIT;
        int r = PACKET_NONE;
        machine_until(machine, (r = packet_receive(fd, &buffer, true, &packet)) != PACKET_NONE);
        assert_int_equal(r, PACKET_RECEIVED);
        answered = packet.header.type == (HANDLE_SIGN_TRANSCRIPT | HANDLE_ANSWER);
    }
    machine_settle(machine);
}

static void test_signatures(void **state) {
    static const char *const bounds[] = { "0.001", "0.003", "0.01", "0.03", "0.1", "0.3", "1.0", "+Inf" };
    Machine *machine = *state;

    start(machine, "[Access]\ntls-client=user:1000\n");
    machine_await_state(machine, "x", STATE_READY);
    machine_settle(machine);
    expect(machine, "signature_seconds_sum", "0.000000");
    _cleanup_close_ int fd = open_handle(machine, 1000), other = open_handle(machine, 1000);
    assert_true(fd >= 0 && other >= 0);
    for (uid_t uid = 1001; uid < 1006; uid++)
        assert_int_equal(open_handle(machine, uid), -1);
    machine_settle(machine);
    for (unsigned i = 0; i < 3; i++)
        sign(machine, fd, 0x0403);
    sign(machine, fd, 0x0804); /* not of this key */
    expect(machine, "access_granted_total", "2");
    expect(machine, "access_refused_total", "5");
    expect(machine, "access_limited_total", "0");
    expect(machine, "handles_open", "2");
    expect(machine, "signatures_total", "3");
    expect(machine, "requests_refused_total", "1");
    expect(machine, "tpm_errors_total", "0");
    expect(machine, "signature_seconds_count", "3");
    expect(machine, "signature_seconds_bucket{le=\"+Inf\"}", "3");
    _cleanup_free_ char *text = metrics(machine);
    long last = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(bounds); i++) { /* each has those before it */
        char name[80];
        (void) snprintf(name, sizeof name, "signature_seconds_bucket{le=\"%s\"}", bounds[i]);
        const char *value = find(text, name);
        assert_non_null(value);
        assert_true(atol(value) >= last);
        last = atol(value);
    }
    double sum = atof(find(text, "signature_seconds_sum"));
    SigningCounters counters;
    signing_counters(device_signing(machine->device), &counters);
    assert_true(sum > 0 && (uint64_t) (sum * 1e6 + 0.5) == counters.latency_sum);
    (void) close(other);
    machine_settle(machine);
    expect(machine, "handles_open", "1");
}

static void test_tpm(void **state) {
    Machine *machine = *state;
    const Reply failure = { .kind = REPLY_FAILURE, .text = "simpleenroll: 503" };

    enroller_script(machine->enroller, &failure);
    start(machine, "");
    machine_until(machine, enrolment_counters(x_of(machine)).failed == 1);
    expect(machine, "tpm_ready", "1");
    assert_int_equal(swtpm_kill(machine->swtpm), 0);
    device_look_at_tpm(machine->device);
    machine_until(machine, strcmp(manager_tpm_state(machine->manager), "unavailable") == 0);
    expect(machine, "tpm_ready", "0");
}

/* What a task could not do for want of a TPM is counted with what handles could not. */
static void test_tpm_errors(void **state) {
    Machine *machine = *state;

    start(machine, "[Access]\ntls-client=user:1000\n");
    machine_await_state(machine, "x", STATE_READY);
    machine_settle(machine);
    _cleanup_close_ int fd = open_handle(machine, 1000);
    assert_int_equal(swtpm_kill(machine->swtpm), 0);
    sign(machine, fd, 0x0403);
    expect(machine, "tpm_errors_total", "1");
    expect(machine, "signatures_total", "0");
}

/* ---- the view ---- */

static void test_view_of_empty(void **state) {
    Machine *machine = *state;
    const Reply failure = { .kind = REPLY_FAILURE, .text = "simpleenroll: 503" };
    _cleanup_identity_view_ IdentityView view = { .name = NULL };

    enroller_script(machine->enroller, &failure);
    start(machine, "[Key]\nAlgorithm=ecdsa-p384\n");
    machine_until(machine, enrolment_counters(x_of(machine)).failed == 1);
    machine_settle(machine);
    assert_int_equal(identity_view(x_of(machine), &view), 0);
    assert_string_equal(view.name, "x");
    assert_string_equal(view.state, "empty");
    assert_string_equal(view.activity, "waiting");
    assert_string_equal(view.last_error, "simpleenroll: 503");
    assert_int_equal(view.generation, 0);
    assert_string_equal(view.key_algorithm, "ecdsa-p384"); /* of the key that there will be */
    assert_string_equal(view.subject, "");
    assert_string_equal(view.serial_number, "");
    assert_string_equal(view.issuer, "");
    assert_true(view.not_before == 0 && view.not_after == 0 && view.next_renewal == 0);
    assert_true(view.next_attempt == (uint64_t) enrolment_when(x_of(machine)).seconds * 1000000U);
    assert_int_equal(view.public_key.size, 0);
    assert_int_equal(view.certificate_count, 0);
    assert_int_equal(view.anchor_count, 1);
}

static void test_view_of_ready(void **state) {
    Machine *machine = *state;
    _cleanup_identity_view_ IdentityView view = { .name = NULL };

    start(machine, "");
    machine_await_state(machine, "x", STATE_READY);
    machine_settle(machine);
    const Identity *identity = x_of(machine);
    const Certificate *leaf = identity_leaf(identity);
    assert_int_equal(identity_view(identity, &view), 0);
    assert_string_equal(view.state, "ready");
    assert_string_equal(view.activity, "idle");
    assert_string_equal(view.last_error, "");
    assert_int_equal(view.generation, 1);
    assert_string_equal(view.key_algorithm, "ecdsa-p256");
    assert_string_equal(view.subject, "CN=x");
    assert_string_equal(view.issuer, "CN=root");
    assert_string_equal(view.serial_number, leaf->serial);
    assert_true(view.not_before == (uint64_t) leaf->not_before * 1000000U);
    assert_true(view.not_after == (uint64_t) leaf->not_after * 1000000U);
    assert_true(view.next_renewal == (uint64_t) enrolment_renewal_when(identity).seconds * 1000000U);
    assert_true(view.next_attempt == 0); /* nothing has failed */
    assert_true(bytes_view_equal(view.public_key, tpm_key_spki(identity_key(identity))));
    assert_int_equal(view.certificate_count, 1);
    assert_true(bytes_view_equal(view.certificates[0], bytes_view(&leaf->der)));
    assert_int_equal(view.anchor_count, 1);
    assert_true(bytes_view_equal(view.anchors[0], bytes_view(&identity_anchors(identity)->list[0]->der)));
    DomainView domain;
    assert_true(domain_view(device_domains(machine->device), identity_domain(identity), &domain));
    assert_true(view.clock_floor == (uint64_t) domain.floor * 1000000U);
    assert_string_equal(view.clock_source, domain.source);
    identity_view_clear(&view);
    assert_null(view.certificates);
    identity_view_clear(&view);
}

/* A faulty edit hides neither the key nor its certificate, and names its own reason. */
static void test_view_of_misconfigured(void **state) {
    Machine *machine = *state;
    _cleanup_identity_view_ IdentityView view = { .name = NULL };
    Failure failure = FAILURE_INIT;

    machine_configure(machine, "y", "[Weather]\n");
    start(machine, "");
    machine_await_state(machine, "x", STATE_READY);
    machine_configure(machine, "x", "[Weather]\n");
    assert_int_equal(manager_reload(machine->manager, &failure), 0);
    assert_int_equal(identity_view(x_of(machine), &view), 0);
    assert_string_equal(view.state, "misconfigured");
    assert_string_equal(view.key_algorithm, "ecdsa-p256");
    assert_string_equal(view.subject, "CN=x");
    assert_non_null(strstr(view.last_error, "identities/x.conf:6"));
    identity_view_clear(&view);
    assert_int_equal(identity_view(machine_identity(machine, "y"), &view), 0);
    assert_string_equal(view.key_algorithm, ""); /* nobody knows */
    assert_string_equal(view.subject, "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_form),
        TEST(test_without_identities),
        TEST(test_empty),
        TEST(test_ready),
        TEST(test_waiting),
        TEST(test_behind),
        TEST(test_revocation_checks),
        TEST(test_signatures),
        TEST(test_tpm),
        TEST(test_tpm_errors),
        TEST(test_view_of_empty),
        TEST(test_view_of_ready),
        TEST(test_view_of_misconfigured),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
