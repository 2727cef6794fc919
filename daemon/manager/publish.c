/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the outside sees of an identity: handles (through the signing thread), the files in the runtime directory, and
 * the bus's view. */
#include "manager/internal.h"

#include "common/key-reference.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PUBLISH_AGAIN_FIRST 1 /* seconds, doubled with each failure */
#define PUBLISH_AGAIN_MAX   60

static const CertificateList *peer_anchors(const Identity *identity) {
    return identity->peers.count > 0 ? &identity->peers : &identity->anchors;
}

static int publish_files(Identity *identity, Failure *ret_failure) {
    _cleanup_bytes_ Bytes key = BYTES_NULL, chain = BYTES_NULL, anchors = BYTES_NULL;
    Manager *manager = identity->manager;

    if (identity->generation == 0 || identity->state == STATE_REVOKED || identity->state == STATE_RETIRED ||
        identity->malformed)
        return publish_set(manager->runtime_fd, identity->name, NULL, 0, ret_failure);
    int r = key_reference_to_pem(identity->name, &key);
    if (r >= 0)
        r = certificate_list_to_pem(&identity->chain, &chain);
    if (r >= 0 && peer_anchors(identity)->count > 0)
        r = certificate_list_to_pem(peer_anchors(identity), &anchors);
    if (r < 0)
        return failure_errno(ret_failure, r, "Publishing files");
    const PublishedFile files[] = {
        { "chain.pem", bytes_view(&chain) },
        { "anchors.pem", bytes_view(&anchors) },
        { "key.pem", bytes_view(&key) },
    };
    return publish_set(manager->runtime_fd, identity->name, files, ARRAY_LENGTH(files), ret_failure);
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

static int publish_to_signing(Identity *identity) {
    _cleanup_bytes_ Bytes chain = BYTES_NULL, anchors = BYTES_NULL;
    _cleanup_close_ int chain_fd = -1, anchors_fd = -1, crls_fd = -1, ocsp_fd = -1;
    const Certificate *leaf = identity_leaf(identity);
    Failure blocked = FAILURE_INIT;

    if (identity_require_ready(identity, &blocked) >= 0)
        blocked.kind = FAILURE_NONE;
    int r = identity->chain.count > 0 ? certificate_list_to_pem(&identity->chain, &chain) : 0;
    if (r >= 0 && peer_anchors(identity)->count > 0)
        r = certificate_list_to_pem(peer_anchors(identity), &anchors);
    if (r >= 0)
        r = publish_memfd("identityd-chain", bytes_view(&chain), &chain_fd);
    if (r >= 0)
        r = publish_memfd("identityd-anchors", bytes_view(&anchors), &anchors_fd);
    if (r >= 0)
        r = publish_memfd("identityd-crls", bytes_view(&identity->crls_pem), &crls_fd);
    if (r >= 0)
        r = publish_memfd("identityd-ocsp", bytes_view(&identity->ocsp), &ocsp_fd);
    if (r < 0)
        return r;
    SigningIdentity view = {
        .name = identity->name,
        .state = identity_state_to_string(identity->state),
        .blocked = blocked.kind,
        .blocked_reason = blocked.text,
        .generation = identity->generation,
        .key = identity->key,
        .not_after = leaf ? (uint64_t) leaf->not_after * USEC_PER_SECOND : 0,
        .chain_fd = chain_fd,
        .anchors_fd = anchors_fd,
        .crls_fd = crls_fd,
        .ocsp_fd = ocsp_fd,
    };
    return signing_set_identity(identity->manager->signing, &view);
}

/* Files that are older than the key (or that should be gone) are no state to stay in: tried again until they are right.
 */
static void publish_again(Identity *identity) {
    identity->publish_delay = identity->publish_delay == 0 ? PUBLISH_AGAIN_FIRST : identity->publish_delay * 2;
    if (identity->publish_delay > PUBLISH_AGAIN_MAX)
        identity->publish_delay = PUBLISH_AGAIN_MAX;
    identity->publish_at = manager_now(identity->manager) + identity->publish_delay;
}

int64_t publish_when(const Identity *identity) {
    /* One that lies further away was planned while the clock was elsewhere. */
    return identity->publish_at > manager_now(identity->manager) + PUBLISH_AGAIN_MAX ? 1 : identity->publish_at;
}

void identity_publish_files(Identity *identity) {
    Failure failure = FAILURE_INIT;

    if (publish_files(identity, &failure) >= 0) {
        identity->publish_at = 0;
        identity->publish_delay = 0;
        return;
    }
    if (identity->publish_delay == 0)
        log_entry(LOG_ERR, MESSAGE_STORAGE, identity->name,
                  "%s; the files stay as they were, and are written as soon as that is possible.", failure.text);
    publish_again(identity);
}

void identity_publish(Identity *identity) {
    int r = publish_to_signing(identity);

    if (r < 0) {
        log_entry(LOG_ERR, NULL, identity->name, "Cannot tell the signing thread of a change: %s.", strerror(-r));
        return;
    }
    identity_publish_files(identity);
}

static uint64_t to_usec(int64_t seconds) {
    return seconds <= 0 ? 0 : (uint64_t) seconds * USEC_PER_SECOND;
}

void identity_view(Identity *identity, IdentityView *ret) {
    const Certificate *leaf = identity_leaf(identity);
    const CertificateList *anchors = peer_anchors(identity);

    BytesView *views = reallocarray(identity->view_anchors, anchors->count + 1U, sizeof *views);
    if (views)
        identity->view_anchors = views;
    for (size_t i = 0; views && i < anchors->count; i++)
        views[i] = bytes_view(&anchors->list[i]->der);
    for (size_t i = 0; i < identity->chain.count; i++)
        identity->view_chain[i] = bytes_view(&identity->chain.list[i]->der);

    int64_t when = enrolment_when(identity);
    *ret = (IdentityView) {
        .name = identity->name,
        .state = identity_state_to_string(identity->malformed ? STATE_UNAVAILABLE : identity->state),
        .activity = identity_activity_to_string(identity->activity),
        .last_error = identity->last_error ? identity->last_error : "",
        .generation = identity->generation,
        .subject = leaf ? leaf->subject : "",
        .serial_number = leaf ? leaf->serial : "",
        .issuer = leaf ? leaf->issuer : "",
        .key_algorithm = identity->key      ? key_algorithm_to_string(tpm_key_algorithm(identity->key))
                         : identity->config ? key_algorithm_to_string(identity->config->algorithm)
                                            : "",
        .not_before = leaf ? to_usec(leaf->not_before) : 0,
        .not_after = leaf ? to_usec(leaf->not_after) : 0,
        .next_attempt = identity->activity == ACTIVITY_WAITING ? to_usec(when) : 0,
        .next_renewal = to_usec(enrolment_renewal_when(identity)),
        .public_key = identity->key ? tpm_key_spki(identity->key) : (BytesView) { NULL, 0 },
        .certificates = identity->view_chain,
        .certificate_count = identity->chain.count,
        .anchors = identity->view_anchors,
        .anchor_count = views ? anchors->count : 0,
    };
}
