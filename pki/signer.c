/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether the signatures of a CMS message count. What was signed are the signed attributes, which must say of which
 * content they are and of which kind (RFC 5652 §5.3, §5.4, §11); or, where there are none, the content itself. */
#include "pki/signed-data.h"

#include "pki/asn1.h"
#include "pki/directory-name.h"
#include "pki/path.h"
#include "pki/signature.h"
#include "pki/strict.h"

#include <gnutls/crypto.h>
#include <string.h>

#define OID_DATA           "1.2.840.113549.1.7.1"
#define OID_CONTENT_TYPE   "1.2.840.113549.1.9.3"
#define OID_MESSAGE_DIGEST "1.2.840.113549.1.9.4"
#define OID_SIGNING_TIME   "1.2.840.113549.1.9.5"
#define OID_RSA            "1.2.840.113549.1.1.1"
#define OID_RSA_PSS        "1.2.840.113549.1.1.10"
#define OID_MGF1           "1.2.840.113549.1.1.8"

#define DIGEST_MAX 64U

static const char strength_rule[] = "RFC 9325 §4.5";

typedef struct SignerAlgorithm {
    gnutls_digest_algorithm_t digest; /* of the content */
    gnutls_sign_algorithm_t sign;
    int salt; /* bytes, of RSA-PSS; -1: no RSA-PSS */
} SignerAlgorithm;

/* One signature while it is looked at, and what comes of it. */
typedef struct Look {
    const SignedData *message;
    const SignerInfo *info;
    const SignedDataRequest *request;
    SignerAlgorithm algorithm;
    Bytes attributes;       /* as they were signed; empty: there are none */
    BytesView signed_bytes; /* these, or the content */
    SignerVerdict *signer;
    Verdict *verdict;
} Look;

static void look_clear(Look *look) {
    bytes_clear(&look->attributes);
}

#define REFUSE(look, kind, at_fault, rule, ...) verdict_set((look)->verdict, kind, at_fault, rule, __VA_ARGS__)
#define MALFORMED(look, rule, ...)              REFUSE(look, VERDICT_MALFORMED, NULL, rule, __VA_ARGS__)

/* ---- algorithms ---- */

/* `ret_parameters`: whole, empty where there are none. */
static int read_identifier(BytesView der, char ret_oid[static ASN1_OID_MAX], BytesView *ret_parameters) {
    _cleanup_asn1_ asn1_node node = NULL;
    BytesView rest;
    DerItem oid;

    int r = asn1_decode("AlgorithmIdentifier", der, &node);
    if (r >= 0)
        r = asn1_oid(node, "algorithm", ret_oid);
    if (r < 0 || der_open_sequence(der, &rest) < 0 || der_next(&rest, &oid) <= 0)
        return r < 0 ? r : -EBADMSG;
    *ret_parameters = rest;
    return 0;
}

/* gnutls_oid_to_digest() and its like are declared const, as if they did not read the text that they are given: a
 * compiler may call them before that is written, and does at -O3. So OIDs are compared the other way round. */
static gnutls_digest_algorithm_t digest_of_oid(const char *oid) {
    for (const gnutls_digest_algorithm_t *known = gnutls_digest_list(); *known != GNUTLS_DIG_UNKNOWN; known++) {
        const char *its = gnutls_digest_get_oid(*known);
        if (its && strcmp(its, oid) == 0)
            return *known;
    }
    return GNUTLS_DIG_UNKNOWN;
}

/* Several algorithms share an OID: those that are acceptable first. */
static gnutls_sign_algorithm_t sign_of_oid(const char *oid) {
    gnutls_sign_algorithm_t other = GNUTLS_SIGN_UNKNOWN;

    for (const gnutls_sign_algorithm_t *known = gnutls_sign_list(); *known != GNUTLS_SIGN_UNKNOWN; known++) {
        const char *its = gnutls_sign_get_oid(*known);
        if (!its || strcmp(its, oid) != 0)
            continue;
        if (signature_is_acceptable(*known))
            return *known;
        if (other == GNUTLS_SIGN_UNKNOWN)
            other = *known;
    }
    return other;
}

static gnutls_digest_algorithm_t read_digest(BytesView der) {
    char oid[ASN1_OID_MAX];
    BytesView parameters;

    return read_identifier(der, oid, &parameters) < 0 ? GNUTLS_DIG_UNKNOWN : digest_of_oid(oid);
}

static bool digest_is_acceptable(gnutls_digest_algorithm_t digest) {
    return digest == GNUTLS_DIG_SHA256 || digest == GNUTLS_DIG_SHA384 || digest == GNUTLS_DIG_SHA512;
}

/* The content of the element with this explicit tag, and takes it off; absent is NULL. */
static bool take_explicit(BytesView *rest, unsigned long tag, BytesView *ret) {
    BytesView behind = *rest;
    DerItem item;

    *ret = (BytesView) { 0 };
    if (der_next(&behind, &item) <= 0 || item.class != (ASN1_CLASS_CONTEXT_SPECIFIC | ASN1_CLASS_STRUCTURED) ||
        item.tag != tag)
        return false;
    *rest = behind;
    *ret = item.content;
    return true;
}

/* RSASSA-PSS-params (RFC 4055 §3.1). The defaults are all SHA-1, so that hash and mask have to be there. */
static bool read_pss(BytesView parameters, SignerAlgorithm *ret) {
    char oid[ASN1_OID_MAX];
    BytesView rest, hash, mask, salt, trailer, mask_hash;
    DerItem number;

    if (der_open_sequence(parameters, &rest) < 0 || !take_explicit(&rest, 0, &hash) || !take_explicit(&rest, 1, &mask))
        return false;
    ret->salt = 20;
    if (take_explicit(&rest, 2, &salt)) {
        if (der_next(&salt, &number) <= 0 || salt.size > 0 || !der_is(&number, ASN1_TAG_INTEGER) ||
            number.content.size == 0 || number.content.size > 2 || number.content.data[0] & 0x80)
            return false;
        ret->salt = 0;
        for (size_t i = 0; i < number.content.size; i++)
            ret->salt = ret->salt << 8 | number.content.data[i];
    }
    if (take_explicit(&rest, 3, &trailer) &&
        !bytes_view_equal(trailer, (BytesView) { (const uint8_t *) "\x02\x01\x01", 3 }))
        return false;
    gnutls_digest_algorithm_t digest = read_digest(hash);
    if (rest.size > 0 || read_identifier(mask, oid, &mask_hash) < 0 || strcmp(oid, OID_MGF1) != 0 ||
        read_digest(mask_hash) != digest)
        return false;
    ret->sign = gnutls_pk_to_sign(GNUTLS_PK_RSA_PSS, digest);
    return true;
}

static bool read_signature_algorithm(const SignerInfo *info, SignerAlgorithm *ret) {
    char oid[ASN1_OID_MAX];
    BytesView parameters;

    ret->salt = -1;
    ret->sign = GNUTLS_SIGN_UNKNOWN;
    if (read_identifier(info->signature_algorithm, oid, &parameters) < 0)
        return false;
    if (strcmp(oid, OID_RSA_PSS) == 0)
        return read_pss(parameters, ret);
    ret->sign = strcmp(oid, OID_RSA) == 0 ? gnutls_pk_to_sign(GNUTLS_PK_RSA, ret->digest) : sign_of_oid(oid);
    return ret->sign != GNUTLS_SIGN_UNKNOWN;
}

static bool algorithms_are_allowed(Look *look) {
    SignerAlgorithm *algorithm = &look->algorithm;

    algorithm->digest = read_digest(look->info->digest_algorithm);
    if (!digest_is_acceptable(algorithm->digest)) {
        const char *name = gnutls_digest_get_name(algorithm->digest);
        return REFUSE(look, VERDICT_WEAK, NULL, strength_rule,
                      "the content was hashed with %s, which is too weak or not known", name ?: "an unknown algorithm");
    }
    if (!read_signature_algorithm(look->info, algorithm))
        return REFUSE(look, VERDICT_WEAK, NULL, strength_rule,
                      "the algorithm of the signature, or its parameters, are too weak or not known; \"openssl cms "
                      "-verify\" may know them");
    if (!signature_is_acceptable(algorithm->sign))
        return REFUSE(look, VERDICT_WEAK, NULL, strength_rule,
                      "the signature was made with %s, which is too weak or not known",
                      signature_name(algorithm->sign));
    gnutls_digest_algorithm_t digest = gnutls_sign_get_hash_algorithm(algorithm->sign);
    if (look->info->attributes.data && digest_is_acceptable(digest) && digest != algorithm->digest)
        return MALFORMED(look, "RFC 8933 §3", "content and signed attributes were hashed with different algorithms");
    return true;
}

/* ---- signed attributes ---- */

typedef struct SignedAttributes {
    size_t content_types, message_digests, signing_times; /* how many there are */
    DerItem content_type, message_digest, signing_time;   /* the first value of the last */
} SignedAttributes;

/* One attribute; of those that are looked at it must have one value. */
static bool read_attribute(const DerItem *attribute, SignedAttributes *ret) {
    uint8_t buffer[DER_OID_MAX];
    BytesView rest = attribute->content, values;
    DerItem type, set, value;
    const struct {
        const char *oid;
        size_t *count;
        DerItem *value;
    } known[] = {
        { OID_CONTENT_TYPE, &ret->content_types, &ret->content_type },
        { OID_MESSAGE_DIGEST, &ret->message_digests, &ret->message_digest },
        { OID_SIGNING_TIME, &ret->signing_times, &ret->signing_time },
    };

    if (!der_is_sequence(attribute) || der_next(&rest, &type) <= 0 || !der_is(&type, ASN1_TAG_OBJECT_ID) ||
        der_next(&rest, &set) <= 0 || set.class != (ASN1_CLASS_UNIVERSAL | ASN1_CLASS_STRUCTURED) ||
        set.tag != ASN1_TAG_SET || rest.size > 0)
        return false;
    for (size_t i = 0; i < ARRAY_LENGTH(known); i++) {
        if (!bytes_view_equal(type.content, der_oid(known[i].oid, buffer)))
            continue;
        values = set.content;
        if (der_next(&values, &value) <= 0 || values.size > 0)
            return false;
        ++*known[i].count;
        *known[i].value = value;
    }
    return true;
}

static bool read_attributes(BytesView rest, SignedAttributes *ret) {
    DerItem item;
    int r;

    *ret = (SignedAttributes) { 0 };
    while ((r = der_next(&rest, &item)) > 0)
        if (!read_attribute(&item, ret))
            return false;
    return r == 0;
}

/* As RFC 5652 wants them, about a content with this digest. */
static bool attributes_are_right(Look *look, BytesView digest) {
    SignedAttributes attributes;
    const char *reason;

    if (!der_is_strict(bytes_view(&look->attributes), &reason))
        return MALFORMED(look, "RFC 5652 §5.3", "the signed attributes are not DER: %s", reason);
    if (!read_attributes(look->info->attributes, &attributes))
        return MALFORMED(look, "RFC 5652 §5.3", "the signed attributes cannot be read, or one has not one value");
    if (attributes.content_types != 1 || !der_is(&attributes.content_type, ASN1_TAG_OBJECT_ID))
        return MALFORMED(look, "RFC 5652 §11.1",
                         "the signed attributes say %zu times of which type the content is, not once",
                         attributes.content_types);
    if (attributes.message_digests != 1 || !der_is(&attributes.message_digest, ASN1_TAG_OCTET_STRING))
        return MALFORMED(look, "RFC 5652 §11.2", "the signed attributes have %zu digests of the content, not one",
                         attributes.message_digests);
    if (attributes.signing_times > 1)
        return MALFORMED(look, "RFC 5652 §11.3", "the signed attributes have more than one signing time");
    if (!bytes_view_equal(attributes.content_type.content, look->message->content_type))
        return MALFORMED(look, "RFC 5652 §11.1",
                         "the signed attributes are about another type of content than the message");
    if (!bytes_view_equal(attributes.message_digest.content, digest))
        return REFUSE(look, VERDICT_SIGNATURE, NULL, "RFC 5652 §11.2",
                      "the signature is not one of this file: it is about another content");
    if (attributes.signing_times == 0 || der_time(&attributes.signing_time, &look->signer->claimed_time) < 0)
        look->signer->claimed_time = 0;
    return true;
}

/* Without signed attributes the content itself was signed. Were it signed attributes in turn, somebody would pass off
 * the signature of one file as one of another. */
static bool content_may_stand_alone(Look *look) {
    uint8_t buffer[DER_OID_MAX];
    SignedAttributes attributes;
    BytesView content = look->request->content, rest = content;
    DerItem set;

    if (!bytes_view_equal(look->message->content_type, der_oid(OID_DATA, buffer)))
        return MALFORMED(look, "RFC 5652 §5.3",
                         "its content is not of the type data, so that there must be signed attributes");
    if (content.size > 0 && content.data[0] == 0x31 && der_next(&rest, &set) > 0 && rest.size == 0 &&
        read_attributes(set.content, &attributes) && attributes.message_digests > 0)
        return MALFORMED(look, "RFC 5652 §5.4",
                         "the file is itself the signed attributes of a signature, which may be of another file");
    look->signed_bytes = content;
    return true;
}

/* What the signature has to be over. */
static bool find_signed_bytes(Look *look) {
    BytesView attributes = look->info->attributes, content = look->request->content;
    uint8_t digest[DIGEST_MAX], header[16] = { 0x31 }; /* signed as a SET, written as [0] (RFC 5652 §5.4) */
    int length_size = 0;

    if (!attributes.data)
        return content_may_stand_alone(look);
    asn1_length_der((unsigned long) attributes.size, header + 1, &length_size);
    if (gnutls_hash_fast(look->algorithm.digest, content.data, content.size, digest) < 0 ||
        bytes_append(&look->attributes, (BytesView) { header, (size_t) length_size + 1 }) < 0 ||
        bytes_append(&look->attributes, attributes) < 0)
        return REFUSE(look, VERDICT_WORK, NULL, "RFC 5652 §5.4", "the content cannot be hashed here");
    look->signed_bytes = bytes_view(&look->attributes);
    return attributes_are_right(look, (BytesView) { digest, gnutls_hash_get_len(look->algorithm.digest) });
}

/* ---- signers ---- */

/* RFC 5652 §5.3: by issuer and serial number, or by the key identifier. */
static bool is_named(const SignerInfo *info, const Certificate *certificate) {
    if (info->key_identifier.size > 0)
        return bytes_view_equal(info->key_identifier, certificate->key_identifier);
    return bytes_view_equal(info->serial, certificate->serial_bytes) &&
           bytes_view_equal(info->issuer, certificate->issuer_raw);
}

static bool certificate_is_good(Look *look) {
    char who[CERTIFICATE_DESCRIPTION_MAX];
    SignerVerdict *signer = look->signer;
    VerifyRequest chain = look->request->chain;

    chain.leaf = signer->certificate;
    chain.candidates = &look->message->certificates;
    if (verify(&chain, &signer->chain, &signer->anchor, look->verdict) < 0)
        return false;
    if (signer->certificate->key_usage & (GNUTLS_KEY_DIGITAL_SIGNATURE | GNUTLS_KEY_NON_REPUDIATION))
        return true;
    certificate_list_clear(&signer->chain);
    signer->anchor = NULL;
    return REFUSE(look, VERDICT_USAGE, signer->certificate, "RFC 5280 §4.2.1.3",
                  "the key usage of %s allows no signatures of files (digitalSignature or nonRepudiation)",
                  certificate_describe(signer->certificate, who));
}

static bool signature_is_by(Look *look, const Certificate *certificate) {
    char who[CERTIFICATE_DESCRIPTION_MAX];
    const char *reason;

    if (signature_verify_salted(certificate, look->algorithm.sign, look->algorithm.salt, look->signed_bytes,
                                look->info->signature))
        return true;
    certificate_describe(certificate, who);
    if (!key_is_acceptable(certificate, &reason))
        return REFUSE(look, VERDICT_WEAK, certificate, strength_rule, "%s, who signed, is refused: %s", who, reason);
    return REFUSE(look, VERDICT_SIGNATURE, certificate, "RFC 5652 §5.6",
                  "the signature is not one of this file by the key of %s", who);
}

/* There may be several certificates of one issuer and number, since whoever signs puts them in, and not all need be the
 * CA's: one must have made the signature and be good itself. */
static bool signer_is_good(Look *look) {
    const CertificateList *inside = &look->message->certificates;

    if (!algorithms_are_allowed(look) || !find_signed_bytes(look))
        return false;
    (void) REFUSE(look, VERDICT_NO_PATH, NULL, "RFC 5652 §5.1", "the certificate of its signer is not in it");
    for (size_t i = 0; i < inside->count; i++) {
        Verdict told = *look->verdict;
        if (!is_named(look->info, inside->list[i]))
            continue;
        if (signature_is_by(look, inside->list[i])) {
            look->signer->certificate = inside->list[i];
            if (certificate_is_good(look))
                return true;
        } else if (look->signer->certificate)
            *look->verdict = told; /* what is wrong with the one that made it says more */
    }
    return false;
}

static bool is_wanted(const SignedDataRequest *request, const Bytes *form, const Certificate *certificate) {
    uint8_t fingerprint[32];

    if (form->size > 0 && !bytes_view_equal(bytes_view(form), bytes_view(&certificate->subject_form)))
        return false;
    return !request->signer_sha256 || (certificate_fingerprint(certificate, fingerprint) == 0 &&
                                       memcmp(fingerprint, request->signer_sha256, sizeof fingerprint) == 0);
}

/* Whether who was asked for is among the signers. */
static bool wanted_has_signed(const SignedDataRequest *request, const SignedDataVerdict *verdict, Verdict *ret) {
    _cleanup_bytes_ Bytes form = BYTES_NULL;
    char who[CERTIFICATE_DESCRIPTION_MAX];

    if (request->signer_name.size > 0 && name_form(request->signer_name, &form) < 0)
        return verdict_set(ret, VERDICT_WORK, NULL, "RFC 5280 §7.1", "there is too little memory to compare names");
    for (size_t i = 0; i < verdict->count; i++)
        if (is_wanted(request, &form, verdict->signers[i].certificate))
            return true;
    return verdict_set(ret, VERDICT_NAME, verdict->signers[0].certificate, "RFC 5652 §5.3",
                       "the signature is good, but not by the signer that was asked for: it is by %s%s",
                       certificate_describe(verdict->signers[0].certificate, who),
                       verdict->count > 1 ? " and others" : "");
}

int signed_data_verify(const SignedData *signed_data, const SignedDataRequest *request, SignedDataVerdict *ret) {
    Verdict *verdict = &ret->verdict;
    bool good = true;

    *ret = (SignedDataVerdict) { .verdict = { .kind = VERDICT_GOOD, .rule = "" } };
    if (signed_data->content.data && !bytes_view_equal(signed_data->content, request->content))
        good = verdict_set(verdict, VERDICT_SIGNATURE, NULL, "RFC 5652 §5.2",
                           "the message has a content of its own inside, which is not this file");
    /* Several signers: all of them, since a reader would take the file for signed by each. */
    for (size_t i = 0; good && i < signed_data->signer_count; i++) {
        _cleanup_(look_clear) Look look = {
            .message = signed_data,
            .info = &signed_data->signers[i],
            .request = request,
            .signer = &ret->signers[i],
            .verdict = verdict,
        };
        good = signer_is_good(&look);
        ret->count += ret->signers[i].certificate != NULL;
    }
    good = good && wanted_has_signed(request, ret, verdict);
    return good ? 0 : verdict->kind == VERDICT_REVOKED ? -EKEYREVOKED : -EKEYREJECTED;
}

void signed_data_verdict_clear(SignedDataVerdict *verdict) {
    for (size_t i = 0; i < ARRAY_LENGTH(verdict->signers); i++)
        certificate_list_clear(&verdict->signers[i].chain);
    *verdict = (SignedDataVerdict) { 0 };
}
