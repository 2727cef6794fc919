/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Failures: a kind, and one line of valid UTF-8 without control characters, whatever went into it. */
#include "common/failure.h"

#include "common/names.h"
#include "common/text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

static const char *const dbus_names[_FAILURE_KIND_COUNT] = {
    [FAILURE_NONE] = "org.freedesktop.DBus.Error.Failed",
    [FAILURE_INTERNAL] = "org.freedesktop.DBus.Error.Failed",
    [FAILURE_ACCESS_DENIED] = IDENTITYD_ERROR_PREFIX "AccessDenied",
    [FAILURE_NO_SUCH_IDENTITY] = IDENTITYD_ERROR_PREFIX "NoSuchIdentity",
    [FAILURE_NOT_READY] = IDENTITYD_ERROR_PREFIX "NotReady",
    [FAILURE_EXPIRED] = IDENTITYD_ERROR_PREFIX "Expired",
    [FAILURE_REVOKED] = IDENTITYD_ERROR_PREFIX "Revoked",
    [FAILURE_TPM_UNAVAILABLE] = IDENTITYD_ERROR_PREFIX "TpmUnavailable",
    [FAILURE_TPM_REPLACED] = IDENTITYD_ERROR_PREFIX "TpmReplaced",
    [FAILURE_INVALID_ARGUMENT] = IDENTITYD_ERROR_PREFIX "InvalidArgument",
    [FAILURE_PURPOSE_VIOLATION] = IDENTITYD_ERROR_PREFIX "PurposeViolation",
    [FAILURE_BUSY] = IDENTITYD_ERROR_PREFIX "Busy",
    [FAILURE_LIMITS_EXCEEDED] = IDENTITYD_ERROR_PREFIX "LimitsExceeded",
    [FAILURE_ENROLLMENT_FAILED] = IDENTITYD_ERROR_PREFIX "EnrollmentFailed",
    [FAILURE_CERTIFICATE_REJECTED] = IDENTITYD_ERROR_PREFIX "CertificateRejected",
    [FAILURE_RETIRED] = IDENTITYD_ERROR_PREFIX "Retired",
    [FAILURE_STORAGE] = "org.freedesktop.DBus.Error.IOError",
    [FAILURE_SEND_AGAIN] = IDENTITYD_ERROR_PREFIX "SendAgain",
    [FAILURE_LOOKUP_FAILED] = IDENTITYD_ERROR_PREFIX "LookupFailed",
};

/* Through a buffer of its own, since the arguments may point into `text`. */
__attribute__((format(printf, 3, 0))) static void format_text(char *text, const char *tail, const char *format,
                                                              va_list arguments) {
    char buffer[FAILURE_TEXT_MAX];
    int n = vsnprintf(buffer, sizeof(buffer), format, arguments);
    bool cut = n >= (int) sizeof(buffer);
    size_t length = n < 0 ? 0 : cut ? sizeof(buffer) - 1 : (size_t) n;

    if (tail && !cut) {
        n = snprintf(buffer + length, sizeof(buffer) - length, ": %s", tail);
        cut = n >= (int) (sizeof(buffer) - length);
        length = n < 0 ? length : cut ? sizeof(buffer) - 1 : length + (size_t) n;
    }
    buffer[length] = '\0';
    text_sanitize(buffer, length, cut);
    memcpy(text, buffer, length + 1);
}

int failure_set(Failure *failure, int r, FailureKind kind, const char *format, ...) {
    va_list arguments;

    if (!failure)
        return r;
    failure->kind = kind;
    va_start(arguments, format);
    format_text(failure->text, NULL, format, arguments);
    va_end(arguments);
    return r;
}

int failure_prefix(Failure *failure, int r, const char *format, ...) {
    va_list arguments;

    if (!failure)
        return r;
    va_start(arguments, format);
    format_text(failure->text, failure->text, format, arguments);
    va_end(arguments);
    return r;
}

int failure_errno(Failure *failure, int r, const char *what) {
    struct rlimit limit = { 0 };

    assert(r < 0); /* or what went well would be told as a failure */
    if (r == -EMFILE && getrlimit(RLIMIT_NOFILE, &limit) >= 0)
        return failure_set(failure, r, FAILURE_LIMITS_EXCEEDED,
                           "%s: all %ju descriptors that this process may have are open. Raise LimitNOFILE= of its "
                           "unit; how many identityd may need, \"idctl check\" says",
                           what, (uintmax_t) limit.rlim_cur);
    if (r == -ENFILE)
        return failure_set(failure, r, FAILURE_LIMITS_EXCEEDED,
                           "%s: the system has no descriptors left: see file-nr and file-max in proc(5)", what);
    return failure_set(failure, r, FAILURE_INTERNAL, "%s: %s", what, strerrordesc_np(-r) ?: "unknown error");
}

const char *failure_dbus_name(FailureKind kind) {
    return dbus_names[(unsigned) kind < _FAILURE_KIND_COUNT ? kind : FAILURE_INTERNAL];
}

FailureKind failure_from_dbus_name(const char *name) {
    for (int kind = FAILURE_INTERNAL; name && kind < _FAILURE_KIND_COUNT; kind++)
        if (strcmp(dbus_names[kind], name) == 0)
            return (FailureKind) kind;
    return FAILURE_INTERNAL;
}
