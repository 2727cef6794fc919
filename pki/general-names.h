/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GeneralNames, as subject alternative names have them (RFC 5280 §4.2.1.6). Internal to pki/. */
#pragma once

#include "common/bytes.h"

#include <stdbool.h>

/* Numbers of GeneralName's choices. */
enum { NAME_OTHER = 0, NAME_MAIL = 1, NAME_DNS = 2, NAME_DIRECTORY = 4, NAME_URI = 6, NAME_IP = 7, NAME_KINDS = 9 };

/* A form in which two DER GeneralNames are the same bytes if they are the same set: order and repetition do not count,
 * nor letter case in DNS names, in the domain of mail, in the scheme and host of URIs; directory names are compared as
 * directory-name.h has it, and the rest byte for byte. An empty view is an empty set. What is malformed is its own
 * bytes. `ret` is owned by the caller. -ENOMEM. */
int general_names_form(BytesView names, Bytes *ret);

/* For sentences, as SubjectAltName= writes them: `dns:a.example uri:urn:x`, "none" for an empty set; cut with "…" at
 * GENERAL_NAMES_TEXT_MAX bytes with the NUL. Returns `buffer`. */
#define GENERAL_NAMES_TEXT_MAX 140U
const char *general_names_text(BytesView names, char buffer[static GENERAL_NAMES_TEXT_MAX]);

/* The host of a URI that has an authority (RFC 3986 §3.2.2), without port, an IPv6 address with its brackets. False
 * without one. */
bool uri_host(BytesView uri, BytesView *ret);
