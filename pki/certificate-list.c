/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lists of certificates, and PEM: bundles that an admin wrote, so that a fault names its place. */
#include "pki/certificate.h"

#include "pki/asn1.h"
#include "pki/certificate-pool.h"

#include <string.h>

#define REJECT(...) failure_set(ret_failure, -EBADMSG, FAILURE_CERTIFICATE_REJECTED, __VA_ARGS__)

int certificate_list_add(CertificateList *list, Certificate *certificate) {
    /* grows at 0, 1, 2, 4, 8 …: whenever the count is a power of two */
    if ((list->count & (list->count - 1)) == 0) {
        size_t capacity = list->count ? 2 * list->count : 1;
        Certificate **grown = reallocarray(list->list, capacity, sizeof(*grown));
        if (!grown) {
            certificate_free(certificate);
            return -ENOMEM;
        }
        list->list = grown;
    }
    list->list[list->count++] = certificate;
    return 0;
}

int certificate_list_add_ref(CertificateList *list, const Certificate *certificate) {
    return certificate_list_add(list, certificate_ref(certificate));
}

bool certificate_list_contains(const CertificateList *list, const Certificate *certificate) {
    for (size_t i = 0; i < list->count; i++)
        if (certificate_equal(list->list[i], certificate))
            return true;
    return false;
}

int64_t certificate_list_begun(const CertificateList *list, int64_t time) {
    for (size_t i = 0; i < list->count; i++)
        if (list->list[i]->not_before > time)
            time = list->list[i]->not_before;
    return time;
}

void certificate_list_clear(CertificateList *list) {
    for (size_t i = 0; i < list->count; i++)
        certificate_free(list->list[i]);
    free(list->list);
    *list = (CertificateList) { NULL, 0 };
}

int certificate_list_from_peer(const gnutls_datum_t *der, size_t count, CertificateList *ret, Failure *ret_failure) {
    _cleanup_certificates_ CertificateList list = { 0 };

    for (size_t i = 0; i < count; i++) {
        Certificate *certificate;
        int r = certificate_from_der(view_from_datum(&der[i]), &certificate, i == 0 ? ret_failure : NULL);
        if (r == -EBADMSG && i > 0)
            continue;
        if (r >= 0)
            r = certificate_list_add(&list, certificate);
        if (r < 0)
            return r == -ENOMEM ? failure_errno(ret_failure, r, "reading a peer's certificates") : r;
    }
    *ret = list;
    list = (CertificateList) { 0 };
    return 0;
}

/* ---- PEM ---- */

static const char begin_marker[] = "-----BEGIN ", end_marker[] = "-----END ", marker_tail[] = "-----";

typedef struct PemReader {
    BytesView rest;
    CertificatePool *pool; /* NULL: each certificate for itself */
    size_t line;           /* number of the line that `rest` begins with */
} PemReader;

/* The next line without its end and trailing white space; false at the end. */
static bool next_line(PemReader *reader, BytesView *ret) {
    const uint8_t *end;
    BytesView line = reader->rest;

    if (reader->rest.size == 0)
        return false;
    end = memchr(line.data, '\n', line.size);
    line.size = end ? (size_t) (end - line.data) : line.size;
    size_t used = line.size + (end ? 1 : 0);
    reader->rest.data += used;
    reader->rest.size -= used;
    reader->line++;
    while (line.size > 0 && strchr(" \t\r", line.data[line.size - 1]) && line.data[line.size - 1])
        line.size--;
    *ret = line;
    return true;
}

/* The label in a line like "-----BEGIN LABEL-----". */
static bool marker_label(BytesView line, const char *marker, BytesView *ret_label) {
    size_t length = strlen(marker), tail = strlen(marker_tail);

    if (line.size < length + tail || memcmp(line.data, marker, length) != 0 ||
        memcmp(line.data + line.size - tail, marker_tail, tail) != 0)
        return false;
    *ret_label = (BytesView) { line.data + length, line.size - length - tail };
    return true;
}

typedef struct PemBlock {
    BytesView text; /* from its BEGIN line to its END line */
    size_t number, line;
} PemBlock;

/* The next whole block. 1, 0 at the end, -EBADMSG; -ENOMSG for one that is something else than a certificate, which
 * can be passed over. */
static int next_block(PemReader *reader, PemBlock *block, Failure *ret_failure) {
    const BytesView wanted = bytes_view_string("CERTIFICATE");
    BytesView line, label;

    do {
        if (!next_line(reader, &line))
            return 0;
    } while (!marker_label(line, begin_marker, &label));

    const uint8_t *start = line.data;
    block->number++;
    block->line = reader->line;
    if (!bytes_view_equal(label, wanted)) {
        (void) REJECT("PEM block %zu (line %zu) is a '%.*s', not a CERTIFICATE", block->number, block->line,
                      (int) (label.size < 64 ? label.size : 64), (const char *) label.data);
        return -ENOMSG;
    }
    for (;;) {
        if (!next_line(reader, &line) || marker_label(line, begin_marker, &label))
            return REJECT("PEM block %zu (line %zu) has no END line", block->number, block->line);
        if (marker_label(line, end_marker, &label))
            break;
    }
    if (!bytes_view_equal(label, wanted))
        return REJECT("PEM block %zu (line %zu) ends with the END line of something else (line %zu)", block->number,
                      block->line, reader->line);
    block->text = (BytesView) { start, (size_t) (line.data + line.size - start) };
    return 1;
}

static int decode_block(const PemReader *reader, const PemBlock *block, Certificate **ret, Failure *ret_failure) {
    _cleanup_datum_ gnutls_datum_t der = { 0 };
    gnutls_datum_t text = datum_from_view(block->text);

    if (memchr(block->text.data, 0, block->text.size) || gnutls_pem_base64_decode2("CERTIFICATE", &text, &der) < 0)
        return REJECT("PEM block %zu (line %zu) is not base64", block->number, block->line);
    int r = reader->pool ? certificate_pool_from_der(reader->pool, view_from_datum(&der), ret, ret_failure)
                         : certificate_from_der(view_from_datum(&der), ret, ret_failure);
    return r < 0 ? failure_prefix(ret_failure, r, "PEM block %zu (line %zu)", block->number, block->line) : 0;
}

void left_out_add(LeftOut *left_out, const Failure *why) {
    if (left_out->count++ == 0)
        left_out->first = *why;
}

/* The next certificate: 1, 0 at the end. With `left_out`, what cannot be read is counted there and passed over. */
static int next_certificate(PemReader *reader, PemBlock *block, LeftOut *left_out, Certificate **ret,
                            Failure *ret_failure) {
    for (;;) {
        Failure failure = FAILURE_INIT;
        int r = next_block(reader, block, &failure);
        bool passes_over = r == -ENOMSG;
        if (r == 0)
            return 0;
        if (r > 0) {
            r = decode_block(reader, block, ret, &failure);
            passes_over = r == -EBADMSG;
        }
        if (r >= 0)
            return 1;
        if (!passes_over || !left_out || block->number > BUNDLE_MAX) {
            if (ret_failure)
                *ret_failure = failure;
            return r == -ENOMSG ? -EBADMSG : r;
        }
        left_out_add(left_out, &failure);
    }
}

static int read_pem(CertificatePool *pool, BytesView pem, size_t maximum, LeftOut *left_out, CertificateList *ret,
                    Failure *ret_failure) {
    _cleanup_certificates_ CertificateList list = { 0 };
    PemReader reader = { .rest = pem, .pool = pool };
    PemBlock block = { 0 };
    Certificate *certificate;
    int r;

    if (pem.size > BUNDLE_BYTES_MAX)
        return REJECT("the PEM text has %zu bytes, more than %u", pem.size, BUNDLE_BYTES_MAX);
    while ((r = next_certificate(&reader, &block, left_out, &certificate, ret_failure)) > 0) {
        r = certificate_list_add(&list, certificate);
        if (r < 0)
            return failure_errno(ret_failure, r, "reading certificates");
        if (list.count > maximum)
            return REJECT("there are more than %zu certificates in the PEM text", maximum);
    }
    if (r < 0)
        return r;
    if (list.count == 0 && left_out && left_out->count > 0) {
        if (ret_failure)
            *ret_failure = left_out->first;
        return failure_prefix(ret_failure, -EBADMSG, "none of the %zu can be read; the first", left_out->count);
    }
    if (list.count == 0)
        return REJECT("there is no certificate in the PEM text");
    *ret = list;
    list = (CertificateList) { 0 };
    return 0;
}

int certificate_list_from_pem(BytesView pem, size_t maximum, CertificateList *ret, Failure *ret_failure) {
    return read_pem(NULL, pem, maximum, NULL, ret, ret_failure);
}

int certificate_list_from_pem_shared(CertificatePool *pool, BytesView pem, size_t maximum, CertificateList *ret,
                                     Failure *ret_failure) {
    return read_pem(pool, pem, maximum, NULL, ret, ret_failure);
}

int certificate_bundle_from_pem(BytesView pem, CertificateList *ret, LeftOut *ret_left_out, Failure *ret_failure) {
    return certificate_bundle_from_pem_shared(NULL, pem, ret, ret_left_out, ret_failure);
}

int certificate_bundle_from_pem_shared(CertificatePool *pool, BytesView pem, CertificateList *ret,
                                       LeftOut *ret_left_out, Failure *ret_failure) {
    LeftOut left_out = { 0 };
    int r = read_pem(pool, pem, BUNDLE_MAX, &left_out, ret, ret_failure);

    if (r >= 0)
        *ret_left_out = left_out;
    return r;
}

int certificate_list_to_pem(const CertificateList *list, Bytes *ret) {
    _cleanup_bytes_ Bytes pem = BYTES_NULL;
    int r;

    for (size_t i = 0; i < list->count; i++) {
        _cleanup_datum_ gnutls_datum_t text = { 0 };
        gnutls_datum_t der = datum_from_view(bytes_view(&list->list[i]->der));

        if (gnutls_pem_base64_encode2("CERTIFICATE", &der, &text) < 0)
            return -ENOMEM;
        r = bytes_append(&pem, view_from_datum(&text));
        if (r < 0)
            return r;
    }
    *ret = pem;
    pem = BYTES_NULL;
    return 0;
}
