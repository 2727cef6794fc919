/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A job whose turn comes late: what the identity was when it was begun may have changed by a reload. */
#include "manager/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char *const urls[] = { "http://crl.example/1", NULL };

static void job_order_clear(JobOrder *order) {
    free(order->socket_path);
    bytes_clear(&order->server_anchors);
}

/* The order of a job of that kind; `reason`: why there is none. */
static void expect(Identity *identity, uint8_t kind, const char *socket, const char *reason) {
    _cleanup_(job_order_clear) JobOrder order = { .request = { .kind = kind } };
    Failure failure = FAILURE_INIT;

    if (kind == JOB_KIND_FETCH)
        order.request.servers = urls;
    int r = identity_job_prepare(identity, &order, &failure);
    if (reason) {
        assert_true(r < 0);
        if (!strstr(failure.text, reason))
            fail_msg("no '%s' in: %s", reason, failure.text);
        return;
    }
    assert_int_equal(r, 0);
    assert_string_equal(order.socket_path, socket);
    assert_ptr_equal(order.request.servers,
                     kind == JOB_KIND_FETCH ? urls : (const char *const *) identity->config->servers);
    assert_non_null(order.request.servers[0]);
}

static void test_reload_while_it_waited(void **state) {
    static const uint8_t kinds[] = { JOB_KIND_ENROLL, JOB_KIND_REENROLL, JOB_KIND_CACERTS, JOB_KIND_PROBE };
    char directory[] = "/run/x", server[] = "https://ca.example/", name[] = "x",
         why[] = "x.conf:1: [Weather] is unknown.";
    char *servers[] = { server, NULL };
    IdentityConfig est = { .protocol = PROTOCOL_EST, .servers = servers }, manual = { .protocol = PROTOCOL_MANUAL };
    Manager manager = { .runtime_directory = directory };
    Identity identity = { .manager = &manager, .name = name };

    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
        identity.config = &est;
        identity.malformed = NULL;
        expect(&identity, kinds[i], "/run/x/" IDENTITYD_ENROLLER_SOCKET, NULL);
        identity.config = &manual;
        expect(&identity, kinds[i], NULL, "x has Protocol=manual now");
        identity.config = NULL;
        identity.malformed = why;
        expect(&identity, kinds[i], NULL, "[Weather] is unknown");
    }
    expect(&identity, JOB_KIND_FETCH, NULL, "[Weather] is unknown");
    identity.config = &manual; /* which may be revoked all the same */
    identity.malformed = NULL;
    expect(&identity, JOB_KIND_FETCH, "/run/x/" IDENTITYD_FETCH_SOCKET, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_reload_while_it_waited) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
