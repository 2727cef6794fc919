/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bare ESYS with a P-256 key under the persistent SRK: the limit that everything else is compared with. */
#pragma once

#include "common/macros.h"

#include <tss2/tss2_esys.h>

typedef struct RawTpm {
    ESYS_CONTEXT *esys;
    ESYS_TR parent, key; /* `key` is loaded */
    TPM2B_PUBLIC *public;
    TPM2B_PRIVATE *private;
} RawTpm;

/* 0 or -EIO; the parent at 0x81000001 must exist. */
int raw_tpm_open(const char *tcti, RawTpm **ret);
RawTpm *raw_tpm_free(RawTpm *raw);
DEFINE_CLEANUP(RawTpm, raw_tpm_free)

int raw_tpm_load(RawTpm *raw, ESYS_TR *ret);
/* Signs 32 zero bytes with a password session. */
int raw_tpm_sign(RawTpm *raw, ESYS_TR key);
/* Signs a SHA-256 hash; `*ret` is freed with Esys_Free(). 0, -EINVAL (another size), -EIO. */
int raw_tpm_sign_hash(const RawTpm *raw, ESYS_TR key, const void *hash, size_t size, TPMT_SIGNATURE **ret);
