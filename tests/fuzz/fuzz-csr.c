/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PKCS#10 requests: key and names. */
#include "fuzz.h"

#include "pki/csr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _cleanup_bytes_ Bytes spki = BYTES_NULL, subject = BYTES_NULL, san = BYTES_NULL;
    BytesView der = { data, size };

    if (csr_spki(der, &spki) >= 0)
        require(spki.size > 0 && spki.size < size);
    if (csr_names(der, &subject, &san) >= 0)
        require(subject.size > 0 && subject.size + san.size < size);
    return 0;
}
