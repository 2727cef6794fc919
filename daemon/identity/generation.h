/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The generation that an identity signs with: a key and its chain. */
#pragma once

#include "identity/base.h"
#include "pki/chain.h"
#include "rules/schedule.h"
#include "tpm/tpm.h"

/* 0 and NULL without one. */
uint32_t identity_generation(const Identity *identity);
const TpmKey *identity_key(const Identity *identity);
const CertificateList *identity_chain(const Identity *identity); /* leaf first, without the anchor; may be empty */
const Certificate *identity_leaf(const Identity *identity);

/* Whether the present generation has signed: those before it that nobody holds may go. */
bool identity_generation_is_used(const Identity *identity);
void identity_note_used(Identity *identity, uint32_t generation);

/* When peers begin to refuse the chain: the earliest end in it, which may be an intermediate's (seconds; 0: no chain).
 */
int64_t identity_chain_end(const Identity *identity);

/* Its life as schedules reckon it; false: there is no generation. */
bool identity_life(const Identity *identity, ScheduleLife *ret);

/* This device's part of 2^64 for the present certificate: the same on every call, spread evenly over a fleet. In the
 * middle without a certificate or a hash. */
uint64_t identity_share(const Identity *identity);

/* ---- for this room ---- */

int generation_new(Identity *identity);
void generation_free(Identity *identity);
/* Reads the current generation from the store, once the anchors are there. -EBADMSG (kind STORAGE): what is there is
 * damaged, and there is none then; else -errno of the disk. */
int generation_load(Identity *identity, Failure *ret_failure);
/* Warns where the chain in use does not end in the anchors that count now. */
void generation_compare_anchors(const Identity *identity);
void generation_set(Identity *identity, uint32_t number, TpmKey *key /* taken */, CertificateList *chain /* taken */);
void generation_drop(Identity *identity);
