/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Name constraints: GnuTLS compares DNS names, mail and IP addresses, and takes no notice of permitted directory names
 * and URIs, nor of other names; excluded directory names it takes to exclude everything. So directory names are
 * compared here, and GnuTLS is asked about the three kinds that it knows. */
#include "pki/name-constraints.h"

#include "pki/asn1.h"
#include "pki/directory-name.h"
#include "pki/general-names.h"

enum { PERMITTED = 0, EXCLUDED = 1 };

/* Each of the one is compared with each of the other. */
#define DIRECTORY_BASES_MAX 256U /* directory names in the constraints of one CA */
#define DIRECTORY_NAMES_MAX 64U  /* among the alternative names of one certificate */

/* What kinds of names the constraints are about. */
typedef struct Constraints {
    bool is_constrained[NAME_KINDS];
    bool has_permitted_directory;
    unsigned directory_count;
} Constraints;

/* A directory name that is looked at, and what the bases so far made of it. */
typedef struct Directory {
    BytesView name; /* a DER Name; empty: none is looked at */
    bool is_permitted, is_excluded;
} Directory;

static void judge_directory(Directory *directory, BytesView base, unsigned list) {
    NameMatch match = name_is_below(directory->name, base);

    if (list == PERMITTED)
        directory->is_permitted = directory->is_permitted || match == NAME_MATCHES;
    else
        directory->is_excluded = directory->is_excluded || match != NAME_DIFFERS;
}

/* GeneralSubtree ::= SEQUENCE { base GeneralName, minimum [0] DEFAULT 0, maximum [1] OPTIONAL }; RFC 5280 allows the
 * base only. */
static int read_subtree(BytesView subtree, unsigned list, Constraints *constraints, Directory *directory) {
    DerItem base;

    if (der_next(&subtree, &base) <= 0 || subtree.size > 0 || !(base.class & ASN1_CLASS_CONTEXT_SPECIFIC) ||
        base.tag >= NAME_KINDS || base.tag == NAME_OTHER) /* GnuTLS would fail on those, and leak */
        return -EBADMSG;
    constraints->is_constrained[base.tag] = true;
    if (base.tag != NAME_DIRECTORY)
        return 0;
    if (++constraints->directory_count > DIRECTORY_BASES_MAX)
        return -E2BIG;
    constraints->has_permitted_directory = constraints->has_permitted_directory || list == PERMITTED;
    if (directory->name.size > 0)
        judge_directory(directory, base.content, list);
    return 0;
}

static int read_constraints(BytesView der, Constraints *constraints, Directory *directory) {
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
            r = read_subtree(subtree.content, (unsigned) list.tag, constraints, directory);
            if (r < 0)
                return r;
        }
        if (r < 0)
            return r;
    }
    return r;
}

static bool directory_is_allowed(BytesView der, BytesView name) {
    Constraints constraints = { 0 };
    Directory directory = { .name = name };

    return read_constraints(der, &constraints, &directory) >= 0 && !directory.is_excluded &&
           (directory.is_permitted || !constraints.has_permitted_directory);
}

/* Directory names among the alternative names are judged; of the kinds that nobody compares there may be none. */
static bool alternative_names_are_allowed(BytesView der, const Constraints *constraints, const Certificate *certificate,
                                          const char **ret_reason) {
    _cleanup_bytes_ Bytes san = BYTES_NULL;
    unsigned directory_count = 0;
    BytesView names;
    DerItem name;
    int r = certificate_extension(certificate, GNUTLS_X509EXT_OID_SAN, &san, NULL);

    if (r == -ENOENT)
        return true;
    *ret_reason = "its subject alternative names cannot be read";
    if (r < 0 || der_open_sequence(bytes_view(&san), &names) < 0)
        return false;
    while ((r = der_next(&names, &name)) > 0) {
        if (name.tag >= NAME_KINDS)
            return false;
        if (!constraints->is_constrained[name.tag] || name.tag == NAME_DNS || name.tag == NAME_MAIL ||
            name.tag == NAME_IP)
            continue;
        if (name.tag != NAME_DIRECTORY) {
            *ret_reason =
                "it has a subject alternative name of a kind that they are about and that identityd cannot compare";
            return false;
        }
        if (++directory_count > DIRECTORY_NAMES_MAX) {
            *ret_reason = "it has too many directory names among its subject alternative names";
            return false;
        }
        if (!directory_is_allowed(der, name.content)) {
            *ret_reason = "a directory name among its subject alternative names is outside";
            return false;
        }
    }
    return r == 0;
}

/* ---- GnuTLS's part ---- */

static void constraints_p(gnutls_x509_name_constraints_t *constraints) {
    if (*constraints)
        gnutls_x509_name_constraints_deinit(*constraints);
}
#define _cleanup_constraints_ _cleanup_(constraints_p)

static bool library_allows(const Certificate *issuer, const Certificate *certificate, const char **ret_reason) {
    static const gnutls_x509_subject_alt_name_t types[] = { GNUTLS_SAN_DNSNAME, GNUTLS_SAN_RFC822NAME,
                                                            GNUTLS_SAN_IPADDRESS };
    _cleanup_constraints_ gnutls_x509_name_constraints_t constraints = NULL;
    unsigned critical;

    if (gnutls_x509_name_constraints_init(&constraints) < 0 ||
        gnutls_x509_crt_get_name_constraints(issuer->crt, constraints, 0, &critical) < 0) {
        *ret_reason = "they cannot be read";
        return false;
    }
    for (size_t i = 0; i < ARRAY_LENGTH(types); i++)
        if (!gnutls_x509_name_constraints_check_crt(constraints, types[i], certificate->crt)) {
            *ret_reason = "a DNS name, mail or IP address of it is outside";
            return false;
        }
    return true;
}

/* ---- both ---- */

bool name_constraints_allow(const Certificate *issuer, const Certificate *certificate, bool is_leaf,
                            const char **ret_reason) {
    _cleanup_bytes_ Bytes der = BYTES_NULL;
    Constraints constraints = { 0 };
    Directory none = { 0 };
    int r = certificate_extension(issuer, GNUTLS_X509EXT_OID_NAME_CONSTRAINTS, &der, NULL);

    if (r == -ENOENT)
        return true;
    if (r < 0 || read_constraints(bytes_view(&der), &constraints, &none) < 0) {
        *ret_reason = "they cannot be read, or are too many";
        return false;
    }
    /* an empty subject has no directory name to constrain */
    if (constraints.is_constrained[NAME_DIRECTORY] && certificate->subject_raw.size > 2 &&
        !directory_is_allowed(bytes_view(&der), bytes_view(&certificate->subject_raw))) {
        *ret_reason = "its subject is outside";
        return false;
    }
    return alternative_names_are_allowed(bytes_view(&der), &constraints, certificate, ret_reason) &&
           (!is_leaf || library_allows(issuer, certificate, ret_reason));
}

bool name_constraints_concern_directories(const Certificate *issuer) {
    _cleanup_bytes_ Bytes der = BYTES_NULL;
    Constraints constraints = { 0 };
    Directory none = { 0 };

    return certificate_extension(issuer, GNUTLS_X509EXT_OID_NAME_CONSTRAINTS, &der, NULL) >= 0 &&
           read_constraints(bytes_view(&der), &constraints, &none) >= 0 && constraints.is_constrained[NAME_DIRECTORY];
}
