/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sorted by their hashes, so that the same CRLs make the same file whatever their order in the configuration; and known
 * by these hashes, so that it is made for the first identity alone. */
#include "revocation/peer-handout.h"

#include "common/handle-protocol.h"
#include "device/log.h"

#include <gnutls/crypto.h>
#include <string.h>

#define PARTS_MAX 256U

typedef struct Part {
    PeerSource *source;
    PeerCrl *crl;
} Part;

typedef struct Parts {
    Part list[PARTS_MAX];
    size_t count, size; /* bytes of PEM, or a few more */
} Parts;

/* Base64 in lines of 64 characters between two lines of dashes. */
static size_t pem_size(const PeerCrl *crl) {
    size_t characters = (crl->size + 2U) / 3U * 4U;

    return characters + characters / 64U + 64U;
}

static bool has(const Parts *parts, const PeerCrl *crl) {
    for (size_t i = 0; i < parts->count; i++)
        if (memcmp(parts->list[i].crl->digest, crl->digest, sizeof crl->digest) == 0)
            return true;
    return false;
}

/* A newer one of the same CA and about the same, from another place, says all that this one says, and what is no more:
 * a hold that was lifted. */
static bool is_outdone_by(const PeerCrl *crl, const PeerCrl *other) {
    return memcmp(crl->ca, other->ca, sizeof crl->ca) == 0 && other->crl->this_update > crl->crl->this_update &&
           (crl->crl->base_number.size > 0) == (other->crl->base_number.size > 0) &&
           bytes_view_equal(bytes_view(&crl->crl->distribution_point), bytes_view(&other->crl->distribution_point));
}

static bool is_outdone(const PeerCrl *crl, PeerSource *const *sources, size_t count) {
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < sources[i]->kept_count; k++)
            if (peer_crl_counts(sources[i]->kept[k], sources[i]->identity) && is_outdone_by(crl, sources[i]->kept[k]))
                return true;
    return false;
}

static void leave_out(PeerSource *source, const PeerCrl *crl) {
    if (!source->is_left_out)
        log_entry(LOG_WARNING, MESSAGE_PEER_CRL, identity_name(source->identity),
                  "The CRLs for programs are more than %u MB: they do not get that of %s from %s, of %zu bytes.",
                  HANDLE_CRLS_MAX >> 20, crl->issuer, source->urls[0], crl->size);
    source->is_left_out = true;
}

typedef struct Sources {
    PeerSource *const *list;
    size_t count, room; /* bytes of PEM */
} Sources;

static void add_source(Parts *parts, const Sources *all, PeerSource *source) {
    bool was_left_out = source->is_left_out;
    size_t left_out = 0;

    for (size_t i = 0; i < source->kept_count; i++) {
        PeerCrl *crl = source->kept[i];
        if (!peer_crl_counts(crl, source->identity) || has(parts, crl) || is_outdone(crl, all->list, all->count))
            continue;
        if (parts->count == PARTS_MAX || parts->size + pem_size(crl) > all->room) {
            leave_out(source, crl);
            left_out++;
            continue;
        }
        parts->list[parts->count++] = (Part) { source, crl };
        parts->size += pem_size(crl);
    }
    source->is_left_out = left_out > 0;
    if (was_left_out != source->is_left_out)
        identity_note(source->identity, CHANGED_PROPERTIES);
}

static int compare_parts(const void *a, const void *b) {
    return memcmp(((const Part *) a)->crl->digest, ((const Part *) b)->crl->digest, 32);
}

static int digest_of(const Parts *parts, uint8_t ret[static 32]) {
    gnutls_hash_hd_t hash;

    if (gnutls_hash_init(&hash, GNUTLS_DIG_SHA256) < 0)
        return -EIO;
    for (size_t i = 0; i < parts->count; i++)
        (void) gnutls_hash(hash, parts->list[i].crl->digest, sizeof parts->list[i].crl->digest);
    gnutls_hash_deinit(hash, ret);
    return 0;
}

static int append_pem(Bytes *pem, BytesView crl) {
    gnutls_datum_t der = { (uint8_t *) (uintptr_t) crl.data, (unsigned) crl.size }, out = { NULL, 0 };

    if (gnutls_pem_base64_encode2("X509 CRL", &der, &out) < 0)
        return -ENOMEM;
    int r = bytes_append(pem, (BytesView) { out.data, out.size });
    gnutls_free(out.data);
    return r;
}

static int load_parts(void *userdata, Bytes *ret_pem) {
    const Parts *parts = userdata;
    _cleanup_bytes_ Bytes pem = BYTES_NULL;

    for (size_t i = 0; i < parts->count; i++) {
        _cleanup_bytes_ Bytes der = BYTES_NULL;
        Failure failure = FAILURE_INIT;
        PeerSource *source = parts->list[i].source;
        int r = peer_crl_load(parts->list[i].crl, &der, &failure);
        if (r < 0) {
            log_entry(LOG_WARNING, MESSAGE_STORAGE, identity_name(source->identity), "%s; it is fetched anew.",
                      failure.text);
            peer_source_ask_soon(source);
        }
        if (r >= 0)
            r = append_pem(&pem, bytes_view(&der));
        if (r < 0)
            return r;
    }
    *ret_pem = pem;
    pem = BYTES_NULL;
    return 0;
}

int peer_handout(Identity *identity, PeerSource *const *sources, size_t count) {
    _cleanup_free_ Parts *parts = calloc(1, sizeof *parts);
    PeerStatements statements = { .userdata = parts };
    const Sources all = { sources, count, HANDLE_CRLS_MAX - identity_own_crls_size(identity) };
    int r = parts ? 0 : -ENOMEM;

    for (size_t i = 0; r >= 0 && i < count; i++)
        add_source(parts, &all, sources[i]);
    if (r >= 0 && parts->count > 0) {
        qsort(parts->list, parts->count, sizeof parts->list[0], compare_parts);
        statements.load = load_parts;
        r = digest_of(parts, statements.digest);
    }
    if (r >= 0)
        r = identity_set_peer_crls(identity, &statements);
    if (r < 0)
        log_entry(LOG_WARNING, MESSAGE_PEER_CRL, identity_name(identity),
                  "The CRLs of peers' CAs could not be handed out: %s. Programs keep those that they have; it is tried "
                  "again.",
                  strerror(-r));
    return r;
}
