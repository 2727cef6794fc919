/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the outside sees of an identity: handles (through the signing thread) and the files in the runtime directory. */
#include "lending/lending.h"

#include "common/key-reference.h"
#include "device/device.h"
#include "device/log.h"
#include "rules/backoff.h"
#include "signing/signing.h"

#include <string.h>

#define USEC_PER_SECOND 1000000ULL

/* Files that are older than the key (or that should be gone) are no state to stay in: tried again until they are right.
 */
static const BackoffPolicy patience = { 1, 60 };

typedef struct Publication {
    Backoff backoff;
    bool must_tell_signing; /* that could not be told for want of memory */
    SharedFile *anchors;    /* what was told last */
} Publication;

static int write_files(const Identity *identity, Failure *ret_failure) {
    _cleanup_bytes_ Bytes key = BYTES_NULL, chain = BYTES_NULL, anchors = BYTES_NULL, both = BYTES_NULL,
                          current = BYTES_NULL;
    const char *name = identity_name(identity);
    int runtime_fd = device_directories(identity_context(identity)->device)->runtime_fd;
    IdentityState state = identity_state(identity);

    if (identity_generation(identity) == 0 || state == STATE_REVOKED || state == STATE_RETIRED ||
        state == STATE_MISCONFIGURED)
        return publish_set(runtime_fd, name, NULL, 0, ret_failure);
    int r = key_reference_to_pem(name, identity_generation(identity), &key);
    if (r >= 0)
        r = key_reference_to_pem(name, 0, &current);
    if (r >= 0)
        r = certificate_list_to_pem(identity_chain(identity), &chain);
    if (r >= 0)
        r = bytes_append(&both, bytes_view(&key));
    if (r >= 0)
        r = bytes_append(&both, bytes_view(&chain));
    if (r >= 0 && identity_peer_anchors(identity)->count > 0)
        r = certificate_list_to_pem(identity_peer_anchors(identity), &anchors);
    if (r < 0)
        return failure_errno(ret_failure, r, "Publishing files");
    const PublishedFile files[] = {
        { "chain.pem", bytes_view(&chain) },     { "anchors.pem", bytes_view(&anchors) },
        { "key.pem", bytes_view(&key) },         /* of the same generation as chain.pem */
        { "identity.pem", bytes_view(&both) },   /* both, for programs that read one file */
        { "current.pem", bytes_view(&current) }, /* for copies of a key file, which do not age */
    };
    return publish_set(runtime_fd, name, files, ARRAY_LENGTH(files), ret_failure);
}

static int publish_memfd(const char *name, BytesView content, int *ret) {
    *ret = -1;
    if (content.size == 0)
        return 0;
    int fd = bytes_to_memfd(name, content);
    if (fd < 0)
        return fd;
    *ret = fd;
    return 0;
}

/* One file for all identities that have the same. */
static int share_anchors(Identity *identity) {
    Publication *publication = identity_part(identity, &publication_duty);
    const CertificateList *anchors = identity_peer_anchors(identity);
    _cleanup_bytes_ Bytes pem = BYTES_NULL;
    SharedFile *fresh = NULL;
    int r = anchors->count > 0 ? certificate_list_to_pem(anchors, &pem) : 0;

    if (r >= 0 && pem.size > 0)
        r = shared_file_get(device_shared_files(identity_context(identity)->device), "identityd-anchors",
                            bytes_view(&pem), &fresh);
    if (r < 0)
        return r;
    shared_file_unref(publication->anchors);
    publication->anchors = fresh;
    return 0;
}

static int tell_signing(Identity *identity) {
    const Publication *publication = identity_part(identity, &publication_duty);
    _cleanup_bytes_ Bytes chain = BYTES_NULL;
    _cleanup_close_ int chain_fd = -1, ocsp_fd = -1;
    const Certificate *leaf = identity_leaf(identity);
    Failure blocked = FAILURE_INIT;

    if (identity_require_ready(identity, &blocked) >= 0)
        blocked.kind = FAILURE_NONE;
    int r = identity_chain(identity)->count > 0 ? certificate_list_to_pem(identity_chain(identity), &chain) : 0;
    if (r >= 0)
        r = share_anchors(identity);
    if (r >= 0)
        r = publish_memfd("identityd-chain", bytes_view(&chain), &chain_fd);
    if (r >= 0)
        r = publish_memfd("identityd-ocsp", identity_staple(identity), &ocsp_fd);
    if (r < 0)
        return r;
    SigningIdentity view = {
        .name = identity_name(identity),
        .state = identity_state_to_string(identity_state(identity)),
        .blocked = blocked.kind,
        .blocked_reason = blocked.text,
        .generation = identity_generation(identity),
        .key = identity_key(identity),
        .certificate = leaf ? bytes_view(&leaf->der) : (BytesView) { NULL, 0 },
        .tls12 = identity_config(identity) && identity_config(identity)->tls12,
        .not_after = leaf ? (uint64_t) leaf->not_after * USEC_PER_SECOND : 0,
        .chain_fd = chain_fd,
        .anchors_fd = shared_file_fd(publication->anchors),
        .crls_fd = identity_crls_fd(identity),
        .ocsp_fd = ocsp_fd,
    };
    return signing_set_identity(device_signing(identity_context(identity)->device), &view);
}

static void publish_files(Identity *identity) {
    Publication *publication = identity_part(identity, &publication_duty);
    Failure failure = FAILURE_INIT;

    if (write_files(identity, &failure) >= 0) {
        backoff_succeeded(&publication->backoff);
        return;
    }
    if (publication->backoff.failures == 0)
        log_entry(LOG_ERR, MESSAGE_STORAGE, identity_name(identity),
                  "%s; the files stay as they were, and are written as soon as that is possible.", failure.text);
    backoff_failed(&publication->backoff, &patience, identity_now(identity));
}

/* What must not sign any more does not, whatever it takes; its holders have been told why. */
static void take_back(const Identity *identity) {
    Signing *signing = device_signing(identity_context(identity)->device);

    if (identity_state(identity) == STATE_REVOKED)
        (void) signing_close_identity(signing, identity_name(identity));
    if (identity_state(identity) == STATE_RETIRED)
        (void) signing_remove_identity(signing, identity_name(identity));
}

static void publish(Identity *identity) {
    Publication *publication = identity_part(identity, &publication_duty);
    bool is_news = !publication->must_tell_signing;
    int r = tell_signing(identity);

    publication->must_tell_signing = r < 0;
    if (r < 0) {
        if (is_news)
            log_entry(LOG_ERR, NULL, identity_name(identity),
                      "Cannot tell the signing thread of a change: %s; it is told as soon as that is possible.",
                      strerror(-r));
        /* What must not sign any more does not, whatever it takes. */
        if (!identity_state_signs(identity_state(identity)))
            (void) signing_close_identity(device_signing(identity_context(identity)->device), identity_name(identity));
        backoff_failed(&publication->backoff, &patience, identity_now(identity));
        return;
    }
    take_back(identity);
    publish_files(identity);
}

static Instant publication_when(const Identity *identity) {
    const Publication *publication = identity_part(identity, &publication_duty);

    if (publication->backoff.failures == 0)
        return instant_never();
    return backoff_when(&publication->backoff, &patience, identity_now(identity));
}

static void publication_begin(Identity *identity) {
    const Publication *publication = identity_part(identity, &publication_duty);

    if (publication->must_tell_signing)
        publish(identity);
    else
        publish_files(identity);
}

static void publication_hear(Identity *identity, unsigned changes) {
    if (changes & (CHANGED_CONFIGURATION | CHANGED_STATE | CHANGED_GENERATION | CHANGED_ANCHORS | CHANGED_STATEMENTS |
                   CHANGED_TPM)) /* which may hang, or answer again */
        publish(identity);
}

static void publication_clear(void *part) {
    Publication *publication = part;

    publication->anchors = shared_file_unref(publication->anchors);
}

void publication_withdraw(const Device *device, const char *name) {
    Failure failure = FAILURE_INIT;

    (void) signing_remove_identity(device_signing(device), name);
    if (publish_set(device_directories(device)->runtime_fd, name, NULL, 0, &failure) < 0)
        log_entry(LOG_WARNING, MESSAGE_STORAGE, name, "%s; what is published of it is withdrawn at the next start.",
                  failure.text);
}

const Duty publication_duty = {
    .name = "publication",
    .part_size = sizeof(Publication),
    .clear = publication_clear,
    .when = publication_when,
    .begin = publication_begin,
    .hear = publication_hear,
};
