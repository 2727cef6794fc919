/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idctl monitor: the identities as they are, a line for each change, and its end when identityd goes. What is sent
 * comes in the order in which it must be printed, and the name is given up last, so that nothing here waits for a time.
 */
#include "service.h"

#include "common/macros.h"
#include "common/names.h"

#undef NDEBUG
#include <assert.h> /* in the service's thread */
#include <jansson.h>

static const ServiceRow rows[] = {
    { "x", "ready", "idle", 0, 0 },
    { "y", "empty", "enrolling", 0, 0 },
    { NULL, NULL, NULL, 0, 0 },
};

static void objects(Service *service, const char *path, bool added) {
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *signal = NULL;

    assert(sd_bus_message_new_signal(service_connection(service), &signal, IDENTITYD_MANAGER_PATH,
                                     "org.freedesktop.DBus.ObjectManager",
                                     added ? "InterfacesAdded" : "InterfacesRemoved") >= 0);
    assert(sd_bus_message_append(signal, "o", path) >= 0);
    assert((added ? sd_bus_message_append(signal, "a{sa{sv}}", 0)
                  : sd_bus_message_append(signal, "as", 1, IDENTITYD_IDENTITY_INTERFACE)) >= 0);
    assert(sd_bus_send(NULL, signal, NULL) >= 0);
}

/* Of another interface on the same object, and with a body that is none. */
static void other_signals(Service *service) {
    assert(sd_bus_emit_signal(service_connection(service), IDENTITYD_IDENTITY_PREFIX "/x",
                              "org.freedesktop.DBus.Properties", "PropertiesChanged", "sa{sv}as", "org.example.Other",
                              1, "State", "s", "foreign", 0) >= 0);
    assert(sd_bus_emit_signal(service_connection(service), IDENTITYD_IDENTITY_PREFIX "/x",
                              "org.freedesktop.DBus.Properties", "PropertiesChanged", "t", UINT64_C(5)) >= 0);
}

static void change(Service *service, const char *member) {
    if (strcmp(member, "ListIdentities") != 0)
        return;
    service_changed(service, "x", "Activity", "renewing", 0);
    service_changed(service, "y", "LastError", "the CA\x1b[2J says no", UINT64_C(1700000000000000));
    other_signals(service);
    service_changed(service, "x", "OfALaterVersion", "unknown", 0);
    objects(service, IDENTITYD_IDENTITY_PREFIX "/z", true);
    objects(service, IDENTITYD_IDENTITY_PREFIX "/x", false);
    objects(service, "/somewhere/else", true);
    service_leave(service);
}

/* The text without the time that each line begins with. */
static void without_times(const char *text, char *ret, size_t size) {
    size_t used = 0;

    ret[0] = '\0';
    while (*text) {
        const char *rest = strstr(text, " UTC  "), *end = strchr(text, '\n');
        assert_non_null(end);
        assert_true(rest && rest < end);
        rest += 6;
        used += (size_t) snprintf(ret + used, size - used, "%.*s\n", (int) (end - rest), rest);
        assert_true(used < size);
        text = end + 1;
    }
}

static void test_all(void **state) {
    const ServiceAnswers answers = { .rows = rows, .after_reply = change };
    Service *service = *state;
    char lines[4096];

    assert_int_equal(service_run(service, &answers, "monitor"), EXIT_FAILED);
    without_times(service->out.text, lines, sizeof lines);
    assert_string_equal(lines, "x  is  state=ready  activity=idle\n"
                               "y  is  state=empty  activity=enrolling\n"
                               "x  changed  activity=renewing\n"
                               "y  changed  last_error=the CA?[2J says no  next_attempt=2023-11-14T22:13:20Z\n"
                               "x  changed\n"
                               "z  added\n"
                               "x  removed\n");
    expect_err(service, ": identityd has left the bus.\n");
}

static void test_one(void **state) {
    const ServiceAnswers answers = { .rows = rows, .after_reply = change };
    Service *service = *state;
    char lines[4096];

    assert_int_equal(service_run(service, &answers, "monitor x"), EXIT_FAILED);
    without_times(service->out.text, lines, sizeof lines);
    assert_string_equal(lines, "x  is  state=ready  activity=idle\n"
                               "x  changed  activity=renewing\n"
                               "x  changed\n"
                               "x  removed\n");
}

/* An object a line, with only what was told. */
static void test_json(void **state) {
    static const char *const events[] = { "is", "is", "changed", "changed", "changed", "added", "removed" };
    const ServiceAnswers answers = { .rows = rows, .after_reply = change };
    Service *service = *state;
    char *position = NULL;
    size_t count = 0;

    assert_int_equal(service_run(service, &answers, "monitor --json"), EXIT_FAILED);
    for (char *line = strtok_r(service->out.text, "\n", &position); line; line = strtok_r(NULL, "\n", &position)) {
        json_t *object = json_loads(line, 0, NULL);
        const json_t *properties = json_object_get(object, "properties");
        assert_int_equal(json_object_size(object), 4);
        assert_true(count < ARRAY_LENGTH(events));
        assert_string_equal(json_string_value(json_object_get(object, "event")), events[count]);
        assert_true(json_is_string(json_object_get(object, "time")));
        if (count == 2) {
            assert_string_equal(json_string_value(json_object_get(object, "identity")), "x");
            assert_int_equal(json_object_size(properties), 1);
            assert_string_equal(json_string_value(json_object_get(properties, "activity")), "renewing");
        }
        assert_int_equal(json_is_null(properties), count >= 5);
        json_decref(object);
        count++;
    }
    assert_int_equal(count, ARRAY_LENGTH(events));
}

static void change_everything(Service *service, const char *member) {
    if (strcmp(member, "ListIdentities") != 0)
        return;
    assert(sd_bus_emit_signal(service_connection(service), IDENTITYD_IDENTITY_PREFIX "/x",
                              "org.freedesktop.DBus.Properties", "PropertiesChanged", "sa{sv}as",
                              IDENTITYD_IDENTITY_INTERFACE, 5, "Generation", "u", 8U, "ReadyByItself", "b", 1,
                              "NextRenewal", "t", UINT64_C(0), "PublicKey", "ay", 2, 0x30, 0x00, "Certificates", "aay",
                              1, 2, 0x30, 0x00, 0) >= 0);
    service_leave(service);
}

/* What is long is only said to have changed. */
static void test_kinds(void **state) {
    const ServiceAnswers answers = { .after_reply = change_everything };
    Service *service = *state;
    char lines[1024];

    assert_int_equal(service_run(service, &answers, "monitor x"), EXIT_FAILED);
    without_times(service->out.text, lines, sizeof lines);
    assert_string_equal(lines, "x  changed  generation=8  ready_by_itself=yes  next_renewal=-  public_key=(changed)  "
                               "certificates=(changed)\n");
}

static void test_bad(void **state) {
    ServiceAnswers answers = { .rows = rows };
    Service *service = *state;

    assert_int_equal(service_run(service, &answers, "monitor y"), EXIT_NOT_FOUND);
    expect_err(service, "cannot find the identity: There is no identity 'y'.");
    answers.refused = "ListIdentities";
    answers.error = "org.freedesktop.DBus.Error.AccessDenied";
    answers.message = "no";
    assert_int_equal(service_run(service, &answers, "monitor"), EXIT_DENIED);
    expect_err(service, "cannot list the identities: the bus or polkit refuses it: no.");
    answers.refused = NULL;
    answers.garbled = "ListIdentities";
    assert_int_equal(service_run(service, &answers, "monitor"), EXIT_FAILED);
    expect_err(service, "cannot understand identityd's answer");
    assert_string_equal(service->out.text, "");
}

static int setup(void **state) {
    *state = service_new();
    return 0;
}

static int teardown(void **state) {
    return service_free(*state) != NULL;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),   cmocka_unit_test(test_one), cmocka_unit_test(test_json),
        cmocka_unit_test(test_kinds), cmocka_unit_test(test_bad),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
