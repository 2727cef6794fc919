/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table that asn1Parser makes of tpm.asn, for those who read and write with it. */
#pragma once

#include "common/asn1.h"

extern const asn1_static_node tpm_asn1_table[];
