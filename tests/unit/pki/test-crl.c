/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CRLs as openssl makes them: which count, for which certificate, and what they say. */
#include "pki/revocation.h"

#include "pki/asn1.h"

#include "fixture.h"

#include <stdio.h>
#include <string.h>

#define URL "http://crl.example/1.crl"

typedef struct CrlSpec {
    const Entity *issuer;
    const char *entries;     /* lines of openssl's index.txt */
    const char *extensions;  /* lines of a section */
    const char *number;      /* hex */
    const char *last, *next; /* YYMMDDHHMMSSZ; NULL: a day around NOW (250615150640Z) */
    const char *digest;
    bool pem;
} CrlSpec;

static Bytes make_crl(const CrlSpec *spec) {
    _cleanup_directory_ char *directory = make_directory();
    _cleanup_certificates_ CertificateList issuer = LIST(spec->issuer->certificate);
    char config[2048];
    int n;

    n = snprintf(config, sizeof(config),
                 "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ncrlnumber=number\ndefault_md=%s\ncrl_extensions=e\n"
                 "[e]\nauthorityKeyIdentifier=keyid\n%s\n[idp]\nfullname=URI:" URL "\nonlyuser=TRUE\n",
                 spec->digest ?: "sha256", spec->extensions ?: "");
    assert_true(n > 0 && (size_t) n < sizeof(config));
    write_file(directory, "config", bytes_view_string(config));
    write_file(directory, "index.txt", bytes_view_string(spec->entries ?: ""));
    write_file(directory, "number", bytes_view_string(spec->number ?: "10"));
    write_pem(directory, "ca.pem", &issuer);
    write_key(directory, "ca.key", spec->issuer->key);
    free(run(
        NULL,
        "cd %s && openssl ca -gencrl -config config -cert ca.pem -keyfile ca.key -crl_lastupdate %s -crl_nextupdate %s "
        "-out crl.pem && openssl crl -in crl.pem -outform DER -out crl.der",
        directory, spec->last ?: "250615000000Z", spec->next ?: "250616000000Z"));
    return read_test_file(directory, spec->pem ? "crl.pem" : "crl.der");
}
#define CRL_BYTES(...) make_crl(&(CrlSpec) { __VA_ARGS__ })

static Crl *parse(Bytes der) {
    Crl *crl = NULL;
    Failure failure = FAILURE_INIT;

    assert_ok(crl_parse(bytes_view(&der), &crl, &failure), failure);
    bytes_clear(&der);
    return crl;
}
#define CRL(...)      parse(CRL_BYTES(__VA_ARGS__))
#define _cleanup_crl_ _cleanup_(crl_free_p)

static void refuse_parse(Bytes der, const char *reason) {
    Crl *crl = NULL;
    Failure failure = FAILURE_INIT;

    assert_failure(crl_parse(bytes_view(&der), &crl, &failure), EBADMSG, failure, reason);
    assert_int_equal(failure.kind, FAILURE_CERTIFICATE_REJECTED);
    assert_null(crl);
    bytes_clear(&der);
}

static void accept(const Crl *crl, const Entity *certificate, const Entity *issuer) {
    Failure failure = FAILURE_INIT;

    assert_ok(crl_check(crl, certificate->certificate, issuer->certificate, NOW, &failure), failure);
}

static void refuse_at(const Crl *crl, const Entity *certificate, const Entity *issuer, int64_t now,
                      const char *reason) {
    Failure failure = FAILURE_INIT;

    assert_failure(crl_check(crl, certificate->certificate, issuer->certificate, now, &failure), EKEYREJECTED, failure,
                   reason);
}

static void refuse(const Crl *crl, const Entity *certificate, const Entity *issuer, const char *reason) {
    refuse_at(crl, certificate, issuer, NOW, reason);
}

#define SETTING                                                                                                        \
    _cleanup_entity_ Entity ca = ENTITY(.subject = "CN=CA", .ca = true),                                               \
                            leaf = ENTITY(.subject = "CN=leaf", .issuer = &ca, .serial = 0xaabb, .crl_url = URL)

static const char revoked_leaf[] = "R\t270101000000Z\t250610120000Z,keyCompromise\tAABB\tunknown\t/CN=leaf\n",
                  held_leaf[] = "R\t270101000000Z\t250610120000Z,certificateHold\tAABB\tunknown\t/CN=leaf\n",
                  bare_leaf[] = "R\t270101000000Z\t250610120000Z\tAABB\tunknown\t/CN=leaf\n",
                  revoked_others[] = "R\t270101000000Z\t250610120000Z,superseded\tAABC\tunknown\t/CN=a\n"
                                     "R\t270101000000Z\t250610120000Z\tBB\tunknown\t/CN=b\n"
                                     "R\t270101000000Z\t250610120000Z\t00AABB00\tunknown\t/CN=b\n";

static void test_verdicts(void **state) {
    SETTING;
    _cleanup_crl_ Crl *revoked = CRL(&ca, revoked_leaf), *hold = CRL(&ca, held_leaf), *bare = CRL(&ca, bare_leaf),
                      *others = CRL(&ca, revoked_others), *none = CRL(&ca);
    int64_t when = 7;

    accept(revoked, &leaf, &ca);
    accept(none, &leaf, &ca);
    assert_int_equal(crl_verdict(revoked, leaf.certificate, NOW, &when), REVOCATION_REVOKED);
    assert_int_equal(when, 1749556800); /* 2025-06-10 12:00 */
    assert_int_equal(crl_verdict(hold, leaf.certificate, NOW, NULL), REVOCATION_HOLD);
    assert_int_equal(crl_verdict(bare, leaf.certificate, NOW, NULL), REVOCATION_REVOKED);
    assert_int_equal(crl_verdict(others, leaf.certificate, NOW, &when), REVOCATION_GOOD);
    assert_int_equal(when, 0);
    assert_int_equal(others->entry_count, 3);
    assert_int_equal(crl_verdict(none, leaf.certificate, NOW, NULL), REVOCATION_GOOD);
    assert_int_equal(none->entry_count, 0);

    /* past nextUpdate what is listed still is; what is not proves nothing */
    int64_t late = NOW + 10 * DAY;
    assert_int_equal(crl_verdict(revoked, leaf.certificate, revoked->next_update, NULL), REVOCATION_REVOKED);
    assert_int_equal(crl_verdict(revoked, leaf.certificate, late, NULL), REVOCATION_REVOKED);
    assert_int_equal(crl_verdict(hold, leaf.certificate, late, NULL), REVOCATION_HOLD);
    assert_int_equal(crl_verdict(others, leaf.certificate, others->next_update, NULL), REVOCATION_GOOD);
    assert_int_equal(crl_verdict(others, leaf.certificate, others->next_update + 1, NULL), REVOCATION_UNKNOWN);

    /* another CA's certificate with the same number */
    _cleanup_entity_ Entity other_ca = ENTITY(.subject = "CN=Other", .ca = true),
                            cousin = ENTITY(.subject = "CN=leaf", .issuer = &other_ca, .serial = 0xaabb);
    assert_int_equal(crl_verdict(revoked, cousin.certificate, NOW, NULL), REVOCATION_UNKNOWN);
}

static void test_fields_and_pem(void **state) {
    SETTING;
    _cleanup_bytes_ Bytes two = CRL_BYTES(&ca, .pem = true);
    _cleanup_crl_ Crl *crl = CRL(&ca, revoked_leaf, .number = "0A01", .pem = true);

    assert_int_equal(crl->this_update, 1749945600);
    assert_int_equal(crl->next_update, 1750032000);
    assert_int_equal(crl->number.size, 2);
    assert_memory_equal(crl->number.data, "\x0a\x01", 2);
    accept(crl, &leaf, &ca);

    size_t size = two.size;
    _cleanup_free_ uint8_t *twice = malloc(2 * size);
    memcpy(twice, two.data, size);
    memcpy(twice + size, two.data, size);
    Bytes doubled = BYTES_NULL, certificate = BYTES_NULL;
    assert_int_equal(bytes_copy((BytesView) { twice, 2 * size }, &doubled), 0);
    refuse_parse(doubled, "more than one PEM block");
    assert_int_equal(
        bytes_copy(bytes_view_string("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), &certificate),
        0);
    refuse_parse(certificate, "the PEM block is not a CRL");
}

static void test_malformed(void **state) {
    SETTING;
    _cleanup_bytes_ Bytes der = CRL_BYTES(&ca, revoked_leaf);
    Bytes copy = BYTES_NULL, huge = { calloc(1, CRL_MAX + 1), CRL_MAX + 1 }, text = BYTES_NULL;

    for (size_t size = 0; size < der.size; size++) {
        assert_int_equal(bytes_copy((BytesView) { der.data, size }, &copy), 0);
        refuse_parse(copy, "");
    }
    assert_int_equal(bytes_copy(bytes_view(&der), &copy), 0);
    assert_int_equal(bytes_append(&copy, bytes_view_string("x")), 0);
    refuse_parse(copy, "is not one in DER");
    refuse_parse(huge, "more than 8388608");
    assert_int_equal(bytes_copy(bytes_view(&der), &copy), 0);
    uint8_t *algorithm = memmem(copy.data + 40, copy.size - 40, "\x2a\x86\x48\xce\x3d\x04\x03\x02", 8);
    assert_non_null(algorithm);
    algorithm[7] = 3;
    refuse_parse(copy, "two signature algorithms");
    assert_int_equal(bytes_copy(bytes_view_string("<html>"), &text), 0);
    refuse_parse(text, "neither DER nor PEM");
    assert_int_equal(bytes_copy(bytes_view(&ca.certificate->der), &copy), 0);
    refuse_parse(copy, "is not one in DER");
}

static void refuse_patched(const Bytes *der, BytesView from, BytesView to, const char *reason) {
    Bytes copy = BYTES_NULL;

    assert_int_equal(bytes_copy(bytes_view(der), &copy), 0);
    uint8_t *place = memmem(copy.data, copy.size, from.data, from.size);
    assert_non_null(place);
    memcpy(place, to.data, to.size);
    refuse_parse(copy, reason);
}

/* A serial number that is written in another way than a certificate writes its own would never be found, and a day that
 * there is not be another day. */
static void test_not_der(void **state) {
    SETTING;
    _cleanup_bytes_ Bytes der = CRL_BYTES(&ca, "R\t270101000000Z\t250610120000Z\t123456\tunknown\t/CN=leaf\n");
    const BytesView serial = { (const uint8_t *) "\x02\x03\x12\x34\x56", 5 };

    refuse_patched(&der, serial, (BytesView) { (const uint8_t *) "\x02\x03\x00\x34\x56", 5 }, "entry 1");
    refuse_patched(&der, serial, (BytesView) { (const uint8_t *) "\x02\x03\xff\x84\x56", 5 }, "entry 1");
    refuse_patched(&der, serial, (BytesView) { (const uint8_t *) "\x02\x81\x02\x34\x56", 5 }, "entry 1");
    refuse_patched(&der, bytes_view_string("250615000000Z"), bytes_view_string("250230000000Z"), "times of the CRL");
    refuse_patched(&der, bytes_view_string("250616000000Z"), bytes_view_string("250631000000Z"), "times of the CRL");
    refuse_patched(&der, bytes_view_string("250616000000Z"), bytes_view_string("250616000060Z"), "times of the CRL");
}

/* docs/facts.md, "Revocation": GnuTLS takes each of these for a complete CRL. */
static void test_partial_kinds(void **state) {
    SETTING;

    refuse_parse(CRL_BYTES(&ca, .extensions = "2.5.29.27=critical,DER:020101"), "it is a delta CRL");
    refuse_parse(CRL_BYTES(&ca, .extensions = "2.5.29.27=DER:020101"), "it is a delta CRL");
    refuse_parse(CRL_BYTES(&ca, .extensions = "issuingDistributionPoint=critical,@i\n[i]\nindirectCRL=TRUE"),
                 "it is an indirect one");
    refuse_parse(CRL_BYTES(&ca, .extensions = "issuingDistributionPoint=critical,@i\n[i]\nonlyAA=TRUE"),
                 "attribute certificates only");
    refuse_parse(
        CRL_BYTES(&ca, .extensions = "issuingDistributionPoint=critical,@i\n[i]\nonlysomereasons=keyCompromise"),
        "some reasons of revocation only");
    refuse_parse(CRL_BYTES(&ca, .extensions = "1.2.3.4=critical,DER:0500"), "the critical extension 1.2.3.4");
    refuse_parse(CRL_BYTES(&ca, .extensions = "2.5.29.28=critical,DER:0500"),
                 "issuing distribution point of the CRL cannot be read");
    _cleanup_crl_ Crl *harmless = CRL(&ca, .extensions = "1.2.3.4=DER:0500");
    accept(harmless, &leaf, &ca);
}

/* A certificateIssuer or an unknown critical extension in an entry: replaces the reason code's OID in one. */
static void test_entry_extensions(void **state) {
    static const uint8_t old[] = { 0x30, 0x0a, 0x06, 0x03, 0x55, 0x1d, 0x15, 0x04, 0x03, 0x0a, 0x01, 0x01 };
    static const struct {
        uint8_t new[12];
        const char *reason; /* NULL: taken */
    } cases[] = {
        { { 0x30, 0x0a, 0x06, 0x03, 0x55, 0x1d, 0x1d, 0x04, 0x03, 0x0a, 0x01, 0x01 }, "another issuer" },
        { { 0x30, 0x0a, 0x06, 0x03, 0x55, 0x1d, 0x63, 0x04, 0x03, 0x0a, 0x01, 0x01 }, NULL },
        { { 0x30, 0x0a, 0x06, 0x03, 0x55, 0x1d, 0x63, 0x01, 0x01, 0xff, 0x04, 0x00 }, "critical extension" },
        { { 0x30, 0x0a, 0x06, 0x03, 0x55, 0x1d, 0x63, 0x01, 0x01, 0x00, 0x04, 0x00 }, NULL },
        { { 0x30, 0x0a, 0x06, 0x03, 0x55, 0x1d, 0x18, 0x01, 0x01, 0xff, 0x04, 0x00 }, NULL },
        { { 0x30, 0x0a, 0x06, 0x03, 0x55, 0x1d, 0x15, 0x04, 0x03, 0x02, 0x01, 0x01 }, "entry 1 of the CRL" },
        { { 0x30, 0x0a, 0x06, 0x03, 0x55, 0x1d, 0x15, 0x04, 0x03, 0x0a, 0x02, 0x01 }, "entry 1 of the CRL" },
        { { 0x31, 0x0a, 0x06, 0x03, 0x55, 0x1d, 0x15, 0x04, 0x03, 0x0a, 0x01, 0x01 }, "entry 1 of the CRL" },
    };
    SETTING;

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        Bytes der = CRL_BYTES(&ca, revoked_leaf);
        uint8_t *at = memmem(der.data, der.size, old, sizeof(old));
        assert_non_null(at);
        memcpy(at, cases[i].new, sizeof(old));
        if (cases[i].reason)
            refuse_parse(der, cases[i].reason);
        else
            crl_free(parse(der));
    }
}

/* Without a certificate the signer alone is looked at, and the time. */
static void test_signer_alone(void **state) {
    SETTING;
    _cleanup_entity_ Entity impostor = ENTITY(.subject = "CN=CA", .ca = true),
                            other = ENTITY(.subject = "CN=Other", .ca = true, .key = ca.key),
                            mute = ENTITY(.subject = "CN=CA", .ca = true, .key = ca.key,
                                          .usage = GNUTLS_KEY_KEY_CERT_SIGN);
    _cleanup_crl_ Crl *good = CRL(&ca, revoked_leaf),
                      *part = CRL(&ca, .extensions = "issuingDistributionPoint=critical,@i\n[i]\n"
                                                     "fullname=URI:http://another.example/part.crl");
    Failure failure = FAILURE_INIT;

    assert_ok(crl_check_signer(good, ca.certificate, NOW, &failure), failure);
    assert_ok(crl_check_signer(part, ca.certificate, NOW, &failure), failure);
    assert_failure(crl_check_signer(good, impostor.certificate, NOW, &failure), EKEYREJECTED, failure,
                   "was not made by the key of CN=CA");
    assert_failure(crl_check_signer(good, other.certificate, NOW, &failure), EKEYREJECTED, failure,
                   "the CRL is not by CN=Other");
    assert_failure(crl_check_signer(good, mute.certificate, NOW, &failure), EKEYREJECTED, failure,
                   "does not allow it to sign CRLs");
    assert_failure(crl_check_signer(good, ca.certificate, good->this_update - REVOCATION_SKEW - 1, &failure),
                   EKEYREJECTED, failure, "from the future");
}

static void test_signer(void **state) {
    SETTING;
    _cleanup_entity_ Entity impostor = ENTITY(.subject = "CN=CA", .ca = true),
                            other = ENTITY(.subject = "CN=Other", .ca = true),
                            mute = ENTITY(.subject = "CN=CA", .ca = true, .key = ca.key,
                                          .usage = GNUTLS_KEY_KEY_CERT_SIGN),
                            plain = ENTITY(.subject = "CN=CA", .ca = true, .key = ca.key, .no_key_usage = true),
                            rsa = ENTITY(.subject = "CN=CA", .ca = true, .pk = GNUTLS_PK_RSA),
                            rsa_leaf = ENTITY(.subject = "CN=leaf", .issuer = &rsa),
                            other_leaf = ENTITY(.subject = "CN=leaf", .issuer = &other);
    _cleanup_crl_ Crl *good = CRL(&ca, revoked_leaf), *by_impostor = CRL(&impostor, revoked_leaf),
                      *by_other = CRL(&other, revoked_leaf), *sha1 = CRL(&rsa, .digest = "sha1"),
                      *sha384 = CRL(&rsa, .digest = "sha384");

    accept(good, &leaf, &ca);
    accept(good, &leaf, &plain);
    refuse(good, &leaf, &mute, "does not allow it to sign CRLs");
    refuse(by_impostor, &leaf, &ca, "was not made by the key of CN=CA");
    refuse(by_other, &leaf, &ca, "it is not by its issuer");
    refuse(by_other, &leaf, &other, "it is not by its issuer");
    refuse(good, &other_leaf, &ca, "it is not by its issuer");
    refuse(sha1, &rsa_leaf, &rsa, "RSA-SHA1");
    accept(sha384, &rsa_leaf, &rsa);
    refuse_at(good, &leaf, &ca, good->this_update - REVOCATION_SKEW - 1, "from the future");
    Failure failure = FAILURE_INIT;
    assert_ok(crl_check(good, leaf.certificate, ca.certificate, good->this_update - REVOCATION_SKEW, &failure),
              failure);

    /* one bit anywhere */
    Bytes der = CRL_BYTES(&ca, revoked_leaf);
    uint8_t *serial = memmem(der.data, der.size, "\xaa\xbb", 2);
    assert_non_null(serial);
    serial[1] ^= 1;
    _cleanup_crl_ Crl *changed = parse(der);
    refuse(changed, &leaf, &ca, "was not made by the key");
}

static void test_scope(void **state) {
    SETTING;
    _cleanup_entity_ Entity elsewhere =
                                ENTITY(.subject = "CN=leaf", .issuer = &ca, .crl_url = "http://crl.example/2.crl"),
                            nowhere = ENTITY(.subject = "CN=leaf", .issuer = &ca),
                            sub = ENTITY(.subject = "CN=Sub", .ca = true, .issuer = &ca, .crl_url = URL);
    _cleanup_crl_ Crl *mine =
                          CRL(&ca, .extensions =
                                       "issuingDistributionPoint=critical,@i\n[i]\nfullname=URI:http://x/,URI:" URL),
                      *users = CRL(&ca, .extensions = "issuingDistributionPoint=critical,@idp"),
                      *cas = CRL(&ca, .extensions = "issuingDistributionPoint=critical,@i\n[i]\nonlyCA=TRUE"),
                      *relative = CRL(&ca, .extensions =
                                               "issuingDistributionPoint=critical,@i\n[i]\nrelativename=n\n[n]\nCN=x");

    accept(mine, &leaf, &ca);
    accept(mine, &sub, &ca);
    refuse(mine, &elsewhere, &ca, "the one of another distribution point");
    refuse(mine, &nowhere, &ca, "the one of another distribution point");
    accept(users, &leaf, &ca);
    refuse(users, &sub, &ca, "not of CAs");
    refuse(users, &elsewhere, &ca, "the one of another distribution point");
    accept(cas, &sub, &ca);
    refuse(cas, &leaf, &ca, "it is about CA certificates");
    refuse(relative, &leaf, &ca, "the one of another distribution point");

    /* a distribution point whose CRL another issuer signs is not ours to accept:
     * SEQUENCE { { [0] { [0] { [6] URL } }, [2] { [4] { Name {} } } } } */
    uint8_t points[64] = { 0x30, 0x26, 0x30, 0x24, 0xa0, 0x1c, 0xa0, 0x1a, 0x86, 0x18 };
    memcpy(points + 10, URL, strlen(URL));
    memcpy(points + 34, "\xa2\x04\xa4\x02\x30\x00", 6);
    assert_int_equal(strlen(URL), 24);
    const Extension foreign = { "2.5.29.31", points, 40, false };
    _cleanup_entity_ Entity indirect = ENTITY(.subject = "CN=leaf", .issuer = &ca, .extensions = { foreign });
    refuse(mine, &indirect, &ca, "the one of another distribution point");
}

static void check_order(const Crl *fresh, const Crl *old, const char *reason) {
    Failure failure = FAILURE_INIT;

    if (!reason)
        assert_ok(crl_supersedes(fresh, old, &failure), failure);
    else
        assert_failure(crl_supersedes(fresh, old, &failure), ESTALE, failure, reason);
}

static void test_never_back(void **state) {
    SETTING;
    _cleanup_entity_ Entity other = ENTITY(.subject = "CN=Other", .ca = true);
    _cleanup_crl_ Crl *nine = CRL(&ca, .number = "09"), *ten = CRL(&ca, .number = "0A"),
                      *long_number = CRL(&ca, .number = "0100"),
                      *earlier = CRL(&ca, .number = "0A", .last = "250614000000Z"),
                      *later = CRL(&ca, .number = "09", .last = "250615010000Z"), *theirs = CRL(&other, .number = "0B"),
                      *partition = CRL(&ca, .number = "01", .extensions = "issuingDistributionPoint=critical,@idp"),
                      *old_partition = CRL(&ca, .number = "01", .last = "250614000000Z",
                                           .extensions = "issuingDistributionPoint=critical,@idp");

    check_order(ten, NULL, NULL);
    check_order(ten, ten, NULL);
    check_order(ten, nine, NULL);
    check_order(nine, ten, "lower number");
    check_order(long_number, ten, NULL);
    check_order(ten, long_number, "lower number");
    check_order(earlier, nine, "older than the one at hand: 2025-06-14");
    check_order(later, ten, "lower number");
    check_order(later, nine, NULL);
    check_order(theirs, ten, "another issuer");
    check_order(partition, ten, NULL); /* another series of numbers, but not an older statement */
    check_order(old_partition, ten, "older");

    Bytes kept = ten->number;
    ten->number = BYTES_NULL;
    check_order(ten, nine, "has no number");
    check_order(nine, ten, NULL);
    ten->number = kept;
}

/* A CRL near the limit costs little more memory than its bytes; every entry is looked at. */
static void test_large(void **state) {
    enum { COUNT = 200000, ENTRY = 2 + 2 + 16 + 15 };
    SETTING;
    _cleanup_bytes_ Bytes small = CRL_BYTES(&ca, bare_leaf);
    BytesView content, tbs_content;
    DerItem tbs, algorithm, signature, item;
    BytesView parts[8];
    size_t count = 0;
    _cleanup_free_ uint8_t *entries = malloc((size_t) COUNT * ENTRY);
    _cleanup_bytes_ Bytes list = BYTES_NULL, new_tbs = BYTES_NULL, whole = BYTES_NULL;

    assert_non_null(entries);
    for (unsigned i = 0; i < COUNT; i++) {
        uint8_t *entry = entries + (size_t) i * ENTRY;
        memcpy(entry, "\x30\x21\x02\x10", 4);
        memset(entry + 4, 0x11, 16);
        memcpy(entry + 16, &i, sizeof(i));
        memcpy(entry + 20,
               "\x17\x0d"
               "250610120000Z",
               15);
    }
    const BytesView all = { entries, (size_t) COUNT * ENTRY };
    assert_int_equal(asn1_sequence(&all, 1, &list), 0);
    assert_int_equal(der_open_sequence(bytes_view(&small), &content), 0);
    assert_int_equal(der_next(&content, &tbs), 1);
    assert_int_equal(der_next(&content, &algorithm), 1);
    assert_int_equal(der_next(&content, &signature), 1);
    tbs_content = tbs.content;
    while (der_next(&tbs_content, &item) > 0) {
        parts[count] = item.whole;
        if (count++ == 5)
            parts[5] = bytes_view(&list);
    }
    assert_int_equal(count, 7);
    assert_int_equal(asn1_sequence(parts, count, &new_tbs), 0);
    const BytesView outer[] = { bytes_view(&new_tbs), algorithm.whole, signature.whole };
    assert_int_equal(asn1_sequence(outer, 3, &whole), 0);
    _cleanup_crl_ Crl *crl = NULL;
    Failure failure = FAILURE_INIT;
    assert_ok(crl_parse(bytes_view(&whole), &crl, &failure), failure);
    assert_int_equal(crl->entry_count, COUNT);
    assert_int_equal(crl_verdict(crl, leaf.certificate, NOW, NULL), REVOCATION_GOOD);
    refuse(crl, &leaf, &ca, "was not made by the key");
}

/* A CRL whose issuer's name is spelled in another way than the CA's own is the CA's all the same. */
static void test_spelling(void **state) {
    SETTING;
    _cleanup_entity_ Entity spelled = ENTITY(.subject = "CN=ca", .ca = true, .key = ca.key),
                            other = ENTITY(.subject = "CN=c a", .ca = true, .key = ca.key);
    _cleanup_crl_ Crl *revoked = CRL(&spelled, revoked_leaf), *stray = CRL(&other, revoked_leaf), *first = CRL(&ca);

    accept(revoked, &leaf, &ca);
    assert_int_equal(crl_verdict(revoked, leaf.certificate, NOW, NULL), REVOCATION_REVOKED);
    refuse(stray, &leaf, &ca, "it is not by its issuer");
    assert_int_equal(crl_verdict(stray, leaf.certificate, NOW, NULL), REVOCATION_UNKNOWN);
    assert_int_equal(crl_supersedes(revoked, first, NULL), 0);
    assert_int_equal(crl_supersedes(stray, first, NULL), -ESTALE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts), cmocka_unit_test(test_fields_and_pem), cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_not_der),  cmocka_unit_test(test_partial_kinds),  cmocka_unit_test(test_entry_extensions),
        cmocka_unit_test(test_signer),   cmocka_unit_test(test_signer_alone),   cmocka_unit_test(test_scope),
        cmocka_unit_test(test_spelling), cmocka_unit_test(test_never_back),     cmocka_unit_test(test_large),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
