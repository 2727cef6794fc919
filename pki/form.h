/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What forms of names are put together from: bytes that are the same for what is the same, to be compared and not to be
 * read. Internal to pki/. */
#pragma once

#include "common/bytes.h"

/* In four bytes. -ENOMEM, as those that follow. */
int form_append_number(Bytes *form, size_t number);
/* With its length before it, so that two in a row are told apart. */
int form_append_counted(Bytes *form, BytesView part);

/* For qsort(3), of Bytes: an order of any kind that is the same each time. */
int form_compare(const void *a, const void *b);
