/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table that asn1Parser makes of signing.asn, and the cleanup for libtasn1's trees. */
#pragma once

#include "common/macros.h"

#include <libtasn1.h>

extern const asn1_static_node signing_asn1_table[];

static inline void asn1_cleanup(asn1_node *node) {
    if (*node)
        (void) asn1_delete_structure(node);
}
#define _cleanup_asn1_ _cleanup_(asn1_cleanup)
