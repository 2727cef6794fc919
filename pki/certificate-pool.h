/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Certificates that many have, once: a device with a thousand identities has their CA's certificates in memory a single
 * time, and takes them apart a single time. What nobody has any more goes, at the latest when there is as much of that
 * as of what is in use. Of one thread. */
#pragma once

#include "pki/certificate.h"

typedef struct CertificatePool CertificatePool;

int certificate_pool_new(CertificatePool **ret);
/* What others have of it stays theirs. Takes NULL, returns NULL. */
CertificatePool *certificate_pool_free(CertificatePool *pool);
DEFINE_CLEANUP(CertificatePool, certificate_pool_free)

/* certificate_from_der, or a reference to what is there already. Without memory for its own books the pool forgets
 * nothing and remembers nothing: the certificate is given all the same. */
int certificate_pool_from_der(CertificatePool *pool, BytesView der, Certificate **ret, Failure *ret_failure);
/* Gives up copies of what is there already, and remembers the others. */
void certificate_pool_share(CertificatePool *pool, CertificateList *list);

/* certificate_list_from_pem and certificate_bundle_from_pem through the pool. */
int certificate_list_from_pem_shared(CertificatePool *pool, BytesView pem, size_t maximum, CertificateList *ret,
                                     Failure *ret_failure);
int certificate_bundle_from_pem_shared(CertificatePool *pool, BytesView pem, CertificateList *ret,
                                       LeftOut *ret_left_out, Failure *ret_failure);
