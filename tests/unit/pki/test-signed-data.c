/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SignedData (RFC 5652 §5.1) put together from its parts: what is read of one that is whole, and each part that is left
 * out, replaced by another or followed by more, which no message has. Whether signatures count is idctl's tests to say.
 */
#include "pki/signed-data.h"

#include "fixture.h"
#include "tests/unit/enroller/der.h"

#include <string.h>

#define SIGNED_DATA  "1.2.840.113549.1.7.2"
#define DATA         "1.2.840.113549.1.7.1"
#define NOTHING      ((BytesView) { (const uint8_t *) "", 0 })
#define SEQUENCE     DER_SEQUENCE
#define OCTETS(text) der_text(4, text)
/* Constructed, and of a context's own. */
#define TAGGED(number, ...) der_of(0xa0 | (number), __VA_ARGS__, DER_END)

/* The parts, each with its tag; DER_END: not there. */
typedef struct Parts {
    BytesView type, more;                                                          /* of the ContentInfo */
    BytesView version, digests, encapsulated, certificates, crls, signers, behind; /* of SignedData */
} Parts;

typedef struct Signer {
    BytesView version, id, digest, attributes, algorithm, signature, unsigned_attributes, behind;
} Signer;

/* Leaves out what is not there. */
static BytesView join(uint8_t tag, const BytesView *parts, size_t count) {
    BytesView present[16];
    size_t size = 0;

    for (size_t i = 0; i < count; i++)
        if (parts[i].size != SIZE_MAX)
            present[size++] = parts[i];
    for (size_t i = size; i < ARRAY_LENGTH(present); i++)
        present[i] = NOTHING;
    return der_of(tag, present[0], present[1], present[2], present[3], present[4], present[5], present[6], present[7],
                  present[8], DER_END);
}

static Signer good_signer(void) {
    return (Signer) {
        .version = der_integer(1),
        .id = SEQUENCE(SEQUENCE(NOTHING), der_integer(77)),
        .digest = SEQUENCE(made_oid("2.16.840.1.101.3.4.2.1")),
        .attributes = DER_END,
        .algorithm = SEQUENCE(made_oid("1.2.840.10045.4.3.2")),
        .signature = OCTETS("signature"),
        .unsigned_attributes = DER_END,
        .behind = DER_END,
    };
}

static BytesView signer_info(const Signer *signer) {
    const BytesView parts[] = { signer->version,
                                signer->id,
                                signer->digest,
                                signer->attributes,
                                signer->algorithm,
                                signer->signature,
                                signer->unsigned_attributes,
                                signer->behind };

    return join(0x30, parts, ARRAY_LENGTH(parts));
}

static Parts good_parts(void) {
    const Signer signer = good_signer();

    return (Parts) {
        .type = made_oid(SIGNED_DATA),
        .more = DER_END,
        .version = der_integer(1),
        .digests = DER_SET(SEQUENCE(made_oid("2.16.840.1.101.3.4.2.1"))),
        .encapsulated = SEQUENCE(made_oid(DATA)),
        .certificates = DER_END,
        .crls = DER_END,
        .signers = DER_SET(signer_info(&signer)),
        .behind = DER_END,
    };
}

static BytesView message(const Parts *parts) {
    const BytesView fields[] = { parts->version, parts->digests, parts->encapsulated, parts->certificates,
                                 parts->crls,    parts->signers, parts->behind };
    const BytesView outer[] = { parts->type, TAGGED(0, join(0x30, fields, ARRAY_LENGTH(fields))), parts->more };

    return join(0x30, outer, ARRAY_LENGTH(outer));
}

static SignedData *must_read(const Parts *parts) {
    SignedData *signed_data = NULL;
    Failure failure = FAILURE_INIT;

    if (signed_data_parse(message(parts), &signed_data, &failure) < 0)
        fail_msg("%s", failure.text);
    return signed_data;
}

static void refuse(const char *what, const Parts *parts, const char *reason) {
    SignedData *signed_data = NULL;
    Failure failure = FAILURE_INIT;

    if (signed_data_parse(message(parts), &signed_data, &failure) != -EBADMSG || !strstr(failure.text, reason))
        fail_msg("%s: %s", what, failure.text);
    assert_int_equal(failure.kind, FAILURE_CERTIFICATE_REJECTED);
    assert_null(signed_data);
}

/* One part is something else. */
#define REFUSE(part, becomes, reason)                                                                                  \
    do {                                                                                                               \
        Parts _parts = good_parts();                                                                                   \
        _parts.part = becomes;                                                                                         \
        refuse(#part " = " #becomes, &_parts, reason);                                                                 \
    } while (0)
#define REFUSE_SIGNER(part, becomes)                                                                                   \
    do {                                                                                                               \
        Parts _parts = good_parts();                                                                                   \
        Signer _signer = good_signer();                                                                                \
        _signer.part = becomes;                                                                                        \
        _parts.signers = DER_SET(signer_info(&_signer));                                                               \
        refuse(#part " = " #becomes, &_parts, "what it says of signer 1 cannot be read");                              \
    } while (0)

static void test_what_is_read(void **state) {
    Parts parts = good_parts();
    _cleanup_signed_data_ SignedData *signed_data = must_read(&parts);
    const SignerInfo *signer = &signed_data->signers[0];

    assert_int_equal(signed_data->signer_count, 1);
    assert_int_equal(signed_data->certificates.count, 0);
    assert_null(signed_data->content.data);
    assert_true(bytes_view_equal(signed_data->content_type, (BytesView) { made_oid(DATA).data + 2, 9 }));
    assert_true(bytes_view_equal(signer->issuer, SEQUENCE(NOTHING)));
    assert_true(bytes_view_equal(signer->serial, bytes_view_string("\x4d")));
    assert_int_equal(signer->key_identifier.size, 0);
    assert_true(bytes_view_equal(signer->digest_algorithm, good_signer().digest));
    assert_true(bytes_view_equal(signer->signature_algorithm, good_signer().algorithm));
    assert_null(signer->attributes.data);
    assert_true(bytes_view_equal(signer->signature, bytes_view_string("signature")));
    der_reset();
}

/* All that may be there, and is passed over where it is of no use. */
static void test_all_parts(void **state) {
    _cleanup_entity_ Entity one = ENTITY(.subject = "CN=one");
    Parts parts = good_parts();
    Signer signer = good_signer();

    signer.id = der_text(0x80, "key");
    signer.attributes = TAGGED(0, SEQUENCE(NOTHING));
    signer.unsigned_attributes = TAGGED(1, SEQUENCE(NOTHING));
    parts.certificates = TAGGED(0, bytes_view(&one.certificate->der), TAGGED(1, NOTHING), SEQUENCE(NOTHING));
    parts.crls = TAGGED(1, SEQUENCE(NOTHING));
    parts.signers = DER_SET(signer_info(&signer), signer_info(&signer));
    _cleanup_signed_data_ SignedData *signed_data = must_read(&parts);
    assert_int_equal(signed_data->signer_count, 2);
    assert_int_equal(signed_data->certificates.count, 1); /* the attribute certificate and what is none are left out */
    for (size_t i = 0; i < 2; i++) {
        assert_true(bytes_view_equal(signed_data->signers[i].key_identifier, bytes_view_string("key")));
        assert_int_equal(signed_data->signers[i].issuer.size, 0);
        assert_true(bytes_view_equal(signed_data->signers[i].attributes, SEQUENCE(NOTHING)));
    }
    der_reset();
}

static void test_contents(void **state) {
    const struct {
        BytesView encapsulated;
        const char *content;
    } cases[] = {
        { SEQUENCE(made_oid(DATA), TAGGED(0, OCTETS("content"))), "content" },
        { SEQUENCE(made_oid(DATA), TAGGED(0, OCTETS(""))), "" },
        { SEQUENCE(made_oid(DATA), TAGGED(0, der_of(0x24, OCTETS("con"), OCTETS("tent"), DER_END))), "content" },
        { SEQUENCE(made_oid(DATA), TAGGED(0, der_of(0x24, DER_END))), "" },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        Parts parts = good_parts();
        parts.encapsulated = cases[i].encapsulated;
        _cleanup_signed_data_ SignedData *signed_data = must_read(&parts);
        assert_non_null(signed_data->content.data);
        assert_true(bytes_view_equal(signed_data->content, bytes_view_string(cases[i].content)));
    }
    der_reset();
}

static void test_refusals(void **state) {
    const char *const outer = "it is no ContentInfo with SignedData", *const fields = "its SignedData cannot be read",
                      *const content = "the content inside it cannot be read",
                      *const signers = "its signers cannot be read";

    REFUSE(type, DER_END, outer);
    REFUSE(type, made_oid(DATA), outer);
    REFUSE(type, der_text(4, "x"), outer);
    REFUSE(more, der_integer(1), outer);
    REFUSE(version, DER_END, fields);
    REFUSE(version, OCTETS("1"), fields);
    REFUSE(digests, DER_END, fields);
    REFUSE(digests, SEQUENCE(NOTHING), fields);
    REFUSE(digests, der_text(0x11, ""), fields); /* a SET that is primitive */
    REFUSE(encapsulated, DER_END, fields);
    REFUSE(encapsulated, DER_SET(made_oid(DATA)), "its encapContentInfo cannot be read");
    REFUSE(encapsulated, SEQUENCE(NOTHING), "its encapContentInfo cannot be read");
    REFUSE(encapsulated, SEQUENCE(OCTETS("x")), "its encapContentInfo cannot be read");
    REFUSE(encapsulated, SEQUENCE(made_oid(DATA), OCTETS("x")), content);
    REFUSE(encapsulated, SEQUENCE(made_oid(DATA), TAGGED(1, OCTETS("x"))), content);
    REFUSE(encapsulated, SEQUENCE(made_oid(DATA), TAGGED(0, OCTETS("x")), OCTETS("y")), content);
    REFUSE(encapsulated, SEQUENCE(made_oid(DATA), TAGGED(0, OCTETS("x"), OCTETS("y"))), content);
    REFUSE(encapsulated, SEQUENCE(made_oid(DATA), TAGGED(0, NOTHING)), content);
    REFUSE(encapsulated, SEQUENCE(made_oid(DATA), TAGGED(0, der_integer(1))), content);
    REFUSE(encapsulated, SEQUENCE(made_oid(DATA), TAGGED(0, der_text(0x84, "x"))), content);
    REFUSE(encapsulated, SEQUENCE(made_oid(DATA), TAGGED(0, der_of(0x24, der_integer(1), DER_END))), content);
    REFUSE(encapsulated, SEQUENCE(made_oid(DATA), TAGGED(0, der_of(0xa4, OCTETS("x"), DER_END))), content);
    REFUSE(signers, DER_END, fields);
    REFUSE(signers, SEQUENCE(NOTHING), signers);
    REFUSE(signers, DER_SET(NOTHING), "it has no signer");
    REFUSE(behind, der_integer(1), signers);
    REFUSE(certificates, TAGGED(2, NOTHING), signers);
    Parts parts = good_parts(); /* certificates or CRLs, and then nothing */
    parts.certificates = TAGGED(0, NOTHING);
    parts.signers = DER_END;
    refuse("certificates alone", &parts, "it has no field for signers");
    parts = good_parts();
    parts.crls = TAGGED(1, NOTHING);
    parts.signers = DER_END;
    refuse("CRLs alone", &parts, "it has no field for signers");
    der_reset();
}

static void test_signers(void **state) {
    REFUSE_SIGNER(version, DER_END);
    REFUSE_SIGNER(version, OCTETS("1"));
    REFUSE_SIGNER(id, DER_END);
    REFUSE_SIGNER(id, der_text(0x80, ""));
    REFUSE_SIGNER(id, der_text(0x81, "key"));
    REFUSE_SIGNER(id, TAGGED(0, NOTHING));
    REFUSE_SIGNER(id, DER_SET(SEQUENCE(NOTHING), der_integer(1)));
    REFUSE_SIGNER(id, SEQUENCE(NOTHING));
    REFUSE_SIGNER(id, SEQUENCE(SEQUENCE(NOTHING)));
    REFUSE_SIGNER(id, SEQUENCE(DER_SET(NOTHING), der_integer(1)));
    REFUSE_SIGNER(id, SEQUENCE(SEQUENCE(NOTHING), OCTETS("1")));
    REFUSE_SIGNER(id, SEQUENCE(SEQUENCE(NOTHING), der_integer(1), der_integer(1)));
    REFUSE_SIGNER(digest, DER_END);
    REFUSE_SIGNER(digest, DER_SET(NOTHING));
    REFUSE_SIGNER(attributes, TAGGED(2, NOTHING));
    REFUSE_SIGNER(algorithm, DER_END);
    REFUSE_SIGNER(algorithm, DER_SET(NOTHING));
    REFUSE_SIGNER(signature, DER_END);
    REFUSE_SIGNER(signature, der_integer(1));
    REFUSE_SIGNER(unsigned_attributes, TAGGED(0, NOTHING));
    REFUSE_SIGNER(unsigned_attributes, der_integer(1));
    REFUSE_SIGNER(behind, der_integer(1));
    Parts parts = good_parts();
    Signer signer = good_signer();
    signer.unsigned_attributes = TAGGED(1, NOTHING);
    signer.behind = der_integer(1);
    parts.signers = DER_SET(signer_info(&signer));
    refuse("more behind unsigned attributes", &parts, "what it says of signer 1 cannot be read");
    parts.signers = der_bytes(0x31, bytes_view_string("\x30\x05")); /* cut */
    refuse("a signer that is cut", &parts, "it is not one value in DER or BER");
    der_reset();
}

static void test_as_many_as_there_may_be(void **state) {
    for (size_t count = SIGNED_DATA_SIGNERS_MAX; count <= SIGNED_DATA_SIGNERS_MAX + 1; count++) {
        _cleanup_bytes_ Bytes all = BYTES_NULL;
        Parts parts = good_parts();
        const Signer signer = good_signer();
        BytesView one = signer_info(&signer);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(bytes_append(&all, one), 0);
        parts.signers = der_bytes(0x31, bytes_view(&all));
        if (count > SIGNED_DATA_SIGNERS_MAX) {
            refuse("too many", &parts, "it has more than 16 signers");
            continue;
        }
        _cleanup_signed_data_ SignedData *signed_data = must_read(&parts);
        assert_int_equal(signed_data->signer_count, count);
    }
    der_reset();
}

static void test_forms(void **state) {
    static const struct {
        const char *data;
        bool is;
    } cases[] = {
        { "-----BEGIN CMS-----\n", true },
        { "text\n-----BEGIN PKCS7-----\n", true },
        { "-----BEGIN CMS\n", false },
        { "-----BEGIN CERTIFICATE-----\n", false },
        { "", false },
        { "0", false },
    };
    const Parts parts = good_parts();
    BytesView whole = message(&parts);
    SignedData *none = NULL;
    Failure failure = FAILURE_INIT;

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        assert_int_equal(signed_data_is(bytes_view_string(cases[i].data)), cases[i].is);
    assert_true(signed_data_is(whole));
    assert_true(signed_data_is((BytesView) { whole.data, 24 }));
    assert_false(signed_data_is((BytesView) { whole.data, 12 }));
    assert_int_equal(signed_data_parse(NOTHING, &none, &failure), -EBADMSG);
    assert_non_null(strstr(failure.text, "it has 0 bytes"));
    assert_int_equal(signed_data_parse((BytesView) { whole.data, SIGNED_DATA_MAX + 1 }, &none, &failure), -EBADMSG);
    assert_non_null(strstr(failure.text, "it has 2097153 bytes, and may have 1 to 2097152"));
    assert_int_equal(signed_data_parse(bytes_view_string("x"), &none, &failure), -EBADMSG);
    assert_non_null(strstr(failure.text, "neither DER nor PEM of the kind CMS or PKCS7"));
    assert_null(none);
    der_reset();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_read), cmocka_unit_test(test_all_parts),
        cmocka_unit_test(test_contents),     cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_signers),      cmocka_unit_test(test_as_many_as_there_may_be),
        cmocka_unit_test(test_forms),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
