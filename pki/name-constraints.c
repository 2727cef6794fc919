/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Name constraints: GnuTLS compares DNS names, mail and IP addresses, and takes no notice of permitted directory names;
 * excluded directory names it takes to exclude everything, and of URIs it refuses all. So directory names and URIs are
 * compared here, and GnuTLS is asked about the three kinds that it knows. */
#include "pki/name-constraints.h"

#include "pki/asn1.h"
#include "pki/directory-name.h"
#include "pki/general-names.h"

#include <strings.h>

enum { PERMITTED = 0, EXCLUDED = 1 };

/* Each of the one is compared with each of the other. */
#define BASES_MAX 256U /* directory names and URIs in the constraints of one CA */
#define NAMES_MAX 64U  /* among the alternative names of one certificate */

/* What kinds of names the constraints are about. */
typedef struct Constraints {
    bool is_constrained[NAME_KINDS], has_permitted[NAME_KINDS];
    unsigned base_count;
} Constraints;

/* A name that is looked at, and what the bases of its kind so far made of it. */
typedef struct Judged {
    unsigned kind;  /* NAME_DIRECTORY or NAME_URI */
    BytesView name; /* a DER Name, or a URI; empty: none is looked at */
    bool is_permitted, is_excluded;
} Judged;

static bool is_compared_here(unsigned long kind) {
    return kind == NAME_DIRECTORY || kind == NAME_URI;
}

/* ---- URIs ---- */

static bool is_same_host(const uint8_t *a, const uint8_t *b, size_t size) {
    return strncasecmp((const char *) a, (const char *) b, size) == 0;
}

/* The host as a DNS name without the dot of the root. RFC 5280 §4.2.1.10 has a URI without a host, or with an IP
 * address for one, rejected where URIs are constrained; so is what a reader may decode to another name. */
static bool read_host(BytesView uri, BytesView *ret) {
    bool has_letter = false;
    BytesView host;

    if (!uri_host(uri, &host))
        return false;
    if (host.data[host.size - 1] == '.')
        host.size--;
    for (size_t i = 0; i < host.size; i++) {
        uint8_t c = host.data[i];
        bool letter = ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_';
        if (!letter && !(c >= '0' && c <= '9') && c != '-' && c != '.')
            return false;
        has_letter = has_letter || letter;
    }
    *ret = host;
    return has_letter;
}

/* "host.example" is that host, ".example" whatever ends so; an empty one excludes all and permits none. */
static NameMatch match_uri(BytesView uri, BytesView base, unsigned list) {
    BytesView host;

    if (!read_host(uri, &host))
        return NAME_UNCLEAR;
    if (base.size == 0)
        return list == EXCLUDED ? NAME_MATCHES : NAME_DIFFERS;
    if (base.data[0] != '.')
        return host.size == base.size && is_same_host(host.data, base.data, base.size) ? NAME_MATCHES : NAME_DIFFERS;
    return host.size > base.size && is_same_host(host.data + host.size - base.size, base.data, base.size)
               ? NAME_MATCHES
               : NAME_DIFFERS;
}

/* ---- what is compared here ---- */

static void judge(Judged *judged, BytesView base, unsigned list) {
    NameMatch match =
        judged->kind == NAME_URI ? match_uri(judged->name, base, list) : name_is_below(judged->name, base);

    if (list == PERMITTED)
        judged->is_permitted = judged->is_permitted || match == NAME_MATCHES;
    else
        judged->is_excluded = judged->is_excluded || match != NAME_DIFFERS;
}

/* GeneralSubtree ::= SEQUENCE { base GeneralName, minimum [0] DEFAULT 0, maximum [1] OPTIONAL }; RFC 5280 allows the
 * base only. */
static int read_subtree(BytesView subtree, unsigned list, Constraints *constraints, Judged *judged) {
    DerItem base;

    if (der_next(&subtree, &base) <= 0 || subtree.size > 0 || !(base.class & ASN1_CLASS_CONTEXT_SPECIFIC) ||
        base.tag >= NAME_KINDS || base.tag == NAME_OTHER) /* GnuTLS would fail on those, and leak */
        return -EBADMSG;
    constraints->is_constrained[base.tag] = true;
    constraints->has_permitted[base.tag] = constraints->has_permitted[base.tag] || list == PERMITTED;
    if (is_compared_here(base.tag) && ++constraints->base_count > BASES_MAX)
        return -E2BIG;
    if (base.tag == judged->kind && judged->name.size > 0)
        judge(judged, base.content, list);
    return 0;
}

static int read_constraints(BytesView der, Constraints *constraints, Judged *judged) {
    BytesView content;
    DerItem list, subtree;
    int r;

    if (der_open_sequence(der, &content) < 0)
        return -EBADMSG;
    while ((r = der_next(&content, &list)) > 0) {
        if (list.class != (ASN1_CLASS_CONTEXT_SPECIFIC | ASN1_CLASS_STRUCTURED) ||
            (list.tag != PERMITTED && list.tag != EXCLUDED))
            return -EBADMSG;
        while ((r = der_next(&list.content, &subtree)) > 0) {
            if (!der_is_sequence(&subtree))
                return -EBADMSG;
            r = read_subtree(subtree.content, (unsigned) list.tag, constraints, judged);
            if (r < 0)
                return r;
        }
        if (r < 0)
            return r;
    }
    return r;
}

static bool name_is_allowed(BytesView der, unsigned kind, BytesView name) {
    Constraints constraints = { 0 };
    Judged judged = { .kind = kind, .name = name };

    return read_constraints(der, &constraints, &judged) >= 0 && !judged.is_excluded &&
           (judged.is_permitted || !constraints.has_permitted[kind]);
}

/* ---- GnuTLS's part ---- */

static void constraints_p(gnutls_x509_name_constraints_t *constraints) {
    if (*constraints)
        gnutls_x509_name_constraints_deinit(*constraints);
}
#define _cleanup_constraints_ _cleanup_(constraints_p)

static const struct {
    unsigned kind;
    gnutls_x509_subject_alt_name_t type;
} library_kinds[] = {
    { NAME_DNS, GNUTLS_SAN_DNSNAME },
    { NAME_MAIL, GNUTLS_SAN_RFC822NAME },
    { NAME_IP, GNUTLS_SAN_IPADDRESS },
};

static const char library_reason[] = "a DNS name, mail or IP address of it is outside";

/* NULL where it has nothing to compare. */
static int library_read(const Certificate *issuer, const Constraints *constraints,
                        gnutls_x509_name_constraints_t *ret) {
    bool is_asked = false;
    unsigned critical;

    for (size_t i = 0; i < ARRAY_LENGTH(library_kinds); i++)
        is_asked = is_asked || constraints->is_constrained[library_kinds[i].kind];
    if (!is_asked)
        return 0;
    if (gnutls_x509_name_constraints_init(ret) < 0)
        return -ENOMEM;
    return gnutls_x509_crt_get_name_constraints(issuer->crt, *ret, 0, &critical) < 0 ? -EBADMSG : 0;
}

static bool library_allows_name(gnutls_x509_name_constraints_t constraints, const DerItem *name) {
    gnutls_datum_t value = datum_from_view(name->content);

    for (size_t i = 0; i < ARRAY_LENGTH(library_kinds); i++)
        if (name->tag == library_kinds[i].kind)
            return gnutls_x509_name_constraints_check(constraints, library_kinds[i].type, &value) != 0;
    return false;
}

/* Of a leaf it looks at the common name and the mail address in the subject as well. */
static bool library_allows_leaf(gnutls_x509_name_constraints_t constraints, const Certificate *certificate,
                                const char **ret_reason) {
    for (size_t i = 0; i < ARRAY_LENGTH(library_kinds); i++)
        if (!gnutls_x509_name_constraints_check_crt(constraints, library_kinds[i].type, certificate->crt)) {
            *ret_reason = library_reason;
            return false;
        }
    return true;
}

/* ---- both ---- */

/* The constraints of one CA. */
typedef struct Issuer {
    BytesView der;
    Constraints constraints;
    gnutls_x509_name_constraints_t library;
} Issuer;

static bool alternative_name_is_allowed(const Issuer *issuer, const DerItem *name, unsigned *count,
                                        const char **ret_reason) {
    if (!issuer->constraints.is_constrained[name->tag])
        return true;
    if (name->tag == NAME_DNS || name->tag == NAME_MAIL || name->tag == NAME_IP) {
        *ret_reason = library_reason;
        return library_allows_name(issuer->library, name);
    }
    if (!is_compared_here(name->tag)) {
        *ret_reason =
            "it has a subject alternative name of a kind that they are about and that identityd cannot compare";
        return false;
    }
    if (++*count > NAMES_MAX) {
        *ret_reason = "it has too many directory names or URIs among its subject alternative names";
        return false;
    }
    *ret_reason = name->tag == NAME_URI ? "a URI among its subject alternative names is outside"
                                        : "a directory name among its subject alternative names is outside";
    return name_is_allowed(issuer->der, (unsigned) name->tag, name->content);
}

static bool alternative_names_are_allowed(const Issuer *issuer, const Certificate *certificate,
                                          const char **ret_reason) {
    _cleanup_bytes_ Bytes san = BYTES_NULL;
    unsigned count = 0;
    BytesView names;
    DerItem name;
    int r = certificate_extension(certificate, GNUTLS_X509EXT_OID_SAN, &san, NULL);

    if (r == -ENOENT)
        return true;
    *ret_reason = "its subject alternative names cannot be read";
    if (r < 0 || der_open_sequence(bytes_view(&san), &names) < 0)
        return false;
    while ((r = der_next(&names, &name)) > 0)
        if (name.tag >= NAME_KINDS || !alternative_name_is_allowed(issuer, &name, &count, ret_reason))
            return false;
    return r == 0;
}

bool name_constraints_allow(const Certificate *issuer, const Certificate *certificate, bool is_leaf,
                            const char **ret_reason) {
    _cleanup_bytes_ Bytes der = BYTES_NULL;
    _cleanup_constraints_ gnutls_x509_name_constraints_t library = NULL;
    Judged none = { 0 };
    Issuer bounds = { 0 };
    int r = certificate_extension(issuer, GNUTLS_X509EXT_OID_NAME_CONSTRAINTS, &der, NULL);

    if (r == -ENOENT)
        return true;
    bounds.der = bytes_view(&der);
    if (r < 0 || read_constraints(bounds.der, &bounds.constraints, &none) < 0 ||
        library_read(issuer, &bounds.constraints, &library) < 0) {
        *ret_reason = "they cannot be read, or are too many";
        return false;
    }
    bounds.library = library;
    /* an empty subject has no directory name to constrain */
    if (bounds.constraints.is_constrained[NAME_DIRECTORY] && certificate->subject_raw.size > 2 &&
        !name_is_allowed(bounds.der, NAME_DIRECTORY, bytes_view(&certificate->subject_raw))) {
        *ret_reason = "its subject is outside";
        return false;
    }
    return alternative_names_are_allowed(&bounds, certificate, ret_reason) &&
           (!is_leaf || !library || library_allows_leaf(library, certificate, ret_reason));
}

bool name_constraints_are_ours(const Certificate *issuer) {
    _cleanup_bytes_ Bytes der = BYTES_NULL;
    Constraints constraints = { 0 };
    Judged none = { 0 };

    return certificate_extension(issuer, GNUTLS_X509EXT_OID_NAME_CONSTRAINTS, &der, NULL) >= 0 &&
           read_constraints(bytes_view(&der), &constraints, &none) >= 0 &&
           (constraints.is_constrained[NAME_DIRECTORY] || constraints.is_constrained[NAME_URI]);
}
