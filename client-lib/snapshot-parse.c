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

static void clear_made(identityd_snapshot *snapshot);

/* Before anything is hung into the snapshot. */
static void will_be_cleared(identityd_snapshot *snapshot) {
    snapshot->clear_made = clear_made;
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
    chain_free(snapshot->chain_der);
    key_free(snapshot->key);
}
