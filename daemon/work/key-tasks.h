/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What joins tpm and pki: keys, requests and signatures made on the signing thread, between those for handles. Each
 * task owns all that it needs, so that main may change its mind meanwhile; `ret_task` is for tpm_task_forget,
 * and is no more once `done` is called. */
#pragma once

#include "pki/certificate.h"
#include "pki/csr.h"
#include "work/tpm-task.h"

/* Creates a key under the parent that the TPM watch has seen. `key` is NULL on failure, else the callee's. */
typedef void (*KeyDone)(const Failure *failure, TpmKey *key, void *userdata);
int key_task_start(Work *work, KeyAlgorithm algorithm, KeyDone done, void *userdata, TpmTask **ret_task);

/* Signs a digest with a copy of `key`. The result is borrowed. */
typedef void (*BytesDone)(const Failure *failure, BytesView bytes, void *userdata);
typedef struct SignOrder {
    const TpmKey *key;
    const SignatureScheme *scheme;
    BytesView digest;   /* of the scheme's length */
    SigningPayer payer; /* whose time of the TPM it takes; zeroed: our own, which goes first */
} SignOrder;
int sign_task_start(Work *work, const SignOrder *order, BytesDone done, void *userdata, TpmTask **ret_task);

/* The names that a request asks for, with this device's values in them. Owned. */
typedef struct RequestNames {
    char *subject;
    CsrSan sans[CSR_SANS_MAX]; /* borrow san_values */
    char *san_values[CSR_SANS_MAX];
    size_t san_count;
} RequestNames;
void request_names_clear(RequestNames *names);

/* Makes a certification request, DER. */
typedef struct RequestOrder {
    const TpmKey *key;
    const Certificate *renew; /* its Subject and SAN byte for byte; NULL: `names` */
    RequestNames names;       /* taken over on success */
    const char *eku[CSR_EKU_MAX];
    size_t eku_count;
    const char *challenge; /* challengePassword; NULL: none */
} RequestOrder;
int request_task_start(Work *work, RequestOrder *order, BytesDone done, void *userdata, TpmTask **ret_task);
