/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Puts the parts together, and does what concerns several of them. */
#include "identity/identity.h"

#include "common/text.h"
#include "device/device.h"
#include "device/log.h"
#include "identity/parts.h"
#include "rules/backoff.h"

#include <string.h>

/* ---- life ---- */

int identity_new(const IdentityContext *context, const char *name, Identity **ret) {
    _cleanup_(identity_free_p) Identity *identity = calloc(1, sizeof *identity);

    if (!identity)
        return -ENOMEM;
    identity->context = context;
    identity->instance = device_next_id(context->device);
    identity->name = strdup(name);
    int r = identity->name ? 0 : -ENOMEM;
    if (r >= 0)
        r = definition_new(identity);
    if (r >= 0)
        r = record_new(identity);
    if (r >= 0)
        r = generation_new(identity);
    if (r >= 0)
        r = anchors_new(identity);
    if (r >= 0)
        r = statements_new(identity);
    if (r >= 0)
        r = standing_new(identity);
    if (r >= 0)
        r = duties_new(identity);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(identity);
    return 0;
}

static bool is_whole(const Identity *identity) {
    return identity->standing && identity->name;
}

Identity *identity_free(Identity *identity) {
    Failure stopping = FAILURE_INIT;

    if (!identity)
        return NULL;
    (void) failure_set(&stopping, -ESHUTDOWN, FAILURE_NOT_READY, "%s is no longer configured, or identityd stops.",
                       identity->name ? identity->name : "");
    if (is_whole(identity)) {
        identity_stop(identity, &stopping);
        duties_free(identity);
    }
    standing_free(identity);
    statements_free(identity);
    anchors_free(identity);
    generation_free(identity);
    record_free(identity);
    definition_free(identity);
    free(identity->name);
    free(identity);
    return NULL;
}

/* ---- loading ---- */

typedef struct Loading {
    Backoff backoff; /* of a disk that could not be read; no failures: it was */
} Loading;

static const BackoffPolicy patience = { 1, 60 };

/* The power went in the middle of something that is to be ended as it was begun: a commit whose state was not saved
 * leads out of `revoked` and `retired` all the same, and a retirement that had begun leaves no key. */
static int finish_what_was_cut(Identity *identity, Failure *ret_failure) {
    const TpmKey *key = identity_key(identity);

    if (identity_generation(identity) > record_of_generation(identity)) {
        identity_forget_attempts(identity);
        (void) record_committed(identity, identity_generation(identity),
                                key ? tpm_key_parent_name(key) : (BytesView) { NULL, 0 });
        identity_set_error(identity, NULL);
        (void) identity_save(identity); /* else it is found again at the next start */
        return 0;
    }
    /* Without generations it is through, and what is pending was begun after it. */
    if (!identity_is_retired(identity) || store_current(identity_store(identity)) == 0)
        return 0;
    generation_drop(identity);
    record_note_generation(identity, 0);
    return store_retire(identity_store(identity), ret_failure);
}

/* What is on the disk is damaged: nothing that could be made anew is a reason to stop, and nothing is deleted. */
static void tell_damage(Identity *identity, const Failure *failure) {
    Failure text = FAILURE_INIT;

    (void) failure_set(
        &text, -EBADMSG, FAILURE_STORAGE,
        "%s. What is there cannot be used; nothing was deleted. `idctl enroll --new-key %s` makes it anew, "
        "if the CA permits, or a backup may be put back.",
        failure->text, identity->name);
    log_entry(LOG_ERR, MESSAGE_STORAGE, identity->name, "%s", text.text);
    identity_set_error(identity, text.text);
}

static int load_generation(Identity *identity, Failure *ret_failure) {
    int r = generation_load(identity, ret_failure);

    record_note_generation(identity, identity_generation(identity));
    if (r == -EBADMSG) {
        tell_damage(identity, ret_failure);
        *ret_failure = FAILURE_INIT;
        r = 0;
    }
    return r < 0 ? r : finish_what_was_cut(identity, ret_failure);
}

static bool is_certified(const Identity *identity) {
    _cleanup_store_ Store *store = NULL;

    if (identity_store(identity))
        return store_current(identity_store(identity)) != 0;
    /* What is wrong with it is told when it is loaded. */
    return store_open(device_directories(identity->context->device)->state_fd, identity->name, false, &store, NULL) >=
               0 &&
           store_current(store) != 0;
}

/* A faulty edit: what the identity may do is no longer known, so nobody may use it. */
static void put_out_of_use(Identity *identity) {
    Failure why = FAILURE_INIT;

    (void) identity_is_misconfigured(identity, &why);
    identity_stop(identity, &why);
    identity_set_activity(identity, ACTIVITY_IDLE);
    identity_set_error(identity, identity_fault(identity));
}

/* What is on the disk when it can be read again, and not what was in memory, is what it is then. */
static void unload(Identity *identity) {
    Failure why = FAILURE_INIT;

    (void) failure_set(&why, -EIO, FAILURE_NOT_READY, "%s could not be read again.", identity->name);
    identity_stop(identity, &why);
    generation_drop(identity);
    record_unload(identity);
    standing_forget(identity);
    identity_note(identity, CHANGED_GENERATION);
}

/* Anchors come before the generation, which is judged by them. */
static int load_everything(Identity *identity, Failure *ret_failure) {
    bool is_first = !identity_store(identity);
    int r = is_first ? record_load(identity, ret_failure) : 0;

    if (r >= 0)
        r = anchors_load(identity, ret_failure);
    if (r < 0)
        return r;
    if (!is_first) {
        generation_compare_anchors(identity);
        return 0;
    }
    r = load_generation(identity, ret_failure);
    if (r >= 0)
        identity_note(identity, CHANGED_GENERATION);
    return r;
}

/* What stands against using it is told; only a disk that cannot be read is a reason to try again. */
static void load(Identity *identity) {
    Loading *loading = identity_part(identity, &loading_duty);
    Failure failure = FAILURE_INIT;
    bool was_out = identity_state(identity) == STATE_MISCONFIGURED, is_again = false;
    int r = definition_load(identity, is_certified(identity));

    standing_set_storage_fault(identity, NULL);
    if (r >= 0) {
        r = load_everything(identity, &failure);
        if (r < 0)
            unload(identity);
    }
    if (r < 0 && failure.kind != FAILURE_NONE && failure.kind != FAILURE_STORAGE && failure.kind != FAILURE_INTERNAL)
        definition_refuse(identity, failure.text);
    else if (r < 0 && (failure.kind != FAILURE_NONE || error_may_pass(r))) {
        backoff_failed(&loading->backoff, &patience, identity_now(identity));
        is_again = true;
    }
    if (is_again && failure.kind != FAILURE_NONE) { /* of a configuration that cannot be read, its fault has told */
        standing_set_storage_fault(identity, failure.text);
        identity_set_error(identity, failure.text);
        log_entry(LOG_ERR, MESSAGE_STORAGE, identity->name, "%s%s It is tried again.", failure.text,
                  text_full_stop(failure.text));
    }
    if (!is_again)
        backoff_succeeded(&loading->backoff);
    if (identity_is_misconfigured(identity, NULL))
        put_out_of_use(identity);
    else if (was_out)
        identity_set_error(identity, NULL);
    time_join_domain(identity);
    identity_evaluate(identity);
}

void identity_load(Identity *identity) {
    Loading *loading = identity_part(identity, &loading_duty);

    backoff_succeeded(&loading->backoff); /* who asks for it has patience anew */
    load(identity);
}

static Instant loading_when(const Identity *identity) {
    const Loading *loading = identity_part(identity, &loading_duty);

    if (loading->backoff.failures == 0)
        return instant_never();
    return backoff_when(&loading->backoff, &patience, identity_now(identity));
}

const Duty loading_duty = {
    .name = "loading",
    .part_size = sizeof(Loading),
    .when = loading_when,
    .begin = load,
};

/* ---- a new generation ---- */

int identity_adopt(Identity *identity, uint32_t number, TpmKey *key, CertificateList *chain) {
    bool was_revoked = identity_revocation(identity).revoked;
    BytesView parent = tpm_key_parent_name(key);
    Attempts attempts;

    generation_set(identity, number, key, chain);
    record_note_generation(identity, number);
    attempts_succeeded(&attempts, identity_now(identity), 0);
    identity_set_attempts(identity, &attempts);
    int r = record_committed(identity, number, parent);
    identity_learn_time(identity, identity_leaf(identity)->not_before, "the beginning of a certificate");
    identity_set_error(identity, NULL);
    if (r >= 0)
        r = identity_save(identity);
    identity_note(identity, CHANGED_GENERATION | (was_revoked ? CHANGED_WAY_OUT : 0));
    standing_installed(identity);
    identity_evaluate(identity);
    return r;
}

/* ---- the end ---- */

/* The highest that is or may be on the disk. */
static uint32_t highest_generation(const Identity *identity) {
    _cleanup_free_ uint32_t *numbers = NULL;
    uint32_t highest = identity_generation(identity), last = record_last_generation(identity);
    size_t count = 0;

    if (last > highest)
        highest = last;
    if (store_list(identity_store(identity), &numbers, &count, NULL) >= 0 && count > 0 && numbers[count - 1U] > highest)
        highest = numbers[count - 1U];
    return highest;
}

int identity_retire(Identity *identity, Failure *ret_failure) {
    Failure stopping = FAILURE_INIT;

    if (!identity_store(identity))
        return failure_set(ret_failure, -EBADMSG, FAILURE_NOT_READY, "%s cannot be retired: %s", identity->name,
                           identity_error(identity));
    (void) failure_set(&stopping, -ECANCELED, FAILURE_RETIRED, "%s was retired.", identity->name);
    identity_stop(identity, &stopping);
    identity_set_activity(identity, ACTIVITY_IDLE);
    identity_forget_attempts(identity);
    /* The mark first: a power cut in between leaves an identity that is retired and has files, never one that lives on
     * without a key. */
    int r = record_retire(identity, highest_generation(identity), ret_failure);
    if (r < 0)
        return r;
    /* With the mark on the disk it is retired, whether or not every file could be deleted; who asked is told. */
    (void) store_retire(identity_store(identity), ret_failure);
    generation_drop(identity);
    record_note_generation(identity, 0);
    identity_set_error(identity, NULL);
    identity_note(identity, CHANGED_GENERATION);
    identity_evaluate(identity);
    return 0;
}
