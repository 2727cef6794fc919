/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Name constraints beyond GnuTLS's, which takes no notice of permitted directory names and URIs, nor of other names.
 * Names are compared byte for byte: that refuses rather than allows too much. */
#include "pki/name-constraints.h"

#include "pki/asn1.h"

/* Numbers of GeneralName's choices. */
enum { NAME_OTHER = 0, NAME_MAIL = 1, NAME_DNS = 2, NAME_DIRECTORY = 4, NAME_IP = 7, NAME_KINDS = 9 };
enum { PERMITTED = 0, EXCLUDED = 1 };

typedef struct Judgement {
    bool directory_constrained, directory_allowed; /* by permitted subtrees */
    bool directory_excluded;
    bool not_understood[NAME_KINDS]; /* constrained, and neither we nor GnuTLS compare them */
} Judgement;

/* Whether the RDNs of `name` begin with those of `base`; both are DER Names. */
static bool is_within(BytesView name, BytesView base) {
    BytesView name_rest, base_rest;
    DerItem one, other;
    int r;

    if (der_open_sequence(name, &name_rest) < 0 || der_open_sequence(base, &base_rest) < 0)
        return false;
    while ((r = der_next(&base_rest, &other)) > 0)
        if (der_next(&name_rest, &one) <= 0 || !bytes_view_equal(one.whole, other.whole))
            return false;
    return r == 0;
}

/* GeneralSubtree ::= SEQUENCE { base GeneralName, minimum [0] DEFAULT 0, maximum [1] OPTIONAL }; RFC 5280 allows the
 * base only. */
static int judge_subtree(BytesView subtree, unsigned list, const Certificate *certificate, Judgement *judgement) {
    DerItem base;

    if (der_next(&subtree, &base) <= 0 || subtree.size > 0 || !(base.class & ASN1_CLASS_CONTEXT_SPECIFIC) ||
        base.tag >= NAME_KINDS || base.tag == NAME_OTHER) /* GnuTLS would fail on those, and leak */
        return -EBADMSG;
    if (base.tag == NAME_DIRECTORY) {
        bool within = is_within(bytes_view(&certificate->subject_raw), base.content);
        if (list == EXCLUDED) {
            judgement->directory_excluded = judgement->directory_excluded || within;
        } else {
            judgement->directory_constrained = true;
            judgement->directory_allowed = judgement->directory_allowed || within;
        }
        judgement->not_understood[NAME_DIRECTORY] = true; /* as an alternative name */
    } else if (base.tag != NAME_MAIL && base.tag != NAME_DNS && base.tag != NAME_IP) {
        judgement->not_understood[base.tag] = true;
    }
    return 0;
}

static int judge_constraints(BytesView constraints, const Certificate *certificate, Judgement *judgement) {
    BytesView content;
    DerItem list, subtree;
    int r;

    if (der_open_sequence(constraints, &content) < 0)
        return -EBADMSG;
    while ((r = der_next(&content, &list)) > 0) {
        if (list.class != (ASN1_CLASS_CONTEXT_SPECIFIC | ASN1_CLASS_STRUCTURED) ||
            (list.tag != PERMITTED && list.tag != EXCLUDED))
            return -EBADMSG;
        while ((r = der_next(&list.content, &subtree)) > 0) {
            if (!der_is_sequence(&subtree))
                return -EBADMSG;
            r = judge_subtree(subtree.content, (unsigned) list.tag, certificate, judgement);
            if (r < 0)
                return r;
        }
        if (r < 0)
            return r;
    }
    return r;
}

static bool has_name_not_understood(const Certificate *certificate, const Judgement *judgement) {
    _cleanup_bytes_ Bytes san = BYTES_NULL;
    BytesView names;
    DerItem name;
    int r = certificate_extension(certificate, GNUTLS_X509EXT_OID_SAN, &san, NULL);

    if (r == -ENOENT)
        return false;
    if (r < 0 || der_open_sequence(bytes_view(&san), &names) < 0)
        return true;
    while ((r = der_next(&names, &name)) > 0)
        if (name.tag >= NAME_KINDS || judgement->not_understood[name.tag])
            return true;
    return r < 0;
}

bool name_constraints_allow(const Certificate *issuer, const Certificate *certificate, const char **ret_reason) {
    _cleanup_bytes_ Bytes constraints = BYTES_NULL;
    Judgement judgement = { 0 };
    int r = certificate_extension(issuer, GNUTLS_X509EXT_OID_NAME_CONSTRAINTS, &constraints, NULL);

    if (r == -ENOENT)
        return true;
    if (r < 0 || judge_constraints(bytes_view(&constraints), certificate, &judgement) < 0) {
        *ret_reason = "they cannot be read";
        return false;
    }
    /* an empty subject has no directory name to constrain */
    if (certificate->subject_raw.size > 2 &&
        ((judgement.directory_constrained && !judgement.directory_allowed) || judgement.directory_excluded)) {
        *ret_reason = "its subject is outside";
        return false;
    }
    if (has_name_not_understood(certificate, &judgement)) {
        *ret_reason =
            "it has a subject alternative name of a kind that they are about and that identityd cannot compare";
        return false;
    }
    return true;
}
