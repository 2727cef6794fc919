/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How idctl speaks: results on standard output, everything else on standard error; colours only on a terminal and never
 * with NO_COLOR; text that came from elsewhere never reaches a terminal with control characters in it. */
#pragma once

#include "command/colour.h"
#include "command/complain.h"
#include "command/printable.h"
#include "common/bytes.h"

#include <jansson.h>
#include <libsmartcols.h>
#include <stdint.h>

/* The name that libsmartcols has for it; NULL for none. */
const char *colour_name(Colour colour);
/* The colour of an identity's state. */
Colour colour_of_state(const char *state);

/* A text that was made harmless, as a string of JSON. NULL without memory. */
json_t *text_to_json(const char *text);

/* "2026-03-01 12:00:00 CET (in 3 days)"; "-" for 0. `now` 0: without the second part. Microseconds since the epoch. The
 * caller frees; NULL without memory. */
char *time_to_text(uint64_t time, uint64_t now);
/* "3 days", "12 minutes": the largest unit that counts at least two, else seconds. `ret` has room for 32 bytes. */
const char *duration_to_text(uint64_t microseconds, char ret[static 32]);
/* "2026-03-01T11:00:00Z", or NULL for 0. */
json_t *time_to_json(uint64_t time);
uint64_t time_now(void);

/* Prints and releases. Several lines on a terminal and off it, or with `compact` one. 0 or -EIO/-ENOMEM. */
int json_print(json_t *value, bool compact);
#define _cleanup_json_ _cleanup_(json_decref_p)
static inline void json_decref_p(json_t **value) {
    json_decref(*value);
}

/* A table with these columns, for standard output; NULL without memory. */
struct libscols_table *table_new(const char *const *columns);
/* Appends a line of `count` cells; `colours` may be NULL. NULL cells are empty. 0 or -ENOMEM. */
int table_add(struct libscols_table *table, const char *const *cells, const Colour *colours, size_t count);
#define _cleanup_table_ _cleanup_(table_unref_p)
static inline void table_unref_p(struct libscols_table **table) {
    scols_unref_table(*table);
}

/* "name: value" lines for one object: the labels in one column. */
void print_field(const char *label, const char *value, Colour colour);
