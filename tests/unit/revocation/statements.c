/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* DER by hand: GnuTLS can neither write a reason into a CRL nor answer as a responder. RFC 5280 §5.1, RFC 6960 §4.2.1.
 */
#include "tests/unit/revocation/statements.h"

#undef NDEBUG
#include <assert.h>
#include <gnutls/crypto.h>
#include <string.h>
#include <time.h>

#define SEQUENCE    0x30
#define INTEGER     0x02
#define BIT_STRING  0x03
#define OCTETS      0x04
#define OID         0x06
#define ENUMERATED  0x0a
#define UTC_TIME    0x17
#define LONG_TIME   0x18
#define EXPLICIT(n) (uint8_t)(0xa0 + (n))
#define IMPLICIT(n) (uint8_t)(0x80 + (n))

#define REASON_KEY_COMPROMISE 1
#define REASON_HOLD           6

/* ---- values ---- */

static void add(Bytes *to, const void *data, size_t size) {
    assert(bytes_append(to, (BytesView) { data, size }) >= 0);
}

/* A value; `content` is taken. */
static Bytes value(uint8_t tag, Bytes content) {
    uint8_t header[5] = { tag, 0x83, (uint8_t) (content.size >> 16), (uint8_t) (content.size >> 8),
                          (uint8_t) content.size };
    Bytes whole = BYTES_NULL;

    if (content.size < 128)
        add(&whole, (const uint8_t[]) { tag, (uint8_t) content.size }, 2);
    else if (content.size < 256)
        add(&whole, (const uint8_t[]) { tag, 0x81, (uint8_t) content.size }, 3);
    else if (content.size < 65536)
        add(&whole, (const uint8_t[]) { tag, 0x82, header[3], header[4] }, 4);
    else
        add(&whole, header, sizeof header);
    if (content.size > 0)
        add(&whole, content.data, content.size);
    bytes_clear(&content);
    return whole;
}

static Bytes plain(uint8_t tag, const void *data, size_t size) {
    Bytes content = BYTES_NULL;

    if (size > 0)
        add(&content, data, size);
    return value(tag, content);
}

/* Appends a value, which is taken. */
static void put(Bytes *to, Bytes what) {
    add(to, what.data, what.size);
    bytes_clear(&what);
}

static Bytes small(uint8_t tag, uint8_t number) {
    return plain(tag, &number, 1);
}

static Bytes at(uint8_t tag, long seconds) {
    time_t when = time(NULL) + seconds;
    struct tm parts;
    char text[32];

    assert(gmtime_r(&when, &parts));
    assert(strftime(text, sizeof text, "%Y%m%d%H%M%SZ", &parts) > 0);
    const char *year = tag == UTC_TIME ? text + 2 : text; /* with two of its digits */
    return plain(tag, year, strlen(year));
}

/* ecdsa-with-SHA256 */
static Bytes algorithm(void) {
    static const uint8_t oid[] = { 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02 };

    return value(SEQUENCE, plain(OID, oid, sizeof oid));
}

/* What was made to be signed, with its signature; `tbs` is taken. */
static Bytes sign(const FakeCa *ca, Bytes tbs) {
    const gnutls_datum_t data = { tbs.data, (unsigned) tbs.size };
    gnutls_datum_t signature = { NULL, 0 };
    Bytes whole = BYTES_NULL, bits = BYTES_NULL;

    assert(gnutls_privkey_sign_data(ca->key, GNUTLS_DIG_SHA256, 0, &data, &signature) >= 0);
    put(&whole, tbs);
    put(&whole, algorithm());
    add(&bits, "", 1); /* no unused bits */
    add(&bits, signature.data, signature.size);
    gnutls_free(signature.data);
    put(&whole, value(BIT_STRING, bits));
    return value(SEQUENCE, whole);
}

static Bytes name_of(const FakeCa *ca) {
    gnutls_datum_t dn = { NULL, 0 };
    Bytes copy = BYTES_NULL;

    assert(gnutls_x509_crt_get_raw_dn(ca->certificate, &dn) >= 0);
    add(&copy, dn.data, dn.size);
    gnutls_free(dn.data);
    return copy;
}

static Bytes serial_of(const Certificate *certificate) {
    return plain(INTEGER, certificate->serial_bytes.data, certificate->serial_bytes.size);
}

/* ---- CRLs ---- */

static Bytes extension(const void *oid, size_t size, Bytes content) {
    Bytes both = BYTES_NULL;

    put(&both, plain(OID, oid, size));
    put(&both, value(OCTETS, content));
    return value(SEQUENCE, both);
}

/* An entry with one extension. */
static Bytes entry(Bytes serial, long revoked, Bytes its_extension) {
    Bytes parts = BYTES_NULL;

    put(&parts, serial);
    put(&parts, at(UTC_TIME, revoked));
    put(&parts, value(SEQUENCE, its_extension));
    return value(SEQUENCE, parts);
}

static Bytes padding_entry(size_t size) {
    static const uint8_t private_oid[] = { 0x2a, 0x03, 0x04 };
    Bytes content = BYTES_NULL;
    uint8_t *zeros = calloc(1, size);

    assert(zeros);
    add(&content, zeros, size);
    free(zeros);
    return entry(small(INTEGER, 0x7f), 0, extension(private_oid, sizeof private_oid, content));
}

static Bytes entries_of(const CrlSpec *spec) {
    static const uint8_t reason_oid[] = { 0x55, 0x1d, 0x15 };
    Bytes entries = BYTES_NULL;

    if (spec->listed)
        put(&entries, entry(serial_of(spec->listed), spec->revoked,
                            extension(reason_oid, sizeof reason_oid,
                                      small(ENUMERATED, spec->hold ? REASON_HOLD : REASON_KEY_COMPROMISE))));
    if (spec->padding > 0)
        put(&entries, padding_entry(spec->padding));
    return entries;
}

Bytes make_crl(const CrlSpec *spec) {
    static const uint8_t number_oid[] = { 0x55, 0x1d, 0x14 };
    Bytes tbs = BYTES_NULL, entries = entries_of(spec);

    put(&tbs, small(INTEGER, 1));
    put(&tbs, algorithm());
    put(&tbs, name_of(spec->ca));
    put(&tbs, at(UTC_TIME, spec->made));
    if (!spec->is_endless)
        put(&tbs, at(UTC_TIME, spec->next));
    if (entries.size > 0)
        put(&tbs, value(SEQUENCE, entries));
    put(&tbs,
        value(EXPLICIT(0), value(SEQUENCE, extension(number_oid, sizeof number_oid, small(INTEGER, spec->number)))));
    return sign(spec->ca, value(SEQUENCE, tbs));
}

/* ---- OCSP ---- */

static Bytes hash(BytesView data) {
    uint8_t digest[20];

    assert(gnutls_hash_fast(GNUTLS_DIG_SHA1, data.data, data.size, digest) >= 0);
    return plain(OCTETS, digest, sizeof digest);
}

/* Of the key's BIT STRING, without tag, length and unused bits: of a P-256 key its point. */
static Bytes hash_key(const FakeCa *ca) {
    gnutls_datum_t x, y;
    uint8_t point[65] = { 4 };

    assert(gnutls_x509_crt_get_pk_ecc_raw(ca->certificate, NULL, &x, &y) >= 0);
    const uint8_t *from_x = x.data + (x.size > 32 ? x.size - 32 : 0),
                  *from_y = y.data + (y.size > 32 ? y.size - 32 : 0);
    size_t size_x = x.size > 32 ? 32 : x.size, size_y = y.size > 32 ? 32 : y.size;
    memcpy(point + 33 - size_x, from_x, size_x);
    memcpy(point + 65 - size_y, from_y, size_y);
    gnutls_free(x.data);
    gnutls_free(y.data);
    return hash((BytesView) { point, sizeof point });
}

static Bytes certificate_id(const OcspSpec *spec) {
    static const uint8_t sha1[] = { 0x2b, 0x0e, 0x03, 0x02, 0x1a };
    Bytes id = BYTES_NULL, name = name_of(spec->ca);

    put(&id, value(SEQUENCE, plain(OID, sha1, sizeof sha1)));
    put(&id, hash(bytes_view(&name)));
    bytes_clear(&name);
    put(&id, hash_key(spec->ca));
    put(&id, serial_of(spec->about));
    return value(SEQUENCE, id);
}

static Bytes status_of(const OcspSpec *spec) {
    Bytes revoked = BYTES_NULL;

    if (spec->verdict == REVOCATION_GOOD)
        return plain(IMPLICIT(0), NULL, 0);
    if (spec->verdict == REVOCATION_UNKNOWN)
        return plain(IMPLICIT(2), NULL, 0);
    put(&revoked, at(LONG_TIME, spec->made));
    put(&revoked,
        value(EXPLICIT(0), small(ENUMERATED, spec->verdict == REVOCATION_HOLD ? REASON_HOLD : REASON_KEY_COMPROMISE)));
    return value(EXPLICIT(1), revoked);
}

Bytes make_ocsp(const OcspSpec *spec) {
    static const uint8_t basic[] = { 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01 };
    const FakeCa *signer = spec->signer ? spec->signer : spec->ca;
    Bytes single = BYTES_NULL, data = BYTES_NULL, bytes = BYTES_NULL, response = BYTES_NULL;

    put(&single, certificate_id(spec));
    put(&single, status_of(spec));
    put(&single, at(LONG_TIME, spec->made));
    if (!spec->is_endless)
        put(&single, value(EXPLICIT(0), at(LONG_TIME, spec->next)));
    put(&data, value(EXPLICIT(1), name_of(signer)));
    put(&data, at(LONG_TIME, spec->made));
    put(&data, value(SEQUENCE, value(SEQUENCE, single)));
    put(&bytes, plain(OID, basic, sizeof basic));
    put(&bytes, value(OCTETS, sign(signer, value(SEQUENCE, data))));
    put(&response, small(ENUMERATED, 0));
    put(&response, value(EXPLICIT(0), value(SEQUENCE, bytes)));
    return value(SEQUENCE, response);
}
