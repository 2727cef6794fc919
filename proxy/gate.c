/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See gate.h. Opening asks identityd over D-Bus and waits, so it is a job; what arrives on the handle is read in the
 * loop. */
#include "proxy/gate.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

struct Gate {
    const char *identity, *purpose;
    sd_event *event; /* borrowed, as are the workers */
    Workers *workers;
    GateChanged changed;
    void *userdata;

    identityd_credential *credential;
    identityd_gnutls_credentials *credentials;
    sd_event_source *watch, *retry;

    GateState state;
    uint32_t generation;
    char reason[GATE_REASON_MAX];
    bool told, was_open;
    uint64_t away_since; /* µs */
    ExitCode hopeless;

    Job job; /* opening */
    bool opening;
    uint64_t wait; /* µs until the next attempt after this one */
    identityd_gnutls_credentials
        *made; /* by the job, until it is done: the main thread reads `credentials` meanwhile */
    int result;
    char result_text[GATE_REASON_MAX];
};

GateState gate_state(const Gate *gate) {
    return gate->state;
}

uint32_t gate_generation(const Gate *gate) {
    return gate->generation;
}

const char *gate_reason(const Gate *gate) {
    return gate->reason;
}

ExitCode gate_is_hopeless(const Gate *gate) {
    return gate->hopeless;
}

identityd_gnutls_credentials *gate_credentials(const Gate *gate) {
    return gate->credentials;
}

static void copy_text(char ret[static GATE_REASON_MAX], const char *text) {
    snprintf(ret, GATE_REASON_MAX, "%s", text);
}

static uint64_t now(const Gate *gate) {
    uint64_t time = 0;

    (void) sd_event_now(gate->event, CLOCK_MONOTONIC, &time);
    return time;
}

/* "" for GATE_OPEN. */
static void set_state(Gate *gate, GateState state, uint32_t generation, const char *reason) {
    bool is_news = !gate->told || gate->state != state || (state == GATE_OPEN && gate->generation != generation) ||
                   (state == GATE_SHUT && strcmp(gate->reason, reason) != 0);

    if (state == GATE_AWAY && gate->state != GATE_AWAY)
        gate->away_since = now(gate);
    gate->told = true;
    gate->state = state;
    if (state == GATE_OPEN) {
        gate->generation = generation;
        gate->was_open = true;
        gate->wait = GATE_RETRY_MILLIS * UINT64_C(1000);
    }
    copy_text(gate->reason, reason);
    if (is_news)
        gate->changed(state, gate->userdata);
}

/* What an error of opening or of the handle means for connections. */
static GateState state_of_error(int r) {
    switch (r) {
    case -EKEYREVOKED:
    case -ENOKEY:
    case -EACCES:
    case -EPERM:
    case -ENOENT:
        return GATE_ENDED;
    case -EAGAIN:
    case -EKEYEXPIRED:
    case -ENODEV:
    case -EINVAL:
        return GATE_SHUT;
    default:
        return GATE_AWAY;
    }
}

/* ---- opening ---- */

static void begin_opening(Gate *gate) {
    if (gate->opening)
        return;
    gate->opening = true;
    workers_submit(gate->workers, &gate->job);
}

static int on_retry(sd_event_source *source, uint64_t when, void *userdata) {
    Gate *gate = userdata;

    /* A handshake may have opened it meanwhile. */
    if (gate->state != GATE_OPEN)
        begin_opening(gate);
    return 0;
}

static void schedule(Gate *gate, uint64_t wait) {
    (void) sd_event_source_set_time(gate->retry, now(gate) + wait);
    (void) sd_event_source_set_enabled(gate->retry, SD_EVENT_ONESHOT);
}

static void schedule_next(Gate *gate, int r) {
    const uint64_t most = GATE_RETRY_MILLIS_MAX * UINT64_C(1000);

    if (r == -EACCES || r == -EPERM || r == -ENOENT) {
        schedule(gate, GATE_DENIED_MILLIS * UINT64_C(1000));
        return;
    }
    schedule(gate, gate->wait);
    gate->wait = 2 * gate->wait > most ? most : 2 * gate->wait;
}

/* In a worker. The loop reads what it leaves behind only after done(). */
static void run_opening(Job *job) {
    Gate *gate = (Gate *) ((char *) job - offsetof(Gate, job));
    int r = gate->credential ? identityd_credential_reopen(gate->credential)
                             : identityd_credential_open(gate->identity, gate->purpose, &gate->credential);

    if (r >= 0 && !gate->credentials)
        r = identityd_gnutls_credentials_new(gate->credential, 0, &gate->made);
    gate->result = r;
    copy_text(gate->result_text, r < 0 ? identityd_last_error() : "");
}

/* ---- the handle ---- */

static void look_at_word(Gate *gate, const char *word, uint32_t generation) {
    static const struct {
        const char *word;
        GateState state;
        const char *reason;
    } words[] = {
        { "ready", GATE_OPEN, "" },
        { "revoked", GATE_ENDED, "its certificate was revoked by the CA, or put on hold" },
        { "retired", GATE_ENDED, "it was retired and its key destroyed" },
        { "expired", GATE_SHUT, "its certificate has expired" },
        { "unavailable", GATE_SHUT, "the TPM is unavailable" },
        { "misconfigured", GATE_SHUT, "its configuration file has a mistake" },
        { "empty", GATE_SHUT, "it has no certificate yet" },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(words); i++)
        if (strcmp(words[i].word, word) == 0) {
            set_state(gate, words[i].state, generation, words[i].reason);
            return;
        }
    set_state(gate, GATE_SHUT, 0, "its state is not known to this program");
}

static void snapshot_free(identityd_snapshot **snapshot) {
    if (*snapshot)
        (void) identityd_snapshot_free(*snapshot);
}

/* The state as the handle has it: its own word, or why it closed. */
static void look(Gate *gate) {
    _cleanup_(snapshot_free) identityd_snapshot *snapshot = NULL;

    int r = identityd_credential_snapshot(gate->credential, &snapshot);
    if (r < 0) {
        GateState state = state_of_error(r);
        set_state(gate, state, 0, identityd_last_error());
        if (state == GATE_AWAY)
            begin_opening(gate);
        else
            schedule_next(gate, r);
        return;
    }
    look_at_word(gate, identityd_snapshot_state(snapshot), identityd_snapshot_generation(snapshot));
}

static int on_handle(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
    Gate *gate = userdata;

    /* An opening that runs already will tell what it found. */
    if (identityd_credential_process(gate->credential) != 0 && !gate->opening)
        look(gate);
    return 0;
}

static int watch(Gate *gate) {
    if (gate->watch)
        return 0;
    int fd = identityd_credential_fd(gate->credential);
    int r = fd < 0 ? fd : sd_event_add_io(gate->event, &gate->watch, fd, EPOLLIN, on_handle, gate);
    /* A revocation comes before bytes. */
    return r < 0 ? r : sd_event_source_set_priority(gate->watch, SD_EVENT_PRIORITY_IMPORTANT);
}

static void finish_opening(Job *job) {
    Gate *gate = (Gate *) ((char *) job - offsetof(Gate, job));
    int r = gate->result;

    gate->opening = false;
    if (gate->made) {
        gate->credentials = gate->made;
        gate->made = NULL;
    }
    if (r >= 0) {
        r = watch(gate);
        if (r < 0)
            copy_text(gate->result_text, strerror(-r));
    }
    if (r >= 0) {
        look(gate);
        return;
    }
    if (!gate->was_open)
        gate->hopeless = r == -EACCES || r == -EPERM ? EXIT_DENIED : r == -ENOENT ? EXIT_NOT_FOUND : EXIT_OK;
    schedule_next(gate, r);
    GateState state = state_of_error(r);
    if (state == GATE_SHUT && gate->was_open && gate->state == GATE_AWAY &&
        now(gate) - gate->away_since < GATE_GRACE_SECONDS * UINT64_C(1000000))
        state = GATE_AWAY;
    set_state(gate, state, 0, gate->result_text);
}

/* ---- making and ending ---- */

int gate_new(sd_event *event, Workers *workers, const char *identity, const char *purpose, GateChanged changed,
             void *userdata, Gate **ret) {
    Gate *gate = calloc(1, sizeof *gate);

    if (!gate)
        return -ENOMEM;
    *gate = (Gate) { .identity = identity,
                     .purpose = purpose,
                     .event = event,
                     .workers = workers,
                     .changed = changed,
                     .userdata = userdata,
                     .state = GATE_AWAY,
                     .wait = GATE_RETRY_MILLIS * UINT64_C(1000),
                     .job = { .run = run_opening, .done = finish_opening } };
    copy_text(gate->reason, "it was not opened yet");
    int r = sd_event_add_time(event, &gate->retry, CLOCK_MONOTONIC, 0, 100000, on_retry, gate);
    if (r >= 0)
        r = sd_event_source_set_enabled(gate->retry, SD_EVENT_OFF);
    if (r < 0) {
        gate_free(gate);
        return r;
    }
    begin_opening(gate);
    *ret = gate;
    return 0;
}

Gate *gate_free(Gate *gate) {
    if (!gate)
        return NULL;
    sd_event_source_disable_unref(gate->watch);
    sd_event_source_disable_unref(gate->retry);
    identityd_gnutls_credentials_free(gate->made);
    identityd_gnutls_credentials_free(gate->credentials);
    identityd_credential_free(gate->credential);
    free(gate);
    return NULL;
}
