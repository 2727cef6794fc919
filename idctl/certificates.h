/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Certificates that idctl shows, installs and verifies: lists read from files in whatever form people have them. */
#pragma once

#include "command/command.h"
#include "pki/certificate.h"

#include <jansson.h>
#include <stdio.h>

#define CERTIFICATES_FILE_MAX BUNDLE_BYTES_MAX

/* PEM certificates with text between them, or certs-only PKCS#7 in PEM or DER, or one certificate in DER. What cannot
 * be read is left out; nothing left is an error. -EBADMSG with the reason; -ENOMEM. `ret` is overwritten. */
int certificates_parse(BytesView data, CertificateList *ret, LeftOut *ret_left_out, Failure *ret_failure);
/* The same from a file ("-": standard input). Complains, also of what is left out. */
ExitCode certificates_read(const char *path, CertificateList *ret);
/* The same for a file with a leaf and its issuers, the leaf first. Refuses, and complains, where the leaf may be what
 * cannot be read. */
ExitCode certificates_read_chain(const char *path, CertificateList *ret);
/* From DER, one each. -EBADMSG, -ENOMEM. */
int certificates_from_der(const Bytes *list, size_t count, CertificateList *ret);

/* Moves the leaf to the front: the first certificate, unless that issued another one and so cannot be the leaf, or is
 * a CA beside a single one that is none. The rest keeps its order. */
void certificates_leaf_first(CertificateList *certificates);

/* Prints a chain, indented, each with subject, issuer, serial and dates. */
void certificates_print(const CertificateList *certificates, FILE *stream, const char *indent);
/* An object with subject, issuer, serial number, dates, SHA-256 and PEM; an array of those. NULL without memory. */
json_t *certificate_to_json(const Certificate *certificate);
json_t *certificates_to_json(const CertificateList *certificates);
/* SHA-256 of the DER in lower-case hexadecimal; the caller frees. NULL without memory. */
char *certificate_sha256(const Certificate *certificate);

/* PEM text; the caller clears. -ENOMEM. */
int pem_encode(const char *label, BytesView der, Bytes *ret);
/* PEM as a JSON string, null for nothing. */
json_t *pem_to_json(const char *label, BytesView der);
