/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Certificates that idctl shows, installs and verifies with: lists read from files in whatever form people have them.
 */
#pragma once

#include "command/command.h"
#include "common/bytes.h"

#include <gnutls/x509.h>
#include <jansson.h>
#include <stdio.h>

#define CERTIFICATES_FILE_MAX (2U * 1024U * 1024U)
#define CERTIFICATES_MAX      512U

typedef struct Certificates {
    gnutls_x509_crt_t *list; /* owned */
    size_t count;
} Certificates;

void certificates_clear(Certificates *certificates);
#define _cleanup_certificates_ _cleanup_(certificates_clear)

/* PEM certificates with text between them, or PKCS#7 in PEM or DER, or one certificate in DER. -EBADMSG: none of these,
 * or without a certificate; -E2BIG; -ENOMEM. */
int certificates_parse(BytesView data, Certificates *ret);
/* The same from a file ("-": standard input); complains. */
ExitCode certificates_read(const char *path, Certificates *ret);
/* From DER, one each. -EBADMSG. */
int certificates_from_der(const Bytes *list, size_t count, Certificates *ret);
int certificates_from_views(const gnutls_datum_t *list, size_t count, Certificates *ret);

/* Moves the leaf to the front: the only certificate that is no CA, else one that issued none of the others. The rest
 * keeps its order. */
void certificates_leaf_first(Certificates *certificates);

/* DER of one; the caller clears. -ENOMEM. */
int certificate_to_der(gnutls_x509_crt_t certificate, Bytes *ret);

/* RFC 4514 name, or serial number in lower-case hexadecimal; "" if there is none. The caller frees; NULL without
 * memory. */
char *certificate_subject(gnutls_x509_crt_t certificate);
char *certificate_issuer(gnutls_x509_crt_t certificate);
char *certificate_serial(gnutls_x509_crt_t certificate);

/* Prints a chain, indented, each with subject, issuer, serial and dates. */
void certificates_print(const Certificates *certificates, FILE *stream, const char *indent);
/* An array of objects with the same. NULL without memory. */
json_t *certificates_to_json(const Certificates *certificates);

/* PEM text; the caller clears. -ENOMEM. */
int pem_encode(const char *label, BytesView der, Bytes *ret);
/* PEM as a JSON string, null for nothing. */
json_t *pem_to_json(const char *label, BytesView der);
