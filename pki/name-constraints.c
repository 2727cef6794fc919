/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Name constraints. Each name is taken through all bases of its kind. GnuTLS takes no notice of permitted directory
 * names, takes excluded ones to exclude everything, refuses all URIs, and does not look at intermediates; so all of it
 * is compared here (name-match.h, directory-name.h). */
#include "pki/name-constraints.h"

#include "pki/asn1.h"
#include "pki/directory-name.h"
#include "pki/general-names.h"
#include "pki/name-match.h"

#include <string.h>

enum { PERMITTED = 0, EXCLUDED = 1 };

/* One issuer's constraints, and how much may still be compared: each name is with each base of its kind. */
typedef struct Constraints {
    BytesView der;
    bool is_constrained[NAME_KINDS], has_permitted[NAME_KINDS];
    unsigned *left;
} Constraints;

/* A name that is looked at, and what the bases of its kind so far made of it. */
typedef struct Judged {
    unsigned kind;
    BytesView name; /* a DER Name, or the text or bytes of another kind; NULL data: none is looked at */
    bool is_permitted, is_excluded;
} Judged;

static bool is_compared(unsigned long kind) {
    return kind == NAME_DIRECTORY || kind == NAME_URI || kind == NAME_DNS || kind == NAME_MAIL || kind == NAME_IP;
}

static NameMatch compare(unsigned kind, BytesView name, BytesView base, bool is_exclusion) {
    switch (kind) {
    case NAME_DNS:
        return dns_name_is_below(name, base, is_exclusion);
    case NAME_MAIL:
        return mail_is_below(name, base);
    case NAME_IP:
        return address_is_below(name, base);
    case NAME_URI:
        return uri_is_below(name, base, is_exclusion);
    default:
        return name_is_below(name, base);
    }
}

static void judge(Judged *judged, BytesView base, unsigned list) {
    NameMatch match = compare(judged->kind, judged->name, base, list == EXCLUDED);

    if (list == PERMITTED)
        judged->is_permitted = judged->is_permitted || match == NAME_MATCHES;
    else
        judged->is_excluded = judged->is_excluded || match != NAME_DIFFERS;
}

/* A base that can match nothing is a fault of whoever wrote it: excluded names would get past it. */
static bool base_is_well_formed(unsigned long kind, BytesView base) {
    static const uint8_t zeros[16] = { 0 };

    if (kind == NAME_DNS)
        return base.size == 0 || name_is_dns(base, false);
    if (kind == NAME_IP)
        return address_is_below((BytesView) { zeros, base.size / 2 }, base) != NAME_UNCLEAR;
    return true;
}

/* GeneralSubtree ::= SEQUENCE { base GeneralName, minimum [0] DEFAULT 0, maximum [1] OPTIONAL }; RFC 5280 allows the
 * base only. */
static int read_subtree(BytesView subtree, unsigned list, Constraints *constraints, Judged *judged) {
    DerItem base;

    if (der_next(&subtree, &base) <= 0 || subtree.size > 0 || !(base.class & ASN1_CLASS_CONTEXT_SPECIFIC) ||
        base.tag >= NAME_KINDS || !base_is_well_formed(base.tag, base.content))
        return -EBADMSG;
    constraints->is_constrained[base.tag] = true;
    constraints->has_permitted[base.tag] = constraints->has_permitted[base.tag] || list == PERMITTED;
    if (*constraints->left == 0)
        return -E2BIG;
    --*constraints->left;
    if (base.tag == judged->kind && judged->name.data)
        judge(judged, base.content, list);
    return 0;
}

static int read_list(const DerItem *list, Constraints *constraints, Judged *judged) {
    BytesView rest = list->content;
    DerItem subtree;
    int r;

    if (list->class != (ASN1_CLASS_CONTEXT_SPECIFIC | ASN1_CLASS_STRUCTURED) ||
        (list->tag != PERMITTED && list->tag != EXCLUDED) || list->content.size == 0)
        return -EBADMSG;
    while ((r = der_next(&rest, &subtree)) > 0) {
        if (!der_is_sequence(&subtree))
            return -EBADMSG;
        r = read_subtree(subtree.content, (unsigned) list->tag, constraints, judged);
        if (r < 0)
            return r;
    }
    return r;
}

/* NameConstraints ::= SEQUENCE { permittedSubtrees [0] OPTIONAL, excludedSubtrees [1] OPTIONAL }, not both missing. */
static int read_constraints(Constraints *constraints, Judged *judged) {
    unsigned long least = 0;
    BytesView content;
    DerItem list;
    int r;

    if (der_open_sequence(constraints->der, &content) < 0 || content.size == 0)
        return -EBADMSG;
    while ((r = der_next(&content, &list)) > 0) {
        if (list.tag < least)
            return -EBADMSG;
        least = list.tag + 1;
        r = read_list(&list, constraints, judged);
        if (r < 0)
            return r;
    }
    return r;
}

static NamesVerdict judge_name(Constraints *constraints, unsigned long kind, BytesView name, const char *what,
                               const char **ret_reason) {
    Judged judged = { .kind = (unsigned) kind, .name = name };

    *ret_reason = what;
    if (!constraints->is_constrained[kind])
        return NAMES_ALLOWED;
    if (!is_compared(kind)) {
        *ret_reason =
            "it has a subject alternative name of a kind that they are about and that identityd cannot compare";
        return NAMES_OUTSIDE;
    }
    int r = read_constraints(constraints, &judged);
    if (r == -E2BIG) {
        *ret_reason = "there are too many names and constraints to compare";
        return NAMES_TOO_MANY;
    }
    return r >= 0 && !judged.is_excluded && (judged.is_permitted || !constraints->has_permitted[kind]) ? NAMES_ALLOWED
                                                                                                       : NAMES_OUTSIDE;
}

/* ---- the alternative names ---- */

static const char *const outside[NAME_KINDS] = {
    [NAME_MAIL] = "a mail address among its subject alternative names is outside",
    [NAME_DNS] = "a DNS name among its subject alternative names is outside",
    [NAME_DIRECTORY] = "a directory name among its subject alternative names is outside",
    [NAME_URI] = "a URI among its subject alternative names is outside",
    [NAME_IP] = "an IP address among its subject alternative names is outside",
};

/* `ret_has_any`: whether there is such an extension. */
static NamesVerdict judge_alternative_names(Constraints *constraints, const Certificate *certificate, bool *ret_has_any,
                                            const char **ret_reason) {
    const CertificateExtension *san = certificate_extension(certificate, GNUTLS_X509EXT_OID_SAN);
    NamesVerdict verdict = NAMES_ALLOWED;
    BytesView names;
    DerItem name;
    int r = 0;

    *ret_has_any = san != NULL;
    if (!san)
        return NAMES_ALLOWED;
    *ret_reason = "its subject alternative names cannot be read";
    if (der_open_sequence(san->value, &names) < 0)
        return NAMES_MALFORMED;
    while (verdict == NAMES_ALLOWED && (r = der_next(&names, &name)) > 0) {
        if (name.tag >= NAME_KINDS)
            return NAMES_MALFORMED;
        const char *reason = NULL;
        verdict = judge_name(constraints, name.tag, name.content, outside[name.tag], &reason);
        if (verdict != NAMES_ALLOWED)
            *ret_reason = reason;
    }
    return r < 0 ? NAMES_MALFORMED : verdict;
}

/* ---- the subject ---- */

/* Judges each attribute of one type in the subject as a name of `kind`. Texts of two and four bytes a character are no
 * such names. */
static NamesVerdict judge_attributes(Constraints *constraints, const Certificate *certificate, BytesView type,
                                     unsigned kind, const char *what, const char **ret_reason) {
    NamesVerdict verdict = NAMES_ALLOWED;
    BytesView rdns;
    DerItem rdn, attribute, oid, value;

    if (der_open_sequence(certificate->subject_raw, &rdns) < 0)
        return NAMES_MALFORMED;
    while (verdict == NAMES_ALLOWED && der_next(&rdns, &rdn) > 0)
        while (verdict == NAMES_ALLOWED && der_next(&rdn.content, &attribute) > 0) {
            BytesView rest = attribute.content;
            if (der_next(&rest, &oid) <= 0 || der_next(&rest, &value) <= 0 || !bytes_view_equal(oid.content, type))
                continue;
            if (kind == NAME_DNS &&
                (!name_is_dns(value.content, true) || !memchr(value.content.data, '.', value.content.size)))
                continue; /* a common name that is none: a device's number, a person's name */
            verdict = judge_name(constraints, kind, value.content, what, ret_reason);
        }
    return verdict;
}

static NamesVerdict judge_subject(Constraints *constraints, const Certificate *certificate, bool with_common_name,
                                  const char **ret_reason) {
    static const uint8_t mail[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01 },
                         common_name[] = { 0x55, 0x04, 0x03 };
    NamesVerdict verdict = NAMES_ALLOWED;

    if (certificate->subject_raw.size > 2) /* an empty one has no directory name to constrain */
        verdict =
            judge_name(constraints, NAME_DIRECTORY, certificate->subject_raw, "its subject is outside", ret_reason);
    if (verdict == NAMES_ALLOWED && constraints->is_constrained[NAME_MAIL])
        verdict = judge_attributes(constraints, certificate, (BytesView) { mail, sizeof(mail) }, NAME_MAIL,
                                   "a mail address in its subject is outside", ret_reason);
    if (verdict == NAMES_ALLOWED && constraints->is_constrained[NAME_DNS] && with_common_name)
        verdict = judge_attributes(constraints, certificate, (BytesView) { common_name, sizeof(common_name) }, NAME_DNS,
                                   "the DNS name that is its common name is outside", ret_reason);
    return verdict;
}

/* ---- all of it ---- */

/* 0; -ENOENT: there are none; -EBADMSG, -E2BIG. */
static int open_constraints(const Certificate *issuer, unsigned *left, Constraints *ret) {
    const CertificateExtension *extension = certificate_extension(issuer, GNUTLS_X509EXT_OID_NAME_CONSTRAINTS);
    Judged none = { 0 };

    if (!extension)
        return -ENOENT;
    *ret = (Constraints) { .der = extension->value, .left = left };
    return read_constraints(ret, &none);
}

NamesVerdict name_constraints_judge(const Certificate *issuer, const Certificate *certificate, bool is_leaf,
                                    unsigned *left, const char **ret_reason) {
    Constraints constraints;
    bool has_alternatives = false;
    int r = open_constraints(issuer, left, &constraints);

    if (r == -ENOENT)
        return NAMES_ALLOWED;
    if (r < 0) {
        *ret_reason = "they cannot be read, or are too many";
        return r == -E2BIG ? NAMES_TOO_MANY : NAMES_MALFORMED;
    }
    NamesVerdict verdict = judge_alternative_names(&constraints, certificate, &has_alternatives, ret_reason);
    return verdict == NAMES_ALLOWED ? judge_subject(&constraints, certificate, is_leaf && !has_alternatives, ret_reason)
                                    : verdict;
}

bool name_constraints_are_readable(const Certificate *certificate) {
    unsigned left = CERTIFICATE_MAX; /* no more bases than bytes */
    Constraints constraints;
    int r = open_constraints(certificate, &left, &constraints);

    return r >= 0 || r == -ENOENT;
}
