/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See service.h. In the service's thread assert() is used: cmocka's own would jump into the other thread's stack. */
#undef NDEBUG
#include "service.h"

#include "common/macros.h"
#include "common/names.h"
#include "fakes/test-bus.h"
#include "idctl/certificates.h"
#include "idctl/identity.h"

#include <assert.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <stdlib.h>
#include <sys/eventfd.h>

struct ServiceBus {
    TestBus *daemon;
    sd_bus *bus;
    pthread_t thread;
    int stop_fd;
    bool has_name;
};

static const char *text_or_empty(const char *text) {
    return text ? text : "";
}

sd_bus *service_connection(Service *service) {
    return service->inner->bus;
}

void service_leave(Service *service) {
    assert(sd_bus_release_name(service->inner->bus, IDENTITYD_BUS_NAME) >= 0);
    service->inner->has_name = false;
}

void service_changed(Service *service, const char *name, const char *property, const char *value, uint64_t next) {
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *signal = NULL;
    char path[128];

    (void) snprintf(path, sizeof path, IDENTITYD_IDENTITY_PREFIX "/%s", name);
    assert(sd_bus_message_new_signal(service->inner->bus, &signal, path, "org.freedesktop.DBus.Properties",
                                     "PropertiesChanged") >= 0);
    assert(sd_bus_message_append(signal, "s", IDENTITYD_IDENTITY_INTERFACE) >= 0);
    if (next > 0)
        assert(sd_bus_message_append(signal, "a{sv}", 2, property, "s", value, "NextAttempt", "t", next) >= 0);
    else
        assert(sd_bus_message_append(signal, "a{sv}", 1, property, "s", value) >= 0);
    assert(sd_bus_message_append(signal, "as", 0) >= 0);
    assert(sd_bus_send(NULL, signal, NULL) >= 0);
}

/* ---- replies ---- */

static void append_array(sd_bus_message *reply, const char *name, const gnutls_datum_t *der) {
    assert(sd_bus_message_open_container(reply, 'e', "sv") >= 0 && sd_bus_message_append(reply, "s", name) >= 0);
    assert(sd_bus_message_open_container(reply, 'v', "aay") >= 0);
    assert(sd_bus_message_open_container(reply, 'a', "ay") >= 0);
    if (der->size > 0)
        assert(sd_bus_message_append_array(reply, 'y', der->data, der->size) >= 0);
    for (unsigned i = 0; i < 3; i++)
        assert(sd_bus_message_close_container(reply) >= 0);
}

static void append_properties(const ServiceAnswers *answers, sd_bus_message *reply) {
    const struct {
        const char *name, *value;
    } texts[] = {
        { "Name", "x" },
        { "State", text_or_empty(answers->state) },
        { "Activity", text_or_empty(answers->activity) },
        { "LastError", text_or_empty(answers->last_error) },
        { "Subject", "CN=x" },
        { "SerialNumber", "0a1b" },
        { "Issuer", "CN=the CA" },
        { "KeyAlgorithm", "ecdsa-p256" },
        { "ClockSource", text_or_empty(answers->clock_source) },
    };

    assert(sd_bus_message_open_container(reply, 'a', "{sv}") >= 0);
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++)
        if (!answers->untold || strcmp(answers->untold, texts[i].name) != 0)
            assert(sd_bus_message_append(reply, "{sv}", texts[i].name, "s", texts[i].value) >= 0);
    assert(sd_bus_message_append(reply, "{sv}", "Generation", "u", answers->generation) >= 0);
    assert(sd_bus_message_append(reply, "{sv}", "NotAfter", "t", answers->not_after) >= 0);
    if (answers->not_before > 0)
        assert(sd_bus_message_append(reply, "{sv}", "NotBefore", "t", answers->not_before) >= 0);
    assert(sd_bus_message_append(reply, "{sv}", "NextAttempt", "t", answers->next_attempt) >= 0);
    append_array(reply, "Certificates", &answers->certificate);
    append_array(reply, "Anchors", &answers->anchor);
    assert(sd_bus_message_close_container(reply) >= 0);
}

static void append_rows(const Service *service, sd_bus_message *reply) {
    const ServiceRow *row = service->reloaded ? service->answers.rows_after_reload : service->answers.rows;

    assert(sd_bus_message_open_container(reply, 'a', "(sosstt)") >= 0);
    for (; row && row->name; row++)
        assert(sd_bus_message_append(reply, "(sosstt)", row->name, IDENTITYD_IDENTITY_PREFIX "/x", row->state,
                                     row->activity, row->not_after, row->next_renewal) >= 0);
    assert(sd_bus_message_close_container(reply) >= 0);
}

/* Of the Manager. */
static const char *property_of(const Service *service) {
    for (size_t i = 0; service->answers.manager && service->answers.manager[i][0]; i++)
        if (strcmp(service->answers.manager[i][0], service->property) == 0)
            return service->answers.manager[i][1];
    return text_or_empty(service->answers.tpm_problem);
}

static void append_reply(Service *service, const char *member, sd_bus_message *reply) {
    const ServiceAnswers *answers = &service->answers;

    if (answers->garbled && strcmp(member, answers->garbled) == 0)
        assert(sd_bus_message_append(reply, "u", 7U) >= 0);
    else if (strcmp(member, "GetIdentity") == 0)
        assert(sd_bus_message_append(reply, "o", IDENTITYD_IDENTITY_PREFIX "/x") >= 0);
    else if (strcmp(member, "GetAll") == 0)
        append_properties(answers, reply);
    else if (strcmp(member, "Get") == 0)
        assert(sd_bus_message_append(reply, "v", "s", property_of(service)) >= 0);
    else if (strcmp(member, "ProbeServer") == 0)
        assert(sd_bus_message_append(reply, "s", text_or_empty(answers->probed)) >= 0);
    else if (strcmp(member, "ListIdentities") == 0)
        append_rows(service, reply);
    else if (strcmp(member, "ListForgotten") == 0)
        assert(sd_bus_message_append_strv(reply, (char **) (uintptr_t) answers->forgotten) >= 0);
    else if (strcmp(member, "Metrics") == 0)
        assert(sd_bus_message_append(reply, "s", text_or_empty(answers->metrics)) >= 0);
    else if (strcmp(member, "CreateRequest") == 0)
        assert(sd_bus_message_append_array(reply, 'y', answers->request, strlen(answers->request)) >= 0);
    else if (strcmp(member, "Reload") == 0)
        service->reloaded = true;
}

static void note_chain(const char *member, sd_bus_message *call, char *ret, size_t room) {
    BytesArray chain = { 0 };
    _cleanup_certificates_ CertificateList certificates = { 0 };

    assert(bytes_array_read(call, &chain) >= 0);
    assert(certificates_from_der(chain.list, chain.count, &certificates) >= 0);
    (void) snprintf(ret, room, "%s %s first, %zu;", member, certificates.list[0]->is_ca ? "CA" : "leaf", chain.count);
    bytes_array_clear(&chain);
}

/* Notes a method that does something, as "Member argument;". */
static void note(Service *service, const char *member, sd_bus_message *call) {
    size_t used = strlen(service->asked);
    char *end = service->asked + used;
    size_t room = sizeof service->asked - used;
    const char *text;
    int truth;

    service->interactive += sd_bus_message_get_allow_interactive_authorization(call) > 0;
    if (sd_bus_message_has_signature(call, "a{sv}")) {
        assert(sd_bus_message_enter_container(call, 'a', "{sv}") >= 0);
        if (sd_bus_message_read(call, "{sv}", &text, "b", &truth) > 0)
            (void) snprintf(end, room, "%s %s=%s;", member, text, truth ? "true" : "false");
        else
            (void) snprintf(end, room, "%s;", member);
    } else if (sd_bus_message_has_signature(call, "s") && sd_bus_message_read(call, "s", &text) > 0)
        (void) snprintf(end, room, "%s %s;", member, text);
    else if (sd_bus_message_has_signature(call, "aay"))
        note_chain(member, call, end, room);
    else
        (void) snprintf(end, room, "%s;", member);
}

static bool is_question(const char *member) {
    return strncmp(member, "Get", 3) == 0 || strncmp(member, "List", 4) == 0;
}

static int on_call(sd_bus_message *call, void *userdata, sd_bus_error *error) {
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    Service *service = userdata;
    const ServiceAnswers *answers = &service->answers;
    const char *member = sd_bus_message_get_member(call), *name;

    if (sd_bus_message_is_method_call(call, NULL, NULL) <= 0)
        return 0;
    if (!is_question(member))
        note(service, member, call);
    if (answers->before_reply)
        answers->before_reply(service, member);
    if (answers->refused && strcmp(answers->refused, member) == 0)
        return sd_bus_reply_method_errorf(call, answers->error, "%s", answers->message);
    if (strcmp(member, "GetIdentity") == 0 && sd_bus_message_read(call, "s", &name) > 0 && strcmp(name, "x") != 0)
        return sd_bus_reply_method_errorf(call, IDENTITYD_ERROR_PREFIX "NoSuchIdentity", "There is no identity '%s'.",
                                          name);
    if (strcmp(member, "Get") == 0)
        assert(sd_bus_message_read(call, "ss", NULL, &service->property) > 0);
    assert(sd_bus_message_new_method_return(call, &reply) >= 0);
    append_reply(service, member, reply);
    assert(sd_bus_send(NULL, reply, NULL) >= 0);
    if (answers->after_reply)
        answers->after_reply(service, member);
    return 1;
}

/* ---- the thread ---- */

static void *serve(void *userdata) {
    Service *service = userdata;
    const struct ServiceBus *inner = service->inner;
    struct pollfd items[2] = {
        { .fd = inner->stop_fd, .events = POLLIN },
        { .fd = sd_bus_get_fd(inner->bus), .events = POLLIN },
    };

    while (!(items[0].revents & POLLIN)) {
        while (sd_bus_process(inner->bus, NULL) > 0)
            ;
        assert(sd_bus_flush(inner->bus) >= 0);
        (void) poll(items, ARRAY_LENGTH(items), -1);
    }
    return NULL;
}

static void begin(Service *service) {
    struct ServiceBus *inner = service->inner;

    if (!inner->has_name)
        assert_true(sd_bus_request_name(inner->bus, IDENTITYD_BUS_NAME, 0) >= 0);
    inner->has_name = true;
    service->reloaded = false;
    service->asked[0] = '\0';
    service->interactive = 0;
    assert_int_equal(pthread_create(&inner->thread, NULL, serve, service), 0);
}

static void end(Service *service) {
    struct ServiceBus *inner = service->inner;
    eventfd_t unused;

    assert_int_equal(eventfd_write(inner->stop_fd, 1), 0);
    assert_int_equal(pthread_join(inner->thread, NULL), 0);
    assert_int_equal(eventfd_read(inner->stop_fd, &unused), 0);
}

Service *service_new(void) {
    Service *service = calloc(1, sizeof *service);
    struct ServiceBus *inner = calloc(1, sizeof *inner);

    assert_non_null(service);
    assert_non_null(inner);
    service->inner = inner;
    inner->daemon = test_bus_new();
    inner->stop_fd = eventfd(0, EFD_CLOEXEC);
    assert_true(inner->stop_fd >= 0);
    assert_int_equal(setenv("DBUS_SYSTEM_BUS_ADDRESS", test_bus_address(inner->daemon), 1), 0);
    assert_int_equal(setenv("NO_COLOR", "1", 1), 0);
    assert_int_equal(setenv("TZ", "UTC", 1), 0);
    assert_true(sd_bus_open_system(&inner->bus) >= 0);
    assert_true(sd_bus_add_filter(inner->bus, NULL, on_call, service) >= 0);
    return service;
}

Service *service_free(Service *service) {
    struct ServiceBus *inner = service->inner;

    sd_bus_flush_close_unref(inner->bus);
    test_bus_free(inner->daemon);
    close(inner->stop_fd);
    free(inner);
    free(service);
    return NULL;
}

/* ---- runs ---- */

static const Verb *const verbs[] = {
    &verb_check,  &verb_enroll, &verb_forget,  &verb_install,     &verb_list,   &verb_metrics, &verb_monitor,
    &verb_reload, &verb_renew,  &verb_request, &verb_reset_clock, &verb_retire, &verb_show,    &verb_version,
};

static ExitCode run(int argc, char **argv) {
    Command command;

    for (size_t i = 0; i < ARRAY_LENGTH(verbs); i++)
        if (strcmp(verbs[i]->name, argv[0]) == 0) {
            ExitCode code = command_parse(&idctl_program, verbs[i], argc, argv, &command);
            return code == _EXIT_CONTINUE ? verbs[i]->run(&command) : code;
        }
    fail_msg("no verb %s", argv[0]);
    return EXIT_USAGE;
}

/* The terminal's other end, or -1. */
static int input_begin(const Service *service) {
    int master = -1, slave = open("/dev/null", O_RDONLY | O_CLOEXEC);

    if (service->typed) {
        close(slave);
        assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
        assert_int_equal(write(master, service->typed, strlen(service->typed)), strlen(service->typed));
        assert_true(dup2(slave, STDERR_FILENO) >= 0);
    }
    clearerr(stdin);
    assert_true(dup2(slave, STDIN_FILENO) >= 0);
    close(slave);
    return master;
}

/* Nothing more is written to the terminal then, and what was is in its buffer. */
static void input_end(Service *service, int input, int master) {
    size_t used = 0;

    fflush(stderr);
    if (master >= 0) {
        assert_int_equal(fcntl(master, F_SETFL, O_NONBLOCK), 0);
        for (ssize_t n = 1; n > 0 && used<sizeof service->terminal - 1; used += n> 0 ? (size_t) n : 0)
            n = read(master, service->terminal + used, sizeof service->terminal - 1 - used);
    }
    service->terminal[used] = '\0';
    assert_true(dup2(input, STDIN_FILENO) >= 0);
    close(input);
    if (master >= 0)
        close(master);
}

ExitCode service_run(Service *service, const ServiceAnswers *answers, const char *line) {
    char copy[256], *argv[16] = { NULL }, *position = NULL;
    int argc = 0;

    assert_true(snprintf(copy, sizeof copy, "%s", line) < (int) sizeof copy);
    for (char *word = strtok_r(copy, " ", &position); word; word = strtok_r(NULL, " ", &position))
        argv[argc++] = word;
    service->answers = *answers;
    begin(service);
    said_begin(stderr, &service->err);
    said_begin(stdout, &service->out);
    int input = dup(STDIN_FILENO), terminal = input_begin(service);
    ExitCode code = run(argc, argv);
    input_end(service, input, terminal);
    (void) said_end(&service->out);
    (void) said_end(&service->err);
    end(service);
    return code;
}

static void expect(const Service *service, bool as_wanted, const char *what, const char *words) {
    if (!as_wanted)
        fail_msg("%s: expected \"%s\". Output:\n%s\nErrors:\n%s\nAsked: %s", what, words, service->out.text,
                 service->err.text, service->asked);
}

void expect_out(const Service *service, const char *words) {
    expect(service, strstr(service->out.text, words) != NULL, "standard output", words);
}

void expect_err(const Service *service, const char *words) {
    expect(service, strstr(service->err.text, words) != NULL, "standard error", words);
}

void expect_all(const Service *service, const char *out, const char *err) {
    expect(service, strcmp(service->out.text, out) == 0, "standard output, whole", out);
    expect(service, strcmp(service->err.text, err) == 0, "standard error, whole", err);
}
