/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See cms-maker.h. */
#include "cms-maker.h"

#include "../enroller/der.h"

#include <gnutls/crypto.h>
#include <string.h>

#define OID_SHA1            "1.3.14.3.2.26"
#define OID_SHA256          "2.16.840.1.101.3.4.2.1"
#define OID_ECDSA_SHA1      "1.2.840.10045.4.1"
#define OID_ECDSA_SHA256    "1.2.840.10045.4.3.2"
#define OID_ECDSA_SHA384    "1.2.840.10045.4.3.3"
#define OID_DATA            "1.2.840.113549.1.7.1"
#define OID_OTHER           "1.2.840.113549.1.9.16.1.4"
#define ATTRIBUTE(oid, ...) DER_SEQUENCE(made_oid(oid), DER_SET(__VA_ARGS__))
#define CONTENT_TYPE(oid)   ATTRIBUTE("1.2.840.113549.1.9.3", made_oid(oid))
#define MESSAGE_DIGEST(...) ATTRIBUTE("1.2.840.113549.1.9.4", __VA_ARGS__)
#define SIGNING_TIME(text)  ATTRIBUTE("1.2.840.113549.1.9.5", der_text(0x17, text))

static BytesView view_copy(const void *data, size_t size) {
    return der_bytes(0x04, (BytesView) { data, size });
}

static BytesView attribute(const CmsSpec *spec, char letter) {
    uint8_t digest[64];
    gnutls_digest_algorithm_t algorithm = spec->sha1 ? GNUTLS_DIG_SHA1 : GNUTLS_DIG_SHA256;
    size_t size = gnutls_hash_get_len(algorithm);

    assert_true(gnutls_hash_fast(algorithm, spec->content, strlen(spec->content), digest) >= 0);
    BytesView right = view_copy(digest, size);
    digest[0] ^= 1;
    BytesView wrong = view_copy(digest, size);
    switch (letter) {
    case 'c':
        return CONTENT_TYPE(spec->other_type ? OID_OTHER : OID_DATA);
    case 'C':
        return CONTENT_TYPE(spec->other_type ? OID_DATA : OID_OTHER);
    case 'd':
        return MESSAGE_DIGEST(right);
    case 'D':
        return MESSAGE_DIGEST(wrong);
    case 'e':
        return MESSAGE_DIGEST(right, wrong);
    case 's':
        return MESSAGE_DIGEST(der_integer(7));
    case 't':
        return SIGNING_TIME("250101000000Z");
    case 'u':
        return ATTRIBUTE("1.2.3.4", der_integer(1));
    case 'b':
        return ATTRIBUTE("1.2.3.4", der_bytes(0x02, (BytesView) { (const uint8_t *) "\0\1", 2 }));
    default:
        fail_msg("there is no attribute \"%c\"", letter);
        return (BytesView) { 0 };
    }
}

/* The content of the set. */
static BytesView attributes_of(const CmsSpec *spec) {
    BytesView all[8];
    size_t count = strlen(spec->attributes);

    assert_true(count <= ARRAY_LENGTH(all));
    for (size_t i = 0; i < ARRAY_LENGTH(all); i++)
        all[i] = i < count ? attribute(spec, spec->attributes[i]) : DER_END;
    BytesView set = der_of(0x31, all[0], all[1], all[2], all[3], all[4], all[5], all[6], all[7], DER_END);
    size_t header = set.data[1] < 0x80 ? 2 : 2U + (set.data[1] & 0x7f);
    return (BytesView) { set.data + header, set.size - header };
}

static BytesView signature_of(const CmsSpec *spec, BytesView data) {
    gnutls_privkey_t key;
    gnutls_datum_t datum = { (unsigned char *) (uintptr_t) data.data, (unsigned) data.size }, signature;
    gnutls_sign_algorithm_t algorithm = spec->sha1         ? GNUTLS_SIGN_ECDSA_SHA1
                                        : spec->other_hash ? GNUTLS_SIGN_ECDSA_SHA384
                                                           : GNUTLS_SIGN_ECDSA_SHA256;

    assert_true(gnutls_privkey_init(&key) >= 0 && gnutls_privkey_import_x509(key, spec->signer->key, 0) >= 0);
    assert_true(gnutls_privkey_sign_data2(key, algorithm, 0, &datum, &signature) >= 0);
    BytesView view = view_copy(signature.data, signature.size);
    gnutls_free(signature.data);
    gnutls_privkey_deinit(key);
    return view;
}

static BytesView signer_info(const CmsSpec *spec) {
    const Certificate *signer = spec->signer->certificate;
    BytesView attributes = spec->attributes ? attributes_of(spec) : DER_END,
              signed_bytes = spec->attributes ? der_bytes(0x31, attributes) : bytes_view_string(spec->content),
              id = spec->by_key_identifier ? der_bytes(0x80, signer->key_identifier)
                                           : DER_SEQUENCE(signer->issuer_raw, der_bytes(0x02, signer->serial_bytes)),
              digest = DER_SEQUENCE(made_oid(spec->sha1 ? OID_SHA1 : OID_SHA256)),
              algorithm = DER_SEQUENCE(made_oid(spec->sha1         ? OID_ECDSA_SHA1
                                                : spec->other_hash ? OID_ECDSA_SHA384
                                                                   : OID_ECDSA_SHA256)),
              signature = signature_of(spec, signed_bytes);

    return spec->attributes
               ? DER_SEQUENCE(der_integer(1), id, digest, der_bytes(0xa0, attributes), algorithm, signature)
               : DER_SEQUENCE(der_integer(1), id, digest, algorithm, signature);
}

static BytesView certificates_of(const CmsSpec *spec) {
    BytesView all[4] = { DER_END, DER_END, DER_END, DER_END };

    all[0] = bytes_view(&spec->signer->certificate->der);
    for (size_t i = 0; i < 4 && spec->inside[i]; i++)
        all[i] = bytes_view(&spec->inside[i]->certificate->der);
    return der_of(0xa0, all[0], all[1], all[2], all[3], DER_END);
}

Bytes make_cms(const CmsSpec *spec) {
    BytesView type = made_oid(spec->other_type ? OID_OTHER : OID_DATA),
              content =
                  spec->contained
                      ? DER_SEQUENCE(type, der_of(0xa0, view_copy(spec->contained, strlen(spec->contained)), DER_END))
                      : DER_SEQUENCE(type),
              digests = DER_SET(DER_SEQUENCE(made_oid(spec->sha1 ? OID_SHA1 : OID_SHA256))), info = signer_info(spec);
    _cleanup_bytes_ Bytes infos = BYTES_NULL;
    Bytes der;

    for (size_t i = 0; i < (spec->signers ?: 1); i++)
        assert_int_equal(bytes_append(&infos, info), 0);
    BytesView signers = der_bytes(0x31, bytes_view(&infos)),
              signed_data = spec->without_certificates
                                ? DER_SEQUENCE(der_integer(1), digests, content, signers)
                                : DER_SEQUENCE(der_integer(1), digests, content, certificates_of(spec), signers),
              message = DER_SEQUENCE(made_oid("1.2.840.113549.1.7.2"), der_of(0xa0, signed_data, DER_END));
    assert_int_equal(bytes_copy(message, &der), 0);
    der_reset();
    return der;
}

Bytes make_cms_attributes(const CmsSpec *spec) {
    Bytes der;

    assert_int_equal(bytes_copy(der_bytes(0x31, attributes_of(spec)), &der), 0);
    der_reset();
    return der;
}
