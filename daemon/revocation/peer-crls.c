/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A list in memory, files in `.peer-crls/`. A file's name is the hash of the CA's certificate and the URL, so that
 * nobody but that CA can replace what is in it. */
#include "revocation/peer-crls.h"

#include "device/log.h"

#include <gnutls/crypto.h>
#include <string.h>

struct PeerCrls {
    int state_fd;
    PeerCrl *first;
    char **on_disk; /* ids, sorted, as at the start: what may be read */
    size_t on_disk_count;
};

/* ---- life ---- */

int peer_crls_new(int state_fd, PeerCrls **ret) {
    PeerCrls *crls = calloc(1, sizeof *crls);
    Failure failure = FAILURE_INIT;

    if (!crls)
        return -ENOMEM;
    crls->state_fd = state_fd;
    if (store_peer_crl_list(state_fd, &crls->on_disk, &failure) < 0)
        log_entry(LOG_WARNING, MESSAGE_STORAGE, NULL, "The CRLs of peers' CAs are fetched anew: %s", failure.text);
    crls->on_disk_count = strings_count(crls->on_disk);
    *ret = crls;
    return 0;
}

static void destroy(PeerCrl *crl) {
    crl_free(crl->crl);
    bytes_clear(&crl->unsaved);
    free(crl->issuer);
    free(crl);
}

PeerCrls *peer_crls_free(PeerCrls *crls) {
    if (!crls)
        return NULL;
    while (crls->first) {
        PeerCrl *crl = crls->first;
        crls->first = crl->next;
        destroy(crl);
    }
    strings_free(crls->on_disk);
    free(crls);
    return NULL;
}

PeerCrl *peer_crl_ref(PeerCrl *crl) {
    crl->references++;
    return crl;
}

/* It stays in the list until peer_crls_tidy: an identity that is read anew will want it again. */
PeerCrl *peer_crl_unref(PeerCrl *crl) {
    if (crl)
        crl->references--;
    return NULL;
}

/* ---- finding ---- */

static int id_of(const PeerCrlPlace *place, char ret[static CRL_ID_SIZE]) {
    return crl_id(bytes_view(&place->ca->der), place->url, ret);
}

static PeerCrl *in_memory(const PeerCrls *crls, const char *id) {
    for (PeerCrl *crl = crls->first; crl; crl = crl->next)
        if (strcmp(crl->id, id) == 0)
            return crl;
    return NULL;
}

static int compare_ids(const void *key, const void *id) {
    return strcmp(key, *(char *const *) id);
}

static bool is_on_disk(const PeerCrls *crls, const char *id) {
    return crls->on_disk_count > 0 &&
           bsearch(id, crls->on_disk, crls->on_disk_count, sizeof *crls->on_disk, compare_ids);
}

static int64_t time_to_judge(const Identity *identity, const Crl *crl) {
    return identity_time_to_judge(identity, NULL, crl->this_update);
}

static PeerCrl *add(PeerCrls *crls, const PeerCrlPlace *place, const char *id) {
    PeerCrl *crl = calloc(1, sizeof *crl);

    if (!crl)
        return NULL;
    crl->issuer = strdup(place->ca->subject);
    if (!crl->issuer || certificate_fingerprint(place->ca, crl->ca) < 0) {
        free(crl->issuer);
        free(crl);
        return NULL;
    }
    memcpy(crl->id, id, CRL_ID_SIZE);
    crl->owner = crls;
    crl->next = crls->first;
    crls->first = crl;
    return crl;
}

/* The entries are not walked through here again, so the bytes need not stay in memory. */
static void set_content(PeerCrl *crl, Crl *content /* taken */, const uint8_t digest[static 32]) {
    crl->size = content->der.size;
    bytes_clear(&content->der);
    content->signed_part = content->entries = (BytesView) { NULL, 0 };
    crl_free(crl->crl);
    crl->crl = content;
    memcpy(crl->digest, digest, sizeof crl->digest);
}

static int read_from_disk(const PeerCrls *crls, const PeerCrlPlace *place, const char *id, Crl **ret,
                          uint8_t ret_digest[static 32], Failure *ret_failure) {
    _cleanup_bytes_ Bytes der = BYTES_NULL;
    _cleanup_(crl_free_p) Crl *crl = NULL;
    int r = store_peer_crl_load(crls->state_fd, id, &der, ret_failure);

    if (r >= 0)
        r = crl_parse_any(bytes_view(&der), &crl, ret_failure);
    if (r >= 0)
        r = crl_check_signer(crl, place->ca, time_to_judge(place->identity, crl), ret_failure);
    if (r < 0)
        return r;
    if (gnutls_hash_fast(GNUTLS_DIG_SHA256, crl->der.data, crl->der.size, ret_digest) < 0)
        return failure_errno(ret_failure, -EIO, "reading a CRL");
    *ret = TAKE_PTR(crl);
    return 0;
}

PeerCrl *peer_crls_find(PeerCrls *crls, const PeerCrlPlace *place) {
    Failure failure = FAILURE_INIT;
    char id[CRL_ID_SIZE];
    uint8_t digest[32];
    Crl *content = NULL;

    if (id_of(place, id) < 0)
        return NULL;
    PeerCrl *crl = in_memory(crls, id);
    if (crl)
        return peer_crl_ref(crl);
    if (!is_on_disk(crls, id))
        return NULL;
    int r = read_from_disk(crls, place, id, &content, digest, &failure);
    if (r == -ENOENT)
        return NULL;
    if (r < 0) {
        log_entry(LOG_WARNING, MESSAGE_STORAGE, identity_name(place->identity),
                  "A stored CRL of %s is left out, and fetched anew: %s", place->ca->subject, failure.text);
        return NULL;
    }
    crl = add(crls, place, id);
    if (!crl) {
        crl_free(content);
        return NULL;
    }
    set_content(crl, content, digest);
    return peer_crl_ref(crl);
}

/* ---- keeping ---- */

bool peer_crl_counts(const PeerCrl *crl, const Identity *identity) {
    return crl->crl && crl->crl->this_update <= time_to_judge(identity, crl->crl) + REVOCATION_SKEW;
}

static void save(PeerCrl *crl, const PeerCrlPlace *place, BytesView der) {
    Failure failure = FAILURE_INIT;

    bytes_clear(&crl->unsaved);
    if (store_peer_crl_save(crl->owner->state_fd, crl->id, der, &failure) >= 0)
        return;
    log_entry(LOG_WARNING, MESSAGE_STORAGE, identity_name(place->identity),
              "The CRL of %s counts, but could not be stored; after a restart it is fetched again: %s", crl->issuer,
              failure.text);
    (void) bytes_copy(der, &crl->unsaved);
}

/* Parsed once more, since the one that came goes back to whoever has it. */
static int replace(PeerCrl *crl, const PeerCrlPlace *place, const Crl *fresh, const uint8_t digest[static 32],
                   Failure *ret_failure) {
    Crl *copy = NULL;
    int r = crl_parse_any(bytes_view(&fresh->der), &copy, ret_failure);

    if (r < 0)
        return r;
    set_content(crl, copy, digest);
    save(crl, place, bytes_view(&fresh->der));
    return 0;
}

int peer_crls_keep(PeerCrls *crls, const PeerCrlPlace *place, const Crl *fresh, const uint8_t digest[static 32],
                   PeerCrl **ret, Failure *ret_failure) {
    char id[CRL_ID_SIZE];
    PeerCrl *crl = peer_crls_find(crls, place); /* what is on the disk alone is to be compared with, too */
    int r = crl ? 0 : id_of(place, id);

    if (!crl && r >= 0) {
        crl = add(crls, place, id);
        r = crl ? 0 : -ENOMEM;
        if (crl)
            peer_crl_ref(crl);
    }
    if (r < 0)
        return failure_errno(ret_failure, r, "Keeping a CRL");
    bool is_same = crl->crl && memcmp(crl->digest, digest, sizeof crl->digest) == 0;
    /* What says only what has changed must not take the place of what says all. */
    if (crl->crl && crl->crl->base_number.size == 0 && fresh->base_number.size > 0)
        r = failure_set(ret_failure, -ESTALE, FAILURE_CERTIFICATE_REJECTED,
                        "the CRL is a delta, and a whole one came from this place before");
    /* One from the future is no measure for what comes: this clock or that of whoever took it was wrong. */
    if (!is_same && r >= 0 && peer_crl_counts(crl, place->identity))
        r = crl_supersedes(fresh, crl->crl, ret_failure);
    if (!is_same && r >= 0)
        r = replace(crl, place, fresh, digest, ret_failure);
    else if (is_same && crl->unsaved.size > 0)
        save(crl, place, bytes_view(&fresh->der));
    if (r < 0) {
        peer_crl_unref(crl);
        return r;
    }
    *ret = crl;
    return 0;
}

int peer_crl_load(PeerCrl *crl, Bytes *ret_der, Failure *ret_failure) {
    _cleanup_bytes_ Bytes der = BYTES_NULL;
    uint8_t digest[32];

    if (crl->unsaved.size > 0) {
        int r = bytes_copy(bytes_view(&crl->unsaved), ret_der);
        return r < 0 ? failure_errno(ret_failure, r, "Reading a CRL") : 0;
    }
    int r = store_peer_crl_load(crl->owner->state_fd, crl->id, &der, ret_failure);
    if (r == -ENOENT)
        r = failure_set(ret_failure, r, FAILURE_STORAGE, "the stored CRL of %s is gone", crl->issuer);
    if (r >= 0 && (gnutls_hash_fast(GNUTLS_DIG_SHA256, der.data, der.size, digest) < 0 ||
                   memcmp(digest, crl->digest, sizeof digest) != 0))
        r = failure_set(ret_failure, -EBADMSG, FAILURE_STORAGE, "the stored CRL of %s is damaged", crl->issuer);
    if (r < 0) {
        if (r != -ENOMEM)
            crl->crl = crl_free(crl->crl);
        return r;
    }
    *ret_der = der;
    der = BYTES_NULL;
    return 0;
}

/* ---- forgetting ---- */

static void remove_file(const PeerCrls *crls, const char *id) {
    Failure failure = FAILURE_INIT;

    if (store_peer_crl_remove(crls->state_fd, id, &failure) < 0)
        log_entry(LOG_WARNING, MESSAGE_STORAGE, NULL, "%s", failure.text);
}

void peer_crls_tidy(PeerCrls *crls) {
    for (PeerCrl **link = &crls->first; *link;) {
        PeerCrl *crl = *link;
        if (crl->references > 0) {
            link = &crl->next;
            continue;
        }
        *link = crl->next;
        remove_file(crls, crl->id);
        destroy(crl);
    }
    for (char **id = crls->on_disk; id && *id; id++)
        if (!in_memory(crls, *id))
            remove_file(crls, *id);
    crls->on_disk = strings_free(crls->on_disk);
    crls->on_disk_count = 0;
}
