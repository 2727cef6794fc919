/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the outside sees of an identity: handles (through the signing thread), the files in the runtime directory, and
 * the bus's view. */
#include "manager/internal.h"

#include "common/key-reference.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const CertificateList *peer_anchors(const Identity *identity) {
    return identity->peers.count > 0 ? &identity->peers : &identity->anchors;
}

static int publish_files(Identity *identity, BytesView chain, BytesView anchors, Failure *ret_failure) {
    _cleanup_bytes_ Bytes key = BYTES_NULL;
    int r = key_reference_to_pem(identity->name, &key);

    if (r < 0)
        return failure_errno(ret_failure, r, "Publishing files");
    const PublishedFile files[] = {
        { "chain.pem", chain },
        { "anchors.pem", anchors },
        { "key.pem", bytes_view(&key) },
    };
    return publish_set(identity->manager->runtime_fd, identity->name, files, ARRAY_LENGTH(files), ret_failure);
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

static int publish_to_signing(Identity *identity, BytesView chain, BytesView anchors) {
    _cleanup_close_ int chain_fd = -1, anchors_fd = -1, crls_fd = -1, ocsp_fd = -1;
    const Certificate *leaf = identity_leaf(identity);
    Failure blocked = FAILURE_INIT;

    if (identity_require_ready(identity, &blocked) >= 0)
        blocked.kind = FAILURE_NONE;
    int r = publish_memfd("identityd-chain", chain, &chain_fd);
    if (r >= 0)
        r = publish_memfd("identityd-anchors", anchors, &anchors_fd);
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

void identity_publish(Identity *identity) {
    _cleanup_bytes_ Bytes chain = BYTES_NULL, anchors = BYTES_NULL;
    Failure failure = FAILURE_INIT;
    int r = 0;

    if (identity->chain.count > 0)
        r = certificate_list_to_pem(&identity->chain, &chain);
    if (r >= 0 && peer_anchors(identity)->count > 0)
        r = certificate_list_to_pem(peer_anchors(identity), &anchors);
    if (r >= 0)
        r = publish_to_signing(identity, bytes_view(&chain), bytes_view(&anchors));
    if (r < 0) {
        log_entry(LOG_ERR, NULL, identity->name, "Cannot tell the signing thread of a change: %s.", strerror(-r));
        return;
    }
    bool visible = identity->generation != 0 && identity->state != STATE_REVOKED && identity->state != STATE_RETIRED &&
                   !identity->malformed;
    r = visible ? publish_files(identity, bytes_view(&chain), bytes_view(&anchors), &failure)
                : publish_set(identity->manager->runtime_fd, identity->name, NULL, 0, &failure);
    if (r < 0)
        log_entry(LOG_ERR, MESSAGE_STORAGE, identity->name, "%s", failure.text);
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

    int64_t when = identity->state == STATE_RETIRED ? 0 : enrolment_when(identity);
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
        .next_renewal = to_usec(identity->renew_at),
        .public_key = identity->key ? tpm_key_spki(identity->key) : (BytesView) { NULL, 0 },
        .certificates = identity->view_chain,
        .certificate_count = identity->chain.count,
        .anchors = identity->view_anchors,
        .anchor_count = views ? anchors->count : 0,
    };
}
