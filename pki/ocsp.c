/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* OCSP answers. With several CAs trusted, whoever may answer for one could revoke another's certificates: the only
 * signers that count are the certificate's own issuer and those that this very key certified for it. The signature is
 * checked here with one chosen key, rather than by gnutls_ocsp_resp_verify_direct, whose result is in two places and on
 * the system clock. */
#include "pki/revocation.h"

#include "pki/asn1.h"
#include "pki/directory-name.h"
#include "pki/extensions.h"
#include "pki/signature.h"

#include <gnutls/crypto.h>
#include <gnutls/ocsp.h>
#include <stdio.h>
#include <string.h>

#define MALFORMED(...) failure_set(ret_failure, -EBADMSG, FAILURE_CERTIFICATE_REJECTED, __VA_ARGS__)
#define REJECT(...)    failure_set(ret_failure, -EKEYREJECTED, FAILURE_CERTIFICATE_REJECTED, __VA_ARGS__)

#define OCSP_RESPONSES_MAX 32U
#define OCSP_SIGNERS_MAX   8U /* certificates in an answer */
#define DIGEST_MAX         64U

static void request_p(gnutls_ocsp_req_t *request) {
    if (*request)
        gnutls_ocsp_req_deinit(*request);
}

static void response_p(gnutls_ocsp_resp_t *response) {
    if (*response)
        gnutls_ocsp_resp_deinit(*response);
}

/* RFC 6960 §4.1.1: the hash of the key's BIT STRING, without tag, length and unused bits. */
static int hash_key(const Certificate *certificate, gnutls_digest_algorithm_t digest, uint8_t ret[static DIGEST_MAX]) {
    _cleanup_asn1_ asn1_node node = NULL;
    _cleanup_bytes_ Bytes bits = BYTES_NULL;
    int r;

    r = asn1_decode("SubjectPublicKeyInfo", certificate->spki, &node);
    if (r >= 0)
        r = asn1_value(node, "subjectPublicKey", &bits);
    if (r >= 0 && gnutls_hash_fast(digest, bits.data, bits.size, ret) < 0)
        r = -EIO;
    return r;
}

int ocsp_request(const Certificate *certificate, const Certificate *issuer, Bytes *ret_der) {
    _cleanup_(request_p) gnutls_ocsp_req_t request = NULL;
    _cleanup_datum_ gnutls_datum_t der = { 0 };
    uint8_t name[DIGEST_MAX], key[DIGEST_MAX];
    unsigned size = gnutls_hash_get_len(GNUTLS_DIG_SHA1); /* the one that every responder knows */
    gnutls_datum_t name_hash = { name, size }, key_hash = { key, size };
    gnutls_datum_t serial = datum_from_view(certificate->serial_bytes);

    if (gnutls_ocsp_req_init(&request) < 0)
        return -ENOMEM;
    if (gnutls_hash_fast(GNUTLS_DIG_SHA1, issuer->subject_raw.data, issuer->subject_raw.size, name) < 0 ||
        hash_key(issuer, GNUTLS_DIG_SHA1, key) < 0 ||
        gnutls_ocsp_req_add_cert_id(request, GNUTLS_DIG_SHA1, &name_hash, &key_hash, &serial) < 0 ||
        gnutls_ocsp_req_export(request, &der) < 0)
        return -EIO;
    return bytes_copy(view_from_datum(&der), ret_der);
}

/* ---- the statement about our certificate ---- */

typedef struct Statement {
    gnutls_digest_algorithm_t digest;
    gnutls_datum_t name_hash, key_hash, serial;
    unsigned status, reason;
    time_t this_update, next_update;
} Statement;

static void statement_clear(Statement *statement) {
    gnutls_free(statement->name_hash.data);
    gnutls_free(statement->key_hash.data);
    gnutls_free(statement->serial.data);
}

static bool datum_equal(const gnutls_datum_t *datum, const void *data, size_t size) {
    return datum->size == size && memcmp(datum->data, data, size) == 0;
}

static bool is_about(const Statement *statement, const Certificate *certificate, const Certificate *issuer) {
    uint8_t name[DIGEST_MAX], key[DIGEST_MAX];
    BytesView serial = certificate->serial_bytes;
    size_t size = gnutls_hash_get_len(statement->digest);

    switch ((int) statement->digest) {
    case GNUTLS_DIG_SHA1: /* names a certificate here, protects nothing */
    case GNUTLS_DIG_SHA256:
    case GNUTLS_DIG_SHA384:
    case GNUTLS_DIG_SHA512:
        break;
    default:
        return false;
    }
    return gnutls_hash_fast(statement->digest, issuer->subject_raw.data, issuer->subject_raw.size, name) >= 0 &&
           hash_key(issuer, statement->digest, key) >= 0 && datum_equal(&statement->serial, serial.data, serial.size) &&
           datum_equal(&statement->name_hash, name, size) && datum_equal(&statement->key_hash, key, size);
}

static int find_statement(gnutls_ocsp_resp_t response, const Certificate *certificate, const Certificate *issuer,
                          Statement *ret, Failure *ret_failure) {
    char who[CERTIFICATE_DESCRIPTION_MAX];
    bool found = false;

    for (unsigned i = 0; i < OCSP_RESPONSES_MAX; i++) {
        _cleanup_(statement_clear) Statement statement = { 0 };
        int r = gnutls_ocsp_resp_get_single(response, i, &statement.digest, &statement.name_hash, &statement.key_hash,
                                            &statement.serial, &statement.status, &statement.this_update,
                                            &statement.next_update, NULL, &statement.reason);
        if (r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
            break;
        if (r < 0 || !is_about(&statement, certificate, issuer))
            continue;
        if (found)
            return MALFORMED("the OCSP answer has two statements about %s", certificate_describe(certificate, who));
        found = true;
        *ret = statement;
        ret->name_hash = ret->key_hash = ret->serial = (gnutls_datum_t) { 0 };
    }
    return found ? 0 : REJECT("the OCSP answer is not about %s", certificate_describe(certificate, who));
}

static int check_times(const Statement *statement, int64_t now, Failure *ret_failure) {
    char when[CERTIFICATE_TIME_MAX];
    bool open_ended = statement->next_update == (time_t) -1;
    int64_t end = open_ended ? (int64_t) statement->this_update + OCSP_AGE_MAX : (int64_t) statement->next_update;

    if (statement->this_update == (time_t) -1)
        return MALFORMED("the OCSP answer has no thisUpdate that can be read");
    if (statement->this_update > now + REVOCATION_SKEW)
        return REJECT("the OCSP answer is from the future: its thisUpdate is %s",
                      certificate_time(statement->this_update, when));
    if (now > end)
        return REJECT("the OCSP answer is too old: it %s %s",
                      open_ended ? "has no nextUpdate and counted until" : "counted until",
                      certificate_time(end, when));
    return 0;
}

/* ---- who signed it ---- */

/* The answer by the two libraries' means: GnuTLS's object, and the DER that the signature is over. */
typedef struct Answer {
    gnutls_ocsp_resp_t response;
    gnutls_datum_t basic; /* DER BasicOCSPResponse */
    BytesView signed_part;
} Answer;

static void answer_clear(Answer *answer) {
    response_p(&answer->response);
    gnutls_free(answer->basic.data);
}

static bool is_named_responder(gnutls_ocsp_resp_t response, const Certificate *certificate) {
    _cleanup_datum_ gnutls_datum_t name = { 0 }, key = { 0 };
    _cleanup_bytes_ Bytes form = BYTES_NULL;
    uint8_t digest[DIGEST_MAX];

    if (gnutls_ocsp_resp_get_responder_raw_id(response, GNUTLS_OCSP_RESP_ID_DN, &name) >= 0)
        return name_form(view_from_datum(&name), &form) >= 0 &&
               bytes_view_equal(bytes_view(&form), bytes_view(&certificate->subject_form));
    if (gnutls_ocsp_resp_get_responder_raw_id(response, GNUTLS_OCSP_RESP_ID_KEY, &key) >= 0)
        return hash_key(certificate, GNUTLS_DIG_SHA1, digest) >= 0 && datum_equal(&key, digest, 20);
    return false;
}

/* RFC 6960 §4.2.2.2. */
static int check_delegate(const Certificate *signer, const Certificate *issuer, int64_t now, Failure *ret_failure) {
    char who[CERTIFICATE_DESCRIPTION_MAX], oid[64];
    const char *reason;

    certificate_describe(signer, who);
    if (!bytes_view_equal(bytes_view(&signer->issuer_form), bytes_view(&issuer->subject_form)) ||
        !certificate_is_signed_by(signer, issuer, false))
        return REJECT("the OCSP answer is signed by %s, which the issuer of the certificate did not certify", who);
    if (!certificate_names_purpose(signer, GNUTLS_KP_OCSP_SIGNING))
        return REJECT("the OCSP answer is signed by %s, which is not certified for OCSP (id-kp-OCSPSigning)", who);
    if (!(signer->key_usage & (GNUTLS_KEY_DIGITAL_SIGNATURE | GNUTLS_KEY_NON_REPUDIATION)))
        return REJECT("the OCSP answer is signed by %s, whose key usage does not allow it", who);
    if (now < signer->not_before || now > signer->not_after)
        return REJECT("the OCSP answer is signed by %s, which is not valid at this time", who);
    if (certificate_unknown_critical(signer, oid, sizeof(oid)))
        return REJECT("the OCSP answer is signed by %s, which has the critical extension %s", who, oid);
    if (!key_is_acceptable(signer, &reason))
        return REJECT("the OCSP answer is signed by %s: %s", who, reason);
    return 0;
}

static int check_signature(const Answer *answer, const Certificate *signer, Failure *ret_failure) {
    char who[CERTIFICATE_DESCRIPTION_MAX];
    _cleanup_datum_ gnutls_datum_t signature = { 0 };
    int algorithm = gnutls_ocsp_resp_get_signature_algorithm(answer->response);

    if (algorithm < 0 || !signature_is_acceptable((gnutls_sign_algorithm_t) algorithm))
        return REJECT("the OCSP answer is signed with %s, which is too weak or not known",
                      signature_name(algorithm < 0 ? GNUTLS_SIGN_UNKNOWN : (gnutls_sign_algorithm_t) algorithm));
    if (gnutls_ocsp_resp_get_signature(answer->response, &signature) < 0)
        return MALFORMED("the OCSP answer has no signature");
    if (!signature_verify(signer, (gnutls_sign_algorithm_t) algorithm, answer->signed_part, view_from_datum(&signature),
                          false))
        return REJECT("the signature of the OCSP answer was not made by the key of %s",
                      certificate_describe(signer, who));
    return 0;
}

static int copy_signers(gnutls_ocsp_resp_t response, CertificateList *ret) {
    gnutls_x509_crt_t *certificates = NULL;
    size_t count = 0;
    int r = gnutls_ocsp_resp_get_certs(response, &certificates, &count);

    if (r < 0)
        return 0; /* none that can be read */
    r = 0;
    for (size_t i = 0; i < count; i++) {
        _cleanup_datum_ gnutls_datum_t der = { 0 };
        Certificate *certificate;

        if (r >= 0 && i < OCSP_SIGNERS_MAX &&
            gnutls_x509_crt_export2(certificates[i], GNUTLS_X509_FMT_DER, &der) >= 0 &&
            certificate_from_der(view_from_datum(&der), &certificate, NULL) >= 0)
            r = certificate_list_add(ret, certificate);
        gnutls_x509_crt_deinit(certificates[i]);
    }
    gnutls_free(certificates);
    return r;
}

static int check_signer(const Answer *answer, const Certificate *issuer, int64_t now, Failure *ret_failure) {
    _cleanup_certificates_ CertificateList signers = { 0 };
    int r;

    if (is_named_responder(answer->response, issuer)) {
        r = check_signature(answer, issuer, ret_failure);
        if (r >= 0)
            return 0;
    } else {
        r = REJECT("the OCSP answer is signed by somebody who is neither the issuer nor comes with a certificate");
    }
    if (copy_signers(answer->response, &signers) < 0)
        return failure_errno(ret_failure, -ENOMEM, "reading an OCSP answer");
    for (size_t i = 0; i < signers.count; i++) {
        if (!is_named_responder(answer->response, signers.list[i]) || certificate_equal(signers.list[i], issuer))
            continue;
        r = check_delegate(signers.list[i], issuer, now, ret_failure);
        if (r >= 0)
            r = check_signature(answer, signers.list[i], ret_failure);
        if (r >= 0)
            return 0;
    }
    return r;
}

/* ---- the answer as a whole ---- */

/* Extensions of the answer or of one of its statements; none is known here (a nonce was not asked for, and is not
 * critical). */
static int check_extensions(asn1_node data, const char *field, Failure *ret_failure) {
    size_t count = 0;
    int r = asn1_count(data, field, &count);

    if (r < 0)
        return 0;
    for (size_t i = 0; i < count && i < CERTIFICATE_EXTENSIONS_MAX; i++) {
        char name[96];
        bool critical = true;

        (void) snprintf(name, sizeof(name), "%s.?%zu.critical", field, i + 1);
        if (asn1_boolean(data, name, &critical) < 0 || critical)
            return REJECT("the OCSP answer has a critical extension that identityd does not understand");
    }
    return count > CERTIFICATE_EXTENSIONS_MAX ? MALFORMED("the OCSP answer has too many extensions") : 0;
}

static int check_all_extensions(BytesView response_data, Failure *ret_failure) {
    _cleanup_asn1_ asn1_node data = NULL;
    size_t count = 0;
    int r = asn1_decode("ResponseData", response_data, &data);

    if (r < 0 || asn1_count(data, "responses", &count) < 0)
        return MALFORMED("the OCSP answer cannot be read");
    if (count > OCSP_RESPONSES_MAX)
        return MALFORMED("the OCSP answer has %zu statements, more than %u", count, OCSP_RESPONSES_MAX);
    r = check_extensions(data, "responseExtensions", ret_failure);
    for (size_t i = 0; r >= 0 && i < count; i++) {
        char field[64];
        (void) snprintf(field, sizeof(field), "responses.?%zu.singleExtensions", i + 1);
        r = check_extensions(data, field, ret_failure);
    }
    return r;
}

static int open_answer(BytesView der, Answer *answer, Failure *ret_failure) {
    static const char *const statuses[] = { "successful", "malformedRequest", "internalError", "tryLater",
                                            "status 4",   "sigRequired",      "unauthorized" };
    _cleanup_datum_ gnutls_datum_t type = { 0 };
    gnutls_datum_t datum = datum_from_view(der);
    BytesView content;
    DerItem item;
    int r;

    if (gnutls_ocsp_resp_init(&answer->response) < 0)
        return failure_errno(ret_failure, -ENOMEM, "reading an OCSP answer");
    r = gnutls_ocsp_resp_import(answer->response, &datum);
    if (r < 0)
        return MALFORMED("what should be an OCSP answer is not one: %s", gnutls_strerror(r));
    r = gnutls_ocsp_resp_get_status(answer->response);
    if (r != GNUTLS_OCSP_RESP_SUCCESSFUL)
        return REJECT("the OCSP responder does not answer the question: %s",
                      r > 0 && (size_t) r < ARRAY_LENGTH(statuses) ? statuses[r] : "unknown status");
    r = gnutls_ocsp_resp_get_response(answer->response, &type, &answer->basic);
    if (r < 0 || !datum_equal(&type, "1.3.6.1.5.5.7.48.1.1", 20))
        return MALFORMED("the OCSP answer is not of the basic type (RFC 6960)");
    if (der_open_sequence(view_from_datum(&answer->basic), &content) < 0 || der_next(&content, &item) <= 0)
        return MALFORMED("the OCSP answer cannot be read");
    answer->signed_part = item.whole;
    return check_all_extensions(item.whole, ret_failure);
}

static RevocationVerdict verdict_of(const Statement *statement) {
    switch (statement->status) {
    case GNUTLS_OCSP_CERT_GOOD:
        return REVOCATION_GOOD;
    case GNUTLS_OCSP_CERT_REVOKED:
        return statement->reason == GNUTLS_X509_CRLREASON_CERTIFICATEHOLD ? REVOCATION_HOLD : REVOCATION_REVOKED;
    default:
        return REVOCATION_UNKNOWN;
    }
}

/* The answer, and its statement about the certificate; nothing is verified yet. */
static int open_about(BytesView response, const Certificate *certificate, const Certificate *issuer, Answer *answer,
                      Statement *statement, Failure *ret_failure) {
    int r;

    if (response.size == 0)
        return MALFORMED("the OCSP answer is empty");
    if (response.size > OCSP_MAX)
        return MALFORMED("the OCSP answer has %zu bytes, more than %u", response.size, OCSP_MAX);
    if (!bytes_view_equal(bytes_view(&certificate->issuer_form), bytes_view(&issuer->subject_form)))
        return REJECT("the OCSP answer cannot be checked: the issuer given did not issue the certificate");
    r = open_answer(response, answer, ret_failure);
    return r < 0 ? r : find_statement(answer->response, certificate, issuer, statement, ret_failure);
}

int ocsp_made(BytesView response, const Certificate *certificate, const Certificate *issuer, int64_t *ret_this_update,
              Failure *ret_failure) {
    _cleanup_(answer_clear) Answer answer = { 0 };
    Statement statement = { 0 };
    int r = open_about(response, certificate, issuer, &answer, &statement, ret_failure);

    if (r >= 0)
        *ret_this_update = statement.this_update;
    return r;
}

int ocsp_check(BytesView response, const Certificate *certificate, const Certificate *issuer, int64_t now,
               RevocationVerdict *ret, int64_t *ret_this_update, int64_t *ret_next_update, Failure *ret_failure) {
    _cleanup_(answer_clear) Answer answer = { 0 };
    Statement statement = { 0 };
    int r = open_about(response, certificate, issuer, &answer, &statement, ret_failure);

    if (r >= 0)
        r = check_signer(&answer, issuer, now, ret_failure);
    if (r >= 0)
        r = check_times(&statement, now, ret_failure);
    if (r < 0)
        return r;
    *ret = verdict_of(&statement);
    if (ret_this_update)
        *ret_this_update = statement.this_update;
    if (ret_next_update)
        *ret_next_update = statement.next_update == (time_t) -1 ? 0 : statement.next_update;
    return 0;
}
