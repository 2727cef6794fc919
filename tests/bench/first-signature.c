/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A whole process that makes one signature with libidentityd and links nothing else; timed by tests/bench/device. */
#include <identityd/identityd.h>

#include <stdio.h>
#include <stdlib.h>

int main(void) {
    identityd_credential *credential = NULL;
    unsigned char signature[IDENTITYD_SIGNATURE_MAX];
    size_t size = sizeof signature;
    int r = identityd_credential_open("demo-data", "data-raw", &credential);

    if (r >= 0)
        r = identityd_sign_message(credential, 0, identityd_scheme_number("ecdsa_secp256r1_sha256"), "bench", 5,
                                   signature, &size);
    if (r < 0)
        fprintf(stderr, "%s\n", identityd_last_error());
    identityd_credential_free(credential);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
