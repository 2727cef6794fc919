/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A job whose turn comes late: what the identity was when it was begun may have changed by a reload. */
#include "identity/identity-job.h"

#include "tests/unit/device/clock.h"
#include "tests/unit/device/machine.h"

static const Duty *const table[] = { &loading_duty, NULL };
static const char *const urls[] = { "http://crl.example/1", NULL };

static void job_order_clear(JobOrder *order) {
    free(order->socket_path);
    bytes_clear(&order->server_anchors);
}

static Identity *start(void **state) {
    return machine_start_alone(*state, "", table);
}

/* The order of a job of that kind; `reason`: why there is none. */
static void expect(const Machine *machine, Identity *identity, uint8_t kind, FailureKind failed, const char *reason) {
    _cleanup_(job_order_clear) JobOrder order = { .request = { .kind = kind } };
    Failure failure = FAILURE_INIT;
    bool fetches = kind == JOB_KIND_FETCH;

    if (fetches)
        order.request.servers = urls;
    int r = identity_job_prepare(identity, &order, &failure);
    if (reason) {
        assert_true(r < 0);
        expect_failure(&failure, failed, reason);
        return;
    }
    assert_int_equal(r, 0);
    assert_string_equal(order.socket_path,
                        machine_path(machine, fetches ? "runtime/fetch.socket" : "runtime/enroller.socket"));
    assert_string_equal(order.request.identity, "x");
    if (fetches)
        assert_ptr_equal(order.request.servers, urls);
    else
        assert_ptr_equal(order.request.servers, identity_config(identity)->servers);
    assert_non_null(order.request.servers[0]);
}

static void test_reload_while_it_waited(void **state) {
    static const uint8_t kinds[] = { JOB_KIND_ENROLL, JOB_KIND_REENROLL, JOB_KIND_CACERTS, JOB_KIND_PROBE,
                                     JOB_KIND_FETCH };
    Machine *machine = *state;
    Identity *identity = start(state);

    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
        machine_configure(machine, "x", "");
        identity_load(identity);
        expect(machine, identity, kinds[i], 0, NULL);
        machine_configure(machine, "x", "[Weather]\n");
        identity_load(identity);
        expect(machine, identity, kinds[i], FAILURE_NOT_READY, "x is out of use");
        machine_configure_manual(machine, "x", "");
        identity_load(identity);
        if (kinds[i] == JOB_KIND_FETCH) /* which may be revoked all the same */
            expect(machine, identity, kinds[i], 0, NULL);
        else
            expect(machine, identity, kinds[i], FAILURE_INVALID_ARGUMENT, "x has Protocol=manual now");
    }
}

static void test_what_every_job_says(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state);
    Failure failure = FAILURE_INIT;

    machine_configure(machine, "x", "Proxy=http://proxy.example:3128\n");
    identity_load(identity);
    {
        _cleanup_(job_order_clear) JobOrder order = { .request = { .kind = JOB_KIND_ENROLL } };
        assert_int_equal(identity_job_prepare(identity, &order, &failure), 0);
        assert_true(bytes_view_equal(order.request.server_anchors, bytes_view_string(machine->ca->pem)));
        assert_null(order.request.fingerprint);
        assert_string_equal(order.request.proxy, "http://proxy.example:3128");
        assert_true(order.request.time + 2 >= (uint64_t) realtime_seconds());
        assert_false(order.request.time_is_floor);
    }
    clock_set(-20 * 365 * 86400);
    domains_judge(device_domains(machine->device));
    _cleanup_(job_order_clear) JobOrder order = { .request = { .kind = JOB_KIND_ENROLL } };
    assert_int_equal(identity_job_prepare(identity, &order, &failure), 0);
    assert_true(order.request.time_is_floor);
    assert_true(order.request.time > (uint64_t) realtime_seconds() + 1000000);
}

/* The provisional connection is for the first meeting with the CA alone, and for no fetch. */
static void test_fingerprint(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state);
    Failure failure = FAILURE_INIT;

    machine_configure_fingerprint(machine, "y", machine->ca, "");
    identity = machine_add(machine, "y");
    for (unsigned i = 0; i < 3; i++) {
        _cleanup_(job_order_clear)
            JobOrder order = { .request = { .kind = i == 1 ? JOB_KIND_FETCH : JOB_KIND_ENROLL, .servers = urls } };
        if (i == 2) {
            CertificateList list = { 0 };
            assert_int_equal(certificate_list_from_pem(bytes_view_string(machine->ca->pem), 1, &list, &failure), 0);
            assert_int_equal(identity_set_anchors(identity, &list, &failure), 0);
        }
        assert_int_equal(identity_job_prepare(identity, &order, &failure), 0);
        assert_int_equal(order.request.fingerprint != NULL, i == 0);
        assert_int_equal(order.request.server_anchors.size > 0, i == 2);
    }
}

static void test_no_server_anchors(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state);
    _cleanup_(job_order_clear) JobOrder order = { .request = { .kind = JOB_KIND_ENROLL } };
    Failure failure = FAILURE_INIT;

    machine_configure(machine, "x", "ServerAnchors=/nowhere/at/all.pem\n");
    identity_load(identity);
    assert_true(identity_job_prepare(identity, &order, &failure) < 0);
    expect_failure(&failure, FAILURE_INVALID_ARGUMENT, "/nowhere/at/all.pem");
}

/* ---- it is begun ---- */

typedef struct Seen {
    Identity *identity;
    unsigned results;
    Job *job;
} Seen;

static int on_turn(JobOrder *order, void *userdata, Failure *ret_failure) {
    const Seen *seen = userdata;

    order->request.kind = JOB_KIND_PROBE;
    return identity_job_prepare(seen->identity, order, ret_failure);
}

static void on_result(JobResult *result, void *userdata) {
    Seen *seen = userdata;

    seen->results++;
    seen->job = job_free(seen->job);
}

static void on_failed(const Failure *failure, bool permanent, uint32_t retry_after, void *userdata) {
    fail_msg("%s", failure->text);
}

static void test_start(void **state) {
    static const JobCallbacks callbacks = { .prepare = on_turn, .result = on_result, .failed = on_failed };
    Machine *machine = *state;
    Seen seen = { .identity = start(state) };
    const IdentityJob job = { JOB_LINE_ENROLLER, &callbacks, &seen };
    Failure failure = FAILURE_INIT;

    assert_int_equal(identity_job_start(seen.identity, &job, &seen.job, &failure), 0);
    machine_until(machine, seen.results == 1);
    assert_int_equal(enroller_last(machine->enroller)->kind, JOB_KIND_PROBE);
    assert_true(enroller_last(machine->enroller)->has_server_anchors);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_reload_while_it_waited),
        TEST(test_what_every_job_says),
        TEST(test_fingerprint),
        TEST(test_no_server_anchors),
        TEST(test_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
