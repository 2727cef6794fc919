/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libtasn1's trees: owned, and made of the tables that asn1Parser writes. Each room has a table of its own. */
#pragma once

#include "common/bytes.h"

#include <libtasn1.h>

static inline void asn1_node_p(asn1_node *node) {
    if (*node)
        (void) asn1_delete_structure(node);
}
#define _cleanup_asn1_ _cleanup_(asn1_node_p)

/* An empty value of a type, "MODULE.TYPE", to be filled in and encoded or decoded into. A type that the table does not
 * have is a bug. -ENOMEM. */
int asn1_tree_new(const asn1_static_node *table, const char *type, asn1_node *ret);
/* Decodes one whole `der`, strictly and without bytes after it. -EBADMSG, -ENOMEM. */
int asn1_tree_decode(const asn1_static_node *table, const char *type, BytesView der, asn1_node *ret);
