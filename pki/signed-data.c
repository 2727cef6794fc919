/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading SignedData (RFC 5652 §5.1, §5.3): strict in what a verdict rests on; what is of no use here (CRLs, other
 * kinds of certificates, unsigned attributes) is passed over. */
#include "pki/signed-data.h"

#include "pki/asn1.h"
#include "pki/ber.h"

#include <string.h>

#define REJECT(...) failure_set(ret_failure, -EBADMSG, FAILURE_CERTIFICATE_REJECTED, __VA_ARGS__)

#define OID_SIGNED_DATA "1.2.840.113549.1.7.2"

SignedData *signed_data_free(SignedData *signed_data) {
    if (!signed_data)
        return NULL;
    bytes_clear(&signed_data->der);
    bytes_clear(&signed_data->pieces);
    certificate_list_clear(&signed_data->certificates);
    free(signed_data);
    return NULL;
}

/* ---- forms ---- */

static bool begins_as_der(BytesView data) {
    static const uint8_t oid[] = { 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02 };

    return data.size > 0 && data.data[0] == 0x30 &&
           memmem(data.data, data.size < 24 ? data.size : 24, oid, sizeof oid) != NULL;
}

static const char *const labels[] = { "CMS", "PKCS7" };

bool signed_data_is(BytesView data) {
    if (begins_as_der(data))
        return true;
    for (size_t i = 0; i < ARRAY_LENGTH(labels); i++) {
        char marker[32];
        (void) snprintf(marker, sizeof marker, "-----BEGIN %s-----", labels[i]);
        if (data.size > 0 && memmem(data.data, data.size, marker, strlen(marker)))
            return true;
    }
    return false;
}

/* The message with definite lengths. */
static int read_form(BytesView data, Bytes *ret, Failure *ret_failure) {
    _cleanup_datum_ gnutls_datum_t decoded = { 0 };
    gnutls_datum_t text = datum_from_view(data);

    if (data.size == 0 || data.size > SIGNED_DATA_MAX)
        return REJECT("it has %zu bytes, and may have 1 to %u", data.size, SIGNED_DATA_MAX);
    for (size_t i = 0; data.data[0] != 0x30 && !decoded.data && i < ARRAY_LENGTH(labels); i++)
        (void) gnutls_pem_base64_decode2(labels[i], &text, &decoded);
    if (data.data[0] != 0x30 && !decoded.data)
        return REJECT("it is neither DER nor PEM of the kind CMS or PKCS7");
    int r = ber_make_definite(decoded.data ? view_from_datum(&decoded) : data, ret);
    return r == -EBADMSG ? REJECT("it is not one value in DER or BER") : r;
}

/* ---- fields ---- */

static bool is_tagged(const DerItem *item, unsigned long tag) {
    return item->class == (ASN1_CLASS_CONTEXT_SPECIFIC | ASN1_CLASS_STRUCTURED) && item->tag == tag;
}

static bool is_set(const DerItem *item) {
    return item->class == (ASN1_CLASS_UNIVERSAL | ASN1_CLASS_STRUCTURED) && item->tag == ASN1_TAG_SET;
}

static int read_content_info(BytesView der, BytesView *ret_signed_data, Failure *ret_failure) {
    uint8_t buffer[DER_OID_MAX];
    BytesView rest, inner;
    DerItem type, content;

    if (der_open_sequence(der, &rest) < 0 || der_next(&rest, &type) <= 0 || !der_is(&type, ASN1_TAG_OBJECT_ID) ||
        !bytes_view_equal(type.content, der_oid(OID_SIGNED_DATA, buffer)) || der_next(&rest, &content) <= 0 ||
        !is_tagged(&content, 0) || rest.size > 0 || der_open_sequence(content.content, &inner) < 0)
        return REJECT("it is no ContentInfo with SignedData");
    *ret_signed_data = inner;
    return 0;
}

/* Who writes while still reading the content puts it into one OCTET STRING after another, with one around them. */
static int join_pieces(BytesView rest, SignedData *signed_data) {
    DerItem piece;
    int r;

    while ((r = der_next(&rest, &piece)) > 0)
        if (!der_is(&piece, ASN1_TAG_OCTET_STRING) || bytes_append(&signed_data->pieces, piece.content) < 0)
            return -EBADMSG;
    signed_data->content = (BytesView) { signed_data->pieces.data ?: (const uint8_t *) "", signed_data->pieces.size };
    return r;
}

static int read_content(const DerItem *encapsulated, SignedData *signed_data, Failure *ret_failure) {
    BytesView rest = encapsulated->content;
    DerItem type, content, octets;

    if (!der_is_sequence(encapsulated) || der_next(&rest, &type) <= 0 || !der_is(&type, ASN1_TAG_OBJECT_ID))
        return REJECT("its encapContentInfo cannot be read");
    signed_data->content_type = type.content;
    if (rest.size == 0)
        return 0;
    if (der_next(&rest, &content) <= 0 || !is_tagged(&content, 0) || rest.size > 0 ||
        der_next(&content.content, &octets) <= 0 || content.content.size > 0 || octets.tag != ASN1_TAG_OCTET_STRING)
        return REJECT("the content inside it cannot be read");
    signed_data->content = octets.content;
    if (der_is(&octets, ASN1_TAG_OCTET_STRING))
        return 0;
    if (octets.class != (ASN1_CLASS_UNIVERSAL | ASN1_CLASS_STRUCTURED) || join_pieces(octets.content, signed_data) < 0)
        return REJECT("the content inside it cannot be read");
    return 0;
}

static int read_certificates(BytesView rest, SignedData *signed_data, Failure *ret_failure) {
    DerItem item;
    int r;

    while ((r = der_next(&rest, &item)) > 0) {
        Certificate *certificate;
        /* CertificateChoices: others have a tag. */
        if (!der_is_sequence(&item))
            continue;
        if (signed_data->certificates.count >= BUNDLE_MAX)
            return REJECT("it has more than %u certificates", BUNDLE_MAX);
        r = certificate_from_der(item.whole, &certificate, NULL);
        if (r >= 0)
            r = certificate_list_add(&signed_data->certificates, certificate);
        if (r < 0 && r != -EBADMSG)
            return r;
    }
    return r < 0 ? REJECT("its certificates cannot be read") : 0;
}

static bool read_signer_id(const DerItem *id, SignerInfo *signer) {
    BytesView rest = id->content;
    DerItem issuer, serial;

    if (id->class == ASN1_CLASS_CONTEXT_SPECIFIC && id->tag == 0) {
        signer->key_identifier = id->content;
        return id->content.size > 0;
    }
    if (!der_is_sequence(id) || der_next(&rest, &issuer) <= 0 || !der_is_sequence(&issuer) ||
        der_next(&rest, &serial) <= 0 || !der_is(&serial, ASN1_TAG_INTEGER) || rest.size > 0)
        return false;
    signer->issuer = issuer.whole;
    signer->serial = serial.content;
    return true;
}

static bool read_signer(const DerItem *info, SignerInfo *signer) {
    BytesView rest = info->content;
    DerItem version, id, digest, item;

    if (!der_is_sequence(info) || der_next(&rest, &version) <= 0 || !der_is(&version, ASN1_TAG_INTEGER) ||
        der_next(&rest, &id) <= 0 || !read_signer_id(&id, signer) || der_next(&rest, &digest) <= 0 ||
        !der_is_sequence(&digest) || der_next(&rest, &item) <= 0)
        return false;
    signer->digest_algorithm = digest.whole;
    if (is_tagged(&item, 0)) {
        signer->attributes = item.content;
        if (der_next(&rest, &item) <= 0)
            return false;
    }
    if (!der_is_sequence(&item))
        return false;
    signer->signature_algorithm = item.whole;
    if (der_next(&rest, &item) <= 0 || !der_is(&item, ASN1_TAG_OCTET_STRING))
        return false;
    signer->signature = item.content;
    return rest.size == 0 || (der_next(&rest, &item) > 0 && is_tagged(&item, 1) && rest.size == 0);
}

static int read_signers(BytesView rest, SignedData *signed_data, Failure *ret_failure) {
    DerItem item;
    int r;

    while ((r = der_next(&rest, &item)) > 0) {
        if (signed_data->signer_count >= SIGNED_DATA_SIGNERS_MAX)
            return REJECT("it has more than %u signers", SIGNED_DATA_SIGNERS_MAX);
        if (!read_signer(&item, &signed_data->signers[signed_data->signer_count]))
            return REJECT("what it says of signer %zu cannot be read", signed_data->signer_count + 1);
        signed_data->signer_count++;
    }
    if (r < 0)
        return REJECT("its signers cannot be read");
    return signed_data->signer_count == 0 ? REJECT("it has no signer") : 0;
}

static int read_fields(BytesView rest, SignedData *signed_data, Failure *ret_failure) {
    DerItem version, digests, encapsulated, item;

    if (der_next(&rest, &version) <= 0 || !der_is(&version, ASN1_TAG_INTEGER) || der_next(&rest, &digests) <= 0 ||
        !is_set(&digests) || der_next(&rest, &encapsulated) <= 0 || der_next(&rest, &item) <= 0)
        return REJECT("its SignedData cannot be read");
    int r = read_content(&encapsulated, signed_data, ret_failure);
    if (r >= 0 && is_tagged(&item, 0)) {
        r = read_certificates(item.content, signed_data, ret_failure);
        if (r >= 0 && der_next(&rest, &item) <= 0)
            return REJECT("it has no field for signers");
    }
    if (r >= 0 && is_tagged(&item, 1) && der_next(&rest, &item) <= 0)
        return REJECT("it has no field for signers");
    if (r < 0)
        return r;
    if (!is_set(&item) || rest.size > 0)
        return REJECT("its signers cannot be read");
    return read_signers(item.content, signed_data, ret_failure);
}

int signed_data_parse(BytesView data, SignedData **ret, Failure *ret_failure) {
    _cleanup_signed_data_ SignedData *signed_data = calloc(1, sizeof *signed_data);
    BytesView fields;

    if (!signed_data)
        return failure_errno(ret_failure, -ENOMEM, "reading a CMS message");
    int r = read_form(data, &signed_data->der, ret_failure);
    if (r >= 0)
        r = read_content_info(bytes_view(&signed_data->der), &fields, ret_failure);
    if (r >= 0)
        r = read_fields(fields, signed_data, ret_failure);
    if (r < 0)
        return r == -ENOMEM ? failure_errno(ret_failure, r, "reading a CMS message") : r;
    *ret = TAKE_PTR(signed_data);
    return 0;
}
