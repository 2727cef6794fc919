/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a CRL counts for: which certificates, which reasons, by whose signature. A CRL that says less than it seems to
 * (a partition, some reasons, another issuer's entries) must neither revoke nor clear anything else. */
#include "pki/crl.h"

#include "pki/directory-name.h"
#include "pki/general-names.h"
#include "pki/signature.h"

#include <gnutls/crypto.h>
#include <stdio.h>
#include <string.h>

#define REJECT(...) failure_set(ret_failure, -EKEYREJECTED, FAILURE_CERTIFICATE_REJECTED, __VA_ARGS__)

#define POINTS_MAX 64U /* distribution points of one certificate, and names of one point */

/* ---- names of distribution points ---- */

/* A DistributionPointName: its choice, and what a relative one is relative to. */
typedef struct PointName {
    BytesView names;    /* GeneralName, one after another; or empty */
    BytesView relative; /* content of the SET of a nameRelativeToCRLIssuer; or empty */
    BytesView issuer;   /* DER Name */
} PointName;

static int read_point_name(BytesView explicit_name, BytesView issuer, PointName *ret) {
    DerItem outer, choice;

    if (der_next(&explicit_name, &outer) <= 0 || der_next(&outer.content, &choice) <= 0 || outer.content.size > 0 ||
        choice.class != (ASN1_CLASS_CONTEXT_SPECIFIC | ASN1_CLASS_STRUCTURED) || choice.tag > 1)
        return -EBADMSG;
    *ret = (PointName) { .issuer = issuer };
    *(choice.tag == 0 ? &ret->names : &ret->relative) = choice.content;
    return 0;
}

/* The Name that is `issuer` and one RDN more. */
static int append_rdn(BytesView issuer, BytesView rdn, Bytes *ret_form) {
    _cleanup_bytes_ Bytes set = BYTES_NULL, name = BYTES_NULL;
    BytesView elements[POINTS_MAX], rest;
    size_t count = 0;
    DerItem item;
    int r;

    if (der_open_sequence(issuer, &rest) < 0)
        return -EBADMSG;
    while ((r = der_next(&rest, &item)) > 0 && count + 1 < POINTS_MAX)
        elements[count++] = item.whole;
    if (r != 0)
        return -EBADMSG;
    r = asn1_sequence(&rdn, 1, &set);
    if (r < 0)
        return r;
    set.data[0] = 0x31; /* a SET */
    elements[count++] = bytes_view(&set);
    r = asn1_sequence(elements, count, &name);
    return r < 0 ? r : name_form(bytes_view(&name), ret_form);
}

/* The form of the name that is relative; or of a GeneralName that is a directory name. Else -ENOENT. */
static int form_of(const PointName *point, const DerItem *name, Bytes *ret) {
    if (point->relative.size > 0)
        return append_rdn(point->issuer, point->relative, ret);
    return name && name->tag == NAME_DIRECTORY ? name_form(name->content, ret) : -ENOENT;
}

static bool same_general_name(const PointName *a, const DerItem *one, const PointName *b, const DerItem *other) {
    _cleanup_bytes_ Bytes form = BYTES_NULL, other_form = BYTES_NULL;

    if (one && other && bytes_view_equal(one->whole, other->whole))
        return true;
    return form_of(a, one, &form) >= 0 && form_of(b, other, &other_form) >= 0 &&
           bytes_view_equal(bytes_view(&form), bytes_view(&other_form));
}

/* Whether a name of the one is a name of the other. */
static bool names_meet(const PointName *a, const PointName *b) {
    BytesView rest = a->names;
    unsigned looked = 0;
    DerItem one, other;

    do {
        bool has_one = der_next(&rest, &one) > 0;
        BytesView others = b->names;
        if (!has_one && a->relative.size == 0)
            return false;
        do {
            bool has_other = der_next(&others, &other) > 0;
            if (!has_other && b->relative.size == 0)
                break;
            if (same_general_name(a, has_one ? &one : NULL, b, has_other ? &other : NULL))
                return true;
        } while (others.size > 0 && ++looked < POINTS_MAX * POINTS_MAX);
    } while (rest.size > 0 && looked < POINTS_MAX * POINTS_MAX);
    return false;
}

/* Whether a name in GeneralNames is the name of the CRL's issuer. */
static bool names_have_issuer(BytesView names, const Crl *crl) {
    DerItem name;

    while (der_next(&names, &name) > 0) {
        _cleanup_bytes_ Bytes form = BYTES_NULL;
        if (name.tag == NAME_DIRECTORY && name_form(name.content, &form) >= 0 &&
            bytes_view_equal(bytes_view(&form), bytes_view(&crl->issuer_form)))
            return true;
    }
    return false;
}

/* ---- scope ---- */

/* What a CRL's issuing distribution point has for a name. */
typedef struct CrlPoint {
    asn1_node node;
    PointName name;
    bool has_name;
} CrlPoint;

static void crl_point_clear(CrlPoint *point) {
    asn1_node_p(&point->node);
}

static int open_crl_point(const Crl *crl, CrlPoint *ret) {
    BytesView der = bytes_view(&crl->distribution_point), slice;

    if (der.size == 0)
        return 0;
    if (asn1_decode("IssuingDistributionPoint", der, &ret->node) < 0)
        return -EBADMSG;
    if (asn1_slice(ret->node, der, "distributionPoint", &slice) < 0)
        return 0;
    ret->has_name = true;
    return read_point_name(slice, bytes_view(&crl->issuer_raw), &ret->name);
}

/* GeneralNames with an implicit tag: their content. */
static BytesView content_of(BytesView der) {
    DerItem item;

    return der_next(&der, &item) > 0 ? item.content : (BytesView) { 0 };
}

/* The first name of GeneralNames that is a Name; what is relative is so to it. */
static BytesView first_directory_name(BytesView names) {
    DerItem name;

    while (der_next(&names, &name) > 0)
        if (name.tag == NAME_DIRECTORY)
            return name.content;
    return (BytesView) { 0 };
}

/* One distribution point of the certificate. 0: the CRL is not the one that it means. */
static unsigned scope_of_point(const Crl *crl, const CrlPoint *crl_point, const Certificate *certificate,
                               asn1_node points, BytesView der, size_t i) {
    BytesView slice, crl_issuer = { 0 };
    bool has_crl_issuer, has_name;
    PointName name = { 0 };
    unsigned reasons = CRL_REASONS_ALL;
    char field[64];

    (void) snprintf(field, sizeof(field), "?%zu.cRLIssuer", i);
    has_crl_issuer = asn1_slice(points, der, field, &slice) >= 0;
    if (has_crl_issuer)
        crl_issuer = content_of(slice);
    if (has_crl_issuer ? !crl->is_indirect || !names_have_issuer(crl_issuer, crl)
                       : !bytes_view_equal(bytes_view(&crl->issuer_form), bytes_view(&certificate->issuer_form)))
        return 0;
    (void) snprintf(field, sizeof(field), "?%zu.distributionPoint", i);
    has_name = asn1_slice(points, der, field, &slice) >= 0;
    if (has_name &&
        read_point_name(slice, has_crl_issuer ? first_directory_name(crl_issuer) : certificate->issuer_raw, &name) < 0)
        return 0;
    if (!has_name)
        name = (PointName) { .names = crl_issuer };
    if (crl_point->has_name && !names_meet(&crl_point->name, &name))
        return 0;
    (void) snprintf(field, sizeof(field), "?%zu.reasons", i);
    if (asn1_slice(points, der, field, &slice) >= 0)
        reasons = crl_reasons(content_of(slice));
    return reasons & crl->reasons;
}

static unsigned scope_of_points(const Crl *crl, const CrlPoint *crl_point, const Certificate *certificate) {
    const CertificateExtension *extension = certificate_extension(certificate, GNUTLS_X509EXT_OID_CRL_DIST_POINTS);
    _cleanup_asn1_ asn1_node points = NULL;
    unsigned reasons = 0;
    size_t count = 0;

    if (!extension || asn1_decode("CRLDistributionPoints", extension->value, &points) < 0 ||
        asn1_count(points, "", &count) < 0)
        return 0;
    for (size_t i = 0; i < count && i < POINTS_MAX; i++)
        reasons |= scope_of_point(crl, crl_point, certificate, points, extension->value, i + 1);
    return reasons;
}

/* RFC 5280 §6.3.3, at its end: a CRL of the certificate's issuer counts as well where no distribution point names it.
 */
static unsigned scope_without_points(const Crl *crl, const CrlPoint *crl_point, const Certificate *certificate) {
    BytesView names;
    DerItem item;

    if (!bytes_view_equal(bytes_view(&crl->issuer_form), bytes_view(&certificate->issuer_form)))
        return 0;
    if (!crl_point->has_name)
        return crl->reasons;
    for (names = crl_point->name.names; der_next(&names, &item) > 0;) {
        _cleanup_bytes_ Bytes form = BYTES_NULL;
        if (item.tag == NAME_DIRECTORY && name_form(item.content, &form) >= 0 &&
            bytes_view_equal(bytes_view(&form), bytes_view(&certificate->issuer_form)))
            return crl->reasons;
    }
    return 0;
}

unsigned crl_scope(const Crl *crl, const Certificate *certificate, const char **ret_reason) {
    _cleanup_(crl_point_clear) CrlPoint point = { 0 };

    if (crl->only_attributes || (crl->only_users && certificate->is_ca)) {
        *ret_reason = crl->only_attributes ? "it is about attribute certificates only"
                                           : "it is about certificates of devices and users, not of CAs";
        return 0;
    }
    if (crl->only_cas && !certificate->is_ca) {
        *ret_reason = "it is about CA certificates";
        return 0;
    }
    *ret_reason = "its issuing distribution point cannot be read";
    if (open_crl_point(crl, &point) < 0)
        return 0;
    *ret_reason = "it is the one of another distribution point";
    return scope_of_points(crl, &point, certificate) | scope_without_points(crl, &point, certificate);
}

/* ---- entries ---- */

/* Most certificates are not listed. All entries were read when the list was parsed, so here only their lengths and
 * numbers are looked at: 0.7 ms for 300,000 of them, where memmem takes 17 (tests/bench/verify.c). */
static bool may_be_listed(const Crl *crl, BytesView serial) {
    const uint8_t *at = crl->entries.data, *stop = at + crl->entries.size;

    if (serial.size == 0 || serial.size >= 0x80) /* its length has more than one byte */
        return true;
    while (at < stop) { /* SEQUENCE { INTEGER, … } */
        size_t length = at[1], more = length & 0x80 ? length & 0x7f : 0;
        for (size_t i = 0; i < more; i++)
            length = (i == 0 ? 0 : length << 8) | at[2 + i];
        const uint8_t *number = at + 2 + more;
        if (number[1] == serial.size && memcmp(number + 2, serial.data, serial.size) == 0)
            return true;
        at = number + length;
    }
    return false;
}

int crl_find(const Crl *crl, const Certificate *certificate, int *ret_reason, int64_t *ret_when) {
    bool is_ours = bytes_view_equal(bytes_view(&crl->issuer_form), bytes_view(&certificate->issuer_form));
    BytesView entries = crl->entries;
    const char *reason;
    CrlEntry entry;
    int found = 0;

    if (entries.size == 0 || !may_be_listed(crl, certificate->serial_bytes))
        return 0;
    while (crl_next_entry(crl, &entries, &entry, &reason) > 0) {
        if (entry.issuer.size > 0) {
            _cleanup_bytes_ Bytes form = BYTES_NULL;
            BytesView names;
            is_ours = der_open_sequence(entry.issuer, &names) >= 0 &&
                      name_form(first_directory_name(names), &form) >= 0 &&
                      bytes_view_equal(bytes_view(&form), bytes_view(&certificate->issuer_form));
        }
        if (!is_ours || !bytes_view_equal(entry.serial, certificate->serial_bytes))
            continue;
        found = 1;
        *ret_reason = entry.reason;
        if (der_time(&entry.date, ret_when) < 0)
            *ret_when = 0;
        if (entry.reason != CRL_REASON_HOLD && entry.reason != CRL_REASON_REMOVE)
            break; /* nothing that comes can be worse */
    }
    return found;
}

/* ---- who signed it ---- */

enum { SIGNER_UNKNOWN, SIGNER_IS_WRITTEN, SIGNER_KNOWN };

bool crl_signer_is_known(const Crl *crl, const Certificate *issuer) {
    Crl *cache = (Crl *) (uintptr_t) crl; /* atomic_load wants it so */
    uint8_t key[32];

    return atomic_load(&cache->known_signer_state) == SIGNER_KNOWN &&
           gnutls_hash_fast(GNUTLS_DIG_SHA256, issuer->spki.data, issuer->spki.size, key) >= 0 &&
           memcmp(crl->known_signer, key, sizeof key) == 0;
}

bool crl_is_signed_by(const Crl *crl, const Certificate *issuer) {
    Crl *cache = (Crl *) (uintptr_t) crl; /* what is remembered is not what the list says */
    uint8_t key[32];
    int unknown = SIGNER_UNKNOWN;

    if (crl_signer_is_known(crl, issuer))
        return true;
    if (gnutls_hash_fast(GNUTLS_DIG_SHA256, issuer->spki.data, issuer->spki.size, key) < 0)
        return false;
    if (!signature_verify(issuer, (gnutls_sign_algorithm_t) crl->algorithm, crl->signed_part,
                          bytes_view(&crl->signature), false))
        return false;
    if (atomic_compare_exchange_strong(&cache->known_signer_state, &unknown, SIGNER_IS_WRITTEN)) {
        memcpy(cache->known_signer, key, sizeof key);
        atomic_store(&cache->known_signer_state, SIGNER_KNOWN);
    }
    return true;
}

/* ---- for who asks about one list and one certificate ---- */

int crl_check_signer(const Crl *crl, const Certificate *issuer, int64_t now, Failure *ret_failure) {
    char whose[CERTIFICATE_DESCRIPTION_MAX], when[CERTIFICATE_TIME_MAX];

    certificate_describe(issuer, whose);
    if (!bytes_view_equal(bytes_view(&crl->issuer_form), bytes_view(&issuer->subject_form)))
        return REJECT("the CRL is not by %s", whose);
    if (!(issuer->key_usage & GNUTLS_KEY_CRL_SIGN))
        return REJECT("the key usage of %s does not allow it to sign CRLs", whose);
    if (!signature_is_acceptable((gnutls_sign_algorithm_t) crl->algorithm))
        return REJECT("the CRL of %s is signed with %s, which is too weak or not known", whose,
                      signature_name((gnutls_sign_algorithm_t) crl->algorithm));
    if (!crl_is_signed_by(crl, issuer))
        return REJECT("the signature of the CRL was not made by the key of %s", whose);
    if (crl->this_update > now + REVOCATION_SKEW)
        return REJECT("the CRL of %s is from the future: its thisUpdate is %s", whose,
                      certificate_time(crl->this_update, when));
    return 0;
}

int crl_check(const Crl *crl, const Certificate *certificate, const Certificate *issuer, int64_t now,
              Failure *ret_failure) {
    char who[CERTIFICATE_DESCRIPTION_MAX], whose[CERTIFICATE_DESCRIPTION_MAX];
    const char *reason;

    certificate_describe(certificate, who);
    certificate_describe(issuer, whose);
    if (!bytes_view_equal(bytes_view(&crl->issuer_form), bytes_view(&issuer->subject_form)) ||
        !bytes_view_equal(bytes_view(&certificate->issuer_form), bytes_view(&issuer->subject_form)))
        return REJECT("the CRL is not about %s: it is not by its issuer, %s", who, whose);
    int r = crl_check_signer(crl, issuer, now, ret_failure);
    if (r < 0)
        return r;
    if (crl_scope(crl, certificate, &reason) == 0)
        return REJECT("the CRL is not about %s: %s", who, reason);
    return 0;
}

static int compare_numbers(const Bytes *a, const Bytes *b) {
    if (a->size != b->size)
        return a->size < b->size ? -1 : 1;
    return a->size > 0 ? memcmp(a->data, b->data, a->size) : 0;
}

bool crl_is_delta_of(const Crl *delta, const Crl *base) {
    return delta->base_number.size > 0 && base->base_number.size == 0 && base->number.size > 0 &&
           bytes_view_equal(bytes_view(&delta->issuer_form), bytes_view(&base->issuer_form)) &&
           bytes_view_equal(bytes_view(&delta->distribution_point), bytes_view(&base->distribution_point)) &&
           compare_numbers(&delta->base_number, &base->number) <= 0 &&
           compare_numbers(&delta->number, &base->number) > 0;
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
    int64_t when = 0;
    int reason = 0;
    bool is_by_issuer = bytes_view_equal(bytes_view(&crl->issuer_form), bytes_view(&certificate->issuer_form));
    bool is_listed = is_by_issuer && crl_find(crl, certificate, &reason, &when) > 0;

    if (ret_when)
        *ret_when = when;
    if (is_listed)
        return reason == CRL_REASON_HOLD ? REVOCATION_HOLD : REVOCATION_REVOKED;
    return is_by_issuer && now <= crl->next_update ? REVOCATION_GOOD : REVOCATION_UNKNOWN;
}
