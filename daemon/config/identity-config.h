/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* identities/NAME.conf as typed values (docs/design.md §7). Pure: strings in, values out; who uses them resolves users,
 * device IDs and files. */
#pragma once

#include "common/access-rule.h"
#include "common/alternative-name.h"
#include "common/bytes.h"
#include "common/scheme.h"
#include "config/problem.h"
#include "config/specifiers.h"
#include "config/values.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef enum IdentityKind { IDENTITY_LDEVID, IDENTITY_IDEVID } IdentityKind;
typedef enum EnrollmentProtocol { PROTOCOL_EST, PROTOCOL_MANUAL } EnrollmentProtocol;
typedef enum AfterRevocation { AFTER_REVOCATION_WAIT, AFTER_REVOCATION_ENROLL } AfterRevocation;

/* Where a value was said, for complaints that come only when it is used. */
typedef struct ConfigOrigin {
    char *file; /* NULL: nowhere */
    unsigned line;
} ConfigOrigin;

typedef struct SanTemplate {
    SanKind kind; /* dns:… ip:… uri:… hardware-module:OID/SERIAL */
    char *value;  /* with % specifiers unexpanded */
} SanTemplate;

typedef struct Authenticate {
    char *identity;   /* whose certificate authenticates, or NULL */
    char *credential; /* systemd credential with the HTTP password, or NULL; both may be wanted */
    char *user;       /* of the credential: HTTP user, from `User=`; default "%d" */
    ConfigOrigin user_origin;
    char *file; /* where it was said, for complaints; NULL: nowhere */
    unsigned line;
} Authenticate;

typedef struct IdentityConfig {
    char *name; /* from the file's name */
    char *file; /* its main file, for complaints */
    /* [Identity] */
    char *subject; /* RFC 4514 with specifiers */
    ConfigOrigin subject_origin;
    SanTemplate *sans;
    size_t san_count;
    ConfigOrigin sans_origin;
    bool is_certified;
    char *names_fault; /* with file and line: why no request can be made with these names; NULL: one can */
    IdentityKind kind;
    /* [Key] */
    KeyAlgorithm algorithm; /* default ecdsa-p256 */
    /* [Enrollment] */
    EnrollmentProtocol protocol;
    char **servers; /* NULL-terminated; base URLs, https only, no query, no trailing slash; Server= is a list */
    char *anchors;  /* absolute path or NULL */
    uint8_t anchors_fingerprint[32];
    bool has_anchors_fingerprint;
    char *server_anchors;   /* absolute path or NULL: as anchors */
    char *proxy;            /* or NULL */
    char *proxy_user;       /* or NULL, with the next one; as it stands, without specifiers */
    char *proxy_credential; /* systemd credential with the proxy's password */
    Authenticate authenticate;
    bool allow_tls12;
    bool names_are_the_cas; /* Names=ca */
    /* [Renewal] */
    uint32_t renew_at_permille;        /* of the lifetime; 0 when `renew_before` is used. Default 660 */
    uint64_t renew_before;             /* seconds before NotAfter */
    uint32_t jitter_permille;          /* default 100 */
    bool rotate_key;                   /* default yes */
    Authenticate renewal_authenticate; /* nothing: the identity itself */
    uint64_t anchors_interval; /* seconds between /cacerts fetches beside renewals; `AnchorsInterval=`, default 1 day */
    /* [Revocation] */
    bool check_crl, check_ocsp;   /* default: neither when the section is absent, crl when Check= is */
    char **crl_urls;              /* `CRL=`: beside the distribution points; http or https */
    uint64_t revocation_interval; /* seconds; `Interval=`, default 6 h */
    AfterRevocation after_revocation;
    /* [Peers] */
    char *peers_anchors;       /* absolute path or NULL: enrolment anchors */
    char *peers_intermediates; /* absolute path or NULL: of CAs below those that peers' chains may have */
    bool peers_check_crl;      /* keep the CRLs of all these CAs for programs; default no */
    char **peers_crl_urls;     /* `CRL=`: beside those that the CAs' certificates name; http or https */
    uint64_t peers_interval;   /* seconds; `Interval=`, default 6 h */
    /* [Access] */
    AccessRules access[_PURPOSE_COUNT];
    bool tls12; /* `TLS12=`: `tls-client` signs transcripts of TLS 1.2, too; default no */
} IdentityConfig;

IdentityConfig *identity_config_free(IdentityConfig *config);
DEFINE_CLEANUP(IdentityConfig, identity_config_free)
#define _cleanup_identity_config_ _cleanup_(identity_config_free_p)

#define CONFIG_SANS_MAX             32U
#define CONFIG_USER_MAX             255U /* bytes */
#define CONFIG_SERVERS_MAX          8U   /* JOB_SERVERS_MAX */
#define CONFIG_CRLS_MAX             8U
#define RENEW_AT_PERMILLE_DEFAULT   660U
#define RENEW_AT_PERMILLE_MIN       100U /* the bounds of schedule_renewal */
#define RENEW_AT_PERMILLE_MAX       950U
#define JITTER_PERMILLE_DEFAULT     100U
#define JITTER_PERMILLE_MAX         300U
#define ANCHORS_INTERVAL_DEFAULT    86400U
#define REVOCATION_INTERVAL_DEFAULT 21600U
#define INTERVAL_MAX                (52U * 7U * 86400U)

/* Loads one identity from its file and drop-ins (NAME.conf.d/ in every directory), `paths` in the order in which they
 * apply. All problems are collected in `problems`, warnings too; `ret` is NULL when there was an error. -ENOMEM
 * and I/O errors apart, what is wrong is in `problems` and the return value is -EINVAL. */
int identity_config_load(const char *name, char *const *paths, Problems *problems, IdentityConfig **ret);

/* The same for an identity that has a certificate. That has its own names, under which it is renewed, and is not taken
 * out of use for names that a later version has learned to refuse: faults of single names are warnings, `names_fault`
 * is the first of them, and what is wrong stands as it is (Subject=) or is left out (SubjectAltName=). */
int identity_config_load_certified(const char *name, char *const *paths, Problems *problems, IdentityConfig **ret);

/* Whether anything authenticates. */
static inline bool authenticate_is_set(const Authenticate *authenticate) {
    return authenticate->identity || authenticate->credential;
}

/* Whether it grants `data` or `data-raw`: then it is for no TLS (docs/design.md §8). */
static inline bool identity_config_signs_data(const IdentityConfig *config) {
    return config->access[PURPOSE_DATA].count > 0 || config->access[PURPOSE_DATA_RAW].count > 0;
}

/* Whether renewals are authenticated by something else than the certificate that is renewed (with a password beside it
 * or not): then /simpleenroll is asked, since /simplereenroll wants that certificate (RFC 7030 §4.2.2). */
static inline bool identity_config_is_renewed_by_others(const IdentityConfig *config) {
    const Authenticate *renewal = &config->renewal_authenticate;

    if (renewal->identity)
        return strcmp(renewal->identity, config->name) != 0;
    return renewal->credential;
}

/* Whether two configurations differ in what a certificate was made from (subject, SANs, algorithm, kind, protocol). */
bool identity_config_same_request(const IdentityConfig *a, const IdentityConfig *b);
