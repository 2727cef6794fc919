/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The file `state`: what must survive a restart beside keys and certificates. Its last line is a checksum over those
 * before it: a damaged file is known as such, and of what can still be read in it only what makes an identity less able
 * counts. */
#include "store/key-values.h"

#include <stdio.h>
#include <string.h>

#define FORMAT        2U /* of the file; a later one is refused, not guessed at */
#define FORMAT_BEFORE 1U /* without checksum and settings */

void stored_state_clear(StoredState *state) {
    bytes_clear(&state->parent_name);
    *state = (StoredState) { 0 };
}

/* The order in the file. Those of FORMAT_BEFORE come first. */
typedef enum StateField {
    FIELD_FORMAT,
    FIELD_REVOKED,
    FIELD_HOLD,
    FIELD_RETIRED,
    FIELD_REVOKED_AT,
    FIELD_FAILURES,
    FIELD_NEXT_ATTEMPT,
    FIELD_LAST_SUCCESS,
    FIELD_CLOCK_FLOOR,
    FIELD_LAST_GENERATION,
    FIELD_OF_GENERATION,
    FIELD_PARENT_NAME,
    FIELD_LAST_ERROR,
    FIELD_HOST_NAME,
    FIELD_SETTINGS,
    FIELD_FAILURES_PAST_END,
    FIELD_LATE,
    _FIELD_COUNT,
} StateField;
#define FIELDS_BEFORE FIELD_SETTINGS

static void list_fields(StoredState *state, uint32_t *format, KeyValue ret[static _FIELD_COUNT]) {
    const KeyValue fields[_FIELD_COUNT] = {
        [FIELD_FORMAT] = { "format", VALUE_U32, format, 0 },
        [FIELD_REVOKED] = { "revoked", VALUE_BOOLEAN, &state->revoked, 0 },
        [FIELD_HOLD] = { "hold", VALUE_BOOLEAN, &state->hold, 0 },
        [FIELD_RETIRED] = { "retired", VALUE_BOOLEAN, &state->retired, 0 },
        [FIELD_REVOKED_AT] = { "revoked-at", VALUE_I64, &state->revoked_at, 0 },
        [FIELD_FAILURES] = { "failures", VALUE_U32, &state->failures, 0 },
        [FIELD_NEXT_ATTEMPT] = { "next-attempt", VALUE_I64, &state->next_attempt, 0 },
        [FIELD_LAST_SUCCESS] = { "last-success", VALUE_I64, &state->last_success, 0 },
        [FIELD_CLOCK_FLOOR] = { "clock-floor", VALUE_I64, &state->clock_floor, 0 },
        [FIELD_LAST_GENERATION] = { "last-generation", VALUE_U32, &state->last_generation, 0 },
        [FIELD_OF_GENERATION] = { "of-generation", VALUE_U32, &state->of_generation, 0 },
        [FIELD_PARENT_NAME] = { "parent-name", VALUE_HEX, &state->parent_name, PARENT_NAME_MAX },
        [FIELD_LAST_ERROR] = { "last-error", VALUE_TEXT, state->last_error, sizeof(state->last_error) },
        [FIELD_HOST_NAME] = { "host-name", VALUE_TEXT, state->host_name, sizeof(state->host_name) },
        [FIELD_FAILURES_PAST_END] = { "failures-past-end", VALUE_U32, &state->failures_past_end, 0 },
        [FIELD_LATE] = { "late", VALUE_I64, &state->late, 0 },
        [FIELD_SETTINGS] = { "settings", VALUE_TEXT, state->settings, sizeof(state->settings) },
    };

    memcpy(ret, fields, sizeof fields);
}

/* ---- reading ---- */

/* What is read of a damaged file: no more than what blocks, or must not be used twice. All the rest is forgotten. */
enum { SALVAGED_REVOKED, SALVAGED_HOLD, SALVAGED_RETIRED, SALVAGED_LAST_GENERATION, SALVAGED_HOST_NAME, _SALVAGED };

/* What cannot be believed is left out, and on the side of caution: a revocation or retirement that may have stood there
 * blocks. */
static int salvage(BytesView content, StoredState *ret) {
    StoredState state = { .of_generation = UINT32_MAX }; /* nothing newer was committed without being noted */
    const KeyValue fields[_SALVAGED] = {
        [SALVAGED_REVOKED] = { "revoked", VALUE_BOOLEAN, &state.revoked, 0 },
        [SALVAGED_HOLD] = { "hold", VALUE_BOOLEAN, &state.hold, 0 },
        [SALVAGED_RETIRED] = { "retired", VALUE_BOOLEAN, &state.retired, 0 },
        [SALVAGED_LAST_GENERATION] = { "last-generation", VALUE_U32, &state.last_generation, 0 },
        [SALVAGED_HOST_NAME] = { "host-name", VALUE_TEXT, state.host_name, sizeof(state.host_name) },
    };
    bool read[_SALVAGED] = { false };
    int r = key_values_salvage(content, fields, _SALVAGED, read);

    if (r < 0)
        return r;
    if (!read[SALVAGED_REVOKED] || !read[SALVAGED_HOLD] || !read[SALVAGED_RETIRED])
        state.hold = true;
    if (!read[SALVAGED_LAST_GENERATION])
        state.last_generation = 0;
    if (!read[SALVAGED_HOST_NAME])
        state.host_name[0] = '\0';
    *ret = state;
    return STORE_SALVAGED;
}

static int read_lines(Place place, BytesView lines, size_t count, StoredState *ret, Failure *ret_failure) {
    _cleanup_(stored_state_clear) StoredState state = { 0 };
    uint32_t format = 0;
    KeyValue fields[_FIELD_COUNT];

    list_fields(&state, &format, fields);
    int r = key_values_read(place, STATE_FILE, lines, fields, count, ret_failure);
    if (r < 0)
        return r;
    if (format != (count == _FIELD_COUNT ? FORMAT : FORMAT_BEFORE))
        return place_malformed(place, STATE_FILE, 1, "format: is none of ours", ret_failure);
    *ret = state;
    state = (StoredState) { 0 };
    return 0;
}

/* A file of a later version is whole, and not for us to touch. */
static bool is_of_the_future(BytesView lines) {
    static const char prefix[] = "format=";
    unsigned long format = 0;

    if (lines.size > sizeof prefix && memcmp(lines.data, prefix, sizeof prefix - 1U) == 0)
        format = strtoul((const char *) lines.data + sizeof prefix - 1U, NULL, 10);
    return format > FORMAT;
}

int store_state_load(Store *store, StoredState *ret, Failure *ret_failure) {
    const Place place = store_place(store);
    _cleanup_bytes_ Bytes content = BYTES_NULL;
    int r = place_read(place, STATE_FILE, KEY_VALUE_FILE_MAX, &content, ret_failure);

    if (r == -ENOENT) {
        *ret = (StoredState) { 0 };
        return 0;
    }
    if (r == -EBADMSG) /* empty, say */
        return salvage((BytesView) { (const uint8_t *) "", 0 }, ret);
    if (r < 0)
        return r;
    BytesView lines = { NULL, 0 };
    r = checksum_strip(bytes_view(&content), &lines);
    if (r < 0 && r != -EBADMSG)
        return failure_errno(ret_failure, r, store->path);
    if (lines.size > 0 && is_of_the_future(lines))
        return failure_set(ret_failure, -EPROTO, FAILURE_STORAGE,
                           "%s/" STATE_FILE ": a newer identityd wrote this file: install that again", store->path);
    if (lines.size > 0)
        r = read_lines(place, lines, _FIELD_COUNT, ret, ret_failure);
    else
        r = read_lines(place, bytes_view(&content), FIELDS_BEFORE, ret, ret_failure);
    if (r != -EBADMSG)
        return r;
    if (lines.size == 0) /* that it lacks a key of ours says less */
        (void) place_malformed(place, STATE_FILE, 0, "its checksum is wrong or missing", ret_failure);
    return salvage(bytes_view(&content), ret);
}

/* ---- writing ---- */

static int write_state(Store *store, const StoredState *state, uint32_t last_generation, Failure *ret_failure) {
    _cleanup_bytes_ Bytes content = BYTES_NULL;
    StoredState copy = *state; /* shallow: nothing in it is freed */
    uint32_t format = FORMAT;
    KeyValue fields[_FIELD_COUNT];

    if (state->parent_name.size > PARENT_NAME_MAX)
        return place_malformed(store_place(store), STATE_FILE, 0, "the parent's name is too long to be stored",
                               ret_failure);
    copy.last_generation = last_generation;
    list_fields(&copy, &format, fields);
    int r = key_values_write(fields, _FIELD_COUNT, &content);
    if (r >= 0)
        r = checksum_append(&content);
    if (r < 0)
        return failure_errno(ret_failure, r, store->path);
    return place_write(store_place(store), STATE_FILE, bytes_view(&content), ret_failure);
}

int store_state_save(Store *store, const StoredState *state, Failure *ret_failure) {
    _cleanup_(stored_state_clear) StoredState old = { 0 };
    Failure ignored = FAILURE_INIT;

    /* Also says so, rather than overwrites, when the file that is there is not ours to understand. */
    int r = store_state_load(store, &old, ret_failure ? ret_failure : &ignored);
    if (r < 0)
        return r;
    if (ret_failure)
        *ret_failure = FAILURE_INIT;
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
