/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of this room share: who owns what on the signing thread. signing.c has the thread's life and the calls
 * from main, handle.c the connections, job.c the jobs, queue.c whose turn it is, served.c the identities, thread.c what
 * all of them need. But for `Signing`'s two
 * marked parts everything here is touched by the signing thread alone. */
#pragma once

#include "common/packet.h"
#include "rules/shares.h"
#include "signing/closer.h"
#include "signing/hold.h"
#include "signing/mailbox.h"
#include "signing/signing.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct Handle Handle;
typedef struct SigningJob SigningJob;
typedef struct Lane Lane;
typedef struct User User;
typedef struct ServedGeneration ServedGeneration;
typedef struct ServedIdentity ServedIdentity;

#define SERVED_FILES_MAX SIGNING_DESCRIPTORS_MAX

/* Identities as they were told of by main. There are two sets: the thread's, whose handles sign, and a copy that main
 * makes the first State of a handle from, for which nobody should wait until the thread is back from the TPM. */
typedef struct ServedSet {
    ServedIdentity *first;
    Tpm *tpm; /* in which keys may be loaded; NULL in main's */
} ServedSet;

/* Who wants turns of the TPM: a handle, or a line of jobs. First in what it is made into, as its share is first in it.
 */
typedef struct Client Client;
struct Client {
    Share share;
    Lane *lane;      /* NULL: it is not in the queue, or is our own */
    uint64_t *usual; /* of what its turn did, set by `serve`; NULL: the turn counts as long as it took (share_cost) */
    /* One turn. Positive: it may want another; 0: it wants none for now; negative: it is to be ended. */
    int (*serve)(Client *client);
    /* That turn has been charged, and this was its result. May free the client. */
    void (*served)(Client *client, int result);
};

typedef struct SigningJobs {
    Client client;
    Signing *signing; /* NULL: it has not begun */
    SigningJob *first, *last;
    uint64_t usual; /* where it is a user's: all sign with one key */
} SigningJobs;

struct Signing {
    /* main's alone */
    SigningCallbacks callbacks;
    pthread_t thread;
    ServedSet shown;
    Mailbox *to_main;   /* posted to by the thread */
    Mailbox *to_thread; /* posted to by main; freed by the thread */

    /* the thread's alone */
    Tpm *tpm;
    sd_event *loop;
    sd_event_source *review_timer;
    uint64_t review_at; /* UINT64_MAX: the timer is off */
    uint64_t grace;     /* µs */
    ServedSet served;
    Shares shares;
    User *users;
    SigningJobs own_jobs; /* that go first */
    uint64_t usual_load;  /* µs: of a signature for which a key had to be loaded, as share_cost has it */
    sd_event_source *turn;
    Handle *lingering; /* closed, and not read to the end */
    Closer *closer;
    PacketBuffer buffer;

    /* both: atomic, or lent back and forth as the flag beside it says */
    atomic_bool stopping, ping_is_out, trouble_is_out;
    atomic_uint_fast64_t busy_since, heartbeat;
    atomic_uint pss_unusable; /* a bit for each KeyAlgorithm: this TPM is known to make PSS in another way */
    atomic_uint_fast64_t signatures, refused, tpm_errors, handles_open, latency_sum;
    atomic_uint_fast64_t latency_bucket[8];
    Failure trouble;
    Mail ping_mail, trouble_mail, stop_mail;
};

/* What follows is in the order of the calls, which only go up in this list: signing.c, which has the calls from main,
 * stands on all of it. */

/* ---- thread.c ---- */

/* CLOCK_MONOTONIC, µs. */
uint64_t thread_now(void);
/* Around everything that may wait for the TPM. */
uint64_t thread_busy_begin(Signing *signing);
uint64_t thread_busy_end(Signing *signing);
void thread_count_latency(Signing *signing, uint64_t microseconds);
void thread_tell_trouble(Signing *signing, const Failure *failure);
/* `used` selects the callback. 0 or -ENOMEM: nothing was said. */
int thread_tell_generation(Signing *signing, const char *identity, uint32_t generation, bool used);

/* ---- served.c ---- */

struct ServedGeneration {
    ServedGeneration *next; /* the next older */
    uint32_t number;
    TpmKey *key;
    Bytes certificate; /* DER */
    uint64_t usual;    /* µs: of a signature's turn, as share_cost has it */
    bool used_said, unused_said;
};

struct ServedIdentity {
    ServedIdentity *next;
    Signing *signing;
    char *name, *state, *blocked_reason;
    FailureKind blocked;
    uint32_t generation;           /* 0: none */
    ServedGeneration *generations; /* newest first */
    uint64_t not_after;
    bool tls12;
    int files[SERVED_FILES_MAX]; /* by HANDLE_FILE_… − 1 */
    Handle *handles;
    Mail mail;
};

/* A copy of what main passed; on any thread. */
int served_identity_new(Signing *signing, const SigningIdentity *identity, ServedIdentity **ret);
ServedIdentity *served_identity_free(ServedIdentity *identity);
DEFINE_CLEANUP(ServedIdentity, served_identity_free)

ServedIdentity *served_find(const ServedSet *set, const char *name);
/* Takes over `fresh`: makes it known, or moves what is new in it into the identity of that name. True: its handles are
 * to be told. */
bool served_merge(ServedSet *set, ServedIdentity *fresh, ServedIdentity **ret);
void served_remove(ServedSet *set, ServedIdentity *identity); /* it has no handles any more */
void served_forget(const ServedSet *set, ServedIdentity *identity, uint32_t generation);

/* The generation that a request names, NULL if it cannot sign (any more). 0 names the current one. */
ServedGeneration *served_generation(const ServedIdentity *identity, uint32_t number);

/* What a State depends on beside the identity. */
typedef struct ServedView {
    Purpose purpose;
    unsigned pss_unusable;
} ServedView;

typedef struct ServedState {
    Bytes body;
    int fds[SERVED_FILES_MAX]; /* lent */
    size_t fd_count;
} ServedState;

/* Makes a State, of which the caller owns the body. 0 or -ENOMEM. */
int served_state(const ServedIdentity *identity, const ServedView *view, ServedState *ret);

/* Whether its schemes are others where `pss_unusable` is another in these bits. */
bool served_pss_matters(const ServedIdentity *identity, unsigned algorithms);

/* Says to main that a generation has signed, where main does not know: the first time, and when it was said before that
 * nobody holds it. */
void served_say_used(Signing *signing, const ServedIdentity *identity, ServedGeneration *generation);

/* Says to main which generations no handle holds (any more), and sets the timer for those held for a grace time. */
void served_review(Signing *signing, ServedIdentity *identity);

/* ---- queue.c ---- */

#define OURSELVES (-1) /* among the users: no uid_t has this value */

struct User {
    Share share;
    User *next;
    int64_t uid; /* or OURSELVES */
    Lane *lanes;
};

/* One user's use of one identity. */
struct Lane {
    Share share;
    User *user;
    Lane *next;       /* of its user */
    unsigned clients; /* handles, and jobs in the line */
    SigningJobs jobs;
    char identity[];
};

/* Room for what the queue may not know yet: made where it can fail, and taken where it must not. */
typedef struct Place {
    User *user;
    Lane *lane;
} Place;

int place_new(const SigningPayer *payer, Place *ret); /* 0 or -ENOMEM; on any thread */
void place_clear(Place *place);

int queue_begin(Signing *signing); /* 0 or -errno */
void queue_end(Signing *signing);  /* all clients have left */

/* Makes a payer's lane known and counts one more in it; clears the place. */
Lane *queue_enter(Signing *signing, Place *place);
void queue_leave(Lane *lane, Signing *signing); /* one less; may free it */

/* It wants a turn; it wants none. */
void client_wait(Client *client, Signing *signing);
void client_rest(Client *client);

/* The client whose turn it is has nothing in its socket. Where it has had less than the next one it is given a moment,
 * a small part of what it is behind by: a program that asks again as soon as it is answered would else be overtaken by
 * what takes a hundred times as long, each time, and never catch up. True: there is something now. */
bool client_await(const Client *client, Signing *signing, int socket);

/* ---- job.c ---- */

/* Cancels all that wait. */
void jobs_cancel(Signing *signing);

/* ---- handle.c ---- */

struct Handle {
    Client client;
    Place place;             /* until it is open */
    Handle *previous, *next; /* in its identity, or among the lingering */
    Signing *signing;
    ServedIdentity *identity; /* NULL until it is open */
    char *identity_name;
    int error; /* what of ours failed, so that it is closed; 0: nothing */
    uint64_t id;
    Purpose purpose;
    int socket;
    int send_buffer; /* bytes that the kernel queues at most for the holder */
    sd_event_source *source;
    pid_t first_sender;
    int first_sender_pidfd;
    bool flushing;         /* waits for the holder to read; nothing is read from it meanwhile */
    bool state_pending;    /* the one flag "state changed" */
    uint32_t state_serial; /* of the GetState that the pending State answers, 0: unasked */
    unsigned pss_shown;    /* what of `pss_unusable` the last State was made with */
    GenerationHold hold;
    Mail mail;
};

int handle_new(Signing *signing, const SigningHandle *description, Handle **ret); /* on any thread; takes descriptors */
/* Sends the State of an identity now. On main as long as the handle was not posted. 0 or -errno: close it. */
int handle_show(Handle *handle, const ServedIdentity *identity);
void handle_open(Handle *handle);
void handle_close(Handle *handle);               /* tells main, which frees it: now, or when nothing unread is left */
void handle_close_all(ServedIdentity *identity); /* each is told the State that it was not told yet */
void handle_push_all(ServedIdentity *identity);  /* sends State to each, and closes what cannot be told */
void handle_end_lingering(Handle *handle);
Handle *handle_free(Handle *handle);
DEFINE_CLEANUP(Handle, handle_free)
