/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The PKCS#11 module: what its parts share. One slot, whose token is identityd; on it, for each identity that is open
 * to the caller for the purpose `digest`, a private key, a public key and the certificates of its chain.
 *
 * PKCS#11 has no context argument, so there is one module object for the process; it begins with C_Initialize.
 * Everything in a forked child fails with CKR_CRYPTOKI_NOT_INITIALIZED until the child calls C_Initialize itself
 * (PKCS#11 2.40, §5.4). */
#pragma once

#include "client-lib/snapshot-parse.h"
#include "common/bytes.h"
#include "identityd/identityd.h"

#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <stdatomic.h>

/* Of the functions that there are here, whatever p11-kit's header has beyond them (3.0 from its version 0.25 on). */
#define INTERFACE_VERSION                                                                                              \
    { 2, 40 }

#define MODULE_SLOT 1UL

#define ENTRIES_MAX    64U /* identities on the token */
#define VIEWS_MAX      8U  /* generations of an identity whose objects can still be used */
#define SESSIONS_MAX   1024U
#define TEMPLATE_MAX   256U  /* attributes in one template */
#define FOUND_MAX      4096U /* objects of one search */
#define ATTRIBUTES_MAX 40U   /* of one object */
#define SERIAL_MAX     16U   /* characters: what PKCS#11 has room for */

/* ---- objects ---- */

/* An identity: its name and its credential. Shared by the token and by whatever is signing. */
typedef struct Entry {
    atomic_uint references;
    char *name;
    identityd_credential *credential; /* NULL: not open to the caller, or not at present */
    uint64_t retry_at;                /* CLOCK_MONOTONIC, µs: when to ask again for one that is not open */
} Entry;

typedef struct Attribute {
    CK_ATTRIBUTE_TYPE type;
    Bytes value;
} Attribute;

typedef struct Object {
    CK_OBJECT_CLASS class;
    Attribute attributes[ATTRIBUTES_MAX];
    size_t count;
} Object;

/* The objects of one generation of one identity; immutable. */
typedef struct View {
    atomic_uint references;
    Entry *entry;                 /* a reference */
    identityd_snapshot *snapshot; /* a reference */
    unsigned number;              /* never used again; object handles are made from it */
    CK_KEY_TYPE key_type;
    unsigned bits;
    Bytes public_key;          /* SubjectPublicKeyInfo */
    Object *objects;           /* private key, public key, certificates from leaf to last: the issuers' … */
#define OBJECT_FIRST_ISSUER 3U /* … begin here, if there are any */
    size_t object_count;
} View;

#define OBJECTS_PER_VIEW 64U /* handle = number × this + index + 1 */
_Static_assert(SNAPSHOT_CHAIN_MAX + 2 <= OBJECTS_PER_VIEW, "each object has a handle");

Entry *entry_ref(Entry *entry);
Entry *entry_unref(Entry *entry);
DEFINE_CLEANUP(Entry, entry_unref)

/* Makes the objects of `snapshot`, which has a chain. 0 or -errno (logged nowhere: such an identity has no objects). */
int view_new(Entry *entry, identityd_snapshot *snapshot, unsigned number, View **ret);
View *view_ref(View *view);
View *view_unref(View *view);
DEFINE_CLEANUP(View, view_unref)

static inline CK_OBJECT_HANDLE view_handle(const View *view, size_t index) {
    return (CK_OBJECT_HANDLE) view->number * OBJECTS_PER_VIEW + index + 1;
}

const Attribute *object_attribute(const Object *object, CK_ATTRIBUTE_TYPE type);
bool object_matches(const Object *object, const CK_ATTRIBUTE *template, CK_ULONG count);

/* ---- the token: which identities there are ---- */

typedef struct TokenEntry {
    Entry *entry;
    View *views[VIEWS_MAX]; /* newest first */
    size_t view_count;
    bool listed; /* the newest view is found by searches */
} TokenEntry;

typedef struct Token {
    bool present;                /* identityd answers */
    char serial[SERIAL_MAX + 1]; /* the beginning of the device ID; "" while that is not known */
    bool event;                  /* something changed since C_WaitForSlotEvent last said so */
    uint64_t refreshed_at;
    unsigned last_view;
    TokenEntry entries[ENTRIES_MAX];
    size_t count;
} Token;

typedef struct Module Module;

/* Asks identityd again which identities there are and what became of those that are known, if the last time is more
 * than a second ago, one of those says that something changed, or `now`. Waits for the bus and identityd, OPEN_SECONDS
 * at most for all of it, without the module's lock. Does nothing once C_Finalize was called. */
void token_refresh(Module *module, bool now);

void token_clear(Token *token);

/* Waits until something changes, a second at most, or until `wake_fd` is readable; without the lock. */
void token_wait(Module *module, int wake_fd);

/* A reference to the view of a handle, and the object's place in it; NULL if there is no such object (any more). Under
 * the module's lock. */
View *token_find(const Token *token, CK_OBJECT_HANDLE handle, size_t *ret_index);

/* ---- sessions ---- */

typedef struct SignOperation SignOperation;
typedef struct DigestOperation DigestOperation;

typedef struct Session {
    CK_SESSION_HANDLE handle;
    bool is_read_write;
    CK_OBJECT_HANDLE *found; /* of a search that is going on, else NULL */
    size_t found_count, found_next;
    bool is_searching;
    SignOperation *signing;     /* NULL: none */
    DigestOperation *digesting; /* likewise */
} Session;

void session_free(Session *session);

/* How an operation takes what it works on, from its first call on: in one or in parts. They do not mix: whoever tries
 * ends it. */
typedef enum OperationForm { FORM_OPEN, FORM_WHOLE, FORM_PARTS } OperationForm;

/* Whether a call of form `wanted` may go on; `*form` is that then. */
static inline bool operation_keeps_form(OperationForm *form, OperationForm wanted) {
    if (*form != FORM_OPEN && *form != wanted)
        return false;
    *form = wanted;
    return true;
}

/* ---- the module ---- */

/* In a page that the kernel empties in a forked child: the locks are free there and `owner` is 0. The locks are taken
 * in this order. */
typedef struct ModuleShared {
    pthread_mutex_t life;    /* over C_Initialize and C_Finalize, until that has cleared everything */
    pthread_mutex_t refresh; /* over one refresh of the token */
    pthread_mutex_t lock;    /* over everything below, never held while waiting for anybody */
    _Atomic pid_t owner;     /* the process that called C_Initialize; 0: nobody */
    atomic_uint inside;      /* calls that wait and need the module for it: C_Finalize lets them come out first */
} ModuleShared;

struct Module {
    ModuleShared *shared;
    bool shared_is_wiped;  /* the kernel knows MADV_WIPEONFORK */
    atomic_bool is_locked; /* survives a fork, unlike the lock */
    _Atomic pid_t life_of; /* the process whose things these are; 0: there are none */
    Token token;
    Session *sessions[SESSIONS_MAX];
    size_t session_count;
    CK_SESSION_HANDLE last_session;
    bool is_logged_in;
    int wake_fd; /* readable when C_Finalize was called */
};

/* The module, whichever process it belongs to: for its beginning. NULL: out of memory. */
Module *module_of_anybody(void);
/* The module if C_Initialize was called in this process, else NULL. */
Module *module_get(void);
void module_lock(Module *module);
void module_unlock(Module *module);
/* The same, if C_Initialize was called in this process and C_Finalize was not since; else false, and nothing is locked.
 */
bool module_lock_live(Module *module);

/* Around what waits: C_Finalize waits for its end. False: C_Finalize was called, and there is nothing to leave. Whoever
 * is inside comes out soon when module_get() says NULL. */
bool module_go_inside(Module *module);
void module_come_out(Module *module);

/* Under the lock. NULL: no such session. */
Session *module_session(Module *module, CK_SESSION_HANDLE handle);

/* Begins a function that works on a session: takes the lock, which module_unlock() gives back. Anything but CKR_OK is
 * the function's answer, and nothing is locked. */
CK_RV module_enter(CK_SESSION_HANDLE handle, Module **ret, Session **ret_session);

/* Begins a function that works on a slot and gives its answer at `output`, without the lock: likewise. */
CK_RV module_enter_slot(CK_SLOT_ID slot, const void *output, Module **ret);

/* The CKR code that says nearest what `r`, a negative errno of libidentityd, does. */
CK_RV rv_of(int r);

/* ---- signing ---- */

SignOperation *sign_operation_free(SignOperation *operation);
DigestOperation *digest_operation_free(DigestOperation *operation);

/* ---- mechanism.c ---- */

/* What each mechanism is, for C_GetMechanismList and C_GetMechanismInfo. */
typedef struct MechanismInfo {
    CK_MECHANISM_TYPE type;
    CK_KEY_TYPE key_type; /* MECHANISM_NO_KEY: it is a hash */
    uint8_t padding;      /* SchemePadding */
    unsigned hash;        /* SchemeHash; 0: the caller brings the digest */
} MechanismInfo;
#define MECHANISM_NO_KEY CK_UNAVAILABLE_INFORMATION
extern const MechanismInfo mechanisms[];
extern const size_t mechanism_count;
/* NULL: none of that type; none that signs; none that is a hash alone. */
const MechanismInfo *mechanism_find(CK_MECHANISM_TYPE type);
const MechanismInfo *mechanism_find_signing(CK_MECHANISM_TYPE type);
const MechanismInfo *mechanism_find_hash(CK_MECHANISM_TYPE type);
