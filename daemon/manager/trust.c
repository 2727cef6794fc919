/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The three sets of anchors of an identity (FACTS): what its own chain must end in, what the CA's HTTPS server is
 * verified with, what programs verify their peers with. The first may change by rollover; it is kept in
 * trust/anchors.pem with the fingerprints of what was configured, so that a change of that is noticed. */
#include "manager/internal.h"

#include <stdio.h>
#include <string.h>

#define CONFIGURED_MARK  "configured-sha256: "
#define FINGERPRINT_SIZE 65U

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

/* ---- what is configured, as trust/anchors.pem keeps it: a line for each fingerprint, before the certificates ---- */

typedef struct Fingerprints {
    char list[BUNDLE_MAX][FINGERPRINT_SIZE];
    size_t count;
} Fingerprints;

static bool fingerprints_have(const Fingerprints *fingerprints, const char *wanted) {
    for (size_t i = 0; i < fingerprints->count; i++)
        if (strcmp(fingerprints->list[i], wanted) == 0)
            return true;
    return false;
}

static bool fingerprints_cover(const Fingerprints *fingerprints, const Fingerprints *wanted) {
    for (size_t i = 0; i < wanted->count; i++)
        if (!fingerprints_have(fingerprints, wanted->list[i]))
            return false;
    return true;
}

static int fingerprints_add(Fingerprints *fingerprints, const uint8_t fingerprint[static 32]) {
    _cleanup_free_ char *hex = bytes_to_hex((BytesView) { fingerprint, 32 });

    if (!hex)
        return -ENOMEM;
    if (fingerprints->count == BUNDLE_MAX)
        return -E2BIG;
    memcpy(fingerprints->list[fingerprints->count++], hex, FINGERPRINT_SIZE);
    return 0;
}

/* Of the certificates of Anchors=, or the one of AnchorsFingerprint=. */
static int configured_fingerprints(const Identity *identity, const CertificateList *configured, Fingerprints *ret) {
    int r = 0;

    ret->count = 0;
    for (size_t i = 0; r >= 0 && i < configured->count; i++) {
        uint8_t fingerprint[32];
        r = certificate_fingerprint(configured->list[i], fingerprint);
        if (r >= 0)
            r = fingerprints_add(ret, fingerprint);
    }
    if (r >= 0 && configured->count == 0 && identity->config->has_anchors_fingerprint)
        r = fingerprints_add(ret, identity->config->anchors_fingerprint);
    return r;
}

static void stored_fingerprints(BytesView text, Fingerprints *ret) {
    size_t prefix = strlen(CONFIGURED_MARK), line = prefix + FINGERPRINT_SIZE;

    for (ret->count = 0; ret->count < BUNDLE_MAX && text.size >= line &&
                         memcmp(text.data, CONFIGURED_MARK, prefix) == 0 && text.data[line - 1] == '\n';
         ret->count++) {
        memcpy(ret->list[ret->count], text.data + prefix, FINGERPRINT_SIZE - 1);
        ret->list[ret->count][FINGERPRINT_SIZE - 1] = '\0';
        text = (BytesView) { text.data + line, text.size - line };
    }
}

static int save_anchors(Identity *identity, const CertificateList *anchors, const Fingerprints *configured,
                        Failure *ret_failure) {
    _cleanup_bytes_ Bytes text = BYTES_NULL, pem = BYTES_NULL;
    int r = certificate_list_to_pem(anchors, &pem);

    for (size_t i = 0; r >= 0 && i < configured->count; i++) {
        char line[sizeof(CONFIGURED_MARK) + FINGERPRINT_SIZE + 1];
        (void) snprintf(line, sizeof line, CONFIGURED_MARK "%s\n", configured->list[i]);
        r = bytes_append(&text, bytes_view_string(line));
    }
    if (r >= 0)
        r = bytes_append(&text, bytes_view(&pem));
    if (r < 0)
        return failure_errno(ret_failure, r, "Writing anchors");
    return store_anchors_save(identity->store, bytes_view(&text), ret_failure);
}

/* What was learned by rollover stays beside what is configured, until something is taken out of the configuration: who
 * does that trusts it no more, nor what it vouched for, and which that was is not known. Then the configuration counts
 * alone. */
static int effective_anchors(const CertificateList *configured, const Fingerprints *now, const Fingerprints *before,
                             CertificateList *anchors /* stored ones, changed */) {
    int r = 0;

    if (!fingerprints_cover(now, before))
        certificate_list_clear(anchors);
    if (!fingerprints_cover(before, now) || anchors->count == 0)
        for (size_t i = 0; r >= 0 && i < configured->count; i++)
            if (!certificate_list_contains(anchors, configured->list[i]))
                r = certificate_list_add_copy(anchors, configured->list[i]);
    return r;
}

static int load_stored(Identity *identity, CertificateList *ret_anchors, Fingerprints *ret_configured,
                       Failure *ret_failure) {
    _cleanup_bytes_ Bytes stored = BYTES_NULL;

    ret_configured->count = 0;
    int r = store_anchors_load(identity->store, &stored, ret_failure);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    stored_fingerprints(bytes_view(&stored), ret_configured);
    r = certificate_list_from_pem(bytes_view(&stored), BUNDLE_MAX, ret_anchors, ret_failure);
    return r < 0 ? failure_prefix(ret_failure, r, "Stored anchors of %s (trust/anchors.pem)", identity->name) : 0;
}

/* Whoever judges by the anchors has to do so again where they are others. */
static void replace_anchors(Identity *identity, CertificateList *anchors /* taken */) {
    bool is_same = identity->anchors.count == anchors->count;

    for (size_t i = 0; is_same && i < anchors->count; i++)
        is_same = certificate_equal(identity->anchors.list[i], anchors->list[i]);
    identity->crls_judged = identity->crls_judged && is_same;
    certificate_list_clear(&identity->anchors);
    identity->anchors = *anchors;
    *anchors = (CertificateList) { 0 };
}

int identity_load_anchors(Identity *identity, Failure *ret_failure) {
    _cleanup_certificates_ CertificateList configured = { 0 }, effective = { 0 };
    _cleanup_free_ Fingerprints *now = calloc(2, sizeof *now);
    int r = now ? 0 : failure_errno(ret_failure, -ENOMEM, "Loading anchors");

    if (r >= 0 && identity->config->anchors)
        r = read_anchor_file(identity, identity->config->anchors, &configured, ret_failure);
    if (r < 0)
        return r;
    Fingerprints *before = &now[1];
    r = load_stored(identity, &effective, before, ret_failure);
    if (r < 0)
        return r;
    size_t stored_count = effective.count;
    r = configured_fingerprints(identity, &configured, now);
    if (r >= 0)
        r = effective_anchors(&configured, now, before, &effective);
    if (r < 0)
        return failure_errno(ret_failure, r, "Loading anchors");
    bool changed = !fingerprints_cover(now, before) || !fingerprints_cover(before, now) || stored_count == 0;
    if (changed && effective.count > 0)
        r = save_anchors(identity, &effective, now, ret_failure);
    if (r < 0)
        return r;
    if (changed && stored_count > 0)
        log_entry(LOG_NOTICE, MESSAGE_ANCHORS_CHANGED, identity->name,
                  "The configured anchors changed: %zu anchors before, %zu now.", stored_count, effective.count);
    replace_anchors(identity, &effective);
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
    _cleanup_certificates_ CertificateList fresh = *anchors, stored = { 0 }, none = { 0 };
    _cleanup_free_ Fingerprints *configured = malloc(sizeof *configured);

    *anchors = (CertificateList) { 0 };
    int r = configured ? 0 : failure_errno(ret_failure, -ENOMEM, "Writing anchors");
    if (r >= 0 && identity->config->anchors)
        r = load_stored(identity, &stored, configured, ret_failure); /* the file itself may be another by now */
    else if (r >= 0)
        r = configured_fingerprints(identity, &none, configured);
    if (r >= 0)
        r = save_anchors(identity, &fresh, configured, ret_failure);
    if (r < 0)
        return r;
    replace_anchors(identity, &fresh);
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
