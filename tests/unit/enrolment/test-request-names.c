/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of a configuration with the values of a device: what comes out, and for what cannot be which line is told, and
 * why. */
#include "manager/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define A64       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define FILE_NAME "x.conf"

typedef struct Fixture {
    char directory[64], path[96];
    Manager manager;
    Identity identity;
} Fixture;

static void put(const Fixture *fixture, const char *name, const char *text, size_t size) {
    char path[160];

    snprintf(path, sizeof path, "%s/%s", fixture->directory, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static int setup(void **state) {
    Fixture *f = calloc(1, sizeof *f);

    if (!f)
        return -1;
    strcpy(f->directory, "/tmp/identityd-names-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    strcpy(f->path, f->directory);
    strcat(f->path, "/" FILE_NAME);
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", f->directory, 1), 0);
    f->identity.name = strdup("x");
    f->identity.manager = &f->manager;
    strcpy(f->manager.tpm.device_id, "d0");
    strcpy(f->manager.machine_id, "m0");
    strcpy(f->identity.stored.host_name, "host_1.example");
    *state = f;
    return 0;
}

static int teardown(void **state) {
    Fixture *f = *state;
    char path[160];

    unlink(f->path);
    snprintf(path, sizeof path, "%s/serial", f->directory);
    unlink(path);
    rmdir(f->directory);
    secret_free(f->manager.serial);
    identity_config_free(f->identity.config);
    free(f->identity.name);
    free(f);
    return 0;
}

static void set_serial(Fixture *f, const char *serial, size_t size) {
    put(f, "serial", serial, size);
    f->manager.serial = secret_free(f->manager.serial);
    assert_int_equal(secret_from_credential("serial", &f->manager.serial), 0);
}

/* Subject= is line 3, SubjectAltName= 4, User= 9. */
static void configure(Fixture *f, const char *subject, const char *names, const char *user) {
    char *paths[] = { f->path, NULL };
    Problems problems = { 0 };
    char *text = NULL;

    assert_true(asprintf(&text,
                         "# of the test\n[Identity]\nSubject=%s\nSubjectAltName=%s\n[Enrollment]\nServer=https://a/\n"
                         "Anchors=/a\nAuthenticate=credential:c\nUser=%s\n",
                         subject, names, user) > 0);
    put(f, FILE_NAME, text, strlen(text));
    free(text);
    f->identity.config = identity_config_free(f->identity.config);
    if (identity_config_load("x", paths, &problems, &f->identity.config) < 0)
        fail_msg("%s", problems.count > 0 ? problems.list[0].text : "?");
    problems_clear(&problems);
}

static void test_names(void **state) {
    Fixture *f = *state;
    RequestNames names = { 0 };
    Failure failure = FAILURE_INIT;
    char *user = NULL;

    set_serial(f, "S/1\n", 4);
    configure(f, "CN=%d,OU=%m,O=%s", "dns:%H ip:192.0.2.1 uri:urn:x:%s hardware-module:1.3.6/%s", "%m-%s");
    assert_int_equal(request_names(&f->identity, &names, &failure), 0);
    assert_string_equal(names.subject, "CN=d0,OU=m0,O=S/1");
    assert_int_equal(names.san_count, 4);
    assert_string_equal(names.sans[0].value, "host_1.example");
    assert_int_equal(names.sans[1].kind, SAN_IP);
    assert_string_equal(names.sans[2].value, "urn:x:S%2F1");
    assert_string_equal(names.sans[3].value, "1.3.6/S/1");
    request_names_clear(&names);
    request_names_clear(&names);
    assert_int_equal(request_user(&f->identity, &f->identity.config->authenticate, false, &user, &failure), 0);
    assert_string_equal(user, "m0-S/1");
    free(user);
}

static void test_refused(void **state) {
    static const struct {
        const char *subject, *names, *serial, *host_name;
        unsigned line;
        const char *reason;
    } cases[] = {
        { "CN=%s", "dns:a", "a\x01", "h", 3,
          "[Identity] Subject=CN=%s: %s is \"a?\" on this device and has a control" },
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
        strcpy(f->identity.stored.host_name, cases[i].host_name);
        configure(f, cases[i].subject, cases[i].names, "u");
        assert_int_equal(request_names(&f->identity, &names, &failure), -EINVAL);
        assert_int_equal(failure.kind, FAILURE_INVALID_ARGUMENT);
        snprintf(begin, sizeof begin, "x: %s:%u: [Identity] ", f->path, cases[i].line);
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
    assert_int_equal(request_names(&f->identity, &names, &failure), -EINVAL);
    assert_non_null(strstr(failure.text, "serial number has a NUL byte"));
    configure(f, "CN=%d", "dns:a", "u");
    f->manager.tpm.device_id[0] = '\0';
    strcpy(f->manager.tpm.device_id_problem, "the endorsement hierarchy is locked");
    assert_int_equal(request_names(&f->identity, &names, &failure), -EINVAL);
    assert_non_null(strstr(failure.text, "the endorsement hierarchy is locked"));
}

static void test_refused_users(void **state) {
    Fixture *f = *state;
    Failure failure = FAILURE_INIT;
    char begin[256], *user = NULL;
    const Authenticate *authenticate;

    configure(f, "CN=a", "dns:a", "u-%s");
    authenticate = &f->identity.config->authenticate;
    set_serial(f, "a:b", 3);
    assert_int_equal(request_user(&f->identity, authenticate, false, &user, &failure), -EINVAL);
    snprintf(begin, sizeof begin, "x: %s:9: [Enrollment] User=u-%%s: %%s is \"a:b\" on this device and has a ':'",
             f->path);
    assert_int_equal(strncmp(failure.text, begin, strlen(begin)), 0);
    set_serial(f, A64 A64 A64 A64, 256);
    assert_int_equal(request_user(&f->identity, authenticate, true, &user, &failure), -E2BIG);
    assert_non_null(strstr(failure.text, "[Renewal] User=u-%s: it would have more than 255 bytes"));
    assert_null(user);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_names),
        TEST(test_refused),
        TEST(test_unknown_values),
        TEST(test_refused_users),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
