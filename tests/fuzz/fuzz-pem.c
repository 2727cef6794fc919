/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PEM bundles: what is taken comes back the same through our own PEM. */
#include "fuzz.h"

#include "pki/certificate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _cleanup_certificates_ CertificateList list = { 0 }, again = { 0 };
    _cleanup_bytes_ Bytes pem = BYTES_NULL;
    Failure failure = FAILURE_INIT;

    if (certificate_list_from_pem((BytesView) { data, size }, 8, &list, &failure) < 0) {
        require(failure.kind == FAILURE_CERTIFICATE_REJECTED && failure.text[0]);
        return 0;
    }
    require(list.count >= 1 && list.count <= 8);
    require(certificate_list_to_pem(&list, &pem) == 0);
    require(certificate_list_from_pem((BytesView) { pem.data, pem.size }, 8, &again, &failure) == 0);
    require(again.count == list.count);
    for (size_t i = 0; i < list.count; i++)
        require(certificate_equal(list.list[i], again.list[i]));
    return 0;
}
