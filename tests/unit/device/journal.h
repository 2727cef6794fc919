/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The journal in the test's hand: entries come here with their fields, in place of the C library's and the log's text.
 */
#pragma once

/* From here on, until the end of the process or journal_end. */
void journal_begin(void);
void journal_end(void);
/* A field of the last entry that has it, without its name; "" where none has. */
const char *journal_field(const char *name);
/* Forgets all entries. */
void journal_forget(void);
