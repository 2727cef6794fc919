/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copies of messages, made of nothing but what is known to be small. */
#include "bus/envelope.h"

#include "common/macros.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define DEPTH_MAX 8U /* of containers in containers: what we are called with has three */

static int new_unsealed(sd_bus_message *message, sd_bus_message **ret) {
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *copy = NULL;
    const char *sender = sd_bus_message_get_sender(message);
    uint8_t type = 0;

    (void) sd_bus_message_get_type(message, &type);
    if (type != SD_BUS_MESSAGE_METHOD_CALL || !sender)
        return -EBADMSG;
    int r = sd_bus_message_new_method_call(sd_bus_message_get_bus(message), &copy,
                                           sd_bus_message_get_destination(message), sd_bus_message_get_path(message),
                                           sd_bus_message_get_interface(message), sd_bus_message_get_member(message));
    if (r >= 0)
        r = sd_bus_message_set_sender(copy, sender);
    if (r >= 0)
        r = sd_bus_message_set_expect_reply(copy, sd_bus_message_get_expect_reply(message));
    if (r >= 0)
        r = sd_bus_message_set_allow_interactive_authorization(
            copy, sd_bus_message_get_allow_interactive_authorization(message));
    if (r < 0)
        return r;
    *ret = TAKE_PTR(copy);
    return 0;
}

/* Answers name the number of what they answer: the copy has the same. */
static int seal(sd_bus_message *copy, sd_bus_message *message) {
    uint64_t number;
    int r = sd_bus_message_get_cookie(message, &number);

    return r < 0 ? r : sd_bus_message_seal(copy, number, 0);
}

static int take(size_t *left, size_t size) {
    if (size > *left)
        return -E2BIG;
    *left -= size;
    return 0;
}

static size_t size_of(char type, const void *value) {
    switch (type) {
    case SD_BUS_TYPE_STRING:
    case SD_BUS_TYPE_OBJECT_PATH:
    case SD_BUS_TYPE_SIGNATURE:
        return strlen(value) + 1U;
    case SD_BUS_TYPE_BYTE:
        return 1;
    default:
        return sizeof(uint64_t);
    }
}

static int copy_basic(sd_bus_message *from, sd_bus_message *to, char type, size_t *left) {
    union {
        const char *text;
        uint64_t number;
        int boolean;
    } value = { 0 };
    bool is_text = type == SD_BUS_TYPE_STRING || type == SD_BUS_TYPE_OBJECT_PATH || type == SD_BUS_TYPE_SIGNATURE;

    if (type == SD_BUS_TYPE_UNIX_FD)
        return -EPERM;
    int r = sd_bus_message_read_basic(from, type, &value);
    if (r >= 0)
        r = take(left, size_of(type, is_text ? value.text : NULL));
    return r < 0 ? r : sd_bus_message_append_basic(to, type, is_text ? (const void *) value.text : &value);
}

/* Bytes in one go: there may be tens of thousands. */
static int copy_bytes(sd_bus_message *from, sd_bus_message *to, size_t *left) {
    const void *data;
    size_t size;
    int r = sd_bus_message_read_array(from, SD_BUS_TYPE_BYTE, &data, &size);

    if (r >= 0)
        r = take(left, size + sizeof(uint32_t));
    return r < 0 ? r : sd_bus_message_append_array(to, SD_BUS_TYPE_BYTE, data, size);
}

static int copy_all(sd_bus_message *from, sd_bus_message *to, size_t *left, unsigned depth);

static int copy_container(sd_bus_message *from, sd_bus_message *to, char type, const char *contents, size_t *left,
                          unsigned depth) {
    if (depth == 0)
        return -E2BIG;
    int r = take(left, sizeof(uint32_t));
    if (r >= 0)
        r = sd_bus_message_open_container(to, type, contents);
    if (r >= 0)
        r = sd_bus_message_enter_container(from, type, contents);
    if (r >= 0)
        r = copy_all(from, to, left, depth - 1U);
    if (r >= 0)
        r = sd_bus_message_exit_container(from);
    return r < 0 ? r : sd_bus_message_close_container(to);
}

static int copy_all(sd_bus_message *from, sd_bus_message *to, size_t *left, unsigned depth) {
    const char *contents;
    char type;
    int r;

    while ((r = sd_bus_message_peek_type(from, &type, &contents)) > 0) {
        if (type == SD_BUS_TYPE_ARRAY && strcmp(contents, "y") == 0)
            r = copy_bytes(from, to, left);
        else if (contents)
            r = copy_container(from, to, type, contents, left, depth);
        else
            r = copy_basic(from, to, type, left);
        if (r < 0)
            return r;
    }
    return r;
}

int envelope_new(sd_bus_message *message, sd_bus_message **ret) {
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *copy = NULL;
    int r = new_unsealed(message, &copy);

    if (r >= 0)
        r = seal(copy, message);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(copy);
    return 0;
}

int envelope_with_body(sd_bus_message *message, size_t *size, sd_bus_message **ret) {
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *copy = NULL;
    size_t left = *size;
    int r = new_unsealed(message, &copy);

    if (r >= 0)
        r = sd_bus_message_rewind(message, true);
    if (r >= 0)
        r = copy_all(message, copy, &left, DEPTH_MAX);
    if (r >= 0)
        r = seal(copy, message);
    if (r < 0)
        return r;
    *size -= left;
    *ret = TAKE_PTR(copy);
    return 0;
}
