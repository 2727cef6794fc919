/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CRLs. A CRL that says less than it seems to (a delta, a partition, another issuer's entries) must neither revoke nor
 * clear anything here: what cannot be placed exactly is refused as a whole. */
#include "pki/revocation.h"

#include "pki/asn1.h"
#include "pki/directory-name.h"
#include "pki/signature.h"

#include <stdio.h>
#include <string.h>

#define MALFORMED(...) failure_set(ret_failure, -EBADMSG, FAILURE_CERTIFICATE_REJECTED, __VA_ARGS__)
#define REJECT(...)    failure_set(ret_failure, -EKEYREJECTED, FAILURE_CERTIFICATE_REJECTED, __VA_ARGS__)

#define OID_NUMBER             "2.5.29.20"
#define OID_DELTA_INDICATOR    "2.5.29.27"
#define OID_DISTRIBUTION_POINT "2.5.29.28"
#define OID_AUTHORITY_KEY      "2.5.29.35"

#define REASON_HOLD 6 /* CRLReason, RFC 5280 §5.3.1 */

static void crl_handle_p(gnutls_x509_crl_t *crl) {
    if (*crl)
        gnutls_x509_crl_deinit(*crl);
}

Crl *crl_free(Crl *crl) {
    if (!crl)
        return NULL;
    bytes_clear(&crl->der);
    bytes_clear(&crl->issuer_form);
    bytes_clear(&crl->number);
    bytes_clear(&crl->signature);
    bytes_clear(&crl->distribution_point);
    free(crl);
    return NULL;
}

/* ---- entries ---- */

typedef struct Entry {
    BytesView serial; /* content of the INTEGER */
    BytesView date;   /* Time, with its tag */
    int reason;       /* 0: none given */
} Entry;

static bool is_universal(const DerItem *item, unsigned long tag) {
    return item->class == ASN1_CLASS_UNIVERSAL && item->tag == tag;
}

/* Extension ::= SEQUENCE { OID, BOOLEAN DEFAULT FALSE, OCTET STRING }. The OID's content. */
static int read_extension(BytesView *extensions, BytesView *ret_oid, bool *ret_critical, BytesView *ret_value) {
    DerItem extension, item;
    int r = der_next(extensions, &extension);

    if (r <= 0)
        return r;
    if (!der_is_sequence(&extension) || der_next(&extension.content, &item) <= 0 ||
        !is_universal(&item, ASN1_TAG_OBJECT_ID))
        return -EBADMSG;
    *ret_oid = item.content;
    if (der_next(&extension.content, &item) <= 0)
        return -EBADMSG;
    *ret_critical = false;
    if (is_universal(&item, ASN1_TAG_BOOLEAN)) {
        *ret_critical = item.content.size != 1 || item.content.data[0] != 0;
        if (der_next(&extension.content, &item) <= 0)
            return -EBADMSG;
    }
    if (!is_universal(&item, ASN1_TAG_OCTET_STRING) || extension.content.size > 0)
        return -EBADMSG;
    *ret_value = item.content;
    return 1;
}

static int read_entry_extensions(BytesView extensions, Entry *entry, const char **ret_reason) {
    static const uint8_t reason_code[] = { 0x55, 0x1d, 0x15 }, invalidity_date[] = { 0x55, 0x1d, 0x18 },
                         certificate_issuer[] = { 0x55, 0x1d, 0x1d };
    BytesView oid, value;
    bool critical;
    int r;

    while ((r = read_extension(&extensions, &oid, &critical, &value)) > 0) {
        if (bytes_view_equal(oid, (BytesView) { reason_code, 3 })) {
            DerItem item;
            if (der_next(&value, &item) <= 0 || value.size > 0 || !is_universal(&item, ASN1_TAG_ENUMERATED) ||
                item.content.size != 1)
                return -EBADMSG;
            entry->reason = item.content.data[0];
        } else if (bytes_view_equal(oid, (BytesView) { certificate_issuer, 3 })) {
            *ret_reason = "one of its entries is about a certificate of another issuer (indirect CRL)";
            return -EKEYREJECTED;
        } else if (critical && !bytes_view_equal(oid, (BytesView) { invalidity_date, 3 })) {
            *ret_reason = "one of its entries has a critical extension that identityd does not understand";
            return -EKEYREJECTED;
        }
    }
    return r;
}

/* 1, 0 at the end, -EBADMSG, -EKEYREJECTED with a reason. */
static int next_entry(BytesView *entries, Entry *ret, const char **ret_reason) {
    DerItem entry, item;
    int r = der_next(entries, &entry);

    if (r <= 0)
        return r;
    if (!der_is_sequence(&entry) || der_next(&entry.content, &item) <= 0 || !is_universal(&item, ASN1_TAG_INTEGER) ||
        item.content.size == 0)
        return -EBADMSG;
    *ret = (Entry) { .serial = item.content };
    if (der_next(&entry.content, &item) <= 0 ||
        (!is_universal(&item, ASN1_TAG_UTCTime) && !is_universal(&item, ASN1_TAG_GENERALIZEDTime)))
        return -EBADMSG;
    ret->date = item.whole;
    r = der_next(&entry.content, &item);
    if (r < 0 || (r > 0 && (!der_is_sequence(&item) || entry.content.size > 0)))
        return -EBADMSG;
    if (r > 0) {
        r = read_entry_extensions(item.content, ret, ret_reason);
        if (r < 0)
            return r;
    }
    return 1;
}

static int check_entries(Crl *crl, Failure *ret_failure) {
    BytesView entries = crl->entries;
    const char *reason = NULL;
    Entry entry;
    int r;

    while ((r = next_entry(&entries, &entry, &reason)) > 0)
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

static bool is_time(const DerItem *item) {
    return is_universal(item, ASN1_TAG_UTCTime) || is_universal(item, ASN1_TAG_GENERALIZEDTime);
}

static int split_tbs(BytesView content, TbsParts *ret) {
    TbsParts parts = { 0 };
    DerItem item;
    int r;

    if (der_next(&content, &item) <= 0)
        return -EBADMSG;
    if (is_universal(&item, ASN1_TAG_INTEGER)) {
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

static int read_time(BytesView der, int64_t *ret) {
    _cleanup_asn1_ asn1_node node = NULL;
    int r = asn1_decode("Time", der, &node);

    return r < 0 ? r : asn1_time(node, "", ret);
}

static int read_distribution_point(Crl *crl, BytesView value, Failure *ret_failure) {
    _cleanup_asn1_ asn1_node node = NULL;
    bool indirect = false, attributes = false, some_reasons;
    BytesView reasons;
    int r = asn1_decode("IssuingDistributionPoint", value, &node);

    if (r == -ENOMEM)
        return failure_errno(ret_failure, r, "reading a CRL");
    if (r < 0 || asn1_boolean(node, "indirectCRL", &indirect) < 0 ||
        asn1_boolean(node, "onlyContainsAttributeCerts", &attributes) < 0 ||
        asn1_boolean(node, "onlyContainsUserCerts", &crl->only_users) < 0 ||
        asn1_boolean(node, "onlyContainsCACerts", &crl->only_cas) < 0)
        return MALFORMED("the issuing distribution point of the CRL cannot be read");
    some_reasons = asn1_slice(node, value, "onlySomeReasons", &reasons) >= 0;
    if (indirect)
        return MALFORMED("the CRL is not taken: it is an indirect one, with entries of other issuers");
    if (attributes)
        return MALFORMED("the CRL is not taken: it is about attribute certificates only");
    if (some_reasons)
        return MALFORMED("the CRL is not taken: it is about some reasons of revocation only");
    return bytes_copy(value, &crl->distribution_point);
}

static int read_number(Crl *crl, BytesView value) {
    DerItem item;

    if (der_next(&value, &item) <= 0 || value.size > 0 || !is_universal(&item, ASN1_TAG_INTEGER) ||
        item.content.size == 0 || item.content.size > 21 || (item.content.data[0] & 0x80))
        return -EBADMSG;
    while (item.content.size > 1 && item.content.data[0] == 0) {
        item.content.data++;
        item.content.size--;
    }
    return bytes_copy(item.content, &crl->number);
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
        if (strcmp(oid, OID_DELTA_INDICATOR) == 0)
            return MALFORMED("the CRL is not taken: it is a delta CRL, which tells only changes");
        if (strcmp(oid, OID_DISTRIBUTION_POINT) == 0) {
            r = crl->distribution_point.data ? MALFORMED("the CRL has two issuing distribution points")
                                             : read_distribution_point(crl, view_from_datum(&value), ret_failure);
            if (r < 0)
                return r;
        } else if (strcmp(oid, OID_NUMBER) == 0) {
            if (crl->number.data || read_number(crl, view_from_datum(&value)) < 0)
                return MALFORMED("the number of the CRL cannot be read");
        } else if (critical && strcmp(oid, OID_AUTHORITY_KEY) != 0) {
            return MALFORMED(
                "the CRL is not taken: it has the critical extension %s, which identityd does not understand", oid);
        }
    }
}

static int read_signature(Crl *crl, const DerItem *signature) {
    if (!is_universal(signature, ASN1_TAG_BIT_STRING) || signature->content.size < 2 || signature->content.data[0] != 0)
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
    crl->signed_part = tbs.whole;
    if (parts.has_entries)
        crl->entries = parts.entries.content;
    if (read_time(parts.this_update.whole, &crl->this_update) < 0 ||
        (parts.has_next_update && read_time(parts.next_update.whole, &crl->next_update) < 0))
        return MALFORMED("the times of the CRL cannot be read");
    r = read_signature(crl, &signature);
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

int crl_parse(BytesView data, Crl **ret, Failure *ret_failure) {
    _cleanup_(crl_free_p) Crl *crl = NULL;
    int r;

    if (data.size == 0)
        return MALFORMED("the CRL is empty");
    if (data.size > CRL_MAX)
        return MALFORMED("the CRL has %zu bytes, more than %u", data.size, CRL_MAX);
    crl = calloc(1, sizeof(*crl));
    if (!crl)
        return failure_errno(ret_failure, -ENOMEM, "reading a CRL");
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

/* ---- what it counts for ---- */

static bool names_have(BytesView names, BytesView name) {
    DerItem item;

    while (der_next(&names, &item) > 0)
        if (bytes_view_equal(item.whole, name))
            return true;
    return false;
}

/* The names (GeneralName, one after another) of a DistributionPointName, if it is a full one. -ENOENT: no name
 * at all. */
static int full_name(asn1_node node, BytesView der, const char *field, BytesView *ret) {
    BytesView slice;
    DerItem explicit, choice;
    int r = asn1_slice(node, der, field, &slice);

    if (r < 0)
        return r;
    if (der_next(&slice, &explicit) <= 0 || der_next(&explicit.content, &choice) <= 0 || explicit.content.size > 0 ||
        choice.class != (ASN1_CLASS_CONTEXT_SPECIFIC | ASN1_CLASS_STRUCTURED) || choice.tag != 0)
        return -EBADMSG;
    *ret = choice.content;
    return 0;
}

/* Whether one of the CRL's names is one of a distribution point of the certificate that the issuer itself serves. */
static bool is_own_distribution_point(BytesView crl_names, const Certificate *certificate) {
    _cleanup_asn1_ asn1_node points = NULL;
    _cleanup_bytes_ Bytes der = BYTES_NULL;
    size_t count = 0;

    if (certificate_extension(certificate, GNUTLS_X509EXT_OID_CRL_DIST_POINTS, &der, NULL) < 0 ||
        asn1_decode("CRLDistributionPoints", bytes_view(&der), &points) < 0 || asn1_count(points, "", &count) < 0)
        return false;
    for (size_t i = 0; i < count && i < CERTIFICATE_EXTENSIONS_MAX; i++) {
        char field[64];
        BytesView names, other_issuer;
        DerItem name;

        (void) snprintf(field, sizeof(field), "?%zu.cRLIssuer", i + 1);
        if (asn1_slice(points, bytes_view(&der), field, &other_issuer) >= 0)
            continue;
        (void) snprintf(field, sizeof(field), "?%zu.distributionPoint", i + 1);
        if (full_name(points, bytes_view(&der), field, &names) < 0)
            continue;
        for (BytesView rest = crl_names; der_next(&rest, &name) > 0;)
            if (names_have(names, name.whole))
                return true;
    }
    return false;
}

static int check_scope(const Crl *crl, const Certificate *certificate, const char *who, Failure *ret_failure) {
    _cleanup_asn1_ asn1_node node = NULL;
    BytesView names, der = bytes_view(&crl->distribution_point);
    int r;

    if (der.size == 0)
        return 0;
    if (crl->only_users && certificate->is_ca)
        return REJECT("the CRL is not about %s: it is about certificates of devices and users, not of CAs", who);
    if (crl->only_cas && !certificate->is_ca)
        return REJECT("the CRL is not about %s: it is about CA certificates", who);
    if (asn1_decode("IssuingDistributionPoint", der, &node) < 0)
        return REJECT("the issuing distribution point of the CRL cannot be read");
    r = full_name(node, der, "distributionPoint", &names);
    if (r == -ENOENT)
        return 0;
    if (r < 0 || !is_own_distribution_point(names, certificate))
        return REJECT("the CRL is not about %s: it is the one of another distribution point", who);
    return 0;
}

int crl_check(const Crl *crl, const Certificate *certificate, const Certificate *issuer, int64_t now,
              Failure *ret_failure) {
    char who[CERTIFICATE_DESCRIPTION_MAX], whose[CERTIFICATE_DESCRIPTION_MAX], when[CERTIFICATE_TIME_MAX];
    unsigned usage;

    certificate_describe(certificate, who);
    certificate_describe(issuer, whose);
    if (!bytes_view_equal(bytes_view(&crl->issuer_form), bytes_view(&issuer->subject_form)) ||
        !bytes_view_equal(bytes_view(&certificate->issuer_form), bytes_view(&issuer->subject_form)))
        return REJECT("the CRL is not about %s: it is not by its issuer, %s", who, whose);
    if (certificate_key_usage(issuer, &usage) < 0 || !(usage & GNUTLS_KEY_CRL_SIGN))
        return REJECT("the key usage of %s does not allow it to sign CRLs", whose);
    if (!signature_is_acceptable((gnutls_sign_algorithm_t) crl->algorithm))
        return REJECT("the CRL of %s is signed with %s, which is too weak or not known", whose,
                      signature_name((gnutls_sign_algorithm_t) crl->algorithm));
    if (!signature_verify(issuer, (gnutls_sign_algorithm_t) crl->algorithm, crl->signed_part,
                          bytes_view(&crl->signature), false))
        return REJECT("the signature of the CRL was not made by the key of %s", whose);
    if (crl->this_update > now + REVOCATION_SKEW)
        return REJECT("the CRL of %s is from the future: its thisUpdate is %s", whose,
                      certificate_time(crl->this_update, when));
    return check_scope(crl, certificate, who, ret_failure);
}

static int compare_numbers(const Bytes *a, const Bytes *b) {
    if (a->size != b->size)
        return a->size < b->size ? -1 : 1;
    return memcmp(a->data, b->data, a->size);
}

int crl_supersedes(const Crl *fresh, const Crl *old, Failure *ret_failure) {
#define STALE(...) failure_set(ret_failure, -ESTALE, FAILURE_CERTIFICATE_REJECTED, __VA_ARGS__)
    char one[CERTIFICATE_TIME_MAX], other[CERTIFICATE_TIME_MAX];

    if (!old)
        return 0;
    if (!bytes_view_equal(bytes_view(&fresh->issuer_form), bytes_view(&old->issuer_form)))
        return STALE("the CRL is by another issuer than the one at hand");
    if (fresh->this_update < old->this_update)
        return STALE("the CRL is older than the one at hand: %s is before %s",
                     certificate_time(fresh->this_update, one), certificate_time(old->this_update, other));
    if (old->number.size == 0 ||
        !bytes_view_equal(bytes_view(&fresh->distribution_point), bytes_view(&old->distribution_point)))
        return 0;
    if (fresh->number.size == 0)
        return STALE("the CRL has no number, the one at hand has one");
    if (compare_numbers(&fresh->number, &old->number) < 0)
        return STALE("the CRL has a lower number than the one at hand");
    return 0;
#undef STALE
}

RevocationVerdict crl_verdict(const Crl *crl, const Certificate *certificate, int64_t now, int64_t *ret_when) {
    RevocationVerdict verdict = REVOCATION_UNKNOWN;
    uint8_t serial_bytes[64];
    size_t serial_size = sizeof(serial_bytes);
    BytesView entries = crl->entries, serial;
    const char *reason;
    int64_t when = 0;
    Entry entry;

    if (bytes_view_equal(bytes_view(&crl->issuer_form), bytes_view(&certificate->issuer_form)) &&
        gnutls_x509_crt_get_serial(certificate->crt, serial_bytes, &serial_size) >= 0) {
        serial = (BytesView) { serial_bytes, serial_size };
        if (now <= crl->next_update)
            verdict = REVOCATION_GOOD;
        while (verdict != REVOCATION_REVOKED && next_entry(&entries, &entry, &reason) > 0) {
            if (!bytes_view_equal(entry.serial, serial))
                continue;
            verdict = entry.reason == REASON_HOLD ? REVOCATION_HOLD : REVOCATION_REVOKED;
            if (read_time(entry.date, &when) < 0)
                when = 0;
        }
    }
    if (ret_when)
        *ret_when = when;
    return verdict;
}
