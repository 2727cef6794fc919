/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One file with both kinds of CRLs, our own first, and an answer to staple; and whether they are others than before. */
#include "identity/statements.h"

#include "common/handle-protocol.h"
#include "device/device.h"
#include "identity/parts.h"

#include <gnutls/crypto.h>
#include <string.h>

/* What one of the two kinds is: zeros for none. */
typedef struct Digest {
    uint8_t bytes[SHARED_KEY_SIZE];
} Digest;

struct Statements {
    SharedFile *crls;
    size_t own_size; /* of `crls` */
    Digest own, peers;
    Bytes staple;
    int64_t staple_end;
};

int statements_new(Identity *identity) {
    identity->statements = calloc(1, sizeof *identity->statements);
    return identity->statements ? 0 : -ENOMEM;
}

void statements_free(Identity *identity) {
    if (!identity->statements)
        return;
    shared_file_unref(identity->statements->crls);
    bytes_clear(&identity->statements->staple);
    free(identity->statements);
    identity->statements = NULL;
}

int identity_crls_fd(const Identity *identity) {
    return shared_file_fd(identity->statements->crls);
}

size_t identity_own_crls_size(const Identity *identity) {
    return identity->statements->own_size;
}

BytesView identity_staple(const Identity *identity) {
    return bytes_view(&identity->statements->staple);
}

int64_t identity_staple_end(const Identity *identity) {
    return identity->statements->staple_end;
}

/* ---- CRLs ---- */

static BytesView peers_view(const Statements *statements) {
    BytesView all = shared_file_view(statements->crls);

    return (BytesView) { all.data ? all.data + statements->own_size : NULL, all.size - statements->own_size };
}

static bool digest_is_none(const Digest *digest) {
    static const Digest none = { { 0 } };

    return memcmp(digest, &none, sizeof none) == 0;
}

/* What both together are known by. */
static int key_of(const Digest *own, const Digest *peers, Digest *ret) {
    const Digest both[2] = { *own, *peers };

    return gnutls_hash_fast(GNUTLS_DIG_SHA256, both, sizeof both, ret->bytes) < 0 ? -EIO : 0;
}

/* What is to be there; the contents are asked for only where nobody has them together yet. */
typedef struct Fresh {
    Digest own, peers;
    size_t own_size;
    BytesView own_pem;              /* where that is known by now … */
    const PeerStatements *peer_pem; /* … or how to get those of the peers; NULL: they are as they were */
} Fresh;

static int join(const Identity *identity, const Fresh *fresh, SharedFile **ret) {
    _cleanup_bytes_ Bytes loaded = BYTES_NULL, all = BYTES_NULL;
    BytesView peers = { NULL, 0 };
    int r = 0;

    if (!digest_is_none(&fresh->peers) && fresh->peer_pem)
        r = fresh->peer_pem->load(fresh->peer_pem->userdata, &loaded);
    if (r < 0)
        return r;
    if (!digest_is_none(&fresh->peers))
        peers = fresh->peer_pem ? bytes_view(&loaded) : peers_view(identity->statements);
    if (fresh->own_pem.size + peers.size > HANDLE_CRLS_MAX)
        return -E2BIG;
    r = bytes_append(&all, fresh->own_pem);
    if (r >= 0)
        r = bytes_append(&all, peers);
    if (r < 0 || all.size == 0)
        return r;
    return shared_file_get(device_shared_files(identity->context->device), "identityd-crls", bytes_view(&all), ret);
}

static int set_both(Identity *identity, const Fresh *fresh) {
    Statements *statements = identity->statements;
    SharedFile *file = NULL;
    Digest key;
    int r = key_of(&fresh->own, &fresh->peers, &key);

    if (r < 0)
        return r;
    if (!digest_is_none(&fresh->own) || !digest_is_none(&fresh->peers)) {
        file = shared_file_find(device_shared_files(identity->context->device), key.bytes);
        if (!file)
            r = join(identity, fresh, &file);
        if (r < 0)
            return r;
        if (file)
            shared_file_set_key(file, key.bytes);
    }
    shared_file_unref(statements->crls);
    statements->crls = file;
    statements->own_size = fresh->own_size;
    statements->own = fresh->own;
    statements->peers = fresh->peers;
    identity_note(identity, CHANGED_STATEMENTS);
    return 0;
}

static int set_own(Identity *identity, BytesView crls) {
    const Statements *statements = identity->statements;
    Fresh fresh = { .peers = statements->peers, .own_size = crls.size, .own_pem = crls };

    if (crls.size > 0 && gnutls_hash_fast(GNUTLS_DIG_SHA256, crls.data, crls.size, fresh.own.bytes) < 0)
        return -EIO;
    if (memcmp(&fresh.own, &statements->own, sizeof fresh.own) == 0)
        return 0;
    if (crls.size + peers_view(statements).size > HANDLE_CRLS_MAX)
        fresh.peers = (Digest) { { 0 } };
    return set_both(identity, &fresh);
}

int identity_set_crls(Identity *identity, Bytes *crls) {
    int r = set_own(identity, bytes_view(crls));

    bytes_clear(crls);
    return r;
}

int identity_set_peer_crls(Identity *identity, const PeerStatements *peers) {
    const Statements *statements = identity->statements;
    BytesView all = shared_file_view(statements->crls);
    Fresh fresh = { .own = statements->own, .own_size = statements->own_size, .peer_pem = peers };

    if (peers->load)
        memcpy(fresh.peers.bytes, peers->digest, sizeof fresh.peers.bytes);
    if (memcmp(&fresh.peers, &statements->peers, sizeof fresh.peers) == 0)
        return 0;
    fresh.own_pem = (BytesView) { all.data, statements->own_size };
    return set_both(identity, &fresh);
}

/* ---- stapling ---- */

static void set_staple(Identity *identity, Bytes *fresh) {
    Bytes *present = &identity->statements->staple;

    if (!bytes_view_equal(bytes_view(present), bytes_view(fresh))) {
        const Bytes old = *present;
        *present = *fresh;
        *fresh = old;
        identity_note(identity, CHANGED_STATEMENTS);
    }
    bytes_clear(fresh);
}

int identity_set_staple(Identity *identity, BytesView staple, int64_t end) {
    Bytes copy = BYTES_NULL;
    int r = bytes_copy(staple, &copy);

    if (r < 0)
        return r;
    set_staple(identity, &copy);
    identity->statements->staple_end = end;
    return 0;
}

void identity_drop_staple(Identity *identity) {
    Bytes none = BYTES_NULL;

    set_staple(identity, &none);
}
