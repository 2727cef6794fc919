/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Certificates with software keys for the unit tests of idctl. */
#pragma once

#include "pki/certificate.h"

#include <gnutls/abstract.h>

typedef struct LabCertificate {
    gnutls_x509_crt_t certificate;
    gnutls_x509_privkey_t key;
} LabCertificate;

/* Issued by `issuer`, or self-signed if that is NULL; valid from an hour ago for `days` (negative: expired). */
void lab_certificate_new(const char *common_name, bool ca, gnutls_pk_algorithm_t algorithm, unsigned bits, int days,
                         const LabCertificate *issuer, LabCertificate *ret);
void lab_certificate_clear(LabCertificate *certificate);

/* As the programs read it; the caller frees. */
Certificate *lab_certificate_read(const LabCertificate *certificate);
/* Takes nothing: the list gets copies. */
void lab_chain(CertificateList *ret, size_t count, const LabCertificate *const *certificates);
