/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is found in a CRL, and which CRL is about which certificate, with lists put together by hand: nobody looks at a
 * signature here. The same by whole chains is in tests/vectors/table_revocation.py. */
#include "pki/crl.h"

#include "fixture.h"
#include "tests/unit/enroller/der.h"

#include <string.h>

#define ALGORITHM DER_SEQUENCE(made_oid("1.2.840.10045.4.3.2"))
#define DATE      der_text(0x17, "250601000000Z")
#define NOTHING   ((BytesView) { (const uint8_t *) "", 0 })
#define VIEW(...) ((BytesView) { (const uint8_t[]) { __VA_ARGS__ }, sizeof((const uint8_t[]) { __VA_ARGS__ }) })

static BytesView name_of(const char *common_name) {
    return DER_SEQUENCE(DER_SET(DER_SEQUENCE(made_oid("2.5.4.3"), der_text(0x0c, common_name))));
}

static BytesView extension(const char *oid, BytesView value) {
    return DER_SEQUENCE(made_oid(oid), der_bytes(0x04, value));
}

/* `extensions`: one after another. */
static BytesView entry(BytesView serial, BytesView extensions) {
    return DER_SEQUENCE(der_bytes(0x02, serial), DATE, extensions.size > 0 ? der_bytes(0x30, extensions) : NOTHING);
}

static BytesView with_reason(unsigned reason) {
    return extension("2.5.29.21", VIEW(0x0a, 0x01, (uint8_t) reason));
}

/* Of CN=CA, or whoever; `entries` and `extensions` one after another; or a failure with its text. */
static int parse_list(const char *issuer, BytesView entries, BytesView extensions, Crl **ret, Failure *ret_failure) {
    BytesView number = extension("2.5.29.20", der_integer(7));
    BytesView tbs = DER_SEQUENCE(der_integer(1), ALGORITHM, name_of(issuer), DATE, der_text(0x17, "250701000000Z"),
                                 entries.size > 0 ? der_bytes(0x30, entries) : NOTHING,
                                 der_of(0xa0, DER_SEQUENCE(number, extensions), DER_END));

    return crl_parse_any(DER_SEQUENCE(tbs, ALGORITHM, der_bytes(0x03, VIEW(0, 1, 2, 3))), ret, ret_failure);
}

static Crl *list_of(const char *issuer, BytesView entries, BytesView extensions) {
    Failure failure = FAILURE_INIT;
    Crl *crl = NULL;

    assert_ok(parse_list(issuer, entries, extensions, &crl, &failure), failure);
    return crl;
}
#define _cleanup_crl_ _cleanup_(crl_free_p)

typedef struct Setting {
    Entity ca, leaf;
} Setting;

static int make_setting(void **state) {
    Setting *setting = calloc(1, sizeof *setting);

    setting->ca = ENTITY(.subject = "CN=CA", .ca = true);
    setting->leaf = ENTITY(.subject = "CN=leaf", .issuer = &setting->ca);
    *state = setting;
    return 0;
}

static int clear_setting(void **state) {
    Setting *setting = *state;

    entity_clear(&setting->ca);
    entity_clear(&setting->leaf);
    free(setting);
    der_reset();
    return 0;
}

/* The same with another number. */
static Certificate numbered(const Setting *setting, BytesView serial) {
    Certificate certificate = *setting->leaf.certificate;

    certificate.serial_bytes = serial;
    return certificate;
}

/* -1: not found. */
static int find(const Crl *crl, const Setting *setting, BytesView serial) {
    const Certificate certificate = numbered(setting, serial);
    int64_t when = 0;
    int reason = 0;

    if (crl_find(crl, &certificate, &reason, &when) == 0)
        return -1;
    assert_int_equal(when, 1748736000); /* DATE */
    return reason;
}

/* ---- entries ---- */

/* One after another, at the caller's. */
typedef struct Entries {
    Bytes bytes;
} Entries;

static void add(Entries *entries, BytesView one) {
    assert_int_equal(bytes_append(&entries->bytes, one), 0);
}

static void entries_clear(Entries *entries) {
    bytes_clear(&entries->bytes);
}
#define _cleanup_entries_ _cleanup_(entries_clear)

static void test_found(void **state) {
    const Setting *setting = *state;
    _cleanup_entries_ Entries entries = { BYTES_NULL };

    add(&entries, entry(VIEW(1, 2, 3), NOTHING));
    add(&entries, entry(VIEW(1, 2), with_reason(1)));
    add(&entries, entry(VIEW(2, 3), with_reason(6)));
    add(&entries, entry(VIEW(7), NOTHING));
    add(&entries, entry(VIEW(9), with_reason(6)));
    add(&entries, entry(VIEW(9), with_reason(8)));
    add(&entries, entry(VIEW(9), with_reason(4)));
    _cleanup_crl_ Crl *crl = list_of("CA", bytes_view(&entries.bytes), NOTHING),
                      *empty = list_of("CA", NOTHING, NOTHING),
                      *other = list_of("CB", bytes_view(&entries.bytes), NOTHING);

    assert_int_equal(crl->entry_count, 7);
    assert_int_equal(find(crl, setting, VIEW(1, 2, 3)), 0);
    assert_int_equal(find(crl, setting, VIEW(1, 2)), 1);
    assert_int_equal(find(crl, setting, VIEW(2, 3)), 6);
    assert_int_equal(find(crl, setting, VIEW(7)), 0);
    assert_int_equal(find(crl, setting, VIEW(9)), 4); /* the worst of three */
    assert_int_equal(find(crl, setting, VIEW(1)), -1);
    assert_int_equal(find(crl, setting, VIEW(3)), -1);
    assert_int_equal(find(crl, setting, VIEW(0x55, 0x1d, 0x15)), -1); /* an OID that is there */
    assert_int_equal(find(empty, setting, VIEW(1, 2)), -1);
    assert_int_equal(find(other, setting, VIEW(1, 2)), -1);
}

/* The generator of Numerical Recipes. */
static unsigned next_random(unsigned *state, unsigned below) {
    *state = *state * 1664525U + 1013904223U;
    return (*state >> 8) % below;
}

/* Lists of all sizes of numbers and entries: found is what is in them and nothing else, however it is looked for. */
static void test_any_lengths(void **state) {
    enum { ROUNDS = 60, ENTRIES = 30 };
    static const size_t sizes[] = { 1, 2, 8, 20, 21, 127, 128, 129, 255, 256, 300, 1024 };
    const Setting *setting = *state;
    unsigned random = 1;

    for (unsigned round = 0; round < ROUNDS; round++) {
        uint8_t serials[ENTRIES][1024];
        size_t serial_sizes[ENTRIES];
        _cleanup_entries_ Entries entries = { BYTES_NULL };
        for (size_t i = 0; i < ENTRIES; i++) {
            serial_sizes[i] = sizes[next_random(&random, ARRAY_LENGTH(sizes))];
            for (size_t k = 0; k < serial_sizes[i]; k++)
                serials[i][k] = (uint8_t) (1 + next_random(&random, 100));
            if (serial_sizes[i] < 4) /* else there would be some twice */
                serials[i][0] = (uint8_t) (i + 1);
            uint8_t more[400] = { 0 };
            size_t size = next_random(&random, 2) ? next_random(&random, sizeof more) : 0;
            add(&entries, entry((BytesView) { serials[i], serial_sizes[i] },
                                size > 0 ? extension("1.2.3.4", (BytesView) { more, size }) : NOTHING));
        }
        _cleanup_crl_ Crl *crl = list_of("CA", bytes_view(&entries.bytes), NOTHING);
        assert_int_equal(crl->entry_count, ENTRIES);
        for (size_t i = 0; i < ENTRIES; i++) {
            assert_int_equal(find(crl, setting, (BytesView) { serials[i], serial_sizes[i] }), 0);
            serials[i][serial_sizes[i] - 1] = 0x7f; /* no number has it */
            assert_int_equal(find(crl, setting, (BytesView) { serials[i], serial_sizes[i] }), -1);
        }
        der_reset();
    }
}

/* An entry that is too long for what is around it, or too short for what it has, is no reason to read on. */
static void test_entries_that_do_not_fit(void **state) {
    const BytesView bad[] = {
        VIEW(0x30, 0x82, 0x04, 0x00, 0x02, 0x01, 0x05), /* says a kilobyte */
        VIEW(0x30, 0x03, 0x02, 0x82, 0x04, 0x00),       /* its number does */
        VIEW(0x30, 0x80, 0x02, 0x01, 0x05, 0x00, 0x00), /* without an end */
        VIEW(0x30, 0x03, 0x02, 0x01, 0x05),             /* without a date */
        VIEW(0x30, 0x02, 0x02, 0x00),                   /* without a number */
        VIEW(0x30, 0x00),
        VIEW(0x31, 0x03, 0x02, 0x01, 0x05),
    };

    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        Failure failure = FAILURE_INIT;
        Crl *crl = NULL;
        assert_failure(parse_list("CA", bad[i], NOTHING, &crl, &failure), EBADMSG, failure, "entry 1 of the CRL");
        assert_null(crl);
    }
}

/* ---- reasons ---- */

static void test_reasons(void **state) {
    assert_int_equal(crl_reasons(VIEW(0)), 0);
    assert_int_equal(crl_reasons(NOTHING), 0);
    assert_int_equal(crl_reasons(VIEW(7, 0x80)), 0); /* unused: no reason to be revoked for */
    assert_int_equal(crl_reasons(VIEW(6, 0x40)), 1U << 1);
    assert_int_equal(crl_reasons(VIEW(0, 0x7f)), 0xfe);
    assert_int_equal(crl_reasons(VIEW(7, 0x7f, 0x80)), CRL_REASONS_ALL);
    assert_int_equal(crl_reasons(VIEW(7, 0x00, 0x80)), 1U << 8);
}

/* ---- scope ---- */

#define URI(text) der_text(0x86, text)

static BytesView point_of(BytesView names) { /* DistributionPointName [0] { fullName [0] } */
    return der_of(0xa0, der_bytes(0xa0, names), DER_END);
}

static BytesView issuing(BytesView content) {
    return extension("2.5.29.28", der_bytes(0x30, content));
}

static unsigned scope_of(const Setting *setting, BytesView issuing_point, BytesView points, bool is_ca) {
    _cleanup_crl_ Crl *crl = list_of("CA", NOTHING, issuing_point);
    CertificateExtension extensions[] = { { .oid = VIEW(0x55, 0x1d, 0x1f), .value = points } };
    Certificate certificate = *setting->leaf.certificate;
    const char *reason = NULL;

    certificate.extensions = extensions;
    certificate.extension_count = points.size > 0;
    certificate.is_ca = is_ca;
    unsigned scope = crl_scope(crl, &certificate, &reason);
    assert_true(scope > 0 || reason);
    return scope;
}

static void test_scope(void **state) {
    const Setting *setting = *state;
    const BytesView one = URI("http://crl.example/1"), two = URI("http://crl.example/2");
    const BytesView both = DER_SEQUENCE(DER_SEQUENCE(point_of(one)), DER_SEQUENCE(point_of(two))),
                    first = DER_SEQUENCE(DER_SEQUENCE(point_of(one))),
                    some = DER_SEQUENCE(DER_SEQUENCE(point_of(one), VIEW(0x81, 0x02, 0x05, 0x60)));
    const struct {
        BytesView issuing, points;
        unsigned leaf, ca;
    } cases[] = {
        { NOTHING, NOTHING, CRL_REASONS_ALL, CRL_REASONS_ALL },
        { NOTHING, first, CRL_REASONS_ALL, CRL_REASONS_ALL },
        { issuing(VIEW(0x81, 0x01, 0xff)), NOTHING, CRL_REASONS_ALL, 0 },
        { issuing(VIEW(0x82, 0x01, 0xff)), NOTHING, 0, CRL_REASONS_ALL },
        { issuing(VIEW(0x85, 0x01, 0xff)), NOTHING, 0, 0 },
        { issuing(VIEW(0x83, 0x02, 0x05, 0x60)), NOTHING, 6, 6 },
        { issuing(point_of(one)), NOTHING, 0, 0 },
        { issuing(point_of(one)), first, CRL_REASONS_ALL, CRL_REASONS_ALL },
        { issuing(point_of(two)), first, 0, 0 },
        { issuing(point_of(two)), both, CRL_REASONS_ALL, CRL_REASONS_ALL },
        { issuing(point_of(one)), some, 6, 6 },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        assert_int_equal(scope_of(setting, cases[i].issuing, cases[i].points, false), cases[i].leaf);
        assert_int_equal(scope_of(setting, cases[i].issuing, cases[i].points, true), cases[i].ca);
    }
    const BytesView unreadable[] = {
        DER_SEQUENCE(point_of(one)),
        VIEW(0x83, 0x04, 0x05, 0x60, 0x00, 0x00), /* more reasons than there are */
        VIEW(0x83, 0x00),
    };
    for (size_t i = 0; i < ARRAY_LENGTH(unreadable); i++) {
        Failure failure = FAILURE_INIT;
        Crl *crl = NULL;
        assert_failure(parse_list("CA", NOTHING, issuing(unreadable[i]), &crl, &failure), EBADMSG, failure,
                       "issuing distribution point");
    }
    _cleanup_crl_ Crl *none = list_of("CA", NOTHING, issuing(VIEW(0x83, 0x01, 0x00))); /* for no reason at all */
    assert_int_equal(none->reasons, 0);
    _cleanup_crl_ Crl *last = list_of("CA", NOTHING, issuing(VIEW(0x83, 0x03, 0x07, 0x00, 0x80)));
    assert_int_equal(last->reasons, 1U << 8);
}

/* ---- deltas ---- */

static void test_deltas(void **state) {
    const BytesView base_of_7 = extension("2.5.29.27", der_integer(7)),
                    base_of_8 = extension("2.5.29.27", der_integer(8));
    _cleanup_crl_ Crl *complete = list_of("CA", NOTHING, NOTHING), *delta = list_of("CA", NOTHING, base_of_7),
                      *other = list_of("CB", NOTHING, base_of_7), *later = list_of("CA", NOTHING, base_of_8);

    /* All have the number 7: a delta tells changes only if it is newer. */
    assert_false(crl_is_delta_of(delta, complete));
    complete->number.data[0] = 6;
    delta->base_number.data[0] = 6;
    assert_true(crl_is_delta_of(delta, complete));
    assert_false(crl_is_delta_of(complete, delta));
    assert_false(crl_is_delta_of(complete, complete));
    assert_false(crl_is_delta_of(delta, delta));
    assert_false(crl_is_delta_of(other, complete));
    assert_false(crl_is_delta_of(later, complete));
    delta->base_number.data[0] = 3;
    assert_true(crl_is_delta_of(delta, complete));
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, make_setting, clear_setting)
    const struct CMUnitTest tests[] = {
        TEST(test_found),   TEST(test_any_lengths), TEST(test_entries_that_do_not_fit),
        TEST(test_reasons), TEST(test_scope),       TEST(test_deltas),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
