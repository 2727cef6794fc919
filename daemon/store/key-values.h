/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The store's small text files: KEY=VALUE lines, each key exactly once, nothing else. Not for other rooms. */
#pragma once

#include "store/store-internal.h"

typedef enum KeyValueType {
    VALUE_BOOLEAN, /* bool: yes or no */
    VALUE_U32,     /* uint32_t */
    VALUE_I64,     /* int64_t */
    VALUE_HEX,     /* Bytes of at most `size` */
    VALUE_TEXT,    /* char[size]: one line */
} KeyValueType;

typedef struct KeyValue {
    const char *key;
    KeyValueType type;
    void *field;
    size_t size;
} KeyValue;

#define KEY_VALUES_MAX     20U
#define KEY_VALUE_FILE_MAX 8192U

/* Fills in the fields from a file's content. Fields may have changed also on failure: give it a scratch object. A
 * complaint names file and line. -EBADMSG, -ENOMEM. */
int key_values_read(Place place, const char *name, BytesView content, const KeyValue *list, size_t count,
                    Failure *ret_failure);

/* What can be read of a damaged content, line by line; `ret_read[i]`: the key stands there once, with a good value.
 * Fields of the others are as before. 0 or -ENOMEM. */
int key_values_salvage(BytesView content, const KeyValue *list, size_t count, bool *ret_read);

/* The file's content. Control characters in texts become spaces. 0 or -ENOMEM. */
int key_values_write(const KeyValue *list, size_t count, Bytes *ret);
