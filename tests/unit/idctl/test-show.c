/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The verbs that only show: an identity, the list, metrics, versions; for good answers and for bad ones. */
#include "lab.h"
#include "service.h"

#include "common/macros.h"

#include <jansson.h>

#define YEAR_2100 UINT64_C(4102444800000000) /* 2100-01-01 */

typedef struct World {
    Service *service;
    LabCertificate ca, leaf;
    gnutls_datum_t ca_der, leaf_der;
    ServiceAnswers ready;
} World;

static void test_show(void **state) {
    World *world = *state;
    Service *service = world->service;
    ServiceAnswers answers = world->ready;

    answers.clock_source = "ca";
    assert_int_equal(service_run(service, &answers, "show x"), EXIT_OK);
    expect_out(service, "          Name  x\n         State  ready\n      Activity  idle\n    Generation  3\n");
    expect_out(service, "       Subject  CN=x\n   Alternative  dns:host.example\n        Issuer  CN=the CA\n");
    expect_out(service, " Serial number  0a1b\n     Not after  2100-01-01 00:00:00 UTC (in ");
    expect_out(service, "\nas is known by  ca\n");
    expect_out(service, "           Key  ecdsa-p256\n       SHA-256  ");
    expect_out(service, "         Chain\n");
    expect_out(service, "       Anchors\n");
    expect_out(service, "CN=the lab");
    assert_null(strstr(service->out.text, "Last error"));
    assert_null(strstr(service->out.text, "Next attempt"));
    assert_null(strstr(service->out.text, "TPM problem"));
    assert_string_equal(service->err.text, "");
}

/* What is not there has no line. */
static void test_show_empty(void **state) {
    World *world = *state;
    const ServiceAnswers answers = {
        .state = "empty", .activity = "waiting", .last_error = "the CA is \x1b[1m away", .next_attempt = YEAR_2100
    };

    assert_int_equal(service_run(world->service, &answers, "show x"), EXIT_OK);
    expect_out(world->service, "    Last error  the CA is ?[1m away\n  Next attempt  2100-01-01 00:00:00 UTC (in ");
    static const char *const absent[] = { "Generation", "Subject", "Serial",  "Not after",
                                          "Chain",      "Anchors", "SHA-256", "known by" };
    for (size_t i = 0; i < ARRAY_LENGTH(absent); i++)
        if (strstr(world->service->out.text, absent[i]))
            fail_msg("%s in: %s", absent[i], world->service->out.text);
}

/* Why the TPM cannot be used is asked for only where it is the reason, and told once. */
static void test_show_tpm(void **state) {
    World *world = *state;
    Service *service = world->service;
    ServiceAnswers answers = { .state = "unavailable", .activity = "idle", .tpm_problem = "it is locked out" };

    assert_int_equal(service_run(service, &answers, "show x"), EXIT_OK);
    expect_out(service, "   TPM problem  it is locked out\n");
    answers.last_error = "cannot sign: it is locked out.";
    assert_int_equal(service_run(service, &answers, "show x"), EXIT_OK);
    expect_out(service, "    Last error  cannot sign: it is locked out.\n");
    assert_null(strstr(service->out.text, "TPM problem"));
    answers.state = "empty";
    answers.last_error = "";
    assert_int_equal(service_run(service, &answers, "show x"), EXIT_OK);
    assert_null(strstr(service->out.text, "TPM problem"));
    answers.state = "unavailable";
    answers.refused = "Get";
    answers.error = "org.freedesktop.DBus.Error.AccessDenied";
    answers.message = "no";
    assert_int_equal(service_run(service, &answers, "show x"), EXIT_DENIED);
    expect_err(service, "cannot ask identityd: the bus or polkit refuses it: no.");
    assert_string_equal(service->out.text, "");
}

static void expect_pem(const Service *service, gnutls_x509_crt_t certificate) {
    gnutls_datum_t pem;

    assert_true(gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_PEM, &pem) >= 0);
    assert_string_equal(service->out.text, (const char *) pem.data);
    gnutls_free(pem.data);
}

static void test_show_pem(void **state) {
    World *world = *state;
    Service *service = world->service;
    const ServiceAnswers empty = { .state = "empty", .activity = "idle" };

    assert_int_equal(service_run(service, &world->ready, "show --chain x"), EXIT_OK);
    expect_pem(service, world->leaf.certificate);
    assert_int_equal(service_run(service, &world->ready, "show --anchors x"), EXIT_OK);
    expect_pem(service, world->ca.certificate);
    assert_int_equal(service_run(service, &empty, "show --chain x"), EXIT_FAILED);
    expect_err(service, "x has no certificate yet.\n");
    assert_int_equal(service_run(service, &empty, "show --anchors x"), EXIT_FAILED);
    expect_err(service, "x has no anchors.\n");
    assert_string_equal(service->out.text, "");
}

static void test_show_json(void **state) {
    World *world = *state;
    Service *service = world->service;

    assert_int_equal(service_run(service, &world->ready, "show -j x"), EXIT_OK);
    json_t *object = json_loads(service->out.text, 0, NULL);
    assert_non_null(object);
    assert_string_equal(json_string_value(json_object_get(object, "name")), "x");
    assert_int_equal(json_integer_value(json_object_get(object, "generation")), 3);
    assert_int_equal(json_array_size(json_object_get(object, "certificates")), 1);
    assert_int_equal(json_array_size(json_object_get(object, "anchors")), 1);
    assert_true(json_is_null(json_object_get(object, "not_before")));
    json_decref(object);
}

static void test_show_bad(void **state) {
    static unsigned char garbage[] = { 0x30, 0x03, 1, 2, 3 };
    World *world = *state;
    Service *service = world->service;
    ServiceAnswers answers = world->ready;

    answers.certificate = (gnutls_datum_t) { garbage, sizeof garbage };
    assert_int_equal(service_run(service, &answers, "show x"), EXIT_FAILED);
    expect_err(service, "identityd sent certificates that cannot be read: ");
    expect_out(service, "         State  ready\n"); /* the rest is shown */
    answers = world->ready;
    answers.garbled = "GetAll";
    assert_int_equal(service_run(service, &answers, "show x"), EXIT_FAILED);
    expect_err(service, "cannot understand the identity's properties: ");
    answers.garbled = NULL;
    answers.untold = "State";
    assert_int_equal(service_run(service, &answers, "show --json x"), EXIT_FAILED);
    expect_err(service, "the property State of x: its version and idctl's do not fit.");
    assert_string_equal(service->out.text, "");
    assert_int_equal(service_run(service, &answers, "show y"), EXIT_NOT_FOUND);
    expect_err(service, "cannot find the identity: There is no identity 'y'.");
}

static const ServiceRow rows[] = {
    { "a", "ready", "idle", YEAR_2100, YEAR_2100 },
    { "longer-name", "empty", "enrolling", 0, 0 },
    { NULL, NULL, NULL, 0, 0 },
};
static const char *const forgotten[] = { "old", NULL };

static void test_list(void **state) {
    World *world = *state;
    Service *service = world->service;
    ServiceAnswers answers = { .rows = rows, .forgotten = forgotten };

    assert_int_equal(service_run(service, &answers, "list"), EXIT_OK);
    expect_out(service, "NAME        STATE ACTIVITY  NOT AFTER");
    expect_out(service, "\na           ready idle      2100-01-01 00:00:00 UTC (in ");
    expect_out(service, "\nlonger-name empty enrolling -");
    assert_null(strstr(service->out.text, "old"));
    assert_string_equal(service->err.text, "");
    assert_int_equal(service_run(service, &answers, "list --all"), EXIT_OK);
    expect_out(service, "\nold         forgotten idle      -");
    assert_int_equal(service_run(service, &answers, "list --quiet"), EXIT_OK);
    expect_all(service, "a\nlonger-name\n", "");
    assert_int_equal(service_run(service, &answers, "list --quiet --all"), EXIT_OK);
    expect_all(service, "a\nlonger-name\nold\n", "");
    answers = (ServiceAnswers) { 0 };
    assert_int_equal(service_run(service, &answers, "list"), EXIT_OK);
    expect_all(service, "No identities are configured. See identity.conf(5).\n", "");
    assert_int_equal(service_run(service, &answers, "list -q"), EXIT_OK);
    expect_all(service, "", "");
    assert_int_equal(service_run(service, &answers, "list --json"), EXIT_OK);
    expect_all(service, "[]\n", "");
}

static void test_list_json(void **state) {
    World *world = *state;
    Service *service = world->service;
    const ServiceAnswers answers = { .rows = rows, .forgotten = forgotten };

    assert_int_equal(service_run(service, &answers, "list --json --all"), EXIT_OK);
    json_t *array = json_loads(service->out.text, 0, NULL);
    assert_int_equal(json_array_size(array), 3);
    json_t *first = json_array_get(array, 0), *last = json_array_get(array, 2);
    assert_string_equal(json_string_value(json_object_get(first, "not_after")), "2100-01-01T00:00:00Z");
    assert_string_equal(json_string_value(json_object_get(first, "path")), "/org/identityd1/identity/x");
    assert_true(json_is_null(json_object_get(json_array_get(array, 1), "next_renewal")));
    assert_string_equal(json_string_value(json_object_get(last, "state")), "forgotten");
    json_decref(array);
}

/* The reason stands below the list, on standard error, and never makes the list fail. */
static void test_list_tpm(void **state) {
    World *world = *state;
    Service *service = world->service;
    ServiceAnswers answers = { .rows = rows, .tpm_problem = "no device" };

    assert_int_equal(service_run(service, &answers, "list"), EXIT_OK);
    expect_err(service, ": the TPM: no device\n");
    assert_int_equal(service_run(service, &answers, "list -q"), EXIT_OK);
    assert_string_equal(service->err.text, "");
    answers.refused = "Get";
    answers.error = "org.freedesktop.DBus.Error.UnknownProperty";
    answers.message = "what";
    assert_int_equal(service_run(service, &answers, "list"), EXIT_OK);
    expect_out(service, "longer-name");
}

static void test_list_bad(void **state) {
    static const struct {
        const char *line, *method, *words;
    } cases[] = {
        { "list", "ListIdentities", "cannot list the identities: no." },
        { "list --all", "ListForgotten", "cannot list what was forgotten: no." },
        { "metrics", "Metrics", "cannot read the metrics: no." },
        { "version", "Get", "cannot ask identityd: no." },
    };
    World *world = *state;
    Service *service = world->service;

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        ServiceAnswers answers = { .rows = rows, .error = "org.identityd1.Error.AccessDenied", .message = "no" };
        answers.refused = cases[i].method;
        assert_int_equal(service_run(service, &answers, cases[i].line), EXIT_DENIED);
        expect_err(service, cases[i].words);
        answers.refused = NULL;
        answers.garbled = cases[i].method;
        assert_int_equal(service_run(service, &answers, cases[i].line), EXIT_FAILED);
        assert_null(strstr(service->out.text, "longer-name"));
        assert_true(service->err.text[0] != '\0');
    }
}

static void test_metrics_and_version(void **state) {
    World *world = *state;
    Service *service = world->service;
    const ServiceAnswers answers = { .metrics = "a 1\n# EOF\n", .tpm_problem = "some\x07 words" };

    assert_int_equal(service_run(service, &answers, "metrics"), EXIT_OK);
    expect_all(service, "a 1\n# EOF\n", "");
    assert_int_equal(service_run(service, &answers, "version"), EXIT_OK);
    expect_out(service, "         idctl  ");
    expect_out(service, "   TPM problem  some? words\n");
    assert_int_equal(service_run(service, &answers, "version --json"), EXIT_OK);
    json_t *object = json_loads(service->out.text, 0, NULL);
    assert_int_equal(json_object_size(object), 7);
    assert_non_null(json_object_get(object, "tpm_state"));
    json_decref(object);
}

static gnutls_datum_t der_of(gnutls_x509_crt_t certificate) {
    gnutls_datum_t der;

    assert_true(gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_DER, &der) >= 0);
    return der;
}

static int setup(void **state) {
    World *world = calloc(1, sizeof *world);

    assert_non_null(world);
    lab_certificate_new("the lab", true, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 20, NULL,
                        &world->ca);
    lab_certificate_new("x", false, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 10, &world->ca,
                        &world->leaf);
    world->ca_der = der_of(world->ca.certificate);
    world->leaf_der = der_of(world->leaf.certificate);
    world->ready = (ServiceAnswers) { .state = "ready",
                                      .activity = "idle",
                                      .generation = 3,
                                      .not_after = YEAR_2100,
                                      .certificate = world->leaf_der,
                                      .anchor = world->ca_der };
    world->service = service_new();
    *state = world;
    return 0;
}

static int teardown(void **state) {
    World *world = *state;

    service_free(world->service);
    lab_certificate_clear(&world->leaf);
    lab_certificate_clear(&world->ca);
    gnutls_free(world->leaf_der.data);
    gnutls_free(world->ca_der.data);
    free(world);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_show),     cmocka_unit_test(test_show_empty),          cmocka_unit_test(test_show_tpm),
        cmocka_unit_test(test_show_pem), cmocka_unit_test(test_show_json),           cmocka_unit_test(test_show_bad),
        cmocka_unit_test(test_list),     cmocka_unit_test(test_list_json),           cmocka_unit_test(test_list_tpm),
        cmocka_unit_test(test_list_bad), cmocka_unit_test(test_metrics_and_version),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
