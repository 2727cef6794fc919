/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the library's own parts may ask of a credential beyond the public header. */
#pragma once

#include "client-lib/snapshot.h"
#include "identityd/identityd.h"

/* The newest snapshot: looks for news first where that is possible, and is the last known one on a closed credential
 * and in a forked child. A reference of the caller's. */
identityd_snapshot *credential_latest(identityd_credential *credential) _for_siblings_(credential_latest);

/* identityd_credential_snapshot(), and one of the identityd_sign_…(), for programs that should not have to know of
 * restarts: a closed credential is opened again first, in a forked child at once, else at most once in
 * REVIVE_SECONDS_MIN, less often while that fails, up to REVIVE_SECONDS_MAX. Errors as theirs, or as
 * identityd_credential_open(). */
#define REVIVE_SECONDS_MIN 1U
#define REVIVE_SECONDS_MAX 30U
int credential_use(identityd_credential *credential, identityd_snapshot **ret) _for_siblings_(credential_use);

/* The same, and identityd_credential_open(), for who has a deadline of his own (connection_now()). */
int credential_use_until(identityd_credential *credential, uint64_t deadline, identityd_snapshot **ret);
int credential_open_until(const char *identity, const char *purpose, uint64_t deadline, identityd_credential **ret);

typedef struct SignRequest {
    uint8_t type; /* HANDLE_SIGN_… */
    uint32_t generation;
    uint16_t scheme;
    BytesView payload;
} SignRequest;

/* As the identityd_sign_…() do, on the connection that there is. */
int credential_sign_once(identityd_credential *credential, const SignRequest *request, void *signature,
                         size_t *signature_size);

/* `signature` has room for IDENTITYD_SIGNATURE_MAX bytes. */
int credential_sign(identityd_credential *credential, const SignRequest *request, void *signature, size_t *ret_size)
    _for_siblings_(credential_sign);

/* A lock for what is kept beside the credential; free in a forked child. */
void credential_lock(identityd_credential *credential) _for_siblings_(credential_lock);
void credential_unlock(identityd_credential *credential) _for_siblings_(credential_unlock);

DEFINE_CLEANUP(identityd_credential, identityd_credential_free)
