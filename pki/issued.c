/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether an issued certificate is the one that was asked for. That it verifies is chain.c's part; here a CA that
 * certifies another key, another name, or what we hold already, is told from one that did its work. */
#include "pki/asn1.h"
#include "pki/chain.h"
#include "pki/csr.h"
#include "pki/signature.h"

#include <string.h>

#define REJECT(...)  failure_set(ret_failure, -EKEYREJECTED, FAILURE_CERTIFICATE_REJECTED, __VA_ARGS__)
#define LIFETIME_MIN 10 /* seconds */

static void dn_p(gnutls_x509_dn_t *dn) {
    if (*dn)
        gnutls_x509_dn_deinit(*dn);
}

/* Values may come back in another string type, as CAs do that normalise to UTF8String. */
static bool same_name(const Certificate *leaf, BytesView wanted) {
    _cleanup_(dn_p) gnutls_x509_dn_t dn = NULL;
    _cleanup_datum_ gnutls_datum_t text = { 0 };
    gnutls_datum_t datum = datum_from_view(wanted);

    if (bytes_view_equal(bytes_view(&leaf->subject_raw), wanted))
        return true;
    if (gnutls_x509_dn_init(&dn) < 0 || gnutls_x509_dn_import(dn, &datum) < 0 ||
        gnutls_x509_dn_get_str2(dn, &text, 0) < 0 || !text.data)
        return false;
    return strlen((const char *) text.data) == text.size && strcmp(leaf->subject, (const char *) text.data) == 0;
}

/* The same names in any order: each element of one is in the other, as often. */
static bool same_names(BytesView a, BytesView b) {
    BytesView rest_a, rest_b, rest;
    DerItem item, other;
    size_t count_a = 0, count_b = 0;

    if (bytes_view_equal(a, b))
        return true;
    if (a.size != b.size || der_open_sequence(a, &rest_a) < 0 || der_open_sequence(b, &rest_b) < 0)
        return false;
    for (BytesView names = rest_a; der_next(&names, &item) > 0;) {
        count_a = count_b = 0;
        for (rest = rest_a; der_next(&rest, &other) > 0;)
            count_a += bytes_view_equal(item.whole, other.whole);
        for (rest = rest_b; der_next(&rest, &other) > 0;)
            count_b += bytes_view_equal(item.whole, other.whole);
        if (count_a != count_b)
            return false;
    }
    return true;
}

static int read_san(const Certificate *certificate, Bytes *ret) {
    int r = certificate_extension(certificate, GNUTLS_X509EXT_OID_SAN, ret, NULL);

    return r == -ENOENT ? 0 : r;
}

static int check_request(const Certificate *leaf, BytesView san, const IssuedExpectation *expectation, const char *who,
                         Failure *ret_failure) {
    _cleanup_bytes_ Bytes subject = BYTES_NULL, requested = BYTES_NULL;
    int r;

    if (expectation->request.size == 0 || expectation->subject_may_differ)
        return 0;
    r = csr_names(expectation->request, &subject, &requested);
    if (r < 0)
        return failure_set(ret_failure, r, FAILURE_INTERNAL, "the request that was sent cannot be read again");
    if (!same_name(leaf, bytes_view(&subject)))
        return REJECT("%s has another subject than the one requested", who);
    if (!same_names(san, bytes_view(&requested)))
        return REJECT("%s has other subject alternative names than those requested", who);
    return 0;
}

/* A renewal carries the names of what it renews. That it is better than that is not for here (rules/successor). */
static int check_previous(const Certificate *leaf, BytesView san, const Certificate *previous, const char *who,
                          Failure *ret_failure) {
    _cleanup_bytes_ Bytes previous_san = BYTES_NULL;

    if (!previous)
        return 0;
    if (!same_name(leaf, bytes_view(&previous->subject_raw)))
        return REJECT("%s has another subject than the certificate that it renews, %.150s", who, previous->subject);
    int r = read_san(previous, &previous_san);
    if (r < 0)
        return failure_errno(ret_failure, r, "reading the certificate that is to be renewed");
    if (!same_names(san, bytes_view(&previous_san)))
        return REJECT("%s has other subject alternative names than the certificate that it renews", who);
    return 0;
}

int issued_check(const Certificate *leaf, const IssuedExpectation *expectation, Failure *ret_failure) {
    char who[CERTIFICATE_DESCRIPTION_MAX];
    _cleanup_bytes_ Bytes san = BYTES_NULL;
    unsigned usage;
    int r;

    certificate_describe(leaf, who);
    if (!bytes_view_equal(bytes_view(&leaf->spki), expectation->spki))
        return REJECT("%s is for another public key than ours", who);
    if (leaf->is_ca)
        return REJECT("%s is a CA certificate", who);
    if (certificate_key_usage(leaf, &usage) < 0)
        return REJECT("the key usage of %s cannot be read", who);
    if (!(usage & GNUTLS_KEY_DIGITAL_SIGNATURE))
        return REJECT("the key usage of %s does not allow digital signatures", who);
    if (leaf->not_after < leaf->not_before)
        return REJECT("%s ends before it begins", who);
    if (leaf->not_after - leaf->not_before < LIFETIME_MIN)
        return REJECT("%s lives for less than %d seconds", who, LIFETIME_MIN);
    r = read_san(leaf, &san);
    if (r < 0)
        return failure_errno(ret_failure, r, "reading the issued certificate");
    r = check_request(leaf, bytes_view(&san), expectation, who, ret_failure);
    if (r < 0)
        return r;
    return check_previous(leaf, bytes_view(&san), expectation->previous, who, ret_failure);
}
