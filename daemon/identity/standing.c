/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From what is known of an identity to its state, and from its state to what people are told. */
#include "identity/standing.h"

#include "device/device.h"
#include "device/log.h"
#include "identity/definition.h"
#include "identity/duties.h"
#include "identity/generation.h"
#include "identity/parts.h"
#include "identity/record.h"
#include "identity/time.h"
#include "rules/standing.h"

#include <stdio.h>
#include <string.h>

struct Standing {
    IdentityState state;
    IdentityActivity activity;
    bool is_replaced;
    bool chain_end_said; /* that peers refuse the present chain, whose intermediate has ended */
    char *storage_fault;
};

int standing_new(Identity *identity) {
    identity->standing = calloc(1, sizeof *identity->standing);
    if (!identity->standing)
        return -ENOMEM;
    identity->standing->state = STATE_UNAVAILABLE;
    return 0;
}

void standing_free(Identity *identity) {
    if (!identity->standing)
        return;
    free(identity->standing->storage_fault);
    free(identity->standing);
    identity->standing = NULL;
}

IdentityState identity_state(const Identity *identity) {
    return identity->standing->state;
}

bool identity_is_replaced(const Identity *identity) {
    return identity->standing->is_replaced;
}

IdentityActivity identity_activity(const Identity *identity) {
    return identity->standing->activity;
}

void identity_set_activity(Identity *identity, IdentityActivity activity) {
    if (identity->standing->activity == activity)
        return;
    identity->standing->activity = activity;
    identity_note(identity, CHANGED_PROPERTIES);
}

void identity_set_error(Identity *identity, const char *text) {
    Failure clean = FAILURE_INIT;

    /* What a configuration file or a state file says may be no UTF-8, which the bus would end our connection for. */
    if (text)
        (void) failure_set(&clean, 0, FAILURE_INTERNAL, "%s", text);
    if (strcmp(identity_error(identity), clean.text) == 0)
        return;
    record_set_error(identity, clean.text);
    identity_note(identity, CHANGED_PROPERTIES);
}

void standing_set_storage_fault(Identity *identity, const char *text) {
    const char *before = identity->standing->storage_fault, *error = identity_error(identity);

    /* It can be read again: what was said of that is past (as far as there was room to say it). */
    if (!text && before && error[0] && strncmp(before, error, strlen(error)) == 0)
        identity_set_error(identity, NULL);
    free(identity->standing->storage_fault);
    identity->standing->storage_fault = text ? strdup(text) : NULL;
}

void standing_forget(Identity *identity) {
    identity->standing->is_replaced = false;
    identity->standing->chain_end_said = false;
}

/* ---- the one place where the state changes ---- */

static void tell_change(const Identity *identity, IdentityState old, IdentityEvent event, const char *reason) {
    IdentityState next = identity->standing->state;
    char old_field[64], event_field[64], new_field[64];
    const char *const fields[] = { old_field, event_field, new_field, NULL };

    (void) snprintf(old_field, sizeof old_field, "IDENTITYD_OLD_STATE=%s", identity_state_to_string(old));
    (void) snprintf(event_field, sizeof event_field, "IDENTITYD_EVENT=%s", identity_event_to_string(event));
    (void) snprintf(new_field, sizeof new_field, "IDENTITYD_STATE=%s", identity_state_to_string(next));
    log_fields(next == STATE_REVOKED || next == STATE_EXPIRED ? LOG_WARNING : LOG_NOTICE,
               next == STATE_REVOKED ? MESSAGE_REVOKED : MESSAGE_STATE_CHANGED, identity->name, fields,
               "%s → %s (%s)%s%s", identity_state_to_string(old), identity_state_to_string(next),
               identity_event_to_string(event), reason ? ": " : "", reason ? reason : "");
}

static void apply(Identity *identity, IdentityEvent event, const char *reason) {
    IdentityState old = identity->standing->state, next = identity_state_next(old, event);

    if (next == _STATE_INVALID) {
        log_entry(LOG_ERR, MESSAGE_STATE_CHANGED, identity->name,
                  "Bug: the event %s must not happen in the state %s; nothing was changed.",
                  identity_event_to_string(event), identity_state_to_string(old));
        return;
    }
    if (next == old)
        return;
    identity->standing->state = next;
    tell_change(identity, old, event, reason);
    identity_note(identity, CHANGED_STATE);
    if (event == EVENT_EXPIRED)
        identity_note(identity, CHANGED_EXPIRED);
    if (event == EVENT_UNEXPIRED)
        identity_note(identity, CHANGED_UNEXPIRED);
}

/* ---- looking ---- */

static bool parent_differs(const Identity *identity, const TpmWatch *tpm) {
    const TpmKey *key = identity_key(identity);

    return key && tpm_watch_is_ready(tpm) && !bytes_view_equal(tpm_key_parent_name(key), tpm_watch_parent_name(tpm));
}

static const char *reason_of(const Identity *identity, IdentityState wanted) {
    const Standing *standing = identity->standing;

    switch (wanted) {
    case STATE_MISCONFIGURED:
        return identity_fault(identity);
    case STATE_UNAVAILABLE:
        if (standing->storage_fault)
            return standing->storage_fault;
        return standing->is_replaced ? IDENTITY_REPLACED_TEXT
                                     : tpm_watch_problem(device_tpm(identity->context->device));
    case STATE_REVOKED:
        return identity_revocation(identity).hold ? "on hold at the CA" : NULL;
    default:
        return NULL;
    }
}

static void look_at_tpm(Identity *identity) {
    Standing *standing = identity->standing;
    bool was_replaced = standing->is_replaced;

    standing->is_replaced = parent_differs(identity, device_tpm(identity->context->device));
    if (standing->is_replaced && !was_replaced)
        identity_set_error(identity, IDENTITY_REPLACED_TEXT);
    /* It is there again, or the TPM has gone: that is another matter, and told as such. */
    if (was_replaced && !standing->is_replaced)
        identity_set_error(identity, NULL);
}

static StandingFacts look(Identity *identity) {
    const TpmWatch *tpm = device_tpm(identity->context->device);
    const Standing *standing = identity->standing;
    const Certificate *leaf = identity_leaf(identity);
    IdentityRevocation revocation = identity_revocation(identity);
    bool is_read = identity_store(identity);

    return (StandingFacts) {
        .is_misconfigured = identity_is_misconfigured(identity, NULL),
        /* While nothing can be read, what was is not undone by that. */
        .is_retired = identity_is_retired(identity) || (!is_read && standing->state == STATE_RETIRED),
        .is_revoked = revocation.revoked || revocation.hold || (!is_read && standing->state == STATE_REVOKED),
        .is_usable = !standing->storage_fault && tpm_watch_is_ready(tpm) && !standing->is_replaced,
        .has_generation = identity_generation(identity) > 0,
        .is_expired = leaf && identity_now(identity) > leaf->not_after,
    };
}

/* ---- the end of a chain before the leaf's: the state is the leaf's, but peers see the rest ---- */

static Instant chain_end_when(const Identity *identity) {
    const Certificate *leaf = identity_leaf(identity);
    int64_t end = identity_chain_end(identity);

    if (!leaf || identity->standing->state != STATE_READY || identity->standing->chain_end_said ||
        end >= leaf->not_after)
        return instant_never();
    return instant_at(end + 1);
}

static void note_chain_end(Identity *identity, bool was_ready) {
    char who[CERTIFICATE_DESCRIPTION_MAX], end[CERTIFICATE_TIME_MAX], leaf_end[CERTIFICATE_TIME_MAX];
    const IdentityConfig *config = identity_config(identity);

    if (!instant_is_due(chain_end_when(identity), identity_now(identity)))
        return;
    identity->standing->chain_end_said = true;
    if (was_ready) /* else it ended long ago, and is only told again */
        identity_note(identity, CHANGED_CHAIN_ENDED);
    const Certificate *first = chain_first_to_end(identity_chain(identity));
    log_entry(
        LOG_WARNING, MESSAGE_CHAIN_ENDED, identity->name,
        "The CA certificate %s in its chain ended at %s: peers refuse the chain, though the certificate itself is "
        "valid until %s. %s",
        certificate_describe(first, who), certificate_time(first->not_after, end),
        certificate_time(identity_leaf(identity)->not_after, leaf_end),
        config->protocol == PROTOCOL_EST
            ? "Renewals are tried until the CA issues under one that is valid."
            : "Have it certified under one that is valid, and bring the chain in with `idctl install`.");
}

void identity_evaluate(Identity *identity) {
    bool was_ready = identity->standing->state == STATE_READY;
    IdentityEvent event;

    look_at_tpm(identity);
    StandingFacts facts = look(identity);
    for (unsigned i = 0; i < STANDING_EVENTS_MAX && standing_event(identity->standing->state, &facts, &event); i++)
        apply(identity, event, reason_of(identity, standing_state(&facts)));
    note_chain_end(identity, was_ready);
}

void standing_installed(Identity *identity) {
    identity->standing->chain_end_said = false;
    identity->standing->is_replaced = false;
    apply(identity, EVENT_INSTALLED, NULL);
}

/* ---- the clock ---- */

static Instant standing_when(const Identity *identity) {
    const Certificate *leaf = identity_leaf(identity);
    Instant when = chain_end_when(identity);

    if (leaf && identity->standing->state == STATE_READY)
        when = instant_earlier(when, instant_at(leaf->not_after + 1));
    /* The clock came back. */
    if (leaf && identity->standing->state == STATE_EXPIRED && identity_now(identity) <= leaf->not_after)
        when = instant_at_once();
    return when;
}

const Duty standing_duty = {
    .name = "standing",
    .when = standing_when,
    .begin = identity_evaluate,
};

/* ---- refusals ---- */

static const char *advice(const Identity *identity) {
    static const char *const texts[_STATE_COUNT] = {
        [STATE_EMPTY] = "it has no certificate yet; see `idctl show` for what its enrolment waits for",
        [STATE_EXPIRED] = "its certificate has expired and was not renewed; see `idctl show` for why",
        [STATE_REVOKED] = "its certificate was revoked by the CA; `idctl enroll --new-key` makes a new one",
        [STATE_UNAVAILABLE] = "the TPM cannot be used; see `idctl show`",
        [STATE_RETIRED] = "it was retired and its key destroyed; `idctl enroll` makes a new one",
    };
    const Standing *standing = identity->standing;

    if (standing->state == STATE_REVOKED && identity_revocation(identity).hold)
        return "the CA has put its certificate on hold; it signs again when the hold is lifted";
    if (standing->state == STATE_UNAVAILABLE && standing->is_replaced)
        return "its key was made in another TPM than this one; `idctl enroll` makes a new one";
    if (standing->state == STATE_UNAVAILABLE && standing->storage_fault)
        return "its files cannot be read just now, which is tried again; see `idctl show`";
    return texts[standing->state];
}

int identity_require_ready(const Identity *identity, Failure *ret_failure) {
    const Standing *standing = identity->standing;

    if (identity_is_misconfigured(identity, ret_failure))
        return -EBADMSG;
    if (tpm_watch_is_hung(device_tpm(identity->context->device)))
        return failure_set(ret_failure, -ENODEV, FAILURE_TPM_UNAVAILABLE, "%s cannot sign: " TPM_HUNG_TEXT,
                           identity->name);
    if (identity_state_signs(standing->state))
        return 0;
    return failure_set(ret_failure, -EAGAIN, identity_state_failure(standing->state, standing->is_replaced),
                       "%s cannot sign: %s.", identity->name, advice(identity));
}
