/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Makes and caches CRLs. */
#include "crl.h"

#include "index.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

/* DIR/crlnumber: one counter for all authorities, so that it serves `openssl ca` too (hexadecimal, next value). */
static int next_number(const char *directory, uint64_t *ret) {
    _cleanup_free_ char *line = file_read_line(directory, "crlnumber");
    uint64_t number = 1;
    char text[32];

    if (line && sscanf(line, "%" SCNx64, &number) != 1)
        return -EBADMSG;
    (void) snprintf(text, sizeof(text), "%016" PRIX64 "\n", number + 1);
    *ret = number;
    return file_write_text(directory, "crlnumber", text);
}

/* FNV-1a: enough to notice that a list of revocations is another one. */
static uint64_t digest_add(uint64_t digest, const void *data, size_t size) {
    const uint8_t *bytes = data;

    for (size_t i = 0; i < size; i++)
        digest = (digest ^ bytes[i]) * UINT64_C(0x100000001b3);
    return digest;
}

static int add_serial(gnutls_x509_crl_t crl, const IndexEntry *entry) {
    gnutls_datum_t hex = { (uint8_t *) (uintptr_t) entry->serial, (unsigned) strlen(entry->serial) };
    uint8_t serial[20];
    size_t size = sizeof(serial);
    int r;

    r = gnutls_hex_decode(&hex, serial, &size);
    return r < 0 ? r : gnutls_x509_crl_set_crt_serial(crl, serial, size, entry->revoked);
}

static bool entry_counts(const IndexEntry *entry, const Authority *authority) {
    return entry->status == 'R' && strcmp(entry->issuer, authority->name) == 0;
}

static int set_key_id(gnutls_x509_crl_t crl, const Authority *authority) {
    uint8_t id[64];
    size_t size = sizeof(id);
    int r;

    r = gnutls_x509_crt_get_subject_key_id(authority->certificate, id, &size, NULL);
    return r < 0 ? r : gnutls_x509_crl_set_authority_key_id(crl, id, size);
}

typedef struct CrlTemplate {
    const Authority *issuer;
    gnutls_x509_privkey_t key;
    time_t this_update, next_update;
    uint64_t number;
} CrlTemplate;

static int make(const CrlTemplate *template, const IndexEntry *entries, size_t count, gnutls_datum_t *ret) {
    _cleanup_crl_ gnutls_x509_crl_t crl = NULL;
    uint8_t number[8];
    unsigned bits = 0;
    int pk, r;

    for (size_t i = 0; i < sizeof(number); i++)
        number[i] = (uint8_t) (template->number >> (8 * (7 - i)));
    pk = gnutls_x509_privkey_get_pk_algorithm2(template->key, &bits);
    r = gnutls_x509_crl_init(&crl);
    if (r >= 0)
        r = gnutls_x509_crl_set_version(crl, 2);
    if (r >= 0)
        r = gnutls_x509_crl_set_this_update(crl, template->this_update);
    if (r >= 0)
        r = gnutls_x509_crl_set_next_update(crl, template->next_update);
    if (r >= 0)
        r = gnutls_x509_crl_set_number(crl, number, sizeof(number));
    if (r >= 0)
        r = set_key_id(crl, template->issuer);
    for (size_t i = 0; r >= 0 && i < count; i++)
        if (entry_counts(&entries[i], template->issuer))
            r = add_serial(crl, &entries[i]);
    if (r >= 0)
        r = gnutls_x509_crl_sign2(crl, template->issuer->certificate, template->key,
                                  pk == GNUTLS_PK_ECDSA && bits > 256 ? GNUTLS_DIG_SHA384 : GNUTLS_DIG_SHA256, 0);
    if (r >= 0)
        r = gnutls_x509_crl_export2(crl, GNUTLS_X509_FMT_DER, ret);
    return r < 0 ? gnutls_complain(r, "cannot make a CRL") : 0;
}

/* A CRL that is wrong on purpose: never cached. */
static int make_wrong(CrlTemplate *template, FaultKind fault, const IndexEntry *entries, size_t count,
                      gnutls_datum_t *ret) {
    _cleanup_key_ gnutls_x509_privkey_t key = NULL;
    int r;

    if (fault == FAULT_STALE) {
        template->this_update -= 7200;
        template->next_update = template->this_update + 3600;
    } else if (fault == FAULT_OLD_NUMBER) {
        template->number = 0;
    } else {
        r = key_generate(CA_ECDSA_P256, &key);
        if (r < 0)
            return r;
        template->key = key;
    }
    return make(template, entries, count, ret);
}

static int copy(const gnutls_datum_t *datum, gnutls_datum_t *ret) {
    ret->data = gnutls_malloc(datum->size);
    if (!ret->data)
        return -ENOMEM;
    memcpy(ret->data, datum->data, datum->size);
    ret->size = datum->size;
    return 0;
}

static size_t cache_slot(CrlCache *cache, const char *authority) {
    size_t i = 0;

    while (i + 1 < CRL_CACHE_MAX && cache->entries[i].authority[0] &&
           strcmp(cache->entries[i].authority, authority) != 0)
        i++;
    return i;
}

int crl_get(const Ca *ca, CrlCache *cache, const char *authority, FaultKind fault, gnutls_datum_t *ret) {
    _cleanup_free_ IndexEntry *entries = NULL;
    const Authority *issuer = ca_find(ca, authority);
    time_t now = time(NULL);
    CrlTemplate template;
    uint64_t digest = UINT64_C(0xcbf29ce484222325);
    size_t count, slot;
    int r;

    if (!issuer)
        return -ENOENT;
    r = index_load(ca->directory, &entries, &count);
    if (r < 0)
        return r;
    template = (CrlTemplate) { issuer, issuer->key, now, now + cache->lifetime, 0 };
    if (fault == FAULT_STALE || fault == FAULT_OLD_NUMBER || fault == FAULT_WRONG_SIGNER)
        return make_wrong(&template, fault, entries, count, ret);
    for (size_t i = 0; i < count; i++)
        if (entry_counts(&entries[i], issuer))
            digest = digest_add(digest, entries[i].serial, strlen(entries[i].serial));
    slot = cache_slot(cache, authority);
    if (!cache->entries[slot].der.data || strcmp(cache->entries[slot].authority, authority) != 0 ||
        cache->entries[slot].revocations != digest || now - cache->entries[slot].made >= cache->lifetime / 2) {
        _cleanup_datum_ gnutls_datum_t der = DATUM_NULL;

        r = next_number(ca->directory, &template.number);
        if (r == 0)
            r = make(&template, entries, count, &der);
        if (r < 0)
            return r;
        datum_clear(&cache->entries[slot].der);
        cache->entries[slot].der = der;
        der = DATUM_NULL;
        cache->entries[slot].revocations = digest;
        cache->entries[slot].made = now;
        (void) snprintf(cache->entries[slot].authority, AUTHORITY_NAME_MAX, "%s", authority);
    }
    return copy(&cache->entries[slot].der, ret);
}

void crl_cache_drop(CrlCache *cache) {
    for (size_t i = 0; i < CRL_CACHE_MAX; i++) {
        datum_clear(&cache->entries[i].der);
        cache->entries[i].authority[0] = '\0';
    }
}
