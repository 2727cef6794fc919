/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The file `state`: what must survive a restart beside keys and certificates. */
#include "store/key-values.h"

#define FORMAT 1U /* of the file; a later one is refused, not guessed at */

void stored_state_clear(StoredState *state) {
    bytes_clear(&state->parent_name);
    *state = (StoredState) { 0 };
}

#define FIELDS(state, format)                                                                                          \
    {                                                                                                                  \
        { "format", VALUE_U32, (format), 0 }, { "revoked", VALUE_BOOLEAN, &(state)->revoked, 0 },                      \
            { "hold", VALUE_BOOLEAN, &(state)->hold, 0 }, { "retired", VALUE_BOOLEAN, &(state)->retired, 0 },          \
            { "revoked-at", VALUE_I64, &(state)->revoked_at, 0 }, { "failures", VALUE_U32, &(state)->failures, 0 },    \
            { "next-attempt", VALUE_I64, &(state)->next_attempt, 0 },                                                  \
            { "last-success", VALUE_I64, &(state)->last_success, 0 },                                                  \
            { "clock-floor", VALUE_I64, &(state)->clock_floor, 0 },                                                    \
            { "last-generation", VALUE_U32, &(state)->last_generation, 0 },                                            \
            { "of-generation", VALUE_U32, &(state)->of_generation, 0 },                                                \
            { "parent-name", VALUE_HEX, &(state)->parent_name, PARENT_NAME_MAX },                                      \
            { "last-error", VALUE_TEXT, (state)->last_error, sizeof((state)->last_error) },                            \
            { "host-name", VALUE_TEXT, (state)->host_name, sizeof((state)->host_name) },                               \
    }

int store_state_load(Store *store, StoredState *ret, Failure *ret_failure) {
    _cleanup_(stored_state_clear) StoredState state = { 0 };
    _cleanup_bytes_ Bytes content = BYTES_NULL;
    uint32_t format = 0;
    const KeyValue fields[] = FIELDS(&state, &format);

    int r = place_read(store_place(store), STATE_FILE, KEY_VALUE_FILE_MAX, &content, ret_failure);
    if (r < 0 && r != -ENOENT)
        return r;
    if (r == 0) {
        r = key_values_read(store_place(store), STATE_FILE, bytes_view(&content), fields, ARRAY_LENGTH(fields),
                            ret_failure);
        if (r < 0)
            return r;
        if (format != FORMAT)
            return place_malformed(store_place(store), STATE_FILE, 1,
                                   "format: must be 1; a newer identityd wrote this file", ret_failure);
    }
    *ret = state;
    state = (StoredState) { 0 };
    return 0;
}

static int write_state(Store *store, const StoredState *state, uint32_t last_generation, Failure *ret_failure) {
    _cleanup_bytes_ Bytes content = BYTES_NULL;
    StoredState copy = *state; /* shallow: nothing in it is freed */
    uint32_t format = FORMAT;
    const KeyValue fields[] = FIELDS(&copy, &format);

    if (state->parent_name.size > PARENT_NAME_MAX)
        return place_malformed(store_place(store), STATE_FILE, 0, "the parent's name is too long to be stored",
                               ret_failure);
    copy.last_generation = last_generation;
    if (key_values_write(fields, ARRAY_LENGTH(fields), &content) < 0)
        return failure_errno(ret_failure, -ENOMEM, store->path);
    return place_write(store_place(store), STATE_FILE, bytes_view(&content), ret_failure);
}

int store_state_save(Store *store, const StoredState *state, Failure *ret_failure) {
    _cleanup_(stored_state_clear) StoredState old = { 0 };

    /* Also says so, rather than overwrites, when the file that is there is not ours to understand. */
    int r = store_state_load(store, &old, ret_failure);
    if (r < 0)
        return r;
    uint32_t last = state->last_generation > old.last_generation ? state->last_generation : old.last_generation;
    return write_state(store, state, last, ret_failure);
}

int store_state_reserve(Store *store, uint32_t number, Failure *ret_failure) {
    _cleanup_(stored_state_clear) StoredState state = { 0 };

    int r = store_state_load(store, &state, ret_failure);
    if (r < 0)
        return r;
    return state.last_generation >= number ? 0 : write_state(store, &state, number, ret_failure);
}
