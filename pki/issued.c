/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether an issued certificate is the one that was asked for. That it verifies is chain.c's part; here a CA that
 * certifies another key, another name, or what we hold already, is told from one that did its work. */
#include "pki/asn1.h"
#include "pki/chain.h"
#include "pki/csr.h"
#include "pki/directory-name.h"
#include "pki/general-names.h"
#include "pki/signature.h"

#include <stdio.h>
#include <string.h>

#define REJECT(...)      failure_set(ret_failure, -EKEYREJECTED, FAILURE_CERTIFICATE_REJECTED, __VA_ARGS__)
#define LIFETIME_MIN     10 /* seconds */
#define SUBJECT_TEXT_MAX 140U
#define WAY_OUT          "mend the CA, or set Names=ca in [Enrollment] if it is the CA that decides names"

/* Subject and subject alternative names, in DER. */
typedef struct Names {
    BytesView subject, san;
} Names;

static int same_forms(int (*form)(BytesView, Bytes *), BytesView a, BytesView b, bool *ret) {
    _cleanup_bytes_ Bytes one = BYTES_NULL, other = BYTES_NULL;
    int r = form(a, &one);

    if (r >= 0)
        r = form(b, &other);
    if (r >= 0)
        *ret = bytes_view_equal(bytes_view(&one), bytes_view(&other));
    return r;
}

static void subject_text(BytesView subject, char buffer[static SUBJECT_TEXT_MAX]) {
    _cleanup_free_ char *text = NULL;

    if (name_to_text(subject, &text) < 0 || text[0] == '\0')
        (void) snprintf(buffer, SUBJECT_TEXT_MAX, "none");
    else
        (void) snprintf(buffer, SUBJECT_TEXT_MAX, "%.130s%s", text, strlen(text) > 130 ? "…" : "");
}

static int read_san(const Certificate *certificate, Bytes *ret) {
    const CertificateExtension *extension = certificate_extension(certificate, GNUTLS_X509EXT_OID_SAN);

    return extension ? bytes_copy(extension->value, ret) : 0;
}

/* `whose`: what has the names that are wanted. */
static int check_names(const Names *names, const Names *wanted, const char *whose, Failure *ret_failure) {
    char one[SUBJECT_TEXT_MAX], other[SUBJECT_TEXT_MAX], san[GENERAL_NAMES_TEXT_MAX],
        wanted_san[GENERAL_NAMES_TEXT_MAX];
    bool same_subject = false, same_san = false;
    int r = same_forms(name_form, names->subject, wanted->subject, &same_subject);

    if (r >= 0)
        r = same_forms(general_names_form, names->san, wanted->san, &same_san);
    if (r < 0)
        return failure_errno(ret_failure, r, "comparing names");
    subject_text(names->subject, one);
    subject_text(wanted->subject, other);
    general_names_text(names->san, san);
    general_names_text(wanted->san, wanted_san);
    if (!same_subject && !same_san)
        return REJECT(
            "its subject is \"%s\" and its subject alternative names are %s, but %s has \"%s\" and %s: " WAY_OUT, one,
            san, whose, other, wanted_san);
    if (!same_subject)
        return REJECT("its subject is \"%s\", but %s has \"%s\": " WAY_OUT, one, whose, other);
    if (!same_san)
        return REJECT("its subject alternative names are %s, but %s has %s: " WAY_OUT, san, whose, wanted_san);
    return 0;
}

static int check_request(const Names *names, BytesView request, Failure *ret_failure) {
    _cleanup_bytes_ Bytes subject = BYTES_NULL, san = BYTES_NULL;

    if (request.size == 0)
        return 0;
    int r = csr_names(request, &subject, &san);
    if (r < 0)
        return failure_set(ret_failure, r, FAILURE_INTERNAL, "the request that was sent cannot be read again");
    const Names wanted = { bytes_view(&subject), bytes_view(&san) };
    return check_names(names, &wanted, "the request", ret_failure);
}

/* A renewal carries the names of what it renews. That it is better than that is not for here (rules/successor). */
static int check_previous(const Names *names, const Certificate *previous, Failure *ret_failure) {
    _cleanup_bytes_ Bytes san = BYTES_NULL;

    if (!previous)
        return 0;
    int r = read_san(previous, &san);
    if (r < 0)
        return failure_errno(ret_failure, r, "reading the certificate that is to be renewed");
    const Names wanted = { previous->subject_raw, bytes_view(&san) };
    return check_names(names, &wanted, "the certificate that it renews", ret_failure);
}

static int check_use(const Certificate *leaf, BytesView spki, const char *who, Failure *ret_failure) {
    if (!bytes_view_equal(leaf->spki, spki))
        return REJECT("%s is for another public key than ours", who);
    if (leaf->is_ca)
        return REJECT("%s is a CA certificate", who);
    if (!(leaf->key_usage & GNUTLS_KEY_DIGITAL_SIGNATURE))
        return REJECT("the key usage of %s does not allow digital signatures", who);
    if (leaf->not_after < leaf->not_before)
        return REJECT("%s ends before it begins", who);
    if (leaf->not_after - leaf->not_before < LIFETIME_MIN)
        return REJECT("%s lives for less than %d seconds", who, LIFETIME_MIN);
    return 0;
}

int issued_check(const Certificate *leaf, const IssuedExpectation *expectation, Failure *ret_failure) {
    char who[CERTIFICATE_DESCRIPTION_MAX];
    _cleanup_bytes_ Bytes san = BYTES_NULL;
    int r = check_use(leaf, expectation->spki, certificate_describe(leaf, who), ret_failure);

    if (r >= 0) {
        r = read_san(leaf, &san);
        if (r < 0)
            return failure_errno(ret_failure, r, "reading the issued certificate");
    }
    if (r < 0 || expectation->names_are_the_cas)
        return r;
    const Names names = { leaf->subject_raw, bytes_view(&san) };
    r = check_request(&names, expectation->request, ret_failure);
    return r < 0 ? r : check_previous(&names, expectation->previous, ret_failure);
}
