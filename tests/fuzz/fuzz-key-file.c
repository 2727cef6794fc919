/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Key files (TSS2 PRIVATE KEY), as PEM or as the DER within. What comes out has our attributes, and is written as it
 * was read. */
#include "fuzz.h"

#include "tpm/internal.h"

#include <gnutls/x509.h>
#include <string.h>

#define WANTED_ATTRIBUTES                                                                                              \
    (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |     \
     TPMA_OBJECT_NODA | TPMA_OBJECT_SIGN_ENCRYPT)

static void try_pem(BytesView pem) {
    static const uint8_t name[34] = { 0x00, 0x0b, 1, 2, 3 }; /* SHA-256 */
    _cleanup_tpm_key_ TpmKey *key = NULL, *again = NULL;
    _cleanup_bytes_ Bytes written = BYTES_NULL;
    BytesView parent = { name, sizeof name };
    TPM2B_PUBLIC public;
    TPM2B_PRIVATE private;
    Failure failure = FAILURE_INIT;

    if (tpm_key_from_pem(pem, parent, &key, &failure) < 0) {
        require(!key && failure.kind != FAILURE_NONE && failure.text[0] != '\0');
        return;
    }
    require(tpm_key_parts(key, &public, &private) == 0 && public.publicArea.objectAttributes == WANTED_ATTRIBUTES);
    require(tpm_key_spki(key).size > 0 && tpm_key_name(key).size == 34);
    require(tpm_key_to_pem(key, &written) == 0);
    require(tpm_key_from_pem(bytes_view(&written), parent, &again, &failure) == 0);
    require(bytes_view_equal(tpm_key_name(key), tpm_key_name(again)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    gnutls_datum_t der = { (uint8_t *) data, (unsigned int) size }, pem = { NULL, 0 };

    if (size == 0 || data[0] == '-') {
        try_pem((BytesView) { data, size });
        return 0;
    }
    if (gnutls_pem_base64_encode2("TSS2 PRIVATE KEY", &der, &pem) < 0)
        return 0;
    try_pem((BytesView) { pem.data, pem.size });
    gnutls_free(pem.data);
    return 0;
}
