/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A stand-in for identityd at its edges, the bus and the handles. One thread serves everything; the test's thread
 * changes what is to be served under `lock`. */
#undef NDEBUG
#include "fakes/fake-identityd.h"

#include "common/access-rule.h"
#include "common/certificate-verify.h"
#include "common/handle-protocol.h"
#include "common/names.h"
#include "common/packet.h"
#include "common/scheme.h"
#include "common/tlv.h"
#include "fakes/fake-pki.h"
#include "fakes/test-bus.h"

#include <assert.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>

#define IDENTITIES_MAX  8U
#define GENERATIONS_MAX 16U
#define HANDLES_MAX     128U

typedef struct Identity {
    char *name, *state, *chain, *anchors, *crls;
    uint32_t generation;
    gnutls_privkey_t keys[GENERATIONS_MAX];
    FailureKind blocked;
} Identity;

typedef struct Handle {
    int fd; /* -1: free */
    Identity *identity;
    Purpose purpose;
} Handle;

struct FakeIdentityd {
    TestBus *bus;
    sd_bus *connection;
    sd_bus_slot *slot;
    pthread_t thread;
    pthread_mutex_t lock;
    int wake_fd;
    bool quit, on_bus;

    Identity identities[IDENTITIES_MAX];
    Handle handles[HANDLES_MAX];
    FakeFault fault;
    const char *error_name, *error_message, *device_id;
    unsigned opened, asked, made;
    PacketBuffer buffer;
};

/* ---- States ---- */

static void add_file(Bytes *kinds, int *fds, size_t *count, uint8_t kind, const char *text) {
    if (!text)
        return;
    assert(bytes_append(kinds, (BytesView) { &kind, 1 }) == 0);
    fds[*count] = bytes_to_memfd("fake", bytes_view_string(text));
    assert(fds[*count] >= 0);
    (*count)++;
}

static bool key_is_for(gnutls_privkey_t key, KeyAlgorithm algorithm) {
    unsigned bits = 0;
    int pk = gnutls_privkey_get_pk_algorithm(key, &bits);

    switch (algorithm) {
    case KEY_ECDSA_P256:
        return pk == GNUTLS_PK_ECDSA && bits == 256;
    case KEY_ECDSA_P384:
        return pk == GNUTLS_PK_ECDSA && bits == 384;
    case KEY_RSA_2048:
        return pk == GNUTLS_PK_RSA;
    default:
        return false;
    }
}

static void add_schemes(Bytes *body, const Handle *handle) {
    gnutls_privkey_t key = handle->identity->keys[handle->identity->generation];
    const SignatureScheme *schemes[SCHEMES_PER_KEY_MAX];
    uint8_t ids[2 * SCHEMES_PER_KEY_MAX];
    size_t used = 0;

    for (int a = 0; key && a < _KEY_ALGORITHM_COUNT; a++) {
        if (!key_is_for(key, (KeyAlgorithm) a))
            continue;
        size_t count = scheme_list((KeyAlgorithm) a, schemes);
        for (size_t i = 0; i < count; i++) {
            if (!schemes[i]->tls && (handle->purpose == PURPOSE_TLS_CLIENT || handle->purpose == PURPOSE_TLS_SERVER))
                continue;
            ids[used++] = (uint8_t) schemes[i]->id;
            ids[used++] = (uint8_t) (schemes[i]->id >> 8);
        }
    }
    assert(tlv_append(body, HANDLE_STATE_SCHEMES, (BytesView) { ids, used }) == 0);
}

static void add_earlier(Bytes *body, const Identity *identity) {
    _cleanup_bytes_ Bytes earlier = BYTES_NULL;

    for (uint32_t number = identity->generation; number-- > 1;) {
        if (!identity->keys[number])
            continue;
        gnutls_datum_t spki = fake_key_spki(identity->keys[number]);
        const uint8_t header[] = { (uint8_t) number, 0, 0, 0, (uint8_t) spki.size, (uint8_t) (spki.size >> 8) };
        assert(bytes_append(&earlier, (BytesView) { header, sizeof(header) }) == 0);
        assert(bytes_append(&earlier, (BytesView) { spki.data, spki.size }) == 0);
        gnutls_free(spki.data);
    }
    assert(tlv_append(body, HANDLE_STATE_EARLIER, bytes_view(&earlier)) == 0);
}

static int send_state(FakeIdentityd *fake, const Handle *handle, uint32_t serial) {
    const Identity *identity = handle->identity;
    bool other_name = fake->fault == FAKE_FAULT_WRONG_IDENTITY;
    Purpose purpose =
        fake->fault == FAKE_FAULT_WRONG_PURPOSE ? (handle->purpose + 1) % _PURPOSE_COUNT : handle->purpose;
    _cleanup_bytes_ Bytes body = BYTES_NULL, kinds = BYTES_NULL;
    int fds[PACKET_FDS_MAX];
    size_t count = 0;

    assert(tlv_append_string(&body, HANDLE_STATE_IDENTITY, other_name ? "another" : identity->name) == 0);
    assert(tlv_append_string(&body, HANDLE_STATE_PURPOSE, purpose_to_string(purpose)) == 0);
    assert(tlv_append_string(&body, HANDLE_STATE_STATE, identity->state) == 0);
    add_schemes(&body, handle);
    assert(tlv_append_u64(&body, HANDLE_STATE_NOT_AFTER, UINT64_C(4000000000000000)) == 0);
    assert(tlv_append_u32(&body, HANDLE_STATE_OLDEST, 1) == 0);
    add_earlier(&body, identity);
    add_file(&kinds, fds, &count, HANDLE_FILE_CHAIN, identity->chain);
    add_file(&kinds, fds, &count, HANDLE_FILE_ANCHORS, identity->anchors);
    add_file(&kinds, fds, &count, HANDLE_FILE_CRLS, identity->crls);
    assert(tlv_append(&body, HANDLE_STATE_FILES, bytes_view(&kinds)) == 0);
    const PacketHeader header = { .type = HANDLE_STATE, .serial = serial, .generation = identity->generation };
    int r = packet_send(handle->fd, &header, bytes_view(&body), fds, count);
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
    return r;
}

/* ---- signatures ---- */

static int digest_for(const Handle *handle, const PacketHeader *header, BytesView payload,
                      const SignatureScheme *scheme, uint8_t *digest) {
    uint8_t content[CERTIFICATE_VERIFY_MAX];
    TlsSide side = handle->purpose == PURPOSE_TLS_SERVER ? TLS_SIDE_SERVER : TLS_SIDE_CLIENT;
    bool tls = handle->purpose == PURPOSE_TLS_CLIENT || handle->purpose == PURPOSE_TLS_SERVER;

    if (header->type == HANDLE_SIGN_TRANSCRIPT && handle->purpose != PURPOSE_DATA &&
        handle->purpose != PURPOSE_DATA_RAW) {
        int length = certificate_verify_build(side, payload, content);
        return length < 0 ? length : scheme_digest(scheme, content, (size_t) length, digest);
    }
    if (header->type == HANDLE_SIGN_MESSAGE && handle->purpose == PURPOSE_DATA &&
        (payload.size == 0 || !memchr("\x31\x84\x7e", payload.data[0], 3)))
        return -EPERM;
    if (header->type == HANDLE_SIGN_MESSAGE)
        return tls && !certificate_verify_matches(side, payload)
                   ? -EPERM
                   : scheme_digest(scheme, payload.data, payload.size, digest);
    if (header->type == HANDLE_SIGN_DIGEST && handle->purpose == PURPOSE_DIGEST &&
        payload.size == (size_t) scheme->hash) {
        memcpy(digest, payload.data, payload.size);
        return (int) payload.size;
    }
    return -EPERM;
}

static gnutls_sign_algorithm_t algorithm_of(const SignatureScheme *scheme) {
    static const gnutls_sign_algorithm_t table[3][3] = {
        { GNUTLS_SIGN_ECDSA_SHA256, GNUTLS_SIGN_ECDSA_SHA384, GNUTLS_SIGN_ECDSA_SHA512 },
        { GNUTLS_SIGN_RSA_SHA256, GNUTLS_SIGN_RSA_SHA384, GNUTLS_SIGN_RSA_SHA512 },
        { GNUTLS_SIGN_RSA_PSS_RSAE_SHA256, GNUTLS_SIGN_RSA_PSS_RSAE_SHA384, GNUTLS_SIGN_RSA_PSS_RSAE_SHA512 },
    };

    return table[scheme->padding][scheme->hash / 16 - 2];
}

static void answer(FakeIdentityd *fake, Handle *handle, const PacketHeader *request, FailureKind status,
                   BytesView payload) {
    const PacketHeader header = {
        .type = request->type | HANDLE_ANSWER,
        .status = (uint16_t) status,
        .serial = request->serial,
        .generation = request->generation,
        .scheme = request->scheme,
    };

    if (fake->fault == FAKE_FAULT_STATE_BEFORE_ANSWER)
        for (unsigned i = 0; i < 3; i++)
            (void) send_state(fake, handle, 0);
    (void) packet_send(handle->fd, &header, payload, NULL, 0);
}

static void serve_signature(FakeIdentityd *fake, Handle *handle, const PacketHeader *header, BytesView payload) {
    const SignatureScheme *scheme = scheme_by_id(header->scheme);
    const Identity *identity = handle->identity;
    gnutls_privkey_t key = header->generation < GENERATIONS_MAX ? identity->keys[header->generation] : NULL;
    uint8_t digest[64];

    fake->asked++;
    if (identity->blocked != FAILURE_NONE) {
        answer(fake, handle, header, identity->blocked, bytes_view_string("the fake blocks this identity"));
        return;
    }
    if (!key) {
        answer(fake, handle, header, FAILURE_NOT_READY, bytes_view_string("the fake has no such generation"));
        return;
    }
    int size = scheme ? digest_for(handle, header, payload, scheme, digest) : -EINVAL;
    if (size < 0) {
        answer(fake, handle, header, size == -EPERM ? FAILURE_PURPOSE_VIOLATION : FAILURE_INVALID_ARGUMENT,
               bytes_view_string("the fake refuses to sign this"));
        return;
    }
    gnutls_datum_t hash = { digest, (unsigned) size }, signature;
    int code = gnutls_privkey_sign_hash2(key, algorithm_of(scheme), 0, &hash, &signature);
    if (code < 0) {
        answer(fake, handle, header, FAILURE_INVALID_ARGUMENT, bytes_view_string(gnutls_strerror(code)));
        return;
    }
    if (fake->fault == FAKE_FAULT_BAD_SIGNATURE)
        signature.data[signature.size - 1] ^= 1;
    fake->made++;
    answer(fake, handle, header, FAILURE_NONE, (BytesView) { signature.data, signature.size });
    gnutls_free(signature.data);
}

/* ---- handles ---- */

static void handle_close(Handle *handle) {
    if (handle->fd >= 0) /* at once, even while the other thread polls it */
        (void) shutdown(handle->fd, SHUT_RDWR);
    handle->fd = close_safe(handle->fd);
    handle->identity = NULL;
}

static void handle_serve(FakeIdentityd *fake, Handle *handle) {
    _cleanup_packet_ Packet packet = PACKET_INIT;
    int r = packet_receive(handle->fd, &fake->buffer, false, &packet);

    if (r == PACKET_NONE)
        return;
    if (r != PACKET_RECEIVED) {
        handle_close(handle);
        return;
    }
    if (packet.header.type == HANDLE_GET_STATE)
        (void) send_state(fake, handle, packet.header.serial);
    else if (fake->fault == FAKE_FAULT_CLOSE_AT_SIGN)
        handle_close(handle);
    else
        serve_signature(fake, handle, &packet.header, packet.payload);
}

static Identity *find_identity(FakeIdentityd *fake, const char *name) {
    for (size_t i = 0; i < IDENTITIES_MAX; i++)
        if (fake->identities[i].name && strcmp(fake->identities[i].name, name) == 0)
            return &fake->identities[i];
    return NULL;
}

/* The client's end, or -1. */
static int handle_open(FakeIdentityd *fake, Identity *identity, Purpose purpose) {
    int fds[2];

    for (size_t i = 0; i < HANDLES_MAX; i++) {
        Handle *handle = &fake->handles[i];
        if (handle->fd >= 0)
            continue;
        assert(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
        *handle = (Handle) { .fd = fds[0], .identity = identity, .purpose = purpose };
        (void) send_state(fake, handle, 0);
        if (fake->fault == FAKE_FAULT_CLOSE_AT_OPEN)
            handle_close(handle);
        return fds[1];
    }
    return -1;
}

/* ---- the bus ---- */

static int reply_with_fault(FakeIdentityd *fake, sd_bus_message *call) {
    int fds[2];

    if (fake->fault == FAKE_FAULT_REPLY_PIPE)
        assert(pipe2(fds, O_CLOEXEC) == 0);
    else
        assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    int r = sd_bus_reply_method_return(call, "h", fds[1]);
    close(fds[0]);
    close(fds[1]);
    return r;
}

static int open_credential(sd_bus_message *call, void *userdata, sd_bus_error *error) {
    FakeIdentityd *fake = userdata;
    const char *name, *purpose_name;
    _cleanup_close_ int fd = -1;

    fake->opened++;
    assert(sd_bus_message_has_signature(call, "ssa{sv}"));
    assert(sd_bus_message_read(call, "ss", &name, &purpose_name) > 0);
    if (fake->error_name)
        return sd_bus_reply_method_errorf(call, fake->error_name, "%s", fake->error_message);
    if (fake->fault == FAKE_FAULT_REPLY_PIPE || fake->fault == FAKE_FAULT_REPLY_STREAM)
        return reply_with_fault(fake, call);
    Identity *identity = find_identity(fake, name);
    Purpose purpose = purpose_from_string(purpose_name);
    if (!identity)
        return sd_bus_reply_method_errorf(call, IDENTITYD_ERROR_PREFIX "NoSuchIdentity", "There is no identity '%s'.",
                                          name);
    assert(purpose >= 0);
    fd = handle_open(fake, identity, purpose);
    if (fd < 0)
        return sd_bus_reply_method_errorf(call, IDENTITYD_ERROR_PREFIX "LimitsExceeded", "Too many handles.");
    return sd_bus_reply_method_return(call, "h", fd);
}

static int list_identities(sd_bus_message *call, void *userdata, sd_bus_error *error) {
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    FakeIdentityd *fake = userdata;

    assert(sd_bus_message_new_method_return(call, &reply) >= 0);
    assert(sd_bus_message_open_container(reply, 'a', "(sosstt)") >= 0);
    for (size_t i = 0; i < IDENTITIES_MAX; i++)
        if (fake->identities[i].name)
            assert(sd_bus_message_append(reply, "(sosstt)", fake->identities[i].name, "/org/identityd1/identity/x",
                                         fake->identities[i].state, "idle", UINT64_C(0), UINT64_C(0)) >= 0);
    assert(sd_bus_message_close_container(reply) >= 0);
    return sd_bus_send(NULL, reply, NULL);
}

/* Before the vtable, which would not let an answer of the wrong type pass. */
static int answer_wrongly(sd_bus_message *call, void *userdata, sd_bus_error *error) {
    FakeIdentityd *fake = userdata;

    if (fake->fault != FAKE_FAULT_REPLY_WITHOUT_HANDLE ||
        sd_bus_message_is_method_call(call, IDENTITYD_MANAGER_INTERFACE, "OpenCredential") <= 0)
        return 0;
    return sd_bus_reply_method_return(call, "s", "no handle");
}

static const sd_bus_vtable vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("OpenCredential", "ssa{sv}", "h", open_credential, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("ListIdentities", NULL, "a(sosstt)", list_identities, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_PROPERTY("DeviceId", "s", NULL, offsetof(FakeIdentityd, device_id), 0),
    SD_BUS_VTABLE_END,
};

/* ---- the thread ---- */

static void update_name(FakeIdentityd *fake, bool *owned) {
    if (fake->on_bus == *owned)
        return;
    if (fake->on_bus)
        assert(sd_bus_request_name(fake->connection, IDENTITYD_BUS_NAME, 0) >= 0);
    else
        assert(sd_bus_release_name(fake->connection, IDENTITYD_BUS_NAME) >= 0);
    *owned = fake->on_bus;
}

static void serve_once(FakeIdentityd *fake, const struct pollfd *items, size_t count, Handle *const *who) {
    for (size_t i = 2; i < count; i++)
        if (items[i].revents && who[i]->fd == items[i].fd)
            handle_serve(fake, who[i]);
    while (sd_bus_process(fake->connection, NULL) > 0)
        ;
}

static void *serve(void *userdata) {
    FakeIdentityd *fake = userdata;
    bool owned = false;

    pthread_mutex_lock(&fake->lock);
    while (!fake->quit) {
        struct pollfd items[HANDLES_MAX + 2];
        Handle *who[HANDLES_MAX + 2] = { NULL };
        size_t count = 2;
        eventfd_t unused;

        update_name(fake, &owned);
        items[0] = (struct pollfd) { .fd = fake->wake_fd, .events = POLLIN };
        items[1] = (struct pollfd) { .fd = sd_bus_get_fd(fake->connection), .events = POLLIN };
        for (size_t i = 0; i < HANDLES_MAX; i++)
            if (fake->handles[i].fd >= 0) {
                who[count] = &fake->handles[i];
                items[count++] = (struct pollfd) { .fd = fake->handles[i].fd, .events = POLLIN };
            }
        pthread_mutex_unlock(&fake->lock);
        (void) poll(items, count, 1000);
        pthread_mutex_lock(&fake->lock);
        if (items[0].revents)
            (void) eventfd_read(fake->wake_fd, &unused);
        serve_once(fake, items, count, who);
    }
    pthread_mutex_unlock(&fake->lock);
    return NULL;
}

/* The name is owned or free when the test goes on, as it asked. */
static void wait_for_name(FakeIdentityd *fake, bool wanted) {
    sd_bus *bus = NULL;
    bool has = !wanted;

    assert(sd_bus_open_system(&bus) >= 0);
    for (unsigned i = 0; i < 2000 && has != wanted; i++, (void) usleep(1000))
        has = sd_bus_get_name_creds(bus, IDENTITYD_BUS_NAME, 0, NULL) >= 0;
    assert(has == wanted);
    sd_bus_flush_close_unref(bus);
}

static void poke(FakeIdentityd *fake) {
    pthread_mutex_unlock(&fake->lock);
    assert(eventfd_write(fake->wake_fd, 1) == 0);
}

FakeIdentityd *fake_identityd_new(void) {
    FakeIdentityd *fake = calloc(1, sizeof(*fake));

    assert(fake);
    fake->bus = test_bus_new();
    fake->device_id = FAKE_DEVICE_ID;
    assert(setenv("DBUS_SYSTEM_BUS_ADDRESS", test_bus_address(fake->bus), 1) == 0);
    for (size_t i = 0; i < HANDLES_MAX; i++)
        fake->handles[i].fd = -1;
    pthread_mutex_init(&fake->lock, NULL);
    fake->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert(fake->wake_fd >= 0);
    assert(sd_bus_open_system(&fake->connection) >= 0);
    assert(sd_bus_add_object_vtable(fake->connection, &fake->slot, IDENTITYD_MANAGER_PATH, IDENTITYD_MANAGER_INTERFACE,
                                    vtable, fake) >= 0);
    assert(sd_bus_add_filter(fake->connection, NULL, answer_wrongly, fake) >= 0);
    fake->on_bus = true;
    assert(pthread_create(&fake->thread, NULL, serve, fake) == 0);
    wait_for_name(fake, true);
    return fake;
}

static void identity_clear(Identity *identity) {
    free(identity->name);
    free(identity->state);
    free(identity->chain);
    free(identity->anchors);
    free(identity->crls);
    *identity = (Identity) { 0 };
}

FakeIdentityd *fake_identityd_free(FakeIdentityd *fake) {
    if (!fake)
        return NULL;
    pthread_mutex_lock(&fake->lock);
    fake->quit = true;
    poke(fake);
    pthread_join(fake->thread, NULL);
    for (size_t i = 0; i < HANDLES_MAX; i++)
        handle_close(&fake->handles[i]);
    for (size_t i = 0; i < IDENTITIES_MAX; i++)
        identity_clear(&fake->identities[i]);
    sd_bus_slot_unref(fake->slot);
    sd_bus_flush_close_unref(fake->connection);
    close(fake->wake_fd);
    pthread_mutex_destroy(&fake->lock);
    test_bus_free(fake->bus);
    free(fake);
    return NULL;
}

const char *fake_identityd_directory(const FakeIdentityd *fake) {
    return test_bus_directory(fake->bus);
}

/* ---- what the test says ---- */

static void replace(char **text, const char *with) {
    free(*text);
    *text = with ? strdup(with) : NULL;
}

void fake_identityd_set(FakeIdentityd *fake, const FakeIdentity *wanted) {
    pthread_mutex_lock(&fake->lock);
    Identity *identity = find_identity(fake, wanted->name);
    for (size_t i = 0; !identity && i < IDENTITIES_MAX; i++)
        if (!fake->identities[i].name)
            identity = &fake->identities[i];
    assert(identity && wanted->generation < GENERATIONS_MAX);
    replace(&identity->name, wanted->name);
    replace(&identity->state, wanted->state ? wanted->state : "ready");
    replace(&identity->chain, wanted->chain);
    replace(&identity->anchors, wanted->anchors);
    replace(&identity->crls, wanted->crls);
    identity->generation = wanted->generation;
    identity->keys[wanted->generation] = wanted->key;
    identity->blocked = wanted->blocked;
    for (size_t i = 0; i < HANDLES_MAX; i++)
        if (fake->handles[i].fd >= 0 && fake->handles[i].identity == identity)
            (void) send_state(fake, &fake->handles[i], 0);
    poke(fake);
}

void fake_identityd_forget_generation(FakeIdentityd *fake, const char *name, uint32_t generation) {
    pthread_mutex_lock(&fake->lock);
    Identity *identity = find_identity(fake, name);
    assert(identity);
    identity->keys[generation] = NULL;
    poke(fake);
}

void fake_identityd_remove(FakeIdentityd *fake, const char *name) {
    pthread_mutex_lock(&fake->lock);
    Identity *identity = find_identity(fake, name);
    for (size_t i = 0; identity && i < HANDLES_MAX; i++)
        if (fake->handles[i].identity == identity)
            handle_close(&fake->handles[i]);
    if (identity)
        identity_clear(identity);
    poke(fake);
}

void fake_identityd_set_fault(FakeIdentityd *fake, FakeFault fault) {
    pthread_mutex_lock(&fake->lock);
    fake->fault = fault;
    poke(fake);
}

void fake_identityd_refuse(FakeIdentityd *fake, const char *error_name, const char *message) {
    pthread_mutex_lock(&fake->lock);
    fake->error_name = error_name;
    fake->error_message = message;
    poke(fake);
}

void fake_identityd_close_handles(FakeIdentityd *fake) {
    pthread_mutex_lock(&fake->lock);
    for (size_t i = 0; i < HANDLES_MAX; i++)
        handle_close(&fake->handles[i]);
    poke(fake);
}

static void set_on_bus(FakeIdentityd *fake, bool on_bus) {
    pthread_mutex_lock(&fake->lock);
    fake->on_bus = on_bus;
    poke(fake);
    wait_for_name(fake, on_bus);
}

void fake_identityd_leave_bus(FakeIdentityd *fake) {
    set_on_bus(fake, false);
}

void fake_identityd_join_bus(FakeIdentityd *fake) {
    set_on_bus(fake, true);
}

static unsigned read_counter(FakeIdentityd *fake, const unsigned *counter) {
    pthread_mutex_lock(&fake->lock);
    unsigned value = *counter;
    pthread_mutex_unlock(&fake->lock);
    return value;
}

unsigned fake_identityd_opened(FakeIdentityd *fake) {
    return read_counter(fake, &fake->opened);
}

unsigned fake_identityd_asked(FakeIdentityd *fake) {
    return read_counter(fake, &fake->asked);
}

unsigned fake_identityd_signed(FakeIdentityd *fake) {
    return read_counter(fake, &fake->made);
}

unsigned fake_identityd_open_handles(FakeIdentityd *fake) {
    unsigned count = 0;

    pthread_mutex_lock(&fake->lock);
    for (size_t i = 0; i < HANDLES_MAX; i++)
        count += fake->handles[i].fd >= 0;
    pthread_mutex_unlock(&fake->lock);
    return count;
}

int fake_identityd_handle(FakeIdentityd *fake, const char *identity, const char *purpose) {
    pthread_mutex_lock(&fake->lock);
    int fd = handle_open(fake, find_identity(fake, identity), purpose_from_string(purpose));
    poke(fake);
    return fd;
}
