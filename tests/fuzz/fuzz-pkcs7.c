/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Certs-only PKCS#7. */
#include "fuzz.h"

#include "pki/certificate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _cleanup_certificates_ CertificateList list = { 0 };
    Failure failure = FAILURE_INIT;
    LeftOut left_out = { 0 };

    if (certificate_bundle_from_pkcs7((BytesView) { data, size }, 8, &list, &left_out, &failure) < 0)
        require(failure.kind == FAILURE_CERTIFICATE_REJECTED && failure.text[0]);
    else
        require(list.count >= 1 && list.count + left_out.count <= 8);
    return 0;
}
