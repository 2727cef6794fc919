/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one rule about names of identities. */
#include "common/names.h"

#include <string.h>

bool identity_name_is_valid(const char *name) {
    static const char first[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    static const char rest[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";

    if (!name || !name[0] || !strchr(first, name[0]))
        return false;
    size_t length = strspn(name, rest);
    return name[length] == '\0' && length <= IDENTITY_NAME_MAX;
}
