/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of a configuration with the values of a device: what comes out, and for what cannot be which line is told, and
 * why. */
#include "enrolment/request-names.h"

#include "tests/unit/device/certify.h"
#include "work/key-tasks.h"

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const Duty *const table[] = { &loading_duty, NULL };

typedef struct Fixture {
    Machine *machine;
    Identity *identity;
} Fixture;

static int setup(void **state) {
    Fixture *f = calloc(1, sizeof *f);

    f->machine = machine_new();
    f->machine->by_hand = true;
    *state = f;
    return 0;
}

static int teardown(void **state) {
    Fixture *f = *state;
    Machine *machine = f->machine;

    free(f);
    return machine_free(machine);
}

/* Starts anew: the serial number is read at the start. */
static void set_serial(Fixture *f, const char *serial, size_t size) {
    FILE *file = fopen(machine_path(f->machine, "credentials/serial"), "we");

    assert_non_null(file);
    assert_int_equal(fwrite(serial, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    machine_stop(f->machine);
    f->identity = NULL;
}

/* Subject= is line 3, SubjectAltName= 4, User= 9. */
static void configure(Fixture *f, const char *subject, const char *names, const char *user) {
    machine_write(f->machine, "etc/identities/x.conf",
                  "# of the test\n[Identity]\nSubject=%s\nSubjectAltName=%s\n[Enrollment]\nServer=https://a/\n"
                  "Anchors=%s/etc/ca.pem\nAuthenticate=credential:c\nUser=%s\n",
                  subject, names, f->machine->root, user);
    if (f->identity)
        identity_load(f->identity);
    else {
        machine_start_parts(f->machine, table);
        f->identity = machine_add(f->machine, "x");
    }
    if (identity_fault(f->identity))
        fail_msg("%s", identity_fault(f->identity));
    identity_set_host_name(f->identity, "host_1.example");
}

static const char *device_id(const Fixture *f) {
    return tpm_watch_information(device_tpm(f->machine->device))->device_id;
}

static void test_names(void **state) {
    Fixture *f = *state;
    RequestNames names = { 0 };
    Failure failure = FAILURE_INIT;
    char *user = NULL, expected[160];

    set_serial(f, "S/1\n", 4);
    configure(f, "serialNumber=%d,OU=%m,O=%s", "dns:%H ip:192.0.2.1 uri:urn:x:%s hardware-module:1.3.6/%s", "%m-%s");
    assert_int_equal(request_names(f->identity, &names, &failure), 0);
    snprintf(expected, sizeof expected, "serialNumber=%s,OU=%s,O=S/1", device_id(f),
             device_machine_id(f->machine->device));
    assert_string_equal(names.subject, expected);
    assert_int_equal(names.san_count, 4);
    assert_string_equal(names.sans[0].value, "host_1.example");
    assert_int_equal(names.sans[1].kind, SAN_IP);
    assert_string_equal(names.sans[2].value, "urn:x:S%2F1");
    assert_string_equal(names.sans[3].value, "1.3.6/S/1");
    request_names_clear(&names);
    request_names_clear(&names);
    const Authenticate *authenticate = &identity_config(f->identity)->authenticate;
    assert_int_equal(request_user(f->identity, authenticate, false, &user, &failure), 0);
    snprintf(expected, sizeof expected, "%s-S/1", device_machine_id(f->machine->device));
    assert_string_equal(user, expected);
    free(user);
}

/* As a device tree has it: the NUL at the end is no part of it. */
static void test_serial_of_device_tree(void **state) {
    Fixture *f = *state;
    RequestNames names = { 0 };
    Failure failure = FAILURE_INIT;

    set_serial(f, "10000000d75e86a9", 17);
    configure(f, "CN=%s", "dns:%s", "u");
    assert_int_equal(request_names(f->identity, &names, &failure), 0);
    assert_string_equal(names.subject, "CN=10000000d75e86a9");
    assert_string_equal(names.sans[0].value, "10000000d75e86a9");
    request_names_clear(&names);
}

static void test_refused(void **state) {
    static const struct {
        const char *subject, *names, *serial, *host_name;
        unsigned line;
        const char *reason;
    } cases[] = {
        { "CN=%s", "dns:a", "a\x01", "h", 3,
          "[Identity] Subject=CN=%s: %s: byte 2 of the hardware's serial number is the control character 0x01" },
        { "CN=%s", "dns:a", "\x7f", "h", 3, "byte 1 of the hardware's serial number is the control character 0x7f" },
        { "CN=%s", "dns:a", "a\xc2\x9bk", "h", 3, "on this device and has a control character, or is no UTF-8" },
        { "CN=a%s", "dns:a", A64, "h", 3, "[Identity] Subject=CN=a%s: CN would have 65 characters" },
        { "serialNumber=%s", "dns:a", "a_b", "h", 3, "serialNumber may have only letters" },
        { "CN=a", "dns:%s.b", "a.b", "h", 4,
          "[Identity] SubjectAltName=dns:%s.b: %s is \"a.b\" on this device and cannot stand in a label" },
        { "CN=a", "dns:%s", "-a", "h", 4, "[Identity] SubjectAltName=dns:%s: \"-a\" must be a DNS name" },
        { "CN=a", "dns:%H", "a", "1234", 4, "[Identity] SubjectAltName=dns:%H: \"1234\" must be a DNS name" },
        { "CN=a", "uri:https://a/%s", "..", "h", 4, "\"https://a/..\" must be a URI" },
        { "CN=a", "hardware-module:1.3.6/a%s", A64, "h", 4, "must be OID/SERIAL" },
        { "CN=a", "dns:%s", "", "h", 4, "no systemd credential brings a hardware serial number" },
    };
    Fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        RequestNames names = { 0 };
        Failure failure = FAILURE_INIT;
        char begin[160];
        set_serial(f, cases[i].serial, strlen(cases[i].serial));
        configure(f, cases[i].subject, cases[i].names, "u");
        identity_set_host_name(f->identity, cases[i].host_name);
        assert_int_equal(request_names(f->identity, &names, &failure), -EINVAL);
        assert_int_equal(failure.kind, FAILURE_INVALID_ARGUMENT);
        snprintf(begin, sizeof begin, "x: %s:%u: [Identity] ", machine_path(f->machine, "etc/identities/x.conf"),
                 cases[i].line);
        if (strncmp(failure.text, begin, strlen(begin)) != 0 || !strstr(failure.text, cases[i].reason))
            fail_msg("no '%s' in: %s", cases[i].reason, failure.text);
        assert_null(names.subject);
        assert_int_equal(names.san_count, 0);
    }
}

static void test_unknown_values(void **state) {
    Fixture *f = *state;
    RequestNames names = { 0 };
    Failure failure = FAILURE_INIT;

    set_serial(f, "a\0b", 3);
    configure(f, "CN=%s", "dns:a", "u");
    assert_int_equal(request_names(f->identity, &names, &failure), -EINVAL);
    assert_non_null(strstr(failure.text, "byte 2 of the hardware's serial number is the control character 0x00"));
    set_serial(f, "a\0\0", 3);
    configure(f, "CN=%s", "dns:a", "u");
    assert_int_equal(request_names(f->identity, &names, &failure), -EINVAL);
    assert_non_null(strstr(failure.text, "byte 2 of the hardware's serial number is the control character 0x00"));
    set_serial(f, "\0", 1);
    configure(f, "CN=%s", "dns:a", "u");
    assert_int_equal(request_names(f->identity, &names, &failure), -EINVAL);
    assert_non_null(strstr(failure.text, "no systemd credential brings a hardware serial number"));
    /* The TPM was not there yet, so there is no device ID. */
    machine_stop(f->machine);
    f->identity = NULL;
    assert_int_equal(unlink(machine_path(f->machine, "credentials/serial")), 0);
    assert_int_equal(swtpm_kill(f->machine->swtpm), 0);
    assert_int_equal(swtpm_replace(f->machine->swtpm), 0);
    configure(f, "CN=%d", "dns:a", "u");
    assert_int_equal(request_names(f->identity, &names, &failure), -EINVAL);
    assert_non_null(strstr(failure.text, "Subject=CN=%d: "));
    assert_int_equal(swtpm_start(f->machine->swtpm), 0);
}

static void test_refused_users(void **state) {
    Fixture *f = *state;
    Failure failure = FAILURE_INIT;
    char begin[256], *user = NULL;
    const Authenticate *authenticate;

    set_serial(f, "a:b", 3);
    configure(f, "CN=a", "dns:a", "u-%s");
    authenticate = &identity_config(f->identity)->authenticate;
    assert_int_equal(request_user(f->identity, authenticate, false, &user, &failure), -EINVAL);
    snprintf(begin, sizeof begin, "x: %s:9: [Enrollment] User=u-%%s: %%s is \"a:b\" on this device and has a ':'",
             machine_path(f->machine, "etc/identities/x.conf"));
    assert_int_equal(strncmp(failure.text, begin, strlen(begin)), 0);
    set_serial(f, A64 A64 A64 A64, 256);
    configure(f, "CN=a", "dns:a", "u-%s");
    authenticate = &identity_config(f->identity)->authenticate;
    assert_int_equal(request_user(f->identity, authenticate, true, &user, &failure), -E2BIG);
    assert_non_null(strstr(failure.text, "[Renewal] User=u-%s: it would have more than 255 bytes"));
    assert_null(user);
}

/* Without User= it is the device. */
static void test_default_user(void **state) {
    Fixture *f = *state;
    Failure failure = FAILURE_INIT;
    char *user = NULL;

    machine_configure(f->machine, "x", "Authenticate=credential:c\n");
    machine_start_parts(f->machine, table);
    f->identity = machine_add(f->machine, "x");
    assert_int_equal(request_user(f->identity, &identity_config(f->identity)->authenticate, false, &user, &failure), 0);
    assert_string_equal(user, device_id(f));
    free(user);
}

/* ---- %H ---- */

/* What is recorded at the first enrolment stays, whatever the device is called later. */
static void test_host_name_is_recorded(void **state) {
    Fixture *f = *state;
    RequestNames names = { 0 };
    Failure failure = FAILURE_INIT;

    configure(f, "CN=x", "dns:a", "u");
    identity_set_host_name(f->identity, "");
    int r = request_names(f->identity, &names, &failure);
    assert_int_equal(r, 0);
    request_names_clear(&names);
    if (access("/etc/hostname", F_OK) < 0) {
        assert_string_equal(identity_host_name(f->identity), "");
        return;
    }
    char recorded[256];
    snprintf(recorded, sizeof recorded, "%s", identity_host_name(f->identity));
    assert_true(recorded[0]);
    machine_stop(f->machine);
    machine_start_parts(f->machine, table);
    f->identity = machine_add(f->machine, "x");
    assert_string_equal(identity_host_name(f->identity), recorded); /* it was written */
    configure(f, "CN=%H", "dns:a", "u");                            /* and what is there counts */
    assert_int_equal(request_names(f->identity, &names, &failure), 0);
    assert_string_equal(names.subject, "CN=host_1.example");
    request_names_clear(&names);
    assert_string_equal(identity_host_name(f->identity), "host_1.example");
}

/* ---- requests ---- */

typedef struct Made {
    unsigned calls;
    Failure failure;
    Bytes der;
} Made;

static void on_made(const Failure *failure, BytesView der, void *userdata) {
    Made *made = userdata;

    made->calls++;
    made->failure = *failure;
    if (der.size > 0)
        assert_int_equal(bytes_copy(der, &made->der), 0);
}

/* The usages that a request asks for: "cs" for client and server, in that order. */
static void expect_usages(Fixture *f, const TpmKey *key, const char *const *eku, size_t count, const char *expected) {
    const RequestInput input = { .key = key, .eku = eku, .eku_count = count };
    Made made = { .calls = 0 };
    gnutls_x509_crq_t request;
    TpmTask *task = NULL;
    Failure failure = FAILURE_INIT;
    char usages[16] = "", oid[64];

    assert_int_equal(request_start(f->identity, &input, on_made, &made, &task, &failure), 0);
    machine_until(f->machine, made.calls == 1);
    assert_int_equal(made.failure.kind, FAILURE_NONE);
    const gnutls_datum_t der = { made.der.data, (unsigned) made.der.size };
    assert_int_equal(gnutls_x509_crq_init(&request), 0);
    assert_int_equal(gnutls_x509_crq_import(request, &der, GNUTLS_X509_FMT_DER), 0);
    for (unsigned i = 0; i < 8; i++) {
        size_t size = sizeof oid;
        if (gnutls_x509_crq_get_key_purpose_oid(request, i, oid, &size, NULL) < 0)
            break;
        strcat(usages, strcmp(oid, EKU_CLIENT_AUTH) == 0 ? "c" : strcmp(oid, EKU_SERVER_AUTH) == 0 ? "s" : "?");
    }
    gnutls_x509_crq_deinit(request);
    bytes_clear(&made.der);
    assert_string_equal(usages, expected);
}

static void test_usages(void **state) {
    static const struct {
        const char *access;
        size_t asked; /* of server, client */
        const char *expected;
    } cases[] = {
        { "", 0, "c" },
        { "[Access]\ntls-client=user:root\n", 0, "c" },
        { "[Access]\ntls-server=user:root\n", 0, "cs" },
        { "[Access]\ntls-client=user:root\n", 1, "cs" },
        { "[Access]\ntls-server=user:root\n", 2, "cs" }, /* once each */
        { "[Access]\ndata=user:root\n", 0, "" },
        { "[Access]\ndata=user:root\n", 2, "" },
        { "[Access]\ndata-raw=user:root\n", 0, "" },
        { "[Access]\ndata-raw=user:root\n", 2, "" },
    };
    static const char *const eku[] = { EKU_SERVER_AUTH, EKU_CLIENT_AUTH };
    Fixture *f = *state;

    machine_configure(f->machine, "x", "");
    machine_start_parts(f->machine, table);
    f->identity = machine_add(f->machine, "x");
    _cleanup_tpm_key_ TpmKey *key = machine_key(f->machine);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        machine_configure(f->machine, "x", cases[i].access);
        identity_load(f->identity);
        expect_usages(f, key, eku, cases[i].asked, cases[i].expected);
    }
}

static void test_names_of_requests(void **state) {
    Fixture *f = *state;
    Made made = { .calls = 0 };
    TpmTask *task = NULL;
    Failure failure = FAILURE_INIT;
    _cleanup_bytes_ Bytes subject = BYTES_NULL, san = BYTES_NULL;

    machine_configure(f->machine, "x", "");
    machine_start_parts(f->machine, table);
    f->identity = machine_add(f->machine, "x");
    (void) machine_certify(f->machine, f->identity, &(Certified) { .subject = "CN=as certified", .dns = "x.example" });
    RequestInput input = { .key = identity_key(f->identity), .present_names = true };
    assert_int_equal(request_start(f->identity, &input, on_made, &made, &task, &failure), 0);
    machine_until(f->machine, made.calls == 1);
    assert_int_equal(csr_names(bytes_view(&made.der), &subject, &san), 0);
    assert_true(bytes_view_equal(bytes_view(&subject), identity_leaf(f->identity)->subject_raw));
    assert_true(san.size > 0);
    bytes_clear(&made.der);
    bytes_clear(&subject);
    bytes_clear(&san);
    input.present_names = false;
    assert_int_equal(request_start(f->identity, &input, on_made, &made, &task, &failure), 0);
    machine_until(f->machine, made.calls == 2);
    assert_int_equal(csr_names(bytes_view(&made.der), &subject, &san), 0);
    assert_false(bytes_view_equal(bytes_view(&subject), identity_leaf(f->identity)->subject_raw));
    assert_int_equal(san.size, 0);
    bytes_clear(&made.der);
    /* Names that a later version refuses: told with file and line when a request needs them, and by no other. */
    machine_write(f->machine, "etc/identities/x.conf",
                  "[Identity]\nSubject=CN=x\nSubjectAltName=dns:-no-\n[Enrollment]\nServer=https://a/\n"
                  "Anchors=%s/etc/ca.pem\n",
                  f->machine->root);
    identity_load(f->identity);
    input.key = identity_key(f->identity);
    assert_int_equal(request_start(f->identity, &input, on_made, &made, &task, &failure), -EINVAL);
    expect_failure(&failure, FAILURE_INVALID_ARGUMENT, "x.conf:3");
    input.present_names = true;
    assert_int_equal(request_start(f->identity, &input, on_made, &made, &task, &failure), 0);
    machine_until(f->machine, made.calls == 3);
    bytes_clear(&made.der);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_names),         TEST(test_refused),           TEST(test_unknown_values),
        TEST(test_refused_users), TEST(test_default_user),      TEST(test_host_name_is_recorded),
        TEST(test_usages),        TEST(test_names_of_requests), TEST(test_serial_of_device_tree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
