/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The PEM of a snapshot as objects, made when first asked for: programs that only sign never pay for it, and
 * those that verify pay once a generation, not once a handshake. */
#include "client-lib/snapshot-parse.h"

#include "client-lib/error.h"

#include <gnutls/abstract.h>
#include <string.h>

static int refused(const char *what, int code) {
    if (code == GNUTLS_E_MEMORY_ERROR)
        return client_errno(-ENOMEM, what);
    return client_error(-EBADMSG, "%s that identityd sent do not parse: %s", what, gnutls_strerror(code));
}

static gnutls_datum_t datum_of(const Bytes *bytes) {
    return (gnutls_datum_t) { bytes->data, (unsigned) bytes->size };
}

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

static void clear_made(identityd_snapshot *snapshot);

/* Before anything is hung into the snapshot. */
static void will_be_cleared(identityd_snapshot *snapshot) {
    snapshot->clear_made = clear_made;
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
        will_be_cleared(snapshot);
        made = atomic_compare_exchange_strong(&snapshot->trust, &none, trust) ? TAKE_PTR(trust) : none;
    }
    *ret = made;
    return 0;
}

static SnapshotChain *chain_free(SnapshotChain *chain) {
    for (unsigned i = 0; chain && i < chain->count; i++)
        gnutls_free(chain->der[i].data);
    free(chain);
    return NULL;
}
DEFINE_CLEANUP(SnapshotChain, chain_free)

static int make_chain(const identityd_snapshot *snapshot, SnapshotChain *chain) {
    gnutls_datum_t pem = datum_of(&snapshot->chain);
    gnutls_x509_crt_t certificates[SNAPSHOT_CHAIN_MAX];
    unsigned count = SNAPSHOT_CHAIN_MAX;

    if (pem.size == 0)
        return client_error(-ENOENT, "%s has no certificate: it is %s", snapshot->identity, snapshot->state);
    int code = gnutls_x509_crt_list_import(certificates, &count, &pem, GNUTLS_X509_FMT_PEM,
                                           GNUTLS_X509_CRT_LIST_IMPORT_FAIL_IF_EXCEED);
    if (code < 0)
        return refused("certificates", code);
    code = 0;
    for (unsigned i = 0; i < count && code >= 0; i++) {
        code = gnutls_x509_crt_export2(certificates[i], GNUTLS_X509_FMT_DER, &chain->der[i]);
        if (code >= 0)
            chain->count++;
    }
    for (unsigned i = 0; i < count; i++)
        gnutls_x509_crt_deinit(certificates[i]);
    return code < 0 ? refused("certificates", code) : 0;
}

int snapshot_chain_der(identityd_snapshot *snapshot, const SnapshotChain **ret) {
    SnapshotChain *made = snapshot->chain_der, *none = NULL;

    if (!made) {
        _cleanup_(chain_free_p) SnapshotChain *chain = calloc(1, sizeof(*chain));
        int r = chain ? make_chain(snapshot, chain) : client_errno(-ENOMEM, "certificates");
        if (r < 0)
            return r;
        will_be_cleared(snapshot);
        made = atomic_compare_exchange_strong(&snapshot->chain_der, &none, chain) ? TAKE_PTR(chain) : none;
    }
    *ret = made;
    return 0;
}

static SnapshotKey *key_free(SnapshotKey *key) {
    if (key)
        gnutls_free(key->spki.data);
    free(key);
    return NULL;
}
DEFINE_CLEANUP(SnapshotKey, key_free)

static int make_key(const gnutls_datum_t *der, SnapshotKey *key) {
    gnutls_x509_crt_t leaf = NULL;
    gnutls_pubkey_t pubkey = NULL;

    int code = gnutls_x509_crt_init(&leaf);
    if (code >= 0)
        code = gnutls_x509_crt_import(leaf, der, GNUTLS_X509_FMT_DER);
    if (code >= 0)
        code = gnutls_pubkey_init(&pubkey);
    if (code >= 0)
        code = gnutls_pubkey_import_x509(pubkey, leaf, 0);
    if (code >= 0) {
        if (gnutls_x509_crt_get_key_usage(leaf, &key->usage, NULL) < 0)
            key->usage = 0;
        key->algorithm = (gnutls_pk_algorithm_t) gnutls_pubkey_get_pk_algorithm(pubkey, &key->bits);
        code = gnutls_pubkey_export2(pubkey, GNUTLS_X509_FMT_DER, &key->spki);
    }
    if (pubkey)
        gnutls_pubkey_deinit(pubkey);
    if (leaf)
        gnutls_x509_crt_deinit(leaf);
    return code < 0 ? refused("certificates", code) : 0;
}

int snapshot_key(identityd_snapshot *snapshot, const SnapshotKey **ret) {
    SnapshotKey *made = snapshot->key, *none = NULL;
    const SnapshotChain *chain;

    if (!made) {
        int r = snapshot_chain_der(snapshot, &chain);
        if (r < 0)
            return r;
        _cleanup_(key_free_p) SnapshotKey *key = calloc(1, sizeof(*key));
        r = key ? make_key(&chain->der[0], key) : client_errno(-ENOMEM, "certificates");
        if (r < 0)
            return r;
        will_be_cleared(snapshot);
        made = atomic_compare_exchange_strong(&snapshot->key, &none, key) ? TAKE_PTR(key) : none;
    }
    *ret = made;
    return 0;
}

static void clear_made(identityd_snapshot *snapshot) {
    trust_free(snapshot->trust);
    chain_free(snapshot->chain_der);
    key_free(snapshot->key);
}
