/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The last failure of each thread. It is a plain value in thread-local memory: nothing to free, nothing shared, and
 * no allocation can fail on the way to saying that memory is short. */
#include "client-lib/error.h"

#include "client-lib/entry.h"
#include "identityd/identityd.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local Failure last_failure;

_public_ const char *identityd_last_error(void) {
    PRESERVE_ERRNO;

    return last_failure.text;
}

int client_error(int r, const char *format, ...) {
    char text[FAILURE_TEXT_MAX];
    va_list arguments;

    va_start(arguments, format);
    (void) vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return failure_set(&last_failure, r, FAILURE_INTERNAL, "%s", text);
}

int client_errno(int r, const char *what) {
    return failure_errno(&last_failure, r, what);
}

int client_error_prefix(int r, const char *format, ...) {
    char text[FAILURE_TEXT_MAX];
    va_list arguments;

    va_start(arguments, format);
    (void) vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return failure_prefix(&last_failure, r, "%s", text);
}

int client_errno_of_kind(FailureKind kind) {
    switch (kind) {
    case FAILURE_ACCESS_DENIED:
        return -EACCES;
    case FAILURE_NO_SUCH_IDENTITY:
        return -ENOENT;
    case FAILURE_NOT_READY:
        return -EAGAIN;
    case FAILURE_EXPIRED:
        return -EKEYEXPIRED;
    case FAILURE_REVOKED:
        return -EKEYREVOKED;
    case FAILURE_RETIRED:
        return -ENOKEY;
    case FAILURE_TPM_UNAVAILABLE:
    case FAILURE_TPM_REPLACED:
        return -ENODEV;
    case FAILURE_INVALID_ARGUMENT:
        return -EINVAL;
    case FAILURE_PURPOSE_VIOLATION:
        return -EPERM;
    case FAILURE_BUSY:
    case FAILURE_SEND_AGAIN:
    case FAILURE_LOOKUP_FAILED: /* it passes */
        return -EBUSY;
    case FAILURE_LIMITS_EXCEEDED:
        return -EDQUOT;
    default:
        return -EIO;
    }
}
