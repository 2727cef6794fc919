/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Each property of an identity, of one that has them all: the view of `hand` is made up here. */
#include "tests/unit/bus/fixture.h"

#include "common/macros.h"

#include <string.h>

int __real_identity_view(const Identity *identity, IdentityView *ret);
int __wrap_identity_view(const Identity *identity, IdentityView *ret);

static bool is_made_up;

#define BYTES(text) ((BytesView) { (const uint8_t *) (text), sizeof(text) - 1 })

int __wrap_identity_view(const Identity *identity, IdentityView *ret) {
    static const PeerCrlShown crls[] = {
        { "http://a/\n", "CN=a", "no\x1b answer", 31, 32, 33 },
        { "http://b/", "CN=b", "", 41, 42, 43 },
    };
    static const BytesView certificates[] = { BYTES("leaf"), BYTES("above") }, anchors[] = { BYTES("root") };

    if (!is_made_up)
        return __real_identity_view(identity, ret);
    *ret = (IdentityView) {
        .name = "name",
        .state = "state",
        .activity = "activity",
        .last_error = "error\nof two lines",
        .ready_by_itself = true,
        .generation = 7,
        .subject = "subject",
        .serial_number = "serial",
        .issuer = "issuer\xff",
        .key_algorithm = "algorithm",
        .not_before = 11,
        .not_after = 12,
        .next_attempt = 13,
        .next_renewal = 14,
        .clock_floor = 15,
        .clock_source = "source",
        .public_key = BYTES("key"),
        .certificates = malloc(sizeof certificates),
        .certificate_count = ARRAY_LENGTH(certificates),
        .anchors = malloc(sizeof anchors),
        .anchor_count = ARRAY_LENGTH(anchors),
        .peer_crls = malloc(sizeof crls),
        .peer_crl_count = ARRAY_LENGTH(crls),
    };
    memcpy(ret->certificates, certificates, sizeof certificates);
    memcpy(ret->anchors, anchors, sizeof anchors);
    memcpy(ret->peer_crls, crls, sizeof crls);
    return 0;
}

/* The value of one property, ready to be read. */
static sd_bus_message *get(World *world, const char *name, const char *type, Reply *ret) {
    sd_bus_message *m = NULL;

    reply_clear(ret);
    assert_true(sd_bus_message_new_method_call(world->client, &m, IDENTITYD_BUS_NAME, HAND,
                                               "org.freedesktop.DBus.Properties", "Get") >= 0);
    assert_true(sd_bus_message_append(m, "ss", IDENTITYD_IDENTITY_INTERFACE, name) >= 0);
    world_send(m, ret);
    world_finish(world, ret);
    assert_answered(ret);
    assert_true(sd_bus_message_enter_container(ret->message, 'v', type) > 0);
    return ret->message;
}

static void test_texts(void **state) {
    static const char *const texts[][2] = {
        { "Name", "name" },           { "State", "state" },
        { "Activity", "activity" },   { "LastError", "error of two lines" },
        { "Subject", "subject" },     { "Issuer", "issuer?" },
        { "SerialNumber", "serial" }, { "KeyAlgorithm", "algorithm" },
        { "ClockSource", "source" },
    };
    World *world = *state;
    _cleanup_reply_ Reply reply = { .done = false };
    const char *text;

    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++) {
        assert_true(sd_bus_message_read(get(world, texts[i][0], "s", &reply), "s", &text) > 0);
        assert_string_equal(text, texts[i][1]);
    }
}

static void test_numbers(void **state) {
    static const struct {
        const char *name;
        uint64_t time;
    } times[] = {
        { "NotBefore", 11 }, { "NotAfter", 12 }, { "NextAttempt", 13 }, { "NextRenewal", 14 }, { "ClockFloor", 15 },
    };
    World *world = *state;
    _cleanup_reply_ Reply reply = { .done = false };
    uint64_t time;
    uint32_t number;
    int truth;

    for (size_t i = 0; i < ARRAY_LENGTH(times); i++) {
        assert_true(sd_bus_message_read(get(world, times[i].name, "t", &reply), "t", &time) > 0);
        assert_true(time == times[i].time);
    }
    assert_true(sd_bus_message_read(get(world, "Generation", "u", &reply), "u", &number) > 0);
    assert_int_equal(number, 7);
    assert_true(sd_bus_message_read(get(world, "ReadyByItself", "b", &reply), "b", &truth) > 0);
    assert_int_equal(truth, 1);
}

static void expect_bytes(sd_bus_message *m, const char *text) {
    const void *data;
    size_t size;

    assert_true(sd_bus_message_read_array(m, 'y', &data, &size) > 0);
    assert_int_equal(size, strlen(text));
    assert_memory_equal(data, text, size);
}

static void test_bytes(void **state) {
    World *world = *state;
    _cleanup_reply_ Reply reply = { .done = false };

    expect_bytes(get(world, "PublicKey", "ay", &reply), "key");
    sd_bus_message *m = get(world, "Certificates", "aay", &reply);
    assert_true(sd_bus_message_enter_container(m, 'a', "ay") > 0);
    expect_bytes(m, "leaf");
    expect_bytes(m, "above");
    assert_int_equal(sd_bus_message_at_end(m, false), 1);
    m = get(world, "Anchors", "aay", &reply);
    assert_true(sd_bus_message_enter_container(m, 'a', "ay") > 0);
    expect_bytes(m, "root");
    assert_int_equal(sd_bus_message_at_end(m, false), 1);
}

static void test_peer_crls(void **state) {
    World *world = *state;
    _cleanup_reply_ Reply reply = { .done = false };
    const char *url, *issuer, *error;
    uint64_t begins, ends, next;

    sd_bus_message *m = get(world, "PeerCRLs", "a(ssttts)", &reply);
    assert_true(sd_bus_message_enter_container(m, 'a', "(ssttts)") > 0);
    assert_true(sd_bus_message_read(m, "(ssttts)", &url, &issuer, &begins, &ends, &next, &error) > 0);
    assert_string_equal(url, "http://a/ ");
    assert_string_equal(issuer, "CN=a");
    assert_string_equal(error, "no? answer");
    assert_true(begins == 31 && ends == 32 && next == 33);
    assert_true(sd_bus_message_read(m, "(ssttts)", &url, &issuer, &begins, &ends, &next, &error) > 0);
    assert_string_equal(url, "http://b/");
    assert_string_equal(error, "");
    assert_true(begins == 41 && ends == 42 && next == 43);
    assert_int_equal(sd_bus_message_at_end(m, false), 1);
}

static int setup(void **state) {
    is_made_up = false;
    int r = world_setup_whole(state);

    is_made_up = true;
    return r;
}

static int teardown(void **state) {
    is_made_up = false;
    return world_teardown(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_peer_crls),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
