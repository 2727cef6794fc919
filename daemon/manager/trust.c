/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The three sets of anchors of an identity (FACTS): what its own chain must end in, what the CA's HTTPS server is
 * verified with, what programs verify their peers with. The first may change by rollover; it is kept in
 * trust/anchors.pem with the digest of the configured file it began with, so that a change of that file is noticed and
 * added. */
#include "manager/internal.h"

#include <gnutls/crypto.h>
#include <string.h>

#define CONFIGURED_MARK "configured-sha256: "

static int read_anchor_file(const Identity *identity, const char *path, CertificateList *ret, Failure *ret_failure) {
    _cleanup_bytes_ Bytes pem = BYTES_NULL;
    int r = bytes_read_file(path, BUNDLE_BYTES_MAX, &pem);

    if (r < 0)
        return failure_set(ret_failure, r, FAILURE_INVALID_ARGUMENT, "Anchors of %s: cannot read %s: %s.",
                           identity->name, path, strerror(-r));
    r = certificate_list_from_pem(bytes_view(&pem), BUNDLE_MAX, ret, ret_failure);
    if (r < 0)
        return failure_prefix(ret_failure, r, "Anchors of %s: %s", identity->name, path);
    return 0;
}

/* The digest of the configured certificates (not of the text around them). */
static int configured_digest(const CertificateList *configured, char ret[static 65]) {
    _cleanup_bytes_ Bytes pem = BYTES_NULL;
    uint8_t digest[32];
    int r = certificate_list_to_pem(configured, &pem);

    if (r < 0)
        return r;
    if (gnutls_hash_fast(GNUTLS_DIG_SHA256, pem.data, pem.size, digest) < 0)
        return -EIO;
    _cleanup_free_ char *hex = bytes_to_hex((BytesView) { digest, sizeof digest });
    if (!hex)
        return -ENOMEM;
    memcpy(ret, hex, 65);
    return 0;
}

static int save_anchors(Identity *identity, const CertificateList *anchors, const char *mark, Failure *ret_failure) {
    _cleanup_bytes_ Bytes text = BYTES_NULL, pem = BYTES_NULL;
    int r = certificate_list_to_pem(anchors, &pem);

    if (r >= 0)
        r = bytes_append(&text, bytes_view_string(CONFIGURED_MARK));
    if (r >= 0)
        r = bytes_append(&text, bytes_view_string(mark));
    if (r >= 0)
        r = bytes_append(&text, bytes_view_string("\n"));
    if (r >= 0)
        r = bytes_append(&text, bytes_view(&pem));
    if (r < 0)
        return failure_errno(ret_failure, r, "Writing anchors");
    return store_anchors_save(identity->store, bytes_view(&text), ret_failure);
}

static void stored_mark(BytesView text, char ret[static 65]) {
    size_t prefix = strlen(CONFIGURED_MARK);

    strcpy(ret, "-");
    if (text.size > prefix + 64U && memcmp(text.data, CONFIGURED_MARK, prefix) == 0 &&
        text.data[prefix + 64U] == '\n') {
        memcpy(ret, text.data + prefix, 64);
        ret[64] = '\0';
    }
}

int identity_load_anchors(Identity *identity, Failure *ret_failure) {
    _cleanup_certificates_ CertificateList configured = { 0 }, effective = { 0 };
    _cleanup_bytes_ Bytes stored = BYTES_NULL;
    char mark[65] = "-", old_mark[65] = "-";
    bool changed = false;
    int r;

    if (identity->config->anchors) {
        r = read_anchor_file(identity, identity->config->anchors, &configured, ret_failure);
        if (r >= 0)
            r = configured_digest(&configured, mark);
        if (r < 0)
            return r;
    }
    r = store_anchors_load(identity->store, &stored, ret_failure);
    if (r < 0 && r != -ENOENT)
        return r;
    if (r >= 0) {
        r = certificate_list_from_pem(bytes_view(&stored), BUNDLE_MAX, &effective, ret_failure);
        if (r < 0)
            return failure_prefix(ret_failure, r, "Stored anchors of %s (trust/anchors.pem)", identity->name);
        stored_mark(bytes_view(&stored), old_mark);
    }
    if (strcmp(mark, old_mark) != 0 || effective.count == 0)
        for (size_t i = 0; i < configured.count; i++)
            if (!certificate_list_contains(&effective, configured.list[i])) {
                r = certificate_list_add_copy(&effective, configured.list[i]);
                if (r < 0)
                    return failure_errno(ret_failure, r, "Loading anchors");
                changed = true;
            }
    if (changed || (effective.count > 0 && strcmp(mark, old_mark) != 0)) {
        r = save_anchors(identity, &effective, mark, ret_failure);
        if (r < 0)
            return r;
    }
    certificate_list_clear(&identity->anchors);
    identity->anchors = effective;
    effective = (CertificateList) { 0 };
    return 0;
}

int identity_load_peers(Identity *identity, Failure *ret_failure) {
    _cleanup_certificates_ CertificateList peers = { 0 };

    if (identity->config->peers_anchors) {
        int r = read_anchor_file(identity, identity->config->peers_anchors, &peers, ret_failure);
        if (r < 0)
            return r;
    }
    certificate_list_clear(&identity->peers);
    identity->peers = peers;
    peers = (CertificateList) { 0 };
    return 0;
}

int identity_set_anchors(Identity *identity, CertificateList *anchors, Failure *ret_failure) {
    _cleanup_bytes_ Bytes stored = BYTES_NULL;
    _cleanup_certificates_ CertificateList fresh = *anchors;
    char mark[65] = "-";

    *anchors = (CertificateList) { 0 };
    if (store_anchors_load(identity->store, &stored, NULL) >= 0)
        stored_mark(bytes_view(&stored), mark);
    int r = save_anchors(identity, &fresh, mark, ret_failure);
    if (r < 0)
        return r;
    certificate_list_clear(&identity->anchors);
    identity->anchors = fresh;
    fresh = (CertificateList) { 0 };
    return 0;
}

int identity_server_anchors(Identity *identity, Bytes *ret_pem, Failure *ret_failure) {
    _cleanup_certificates_ CertificateList list = { 0 };

    *ret_pem = BYTES_NULL;
    if (identity->config->server_anchors) {
        int r = read_anchor_file(identity, identity->config->server_anchors, &list, ret_failure);
        if (r < 0)
            return r;
    } else if (identity->anchors.count == 0)
        return 0;
    int r = certificate_list_to_pem(list.count > 0 ? &list : &identity->anchors, ret_pem);
    return r < 0 ? failure_errno(ret_failure, r, "Reading the anchors of the CA's server") : 0;
}

/* Which of the anchors that stay authenticated the session that brought the answer; without one, none leaves. It is
 * what the enroller says, and identityd has no way to prove it: TLS gives the client no evidence for third parties, and
 * a server's chain is public. Therefore:
 *  - an honest enroller's word keeps an anchor that the CA's own server still needs: whether our chain does without it
 *    says nothing of that, and a device that dropped it would not reach its CA again;
 *  - a lying enroller wins no trust. New anchors need what the old key signed (trust_rollover). It can have an anchor
 *    dropped that our own chain, which was verified here, does not need, by omitting it and showing a chain that it saw
 *    elsewhere; then whoever is below that anchor, perhaps a server of the CA, is refused until the admin changes the
 *    file of Anchors=. It cannot add, keep or swap one.
 * Asking for more than both (an admin's word, say) would leave an old root, perhaps one whose key is known to others by
 * now, in devices that nobody visits: that is the worse end. Where ServerAnchors= is set, the server never speaks for
 * our anchors, and none leaves by itself. */
static const Certificate *authenticating_anchor(Identity *identity, const CertificateList *answer,
                                                BytesView server_chain, CertificateList *staying) {
    _cleanup_certificates_ CertificateList chain = { 0 };
    const Certificate *anchor = NULL;
    Failure failure = FAILURE_INIT;
    int r = 0;

    if (identity->config->server_anchors || !identity_leaf(identity) || server_chain.size == 0)
        return NULL;
    for (size_t i = 0; r >= 0 && i < identity->anchors.count; i++)
        if (certificate_list_contains(answer, identity->anchors.list[i]))
            r = certificate_list_add_copy(staying, identity->anchors.list[i]);
    if (r >= 0)
        r = certificate_list_from_pem(server_chain, CHAIN_MAX, &chain, &failure);
    if (r < 0 || chain.count == 0) {
        log_entry(LOG_WARNING, MESSAGE_ANCHORS_CHANGED, identity->name,
                  "The chain of the CA's server cannot be read, so no anchor leaves: %s",
                  failure.kind != FAILURE_NONE ? failure.text : "it is empty.");
        return NULL;
    }
    int64_t now = manager_verification_time(identity->manager, chain.list[0]);
    return chain_build(chain.list[0], &chain, staying, now, NULL, &anchor, NULL) < 0 ? NULL : anchor;
}

int identity_follow_rollover(Identity *identity, const CertificateList *answer, BytesView server_chain) {
    _cleanup_certificates_ CertificateList fresh = { 0 }, staying = { 0 };
    Failure failure = FAILURE_INIT;
    bool changed = false;
    int64_t now = manager_verification_time(identity->manager, identity_leaf(identity));
    const Certificate *anchor = authenticating_anchor(identity, answer, server_chain, &staying);

    int r = trust_rollover(&identity->anchors, answer, anchor, &identity->chain, now, &fresh, &changed, &failure);
    if (r < 0) {
        log_entry(LOG_WARNING, MESSAGE_ANCHORS_CHANGED, identity->name, "The CA's certificates were not taken over: %s",
                  failure.text);
        return r;
    }
    if (!changed)
        return 0;
    size_t before = identity->anchors.count, after = fresh.count;
    r = identity_set_anchors(identity, &fresh, &failure);
    if (r < 0) {
        log_entry(LOG_ERR, MESSAGE_STORAGE, identity->name, "The CA's new anchors could not be stored: %s",
                  failure.text);
        return r;
    }
    identity_publish(identity);
    identity_changed(identity);
    log_entry(LOG_NOTICE, MESSAGE_ANCHORS_CHANGED, identity->name,
              "The CA's anchors changed by rollover: %zu before, %zu now.", before, after);
    return 1;
}
