/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Takes in the generated table, which asks for a configuration header that we do not have. */
#include "signing/asn1.h"

#define HAVE_CONFIG_H 0
#include "signing-asn1-table.h"
