/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Looks at the TPM on the signing thread, and keeps what was seen. */
#include "device/tpm-watch.h"

#include "common/text.h"
#include "device/domains.h"
#include "device/log.h"
#include "rules/backoff.h"
#include "signing/signing.h"

#include <string.h>

#define USEC_PER_SECOND 1000000ULL
#define LOOK_AGAIN      USEC_PER_SECOND /* after a failure, at most once in this time */

static const BackoffPolicy patience = { 1, 60 };

struct TpmWatch {
    TpmWatchOptions options;
    sd_event_source *timer;
    TpmInformation information;
    Failure failure;
    Backoff backoff;
    char *salt;
    bool has_looked, looking, look_again, hang_said;
    uint64_t last_failure, tasks_failed;
};

typedef struct Look {
    TpmWatch *watch;
    char *salt;
    TpmInformation information;
    Failure failure;
} Look;

static Look *look_free(Look *look) {
    if (!look)
        return NULL;
    free(look->salt);
    free(look);
    return NULL;
}
DEFINE_CLEANUP(Look, look_free)

static void look_run(Tpm *tpm, void *data) {
    Look *look = data;

    (void) tpm_probe(tpm, look->salt, &look->information, &look->failure);
}

/* ---- what was seen ---- */

static void say_change(const TpmWatch *watch, bool first, bool was_ready) {
    const TpmInformation *now = &watch->information;
    bool is_ready = now->state == TPM_STATE_READY;

    if (!first && was_ready == is_ready)
        return;
    if (!is_ready)
        log_entry(LOG_ERR, MESSAGE_TPM_CHANGED, NULL, "The TPM cannot be used: %s%s It is tried again until it can.",
                  watch->failure.text, text_full_stop(watch->failure.text));
    else
        log_entry(LOG_INFO, MESSAGE_TPM_CHANGED, NULL, "The TPM is ready: %s, firmware %s.", now->vendor,
                  now->firmware);
    if (is_ready && now->parent_note[0] != '\0')
        log_entry(LOG_NOTICE, MESSAGE_TPM_CHANGED, NULL, "%s", now->parent_note);
    if (is_ready && now->device_id[0] == '\0')
        log_entry(LOG_WARNING, MESSAGE_TPM_CHANGED, NULL, "There is no device ID: %s", now->device_id_problem);
}

static void take(TpmWatch *watch, const Look *look) {
    bool first = !watch->has_looked, was_ready = tpm_watch_is_ready(watch);
    TpmInformation old = watch->information;

    watch->information = look->information;
    watch->failure = look->failure;
    watch->has_looked = true;
    if (look->information.state != TPM_STATE_READY) { /* what is known of the chip stays known while it is away */
        memcpy(watch->information.device_id, old.device_id, sizeof old.device_id);
        memcpy(watch->information.vendor, old.vendor, sizeof old.vendor);
        memcpy(watch->information.firmware, old.firmware, sizeof old.firmware);
    }
    say_change(watch, first, was_ready);
}

/* For the next start, which then knows the device ID without asking for it. */
static void keep(TpmWatch *watch) {
    const TpmInformation *tpm = &watch->information;
    StoredDevice *stored = &watch->options.stored;
    BytesView parent_name = tpm_watch_parent_name(watch), endorsement = { tpm->endorsement, tpm->endorsement_size };
    Failure failure = FAILURE_INIT;

    if (tpm->state != TPM_STATE_READY || endorsement.size == 0 || parent_name.size == 0 ||
        (bytes_view_equal(parent_name, bytes_view(&stored->parent_name)) &&
         bytes_view_equal(endorsement, bytes_view(&stored->endorsement))))
        return;
    stored_device_clear(stored);
    int r = store_device_save(watch->options.state_fd, parent_name, endorsement, &failure);
    if (r < 0)
        log_entry(LOG_WARNING, MESSAGE_STORAGE, NULL, "The device ID is not kept for the next start: %s", failure.text);
    if (r >= 0 &&
        (bytes_copy(parent_name, &stored->parent_name) < 0 || bytes_copy(endorsement, &stored->endorsement) < 0))
        stored_device_clear(stored);
}

/* ---- looking ---- */

static void start(TpmWatch *watch);

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
    start(userdata);
    return 0;
}

static void plan(TpmWatch *watch, uint64_t delay_usec) {
    int r;

    if (watch->timer) {
        r = sd_event_source_set_time_relative(watch->timer, delay_usec);
        if (r >= 0)
            r = sd_event_source_set_enabled(watch->timer, SD_EVENT_ONESHOT);
    } else
        r = sd_event_add_time_relative(watch->options.loop, &watch->timer, CLOCK_BOOTTIME, delay_usec, 0, on_timer,
                                       watch);
    if (r < 0)
        log_entry(LOG_ERR, MESSAGE_TPM_CHANGED, NULL, "Cannot plan the next look at the TPM: %s.", strerror(-r));
}

/* Of CLOCK_BOOTTIME, in whose seconds the back-off counts too. */
static int64_t boot_seconds(void) {
    return (int64_t) (boottime_usec() / USEC_PER_SECOND);
}

static void plan_patiently(TpmWatch *watch) {
    backoff_failed(&watch->backoff, &patience, boot_seconds());
    plan(watch, (uint64_t) (watch->backoff.next.seconds - boot_seconds()) * USEC_PER_SECOND);
}

static void look_done(void *data, bool cancelled) {
    _cleanup_(look_free_p) Look *look = data;
    TpmWatch *watch = look->watch;

    if (cancelled)
        return;
    watch->looking = false;
    take(watch, look);
    keep(watch);
    watch->options.looked(watch->options.userdata);
    if (tpm_watch_is_ready(watch))
        backoff_succeeded(&watch->backoff);
    else
        plan_patiently(watch);
    if (watch->look_again) {
        watch->look_again = false;
        start(watch);
    }
}

static void start(TpmWatch *watch) {
    _cleanup_(look_free_p) Look *look = NULL;

    if (watch->looking) {
        watch->look_again = true;
        return;
    }
    look = calloc(1, sizeof *look);
    if (look) {
        look->watch = watch;
        look->salt = watch->salt ? strdup(watch->salt) : NULL;
    }
    if (!look || (watch->salt && !look->salt) || signing_run(watch->options.signing, look_run, look_done, look) < 0) {
        plan_patiently(watch);
        return;
    }
    (void) TAKE_PTR(look);
    watch->looking = true;
}

void tpm_watch_look(TpmWatch *watch, const char *salt) {
    char *copy = salt ? strdup(salt) : NULL;

    if (salt && !copy) {
        plan_patiently(watch);
        return;
    }
    free(watch->salt);
    watch->salt = copy;
    start(watch);
}

/* ---- life ---- */

int tpm_watch_new(TpmWatchOptions *options, TpmWatch **ret) {
    TpmWatch *watch = calloc(1, sizeof *watch);

    if (!watch)
        return -ENOMEM;
    watch->options = *options;
    options->stored = (StoredDevice) { 0 };
    watch->information.state = TPM_STATE_UNAVAILABLE;
    (void) failure_set(&watch->failure, 0, FAILURE_TPM_UNAVAILABLE, "it has not answered yet since the start.");
    *ret = watch;
    return 0;
}

TpmWatch *tpm_watch_free(TpmWatch *watch) {
    if (!watch)
        return NULL;
    sd_event_source_disable_unref(watch->timer);
    stored_device_clear(&watch->options.stored);
    free(watch->salt);
    free(watch);
    return NULL;
}

/* ---- trouble ---- */

bool tpm_watch_note(TpmWatch *watch, const Failure *failure) {
    uint64_t now = boottime_usec(), since = now - watch->last_failure;

    if (!failure_is_of_tpm(failure))
        return false;
    if (watch->last_failure != 0 && since < LOOK_AGAIN) {
        plan(watch, LOOK_AGAIN - since);
        return false;
    }
    watch->last_failure = now;
    start(watch);
    return true;
}

void tpm_watch_note_task(TpmWatch *watch, const Failure *failure) {
    if (failure_is_of_tpm(failure))
        watch->tasks_failed++;
    (void) tpm_watch_note(watch, failure);
}

uint64_t tpm_watch_tasks_failed(const TpmWatch *watch) {
    return watch->tasks_failed;
}

bool tpm_watch_is_hung(const TpmWatch *watch) {
    return signing_is_busy_longer(watch->options.signing, TPM_HUNG_SECONDS * USEC_PER_SECOND);
}

void tpm_watch_say_hung(TpmWatch *watch) {
    if (watch->hang_said)
        return;
    watch->hang_said = true;
    log_entry(LOG_ERR, MESSAGE_TPM_CHANGED, NULL,
              "The TPM has not answered for half a minute; whoever needs it is refused until it does.");
    watch->options.changed(watch->options.userdata);
}

void tpm_watch_answers(TpmWatch *watch) {
    if (!watch->hang_said)
        return;
    watch->hang_said = false;
    log_entry(LOG_NOTICE, MESSAGE_TPM_CHANGED, NULL, "The TPM answers again.");
    start(watch);
    watch->options.changed(watch->options.userdata);
}

/* ---- questions ---- */

bool tpm_watch_has_looked(const TpmWatch *watch) {
    return watch->has_looked;
}

const TpmInformation *tpm_watch_information(const TpmWatch *watch) {
    return &watch->information;
}

const char *tpm_watch_problem(const TpmWatch *watch) {
    return watch->failure.text;
}

bool tpm_watch_is_ready(const TpmWatch *watch) {
    return watch->has_looked && watch->information.state == TPM_STATE_READY;
}

BytesView tpm_watch_parent_name(const TpmWatch *watch) {
    return (BytesView) { watch->information.parent_name, watch->information.parent_name_size };
}

int tpm_watch_require(const TpmWatch *watch, const char *what, Failure *ret_failure) {
    if (!tpm_watch_is_ready(watch))
        return failure_set(ret_failure, -ENODEV, FAILURE_TPM_UNAVAILABLE, "%s without its TPM: %s", what,
                           watch->failure.text);
    if (tpm_watch_is_hung(watch))
        return failure_set(ret_failure, -ENODEV, FAILURE_TPM_UNAVAILABLE, "%s without its TPM: " TPM_HUNG_TEXT, what);
    return 0;
}
