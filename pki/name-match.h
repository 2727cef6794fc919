/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* DNS names, addresses, mail and URIs: whether one is what a peer was asked for (RFC 9525), and whether one is within
 * the base of a name constraint (RFC 5280 §4.2.1.10). Internal to pki/. */
#pragma once

#include "common/bytes.h"
#include "pki/directory-name.h"

/* As common/alternative-name.h has it, with underscores. `wildcard_too`: the first label may be "*". */
bool name_is_dns(BytesView name, bool wildcard_too);

/* Whether a name among the subject alternative names of a certificate is the one asked for: case does not count, one
 * "*" stands for one whole first label, and there must be two more behind it. `host` is valid and without a wildcard.
 */
bool dns_name_is_host(BytesView presented, BytesView host);

/* Bases of constraints. A wildcard is below what all its names are below, and is excluded where one of them is. What is
 * malformed, name or base, is unclear. An IP base has address and mask, a mail base is an address, a host, or with a
 * dot before it a domain's hosts. */
NameMatch dns_name_is_below(BytesView name, BytesView base, bool is_exclusion);
NameMatch mail_is_below(BytesView mail, BytesView base);
NameMatch address_is_below(BytesView address, BytesView base);
/* By its host: "host.example" is that host, ".example" whatever ends so; an empty one excludes all and permits none. A
 * URI without a DNS name for a host is unclear. */
NameMatch uri_is_below(BytesView uri, BytesView base, bool is_exclusion);

/* Scheme and host without case, the rest byte for byte. */
bool uri_is_same(BytesView a, BytesView b);
