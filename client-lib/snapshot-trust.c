/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Anchors and CRLs of a snapshot as objects, made when first asked for: apart from chain and key (snapshot-parse.c), so
 * that a module which only signs does not bring the verifier along. */
#include "client-lib/error.h"
#include "client-lib/snapshot-parse.h"

#include <string.h>

static int add_moments(SnapshotTrust *trust, int64_t first, int64_t second) {
    time_t *moments = reallocarray(trust->moments, trust->moment_count + 2U, sizeof(*moments));

    if (!moments)
        return client_errno(-ENOMEM, "anchors");
    moments[trust->moment_count++] = (time_t) first;
    moments[trust->moment_count++] = (time_t) second;
    trust->moments = moments;
    return 0;
}

static int not_parsed(const char *what, int r, const Failure *failure) {
    return r == -ENOMEM ? client_errno(r, what)
                        : client_error(-EBADMSG, "%s that identityd sent do not parse: %s", what, failure->text);
}

static int add_anchors(const identityd_snapshot *snapshot, SnapshotTrust *trust) {
    Failure failure = FAILURE_INIT;
    LeftOut left_out = { 0 };

    if (snapshot->anchors.size == 0)
        return client_error(-ENOENT, "%s has no anchors to verify a peer with: set Anchors= in [Peers] or [Enrollment]",
                            snapshot->identity);
    int r = certificate_bundle_from_pem(bytes_view(&snapshot->anchors), &trust->anchors, &left_out, &failure);
    if (r < 0)
        return not_parsed("anchors", r, &failure);
    for (size_t i = 0; i < trust->anchors.count && r >= 0; i++)
        r = add_moments(trust, trust->anchors.list[i]->not_before, trust->anchors.list[i]->not_after);
    return r;
}

static int add_crls(const identityd_snapshot *snapshot, SnapshotTrust *trust) {
    Failure failure = FAILURE_INIT;
    LeftOut left_out = { 0 };
    int r = crl_set_from_pem(bytes_view(&snapshot->crls), &trust->crls, &left_out, &failure);

    if (r >= 0 && left_out.count > 0)
        r = failure_set(&failure, -EBADMSG, FAILURE_CERTIFICATE_REJECTED, "%s", left_out.first.text);
    if (r < 0)
        return not_parsed("CRLs", r, &failure);
    for (size_t i = 0; i < trust->crls.count && r >= 0; i++)
        r = add_moments(trust, trust->crls.list[i]->this_update, trust->crls.list[i]->next_update);
    return r;
}

static SnapshotTrust *trust_free(SnapshotTrust *trust) {
    if (!trust)
        return NULL;
    certificate_list_clear(&trust->anchors);
    crl_set_clear(&trust->crls);
    free(trust->moments);
    free(trust->verified);
    free(trust);
    return NULL;
}
DEFINE_CLEANUP(SnapshotTrust, trust_free)

static void clear_trust(identityd_snapshot *snapshot) {
    trust_free(snapshot->trust);
}

int snapshot_trust(identityd_snapshot *snapshot, const SnapshotTrust **ret) {
    SnapshotTrust *made = snapshot->trust, *none = NULL;

    if (!made) {
        _cleanup_(trust_free_p) SnapshotTrust *trust = calloc(1, sizeof(*trust));
        int r = trust ? add_anchors(snapshot, trust) : client_errno(-ENOMEM, "anchors");
        if (r >= 0)
            r = add_crls(snapshot, trust);
        if (r >= 0 && !(trust->verified = calloc(1, sizeof(*trust->verified))))
            r = client_errno(-ENOMEM, "anchors");
        if (r < 0)
            return r;
        snapshot->clear_trust = clear_trust;
        made = atomic_compare_exchange_strong(&snapshot->trust, &none, trust) ? TAKE_PTR(trust) : none;
    }
    *ret = made;
    return 0;
}
