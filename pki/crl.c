/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CRLs as they are parsed. What they count for is crl-scope.c's. */
#include "pki/crl.h"

#include "pki/asn1.h"
#include "pki/directory-name.h"
#include "pki/extensions.h"
#include "pki/signature.h"
#include "pki/strict.h"

#include <stdio.h>
#include <string.h>

#define MALFORMED(...) failure_set(ret_failure, -EBADMSG, FAILURE_CERTIFICATE_REJECTED, __VA_ARGS__)

#define OID_NUMBER             "2.5.29.20"
#define OID_DELTA_INDICATOR    "2.5.29.27"
#define OID_DISTRIBUTION_POINT "2.5.29.28"
#define OID_AUTHORITY_KEY      "2.5.29.35"

static void crl_handle_p(gnutls_x509_crl_t *crl) {
    if (*crl)
        gnutls_x509_crl_deinit(*crl);
}

Crl *crl_free(Crl *crl) {
    if (!crl)
        return NULL;
    bytes_clear(&crl->der);
    bytes_clear(&crl->issuer_raw);
    bytes_clear(&crl->issuer_form);
    bytes_clear(&crl->number);
    bytes_clear(&crl->base_number);
    bytes_clear(&crl->signature);
    bytes_clear(&crl->distribution_point);
    free(crl);
    return NULL;
}

/* ---- entries ---- */

static bool is_time(const DerItem *item) {
    return der_is(item, ASN1_TAG_UTCTime) || der_is(item, ASN1_TAG_GENERALIZEDTime);
}

static int read_entry_extensions(BytesView extensions, bool is_indirect, CrlEntry *entry, const char **ret_reason) {
    static const uint8_t reason_code[] = { 0x55, 0x1d, 0x15 }, invalidity_date[] = { 0x55, 0x1d, 0x18 },
                         certificate_issuer[] = { 0x55, 0x1d, 0x1d };
    CertificateExtension next;
    int r;

    while ((r = extension_next(&extensions, &next)) > 0) {
        if (bytes_view_equal(next.oid, (BytesView) { reason_code, 3 })) {
            DerItem item;
            if (der_next(&next.value, &item) <= 0 || next.value.size > 0 || !der_is(&item, ASN1_TAG_ENUMERATED) ||
                item.content.size != 1)
                return -EBADMSG;
            entry->reason = item.content.data[0];
        } else if (bytes_view_equal(next.oid, (BytesView) { certificate_issuer, 3 })) {
            if (!is_indirect) {
                *ret_reason = "one of its entries is about a certificate of another issuer (indirect CRL)";
                return -EKEYREJECTED;
            }
            entry->issuer = next.value;
        } else if (next.critical && !bytes_view_equal(next.oid, (BytesView) { invalidity_date, 3 })) {
            *ret_reason = "one of its entries has a critical extension that identityd does not understand";
            return -EKEYREJECTED;
        }
    }
    return r;
}

/* A number in one form only, the one that crl_find looks for: a certificate's number is in it as well. */
static bool is_der_integer(const DerItem *item) {
    const char *reason;

    return der_is(item, ASN1_TAG_INTEGER) && der_is_strict(item->whole, &reason);
}

int crl_next_entry(const Crl *crl, BytesView *entries, CrlEntry *ret, const char **ret_reason) {
    DerItem entry, item;
    int r = der_next(entries, &entry);

    if (r <= 0)
        return r;
    if (!der_is_sequence(&entry) || der_next(&entry.content, &item) <= 0 || !is_der_integer(&item))
        return -EBADMSG;
    *ret = (CrlEntry) { .serial = item.content };
    if (der_next(&entry.content, &item) <= 0 || !is_time(&item))
        return -EBADMSG;
    ret->date = item;
    r = der_next(&entry.content, &item);
    if (r < 0 || (r > 0 && (!der_is_sequence(&item) || entry.content.size > 0)))
        return -EBADMSG;
    if (r > 0) {
        r = read_entry_extensions(item.content, crl->is_indirect, ret, ret_reason);
        if (r < 0)
            return r;
    }
    return 1;
}

static int check_entries(Crl *crl, Failure *ret_failure) {
    BytesView entries = crl->entries;
    const char *reason = NULL;
    CrlEntry entry;
    int r;

    while ((r = crl_next_entry(crl, &entries, &entry, &reason)) > 0)
        crl->entry_count++;
    if (r == -EKEYREJECTED)
        return MALFORMED("the CRL is not taken: %s", reason);
    if (r < 0)
        return MALFORMED("entry %zu of the CRL cannot be read", crl->entry_count + 1);
    return 0;
}

/* ---- the list ---- */

/* TBSCertList (RFC 5280 §5.1): the entries apart from all else. */
typedef struct TbsParts {
    DerItem version, algorithm, issuer, this_update, next_update, entries, extensions;
    bool has_version, has_next_update, has_entries, has_extensions;
} TbsParts;

static int split_tbs(BytesView content, TbsParts *ret) {
    TbsParts parts = { 0 };
    DerItem item;
    int r;

    if (der_next(&content, &item) <= 0)
        return -EBADMSG;
    if (der_is(&item, ASN1_TAG_INTEGER)) {
        parts.version = item;
        parts.has_version = true;
        if (der_next(&content, &item) <= 0)
            return -EBADMSG;
    }
    parts.algorithm = item;
    if (der_next(&content, &parts.issuer) <= 0 || der_next(&content, &parts.this_update) <= 0 ||
        !der_is_sequence(&parts.algorithm) || !der_is_sequence(&parts.issuer) || !is_time(&parts.this_update))
        return -EBADMSG;
    r = der_next(&content, &item);
    if (r > 0 && is_time(&item)) {
        parts.next_update = item;
        parts.has_next_update = true;
        r = der_next(&content, &item);
    }
    if (r > 0 && der_is_sequence(&item)) {
        parts.entries = item;
        parts.has_entries = true;
        r = der_next(&content, &item);
    }
    if (r > 0 && item.class == (ASN1_CLASS_CONTEXT_SPECIFIC | ASN1_CLASS_STRUCTURED) && item.tag == 0) {
        parts.extensions = item;
        parts.has_extensions = true;
        r = der_next(&content, &item);
    }
    if (r != 0)
        return -EBADMSG;
    *ret = parts;
    return 0;
}

/* The same list without its entries, for GnuTLS to read what it knows. */
static int open_without_entries(const TbsParts *parts, const DerItem *algorithm, const DerItem *signature,
                                gnutls_x509_crl_t *ret, Failure *ret_failure) {
    _cleanup_bytes_ Bytes tbs = BYTES_NULL, whole = BYTES_NULL;
    _cleanup_(crl_handle_p) gnutls_x509_crl_t crl = NULL;
    BytesView elements[6];
    size_t count = 0;
    gnutls_datum_t datum;
    int r;

    if (parts->has_version)
        elements[count++] = parts->version.whole;
    elements[count++] = parts->algorithm.whole;
    elements[count++] = parts->issuer.whole;
    elements[count++] = parts->this_update.whole;
    if (parts->has_next_update)
        elements[count++] = parts->next_update.whole;
    if (parts->has_extensions)
        elements[count++] = parts->extensions.whole;
    r = asn1_sequence(elements, count, &tbs);
    if (r >= 0) {
        const BytesView outer[] = { bytes_view(&tbs), algorithm->whole, signature->whole };
        r = asn1_sequence(outer, ARRAY_LENGTH(outer), &whole);
    }
    if (r == -ENOMEM || (r >= 0 && gnutls_x509_crl_init(&crl) < 0))
        return failure_errno(ret_failure, -ENOMEM, "reading a CRL");
    if (r < 0)
        return MALFORMED("what should be a CRL is not one in DER (RFC 5280)");
    datum = datum_from_view(bytes_view(&whole));
    r = gnutls_x509_crl_import(crl, &datum, GNUTLS_X509_FMT_DER);
    if (r < 0)
        return MALFORMED("the CRL cannot be read: %s", gnutls_strerror(r));
    *ret = TAKE_PTR(crl);
    return 0;
}

unsigned crl_reasons(BytesView bits) {
    unsigned reasons = 0;

    for (unsigned i = 1; i <= 8; i++)
        if (bits.size > 1 + i / 8 && bits.data[1 + i / 8] & (0x80U >> (i % 8)))
            reasons |= 1U << i;
    return reasons;
}

/* ReasonFlags, as far as there are names for them. */
static int read_reasons(BytesView value, unsigned *ret) {
    DerItem item;

    if (der_next(&value, &item) <= 0 || item.content.size < 1 || item.content.size > 3)
        return -EBADMSG;
    *ret = crl_reasons(item.content);
    return 0;
}

static int read_distribution_point(Crl *crl, BytesView value, Failure *ret_failure) {
    _cleanup_asn1_ asn1_node node = NULL;
    BytesView reasons;
    int r = asn1_decode("IssuingDistributionPoint", value, &node);

    if (r == -ENOMEM)
        return failure_errno(ret_failure, r, "reading a CRL");
    if (r < 0 || asn1_boolean(node, "indirectCRL", &crl->is_indirect) < 0 ||
        asn1_boolean(node, "onlyContainsAttributeCerts", &crl->only_attributes) < 0 ||
        asn1_boolean(node, "onlyContainsUserCerts", &crl->only_users) < 0 ||
        asn1_boolean(node, "onlyContainsCACerts", &crl->only_cas) < 0 ||
        (asn1_slice(node, value, "onlySomeReasons", &reasons) >= 0 && read_reasons(reasons, &crl->reasons) < 0))
        return MALFORMED("the issuing distribution point of the CRL cannot be read");
    return bytes_copy(value, &crl->distribution_point);
}

static int read_number(BytesView value, Bytes *ret) {
    DerItem item;

    if (der_next(&value, &item) <= 0 || value.size > 0 || !der_is(&item, ASN1_TAG_INTEGER) || item.content.size == 0 ||
        item.content.size > 21 || (item.content.data[0] & 0x80))
        return -EBADMSG;
    while (item.content.size > 1 && item.content.data[0] == 0) {
        item.content.data++;
        item.content.size--;
    }
    return bytes_copy(item.content, ret);
}

static int read_crl_extensions(Crl *crl, gnutls_x509_crl_t handle, Failure *ret_failure) {
    for (unsigned i = 0;; i++) {
        _cleanup_datum_ gnutls_datum_t value = { 0 };
        char oid[ASN1_OID_MAX];
        size_t size = sizeof(oid);
        unsigned critical = 0;
        int r = gnutls_x509_crl_get_extension_info(handle, i, oid, &size, &critical);

        if (r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
            return 0;
        if (r < 0 || i >= CERTIFICATE_EXTENSIONS_MAX || gnutls_x509_crl_get_extension_data2(handle, i, &value) < 0)
            return MALFORMED("the extensions of the CRL cannot be read");
        if (strcmp(oid, OID_DELTA_INDICATOR) == 0) {
            if (crl->base_number.data || read_number(view_from_datum(&value), &crl->base_number) < 0)
                return MALFORMED("the base number of the delta CRL cannot be read");
        } else if (strcmp(oid, OID_DISTRIBUTION_POINT) == 0) {
            r = crl->distribution_point.data ? MALFORMED("the CRL has two issuing distribution points")
                                             : read_distribution_point(crl, view_from_datum(&value), ret_failure);
            if (r < 0)
                return r;
        } else if (strcmp(oid, OID_NUMBER) == 0) {
            crl->is_numbered = !critical;
            if (crl->number.data || read_number(view_from_datum(&value), &crl->number) < 0)
                return MALFORMED("the number of the CRL cannot be read");
        } else if (critical && strcmp(oid, OID_AUTHORITY_KEY) != 0) {
            return MALFORMED(
                "the CRL is not taken: it has the critical extension %s, which identityd does not understand", oid);
        }
    }
}

static int read_signature(Crl *crl, const DerItem *signature) {
    if (!der_is(signature, ASN1_TAG_BIT_STRING) || signature->content.size < 2 || signature->content.data[0] != 0)
        return -EBADMSG;
    return bytes_copy((BytesView) { signature->content.data + 1, signature->content.size - 1 }, &crl->signature);
}

/* Fills in everything from `crl->der`. */
static int read_crl(Crl *crl, Failure *ret_failure) {
    _cleanup_(crl_handle_p) gnutls_x509_crl_t handle = NULL;
    DerItem tbs, algorithm, signature;
    TbsParts parts;
    BytesView content;
    int r;

    if (der_open_sequence(bytes_view(&crl->der), &content) < 0 || der_next(&content, &tbs) <= 0 ||
        der_next(&content, &algorithm) <= 0 || der_next(&content, &signature) <= 0 || content.size > 0 ||
        !der_is_sequence(&tbs) || split_tbs(tbs.content, &parts) < 0)
        return MALFORMED("what should be a CRL is not one in DER (RFC 5280)");
    if (!bytes_view_equal(algorithm.whole, parts.algorithm.whole))
        return MALFORMED("the CRL names two signature algorithms");
    r = open_without_entries(&parts, &algorithm, &signature, &handle, ret_failure);
    if (r < 0)
        return r;
    crl->algorithm = gnutls_x509_crl_get_signature_algorithm(handle);
    crl->is_numbered = !parts.has_extensions;
    crl->signed_part = tbs.whole;
    if (parts.has_entries)
        crl->entries = parts.entries.content;
    if (der_time(&parts.this_update, &crl->this_update) < 0 ||
        (parts.has_next_update && der_time(&parts.next_update, &crl->next_update) < 0))
        return MALFORMED("the times of the CRL cannot be read");
    r = read_signature(crl, &signature);
    if (r >= 0)
        r = bytes_copy(parts.issuer.whole, &crl->issuer_raw);
    if (r >= 0)
        r = name_form(parts.issuer.whole, &crl->issuer_form);
    if (r < 0)
        return r == -ENOMEM ? failure_errno(ret_failure, r, "reading a CRL") : MALFORMED("the CRL has no signature");
    r = read_crl_extensions(crl, handle, ret_failure);
    return r < 0 ? r : check_entries(crl, ret_failure);
}

static int decode_pem(BytesView pem, Bytes *ret, Failure *ret_failure) {
    static const char begin[] = "-----BEGIN ";
    _cleanup_datum_ gnutls_datum_t der = { 0 };
    gnutls_datum_t datum = datum_from_view(pem);
    const uint8_t *first = memmem(pem.data, pem.size, begin, strlen(begin));

    if (!first)
        return MALFORMED("what should be a CRL is neither DER nor PEM");
    if (memmem(first + 1, pem.size - (size_t) (first + 1 - pem.data), begin, strlen(begin)))
        return MALFORMED("there is more than one PEM block where a CRL should be");
    if (gnutls_pem_base64_decode2("X509 CRL", &datum, &der) < 0)
        return MALFORMED("the PEM block is not a CRL");
    return bytes_copy(view_from_datum(&der), ret);
}

int crl_parse_any(BytesView data, Crl **ret, Failure *ret_failure) {
    _cleanup_(crl_free_p) Crl *crl = NULL;
    int r;

    if (data.size == 0)
        return MALFORMED("the CRL is empty");
    if (data.size > CRL_MAX)
        return MALFORMED("the CRL has %zu bytes, more than %u", data.size, CRL_MAX);
    crl = calloc(1, sizeof(*crl));
    if (!crl)
        return failure_errno(ret_failure, -ENOMEM, "reading a CRL");
    crl->reasons = CRL_REASONS_ALL;
    if (data.data[0] == 0x30)
        r = bytes_copy(data, &crl->der);
    else
        r = decode_pem(data, &crl->der, ret_failure);
    if (r == -ENOMEM)
        return failure_errno(ret_failure, r, "reading a CRL");
    if (r >= 0)
        r = read_crl(crl, ret_failure);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(crl);
    return 0;
}

int crl_parse(BytesView data, Crl **ret, Failure *ret_failure) {
    _cleanup_(crl_free_p) Crl *crl = NULL;
    int r = crl_parse_any(data, &crl, ret_failure);

    if (r < 0)
        return r;
    if (crl->base_number.data)
        return MALFORMED("the CRL is not taken: it is a delta CRL, which tells only changes");
    if (crl->is_indirect)
        return MALFORMED("the CRL is not taken: it is an indirect one, with entries of other issuers");
    if (crl->only_attributes)
        return MALFORMED("the CRL is not taken: it is about attribute certificates only");
    if (crl->reasons != CRL_REASONS_ALL)
        return MALFORMED("the CRL is not taken: it is about some reasons of revocation only");
    *ret = TAKE_PTR(crl);
    return 0;
}

/* ---- sets ---- */

void crl_set_clear(CrlSet *set) {
    for (size_t i = 0; i < set->count; i++)
        (void) crl_free(set->list[i]);
    free(set->list);
    *set = (CrlSet) { 0 };
}

static int add_block(CrlSet *set, BytesView block, LeftOut *left_out, Failure *ret_failure) {
    Failure failure = FAILURE_INIT;
    Crl *crl = NULL;

    if (set->count == CRL_SET_MAX)
        return failure_set(ret_failure, -E2BIG, FAILURE_LIMITS_EXCEEDED, "there are more than %u CRLs", CRL_SET_MAX);
    Crl **list = reallocarray(set->list, set->count + 1, sizeof *list);
    if (!list)
        return failure_errno(ret_failure, -ENOMEM, "reading CRLs");
    set->list = list;
    int r = crl_parse_any(block, &crl, &failure);
    if (r == -ENOMEM)
        return failure_errno(ret_failure, r, "reading CRLs");
    if (r < 0)
        left_out_add(left_out, &failure);
    else
        list[set->count++] = crl;
    return 0;
}

int crl_set_from_pem(BytesView pem, CrlSet *ret, LeftOut *ret_left_out, Failure *ret_failure) {
    static const char begin[] = "-----BEGIN ", end[] = "-----END ";
    _cleanup_(crl_set_clear) CrlSet set = { 0 };
    const uint8_t *first, *last, *stop = pem.data + pem.size;

    for (const uint8_t *rest = pem.data;
         pem.size > 0 && (first = memmem(rest, (size_t) (stop - rest), begin, strlen(begin))); rest = last) {
        last = memmem(first, (size_t) (stop - first), end, strlen(end));
        const uint8_t *line = last ? memchr(last, '\n', (size_t) (stop - last)) : NULL;
        last = line ? line : stop;
        int r = add_block(&set, (BytesView) { first, (size_t) (last - first) }, ret_left_out, ret_failure);
        if (r < 0)
            return r;
    }
    *ret = set;
    set = (CrlSet) { 0 };
    return 0;
}
