/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /run/identityd/NAME/key.pem: a PEM block that stands where programs expect a private key and only names an identity
 * and the generation that chain.pem beside it is of. Without a generation (current.pem) it means whichever is current
 * when it is loaded. The daemon writes it, the OpenSSL provider reads it. Its content is DER, since OpenSSL's file
 * loader drops the label:
 *
 *   SEQUENCE { UTF8String "org.identityd1", UTF8String name, INTEGER generation OPTIONAL }
 */
#pragma once

#include "common/bytes.h"
#include "common/names.h"

#define KEY_REFERENCE_LABEL "IDENTITYD PRIVATE KEY"
#define KEY_REFERENCE_MARK  "org.identityd1"
#define KEY_REFERENCE_MAX   128U /* bytes of DER */

/* The whole file; `generation` 0: whichever is current. -EINVAL: no name of an identity; -ENOMEM. */
int key_reference_to_pem(const char *name, uint32_t generation, Bytes *ret_pem);
