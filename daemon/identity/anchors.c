/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Anchors as configured, as kept, and as they count. */
#include "identity/anchors.h"

#include "device/log.h"
#include "identity/definition.h"
#include "identity/parts.h"
#include "identity/record.h"
#include "pki/certificate-pool.h"

#include <gnutls/crypto.h>
#include <stdio.h>
#include <string.h>

#define CONFIGURED_MARK  "configured-sha256: "
#define FINGERPRINT_SIZE 65U

struct Anchors {
    CertificateList own;
    CertificateList peers; /* empty: own */
    CertificateList intermediates;
};

int anchors_new(Identity *identity) {
    identity->anchors = calloc(1, sizeof *identity->anchors);
    return identity->anchors ? 0 : -ENOMEM;
}

void anchors_free(Identity *identity) {
    if (!identity->anchors)
        return;
    certificate_list_clear(&identity->anchors->own);
    certificate_list_clear(&identity->anchors->peers);
    certificate_list_clear(&identity->anchors->intermediates);
    free(identity->anchors);
    identity->anchors = NULL;
}

const CertificateList *identity_anchors(const Identity *identity) {
    return &identity->anchors->own;
}

const CertificateList *identity_peer_anchors(const Identity *identity) {
    return identity->anchors->peers.count > 0 ? &identity->anchors->peers : &identity->anchors->own;
}

const CertificateList *identity_peer_intermediates(const Identity *identity) {
    return &identity->anchors->intermediates;
}

void identity_tell_left_out(const Identity *identity, const char *where, const LeftOut *left_out) {
    if (left_out->count > 0)
        log_entry(LOG_WARNING, MESSAGE_ANCHORS_CHANGED, identity->name,
                  "%zu of what is in %s cannot be read and is left out, the rest serves; the first: %s",
                  left_out->count, where, left_out->first.text);
}

static int read_anchor_file(const Identity *identity, const char *path, CertificateList *ret, Failure *ret_failure) {
    _cleanup_bytes_ Bytes pem = BYTES_NULL;
    LeftOut left_out = { 0 };
    int r = bytes_read_file(path, BUNDLE_BYTES_MAX, &pem);

    if (r < 0)
        return failure_set(ret_failure, r, error_may_pass(r) ? FAILURE_STORAGE : FAILURE_INVALID_ARGUMENT,
                           "Anchors of %s: cannot read %s: %s.", identity->name, path, strerror(-r));
    r = certificate_bundle_from_pem_shared(identity->context->certificates, bytes_view(&pem), ret, &left_out,
                                           ret_failure);
    if (r < 0)
        return failure_prefix(ret_failure, r, "Anchors of %s: %s", identity->name, path);
    identity_tell_left_out(identity, path, &left_out);
    return 0;
}

/* ---- what is configured, as trust/anchors.pem keeps it: a line for each fingerprint, before the certificates ---- */

typedef struct Fingerprints {
    char list[BUNDLE_MAX][FINGERPRINT_SIZE];
    size_t count;
    bool unsealed; /* read from a file without a checksum: what is configured may be missing in it */
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
    if (r >= 0 && configured->count == 0 && identity_config(identity)->has_anchors_fingerprint)
        r = fingerprints_add(ret, identity_config(identity)->anchors_fingerprint);
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
    return store_anchors_save(identity_store(identity), bytes_view(&text), ret_failure);
}

/* What was learned by rollover stays beside what is configured, until something is taken out of the configuration: who
 * does that trusts it no more, nor what it vouched for, and which that was is not known. Then the configuration counts
 * alone. */
static int effective_anchors(const CertificateList *configured, const Fingerprints *now, const Fingerprints *before,
                             CertificateList *anchors /* stored ones, changed */) {
    int r = 0;

    if (!fingerprints_cover(now, before))
        certificate_list_clear(anchors);
    if (before->unsealed || !fingerprints_cover(before, now) || anchors->count == 0)
        for (size_t i = 0; r >= 0 && i < configured->count; i++)
            if (!certificate_list_contains(anchors, configured->list[i]))
                r = certificate_list_add_ref(anchors, configured->list[i]);
    return r;
}

static int load_stored(const Identity *identity, CertificateList *ret_anchors, Fingerprints *ret_configured,
                       Failure *ret_failure) {
    _cleanup_bytes_ Bytes stored = BYTES_NULL;
    Failure damage = FAILURE_INIT;

    ret_configured->count = 0;
    ret_configured->unsealed = false;
    int r = store_anchors_load(identity_store(identity), &stored, &damage);
    if (r == -ENOENT)
        return 0;
    if (r < 0 && r != -EBADMSG) {
        if (ret_failure)
            *ret_failure = damage;
        return r;
    }
    if (r >= 0) {
        ret_configured->unsealed = r == STORE_UNSEALED;
        stored_fingerprints(bytes_view(&stored), ret_configured);
        r = certificate_list_from_pem_shared(identity->context->certificates, bytes_view(&stored), BUNDLE_MAX,
                                             ret_anchors, &damage);
    }
    if (r == -ENOMEM)
        return failure_errno(ret_failure, r, "Loading anchors");
    if (r < 0) { /* what is configured is read, or fetched, anew */
        log_entry(LOG_WARNING, MESSAGE_STORAGE, identity->name,
                  "trust/anchors.pem is damaged and counts for nothing; what is configured counts: %s", damage.text);
        ret_configured->count = 0;
    }
    return 0;
}

static void replace_own(Identity *identity, CertificateList *anchors /* taken */) {
    CertificateList *own = &identity->anchors->own;
    bool is_same = own->count == anchors->count;

    for (size_t i = 0; is_same && i < anchors->count; i++)
        is_same = certificate_equal(own->list[i], anchors->list[i]);
    if (!is_same)
        identity_note(identity, CHANGED_ANCHORS);
    certificate_pool_share(identity->context->certificates, anchors);
    certificate_list_clear(own);
    *own = *anchors;
    *anchors = (CertificateList) { 0 };
}

/* A disk that does not take them is no reason to have none: they are read, or found to be others, again at the next
 * start. Where none are left (another fingerprint is configured, and its root not yet fetched) the file goes: it has
 * what the configuration trusts no more. */
static void keep(Identity *identity, const CertificateList *anchors, const Fingerprints *configured) {
    Failure failure = FAILURE_INIT;

    if (anchors->count == 0 && store_anchors_drop(identity_store(identity), &failure) < 0)
        log_entry(LOG_WARNING, MESSAGE_STORAGE, identity->name,
                  "The old anchors count no more, but their file stays: %s.", failure.text);
    if (anchors->count > 0 && save_anchors(identity, anchors, configured, &failure) < 0)
        log_entry(LOG_WARNING, MESSAGE_STORAGE, identity->name, "The anchors count, but were not kept: %s.",
                  failure.text);
}

static int load_own(Identity *identity, Failure *ret_failure) {
    _cleanup_certificates_ CertificateList configured = { 0 }, effective = { 0 };
    _cleanup_free_ Fingerprints *now = calloc(2, sizeof *now);
    int r = now ? 0 : failure_errno(ret_failure, -ENOMEM, "Loading anchors");

    if (r >= 0 && identity_config(identity)->anchors)
        r = read_anchor_file(identity, identity_config(identity)->anchors, &configured, ret_failure);
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
    bool changed = !fingerprints_cover(now, before) || !fingerprints_cover(before, now);
    if (changed || before->unsealed)
        keep(identity, &effective, now);
    if (changed && stored_count > 0)
        log_entry(LOG_NOTICE, MESSAGE_ANCHORS_CHANGED, identity->name,
                  "The configured anchors changed: %zu anchors before, %zu now.", stored_count, effective.count);
    replace_own(identity, &effective);
    return 0;
}

static void replace(CertificateList *list, CertificateList *fresh /* taken */) {
    certificate_list_clear(list);
    *list = *fresh;
    *fresh = (CertificateList) { 0 };
}

static int load_peers(Identity *identity, Failure *ret_failure) {
    _cleanup_certificates_ CertificateList peers = { 0 }, intermediates = { 0 };
    const IdentityConfig *config = identity_config(identity);
    int r = 0;

    if (config->peers_anchors)
        r = read_anchor_file(identity, config->peers_anchors, &peers, ret_failure);
    if (r >= 0 && config->peers_intermediates && config->peers_check_crl)
        r = read_anchor_file(identity, config->peers_intermediates, &intermediates, ret_failure);
    if (r < 0)
        return r;
    replace(&identity->anchors->peers, &peers);
    replace(&identity->anchors->intermediates, &intermediates);
    return 0;
}

int anchors_load(Identity *identity, Failure *ret_failure) {
    int r = load_own(identity, ret_failure);

    return r < 0 ? r : load_peers(identity, ret_failure);
}

int identity_set_anchors(Identity *identity, CertificateList *anchors, Failure *ret_failure) {
    _cleanup_certificates_ CertificateList fresh = *anchors, stored = { 0 }, none = { 0 };
    _cleanup_free_ Fingerprints *configured = malloc(sizeof *configured);

    *anchors = (CertificateList) { 0 };
    int r = configured ? 0 : failure_errno(ret_failure, -ENOMEM, "Writing anchors");
    if (r >= 0 && identity_config(identity)->anchors)
        r = load_stored(identity, &stored, configured, ret_failure); /* the file itself may be another by now */
    else if (r >= 0)
        r = configured_fingerprints(identity, &none, configured);
    if (r >= 0)
        r = save_anchors(identity, &fresh, configured, ret_failure);
    if (r < 0)
        return r;
    replace_own(identity, &fresh);
    return 0;
}

int identity_server_anchors(const Identity *identity, Bytes *ret_pem, Failure *ret_failure) {
    _cleanup_certificates_ CertificateList list = { 0 };

    *ret_pem = BYTES_NULL;
    if (identity_config(identity)->server_anchors) {
        int r = read_anchor_file(identity, identity_config(identity)->server_anchors, &list, ret_failure);
        if (r < 0)
            return r;
    } else if (identity->anchors->own.count == 0)
        return 0;
    int r = certificate_list_to_pem(list.count > 0 ? &list : &identity->anchors->own, ret_pem);
    return r < 0 ? failure_errno(ret_failure, r, "Reading the anchors of the CA's server") : 0;
}

/* ---- trust domains ---- */

static int compare_fingerprints(const void *a, const void *b) {
    return memcmp(a, b, 32);
}

static int hash_anchors(const CertificateList *list, uint8_t ret[static 32]) {
    _cleanup_free_ uint8_t *all = malloc(list->count * 32U);
    int r = all ? 0 : -ENOMEM;

    for (size_t i = 0; r >= 0 && i < list->count; i++)
        r = certificate_fingerprint(list->list[i], all + i * 32U);
    if (r < 0)
        return r;
    qsort(all, list->count, 32, compare_fingerprints);
    return gnutls_hash_fast(GNUTLS_DIG_SHA256, all, list->count * 32U, ret) < 0 ? -EIO : 0;
}

/* One that knows no anchor yet is alone. */
int anchors_domain(const Identity *identity, char ret[static 65]) {
    const CertificateList *own = &identity->anchors->own;
    uint8_t digest[32];
    int r = 0;

    if (own->count > 0)
        r = hash_anchors(own, digest);
    else if (gnutls_hash_fast(GNUTLS_DIG_SHA256, identity->name, strlen(identity->name), digest) < 0)
        r = -EIO;
    if (r < 0)
        return r;
    _cleanup_free_ char *hex = bytes_to_hex((BytesView) { digest, sizeof digest });
    if (!hex)
        return -ENOMEM;
    memcpy(ret, hex, 65);
    return 0;
}
