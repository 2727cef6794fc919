/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a certificate request to a certificate: the profile of the lab's certificates, and the ways in which a CA
 * can get one wrong on purpose. */
#pragma once

#include "ca.h"
#include "faults.h"

typedef struct IssueOrder {
    gnutls_x509_crq_t request;  /* its signature has been verified */
    int64_t lifetime;           /* seconds; 0: without expiry (99991231235959Z), for an IDevID */
    FaultKind fault;            /* FAULT_NONE, or what is to be wrong */
    gnutls_x509_crt_t previous; /* what the client authenticated with, or NULL */
} IssueOrder;

/* Issues, records in index.txt and stores under issued/. The certificate belongs to the caller. */
int issue_certificate(const Ca *ca, const IssueOrder *order, gnutls_x509_crt_t *ret);

/* A request in DER or PEM whose signature is right and whose key is strong enough (RSA 2048, P-256). -EBADMSG with a
 * reason (static) otherwise. */
int request_import(const gnutls_datum_t *data, gnutls_x509_crt_fmt_t format, gnutls_x509_crq_t *ret,
                   const char **ret_reason);

/* RFC 7030 §4.2.2: whether subject and subject alternative name of the request equal the certificate's. */
bool request_matches_certificate(gnutls_x509_crq_t request, gnutls_x509_crt_t certificate, const char **ret_reason);
