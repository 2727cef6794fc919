/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What verifying a peer costs: a chain of three with the CRLs of both CAs at hand, by the verifier and by GnuTLS's
 * trust list, by turns in one run, what the peer sends being decoded each time on both sides. And a CRL of 300,000
 * entries: the time and the memory that it takes, and the time to look into it. */
#include "pki/verify.h"
#include "bench/measure.h"
#include "pki/asn1.h"

#include <gnutls/abstract.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DAY       86400
#define ENTRIES   300000U
#define RATIO_MAX 1.2 /* of the verifier to GnuTLS: more is a failure of this program */

#define check(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            (void) fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                             \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

typedef struct Party {
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t crt;
    gnutls_datum_t der, crl;
} Party;

static Party make_party(const char *subject, const Party *issuer, bool is_ca) {
    static uint8_t serial = 1;
    time_t now = time(NULL);
    Party party = { 0 };
    uint8_t id[20];
    size_t size = sizeof id;

    check(gnutls_x509_privkey_init(&party.key) == 0 && gnutls_x509_crt_init(&party.crt) == 0);
    check(gnutls_x509_privkey_generate(party.key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1),
                                       0) == 0);
    check(gnutls_x509_crt_set_version(party.crt, 3) == 0 && gnutls_x509_crt_set_serial(party.crt, &serial, 1) == 0 &&
          gnutls_x509_crt_set_dn(party.crt, subject, NULL) == 0 && gnutls_x509_crt_set_key(party.crt, party.key) == 0 &&
          gnutls_x509_crt_set_activation_time(party.crt, now - DAY) == 0 &&
          gnutls_x509_crt_set_expiration_time(party.crt, now + 30 * DAY) == 0 &&
          gnutls_x509_crt_set_basic_constraints(party.crt, is_ca, -1) == 0 &&
          gnutls_x509_crt_set_key_usage(party.crt, is_ca ? GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN
                                                         : GNUTLS_KEY_DIGITAL_SIGNATURE) == 0);
    check(gnutls_x509_crt_get_key_id(party.crt, 0, id, &size) == 0 &&
          gnutls_x509_crt_set_subject_key_id(party.crt, id, size) == 0);
    if (issuer) {
        size = sizeof id;
        check(gnutls_x509_crt_get_subject_key_id(issuer->crt, id, &size, NULL) == 0 &&
              gnutls_x509_crt_set_authority_key_id(party.crt, id, size) == 0);
    }
    if (!is_ca)
        check(gnutls_x509_crt_set_subject_alt_name(party.crt, GNUTLS_SAN_DNSNAME, "device.example", 14, 0) == 0 &&
              gnutls_x509_crt_set_key_purpose_oid(party.crt, GNUTLS_KP_TLS_WWW_SERVER, 0) == 0);
    check(gnutls_x509_crt_sign2(party.crt, issuer ? issuer->crt : party.crt, issuer ? issuer->key : party.key,
                                GNUTLS_DIG_SHA256, 0) == 0);
    check(gnutls_x509_crt_export2(party.crt, GNUTLS_X509_FMT_DER, &party.der) == 0);
    serial++;
    return party;
}

static void make_crl(Party *party) {
    time_t now = time(NULL);
    gnutls_x509_crl_t crl;

    check(gnutls_x509_crl_init(&crl) == 0 && gnutls_x509_crl_set_version(crl, 2) == 0 &&
          gnutls_x509_crl_set_this_update(crl, now - 60) == 0 && gnutls_x509_crl_set_next_update(crl, now + DAY) == 0 &&
          gnutls_x509_crl_set_number(crl, "\x07", 1) == 0);
    for (uint8_t i = 0; i < 20; i++) {
        const uint8_t serial[] = { 0x40, 0x41, i, 0x01 };
        check(gnutls_x509_crl_set_crt_serial(crl, serial, sizeof serial, now - DAY) == 0);
    }
    check(gnutls_x509_crl_sign2(crl, party->crt, party->key, GNUTLS_DIG_SHA256, 0) == 0);
    check(gnutls_x509_crl_export2(crl, GNUTLS_X509_FMT_DER, &party->crl) == 0);
    gnutls_x509_crl_deinit(crl);
}

/* ---- the two ---- */

typedef struct Bench {
    const Party *leaf, *issuer;
    gnutls_x509_trust_list_t trust;
    CertificateList anchors;
    CrlList crls;
    double decoding; /* microseconds that the verifier's side took for it */
} Bench;

static void by_gnutls(Bench *bench) {
    gnutls_typed_vdata_st wanted[] = {
        { .type = GNUTLS_DT_DNS_HOSTNAME, .data = (unsigned char *) (char[]) { "device.example" }, .size = 14 },
        { .type = GNUTLS_DT_KEY_PURPOSE_OID, .data = (unsigned char *) (char[]) { GNUTLS_KP_TLS_WWW_SERVER } },
    };
    const Party *const parties[] = { bench->leaf, bench->issuer };
    gnutls_x509_crt_t chain[2];
    unsigned status = ~0U;

    for (size_t i = 0; i < 2; i++)
        check(gnutls_x509_crt_init(&chain[i]) == 0 &&
              gnutls_x509_crt_import(chain[i], &parties[i]->der, GNUTLS_X509_FMT_DER) == 0);
    check(gnutls_x509_trust_list_verify_crt2(bench->trust, chain, 2, wanted, ARRAY_LENGTH(wanted), 0, &status, NULL) ==
              0 &&
          status == 0);
    for (size_t i = 0; i < 2; i++)
        gnutls_x509_crt_deinit(chain[i]);
}

static void by_verifier(Bench *bench) {
    static const char *const purposes[] = { GNUTLS_KP_TLS_WWW_SERVER, NULL };
    Certificate *chain[2];
    double before = measure_now();
    Verdict verdict;

    check(certificate_from_der(view_from_datum(&bench->leaf->der), &chain[0], NULL) == 0 &&
          certificate_from_der(view_from_datum(&bench->issuer->der), &chain[1], NULL) == 0);
    bench->decoding += measure_now() - before;
    const CertificateList candidates = { chain, 2 };
    check(verify(&(VerifyRequest) { .leaf = chain[0],
                                    .candidates = &candidates,
                                    .anchors = &bench->anchors,
                                    .now = (int64_t) time(NULL),
                                    .purposes = purposes,
                                    .leaf_purposes = true,
                                    .host = "device.example",
                                    .crls = &bench->crls },
                 NULL, NULL, &verdict) == 0);
    for (size_t i = 0; i < 2; i++)
        certificate_free(chain[i]);
}

static int compare_doubles(const void *a, const void *b) {
    const double *one = a, *other = b;

    return (*one > *other) - (*one < *other);
}

static double median(double *values, size_t count) {
    qsort(values, count, sizeof values[0], compare_doubles);
    return values[count / 2];
}

/* By turns, so that what else the machine does is no side's. */
static double compare(Bench *bench, size_t rounds) {
    double *ours = calloc(rounds, sizeof *ours), *theirs = calloc(rounds, sizeof *theirs),
           *ratios = calloc(rounds, sizeof *ratios);

    check(ours && theirs && ratios);
    by_gnutls(bench);
    by_verifier(bench);
    bench->decoding = 0;
    for (size_t i = 0; i < rounds; i++) {
        double begun = measure_now();
        by_gnutls(bench);
        double between = measure_now();
        by_verifier(bench);
        ours[i] = measure_now() - between;
        theirs[i] = between - begun;
        ratios[i] = ours[i] / theirs[i];
    }
    double our_median = median(ours, rounds), their_median = median(theirs, rounds);
    (void) printf("chain of three with CRLs: verifier %.1f us (%.1f us of it on average decode), GnuTLS %.1f us, "
                  "ratio of medians %.2f, median of ratios %.2f\n",
                  our_median, bench->decoding / (double) rounds, their_median, our_median / their_median,
                  median(ratios, rounds));
    free(ours);
    free(theirs);
    free(ratios);
    return our_median / their_median;
}

/* ---- a large CRL ---- */

static size_t put_header(uint8_t *out, uint8_t tag, size_t size) {
    const uint8_t header[] = {
        tag, 0x84, (uint8_t) (size >> 24), (uint8_t) (size >> 16), (uint8_t) (size >> 8), (uint8_t) size
    };
    const uint8_t shorter[] = { tag, 0x83, (uint8_t) (size >> 16), (uint8_t) (size >> 8), (uint8_t) size };
    bool is_long = size >> 24;

    memcpy(out, is_long ? header : shorter, is_long ? sizeof header : sizeof shorter);
    return is_long ? sizeof header : sizeof shorter;
}

/* Eight-byte serial numbers, of which none is the leaf's. */
static Bytes make_large(const Party *issuer, BytesView small) {
    static const uint8_t algorithm[] = { 0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02 };
    const size_t entry = 2 + 10 + 15, all = entry * ENTRIES;
    uint8_t *tbs = malloc(all + 4096), *out = tbs + 16;
    _cleanup_datum_ gnutls_datum_t signature = { 0 };
    BytesView content, rest;
    DerItem item;
    gnutls_privkey_t key;
    Bytes crl = { malloc(all + 8192), 0 };

    check(tbs && crl.data && der_open_sequence(small, &content) == 0 && der_next(&content, &item) == 1);
    rest = item.content;
    for (unsigned field = 0; field < 7; field++) { /* version, algorithm, issuer, two times, entries, extensions */
        check(der_next(&rest, &item) == 1);
        if (field != 5) {
            memcpy(out, item.whole.data, item.whole.size);
            out += item.whole.size;
            continue;
        }
        out += put_header(out, 0x30, all);
        for (unsigned i = 0; i < ENTRIES; i++, out += entry) {
            const uint8_t head[] = {
                0x30,        25,  0x02, 8, 0x51, (uint8_t) (i * 7), 0x32, 0x11, (uint8_t) (i >> 16), (uint8_t) (i >> 8),
                (uint8_t) i, 0x55
            };
            memcpy(out, head, sizeof head);
            memcpy(out + sizeof head,
                   "\x17\x0d"
                   "250101000000Z",
                   15);
        }
    }
    const size_t size = (size_t) (out - tbs - 16);
    uint8_t header[8];
    size_t header_size = put_header(header, 0x30, size);
    memcpy(tbs + 16 - header_size, header, header_size);
    const gnutls_datum_t data = { tbs + 16 - header_size, (unsigned) (size + header_size) };
    check(gnutls_privkey_init(&key) == 0 && gnutls_privkey_import_x509(key, issuer->key, 0) == 0 &&
          gnutls_privkey_sign_data2(key, GNUTLS_SIGN_ECDSA_SHA256, 0, &data, &signature) == 0);
    gnutls_privkey_deinit(key);
    const uint8_t bits[] = { 0x03, (uint8_t) (signature.size + 1), 0 };
    out = crl.data + put_header(crl.data, 0x30, data.size + sizeof algorithm + sizeof bits + signature.size);
    const BytesView parts[] = {
        view_from_datum(&data), { algorithm, sizeof algorithm }, { bits, sizeof bits }, view_from_datum(&signature)
    };
    for (size_t i = 0; i < ARRAY_LENGTH(parts); i++) {
        memcpy(out, parts[i].data, parts[i].size);
        out += parts[i].size;
    }
    crl.size = (size_t) (out - crl.data);
    free(tbs);
    return crl;
}

static void measure_large(Bench *bench, const Party *issuer) {
    _cleanup_bytes_ Bytes der = make_large(issuer, view_from_datum(&issuer->crl));
    Failure failure = FAILURE_INIT;
    Crl *crl = NULL;

    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    double begun = measure_now();
    if (crl_parse_any(bytes_view(&der), &crl, &failure) < 0)
        (void) fprintf(stderr, "%s\n", failure.text);
    double parsed = measure_now();
    check(crl);
    size_t after = mallinfo2().uordblks + mallinfo2().hblkhd;
    Crl *const list[] = { bench->crls.list[0], crl };
    Bench large = *bench;
    large.crls = (CrlList) { list, 2 };
    by_verifier(&large); /* its signature */
    double known = measure_now();
    for (unsigned i = 0; i < 20; i++)
        by_verifier(&large);
    double looked = measure_now();
    for (unsigned i = 0; i < 20; i++)
        by_verifier(bench);
    double small = measure_now() - looked;
    (void) printf("CRL of %u entries, %zu bytes: %.1f ms to read, %zu bytes of memory, %.1f ms for the first chain "
                  "(its signature), %.2f ms more than a small one for each that follows\n",
                  ENTRIES, der.size, (parsed - begun) / 1e3, after - before, (known - parsed) / 1e3,
                  (looked - known - small) / 20e3);
    (void) crl_free(crl);
}

int main(int argc, char **argv) {
    size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 2000;
    Party root = make_party("CN=root,O=Example", NULL, true), issuer = make_party("CN=issuer,O=Example", &root, true),
          leaf = make_party("CN=device,O=Example", &issuer, false);
    Bench bench = { .leaf = &leaf, .issuer = &issuer };
    Certificate *anchor = NULL;
    Crl *crls[2] = { NULL, NULL };

    check(rounds > 0);
    make_crl(&root);
    make_crl(&issuer);
    check(certificate_from_der(view_from_datum(&root.der), &anchor, NULL) == 0);
    bench.anchors = (CertificateList) { &anchor, 1 };
    check(crl_parse_any(view_from_datum(&root.crl), &crls[0], NULL) == 0 &&
          crl_parse_any(view_from_datum(&issuer.crl), &crls[1], NULL) == 0);
    bench.crls = (CrlList) { crls, 2 };
    gnutls_x509_crt_t read_again; /* what was made and not read has no names for GnuTLS to find it by */
    check(gnutls_x509_crt_init(&read_again) == 0 &&
          gnutls_x509_crt_import(read_again, &root.der, GNUTLS_X509_FMT_DER) == 0 &&
          gnutls_x509_trust_list_init(&bench.trust, 0) == 0 &&
          gnutls_x509_trust_list_add_cas(bench.trust, &read_again, 1, 0) == 1);
    for (size_t i = 0; i < 2; i++) {
        gnutls_x509_crl_t crl;
        check(gnutls_x509_crl_init(&crl) == 0 &&
              gnutls_x509_crl_import(crl, i == 0 ? &root.crl : &issuer.crl, GNUTLS_X509_FMT_DER) == 0 &&
              gnutls_x509_trust_list_add_crls(bench.trust, &crl, 1, 0, 0) == 1);
    }
    double ratio = compare(&bench, rounds);
    measure_large(&bench, &issuer);
    return ratio <= RATIO_MAX ? 0 : 1;
}
