/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A TPM of software at the edge: what stands behind the TCTI of a Tpm in this program, whatever its TCTI= says. It
 * answers the commands that identityd sends as a TPM would, its private keys all being the number one, until it is told
 * to answer otherwise. Link with fake_tpm_link (tests/fuzz/meson.build): it takes the place of tctildr, of the clock
 * and of waiting. */
#pragma once

#include "scratch.h"

#include "tpm/internal.h"

#define FAKE_TPM_INDICES 5U

typedef struct FakeIndex {
    bool is_there;
    TPMA_NV attributes;
    BytesView content;
} FakeIndex;

typedef struct FakeTpm {
    bool resource_manager; /* its handles are of one */
    bool is_stopped;       /* it wants TPM2_Startup first */
    bool lacks_parent;     /* nothing is at 0x81000001 */
    uint32_t nv_buffer_max;
    FakeIndex indices[FAKE_TPM_INDICES]; /* 0x01C0000A, 02, 14, 12, 16 */
    /* What is done to each answer, in a few bytes each, until they are used up; see fake-tpm.c. */
    BytesView spoils;
} FakeTpm;

/* The one of this program; zeroed: an honest one. */
extern FakeTpm fake_tpm;

/* A Tpm before it, and a P-256 key below its parent. */
Tpm *fake_tpm_open(void);
TpmKey *fake_tpm_key(void);
/* The DER of each public key here. */
BytesView fake_tpm_spki(void);
