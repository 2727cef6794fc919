/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asks the parts of an identity, its enrolment, and what is kept for its peers. */
#include "manager/view.h"

#include "device/device.h"
#include "enrolment/enrolment.h"
#include "revocation/peers.h"

#define USEC_PER_SECOND 1000000ULL

static uint64_t to_usec(int64_t seconds) {
    return seconds <= 0 ? 0 : (uint64_t) seconds * USEC_PER_SECOND;
}

static int list_certificates(const CertificateList *list, BytesView **ret, size_t *ret_count) {
    BytesView *views = calloc(list->count + 1U, sizeof *views);

    if (!views)
        return -ENOMEM;
    for (size_t i = 0; i < list->count; i++)
        views[i] = bytes_view(&list->list[i]->der);
    *ret = views;
    *ret_count = list->count;
    return 0;
}

static int list_peer_crls(const Identity *identity, IdentityView *view) {
    size_t count = peers_count(identity);
    PeerCrlShown *list = calloc(count + 1U, sizeof *list);

    if (!list)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        PeerCrlView peer;
        peers_view(identity, i, &peer);
        list[i] = (PeerCrlShown) { peer.url,
                                   peer.issuer,
                                   peer.error,
                                   to_usec(peer.this_update),
                                   to_usec(peer.next_update),
                                   to_usec(peer.next_fetch) };
    }
    view->peer_crls = list;
    view->peer_crl_count = count;
    return 0;
}

static const char *key_algorithm(const Identity *identity) {
    const TpmKey *key = identity_key(identity);
    const IdentityConfig *config = identity_config(identity);

    if (key)
        return key_algorithm_to_string(tpm_key_algorithm(key));
    return config ? key_algorithm_to_string(config->algorithm) : "";
}

static void view_leaf(const Certificate *leaf, IdentityView *view) {
    view->subject = view->serial_number = view->issuer = "";
    if (!leaf)
        return;
    view->subject = leaf->subject;
    view->serial_number = leaf->serial;
    view->issuer = leaf->issuer;
    view->not_before = to_usec(leaf->not_before);
    view->not_after = to_usec(leaf->not_after);
}

static void view_times(const Identity *identity, IdentityView *view) {
    int64_t now = identity_now(identity);

    view->next_renewal = to_usec(instant_to_seconds(enrolment_renewal_when(identity), now));
    /* AfterRevocation=enroll waits too, though nothing has failed. */
    if (identity_activity(identity) == ACTIVITY_WAITING || identity_state(identity) == STATE_REVOKED)
        view->next_attempt = to_usec(instant_to_seconds(enrolment_when(identity), now));
}

static void view_clock(const Identity *identity, IdentityView *view) {
    DomainView domain;

    view->clock_source = "";
    if (!domain_view(device_domains(identity_context(identity)->device), identity_domain(identity), &domain))
        return;
    view->clock_floor = to_usec(domain.floor);
    view->clock_source = domain.source;
}

int identity_view(const Identity *identity, IdentityView *ret) {
    const TpmKey *key = identity_key(identity);
    _cleanup_identity_view_ IdentityView view = {
        .name = identity_name(identity),
        .state = identity_state_to_string(identity_state(identity)),
        .activity = identity_activity_to_string(identity_activity(identity)),
        .last_error = identity_error(identity),
        .ready_by_itself = enrolment_gets_ready(identity),
        .generation = identity_generation(identity),
        .key_algorithm = key_algorithm(identity),
        .public_key = key ? tpm_key_spki(key) : (BytesView) { NULL, 0 },
    };

    view_leaf(identity_leaf(identity), &view);
    view_times(identity, &view);
    view_clock(identity, &view);
    int r = list_certificates(identity_chain(identity), &view.certificates, &view.certificate_count);
    if (r >= 0)
        r = list_certificates(identity_peer_anchors(identity), &view.anchors, &view.anchor_count);
    if (r >= 0)
        r = list_peer_crls(identity, &view);
    if (r < 0)
        return r;
    *ret = view;
    view = (IdentityView) { .certificates = NULL };
    return 0;
}

void identity_view_clear(IdentityView *view) {
    free(view->certificates);
    free(view->anchors);
    free(view->peer_crls);
    *view = (IdentityView) { .certificates = NULL };
}
