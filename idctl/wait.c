/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idctl wait: until identities are in a state. It asks once and then goes by signals; identityd may start, be activated
 * by the question, or be started again meanwhile. */
#include "common/names.h"
#include "idctl/identity.h"
#include "idctl/output.h"
#include "idctl/verbs.h"
#include "idctl/wait-rules.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define WAIT_TIMEOUT_DEFAULT "60s"
#define WAIT_IDENTITIES_MAX  64U

typedef struct Wait Wait;

typedef struct Awaited {
    Wait *wait;
    const char *identity;
    char *path;
    sd_bus_slot *question;
    IdentityProperties properties; /* while identityd is there and has answered */
    char *said;                    /* the last remark about it */
} Awaited;

struct Wait {
    Bus bus;
    const char *state;
    bool quiet, ended;
    ExitCode code;
    Awaited *list;
    size_t count;
};

static void wait_clear(Wait *wait) {
    for (size_t i = 0; i < wait->count; i++) {
        sd_bus_slot_unref(wait->list[i].question);
        identity_properties_clear(&wait->list[i].properties);
        free(wait->list[i].path);
        free(wait->list[i].said);
    }
    free(wait->list);
    bus_close(&wait->bus);
}

static void end(Wait *wait, ExitCode code) {
    wait->ended = true;
    wait->code = code;
}

/* Whether it has told all that is judged. */
static bool facts_of(const Awaited *awaited, WaitFacts *ret) {
    const IdentityProperties *properties = &awaited->properties;

    if (!properties->state || !properties->activity || !properties->last_error)
        return false;
    *ret = (WaitFacts) {
        .state = properties->state,
        .activity = properties->activity,
        .last_error = properties->last_error,
        .next_attempt = properties->next_attempt,
        .ready_by_itself = properties->ready_by_itself,
    };
    return true;
}

/* Each change once. */
static void remark(Awaited *awaited, const WaitFacts *facts) {
    char *text = wait_describe(facts, 0);

    if (text && !awaited->wait->quiet && (!awaited->said || strcmp(awaited->said, text) != 0)) {
        _cleanup_free_ char *printable = printable_copy(text);
        fprintf(stderr, "%s: %s\n", awaited->identity, printable ? printable : "");
    }
    free(awaited->said);
    awaited->said = text;
}

/* Ends when all are there, or when what all of them say makes it known that one will not be. */
static void judge(Wait *wait) {
    size_t reached = 0, known = 0, in_vain = 0;
    WaitFacts facts;

    for (size_t i = 0; i < wait->count; i++) {
        if (!facts_of(&wait->list[i], &facts))
            continue;
        known++;
        WaitVerdict verdict = wait_judge(wait->state, &facts);
        reached += verdict == WAIT_REACHED;
        in_vain += verdict == WAIT_IN_VAIN;
        if (verdict == WAIT_GOES_ON)
            remark(&wait->list[i], &facts);
    }
    if (reached == wait->count)
        end(wait, EXIT_OK);
    if (known < wait->count || in_vain == 0)
        return;
    for (size_t i = 0; i < wait->count; i++)
        if (facts_of(&wait->list[i], &facts) && wait_judge(wait->state, &facts) == WAIT_IN_VAIN) {
            _cleanup_free_ char *text = wait_describe(&facts, time_now());
            complain("%s does not become %s by itself: %s. %s", wait->list[i].identity, wait->state, text ? text : "",
                     wait_advice(&facts));
        }
    end(wait, EXIT_FAILED);
}

/* ---- what identityd says ---- */

/* Errors that say that nobody is there to answer, or no more: somebody may come. */
static bool is_absence(const sd_bus_error *error) {
    static const char *const names[] = { SD_BUS_ERROR_SERVICE_UNKNOWN,
                                         SD_BUS_ERROR_NAME_HAS_NO_OWNER,
                                         SD_BUS_ERROR_NO_REPLY,
                                         SD_BUS_ERROR_DISCONNECTED,
                                         SD_BUS_ERROR_TIMEOUT,
                                         IDENTITYD_ERROR_PREFIX "NotReady" /* identityd stops */ };
    static const char *const prefixes[] = { "org.freedesktop.DBus.Error.Spawn.", "org.freedesktop.systemd1." };

    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        if (sd_bus_error_has_name(error, names[i]))
            return true;
    for (size_t i = 0; i < ARRAY_LENGTH(prefixes); i++)
        if (strncmp(error->name, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

static int on_answer(sd_bus_message *message, void *userdata, sd_bus_error *unused) {
    Awaited *awaited = userdata;
    Wait *wait = awaited->wait;
    const sd_bus_error *error = sd_bus_message_get_error(message);

    awaited->question = sd_bus_slot_unref(awaited->question);
    if (error && is_absence(error))
        return 0;
    if (error && bus_error_exit_code(error->name) == EXIT_NOT_FOUND) {
        complain("there is no identity \"%s\": no file configures it, or \"idctl reload\" has not been run since.",
                 awaited->identity);
        end(wait, EXIT_NOT_FOUND);
        return 0;
    }
    if (error) {
        end(wait, bus_complain(error, 0, "look at the identity"));
        return 0;
    }
    int r = identity_properties_read(message, &awaited->properties);
    if (r < 0)
        end(wait, bus_complain(NULL, r, "understand the identity's properties"));
    else
        judge(wait);
    return 0;
}

/* The answer has no time limit: identityd may be activated by the question, which takes what it takes, and
 * the whole has one. */
static int ask(Awaited *awaited) {
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;

    awaited->question = sd_bus_slot_unref(awaited->question);
    int r = sd_bus_message_new_method_call(awaited->wait->bus.bus, &call, IDENTITYD_BUS_NAME, awaited->path,
                                           "org.freedesktop.DBus.Properties", "GetAll");
    if (r >= 0)
        r = sd_bus_message_append(call, "s", IDENTITYD_IDENTITY_INTERFACE);
    return r < 0 ? r
                 : sd_bus_call_async(awaited->wait->bus.bus, &awaited->question, call, on_answer, awaited, UINT64_MAX);
}

static int ask_all(Wait *wait) {
    int r = 0;

    for (size_t i = 0; r >= 0 && i < wait->count; i++)
        r = ask(&wait->list[i]);
    return r;
}

static Awaited *find(Wait *wait, const char *path) {
    for (size_t i = 0; i < wait->count; i++)
        if (strcmp(wait->list[i].path, path) == 0)
            return &wait->list[i];
    return NULL;
}

static int on_changed(sd_bus_message *message, void *userdata, sd_bus_error *error) {
    Wait *wait = userdata;
    Awaited *awaited = find(wait, sd_bus_message_get_path(message));
    const char *interface;

    if (!awaited || sd_bus_message_read(message, "s", &interface) < 0 ||
        strcmp(interface, IDENTITYD_IDENTITY_INTERFACE) != 0)
        return 0;
    if (identity_properties_read(message, &awaited->properties) >= 0)
        judge(wait);
    return 0;
}

static int on_removed(sd_bus_message *message, void *userdata, sd_bus_error *error) {
    Wait *wait = userdata;
    const Awaited *awaited;
    const char *path;

    if (sd_bus_message_read(message, "o", &path) < 0 || !(awaited = find(wait, path)))
        return 0;
    complain("the configuration of %s went while it was waited for.", awaited->identity);
    end(wait, EXIT_NOT_FOUND);
    return 0;
}

/* What an identityd that went has said counts no more; one that comes is asked. */
static int on_owner(sd_bus_message *message, void *userdata, sd_bus_error *error) {
    Wait *wait = userdata;
    const char *name, *old_owner, *new_owner;

    if (sd_bus_message_read(message, "sss", &name, &old_owner, &new_owner) < 0)
        return 0;
    for (size_t i = 0; i < wait->count; i++)
        identity_properties_clear(&wait->list[i].properties);
    if (new_owner[0] == '\0') {
        if (!wait->quiet)
            fprintf(stderr, "identityd is not running; waiting for it\n");
        return 0;
    }
    int r = ask_all(wait);
    if (r < 0)
        end(wait, bus_complain(NULL, r, "ask identityd"));
    return 0;
}

static int subscribe(Wait *wait) {
    int r = sd_bus_add_match(wait->bus.bus, NULL,
                             "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',"
                             "member='NameOwnerChanged',arg0='" IDENTITYD_BUS_NAME "'",
                             on_owner, wait);
    if (r >= 0)
        r = sd_bus_add_match(wait->bus.bus, NULL,
                             "type='signal',sender='" IDENTITYD_BUS_NAME "',path_namespace='" IDENTITYD_IDENTITY_PREFIX
                             "',interface='org.freedesktop.DBus.Properties',member='PropertiesChanged'",
                             on_changed, wait);
    if (r >= 0)
        r = sd_bus_match_signal(wait->bus.bus, NULL, IDENTITYD_BUS_NAME, NULL, "org.freedesktop.DBus.ObjectManager",
                                "InterfacesRemoved", on_removed, wait);
    return r;
}

/* ---- the wait ---- */

/* Suspend counts, as it does for whoever waits for us. */
static uint64_t boottime(void) {
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t) now.tv_sec * 1000000U + (uint64_t) now.tv_nsec / 1000U;
}

static void tell_timeout(const Wait *wait, const char *timeout) {
    WaitFacts facts;

    for (size_t i = 0; i < wait->count; i++) {
        const char *identity = wait->list[i].identity;
        bool known = facts_of(&wait->list[i], &facts);
        _cleanup_free_ char *text = known ? wait_describe(&facts, time_now()) : NULL;
        if (!known)
            complain("%s is not %s after %s: identityd does not answer. \"systemctl status identityd.service\" says "
                     "whether it runs, \"journalctl -u identityd.service\" why not.",
                     identity, wait->state, timeout);
        else if (wait_judge(wait->state, &facts) != WAIT_REACHED)
            complain("%s is not %s after %s: %s. \"idctl show %s\" says more.", identity, wait->state, timeout,
                     text ? text : "", identity);
    }
}

static ExitCode follow(Wait *wait, uint64_t limit, const char *timeout) {
    uint64_t begun = boottime();

    while (!wait->ended) {
        int r = sd_bus_process(wait->bus.bus, NULL);
        if (r > 0)
            continue;
        uint64_t passed = boottime() - begun;
        if (r == 0 && passed >= limit) {
            tell_timeout(wait, timeout);
            return EXIT_FAILED;
        }
        if (r == 0)
            r = sd_bus_wait(wait->bus.bus, limit == WAIT_FOR_EVER ? UINT64_MAX : limit - passed);
        if (r < 0 && r != -EINTR)
            return bus_complain(NULL, r, "wait for identityd");
    }
    return wait->code;
}

static int add_all(Wait *wait, const Command *command) {
    wait->list = calloc(command->count, sizeof wait->list[0]);
    if (!wait->list)
        return -ENOMEM;
    for (size_t i = 0; i < command->count; i++) {
        _cleanup_free_ char *path = NULL;
        int r = sd_bus_path_encode(IDENTITYD_IDENTITY_PREFIX, command->arguments[i], &path);
        if (r < 0)
            return r;
        if (!find(wait, path)) /* once, however often it was named */
            wait->list[wait->count++] =
                (Awaited) { .wait = wait, .identity = command->arguments[i], .path = TAKE_PTR(path) };
    }
    return 0;
}

static ExitCode read_arguments(const Command *command, Wait *wait, const char **ret_timeout, uint64_t *ret_limit) {
    const char *timeout = command_value(command, "timeout"), *state = command_value(command, "state");

    wait->quiet = command_has(command, "quiet");
    wait->state = state ? state : "ready";
    *ret_timeout = timeout ? timeout : WAIT_TIMEOUT_DEFAULT;
    if (!wait_state_is_known(wait->state)) {
        complain("--state %s: that is no state; see STATES in identityd(8).", wait->state);
        return EXIT_USAGE;
    }
    if (wait_timeout_parse(*ret_timeout, ret_limit) < 0) {
        complain("--timeout %s: must be a number and one of s, min, h, d, w, such as 5min, or infinity.", *ret_timeout);
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < command->count; i++)
        if (!identity_name_is_valid(command->arguments[i])) {
            complain("\"%s\" cannot be the name of an identity.", command->arguments[i]);
            return EXIT_USAGE;
        }
    return EXIT_OK;
}

static ExitCode wait_run(const Command *command) {
    _cleanup_(wait_clear) Wait wait = { .code = EXIT_FAILED };
    const char *timeout;
    uint64_t limit;

    ExitCode code = read_arguments(command, &wait, &timeout, &limit);
    if (code == EXIT_OK)
        code = bus_open(command, false, &wait.bus);
    if (code != EXIT_OK)
        return code;
    int r = add_all(&wait, command);
    if (r >= 0)
        r = subscribe(&wait);
    if (r >= 0)
        r = ask_all(&wait);
    return r < 0 ? bus_complain(NULL, r, "ask identityd") : follow(&wait, limit, timeout);
}

static const Option wait_options[] = {
    { "state", 0, "STATE", "The state to wait for; default ready" },
    { "timeout", 0, "TIME", "When to give up, such as 5min, or infinity; default " WAIT_TIMEOUT_DEFAULT },
    { NULL },
};

const Verb verb_wait = {
    .name = "wait",
    .synopsis = "IDENTITY...",
    .summary = "Wait until identities are ready",
    .options = wait_options,
    .minimum = 1,
    .maximum = WAIT_IDENTITIES_MAX,
    .run = wait_run,
};
