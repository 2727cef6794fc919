/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls on the bus, by root and by a user without rights: identityd's own objects on a real dbus-daemon, with two
 * identities. The input is a list of calls: which member, of which object, with which types, and the values. Each gets
 * one answer, an error has a text and a name of ours or of D-Bus, and what that user may not do is refused in whatever
 * words he asks. */
#include "scratch.h"

#include "tests/unit/bus/fixture.h"

#define DEPTH_MAX       4U
#define INPUT_CALLS_MAX 8U

#define NOBODY 65534

static World *world;
static sd_bus *nobody; /* NULL where we are not root */

static void end(void) {
    void *state = world;

    sd_bus_flush_close_unref(nobody);
    (void) world_teardown(&state);
}

static void begin(void) {
    void *state = NULL;

    require(setenv("TSS2_LOG", "all+NONE", 1) == 0 && world_setup_whole(&state) == 0);
    world = state;
    nobody = world_connect_as(world, NOBODY);
    require(atexit(end) == 0);
}

/* What callers say first; the input may say anything else. */
static const struct {
    const char *member, *types;
    bool of_identity, of_rights;
} members[] = {
    { "GetIdentity", "s", false, false },
    { "ListIdentities", "", false, false },
    { "OpenCredential", "ssa{sv}", false, true },
    { "Sign", "ssay", true, true },
    { "OpenCredential", "sa{sv}", true, true },
    { "InstallCertificate", "aay", true, true },
    { "CreateRequest", "a{sv}", true, true },
    { "Renew", "a{sv}", true, true },
    { "Enroll", "a{sv}", true, true },
    { "Retire", "", true, true },
    { "Reload", "", false, true },
    { "Metrics", "", false, false },
    { "ListForgotten", "", false, false },
    { "Forget", "s", false, true },
    { "ResetClock", "", true, true },
    { "ProbeServer", "s", false, true },
};

static const char *choose_text(BytesView *rest) {
    static const char *const texts[] = { "hand",       "other",      "data",
                                         "tls-client", "digest",     "ecdsa_secp256r1_sha256",
                                         "new-key",    "rotate-key", "",
                                         "data-raw",   "raw",        "cms" };
    static char buffer[4096]; /* taken over by the message at once */
    uint8_t first = choose(rest);

    if (first < ARRAY_LENGTH(texts))
        return texts[first];
    BytesView bytes = first & 0x80 ? choose_sized(rest) : choose_bytes(rest, first);
    size_t size = 0;
    for (size_t i = 0; i < bytes.size && size < sizeof buffer - 1U; i++) /* sd-bus wants UTF-8 of whoever appends */
        if (bytes.data[i] > 0 && bytes.data[i] < 0x80)
            buffer[size++] = (char) bytes.data[i];
    buffer[size] = '\0';
    return buffer;
}

static int append_one(sd_bus_message *message, const char **types, BytesView *rest, unsigned depth);

static const char *skip_one(const char *types) {
    unsigned open = 0;

    while (*types == 'a')
        types++;
    for (; *types; types++) {
        open += *types == '(' || *types == '{';
        open -= (*types == ')' || *types == '}') && open > 0;
        if (open == 0)
            return types + 1;
    }
    return types;
}

static int append_array(sd_bus_message *message, const char **types, BytesView *rest, unsigned depth) {
    const char *element = *types, *after = skip_one(element);
    char contents[32];

    if ((size_t) (after - element) >= sizeof contents || after == element)
        return -EINVAL;
    memcpy(contents, element, (size_t) (after - element));
    contents[after - element] = '\0';
    *types = after;
    if (strcmp(contents, "y") == 0) {
        BytesView bytes = choose_sized(rest);
        return sd_bus_message_append_array(message, 'y', bytes.data, bytes.size);
    }
    int r = sd_bus_message_open_container(message, 'a', contents);
    uint8_t count = choose(rest) % 20;
    while (r >= 0 && count-- > 0) {
        const char *again = contents;
        r = append_one(message, &again, rest, depth + 1);
    }
    return r < 0 ? r : sd_bus_message_close_container(message);
}

static int append_entry(sd_bus_message *message, const char **types, BytesView *rest, unsigned depth) {
    int r = sd_bus_message_open_container(message, 'e', "sv");

    if (strncmp(*types, "sv}", 3) != 0)
        return -EINVAL;
    for (unsigned i = 0; r >= 0 && i < 2; i++)
        r = append_one(message, types, rest, depth + 1);
    (*types)++;
    return r < 0 ? r : sd_bus_message_close_container(message);
}

static int append_variant(sd_bus_message *message, BytesView *rest, unsigned depth) {
    static const char *const contents[] = { "b", "s", "u", "v", "ay", "a{sv}", "h", "o" };
    const char *types = contents[choose(rest) % ARRAY_LENGTH(contents)];
    int r = sd_bus_message_open_container(message, 'v', types);

    if (r >= 0)
        r = append_one(message, &types, rest, depth + 1);
    return r < 0 ? r : sd_bus_message_close_container(message);
}

static int append_one(sd_bus_message *message, const char **types, BytesView *rest, unsigned depth) {
    char type = *(*types)++;
    int32_t number = choose(rest);

    if (depth > DEPTH_MAX)
        return -ELOOP;
    switch (type) {
    case 's':
        return sd_bus_message_append_basic(message, 's', choose_text(rest));
    case 'o':
        return sd_bus_message_append_basic(message, 'o', "/org/identityd1");
    case 'b':
        number &= 1;
        return sd_bus_message_append_basic(message, 'b', &number);
    case 'u':
        return sd_bus_message_append_basic(message, 'u', &number);
    case 'h':
        number = STDERR_FILENO;
        return sd_bus_message_append_basic(message, 'h', &number);
    case 'a':
        return append_array(message, types, rest, depth);
    case '{':
        return append_entry(message, types, rest, depth);
    case 'v':
        return append_variant(message, rest, depth);
    default:
        return -EINVAL;
    }
}

static void check_reply(const Reply *reply) {
    require(reply->done);
    if (reply->message)
        return;
    require(reply->error[0] && reply->text[0]);
    require(strncmp(reply->error, "org.identityd1.Error.", 21) == 0 ||
            strncmp(reply->error, "org.freedesktop.DBus.Error.", 27) == 0 ||
            strncmp(reply->error, "System.Error.", 13) == 0);
}

/* One call; false where it cannot be made at all. */
static bool call(BytesView *rest) {
    static const char *const paths[] = { NULL, HAND, OTHER, IDENTITYD_IDENTITY_PREFIX "/none" };
    _cleanup_reply_ Reply reply = { .done = false };
    uint8_t first = choose(rest), how = choose(rest);
    size_t member = first % ARRAY_LENGTH(members);
    const char *types = members[member].types;
    const char *path = members[member].of_identity ? paths[1 + how % 3U] : NULL;

    if (how & 0x80) /* another object, or another member's types */
        path = paths[how % 4U];
    if (how & 0x40)
        types = members[(first >> 4) % ARRAY_LENGTH(members)].types;
    sd_bus *client = how & 0x20 && nobody ? nobody : world->client;
    sd_bus_message *message = world_message(client, path, members[member].member);
    int r = 0;
    while (r >= 0 && *types)
        r = append_one(message, &types, rest, 0);
    if (r < 0) {
        sd_bus_message_unref(message);
        return false;
    }
    world_send(message, &reply);
    world_finish(world, &reply);
    check_reply(&reply);
    require(client != nobody || !members[member].of_rights || reply.error[0]);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    BytesView rest = { data, size };

    if (!world)
        begin();
    for (unsigned i = 0; i < INPUT_CALLS_MAX && rest.size > 0 && call(&rest); i++)
        ;
    return 0;
}
