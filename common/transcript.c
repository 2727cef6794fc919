/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keeps the transcript of a GnuTLS session: of TLS 1.3 (RFC 8446 §4.4.1) in constant memory, of TLS 1.2 the messages,
 * up to a limit, which are let go once the ServerHello says TLS 1.3. For that there are two running hashes, since the
 * cipher suite, which decides between them, is known only after the first messages; then one. What is returned to be
 * signed has been compared with the digest that GnuTLS itself wants, so a mistake here can fail a handshake but cannot
 * sign another one. */
#include "common/transcript.h"

#include "common/session-slot.h"

#include <gnutls/crypto.h>

#include <stdbool.h>
#include <string.h>

#define TRANSCRIPT_HASH_COUNT 2U

static const gnutls_digest_algorithm_t transcript_hashes[TRANSCRIPT_HASH_COUNT] = {
    GNUTLS_DIG_SHA256,
    GNUTLS_DIG_SHA384,
};

struct Transcript {
    gnutls_session_t session; /* NULL: detached, or the session is gone */
    gnutls_handshake_hook_func next;
    gnutls_hash_hd_t running[TRANSCRIPT_HASH_COUNT];
    gnutls_hash_hd_t main[TRANSCRIPT_HASH_COUNT]; /* up to both Finished: where post-handshake authentication begins */
    unsigned finished;                            /* how many Finished were seen */
    bool has_side;                                /* the first ClientHello was seen */
    TlsSide side;
    bool second_hello;     /* a HelloRetryRequest was seen */
    bool has_server_hello; /* the ServerHello was seen … */
    bool has_chosen;       /* … and what does not run the cipher suite's hash was let go */
    Bytes messages;        /* from the ClientHello on, as long as it may be TLS 1.2 */
    bool is_long;          /* … and they are more than may be kept */
    bool broken;           /* the library refused a hash: nothing can be told any more */
};

static void hashes_release(gnutls_hash_hd_t hashes[static TRANSCRIPT_HASH_COUNT]) {
    for (size_t i = 0; i < TRANSCRIPT_HASH_COUNT; i++) {
        if (hashes[i])
            gnutls_hash_deinit(hashes[i], NULL);
        hashes[i] = NULL;
    }
}

/* Replaces `to` by a copy of `from`; false when the library refuses. */
static bool hashes_copy(gnutls_hash_hd_t to[static TRANSCRIPT_HASH_COUNT],
                        gnutls_hash_hd_t const from[static TRANSCRIPT_HASH_COUNT]) {
    hashes_release(to);
    for (size_t i = 0; i < TRANSCRIPT_HASH_COUNT; i++) {
        to[i] = from[i] ? gnutls_hash_copy(from[i]) : NULL;
        if (from[i] && !to[i])
            return false;
    }
    return true;
}

/* A handshake message is hashed with its header, which the hook does not show. */
static bool hash_message(gnutls_hash_hd_t hash, unsigned type, const void *body, size_t size) {
    const uint8_t header[4] = { (uint8_t) type, (uint8_t) (size >> 16), (uint8_t) (size >> 8), (uint8_t) size };

    return gnutls_hash(hash, header, sizeof(header)) >= 0 && (size == 0 || gnutls_hash(hash, body, size) >= 0);
}

/* RFC 8446 §4.4.1: with a HelloRetryRequest the first ClientHello counts as its hash, under the type
 * message_hash (254). */
static bool replace_first_hello(Transcript *transcript) {
    for (size_t i = 0; i < TRANSCRIPT_HASH_COUNT; i++) {
        uint8_t digest[64];

        gnutls_hash_output(transcript->running[i], digest); /* starts the hash again, too */
        if (!hash_message(transcript->running[i], 254, digest, gnutls_hash_get_len(transcript_hashes[i])))
            return false;
    }
    return true;
}

/* Once the ServerHello was taken in, the cipher suite says which hash it is: the other one is let go. */
static void choose_hash(Transcript *transcript) {
    gnutls_digest_algorithm_t wanted = gnutls_prf_hash_get(transcript->session);
    bool known = false;

    if (!transcript->has_server_hello || transcript->has_chosen)
        return;
    transcript->has_chosen = true;
    for (size_t i = 0; i < TRANSCRIPT_HASH_COUNT; i++)
        known = known || transcript_hashes[i] == wanted;
    for (size_t i = 0; i < TRANSCRIPT_HASH_COUNT && known; i++)
        if (transcript_hashes[i] != wanted) {
            gnutls_hash_deinit(transcript->running[i], NULL);
            transcript->running[i] = NULL;
        }
}

/* Each post-handshake authentication follows the main handshake alone, not one another (RFC 8446 §4.4). */
static bool begin_post_handshake(Transcript *transcript) {
    return transcript->finished < 2 || hashes_copy(transcript->running, transcript->main);
}

/* TLS 1.2 signs the messages themselves, and which version it is the ServerHello says. Each handshake on a connection
 * begins anew. */
static bool keep_message(Transcript *transcript, unsigned type, const gnutls_datum_t *message) {
    const uint8_t header[4] = { (uint8_t) type, (uint8_t) (message->size >> 16), (uint8_t) (message->size >> 8),
                                (uint8_t) message->size };

    if (type == GNUTLS_HANDSHAKE_CLIENT_HELLO) {
        bytes_clear(&transcript->messages);
        transcript->is_long = false;
    }
    if (type == GNUTLS_HANDSHAKE_HELLO_REQUEST || type > UINT8_MAX || transcript->is_long)
        return true;
    if (transcript->has_server_hello && gnutls_protocol_get_version(transcript->session) != GNUTLS_TLS1_2) {
        bytes_clear(&transcript->messages);
        return true;
    }
    if (transcript->messages.size + sizeof(header) + message->size > TRANSCRIPT_MESSAGES_MAX) {
        bytes_clear(&transcript->messages);
        transcript->is_long = true;
        return true;
    }
    return bytes_append(&transcript->messages, (BytesView) { header, sizeof(header) }) >= 0 &&
           bytes_append(&transcript->messages, (BytesView) { message->data, message->size }) >= 0;
}

static bool transcript_add(Transcript *transcript, unsigned type, const gnutls_datum_t *message) {
    choose_hash(transcript);
    if (type != GNUTLS_HANDSHAKE_CHANGE_CIPHER_SPEC && !keep_message(transcript, type, message))
        return false;
    switch (type) {
    case GNUTLS_HANDSHAKE_NEW_SESSION_TICKET:
    case GNUTLS_HANDSHAKE_KEY_UPDATE:
    case GNUTLS_HANDSHAKE_CHANGE_CIPHER_SPEC:
        return true; /* no part of any transcript that is signed */
    case GNUTLS_HANDSHAKE_HELLO_RETRY_REQUEST:
        if (transcript->second_hello)
            return false;
        transcript->second_hello = true;
        if (!replace_first_hello(transcript))
            return false;
        type = GNUTLS_HANDSHAKE_SERVER_HELLO;
        break;
    case GNUTLS_HANDSHAKE_SERVER_HELLO:
        transcript->has_server_hello = true;
        break;
    case GNUTLS_HANDSHAKE_CERTIFICATE_REQUEST:
        if (!begin_post_handshake(transcript))
            return false;
        break;
    default:
        break;
    }
    if (type > UINT8_MAX || message->size >= 1U << 24)
        return false; /* an SSL 2 ClientHello: never TLS 1.3 */

    for (size_t i = 0; i < TRANSCRIPT_HASH_COUNT; i++)
        if (transcript->running[i] && !hash_message(transcript->running[i], type, message->data, message->size))
            return false;

    if (type == GNUTLS_HANDSHAKE_FINISHED && transcript->finished < 2 && ++transcript->finished == 2)
        return hashes_copy(transcript->main, transcript->running);
    return true;
}

static int transcript_hook(gnutls_session_t session, unsigned type, unsigned when, unsigned incoming,
                           const gnutls_datum_t *message) {
    Transcript *transcript = transcript_of_session(session);

    if (!transcript)
        return 0;
    if (!transcript->has_side && type == GNUTLS_HANDSHAKE_CLIENT_HELLO) {
        transcript->side = incoming ? TLS_SIDE_SERVER : TLS_SIDE_CLIENT;
        transcript->has_side = true;
    }
    if (!transcript->broken && when == (incoming ? GNUTLS_HOOK_PRE : GNUTLS_HOOK_POST))
        transcript->broken = !transcript_add(transcript, type, message);
    return transcript->next ? transcript->next(session, type, when, incoming, message) : 0;
}

/* GnuTLS frees the session, or our pointer in it is replaced. */
static void slot_release(gnutls_ext_priv_data_t data) {
    Transcript *transcript = data;

    if (transcript)
        transcript->session = NULL;
}

static void take_hook(gnutls_session_t session) {
    gnutls_handshake_set_hook_function(session, GNUTLS_HANDSHAKE_ANY, GNUTLS_HOOK_BOTH, transcript_hook);
}

/* A ClientHello is about to be written: the last moment at which nobody can have put another hook in our place before
 * the first message. libcurl does, from its version 8.12 on, for session tickets. */
static int slot_send(gnutls_session_t session, gnutls_buffer_t extension) {
    (void) extension;
    if (transcript_of_session(session))
        take_hook(session);
    return 0; /* there is no such extension */
}

static int slot_reserve(gnutls_session_t session) {
    if (session_slot_reserve(session, SLOT_TRANSCRIPT, slot_release, slot_send) < 0)
        return -ENOMEM;
    return transcript_of_session(session) ? -EALREADY : 0;
}

int transcript_attach(gnutls_session_t session, gnutls_handshake_hook_func next, Transcript **ret) {
    _cleanup_(transcript_free_p) Transcript *transcript = NULL;

    int r = slot_reserve(session);
    if (r < 0)
        return r;

    transcript = calloc(1, sizeof(*transcript));
    if (!transcript)
        return -ENOMEM;
    for (size_t i = 0; i < TRANSCRIPT_HASH_COUNT; i++)
        if (gnutls_hash_init(&transcript->running[i], transcript_hashes[i]) < 0)
            return -ENOMEM;

    transcript->session = session;
    transcript->next = next;
    session_slot_set(session, SLOT_TRANSCRIPT, transcript);
    take_hook(session);
    *ret = TAKE_PTR(transcript);
    return 0;
}

Transcript *transcript_of_session(gnutls_session_t session) {
    return session_slot_get(session, SLOT_TRANSCRIPT);
}

/* The hash that the cipher suite chose, so far; its length or -ENOMSG. */
static int transcript_current(const Transcript *transcript, uint8_t ret_hash[static 48]) {
    gnutls_digest_algorithm_t wanted = gnutls_prf_hash_get(transcript->session);

    for (size_t i = 0; i < TRANSCRIPT_HASH_COUNT; i++) {
        if (transcript_hashes[i] != wanted || !transcript->running[i])
            continue;
        gnutls_hash_hd_t copy = gnutls_hash_copy(transcript->running[i]);
        if (!copy)
            return -ENOMEM;
        gnutls_hash_deinit(copy, ret_hash);
        return (int) gnutls_hash_get_len(wanted);
    }
    return -ENOMSG;
}

int transcript_hash_for(Transcript *transcript, TlsSide side, gnutls_digest_algorithm_t digest_algorithm,
                        BytesView digest, uint8_t ret_hash[static 48], size_t *ret_size) {
    uint8_t hash[48], content[CERTIFICATE_VERIFY_MAX], expected[64];

    if (!transcript->session || transcript->broken || gnutls_protocol_get_version(transcript->session) != GNUTLS_TLS1_3)
        return -ENOMSG;

    int size = transcript_current(transcript, hash);
    if (size < 0)
        return size;
    int length = certificate_verify_build(side, (BytesView) { hash, (size_t) size }, content);
    if (length < 0)
        return length;

    if (digest.size > sizeof(expected) || digest.size != gnutls_hash_get_len(digest_algorithm) ||
        gnutls_hash_fast(digest_algorithm, content, (size_t) length, expected) < 0 ||
        !bytes_view_equal(digest, (BytesView) { expected, digest.size }))
        return -ENOMSG;

    memcpy(ret_hash, hash, (size_t) size);
    *ret_size = (size_t) size;
    return 0;
}

int transcript_messages_for(const Transcript *transcript, gnutls_digest_algorithm_t digest_algorithm, BytesView digest,
                            BytesView *ret) {
    uint8_t expected[64];

    if (!transcript->session || transcript->broken || gnutls_protocol_get_version(transcript->session) != GNUTLS_TLS1_2)
        return -ENOMSG;
    if (transcript->is_long)
        return -EMSGSIZE;
    if (digest.size > sizeof(expected) || digest.size != gnutls_hash_get_len(digest_algorithm) ||
        gnutls_hash_fast(digest_algorithm, transcript->messages.data, transcript->messages.size, expected) < 0 ||
        !bytes_view_equal(digest, (BytesView) { expected, digest.size }))
        return -ENOMSG;
    *ret = bytes_view(&transcript->messages);
    return 0;
}

int transcript_side(const Transcript *transcript, TlsSide *ret) {
    if (!transcript->has_side)
        return -ENOMSG;
    *ret = transcript->side;
    return 0;
}

void transcript_detach(Transcript *transcript) {
    if (!transcript || !transcript->session)
        return;
    gnutls_handshake_set_hook_function(transcript->session, GNUTLS_HANDSHAKE_ANY, GNUTLS_HOOK_BOTH, transcript->next);
    session_slot_set(transcript->session, SLOT_TRANSCRIPT, NULL);
    transcript->session = NULL;
}

Transcript *transcript_free(Transcript *transcript) {
    if (!transcript)
        return NULL;
    transcript_detach(transcript);
    hashes_release(transcript->running);
    hashes_release(transcript->main);
    bytes_clear(&transcript->messages);
    free(transcript);
    return NULL;
}
