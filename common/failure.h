/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What went wrong, in the words that reach a person. A function that can fail for a reason which a caller
 * outside must be told returns a negative errno and fills in a Failure: the kind selects the D-Bus error
 * name (docs/design.md §8) and the status on a credential handle; the text says what failed, for which identity,
 * why, and what to do. It is a plain value: copied between threads and packets, never freed. */
#pragma once

#include "common/macros.h"

#include <stdbool.h>
#include <stdint.h>

#define FAILURE_TEXT_MAX 768U /* bytes, with the NUL; longer texts are cut at a character */

/* The numbers are the status values of the handle protocol: never renumber. */
typedef enum FailureKind {
    FAILURE_NONE = 0,
    FAILURE_INTERNAL = 1, /* our own bug, or out of memory: org.freedesktop.DBus.Error.Failed */
    FAILURE_ACCESS_DENIED = 2,
    FAILURE_NO_SUCH_IDENTITY = 3,
    FAILURE_NOT_READY = 4, /* no certificate yet, or no such generation any more */
    FAILURE_EXPIRED = 5,
    FAILURE_REVOKED = 6,
    FAILURE_TPM_UNAVAILABLE = 7,
    FAILURE_TPM_REPLACED = 8,
    FAILURE_INVALID_ARGUMENT = 9,
    FAILURE_PURPOSE_VIOLATION = 10,
    FAILURE_BUSY = 11,
    FAILURE_LIMITS_EXCEEDED = 12,
    FAILURE_ENROLLMENT_FAILED = 13,
    FAILURE_CERTIFICATE_REJECTED = 14,
    FAILURE_RETIRED = 15,
    FAILURE_STORAGE = 16,       /* the disk: on the bus org.freedesktop.DBus.Error.IOError */
    FAILURE_SEND_AGAIN = 17,    /* on the bus: what was sent was not kept until the caller was known to be permitted */
    FAILURE_LOOKUP_FAILED = 18, /* on the bus: whether the caller is admitted could not be found out */
    _FAILURE_KIND_COUNT,
} FailureKind;

typedef struct Failure {
    FailureKind kind;
    char text[FAILURE_TEXT_MAX];
} Failure;

#define FAILURE_INIT ((Failure) { .kind = FAILURE_NONE, .text = "" })

/* Whether a look at the TPM may tell more. */
static inline bool failure_is_of_tpm(const Failure *failure) {
    return failure->kind == FAILURE_TPM_UNAVAILABLE || failure->kind == FAILURE_TPM_REPLACED;
}

/* Fills in `failure` (which may be NULL) and returns `r`, which is negative; so
 * `return failure_set(ret_failure, -EINVAL, FAILURE_INVALID_ARGUMENT, "…", …);`. Control characters in the
 * result are replaced, since parts of it come from peers. */
int failure_set(Failure *failure, int r, FailureKind kind, const char *format, ...) _printf_(4, 5);

/* Puts "TEXT: " before what `failure` says already; keeps the kind and returns `r`. */
int failure_prefix(Failure *failure, int r, const char *format, ...) _printf_(3, 4);

/* For -ENOMEM and its like, a negative errno: kind internal, text from strerror(-r). Where there are no descriptors
 * left (-EMFILE, -ENFILE) it is LIMITS_EXCEEDED, and the text names the limit and what to do. Returns `r`. */
int failure_errno(Failure *failure, int r, const char *what);

/* The D-Bus error name of a kind, e.g. "org.identityd1.Error.AccessDenied"; never NULL. */
const char *failure_dbus_name(FailureKind kind);

/* The kind that a D-Bus error name stands for, FAILURE_INTERNAL for all others. Several kinds share a name:
 * the first is given. */
FailureKind failure_from_dbus_name(const char *name);
