/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The verifier against who sends it more than anybody needs: what it does is counted, not timed. tests/vectors has what
 * is good and what is not. */
#include "pki/verify.h"

#include "fixture.h"
#include "pki/asn1.h"
#include "pki/name-match.h"

#include <string.h>

#define SIGNATURES_MAX  200U
#define COMPARISONS_MAX (1U << 18)

/* ---- counted by the linker's --wrap ---- */

static unsigned signatures, comparisons;

int __real_gnutls_pubkey_verify_data2(gnutls_pubkey_t key, gnutls_sign_algorithm_t algorithm, unsigned flags,
                                      const gnutls_datum_t *data, const gnutls_datum_t *signature);
int __wrap_gnutls_pubkey_verify_data2(gnutls_pubkey_t key, gnutls_sign_algorithm_t algorithm, unsigned flags,
                                      const gnutls_datum_t *data, const gnutls_datum_t *signature);
NameMatch __real_dns_name_is_below(BytesView name, BytesView base, bool is_exclusion);
NameMatch __wrap_dns_name_is_below(BytesView name, BytesView base, bool is_exclusion);

int __wrap_gnutls_pubkey_verify_data2(gnutls_pubkey_t key, gnutls_sign_algorithm_t algorithm, unsigned flags,
                                      const gnutls_datum_t *data, const gnutls_datum_t *signature) {
    signatures++;
    return __real_gnutls_pubkey_verify_data2(key, algorithm, flags, data, signature);
}

NameMatch __wrap_dns_name_is_below(BytesView name, BytesView base, bool is_exclusion) {
    comparisons++;
    return __real_dns_name_is_below(name, base, is_exclusion);
}

static Verdict ask(const VerifyRequest *request) {
    Verdict verdict;

    signatures = comparisons = 0;
    int r = verify(request, NULL, NULL, &verdict);
    assert_int_equal(r, verdict.kind == VERDICT_GOOD      ? 0
                        : verdict.kind == VERDICT_REVOKED ? -EKEYREVOKED
                                                          : -EKEYREJECTED);
    assert_true(signatures <= SIGNATURES_MAX);
    assert_true(comparisons <= COMPARISONS_MAX);
    return verdict;
}

static void expect(const Verdict *verdict, VerdictKind kind, const char *text) {
    if (verdict->kind != kind || !strstr(verdict->failure.text, text))
        fail_msg("expected %s, '%s': %s, '%s' (%s)", verdict_kind_name(kind), text, verdict_kind_name(verdict->kind),
                 verdict->failure.text, verdict->rule);
    assert_true(kind == VERDICT_GOOD || verdict->rule[0]);
}

static void add_copies(CertificateList *list, const Certificate *certificate, size_t count) {
    for (size_t i = 0; i < count; i++)
        assert_int_equal(certificate_list_add_ref(list, certificate), 0);
}

/* A CRL of `issuer` with one entry. */
static Crl *make_list_of_one(const Entity *issuer, const Entity *revoked) {
    _cleanup_datum_ gnutls_datum_t der = { 0 };
    Failure failure = FAILURE_INIT;
    gnutls_x509_crl_t handle;
    Crl *crl = NULL;

    assert_int_equal(gnutls_x509_crl_init(&handle), 0);
    assert_int_equal(gnutls_x509_crl_set_version(handle, 2), 0);
    assert_int_equal(gnutls_x509_crl_set_this_update(handle, (time_t) (NOW - DAY)), 0);
    assert_int_equal(gnutls_x509_crl_set_next_update(handle, (time_t) (NOW + DAY)), 0);
    assert_int_equal(gnutls_x509_crl_set_number(handle, "\x07", 1), 0);
    assert_int_equal(gnutls_x509_crl_set_crt(handle, revoked->crt, (time_t) (NOW - DAY)), 0);
    assert_int_equal(gnutls_x509_crl_sign2(handle, issuer->crt, issuer->key, GNUTLS_DIG_SHA256, 0), 0);
    assert_int_equal(gnutls_x509_crl_export2(handle, GNUTLS_X509_FMT_DER, &der), 0);
    gnutls_x509_crl_deinit(handle);
    assert_ok(crl_parse_any(view_from_datum(&der), &crl, &failure), failure);
    return crl;
}

/* Who is revoked may send as many CAs of the right name and the wrong key as he likes: with each of them a signature is
 * looked at, and when there is no work left for the CRL's, he must not be let in. */
static void test_crowd_hides_no_revocation(void **state) {
    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=root", .ca = true);
    _cleanup_entity_ Entity issuer = ENTITY(.subject = "CN=int", .issuer = &root, .ca = true, .no_key_ids = true);
    _cleanup_entity_ Entity fake = ENTITY(.subject = "CN=int", .issuer = &root, .ca = true, .no_key_ids = true);
    _cleanup_entity_ Entity leaf = ENTITY(.subject = "CN=leaf", .issuer = &issuer, .no_key_ids = true);
    _cleanup_certificates_ CertificateList anchors = LIST(root.certificate);
    unsigned revoked = 0, given_up = 0;

    for (size_t crowd = 190; crowd <= 201; crowd++) {
        _cleanup_certificates_ CertificateList candidates = { 0 };
        Crl *crl = make_list_of_one(&issuer, &leaf);
        const CrlList crls = { &crl, 1 };
        add_copies(&candidates, fake.certificate, crowd);
        add_copies(&candidates, issuer.certificate, 1);
        Verdict verdict = ask(&(VerifyRequest) {
            .leaf = leaf.certificate, .candidates = &candidates, .anchors = &anchors, .now = NOW, .crls = &crls });
        if (verdict.kind != VERDICT_REVOKED && verdict.kind != VERDICT_WORK)
            fail_msg("a crowd of %zu: %s", crowd, verdict_kind_name(verdict.kind));
        *(verdict.kind == VERDICT_REVOKED ? &revoked : &given_up) += 1;
        crl_free(crl);
    }
    assert_true(revoked > 0 && given_up > 0);
}

/* A CRL whose signer is known costs nothing, however often it is asked. */
static void test_known_list_costs_nothing(void **state) {
    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=root", .ca = true);
    _cleanup_entity_ Entity leaf = ENTITY(.subject = "CN=leaf", .issuer = &root);
    _cleanup_entity_ Entity other = ENTITY(.subject = "CN=other", .issuer = &root);
    _cleanup_certificates_ CertificateList anchors = LIST(root.certificate);
    Crl *crl = make_list_of_one(&root, &other);
    const CrlList crls = { &crl, 1 };
    const VerifyRequest request = { .leaf = leaf.certificate, .anchors = &anchors, .now = NOW, .crls = &crls };

    Verdict verdict = ask(&request);
    expect(&verdict, VERDICT_GOOD, "");
    assert_int_equal(signatures, 2);
    for (unsigned i = 0; i < 300; i++) {
        verdict = ask(&request);
        expect(&verdict, VERDICT_GOOD, "");
        assert_int_equal(signatures, 1);
    }
    crl_free(crl);
}

/* ---- many certificates ---- */

static void test_chain_of_a_thousand(void **state) {
    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=root", .ca = true);
    _cleanup_certificates_ CertificateList candidates = { 0 }, anchors = LIST(root.certificate);
    Entity issuer = ENTITY(.subject = "CN=0", .issuer = &root, .ca = true);

    for (unsigned i = 1; i <= 1000; i++) {
        char subject[16];
        (void) snprintf(subject, sizeof subject, "CN=%u", i);
        Entity next = ENTITY(.subject = subject, .issuer = &issuer, .key = root.key, .ca = true);
        add_copies(&candidates, issuer.certificate, 1);
        entity_clear(&issuer);
        issuer = next;
    }
    Verdict verdict = ask(
        &(VerifyRequest) { .leaf = issuer.certificate, .candidates = &candidates, .anchors = &anchors, .now = NOW });
    expect(&verdict, VERDICT_WORK, "no anchor was reached within 10 certificates");
    assert_int_equal(signatures, 9);
    entity_clear(&issuer);
}

/* Six CAs, each certified by each other: more ways than anybody could go. */
static void test_everybody_certifies_everybody(void **state) {
    enum { CAS = 6 };
    static const char *const names[CAS] = { "CN=a", "CN=b", "CN=c", "CN=d", "CN=e", "CN=f" };
    _cleanup_entity_ Entity stranger = ENTITY(.subject = "CN=stranger", .ca = true);
    _cleanup_certificates_ CertificateList candidates = { 0 }, anchors = LIST(stranger.certificate);
    Entity cas[CAS];

    for (size_t i = 0; i < CAS; i++)
        cas[i] = ENTITY(.subject = names[i], .ca = true);
    for (size_t i = 0; i < CAS; i++)
        for (size_t k = 0; k < CAS; k++) {
            _cleanup_entity_ Entity cross =
                ENTITY(.subject = names[i], .issuer = &cas[k], .key = cas[i].key, .ca = true);
            add_copies(&candidates, cross.certificate, 1);
        }
    _cleanup_entity_ Entity leaf = ENTITY(.subject = "CN=leaf", .issuer = &cas[0]);
    const VerifyRequest request = {
        .leaf = leaf.certificate, .candidates = &candidates, .anchors = &anchors, .now = NOW
    };
    Verdict verdict = ask(&request);
    expect(&verdict, VERDICT_WORK, "too many ways");
    assert_int_equal(signatures, SIGNATURES_MAX);

    /* A circle of two ends by itself. */
    _cleanup_certificates_ CertificateList two = LIST(candidates.list[1], candidates.list[CAS]);
    verdict = ask(&(VerifyRequest) { .leaf = leaf.certificate, .candidates = &two, .anchors = &anchors, .now = NOW });
    expect(&verdict, VERDICT_NO_PATH, "no issuer was found");
    assert_true(signatures <= 4);
    for (size_t i = 0; i < CAS; i++)
        entity_clear(&cas[i]);
}

/* Chains that are complete and bad are many as well: each is judged, which costs more than its signatures. */
static void test_many_complete_chains(void **state) {
    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=root", .ca = true);
    _cleanup_entity_ Entity issuer = ENTITY(.subject = "CN=int", .issuer = &root, .ca = true, .not_after = NOW - DAY);
    _cleanup_entity_ Entity leaf = ENTITY(.subject = "CN=leaf", .issuer = &issuer);
    _cleanup_certificates_ CertificateList candidates = { 0 }, anchors = LIST(root.certificate);
    const VerifyRequest request = {
        .leaf = leaf.certificate, .candidates = &candidates, .anchors = &anchors, .now = NOW
    };

    add_copies(&candidates, issuer.certificate, 500);
    Verdict verdict = ask(&request);
    expect(&verdict, VERDICT_TIME, "expired"); /* it came nearer than having too many ways */
    assert_true(verdict.at_fault && strcmp(verdict.at_fault->subject, "CN=int") == 0);
    assert_true(signatures <= SIGNATURES_MAX);
}

/* ---- many names ---- */

/* `count` times `item` in a SEQUENCE, or in a list of name constraints that excludes. */
static Bytes repeat(BytesView item, size_t count, bool as_constraints) {
    const size_t size = item.size * count;
    Bytes bytes = { calloc(1, size + 8), 0 };
    uint8_t *out = bytes.data;

    assert_true(bytes.data && size > 255 && size < 65500);
    if (as_constraints) {
        const uint8_t outer[] = { 0x30, 0x82, (uint8_t) ((size + 4) >> 8), (uint8_t) (size + 4) };
        memcpy(out, outer, 4);
        out += 4;
    }
    const uint8_t header[] = { as_constraints ? 0xa1 : 0x30, 0x82, (uint8_t) (size >> 8), (uint8_t) size };
    memcpy(out, header, 4);
    out += 4;
    for (size_t i = 0; i < count; i++, out += item.size)
        memcpy(out, item.data, item.size);
    bytes.size = (size_t) (out - bytes.data);
    return bytes;
}

#define ITEM(text) ((BytesView) { (const uint8_t *) (text), sizeof(text) - 1 })

/* As many as the size of certificates allows: 10,000 names, and 10,000 constraints in two CAs; and the same again in
 * ever new ways. */
static void test_ten_thousand_names_and_constraints(void **state) {
    _cleanup_bytes_ Bytes names = repeat(ITEM("\x82\x01y"), 10000, false),
                          constraints = repeat(ITEM("\x30\x03\x82\x01x"), 5000, true);
    const Extension excluded = { GNUTLS_X509EXT_OID_NAME_CONSTRAINTS, constraints.data, constraints.size, true };
    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=root", .ca = true);
    _cleanup_entity_ Entity upper =
        ENTITY(.subject = "CN=upper", .issuer = &root, .ca = true, .extensions = { excluded });
    _cleanup_entity_ Entity lower =
        ENTITY(.subject = "CN=lower", .issuer = &upper, .ca = true, .extensions = { excluded });
    _cleanup_entity_ Entity leaf = ENTITY(.subject = "CN=leaf", .issuer = &lower,
                                          .extensions = { { GNUTLS_X509EXT_OID_SAN, names.data, names.size, false } });
    _cleanup_certificates_ CertificateList candidates = { 0 }, anchors = LIST(root.certificate);

    add_copies(&candidates, lower.certificate, 5);
    add_copies(&candidates, upper.certificate, 5);
    Verdict verdict =
        ask(&(VerifyRequest) { .leaf = leaf.certificate, .candidates = &candidates, .anchors = &anchors, .now = NOW });
    expect(&verdict, VERDICT_WORK, "too many names and constraints to compare");
    assert_true(comparisons > COMPARISONS_MAX / 2);

    /* A thousand by 150 is what somebody may need. */
    _cleanup_bytes_ Bytes some_names = repeat(ITEM("\x82\x01y"), 1000, false),
                          some_constraints = repeat(ITEM("\x30\x03\x82\x01x"), 150, true);
    _cleanup_entity_ Entity issuer = ENTITY(.subject = "CN=some", .issuer = &root, .ca = true,
                                            .extensions = { { GNUTLS_X509EXT_OID_NAME_CONSTRAINTS,
                                                              some_constraints.data, some_constraints.size, true } });
    _cleanup_entity_ Entity good =
        ENTITY(.subject = "CN=good", .issuer = &issuer,
               .extensions = { { GNUTLS_X509EXT_OID_SAN, some_names.data, some_names.size, false } });
    add_copies(&candidates, issuer.certificate, 1);
    verdict =
        ask(&(VerifyRequest) { .leaf = good.certificate, .candidates = &candidates, .anchors = &anchors, .now = NOW });
    expect(&verdict, VERDICT_GOOD, "");
    assert_int_equal(comparisons, 150000);
}

/* ---- what comes with a verdict ---- */

static void test_results(void **state) {
    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=root", .ca = true);
    _cleanup_entity_ Entity issuer = ENTITY(.subject = "CN=int", .issuer = &root, .ca = true);
    _cleanup_entity_ Entity leaf = ENTITY(.subject = "CN=leaf", .issuer = &issuer);
    _cleanup_certificates_ CertificateList candidates = LIST(root.certificate, issuer.certificate),
                                           anchors = LIST(root.certificate), chain = { 0 };
    const Certificate *anchor = NULL;
    VerifyRequest request = { .leaf = leaf.certificate, .candidates = &candidates, .anchors = &anchors, .now = NOW };
    Verdict verdict;

    assert_int_equal(verify(&request, &chain, &anchor, &verdict), 0);
    assert_string_equal(verdict.rule, "");
    assert_ptr_equal(anchor, anchors.list[0]);
    assert_int_equal(chain.count, 2);
    assert_true(certificate_equal(chain.list[0], leaf.certificate));
    assert_true(certificate_equal(chain.list[1], issuer.certificate));

    /* Nothing is given where nothing is good. */
    _cleanup_certificates_ CertificateList none = { 0 };
    anchor = NULL;
    request.now = NOW + 1000 * DAY;
    assert_int_equal(verify(&request, &none, &anchor, &verdict), -EKEYREJECTED);
    assert_null(anchor);
    assert_int_equal(none.count, 0);
    assert_int_equal(verdict.kind, VERDICT_TIME);
    assert_string_equal(verdict.rule, "RFC 5280 §6.1.3 (a) (2)");
    assert_int_equal(verdict.failure.kind, FAILURE_CERTIFICATE_REJECTED);
    assert_ptr_equal(verdict.at_fault, leaf.certificate);

    /* When it was revoked. */
    Crl *crl = make_list_of_one(&issuer, &leaf);
    const CrlList crls = { &crl, 1 };
    request.now = NOW;
    request.crls = &crls;
    assert_int_equal(verify(&request, NULL, NULL, &verdict), -EKEYREVOKED);
    assert_int_equal(verdict.revoked_at, NOW - DAY);
    crl_free(crl);
}

/* Of several reasons the one is told that came nearest to a good chain. */
static void test_nearest_reason(void **state) {
    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=root", .ca = true);
    _cleanup_entity_ Entity other = ENTITY(.subject = "CN=other", .ca = true);
    _cleanup_entity_ Entity issuer = ENTITY(.subject = "CN=int", .issuer = &root, .ca = true);
    _cleanup_entity_ Entity expired =
        ENTITY(.subject = "CN=int", .issuer = &root, .key = issuer.key, .ca = true, .not_after = NOW - DAY);
    _cleanup_entity_ Entity no_ca = ENTITY(.subject = "CN=int", .issuer = &root, .key = issuer.key);
    _cleanup_entity_ Entity elsewhere = ENTITY(.subject = "CN=int", .issuer = &other, .key = issuer.key, .ca = true);
    _cleanup_entity_ Entity leaf = ENTITY(.subject = "CN=leaf", .issuer = &issuer, .dns = "a.example");
    const Certificate *const candidates[] = { elsewhere.certificate, no_ca.certificate, expired.certificate,
                                              issuer.certificate };
    static const VerdictKind kinds[] = { VERDICT_NO_PATH, VERDICT_NOT_CA, VERDICT_TIME, VERDICT_NAME };
    _cleanup_certificates_ CertificateList anchors = LIST(root.certificate);

    for (size_t count = 1; count <= ARRAY_LENGTH(candidates); count++)
        for (unsigned turned = 0; turned < 2; turned++) {
            _cleanup_certificates_ CertificateList list = { 0 };
            for (size_t i = 0; i < count; i++)
                add_copies(&list, candidates[turned ? count - 1 - i : i], 1);
            Verdict verdict = ask(&(VerifyRequest) {
                .leaf = leaf.certificate, .candidates = &list, .anchors = &anchors, .now = NOW, .host = "b.example" });
            expect(&verdict, kinds[count - 1], "");
        }
}

static void test_names_of_kinds(void **state) {
    for (unsigned i = 0; i < _VERDICT_COUNT; i++) {
        const char *name = verdict_kind_name((VerdictKind) i);
        assert_true(name && name[0]);
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(name, verdict_kind_name((VerdictKind) k));
    }
}

/* It is refused for its size, before anybody reads it. */
static void test_certificate_of_64_kib(void **state) {
    Bytes der = { calloc(1, 65536), 65536 };
    Failure failure = FAILURE_INIT;
    Certificate *certificate = NULL;

    memcpy(der.data, "\x30\x82\xff\xfc", 4);
    assert_failure(certificate_from_der(bytes_view(&der), &certificate, &failure), EBADMSG, failure,
                   "has 65536 bytes, more than 32768");
    assert_null(certificate);
    bytes_clear(&der);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crowd_hides_no_revocation),
        cmocka_unit_test(test_known_list_costs_nothing),
        cmocka_unit_test(test_chain_of_a_thousand),
        cmocka_unit_test(test_everybody_certifies_everybody),
        cmocka_unit_test(test_many_complete_chains),
        cmocka_unit_test(test_ten_thousand_names_and_constraints),
        cmocka_unit_test(test_results),
        cmocka_unit_test(test_nearest_reason),
        cmocka_unit_test(test_names_of_kinds),
        cmocka_unit_test(test_certificate_of_64_kib),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
