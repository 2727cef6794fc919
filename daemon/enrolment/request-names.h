/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a request asks for, and the user that the CA is told: the configuration with this device's values in it. */
#pragma once

#include "config/identity-config.h"
#include "identity/base.h"
#include "work/key-tasks.h"

/* Subject= and SubjectAltName=; keeps the host name that is %H from now on. kinds: INVALID_ARGUMENT (a name that cannot
 * be, or a value that cannot stand in it: file, line, key and why), INTERNAL. */
int request_names(Identity *identity, RequestNames *ret, Failure *ret_failure);

/* Whether a request (PKCS#10 DER) has the names that are configured: 1 or 0. As request_names, and INVALID_ARGUMENT for
 * what is no request. */
int request_has_configured_names(Identity *identity, BytesView request, Failure *ret_failure);

/* The user that the CA is told. As request_names. */
int request_user(const Identity *identity, const Authenticate *authenticate, bool renewal, char **ret,
                 Failure *ret_failure);

typedef struct RequestInput {
    const TpmKey *key;
    bool present_names;     /* Subject and SAN of the present certificate, if there is one; else as configured */
    const char *const *eku; /* further extended key usages asked for by the CA */
    size_t eku_count;
    BytesView binding; /* of the TLS session that the request is linked to: challengePassword in base64; empty: none */
} RequestInput;

/* Makes a certification request on the signing thread (work/key-tasks.h). */
int request_start(Identity *identity, const RequestInput *input, BytesDone done, void *userdata, TpmTask **ret_task,
                  Failure *ret_failure);
