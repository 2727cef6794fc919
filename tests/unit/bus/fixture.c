/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Puts identityd together as main does, without signals. */
#include "tests/unit/bus/fixture.h"

#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

static const char *path_in(const World *world, const char *name) {
    static char buffer[256];

    (void) snprintf(buffer, sizeof buffer, "%s/%s", world->root, name);
    return buffer;
}

static void write_file(const World *world, const char *name, const char *text) {
    FILE *file = fopen(path_in(world, name), "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void make_directories(World *world) {
    static const char *const names[][2] = {
        { "STATE_DIRECTORY", "state" },           { "RUNTIME_DIRECTORY", "runtime" },
        { "CONFIGURATION_DIRECTORY", "etc" },     { "CREDENTIALS_DIRECTORY", "credentials" },
        { "UNUSED_DIRECTORY", "etc/identities" },
    };

    strcpy(world->root, "/tmp/identityd-unit-XXXXXX");
    assert_non_null(mkdtemp(world->root));
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        assert_int_equal(mkdir(path_in(world, names[i][1]), 0700), 0);
        assert_int_equal(setenv(names[i][0], path_in(world, names[i][1]), 1), 0);
    }
}

int world_setup(void **state) {
    World *world = calloc(1, sizeof *world);

    assert_non_null(world);
    make_directories(world);
    world->daemon = test_bus_new();
    assert_int_equal(chmod(test_bus_directory(world->daemon), 0711), 0);
    assert_int_equal(setenv("DBUS_SYSTEM_BUS_ADDRESS", test_bus_address(world->daemon), 1), 0);
    assert_int_equal(sd_event_new(&world->loop), 0);
    world->client = world_connect(world);
    *state = world;
    return 0;
}

void world_start_manager(World *world) {
    char text[512];

    world->ca = fake_ca_new("root", NULL);
    write_file(world, "etc/ca.pem", world->ca->pem);
    (void) snprintf(text, sizeof text, "[TPM]\nTCTI=%s\n", swtpm_tcti(world->swtpm));
    write_file(world, "etc/identityd.conf", text);
    for (unsigned i = 0; i < 2; i++) {
        (void) snprintf(text, sizeof text,
                        "[Identity]\nSubject=CN=%s\n[Enrollment]\nProtocol=manual\nAnchors=%s/etc/ca.pem\n%s%u\n",
                        i ? "other" : "hand", world->root,
                        i ? "[Key]\nAlgorithm=ecdsa-p256\n#" : "[Access]\ndata-raw=user:", (unsigned) getuid());
        write_file(world, i ? "etc/identities/other.conf" : "etc/identities/hand.conf", text);
    }
    assert_int_equal(manager_new(world->loop, &world->manager), 0);
}

int world_setup_whole(void **state) {
    assert_int_equal(world_setup(state), 0);
    World *world = *state;
    assert_int_equal(swtpm_new(&world->swtpm), 0);
    world_start_manager(world);
    assert_int_equal(bus_new(world->loop, world->manager, &world->bus), 0);
    world_until(world, manager_is_settled(world->manager));
    assert_int_equal(bus_request_name(world->bus), 0);
    world_until(world, bus_has_name(world->bus));
    world_settle(world);
    return 0;
}

void world_stop(World *world) {
    world->bus = bus_free(world->bus);
    world->manager = manager_free(world->manager);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *ftw) {
    return remove(path);
}

int world_teardown(void **state) {
    World *world = *state;

    world_stop(world);
    world_polkit(world, POLKIT_ABSENT);
    sd_bus_flush_close_unref(world->client);
    sd_event_unref(world->loop);
    swtpm_free(world->swtpm);
    if (world->ca)
        fake_ca_free(world->ca);
    test_bus_free(world->daemon);
    int r = nftw(world->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(world);
    return r;
}

/* ---- connections ---- */

static sd_bus *connect_unattached(const World *world) {
    sd_bus *connection = NULL;

    assert_int_equal(sd_bus_new(&connection), 0);
    assert_true(sd_bus_set_address(connection, test_bus_address(world->daemon)) >= 0);
    assert_true(sd_bus_set_bus_client(connection, true) >= 0);
    assert_true(sd_bus_negotiate_fds(connection, true) >= 0);
    assert_true(sd_bus_start(connection) >= 0);
    return connection;
}

sd_bus *world_connect(World *world) {
    sd_bus *connection = connect_unattached(world);
    const char *name;

    assert_true(sd_bus_get_unique_name(connection, &name) >= 0);
    assert_true(sd_bus_attach_event(connection, world->loop, 0) >= 0);
    return connection;
}

sd_bus *world_connect_as(World *world, uid_t uid) {
    const char *name;

    if (getuid() != 0)
        return NULL;
    /* Of this thread alone, for the moment at which the kernel notes who connects. */
    assert_int_equal(syscall(SYS_setresuid, -1, uid, -1), 0);
    sd_bus *connection = connect_unattached(world);
    assert_int_equal(syscall(SYS_setresuid, -1, 0, -1), 0);
    assert_true(sd_bus_get_unique_name(connection, &name) >= 0);
    assert_true(sd_bus_attach_event(connection, world->loop, 0) >= 0);
    return connection;
}

/* ---- polkit ---- */

static int read_question(World *world, sd_bus_message *m) {
    const char *kind, *key, *subject, *action, *id, *identity = "";
    int r = sd_bus_message_read(m, "(sa{sv})s", &kind, 1, &key, "s", &subject, &action);

    if (r >= 0)
        r = sd_bus_message_enter_container(m, 'a', "{ss}");
    while (r >= 0 && (r = sd_bus_message_read(m, "{ss}", &key, &identity)) > 0)
        ;
    if (r >= 0)
        r = sd_bus_message_exit_container(m);
    if (r >= 0)
        r = sd_bus_message_read(m, "us", &world->polkit.flags, &id);
    assert_true(r >= 0);
    assert_string_equal(kind, "system-bus-name");
    world->polkit.asked++;
    (void) snprintf(world->polkit.action, sizeof world->polkit.action, "%s", action);
    (void) snprintf(world->polkit.subject, sizeof world->polkit.subject, "%s", subject);
    (void) snprintf(world->polkit.identity, sizeof world->polkit.identity, "%s", identity);
    return r;
}

static int on_question(sd_bus_message *m, void *userdata, sd_bus_error *error) {
    World *world = userdata;

    if (!sd_bus_message_is_method_call(m, "org.freedesktop.PolicyKit1.Authority", "CheckAuthorization"))
        return 0;
    (void) read_question(world, m);
    switch (world->polkit.mood) {
    case POLKIT_SILENT:
        return 1;
    case POLKIT_ERROR:
        return sd_bus_reply_method_errorf(m, "org.freedesktop.PolicyKit1.Error.Failed", "polkit is tired");
    case POLKIT_NONSENSE:
        return sd_bus_reply_method_return(m, "sb", "yes", true);
    default:
        return sd_bus_reply_method_return(m, "(bba{ss})", world->polkit.mood == POLKIT_YES,
                                          world->polkit.mood == POLKIT_CHALLENGE, 0);
    }
}

void world_polkit(World *world, PolkitMood mood) {
    world->polkit.mood = mood;
    if (mood == POLKIT_ABSENT)
        world->polkit.bus = sd_bus_flush_close_unref(world->polkit.bus);
    else if (!world->polkit.bus) {
        world->polkit.bus = world_connect(world);
        assert_true(sd_bus_add_object(world->polkit.bus, NULL, "/org/freedesktop/PolicyKit1/Authority", on_question,
                                      world) >= 0);
        assert_true(sd_bus_request_name(world->polkit.bus, "org.freedesktop.PolicyKit1", 0) >= 0);
    }
}

/* ---- turns ---- */

uint64_t world_now(void) {
    struct timespec now;

    (void) clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000000U + (uint64_t) now.tv_nsec / 1000U;
}

void world_turn(World *world) {
    assert_true(sd_event_run(world->loop, 1000000U) >= 0);
}

void world_settle(World *world) {
    for (uint64_t end = world_now() + 100000U; world_now() < end;)
        assert_true(sd_event_run(world->loop, 10000U) >= 0);
}

/* ---- calls ---- */

void reply_clear(Reply *reply) {
    reply->message = sd_bus_message_unref(reply->message);
    *reply = (Reply) { .done = false };
}

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
    Reply *reply = userdata;
    const sd_bus_error *error = sd_bus_message_get_error(m);

    reply->done = true;
    if (!error) {
        reply->message = sd_bus_message_ref(m);
        return 1;
    }
    (void) snprintf(reply->error, sizeof reply->error, "%s", error->name);
    (void) snprintf(reply->text, sizeof reply->text, "%s", error->message ? error->message : "");
    return 1;
}

void world_send(sd_bus_message *m, Reply *reply) {
    *reply = (Reply) { .done = false };
    assert_true(sd_bus_call_async(sd_bus_message_get_bus(m), NULL, m, on_reply, reply, 60000000U) >= 0);
    sd_bus_message_unref(m);
}

sd_bus_message *world_message(sd_bus *client, const char *path, const char *member) {
    sd_bus_message *m = NULL;

    assert_true(sd_bus_message_new_method_call(client, &m, IDENTITYD_BUS_NAME, path ? path : IDENTITYD_MANAGER_PATH,
                                               path ? IDENTITYD_IDENTITY_INTERFACE : IDENTITYD_MANAGER_INTERFACE,
                                               member) >= 0);
    return m;
}

void world_finish(World *world, Reply *reply) {
    world_until(world, reply->done);
}

void world_call(World *world, const char *path, const char *member, Reply *ret, const char *types, ...) {
    sd_bus_message *m = world_message(world->client, path, member);
    va_list arguments;

    reply_clear(ret);
    va_start(arguments, types);
    assert_true(sd_bus_message_appendv(m, types, arguments) >= 0);
    va_end(arguments);
    world_send(m, ret);
    world_finish(world, ret);
}

gnutls_datum_t world_certify(const World *world, const void *request, size_t size) {
    const gnutls_datum_t der = { (unsigned char *) request, (unsigned) size };
    gnutls_datum_t certified = { NULL, 0 };
    gnutls_x509_crq_t crq;
    gnutls_x509_crt_t crt;

    assert_int_equal(gnutls_x509_crq_init(&crq), 0);
    assert_int_equal(gnutls_x509_crq_import(crq, &der, GNUTLS_X509_FMT_DER), 0);
    assert_int_equal(gnutls_x509_crt_init(&crt), 0);
    assert_int_equal(gnutls_x509_crt_set_crq(crt, crq), 0);
    assert_int_equal(gnutls_x509_crt_set_version(crt, 3), 0);
    assert_int_equal(gnutls_x509_crt_set_serial(crt, "\x07", 1), 0);
    assert_int_equal(gnutls_x509_crt_set_activation_time(crt, time(NULL)), 0);
    assert_int_equal(gnutls_x509_crt_set_expiration_time(crt, time(NULL) + 3600), 0);
    assert_int_equal(gnutls_x509_crt_set_basic_constraints(crt, 0, -1), 0);
    assert_int_equal(gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_DIGITAL_SIGNATURE), 0);
    assert_int_equal(gnutls_x509_crt_privkey_sign(crt, world->ca->certificate, world->ca->key, GNUTLS_DIG_SHA256, 0),
                     0);
    assert_int_equal(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_DER, &certified), 0);
    gnutls_x509_crt_deinit(crt);
    gnutls_x509_crq_deinit(crq);
    return certified;
}

void world_make_ready(World *world) {
    _cleanup_reply_ Reply reply = { .done = false };
    const void *request;
    size_t size;

    world_call(world, HAND, "CreateRequest", &reply, "a{sv}", 0);
    assert_answered(&reply);
    assert_true(sd_bus_message_read_array(reply.message, 'y', &request, &size) >= 0);
    gnutls_datum_t der = world_certify(world, request, size);
    sd_bus_message *m = world_message(world->client, HAND, "InstallCertificate");
    assert_true(sd_bus_message_open_container(m, 'a', "ay") >= 0);
    assert_true(sd_bus_message_append_array(m, 'y', der.data, der.size) >= 0);
    assert_true(sd_bus_message_close_container(m) >= 0);
    gnutls_free(der.data);
    reply_clear(&reply);
    world_send(m, &reply);
    world_finish(world, &reply);
    assert_answered(&reply);
}

const char *world_text(World *world, const char *path, const char *name) {
    static char text[256];
    _cleanup_reply_ Reply reply = { .done = false };
    sd_bus_message *m = NULL;
    const char *value;

    assert_true(sd_bus_message_new_method_call(world->client, &m, IDENTITYD_BUS_NAME, path,
                                               "org.freedesktop.DBus.Properties", "Get") >= 0);
    assert_true(sd_bus_message_append(m, "ss",
                                      strcmp(path, IDENTITYD_MANAGER_PATH) == 0 ? IDENTITYD_MANAGER_INTERFACE
                                                                                : IDENTITYD_IDENTITY_INTERFACE,
                                      name) >= 0);
    world_send(m, &reply);
    world_finish(world, &reply);
    assert_answered(&reply);
    assert_true(sd_bus_message_read(reply.message, "v", "s", &value) >= 0);
    (void) snprintf(text, sizeof text, "%s", value);
    return text;
}
