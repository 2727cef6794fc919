/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The SubjectPublicKeyInfo of what a TPM holds as its EK certificate. */
#include "fuzz.h"

#include "tpm/certificate-spki.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _cleanup_bytes_ Bytes spki = BYTES_NULL;

    if (certificate_spki((BytesView) { data, size }, &spki) >= 0)
        require(spki.size > 0 && spki.size < size && memmem(data, size, spki.data, spki.size));
    return 0;
}
