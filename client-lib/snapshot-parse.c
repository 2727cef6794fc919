/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The PEM of a snapshot as GnuTLS objects, made when first asked for: programs that only sign never pay for it, and
 * those that verify pay once a generation, not once a handshake. */
#include "client-lib/error.h"
#include "client-lib/snapshot.h"

#include <gnutls/abstract.h>
#include <string.h>

#define SNAPSHOT_ANCHORS_MAX 1024U
#define SNAPSHOT_CRLS_MAX    1024U

static int refused(const char *what, int code) {
    if (code == GNUTLS_E_MEMORY_ERROR)
        return client_errno(-ENOMEM, what);
    return client_error(-EBADMSG, "%s that identityd sent do not parse: %s", what, gnutls_strerror(code));
}

static gnutls_datum_t datum_of(const Bytes *bytes) {
    return (gnutls_datum_t) { bytes->data, (unsigned) bytes->size };
}

static int add_anchors(const identityd_snapshot *snapshot, gnutls_x509_trust_list_t list) {
    gnutls_datum_t pem = datum_of(&snapshot->anchors);
    gnutls_x509_crt_t *anchors = NULL;
    unsigned count = 0;

    if (pem.size == 0)
        return client_error(-ENOENT, "%s has no anchors to verify a peer with: set Anchors= in [Peers] or [Enrollment]",
                            snapshot->identity);
    int code = gnutls_x509_crt_list_import2(&anchors, &count, &pem, GNUTLS_X509_FMT_PEM, 0);
    if (code < 0)
        return refused("anchors", code);
    unsigned added = 0;
    if (count <= SNAPSHOT_ANCHORS_MAX) {
        code = gnutls_x509_trust_list_add_cas(list, anchors, count, GNUTLS_TL_NO_DUPLICATES);
        added = code < 0 ? 0 : (unsigned) code;
    }
    for (unsigned i = added; i < count; i++) /* the others belong to the list */
        gnutls_x509_crt_deinit(anchors[i]);
    gnutls_free(anchors);
    return added == count ? 0 : refused("anchors", code < 0 ? code : GNUTLS_E_INVALID_REQUEST);
}

/* The array is kept beside the list, which owns the CRLs but shows them to nobody. */
static int add_crls(identityd_snapshot *snapshot, gnutls_x509_trust_list_t list) {
    gnutls_datum_t pem = datum_of(&snapshot->crls);
    gnutls_x509_crl_t *crls = NULL;
    unsigned count = 0;

    if (pem.size == 0)
        return 0;
    int code = gnutls_x509_crl_list_import2(&crls, &count, &pem, GNUTLS_X509_FMT_PEM, 0);
    if (code < 0)
        return refused("CRLs", code);
    snapshot->crl_list = calloc(count ? count : 1, sizeof(*snapshot->crl_list));
    if (!snapshot->crl_list || count > SNAPSHOT_CRLS_MAX) {
        for (unsigned i = 0; i < count; i++)
            gnutls_x509_crl_deinit(crls[i]);
        gnutls_free(crls);
        return refused("CRLs", snapshot->crl_list ? GNUTLS_E_INVALID_REQUEST : GNUTLS_E_MEMORY_ERROR);
    }
    for (unsigned i = 0; i < count; i++) {
        /* One at a time: where the list refuses one, it is known whose the others are. */
        code = gnutls_x509_trust_list_add_crls(list, &crls[i], 1, 0, 0);
        if (code < 1)
            gnutls_x509_crl_deinit(crls[i]);
        else
            snapshot->crl_list[snapshot->crl_count++] = crls[i];
    }
    gnutls_free(crls);
    return 0;
}

static int make_trust(identityd_snapshot *snapshot) {
    gnutls_x509_trust_list_t list = NULL;
    int code = gnutls_x509_trust_list_init(&list, 0);

    if (code < 0)
        return refused("anchors", code);
    int r = add_anchors(snapshot, list);
    if (r >= 0)
        r = add_crls(snapshot, list);
    if (r < 0) {
        gnutls_x509_trust_list_deinit(list, 1);
        free(TAKE_PTR(snapshot->crl_list));
        snapshot->crl_count = 0;
        return r;
    }
    snapshot->trust = list;
    return 0;
}

int snapshot_trust(identityd_snapshot *snapshot, gnutls_x509_trust_list_t *ret) {
    pthread_mutex_lock(&snapshot->parse_lock);
    int r = snapshot->trust ? 0 : make_trust(snapshot);
    pthread_mutex_unlock(&snapshot->parse_lock);
    if (r >= 0)
        *ret = snapshot->trust;
    return r;
}

static int export_chain(gnutls_x509_crt_t *certificates, unsigned count, gnutls_datum_t *ret) {
    for (unsigned i = 0; i < count; i++) {
        int code = gnutls_x509_crt_export2(certificates[i], GNUTLS_X509_FMT_DER, &ret[i]);
        if (code < 0) {
            while (i-- > 0)
                gnutls_free(ret[i].data);
            return refused("certificates", code);
        }
    }
    return 0;
}

static int make_chain(identityd_snapshot *snapshot) {
    gnutls_datum_t pem = datum_of(&snapshot->chain);
    gnutls_x509_crt_t certificates[SNAPSHOT_CHAIN_MAX];
    unsigned count = SNAPSHOT_CHAIN_MAX;

    if (pem.size == 0)
        return client_error(-ENOENT, "%s has no certificate: it is %s", snapshot->identity, snapshot->state);
    int code = gnutls_x509_crt_list_import(certificates, &count, &pem, GNUTLS_X509_FMT_PEM,
                                           GNUTLS_X509_CRT_LIST_IMPORT_FAIL_IF_EXCEED);
    if (code < 0)
        return refused("certificates", code);

    gnutls_datum_t *der = calloc(count, sizeof(*der));
    int r = der ? export_chain(certificates, count, der) : client_errno(-ENOMEM, "certificates");
    for (unsigned i = 0; i < count; i++)
        gnutls_x509_crt_deinit(certificates[i]);
    if (r < 0) {
        free(der);
        return r;
    }
    snapshot->chain_der = der;
    snapshot->chain_count = count;
    return 0;
}

int snapshot_chain_der(identityd_snapshot *snapshot, const gnutls_datum_t **ret, unsigned *ret_count) {
    pthread_mutex_lock(&snapshot->parse_lock);
    int r = snapshot->chain_der ? 0 : make_chain(snapshot);
    pthread_mutex_unlock(&snapshot->parse_lock);
    if (r >= 0) {
        *ret = snapshot->chain_der;
        *ret_count = snapshot->chain_count;
    }
    return r;
}

static int make_public_key(identityd_snapshot *snapshot) {
    gnutls_x509_crt_t leaf = NULL;
    gnutls_pubkey_t pubkey = NULL;

    int code = gnutls_x509_crt_init(&leaf);
    if (code >= 0)
        code = gnutls_x509_crt_import(leaf, &snapshot->chain_der[0], GNUTLS_X509_FMT_DER);
    if (code >= 0)
        code = gnutls_pubkey_init(&pubkey);
    if (code >= 0)
        code = gnutls_pubkey_import_x509(pubkey, leaf, 0);
    if (code >= 0) {
        if (gnutls_x509_crt_get_key_usage(leaf, &snapshot->key_usage, NULL) < 0)
            snapshot->key_usage = 0;
        snapshot->algorithm = (gnutls_pk_algorithm_t) gnutls_pubkey_get_pk_algorithm(pubkey, &snapshot->bits);
        code = gnutls_pubkey_export2(pubkey, GNUTLS_X509_FMT_DER, &snapshot->public_key);
    }
    if (pubkey)
        gnutls_pubkey_deinit(pubkey);
    if (leaf)
        gnutls_x509_crt_deinit(leaf);
    return code < 0 ? refused("certificates", code) : 0;
}

int snapshot_read_public_key(identityd_snapshot *snapshot) {
    pthread_mutex_lock(&snapshot->parse_lock);
    int r = snapshot->chain_der ? 0 : make_chain(snapshot);
    if (r >= 0 && !snapshot->public_key.data)
        r = make_public_key(snapshot);
    pthread_mutex_unlock(&snapshot->parse_lock);
    return r;
}
