/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The signing thread: owns the TPM and every credential handle's connection (docs/design.md §2). Main talks to it with
 * the functions here, all of which return at once; what the thread has to say arrives on main's loop. */
#pragma once

#include "common/access-rule.h"
#include "common/bytes.h"
#include "common/failure.h"
#include "common/handle-protocol.h"
#include "common/scheme.h"
#include "tpm/tpm.h"

#include <sys/types.h>
#include <systemd/sd-event.h>

typedef struct Signing Signing;

#define SIGNING_GENERATIONS_MAX 8U /* of an identity, kept for handles that do not move on */
#define SIGNING_DESCRIPTORS_MAX 4U /* on their way to one holder at any time, also when its handle has been closed */

#define SIGNING_GRACE_DEFAULT (60U * 1000U * 1000U)

typedef struct SigningCallbacks {
    /* A handle is gone (closed by its holder, by a protocol error, or by signing_close_…), and nothing that was sent on
     * it is unread. Once per handle. */
    void (*handle_closed)(uint64_t handle_id, void *userdata);
    /* Just before that, where it had to be closed because something of ours failed: `error` is a negative errno, as of
     * memory or descriptors that are used up. Its holder finds nothing but the end. May be NULL. */
    void (*handle_failed)(const char *identity, int error, void *userdata);
    /* The first signature by a generation on any handle, and the first one after generation_unused was said of it.
     * (What jobs sign with, main knows itself.) */
    void (*generation_used)(const char *identity, uint32_t generation, void *userdata);
    /* `generation` is not the current one and no open handle holds it (hold.h): each was first shown a newer one, or
     * has signed with a newer one and with nothing older for the grace time, or is closed. Also said, whoever holds it,
     * of what is older than the newest SIGNING_GENERATIONS_MAX. It signs until signing_forget_generation. Said again
     * after generation_used took it back; with generation_used of a newer one it may go. */
    void (*generation_unused)(const char *identity, uint32_t generation, void *userdata);
    /* A signature failed for a reason that concerns the TPM as a whole: main probes. At most once a second. */
    void (*tpm_trouble)(const Failure *failure, void *userdata);
    void *userdata;
    /* µs that a generation which a handle has moved on from stays held by it; 0: SIGNING_GRACE_DEFAULT */
    uint64_t grace;
} SigningCallbacks;

/* Starts the thread. `tpm` is taken over on success and used only there from now on. Callbacks run on `main_loop`. All
 * signals are blocked in the thread. 0 or -errno. */
int signing_new(Tpm *tpm, sd_event *main_loop, const SigningCallbacks *callbacks, Signing **ret);

/* Ends it: finishes what runs, closes handles, joins, and then delivers what is owed from inside this function: the
 * `done` of every job (with `cancelled`) and handle_closed of every handle. Waits for a TPM command that is under way:
 * whoever thinks that the TPM hangs exits without it. */
Signing *signing_free(Signing *signing);
DEFINE_CLEANUP(Signing, signing_free)

/* ---- jobs: anything slow or one-off that needs the TPM ---- */

/* Whose time of the TPM a job takes (docs/design.md §2, "Turns"). */
typedef struct SigningPayer {
    enum {
        SIGNING_OWN,      /* ours: it goes first, up to half of the time. What others wait for, and is soon over */
        SIGNING_OWN_SLOW, /* ours: an equal share, as if we were one more user. What may take long, as a key does */
        SIGNING_FOR_USER, /* that user's, on that identity, as if it were one more handle */
    } who;
    uid_t uid;
    const char *identity; /* by its name; copied */
} SigningPayer;

/* `run` runs on the signing thread, between signatures, when it is the payer's turn, and may use `tpm`; `done` runs on
 * main afterwards and owns `data`; `cancelled` true: run was not called since the thread ends. Jobs of one payer run in
 * their order. 0; -ENOMEM, or -ESHUTDOWN from inside signing_free: neither will be called. */
typedef void (*SigningJobRun)(Tpm *tpm, void *data);
typedef void (*SigningJobDone)(void *data, bool cancelled);
int signing_run_for(Signing *signing, const SigningPayer *payer, SigningJobRun run, SigningJobDone done, void *data);
/* The same, for SIGNING_OWN. */
int signing_run(Signing *signing, SigningJobRun run, SigningJobDone done, void *data);

/* Microseconds (CLOCK_MONOTONIC) since which the thread has been inside one TPM command or job, 0 if it is idle:
 * how main notices a hung TPM. Lock-free. */
uint64_t signing_busy_since(Signing *signing);
/* Whether that is longer ago than so many microseconds. */
bool signing_is_busy_longer(Signing *signing, uint64_t microseconds);

/* Asks the loop for a sign of life; counted by signing_heartbeat. For the watchdog. */
void signing_ping(Signing *signing);
uint64_t signing_heartbeat(Signing *signing);

/* Counters for metrics, since start. Plain values, read without a lock. */
typedef struct SigningCounters {
    uint64_t signatures, refused, tpm_errors, handles_open;
    uint64_t latency_bucket[8]; /* ≤ 1, 3, 10, 30, 100, 300, 1000 ms, more */
    uint64_t latency_sum;       /* µs */
} SigningCounters;
void signing_counters(Signing *signing, SigningCounters *ret);

/* ---- what identities look like from a handle ---- */

/* One identity as handles see it. Copied: the caller keeps what it passes. Memfds are duplicated. */
typedef struct SigningIdentity {
    const char *name;
    const char *state;          /* word for HANDLE_STATE_STATE */
    FailureKind blocked;        /* FAILURE_NONE: signs; else every request is refused with this kind … */
    const char *blocked_reason; /* … and this text */
    uint32_t generation;        /* 0: none */
    const TpmKey *key;          /* of `generation` */
    BytesView certificate;      /* of `generation`, DER: what its transcripts of TLS 1.2 show */
    bool tls12;                 /* `tls-client` signs those, too */
    uint64_t not_after;         /* µs since the epoch */
    int chain_fd, anchors_fd, crls_fd, ocsp_fd; /* sealed memfds, -1: none (not sent) */
} SigningIdentity;

/* Makes known, or replaces, an identity; pushes State to its handles when anything in it changed. An earlier generation
 * stays usable for requests that name it until signing_forget_generation. */
int signing_set_identity(Signing *signing, const SigningIdentity *identity);
/* 0 or -ENOMEM. What is not known, and the current generation, are left as they are. */
int signing_forget_generation(Signing *signing, const char *name, uint32_t generation);
/* Closes its handles, as signing_close_identity does, and forgets it and its keys. */
int signing_remove_identity(Signing *signing, const char *name);

/* ---- handles ---- */

typedef struct SigningHandle {
    uint64_t id;          /* chosen by main, never reused */
    const char *identity; /* must be known: else the handle is closed at once, and handle_closed called */
    Purpose purpose;
    int socket;             /* our end, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK: taken, also on failure */
    pid_t first_sender;     /* 0, or: the first packet must carry this pid in SCM_CREDENTIALS … */
    int first_sender_pidfd; /* … and this pidfd must still be alive then; taken; -1 without */
    uid_t uid;              /* whose time of the TPM its signatures take: with whom who opened it is counted */
} SigningHandle;
/* 0, or -errno: then handle_closed is not called. The kernel counts all descriptors that are on their way against
 * RLIMIT_NOFILE and refuses any beyond it, which closes the handle: there must be room for SIGNING_DESCRIPTORS_MAX of
 * each for which handle_closed was not called. */
int signing_open_handle(Signing *signing, const SigningHandle *handle);

/* Closes handles: one, or all of an identity. Requests already read are answered first or not at all. All of an
 * identity are told first what signing_set_identity has said of it last: why they are closed. */
int signing_close_handle(Signing *signing, uint64_t id);
int signing_close_identity(Signing *signing, const char *name);

/* ---- what a purpose may sign (docs/design.md §8); in purpose.c ---- */

typedef struct SignQuestion {
    Purpose purpose;
    const char *identity; /* whose key it is */
    const SignatureScheme *scheme;
    uint8_t type; /* HANDLE_SIGN_… */
    BytesView payload;
    bool tls12;            /* `tls-client` signs transcripts of TLS 1.2, too … */
    BytesView certificate; /* … in which this one is shown, DER: of the generation whose key it is */
} SignQuestion;

/* What the TPM is to sign. */
typedef struct SignDigest {
    uint8_t bytes[64];
    size_t size;
} SignDigest;

/* Pure. 0 and the digest; -EPERM with kind PURPOSE_VIOLATION, -EINVAL with INVALID_ARGUMENT, -EIO where GnuTLS does not
 * hash. */
/* Whether it is about a transcript of TLS 1.2, which schemes may sign that TLS 1.3 does not have (tls12.h). */
bool purpose_asks_tls12(const SignQuestion *question);
int purpose_check(const SignQuestion *question, SignDigest *ret, Failure *ret_failure);
