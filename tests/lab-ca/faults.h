/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ways in which a real server misbehaves, to be switched on at run time for the next N requests of one operation.
 * The table says which fault makes sense where; what each does is beside the code that does the right thing. */
#pragma once

#include "util.h"

typedef enum Operation {
    OPERATION_CONNECTION, /* the TLS handshake, before any operation is known */
    OPERATION_CACERTS,
    OPERATION_CSRATTRS,
    OPERATION_SIMPLEENROLL,
    OPERATION_SIMPLEREENROLL,
    OPERATION_CRL,
    _OPERATION_COUNT,
} Operation;

const char *operation_to_string(Operation operation);

typedef enum FaultKind {
    FAULT_NONE,
    /* any answer */
    FAULT_SLOW,         /* seconds=: waits before it answers */
    FAULT_DRIP,         /* seconds=: sends a byte, waits, sends the next */
    FAULT_CUT_OFF,      /* half of the answer, then the connection is closed */
    FAULT_STATUS,       /* code=, retry-after=, text= */
    FAULT_REDIRECT,     /* code=, location= */
    FAULT_HUGE,         /* size=: bytes of base64 */
    FAULT_CONTENT_TYPE, /* type= */
    FAULT_NOT_BASE64,
    FAULT_EMPTY,    /* an empty body */
    FAULT_BLANK,    /* a line break */
    FAULT_TRAILING, /* a NUL and a page behind the base64 */
    /* cacerts and enrolments */
    FAULT_NOT_PKCS7,       /* base64 of something else */
    FAULT_NO_CERTIFICATES, /* PKCS#7 without any */
    FAULT_JUNK_BESIDE,     /* PKCS#7 with a certificate that cannot be read among the others */
    /* enrolments */
    FAULT_PENDING,        /* 202; retry-after= seconds, form=seconds, date or none; the same request gets it later */
    FAULT_WANTS_ENCODING, /* 400 unless the request says Content-Transfer-Encoding: base64 */
    FAULT_WRONG_KEY,
    FAULT_WRONG_NAME,
    FAULT_WRONG_SAN,
    FAULT_RETAG,       /* the subject in other string types: the same name */
    FAULT_LOWER_CASE,  /* DNS names in lower case: the same names */
    FAULT_SAN_FROM_CN, /* a DNS name made of the common name, and no other alternative name */
    FAULT_OWN_ORG,     /* the common name below the CA's own organization */
    FAULT_WRONG_USAGE, /* extended key usage of a time stamping service */
    FAULT_EXPIRED,
    FAULT_NOT_YET_VALID,
    FAULT_NO_CHAIN, /* issued by a CA that nobody knows */
    FAULT_CA_CERTIFICATE,
    FAULT_SAME_SERIAL, /* the certificate that the client has, again */
    FAULT_SAME_NOT_AFTER,
    FAULT_WITH_CHAIN, /* the answer carries the issuers too: allowed, though RFC 7030 has only the one */
    /* cacerts */
    FAULT_FOREIGN_ROOT, /* an attacker's root of the same name, with an OldWithNew that it signed itself */
    FAULT_NO_INTERMEDIATE,
    FAULT_NEW_ALONE, /* in a rollover: only the new root and what is below it, as if it had ended */
    /* crl */
    FAULT_NOT_CRL,
    FAULT_STALE, /* nextUpdate has passed */
    FAULT_WRONG_SIGNER,
    FAULT_OLD_NUMBER, /* CRL number 0 */
    /* connection */
    FAULT_TLS12,
    FAULT_SERVER_NAME,
    FAULT_SERVER_EXPIRED,
    FAULT_SERVER_UNTRUSTED,
    _FAULT_COUNT,
} FaultKind;

typedef struct Fault {
    FaultKind kind;
    unsigned remaining;                 /* requests; 0: until it is cleared */
    int64_t seconds, retry_after, size; /* retry_after -1: not said */
    unsigned code;
    bool as_date;   /* Retry-After as an HTTP date … */
    bool as_text;   /* … or as text= says, whatever that is */
    char text[256]; /* text=, location= or type= */
} Fault;

#define FAULT_QUEUE_MAX 32U

typedef struct Faults {
    Fault queue[_OPERATION_COUNT][FAULT_QUEUE_MAX];
    size_t count[_OPERATION_COUNT];
} Faults;

const char *fault_to_string(FaultKind kind);

/* Parses "OPERATION KIND [KEY=VALUE…]" as words and appends it to that operation's queue; "any" stands for every
 * operation over HTTP. 0, or -EINVAL with a reason in `ret_reason` (static). */
int faults_add(Faults *faults, char *const *words, size_t count, const char **ret_reason);

/* Forgets all faults of the operation that `name` says, or of all for NULL. -EINVAL: no such operation. */
int faults_clear(Faults *faults, const char *name);

/* The fault for this request, counted down; kind FAULT_NONE without one. */
Fault faults_take(Faults *faults, Operation operation);

/* Lists kinds and where they apply, for --help. */
void faults_print_help(void);
