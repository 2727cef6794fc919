/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a program is told whose identity ends: `ended-client IDENTITY` opens a credential for data-raw, says "open",
 * signs until that fails, and prints by name the errors of that signature, of reopening, and of opening another
 * credential.
 */
#include "identityd/identityd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define P256          0x0403
#define PATIENCE_MS   60000U
#define PAUSE_MS      5U
#define SIGNED_ENOUGH 3U

static const char *name_of(int r) {
    return r < 0 ? strerrorname_np(-r) : "none";
}

/* Between the last State and the end of the connection nothing signs, which is not for good. */
static int sign_until_the_end(identityd_credential *credential) {
    unsigned char signature[IDENTITYD_SIGNATURE_MAX];
    unsigned count = 0;
    int r = 0;

    for (unsigned passed = 0; passed < PATIENCE_MS && (r >= 0 || r == -EAGAIN); passed += PAUSE_MS) {
        size_t size = sizeof(signature);
        r = identityd_sign_message(credential, 0, P256, "AAAA", 4, signature, &size);
        if (++count == SIGNED_ENOUGH) {
            puts("open");
            fflush(stdout);
        }
        usleep(PAUSE_MS * 1000);
    }
    return r;
}

int main(int argc, char *argv[]) {
    identityd_credential *credential = NULL, *another = NULL;

    if (argc != 2 || identityd_credential_open(argv[1], "data-raw", &credential) < 0) {
        fprintf(stderr, "ended-client IDENTITY: %s\n", argc == 2 ? identityd_last_error() : "one argument");
        return 2;
    }
    int r = sign_until_the_end(credential);
    fprintf(stderr, "%s\n", identityd_last_error());
    printf("%s\n", name_of(r));
    printf("%s\n", name_of(identityd_credential_reopen(credential)));
    printf("%s\n", name_of(identityd_credential_open(argv[1], "data-raw", &another)));
    identityd_credential_free(another);
    identityd_credential_free(credential);
    return 0;
}
