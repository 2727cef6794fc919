/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state file in memory, and who may change what of it. */
#include "identity/record.h"

#include "common/text.h"
#include "device/device.h"
#include "device/log.h"
#include "identity/parts.h"

#include <stdio.h>
#include <string.h>

struct Record {
    Store *store;
    StoredState state;
    Attempts attempts;   /* as `state` has them, in their own type */
    uint32_t generation; /* the one in use, which the state is about when it is saved */
};

int record_new(Identity *identity) {
    identity->record = calloc(1, sizeof *identity->record);
    return identity->record ? 0 : -ENOMEM;
}

void record_unload(Identity *identity) {
    Record *record = identity->record;

    record->store = store_free(record->store);
    stored_state_clear(&record->state);
    record->attempts = (Attempts) { .failures = 0 };
    record->generation = 0;
}

void record_free(Identity *identity) {
    if (!identity->record)
        return;
    record_unload(identity);
    free(identity->record);
    identity->record = NULL;
}

int record_load(Identity *identity, Failure *ret_failure) {
    Record *record = identity->record;
    _cleanup_store_ Store *store = NULL;
    _cleanup_(stored_state_clear) StoredState state = { 0 };
    int state_fd = device_directories(identity->context->device)->state_fd;

    int r = store_open(state_fd, identity->name, true, &store, ret_failure);
    if (r == STORE_SALVAGED) {
        log_entry(LOG_ERR, MESSAGE_STORAGE, identity->name, "%s. Generation %u of those that are there is current now.",
                  ret_failure->text, store_current(store));
        *ret_failure = FAILURE_INIT;
    }
    if (r >= 0)
        r = store_state_load(store, &state, ret_failure);
    if (r < 0)
        return r;
    if (r == STORE_SALVAGED) {
        log_entry(LOG_ERR, MESSAGE_STORAGE, identity->name,
                  "%s%s What can be read of it counts, on the side of caution%s; the rest is made anew.",
                  ret_failure->text, text_full_stop(ret_failure->text),
                  state.hold ? ": it is on hold until the CA says that it is not revoked, or `idctl enroll --new-key`"
                             : "");
        *ret_failure = FAILURE_INIT;
    }
    store_free(record->store);
    stored_state_clear(&record->state);
    record->store = TAKE_PTR(store);
    record->state = state;
    state = (StoredState) { 0 };
    record->attempts = (Attempts) {
        .failures = record->state.failures,
        .failures_past_end = record->state.failures_past_end,
        .next = instant_from_seconds(record->state.next_attempt),
        .last_success = record->state.last_success,
        .late = record->state.late,
    };
    return 0;
}

Store *identity_store(const Identity *identity) {
    return identity->record->store;
}

int identity_save(Identity *identity) {
    StoredState *state = &identity->record->state;
    Failure failure = FAILURE_INIT;
    uint32_t generation = identity->record->generation;

    if (!identity->record->store)
        return -ENODATA;
    /* Of a retired identity it is what no key that is still on the disk may be newer than. */
    if (!state->retired || generation > state->of_generation)
        state->of_generation = generation;
    int r = store_state_save(identity->record->store, state, &failure);
    if (r < 0)
        log_entry(LOG_ERR, MESSAGE_STORAGE, identity->name, "%s", failure.text);
    return r;
}

const Attempts *identity_attempts(const Identity *identity) {
    return &identity->record->attempts;
}

void identity_set_attempts(Identity *identity, const Attempts *attempts) {
    StoredState *state = &identity->record->state;

    identity->record->attempts = *attempts;
    state->failures = attempts->failures;
    state->failures_past_end = attempts->failures_past_end;
    state->late = attempts->late;
    state->next_attempt = instant_to_seconds(attempts->next, 1);
    state->last_success = attempts->last_success;
    identity_note(identity, CHANGED_PROPERTIES);
}

void identity_forget_attempts(Identity *identity) {
    Attempts attempts = identity->record->attempts;

    attempts_forget(&attempts);
    identity_set_attempts(identity, &attempts);
}

IdentityRevocation identity_revocation(const Identity *identity) {
    const StoredState *state = &identity->record->state;

    return (IdentityRevocation) { state->revoked, state->hold, state->revoked_at };
}

void identity_set_revocation(Identity *identity, const IdentityRevocation *revocation) {
    StoredState *state = &identity->record->state;

    state->revoked = revocation->revoked;
    state->hold = revocation->hold;
    state->revoked_at = revocation->at;
}

bool identity_is_retired(const Identity *identity) {
    return identity->record->state.retired;
}

const char *identity_host_name(const Identity *identity) {
    return identity->record->state.host_name;
}

void identity_set_host_name(Identity *identity, const char *host_name) {
    (void) snprintf(identity->record->state.host_name, sizeof identity->record->state.host_name, "%s", host_name);
}

int64_t identity_clock_floor(const Identity *identity) {
    return identity->record->state.clock_floor;
}

void identity_set_clock_floor(Identity *identity, int64_t floor) {
    identity->record->state.clock_floor = floor;
}

const char *identity_error(const Identity *identity) {
    return identity->record->state.last_error;
}

void record_set_error(Identity *identity, const char *text) {
    StoredState *state = &identity->record->state;

    (void) snprintf(state->last_error, sizeof state->last_error, "%.*s", (int) sizeof state->last_error - 1, text);
}

const char *identity_settings(const Identity *identity) {
    return identity->record->state.settings;
}

void identity_set_settings(Identity *identity, const char *digest) {
    (void) snprintf(identity->record->state.settings, sizeof identity->record->state.settings, "%s", digest);
}

void record_note_generation(Identity *identity, uint32_t number) {
    identity->record->generation = number;
}

uint32_t record_of_generation(const Identity *identity) {
    return identity->record->state.of_generation;
}

uint32_t record_last_generation(const Identity *identity) {
    return identity->record->state.last_generation;
}

int record_committed(Identity *identity, uint32_t number, BytesView parent_name) {
    StoredState *state = &identity->record->state;

    state->revoked = state->hold = state->retired = false;
    state->revoked_at = 0;
    state->last_generation = number;
    bytes_clear(&state->parent_name);
    return bytes_copy(parent_name, &state->parent_name);
}

int record_retire(Identity *identity, uint32_t of_generation, Failure *ret_failure) {
    StoredState *state = &identity->record->state;
    uint32_t before = state->of_generation;

    state->retired = true;
    state->of_generation = of_generation;
    int r = store_state_save(identity->record->store, state, ret_failure);
    if (r < 0) {
        state->retired = false;
        state->of_generation = before;
    }
    return r;
}
