/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libtasn1 made safe to use: strict DER, lengths that are checked, results as Bytes and views. Internal to pki/. The
 * types are those of pki.asn, named without their module ("Certificate"). */
#pragma once

#include "common/asn1.h"

#include <gnutls/gnutls.h>

#define ASN1_OID_MAX 128U /* characters of a dotted OID, with the NUL */

/* Decodes one whole `der`, without bytes after it. -EBADMSG, -ENOMEM. */
int asn1_decode(const char *type, BytesView der, asn1_node *ret);
/* An empty value of a type, to be filled in and encoded. */
int asn1_create(const char *type, asn1_node *ret);
/* -EINVAL when a value is missing or does not fit its type. */
int asn1_encode(asn1_node node, Bytes *ret);

/* The DER of one field within the `der` that `node` was decoded from, tag included. -ENOENT: absent. */
int asn1_slice(asn1_node node, BytesView der, const char *field, BytesView *ret);
/* The value of a field without its tag. -ENOENT, -ENOMEM. Bit strings: their whole bytes. */
int asn1_value(asn1_node node, const char *field, Bytes *ret);
int asn1_oid(asn1_node node, const char *field, char ret[static ASN1_OID_MAX]);
/* A BOOLEAN with a default of FALSE. -EBADMSG. */
int asn1_boolean(asn1_node node, const char *field, bool *ret);
int asn1_count(asn1_node node, const char *field, size_t *ret);

/* Writers: 0, -EINVAL (the value is not one of its type), -ENOMEM. */
int asn1_write(asn1_node node, const char *field, BytesView value);
int asn1_write_text(asn1_node node, const char *field, const char *value); /* OIDs, numbers, choices, "NEW" */
int asn1_write_bits(asn1_node node, const char *field, BytesView value);

/* A DER SEQUENCE of `count` encoded elements. */
int asn1_sequence(const BytesView *elements, size_t count, Bytes *ret);

/* Steps through the elements inside a constructed value, for lists too long to decode at once. */
typedef struct DerItem {
    unsigned char class; /* ASN1_CLASS_…, with ASN1_CLASS_STRUCTURED */
    unsigned long tag;
    BytesView whole; /* tag, length, content */
    BytesView content;
} DerItem;

/* Takes the next element off `rest`: 1, 0 at the end, -EBADMSG. Indefinite lengths are refused. */
int der_next(BytesView *rest, DerItem *ret);
/* Whether it is a universal SEQUENCE. */
bool der_is_sequence(const DerItem *item);
/* Whether it is universal and primitive, of this type. */
bool der_is(const DerItem *item, unsigned long tag);
/* A UTCTime or GeneralizedTime in seconds since the epoch (RFC 5280 §4.1.2.5). -EBADMSG. */
int der_time(const DerItem *item, int64_t *ret);
/* The content of an OBJECT IDENTIFIER for a dotted one, which is a constant of ours. */
#define DER_OID_MAX 32U
BytesView der_oid(const char *dotted, uint8_t buffer[static DER_OID_MAX]);
/* The content of the SEQUENCE that fills `der` exactly. -EBADMSG. */
int der_open_sequence(BytesView der, BytesView *ret_content);

/* Between the libraries' byte strings. The view borrows. */
static inline gnutls_datum_t datum_from_view(BytesView view) {
    return (gnutls_datum_t) { .data = (unsigned char *) view.data, .size = (unsigned) view.size };
}
static inline BytesView view_from_datum(const gnutls_datum_t *datum) {
    return (BytesView) { datum->data, datum->size };
}
static inline void datum_p(gnutls_datum_t *datum) {
    gnutls_free(datum->data);
}
#define _cleanup_datum_ _cleanup_(datum_p)
