/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The CA and the certificate that the seeds of CRLs and OCSP answers are about, read once. */
#pragma once

#include "fuzz.h"

#include "pki/certificate.h"

#include <unistd.h>

static inline const Certificate *peer(const char *path, Certificate **cache) {
    _cleanup_bytes_ Bytes der = BYTES_NULL;

    if (!*cache) {
        require(bytes_read_file(path, CERTIFICATE_MAX, &der) == 0);
        require(certificate_from_der((BytesView) { der.data, der.size }, cache, NULL) == 0);
    }
    return *cache;
}
