/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the manager share. Nothing outside this room includes it. */
#pragma once

#include "common/bytes.h"
#include "common/names.h"
#include "common/packet.h"
#include "config/daemon-config.h"
#include "config/identity-config.h"
#include "manager/job.h"
#include "manager/log.h"
#include "manager/manager.h"
#include "pki/certificate.h"
#include "pki/chain.h"
#include "pki/csr.h"
#include "pki/revocation.h"
#include "rules/schedule.h"
#include "rules/state.h"
#include "signing/signing.h"
#include "store/store.h"

#include <stdio.h>
#include <time.h>

#define USEC_PER_SECOND 1000000ULL
#define TPM_HUNG_USEC   (30U * USEC_PER_SECOND)
#define TPM_HUNG_TEXT   "the TPM has not answered for half a minute."

typedef struct Enrolment Enrolment;
typedef struct RevocationCheck RevocationCheck;
typedef struct Rollover Rollover;
typedef struct Inquiry Inquiry;

/* A job of the signing thread that somebody waits for; what is made of it has this as its first member (request.c). */
typedef struct TpmJob TpmJob;
struct TpmJob {
    Manager *manager;
    void (*run)(Tpm *tpm, TpmJob *job);                  /* on the signing thread: fills in `failure` and results */
    void (*answer)(TpmJob *job, const Failure *failure); /* on main, once: results only where it is of the kind NONE */
    void (*free)(TpmJob *job);                           /* on main, last */
    uint64_t patience;                                   /* µs, before a hung TPM ends the wait */
    Failure failure;
    /* for tpm-job.c */
    uint64_t started;
    bool answered;
    TpmJob *next;
};

/* One who waits for an operation. */
typedef struct Operation Operation;
struct Operation {
    OperationDone done;
    void *userdata;
    Operation *next;
};

/* Where the time comes from (DESIGN §10): the floor grows with boot time from the instant at which it was learned. */
typedef struct Clock {
    int64_t floor;        /* seconds since the epoch */
    uint64_t floor_since; /* CLOCK_BOOTTIME µs at which `floor` was true */
    bool below_floor;     /* the system clock is behind: nothing may be judged "not yet valid" */
} Clock;

typedef struct HandleRecord HandleRecord;
struct HandleRecord {
    uint64_t id;
    char identity[IDENTITY_NAME_MAX + 1U];
    Purpose purpose;
    Caller caller; /* without its pidfd */
    HandleRecord *next;
};

struct Manager {
    sd_event *loop;
    ManagerCallbacks callbacks;
    ConfigDirectories directories;
    DaemonConfig *config;
    Secret *owner_authorization, *endorsement_authorization, *serial;
    char *runtime_directory;
    char machine_id[33];
    int state_fd, runtime_fd;

    Signing *signing;
    TpmInformation tpm;
    bool tpm_known, probing, probe_again, settled, tpm_hang_said;
    TpmJob *tpm_jobs;
    sd_event_source *tpm_job_timer;
    bool clock_judged;          /* once a TPM was there: what a clock that is behind calls for */
    StoredDevice stored_device; /* as it is on the disk */
    uint64_t probe_delay;
    Failure tpm_failure;
    uint64_t last_heartbeat, last_tpm_failure;

    Identity **identities; /* sorted by name */
    size_t identity_count;

    Quota *quota;
    uint32_t handles_max; /* Handles=, or what fits */
    LineLimit *access_lines;
    sd_event_source *access_timer;           /* while something is held back */
    uint64_t access_granted, access_refused; /* since the start */
    HandleRecord *handles;
    Inquiry *inquiries;
    uint64_t next_id;

    Clock clock;
    sd_event_source *timer, *post, *clock_watch, *probe_timer;
    int clock_watch_fd;
    uint64_t timer_at;
    JobLoop jobs;
    uint64_t tpm_jobs_failed, checks_failed; /* since the start */
};

/* What the CA has taken and is asked for again (HTTP 202). */
typedef enum Resumes { RESUMES_NOTHING, RESUMES_ENROLMENT, RESUMES_RENEWAL } Resumes;

struct Identity {
    Manager *manager;
    uint64_t instance; /* never reused: what answers that arrive later are matched with */
    char *name;
    IdentityConfig *config; /* NULL: malformed */
    char *malformed;        /* why the identity is out: file, line, reason */
    Store *store;
    StoredState stored;

    IdentityState state;
    IdentityActivity activity;
    bool replaced;
    char *last_error;

    uint32_t generation;
    bool generation_used; /* the current one has signed: earlier ones that nobody holds may go */
    TpmKey *key;
    CertificateList chain;   /* leaf first, without the anchor */
    CertificateList anchors; /* what our own chain must end in */
    CertificateList peers;   /* what programs verify their peers with; empty: anchors */
    uint32_t *unused;        /* earlier generations that no handle holds */
    size_t unused_count;
    bool crls_judged; /* the stored CRLs, by this Check=, chain and anchors: a reload need not do it again */
    Bytes crls_pem, ocsp;
    int64_t ocsp_until; /* that answer counts for nothing afterwards */
    StoredOcsp ocsp_seen[STORE_OCSP_MAX];
    size_t ocsp_seen_count;
    BytesView view_chain[CHAIN_MAX], *view_anchors;

    int64_t renew_at;                  /* 0: not scheduled */
    int64_t chain_end_delay;           /* seconds between the end of the chain and the renewal that follows it */
    bool chain_end_said;               /* that peers refuse the present chain, whose intermediate has ended */
    int64_t next_check;                /* of revocation */
    int64_t next_anchors;              /* of /cacerts */
    int64_t tidy_at, tidy_delay;       /* of a removal that failed; 0: none did */
    int64_t publish_at, publish_delay; /* the same of published files */
    bool waits_for_authenticator, boot_renewal_due;
    Resumes resumes;

    Enrolment *enrolment;
    uint64_t manual_request; /* the CreateRequest that is under way; 0: none */
    RevocationCheck *check;
    Rollover *rollover;
    uint64_t attempts, attempts_failed;
};

/* ---- clock.c ---- */
int clock_load(Manager *manager);
int64_t manager_now(Manager *manager); /* seconds, by the rule of DESIGN §10 */
uint64_t manager_now_usec(Manager *manager);
uint64_t boottime_usec(void);
/* Takes note of an instant that is certainly past. */
void clock_learn(Manager *manager, int64_t instant);
/* Where the system clock started below the floor: one renewal and one revocation check of each identity, once a boot
 * (DESIGN §10). */
void clock_plan_boot_renewal(Manager *manager);
/* The time to verify a certificate with: with a clock that is behind, "not yet valid" proves nothing. */
int64_t manager_verification_time(Manager *manager, const Certificate *leaf);

/* ---- timer.c ---- */
int timers_start(Manager *manager);
void timers_stop(Manager *manager);

/* ---- identity.c ---- */
int identity_new(Manager *manager, const char *name, Identity **ret);
Identity *identity_free(Identity *identity);
DEFINE_CLEANUP(Identity, identity_free)
/* Reads configuration and store anew; what was running on an old configuration goes on. */
void identity_load(Identity *identity);
Identity *identity_by_instance(Manager *manager, uint64_t instance);
/* Looks at TPM, certificate, revocation and clock, and passes the event that follows through the table. */
void identity_evaluate(Identity *identity);
/* Computes the time of renewal: after a load, a commit, and when the device ID becomes known, which decides the jitter.
 */
void identity_schedule(Identity *identity);
void identity_event(Identity *identity, IdentityEvent event, const char *reason);
void identity_set_activity(Identity *identity, IdentityActivity activity);
void identity_set_error(Identity *identity, const char *text); /* NULL: none */
/* Tells signing thread, published files and bus what the identity is now. */
void identity_publish(Identity *identity);
/* The files alone; what cannot be written or removed is tried again at publish_when (seconds; 0: all is right). */
void identity_publish_files(Identity *identity);
int64_t publish_when(const Identity *identity);
int identity_save_state(Identity *identity);
/* After a commit: makes generation `number` with this chain current in memory and everywhere. */
int identity_adopt(Identity *identity, uint32_t number, TpmKey *key /* taken */, CertificateList *chain /* taken */);
void identity_changed(Identity *identity);
/* Refuses with the error of its state, unless it signs. */
int identity_require_ready(Identity *identity, Failure *ret_failure);
bool identity_is_malformed(const Identity *identity, Failure *ret_failure);
const Certificate *identity_leaf(const Identity *identity);
/* When peers begin to refuse the chain: the earliest end in it, which may be an intermediate's (seconds; 0: no chain).
 */
int64_t identity_chain_end(const Identity *identity);
/* The instant after which identity_evaluate has to say that it came (seconds; 0: there is none). */
int64_t identity_chain_end_when(const Identity *identity);

/* ---- tidy.c ---- */
void identity_generation_used(Identity *identity, uint32_t generation);
void identity_generation_unused(Identity *identity, uint32_t generation);
/* After a start, when nobody holds anything. */
void identity_note_old_generations(Identity *identity);
/* After a revocation: what came before signs no more, whether or not the new generation was used. */
void identity_drop_old_generations(Identity *identity);
/* Removes what is to be removed; plans the next try where something stays, and says so once. */
void identity_tidy(Identity *identity);
int64_t tidy_when(const Identity *identity); /* seconds; 0: nothing is to be removed */

/* ---- trust.c ---- */
int identity_load_anchors(Identity *identity, Failure *ret_failure);
int identity_load_peers(Identity *identity, Failure *ret_failure);
int identity_set_anchors(Identity *identity, CertificateList *anchors /* taken */, Failure *ret_failure);
/* PEM of what the CA's HTTPS server must chain to; empty when only a fingerprint is known. */
int identity_server_anchors(Identity *identity, Bytes *ret_pem, Failure *ret_failure);
/* Rollover by an authenticated /cacerts answer; `server_chain`: PEM of the server that it came from, may be empty. */
int identity_follow_rollover(Identity *identity, const CertificateList *answer, BytesView server_chain);

/* ---- operations ---- */
int operation_add(Operation **list, OperationDone done, void *userdata);
/* Calls and frees all. */
void operations_finish(Operation **list, const Failure *failure, BytesView result);

/* ---- limits.c ---- */
/* The quota as the configuration has it, within what descriptors allow; says so where that is less. */
void limits_apply(Manager *manager);

/* ---- access-log.c; see manager_writes_access ---- */
/* Says what was held back. */
void access_log_end(Manager *manager);

/* ---- enrolment.c ---- */
/* Begins an attempt by the timer. */
void enrolment_due(Identity *identity);
/* Whether one should run at all, and when (seconds; 0: never). */
int64_t enrolment_when(Identity *identity);
void enrolment_check_schedule(Identity *identity);
/* When the present certificate is to be renewed, retries aside (seconds; 0: not by itself). */
int64_t enrolment_renewal_when(const Identity *identity);
Enrolment *enrolment_abort(Enrolment *enrolment, const Failure *failure);
/* A renewal that is under way must not lead out of `revoked`: it may keep the key. */
void enrolment_stop_renewal(Identity *identity);
/* The clock was wrong, and nothing has expired: ends what the timer began for that, and forgets how it went. */
void enrolment_forget_expiry(Identity *identity);
void enrolment_authenticator_ready(Manager *manager, const char *name);

/* ---- commit.c: checks a chain against everything and makes it current ---- */
typedef struct CommitInput {
    const CertificateList *issued;  /* as they came */
    const CertificateList *helpers; /* further candidates for the chain (/cacerts); may be NULL */
    StoredPending *pending;
    bool renewal; /* Subject and SAN must be those of the present certificate */
} CommitInput;
int identity_commit(Identity *identity, const CommitInput *input, Failure *ret_failure);

/* ---- request-names.c: the configuration's names with this device's values ---- */
typedef struct RequestNames {
    char *subject;
    CsrSan sans[CSR_SANS_MAX]; /* borrow san_values */
    char *san_values[CSR_SANS_MAX];
    size_t san_count;
} RequestNames;
void request_names_clear(RequestNames *names);
/* Subject= and SubjectAltName=; keeps the host name that is %H from now on. kinds: INVALID_ARGUMENT (a name that cannot
 * be, or a value that cannot stand in it: file, line, key and why), INTERNAL. */
int request_names(Identity *identity, RequestNames *ret, Failure *ret_failure);
/* The user that the CA is told. As request_names. */
int request_user(const Identity *identity, const Authenticate *authenticate, bool renewal, char **ret,
                 Failure *ret_failure);

/* ---- request.c: joins tpm and pki on the signing thread ---- */
typedef void (*RequestDone)(const Failure *failure, BytesView der, void *userdata);
typedef struct RequestInput {
    const TpmKey *key;
    bool renew;             /* copy Subject and SAN from the present certificate */
    const char *const *eku; /* further extended key usages asked for by the CA */
    size_t eku_count;
} RequestInput;
int request_start(Identity *identity, const RequestInput *input, RequestDone done, void *userdata,
                  Failure *ret_failure);

/* Creates a key on the signing thread. `key` is NULL on failure, else the callee's. */
typedef void (*KeyDone)(const Failure *failure, TpmKey *key, void *userdata);
int key_create_start(Manager *manager, KeyAlgorithm algorithm, KeyDone done, void *userdata);

/* Signs a digest on the signing thread with a copy of `key`. */
typedef void (*SignDone)(const Failure *failure, BytesView signature, void *userdata);
int sign_start(Manager *manager, const TpmKey *key, const SignatureScheme *scheme, BytesView digest, SignDone done,
               void *userdata);

/* ---- tpm-job.c ---- */
/* Takes the job over, unless it fails (0 or -errno). */
int tpm_job_start(TpmJob *job);

/* ---- revocation.c ---- */
void revocation_load(Identity *identity);
void revocation_due(Identity *identity);
int64_t revocation_when(Identity *identity);
/* An OCSP answer for stapling that nothing newer has replaced in time: peers would refuse it, so it goes (seconds; 0:
 * there is none). */
int64_t staple_when(const Identity *identity);
void staple_expired(Identity *identity);
RevocationCheck *revocation_abort(RevocationCheck *check);

/* ---- ocsp-seen.c ---- */
void ocsp_seen_load(Identity *identity);
/* Refuses (-ESTALE) an answer that is older than one that was seen about this certificate, before or after the last
 * start; else takes note of it. */
int ocsp_seen_take(Identity *identity, const Certificate *certificate, int64_t this_update, Failure *ret_failure);

/* ---- rollover.c: /cacerts on its own interval ---- */
void rollover_due(Identity *identity);
int64_t rollover_when(Identity *identity);
Rollover *rollover_abort(Rollover *rollover);

/* ---- identity-job.c ---- */
/* job_start for an identity. */
int identity_job_start(Identity *identity, JobLine line, const JobCallbacks *callbacks, void *userdata, Job **ret,
                       Failure *ret_failure);
/* For JobCallbacks.prepare, which has filled in what is its job's own: kind, authentication, requests, and of a fetch
 * the URLs (`servers`). The rest is filled in here. -EBADMSG, NOT_READY: out of use meanwhile; -EINVAL,
 * INVALID_ARGUMENT: without a server meanwhile; else as identity_server_anchors. */
int identity_job_prepare(Identity *identity, JobOrder *order, Failure *ret_failure);

/* ---- inquiry.c ---- */
void inquiries_abort(Manager *manager, const Failure *failure);

/* ---- credentials.c ---- */
void handle_closed(uint64_t id, void *userdata);
void handles_recheck(Manager *manager, Identity *identity);
void handles_forget(Manager *manager);

/* ---- probe.c ---- */
void tpm_probe_start(Manager *manager);
void tpm_probe_schedule(Manager *manager, uint64_t delay_usec);
/* Where what failed on the signing thread is the TPM's fault: it is looked at, once a second at most. A failure within
 * that second is no less a reason, since the look may have come before what caused it: the next look follows at the
 * second's end. True: at once. */
bool tpm_note_failure(Manager *manager, const Failure *failure);
/* The same at the end of a job of the signing thread, which counts. */
void tpm_note_job(Manager *manager, const Failure *failure);
