/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idctl verify with CMS signatures, without identity and daemon: those of OpenSSL, and every fault that nobody writes
 * by accident. */
#include "verify-lab.h"

#include "cms-maker.h"

#include "common/macros.h"
#include "pki/signed-data.h"

#include <stdio.h>
#include <string.h>

#define WITH    "content cms --anchors root.pem --at @1750000000"
#define CONTENT "line one\nline two\r\n"

typedef struct Lab {
    Entity root, intermediate, signer, expired, encrypts, repudiates, code, mail, revoked, constrained, outside, rsa,
        weak_rsa, namesake, late, late_namesake;
} Lab;

typedef struct Row {
    CmsSpec spec;
    const char *options;
    int status;
    const char *out;
} Row;

static void check_rows(const Row *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        char line[512];
        CmsSpec spec = rows[i].spec;
        spec.content = spec.content ? spec.content : CONTENT;
        Bytes cms = make_cms(&spec);
        write_file(".", "cms", bytes_view(&cms));
        bytes_clear(&cms);
        snprintf(line, sizeof line, WITH " %s", rows[i].options ? rows[i].options : "");
        const Line one = { line, rows[i].status, rows[i].out, NULL };
        lab_check(&one, 1);
    }
}

#define SIGNED .signer = &lab->signer, .inside = { &lab->signer, &lab->intermediate }

/* RFC 5652 §5.3, §5.4 and §11. */
static void test_attributes(void **state) {
    const Lab *lab = *state;
    const Row rows[] = {
        { { SIGNED, .attributes = "cd" }, NULL, 0, "verified: the signature is good" },
        { { SIGNED, .attributes = "tucd" },
          NULL,
          0,
          "says that it signed at 2025-01-01 00:00:00 UTC, for which nobody" },
        { { SIGNED, .attributes = "cd", .by_key_identifier = true }, NULL, 0, "signer: CN=signer" },
        { { SIGNED, .attributes = "cd", .other_type = true }, NULL, 0, "verified" },
        { { SIGNED }, NULL, 0, "verified" },
        { { SIGNED, .contained = CONTENT, .attributes = "cd" }, NULL, 0, "verified" },
        { { SIGNED, .attributes = "cd", .signers = 16 }, NULL, 0, "all 16 signatures are good" },
        { { SIGNED, .attributes = "d" }, NULL, 1, "say 0 times of which type" },
        { { SIGNED, .attributes = "d" }, NULL, 1, "rule: RFC 5652 §11.1" },
        { { SIGNED, .attributes = "ccd" }, NULL, 1, "say 2 times of which type" },
        { { SIGNED, .attributes = "Cd" }, NULL, 1, "about another type of content" },
        { { SIGNED, .attributes = "Cd", .other_type = true }, NULL, 1, "about another type of content" },
        { { SIGNED, .attributes = "c" }, NULL, 1, "have 0 digests" },
        { { SIGNED, .attributes = "cdd" }, NULL, 1, "have 2 digests" },
        { { SIGNED, .attributes = "cdD" }, NULL, 1, "have 2 digests" },
        { { SIGNED, .attributes = "cD" }, NULL, 1, "it is about another content" },
        { { SIGNED, .attributes = "cD" }, NULL, 1, "rule: RFC 5652 §11.2" },
        { { SIGNED, .attributes = "ce" }, NULL, 1, "one has not one value" },
        { { SIGNED, .attributes = "cs" }, NULL, 1, "digests of the content, not one" },
        { { SIGNED, .attributes = "cdtt" }, NULL, 1, "more than one signing time" },
        { { SIGNED, .attributes = "cdb" }, NULL, 1, "are not DER" },
        { { SIGNED, .attributes = "" }, NULL, 1, "say 0 times" },
        { { SIGNED, .other_type = true }, NULL, 1, "there must be signed attributes" },
        { { SIGNED, .content = "another content", .attributes = "cd" }, NULL, 1, "it is about another content" },
        { { SIGNED, .content = "another content" }, NULL, 1, "is not one of this file by the key of CN=signer" },
        { { SIGNED, .contained = "another", .attributes = "cd" }, NULL, 1, "a content of its own inside" },
        { { SIGNED, .attributes = "cd", .signers = 17 }, NULL, 1, "more than 16 signers" },
    };

    check_rows(rows, ARRAY_LENGTH(rows));
}

/* A signature of one file must not become one of another file, which is its signed attributes. */
static void test_attributes_as_content(void **state) {
    const Lab *lab = *state;
    CmsSpec spec = { SIGNED, .content = CONTENT, .attributes = "cd" };
    Bytes attributes = make_cms_attributes(&spec);

    /* The content is text to the maker; a NUL would end it. */
    assert_null(memchr(attributes.data, 0, attributes.size));
    spec = (CmsSpec) { SIGNED, .content = (const char *) attributes.data };
    Bytes cms = make_cms(&spec);
    write_file(".", "cms", bytes_view(&cms));
    write_file(".", "attributes", bytes_view(&attributes));
    const Line line = { "attributes cms --anchors root.pem --at @1750000000", 1,
                        "the file is itself the signed attributes", NULL };
    lab_check(&line, 1);
    bytes_clear(&attributes);
    bytes_clear(&cms);
}

static void test_signers(void **state) {
    const Lab *lab = *state;
    const Row rows[] = {
        { { .signer = &lab->signer, .attributes = "cd" }, NULL, 1, "no issuer was found for CN=signer" },
        { { SIGNED, .attributes = "cd", .without_certificates = true },
          NULL,
          1,
          "certificate of its signer is not in" },
        { { .signer = &lab->signer, .inside = { &lab->intermediate }, .attributes = "cd" }, NULL, 1, "is not in it" },
        { { .signer = &lab->expired, .attributes = "cd" }, NULL, 1, "expired at" },
        { { .signer = &lab->expired, .attributes = "cdt" }, NULL, 1, "expired at" },
        { { .signer = &lab->expired, .attributes = "cd" }, "--at 2025-05-01", 0, "verified" },
        { { .signer = &lab->encrypts, .attributes = "cd" }, NULL, 1, "allows no signatures of files" },
        { { .signer = &lab->repudiates, .attributes = "cd" }, NULL, 0, "verified" },
        { { .signer = &lab->code, .attributes = "cd" }, "--usage 1.3.6.1.5.5.7.3.3", 0, "verified" },
        { { .signer = &lab->mail, .attributes = "cd" }, NULL, 0, "verified" },
        { { .signer = &lab->mail, .attributes = "cd" },
          "--usage 1.3.6.1.5.5.7.3.3",
          1,
          "is not for 1.3.6.1.5.5.7.3.3" },
        { { .signer = &lab->outside, .inside = { &lab->outside, &lab->constrained }, .attributes = "cd" },
          NULL,
          1,
          "RFC 5280 §6.1.3 (b)" },
        { { .signer = &lab->revoked, .attributes = "cd" }, NULL, 0, "revocation was not looked at" },
        { { .signer = &lab->revoked, .attributes = "cd" }, "--crls crl.pem", 1, "revoked" },
        { { .signer = &lab->code, .attributes = "cd" }, "--crls crl.pem --require-crl", 0, "verified" },
        { { SIGNED, .attributes = "cd" }, "--crls crl.pem --require-crl", 1, "CRL" },
        { { SIGNED, .attributes = "cd" }, "--max-depth 0", 1, "NOT verified" },
        /* Two of the same issuer and number: the one that made it counts, wherever it stands. */
        { { .signer = &lab->code, .inside = { &lab->namesake, &lab->code }, .attributes = "cd" }, NULL, 0, "CN=code" },
        { { .signer = &lab->code, .inside = { &lab->code, &lab->namesake }, .attributes = "cd" }, NULL, 0, "CN=code" },
        { { .signer = &lab->code, .inside = { &lab->namesake }, .attributes = "cd" },
          NULL,
          1,
          "by the key of CN=other" },
        { { .signer = &lab->late, .inside = { &lab->late, &lab->late_namesake }, .attributes = "cd" },
          NULL,
          1,
          "expired" },
    };

    check_rows(rows, ARRAY_LENGTH(rows));
    /* What to do is said too. */
    Bytes cms = make_cms(&(CmsSpec) { .signer = &lab->expired, .content = CONTENT, .attributes = "cd" });
    write_file(".", "cms", bytes_view(&cms));
    bytes_clear(&cms);
    const Line now = { "content cms --anchors root.pem", 1, "expired at", "with --at TIME" };
    lab_check(&now, 1);
}

static void test_wanted_signer(void **state) {
    const Lab *lab = *state;
    char right[128], plain[128], wrong[128];
    uint8_t fingerprint[32];

    assert_int_equal(certificate_fingerprint(lab->signer.certificate, fingerprint), 0);
    _cleanup_free_ char *hex = bytes_to_hex((BytesView) { fingerprint, sizeof fingerprint });
    snprintf(right, sizeof right, "--signer sha256:%s", hex);
    snprintf(plain, sizeof plain, "--signer %s", hex);
    hex[5] = hex[5] == '0' ? '1' : '0';
    snprintf(wrong, sizeof wrong, "--signer %s", hex);
    const Row rows[] = {
        { { SIGNED, .attributes = "cd" }, "--signer CN=signer,O=Example", 0, "verified" },
        { { SIGNED, .attributes = "cd" }, "--signer cn=SIGNER,\to=example", 0, "verified" },
        { { SIGNED, .attributes = "cd" }, right, 0, "verified" },
        { { SIGNED, .attributes = "cd" }, plain, 0, "verified" },
        { { SIGNED, .attributes = "cd" }, wrong, 1, "not by the signer that was asked for" },
        { { SIGNED, .attributes = "cd" }, "--signer CN=signer", 1, "not by the signer that was asked for" },
        { { SIGNED, .attributes = "cd" }, "--signer CN=intermediate", 1, "it is by CN=signer,O=Example (serial" },
        { { .signer = &lab->expired, .attributes = "cd" }, "--signer CN=expired", 1, "expired" },
        { { SIGNED, .attributes = "cd" }, "--signer signer", 2, NULL },
        { { SIGNED, .attributes = "cd" }, "--signer XX=signer", 2, NULL },
        { { SIGNED, .attributes = "cd" }, "--scheme rsa_pkcs1_sha256", 2, NULL },
        { { SIGNED, .attributes = "cd" }, "--name host.example", 2, NULL },
    };

    check_rows(rows, ARRAY_LENGTH(rows));
}

static void test_weak(void **state) {
    const Lab *lab = *state;
    const Row rows[] = {
        { { SIGNED, .attributes = "cd", .sha1 = true }, NULL, 1, "the content was hashed with SHA1" },
        { { SIGNED, .attributes = "cd", .sha1 = true }, NULL, 1, "rule: RFC 9325 §4.5" },
        { { SIGNED, .attributes = "cd", .other_hash = true }, NULL, 1, "rule: RFC 8933 §3" },
        { { SIGNED, .other_hash = true }, NULL, 0, "verified" },
    };

    check_rows(rows, ARRAY_LENGTH(rows));
}

/* ---- as OpenSSL writes them ---- */

static void test_openssl(void **state) {
    static const struct {
        const char *arguments;
        const Line line;
    } rows[] = {
        { "-outform DER -signer signer.pem -inkey signer.key", { WITH, 0, "signer: CN=signer,O=Example", NULL } },
        { "-outform PEM -signer signer.pem -inkey signer.key", { WITH, 0, "verified", NULL } },
        { "-outform DER -stream -signer signer.pem -inkey signer.key", { WITH, 0, "verified", NULL } },
        { "-outform DER -keyid -signer signer.pem -inkey signer.key", { WITH, 0, "verified", NULL } },
        { "-outform DER -noattr -signer signer.pem -inkey signer.key", { WITH, 0, "verified", NULL } },
        { "-outform DER -nodetach -signer signer.pem -inkey signer.key", { WITH, 0, "verified", NULL } },
        { "-outform DER -econtent_type 1.2.3.4 -signer signer.pem -inkey signer.key", { WITH, 0, "verified", NULL } },
        { "-outform DER -nocerts -signer signer.pem -inkey signer.key", { WITH, 1, "is not in it", NULL } },
        { "-outform DER -md sha384 -signer signer.pem -inkey signer.key", { WITH, 0, "verified", NULL } },
        { "-outform DER -md sha1 -signer signer.pem -inkey signer.key", { WITH, 1, "hashed with SHA1", NULL } },
        { "-outform DER -md sha512 -signer rsa.pem -inkey rsa.key", { WITH, 0, "verified", NULL } },
        { "-outform DER -md sha1 -signer rsa.pem -inkey rsa.key", { WITH, 1, "hashed with SHA1", NULL } },
        { "-outform DER -md md5 -signer rsa.pem -inkey rsa.key", { WITH, 1, "hashed with MD5", NULL } },
        { "-outform DER -signer weak-rsa.pem -inkey weak-rsa.key", { WITH, 1, "fewer than 2048 bits", NULL } },
#define PSS "-keyopt rsa_padding_mode:pss "
        { "-outform DER -md sha256 -signer rsa.pem -inkey rsa.key " PSS, { WITH, 0, "verified", NULL } },
        { "-outform DER -md sha384 -signer rsa.pem -inkey rsa.key " PSS, { WITH, 0, "verified", NULL } },
        { "-outform DER -md sha512 -signer rsa.pem -inkey rsa.key " PSS "-keyopt rsa_pss_saltlen:64",
          { WITH, 0, "verified", NULL } },
        { "-outform DER -md sha256 -signer rsa.pem -inkey rsa.key " PSS "-keyopt rsa_pss_saltlen:0",
          { WITH, 0, "verified", NULL } },
        { "-outform DER -md sha256 -signer rsa.pem -inkey rsa.key " PSS "-keyopt rsa_pss_saltlen:300",
          { WITH, 0, "verified", NULL } },
        { "-outform DER -md sha1 -signer rsa.pem -inkey rsa.key " PSS, { WITH, 1, "hashed with SHA1", NULL } },
        { "-outform DER -md sha256 -signer rsa.pem -inkey rsa.key " PSS "-keyopt rsa_mgf1_md:sha1",
          { WITH, 1, "parameters, are too weak", NULL } },
        { "-outform DER -md sha256 -signer rsa.pem -inkey rsa.key " PSS "-keyopt rsa_mgf1_md:sha512",
          { WITH, 1, "parameters, are too weak", NULL } },
        /* All signers have to be good; one of them has to be who was asked for. */
        { "-outform DER -signer signer.pem -inkey signer.key -signer rsa.pem -inkey rsa.key",
          { WITH " --signer CN=rsa", 0, "all 2 signatures are good", NULL } },
        { "-outform DER -signer signer.pem -inkey signer.key -signer expired.pem -inkey expired.key",
          { WITH, 1, "CN=expired", NULL } },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        free(run(NULL, "openssl cms -sign -binary -in content -certfile intermediate.pem %s -out cms",
                 rows[i].arguments));
        lab_check(&rows[i].line, 1);
    }
}

static void test_json(void **state) {
    const Lab *lab = *state;
    Bytes cms = make_cms(&(CmsSpec) { SIGNED, .content = CONTENT, .attributes = "cdt" });

    write_file(".", "cms", bytes_view(&cms));
    bytes_clear(&cms);
    json_t *object = lab_object(WITH), *signer = json_array_get(json_object_get(object, "signers"), 0);
    assert_string_equal(json_string_value(json_object_get(object, "kind")), "cms");
    assert_string_equal(json_string_value(json_object_get(signer, "subject")), "CN=signer,O=Example");
    assert_string_equal(json_string_value(json_object_get(signer, "serial_number")), lab->signer.certificate->serial);
    assert_string_equal(json_string_value(json_object_get(signer, "claimed_time")), "2025-01-01T00:00:00Z");
    assert_int_equal(json_array_size(json_object_get(signer, "chain")), 2);
    assert_string_equal(json_string_value(json_object_get(json_object_get(signer, "anchor"), "subject")), "CN=root");
    json_decref(object);
}

/* ---- what is no message ---- */

static void test_unreadable(void **state) {
    const Lab *lab = *state;
    static const Line lines[] = {
        { "content content --anchors root.pem", 2, NULL, "content is no CMS signature" },
        { "content nowhere --anchors root.pem", 1, NULL, "cannot open nowhere" },
        { "nowhere cms --anchors root.pem", 1, NULL, "cannot open nowhere" },
        { "content broken.pem --anchors root.pem", 1, "no CMS signature that can be read", NULL },
        { "content bag --anchors root.pem", 1, "it has no signer", NULL },
    };
    Bytes cms = make_cms(&(CmsSpec) { SIGNED, .content = CONTENT, .attributes = "cd" });

    write_file(".", "cms", bytes_view(&cms));
    write_file(".", "broken.pem", bytes_view_string("-----BEGIN CMS-----\nAAAA\n-----END CMS-----\n"));
    free(run(NULL, "openssl crl2pkcs7 -nocrl -certfile signer.pem -outform DER -out bag"));
    lab_check(lines, ARRAY_LENGTH(lines));
    /* Cut off anywhere. */
    for (size_t size = 0; size < cms.size; size++) {
        SignedData *signed_data = NULL;
        Failure failure = FAILURE_INIT;
        Bytes cut;
        assert_int_equal(bytes_copy((BytesView) { cms.data, size }, &cut), 0);
        assert_failure(signed_data_parse(bytes_view(&cut), &signed_data, &failure), EBADMSG, failure, "it ");
        bytes_clear(&cut);
    }
    bytes_clear(&cms);
}

/* Each byte changed: it is refused, or it is still this signer's signature of this content (the version, a set of
 * algorithms that says the same again, an issuer's certificate with other bytes that is not needed). */
static void test_changed(void **state) {
    const Lab *lab = *state;
    _cleanup_certificates_ CertificateList anchors = LIST(lab->intermediate.certificate);
    Bytes cms = make_cms(&(CmsSpec) { .signer = &lab->signer, .content = CONTENT, .attributes = "cd" });
    const SignedDataRequest request = { .content = bytes_view_string(CONTENT),
                                        .chain = { .anchors = &anchors, .now = NOW } };
    size_t refused = 0;

    for (size_t i = 0; i < cms.size; i++)
        for (unsigned bit = 0; bit < 8; bit += 7) {
            _cleanup_signed_data_ SignedData *signed_data = NULL;
            SignedDataVerdict verdict;
            cms.data[i] ^= (uint8_t) (1U << bit);
            if (signed_data_parse(bytes_view(&cms), &signed_data, NULL) < 0)
                refused++;
            else {
                if (signed_data_verify(signed_data, &request, &verdict) < 0)
                    refused++;
                else
                    assert_true(certificate_equal(verdict.signers[0].certificate, lab->signer.certificate));
                signed_data_verdict_clear(&verdict);
            }
            cms.data[i] ^= (uint8_t) (1U << bit);
        }
    /* Those that are not: version, digestAlgorithms, and a version of the signer. */
    assert_in_range(refused, 2 * cms.size - 60, 2 * cms.size - 1);
    bytes_clear(&cms);
}

static void write_identity(const char *name, const Entity *entity) {
    char path[64];

    snprintf(path, sizeof path, "%s.pem", name);
    LAB_WRITE(path, entity);
    snprintf(path, sizeof path, "%s.key", name);
    lab_write_key(path, entity);
}

static int setup(void **state) {
    Lab *lab = calloc(1, sizeof *lab);

    assert_non_null(lab);
    lab_enter();
    lab->root = ENTITY(.subject = "CN=root", .ca = true);
    lab->intermediate = ENTITY(.subject = "CN=intermediate", .issuer = &lab->root, .ca = true);
    lab->constrained =
        ENTITY(.subject = "CN=constrained", .issuer = &lab->root, .ca = true, .permitted_dns = "inside.example");
    lab->signer = ENTITY(.subject = "CN=signer,O=Example", .issuer = &lab->intermediate);
    lab->expired = ENTITY(.subject = "CN=expired", .issuer = &lab->root, .not_after = NOW - DAY);
    lab->encrypts = ENTITY(.subject = "CN=encrypts", .issuer = &lab->root, .usage = GNUTLS_KEY_KEY_AGREEMENT);
    lab->repudiates = ENTITY(.subject = "CN=repudiates", .issuer = &lab->root, .usage = GNUTLS_KEY_NON_REPUDIATION);
    lab->code = ENTITY(.subject = "CN=code", .issuer = &lab->root, .eku = GNUTLS_KP_CODE_SIGNING, .serial = 77);
    lab->namesake = ENTITY(.subject = "CN=other", .issuer = &lab->root, .serial = 77);
    lab->late = ENTITY(.subject = "CN=late", .issuer = &lab->root, .serial = 78, .not_after = NOW - DAY);
    lab->late_namesake = ENTITY(.subject = "CN=other", .issuer = &lab->root, .serial = 78);
    lab->mail = ENTITY(.subject = "CN=mail", .issuer = &lab->root, .eku = GNUTLS_KP_EMAIL_PROTECTION);
    lab->revoked = ENTITY(.subject = "CN=revoked", .issuer = &lab->root);
    lab->outside = ENTITY(.subject = "CN=outside", .issuer = &lab->constrained, .dns = "host.example");
    lab->rsa = ENTITY(.subject = "CN=rsa", .issuer = &lab->root, .pk = GNUTLS_PK_RSA, .bits = 3072);
    lab->weak_rsa = ENTITY(.subject = "CN=weak", .issuer = &lab->root, .pk = GNUTLS_PK_RSA, .bits = 1024);
    LAB_WRITE("root.pem", &lab->root);
    LAB_WRITE("intermediate.pem", &lab->intermediate);
    write_identity("signer", &lab->signer);
    write_identity("expired", &lab->expired);
    write_identity("rsa", &lab->rsa);
    write_identity("weak-rsa", &lab->weak_rsa);
    lab_write_crl("crl.pem", &lab->root, &lab->revoked);
    write_file(".", "content", bytes_view_string(CONTENT));
    *state = lab;
    return 0;
}

static int teardown(void **state) {
    Lab *lab = *state;
    Entity *all[] = { &lab->root,     &lab->intermediate, &lab->signer,  &lab->expired,
                      &lab->encrypts, &lab->repudiates,   &lab->code,    &lab->mail,
                      &lab->revoked,  &lab->constrained,  &lab->outside, &lab->rsa,
                      &lab->weak_rsa, &lab->namesake,     &lab->late,    &lab->late_namesake };

    for (size_t i = 0; i < ARRAY_LENGTH(all); i++)
        entity_clear(all[i]);
    free(lab);
    lab_leave();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attributes), cmocka_unit_test(test_attributes_as_content),
        cmocka_unit_test(test_signers),    cmocka_unit_test(test_wanted_signer),
        cmocka_unit_test(test_weak),       cmocka_unit_test(test_openssl),
        cmocka_unit_test(test_json),       cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_changed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
