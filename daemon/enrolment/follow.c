/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The first anchor by its fingerprint, and the rollover of those that are there. */
#include "enrolment/follow.h"

#include "device/log.h"
#include "identity/identity.h"

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
static const Certificate *authenticating_anchor(const Identity *identity, const CertificateList *answer,
                                                BytesView server_chain, CertificateList *staying) {
    const CertificateList *anchors = identity_anchors(identity);
    _cleanup_certificates_ CertificateList chain = { 0 };
    const Certificate *anchor = NULL;
    Failure failure = FAILURE_INIT;
    int r = 0;

    if (identity_config(identity)->server_anchors || !identity_leaf(identity) || server_chain.size == 0)
        return NULL;
    for (size_t i = 0; r >= 0 && i < anchors->count; i++)
        if (certificate_list_contains(answer, anchors->list[i]))
            r = certificate_list_add_ref(staying, anchors->list[i]);
    if (r >= 0)
        r = certificate_list_from_pem(server_chain, CHAIN_MAX, &chain, &failure);
    if (r < 0 || chain.count == 0) {
        log_entry(LOG_WARNING, MESSAGE_ANCHORS_CHANGED, identity_name(identity),
                  "The chain of the CA's server cannot be read, so no anchor leaves: %s",
                  failure.kind != FAILURE_NONE ? failure.text : "it is empty.");
        return NULL;
    }
    int64_t now = identity_time_to_verify(identity, chain.list[0]);
    return chain_build(chain.list[0], &chain, staying, now, NULL, &anchor, NULL) < 0 ? NULL : anchor;
}

int follow_rollover(Identity *identity, const CertificateList *answer, BytesView server_chain) {
    _cleanup_certificates_ CertificateList fresh = { 0 }, staying = { 0 };
    Failure failure = FAILURE_INIT;
    bool changed = false;
    int64_t now = identity_time_to_verify(identity, identity_leaf(identity));
    const Certificate *anchor = authenticating_anchor(identity, answer, server_chain, &staying);

    int r = trust_rollover(identity_anchors(identity), answer, anchor, identity_chain(identity), now, &fresh, &changed,
                           &failure);
    if (r < 0) {
        log_entry(LOG_WARNING, MESSAGE_ANCHORS_CHANGED, identity_name(identity),
                  "The CA's certificates were not taken over: %s", failure.text);
        return r;
    }
    if (!changed)
        return 0;
    size_t before = identity_anchors(identity)->count, after = fresh.count;
    r = identity_set_anchors(identity, &fresh, &failure);
    if (r < 0) {
        log_entry(LOG_ERR, MESSAGE_STORAGE, identity_name(identity), "The CA's new anchors could not be stored: %s",
                  failure.text);
        return r;
    }
    log_entry(LOG_NOTICE, MESSAGE_ANCHORS_CHANGED, identity_name(identity),
              "The CA's anchors changed by rollover: %zu before, %zu now.", before, after);
    return 1;
}

/* With a clock that is behind, "not yet valid" proves nothing. */
static int64_t bootstrap_time(const Identity *identity, const CertificateList *cacerts) {
    int64_t now = identity_now(identity);

    return identity_clock_is_behind(identity) ? certificate_list_begun(cacerts, now) : now;
}

static int bootstrap(Identity *identity, const CertificateList *cacerts, Failure *ret_failure) {
    _cleanup_certificates_ CertificateList anchors = { 0 };
    _cleanup_certificate_ Certificate *anchor = NULL;
    int r = trust_bootstrap(cacerts, identity_config(identity)->anchors_fingerprint, bootstrap_time(identity, cacerts),
                            &anchor, ret_failure);

    if (r < 0)
        return r;
    r = certificate_list_add(&anchors, TAKE_PTR(anchor));
    return r < 0 ? failure_errno(ret_failure, r, "Keeping the anchor")
                 : identity_set_anchors(identity, &anchors, ret_failure);
}

int follow_cacerts(Identity *identity, const CertificateList *cacerts, BytesView server_chain, Failure *ret_failure) {
    if (identity_anchors(identity)->count == 0 && identity_config(identity)->has_anchors_fingerprint)
        return bootstrap(identity, cacerts, ret_failure);
    /* Logs; a rollover that is refused does not hinder a renewal under the old root. */
    if (identity_anchors(identity)->count > 0)
        (void) follow_rollover(identity, cacerts, server_chain);
    return 0;
}
