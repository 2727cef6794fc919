/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See credential.h. */
#include "idctl/credential.h"

#include "common/names.h"
#include "idctl/output.h"

#include <stdio.h>
#include <string.h>

ExitCode credential_complain(int r, const char *what) {
    const char *text = identityd_last_error();
    size_t length = strlen(text);

    /* The sentence gets its full stop here. */
    if (length > 0 && text[length - 1] == '.')
        length--;
    complain("cannot %s: %.*s.", what, length > 0 ? (int) length : (int) strlen(strerror(-r)),
             length > 0 ? text : strerror(-r));
    return r == -EACCES || r == -EPERM ? EXIT_DENIED : r == -ENOENT ? EXIT_NOT_FOUND : EXIT_FAILED;
}

ExitCode credential_open(const char *identity, const char *purpose, identityd_credential **ret,
                         identityd_snapshot **ret_snapshot) {
    _cleanup_credential_ identityd_credential *credential = NULL;
    char what[128];

    if (!identity_name_is_valid(identity)) {
        complain("\"%s\" cannot be the name of an identity.", identity);
        return EXIT_USAGE;
    }
    snprintf(what, sizeof what, "open %s for %s", identity, purpose);
    int r = identityd_credential_open(identity, purpose, &credential);
    if (r >= 0)
        r = identityd_credential_snapshot(credential, ret_snapshot);
    if (r < 0)
        return credential_complain(r, what);
    *ret = TAKE_PTR(credential);
    return EXIT_OK;
}
