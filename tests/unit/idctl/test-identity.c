/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The properties of an identity as they come over a bus: all of them, some of them, unknown ones, and what is none. */
#include "idctl/identity.h"

#include "common/names.h"
#include "fakes/test-bus.h"
#include "idctl/output.h"
#include "tests/unit/common/test.h"

#include <string.h>

typedef struct Fixture {
    TestBus *daemon;
    sd_bus *bus;
} Fixture;

/* A message whose body is written by the test, and read again from its beginning. */
static sd_bus_message *begin(const Fixture *fixture) {
    sd_bus_message *message = NULL;

    assert_true(sd_bus_message_new_signal(fixture->bus, &message, "/a", "a.b", "C") >= 0);
    return message;
}

static void add_text(sd_bus_message *message, const char *name, const char *value) {
    assert_true(sd_bus_message_append(message, "{sv}", name, "s", value) >= 0);
}

static void seal(sd_bus_message *message) {
    assert_true(sd_bus_message_seal(message, 1, 0) >= 0);
    assert_true(sd_bus_message_rewind(message, true) >= 0);
}

static void add_bytes(sd_bus_message *message, const char *name, unsigned count) {
    static const uint8_t der[] = { 0x30, 0x00 };

    assert_true(sd_bus_message_open_container(message, 'e', "sv") >= 0);
    assert_true(sd_bus_message_append(message, "s", name) >= 0);
    assert_true(sd_bus_message_open_container(message, 'v', "aay") >= 0);
    assert_true(sd_bus_message_open_container(message, 'a', "ay") >= 0);
    for (unsigned i = 0; i < count; i++)
        assert_true(sd_bus_message_append_array(message, 'y', der, sizeof der) >= 0);
    for (unsigned i = 0; i < 3; i++)
        assert_true(sd_bus_message_close_container(message) >= 0);
}

static void test_all(void **state) {
    static const char *const texts[] = { "Name",         "State",  "Activity",     "LastError",  "Subject",
                                         "SerialNumber", "Issuer", "KeyAlgorithm", "ClockSource" };
    static const char *const times[] = { "NotBefore", "NotAfter", "NextAttempt", "NextRenewal", "ClockFloor" };
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = begin(*state);
    _cleanup_properties_ IdentityProperties properties = { 0 };

    assert_true(sd_bus_message_open_container(message, 'a', "{sv}") >= 0);
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++)
        add_text(message, texts[i], texts[i]);
    for (size_t i = 0; i < ARRAY_LENGTH(times); i++)
        assert_true(sd_bus_message_append(message, "{sv}", times[i], "t", (uint64_t) (i + 1) * 1000000U) >= 0);
    assert_true(sd_bus_message_append(message, "{sv}", "Generation", "u", 7U) >= 0);
    assert_true(sd_bus_message_append(message, "{sv}", "ReadyByItself", "b", 1) >= 0);
    assert_true(sd_bus_message_append(message, "{sv}", "PublicKey", "ay", 2, 0x30, 0x00) >= 0);
    add_bytes(message, "Certificates", 2);
    add_bytes(message, "Anchors", 1);
    add_text(message, "OfALaterVersion", "x");
    assert_true(sd_bus_message_close_container(message) >= 0);
    seal(message);
    assert_int_equal(identity_properties_read(message, &properties), 0);
    assert_string_equal(properties.name, "Name");
    assert_string_equal(properties.clock_source, "ClockSource");
    assert_int_equal(properties.not_before, 1000000);
    assert_int_equal(properties.clock_floor, 5000000);
    assert_int_equal(properties.generation, 7);
    assert_true(properties.ready_by_itself);
    assert_int_equal(properties.public_key.size, 2);
    assert_int_equal(properties.certificates.count, 2);
    assert_int_equal(properties.anchors.count, 1);

    _cleanup_json_ json_t *object = identity_properties_to_json(&properties);
    assert_int_equal(json_object_size(object), 20);
    assert_string_equal(json_string_value(json_object_get(object, "last_error")), "LastError");
    assert_string_equal(json_string_value(json_object_get(object, "not_after")), "1970-01-01T00:00:02Z");
    assert_true(json_is_true(json_object_get(object, "ready_by_itself")));
    assert_int_equal(json_array_size(json_object_get(object, "certificates")), 2);
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++)
        assert_non_null(json_object_get(object, identity_property_json_name(texts[i])));
    assert_null(identity_property_json_name("OfALaterVersion"));
}

/* A change tells some: they replace what was there, and the others stay. */
static void test_some(void **state) {
    _cleanup_properties_ IdentityProperties properties = { 0 };

    for (unsigned i = 0; i < 3; i++) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = begin(*state);
        assert_true(sd_bus_message_open_container(message, 'a', "{sv}") >= 0);
        if (i == 0)
            add_text(message, "State", "empty");
        if (i == 1)
            add_text(message, "State", "ready");
        add_bytes(message, "Certificates", 3U - i);
        assert_true(sd_bus_message_append(message, "{sv}", "ReadyByItself", "b", i == 0) >= 0);
        assert_true(sd_bus_message_close_container(message) >= 0);
        seal(message);
        assert_int_equal(identity_properties_read(message, &properties), 0);
        assert_string_equal(properties.state, i == 0 ? "empty" : "ready");
        assert_int_equal(properties.certificates.count, 3U - i);
        assert_int_equal(properties.ready_by_itself, i == 0);
    }
    assert_null(properties.name); /* was never told */
    _cleanup_json_ json_t *object = identity_properties_to_json(&properties);
    assert_true(json_is_null(json_object_get(object, "name")));
    assert_true(json_is_null(json_object_get(object, "not_after")));
}

/* What has another type than the interface says ends the reading, and nothing is made of it. */
static void test_wrong_types(void **state) {
    static const char *const names[] = { "State",     "ReadyByItself", "Generation", "NotAfter",
                                         "PublicKey", "Certificates",  "PeerCRLs" };

    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = begin(*state);
        _cleanup_properties_ IdentityProperties properties = { 0 };
        assert_true(sd_bus_message_append(message, "a{sv}", 1, names[i], "d", 1.0) >= 0);
        seal(message);
        assert_true(identity_properties_read(message, &properties) < 0);
        assert_null(properties.state);
        assert_int_equal(properties.generation + properties.not_after + properties.certificates.count, 0);
    }
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = begin(*state);
    _cleanup_properties_ IdentityProperties properties = { 0 };
    assert_true(sd_bus_message_append(message, "s", "no dictionary") >= 0);
    seal(message);
    assert_true(identity_properties_read(message, &properties) < 0);
}

/* A chain without end is not kept. */
static void test_too_many(void **state) {
    for (unsigned more = 0; more < 2; more++) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = begin(*state);
        _cleanup_properties_ IdentityProperties properties = { 0 };
        assert_true(sd_bus_message_open_container(message, 'a', "{sv}") >= 0);
        add_bytes(message, "Certificates", IDENTITY_CERTIFICATES_MAX + more);
        assert_true(sd_bus_message_close_container(message) >= 0);
        seal(message);
        assert_int_equal(identity_properties_read(message, &properties), more ? -E2BIG : 0);
        assert_int_equal(properties.certificates.count, more ? 0 : IDENTITY_CERTIFICATES_MAX);
    }
}

static void test_options(void **state) {
    for (unsigned i = 0; i < 3; i++) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = begin(*state);
        const char *name = NULL;
        int value = -1;
        assert_true(bus_append_option(message, "new-key", i > 0, i == 1) >= 0);
        seal(message);
        if (i == 0) {
            assert_true(sd_bus_message_read(message, "a{sv}", 0) >= 0);
            continue;
        }
        assert_true(sd_bus_message_read(message, "a{sv}", 1, &name, "b", &value) > 0);
        assert_string_equal(name, "new-key");
        assert_int_equal(value, i == 1);
    }
}

/* Names are judged before anybody is asked for them. */
static void test_paths(void **state) {
    Fixture *fixture = *state;
    Bus bus = { .bus = fixture->bus };
    char *path = NULL;

    assert_int_equal(bus_identity_path(&bus, "No Name", &path), EXIT_USAGE);
    assert_int_equal(bus_identity_path(&bus, "", &path), EXIT_USAGE);
    assert_int_equal(bus_identity_path(&bus, "x", &path), EXIT_FAILED); /* there is no identityd on this bus */
    assert_null(path);
}

static int setup(void **state) {
    Fixture *fixture = calloc(1, sizeof *fixture);

    assert_non_null(fixture);
    fixture->daemon = test_bus_new();
    assert_true(sd_bus_new(&fixture->bus) >= 0);
    assert_true(sd_bus_set_address(fixture->bus, test_bus_address(fixture->daemon)) >= 0);
    assert_true(sd_bus_set_bus_client(fixture->bus, true) >= 0);
    assert_true(sd_bus_start(fixture->bus) >= 0);
    *state = fixture;
    return 0;
}

static int teardown(void **state) {
    Fixture *fixture = *state;

    sd_bus_flush_close_unref(fixture->bus);
    test_bus_free(fixture->daemon);
    free(fixture);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),      cmocka_unit_test(test_some),    cmocka_unit_test(test_wrong_types),
        cmocka_unit_test(test_too_many), cmocka_unit_test(test_options), cmocka_unit_test(test_paths),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
