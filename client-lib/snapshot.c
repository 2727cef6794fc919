/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Snapshots: the State packet parsed, checked and read out of its memfds at once, so that nothing received later can
 * change what a program has begun to use. identityd is trusted, but what it sends is bounded and checked all the same:
 * a fault there must not corrupt the programs that it serves. */
#include "client-lib/snapshot.h"

#include "client-lib/entry.h"
#include "client-lib/error.h"
#include "common/handle-protocol.h"
#include "common/scheme.h"
#include "common/tlv.h"

#include <string.h>

static int malformed(const char *what) {
    return client_error(-EBADMSG, "identityd sent a State that is malformed: %s", what);
}

/* Takes `fd`'s content as `kind`. Kinds that are not known here are skipped. */
static int take_file(identityd_snapshot *snapshot, uint8_t kind, int fd) {
    size_t maximum = HANDLE_FILE_MAX;
    Bytes *target;

    switch (kind) {
    case HANDLE_FILE_CHAIN:
        target = &snapshot->chain;
        break;
    case HANDLE_FILE_ANCHORS:
        target = &snapshot->anchors;
        break;
    case HANDLE_FILE_CRLS:
        target = &snapshot->crls;
        maximum = HANDLE_CRLS_MAX;
        break;
    case HANDLE_FILE_OCSP:
        target = &snapshot->ocsp;
        break;
    default:
        return 0;
    }
    if (target->data)
        return malformed("a file came twice");
    int r = bytes_from_memfd(fd, maximum, target);
    if (r == -ENOMEM)
        return client_errno(r, "reading a file of the State");
    if (r == -EFBIG)
        return malformed("a file is larger than the protocol allows");
    if (r < 0)
        return malformed("a file is not a sealed memfd");
    if (kind != HANDLE_FILE_OCSP && memchr(target->data, '\0', target->size))
        return malformed("a PEM file has NUL bytes");
    return 0;
}

static int take_schemes(identityd_snapshot *snapshot, BytesView value) {
    size_t count = 0;

    if (value.size % 2 != 0)
        return malformed("the schemes");
    for (size_t i = 0; i < value.size && count < SNAPSHOT_SCHEMES_MAX; i += 2) {
        uint16_t id = (uint16_t) (value.data[i] | value.data[i + 1] << 8);
        if (scheme_by_id(id))
            snapshot->schemes[count++] = id;
    }
    return 0;
}

typedef struct StateReader {
    identityd_snapshot *snapshot;
    BytesView files;
    uint32_t seen; /* bit per tag */
} StateReader;

static int take_text(BytesView value, size_t maximum, char **ret, const char *what) {
    int r = tlv_value_string(value, maximum, ret);

    return r == -ENOMEM ? client_errno(r, "reading the State") : r < 0 ? malformed(what) : 0;
}

static int take_purpose(BytesView value, Purpose *ret) {
    _cleanup_free_ char *name = NULL;
    int r = take_text(value, 16, &name, "the purpose");

    if (r < 0)
        return r;
    *ret = purpose_from_string(name);
    return *ret < 0 ? malformed("an unknown purpose") : 0;
}

#define EARLIER_HEADER 6U /* bytes: generation and length */

static bool cut_earlier(BytesView *rest, EarlierGeneration *ret) {
    const uint8_t *data = rest->data;

    if (rest->size < EARLIER_HEADER)
        return false;
    size_t size = (size_t) (data[4] | data[5] << 8);
    if (size == 0 || size > rest->size - EARLIER_HEADER)
        return false;
    ret->number = (uint32_t) data[0] | (uint32_t) data[1] << 8 | (uint32_t) data[2] << 16 | (uint32_t) data[3] << 24;
    ret->spki = (BytesView) { data + EARLIER_HEADER, size };
    *rest = (BytesView) { data + EARLIER_HEADER + size, rest->size - EARLIER_HEADER - size };
    return true;
}

static int take_earlier(identityd_snapshot *snapshot, BytesView value) {
    BytesView rest = value;
    EarlierGeneration unused;

    while (rest.size > 0)
        if (!cut_earlier(&rest, &unused))
            return malformed("the earlier generations");
    return bytes_copy(value, &snapshot->earlier) < 0 ? client_errno(-ENOMEM, "reading the State") : 0;
}

bool snapshot_next_earlier(const identityd_snapshot *snapshot, BytesView *rest, EarlierGeneration *ret) {
    if (!rest->data)
        *rest = bytes_view(&snapshot->earlier);
    return cut_earlier(rest, ret);
}

static int take_field(StateReader *reader, uint16_t tag, BytesView value) {
    identityd_snapshot *snapshot = reader->snapshot;

    if (tag < 32) {
        if (reader->seen & UINT32_C(1) << tag)
            return malformed("a field came twice");
        reader->seen |= UINT32_C(1) << tag;
    }
    switch (tag) {
    case HANDLE_STATE_IDENTITY: {
        int r = take_text(value, IDENTITY_NAME_MAX, &snapshot->identity, "the identity's name");
        return r < 0 ? r : identity_name_is_valid(snapshot->identity) ? 0 : malformed("the identity's name");
    }
    case HANDLE_STATE_PURPOSE:
        return take_purpose(value, &snapshot->purpose);
    case HANDLE_STATE_STATE:
        return take_text(value, SNAPSHOT_STATE_MAX, &snapshot->state, "the state's name");
    case HANDLE_STATE_SCHEMES:
        return take_schemes(snapshot, value);
    case HANDLE_STATE_NOT_AFTER:
        return tlv_value_u64(value, &snapshot->not_after) < 0 ? malformed("the end of life") : 0;
    case HANDLE_STATE_OLDEST:
        return tlv_value_u32(value, &snapshot->oldest) < 0 ? malformed("the oldest generation") : 0;
    case HANDLE_STATE_EARLIER:
        return take_earlier(snapshot, value);
    case HANDLE_STATE_UNPROVED:
        snapshot->is_unproved = true;
        return 0;
    case HANDLE_STATE_TLS12:
        snapshot->tls12 = value.size == 1 && value.data[0] == 1;
        return 0;
    case HANDLE_STATE_FILES:
        reader->files = value;
        return 0;
    default:
        return 0; /* of a later version */
    }
}

static int take_fields(StateReader *reader, BytesView payload) {
    const uint32_t required = 1U << HANDLE_STATE_IDENTITY | 1U << HANDLE_STATE_PURPOSE | 1U << HANDLE_STATE_STATE;
    TlvReader fields = { payload };
    BytesView value;
    uint16_t tag;
    int r;

    while ((r = tlv_read(&fields, &tag, &value)) > 0) {
        r = take_field(reader, tag, value);
        if (r < 0)
            return r;
    }
    if (r < 0)
        return malformed("a field is cut short");
    return (reader->seen & required) == required ? 0 : malformed("identity, purpose or state is missing");
}

int snapshot_new(const Packet *packet, identityd_snapshot **ret) {
    _cleanup_snapshot_ identityd_snapshot *snapshot = calloc(1, sizeof(*snapshot));

    if (!snapshot)
        return client_errno(-ENOMEM, "reading the State");
    snapshot->references = 1;
    snapshot->generation = packet->header.generation;

    StateReader reader = { .snapshot = snapshot };
    int r = take_fields(&reader, packet->payload);
    if (r < 0)
        return r;
    if (reader.files.size != packet->fd_count)
        return malformed("descriptors and their kinds differ in number");
    for (size_t i = 0; i < packet->fd_count; i++) {
        r = take_file(snapshot, reader.files.data[i], packet->fds[i]);
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(snapshot);
    return 0;
}

identityd_snapshot *snapshot_ref(identityd_snapshot *snapshot) {
    atomic_fetch_add(&snapshot->references, 1);
    return snapshot;
}

_public_ identityd_snapshot *identityd_snapshot_free(identityd_snapshot *snapshot) {
    PRESERVE_ERRNO;

    if (!snapshot || atomic_fetch_sub(&snapshot->references, 1) > 1)
        return NULL;
    void (*clear_made)(identityd_snapshot *) = snapshot->clear_made,
                                          (*clear_trust)(identityd_snapshot *) = snapshot->clear_trust;
    if (clear_made)
        clear_made(snapshot);
    if (clear_trust)
        clear_trust(snapshot);
    free(snapshot->identity);
    free(snapshot->state);
    bytes_clear(&snapshot->chain);
    bytes_clear(&snapshot->anchors);
    bytes_clear(&snapshot->crls);
    bytes_clear(&snapshot->ocsp);
    bytes_clear(&snapshot->earlier);
    free(snapshot);
    return NULL;
}

bool snapshot_has_scheme(const identityd_snapshot *snapshot, uint16_t scheme) {
    for (const uint16_t *s = snapshot->schemes; *s; s++)
        if (*s == scheme)
            return true;
    return false;
}

static const char *text_of(const Bytes *bytes, size_t *size) {
    if (size)
        *size = bytes->size;
    return bytes->data ? (const char *) bytes->data : "";
}

_public_ const char *identityd_snapshot_identity(const identityd_snapshot *snapshot) {
    PRESERVE_ERRNO;

    return snapshot->identity;
}

_public_ const char *identityd_snapshot_purpose(const identityd_snapshot *snapshot) {
    PRESERVE_ERRNO;

    return purpose_to_string(snapshot->purpose);
}

_public_ const char *identityd_snapshot_state(const identityd_snapshot *snapshot) {
    PRESERVE_ERRNO;

    return snapshot->state;
}

_public_ uint32_t identityd_snapshot_generation(const identityd_snapshot *snapshot) {
    PRESERVE_ERRNO;

    return snapshot->generation;
}

_public_ uint64_t identityd_snapshot_not_after(const identityd_snapshot *snapshot) {
    PRESERVE_ERRNO;

    return snapshot->not_after;
}

_public_ const char *identityd_snapshot_chain(const identityd_snapshot *snapshot, size_t *size) {
    PRESERVE_ERRNO;

    return text_of(&snapshot->chain, size);
}

_public_ const char *identityd_snapshot_anchors(const identityd_snapshot *snapshot, size_t *size) {
    PRESERVE_ERRNO;

    return text_of(&snapshot->anchors, size);
}

_public_ const char *identityd_snapshot_crls(const identityd_snapshot *snapshot, size_t *size) {
    PRESERVE_ERRNO;

    return text_of(&snapshot->crls, size);
}

_public_ const void *identityd_snapshot_ocsp(const identityd_snapshot *snapshot, size_t *size) {
    PRESERVE_ERRNO;

    if (size)
        *size = snapshot->ocsp.size;
    return snapshot->ocsp.size > 0 ? snapshot->ocsp.data : NULL;
}

_public_ const uint16_t *identityd_snapshot_schemes(const identityd_snapshot *snapshot) {
    PRESERVE_ERRNO;

    return snapshot->schemes;
}
