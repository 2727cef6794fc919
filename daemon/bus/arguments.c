/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads the bodies of messages. sd-bus has held their signatures against the vtables by then. */
#include "bus/arguments.h"

#include "common/names.h"

#include <string.h>

#define INVALID IDENTITYD_ERROR_PREFIX "InvalidArgument"

static int refuse_option(const char *key, const char *name, sd_bus_error *error) {
    Failure failure = FAILURE_INIT; /* a name that is cut may end within a character: a failure's text never does */

    (void) failure_set(&failure, -EINVAL, FAILURE_INVALID_ARGUMENT, "Unknown or repeated option \"%.64s\"; known: %s.",
                       key, name ? name : "none");
    return sd_bus_error_set(error, INVALID, failure.text);
}

/* One {sv} of an a{sv}, after its key. */
static int read_boolean(sd_bus_message *message, const char *name, int *ret, sd_bus_error *error) {
    const char *contents;

    if (sd_bus_message_peek_type(message, NULL, &contents) < 0 || strcmp(contents, "b") != 0)
        return sd_bus_error_setf(error, INVALID, "The option \"%s\" is a boolean.", name);
    return sd_bus_message_read(message, "v", "b", ret);
}

int arguments_read_option(sd_bus_message *message, const char *name, Arguments *ret, sd_bus_error *error) {
    int value = -1;
    int r = sd_bus_message_enter_container(message, 'a', "{sv}");

    while (r >= 0 && (r = sd_bus_message_enter_container(message, 'e', "sv")) > 0) {
        const char *key;
        r = sd_bus_message_read(message, "s", &key);
        if (r < 0)
            return r;
        if (!name || strcmp(key, name) != 0 || value >= 0)
            return refuse_option(key, name, error);
        r = read_boolean(message, name, &value, error);
        if (r >= 0)
            r = sd_bus_message_exit_container(message);
    }
    if (r >= 0)
        r = sd_bus_message_exit_container(message);
    if (r < 0)
        return r;
    ret->option = value;
    return 0;
}

int arguments_read_sign(sd_bus_message *message, Arguments *ret, sd_bus_error *error) {
    const char *framing, *scheme;
    const void *data;
    size_t size;
    int r = sd_bus_message_read(message, "ss", &framing, &scheme);

    if (r >= 0)
        r = sd_bus_message_read_array(message, 'y', &data, &size);
    if (r < 0)
        return r;
    if (strlen(scheme) > SCHEME_NAME_MAX)
        return sd_bus_error_setf(error, INVALID, "The name of a signature scheme has at most %u bytes, not %zu.",
                                 SCHEME_NAME_MAX, strlen(scheme));
    if (size > SIGN_MESSAGE_MAX)
        return sd_bus_error_setf(error, INVALID, "A message to sign has at most %u bytes, not %zu.", SIGN_MESSAGE_MAX,
                                 size);
    ret->framing = framing;
    ret->scheme = scheme;
    ret->message = (BytesView) { data, size };
    return 0;
}

int arguments_read_chain(sd_bus_message *message, Arguments *ret, sd_bus_error *error) {
    size_t count = 0;
    int r = sd_bus_message_enter_container(message, 'a', "ay");

    for (;;) {
        const void *data;
        size_t size;
        if (r >= 0)
            r = sd_bus_message_read_array(message, 'y', &data, &size);
        if (r <= 0)
            break;
        if (count == MANUAL_CHAIN_MAX)
            return sd_bus_error_setf(error, INVALID, "A chain has 1 to %u certificates, leaf first; more came.",
                                     MANUAL_CHAIN_MAX);
        if (size > MANUAL_CERTIFICATE_MAX)
            return sd_bus_error_setf(error, INVALID, "A certificate has at most %u bytes; number %zu has %zu.",
                                     MANUAL_CERTIFICATE_MAX, count + 1U, size);
        ret->chain[count++] = (BytesView) { data, size };
    }
    if (r < 0)
        return r;
    ret->chain_count = count;
    return 0;
}

/* ---- keeping ---- */

static size_t size_of_text(const char *text) {
    return text ? strlen(text) + 1U : 0;
}

size_t arguments_size(const Arguments *arguments) {
    size_t size = size_of_text(arguments->name) + size_of_text(arguments->framing) + size_of_text(arguments->scheme) +
                  arguments->message.size;

    for (size_t i = 0; i < arguments->chain_count; i++)
        size += arguments->chain[i].size;
    return size;
}

static uint8_t *keep_bytes(BytesView *view, uint8_t *at) {
    if (view->size > 0)
        memcpy(at, view->data, view->size);
    view->data = at;
    return at + view->size;
}

static uint8_t *keep_text(const char **text, uint8_t *at) {
    BytesView view = { (const uint8_t *) *text, size_of_text(*text) };

    if (!*text)
        return at;
    *text = (const char *) at;
    return keep_bytes(&view, at);
}

int arguments_keep(Arguments *arguments) {
    if (arguments->kept)
        return 0;
    uint8_t *at = malloc(arguments_size(arguments) + 1U);
    if (!at)
        return -ENOMEM;
    arguments->kept = at;
    at = keep_text(&arguments->name, at);
    at = keep_text(&arguments->framing, at);
    at = keep_text(&arguments->scheme, at);
    at = keep_bytes(&arguments->message, at);
    for (size_t i = 0; i < arguments->chain_count; i++)
        at = keep_bytes(&arguments->chain[i], at);
    return 0;
}

void arguments_clear(Arguments *arguments) {
    free(arguments->kept);
    *arguments = (Arguments) { .option = 0 };
}
