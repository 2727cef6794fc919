/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Long calls: the method call is pending while PropertiesChanged of the same object shows what is being done. On a
 * terminal one line that is written anew, elsewhere a line per change. */
#include "idctl/bus.h"

#include "common/names.h"
#include "idctl/identity.h"
#include "idctl/output.h"

#include <stdio.h>
#include <string.h>

typedef struct Progress {
    const char *identity;
    IdentityProperties properties; /* as far as changes have told them */
    uint64_t begun;
    bool shown, on_terminal, drawn, finished;
    sd_bus_message *reply;
} Progress;

static void progress_clear(Progress *progress) {
    if (progress->drawn)
        fputs("\r\033[K", stderr);
    identity_properties_clear(&progress->properties);
    sd_bus_message_unref(progress->reply);
}

static void progress_draw(Progress *progress) {
    _cleanup_free_ char *next = NULL;
    const char *activity = progress->properties.activity;
    char elapsed[32];

    if (!progress->shown || !activity)
        return;
    if (strcmp(activity, "waiting") == 0)
        next = time_to_text(progress->properties.next_attempt, time_now());
    if (!progress->on_terminal) {
        fprintf(stderr, "%s: %s%s%s\n", progress->identity, activity, next ? ", next attempt " : "", next ? next : "");
        return;
    }
    fprintf(stderr, "\r\033[K%s: %s%s%s … %s", progress->identity, activity, next ? ", next attempt " : "",
            next ? next : "", duration_to_text(time_now() - progress->begun, elapsed));
    fflush(stderr);
    progress->drawn = true;
}

static int on_changed(sd_bus_message *message, void *userdata, sd_bus_error *error) {
    Progress *progress = userdata;
    _cleanup_free_ char *before = NULL;

    if (progress->properties.activity && !(before = strdup(progress->properties.activity)))
        return -ENOMEM;
    if (sd_bus_message_skip(message, "s") < 0 || identity_properties_read(message, &progress->properties) < 0)
        return 0;
    if (progress->properties.activity && (!before || strcmp(before, progress->properties.activity) != 0))
        progress_draw(progress);
    return 0;
}

static int on_reply(sd_bus_message *message, void *userdata, sd_bus_error *error) {
    Progress *progress = userdata;

    progress->reply = sd_bus_message_ref(message);
    progress->finished = true;
    return 1;
}

static int wait_for_reply(sd_bus *bus, Progress *progress) {
    while (!progress->finished) {
        int r = sd_bus_process(bus, NULL);
        if (r < 0)
            return r;
        if (r > 0)
            continue;
        r = sd_bus_wait(bus, progress->on_terminal ? 1000000U : UINT64_MAX);
        if (r < 0 && r != -EINTR)
            return r;
        if (r == 0 && progress->on_terminal)
            progress_draw(progress);
    }
    return 0;
}

/* What is long waits until whoever sends it is known to be permitted, and then for being sent once more. */
static int copy_call(sd_bus_message *call, sd_bus_message **ret) {
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *again = NULL;
    int r = sd_bus_message_new_method_call(sd_bus_message_get_bus(call), &again, sd_bus_message_get_destination(call),
                                           sd_bus_message_get_path(call), sd_bus_message_get_interface(call),
                                           sd_bus_message_get_member(call));
    if (r >= 0)
        r = sd_bus_message_rewind(call, true);
    if (r >= 0)
        r = sd_bus_message_copy(again, call, true);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(again);
    return 0;
}

static int call_and_wait(sd_bus *bus, sd_bus_message *call, Progress *progress) {
    _cleanup_(sd_bus_slot_unrefp) sd_bus_slot *pending = NULL;
    int r = sd_bus_call_async(bus, &pending, call, on_reply, progress, (uint64_t) BUS_LONG_CALL_SECONDS * 1000000U);

    return r < 0 ? r : wait_for_reply(bus, progress);
}

ExitCode bus_call_long(Bus *bus, sd_bus_message *call, const char *identity, const char *what,
                       sd_bus_message **ret_reply) {
    _cleanup_(progress_clear) Progress progress = { .identity = identity, .begun = time_now(), .shown = !bus->quiet };
    _cleanup_(sd_bus_slot_unrefp) sd_bus_slot *match = NULL;

    progress.on_terminal = progress.shown && isatty(STDERR_FILENO);
    int r = sd_bus_match_signal(bus->bus, &match, IDENTITYD_BUS_NAME, sd_bus_message_get_path(call),
                                "org.freedesktop.DBus.Properties", "PropertiesChanged", on_changed, &progress);
    if (r >= 0)
        r = call_and_wait(bus->bus, call, &progress);
    if (r >= 0 && sd_bus_message_is_method_error(progress.reply, IDENTITYD_ERROR_PREFIX "SendAgain")) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *again = NULL;
        progress.reply = sd_bus_message_unref(progress.reply);
        progress.finished = false;
        r = copy_call(call, &again);
        if (r >= 0)
            r = call_and_wait(bus->bus, again, &progress);
    }
    if (progress.drawn) {
        fputs("\r\033[K", stderr);
        progress.drawn = false;
    }
    if (r < 0)
        return bus_complain(NULL, r, what);
    if (sd_bus_message_is_method_error(progress.reply, NULL))
        return bus_complain(sd_bus_message_get_error(progress.reply), 0, what);
    if (ret_reply)
        *ret_reply = TAKE_PTR(progress.reply);
    return EXIT_OK;
}
