/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Policies. RFC 5280's tree grows exponentially with mappings (CVE-2023-0464); RFC 9618 keeps one node for a policy and
 * depth. Here nothing is asked of a level but its nodes, since any initial policy will do: whether some are left at the
 * leaf is the verdict. A level is a list of edges: a policy that is valid, and one of those that may follow it. */
#include "pki/policy.h"

#include "pki/asn1.h"
#include "pki/extensions.h"

#include <string.h>

#define POLICIES_MAX 64U  /* in one certificate; and mappings */
#define EDGES_MAX    256U /* in one level */

static const uint8_t any_policy_bytes[] = { 0x55, 0x1d, 0x20, 0x00 };
static const BytesView any_policy = { any_policy_bytes, sizeof(any_policy_bytes) };

typedef struct Edge {
    BytesView valid, expected; /* contents of OIDs, within the DER of the certificates' extensions */
} Edge;

typedef struct Level {
    Edge edges[EDGES_MAX];
    size_t count;
} Level;

/* What one certificate says. */
typedef struct Said {
    bool has_policies, has_any, has_require, has_inhibit_mapping, has_inhibit_any;
    BytesView policies[POLICIES_MAX]; /* without anyPolicy */
    size_t policy_count;
    Edge mappings[POLICIES_MAX]; /* valid: the issuer's, expected: the subject's */
    size_t mapping_count;
    unsigned require, inhibit_mapping, inhibit_any;
} Said;

typedef struct Walk {
    Said said; /* of the certificate at hand */
    Level level, next;
    size_t explicit_policy, mapping, any; /* how many more certificates may do without, or with */
} Walk;

static void walk_free_p(Walk **walk) {
    free(*walk);
}

/* ---- reading ---- */

static bool is_oid(const DerItem *item) {
    return der_is(item, ASN1_TAG_OBJECT_ID) && item->content.size > 0;
}

/* SkipCerts: a number so large counts like the length of a path. */
static int read_skip(BytesView content, unsigned *ret) {
    if (content.size == 0 || content.data[0] & 0x80 ||
        (content.size > 1 && content.data[0] == 0 && !(content.data[1] & 0x80)))
        return -EBADMSG;
    *ret = content.size > 1 ? 255 : content.data[0];
    return 0;
}

/* The content of an extension that is a SEQUENCE SIZE (1..MAX): 1, 0 where there is none, -EBADMSG. */
static int open_list(const Certificate *certificate, const char *oid, BytesView *ret) {
    const CertificateExtension *extension = certificate_extension(certificate, oid);

    if (!extension)
        return 0;
    return der_open_sequence(extension->value, ret) < 0 || ret->size == 0 ? -EBADMSG : 1;
}

/* certificatePolicies ::= SEQUENCE SIZE (1..MAX) OF SEQUENCE { policyIdentifier, policyQualifiers OPTIONAL } */
static int read_policies(const Certificate *certificate, Said *said) {
    BytesView rest;
    DerItem item, oid;
    int r = open_list(certificate, GNUTLS_X509EXT_OID_CRT_POLICY, &rest);

    if (r <= 0)
        return r;
    said->has_policies = true;
    while ((r = der_next(&rest, &item)) > 0) {
        if (!der_is_sequence(&item) || der_next(&item.content, &oid) <= 0 || !is_oid(&oid))
            return -EBADMSG;
        bool is_any = bytes_view_equal(oid.content, any_policy), is_twice = is_any && said->has_any;
        for (size_t i = 0; i < said->policy_count; i++)
            is_twice = is_twice || bytes_view_equal(said->policies[i], oid.content);
        if (is_twice)
            return -EBADMSG;
        if (is_any)
            said->has_any = true;
        else if (said->policy_count == POLICIES_MAX)
            return -E2BIG;
        else
            said->policies[said->policy_count++] = oid.content;
    }
    return r;
}

/* policyMappings ::= SEQUENCE SIZE (1..MAX) OF SEQUENCE { issuerDomainPolicy, subjectDomainPolicy } */
static int read_mappings(const Certificate *certificate, Said *said) {
    BytesView rest;
    DerItem item, from, to;
    int r = open_list(certificate, OID_POLICY_MAPPINGS, &rest);

    if (r <= 0)
        return r;
    while ((r = der_next(&rest, &item)) > 0) {
        if (!der_is_sequence(&item) || der_next(&item.content, &from) <= 0 || der_next(&item.content, &to) <= 0 ||
            item.content.size > 0 || !is_oid(&from) || !is_oid(&to) || bytes_view_equal(from.content, any_policy) ||
            bytes_view_equal(to.content, any_policy))
            return -EBADMSG;
        if (said->mapping_count == POLICIES_MAX)
            return -E2BIG;
        said->mappings[said->mapping_count++] = (Edge) { from.content, to.content };
    }
    return r;
}

/* policyConstraints ::= SEQUENCE { requireExplicitPolicy [0] OPTIONAL, inhibitPolicyMapping [1] OPTIONAL }, not empty.
 */
static int read_constraints(const Certificate *certificate, Said *said) {
    unsigned long least = 0;
    BytesView rest;
    DerItem item;
    int r = open_list(certificate, OID_POLICY_CONSTRAINTS, &rest);

    if (r <= 0)
        return r;
    while ((r = der_next(&rest, &item)) > 0) {
        if (item.class != ASN1_CLASS_CONTEXT_SPECIFIC || item.tag > 1 || item.tag < least)
            return -EBADMSG;
        least = item.tag + 1;
        bool is_require = item.tag == 0;
        if (read_skip(item.content, is_require ? &said->require : &said->inhibit_mapping) < 0)
            return -EBADMSG;
        *(is_require ? &said->has_require : &said->has_inhibit_mapping) = true;
    }
    return r;
}

static int read_inhibit_any(const Certificate *certificate, Said *said) {
    const CertificateExtension *extension = certificate_extension(certificate, OID_INHIBIT_ANY);
    DerItem item;

    if (!extension)
        return 0;
    BytesView rest = extension->value;
    if (der_next(&rest, &item) <= 0 || rest.size > 0 || !der_is(&item, ASN1_TAG_INTEGER))
        return -EBADMSG;
    said->has_inhibit_any = true;
    return read_skip(item.content, &said->inhibit_any);
}

static int read_said(const Certificate *certificate, Said *said) {
    int r = read_policies(certificate, said);

    if (r >= 0)
        r = read_mappings(certificate, said);
    if (r >= 0)
        r = read_constraints(certificate, said);
    return r < 0 ? r : read_inhibit_any(certificate, said);
}

/* ---- levels ---- */

static int add_edge(Level *level, BytesView valid, BytesView expected) {
    for (size_t i = 0; i < level->count; i++)
        if (bytes_view_equal(level->edges[i].valid, valid) && bytes_view_equal(level->edges[i].expected, expected))
            return 0;
    if (level->count == EDGES_MAX)
        return -E2BIG;
    level->edges[level->count++] = (Edge) { valid, expected };
    return 0;
}

static bool is_valid_in(const Level *level, BytesView policy) {
    for (size_t i = 0; i < level->count; i++)
        if (bytes_view_equal(level->edges[i].valid, policy))
            return true;
    return false;
}

static bool is_expected_in(const Level *level, BytesView policy) {
    for (size_t i = 0; i < level->count; i++)
        if (bytes_view_equal(level->edges[i].expected, policy))
            return true;
    return false;
}

/* RFC 5280 §6.1.3 (d) and (e). */
static int take_policies(Walk *walk, const Said *said, bool any_counts) {
    const Level *level = &walk->level;
    Level *next = &walk->next;
    int r = 0;

    next->count = 0;
    for (size_t i = 0; r >= 0 && i < said->policy_count; i++)
        if (is_expected_in(level, said->policies[i]) || is_valid_in(level, any_policy))
            r = add_edge(next, said->policies[i], said->policies[i]);
    if (said->has_any && any_counts)
        for (size_t i = 0; r >= 0 && i < level->count; i++)
            if (!is_valid_in(next, level->edges[i].expected))
                r = add_edge(next, level->edges[i].expected, level->edges[i].expected);
    walk->level = *next;
    return r;
}

static void remove_valid(Level *level, BytesView policy) {
    size_t kept = 0;

    for (size_t i = 0; i < level->count; i++)
        if (!bytes_view_equal(level->edges[i].valid, policy))
            level->edges[kept++] = level->edges[i];
    level->count = kept;
}

/* RFC 5280 §6.1.4 (b). */
static int map_policies(Walk *walk, const Said *said) {
    Level *level = &walk->level, *next = &walk->next;
    bool any = is_valid_in(level, any_policy);
    int r = 0;

    if (said->mapping_count == 0)
        return 0;
    *next = *level;
    for (size_t i = 0; i < said->mapping_count; i++)
        remove_valid(next, said->mappings[i].valid);
    for (size_t i = 0; r >= 0 && walk->mapping > 0 && i < said->mapping_count; i++)
        if (any || is_valid_in(level, said->mappings[i].valid))
            r = add_edge(next, said->mappings[i].valid, said->mappings[i].expected);
    *level = *next;
    return r;
}

static void lower(size_t *number, bool given, unsigned to) {
    if (given && *number > to)
        *number = to;
}

/* RFC 5280 §6.1.4 (h) to (j). */
static void count_down(Walk *walk, const Said *said, bool self_issued) {
    size_t *const numbers[] = { &walk->explicit_policy, &walk->mapping, &walk->any };

    for (size_t i = 0; i < ARRAY_LENGTH(numbers) && !self_issued; i++)
        if (*numbers[i] > 0)
            --*numbers[i];
    lower(&walk->explicit_policy, said->has_require, said->require);
    lower(&walk->mapping, said->has_inhibit_mapping, said->inhibit_mapping);
    lower(&walk->any, said->has_inhibit_any, said->inhibit_any);
}

static PolicyVerdict verdict_of(int r) {
    return r == -E2BIG ? POLICY_TOO_MANY : POLICY_MALFORMED;
}

/* One certificate; `at` counts down to the leaf, 0. */
static PolicyVerdict take_certificate(Walk *walk, const Certificate *certificate, size_t at) {
    Said *said = &walk->said;

    *said = (Said) { 0 };
    int r = read_said(certificate, said);

    if (r >= 0)
        r = take_policies(walk, said, walk->any > 0 || (at > 0 && certificate->self_issued));
    if (r < 0)
        return verdict_of(r);
    if (walk->explicit_policy == 0 && walk->level.count == 0)
        return POLICY_MISSING;
    if (at > 0) {
        r = map_policies(walk, said);
        if (r < 0)
            return verdict_of(r);
        count_down(walk, said, certificate->self_issued);
        return POLICY_GOOD;
    }
    if (walk->explicit_policy > 0)
        walk->explicit_policy--;
    if (said->has_require && said->require == 0)
        walk->explicit_policy = 0;
    return walk->explicit_policy > 0 || walk->level.count > 0 ? POLICY_GOOD : POLICY_MISSING;
}

/* Most paths have nothing to say: no certificate of theirs demands a policy. */
static bool is_demanded(const Certificate *const *path, size_t count) {
    static const char *const oids[] = { OID_POLICY_CONSTRAINTS, OID_POLICY_MAPPINGS, OID_INHIBIT_ANY,
                                        GNUTLS_X509EXT_OID_CRT_POLICY };

    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < ARRAY_LENGTH(oids); k++)
            if (certificate_extension(path[i], oids[k]))
                return true;
    return false;
}

PolicyVerdict policy_judge(const Certificate *const *path, size_t count, size_t *ret_at_fault) {
    _cleanup_(walk_free_p) Walk *walk = NULL;
    PolicyVerdict verdict = POLICY_GOOD;

    if (!is_demanded(path, count))
        return POLICY_GOOD;
    walk = calloc(1, sizeof *walk);
    if (!walk)
        return POLICY_TOO_MANY;
    walk->explicit_policy = walk->mapping = walk->any = count + 1;
    (void) add_edge(&walk->level, any_policy, any_policy);
    for (size_t at = count; at-- > 0 && verdict == POLICY_GOOD;) {
        verdict = take_certificate(walk, path[at], at);
        if (verdict != POLICY_GOOD)
            *ret_at_fault = at;
    }
    return verdict;
}
